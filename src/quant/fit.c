/* Choosing scales.  A block's codes follow from its scale by rounding; the scale is
 * searched.  Each candidate rounds the values, and for the codes so found the best
 * scale is known in closed form (weighted least squares):
 *
 *   w = s q        s = <x q> / <q q>           error = <x x> - <x q>^2 / <q q>
 *   w = s q + m    the two normal equations
 *
 * where <a b> = sum over the block of weight * a * b.  A value x counts 1 + |x| / rms:
 * the field found that models notice errors of large values more than a plain sum of
 * squares does. */
#include "quant/int_quant.h"

#include <math.h>

float mk_round_half(float x)
{
    /* Rounding down among the subnormal halves would push the largest weights out of
     * the codes' range, or all weights to zero. */
    const float size = fminf(fabsf(x), 65504);
    uint16_t h = mk_f32_f16(size);
    if (size < 0x1p-14f && mk_f16_f32(h) < size) h++;
    return copysignf(mk_f16_f32(h), x);
}

/* The code nearest to v, 0..top; v is NaN when 0 meets an infinite inverse scale. */
static inline int to_code(float v, float top)
{
    v += 0.5f;
    v = v > 0 ? v : 0;
    return (int)(v < top ? v : top);
}

void mk_fit_round(uint8_t *q, const float *x, unsigned n, float scale, float min, int bias, int top)
{
    const float inv = scale != 0 ? 1 / scale : 0;
    for (unsigned i = 0; i < n; i++)
        q[i] = (uint8_t)to_code((x[i] - min) * inv + (float)bias, (float)top);
}

void mk_fit_weights(float *w, const float *x, unsigned n)
{
    float sum = 0;
    for (unsigned i = 0; i < n; i++) sum += x[i] * x[i];
    const float inv = sum > 0 ? 1 / sqrtf(sum / (float)n) : 0;
    for (unsigned i = 0; i < n; i++) w[i] = 1 + fabsf(x[i]) * inv;
}

/* ---- w = scale * (q - bias) --------------------------------------------------- */

static struct mk_ratio sums_ratio(const float *x, const float *w, unsigned n, float inv, int bias)
{
    const float offset = (float)bias, top = (float)(2 * bias - 1);
    float xq[MK_LANES] = {0}, qq[MK_LANES] = {0};
    for (unsigned i = 0; i < n; i += MK_LANES, x += MK_LANES, w += MK_LANES)
        for (unsigned l = 0; l < MK_LANES; l++) {
            const float q = (float)to_code(x[l] * inv + offset, top) - offset;
            const float wq = w[l] * q;
            xq[l] += wq * x[l];
            qq[l] += wq * q;
        }
    return (struct mk_ratio){mk_lanes_sum(xq), mk_lanes_sum(qq)};
}

/* Candidates put the largest value at code 0 (there is one more code below the bias
 * than above) or up to one step to either side.  Twice as many find 0.1 % more. */
static float fit_scale(const float *x, const float *w, unsigned n, int bias)
{
    float extreme = 0;
    for (unsigned i = 0; i < n; i++)
        if (fabsf(x[i]) > fabsf(extreme)) extreme = x[i];
    if (extreme == 0) return 0;

    enum { TRIES = 4 };
    float best = 0, scale = 0;
    for (int k = -TRIES; k <= TRIES; k++) {
        const float inv = -((float)bias + 0.25f * (float)k) / extreme;
        const struct mk_ratio r = sums_ratio(x, w, n, inv, bias);
        if (mk_ratio_gain(r) > best) {
            best = mk_ratio_gain(r);
            scale = r.xq / r.qq;
        }
    }
    return scale;
}

void mk_fit_s32(struct mk_codes *c, const float *x, int bias)
{
    float w[32];
    mk_fit_weights(w, x, 32);
    c->d = mk_round_half(fit_scale(x, w, 32, bias));
    c->m = 0;
    mk_fit_round(c->q, x, 32, c->d, 0, bias, 2 * bias - 1);
}

/* A sub-scale that rounds to 0 would erase its weights; at +-1 their codes still say
 * something.  A sixteenth is where that ends. */
static int16_t keep(int sc, float v)
{
    return (int16_t)(sc == 0 && fabsf(v) > 0.0625f ? (v < 0 ? -1 : 1) : sc);
}

float mk_fit_share(int16_t *sc, const float *scale, unsigned n, int limit)
{
    float extreme = 0;
    for (unsigned j = 0; j < n; j++)
        if (fabsf(scale[j]) > fabsf(extreme)) extreme = scale[j];
    const float d = mk_round_half(-extreme / (float)limit), inv = d != 0 ? 1 / d : 0;
    for (unsigned j = 0; j < n; j++) {
        const float v = scale[j] * inv;
        sc[j] = keep(to_code(v + (float)limit, (float)(2 * limit - 1)) - limit, v);
    }
    return d;
}

void mk_fit_s256(struct mk_codes *c, const float *x, unsigned sub, int bias, int sc_bias)
{
    float w[256], scale[16];
    mk_fit_weights(w, x, 256);
    for (unsigned j = 0; j * sub < 256; j++)
        scale[j] = fit_scale(x + j * sub, w + j * sub, sub, bias);
    c->d = mk_fit_share(c->sc, scale, 256 / sub, sc_bias);
    c->m = 0;
    for (unsigned j = 0; j * sub < 256; j++)
        mk_fit_round(c->q + j * sub, x + j * sub, sub, c->d * (float)c->sc[j], 0, bias,
                     2 * bias - 1);
}

/* ---- w = scale * q + min ------------------------------------------------------ */

struct line {
    float scale, min;
};

/* A search over n values y >= 0: what is fixed, the sums of one candidate, and the best
 * line so far with its error, which is relative to that of the line 0. */
struct search {
    const float *y, *w;
    unsigned n;
    float top;
    double most; /* upper limit of min */
    float sum_w, sum_y, sum_q, sum_yq, sum_qq;
    struct line best;
    double least;
};

static void sum_codes(struct search *s, struct line by)
{
    const float inv = 1 / by.scale, *y = s->y, *w = s->w;
    float sq[MK_LANES] = {0}, syq[MK_LANES] = {0}, sqq[MK_LANES] = {0};
    for (unsigned i = 0; i < s->n; i += MK_LANES, y += MK_LANES, w += MK_LANES)
        for (unsigned l = 0; l < MK_LANES; l++) {
            const float q = (float)to_code((y[l] - by.min) * inv, s->top), wq = w[l] * q;
            sq[l] += wq;
            syq[l] += wq * y[l];
            sqq[l] += wq * q;
        }
    s->sum_q = mk_lanes_sum(sq);
    s->sum_yq = mk_lanes_sum(syq);
    s->sum_qq = mk_lanes_sum(sqq);
}

/* Rounds y to codes by one line and solves for the best line through (q, y); true when
 * it is better than any before. */
static bool try_line(struct search *s, struct line by)
{
    sum_codes(s, by);
    const double w = (double)s->sum_w, y = (double)s->sum_y, q = (double)s->sum_q,
                 yq = (double)s->sum_yq, qq = (double)s->sum_qq, det = w * qq - q * q;
    if (!(det > 1e-6 * w * qq)) return false; /* the codes are all equal */
    double scale = (w * yq - y * q) / det, min = (y - scale * q) / w;
    if (min > s->most) {
        min = s->most;
        scale = (yq - min * q) / qq;
    }
    const double error = scale * (scale * qq + 2 * min * q - 2 * yq) + min * (min * w - 2 * y);
    if (!(scale > 0 && error < s->least)) return false;
    s->least = error;
    s->best = (struct line){(float)scale, (float)min};
    return true;
}

/* Candidates spread the range of x over top codes, or one more or less; the best is
 * then improved twice by rounding with the line it led to. */
static struct line fit_line(const float *x, const float *w, unsigned n, int top, bool is_below_zero)
{
    float low = x[0], high = x[0], y[32];
    for (unsigned i = 1; i < n; i++) {
        low = fminf(low, x[i]);
        high = fmaxf(high, x[i]);
    }
    if (is_below_zero && low > 0) low = 0;
    struct search s = {.y = y,
                       .w = w,
                       .n = n,
                       .top = (float)top,
                       .most = is_below_zero ? -(double)low : HUGE_VAL,
                       .least = HUGE_VAL};
    for (unsigned i = 0; i < n; i++) {
        y[i] = x[i] - low;
        s.sum_w += w[i];
        s.sum_y += w[i] * y[i];
    }

    enum { TRIES = 4 };
    if (high > low) {
        for (int k = -TRIES; k <= TRIES; k++)
            try_line(&s, (struct line){(high - low) / ((float)top + 0.25f * (float)k), 0});
        for (int k = 0; k < 2 && s.best.scale > 0; k++)
            if (!try_line(&s, s.best)) break;
    }
    return (struct line){s.best.scale, s.best.min + low};
}

void mk_fit_s32_min(struct mk_codes *c, const float *x, int top)
{
    float w[32];
    mk_fit_weights(w, x, 32);
    const struct line l = fit_line(x, w, 32, top, false);
    c->d = mk_round_half(l.scale);
    c->m = mk_round_half(l.min);
    mk_fit_round(c->q, x, 32, c->d, c->m, 0, top);
}

/* Returns d, and sets integers 0..top such that d * k[j] is near v[j] >= 0. */
static float share_unsigned(int16_t *k, const float *v, unsigned n, int top)
{
    float most = 0;
    for (unsigned j = 0; j < n; j++) most = fmaxf(most, v[j]);
    const float d = mk_round_half(most / (float)top), inv = d > 0 ? 1 / d : 0;
    for (unsigned j = 0; j < n; j++) k[j] = (int16_t)to_code(v[j] * inv, (float)top);
    return d;
}

/* The weighted square error of x rounded to a line. */
static float line_error(const float *x, const float *w, unsigned n, struct line by, float top)
{
    const float inv = by.scale > 0 ? 1 / by.scale : 0;
    float sum[MK_LANES] = {0};
    for (unsigned i = 0; i < n; i += MK_LANES, x += MK_LANES, w += MK_LANES)
        for (unsigned l = 0; l < MK_LANES; l++) {
            const float q = (float)to_code((x[l] - by.min) * inv, top);
            const float r = x[l] - (by.scale * q + by.min);
            sum[l] += w[l] * r * r;
        }
    return mk_lanes_sum(sum);
}

/* The integers nearest to a sub-scale and a minimum are not the best pair: an error of
 * one is made up for by the other.  Takes the best of the nine pairs around them. */
static void adjust(int16_t *sc, int16_t *mn, const struct mk_codes *c, const float *x,
                   const float *w, unsigned n, float top, int sc_top)
{
    const int sc0 = *sc, mn0 = *mn;
    float least = HUGE_VALF;
    for (int s = sc0 - (sc0 > 0); s <= sc0 + (sc0 < sc_top); s++)
        for (int m = mn0 - (mn0 > 0); m <= mn0 + (mn0 < sc_top); m++) {
            const struct line by = {c->d * (float)s, -c->m * (float)m};
            const float error = line_error(x, w, n, by, top);
            if (error >= least) continue;
            least = error;
            *sc = (int16_t)s;
            *mn = (int16_t)m;
        }
}

void mk_fit_s256_min(struct mk_codes *c, const float *x, unsigned sub, int top, int sc_top)
{
    float w[256], scale[16], min[16];
    mk_fit_weights(w, x, 256);
    for (unsigned j = 0; j * sub < 256; j++) {
        const struct line l = fit_line(x + j * sub, w + j * sub, sub, top, true);
        scale[j] = l.scale;
        min[j] = -l.min;
    }
    c->d = share_unsigned(c->sc, scale, 256 / sub, sc_top);
    c->m = share_unsigned(c->mn, min, 256 / sub, sc_top);
    for (unsigned j = 0; j * sub < 256; j++) {
        const float *xj = x + j * sub;
        adjust(&c->sc[j], &c->mn[j], c, xj, w + j * sub, sub, (float)top, sc_top);
        mk_fit_round(c->q + j * sub, xj, sub, c->d * (float)c->sc[j], -c->m * (float)c->mn[j], 0,
                     top);
    }
}
