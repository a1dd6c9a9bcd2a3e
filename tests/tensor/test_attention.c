/* Attention against plain double arithmetic and by identities; the cache that feeds it. */
#include "helpers.h"
#include "tensor/attention.h"

enum { HEADS = 6, KV_HEADS = 2, DIM = 40, CTX = 1300 };

static struct mk_kv new_kv(size_t d0, size_t d1, enum mk_type type)
{
    struct mk_kv kv;
    struct mk_err err;
    const struct mk_kv_shape shape = {.n_layer = 2, .d_row = {d0, d1}};
    assert_true(mk_kv_init(&kv, &shape, type, CTX, &err));
    return kv;
}

/* softmax(scale q.k) v over n keys; k and v rows ld apart. */
static void plain_attention(const float *q, const float *k, const float *v, size_t n, size_t ld,
                            size_t d_k, size_t d_v, double scale, double *out)
{
    double s[CTX], sum = 0, max = -1e300;
    for (size_t t = 0; t < n; t++) {
        s[t] = 0;
        for (size_t i = 0; i < d_k; i++) s[t] += (double)q[i] * (double)k[t * ld + i];
        s[t] *= scale;
        max = fmax(max, s[t]);
    }
    for (size_t t = 0; t < n; t++) sum += s[t] = exp(s[t] - max);
    for (size_t i = 0; i < d_v; i++) out[i] = 0;
    for (size_t t = 0; t < n; t++)
        for (size_t i = 0; i < d_v; i++) out[i] += s[t] / sum * (double)v[t * ld + i];
}

struct gqa_test {
    struct mk_gqa a;
    struct mk_kv kv;
    float *k, *v, *q;
    size_t d_kv, d_q;
};

/* All CTX positions, with so many threads, in steps of n_step tokens. */
static float *gqa_run(struct gqa_test *t, unsigned n_threads, size_t n_step)
{
    struct mk_work wk;
    mk_work_init(&wk, n_threads, mk_cpu_detect());
    wk.worth_mac = 1;
    float *out = mk_calloc(CTX * t->d_q, sizeof *out);
    for (size_t at = 0; at < CTX; at += n_step) {
        const size_t n = CTX - at < n_step ? CTX - at : n_step;
        mk_kv_put(&wk, &t->kv, 1, 0, at, n, t->k + at * t->d_kv, t->d_kv);
        mk_kv_put(&wk, &t->kv, 1, 1, at, n, t->v + at * t->d_kv, t->d_kv);
        mk_attention_gqa(&wk, &t->a, 1, &(struct mk_span){&t->kv, at, n, at}, 1, t->q, out);
    }
    mk_work_release(&wk);
    return out;
}

static void gqa_check(const struct gqa_test *t, const float *out, double tolerance)
{
    const size_t d = t->a.d_head;
    double want[64];
    for (size_t i = 0; i < CTX; i += 7)
        for (size_t h = 0; h < HEADS; h++) {
            const size_t g = h / (HEADS / KV_HEADS) * d;
            plain_attention(t->q + i * t->d_q + h * d, t->k + g, t->v + g, i + 1, t->d_kv, d, d,
                            0.2, want);
            for (size_t j = 0; j < d; j++)
                assert_true(fabs(want[j] - (double)out[i * t->d_q + h * d + j]) < tolerance);
        }
}

/* Neither how many threads there are nor how a timeline is cut changes a bit. */
static void gqa(enum mk_type type, size_t dim, double tolerance)
{
    struct gqa_test t = {{HEADS, KV_HEADS, dim, 0.2f}, .d_kv = KV_HEADS * dim, .d_q = HEADS * dim};
    t.kv = new_kv(t.d_kv, t.d_kv, type);
    t.k = random_floats(CTX * t.d_kv), t.v = random_floats(CTX * t.d_kv);
    t.q = random_floats(CTX * t.d_q);
    float *whole = gqa_run(&t, 2, CTX);
    gqa_check(&t, whole, tolerance);
    static const struct {
        unsigned n_threads;
        size_t n_step;
    } others[] = {{1, 1}, {7, 1}, {2, 3}, {7, 100}, {1, CTX}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        float *again = gqa_run(&t, others[i].n_threads, others[i].n_step);
        assert_memory_equal(whole, again, CTX * t.d_q * sizeof *whole);
        free(again);
    }
    free(t.k), free(t.v), free(t.q), free(whole);
    mk_kv_release(&t.kv);
}

static void gqa_is_right(void **state)
{
    (void)state;
    gqa(MK_F32, DIM, 2e-5);
    gqa(MK_BF16, DIM, 2e-2);
    gqa(MK_BF16, 64, 2e-2); /* a size that bf16 products take */
    gqa(MK_F16, DIM, 1e-2);
    gqa(MK_F16, 64, 1e-2);
}

/* Equal scores give the mean of the values. */
static void equal_scores(void **state)
{
    (void)state;
    struct mk_work wk;
    mk_work_init(&wk, 2, mk_cpu_detect());
    wk.worth_mac = 1;
    const struct mk_gqa a = {1, 1, DIM, 1.0f};
    float *k = mk_calloc(CTX * DIM, sizeof *k), *v = random_floats(CTX * DIM),
          *q = random_floats(DIM);
    float out[DIM];
    struct mk_kv kv = new_kv(DIM, DIM, MK_F32);
    mk_kv_put(&wk, &kv, 0, 0, 0, CTX, k, DIM);
    mk_kv_put(&wk, &kv, 0, 1, 0, CTX, v, DIM);
    mk_attention_gqa(&wk, &a, 0, &(struct mk_span){&kv, 0, 1, CTX - 1}, 1, q, out);
    for (size_t i = 0; i < DIM; i++) {
        double mean = 0;
        for (size_t t = 0; t < CTX; t++) mean += (double)v[t * DIM + i] / CTX;
        assert_true(fabs(mean - (double)out[i]) < 1e-6);
    }
    free(k), free(v), free(q);
    mk_kv_release(&kv);
    mk_work_release(&wk);
}

enum { LATENT = 64, NOPE = 32, MLA_HEADS = 5 };
static size_t d_rope, d_val; /* of the test that runs */

/* Wuk transposed per head, Wuv: the newer GGUF layout. */
static void split_kv_b(const float *kv_b, struct mk_weight *k_b, struct mk_weight *v_b)
{
    float *k = mk_calloc(MLA_HEADS * LATENT * NOPE, sizeof *k);
    float *v = mk_calloc(MLA_HEADS * d_val * LATENT, sizeof *v);
    for (size_t h = 0; h < MLA_HEADS; h++) {
        const float *w = kv_b + h * (NOPE + d_val) * LATENT;
        for (size_t d = 0; d < NOPE; d++)
            for (size_t c = 0; c < LATENT; c++) k[(h * LATENT + c) * NOPE + d] = w[d * LATENT + c];
        memcpy(v + h * d_val * LATENT, w + NOPE * LATENT, d_val * LATENT * sizeof *v);
    }
    *k_b = (struct mk_weight){.type = MK_F32,
                              .rows = MLA_HEADS * LATENT,
                              .cols = NOPE,
                              .stride = NOPE * sizeof(float),
                              .data = (const uint8_t *)k};
    *v_b = (struct mk_weight){.type = MK_F32,
                              .rows = MLA_HEADS * d_val,
                              .cols = LATENT,
                              .stride = LATENT * sizeof(float),
                              .data = (const uint8_t *)v};
}

static void plain_mla(const float *q, const float *rows, size_t n, const float *kv_b, double scale,
                      size_t h, double *out)
{
    float *kv = mk_calloc(n * (NOPE + d_rope + d_val), sizeof *kv);
    const size_t ld = NOPE + d_rope + d_val, d_row = LATENT + d_rope;
    for (size_t t = 0; t < n; t++) {
        for (size_t d = 0; d < NOPE + d_val; d++) {
            double sum = 0;
            for (size_t c = 0; c < LATENT; c++)
                sum += (double)kv_b[(h * (NOPE + d_val) + d) * LATENT + c] *
                       (double)rows[t * d_row + c];
            kv[t * ld + (d < NOPE ? d : d + d_rope)] = (float)sum;
        }
        memcpy(kv + t * ld + NOPE, rows + t * d_row + LATENT, d_rope * sizeof *kv);
    }
    plain_attention(q, kv, kv + NOPE + d_rope, n, ld, NOPE + d_rope, d_val, scale, out);
    free(kv);
}

struct mla_test {
    float *kv_b_plain;
    struct mk_weight kv_b, k_b, v_b;
    size_t n, d_row, d_q, d_o;
    float *rows, *q;
};

static struct mla_test mla_test(size_t n, size_t rope, size_t val)
{
    struct mla_test t = {.n = n};
    d_rope = rope, d_val = val;
    t.kv_b = random_weight(MK_F32, MLA_HEADS * (NOPE + d_val), LATENT, &t.kv_b_plain);
    split_kv_b(t.kv_b_plain, &t.k_b, &t.v_b);
    t.d_row = LATENT + d_rope, t.d_q = MLA_HEADS * (NOPE + d_rope), t.d_o = MLA_HEADS * d_val;
    t.rows = random_floats(n * t.d_row), t.q = random_floats(n * t.d_q);
    return t;
}

static void mla_test_free(struct mla_test *t)
{
    free((void *)(uintptr_t)t->k_b.data), free((void *)(uintptr_t)t->v_b.data);
    weight_free(&t->kv_b, t->kv_b_plain);
    free(t->rows), free(t->q);
}

static struct mk_mla mla_of(const struct mla_test *t, bool is_split, int form)
{
    return (struct mk_mla){.n_head = MLA_HEADS,
                           .d_latent = LATENT,
                           .d_nope = NOPE,
                           .d_rope = d_rope,
                           .d_v = d_val,
                           .scale = 0.05f,
                           .kv_b = is_split ? NULL : &t->kv_b,
                           .k_b = &t->k_b,
                           .v_b = &t->v_b,
                           .form = (enum mk_mla_form)form};
}

static void check_mla(const struct mla_test *t, const float *out, double tolerance)
{
    double want[64];
    for (size_t i = 0; i < t->n; i += 11)
        for (size_t h = 0; h < MLA_HEADS; h++) {
            plain_mla(t->q + i * t->d_q + h * (NOPE + d_rope), t->rows, i + 1, t->kv_b_plain, 0.05,
                      h, want);
            for (size_t d = 0; d < d_val; d++)
                assert_true(fabs(want[d] - (double)out[i * t->d_o + h * d_val + d]) < tolerance);
        }
}

static void mla_forms(enum mk_type type, size_t rope, size_t val, double tolerance)
{
    struct mk_work wk;
    mk_work_init(&wk, 3, mk_cpu_detect());
    wk.worth_mac = 1;
    struct mla_test t = mla_test(100, rope, val);
    struct mk_kv kv = new_kv(t.d_row, 0, type);
    for (int is_split = 0; is_split < 2; is_split++)
        for (int form = MK_MLA_EXPANDED; form <= MK_MLA_ABSORBED; form++) {
            float *out = mk_calloc(t.n * t.d_o, sizeof *out);
            const struct mk_mla a = mla_of(&t, is_split, form);
            const struct mk_span spans[] = {{&kv, 0, 60, 0}, {&kv, 60, 40, 60}};
            mk_attention_mla(&wk, &a, 0, spans, 2, t.q, t.rows, out);
            check_mla(&t, out, tolerance);
            free(out);
        }
    mla_test_free(&t);
    mk_kv_release(&kv);
    mk_work_release(&wk);
}

/* Sizes that bf16 products take, and others. */
static void mla_forms_agree(void **state)
{
    (void)state;
    mla_forms(MK_F32, 16, 24, 2e-4);
    mla_forms(MK_F32, 32, 32, 2e-4);
    mla_forms(MK_BF16, 16, 24, 0.25); /* of values up to 28 */
    mla_forms(MK_BF16, 32, 32, 0.25);
}

/* Neither how many threads there are nor how a timeline is cut changes a bit. */
static void mla_cuts(enum mk_type type, int form)
{
    static const unsigned n_threads[] = {1, 2, 7};
    struct mla_test t = mla_test(CTX, 32, 32);
    const struct mk_mla a = mla_of(&t, true, form);
    float *whole = mk_calloc(t.n * t.d_o, sizeof *whole);
    for (size_t i = 0; i < 3; i++) {
        struct mk_work wk;
        mk_work_init(&wk, n_threads[i], mk_cpu_detect());
        wk.worth_mac = 1;
        struct mk_kv kv = new_kv(t.d_row, 0, type);
        float *out = mk_calloc(t.n * t.d_o, sizeof *out);
        for (size_t at = 0, n; at < t.n; at += n) {
            n = i == 0 ? t.n : at % 3 == 0 ? 1 : 50;
            n = t.n - at < n ? t.n - at : n;
            const struct mk_span span = {&kv, at, n, at};
            mk_attention_mla(&wk, &a, 0, &span, 1, t.q, t.rows, out);
        }
        if (i == 0)
            memcpy(whole, out, t.n * t.d_o * sizeof *out);
        else
            assert_memory_equal(whole, out, t.n * t.d_o * sizeof *out);
        free(out);
        mk_kv_release(&kv);
        mk_work_release(&wk);
    }
    free(whole);
    mla_test_free(&t);
}

/* A step of a long and a shorter timeline, whose keys threads share, against each alone. */
static void mla_two_lengths(void **state)
{
    (void)state;
    struct mk_work wk, one;
    mk_work_init(&wk, 7, mk_cpu_detect());
    mk_work_init(&one, 1, mk_cpu_detect());
    wk.worth_mac = 1;
    struct mla_test t = mla_test(CTX, 32, 32);
    const struct mk_mla a = mla_of(&t, true, MK_MLA_ABSORBED);
    const size_t n[] = {t.n, t.n / 2 + 1};
    struct mk_kv kv[] = {new_kv(t.d_row, 0, MK_BF16), new_kv(t.d_row, 0, MK_BF16)};
    float *whole = mk_calloc(t.n * t.d_o, sizeof *whole), *out = mk_calloc(2 * t.d_o, sizeof *out);
    float *q = mk_calloc(2 * t.d_q, sizeof *q), *rows = mk_calloc(2 * t.d_row, sizeof *rows);
    for (size_t i = 2; i-- > 0;) { /* the whole timeline last */
        const struct mk_span span = {&kv[i], 0, n[i], 0};
        mk_attention_mla(&one, &a, 0, &span, 1, t.q, t.rows, whole);
        memcpy(q + i * t.d_q, t.q + (n[i] - 1) * t.d_q, t.d_q * sizeof *q);
        memcpy(rows + i * t.d_row, t.rows + (n[i] - 1) * t.d_row, t.d_row * sizeof *rows);
    }
    const struct mk_span last[] = {{&kv[0], 0, 1, n[0] - 1}, {&kv[1], 1, 1, n[1] - 1}};
    mk_attention_mla(&wk, &a, 0, last, 2, q, rows, out);
    for (size_t i = 0; i < 2; i++)
        assert_memory_equal(out + i * t.d_o, whole + (n[i] - 1) * t.d_o, t.d_o * sizeof *out);
    free(whole), free(out), free(q), free(rows);
    mla_test_free(&t);
    mk_kv_release(&kv[0]), mk_kv_release(&kv[1]);
    mk_work_release(&wk), mk_work_release(&one);
}

static void mla_keeps_bits(void **state)
{
    (void)state;
    static const enum mk_type types[] = {MK_F32, MK_F16, MK_BF16, MK_Q8_0};
    for (size_t i = 0; i < 4; i++)
        for (int form = MK_MLA_EXPANDED; form <= MK_MLA_ABSORBED; form++) mla_cuts(types[i], form);
}

static void cache_keeps_rows(void **state)
{
    (void)state;
    static const enum mk_type types[] = {MK_F32, MK_BF16, MK_F16, MK_Q8_0};
    static const float loss[] = {0.0f, 0.004f, 0.0005f, 0.03f};
    struct mk_work wk;
    mk_work_init(&wk, 2, mk_cpu_detect());
    wk.worth_mac = 1;
    for (size_t i = 0; i < 4; i++) {
        const size_t d = 48; /* not whole Q8_0 blocks */
        float *x = random_floats(CTX * d), out[64];
        struct mk_kv a = new_kv(d, d, types[i]), b = new_kv(d, d, types[i]);
        mk_kv_put(&wk, &a, 1, 1, 0, CTX, x, d);
        a.n = CTX;
        mk_kv_copy(&b, &a, 150);
        mk_kv_truncate(&a, 3);
        assert_int_equal(a.n, 3);
        assert_int_equal(b.n, 150);
        for (size_t t = 0; t < 150; t++) {
            mk_kv_get(&wk.k, t < 3 ? &a : &b, 1, 1, t, 1, 0, d, out, 64);
            for (size_t j = 0; j < d; j++)
                assert_true(fabsf(out[j] - x[t * d + j]) <= loss[i] * (fabsf(x[t * d + j]) + 1));
        }
        free(x);
        mk_kv_release(&a);
        mk_kv_release(&b);
    }
    mk_work_release(&wk);
}

/* Latents are bf16 in a cache of F16 too: it is values that are f16. */
static void latents_are_bf16(void **state)
{
    (void)state;
    struct mk_work wk;
    mk_work_init(&wk, 2, mk_cpu_detect());
    struct mla_test t = mla_test(CTX, 32, 32);
    for (int form = MK_MLA_EXPANDED; form <= MK_MLA_ABSORBED; form++) {
        const struct mk_mla a = mla_of(&t, true, form);
        float *out[2];
        for (size_t i = 0; i < 2; i++) {
            struct mk_kv kv = new_kv(t.d_row, 0, i ? MK_F16 : MK_BF16);
            const struct mk_span span = {&kv, 0, t.n, 0};
            out[i] = mk_calloc(t.n * t.d_o, sizeof *out[i]);
            mk_attention_mla(&wk, &a, 0, &span, 1, t.q, t.rows, out[i]);
            mk_kv_release(&kv);
        }
        assert_memory_equal(out[0], out[1], t.n * t.d_o * sizeof *out[0]);
        free(out[0]), free(out[1]);
    }
    mla_test_free(&t);
    mk_work_release(&wk);
}

/* DeepSeek-V2-Lite: 27 layers of 512 + 64 values in bf16. */
static void latent_size(void **state)
{
    (void)state;
    const struct mk_kv_shape lite = {27, {576, 0}}, v3 = {61, {576, 0}};
    assert_int_equal(mk_kv_pos_bytes(&lite, MK_BF16), 31104);
    assert_int_equal(mk_kv_pos_bytes(&lite, MK_F16), 31104);
    assert_int_equal(mk_kv_pos_bytes(&v3, MK_BF16), 70272);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gqa_is_right),     cmocka_unit_test(equal_scores),
        cmocka_unit_test(mla_forms_agree),  cmocka_unit_test(mla_keeps_bits),
        cmocka_unit_test(mla_two_lengths),  cmocka_unit_test(cache_keeps_rows),
        cmocka_unit_test(latents_are_bf16), cmocka_unit_test(latent_size),
    };
    return cmocka_run_group_tests_name("attention", tests, NULL, NULL);
}
