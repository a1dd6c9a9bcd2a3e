/* A user's task: the lines of a file, all read and checked at once, and its verifier. */
#include "train/own_task.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/process.h"
#include "train/int_data.h"
#include "train/verify.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_REPLY = 256 };
static const double default_limit_s = 10;

struct line {
    struct mk_str prompt, answer, trace, data;
    size_t number; /* in the file, from 1 */
    uint64_t hash; /* of the prompt */
};

struct mk_own {
    struct line *line;
    size_t n, cap;
    size_t *of_split[2]; /* indices of lines */
    size_t n_of[2];
    bool has_command;
    struct mk_verifier verifier;
    char *command;
    double limit_s;
    struct mk_process process;
    size_t n_restart;
};

static void line_release(struct line *l)
{
    mk_str_release(&l->prompt);
    mk_str_release(&l->answer);
    mk_str_release(&l->trace);
    mk_str_release(&l->data);
}

void mk_own_close(struct mk_own *o)
{
    if (!o) return;
    mk_process_stop(&o->process);
    for (size_t i = 0; i < o->n; i++) line_release(&o->line[i]);
    free(o->line);
    free(o->of_split[0]);
    free(o->of_split[1]);
    free(o->command);
    free(o);
}

/* ---- reading ---- */

static bool read_text(const json_t *object, const char *field, bool is_needed, struct mk_str *out,
                      struct mk_err *err)
{
    const json_t *v = json_object_get(object, field);
    if (!v) return !is_needed || mk_fail(err, MK_EFORMAT, "%s is missing", field);
    if (!json_is_string(v)) return mk_fail(err, MK_EFORMAT, "%s is not text", field);
    mk_str_append(out, json_string_value(v), json_string_length(v));
    return !is_needed || out->len || mk_fail(err, MK_EFORMAT, "%s is empty", field);
}

static bool read_answer(const json_t *object, struct mk_str *out, struct mk_err *err)
{
    const json_t *v = json_object_get(object, "answer");
    if (!v || json_is_string(v)) return read_text(object, "answer", true, out, err);
    char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
    if (!text) return mk_fail(err, MK_EFORMAT, "answer cannot be written as text");
    mk_str_add(out, text);
    free(text);
    return true;
}

static bool read_line(const struct mk_own *o, const char *s, size_t n, struct line *l,
                      struct mk_err *err)
{
    json_error_t where;
    json_t *v = json_loadb(s, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &where);
    if (!v) return mk_fail(err, MK_EFORMAT, "not JSON at column %d: %s", where.column, where.text);
    const bool ok =
        (json_is_object(v) || mk_fail(err, MK_EFORMAT, "not an object")) &&
        read_text(v, "prompt", true, &l->prompt, err) && read_answer(v, &l->answer, err) &&
        read_text(v, "trace", false, &l->trace, err) &&
        read_text(v, "data", false, &l->data, err) &&
        (o->has_command || mk_verifier_check(&o->verifier, l->answer.data, l->answer.len, err));
    json_decref(v);
    return ok;
}

static int by_hash(const void *a, const void *b)
{
    const struct line *x = *(const struct line *const *)a, *y = *(const struct line *const *)b;
    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

static bool check_duplicates(const struct mk_own *o, struct mk_err *err)
{
    const struct line **sorted = mk_calloc(o->n, sizeof *sorted);
    bool ok = true;
    for (size_t i = 0; i < o->n; i++) sorted[i] = &o->line[i];
    qsort(sorted, o->n, sizeof *sorted, by_hash);
    for (size_t i = 1; ok && i < o->n; i++) {
        const struct line *a = sorted[i - 1], *b = sorted[i];
        if (a->hash == b->hash && a->prompt.len == b->prompt.len &&
            !memcmp(a->prompt.data, b->prompt.data, a->prompt.len))
            ok = mk_fail(err, MK_EFORMAT, "lines %zu and %zu have the same prompt", a->number,
                         b->number);
    }
    free(sorted);
    return ok;
}

static void divide(struct mk_own *o)
{
    for (int k = 0; k < 2; k++) o->of_split[k] = mk_calloc(o->n, sizeof *o->of_split[k]);
    for (size_t i = 0; i < o->n; i++) {
        const enum mk_split k = mk_hash_split(o->line[i].hash);
        o->of_split[k][o->n_of[k]++] = i;
    }
}

static bool read_lines(struct mk_own *o, struct mk_lines *lines, struct mk_err *err)
{
    const char *s;
    size_t n;
    while (mk_lines_next(lines, &s, &n)) {
        if (o->n == o->cap) {
            o->cap = o->cap ? 2 * o->cap : 64;
            o->line = mk_realloc(o->line, o->cap * sizeof *o->line);
        }
        struct line *l = &o->line[o->n++];
        *l = (struct line){.number = lines->line};
        if (!read_line(o, s, n, l, err)) return mk_fail_in(err, "line %zu", l->number);
        l->hash = mk_text_hash(l->prompt.data, l->prompt.len);
    }
    return o->n ? check_duplicates(o, err) : mk_fail(err, MK_EFORMAT, "nothing in it");
}

bool mk_own_open(struct mk_own **out, const struct mk_own_options *opt, struct mk_err *err)
{
    struct mk_map map;
    struct mk_verifier verifier = {0};
    if (!opt->verifier == !opt->command)
        return mk_fail(err, MK_EUSAGE, "%s: want a verifier or a verifier command", opt->path);
    if (opt->verifier && !mk_verifier_parse(&verifier, opt->verifier, err)) return false;
    if (!mk_map_open(&map, opt->path, err)) return false;
    struct mk_own *o = mk_alloc(sizeof *o);
    o->verifier = verifier;
    o->has_command = opt->command != NULL;
    if (opt->command) o->command = mk_strdup(opt->command);
    o->limit_s = opt->limit_s > 0 ? opt->limit_s : default_limit_s;
    struct mk_lines lines = {.text = (const char *)map.data, .n = map.size};
    const bool ok = read_lines(o, &lines, err);
    mk_map_close(&map);
    if (!ok) {
        mk_own_close(o);
        return mk_fail_in(err, "%s", opt->path);
    }
    divide(o);
    *out = o;
    return true;
}

/* ---- use ---- */

size_t mk_own_count(const struct mk_own *o, enum mk_split split) { return o->n_of[split]; }
size_t mk_own_restarts(const struct mk_own *o) { return o->n_restart; }

uint64_t mk_own_hash(const struct mk_own *o)
{
    uint64_t h = o->n;
    for (size_t i = 0; i < o->n; i++) {
        const struct mk_str *parts[] = {&o->line[i].prompt, &o->line[i].answer, &o->line[i].data};
        for (size_t k = 0; k < 3; k++) {
            struct mk_rng r = {h ^ mk_text_hash(mk_str_c(parts[k]), parts[k]->len)};
            h = mk_rng_u64(&r);
        }
    }
    return h;
}

static void copy(struct mk_str *to, const struct mk_str *from)
{
    mk_str_clear(to);
    mk_str_append(to, mk_str_c(from), from->len);
}

void mk_own_get(const struct mk_own *o, enum mk_split split, size_t index, struct mk_problem *p)
{
    const struct line *l = &o->line[o->of_split[split][index]];
    p->task = NULL;
    p->level = 0;
    copy(&p->prompt, &l->prompt);
    copy(&p->trace, &l->trace);
    copy(&p->answer, &l->answer);
    copy(&p->data, &l->data);
}

/* The line that the command gets; free() it. */
static char *question(const struct mk_problem *p, const char *completion, size_t n)
{
    struct mk_str valid = {0};
    mk_str_add_utf8(&valid, completion, n);
    json_t *v = json_object();
    json_object_set_new(v, "prompt", json_stringn(mk_str_c(&p->prompt), p->prompt.len));
    json_object_set_new(v, "answer", json_stringn(mk_str_c(&p->answer), p->answer.len));
    if (p->data.len) json_object_set_new(v, "data", json_stringn(p->data.data, p->data.len));
    json_object_set_new(v, "completion", json_stringn(mk_str_c(&valid), valid.len));
    char *text = json_dumps(v, JSON_COMPACT);
    json_decref(v);
    mk_str_release(&valid);
    return text;
}

static bool ask(struct mk_own *o, const char *line, struct mk_str *reply, struct mk_err *err)
{
    return (o->process.pid || mk_process_start(&o->process, o->command, err)) &&
           mk_process_ask(&o->process, line, strlen(line), o->limit_s, MAX_REPLY, reply, err);
}

/* A whole line that is a number from 0 to 1, spaces around it aside. */
static bool read_reward(const struct mk_str *reply, double *out, struct mk_err *err)
{
    char shown[81];
    size_t n = 0;
    for (; n < reply->len && n < sizeof shown - 1; n++)
        shown[n] = (char)(reply->data[n] < ' ' || reply->data[n] > '~' ? ' ' : reply->data[n]);
    shown[n] = '\0';
    char *end;
    const double v = strtod(mk_str_c(reply), &end);
    const bool is_number = end != mk_str_c(reply);
    while (*end == ' ' || *end == '\r' || *end == '\t') end++;
    if (!is_number || end != mk_str_c(reply) + reply->len || !(v >= 0 && v <= 1))
        return mk_fail(err, MK_EFORMAT, "it said \"%s\", want a number from 0 to 1", shown);
    *out = v;
    return true;
}

bool mk_own_score(struct mk_own *o, const struct mk_problem *p, const char *completion, size_t n,
                  double *reward, struct mk_err *err)
{
    if (!o->has_command) {
        *reward =
            mk_verifier_score(&o->verifier, mk_str_c(&p->answer), p->answer.len, completion, n);
        return true;
    }
    struct mk_str reply = {0};
    struct mk_err why = {0};
    char *line = question(p, completion, n);
    bool ok = ask(o, line, &reply, &why);
    if (!ok && why.code == MK_ECANCELED) {
        o->n_restart++;
        ok = ask(o, line, &reply, &why);
    }
    if (ok) ok = read_reward(&reply, reward, &why);
    if (!ok) mk_fail(err, why.code, "verifier command '%s': %s", o->command, why.msg);
    free(line);
    mk_str_release(&reply);
    return ok;
}
