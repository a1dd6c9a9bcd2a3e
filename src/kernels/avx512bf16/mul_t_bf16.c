/* Columns of bf16 times rows of bf16 as they are stored: two rows are made pairs in registers and
 * serve up to eight columns at once.
 *
 *   row r      a0 a1 a2 a3 | a4 a5 a6 a7 | ...      low    a0 b0 a1 b1 a2 b2 a3 b3 | a8 b8 ...
 *   row r + 1  b0 b1 b2 b3 | b4 b5 b6 b7 | ...      high   a4 b4 a5 b5 a6 b6 a7 b7 | a12 b12 ...
 *
 * Interleaving stays within 128 bits, so sums are put in order once, at the end.  Rows come from
 * memory: what follows them is asked for meanwhile. */
#include "int_avx512bf16.h"

enum { WIDE = 32 /* values of a row in a vector */, MOST = 8 /* columns */ };

struct operands {
    float *y;
    const uint16_t *w, *x;
    size_t ldy, ldw, ldx, n_row, n_k;
};

INLINE void add(float *y, __m512 sum)
{
    _mm512_storeu_ps(y, _mm512_add_ps(_mm512_loadu_ps(y), sum));
}

struct sums {
    __m512 low[MOST], high[MOST];
};

INLINE void take(struct sums *s, const struct operands *o, const uint16_t *x, unsigned n_c,
                 __m512i even, __m512i odd)
{
    const __m512bh low = (__m512bh)_mm512_unpacklo_epi16(even, odd);
    const __m512bh high = (__m512bh)_mm512_unpackhi_epi16(even, odd);
    UNROLL
    for (unsigned c = 0; c < n_c; c++) {
        const __m512bh p = mk_two_bf16(x + c * o->ldx);
        s->low[c] = _mm512_dpbf16_ps(s->low[c], p, low);
        s->high[c] = _mm512_dpbf16_ps(s->high[c], p, high);
    }
}

/* n_c columns from c0 on, the values j, j + 1, ... that mask has. */
INLINE void block(const struct operands *o, size_t c0, size_t j, unsigned n_c, __mmask32 mask)
{
    struct sums s;
    UNROLL
    for (unsigned c = 0; c < n_c; c++) s.low[c] = s.high[c] = _mm512_setzero_ps();
    const uint16_t *w = o->w + j, *x = o->x + c0 * o->ldx;
    size_t r = 0;
    for (; r + 2 <= o->n_row; r += 2, w += 2 * o->ldw) {
        __builtin_prefetch(w + MK_ROWS_AHEAD * o->ldw);
        __builtin_prefetch(w + (MK_ROWS_AHEAD + 1) * o->ldw);
        take(&s, o, x + r, n_c, _mm512_maskz_loadu_epi16(mask, w),
             _mm512_maskz_loadu_epi16(mask, w + o->ldw));
    }
    for (const __m512i none = _mm512_setzero_si512(); r < o->n_k; r += 2)
        take(&s, o, x + r, n_c, r < o->n_row ? _mm512_maskz_loadu_epi16(mask, w) : none, none);
    const __m512i first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    const __m512i second = _mm512_add_epi64(first, _mm512_set1_epi64(4));
    UNROLL
    for (unsigned c = 0; c < n_c; c++) {
        float *y = o->y + (c0 + c) * o->ldy + j;
        const __m512d low = _mm512_castps_pd(s.low[c]), high = _mm512_castps_pd(s.high[c]);
        add(y, _mm512_castpd_ps(_mm512_permutex2var_pd(low, first, high)));
        if (mask >> 16) add(y + 16, _mm512_castpd_ps(_mm512_permutex2var_pd(low, second, high)));
    }
}

INLINE void columns(const struct operands *o, size_t c, size_t n_j, unsigned n_c)
{
    size_t j = 0;
    for (; j + WIDE <= n_j; j += WIDE) block(o, c, j, n_c, 0xffffffff);
    if (j < n_j) block(o, c, j, n_c, 0xffff);
}

void mk_avx512bf16_mul_t_bf16(float *y, size_t ldy, const uint16_t *w, size_t ldw, size_t n_row,
                              size_t n_j, const uint16_t *x, size_t ldx, size_t n_k, size_t n_col)
{
    const struct operands o = {y, w, x, ldy, ldw, ldx, n_row, n_k};
    for (size_t c = 0, n; c < n_col; c += n) {
        const size_t n_set = (n_col - c + MOST - 1) / MOST; /* of about the same size */
        switch (n = (n_col - c + n_set - 1) / n_set) {
        case 1:
            columns(&o, c, n_j, 1);
            break;
        case 2:
            columns(&o, c, n_j, 2);
            break;
        case 3:
            columns(&o, c, n_j, 3);
            break;
        case 4:
            columns(&o, c, n_j, 4);
            break;
        case 5:
            columns(&o, c, n_j, 5);
            break;
        case 6:
            columns(&o, c, n_j, 6);
            break;
        case 7:
            columns(&o, c, n_j, 7);
            break;
        default:
            columns(&o, c, n_j, 8);
        }
    }
}
