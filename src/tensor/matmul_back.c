/* Backward of y = W x + b for several weights that share x, all of n rows:
 *
 *   dx += dy W        dW += dy^T x        db += sum of dy's rows
 *
 * In bf16 where W has such a form (dy and x rounded, sums in floats), else in floats.  Sums
 * over rows are done by one thread each and in order, so bits do not depend on threads. */
#include "tensor/int_matmul.h"
#include "tensor/tape.h"

#include <string.h>

enum {
    CHUNK = 512, /* rows that go through all products of an input before the next */
    BLOCK = 64,  /* rows of a unit */
    TURN = 32,   /* rows turned at a time */
    STRIP = 64,  /* weight rows of a unit: x is read once for each */
    PIECE = 16   /* weight rows decoded or summed at a time */
};

struct saved_product {
    struct mk_weight w;
    const float *bias;
    float *y;
    size_t ldy;
    bool is_sum;
};

struct saved_matmul {
    const float *x;
    const uint16_t *b16; /* [n][ld16]: for weights with them */
    size_t n, d, ld, ld16, n_products;
    struct saved_product p[];
};

/* ---- bf16 --------------------------------------------------------------------------------- */

/* CHUNK rows at a time, so that the other forms of dy and x are still in the cache when the
 * products read them. */
struct bf16_back {
    struct mk_work *wk;
    const struct saved_matmul *s;
    const struct saved_product *p;
    float *dx, *dy, *dw;
    size_t row0, n;      /* the chunk at hand */
    uint16_t *dy_rows;   /* [n][ld_dy] */
    uint16_t *dy_turned; /* [rows][ld_n] */
    uint16_t *x_pairs;   /* [n / 2][ld_x][2] */
    size_t ld_dy, ld_n, ld_x;
    bool has_pairs; /* x_pairs were made by an earlier product */
};

/* Rows [i0, i0 + n) of the chunk's x in pairs; n is TURN except at the end. */
static void pair_rows(const struct bf16_back *j, size_t i0, size_t n)
{
    const struct saved_matmul *s = j->s;
    for (size_t i = 0; i < TURN; i += 2) {
        uint16_t *out = j->x_pairs + (i0 + i) * j->ld_x;
        const uint16_t *x = s->b16 + (j->row0 + i0 + i) * s->ld16;
        if (i < n)
            j->wk->k.zip_bf16(out, x, i + 1 < n ? x + s->ld16 : NULL, s->d);
        else
            memset(out, 0, 2 * s->d * sizeof *out);
    }
}

/* dy and x in the layouts of the two products below; dy is zeroed unless y was added to. */
static void prepare_units(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    const struct bf16_back *j = arg;
    const struct mk_kernels *k = &j->wk->k;
    const size_t rows = j->p->w.rows;
    for (size_t u = first; u < last; u++) {
        const size_t i0 = u * TURN, left = j->n - i0, n = left < TURN ? left : TURN;
        float *dy = j->dy + (j->row0 + i0) * j->p->ldy;
        if (j->dw) {
            k->trans_bf16(j->dy_turned + i0, j->ld_n, dy, j->p->ldy, n, rows);
            for (size_t r = 0; n < TURN && r < rows; r++)
                memset(j->dy_turned + r * j->ld_n + i0 + n, 0, (TURN - n) * sizeof *j->dy_turned);
        }
        for (size_t i = 0; j->dx && i < n; i++) {
            uint16_t *out = j->dy_rows + (i0 + i) * j->ld_dy;
            k->f32_bf16(out, dy + i * j->p->ldy, rows);
            memset(out + rows, 0, (j->ld_dy - rows) * sizeof *out);
        }
        for (size_t i = 0; !j->p->is_sum && i < n; i++)
            memset(dy + i * j->p->ldy, 0, rows * sizeof *dy);
        if (j->dw && !j->has_pairs) pair_rows(j, i0, n);
    }
}

static void dx_units(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    const struct bf16_back *j = arg;
    const struct mk_pairs *f = j->p->w.pairs;
    for (size_t u = first; u < last; u++) {
        const size_t i0 = u * BLOCK, left = j->n - i0, n = left < BLOCK ? left : BLOCK;
        j->wk->k.mul_bf16(j->dx + (j->row0 + i0) * j->s->ld, j->s->ld, j->dy_rows + i0 * j->ld_dy,
                          j->ld_dy, f->back, f->ld_back, n, f->n_k_back, j->s->d, true);
    }
}

static void dw_units(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    const struct bf16_back *j = arg;
    const size_t cols = j->p->w.cols, rows = j->p->w.rows;
    for (size_t u = first; u < last; u++) {
        const size_t r0 = u * STRIP, n = rows - r0 < STRIP ? rows - r0 : STRIP;
        j->wk->k.mul_bf16(j->dw + r0 * cols, cols, j->dy_turned + r0 * j->ld_n, j->ld_n, j->x_pairs,
                          j->ld_x, n, mk_pad(j->n, TURN), cols, true);
    }
}

static void chunk_back(struct bf16_back *j)
{
    struct mk_work *wk = j->wk;
    const size_t rows = j->p->w.rows, d = j->s->d, n_pad = mk_pad(j->n, TURN), mac = rows * d / 8;
    const struct mk_arena_mark mark = mk_arena_mark(&wk->arena);
    j->ld_dy = mk_bf16_ld(rows), j->ld_n = mk_bf16_ld(n_pad);
    j->dy_rows = mk_arena_take(&wk->arena, j->n * j->ld_dy * sizeof *j->dy_rows);
    j->dy_turned = mk_arena_take(&wk->arena, rows * j->ld_n * sizeof *j->dy_turned);
    mk_pool_run(wk->pool, n_pad / TURN, mk_grain(wk, TURN * (rows + d)), prepare_units, j);
    if (j->dx)
        mk_pool_run(wk->pool, (j->n + BLOCK - 1) / BLOCK, mk_grain(wk, BLOCK * mac), dx_units, j);
    if (j->dw)
        mk_pool_run(wk->pool, (rows + STRIP - 1) / STRIP, mk_grain(wk, j->n * STRIP * d / 8),
                    dw_units, j);
    mk_arena_reset(&wk->arena, mark);
}

/* All products with a bf16 form. */
static void bf16_back(struct mk_work *wk, const struct saved_matmul *s)
{
    struct bf16_back j = {.wk = wk, .s = s, .dx = mk_grad(wk, s->x), .ld_x = mk_pairs_ld(s->d)};
    j.x_pairs = mk_arena_take(&wk->arena, CHUNK * j.ld_x * sizeof *j.x_pairs);
    for (; j.row0 < s->n; j.row0 += CHUNK) {
        j.n = s->n - j.row0 < CHUNK ? s->n - j.row0 : CHUNK;
        j.has_pairs = false;
        for (size_t i = 0; i < s->n_products; i++) {
            if (!mk_has_pairs(&s->p[i].w)) continue;
            j.p = &s->p[i];
            j.dy = mk_grad(wk, j.p->y);
            j.dw = mk_grad(wk, (const float *)(const void *)j.p->w.data);
            chunk_back(&j);
            j.has_pairs = j.has_pairs || j.dw;
        }
    }
}

/* ---- floats ------------------------------------------------------------------------------- */

struct float_back {
    struct mk_work *wk;
    const struct saved_matmul *s;
    const struct saved_product *p;
    float *dx, *dw, *dy_turned; /* [rows][n] */
    const float *dy;
    float *piece; /* per thread [PIECE][cols] */
};

static void turn_units(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    const struct float_back *j = arg;
    for (size_t r = first; r < last; r++)
        for (size_t i = 0; i < j->s->n; i++)
            j->dy_turned[r * j->s->n + i] = j->dy[i * j->p->ldy + r];
}

static void float_dx_units(void *arg, size_t first, size_t last, unsigned thread)
{
    const struct float_back *j = arg;
    const struct mk_weight *w = &j->p->w;
    const size_t i0 = first * PIECE, i1 = last * PIECE < j->s->n ? last * PIECE : j->s->n;
    float *piece = j->piece + thread * PIECE * w->cols;
    for (size_t r = 0; r < w->rows; r += PIECE) {
        const size_t n = w->rows - r < PIECE ? w->rows - r : PIECE;
        mk_weight_decode(&j->wk->k, w, r, n, piece);
        j->wk->k.mul_t(j->dx + i0 * j->s->ld, j->s->ld, piece, w->cols, n, w->cols,
                       j->dy + i0 * j->p->ldy + r, j->p->ldy, i1 - i0);
    }
}

static void float_dw_units(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    const struct float_back *j = arg;
    const size_t cols = j->p->w.cols, rows = j->p->w.rows, n = j->s->n;
    for (size_t u = first; u < last; u++) {
        const size_t r0 = u * PIECE, n_rows = rows - r0 < PIECE ? rows - r0 : PIECE;
        j->wk->k.mul_t(j->dw + r0 * cols, cols, j->s->x, j->s->ld, n, cols, j->dy_turned + r0 * n,
                       n, n_rows);
    }
}

static void float_back(struct float_back *j)
{
    struct mk_work *wk = j->wk;
    const struct saved_matmul *s = j->s;
    const size_t rows = j->p->w.rows, cols = j->p->w.cols, n_units = (s->n + PIECE - 1) / PIECE;
    const size_t share = n_units / mk_pool_size(wk->pool) + 1,
                 least = mk_grain(wk, PIECE * rows * cols);
    j->piece = mk_floats(wk, mk_pool_size(wk->pool) * PIECE * cols);
    if (j->dx) mk_pool_run(wk->pool, n_units, share > least ? share : least, float_dx_units, j);
    if (!j->dw) return;
    j->dy_turned = mk_floats(wk, rows * s->n);
    mk_pool_run(wk->pool, rows, mk_grain(wk, s->n), turn_units, j);
    mk_pool_run(wk->pool, (rows + PIECE - 1) / PIECE, mk_grain(wk, PIECE * s->n * cols),
                float_dw_units, j);
}

/* ---- together ----------------------------------------------------------------------------- */

static void bias_back(struct mk_work *wk, const struct saved_matmul *s,
                      const struct saved_product *p, const float *dy)
{
    float *db = mk_grad(wk, p->bias);
    for (size_t i = 0; db && i < s->n; i++) wk->k.axpy(db, 1.0f, dy + i * p->ldy, p->w.rows);
}

static void matmul_back(struct mk_work *wk, void *saved)
{
    const struct saved_matmul *s = saved;
    for (size_t i = 0; i < s->n_products; i++) bias_back(wk, s, &s->p[i], mk_grad(wk, s->p[i].y));
    if (s->b16) bf16_back(wk, s);
    for (size_t i = 0; i < s->n_products; i++) {
        const struct saved_product *p = &s->p[i];
        const struct mk_arena_mark mark = mk_arena_mark(&wk->arena);
        float *dy = mk_grad(wk, p->y), *dw = mk_grad(wk, (const float *)(const void *)p->w.data);
        if (mk_has_pairs(&p->w)) continue;
        struct float_back f = {.wk = wk, .s = s, .p = p, .dw = dw, .dy = dy};
        f.dx = mk_grad(wk, s->x);
        float_back(&f);
        for (size_t r = 0; !p->is_sum && r < s->n; r++)
            memset(dy + r * p->ldy, 0, p->w.rows * sizeof *dy);
        mk_arena_reset(&wk->arena, mark);
    }
}

void mk_matmul_record(struct mk_work *wk, struct mk_input *x, const struct mk_product *p,
                      size_t n_products)
{
    const size_t n_bytes = n_products * sizeof(struct saved_product);
    struct saved_matmul *s = mk_tape_push(wk, matmul_back, sizeof *s + n_bytes);
    *s = (struct saved_matmul){.x = x->v, .n = x->n, .d = x->d, .ld = x->ld};
    s->n_products = n_products;
    for (size_t i = 0; i < n_products; i++)
        s->p[i] = (struct saved_product){*p[i].w, p[i].bias, p[i].y, p[i].ldy, p[i].is_sum};
    s->b16 = x->b16, s->ld16 = x->ld16;
}
