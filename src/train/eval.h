#ifndef MK_TRAIN_EVAL_H
#define MK_TRAIN_EVAL_H
/* How well a model solves held-out problems of the built-in tasks or of a file of one's own. */
#include "train/questions.h"
#include "train/run.h"

struct mk_eval_options {
    struct mk_questions *questions; /* borrowed */
    size_t n_problems;              /* of each task; of a file at most as many as it has */
    int level;                      /* see task.h; 0 is the standard */
    uint64_t seed;                  /* of the problems: held-out ones */
    size_t n_samples;               /* for sampled accuracy and pass@k; 0: greedy alone */
    float temperature;              /* of the samples */
    size_t max_new;
    enum mk_opening opening; /* what prompts end with */
    uint64_t sample_seed;
};

struct mk_eval_row { /* of a task, or of all */
    const char *name;
    size_t n;            /* problems */
    double greedy;       /* share solved by the most likely tokens */
    double lo, hi;       /* 95 % interval of greedy (Wilson 1927) */
    double sampled;      /* mean over samples */
    double pass_k;       /* share of problems that one of n_samples solves */
    double thought_toks; /* mean of the greedy answers */
    double truncated;    /* share of greedy answers that did not end */
};
struct mk_eval {              /* zeroed is valid; names are those of the questions */
    struct mk_eval_row *rows; /* tasks, then "all": the mean over problems */
    size_t n_rows;
    size_t n_forward; /* tokens computed */
    size_t n_generated;
    double generating_s; /* seconds, prompts included */
};
void mk_eval_release(struct mk_eval *e);
/* Rewards between 0 and 1, which own verifiers may give, count as that share.  Fails when nothing
 * is held out, when a question does not fit the model's context, and when a verifier command does
 * not do its work. */
bool mk_eval_run(struct mk_eval *out, const struct mk_model *m, struct mk_work *wk,
                 const struct mk_tokenizer *t, const struct mk_eval_options *o,
                 struct mk_err *err) MK_CHECKED;

/* The same with the model of a run; puts eval/greedy, eval/greedy/TASK, eval/thought_length and
 * eval/truncated into its metrics.  options: const struct mk_eval_options *; a stage's eval
 * function (mk_text_stage). */
bool mk_eval_stage(void *options, struct mk_run *r, struct mk_err *err) MK_CHECKED;
#endif
