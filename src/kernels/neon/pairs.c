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
INLINE vu splat_pair(const uint16_t *x) { return (vu)vld1q_dup_u32((const void *)x); }

void mk_neon_pairs(struct mk_kernels *k)
{
    memset(k->gemv_pairs, 0, sizeof k->gemv_pairs); /* panels are quicker than scalar code */
    k->mul_pairs = mul_pairs;
}
