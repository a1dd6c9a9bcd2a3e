#ifndef MK_TESTS_TRAIN_SEQS_H
#define MK_TESTS_TRAIN_SEQS_H
/* For tests of data: a tokenizer of bytes, a notation for sequences, files. */
#include "base/file.h"
#include "base/mem.h"
#include "token/train.h"
#include "train/data.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Bytes and DeepSeek's special tokens: byte b is token 3 + b. */
static struct mk_tokenizer *bytes;
enum { BOS = 0, EOS = 1, USER = 259, ASSISTANT = 260, THINK = 261, END_THINK = 262, N_VOCAB = 263 };

static inline struct mk_tokenizer *byte_tokenizer(const char *const *specials, size_t n_vocab)
{
    struct mk_bpe_trainer *b = NULL;
    struct mk_tokenizer *t = NULL;
    struct mk_err err;
    const struct mk_bpe_options o = {.n_vocab = n_vocab, .specials = specials};
    if (!mk_bpe_trainer_new(&b, &o, &err) || !mk_bpe_trainer_run(b, NULL, NULL, &t, &err))
        fail_msg("%s", err.msg);
    mk_bpe_trainer_free(b);
    return t;
}

static inline int set_up(void **state)
{
    (void)state;
    bytes = byte_tokenizer(NULL, N_VOCAB);
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    mk_tokenizer_free(bytes);
    return 0;
}

/* ---- a notation for sequences ----
 * {B} {E} {U} {A} {T} {X} are BOS, EOS, <User>, <Assistant>, <think>, </think>; | switches
 * between tokens that are read and tokens that count; all else is bytes. */
static inline void parse(struct mk_seqs *out, const char *s)
{
    static const struct {
        char name;
        int32_t id;
    } marks[] = {{'B', BOS},       {'E', EOS},   {'U', USER},
                 {'A', ASSISTANT}, {'T', THINK}, {'X', END_THINK}};
    float weight = 0;
    for (; *s; s++) {
        int32_t tok = 3 + (unsigned char)*s;
        if (*s == '|') {
            weight = 1 - weight;
            continue;
        }
        if (s[0] == '{' && s[1] && s[2] == '}')
            for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
                if (marks[i].name == s[1]) tok = marks[i].id;
        if (tok < 3 || tok > 258) s += 2;
        mk_seqs_put(out, &tok, 1, weight);
    }
    mk_seqs_end(out);
}

static inline void show(const char *what, const struct mk_seqs *s, size_t i)
{
    fprintf(stderr, "%s:", what);
    for (size_t k = s->start[i]; k < s->start[i + 1]; k++)
        fprintf(stderr, s->tok[k] > 34 && s->tok[k] < 259 ? " %c%s" : " %d%s",
                s->tok[k] > 34 && s->tok[k] < 259 ? s->tok[k] - 3 : s->tok[k],
                s->weight[k] > 0 ? "*" : "");
    fputc('\n', stderr);
}

static inline void check_seq(const struct mk_seqs *s, size_t i, const char *want)
{
    struct mk_seqs w = {0};
    parse(&w, want);
    assert_true(i < s->n);
    const size_t n = mk_seqs_len(s, i), at = s->start[i];
    if (n != w.n_tok || memcmp(s->tok + at, w.tok, n * sizeof *w.tok) ||
        memcmp(s->weight + at, w.weight, n * sizeof *w.weight)) {
        show("got ", s, i);
        show("want", &w, 0);
        fail_msg("sequence %zu is not %s", i, want);
    }
    mk_seqs_release(&w);
}

/* ---- sources ---- */

static inline struct mk_data_options in_order(void)
{
    return (struct mk_data_options){
        .tokenizer = bytes, .n_ctx = 1000, .n_epochs = 1, .in_order = true};
}

static inline struct mk_source open_text(const char *text, const struct mk_data_options *o)
{
    struct mk_source s = {0};
    struct mk_err err;
    if (!mk_source_open_bytes(&s, text, strlen(text), "t.jsonl", o, &err)) fail_msg("%s", err.msg);
    return s;
}

static inline struct mk_seqs take_all(struct mk_source *s)
{
    struct mk_seqs q = {0};
    while (mk_source_next(s, &q, 100000)) assert_true(q.n <= 10000);
    return q;
}

static inline struct mk_seqs read_all(const char *text, const struct mk_data_options *o)
{
    struct mk_source s = open_text(text, o);
    struct mk_seqs q = take_all(&s);
    assert_int_equal(q.n, s.n_epoch);
    mk_source_close(&s);
    return q;
}

/* ---- files ---- */

struct file {
    char path[64];
};

static inline struct file new_file(const char *suffix, const void *data, size_t n)
{
    struct file f;
    snprintf(f.path, sizeof f.path, "/tmp/mk-data-%ld%s", (long)getpid(), suffix);
    FILE *out = fopen(f.path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(data, 1, n, out), n);
    assert_int_equal(fclose(out), 0);
    return f;
}

#endif
