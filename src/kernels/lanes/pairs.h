#ifndef MK_KERNELS_LANES_PAIRS_H
#define MK_KERNELS_LANES_PAIRS_H
/* Pairs in bf16 without an instruction for them: two multiply-adds, of the halves of each dword
 * made floats.  Those of the columns are made once for all panels. */
#include "kernels/flush.h"
#include "kernels/lanes/lanes.h"

static vf fma_lanes(vf a, vf b, vf c); /* a * b + c, rounded once */
static vf splat(const float *x);
static void widen_bf16(float *y, const uint16_t *x, size_t n);

enum { TILE = 4, GROUP = 128, N_VEC = MK_PANEL_ROWS / LANES, BLOCK = 24 /* columns */ };

/* A group of values of each column of a block as floats, which stay in the nearest cache. */
typedef float floats[BLOCK][GROUP];

INLINE vf low_half(vu v) { return (vf)(v << 16); }
INLINE vf high_half(vu v) { return (vf)(v & 0xffff0000u); }

/* y = fma(d, t, y), where t is the sum over n values of a group, the odd one of each pair first. */
INLINE void tile_pairs(float *y, const uint16_t (*w)[MK_PANEL_ROWS][2], const float *d, floats x,
                       size_t n, int n_col)
{
    vf t[TILE][N_VEC];
    UNROLL
    for (int c = 0; c < n_col; c++) UNROLL
    for (int v = 0; v < N_VEC; v++) t[c][v] = (vf){0};
    for (size_t k = 0; k < n; k += 2) UNROLL
    for (int odd = 1; odd >= 0; odd--) {
        vf half[N_VEC];
        UNROLL
        for (int v = 0; v < N_VEC; v++) {
            vu pair;
            memcpy(&pair, w[k / 2][v * LANES], sizeof pair);
            half[v] = odd ? high_half(pair) : low_half(pair);
        }
        UNROLL
        for (int c = 0; c < n_col; c++) {
            const vf xk = splat(&x[c][k + (size_t)odd]);
            UNROLL
            for (int v = 0; v < N_VEC; v++) t[c][v] = fma_lanes(half[v], xk, t[c][v]);
        }
    }
    UNROLL
    for (int c = 0; c < n_col; c++) UNROLL
    for (int v = 0; v < N_VEC; v++) {
        float *out = y + c * MK_PANEL_ROWS + v * LANES;
        put_f(out, fma_lanes(get_f(d + v * LANES), t[c][v], get_f(out)));
    }
}

/* A group of each panel times at most BLOCK columns; y has n_all columns of each panel. */
INLINE void block_pairs(float *y, size_t n_all, const struct mk_panel *p, size_t n_panel, size_t k,
                        const uint16_t *x, size_t ldx, size_t n_col)
{
    const size_t n = p->n_k - k < GROUP ? p->n_k - k : GROUP;
    floats f;
    for (size_t c = 0; c < n_col; c++) widen_bf16(f[c], x + c * ldx + k, n);
    for (size_t i = 0; i < n_panel; i++, p++, y += n_all * MK_PANEL_ROWS) {
        const float *d = p->d[k / GROUP];
        size_t c = 0;
        for (; c + TILE <= n_col; c += TILE)
            tile_pairs(y + c * MK_PANEL_ROWS, p->w + k / 2, d, f + c, n, TILE);
        if (c + 2 <= n_col) {
            tile_pairs(y + c * MK_PANEL_ROWS, p->w + k / 2, d, f + c, n, 2);
            c += 2;
        }
        if (c < n_col) tile_pairs(y + c * MK_PANEL_ROWS, p->w + k / 2, d, f + c, n, 1);
    }
}

static void mul_pairs(float *y, const struct mk_panel *p, size_t n_panel, const uint16_t *x,
                      size_t ldx, size_t n_col)
{
    const uint32_t was = mk_flush_begin();
    for (size_t k = 0; n_panel && k < p->n_k; k += GROUP)
        for (size_t c = 0; c < n_col; c += BLOCK)
            block_pairs(y + c * MK_PANEL_ROWS, n_col, p, n_panel, k, x + c * ldx, ldx,
                        n_col - c < BLOCK ? n_col - c : BLOCK);
    mk_flush_end(was);
}
#endif
