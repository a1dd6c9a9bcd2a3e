/* The bf16 product with VDPBF16PS, which adds two products to each of 16 float sums.
 * A lane is a column of w; the pair of a row of x is broadcast to all of them. */
#include "int_avx512bf16.h"

#include <immintrin.h>
#include <string.h>

struct operands {
    float *y;
    const uint16_t *x, *w;
    size_t ldy, ldx, ldw, n_k;
    bool is_sum;
};

INLINE __m512bh pair(const uint16_t *x)
{
    int32_t two;
    memcpy(&two, x, sizeof two);
    return (__m512bh)_mm512_set1_epi32(two);
}

INLINE void put(const struct operands *o, size_t at, __m512 sum)
{
    _mm512_storeu_ps(o->y + at, o->is_sum ? _mm512_add_ps(_mm512_loadu_ps(o->y + at), sum) : sum);
}

/* Asks for a tile of y while its sums are made: it is often in memory only. */
INLINE void fetch(const struct operands *o, size_t row, size_t col, size_t n_row, size_t n_vec)
{
    UNROLL
    for (size_t r = 0; r < n_row; r++) UNROLL
    for (size_t v = 0; v < n_vec; v++)
        __builtin_prefetch(o->y + (row + r) * o->ldy + col + 16 * v, 1);
}

/* n_row rows by n_vec vectors of columns, both constant after inlining. */
INLINE void tile(const struct operands *o, size_t row, size_t col, size_t n_row, size_t n_vec)
{
    __m512 sum[12][8];
    UNROLL
    for (size_t r = 0; r < n_row; r++) UNROLL
    for (size_t v = 0; v < n_vec; v++) sum[r][v] = _mm512_setzero_ps();
    const uint16_t *x = o->x + row * o->ldx, *w = o->w + 2 * col;
    fetch(o, row, col, n_row, n_vec);
    for (size_t k = 0; k < o->n_k; k += 2, w += 2 * o->ldw) {
        __m512bh b[8];
        UNROLL
        for (size_t v = 0; v < n_vec; v++) b[v] = (__m512bh)_mm512_loadu_si512(w + 32 * v);
        UNROLL
        for (size_t r = 0; r < n_row; r++) {
            const __m512bh a = pair(x + r * o->ldx + k);
            UNROLL
            for (size_t v = 0; v < n_vec; v++) sum[r][v] = _mm512_dpbf16_ps(sum[r][v], a, b[v]);
        }
    }
    UNROLL
    for (size_t r = 0; r < n_row; r++) UNROLL
    for (size_t v = 0; v < n_vec; v++) put(o, (row + r) * o->ldy + col + 16 * v, sum[r][v]);
}

/* All columns of n_row rows, n_vec vectors at a time. */
INLINE void strip(const struct operands *o, size_t row, size_t n_col, size_t n_row, size_t n_vec)
{
    size_t col = 0;
    for (; col + 16 * n_vec <= n_col; col += 16 * n_vec) tile(o, row, col, n_row, n_vec);
    for (; col < n_col; col += 16) tile(o, row, col, n_row, 1);
}

void mk_avx512bf16_mul_bf16(float *y, size_t ldy, const uint16_t *x, size_t ldx, const uint16_t *w,
                            size_t ldw, size_t n_row, size_t n_k, size_t n_col, bool is_sum)
{
    const struct operands o = {y, x, w, ldy, ldx, ldw, n_k, is_sum};
    size_t r = 0;
    for (; r + 12 <= n_row; r += 12) strip(&o, r, n_col, 12, 2);
    for (; r + 4 <= n_row; r += 4) strip(&o, r, n_col, 4, 4);
    for (; r < n_row; r++) strip(&o, r, n_col, 1, 8);
}
