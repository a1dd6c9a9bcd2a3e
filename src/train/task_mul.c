/* Multiplication of up to 3 by up to 2 digits by partial products: one for each digit of the
 * second factor, added up as they come. */
#include "train/int_task.h"

#include <inttypes.h>

static const char *const prompts[] = {
    "What is {a} times {b}?",
    "{a}*{b}",
    "{a} * {b} = ?",
    "Multiply {a} by {b}.",
    "Compute {a} * {b}.",
    "What is the product of {a} and {b}?",
    "How much is {a}*{b}?",
    "Calculate {a} times {b}.",
    "Find the product {a} * {b}.",
    "What do you get when you multiply {a} and {b}?",
};

/* Digits of the factors at levels -2..2. */
static const struct {
    int a, b;
} digits[] = {{2, 1}, {3, 1}, {3, 2}, {4, 2}, {4, 3}};

static void make(struct mk_problem *p, struct mk_rng *r, int level,
                 const struct mk_trace_style *style)
{
    mk_problem_begin(p, &mk_task_mul, level);
    const int k = level - MK_LEVEL_EASIEST;
    int64_t a = mk_pick_digits(r, digits[k].a), b = mk_pick_digits(r, digits[k].b);
    if (mk_chance(r, 0.25)) {
        const int64_t x = a;
        a = b, b = x;
    }
    mk_say_any(r, &p->prompt, prompts, MK_COUNT(prompts), (const char *[]){mk_num(a), mk_num(b)});

    struct mk_trace t;
    mk_trace_begin(&t, p, r, style);
    const int64_t c = mk_trace_product(&t, a, b);
    if (t.check) {
        mk_trace_say(&t, "check last digit");
        mk_trace_num(&t, a % 10 * (b % 10), "%" PRId64 "*%" PRId64 "=", a % 10, b % 10);
        mk_trace_say(&t, "ends %" PRId64 " ok", c % 10);
    }
    mk_trace_end(&t);
    mk_str_add(&p->answer, mk_num(c));
}

const struct mk_task mk_task_mul = {
    .name = "mul",
    .about = "multiplication of up to 3 by up to 2 digits",
    .lo = -2,
    .hi = 2,
    .make = make,
    .verify = mk_verify_number,
};
