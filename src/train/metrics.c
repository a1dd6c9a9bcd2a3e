/* Writing what a run measures. */
#include "train/metrics.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/folder.h"
#include "base/mem.h"
#include "train/int_metrics.h"

#include <assert.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct value {
    char *name, *quoted; /* quoted: as JSON */
    double v;
    bool is_put;
};

struct mk_metrics {
    struct mk_log lines, events;
    struct value *values; /* every name ever put */
    size_t n_values, cap_values;
    size_t *order; /* [n_order] of the coming step */
    size_t n_order;
    struct mk_watch watch;
};

/* ---- files that grow -------------------------------------------------------------------- */

bool mk_log_open(struct mk_log *out, const char *path, struct mk_err *err)
{
    FILE *f = fopen(path, "ae");
    if (!f) return mk_fail_errno(err, "%s", path);
    setvbuf(f, NULL, _IONBF, 0); /* what failed must not be written later */
    if (fseeko(f, 0, SEEK_END)) {
        fclose(f);
        return mk_fail_errno(err, "%s", path);
    }
    *out = (struct mk_log){.f = f, .path = mk_strdup(path), .size = (uint64_t)ftello(f)};
    return true;
}

bool mk_log_add(struct mk_log *l, const struct mk_str *bytes, struct mk_err *err)
{
    if (fwrite(bytes->data, 1, bytes->len, l->f) == bytes->len) {
        l->size += bytes->len;
        return true;
    }
    mk_fail_errno(err, "%s: writing %zu bytes", l->path, bytes->len);
    clearerr(l->f);
    if (ftruncate(fileno(l->f), (off_t)l->size))
        mk_fail_in(err, "%s: has half a record at its end", l->path);
    return false;
}

void mk_log_close(struct mk_log *l)
{
    if (l->f) fclose(l->f);
    free(l->path);
    *l = (struct mk_log){0};
}

/* ---- opening ---------------------------------------------------------------------------- */

struct replay {
    struct mk_metrics *m;
    struct mk_out kept; /* the new metrics.jsonl */
    uint64_t from;
};

static bool replay_line(void *arg, const struct mk_line *line, struct mk_err *err)
{
    struct replay *r = arg;
    if (line->step >= r->from) return true;
    struct mk_str frame = {0};
    mk_event_put_values(&frame, line);
    const bool ok =
        mk_out_write(&r->kept, line->text, line->n_text, err) &&
        (line->text[line->n_text - 1] == '\n' || mk_out_write(&r->kept, "\n", 1, err)) &&
        mk_log_add(&r->m->events, &frame, err);
    mk_watch_line(&r->m->watch, line);
    mk_str_release(&frame);
    return ok;
}

static bool cut_lines(struct mk_metrics *m, const char *path, uint64_t from, struct mk_err *err)
{
    struct replay r = {.m = m, .from = from};
    if (!mk_file_exists(path)) return true;
    if (!mk_out_open(&r.kept, path, err)) return false;
    const bool ok = mk_lines_read(path, replay_line, &r, err) && mk_out_close(&r.kept, err);
    if (!ok) mk_out_abandon(&r.kept);
    memset(m->watch.is_new, 0, sizeof m->watch.is_new); /* said when they happened */
    return ok;
}

static bool is_events(const char *name) { return !strncmp(name, "events.out.tfevents.", 20); }

/* A new name, so that a TensorBoard that reads the old file moves on.  They are read in the order
 * of names: the number, seconds since 1970, is higher than that of all others. */
static bool open_events(struct mk_metrics *m, const char *run, const struct mk_folder_list *l,
                        struct mk_err *err)
{
    const double now = mk_wall_s();
    long long number = (long long)now;
    struct mk_str path = {0}, start = {0};
    for (size_t i = 0; i < l->n; i++) {
        const long long other = is_events(l->v[i]) ? strtoll(l->v[i] + 20, NULL, 10) : 0;
        if (other >= number && other < (1LL << 40)) number = other + 1;
    }
    mk_str_addf(&path, "%s/events.out.tfevents.%010lld.minke", run, number);
    mk_event_put_start(&start, now);
    const bool ok = mk_log_open(&m->events, path.data, err) && mk_log_add(&m->events, &start, err);
    mk_str_release(&path);
    mk_str_release(&start);
    return ok;
}

static bool remove_events(const char *run, const struct mk_folder_list *l, struct mk_err *err)
{
    bool ok = true;
    struct mk_str path = {0};
    for (size_t i = 0; ok && i < l->n; i++) {
        if (!is_events(l->v[i])) continue;
        mk_str_clear(&path);
        mk_str_addf(&path, "%s/%s", run, l->v[i]);
        ok = mk_folder_remove(path.data, err);
    }
    mk_str_release(&path);
    return ok;
}

bool mk_metrics_open(struct mk_metrics **out, const char *run, uint64_t from, struct mk_err *err)
{
    struct mk_folder_list old = {0};
    if (!mk_mkdirs(run, 0777, err) || !mk_folder_list(&old, run, err)) return false;
    struct mk_metrics *m = mk_alloc(sizeof *m);
    struct mk_str path = {0};
    mk_str_addf(&path, "%s/metrics.jsonl", run);
    const bool ok = open_events(m, run, &old, err) && cut_lines(m, path.data, from, err) &&
                    mk_log_open(&m->lines, path.data, err) && remove_events(run, &old, err);
    mk_str_release(&path);
    mk_folder_list_release(&old);
    if (ok) {
        *out = m;
    } else {
        if (m->events.path) unlink(m->events.path);
        mk_metrics_close(m);
    }
    return ok;
}

void mk_metrics_close(struct mk_metrics *m)
{
    if (!m) return;
    for (size_t i = 0; i < m->n_values; i++) {
        free(m->values[i].name);
        free(m->values[i].quoted);
    }
    free(m->values);
    free(m->order);
    mk_log_close(&m->lines);
    mk_log_close(&m->events);
    free(m);
}

/* ---- a step ----------------------------------------------------------------------------- */

static char *quote(const char *name)
{
    struct mk_str clean = {0};
    mk_str_add_utf8(&clean, name, strlen(name));
    json_t *v = json_string(mk_str_c(&clean));
    char *quoted = json_dumps(v, JSON_ENCODE_ANY);
    json_decref(v);
    mk_str_release(&clean);
    return quoted;
}

static size_t find_value(struct mk_metrics *m, const char *name)
{
    for (size_t i = 0; i < m->n_values; i++)
        if (!strcmp(m->values[i].name, name)) return i;
    if (m->n_values == m->cap_values) {
        m->cap_values = m->cap_values ? 2 * m->cap_values : 32;
        m->values = mk_realloc(m->values, m->cap_values * sizeof *m->values);
        m->order = mk_realloc(m->order, m->cap_values * sizeof *m->order);
    }
    m->values[m->n_values] = (struct value){.name = mk_strdup(name), .quoted = quote(name)};
    return m->n_values++;
}

void mk_metrics_put(struct mk_metrics *m, const char *name, double value)
{
    assert(strcmp(name, "step") && strcmp(name, "time"));
    const size_t i = find_value(m, name);
    if (!m->values[i].is_put) m->order[m->n_order++] = i;
    m->values[i].v = value;
    m->values[i].is_put = true;
}

/* The fewest digits that read back as the same number. */
static void add_number(struct mk_str *out, double v)
{
    char text[40];
    if (!isfinite(v)) {
        mk_str_add(out, "null");
        return;
    }
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (digits == 17 || strtod(text, NULL) == v) break;
    }
    mk_str_add(out, text);
}

/* Takes what was put. */
static void take_line(struct mk_metrics *m, uint64_t step, struct mk_line *line, struct mk_str *out)
{
    line->step = step;
    line->time = round(mk_wall_s() * 1e3) / 1e3;
    mk_str_addf(out, "{\"step\":%llu,\"time\":", (unsigned long long)step);
    add_number(out, line->time);
    for (size_t i = 0; i < m->n_order; i++) {
        struct value *v = &m->values[m->order[i]];
        mk_str_addf(out, ",%s:", v->quoted);
        add_number(out, v->v);
        line->name[i] = v->name;
        line->value[i] = v->v;
        v->is_put = false;
    }
    mk_str_add(out, "}\n");
    line->n = m->n_order;
    m->n_order = 0;
}

bool mk_metrics_step(struct mk_metrics *m, uint64_t step, struct mk_err *err)
{
    struct mk_str text = {0}, frame = {0};
    struct mk_line line = {.name = mk_calloc(m->n_order, sizeof *line.name),
                           .value = mk_calloc(m->n_order, sizeof *line.value)};
    take_line(m, step, &line, &text);
    mk_event_put_values(&frame, &line);
    mk_watch_line(&m->watch, &line);
    const bool ok = mk_log_add(&m->lines, &text, err) && mk_log_add(&m->events, &frame, err);
    free(line.name);
    free(line.value);
    mk_str_release(&text);
    mk_str_release(&frame);
    return ok;
}

const char *mk_metrics_warning(struct mk_metrics *m) { return mk_watch_next(&m->watch); }
