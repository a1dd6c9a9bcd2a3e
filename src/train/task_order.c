/* Order puzzles: people compared in pairs ("Ann is taller than Bob"), and a question about the
 * whole order.  The trace repeats every sentence and writes it both ways round, climbs from the
 * first name to the one that nobody exceeds, and comes down again along the whole chain:
 *
 *     Ann is taller than Bob so Ann > Bob, Bob < Ann; Cid is shorter than Bob so Bob > Cid, Cid <
 * Bob; Bob < Ann; Ann > Bob > Cid; so Ann
 *
 * either way the next name is what stood behind the last one and its sign before. */
#include "train/int_words.h"

#include <stdio.h>

static const struct {
    const char *more, *less, *most, *least; /* taller, shorter, tallest, shortest */
} scales[] = {
    {"taller", "shorter", "tallest", "shortest"}, {"older", "younger", "oldest", "youngest"},
    {"faster", "slower", "fastest", "slowest"},   {"heavier", "lighter", "heaviest", "lightest"},
    {"richer", "poorer", "richest", "poorest"},   {"stronger", "weaker", "strongest", "weakest"},
    {"louder", "quieter", "loudest", "quietest"}, {"happier", "sadder", "happiest", "saddest"},
};

static const char *const compare[] = {
    "{a} is {c} than {b}.",
    "{a} is {c} than {b}.",
    "{b} is {d} than {a}.",
    "{b} is {d} than {a}.",
    "{a} is [much|a bit|clearly] {c} than {b}.",
    "{b} is [much|a bit|clearly] {d} than {a}.",
    "Compared with {b}, {a} is {c}.",
    "Compared with {a}, {b} is {d}.",
};
static const char *const ask_end[] = {
    "Who is the {e}?",
    "Who is {e}?",
    "Who is the {e} [of them|of all]?",
    "Name the {e} [person|one].",
};
static const char *const ask_list[] = {
    "List them from {e} to {f}.",
    "Sort them from {e} to {f}.",
    "Give the order from {e} to {f}.",
    "What is the order from {e} to {f}?",
    "Order the names from the {e} to the {f}.",
};

enum { MAX_NAMES = 7 };
enum form { FORM_END, FORM_SECOND, FORM_MIDDLE, FORM_LIST, FORM_IS };

struct order {
    const struct mk_person *who[MAX_NAMES]; /* from most to least */
    int64_t pair[MAX_NAMES];                /* who[pair[i]] > who[pair[i] + 1], as told */
    size_t begin[MAX_NAMES + 1];            /* of that sentence in the prompt */
    int n;
    enum form form;
    bool from_least;
    int x, y; /* FORM_IS: is x more (or less) than y */
};

static const char *name_of(const struct order *o, int i)
{
    return o->who[o->from_least ? o->n - 1 - i : i]->name;
}

static void ask(const struct order *o, struct mk_rng *r, int scale, struct mk_str *out)
{
    const char *most = scales[scale].most, *least = scales[scale].least;
    const char *args[] = {o->who[o->x]->name,           o->who[o->y]->name,
                          scales[scale].more,           scales[scale].less,
                          o->from_least ? least : most, o->from_least ? most : least};
    switch (o->form) {
    case FORM_END:
        mk_sentence(out, r, MK_ANY(r, ask_end), args);
        break;
    case FORM_SECOND:
        mk_sentence(out, r, "Who is the second {e}?", args);
        break;
    case FORM_MIDDLE:
        mk_sentence(out, r, "Who is [in the middle|the middle one]?", args);
        break;
    case FORM_LIST:
        mk_sentence(out, r, MK_ANY(r, ask_list), args);
        break;
    default:
        mk_sentence(out, r, o->from_least ? "Is {a} {d} than {b}?" : "Is {a} {c} than {b}?", args);
    }
}

static void answer(const struct order *o, struct mk_str *out)
{
    switch (o->form) {
    case FORM_END:
        mk_str_add(out, name_of(o, 0));
        break;
    case FORM_SECOND:
        mk_str_add(out, name_of(o, 1));
        break;
    case FORM_MIDDLE:
        mk_str_add(out, name_of(o, o->n / 2));
        break;
    case FORM_LIST:
        for (int i = 0; i < o->n; i++) mk_str_addf(out, "%s%s", i ? ", " : "", name_of(o, i));
        break;
    default:
        mk_str_add(out, (o->x < o->y) != o->from_least ? "yes" : "no");
    }
}

static void work(const struct order *o, const char *prompt, struct mk_trace *t)
{
    int i;
    for (i = 0; i < o->n - 1; i++) {
        const char *hi = o->who[o->pair[i]]->name, *lo = o->who[o->pair[i] + 1]->name;
        char wrong[MK_TRACE_WRONG], right[MK_TRACE_WRONG];
        snprintf(right, sizeof right, "%s > %s", hi, lo);
        snprintf(wrong, sizeof wrong, "%s > %s", lo, hi);
        const int n_sentence = (int)(o->begin[i + 1] - o->begin[i]) - 2; /* no ". " */
        mk_trace_say(t, "%.*s", n_sentence, prompt + o->begin[i]);
        mk_trace_word(t, right, wrong, "so ");
        mk_trace_say(t, ", %s < %s;", lo, hi);
    }
    i = (int)o->pair[0] + 1;
    mk_trace_say(t, "%s", o->who[i]->name);
    for (i--; i >= 0; i--)
        mk_trace_word(t, o->who[i]->name, i + 2 < o->n ? o->who[i + 2]->name : NULL, "< ");
    mk_trace_say(t, "; %s", o->who[0]->name);
    for (i = 1; i < o->n; i++) {
        const char *wrong = i + 1 < o->n ? o->who[i + 1]->name : i > 1 ? o->who[0]->name : NULL;
        mk_trace_word(t, o->who[i]->name, wrong, "> ");
    }
    if (o->form == FORM_IS) {
        const int hi = o->x < o->y ? o->x : o->y, lo = o->x < o->y ? o->y : o->x;
        mk_trace_say(t, "; %s > %s", o->who[hi]->name, o->who[lo]->name);
    }
    if (!t->check) return;
    mk_trace_say(t, "; check:");
    for (i = 0; i < o->n - 1; i++)
        mk_trace_say(t, "%s%s > %s", i ? ", " : "", o->who[o->pair[i]]->name,
                     o->who[o->pair[i] + 1]->name);
    mk_trace_say(t, "ok");
}

static enum form draw_form(struct mk_rng *r, int n)
{
    static const enum form often[] = {FORM_END,  FORM_END, FORM_END,    FORM_LIST,  FORM_LIST,
                                      FORM_LIST, FORM_IS,  FORM_SECOND, FORM_MIDDLE};
    for (;;) {
        const enum form f = MK_ANY(r, often);
        if (f == FORM_SECOND && n < 3) continue;
        if (f == FORM_MIDDLE && (n < 3 || n % 2 == 0)) continue;
        return f;
    }
}

static void make(struct mk_problem *p, struct mk_rng *r, int level,
                 const struct mk_trace_style *style)
{
    static const int lo[] = {2, 3, 3, 6, 7}, hi[] = {2, 3, 5, 6, 7};
    const int k = level - MK_LEVEL_EASIEST;
    const int scale = (int)mk_pick(r, 0, MK_COUNT(scales) - 1);
    struct order o = {.n = (int)mk_pick(r, lo[k], hi[k])};
    int xy[2];
    mk_problem_begin(p, &mk_task_order, level);
    mk_pick_people(r, o.who, o.n);
    for (int i = 0; i < o.n - 1; i++) o.pair[i] = i;
    mk_shuffle(r, o.pair, o.n - 1);
    o.form = draw_form(r, o.n);
    o.from_least = mk_chance(r, 0.5);
    mk_pick_distinct(r, o.n, xy, 2);
    o.x = xy[0], o.y = xy[1];
    for (int i = 0; i < o.n - 1; i++) {
        const int64_t at = o.pair[i];
        o.begin[i] = p->prompt.len + (i > 0); /* behind the space */
        mk_sentence(&p->prompt, r, MK_ANY(r, compare),
                    (const char *[]){o.who[at]->name, o.who[at + 1]->name, scales[scale].more,
                                     scales[scale].less});
    }
    o.begin[o.n - 1] = p->prompt.len + 1;
    ask(&o, r, scale, &p->prompt);
    answer(&o, &p->answer);

    struct mk_trace t;
    mk_trace_begin(&t, p, r, style);
    work(&o, mk_str_c(&p->prompt), &t);
    mk_trace_say(&t, "; so %s", mk_str_c(&p->answer));
    mk_trace_end(&t);
}

static double verify(const struct mk_problem *p, const char *text, size_t n)
{
    return mk_verify_words(p, text, n, true);
}

const struct mk_task mk_task_order = {
    .name = "order",
    .about = "who is the tallest, and the order of all",
    .lo = MK_LEVEL_EASIEST,
    .hi = MK_LEVEL_HARDEST,
    .make = make,
    .verify = verify,
};
