#include "engine/lexicon.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

struct entry {
    const char *bytes;
    size_t n;
    int32_t id;
};

static int compare(const void *x, const void *y)
{
    const struct entry *a = x, *b = y;
    const int c = memcmp(a->bytes, b->bytes, a->n < b->n ? a->n : b->n);
    return c ? c : a->n != b->n ? (a->n < b->n ? -1 : 1) : (a->id > b->id) - (a->id < b->id);
}

static size_t shared(const struct entry *a, const struct entry *b)
{
    size_t n = 0;
    while (n < a->n && n < b->n && a->bytes[n] == b->bytes[n]) n++;
    return n;
}

struct mk_lexicon *mk_lexicon_new(const struct mk_tokenizer *t, size_t n_vocab)
{
    struct mk_lexicon *l = mk_alloc(sizeof *l);
    const size_t n_ids = (size_t)mk_token_count(t) < n_vocab ? (size_t)mk_token_count(t) : n_vocab;
    struct entry *list = mk_calloc(n_ids, sizeof *list);
    size_t n = 0, n_bytes = 0;
    l->n_vocab = n_vocab;
    l->tags = mk_calloc(n_ids, sizeof *l->tags);
    for (size_t i = 0; i < n_ids; i++) {
        struct entry e = {.id = (int32_t)i};
        e.bytes = mk_token_bytes(t, e.id, &e.n);
        if (mk_token_is_tag(t, e.id))
            l->tags[l->n_tags++] = e.id;
        else if (e.n)
            list[n++] = e, n_bytes += e.n;
    }
    qsort(list, n, sizeof *list, compare);
    l->words = mk_calloc(n, sizeof *l->words);
    l->word_of = mk_calloc(n_vocab, sizeof *l->word_of);
    l->bytes = mk_alloc(n_bytes);
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        l->words[i] = (struct mk_word){.at = (uint32_t)at,
                                       .len = (uint32_t)list[i].n,
                                       .shared = (uint32_t)(i ? shared(&list[i - 1], &list[i]) : 0),
                                       .id = list[i].id};
        l->word_of[list[i].id] = (uint32_t)i + 1;
        memcpy(l->bytes + at, list[i].bytes, list[i].n);
        at += list[i].n;
        if (list[i].n > l->longest) l->longest = list[i].n;
    }
    l->n_words = n;
    free(list);
    return l;
}

void mk_lexicon_free(struct mk_lexicon *l)
{
    if (!l) return;
    free(l->words);
    free(l->word_of);
    free(l->bytes);
    free(l->tags);
    free(l);
}
