/* Text files: lines of JSON in one of three forms, or plain text. */
#include "base/file.h"
#include "train/int_data.h"

#include <string.h>

const char *const mk_line_forms[] = {"text", "prompt and completion", "messages"};

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

bool mk_lines_next(struct mk_lines *l, const char **s, size_t *n)
{
    while (l->at < l->n) {
        const char *from = l->text + l->at, *end = memchr(from, '\n', l->n - l->at);
        const size_t len = end ? (size_t)(end - from) : l->n - l->at;
        l->at += len + (end != NULL);
        l->line++;
        size_t blank = 0;
        while (blank < len && is_space(from[blank])) blank++;
        if (blank == len) continue;
        *s = from;
        *n = len;
        return true;
    }
    return false;
}

static const char *kind_of(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "a list";
    case JSON_STRING:
        return "text";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "true or false";
    case JSON_NULL:
        break;
    }
    return "null";
}

static bool check_text(const json_t *line, const char *field, struct mk_err *err)
{
    const json_t *v = json_object_get(line, field);
    if (!v) return mk_fail(err, MK_EFORMAT, "%s is missing", field);
    if (!json_is_string(v))
        return mk_fail(err, MK_EFORMAT, "%s is %s, want text", field, kind_of(v));
    if (!json_string_length(v)) return mk_fail(err, MK_EFORMAT, "%s is empty", field);
    return true;
}

static bool check_line(const json_t *line, enum mk_line_form *form, struct mk_err *err)
{
    if (!json_is_object(line)) return mk_fail(err, MK_EFORMAT, "%s, want an object", kind_of(line));
    const bool has[] = {json_object_get(line, "text"),
                        json_object_get(line, "prompt") || json_object_get(line, "completion"),
                        json_object_get(line, "messages")};
    const int n = has[0] + has[1] + has[2];
    if (!n) return mk_fail(err, MK_EFORMAT, "no text, no prompt and completion, no messages");
    const enum mk_line_form first = has[0]   ? MK_LINE_TEXT
                                    : has[1] ? MK_LINE_PROMPT
                                             : MK_LINE_MESSAGES;
    if (n > 1)
        return mk_fail(err, MK_EFORMAT, "both %s and %s: which is meant?", mk_line_forms[first],
                       mk_line_forms[has[2] ? MK_LINE_MESSAGES : MK_LINE_PROMPT]);
    if (first == MK_LINE_TEXT && !check_text(line, "text", err)) return false;
    if (first == MK_LINE_PROMPT &&
        !(check_text(line, "prompt", err) && check_text(line, "completion", err)))
        return false;
    *form = first;
    return true;
}

bool mk_line_parse(json_t **out, enum mk_line_form *form, const char *s, size_t n,
                   struct mk_err *err)
{
    json_error_t where;
    json_t *line = json_loadb(s, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &where);
    if (!line)
        return mk_fail(err, MK_EFORMAT, "not JSON at column %d: %s", where.column, where.text);
    if (!check_line(line, form, err)) {
        json_decref(line);
        return false;
    }
    *out = line;
    return true;
}

/* ---- every text of a file ---- */

static bool give(const char *s, mk_text_fn *fn, void *arg, struct mk_err *err)
{
    return !s || !*s || fn(arg, s, strlen(s), err);
}

static bool give_line(const char *s, size_t n, mk_text_fn *fn, void *arg, struct mk_err *err)
{
    json_t *line;
    enum mk_line_form form;
    struct mk_conversation c = {0};
    if (!mk_line_parse(&line, &form, s, n, err)) return false;
    static const char *const fields[] = {"text", "prompt", "completion"};
    bool ok = true;
    for (size_t i = 0; ok && i < 3; i++)
        ok = give(json_string_value(json_object_get(line, fields[i])), fn, arg, err);
    json_decref(line);
    if (!ok || form != MK_LINE_MESSAGES) return ok;
    if (!mk_conversation_parse(&c, s, n, err)) return false;
    for (size_t i = 0; ok && i < c.n; i++)
        ok = give(c.list[i].content, fn, arg, err) && give(c.list[i].reasoning, fn, arg, err);
    mk_conversation_release(&c);
    return ok;
}

bool mk_file_texts(const char *path, mk_text_fn *fn, void *arg, struct mk_err *err)
{
    struct mk_map m;
    if (!mk_map_open(&m, path, err)) return false;
    struct mk_lines l = {(const char *)m.data, m.size, 0, 0};
    const char *s = NULL;
    size_t n = 0;
    bool ok = true, more = mk_lines_next(&l, &s, &n);
    if (!more) ok = mk_fail(err, MK_EFORMAT, "%s: nothing in it", path);
    size_t first = 0;
    while (more && is_space(s[first])) first++;
    if (more && s[first] != '{') {
        ok = fn(arg, l.text, l.n, err);
        more = false;
    }
    for (; ok && more; more = mk_lines_next(&l, &s, &n)) {
        ok = give_line(s, n, fn, arg, err);
        if (!ok) mk_fail_in(err, "%s:%zu", path, l.line);
    }
    mk_map_close(&m);
    return ok;
}
