#ifndef MK_TENSOR_TAPE_H
#define MK_TENSOR_TAPE_H
/* Gradients, by reverse accumulation.  While a tape is attached to a workbench, operations
 * also record how to go back; mk_tape_backward() runs the records in reverse.  There is no
 * graph: the gradient of the value at address p lies at the same offset in a second region.
 *
 *   wk->arena   [ h ][ x ][ q ] ...        params->v     [ W ][ norm ] ...
 *   gradients   [dh ][dx ][dq ] ...        params->grad  [dW ][dnorm ] ...
 *
 * The rules of an operation's backward follow:
 *   y = f(x)   takes dy, adds to dx, and leaves zeros in dy, because whatever was in y before
 *              had another life; in place (y is x) it replaces dy by dx
 *   y += f(x)  takes dy, adds to dx, leaves dy as it is
 *   memory in neither region has no gradient: mk_grad() is NULL and nothing is computed for it
 *   values that backward needs are saved as copies, or the header of the operation says that they
 *   must not change before backward
 * So every gradient of a value is zero before the forward pass and again after backward, and
 * those of parameters add up until mk_params_zero_grad(). */
#include "tensor/attention.h"
#include "tensor/params.h"

struct mk_node;
typedef void mk_back_fn(struct mk_work *wk, void *saved);

struct mk_tape {
    struct mk_params *params; /* NULL: none */
    float *values, *grads;    /* wk->arena and the gradients, n floats of address space each */
    size_t n;
    struct mk_node *last;
    bool is_recording;
    bool recomputes;   /* keep only the input of each block and compute it again in backward */
    size_t peak_bytes; /* of values; as much again for gradients */

    /* The balance loss of expert routing (V3, equations 17-20), per sequence: added to the
     * gradient of the routers' logits with factor balance * balance_scale.  spans: the step's
     * sequences.  balance_loss sums sum_i f_i P_i over sequences and routers, unscaled. */
    double balance, balance_scale, balance_loss;
    size_t n_balance; /* how many terms balance_loss has */
    const struct mk_span *spans;
    size_t n_spans;

    /* Routes fixed for checks by differences: every mk_route() call takes its choice from here
     * in order when is_replaying, and appends it when not NULL otherwise. */
    struct mk_routes *routes;
    bool is_replaying;
};
struct mk_routes { /* zeroed is valid; free(id) */
    int32_t *id;
    size_t n, cap, next;
};

/* Gives wk an arena of n_bytes of address space and attaches the tape.  params is borrowed. */
bool mk_tape_attach(struct mk_tape *t, struct mk_work *wk, struct mk_params *params, size_t n_bytes,
                    struct mk_err *err) MK_CHECKED;
void mk_tape_release(struct mk_tape *t, struct mk_work *wk);

static inline bool mk_is_recording(const struct mk_work *wk)
{
    return wk->tape && wk->tape->is_recording;
}
/* The gradient of *v, or NULL when it has none. */
static inline float *mk_grad(const struct mk_work *wk, const float *v)
{
    const struct mk_tape *t = wk->tape;
    if (!t || !v) return NULL;
    const size_t i = ((uintptr_t)v - (uintptr_t)t->values) / sizeof *v;
    if ((uintptr_t)v >= (uintptr_t)t->values && i < t->n) return t->grads + i;
    if (!t->params) return NULL;
    const size_t j = ((uintptr_t)v - (uintptr_t)t->params->v) / sizeof *v;
    return (uintptr_t)v >= (uintptr_t)t->params->v && j < t->params->n ? t->params->grad + j : NULL;
}
/* Records an operation; returns n_bytes of zeroed memory that back() will get. */
void *mk_tape_push(struct mk_work *wk, mk_back_fn *back, size_t n_bytes);
/* A copy of n floats in the step's arena. */
float *mk_saved(struct mk_work *wk, const float *v, size_t n);
/* Gives scratch memory back, unless records may still point into it. */
void mk_scratch_end(struct mk_work *wk, struct mk_arena_mark mark);

/* Runs fn(arg), which changes h [n] and nothing else that lives on; recomputing, its records are
 * not kept and it runs again in backward. */
typedef void mk_block_fn(void *arg);
void mk_tape_block(struct mk_work *wk, float *h, size_t n, mk_block_fn *fn, void *arg);

/* From the gradients of outputs that were written through mk_grad() to those of all parameters;
 * forgets the records. */
void mk_tape_backward(struct mk_work *wk);

/* Log-probabilities, natural, of target[i] under softmax(logits[i] / 1), rows of n_vocab:
 * lp[i]; lse[i] = log sum exp; entropy[i] if not NULL.  Rows with target -1 give 0. */
void mk_logprobs(struct mk_work *wk, const float *logits, const int32_t *target, size_t n,
                 size_t n_vocab, float *lp, float *lse, float *entropy);
/* Adds coef[i] (softmax(logits[i]) - onehot(target[i])) to mk_grad(logits[i]): the gradient of
 * -sum_i coef[i] lp[i]. */
void mk_logprobs_back(struct mk_work *wk, const float *logits, const int32_t *target,
                      const float *coef, const float *lse, size_t n, size_t n_vocab);
/* Distillation: kl[i] = KL(p || q), natural, p = softmax(logits[i]), q = softmax(teacher[i]); lse
 * and teacher_lse as mk_logprobs() gives them.  Adds to mk_grad(logits[i]) the gradient of
 * coef[i] kl[i], which is coef[i] p (log p - log q - kl[i]). */
void mk_kl_back(struct mk_work *wk, const float *logits, const float *lse, const float *teacher,
                const float *teacher_lse, const float *coef, size_t n, size_t n_vocab, float *kl);
#endif
