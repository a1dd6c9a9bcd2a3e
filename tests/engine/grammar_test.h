#ifndef MK_TESTS_ENGINE_GRAMMAR_TEST_H
#define MK_TESTS_ENGINE_GRAMMAR_TEST_H
/* Grammars on the smallest tokenizer there is: the 256 bytes, BOS, EOS, padding and the tags of
 * DeepSeek's format. */
#include "base/rng.h"
#include "engine/constraint.h"
#include "token/train.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { FIRST_BYTE = 3 }; /* the token of byte 0, see token/train.h */

static struct mk_tokenizer *bytes_only;
static struct mk_lexicon *lexicon;

static inline void open_bytes(void)
{
    struct mk_bpe_trainer *b;
    struct mk_err err;
    if (!mk_bpe_trainer_new(&b, &(struct mk_bpe_options){.n_vocab = 263}, &err) ||
        !mk_bpe_trainer_run(b, NULL, NULL, &bytes_only, &err))
        fail_msg("%s", err.msg);
    mk_bpe_trainer_free(b);
    lexicon = mk_lexicon_new(bytes_only, (size_t)mk_token_count(bytes_only));
}
static inline void close_bytes(void)
{
    mk_lexicon_free(lexicon);
    mk_tokenizer_free(bytes_only);
}

static inline struct mk_constraint *follow(const struct mk_grammar *g)
{
    const int32_t eos = mk_token_eos(bytes_only);
    struct mk_constraint *c = NULL;
    struct mk_err err;
    if (!mk_constraint_new(&c, g, lexicon, &eos, 1, &err)) fail_msg("%s", err.msg);
    return c;
}

/* Whether the grammar has the text.  What is accepted and what is allowed must agree. */
static inline bool has_bytes(const struct mk_grammar *g, const char *text, size_t n)
{
    struct mk_constraint *c = follow(g);
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) {
        const int32_t id = FIRST_BYTE + (unsigned char)text[i];
        const bool is_allowed = n > 2000 || mk_constraint_allowed(c, SIZE_MAX)[id];
        ok = mk_constraint_accept(c, id);
        if (n <= 2000) assert_int_equal(is_allowed, ok);
    }
    ok = ok && mk_constraint_may_end(c);
    mk_constraint_free(c);
    return ok;
}
static inline bool has(const struct mk_grammar *g, const char *text)
{
    return has_bytes(g, text, strlen(text));
}

static inline struct mk_grammar *regex(const char *pattern)
{
    struct mk_grammar *g = NULL;
    struct mk_err err;
    if (!mk_grammar_from_regex(&g, pattern, strlen(pattern), &err))
        fail_msg("%s: %s", pattern, err.msg);
    return g;
}
static inline struct mk_grammar *schema(const char *json)
{
    struct mk_grammar *g = NULL;
    struct mk_err err;
    if (!mk_grammar_from_schema(&g, json, strlen(json), &err)) fail_msg("%s: %s", json, err.msg);
    return g;
}

/* A text drawn from what is allowed, with a liking for ends. */
static inline struct mk_str draw(const struct mk_grammar *g, struct mk_rng *r, size_t n_max)
{
    struct mk_constraint *c = follow(g);
    struct mk_str out = {0};
    while (out.len < n_max && !mk_constraint_must_end(c)) {
        if (mk_constraint_may_end(c) && mk_rng_f64(r) < 0.2) break;
        const bool *allowed = mk_constraint_allowed(c, SIZE_MAX);
        int32_t list[256], id = -1;
        size_t n = 0;
        for (int32_t b = 0; b < 256; b++)
            if (allowed[FIRST_BYTE + b]) list[n++] = b;
        assert_true(n > 0);
        for (const char *p = "\"]}"; *p && id < 0; p++)
            if (allowed[FIRST_BYTE + *p] && mk_rng_f64(r) < 0.1) id = *p;
        if (id < 0) id = list[mk_rng_u64(r) % n];
        assert_true(mk_constraint_accept(c, FIRST_BYTE + id));
        mk_str_addc(&out, (char)id);
    }
    if (out.len < n_max) assert_true(mk_constraint_may_end(c));
    mk_constraint_free(c);
    return out;
}
#endif
