/* Rows of 16-bit floats times a few columns, without a panel.
 *
 * The sums of 128 values do not depend on each other (kernels.h): four of them are kept going, as a
 * multiply-add takes four steps until the next of its sum can begin. */
#include "int_avx512.h"

#include <string.h>

enum { COLS = 2, SUMS = 4, STEP = 32 /* values */, RUN = 128 * SUMS };

typedef void widen_fn(__m512 f[2], __m512i t);

INLINE void widen_bf16(__m512 f[2], __m512i t)
{
    f[0] = _mm512_castsi512_ps(_mm512_slli_epi32(t, 16));
    f[1] = _mm512_castsi512_ps(_mm512_and_si512(t, _mm512_set1_epi32((int)0xffff0000u)));
}

INLINE void widen_f16(__m512 f[2], __m512i t)
{
    f[0] = mk_half_ps(t);
    f[1] = mk_half_ps(_mm512_srli_epi32(t, 16));
}

/* t[c] += STEP values of 16 rows times x[c]. */
INLINE void step(__m512 *t, const uint8_t *rows, size_t stride, const float *x, size_t ldx,
                 unsigned n, widen_fn *widen)
{
    UNROLL
    for (size_t k = 0; k < STEP; k += 8) {
        __m512i pairs[4];
        mk_rows16(pairs, rows + 2 * k, stride);
        UNROLL
        for (size_t i = 0; i < 4; i++) {
            __m512 f[2];
            widen(f, pairs[i]);
            UNROLL
            for (unsigned c = 0; c < n; c++) {
                const float *xc = x + c * ldx + k + 2 * i;
                t[SUMS * c] = _mm512_fmadd_ps(f[0], _mm512_set1_ps(xc[0]), t[SUMS * c]);
                t[SUMS * c] = _mm512_fmadd_ps(f[1], _mm512_set1_ps(xc[1]), t[SUMS * c]);
            }
        }
    }
}

/* Lines that a step of the next run needs, or of the next 16 rows. */
INLINE void ahead(const uint8_t *rows, size_t stride, size_t by)
{
    UNROLL
    for (size_t r = 0; r < MK_PANEL_ROWS; r++)
        _mm_prefetch((const char *)rows + r * stride + by, _MM_HINT_T0);
}

INLINE void columns(float *y, const uint8_t *rows, size_t stride, const float *x, size_t ldx,
                    size_t n_k, unsigned n, widen_fn *widen)
{
    __m512 f[COLS];
    UNROLL
    for (unsigned c = 0; c < n; c++) f[c] = _mm512_loadu_ps(y + c * MK_PANEL_ROWS);
    for (size_t k0 = 0; k0 < n_k; k0 += RUN) {
        __m512 t[COLS * SUMS];
        UNROLL
        for (unsigned i = 0; i < SUMS * n; i++) t[i] = _mm512_setzero_ps();
        const bool is_last = k0 + RUN >= n_k;
        const size_t by = is_last ? MK_PANEL_ROWS * stride - 2 * k0 : 2 * RUN;
        for (size_t k = k0; k < k0 + 128; k += STEP) {
            UNROLL
            for (size_t i = 0; i < SUMS; i++) {
                const size_t at = k + 128 * i;
                if (at >= n_k) break;
                ahead(rows + 2 * at, stride, by);
                step(t + i, rows + 2 * at, stride, x + at, ldx, n, widen);
            }
        }
        UNROLL
        for (unsigned c = 0; c < n; c++) {
            UNROLL
            for (size_t i = 0; i < SUMS; i++)
                if (k0 + 128 * i < n_k) f[c] = _mm512_add_ps(f[c], t[SUMS * c + i]);
        }
    }
    UNROLL
    for (unsigned c = 0; c < n; c++) _mm512_storeu_ps(y + c * MK_PANEL_ROWS, f[c]);
}

INLINE void gemv(float *y, const uint8_t *rows, size_t stride, const float *x, size_t ldx,
                 size_t n_k, size_t n_col, widen_fn *widen)
{
    for (size_t c = 0; c < n_col; c += COLS)
        if (n_col - c == 1)
            columns(y + c * MK_PANEL_ROWS, rows, stride, x + c * ldx, ldx, n_k, 1, widen);
        else
            columns(y + c * MK_PANEL_ROWS, rows, stride, x + c * ldx, ldx, n_k, COLS, widen);
}

static void gemv_bf16(float *y, const uint8_t *rows, size_t stride, const float *x, size_t ldx,
                      size_t n_k, size_t n_col)
{
    gemv(y, rows, stride, x, ldx, n_k, n_col, widen_bf16);
}

static void gemv_f16(float *y, const uint8_t *rows, size_t stride, const float *x, size_t ldx,
                     size_t n_k, size_t n_col)
{
    gemv(y, rows, stride, x, ldx, n_k, n_col, widen_f16);
}

void mk_avx512_gemv_float(struct mk_kernels *k)
{
    memset(k->gemv_f32, 0, sizeof k->gemv_f32); /* the others are quicker with panels */
    k->gemv_f32[MK_BF16] = gemv_bf16;
    k->gemv_f32[MK_F16] = gemv_f16;
}
