/* The arithmetic of GRPO against its definition: the gradient of the objective by differences. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "train/stage_rl.h"

static const struct mk_rl_options plain = {.clip_lo = 0.2, .clip_hi = 0.28, .n_samples = 4};

static void advantages_are_standardised(void **state)
{
    (void)state;
    const double reward[] = {1, 0, 0, 1};
    double a[4];
    mk_rl_advantages(reward, 4, true, a);
    const double std = sqrt(1.0 / 3.0); /* four values, half a unit from their mean */
    assert_true(fabs(a[0] - 0.5 / std) < 1e-5 && fabs(a[1] + 0.5 / std) < 1e-5);
    mk_rl_advantages(reward, 4, false, a);
    assert_true(a[0] == 0.5 && a[2] == -0.5);
    const double same[] = {0.1, 0.1, 0.1, 0.1};
    mk_rl_advantages(same, 4, true, a);
    for (int i = 0; i < 4; i++) assert_true(fabs(a[i]) < 1e-6);
}

/* The level after n more groups that were solved to this share. */
static int after(struct mk_rl_standing *s, int n, double solved)
{
    while (n-- > 0) mk_rl_standing_learn(s, -2, solved, solved > 0 && solved < 1);
    return s->level;
}

static void levels_fit(void **state)
{
    (void)state;
    struct mk_rl_standing s = {.mixed = 0.5, .solved = 0.5};
    assert_int_equal(after(&s, 1000, 0.1), 0); /* hard is what teaches */
    assert_int_equal(after(&s, 1000, 1.0), 0); /* harder than the standard it does not get */
    assert_int_equal(after(&s, 60, 0.0), -1);
    assert_int_equal(after(&s, 1000, 0.5), -1);
    assert_int_equal(after(&s, 30, 1.0), 0);
    assert_int_equal(after(&s, 60, 0.0), -1);
    assert_int_equal(after(&s, 46, 0.0), -2);
    assert_int_equal(after(&s, 46, 0.0), 0); /* what is easier for others is not for this model */
    assert_true(s.mixed < 0.01);
    after(&s, 100, 0.5);
    assert_true(s.mixed > 0.99);
}

/* What one token adds to J. */
static double objective(const struct mk_rl_options *o, const struct mk_rl_token *t)
{
    const double r = exp(t->lp - t->lp_old), d = t->lp_ref - t->lp;
    const double clipped = fmin(fmax(r, 1 - o->clip_lo), 1 + o->clip_hi);
    const double kl = o->kl_kind == MK_KL_K1   ? -d
                      : o->kl_kind == MK_KL_K2 ? 0.5 * d * d
                      : o->kl_kind == MK_KL_K3 ? exp(d) - d - 1
                                               : r * (exp(d) - d - 1);
    return t->norm * (fmin(r * t->adv, clipped * t->adv) - o->kl * kl);
}

/* The weighted estimator's ratio is differentiated too; V3.2's report has it so. */
static void coefficients_are_the_gradient(void **state)
{
    (void)state;
    struct mk_rl_options o = plain;
    for (int kind = MK_KL_K1; kind <= MK_KL_K3_WEIGHTED; kind++)
        for (int i = 0; i < 64; i++) {
            struct mk_rl_token t = {.adv = i % 2 ? 1.3 : -0.7, .norm = 0.01, .lp = -1 - 0.03 * i};
            t.lp_old = t.lp + 0.011 * (i - 30);
            t.lp_ref = t.lp + 0.3 * sin(i);
            o.kl = i % 3 ? 0.05 : 0;
            o.kl_kind = (enum mk_rl_kl)kind;
            struct mk_rl_token up = t, down = t;
            const double h = 1e-6;
            up.lp += h, down.lp -= h;
            const double slope = (objective(&o, &up) - objective(&o, &down)) / (2 * h);
            assert_true(fabs(mk_rl_term(&o, &t).coef - slope) < 1e-8);
        }
}

static void clips_only_what_gains(void **state)
{
    (void)state;
    const struct {
        double adv, ratio;
        bool is_clipped;
    } cases[] = {{1, 1.29, true},  {1, 1.27, false},  {1, 0.5, false},
                 {-1, 0.79, true}, {-1, 0.81, false}, {-1, 3, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct mk_rl_token t = {
            .adv = cases[i].adv, .norm = 1, .lp = log(cases[i].ratio), .lp_old = 0};
        const struct mk_rl_term term = mk_rl_term(&plain, &t);
        assert_int_equal(term.is_clipped, cases[i].is_clipped);
        assert_true(cases[i].is_clipped ? term.coef == 0
                                        : fabs(term.coef - cases[i].adv * cases[i].ratio) < 1e-12);
    }
}

static void far_ratios_stay_finite(void **state)
{
    (void)state;
    struct mk_rl_options o = plain;
    o.kl = 1;
    o.kl_kind = MK_KL_K3_WEIGHTED;
    const struct mk_rl_token t = {.adv = -1, .norm = 1, .lp = 0, .lp_old = -900, .lp_ref = 900};
    assert_true(isfinite(mk_rl_term(&o, &t).coef));
}

/* <think> 10 </think> 11 <eos>, as the marks say. */
static void answers_are_taken_apart(void **state)
{
    (void)state;
    const struct mk_marks m = {
        .bos = 0, .eos = 1, .user = 2, .assistant = 3, .think = 4, .end_think = 5};
    const struct {
        enum mk_opening opening;
        int32_t ids[6];
        size_t n, n_thought, n_answer;
        bool is_well_formed;
    } cases[] = {
        {MK_OPEN_FREE, {4, 10, 10, 5, 11, 1}, 6, 2, 1, true},
        {MK_OPEN_FREE, {5, 11, 11, 1}, 4, 0, 2, true},
        {MK_OPEN_THINK, {10, 5, 11, 1}, 4, 1, 1, true},
        {MK_OPEN_DIRECT, {11, 1}, 2, 0, 1, true},
        {MK_OPEN_FREE, {11, 1}, 2, 0, 0, false}, /* neither thinks nor declines to */
        {MK_OPEN_FREE, {4, 10, 10, 10, 10, 10}, 6, 5, 0, false}, /* cut off in the thought */
        {MK_OPEN_THINK, {10, 5, 11}, 3, 1, 1, false},            /* cut off in the answer */
        {MK_OPEN_THINK, {10, 5, 1}, 3, 1, 0, false},             /* no answer */
        {MK_OPEN_THINK, {10, 5, 11, 5, 11, 1}, 6, 1, 3, false},  /* a second mark */
        {MK_OPEN_DIRECT, {1}, 1, 0, 0, false},
        {MK_OPEN_FREE, {0}, 0, 0, 0, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct mk_parts p = mk_parts_of(&m, cases[i].opening, cases[i].ids, cases[i].n);
        assert_int_equal(p.is_well_formed, cases[i].is_well_formed);
        assert_int_equal(p.n_thought, cases[i].n_thought);
        assert_int_equal(p.n_answer, cases[i].n_answer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_fit),
        cmocka_unit_test(advantages_are_standardised),
        cmocka_unit_test(coefficients_are_the_gradient),
        cmocka_unit_test(clips_only_what_gains),
        cmocka_unit_test(far_ratios_stay_finite),
        cmocka_unit_test(answers_are_taken_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
