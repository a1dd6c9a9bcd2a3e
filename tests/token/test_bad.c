/* Files that are not tokenizers, or not ones of ours: the message names what is wrong. */
#include "helpers.h"

static void check_text_fails(const char *text, size_t n, enum mk_code code, const char *says)
{
    struct mk_tokenizer *t = NULL;
    struct mk_err err = {MK_OK, ""};
    assert_false(mk_tokenizer_parse(&t, text, n, "f.json", &err));
    assert_null(t);
    if (err.code != code || strncmp(err.msg, "f.json: ", 8) || !strstr(err.msg, says) ||
        strchr(err.msg, '\n'))
        fail_msg("%s: \"%s\" should say \"%s\"", mk_code_name(err.code), err.msg, says);
}

static void test_not_json(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } files[] = {
        {"", "ends where { should be"},
        {"[]", "byte 0: []"},
        {"{\"a\"", "ends where :"},
        {"{\"model\": 1}", "model.vocab is missing"},
        {"{\"model\": {\"vocab\": {}}}", "model.merges is missing"},
        {"{\"model\": {\"vocab\": {}, \"vocab\": {}}}", "there twice"},
        {"{\"model\": {\"vocab\": {", "ends where a value"},
        {"{\"model\": {\"vocab\": {}, \"merges\": [], \"x\": tru}}", "not JSON"},
        {"{\"model\": {\"vocab\": {}, \"merges\": []}} x", "not JSON"},
        {"{\"a\": \"\\", "rest of a string"},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        check_text_fails(files[i].text, strlen(files[i].text), MK_EFORMAT, files[i].says);
}

/* The small tokenizer with one text of it replaced. */
static void test_replaced(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
        enum mk_code code;
        const char *says;
    } edits[] = {
        {"\"type\": \"BPE\"", "\"type\": \"Unigram\"", MK_EUNSUPPORTED, "not BPE: \"Unigram\""},
        {"\"dropout\": null", "\"dropout\": 0.1", MK_EUNSUPPORTED, "model.dropout: 0.1"},
        {"\"byte_fallback\": false", "\"byte_fallback\": true", MK_EUNSUPPORTED, "byte_fallback"},
        {"\"normalizer\": null", "\"normalizer\": {\"type\": \"Lowercase\"}", MK_EUNSUPPORTED,
         "Lowercase"},
        {"\\\\p{N}{1,3}", "\\\\p{N}{1,4}", MK_EUNSUPPORTED, "\\p{N}{1,4}"},
        {"Isolated", "Removed", MK_EUNSUPPORTED, "Removed"},
        {"\"use_regex\": false", "\"use_regex\": true", MK_EUNSUPPORTED, "unknown pre-tokenizer"},
        {"\"add_prefix_space\": false, \"trim", "\"add_prefix_space\": true, \"trim",
         MK_EUNSUPPORTED, "unknown pre-tokenizer"},
        {"\"single_word\": false", "\"single_word\": true", MK_EUNSUPPORTED, "single_word"},
        {"\"id\": 466", "\"id\": 99999999", MK_EFORMAT, "99999999"},
        {"\"id\": 466", "\"id\": -1", MK_EFORMAT, "-1"},
        {"\"id\": 466", "\"id\": 5", MK_EFORMAT, "id 5 has another text"},
        {"\"content\": \"<think>\"", "\"content\": \"\"", MK_EFORMAT, "466 has no text"},
        {"\"content\": \"<think>\"", "\"content\": 1", MK_EFORMAT, "without content"},
        {"\"!\": 3,", "\"!\": 4,", MK_EFORMAT, "id 4 has two tokens"},
        {"\"!\": 3,", "\"!\": 2147483647,", MK_EFORMAT, "a token id"},
        {"\"!\": 3,", "\"!\": -3,", MK_EFORMAT, "a token id"},
        {"\"!\": 3,", "\"!\": 3.0,", MK_EFORMAT, "a token id"},
        {"\"!\": 3,", "\"!\": \"3\",", MK_EFORMAT, "a token id"},
        {"\"!\": 3,", "\"?!\": 3,", MK_EFORMAT, "no token for byte 0x21"},
        {"\"!\": 3,", "\"\\ud800\": 3,", MK_EFORMAT, "low surrogate"},
        {"\"!\": 3,", "\"\\x\": 3,", MK_EFORMAT, "an escape"},
        {"\"!\": 3,", "\"\xff\": 3,", MK_EFORMAT, "not UTF-8"},
        {"\"!\": 3,", "\"!\": 3", MK_EFORMAT, "byte "},
        {"\"t h\"", "\"th\"", MK_EFORMAT, "is not two tokens"},
        {"\"t h\"", "\"t qqq\"", MK_EFORMAT, "the second part"},
        {"\"t h\"", "[\"t\", \"q\"]", MK_EFORMAT, "the result"},
        {"\"t h\"", "[\"t\", \"h\", \"t\"]", MK_EFORMAT, "where ] should be"},
        {"\"t h\"", "{}", MK_EFORMAT, "a string"},
    };
    struct mk_str text = read_text(TINY);
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        const char *at = strstr(text.data, edits[i].from);
        if (!at) fail_msg("edit %zu: no %s in the file", i, edits[i].from);
        const size_t skip = (size_t)(at - text.data);
        struct mk_str s = {0};
        mk_str_append(&s, text.data, skip);
        mk_str_add(&s, edits[i].to);
        mk_str_add(&s, at + strlen(edits[i].from));
        check_text_fails(s.data, s.len, edits[i].code, edits[i].says);
        mk_str_release(&s);
    }
    mk_str_release(&text);
}

/* The first 2000 prefixes and every 37th after that, each in memory of its size. */
static void test_truncated(void **state)
{
    (void)state;
    struct mk_str text = read_text(TINY);
    size_t last = text.len;
    while (text.data[last - 1] != '}') last--;
    for (size_t n = 0; n < last; n += n < 2000 ? 1 : 37) {
        char *copy = malloc(n ? n : 1);
        assert_non_null(copy);
        memcpy(copy, text.data, n);
        struct mk_tokenizer *t = NULL;
        struct mk_err err;
        assert_false(mk_tokenizer_parse(&t, copy, n, "f.json", &err));
        assert_int_equal(err.code, MK_EFORMAT);
        free(copy);
    }
    mk_str_release(&text);
}

static void test_long_added(void **state)
{
    (void)state;
    json_t *tree = read_json(TINY);
    char text[600];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    json_array_append_new(json_object_get(tree, "added_tokens"),
                          json_pack("{s:i, s:s}", "id", 600, "content", text));
    char *s = json_dumps(tree, 0);
    check_text_fails(s, strlen(s), MK_EUNSUPPORTED, "599 bytes");
    free(s);
    json_decref(tree);
}

static void test_missing_file(void **state)
{
    (void)state;
    struct mk_tokenizer *t = NULL;
    struct mk_err err;
    assert_false(mk_tokenizer_open_json(&t, "no/such.json", NULL, &err));
    assert_int_equal(err.code, MK_EIO);
    assert_false(mk_tokenizer_open_json(&t, TINY, "no/such.json", &err));
    assert_int_equal(err.code, MK_EIO);
    assert_null(t);
}

/* ---- GGUF: the metadata of the smallest tokenizer, one key wrong at a time ---- */

enum { N_BYTES = 256, N_KV = 9 };

struct meta {
    char text[N_BYTES + 2][8];
    struct mk_gguf_str tokens[N_BYTES + 2], merges[1];
    int32_t types[N_BYTES + 2];
    struct mk_gguf_kv kv[N_KV];
    struct mk_gguf g;
};

static struct mk_gguf_kv str_kv(const char *key, const char *s)
{
    return (struct mk_gguf_kv){.key = key, .type = MK_GGUF_STR, .str = {s, strlen(s)}};
}

static struct mk_gguf_kv strs_kv(const char *key, const struct mk_gguf_str *s, size_t n)
{
    struct mk_gguf_kv kv = {.key = key, .type = MK_GGUF_ARRAY};
    kv.array.type = MK_GGUF_STR;
    kv.array.n = n;
    kv.array.strs = s;
    return kv;
}

static void make_meta(struct meta *m)
{
    memset(m, 0, sizeof *m);
    unsigned extra = 256;
    for (unsigned b = 0; b < N_BYTES; b++) {
        const bool printable = (b > 32 && b < 127) || (b > 160 && b != 173);
        struct mk_str s = {0};
        mk_str_add_cp(&s, printable ? b : extra++);
        memcpy(m->text[b], s.data, s.len);
        m->tokens[b] = (struct mk_gguf_str){m->text[b], s.len};
        m->types[b] = 1;
        mk_str_release(&s);
    }
    m->tokens[256] = (struct mk_gguf_str){"ab", 2};
    m->types[256] = 1;
    m->tokens[257] = (struct mk_gguf_str){"<|b|>", 5};
    m->types[257] = 3;
    m->merges[0] = (struct mk_gguf_str){"a b", 3};
    size_t n = 0;
    m->kv[n++] = str_kv("tokenizer.ggml.model", "gpt2");
    m->kv[n++] = str_kv("tokenizer.ggml.pre", "qwen2");
    m->kv[n++] = strs_kv("tokenizer.ggml.tokens", m->tokens, N_BYTES + 2);
    struct mk_gguf_kv types = {.key = "tokenizer.ggml.token_type", .type = MK_GGUF_ARRAY};
    types.array.type = MK_GGUF_I32;
    types.array.n = N_BYTES + 2;
    types.array.data = (const uint8_t *)m->types;
    m->kv[n++] = types;
    m->kv[n++] = strs_kv("tokenizer.ggml.merges", m->merges, 1);
    m->kv[n++] =
        (struct mk_gguf_kv){.key = "tokenizer.ggml.bos_token_id", .type = MK_GGUF_U32, .u = 257};
    m->g = (struct mk_gguf){.version = 3, .alignment = 32, .kv = m->kv, .n_kv = n};
}

static void check_meta_fails(struct meta *m, enum mk_code code, const char *says)
{
    struct mk_tokenizer *t = NULL;
    struct mk_err err = {MK_OK, ""};
    assert_false(mk_tokenizer_open_gguf(&t, &m->g, "f.gguf", &err));
    if (err.code != code || strncmp(err.msg, "f.gguf: ", 8) || !strstr(err.msg, says))
        fail_msg("%s: \"%s\" should say \"%s\"", mk_code_name(err.code), err.msg, says);
    make_meta(m);
}

static void test_gguf(void **state)
{
    (void)state;
    struct meta m;
    struct mk_tokenizer *t = NULL;
    struct mk_err err;
    make_meta(&m);
    assert_true(mk_tokenizer_open_gguf(&t, &m.g, "f.gguf", &err));
    const int32_t want[] = {256, 257};
    check_text(t, "ab<|b|>", MK_TOK_SPECIAL, want, 2);
    mk_tokenizer_free(t);

    for (size_t i = 0; i < 5; i++) { /* token_type may be missing */
        if (i == 3) continue;
        m.kv[i].key = "x";
        check_meta_fails(&m, i == 1 ? MK_EUNSUPPORTED : MK_EFORMAT, "missing");
    }
    m.kv[0] = str_kv("tokenizer.ggml.model", "llama");
    check_meta_fails(&m, MK_EUNSUPPORTED, "model is llama");
    m.kv[1] = str_kv("tokenizer.ggml.pre", "other\n");
    check_meta_fails(&m, MK_EUNSUPPORTED, "pre is other\\n; known are deepseek-v3, joyai-llm");
    m.kv[2].array.type = MK_GGUF_I32;
    check_meta_fails(&m, MK_EFORMAT, "tokens is not a list of strings");
    m.kv[3].array.n = 3;
    check_meta_fails(&m, MK_EFORMAT, "not a list of 258 numbers");
    m.kv[3].type = MK_GGUF_STR;
    check_meta_fails(&m, MK_EFORMAT, "not a list of 258 numbers");
    m.merges[0].n = 2;
    check_meta_fails(&m, MK_EFORMAT, "merge 0 (a ): the second part");
    m.merges[0].n = 1;
    check_meta_fails(&m, MK_EFORMAT, "merge 0: a is not two tokens");
    m.merges[0].s = "b a";
    check_meta_fails(&m, MK_EFORMAT, "the result is not in the vocabulary");
    m.kv[5].u = 258;
    check_meta_fails(&m, MK_EFORMAT, "bos_token_id is 258");
    m.kv[5].u = UINT64_MAX;
    check_meta_fails(&m, MK_EFORMAT, "bos_token_id is 18446744073709551615");
    m.tokens['a'] = (struct mk_gguf_str){NULL, 0};
    check_meta_fails(&m, MK_EFORMAT, "no token for byte 0x61");
    m.kv[2].array.n = m.kv[3].array.n = 0;
    check_meta_fails(&m, MK_EFORMAT, "no token for byte 0x00");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_not_json),     cmocka_unit_test(test_replaced),
        cmocka_unit_test(test_truncated),    cmocka_unit_test(test_long_added),
        cmocka_unit_test(test_missing_file), cmocka_unit_test(test_gguf),
    };
    return cmocka_run_group_tests_name("token/bad", tests, NULL, NULL);
}
