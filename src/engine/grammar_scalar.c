/* Strings and numbers of schemas. */
#include "engine/int_grammar.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- strings ------------------------------------------------------------------------- */

#define MONTHS                                                                 \
    "((0[13578]|1[02])-(0[1-9]|[12]\\d|3[01])|(0[469]|11)-(0[1-9]|[12]\\d|30)" \
    "|02-(0[1-9]|1\\d|2[0-8]))"
#define LEAP  "([12]\\d([2468][048]|0[48]|[13579][26])|(1[26]|2[048])00)"
#define DATE  "([12]\\d{3}-" MONTHS "|" LEAP "-02-29)"
#define HOUR  "([01]\\d|2[0-3])"
#define TIME  HOUR ":[0-5]\\d:[0-5]\\d(\\.\\d{1,6})?(Z|[+-]" HOUR ":[0-5]\\d)"
#define HMS   "T(\\d{1,4}H(\\d{1,2}M(\\d{1,2}S)?)?|\\d{1,4}M(\\d{1,2}S)?|\\d{1,4}S)"
#define DAYS  "(\\d{1,4}D|\\d{1,4}M(\\d{1,2}D)?|\\d{1,4}Y(\\d{1,2}M(\\d{1,2}D)?)?)"
#define LABEL "[A-Za-z0-9]([A-Za-z0-9-]{0,59}[A-Za-z0-9])?"
#define ATOM  "[A-Za-z0-9_+-]{1,20}"
#define BYTE  "(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)"
#define H     "[0-9a-fA-F]{1,4}"
#define HEX8  "[0-9a-fA-F]{8}"
#define PIECE "([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"

/* What is written is what every reader of the format takes; not all that the format allows. */
static const struct format {
    const char *name, *pattern;
} formats[] = {
    {"date-time", DATE "T" TIME},
    {"date", DATE},
    {"time", TIME},
    {"duration", "P(" DAYS "(" HMS ")?|" HMS "|\\d{1,4}W)"},
    {"email", ATOM "(\\." ATOM "){0,2}@(" LABEL "\\.){1,3}[A-Za-z]{2,12}"},
    {"hostname", LABEL "(\\." LABEL "){0,3}"},
    {"ipv4", "(" BYTE "\\.){3}" BYTE},
    {"ipv6", "(" H ":){7}" H "|(" H ":){1,7}:|(" H ":){1,6}:" H "|(" H ":){1,5}(:" H "){1,2}|(" H
             ":){1,4}(:" H "){1,3}|(" H ":){1,3}(:" H "){1,4}|(" H ":){1,2}(:" H "){1,5}|" H ":(:" H
             "){1,6}|:((:" H "){1,7}|:)"},
    {"uuid",
     HEX8 "-[0-9a-fA-F]{4}-[1-8][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-" HEX8 "[0-9a-fA-F]{4}"},
    {"uuid4", HEX8 "-[0-9a-fA-F]{4}-4[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-" HEX8 "[0-9a-fA-F]{4}"},
    {"uri", "[a-z][a-z0-9+.-]{0,15}://" LABEL "(\\." LABEL "){0,3}(:\\d{1,4})?(/" PIECE
            "{0,40}){0,8}(\\?(" PIECE "|[/?]){0,100})?(#(" PIECE "|[/?]){0,50})?"},
    {"binary", NULL}, /* any text */
    {"password", NULL},
};

/* Patterns with look-around that zod writes beside a format: every text of ours fits them. */
static const struct format implied[] = {
    {"email",
     "^(?!\\.)(?!.*\\.\\.)([A-Za-z0-9_'+\\-\\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\\-]*"
     "\\.)+[A-Za-z]{2,}$"},
    {"duration", "^P(?:(\\d+W)|(?!.*W)(?=\\d|T\\d)(\\d+Y)?(\\d+M)?(\\d+D)?(T(?=\\d)(\\d+H)?(\\d+M)?"
                 "(\\d+([.,]\\d+)?S)?)?)$"},
};
static bool is_implied(const struct format *f, const char *pattern)
{
    for (size_t i = 0; i < sizeof implied / sizeof *implied; i++)
        if (!strcmp(f->name, implied[i].name) && !strcmp(pattern, implied[i].pattern)) return true;
    return false;
}

static const struct format *find_format(const char *name)
{
    for (size_t i = 0; name && i < sizeof formats / sizeof *formats; i++)
        if (!strcmp(formats[i].name, name)) return &formats[i];
    return NULL;
}

/* A pattern's matches must all have a length that is allowed. */
static void check_lengths(struct mk_schema *s, const struct mk_regex_lengths *len, uint32_t min,
                          uint32_t max)
{
    if (min > len->min)
        mk_schema_fail(s, MK_EUNSUPPORTED,
                       "minLength beside a pattern or format with shorter texts");
    if (max < len->max)
        mk_schema_fail(s, MK_EUNSUPPORTED,
                       "maxLength beside a pattern or format with longer texts");
}

uint32_t mk_schema_string(struct mk_schema *s, const json_t *schema)
{
    const uint32_t min = mk_schema_count(s, schema, "minLength", 0);
    const uint32_t max = mk_schema_count(s, schema, "maxLength", MK_NO_LIMIT);
    const json_t *pattern = mk_schema_get(s, schema, "pattern", JSON_STRING);
    const json_t *format = mk_schema_get(s, schema, "format", JSON_STRING);
    const struct format *f = find_format(json_string_value(format));
    const char *text = json_string_value(pattern);
    if (mk_schema_has_failed(s)) return 0;
    if (min > max) return mk_schema_fail(s, MK_EFORMAT, "minLength above maxLength");
    if (text && f && is_implied(f, text)) text = NULL;
    if (format && !f && !text)
        return mk_schema_fail(s, MK_EUNSUPPORTED, "format %.60s cannot be enforced",
                              json_string_value(format));
    if (f && !f->pattern) f = NULL;
    if (!text && !f && min == 0 && max == MK_NO_LIMIT) return mk_grammar_json_string(s->b);
    if (!text && !f)
        return mk_grammar_quoted(s->b,
                                 mk_grammar_repeat(s->b, mk_grammar_json_char(s->b), min, max));
    const struct mk_regex_use use = {
        .spelling = MK_SPELL_JSON, .is_search = text != NULL, .where = mk_str_c(&s->path)};
    struct mk_regex_lengths len;
    if (!text) text = f->pattern;
    const uint32_t x = mk_grammar_regex_for(s->b, text, strlen(text), &use, &len);
    check_lengths(s, &len, min, max);
    return mk_grammar_quoted(s->b, x);
}

/* ---- numbers ------------------------------------------------------------------------- */

/* v as a decimal that reads back the same. */
static bool write_bound(struct mk_bound *out, const json_t *v)
{
    char text[64];
    const double d = json_number_value(v);
    int n_frac = 0;
    if (json_is_integer(v)) {
        snprintf(text, sizeof text, "%lld", (long long)json_integer_value(v));
    } else {
        if (!(fabs(d) < 1e15)) return false;
        for (;; n_frac++) {
            snprintf(text, sizeof text, "%.*f", n_frac, d);
            if (!(strtod(text, NULL) < d) && !(strtod(text, NULL) > d)) break;
            if (n_frac == 17) return false;
        }
    }
    size_t n = 0;
    bool is_zero = true;
    for (const char *p = text; *p; p++) { /* whatever the locale's point is */
        if (*p < '0' || *p > '9') continue;
        is_zero &= *p == '0';
        out->digits[n++] = *p;
    }
    out->digits[n] = '\0';
    out->n_frac = n_frac;
    out->is_negative = text[0] == '-' && !is_zero;
    out->is_set = true;
    return true;
}

/* The stricter of an inclusive and an exclusive bound; draft 4's exclusive ones are booleans. */
static bool read_bound(struct mk_schema *s, const json_t *schema, const char *closed_key,
                       const char *open_key, bool is_lower, struct mk_bound *out)
{
    const json_t *closed = json_object_get(schema, closed_key);
    const json_t *open = json_object_get(schema, open_key);
    if (json_is_boolean(open)) {
        out->is_open = json_is_true(open);
        open = NULL;
    }
    if ((closed && !json_is_number(closed)) || (open && !json_is_number(open)))
        return mk_schema_fail(s, MK_EFORMAT, "%s is not a number", closed ? closed_key : open_key);
    const double c = json_number_value(closed), o = json_number_value(open);
    if (open && (!closed || (is_lower ? o >= c : o <= c))) {
        closed = open;
        out->is_open = true;
    }
    if (closed && !write_bound(out, closed))
        return mk_schema_fail(s, MK_EUNSUPPORTED, "%s of so many digits cannot be enforced",
                              out->is_open ? open_key : closed_key);
    return true;
}

static bool is_zero(const struct mk_bound *x) { return x->is_set && !strcmp(x->digits, "0"); }

/* Multiples of a whole number: the only bounds are signs. */
static uint32_t multiples(struct mk_schema *s, double n, const struct mk_bound *lo,
                          const struct mk_bound *hi)
{
    if (n > MK_MAX_MULTIPLE || (lo->is_set && !is_zero(lo)) || (hi->is_set && !is_zero(hi)) ||
        lo->is_open || hi->is_open)
        return mk_schema_fail(s, MK_EUNSUPPORTED,
                              "multipleOf is enforced up to %d, and beside it the bound 0 only",
                              MK_MAX_MULTIPLE);
    return mk_grammar_multiples(s->b, (unsigned)n, !lo->is_set, !hi->is_set);
}

/* Digits after the point that multiples of a negative power of ten have; -1: it is none. */
static int frac_digits(double step)
{
    double ten = 1;
    for (int n = 0; n <= 15; n++, ten *= 10)
        if (!(step < 1 / ten) && !(step > 1 / ten)) return n;
    return -1;
}

uint32_t mk_schema_number(struct mk_schema *s, const json_t *schema, bool is_integer)
{
    struct mk_bound lo = {0}, hi = {0};
    const json_t *multiple = json_object_get(schema, "multipleOf");
    const double step = json_number_value(multiple);
    int n_frac = is_integer ? 0 : 15;
    if (!read_bound(s, schema, "minimum", "exclusiveMinimum", true, &lo) ||
        !read_bound(s, schema, "maximum", "exclusiveMaximum", false, &hi))
        return 0;
    if (multiple && !(step > 0)) return mk_schema_fail(s, MK_EFORMAT, "multipleOf is not above 0");
    if (multiple && step > 1 && !(floor(step) < step)) return multiples(s, step, &lo, &hi);
    if (multiple) {
        const int n = frac_digits(step);
        if (n < 0)
            return mk_schema_fail(s, MK_EUNSUPPORTED, "multipleOf %g cannot be enforced", step);
        if (n < n_frac) n_frac = n;
    }
    if (lo.is_set || hi.is_set || n_frac == 0 || multiple)
        return mk_grammar_range(s->b, &lo, &hi, n_frac);
    return mk_grammar_json_number(s->b);
}
