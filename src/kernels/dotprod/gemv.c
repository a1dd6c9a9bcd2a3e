/* Rows as they are stored, times one column after another: SDOT adds four products of 16 codes to
 * each of four lanes; what 16 or 32 values of four rows come to is added in pairs and so turned
 * into lanes.
 *
 * Lines are asked for in the order in which they lie, sixteen rows before they are used. */
#include "kernels/inline.h"
#include "kernels/kernels.h"
#include "kernels/neon/int_neon.h"

#include <arm_neon.h>
#include <string.h>

enum { ROWS = 4 };

INLINE int8x16_t codes(const uint8_t *p) { return vreinterpretq_s8_u8(vld1q_u8(p)); }
INLINE int8x16_t low4(uint8x16_t v) { return vreinterpretq_s8_u8(vandq_u8(v, vdupq_n_u8(15))); }
INLINE int8x16_t high4(uint8x16_t v) { return vreinterpretq_s8_u8(vshrq_n_u8(v, 4)); }

/* The sums of four vectors of four, in order. */
INLINE int32x4_t sum4(const int32x4_t v[ROWS])
{
    return vpaddq_s32(vpaddq_s32(v[0], v[1]), vpaddq_s32(v[2], v[3]));
}

/* The 16-bit floats at p of four rows. */
INLINE float32x4_t halves(const uint8_t *p, size_t stride)
{
    uint16_t d[ROWS];
    UNROLL
    for (size_t r = 0; r < ROWS; r++) memcpy(&d[r], p + r * stride, sizeof *d);
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(d)));
}

/* a . x[0..15] + b . x[16..31] in four parts */
INLINE int32x4_t dot32(int8x16_t a, int8x16_t b, const int8_t *x)
{
    return vdotq_s32(vdotq_s32(vdupq_n_s32(0), a, vld1q_s8(x)), b, vld1q_s8(x + 16));
}

/* 16 bytes of each of four rows: o[i] holds bytes 4i..4i+3 of all. */
INLINE void rows16(uint32x4_t o[4], const uint8_t *b, size_t stride)
{
    uint32x4_t v[ROWS];
    UNROLL
    for (size_t r = 0; r < ROWS; r++) v[r] = vreinterpretq_u32_u8(vld1q_u8(b + r * stride));
    const uint64x2_t a = vreinterpretq_u64_u32(vtrn1q_u32(v[0], v[1]));
    const uint64x2_t c = vreinterpretq_u64_u32(vtrn2q_u32(v[0], v[1]));
    const uint64x2_t d = vreinterpretq_u64_u32(vtrn1q_u32(v[2], v[3]));
    const uint64x2_t e = vreinterpretq_u64_u32(vtrn2q_u32(v[2], v[3]));
    o[0] = vreinterpretq_u32_u64(vtrn1q_u64(a, d)), o[1] = vreinterpretq_u32_u64(vtrn1q_u64(c, e));
    o[2] = vreinterpretq_u32_u64(vtrn2q_u64(a, d)), o[3] = vreinterpretq_u32_u64(vtrn2q_u64(c, e));
}

/* f times byte i of each dword, with or without a sign. */
INLINE float32x4_t times_byte(float32x4_t f, uint32x4_t v, int i, bool is_signed)
{
    const uint32x4_t top = vshlq_u32(v, vdupq_n_s32(24 - 8 * i));
    return vmulq_f32(f, is_signed ? vcvtq_f32_s32(vshrq_n_s32(vreinterpretq_s32_u32(top), 24))
                                  : vcvtq_f32_u32(vshrq_n_u32(top, 24)));
}

/* ---- q4_k -------------------------------------------------------------------------- */

/* The first four, and the other four, 6-bit numbers of a row (quant/pack.c). */
INLINE void six(uint32x4_t o[2], uint32x4_t low, uint32x4_t rest4)
{
    const uint32x4_t top = vandq_u32(vshrq_n_u32(low, 2), vdupq_n_u32(0x30303030));
    o[0] = vandq_u32(low, vdupq_n_u32(0x3f3f3f3f));
    o[1] = vorrq_u32(vandq_u32(rest4, vdupq_n_u32(0x0f0f0f0f)), top);
}

/* What 32 bytes of nibbles come to: o[0] the low ones with x[0..31], o[1] the high ones with the
 * next 32. */
INLINE void nibbles(int32x4_t o[2], const uint8_t *b, size_t stride, const int8_t *x)
{
    int32x4_t low[ROWS], high[ROWS];
    UNROLL
    for (size_t r = 0; r < ROWS; r++) {
        const uint8x16_t v0 = vld1q_u8(b + r * stride), v1 = vld1q_u8(b + r * stride + 16);
        low[r] = dot32(low4(v0), low4(v1), x);
        high[r] = dot32(high4(v0), high4(v1), x + 32);
    }
    o[0] = sum4(low), o[1] = sum4(high);
}

INLINE float32x4_t block4(float32x4_t y, const uint8_t *b, size_t stride, const int8_t *x,
                          const float *s, const int16_t *sum)
{
    uint32x4_t h[4], sc[2], mn[2];
    rows16(h, b, stride);
    six(sc, h[1], h[3]);
    six(mn, h[2], vshrq_n_u32(h[3], 4));
    const float32x4_t d = halves(b, stride), m = halves(b + 2, stride);
    UNROLL
    for (int j = 0; j < 8; j += 2) {
        int32x4_t v[2];
        nibbles(v, b + 16 + 16 * j, stride, x + 32 * j);
        UNROLL
        for (int i = j; i < j + 2; i++) {
            const float32x4_t xs = vdupq_n_f32((float)(sum[2 * i] + sum[2 * i + 1]));
            const float32x4_t di = times_byte(d, sc[i / 4], i % 4, false);
            const float32x4_t mi = times_byte(m, mn[i / 4], i % 4, false);
            const float32x4_t t = vmulq_f32(di, vcvtq_f32_s32(v[i - j]));
            y = vfmaq_n_f32(y, vfmsq_f32(t, mi, xs), s[i]);
        }
    }
    return y;
}

/* ---- q6_k -------------------------------------------------------------------------- */

/* 16 codes of group g of four: the low nibbles of two groups, or the high ones, and two bits. */
INLINE int8x16_t codes6(uint8x16_t low, uint8x16_t high, int g)
{
    const uint8x16_t top = vshlq_u8(high, vdupq_n_s8((int8_t)(4 - 2 * g)));
    return vbslq_s8(vdupq_n_u8(0x30), vreinterpretq_s8_u8(top), g < 2 ? low4(low) : high4(low));
}

/* Sub-blocks `at`, at + 2, .. of the 128 values at x, which are the first or second halves of four
 * groups of 32: t = d (float)i, or plus that. */
INLINE void half6(float32x4_t t[4], const uint8_t *low, const uint8_t *high, size_t stride,
                  const int8_t *x, float32x4_t d, const uint32x4_t sc[4], const int16_t *sum,
                  int at)
{
    int32x4_t v[4][ROWS];
    UNROLL
    for (size_t r = 0; r < ROWS; r++) {
        const uint8x16_t l[2] = {vld1q_u8(low + r * stride), vld1q_u8(low + r * stride + 32)};
        const uint8x16_t h = vld1q_u8(high + r * stride);
        UNROLL
        for (int g = 0; g < 4; g++)
            v[g][r] = vdotq_s32(vdupq_n_s32(0), codes6(l[g % 2], h, g), vld1q_s8(x + 32 * g));
    }
    UNROLL
    for (int g = 0; g < 4; g++) {
        const int j = at + 2 * g;
        const float32x4_t dj = times_byte(d, sc[j / 4], j % 4, true);
        const float32x4_t f = vcvtq_f32_s32(vsubq_s32(sum4(v[g]), vdupq_n_s32(32 * sum[j])));
        t[g] = at % 2 ? vfmaq_f32(t[g], dj, f) : vmulq_f32(dj, f);
    }
}

INLINE float32x4_t block6(float32x4_t y, const uint8_t *b, size_t stride, const int8_t *x,
                          const float *s, const int16_t *sum)
{
    uint32x4_t sc[4];
    rows16(sc, b + 192, stride);
    const float32x4_t d = halves(b + 208, stride);
    UNROLL
    for (int n = 0; n < 2; n++) {
        float32x4_t t[4];
        UNROLL
        for (int i = 0; i < 2; i++)
            half6(t, b + 64 * n + 16 * i, b + 128 + 32 * n + 16 * i, stride, x + 128 * n + 16 * i,
                  d, sc, sum, 8 * n + i);
        UNROLL
        for (int g = 0; g < 4; g++) y = vfmaq_n_f32(y, t[g], s[4 * n + g]);
    }
    return y;
}

/* ---- q4_0, q8_0 -------------------------------------------------------------------- */

/* y = fma(s, d (float)sum, y) */
INLINE float32x4_t add_block(float32x4_t y, float32x4_t d, float s, int32x4_t sum)
{
    return vfmaq_n_f32(y, vmulq_f32(d, vcvtq_f32_s32(sum)), s);
}

INLINE float32x4_t block4_0(float32x4_t y, const uint8_t *b, size_t stride, const int8_t *x,
                            const float *s, const int16_t *sum)
{
    int32x4_t v[ROWS];
    UNROLL
    for (size_t r = 0; r < ROWS; r++) {
        const uint8x16_t q = vld1q_u8(b + r * stride + 2);
        v[r] = dot32(low4(q), high4(q), x);
    }
    const int32x4_t bias = vdupq_n_s32(8 * (sum[0] + sum[1]));
    return add_block(y, halves(b, stride), *s, vsubq_s32(sum4(v), bias));
}

INLINE float32x4_t block8_0(float32x4_t y, const uint8_t *b, size_t stride, const int8_t *x,
                            const float *s, const int16_t *sum)
{
    int32x4_t v[ROWS];
    (void)sum;
    UNROLL
    for (size_t r = 0; r < ROWS; r++)
        v[r] = dot32(codes(b + r * stride + 2), codes(b + r * stride + 18), x);
    return add_block(y, halves(b, stride), *s, sum4(v));
}

/* ---- entries ----------------------------------------------------------------------- */

typedef float32x4_t block_fn(float32x4_t y, const uint8_t *b, size_t stride, const int8_t *x,
                             const float *s, const int16_t *sum);

INLINE void ahead(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i += 64) __builtin_prefetch(p + i);
}

/* y[4] of one column. */
INLINE float32x4_t four(float32x4_t y, const uint8_t *b, size_t stride, const struct mk_x8 *x,
                        size_t c, size_t n_k, enum mk_type type, block_fn *block)
{
    const size_t len = mk_quants[type].block_len, bytes = mk_quants[type].block_bytes;
    for (size_t g = 0; g < n_k / len; g++) {
        if (!c) ahead(b + MK_PANEL_ROWS * stride + ROWS * g * bytes, ROWS * bytes);
        y = block(y, b + g * bytes, stride, x->q + c * x->ldq + g * len,
                  x->s + c * x->lds + g * len / 32, x->sum + c * x->ldsum + g * len / 16);
    }
    return y;
}

INLINE void gemv(enum mk_type type, float *y, const uint8_t *rows, size_t stride,
                 const struct mk_x8 *x, size_t n_k, size_t n_col, block_fn *block)
{
    for (size_t i = 0; i < MK_PANEL_ROWS; i += ROWS)
        for (size_t c = 0; c < n_col; c++) {
            float *out = y + c * MK_PANEL_ROWS + i;
            vst1q_f32(out, four(vld1q_f32(out), rows + i * stride, stride, x, c, n_k, type, block));
        }
}

#define GEMV(ID, block)                                                                        \
    static void gemv_##ID(float *y, const uint8_t *rows, size_t stride, const struct mk_x8 *x, \
                          size_t n_k, size_t n_col)                                            \
    {                                                                                          \
        gemv(MK_##ID, y, rows, stride, x, n_k, n_col, block);                                  \
    }
GEMV(Q4_0, block4_0)
GEMV(Q8_0, block8_0)
GEMV(Q4_K, block4)
GEMV(Q6_K, block6)

void mk_dotprod_gemv(struct mk_kernels *k)
{
    k->gemv[MK_Q4_0] = gemv_Q4_0;
    k->gemv[MK_Q8_0] = gemv_Q8_0;
    k->gemv[MK_Q4_K] = gemv_Q4_K;
    k->gemv[MK_Q6_K] = gemv_Q6_K;
}
