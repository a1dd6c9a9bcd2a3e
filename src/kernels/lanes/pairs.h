#ifndef MK_KERNELS_LANES_PAIRS_H
#define MK_KERNELS_LANES_PAIRS_H
/* Pairs in bf16 without an instruction for them: two multiply-adds, of the halves of each dword
 * made floats. */
#include "kernels/flush.h"
#include "kernels/lanes/lanes.h"

static vf fma_lanes(vf a, vf b, vf c); /* a * b + c, rounded once */
static vu splat_pair(const uint16_t *x);

enum { TILE = 4, GROUP = 128, N_VEC = MK_PANEL_ROWS / LANES };

INLINE vf low_half(vu v) { return (vf)(v << 16); }
INLINE vf high_half(vu v) { return (vf)(v & 0xffff0000u); }

INLINE vu get_pairs(const uint16_t *from)
{
    vu v;
    memcpy(&v, from, sizeof v);
    return v;
}

/* t[c] = sum over values k..end-1, the odd one of each pair first. */
INLINE void sums(vf t[TILE][N_VEC], const struct mk_panel *p, const uint16_t *x, size_t ldx,
                 size_t k, size_t end, int n_col)
{
    UNROLL
    for (int i = 0; i < n_col; i++) {
        UNROLL
        for (int v = 0; v < N_VEC; v++) t[i][v] = (vf){0};
    }
    for (; k < end; k += 2) {
        vu w[N_VEC];
        UNROLL
        for (int v = 0; v < N_VEC; v++) w[v] = get_pairs(p->w[k / 2][v * LANES]);
        UNROLL
        for (int i = 0; i < n_col; i++) {
            const vu xk = splat_pair(x + (size_t)i * ldx + k);
            UNROLL
            for (int v = 0; v < N_VEC; v++)
                t[i][v] = fma_lanes(high_half(w[v]), high_half(xk), t[i][v]);
            UNROLL
            for (int v = 0; v < N_VEC; v++)
                t[i][v] = fma_lanes(low_half(w[v]), low_half(xk), t[i][v]);
        }
    }
}

INLINE void tile_pairs(float *y, const struct mk_panel *p, const uint16_t *x, size_t ldx, int n_col)
{
    for (size_t k = 0; k < p->n_k; k += GROUP) {
        vf t[TILE][N_VEC];
        sums(t, p, x, ldx, k, p->n_k - k < GROUP ? p->n_k : k + GROUP, n_col);
        UNROLL
        for (int i = 0; i < n_col; i++) {
            UNROLL
            for (int v = 0; v < N_VEC; v++) {
                float *out = y + i * MK_PANEL_ROWS + v * LANES;
                put_f(out, fma_lanes(get_f(p->d[k / GROUP] + v * LANES), t[i][v], get_f(out)));
            }
        }
    }
}

static void mul_pairs(float *y, const struct mk_panel *p, size_t n_panel, const uint16_t *x,
                      size_t ldx, size_t n_col)
{
    const uint32_t was = mk_flush_begin();
    for (; n_panel; n_panel--, p++) {
        size_t c = 0;
        for (; c + TILE <= n_col; c += TILE, y += TILE * MK_PANEL_ROWS)
            tile_pairs(y, p, x + c * ldx, ldx, TILE);
        for (; c < n_col; c++, y += MK_PANEL_ROWS) tile_pairs(y, p, x + c * ldx, ldx, 1);
    }
    mk_flush_end(was);
}
#endif
