/* Propositional logic in four forms:
 *   facts    rules "if P, then Q" and one known fact; does a statement follow: yes, no, unknown
 *   party    "If Ann comes, Bob does not come": who comes
 *   value    the truth of one formula over letters with given values: yes or no
 *   which    several such formulas: the numbers of the true ones
 *
 * Rules form chains in which every condition occurs once, so that one may follow them forwards from
 * a fact and, with both sides negated, backwards.  A trace first repeats what it will look up and
 * writes it in one form: letters with their values, rules as "P -> Q" and "not Q -> not P". */
#include "train/int_words.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* ---- formulas ---- */

enum { MAX_LEAVES = 6, MAX_NODES = 2 * MAX_LEAVES };
enum kind { LETTER, VALUE, NOT, AND, OR };
struct node {
    enum kind kind;
    int a, b;   /* children; LETTER: a is its number */
    bool value; /* of a VALUE */
};
struct formula {
    struct node node[2 * MAX_NODES];
    int n, root;
};
struct letters {
    char name[MAX_LEAVES];
    bool value[MAX_LEAVES];
    int n;
};

static int add_node(struct formula *f, struct node x)
{
    assert(f->n < 2 * MAX_NODES);
    f->node[f->n] = x;
    return f->n++;
}

static int draw_node(struct formula *f, struct mk_rng *r, int leaves, int n_letter, double nots)
{
    int at;
    if (leaves == 1) {
        at = add_node(f, (struct node){.kind = LETTER, .a = (int)mk_pick(r, 0, n_letter - 1)});
    } else {
        const int left = (int)mk_pick(r, 1, leaves - 1);
        const int a = draw_node(f, r, left, n_letter, nots);
        const int b = draw_node(f, r, leaves - left, n_letter, nots);
        at = add_node(f, (struct node){mk_chance(r, 0.5) ? AND : OR, a, b, false});
    }
    if (mk_chance(r, leaves == 1 ? nots : nots / 4))
        at = add_node(f, (struct node){NOT, at, 0, false});
    return at;
}

static void formula_draw(struct formula *f, struct mk_rng *r, int leaves, int n_letter, double nots)
{
    f->n = 0;
    f->root = draw_node(f, r, leaves, n_letter, nots);
}

/* with_values: letters as A=T. */
static void print_node(const struct formula *f, int at, const struct letters *l, bool with_values,
                       struct mk_str *out)
{
    const struct node *x = &f->node[at];
    const bool inner = x->kind >= AND && at != f->root;
    switch (x->kind) {
    case LETTER:
        mk_str_addc(out, l->name[x->a]);
        if (with_values) mk_str_add(out, l->value[x->a] ? "=T" : "=F");
        return;
    case VALUE:
        mk_str_addc(out, x->value ? 'T' : 'F');
        return;
    case NOT:
        mk_str_add(out, "not ");
        print_node(f, x->a, l, with_values, out);
        return;
    default:
        break;
    }
    if (inner) mk_str_addc(out, '(');
    print_node(f, x->a, l, with_values, out);
    mk_str_add(out, x->kind == AND ? " and " : " or ");
    print_node(f, x->b, l, with_values, out);
    if (inner) mk_str_addc(out, ')');
}

static bool formula_value(const struct formula *f, int at, const struct letters *l)
{
    const struct node *x = &f->node[at];
    switch (x->kind) {
    case LETTER:
        return l->value[x->a];
    case VALUE:
        return x->value;
    case NOT:
        return !formula_value(f, x->a, l);
    case AND:
        return formula_value(f, x->a, l) && formula_value(f, x->b, l);
    default:
        return formula_value(f, x->a, l) || formula_value(f, x->b, l);
    }
}

/* Replaces every operation whose operands are values by its value, all at once.  Children come
 * before their parents, so going down meets no node that this pass made. */
static void formula_reduce(struct formula *f, const struct letters *l)
{
    for (int i = f->n - 1; i >= 0; i--) {
        struct node *x = &f->node[i];
        if (x->kind == LETTER || x->kind == VALUE || f->node[x->a].kind != VALUE) continue;
        if (x->kind != NOT && f->node[x->b].kind != VALUE) continue;
        *x = (struct node){.kind = VALUE, .value = formula_value(f, i, l)};
    }
}

/* "head A=T and not B=F -> T and T -> T". */
static void formula_work(struct formula *f, const struct letters *l, struct mk_trace *t,
                         const char *head)
{
    struct mk_str s = {0};
    while (f->node[f->root].kind != VALUE) {
        mk_str_clear(&s);
        print_node(f, f->root, l, true, &s);
        mk_trace_say(t, "%s%s", head, s.data);
        head = "-> ";
        for (int i = 0; i < f->n; i++)
            if (f->node[i].kind == LETTER)
                f->node[i] = (struct node){.kind = VALUE, .value = l->value[f->node[i].a]};
        formula_reduce(f, l);
    }
    const bool v = f->node[f->root].value;
    mk_trace_word(t, v ? "T" : "F", v ? "F" : "T", "%s", head);
    mk_str_release(&s);
}

static void draw_letters(struct letters *l, struct mk_rng *r, int n)
{
    static const char alphabet[] = "ABCDEGHKLMNPQRSUVWXYZ"; /* T and F are the values */
    int at[MAX_LEAVES];
    l->n = n;
    mk_pick_distinct(r, (int)sizeof alphabet - 1, at, n);
    for (int i = 0; i < n; i++) l->name[i] = alphabet[at[i]], l->value[i] = mk_chance(r, 0.5);
}

static void say_letters(struct mk_str *out, struct mk_rng *r, const struct letters *l)
{
    const int form = (int)mk_pick(r, 0, 3);
    if (form == 0) mk_str_add(out, "Let ");
    if (form == 1) mk_str_add(out, "Suppose ");
    for (int i = 0; i < l->n; i++) {
        const char *sep = i == 0 ? "" : i == l->n - 1 && form != 2 ? " and " : ", ";
        const char *verb = form == 0 ? "be" : form == 3 ? "=" : "is";
        mk_str_addf(out, "%s%c %s %s", sep, l->name[i], verb, l->value[i] ? "true" : "false");
    }
    mk_str_add(out, ". ");
}

/* Numbers of leaves: of a formula at each level. */
static const int leaves_lo[] = {1, 2, 2, 4, 5}, leaves_hi[] = {2, 2, 3, 4, 6};

static void make_value(struct mk_problem *p, struct mk_rng *r, const struct mk_trace_style *style)
{
    static const char *const ask[] = {
        "Is {a} true?",
        "Is the statement {a} true?",
        "Does {a} hold?",
        "Is it true that {a}?",
    };
    const int k = p->level - MK_LEVEL_EASIEST;
    const int leaves = (int)mk_pick(r, leaves_lo[k], leaves_hi[k]);
    const bool truth = mk_chance(r, 0.5); /* drawn first, so that yes and no are equally likely */
    struct letters l;
    struct formula f;
    struct mk_str s = {0};
    do {
        draw_letters(&l, r, leaves < 3 ? 2 : leaves < 5 ? (int)mk_pick(r, 2, 3) : 4);
        formula_draw(&f, r, leaves, l.n, 0.35);
    } while (formula_value(&f, f.root, &l) != truth || f.node[f.root].kind == LETTER);
    say_letters(&p->prompt, r, &l);
    print_node(&f, f.root, &l, false, &s);
    mk_say_any(r, &p->prompt, ask, MK_COUNT(ask), (const char *[]){s.data});
    mk_str_add(&p->answer, truth ? "yes" : "no");

    struct mk_trace t;
    mk_trace_begin(&t, p, r, style);
    formula_work(&f, &l, &t, "");
    mk_trace_say(&t, ", so %s", mk_str_c(&p->answer));
    mk_trace_end(&t);
    mk_str_release(&s);
}

enum { MAX_STATEMENTS = 6 };

static void make_which(struct mk_problem *p, struct mk_rng *r, const struct mk_trace_style *style)
{
    static const char *const ask[] = {
        "Which of these statements are true?",
        "Which are true?",
        "Find the true statements.",
        "List the numbers of the true statements.",
    };
    const int n = p->level < 0 ? 3 : p->level == 0 ? (int)mk_pick(r, 3, 4) : 4 + p->level;
    struct letters l;
    struct formula f[MAX_STATEMENTS];
    int n_true;
    do { /* never all of them */
        draw_letters(&l, r, p->level < 1 ? (int)mk_pick(r, 2, 3) : 4);
        n_true = 0;
        for (int i = 0; i < n; i++) {
            formula_draw(&f[i], r, p->level > 1 ? 3 : 2, l.n, p->level < -1 ? 0 : 0.3);
            n_true += formula_value(&f[i], f[i].root, &l);
        }
    } while (n_true == n || (n_true == 0 && mk_chance(r, 0.5)));
    say_letters(&p->prompt, r, &l);
    mk_say_any(r, &p->prompt, ask, MK_COUNT(ask), NULL);
    for (int i = 0; i < n; i++) {
        mk_str_addf(&p->prompt, " %d: ", i + 1);
        print_node(&f[i], f[i].root, &l, false, &p->prompt);
        mk_str_addc(&p->prompt, '.');
    }

    struct mk_trace t;
    mk_trace_begin(&t, p, r, style);
    for (int i = 0; i < n; i++) {
        if (i) mk_trace_say(&t, ";");
        char head[8];
        snprintf(head, sizeof head, "%d: ", i + 1);
        if (formula_value(&f[i], f[i].root, &l)) {
            if (p->answer.len) mk_str_add(&p->answer, ", ");
            mk_str_addf(&p->answer, "%d", i + 1);
        }
        formula_work(&f[i], &l, &t, head);
    }
    if (!p->answer.len) mk_str_add(&p->answer, "none");
    mk_trace_say(&t, "; so %s", mk_str_c(&p->answer));
    mk_trace_end(&t);
}

/* ---- facts and rules ---- */

struct fact {
    char is[64], is_not[64], ask[64]; /* "Ann sings", "Ann does not sing", "does Ann sing" */
};

static const struct { /* something that is so: with "is" or with a verb */
    const char *subject, *is, *verb, *verbs;
} things[] = {
    {"it", NULL, "rain", "rains"},        {"it", NULL, "snow", "snows"},
    {"it", "cold", NULL, NULL},           {"the street", "wet", NULL, NULL},
    {"the street", "icy", NULL, NULL},    {"the lamp", "on", NULL, NULL},
    {"the door", "open", NULL, NULL},     {"the shop", "closed", NULL, NULL},
    {"the window", "open", NULL, NULL},   {"the sun", NULL, "shine", "shines"},
    {"the dog", NULL, "bark", "barks"},   {"the cat", "awake", NULL, NULL},
    {"the baby", NULL, "cry", "cries"},   {"the bus", "late", NULL, NULL},
    {"the train", "full", NULL, NULL},    {"the soup", "hot", NULL, NULL},
    {"the bell", NULL, "ring", "rings"},  {"the river", "frozen", NULL, NULL},
    {"the game", "over", NULL, NULL},     {"the road", "blocked", NULL, NULL},
    {"the fire", NULL, "burn", "burns"},  {"the wind", NULL, "blow", "blows"},
    {"the school", "closed", NULL, NULL}, {"the garden", "green", NULL, NULL},
    {"the alarm", "on", NULL, NULL},      {"the phone", NULL, "ring", "rings"},
    {"the tea", "cold", NULL, NULL},      {"the box", "empty", NULL, NULL},
};
static const struct {
    const char *is, *verb, *verbs;
} doings[] = {
    {NULL, "sing", "sings"}, {NULL, "run", "runs"},     {NULL, "swim", "swims"},
    {NULL, "read", "reads"}, {NULL, "cook", "cooks"},   {NULL, "dance", "dances"},
    {NULL, "work", "works"}, {NULL, "smile", "smiles"}, {NULL, "sleep", "sleeps"},
    {NULL, "win", "wins"},   {NULL, "call", "calls"},   {NULL, "paint", "paints"},
    {"happy", NULL, NULL},   {"tired", NULL, NULL},     {"hungry", NULL, NULL},
    {"at home", NULL, NULL}, {"late", NULL, NULL},      {"ill", NULL, NULL},
    {"busy", NULL, NULL},    {"angry", NULL, NULL},
};

static void fact_set(struct fact *f, const char *subject, const char *is, const char *verb,
                     const char *verbs)
{
    if (is) {
        snprintf(f->is, sizeof f->is, "%s is %s", subject, is);
        snprintf(f->is_not, sizeof f->is_not, "%s is not %s", subject, is);
        snprintf(f->ask, sizeof f->ask, "is %s %s", subject, is);
    } else {
        snprintf(f->is, sizeof f->is, "%s %s", subject, verbs);
        snprintf(f->is_not, sizeof f->is_not, "%s does not %s", subject, verb);
        snprintf(f->ask, sizeof f->ask, "does %s %s", subject, verb);
    }
}

/* n facts that differ in more than the name. */
static void draw_facts(struct mk_rng *r, struct fact *f, int n)
{
    static const char alphabet[] = "ABCDEFGHKLMNPQRSTUVWXYZ";
    const struct mk_person *who[MK_PEOPLE_MAX];
    int thing[MK_PEOPLE_MAX], doing[MK_PEOPLE_MAX];
    mk_pick_people(r, who, n);
    mk_pick_distinct(r, MK_COUNT(things), thing, n);
    mk_pick_distinct(r, MK_COUNT(doings), doing, n);
    if (mk_chance(r, 0.2)) { /* bare letters */
        mk_pick_distinct(r, (int)sizeof alphabet - 1, thing, n);
        for (int i = 0; i < n; i++)
            fact_set(&f[i], (char[2]){alphabet[thing[i]], 0}, "true", NULL, NULL);
        return;
    }
    const double people = mk_chance(r, 0.5) ? 0.8 : 0.3;
    for (int i = 0; i < n; i++) {
        const int j = thing[i], k = doing[i];
        if (mk_chance(r, people))
            fact_set(&f[i], who[i]->name, doings[k].is, doings[k].verb, doings[k].verbs);
        else
            fact_set(&f[i], things[j].subject, things[j].is, things[j].verb, things[j].verbs);
    }
}

static const char *literal(const struct fact *f, bool truth) { return truth ? f->is : f->is_not; }

struct rule {
    size_t begin, end; /* of its sentence in the prompt, without the full stop */
    bool is_turned;    /* "Q if P" */
};

enum { MAX_CHAIN = 8, MAX_FACTS = 12 };

/* A chain: fact[i] with the sign sign[i] implies the next one.  Facts behind the chain come in
 * pairs: rules of their own. */
struct puzzle {
    struct fact fact[MAX_FACTS];
    bool sign[MAX_FACTS];
    int n_chain, n_fact;
    int64_t from[MAX_FACTS]; /* rules as told: fact from[i] implies the next one */
    struct rule rule[MAX_FACTS];
    int n_rule;
    int known, asked; /* positions; the known one is true with its sign, or not */
    bool known_holds;
};

/* What follows for the asked fact: 1 yes, -1 no, 0 unknown. */
static int puzzle_answer(const struct puzzle *z)
{
    if (z->asked >= z->n_chain) return 0;
    if (z->known_holds != (z->asked > z->known)) return 0;
    return z->known_holds == z->sign[z->asked] ? 1 : -1;
}

static struct rule say_rule(struct mk_str *out, struct mk_rng *r, const char *cond,
                            const char *then)
{
    static const char *const rules[] = {
        "{b} if {a}.", "If {a}, {b}.", "If {a}, then {b}.", "When {a}, {b}.", "Whenever {a}, {b}.",
    };
    const size_t begin = out->len + (out->len > 0); /* behind the space */
    const int64_t k = mk_pick(r, 0, MK_COUNT(rules) - 1);
    mk_sentence(out, r, rules[k], (const char *[]){cond, then});
    return (struct rule){begin, out->len - 1, k == 0};
}

/* "If it rains, the dog barks so " stands before what the rule says. */
static void repeat_rule(struct mk_trace *t, const struct mk_problem *p, struct rule x)
{
    mk_trace_say(t, "%.*s so", (int)(x.end - x.begin), p->prompt.data + x.begin);
}

static void puzzle_say(struct puzzle *z, struct mk_rng *r, struct mk_str *out)
{
    z->n_rule = 0;
    for (int i = 0; i + 1 < z->n_fact; i++)
        if (i + 1 < z->n_chain || (i >= z->n_chain && (i - z->n_chain) % 2 == 0))
            z->from[z->n_rule++] = i;
    mk_shuffle(r, z->from, z->n_rule);
    const char *fact = literal(&z->fact[z->known], z->sign[z->known] == z->known_holds);
    const bool fact_first = mk_chance(r, 0.3);
    if (fact_first) mk_sentence(out, r, "{a}.", &fact);
    for (int i = 0; i < z->n_rule; i++) {
        const int64_t k = z->from[i];
        z->rule[i] = say_rule(out, r, literal(&z->fact[k], z->sign[k]),
                              literal(&z->fact[k + 1], z->sign[k + 1]));
    }
    if (!fact_first) mk_sentence(out, r, "{a}.", &fact);
    mk_sentence(out, r, "{a}?[|| Answer yes, no or unknown.]",
                (const char *[]){z->fact[z->asked].ask});
}

static void draw_puzzle(struct puzzle *z, struct mk_rng *r, int level)
{
    static const int chain_lo[] = {2, 2, 3, 5, 6}, chain_hi[] = {2, 3, 4, 5, 7};
    const int k = level - MK_LEVEL_EASIEST;
    const double negative = level < 0 ? 0.1 : level == 0 ? 0.25 : 0.4;
    const int others = level < 0 ? 0 : level == 0 ? (int)mk_pick(r, 0, 1) : level;
    z->n_chain = (int)mk_pick(r, chain_lo[k], chain_hi[k]);
    z->n_fact = z->n_chain + 2 * others;
    draw_facts(r, z->fact, z->n_fact);
    for (int i = 0; i < z->n_fact; i++) z->sign[i] = !mk_chance(r, negative);
    const int want = (int)mk_pick(r, -1, 1); /* the three answers are equally likely */
    do {
        z->known = (int)mk_pick(r, 0, z->n_chain - 1);
        z->asked = (int)mk_pick(r, 0, z->n_fact - 1);
        z->known_holds = mk_chance(r, 0.5);
        if (level < 0 && want) { /* few signs to choose from: draw one that serves */
            const int i = z->asked;
            z->sign[i] = z->known_holds == (want > 0) || mk_chance(r, negative);
        }
    } while (z->asked == z->known || puzzle_answer(z) != want);
}

static void make_facts(struct mk_problem *p, struct mk_rng *r, const struct mk_trace_style *style)
{
    static const char *const names[] = {"no", "unknown", "yes"};
    struct puzzle z;
    draw_puzzle(&z, r, p->level);
    puzzle_say(&z, r, &p->prompt);
    mk_str_add(&p->answer, names[puzzle_answer(&z) + 1]);

    struct mk_trace t;
    mk_trace_begin(&t, p, r, style);
    for (int i = 0; i < z.n_rule; i++) {
        const struct fact *a = &z.fact[z.from[i]], *b = a + 1;
        const bool sa = z.sign[z.from[i]], sb = z.sign[z.from[i] + 1];
        if (z.rule[i].is_turned) repeat_rule(&t, p, z.rule[i]);
        mk_trace_say(&t, "%s -> %s, %s -> %s;", literal(a, sa), literal(b, sb), literal(b, !sb),
                     literal(a, !sa));
    }
    const int step = z.known_holds ? 1 : -1;
    int at = z.known;
    mk_trace_say(&t, "%s", literal(&z.fact[at], z.sign[at] == z.known_holds));
    while (at != z.asked && at + step >= 0 && at + step < z.n_chain) {
        at += step;
        const bool holds = z.sign[at] == z.known_holds;
        const char *wrong = literal(&z.fact[at], !holds);
        mk_trace_word(&t, literal(&z.fact[at], holds),
                      strlen(wrong) < MK_TRACE_WRONG ? wrong : NULL, "-> ");
    }
    mk_trace_say(&t, ", %s, so %s", at == z.asked ? "found" : "end", mk_str_c(&p->answer));
    mk_trace_end(&t);
}

/* Who comes: a chain of people from one who does or does not. */
static void make_party(struct mk_problem *p, struct mk_rng *r, const struct mk_trace_style *style)
{
    static const struct {
        const char *comes, *stays, *ask;
    } verbs[] = {
        {"comes", "does not come", "Who [comes|will come]?"},
        {"plays", "does not play", "Who [plays|will play]?"},
        {"sings", "does not sing", "Who [sings|will sing]?"},
        {"helps", "does not help", "Who [helps|will help]?"},
        {"swims", "does not swim", "Who [swims|will swim]?"},
        {"is invited", "is not invited", "Who is invited?"},
        {"is at home", "is not at home", "Who is at home?"},
    };
    const struct mk_person *who[MAX_CHAIN];
    bool comes[MAX_CHAIN];
    int64_t order[MAX_CHAIN];
    struct rule rule[MAX_CHAIN];
    const int n =
        p->level <= 0 ? (int)mk_pick(r, p->level + 4 < 3 ? 2 : 3, p->level + 4) : 4 + p->level;
    const int v = (int)mk_pick(r, 0, MK_COUNT(verbs) - 1);
    int n_come;
    mk_pick_people(r, who, n);
    do { /* some, but not all */
        n_come = 0;
        for (int i = 0; i < n; i++) n_come += comes[i] = mk_chance(r, 0.6);
    } while (n_come == n || n_come == 0);
    for (int i = 0; i < n - 1; i++) order[i] = i;
    mk_shuffle(r, order, n - 1);
    const char *first[] = {who[0]->name, comes[0] ? verbs[v].comes : verbs[v].stays};
    const bool first_first = mk_chance(r, 0.5);
    if (first_first) mk_sentence(&p->prompt, r, "{a} {b}.", first);
    for (int i = 0; i < n - 1; i++) {
        const int64_t k = order[i];
        char cond[64], then[64];
        snprintf(cond, sizeof cond, "%s %s", who[k]->name,
                 comes[k] ? verbs[v].comes : verbs[v].stays);
        snprintf(then, sizeof then, "%s %s", who[k + 1]->name,
                 comes[k + 1] ? verbs[v].comes : verbs[v].stays);
        rule[i] = say_rule(&p->prompt, r, cond, then);
    }
    if (!first_first) mk_sentence(&p->prompt, r, "{a} {b}.", first);
    mk_sentence(&p->prompt, r, verbs[v].ask, NULL);

    struct mk_trace t;
    mk_trace_begin(&t, p, r, style);
    for (int i = 0; i < n - 1; i++) {
        const int64_t k = order[i];
        repeat_rule(&t, p, rule[i]);
        mk_trace_say(&t, "%s %s -> %s %s;", who[k]->name, comes[k] ? "yes" : "no", who[k + 1]->name,
                     comes[k + 1] ? "yes" : "no");
    }
    for (int i = 0; i < n; i++) {
        mk_trace_word(&t, comes[i] ? "yes" : "no", comes[i] ? "no" : "yes", "%s%s ", i ? "-> " : "",
                      who[i]->name);
        if (!comes[i]) continue;
        if (p->answer.len) mk_str_add(&p->answer, ", ");
        mk_str_add(&p->answer, who[i]->name);
    }
    mk_trace_say(&t, ", so %s", mk_str_c(&p->answer));
    mk_trace_end(&t);
}

static void make(struct mk_problem *p, struct mk_rng *r, int level,
                 const struct mk_trace_style *style)
{
    typedef void maker(struct mk_problem *, struct mk_rng *, const struct mk_trace_style *);
    static maker *const forms[] = {make_value, make_which, make_facts, make_party};
    mk_problem_begin(p, &mk_task_logic, level);
    forms[mk_pick(r, 0, MK_COUNT(forms) - 1)](p, r, style);
}

/* Names and numbers may come in any order. */
static double verify(const struct mk_problem *p, const char *answer, size_t n)
{
    return mk_verify_words(p, answer, n, false);
}

const struct mk_task mk_task_logic = {
    .name = "logic",
    .about = "truth of formulas, and what follows from rules",
    .lo = MK_LEVEL_EASIEST,
    .hi = MK_LEVEL_HARDEST,
    .make = make,
    .verify = verify,
};
