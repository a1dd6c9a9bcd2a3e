/* Row-wise operations. */
#include "tensor/tensor.h"

struct embed_job {
    const struct mk_kernels *k;
    float *out;
    const struct mk_weight *w;
    const int32_t *tok;
};

static void embed_rows(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    const struct embed_job *j = arg;
    for (size_t i = first; i < last; i++)
        mk_weight_decode(j->k, j->w, (size_t)j->tok[i], 1, j->out + i * j->w->cols);
}

void mk_embed(struct mk_work *wk, float *out, const struct mk_weight *w, const int32_t *tok,
              size_t n)
{
    struct embed_job j = {&wk->k, out, w, tok};
    mk_pool_run(wk->pool, n, mk_grain(wk, w->cols), embed_rows, &j);
}

struct norm_job {
    const struct mk_kernels *k;
    float *y;
    const float *x, *w;
    size_t ldy, ldx, d;
    float eps;
};

static void norm_rows(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    const struct norm_job *j = arg;
    for (size_t i = first; i < last; i++)
        j->k->rmsnorm(j->y + i * j->ldy, j->x + i * j->ldx, j->w, j->d, j->eps);
}

void mk_rmsnorm(struct mk_work *wk, float *y, size_t ldy, const float *x, size_t ldx, size_t n,
                size_t d, const float *w, float eps)
{
    struct norm_job j = {&wk->k, y, x, w, ldy, ldx, d, eps};
    mk_pool_run(wk->pool, n, mk_grain(wk, 2 * d), norm_rows, &j);
}

struct pointwise_job {
    const struct mk_kernels *k;
    float *y;
    const float *a, *b;
    size_t n;
};

static void add_pieces(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    const struct pointwise_job *j = arg;
    for (size_t i = first; i < last; i++) {
        const size_t from = i * 4096, left = j->n - from;
        j->k->axpy(j->y + from, 1.0f, j->a + from, left < 4096 ? left : 4096);
    }
}

void mk_add_into(struct mk_work *wk, float *y, const float *x, size_t n_values)
{
    struct pointwise_job j = {&wk->k, y, x, NULL, n_values};
    mk_pool_run(wk->pool, (n_values + 4095) / 4096, mk_grain(wk, 4096), add_pieces, &j);
}

/* Row by row: a kernel may treat the last values of a call in another way than the rest,
 * and which those are must not depend on the batch. */
static void swiglu_rows(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    const struct pointwise_job *j = arg;
    for (size_t i = first; i < last; i++)
        j->k->silu_mul(j->y + i * j->n, j->a + i * j->n, j->b + i * j->n, j->n);
}

void mk_swiglu(struct mk_work *wk, float *y, const float *gate, const float *up, size_t n, size_t d)
{
    struct pointwise_job j = {&wk->k, y, gate, up, d};
    mk_pool_run(wk->pool, n, mk_grain(wk, 8 * d), swiglu_rows, &j);
}
