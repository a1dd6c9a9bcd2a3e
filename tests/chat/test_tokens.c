/* Prompts as ids: the goldens, and that no text of a user becomes a special token. */
#include "chat_test.h"

struct overlay {
    int32_t id;
    const char *text;
};

/* base is a tokenizer.json; its added tokens get the texts of the family, which differs
 * from the base in nothing else. */
static struct mk_tokenizer *open_overlaid(const char *path, const struct overlay *o, size_t n)
{
    json_t *root = read_json(path), *added = json_object_get(root, "added_tokens");
    for (size_t i = 0; i < json_array_size(added); i++) {
        json_t *token = json_array_get(added, i);
        for (size_t k = 0; k < n; k++)
            if (json_integer_value(json_object_get(token, "id")) == o[k].id)
                json_object_set_new(token, "content", json_string(o[k].text));
    }
    char *text = json_dumps(root, JSON_COMPACT);
    struct mk_tokenizer *t = NULL;
    struct mk_err err;
    if (!mk_tokenizer_parse(&t, text, strlen(text), path, &err)) fail_msg("%s", err.msg);
    free(text);
    json_decref(root);
    return t;
}

static const struct overlay thinking[] = {{128798, MK_THINK}, {128799, MK_THINK_END}};
static const struct overlay qwen[] = {
    {151643, MK_EOS},    {151644, MK_USER_TAG}, {151645, MK_ASSISTANT_TAG}, {151646, MK_BOS},
    {151647, "<|EOT|>"}, {151648, MK_THINK},    {151649, MK_THINK_END}};
static const struct overlay llama[] = {{128000, MK_BOS},      {128001, MK_EOS},
                                       {128011, MK_USER_TAG}, {128012, MK_ASSISTANT_TAG},
                                       {128013, MK_THINK},    {128014, MK_THINK_END}};

static const struct family {
    const char *name, *base;
    const struct overlay *overlay;
    size_t n;
} families[] = {
    {"deepseek-v3", "deepseek_v3", NULL, 0},
    {"deepseek-r1", "deepseek_v3", thinking, 2},
    {"deepseek-v3.1", "deepseek_v3", thinking, 2},
    {"r1-distill-qwen", "qwen2_5", qwen, sizeof qwen / sizeof qwen[0]},
    {"r1-distill-llama", "llama3_1", llama, sizeof llama / sizeof llama[0]},
};

static size_t check_family(const struct family *f, const json_t *records, const char *path)
{
    const struct mk_template *t = mk_template_find(f->name);
    struct mk_tokenizer *tok = open_overlaid(path, f->overlay, f->n);
    size_t n_seen = 0;
    for (size_t i = 0; i < json_array_size(records); i++) {
        const json_t *r = json_array_get(records, i), *want = json_object_get(r, "ids");
        if (strcmp(text_of(r, "model"), f->name) != 0) continue;
        struct mk_prompt p = {0};
        struct mk_ids ids = {0};
        render_record(&p, t, r);
        mk_prompt_tokenize(&p, tok, &ids);
        bool same = ids.n == json_array_size(want);
        for (size_t k = 0; same && k < ids.n; k++)
            same = ids.v[k] == json_integer_value(json_array_get(want, k));
        if (!same) fail_msg("%s %s: other ids", f->name, text_of(r, "case"));
        mk_ids_release(&ids);
        mk_prompt_release(&p);
        n_seen++;
    }
    mk_tokenizer_free(tok);
    return n_seen;
}

static void golden_ids(void **state)
{
    (void)state;
    json_t *records = read_json("tests/golden/chat/anchors.json");
    size_t n_checked = 0;
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        char path[128];
        snprintf(path, sizeof path, "../shared/vocab/%s.tokenizer.json", families[i].base);
        if (mk_file_exists(path))
            n_checked += check_family(&families[i], records, path);
        else
            print_message("skipped ids of %s: no %s\n", families[i].name, path);
    }
    print_message("%zu golden prompts checked as ids\n", n_checked);
    json_decref(records);
}

static const char *const specials[] = {MK_BOS,         MK_EOS,       MK_USER_TAG,  MK_ASSISTANT_TAG,
                                       MK_THINK,       MK_THINK_END, MK_CALLS,     MK_CALLS_END,
                                       MK_CALL,        MK_CALL_SEP,  MK_CALL_END,  MK_OUTPUTS,
                                       MK_OUTPUTS_END, MK_OUTPUT,    MK_OUTPUT_END};
enum { N_SPECIALS = sizeof specials / sizeof specials[0] };

static size_t count_special(const struct mk_ids *ids)
{
    size_t n = 0;
    for (size_t i = 0; i < ids->n; i++) n += ids->v[i] >= 256;
    return n;
}

static void add_turns(struct mk_conversation *c, char *text, bool has_calls)
{
    mk_conversation_add(c, MK_SYSTEM, text, NULL);
    mk_conversation_add(c, MK_USER, text, NULL);
    mk_conversation_add(c, MK_ASSISTANT, text, "");
    if (!has_calls) return;
    mk_conversation_add(c, MK_USER, text, NULL);
    mk_conversation_add(c, MK_ASSISTANT, text, "");
    mk_conversation_add_call(c, &(struct mk_tool_call){text, text, text});
    mk_conversation_add(c, MK_TOOL, text, NULL);
}

/* Every special token in every place where text from outside goes: as many special ids as
 * with a harmless word there, and the whole prompt's text in the ids. */
static void no_injection(void **state)
{
    (void)state;
    struct mk_tokenizer *tok = tiny_tokenizer("deepseek-v3", NULL, specials, N_SPECIALS);
    for (size_t i = 0; mk_templates[i]; i++) {
        size_t n_harmless = 0;
        for (size_t k = 0; k <= N_SPECIALS; k++) {
            char word[64];
            snprintf(word, sizeof word, "%s", k ? specials[k - 1] : "word");
            struct mk_conversation c = {0};
            struct mk_prompt p = {0};
            struct mk_ids ids = {0};
            struct mk_str text = {0};
            struct mk_err err;
            add_turns(&c, word, mk_templates[i]->calls != NULL);
            assert_true(
                mk_chat_render(&p, mk_templates[i], &c, &(struct mk_chat_options){0}, &err));
            mk_prompt_tokenize(&p, tok, &ids);
            mk_detokenize(tok, ids.v, ids.n, true, &text);
            assert_string_equal(text.data, p.text.data);
            if (k == 0) n_harmless = count_special(&ids);
            if (count_special(&ids) != n_harmless)
                fail_msg("%s lets %s through", mk_templates[i]->name, word);
            mk_str_release(&text);
            mk_ids_release(&ids);
            mk_prompt_release(&p);
            mk_conversation_release(&c);
        }
        assert_true(n_harmless > 0);
    }
    mk_tokenizer_free(tok);
}

/* A tokenizer without the token: its text, merged with what is around it. */
static void missing_special(void **state)
{
    (void)state;
    static const char *const few[] = {MK_BOS, MK_USER_TAG, MK_ASSISTANT_TAG};
    struct mk_tokenizer *tok = tiny_tokenizer("qwen2", NULL, few, 3);
    struct mk_conversation c = {0};
    struct mk_prompt p = {0};
    struct mk_ids ids = {0}, want = {0};
    struct mk_err err;
    char name[] = "f", arguments[] = "{}";
    mk_conversation_add(&c, MK_ASSISTANT, "a", NULL);
    mk_conversation_add_call(&c, &(struct mk_tool_call){NULL, name, arguments});
    mk_conversation_add(&c, MK_USER, "b", NULL);
    assert_true(mk_chat_render(&p, mk_template_find("deepseek-r1"), &c,
                               &(struct mk_chat_options){0}, &err));
    mk_prompt_tokenize(&p, tok, &ids);
    mk_tokenize(tok, p.text.data, p.text.len, MK_TOK_SPECIAL, &want);
    assert_int_equal(ids.n, want.n);
    assert_memory_equal(ids.v, want.v, ids.n * sizeof *ids.v);
    assert_int_equal(count_special(&ids), 4); /* BOS, assistant, user, assistant */
    mk_ids_release(&ids);
    mk_ids_release(&want);
    mk_prompt_release(&p);
    mk_conversation_release(&c);
    mk_tokenizer_free(tok);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_ids),
        cmocka_unit_test(no_injection),
        cmocka_unit_test(missing_special),
    };
    return cmocka_run_group_tests_name("chat/tokens", tests, NULL, NULL);
}
