/* JSON as text: white space, strings, numbers, any value. */
#include "engine/int_grammar.h"

#include <stdlib.h>
#include <string.h>

uint32_t mk_grammar_space(struct mk_grammar_builder *b)
{
    if (!b->space) b->space = mk_grammar_re(b, "( |\\n {0,32})?");
    return b->space;
}

#define HEX  "[0-9a-fA-F]"
#define HIGH "[dD][89abAB]" HEX "{2}"
#define LOW  "[dD][c-fC-F]" HEX "{2}"
/* Any but 0000 and the halves of surrogate pairs. */
#define WHOLE                                                                                  \
    "[1-9a-ce-fA-CE-F]" HEX "{3}|[dD][0-7]" HEX "{2}|0[1-9a-fA-F]" HEX "{2}|00[1-9a-fA-F]" HEX \
    "|000[1-9a-fA-F]"

uint32_t mk_grammar_json_char(struct mk_grammar_builder *b)
{
    return mk_grammar_re(b, "[^\"\\\\\\0-\\x1f]|\\\\([\"\\\\/bfnrt]|u(" WHOLE "|" HIGH "\\\\u" LOW
                            "))");
}

uint32_t mk_grammar_quoted(struct mk_grammar_builder *b, uint32_t x)
{
    const uint32_t quote = mk_grammar_str(b, "\"");
    return mk_grammar_seq(b, (const uint32_t[]){quote, x, quote}, 3);
}

uint32_t mk_grammar_json_string(struct mk_grammar_builder *b)
{
    if (!b->string) {
        const uint32_t one = mk_grammar_json_char(b);
        b->string = mk_grammar_quoted(b, mk_grammar_repeat(b, one, 0, MK_NO_LIMIT));
    }
    return b->string;
}

uint32_t mk_grammar_bracket(struct mk_grammar_builder *b, const char *open, uint32_t x,
                            const char *close)
{
    const uint32_t space = mk_grammar_space(b);
    const uint32_t list[] = {mk_grammar_str(b, open), space, x, space, mk_grammar_str(b, close)};
    return mk_grammar_seq(b, list, 5);
}

uint32_t mk_grammar_next(struct mk_grammar_builder *b, uint32_t x)
{
    const uint32_t list[] = {mk_grammar_str(b, ","), mk_grammar_space(b), x};
    return mk_grammar_seq(b, list, 3);
}

uint32_t mk_grammar_list(struct mk_grammar_builder *b, uint32_t x, uint32_t min, uint32_t max)
{
    if (max == 0) return 0;
    const uint32_t more = mk_grammar_repeat(b, mk_grammar_next(b, x), min ? min - 1 : 0,
                                            max == MK_NO_LIMIT ? max : max - 1);
    const uint32_t some = mk_grammar_pair(b, x, more);
    return min ? some : mk_grammar_maybe(b, some);
}

uint32_t mk_grammar_member(struct mk_grammar_builder *b, uint32_t key, uint32_t value)
{
    const uint32_t list[] = {key, mk_grammar_str(b, ":"), mk_grammar_space(b), value};
    return mk_grammar_seq(b, list, 4);
}

uint32_t mk_grammar_json_number(struct mk_grammar_builder *b)
{
    return mk_grammar_re(b, "-?(0|[1-9]\\d{0,14})(\\.\\d{1,15})?([eE][+-]?\\d{1,2})?");
}

/* Any value and any object contain each other. */
static void make_any(struct mk_grammar_builder *b)
{
    if (b->any) return;
    const uint32_t any = b->any = mk_grammar_forward(b, "a JSON value");
    const uint32_t member = mk_grammar_member(b, mk_grammar_json_string(b), any);
    const uint32_t members = mk_grammar_list(b, member, 0, MK_NO_LIMIT);
    b->any_object = mk_grammar_bracket(b, "{", members, "}");
    const uint32_t items = mk_grammar_list(b, any, 0, MK_NO_LIMIT);
    const uint32_t list[] = {b->any_object, mk_grammar_bracket(b, "[", items, "]"),
                             mk_grammar_json_string(b), mk_grammar_json_number(b),
                             mk_grammar_re(b, "true|false|null")};
    mk_grammar_bind(b, any, mk_grammar_choice(b, list, 5));
}

uint32_t mk_grammar_json(struct mk_grammar_builder *b)
{
    make_any(b);
    return b->any;
}

uint32_t mk_grammar_json_object(struct mk_grammar_builder *b)
{
    make_any(b);
    return b->any_object;
}

/* Reals in the shortest of the forms that read back the same. */
uint32_t mk_grammar_const(struct mk_grammar_builder *b, const json_t *v)
{
    enum { FLAGS = JSON_COMPACT | JSON_ENCODE_ANY };
    char *text = NULL;
    for (size_t digits = 15; digits <= 17; digits += 2) {
        free(text);
        text = json_dumps(v, FLAGS | JSON_REAL_PRECISION(digits));
        json_t *again = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
        const bool is_same = again && json_equal(again, v);
        json_decref(again);
        if (is_same) break;
    }
    const uint32_t x = text ? mk_grammar_str(b, text)
                            : mk_grammar_fail(b, MK_EFORMAT, "a value that JSON cannot write");
    free(text);
    return x;
}
