#ifndef MK_ENGINE_CONSTRAINT_H
#define MK_ENGINE_CONSTRAINT_H
/* One generation under a grammar: which tokens may come next, and what has come.
 *
 * The set of allowed tokens is found by walking the lexicon along the grammar and is remembered
 * for the grammar's state, so the middle of a string costs a walk once.  Work and memory are
 * bounded: past a budget (some tenth of a second, 60 MB; met by hostile patterns only) longer
 * tokens are not tried, single bytes always are.  Something is always allowed: tokens or the end.
 *
 * Owned by one thread. */
#include "engine/grammar.h"
#include "engine/lexicon.h"

struct mk_constraint;
/* Keeps grammar and lexicon.  ends: the tokens that end the turn, copied.  Fails when the grammar
 * names a token that is none of the lexicon's special tokens and tags. */
bool mk_constraint_new(struct mk_constraint **out, const struct mk_grammar *g,
                       const struct mk_lexicon *l, const int32_t *ends, size_t n_ends,
                       struct mk_err *err) MK_CHECKED;
void mk_constraint_free(struct mk_constraint *c); /* NULL is fine */
/* [n_vocab of the lexicon] until the next call.  Ends are allowed where the text is whole.  n_left:
 * so many tokens may still come (SIZE_MAX: no limit); where they get scarce only those are allowed
 * after which the text can still become whole. */
const bool *mk_constraint_allowed(struct mk_constraint *c, size_t n_left);
/* Whether the text can become whole in n_left tokens, of which id, an allowed one, is the first. If
 * not it is no longer allowed, unless there is no other. */
bool mk_constraint_fits(struct mk_constraint *c, int32_t id, size_t n_left);
/* The next token, not an end.  False, and nothing changes, when it cannot come. */
bool mk_constraint_accept(struct mk_constraint *c, int32_t id);
bool mk_constraint_may_end(const struct mk_constraint *c);
bool mk_constraint_must_end(const struct mk_constraint *c); /* nothing else can come */
#endif
