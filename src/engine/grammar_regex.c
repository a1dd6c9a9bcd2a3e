/* Regular expressions to nodes, by recursive descent: alternatives of sequences of repeated
 * atoms.  Nothing is kept but the nodes and how many characters a match has. */
#include "engine/int_grammar.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_GROUPS = 100 }; /* one within another */

struct regex {
    struct mk_grammar_builder *b;
    const char *start, *p, *end;
    const struct mk_regex_use *use;
    unsigned depth;
};
struct part {
    uint32_t x;
    struct mk_regex_lengths len;
};
static const struct part nothing = {0, {0, 0}};

static struct part fail(struct regex *r, enum mk_code code, const char *what)
{
    mk_grammar_fail(r->b, code, "%.200s: the pattern's byte %zu: %s", r->use->where,
                    (size_t)(r->p - r->start), what);
    r->p = r->end;
    return nothing;
}
static bool has_failed(const struct regex *r) { return r->b->err.code != MK_OK; }

static bool is(const struct regex *r, const char *text)
{
    const size_t n = strlen(text);
    return (size_t)(r->end - r->p) >= n && !memcmp(r->p, text, n);
}
static bool take(struct regex *r, const char *text)
{
    if (!is(r, text)) return false;
    r->p += strlen(text);
    return true;
}
static bool is_digit(const struct regex *r)
{
    return r->p < r->end && *r->p >= '0' && *r->p <= '9';
}

static bool is_mark(const struct regex *r)
{
    return r->p < r->end && (*r->p == '*' || *r->p == '+' || *r->p == '?');
}

static uint32_t plus(uint32_t a, uint32_t b) { return a > MK_NO_LIMIT - b ? MK_NO_LIMIT : a + b; }
static uint32_t times(uint32_t a, uint32_t n)
{
    if (a == 0 || n == 0) return 0;
    return a == MK_NO_LIMIT || n == MK_NO_LIMIT || (uint64_t)a * n > MK_NO_LIMIT ? MK_NO_LIMIT
                                                                                 : a * n;
}

/* ---- characters ---------------------------------------------------------------------- */

/* ECMAScript's classes. */
static void add_digits(struct mk_chars *c) { mk_chars_add(c, '0', '9'); }
static void add_word(struct mk_chars *c)
{
    mk_chars_add(c, 'a', 'z');
    mk_chars_add(c, 'A', 'Z');
    mk_chars_add(c, '0', '9');
    mk_chars_add(c, '_', '_');
}
static void add_space(struct mk_chars *c)
{
    static const struct mk_char_range list[] = {
        {'\t', '\r'},     {' ', ' '},       {0xa0, 0xa0},     {0x1680, 0x1680}, {0x2000, 0x200a},
        {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}, {0xfeff, 0xfeff}};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) mk_chars_add(c, list[i].lo, list[i].hi);
}

/* \d and the like at r->p, after the backslash; false if it is none. */
static bool parse_class_letter(struct regex *r, struct mk_chars *out)
{
    struct mk_chars c = {0};
    const char letter = r->p < r->end ? *r->p : 0;
    switch (letter | 0x20) {
    case 'd':
        add_digits(&c);
        break;
    case 'w':
        add_word(&c);
        break;
    case 's':
        add_space(&c);
        break;
    default:
        return false;
    }
    if (!(letter & 0x20)) mk_chars_invert(&c);
    for (size_t i = 0; i < c.n; i++) mk_chars_add(out, c.v[i].lo, c.v[i].hi);
    mk_chars_release(&c);
    r->p++;
    return true;
}

static uint32_t parse_hex(struct regex *r, int n)
{
    uint32_t v = 0;
    for (int i = 0; i < n; i++) {
        const char c = r->p < r->end ? *r->p : 0;
        const int digit = c >= '0' && c <= '9'                 ? c - '0'
                          : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                               : -1;
        if (digit < 0) {
            fail(r, MK_EFORMAT, "want a hexadecimal digit");
            return 0;
        }
        v = v << 4 | (uint32_t)digit;
        r->p++;
    }
    return v;
}

/* After \u. */
static uint32_t parse_unicode(struct regex *r)
{
    if (take(r, "{")) {
        const char *close = memchr(r->p, '}', (size_t)(r->end - r->p));
        const size_t n = close ? (size_t)(close - r->p) : 0;
        if (n < 1 || n > 6) {
            fail(r, MK_EFORMAT, "want \\u{H}, 1 to 6 digits");
            return 0;
        }
        const uint32_t cp = parse_hex(r, (int)n);
        if (!has_failed(r)) r->p++;
        if (cp > 0x10ffff) fail(r, MK_EFORMAT, "beyond U+10FFFF");
        return cp;
    }
    const uint32_t cp = parse_hex(r, 4);
    if (cp < 0xd800 || cp > 0xdbff || !take(r, "\\u")) return cp;
    const uint32_t low = parse_hex(r, 4);
    if (low < 0xdc00 || low > 0xdfff) fail(r, MK_EFORMAT, "half a surrogate pair");
    return 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00);
}

/* The character that an escape means; r->p is after the backslash. */
static uint32_t parse_escape(struct regex *r, bool in_class)
{
    static const char letters[] = "nrtfv", means[] = "\n\r\t\f\v";
    if (r->p == r->end) {
        fail(r, MK_EFORMAT, "ends with a backslash");
        return 0;
    }
    const char c = *r->p++;
    const char *at = strchr(letters, c);
    if (c && at) return (uint32_t)means[at - letters];
    if (c == 'x') return parse_hex(r, 2);
    if (c == 'u') return parse_unicode(r);
    if (c == '0' && !is_digit(r)) return 0;
    if (c == 'b' && in_class) return '\b';
    if (c == 'c' && r->p < r->end && ((*r->p | 32) >= 'a' && (*r->p | 32) <= 'z'))
        return (uint32_t)(*r->p++ & 31);
    r->p--;
    if (c >= '0' && c <= '9')
        fail(r, MK_EUNSUPPORTED, "a back reference cannot be enforced");
    else if ((c | 32) >= 'a' && (c | 32) <= 'z')
        fail(r, MK_EUNSUPPORTED, "this escape is not supported");
    if (has_failed(r)) return 0;
    const int len = mk_utf8_len(r->p, (size_t)(r->end - r->p));
    const uint32_t cp = mk_utf8_cp(r->p, len);
    r->p += len;
    return cp;
}

static uint32_t parse_char(struct regex *r)
{
    const int len = mk_utf8_len(r->p, (size_t)(r->end - r->p));
    const uint32_t cp = mk_utf8_cp(r->p, len);
    r->p += len;
    return cp;
}

/* One item of a class: true and *cp for a character, false for a set, which is added. */
static bool parse_item(struct regex *r, struct mk_chars *out, uint32_t *cp)
{
    if (!take(r, "\\")) {
        *cp = parse_char(r);
        return true;
    }
    if (parse_class_letter(r, out)) return false;
    *cp = parse_escape(r, true);
    return true;
}

/* After the opening bracket. */
static void parse_class(struct regex *r, struct mk_chars *out)
{
    const bool inverts = take(r, "^");
    while (!has_failed(r) && !take(r, "]")) {
        uint32_t lo, hi;
        if (r->p == r->end) {
            fail(r, MK_EFORMAT, "a class without ]");
            return;
        }
        const bool is_char = parse_item(r, out, &lo);
        const bool is_range = is(r, "-") && r->end - r->p > 1 && r->p[1] != ']';
        if (is_char) hi = lo;
        if (is_char && is_range) {
            r->p++;
            if (!parse_item(r, out, &hi)) mk_chars_add(out, '-', '-'), hi = lo;
            if (hi < lo) fail(r, MK_EFORMAT, "a range that ends before it begins");
        }
        if (is_char) mk_chars_add(out, lo, hi);
    }
    if (inverts) mk_chars_invert(out);
}

static struct part char_part(struct regex *r, struct mk_chars *c)
{
    const struct part one = {mk_grammar_chars(r->b, c, r->use->spelling), {1, 1}};
    mk_chars_release(c);
    return one;
}

static struct part literal(struct regex *r, uint32_t cp)
{
    struct mk_chars c = {0};
    mk_chars_add(&c, cp, cp);
    return char_part(r, &c);
}

/* ---- structure ----------------------------------------------------------------------- */

static struct part parse_choice(struct regex *r);

/* After the opening parenthesis. */
static struct part parse_group(struct regex *r)
{
    if (is(r, "?=") || is(r, "?!") || is(r, "?<=") || is(r, "?<!"))
        return fail(r, MK_EUNSUPPORTED, "look-around cannot be enforced");
    if (take(r, "?<") || take(r, "?P<")) {
        const char *close = memchr(r->p, '>', (size_t)(r->end - r->p));
        if (!close) return fail(r, MK_EFORMAT, "a group's name without >");
        r->p = close + 1;
    } else if (is(r, "?") && !take(r, "?:")) {
        return fail(r, MK_EUNSUPPORTED, "flags within a pattern are not supported");
    }
    if (++r->depth > MAX_GROUPS) return fail(r, MK_ELIMIT, "more than 100 groups in each other");
    const struct part x = parse_choice(r);
    r->depth--;
    if (!has_failed(r) && !take(r, ")")) return fail(r, MK_EFORMAT, "a group without )");
    return x;
}

static struct part parse_atom(struct regex *r)
{
    struct mk_chars c = {0};
    if (take(r, "(")) return parse_group(r);
    if (take(r, "[")) {
        parse_class(r, &c);
        return char_part(r, &c);
    }
    if (take(r, ".")) {
        mk_chars_add(&c, '\n', '\n');
        mk_chars_add(&c, '\r', '\r');
        mk_chars_add(&c, 0x2028, 0x2029);
        mk_chars_invert(&c);
        return char_part(r, &c);
    }
    if (take(r, "\\")) {
        if (parse_class_letter(r, &c)) return char_part(r, &c);
        if (is(r, "b") || is(r, "B"))
            return fail(r, MK_EUNSUPPORTED, "word borders cannot be enforced");
        return literal(r, parse_escape(r, false));
    }
    if (is_mark(r)) return fail(r, MK_EFORMAT, "nothing to repeat");
    if (*r->p == '^' || *r->p == '$')
        return fail(r, MK_EUNSUPPORTED, "^ and $ go at the ends of whole alternatives only");
    return literal(r, parse_char(r));
}

static uint32_t parse_count(struct regex *r)
{
    uint32_t n = 0;
    for (; is_digit(r) && n <= MK_PATTERN_REPEATS; r->p++) n = 10 * n + (uint32_t)(*r->p - '0');
    if (n > MK_PATTERN_REPEATS) fail(r, MK_ELIMIT, "more than 100000 repeats");
    return n;
}

/* {m}, {m,} or {m,n}; a brace that is none of them is a character. */
static bool parse_braces(struct regex *r, uint32_t *min, uint32_t *max)
{
    const char *start = r->p;
    if (!take(r, "{") || !is_digit(r)) {
        r->p = start;
        return false;
    }
    *min = *max = parse_count(r);
    if (take(r, ",")) *max = is_digit(r) ? parse_count(r) : MK_NO_LIMIT;
    if (!has_failed(r) && !take(r, "}")) {
        r->p = start;
        return false;
    }
    if (*min > *max) fail(r, MK_EFORMAT, "{m,n} with m above n");
    return !has_failed(r);
}

static struct part parse_repeated(struct regex *r)
{
    const struct part x = parse_atom(r);
    uint32_t min, max;
    if (has_failed(r)) return nothing;
    if (take(r, "*"))
        min = 0, max = MK_NO_LIMIT;
    else if (take(r, "+"))
        min = 1, max = MK_NO_LIMIT;
    else if (take(r, "?"))
        min = 0, max = 1;
    else if (!parse_braces(r, &min, &max))
        return x;
    take(r, "?"); /* lazy: the same texts */
    if (is_mark(r)) return fail(r, MK_EFORMAT, "nothing to repeat");
    return (struct part){mk_grammar_repeat(r->b, x.x, min, max),
                         {times(x.len.min, min), times(x.len.max, max)}};
}

static bool is_at_end(const struct regex *r)
{
    return r->p == r->end || *r->p == '|' || *r->p == ')';
}

static uint32_t anything(struct regex *r)
{
    if (!r->b->any_char) {
        struct mk_chars all = {0};
        mk_chars_add(&all, 0, 0x10ffff);
        r->b->any_char = mk_grammar_chars(r->b, &all, MK_SPELL_JSON);
        mk_chars_release(&all);
    }
    return mk_grammar_repeat(r->b, r->b->any_char, 0, MK_NO_LIMIT);
}

static struct part parse_seq(struct regex *r)
{
    const bool is_outer = r->depth == 0;
    bool floats = is_outer && r->use->is_search, ends = !floats;
    uint32_t *list = mk_calloc((size_t)(r->end - r->p) + 2, sizeof *list);
    size_t n = 0;
    struct mk_regex_lengths len = {0, 0};
    if (is_outer && take(r, "^")) floats = false;
    if (floats) list[n++] = anything(r), len.max = MK_NO_LIMIT;
    while (!has_failed(r) && !is_at_end(r)) {
        if (is_outer && is(r, "$") && (r->p + 1 == r->end || r->p[1] == '|')) {
            r->p++;
            ends = true;
            break;
        }
        const struct part x = parse_repeated(r);
        list[n++] = x.x;
        len.min = plus(len.min, x.len.min);
        len.max = plus(len.max, x.len.max);
    }
    if (!ends) list[n++] = anything(r), len.max = MK_NO_LIMIT;
    const struct part all = {mk_grammar_seq(r->b, list, n), len};
    free(list);
    return all;
}

static struct part parse_choice(struct regex *r)
{
    struct part all = parse_seq(r);
    if (!is(r, "|")) return all;
    size_t n = 1, cap = 8;
    uint32_t *list = mk_calloc(cap, sizeof *list);
    list[0] = all.x;
    while (take(r, "|")) {
        const struct part x = parse_seq(r);
        if (n == cap) list = mk_realloc(list, (cap *= 2) * sizeof *list);
        list[n++] = x.x;
        if (x.len.min < all.len.min) all.len.min = x.len.min;
        if (x.len.max > all.len.max) all.len.max = x.len.max;
    }
    all.x = mk_grammar_choice(r->b, list, n);
    free(list);
    return all;
}

uint32_t mk_grammar_regex_for(struct mk_grammar_builder *b, const char *pattern, size_t n,
                              const struct mk_regex_use *use, struct mk_regex_lengths *lengths)
{
    struct regex r = {.b = b, .start = pattern, .p = pattern, .end = pattern + n, .use = use};
    if (n > MK_PATTERN_BYTES)
        return mk_grammar_fail(b, MK_ELIMIT, "%.200s: a pattern of %zu bytes, at most %d go",
                               use->where, n, MK_PATTERN_BYTES);
    if (mk_utf8_valid(pattern, n) < n)
        return mk_grammar_fail(b, MK_EFORMAT, "%.200s: the pattern is not UTF-8", use->where);
    const struct part x = parse_choice(&r);
    if (!has_failed(&r) && r.p < r.end) fail(&r, MK_EFORMAT, "a ) without (");
    if (lengths) *lengths = x.len;
    return has_failed(&r) ? 0 : x.x;
}

uint32_t mk_grammar_regex(struct mk_grammar_builder *b, const char *pattern, size_t n)
{
    static const struct mk_regex_use use = {.where = "regex"};
    return mk_grammar_regex_for(b, n ? pattern : "", n, &use, NULL);
}

uint32_t mk_grammar_re(struct mk_grammar_builder *b, const char *pattern)
{
    return mk_grammar_regex(b, pattern, strlen(pattern));
}
