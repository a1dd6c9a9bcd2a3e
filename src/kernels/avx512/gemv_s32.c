/* Rows of the types with one scale for each 32 values, times a few columns. */
#include "int_gemv.h"

/* t = d (float)(sums - bias xs); d are halves, the sum of group i is number at[i]. */
INLINE void scaled(__m512 t[MK_GEMV_COLS], const __m512i sums[MK_GEMV_COLS], const uint16_t d[16],
                   const struct mk_gemv_column *x, unsigned n, __m512i at)
{
    const __m512 f = _mm512_cvtph_ps(_mm256_loadu_si256((const void *)d));
    UNROLL
    for (unsigned c = 0; c < n; c++) {
        const __m512i v = _mm512_add_epi32(_mm512_permutexvar_epi32(at, sums[c]), x[c].less[0]);
        t[c] = _mm512_mul_ps(f, _mm512_cvtepi32_ps(v));
    }
}

INLINE __m512i less(const struct mk_x8 *x, size_t m, int bias)
{
    return _mm512_mullo_epi32(mk_sums_of(x, m, 32), _mm512_set1_epi32(-bias));
}

/* ---- q8_0: 34 bytes, d and 32 signed codes: two blocks to a vector ----------------------- */

INLINE void ready8(struct mk_gemv_column *o, const struct mk_x8 *x, size_t m)
{
    o->less[0] = less(x, m, 128);
    UNROLL
    for (size_t i = 0; i < 8; i++) o->q[i] = mk_load_to(x->q, 64 * i, 32 * m);
}

/* Codes of blocks 0 and 1, with the bias. */
INLINE __m512i codes8(const uint8_t *b, bool has_second)
{
    __m512i v = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)(b + 2)));
    if (has_second) v = _mm512_inserti64x4(v, _mm256_loadu_si256((const __m256i *)(b + 36)), 1);
    return _mm512_xor_si512(v, _mm512_set1_epi8((char)0x80));
}

INLINE void block8(__m512 t[MK_GEMV_COLS], const uint8_t *b, const struct mk_gemv_column *x,
                   unsigned n, size_t m)
{
    const __m512i zero = _mm512_setzero_si512();
    const __m512i at = _mm512_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15);
    __m512i v[MK_GEMV_COLS][8], sums[MK_GEMV_COLS];
    uint16_t d[16] = {0};
    UNROLL
    for (size_t i = 0; i < 8; i++) {
        const __m512i code = 2 * i < m ? codes8(b + 68 * i, 2 * i + 1 < m) : zero;
        UNROLL
        for (unsigned c = 0; c < n; c++) v[c][i] = _mm512_dpbusd_epi32(zero, code, x[c].q[i]);
    }
    UNROLL
    for (size_t i = 0; i < 16; i++)
        if (i < m) memcpy(&d[i], b + 34 * i, 2);
    UNROLL
    for (unsigned c = 0; c < n; c++) sums[c] = mk_sum_halves(mk_sum4(v[c]), mk_sum4(v[c] + 4));
    scaled(t, sums, d, x, n, at);
}

INLINE void q8_0(float *y, const uint8_t *rows, size_t stride, const struct mk_x8 *x, size_t n_k,
                 unsigned n)
{
    mk_gemv_rows(y, rows, stride, x, n_k, n, (struct mk_gemv_form){16 * 34, ready8, block8});
}

/* ---- q4_0: 18 bytes, d and 32 codes, 0..15 in low nibbles --------------------------------
 * ---- q5_0: 22 bytes, d, the codes' fifth bits, and the nibbles: four blocks to a vector --- */

/* Halves 0..15 and 16..31 of four blocks, a block to 128 bits. */
INLINE void ready(struct mk_gemv_column *o, const struct mk_x8 *x, size_t m, int bias)
{
    o->less[0] = less(x, m, bias);
    UNROLL
    for (size_t i = 0; i < 4; i++) {
        const __m512i a = mk_load_to(x->q, 128 * i, 32 * m);
        const __m512i b = mk_load_to(x->q, 128 * i + 64, 32 * m);
        o->q[2 * i] = _mm512_shuffle_i32x4(a, b, 0x88);
        o->q[2 * i + 1] = _mm512_shuffle_i32x4(a, b, 0xdd);
    }
}
INLINE void ready4(struct mk_gemv_column *o, const struct mk_x8 *x, size_t m) { ready(o, x, m, 8); }
INLINE void ready5(struct mk_gemv_column *o, const struct mk_x8 *x, size_t m)
{
    ready(o, x, m, 16);
}

/* 16 bytes of each of m (1..4) blocks. */
INLINE __m512i lanes_of(const uint8_t *b, size_t bytes, size_t m)
{
    __m512i v = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)b));
    UNROLL
    for (size_t j = 1; j < 4; j++)
        if (j < m)
            v = _mm512_mask_broadcast_i32x4(v, (__mmask16)(15 << 4 * j),
                                            _mm_loadu_si128((const __m128i *)(b + j * bytes)));
    return v;
}

INLINE uint64_t half_at(const uint8_t *b)
{
    uint16_t v;
    memcpy(&v, b, sizeof v);
    return v;
}

/* v = nibbles of blocks 4i..4i+3 times the column. */
INLINE void four4(__m512i v[MK_GEMV_COLS], __m512i low, __m512i high,
                  const struct mk_gemv_column *x, size_t i, unsigned n)
{
    UNROLL
    for (unsigned c = 0; c < n; c++)
        v[c] = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(_mm512_setzero_si512(), low, x[c].q[2 * i]),
                                   high, x[c].q[2 * i + 1]);
}

INLINE void nibbles(__m512 t[MK_GEMV_COLS], const uint8_t *b, const struct mk_gemv_column *x,
                    unsigned n, size_t m, size_t bytes)
{
    const bool has_fifth = bytes == 22;
    const __m512i at = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m512i v[4][MK_GEMV_COLS], sums[MK_GEMV_COLS];
    uint16_t d[16] = {0};
    UNROLL
    for (size_t i = 0; i < 4; i++, b += 4 * bytes) {
        const size_t left = m > 4 * i ? m - 4 * i : 0;
        __m512i low = _mm512_setzero_si512(), high = low;
        if (left) {
            const __m512i code = lanes_of(b + bytes - 16, bytes, left);
            low = mk_low4(code), high = mk_high4(code);
        }
        uint64_t l = 0, h = 0;
        UNROLL
        for (size_t j = 0; j < 4; j++) {
            if (j >= left) break;
            memcpy(&d[4 * i + j], b + j * bytes, 2);
            l |= half_at(b + j * bytes + 2) << 16 * j;
            h |= half_at(b + j * bytes + 4) << 16 * j;
        }
        if (has_fifth) {
            const __m512i fifth = _mm512_set1_epi8(16);
            low = _mm512_mask_add_epi8(low, l, low, fifth);
            high = _mm512_mask_add_epi8(high, h, high, fifth);
        }
        four4(v[i], low, high, x, i, n);
    }
    UNROLL
    for (unsigned c = 0; c < n; c++)
        sums[c] = mk_sum4((const __m512i[]){v[0][c], v[1][c], v[2][c], v[3][c]});
    scaled(t, sums, d, x, n, at);
}

INLINE void block4(__m512 t[MK_GEMV_COLS], const uint8_t *b, const struct mk_gemv_column *x,
                   unsigned n, size_t m)
{
    nibbles(t, b, x, n, m, 18);
}

INLINE void block5(__m512 t[MK_GEMV_COLS], const uint8_t *b, const struct mk_gemv_column *x,
                   unsigned n, size_t m)
{
    nibbles(t, b, x, n, m, 22);
}

INLINE void q4_0(float *y, const uint8_t *rows, size_t stride, const struct mk_x8 *x, size_t n_k,
                 unsigned n)
{
    mk_gemv_rows(y, rows, stride, x, n_k, n, (struct mk_gemv_form){16 * 18, ready4, block4});
}

INLINE void q5_0(float *y, const uint8_t *rows, size_t stride, const struct mk_x8 *x, size_t n_k,
                 unsigned n)
{
    mk_gemv_rows(y, rows, stride, x, n_k, n, (struct mk_gemv_form){16 * 22, ready5, block5});
}

MK_GEMV(q8_0, MK_Q8_0)
MK_GEMV(q4_0, MK_Q4_0)
MK_GEMV(q5_0, MK_Q5_0)

void mk_avx512_gemv_s32(struct mk_kernels *k)
{
    k->gemv[MK_Q8_0] = gemv_q8_0;
    k->gemv[MK_Q4_0] = gemv_q4_0;
    k->gemv[MK_Q5_0] = gemv_q5_0;
}
