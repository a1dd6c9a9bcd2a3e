/* Counting: parameters and multiply-adds of a decoder, part by part.
 *
 * A matrix of r x c costs 2 r c FLOP for each token that passes it, and twice that again in the
 * backward pass (gradients of input and of weights), so training costs 3 times forward.
 * Attention over the context, causal, for one token of a sequence of n and one layer:
 *   queries with keys, weights with values   2 n_head (d_qk + d_v) (n + 1) / 2
 * Norms, rotations and softmax are below a thousandth and not counted as FLOP. */
#include "train/plan.h"

#include <math.h>

const char *const mk_plan_part_names[MK_PLAN_N_PARTS] = {
    [MK_PLAN_EMBEDDING] = "embedding",
    [MK_PLAN_ATTENTION] = "attention",
    [MK_PLAN_CONTEXT] = "attention to context",
    [MK_PLAN_DENSE] = "dense FFN",
    [MK_PLAN_SHARED] = "shared experts",
    [MK_PLAN_ROUTED] = "routed experts",
    [MK_PLAN_ROUTER] = "router",
    [MK_PLAN_NORMS] = "norms",
    [MK_PLAN_HEAD] = "head",
    [MK_PLAN_MTP] = "prediction (MTP)",
};

/* n copies of a matrix, of which a token uses n_used. */
static void add_matrix(struct mk_plan_count *c, double rows, double cols, double n, double n_used)
{
    c->params += n * rows * cols;
    c->active += n_used * rows * cols;
    c->flops += 2 * n_used * rows * cols;
}

static void add_vector(struct mk_plan_count *c, double n)
{
    c->params += n;
    c->active += n;
}

static double d_qk(const struct mk_plan_arch *a)
{
    return (double)(a->d_latent ? a->d_nope + a->d_rope : a->d_head);
}

static double d_value(const struct mk_plan_arch *a)
{
    return (double)(a->d_latent ? a->d_v : a->d_head);
}

static void add_latent(const struct mk_plan_arch *a, struct mk_plan_count *p)
{
    struct mk_plan_count *c = &p[MK_PLAN_ATTENTION];
    const double d = (double)a->d_model, latent = (double)a->d_latent, q = (double)a->q_rank;
    const double n = (double)a->n_head;
    if (a->q_rank) {
        add_matrix(c, q, d, 1, 1);
        add_matrix(c, n * d_qk(a), q, 1, 1);
    } else {
        add_matrix(c, n * d_qk(a), d, 1, 1);
    }
    add_matrix(c, latent + (double)a->d_rope, d, 1, 1);
    add_matrix(c, n * (double)(a->d_nope + a->d_v), latent, 1, 1);
    add_matrix(c, d, n * d_value(a), 1, 1);
    add_vector(&p[MK_PLAN_NORMS], q + latent);
}

static void add_grouped(const struct mk_plan_arch *a, struct mk_plan_count *p)
{
    struct mk_plan_count *c = &p[MK_PLAN_ATTENTION];
    const double d = (double)a->d_model, q = (double)(a->n_head * a->d_head);
    const double kv = (double)(a->n_kv_head * a->d_head);
    add_matrix(c, q + 2 * kv, d, 1, 1);
    add_matrix(c, d, q, 1, 1);
    if (a->has_qkv_bias) add_vector(c, q + 2 * kv);
}

static void add_layer(const struct mk_plan_arch *a, bool has_experts, double n_ctx,
                      struct mk_plan_count *p)
{
    const double d = (double)a->d_model;
    if (a->d_latent)
        add_latent(a, p);
    else
        add_grouped(a, p);
    p[MK_PLAN_CONTEXT].flops += (double)a->n_head * (d_qk(a) + d_value(a)) * (n_ctx + 1);
    add_vector(&p[MK_PLAN_NORMS], 2 * d);
    if (!has_experts) {
        add_matrix(&p[MK_PLAN_DENSE], d, (double)a->d_ff, 3, 3);
        return;
    }
    const double ff = (double)a->d_ff_expert, shared = 3 * (double)a->n_shared;
    add_matrix(&p[MK_PLAN_SHARED], d, ff, shared, shared);
    add_matrix(&p[MK_PLAN_ROUTED], d, ff, 3 * (double)a->n_expert, 3 * (double)a->n_active);
    add_matrix(&p[MK_PLAN_ROUTER], d, (double)a->n_expert, 1, 1);
    if (a->has_router_bias) add_vector(&p[MK_PLAN_ROUTER], (double)a->n_expert);
}

static bool is_expert_layer(const struct mk_plan_arch *a, size_t i)
{
    return a->n_expert && i >= a->n_dense && i % (a->moe_every ? a->moe_every : 1) == 0;
}

/* A prediction layer: two norms, a matrix that joins state and embedding, a block, a norm, and
 * the head once more. */
static void add_mtp(const struct mk_plan_arch *a, double n_ctx, struct mk_plan_count *out)
{
    struct mk_plan_count p[MK_PLAN_N_PARTS] = {{0}};
    const double d = (double)a->d_model;
    add_layer(a, a->n_expert != 0, n_ctx, p);
    for (int i = 0; i < MK_PLAN_N_PARTS; i++) {
        out->params += p[i].params;
        out->active += p[i].active;
        out->flops += p[i].flops;
    }
    add_vector(out, 3 * d);
    add_matrix(out, d, 2 * d, 1, 1);
    out->flops += 2 * d * (double)a->n_vocab;
}

void mk_plan_parts(const struct mk_plan_arch *a, double n_ctx,
                   struct mk_plan_count out[MK_PLAN_N_PARTS])
{
    const double d = (double)a->d_model, n_vocab = (double)a->n_vocab;
    for (int i = 0; i < MK_PLAN_N_PARTS; i++) out[i] = (struct mk_plan_count){0};
    out[MK_PLAN_EMBEDDING] = (struct mk_plan_count){.params = n_vocab * d, .active = d};
    for (size_t i = 0; i < a->n_layer; i++) add_layer(a, is_expert_layer(a, i), n_ctx, out);
    add_vector(&out[MK_PLAN_NORMS], d);
    add_matrix(&out[MK_PLAN_HEAD], n_vocab, d, a->is_tied ? 0 : 1, 1);
    for (size_t i = 0; i < a->n_mtp; i++) add_mtp(a, n_ctx, &out[MK_PLAN_MTP]);
}

double mk_plan_params(const struct mk_plan_arch *a)
{
    struct mk_plan_count p[MK_PLAN_N_PARTS];
    double n = 0;
    mk_plan_parts(a, 0, p);
    for (int i = 0; i < MK_PLAN_MTP; i++) n += p[i].params;
    return n;
}

double mk_plan_active(const struct mk_plan_arch *a)
{
    struct mk_plan_count p[MK_PLAN_N_PARTS];
    double n = 0;
    mk_plan_parts(a, 0, p);
    for (int i = 0; i < MK_PLAN_MTP; i++) n += p[i].active;
    return n;
}

double mk_plan_mtp_params(const struct mk_plan_arch *a)
{
    struct mk_plan_count p[MK_PLAN_N_PARTS];
    mk_plan_parts(a, 0, p);
    return p[MK_PLAN_MTP].params;
}

double mk_plan_forward_flops(const struct mk_plan_arch *a, double n_ctx)
{
    struct mk_plan_count p[MK_PLAN_N_PARTS];
    double flops = 0;
    mk_plan_parts(a, n_ctx, p);
    for (int i = 0; i < MK_PLAN_N_PARTS; i++) flops += p[i].flops;
    return flops;
}

double mk_plan_train_flops(const struct mk_plan_arch *a, double n_ctx)
{
    return 3 * mk_plan_forward_flops(a, n_ctx);
}

/* Absorbed: scores against the latent and the rotary key, values are the latent itself. */
double mk_plan_decode_flops(const struct mk_plan_arch *a, double n_ctx)
{
    struct mk_plan_count p[MK_PLAN_N_PARTS];
    double flops = 0;
    mk_plan_parts(a, 0, p);
    for (int i = 0; i < MK_PLAN_MTP; i++)
        if (i != MK_PLAN_CONTEXT) flops += p[i].flops;
    const double width =
        a->d_latent ? (double)(2 * a->d_latent + a->d_rope) : (double)(2 * a->d_head);
    return flops + 2 * (double)(a->n_layer * a->n_head) * width * n_ctx;
}

/* ---- memory -------------------------------------------------------------------------------- */

double mk_plan_kv_values(const struct mk_plan_arch *a)
{
    const size_t row = a->d_latent ? a->d_latent + a->d_rope : 2 * a->n_kv_head * a->d_head;
    return (double)a->n_layer * (double)row;
}

/* One layer: its two inputs and their norms, what the projections give, the weighted values, a
 * number for each softmax (the weights are made again), the three vectors of each network, the
 * experts' outputs (the gates' gradient needs them) and the router's scores. */
static double layer_values(const struct mk_plan_arch *a, bool has_experts)
{
    const double d = (double)a->d_model, n = (double)a->n_head;
    double v = 4 * d + n + n * d_value(a);
    if (a->d_latent)
        v += 2 * (double)a->q_rank + n * d_qk(a) + (double)(2 * a->d_latent + a->d_rope) +
             n * (double)(a->d_nope + a->d_v);
    else
        v += (double)((a->n_head + 2 * a->n_kv_head) * a->d_head);
    if (!has_experts) return v + 3 * (double)a->d_ff;
    return v + (double)(a->n_active + a->n_shared) * 3 * (double)a->d_ff_expert +
           (double)a->n_active * d + (double)a->n_expert;
}

double mk_plan_act_values(const struct mk_plan_arch *a, bool recomputes)
{
    const double d = (double)a->d_model;
    double sum = 0, largest = 0;
    for (size_t i = 0; i < a->n_layer + a->n_mtp; i++) {
        const bool is_mtp = i >= a->n_layer;
        const double v = layer_values(a, is_mtp ? a->n_expert != 0 : is_expert_layer(a, i)) +
                         (is_mtp ? 3 * d : 0);
        sum += recomputes ? d : v;
        if (v > largest) largest = v;
    }
    const double heads = (double)(1 + a->n_mtp) * (d + (double)a->n_vocab);
    return sum + (recomputes ? largest : 0) + heads;
}

double mk_plan_touched(const struct mk_plan_arch *a, double n_seq)
{
    const double e = (double)a->n_expert;
    return e > 0 ? e * (1 - pow(1 - (double)a->n_active / e, n_seq)) : 0;
}

struct mk_plan_reads mk_plan_reads(const struct mk_plan_arch *a, double n_seq, double n_ctx,
                                   double weight_bytes, double kv_bytes)
{
    struct mk_plan_count p[MK_PLAN_N_PARTS];
    double n = 0;
    mk_plan_parts(a, 0, p);
    for (int i = 0; i < MK_PLAN_MTP; i++)
        if (i != MK_PLAN_EMBEDDING && i != MK_PLAN_ROUTED) n += p[i].active;
    if (a->n_expert)
        n += p[MK_PLAN_ROUTED].params * mk_plan_touched(a, n_seq) / (double)a->n_expert;
    return (struct mk_plan_reads){n * weight_bytes,
                                  n_seq * n_ctx * mk_plan_kv_values(a) * kv_bytes};
}
