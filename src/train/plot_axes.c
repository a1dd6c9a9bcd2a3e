/* Axes: what range to show, where the ticks are, how their numbers look. */
#include "train/int_plot.h"

#include "base/mem.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

double mk_axis_at(const struct mk_axis *a, double v)
{
    return ((a->is_log ? log10(v) : v) - a->lo) / (a->hi - a->lo);
}

bool mk_axis_has(const struct mk_axis *a, double v)
{
    return fabs(v) < 1e300 && (!a->is_log || v > 1e-300); /* room for sums and differences */
}

/* ---- ticks ---------------------------------------------------------------------------------- */

/* 1, 2, 5 times a power of ten, at least v. */
static double nice_above(double v)
{
    const double power = pow(10, floor(log10(v)));
    const double factor = v / power;
    /* A hair of tolerance: 2.0000000001 times the power is 2. */
    return power * (factor <= 1.000001 ? 1 : factor <= 2.000001 ? 2 : factor <= 5.000001 ? 5 : 10);
}

size_t mk_plot_ticks(double lo, double hi, size_t max, double out[MK_PLOT_MAX_TICKS], double *step)
{
    assert(max >= 2 && max <= MK_PLOT_MAX_TICKS);
    *step = 1;
    if (!(hi > lo) || !isfinite(hi - lo) || !(hi - lo > fabs(hi) * 1e-12)) {
        out[0] = lo;
        return isfinite(lo) ? 1 : 0;
    }
    *step = nice_above((hi - lo) / (double)max);
    size_t n = 0;
    for (double i = ceil(lo / *step - 1e-9); n < max && i * *step <= hi + 1e-9 * *step; i++)
        out[n++] = i == 0 ? 0 : i * *step;
    return n;
}

void mk_plot_number(char out[32], double v, double step, bool is_share)
{
    static const struct {
        double from;
        const char *letter;
    } scales[] = {{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}};
    const char *letter = is_share ? " %" : "";
    if (is_share) {
        v *= 100;
        step *= 100;
    } else {
        for (size_t i = 0; i < 4; i++)
            if (fabs(v) >= 0.9999999 * scales[i].from) {
                v /= scales[i].from;
                step /= scales[i].from;
                letter = scales[i].letter;
                break;
            }
    }
    int digits = step > 0 && step < 1 ? (int)ceil(-log10(step) - 1e-9) : 0;
    if (digits > 5)
        snprintf(out, 32, "%.3g%s", v, letter);
    else
        snprintf(out, 32, "%.*f%s", digits, v, letter);
}

/* ---- ranges --------------------------------------------------------------------------------- */

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct range {
    double lo, hi; /* lo > hi: nothing yet */
};

static void include(struct range *r, double v)
{
    if (v < r->lo) r->lo = v;
    if (v > r->hi) r->hi = v;
}

/* All of the average and the middle 99 % of the values: one wild value must not flatten the rest.
 */
static void include_line(struct range *r, const struct mk_axis *axis, const struct mk_plot *p,
                         const struct mk_plot_line *l)
{
    double *v = mk_calloc(l->n ? l->n : 1, sizeof *v);
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++)
        if (mk_axis_has(axis, l->y[i])) v[n++] = l->y[i];
    qsort(v, n, sizeof *v, ascending);
    if (n) {
        const size_t cut = n >= 200 ? n / 200 : 0;
        include(r, v[cut]);
        include(r, v[n - 1 - cut]);
    }
    const double weight = mk_plot_weight(p, l->n);
    if (weight > 0 && n) {
        mk_plot_smooth(v, l->y, l->n, weight);
        for (size_t i = l->n / 50; i < l->n; i++)
            if (mk_axis_has(axis, v[i])) include(r, v[i]);
    }
    free(v);
}

/* Whole ticks, from zero when that costs little. */
static void widen_linear(struct mk_axis *a, struct range r)
{
    double ticks[MK_PLOT_MAX_TICKS], step;
    if (r.lo >= 0 && r.lo < 0.4 * r.hi) r.lo = 0;
    if (!(r.hi - r.lo > 1e-9 * fabs(r.hi))) {
        const double pad = r.hi != 0 ? fabs(r.hi) * 0.1 : 1;
        r.lo -= pad;
        r.hi += pad;
    }
    mk_plot_ticks(r.lo, r.hi, 6, ticks, &step);
    a->lo = floor(r.lo / step + 1e-9) * step;
    a->hi = ceil(r.hi / step - 1e-9) * step;
}

static void widen_log(struct mk_axis *a, struct range r)
{
    a->lo = log10(r.lo);
    a->hi = log10(r.hi);
    const double pad = a->hi - a->lo < 0.2 ? 0.2 : 0.04 * (a->hi - a->lo);
    a->lo -= pad;
    a->hi += pad;
}

void mk_plot_axes(struct mk_frame *f, const struct mk_plot *plots, size_t n)
{
    struct range x = {(double)INFINITY, -(double)INFINITY}, y = x;
    f->y.is_log = n && plots[0].is_log;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < plots[i].n_lines; k++) {
            const struct mk_plot_line *l = &plots[i].lines[k];
            if (l->n) {
                include(&x, l->x[0]);
                include(&x, l->x[l->n - 1]);
            }
            include_line(&y, &f->y, &plots[i], l);
        }
    if (x.lo > x.hi) x = (struct range){0, 1};
    if (y.lo > y.hi) y = (struct range){f->y.is_log ? 0.1 : 0, 1};
    f->x.lo = x.lo;
    f->x.hi = x.hi > x.lo ? x.hi : x.lo + 1;
    if (n && plots[0].is_share && y.lo >= 0 && y.hi <= 1) {
        f->y.lo = 0;
        f->y.hi = 1;
    } else if (f->y.is_log) {
        widen_log(&f->y, y);
    } else {
        widen_linear(&f->y, y);
    }
}

/* ---- grid ----------------------------------------------------------------------------------- */

static void horizontal(struct mk_str *out, const struct mk_frame *f, double at, const char *text,
                       const char *class)
{
    const double y = f->box.y + f->box.h * (1 - at);
    mk_str_addf(out, "<line class=\"grid\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n",
                f->box.x, y, f->box.x + f->box.w, y);
    mk_str_addf(out, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
                class, f->box.x - 8, y + 4, text);
}

/* Powers of ten; between them 2 and 5 when fewer than two decades are shown. */
static void log_grid(struct mk_str *out, const struct mk_frame *f, const char *class)
{
    static const double between[] = {1, 2, 5};
    const struct mk_axis *a = &f->y;
    const double decades = a->hi - a->lo;
    const double every = decades > 8 ? ceil(decades / 8) : 1;
    for (double p = floor(a->lo); p <= a->hi; p += every)
        for (size_t k = 0; k < (decades < 2 ? 3 : 1); k++) {
            const double v = between[k] * pow(10, p), at = mk_axis_at(a, v);
            char text[32];
            if (at < -1e-9 || at > 1 + 1e-9) continue;
            if (fabs(p) > 4)
                snprintf(text, sizeof text, "%.0fe%.0f", between[k], p);
            else
                mk_plot_number(text, v, v, false);
            horizontal(out, f, at, text, class);
        }
}

void mk_plot_grid(struct mk_str *out, const struct mk_frame *f, const struct mk_plot *p,
                  bool is_small)
{
    double ticks[MK_PLOT_MAX_TICKS], step;
    char text[32];
    const char *class = is_small ? "small" : "tick";
    if (f->y.is_log) {
        log_grid(out, f, class);
    } else {
        const size_t n = mk_plot_ticks(f->y.lo, f->y.hi, is_small ? 3 : 7, ticks, &step);
        for (size_t i = 0; i < n; i++) {
            mk_plot_number(text, ticks[i], step, p->is_share);
            horizontal(out, f, mk_axis_at(&f->y, ticks[i]), text, class);
        }
    }
    const size_t n = mk_plot_ticks(f->x.lo, f->x.hi, is_small ? 3 : 8, ticks, &step);
    const double y = f->box.y + f->box.h;
    mk_str_addf(out, "<line class=\"axis\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n",
                f->box.x, y, f->box.x + f->box.w, y);
    for (size_t i = 0; i < n; i++) {
        const double x = f->box.x + f->box.w * mk_axis_at(&f->x, ticks[i]);
        mk_plot_number(text, ticks[i], step, false);
        mk_str_addf(out, "<line class=\"axis\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n",
                    x, y, x, y + 4);
        mk_str_addf(out,
                    "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n",
                    class, x, y + (is_small ? 15 : 18), text);
    }
}
