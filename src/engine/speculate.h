#ifndef MK_ENGINE_SPECULATE_H
#define MK_ENGINE_SPECULATE_H
/* Guessing the next tokens and evaluating the guesses in one step (Leviathan et al. 2023): reading
 * the weights once for several tokens is what makes it worth while.
 *
 *   timeline  ... the cat sat on | the dog ran        guesses: the mat and
 *   one step  logits behind "on", "on the", "on the mat", "on the mat and"
 *   sampling  from the first: "the", right; from the second: "dog", wrong: the rest is forgotten
 *
 * A guess decides nothing: every token is drawn from its own logits by its generation's sampler,
 * with one draw as always, and a row's bits do not depend on the rows beside it.  So text, ids, log
 * probabilities and random numbers are those of an answer without guesses, for all settings.
 *
 * Guesses come from
 *   ngram  what followed the last 4, 3, 2 or 1 tokens when they came before
 *   mtp    the model's own prediction layer (V3, section 2.2)
 *   draft  a small model with the same vocabulary, greedily
 *
 * How many are made, none included, is decided for each answer and step, so that most tokens a
 * second are expected: from the share of guesses that were right, the measured time of steps by
 * their number of rows, and the time that guessing takes.  What was not measured for a while is
 * tried again.  Nothing is guessed beside a prompt that is being read. */
#include <stdbool.h>
#include <stddef.h>

enum mk_speculate {
    MK_SPECULATE_OFF,
    MK_SPECULATE_AUTO, /* draft with a draft model, else ngram: it costs nothing while it is off */
    MK_SPECULATE_NGRAM,
    MK_SPECULATE_MTP,
    MK_SPECULATE_DRAFT
};
struct mk_speculation {
    enum mk_speculate mode;
    size_t max;        /* guesses at a time, 0: 8; at most MK_GUESS_MAX */
    const char *draft; /* path of the small model, or NULL */
    bool is_eager;     /* as many as allowed, whatever they cost: for tests and measurements */
};
enum { MK_GUESS_MAX = 16 };
#endif
