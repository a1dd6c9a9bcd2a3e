/* What kernels/lanes/ needs for products of pairs. */
#define LANES 8
#include "kernels/lanes/pairs.h"
#include "kernels/avx2/int_avx2.h"

#include <immintrin.h>

INLINE vf fma_lanes(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
INLINE vu splat_pair(const uint16_t *x)
{
    return (vu)_mm256_broadcast_ss((const float *)(const void *)x);
}

void mk_avx2_pairs(struct mk_kernels *k)
{
    memset(k->gemv_pairs, 0, sizeof k->gemv_pairs); /* panels are quicker than scalar code */
    k->mul_pairs = mul_pairs;
}
