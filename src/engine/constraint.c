#include "engine/constraint.h"

#include "engine/int_automaton.h"

#include <stdlib.h>
#include <string.h>

/* Visits of cells while one set of tokens is found, before longer tokens are given up. */
enum { MAX_WORK = 4 << 20 };

struct mk_constraint {
    struct mk_automaton automaton;
    const struct mk_lexicon *lexicon;
    uint32_t state;
    int32_t *ends;
    size_t n_ends;
    uint32_t *path; /* [longest + 1] states along a word */
    bool *allowed;  /* [n_vocab] */
};

static int compare(const void *x, const void *y)
{
    const int32_t a = *(const int32_t *)x, b = *(const int32_t *)y;
    return a < b ? -1 : a > b;
}

static bool check_tokens(const struct mk_grammar *g, const struct mk_lexicon *l, struct mk_err *err)
{
    for (size_t i = 0; i < g->n_nodes; i++) {
        const struct mk_node *n = &g->nodes[i];
        if (n->kind == MK_NODE_TOKEN &&
            !bsearch(&n->token, l->tags, l->n_tags, sizeof *l->tags, compare))
            return mk_fail(err, MK_EUSAGE, "the grammar names token %d, which is not special",
                           (int)n->token);
    }
    return true;
}

bool mk_constraint_new(struct mk_constraint **out, const struct mk_grammar *g,
                       const struct mk_lexicon *l, const int32_t *ends, size_t n_ends,
                       struct mk_err *err)
{
    if (!check_tokens(g, l, err)) return false;
    struct mk_constraint *c = mk_alloc(sizeof *c);
    mk_automaton_init(&c->automaton, g);
    c->lexicon = l;
    c->ends = mk_calloc(n_ends, sizeof *c->ends);
    if (n_ends) memcpy(c->ends, ends, n_ends * sizeof *ends);
    c->n_ends = n_ends;
    c->path = mk_calloc(l->longest + 1, sizeof *c->path);
    c->allowed = mk_calloc(l->n_vocab, sizeof *c->allowed);
    c->state = mk_automaton_start(&c->automaton);
    *out = c;
    return true;
}

void mk_constraint_free(struct mk_constraint *c)
{
    if (!c) return;
    mk_automaton_release(&c->automaton);
    free(c->ends), free(c->path), free(c->allowed);
    free(c);
}

static bool is_end(const struct mk_constraint *c, int32_t id)
{
    for (size_t i = 0; i < c->n_ends; i++)
        if (c->ends[i] == id) return true;
    return false;
}

/* ---- the set of allowed tokens ------------------------------------------------------- */

static void add(uint32_t *mask, int32_t id) { mask[id >> 5] |= (uint32_t)1 << (id & 31); }

/* Follows a word from where it leaves the one before.  Returns how many bytes fit. */
static size_t follow(struct mk_constraint *c, const struct mk_word *w, uint64_t budget)
{
    struct mk_automaton *a = &c->automaton;
    const unsigned char *bytes = (const unsigned char *)c->lexicon->bytes + w->at;
    for (size_t i = w->shared; i < w->len; i++) {
        if (i && (a->n_work > budget || mk_automaton_is_full(a, 2))) return i;
        c->path[i + 1] = mk_automaton_byte(a, c->path[i], bytes[i]);
        if (!c->path[i + 1]) return i;
    }
    return w->len;
}

/* The bits of the tokens allowed in a state. */
static uint32_t *find_allowed(struct mk_constraint *c, uint32_t state)
{
    struct mk_automaton *a = &c->automaton;
    const struct mk_lexicon *l = c->lexicon;
    uint32_t *mask = mk_calloc(l->n_vocab / 32 + 1, sizeof *mask);
    /* First single bytes, whatever they cost, so that something is allowed. */
    for (unsigned b = 0; b < 256; b++) mk_automaton_byte(a, state, b);
    const uint64_t budget = a->n_work + MAX_WORK;
    size_t fits = SIZE_MAX; /* bytes of the last word that can be */
    c->path[0] = state;
    for (size_t i = 0; i < l->n_words; i++) {
        const struct mk_word *w = &l->words[i];
        if (w->shared > fits) continue; /* the byte that did not fit is in this one too */
        fits = follow(c, w, budget);
        if (fits < w->len) continue;
        add(mask, w->id);
        fits = SIZE_MAX;
    }
    for (size_t i = 0; i < l->n_tags; i++)
        if (mk_automaton_token(a, state, l->tags[i], is_end(c, l->tags[i]))) add(mask, l->tags[i]);
    a->states[state].mask = mask;
    a->n_masks++;
    return mask;
}

/* Where it goes with a token that is no end; 0: nowhere. */
static uint32_t after(struct mk_constraint *c, int32_t id)
{
    struct mk_automaton *a = &c->automaton;
    const struct mk_lexicon *l = c->lexicon;
    if (!l->word_of[id]) return mk_automaton_token(a, c->state, id, is_end(c, id));
    const struct mk_word *w = &l->words[l->word_of[id] - 1];
    uint32_t state = c->state;
    for (size_t i = 0; i < w->len && state; i++)
        state = mk_automaton_byte(a, state, (unsigned char)l->bytes[w->at + i]);
    return state;
}

static bool can_finish(struct mk_constraint *c, int32_t id, size_t n_left)
{
    const uint32_t state = after(c, id);
    return state && mk_automaton_cost(&c->automaton, state) < n_left;
}

/* Takes away what cannot be finished, if anything is left then. */
static void keep_short(struct mk_constraint *c, size_t n_left)
{
    bool *kept = mk_calloc(c->lexicon->n_vocab, sizeof *kept);
    size_t n = 0;
    for (size_t i = 0; i < c->lexicon->n_vocab; i++)
        if (c->allowed[i] && (is_end(c, (int32_t)i) || can_finish(c, (int32_t)i, n_left)))
            kept[i] = true, n++;
    if (n) memcpy(c->allowed, kept, c->lexicon->n_vocab * sizeof *kept);
    free(kept);
}

bool mk_constraint_fits(struct mk_constraint *c, int32_t id, size_t n_left)
{
    if (n_left == SIZE_MAX || can_finish(c, id, n_left)) return true;
    c->allowed[id] = false;
    for (size_t i = 0; i < c->lexicon->n_vocab; i++)
        if (c->allowed[i]) return false;
    return true;
}

/* From so many tokens to spare on each token is tried out before it is sampled. */
enum { SPARE = 16 };

const bool *mk_constraint_allowed(struct mk_constraint *c, size_t n_left)
{
    struct mk_automaton *a = &c->automaton;
    if (mk_automaton_is_full(a, 1)) c->state = mk_automaton_forget(a, c->state);
    const uint32_t like = mk_automaton_like(a, c->state, (uint32_t)c->lexicon->longest);
    const uint32_t *mask = a->states[like].mask;
    if (!mask) mask = find_allowed(c, like);
    for (size_t i = 0; i < c->lexicon->n_vocab; i++) c->allowed[i] = mask[i >> 5] >> (i & 31) & 1;
    const bool whole = mk_constraint_may_end(c);
    for (size_t i = 0; i < c->n_ends; i++)
        if ((size_t)c->ends[i] < c->lexicon->n_vocab) c->allowed[c->ends[i]] |= whole;
    if (n_left != SIZE_MAX && n_left < (size_t)mk_automaton_cost(a, c->state) + SPARE)
        keep_short(c, n_left);
    return c->allowed;
}

/* ---- what has come ------------------------------------------------------------------- */

bool mk_constraint_accept(struct mk_constraint *c, int32_t id)
{
    struct mk_automaton *a = &c->automaton;
    if (id < 0 || (size_t)id >= c->lexicon->n_vocab) return false;
    if (mk_automaton_is_full(a, 1)) c->state = mk_automaton_forget(a, c->state);
    const uint32_t state = after(c, id);
    if (state) c->state = state;
    return state != 0;
}

bool mk_constraint_may_end(const struct mk_constraint *c)
{
    return mk_automaton_is_whole(&c->automaton, c->state);
}

bool mk_constraint_must_end(const struct mk_constraint *c)
{
    return mk_automaton_is_over(&c->automaton, c->state);
}
