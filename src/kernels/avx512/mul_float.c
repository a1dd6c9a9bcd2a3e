/* Float panels times columns, and rows of floats times columns (mul_t). */
#include "int_tile.h"

/* t[c] += lines k..end of the panel times column c, k ascending. */
INLINE void dot_lines(__m512 *t, unsigned n, const struct mk_panel *p, size_t k, size_t end,
                      const float *x, size_t ld_bytes)
{
    const char *col = (const char *)(x + k);
    for (; k + 4 <= end; k += 4, col += 16)
        MK_TILES(n, MK_LINES4, "vfmadd231ps", t, p->f[k], col, ld_bytes);
    for (; k < end; k++, col += 4) MK_TILES(n, MK_LINES1, "vfmadd231ps", t, p->f[k], col, ld_bytes);
}

INLINE void tile_f32(float *y, const struct mk_panel *p, const float *x, size_t ldx, unsigned n)
{
    for (size_t g = 0; g < p->n_k; g += 128) {
        __m512 t[MK_TILE_COLS];
        UNROLL
        for (unsigned c = 0; c < n; c++) t[c] = _mm512_setzero_ps();
        dot_lines(t, n, p, g, g + 128 < p->n_k ? g + 128 : p->n_k, x, ldx * sizeof *x);
        const __m512 d = _mm512_load_ps(p->d[g / 128]);
        UNROLL
        for (unsigned c = 0; c < n; c++) {
            float *out = y + c * MK_PANEL_ROWS;
            _mm512_storeu_ps(out, _mm512_fmadd_ps(d, t[c], _mm512_loadu_ps(out)));
        }
    }
}

/* One column waits for its own sums; the two groups of a full panel are two chains. */
static void one_full(float *y, const struct mk_panel *p, const float *x)
{
    __m512 t0 = _mm512_setzero_ps(), t1 = t0;
    for (size_t k = 0; k < 128; k++) {
        t0 = _mm512_fmadd_ps(_mm512_load_ps(p->f[k]), _mm512_set1_ps(x[k]), t0);
        t1 = _mm512_fmadd_ps(_mm512_load_ps(p->f[128 + k]), _mm512_set1_ps(x[128 + k]), t1);
    }
    const __m512 first = _mm512_fmadd_ps(_mm512_load_ps(p->d[0]), t0, _mm512_loadu_ps(y));
    _mm512_storeu_ps(y, _mm512_fmadd_ps(_mm512_load_ps(p->d[1]), t1, first));
}

void mk_avx512_mul_f32(float *y, const struct mk_panel *p, const float *x, size_t ldx, size_t n_col)
{
    for (size_t c = 0, n; c < n_col; c += n) {
        const float *col = x + c * ldx;
        float *out = y + c * MK_PANEL_ROWS;
        switch (n = mk_tile_width(n_col - c)) {
        case 1:
            if (p->n_k == MK_PANEL_K_F32)
                one_full(out, p, col);
            else
                tile_f32(out, p, col, ldx, 1);
            break;
        case 2:
            tile_f32(out, p, col, ldx, 2);
            break;
        case 4:
            tile_f32(out, p, col, ldx, 4);
            break;
        case 8:
            tile_f32(out, p, col, ldx, 8);
            break;
        default:
            tile_f32(out, p, col, ldx, 12);
        }
    }
}

/* ---- mul_t ------------------------------------------------------------------ */

struct t_args {
    float *y;
    const float *w, *x;
    size_t ldy, ldw, ldx, n_r;
};

/* n_c columns, n_v vectors of 16 outputs; the last vector holds only the lanes of
 * `last`.  16 accumulators at most. */
INLINE void tile_t(const struct t_args *t, size_t c0, size_t j0, unsigned n_c, unsigned n_v,
                   __mmask16 last)
{
    __m512 a[4][8];
    UNROLL
    for (unsigned c = 0; c < n_c; c++) UNROLL
    for (unsigned v = 0; v < n_v; v++)
        a[c][v] = _mm512_maskz_loadu_ps(v + 1 == n_v ? last : (__mmask16)0xffff,
                                        t->y + (c0 + c) * t->ldy + j0 + 16 * v);
    const size_t ldw = t->ldw, ldx = t->ldx;
    const float *w = t->w + j0, *x = t->x + c0 * ldx, *end = x + t->n_r;
    const float *x3 = n_c > 3 ? x + 3 * ldx : x;
    for (; x < end; x++, x3++, w += ldw) {
        __m512 xc[4];
        UNROLL
        for (unsigned c = 0; c < n_c; c++) xc[c] = _mm512_set1_ps(c == 3 ? *x3 : x[c * ldx]);
        UNROLL
        for (unsigned v = 0; v < n_v; v++) {
            const __m512 wv =
                _mm512_maskz_loadu_ps(v + 1 == n_v ? last : (__mmask16)0xffff, w + 16 * v);
            UNROLL
            for (unsigned c = 0; c < n_c; c++) a[c][v] = _mm512_fmadd_ps(xc[c], wv, a[c][v]);
        }
    }
    UNROLL
    for (unsigned c = 0; c < n_c; c++) UNROLL
    for (unsigned v = 0; v < n_v; v++)
        _mm512_mask_storeu_ps(t->y + (c0 + c) * t->ldy + j0 + 16 * v,
                              v + 1 == n_v ? last : (__mmask16)0xffff, a[c][v]);
}

static void four_columns(const struct t_args *t, size_t c, size_t n_j)
{
    size_t j = 0;
    for (; j + 64 <= n_j; j += 64) tile_t(t, c, j, 4, 4, 0xffff);
    if (j + 48 <= n_j) tile_t(t, c, j, 4, 3, 0xffff), j += 48;
    if (j + 32 <= n_j) tile_t(t, c, j, 4, 2, 0xffff), j += 32;
    for (; j < n_j; j += 16) tile_t(t, c, j, 4, 1, mk_tail(j, n_j));
}

static void one_column(const struct t_args *t, size_t c, size_t n_j)
{
    size_t j = 0;
    for (; j + 128 <= n_j; j += 128) tile_t(t, c, j, 1, 8, 0xffff);
    for (; j + 64 <= n_j; j += 64) tile_t(t, c, j, 1, 4, 0xffff);
    for (; j < n_j; j += 16) tile_t(t, c, j, 1, 1, mk_tail(j, n_j));
}

void mk_avx512_mul_t(float *y, size_t ldy, const float *w, size_t ldw, size_t n_r, size_t n_j,
                     const float *x, size_t ldx, size_t n_col)
{
    const struct t_args t = {y, w, x, ldy, ldw, ldx, n_r};
    size_t c = 0;
    for (; c + 4 <= n_col; c += 4) four_columns(&t, c, n_j);
    for (; c < n_col; c++) one_column(&t, c, n_j);
}
