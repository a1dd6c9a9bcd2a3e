#include "kernels/avx2/int_avx2.h"
#include "kernels/isa.h"

void mk_kernels_avx2(struct mk_kernels *k)
{
    mk_avx2_gemv(k);
    mk_avx2_unpack(k);
    mk_avx2_mul(k);
    mk_avx2_mul_float(k);
    mk_avx2_pairs(k);
    mk_avx2_vec(k);
    mk_avx2_train(k);
    mk_avx2_peak(k);
}
