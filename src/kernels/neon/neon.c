#include "kernels/isa.h"
#include "kernels/neon/int_neon.h"

void mk_kernels_neon(struct mk_kernels *k)
{
    mk_neon_unpack(k);
    mk_neon_mul(k);
    mk_neon_mul_float(k);
    mk_neon_vec(k);
    mk_neon_train(k);
    mk_neon_peak(k);
}
