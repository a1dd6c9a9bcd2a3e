/* Files to learn from: JSONL in its three forms and token files, through every template that a
 * conversation can be rendered with.  What was taken gives sequences that fit. */
#include "fuzz.h"

#include "chat/chat.h"
#include "token/train.h"
#include "train/data.h"

#include <stdlib.h>

enum { N_CTX = 24 };

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

static void check(const struct mk_seqs *s, int32_t n_vocab)
{
    for (size_t i = 0; i < s->n; i++) {
        must(mk_seqs_len(s, i) >= 2 && mk_seqs_len(s, i) <= N_CTX);
        must(s->weight[s->start[i]] == 0);
    }
    for (size_t k = 0; k < s->n_tok; k++) must(s->tok[k] >= 0 && s->tok[k] < n_vocab);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mk_tokenizer *t = tokenizer();
    for (size_t i = 0; mk_templates[i]; i++) {
        const struct mk_data_options o = {.tokenizer = t,
                                          .chat_template = mk_templates[i]->name,
                                          .n_ctx = N_CTX,
                                          .n_epochs = 2,
                                          .seed = 1,
                                          .allow_duplicates = i & 1};
        struct mk_source s;
        struct mk_seqs q = {0};
        struct mk_err err = {0};
        if (!mk_source_open_bytes(&s, data, size, "fuzz", &o, &err)) {
            must(err.code != MK_OK && err.msg[0]);
            continue;
        }
        while (mk_source_next(&s, &q, N_CTX)) {}
        must(q.n == 2 * s.n_epoch && s.about);
        check(&q, mk_token_count(t));
        mk_seqs_release(&q);
        mk_source_close(&s);
    }
    return 0;
}
