/* Attention while recording: the bits of inference where they are promised, and gradients that
 * do not depend on the number of threads.  That gradients are right is shown in tests/grad. */
#include "helpers.h"
#include "tensor/attention.h"
#include "tensor/tape.h"

enum {
    HEADS = 4,
    KV_HEADS = 2,
    DIM = 24, /* grouped */
    LATENT = 40,
    NOPE = 16,
    ROPE = 8,
    VAL = 24, /* latent */
    N_SEQ = 4,
    N_TOK = 1 + 70 + 33 + 150
};
static const size_t lengths[N_SEQ] = {1, 70, 33, 150};

struct model {
    bool is_latent;
    enum mk_mla_form form;
    size_t d_row, d_q, d_o;
    float *rows, *rows2, *q, *w; /* keys or latents, values, queries, kv_b */
    struct mk_weight kv_b;
};

static struct model new_model(bool is_latent, enum mk_mla_form form)
{
    struct model m = {.is_latent = is_latent, .form = form};
    m.d_row = is_latent ? LATENT + ROPE : KV_HEADS * DIM;
    m.d_q = HEADS * (is_latent ? NOPE + ROPE : DIM);
    m.d_o = HEADS * (is_latent ? VAL : DIM);
    m.rows = random_floats(N_TOK * m.d_row);
    m.rows2 = random_floats(N_TOK * m.d_row);
    m.q = random_floats(N_TOK * m.d_q);
    m.w = random_floats(HEADS * (NOPE + VAL) * LATENT);
    m.kv_b = mk_float_rows(m.w, HEADS * (NOPE + VAL), LATENT, LATENT);
    return m;
}

static void free_model(struct model *m) { free(m->rows), free(m->rows2), free(m->q), free(m->w); }

static struct mk_kv_shape shape_of(const struct model *m)
{
    return (struct mk_kv_shape){2, {m->d_row, m->is_latent ? 0 : m->d_row}};
}

static void put(struct mk_work *wk, const struct model *m, const struct mk_span *s,
                const float *rows, const float *rows2)
{
    if (m->is_latent) return;
    const size_t at = s->first * m->d_row;
    mk_kv_put(wk, s->kv, 1, 0, s->pos, s->n, rows + at, m->d_row);
    mk_kv_put(wk, s->kv, 1, 1, s->pos, s->n, rows2 + at, m->d_row);
}

static void attend(struct mk_work *wk, const struct model *m, const struct mk_span *spans,
                   size_t n_spans, const float *q, const float *rows, float *out)
{
    const struct mk_mla mla = {.n_head = HEADS,
                               .d_latent = LATENT,
                               .d_nope = NOPE,
                               .d_rope = ROPE,
                               .d_v = VAL,
                               .scale = 0.05f,
                               .kv_b = &m->kv_b,
                               .form = m->form};
    const struct mk_gqa gqa = {HEADS, KV_HEADS, DIM, 0.2f};
    if (m->is_latent)
        mk_attention_mla(wk, &mla, 1, spans, n_spans, q, rows, out);
    else
        mk_attention_gqa(wk, &gqa, 1, spans, n_spans, q, out);
}

/* A training step over all sequences: outputs, then gradients of rows and queries. */
static float *train(const struct model *m, unsigned n_threads)
{
    struct mk_work wk;
    struct mk_tape t;
    struct mk_err err;
    struct mk_kv kv[N_SEQ];
    struct mk_span spans[N_SEQ];
    mk_work_init(&wk, n_threads, mk_cpu_detect());
    wk.worth_mac = 1;
    assert_true(mk_tape_attach(&t, &wk, NULL, (size_t)1 << 28, &err));
    float *rows = mk_saved(&wk, m->rows, N_TOK * m->d_row);
    float *rows2 = mk_saved(&wk, m->rows2, N_TOK * m->d_row);
    float *q = mk_saved(&wk, m->q, N_TOK * m->d_q), *out = mk_floats(&wk, N_TOK * m->d_o);
    const struct mk_kv_shape shape = shape_of(m);
    for (size_t s = 0, first = 0; s < N_SEQ; first += lengths[s++]) {
        mk_kv_init_arena(&kv[s], &shape, lengths[s], &wk.arena);
        spans[s] = (struct mk_span){&kv[s], first, lengths[s], 0};
        put(&wk, m, &spans[s], rows, rows2);
    }
    attend(&wk, m, spans, N_SEQ, q, rows, out);
    for (size_t i = 0; i < N_TOK * m->d_o; i++) mk_grad(&wk, out)[i] = out[i] + 0.5f;
    mk_tape_backward(&wk);
    const struct {
        const float *v;
        size_t n;
    } parts[] = {{out, N_TOK * m->d_o},
                 {mk_grad(&wk, q), N_TOK * m->d_q},
                 {mk_grad(&wk, rows), N_TOK * m->d_row},
                 {mk_grad(&wk, rows2), N_TOK * m->d_row}};
    float *all = mk_calloc(N_TOK * (m->d_o + m->d_q + 2 * m->d_row), sizeof *all), *to = all;
    for (size_t i = 0; i < 4; to += parts[i++].n) memcpy(to, parts[i].v, parts[i].n * sizeof *to);
    for (size_t s = 0; s < N_SEQ; s++) mk_kv_release(&kv[s]);
    mk_tape_release(&t, &wk);
    mk_work_release(&wk);
    return all;
}

/* What inference answers, `step` tokens at a time. */
static float *infer(const struct model *m, size_t step)
{
    struct mk_work wk;
    struct mk_err err;
    mk_work_init(&wk, 2, mk_cpu_detect());
    float *out = mk_calloc(N_TOK * m->d_o, sizeof *out);
    const struct mk_kv_shape shape = shape_of(m);
    for (size_t s = 0, first = 0; s < N_SEQ; first += lengths[s++]) {
        struct mk_kv kv;
        assert_true(mk_kv_init(&kv, &shape, MK_F32, lengths[s], &err));
        for (size_t pos = 0; pos < lengths[s]; pos += step) {
            const size_t left = lengths[s] - pos;
            const struct mk_span span = {&kv, first + pos, left < step ? left : step, pos};
            put(&wk, m, &span, m->rows, m->rows2);
            attend(&wk, m, &span, 1, m->q, m->rows, out);
        }
        mk_kv_release(&kv);
    }
    mk_work_release(&wk);
    return out;
}

static void check_bits(bool is_latent)
{
    struct model m = new_model(is_latent, MK_MLA_ABSORBED);
    float *trained = train(&m, 2), *one = infer(&m, 1), *many = infer(&m, 1000);
    assert_memory_equal(trained, one, N_TOK * m.d_o * sizeof *one);
    assert_memory_equal(trained, many, N_TOK * m.d_o * sizeof *many);
    free(trained), free(one), free(many);
    free_model(&m);
}

static void grouped_has_the_bits_of_inference(void **state)
{
    (void)state;
    check_bits(false);
}
static void absorbed_has_the_bits_of_inference(void **state)
{
    (void)state;
    check_bits(true);
}

static void expanded_is_near_inference(void **state)
{
    (void)state;
    static const enum mk_mla_form forms[] = {MK_MLA_EXPANDED, MK_MLA_BY_COUNT};
    for (size_t f = 0; f < 2; f++) {
        struct model m = new_model(true, forms[f]);
        float *trained = train(&m, 2), *want = infer(&m, 1000);
        for (size_t i = 0; i < N_TOK * m.d_o; i++)
            assert_true(fabsf(trained[i] - want[i]) < 1e-4f * (1.0f + fabsf(want[i])));
        free(trained), free(want);
        free_model(&m);
    }
}

static void threads_change_nothing(void **state)
{
    (void)state;
    for (int is_latent = 0; is_latent < 2; is_latent++) {
        struct model m = new_model(is_latent, MK_MLA_BY_COUNT);
        const size_t n = N_TOK * (m.d_o + m.d_q + (is_latent ? 1 : 2) * m.d_row);
        float *one = train(&m, 1), *two = train(&m, 2), *seven = train(&m, 7);
        assert_memory_equal(one, two, n * sizeof *one);
        assert_memory_equal(one, seven, n * sizeof *one);
        size_t n_zero = 0; /* the first query of a sequence has no choice, so no gradient */
        for (size_t i = 0; i < n; i++) {
            assert_true(isfinite(one[i]));
            n_zero += one[i] == 0.0f;
        }
        assert_true(n_zero < n / 20);
        free(one), free(two), free(seven);
        free_model(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grouped_has_the_bits_of_inference),
        cmocka_unit_test(absorbed_has_the_bits_of_inference),
        cmocka_unit_test(expanded_is_near_inference),
        cmocka_unit_test(threads_change_nothing),
    };
    return cmocka_run_group_tests_name("attention in training", tests, NULL, NULL);
}
