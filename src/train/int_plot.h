#ifndef MK_TRAIN_INT_PLOT_H
#define MK_TRAIN_INT_PLOT_H
/* Private to plot*.c: the axes of a picture and what is drawn between them. */
#include "train/plot.h"

struct mk_axis { /* lo and hi are logarithms (base 10) when is_log */
    double lo, hi;
    bool is_log;
};
struct mk_box { /* in pixels */
    double x, y, w, h;
};
struct mk_frame {
    struct mk_box box;
    struct mk_axis x, y;
};
/* Where a value lies, 0..1 from lo to hi. */
double mk_axis_at(const struct mk_axis *a, double v);
bool mk_axis_has(const struct mk_axis *a, double v); /* it can be drawn at all */

/* The axes that show all lines of all n plots. */
void mk_plot_axes(struct mk_frame *f, const struct mk_plot *plots, size_t n);
/* Weight of the average that the plot wants for n values. */
double mk_plot_weight(const struct mk_plot *p, size_t n);

void mk_plot_grid(struct mk_str *out, const struct mk_frame *f, const struct mk_plot *p,
                  bool is_small);
void mk_plot_lines(struct mk_str *out, const struct mk_frame *f, const struct mk_plot *p);
/* stroke-dasharray of a dash number, with the space before it; "" for a whole line. */
const char *mk_plot_dash(unsigned dash);
/* Short text of a tick whose neighbours are step away. */
void mk_plot_number(char out[32], double v, double step, bool is_share);
#endif
