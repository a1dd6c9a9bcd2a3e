/* Guesses from the timeline itself: what followed the last 4, 3, 2 or 1 tokens when they last came
 * (prompt lookup, Saxena 2023).  For each length a table from the hash of such a run to the
 * position behind it; a later run takes an earlier one's place, and so does another of the same
 * hash, which the look-up sees.  A token costs four entries, however long the timeline is. */
#include "engine/int_speculate.h"

#include <stdlib.h>
#include <string.h>

enum { LONGEST = MK_GUESS_KINDS, FIRST_CAP = 4096 };

struct ngram {
    const struct mk_session *session;
    uint32_t *at[LONGEST]; /* [cap] position behind a run of 1, 2, ... tokens; 0: none */
    size_t cap, n_entered; /* positions behind runs that are in the tables */
    size_t from;           /* what look() found */
};

static size_t slot(const struct ngram *g, const int32_t *run, size_t n)
{
    uint64_t h = n;
    for (size_t i = 0; i < n; i++) h = (h ^ (uint32_t)run[i]) * 0x9e3779b97f4a7c15ull;
    return (size_t)(h >> 32) & (g->cap - 1);
}

/* Room for n tokens, half of the tables empty. */
static void make_room(struct ngram *g, size_t n)
{
    if (g->cap >= 2 * n) return;
    size_t cap = g->cap ? g->cap : FIRST_CAP;
    while (cap < 2 * n) cap *= 2;
    for (size_t i = 0; i < LONGEST; i++) {
        free(g->at[i]);
        g->at[i] = mk_calloc(cap, sizeof *g->at[i]);
    }
    g->cap = cap;
    g->n_entered = 0;
}

static void enter(struct ngram *g, const int32_t *ids, size_t n)
{
    make_room(g, n);
    for (size_t i = g->n_entered; i < n; i++)
        for (size_t len = 1; len <= LONGEST && len <= i; len++)
            g->at[len - 1][slot(g, ids + i - len, len)] = (uint32_t)i;
    g->n_entered = n;
}

static int look(void *d)
{
    struct ngram *g = d;
    size_t n;
    const int32_t *ids = mk_session_ids(g->session, &n);
    enter(g, ids, n);
    for (size_t len = LONGEST < n ? LONGEST : n; len > 0; len--) {
        const int32_t *run = ids + n - len;
        g->from = g->at[len - 1][slot(g, run, len)];
        if (g->from >= len && !memcmp(ids + g->from - len, run, len * sizeof *run))
            return (int)len - 1;
    }
    return -1;
}

/* A copy that reaches the end of the timeline goes on with its own beginning. */
static size_t guess(void *d, size_t n, int32_t *out)
{
    const struct ngram *g = d;
    size_t n_ids;
    const int32_t *ids = mk_session_ids(g->session, &n_ids);
    for (size_t i = 0; i < n; i++) {
        const size_t at = g->from + i;
        out[i] = at < n_ids ? ids[at] : out[at - n_ids];
    }
    return n;
}

static void *open_ngram(struct mk_speculator *s, struct mk_session *session)
{
    (void)s;
    struct ngram *g = mk_alloc(sizeof *g);
    g->session = session;
    return g;
}

static void close_ngram(void *d)
{
    struct ngram *g = d;
    for (size_t i = 0; i < LONGEST; i++) free(g->at[i]);
    free(g);
}

const struct mk_drafter mk_drafter_ngram = {.name = "ngram",
                                            .first = {0.15f, 0.3f, 0.45f, 0.6f},
                                            .then = 0.6f,
                                            .is_free = true,
                                            .open = open_ngram,
                                            .close = close_ngram,
                                            .look = look,
                                            .guess = guess};
