#ifndef MK_TRAIN_STAGE_TEXT_H
#define MK_TRAIN_STAGE_TEXT_H
/* Pre-training and supervised fine-tuning: the next token of given sequences. */
#include "train/run.h"

struct mk_text_stage {
    struct mk_source source; /* borrowed */
    size_t batch_toks;       /* a step takes whole sequences until it has at least these */
    size_t n_ctx;
    struct mk_seqs seqs;
    bool (*eval)(void *arg, struct mk_run *r, struct mk_err *err); /* or NULL */
    void *eval_arg;
};
extern const struct mk_stage mk_text_stage; /* self: struct mk_text_stage * */
void mk_text_stage_release(struct mk_text_stage *s);
#endif
