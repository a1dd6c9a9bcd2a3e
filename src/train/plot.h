#ifndef MK_TRAIN_PLOT_H
#define MK_TRAIN_PLOT_H
/* Curves as SVG: no script, nothing fetched.  Colours come from classes, with a second set for
 * dark mode (a media query); they are the Okabe-Ito set, told apart by colour-blind people too.
 * Curves of more points than pixels are thinned to what can be seen: the first, lowest, highest
 * and last of each column. */
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

struct mk_plot_line { /* x ascends; a y that is no number breaks the line; all borrowed */
    const char *label;
    const double *x, *y;
    size_t n;
    unsigned color, dash;
};
struct mk_plot {
    const char *title, *unit; /* unit: of y, may be NULL */
    const char *x_name;       /* NULL: step */
    const struct mk_plot_line *lines;
    size_t n_lines;
    bool is_log;   /* y; what is not positive is left out */
    bool is_share; /* y is 0..1, shown in per cent */
    bool has_dots; /* a dot for each value and no smoothing: few values */
    double smooth; /* weight of the past in the average, 0..1; negative: by the length */
};
/* A whole file, or for HTML (is_inline) without the style, which mk_plot_css() gives once. */
void mk_plot_svg(struct mk_str *out, const struct mk_plot *p, bool is_inline);
/* Many small pictures with the same axes in one; the legend is that of all lines of the first. */
void mk_plot_panels(struct mk_str *out, const char *title, const struct mk_plot *panels, size_t n,
                    bool is_inline);
void mk_plot_css(struct mk_str *out);
enum { MK_PLOT_COLORS = 8, MK_PLOT_DASHES = 4 };

/* Text fit for XML and HTML, also inside quotes: & < > " ' escaped, malformed UTF-8 and what
 * XML forbids replaced by U+FFFD. */
void mk_plot_escape(struct mk_str *out, const char *s, size_t n);
/* At most max multiples of 1, 2 or 5 times a power of ten in [lo, hi]; gives their number, and
 * the distance between two. */
enum { MK_PLOT_MAX_TICKS = 16 };
size_t mk_plot_ticks(double lo, double hi, size_t max, double out[MK_PLOT_MAX_TICKS], double *step);
/* Exponential average over both sides: value k counts weight^|i - k| in out[i].  What is no number
 * is passed through and not averaged. */
void mk_plot_smooth(double *out, const double *y, size_t n, double weight);
#endif
