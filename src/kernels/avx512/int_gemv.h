#ifndef MK_KERNELS_INT_GEMV_H
#define MK_KERNELS_INT_GEMV_H
/* Products without a panel: each row is read once, from its beginning to its end, and multiplied as
 * it is stored, 64 codes an instruction; what is summed along it is turned into lanes for 16 rows
 * together.  Memory sets the pace, so rows come in the order in which they lie, and lines are asked
 * for some pages before they are used: the processor's own reading ahead ends with each page. */
#include "int_avx512.h"

#include <string.h>

enum {
    MK_GEMV_COLS = 2,        /* at a time */
    MK_GEMV_K = 10240,       /* most values of a row at a time: their columns fit the L1 cache */
    MK_GEMV_AHEAD = 2 * 4096 /* bytes */
};

/* n bytes that are needed soon. */
INLINE void mk_ahead(const uint8_t *p, size_t n)
{
    UNROLL
    for (size_t i = 0; i < n; i += 64)
        _mm_prefetch((const char *)p + MK_GEMV_AHEAD + i, _MM_HINT_T0);
}

/* Lane l of 128 bits: for each of four vectors the sum of its lane l. */
INLINE __m512i mk_sum4(const __m512i r[4])
{
    const __m512i a =
        _mm512_add_epi32(_mm512_unpacklo_epi32(r[0], r[1]), _mm512_unpackhi_epi32(r[0], r[1]));
    const __m512i b =
        _mm512_add_epi32(_mm512_unpacklo_epi32(r[2], r[3]), _mm512_unpackhi_epi32(r[2], r[3]));
    return _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
}

/* Lanes 0 + 1 and 2 + 3 of two such. */
INLINE __m512i mk_sum_halves(__m512i a, __m512i b)
{
    return _mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd));
}

INLINE __m512i mk_load(const void *p) { return _mm512_loadu_si512(p); }
INLINE __m512i mk_low4(__m512i v) { return _mm512_and_si512(v, _mm512_set1_epi8(15)); }
INLINE __m512i mk_high4(__m512i v) { return mk_low4(_mm512_srli_epi32(v, 4)); }

/* y = fma(d s, sum, y) */
INLINE void mk_add_block(__m512 *y, __m512 d, float s, __m512i sum)
{
    *y = _mm512_fmadd_ps(_mm512_mul_ps(d, _mm512_set1_ps(s)), _mm512_cvtepi32_ps(sum), *y);
}

/* x from column c and value k on; len: of a scale. */
INLINE struct mk_x8 mk_x8_at(const struct mk_x8 *x, size_t c, size_t k, size_t len)
{
    struct mk_x8 v = *x;
    v.q += c * x->ldq + k, v.s += c * x->lds + k / len, v.sum += c * x->ldsum + k / 16;
    return v;
}

/* What a function does that multiplies n columns with n_k <= MK_GEMV_K values of 16 rows. */
typedef void mk_gemv_part(float *y, const uint8_t *rows, size_t stride, const struct mk_x8 *x,
                          size_t n_k, unsigned n);

INLINE void mk_gemv_all(float *y, const uint8_t *rows, size_t stride, const struct mk_x8 *x,
                        size_t n_k, size_t n_col, enum mk_type type, mk_gemv_part *part)
{
    const struct mk_quant *t = &mk_quants[type];
    const size_t len = t->block_len;
    for (size_t c = 0; c < n_col; c += MK_GEMV_COLS)
        for (size_t k = 0; k < n_k; k += MK_GEMV_K) {
            const struct mk_x8 at = mk_x8_at(x, c, k, len);
            const uint8_t *b = rows + k / len * t->block_bytes;
            const size_t m = n_k - k < MK_GEMV_K ? n_k - k : MK_GEMV_K;
            if (n_col - c == 1)
                part(y + c * MK_PANEL_ROWS, b, stride, &at, m, 1);
            else
                part(y + c * MK_PANEL_ROWS, b, stride, &at, m, MK_GEMV_COLS);
        }
}

/* The entry of a type's part. */
#define MK_GEMV(name, TYPE)                                                                      \
    static void gemv_##name(float *y, const uint8_t *rows, size_t stride, const struct mk_x8 *x, \
                            size_t n_k, size_t n_col)                                            \
    {                                                                                            \
        mk_gemv_all(y, rows, stride, x, n_k, n_col, TYPE, name);                                 \
    }
#endif
