/* What kernels/lanes/ needs for training. */
#define LANES 8
#include "kernels/lanes/train.h"

#include "kernels/avx2/int_avx2.h"
#include "kernels/avx2/int_vec.h"

INLINE vf fma_lanes(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
INLINE vf exp_lanes(vf x) { return mk_exp8(x); }
INLINE vf sqrt_lanes(vf x) { return _mm256_sqrt_ps(x); }
INLINE vf get_first(const float *x, size_t n) { return _mm256_maskload_ps(x, mk_first8(n)); }
INLINE void put_first(float *y, vf v, size_t n) { _mm256_maskstore_ps(y, mk_first8(n), v); }
INLINE vd low_half(vf v) { return _mm256_cvtps_pd(_mm256_castps256_ps128(v)); }
INLINE vd high_half(vf v) { return _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1)); }
INLINE double sum_lanes_d(vd v) { return mk_sum4(v); }
INLINE float sum_lanes(vf v)
{
    const __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 t = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(t, _mm_movehdup_ps(t)));
}

void mk_avx2_train(struct mk_kernels *k) { set_train(k); }
