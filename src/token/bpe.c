/* Byte pair encoding of one piece: of all adjacent pairs that merge, merge the one of
 * lowest rank, the leftmost of equals, until none is left.
 *
 * Three ways to the same result:
 *   a piece whose bytes are a token is that token if merging leads there, which is
 *   worked out once for each token;
 *   a short piece is searched for its lowest rank again after each merge, O(n^2);
 *   a long piece keeps its pairs in a heap ordered by (rank, position), O(n log n). */
#include "token/int_token.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { SHORT = 64 };
/* Nothing real is longer; the cut bounds the memory of one piece to 0.6 GB. */
static const size_t MAX_PIECE = (size_t)16 << 20;
static const uint32_t NO_RANK = UINT32_MAX, NONE = UINT32_MAX;

struct pair {
    uint32_t rank;
    int32_t id;
};

static struct pair look_up(const struct mk_vocab *v, int32_t left, int32_t right)
{
    const struct mk_merge_slot *m = mk_vocab_merge(v, left, right);
    return m ? (struct pair){m->rank, m->id} : (struct pair){NO_RANK, -1};
}

static size_t merge_short(const struct mk_vocab *v, int32_t *sym, size_t n)
{
    struct pair pair[SHORT]; /* pair[i]: of sym[i] and sym[i + 1] */
    for (size_t i = 0; i + 1 < n; i++) pair[i] = look_up(v, sym[i], sym[i + 1]);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (pair[i].rank < pair[best].rank) best = i;
        if (pair[best].rank == NO_RANK) break;
        sym[best] = pair[best].id;
        memmove(sym + best + 1, sym + best + 2, (n - best - 2) * sizeof *sym);
        memmove(pair + best, pair + best + 1, (n - best - 2) * sizeof *pair);
        n--;
        if (best > 0) pair[best - 1] = look_up(v, sym[best - 1], sym[best]);
        if (best + 1 < n) pair[best] = look_up(v, sym[best], sym[best + 1]);
    }
    return n;
}

/* ---- long pieces ---- */

struct mk_bpe_sym { /* a doubly linked list in an array */
    int32_t id;     /* -1: merged into its left neighbour */
    uint32_t prev, next;
    struct pair with_next;
};

struct heap {
    uint64_t *v; /* rank << 32 | position, the smallest first */
    size_t n;
};

static void sift_down(struct heap *h, size_t i)
{
    const uint64_t x = h->v[i];
    for (size_t c; (c = 2 * i + 1) < h->n; i = c) {
        if (c + 1 < h->n && h->v[c + 1] < h->v[c]) c++;
        if (h->v[c] >= x) break;
        h->v[i] = h->v[c];
    }
    h->v[i] = x;
}

static void push(struct heap *h, uint64_t x)
{
    size_t i = h->n++;
    for (; i > 0 && h->v[(i - 1) / 2] > x; i = (i - 1) / 2) h->v[i] = h->v[(i - 1) / 2];
    h->v[i] = x;
}

static uint64_t pop(struct heap *h)
{
    const uint64_t x = h->v[0];
    h->v[0] = h->v[--h->n];
    if (h->n) sift_down(h, 0);
    return x;
}

/* Looks the pair at i up and says whether it merges. */
static bool set_pair(const struct mk_vocab *v, struct mk_bpe_sym *s, uint32_t i)
{
    s[i].with_next =
        s[i].next == NONE ? (struct pair){NO_RANK, -1} : look_up(v, s[i].id, s[s[i].next].id);
    return s[i].with_next.rank != NO_RANK;
}

static uint64_t entry(const struct mk_bpe_sym *s, uint32_t i)
{
    return (uint64_t)s[i].with_next.rank << 32 | i;
}

/* An entry of the heap is stale when its position was merged away or has another pair
 * by now.  One merge pops one entry and pushes two: 2 n entries are enough. */
static void merge_long(const struct mk_vocab *v, struct mk_bpe_sym *s, size_t n, uint64_t *room)
{
    struct heap h = {room, 0};
    for (uint32_t i = 0; i < n; i++)
        if (set_pair(v, s, i)) h.v[h.n++] = entry(s, i);
    for (size_t i = h.n / 2; i-- > 0;) sift_down(&h, i);
    while (h.n) {
        const uint64_t x = pop(&h);
        const uint32_t i = (uint32_t)x, prev = s[i].prev;
        if (s[i].id < 0 || s[i].with_next.rank != x >> 32) continue;
        const uint32_t gone = s[i].next;
        s[i].id = s[i].with_next.id;
        s[i].next = s[gone].next;
        s[gone].id = -1;
        if (s[i].next != NONE) s[s[i].next].prev = i;
        if (set_pair(v, s, i)) push(&h, entry(s, i));
        if (prev != NONE && set_pair(v, s, prev)) push(&h, entry(s, prev));
    }
}

void mk_bpe_work_release(struct mk_bpe_work *w)
{
    free(w->heap);
    free(w->syms);
    *w = (struct mk_bpe_work){0};
}

static void bpe_long(const struct mk_vocab *v, struct mk_bpe_work *w, const char *piece, size_t n,
                     struct mk_ids *out)
{
    if (n > w->cap) {
        mk_bpe_work_release(w);
        w->cap = 2 * n < MAX_PIECE ? 2 * n : n;
        w->heap = mk_calloc(w->cap, 2 * sizeof *w->heap);
        w->syms = mk_calloc(w->cap, sizeof *w->syms);
    }
    struct mk_bpe_sym *s = w->syms;
    for (uint32_t i = 0; i < n; i++) {
        s[i].id = v->byte_id[(uint8_t)piece[i]];
        s[i].prev = i ? i - 1 : NONE;
        s[i].next = i + 1 < n ? i + 1 : NONE;
    }
    merge_long(v, s, n, w->heap);
    for (uint32_t i = 0; i != NONE; i = s[i].next) mk_ids_add(out, s[i].id);
}

static void bpe_bytes(const struct mk_vocab *v, struct mk_bpe_work *w, const char *piece, size_t n,
                      struct mk_ids *out)
{
    if (n > SHORT) {
        bpe_long(v, w, piece, n, out);
        return;
    }
    int32_t sym[SHORT];
    for (size_t i = 0; i < n; i++) sym[i] = v->byte_id[(uint8_t)piece[i]];
    mk_ids_append(out, sym, merge_short(v, sym, n));
}

void mk_bpe(const struct mk_tokenizer *t, struct mk_bpe_work *w, const char *piece, size_t n,
            struct mk_ids *out)
{
    enum { UNKNOWN, SELF, OTHERS };
    const struct mk_vocab *v = &t->vocab;
    for (; n > MAX_PIECE; piece += MAX_PIECE, n -= MAX_PIECE)
        bpe_bytes(v, w, piece, MAX_PIECE, out);
    const int32_t id = mk_vocab_find(v, piece, n);
    const unsigned whole = id < 0 ? OTHERS
                           : t->ignore_merges
                               ? SELF
                               : atomic_load_explicit(&t->whole[id], memory_order_relaxed);
    if (whole == SELF) {
        mk_ids_add(out, id);
        return;
    }
    const size_t before = out->n;
    bpe_bytes(v, w, piece, n, out);
    if (whole == UNKNOWN) {
        const bool self = out->n == before + 1 && out->v[before] == id;
        atomic_store_explicit(&t->whole[id], self ? SELF : OTHERS, memory_order_relaxed);
    }
}
