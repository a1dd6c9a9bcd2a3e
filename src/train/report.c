/* Reads runs, draws their pictures, writes the files. */
#include "train/int_report.h"

#include "base/file.h"
#include "base/mem.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_JSON_BYTES = 4 << 20 };

/* ---- reading -------------------------------------------------------------------------------- */

/* run.json only informs: a run without a readable one is shown without. */
static void read_json(struct mk_report_run *r)
{
    struct mk_str path = {0}, text = {0};
    struct mk_err err;
    json_error_t e;
    mk_str_addf(&path, "%s/run.json", r->path);
    if (mk_file_exists(path.data)) {
        if (!mk_file_read_regular(&text, path.data, MAX_JSON_BYTES, &err))
            r->problem = mk_strdup(err.msg);
        else if (!(r->json = json_loadb(mk_str_c(&text), text.len, 0, &e)))
            r->problem = mk_strdup("run.json is not JSON");
    }
    mk_str_release(&text);
    mk_str_release(&path);
}

/* The last part of the path: "runs/zero/" is "zero". */
static char *base_name(const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    size_t start = n;
    while (start && path[start - 1] != '/') start--;
    return n > start ? mk_strndup(path + start, n - start) : mk_strdup(path);
}

static void name_runs(struct mk_report_run *runs, size_t n)
{
    for (size_t i = 0; i < n; i++) runs[i].name = base_name(runs[i].path);
    for (size_t i = 0; i < n; i++)
        for (size_t k = i + 1; k < n; k++) {
            if (strcmp(runs[i].name, runs[k].name) != 0) continue;
            free(runs[i].name);
            free(runs[k].name);
            runs[i].name = mk_strdup(runs[i].path);
            runs[k].name = mk_strdup(runs[k].path);
        }
}

static void release(struct mk_report_run *runs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        mk_history_release(&runs[i].history);
        json_decref(runs[i].json);
        free(runs[i].problem);
        free(runs[i].path);
        free(runs[i].name);
    }
    free(runs);
}

/* ---- writing -------------------------------------------------------------------------------- */

static bool write_file(const struct mk_report_options *o, const char *name, const char *ending,
                       const struct mk_str *text, struct mk_str *written, struct mk_err *err)
{
    struct mk_out out = {0};
    struct mk_str path = {0};
    mk_str_addf(&path, "%s/%s%s", o->out, name, ending);
    const bool ok = mk_out_open(&out, path.data, err) &&
                    mk_out_write(&out, mk_str_c(text), text->len, err) && mk_out_close(&out, err);
    if (!ok) mk_out_abandon(&out);
    if (ok) mk_str_addf(written, "%s\n", path.data);
    mk_str_release(&path);
    return ok;
}

static bool write_all(const struct mk_report_run *runs, size_t n, const struct mk_report_options *o,
                      struct mk_str *written, struct mk_err *err)
{
    struct mk_str text = {0};
    bool ok = mk_mkdirs(o->out, 0755, err);
    for (const struct mk_chart *c = mk_charts; ok && c->file; c++) {
        mk_str_clear(&text);
        if (mk_chart_draw(&text, c, runs, n, o->smooth, false))
            ok = write_file(o, c->file, ".svg", &text, written, err);
    }
    mk_str_clear(&text);
    if (ok) mk_report_html(&text, runs, n, o);
    ok = ok && write_file(o, "report", ".html", &text, written, err);
    mk_str_release(&text);
    return ok;
}

bool mk_report_write(const char *const *paths, size_t n, const struct mk_report_options *o,
                     struct mk_str *written, struct mk_err *err)
{
    struct mk_report_run *runs = mk_calloc(n ? n : 1, sizeof *runs);
    bool ok = true;
    for (size_t i = 0; i < n; i++) runs[i].path = mk_strdup(paths[i]);
    name_runs(runs, n);
    for (size_t i = 0; ok && i < n; i++) {
        read_json(&runs[i]);
        ok = mk_history_read(&runs[i].history, runs[i].path, err);
    }
    ok = ok && write_all(runs, n, o, written, err);
    release(runs, n);
    return ok;
}
