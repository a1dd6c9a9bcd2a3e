/* minke plot: curves and a report of runs, also while they go on. */
#include "cli/cli.h"
#include "train/report.h"

#include <stdio.h>

enum { MAX_RUNS = 64 };

int mk_cmd_plot(int argc, char **argv)
{
    static const char *out;
    static double price, smooth = -1;
    static const struct mk_opt opts[] = {
        {"out", 'o', MK_OPT_STR, &out, "DIR", "where to write (one run: its own folder)", 0, 0,
         NULL, NULL},
        {"price", 0, MK_OPT_FLOAT, &price, "X", "what an hour of the machine costs", 0, 1e9, NULL,
         NULL},
        {"smooth", 's', MK_OPT_FLOAT, &smooth, "WEIGHT",
         "weight of the past in the average, 0 for none (by length)", 0, 0.9999, NULL, NULL},
        {0},
    };
    struct mk_strs runs = {0};
    mk_opts_parse("plot", opts, argc, argv, &runs, MAX_RUNS);
    if (!runs.n) mk_cli_usage("plot", "which run?");
    if (runs.n > 1 && !out) mk_cli_usage("plot", "several runs need --out DIR");
    const struct mk_report_options o = {
        .out = out ? out : runs.v[0], .price = price, .smooth = smooth};
    struct mk_str written = {0};
    struct mk_err err;
    const bool ok = mk_report_write(runs.v, runs.n, &o, &written, &err);
    fputs(mk_str_c(&written), stdout);
    mk_str_release(&written);
    if (!ok) mk_cli_die(&err);
    return 0;
}
