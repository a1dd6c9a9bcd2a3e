#include "kernels/avx2/int_avx2.h"
#include "kernels/isa.h"
#include "kernels/kernels.h"

#include <string.h>

void mk_kernels_avx2(struct mk_kernels *k)
{
    memset(k->gemv, 0, sizeof k->gemv); /* the other types are quicker with panels */
    memset(k->gemv_f32, 0, sizeof k->gemv_f32);
    mk_avx2_gemv_s32(k);
    mk_avx2_gemv_s256(k);
    mk_avx2_unpack(k);
    mk_avx2_mul(k);
    mk_avx2_mul_float(k);
    mk_avx2_pairs(k);
    mk_avx2_vec(k);
    mk_avx2_train(k);
    mk_avx2_peak(k);
}
