#ifndef MK_KERNELS_NEON_INT_VEC_H
#define MK_KERNELS_NEON_INT_VEC_H
/* What the vector kernels of neon/ share. */
#include "kernels/inline.h"

#include <arm_neon.h>

/* 2^n, -127 < n < 128 */
INLINE float32x4_t mk_exp2_int(int32x4_t n)
{
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23));
}

/* e^x = 2^n e^r, |r| <= ln 2 / 2, e^r by its series to r^7 / 7! (the rest is under
 * 2^-27).  2^n is two factors, so that results may be subnormal; the limits lie where
 * e^x rounds to zero and where it overflows; min and max keep a NaN. */
INLINE float32x4_t mk_exp4(float32x4_t x)
{
    static const float c[7] = {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f};
    x = vminq_f32(vmaxq_f32(x, vdupq_n_f32(-105.0f)), vdupq_n_f32(89.0f));
    const float32x4_t n = vrndnq_f32(vmulq_n_f32(x, 0x1.715476p+0f));
    float32x4_t r = vfmsq_f32(x, n, vdupq_n_f32(0x1.62e43p-1f));
    r = vfmsq_f32(r, n, vdupq_n_f32(-0x1.05c61p-29f));
    float32x4_t e = vdupq_n_f32(1.0f / 5040);
    UNROLL
    for (int i = 0; i < 7; i++) e = vfmaq_f32(vdupq_n_f32(c[i]), e, r);
    const int32x4_t i = vcvtq_s32_f32(n), a = vshrq_n_s32(i, 1), b = vsubq_s32(i, a);
    return vmulq_f32(vmulq_f32(e, mk_exp2_int(a)), mk_exp2_int(b));
}
#endif
