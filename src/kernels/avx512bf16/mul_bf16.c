/* The bf16 product with VDPBF16PS, which adds two products to each of 16 float sums.
 * A lane is a column of w; the pair of a row of x is broadcast to all of them. */
#include "int_avx512bf16.h"
#include "int_dot.h"

struct operands {
    float *y;
    const uint16_t *x, *w;
    size_t ldy, ldx, ldw, n_k;
    bool is_sum;
};

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
    __m512 sum[MK_TILE_ROWS][MK_TILE_VECS];
    const struct mk_pair_lines l = {o->w + 2 * col, 2 * o->ldw, 32};
    fetch(o, row, col, n_row, n_vec);
    mk_dot_tile(sum, o->x + row * o->ldx, o->ldx, l, o->n_k, n_row, n_vec, mk_dot_bf16);
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
