/* unpack and decode: every weight type, every byte pattern a file may hold. */
#include "kcheck.h"

#include <string.h>

/* Hostile bytes, all the same byte, or what encode makes of a normal weight row. */
enum { FILL_RANDOM, FILL_FF, FILL_ZERO, FILL_7F, FILL_REAL, N_FILLS };

static void fill_weights(struct kc *t, uint8_t *w, size_t n, int fill)
{
    static const uint8_t same[N_FILLS] = {[FILL_FF] = 0xff, [FILL_7F] = 0x7f};
    const struct mk_quant *q = &mk_quants[t->type];
    const float sigma = t->type == MK_F8_E4M3 ? 100.0f : 0.05f; /* 8 bits use their range */
    if (fill == FILL_RANDOM) {
        for (size_t i = 0; i < n; i++) w[i] = (uint8_t)kc_rnd(t);
    } else if (fill == FILL_REAL) {
        for (; n >= q->block_bytes; n -= q->block_bytes, w += q->block_bytes) {
            float x[256];
            for (size_t i = 0; i < q->block_len; i++) x[i] = sigma * (float)mk_rng_normal(&t->rng);
            q->encode(w, x, q->block_len);
        }
    } else {
        memset(w, same[fill], n);
    }
}

static size_t n_groups(const struct mk_quant *q, size_t n_k)
{
    const size_t len = q->kind == MK_FLOAT ? 128 : (size_t)q->sub;
    return (n_k + len - 1) / len;
}

/* "" when row r of both panels means the same, else what differs. */
static const char *panel_diff(const struct mk_panel *a, const struct mk_panel *b, unsigned r)
{
    const struct mk_quant *q = a->quant;
    for (size_t g = 0; g < n_groups(q, a->n_k); g++) {
        if (!kc_same(a->d[g][r], b->d[g][r])) return "d";
        if (q->kind != MK_FLOAT && q->has_min && !kc_same(a->m[g][r], b->m[g][r])) return "m";
    }
    if (q->kind == MK_FLOAT) {
        for (size_t k = 0; k < a->n_k; k++)
            if (!kc_same(a->f[k][r], b->f[k][r])) return "f";
        return "";
    }
    for (size_t k = 0; k < a->n_k; k++)
        if (a->q[k / 4][r][k % 4] != b->q[k / 4][r][k % 4]) return "q";
    return "";
}

/* Rows that do not exist must add exactly nothing: their d and m are zero, and no
 * other number in their lanes turns 0 * number into a NaN. */
static bool row_is_absent(const struct mk_panel *p, unsigned r)
{
    for (size_t g = 0; g < n_groups(p->quant, p->n_k); g++) {
        if (p->d[g][r] != 0.0f) return false;
        if (p->quant->has_min && p->m[g][r] != 0.0f) return false;
    }
    for (size_t k = 0; p->quant->kind == MK_FLOAT && k < p->n_k; k++)
        if (!(p->f[k][r] - p->f[k][r] == 0.0f)) return false;
    return true;
}

static bool unpack_case(struct kc *t, unsigned n_rows, size_t n_k, size_t gap, int fill)
{
    kc_reset();
    const struct mk_quant *q = &mk_quants[t->type];
    const size_t row = n_k / q->block_len * q->block_bytes, stride = row + gap;
    uint8_t *w = kc_buf((n_rows - 1) * stride + row);
    for (unsigned r = 0; r < n_rows; r++) fill_weights(t, w + r * stride, row, fill);
    struct mk_panel *a = kc_buf(sizeof *a), *b = kc_buf(sizeof *b);
    t->ref->unpack[t->type](a, w, stride, n_rows, n_k);
    t->tst->unpack[t->type](b, w, stride, n_rows, n_k);
    if (b->n_k != n_k || b->quant != q) FAIL("panel's n_k or quant is wrong");
    for (unsigned r = 0; r < MK_PANEL_ROWS; r++) {
        const char *d = r < n_rows ? panel_diff(a, b, r) : row_is_absent(b, r) ? "" : "absent row";
        if (*d) FAIL("rows=%u n_k=%zu fill=%d: %s of row %u", n_rows, n_k, fill, d, r);
    }
    if (!kc_canaries()) FAIL("rows=%u n_k=%zu: wrote outside", n_rows, n_k);
    return true;
}

/* A row's codes and scales must say what decode says. */
static bool panel_means_decode(struct kc *t)
{
    kc_reset();
    const struct mk_quant *q = &mk_quants[t->type];
    if (q->kind == MK_FLOAT) return true;
    uint8_t w[256];
    float y[256];
    fill_weights(t, w, q->block_bytes, FILL_REAL);
    struct mk_panel *p = kc_buf(sizeof *p);
    t->tst->unpack[t->type](p, w, q->block_bytes, 1, q->block_len);
    q->decode(y, w, q->block_len);
    for (size_t k = 0; k < q->block_len; k++) {
        const int c = p->q[k / 4][0][k % 4] - q->bias;
        const size_t j = k / (size_t)q->sub;
        const double a = (double)p->d[j][0] * c, b = q->has_min ? (double)p->m[j][0] : 0.0;
        if (!kc_near((double)y[k], a + b, (a < 0 ? -a : a) + (b < 0 ? -b : b)))
            FAIL("k=%zu: panel means %.9g, decode says %.9g", k, a + b, (double)y[k]);
    }
    return true;
}

/* Generation: every strip is unpacked for one column, weights come from memory. */
struct stream {
    const uint8_t *w;
    size_t bytes, row;
    struct mk_panel *p;
};

static size_t max_k(const struct mk_quant *q)
{
    return q->kind == MK_FLOAT ? MK_PANEL_K_F32 : MK_PANEL_K;
}

static void one_column(const struct mk_kernels *k, struct kc *t, const struct stream *s)
{
    static int8_t xq[MK_PANEL_K];
    static float xf[MK_PANEL_K], xs[MK_PANEL_K / 32];
    static int16_t sum[MK_PANEL_K / 16];
    const struct mk_x8 x = {.q = xq, .s = xs, .sum = sum};
    const struct mk_quant *q = &mk_quants[t->type];
    const size_t step = max_k(q) / q->block_len * q->block_bytes;
    for (size_t strip = 0; strip + 16 * s->row <= s->bytes; strip += 16 * s->row) {
        float y[MK_PANEL_ROWS] = {0};
        for (size_t at = 0; at < s->row; at += step) {
            k->unpack[t->type](s->p, s->w + strip + at, s->row, 16, max_k(q));
            if (q->kind == MK_FLOAT)
                k->mul_f32(y, s->p, xf, MK_PANEL_K, 1);
            else
                k->mul_int(y, s->p, 1, &x, 1);
        }
    }
}

static void bench_unpack(struct kc *t)
{
    static uint8_t memory[160 << 20];
    const size_t part = mk_quants[t->type].block_bytes * 4096;
    fill_weights(t, memory, part, FILL_REAL);
    for (size_t at = part; at + part <= sizeof memory; at += part)
        memcpy(memory + at, memory, part);
    const struct mk_quant *q = &mk_quants[t->type];
    const size_t row = 4096 / q->block_len * q->block_bytes, n_k = max_k(q);
    const size_t hot = 16 * (n_k / q->block_len) * q->block_bytes;
    struct mk_panel *p = kc_buf(sizeof *p);
    KC_TIME(t->ns_ref, t->ref->unpack[t->type](p, memory, hot / 16, 16, n_k));
    KC_TIME(t->ns_tst, t->tst->unpack[t->type](p, memory, hot / 16, 16, n_k));
    const struct stream cache = {memory, 16 * row, row, p}, all = {memory, sizeof memory, row, p};
    double near = 0, far = 0;
    KC_TIME(near, one_column(t->tst, t, &cache));
    if (t->tst != t->ref && t->tst->unpack[t->type] != t->ref->unpack[t->type])
        KC_TIME(far, one_column(t->tst, t, &all));
    kc_note(t,
            "%5.1f GB/s; with one column %5.1f GB/s cached (%4.1f weights/ns), %5.1f from memory",
            (double)hot / t->ns_tst, (double)cache.bytes / near, 16.0 * 4096 / near,
            far > 0 ? (double)(all.bytes / (16 * row) * 16 * row) / far : 0.0);
}

bool kc_unpack(struct kc *t)
{
    const struct mk_quant *q = &mk_quants[t->type];
    const size_t unit = q->kind == MK_FLOAT ? 1 : q->block_len, max = max_k(q);
    static const size_t gaps[] = {0, 1, 2, 34, 1000};
    for (unsigned n_rows = 1; n_rows <= 16; n_rows++)
        for (int fill = 0; fill < N_FILLS; fill++) {
            const size_t n_k = (1 + kc_below(t, max / unit)) * unit;
            if (!unpack_case(t, n_rows, n_k, gaps[kc_below(t, 5)], fill)) return false;
            if (!unpack_case(t, n_rows, max, 0, fill)) return false;
            if (!unpack_case(t, n_rows, unit, gaps[kc_below(t, 5)], fill)) return false;
        }
    for (size_t n_k = unit; n_k <= max; n_k += unit)
        if (!unpack_case(t, 16, n_k, gaps[n_k / unit % 5], FILL_RANDOM)) return false;
    if (!panel_means_decode(t)) return false;
    kc_reset();
    if (t->bench) bench_unpack(t);
    return true;
}

static bool decode_case(struct kc *t, size_t n_blocks, int fill)
{
    kc_reset();
    const struct mk_quant *q = &mk_quants[t->type];
    const size_t n = n_blocks * q->block_len, bytes = n_blocks * q->block_bytes;
    uint8_t *w = kc_buf(bytes);
    fill_weights(t, w, bytes, fill);
    float *a = kc_buf(n * sizeof *a), *b = kc_buf(n * sizeof *b);
    t->ref->decode[t->type](a, w, n);
    t->tst->decode[t->type](b, w, n);
    const size_t i = kc_differs(a, b, n);
    if (i < n)
        FAIL("n=%zu fill=%d i=%zu got %.9g want %.9g", n, fill, i, (double)b[i], (double)a[i]);
    if (!kc_canaries()) FAIL("n=%zu fill=%d: wrote outside", n, fill);
    return true;
}

bool kc_decode(struct kc *t)
{
    const struct mk_quant *q = &mk_quants[t->type];
    for (int fill = 0; fill < N_FILLS; fill++)
        for (size_t i = 0; i < kc_n_lengths; i++)
            if (kc_lengths[i] * q->block_len <= 65536 && !decode_case(t, kc_lengths[i], fill))
                return false;
    if (!t->bench) return true;
    kc_reset();
    const size_t n = 7168, bytes = n / q->block_len * q->block_bytes;
    uint8_t *w = kc_buf(bytes);
    float *y = kc_buf(n * sizeof *y);
    fill_weights(t, w, bytes, FILL_REAL);
    KC_TIME(t->ns_ref, t->ref->decode[t->type](y, w, n));
    KC_TIME(t->ns_tst, t->tst->decode[t->type](y, w, n));
    kc_note(t, "%5.1f weights/ns", (double)n / t->ns_tst);
    return true;
}
