/* Signs of a run that goes wrong, as users of other trainers met them: advantages that are all
 * zero, samples that never end, a loss that rises, experts that starve. */
#include "train/int_metrics.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { FLAT_STEPS = 5, MIN_MEDIAN = 20 };

enum warning { FLAT, ENDLESS, CLIPPED, NO_NUMBER, RISING, UNBALANCED, JUMPING };

static void __attribute__((format(printf, 4, 5)))
set(struct mk_watch *w, enum warning kind, bool is_on, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (is_on && !w->is_on[kind]) {
        vsnprintf(w->text[kind], sizeof w->text[kind], fmt, ap);
        w->is_new[kind] = true;
    }
    w->is_on[kind] = is_on;
    va_end(ap);
}

/* ---- the last values -------------------------------------------------------------------- */

static void put(struct mk_ring *r, double v) { r->v[r->n++ % MK_WATCH_MEDIAN] = v; }

static double mean_of_last(const struct mk_ring *r, size_t n)
{
    double sum = 0;
    for (size_t i = r->n - n; i < r->n; i++) sum += r->v[i % MK_WATCH_MEDIAN];
    return sum / (double)n;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(const struct mk_ring *r)
{
    double v[MK_WATCH_MEDIAN];
    const size_t n = r->n < MK_WATCH_MEDIAN ? r->n : MK_WATCH_MEDIAN;
    memcpy(v, r->v, n * sizeof *v);
    qsort(v, n, sizeof *v, by_value);
    return n % 2 ? v[n / 2] : 0.5 * (v[n / 2 - 1] + v[n / 2]);
}

/* ---- rules ------------------------------------------------------------------------------ */

static void watch_loss(struct mk_watch *w, double loss, bool is_rl)
{
    set(w, NO_NUMBER, !isfinite(loss), "the loss is no number");
    if (!isfinite(loss) || is_rl) return;
    put(&w->loss, loss);
    if (w->loss.n < MK_WATCH_MEAN) return;
    const double mean = mean_of_last(&w->loss, MK_WATCH_MEAN);
    if (w->loss.n == MK_WATCH_MEAN || mean < w->lowest_mean) w->lowest_mean = mean;
    set(w, RISING, mean > 2 * w->lowest_mean, "the loss rises: mean of %d steps %.4g, it was %.4g",
        MK_WATCH_MEAN, mean, w->lowest_mean);
}

static void watch_norm(struct mk_watch *w, double norm)
{
    if (w->norm.n >= MIN_MEDIAN) {
        const double usual = median(&w->norm);
        set(w, JUMPING, norm > 10 * usual, "grad_norm %.4g is over ten times its median %.4g", norm,
            usual);
    }
    if (isfinite(norm)) put(&w->norm, norm);
}

static void watch_reward(struct mk_watch *w, double std)
{
    w->n_flat = std == 0 ? w->n_flat + 1 : 0;
    set(w, FLAT, w->n_flat >= FLAT_STEPS,
        "reward_std is 0 for %d steps: the samples of each question get the same reward, so "
        "nothing is learned (too easy, too hard, or a verifier that fails)",
        FLAT_STEPS);
}

void mk_watch_line(struct mk_watch *w, const struct mk_line *line)
{
    static const char *const names[MK_N_WATCHED] = {[MK_WATCH_LOSS] = "loss",
                                                    [MK_WATCH_REWARD] = "reward",
                                                    [MK_WATCH_REWARD_STD] = "reward_std",
                                                    [MK_WATCH_NO_EOS] = "completions/no_eos",
                                                    [MK_WATCH_CLIPPED] =
                                                        "completions/clipped_ratio",
                                                    [MK_WATCH_MAX_VIO] = "max_vio",
                                                    [MK_WATCH_GRAD_NORM] = "grad_norm"};
    double v[MK_N_WATCHED];
    bool has[MK_N_WATCHED] = {false};
    for (size_t i = 0; i < line->n; i++)
        for (size_t k = 0; k < MK_N_WATCHED; k++)
            if (!strcmp(line->name[i], names[k])) v[k] = line->value[i], has[k] = true;
    memset(w->is_new, 0, sizeof w->is_new);
    if (has[MK_WATCH_LOSS]) watch_loss(w, v[MK_WATCH_LOSS], has[MK_WATCH_REWARD]);
    if (has[MK_WATCH_GRAD_NORM]) watch_norm(w, v[MK_WATCH_GRAD_NORM]);
    if (has[MK_WATCH_REWARD_STD]) watch_reward(w, v[MK_WATCH_REWARD_STD]);
    if (has[MK_WATCH_NO_EOS])
        set(w, ENDLESS, v[MK_WATCH_NO_EOS] >= 1,
            "no sample ended by itself: wrong chat template, or too few tokens allowed");
    if (has[MK_WATCH_CLIPPED])
        set(w, CLIPPED, v[MK_WATCH_CLIPPED] > 0.5,
            "%.0f%% of the samples were cut at the token limit", 100 * v[MK_WATCH_CLIPPED]);
    if (has[MK_WATCH_MAX_VIO])
        set(w, UNBALANCED, v[MK_WATCH_MAX_VIO] > 4,
            "max_vio %.3g: an expert gets more than five times its share of tokens",
            v[MK_WATCH_MAX_VIO]);
}

const char *mk_watch_next(struct mk_watch *w)
{
    for (size_t i = 0; i < MK_N_WARNINGS; i++) {
        if (!w->is_new[i]) continue;
        w->is_new[i] = false;
        return w->text[i];
    }
    return NULL;
}
