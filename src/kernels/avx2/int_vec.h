#ifndef MK_KERNELS_AVX2_INT_VEC_H
#define MK_KERNELS_AVX2_INT_VEC_H
/* What the vector kernels of avx2/ share. */
#include "kernels/inline.h"

#include <immintrin.h>
#include <stddef.h>

enum { MK_NEAREST = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC };

/* e^x = 2^n e^r, |r| <= ln 2 / 2, e^r by its series to r^7 / 7! (the rest is under
 * 2^-27).  2^n is two factors, so that results may be subnormal; where e^x rounds to
 * zero nothing is computed, as underflow is slow. */
INLINE __m256 mk_exp8(__m256 x)
{
    const __m256 is_zero = _mm256_cmp_ps(x, _mm256_set1_ps(-104.0f), _CMP_LT_OQ);
    x = _mm256_min_ps(_mm256_set1_ps(89.0f), _mm256_andnot_ps(is_zero, x)); /* keeps a NaN */
    const __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(0x1.715476p+0f)), MK_NEAREST);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0x1.62e43p-1f), x);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(-0x1.05c61p-29f), r);
    __m256 e = _mm256_set1_ps(1.0f / 5040);
    e = _mm256_fmadd_ps(e, r, _mm256_set1_ps(1.0f / 720));
    e = _mm256_fmadd_ps(e, r, _mm256_set1_ps(1.0f / 120));
    e = _mm256_fmadd_ps(e, r, _mm256_set1_ps(1.0f / 24));
    e = _mm256_fmadd_ps(e, r, _mm256_set1_ps(1.0f / 6));
    e = _mm256_fmadd_ps(e, r, _mm256_set1_ps(0.5f));
    e = _mm256_fmadd_ps(e, r, _mm256_set1_ps(1.0f));
    e = _mm256_fmadd_ps(e, r, _mm256_set1_ps(1.0f));
    const __m256i i = _mm256_cvtps_epi32(n), bias = _mm256_set1_epi32(127);
    const __m256i a = _mm256_srai_epi32(i, 1), b = _mm256_sub_epi32(i, a);
    e = _mm256_mul_ps(e, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(a, bias), 23)));
    e = _mm256_mul_ps(e, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(b, bias), 23)));
    return _mm256_andnot_ps(is_zero, e);
}

/* Two transpositions of 4 x 4 words, one in each 128-bit half. */
INLINE void mk_turn_words(__m256i o[4], const __m256i v[4])
{
    const __m256i a = _mm256_unpacklo_epi32(v[0], v[1]), b = _mm256_unpackhi_epi32(v[0], v[1]);
    const __m256i c = _mm256_unpacklo_epi32(v[2], v[3]), d = _mm256_unpackhi_epi32(v[2], v[3]);
    o[0] = _mm256_unpacklo_epi64(a, c), o[1] = _mm256_unpackhi_epi64(a, c);
    o[2] = _mm256_unpacklo_epi64(b, d), o[3] = _mm256_unpackhi_epi64(b, d);
}

/* 16 bytes at a, and 16 at b behind them. */
INLINE __m256i mk_load_two(const void *a, const void *b)
{
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(a)), _mm_loadu_si128(b),
                                   1);
}

/* Eight values in bf16 as floats. */
INLINE __m256 mk_load_bf16(const void *x)
{
    const __m256i v = _mm256_cvtepu16_epi32(_mm_loadu_si128(x));
    return _mm256_castsi256_ps(_mm256_slli_epi32(v, 16));
}

/* The first n of 8 lanes. */
INLINE __m256i mk_first8(size_t n)
{
    const __m256i i = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), i);
}

INLINE double mk_sum4(__m256d v)
{
    const __m128d s = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));
    return _mm_cvtsd_f64(_mm_add_sd(s, _mm_unpackhi_pd(s, s)));
}
#endif
