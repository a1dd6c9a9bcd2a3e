/* Ids that other implementations give.  The texts and ids are here; most vocabularies are
 * large and lie beside the project, if at all. */
#include "helpers.h"

static void check_vocab(const char *vocab, const char *ids, const char *pre)
{
    char path[256];
    snprintf(path, sizeof path, VOCAB "%s", vocab);
    if (!have(path)) return;
    const size_t len = strlen(path);
    struct mk_tokenizer *t =
        !strcmp(path + len - 5, ".gguf") ? open_gguf(path) : open_json(path, NULL);
    assert_string_equal(mk_tokenizer_pre(t), pre);
    assert_int_equal(check_pairs(t, GOLDEN "texts.inp", ids, 0), 47);
    mk_tokenizer_free(t);
}

static void test_deepseek_v3(void **state)
{
    (void)state;
    check_vocab("deepseek_v3.tokenizer.json", GOLDEN "deepseek-v3.out", "deepseek-v3");
}

static void test_deepseek_v4(void **state)
{
    (void)state;
    check_vocab("deepseek_v4.tokenizer.json", GOLDEN "deepseek-v3.out", "deepseek-v3");
}

static void test_deepseek_llm(void **state)
{
    (void)state;
    check_vocab("ggml-vocab-deepseek-llm.gguf", GOLDEN "deepseek-llm.out", "deepseek-llm");
}

static void test_deepseek_coder(void **state)
{
    (void)state;
    check_vocab("ggml-vocab-deepseek-coder.gguf", GOLDEN "deepseek-coder.out", "deepseek-coder");
}

static void test_qwen2(void **state)
{
    (void)state;
    check_vocab("qwen2_5.tokenizer.json", GOLDEN "qwen2.out", "qwen2");
    check_vocab("qwen2_5.tokenizer.json", GOLDEN "deepseek-r1-qwen.out", "qwen2");
}

static void test_llama(void **state)
{
    (void)state;
    check_vocab("llama3_1.tokenizer.json", GOLDEN "llama-bpe.out", "llama-bpe");
}

/* Special tokens, an added token of one character, both forms of merges. */
static void test_tiny(void **state)
{
    (void)state;
    struct mk_tokenizer *t = open_json(TINY, NULL);
    assert_int_equal(check_pairs(t, GOLDEN "tiny.inp", GOLDEN "tiny.out", MK_TOK_SPECIAL), 55);
    mk_tokenizer_free(t);
}

/* Texts of up to 18 KB in the prompt of V4, whose number of tokens the official service
 * has confirmed. */
static void test_v4_prompts(void **state)
{
    (void)state;
    static const char list[] = "../shared/golden/tokenizer/v4-official-api-prompts.json";
    if (!have(list) || !have(VOCAB "deepseek_v4.tokenizer.json")) return;
    struct mk_tokenizer *t = open_json(VOCAB "deepseek_v4.tokenizer.json", NULL);
    json_t *records = read_json(list);
    assert_int_equal(json_array_size(records), 5);
    for (size_t i = 0; i < 5; i++) {
        const json_t *r = json_array_get(records, i);
        char path[256];
        snprintf(path, sizeof path, "../shared/golden/tokenizer/v4-prompts/%s.txt",
                 json_string_value(json_object_get(r, "id")));
        struct mk_str user = read_text(path), text = {0};
        mk_str_addf(&text, "<｜begin▁of▁sentence｜><｜User｜>%s<｜Assistant｜></think>", user.data);
        struct mk_ids want = ids_of(json_object_get(r, "ids"));
        assert_int_equal(want.n, json_integer_value(json_object_get(r, "official_prompt_tokens")));
        check_ids(t, text.data, text.len, MK_TOK_SPECIAL, want.v, want.n);
        const char *answer = json_string_value(json_object_get(r, "continuation"));
        struct mk_ids next = ids_of(json_object_get(r, "continuation_ids"));
        struct mk_str s = {0};
        mk_detokenize(t, next.v, next.n, true, &s);
        assert_string_equal(mk_str_c(&s), answer);
        mk_str_release(&s);
        mk_ids_release(&next);
        mk_ids_release(&want);
        mk_str_release(&text);
        mk_str_release(&user);
    }
    json_decref(records);
    mk_tokenizer_free(t);
}

/* ---- rendered chats ---- */

struct family {
    const char *model, *vocab;
    struct {
        int id;
        const char *text;
    } specials[8]; /* what differs from the vocabulary: the checkpoint's own table */
};
static const struct family chats[] = {
    {"deepseek-v3", "deepseek_v3", {{0, NULL}}},
    {"deepseek-r1", "deepseek_v3", {{128798, "<think>"}, {128799, "</think>"}}},
    {"deepseek-v3.1", "deepseek_v3", {{128798, "<think>"}, {128799, "</think>"}}},
    {"deepseek-v4", "deepseek_v4", {{0, NULL}}},
    {"r1-distill-qwen",
     "qwen2_5",
     {{151643, "<｜end▁of▁sentence｜>"},
      {151644, "<｜User｜>"},
      {151645, "<｜Assistant｜>"},
      {151646, "<｜begin▁of▁sentence｜>"},
      {151647, "<|EOT|>"},
      {151648, "<think>"},
      {151649, "</think>"}}},
    {"r1-distill-llama",
     "llama3_1",
     {{128000, "<｜begin▁of▁sentence｜>"},
      {128001, "<｜end▁of▁sentence｜>"},
      {128011, "<｜User｜>"},
      {128012, "<｜Assistant｜>"},
      {128013, "<think>"},
      {128014, "</think>"}}},
};

static void put_special(json_t *tree, int id, const char *text)
{
    json_t *list = json_object_get(tree, "added_tokens");
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *e = json_array_get(list, i);
        if (json_integer_value(json_object_get(e, "id")) != id) continue;
        json_object_set_new(e, "content", json_string(text));
        return;
    }
    fail_msg("no added token %d", id);
}

static size_t check_chats(const json_t *records, const struct family *f)
{
    char path[256];
    snprintf(path, sizeof path, VOCAB "%s.tokenizer.json", f->vocab);
    if (!have(path)) return 0;
    json_t *tree = read_json(path);
    for (size_t i = 0; i < 8 && f->specials[i].text; i++)
        put_special(tree, f->specials[i].id, f->specials[i].text);
    struct mk_tokenizer *t = parse_tree(tree);
    json_decref(tree);
    size_t n = 0;
    for (size_t i = 0; i < json_array_size(records); i++) {
        const json_t *r = json_array_get(records, i);
        if (strcmp(json_string_value(json_object_get(r, "model")), f->model)) continue;
        const json_t *text = json_object_get(r, "text");
        struct mk_ids want = ids_of(json_object_get(r, "ids"));
        check_ids(t, json_string_value(text), json_string_length(text), MK_TOK_SPECIAL, want.v,
                  want.n);
        struct mk_str back = {0};
        mk_detokenize(t, want.v, want.n, true, &back);
        assert_string_equal(mk_str_c(&back), json_string_value(text));
        mk_str_release(&back);
        mk_ids_release(&want);
        n++;
    }
    mk_tokenizer_free(t);
    return n;
}

static void test_chats(void **state)
{
    (void)state;
    static const char file[] = "../shared/golden/chat_anchors.json";
    if (!have(file)) return;
    json_t *records = read_json(file);
    size_t n = 0, n_want = json_array_size(records);
    for (size_t i = 0; i < sizeof chats / sizeof *chats; i++) n += check_chats(records, &chats[i]);
    if (mk_file_exists(VOCAB)) assert_int_equal(n, n_want);
    json_decref(records);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tiny),           cmocka_unit_test(test_deepseek_v3),
        cmocka_unit_test(test_deepseek_v4),    cmocka_unit_test(test_deepseek_llm),
        cmocka_unit_test(test_deepseek_coder), cmocka_unit_test(test_qwen2),
        cmocka_unit_test(test_llama),          cmocka_unit_test(test_v4_prompts),
        cmocka_unit_test(test_chats),
    };
    return cmocka_run_group_tests_name("token/golden", tests, NULL, NULL);
}
