/* gemv: rows as they are stored times a few columns. */
#include "kcheck.h"

#include <math.h>
#include <string.h>

enum { MAX_K = 2048, LONG_K = 10240 /* some kernels begin anew there */, MAX_COL = 5 };

static struct mk_x8 columns(struct kc *t, size_t n_k, size_t n_col, bool is_extreme)
{
    const size_t slack = kc_below(t, 3);
    struct mk_x8 x = {.ldq = n_k + 4 * slack, .lds = n_k / 32 + slack, .ldsum = n_k / 16 + slack};
    int8_t *code = kc_buf(n_col * x.ldq);
    float *s = kc_buf(n_col * x.lds * sizeof *s);
    int16_t *sum = kc_buf(n_col * x.ldsum * sizeof *sum);
    const int sign = kc_below(t, 2) ? 127 : -127;
    x.q = code, x.s = s, x.sum = sum;
    for (size_t c = 0; c < n_col; c++) {
        for (size_t g = 0; g < n_k / 32; g++)
            s[c * x.lds + g] = is_extreme ? kc_rnd_f32(t) : kc_rnd_any(t, true);
        for (size_t k = 0; k < n_k; k += 16) {
            int z = 0;
            for (size_t i = k; i < k + 16; i++)
                z += code[c * x.ldq + i] =
                    (int8_t)(is_extreme ? sign : (int)kc_below(t, 255) - 127);
            sum[c * x.ldsum + k / 16] = (int16_t)z;
        }
    }
    return x;
}

static int n_not_finite(const struct mk_quant *q, const uint8_t *block)
{
    struct mk_codes c;
    q->codes(&c, block);
    return !isfinite(c.d) + !isfinite(c.m);
}

/* A block whose codes and sub-scales are all ones: but its floats must be numbers, or whatever the
 * codes come to would be lost.  Where a byte's top bits make them so, it loses them. */
static void fill_block(const struct mk_quant *q, uint8_t *block)
{
    memset(block, 0xff, q->block_bytes);
    for (size_t i = 0; i < q->block_bytes; i++) {
        const int n = n_not_finite(q, block);
        block[i] = 0x3f;
        if (n_not_finite(q, block) == n) block[i] = 0xff;
    }
}

/* The same by a panel for each block. */
static void by_panels(const struct mk_kernels *k, enum mk_type type, float *y, const uint8_t *rows,
                      size_t stride, const struct mk_x8 *x, size_t n_k, size_t n_col)
{
    static struct mk_panel p;
    const struct mk_quant *q = &mk_quants[type];
    struct mk_x8 at = *x;
    for (size_t g = 0; g < n_k / q->block_len; g++) {
        k->unpack[type](&p, rows + g * q->block_bytes, stride, MK_PANEL_ROWS, q->block_len);
        k->mul_int(y, &p, 1, &at, n_col);
        at.q += q->block_len, at.s += q->block_len / 32, at.sum += q->block_len / 16;
    }
}

static bool gemv_case(struct kc *t, size_t n_k, size_t n_col, size_t gap, int fill)
{
    kc_reset();
    const struct mk_quant *q = &mk_quants[t->type];
    const size_t row = n_k / q->block_len * q->block_bytes, stride = row + gap;
    const size_t n = n_col * MK_PANEL_ROWS;
    uint8_t *w = kc_buf(15 * stride + row);
    for (size_t i = 0; i < 15 * stride + row; i++) w[i] = (uint8_t)kc_rnd(t);
    for (size_t r = 0; fill && r < MK_PANEL_ROWS; r++)
        for (size_t i = 0; i < row; i += q->block_bytes) fill_block(q, w + r * stride + i);
    const struct mk_x8 x = columns(t, n_k, n_col, fill > 0);
    float *a = kc_buf(n * sizeof *a), *b = kc_buf(n * sizeof *b), *c = kc_buf(n * sizeof *c);
    for (size_t i = 0; i < n; i++) a[i] = b[i] = c[i] = fill ? kc_rnd_f32(t) : kc_rnd_any(t, false);
    t->ref->gemv[t->type](a, w, stride, &x, n_k, n_col);
    t->tst->gemv[t->type](b, w, stride, &x, n_k, n_col);
    by_panels(t->tst, t->type, c, w, stride, &x, n_k, n_col);
    const size_t i = kc_differs(a, b, n), j = kc_differs(b, c, n);
    if (i < n)
        FAIL("n_k=%zu n_col=%zu gap=%zu fill=%d i=%zu: got %.9g want %.9g", n_k, n_col, gap, fill,
             i, (double)b[i], (double)a[i]);
    if (j < n)
        FAIL("n_k=%zu n_col=%zu i=%zu: %.9g, by panels %.9g", n_k, n_col, j, (double)b[j],
             (double)c[j]);
    if (!kc_canaries()) FAIL("n_k=%zu n_col=%zu: wrote outside", n_k, n_col);
    return true;
}

/* Rows of 4096, from the cache and from memory. */
static void bench(struct kc *t)
{
    static uint8_t memory[160 << 20];
    static int8_t code[4096];
    static float s[128];
    static int16_t sum[256];
    const struct mk_x8 x = {.q = code, .s = s, .sum = sum};
    const struct mk_quant *q = &mk_quants[t->type];
    const size_t row = 4096 / q->block_len * q->block_bytes, n = sizeof memory / (16 * row);
    const size_t by = kc_apart(t);
    float y[MK_PANEL_ROWS] = {0};
    double far = 0;
    memset(memory, 1, sizeof memory);
    KC_TIME(t->ns_ref, t->ref->gemv[t->type](y, memory, row, &x, 4096, 1));
    KC_TIME(t->ns_tst, t->tst->gemv[t->type](y, memory, row, &x, 4096, 1));
    KC_TIME(far, for (size_t i = 0; i < n / by * by; i++) t->tst->gemv[t->type](
                     y, memory + kc_strip(i, by) * row, by * row, &x, 4096, 1));
    kc_note(t, "%5.1f GB/s cached, %5.1f from memory", 16.0 * (double)row / t->ns_tst,
            16.0 * (double)(n / by * by * row) / far);
}

bool kc_gemv(struct kc *t)
{
    const struct mk_quant *q = &mk_quants[t->type];
    static const size_t gaps[] = {0, 1, 2, 34, 1000};
    if (!t->tst->gemv[t->type]) return true;
    for (size_t n_k = q->block_len; n_k <= MAX_K; n_k += q->block_len)
        for (int fill = 0; fill < 2; fill++) {
            const size_t n_col = kc_below(t, MAX_COL + 1);
            if (!gemv_case(t, n_k, n_col, gaps[kc_below(t, 5)], fill)) return false;
            if (!gemv_case(t, n_k, 1, 0, fill)) return false;
        }
    for (size_t n_col = 1; n_col < MAX_COL; n_col++)
        if (!gemv_case(t, LONG_K + q->block_len, n_col, 0, 0)) return false;
    kc_reset();
    if (t->bench && t->tst != t->ref) bench(t);
    return true;
}

/* ---- floats ------------------------------------------------------------------ */

static void floats_by_panels(const struct mk_kernels *k, enum mk_type type, float *y,
                             const uint8_t *rows, size_t stride, const float *x, size_t ldx,
                             size_t n_k, size_t n_col)
{
    static struct mk_panel p;
    for (size_t at = 0; at < n_k; at += 128) {
        k->unpack[type](&p, rows + at * mk_quants[type].block_bytes, stride, MK_PANEL_ROWS,
                        n_k - at < 128 ? n_k - at : 128);
        k->mul_f32(y, &p, x + at, ldx, n_col);
    }
}

static bool float_case(struct kc *t, size_t n_k, size_t n_col, size_t gap, bool any)
{
    kc_reset();
    const size_t bytes = mk_quants[t->type].block_bytes, stride = (n_k + gap) * bytes;
    const size_t ldx = n_k + kc_below(t, 3), n = n_col * MK_PANEL_ROWS;
    float *v = kc_buf(n_k * sizeof *v), *x = kc_buf(n_col * ldx * sizeof *x);
    uint8_t *w = kc_buf(15 * stride + n_k * bytes);
    memset(w, 0xff, 15 * stride + n_k * bytes);
    for (size_t r = 0; r < MK_PANEL_ROWS; r++) {
        for (size_t k = 0; k < n_k; k++) v[k] = kc_rnd_f32(t);
        mk_quants[t->type].encode(w + r * stride, v, n_k);
        for (size_t i = 0; any && i < n_k * bytes; i++) w[r * stride + i] = (uint8_t)kc_rnd(t);
    }
    for (size_t i = 0; i < n_col * ldx; i++) x[i] = any ? kc_rnd_any(t, true) : kc_rnd_f32(t);
    float *a = kc_buf(n * sizeof *a), *b = kc_buf(n * sizeof *b), *c = kc_buf(n * sizeof *c);
    for (size_t i = 0; i < n; i++) a[i] = b[i] = c[i] = kc_rnd_f32(t);
    t->ref->gemv_f32[t->type](a, w, stride, x, ldx, n_k, n_col);
    t->tst->gemv_f32[t->type](b, w, stride, x, ldx, n_k, n_col);
    floats_by_panels(t->tst, t->type, c, w, stride, x, ldx, n_k, n_col);
    const size_t i = kc_differs(a, b, n), j = kc_differs(b, c, n);
    if (i < n)
        FAIL("n_k=%zu n_col=%zu i=%zu: got %.9g want %.9g", n_k, n_col, i, (double)b[i],
             (double)a[i]);
    if (j < n)
        FAIL("n_k=%zu n_col=%zu i=%zu: %.9g, by panels %.9g", n_k, n_col, j, (double)b[j],
             (double)c[j]);
    if (!kc_canaries()) FAIL("n_k=%zu n_col=%zu: wrote outside", n_k, n_col);
    return true;
}

static void bench_floats(struct kc *t)
{
    static uint8_t memory[160 << 20];
    static float x[4096];
    const size_t row = 4096 * mk_quants[t->type].block_bytes, n = sizeof memory / (16 * row);
    float y[MK_PANEL_ROWS] = {0};
    double far = 0;
    memset(memory, 1, sizeof memory);
    KC_TIME(t->ns_ref, t->ref->gemv_f32[t->type](y, memory, row, x, 4096, 4096, 1));
    KC_TIME(t->ns_tst, t->tst->gemv_f32[t->type](y, memory, row, x, 4096, 4096, 1));
    KC_TIME(far, for (size_t i = 0; i < n; i++)
                     t->tst->gemv_f32[t->type](y, memory + i * 16 * row, row, x, 4096, 4096, 1));
    kc_note(t, "%5.1f GB/s cached, %5.1f from memory", 16.0 * (double)row / t->ns_tst,
            16.0 * (double)(n * row) / far);
}

bool kc_gemv_f32(struct kc *t)
{
    static const size_t gaps[] = {0, 1, 2, 32, 1000};
    if (!t->tst->gemv_f32[t->type]) return true;
    for (size_t n_k = 32; n_k <= MAX_K; n_k += 32)
        for (int any = 0; any < 2; any++) {
            const size_t n_col = kc_below(t, MAX_COL + 1);
            if (!float_case(t, n_k, n_col, gaps[kc_below(t, 5)], any)) return false;
            if (!float_case(t, n_k, 1, 0, any)) return false;
        }
    kc_reset();
    if (t->bench && t->tst != t->ref) bench_floats(t);
    return true;
}
