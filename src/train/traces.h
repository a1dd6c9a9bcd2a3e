#ifndef MK_TRAIN_TRACES_H
#define MK_TRAIN_TRACES_H
/* Rejection sampling: a teacher answers questions of the training split several times, and what
 * it solved becomes a file to fine-tune on (R1, section 2.3.3), which minke sft --data reads:
 *
 *   {"prompt":"7+5?","completion":"7+5=12</think>12","task":"add","toks":9}
 *
 * Answers that are wrong, cut off or not well formed are left out, and so is what was said before.
 *
 * While it is made the file is called PATH.part and has besides, first, the options of the run
 * and, after each wave of questions, how far it is; a kill loses the wave that was being made.
 * Going on gives the same bytes as never stopping. */
#include "train/questions.h"

#include <stdatomic.h>

enum mk_keep { /* of the right answers to a question */
               MK_KEEP_SHORTEST,
               MK_KEEP_HALF, /* the shorter half, rounded up */
               MK_KEEP_ALL
};
struct mk_traces_options {
    const char *path;
    const char *identity; /* JSON object of what must not change when it goes on */
    struct mk_questions *questions;
    uint64_t seed;
    size_t n_problems; /* in all */
    size_t n_samples;  /* of each */
    size_t max_new;
    float temperature;
    enum mk_opening opening;
    enum mk_keep keep;
    const atomic_bool *stop; /* asks to stop after a wave; may be NULL */
};

struct mk_traces_row { /* of a task */
    uint64_t n_problems, n_solved, n_answers, n_right, n_kept, n_kept_toks;
};
struct mk_traces { /* a value; what was made so far */
    struct mk_traces_row rows[MK_MAX_TASKS];
    uint64_t n_done;  /* questions */
    size_t n_forward; /* tokens computed since the start of the program */
    bool is_resumed;
};
typedef void mk_traces_fn(void *arg, const struct mk_traces *t, const struct mk_traces_options *o);

/* fn is called after each wave.  A stop leaves out->n_done below n_problems.  MK_EUSAGE when the
 * file is there already, or was begun with other options. */
bool mk_traces_make(struct mk_traces *out, const struct mk_traces_options *o,
                    const struct mk_model *m, struct mk_work *wk, const struct mk_tokenizer *t,
                    mk_traces_fn *fn, void *arg, struct mk_err *err) MK_CHECKED;
#endif
