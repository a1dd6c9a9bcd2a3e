#ifndef MK_TRAIN_INT_REPORT_H
#define MK_TRAIN_INT_REPORT_H
/* Private to report*.c. */
#include "train/metrics.h"
#include "train/plot.h"
#include "train/report.h"

struct mk_report_run {
    char *path, *name; /* name: for people, unique among the runs */
    struct mk_history history;
    void *json;    /* json_t * of run.json, NULL if there is none */
    char *problem; /* why not, NULL if it is only missing */
};

/* ---- pictures ----------------------------------------------------------------------------- */
struct mk_chart {
    const char *file, *title, *unit;
    const char *names[4];
    const char *each; /* instead of names: a panel for each name that begins so */
    bool is_log, is_share, has_dots, is_exact; /* exact: never averaged */
};
extern const struct mk_chart mk_charts[]; /* a NULL file ends them */
/* Appends the picture; false when no run has any of its values. */
bool mk_chart_draw(struct mk_str *out, const struct mk_chart *c, const struct mk_report_run *runs,
                   size_t n, double smooth, bool is_inline);

/* ---- facts -------------------------------------------------------------------------------- */
/* Sums over the steps; a value is negative when the run does not have it. */
struct mk_report_cost {
    double steps, toks, seconds, cpu_seconds, flops, joules, peak_share;
};
struct mk_report_cost mk_report_cost(const struct mk_history *h);
/* Appends an <li> for each thing that looks wrong; gives their number. */
size_t mk_report_warnings(struct mk_str *html, const struct mk_history *h);
/* The last number of a series, NAN when it has none. */
double mk_series_last(const struct mk_series *s);

/* ---- the page ------------------------------------------------------------------------------ */
void mk_report_html(struct mk_str *out, const struct mk_report_run *runs, size_t n,
                    const struct mk_report_options *o);
#endif
