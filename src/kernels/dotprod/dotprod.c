/* Integer products with SDOT, which adds four products to each 32-bit lane, a row.  It
 * takes its second operand from one lane of a vector: 16 codes of a column are one load. */
#define TILE 3
#include "kernels/isa.h"
#include "kernels/neon/int_mul.h"
#include "kernels/neon/int_neon.h"

INLINE void dot(int32x4_t i[TILE][4], const struct mk_panel *p, const struct mk_x8 *x, size_t k,
                size_t n, int n_col, int most)
{
    UNROLL
    for (int c = 0; c < n_col; c++) {
        UNROLL
        for (int v = 0; v < 4; v++) i[c][v] = vdupq_n_s32(0);
    }
    for (size_t at = k; at < k + n; at += 16) {
        int8x16_t xj[TILE];
        UNROLL
        for (int c = 0; c < n_col; c++) xj[c] = vld1q_s8(x->q + (size_t)c * x->ldq + at);
        UNROLL
        for (int v = 0; v < 4; v++) {
            int8x16_t w[4];
            UNROLL
            for (size_t j = 0; j < 4; j++) w[j] = codes(p, at / 4 + j, v, most);
            UNROLL
            for (int c = 0; c < n_col; c++) {
                i[c][v] = vdotq_laneq_s32(i[c][v], w[0], xj[c], 0);
                i[c][v] = vdotq_laneq_s32(i[c][v], w[1], xj[c], 1);
                i[c][v] = vdotq_laneq_s32(i[c][v], w[2], xj[c], 2);
                i[c][v] = vdotq_laneq_s32(i[c][v], w[3], xj[c], 3);
            }
        }
    }
}

void mk_kernels_dotprod(struct mk_kernels *k)
{
    k->mul_int = mul_int;
    mk_dotprod_gemv(k);
    mk_dotprod_peak(k);
}
