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

/* y = fma(a * s, (float)i, y) */
INLINE void add_scaled(float *y, const float *a, float s, int32x4_t i)
{
    vst1q_f32(y, vfmaq_f32(vld1q_f32(y), vmulq_n_f32(vld1q_f32(a), s), vcvtq_f32_s32(i)));
}

INLINE void tile_s32(float *y, const struct mk_panel *p, const struct mk_x8 *x, int n_col, int most)
{
    const int bias = most == SIGNED ? 0 : p->quant->bias;
    for (size_t g = 0; g < p->n_k / 32; g++) {
        int32x4_t i[TILE][4];
        dot(i, p, x, 32 * g, 32, n_col, most);
        UNROLL
        for (int c = 0; c < n_col; c++) {
            const float s = x->s[(size_t)c * x->lds + g];
            const int32_t xs = sum_of(x, c, 32 * g, 32);
            const int32x4_t less = vdupq_n_s32(bias * xs), sum = vdupq_n_s32(xs);
            UNROLL
            for (int v = 0; v < 4; v++) {
                float *yv = y + c * MK_PANEL_ROWS + 4 * v;
                add_scaled(yv, p->d[g] + 4 * v, s, vsubq_s32(i[c][v], less));
                if (p->quant->has_min) add_scaled(yv, p->m[g] + 4 * v, s, sum);
            }
        }
    }
}

/* y = fma(-(m * s), (float)(sum_j mn[j] * xs[j]), y) */
INLINE void sub_mins(float *y, const struct mk_panel *p, const struct mk_x8 *x, size_t g, int n_col,
                     size_t sub)
{
    UNROLL
    for (int c = 0; c < n_col; c++) {
        const float s = x->s[(size_t)c * x->lds + g];
        int32x4_t im[4];
        UNROLL
        for (int v = 0; v < 4; v++) im[v] = vdupq_n_s32(0);
        for (size_t k = 256 * g; k < 256 * (g + 1); k += sub) {
            UNROLL
            for (int v = 0; v < 4; v++)
                im[v] = vmlaq_n_s32(im[v], vld1q_s32(p->mn[k / sub] + 4 * v), sum_of(x, c, k, sub));
        }
        UNROLL
        for (int v = 0; v < 4; v++) {
            float *yv = y + c * MK_PANEL_ROWS + 4 * v;
            const float32x4_t ms = vmulq_n_f32(vld1q_f32(p->m[g] + 4 * v), s);
            vst1q_f32(yv, vfmsq_f32(vld1q_f32(yv), ms, vcvtq_f32_s32(im[v])));
        }
    }
}

INLINE void tile_s256(float *y, const struct mk_panel *p, const struct mk_x8 *x, int n_col,
                      int most, size_t sub)
{
    const int bias = most == SIGNED ? 0 : p->quant->bias;
    for (size_t g = 0; g < p->n_k / 256; g++) {
        int32x4_t sum[TILE][4], i[TILE][4];
        UNROLL
        for (int c = 0; c < n_col; c++) {
            UNROLL
            for (int v = 0; v < 4; v++) sum[c][v] = vdupq_n_s32(0);
        }
        for (size_t k = 256 * g; k < 256 * (g + 1); k += sub) {
            dot(i, p, x, k, sub, n_col, most);
            UNROLL
            for (int c = 0; c < n_col; c++) {
                const int32x4_t less = vdupq_n_s32(bias * sum_of(x, c, k, sub));
                UNROLL
                for (int v = 0; v < 4; v++)
                    sum[c][v] = vmlaq_s32(sum[c][v], vsubq_s32(i[c][v], less),
                                          vld1q_s32(p->sc[k / sub] + 4 * v));
            }
        }
        UNROLL
        for (int c = 0; c < n_col; c++) {
            UNROLL
            for (int v = 0; v < 4; v++)
                add_scaled(y + c * MK_PANEL_ROWS + 4 * v, p->d[g] + 4 * v,
                           x->s[(size_t)c * x->lds + g], sum[c][v]);
        }
        if (p->quant->has_min) sub_mins(y, p, x, g, n_col, sub);
    }
}

/* sub is 0 for S32. */
INLINE void tile(float *y, const struct mk_panel *p, const struct mk_x8 *x, int n_col, int most,
                 size_t sub)
{
    if (sub)
        tile_s256(y, p, x, n_col, most, sub);
    else
        tile_s32(y, p, x, n_col, most);
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

static void mul_s32_panel(float *y, const struct mk_panel *p, const struct mk_x8 *x, size_t n_col)
{
    if (p->quant->bias == SIGNED)
        columns(y, p, x, n_col, SIGNED, 0);
    else
        columns(y, p, x, n_col, 31, 0);
}

static void mul_s256_panel(float *y, const struct mk_panel *p, const struct mk_x8 *x, size_t n_col)
{
    if (p->quant->bias == SIGNED)
        columns(y, p, x, n_col, SIGNED, 32);
    else if (p->quant->sub == 32)
        columns(y, p, x, n_col, 31, 32);
    else
        columns(y, p, x, n_col, 63, 16);
}
/* Panels one after the other. */
#define EACH_PANEL(name)                                                                        \
    static void name(float *y, const struct mk_panel *p, size_t n_panel, const struct mk_x8 *x, \
                     size_t n_col)                                                              \
    {                                                                                           \
        for (size_t i = 0; i < n_panel; i++)                                                    \
            name##_panel(y + i * n_col * MK_PANEL_ROWS, p + i, x, n_col);                       \
    }
EACH_PANEL(mul_s32)
EACH_PANEL(mul_s256)
#undef EACH_PANEL
#endif
