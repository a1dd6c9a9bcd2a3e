/* The sampler: cuts, penalties and draws on distributions small enough to know. */
#include "engine/sample.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct mk_kernels kernels;
static const struct mk_sampling plain = {.temperature = 1, .top_p = 1, .repetition_penalty = 1};

/* Draws n times and counts. */
static void histogram(const struct mk_sampling *set, const bool *allowed, const float *logits,
                      size_t n_vocab, size_t n, size_t *count)
{
    struct mk_sampler s;
    mk_sampler_init(&s, &kernels, set, allowed, n_vocab);
    memset(count, 0, n_vocab * sizeof *count);
    for (size_t i = 0; i < n; i++) count[mk_sample(&s, logits).id]++;
    mk_sampler_release(&s);
}

static void greedy(void **state)
{
    (void)state;
    struct mk_sampling g = plain;
    g.temperature = 0;
    size_t count[4];
    histogram(&g, NULL, (const float[]){1, 3, 3, 2}, 4, 5, count);
    assert_int_equal(count[1], 5); /* ties go to the lower id */
    histogram(&g, NULL, (const float[]){1, NAN, 3, 2}, 4, 5, count);
    assert_int_equal(count[2], 5);
    const bool allowed[] = {true, true, false, false};
    histogram(&g, allowed, (const float[]){1, 0, 3, 2}, 4, 5, count);
    assert_int_equal(count[0], 5);
}

/* Of equals the first, whatever the length and wherever they are. */
static void likeliest(void **state)
{
    (void)state;
    enum { N = 10000 };
    static float v[N];
    static const size_t at[] = {0, 1, 31, 4095, 4096, 4097, 8191, 8192, N - 1};
    for (size_t k = 0; k < sizeof at / sizeof *at; k++) {
        for (size_t i = 0; i < N; i++) v[i] = i % 7 == 0 ? NAN : i % 5 == 0 ? -INFINITY : -1;
        v[at[k]] = 2;
        assert_int_equal(mk_likeliest(&kernels, v, at[k] + 1), at[k]);
        v[N - 1] = 2;
        assert_int_equal(mk_likeliest(&kernels, v, N), at[k]);
    }
    for (size_t i = 0; i < N; i++) v[i] = -INFINITY;
    assert_int_equal(mk_likeliest(&kernels, v, N), 0);
}

/* Frequencies follow the softmax, whichever path draws them. */
static void frequencies(void **state)
{
    (void)state;
    const float logits[] = {logf(0.5f), logf(0.3f), logf(0.15f), logf(0.05f)};
    const double want[] = {0.5, 0.3, 0.15, 0.05};
    size_t count[4];
    struct mk_sampling sets[3] = {plain, plain, plain};
    sets[1].top_k = 4;
    sets[2].top_p = 0.9999f;
    for (int i = 0; i < 3; i++) {
        histogram(&sets[i], NULL, logits, 4, 20000, count);
        for (int t = 0; t < 4; t++) assert_true(fabs((double)count[t] / 20000 - want[t]) < 0.015);
    }
    struct mk_sampling cold = plain;
    cold.temperature = 0.5f; /* squares the odds */
    histogram(&cold, NULL, logits, 4, 20000, count);
    assert_true(fabs((double)count[0] / 20000 - 0.25 / 0.365) < 0.015);
}

static void cuts(void **state)
{
    (void)state;
    const float logits[] = {logf(0.5f), logf(0.3f), logf(0.15f), logf(0.05f)};
    size_t count[4];
    struct mk_sampling s = plain;
    s.top_k = 2;
    histogram(&s, NULL, logits, 4, 5000, count);
    assert_true(count[0] && count[1] && !count[2] && !count[3]);
    assert_true(fabs((double)count[0] / 5000 - 0.625) < 0.03);
    s = plain, s.top_p = 0.6f; /* 0.5 is not enough, 0.8 is */
    histogram(&s, NULL, logits, 4, 5000, count);
    assert_true(count[0] && count[1] && !count[2] && !count[3]);
    s = plain, s.top_p = 0.0f;
    histogram(&s, NULL, logits, 4, 100, count);
    assert_int_equal(count[0], 100);
    s = plain, s.min_p = 0.2f; /* of 0.5 */
    histogram(&s, NULL, logits, 4, 5000, count);
    assert_true(count[0] && count[1] && count[2] && !count[3]);
}

static void penalties(void **state)
{
    (void)state;
    const float logits[] = {2, 1.5f, -1, 1};
    struct mk_sampling g = plain;
    struct mk_sampler s;
    g.temperature = 0, g.repetition_penalty = 2;
    mk_sampler_init(&s, &kernels, &g, NULL, 4);
    mk_sampler_note(&s, 0, false);
    assert_int_equal(mk_sample(&s, logits).id, 1); /* 2 / 2 < 1.5 */
    mk_sampler_release(&s);
    g.repetition_penalty = 1, g.presence_penalty = 1;
    mk_sampler_init(&s, &kernels, &g, NULL, 4);
    mk_sampler_note(&s, 0, false); /* in the prompt only: no presence penalty */
    assert_int_equal(mk_sample(&s, logits).id, 0);
    mk_sampler_note(&s, 0, true);
    assert_int_equal(mk_sample(&s, logits).id, 1);
    mk_sampler_release(&s);
    g.presence_penalty = 0, g.frequency_penalty = 0.3f;
    mk_sampler_init(&s, &kernels, &g, NULL, 4);
    mk_sampler_note(&s, 0, true);
    assert_int_equal(mk_sample(&s, logits).id, 0);
    mk_sampler_note(&s, 0, true);
    assert_int_equal(mk_sample(&s, logits).id, 1);
    mk_sampler_release(&s);
    const bool allowed[] = {false, true, true, true}; /* a penalty cannot bring back */
    g.frequency_penalty = -100;
    mk_sampler_init(&s, &kernels, &g, allowed, 4);
    mk_sampler_note(&s, 0, true);
    mk_sampler_note(&s, 3, true);
    assert_int_equal(mk_sample(&s, logits).id, 3);
    mk_sampler_release(&s);
    const struct mk_bias bias[] = {{0, -INFINITY}, {2, 10}};
    g = plain, g.temperature = 0, g.bias = bias, g.n_bias = 2;
    size_t count[4];
    histogram(&g, NULL, logits, 4, 3, count);
    assert_int_equal(count[2], 3);
}

static void reports_logprobs(void **state)
{
    (void)state;
    const float logits[] = {1 + logf(0.5f), 1 + logf(0.3f), 1 + logf(0.15f), 1 + logf(0.05f)};
    struct mk_sampling g = plain;
    struct mk_sampler s;
    g.temperature = 0, g.n_top = 3, g.wants_logprobs = true;
    mk_sampler_init(&s, &kernels, &g, NULL, 4);
    const struct mk_sampled t = mk_sample(&s, logits);
    assert_true(fabsf(t.logprob - logf(0.5f)) < 1e-5f);
    assert_int_equal(t.top[1].id, 1);
    assert_int_equal(t.top[2].id, 2);
    assert_true(fabsf(t.top[2].logprob - logf(0.15f)) < 1e-5f);
    mk_sampler_release(&s);
}

static void seeds(void **state)
{
    (void)state;
    enum { V = 1000, N = 50 };
    float logits[V];
    struct mk_rng r = {7};
    for (int i = 0; i < V; i++) logits[i] = (float)mk_rng_normal(&r) * 2;
    int32_t first[N];
    for (int run = 0; run < 3; run++) {
        struct mk_sampling g = plain;
        struct mk_sampler s;
        g.top_p = 0.95f, g.seed = run == 2 ? 2 : 1;
        mk_sampler_init(&s, &kernels, &g, NULL, V);
        int same = 0;
        for (int i = 0; i < N; i++) {
            const int32_t id = mk_sample(&s, logits).id;
            if (run == 0) first[i] = id;
            same += first[i] == id;
        }
        assert_true(run == 2 ? same < N : same == N);
        mk_sampler_release(&s);
    }
}

static void ranges(void **state)
{
    (void)state;
    struct mk_err err;
    struct mk_sampling s = plain;
    assert_true(mk_sampling_check(&s, 10, &err));
    s.temperature = -1;
    assert_false(mk_sampling_check(&s, 10, &err));
    assert_string_equal(err.msg, "temperature is -1, want 0 to 100");
    s = plain, s.top_p = NAN;
    assert_false(mk_sampling_check(&s, 10, &err));
    const struct mk_bias bias = {10, 1};
    s = plain, s.bias = &bias, s.n_bias = 1;
    assert_false(mk_sampling_check(&s, 10, &err));
    s = plain, s.n_top = 21;
    assert_false(mk_sampling_check(&s, 10, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy), cmocka_unit_test(likeliest), cmocka_unit_test(frequencies),
        cmocka_unit_test(cuts),   cmocka_unit_test(penalties), cmocka_unit_test(reports_logprobs),
        cmocka_unit_test(seeds),  cmocka_unit_test(ranges),
    };
    mk_kernels_select(&kernels, mk_cpu_detect());
    return cmocka_run_group_tests_name("sample", tests, NULL, NULL);
}
