/* Row-wise operations, each followed by its backward. */
#include "tensor/tape.h"

#include <string.h>

struct rows_job { /* what the operations below need, each its part */
    struct mk_work *wk;
    float *y, *dx, *dw, *dy, *save;
    const float *x, *w, *up;
    size_t n, d, ldy, ldx;
    float eps;
    const struct mk_weight *weight;
    const int32_t *tok;
};

/* ---- embedding -------------------------------------------------------------------- */

static void embed_rows(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    const struct rows_job *j = arg;
    for (size_t i = first; i < last; i++)
        mk_weight_decode(&j->wk->k, j->weight, (size_t)j->tok[i], 1, j->y + i * j->d);
}

struct embed_saved {
    const float *w;
    float *y;
    int32_t *tok;
    size_t n, d;
};

/* Threads share columns, so that a token that comes twice is summed in order. */
static void embed_back_columns(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    const struct rows_job *j = arg;
    const size_t from = first * 16, n = (last * 16 < j->d ? last * 16 : j->d) - from;
    for (size_t i = 0; i < j->n; i++) {
        float *dy = j->dx + i * j->d + from;
        if (j->dw) j->wk->k.axpy(j->dw + (size_t)j->tok[i] * j->d + from, 1.0f, dy, n);
        memset(dy, 0, n * sizeof *dy);
    }
}

static void embed_back(struct mk_work *wk, void *saved)
{
    const struct embed_saved *s = saved;
    struct rows_job j = {.wk = wk, .n = s->n, .d = s->d, .tok = s->tok};
    j.dx = mk_grad(wk, s->y);
    j.dw = mk_grad(wk, s->w);
    mk_pool_run(wk->pool, (s->d + 15) / 16, mk_grain(wk, 16 * s->n), embed_back_columns, &j);
}

void mk_embed(struct mk_work *wk, float *out, const struct mk_weight *w, const int32_t *tok,
              size_t n)
{
    struct rows_job j = {.wk = wk, .y = out, .d = w->cols, .weight = w, .tok = tok};
    mk_pool_run(wk->pool, n, mk_grain(wk, w->cols), embed_rows, &j);
    if (!mk_is_recording(wk)) return;
    struct embed_saved *s = mk_tape_push(wk, embed_back, sizeof *s);
    *s = (struct embed_saved){(const float *)(const void *)w->data, out, NULL, n, w->cols};
    s->tok = mk_arena_take(&wk->arena, n * sizeof *tok);
    memcpy(s->tok, tok, n * sizeof *tok);
}

/* ---- norm -------------------------------------------------------------------------- */

static void norm_rows(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    const struct rows_job *j = arg;
    for (size_t i = first; i < last; i++) {
        const float *x = j->x + i * j->ldx;
        if (j->save) memcpy(j->save + i * j->d, x, j->d * sizeof *x);
        j->wk->k.rmsnorm(j->y + i * j->ldy, x, j->w, j->d, j->eps);
    }
}

struct norm_saved {
    float *y;
    const float *x, *w;
    float *x_saved; /* [n][d] */
    size_t n, d, ldy, ldx;
    float eps;
};

enum { NORM_ROWS = 64 }; /* rows whose sums for dw are one float vector */

/* In place dy becomes dx, so a row goes through scratch. */
static void norm_back_rows(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    const struct rows_job *j = arg;
    for (size_t u = first; u < last; u++) {
        const size_t end = (u + 1) * NORM_ROWS < j->n ? (u + 1) * NORM_ROWS : j->n;
        float *dw = j->dw ? j->dw + u * j->d : NULL, *row = j->y + u * j->d;
        if (dw) memset(dw, 0, j->d * sizeof *dw);
        for (size_t i = u * NORM_ROWS; i < end; i++) {
            float *dy = j->dy + i * j->ldy;
            memcpy(row, dy, j->d * sizeof *row);
            memset(dy, 0, j->d * sizeof *dy);
            float *dx = j->dx ? j->dx + i * j->ldx : row;
            j->wk->k.rmsnorm_back(dx, dw, row, j->x + i * j->d, j->w, j->d, j->eps);
        }
    }
}

static void norm_back(struct mk_work *wk, void *saved)
{
    const struct norm_saved *s = saved;
    const size_t n_units = (s->n + NORM_ROWS - 1) / NORM_ROWS;
    float *dw = mk_grad(wk, s->w);
    struct rows_job j = {.wk = wk, .n = s->n, .d = s->d, .ldy = s->ldy, .ldx = s->ldx};
    j.x = s->x_saved, j.w = s->w, j.eps = s->eps;
    j.dy = mk_grad(wk, s->y);
    j.dx = mk_grad(wk, s->x);
    j.y = mk_floats(wk, n_units * s->d);
    if (dw) j.dw = mk_floats(wk, n_units * s->d);
    mk_pool_run(wk->pool, n_units, mk_grain(wk, 8 * NORM_ROWS * s->d), norm_back_rows, &j);
    for (size_t u = 0; dw && u < n_units; u++) wk->k.axpy(dw, 1.0f, j.dw + u * s->d, s->d);
}

void mk_rmsnorm(struct mk_work *wk, float *y, size_t ldy, const float *x, size_t ldx, size_t n,
                size_t d, const float *w, float eps)
{
    struct rows_job j = {.wk = wk, .y = y, .x = x, .w = w, .ldy = ldy, .ldx = ldx, .d = d};
    j.eps = eps;
    if (mk_is_recording(wk)) {
        struct norm_saved *s = mk_tape_push(wk, norm_back, sizeof *s);
        j.save = mk_floats(wk, n * d);
        *s = (struct norm_saved){y, x, w, j.save, n, d, ldy, ldx, eps};
    }
    mk_pool_run(wk->pool, n, mk_grain(wk, 2 * d), norm_rows, &j);
}

/* ---- sums and copies --------------------------------------------------------------- */

/* y[n][ldy] += scale x[n][d]; backward is the same with the roles turned. */
struct add_rows {
    const struct mk_kernels *k;
    float *y;
    const float *x;
    size_t n, d, ldy, ldx;
    float scale;
};

static void add_units(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    const struct add_rows *j = arg;
    for (size_t i = first; i < last; i++)
        j->k->axpy(j->y + i * j->ldy, j->scale, j->x + i * j->ldx, j->d);
}

static void add_rows(struct mk_work *wk, struct add_rows *j)
{
    mk_pool_run(wk->pool, j->n, mk_grain(wk, j->d), add_units, j);
}

static void add_rows_back(struct mk_work *wk, void *saved)
{
    const struct add_rows *s = saved;
    struct add_rows j = *s;
    j.y = mk_grad(wk, s->x), j.ldy = s->ldx;
    j.x = mk_grad(wk, s->y), j.ldx = s->ldy;
    add_rows(wk, &j);
}

void mk_add_rows(struct mk_work *wk, float *y, size_t ldy, float scale, const float *x, size_t n,
                 size_t d)
{
    struct add_rows j = {&wk->k, y, x, n, d, ldy, d, scale};
    add_rows(wk, &j);
    if (!mk_is_recording(wk) || !mk_grad(wk, x)) return;
    struct add_rows *s = mk_tape_push(wk, add_rows_back, sizeof *s);
    *s = j;
}

/* A row of x may be wanted twice: one thread adds all gradients, in order, to columns of its
 * own. */
enum { COLUMNS = 64 };

struct gather {
    const struct mk_kernels *k;
    float *y, *dx, *dy;
    const float *x;
    size_t *row;
    size_t n, d;
};

static void gather_units(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    const struct gather *j = arg;
    for (size_t i = first; i < last; i++)
        memcpy(j->y + i * j->d, j->x + (j->row ? j->row[i] : i) * j->d, j->d * sizeof *j->y);
}

static void gather_back_units(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    const struct gather *j = arg;
    const size_t from = first * COLUMNS, to = last * COLUMNS < j->d ? last * COLUMNS : j->d;
    for (size_t i = 0; i < j->n; i++) {
        float *dy = j->dy + i * j->d + from;
        if (j->dx) j->k->axpy(j->dx + (j->row ? j->row[i] : i) * j->d + from, 1.0f, dy, to - from);
        memset(dy, 0, (to - from) * sizeof *dy);
    }
}

static void gather_back(struct mk_work *wk, void *saved)
{
    struct gather j = *(const struct gather *)saved;
    j.dx = mk_grad(wk, j.x);
    j.dy = mk_grad(wk, j.y);
    mk_pool_run(wk->pool, (j.d + COLUMNS - 1) / COLUMNS, mk_grain(wk, COLUMNS * j.n),
                gather_back_units, &j);
}

void mk_gather_rows(struct mk_work *wk, float *y, const float *x, const size_t *row, size_t n,
                    size_t d)
{
    struct gather j = {.k = &wk->k, .y = y, .x = x, .n = n, .d = d};
    if (row) j.row = memcpy(mk_arena_take(&wk->arena, n * sizeof *row), row, n * sizeof *row);
    mk_pool_run(wk->pool, n, mk_grain(wk, d), gather_units, &j);
    if (!mk_is_recording(wk) || !mk_grad(wk, y)) return;
    struct gather *s = mk_tape_push(wk, gather_back, sizeof *s);
    *s = j;
}

/* ---- activation -------------------------------------------------------------------- */

/* Row by row: a kernel may treat the last values of a call in another way than the rest,
 * and which those are must not depend on the batch. */
static void swiglu_rows(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    const struct rows_job *j = arg;
    for (size_t i = first; i < last; i++)
        j->wk->k.silu_mul(j->y + i * j->d, j->x + i * j->d, j->up + i * j->d, j->d);
}

struct swiglu_saved {
    float *y;
    const float *gate, *up, *gate_saved;
    size_t n, d;
};

static void swiglu_back_rows(void *arg, size_t first, size_t last, unsigned thread)
{
    const struct rows_job *j = arg;
    float *row = j->y + thread * j->d;
    for (size_t i = first; i < last; i++) {
        float *dy = j->dy + i * j->d;
        memcpy(row, dy, j->d * sizeof *row);
        memset(dy, 0, j->d * sizeof *dy);
        j->wk->k.silu_mul_back(j->dx + i * j->d, j->dw + i * j->d, row, j->x + i * j->d,
                               j->up + i * j->d, j->d);
    }
}

static void swiglu_back(struct mk_work *wk, void *saved)
{
    const struct swiglu_saved *s = saved;
    struct rows_job j = {.wk = wk, .n = s->n, .d = s->d, .x = s->gate_saved, .up = s->up};
    j.dy = mk_grad(wk, s->y);
    j.dx = mk_grad(wk, s->gate);
    j.dw = mk_grad(wk, s->up);
    j.y = mk_floats(wk, mk_pool_size(wk->pool) * s->d);
    mk_pool_run(wk->pool, s->n, mk_grain(wk, 16 * s->d), swiglu_back_rows, &j);
}

void mk_swiglu(struct mk_work *wk, float *y, const float *gate, const float *up, size_t n, size_t d)
{
    if (mk_is_recording(wk)) {
        struct swiglu_saved *s = mk_tape_push(wk, swiglu_back, sizeof *s);
        *s = (struct swiglu_saved){y, gate, up, gate, n, d};
        if (y == gate) s->gate_saved = mk_saved(wk, gate, n * d);
    }
    struct rows_job j = {.wk = wk, .y = y, .x = gate, .up = up, .d = d};
    mk_pool_run(wk->pool, n, mk_grain(wk, 8 * d), swiglu_rows, &j);
}
