/* What kernels/lanes/ needs for the float products. */
#define LANES 4
#include "kernels/lanes/mul_float.h"
#include "kernels/neon/int_neon.h"

#include <arm_neon.h>

INLINE vf fma_lanes(vf a, vf b, vf c)
{
    return (vf)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}
INLINE vf splat(const float *x) { return (vf)vld1q_dup_f32(x); }

void mk_neon_mul_float(struct mk_kernels *k)
{
    k->mul_f32 = mul_f32;
    k->mul_t = mul_t;
}
