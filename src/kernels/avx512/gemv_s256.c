/* Rows of the types with sub-scales in blocks of 256 values, two blocks at a time or the last one,
 * times a few columns.  Layouts: quant/NAME.c. */
#include "int_gemv.h"

/* What is there of two vectors of 16 bytes. */
INLINE __m256i two_of_16(const uint8_t *b, size_t bytes, bool has_second)
{
    const __m256i v = _mm256_zextsi128_si256(_mm_loadu_si128((const void *)b));
    return has_second ? _mm256_inserti128_si256(v, _mm_loadu_si128((const void *)(b + bytes)), 1)
                      : v;
}

/* ---- q4_k, q5_k: eight sub-blocks of 32 to a block ------------------------------------ */

/* Codes as a row's nibbles want them: x[0..31] with x[64..95] for the low ones of 64 bytes,
 * x[32..63] with x[96..127] for the high ones. */
INLINE void ready4(struct mk_gemv_column *o, const struct mk_x8 *x, size_t m)
{
    o->xs = _mm512_cvtepi32_ps(mk_sums_of(x, m, 32));
    UNROLL
    for (size_t i = 0; i < 4; i++) {
        const __m512i a = mk_load_to(x->q, 128 * i, 32 * m);
        const __m512i b = mk_load_to(x->q, 128 * i + 64, 32 * m);
        o->q[2 * i] = _mm512_shuffle_i64x2(a, b, 0x44);
        o->q[2 * i + 1] = _mm512_shuffle_i64x2(a, b, 0xee);
    }
}

/* Bits k of 32 bytes as the fifth ones of 32 codes, bits k + 2 of the next 32. */
INLINE __m512i with_fifths(__m512i codes, const uint8_t *b, unsigned k)
{
    const __m512i shifts = _mm512_set_epi64(2, 2, 2, 2, 0, 0, 0, 0);
    const __m512i all = _mm512_broadcast_i64x4(_mm256_loadu_si256((const void *)b));
    const __m512i bits = _mm512_srlv_epi64(all, _mm512_add_epi64(shifts, _mm512_set1_epi64(k)));
    return mk_or_and(codes, _mm512_slli_epi32(bits, 4), _mm512_set1_epi8(16));
}

/* d and m of the sub-blocks of two blocks (quant/pack.c): low four numbers and high four of each.
 */
INLINE void scales(__m512 *d, __m512 *m, const uint8_t *b, size_t bytes, bool has_second)
{
    const __m256i heads = two_of_16(b, bytes, has_second);
    const __m512i head = _mm512_castsi256_si512(heads);
    const __m256i of_d = _mm256_setr_epi16(0, 0, 0, 0, 0, 0, 0, 0, 8, 8, 8, 8, 8, 8, 8, 8);
    const __m256i of_m = _mm256_setr_epi16(1, 1, 1, 1, 1, 1, 1, 1, 9, 9, 9, 9, 9, 9, 9, 9);
    const __m512 all_d = _mm512_cvtph_ps(_mm256_permutexvar_epi16(of_d, heads));
    const __m512 all_m = mk_minus_ps(_mm512_cvtph_ps(_mm256_permutexvar_epi16(of_m, heads)));
    const __m512i first = _mm512_setr_epi32(4, 5, 6, 7, 4, 5, 6, 7, 20, 21, 22, 23, 20, 21, 22, 23);
    const __mmask64 low = 0x1111111111111111; /* bytes of dwords */
    const __m512i sc = _mm512_maskz_permutexvar_epi8(low, first, head);
    const __m512i mn =
        _mm512_maskz_permutexvar_epi8(low, _mm512_add_epi8(first, _mm512_set1_epi32(4)), head);
    const __m512i rest =
        _mm512_maskz_permutexvar_epi8(low, _mm512_add_epi8(first, _mm512_set1_epi32(8)), head);
    const __m512i six = _mm512_set1_epi32(63), four = _mm512_set1_epi32(15);
    const __m512i top = _mm512_set1_epi32(0x30);
    const __mmask16 is_high = 0xf0f0;
    const __m512i sc_high = mk_or_and(_mm512_and_si512(rest, four), _mm512_srli_epi32(sc, 2), top);
    const __m512i mn_high = mk_or_and(_mm512_srli_epi32(rest, 4), _mm512_srli_epi32(mn, 2), top);
    const __m512i scs = _mm512_mask_mov_epi32(_mm512_and_si512(sc, six), is_high, sc_high);
    const __m512i mns = _mm512_mask_mov_epi32(_mm512_and_si512(mn, six), is_high, mn_high);
    *d = _mm512_mul_ps(all_d, _mm512_cvtepi32_ps(scs));
    *m = _mm512_mul_ps(all_m, _mm512_cvtepi32_ps(mns));
}

INLINE void nibbles(__m512 t[MK_GEMV_COLS], const uint8_t *b, const struct mk_gemv_column *x,
                    unsigned n, size_t m, size_t bytes)
{
    const bool has_fifth = bytes == 176, has_second = m > 8;
    const __m512i zero = _mm512_setzero_si512();
    const __m512i at = _mm512_setr_epi32(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15);
    __m512i v[MK_GEMV_COLS][8];
    __m512 d, min;
    UNROLL
    for (unsigned i = 0; i < 4; i++) { /* 64 bytes of nibbles */
        const uint8_t *block = b + i / 2 * bytes;
        __m512i low = zero, high = zero;
        if (i < 2 || has_second) {
            const __m512i code = mk_load_once(block + bytes - 128 + i % 2 * 64);
            low = mk_low4(code), high = mk_high4(code);
            if (has_fifth) {
                low = with_fifths(low, block + 16, 4 * (i % 2));
                high = with_fifths(high, block + 16, 4 * (i % 2) + 1);
            }
        }
        UNROLL
        for (unsigned c = 0; c < n; c++) {
            v[c][2 * i] = _mm512_dpbusd_epi32(zero, low, x[c].q[2 * i]);
            v[c][2 * i + 1] = _mm512_dpbusd_epi32(zero, high, x[c].q[2 * i + 1]);
        }
    }
    scales(&d, &min, b, bytes, has_second);
    UNROLL
    for (unsigned c = 0; c < n; c++) {
        const __m512i sums = mk_sum_halves(mk_sum4_small(v[c]), mk_sum4_small(v[c] + 4));
        const __m512 f = _mm512_cvtepi32_ps(_mm512_permutexvar_epi32(at, sums));
        t[c] = _mm512_fmadd_ps(min, x[c].xs, _mm512_mul_ps(d, f));
    }
}

INLINE void block4(__m512 t[MK_GEMV_COLS], const uint8_t *b, const struct mk_gemv_column *x,
                   unsigned n, size_t m)
{
    nibbles(t, b, x, n, m, 144);
}

INLINE void block5(__m512 t[MK_GEMV_COLS], const uint8_t *b, const struct mk_gemv_column *x,
                   unsigned n, size_t m)
{
    nibbles(t, b, x, n, m, 176);
}

INLINE void q4_k(float *y, const uint8_t *rows, size_t stride, const struct mk_x8 *x, size_t n_k,
                 unsigned n)
{
    mk_gemv_rows(y, rows, stride, x, n_k, n, (struct mk_gemv_form){2 * 144, ready4, block4});
}

INLINE void q5_k(float *y, const uint8_t *rows, size_t stride, const struct mk_x8 *x, size_t n_k,
                 unsigned n)
{
    mk_gemv_rows(y, rows, stride, x, n_k, n, (struct mk_gemv_form){2 * 176, ready4, block5});
}

/* ---- q6_k: sixteen sub-blocks of 16 to a block ---------------------------------------- */

INLINE void ready6(struct mk_gemv_column *o, const struct mk_x8 *x, size_t m)
{
    const __m512i sums = mk_load_to(x->sum, 0, 4 * m), bias = _mm512_set1_epi32(-32);
    const __m512i even = _mm512_srai_epi32(_mm512_slli_epi32(sums, 16), 16);
    o->less[0] = _mm512_mullo_epi32(even, bias);
    o->less[1] = _mm512_mullo_epi32(_mm512_srai_epi32(sums, 16), bias);
    UNROLL
    for (size_t i = 0; i < 8; i++) o->q[i] = mk_load_to(x->q, 64 * i, 32 * m);
}

/* The halves at b and, in lanes 8..15, `bytes` behind. */
INLINE __m512 two_halves(const uint8_t *b, size_t bytes, bool has_second)
{
    uint16_t h[2] = {0, 0};
    memcpy(&h[0], b, 2);
    if (has_second) memcpy(&h[1], b + bytes, 2);
    return _mm512_cvtph_ps(
        _mm256_set_m128i(_mm_set1_epi16((short)h[1]), _mm_set1_epi16((short)h[0])));
}

/* sums[c]: of the 16 sub-blocks; the one of sub-block j is number j % 4 * 4 + j / 4. */
INLINE void sums6(__m512i sums[MK_GEMV_COLS], const uint8_t *b, const struct mk_gemv_column *x,
                  size_t first, unsigned n)
{
    const __m512i zero = _mm512_setzero_si512(), two = _mm512_set1_epi8(0x30);
    const __m512i shifts = _mm512_set_epi64(2, 2, 2, 2, 0, 0, 0, 0);
    __m512i v[MK_GEMV_COLS][4];
    UNROLL
    for (size_t i = 0; i < 2; i++) {
        const __m512i code = mk_load_once(b + 64 * i);
        const __m512i top = _mm512_srlv_epi64(
            _mm512_broadcast_i64x4(_mm256_loadu_si256((const void *)(b + 128 + 32 * i))), shifts);
        const __m512i low = mk_or_and(mk_low4(code), _mm512_slli_epi32(top, 4), two);
        const __m512i high = mk_or_and(mk_high4(code), top, two);
        UNROLL
        for (unsigned c = 0; c < n; c++) {
            v[c][2 * i] = _mm512_dpbusd_epi32(zero, low, x[c].q[first + 2 * i]);
            v[c][2 * i + 1] = _mm512_dpbusd_epi32(zero, high, x[c].q[first + 2 * i + 1]);
        }
    }
    UNROLL
    for (unsigned c = 0; c < n; c++) sums[c] = mk_sum4(v[c]);
}

INLINE void block6(__m512 t[MK_GEMV_COLS], const uint8_t *b, const struct mk_gemv_column *x,
                   unsigned n, size_t m)
{
    const bool has_second = m > 8;
    const __m512i even =
        _mm512_setr_epi32(0, 8, 1, 9, 2, 10, 3, 11, 16, 24, 17, 25, 18, 26, 19, 27);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(4));
    __m512i s0[MK_GEMV_COLS], s1[MK_GEMV_COLS] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    sums6(s0, b, x, 0, n);
    if (has_second) sums6(s1, b + 210, x, 4, n);
    const __m512i sc = _mm512_cvtepi16_epi32(two_of_16(b + 192, 210, has_second));
    const __m512 all = two_halves(b + 208, 210, has_second);
    const __m512 d0 = _mm512_mul_ps(all, mk_signed_byte_ps(sc, 0));
    const __m512 d1 = _mm512_mul_ps(all, mk_signed_byte_ps(sc, 1));
    UNROLL
    for (unsigned c = 0; c < n; c++) {
        const __m512i a = _mm512_permutex2var_epi32(s0[c], even, s1[c]);
        const __m512i o = _mm512_permutex2var_epi32(s0[c], odd, s1[c]);
        const __m512 f0 = _mm512_cvtepi32_ps(_mm512_add_epi32(a, x[c].less[0]));
        const __m512 f1 = _mm512_cvtepi32_ps(_mm512_add_epi32(o, x[c].less[1]));
        t[c] = _mm512_fmadd_ps(d1, f1, _mm512_mul_ps(d0, f0));
    }
}

INLINE void q6_k(float *y, const uint8_t *rows, size_t stride, const struct mk_x8 *x, size_t n_k,
                 unsigned n)
{
    mk_gemv_rows(y, rows, stride, x, n_k, n, (struct mk_gemv_form){2 * 210, ready6, block6});
}

MK_GEMV(q4_k, MK_Q4_K)
MK_GEMV(q5_k, MK_Q5_K)
MK_GEMV(q6_k, MK_Q6_K)

void mk_avx512_gemv_s256(struct mk_kernels *k)
{
    k->gemv[MK_Q4_K] = gemv_q4_k;
    k->gemv[MK_Q5_K] = gemv_q5_k;
    k->gemv[MK_Q6_K] = gemv_q6_k;
}
