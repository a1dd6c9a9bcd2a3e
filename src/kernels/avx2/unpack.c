/* What kernels/lanes/ needs to unpack eight rows at a time. */
#define LANES 8
#include "kernels/avx2/int_avx2.h"
#include "kernels/avx2/int_vec.h"
#include "kernels/lanes/floats.h"
#include "kernels/lanes/s256.h"
#include "kernels/lanes/s32.h"

#include <immintrin.h>

INLINE int word(const uint8_t *p)
{
    int32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE vu load1(const uint8_t *const row[LANES], size_t at)
{
    return (vu)_mm256_setr_epi32(word(row[0] + at), word(row[1] + at), word(row[2] + at),
                                 word(row[3] + at), word(row[4] + at), word(row[5] + at),
                                 word(row[6] + at), word(row[7] + at));
}

INLINE void load4(vu o[4], const uint8_t *const row[LANES], size_t at)
{
    __m256i v[4];
    UNROLL
    for (unsigned i = 0; i < 4; i++) v[i] = mk_load_two(row[i] + at, row[i + 4] + at);
    mk_turn_words((__m256i *)o, v);
}

INLINE vf half_lo(vu v)
{
    const __m256i h = (__m256i)(v & 0xffffu);
    const __m128i lo = _mm256_castsi256_si128(h), hi = _mm256_extracti128_si256(h, 1);
    return _mm256_cvtph_ps(_mm_packus_epi32(lo, hi));
}

INLINE vu look_up(const uint8_t table[16], vu b)
{
    const __m256i t = _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)table));
    return (vu)_mm256_shuffle_epi8(t, (__m256i)b);
}

static void decode_f16(float *y, const uint8_t *x, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, _mm256_cvtph_ps(_mm_loadu_si128((const void *)(x + 2 * i))));
    mk_quants[MK_F16].decode(y + i, x + 2 * i, n - i);
}

static void decode_bf16(float *y, const uint8_t *x, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) _mm256_storeu_ps(y + i, mk_load_bf16(x + 2 * i));
    mk_quants[MK_BF16].decode(y + i, x + 2 * i, n - i);
}

static void decode_f8_e4m3(float *y, const uint8_t *x, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const __m256i code = _mm256_cvtepu8_epi16(_mm_loadu_si128((const void *)(x + i)));
        const __m256i b = (__m256i)even_f8((vu)code);
        const __m256i lo = _mm256_cvtepu16_epi32(_mm256_castsi256_si128(b));
        const __m256i hi = _mm256_cvtepu16_epi32(_mm256_extracti128_si256(b, 1));
        _mm256_storeu_si256((void *)(y + i), _mm256_slli_epi32(lo, 16));
        _mm256_storeu_si256((void *)(y + i + 8), _mm256_slli_epi32(hi, 16));
    }
    mk_quants[MK_F8_E4M3].decode(y + i, x + i, n - i);
}

/* As keys and values may be kept. */
static void decode_q8_0(float *y, const uint8_t *x, size_t n)
{
    for (const float *end = y + n; y < end; y += 32, x += mk_quants[MK_Q8_0].block_bytes) {
        const __m256 d = _mm256_cvtph_ps(_mm_set1_epi16((short)word(x)));
        UNROLL
        for (size_t i = 0; i < 32; i += 8) {
            const __m256i q = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)(x + 2 + i)));
            _mm256_storeu_ps(y + i, _mm256_mul_ps(d, _mm256_cvtepi32_ps(q)));
        }
    }
}

void mk_avx2_unpack(struct mk_kernels *k)
{
    set_unpack_floats(k);
    set_unpack_s32(k);
    set_unpack_s256(k);
    k->decode[MK_F16] = decode_f16;
    k->decode[MK_BF16] = decode_bf16;
    k->decode[MK_F8_E4M3] = decode_f8_e4m3;
    k->decode[MK_Q8_0] = decode_q8_0;
}
