#ifndef MK_KERNELS_AVX512BF16_INT_DOT_H
#define MK_KERNELS_AVX512BF16_INT_DOT_H
/* Private to avx512bf16/: the instruction, for the products of kernels/avx512/int_pairs.h. */
#include "kernels/avx512/int_pairs.h"

INLINE __m512 mk_dot_bf16(__m512 sum, __m512i a, __m512i b)
{
    return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
}
#endif
