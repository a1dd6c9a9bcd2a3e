#ifndef MK_CLI_VERIFY_H
#define MK_CLI_VERIFY_H
/* The second half of `minke verify`: a model against the pass that trains it. */
#include "model/model.h"

/* Runs built-in tokens through m and through the same checkpoint opened for training, recording,
 * and compares logits and greedy answers.  Prints a line for each; false when one does not hold.
 * Exits with a message when the checkpoint cannot be trained. */
bool mk_verify_training(const struct mk_model *m, const char *path, unsigned cpu);
#endif
