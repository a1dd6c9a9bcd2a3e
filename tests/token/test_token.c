/* The public face: special tokens, BOS, decoding, streams, look-ups. */
#include "helpers.h"

#include "base/rng.h"

/* Ids of the small vocabulary. */
enum { BOS = 0, EOS = 1, THINK = 466, USER = 468, ASSISTANT = 469, EOT = 472, OSLASH = 473 };

static size_t count(const struct mk_ids *ids, int32_t id)
{
    size_t n = 0;
    for (size_t i = 0; i < ids->n; i++) n += ids->v[i] == id;
    return n;
}

/* Text of users gives no special token; letters that are added tokens it gives. */
static void test_users_text(void **state)
{
    (void)state;
    static const char text[] = "<｜User｜>a<think>ø<|EOT|></think><｜begin▁of▁sentence｜>";
    struct mk_tokenizer *t = open_json(TINY, NULL);
    struct mk_ids ids = {0};
    mk_tokenize(t, text, sizeof text - 1, MK_TOK_SPECIAL, &ids);
    const int32_t want[] = {USER, 'a' - '!' + 3, THINK, OSLASH, EOT, THINK + 1, BOS};
    assert_int_equal(ids.n, 7);
    assert_memory_equal(ids.v, want, sizeof want);
    ids.n = 0;
    mk_tokenize(t, text, sizeof text - 1, 0, &ids);
    assert_int_equal(count(&ids, OSLASH), 1);
    for (size_t i = 0; i < ids.n; i++)
        assert_true(ids.v[i] == OSLASH || (ids.v[i] > 2 && ids.v[i] < THINK));
    struct mk_str back = {0};
    mk_detokenize(t, ids.v, ids.n, true, &back);
    assert_string_equal(back.data, text);
    mk_str_release(&back);
    mk_ids_release(&ids);
    mk_tokenizer_free(t);
}

/* The longest token that matches at the leftmost place. */
static void test_leftmost_longest(void **state)
{
    (void)state;
    struct mk_tokenizer *t = open_json(TINY, NULL);
    const int32_t open = mk_token_find(t, "<｜User");
    const int32_t a[] = {open, USER}, b[] = {open, open};
    assert_int_equal(open, 474);
    check_text(t, "<｜User<｜User｜>", MK_TOK_SPECIAL, a, 2);
    check_text(t, "<｜User<｜User", MK_TOK_SPECIAL, b, 2);
    mk_tokenizer_free(t);
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static bool open_with(struct mk_tokenizer **t, const char *config, struct mk_err *err)
{
    char path[] = "/tmp/mk-token-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    write_file(path, config);
    const bool ok = mk_tokenizer_open_json(t, TINY, path, err);
    unlink(path);
    return ok;
}

static void test_config(void **state)
{
    (void)state;
    struct mk_tokenizer *t = NULL;
    struct mk_err err;
    assert_true(open_with(&t,
                          "{\"add_bos_token\": true, \"bos_token\": {\"content\": "
                          "\"<｜begin▁of▁sentence｜>\"}, \"eos_token\": \"<｜end▁of▁sentence｜>\","
                          "\"model_max_length\": 1000000000000000019884624838656,"
                          "\"chat_template\": [{\"name\": \"tool\", \"template\": \"x\"},"
                          "{\"name\": \"default\", \"template\": \"{{ y }}\"}]}",
                          &err));
    assert_int_equal(mk_token_bos(t), BOS);
    assert_int_equal(mk_token_eos(t), EOS);
    assert_true(mk_token_adds_bos(t));
    assert_string_equal(mk_tokenizer_template(t), "{{ y }}");
    struct mk_ids ids = {0};
    mk_tokenize(t, "e", 1, MK_TOK_BOS, &ids);
    mk_tokenize(t, "", 0, MK_TOK_BOS, &ids);
    mk_tokenize(t, "e", 1, 0, &ids);
    const int32_t want[] = {BOS, 'e' - '!' + 3, BOS, 'e' - '!' + 3};
    assert_int_equal(ids.n, 4);
    assert_memory_equal(ids.v, want, sizeof want);
    mk_ids_release(&ids);
    mk_tokenizer_free(t);

    assert_true(open_with(&t, "{\"add_bos_token\": true, \"bos_token\": null}", &err));
    assert_int_equal(mk_token_bos(t), -1);
    assert_false(mk_token_adds_bos(t));
    assert_null(mk_tokenizer_template(t));
    mk_tokenizer_free(t);

    assert_true(open_with(&t, "{\"chat_template\": \"plain\"}", &err));
    assert_string_equal(mk_tokenizer_template(t), "plain");
    mk_tokenizer_free(t);

    assert_false(open_with(&t, "{\"eos_token\": \"<nothing>\"}", &err));
    assert_int_equal(err.code, MK_EFORMAT);
    assert_non_null(strstr(err.msg, "eos_token"));
    assert_non_null(strstr(err.msg, "<nothing>"));
    assert_false(open_with(&t, "[1]", &err));
    assert_false(open_with(&t, "{", &err));
}

/* A template of the post-processor says what BOS is when there is no config. */
static void test_post_processor(void **state)
{
    (void)state;
    json_t *tree = read_json(TINY);
    json_error_t e;
    json_object_set_new(
        tree, "post_processor",
        json_loads(
            "{\"type\": \"Sequence\", \"processors\": [{\"type\": \"ByteLevel\"}, {\"type\": "
            "\"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": "
            "\"<｜begin▁of▁sentence｜>\"}}, {\"Sequence\": {\"id\": \"A\"}}]}]}",
            0, &e));
    struct mk_tokenizer *t = parse_tree(tree);
    assert_int_equal(mk_token_bos(t), BOS);
    assert_true(mk_token_adds_bos(t));
    mk_tokenizer_free(t);
    json_decref(tree);
}

static void set_added(json_t *tree, const char *content, const char *flag, bool value)
{
    json_t *list = json_object_get(tree, "added_tokens"), *e;
    size_t i;
    json_array_foreach(list, i, e)
    {
        if (!strcmp(json_string_value(json_object_get(e, "content")), content))
            json_object_set_new(e, flag, json_boolean(value));
    }
}

/* Tokens that take the white space beside them. */
static void test_strip(void **state)
{
    (void)state;
    json_t *tree = read_json(TINY);
    set_added(tree, "<|EOT|>", "lstrip", true);
    set_added(tree, "<think>", "rstrip", true);
    struct mk_tokenizer *t = parse_tree(tree);
    const int32_t e = 'e' - '!' + 3;
    const int32_t want[] = {e, EOT, e, THINK, e, THINK, EOT};
    check_text(t, "e \u3000\n<|EOT|>e<think> \u2003e<think>  <|EOT|>", MK_TOK_SPECIAL, want, 7);
    mk_tokenizer_free(t);
    json_decref(tree);
}

/* With NFC: the text is composed, text in front of raw tokens too. */
static void test_nfc(void **state)
{
    (void)state;
    json_t *tree = read_json(TINY);
    json_error_t e;
    json_object_set_new(tree, "normalizer", json_loads("{\"type\": \"NFC\"}", 0, &e));
    struct mk_tokenizer *t = parse_tree(tree);
    struct mk_ids want = {0};
    mk_tokenize(t, "\u00e9t\u00e9", 5, 0, &want);
    check_text(t, "e\u0301te\u0301", 0, want.v, want.n);
    mk_ids_add(&want, BOS);
    check_text(t, "e\u0301te\u0301<｜begin▁of▁sentence｜>", MK_TOK_SPECIAL, want.v, want.n);
    mk_ids_release(&want);
    mk_tokenizer_free(t);
    json_decref(tree);
}

static void test_invalid_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } texts[] = {{"a\xff"
                  "b",
                  "a\ufffdb"},
                 {"\xe9\xb2", "\ufffd\ufffd"},
                 {"\xed\xa0\x80", "\ufffd\ufffd\ufffd"},
                 {"\xc0\x80", "\ufffd\ufffd"},
                 {"x\xf0\x9f\xa6", "x\ufffd\ufffd\ufffd"}};
    struct mk_tokenizer *t = open_json(TINY, NULL);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        size_t n;
        char *back = there_and_back(t, texts[i].in, strlen(texts[i].in), 0, &n);
        assert_string_equal(back, texts[i].out);
        free(back);
    }
    mk_tokenizer_free(t);
}

/* Random text comes back, NUL and all. */
static void test_round_trip(void **state)
{
    (void)state;
    struct mk_tokenizer *t = open_json(TINY, NULL);
    struct mk_rng r = {3};
    for (int i = 0; i < 2000; i++) {
        struct mk_str s = {0};
        for (uint64_t n = mk_rng_u64(&r) % 40; n; n--) {
            const uint32_t cp = (uint32_t)(mk_rng_u64(&r) % (n % 3 ? 0x80 : 0x11000));
            if (cp < 0xd800 || cp > 0xdfff) mk_str_add_cp(&s, cp);
        }
        size_t n;
        char *back = there_and_back(t, mk_str_c(&s), s.len, i % 2 ? MK_TOK_SPECIAL : 0, &n);
        assert_int_equal(n, s.len);
        assert_memory_equal(back, mk_str_c(&s), n);
        free(back);
        mk_str_release(&s);
    }
    mk_tokenizer_free(t);
}

/* A stream never ends inside a character, and adds up to what detokenizing gives. */
static void test_stream(void **state)
{
    (void)state;
    struct mk_tokenizer *t = open_json(TINY, NULL);
    struct mk_rng r = {5};
    for (int i = 0; i < 2000; i++) {
        struct mk_token_stream st = {{0}, 0};
        struct mk_ids ids = {0};
        struct mk_str streamed = {0}, whole = {0};
        for (int k = 0; k < 12; k++) { /* any bytes: mostly broken characters */
            const int32_t id = (int32_t)(mk_rng_u64(&r) % (k % 2 ? 500 : 250));
            mk_ids_add(&ids, id);
            mk_token_stream_add(&st, t, id, true, &streamed);
            assert_true(st.n_held < 4);
            assert_int_equal(mk_utf8_valid(mk_str_c(&streamed), streamed.len), streamed.len);
        }
        mk_token_stream_end(&st, &streamed);
        struct mk_str bytes = {0};
        for (size_t k = 0; k < ids.n; k++) {
            size_t n;
            const char *s = mk_token_bytes(t, ids.v[k], &n);
            if (s) mk_str_append(&bytes, s, n);
        }
        mk_str_add_utf8(&whole, mk_str_c(&bytes), bytes.len);
        assert_string_equal(mk_str_c(&streamed), mk_str_c(&whole));
        mk_str_release(&bytes);
        mk_str_release(&streamed);
        mk_str_release(&whole);
        mk_ids_release(&ids);
    }
    mk_tokenizer_free(t);
}

/* The three bytes of a character in three tokens. */
static void test_stream_holds(void **state)
{
    (void)state;
    struct mk_tokenizer *t = open_json(TINY, NULL);
    const char *const parts[] = {"\xe7", "\xa5", "\x9e"};
    struct mk_token_stream st = {{0}, 0};
    struct mk_str out = {0};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(out.len, 0);
        mk_token_stream_add(&st, t, mk_token_find(t, parts[i]), false, &out);
    }
    assert_string_equal(out.data, "\u795e");
    mk_token_stream_add(&st, t, mk_token_find(t, parts[0]), false, &out);
    assert_string_equal(out.data, "\u795e");
    mk_token_stream_end(&st, &out);
    assert_string_equal(out.data, "\u795e\ufffd");
    mk_str_release(&out);
    mk_tokenizer_free(t);
}

static void test_facts(void **state)
{
    (void)state;
    struct mk_tokenizer *t = open_json(TINY, NULL);
    assert_int_equal(mk_token_count(t), 475);
    assert_string_equal(mk_tokenizer_pre(t), "deepseek-v3");
    assert_int_equal(mk_token_find(t, "<｜User｜>"), USER);
    assert_int_equal(mk_token_find(t, "e"), 'e' - '!' + 3);
    assert_int_equal(mk_token_find(t, " the"), 252);
    assert_int_equal(mk_token_find(t, "\xff"), -1);
    assert_int_equal(mk_token_find(t, ""), -1);
    assert_true(mk_token_is_special(t, USER) && mk_token_is_special(t, ASSISTANT));
    assert_true(mk_token_is_special(t, BOS) && mk_token_is_special(t, EOT));
    assert_false(mk_token_is_special(t, THINK) || mk_token_is_special(t, OSLASH));
    static const int32_t outside[] = {-1, 475, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < 4; i++) {
        size_t n = 1;
        assert_null(mk_token_bytes(t, outside[i], &n));
        assert_int_equal(n, 0);
        assert_false(mk_token_is_special(t, outside[i]));
    }
    const int32_t ids[] = {USER, 252, -7, THINK, 1000000, ASSISTANT};
    struct mk_str s = {0};
    mk_detokenize(t, ids, 6, false, &s);
    assert_string_equal(s.data, " the<think>");
    mk_str_release(&s);
    mk_tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_users_text),   cmocka_unit_test(test_leftmost_longest),
        cmocka_unit_test(test_config),       cmocka_unit_test(test_post_processor),
        cmocka_unit_test(test_strip),        cmocka_unit_test(test_nfc),
        cmocka_unit_test(test_invalid_utf8), cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_stream),       cmocka_unit_test(test_stream_holds),
        cmocka_unit_test(test_facts),
    };
    return cmocka_run_group_tests_name("token/token", tests, NULL, NULL);
}
