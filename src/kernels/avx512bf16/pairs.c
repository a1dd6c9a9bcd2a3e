/* Pairs with VDPBF16PS. */
#include "int_avx512bf16.h"
#include "int_dot.h"

MK_PAIRS(mk_dot_bf16)

void mk_avx512bf16_pairs(struct mk_kernels *k)
{
    k->mul_pairs = mul_pairs;
    k->gemv_pairs[MK_BF16] = gemv_bf16;
    k->gemv_pairs[MK_F8_E4M3] = gemv_f8;
}
