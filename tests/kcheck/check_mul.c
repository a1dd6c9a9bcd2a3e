/* The products.  Their order of arithmetic is defined, so every version must give
 * the bits of scalar; scalar must give the sum in double of decoded weights. */
#include "base/half.h"
#include "kcheck.h"

#include <math.h>
#include <string.h>

enum { MAX_COL = 33 };
static const size_t cols[] = {1, 2, 4, 8, 48}; /* of the benchmarks: generation to prompt */
/* What the codes and the columns look like. */
enum { X_RANDOM, X_HIGH, X_LOW, X_ALTERNATE, X_HOSTILE, N_X_FILLS };

static int8_t x_code(struct kc *t, int fill, size_t k)
{
    switch (fill) {
    case X_HIGH:
        return 127;
    case X_LOW:
        return -127;
    case X_ALTERNATE:
        return k & 1 ? 127 : -127;
    default:
        return (int8_t)((int)kc_below(t, 255) - 127);
    }
}

/* Columns with slack between them; the sums are those of the codes. */
static struct mk_x8 columns(struct kc *t, size_t n_k, size_t n_col, int fill)
{
    const size_t slack = kc_below(t, 3);
    struct mk_x8 x = {.ldq = n_k + 4 * slack, .lds = n_k / 32 + slack, .ldsum = n_k / 16 + slack};
    int8_t *q = kc_buf(n_col * x.ldq);
    float *s = kc_buf(n_col * x.lds * sizeof *s);
    int16_t *sum = kc_buf(n_col * x.ldsum * sizeof *sum);
    x.q = q, x.s = s, x.sum = sum;
    for (size_t c = 0; c < n_col; c++) {
        for (size_t g = 0; g < n_k / 32; g++)
            s[c * x.lds + g] = fill == X_HOSTILE ? kc_rnd_any(t, true) : kc_rnd_f32(t);
        for (size_t k = 0; k < n_k; k += 16) {
            int z = 0;
            for (size_t i = k; i < k + 16; i++) z += q[c * x.ldq + i] = x_code(t, fill, i);
            sum[c * x.ldsum + k / 16] = (int16_t)z;
        }
    }
    return x;
}

/* All codes a type can have come from random rows; its scales are then replaced by
 * finite ones, or rarely left as the random bytes say. */
static void fill_panel(struct kc *t, struct mk_panel *p, enum mk_type type, size_t n_k, int fill)
{
    const struct mk_quant *q = &mk_quants[type];
    static uint8_t rows[MK_PANEL_ROWS * MK_PANEL_K * 4];
    const size_t stride = n_k / q->block_len * q->block_bytes;
    for (size_t i = 0; i < MK_PANEL_ROWS * stride; i++)
        rows[i] = fill == X_HIGH || fill == X_LOW ? 0xff : (uint8_t)kc_rnd(t);
    t->ref->unpack[type](p, rows, stride, MK_PANEL_ROWS, n_k);
    p->next = rows, p->n_next = kc_below(t, 2) * MK_PANEL_ROWS * stride;
    if (fill == X_HOSTILE) return;
    for (size_t g = 0; g < MK_PANEL_K / 16; g++)
        for (unsigned r = 0; r < MK_PANEL_ROWS; r++)
            p->d[g][r] = kc_rnd_f32(t), p->m[g][r] = q->has_min ? kc_rnd_f32(t) : 0.0f;
}

static struct mk_panel *panels(struct kc *t, enum mk_type type, size_t n_panel, size_t n_k,
                               int fill)
{
    struct mk_panel *p = kc_buf(n_panel * sizeof *p);
    for (size_t i = 0; i < n_panel; i++) fill_panel(t, p + i, type, n_k, fill);
    return p;
}

typedef void mul_fn(float *y, const struct mk_panel *p, size_t n_panel, const struct mk_x8 *x,
                    size_t n_col);

/* The k-th term of row r in double, by the formulas of quant.h. */
static double term(const struct mk_panel *p, const struct mk_x8 *x, size_t c, unsigned r, size_t k,
                   double *scale)
{
    const struct mk_quant *q = p->quant;
    const size_t j = k / (size_t)q->sub;
    const int code = p->q[k / 4][r][k % 4] - q->bias;
    const double v = (double)x->s[c * x->lds + k / 32] * x->q[c * x->ldq + k];
    const double a = (double)p->d[j][r] * code * v;
    const double b = q->has_min ? (double)p->m[j][r] * v : 0.0;
    *scale += fabs(a) + fabs(b);
    return a + b;
}

static bool right(struct kc *t, const float *y, const float *y0, const struct mk_panel *p,
                  const struct mk_x8 *x, size_t n_col)
{
    for (size_t i = 0; i < n_col * MK_PANEL_ROWS; i++) {
        double want = (double)y0[i], scale = fabs(want);
        for (size_t k = 0; k < p->n_k; k++)
            want += term(p, x, i / MK_PANEL_ROWS, i % MK_PANEL_ROWS, k, &scale);
        if (!kc_near((double)y[i], want, scale))
            FAIL("scalar %s n_k=%zu i=%zu: got %.9g want %.9g", p->quant->name, p->n_k, i,
                 (double)y[i], want);
    }
    return true;
}

/* One more float than the results: y need not be aligned to more than 4 bytes, and
 * what lies before or behind must stay. */
static float *results(struct kc *t, size_t n, const float *like)
{
    float *y = kc_buf((n + 1) * sizeof *y);
    if (like)
        memcpy(y, like, (n + 1) * sizeof *y);
    else
        for (size_t i = 0; i <= n; i++) y[i] = kc_rnd_any(t, false);
    return y;
}

static bool mul_case(struct kc *t, mul_fn *ref, mul_fn *tst, enum mk_type type, size_t n_k,
                     size_t n_col, int fill)
{
    kc_reset();
    const struct mk_quant *q = &mk_quants[type];
    const size_t n_panel = 1 + kc_below(t, 3), odd = kc_below(t, 2);
    const size_t each = n_col * MK_PANEL_ROWS, n = n_panel * each;
    const struct mk_panel *p = panels(t, type, n_panel, n_k, fill);
    const struct mk_x8 x = columns(t, n_k, n_col, fill);
    float *y0 = results(t, n, NULL), *a = results(t, n, y0), *b = results(t, n, y0);
    float *c = results(t, n, y0);
    ref(a + odd, p, n_panel, &x, n_col);
    tst(b + odd, p, n_panel, &x, n_col);
    for (size_t i = 0; i < n_col; i++) { /* one batch of n = n batches of one */
        const struct mk_x8 one = {x.q + i * x.ldq, x.s + i * x.lds, x.sum + i * x.ldsum, 0, 0, 0};
        for (size_t j = 0; j < n_panel; j++)
            tst(c + odd + j * each + i * MK_PANEL_ROWS, p + j, 1, &one, 1);
    }
    const size_t i = kc_differs(a, b, n + 1), j = kc_differs(b, c, n + 1);
    if (i <= n)
        FAIL("%s n_k=%zu n_panel=%zu n_col=%zu fill=%d i=%zu: got %.9g want %.9g", q->name, n_k,
             n_panel, n_col, fill, i, (double)b[i], (double)a[i]);
    if (j <= n)
        FAIL("%s n_k=%zu: %zu panels and %zu columns are not as many of 1", q->name, n_k, n_panel,
             n_col);
    if (!kc_canaries()) FAIL("%s n_k=%zu n_col=%zu: wrote outside", q->name, n_k, n_col);
    return ref != tst || fill == X_HOSTILE || right(t, a + odd, y0 + odd, p, &x, n_col);
}

/* Speed at several numbers of columns, for one type. */
static void bench_mul(struct kc *t, mul_fn *ref, mul_fn *tst, enum mk_type type)
{
    double mac = 0;
    kc_note(t, "%s", mk_quants[type].name);
    for (size_t i = 0; i < sizeof cols / sizeof *cols; i++) {
        kc_reset();
        const struct mk_panel *p = panels(t, type, 2, MK_PANEL_K, X_RANDOM);
        const struct mk_x8 x = columns(t, MK_PANEL_K, cols[i], X_RANDOM);
        float *y = results(t, 2 * cols[i] * MK_PANEL_ROWS, NULL);
        KC_TIME(t->ns_tst, tst(y, p, 2, &x, cols[i]));
        KC_TIME(t->ns_ref, ref(y, p, 2, &x, cols[i]));
        mac = 32.0 * MK_PANEL_K * (double)cols[i] / t->ns_tst;
        kc_note(t, " %.0f", mac);
    }
    kc_note(t, "=%.0f%%", 100 * mac / t->peak.int8_mac);
    kc_note(t, "  ");
}

static bool check_type(struct kc *t, mul_fn *ref, mul_fn *tst, enum mk_type type)
{
    const size_t unit = mk_quants[type].block_len;
    for (size_t n_col = 0; n_col <= 21; n_col++) {
        const size_t c = n_col <= 20 ? n_col : MAX_COL;
        for (int fill = 0; fill < N_X_FILLS; fill++) {
            const size_t n_k = unit * (1 + kc_below(t, MK_PANEL_K / unit));
            if (!mul_case(t, ref, tst, type, n_k, c, fill)) return false;
        }
    }
    for (size_t n_k = unit; n_k <= MK_PANEL_K; n_k += unit)
        for (size_t n_col = 1; n_col <= 7; n_col += 6)
            if (!mul_case(t, ref, tst, type, n_k, n_col, X_RANDOM)) return false;
    return true;
}

bool kc_mul_int(struct kc *t)
{
    mul_fn *ref = t->ref->mul_int, *tst = t->tst->mul_int;
    for (int i = 0; i < MK_N_TYPES; i++)
        if (mk_quants[i].codes && !check_type(t, ref, tst, (enum mk_type)i)) return false;
    if (!t->bench) return true;
    kc_note(t, "GMAC/s of 1 2 4 8 48 columns: ");
    static const enum mk_type some[] = {MK_Q4_0, MK_Q8_0, MK_Q4_K, MK_Q6_K, MK_Q2_K};
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) bench_mul(t, ref, tst, some[i]);
    return true;
}

/* ---- floats ------------------------------------------------------------------ */

static struct mk_panel *float_panel(struct kc *t, size_t n_k, bool any)
{
    struct mk_panel *p = kc_buf(sizeof *p);
    p->n_k = n_k;
    p->quant = &mk_quants[MK_F32];
    for (unsigned r = 0; r < MK_PANEL_ROWS; r++) {
        for (size_t k = 0; k < n_k; k++) p->f[k][r] = any ? kc_rnd_any(t, true) : kc_rnd_f32(t);
        for (size_t g = 0; g * 128 < n_k; g++) p->d[g][r] = kc_rnd_f32(t);
    }
    return p;
}

static float *floats(struct kc *t, size_t n, bool any)
{
    float *x = kc_buf(n * sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = any ? kc_rnd_any(t, true) : kc_rnd_f32(t);
    return x;
}

static bool right_f32(struct kc *t, const float *y, const float *y0, const struct mk_panel *p,
                      const float *x, size_t ldx, size_t n_col)
{
    for (size_t i = 0; i < n_col * MK_PANEL_ROWS; i++) {
        const size_t c = i / MK_PANEL_ROWS, r = i % MK_PANEL_ROWS;
        double want = (double)y0[i], scale = fabs(want);
        for (size_t k = 0; k < p->n_k; k++) {
            const double v = (double)p->d[k / 128][r] * (double)p->f[k][r] * (double)x[c * ldx + k];
            want += v, scale += fabs(v);
        }
        if (!kc_near((double)y[i], want, scale))
            FAIL("scalar n_k=%zu i=%zu: got %.9g want %.9g", p->n_k, i, (double)y[i], want);
    }
    return true;
}

static bool mul_f32_case(struct kc *t, size_t n_k, size_t n_col, bool any)
{
    kc_reset();
    const size_t ldx = n_k + kc_below(t, 3), n = n_col * MK_PANEL_ROWS, odd = kc_below(t, 2);
    const struct mk_panel *p = float_panel(t, n_k, any);
    const float *x = floats(t, n_col ? (n_col - 1) * ldx + n_k : 0, any);
    float *y0 = results(t, n, NULL), *a = results(t, n, y0), *b = results(t, n, y0);
    float *c = results(t, n, y0);
    t->ref->mul_f32(a + odd, p, x, ldx, n_col);
    t->tst->mul_f32(b + odd, p, x, ldx, n_col);
    for (size_t i = 0; i < n_col; i++)
        t->tst->mul_f32(c + odd + i * MK_PANEL_ROWS, p, x + i * ldx, 0, 1);
    const size_t i = kc_differs(a, b, n + 1), j = kc_differs(b, c, n + 1);
    if (i <= n)
        FAIL("n_k=%zu n_col=%zu i=%zu: got %.9g want %.9g", n_k, n_col, i, (double)b[i],
             (double)a[i]);
    if (j <= n) FAIL("n_k=%zu: a batch of %zu is not %zu of 1", n_k, n_col, n_col);
    if (!kc_canaries()) FAIL("n_k=%zu n_col=%zu: wrote outside", n_k, n_col);
    return t->ref != t->tst || any || right_f32(t, a + odd, y0 + odd, p, x, ldx, n_col);
}

static void bench_f32(struct kc *t)
{
    double mac = 0;
    kc_note(t, "GMAC/s of 1 2 4 8 48 columns:");
    for (size_t i = 0; i < sizeof cols / sizeof *cols; i++) {
        kc_reset();
        const struct mk_panel *p = float_panel(t, MK_PANEL_K_F32, false);
        const float *x = floats(t, cols[i] * MK_PANEL_K_F32, false);
        float *y = results(t, cols[i] * MK_PANEL_ROWS, NULL);
        KC_TIME(t->ns_ref, t->ref->mul_f32(y, p, x, MK_PANEL_K_F32, cols[i]));
        KC_TIME(t->ns_tst, t->tst->mul_f32(y, p, x, MK_PANEL_K_F32, cols[i]));
        mac = 16.0 * MK_PANEL_K_F32 * (double)cols[i] / t->ns_tst;
        kc_note(t, " %.1f", mac);
    }
    kc_note(t, "=%.0f%%", 100 * mac / t->peak.f32_mac);
}

bool kc_mul_f32(struct kc *t)
{
    static const size_t ks[] = {1, 2, 3, 4, 5, 31, 32, 127, 128, 129, 192, 255, 256};
    for (size_t i = 0; i < sizeof ks / sizeof *ks; i++)
        for (size_t n_col = 0; n_col <= 21; n_col++)
            for (int any = 0; any < 2; any++)
                if (!mul_f32_case(t, ks[i], n_col <= 20 ? n_col : MAX_COL, any)) return false;
    if (t->bench) bench_f32(t);
    return true;
}

static bool mul_t_case(struct kc *t, size_t n_r, size_t n_j, size_t n_col, bool any)
{
    kc_reset();
    const size_t ldw = n_j + kc_below(t, 3), ldx = n_r + kc_below(t, 3), ldy = n_j + kc_below(t, 3);
    const float *w = floats(t, n_r ? (n_r - 1) * ldw + n_j : 0, any);
    const float *x = floats(t, n_col ? (n_col - 1) * ldx + n_r : 0, any);
    const size_t n = n_col * ldy;
    float *y0 = results(t, n, NULL), *a = results(t, n, y0), *b = results(t, n, y0);
    t->ref->mul_t(a, ldy, w, ldw, n_r, n_j, x, ldx, n_col);
    t->tst->mul_t(b, ldy, w, ldw, n_r, n_j, x, ldx, n_col);
    const size_t i = kc_differs(a, b, n + 1);
    if (i <= n)
        FAIL("n_r=%zu n_j=%zu n_col=%zu i=%zu: got %.9g want %.9g", n_r, n_j, n_col, i,
             (double)b[i], (double)a[i]);
    if (!kc_canaries()) FAIL("n_r=%zu n_j=%zu n_col=%zu: wrote outside", n_r, n_j, n_col);
    for (size_t k = 0; t->ref == t->tst && !any && k < n_col * n_j; k++) {
        const size_t c = k / n_j, j = k % n_j;
        double want = (double)y0[c * ldy + j], scale = fabs(want);
        for (size_t r = 0; r < n_r; r++) {
            const double v = (double)x[c * ldx + r] * (double)w[r * ldw + j];
            want += v, scale += fabs(v);
        }
        if (!kc_near((double)a[c * ldy + j], want, scale)) FAIL("scalar c=%zu j=%zu", c, j);
    }
    return true;
}

bool kc_mul_t(struct kc *t)
{
    static const size_t js[] = {0, 1, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 100, 128, 512};
    static const size_t rs[] = {0, 1, 2, 7, 64};
    for (size_t j = 0; j < sizeof js / sizeof *js; j++)
        for (size_t r = 0; r < sizeof rs / sizeof *rs; r++)
            for (size_t n_col = 0; n_col <= 9; n_col++)
                for (int any = 0; any < 2; any++)
                    if (!mul_t_case(t, rs[r], js[j], n_col, any)) return false;
    if (!mul_t_case(t, 512, 128, 33, false)) return false;
    if (!t->bench) return true;
    double mac = 0;
    kc_note(t, "GMAC/s of 1 2 4 8 48 columns:");
    for (size_t i = 0; i < sizeof cols / sizeof *cols; i++) {
        kc_reset();
        const size_t n_r = 128, n_j = 128;
        const float *w = floats(t, n_r * n_j, false), *x = floats(t, cols[i] * n_r, false);
        float *y = results(t, cols[i] * n_j, NULL);
        KC_TIME(t->ns_ref, t->ref->mul_t(y, n_j, w, n_j, n_r, n_j, x, n_r, cols[i]));
        KC_TIME(t->ns_tst, t->tst->mul_t(y, n_j, w, n_j, n_r, n_j, x, n_r, cols[i]));
        mac = (double)(n_r * n_j * cols[i]) / t->ns_tst;
        kc_note(t, " %.1f", mac);
    }
    kc_note(t, "=%.0f%%", 100 * mac / t->peak.f32_mac);
    return true;
}

static bool f16_case(struct kc *t, size_t n_row, size_t n_j, size_t n_col, bool any)
{
    kc_reset();
    const size_t ldw = n_j + kc_below(t, 3), ldx = n_col + kc_below(t, 3);
    const size_t ldy = n_j + kc_below(t, 3), n_w = n_row ? (n_row - 1) * ldw + n_j : 0;
    const float *x = floats(t, n_row ? (n_row - 1) * ldx + n_col : 0, any);
    uint16_t *w = kc_buf(n_w * sizeof *w);
    for (size_t i = 0; i < n_w; i++)
        w[i] = any && !kc_below(t, 50) ? (uint16_t)kc_rnd(t) : mk_f32_f16(kc_rnd_f32(t));
    const size_t n = n_col * ldy;
    float *y0 = results(t, n, NULL), *a = results(t, n, y0), *b = results(t, n, y0);
    t->ref->mul_t_f16(a, ldy, w, ldw, n_row, n_j, x, ldx, n_col);
    t->tst->mul_t_f16(b, ldy, w, ldw, n_row, n_j, x, ldx, n_col);
    const size_t i = kc_differs(a, b, n + 1);
    if (i <= n)
        FAIL("n_row=%zu n_j=%zu n_col=%zu i=%zu: got %.9g want %.9g", n_row, n_j, n_col, i,
             (double)b[i], (double)a[i]);
    if (!kc_canaries()) FAIL("n_row=%zu n_j=%zu n_col=%zu: wrote outside", n_row, n_j, n_col);
    for (size_t k = 0; t->ref == t->tst && !any && k < n_col * n_j; k++) {
        const size_t c = k / n_j, j = k % n_j;
        double want = (double)y0[c * ldy + j], scale = fabs(want);
        for (size_t r = 0; r < n_row; r++) {
            const double v = (double)x[r * ldx + c] * (double)mk_f16_f32(w[r * ldw + j]);
            want += v, scale += fabs(v);
        }
        if (!kc_near((double)a[c * ldy + j], want, scale)) FAIL("scalar c=%zu j=%zu", c, j);
    }
    return true;
}

/* A tile of keys and a head's values, as they lie among those of eight heads. */
static void bench_f16(struct kc *t)
{
    enum { ROWS = 64, WIDTH = 128, HEADS = 8, LD = WIDTH * HEADS };
    double mac = 0;
    kc_note(t, "GMAC/s of 1 2 4 8 48 columns:");
    for (size_t i = 0; i < sizeof cols / sizeof *cols; i++) {
        kc_reset();
        uint16_t *w = kc_buf(ROWS * LD * sizeof *w);
        for (size_t k = 0; k < ROWS * LD; k++) w[k] = mk_f32_f16(kc_rnd_f32(t));
        const float *x = floats(t, ROWS * cols[i], false);
        float *y = results(t, cols[i] * WIDTH, NULL);
        KC_TIME(t->ns_ref, t->ref->mul_t_f16(y, WIDTH, w, LD, ROWS, WIDTH, x, cols[i], cols[i]));
        KC_TIME(t->ns_tst, t->tst->mul_t_f16(y, WIDTH, w, LD, ROWS, WIDTH, x, cols[i], cols[i]));
        mac = (double)(ROWS * WIDTH * cols[i]) / t->ns_tst;
        kc_note(t, " %.1f", mac);
    }
    kc_note(t, "=%.0f%%", 100 * mac / t->peak.f32_mac);
}

bool kc_mul_t_f16(struct kc *t)
{
    static const size_t js[] = {0, 16, 32, 48, 64, 80, 128}, rows[] = {0, 1, 2, 63, 64, 65, 130};
    for (size_t j = 0; j < sizeof js / sizeof *js; j++)
        for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
            for (size_t n_col = 0; n_col <= 27; n_col++)
                if (!f16_case(t, rows[r], js[j], n_col, kc_below(t, 2))) return false;
    if (!f16_case(t, 64, 128, 130, false)) return false;
    if (t->bench) bench_f16(t);
    return true;
}
