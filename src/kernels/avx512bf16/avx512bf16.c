/* AVX-512 with BF16: Cooper Lake, Sapphire Rapids and Zen 4 onwards. */
#include "int_avx512bf16.h"

#include "kernels/isa.h"

void mk_kernels_avx512bf16(struct mk_kernels *k)
{
    k->mul_bf16 = mk_avx512bf16_mul_bf16;
    k->mul_t_bf16 = mk_avx512bf16_mul_t_bf16;
    k->peak_bf16 = mk_avx512bf16_peak_bf16;
    mk_avx512bf16_pack(k);
    mk_avx512bf16_pairs(k);
}
