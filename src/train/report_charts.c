/* Which values are drawn together, and as what. */
#include "train/int_report.h"

#include "base/mem.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

const struct mk_chart mk_charts[] = {
    {.file = "loss", .title = "Loss", .names = {"loss", "mtp_loss"}},
    {.file = "reward", .title = "Reward", .names = {"reward"}},
    {.file = "eval",
     .title = "Held-out accuracy",
     .names = {"eval/greedy", "eval/sampled", "eval/pass@8"},
     .is_share = true,
     .has_dots = true},
    {.file = "eval_tasks",
     .title = "Held-out accuracy of each task, greedy",
     .each = "eval/greedy/",
     .is_share = true,
     .has_dots = true},
    {.file = "accuracy",
     .title = "Accuracy of each task in training",
     .each = "accuracy/",
     .is_share = true},
    {.file = "length",
     .title = "Length",
     .unit = "tokens",
     .names = {"thought_length", "completions/mean_length"}},
    {.file = "completions",
     .title = "Share of answers and groups",
     .names = {"completions/clipped_ratio", "completions/no_eos", "frac_reward_zero_std",
               "clip_ratio"},
     .is_share = true},
    {.file = "entropy", .title = "Entropy", .unit = "nats", .names = {"entropy"}},
    {.file = "kl", .title = "KL to the reference", .unit = "nats", .names = {"kl"}},
    {.file = "max_vio",
     .title = "MaxVio: load of the busiest expert over the mean, less 1",
     .names = {"max_vio"}},
    {.file = "grad_norm",
     .title = "Norm of the gradient before clipping",
     .names = {"grad_norm"},
     .is_log = true},
    {.file = "lr", .title = "Learning rate", .names = {"lr"}, .is_exact = true},
    {.file = "speed", .title = "Speed", .unit = "tokens a second", .names = {"toks_per_s"}},
    {.file = NULL},
};

/* Lines with the text of their labels. */
struct lines {
    struct mk_plot_line *v;
    size_t n;
};

static void add_line(struct lines *l, const struct mk_series *s, const char *label, unsigned color,
                     unsigned dash)
{
    l->v = mk_realloc(l->v, (l->n + 1) * sizeof *l->v);
    l->v[l->n++] = (struct mk_plot_line){label, s->step, s->value, s->n, color, dash};
}

/* ---- one plot ------------------------------------------------------------------------------- */

static size_t count_names(const struct mk_chart *c, const struct mk_report_run *runs, size_t n)
{
    size_t found = 0;
    for (size_t k = 0; k < 4 && c->names[k]; k++) {
        size_t i = 0;
        while (i < n && !mk_history_find(&runs[i].history, c->names[k])) i++;
        found += i < n;
    }
    return found;
}

/* One run: a colour for each name.  Several: a colour for each run, a dash for each name. */
static bool draw_plot(struct mk_str *out, const struct mk_chart *c,
                      const struct mk_report_run *runs, size_t n, double smooth, bool is_inline)
{
    struct lines lines = {0};
    struct mk_arena labels = {0};
    const size_t n_names = count_names(c, runs, n);
    for (size_t i = 0; i < n; i++)
        for (unsigned k = 0; k < 4 && c->names[k]; k++) {
            const struct mk_series *s = mk_history_find(&runs[i].history, c->names[k]);
            if (!s || isnan(mk_series_last(s))) continue;
            const char *label = n == 1 ? c->names[k]
                                : n_names == 1
                                    ? runs[i].name
                                    : mk_arena_printf(&labels, "%s, %s", runs[i].name, c->names[k]);
            add_line(&lines, s, label, n == 1 ? k : (unsigned)i,
                     n == 1 ? 0 : k + (unsigned)i / MK_PLOT_COLORS);
        }
    const struct mk_plot p = {.title = c->title,
                              .unit = c->unit,
                              .lines = lines.v,
                              .n_lines = lines.n,
                              .is_log = c->is_log,
                              .is_share = c->is_share,
                              .has_dots = c->has_dots,
                              .smooth = smooth};
    if (lines.n) mk_plot_svg(out, &p, is_inline);
    free(lines.v);
    mk_arena_release(&labels);
    return lines.n != 0;
}

/* ---- panels --------------------------------------------------------------------------------- */

struct names {
    const char **v;
    size_t n;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static struct names collect(const char *prefix, const struct mk_report_run *runs, size_t n)
{
    struct names out = {0};
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < runs[i].history.n; k++) {
            const struct mk_series *s = &runs[i].history.list[k];
            if (isnan(mk_series_last(s)) || strncmp(s->name, prefix, strlen(prefix)) != 0) continue;
            size_t j = 0;
            while (j < out.n && strcmp(out.v[j], s->name) != 0) j++;
            if (j < out.n) continue;
            out.v = mk_realloc(out.v, (out.n + 1) * sizeof *out.v);
            out.v[out.n++] = s->name;
        }
    if (out.n) qsort(out.v, out.n, sizeof *out.v, by_name);
    return out;
}

static bool draw_panels(struct mk_str *out, const struct mk_chart *c,
                        const struct mk_report_run *runs, size_t n, double smooth, bool is_inline)
{
    const struct names names = collect(c->each, runs, n);
    struct mk_plot *panels = mk_calloc(names.n ? names.n : 1, sizeof *panels);
    static const struct mk_series none = {0};
    for (size_t k = 0; k < names.n; k++) {
        struct lines lines = {0};
        for (size_t i = 0; i < n; i++) {
            const struct mk_series *s = mk_history_find(&runs[i].history, names.v[k]);
            add_line(&lines, s ? s : &none, runs[i].name, (unsigned)i,
                     (unsigned)i / MK_PLOT_COLORS);
        }
        panels[k] = (struct mk_plot){.title = names.v[k] + strlen(c->each),
                                     .unit = c->unit,
                                     .lines = lines.v,
                                     .n_lines = lines.n,
                                     .is_share = c->is_share,
                                     .has_dots = c->has_dots,
                                     .smooth = smooth};
    }
    if (names.n) mk_plot_panels(out, c->title, panels, names.n, is_inline);
    for (size_t k = 0; k < names.n; k++) free((void *)(uintptr_t)panels[k].lines);
    free(panels);
    free(names.v);
    return names.n != 0;
}

bool mk_chart_draw(struct mk_str *out, const struct mk_chart *c, const struct mk_report_run *runs,
                   size_t n, double smooth, bool is_inline)
{
    return (c->each ? draw_panels : draw_plot)(out, c, runs, n, c->is_exact ? 0 : smooth,
                                               is_inline);
}
