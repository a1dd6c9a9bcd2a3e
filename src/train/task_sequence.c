/* The next number of a sequence.  The trace tries the kinds in a fixed order:
 *
 *   factor      the second is a multiple of the first, and the third the same multiple of it
 *   constant    the first two differences are the same
 *   sums        each number is the sum of the two before: the second difference is the first number
 *   alternating the third difference is the first one
 *   growing     what is left: the differences grow by the same amount (so do those of squares)
 *
 *     5 8 12 17: 8/5 no 8-5=3 12-8=4 17-12=5 grow 4-3=1 5+1=6 17+6=23 */
#include "train/int_task.h"

#include <inttypes.h>

enum kind { CONSTANT, SUMS, FACTOR, ALTERNATING, GROWING, SQUARES };
enum { MAX_TERMS = 6 };

static const char *const prompts[] = {
    "What comes next: {a}?",
    "What is the next number: {a}, ...?",
    "Continue the sequence {a}.",
    "Find the next term of {a}.",
    "{a}, ?",
    "Which number follows {a}?",
    "Complete the pattern: {a}, ...",
    "The sequence is {a}. What is next?",
    "Next in line: {a}",
    "Give the number that comes after {a}.",
};

/* Ranges at levels -2..2; numbers stay from 0 to limit. */
static const struct ranges {
    enum kind last;
    int64_t start, step, ratio, growth, limit;
    bool falls;
} ranges[] = {
    {CONSTANT, 50, 9, 0, 0, 99, false},       {FACTOR, 40, 9, 3, 0, 200, true},
    {SQUARES, 60, 9, 4, 4, 200, true},        {SQUARES, 300, 40, 6, 12, 9999, true},
    {SQUARES, 2000, 300, 9, 40, 99999, true},
};

static enum kind kind_of(const int64_t *v)
{
    if (v[0] > 0 && v[1] % v[0] == 0 && v[1] / v[0] * v[1] == v[2]) return FACTOR;
    if (v[1] - v[0] == v[2] - v[1]) return CONSTANT;
    if (v[0] + v[1] == v[2]) return SUMS;
    return v[3] - v[2] == v[1] - v[0] ? ALTERNATING : GROWING;
}

/* ---- problems ---- */

static int64_t pick_step(struct mk_rng *r, int64_t max, bool falls)
{
    const int64_t step = mk_pick(r, 1, max);
    return falls && mk_chance(r, 0.3) ? -step : step;
}

/* Fills v[0..n], of which the last is the answer. */
static void draw_terms(struct mk_rng *r, const struct ranges *in, enum kind kind, int n, int64_t *v)
{
    const int64_t first = mk_pick(r, 1, in->start), a = pick_step(r, in->step, in->falls);
    const int64_t b = pick_step(r, in->step < 9 ? in->step : 9, in->falls);
    const int64_t factor = in->ratio ? mk_pick(r, 2, in->ratio) : 0;
    const int64_t growth = in->growth ? mk_pick(r, 1, in->growth) : 0;
    v[0] = kind == SUMS || kind == FACTOR ? mk_pick(r, 1, in->start / 3) : first;
    v[1] = mk_pick(r, 1, in->start / 3); /* of SUMS */
    for (int i = kind == SUMS ? 2 : 1; i <= n; i++) {
        switch (kind) {
        case CONSTANT:
            v[i] = v[i - 1] + a;
            break;
        case SUMS:
            v[i] = v[i - 2] + v[i - 1];
            break;
        case FACTOR:
            v[i] = v[i - 1] * factor;
            break;
        case ALTERNATING:
            v[i] = v[i - 1] + (i % 2 ? a : b);
            break;
        default:
            v[i] = v[i - 1] + (a > 0 ? a : -a) + growth * (i - 1);
            break;
        }
    }
    for (int i = 0; kind == SQUARES && i <= n; i++) v[i] = (first / 4 + i) * (first / 4 + i);
}

/* Draws until the sequence shows the kind it was made as and stays in range. */
static int draw(struct mk_rng *r, const struct ranges *in, int64_t *v)
{
    for (;;) {
        enum kind kind = (enum kind)mk_pick(r, 0, in->last);
        if (kind == SQUARES && mk_chance(r, 0.7)) kind = ALTERNATING; /* there are few squares */
        const int n = kind == ALTERNATING                  ? (int)mk_pick(r, 5, 6)
                      : kind == SUMS                       ? (int)mk_pick(r, 4, 5)
                      : kind == CONSTANT || kind == FACTOR ? (int)mk_pick(r, 3, 5)
                                                           : 4;
        draw_terms(r, in, kind, n, v);
        bool fits = kind_of(v) == (kind == SQUARES ? GROWING : kind);
        for (int i = 0; i <= n; i++) fits = fits && v[i] >= 0 && v[i] <= in->limit;
        if (fits) return n;
    }
}

/* ---- the trace ---- */

/* a-b; small differences of numbers below 100 are one lookup. */
static int64_t difference(struct mk_trace *t, int64_t a, int64_t b)
{
    const int64_t d = a - b;
    if (a >= 100 || b >= 100 || d > 9 || d < -9) return mk_trace_difference(t, a, b);
    mk_trace_num(t, d, "%" PRId64 "-%" PRId64 "=", a, b);
    return d;
}

static int64_t step_on(struct mk_trace *t, int64_t v, int64_t d)
{
    return d < 0 ? mk_trace_difference(t, v, -d) : mk_trace_sum(t, v, d);
}

/* b/a as one step; returns 0 if that is not a whole number. */
static int64_t ratio(struct mk_trace *t, int64_t b, int64_t a)
{
    if (a == 0 || b % a) {
        mk_trace_say(t, "%" PRId64 "/%" PRId64 " no", b, a);
        return 0;
    }
    mk_trace_num(t, b / a, "%" PRId64 "/%" PRId64 "=", b, a);
    return b / a;
}

static int64_t trace_next(struct mk_trace *t, const int64_t *v, int n)
{
    int64_t d[MAX_TERMS] = {0};
    const int64_t q = ratio(t, v[1], v[0]);
    if (q && ratio(t, v[2], v[1]) == q) {
        mk_trace_say(t, "times");
        return mk_trace_product(t, v[n - 1], q);
    }
    for (int i = 0; i < 2; i++) d[i] = difference(t, v[i + 1], v[i]);
    if (d[0] == d[1]) {
        mk_trace_say(t, "same");
        return step_on(t, v[n - 1], d[0]);
    }
    if (d[1] == v[0]) {
        mk_trace_say(t, "sums");
        return mk_trace_sum(t, v[n - 2], v[n - 1]);
    }
    for (int i = 2; i < n - 1; i++) d[i] = difference(t, v[i + 1], v[i]);
    if (d[2] == d[0]) {
        mk_trace_say(t, "again");
        return step_on(t, v[n - 1], d[n % 2 ? 0 : 1]);
    }
    mk_trace_say(t, "grow");
    const int64_t growth = difference(t, d[1], d[0]);
    return mk_trace_sum(t, v[n - 1], mk_trace_sum(t, d[n - 2], growth));
}

static void make(struct mk_problem *p, struct mk_rng *r, int level,
                 const struct mk_trace_style *style)
{
    mk_problem_begin(p, &mk_task_sequence, level);
    int64_t v[MAX_TERMS + 1];
    const int n = draw(r, &ranges[level - MK_LEVEL_EASIEST], v);
    struct mk_str commas = {0}, plain = {0};
    mk_str_list(&commas, v, n, ", ", NULL);
    mk_str_list(&plain, v, n, " ", NULL);
    mk_say_any(r, &p->prompt, prompts, MK_COUNT(prompts), (const char *[]){commas.data});

    struct mk_trace t;
    mk_trace_begin(&t, p, r, style);
    mk_trace_say(&t, "%s:", plain.data);
    const int64_t next = trace_next(&t, v, n);
    if (t.check) {
        mk_trace_say(&t, "check");
        if (kind_of(v) == FACTOR)
            mk_trace_quotient(&t, next, v[1] / v[0]);
        else
            difference(&t, next, v[n - 1]);
        mk_trace_say(&t, "ok");
    }
    mk_trace_end(&t);
    mk_str_add(&p->answer, mk_num(next));
    mk_str_release(&commas);
    mk_str_release(&plain);
}

const struct mk_task mk_task_sequence = {
    .name = "sequence",
    .about = "the next number of a sequence",
    .lo = -2,
    .hi = 2,
    .make = make,
    .verify = mk_verify_number,
};
