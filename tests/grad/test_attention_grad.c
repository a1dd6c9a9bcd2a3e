/* Attention of packed sequences, with the caches in between. */
#include "grad.h"
#include "tensor/attention.h"

enum { LAYER = 1 };

struct pack {
    float *q, *k, *v, *w; /* for latent attention k holds the cache's rows and w is kv_b */
    const size_t *len;    /* sequences */
    size_t n_seq, n_tok;
    size_t n_head, n_kv_head, d_head;     /* grouped */
    size_t d_latent, d_nope, d_rope, d_v; /* latent */
    enum mk_mla_form form;
};

static size_t total(const struct pack *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n_seq; i++) n += p->len[i];
    return n;
}

static void spans_of(struct mk_work *wk, const struct pack *p, struct mk_span *spans,
                     struct mk_kv *kv, const struct mk_kv_shape *shape)
{
    size_t first = 0;
    for (size_t i = 0; i < p->n_seq; first += p->len[i++]) {
        mk_kv_init_arena(&kv[i], shape, p->len[i] + 1, &wk->arena);
        spans[i] = (struct mk_span){&kv[i], first, p->len[i], 0};
    }
}

static float *grouped(struct mk_work *wk, void *arg, size_t *n)
{
    const struct pack *p = arg;
    const size_t d_q = p->n_head * p->d_head, d_kv = p->n_kv_head * p->d_head;
    struct mk_kv kv[8];
    struct mk_span spans[8];
    spans_of(wk, p, spans, kv, &(struct mk_kv_shape){LAYER + 1, {d_kv, d_kv}});
    for (size_t i = 0; i < p->n_seq; i++) {
        mk_kv_put(wk, &kv[i], LAYER, 0, 0, p->len[i], p->k + spans[i].first * d_kv, d_kv);
        mk_kv_put(wk, &kv[i], LAYER, 1, 0, p->len[i], p->v + spans[i].first * d_kv, d_kv);
    }
    float *out = mk_floats(wk, p->n_tok * d_q);
    const struct mk_gqa a = {p->n_head, p->n_kv_head, p->d_head, 0.4f};
    mk_attention_gqa(wk, &a, LAYER, spans, p->n_seq, p->q, out);
    for (size_t i = 0; i < p->n_seq; i++) mk_kv_release(&kv[i]);
    *n = p->n_tok * d_q;
    return out;
}

static void check_grouped(size_t n_head, size_t n_kv_head, size_t d_head, unsigned n_threads)
{
    static const size_t len[] = {1, 130, 7};
    struct grad t;
    grad_open(&t, n_threads);
    struct pack p = {.len = len, .n_seq = 3, .n_head = n_head, .n_kv_head = n_kv_head};
    p.d_head = d_head;
    p.n_tok = total(&p);
    p.q = grad_value(&t, "q", p.n_tok * n_head * d_head);
    p.k = grad_value(&t, "k", p.n_tok * n_kv_head * d_head);
    p.v = grad_value(&t, "v", p.n_tok * n_kv_head * d_head);
    grad_check(&t, grouped, &p);
    grad_close(&t);
}

static void grouped_is_right(void **state)
{
    (void)state;
    check_grouped(6, 2, 5, 1);
}
static void one_to_one_is_right(void **state)
{
    (void)state;
    check_grouped(2, 2, 19, 3);
}

static float *latent(struct mk_work *wk, void *arg, size_t *n)
{
    const struct pack *p = arg;
    const size_t d_row = p->d_latent + p->d_rope, d_o = p->n_head * p->d_v;
    struct mk_kv kv[8];
    struct mk_span spans[8];
    spans_of(wk, p, spans, kv, &(struct mk_kv_shape){LAYER + 1, {d_row, 0}});
    const struct mk_weight kv_b =
        mk_float_rows(p->w, p->n_head * (p->d_nope + p->d_v), p->d_latent, p->d_latent);
    const struct mk_mla a = {.n_head = p->n_head,
                             .d_latent = p->d_latent,
                             .d_nope = p->d_nope,
                             .d_rope = p->d_rope,
                             .d_v = p->d_v,
                             .scale = 0.2f,
                             .kv_b = &kv_b,
                             .form = p->form};
    float *out = mk_floats(wk, p->n_tok * d_o);
    mk_attention_mla(wk, &a, LAYER, spans, p->n_seq, p->q, p->k, out);
    for (size_t i = 0; i < p->n_seq; i++) mk_kv_release(&kv[i]);
    *n = p->n_tok * d_o;
    return out;
}

static void check_latent(enum mk_mla_form form, unsigned n_threads)
{
    static const size_t len[] = {3, 81, 1, 33};
    struct grad t;
    grad_open(&t, n_threads);
    struct pack p = {.len = len, .n_seq = 4, .n_head = 3, .d_latent = 9, .d_nope = 5};
    p.d_rope = 4, p.d_v = 7, p.form = form;
    p.n_tok = total(&p);
    p.q = grad_value(&t, "q", p.n_tok * p.n_head * (p.d_nope + p.d_rope));
    p.k = grad_value(&t, "rows", p.n_tok * (p.d_latent + p.d_rope));
    p.w = grad_param(&t, "kv_b", p.n_head * (p.d_nope + p.d_v), p.d_latent);
    grad_check(&t, latent, &p);
    grad_close(&t);
}

static void expanded_is_right(void **state)
{
    (void)state;
    check_latent(MK_MLA_EXPANDED, 3);
}
static void by_count_is_right(void **state)
{
    (void)state;
    check_latent(MK_MLA_BY_COUNT, 1);
}
static void absorbed_is_right(void **state)
{
    (void)state;
    check_latent(MK_MLA_ABSORBED, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grouped_is_right),  cmocka_unit_test(one_to_one_is_right),
        cmocka_unit_test(expanded_is_right), cmocka_unit_test(by_count_is_right),
        cmocka_unit_test(absorbed_is_right),
    };
    return cmocka_run_group_tests_name("gradients of attention", tests, NULL, NULL);
}
