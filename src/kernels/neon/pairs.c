/* What kernels/lanes/ needs for products of pairs.  (BFDOT rounds in a way of its own.  Whether a
 * result is subnormal is decided before it is rounded here and after that by the definition: only
 * numbers that round up to the least normal one differ.) */
#define LANES 4
#include "kernels/lanes/pairs.h"
#include "kernels/neon/int_neon.h"

#include <arm_neon.h>

INLINE vf fma_lanes(vf a, vf b, vf c)
{
    return (vf)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}
INLINE vf splat(const float *x) { return (vf)vld1q_dup_f32(x); }
static void widen_bf16(float *y, const uint16_t *x, size_t n)
{
    for (size_t i = 0; i < n; i += 4) /* n is a multiple of 32 */
        vst1q_u32((uint32_t *)y + i, vshll_n_u16(vld1_u16(x + i), 16));
}

void mk_neon_pairs(struct mk_kernels *k)
{
    memset(k->gemv_pairs, 0, sizeof k->gemv_pairs); /* panels are quicker than scalar code */
    k->mul_pairs = mul_pairs;
}
