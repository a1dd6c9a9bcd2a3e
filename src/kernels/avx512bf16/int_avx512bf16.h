#ifndef MK_KERNELS_AVX512BF16_INT_AVX512BF16_H
#define MK_KERNELS_AVX512BF16_INT_AVX512BF16_H
/* Private to avx512bf16/: the entries of the table. */
#include "kernels/inline.h"
#include "kernels/kernels.h"

mk_mul_bf16_fn mk_avx512bf16_mul_bf16;
mk_peak_bf16_fn mk_avx512bf16_peak_bf16;
void mk_avx512bf16_pack(struct mk_kernels *k);
void mk_avx512bf16_pairs(struct mk_kernels *k);
#endif
