#ifndef MK_KERNELS_LANES_MUL_FLOAT_H
#define MK_KERNELS_LANES_MUL_FLOAT_H
/* Float products.  Each result is one chain of fma, in the order kernels.h lays down,
 * so speed comes from many chains side by side: 16 rows by up to 6 columns, or, for
 * one or two columns, two groups of 128 values at once. */
#include "kernels/lanes/lanes.h"

#include <math.h>

static vf fma_lanes(vf a, vf b, vf c); /* a * b + c, rounded once */
static vf splat(const float *x);

enum { TILE = 6, GROUP = 128, N_VEC = MK_PANEL_ROWS / LANES, T_VEC = 64 / LANES };

/* t[i] = sum of f * x over values k..end-1: chain i = group * n_col + column. */
INLINE void chains(vf t[TILE][N_VEC], const struct mk_panel *p, const float *x, size_t ldx,
                   size_t k, size_t end, int n_col, int n_group)
{
    UNROLL
    for (int i = 0; i < n_col * n_group; i++) {
        UNROLL
        for (int v = 0; v < N_VEC; v++) t[i][v] = (vf){0};
    }
    for (; k < end; k++) {
        UNROLL
        for (int i = 0; i < n_col * n_group; i++) {
            const size_t at = k + (size_t)(i / n_col) * GROUP;
            const vf xk = splat(x + (size_t)(i % n_col) * ldx + at);
            UNROLL
            for (int v = 0; v < N_VEC; v++)
                t[i][v] = fma_lanes(get_f(&p->f[at][v * LANES]), xk, t[i][v]);
        }
    }
}

/* y = fma(d, t, y) */
INLINE void add_group(float *y, const float *d, const vf t[N_VEC])
{
    UNROLL
    for (int v = 0; v < N_VEC; v++)
        put_f(y + v * LANES, fma_lanes(get_f(d + v * LANES), t[v], get_f(y + v * LANES)));
}

INLINE void tile_f32(float *y, const struct mk_panel *p, const float *x, size_t ldx, int n_col)
{
    const size_t n = p->n_k;
    vf t[TILE][N_VEC];
    size_t k = 0;
    if (n_col <= 2)
        for (; k + 2 * GROUP <= n; k += 2 * GROUP) {
            chains(t, p, x, ldx, k, k + GROUP, n_col, 2);
            UNROLL
            for (int i = 0; i < 2 * n_col; i++)
                add_group(y + i % n_col * MK_PANEL_ROWS, p->d[k / GROUP + (size_t)(i / n_col)],
                          t[i]);
        }
    for (; k < n; k += GROUP) {
        chains(t, p, x, ldx, k, k + GROUP < n ? k + GROUP : n, n_col, 1);
        UNROLL
        for (int c = 0; c < n_col; c++) add_group(y + c * MK_PANEL_ROWS, p->d[k / GROUP], t[c]);
    }
}

static void mul_f32(float *y, const struct mk_panel *p, const float *x, size_t ldx, size_t n_col)
{
    for (; n_col >= TILE; n_col -= TILE, x += TILE * ldx, y += TILE * MK_PANEL_ROWS)
        tile_f32(y, p, x, ldx, TILE);
    if (n_col >= 3) {
        tile_f32(y, p, x, ldx, 3);
        n_col -= 3;
        x += 3 * ldx;
        y += 3 * MK_PANEL_ROWS;
    }
    if (n_col == 2)
        tile_f32(y, p, x, ldx, 2);
    else if (n_col)
        tile_f32(y, p, x, ldx, 1);
}

struct mul_t {
    float *y;
    const float *w, *x;
    size_t ldy, ldw, n_r, ldx;
};

/* n_col columns by n_vec vectors from j on. */
INLINE void tile_t(const struct mul_t *m, size_t j, int n_col, int n_vec)
{
    vf t[TILE][T_VEC], wr[T_VEC];
    UNROLL
    for (int c = 0; c < n_col; c++) {
        UNROLL
        for (int v = 0; v < n_vec; v++)
            t[c][v] = get_f(m->y + (size_t)c * m->ldy + j + (size_t)v * LANES);
    }
    const size_t ldw = m->ldw, ldx = m->ldx;
    const float *w = m->w + j, *x = m->x, *end = x + m->n_r;
    for (; x < end; x++, w += ldw) {
        UNROLL
        for (int v = 0; v < n_vec; v++) wr[v] = get_f(w + v * LANES);
        UNROLL
        for (int c = 0; c < n_col; c++) {
            const vf xr = splat(x + (size_t)c * ldx);
            UNROLL
            for (int v = 0; v < n_vec; v++) t[c][v] = fma_lanes(xr, wr[v], t[c][v]);
        }
    }
    UNROLL
    for (int c = 0; c < n_col; c++) {
        UNROLL
        for (int v = 0; v < n_vec; v++)
            put_f(m->y + (size_t)c * m->ldy + j + (size_t)v * LANES, t[c][v]);
    }
}

INLINE void columns_t(const struct mul_t *m, size_t n_j, int n_col, int n_vec)
{
    const size_t step = (size_t)n_vec * LANES;
    size_t j = 0;
    for (; j + step <= n_j; j += step) tile_t(m, j, n_col, n_vec);
    for (; j + LANES <= n_j; j += LANES) tile_t(m, j, n_col, 1);
    for (; j < n_j; j++)
        for (size_t c = 0; c < (size_t)n_col; c++)
            for (size_t r = 0; r < m->n_r; r++) {
                float *y = m->y + c * m->ldy + j;
                *y = fmaf(m->x[c * m->ldx + r], m->w[r * m->ldw + j], *y);
            }
}

static void mul_t(float *y, size_t ldy, const float *w, size_t ldw, size_t n_r, size_t n_j,
                  const float *x, size_t ldx, size_t n_col)
{
    struct mul_t m = {y, w, x, ldy, ldw, n_r, ldx};
    for (; n_col >= TILE; n_col -= TILE, m.y += TILE * ldy, m.x += TILE * ldx)
        columns_t(&m, n_j, TILE, N_VEC);
    if (n_col >= 4) { /* of at most five */
        columns_t(&m, n_j, 4, N_VEC);
        n_col -= 4;
        m.y += 4 * ldy;
        m.x += 4 * ldx;
    }
    if (n_col == 3)
        columns_t(&m, n_j, 3, N_VEC);
    else if (n_col == 2)
        columns_t(&m, n_j, 2, T_VEC / 2);
    else if (n_col)
        columns_t(&m, n_j, 1, T_VEC);
}
#endif
