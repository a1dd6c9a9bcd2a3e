/* Activations to 8 bits and to bf16. */
#include "int_avx512.h"

INLINE __m512 abs_max(__m512 amax, const float *x)
{
    return _mm512_max_ps(_mm512_abs_ps(_mm512_loadu_ps(x)), amax); /* a NaN leaves amax */
}

/* 16 n values to codes, and the sums of 16 of them. */
INLINE void codes(int8_t *q, int16_t *sum, const float *x, __m512 inv, unsigned n)
{
    const __m512 low = _mm512_set1_ps(-127.0f), high = _mm512_set1_ps(127.0f);
    for (unsigned i = 0; i < n; i++) {
        __m512 v = _mm512_mul_ps(_mm512_loadu_ps(x + 16 * i), inv);
        v = _mm512_max_ps(_mm512_roundscale_ps(v, 8), low); /* a NaN becomes -127 */
        const __m512i c = _mm512_cvtps_epi32(_mm512_min_ps(v, high));
        const __m128i b = _mm512_cvtepi32_epi8(c);
        _mm_storeu_si128((__m128i *)(q + 16 * i), b);
        /* bytes times one, then four dwords to one */
        __m128i s = _mm_dpbusd_epi32(_mm_setzero_si128(), _mm_set1_epi8(1), b);
        s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
        s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
        sum[i] = (int16_t)_mm_cvtsi128_si32(s);
    }
}

/* s = max|x| / 127, codes = x / s to the nearest even; len is 32 or 256. */
INLINE void quant_x(int8_t *q, float *s, int16_t *sum, const float *x, size_t n, unsigned len)
{
    for (size_t g = 0; g < n; g += len) {
        __m512 a = _mm512_setzero_ps(), b = a;
        for (size_t i = g; i < g + len; i += 32) {
            a = abs_max(a, x + i);
            b = abs_max(b, x + i + 16);
        }
        const float amax = _mm512_reduce_max_ps(_mm512_max_ps(a, b));
        const float inv = amax > 0.0f ? 127.0f / amax : 0.0f;
        s[g / len] = amax / 127.0f;
        codes(q + g, sum + g / 16, x + g, _mm512_set1_ps(inv), len / 16);
    }
}

static void quant_x32(int8_t *q, float *s, int16_t *sum, const float *x, size_t n)
{
    quant_x(q, s, sum, x, n, 32);
}

static void quant_x256(int8_t *q, float *s, int16_t *sum, const float *x, size_t n)
{
    quant_x(q, s, sum, x, n, 256);
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

void mk_avx512_activations(struct mk_kernels *k)
{
    k->quant_x32 = quant_x32;
    k->quant_x256 = quant_x256;
    k->f32_bf16 = f32_bf16;
}
