#include "kernels/isa.h"
#include "kernels/kernels.h"
#include "kernels/neon/int_neon.h"

#include <string.h>

void mk_kernels_neon(struct mk_kernels *k)
{
    memset(k->gemv_f32, 0, sizeof k->gemv_f32);
    memset(k->gemv, 0, sizeof k->gemv); /* unpack and mul are quicker than scalar code */
    mk_neon_unpack(k);
    mk_neon_mul(k);
    mk_neon_mul_float(k);
    mk_neon_pairs(k);
    mk_neon_vec(k);
    mk_neon_train(k);
    mk_neon_peak(k);
}
