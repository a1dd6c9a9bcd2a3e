/* metrics.jsonl back into numbers.  The last line may be unfinished: it belongs to a run that is
 * being written, or was killed. */
#include "base/mem.h"
#include "train/int_metrics.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- lines ------------------------------------------------------------------------------ */

static bool parse_member(struct mk_line *line, const char *name, const json_t *v, const char *path,
                         size_t no, struct mk_err *err)
{
    if (!json_is_number(v) && !json_is_null(v))
        return mk_fail(err, MK_EFORMAT, "%s: line %zu: %.64s is not a number", path, no, name);
    const double value = json_is_null(v) ? (double)NAN : json_number_value(v);
    if (!strcmp(name, "time")) {
        line->time = value;
        return true;
    }
    if (line->n == line->cap) {
        line->cap = line->cap ? 2 * line->cap : 32;
        line->name = mk_realloc(line->name, line->cap * sizeof *line->name);
        line->value = mk_realloc(line->value, line->cap * sizeof *line->value);
    }
    line->name[line->n] = name;
    line->value[line->n++] = value;
    return true;
}

static bool parse_line(struct mk_line *line, json_t *o, const char *path, size_t no,
                       struct mk_err *err)
{
    const char *name;
    json_t *v;
    const json_t *step = json_object_get(o, "step");
    if (!json_is_integer(step) || json_integer_value(step) < 0)
        return mk_fail(err, MK_EFORMAT, "%s: line %zu: step is missing or no count", path, no);
    line->step = (uint64_t)json_integer_value(step);
    line->time = 0;
    line->n = 0;
    json_object_foreach(o, name, v)
    {
        if (strcmp(name, "step") && !parse_member(line, name, v, path, no, err)) return false;
    }
    return true;
}

static bool is_at_end(FILE *f)
{
    const int c = getc(f);
    if (c != EOF) ungetc(c, f);
    return c == EOF;
}

static bool read_lines(FILE *f, struct mk_line *line, const char *path, mk_line_fn *fn, void *arg,
                       struct mk_err *err)
{
    char *text = NULL;
    size_t cap = 0;
    bool ok = true;
    ssize_t n;
    for (size_t no = 1; ok && (n = getline(&text, &cap, f)) > 0; no++) {
        json_t *o = json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, NULL);
        if (json_is_object(o)) {
            line->text = text;
            line->n_text = (size_t)n;
            ok = parse_line(line, o, path, no, err) && fn(arg, line, err);
        } else if (!is_at_end(f)) {
            ok = mk_fail(err, MK_EFORMAT, "%s: line %zu is no JSON object", path, no);
        }
        json_decref(o);
    }
    if (ok && ferror(f)) ok = mk_fail_errno(err, "%s", path);
    free(text);
    return ok;
}

bool mk_lines_read(const char *path, mk_line_fn *fn, void *arg, struct mk_err *err)
{
    struct mk_line line = {0};
    FILE *f = fopen(path, "re");
    if (!f) return mk_fail_errno(err, "%s", path);
    const bool ok = read_lines(f, &line, path, fn, arg, err);
    free(line.name);
    free(line.value);
    fclose(f);
    return ok;
}

/* ---- history ---------------------------------------------------------------------------- */

static struct mk_series *series_of(struct mk_history *h, const char *name)
{
    for (size_t i = 0; i < h->n; i++)
        if (!strcmp(h->list[i].name, name)) return &h->list[i];
    if (h->n == h->cap) {
        h->cap = h->cap ? 2 * h->cap : 32;
        h->list = mk_realloc(h->list, h->cap * sizeof *h->list);
    }
    h->list[h->n] = (struct mk_series){.name = mk_strdup(name)};
    return &h->list[h->n++];
}

static void append(struct mk_history *h, const char *name, uint64_t step, double value)
{
    struct mk_series *s = series_of(h, name);
    if (s->n == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 64;
        s->step = mk_realloc(s->step, s->cap * sizeof *s->step);
        s->value = mk_realloc(s->value, s->cap * sizeof *s->value);
    }
    s->step[s->n] = (double)step;
    s->value[s->n++] = value;
}

static bool keep_line(void *arg, const struct mk_line *line, struct mk_err *err)
{
    (void)err;
    append(arg, "time", line->step, line->time);
    for (size_t i = 0; i < line->n; i++) append(arg, line->name[i], line->step, line->value[i]);
    return true;
}

bool mk_history_read(struct mk_history *out, const char *run, struct mk_err *err)
{
    struct mk_history h = {0};
    struct mk_str path = {0};
    mk_str_addf(&path, "%s/metrics.jsonl", run);
    const bool ok = mk_lines_read(path.data, keep_line, &h, err);
    mk_str_release(&path);
    if (ok)
        *out = h;
    else
        mk_history_release(&h);
    return ok;
}

void mk_history_release(struct mk_history *h)
{
    for (size_t i = 0; i < h->n; i++) {
        free(h->list[i].name);
        free(h->list[i].step);
        free(h->list[i].value);
    }
    free(h->list);
    *h = (struct mk_history){0};
}

const struct mk_series *mk_history_find(const struct mk_history *h, const char *name)
{
    for (size_t i = 0; i < h->n; i++)
        if (!strcmp(h->list[i].name, name)) return &h->list[i];
    return NULL;
}
