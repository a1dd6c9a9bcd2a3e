/* Curves: the average over the values, pale, all thinned to the pixels there are. */
#include "train/int_plot.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The kernel weight^|i - k|: sums from the left and from the right, the value itself once, divided
 * by the weights that were there; it does not lag, and near an end it leans on what there is. */
void mk_plot_smooth(double *out, const double *y, size_t n, double weight)
{
    double *mass = mk_calloc(n ? n : 1, sizeof *mass), left = 0, left_mass = 0;
    for (size_t i = 0; i < n; i++) {
        out[i] = left;
        mass[i] = left_mass;
        const bool has = isfinite(y[i]);
        left = weight * (left + (has ? y[i] : 0));
        left_mass = weight * (left_mass + has);
    }
    double right = 0, right_mass = 0;
    for (size_t i = n; i-- > 0;) {
        const bool has = isfinite(y[i]);
        right = weight * right + (has ? y[i] : 0);
        right_mass = weight * right_mass + has;
        out[i] = has ? (out[i] + right) / (mass[i] + right_mass) : y[i];
    }
    free(mass);
}

/* Averages over about a hundredth of the curve on each side; short ones are shown as they are. */
double mk_plot_weight(const struct mk_plot *p, size_t n)
{
    if (p->has_dots || n < 20) return 0;
    if (p->smooth >= 0) return p->smooth < 1 ? p->smooth : 0.999;
    const double window = (double)n / 100;
    return window > 1 ? 1 - 1 / window : 0;
}

/* ---- thinning ------------------------------------------------------------------------------- */

struct path {
    struct mk_str *out;
    const struct mk_frame *f;
    bool is_open; /* a line is being drawn */
};

static void put_point(struct path *p, double x, double y)
{
    const struct mk_box *b = &p->f->box;
    double at = mk_axis_at(&p->f->y, y);
    at = at < -2 ? -2 : at > 3 ? 3 : at; /* far outside is outside */
    mk_str_addf(p->out, "%s%.1f %.1f", p->is_open ? "L" : "M", b->w * mk_axis_at(&p->f->x, x),
                b->h * (1 - at));
    p->is_open = true;
}

/* The values that fall into one column of pixels: first, lowest, highest, last, in order. */
struct column {
    size_t first, low, high, last;
    bool has;
};

static void flush(struct path *p, struct column *c, const double *x, const double *y)
{
    if (!c->has) return;
    const size_t mid[2] = {c->low < c->high ? c->low : c->high,
                           c->low < c->high ? c->high : c->low};
    put_point(p, x[c->first], y[c->first]);
    for (int i = 0; i < 2; i++)
        if (mid[i] != c->first && mid[i] != c->last && (i == 0 || mid[1] != mid[0]))
            put_point(p, x[mid[i]], y[mid[i]]);
    if (c->last != c->first) put_point(p, x[c->last], y[c->last]);
    c->has = false;
}

static void put_path(struct mk_str *out, const struct mk_frame *f, const double *x, const double *y,
                     size_t n)
{
    struct path p = {out, f, false};
    struct column c = {0, 0, 0, 0, false};
    double at = 0;
    for (size_t i = 0; i < n; i++) {
        if (!mk_axis_has(&f->y, y[i]) || !isfinite(x[i])) {
            flush(&p, &c, x, y);
            p.is_open = false;
            continue;
        }
        const double pixel = floor(f->box.w * mk_axis_at(&f->x, x[i]));
        if (c.has && pixel != at) flush(&p, &c, x, y);
        if (!c.has) c = (struct column){i, i, i, i, true};
        at = pixel;
        if (y[i] < y[c.low]) c.low = i;
        if (y[i] > y[c.high]) c.high = i;
        c.last = i;
    }
    flush(&p, &c, x, y);
}

/* ---- lines ---------------------------------------------------------------------------------- */

const char *mk_plot_dash(unsigned dash)
{
    static const char *const dashes[MK_PLOT_DASHES] = {
        "",
        " stroke-dasharray=\"6 4\"",
        " stroke-dasharray=\"1.5 4\"",
        " stroke-dasharray=\"9 4 1.5 4\"",
    };
    return dashes[dash % MK_PLOT_DASHES];
}

static void put_line(struct mk_str *out, const struct mk_frame *f, const struct mk_plot_line *l,
                     const double *y, const char *class)
{
    mk_str_addf(out, "<path class=\"%s c%u\"%s d=\"", class, l->color % MK_PLOT_COLORS,
                strcmp(class, "raw") ? mk_plot_dash(l->dash) : "");
    put_path(out, f, l->x, y, l->n);
    mk_str_add(out, "\"/>\n");
}

static void put_dots(struct mk_str *out, const struct mk_frame *f, const struct mk_plot_line *l)
{
    for (size_t i = 0; i < l->n; i++)
        if (mk_axis_has(&f->y, l->y[i]))
            mk_str_addf(out, "<circle class=\"f%u\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>\n",
                        l->color % MK_PLOT_COLORS, f->box.w * mk_axis_at(&f->x, l->x[i]),
                        f->box.h * (1 - mk_axis_at(&f->y, l->y[i])));
}

/* An inner svg element cuts off what lies outside of the axes, but for half a line's width. */
void mk_plot_lines(struct mk_str *out, const struct mk_frame *f, const struct mk_plot *p)
{
    enum { EDGE = 3 };
    const struct mk_box *b = &f->box;
    mk_str_addf(out,
                "<svg x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" "
                "viewBox=\"-%d -%d %.1f %.1f\">\n",
                b->x - EDGE, b->y - EDGE, b->w + 2 * EDGE, b->h + 2 * EDGE, EDGE, EDGE,
                b->w + 2 * EDGE, b->h + 2 * EDGE);
    for (size_t i = 0; i < p->n_lines; i++)
        if (mk_plot_weight(p, p->lines[i].n) > 0)
            put_line(out, f, &p->lines[i], p->lines[i].y, "raw");
    for (size_t i = 0; i < p->n_lines; i++) {
        const struct mk_plot_line *l = &p->lines[i];
        const double weight = mk_plot_weight(p, l->n);
        double *y = mk_calloc(l->n ? l->n : 1, sizeof *y);
        mk_plot_smooth(y, l->y, l->n, weight);
        if (l->n > 1) put_line(out, f, l, y, "line");
        if (p->has_dots || l->n == 1) put_dots(out, f, l);
        free(y);
    }
    mk_str_add(out, "</svg>\n");
}
