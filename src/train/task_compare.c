/* The largest or smallest of 2 to 5 numbers.  The trace keeps the best so far and compares it with
 * the next number: by length, or digit by digit up to the first difference.
 *
 *     largest: 4827, 395: len 4>3 so 4827, 4901: 4=4 8<9 so 4901 */
#include "train/int_task.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NUMBERS = 7, MAX_DIGITS = 7 };

static const char *const prompts[][8] = {
    {
        "Which number is the largest: {a}?",
        "What is the largest of {b}?",
        "Find the largest number: {a}.",
        "Which of these is the biggest: {a}?",
        "Name the greatest of the numbers {b}.",
        "Largest of {a}?",
        "Which is the highest of {b}?",
        "What is the maximum of {a}?",
    },
    {
        "Which number is the smallest: {a}?",
        "What is the smallest of {b}?",
        "Find the smallest number: {a}.",
        "Which of these is the lowest: {a}?",
        "Name the least of the numbers {b}.",
        "Smallest of {a}?",
        "Which is the lowest of {b}?",
        "What is the minimum of {a}?",
    },
};

/* n different numbers of up to n_digit digits.  Half of the problems have a number with the same
 * beginning as another one: random numbers would nearly always differ in their first digit. */
static void draw(struct mk_rng *r, int64_t *v, int n, int n_digit)
{
    for (int i = 0; i < n;) {
        v[i] = mk_pick_digits(r, n_digit);
        if (i && mk_chance(r, 0.3)) {
            int64_t unit = 10;
            while (unit * 10 <= v[i - 1] && mk_chance(r, 0.5)) unit *= 10;
            v[i] = v[i - 1] / unit * unit + mk_pick(r, 0, unit - 1);
        }
        bool is_new = true;
        for (int k = 0; k < i; k++) is_new = is_new && v[k] != v[i];
        i += is_new;
    }
    mk_shuffle(r, v, n);
}

/* Writes the comparison of a and b; returns the larger or the smaller one. */
static int64_t compare(struct mk_trace *t, int64_t a, int64_t b, bool largest)
{
    char x[24], y[24];
    strcpy(x, mk_num(a));
    strcpy(y, mk_num(b));
    const int nx = (int)strlen(x), ny = (int)strlen(y);
    if (nx != ny) {
        mk_trace_say(t, "len %d%c%d", nx, nx > ny ? '>' : '<', ny);
    } else {
        for (int i = 0;; i++) {
            if (x[i] == y[i]) {
                mk_trace_say(t, "%c=%c", x[i], y[i]);
                continue;
            }
            const char right[] = {x[i] > y[i] ? '>' : '<', y[i], '\0'};
            const char wrong[] = {x[i] > y[i] ? '<' : '>', y[i], '\0'};
            mk_trace_word(t, right, wrong, "%c", x[i]);
            break;
        }
    }
    const int64_t best = (a > b) == largest ? a : b;
    mk_trace_say(t, "so %" PRId64, best);
    return best;
}

static void make(struct mk_problem *p, struct mk_rng *r, int level,
                 const struct mk_trace_style *style)
{
    static const int max_n[] = {3, 4, 5, 6, 7}, max_digits[] = {2, 3, 5, 6, 7};
    mk_problem_begin(p, &mk_task_compare, level);
    const int k = level - MK_LEVEL_EASIEST;
    const int n = level > 0 ? max_n[k] : (int)mk_pick(r, 2, max_n[k]);
    int64_t v[MAX_NUMBERS];
    draw(r, v, n, max_digits[k]);
    const bool largest = mk_chance(r, 0.5);
    struct mk_str commas = {0}, and = {0};
    mk_str_list(&commas, v, n, ", ", NULL);
    mk_str_list(&and, v, n, ", ", " and ");
    mk_say_any(r, &p->prompt, prompts[!largest], MK_COUNT(prompts[0]),
               (const char *[]){commas.data, and.data});
    mk_str_release(&commas);
    mk_str_release(&and);

    struct mk_trace t;
    mk_trace_begin(&t, p, r, style);
    mk_trace_say(&t, "%s: %" PRId64, largest ? "largest" : "smallest", v[0]);
    int64_t best = v[0];
    for (int i = 1; i < n; i++) {
        mk_trace_say(&t, ", %" PRId64 ":", v[i]);
        best = compare(&t, best, v[i], largest);
    }
    if (t.check) {
        mk_trace_say(&t, "check");
        for (int i = 0; i < n; i++)
            if (v[i] != best) mk_trace_say(&t, "%" PRId64 "%c%" PRId64, best, "<>"[largest], v[i]);
        mk_trace_say(&t, "ok");
    }
    mk_trace_end(&t);
    mk_str_add(&p->answer, mk_num(best));
}

const struct mk_task mk_task_compare = {
    .name = "compare",
    .about = "the largest or smallest of 2 to 5 numbers of up to 5 digits",
    .lo = -2,
    .hi = 2,
    .make = make,
    .verify = mk_verify_number,
};
