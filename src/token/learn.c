/* Choosing merges: the most frequent pair of neighbours in all words, again and again.
 *
 *   words    l o w   x5      l o w e r   x2
 *   pairs    (l,o) 7 in both   (o,w) 7 in both   (w,e) 2 in the second ...
 *
 * Each pair knows how often it occurs and in which words, so that a merge visits only the words
 * it changes: their pairs are taken off the counts, the word is merged, its pairs are counted
 * again.  A heap gives the most frequent pair.  Its entries are never changed: one whose count
 * is no longer true is put back with the true count, or dropped if the pair has a newer one. */
#include "token/int_train.h"

#include <stdlib.h>
#include <string.h>

/* ---- texts ---- */

void mk_texts_release(struct mk_texts *t)
{
    mk_str_release(&t->bytes);
    free(t->list);
    free(t->slots);
    *t = (struct mk_texts){0};
}

static uint64_t mix(uint64_t h)
{
    h *= 0x9e3779b97f4a7c15ull;
    return h ^ h >> 32;
}

static uint64_t hash_text(const char *s, size_t n)
{
    uint64_t h = n;
    for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)s[i]) * 0x100000001b3ull;
    return mix(h);
}

static void texts_grow(struct mk_texts *t)
{
    t->n_slots = t->n_slots ? 2 * t->n_slots : 1024;
    free(t->slots);
    t->slots = mk_calloc(t->n_slots, sizeof *t->slots);
    for (size_t i = 0; i < t->n; i++) {
        size_t k = hash_text(mk_texts_at(t, i), t->list[i].len) & (t->n_slots - 1);
        while (t->slots[k]) k = (k + 1) & (t->n_slots - 1);
        t->slots[k] = (uint32_t)i + 1;
    }
}

uint32_t mk_texts_put(struct mk_texts *t, const char *s, size_t n)
{
    if (2 * t->n >= t->n_slots) texts_grow(t);
    size_t k = hash_text(s, n) & (t->n_slots - 1);
    for (; t->slots[k]; k = (k + 1) & (t->n_slots - 1)) {
        struct mk_text *e = &t->list[t->slots[k] - 1];
        if (e->len != n || memcmp(t->bytes.data + e->at, s, n)) continue;
        e->count++;
        return t->slots[k] - 1;
    }
    if (t->n == t->cap) {
        t->cap = t->cap ? 2 * t->cap : 512;
        t->list = mk_realloc(t->list, t->cap * sizeof *t->list);
    }
    t->list[t->n] = (struct mk_text){t->bytes.len, (uint32_t)n, 1};
    mk_str_append(&t->bytes, s, n);
    t->slots[k] = (uint32_t)++t->n;
    return (uint32_t)t->n - 1;
}

void mk_learned_release(struct mk_learned *l)
{
    mk_texts_release(&l->tokens);
    free(l->merges);
    *l = (struct mk_learned){0};
}

/* ---- words and pairs ---- */

struct word {
    size_t from; /* into sym */
    uint32_t n;
    uint64_t count;
};
struct pair {
    int32_t left, right;
    uint64_t count;
    uint32_t words;   /* list of nodes, index + 1: every word with this pair, and some without */
    uint32_t touched; /* number of the last merge that made it occur somewhere */
    bool is_forbidden, has_merge;
};
struct node {
    uint32_t word, next;
};
struct entry {
    uint64_t count;
    uint32_t pair;
};
struct learner {
    struct mk_learned *out;
    struct word *words;
    int32_t *sym;
    struct pair *pairs;
    size_t n_pairs, cap_pairs;
    uint32_t *slots; /* pair + 1 */
    size_t n_slots;
    struct node *nodes;
    size_t n_nodes, cap_nodes;
    uint32_t free_node;
    struct entry *heap;
    size_t n_heap, cap_heap;
    uint32_t *touched; /* pairs */
    size_t n_touched, cap_touched;
    uint32_t round;
};

/* Room for one more. */
static void *grow(void *list, size_t n, size_t *cap, size_t size)
{
    if (n < *cap) return list;
    *cap = *cap ? 2 * *cap : 1024;
    return mk_realloc(list, *cap * size);
}

static size_t slot_of(const struct learner *l, int32_t left, int32_t right)
{
    size_t k = mix((uint64_t)(uint32_t)left << 32 | (uint32_t)right) & (l->n_slots - 1);
    for (; l->slots[k]; k = (k + 1) & (l->n_slots - 1)) {
        const struct pair *p = &l->pairs[l->slots[k] - 1];
        if (p->left == left && p->right == right) break;
    }
    return k;
}

static uint32_t pair_of(struct learner *l, int32_t left, int32_t right)
{
    if (2 * l->n_pairs >= l->n_slots) {
        l->n_slots = l->n_slots ? 2 * l->n_slots : 4096;
        free(l->slots);
        l->slots = mk_calloc(l->n_slots, sizeof *l->slots);
        for (size_t i = 0; i < l->n_pairs; i++)
            l->slots[slot_of(l, l->pairs[i].left, l->pairs[i].right)] = (uint32_t)i + 1;
    }
    const size_t k = slot_of(l, left, right);
    if (l->slots[k]) return l->slots[k] - 1;
    l->pairs = grow(l->pairs, l->n_pairs, &l->cap_pairs, sizeof *l->pairs);
    l->pairs[l->n_pairs] = (struct pair){.left = left, .right = right};
    l->slots[k] = (uint32_t)++l->n_pairs;
    return (uint32_t)l->n_pairs - 1;
}

static void link_word(struct learner *l, struct pair *p, uint32_t word)
{
    if (p->words && l->nodes[p->words - 1].word == word) return;
    uint32_t at = l->free_node;
    if (at) {
        l->free_node = l->nodes[at - 1].next;
    } else {
        l->nodes = grow(l->nodes, l->n_nodes, &l->cap_nodes, sizeof *l->nodes);
        at = (uint32_t)++l->n_nodes;
    }
    l->nodes[at - 1] = (struct node){word, p->words};
    p->words = at;
}

static void touch(struct learner *l, uint32_t pair)
{
    if (l->pairs[pair].touched == l->round) return;
    l->pairs[pair].touched = l->round;
    l->touched = grow(l->touched, l->n_touched, &l->cap_touched, sizeof *l->touched);
    l->touched[l->n_touched++] = pair;
}

/* Counts the pairs of a word.  Those with the symbol id (-1: all) are new in it. */
static void count_word(struct learner *l, uint32_t word, int32_t id)
{
    const struct word *w = &l->words[word];
    const int32_t *s = l->sym + w->from;
    for (uint32_t i = 0; i + 1 < w->n; i++) {
        const uint32_t p = pair_of(l, s[i], s[i + 1]);
        l->pairs[p].count += w->count;
        if (id >= 0 && s[i] != id && s[i + 1] != id) continue;
        link_word(l, &l->pairs[p], word);
        touch(l, p);
    }
}

static void discount_word(struct learner *l, uint32_t word)
{
    const struct word *w = &l->words[word];
    const int32_t *s = l->sym + w->from;
    for (uint32_t i = 0; i + 1 < w->n; i++) l->pairs[pair_of(l, s[i], s[i + 1])].count -= w->count;
}

/* ---- the heap: the most frequent first, of equals the lowest ids ---- */

static bool is_before(const struct learner *l, struct entry a, struct entry b)
{
    if (a.count != b.count) return a.count > b.count;
    const struct pair *p = &l->pairs[a.pair], *q = &l->pairs[b.pair];
    return p->left != q->left ? p->left < q->left : p->right < q->right;
}

static void push(struct learner *l, uint32_t pair)
{
    const struct entry e = {l->pairs[pair].count, pair};
    l->heap = grow(l->heap, l->n_heap, &l->cap_heap, sizeof *l->heap);
    size_t i = l->n_heap++;
    for (; i && is_before(l, e, l->heap[(i - 1) / 2]); i = (i - 1) / 2)
        l->heap[i] = l->heap[(i - 1) / 2];
    l->heap[i] = e;
}

static struct entry pop(struct learner *l)
{
    const struct entry top = l->heap[0], e = l->heap[--l->n_heap];
    size_t i = 0;
    for (size_t c; (c = 2 * i + 1) < l->n_heap; i = c) {
        if (c + 1 < l->n_heap && is_before(l, l->heap[c + 1], l->heap[c])) c++;
        if (!is_before(l, l->heap[c], e)) break;
        l->heap[i] = l->heap[c];
    }
    l->heap[i] = e;
    return top;
}

/* ---- merging ---- */

static bool has_pair(const struct learner *l, const struct word *w, int32_t left, int32_t right)
{
    const int32_t *s = l->sym + w->from;
    for (uint32_t i = 0; i + 1 < w->n; i++)
        if (s[i] == left && s[i + 1] == right) return true;
    return false;
}

static void merge_word(struct learner *l, struct word *w, int32_t left, int32_t right, int32_t id)
{
    int32_t *s = l->sym + w->from;
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->n; i++) {
        const bool hit = i + 1 < w->n && s[i] == left && s[i + 1] == right;
        s[n++] = hit ? id : s[i];
        i += hit;
    }
    w->n = n;
}

static void merge_pair(struct learner *l, uint32_t pair, int32_t id)
{
    const int32_t left = l->pairs[pair].left, right = l->pairs[pair].right;
    uint32_t at = l->pairs[pair].words;
    l->pairs[pair].words = 0;
    l->round++;
    l->n_touched = 0;
    while (at) {
        const struct node node = l->nodes[at - 1];
        l->nodes[at - 1].next = l->free_node;
        l->free_node = at;
        at = node.next;
        if (!has_pair(l, &l->words[node.word], left, right)) continue;
        discount_word(l, node.word);
        merge_word(l, &l->words[node.word], left, right, id);
        count_word(l, node.word, id);
    }
    for (size_t i = 0; i < l->n_touched; i++) push(l, l->touched[i]);
}

/* The token that a pair makes, -1 if its text is forbidden. */
static int32_t token_of(struct learner *l, const struct pair *p)
{
    struct mk_texts *t = &l->out->tokens;
    struct mk_str text = {0};
    mk_str_append(&text, mk_texts_at(t, (size_t)p->left), t->list[p->left].len);
    mk_str_append(&text, mk_texts_at(t, (size_t)p->right), t->list[p->right].len);
    const uint32_t id = mk_texts_put(t, text.data, text.len);
    mk_str_release(&text);
    return id < l->out->n_given ? -1 : (int32_t)id;
}

/* Different pairs can make the same token.  A pair whose parts come together once more after it
 * was merged, because another merge made one of them, is merged by its first rule. */
static void take_pair(struct learner *l, uint32_t pair)
{
    const int32_t id = token_of(l, &l->pairs[pair]);
    if (id < 0) {
        l->pairs[pair].is_forbidden = true;
        return;
    }
    struct mk_learned *out = l->out;
    if (!l->pairs[pair].has_merge) {
        out->merges = grow(out->merges, out->n_merges, &out->cap_merges, sizeof *out->merges);
        out->merges[out->n_merges++] =
            (struct mk_merge){l->pairs[pair].left, l->pairs[pair].right, id};
        l->pairs[pair].has_merge = true;
    }
    merge_pair(l, pair, id);
}

static void learner_init(struct learner *l, const struct mk_texts *words)
{
    l->words = mk_calloc(words->n, sizeof *l->words);
    l->sym = mk_calloc(words->bytes.len, sizeof *l->sym);
    for (size_t i = 0; i < words->bytes.len; i++) l->sym[i] = (unsigned char)words->bytes.data[i];
    l->round = 1;
    for (uint32_t i = 0; i < words->n; i++) {
        const struct mk_text *w = &words->list[i];
        l->words[i] = (struct word){w->at, w->len, w->count};
        count_word(l, i, -1);
    }
    for (uint32_t i = 0; i < l->n_pairs; i++) push(l, i);
}

static void learner_release(struct learner *l)
{
    free(l->words);
    free(l->sym);
    free(l->pairs);
    free(l->slots);
    free(l->nodes);
    free(l->heap);
    free(l->touched);
}

void mk_bpe_learn(struct mk_learned *out, const struct mk_texts *words, size_t n_new,
                  mk_bpe_progress_fn *progress, void *arg)
{
    struct learner l = {.out = out};
    learner_init(&l, words);
    const size_t from = out->tokens.n, want = from + n_new;
    while (out->tokens.n < want && l.n_heap && l.heap[0].count > 1) {
        const struct entry e = pop(&l);
        const struct pair *p = &l.pairs[e.pair];
        if (p->is_forbidden || p->count > e.count) continue;
        if (p->count < e.count) {
            if (p->count) push(&l, e.pair);
            continue;
        }
        const size_t before = out->tokens.n;
        take_pair(&l, e.pair);
        if (progress && out->tokens.n > before) progress(arg, out->tokens.n - from, n_new);
    }
    learner_release(&l);
}
