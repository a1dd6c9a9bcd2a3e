#ifndef MK_KERNELS_SCALAR_INT_SCALAR_H
#define MK_KERNELS_SCALAR_INT_SCALAR_H
/* Private to scalar/: the entries of pairs.c. */
#include "kernels/kernels.h"

mk_unpack_pairs_fn mk_scalar_unpack_bf16, mk_scalar_unpack_f8;
mk_gemv_pairs_fn mk_scalar_gemv_bf16, mk_scalar_gemv_f8;
mk_mul_pairs_fn mk_scalar_mul_pairs;
#endif
