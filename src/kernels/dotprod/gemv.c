/* Rows as they are stored, times one column after another: SDOT adds four products of 16 codes to
 * each of four lanes; what four rows come to is added in pairs and so turned into lanes.
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

/* y = fma(d s, sum, y) */
INLINE float32x4_t add_block(float32x4_t y, float32x4_t d, float s, int32x4_t sum)
{
    return vfmaq_f32(y, vmulq_n_f32(d, s), vcvtq_f32_s32(sum));
}

/* a . x[0..15] + b . x[16..31] in four parts */
INLINE int32x4_t dot32(int8x16_t a, int8x16_t b, const int8_t *x)
{
    return vdotq_s32(vdotq_s32(vdupq_n_s32(0), a, vld1q_s8(x)), b, vld1q_s8(x + 16));
}

/* ---- q4_k -------------------------------------------------------------------------- */

/* 6-bit numbers of a row: the low bits of four, then the others put together (quant/pack.c). */
INLINE uint16x8_t six(uint32_t low, uint32_t rest4, uint32_t rest2)
{
    const uint64_t high = (rest4 & 0x0f0f0f0f) | (rest2 >> 2 & 0x30303030);
    return vmovl_u8(vcreate_u8(high << 32 | (low & 0x3f3f3f3f)));
}

/* sum + sub-scales 2j and 2j + 1, which are lanes of sc, times the low and the high codes at b. */
#define TWO(sum, sc, lane, b, x)                                                           \
    do {                                                                                   \
        const uint8x16_t v0 = vld1q_u8(b), v1 = vld1q_u8((b) + 16);                        \
        sum = vmlaq_laneq_s32(sum, dot32(low4(v0), low4(v1), x), sc, lane);                \
        sum = vmlaq_laneq_s32(sum, dot32(high4(v0), high4(v1), (x) + 32), sc, (lane) + 1); \
    } while (0)

/* One row: what the codes come to, and the minima; xs are the sums of 32 codes each. */
INLINE int32x4_t row4(int32x4_t *minima, const uint8_t *b, const int8_t *x, int16x8_t xs)
{
    uint32_t w[4];
    memcpy(w, b, sizeof w);
    const uint16x8_t sc = six(w[1], w[3], w[1]);
    const int16x8_t mn = vreinterpretq_s16_u16(six(w[2], w[3] >> 4, w[2]));
    const int32x4_t sc0 = vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(sc)));
    const int32x4_t sc1 = vreinterpretq_s32_u32(vmovl_high_u16(sc));
    int32x4_t sum = vdupq_n_s32(0);
    *minima = vmlal_high_s16(vmull_s16(vget_low_s16(mn), vget_low_s16(xs)), mn, xs);
    TWO(sum, sc0, 0, b + 16, x);
    TWO(sum, sc0, 2, b + 48, x + 64);
    TWO(sum, sc1, 0, b + 80, x + 128);
    TWO(sum, sc1, 2, b + 112, x + 192);
    return sum;
}

INLINE float32x4_t block4(float32x4_t y, const uint8_t *b, size_t stride, const int8_t *x, float s,
                          const int16_t *sum)
{
    const int16x8_t xs = vpaddq_s16(vld1q_s16(sum), vld1q_s16(sum + 8));
    int32x4_t v[ROWS], m[ROWS];
    UNROLL
    for (size_t r = 0; r < ROWS; r++) v[r] = row4(&m[r], b + r * stride, x, xs);
    y = add_block(y, halves(b, stride), s, sum4(v));
    return vfmsq_f32(y, vmulq_n_f32(halves(b + 2, stride), s), vcvtq_f32_s32(sum4(m)));
}

/* ---- q6_k -------------------------------------------------------------------------- */

/* 16 codes: four bits, and two of h from bit `from` on. */
INLINE int8x16_t six_bits(int8x16_t low, uint8x16_t h, int from)
{
    const uint8x16_t at4 = vshlq_u8(h, vdupq_n_s8((int8_t)(4 - from)));
    return vbslq_s8(vdupq_n_u8(0x30), vreinterpretq_s8_u8(at4), low);
}

/* The bias of 32, for eight sub-scales. */
INLINE int32x4_t bias6(int16x8_t sc, int16x8_t sums)
{
    const int32x4_t v = vmull_s16(vget_low_s16(sc), vget_low_s16(sums));
    return vshlq_n_s32(vmlal_high_s16(v, sc, sums), 5);
}

/* sum + sub-scales `lane` and `lane` + 1 times a . x[0..15] and b . x[16..31] */
#define SIX(sum, sc, lane, a, b, x)                                                         \
    do {                                                                                    \
        const int32x4_t zero = vdupq_n_s32(0);                                              \
        sum = vmlaq_laneq_s32(sum, vdotq_s32(zero, a, vld1q_s8(x)), sc, lane);              \
        sum = vmlaq_laneq_s32(sum, vdotq_s32(zero, b, vld1q_s8((x) + 16)), sc, (lane) + 1); \
    } while (0)

/* 128 values, with eight sub-scales. */
INLINE int32x4_t half6(int32x4_t sum, const uint8_t *low, const uint8_t *high, int16x8_t sc,
                       const int8_t *x)
{
    const uint8x16_t l0 = vld1q_u8(low), l1 = vld1q_u8(low + 16), l2 = vld1q_u8(low + 32),
                     l3 = vld1q_u8(low + 48), h0 = vld1q_u8(high), h1 = vld1q_u8(high + 16);
    const int32x4_t sc0 = vmovl_s16(vget_low_s16(sc)), sc1 = vmovl_high_s16(sc);
    SIX(sum, sc0, 0, six_bits(low4(l0), h0, 0), six_bits(low4(l1), h1, 0), x);
    SIX(sum, sc0, 2, six_bits(low4(l2), h0, 2), six_bits(low4(l3), h1, 2), x + 32);
    SIX(sum, sc1, 0, six_bits(high4(l0), h0, 4), six_bits(high4(l1), h1, 4), x + 64);
    SIX(sum, sc1, 2, six_bits(high4(l2), h0, 6), six_bits(high4(l3), h1, 6), x + 96);
    return sum;
}

INLINE float32x4_t block6(float32x4_t y, const uint8_t *b, size_t stride, const int8_t *x, float s,
                          const int16_t *sum)
{
    const int16x8_t sum0 = vld1q_s16(sum), sum1 = vld1q_s16(sum + 8);
    int32x4_t v[ROWS];
    UNROLL
    for (size_t r = 0; r < ROWS; r++) {
        const uint8_t *p = b + r * stride;
        const int8x16_t sc = codes(p + 192);
        const int16x8_t sc0 = vmovl_s8(vget_low_s8(sc)), sc1 = vmovl_high_s8(sc);
        v[r] = vnegq_s32(vaddq_s32(bias6(sc0, sum0), bias6(sc1, sum1)));
        v[r] = half6(half6(v[r], p, p + 128, sc0, x), p + 64, p + 160, sc1, x + 128);
    }
    return add_block(y, halves(b + 208, stride), s, sum4(v));
}

/* ---- q4_0, q8_0 -------------------------------------------------------------------- */

INLINE float32x4_t block4_0(float32x4_t y, const uint8_t *b, size_t stride, const int8_t *x,
                            float s, const int16_t *sum)
{
    int32x4_t v[ROWS];
    UNROLL
    for (size_t r = 0; r < ROWS; r++) {
        const uint8x16_t q = vld1q_u8(b + r * stride + 2);
        v[r] = dot32(low4(q), high4(q), x);
    }
    const int32x4_t bias = vdupq_n_s32(8 * (sum[0] + sum[1]));
    return add_block(y, halves(b, stride), s, vsubq_s32(sum4(v), bias));
}

INLINE float32x4_t block8_0(float32x4_t y, const uint8_t *b, size_t stride, const int8_t *x,
                            float s, const int16_t *sum)
{
    int32x4_t v[ROWS];
    (void)sum;
    UNROLL
    for (size_t r = 0; r < ROWS; r++)
        v[r] = dot32(codes(b + r * stride + 2), codes(b + r * stride + 18), x);
    return add_block(y, halves(b, stride), s, sum4(v));
}

/* ---- entries ----------------------------------------------------------------------- */

typedef float32x4_t block_fn(float32x4_t y, const uint8_t *b, size_t stride, const int8_t *x,
                             float s, const int16_t *sum);

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
        y = block(y, b + g * bytes, stride, x->q + c * x->ldq + g * len, x->s[c * x->lds + g],
                  x->sum + c * x->ldsum + g * len / 16);
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
