/* The table of iq4_nl and iq4_xs: 16 values that are denser around zero, as weights
 * are, and the search for a scale of it (the idea is in fit.c).  A code is the value
 * plus 128. */
#include "quant/int_quant.h"

#include <math.h>

const int8_t mk_iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                  1,    13,   25,  38,  53,  69,  89,  113};

/* Half way between neighbours. */
static const float border[15] = {-115.5f, -93.5f, -74,   -57,   -42, -28.5f, -16, -4.5f,
                                 7,       19,     31.5f, 45.5f, 61,  79,     101};

/* The values nearest to x * inv: start from the lowest and climb over the
 * borders below.  No branch and no look-up: it becomes vector code. */
static inline void nearest(float v[MK_LANES], const float *x, float inv)
{
    float at[MK_LANES];
    for (unsigned l = 0; l < MK_LANES; l++) {
        at[l] = x[l] * inv;
        v[l] = mk_iq4_values[0];
    }
    for (unsigned k = 0; k < 15; k++) {
        const float step = (float)(mk_iq4_values[k + 1] - mk_iq4_values[k]);
        for (unsigned l = 0; l < MK_LANES; l++) v[l] += at[l] > border[k] ? step : 0;
    }
}

static struct mk_ratio sums(const float *x, const float *w, float inv)
{
    float xv[MK_LANES] = {0}, vv[MK_LANES] = {0}, v[MK_LANES];
    for (unsigned i = 0; i < 32; i += MK_LANES, x += MK_LANES, w += MK_LANES) {
        nearest(v, x, inv);
        for (unsigned l = 0; l < MK_LANES; l++) {
            xv[l] += w[l] * v[l] * x[l];
            vv[l] += w[l] * v[l] * v[l];
        }
    }
    return (struct mk_ratio){mk_lanes_sum(xv), mk_lanes_sum(vv)};
}

/* Candidates put the largest value near one end of the table or the other, which
 * differ. */
static float fit_scale(const float *x, const float *w)
{
    static const float ends[2] = {-127, 113}, stretch[4] = {0.88f, 0.95f, 1.02f, 1.09f};
    float extreme = 0;
    for (unsigned i = 0; i < 32; i++)
        if (fabsf(x[i]) > fabsf(extreme)) extreme = x[i];
    if (extreme == 0) return 0;

    float best = 0, scale = 0;
    for (unsigned k = 0; k < 8; k++) {
        const struct mk_ratio r = sums(x, w, ends[k / 4] * stretch[k % 4] / extreme);
        if (mk_ratio_gain(r) > best) {
            best = mk_ratio_gain(r);
            scale = r.xq / r.qq;
        }
    }
    return scale;
}

static void round_codes(uint8_t *q, const float *x, float scale)
{
    const float inv = scale != 0 ? 1 / scale : 0;
    float v[MK_LANES];
    for (unsigned i = 0; i < 32; i += MK_LANES) {
        nearest(v, x + i, inv);
        for (unsigned l = 0; l < MK_LANES; l++) q[i + l] = (uint8_t)(v[l] + 128);
    }
}

void mk_iq4_indices(uint8_t *i, const uint8_t *q, unsigned n)
{
    for (unsigned k = 0; k < n; k++) {
        i[k] = 0;
        while (mk_iq4_values[i[k]] + 128 < q[k]) i[k]++;
    }
}

void mk_iq4_fit_s32(struct mk_codes *c, const float *x)
{
    float w[32];
    mk_fit_weights(w, x, 32);
    c->d = mk_round_half(fit_scale(x, w));
    c->m = 0;
    round_codes(c->q, x, c->d);
}

void mk_iq4_fit_s256(struct mk_codes *c, const float *x)
{
    float w[256], scale[8];
    mk_fit_weights(w, x, 256);
    for (unsigned j = 0; j < 8; j++) scale[j] = fit_scale(x + 32 * j, w + 32 * j);
    c->d = mk_fit_share(c->sc, scale, 8, 32);
    c->m = 0;
    for (unsigned j = 0; j < 8; j++) round_codes(c->q + 32 * j, x + 32 * j, c->d * (float)c->sc[j]);
}
