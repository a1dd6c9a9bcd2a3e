#ifndef MK_TRAIN_RUN_H
#define MK_TRAIN_RUN_H
/* The loop that all stages share: steps, learning rate, metrics, checkpoints, stopping and going
 * on.  A stage adds the gradients of one step; everything else happens here.
 *
 * What a run computes depends on its options and the number of steps done, never on time,
 * threads, or how often it was stopped: a stage draws from (seed, step) and keeps cursors in its
 * state. */
#include "train/checkpoint.h"
#include "train/learner.h"
#include "train/metrics.h"

#include <stdatomic.h>

struct mk_run_options {
    const char *out;      /* the run's folder */
    const char *command;  /* "pretrain": for messages and run.json */
    const char *json;     /* the stage's options as a JSON object, for run.json */
    const char *identity; /* the part of them that must not change between stop and resume */
    uint64_t n_steps;
    double minutes;      /* stop after that long, to be resumed; 0: no limit */
    uint64_t save_every; /* steps; 0: at the end alone */
    uint64_t eval_every; /* steps; 0: never */
    size_t keep;         /* checkpoints, 0: all */
    struct mk_schedule schedule;
    const atomic_bool *stop; /* asks for a checkpoint and an early end; may be NULL */
};

struct mk_run;
struct mk_stage {
    /* Adds the gradients of step r->step and puts what it measured into r->metrics.  When it fails
     * and says r->is_intact, everything is as before the step, and a checkpoint can be made. */
    bool (*step)(void *self, struct mk_run *r, struct mk_err *err);
    /* Measures on held-out data; may be NULL. */
    bool (*eval)(void *self, struct mk_run *r, struct mk_err *err);
    /* The stage's cursors, as members of a JSON object (json_t *). */
    void (*save)(void *self, void *json);
    bool (*load)(void *self, const void *json, struct mk_err *err);
};

/* What the terminal shows of a step. */
struct mk_progress {
    uint64_t step, n_steps;
    const char *label; /* what value is: "loss", "reward" */
    double value, lr, norm, toks_per_s, peak_share, eta_s;
    const char *warning; /* new one, or NULL */
};
typedef void mk_progress_fn(void *arg, const struct mk_progress *p);

struct mk_run {
    struct mk_run_options o;
    struct mk_learner learner;
    struct mk_tokenizer *tokenizer;
    struct mk_metrics *metrics;
    uint64_t step; /* steps done */
    double lr;     /* of this step */
    struct mk_lock lock;
    size_t n_tok; /* tokens the stage learned from in this step */
    double flops; /* useful ones of this step */
    double value; /* the stage's headline */
    const char *label;
    double flops_per_tok, peak_flops;
    bool is_intact;   /* see struct mk_stage */
    float *reference; /* [params.n] the stage's, saved and loaded with the parameters; or NULL */
    size_t n_refused; /* steps in a row whose gradients were no numbers */
    char *resumed_from;
    mk_progress_fn *progress;
    void *progress_arg;
};

/* Opens the newest checkpoint of o->out, or else `from`: a model folder, or a config.json
 * (t->is_new is set by that) with the tokenizer of the folder it lies in.  Adapters need `from`
 * each time.  A new run leaves nothing on disk before mk_run_go(). */
bool mk_run_open(struct mk_run *r, const struct mk_run_options *o, const char *from,
                 struct mk_trainable *t, const struct mk_learner_options *lo,
                 struct mk_err *err) MK_CHECKED;
/* Until the last step, the time limit or a stop; leaves a checkpoint. */
bool mk_run_go(struct mk_run *r, const struct mk_stage *stage, void *self,
               struct mk_err *err) MK_CHECKED;
void mk_run_close(struct mk_run *r); /* zeroed is valid */
#endif
