/* Countdown: reach a target from three numbers, each used once, with + - *.
 *
 * The trace is a search that always finds an answer when there is one, goes through the possible
 * forms in a fixed order, and stops at the first hit; each test costs one small calculation.  For
 * numbers a b c and a target t every expression has one of these forms (differences can be turned
 * round so that they are positive):
 *
 *   sums        only if t is not above 3 times the largest number allowed.  With s = a+b+c and
 *               half = (s-t)/2: the numbers that are subtracted add up to half, so half is one of
 *               the three, or half+t is (the one that is not subtracted).
 *   x*y, z      the product is t-z, t+z, or z-t: compare the distance of x*y and t with z.
 *   z*(x, y)    if z divides t: is t/z = x+y, x-y or x*y?
 *
 *     3 5 7 to 56: 3+5=8 8+7=15 no 3*5=15 far 3*7=21 far 5*7=35 far
 *     56/3 no 56/5 no 56/7=8 3+5=8 yes so (3+5)*7
 *
 * "far" means: no allowed number is that far from the target, seen without an exact subtraction.
 * Level 2 has four numbers; it tries each as the one that comes last, and the search above for the
 * other three. */
#include "train/int_task.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

enum { MAX_NUMBERS = 4 };

static const char *const prompts[] = {
    "Use {b} to make {c}.",
    "Make {c} from {a}.",
    "Reach {c} with the numbers {a}.",
    "How can you get {c} from {b}?",
    "Combine {b} with + - * to get {c}.",
    "Numbers: {a}. Target: {c}.",
    "Write {c} with {b}, each used once.",
    "Countdown: {a} to {c}",
    "Find an expression of {b} that equals {c}.",
    "Get {c} out of {b}.",
};

/* Limits at levels -2..2: the number of numbers, the largest of them, the largest target. */
static const struct limits {
    int n;
    int64_t max, target;
} limits[] = {{2, 20, 300}, {3, 10, 100}, {3, 20, 300}, {3, 50, 999}, {4, 20, 999}};

/* ---- the search ---- */

struct search {
    struct mk_trace *t;
    int64_t max; /* of a number */
    /* What was found: x op y, then op2 z; or z op2 (x op y). */
    int64_t x, y, z;
    char op, op2;
    bool z_first;
};

static bool hit(struct search *s, bool is_hit)
{
    mk_trace_say(s->t, is_hit ? "yes" : "no");
    return is_hit;
}

static bool found(struct search *s, int64_t x, char op, int64_t y, char op2, int64_t z)
{
    s->x = x, s->op = op, s->y = y, s->op2 = op2, s->z = z;
    s->z_first = false;
    return true;
}

static int64_t apply(int64_t x, char op, int64_t y)
{
    return op == '+' ? x + y : op == '-' ? x - y : x * y;
}

/* A step x op y; returns its value. */
static int64_t step(struct search *s, int64_t x, char op, int64_t y)
{
    const int64_t value = apply(x, op, y);
    mk_trace_num(s->t, value, "%" PRId64 "%c%" PRId64 "=", x, op, y);
    return value;
}

/* The two numbers besides v[k], in their order. */
static void others(const int64_t v[3], int k, int64_t *x, int64_t *y)
{
    *x = v[k == 0];
    *y = v[k == 2 ? 1 : 2];
}

static int index_of(const int64_t v[3], int64_t x)
{
    for (int k = 0; k < 3; k++)
        if (v[k] == x) return k;
    return -1;
}

static bool search_sums(struct search *s, const int64_t v[3], int64_t target)
{
    int64_t x, y;
    if (target > 3 * s->max) return false;
    const int64_t sum = step(s, step(s, v[0], '+', v[1]), '+', v[2]);
    if (sum == target) return hit(s, true) && found(s, v[0], '+', v[1], '+', v[2]);
    if (sum < target) return hit(s, false);
    const int64_t twice = step(s, sum, '-', target), half = twice / 2;
    if (twice % 2) {
        mk_trace_say(s->t, "odd");
        return false;
    }
    mk_trace_num(s->t, half, "%" PRId64 "/2=", twice);
    int k = index_of(v, half);
    if (hit(s, k >= 0)) {
        others(v, k, &x, &y);
        return found(s, x, '+', y, '-', half);
    }
    k = index_of(v, step(s, half, '+', target));
    if (!hit(s, k >= 0)) return false;
    others(v, k, &x, &y);
    return found(s, v[k], '-', x, '-', y);
}

/* x*y with z added or subtracted, or taken from z. */
static bool search_product(struct search *s, int64_t x, int64_t y, int64_t z, int64_t target)
{
    const int64_t m = step(s, x, '*', y), distance = m < target ? target - m : m - target;
    if (distance > s->max) {
        mk_trace_say(s->t, "far");
        return false;
    }
    step(s, m < target ? target : m, '-', m < target ? m : target);
    if (hit(s, distance == z)) return found(s, x, '*', y, m < target ? '+' : '-', z);
    if (m + target > s->max) return false;
    if (!hit(s, step(s, m, '+', target) == z)) return false;
    found(s, x, '*', y, '-', z);
    return s->z_first = true;
}

/* z times a pair of the others.  The product of all is the same for every z: tried for the first.
 */
static bool search_factor(struct search *s, int64_t z, int64_t x, int64_t y, int64_t target,
                          bool is_first)
{
    const int64_t hi = x > y ? x : y, lo = x > y ? y : x, q = target / z;
    if (target % z) {
        mk_trace_say(s->t, "%" PRId64 "/%" PRId64 " no", target, z);
        return false;
    }
    mk_trace_num(s->t, q, "%" PRId64 "/%" PRId64 "=", target, z);
    if (hit(s, step(s, x, '+', y) == q)) return found(s, x, '+', y, '*', z);
    if (hit(s, step(s, hi, '-', lo) == q)) return found(s, hi, '-', lo, '*', z);
    return is_first && hit(s, step(s, x, '*', y) == q) && found(s, x, '*', y, '*', z);
}

static bool search3(struct search *s, const int64_t v[3], int64_t target)
{
    int64_t x, y;
    mk_trace_say(s->t, "%" PRId64 " %" PRId64 " %" PRId64 " to %" PRId64 ":", v[0], v[1], v[2],
                 target);
    if (search_sums(s, v, target)) return true;
    for (int k = 2; k >= 0; k--) {
        others(v, k, &x, &y);
        if (search_product(s, x, y, v[k], target)) return true;
    }
    for (int k = 0; k < 3; k++) {
        others(v, k, &x, &y);
        if (search_factor(s, v[k], x, y, target, k == 0)) return true;
    }
    return false;
}

static bool search2(struct search *s, const int64_t v[2], int64_t target)
{
    static const char ops[] = "+-*";
    const int64_t hi = v[0] > v[1] ? v[0] : v[1], lo = v[0] > v[1] ? v[1] : v[0];
    mk_trace_say(s->t, "%" PRId64 " %" PRId64 " to %" PRId64 ":", v[0], v[1], target);
    for (const char *op = ops; *op; op++)
        if (hit(s, step(s, hi, *op, lo) == target)) return found(s, hi, *op, lo, 0, 0);
    return false;
}

/* The expression found, as text. */
static void write_found(const struct search *s, struct mk_str *out)
{
    const bool group = s->op2 == '*' && s->op != '*';
    if (s->z_first) mk_str_addf(out, "%" PRId64 "%c", s->z, s->op2);
    mk_str_addf(out, "%s%" PRId64 "%c%" PRId64 "%s", group ? "(" : "", s->x, s->op, s->y,
                group ? ")" : "");
    if (s->op2 && !s->z_first) mk_str_addf(out, "%c%" PRId64, s->op2, s->z);
}

/* Each number z once as the last: (the others) + z, - z, * z. */
static bool search4(struct search *s, const int64_t v[4], int64_t target, struct mk_str *out)
{
    for (int k = 0; k < 4; k++) {
        const int64_t z = v[k], rest[3] = {v[k == 0], v[k <= 1 ? 2 : 1], v[k == 3 ? 2 : 3]};
        const int64_t need[3] = {target - z, target + z, target % z ? 0 : target / z};
        for (int op = 0; op < 3; op++) {
            if (need[op] <= 0) continue;
            mk_trace_say(s->t, "%" PRId64 "%c%" PRId64 "=%" PRId64 ",", target, "-+/"[op], z,
                         need[op]);
            if (!search3(s, rest, need[op])) continue;
            mk_str_addc(out, '(');
            write_found(s, out);
            mk_str_addf(out, ")%c%" PRId64, "+-*"[op], z);
            return true;
        }
    }
    return false;
}

static void trace_check(struct search *s)
{
    mk_trace_say(s->t, "check");
    const int64_t inner = step(s, s->x, s->op, s->y);
    if (s->op2) {
        if (s->z_first)
            step(s, s->z, s->op2, inner);
        else
            step(s, inner, s->op2, s->z);
    }
    mk_trace_say(s->t, "ok");
}

/* ---- problems ---- */

/* What numbers reach in ((v0 . v1) . v2) . ...: 4^(n-1) values, some of them more than once.  A
 * fourth number is only joined to what is above 0 and not taken from. */
static int reach(const int64_t *v, int n, int64_t *out)
{
    int64_t part[16];
    if (n == 1) {
        out[0] = v[0];
        return 1;
    }
    const int64_t y = v[n - 1];
    const int m = reach(v, n - 1, part);
    int count = 0;
    for (int i = 0; i < m; i++) {
        const int64_t x = part[i];
        if (n == 4 && x <= 0) continue;
        out[count++] = x + y;
        out[count++] = x - y;
        out[count++] = x * y;
        if (n < 4) out[count++] = y - x;
    }
    return count;
}

/* Draws numbers and, evenly among the targets that they reach, one of them. */
static int64_t draw(struct mk_rng *r, const struct limits *l, int64_t v[MAX_NUMBERS])
{
    static const unsigned char orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 2, 0}};
    for (;;) {
        int64_t all[64], good[3 * 64];
        int n_good = 0;
        for (int i = 0; i < MAX_NUMBERS; i++) v[i] = mk_pick(r, 1, l->max);
        for (int o = 0; o < (l->n == 2 ? 1 : 3); o++) {
            const int64_t w[] = {v[orders[o][0]], v[orders[o][1]], v[orders[o][2]], v[3]};
            const int m = reach(w, l->n, all);
            for (int i = 0; i < m; i++) {
                bool is_new = all[i] >= 1 && all[i] <= l->target;
                for (int k = 0; is_new && k < n_good; k++) is_new = good[k] != all[i];
                if (is_new) good[n_good++] = all[i];
            }
        }
        if (n_good) return good[mk_pick(r, 0, n_good - 1)];
    }
}

static void make(struct mk_problem *p, struct mk_rng *r, int level,
                 const struct mk_trace_style *style)
{
    mk_problem_begin(p, &mk_task_countdown, level);
    const struct limits *l = &limits[level - MK_LEVEL_EASIEST];
    int64_t v[MAX_NUMBERS];
    const int64_t target = draw(r, l, v);
    struct mk_str commas = {0}, and = {0};
    mk_str_list(&commas, v, l->n, ", ", NULL);
    mk_str_list(&and, v, l->n, ", ", " and ");
    mk_say_any(r, &p->prompt, prompts, MK_COUNT(prompts),
               (const char *[]){commas.data, and.data, mk_num(target)});
    mk_str_release(&commas);
    mk_str_release(&and);
    mk_str_list(&p->data, v, l->n, " ", NULL);
    mk_str_addf(&p->data, " %" PRId64, target);

    struct mk_trace t;
    mk_trace_begin(&t, p, r, style);
    struct search s = {.t = &t, .max = l->max};
    const bool is_found = l->n == 2   ? search2(&s, v, target)
                          : l->n == 3 ? search3(&s, v, target)
                                      : search4(&s, v, target, &p->answer);
    assert(is_found); /* the search is complete, and the target is within reach */
    (void)is_found;
    if (l->n < 4) write_found(&s, &p->answer);
    mk_trace_say(&t, "so %s", p->answer.data);
    if (t.check && l->n < 4) trace_check(&s);
    mk_trace_end(&t);
}

/* ---- the verifier: its own reading of the expression ---- */

struct parser {
    const char *s;
    int depth, n;
    int64_t literal[MAX_NUMBERS];
};
enum { MAX_DEPTH = 16, MAX_LITERAL = 100000 };

static void skip_space(struct parser *p)
{
    while (*p->s == ' ') p->s++;
}

/* The next character if it is c. */
static bool take(struct parser *p, char c)
{
    skip_space(p);
    if (*p->s != c) return false;
    p->s++;
    return true;
}

static bool read_literal(struct parser *p, int64_t *out)
{
    skip_space(p);
    const char *begin = p->s;
    int64_t v = 0;
    for (; *p->s >= '0' && *p->s <= '9'; p->s++) {
        v = v * 10 + (*p->s - '0');
        if (v > MAX_LITERAL) return false;
    }
    *out = v;
    return p->s > begin && *begin != '0';
}

static bool parse_sum(struct parser *p, int64_t *out);

static bool parse_factor(struct parser *p, int64_t *out)
{
    if (take(p, '(')) {
        if (++p->depth > MAX_DEPTH || !parse_sum(p, out)) return false;
        p->depth--;
        return take(p, ')');
    }
    if (p->n == MAX_NUMBERS || !read_literal(p, out)) return false;
    p->literal[p->n++] = *out;
    return true;
}

static bool parse_product(struct parser *p, int64_t *out)
{
    int64_t v;
    if (!parse_factor(p, out)) return false;
    while (take(p, '*'))
        if (!parse_factor(p, &v) || __builtin_mul_overflow(*out, v, out)) return false;
    return true;
}

static bool parse_sum(struct parser *p, int64_t *out)
{
    int64_t v;
    if (!parse_product(p, out)) return false;
    for (;;) {
        if (take(p, '+')) {
            if (!parse_product(p, &v) || __builtin_add_overflow(*out, v, out)) return false;
        } else if (take(p, '-')) {
            if (!parse_product(p, &v) || __builtin_sub_overflow(*out, v, out)) return false;
        } else {
            return true;
        }
    }
}

/* Each number of want exactly once in got. */
static bool same_numbers(const int64_t *want, int n, const int64_t *got)
{
    bool used[MAX_NUMBERS] = {false};
    for (int i = 0; i < n; i++) {
        int k = 0;
        while (k < n && (used[k] || got[k] != want[i])) k++;
        if (k == n) return false;
        used[k] = true;
    }
    return true;
}

/* Any expression of the numbers with the value of the target; "= target" may follow. */
static double verify(const struct mk_problem *p, const char *answer, size_t n)
{
    char text[MK_ANSWER_MAX + 1];
    int64_t want[MAX_NUMBERS + 1], value, again;
    int n_want = 0;
    for (const char *s = mk_str_c(&p->data); *s && n_want <= MAX_NUMBERS; n_want++) {
        char *end;
        want[n_want] = strtoll(s, &end, 10);
        s = end;
    }
    if (n_want < 2 || !mk_answer_clean(p, answer, n, text)) return 0;
    const int64_t target = want[--n_want];
    struct parser e = {.s = text};
    if (!parse_sum(&e, &value) || value != target) return 0;
    if (take(&e, '=') && (!read_literal(&e, &again) || again != target)) return 0;
    skip_space(&e);
    return !*e.s && e.n == n_want && same_numbers(want, n_want, e.literal);
}

const struct mk_task mk_task_countdown = {
    .name = "countdown",
    .about = "reaching a target with + - * and three numbers of 1 to 20",
    .lo = -2,
    .hi = 2,
    .make = make,
    .verify = verify,
};
