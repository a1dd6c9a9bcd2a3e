/* The page: what the runs were, how they ended, what they cost, their curves. */
#include "train/int_report.h"

#include <jansson.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void text(struct mk_str *out, const char *s) { mk_plot_escape(out, s, strlen(s)); }

static void number(struct mk_str *out, double v)
{
    static const char letters[] = "kMGTPE";
    const char *l = letters;
    if (!isfinite(v))
        mk_str_add(out, "–");
    else if (v == floor(v) && fabs(v) < 1e6)
        mk_str_addf(out, "%.0f", v);
    else if (fabs(v) < 1e4 || fabs(v) >= 1e21)
        mk_str_addf(out, "%.4g", v);
    else {
        for (v /= 1000; fabs(v) >= 999.95; v /= 1000) l++;
        mk_str_addf(out, "%.4g %c", v, *l);
    }
}

static void share(struct mk_str *out, double v)
{
    if (isfinite(v))
        mk_str_addf(out, "%.1f %%", 100 * v);
    else
        mk_str_add(out, "–");
}

/* ---- tables --------------------------------------------------------------------------------- */

static void begin_table(struct mk_str *out, const char *title, const struct mk_report_run *runs,
                        size_t n)
{
    mk_str_add(out, "<table>\n<tr><th>");
    text(out, title);
    mk_str_add(out, "</th>");
    for (size_t i = 0; i < n; i++) {
        mk_str_add(out, "<th class=\"n\">");
        text(out, n > 1 ? runs[i].name : "value");
        mk_str_add(out, "</th>");
    }
    mk_str_add(out, "</tr>\n");
}

static void begin_row(struct mk_str *out, const char *label)
{
    mk_str_add(out, "<tr><td>");
    text(out, label);
    mk_str_add(out, "</td>");
}

static bool is_task(const char *name)
{
    return !strncmp(name, "accuracy/", 9) || !strncmp(name, "eval/greedy/", 12) ||
           !strncmp(name, "eval/sampled/", 13);
}

/* The names of all runs in the order in which they come up; fn is called for each once. */
typedef void name_fn(struct mk_str *out, const char *name, const struct mk_report_run *runs,
                     size_t n);
static size_t for_names(struct mk_str *out, const struct mk_report_run *runs, size_t n, bool tasks,
                        name_fn *fn)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < runs[i].history.n; k++) {
            const char *name = runs[i].history.list[k].name;
            size_t j = 0;
            while (j < i && !mk_history_find(&runs[j].history, name)) j++;
            if (j < i || is_task(name) != tasks) continue;
            if (fn) fn(out, name, runs, n);
            count++;
        }
    return count;
}

static void last_row(struct mk_str *out, const char *name, const struct mk_report_run *runs,
                     size_t n)
{
    if (!strcmp(name, "time")) return; /* of day */
    begin_row(out, name);
    for (size_t i = 0; i < n; i++) {
        mk_str_add(out, "<td class=\"n\">");
        number(out, mk_series_last(mk_history_find(&runs[i].history, name)));
        mk_str_add(out, "</td>");
    }
    mk_str_add(out, "</tr>\n");
}

/* First, best and last of a task, of each run. */
static void task_row(struct mk_str *out, const char *name, const struct mk_report_run *runs,
                     size_t n)
{
    begin_row(out, name);
    for (size_t i = 0; i < n; i++) {
        const struct mk_series *s = mk_history_find(&runs[i].history, name);
        double first = (double)NAN, best = first;
        for (size_t k = 0; s && k < s->n; k++) {
            if (!isfinite(s->value[k])) continue;
            if (!isfinite(first)) first = best = s->value[k];
            if (s->value[k] > best) best = s->value[k];
        }
        mk_str_add(out, "<td class=\"n\">");
        share(out, first);
        mk_str_add(out, "</td><td class=\"n\">");
        share(out, best);
        mk_str_add(out, "</td><td class=\"n\"><b>");
        share(out, mk_series_last(s));
        mk_str_add(out, "</b></td>");
    }
    mk_str_add(out, "</tr>\n");
}

static void add_tasks(struct mk_str *out, const struct mk_report_run *runs, size_t n)
{
    if (!for_names(out, runs, n, true, NULL)) return;
    mk_str_add(out, "<h2>Tasks</h2>\n<div class=\"wide\"><table>\n");
    if (n > 1) {
        mk_str_add(out, "<tr><th></th>");
        for (size_t i = 0; i < n; i++) {
            mk_str_add(out, "<th colspan=\"3\" class=\"n\">");
            text(out, runs[i].name);
            mk_str_add(out, "</th>");
        }
        mk_str_add(out, "</tr>\n");
    }
    mk_str_add(out, "<tr><th>accuracy</th>");
    for (size_t i = 0; i < n; i++)
        mk_str_add(out, "<th class=\"n\">first</th><th class=\"n\">best</th>"
                        "<th class=\"n\">last</th>");
    mk_str_add(out, "</tr>\n");
    for_names(out, runs, n, true, task_row);
    mk_str_add(out, "</table></div>\n");
}

/* ---- cost ----------------------------------------------------------------------------------- */

enum cost_row { TOKENS, WALL, CORE, FLOPS, SHARE, JOULES, MONEY, N_COST_ROWS };
static const char *const cost_labels[N_COST_ROWS] = {
    [TOKENS] = "tokens",
    [WALL] = "hours",
    [CORE] = "core-hours",
    [FLOPS] = "useful FLOP",
    [SHARE] = "share of the arithmetic peak",
    [JOULES] = "energy",
    [MONEY] = "money",
};

/* Gives false when the run does not know. */
static bool cost_cell(char cell[48], const struct mk_report_cost *c, int row, double price)
{
    switch ((enum cost_row)row) {
    case TOKENS:
        snprintf(cell, 48, "%.4g M", c->toks / 1e6);
        return c->toks >= 0;
    case WALL:
        snprintf(cell, 48, "%.3f", c->seconds / 3600);
        return c->seconds >= 0;
    case CORE:
        snprintf(cell, 48, "%.3f", c->cpu_seconds / 3600);
        return c->cpu_seconds >= 0;
    case FLOPS:
        snprintf(cell, 48, "%.3e", c->flops);
        return c->flops >= 0;
    case SHARE:
        snprintf(cell, 48, "%.1f %%", 100 * c->peak_share);
        return c->peak_share >= 0;
    case JOULES:
        snprintf(cell, 48, "%.4g kJ, %.3g Wh", c->joules / 1e3, c->joules / 3600);
        return c->joules >= 0;
    case MONEY:
        snprintf(cell, 48, "%.4f", c->seconds / 3600 * price);
        return price > 0 && c->seconds >= 0;
    case N_COST_ROWS:
        break;
    }
    return false;
}

static void add_cost(struct mk_str *out, const struct mk_report_run *runs, size_t n, double price)
{
    char cell[48];
    mk_str_add(out, "<h2>Cost</h2>\n");
    begin_table(out, "", runs, n);
    for (int row = 0; row < N_COST_ROWS; row++) {
        bool has = false;
        for (size_t i = 0; i < n; i++) {
            const struct mk_report_cost c = mk_report_cost(&runs[i].history);
            has = cost_cell(cell, &c, row, price) || has;
        }
        if (!has) continue;
        begin_row(out, cost_labels[row]);
        for (size_t i = 0; i < n; i++) {
            const struct mk_report_cost c = mk_report_cost(&runs[i].history);
            mk_str_addf(out, "<td class=\"n\">%s</td>",
                        cost_cell(cell, &c, row, price) ? cell : "–");
        }
        mk_str_add(out, "</tr>\n");
    }
    mk_str_add(out, "</table>\n");
    if (price > 0)
        mk_str_addf(out, "<p class=\"note\">money: hours at %.4g an hour of the machine</p>\n",
                    price);
}

/* ---- what the run was
 * ----------------------------------------------------------------------------
 */

enum { MAX_DEPTH = 8 };

/* {"a": {"b": 1}} is the row "a.b" with 1. */
static void json_rows(struct mk_str *out, const char *prefix, const json_t *v, int depth)
{
    if (json_is_object(v) && depth < MAX_DEPTH) {
        const char *key;
        json_t *member;
        json_object_foreach((json_t *)(uintptr_t)v, key, member)
        {
            struct mk_str path = {0};
            mk_str_addf(&path, "%s%s%s", prefix, *prefix ? "." : "", key);
            json_rows(out, path.data, member, depth + 1);
            mk_str_release(&path);
        }
        return;
    }
    char *dump = json_is_string(v)
                     ? NULL
                     : json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(8));
    begin_row(out, prefix);
    mk_str_add(out, "<td>");
    if (json_is_string(v))
        mk_plot_escape(out, json_string_value(v), json_string_length(v));
    else
        text(out, dump ? dump : "");
    mk_str_add(out, "</td></tr>\n");
    free(dump);
}

static void add_setup(struct mk_str *out, const struct mk_report_run *runs, size_t n)
{
    mk_str_add(out, "<h2>Configuration</h2>\n");
    for (size_t i = 0; i < n; i++) {
        if (n > 1) {
            mk_str_add(out, "<h3>");
            text(out, runs[i].name);
            mk_str_add(out, "</h3>\n");
        }
        if (runs[i].json) {
            mk_str_add(out, "<div class=\"wide\"><table>\n");
            json_rows(out, "", runs[i].json, 0);
            mk_str_add(out, "</table></div>\n");
        } else {
            mk_str_add(out, "<p class=\"note\">");
            text(out, runs[i].problem ? runs[i].problem : "no run.json");
            mk_str_add(out, "</p>\n");
        }
    }
}

/* ---- the page ------------------------------------------------------------------------------- */

static void add_head(struct mk_str *out, const struct mk_report_run *runs, size_t n)
{
    mk_str_add(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                    "<title>");
    for (size_t i = 0; i < n; i++) {
        if (i) mk_str_add(out, ", ");
        text(out, runs[i].name);
    }
    mk_str_add(out, " – minke</title>\n<style>\n"
                    ":root{color-scheme:light dark}"
                    "body{font:15px/1.5 system-ui,-apple-system,\"Segoe UI\",\"DejaVu Sans\","
                    "sans-serif;max-width:1340px;margin:2em auto;padding:0 1em;color:#222;"
                    "background:#fff}"
                    "h1{font-size:1.5em;margin:0}h2{font-size:1.15em;margin:2em 0 .5em}"
                    "h3{font-size:1em;margin:1em 0 .3em}"
                    "table{border-collapse:collapse}th,td{text-align:left;padding:.2em 1em .2em 0;"
                    "border-bottom:1px solid #e4e4e4;vertical-align:top;overflow-wrap:anywhere}"
                    "th{font-weight:600}.n{text-align:right;font-variant-numeric:tabular-nums;"
                    "padding-left:1em;white-space:nowrap}"
                    ".note{color:#666}.warn{border-left:4px solid #d55e00;padding-left:1em}"
                    ".plots{display:flex;flex-wrap:wrap;gap:20px;align-items:flex-start}.plots "
                    "svg{max-width:100%;"
                    "height:auto;flex:0 1 640px}.wide{overflow-x:auto}"
                    "@media (prefers-color-scheme:dark){body{color:#ddd;background:#16181c}"
                    "th,td{border-color:#2e3238}.note{color:#999}}\n");
    mk_plot_css(out);
    mk_str_add(out, "\n</style>\n</head>\n<body>\n<h1>");
    for (size_t i = 0; i < n; i++) {
        if (i) mk_str_add(out, ", ");
        text(out, runs[i].name);
    }
    mk_str_add(out, "</h1>\n");
}

static void add_state(struct mk_str *out, const struct mk_report_run *runs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct mk_report_cost c = mk_report_cost(&runs[i].history);
        mk_str_add(out, "<p class=\"note\">");
        text(out, runs[i].path);
        if (c.steps > 0)
            mk_str_addf(out, ": %.0f steps so far</p>\n", c.steps);
        else
            mk_str_add(out, ": no step yet</p>\n");
    }
}

static void add_warnings(struct mk_str *out, const struct mk_report_run *runs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct mk_str list = {0};
        if (mk_report_warnings(&list, &runs[i].history)) {
            mk_str_add(out, "<div class=\"warn\"><h2>Warnings");
            if (n > 1) {
                mk_str_add(out, ": ");
                text(out, runs[i].name);
            }
            mk_str_add(out, "</h2>\n<ul>\n");
            mk_str_append(out, list.data, list.len);
            mk_str_add(out, "</ul></div>\n");
        }
        mk_str_release(&list);
    }
}

void mk_report_html(struct mk_str *out, const struct mk_report_run *runs, size_t n,
                    const struct mk_report_options *o)
{
    add_head(out, runs, n);
    add_state(out, runs, n);
    add_warnings(out, runs, n);
    mk_str_add(out, "<h2>Curves</h2>\n<div class=\"plots\">\n");
    for (const struct mk_chart *c = mk_charts; c->file; c++)
        mk_chart_draw(out, c, runs, n, o->smooth, true);
    mk_str_add(out, "</div>\n");
    add_tasks(out, runs, n);
    mk_str_add(out, "<h2>Last values</h2>\n<div class=\"wide\">");
    begin_table(out, "", runs, n);
    for_names(out, runs, n, false, last_row);
    mk_str_add(out, "</table></div>\n");
    add_cost(out, runs, n, o->price);
    add_setup(out, runs, n);
    mk_str_add(out, "</body>\n</html>\n");
}
