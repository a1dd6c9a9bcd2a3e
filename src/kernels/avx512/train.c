/* What kernels/lanes/ needs for training. */
#define LANES 16
#include "kernels/lanes/train.h"

#include "int_avx512.h"

INLINE vf fma_lanes(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
INLINE vf exp_lanes(vf x) { return mk_exp_ps(x); }
INLINE vf sqrt_lanes(vf x) { return _mm512_sqrt_ps(x); }
INLINE vf get_first(const float *x, size_t n) { return _mm512_maskz_loadu_ps(mk_tail(0, n), x); }
INLINE void put_first(float *y, vf v, size_t n) { _mm512_mask_storeu_ps(y, mk_tail(0, n), v); }
INLINE vd low_half(vf v) { return _mm512_cvtps_pd(_mm512_castps512_ps256(v)); }
INLINE vd high_half(vf v) { return _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1)); }
INLINE float sum_lanes(vf v) { return _mm512_reduce_add_ps(v); }
INLINE double sum_lanes_d(vd v) { return _mm512_reduce_add_pd(v); }

void mk_avx512_train(struct mk_kernels *k) { set_train(k); }
