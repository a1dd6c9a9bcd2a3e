#ifndef MK_TOKEN_INT_TRAIN_H
#define MK_TOKEN_INT_TRAIN_H
/* Between train.c, which counts words, and learn.c, which merges. */
#include "token/int_token.h"
#include "token/train.h"

/* Byte strings numbered in the order in which they come. */
struct mk_texts { /* zeroed is valid and empty */
    struct mk_str bytes;
    struct mk_text {
        size_t at;
        uint32_t len;
        uint64_t count; /* how often it was put */
    } * list;
    size_t n, cap;
    uint32_t *slots; /* index + 1; open addressing, at most half full */
    size_t n_slots;
};
void mk_texts_release(struct mk_texts *t);
uint32_t mk_texts_put(struct mk_texts *t, const char *s, size_t n); /* its number */
static inline const char *mk_texts_at(const struct mk_texts *t, size_t i)
{
    return t->bytes.data + t->list[i].at;
}

/* What was learned.  Tokens are numbered as in `tokens`: the 256 bytes, then texts that no
 * merge may make (given), then the new ones. */
struct mk_learned {
    struct mk_texts tokens;
    size_t n_given;          /* bytes and forbidden texts */
    struct mk_merge *merges; /* a token may be made in more than one way */
    size_t n_merges, cap_merges;
};
void mk_learned_release(struct mk_learned *l);
/* l->tokens holds the given ones; adds up to n_new. */
void mk_bpe_learn(struct mk_learned *l, const struct mk_texts *words, size_t n_new,
                  mk_bpe_progress_fn *progress, void *arg);
#endif
