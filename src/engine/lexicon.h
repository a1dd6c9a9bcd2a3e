#ifndef MK_ENGINE_LEXICON_H
#define MK_ENGINE_LEXICON_H
/* A tokenizer's ordinary tokens by their bytes: a trie, stored as the sorted list of its words
 * with the length of what each shares with the one before.  Walking the list and skipping all
 * that share a beginning which cannot be is a walk of the trie.
 *
 * Read-only once made; threads may share it. */
#include "token/token.h"

struct mk_lexicon {
    struct mk_word {
        uint32_t at, len;
        uint32_t shared; /* bytes in common with the word before */
        int32_t id;
    } * words; /* in the order of their bytes */
    size_t n_words;
    uint32_t *word_of; /* [n_vocab] of an id: index + 1 into words, 0: it is none */
    char *bytes;
    size_t longest; /* bytes of a word */
    int32_t *tags;  /* special tokens and tags, in order; they are not words */
    size_t n_tags, n_vocab;
};
/* Ids of n_vocab and more are left out.  About 0.1 s for 130,000 tokens. */
struct mk_lexicon *mk_lexicon_new(const struct mk_tokenizer *t, size_t n_vocab);
void mk_lexicon_free(struct mk_lexicon *l); /* NULL is fine */
#endif
