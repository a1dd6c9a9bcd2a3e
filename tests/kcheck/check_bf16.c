/* The bf16 product and what packs its operands.  Packing is exact.  Products are held
 * against double, and against themselves: however rows and columns are split into calls,
 * every result has the same bits. */
#include "base/half.h"
#include "kcheck.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What the operands look like; SPECIAL has infinities and NaN here and there. */
enum { B_RANDOM, B_TINY, B_SPECIAL, N_B_FILLS };

static uint16_t bf16_value(struct kc *t, int fill)
{
    static const float special[] = {INFINITY, -INFINITY, NAN};
    if (fill == B_SPECIAL && !kc_below(t, 300)) return mk_f32_bf16(special[kc_below(t, 3)]);
    return mk_f32_bf16(fill == B_TINY ? 1e-39f * kc_rnd_f32(t) : 0.5f + kc_rnd_f32(t));
}

static uint16_t *bf16_values(struct kc *t, size_t n, int fill)
{
    uint16_t *x = kc_buf(n * sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = bf16_value(t, fill);
    return x;
}

/* The operands of one product; slack lies between rows, and nothing after the last. */
struct product {
    const uint16_t *x, *w;
    size_t ldx, ldw, ldy, n_row, n_k, n_col;
};

static size_t extent(size_t rows, size_t ld, size_t n) { return rows ? (rows - 1) * ld + n : 0; }

static struct product product(struct kc *t, size_t n_row, size_t n_k, size_t n_col, int fill)
{
    struct product p = {.n_row = n_row, .n_k = n_k, .n_col = n_col};
    p.ldx = n_k + kc_below(t, 3);
    p.ldw = n_col + kc_below(t, 3) * (kc_below(t, 2) ? 16 : 1);
    p.ldy = n_col + kc_below(t, 3);
    p.x = bf16_values(t, extent(n_row, p.ldx, n_k), fill);
    p.w = bf16_values(t, 2 * extent(n_k / 2, p.ldw, n_col), fill == B_TINY ? B_RANDOM : fill);
    return p;
}

static void multiply(const struct kc *t, float *y, const struct product *p, bool is_sum)
{
    t->tst->mul_bf16(y, p->ldy, p->x, p->ldx, p->w, p->ldw, p->n_row, p->n_k, p->n_col, is_sum);
}

static bool right_bf16(struct kc *t, const float *y, const struct product *p)
{
    for (size_t r = 0; r < p->n_row; r++)
        for (size_t j = 0; j < p->n_col; j++) {
            double want = 0, scale = 0;
            for (size_t k = 0; k < p->n_k; k++) {
                const uint16_t w = p->w[(k / 2 * p->ldw + j) * 2 + k % 2];
                const double v = (double)mk_bf16_f32(p->x[r * p->ldx + k]) * (double)mk_bf16_f32(w);
                want += v, scale += fabs(v);
            }
            const double got = (double)y[r * p->ldy + j];
            if (!kc_near(got, want, scale))
                FAIL("%zu x %zu x %zu at %zu, %zu: got %.9g want %.9g", p->n_row, p->n_k, p->n_col,
                     r, j, got, want);
        }
    return true;
}

/* Rows, then columns, cut at random places; the pieces written to y. */
static void in_pieces(struct kc *t, float *y, const struct product *p)
{
    for (size_t r = 0, n_row; r < p->n_row; r += n_row) {
        n_row = 1 + kc_below(t, p->n_row - r);
        for (size_t c = 0, n_col; c < p->n_col; c += n_col) {
            n_col = 16 * (1 + kc_below(t, (p->n_col - c) / 16));
            struct product q = *p;
            q.x += r * p->ldx, q.n_row = n_row;
            q.w += 2 * c, q.n_col = n_col;
            multiply(t, y + r * p->ldy + c, &q, false);
        }
    }
}

static bool bf16_case(struct kc *t, size_t n_row, size_t n_k, size_t n_col, int fill)
{
    kc_reset();
    const struct product p = product(t, n_row, n_k, n_col, fill);
    const size_t n = extent(n_row, p.ldy, n_col);
    float *y0 = kc_buf(n * sizeof *y0), *a = kc_buf(n * sizeof *a);
    float *b = kc_buf(n * sizeof *b), *c = kc_buf(n * sizeof *c);
    for (size_t i = 0; i < n; i++) a[i] = b[i] = c[i] = y0[i] = kc_rnd_f32(t);
    multiply(t, a, &p, false);
    multiply(t, b, &p, true);
    in_pieces(t, c, &p);
    if (!kc_canaries()) FAIL("%zu x %zu x %zu: wrote outside", n_row, n_k, n_col);
    for (size_t i = 0; i < n; i++) {
        const bool is_slack = i % p.ldy >= n_col;
        if (!kc_same(b[i], is_slack ? y0[i] : y0[i] + a[i]) || (is_slack && a[i] != y0[i]))
            FAIL("%zu x %zu x %zu: %s at %zu", n_row, n_k, n_col, is_slack ? "slack" : "sum", i);
    }
    const size_t d = kc_differs(a, c, n);
    if (d < n)
        FAIL("%zu x %zu x %zu at %zu: %.9g, in pieces %.9g", n_row, n_k, n_col, d, (double)a[d],
             (double)c[d]);
    return right_bf16(t, a, &p);
}

/* One shape, timed: GMAC/s and the share of the peak. */
static double bench_shape(struct kc *t, mk_mul_bf16_fn *mul, size_t n_row, size_t n_k, size_t n_col)
{
    uint16_t *x = aligned_alloc(64, n_row * n_k * 2), *w = aligned_alloc(64, n_k * n_col * 2);
    float *y = aligned_alloc(64, n_row * n_col * sizeof *y);
    if (!x || !w || !y) abort();
    for (size_t i = 0; i < n_row * n_k; i++) x[i] = bf16_value(t, B_RANDOM);
    for (size_t i = 0; i < n_k * n_col; i++) w[i] = bf16_value(t, B_RANDOM);
    double ns;
    KC_TIME(ns, mul(y, n_col, x, n_k, w, n_col, n_row, n_k, n_col, false));
    const double mac = (double)(n_row * n_k * n_col) / ns;
    kc_note(t, " %zux%zux%zu %.0f=%.0f%%", n_row, n_k, n_col, mac, 100 * mac / t->peak.bf16_mac);
    free(x), free(w), free(y);
    return ns;
}

/* Matrices that small models train with. */
static void bench_bf16(struct kc *t)
{
    t->ns_ref = bench_shape(t, t->ref->mul_bf16, 16, 128, 128);
    t->note[0] = 0;
    kc_note(t, "GMAC/s");
    t->ns_tst = bench_shape(t, t->tst->mul_bf16, 16, 128, 128);
    if (t->ref == t->tst) return;
    bench_shape(t, t->tst->mul_bf16, 64, 256, 256);
    bench_shape(t, t->tst->mul_bf16, 512, 256, 256);
    bench_shape(t, t->tst->mul_bf16, 2048, 256, 640);
    bench_shape(t, t->tst->mul_bf16, 2048, 640, 256);
}

bool kc_mul_bf16(struct kc *t)
{
    static const size_t rows[] = {0,  1,  2,  3,  7,  8,  9,  12, 13, 15, 16, 17,
                                  24, 31, 32, 33, 47, 48, 49, 63, 64, 65, 80, 97};
    static const size_t cols[] = {0, 16, 32, 48, 64, 80, 96, 112, 128, 144};
    enum { N_ROWS = sizeof rows / sizeof *rows, N_COLS = sizeof cols / sizeof *cols };
    for (size_t r = 0; r < N_ROWS; r++)
        for (size_t c = r % 4; c < N_COLS; c += 4) {
            const int fill = (int)kc_below(t, N_B_FILLS);
            if (!bf16_case(t, rows[r], 32 * (1 + kc_below(t, 4)), cols[c], fill)) return false;
        }
    for (int fill = 0; fill < N_B_FILLS; fill++)
        if (!bf16_case(t, 33, 640, 64, fill) || !bf16_case(t, 5, 1536, 48, fill) ||
            !bf16_case(t, 17, 0, 32, fill))
            return false;
    if (t->bench) bench_bf16(t);
    return true;
}

/* ---- rows as they are stored ------------------------------------------------- */

/* w is n_row x n_j, of n_k rows; n_col columns. */
static bool stored_case(struct kc *t, size_t n_row, size_t n_k, size_t n_j, size_t n_col, int fill)
{
    kc_reset();
    const size_t ldw = n_j + kc_below(t, 3), ldx = n_k + kc_below(t, 3), ldy = n_j + kc_below(t, 3);
    const uint16_t *w = bf16_values(t, extent(n_row, ldw, n_j), fill);
    const uint16_t *x = bf16_values(t, extent(n_col, ldx, n_k), fill == B_TINY ? B_RANDOM : fill);
    const size_t n = extent(n_col, ldy, n_j);
    float *a = kc_buf(n * sizeof *a), *b = kc_buf(n * sizeof *b);
    for (size_t i = 0; i < n; i++) a[i] = b[i] = kc_rnd_f32(t);
    uint16_t *pairs = kc_buf(n_k * n_j * sizeof *pairs);
    memset(pairs, 0, n_k * n_j * sizeof *pairs);
    for (size_t r = 0; r < n_row; r += 2)
        t->tst->zip_bf16(pairs + r * n_j, w + r * ldw, r + 1 < n_row ? w + (r + 1) * ldw : NULL,
                         n_j);
    t->tst->mul_t_bf16(a, ldy, w, ldw, n_row, n_j, x, ldx, n_k, n_col);
    t->tst->mul_bf16(b, ldy, x, ldx, pairs, n_j, n_col, n_k, n_j, true);
    if (!kc_canaries()) FAIL("%zu of %zu x %zu, %zu: wrote outside", n_row, n_k, n_j, n_col);
    const size_t d = kc_differs(a, b, n);
    if (d < n)
        FAIL("%zu of %zu x %zu, %zu at %zu: %.9g, by pairs %.9g", n_row, n_k, n_j, n_col, d,
             (double)a[d], (double)b[d]);
    return true;
}

/* Latent attention's values and eight heads. */
static void bench_stored(struct kc *t)
{
    enum { ROWS = 64, COLS = 8, WIDTH = 512 };
    kc_reset();
    const uint16_t *w = bf16_values(t, ROWS * WIDTH, B_RANDOM);
    const uint16_t *x = bf16_values(t, COLS * ROWS, B_RANDOM);
    float *y = kc_buf(COLS * WIDTH * sizeof *y);
    KC_TIME(t->ns_ref, t->ref->mul_t_bf16(y, WIDTH, w, WIDTH, ROWS, WIDTH, x, ROWS, ROWS, COLS));
    KC_TIME(t->ns_tst, t->tst->mul_t_bf16(y, WIDTH, w, WIDTH, ROWS, WIDTH, x, ROWS, ROWS, COLS));
    const double mac = ROWS * COLS * WIDTH / t->ns_tst;
    kc_note(t, "%.0f GMAC/s=%.0f%%", mac, 100 * mac / t->peak.bf16_mac);
}

bool kc_mul_t_bf16(struct kc *t)
{
    static const size_t rows[] = {0, 1, 2, 31, 32, 33, 63, 64}, widths[] = {0, 16, 32, 48, 128};
    enum { N_ROWS = sizeof rows / sizeof *rows, N_WIDTHS = sizeof widths / sizeof *widths };
    for (size_t n_col = 0; n_col < 20; n_col++)
        for (size_t r = 0; r < N_ROWS; r++) {
            const int fill = (int)kc_below(t, N_B_FILLS);
            const size_t n_k = (rows[r] + 31) / 32 * 32 + 32 * kc_below(t, 2);
            if (!stored_case(t, rows[r], n_k, widths[kc_below(t, N_WIDTHS)], n_col, fill))
                return false;
        }
    if (t->bench) bench_stored(t);
    return true;
}

/* ---- packing ----------------------------------------------------------------- */

/* Any bits: all exponents, ties, subnormals, NaN. */
static float *any_floats(struct kc *t, size_t n)
{
    float *x = kc_buf(n * sizeof *x);
    for (size_t i = 0; i < n; i++) {
        const uint32_t tie = (kc_rnd(t) << 15) + (uint32_t)kc_below(t, 3) - 1;
        const uint32_t subnormal = kc_rnd(t) >> 9 | kc_rnd(t) << 31;
        const size_t kind = kc_below(t, 8);
        x[i] = mk_bits_f32(kind == 0 ? subnormal : kind < 3 ? tie : kc_rnd(t));
    }
    return x;
}

static float *filled(struct kc *t, size_t n)
{
    float *x = kc_buf(n * sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = kc_rnd_f32(t);
    return x;
}

/* What was rounded has the bits of scalar, or is a zero where scalar's is subnormal, or was
 * before it was rounded. */
static bool same_bf16(uint16_t got, uint16_t want, bool is_exact)
{
    return got == want || (!is_exact && (want & 0x7fff) <= 0x80 && got == (want & 0x8000));
}

static bool same_pairs(struct kc *t, const uint16_t *y, const uint16_t *even, const uint16_t *odd,
                       size_t n, bool is_exact)
{
    for (size_t j = 0; j < n; j++)
        if (!same_bf16(y[2 * j], even[j], is_exact) ||
            !same_bf16(y[2 * j + 1], odd ? odd[j] : 0, is_exact))
            FAIL("n=%zu at %zu: got %04x %04x", n, j, y[2 * j], y[2 * j + 1]);
    if (!kc_canaries()) FAIL("n=%zu: wrote outside", n);
    return true;
}

bool kc_pairs_bf16(struct kc *t)
{
    for (size_t i = 0; i < kc_n_lengths; i++)
        for (int has_odd = 0; has_odd < 2; has_odd++) {
            kc_reset();
            const size_t n = kc_lengths[i];
            const float *even = any_floats(t, n), *odd = has_odd ? any_floats(t, n) : NULL;
            uint16_t *a = kc_buf(n * sizeof *a), *b = kc_buf(n * sizeof *b);
            uint16_t *y = kc_buf(2 * n * sizeof *y);
            t->ref->f32_bf16(a, even, n);
            if (odd) t->ref->f32_bf16(b, odd, n);
            t->tst->pairs_bf16(y, even, odd, n);
            if (!same_pairs(t, y, a, odd ? b : NULL, n, false)) return false;
        }
    if (!t->bench) return true;
    kc_reset();
    enum { N = 640 };
    const float *even = filled(t, N), *odd = filled(t, N);
    uint16_t *y = kc_buf(2 * N * sizeof *y);
    KC_TIME(t->ns_ref, t->ref->pairs_bf16(y, even, odd, N));
    KC_TIME(t->ns_tst, t->tst->pairs_bf16(y, even, odd, N));
    kc_note(t, "%5.1f values/ns", 2 * N / t->ns_tst);
    return true;
}

bool kc_zip_bf16(struct kc *t)
{
    for (size_t i = 0; i < kc_n_lengths; i++)
        for (int has_odd = 0; has_odd < 2; has_odd++) {
            kc_reset();
            const size_t n = kc_lengths[i];
            uint16_t *a = kc_buf(n * sizeof *a), *b = kc_buf(n * sizeof *b);
            for (size_t j = 0; j < n; j++) a[j] = (uint16_t)kc_rnd(t), b[j] = (uint16_t)kc_rnd(t);
            uint16_t *y = kc_buf(2 * n * sizeof *y);
            t->tst->zip_bf16(y, a, has_odd ? b : NULL, n);
            if (!same_pairs(t, y, a, has_odd ? b : NULL, n, true)) return false;
        }
    if (!t->bench) return true;
    kc_reset();
    enum { N = 640 };
    const uint16_t *a = bf16_values(t, N, B_RANDOM), *b = bf16_values(t, N, B_RANDOM);
    uint16_t *y = kc_buf(2 * N * sizeof *y);
    KC_TIME(t->ns_ref, t->ref->zip_bf16(y, a, b, N));
    KC_TIME(t->ns_tst, t->tst->zip_bf16(y, a, b, N));
    kc_note(t, "%5.1f values/ns", 2 * N / t->ns_tst);
    return true;
}

static bool trans_case(struct kc *t, size_t n_row, size_t n_col)
{
    kc_reset();
    const size_t ldx = n_col + kc_below(t, 3), ldy = n_row + kc_below(t, 3);
    const float *x = any_floats(t, extent(n_row, ldx, n_col));
    const size_t n = extent(n_col, ldy, n_row);
    uint16_t *y = kc_buf(n * sizeof *y);
    memset(y, 0x5c, n * sizeof *y);
    t->tst->trans_bf16(y, ldy, x, ldx, n_row, n_col);
    for (size_t i = 0; i < n; i++) {
        const size_t r = i % ldy, c = i / ldy;
        const uint16_t want = r < n_row ? mk_f32_bf16(x[r * ldx + c]) : 0x5c5c;
        if (!same_bf16(y[i], want, r >= n_row))
            FAIL("%zu x %zu at %zu, %zu: got %04x want %04x", n_row, n_col, r, c, y[i], want);
    }
    if (!kc_canaries()) FAIL("%zu x %zu: wrote outside", n_row, n_col);
    return true;
}

bool kc_trans_bf16(struct kc *t)
{
    static const size_t sizes[] = {0, 1, 2, 7, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 129};
    enum { N_SIZES = sizeof sizes / sizeof *sizes };
    for (size_t r = 0; r < N_SIZES; r++)
        for (size_t c = 0; c < N_SIZES; c++)
            if (!trans_case(t, sizes[r], sizes[c])) return false;
    if (!t->bench) return true;
    kc_reset();
    enum { N_ROW = 512, N_COL = 256 };
    const float *x = filled(t, N_ROW * N_COL);
    uint16_t *y = kc_buf(N_ROW * N_COL * sizeof *y);
    KC_TIME(t->ns_ref, t->ref->trans_bf16(y, N_ROW, x, N_COL, N_ROW, N_COL));
    KC_TIME(t->ns_tst, t->tst->trans_bf16(y, N_ROW, x, N_COL, N_ROW, N_COL));
    kc_note(t, "%5.1f values/ns", N_ROW * N_COL / t->ns_tst);
    return true;
}
