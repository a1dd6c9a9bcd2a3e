/* Cuts text into pieces, inside which merges happen.  The rules of pre.def are compiled
 * with PCRE2, whose dialect reads them the same but for white space: Oniguruma's \s is
 * the Unicode property White_Space, PCRE2's has U+180E besides. */
#include "token/int_token.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define NAMES(...)  \
    {               \
        __VA_ARGS__ \
    }
#define RULES(...)  \
    {               \
        __VA_ARGS__ \
    }
#define FLAGS(...)                  __VA_ARGS__
#define NO_FLAGS                    .nfc = false
#define PRE(names_, flags_, rules_) {.names = names_, flags_, .rules = rules_},
/* clang-format off */
static const struct mk_pre families[] = {
#include "token/pre.def"
};
/* clang-format on */
#undef NAMES
#undef RULES
#undef FLAGS
#undef NO_FLAGS
#undef PRE
enum { N_FAMILIES = sizeof families / sizeof families[0] };

bool mk_pre_by_name(const struct mk_pre **pre, const struct mk_pre_name **name, const char *s,
                    size_t n)
{
    for (size_t f = 0; f < N_FAMILIES; f++) {
        for (size_t i = 0; i < MK_PRE_NAMES && families[f].names[i].name; i++) {
            const struct mk_pre_name *at = &families[f].names[i];
            if (strlen(at->name) != n || memcmp(at->name, s, n)) continue;
            *pre = &families[f];
            *name = at;
            return true;
        }
    }
    return false;
}

/* Equal, where \r and \n may be written as escapes. */
static bool same_rule(const char *a, const char *b)
{
    while (*a && *b) {
        const char ca = a[0] == '\\' && a[1] == 'r'   ? '\r'
                        : a[0] == '\\' && a[1] == 'n' ? '\n'
                                                      : *a;
        const char cb = b[0] == '\\' && b[1] == 'r'   ? '\r'
                        : b[0] == '\\' && b[1] == 'n' ? '\n'
                                                      : *b;
        if (ca != cb) return false;
        a += ca == *a ? 1 : 2;
        b += cb == *b ? 1 : 2;
    }
    return !*a && !*b;
}

const struct mk_pre *mk_pre_by_rules(const char *const *rules, size_t n)
{
    for (size_t f = 0; f < N_FAMILIES; f++) {
        size_t i = 0;
        while (i < n && i < MK_PRE_RULES && families[f].rules[i] &&
               same_rule(families[f].rules[i], rules[i]))
            i++;
        if (i == n && (n == MK_PRE_RULES || !families[f].rules[n])) return &families[f];
    }
    return NULL;
}

void mk_pre_list(struct mk_str *out)
{
    for (size_t f = 0; f < N_FAMILIES; f++) {
        if (f && !strcmp(families[f].names[0].name, families[f - 1].names[0].name)) continue;
        for (size_t i = 0; i < MK_PRE_NAMES && families[f].names[i].name; i++)
            mk_str_addf(out, "%s%s", out->len ? ", " : "", families[f].names[i].name);
    }
}

/* The rule in PCRE2's words.  \s+$ is looked for only where a run of white space begins:
 * trying it at each character of a run that does not end the piece would take quadratic
 * time.  Every other rule looks at a bounded number of characters, or consumes what it
 * looked at all but one: time is linear in the text, whatever it is. */
static void translate(struct mk_str *out, const char *rule)
{
    static const char space[] =
        "\\t-\\r\\x20\\x85\\xa0\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}"
        "\\x{3000}";
    if (!strcmp(rule, "\\s+$")) {
        mk_str_addf(out, "(?<![%s])[%s]++\\z", space, space);
        return;
    }
    bool in_class = false;
    for (const char *p = rule; *p; p++) {
        if (p[0] != '\\') {
            if (*p == '[') in_class = true;
            if (*p == ']') in_class = false;
            mk_str_addc(out, *p);
            continue;
        }
        p++;
        if (*p == 's' && in_class)
            mk_str_add(out, space);
        else if (*p == 's' || *p == 'S')
            mk_str_addf(out, "[%s%s]", *p == 'S' ? "^" : "", space);
        else
            mk_str_addf(out, "\\%c", *p);
    }
}

static void *take(PCRE2_SIZE n, void *data)
{
    (void)data;
    return mk_alloc(n);
}

static void give(void *p, void *data)
{
    (void)data;
    free(p);
}

/* A machine that forbids the compiler of PCRE2 gets its interpreter: the result of
 * pcre2_jit_compile() does not matter. */
void mk_splitter_init(struct mk_pre_splitter *s, const struct mk_pre *pre)
{
    *s = (struct mk_pre_splitter){.memory = pcre2_general_context_create(take, give, NULL)};
    s->context = pcre2_match_context_create(s->memory);
    pcre2_compile_context *compile = pcre2_compile_context_create(s->memory);
    pcre2_set_match_limit(s->context, UINT32_MAX); /* see translate(): none is needed */
    pcre2_set_depth_limit(s->context, UINT32_MAX);
    struct mk_str text = {0};
    for (; s->n < MK_PRE_RULES && pre->rules[s->n]; s->n++) {
        int error = 0;
        PCRE2_SIZE at = 0;
        mk_str_clear(&text);
        translate(&text, pre->rules[s->n]);
        s->rules[s->n] = pcre2_compile((PCRE2_SPTR)text.data, text.len, PCRE2_UTF | PCRE2_UCP,
                                       &error, &at, compile);
        assert(s->rules[s->n]);
        pcre2_jit_compile(s->rules[s->n], PCRE2_JIT_COMPLETE);
    }
    pcre2_compile_context_free(compile);
    mk_str_release(&text);
}

pcre2_match_data *mk_splitter_scratch(const struct mk_pre_splitter *s)
{
    return pcre2_match_data_create(1, s->memory);
}

void mk_splitter_release(struct mk_pre_splitter *s)
{
    for (unsigned i = 0; i < s->n; i++) pcre2_code_free(s->rules[i]);
    pcre2_match_context_free(s->context);
    pcre2_general_context_free(s->memory);
    *s = (struct mk_pre_splitter){0};
}

struct split {
    const struct mk_pre_splitter *s;
    pcre2_match_data *scratch;
    mk_piece_fn *fn;
    void *arg;
};

/* Should PCRE2 ever fail on a text, the compiled code and the interpreter both, the rest
 * of the piece counts as text between matches: still a tokenization of that text. */
static bool match(const struct split *c, unsigned rule, const char *s, size_t n, size_t at,
                  size_t *from, size_t *to)
{
    const pcre2_code *code = c->s->rules[rule];
    int rc = pcre2_match(code, (PCRE2_SPTR)s, n, at, PCRE2_NO_UTF_CHECK, c->scratch, c->s->context);
    if (rc < PCRE2_ERROR_NOMATCH)
        rc = pcre2_match(code, (PCRE2_SPTR)s, n, at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, c->scratch,
                         c->s->context);
    if (rc < 0) return false;
    const PCRE2_SIZE *where = pcre2_get_ovector_pointer(c->scratch);
    *from = where[0];
    *to = where[1];
    return *to > *from;
}

static void split(const struct split *c, unsigned rule, const char *s, size_t n)
{
    if (!n) return;
    if (rule == c->s->n) {
        c->fn(c->arg, s, n);
        return;
    }
    size_t at = 0, from, to;
    while (at < n && match(c, rule, s, n, at, &from, &to)) {
        split(c, rule + 1, s + at, from - at);
        split(c, rule + 1, s + from, to - from);
        at = to;
    }
    split(c, rule + 1, s + at, n - at);
}

void mk_split(const struct mk_pre_splitter *s, pcre2_match_data *scratch, const char *text,
              size_t n, mk_piece_fn *fn, void *arg)
{
    const struct split c = {s, scratch, fn, arg};
    split(&c, 0, text, n);
}
