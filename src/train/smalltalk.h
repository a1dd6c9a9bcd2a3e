#ifndef MK_TRAIN_SMALLTALK_H
#define MK_TRAIN_SMALLTALK_H
/* Plain English for a model that can only solve puzzles: greetings, thanks, questions about
 * itself, and polite refusals of everything else that people type into a chat.  Questions vary
 * widely (spelling mistakes too); answers come from a small set and always mean the same. */
#include "train/task.h"

/* Replaces the three texts by one exchange.  The same rng gives the same exchange. */
void mk_smalltalk_make(struct mk_str *prompt, struct mk_str *thought, struct mk_str *answer,
                       struct mk_rng *rng);
/* Exchange number index of (seed, split), by the hash of its prompt as mk_task_draw. */
void mk_smalltalk_draw(struct mk_str *prompt, struct mk_str *thought, struct mk_str *answer,
                       uint64_t seed, uint64_t index, enum mk_split split);
/* Whether got (spaces around it do not count) is an answer that would do as well as answer, which
 * came from mk_smalltalk_make: one to the same kind of question. */
bool mk_smalltalk_same(const struct mk_str *answer, const char *got, size_t n);
#endif
