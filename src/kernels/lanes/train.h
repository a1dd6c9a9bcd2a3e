#ifndef MK_KERNELS_LANES_TRAIN_H
#define MK_KERNELS_LANES_TRAIN_H
/* Sums, gradients and the optimizer's step.  Sums go lane by lane and then across, in an
 * order that depends on n only. */
#include "kernels/lanes/lanes.h"

#include <math.h>

static vf fma_lanes(vf a, vf b, vf c); /* a * b + c, rounded once */
static vf exp_lanes(vf x);
static vf sqrt_lanes(vf x);
/* The first n < LANES values at x, then zeros; and the first n of v to y. */
static vf get_first(const float *x, size_t n);
static void put_first(float *y, vf v, size_t n);

typedef double vd __attribute__((vector_size(4 * LANES))); /* of half the lanes */
static vd low_half(vf v);
static vd high_half(vf v);
static float sum_lanes(vf v);
static double sum_lanes_d(vd v);

/* As many of n values as fit. */
INLINE vf get(const float *x, size_t n) { return n >= LANES ? get_f(x) : get_first(x, n); }
INLINE void put(float *y, vf v, size_t n)
{
    if (n >= LANES)
        put_f(y, v);
    else
        put_first(y, v, n);
}
INLINE vf all(float x) { return x - (vf){0}; }

/* ---- sums -------------------------------------------------------------------- */

static float dot(const float *a, const float *b, size_t n)
{
    vf s[4] = {{0}, {0}, {0}, {0}};
    size_t i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES) {
        UNROLL
        for (size_t j = 0; j < 4; j++)
            s[j] = fma_lanes(get_f(a + i + j * LANES), get_f(b + i + j * LANES), s[j]);
    }
    for (; i < n; i += LANES) s[0] = fma_lanes(get(a + i, n - i), get(b + i, n - i), s[0]);
    return sum_lanes((s[0] + s[1]) + (s[2] + s[3]));
}

struct sum_d {
    vd low, high;
};

/* Adds a * b in double. */
INLINE void add_product(struct sum_d *s, vf a, vf b)
{
    s->low += low_half(a) * low_half(b);
    s->high += high_half(a) * high_half(b);
}

INLINE double total(const struct sum_d *s) { return sum_lanes_d(s->low + s->high); }

static double sum_sq(const float *x, size_t n)
{
    struct sum_d s = {{0}, {0}};
    for (size_t i = 0; i < n; i += LANES) {
        const vf v = get(x + i, n - i);
        add_product(&s, v, v);
    }
    return total(&s);
}

/* ---- gradients --------------------------------------------------------------- */

static void rmsnorm_back(float *dx, float *dw, const float *dy, const float *x, const float *w,
                         size_t n, float eps)
{
    struct sum_d ss = {{0}, {0}}, sum = {{0}, {0}};
    for (size_t i = 0; i < n; i += LANES) {
        const vf v = get(x + i, n - i);
        add_product(&ss, v, v);
        add_product(&sum, get(dy + i, n - i) * get(w + i, n - i), v);
    }
    const float r = 1.0f / sqrtf((float)(total(&ss) / (double)n) + eps);
    const double r3 = (double)r * (double)r * (double)r;
    const vf vr = all(r), c = all((float)(r3 / (double)n * total(&sum)));
    for (size_t i = 0; i < n; i += LANES) {
        const vf v = get(x + i, n - i), d = get(dy + i, n - i) * vr;
        put(dx + i, get(dx + i, n - i) + (get(w + i, n - i) * d - v * c), n - i);
        if (dw) put(dw + i, fma_lanes(d, v, get(dw + i, n - i)), n - i);
    }
}

static void silu_mul_back(float *dgate, float *dup, const float *dy, const float *gate,
                          const float *up, size_t n)
{
    const vf one = all(1.0f);
    for (size_t i = 0; i < n; i += LANES) {
        const vf g = get(gate + i, n - i), d = get(dy + i, n - i);
        const vf s = one / (one + exp_lanes(-g)), slope = s * fma_lanes(g, one - s, one);
        put(dup + i, fma_lanes(d, g * s, get(dup + i, n - i)), n - i);
        const vf du = d * get(up + i, n - i);
        put(dgate + i, fma_lanes(du, slope, get(dgate + i, n - i)), n - i);
    }
}

static void softmax_back(float *ds, const float *p, const float *dp, size_t n, float dot_p_dp)
{
    for (size_t i = 0; i < n; i += LANES)
        put(ds + i, get(p + i, n - i) * (get(dp + i, n - i) - dot_p_dp), n - i);
}

/* ---- the optimizer ----------------------------------------------------------- */

static void adamw(float *w, float *m, float *v, const float *g, size_t n, const struct mk_adamw *a)
{
    const vf new_m = all(1.0f - a->beta1), old_m = all(a->beta1),
             keep = all(1.0f - a->lr * a->decay);
    const vf new_v = all(1.0f - a->beta2), old_v = all(a->beta2);
    for (size_t i = 0; i < n; i += LANES) {
        const size_t left = n - i;
        const vf gi = get(g + i, left) * a->scale;
        const vf m1 = fma_lanes(new_m, gi, old_m * get(m + i, left));
        const vf v1 = fma_lanes(new_v * gi, gi, old_v * get(v + i, left));
        const vf step = a->lr * (m1 * a->c1) / (sqrt_lanes(v1 * a->c2) + a->eps);
        put(m + i, m1, left);
        put(v + i, v1, left);
        put(w + i, fma_lanes(get(w + i, left), keep, -step), left);
    }
}

static void set_train(struct mk_kernels *k)
{
    k->dot = dot;
    k->sum_sq = sum_sq;
    k->rmsnorm_back = rmsnorm_back;
    k->silu_mul_back = silu_mul_back;
    k->softmax_back = softmax_back;
    k->adamw = adamw;
}
#endif
