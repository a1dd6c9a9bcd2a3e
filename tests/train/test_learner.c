/* Whole models learn: the same bits for any number of threads, with and without recomputation;
 * bf16 near floats; losses that are known; rollouts that are the policy itself. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "train/learner.h"
#include "train/rollout.h"

enum { N_SEQ = 5, VOCAB = 96, N_FAMILIES = 4 };
static const char *const families[N_FAMILIES] = {"deepseek_v3", "deepseek_v2", "qwen2", "llama"};

static struct mk_learner_options options(enum mk_compute compute, unsigned cpu)
{
    return (struct mk_learner_options){.n_threads = 1,
                                       .cpu = cpu,
                                       .step_toks = 100,
                                       .compute = compute,
                                       .mtp_weight = 0.3,
                                       .balance = 1e-2,
                                       .bias_rate = 1e-3,
                                       .optim = mk_optim_defaults()};
}

static void open_family(struct mk_learner *l, const char *family,
                        const struct mk_learner_options *o)
{
    char path[128];
    struct mk_err err = {0};
    struct mk_trainable t = {.is_new = true, .seed = 3};
    snprintf(path, sizeof path, "tests/golden/train/%s.json", family);
    if (!mk_learner_open(l, path, &t, o, &err)) fail_msg("%s", err.msg);
    if (o->n_threads > 1) l->wk.worth_mac = 1; /* even the smallest work is split */
}

/* Counting up and down in steps: something to learn. */
static void make_seqs(struct mk_seqs *s, uint64_t seed)
{
    struct mk_rng rng = {seed};
    mk_seqs_clear(s);
    for (int i = 0; i < N_SEQ; i++) {
        const size_t n = 5 + mk_rng_u64(&rng) % 40;
        int32_t tok = (int32_t)(mk_rng_u64(&rng) % VOCAB), by = 1 + (int32_t)(mk_rng_u64(&rng) % 3);
        for (size_t t = 0; t < n; t++) {
            mk_seqs_put(s, &tok, 1, t > 1 ? 1.0f : 0.0f);
            tok = (tok + by) % VOCAB;
        }
        mk_seqs_end(s);
    }
}

static void learn(struct mk_learner *l, int n_steps, double *loss)
{
    struct mk_seqs s = {0};
    struct mk_err err = {0};
    for (int i = 0; i < n_steps; i++) {
        struct mk_pass pass;
        struct mk_update u;
        double weight = 0;
        make_seqs(&s, (uint64_t)i);
        for (size_t t = 0; t < s.n_tok; t++) weight += (double)s.weight[t];
        mk_learner_pass(l, &s, 1 / weight, NULL, NULL, NULL, NULL, &pass);
        if (!mk_learner_update(l, 3e-3, &u, &err)) fail_msg("%s", err.msg);
        if (loss) loss[i] = pass.loss / pass.weight;
    }
    mk_seqs_release(&s);
}

/* Plain C kernels and float products, so that every machine agrees but for the C library's
 * exponential. */
static void ten_losses_are_known(void **state)
{
    (void)state;
    static const double want[N_FAMILIES][10] = {
        {4.62613, 4.61259, 4.50320, 4.41848, 4.00605, 3.89324, 3.97659, 3.89512, 3.41291, 3.80231},
        {4.58186, 4.63704, 4.44047, 4.48099, 3.95029, 3.87823, 3.95677, 3.68961, 3.31166, 3.71270},
        {4.66063, 4.68926, 4.51584, 4.43558, 4.16823, 4.09653, 4.17679, 4.09244, 3.72912, 3.90081},
        {4.65694, 4.70646, 4.52816, 4.43921, 4.06480, 3.99576, 4.10232, 4.07382, 3.63514, 3.95297},
    };
    int n_off = 0;
    for (int f = 0; f < N_FAMILIES; f++) {
        struct mk_learner l;
        double loss[10];
        bool is_off = false;
        const struct mk_learner_options o = options(MK_COMPUTE_F32, 0);
        open_family(&l, families[f], &o);
        learn(&l, 10, loss);
        mk_learner_close(&l);
        for (int i = 0; i < 10; i++)
            is_off = is_off || !(fabs(loss[i] - want[f][i]) <= 2e-4 * want[f][i]);
        n_off += is_off;
        for (int i = 0; is_off && i < 10; i++)
            printf("%s%.5f%s", i ? ", " : "        {", loss[i], i < 9 ? "" : "},\n");
    }
    assert_int_equal(n_off, 0);
}

static float *weights_after(const char *family, struct mk_learner_options o, int n_steps, size_t *n)
{
    struct mk_learner l;
    open_family(&l, family, &o);
    learn(&l, n_steps, NULL);
    *n = l.params.n;
    float *v = malloc(*n * sizeof *v);
    assert_non_null(v);
    memcpy(v, l.params.v, *n * sizeof *v);
    mk_learner_close(&l);
    return v;
}

static void threads_do_not_show(void **state)
{
    (void)state;
    for (int f = 0; f < N_FAMILIES; f++)
        for (int compute = MK_COMPUTE_F32; compute <= MK_COMPUTE_BF16; compute++) {
            size_t n, m;
            struct mk_learner_options o = options((enum mk_compute)compute, mk_cpu_detect());
            float *one = weights_after(families[f], o, 2, &n);
            for (unsigned threads = 2; threads <= 7; threads += 5) {
                o.n_threads = threads;
                float *many = weights_after(families[f], o, 2, &m);
                assert_int_equal(n, m);
                assert_memory_equal(one, many, n * sizeof *one);
                free(many);
            }
            free(one);
        }
}

static void recomputing_changes_nothing(void **state)
{
    (void)state;
    static const enum mk_mla_form forms[] = {MK_MLA_BY_COUNT, MK_MLA_ABSORBED};
    for (int f = 0; f < N_FAMILIES; f++)
        for (int i = 0; i < 2; i++) {
            size_t n, m;
            struct mk_learner_options o = options(MK_COMPUTE_AUTO, mk_cpu_detect());
            o.form = forms[i];
            float *kept = weights_after(families[f], o, 2, &n);
            o.recomputes = true;
            float *again = weights_after(families[f], o, 2, &m);
            for (size_t k = 0; k < n; k++)
                if (kept[k] != again[k])
                    fail_msg("%s, form %d: weight %zu differs", families[f], i, k);
            free(kept);
            free(again);
        }
}

/* The rule of tensor/tape.h: after backward the gradients of all values are zero again. */
static void values_keep_no_gradients(void **state)
{
    (void)state;
    struct mk_seqs s = {0};
    make_seqs(&s, 2);
    for (int f = 0; f < N_FAMILIES; f++)
        for (int i = 0; i < 8; i++) {
            struct mk_learner l;
            struct mk_learner_options o =
                options(i & 1 ? MK_COMPUTE_BF16 : MK_COMPUTE_F32, mk_cpu_detect());
            o.recomputes = i & 2;
            o.form = i & 4 ? MK_MLA_ABSORBED : MK_MLA_BY_COUNT;
            open_family(&l, families[f], &o);
            mk_learner_pass(&l, &s, 0.01, NULL, NULL, NULL, NULL, NULL);
            const size_t n = l.tape.peak_bytes / sizeof(float);
            assert_true(n > 10000);
            for (size_t k = 0; k < n; k++)
                if (l.tape.grads[k] != 0.0f)
                    fail_msg("%s, case %d: value %zu of %zu has a gradient left: %g", families[f],
                             i, k, n, (double)l.tape.grads[k]);
            mk_learner_close(&l);
        }
    mk_seqs_release(&s);
}

static void bf16_learns_as_floats_do(void **state)
{
    (void)state;
    for (int f = 0; f < N_FAMILIES; f++) {
        double a[30], b[30];
        struct mk_learner l;
        struct mk_learner_options o = options(MK_COMPUTE_F32, mk_cpu_detect());
        open_family(&l, families[f], &o);
        learn(&l, 30, a);
        mk_learner_close(&l);
        o.compute = MK_COMPUTE_BF16;
        open_family(&l, families[f], &o);
        learn(&l, 30, b);
        mk_learner_close(&l);
        assert_true(a[29] < 0.75 * a[0]); /* it does learn */
        for (int i = 0; i < 30; i++) assert_true(fabs(a[i] - b[i]) < 0.03 * a[i]);
    }
}

/* The gradient norm of one step does not depend on how its sequences are cut into passes. */
static void steps_may_be_small(void **state)
{
    (void)state;
    struct mk_seqs s = {0};
    make_seqs(&s, 1);
    for (int f = 0; f < N_FAMILIES; f++) {
        double norm[2];
        for (int k = 0; k < 2; k++) {
            struct mk_err err;
            struct mk_update u;
            struct mk_learner l;
            struct mk_learner_options o = options(MK_COMPUTE_F32, mk_cpu_detect());
            o.step_toks = k ? 10000 : 1;
            open_family(&l, families[f], &o);
            mk_learner_pass(&l, &s, 0.01, NULL, NULL, NULL, NULL, NULL);
            assert_true(mk_learner_update(&l, 1e-3, &u, &err));
            norm[k] = u.norm;
            mk_learner_close(&l);
        }
        assert_true(fabs(norm[0] - norm[1]) < 1e-5 * norm[0]);
    }
    mk_seqs_release(&s);
}

static void numbers_that_are_none_are_refused(void **state)
{
    (void)state;
    struct mk_learner l;
    struct mk_err err = {0};
    struct mk_update u;
    const struct mk_learner_options o = options(MK_COMPUTE_F32, mk_cpu_detect());
    open_family(&l, "llama", &o);
    const float before = l.params.v[100];
    l.params.grad[7] = NAN;
    assert_false(mk_learner_update(&l, 1e-3, &u, &err));
    assert_int_equal(err.code, MK_EFORMAT);
    assert_true(l.params.v[100] == before && l.params.grad[7] == 0.0f);
    learn(&l, 1, NULL);
    mk_learner_close(&l);
}

/* With latent attention absorbed in both, what is generated has the very log-probabilities that
 * learning computes for it: the first ratio is exactly one. */
static void rollouts_are_the_policy(void **state)
{
    (void)state;
    for (int f = 0; f < N_FAMILIES; f++)
        for (int compute = MK_COMPUTE_F32; compute <= MK_COMPUTE_BF16; compute++) {
            struct mk_learner l;
            struct mk_seqs prompts = {0};
            struct mk_rollouts out = {0};
            struct mk_learner_options o = options((enum mk_compute)compute, mk_cpu_detect());
            o.form = MK_MLA_ABSORBED;
            o.n_threads = 2;
            open_family(&l, families[f], &o);
            learn(&l, 2, NULL);
            make_seqs(&prompts, 9);
            const struct mk_rollout_options ro = {.n_samples = 3,
                                                  .max_new = 30,
                                                  .max_live = 10,
                                                  .temperature = 1,
                                                  .top_p = 1,
                                                  .seed = 5,
                                                  .eos = 1,
                                                  .form = MK_MLA_ABSORBED};
            mk_rollout(&out, &l.model, &l.wk, &prompts, &ro);
            assert_int_equal(out.seqs.n, 3 * N_SEQ);
            float *lp = calloc(out.seqs.n_tok, sizeof *lp);
            assert_non_null(lp);
            mk_learner_pass(&l, &out.seqs, 0.0, NULL, NULL, lp, NULL, NULL);
            for (size_t i = 0; i < out.seqs.n_tok; i++)
                if (lp[i] != out.lp[i])
                    fail_msg("%s, compute %d: token %zu: generated at %.9g, learned at %.9g",
                             families[f], compute, i, (double)out.lp[i], (double)lp[i]);
            free(lp);
            mk_seqs_release(&prompts);
            mk_rollouts_release(&out);
            mk_learner_close(&l);
        }
}

/* A sample does not depend on what else is generated, nor on threads. */
static void rollouts_stand_alone(void **state)
{
    (void)state;
    struct mk_learner l;
    struct mk_seqs prompts = {0};
    struct mk_rollouts all = {0}, some = {0};
    const struct mk_learner_options o = options(MK_COMPUTE_AUTO, mk_cpu_detect());
    open_family(&l, "deepseek_v3", &o);
    make_seqs(&prompts, 4);
    struct mk_rollout_options ro = {
        .n_samples = 2, .max_new = 20, .temperature = 1, .top_p = 0.9f, .seed = 1, .eos = 1};
    mk_rollout(&all, &l.model, &l.wk, &prompts, &ro);
    for (ro.max_live = 1; ro.max_live < 8; ro.max_live++) {
        mk_rollout(&some, &l.model, &l.wk, &prompts, &ro);
        assert_int_equal(all.n_generated, some.n_generated);
        assert_int_equal(all.seqs.n_tok, some.seqs.n_tok);
        assert_memory_equal(all.seqs.tok, some.seqs.tok, all.seqs.n_tok * sizeof *all.seqs.tok);
        assert_memory_equal(all.lp, some.lp, all.seqs.n_tok * sizeof *all.lp);
        for (size_t i = 0; i < all.seqs.n; i++) assert_int_equal(all.is_ended[i], some.is_ended[i]);
    }
    mk_rollouts_release(&all);
    mk_rollouts_release(&some);
    mk_seqs_release(&prompts);
    mk_learner_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_losses_are_known),
        cmocka_unit_test(threads_do_not_show),
        cmocka_unit_test(recomputing_changes_nothing),
        cmocka_unit_test(values_keep_no_gradients),
        cmocka_unit_test(bf16_learns_as_floats_do),
        cmocka_unit_test(steps_may_be_small),
        cmocka_unit_test(numbers_that_are_none_are_refused),
        cmocka_unit_test(rollouts_are_the_policy),
        cmocka_unit_test(rollouts_stand_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
