/* Products of weights that bf16 can hold: panels of pairs, rows as they are stored, and their one
 * definition, which must be right to the bit: subnormal numbers, cancellation, NaN. */
#include "base/half.h"
#include "kcheck.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_K = 2048, MAX_COL = 29, MAX_PANEL = 9 };

/* SMALL: products of two are near the least normal number.  ANY: all bits. */
enum { P_PLAIN, P_SMALL, P_ANY, N_P_FILLS };

static uint16_t bf16_value(struct kc *t, int fill)
{
    const uint32_t u = kc_rnd(t);
    const uint32_t exponent = fill == P_SMALL ? 60 + u % 8 : 118 + u % 12;
    return (uint16_t)(fill == P_ANY ? u >> 16 : (u >> 16 & 0x807fu) | exponent << 7);
}

static float float_value(struct kc *t, int fill)
{
    const uint32_t u = kc_rnd(t), v = kc_rnd(t);
    const uint32_t exponent = fill == P_SMALL ? v % 6 : 118 + v % 12;
    return mk_bits_f32(fill == P_ANY ? u : (u & 0x807fffffu) | exponent << 23);
}

static uint16_t *columns(struct kc *t, size_t n, int fill)
{
    uint16_t *x = kc_buf(n * sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = bf16_value(t, fill);
    return x;
}

static float *results(struct kc *t, size_t n, int fill, const float *like)
{
    float *y = kc_buf(n * sizeof *y);
    for (size_t i = 0; i < n; i++) y[i] = like ? like[i] : float_value(t, fill);
    return y;
}

/* ---- panels ------------------------------------------------------------------ */

static bool same_weight(uint16_t a, uint16_t b) { return kc_same(mk_bf16_f32(a), mk_bf16_f32(b)); }

/* The panel holds what decode makes of the rows, and nothing in rows that do not exist. */
static bool right_panel(struct kc *t, const struct mk_panel *p, const uint8_t *rows, size_t stride,
                        unsigned n_rows, size_t n_k)
{
    float w[MK_PANEL_K_PAIRS];
    for (unsigned r = 0; r < MK_PANEL_ROWS; r++) {
        memset(w, 0, sizeof w);
        if (r < n_rows) mk_quants[t->type].decode(w, rows + r * stride, n_k);
        for (size_t k = 0; k < n_k; k++)
            if (!same_weight(p->w[k / 2][r][k % 2], (uint16_t)(mk_f32_bits(w[k]) >> 16)))
                FAIL("n_k=%zu n_rows=%u r=%u k=%zu: %04x, want %.9g", n_k, n_rows, r, k,
                     p->w[k / 2][r][k % 2], (double)w[k]);
        for (size_t g = 0; g * 128 < n_k; g++)
            if (p->d[g][r] != (r < n_rows ? 1.0f : 0.0f)) FAIL("n_rows=%u r=%u: d", n_rows, r);
    }
    return true;
}

bool kc_unpack_pairs(struct kc *t)
{
    if (!t->tst->unpack_pairs[t->type]) return true;
    const size_t bytes = mk_quants[t->type].block_bytes;
    for (size_t n_k = 32; n_k <= MK_PANEL_K_PAIRS; n_k += 32)
        for (unsigned n_rows = 1; n_rows <= MK_PANEL_ROWS; n_rows++) {
            kc_reset();
            const size_t stride = n_k * bytes + kc_below(t, 3), n = stride * n_rows;
            uint8_t *w = kc_buf(n - (stride - n_k * bytes));
            for (size_t i = 0; i < n - (stride - n_k * bytes); i++) w[i] = (uint8_t)kc_rnd(t);
            struct mk_panel *p = kc_buf(sizeof *p);
            t->tst->unpack_pairs[t->type](p, w, stride, n_rows, n_k);
            if (p->n_k != n_k || p->quant != &mk_quants[t->type]) FAIL("n_k=%zu: head", n_k);
            if (!right_panel(t, p, w, stride, n_rows, n_k)) return false;
            if (!kc_canaries()) FAIL("n_k=%zu: wrote outside", n_k);
        }
    if (!t->bench) return true;
    static uint8_t rows[MK_PANEL_ROWS][MK_PANEL_K_PAIRS * 2];
    static struct mk_panel p;
    KC_TIME(t->ns_ref, t->ref->unpack_pairs[t->type](&p, rows[0], sizeof rows[0], MK_PANEL_ROWS,
                                                     MK_PANEL_K_PAIRS));
    KC_TIME(t->ns_tst, t->tst->unpack_pairs[t->type](&p, rows[0], sizeof rows[0], MK_PANEL_ROWS,
                                                     MK_PANEL_K_PAIRS));
    kc_note(t, "%.1f weights/ns", 16.0 * MK_PANEL_K_PAIRS / t->ns_tst);
    return true;
}

/* ---- panels times columns ------------------------------------------------------ */

static struct mk_panel *panels(struct kc *t, size_t n, size_t n_k, int fill)
{
    struct mk_panel *p = kc_buf(n * sizeof *p);
    for (size_t i = 0; i < n; i++) {
        p[i].n_k = n_k;
        p[i].quant = &mk_quants[MK_BF16];
        for (size_t k = 0; k < n_k; k++)
            for (unsigned r = 0; r < MK_PANEL_ROWS; r++)
                p[i].w[k / 2][r][k % 2] = bf16_value(t, fill);
        for (size_t g = 0; g * 128 < n_k; g++)
            for (unsigned r = 0; r < MK_PANEL_ROWS; r++)
                p[i].d[g][r] = fill == P_PLAIN ? float_value(t, fill) : 1.0f;
    }
    return p;
}

/* The scalar version itself, against double. */
static bool right_sums(struct kc *t, const float *y, const float *y0, const struct mk_panel *p,
                       const uint16_t *x, size_t ldx, size_t n_col)
{
    for (size_t i = 0; i < n_col * MK_PANEL_ROWS; i++) {
        const size_t c = i / MK_PANEL_ROWS, r = i % MK_PANEL_ROWS;
        double want = (double)y0[i], scale = fabs(want);
        for (size_t k = 0; k < p->n_k; k++) {
            const double v = (double)p->d[k / 128][r] * (double)mk_bf16_f32(p->w[k / 2][r][k % 2]) *
                             (double)mk_bf16_f32(x[c * ldx + k]);
            want += v, scale += fabs(v);
        }
        if (!kc_near((double)y[i], want, scale))
            FAIL("scalar n_k=%zu i=%zu: got %.9g want %.9g", p->n_k, i, (double)y[i], want);
    }
    return true;
}

static bool mul_case(struct kc *t, size_t n_panel, size_t n_k, size_t n_col, int fill)
{
    kc_reset();
    const size_t ldx = n_k + kc_below(t, 3), n = n_panel * n_col * MK_PANEL_ROWS;
    const struct mk_panel *p = panels(t, n_panel, n_k, fill);
    const uint16_t *x = columns(t, n_col ? (n_col - 1) * ldx + n_k : 0, fill);
    const float *y0 = results(t, n, fill, NULL);
    float *a = results(t, n, fill, y0), *b = results(t, n, fill, y0), *c = results(t, n, fill, y0);
    t->ref->mul_pairs(a, p, n_panel, x, ldx, n_col);
    t->tst->mul_pairs(b, p, n_panel, x, ldx, n_col);
    for (size_t i = 0; i < n_panel * n_col; i++)
        t->tst->mul_pairs(c + i * MK_PANEL_ROWS, p + i / n_col, 1, x + i % n_col * ldx, 0, 1);
    const size_t i = kc_differs(a, b, n), j = kc_differs(b, c, n);
    if (i < n)
        FAIL("fill %d: %zu panels, n_k=%zu n_col=%zu i=%zu: got %a want %a", fill, n_panel, n_k,
             n_col, i, (double)b[i], (double)a[i]);
    if (j < n) FAIL("n_k=%zu: %zu panels by %zu are not as many of 1", n_k, n_panel, n_col);
    if (!kc_canaries()) FAIL("n_k=%zu n_col=%zu: wrote outside", n_k, n_col);
    return t->ref != t->tst || fill != P_PLAIN || !n_panel ||
           right_sums(t, a, y0, p, x, ldx, n_col);
}

/* 2^-126 - m 2^-151 in row 0: what rounds to less than the least normal number is zero. */
static bool flushes(struct kc *t)
{
    static const struct {
        float m, want;
    } cases[] = {{0.5f, FLT_MIN}, {1.0f, FLT_MIN}, {1.25f, 0.0f}, {2.0f, 0.0f}, {4.0f, 0.0f}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        kc_reset();
        struct mk_panel *p = kc_buf(sizeof *p);
        uint16_t *x = kc_buf(32 * sizeof *x);
        float *y = kc_buf(MK_PANEL_ROWS * sizeof *y);
        memset(p, 0, sizeof *p), memset(x, 0, 32 * sizeof *x), memset(y, 0, sizeof *y);
        p->n_k = 32, p->quant = &mk_quants[MK_BF16], p->d[0][0] = 1.0f;
        p->w[0][0][0] = x[0] = mk_f32_bf16(0x1p-63f);
        p->w[1][0][1] = mk_f32_bf16(-cases[i].m * 0x1p-100f), x[3] = mk_f32_bf16(0x1p-51f);
        t->tst->mul_pairs(y, p, 1, x, 0, 1);
        if (y[0] != cases[i].want)
            FAIL("case %zu: %a, want %a", i, (double)y[0], (double)cases[i].want);
    }
    return true;
}

static void bench_mul(struct kc *t)
{
    static const size_t cols[] = {1, 2, 4, 8, 48};
    double mac = 0;
    kc_note(t, "GMAC/s of 1 2 4 8 48 columns:");
    for (size_t i = 0; i < sizeof cols / sizeof *cols; i++) {
        kc_reset();
        const struct mk_panel *p = panels(t, 8, 256, P_PLAIN);
        const uint16_t *x = columns(t, cols[i] * 256, P_PLAIN);
        float *y = results(t, 8 * cols[i] * MK_PANEL_ROWS, P_PLAIN, NULL);
        if (i == 0) KC_TIME(t->ns_ref, t->ref->mul_pairs(y, p, 8, x, 256, cols[i]));
        KC_TIME(t->ns_tst, t->tst->mul_pairs(y, p, 8, x, 256, cols[i]));
        if (i == 0) t->ns_ref *= 48; /* of the last */
        mac = 8.0 * 16 * 256 * (double)cols[i] / t->ns_tst;
        kc_note(t, " %.1f", mac);
    }
    kc_note(t, "=%.0f%%", 100 * mac / t->peak.bf16_mac);
}

bool kc_mul_pairs(struct kc *t)
{
    static const size_t ks[] = {32, 64, 96, 128, 160, 256, 288, 480, 512};
    for (size_t i = 0; i < sizeof ks / sizeof *ks; i++)
        for (size_t n_col = 0; n_col <= MAX_COL; n_col++)
            for (int fill = 0; fill < N_P_FILLS; fill++)
                if (!mul_case(t, kc_below(t, 1 + MAX_PANEL / (1 + n_col / 6)), ks[i], n_col, fill))
                    return false;
    for (size_t n = 0; n <= MAX_PANEL; n++)
        if (!mul_case(t, n, 160, 17, P_PLAIN)) return false;
#if defined(__aarch64__)
    const bool is_exact = t->ref == t->tst; /* see neon/pairs.c */
#else
    const bool is_exact = true;
#endif
    if (is_exact && !flushes(t)) return false;
    if (t->bench) bench_mul(t);
    return true;
}

/* ---- rows as they are stored --------------------------------------------------- */

static void by_panels(const struct mk_kernels *k, enum mk_type type, float *y, const uint8_t *rows,
                      size_t stride, const float *d, const uint16_t *x, size_t ldx, size_t n_k,
                      size_t n_col)
{
    static struct mk_panel p;
    for (size_t at = 0; at < n_k; at += 128) {
        k->unpack_pairs[type](&p, rows + at * mk_quants[type].block_bytes, stride, MK_PANEL_ROWS,
                              n_k - at < 128 ? n_k - at : 128);
        for (unsigned r = 0; d && r < MK_PANEL_ROWS; r++) p.d[0][r] = d[at / 128];
        k->mul_pairs(y, &p, 1, x + at, ldx, n_col);
    }
}

static void fill_rows(struct kc *t, uint8_t *w, size_t n, int fill)
{
    if (t->type == MK_BF16)
        for (size_t i = 0; i + 2 <= n; i += 2) {
            const uint16_t v = bf16_value(t, fill);
            memcpy(w + i, &v, sizeof v);
        }
    else
        for (size_t i = 0; i < n; i++)
            w[i] = fill == P_ANY || kc_rnd(t) % 8 ? (uint8_t)(kc_rnd(t) & 0xbf) : 0x3;
    for (size_t i = 0; fill == P_ANY && i < n; i++) w[i] = (uint8_t)kc_rnd(t);
}

static bool gemv_case(struct kc *t, size_t n_k, size_t n_col, size_t gap, int fill)
{
    kc_reset();
    const size_t bytes = mk_quants[t->type].block_bytes, stride = (n_k + gap) * bytes;
    const size_t ldx = n_k + kc_below(t, 3), n = n_col * MK_PANEL_ROWS,
                 size = 15 * stride + n_k * bytes;
    uint8_t *w = kc_buf(size);
    fill_rows(t, w, size, fill);
    const uint16_t *x = columns(t, n_col ? (n_col - 1) * ldx + n_k : 0, fill);
    const float *d = kc_below(t, 2) ? results(t, (n_k + 127) / 128, P_PLAIN, NULL) : NULL;
    const float *y0 = results(t, n, fill, NULL);
    float *a = results(t, n, fill, y0), *b = results(t, n, fill, y0), *c = results(t, n, fill, y0);
    t->ref->gemv_pairs[t->type](a, w, stride, d, x, ldx, n_k, n_col);
    t->tst->gemv_pairs[t->type](b, w, stride, d, x, ldx, n_k, n_col);
    by_panels(t->tst, t->type, c, w, stride, d, x, ldx, n_k, n_col);
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

/* Rows of 1536, from the cache and from memory; from there with two columns too. */
static void bench_gemv(struct kc *t)
{
    enum { N_K = 1536 };
    static uint8_t memory[160 << 20];
    static uint16_t x[2 * N_K];
    const size_t row = N_K * mk_quants[t->type].block_bytes, n = sizeof memory / (16 * row);
    const size_t by = kc_apart(t);
    float y[2 * MK_PANEL_ROWS] = {0};
    double far[2] = {0};
    memset(memory, 1, sizeof memory);
    KC_TIME(t->ns_ref, t->ref->gemv_pairs[t->type](y, memory, row, NULL, x, N_K, N_K, 1));
    KC_TIME(t->ns_tst, t->tst->gemv_pairs[t->type](y, memory, row, NULL, x, N_K, N_K, 1));
    for (size_t c = 0; c < 2; c++)
        KC_TIME(far[c], for (size_t i = 0; i < n / by * by; i++) t->tst->gemv_pairs[t->type](
                            y, memory + kc_strip(i, by) * row, by * row, NULL, x, N_K, N_K, c + 1));
    kc_note(t, "%5.1f GB/s cached, %5.1f from memory, %5.1f with two columns",
            16.0 * (double)row / t->ns_tst, 16.0 * (double)(n / by * by * row) / far[0],
            16.0 * (double)(n / by * by * row) / far[1]);
}

bool kc_gemv_pairs(struct kc *t)
{
    static const size_t gaps[] = {0, 1, 2, 32, 1000};
    if (!t->tst->gemv_pairs[t->type]) return true;
    for (size_t n_k = 32; n_k <= MAX_K; n_k += 32)
        for (int fill = 0; fill < N_P_FILLS; fill++) {
            if (!gemv_case(t, n_k, kc_below(t, 6), gaps[kc_below(t, 5)], fill)) return false;
            if (!gemv_case(t, n_k, 1, 0, fill)) return false;
            /* some kernels go another way where rows fall into the same lines of a cache */
            if (!gemv_case(t, n_k, kc_below(t, 6), MAX_K - n_k, fill)) return false;
        }
    kc_reset();
    if (t->bench && t->tst != t->ref) bench_gemv(t);
    return true;
}
