#ifndef MK_TENSOR_EXPERTS_H
#define MK_TENSOR_EXPERTS_H
/* Mixture of experts: each token goes through n_active of n_expert SwiGLU networks. */
#include "tensor/expert_cache.h"
#include "tensor/tensor.h"

#include <stdatomic.h>

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
 * weights have such forms.  Their adapters must be NULL.  id -1 leaves a place out; not all may be,
 * nor any when it is recorded. */
void mk_experts_add(struct mk_work *wk, const struct mk_experts *e, struct mk_input *x,
                    const int32_t *id, const float *weight, size_t n_active, float *y);

/* The same with weights that a cache reads.  Want begins to read the experts that id [n_choice]
 * names, or the first group of them; add goes through the groups, and reads the next one while it
 * computes one: a token's sum is in ascending order of experts all the same.  Every want is
 * followed by an add.  add fails when experts cannot be read, there is no room for one, or *stop
 * (may be NULL) became true; y is then of no use. */
struct mk_wanted {
    struct mk_expert_cache *cache;
    size_t layer;
    const atomic_bool *stop;
    int32_t *id; /* [n] ascending, each once; the first n_pinned are on their way */
    size_t n, n_pinned;
};
void mk_experts_want(struct mk_work *wk, struct mk_wanted *w, const int32_t *id, size_t n_choice);
bool mk_experts_add_wanted(struct mk_work *wk, struct mk_wanted *w, const struct mk_experts *e,
                           struct mk_input *x, const int32_t *id, const float *weight,
                           size_t n_active, float *y, struct mk_err *err) MK_CHECKED;
#endif
