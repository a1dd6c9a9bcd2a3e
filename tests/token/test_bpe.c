/* Merging: against a plain version written from the definition, and across threads. */
#include "helpers.h"

#include "base/rng.h"
#include "base/thread.h"
#include "token/int_token.h"

/* Merge the leftmost pair of lowest rank, again and again. */
static void plain_bpe(const struct mk_vocab *v, const char *s, size_t n, struct mk_ids *out)
{
    for (size_t i = 0; i < n; i++) mk_ids_add(out, v->byte_id[(uint8_t)s[i]]);
    for (;;) {
        const struct mk_merge_slot *best = NULL;
        size_t at = 0;
        for (size_t i = 0; i + 1 < out->n; i++) {
            const struct mk_merge_slot *m = mk_vocab_merge(v, out->v[i], out->v[i + 1]);
            if (!m || (best && m->rank >= best->rank)) continue;
            best = m;
            at = i;
        }
        if (!best) return;
        out->v[at] = best->id;
        memmove(out->v + at + 1, out->v + at + 2, (out->n - at - 2) * sizeof *out->v);
        out->n--;
    }
}

static void check(const struct mk_tokenizer *t, struct mk_bpe_work *w, const char *s, size_t n)
{
    struct mk_ids want = {0}, got = {0};
    plain_bpe(&t->vocab, s, n, &want);
    for (int again = 0; again < 2; again++) { /* the second time from what it remembers */
        got.n = 0;
        mk_bpe(t, w, s, n, &got);
        assert_int_equal(got.n, want.n);
        assert_memory_equal(got.v, want.v, want.n * sizeof *want.v);
    }
    mk_ids_release(&want);
    mk_ids_release(&got);
}

/* Short pieces and long ones, of bytes that often merge. */
static void test_random(void **state)
{
    (void)state;
    struct mk_tokenizer *t = open_json(TINY, NULL);
    struct mk_bpe_work w = {0};
    struct mk_rng r = {11};
    static const char letters[] = "the whalnvirodu.\xe9\xb2\xb8";
    for (int i = 0; i < 3000; i++) {
        char s[400];
        const size_t n = mk_rng_u64(&r) % (i % 10 ? 80 : sizeof s);
        for (size_t k = 0; k < n; k++) s[k] = letters[mk_rng_u64(&r) % (sizeof letters - 1)];
        check(t, &w, s, n);
    }
    mk_bpe_work_release(&w);
    mk_tokenizer_free(t);
}

/* Around the length where the method changes, and runs of one byte: all ranks equal. */
static void test_lengths(void **state)
{
    (void)state;
    struct mk_tokenizer *t = open_json(TINY, NULL);
    struct mk_bpe_work w = {0};
    char s[200];
    for (size_t n = 0; n < sizeof s; n++) {
        memset(s, '.', n);
        check(t, &w, s, n);
        for (size_t k = 0; k < n; k++) s[k] = "the "[k % 4];
        check(t, &w, s, n);
    }
    mk_bpe_work_release(&w);
    mk_tokenizer_free(t);
}

/* The bytes of every token: found whole only where merging leads there. */
static void test_tokens(void **state)
{
    (void)state;
    struct mk_tokenizer *t = open_json(TINY, NULL);
    struct mk_bpe_work w = {0};
    size_t n_checked = 0;
    for (int32_t id = 0; id < mk_token_count(t); id++) {
        if (t->vocab.kind[id] != MK_KIND_BYTES) continue;
        size_t n;
        const char *s = mk_token_bytes(t, id, &n);
        check(t, &w, s, n);
        n_checked++;
    }
    assert_int_equal(n_checked, 463);
    mk_bpe_work_release(&w);
    mk_tokenizer_free(t);
}

/* A token that no merges lead to: found with ignore_merges only. */
static void test_ignore_merges(void **state)
{
    (void)state;
    json_t *tree = read_json(TINY);
    json_t *model = json_object_get(tree, "model");
    json_object_set_new(json_object_get(model, "vocab"), "qzqz", json_integer(480));
    for (int ignore = 0; ignore < 2; ignore++) {
        json_object_set_new(model, "ignore_merges", json_boolean(ignore));
        struct mk_tokenizer *t = parse_tree(tree);
        struct mk_ids ids = {0};
        mk_tokenize(t, "qzqz", 4, 0, &ids);
        assert_int_equal(ids.n, ignore ? 1 : 4);
        assert_int_equal(ids.v[0] == 480, ignore);
        mk_ids_release(&ids);
        mk_tokenizer_free(t);
    }
    json_decref(tree);
}

/* A piece of 2 MB, and one that is longer than the longest that is merged as a whole. */
static void test_huge_piece(void **state)
{
    (void)state;
    struct mk_tokenizer *t = open_json(TINY, NULL);
    static const size_t sizes[] = {(size_t)2 << 20, ((size_t)16 << 20) + 3};
    for (size_t i = 0; i < 2; i++) {
        char *s = mk_alloc(sizes[i]);
        memset(s, 'e', sizes[i]);
        size_t n;
        char *back = there_and_back(t, s, sizes[i], 0, &n);
        assert_int_equal(n, sizes[i]);
        assert_memory_equal(back, s, n);
        free(back);
        free(s);
    }
    mk_tokenizer_free(t);
}

struct shared_work {
    const struct mk_tokenizer *t;
    const struct mk_str *text;
    struct mk_ids ids[8];
};

static void tokenize_all(void *arg, size_t first, size_t last, unsigned thread)
{
    struct shared_work *w = arg;
    (void)thread;
    for (size_t i = first; i < last; i++)
        mk_tokenize(w->t, w->text->data, w->text->len, MK_TOK_SPECIAL, &w->ids[i]);
}

/* Threads share a fresh tokenizer, and what it remembers. */
static void test_threads(void **state)
{
    (void)state;
    struct mk_tokenizer *t = open_json(TINY, NULL);
    struct mk_str text = read_text(TINY);
    struct shared_work w = {t, &text, {{0}}};
    struct mk_pool *pool = mk_pool_new(4);
    mk_pool_run(pool, 8, 1, tokenize_all, &w);
    mk_pool_free(pool);
    for (size_t i = 0; i < 8; i++) {
        assert_true(w.ids[i].n > 1000);
        assert_int_equal(w.ids[i].n, w.ids[0].n);
        assert_memory_equal(w.ids[i].v, w.ids[0].v, w.ids[0].n * sizeof *w.ids[0].v);
    }
    for (size_t i = 0; i < 8; i++) mk_ids_release(&w.ids[i]);
    mk_str_release(&text);
    mk_tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),     cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_tokens),     cmocka_unit_test(test_ignore_merges),
        cmocka_unit_test(test_huge_piece), cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests_name("token/bpe", tests, NULL, NULL);
}
