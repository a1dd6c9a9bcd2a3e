/* What kernels/lanes/ needs for products of pairs; and rows as they are stored, times few columns.
 */
#define LANES 8
#include "kernels/lanes/pairs.h"
#include "kernels/avx2/int_avx2.h"
#include "kernels/avx2/int_vec.h"

INLINE vf fma_lanes(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
INLINE vf splat(const float *x) { return _mm256_broadcast_ss(x); }

static void widen_bf16(float *y, const uint16_t *x, size_t n)
{
    for (size_t i = 0; i < n; i += 8) /* n is a multiple of 32 */
        _mm256_storeu_ps(y + i, mk_load_bf16(x + i));
}

/* ---- rows as they are stored ------------------------------------------------------------- */

enum { ROWS = 8, FEW = 4 /* columns */, LDX = 2 * GROUP };

/* Of eight rows, values that have one scale. */
struct part {
    const uint16_t *rows; /* the first value */
    const float *x;       /* of column c at x + c * LDX */
    float *y;
    const float *d; /* the scale, or NULL */
};

/* sum[c] += 8 values of rows from a and from b on, four each, times x[c]. */
INLINE void add_values(vf *sum, const uint16_t *a, const uint16_t *b, size_t stride, const float *x,
                       int n_col)
{
    __m256i v[4], w[4];
    UNROLL
    for (size_t i = 0; i < 4; i++) v[i] = mk_load_two(a + i * stride, b + i * stride);
    mk_turn_words(w, v);
    UNROLL
    for (size_t i = 0; i < 4; i++) UNROLL
    for (size_t odd = 2; odd-- > 0;) {
        const vf half = odd ? high_half((vu)w[i]) : low_half((vu)w[i]);
        UNROLL
        for (int c = 0; c < n_col; c++)
            sum[c] = fma_lanes(half, splat(x + c * LDX + 2 * i + odd), sum[c]);
    }
}

/* y += n values of each part.  Two parts are multiplied at once, because each sum waits for the one
 * before it. */
INLINE void add_parts(const struct part *p, int n_part, size_t stride, size_t n, int n_col)
{
    vf sum[2][FEW];
    UNROLL
    for (int i = 0; i < n_part * n_col; i++) sum[i / n_col][i % n_col] = (vf){0};
    const uint16_t *a[2], *b[2];
    for (int i = 0; i < n_part; i++) a[i] = p[i].rows, b[i] = a[i] + 4 * stride;
    for (size_t k = 0; k < n; k += 8) UNROLL
    for (int i = 0; i < n_part; i++) {
        __asm__("" : "+r"(a[i]), "+r"(b[i])); /* not 16 addresses for as many registers */
        add_values(sum[i], a[i], b[i], stride, p[i].x + k, n_col);
        a[i] += 8, b[i] += 8;
    }
    UNROLL
    for (int i = 0; i < n_part; i++) {
        const float d = p[i].d ? *p[i].d : 1.0f;
        UNROLL
        for (int c = 0; c < n_col; c++) {
            float *out = p[i].y + c * MK_PANEL_ROWS;
            put_f(out, fma_lanes(splat(&d), sum[i][c], get_f(out)));
        }
    }
}

struct operands {
    const uint16_t *rows;
    size_t stride;  /* of rows, in values */
    const float *d; /* a scale for each group, or NULL */
    const uint16_t *x;
    size_t ldx, n_k;
};

INLINE void widen_columns(float x[][LDX], const struct operands *o, size_t k, size_t n, int n_col)
{
    for (int c = 0; c < n_col; c++) widen_bf16(x[c], o->x + (size_t)c * o->ldx + k, n);
}

/* Two parts are rows. */
INLINE void sixteen_rows(float *y, const struct operands *o, int n_col)
{
    float x[FEW][LDX];
    for (size_t k = 0; k < o->n_k; k += GROUP) {
        const size_t n = o->n_k - k < GROUP ? o->n_k - k : GROUP;
        const float *d = o->d ? o->d + k / GROUP : NULL;
        const uint16_t *rows = o->rows + k;
        const struct part p[] = {{rows, *x, y, d}, {rows + ROWS * o->stride, *x, y + ROWS, d}};
        widen_columns(x, o, k, n, n_col);
        add_parts(p, 2, o->stride, n, n_col);
    }
}

/* Two parts are groups of values. */
INLINE void eight_rows(float *y, const struct operands *o, int n_col)
{
    float x[FEW][LDX];
    for (size_t k = 0, n; k < o->n_k; k += n) {
        const bool is_two = o->n_k - k >= 2 * GROUP;
        n = is_two ? 2 * GROUP : o->n_k - k < GROUP ? o->n_k - k : GROUP;
        const float *d = o->d ? o->d + k / GROUP : NULL;
        const uint16_t *rows = o->rows + k;
        const struct part p[] = {{rows, *x, y, d}, {rows + GROUP, *x + GROUP, y, d ? d + 1 : NULL}};
        widen_columns(x, o, k, n, n_col);
        if (is_two)
            add_parts(p, 2, o->stride, GROUP, n_col);
        else
            add_parts(p, 1, o->stride, n, n_col);
    }
}

/* Sixteen rows a multiple of 4096 bytes apart would fight for the eight lines that the first cache
 * has for them. */
INLINE void few_columns(float *y, struct operands o, int n_col)
{
    if (o.stride % 2048) {
        sixteen_rows(y, &o, n_col);
        return;
    }
    eight_rows(y, &o, n_col);
    o.rows += ROWS * o.stride;
    eight_rows(y + ROWS, &o, n_col);
}

static void gemv_bf16(float *y, const uint8_t *rows, size_t stride, const float *d,
                      const uint16_t *x, size_t ldx, size_t n_k, size_t n_col)
{
    const uint32_t was = mk_flush_begin();
    for (size_t c = 0, n; c < n_col; c += n, y += n * MK_PANEL_ROWS) {
        const struct operands o = {(const void *)rows, stride / 2, d, x + c * ldx, ldx, n_k};
        n = n_col - c >= 4 ? 4 : n_col - c >= 2 ? 2 : 1;
        if (n == 4)
            few_columns(y, o, 4);
        else if (n == 2)
            few_columns(y, o, 2);
        else
            few_columns(y, o, 1);
    }
    mk_flush_end(was);
}

void mk_avx2_pairs(struct mk_kernels *k)
{
    memset(k->gemv_pairs, 0, sizeof k->gemv_pairs); /* panels are quicker than scalar code */
    k->mul_pairs = mul_pairs;
    k->gemv_pairs[MK_BF16] = gemv_bf16;
    k->reads_in_turn[MK_BF16] = true;
}
