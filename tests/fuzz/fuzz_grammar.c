/* Grammars.  The input is a schema or a regular expression, by its first byte, and after a zero
 * byte what is said under it.  What is allowed and what is accepted agree; what was compiled
 * always allows something; what can be drawn under a schema is JSON. */
#include "fuzz.h"

#include "engine/constraint.h"
#include "token/train.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_BYTE = 3, N_DRAWN = 60 };

static void must(bool fact)
{
    if (!fact) abort();
}

static struct mk_tokenizer *tokenizer(void)
{
    static struct mk_tokenizer *t;
    struct mk_bpe_trainer *b;
    if (t) return t;
    must(mk_bpe_trainer_new(&b, &(struct mk_bpe_options){.n_vocab = 263}, NULL) &&
         mk_bpe_trainer_run(b, NULL, NULL, &t, NULL));
    mk_bpe_trainer_free(b);
    return t;
}

/* The next token: what the input wants if that may come, else the next one that may. */
static int32_t choose(const bool *allowed, size_t n, unsigned want)
{
    for (size_t i = 0; i < n; i++) {
        const size_t id = (FIRST_BYTE + want + i) % n;
        if (allowed[id]) return (int32_t)id;
    }
    return -1;
}

static void drive(const struct mk_grammar *g, const uint8_t *say, size_t n, bool is_json)
{
    static struct mk_lexicon *l;
    if (!l) l = mk_lexicon_new(tokenizer(), (size_t)mk_token_count(tokenizer()));
    const int32_t eos = mk_token_eos(tokenizer());
    struct mk_constraint *c;
    must(mk_constraint_new(&c, g, l, &eos, 1, NULL));
    struct mk_str text = {0};
    bool is_whole = false;
    for (size_t i = 0; i < N_DRAWN && !is_whole; i++) {
        const bool *allowed = mk_constraint_allowed(c, SIZE_MAX);
        must(allowed[eos] == mk_constraint_may_end(c));
        const int32_t id = choose(allowed, l->n_vocab, i < n ? say[i] : '"');
        must(id >= 0);
        is_whole = id == eos;
        if (is_whole) break;
        const int32_t other = FIRST_BYTE + (i < n ? say[n - 1 - i] : 0);
        if (!allowed[other]) must(!mk_constraint_accept(c, other));
        must(mk_constraint_accept(c, id));
        mk_str_addc(&text, (char)(id - FIRST_BYTE));
    }
    if (is_json && is_whole) {
        json_t *v = json_loadb(mk_str_c(&text), text.len, JSON_DECODE_ANY, NULL);
        must(v != NULL);
        json_decref(v);
    }
    mk_str_release(&text);
    mk_constraint_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mk_grammar *g = NULL;
    struct mk_err err = {MK_OK, ""};
    if (size == 0) return 0;
    const bool is_regex = data[0] == '/';
    const char *text = (const char *)data + is_regex;
    const size_t n_all = size - is_regex;
    const size_t n = strnlen(text, n_all);
    const bool ok = is_regex ? mk_grammar_from_regex(&g, text, n, &err)
                             : mk_grammar_from_schema(&g, text, n, &err);
    if (!ok) {
        must(g == NULL && err.code != MK_OK && err.msg[0]);
        return 0;
    }
    const uint8_t *say = (const uint8_t *)text + (n < n_all ? n + 1 : n);
    drive(g, say, n < n_all ? n_all - n - 1 : 0, !is_regex);
    mk_grammar_free(g);
    return 0;
}
