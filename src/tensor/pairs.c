/* Products in bf16 for training and its rollouts: each weight keeps two rounded copies, laid
 * out for the kernel mul_bf16, and inputs are rounded once for all products that share them. */
#include "tensor/int_matmul.h"
#include "tensor/params.h"

#include <string.h>

enum { ROWS = 64 /* input rows of a unit */ };

/* ---- weights -------------------------------------------------------------------------- */

bool mk_bf16_is_fast(const struct mk_work *wk)
{
#if defined(__x86_64__)
    return wk->cpu & (MK_CPU(AVX512BF16) | MK_CPU(AMX));
#else
    (void)wk;
    return false;
#endif
}

/* Matrices whose forms need no padding in the direction that is written. */
static bool is_packable(const struct mk_param *p)
{
    return p->pairs && p->rows % MK_BF16_COLS == 0 && p->cols % MK_BF16_K == 0;
}

/* fwd [cols / 2][ld_fwd][2], then back [rows padded / 2][ld_back][2]. */
static size_t set_layout(const struct mk_param *p, struct mk_pairs *out, uint16_t *at)
{
    out->n_k_fwd = p->cols, out->n_k_back = mk_pad(p->rows, MK_BF16_K);
    out->ld_fwd = mk_pairs_ld(p->rows), out->ld_back = mk_pairs_ld(p->cols);
    const size_t n_fwd = out->n_k_fwd * out->ld_fwd, n_back = out->n_k_back * out->ld_back;
    out->fwd = at;
    out->back = at ? at + n_fwd : NULL;
    return n_fwd + n_back;
}

static bool make_storage(struct mk_params *p, struct mk_err *err)
{
    struct mk_pairs unused;
    void *data;
    size_t n = 0;
    for (size_t i = 0; i < p->n_list; i++)
        if (is_packable(&p->list[i])) n += set_layout(&p->list[i], &unused, NULL);
    if (!n) return true;
    if (!mk_reserve_dense(&data, n * sizeof *p->bf16, err)) return false;
    p->bf16 = data;
    p->n_bf16 = n;
    uint16_t *at = p->bf16;
    for (size_t i = 0; i < p->n_list; i++)
        if (is_packable(&p->list[i])) at += set_layout(&p->list[i], p->list[i].pairs, at);
    return true;
}

struct pack_job {
    struct mk_work *wk;
    const struct mk_params *p;
    uint16_t *scratch; /* per thread */
    size_t n_scratch;
};

static void pack_param(const struct mk_kernels *k, const struct mk_param *p, const float *w,
                       uint16_t *turned)
{
    const struct mk_pairs *f = p->pairs;
    const size_t ld = mk_bf16_ld(p->rows);
    k->trans_bf16(turned, ld, w, p->cols, p->rows, p->cols);
    for (size_t i = 0; i < p->cols; i += 2)
        k->zip_bf16(f->fwd + i * f->ld_fwd, turned + i * ld, turned + (i + 1) * ld, p->rows);
    for (size_t i = 0; i < p->rows; i += 2)
        k->pairs_bf16(f->back + i * f->ld_back, w + i * p->cols,
                      i + 1 < p->rows ? w + (i + 1) * p->cols : NULL, p->cols);
}

static void pack_units(void *arg, size_t first, size_t last, unsigned thread)
{
    const struct pack_job *j = arg;
    for (size_t i = first; i < last; i++)
        if (is_packable(&j->p->list[i]))
            pack_param(&j->wk->k, &j->p->list[i], j->p->v + j->p->list[i].at,
                       j->scratch + thread * j->n_scratch);
}

bool mk_params_pack(struct mk_work *wk, struct mk_params *p, struct mk_err *err)
{
    if (!p->bf16 && !make_storage(p, err)) return false;
    const struct mk_arena_mark mark = mk_arena_mark(&wk->arena);
    struct pack_job j = {.wk = wk, .p = p};
    for (size_t i = 0; i < p->n_list; i++) {
        const size_t n = p->list[i].cols * mk_bf16_ld(p->list[i].rows);
        if (is_packable(&p->list[i]) && n > j.n_scratch) j.n_scratch = n;
    }
    j.scratch = mk_arena_take(&wk->arena, mk_pool_size(wk->pool) * j.n_scratch * sizeof *p->bf16);
    mk_pool_run(wk->pool, p->n_list, 1, pack_units, &j);
    mk_arena_reset(&wk->arena, mark);
    return true;
}

/* ---- inputs ----------------------------------------------------------------------------- */

struct round_job {
    const struct mk_kernels *k;
    const struct mk_input *x;
    uint16_t *out;
    size_t ld;
};

static void round_rows(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    const struct round_job *j = arg;
    for (size_t i = first; i < last; i++) {
        uint16_t *out = j->out + i * j->ld;
        j->k->f32_bf16(out, j->x->v + i * j->x->ld, j->x->d);
        memset(out + j->x->d, 0, (j->ld - j->x->d) * sizeof *out);
    }
}

void mk_input_bf16(struct mk_work *wk, struct mk_input *x)
{
    if (x->b16) return;
    struct round_job j = {.k = &wk->k, .x = x, .ld = mk_bf16_ld(x->d)};
    j.out = mk_arena_take(&wk->arena, x->n * j.ld * sizeof *j.out);
    mk_pool_run(wk->pool, x->n, mk_grain(wk, x->d), round_rows, &j);
    x->b16 = j.out;
    x->ld16 = j.ld;
}

/* ---- products --------------------------------------------------------------------------- */

struct bf16_job {
    const struct mk_kernels *k;
    const struct mk_input *x;
    const struct mk_product *p;
    size_t n_blocks;
};

/* Units are blocks of rows, numbered through all products. */
static void bf16_units(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    const struct bf16_job *j = arg;
    for (size_t u = first; u < last; u++) {
        const struct mk_product *p = &j->p[u / j->n_blocks];
        const struct mk_pairs *f = p->w->pairs;
        const size_t row = u % j->n_blocks * ROWS, left = j->x->n - row;
        const size_t n = left < ROWS ? left : ROWS;
        float *y = p->y + row * p->ldy;
        j->k->mul_bf16(y, p->ldy, j->x->b16 + row * j->x->ld16, j->x->ld16, f->fwd, f->ld_fwd, n,
                       f->n_k_fwd, p->w->rows, p->is_sum);
        for (size_t i = 0; p->bias && i < n; i++)
            j->k->axpy(y + i * p->ldy, 1.0f, p->bias, p->w->rows);
    }
}

void mk_matmul_bf16(struct mk_work *wk, struct mk_input *x, const struct mk_product *p,
                    size_t n_products)
{
    mk_input_bf16(wk, x);
    struct bf16_job j = {.k = &wk->k, .x = x, .p = p, .n_blocks = (x->n + ROWS - 1) / ROWS};
    const size_t n_mac = (x->n < ROWS ? x->n : ROWS) * p->w->rows * x->d / 8; /* fast ones */
    mk_pool_run(wk->pool, n_products * j.n_blocks, mk_grain(wk, n_mac), bf16_units, &j);
}
