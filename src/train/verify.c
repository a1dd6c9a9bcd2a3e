/* Each verifier turns both texts into values and compares these. */
#include "train/verify.h"

#include "base/str.h"

#include <jansson.h>
#include <math.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

struct text {
    const char *s;
    size_t n;
};

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static struct text trim(const char *s, size_t n)
{
    while (n && is_space(s[0])) s++, n--;
    while (n && is_space(s[n - 1])) n--;
    return (struct text){s, n};
}

static bool same_text(struct text a, struct text b)
{
    return a.n == b.n && memcmp(a.s, b.s, a.n) == 0;
}

/* ---- number ---- */

enum { MAX_NUMBER_TEXT = 200 };

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/* The bytes of the number at s (NUL-terminated): sign, digits with commas between groups of three,
 * fraction, exponent; 0 if there is none.  digits[] gets it without commas. */
static size_t number_length(const char *s, char digits[MAX_NUMBER_TEXT + 1])
{
    size_t i = 0, n = 0;
    if (s[i] == '-' || s[i] == '+') digits[n++] = s[i++];
    const size_t first = i;
    size_t run = 0;
    bool has_comma = false;
    for (;; i++) {
        if (is_digit(s[i])) {
            digits[n++] = s[i];
            run++;
        } else if (s[i] == ',' && is_digit(s[i + 1])) {
            if (run == 0 || run > 3 || (has_comma && run != 3)) return 0;
            has_comma = true;
            run = 0;
        } else {
            break;
        }
    }
    if (i == first || (has_comma && run != 3)) return 0;
    if (s[i] == '.' && is_digit(s[i + 1])) {
        digits[n++] = s[i++];
        while (is_digit(s[i])) digits[n++] = s[i++];
    }
    if (s[i] == 'e' || s[i] == 'E') {
        const size_t sign = s[i + 1] == '-' || s[i + 1] == '+';
        if (!is_digit(s[i + 1 + sign])) return 0;
        for (size_t k = 0; k < 1 + sign; k++) digits[n++] = s[i++];
        while (is_digit(s[i])) digits[n++] = s[i++];
    }
    digits[n] = '\0';
    return i;
}

/* The one number in a text. */
static bool read_number(struct text t, double *out)
{
    char s[MAX_NUMBER_TEXT + 1], digits[MAX_NUMBER_TEXT + 1];
    if (t.n > MAX_NUMBER_TEXT) return false;
    memcpy(s, t.s, t.n);
    s[t.n] = '\0';
    bool found = false;
    for (size_t i = 0; s[i];) {
        if (!is_digit(s[i]) && s[i] != '-' && s[i] != '+') {
            if (!is_letter(s[i]) && !is_space(s[i]) && !strchr(".,:=!'$%", s[i])) return false;
            i++;
            continue;
        }
        const bool free_before = i == 0 || is_space(s[i - 1]) || strchr(":=$", s[i - 1]);
        const size_t n = number_length(s + i, digits);
        if (!n || !free_before || found) return false;
        found = true;
        i += n;
        const bool stop = (s[i] == '.' || s[i] == ',') && !is_digit(s[i + 1]);
        if (s[i] && !stop && !is_space(s[i]) && !strchr(":!%", s[i])) return false;
        *out = strtod(digits, NULL);
    }
    return found && isfinite(*out);
}

static bool is_near(const struct mk_verifier *v, struct text answer, struct text completion)
{
    double want = 0, got = 0;
    if (!read_number(answer, &want) || !read_number(completion, &got)) return false;
    const double limit = v->is_relative ? v->tolerance * fabs(want) : v->tolerance;
    return fabs(got - want) <= limit * (1 + 1e-9); /* 3.13 is 0.01 from 3.14 */
}

/* ---- set ---- */

enum { MAX_ITEMS = 256 };

static int by_text(const void *a, const void *b)
{
    const struct text *x = a, *y = b;
    const int c = memcmp(x->s, y->s, x->n < y->n ? x->n : y->n);
    return c ? c : (x->n > y->n) - (x->n < y->n);
}

/* The items in order, each once; 0 if one is empty or there are too many. */
static size_t read_set(struct text t, struct text item[MAX_ITEMS])
{
    size_t n = 0, from = 0;
    if (t.n && t.s[t.n - 1] == '.') t.n--;
    for (size_t i = 0; i <= t.n; i++) {
        if (i < t.n && !strchr(",;\n", t.s[i])) continue;
        if (n == MAX_ITEMS) return 0;
        item[n] = trim(t.s + from, i - from);
        if (item[n++].n == 0) return 0;
        from = i + 1;
    }
    qsort(item, n, sizeof *item, by_text);
    size_t n_unique = 1;
    for (size_t i = 1; i < n; i++)
        if (!same_text(item[i], item[n_unique - 1])) item[n_unique++] = item[i];
    return n_unique;
}

static bool same_set(struct text answer, struct text completion)
{
    struct text want[MAX_ITEMS], got[MAX_ITEMS];
    const size_t n = read_set(answer, want);
    if (n == 0 || n != read_set(completion, got)) return false;
    for (size_t i = 0; i < n; i++)
        if (!same_text(want[i], got[i])) return false;
    return true;
}

/* ---- regex ---- */

enum { MAX_STEPS = 200000, MAX_DEPTH = 10000, MAX_HEAP_KIB = 16 << 10, MAX_PATTERN = 4096 };

static pcre2_code *compile(struct text pattern, struct mk_err *err)
{
    int code;
    PCRE2_SIZE at;
    if (pattern.n > MAX_PATTERN) {
        mk_fail(err, MK_ELIMIT, "a pattern of %zu bytes, at most %d are allowed", pattern.n,
                MAX_PATTERN);
        return NULL;
    }
    pcre2_code *re = pcre2_compile(
        (PCRE2_SPTR)pattern.s, pattern.n,
        PCRE2_UTF | PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_NEVER_BACKSLASH_C, &code, &at, NULL);
    if (!re) {
        unsigned char why[120];
        pcre2_get_error_message(code, why, sizeof why);
        mk_fail(err, MK_EFORMAT, "pattern \"%.*s\": %s at byte %zu",
                pattern.n < 80 ? (int)pattern.n : 80, pattern.s, (const char *)why, at);
    }
    return re;
}

static bool matches(struct text pattern, struct text completion)
{
    pcre2_code *re = compile(pattern, NULL);
    if (!re) return false;
    pcre2_match_context *limits = pcre2_match_context_create(NULL);
    pcre2_match_data *found = pcre2_match_data_create(1, NULL);
    bool ok = false;
    if (limits && found) {
        pcre2_set_match_limit(limits, MAX_STEPS);
        pcre2_set_depth_limit(limits, MAX_DEPTH);
        pcre2_set_heap_limit(limits, MAX_HEAP_KIB);
        ok = pcre2_match(re, (PCRE2_SPTR)completion.s, completion.n, 0, 0, found, limits) >= 0;
    }
    pcre2_match_data_free(found);
    pcre2_match_context_free(limits);
    pcre2_code_free(re);
    return ok;
}

/* ---- json ---- */

static json_t *read_json(struct text t, json_error_t *e)
{
    return json_loadb(t.s, t.n, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, e);
}

/* As json_equal(), but 1 is 1.0. */
static bool same_json(json_t *a, json_t *b)
{
    if (json_is_number(a) && json_is_number(b)) {
        if (json_is_integer(a) && json_is_integer(b))
            return json_integer_value(a) == json_integer_value(b);
        const double x = json_number_value(a), y = json_number_value(b);
        return x >= y && x <= y;
    }
    if (json_typeof(a) != json_typeof(b)) return false;
    if (json_is_array(a)) {
        if (json_array_size(a) != json_array_size(b)) return false;
        for (size_t i = 0; i < json_array_size(a); i++)
            if (!same_json(json_array_get(a, i), json_array_get(b, i))) return false;
        return true;
    }
    if (!json_is_object(a)) return json_equal(a, b);
    if (json_object_size(a) != json_object_size(b)) return false;
    const char *key;
    json_t *member;
    json_object_foreach(a, key, member)
    {
        json_t *other = json_object_get(b, key);
        if (!other || !same_json(member, other)) return false;
    }
    return true;
}

static bool same_value(struct text answer, struct text completion)
{
    json_error_t e;
    json_t *want = read_json(answer, &e), *got = want ? read_json(completion, &e) : NULL;
    const bool ok = got && same_json(want, got);
    json_decref(want);
    json_decref(got);
    return ok;
}

/* ---- all ---- */

static const char *const names[] = {"exact", "number", "set", "regex", "json"};

/* "0.01" or "1%". */
static bool parse_tolerance(struct mk_verifier *v, const char *text)
{
    char *end;
    if (!is_digit(text[0]) && text[0] != '.') return false;
    v->tolerance = strtod(text, &end);
    v->is_relative = *end == '%';
    if (v->is_relative) v->tolerance /= 100, end++;
    return *end == '\0' && isfinite(v->tolerance);
}

bool mk_verifier_parse(struct mk_verifier *out, const char *spec, struct mk_err *err)
{
    const char *colon = strchr(spec, ':');
    const size_t n = colon ? (size_t)(colon - spec) : strlen(spec);
    for (int i = 0; i < (int)(sizeof names / sizeof *names); i++) {
        if (strlen(names[i]) != n || strncmp(spec, names[i], n) != 0) continue;
        struct mk_verifier v = {.kind = i};
        if (colon && i != MK_VERIFY_NUMBER)
            return mk_fail(err, MK_EUSAGE, "verifier \"%s\": %s takes no option", spec, names[i]);
        if (colon && !parse_tolerance(&v, colon + 1))
            return mk_fail(err, MK_EUSAGE,
                           "verifier \"%s\": \"%s\" is no tolerance, want one like 0.01 or 1%%",
                           spec, colon + 1);
        *out = v;
        return true;
    }
    return mk_fail(err, MK_EUSAGE,
                   "no verifier \"%s\"; there are exact, number, number:0.01, set, regex, json",
                   spec);
}

bool mk_verifier_check(const struct mk_verifier *v, const char *answer, size_t n,
                       struct mk_err *err)
{
    const struct text t = trim(answer, n);
    const int shown = t.n < 80 ? (int)t.n : 80;
    struct text item[MAX_ITEMS];
    double d = 0;
    json_error_t e;
    if (t.n == 0) return mk_fail(err, MK_EFORMAT, "the answer is empty");
    if (t.n > MK_VERIFY_MAX) return mk_fail(err, MK_ELIMIT, "an answer of %zu bytes", t.n);
    if (v->kind == MK_VERIFY_NUMBER && !read_number(t, &d))
        return mk_fail(err, MK_EFORMAT, "answer \"%.*s\" is not one number", shown, t.s);
    if (v->kind == MK_VERIFY_SET && !read_set(t, item))
        return mk_fail(err, MK_EFORMAT, "answer \"%.*s\" is no list of up to %d items", shown, t.s,
                       MAX_ITEMS);
    if (v->kind == MK_VERIFY_REGEX) {
        pcre2_code *re = compile(t, err);
        if (!re) return false;
        pcre2_code_free(re);
    }
    if (v->kind == MK_VERIFY_JSON) {
        json_t *value = read_json(t, &e);
        if (!value)
            return mk_fail(err, MK_EFORMAT, "answer \"%.*s\" is not JSON: %s", shown, t.s, e.text);
        json_decref(value);
    }
    return true;
}

double mk_verifier_score(const struct mk_verifier *v, const char *answer, size_t n_answer,
                         const char *completion, size_t n)
{
    const struct text want = trim(answer, n_answer), got = trim(completion, n);
    if (!got.n || got.n > MK_VERIFY_MAX || memchr(got.s, 0, got.n) ||
        mk_utf8_valid(got.s, got.n) != got.n)
        return 0;
    switch (v->kind) {
    case MK_VERIFY_NUMBER:
        return is_near(v, want, got);
    case MK_VERIFY_SET:
        return same_set(want, got);
    case MK_VERIFY_REGEX:
        return matches(want, got);
    case MK_VERIFY_JSON:
        return same_value(want, got);
    default:
        return same_text(want, got);
    }
}
