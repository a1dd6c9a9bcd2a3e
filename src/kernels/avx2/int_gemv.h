#ifndef MK_KERNELS_AVX2_INT_GEMV_H
#define MK_KERNELS_AVX2_INT_GEMV_H
/* Products without a panel: what their files share.  maddubs multiplies pairs of codes with pairs
 * of the column; what comes of four vectors is added by unpacking, so that each dword of a lane is
 * left with the sum of one of them.  Sums of codes of few bits fit 16 bits up to there, and one
 * madd adds the last pairs. */
#include "kernels/avx2/int_avx2.h"
#include "kernels/avx2/int_vec.h"
#include "kernels/inline.h"
#include "kernels/kernels.h"

#include <immintrin.h>
#include <string.h>

INLINE __m256i load(const void *p) { return _mm256_loadu_si256(p); }
INLINE __m128i load16(const void *p) { return _mm_loadu_si128(p); }
INLINE __m256i low4(__m256i v) { return _mm256_and_si256(v, _mm256_set1_epi8(15)); }
INLINE __m256i high4(__m256i v) { return low4(_mm256_srli_epi16(v, 4)); }

/* 16 bytes, twice. */
INLINE __m256i both(const void *p) { return _mm256_broadcastsi128_si256(load16(p)); }

/* 16 bytes at b and 16 at b + 4 stride.  A blend, which reads those before the latter too, as
 * vinserti128 from memory goes through one pipe. */
INLINE __m256i two_of(const uint8_t *b, size_t stride)
{
    return _mm256_blend_epi32(_mm256_castsi128_si256(load16(b)), load(b + 4 * stride - 16), 0xf0);
}

/* The sums of pairs of a and of b: shuffles and an addition, as phaddd is slow. */
INLINE __m256i add32(__m256i a, __m256i b)
{
    return _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
}
INLINE __m256i add64(__m256i a, __m256i b)
{
    return _mm256_add_epi32(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
}

/* The same of pairs of 16 bits; what does not fit is lost without harm where the sum does. */
INLINE __m256i add16_32(__m256i a, __m256i b)
{
    return _mm256_add_epi16(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
}
INLINE __m256i add16_64(__m256i a, __m256i b)
{
    return _mm256_add_epi16(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
}

/* Dword i of each lane: the sum of that lane of v[i], in pairs of 16 bits. */
INLINE __m256i sum4(const __m256i v[4])
{
    return add16_64(add16_32(v[0], v[1]), add16_32(v[2], v[3]));
}

/* a . x + b . y in pairs of 16 bits */
INLINE __m256i dot2(__m256i a, __m256i x, __m256i b, __m256i y)
{
    return _mm256_add_epi16(_mm256_maddubs_epi16(a, x), _mm256_maddubs_epi16(b, y));
}

/* The products of codes with signs, in fours.  maddubs wants one side without: they move to the
 * other, b, which holds no -128. */
INLINE __m256i dot_signed(__m256i a, __m256i b)
{
    const __m256i t = _mm256_maddubs_epi16(_mm256_abs_epi8(a), _mm256_sign_epi8(b, a));
    return _mm256_madd_epi16(t, _mm256_set1_epi16(1));
}
#endif
