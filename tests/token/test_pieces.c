/* How the families cut text: against a table made with the reference, and on text made to
 * be slow. */
#include "helpers.h"

#include "token/int_token.h"

struct pieces {
    struct mk_str text; /* "a|b|c", a NUL for each | */
    size_t n;
};

static void on_piece(void *arg, const char *s, size_t n)
{
    struct pieces *p = arg;
    mk_str_append(&p->text, s, n);
    mk_str_addc(&p->text, '\0');
    p->n++;
}

static struct pieces cut(const struct mk_pre_splitter *s, const char *text, size_t n)
{
    struct pieces p = {{0}, 0};
    pcre2_match_data *scratch = mk_splitter_scratch(s);
    mk_split(s, scratch, text, n, on_piece, &p);
    pcre2_match_data_free(scratch);
    return p;
}

static void open_splitter(struct mk_pre_splitter *s, const char *name)
{
    const struct mk_pre *pre;
    const struct mk_pre_name *found;
    assert_true(mk_pre_by_name(&pre, &found, name, strlen(name)));
    mk_splitter_init(s, pre);
}

static void check_record(const json_t *record)
{
    struct mk_pre_splitter s;
    const char *pre = json_string_value(json_array_get(record, 0));
    open_splitter(&s, pre);
    struct mk_str text = {0};
    struct pieces want = {{0}, 0};
    for (size_t i = 1; i < json_array_size(record); i++) {
        const json_t *piece = json_array_get(record, i);
        mk_str_append(&text, json_string_value(piece), json_string_length(piece));
        on_piece(&want, json_string_value(piece), json_string_length(piece));
    }
    struct pieces got = cut(&s, text.data, text.len);
    if (got.n != want.n || got.text.len != want.text.len ||
        memcmp(got.text.data, want.text.data, got.text.len)) {
        for (size_t i = 0; i < got.text.len; i++)
            fputc(got.text.data[i] ? got.text.data[i] : '|', stderr);
        fail_msg("%s cuts \"%s\" wrong", pre, text.data);
    }
    mk_str_release(&got.text);
    mk_str_release(&want.text);
    mk_str_release(&text);
    mk_splitter_release(&s);
}

static void test_table(void **state)
{
    (void)state;
    json_t *records = read_json(GOLDEN "pieces.json");
    assert_int_equal(json_array_size(records), 200);
    for (size_t i = 0; i < json_array_size(records); i++) check_record(json_array_get(records, i));
    json_decref(records);
}

/* What backtracks in one rule or another: the time must stay linear, and nothing of the
 * text may be lost.  At this size a quadratic rule would take minutes. */
static void test_slow_texts(void **state)
{
    (void)state;
    static const char *const names[] = {"deepseek-v3", "deepseek-llm", "deepseek-coder", "qwen2",
                                        "llama-bpe"};
    static const struct {
        const char *unit, *end;
    } texts[] = {{" ", ""},       {" ", "x"},       {" ", "1"},           {"\n", ""},
                 {"\t \n", "x"},  {"1", "x"},       {"a", "1"},           {"\u4e00", ""},
                 {"\u0301", "x"}, {"!", "\n"},      {"'", "s"},           {" a", " "},
                 {"\x01", "a"},   {"\u00a0 ", "1"}, {"\u3000", "\u4e00"}, {"\ufffd", ""},
                 {"\r", " 1"}};
    for (size_t f = 0; f < sizeof names / sizeof *names; f++) {
        struct mk_pre_splitter s;
        open_splitter(&s, names[f]);
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
            struct mk_str text = {0};
            while (text.len < (size_t)1 << 20) mk_str_add(&text, texts[i].unit);
            mk_str_add(&text, texts[i].end);
            struct pieces p = cut(&s, text.data, text.len);
            size_t n = 0;
            for (size_t k = 0; k < p.text.len; k++)
                if (p.text.data[k]) p.text.data[n++] = p.text.data[k];
            assert_int_equal(n, text.len);
            assert_memory_equal(p.text.data, text.data, n);
            mk_str_release(&p.text);
            mk_str_release(&text);
        }
        mk_splitter_release(&s);
    }
}

/* The number of pieces of such texts is known. */
static void test_long_runs(void **state)
{
    (void)state;
    enum { N = 300000 };
    static const struct {
        const char *pre;
        char unit;
        const char *end;
        size_t n_pieces;
    } runs[] = {
        {"deepseek-v3", '7', "", N / 3}, {"qwen2", '7', "", N},
        {"deepseek-llm", '7', "", 1},    {"llama-bpe", '7', "", N / 3},
        {"deepseek-v3", ' ', "", 1},     {"deepseek-v3", ' ', "x", 2},
        {"deepseek-llm", ' ', "1", 2},   {"deepseek-llm", '\n', "", N},
        {"deepseek-v3", '\n', "", 1},    {"deepseek-coder", 'a', "", 1},
        {"deepseek-coder", '7', "", N},  {"deepseek-v3", '\x01', "", 1},
    };
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        struct mk_pre_splitter s;
        open_splitter(&s, runs[i].pre);
        struct mk_str text = {0};
        while (text.len < N) mk_str_addc(&text, runs[i].unit);
        mk_str_add(&text, runs[i].end);
        struct pieces p = cut(&s, text.data, text.len);
        assert_int_equal(p.n, runs[i].n_pieces);
        mk_str_release(&p.text);
        mk_str_release(&text);
        mk_splitter_release(&s);
    }
}

static void test_names(void **state)
{
    (void)state;
    const struct mk_pre *a, *b;
    const struct mk_pre_name *name;
    assert_true(mk_pre_by_name(&a, &name, "deepseek-v3", 11));
    assert_true(name->adds_bos);
    assert_true(mk_pre_by_name(&b, &name, "joyai-llm", 9));
    assert_false(name->adds_bos);
    assert_ptr_equal(a, b);
    assert_true(mk_pre_by_name(&b, &name, "llama-bpe", 9) && b->ignore_merges);
    assert_true(mk_pre_by_name(&b, &name, "deepseek-r1-qwen", 16) && b->nfc);
    assert_false(mk_pre_by_name(&b, &name, "qwen", 4));
    assert_false(mk_pre_by_name(&b, &name, "qwen2x", 6));
}

/* \r and \n may be escaped; digits of deepseek-llm come in two ways; nothing else. */
static void test_rules(void **state)
{
    (void)state;
    static const char *const coder[] = {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+",
                                        "[一-龥ࠀ-一가-퟿]+", "\\p{N}"};
    const struct mk_pre *p = mk_pre_by_rules(coder, 5);
    assert_non_null(p);
    assert_string_equal(p->names[0].name, "deepseek-coder");
    assert_null(mk_pre_by_rules(coder, 4));
    assert_null(mk_pre_by_rules(coder, 0));
    const struct mk_pre *llm;
    const struct mk_pre_name *name;
    assert_true(mk_pre_by_name(&llm, &name, "deepseek-llm", 12));
    const char *rules[6];
    for (size_t i = 0; i < 5; i++) rules[i] = llm->rules[i];
    rules[5] = "\\p{N}";
    const struct mk_pre *q = mk_pre_by_rules(rules, 6);
    assert_non_null(q);
    assert_string_equal(q->names[0].name, "deepseek-llm");
    rules[5] = "\\p{N}+";
    assert_ptr_equal(mk_pre_by_rules(rules, 6), llm);
    rules[5] = "\\p{N}{1,3}";
    assert_null(mk_pre_by_rules(rules, 6));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),     cmocka_unit_test(test_slow_texts),
        cmocka_unit_test(test_long_runs), cmocka_unit_test(test_names),
        cmocka_unit_test(test_rules),
    };
    return cmocka_run_group_tests_name("token/pieces", tests, NULL, NULL);
}
