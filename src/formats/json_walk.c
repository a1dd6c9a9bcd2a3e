/* A JSON object read entry by entry.  Only the commas and braces of the outer object are
 * read here; keys and values go to jansson, each with its own limit.  A parsed value
 * takes up to a hundred times the memory of its text, so a hostile header of 100 MB
 * must not be parsed as one value. */
#include "formats/int_formats.h"

#include <string.h>

/* Six bytes of text for each byte of a key: \u0041. */
enum { MAX_KEY_TEXT = 6 * MK_MAX_NAME + 2 };

static bool fail_at(const struct mk_json_walk *w, const char *what, struct mk_err *err)
{
    const size_t left = (size_t)(w->end - w->p);
    return mk_fail(err, MK_EFORMAT, "%s: JSON byte %zu: %s, found %s", w->file,
                   (size_t)(w->p - w->text), what,
                   left ? mk_show(w->p, left < 12 ? left : 12).s : "the end");
}

static void skip_space(struct mk_json_walk *w)
{
    while (w->p < w->end && (*w->p == ' ' || *w->p == '\t' || *w->p == '\n' || *w->p == '\r'))
        w->p++;
}

static bool accept(struct mk_json_walk *w, char c)
{
    skip_space(w);
    if (w->p == w->end || *w->p != c) return false;
    w->p++;
    return true;
}

bool mk_json_begin(struct mk_json_walk *w, const char *text, size_t n, const char *file,
                   struct mk_err *err)
{
    if (n == 0) text = ""; /* an empty file is mapped at NULL */
    *w = (struct mk_json_walk){
        .text = text, .p = text, .end = text + n, .file = file, .is_first = true};
    return accept(w, '{') || fail_at(w, "want {", err);
}

bool mk_json_enter(struct mk_json_walk *inner, const struct mk_json_walk *w, struct mk_err *err)
{
    *inner = *w;
    inner->is_first = true;
    return accept(inner, '{') || fail_at(inner, "want {", err);
}

void mk_json_leave(struct mk_json_walk *w, const struct mk_json_walk *inner) { w->p = inner->p; }

json_t *mk_json_value(struct mk_json_walk *w, size_t max_bytes, struct mk_err *err)
{
    enum { FLAGS = JSON_REJECT_DUPLICATES | JSON_DISABLE_EOF_CHECK | JSON_DECODE_ANY };
    const size_t left = (size_t)(w->end - w->p), n = left < max_bytes ? left : max_bytes;
    json_error_t e;
    json_t *v = json_loadb(w->p, n, FLAGS, &e);
    if (v) {
        w->p += e.position;
        return v;
    }
    if (n < left && json_error_code(&e) == json_error_premature_end_of_input)
        mk_fail(err, MK_ELIMIT, "%s: JSON byte %zu: value longer than %zu bytes", w->file,
                (size_t)(w->p - w->text), n);
    else
        mk_fail(err, MK_EFORMAT, "%s: JSON byte %zu: %s", w->file,
                (size_t)(w->p - w->text) + (size_t)e.position, mk_show_str(e.text).s);
    return NULL;
}

static bool read_key(struct mk_json_walk *w, struct mk_err *err)
{
    skip_space(w);
    if (w->p == w->end || *w->p != '"') return fail_at(w, "want a name", err);
    json_t *v = mk_json_value(w, MAX_KEY_TEXT, err);
    if (!v) return false;
    const size_t n = json_string_length(v);
    const bool ok = mk_name_check(json_string_value(v), n, "JSON name", w->file, err);
    if (ok) memcpy(w->key, json_string_value(v), n + 1);
    json_decref(v);
    return ok;
}

bool mk_json_next(struct mk_json_walk *w, bool *more, struct mk_err *err)
{
    if (accept(w, '}')) {
        *more = false;
        return true;
    }
    if (!w->is_first && !accept(w, ',')) return fail_at(w, "want , or }", err);
    w->is_first = false;
    if (!read_key(w, err)) return false;
    if (!accept(w, ':')) return fail_at(w, "want :", err);
    *more = true;
    return true;
}

bool mk_json_end(struct mk_json_walk *w, struct mk_err *err)
{
    skip_space(w);
    return w->p == w->end || fail_at(w, "want the end", err);
}
