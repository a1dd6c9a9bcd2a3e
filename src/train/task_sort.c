/* Sorting 3 to 6 two-digit numbers, up or down.  The trace takes one number after the other and
 * puts it where it belongs among those before:
 *
 *     up 42 17 93 12: 42; 17: 17 42; 93: 17 42 93; 12: 12 17 42 93 */
#include "train/int_task.h"

#include <inttypes.h>
#include <string.h>

enum { MAX_NUMBERS = 8 };

static const char *const up[] = {
    "Sort {a} in ascending order.",
    "Sort from smallest to largest: {a}.",
    "Put these numbers in ascending order: {a}.",
    "Arrange {b} from low to high.",
    "Order the numbers {b} from smallest to largest.",
    "Sort {a}.",
    "Write {b} in increasing order.",
    "What is the ascending order of {a}?",
};
static const char *const down[] = {
    "Sort {a} in descending order.",
    "Sort from largest to smallest: {a}.",
    "Put these numbers in descending order: {a}.",
    "Arrange {b} from high to low.",
    "Order the numbers {b} from largest to smallest.",
    "Sort {a} backwards, largest first.",
    "Write {b} in decreasing order.",
    "What is the descending order of {a}?",
};

/* Insertion sort. */
static void order(int64_t *v, int n, bool is_up)
{
    for (int i = 1; i < n; i++)
        for (int k = i; k > 0 && (is_up ? v[k] < v[k - 1] : v[k] > v[k - 1]); k--) {
            const int64_t x = v[k];
            v[k] = v[k - 1], v[k - 1] = x;
        }
}

/* v [n], of which the first k + 1 are put in order. */
static void trace_insert(struct mk_trace *t, int64_t *v, int k, bool is_up)
{
    const int64_t x = v[k];
    struct mk_str right = {0}, wrong = {0};
    mk_str_list(&wrong, v, k + 1, " ", NULL); /* left where it was */
    order(v, k + 1, is_up);
    mk_str_list(&right, v, k + 1, " ", NULL);
    const bool can_slip = strcmp(right.data, wrong.data) != 0;
    mk_trace_word(t, right.data, can_slip ? wrong.data : NULL, "%" PRId64 ": ", x);
    mk_str_release(&right);
    mk_str_release(&wrong);
}

static void trace_check(struct mk_trace *t, const int64_t *v, int n)
{
    struct mk_str chain = {0};
    for (int i = 0; i < n; i++) {
        if (i) mk_str_addc(&chain, v[i] == v[i - 1] ? '=' : v[i] > v[i - 1] ? '<' : '>');
        mk_str_add(&chain, mk_num(v[i]));
    }
    mk_trace_say(t, "; check %s ok", chain.data);
    mk_str_release(&chain);
}

static void make(struct mk_problem *p, struct mk_rng *r, int level,
                 const struct mk_trace_style *style)
{
    static const int min_n[] = {2, 3, 3, 7, 8}, max_n[] = {3, 4, 6, 7, 8};
    mk_problem_begin(p, &mk_task_sort, level);
    const int k = level - MK_LEVEL_EASIEST;
    const int n = (int)mk_pick(r, min_n[k], max_n[k]);
    int64_t v[MAX_NUMBERS];
    for (int i = 0; i < n; i++) v[i] = mk_pick(r, 10, 99);
    const bool is_up = mk_chance(r, 0.5);
    struct mk_str commas = {0}, and = {0}, plain = {0};
    mk_str_list(&commas, v, n, ", ", NULL);
    mk_str_list(&and, v, n, ", ", " and ");
    mk_str_list(&plain, v, n, " ", NULL);
    mk_say_any(r, &p->prompt, is_up ? up : down, is_up ? MK_COUNT(up) : MK_COUNT(down),
               (const char *[]){mk_chance(r, 0.7) ? commas.data : plain.data, and.data});

    struct mk_trace t;
    mk_trace_begin(&t, p, r, style);
    mk_trace_say(&t, "%s %s: %" PRId64, is_up ? "up" : "down", plain.data, v[0]);
    for (int i = 1; i < n; i++) {
        mk_trace_say(&t, ";");
        trace_insert(&t, v, i, is_up);
    }
    mk_str_list(&p->answer, v, n, " ", NULL);
    if (t.check) trace_check(&t, v, n);
    mk_trace_end(&t);
    mk_str_release(&commas);
    mk_str_release(&and);
    mk_str_release(&plain);
}

const struct mk_task mk_task_sort = {
    .name = "sort",
    .about = "sorting 3 to 6 two-digit numbers, up or down",
    .lo = -2,
    .hi = 2,
    .make = make,
    .verify = mk_verify_list,
};
