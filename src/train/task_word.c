/* Word problems: a story of a number of things that changes step by step, told of a person or of a
 * place.  The trace is the story as arithmetic, one change after the other. */
#include "train/int_words.h"

#include <assert.h>
#include <string.h>

enum op {
    OP_ADD,        /* +k */
    OP_SUB,        /* -k */
    OP_ADD_GROUPS, /* +k*m */
    OP_SUB_GROUPS, /* -k*m */
    OP_DOUBLE,
    OP_TRIPLE,
    OP_HALF,
    OP_SHARE, /* /k */
    N_OPS
};

enum { MAX_STEPS = 8 };
struct step {
    enum op op;
    int64_t k, m;
};

static int64_t apply(int64_t v, struct step s)
{
    switch (s.op) {
    case OP_ADD:
        return v + s.k;
    case OP_SUB:
        return v - s.k;
    case OP_ADD_GROUPS:
        return v + s.k * s.m;
    case OP_SUB_GROUPS:
        return v - s.k * s.m;
    case OP_DOUBLE:
        return v * 2;
    case OP_TRIPLE:
        return v * 3;
    case OP_HALF:
        return v % 2 ? -1 : v / 2;
    case OP_SHARE:
        return v % s.k ? -1 : v / s.k;
    default:
        return -1;
    }
}

/* Stories of a person.  {a} the person or a pronoun, {b} k, {c} things, {d} a friend, {e} m,
 * {f} his/her, {g} him/her, {h} k in words, {i} a container,
 * {k} the name. */
static const char *const thing_names[] = {
    "marbles", "apples",  "pencils", "stickers", "coins",  "books",  "cards",    "shells",
    "stamps",  "buttons", "beads",   "cookies",  "balls",  "toys",   "eggs",     "nuts",
    "pears",   "plums",   "cups",    "keys",     "stones", "photos", "candles",  "oranges",
    "flowers", "tickets", "peaches", "ribbons",  "dolls",  "cakes",  "feathers", "lemons",
};
static const char *const containers[] = {"bags", "boxes", "baskets", "packs", "bowls"};

static const char *const person_start[] = {
    "{a} has {b} {c}.",
    "{a} starts with {b} {c}.",
    "At first {a} has {b} {c}.",
    "There are {b} {c} in {a}'s [room|bag|house|kitchen].",
    "{a} [owns|collects|finds] {b} {c}.",
    "[In the morning|Today|On Monday] {a} has {b} {c}.",
};

static const char *const person_add[] = {
    "{a} [buys|finds|gets|makes|wins|picks up] {b} [more|more {c}]",
    "{a} gets {b} [more |]{c} from {d}",
    "{d} gives {g} {b} [more|more {c}|{c}]",
    "{a} adds {b} [more|more {c}]",
    "{a} is given {b} [more|{c}] by [{d}|a friend|{f} [aunt|uncle|teacher|neighbour]]",
    "{f} [mother|father|sister|brother] brings {g} {b} [more|more {c}]",
};
static const char *const person_sub[] = {
    "{a} gives {b} [|of them |{c} ]to {d}",
    "{a} [loses|sells|uses|breaks|gives away|throws away] {b} [of them|{c}]",
    "{d} takes {b} [of them|{c}] from {g}",
    "{d} borrows {b} [of them|{c}]",
    "{b} of the {c} [get lost|are stolen|fall into the river]",
    "{a} leaves {b} of them at [{d}'s house|school|home]",
};
static const char *const person_add_groups[] = {
    "each of {h} friends [brings|gives] {g} {e} [more|{c}|more {c}]",
    "{a} buys {h} {i} [of|with] {e} {c} each",
    "{a} gets {e} [more|{c}|more {c}] from each of {h} [friends|neighbours|children]",
    "{a} buys {e} [more|{c}] on each of {h} days",
};
static const char *const person_sub_groups[] = {
    "{a} gives {e} [{c}|of them] to each of {h} [friends|neighbours|children]",
    "each of {h} friends takes {e} [{c}|of them]",
    "{a} sells {h} {i} [of|with] {e} {c} each",
    "{a} loses {e} [of them|{c}] on each of {h} days",
};
static const char *const person_double[] = {
    "{a} doubles {f} {c}",
    "{a} buys as many {c} as {a} already has",
    "the number of {c} doubles",
    "{d} doubles the number of {k}'s {c}",
};
static const char *const person_triple[] = {
    "{a} triples {f} {c}",
    "the number of {c} triples",
    "{d} triples the number of {k}'s {c}",
};
static const char *const person_half[] = {
    "{a} [gives away|sells|loses|uses] half of [them|the {c}]",
    "{a} gives half of [them|{f} {c}] to {d}",
    "half of [them|the {c}] [get lost|are stolen]",
};
static const char *const person_share[] = {
    "{a} puts the {c} equally into {h} {i} and keeps only one of the {i}",
    "{a} shares the {c} equally among {h} [people|children], {g} included",
    "{a} shares them equally among {h} people and is one of them",
};
static const char *const person_ask[] = {
    "How many {c} does {a} have[ now| in the end| at the end|]?",
    "How many {c} are left[ for {a}| in the end|]?",
    "How many does {a} have [now|in the end]?",
    "What number of {c} does {a} have [now|in the end]?",
};

static const struct { /* patterns of an operation */
    const char *const *text;
    int n;
} person_ops[N_OPS] = {
    [OP_ADD] = {person_add, MK_COUNT(person_add)},
    [OP_SUB] = {person_sub, MK_COUNT(person_sub)},
    [OP_ADD_GROUPS] = {person_add_groups, MK_COUNT(person_add_groups)},
    [OP_SUB_GROUPS] = {person_sub_groups, MK_COUNT(person_sub_groups)},
    [OP_DOUBLE] = {person_double, MK_COUNT(person_double)},
    [OP_TRIPLE] = {person_triple, MK_COUNT(person_triple)},
    [OP_HALF] = {person_half, MK_COUNT(person_half)},
    [OP_SHARE] = {person_share, MK_COUNT(person_share)},
};

/* Stories of a place.  {b} k, {c} things, {e} m, {h} k in words, {j} where. */
static const struct place {
    const char *things, *where, *come, *go, *group;
} places[] = {
    {"passengers", "on a bus", "[get on|board]", "[get off|leave the bus]", "groups"},
    {"passengers", "on a train", "[get on|board]", "[get off|leave the train]", "groups"},
    {"birds", "in a tree", "[come|fly to the tree|land there]", "fly away", "groups"},
    {"ducks", "on a pond", "[come|arrive|land there]", "[swim away|fly away]", "groups"},
    {"books", "on a shelf", "are [put there|added]", "are [taken away|borrowed]", "piles"},
    {"cars", "in a car park", "[drive in|arrive]", "[drive away|leave]", "rows"},
    {"people", "in a hall", "[come in|arrive|enter]", "[leave|go home]", "groups"},
    {"sheep", "on a meadow", "[come|are added]", "[run away|are sold]", "groups"},
    {"apples", "in a basket", "are [put in|added]", "are [taken out|eaten]", "bags"},
    {"fish", "in a lake", "[swim in|are added]", "[swim away|are caught]", "groups"},
    {"guests", "in a hotel", "[arrive|check in]", "[leave|check out]", "families"},
    {"letters", "in a box", "are [put in|added]", "are [taken out|sent]", "piles"},
    {"children", "in a park", "[come|arrive]", "[leave|go home]", "groups"},
    {"boats", "in a harbour", "[come in|arrive]", "[leave|sail away]", "groups"},
};

static void place_sentence(struct mk_str *s, struct mk_rng *r, const struct place *w, enum op op)
{
    const bool more = op == OP_ADD || op == OP_ADD_GROUPS;
    switch (op) {
    case OP_ADD:
    case OP_SUB:
        mk_str_add(s, more ? "{b} [more|more {c}] " : "{b} [of them|{c}] ");
        break;
    case OP_ADD_GROUPS:
    case OP_SUB_GROUPS:
        mk_str_addf(s, "{h} %s of {e} {c} %s", w->group, mk_chance(r, 0.5) ? "each " : "");
        break;
    case OP_DOUBLE:
        mk_str_add(s, "the number of {c} doubles");
        return;
    case OP_TRIPLE:
        mk_str_add(s, "the number of {c} triples");
        return;
    default:
        mk_str_add(s, "half of [the {c}|them] ");
        break;
    }
    mk_str_add(s, more ? w->come : w->go);
}

/* ---- the story ---- */

struct story {
    struct mk_rng *rng;
    int level;
    const struct mk_person *who, *friend; /* who is NULL: a place */
    const struct place *place;
    const char *things, *container;
    int64_t start, value;
    struct step step[MAX_STEPS];
    int n;
};

static const struct limits {
    int lo_steps, hi_steps;
    int64_t start, operand, value, times; /* the largest of each */
} limits[] = {
    {1, 1, 20, 10, 60, 3},  {2, 2, 40, 20, 120, 4},  {2, 4, 60, 40, 250, 6},
    {5, 6, 90, 60, 999, 9}, {7, 8, 200, 90, 999, 9},
};

static const struct limits *limits_of(int level) { return &limits[level - MK_LEVEL_EASIEST]; }

/* A change that keeps the value in range. */
static struct step draw_step(struct story *s)
{
    static const enum op often[] = {
        OP_ADD,  OP_ADD,        OP_ADD,        OP_SUB,    OP_SUB,   OP_SUB,        OP_HALF,
        OP_HALF, OP_ADD_GROUPS, OP_SUB_GROUPS, OP_DOUBLE, OP_SHARE, OP_ADD_GROUPS, OP_TRIPLE};
    const struct limits *l = limits_of(s->level);
    for (;;) {
        struct step t = {.op = MK_ANY(s->rng, often)};
        const bool groups = t.op == OP_ADD_GROUPS || t.op == OP_SUB_GROUPS;
        const bool few = groups || t.op == OP_SHARE;
        t.k = few ? mk_pick(s->rng, 2, l->times) : mk_pick(s->rng, 2, l->operand);
        t.m = mk_pick(s->rng, 2, l->times + 1 < 9 ? l->times + 1 : 9);
        if ((t.op == OP_SHARE || t.op == OP_TRIPLE) && (!s->who || s->level < -1)) continue;
        if (t.op == OP_TRIPLE && s->value > 60) continue;
        const int64_t v = apply(s->value, t);
        if (v >= 0 && v <= l->value && (v > 0 || mk_chance(s->rng, 0.1))) return t;
    }
}

static const char *count_word(struct mk_rng *r, int64_t k)
{
    static const char *const words[] = {"two", "three", "four",  "five",
                                        "six", "seven", "eight", "nine"};
    return k >= 2 && k <= 9 && mk_chance(r, 0.4) ? words[k - 2] : mk_num(k);
}

static void tell_step(struct story *s, struct mk_str *out, struct step t)
{
    static const char *const openings[] = {"then ",         "later ", "after that ", "next ",
                                           "the next day ", "now ",   "and then "};
    struct mk_rng *r = s->rng;
    const bool fem = s->who && s->who->is_female;
    const bool by_name = mk_chance(r, 0.35);
    const char *me = !s->who ? "" : by_name ? s->who->name : fem ? "she" : "he";
    const char *args[] = {me,
                          mk_num(t.k),
                          s->things,
                          s->friend->name,
                          mk_num(t.m),
                          fem ? "her" : "his",
                          fem ? "her" : "him",
                          count_word(r, t.k),
                          s->container,
                          "",
                          s->who ? s->who->name : ""};
    struct mk_str pattern = {0};
    if (mk_chance(r, 0.4)) mk_str_add(&pattern, MK_ANY(r, openings));
    if (s->who)
        mk_str_add(&pattern, person_ops[t.op].text[mk_pick(r, 0, person_ops[t.op].n - 1)]);
    else
        place_sentence(&pattern, r, s->place, t.op);
    mk_str_addc(&pattern, '.');
    mk_sentence(out, r, pattern.data, args);
    mk_str_release(&pattern);
}

/* A sentence that changes nothing; at the harder levels it has a number in it. */
static void tell_aside(struct story *s, struct mk_str *out)
{
    static const char *const plain[] = {
        "It is a [sunny|rainy|cold|warm|nice] day.",
        "{d} [watches|sings a song|is tired|is hungry|reads a book|waits outside].",
        "It [rains|snows] [a little|all day].",
        "The {c} are [red|blue|big|small|old|new].",
    };
    static const char *const numbered[] = {
        "{d} has {b} {c}.",
        "{d} is {b} years old.",
        "It is day {b} of the month.",
        "{d} lives in house number {b}.",
        "A [hat|coat|lamp|bag] costs {b} coins.",
        "It is {b} degrees outside.",
    };
    struct mk_rng *r = s->rng;
    const char *args[] = {"", mk_num(mk_pick(r, 2, 30)), s->things, s->friend->name};
    const bool number = s->level > 0 && mk_chance(r, 0.7);
    const int first = number && !s->who; /* a place: its things belong to nobody */
    mk_sentence(out, r,
                number ? numbered[mk_pick(r, first, MK_COUNT(numbered) - 1)]
                       : plain[mk_pick(r, 0, s->who ? 3 : 2)],
                args);
}

static void tell(struct story *s, struct mk_str *out)
{
    struct mk_rng *r = s->rng;
    const char *args[10] = {s->who ? s->who->name : "", mk_num(s->start), s->things};
    if (s->who) {
        mk_sentence(out, r, MK_ANY(r, person_start), args);
    } else {
        args[9] = s->place->where;
        mk_sentence(out, r, "[There are|At first there are|We see] {b} {c} {j}.", args);
    }
    const double asides = s->level > 0 ? 0.4 : s->level == 0 ? 0.08 : 0;
    for (int i = 0; i < s->n; i++) {
        if (mk_chance(r, asides)) tell_aside(s, out);
        s->step[i] = draw_step(s);
        tell_step(s, out, s->step[i]);
        s->value = apply(s->value, s->step[i]);
    }
    if (mk_chance(r, asides)) tell_aside(s, out);
    if (s->who)
        mk_sentence(out, r, MK_ANY(r, person_ask), args);
    else
        mk_sentence(out, r, "How many {c} are [there now|there in the end|left|there]?", args);
}

/* ---- the trace ---- */

static int64_t work_step(struct mk_trace *t, int64_t v, struct step s)
{
    switch (s.op) {
    case OP_ADD:
        return mk_trace_sum(t, v, s.k);
    case OP_SUB:
        return mk_trace_difference(t, v, s.k);
    case OP_DOUBLE:
        return mk_trace_product(t, v, 2);
    case OP_TRIPLE:
        return mk_trace_product(t, v, 3);
    case OP_HALF:
        return mk_trace_quotient(t, v, 2);
    case OP_SHARE:
        return mk_trace_quotient(t, v, s.k);
    default:
        break;
    }
    const int64_t all = mk_trace_product(t, s.k, s.m);
    mk_trace_say(t, ";");
    return s.op == OP_ADD_GROUPS ? mk_trace_sum(t, v, all) : mk_trace_difference(t, v, all);
}

/* The last change taken back. */
static void check_step(struct mk_trace *t, int64_t after, struct step s)
{
    mk_trace_say(t, "; check:");
    switch (s.op) {
    case OP_ADD:
        mk_trace_difference(t, after, s.k);
        break;
    case OP_SUB:
        mk_trace_sum(t, after, s.k);
        break;
    case OP_ADD_GROUPS:
        mk_trace_difference(t, after, s.k * s.m);
        break;
    case OP_SUB_GROUPS:
        mk_trace_sum(t, after, s.k * s.m);
        break;
    case OP_DOUBLE:
        mk_trace_quotient(t, after, 2);
        break;
    case OP_TRIPLE:
        mk_trace_quotient(t, after, 3);
        break;
    default:
        mk_trace_product(t, after, s.op == OP_HALF ? 2 : s.k);
        break;
    }
    mk_trace_say(t, "ok");
}

static void make(struct mk_problem *p, struct mk_rng *r, int level,
                 const struct mk_trace_style *style)
{
    const struct limits *l = limits_of(level);
    const struct mk_person *two[2];
    mk_problem_begin(p, &mk_task_word, level);
    mk_pick_people(r, two, 2);
    struct story s = {.rng = r, .level = level, .friend = two[1]};
    if (mk_chance(r, 0.7))
        s.who = two[0];
    else
        s.place = &MK_ANY(r, places);
    s.things = s.who ? MK_ANY(r, thing_names) : s.place->things;
    s.container = MK_ANY(r, containers);
    s.start = s.value = mk_pick(r, 2, l->start);
    s.n = (int)mk_pick(r, l->lo_steps, l->hi_steps);
    tell(&s, &p->prompt);

    struct mk_trace t;
    mk_trace_begin(&t, p, r, style);
    int64_t v = s.start;
    for (int i = 0; i < s.n; i++) {
        if (i) mk_trace_say(&t, ";");
        v = work_step(&t, v, s.step[i]);
    }
    assert(v == s.value);
    if (t.check) check_step(&t, v, s.step[s.n - 1]);
    mk_trace_end(&t);
    mk_str_add(&p->answer, mk_num(s.value));
}

const struct mk_task mk_task_word = {
    .name = "word",
    .about = "word problems of several steps",
    .lo = MK_LEVEL_EASIEST,
    .hi = MK_LEVEL_HARDEST,
    .make = make,
    .verify = mk_verify_number,
};
