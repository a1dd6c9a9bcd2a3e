#ifndef MK_KERNELS_NEON_INT_MUL_H
#define MK_KERNELS_NEON_INT_MUL_H
/* Integer products for NEON, with or without dot instructions.  The includer defines
 * TILE, the columns of a tile, and `dot`.  A tile is 16 rows, four vectors of four.
 * Codes with bias 128 are made signed when they are read, so nothing is left to
 * subtract; others are small enough to be signed as they are. */
#include "kernels/inline.h"
#include "kernels/kernels.h"

#include <arm_neon.h>
#include <string.h>

/* Codes are at most `most`: 15, 31, 63, or SIGNED: -128..127 and stored with 128 added. */
enum { SIGNED = 128 };

/* i[c][v] = sum of q * x over n values from k on: rows 4v..4v+3, column c.  n is 16 or 32. */
static void dot(int32x4_t i[TILE][4], const struct mk_panel *p, const struct mk_x8 *x, size_t k,
                size_t n, int n_col, int most);

/* Four codes of four rows. */
INLINE int8x16_t codes(const struct mk_panel *p, size_t quad, int v, int most)
{
    const uint8x16_t q = vld1q_u8(p->q[quad][4 * v]);
    return vreinterpretq_s8_u8(most == SIGNED ? veorq_u8(q, vdupq_n_u8(128)) : q);
}

/* Sum of n codes of a column. */
INLINE int32_t sum_of(const struct mk_x8 *x, int c, size_t k, size_t n)
{
    const int16_t *s = x->sum + (size_t)c * x->ldsum + k / 16;
    return n == 16 ? s[0] : s[0] + s[1];
}

/* t = d (float)i, or plus that, with the minimum: four rows of a sub-block. */
INLINE float32x4_t scaled(float32x4_t t, const struct mk_panel *p, size_t j, int v, int32x4_t i,
                          int32_t xs, bool is_first)
{
    const float32x4_t d = vld1q_f32(p->d[j] + 4 * v), f = vcvtq_f32_s32(i);
    t = is_first ? vmulq_f32(d, f) : vfmaq_f32(t, d, f);
    return p->quant->has_min ? vfmaq_n_f32(t, vld1q_f32(p->m[j] + 4 * v), (float)xs) : t;
}

INLINE void tile(float *y, const struct mk_panel *p, const struct mk_x8 *x, int n_col, int most,
                 size_t sub)
{
    const int bias = most == SIGNED ? 0 : p->quant->bias;
    for (size_t k = 0; k < p->n_k; k += 32) {
        float32x4_t t[TILE][4];
        UNROLL
        for (int c = 0; c < n_col; c++) {
            UNROLL
            for (int v = 0; v < 4; v++) t[c][v] = vdupq_n_f32(0.0f); /* compilers ask for it */
        }
        UNROLL
        for (size_t at = k; at < k + 32; at += sub) {
            int32x4_t i[TILE][4];
            dot(i, p, x, at, sub, n_col, most);
            UNROLL
            for (int c = 0; c < n_col; c++) {
                const int32_t xs = sum_of(x, c, at, sub);
                const int32x4_t less = vdupq_n_s32(bias * xs);
                UNROLL
                for (int v = 0; v < 4; v++)
                    t[c][v] =
                        scaled(t[c][v], p, at / sub, v, vsubq_s32(i[c][v], less), xs, at == k);
            }
        }
        UNROLL
        for (int c = 0; c < n_col; c++) {
            const float s = x->s[(size_t)c * x->lds + k / 32];
            UNROLL
            for (int v = 0; v < 4; v++) {
                float *out = y + c * MK_PANEL_ROWS + 4 * v;
                vst1q_f32(out, vfmaq_n_f32(vld1q_f32(out), t[c][v], s));
            }
        }
    }
}

INLINE void columns(float *y, const struct mk_panel *p, const struct mk_x8 *x, size_t n_col,
                    int most, size_t sub)
{
    struct mk_x8 at = *x;
    for (; n_col >= TILE; n_col -= TILE, y += TILE * MK_PANEL_ROWS) {
        tile(y, p, &at, TILE, most, sub);
        at.q += TILE * at.ldq;
        at.s += TILE * at.lds;
        at.sum += TILE * at.ldsum;
    }
    if (TILE > 2 && n_col == 2)
        tile(y, p, &at, 2, most, sub);
    else if (n_col)
        tile(y, p, &at, 1, most, sub);
}

static void mul_int_panel(float *y, const struct mk_panel *p, const struct mk_x8 *x, size_t n_col)
{
    if (p->quant->bias == SIGNED)
        columns(y, p, x, n_col, SIGNED, 32);
    else if (p->quant->sub == 32)
        columns(y, p, x, n_col, 31, 32);
    else
        columns(y, p, x, n_col, 63, 16);
}

MK_EACH_PANEL(mul_int)
#endif
