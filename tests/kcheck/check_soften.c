/* The running softmax on columns, against double; and columns do not mind their neighbours. */
#include "kcheck.h"

#include <math.h>
#include <string.h>

enum { ROWS = 64, BENCH_COLS = 128 };

struct state {
    size_t n_row, n_col, ld;
    float *s, *m, *l, *fade;
    uint32_t *seen;
};

static float *floats(struct kc *t, size_t n, float scale)
{
    float *x = kc_buf(n * sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = scale * kc_rnd_f32(t);
    return x;
}

static struct state new_state(struct kc *t, size_t n_row, size_t n_col, float scale)
{
    struct state a = {.n_row = n_row, .n_col = n_col, .ld = n_col + kc_below(t, 3)};
    a.s = floats(t, n_row && n_col ? (n_row - 1) * a.ld + n_col : 0, scale);
    a.m = floats(t, n_col, scale), a.l = floats(t, n_col, 1.0f), a.fade = floats(t, n_col, 1.0f);
    a.seen = kc_buf(n_col * sizeof *a.seen);
    for (size_t c = 0; c < n_col; c++) {
        a.seen[c] = (uint32_t)(kc_below(t, 3) ? n_row : kc_below(t, n_row + 1));
        a.l[c] += 2.0f;
        if (!kc_below(t, 3)) a.m[c] = -INFINITY, a.l[c] = 0.0f; /* nothing seen so far */
    }
    return a;
}

static float *copy(const float *x, size_t n)
{
    float *y = kc_buf(n * sizeof *y);
    return n ? memcpy(y, x, n * sizeof *y) : y;
}

static struct state copy_state(const struct state *a)
{
    struct state b = *a;
    b.s = copy(a->s, a->n_row && a->n_col ? (a->n_row - 1) * a->ld + a->n_col : 0);
    b.m = copy(a->m, a->n_col), b.l = copy(a->l, a->n_col), b.fade = copy(a->fade, a->n_col);
    return b;
}

static void soften(const struct kc *t, const struct state *a, size_t first, size_t n)
{
    t->tst->soften(a->s + first, a->ld, a->seen + first, a->n_row, a->m + first, a->l + first,
                   a->fade + first, n);
}

static bool right_column(struct kc *t, const struct state *was, const struct state *is, size_t c)
{
    double sum = 0, top = (double)was->m[c];
    for (size_t r = 0; r < was->seen[c]; r++) top = fmax(top, (double)was->s[r * was->ld + c]);
    for (size_t r = 0; r < was->n_row; r++) {
        const double e = exp((double)was->s[r * was->ld + c] - top);
        const double want = r < was->seen[c] ? e : 0, got = (double)is->s[r * is->ld + c];
        sum += want;
        if (!kc_near(got, want, want)) FAIL("row %zu: got %.9g want %.9g", r, got, want);
    }
    const double fade = was->seen[c] ? exp((double)was->m[c] - top) : 1;
    const double l = (double)was->l[c] * fade + sum;
    if ((double)is->m[c] != top) FAIL("max %.9g want %.9g", (double)is->m[c], top);
    if (!kc_near((double)is->fade[c], fade, fade))
        FAIL("fade %.9g want %.9g", (double)is->fade[c], fade);
    if (!kc_near((double)is->l[c], l, l)) FAIL("sum %.9g want %.9g", (double)is->l[c], l);
    return true;
}

static bool soften_case(struct kc *t, size_t n_row, size_t n_col, float scale)
{
    kc_reset();
    const struct state was = new_state(t, n_row, n_col, scale);
    const struct state is = copy_state(&was), cut = copy_state(&was);
    soften(t, &is, 0, n_col);
    for (size_t c = 0, n; c < n_col; c += n) soften(t, &cut, c, n = 1 + kc_below(t, n_col - c));
    if (!kc_canaries()) FAIL("%zu x %zu: wrote outside", n_row, n_col);
    for (size_t c = 0; c < n_col; c++) {
        if (!right_column(t, &was, &is, c)) return false;
        if (!kc_same(is.l[c], cut.l[c]) || !kc_same(is.fade[c], cut.fade[c]))
            FAIL("%zu x %zu: column %zu depends on the others", n_row, n_col, c);
    }
    return true;
}

/* A NaN is seen in its column's sum, and in no other. */
static bool soften_nan(struct kc *t)
{
    kc_reset();
    const struct state a = new_state(t, ROWS, 20, 1.0f);
    for (size_t c = 0; c < 20; c++) a.seen[c] = c == 7 ? 5 : ROWS;
    a.s[9 * a.ld + 3] = a.s[9 * a.ld + 7] = NAN; /* column 7 does not see it */
    soften(t, &a, 0, 20);
    for (size_t c = 0; c < 20; c++)
        if (!isnan(a.l[c]) != (c != 3)) FAIL("column %zu: sum %.9g", c, (double)a.l[c]);
    return true;
}

bool kc_soften(struct kc *t)
{
    static const size_t rows[] = {0, 1, 15, 16, 63, ROWS}, cols[] = {0, 1, 15, 16, 17, 33, 128};
    static const float scales[] = {1e-3f, 1.0f, 30.0f, 1e5f};
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
        for (size_t c = 0; c < sizeof cols / sizeof *cols; c++)
            for (size_t s = 0; s < sizeof scales / sizeof *scales; s++)
                if (!soften_case(t, rows[r], cols[c], scales[s])) return false;
    if (!soften_nan(t)) return false;
    if (!t->bench) return true;
    kc_reset();
    const struct state a = new_state(t, ROWS, BENCH_COLS, 10.0f);
    KC_TIME(t->ns_ref, t->ref->soften(a.s, a.ld, a.seen, ROWS, a.m, a.l, a.fade, BENCH_COLS));
    KC_TIME(t->ns_tst, t->tst->soften(a.s, a.ld, a.seen, ROWS, a.m, a.l, a.fade, BENCH_COLS));
    kc_note(t, "%5.1f values/ns", ROWS * BENCH_COLS / t->ns_tst);
    return true;
}
