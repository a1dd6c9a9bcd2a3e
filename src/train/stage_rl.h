#ifndef MK_TRAIN_STAGE_RL_H
#define MK_TRAIN_STAGE_RL_H
/* Reinforcement learning with verifiable rewards: GRPO as in DeepSeek-R1 (equations 1-3) and its
 * variants.  For a question the policy writes a group of answers o_1 .. o_G with rewards R_i:
 *
 *   A_i = (R_i - mean R) / std R
 *   r_it = exp(lp_it - lp_old_it)
 *   J = sum_i sum_t n_it [ min(r_it A_i, clip(r_it, 1 - eps_lo, 1 + eps_hi) A_i) - beta KL_it ]
 *
 * Its gradient is that of a weighted cross-entropy with, where the clip does not bind,
 *   coef_it = n_it (A_i r_it - beta dKL_it/dlp_it)
 * so learning is one mk_learner_pass(). */
#include "train/questions.h"
#include "train/run.h"

enum mk_rl_norm {
    MK_RL_GRPO,  /* n = 1 / (N |o_i|), N answers: each answer counts alike */
    MK_RL_DAPO,  /* n = 1 / sum_i |o_i|: each token counts alike */
    MK_RL_DRGRPO /* n = 1 / (N max_new), a constant; A is not divided by the deviation */
};
/* Estimators of KL(policy || reference) from one token, d = lp_ref - lp (Schulman 2020); and k3
 * weighted by r, whose gradient is unbiased (DeepSeek-V3.2). */
enum mk_rl_kl { MK_KL_K1, MK_KL_K2, MK_KL_K3, MK_KL_K3_WEIGHTED };
enum mk_rl_overlong {
    MK_OVERLONG_NONE, /* an answer that is cut off is wrong, as any other */
    MK_OVERLONG_MASK, /* and teaches nothing (DAPO's filter) */
    MK_OVERLONG_SOFT  /* and long ones pay for the last overlong_toks tokens (DAPO, equation 13) */
};

struct mk_rl_options {
    uint64_t seed;
    struct mk_questions *questions; /* borrowed; those of the training split are asked */
    size_t n_prompts;               /* questions of a step */
    size_t n_samples;               /* G */
    size_t max_new;
    double temperature;
    enum mk_opening opening;
    enum mk_rl_norm norm;
    bool keeps_scale; /* do not divide by the group's deviation */
    double clip_lo, clip_hi;
    double kl; /* beta; 0: no reference is kept */
    enum mk_rl_kl kl_kind;
    uint64_t ref_every; /* the reference becomes the policy every so many steps; 0: never */
    size_t n_rounds;    /* dynamic sampling: draw up to so many times until n_prompts groups
                           have answers that differ; 1: take what comes */
    enum mk_rl_overlong overlong;
    size_t overlong_toks;
    double format_reward; /* for an answer that is well formed */
    size_t n_updates;     /* updates of the policy with the answers of one step */
    bool adapts;          /* more questions of tasks that still have something to teach, at a level
                             that is neither too hard nor too easy */
    bool (*eval)(void *arg, struct mk_run *r, struct mk_err *err); /* or NULL */
    void *eval_arg;
};

struct mk_rl_stage;
/* The run is open and not yet begun; it ends before the stage is freed. */
bool mk_rl_stage_new(struct mk_rl_stage **out, const struct mk_rl_options *o, struct mk_run *r,
                     struct mk_err *err) MK_CHECKED;
void mk_rl_stage_free(struct mk_rl_stage *s); /* NULL is fine */
extern const struct mk_stage mk_rl_stage_fns; /* self: struct mk_rl_stage * */

/* The pieces, for tests: how a task stands, advantages of one group, and coef of one token. */
struct mk_rl_standing { /* of a task, from its last groups; for `adapts` */
    int level;          /* 0: the standard one */
    double mixed;       /* running share of groups whose rewards differ */
    double solved;      /* running mean reward of the answers themselves */
};
/* After a group.  A task that is never solved goes a level down, and from the lowest, lo, back to
 * the standard; one that is solved down there goes up. */
void mk_rl_standing_learn(struct mk_rl_standing *s, int lo, double mean, bool is_mixed);
void mk_rl_advantages(const double *reward, size_t n, bool divides, double *out);
struct mk_rl_token {
    double adv, norm, lp, lp_old, lp_ref;
};
struct mk_rl_term {
    double coef, kl;
    bool is_clipped;
};
struct mk_rl_term mk_rl_term(const struct mk_rl_options *o, const struct mk_rl_token *t);
#endif
