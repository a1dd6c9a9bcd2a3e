/* What kernels/lanes/ needs for training. */
#define LANES 4
#include "kernels/lanes/train.h"

#include "kernels/neon/int_neon.h"
#include "kernels/neon/int_vec.h"

INLINE vf fma_lanes(vf a, vf b, vf c) { return vfmaq_f32(c, a, b); }
INLINE vf exp_lanes(vf x) { return mk_exp4(x); }
INLINE vf sqrt_lanes(vf x) { return vsqrtq_f32(x); }
INLINE vd low_half(vf v) { return vcvt_f64_f32(vget_low_f32(v)); }
INLINE vd high_half(vf v) { return vcvt_high_f64_f32(v); }
INLINE float sum_lanes(vf v) { return vaddvq_f32(v); }
INLINE double sum_lanes_d(vd v) { return vaddvq_f64(v); }

INLINE vf get_first(const float *x, size_t n)
{
    vf v = {0};
    memcpy(&v, x, n * sizeof *x);
    return v;
}
INLINE void put_first(float *y, vf v, size_t n) { memcpy(y, &v, n * sizeof *y); }

void mk_neon_train(struct mk_kernels *k) { set_train(k); }
