#ifndef MK_KERNELS_INT_GEMV_H
#define MK_KERNELS_INT_GEMV_H
/* Products without a panel: a row is multiplied as it is stored, 64 codes an instruction, and only
 * the sums of 16 rows are transposed into lanes.  Four rows are read at a time, some 16 blocks of
 * them: what sets the pace is memory, and that is quickest where few places are read, in order. */
#include "int_avx512.h"

#include <string.h>

enum {
    MK_GEMV_COLS = 2,   /* at a time */
    MK_GEMV_BLOCKS = 16 /* of a row */
};

INLINE size_t mk_gemv_blocks(size_t left) { return left < MK_GEMV_BLOCKS ? left : MK_GEMV_BLOCKS; }

/* By column and block: mk_sum4() of each four rows. */
struct mk_gemv_sums {
    __m512i four[MK_GEMV_COLS][MK_GEMV_BLOCKS][4];
};

/* Lane l of 128 bits: for each of four rows the sum of its lane l. */
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

/* The sums of 16 rows, of which u[i] are mk_sum4() of rows 4i to 4i + 3. */
INLINE __m512i mk_sum16(const __m512i u[4])
{
    return mk_sum_halves(mk_sum_halves(u[0], u[1]), mk_sum_halves(u[2], u[3]));
}

/* What rows 4i to 4i + 3 made of block g. */
INLINE void mk_gemv_four(struct mk_gemv_sums *s, size_t g, unsigned i, __m512i r[4][MK_GEMV_COLS],
                         unsigned n)
{
    UNROLL
    for (unsigned c = 0; c < n; c++)
        s->four[c][g][i] = mk_sum4((const __m512i[]){r[0][c], r[1][c], r[2][c], r[3][c]});
}

INLINE uint16_t mk_half_at(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
INLINE __m512 mk_halves_at(const uint16_t v[MK_PANEL_ROWS])
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)v));
}

INLINE __m512i mk_load(const void *p) { return _mm512_loadu_si512(p); }
INLINE __m512i mk_low4(__m512i v) { return _mm512_and_si512(v, _mm512_set1_epi8(15)); }
INLINE __m512i mk_high4(__m512i v) { return mk_low4(_mm512_srli_epi32(v, 4)); }
/* y = fma(d s, sum, y) */
INLINE void mk_add_block(__m512 *y, __m512 d, float s, __m512i sum)
{
    *y = _mm512_fmadd_ps(_mm512_mul_ps(d, _mm512_set1_ps(s)), _mm512_cvtepi32_ps(sum), *y);
}

/* x from column c on. */
INLINE struct mk_x8 mk_from_column(const struct mk_x8 *x, size_t c)
{
    return (struct mk_x8){.q = x->q + c * x->ldq,
                          .s = x->s + c * x->lds,
                          .sum = x->sum + c * x->ldsum,
                          .ldq = x->ldq,
                          .lds = x->lds,
                          .ldsum = x->ldsum};
}

/* The entry for a function that multiplies n columns at a time. */
#define MK_GEMV(name)                                                                            \
    static void gemv_##name(float *y, const uint8_t *rows, size_t stride, const struct mk_x8 *x, \
                            size_t n_k, size_t n_col)                                            \
    {                                                                                            \
        size_t c = 0;                                                                            \
        for (; c + 2 <= n_col; c += 2) {                                                         \
            const struct mk_x8 two = mk_from_column(x, c);                                       \
            name(y + c * MK_PANEL_ROWS, rows, stride, &two, n_k, 2);                             \
        }                                                                                        \
        if (c == n_col) return;                                                                  \
        const struct mk_x8 one = mk_from_column(x, c);                                           \
        name(y + c * MK_PANEL_ROWS, rows, stride, &one, n_k, 1);                                 \
    }
#endif
