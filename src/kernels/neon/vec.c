/* Activations and vectors.  What scalar defines exactly (quant_x8, f32_bf16, f32_f16, rope) has
 * the same operations in the same order here; sums are kept in double. */
#include "base/half.h"
#include "kernels/kernels.h"
#include "kernels/neon/int_neon.h"
#include "kernels/neon/int_vec.h"

#include <math.h>
#include <string.h>

/* ---- activations ---------------------------------------------------------- */

/* v > m ? v : m, so that a NaN counts as nothing.  Not maxnm, as that makes a NaN of a
 * signaling one. */
INLINE float32x4_t larger(float32x4_t v, float32x4_t m) { return vbslq_f32(vcgtq_f32(v, m), v, m); }

/* Of 32 values. */
INLINE float abs_max(const float *x)
{
    float32x4_t m = vdupq_n_f32(0.0f);
    for (size_t i = 0; i < 32; i += 4) m = larger(vabsq_f32(vld1q_f32(x + i)), m);
    return vmaxvq_f32(m);
}

/* Four values to -127..127; of a NaN and a number maxnm takes the number. */
INLINE int32x4_t round4(const float *x, float inv)
{
    float32x4_t v = vrndnq_f32(vmulq_n_f32(vld1q_f32(x), inv));
    v = vminnmq_f32(vmaxnmq_f32(v, vdupq_n_f32(-127.0f)), vdupq_n_f32(127.0f));
    return vcvtq_s32_f32(v);
}

INLINE void quant16(int8_t *q, int16_t *sum, const float *x, float inv)
{
    const int16x8_t a = vcombine_s16(vmovn_s32(round4(x, inv)), vmovn_s32(round4(x + 4, inv)));
    const int16x8_t b = vcombine_s16(vmovn_s32(round4(x + 8, inv)), vmovn_s32(round4(x + 12, inv)));
    vst1q_s8(q, vcombine_s8(vmovn_s16(a), vmovn_s16(b)));
    *sum = vaddvq_s16(vaddq_s16(a, b));
}

static void quant_x8(int8_t *q, float *s, int16_t *sum, const float *x, size_t n)
{
    for (size_t g = 0; g < n; g += 32) {
        const float amax = abs_max(x + g);
        const float inv = amax > 0.0f ? 127.0f / amax : 0.0f;
        s[g / 32] = amax / 127.0f;
        for (size_t i = g; i < g + 32; i += 16) quant16(q + i, sum + i / 16, x + i, inv);
    }
}

INLINE uint16x4_t bf16_of(const float *x)
{
    const float32x4_t f = vld1q_f32(x);
    const uint32x4_t u = vreinterpretq_u32_f32(f), high = vshrq_n_u32(u, 16);
    const uint32x4_t half = vaddq_u32(vandq_u32(high, vdupq_n_u32(1)), vdupq_n_u32(0x7fff));
    const uint32x4_t number = vshrq_n_u32(vaddq_u32(u, half), 16);
    const uint32x4_t quiet = vorrq_u32(high, vdupq_n_u32(0x40));
    return vmovn_u32(vbslq_u32(vceqq_f32(f, f), number, quiet));
}

static void f32_bf16(uint16_t *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + 4 <= n; i += 4) vst1_u16(y + i, bf16_of(x + i));
    for (; i < n; i++) y[i] = mk_f32_bf16(x[i]);
}

static void f32_f16(uint16_t *y, const float *x, size_t n)
{
    const float32x4_t low = vdupq_n_f32(-65504.0f), high = vdupq_n_f32(65504.0f);
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        const float32x4_t f = vmaxq_f32(low, vminq_f32(high, vld1q_f32(x + i)));
        vst1_u16(y + i, vreinterpret_u16_f16(vcvt_f16_f32(f)));
    }
    for (; i < n; i++) y[i] = mk_f32_f16_finite(x[i]);
}

/* ---- exp ------------------------------------------------------------------ */

INLINE float64x2_t add_halves(float64x2_t sum, float32x4_t v)
{
    return vaddq_f64(vaddq_f64(sum, vcvt_f64_f32(vget_low_f32(v))), vcvt_high_f64_f32(v));
}

static float exp_sum(float *x, size_t n, float max)
{
    float64x2_t sum = vdupq_n_f64(0.0);
    const float32x4_t m = vdupq_n_f32(max);
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        const float32x4_t e = mk_exp4(vsubq_f32(vld1q_f32(x + i), m));
        vst1q_f32(x + i, e);
        sum = add_halves(sum, e);
    }
    double total = vaddvq_f64(sum);
    for (; i < n; i++) {
        x[i] = vgetq_lane_f32(mk_exp4(vdupq_n_f32(x[i] - max)), 0);
        total += (double)x[i];
    }
    return (float)total;
}

INLINE float32x4_t silu4(float32x4_t g, float32x4_t u)
{
    const float32x4_t below = vaddq_f32(vdupq_n_f32(1.0f), mk_exp4(vnegq_f32(g)));
    return vmulq_f32(vdivq_f32(g, below), u);
}

static void silu_mul(float *y, const float *gate, const float *up, size_t n)
{
    size_t i = 0;
    for (; i + 4 <= n; i += 4) vst1q_f32(y + i, silu4(vld1q_f32(gate + i), vld1q_f32(up + i)));
    for (; i < n; i++) y[i] = vgetq_lane_f32(silu4(vdupq_n_f32(gate[i]), vdupq_n_f32(up[i])), 0);
}

/* ---- vectors -------------------------------------------------------------- */

static void rmsnorm(float *y, const float *x, const float *w, size_t n, float eps)
{
    float64x2_t a = vdupq_n_f64(0.0), b = a;
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        const float32x4_t v = vld1q_f32(x + i);
        const float64x2_t lo = vcvt_f64_f32(vget_low_f32(v)), hi = vcvt_high_f64_f32(v);
        a = vfmaq_f64(a, lo, lo);
        b = vfmaq_f64(b, hi, hi);
    }
    double ss = vaddvq_f64(vaddq_f64(a, b));
    for (; i < n; i++) ss += (double)x[i] * (double)x[i];
    const float r = 1.0f / sqrtf((float)(ss / (double)n) + eps);
    for (i = 0; i + 4 <= n; i += 4)
        vst1q_f32(y + i, vmulq_f32(vmulq_n_f32(vld1q_f32(x + i), r), vld1q_f32(w + i)));
    for (; i < n; i++) y[i] = x[i] * r * w[i];
}

/* x and y of four pairs turned; products and sums are rounded one by one. */
INLINE void turn(float32x4_t *x, float32x4_t *y, const float *cs)
{
    const float32x4x2_t t = vld2q_f32(cs);
    const float32x4_t a = *x, b = *y;
    *x = vsubq_f32(vmulq_f32(a, t.val[0]), vmulq_f32(b, t.val[1]));
    *y = vaddq_f32(vmulq_f32(a, t.val[1]), vmulq_f32(b, t.val[0]));
}

static void rope_pairs(float *x, const float *cs, size_t n_pair)
{
    size_t i = 0;
    for (; i + 4 <= n_pair; i += 4) {
        float32x4x2_t v = vld2q_f32(x + 2 * i);
        turn(&v.val[0], &v.val[1], cs + 2 * i);
        vst2q_f32(x + 2 * i, v);
    }
    for (; i < n_pair; i++) {
        const float a = x[2 * i], b = x[2 * i + 1], c = cs[2 * i], s = cs[2 * i + 1];
        x[2 * i] = a * c - b * s;
        x[2 * i + 1] = a * s + b * c;
    }
}

static void rope_halves(float *x, const float *cs, size_t n_pair)
{
    float *x2 = x + n_pair;
    size_t i = 0;
    for (; i + 4 <= n_pair; i += 4) {
        float32x4_t a = vld1q_f32(x + i), b = vld1q_f32(x2 + i);
        turn(&a, &b, cs + 2 * i);
        vst1q_f32(x + i, a);
        vst1q_f32(x2 + i, b);
    }
    for (; i < n_pair; i++) {
        const float a = x[i], b = x2[i], c = cs[2 * i], s = cs[2 * i + 1];
        x[i] = a * c - b * s;
        x2[i] = a * s + b * c;
    }
}

static float max(const float *x, size_t n)
{
    float32x4_t a = vdupq_n_f32(-INFINITY), b = a;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        a = larger(vld1q_f32(x + i), a);
        b = larger(vld1q_f32(x + i + 4), b);
    }
    float m = vmaxvq_f32(vmaxq_f32(a, b));
    for (; i < n; i++) m = x[i] > m ? x[i] : m;
    return m;
}

static void axpy(float *y, float a, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + 4 <= n; i += 4) vst1q_f32(y + i, vfmaq_n_f32(vld1q_f32(y + i), vld1q_f32(x + i), a));
    for (; i < n; i++) y[i] = fmaf(a, x[i], y[i]);
}

static void scale(float *x, float a, size_t n)
{
    size_t i = 0;
    for (; i + 4 <= n; i += 4) vst1q_f32(x + i, vmulq_n_f32(vld1q_f32(x + i), a));
    for (; i < n; i++) x[i] *= a;
}

void mk_neon_vec(struct mk_kernels *k)
{
    k->quant_x8 = quant_x8;
    k->f32_bf16 = f32_bf16;
    k->f32_f16 = f32_f16;
    k->rmsnorm = rmsnorm;
    k->rope_pairs = rope_pairs;
    k->rope_halves = rope_halves;
    k->silu_mul = silu_mul;
    k->exp_sum = exp_sum;
    k->max = max;
    k->axpy = axpy;
    k->scale = scale;
}
