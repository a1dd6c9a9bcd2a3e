#ifndef MK_TRAIN_PLAN_H
#define MK_TRAIN_PLAN_H
/* What a configuration costs before anything runs: parameters, arithmetic, memory, time, money.
 * Formulas with their derivation: docs/plan.md.  Nothing here measures; what is assumed is
 * printed with where it comes from. */
#include "base/err.h"
#include "base/str.h"
#include "formats/config.h"

#include <stdbool.h>
#include <stddef.h>

/* A decoder's shape.  Latent attention when d_latent > 0, else n_kv_head shared heads; experts
 * in the layers from n_dense on when n_expert > 0. */
struct mk_plan_arch {
    char name[64];
    size_t n_layer, d_model, n_vocab, n_ctx; /* n_ctx: the longest it was made for */
    size_t n_head, n_kv_head, d_head;
    size_t q_rank, d_latent, d_nope, d_rope, d_v;
    size_t d_ff, n_dense, moe_every; /* every moe_every-th layer after the dense ones */
    size_t n_expert, n_active, n_shared, d_ff_expert;
    size_t n_mtp; /* layers that predict the token after the next */
    bool is_tied, has_qkv_bias, has_router_bias, is_f8; /* f8: published in 8 bits */
};
/* From config.json or GGUF metadata of the families that minke runs. */
bool mk_plan_arch_from_config(struct mk_plan_arch *out, const struct mk_config *c,
                              struct mk_err *err) MK_CHECKED;
/* Published shapes: plan_archs.def; NULL: no such name, the i-th or NULL. */
const struct mk_plan_arch *mk_plan_arch_find(const char *name);
const struct mk_plan_arch *mk_plan_arch_at(size_t i);

/* ---- parameters and arithmetic ----------------------------------------------------------- */
enum mk_plan_part {
    MK_PLAN_EMBEDDING,
    MK_PLAN_ATTENTION, /* projections */
    MK_PLAN_CONTEXT,   /* queries with keys, weights with values: no parameters */
    MK_PLAN_DENSE,
    MK_PLAN_SHARED,
    MK_PLAN_ROUTED,
    MK_PLAN_ROUTER,
    MK_PLAN_NORMS,
    MK_PLAN_HEAD,
    MK_PLAN_MTP, /* the whole prediction layer; embedding and head are the model's own */
    MK_PLAN_N_PARTS
};
extern const char *const mk_plan_part_names[MK_PLAN_N_PARTS];

struct mk_plan_count {
    double params; /* stored; a tied head has none */
    double active; /* used for one token: one row of the embedding, the chosen experts */
    double flops;  /* forward, of one token, a multiply-add is 2; causal mean over n_ctx tokens */
};
void mk_plan_parts(const struct mk_plan_arch *a, double n_ctx,
                   struct mk_plan_count out[MK_PLAN_N_PARTS]);
/* The main model, without the prediction layer. */
double mk_plan_params(const struct mk_plan_arch *a);
double mk_plan_active(const struct mk_plan_arch *a);
double mk_plan_mtp_params(const struct mk_plan_arch *a);

/* Of one token in sequences of n_ctx, with the prediction layers. */
double mk_plan_forward_flops(const struct mk_plan_arch *a, double n_ctx);
/* Forward and backward, useful ones: what is computed twice to save memory counts once. */
double mk_plan_train_flops(const struct mk_plan_arch *a, double n_ctx);
/* Generating a token that sees n_ctx tokens, latent attention in its absorbed form. */
double mk_plan_decode_flops(const struct mk_plan_arch *a, double n_ctx);

/* ---- memory ------------------------------------------------------------------------------ */
double mk_plan_kv_values(const struct mk_plan_arch *a); /* of one token, all layers */
/* Values kept from forward to backward, of one token. */
double mk_plan_act_values(const struct mk_plan_arch *a, bool recomputes);
/* Experts of a layer that n_seq tokens chosen independently touch: E (1 - (1 - K/E)^n). */
double mk_plan_touched(const struct mk_plan_arch *a, double n_seq);
/* Bytes that one step of generation reads: weights that n_seq tokens touch, and n_seq times
 * n_ctx tokens of keys and values. */
struct mk_plan_reads {
    double weights, kv;
};
struct mk_plan_reads mk_plan_reads(const struct mk_plan_arch *a, double n_seq, double n_ctx,
                                   double weight_bytes, double kv_bytes);

/* ---- hardware ---------------------------------------------------------------------------- */
struct mk_plan_hardware {
    char name[48];
    const char *unit;                               /* "GPU", "core" */
    double flops, bandwidth, memory;                /* of one: FLOP/s, bytes/s, bytes */
    double price;                                   /* of an hour of one, USD; 0: not known */
    double mfu;                                     /* share of flops that training reaches */
    const char *source, *price_source, *mfu_source; /* of the figures, for people */
    bool is_cpu; /* activations are floats with a gradient each, as in minke's own trainer */
};
const struct mk_plan_hardware *mk_plan_hardware_find(const char *name);
const struct mk_plan_hardware *mk_plan_hardware_at(size_t i);
/* One core: peak from the instruction set's name (kernels/isa.def) and an assumed clock. */
struct mk_plan_hardware mk_plan_cpu_core(const char *level, double ghz);

/* ---- reports ----------------------------------------------------------------------------- */
struct mk_plan_job {
    struct mk_plan_arch arch;
    struct mk_plan_hardware hardware;
    double n_toks;       /* to train on; 0: only cost per token */
    double n_batch;      /* sequences of a step */
    double n_micro;      /* sequences in memory at once on a device */
    double n_ctx;        /* tokens of a sequence */
    double n_devices;    /* 0: as many as memory needs */
    double weight_bytes; /* of a weight when serving */
    double kv_bytes;     /* of a key or value when serving */
    double moment_bytes; /* of each of Adam's two moments */
    bool recomputes;
    const char *weight_type, *kv_type;
};
/* Appends tables for people or one JSON object. */
void mk_plan_report(struct mk_str *out, const struct mk_plan_job *job, bool is_json);

/* DeepSeek-V3's published hours and cost derived from its shape. */
struct mk_plan_v3 {
    double pretrain, context, post; /* GPU hours, derived (post: as published) */
    double total, cost;
    double published_total, published_cost;
};
struct mk_plan_v3 mk_plan_v3(double mfu); /* of the BF16 peak; 0: as published */
void mk_plan_v3_report(struct mk_str *out, double mfu, bool is_json);

/* What R1's published hours say about its rollouts. */
struct mk_plan_r1 {
    double mean_len; /* tokens of an answer, mean over the run: assumed */
    double share;    /* of the time that is rollouts: assumed */
};
struct mk_plan_r1 mk_plan_r1_defaults(void);
/* Tokens per second and GPU while R1-Zero sampled. */
double mk_plan_r1_speed(const struct mk_plan_r1 *r);
void mk_plan_r1_report(struct mk_str *out, const struct mk_plan_r1 *r, bool is_json);
#endif
