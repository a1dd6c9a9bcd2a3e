/* Written as GGUF and as tokenizer.json, and read again: the same tokenizer. */
#include "helpers.h"

#include "token/int_token.h"

struct files {
    char dir[64], path[128];
};

static void new_files(struct files *f)
{
    snprintf(f->dir, sizeof f->dir, "/tmp/mk-token-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof f->path, "%s/t.gguf", f->dir);
}

static void remove_files(const struct files *f)
{
    unlink(f->path);
    rmdir(f->dir);
}

static void write_gguf(const struct mk_tokenizer *t, int32_t n_vocab, const char *path)
{
    struct mk_gguf_writer *w = NULL;
    struct mk_err err;
    if (!mk_gguf_writer_open(&w, path, &err)) fail_msg("%s", err.msg);
    mk_tokenizer_put_gguf(t, n_vocab, w);
    if (!mk_gguf_writer_tensors(w, NULL, 0, &err) || !mk_gguf_writer_close(w, &err))
        fail_msg("%s", err.msg);
}

static struct mk_tokenizer *by_gguf(const struct mk_tokenizer *t, int32_t n_vocab)
{
    struct files f;
    new_files(&f);
    write_gguf(t, n_vocab, f.path);
    struct mk_tokenizer *r = open_gguf(f.path);
    remove_files(&f);
    return r;
}

static struct mk_tokenizer *by_json(const struct mk_tokenizer *t)
{
    struct mk_str s = {0};
    mk_tokenizer_put_json(t, &s);
    struct mk_tokenizer *r = parse(s.data, s.len);
    mk_str_release(&s);
    return r;
}

static void check_same_text(const struct mk_tokenizer *a, const struct mk_tokenizer *b,
                            const char *path, unsigned flags)
{
    struct mk_str text = read_text(path);
    struct mk_ids ids = {0};
    mk_tokenize(a, text.data, text.len, flags, &ids);
    check_ids(b, text.data, text.len, flags, ids.v, ids.n);
    mk_ids_release(&ids);
    mk_str_release(&text);
}

static void check_same(const struct mk_tokenizer *a, const struct mk_tokenizer *b)
{
    assert_int_equal(mk_token_count(a), mk_token_count(b));
    assert_string_equal(mk_tokenizer_pre(a), mk_tokenizer_pre(b));
    assert_int_equal(a->vocab.n_merges, b->vocab.n_merges);
    assert_memory_equal(a->vocab.merges, b->vocab.merges,
                        a->vocab.n_merges * sizeof *a->vocab.merges);
    for (int32_t id = 0; id < mk_token_count(a); id++) {
        size_t n, m;
        const char *s = mk_token_bytes(a, id, &n), *u = mk_token_bytes(b, id, &m);
        assert_int_equal(n, m);
        if (s) assert_memory_equal(s, u, n);
        assert_int_equal(mk_token_is_special(a, id), mk_token_is_special(b, id));
    }
    check_same_text(a, b, GOLDEN "texts.inp", 0);
    check_same_text(a, b, GOLDEN "tiny.inp", 0);
    check_same_text(a, b, GOLDEN "tiny.inp", MK_TOK_SPECIAL);
    check_same_text(a, b, TINY, MK_TOK_SPECIAL | MK_TOK_BOS);
}

static void check_round_trips(struct mk_tokenizer *t)
{
    struct mk_tokenizer *j = by_json(t), *g = by_gguf(t, mk_token_count(t) + 7);
    struct mk_tokenizer *jg = by_json(g), *gj = by_gguf(j, 0);
    check_same(t, j);
    check_same(t, g);
    check_same(t, jg);
    check_same(t, gj);
    assert_int_equal(mk_token_bos(t), mk_token_bos(g));
    assert_int_equal(mk_token_eos(t), mk_token_eos(g));
    assert_int_equal(t->pad, g->pad);
    assert_int_equal(mk_token_adds_bos(t), mk_token_adds_bos(g));
    if (mk_token_adds_bos(t)) assert_int_equal(mk_token_bos(t), mk_token_bos(j));
    mk_tokenizer_free(gj);
    mk_tokenizer_free(jg);
    mk_tokenizer_free(g);
    mk_tokenizer_free(j);
    mk_tokenizer_free(t);
}

static void test_tiny(void **state)
{
    (void)state;
    struct mk_tokenizer *t = open_json(TINY, NULL);
    t->bos = 0;
    t->eos = 1;
    t->pad = 2;
    check_round_trips(t);
    t = open_json(TINY, NULL);
    t->bos = 0;
    t->adds_bos = true;
    t->chat_template = mk_strdup("{{ \"quoted\\n\" }}\n\t");
    struct mk_tokenizer *g = by_gguf(t, 0);
    assert_string_equal(mk_tokenizer_template(g), mk_tokenizer_template(t));
    mk_tokenizer_free(g);
    check_round_trips(t);
}

/* Every family, over the small vocabulary. */
static void test_families(void **state)
{
    (void)state;
    static const char *const names[] = {"deepseek-v3", "deepseek-llm", "deepseek-coder", "qwen2",
                                        "llama-bpe"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct mk_tokenizer *t = open_json(TINY, NULL);
        const struct mk_pre_name *name;
        assert_true(mk_pre_by_name(&t->pre, &name, names[i], strlen(names[i])));
        t->pre_name = name->name;
        t->nfc = t->pre->nfc;
        t->ignore_merges = t->pre->ignore_merges;
        mk_splitter_release(&t->splitter);
        mk_splitter_init(&t->splitter, t->pre);
        check_round_trips(t);
    }
}

/* The list is filled up to the rows of the embedding. */
static void test_padding(void **state)
{
    (void)state;
    struct mk_tokenizer *t = open_json(TINY, NULL);
    struct files f;
    new_files(&f);
    write_gguf(t, 500, f.path);
    struct mk_map map;
    struct mk_arena arena = {0};
    struct mk_gguf g;
    struct mk_tensor *list;
    size_t n;
    struct mk_err err;
    assert_true(mk_map_open(&map, f.path, &err));
    assert_true(mk_gguf_parse(&arena, &g, &list, &n, &map, f.path, &err));
    const struct mk_gguf_kv *tokens = mk_gguf_find(&g, "tokenizer.ggml.tokens");
    const struct mk_gguf_kv *types = mk_gguf_find(&g, "tokenizer.ggml.token_type");
    assert_non_null(tokens);
    assert_non_null(types);
    assert_int_equal(tokens->array.n, 500);
    assert_int_equal(types->array.n, 500);
    static const struct {
        size_t id;
        const char *text;
        int type;
    } want[] = {{0, "<｜begin▁of▁sentence｜>", 3},
                {252, "Ġthe", 1},
                {466, "<think>", 4},
                {468, "<｜User｜>", 3},
                {473, "ø", 4},
                {475, "[PAD475]", 5},
                {499, "[PAD499]", 5}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        const struct mk_gguf_str s = tokens->array.strs[want[i].id];
        assert_int_equal(s.n, strlen(want[i].text));
        assert_memory_equal(s.s, want[i].text, s.n);
        assert_int_equal((int)mk_gguf_at(types, want[i].id), want[i].type);
    }
    mk_arena_release(&arena);
    mk_map_close(&map);
    remove_files(&f);
    mk_tokenizer_free(t);
}

/* Ids without text in the middle, which tokenizer.json shows as gaps. */
static void test_gaps(void **state)
{
    (void)state;
    json_t *tree = read_json(TINY);
    json_array_append_new(
        json_object_get(tree, "added_tokens"),
        json_pack("{s:i, s:s, s:b}", "id", 600, "content", "<|far|>", "special", 1));
    struct mk_tokenizer *t = parse_tree(tree);
    assert_int_equal(mk_token_count(t), 601);
    json_decref(tree);
    check_round_trips(t);
}

static void test_config(void **state)
{
    (void)state;
    struct mk_tokenizer *t = open_json(TINY, NULL);
    t->bos = 0;
    t->eos = 1;
    t->adds_bos = true;
    t->chat_template = mk_strdup("{{ \"a\\\\b\" }}\n");
    struct mk_str s = {0};
    mk_tokenizer_put_config(t, &s);
    struct files f;
    new_files(&f);
    FILE *out = fopen(f.path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(s.data, 1, s.len, out), s.len);
    assert_int_equal(fclose(out), 0);
    struct mk_tokenizer *r = open_json(TINY, f.path);
    assert_int_equal(mk_token_bos(r), 0);
    assert_int_equal(mk_token_eos(r), 1);
    assert_true(mk_token_adds_bos(r));
    assert_string_equal(mk_tokenizer_template(r), mk_tokenizer_template(t));
    remove_files(&f);
    mk_str_release(&s);
    mk_tokenizer_free(r);
    mk_tokenizer_free(t);
}

static void test_real(void **state)
{
    (void)state;
    static const char *const gguf[] = {VOCAB "ggml-vocab-deepseek-llm.gguf",
                                       VOCAB "ggml-vocab-deepseek-coder.gguf"};
    static const char *const names[] = {"deepseek_v3", "qwen2_5", "llama3_1"};
    for (size_t i = 0; i < 2; i++)
        if (have(gguf[i])) check_round_trips(open_gguf(gguf[i]));
    for (size_t i = 0; i < 3; i++) {
        char json[128], config[128];
        snprintf(json, sizeof json, VOCAB "%s.tokenizer.json", names[i]);
        snprintf(config, sizeof config, VOCAB "%s.tokenizer_config.json", names[i]);
        if (have(json) && have(config)) check_round_trips(open_json(json, config));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tiny),    cmocka_unit_test(test_families),
        cmocka_unit_test(test_padding), cmocka_unit_test(test_gaps),
        cmocka_unit_test(test_config),  cmocka_unit_test(test_real),
    };
    return cmocka_run_group_tests_name("token/write", tests, NULL, NULL);
}
