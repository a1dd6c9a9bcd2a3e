/* Row-wise operations, products, caches, and the tape's blocks. */
#include "grad.h"
#include "tensor/kv.h"
#include "tensor/rope.h"

struct part {
    float *x, *w, *up, *bias, *a, *b, *y;
    size_t n, d;
    bool flag;
};

static float *norm(struct mk_work *wk, void *arg, size_t *n)
{
    const struct part *p = arg;
    const size_t ld = p->d + 3;
    *n = p->n * ld;
    float *y = grad_copy(wk, p->up, p->n, ld); /* what is between rows stays */
    mk_rmsnorm(wk, y, ld, p->x, p->d, p->n, p->d, p->w, 1e-3f);
    mk_rmsnorm(wk, y, ld, y, ld, p->n, p->d, p->w, 1e-3f);
    return y;
}

static void norm_also_in_place(void **state)
{
    (void)state;
    struct grad t;
    grad_open(&t, 3);
    struct part p = {.n = 70, .d = 13};
    p.x = grad_value(&t, "x", p.n * p.d);
    p.up = grad_value(&t, "y", p.n * (p.d + 3));
    p.w = grad_param(&t, "w", 1, p.d);
    grad_check(&t, norm, &p);
    grad_close(&t);
}

static float *swiglu(struct mk_work *wk, void *arg, size_t *n)
{
    const struct part *p = arg;
    *n = p->n * p->d;
    float *gate = grad_copy(wk, p->x, p->n, p->d), *y = p->flag ? gate : mk_floats(wk, *n);
    mk_swiglu(wk, y, gate, p->up, p->n, p->d);
    return y;
}

static void swiglu_also_in_place(void **state)
{
    (void)state;
    for (int in_place = 0; in_place < 2; in_place++) {
        struct grad t;
        grad_open(&t, 2);
        struct part p = {.n = 3, .d = 37, .flag = in_place};
        p.x = grad_value(&t, "gate", p.n * p.d);
        p.up = grad_value(&t, "up", p.n * p.d);
        grad_check(&t, swiglu, &p);
        grad_close(&t);
    }
}

/* Sums and copies: rows come twice or not at all. */
static float *sums(struct mk_work *wk, void *arg, size_t *n)
{
    static const size_t row[] = {2, 0, 2, 4, 2};
    static const int32_t tok[] = {3, 1, 3, 3, 0};
    const struct part *p = arg;
    *n = 5 * p->d;
    float *y = mk_floats(wk, *n), *z = mk_floats(wk, *n);
    const struct mk_weight embed = mk_float_rows(p->w, 4, p->d, p->d);
    mk_embed(wk, y, &embed, tok, 5);
    mk_gather_rows(wk, z, p->x, row, 5, p->d);
    mk_add_rows(wk, y, p->d, 1.0f, z, 5, p->d);
    mk_gather_rows(wk, z, p->up, NULL, 5, p->d);
    mk_add_rows(wk, y, p->d, 0.5f, z, 5, p->d);
    mk_add_rows(wk, y, p->d, 1.0f, p->up, 5, p->d);
    return y;
}

static void sums_and_copies(void **state)
{
    (void)state;
    struct grad t;
    grad_open(&t, 2);
    struct part p = {.n = 5, .d = 21};
    p.x = grad_value(&t, "x", p.n * p.d);
    p.up = grad_value(&t, "up", p.n * p.d);
    p.w = grad_param(&t, "embed", 4, p.d);
    grad_check(&t, sums, &p);
    grad_close(&t);
}

/* Two products and an adapter side by side in the rows of y, one of them added to what is there;
 * rows of x are apart. */
static float *products(struct mk_work *wk, void *arg, size_t *n)
{
    enum { R1 = 19, R2 = 33, RANK = 3 };
    const struct part *p = arg;
    const struct mk_lora lora = {mk_float_rows(p->a, RANK, p->d, p->d),
                                 mk_float_rows(p->b, R2, RANK, RANK), 0.7f};
    const struct mk_weight w1 = mk_float_rows(p->w, R1, p->d, p->d);
    struct mk_weight w2 = mk_float_rows(p->up, R2, p->d, p->d);
    w2.lora = &lora;
    *n = p->n * (R1 + R2);
    float *y = grad_copy(wk, p->y, p->n, R1 + R2);
    struct mk_input x = mk_input(p->x, p->n, p->d, p->d + 2);
    const struct mk_product both[] = {{&w1, y, R1 + R2, p->bias, false},
                                      {&w2, y + R1, R1 + R2, NULL, true}};
    mk_matmul(wk, &x, both, 2);
    return y;
}

static void products_of_odd_sizes(void **state)
{
    (void)state;
    static const size_t n_rows[] = {1, 5, 70};
    for (size_t i = 0; i < 3; i++) {
        struct grad t;
        grad_open(&t, 1 + (unsigned)i);
        struct part p = {.n = n_rows[i], .d = 17};
        p.x = grad_value(&t, "x", p.n * (p.d + 2));
        p.y = grad_value(&t, "y", p.n * (19 + 33));
        p.w = grad_param(&t, "w1", 19, p.d);
        p.up = grad_param(&t, "w2", 33, p.d);
        p.bias = grad_param(&t, "bias", 1, 19);
        p.a = grad_param(&t, "lora a", 3, p.d);
        p.b = grad_param(&t, "lora b", 33, 3);
        grad_check(&t, products, &p);
        grad_close(&t);
    }
}

static float *rotation(struct mk_work *wk, void *arg, size_t *n)
{
    static const size_t pos[] = {0, 1, 7, 100};
    const struct part *p = arg;
    struct mk_rope r;
    mk_rope_init(&r, 5, p->flag, 100.0);
    r.magnitude = 1.3f;
    *n = p->n * p->d;
    float *y = grad_copy(wk, p->x, p->n, p->d);
    mk_rope_apply(wk, &r, mk_rope_table(wk, &r, pos, p->n), y + 1, p->n, p->d, 2, 12);
    return y;
}

static void rotation_of_both_kinds(void **state)
{
    (void)state;
    for (int is_halves = 0; is_halves < 2; is_halves++) {
        struct grad t;
        grad_open(&t, 2);
        struct part p = {.n = 4, .d = 26, .flag = is_halves};
        p.x = grad_value(&t, "x", p.n * p.d);
        grad_check(&t, rotation, &p);
        grad_close(&t);
    }
}

/* Rows to a cache in two pieces, and out of it. */
static float *cache(struct mk_work *wk, void *arg, size_t *n)
{
    const struct part *p = arg;
    struct mk_kv kv;
    mk_kv_init_arena(&kv, &(struct mk_kv_shape){2, {p->d, p->d + 1}}, p->n, &wk->arena);
    mk_kv_put(wk, &kv, 1, 0, 0, 3, p->x, p->d + 2);
    mk_kv_put(wk, &kv, 1, 0, 3, p->n - 3, p->x + 3 * (p->d + 2), p->d + 2);
    *n = p->n * p->d;
    float *y = grad_copy(wk, mk_kv_floats(&kv, 1, 0, 0), p->n, p->d);
    mk_kv_release(&kv);
    return y;
}

static void cache_of_rows(void **state)
{
    (void)state;
    struct grad t;
    grad_open(&t, 2);
    struct part p = {.n = 7, .d = 11};
    p.x = grad_value(&t, "x", p.n * (p.d + 2));
    grad_check(&t, cache, &p);
    grad_close(&t);
}

/* h += W norm(h), twice, remembering the inputs of blocks only. */
struct residual {
    struct mk_work *wk;
    const struct part *p;
    float *h;
};

static void residual(void *arg)
{
    const struct residual *r = arg;
    const struct part *p = r->p;
    const struct mk_weight w = mk_float_rows(p->w, p->d, p->d, p->d);
    float *x = mk_floats(r->wk, p->n * p->d);
    mk_rmsnorm(r->wk, x, p->d, r->h, p->d, p->n, p->d, p->bias, 1e-5f);
    struct mk_input in = mk_input(x, p->n, p->d, p->d);
    mk_matmul(r->wk, &in, &(struct mk_product){&w, r->h, p->d, NULL, true}, 1);
}

static float *blocks(struct mk_work *wk, void *arg, size_t *n)
{
    const struct part *p = arg;
    *n = p->n * p->d;
    float *h = grad_copy(wk, p->x, p->n, p->d);
    struct residual *r = mk_arena_take(&wk->arena, sizeof *r);
    *r = (struct residual){wk, p, h};
    for (int i = 0; i < 2; i++) mk_tape_block(wk, h, *n, residual, r);
    return grad_copy(wk, h, p->n, p->d);
}

static void blocks_computed_again(void **state)
{
    (void)state;
    for (int recomputes = 0; recomputes < 2; recomputes++) {
        struct grad t;
        grad_open(&t, 2);
        t.tape.recomputes = recomputes;
        struct part p = {.n = 6, .d = 18};
        p.x = grad_value(&t, "h", p.n * p.d);
        p.w = grad_param(&t, "w", p.d, p.d);
        p.bias = grad_param(&t, "norm", 1, p.d);
        grad_check(&t, blocks, &p);
        grad_close(&t);
    }
}

/* mk_logprobs_back() is not recorded: it starts the backward pass. */
static void log_probabilities(void **state)
{
    (void)state;
    enum { N = 5, V = 23 };
    static const int32_t target[N] = {0, 22, -1, 7, 7};
    struct grad t;
    grad_open(&t, 2);
    float *z = grad_value(&t, "logits", N * V), coef[N], lp[N], lse[N], entropy[N], unused[N];
    for (size_t i = 0; i < N; i++) coef[i] = mk_rng_normal(&t.rng);
    mk_logprobs(&t.wk, z, target, N, V, lp, lse, entropy);
    mk_logprobs_back(&t.wk, z, target, coef, lse, N, V);
    const float *g = mk_grad(&t.wk, z);
    for (size_t i = 0; i < N; i++) {
        double sum = 0, h = 0;
        for (size_t v = 0; v < V; v++) sum += exp(z[i * V + v]);
        for (size_t v = 0; v < V; v++) h -= exp(z[i * V + v]) / sum * (z[i * V + v] - log(sum));
        const bool is_used = target[i] >= 0;
        assert_true(fabs(entropy[i] - (is_used ? h : 0)) < 1e-12);
        assert_true(fabs(lse[i] - (is_used ? log(sum) : 0)) < 1e-12);
        assert_true(fabs(lp[i] - (is_used ? z[i * V + (size_t)target[i]] - log(sum) : 0)) < 1e-12);
        for (size_t v = 0; v < V; v++) {
            float up[N], down[N];
            const float old = z[i * V + v];
            z[i * V + v] = old + 1e-5;
            mk_logprobs(&t.wk, z, target, N, V, up, unused, NULL);
            z[i * V + v] = old - 1e-5;
            mk_logprobs(&t.wk, z, target, N, V, down, unused, NULL);
            z[i * V + v] = old;
            assert_true(fabs(-coef[i] * (up[i] - down[i]) / 2e-5 - g[i * V + v]) < 1e-8);
        }
    }
    grad_close(&t);
}

static double kl_of(const float *z, const float *t, size_t n)
{
    double a = 0, b = 0, kl = 0;
    for (size_t v = 0; v < n; v++) a += exp(z[v]), b += exp(t[v]);
    for (size_t v = 0; v < n; v++) kl += exp(z[v]) / a * (z[v] - log(a) - t[v] + log(b));
    return kl;
}

static void divergence_from_a_teacher(void **state)
{
    (void)state;
    enum { N = 4, V = 19 };
    static const int32_t target[N] = {0, 1, 2, 3};
    struct grad t;
    grad_open(&t, 2);
    float *z = grad_value(&t, "logits", N * V), *q = grad_value(&t, "teacher", N * V);
    float coef[N], lp[N], lse[N], lse_q[N], kl[N];
    memcpy(q + V, z + V, V * sizeof *q); /* a row that agrees */
    for (size_t i = 0; i < N; i++) coef[i] = mk_rng_normal(&t.rng);
    mk_logprobs(&t.wk, z, target, N, V, lp, lse, NULL);
    mk_logprobs(&t.wk, q, target, N, V, lp, lse_q, NULL);
    mk_kl_back(&t.wk, z, lse, q, lse_q, coef, N, V, kl);
    const float *g = mk_grad(&t.wk, z);
    for (size_t i = 0; i < N * V; i++) {
        float *row = z + i / V * V;
        const float *teacher = q + i / V * V, old = z[i];
        assert_true(fabs(kl[i / V] - kl_of(row, teacher, V)) < 1e-12);
        z[i] = old + 1e-5;
        const double up = kl_of(row, teacher, V);
        z[i] = old - 1e-5;
        const double down = kl_of(row, teacher, V);
        z[i] = old;
        assert_true(fabs(coef[i / V] * (up - down) / 2e-5 - g[i]) < 1e-8);
    }
    assert_true(fabs(kl[1]) < 1e-12 && kl[0] > 0.01);
    grad_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norm_also_in_place),        cmocka_unit_test(swiglu_also_in_place),
        cmocka_unit_test(sums_and_copies),           cmocka_unit_test(products_of_odd_sizes),
        cmocka_unit_test(rotation_of_both_kinds),    cmocka_unit_test(cache_of_rows),
        cmocka_unit_test(blocks_computed_again),     cmocka_unit_test(log_probabilities),
        cmocka_unit_test(divergence_from_a_teacher),
    };
    return cmocka_run_group_tests_name("gradients of operations", tests, NULL, NULL);
}
