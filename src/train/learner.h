#ifndef MK_TRAIN_LEARNER_H
#define MK_TRAIN_LEARNER_H
/* A model that learns: parameters, gradients, moments, and one pass for every stage.
 *
 * Pre-training, SFT, distillation and GRPO are one thing, a weighted cross-entropy
 *     loss = -sum_i coef[i] log p(tok[i] | before)
 * and differ in coef alone.  A pass cuts its sequences into steps of whole sequences; what it
 * computes depends on neither the number of threads nor, but for the order in which gradients
 * are summed, the size of its steps. */
#include "model/model.h"
#include "tensor/tape.h"
#include "train/data.h"
#include "train/optim.h"

enum mk_compute { MK_COMPUTE_AUTO, MK_COMPUTE_F32, MK_COMPUTE_BF16 };

struct mk_learner_options {
    unsigned n_threads;      /* 0: one for each CPU */
    unsigned cpu;            /* instruction sets allowed, see mk_cpu_detect() */
    size_t step_toks;        /* most tokens of a forward pass */
    enum mk_compute compute; /* of products: bf16 with float sums, or floats */
    bool recomputes;         /* keep one value a layer and compute the rest again in backward */
    double mtp_weight;       /* lambda of the prediction layer's loss (V3, equation 25) */
    double balance;          /* alpha of the sequence-wise balance loss (V3, equation 17) */
    double bias_rate;        /* gamma of the routers' bias (V3, section 2.1.2) */
    enum mk_mla_form form;   /* of latent attention; absorbed gives the bits of generation */
    struct mk_optim_options optim;
};

struct mk_learner {
    struct mk_learner_options o;
    struct mk_model model;
    struct mk_params params;
    struct mk_work wk;
    struct mk_tape tape;
    struct mk_optim optim;
    bool is_bf16;
};
/* path, t: see mk_model_open_trainable(); t->params is set here.  The learner must not move. */
bool mk_learner_open(struct mk_learner *l, const char *path, struct mk_trainable *t,
                     const struct mk_learner_options *o, struct mk_err *err) MK_CHECKED;
void mk_learner_close(struct mk_learner *l); /* zeroed is valid */
/* After parameters were changed from outside. */
bool mk_learner_refresh(struct mk_learner *l, struct mk_err *err) MK_CHECKED;

struct mk_pass { /* what a pass measured, sums over its tokens */
    double loss, mtp_loss, weight, mtp_weight;
    size_t n_tok;
};
/* Chooses coef[i] for the n tokens of a step from their log-probabilities: token i stands at
 * index at[i] of the sequences' arrays. */
typedef void mk_coef_fn(void *arg, const size_t *at, const float *lp, size_t n, float *coef);

/* Adds the gradients of all sequences.  coef[i] = weight[i] * scale, or what fn says.  lp, entropy:
 * [s->n_tok] or NULL; tokens of weight 0 get 0. */
void mk_learner_pass(struct mk_learner *l, const struct mk_seqs *s, double scale, mk_coef_fn *fn,
                     void *arg, float *lp, float *entropy, struct mk_pass *out);
/* Adds to mk_grad(logits) itself, for losses that need more than log p(tok[i]): rows
 * step->want[0..n_want) of step predict tokens at[0..n_want), lse is log sum exp of their logits.
 * It may run other models on l->wk meanwhile. */
typedef void mk_logits_fn(void *arg, struct mk_learner *l, const struct mk_step *step,
                          const size_t *at, const float *lse);
/* The same with such a function, and without the prediction layer's loss. */
void mk_learner_pass_logits(struct mk_learner *l, const struct mk_seqs *s, mk_logits_fn *fn,
                            void *arg, float *lp, float *entropy, struct mk_pass *out);
/* Log-probabilities alone. */
void mk_learner_score(struct mk_learner *l, const struct mk_seqs *s, float *lp, float *entropy);

struct mk_update {
    double norm;    /* of the gradients before clipping */
    double max_vio; /* largest max(load) / mean(load) - 1 of a router; 0 without experts */
    double balance; /* mean of the balance loss */
};
/* A step of the optimizer; gradients start at zero again.  Fails, and changes nothing but the
 * gradients, when their norm is not finite. */
bool mk_learner_update(struct mk_learner *l, double lr, struct mk_update *out,
                       struct mk_err *err) MK_CHECKED;
#endif
