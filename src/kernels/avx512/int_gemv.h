#ifndef MK_KERNELS_INT_GEMV_H
#define MK_KERNELS_INT_GEMV_H
/* Products without a panel: each row is read once, from its beginning to its end, and multiplied as
 * it is stored, 64 codes an instruction; the number that comes of each 32 values is turned into
 * lanes for 16 rows together.  Memory sets the pace, so rows come in the order in which they lie,
 * and lines are asked for some pages before they are used: the processor's own reading ahead ends
 * with each page. */
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

INLINE __m512i mk_add_pairs16(__m512i a, __m512i b)
{
    return _mm512_madd_epi16(_mm512_packs_epi32(a, b), _mm512_set1_epi16(1));
}

/* The same for sums of codes of at most 5 bits, which fit 16 bits. */
INLINE __m512i mk_sum4_small(const __m512i r[4])
{
    return mk_add_pairs16(mk_add_pairs16(r[0], r[1]), mk_add_pairs16(r[2], r[3]));
}

/* Lanes 0 + 1 and 2 + 3 of two such. */
INLINE __m512i mk_sum_halves(__m512i a, __m512i b)
{
    return _mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd));
}

INLINE __m512i mk_load(const void *p) { return _mm512_loadu_si512(p); }
/* Loads once: these lie across lines, and compilers would do it for each use. */
INLINE __m512i mk_load_once(const void *p)
{
    __m512i v = mk_load(p);
    __asm__("" : "+v"(v));
    return v;
}
INLINE __m512i mk_low4(__m512i v) { return _mm512_and_si512(v, _mm512_set1_epi8(15)); }
INLINE __m512i mk_high4(__m512i v) { return mk_low4(_mm512_srli_epi32(v, 4)); }

/* Bytes i..i+63 of those before end. */
INLINE __m512i mk_load_to(const void *p, size_t i, size_t end)
{
    if (i + 64 <= end) return mk_load((const uint8_t *)p + i);
    const uint64_t mask = i < end ? ~0ull >> (64 - (end - i)) : 0;
    return _mm512_maskz_loadu_epi8(mask, (const uint8_t *)p + i);
}

/* 512 values of a column: codes in the order in which a type wants them, and what comes of their
 * sums, for each 32 values (two numbers where sub-blocks have 16): -bias * xs, or as a float xs. */
struct mk_gemv_column {
    __m512i q[8];
    union {
        __m512i less[2];
        __m512 xs;
    };
};

/* How a type differs.  ready: the column from x on.  block: of 512 values of a row (m groups of 32
 * are there) the 16 numbers t of kernels.h. */
struct mk_gemv_form {
    size_t bytes; /* of 512 values */
    void (*ready)(struct mk_gemv_column *o, const struct mk_x8 *x, size_t m);
    void (*block)(__m512 t[MK_GEMV_COLS], const uint8_t *b, const struct mk_gemv_column *x,
                  unsigned n, size_t m);
};

enum { MK_GEMV_STEPS = MK_GEMV_K / 512 };
struct mk_gemv_space {
    struct mk_gemv_column x[MK_GEMV_STEPS][MK_GEMV_COLS];
    __m512 t[MK_GEMV_COLS][MK_GEMV_STEPS][MK_PANEL_ROWS];
};

/* Row r of n_g groups. */
INLINE void mk_gemv_row(struct mk_gemv_space *o, unsigned r, const uint8_t *b, size_t n_g,
                        unsigned n, struct mk_gemv_form f)
{
    size_t j = 0;
    __m512 t[MK_GEMV_COLS];
    for (size_t g = 0; g < n_g; g += 16, j++, b += f.bytes) {
        mk_ahead(b, f.bytes);
        if (n_g - g >= 16)
            f.block(t, b, o->x[j], n, 16);
        else
            f.block(t, b, o->x[j], n, n_g - g);
        UNROLL
        for (unsigned c = 0; c < n; c++) o->t[c][j][r] = t[c];
    }
}

/* y[16] of a column: n groups, of which rows[16] are the numbers. */
INLINE __m512 mk_gemv_add(__m512 y, const __m512 *rows, const float *s, size_t n)
{
    __m512i t[16];
    UNROLL
    for (int i = 0; i < 4; i++) mk_rows16(t + 4 * i, (const uint8_t *)rows + 16 * i, sizeof *rows);
    UNROLL
    for (size_t i = 0; i < 16; i++)
        if (i < n) y = _mm512_fmadd_ps(_mm512_set1_ps(s[i]), _mm512_castsi512_ps(t[i]), y);
    return y;
}

/* n columns times n_k <= MK_GEMV_K values of 16 rows. */
INLINE void mk_gemv_rows(float *y, const uint8_t *rows, size_t stride, const struct mk_x8 *x,
                         size_t n_k, unsigned n, struct mk_gemv_form f)
{
    struct mk_gemv_space o;
    const size_t n_g = n_k / 32;
    for (unsigned c = 0; c < n; c++)
        for (size_t g = 0; g < n_g; g += 16) {
            const struct mk_x8 at = mk_x8_at(x, c, 32 * g);
            f.ready(&o.x[g / 16][c], &at, n_g - g < 16 ? n_g - g : 16);
        }
    for (unsigned r = 0; r < MK_PANEL_ROWS; r++) mk_gemv_row(&o, r, rows + r * stride, n_g, n, f);
    for (unsigned c = 0; c < n; c++) {
        __m512 v = _mm512_loadu_ps(y + c * MK_PANEL_ROWS);
        for (size_t g = 0; g < n_g; g += 16) {
            const float *s = x->s + c * x->lds + g;
            v = n_g - g >= 16 ? mk_gemv_add(v, o.t[c][g / 16], s, 16)
                              : mk_gemv_add(v, o.t[c][g / 16], s, n_g - g);
        }
        _mm512_storeu_ps(y + c * MK_PANEL_ROWS, v);
    }
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
            const struct mk_x8 at = mk_x8_at(x, c, k);
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
