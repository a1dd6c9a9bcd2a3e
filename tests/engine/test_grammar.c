/* Grammars and what may come under them: combinations, regular expressions, tags, free text,
 * and hostile inputs. */
#include "grammar_test.h"

#include "base/clock.h"
#include "base/mem.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>

/* ---- regular expressions ------------------------------------------------------------- */

static void check_regex(const char *pattern, const char *const *good, const char *const *bad)
{
    struct mk_grammar *g = regex(pattern);
    for (; *good; good++)
        if (!has(g, *good)) fail_msg("%s does not match %s", pattern, *good);
    for (; *bad; bad++)
        if (has(g, *bad)) fail_msg("%s matches %s", pattern, *bad);
    mk_grammar_free(g);
}
#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static void regexes(void **state)
{
    (void)state;
    check_regex("abc", LIST("abc"), LIST("", "ab", "abcd", "abd"));
    check_regex("^a|b$", LIST("a", "b"), LIST("ab", ""));
    check_regex("a*b+c?", LIST("b", "aabbc", "bc"), LIST("a", "aac", "bcc"));
    check_regex("(ab|c){2,3}?", LIST("abc", "cc", "ababab"), LIST("ab", "cccc", ""));
    check_regex("[a-c\\d_-]{2}", LIST("a1", "-_", "c-"), LIST("d1", "a", "a11"));
    check_regex("[^a-z]", LIST("A", "\xc3\xa9", "\xe9\xb2\xb8", "\xf0\x9f\x90\x8b"),
                LIST("a", "", "AB", "\xc3", "\xc3\xa9\xa9"));
    check_regex(".", LIST("a", "\xe2\x82\xac"), LIST("\n", "\r", "\xe2\x80\xa8", "\xed\xa0\x80"));
    check_regex("\\u{1F40B}\\xe9\\u00e8\\t\\/", LIST("\xf0\x9f\x90\x8b\xc3\xa9\xc3\xa8\t/"),
                LIST(""));
    check_regex("\\uD83D\\uDC0B", LIST("\xf0\x9f\x90\x8b"), LIST("\xf0\x9f\x90\x8c"));
    check_regex("[\\u0100-\\u{10000}]", LIST("\xc4\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80"),
                LIST("\xc3\xbf", "\xf0\x90\x80\x81", "a"));
    check_regex("\\S\\s\\W\\w\\D", LIST("a -aa"), LIST("a aaa", "aa-aa"));
    check_regex("(a*)*(b?){3}x", LIST("aabbx", "x"), LIST("bbbbx"));
    check_regex("(?:a|b(?<n>c|d)?)+", LIST("abcbdb"), LIST("c", ""));
    check_regex("a{,3}{x}", LIST("a{,3}{x}"), LIST("aaa{x}"));
    check_regex("[^]", LIST("a", "\n"), LIST(""));
    check_regex("a{0}", LIST(""), LIST("a"));
    check_regex("(a{0,1000}){1000}", LIST("", "aaaa"), LIST("b"));
    check_regex("(a?){0,2}(b+){2}(c+)*((d{0,2}){2}){1,2}", LIST("bb", "aabbbccdddddddd"),
                LIST("aaabb", "b", "bbddddddddd"));
    check_regex("x{5000}y", LIST(NULL), LIST("xy"));
}

/* What is drawn matches by PCRE2's opinion too. */
static void random_regexes(void **state)
{
    (void)state;
    static const char *const list[] = {"[a-z]+(-[a-z]+)*",
                                       "\\d{3}-\\d{4}",
                                       "(a|ab)(c|bcd)(d*)",
                                       "[^\\x00-\\x7f]{1,3}",
                                       "(foo|ba[rz]){1,4}",
                                       "-?(0|[1-9]\\d*)",
                                       "[\\w.+-]+@\\w+\\.\\w{2,4}",
                                       ".{0,7}z",
                                       "(x?y?z?){2,5}",
                                       "[\\u0370-\\u03ff]+",
                                       "a(b(c(d)?)?)?",
                                       "((a|b)*c){2}|d{3,}",
                                       "[A-F0-9]{8}\\S",
                                       "(\\(|\\)|\\[|\\])+"};
    struct mk_rng r = {1};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        struct mk_str whole = {0};
        int code;
        size_t at;
        mk_str_addf(&whole, "^(?:%s)\\z", list[i]);
        pcre2_code *re = pcre2_compile((PCRE2_SPTR)whole.data, whole.len,
                                       PCRE2_UTF | PCRE2_ALT_BSUX, &code, &at, NULL);
        assert_non_null(re);
        pcre2_match_data *m = pcre2_match_data_create(1, NULL);
        struct mk_grammar *g = regex(list[i]);
        for (int k = 0; k < 20; k++) {
            struct mk_str s = draw(g, &r, 300);
            if (s.len < 300 && pcre2_match(re, (PCRE2_SPTR)mk_str_c(&s), s.len, 0, 0, m, NULL) < 0)
                fail_msg("%s was drawn from %s", mk_str_c(&s), list[i]);
            mk_str_release(&s);
        }
        mk_grammar_free(g);
        pcre2_match_data_free(m);
        pcre2_code_free(re);
        mk_str_release(&whole);
    }
}

static void refuses(const char *pattern, enum mk_code code, const char *msg)
{
    struct mk_grammar *g;
    struct mk_err err;
    assert_false(mk_grammar_from_regex(&g, pattern, strlen(pattern), &err));
    assert_string_equal(err.msg, msg);
    assert_int_equal(err.code, code);
}

static void refused_regexes(void **state)
{
    (void)state;
    refuses("a(?=b)", MK_EUNSUPPORTED,
            "regex: the pattern's byte 2: look-around cannot be enforced");
    refuses("(a)\\1", MK_EUNSUPPORTED,
            "regex: the pattern's byte 4: a back reference cannot be enforced");
    refuses("\\bx", MK_EUNSUPPORTED,
            "regex: the pattern's byte 1: word borders cannot be enforced");
    refuses("\\p{L}", MK_EUNSUPPORTED, "regex: the pattern's byte 1: this escape is not supported");
    refuses("(?i)x", MK_EUNSUPPORTED,
            "regex: the pattern's byte 1: flags within a pattern are not supported");
    refuses("a$b", MK_EUNSUPPORTED,
            "regex: the pattern's byte 1: ^ and $ go at the ends of whole alternatives only");
    refuses("*a", MK_EFORMAT, "regex: the pattern's byte 0: nothing to repeat");
    refuses("a**", MK_EFORMAT, "regex: the pattern's byte 2: nothing to repeat");
    refuses("(a", MK_EFORMAT, "regex: the pattern's byte 2: a group without )");
    refuses("a)", MK_EFORMAT, "regex: the pattern's byte 1: a ) without (");
    refuses("[a", MK_EFORMAT, "regex: the pattern's byte 2: a class without ]");
    refuses("[b-a]", MK_EFORMAT, "regex: the pattern's byte 4: a range that ends before it begins");
    refuses("a{3,2}", MK_EFORMAT, "regex: the pattern's byte 6: {m,n} with m above n");
    refuses("a{1000000}", MK_ELIMIT, "regex: the pattern's byte 9: more than 100000 repeats");
    refuses("a\\", MK_EFORMAT, "regex: the pattern's byte 2: ends with a backslash");
    refuses("\\uD800\\u0041", MK_EFORMAT, "regex: the pattern's byte 12: half a surrogate pair");
    refuses("\xff", MK_EFORMAT, "regex: the pattern is not UTF-8");
    refuses("[]", MK_EFORMAT, "no text fits (or none of less than 512 open parts)");
}

/* ---- combinations -------------------------------------------------------------------- */

static struct mk_grammar *finish(struct mk_grammar_builder *b, uint32_t root)
{
    struct mk_grammar *g = NULL;
    struct mk_err err;
    if (!mk_grammar_finish(&g, b, root, &err)) fail_msg("%s", err.msg);
    return g;
}

static int32_t tag(const char *text)
{
    const int32_t id = mk_token_find(bytes_only, text);
    assert_true(id >= 0 && mk_token_is_tag(bytes_only, id));
    return id;
}

static void say(struct mk_constraint *c, const char *text)
{
    for (; *text; text++) assert_true(mk_constraint_accept(c, FIRST_BYTE + (unsigned char)*text));
}

/* Calls of functions by name, each with its arguments, in tags. */
static void tool_calls(void **state)
{
    (void)state;
    struct mk_grammar_builder *b = mk_grammar_begin();
    json_t *args = json_loads("{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\"}},"
                              "\"required\":[\"n\"]}",
                              0, NULL);
    const uint32_t f[] = {mk_grammar_text(b, "f", 1), mk_grammar_tags(b, bytes_only, " <think>"),
                          mk_grammar_schema(b, args)};
    const uint32_t g2[] = {mk_grammar_text(b, "g", 1), mk_grammar_json_object(b)};
    const uint32_t which[] = {mk_grammar_seq(b, f, 3), mk_grammar_seq(b, g2, 2)};
    const uint32_t call[] = {mk_grammar_choice(b, which, 2),
                             mk_grammar_tags(b, bytes_only, "</think>")};
    struct mk_grammar *g = finish(b, mk_grammar_repeat(b, mk_grammar_seq(b, call, 2), 1, 2));
    json_decref(args);
    struct mk_constraint *c = follow(g);
    const int32_t open = tag("<think>"), close = tag("</think>"), eos = mk_token_eos(bytes_only);
    assert_true(mk_constraint_allowed(c, SIZE_MAX)[FIRST_BYTE + 'f']);
    assert_true(mk_constraint_allowed(c, SIZE_MAX)[FIRST_BYTE + 'g']);
    assert_false(mk_constraint_allowed(c, SIZE_MAX)[FIRST_BYTE + 'h']);
    say(c, "f ");
    for (int32_t i = 0; i < mk_token_count(bytes_only); i++) /* the tag, and not its letters */
        assert_int_equal(mk_constraint_allowed(c, SIZE_MAX)[i], i == open);
    assert_false(mk_constraint_accept(c, FIRST_BYTE + '<'));
    assert_true(mk_constraint_accept(c, open));
    say(c, "{\"n\": -12");
    assert_false(mk_constraint_accept(c, close));
    say(c, "}");
    assert_false(mk_constraint_may_end(c));
    assert_true(mk_constraint_accept(c, close));
    assert_true(mk_constraint_may_end(c) && !mk_constraint_must_end(c));
    assert_true(mk_constraint_allowed(c, SIZE_MAX)[eos] &&
                mk_constraint_allowed(c, SIZE_MAX)[FIRST_BYTE + 'g']);
    say(c, "g{\"x\":[1, {}]}");
    assert_false(mk_constraint_allowed(c, SIZE_MAX)[eos]);
    assert_true(mk_constraint_accept(c, close));
    assert_true(mk_constraint_must_end(c));
    for (int32_t i = 0; i < mk_token_count(bytes_only); i++)
        assert_int_equal(mk_constraint_allowed(c, SIZE_MAX)[i], i == eos);
    mk_constraint_free(c);
    mk_grammar_free(g);
}

/* A thought is free, with any token but an end, until it is closed. */
static void free_until_tag(void **state)
{
    (void)state;
    struct mk_grammar_builder *b = mk_grammar_begin();
    const uint32_t list[] = {mk_grammar_until(b, bytes_only, "</think>"),
                             mk_grammar_text(b, "ok", 2)};
    struct mk_grammar *g = finish(b, mk_grammar_seq(b, list, 2));
    struct mk_constraint *c = follow(g);
    const int32_t eos = mk_token_eos(bytes_only);
    say(c, "so </think> spelled \xff\xfe");
    for (int32_t i = 0; i < mk_token_count(bytes_only); i++)
        assert_int_equal(mk_constraint_allowed(c, SIZE_MAX)[i], i != eos);
    assert_true(mk_constraint_accept(c, tag("<think>")));
    assert_true(mk_constraint_accept(c, tag("</think>")));
    say(c, "ok");
    assert_true(mk_constraint_must_end(c));
    mk_constraint_free(c);
    mk_grammar_free(g);
}

/* A mark of letters, which overlaps with itself and with what comes before. */
static void free_until_text(void **state)
{
    (void)state;
    for (int is_without = 0; is_without < 2; is_without++) {
        struct mk_grammar_builder *b = mk_grammar_begin();
        struct mk_grammar *g = finish(b, is_without ? mk_grammar_without(b, bytes_only, "aabaaa")
                                                    : mk_grammar_until(b, bytes_only, "aabaaa"));
        static const char *const ends[] = {"aabaaa", "aabaabaaa", "aaaabaaa", "x aabaabaabaaa"};
        for (size_t i = 0; i < 4; i++) assert_int_equal(has(g, ends[i]), !is_without);
        static const char *const open[] = {"", "aabaa", "aabaab", "abaaa", "xyz\xff"};
        for (size_t i = 0; i < 5; i++) assert_int_equal(has(g, open[i]), is_without);
        assert_false(has(g, "aabaaa!"));
        mk_grammar_free(g);
    }
}

/* Long counts are remembered as one: the middle of a long string is one state for the mask,
 * and its end is exact. */
static void long_counts(void **state)
{
    (void)state;
    struct mk_grammar *g = regex("x{3000,5000}");
    char *text = mk_alloc(5002);
    memset(text, 'x', 5001);
    assert_false(has_bytes(g, text, 2999));
    assert_true(has_bytes(g, text, 3000));
    assert_true(has_bytes(g, text, 5000));
    assert_false(has_bytes(g, text, 5001));
    struct mk_constraint *c = follow(g);
    for (int i = 0; i < 5000; i++) {
        assert_true(mk_constraint_allowed(c, SIZE_MAX)[FIRST_BYTE + 'x']);
        assert_int_equal(mk_constraint_allowed(c, SIZE_MAX)[mk_token_eos(bytes_only)], i >= 3000);
        assert_true(mk_constraint_accept(c, FIRST_BYTE + 'x'));
    }
    assert_true(mk_constraint_must_end(c));
    mk_constraint_free(c);
    mk_grammar_free(g);
    free(text);
}

/* Tokens of several bytes: allowed are those that the bytes allow one by one. */
static void long_tokens(void **state)
{
    (void)state;
    struct mk_bpe_trainer *b;
    struct mk_tokenizer *t;
    struct mk_err err;
    static const char text[] = "{\"name\": \"whale\", \"list\": [12, 345, true], \"deep\": {}} ";
    assert_true(mk_bpe_trainer_new(&b, &(struct mk_bpe_options){.n_vocab = 290}, &err));
    for (int i = 0; i < 5; i++) assert_true(mk_bpe_trainer_add(b, text, sizeof text - 1, &err));
    assert_true(mk_bpe_trainer_run(b, NULL, NULL, &t, &err));
    mk_bpe_trainer_free(b);
    struct mk_lexicon *l = mk_lexicon_new(t, (size_t)mk_token_count(t));
    struct mk_grammar *g = schema("{\"type\":\"object\"}");
    struct mk_ids ids = {0};
    mk_tokenize(t, text, sizeof text - 2, 0, &ids);
    assert_true(ids.n < sizeof text / 2);
    struct mk_constraint *c, *d;
    assert_true(mk_constraint_new(&c, g, l, NULL, 0, &err));
    for (size_t i = 0; i < ids.n; i++) {
        bool allowed[300];
        memcpy(allowed, mk_constraint_allowed(c, SIZE_MAX),
               (size_t)mk_token_count(t) * sizeof *allowed);
        for (int32_t k = 0; k < mk_token_count(t); k++) {
            assert_true(mk_constraint_new(&d, g, l, NULL, 0, &err));
            for (size_t m = 0; m < i; m++) assert_true(mk_constraint_accept(d, ids.v[m]));
            assert_int_equal(mk_constraint_accept(d, k), allowed[k]);
            mk_constraint_free(d);
        }
        assert_true(mk_constraint_accept(c, ids.v[i]));
    }
    assert_true(mk_constraint_must_end(c));
    mk_constraint_free(c);
    mk_ids_release(&ids);
    mk_grammar_free(g);
    mk_lexicon_free(l);
    mk_tokenizer_free(t);
}

/* ---- hostile inputs ------------------------------------------------------------------ */

static void failing_builders(void **state)
{
    (void)state;
    struct mk_grammar *g;
    struct mk_err err;
    struct mk_grammar_builder *b = mk_grammar_begin();
    const uint32_t bad = mk_grammar_repeat(b, mk_grammar_text(b, "x", 1), 3, 2);
    const uint32_t list[] = {bad, mk_grammar_regex(b, "(", 1)};
    assert_false(mk_grammar_finish(&g, b, mk_grammar_seq(b, list, 2), &err));
    assert_string_equal(err.msg, "a repeat of 3 to 2 times");
    b = mk_grammar_begin();
    for (int i = 0; i < MK_GRAMMAR_NODES; i++) mk_grammar_token(b, i);
    assert_false(mk_grammar_finish(&g, b, 1, &err));
    assert_int_equal(err.code, MK_ELIMIT);
    b = mk_grammar_begin();
    assert_false(mk_grammar_finish(&g, b, mk_grammar_until(b, bytes_only, ""), &err));
    b = mk_grammar_begin();
    g = finish(b, mk_grammar_token(b, FIRST_BYTE + 'a'));
    struct mk_constraint *c;
    assert_false(mk_constraint_new(&c, g, lexicon, NULL, 0, &err));
    assert_string_equal(err.msg, "the grammar names token 100, which is not special");
    mk_grammar_free(g);
}

/* Follows a text under a pattern made to explode, with the sets of all its steps. */
static void check_bomb(const char *pattern, char byte)
{
    const double start = mk_cpu_s();
    struct mk_grammar *g = regex(pattern);
    struct mk_constraint *c = follow(g);
    for (int i = 0; i < 20 && !mk_constraint_must_end(c); i++) {
        const bool *allowed = mk_constraint_allowed(c, SIZE_MAX);
        size_t n = 0;
        for (size_t k = 0; k < lexicon->n_vocab; k++) n += allowed[k];
        assert_true(n > 0);
        if (!mk_constraint_accept(c, FIRST_BYTE + byte)) break;
    }
    mk_constraint_free(c);
    mk_grammar_free(g);
    if (mk_cpu_s() - start > 20) fail_msg("%s took %.1f s", pattern, mk_cpu_s() - start);
}

static void pattern_bombs(void **state)
{
    (void)state;
    check_bomb("((a?){0,1000}){0,1000}b", 'a');
    check_bomb("(a*)*(a*)*(a*)*(a*)*b", 'a');
    check_bomb("((((a{0,99}){0,99}){0,99}){0,99}){0,99}", 'a');
    check_bomb("(.*a){100000}", 'a');
    check_bomb("([\\s\\S]*[^b]){500}.{1000,2000}", 'a');
    struct mk_str deep = {0};
    for (int i = 0; i < 60000; i++) mk_str_addc(&deep, '(');
    struct mk_grammar *g;
    struct mk_err err;
    assert_false(mk_grammar_from_regex(&g, deep.data, deep.len, &err));
    assert_int_equal(err.code, MK_ELIMIT);
    assert_false(mk_grammar_from_regex(&g, deep.data, 1000, &err));
    assert_int_equal(err.code, MK_ELIMIT);
    mk_str_release(&deep);
}

static int setup(void **state)
{
    (void)state;
    open_bytes();
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    close_bytes();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(regexes),          cmocka_unit_test(random_regexes),
        cmocka_unit_test(refused_regexes),  cmocka_unit_test(tool_calls),
        cmocka_unit_test(free_until_tag),   cmocka_unit_test(free_until_text),
        cmocka_unit_test(long_counts),      cmocka_unit_test(long_tokens),
        cmocka_unit_test(failing_builders), cmocka_unit_test(pattern_bombs),
    };
    return cmocka_run_group_tests_name("grammar", tests, setup, teardown);
}
