/* Token files: their bytes, there and back, and every kind of damage. */
#include "seqs.h"

static struct mk_seqs three_docs(void)
{
    struct mk_seqs s = {0};
    mk_seqs_add(&s, (const int32_t[]){0, 10, 11, 12, 1}, NULL, 5);
    mk_seqs_add(&s, (const int32_t[]){7}, NULL, 1);
    mk_seqs_add(&s, (const int32_t[]){0, 262, 1}, NULL, 3);
    return s;
}

static struct mk_str bin_bytes(size_t n_vocab)
{
    struct mk_seqs docs = three_docs();
    struct mk_str s = {0};
    struct mk_err err;
    char path[64];
    snprintf(path, sizeof path, "/tmp/mk-data-%ld.bin", (long)getpid());
    if (!mk_bin_write(path, &docs, n_vocab, &err) || !mk_file_read(&s, path, 1 << 20, &err))
        fail_msg("%s", err.msg);
    unlink(path);
    mk_seqs_release(&docs);
    return s;
}

static void test_bin(void **state)
{
    (void)state;
    static const uint8_t start[] = "mktok\0\0\1\t\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0\7\1\0\0\2\0\0\0"
                                   "\0\0\0\0\0\0\0\0\5\0\0\0\0\0\0\0\6\0\0\0\0\0\0\0\0\0\n\0\v";
    struct mk_str s = bin_bytes(N_VOCAB);
    assert_int_equal(s.len, 32 + 3 * 8 + 9 * 2);
    assert_memory_equal(s.data, start, sizeof start - 1);
    const size_t vocabs[] = {N_VOCAB, 70000}, sizes[] = {2, 4};
    for (size_t i = 0; i < 2; i++) {
        struct mk_str b = bin_bytes(vocabs[i]);
        struct mk_bin bin;
        struct mk_err err;
        if (!mk_bin_parse(&bin, b.data, b.len, "t.bin", &err)) fail_msg("%s", err.msg);
        struct mk_seqs docs = three_docs();
        assert_int_equal(bin.tok_bytes, sizes[i]);
        assert_int_equal(bin.n_doc, 3);
        assert_int_equal(bin.n_tok, 9);
        for (size_t k = 0; k <= 3; k++) assert_int_equal(mk_bin_start(&bin, k), docs.start[k]);
        for (size_t k = 0; k < 9; k++) assert_int_equal(mk_bin_tok(&bin, k), docs.tok[k]);
        mk_seqs_release(&docs);
        mk_str_release(&b);
    }
    mk_str_release(&s);
}

static void test_bin_source(void **state)
{
    (void)state;
    struct mk_str b = bin_bytes(N_VOCAB);
    struct mk_data_options o = in_order();
    o.n_ctx = 4;
    struct file f = new_file("-2.bin", b.data, b.len);
    struct mk_source s = {0};
    struct mk_err err;
    if (!mk_source_open_file(&s, f.path, &o, &err)) fail_msg("%s", err.msg);
    unlink(f.path);
    struct mk_seqs q = take_all(&s);
    check_seq(&q, 0, "{B}|\a\b\t"); /* tokens 10, 11, 12 are the bytes 7, 8, 9 */
    check_seq(&q, 1, "\t|{E}");
    check_seq(&q, 2, "{B}|{X}{E}"); /* one token predicts nothing: the second is left out */
    assert_int_equal(q.n, 3);
    mk_seqs_release(&q);
    mk_source_close(&s);
    mk_str_release(&b);
}

static void test_bin_damage(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint8_t byte;
        const char *want;
    } cases[] = {
        {0, 'M', "not JSON"},
        {7, 2, "not a token file"},
        {8, 8, "do not hold 3 documents and 8 tokens"},
        {8, 0, "3 documents, 0 tokens"},
        {15, 0xff, "do not hold 3 documents and"},
        {16, 2, "do not hold 2 documents and 9 tokens"},
        {16, 0, "0 documents, 9 tokens"},
        {23, 0xff, "do not hold"},
        {24, 6, "token 7 is 262 in a vocabulary of 262"},
        {24, 8, "tokens of a vocabulary of 264, the tokenizer has 263"},
        {27, 0xff, "a vocabulary of 4278190343"},
        {28, 3, "3 bytes per token, want 2 or 4"},
        {28, 4, "do not hold"},
        {32, 1, "document 0 goes from token 1 to 5 of 9"},
        {40, 6, "document 1 goes from token 6 to 6 of 9"},
        {48, 4, "document 1 goes from token 5 to 4 of 9"},
        {55, 0xff, "document 1 goes from token 5 to 18374686479671623686 of 9"},
        {59, 0xff, "token 1 is 65290 in a vocabulary of 263"},
    };
    struct mk_str b = bin_bytes(N_VOCAB);
    const struct mk_data_options o = in_order();
    struct mk_source s = {0};
    struct mk_err err;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *p = b.data + cases[i].at, was = *p;
        *p = (char)cases[i].byte;
        assert_false(mk_source_open_bytes(&s, b.data, b.len, "t", &o, &err));
        if (!strstr(err.msg, cases[i].want))
            fail_msg("byte %zu: \"%s\" does not say \"%s\"", cases[i].at, err.msg, cases[i].want);
        *p = was;
    }
    for (size_t n = 5; n < b.len; n++)
        assert_false(mk_source_open_bytes(&s, b.data, n, "t", &o, &err));
    assert_false(mk_source_open_bytes(&s, "{}", 2, "t.bin", &o, &err));
    assert_non_null(strstr(err.msg, "t.bin: 2 bytes are no token file"));
    assert_true(mk_source_open_bytes(&s, b.data, b.len, "t", &o, &err));
    mk_source_close(&s);
    mk_str_release(&b);
}

static void test_bin_write(void **state)
{
    (void)state;
    struct mk_seqs docs = {0};
    struct mk_err err;
    assert_false(mk_bin_write("/tmp/x.bin", &docs, 10, &err));
    assert_non_null(strstr(err.msg, "no documents to write"));
    mk_seqs_add(&docs, (const int32_t[]){3, 10}, NULL, 2);
    assert_false(mk_bin_write("/tmp/x.bin", &docs, 10, &err));
    assert_non_null(strstr(err.msg, "token 10 in a vocabulary of 10"));
    assert_false(mk_bin_write("/nowhere/x.bin", &docs, 11, &err));
    assert_int_equal(err.code, MK_EIO);
    mk_seqs_add(&docs, NULL, NULL, 0);
    assert_false(mk_bin_write("/tmp/x.bin", &docs, 11, &err));
    assert_non_null(strstr(err.msg, "document 1 has no token"));
    const struct mk_data_options o = in_order(); /* documents of one token alone */
    mk_seqs_clear(&docs);
    mk_seqs_add(&docs, (const int32_t[]){3}, NULL, 1);
    char path[64];
    snprintf(path, sizeof path, "/tmp/mk-data-%ld-1.bin", (long)getpid());
    struct mk_source s;
    assert_true(mk_bin_write(path, &docs, N_VOCAB, &err));
    assert_false(mk_source_open_file(&s, path, &o, &err));
    assert_non_null(strstr(err.msg, "no document of two tokens or more"));
    unlink(path);
    mk_seqs_release(&docs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bin),
        cmocka_unit_test(test_bin_source),
        cmocka_unit_test(test_bin_damage),
        cmocka_unit_test(test_bin_write),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
