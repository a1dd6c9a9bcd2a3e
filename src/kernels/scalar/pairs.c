/* Products of weights that bf16 can hold: VDPBF16PS in plain C. */
#include "int_scalar.h"

#include "base/half.h"

#include <float.h>
#include <math.h>
#include <string.h>

static void unpack(enum mk_type type, struct mk_panel *p, const uint8_t *rows, size_t stride,
                   unsigned n_rows, size_t n_k)
{
    memset(p, 0, sizeof *p);
    p->n_k = n_k;
    p->quant = &mk_quants[type];
    for (unsigned r = 0; r < n_rows; r++, rows += stride) {
        float w[MK_PANEL_K_PAIRS];
        p->quant->decode(w, rows, n_k);
        for (size_t k = 0; k < n_k; k++) p->w[k / 2][r][k % 2] = mk_f32_bf16(w[k]);
        for (size_t g = 0; g * 128 < n_k; g++) p->d[g][r] = 1.0f;
    }
}

void mk_scalar_unpack_bf16(struct mk_panel *p, const uint8_t *rows, size_t stride, unsigned n_rows,
                           size_t n_k)
{
    unpack(MK_BF16, p, rows, stride, n_rows, n_k);
}

void mk_scalar_unpack_f8(struct mk_panel *p, const uint8_t *rows, size_t stride, unsigned n_rows,
                         size_t n_k)
{
    unpack(MK_F8_E4M3, p, rows, stride, n_rows, n_k);
}

static float flushed(float v) { return fabsf(v) < FLT_MIN ? copysignf(0.0f, v) : v; }

/* a b + c with subnormal numbers as zeros.  A result is subnormal if it is that when its exponent
 * has no limit: where rounding has made it the least normal number, 2^80 times it tells. */
static float fma_flushed(float a, float b, float c)
{
    a = flushed(a), b = flushed(b), c = flushed(c);
    const float v = fmaf(a, b, c);
    if (fabsf(v) == FLT_MIN && fabsf(fmaf(a * 0x1p40f, b * 0x1p40f, c * 0x1p80f)) < 0x1p-46f)
        return copysignf(0.0f, v);
    return flushed(v);
}

/* Values k.. of row r, 128 or what is left. */
static float dot(const struct mk_panel *p, const uint16_t *x, size_t k, unsigned r)
{
    const size_t end = k + 128 < p->n_k ? k + 128 : p->n_k;
    float t = 0.0f;
    for (; k < end; k += 2) {
        const uint16_t *w = p->w[k / 2][r];
        t = fma_flushed(mk_bf16_f32(w[1]), mk_bf16_f32(x[k + 1]), t);
        t = fma_flushed(mk_bf16_f32(w[0]), mk_bf16_f32(x[k]), t);
    }
    return t;
}

void mk_scalar_mul_pairs(float *y, const struct mk_panel *p, size_t n_panel, const uint16_t *x,
                         size_t ldx, size_t n_col)
{
    for (size_t i = 0; i < n_panel * n_col; i++, y += MK_PANEL_ROWS) {
        const struct mk_panel *at = p + i / n_col;
        const uint16_t *col = x + i % n_col * ldx;
        for (unsigned r = 0; r < MK_PANEL_ROWS; r++)
            for (size_t k = 0; k < at->n_k; k += 128)
                y[r] = fma_flushed(at->d[k / 128][r], dot(at, col, k, r), y[r]);
    }
}

static void gemv(enum mk_type type, float *y, const uint8_t *rows, size_t stride, const float *d,
                 const uint16_t *x, size_t ldx, size_t n_k, size_t n_col)
{
    struct mk_panel p;
    for (size_t k = 0; k < n_k; k += 128) {
        unpack(type, &p, rows + k * mk_quants[type].block_bytes, stride, MK_PANEL_ROWS,
               n_k - k < 128 ? n_k - k : 128);
        for (unsigned r = 0; d && r < MK_PANEL_ROWS; r++) p.d[0][r] = d[k / 128];
        mk_scalar_mul_pairs(y, &p, 1, x + k, ldx, n_col);
    }
}

void mk_scalar_gemv_bf16(float *y, const uint8_t *rows, size_t stride, const float *d,
                         const uint16_t *x, size_t ldx, size_t n_k, size_t n_col)
{
    gemv(MK_BF16, y, rows, stride, d, x, ldx, n_k, n_col);
}

void mk_scalar_gemv_f8(float *y, const uint8_t *rows, size_t stride, const float *d,
                       const uint16_t *x, size_t ldx, size_t n_k, size_t n_col)
{
    gemv(MK_F8_E4M3, y, rows, stride, d, x, ldx, n_k, n_col);
}
