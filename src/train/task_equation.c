/* Small linear equations with a whole solution, solved one operation at a time:
 *
 *     3x+4=25: 25-4=21, 3x=21, 21/3=7, x=7 */
#include "train/int_task.h"

#include <inttypes.h>

static const char *const prompts[] = {
    "Solve {a}.",          "Solve {a} for {b}.",       "Find {b} if {a}.",
    "What is {b} in {a}?", "If {a}, what is {b}?",     "Solve the equation {a}.",
    "{a}. Find {b}.",      "Which {b} satisfies {a}?", "{a}, {b}=?",
    "Determine {b}: {a}",
};

enum form {
    AX_B,    /* ax+b=c */
    X_OVER,  /* x/a+b=c */
    A_TIMES, /* a(x+b)=c */
    BOTH,    /* ax+b=cx+d, a > c */
    N_FORMS
};

/* Ranges at levels -2..2. */
static const struct ranges {
    int n_form;
    int64_t a, x_lo, x_hi, b_lo, b_hi;
} ranges[] = {
    {1, 9, 1, 10, 1, 20},
    {3, 9, 1, 12, -12, 20},
    {N_FORMS, 9, -9, 12, -20, 20},
    {N_FORMS, 12, -30, 30, -60, 60},
    {N_FORMS, 20, -99, 99, -200, 200},
};

struct equation {
    enum form form;
    char var;
    int64_t a, b, c, d, x; /* c: the right side, or its factor of x; d: then its constant */
};

/* ---- signed arithmetic from unsigned ---- */

static int64_t add(struct mk_trace *t, int64_t a, int64_t b)
{
    if (a >= 0 && b >= 0) return mk_trace_sum(t, a, b);
    if (a >= 0) return mk_trace_difference(t, a, -b);
    mk_trace_say(t, "%" PRId64 "%+" PRId64 ":", a, b);
    if (b >= 0) return mk_trace_difference(t, b, -a);
    mk_trace_sum(t, -a, -b);
    mk_trace_say(t, "so %" PRId64, a + b);
    return a + b;
}

/* a*b and a/b for b > 0. */
static int64_t times(struct mk_trace *t, int64_t a, int64_t b)
{
    if (a >= 0) return mk_trace_product(t, a, b);
    mk_trace_say(t, "%" PRId64 "*%" PRId64 ":", a, b);
    mk_trace_product(t, -a, b);
    mk_trace_say(t, "so %" PRId64, a * b);
    return a * b;
}

static int64_t divide(struct mk_trace *t, int64_t a, int64_t b)
{
    if (a >= 0) return mk_trace_quotient(t, a, b);
    mk_trace_say(t, "%" PRId64 "/%" PRId64 ":", a, b);
    mk_trace_quotient(t, -a, b);
    mk_trace_say(t, "so %" PRId64, a / b);
    return a / b;
}

/* ---- problems ---- */

static struct equation draw(struct mk_rng *r, const struct ranges *in)
{
    struct equation e;
    e.form = (enum form)mk_pick(r, 0, in->n_form - 1);
    e.var = "xyzn"[mk_pick(r, 0, 3)];
    e.a = mk_pick(r, 2, in->a);
    do e.x = mk_pick(r, in->x_lo, in->x_hi);
    while (e.x < 0 && mk_chance(r, 0.4));
    do e.b = mk_pick(r, in->b_lo, in->b_hi);
    while (e.b == 0);
    e.c = e.d = 0;
    switch (e.form) {
    case AX_B:
        e.c = e.a * e.x + e.b;
        break;
    case X_OVER:
        e.c = e.x + e.b, e.x *= e.a;
        break;
    case A_TIMES:
        e.c = e.a * (e.x + e.b);
        break;
    default:
        e.c = mk_pick(r, 1, e.a - 1);
        e.d = (e.a - e.c) * e.x + e.b;
    }
    return e;
}

static void add_term(struct mk_str *out, int64_t factor, char var)
{
    if (factor != 1) mk_str_add(out, mk_num(factor));
    mk_str_addc(out, var);
}

/* "+5", "-5", nothing for 0; with spaces around the sign if asked. */
static void add_constant(struct mk_str *out, int64_t v, const char *space)
{
    if (v) mk_str_addf(out, "%s%c%s%" PRId64, space, v < 0 ? '-' : '+', space, v < 0 ? -v : v);
}

static void write_equation(const struct equation *e, bool spaced, struct mk_str *out)
{
    const char *space = spaced ? " " : "";
    if (e->form == A_TIMES) mk_str_addf(out, "%" PRId64 "(", e->a);
    if (e->form == A_TIMES || e->form == X_OVER)
        mk_str_addc(out, e->var);
    else
        add_term(out, e->a, e->var);
    if (e->form == X_OVER) mk_str_addf(out, "/%" PRId64, e->a);
    add_constant(out, e->b, space);
    mk_str_addf(out, "%s%s=%s", e->form == A_TIMES ? ")" : "", space, space);
    if (e->form == BOTH) {
        add_term(out, e->c, e->var);
        add_constant(out, e->d, space);
    } else {
        mk_str_add(out, mk_num(e->c));
    }
}

/* a*x = v, which is the last step of two forms. */
static void solve_product(struct mk_trace *t, int64_t a, char var, int64_t v)
{
    if (a == 1) return;
    mk_trace_say(t, ", %" PRId64 "%c=%" PRId64 ",", a, var, v);
    divide(t, v, a);
}

static void trace_solution(struct mk_trace *t, const struct equation *e)
{
    int64_t v;
    switch (e->form) {
    case AX_B:
        solve_product(t, e->a, e->var, add(t, e->c, -e->b));
        break;
    case X_OVER:
        v = add(t, e->c, -e->b);
        mk_trace_say(t, ", %c/%" PRId64 "=%" PRId64 ",", e->var, e->a, v);
        times(t, v, e->a);
        break;
    case A_TIMES:
        v = divide(t, e->c, e->a);
        mk_trace_say(t, ", %c%+" PRId64 "=%" PRId64 ",", e->var, e->b, v);
        add(t, v, -e->b);
        break;
    default:
        v = add(t, e->a, -e->c);
        mk_trace_say(t, ",");
        solve_product(t, v, e->var, add(t, e->d, -e->b));
    }
    mk_trace_say(t, ", %c=%" PRId64, e->var, e->x);
}

/* Puts the solution into both sides. */
static void trace_check(struct mk_trace *t, const struct equation *e)
{
    mk_trace_say(t, ". check");
    switch (e->form) {
    case X_OVER:
        add(t, divide(t, e->x, e->a), e->b);
        break;
    case A_TIMES:
        times(t, add(t, e->x, e->b), e->a);
        break;
    case BOTH:
        add(t, times(t, e->x, e->a), e->b);
        mk_trace_say(t, "and");
        add(t, times(t, e->x, e->c), e->d);
        break;
    default:
        add(t, times(t, e->x, e->a), e->b);
    }
    mk_trace_say(t, "ok");
}

static void make(struct mk_problem *p, struct mk_rng *r, int level,
                 const struct mk_trace_style *style)
{
    mk_problem_begin(p, &mk_task_equation, level);
    const struct equation e = draw(r, &ranges[level - MK_LEVEL_EASIEST]);
    const char var[] = {e.var, '\0'};
    struct mk_str shown = {0}, plain = {0};
    write_equation(&e, mk_chance(r, 0.4), &shown);
    write_equation(&e, false, &plain);
    mk_say_any(r, &p->prompt, prompts, MK_COUNT(prompts), (const char *[]){shown.data, var});

    struct mk_trace t;
    mk_trace_begin(&t, p, r, style);
    mk_trace_say(&t, "%s:", plain.data);
    trace_solution(&t, &e);
    if (t.check && (e.form != BOTH || e.x > 0)) trace_check(&t, &e); /* else it gets long */
    mk_trace_end(&t);
    mk_str_addf(&p->answer, "%c=%" PRId64, e.var, e.x);
    mk_str_release(&shown);
    mk_str_release(&plain);
}

const struct mk_task mk_task_equation = {
    .name = "equation",
    .about = "small linear equations with a whole solution",
    .lo = -2,
    .hi = 2,
    .make = make,
    .verify = mk_verify_number,
};
