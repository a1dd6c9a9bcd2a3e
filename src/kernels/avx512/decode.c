/* Rows of weights to floats: embeddings, and what is read value by value. */
#include "int_avx512.h"

#include <string.h>

/* ---- floats ------------------------------------------------------------------- */

static void decode_bf16(float *y, const uint8_t *b, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 k = mk_tail(i, n);
        const __m512i v = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(k, b + 2 * i));
        _mm512_mask_storeu_epi32(y + i, k, _mm512_slli_epi32(v, 16));
    }
}

static void decode_f16(float *y, const uint8_t *b, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 k = mk_tail(i, n);
        _mm512_mask_storeu_ps(y + i, k, _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(k, b + 2 * i)));
    }
}

static void decode_f8_e4m3(float *y, const uint8_t *b, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 k = mk_tail(i, n);
        const __m512i v = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(k, b + i));
        _mm512_mask_storeu_ps(y + i, k, mk_f8_ps(_mm512_slli_epi32(v, 24)));
    }
}

/* ---- integers: the arithmetic of quant/pack.c, 16 codes at a time ----------------- */

INLINE float half_at(const uint8_t *b)
{
    uint16_t h;
    memcpy(&h, b, sizeof h);
    return _cvtsh_ss(h);
}
INLINE __m128i load16(const uint8_t *b) { return _mm_loadu_si128((const __m128i *)b); }

/* y = d * (q - bias) for 16 unsigned codes */
INLINE void put16(float *y, __m128i q, float d, int bias)
{
    const __m512i v = _mm512_sub_epi32(_mm512_cvtepu8_epi32(q), _mm512_set1_epi32(bias));
    _mm512_storeu_ps(y, _mm512_mul_ps(_mm512_set1_ps(d), _mm512_cvtepi32_ps(v)));
}
/* y = d * q - m */
INLINE void put16_min(float *y, __m128i q, float d, float m)
{
    const __m512 v = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(q));
    _mm512_storeu_ps(y, _mm512_sub_ps(_mm512_mul_ps(_mm512_set1_ps(d), v), _mm512_set1_ps(m)));
}
INLINE __m128i low_nibbles(__m128i v) { return _mm_and_si128(v, _mm_set1_epi8(15)); }
INLINE __m128i high_nibbles(__m128i v) { return low_nibbles(_mm_srli_epi16(v, 4)); }

static void decode_q4_0(float *y, const uint8_t *b, size_t n)
{
    for (size_t i = 0; i < n; i += 32, b += 18) {
        const __m128i v = load16(b + 2);
        put16(y + i, low_nibbles(v), half_at(b), 8);
        put16(y + i + 16, high_nibbles(v), half_at(b), 8);
    }
}

static void decode_q8_0(float *y, const uint8_t *b, size_t n)
{
    const __m128i top = _mm_set1_epi8(-128);
    for (size_t i = 0; i < n; i += 32, b += 34) {
        put16(y + i, _mm_xor_si128(load16(b + 2), top), half_at(b), 128);
        put16(y + i + 16, _mm_xor_si128(load16(b + 18), top), half_at(b), 128);
    }
}

/* The sub-scales of quant/pack.c as 8 + 8 floats d * sc and m * mn. */
INLINE void scales6(float sc[8], float mn[8], const uint8_t *b)
{
    const float d = half_at(b), m = half_at(b + 2);
    b += 4;
    for (int j = 0; j < 4; j++) {
        sc[j] = d * (float)(b[j] & 63);
        mn[j] = m * (float)(b[4 + j] & 63);
        sc[4 + j] = d * (float)((b[8 + j] & 15) | b[j] >> 6 << 4);
        mn[4 + j] = m * (float)(b[8 + j] >> 4 | b[4 + j] >> 6 << 4);
    }
}

static void decode_q4_k(float *y, const uint8_t *b, size_t n)
{
    for (size_t i = 0; i < n; i += 256, b += 144) {
        float sc[8], mn[8];
        scales6(sc, mn, b);
        for (size_t j = 0; j < 8; j++) { /* 16 bytes of values 64 (j/2) + 16 (j%2) and + 32 */
            const __m128i v = load16(b + 16 + 16 * j);
            const size_t s = j / 2 * 2;
            float *out = y + i + 32 * s + 16 * (j % 2);
            put16_min(out, low_nibbles(v), sc[s], mn[s]);
            put16_min(out + 32, high_nibbles(v), sc[s + 1], mn[s + 1]);
        }
    }
}

/* Bit k of each byte as 16 or 0. */
INLINE __m128i bit_as_16(__m128i v, unsigned k)
{
    return _mm_maskz_set1_epi8(_mm_test_epi8_mask(v, _mm_set1_epi8((char)(1u << k))), 16);
}

static void decode_q5_k(float *y, const uint8_t *b, size_t n)
{
    for (size_t i = 0; i < n; i += 256, b += 176) {
        float sc[8], mn[8];
        scales6(sc, mn, b);
        for (unsigned j = 0; j < 8; j++) {
            const __m128i v = load16(b + 48 + 16 * j), h = load16(b + 16 + 16 * (j % 2));
            const unsigned s = j / 2 * 2;
            float *out = y + i + 32 * s + 16 * (j % 2);
            put16_min(out, _mm_or_si128(low_nibbles(v), bit_as_16(h, s)), sc[s], mn[s]);
            put16_min(out + 32, _mm_or_si128(high_nibbles(v), bit_as_16(h, s + 1)), sc[s + 1],
                      mn[s + 1]);
        }
    }
}

/* Bits 4 and 5 of codes: bits 2s, 2s+1 of each byte. */
INLINE __m128i two_bits(__m128i v, int s)
{
    return _mm_and_si128(_mm_slli_epi16(_mm_srl_epi16(v, _mm_cvtsi32_si128(2 * s)), 4),
                         _mm_set1_epi8(0x30));
}

static void decode_q6_k(float *y, const uint8_t *b, size_t n)
{
    for (size_t i = 0; i < n; i += 256, b += 210) {
        const float d = half_at(b + 208);
        for (size_t j = 0; j < 16; j++) { /* 16 values from 16 j on, 128 of them per half */
            const size_t half = j / 8, s = j % 8 / 2, part = j % 2;
            const __m128i v = load16(b + 64 * half + 32 * (s % 2) + 16 * part);
            const __m128i h = load16(b + 128 + 32 * half + 16 * part);
            const __m128i low = s < 2 ? low_nibbles(v) : high_nibbles(v);
            int8_t sc;
            memcpy(&sc, b + 192 + j, 1);
            put16(y + i + 16 * j, _mm_or_si128(low, two_bits(h, (int)s)), d * (float)sc, 32);
        }
    }
}

void mk_avx512_decode(struct mk_kernels *k)
{
    k->decode[MK_BF16] = decode_bf16;
    k->decode[MK_F16] = decode_f16;
    k->decode[MK_F8_E4M3] = decode_f8_e4m3;
    k->decode[MK_Q4_0] = decode_q4_0;
    k->decode[MK_Q8_0] = decode_q8_0;
    k->decode[MK_Q4_K] = decode_q4_k;
    k->decode[MK_Q5_K] = decode_q5_k;
    k->decode[MK_Q6_K] = decode_q6_k;
}
