/* What kernels/lanes/ needs for the float products. */
#define LANES 8
#include "kernels/lanes/mul_float.h"
#include "kernels/avx2/int_avx2.h"

#include <immintrin.h>

INLINE vf fma_lanes(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
INLINE vf splat(const float *x) { return _mm256_broadcast_ss(x); }

void mk_avx2_mul_float(struct mk_kernels *k)
{
    k->mul_f32 = mul_f32;
    k->mul_t = mul_t;
}
