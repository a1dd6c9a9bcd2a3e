#ifndef MK_TRAIN_REPORT_H
#define MK_TRAIN_REPORT_H
/* What became of runs: curves as SVG files and a page (report.html) that needs nothing beside it:
 * no script, no network, the curves inside.  Reads run.json (any JSON object; may be missing) and
 * metrics.jsonl of each run, also while the run goes on. */
#include "base/err.h"
#include "base/str.h"

#include <stddef.h>

struct mk_report_options {
    const char *out; /* folder for the files; made if missing */
    double price;    /* of an hour of the machine, 0: not shown */
    double smooth;   /* weight of the past in averages, 0..1; negative: by the length */
};
/* Several runs are drawn into the same pictures.  Appends the paths written, a line each. */
bool mk_report_write(const char *const *runs, size_t n, const struct mk_report_options *o,
                     struct mk_str *written, struct mk_err *err) MK_CHECKED;
#endif
