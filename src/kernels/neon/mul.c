/* Integer products without dot instructions.  vmull makes 16-bit products; 8, 4 or 2 of
 * them add up in their lanes, by how large the codes are, before they are widened:
 * 8 * 31 * 127, 4 * 63 * 127 and 2 * 128 * 127 are all less than 32768. */
#define TILE 2
#include "kernels/neon/int_mul.h"
#include "kernels/neon/int_neon.h"

/* Four codes of a column, four times. */
INLINE int8x16_t splat4(const int8_t *x)
{
    int32_t v;
    memcpy(&v, x, sizeof v);
    return vreinterpretq_s8_s32(vdupq_n_s32(v));
}

/* i[c][v] += the sum over `run` quads.  Two 16-bit vectors hold the products of rows
 * 4v, 4v+1 and 4v+2, 4v+3, four lanes for each. */
INLINE void dot_run(int32x4_t i[TILE][4], const struct mk_panel *p, const struct mk_x8 *x, size_t k,
                    int n_col, int most, int run)
{
    int16x8_t t[TILE][4][2];
    UNROLL
    for (int j = 0; j < run; j++) {
        int8x16_t xj[TILE];
        const size_t kj = k + 4 * (size_t)j;
        UNROLL
        for (int c = 0; c < n_col; c++) xj[c] = splat4(x->q + (size_t)c * x->ldq + kj);
        UNROLL
        for (int v = 0; v < 4; v++) {
            const int8x16_t w = codes(p, kj / 4, v, most);
            UNROLL
            for (int c = 0; c < n_col; c++) {
                const int8x8_t lo = vget_low_s8(w), xlo = vget_low_s8(xj[c]);
                t[c][v][0] = j ? vmlal_s8(t[c][v][0], lo, xlo) : vmull_s8(lo, xlo);
                t[c][v][1] = j ? vmlal_high_s8(t[c][v][1], w, xj[c]) : vmull_high_s8(w, xj[c]);
            }
        }
    }
    UNROLL
    for (int c = 0; c < n_col; c++) {
        UNROLL
        for (int v = 0; v < 4; v++)
            i[c][v] =
                vaddq_s32(i[c][v], vpaddq_s32(vpaddlq_s16(t[c][v][0]), vpaddlq_s16(t[c][v][1])));
    }
}

INLINE void dot(int32x4_t i[TILE][4], const struct mk_panel *p, const struct mk_x8 *x, size_t k,
                size_t n, int n_col, int most)
{
    const int run = most == SIGNED ? 2 : most > 31 ? 4 : 8;
    UNROLL
    for (int c = 0; c < n_col; c++) {
        UNROLL
        for (int v = 0; v < 4; v++) i[c][v] = vdupq_n_s32(0);
    }
    for (size_t j = 0; j < n; j += 4 * (size_t)run) dot_run(i, p, x, k + j, n_col, most, run);
}

void mk_neon_mul(struct mk_kernels *k) { k->mul_int = mul_int; }
