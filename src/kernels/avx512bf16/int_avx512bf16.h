#ifndef MK_KERNELS_AVX512BF16_INT_AVX512BF16_H
#define MK_KERNELS_AVX512BF16_INT_AVX512BF16_H
/* Private to avx512bf16/: the entries of the table. */
#include "kernels/inline.h"
#include "kernels/kernels.h"

#include <immintrin.h>
#include <string.h>

/* Rows that are read once, and are followed by more, are asked for so many rows before their turn.
 * (Zen 5: 32 and 96 are slower where heads share keys, and alike for latents.) */
enum { MK_ROWS_AHEAD = 48 };

mk_mul_bf16_fn mk_avx512bf16_mul_bf16;
mk_mul_t_bf16_fn mk_avx512bf16_mul_t_bf16;
mk_peak_bf16_fn mk_avx512bf16_peak_bf16;
void mk_avx512bf16_pack(struct mk_kernels *k);
void mk_avx512bf16_pairs(struct mk_kernels *k);

/* Two neighbours in each 32-bit lane. */
INLINE __m512bh mk_two_bf16(const uint16_t *x)
{
    int32_t two;
    memcpy(&two, x, sizeof two);
    return (__m512bh)_mm512_set1_epi32(two);
}
#endif
