/* What prepares activations: quantisation to 8 bits and rounding to bf16, bit for bit. */
#include "kcheck.h"

#include <math.h>
#include <string.h>

typedef void quant_fn(int8_t *q, float *s, int16_t *sum, const float *x, size_t n);

/* Normal, tiny and huge values, ties, extremes, NaN. */
enum { F_NORMAL, F_TINY, F_HUGE, F_TIES, F_ZERO, F_ANY, F_NAN, N_F_FILLS };

static float value(struct kc *t, int fill)
{
    switch (fill) {
    case F_NORMAL:
        return (float)mk_rng_normal(&t->rng);
    case F_TINY:
        return 1e-39f * kc_rnd_f32(t);
    case F_HUGE:
        return 3.4e38f * kc_rnd_f32(t);
    case F_TIES:
        return 0.5f * (float)((int)kc_below(t, 255) - 127);
    case F_ZERO:
        return kc_rnd(t) & 1 ? -0.0f : 0.0f;
    case F_ANY:
        return kc_rnd_any(t, false);
    default:
        return kc_rnd_any(t, true);
    }
}

/* Scalar itself: codes in range, sums right, x near s * q. */
static bool quant_right(struct kc *t, const int8_t *q, const float *s, const int16_t *sum,
                        const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int z = 0;
        for (size_t j = i / 16 * 16; j < i / 16 * 16 + 16; j++) z += q[j];
        if (q[i] == -128 || z != sum[i / 16]) FAIL("scalar: code or sum %zu is wrong", i);
        const double d = (double)s[i / 32];
        if (!(fabs((double)x[i] - d * q[i]) <= 0.50001 * d)) FAIL("scalar: value %zu is off", i);
    }
    return true;
}

static bool quant_case(struct kc *t, quant_fn *ref, quant_fn *tst, size_t n, int fill)
{
    kc_reset();
    float *x = kc_buf(n * sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = value(t, fill);
    if (fill == F_TIES)
        for (size_t i = 0; i < n; i += 32) x[i] = 127.0f; /* scale 1: every half is a tie */
    int8_t *qa = kc_buf(n), *qb = kc_buf(n);
    float *sa = kc_buf(n / 32 * 4), *sb = kc_buf(n / 32 * 4);
    int16_t *ta = kc_buf(n / 16 * 2), *tb = kc_buf(n / 16 * 2);
    ref(qa, sa, ta, x, n);
    tst(qb, sb, tb, x, n);
    for (size_t i = 0; i < n; i++)
        if (qa[i] != qb[i])
            FAIL("n=%zu fill=%d i=%zu x=%.9g: code %d want %d", n, fill, i, (double)x[i], qb[i],
                 qa[i]);
    const size_t j = kc_differs(sa, sb, n / 32);
    if (j < n / 32) FAIL("n=%zu fill=%d: scale %zu", n, fill, j);
    if (memcmp(ta, tb, n / 16 * 2)) FAIL("n=%zu fill=%d: sums", n, fill);
    if (!kc_canaries()) FAIL("n=%zu: wrote outside", n);
    if (ref != tst || (fill != F_NORMAL && fill != F_TIES)) return true;
    return quant_right(t, qa, sa, ta, x, n);
}

static bool quant(struct kc *t, quant_fn *ref, quant_fn *tst)
{
    for (int fill = 0; fill < N_F_FILLS; fill++)
        for (size_t i = 0; i < kc_n_lengths; i++)
            if (kc_lengths[i] * 32 <= 16384 && !quant_case(t, ref, tst, kc_lengths[i] * 32, fill))
                return false;
    if (!t->bench) return true;
    kc_reset();
    const size_t n = 7168;
    float *x = kc_buf(n * sizeof *x), *s = kc_buf(n / 32 * sizeof *s);
    int8_t *q = kc_buf(n);
    int16_t *sum = kc_buf(n / 16 * sizeof *sum);
    for (size_t i = 0; i < n; i++) x[i] = kc_rnd_f32(t);
    KC_TIME(t->ns_ref, ref(q, s, sum, x, n));
    KC_TIME(t->ns_tst, tst(q, s, sum, x, n));
    kc_note(t, "%5.1f values/ns", (double)n / t->ns_tst);
    return true;
}

bool kc_quant_x8(struct kc *t) { return quant(t, t->ref->quant_x8, t->tst->quant_x8); }

/* Any bits; around ties, with exponents of all kinds; subnormal, of one sign. */
static uint32_t float_bits(struct kc *t, int fill)
{
    switch (fill) {
    case 0:
        return kc_rnd(t);
    case 1:
        return (kc_rnd(t) << 15) + (uint32_t)kc_below(t, 3) - 1;
    default:
        return kc_rnd(t) >> 9 | (fill == 3 ? 0x80000000u : 0);
    }
}

bool kc_f32_bf16(struct kc *t)
{
    for (int fill = 0; fill < 4; fill++)
        for (size_t i = 0; i < kc_n_lengths; i++) {
            kc_reset();
            const size_t n = kc_lengths[i];
            uint32_t *u = kc_buf(n * 4);
            for (size_t j = 0; j < n; j++) u[j] = float_bits(t, fill);
            float *x = kc_buf(n * sizeof *x);
            memcpy(x, u, n * sizeof *x);
            uint16_t *a = kc_buf(n * 2), *b = kc_buf(n * 2);
            t->ref->f32_bf16(a, x, n);
            t->tst->f32_bf16(b, x, n);
            for (size_t j = 0; j < n; j++)
                if (a[j] != b[j])
                    FAIL("n=%zu j=%zu x=%08x: got %04x want %04x", n, j, u[j], b[j], a[j]);
            if (!kc_canaries()) FAIL("n=%zu: wrote outside", n);
            if (n != 7168 || fill != 1 || !t->bench) continue;
            KC_TIME(t->ns_ref, t->ref->f32_bf16(a, x, n));
            KC_TIME(t->ns_tst, t->tst->f32_bf16(b, x, n));
        }
    return true;
}
