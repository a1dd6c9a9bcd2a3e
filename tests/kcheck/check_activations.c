/* What prepares activations: quantisation to 8 bits and rounding to bf16 and f16, bit for bit. */
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

/* Any bits; around ties of bf16, with exponents of all kinds; around ties of f16, from those below
 * its subnormal numbers to those above its largest, and NaN; subnormal, of one sign. */
enum { ANY, BF16_TIES, F16_TIES, SUBNORMAL, MINUS_SUBNORMAL, N_BITS };

static uint32_t float_bits(struct kc *t, int fill)
{
    const uint32_t off = (uint32_t)kc_below(t, 3) - 1;
    uint32_t exponent;
    switch (fill) {
    case ANY:
        return kc_rnd(t);
    case BF16_TIES:
        return (kc_rnd(t) << 15) + off;
    case F16_TIES:
        if (!kc_below(t, 40)) return 0x7f800000u | kc_rnd(t);
        exponent = (uint32_t)(100 + kc_below(t, 45)) << 23;
        return (kc_rnd(t) << 31 | exponent | (uint32_t)kc_below(t, 1 << 11) << 12) + off;
    default:
        return kc_rnd(t) >> 9 | (fill == MINUS_SUBNORMAL ? 0x80000000u : 0);
    }
}

static bool is_nan_half(uint16_t h) { return (h & 0x7fff) > 0x7c00; }

/* To 16 bits, f16 or bf16; of a NaN in f16 only that it is one. */
static bool narrow(struct kc *t, mk_f32_bf16_fn *ref, mk_f32_bf16_fn *tst, bool is_f16)
{
    for (int fill = 0; fill < N_BITS; fill++)
        for (size_t i = 0; i < kc_n_lengths; i++) {
            kc_reset();
            const size_t n = kc_lengths[i];
            uint32_t *u = kc_buf(n * 4);
            for (size_t j = 0; j < n; j++) u[j] = float_bits(t, fill);
            float *x = kc_buf(n * sizeof *x);
            memcpy(x, u, n * sizeof *x);
            uint16_t *a = kc_buf(n * 2), *b = kc_buf(n * 2);
            ref(a, x, n);
            tst(b, x, n);
            for (size_t j = 0; j < n; j++)
                if (a[j] != b[j] && !(is_f16 && is_nan_half(a[j]) && is_nan_half(b[j])))
                    FAIL("n=%zu j=%zu x=%08x: got %04x want %04x", n, j, u[j], b[j], a[j]);
            if (!kc_canaries()) FAIL("n=%zu: wrote outside", n);
            if (n != 7168 || fill != BF16_TIES || !t->bench) continue;
            KC_TIME(t->ns_ref, ref(a, x, n));
            KC_TIME(t->ns_tst, tst(b, x, n));
        }
    return true;
}

bool kc_f32_bf16(struct kc *t) { return narrow(t, t->ref->f32_bf16, t->tst->f32_bf16, false); }

/* The definition, where rounding alone does not say it. */
bool kc_f32_f16(struct kc *t)
{
    const float x[] = {65504.0f, 65520.0f, -1e9f, INFINITY, -INFINITY, NAN, 0x1p-25f, 0x1.8p-24f};
    const uint16_t want[] = {0x7bff, 0x7bff, 0xfbff, 0x7bff, 0xfbff, 0x7e00, 0, 2};
    uint16_t y[8];
    t->tst->f32_f16(y, x, 8);
    for (int i = 0; i < 8; i++)
        if (y[i] != want[i]) FAIL("%g: got %04x want %04x", (double)x[i], y[i], want[i]);
    return narrow(t, t->ref->f32_f16, t->tst->f32_f16, true);
}
