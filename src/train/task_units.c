/* Conversions of units.  Between metric units the trace moves the decimal point one place at a
 * time and takes a zero off the factor each time:
 *
 *     1 km=1000 m: 3.5*1000 =35*100 =350*10 =3500
 *
 * the other units are multiplied and divided as the arithmetic tasks do. */
#include "train/int_words.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct unit {
    const char *sign, *one, *many; /* sign NULL: none in use */
    int64_t next;                  /* how many of the next smaller unit it is; 0: the smallest */
};
enum { MAX_UNITS = 5 };
struct family {
    struct unit unit[MAX_UNITS]; /* largest first */
    int n;
    bool is_metric;
    const char *tell; /* {a} the quantity, {b} the unit asked for, {c} that one's name */
};

static const struct family families[] = {
    {{{"km", "kilometre", "kilometres", 1000},
      {"m", "metre", "metres", 100},
      {"cm", "centimetre", "centimetres", 10},
      {"mm", "millimetre", "millimetres", 0}},
     4,
     true,
     "A [road|rope|wall|path|river|line] is {a} long. How many {b} is that?"},
    {{{"m", "metre", "metres", 1000}, {"mm", "millimetre", "millimetres", 0}},
     2,
     true,
     "A [stick|wire|table|board] is {a} long. How many {b} is that?"},
    {{{"t", "ton", "tons", 1000},
      {"kg", "kilogram", "kilograms", 1000},
      {"g", "gram", "grams", 1000},
      {"mg", "milligram", "milligrams", 0}},
     4,
     true,
     "A [bag|box|stone|parcel|load] weighs {a}. How many {b} is that?"},
    {{{"kg", "kilogram", "kilograms", 1000}, {"g", "gram", "grams", 0}},
     2,
     true,
     "A [bag|cake|cat|book|parcel] weighs {a}. How many {b} is that?"},
    {{{"l", "litre", "litres", 1000}, {"ml", "millilitre", "millilitres", 0}},
     2,
     true,
     "A [bottle|bucket|pot|tank] holds {a}. How many {b} is that?"},
    {{{"l", "litre", "litres", 10},
      {"dl", "decilitre", "decilitres", 10},
      {"cl", "centilitre", "centilitres", 10},
      {"ml", "millilitre", "millilitres", 0}},
     4,
     true,
     "A [bottle|jug|glass|can] holds {a}. How many {b} is that?"},
    {{{NULL, "euro", "euros", 100}, {NULL, "cent", "cents", 0}},
     2,
     true,
     "A [book|toy|ticket|pen] costs {a}. How many {b} is that?"},
    {{{NULL, "dollar", "dollars", 100}, {NULL, "cent", "cents", 0}},
     2,
     true,
     "A [hat|ball|lamp|meal] costs {a}. How many {b} is that?"},
    {{{NULL, "week", "weeks", 7},
      {NULL, "day", "days", 24},
      {"h", "hour", "hours", 60},
      {"min", "minute", "minutes", 60},
      {"s", "second", "seconds", 0}},
     5,
     false,
     "A [trip|job|storm|course] takes {a}. How many {b} is that?"},
    {{{"h", "hour", "hours", 60}, {"min", "minute", "minutes", 60}, {"s", "second", "seconds", 0}},
     3,
     false,
     "A [film|song|game|lesson] lasts {a}. How many {b} is that?"},
    {{{NULL, "year", "years", 12}, {NULL, "month", "months", 0}},
     2,
     false,
     "A [child|dog|house|tree] is {a} old. How many {b} is that?"},
    {{{NULL, "dozen", "dozen", 12}, {NULL, "egg", "eggs", 0}},
     2,
     false,
     "A [cook|baker|shop] buys {a}. How many {b} is that?"},
    {{{"yd", "yard", "yards", 3}, {"ft", "foot", "feet", 12}, {NULL, "inch", "inches", 0}},
     3,
     false,
     "A [fence|board|rope] is {a} long. How many {b} is that?"},
};

/* Quantities are whole numbers of micro-units, so that a decimal point can move. */
enum { MICRO = 1000000 };

static const char *amount(int64_t micro, char buf[32])
{
    int n = snprintf(buf, 32, "%" PRId64, micro / MICRO);
    if (micro % MICRO == 0) return buf;
    n += snprintf(buf + n, 32 - (size_t)n, ".%06" PRId64, micro % MICRO);
    while (buf[n - 1] == '0') buf[--n] = '\0';
    return buf;
}

static const char *unit_name(const struct unit *u, bool is_sign, bool is_one)
{
    return is_sign && u->sign ? u->sign : is_one ? u->one : u->many;
}

/* ---- traces ---- */

static const char *unit_short(const struct unit *u) { return unit_name(u, true, false); }

/* "1 km=1000 m:" */
static void say_factor(struct mk_trace *t, const struct unit *big)
{
    mk_trace_say(t, "1 %s=%" PRId64 " %s:", unit_name(big, true, true), big->next,
                 unit_short(big + 1));
}

/* v times or divided by a power of ten, place by place. */
static int64_t work_shift(struct mk_trace *t, int64_t v, int64_t factor, bool down)
{
    const char op = down ? '*' : '/';
    char buf[32], right[48], wrong[48];
    mk_trace_say(t, "%s%c%" PRId64, amount(v, buf), op, factor);
    for (; factor > 1; factor /= 10) {
        const int64_t moved = down ? v * 10 : v / 10;
        if (factor > 10) {
            snprintf(right, sizeof right, "%s%c%" PRId64, amount(moved, buf), op, factor / 10);
            snprintf(wrong, sizeof wrong, "%s%c%" PRId64, amount(v, buf), op, factor / 10);
        } else {
            snprintf(right, sizeof right, "%s", amount(moved, buf));
            snprintf(wrong, sizeof wrong, "%s", amount(down ? moved * 10 : v, buf));
        }
        mk_trace_word(t, right, strlen(wrong) < MK_TRACE_WRONG ? wrong : NULL, "=");
        v = moved;
    }
    return v;
}

static int64_t work_down(struct mk_trace *t, const struct family *f, int i, int j, int64_t v)
{
    for (; i < j; i++) {
        say_factor(t, &f->unit[i]);
        v = f->is_metric ? work_shift(t, v, f->unit[i].next, true)
                         : mk_trace_product(t, v / MICRO, f->unit[i].next) * MICRO;
        if (i + 1 < j) mk_trace_say(t, ";");
    }
    return v;
}

static int64_t work_up(struct mk_trace *t, const struct family *f, int i, int j, int64_t v)
{
    for (; i > j; i--) {
        say_factor(t, &f->unit[i - 1]);
        v = f->is_metric ? work_shift(t, v, f->unit[i - 1].next, false)
                         : mk_trace_quotient(t, v / MICRO, f->unit[i - 1].next) * MICRO;
        if (i - 1 > j) mk_trace_say(t, ";");
    }
    return v;
}

/* ---- questions ---- */

enum form { FORM_DOWN, FORM_UP, FORM_MIXED, FORM_SPLIT, FORM_TOTAL };

struct question {
    const struct family *f;
    enum form form;
    int big, small;        /* units; big < small */
    int64_t value, second; /* in the unit of the question; MIXED and TOTAL: second in the small */
};

static int64_t factor_of(const struct question *q)
{
    int64_t all = 1;
    for (int i = q->big; i < q->small; i++) all *= q->f->unit[i].next;
    return all;
}

static const struct family *draw_family(struct mk_rng *r, int steps)
{
    for (;;) {
        const struct family *f = &MK_ANY(r, families);
        if (f->n > steps) return f;
    }
}

/* A number in the larger unit: whole, or with decimal places where the family has them. */
static int64_t draw_amount(struct mk_rng *r, const struct question *q, int level)
{
    const int64_t f = factor_of(q);
    const bool decimal = level >= 0 && q->f->is_metric && mk_chance(r, 0.5);
    if (decimal) {
        const int64_t unit = level > 0 && f >= 100 && mk_chance(r, 0.6) ? MICRO / 100 : MICRO / 10;
        return mk_pick(r, 1, level > 0 ? 999 : 199) * unit;
    }
    const int64_t most = level < -1 ? 9 : q->f->is_metric ? 99 : f > 100 ? 20 : f > 50 ? 24 : 40;
    return mk_pick(r, level < -1 ? 1 : 2, most) * MICRO;
}

static void draw_question(struct question *q, struct mk_rng *r, int level)
{
    static const enum form often[] = {FORM_DOWN,  FORM_DOWN,  FORM_DOWN,  FORM_UP,   FORM_UP,
                                      FORM_MIXED, FORM_MIXED, FORM_SPLIT, FORM_TOTAL};
    int steps = level <= 0 ? 1 : 1 + level;
    q->f = draw_family(r, steps);
    q->big = (int)mk_pick(r, 0, q->f->n - 1 - steps);
    q->small = q->big + steps;
    q->form = level < -1 ? FORM_DOWN : level < 0 ? often[mk_pick(r, 0, 4)] : MK_ANY(r, often);
    /* Splitting over several steps would divide by numbers like 3600. */
    if (q->form == FORM_SPLIT && steps > 1) q->form = FORM_MIXED;
    q->value = draw_amount(r, q, level);
    const int64_t f = factor_of(q);
    if (q->form == FORM_MIXED || q->form == FORM_SPLIT)
        q->value = q->value < MICRO ? MICRO : q->value / MICRO * MICRO;
    q->second = mk_pick(r, 1, f - 1 < 999 ? f - 1 : 999) * MICRO;
    if (f >= 100 && q->f->is_metric && mk_chance(r, 0.6))
        q->second = q->second / (10 * MICRO) * 10 * MICRO + 10 * MICRO;
    if (q->second >= f * MICRO) q->second -= 10 * MICRO;
    if (q->form == FORM_UP) q->value *= f;
    if (q->form == FORM_SPLIT) q->value = q->value * f + q->second;
}

/* "3.5 km", "1 metre" */
static const char *quantity(int64_t v, const struct unit *u, bool is_sign, char buf[64])
{
    char number[32];
    snprintf(buf, 64, "%s %s", amount(v, number), unit_name(u, is_sign, v == MICRO));
    return buf;
}

static void ask(const struct question *q, struct mk_rng *r, struct mk_str *out)
{
    static const char *const plain[] = {
        "How many {b} are {a}?", "How many {b} are there in {a}?",
        "Convert {a} to {b}.",   "Change {a} into {b}.",
        "What is {a} in {b}?",   "{a} is how many {b}?",
        "Express {a} in {b}.",   "{a} = ? {b}",
        "Write {a} in {b}.",
    };
    static const char *const total[] = {
        "How many {b} are {a} and {c} together?",
        "{a} plus {c}: how many {b} is that?",
        "Add {a} and {c}. Give the sum in {b}.",
        "What is {a} + {c} in {b}?",
    };
    const struct unit *big = &q->f->unit[q->big], *small = &q->f->unit[q->small];
    const bool sign = mk_chance(r, 0.5);
    const struct unit *from = q->form == FORM_UP || q->form == FORM_SPLIT ? small : big;
    char a[160], b[64], c[64];
    quantity(q->value, from, sign, a);
    quantity(q->second, small, sign, c);
    snprintf(b, sizeof b, "%s", unit_name(q->form == FORM_UP ? big : small, sign, false));
    if (q->form == FORM_SPLIT)
        snprintf(b, sizeof b, "%s and %s", unit_name(big, sign, false),
                 unit_name(small, sign, false));
    if (q->form == FORM_MIXED) {
        const size_t n = strlen(a);
        snprintf(a + n, sizeof a - n, "%s%s", mk_chance(r, 0.5) ? " and " : " ", c);
    }
    const char *args[] = {a, b, c};
    if (q->form == FORM_TOTAL)
        mk_phrase(out, r, MK_ANY(r, total), args);
    else if (q->form == FORM_SPLIT)
        mk_phrase(out, r, plain[mk_pick(r, 2, 4)], args);
    else if (mk_chance(r, 0.3))
        mk_phrase(out, r, q->f->tell, args);
    else
        mk_phrase(out, r, MK_ANY(r, plain), args);
}

static void work(const struct question *q, struct mk_trace *t, struct mk_problem *p)
{
    const struct unit *big = &q->f->unit[q->big], *small = &q->f->unit[q->small];
    char buf[32];
    if (q->form == FORM_SPLIT) {
        const int64_t f = factor_of(q), all = q->value / MICRO;
        int64_t rest = all;
        mk_trace_say(t, "1 %s=%" PRId64 " %s:", unit_name(big, true, true), f, unit_short(small));
        const int64_t whole = mk_trace_quotient(t, rest, f);
        rest -= whole * f;
        mk_str_addf(&p->answer, "%" PRId64 " %s %" PRId64 " %s", whole, unit_short(big), rest,
                    unit_short(small));
        mk_trace_say(t, "; so %s", mk_str_c(&p->answer));
        mk_str_addf(&p->data, "%d %" PRId64 " %d %" PRId64 " %d", (int)(q->f - families),
                    whole * MICRO, q->big, rest * MICRO, q->small);
        return;
    }
    const bool up = q->form == FORM_UP;
    int64_t v = up ? work_up(t, q->f, q->small, q->big, q->value)
                   : work_down(t, q->f, q->big, q->small, q->value);
    if (t->check && !up && q->form == FORM_DOWN) {
        mk_trace_say(t, "; check:");
        work_up(t, q->f, q->small, q->big, v);
        mk_trace_say(t, "ok");
    }
    if (q->form == FORM_MIXED || q->form == FORM_TOTAL) {
        mk_trace_say(t, ";");
        v = mk_trace_sum(t, v / MICRO, q->second / MICRO) * MICRO;
    }
    mk_str_add(&p->answer, amount(v, buf));
    mk_str_addf(&p->data, "%d %" PRId64 " %d", (int)(q->f - families), v, up ? q->big : q->small);
}

static void make(struct mk_problem *p, struct mk_rng *r, int level,
                 const struct mk_trace_style *style)
{
    struct question q;
    struct mk_trace t;
    mk_problem_begin(p, &mk_task_units, level);
    draw_question(&q, r, level);
    ask(&q, r, &p->prompt);
    mk_trace_begin(&t, p, r, style);
    work(&q, &t, p);
    mk_trace_end(&t);
}

/* ---- answers ---- */

/* A number with at most six decimal places in micro-units; moves *s behind it. */
static bool parse_amount(const char **s, int64_t *out)
{
    int64_t v = 0, place = MICRO;
    int digits = 0;
    for (; isdigit((unsigned char)**s); (*s)++) {
        if (++digits > 11) return false;
        v = v * 10 + (**s - '0');
    }
    if (!digits) return false;
    v *= MICRO;
    if (**s == '.' && isdigit((unsigned char)(*s)[1]))
        for ((*s)++; isdigit((unsigned char)**s); (*s)++) {
            if ((place /= 10) == 0) return false;
            v += place * (**s - '0');
        }
    *out = v;
    return true;
}

/* The unit of the family that is written at s (lower case); -1 for none at all, -2 for a word that
 * is no such unit. */
static int parse_unit(const struct family *f, const char **s)
{
    const char *w = *s;
    const size_t n = strspn(w, "abcdefghijklmnopqrstuvwxyz");
    if (n == 0) return -1;
    *s += n;
    for (int i = 0; i < f->n; i++) {
        const char *const names[] = {f->unit[i].one, f->unit[i].many,
                                     f->unit[i].sign ? f->unit[i].sign : f->unit[i].one};
        for (int k = 0; k < 3; k++)
            if (strlen(names[k]) == n && !strncmp(names[k], w, n)) return i;
    }
    return -2;
}

enum { MAX_PARTS = 2 };
struct measure {
    int64_t v[MAX_PARTS];
    int unit[MAX_PARTS], n;
};

/* "3500", "3500 m", "4 h 10 min", "4 hours and 10 minutes" */
static bool parse_measure(const struct family *f, const char *s, struct measure *m)
{
    for (m->n = 0; *s; m->n++) {
        if (m->n && !strncmp(s, "and ", 4)) s += 4;
        if (m->n == MAX_PARTS || !parse_amount(&s, &m->v[m->n])) return false;
        s += *s == ' ';
        m->unit[m->n] = parse_unit(f, &s);
        if (m->unit[m->n] == -2) return false;
        s += *s == ',';
        s += *s == ' ';
    }
    return true;
}

/* The number with its unit or, where one number is asked for, without. */
static double verify(const struct mk_problem *p, const char *answer, size_t n)
{
    char buf[MK_ANSWER_MAX + 1];
    int family;
    struct measure want, got;
    want.n = sscanf(mk_str_c(&p->data), "%d %" SCNd64 " %d %" SCNd64 " %d", &family, &want.v[0],
                    &want.unit[0], &want.v[1], &want.unit[1]) /
             2;
    if (want.n < 1 || family < 0 || family >= MK_COUNT(families)) return 0;
    if (!mk_answer_clean(p, answer, n, buf)) return 0;
    if (!parse_measure(&families[family], buf, &got) || got.n != want.n) return 0;
    for (int i = 0; i < want.n; i++) {
        const bool bare = want.n == 1 && got.unit[i] == -1;
        if (got.v[i] != want.v[i] || (!bare && got.unit[i] != want.unit[i])) return 0;
    }
    return 1;
}

const struct mk_task mk_task_units = {
    .name = "units",
    .about = "conversions between units",
    .lo = MK_LEVEL_EASIEST,
    .hi = MK_LEVEL_HARDEST,
    .make = make,
    .verify = verify,
};
