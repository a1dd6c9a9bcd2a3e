#ifndef MK_MODEL_INT_DEEPSEEK_V3_H
#define MK_MODEL_INT_DEEPSEEK_V3_H
/* Private to the deepseek_v3 family: its numbers and weights. */
#include "model/int_model.h"
#include "tensor/experts.h"
#include "tensor/rope.h"

struct mk_ds_mlp {
    struct mk_weight gate, up, down;
};

struct mk_ds_layer {
    const float *norm1, *norm2, *q_norm, *kv_norm;
    struct mk_weight q, q_a, q_b; /* q, or the pair with a norm between */
    struct mk_weight kv_a, o;
    struct mk_weight kv_b; /* or, in newer GGUF files, the two below; see mk_mla */
    struct mk_weight k_b, v_b;
    struct mk_ds_mlp mlp;               /* dense layers: the network; others: the shared experts */
    struct mk_weight router;            /* experts: */
    const float *router_bias;           /* NULL in V2 */
    struct mk_weight *gate, *up, *down; /* [n_expert]; NULL in dense layers */
    size_t i_routed;                    /* its place among the layers with experts */
};

struct mk_ds_mtp {
    bool is_loaded;
    struct mk_weight embed, eh, head;
    const float *enorm, *hnorm, *norm;
};

struct mk_deepseek {
    size_t n_head, q_rank, kv_rank, d_nope, d_rope, d_v;
    size_t d_ff, d_ff_expert, n_dense, moe_every, n_shared, n_mtp;
    double theta, eps;
    struct { /* factor 0: none */
        double factor, beta_fast, beta_slow, mscale, mscale_all_dim, n_ctx_orig;
    } yarn;
    bool is_tied;
    struct mk_rope rope;
    struct mk_mla mla; /* without the weights */
    struct mk_router router;
    struct mk_weight embed, head;
    const float *norm;
    struct mk_ds_layer *layers; /* [n_layer], and one more for the prediction layer */
    struct mk_ds_mtp mtp;
};

bool mk_deepseek_forward(const struct mk_model *m, struct mk_work *wk, const struct mk_step *s);
bool mk_deepseek_mtp(const struct mk_model *m, struct mk_work *wk, const struct mk_step *s,
                     const float *hidden, bool is_normed);
#endif
