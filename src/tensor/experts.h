#ifndef MK_TENSOR_EXPERTS_H
#define MK_TENSOR_EXPERTS_H
/* Mixture of experts: each token goes through n_active of n_expert SwiGLU networks. */
#include "tensor/tensor.h"

enum { MK_MAX_EXPERTS = 1024 };
enum mk_score { MK_SCORE_SOFTMAX, MK_SCORE_SIGMOID };
enum mk_group_rank { MK_GROUP_MAX, MK_GROUP_TOP2 }; /* a group's worth: its best, or best two */

/* DeepSeek's routing (V2 section 2.2, V3 section 2.1.2).  p = score(logits); choice = p + bias;
 * only experts of the n_group_active best groups may be chosen; the n_active best by choice
 * get the weights p, divided by their sum if is_normed, times scale.  Ties go to the lower
 * index.  n_expert is a multiple of n_group, and the active groups hold at least n_active. */
struct mk_router {
    size_t n_expert, n_active, n_group, n_group_active;
    enum mk_score score;
    enum mk_group_rank group_rank;
    bool is_normed;
    float scale;
    const float *bias; /* [n_expert] or NULL */
};
/* logits [n][n_expert] -> id [n][n_active] in ascending order, weight [n][n_active].  Recording,
 * it also counts each expert's tokens into mk_grad(bias). */
void mk_route(struct mk_work *wk, const struct mk_router *r, const float *logits, size_t n,
              int32_t *id, float *weight);

struct mk_experts {
    size_t n_expert, d_ff;
    const struct mk_weight *gate, *up, *down; /* [n_expert] */
};
/* y[n][d] += sum over the token's experts of weight * down(silu(gate x) * up x); in bf16 if all
 * weights have such forms.  Their adapters must be NULL. */
void mk_experts_add(struct mk_work *wk, const struct mk_experts *e, struct mk_input *x,
                    const int32_t *id, const float *weight, size_t n_active, float *y);
#endif
