/* Columns of floats times rows of f16 as they are stored, which become floats in registers.  Each
 * result is one chain of fma, so what counts is to have many side by side: 32 values of up to
 * twelve columns.  Rows come from memory: what follows them is asked for meanwhile.
 *
 * (For many columns, rows made floats once for all in a buffer were slower: 87 % of the peak, not
 * 92.) */
#include "int_avx512.h"

enum { WIDE = 32 /* values of a row at a time */, MOST = 12 /* columns */, AHEAD = 48 /* rows */ };

struct operands {
    float *y;
    const uint16_t *w;
    const float *x;
    size_t ldy, ldw, ldx, n_row;
};

INLINE __m512 halves(const uint16_t *w, __mmask16 mask)
{
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, w));
}

/* n_c columns from c0 on, 16 values from j on and those of the next 16 that mask has. */
INLINE void block(const struct operands *o, size_t c0, size_t j, unsigned n_c, __mmask16 mask)
{
    __m512 low[MOST], high[MOST];
    float *y = o->y + c0 * o->ldy + j;
    UNROLL
    for (unsigned c = 0; c < n_c; c++) {
        low[c] = _mm512_loadu_ps(y + c * o->ldy);
        high[c] = _mm512_maskz_loadu_ps(mask, y + c * o->ldy + 16);
    }
    const uint16_t *w = o->w + j;
    const float *x = o->x + c0;
    for (size_t r = 0; r < o->n_row; r++, w += o->ldw, x += o->ldx) {
        __builtin_prefetch(w + AHEAD * o->ldw);
        const __m512 w0 = halves(w, 0xffff), w1 = halves(w + 16, mask);
        UNROLL
        for (unsigned c = 0; c < n_c; c++) {
            const __m512 xc = _mm512_set1_ps(x[c]);
            low[c] = _mm512_fmadd_ps(xc, w0, low[c]);
            high[c] = _mm512_fmadd_ps(xc, w1, high[c]);
        }
    }
    UNROLL
    for (unsigned c = 0; c < n_c; c++) {
        _mm512_storeu_ps(y + c * o->ldy, low[c]);
        _mm512_mask_storeu_ps(y + c * o->ldy + 16, mask, high[c]);
    }
}

INLINE void columns(const struct operands *o, size_t c, size_t n_j, unsigned n_c)
{
    size_t j = 0;
    for (; j + WIDE <= n_j; j += WIDE) block(o, c, j, n_c, 0xffff);
    if (j < n_j) block(o, c, j, n_c, 0);
}

#define CASE(n)                 \
    case n:                     \
        columns(&o, c, n_j, n); \
        break

void mk_avx512_mul_t_f16(float *y, size_t ldy, const uint16_t *w, size_t ldw, size_t n_row,
                         size_t n_j, const float *x, size_t ldx, size_t n_col)
{
    const struct operands o = {y, w, x, ldy, ldw, ldx, n_row};
    for (size_t c = 0, n; c < n_col; c += n) {
        const size_t n_set = (n_col - c + MOST - 1) / MOST; /* of about the same size */
        switch (n = (n_col - c + n_set - 1) / n_set) {
            CASE(1);
            CASE(2);
            CASE(3);
            CASE(4);
            CASE(5);
            CASE(6);
            CASE(7);
            CASE(8);
            CASE(9);
            CASE(10);
            CASE(11);
        default:
            columns(&o, c, n_j, 12);
        }
    }
}
#undef CASE
