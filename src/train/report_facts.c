/* Sums and warnings from a run's history. */
#include "train/int_report.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

double mk_series_last(const struct mk_series *s)
{
    size_t n = s ? s->n : 0;
    while (n && !isfinite(s->value[n - 1])) n--;
    return n ? s->value[n - 1] : (double)NAN;
}

/* ---- cost ----------------------------------------------------------------------------------- */

static double sum(const struct mk_history *h, const char *name)
{
    const struct mk_series *s = mk_history_find(h, name);
    double total = 0;
    if (!s || !s->n) return -1;
    for (size_t i = 0; i < s->n; i++)
        if (isfinite(s->value[i])) total += s->value[i];
    return total;
}

/* Sum of a x b over the steps that have both. */
static double sum_product(const struct mk_history *h, const char *a, const char *b)
{
    const struct mk_series *x = mk_history_find(h, a), *y = mk_history_find(h, b);
    double total = 0;
    size_t k = 0, n = 0;
    if (!x || !y) return -1;
    for (size_t i = 0; i < x->n; i++) {
        while (k < y->n && y->step[k] < x->step[i]) k++;
        if (k == y->n || y->step[k] > x->step[i] || !isfinite(x->value[i] * y->value[k])) continue;
        total += x->value[i] * y->value[k];
        n++;
    }
    return n ? total : -1;
}

struct mk_report_cost mk_report_cost(const struct mk_history *h)
{
    struct mk_report_cost c = {.toks = sum(h, "toks"),
                               .seconds = sum(h, "seconds"),
                               .cpu_seconds = sum(h, "cpu_seconds"),
                               .flops = sum(h, "flops"),
                               .joules = sum(h, "joules")};
    for (size_t i = 0; i < h->n; i++) {
        const struct mk_series *s = &h->list[i];
        if (s->n && s->step[s->n - 1] + 1 > c.steps) c.steps = s->step[s->n - 1] + 1;
    }
    if (c.flops < 0) c.flops = sum_product(h, "flops_per_s", "seconds");
    const double weighted = sum_product(h, "peak_share", "seconds");
    c.peak_share = weighted >= 0 && c.seconds > 0 ? weighted / c.seconds : -1;
    return c;
}

/* ---- warnings ------------------------------------------------------------------------------- */

typedef bool is_bad_fn(double value, double limit);
static bool is_above(double v, double limit) { return v > limit; }
static bool is_zero(double v, double limit) { return fabs(v) <= limit; }
static bool is_no_number(double v, double limit)
{
    (void)limit;
    return !isfinite(v);
}

/* Steps where fn holds, in runs of at least `in_a_row` values. */
static size_t count_bad(const struct mk_series *s, is_bad_fn *fn, double limit, size_t in_a_row,
                        double *first)
{
    size_t total = 0, row = 0;
    for (size_t i = 0; i <= s->n; i++) {
        if (i < s->n && fn(s->value[i], limit)) {
            row++;
            continue;
        }
        if (row >= in_a_row) {
            if (!total) *first = s->step[i - row];
            total += row;
        }
        row = 0;
    }
    return total;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const struct mk_series *s)
{
    double *v = mk_calloc(s->n ? s->n : 1, sizeof *v);
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        if (isfinite(s->value[i])) v[n++] = s->value[i];
    qsort(v, n, sizeof *v, ascending);
    const double m = n ? v[n / 2] : (double)NAN;
    free(v);
    return m;
}

static size_t warn(struct mk_str *html, const struct mk_history *h, const char *name, is_bad_fn *fn,
                   double limit, size_t in_a_row, const char *text)
{
    const struct mk_series *s = mk_history_find(h, name);
    double first = 0;
    const size_t n = s && s->n ? count_bad(s, fn, limit, in_a_row, &first) : 0;
    if (!n) return 0;
    mk_str_addf(html, "<li><b>%s</b> %s in %zu step%s, first in step %.0f</li>\n", name, text, n,
                n == 1 ? "" : "s", first);
    return 1;
}

size_t mk_report_warnings(struct mk_str *html, const struct mk_history *h)
{
    size_t n = 0;
    const struct mk_series *norm = mk_history_find(h, "grad_norm");
    n += warn(html, h, "loss", is_no_number, 0, 1, "was no number");
    n += warn(html, h, "grad_norm", is_no_number, 0, 1, "was no number");
    n += warn(html, h, "refused", is_above, 0, 1, "steps were left out for their gradients");
    if (norm && norm->n >= 20)
        n += warn(html, h, "grad_norm", is_above, 10 * median(norm), 1,
                  "was over ten times its median");
    n += warn(html, h, "reward_std", is_zero, 0, 5,
              "was 0 five times or more in a row: all answers scored the same, nothing is learned");
    n += warn(html, h, "completions/clipped_ratio", is_above, 0.5, 1,
              "was over a half: answers do not end within the limit");
    n += warn(html, h, "completions/no_eos", is_above, 0.999, 1, "was all: no answer ended");
    n += warn(html, h, "max_vio", is_above, 4, 1, "was over 4: an expert had five times its share");
    return n;
}
