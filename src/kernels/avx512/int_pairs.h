#ifndef MK_KERNELS_AVX512_INT_PAIRS_H
#define MK_KERNELS_AVX512_INT_PAIRS_H
/* Products of pairs in bf16, for levels with an instruction for them and without: `dot` is a
 * parameter, constant after inlining. */
#include "int_avx512.h"
#include "kernels/flush.h"

#include <string.h>

/* sum + the two products of each lane, the odd one first. */
typedef __m512 mk_pair_dot(__m512 sum, __m512i a, __m512i b);

enum { MK_PAIR_LINE = 2 * MK_PANEL_ROWS, MK_TILE_ROWS = 12, MK_TILE_VECS = 8 };

INLINE __m512i mk_pair(const uint16_t *x)
{
    int32_t two;
    memcpy(&two, x, sizeof two);
    return _mm512_set1_epi32(two);
}

/* ---- tiles: rows of x times vectors of pairs ------------------------------------- */

/* n_vec vectors of pairs: the first at w, each gap values behind the one before; line values on
 * are the next two k. */
struct mk_pair_lines {
    const uint16_t *w;
    size_t line, gap;
};

/* sum[r][v] = row r of x times vector v.  n_row and n_vec are constant after inlining. */
INLINE void mk_dot_tile(__m512 sum[MK_TILE_ROWS][MK_TILE_VECS], const uint16_t *x, size_t ldx,
                        struct mk_pair_lines l, size_t n_k, size_t n_row, size_t n_vec,
                        mk_pair_dot *dot)
{
    UNROLL
    for (size_t r = 0; r < n_row; r++) UNROLL
    for (size_t v = 0; v < n_vec; v++) sum[r][v] = _mm512_setzero_ps();
    for (size_t k = 0; k < n_k; k += 2, l.w += l.line) {
        __m512i b[MK_TILE_VECS];
        UNROLL
        for (size_t v = 0; v < n_vec; v++) b[v] = _mm512_loadu_si512(l.w + v * l.gap);
        UNROLL
        for (size_t r = 0; r < n_row; r++) {
            const __m512i a = mk_pair(x + r * ldx + k);
            UNROLL
            for (size_t v = 0; v < n_vec; v++) sum[r][v] = dot(sum[r][v], a, b[v]);
        }
    }
}

/* ---- panels ------------------------------------------------------------------------ */

/* n_col columns times n_vec panels; y has n_all columns of each panel. */
INLINE void mk_panel_tile(float *y, size_t n_all, const struct mk_panel *p, const uint16_t *x,
                          size_t ldx, size_t n_col, size_t n_vec, mk_pair_dot *dot)
{
    for (size_t k = 0; k < p->n_k; k += 128) {
        __m512 sum[MK_TILE_ROWS][MK_TILE_VECS];
        const struct mk_pair_lines l = {p->w[k / 2][0], MK_PAIR_LINE, sizeof *p / sizeof *x};
        mk_dot_tile(sum, x + k, ldx, l, p->n_k - k < 128 ? p->n_k - k : 128, n_col, n_vec, dot);
        UNROLL
        for (size_t v = 0; v < n_vec; v++) {
            const __m512 d = _mm512_load_ps(p[v].d[k / 128]);
            UNROLL
            for (size_t c = 0; c < n_col; c++) {
                float *out = y + (v * n_all + c) * MK_PANEL_ROWS;
                _mm512_storeu_ps(out, _mm512_fmadd_ps(d, sum[c][v], _mm512_loadu_ps(out)));
            }
        }
    }
}

/* n_col columns from column c on times all panels, n_vec at a time. */
INLINE void mk_panel_cols(float *y, const struct mk_panel *p, size_t n_panel, const uint16_t *x,
                          size_t ldx, size_t n_all, size_t c, size_t n_col, size_t n_vec,
                          mk_pair_dot *dot)
{
    size_t i = 0;
    x += c * ldx, y += c * MK_PANEL_ROWS;
    for (; i + n_vec <= n_panel; i += n_vec)
        mk_panel_tile(y + i * n_all * MK_PANEL_ROWS, n_all, p + i, x, ldx, n_col, n_vec, dot);
    for (; i < n_panel; i++)
        mk_panel_tile(y + i * n_all * MK_PANEL_ROWS, n_all, p + i, x, ldx, n_col, 1, dot);
}

INLINE void mk_mul_pairs(float *y, const struct mk_panel *p, size_t n_panel, const uint16_t *x,
                         size_t ldx, size_t n_col, mk_pair_dot *dot)
{
    const uint32_t was = mk_flush_begin();
    size_t c = 0;
    for (; c + 12 <= n_col; c += 12) mk_panel_cols(y, p, n_panel, x, ldx, n_col, c, 12, 2, dot);
    for (; c + 4 <= n_col; c += 4) mk_panel_cols(y, p, n_panel, x, ldx, n_col, c, 4, 4, dot);
    for (; c < n_col; c++) mk_panel_cols(y, p, n_panel, x, ldx, n_col, c, 1, 8, dot);
    mk_flush_end(was);
}

/* ---- rows as they are stored --------------------------------------------------------- */

/* What 16 bytes of each of 16 rows hold, as pairs: n vectors. */
typedef void mk_load_pairs_fn(__m512i *t, const uint8_t *rows, size_t stride);

INLINE void mk_load_bf16(__m512i *t, const uint8_t *rows, size_t stride)
{
    mk_rows16(t, rows, stride);
}

/* The low and the high byte of the bf16 of every e4m3 code, but for the sign. */
extern const uint8_t mk_f8_low[128], mk_f8_high[128];

INLINE void mk_load_f8(__m512i *t, const uint8_t *rows, size_t stride)
{
    const __m512i low0 = _mm512_loadu_si512(mk_f8_low), low1 = _mm512_loadu_si512(mk_f8_low + 64);
    const __m512i high0 = _mm512_loadu_si512(mk_f8_high),
                  high1 = _mm512_loadu_si512(mk_f8_high + 64);
    __m512i first[4], second[4];
    UNROLL
    for (size_t i = 0; i < 4; i++) {
        const __m512i q = mk_lanes(rows + i * stride, stride);
        const __m512i low = _mm512_permutex2var_epi8(low0, q, low1);
        const __m512i high =
            mk_or_and(_mm512_permutex2var_epi8(high0, q, high1), q, _mm512_set1_epi8((char)0x80));
        first[i] = _mm512_unpacklo_epi8(low, high);
        second[i] = _mm512_unpackhi_epi8(low, high);
    }
    mk_turn4(t, first);
    mk_turn4(t + 4, second);
}

/* One sum of 128 values after the other, although a product takes six steps until the next of its
 * sum can begin: what counts is that each row is read in order, as the processor then reads ahead
 * by itself.  (From memory 29 GB/s, with four sums kept going 21, on one Zen 5 core.) */
enum { MK_PAIR_COLS = 2, MK_PAIR_AHEAD = 512 /* values */ };

/* sum[c] += 32 values of 16 rows times x[c]. */
INLINE void mk_pairs_step(__m512 *sum, const uint8_t *rows, size_t stride, unsigned size,
                          const uint16_t *x, size_t ldx, unsigned n, mk_load_pairs_fn *load,
                          mk_pair_dot *dot)
{
    const unsigned each = 16 / size; /* values in 16 bytes */
    UNROLL
    for (unsigned k = 0; k < 32; k += each) {
        __m512i t[8];
        load(t, rows + k * size, stride);
        UNROLL
        for (unsigned i = 0; i < each / 2; i++) UNROLL
        for (unsigned c = 0; c < n; c++)
            sum[c] = dot(sum[c], t[i], mk_pair(x + c * ldx + k + 2 * i));
    }
}

/* A line of each row that is needed soon. */
INLINE void mk_pairs_fetch(const uint8_t *rows, size_t stride)
{
    UNROLL
    for (size_t r = 0; r < MK_PANEL_ROWS; r++)
        _mm_prefetch((const char *)rows + r * stride, _MM_HINT_T0);
}

INLINE void mk_pairs_columns(float *y, const uint8_t *rows, size_t stride, unsigned size,
                             const float *d, const uint16_t *x, size_t ldx, size_t n_k, unsigned n,
                             mk_load_pairs_fn *load, mk_pair_dot *dot)
{
    for (size_t k = 0; k < n_k;) {
        const size_t end = n_k - k < 128 ? n_k : k + 128;
        const __m512 scale = _mm512_set1_ps(d ? d[k / 128] : 1.0f);
        __m512 sum[MK_PAIR_COLS];
        UNROLL
        for (unsigned c = 0; c < n; c++) sum[c] = _mm512_setzero_ps();
        for (; k < end; k += 32) {
            const size_t at = k + MK_PAIR_AHEAD; /* in these rows or the next 16 */
            const uint8_t *soon =
                rows + (at < n_k ? size * at : MK_PANEL_ROWS * stride + size * (at - n_k));
            if (size * k % 64 == 0) mk_pairs_fetch(soon, stride);
            mk_pairs_step(sum, rows + size * k, stride, size, x + k, ldx, n, load, dot);
        }
        UNROLL
        for (unsigned c = 0; c < n; c++) {
            float *out = y + c * MK_PANEL_ROWS;
            _mm512_storeu_ps(out, _mm512_fmadd_ps(scale, sum[c], _mm512_loadu_ps(out)));
        }
    }
}

INLINE void mk_gemv_pairs(float *y, const uint8_t *rows, size_t stride, unsigned size,
                          const float *d, const uint16_t *x, size_t ldx, size_t n_k, size_t n_col,
                          mk_load_pairs_fn *load, mk_pair_dot *dot)
{
    const uint32_t was = mk_flush_begin();
    for (size_t c = 0; c < n_col; c += MK_PAIR_COLS)
        if (n_col - c == 1)
            mk_pairs_columns(y + c * MK_PANEL_ROWS, rows, stride, size, d, x + c * ldx, ldx, n_k, 1,
                             load, dot);
        else
            mk_pairs_columns(y + c * MK_PANEL_ROWS, rows, stride, size, d, x + c * ldx, ldx, n_k,
                             MK_PAIR_COLS, load, dot);
    mk_flush_end(was);
}

/* The entries of a level. */
#define MK_PAIRS(dot)                                                                            \
    static void mul_pairs(float *y, const struct mk_panel *p, size_t n_panel, const uint16_t *x, \
                          size_t ldx, size_t n_col)                                              \
    {                                                                                            \
        mk_mul_pairs(y, p, n_panel, x, ldx, n_col, dot);                                         \
    }                                                                                            \
    static void gemv_bf16(float *y, const uint8_t *rows, size_t stride, const float *d,          \
                          const uint16_t *x, size_t ldx, size_t n_k, size_t n_col)               \
    {                                                                                            \
        mk_gemv_pairs(y, rows, stride, 2, d, x, ldx, n_k, n_col, mk_load_bf16, dot);             \
    }                                                                                            \
    static void gemv_f8(float *y, const uint8_t *rows, size_t stride, const float *d,            \
                        const uint16_t *x, size_t ldx, size_t n_k, size_t n_col)                 \
    {                                                                                            \
        mk_gemv_pairs(y, rows, stride, 1, d, x, ldx, n_k, n_col, mk_load_f8, dot);               \
    }
#endif
