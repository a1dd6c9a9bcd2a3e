/* The arithmetic of stage_rl.h, apart from everything that generates and learns. */
#include "train/stage_rl.h"

#include <math.h>

static const double std_eps = 1e-6;   /* as verl has it */
static const double max_ratio = 20.0; /* of logarithms */

void mk_rl_advantages(const double *reward, size_t n, bool divides, double *out)
{
    double mean = 0.0, var = 0.0;
    for (size_t i = 0; i < n; i++) mean += reward[i] / (double)n;
    for (size_t i = 0; i < n; i++) var += (reward[i] - mean) * (reward[i] - mean);
    const double std = n > 1 ? sqrt(var / (double)(n - 1)) : 0.0;
    for (size_t i = 0; i < n; i++)
        out[i] = divides ? (reward[i] - mean) / (std + std_eps) : reward[i] - mean;
}

void mk_rl_standing_learn(struct mk_rl_standing *s, int lo, double mean, bool is_mixed)
{
    enum { N_GROUPS = 20 }; /* that the running means reach back */
    s->mixed += ((is_mixed ? 1.0 : 0.0) - s->mixed) / N_GROUPS;
    s->solved += (mean - s->solved) / N_GROUPS;
    if (s->solved < 0.05)
        s->level = s->level > lo ? s->level - 1 : 0;
    else if (s->level < 0 && s->solved > 0.8)
        s->level++;
    else
        return;
    s->solved = 0.5;
}

static double bounded(double v)
{
    return v > max_ratio ? max_ratio : v < -max_ratio ? -max_ratio : v;
}

/* KL, and its derivative by lp:
 *   k1 = lp - ref           1
 *   k2 = (lp - ref)^2 / 2   lp - ref
 *   k3 = e^d - d - 1        1 - e^d,  d = ref - lp
 *   r k3                    r (k3 + 1 - e^d) = -r d */
static double kl_term(enum mk_rl_kl kind, double d, double r, double *slope)
{
    const double e = exp(d), k3 = e - d - 1.0;
    switch (kind) {
    case MK_KL_K1:
        *slope = 1.0;
        return -d;
    case MK_KL_K2:
        *slope = -d;
        return 0.5 * d * d;
    case MK_KL_K3:
        *slope = 1.0 - e;
        return k3;
    default:
        *slope = -r * d;
        return r * k3;
    }
}

struct mk_rl_term mk_rl_term(const struct mk_rl_options *o, const struct mk_rl_token *t)
{
    const double r = exp(bounded(t->lp - t->lp_old));
    struct mk_rl_term out = {0};
    out.is_clipped = (t->adv > 0 && r > 1 + o->clip_hi) || (t->adv < 0 && r < 1 - o->clip_lo);
    if (!out.is_clipped) out.coef = t->adv * r;
    if (o->kl > 0) {
        double slope;
        out.kl = kl_term(o->kl_kind, bounded(t->lp_ref - t->lp), r, &slope);
        out.coef -= o->kl * slope;
    }
    out.coef *= t->norm;
    return out;
}
