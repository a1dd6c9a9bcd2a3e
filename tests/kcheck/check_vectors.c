/* Vector kernels.  Those of one rounding per value must match bit for bit; those
 * with a sum or an exponential are measured against double. */
#include "kcheck.h"

#include <math.h>
#include <string.h>

enum { BENCH_N = 7168 };

static float *filled(struct kc *t, size_t n, float scale)
{
    float *x = kc_buf(n * sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = scale > 0 ? scale * kc_rnd_f32(t) : kc_rnd_any(t, true);
    return x;
}
static float *copy(const float *x, size_t n)
{
    float *y = kc_buf(n * sizeof *y);
    return n ? memcpy(y, x, n * sizeof *y) : y;
}

static bool rmsnorm_case(struct kc *t, size_t n, float scale)
{
    kc_reset();
    const float eps = 1e-6f, *x = filled(t, n, scale), *w = filled(t, n, 1.0f);
    float *a = copy(x, n), *b = copy(x, n), *c = copy(x, n);
    double ss = 0;
    for (size_t i = 0; i < n; i++) ss += (double)x[i] * (double)x[i];
    t->ref->rmsnorm(a, x, w, n, eps);
    t->tst->rmsnorm(b, x, w, n, eps);
    t->tst->rmsnorm(c, c, w, n, eps);
    for (size_t i = 0; i < n; i++) {
        const double exact = (double)x[i] / sqrt(ss / (double)n + (double)eps) * (double)w[i];
        const double want = scale > 0 ? exact : (double)a[i];
        if (!kc_near((double)b[i], want, fabs(want)))
            FAIL("n=%zu scale=%g i=%zu: got %.9g want %.9g", n, (double)scale, i, (double)b[i],
                 want);
    }
    if (kc_differs(b, c, n) < n) FAIL("n=%zu: in place differs", n);
    if (!kc_canaries()) FAIL("n=%zu: wrote outside", n);
    if (t->bench && n == BENCH_N && scale == 1.0f) {
        KC_TIME(t->ns_ref, t->ref->rmsnorm(a, x, w, n, eps));
        KC_TIME(t->ns_tst, t->tst->rmsnorm(b, x, w, n, eps));
    }
    return true;
}

bool kc_rmsnorm(struct kc *t)
{
    static const float scales[] = {1e-20f, 1.0f, 100.0f, 1e18f, -1.0f};
    for (size_t i = 1; i < kc_n_lengths; i++)
        for (size_t s = 0; s < sizeof scales / sizeof *scales; s++)
            if (!rmsnorm_case(t, kc_lengths[i], scales[s])) return false;
    return true;
}

typedef void rope_fn(float *x, const float *cs, size_t n_pair);

static bool rope(struct kc *t, rope_fn *ref, rope_fn *tst, size_t step)
{
    for (size_t i = 0; i < kc_n_lengths; i++)
        for (int any = 0; any < 2; any++) {
            kc_reset();
            const size_t n = kc_lengths[i];
            float *cs = filled(t, 2 * n, 3.14f);
            for (size_t p = 0; p < n; p++) {
                const float angle = cs[2 * p];
                cs[2 * p] = cosf(angle), cs[2 * p + 1] = sinf(angle);
            }
            const float *x = filled(t, 2 * n, any ? -1.0f : 10.0f);
            float *a = copy(x, 2 * n), *b = copy(x, 2 * n);
            ref(a, cs, n);
            tst(b, cs, n);
            const size_t d = kc_differs(a, b, 2 * n), second = step ? step : n;
            if (d < 2 * n)
                FAIL("n=%zu i=%zu: got %.9g want %.9g", n, d, (double)b[d], (double)a[d]);
            if (!kc_canaries()) FAIL("n=%zu: wrote outside", n);
            for (size_t p = 0; ref == tst && !any && p < n; p++) {
                const size_t k = step ? 2 * p : p;
                const double u = (double)x[k], v = (double)x[k + second];
                const double c = (double)cs[2 * p], s = (double)cs[2 * p + 1];
                if (!kc_near((double)a[k], u * c - v * s, fabs(u * c) + fabs(v * s)) ||
                    !kc_near((double)a[k + second], u * s + v * c, fabs(u * s) + fabs(v * c)))
                    FAIL("scalar: pair %zu of %zu", p, n);
            }
            if (!t->bench || any || n != 64) continue;
            KC_TIME(t->ns_ref, ref(a, cs, n));
            KC_TIME(t->ns_tst, tst(b, cs, n));
        }
    return true;
}

bool kc_rope_pairs(struct kc *t) { return rope(t, t->ref->rope_pairs, t->tst->rope_pairs, 1); }
bool kc_rope_halves(struct kc *t) { return rope(t, t->ref->rope_halves, t->tst->rope_halves, 0); }

static bool silu_case(struct kc *t, size_t n, float scale)
{
    kc_reset();
    const float *g = filled(t, n, scale), *u = filled(t, n, 2.0f);
    float *y = copy(g, n);
    t->tst->silu_mul(y, g, u, n);
    for (size_t i = 0; i < n; i++) {
        /* rounded, since it may overflow there */
        const float e = (float)((double)g[i] / (1.0 + exp(-(double)g[i])) * (double)u[i]);
        /* -infinity / infinity is NaN by definition; in double exp overflows later */
        const double want = isinf(g[i]) && g[i] < 0 ? (double)NAN : (double)e;
        if (!kc_near((double)y[i], want, fabs(want)))
            FAIL("n=%zu silu(%.9g) * %.9g: got %.9g want %.9g", n, (double)g[i], (double)u[i],
                 (double)y[i], want);
    }
    if (!kc_canaries()) FAIL("n=%zu: wrote outside", n);
    if (t->bench && n == BENCH_N && scale == 10.0f) {
        KC_TIME(t->ns_ref, t->ref->silu_mul(y, g, u, n));
        KC_TIME(t->ns_tst, t->tst->silu_mul(y, g, u, n));
    }
    return true;
}

bool kc_silu_mul(struct kc *t)
{
    static const float scales[] = {1e-3f, 10.0f, 100.0f, 1e5f, -1.0f};
    for (size_t i = 0; i < kc_n_lengths; i++)
        for (size_t s = 0; s < sizeof scales / sizeof *scales; s++)
            if (!silu_case(t, kc_lengths[i], scales[s])) return false;
    return true;
}

/* Some of x are -infinity, as masked scores are. */
static bool exp_case(struct kc *t, size_t n, float scale, bool masked)
{
    kc_reset();
    float *x = filled(t, n, scale), m = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        if (masked && i && kc_rnd(t) % 3 == 0) x[i] = -INFINITY;
        if (x[i] > m) m = x[i];
    }
    float *y = copy(x, n);
    double sum = 0;
    const float got = t->tst->exp_sum(y, n, m);
    for (size_t i = 0; i < n; i++) {
        const double want = exp((double)(x[i] - m));
        sum += want;
        if (isinf(x[i]) && y[i] != 0.0f) FAIL("exp(-inf) = %.9g", (double)y[i]);
        if (!kc_near((double)y[i], want, fabs(want)))
            FAIL("n=%zu exp(%.9g): got %.9g want %.9g", n, (double)(x[i] - m), (double)y[i], want);
    }
    if (!kc_near((double)got, sum, sum)) FAIL("n=%zu: sum %.9g want %.9g", n, (double)got, sum);
    if (!kc_canaries()) FAIL("n=%zu: wrote outside", n);
    return true;
}

/* Equal scores give ones; NaN and overflow are not hidden. */
static bool exp_special(struct kc *t, size_t n)
{
    kc_reset();
    float *x = filled(t, n, 1.0f);
    for (size_t i = 0; i < n; i++) x[i] = -3.75f;
    const float sum = t->tst->exp_sum(x, n, -3.75f);
    for (size_t i = 0; i < n; i++)
        if (x[i] != 1.0f) FAIL("n=%zu: exp(0) = %.9g", n, (double)x[i]);
    if (sum != (float)n) FAIL("n=%zu: sum of ones is %.9g", n, (double)sum);
    if (!n) return true;
    x[n - 1] = NAN;
    if (!isnan(t->tst->exp_sum(x, n, 0.0f)) || !isnan(x[n - 1])) FAIL("n=%zu: NaN got lost", n);
    x[n - 1] = 89.0f;
    t->tst->exp_sum(x + n - 1, 1, 0.0f);
    if (!isinf(x[n - 1])) FAIL("exp(89) = %.9g", (double)x[n - 1]);
    return true;
}

bool kc_exp_sum(struct kc *t)
{
    static const float scales[] = {1e-3f, 1.0f, 10.0f, 45.0f, 1e6f};
    for (size_t i = 0; i < kc_n_lengths; i++) {
        for (size_t s = 0; s < sizeof scales / sizeof *scales; s++)
            for (int masked = 0; masked < 2; masked++)
                if (!exp_case(t, kc_lengths[i], scales[s], masked)) return false;
        if (!exp_special(t, kc_lengths[i])) return false;
    }
    if (!t->bench) return true;
    kc_reset();
    float *x = filled(t, BENCH_N, 10.0f), *a = copy(x, BENCH_N);
    KC_TIME(t->ns_ref, (memcpy(a, x, BENCH_N * 4), t->ref->exp_sum(a, BENCH_N, 10.0f)));
    KC_TIME(t->ns_tst, (memcpy(a, x, BENCH_N * 4), t->tst->exp_sum(a, BENCH_N, 10.0f)));
    kc_note(t, "%5.1f values/ns", BENCH_N / t->ns_tst);
    return true;
}

/* Random, extreme, extreme but not positive, random among NaNs (which do not count). */
bool kc_max(struct kc *t)
{
    volatile float sink = 0;
    for (size_t i = 0; i < kc_n_lengths; i++)
        for (int fill = 0; fill < 4; fill++) {
            kc_reset();
            const size_t n = kc_lengths[i];
            float *x = filled(t, n, fill % 3 ? -1.0f : 1.0f), want = -INFINITY;
            for (size_t j = 0; j < n; j++) {
                if (fill == 2 && x[j] > 0) x[j] = -x[j];
                if (fill == 3 && kc_below(t, 3)) x[j] = NAN;
                if (x[j] > want) want = x[j];
            }
            const float got = t->tst->max(x, n);
            if (got != want) FAIL("n=%zu: got %.9g want %.9g", n, (double)got, (double)want);
            if (!t->bench || fill || n != BENCH_N) continue;
            KC_TIME(t->ns_ref, sink = t->ref->max(x, n));
            KC_TIME(t->ns_tst, sink = t->tst->max(x, n));
        }
    (void)sink;
    return true;
}

bool kc_axpy(struct kc *t)
{
    for (size_t i = 0; i < kc_n_lengths; i++)
        for (int any = 0; any < 2; any++) {
            kc_reset();
            const size_t n = kc_lengths[i];
            const float s = kc_rnd_f32(t), *x = filled(t, n, any ? -1.0f : 1.0f);
            const float *y = filled(t, n, any ? -1.0f : 1.0f);
            float *a = copy(y, n), *b = copy(y, n);
            t->ref->axpy(a, s, x, n);
            t->tst->axpy(b, s, x, n);
            const size_t d = kc_differs(a, b, n);
            if (d < n) FAIL("n=%zu i=%zu: got %.9g want %.9g", n, d, (double)b[d], (double)a[d]);
            if (!kc_canaries()) FAIL("n=%zu: wrote outside", n);
            for (size_t j = 0; !any && j < n; j++)
                if (!kc_near((double)b[j], (double)s * (double)x[j] + (double)y[j], 2.0))
                    FAIL("scalar: %zu of %zu", j, n);
            if (!t->bench || any || n != BENCH_N) continue;
            KC_TIME(t->ns_ref, t->ref->axpy(a, s, x, n));
            KC_TIME(t->ns_tst, t->tst->axpy(b, s, x, n));
        }
    return true;
}

bool kc_scale(struct kc *t)
{
    for (size_t i = 0; i < kc_n_lengths; i++)
        for (int any = 0; any < 2; any++) {
            kc_reset();
            const size_t n = kc_lengths[i];
            const float s = kc_rnd_f32(t), *x = filled(t, n, any ? -1.0f : 1.0f);
            float *b = copy(x, n);
            t->tst->scale(b, s, n);
            for (size_t j = 0; j < n; j++)
                if (!kc_same(b[j], x[j] * s))
                    FAIL("n=%zu i=%zu: got %.9g want %.9g", n, j, (double)b[j], (double)(x[j] * s));
            if (!kc_canaries()) FAIL("n=%zu: wrote outside", n);
            if (!t->bench || any || n != BENCH_N) continue;
            KC_TIME(t->ns_ref, t->ref->scale(b, 1.0f, n));
            KC_TIME(t->ns_tst, t->tst->scale(b, 1.0f, n));
        }
    return true;
}
