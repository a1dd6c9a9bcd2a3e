/* The vocabulary and the merges are 95 % of a tokenizer.json: two tables with a hundred
 * thousand short strings each, which a tree of JSON values would turn into three hundred
 * thousand allocations.  They are found here and read where they lie; what is left of the
 * file goes through jansson. */
#include "token/int_token.h"

#include <string.h>

bool mk_scan_fail(const struct mk_scan *s, const char *want)
{
    if (s->at >= s->n)
        return mk_fail(s->err, MK_EFORMAT, "%s: ends where %s should be", s->file, want);
    const size_t n = s->n - s->at;
    return mk_fail(s->err, MK_EFORMAT, "%s: byte %zu: %s where %s should be", s->file, s->at,
                   mk_token_show(s->text + s->at, n < 16 ? n : 16).s, want);
}

static bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

static void skip_space(struct mk_scan *s)
{
    while (s->at < s->n && is_space(s->text[s->at])) s->at++;
}

bool mk_scan_is(struct mk_scan *s, char c)
{
    skip_space(s);
    if (s->at >= s->n || s->text[s->at] != c) return false;
    s->at++;
    return true;
}

bool mk_scan_expect(struct mk_scan *s, char c)
{
    const char want[2] = {c, '\0'};
    return mk_scan_is(s, c) || mk_scan_fail(s, want);
}

static bool hex4(struct mk_scan *s, uint32_t *out)
{
    if (s->n - s->at < 4) return mk_scan_fail(s, "four hexadecimal digits");
    uint32_t v = 0;
    for (int i = 0; i < 4; i++) {
        const char c = s->text[s->at + (size_t)i];
        const int digit = c >= '0' && c <= '9'   ? c - '0'
                          : c >= 'a' && c <= 'f' ? c - 'a' + 10
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                 : -1;
        if (digit < 0) return mk_scan_fail(s, "four hexadecimal digits");
        v = v << 4 | (uint32_t)digit;
    }
    s->at += 4;
    *out = v;
    return true;
}

/* After the backslash. */
static bool escape(struct mk_scan *s, struct mk_str *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (s->at >= s->n) return mk_scan_fail(s, "an escape");
    const char c = s->text[s->at];
    const char *at = c ? strchr(from, c) : NULL;
    if (at) {
        s->at++;
        mk_str_addc(out, to[at - from]);
        return true;
    }
    if (c != 'u') return mk_scan_fail(s, "an escape");
    s->at++;
    uint32_t cp, low;
    if (!hex4(s, &cp)) return false;
    if (cp >= 0xd800 && cp <= 0xdbff) {
        if (s->n - s->at < 2 || memcmp(s->text + s->at, "\\u", 2))
            return mk_scan_fail(s, "a low surrogate");
        s->at += 2;
        if (!hex4(s, &low)) return false;
        if (low < 0xdc00 || low > 0xdfff) return mk_scan_fail(s, "a low surrogate before this");
        cp = 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00);
    } else if (cp >= 0xdc00 && cp <= 0xdfff) {
        return mk_scan_fail(s, "a high surrogate before this");
    }
    mk_str_add_cp(out, cp);
    return true;
}

static bool is_string_char(char c) { return c != '"' && c != '\\' && (unsigned char)c >= 32; }

bool mk_scan_string(struct mk_scan *s, struct mk_str *out)
{
    mk_str_clear(out);
    if (!mk_scan_is(s, '"')) return mk_scan_fail(s, "a string");
    for (;;) {
        const size_t from = s->at;
        size_t at = from;
        while (at < s->n && is_string_char(s->text[at])) at++;
        s->at = at;
        mk_str_append(out, s->text + from, s->at - from);
        if (s->at >= s->n || (unsigned char)s->text[s->at] < 32)
            return mk_scan_fail(s, "the rest of a string");
        if (s->text[s->at++] == '"') return true;
        if (!escape(s, out)) return false;
    }
}

bool mk_scan_id(struct mk_scan *s, int32_t *out)
{
    skip_space(s);
    size_t at = s->at;
    int64_t v = 0;
    while (at < s->n && s->text[at] >= '0' && s->text[at] <= '9' && v <= INT32_MAX)
        v = 10 * v + (s->text[at++] - '0');
    /* A token takes some bytes of the file: a larger id would take memory for nothing. */
    const bool ended =
        at < s->n && (s->text[at] == ',' || s->text[at] == '}' || is_space(s->text[at]));
    if (at == s->at || !ended || v >= INT32_MAX || (size_t)v > s->n)
        return mk_scan_fail(s, "a token id below the size of the file");
    s->at = at;
    *out = (int32_t)v;
    return true;
}

/* ---- finding the tables ---- */

static bool skip_string(struct mk_scan *s) /* at the opening quote */
{
    const char *text = s->text;
    size_t at = s->at + 1;
    while (at < s->n && text[at] != '"') at += text[at] == '\\' ? 2 : 1;
    s->at = at < s->n ? at + 1 : s->n;
    return at < s->n || mk_scan_fail(s, "the rest of a string");
}

/* Up to what ends a number, true, false or null; or over a string, or brackets. */
static bool skip_value(struct mk_scan *s)
{
    skip_space(s);
    const char *text = s->text;
    const size_t from = s->at;
    size_t depth = 0, at = from;
    while (at < s->n) {
        const char c = text[at];
        if (c == '"') {
            s->at = at;
            if (!skip_string(s)) return false;
            at = s->at;
            if (!depth) return true;
            continue;
        }
        const bool opens = c == '{' || c == '[', closes = c == '}' || c == ']';
        if (!depth && (closes || c == ',')) break;
        depth += opens;
        depth -= closes;
        at++;
        if (closes && !depth) {
            s->at = at;
            return true;
        }
    }
    s->at = at;
    return (at > from && !depth) || mk_scan_fail(s, "a value");
}

static bool note(const struct mk_scan *s, struct mk_json_span *span, size_t from, const char *name)
{
    if (span->from)
        return mk_fail(s->err, MK_EFORMAT, "%s: model.%s is there twice", s->file, name);
    *span = (struct mk_json_span){from, s->at};
    return true;
}

/* The members of an object: the file (in_model false) or its "model". */
static bool walk(struct mk_scan *s, struct mk_json_tables *out, bool in_model)
{
    struct mk_str key = {0};
    bool ok = mk_scan_expect(s, '{');
    while (ok && !mk_scan_is(s, '}')) {
        ok = mk_scan_string(s, &key) && mk_scan_expect(s, ':');
        skip_space(s);
        const size_t from = s->at;
        const char *name = mk_str_c(&key);
        if (ok && !in_model && !strcmp(name, "model") && from < s->n && s->text[from] == '{')
            ok = walk(s, out, true);
        else
            ok = ok && skip_value(s);
        if (ok && in_model && !strcmp(name, "vocab")) ok = note(s, &out->vocab, from, name);
        if (ok && in_model && !strcmp(name, "merges")) ok = note(s, &out->merges, from, name);
        if (ok && mk_scan_is(s, '}')) break;
        ok = ok && mk_scan_expect(s, ',');
    }
    mk_str_release(&key);
    return ok;
}

bool mk_json_find_tables(const struct mk_scan *file, struct mk_json_tables *out)
{
    struct mk_scan s = *file;
    s.at = 0;
    struct mk_json_tables found = {{0}, {0}};
    if (!walk(&s, &found, false)) return false;
    *out = found;
    return true;
}

/* ---- writing ---- */

void mk_json_quote(struct mk_str *out, const char *s, size_t n)
{
    struct mk_str clean = {0};
    mk_str_add_utf8(&clean, s, n);
    mk_str_addc(out, '"');
    for (size_t i = 0; i < clean.len; i++) {
        const char c = clean.data[i];
        if (c == '"' || c == '\\') mk_str_addc(out, '\\');
        if ((unsigned char)c < 32)
            mk_str_addf(out, "\\u%04x", (unsigned)c);
        else
            mk_str_addc(out, c);
    }
    mk_str_addc(out, '"');
    mk_str_release(&clean);
}
