/* Gradients, sums and the optimizer's step.  Those of one rounding per operation must
 * match scalar bit for bit; the others are measured against double. */
#include "kcheck.h"

#include <math.h>
#include <string.h>

enum { BENCH_N = 640 }; /* as wide as the rows of a small model */

static float *filled(struct kc *t, size_t n, bool any)
{
    float *x = kc_buf(n * sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = any ? kc_rnd_any(t, true) : kc_rnd_f32(t);
    return x;
}

static float *copy(const float *x, size_t n)
{
    float *y = kc_buf(n * sizeof *y);
    return n ? memcpy(y, x, n * sizeof *y) : y;
}

/* ---- sums -------------------------------------------------------------------- */

static bool sum_case(struct kc *t, size_t n, double *got, double *want, double *scale, int special)
{
    kc_reset();
    float *a = filled(t, n, false), *b = filled(t, n, false);
    if (special && n) a[kc_below(t, n)] = special == 1 ? (float)NAN : (float)INFINITY;
    for (size_t i = 0; i < n; i++) {
        const double v = (double)a[i] * (double)b[i], s = (double)a[i] * (double)a[i];
        want[0] += v, scale[0] += fabs(v);
        want[1] += s, scale[1] += s;
    }
    got[0] = (double)t->tst->dot(a, b, n);
    got[1] = t->tst->sum_sq(a, n);
    if (!kc_canaries()) FAIL("n=%zu: wrote outside", n);
    return true;
}

static bool sums(struct kc *t, int which)
{
    for (size_t i = 0; i < kc_n_lengths; i++)
        for (int special = 0; special < 3; special++) {
            double got[2], want[2] = {0, 0}, scale[2] = {0, 0};
            if (!sum_case(t, kc_lengths[i], got, want, scale, special)) return false;
            if (!kc_near(got[which], want[which], scale[which]))
                FAIL("n=%zu: got %.9g want %.9g", kc_lengths[i], got[which], want[which]);
            /* sum_sq is a sum in double, of any length */
            if (which == 1 && !special && fabs(got[1] - want[1]) > 1e-13 * want[1])
                FAIL("n=%zu: got %.17g want %.17g", kc_lengths[i], got[1], want[1]);
        }
    return true;
}

bool kc_dot(struct kc *t)
{
    if (!sums(t, 0)) return false;
    if (!t->bench) return true;
    kc_reset();
    volatile float sink = 0;
    const float *a = filled(t, BENCH_N, false), *b = filled(t, BENCH_N, false);
    KC_TIME(t->ns_ref, sink = t->ref->dot(a, b, BENCH_N));
    KC_TIME(t->ns_tst, sink = t->tst->dot(a, b, BENCH_N));
    (void)sink;
    return true;
}

bool kc_sum_sq(struct kc *t)
{
    if (!sums(t, 1)) return false;
    if (!t->bench) return true;
    kc_reset();
    volatile double sink = 0;
    const float *a = filled(t, BENCH_N, false);
    KC_TIME(t->ns_ref, sink = t->ref->sum_sq(a, BENCH_N));
    KC_TIME(t->ns_tst, sink = t->tst->sum_sq(a, BENCH_N));
    (void)sink;
    return true;
}

/* ---- gradients --------------------------------------------------------------- */

/* |got - was - want| against the sizes of was and of the terms that make want. */
static bool added(float got, float was, double want, double terms)
{
    return kc_near((double)got, (double)was + want, fabs((double)was) + terms);
}

static bool rmsnorm_back_case(struct kc *t, size_t n, float scale, bool has_dw)
{
    kc_reset();
    const double eps = (double)1e-6f;
    float *x = filled(t, n, false);
    for (size_t i = 0; i < n; i++) x[i] *= scale;
    const float *dy = filled(t, n, false), *w = filled(t, n, false);
    const float *dx0 = filled(t, n, false), *dw0 = filled(t, n, false);
    float *dx = copy(dx0, n), *dw = copy(dw0, n);
    t->tst->rmsnorm_back(dx, has_dw ? dw : NULL, dy, x, w, n, (float)eps);
    double ss = 0, sum = 0, terms = 0;
    for (size_t i = 0; i < n; i++) {
        const double v = (double)dy[i] * (double)w[i] * (double)x[i];
        ss += (double)x[i] * (double)x[i];
        sum += v, terms += fabs(v);
    }
    const double r = 1 / sqrt(ss / (double)n + eps), r3 = r * r * r / (double)n;
    for (size_t i = 0; i < n; i++) {
        const double a = r * (double)w[i] * (double)dy[i], b = (double)x[i] * r3;
        if (!added(dx[i], dx0[i], a - b * sum, fabs(a) + fabs(b) * terms))
            FAIL("n=%zu dx %zu: got %.9g want %.9g", n, i, (double)dx[i],
                 (double)dx0[i] + a - b * sum);
        const double d = has_dw ? (double)dy[i] * (double)x[i] * r : 0;
        if (!added(dw[i], dw0[i], d, fabs(d))) FAIL("n=%zu dw %zu", n, i);
    }
    if (!kc_canaries()) FAIL("n=%zu: wrote outside", n);
    return true;
}

/* One NaN makes all of dx NaN. */
static bool rmsnorm_back_nan(struct kc *t, size_t n)
{
    kc_reset();
    float *x = filled(t, n, false), *dx = filled(t, n, false);
    const float *dy = filled(t, n, false), *w = filled(t, n, false);
    x[kc_below(t, n)] = NAN;
    t->tst->rmsnorm_back(dx, NULL, dy, x, w, n, 1e-6f);
    for (size_t i = 0; i < n; i++)
        if (!isnan(dx[i])) FAIL("n=%zu: NaN got lost", n);
    return true;
}

bool kc_rmsnorm_back(struct kc *t)
{
    static const float scales[] = {1e-20f, 1e-3f, 1.0f, 100.0f, 1e6f};
    for (size_t i = 1; i < kc_n_lengths; i++) {
        for (size_t s = 0; s < sizeof scales / sizeof *scales; s++)
            for (int has_dw = 0; has_dw < 2; has_dw++)
                if (!rmsnorm_back_case(t, kc_lengths[i], scales[s], has_dw)) return false;
        if (!rmsnorm_back_nan(t, kc_lengths[i])) return false;
    }
    if (!t->bench) return true;
    kc_reset();
    const float *x = filled(t, BENCH_N, false), *dy = filled(t, BENCH_N, false);
    const float *w = filled(t, BENCH_N, false);
    float *dx = filled(t, BENCH_N, false), *dw = filled(t, BENCH_N, false);
    KC_TIME(t->ns_ref, t->ref->rmsnorm_back(dx, dw, dy, x, w, BENCH_N, 1e-6f));
    KC_TIME(t->ns_tst, t->tst->rmsnorm_back(dx, dw, dy, x, w, BENCH_N, 1e-6f));
    return true;
}

static bool silu_mul_back_case(struct kc *t, size_t n, float scale)
{
    kc_reset();
    float *gate = filled(t, n, false);
    for (size_t i = 0; i < n; i++) gate[i] *= scale;
    const float *dy = filled(t, n, false), *up = filled(t, n, false);
    const float *dg0 = filled(t, n, false), *du0 = filled(t, n, false);
    float *dg = copy(dg0, n), *du = copy(du0, n);
    t->tst->silu_mul_back(dg, du, dy, gate, up, n);
    for (size_t i = 0; i < n; i++) {
        const double g = (double)gate[i], s = 1 / (1 + exp(-g)), rest = 1 / (1 + exp(g));
        const double d = (double)dy[i], u = (double)up[i];
        if (!added(du[i], du0[i], d * g * s, fabs(d * g * s)))
            FAIL("n=%zu gate %.9g: dup %.9g", n, g, (double)du[i]);
        if (!added(dg[i], dg0[i], d * u * s * (1 + g * rest),
                   fabs(d * u) * s * (1 + fabs(g) * rest)))
            FAIL("n=%zu gate %.9g: dgate %.9g", n, g, (double)dg[i]);
    }
    if (!kc_canaries()) FAIL("n=%zu: wrote outside", n);
    if (!n) return true;
    gate[n - 1] = NAN;
    t->tst->silu_mul_back(dg, du, dy, gate, up, n);
    if (!isnan(dg[n - 1]) || !isnan(du[n - 1])) FAIL("n=%zu: NaN got lost", n);
    return true;
}

bool kc_silu_mul_back(struct kc *t)
{
    static const float scales[] = {1e-3f, 1.0f, 10.0f, 100.0f, 1e5f};
    for (size_t i = 0; i < kc_n_lengths; i++)
        for (size_t s = 0; s < sizeof scales / sizeof *scales; s++)
            if (!silu_mul_back_case(t, kc_lengths[i], scales[s])) return false;
    if (!t->bench) return true;
    kc_reset();
    const float *gate = filled(t, BENCH_N, false), *up = filled(t, BENCH_N, false);
    const float *dy = filled(t, BENCH_N, false);
    float *dg = filled(t, BENCH_N, false), *du = filled(t, BENCH_N, false);
    KC_TIME(t->ns_ref, t->ref->silu_mul_back(dg, du, dy, gate, up, BENCH_N));
    KC_TIME(t->ns_tst, t->tst->silu_mul_back(dg, du, dy, gate, up, BENCH_N));
    return true;
}

bool kc_softmax_back(struct kc *t)
{
    for (size_t i = 0; i < kc_n_lengths; i++)
        for (int any = 0; any < 2; any++) {
            kc_reset();
            const size_t n = kc_lengths[i];
            const float *p = filled(t, n, any), *dp = filled(t, n, any), d = kc_rnd_f32(t);
            float *a = filled(t, n, false), *b = copy(dp, n);
            t->tst->softmax_back(a, p, dp, n, d);
            t->tst->softmax_back(b, p, b, n, d);
            for (size_t j = 0; j < n; j++)
                if (!kc_same(a[j], p[j] * (dp[j] - d)))
                    FAIL("n=%zu i=%zu: got %.9g want %.9g", n, j, (double)a[j],
                         (double)(p[j] * (dp[j] - d)));
            if (kc_differs(a, b, n) < n) FAIL("n=%zu: in place differs", n);
            if (!kc_canaries()) FAIL("n=%zu: wrote outside", n);
        }
    if (!t->bench) return true;
    kc_reset();
    const float *p = filled(t, BENCH_N, false), *dp = filled(t, BENCH_N, false);
    float *ds = filled(t, BENCH_N, false);
    KC_TIME(t->ns_ref, t->ref->softmax_back(ds, p, dp, BENCH_N, 0.5f));
    KC_TIME(t->ns_tst, t->tst->softmax_back(ds, p, dp, BENCH_N, 0.5f));
    return true;
}

/* ---- the optimizer ----------------------------------------------------------- */

/* Moments as they are after some steps: v is never negative. */
static float *squares(struct kc *t, size_t n)
{
    float *v = filled(t, n, false);
    for (size_t i = 0; i < n; i++) v[i] *= v[i];
    return v;
}

static const struct mk_adamw third_step = {
    .beta1 = 0.9f,
    .beta2 = 0.95f,
    .lr = 1e-3f,
    .eps = 1e-8f,
    .decay = 0.1f,
    .scale = 0.7f,
    .c1 = 1 / (1 - 0.9f * 0.9f * 0.9f),
    .c2 = 1 / (1 - 0.95f * 0.95f * 0.95f),
};

/* Scalar itself, by the formulas of the paper in double. */
static bool right_adamw(struct kc *t, const float *const was[3], const float *const got[3],
                        const float *g, size_t n)
{
    const struct mk_adamw *a = &third_step;
    const double b1 = (double)a->beta1, b2 = (double)a->beta2, lr = (double)a->lr;
    for (size_t i = 0; i < n; i++) {
        const double gi = (double)g[i] * (double)a->scale;
        const double m = b1 * (double)was[1][i] + (1 - b1) * gi;
        const double v = b2 * (double)was[2][i] + (1 - b2) * gi * gi;
        const double step = lr * m * (double)a->c1 / (sqrt(v * (double)a->c2) + (double)a->eps);
        const double w = (double)was[0][i] * (1 - lr * (double)a->decay) - step;
        if (!kc_near((double)got[0][i], w, 0.1 + fabs(step)) ||
            !kc_near((double)got[1][i], m, 2.0) || !kc_near((double)got[2][i], v, 2.0))
            FAIL("n=%zu i=%zu: %.9g want %.9g", n, i, (double)got[0][i], w);
    }
    return true;
}

static bool adamw_case(struct kc *t, size_t n, bool any)
{
    kc_reset();
    const float *g = filled(t, n, any), *w = filled(t, n, any), *m = filled(t, n, any);
    const float *v = squares(t, n);
    float *wa = copy(w, n), *ma = copy(m, n), *va = copy(v, n);
    float *wb = copy(w, n), *mb = copy(m, n), *vb = copy(v, n);
    t->ref->adamw(wa, ma, va, g, n, &third_step);
    t->tst->adamw(wb, mb, vb, g, n, &third_step);
    if (kc_differs(wa, wb, n) < n || kc_differs(ma, mb, n) < n || kc_differs(va, vb, n) < n)
        FAIL("n=%zu: differs at %zu, %zu, %zu", n, kc_differs(wa, wb, n), kc_differs(ma, mb, n),
             kc_differs(va, vb, n));
    if (!kc_canaries()) FAIL("n=%zu: wrote outside", n);
    const float *const was[] = {w, m, v}, *const got[] = {wb, mb, vb};
    return any || right_adamw(t, was, got, g, n);
}

bool kc_adamw(struct kc *t)
{
    for (size_t i = 0; i < kc_n_lengths; i++)
        for (int any = 0; any < 2; any++)
            if (!adamw_case(t, kc_lengths[i], any)) return false;
    if (!t->bench) return true;
    kc_reset();
    enum { N = 65536 };
    float *w = filled(t, N, false), *m = filled(t, N, false), *v = squares(t, N);
    const float *g = filled(t, N, false);
    KC_TIME(t->ns_ref, t->ref->adamw(w, m, v, g, N, &third_step));
    KC_TIME(t->ns_tst, t->tst->adamw(w, m, v, g, N, &third_step));
    kc_note(t, "%5.2f values/ns", N / t->ns_tst);
    return true;
}
