/* Addition and subtraction of numbers of up to 4 + level digits, worked out digit by digit from
 * the right.  Differences below 0 come only at the levels above the standard. */
#include "train/int_task.h"

static const char *const sums[] = {
    "What is {a} plus {b}?",  "{a}+{b}",
    "{a} + {b} = ?",          "Add {a} and {b}.",
    "Compute {a} + {b}.",     "What is the sum of {a} and {b}?",
    "How much is {a}+{b}?",   "Calculate the sum {a} + {b}.",
    "Please add {b} to {a}.", "What do you get when you add {a} to {b}?",
};
static const char *const differences[] = {
    "What is {a} minus {b}?",
    "{a}-{b}",
    "{a} - {b} = ?",
    "Subtract {b} from {a}.",
    "Compute {a} - {b}.",
    "What is the difference {a} - {b}?",
    "How much is {a}-{b}?",
    "Take {b} away from {a}.",
    "What is left of {a} when you take away {b}?",
    "What do you get when you subtract {b} from {a}?",
};

static void make(struct mk_problem *p, struct mk_rng *r, int level,
                 const struct mk_trace_style *style)
{
    mk_problem_begin(p, &mk_task_add, level);
    const int n_digit = 4 + level;
    int64_t a = mk_pick_digits(r, n_digit), b = mk_pick_digits(r, n_digit);
    const bool is_sum = mk_chance(r, 0.5);
    if (!is_sum && a < b && level <= 0) {
        const int64_t x = a;
        a = b, b = x;
    }
    const char *const args[] = {mk_num(a), mk_num(b)};
    if (is_sum)
        mk_say_any(r, &p->prompt, sums, MK_COUNT(sums), args);
    else
        mk_say_any(r, &p->prompt, differences, MK_COUNT(differences), args);

    struct mk_trace t;
    mk_trace_begin(&t, p, r, style);
    const int64_t c = is_sum ? mk_trace_sum(&t, a, b) : mk_trace_difference(&t, a, b);
    if (t.check && c >= 0) {
        mk_trace_say(&t, "check");
        if (is_sum)
            mk_trace_difference(&t, c, b);
        else
            mk_trace_sum(&t, c, b);
        mk_trace_say(&t, "ok");
    }
    mk_trace_end(&t);
    mk_str_add(&p->answer, mk_num(c));
}

const struct mk_task mk_task_add = {
    .name = "add",
    .about = "addition and subtraction of numbers of up to 4 digits",
    .lo = -2,
    .hi = 2,
    .make = make,
    .verify = mk_verify_number,
};
