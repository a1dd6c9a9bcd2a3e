#ifndef MK_TRAIN_ROLLOUT_H
#define MK_TRAIN_ROLLOUT_H
/* Answers of the model being trained, many at a time: every prompt is read once, its keys and
 * values are copied for each of its samples, and all live samples take each next token in one
 * forward pass.  Where samples end, those of the next prompts take their places.
 *
 * A sample's tokens depend on (seed, number of its prompt, number of the sample) and the
 * weights, never on what else is being generated. */
#include "model/model.h"
#include "train/data.h"

struct mk_rollout_options {
    size_t n_samples;  /* of each prompt */
    size_t max_new;    /* most tokens of an answer */
    size_t max_live;   /* samples generated at a time; 0: 256 */
    float temperature; /* 0: the most likely token */
    float top_p;       /* 1: off */
    uint64_t seed;
    int32_t eos;
    enum mk_mla_form form;
};

/* Sample s of prompt p is sequence p * n_samples + s: the prompt (weight 0), then what was
 * generated (weight 1), the end token included if it came. */
struct mk_rollouts { /* zeroed is valid; made again and again */
    struct mk_seqs seqs;
    float *lp;        /* [seqs.n_tok] log-probability of each generated token at temperature 1 */
    size_t *n_prompt; /* [seqs.n] */
    bool *is_ended;   /* [seqs.n]: the end token came in time */
    size_t n_forward; /* tokens computed: prompts once, and what was generated */
    size_t n_generated;
    double seconds; /* that all of it took */
    size_t cap_tok, cap;
};
void mk_rollouts_release(struct mk_rollouts *r);
/* prompts: sequences whose weights do not matter.  wk must not be recording. */
void mk_rollout(struct mk_rollouts *out, const struct mk_model *m, struct mk_work *wk,
                const struct mk_seqs *prompts, const struct mk_rollout_options *o);
#endif
