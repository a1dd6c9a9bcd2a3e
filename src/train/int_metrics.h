#ifndef MK_TRAIN_INT_METRICS_H
#define MK_TRAIN_INT_METRICS_H
/* Private to metrics: files that grow, lines of metrics.jsonl, event records, warnings. */
#include "base/str.h"
#include "train/metrics.h"

#include <stdio.h>

/* ---- files that grow ---- */

/* What is added is there whole or not at all, unless the process is killed meanwhile. */
struct mk_log { /* zeroed is valid and closed */
    FILE *f;
    char *path;
    uint64_t size;
};
bool mk_log_open(struct mk_log *out, const char *path, struct mk_err *err) MK_CHECKED;
bool mk_log_add(struct mk_log *l, const struct mk_str *bytes, struct mk_err *err) MK_CHECKED;
void mk_log_close(struct mk_log *l);

/* ---- lines of metrics.jsonl ---- */

/* One line taken apart.  Names are borrowed for the call. */
struct mk_line {
    const char *text; /* with its newline */
    size_t n_text;
    uint64_t step;
    double time;
    const char **name;
    double *value;
    size_t n, cap; /* "step" and "time" are not among them */
};
typedef bool mk_line_fn(void *arg, const struct mk_line *line, struct mk_err *err);
/* Calls fn for each line in order. */
bool mk_lines_read(const char *path, mk_line_fn *fn, void *arg, struct mk_err *err) MK_CHECKED;

/* ---- TensorBoard ---- */

/* Frames appended to out: what every file starts with, and the values of a step. */
void mk_event_put_start(struct mk_str *out, double time);
void mk_event_put_values(struct mk_str *out, const struct mk_line *line);

/* ---- warnings ---- */

enum mk_watched {
    MK_WATCH_LOSS,
    MK_WATCH_REWARD,
    MK_WATCH_REWARD_STD,
    MK_WATCH_NO_EOS,
    MK_WATCH_CLIPPED,
    MK_WATCH_MAX_VIO,
    MK_WATCH_GRAD_NORM,
    MK_N_WATCHED
};
enum { MK_N_WARNINGS = 7, MK_WATCH_MEAN = 20, MK_WATCH_MEDIAN = 64 };
struct mk_ring { /* the last values */
    double v[MK_WATCH_MEDIAN];
    size_t n; /* ever put */
};
struct mk_watch { /* zeroed is valid: nothing seen */
    struct mk_ring loss, norm;
    double lowest_mean;
    unsigned n_flat; /* steps with reward_std 0 */
    bool is_on[MK_N_WARNINGS], is_new[MK_N_WARNINGS];
    char text[MK_N_WARNINGS][200];
};
void mk_watch_line(struct mk_watch *w, const struct mk_line *line);
const char *mk_watch_next(struct mk_watch *w); /* a new warning or NULL */
#endif
