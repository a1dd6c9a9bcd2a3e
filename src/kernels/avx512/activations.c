/* Activations to 8 bits, to bf16 and to f16. */
#include "int_avx512.h"

INLINE __m512 abs_max(__m512 amax, const float *x)
{
    return _mm512_max_ps(_mm512_abs_ps(_mm512_loadu_ps(x)), amax); /* a NaN leaves amax */
}

/* 16 values to codes, and their sum. */
INLINE void codes(int8_t *q, int16_t *sum, const float *x, __m512 inv)
{
    const __m512 low = _mm512_set1_ps(-127.0f), high = _mm512_set1_ps(127.0f);
    __m512 v = _mm512_mul_ps(_mm512_loadu_ps(x), inv);
    v = _mm512_max_ps(_mm512_roundscale_ps(v, 8), low); /* a NaN becomes -127 */
    const __m512i c = _mm512_cvtps_epi32(_mm512_min_ps(v, high));
    const __m128i b = _mm512_cvtepi32_epi8(c);
    _mm_storeu_si128((__m128i *)q, b);
    /* bytes times one, then four dwords to one */
    __m128i s = _mm_dpbusd_epi32(_mm_setzero_si128(), _mm_set1_epi8(1), b);
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
    *sum = (int16_t)_mm_cvtsi128_si32(s);
}

/* s = max|x| / 127, codes = x / s to the nearest even. */
static void quant_x8(int8_t *q, float *s, int16_t *sum, const float *x, size_t n)
{
    for (size_t g = 0; g < n; g += 32) {
        const __m512 a = abs_max(abs_max(_mm512_setzero_ps(), x + g), x + g + 16);
        const float amax = _mm512_reduce_max_ps(a);
        const __m512 inv = _mm512_set1_ps(amax > 0.0f ? 127.0f / amax : 0.0f);
        s[g / 32] = amax / 127.0f;
        codes(q + g, sum + g / 16, x + g, inv);
        codes(q + g + 16, sum + g / 16 + 1, x + g + 16, inv);
    }
}

/* Adds half of the last place kept, ties to even, as mk_f32_bf16 does. */
static void f32_bf16(uint16_t *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 k = mk_tail(i, n);
        const __m512 f = _mm512_maskz_loadu_ps(k, x + i);
        const __m512i u = _mm512_castps_si512(f), high = _mm512_srli_epi32(u, 16);
        const __m512i odd = _mm512_and_si512(high, _mm512_set1_epi32(1));
        __m512i r = _mm512_add_epi32(_mm512_add_epi32(u, odd), _mm512_set1_epi32(0x7fff));
        r = _mm512_srli_epi32(r, 16);
        const __mmask16 nan = _mm512_cmp_ps_mask(f, f, _CMP_UNORD_Q);
        r = _mm512_mask_or_epi32(r, nan, high, _mm512_set1_epi32(0x40));
        _mm512_mask_cvtepi32_storeu_epi16(y + i, k, r);
    }
}

/* NaN, the second operand of both comparisons, stays. */
static void f32_f16(uint16_t *y, const float *x, size_t n)
{
    const __m512 low = _mm512_set1_ps(-65504.0f), high = _mm512_set1_ps(65504.0f);
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 k = mk_tail(i, n);
        const __m512 f = _mm512_min_ps(high, _mm512_maskz_loadu_ps(k, x + i));
        _mm256_mask_storeu_epi16(y + i, k, _mm512_cvtps_ph(_mm512_max_ps(low, f), 0));
    }
}

void mk_avx512_activations(struct mk_kernels *k)
{
    k->quant_x8 = quant_x8;
    k->f32_bf16 = f32_bf16;
    k->f32_f16 = f32_f16;
}
