#ifndef KCHECK_H
#define KCHECK_H
/* What the checks share.  A check returns true, or false with t->why filled. */
#include "base/rng.h"
#include "kernels/kernels.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* What one core can do at most, per ns. */
struct kc_peak {
    double int8_mac, f32_mac, bf16_mac, read_bytes;
};
struct kc {
    const struct mk_kernels *ref, *tst; /* scalar, and the one on trial */
    enum mk_type type;                  /* of a T entry */
    bool bench;
    struct kc_peak peak;
    struct mk_rng rng;
    double ns_ref, ns_tst; /* one call at a real size */
    char note[240];        /* speed in the kernel's own unit */
    char why[160];
};
#define FAIL(...) return snprintf(t->why, sizeof t->why, __VA_ARGS__), false

#define K(name, ret, params) bool kc_##name(struct kc *t);
#define T(name, ret, params) bool kc_##name(struct kc *t);
#include "kernels/kernels.def"
#undef K
#undef T

/* Appends to t->note. */
void kc_note(struct kc *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A buffer of n bytes (then filled with a pattern) that touches an unmapped page on
 * one side and canaries on the other; kc_reset takes all buffers back. */
void *kc_buf(size_t n);
void kc_reset(void);
/* False when a canary of a buffer in use has died. */
bool kc_canaries(void);

uint32_t kc_rnd(struct kc *t);
size_t kc_below(struct kc *t, size_t n);   /* 0..n-1 */
float kc_rnd_f32(struct kc *t);            /* -1..1 */
float kc_rnd_any(struct kc *t, bool nans); /* -1..1, now and then an extreme value */
bool kc_same(float a, float b);            /* the same bits, or both NaN */
/* First of n floats that differs, n if none does. */
size_t kc_differs(const float *a, const float *b, size_t n);
/* |got - want| <= 1e-5 * scale; NaN and infinity must match. */
bool kc_near(double got, double want, double scale);

/* The tile borders, then real model sizes. */
extern const size_t kc_lengths[];
extern const size_t kc_n_lengths;

/* How many strips share out their rows where gemv of this type likes them far apart. */
static inline size_t kc_apart(const struct kc *t)
{
    return t->tst->reads_in_turn[t->type] ? 17 : 1;
}
/* The first row of strip i; its rows are `by` apart. */
static inline size_t kc_strip(size_t i, size_t by) { return i / by * by * MK_PANEL_ROWS + i % by; }

double kc_now(void); /* ns of this thread, so that other programs disturb less */
#define KC_TIME(ns, call)                                             \
    do {                                                              \
        long n_ = 1;                                                  \
        double best_ = 1e30, t_ = 0;                                  \
        for (int r_ = 0; r_ < 12;) {                                  \
            t_ = kc_now();                                            \
            for (long q_ = 0; q_ < n_; q_++) call;                    \
            t_ = kc_now() - t_;                                       \
            if (t_ < 2e5 && n_ < 1 << 20)                             \
                n_ *= 4;                                              \
            else {                                                    \
                if (t_ / (double)n_ < best_) best_ = t_ / (double)n_; \
                r_ += t_ > 2e7 ? 4 : 1;                               \
            }                                                         \
        }                                                             \
        (ns) = best_;                                                 \
    } while (0)

struct kc_peak kc_peak(const struct mk_kernels *k);
#endif
