/* DeepSeek-V2 and V3: names, numbers and weights.  Sources of the numbers: the published
 * config.json files; the GGUF keys of arch deepseek2. */
#include "model/int_deepseek_v3.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct mk_name names[] = {
    {"model.embed_tokens.weight", "token_embd.weight", MK_NAME_SAME},
    {"model.norm.weight", "output_norm.weight", MK_NAME_SAME},
    {"lm_head.weight", "output.weight", MK_NAME_SAME},
#define L "model.layers.#."
#define G "blk.#."
    {L "input_layernorm.weight", G "attn_norm.weight", MK_NAME_SAME},
    {L "post_attention_layernorm.weight", G "ffn_norm.weight", MK_NAME_SAME},
    {L "self_attn.q_proj.weight", G "attn_q.weight", MK_NAME_SAME},
    {L "self_attn.q_a_proj.weight", G "attn_q_a.weight", MK_NAME_SAME},
    {L "self_attn.q_a_layernorm.weight", G "attn_q_a_norm.weight", MK_NAME_SAME},
    {L "self_attn.q_b_proj.weight", G "attn_q_b.weight", MK_NAME_SAME},
    {L "self_attn.kv_a_proj_with_mqa.weight", G "attn_kv_a_mqa.weight", MK_NAME_SAME},
    {L "self_attn.kv_a_layernorm.weight", G "attn_kv_a_norm.weight", MK_NAME_SAME},
    {L "self_attn.kv_b_proj.weight", G "attn_kv_b.weight", MK_NAME_KV_B},
    {L "self_attn.k_b", G "attn_k_b.weight", MK_NAME_K_B}, /* no such names in Hugging Face: */
    {L "self_attn.v_b", G "attn_v_b.weight", MK_NAME_V_B}, /* the halves of kv_b */
    {L "self_attn.o_proj.weight", G "attn_output.weight", MK_NAME_SAME},
    {L "mlp.gate_proj.weight", G "ffn_gate.weight", MK_NAME_SAME},
    {L "mlp.up_proj.weight", G "ffn_up.weight", MK_NAME_SAME},
    {L "mlp.down_proj.weight", G "ffn_down.weight", MK_NAME_SAME},
    {L "mlp.gate.weight", G "ffn_gate_inp.weight", MK_NAME_SAME},
    {L "mlp.gate.e_score_correction_bias", G "exp_probs_b.bias", MK_NAME_SAME},
    {L "mlp.experts.@.gate_proj.weight", G "ffn_gate_exps.weight", MK_NAME_STACKED},
    {L "mlp.experts.@.up_proj.weight", G "ffn_up_exps.weight", MK_NAME_STACKED},
    {L "mlp.experts.@.down_proj.weight", G "ffn_down_exps.weight", MK_NAME_STACKED},
    {L "mlp.shared_experts.gate_proj.weight", G "ffn_gate_shexp.weight", MK_NAME_SAME},
    {L "mlp.shared_experts.up_proj.weight", G "ffn_up_shexp.weight", MK_NAME_SAME},
    {L "mlp.shared_experts.down_proj.weight", G "ffn_down_shexp.weight", MK_NAME_SAME},
    {L "embed_tokens.weight", G "nextn.embed_tokens.weight", MK_NAME_SAME},
    {L "enorm.weight", G "nextn.enorm.weight", MK_NAME_SAME},
    {L "hnorm.weight", G "nextn.hnorm.weight", MK_NAME_SAME},
    {L "eh_proj.weight", G "nextn.eh_proj.weight", MK_NAME_SAME},
    {L "shared_head.norm.weight", G "nextn.shared_head_norm.weight", MK_NAME_SAME},
    {L "shared_head.head.weight", G "nextn.shared_head_head.weight", MK_NAME_SAME},
#undef L
#undef G
    {NULL, NULL, MK_NAME_SAME},
};

/* ---- numbers ----------------------------------------------------------------------- */

struct size_key {
    const char *hf, *gguf;
    size_t lo, hi, missing; /* missing < lo: the key is needed */
    size_t *out;
};

static bool load_sizes(const struct mk_config *c, const struct size_key *k, size_t n,
                       struct mk_err *err)
{
    for (; n--; k++) {
        int64_t v;
        const int64_t lo = (int64_t)k->lo, hi = (int64_t)k->hi;
        if (k->missing < k->lo
                ? !mk_config_need(c, k->hf, k->gguf, lo, hi, &v, err)
                : !mk_config_int(c, k->hf, k->gguf, lo, hi, (int64_t)k->missing, &v, err))
            return false;
        *k->out = (size_t)v;
    }
    return true;
}

/* GGUF files of the newer layout call the latent's sizes key_length and value_length, and
 * the heads' sizes key_length_mla and value_length_mla. */
static bool load_head_sizes(struct mk_model *m, struct mk_deepseek *n, struct mk_err *err)
{
    const struct mk_config *c = &m->config;
    const bool is_mla = mk_config_has(c, NULL, "attention.key_length_mla");
    int64_t d_nope, d_key, d_v;
    if (!mk_config_need(c, "v_head_dim",
                        is_mla ? "attention.value_length_mla" : "attention.value_length", 1, 4096,
                        &d_v, err))
        return false;
    n->d_v = (size_t)d_v;
    if (!c->is_gguf) {
        if (!mk_config_need(c, "qk_nope_head_dim", NULL, 1, 4096, &d_nope, err)) return false;
    } else {
        const char *key = is_mla ? "attention.key_length_mla" : "attention.key_length";
        if (!mk_config_need(c, NULL, key, (int64_t)n->d_rope + 1, 8192, &d_key, err)) return false;
        d_nope = d_key - (int64_t)n->d_rope;
    }
    n->d_nope = (size_t)d_nope;
    return true;
}

static bool load_numbers(struct mk_model *m, struct mk_deepseek *n, struct mk_err *err)
{
    const struct size_key keys[] = {
        {"hidden_size", "embedding_length", 1, 1 << 20, 0, &m->d_model},
        {"num_hidden_layers", "block_count", 1, 4096, 0, &m->n_layer},
        {"num_attention_heads", "attention.head_count", 1, 4096, 0, &n->n_head},
        {"max_position_embeddings", "context_length", 1, 1 << 28, 4096, &m->n_ctx},
        {"q_lora_rank", "attention.q_lora_rank", 0, 1 << 20, 0, &n->q_rank},
        {"kv_lora_rank", "attention.kv_lora_rank", 1, 1 << 20, 0, &n->kv_rank},
        {"qk_rope_head_dim", "rope.dimension_count", 2, 2 * MK_ROPE_MAX_PAIRS, 0, &n->d_rope},
        {"intermediate_size", "feed_forward_length", 1, 1 << 24, 0, &n->d_ff},
        {"moe_intermediate_size", "expert_feed_forward_length", 0, 1 << 24, 0, &n->d_ff_expert},
        {"first_k_dense_replace", "leading_dense_block_count", 0, 4096, 0, &n->n_dense},
        {"moe_layer_freq", NULL, 1, 4096, 1, &n->moe_every},
        {"n_routed_experts", "expert_count", 0, MK_MAX_EXPERTS, 0, &n->router.n_expert},
        {"num_experts_per_tok", "expert_used_count", 0, MK_MAX_EXPERTS, 0, &n->router.n_active},
        {"n_shared_experts", "expert_shared_count", 0, 64, 0, &n->n_shared},
        {"num_nextn_predict_layers", "nextn_predict_layers", 0, 1, 0, &n->n_mtp},
    };
    const struct mk_config *c = &m->config;
    if (!load_sizes(c, keys, sizeof keys / sizeof *keys, err) || !load_head_sizes(m, n, err) ||
        !mk_config_float(c, "rms_norm_eps", "attention.layer_norm_rms_epsilon", 0, 1, 1e-6, &n->eps,
                         err) ||
        !mk_config_float(c, "rope_theta", "rope.freq_base", 1, 1e12, 10000, &n->theta, err) ||
        !mk_config_bool(c, "tie_word_embeddings", NULL, false, &n->is_tied, err))
        return false;
    if (n->d_rope % 2)
        return mk_fail(err, MK_EFORMAT, "%s: qk_rope_head_dim is %zu, want an even number", c->file,
                       n->d_rope);
    /* GGUF counts the prediction layer as a block. */
    if (c->is_gguf && n->n_mtp && m->n_layer > 1) m->n_layer--;
    return true;
}

static bool load_yarn(struct mk_model *m, struct mk_deepseek *n, struct mk_err *err)
{
    const struct mk_config *c = &m->config;
    char type[32];
    if (!mk_config_str(c, "rope_scaling.type", "rope.scaling.type", "", type, sizeof type, err))
        return false;
    if (!type[0] || !strcmp(type, "none") || !strcmp(type, "default")) return true;
    if (strcmp(type, "yarn"))
        return mk_fail(err, MK_EUNSUPPORTED,
                       "%s: rope_scaling type \"%s\" is not supported for %s; supported: yarn",
                       c->file, type, c->arch);
    double log_mul;
    if (!mk_config_float(c, "rope_scaling.factor", "rope.scaling.factor", 1, 1e6, 40,
                         &n->yarn.factor, err) ||
        !mk_config_float(c, "rope_scaling.beta_fast", "rope.scaling.yarn_beta_fast", 1e-3, 1e6, 32,
                         &n->yarn.beta_fast, err) ||
        !mk_config_float(c, "rope_scaling.beta_slow", "rope.scaling.yarn_beta_slow", 1e-3, 1e6, 1,
                         &n->yarn.beta_slow, err) ||
        !mk_config_float(c, "rope_scaling.mscale", NULL, 0, 100, 1, &n->yarn.mscale, err) ||
        !mk_config_float(c, "rope_scaling.mscale_all_dim", NULL, 0, 100, 0, &n->yarn.mscale_all_dim,
                         err) ||
        !mk_config_float(c, NULL, "rope.scaling.yarn_log_multiplier", 0, 10, 0, &log_mul, err) ||
        !mk_config_float(c, "rope_scaling.original_max_position_embeddings",
                         "rope.scaling.original_context_length", 1, 1e9, 4096, &n->yarn.n_ctx_orig,
                         err))
        return false;
    /* GGUF keeps 0.1 * mscale_all_dim; every released checkpoint has both mscales equal. */
    if (c->is_gguf) n->yarn.mscale = n->yarn.mscale_all_dim = 10.0 * log_mul;
    return true;
}

static void set_rope(struct mk_deepseek *n)
{
    mk_rope_init(&n->rope, n->d_rope / 2, false, n->theta);
    double temperature = 1.0;
    if (n->yarn.factor > 0) {
        mk_rope_yarn(&n->rope, n->theta, n->yarn.factor, n->yarn.n_ctx_orig, n->yarn.beta_fast,
                     n->yarn.beta_slow);
        temperature = mk_yarn_mscale(n->yarn.factor, n->yarn.mscale_all_dim);
        /* Multiplies both the rotated queries and keys. */
        n->rope.magnitude = (float)(mk_yarn_mscale(n->yarn.factor, n->yarn.mscale) / temperature);
    }
    n->mla = (struct mk_mla){
        .n_head = n->n_head,
        .d_latent = n->kv_rank,
        .d_nope = n->d_nope,
        .d_rope = n->d_rope,
        .d_v = n->d_v,
        .scale = (float)(temperature * temperature / sqrt((double)(n->d_nope + n->d_rope))),
    };
}

/* ---- routing ------------------------------------------------------------------------- */

static bool load_score(struct mk_model *m, struct mk_deepseek *n, struct mk_err *err)
{
    const struct mk_config *c = &m->config;
    char scoring[32];
    int64_t gating;
    const bool is_v3 = !strcmp(c->arch, "deepseek_v3");
    if (!mk_config_str(c, "scoring_func", NULL, is_v3 ? "sigmoid" : "softmax", scoring,
                       sizeof scoring, err) ||
        !mk_config_int(c, NULL, "expert_gating_func", 0, 100, 1, &gating, err))
        return false;
    if (c->is_gguf) strcpy(scoring, gating == 2 ? "sigmoid" : gating <= 1 ? "softmax" : "other");
    if (strcmp(scoring, "sigmoid") && strcmp(scoring, "softmax"))
        return mk_fail(err, MK_EUNSUPPORTED,
                       "%s: scoring_func \"%s\" is not supported; supported: sigmoid, softmax",
                       c->file, scoring);
    n->router.score = scoring[1] == 'i' ? MK_SCORE_SIGMOID : MK_SCORE_SOFTMAX;
    return true;
}

/* GGUF files before late 2025 lack the group keys.  The published shapes are known by their
 * numbers: V3 has 256 sigmoid experts in 8 groups of which 4 are used, V2 160 softmax experts
 * in 8 groups of which 3 are used. */
static void groups_from_shape(struct mk_router *r)
{
    const bool is_v3 = r->n_expert == 256 && r->score == MK_SCORE_SIGMOID;
    const bool is_v2 = r->n_expert == 160 && r->score == MK_SCORE_SOFTMAX;
    r->n_group = is_v3 || is_v2 ? 8 : 1;
    r->n_group_active = is_v3 ? 4 : is_v2 ? 3 : 1;
}

static bool load_groups(struct mk_model *m, struct mk_deepseek *n, struct mk_err *err)
{
    const struct mk_config *c = &m->config;
    struct mk_router *r = &n->router;
    char method[32];
    const struct size_key keys[] = {
        {"n_group", "expert_group_count", 1, MK_MAX_EXPERTS, 1, &r->n_group},
        {"topk_group", "expert_group_used_count", 1, MK_MAX_EXPERTS, 1, &r->n_group_active},
    };
    if (!load_sizes(c, keys, 2, err) ||
        !mk_config_str(c, "topk_method", NULL, "", method, sizeof method, err))
        return false;
    if (c->is_gguf && !mk_config_has(c, NULL, "expert_group_count")) groups_from_shape(r);
    r->group_rank = r->score == MK_SCORE_SIGMOID ? MK_GROUP_TOP2 : MK_GROUP_MAX;
    if (!strcmp(method, "noaux_tc"))
        r->group_rank = MK_GROUP_TOP2;
    else if (!strcmp(method, "group_limited_greedy"))
        r->group_rank = MK_GROUP_MAX;
    else if (!strcmp(method, "greedy"))
        r->n_group = r->n_group_active = 1;
    else if (method[0])
        return mk_fail(err, MK_EUNSUPPORTED,
                       "%s: topk_method \"%s\" is not supported; supported: greedy, "
                       "group_limited_greedy, noaux_tc",
                       c->file, method);
    if (r->n_expert % r->n_group || r->n_group_active > r->n_group ||
        r->n_active > r->n_expert / r->n_group * r->n_group_active)
        return mk_fail(err, MK_EFORMAT,
                       "%s: cannot choose %zu of %zu experts from %zu of %zu groups", c->file,
                       r->n_active, r->n_expert, r->n_group_active, r->n_group);
    return true;
}

static bool load_router(struct mk_model *m, struct mk_deepseek *n, struct mk_err *err)
{
    const struct mk_config *c = &m->config;
    struct mk_router *r = &n->router;
    if (r->n_expert == 0) return true;
    if (r->n_active == 0 || n->d_ff_expert == 0)
        return mk_fail(err, MK_EFORMAT,
                       "%s: %zu experts, but num_experts_per_tok %zu, moe_intermediate_size %zu",
                       c->file, r->n_expert, r->n_active, n->d_ff_expert);
    double scale;
    if (!load_score(m, n, err) || !load_groups(m, n, err) ||
        !mk_config_float(c, "routed_scaling_factor", "expert_weights_scale", 0, 1e6, 1, &scale,
                         err) ||
        !mk_config_bool(c, "norm_topk_prob", "expert_weights_norm", false, &r->is_normed, err))
        return false;
    r->scale = scale > 0 ? (float)scale : 1.0f; /* GGUF writes 0 for "none" */
    /* V2's reference: a softmax router that norms does not scale. */
    if (r->score == MK_SCORE_SOFTMAX && r->is_normed && !c->is_gguf) r->scale = 1.0f;
    return true;
}

/* ---- weights --------------------------------------------------------------------------- */

#define AT "model.layers.%zu."

/* Both halves of kv_b as one trainable weight.  A head has d_nope rows for keys, which k_b
 * [head][latent][d_nope] holds transposed, then d_v rows for values, which v_b holds as they are.
 */
static bool join_kv_b(struct mk_model *m, const struct mk_deepseek *n, struct mk_ds_layer *l,
                      size_t i, struct mk_err *err)
{
    const size_t h = n->n_head, rank = n->kv_rank, d_k = n->d_nope, d_v = n->d_v;
    float *k = mk_calloc(h * rank * d_k, sizeof *k), *v = mk_calloc(h * rank * d_v, sizeof *v);
    float *both = mk_calloc(h * rank * (d_k + d_v), sizeof *both), *to = both;
    bool ok = mk_load_values(m, err, k, h * rank, d_k, AT "self_attn.k_b", i) &&
              mk_load_values(m, err, v, h * d_v, rank, AT "self_attn.v_b", i);
    for (size_t j = 0; ok && j < h; j++, to += (d_k + d_v) * rank) {
        for (size_t r = 0; r < d_k; r++)
            for (size_t c = 0; c < rank; c++) to[r * rank + c] = k[(j * rank + c) * d_k + r];
        memcpy(to + d_k * rank, v + j * d_v * rank, d_v * rank * sizeof *v);
    }
    ok = ok && mk_load_made(m, err, &l->kv_b, both, h * (d_k + d_v), rank,
                            AT "self_attn.kv_b_proj.weight", i);
    free(k);
    free(v);
    free(both);
    return ok;
}

static bool load_attention(struct mk_model *m, const struct mk_deepseek *n, struct mk_ds_layer *l,
                           size_t i, struct mk_err *err)
{
    const size_t d = m->d_model, d_q = n->n_head * (n->d_nope + n->d_rope), h = n->n_head;
    if (!mk_load_vector(m, err, &l->norm1, d, AT "input_layernorm.weight", i) ||
        !mk_load_vector(m, err, &l->norm2, d, AT "post_attention_layernorm.weight", i) ||
        !mk_load_vector(m, err, &l->kv_norm, n->kv_rank, AT "self_attn.kv_a_layernorm.weight", i) ||
        !mk_load_weight(m, err, &l->kv_a, n->kv_rank + n->d_rope, d,
                        AT "self_attn.kv_a_proj_with_mqa.weight", i) ||
        !mk_load_weight(m, err, &l->o, d, h * n->d_v, AT "self_attn.o_proj.weight", i))
        return false;
    if (n->q_rank == 0) {
        if (!mk_load_weight(m, err, &l->q, d_q, d, AT "self_attn.q_proj.weight", i)) return false;
    } else if (!mk_load_vector(m, err, &l->q_norm, n->q_rank, AT "self_attn.q_a_layernorm.weight",
                               i) ||
               !mk_load_weight(m, err, &l->q_a, n->q_rank, d, AT "self_attn.q_a_proj.weight", i) ||
               !mk_load_weight(m, err, &l->q_b, d_q, n->q_rank, AT "self_attn.q_b_proj.weight",
                               i)) {
        return false;
    }
    if (mk_has_tensor(m, AT "self_attn.kv_b_proj.weight", i))
        return mk_load_weight(m, err, &l->kv_b, h * (n->d_nope + n->d_v), n->kv_rank,
                              AT "self_attn.kv_b_proj.weight", i);
    if (m->trainable) return join_kv_b(m, n, l, i, err);
    return mk_load_weight(m, err, &l->k_b, h * n->kv_rank, n->d_nope, AT "self_attn.k_b", i) &&
           mk_load_weight(m, err, &l->v_b, h * n->d_v, n->kv_rank, AT "self_attn.v_b", i);
}

static bool load_mlp(struct mk_model *m, struct mk_ds_mlp *w, size_t d_ff, const char *part,
                     size_t i, struct mk_err *err)
{
    return mk_load_weight(m, err, &w->gate, d_ff, m->d_model, AT "mlp.%sgate_proj.weight", i,
                          part) &&
           mk_load_weight(m, err, &w->up, d_ff, m->d_model, AT "mlp.%sup_proj.weight", i, part) &&
           mk_load_weight(m, err, &w->down, m->d_model, d_ff, AT "mlp.%sdown_proj.weight", i, part);
}

static bool same_types(struct mk_model *m, const struct mk_weight *w, size_t n, size_t i,
                       struct mk_err *err)
{
    for (size_t e = 1; e < n; e++)
        if (w[e].type != w[0].type)
            return mk_fail(err, MK_EUNSUPPORTED,
                           "%s: layer %zu: expert %zu is %s, expert 0 is %s; all experts of a "
                           "layer must have one type",
                           m->tensors.path, i, e, mk_quants[w[e].type].name,
                           mk_quants[w[0].type].name);
    return true;
}

static bool load_experts(struct mk_model *m, const struct mk_deepseek *n, struct mk_ds_layer *l,
                         size_t i, struct mk_err *err)
{
    const size_t n_expert = n->router.n_expert, d = m->d_model, f = n->d_ff_expert;
    if (!mk_load_weight(m, err, &l->router, n_expert, d, AT "mlp.gate.weight", i)) return false;
    if (mk_has_tensor(m, AT "mlp.gate.e_score_correction_bias", i) &&
        !mk_load_vector(m, err, &l->router_bias, n_expert, AT "mlp.gate.e_score_correction_bias",
                        i))
        return false;
    if (n->n_shared && !load_mlp(m, &l->mlp, n->n_shared * f, "shared_experts.", i, err))
        return false;
    struct mk_weight *w = mk_arena_zero(&m->arena, 3 * n_expert * sizeof *w);
    l->gate = w, l->up = w + n_expert, l->down = w + 2 * n_expert;
    for (size_t e = 0; e < n_expert; e++)
        if (!mk_load_weight(m, err, &l->gate[e], f, d, AT "mlp.experts.%zu.gate_proj.weight", i,
                            e) ||
            !mk_load_weight(m, err, &l->up[e], f, d, AT "mlp.experts.%zu.up_proj.weight", i, e) ||
            !mk_load_weight(m, err, &l->down[e], d, f, AT "mlp.experts.%zu.down_proj.weight", i, e))
            return false;
    return same_types(m, l->gate, n_expert, i, err) && same_types(m, l->up, n_expert, i, err) &&
           same_types(m, l->down, n_expert, i, err);
}

static bool load_layer(struct mk_model *m, const struct mk_deepseek *n, size_t i,
                       struct mk_err *err)
{
    struct mk_ds_layer *l = &n->layers[i];
    if (!load_attention(m, n, l, i, err)) return false;
    const bool is_moe = n->router.n_expert && i >= n->n_dense && i % n->moe_every == 0;
    return is_moe ? load_experts(m, n, l, i, err) : load_mlp(m, &l->mlp, n->d_ff, "", i, err);
}

/* What one token reads of a layer. */
static void count_layer(struct mk_model *m, const struct mk_deepseek *n,
                        const struct mk_ds_layer *l)
{
    const struct mk_weight *all[] = {&l->q,        &l->q_a,    &l->q_b,      &l->kv_a,
                                     &l->o,        &l->kv_b,   &l->k_b,      &l->v_b,
                                     &l->mlp.gate, &l->mlp.up, &l->mlp.down, &l->router};
    for (size_t j = 0; j < sizeof all / sizeof *all; j++)
        if (all[j]->data) mk_count_active(m, all[j], all[j]->rows);
    if (!l->gate) return;
    mk_count_active(m, &l->gate[0], n->router.n_active * l->gate[0].rows);
    mk_count_active(m, &l->up[0], n->router.n_active * l->up[0].rows);
    mk_count_active(m, &l->down[0], n->router.n_active * l->down[0].rows);
}

/* The multi-token prediction layer is optional: community copies drop it. */
static bool load_mtp(struct mk_model *m, struct mk_deepseek *n, struct mk_err *err)
{
    const size_t i = m->n_layer, d = m->d_model;
    struct mk_ds_mtp *t = &n->mtp;
    if (!n->n_mtp || !mk_has_tensor(m, AT "eh_proj.weight", i)) return true;
    t->embed = n->embed, t->head = n->head;
    if (mk_has_tensor(m, AT "embed_tokens.weight", i) &&
        !mk_load_weight(m, err, &t->embed, m->n_vocab, d, AT "embed_tokens.weight", i))
        return false;
    if (mk_has_tensor(m, AT "shared_head.head.weight", i) &&
        !mk_load_weight(m, err, &t->head, m->n_vocab, d, AT "shared_head.head.weight", i))
        return false;
    t->is_loaded = mk_load_weight(m, err, &t->eh, d, 2 * d, AT "eh_proj.weight", i) &&
                   mk_load_vector(m, err, &t->enorm, d, AT "enorm.weight", i) &&
                   mk_load_vector(m, err, &t->hnorm, d, AT "hnorm.weight", i) &&
                   mk_load_vector(m, err, &t->norm, d, AT "shared_head.norm.weight", i) &&
                   load_layer(m, n, i, err);
    return t->is_loaded;
}

static bool load_ends(struct mk_model *m, struct mk_deepseek *n, struct mk_err *err)
{
    if (!mk_load_weight(m, err, &n->embed, m->n_vocab, m->d_model, "model.embed_tokens.weight") ||
        !mk_load_vector(m, err, &n->norm, m->d_model, "model.norm.weight"))
        return false;
    n->head = n->embed;
    if (m->config.is_gguf) n->is_tied = !mk_has_tensor(m, "lm_head.weight");
    if (!n->is_tied && !mk_load_weight(m, err, &n->head, m->n_vocab, m->d_model, "lm_head.weight"))
        return false;
    mk_count_active(m, &n->embed, 1);
    mk_count_active(m, &n->head, n->head.rows);
    return true;
}

/* Floats that a token takes in the attention and the feed-forward network of a layer. */
static size_t scratch_floats(const struct mk_model *m, const struct mk_deepseek *n)
{
    const struct mk_router *r = &n->router;
    const size_t d_k = n->d_nope + n->d_rope, shared = n->n_shared * n->d_ff_expert;
    const size_t attention = n->q_rank + n->kv_rank + n->d_rope +
                             n->n_head * (2 * d_k + 2 * n->d_v + MK_TILE + MK_PANEL_ROWS);
    const size_t dense = 2 * (shared > n->d_ff ? shared : n->d_ff);
    const size_t routed = r->n_active * (3 * n->d_ff_expert + 2 * m->d_model) + r->n_expert;
    return 6 * m->d_model + attention + dense + routed;
}

static bool load(struct mk_model *m, struct mk_err *err)
{
    struct mk_deepseek *n = mk_arena_zero(&m->arena, sizeof *n);
    m->net = n;
    if (!mk_load_plain(m, err) || !mk_load_vocab_size(m, err) || !load_numbers(m, n, err) ||
        !load_yarn(m, n, err) || !load_router(m, n, err))
        return false;
    set_rope(n);
    n->layers = mk_arena_zero(&m->arena, (m->n_layer + 1) * sizeof *n->layers);
    if (!load_ends(m, n, err)) return false;
    m->n_expert = n->router.n_expert, m->n_active = n->router.n_active;
    m->routed = mk_arena_take(&m->arena, m->n_layer * sizeof *m->routed);
    for (size_t i = 0; i < m->n_layer; i++) {
        if (!load_layer(m, n, i, err)) return false;
        count_layer(m, n, &n->layers[i]);
        if (!n->layers[i].gate) continue;
        n->layers[i].i_routed = m->n_routed;
        m->routed[m->n_routed++] = i;
    }
    m->kv = (struct mk_kv_shape){.n_layer = m->n_layer, .d_row = {n->kv_rank + n->d_rope, 0}};
    m->n_scratch = scratch_floats(m, n) * sizeof(float);
    m->kind = mk_arena_printf(&m->arena, "%s, %zu layers, %zu of %zu experts, latent of %zu",
                              m->config.arch, m->n_layer, n->router.n_active, n->router.n_expert,
                              n->kv_rank);
    return load_mtp(m, n, err);
}

static bool has_mtp(const struct mk_model *m)
{
    return ((const struct mk_deepseek *)m->net)->mtp.is_loaded;
}

/* ---- for reading on demand ------------------------------------------------------------------ */

static bool experts(const struct mk_model *m, size_t layer,
                    struct mk_weight *parts[MK_EXPERT_PARTS])
{
    const struct mk_ds_layer *l = &((const struct mk_deepseek *)m->net)->layers[layer];
    parts[0] = l->gate, parts[1] = l->up, parts[2] = l->down;
    return l->gate != NULL;
}

static size_t tables(const struct mk_model *m, const struct mk_weight *out[2])
{
    const struct mk_deepseek *n = m->net;
    size_t k = 0;
    if (n->embed.data != n->head.data) out[k++] = &n->embed;
    if (n->mtp.is_loaded && n->mtp.embed.data != n->embed.data) out[k++] = &n->mtp.embed;
    return k;
}

/* ---- metadata for convert ---------------------------------------------------------------- */

static struct mk_heads heads(const struct mk_model *m)
{
    const struct mk_deepseek *n = m->net;
    return (struct mk_heads){
        .n_head = n->n_head, .d_nope = n->d_nope, .d_v = n->d_v, .d_latent = n->kv_rank};
}

static void put_u32(struct mk_gguf_writer *w, const char *key, size_t v)
{
    char full[80];
    snprintf(full, sizeof full, "deepseek2.%s", key);
    mk_gguf_put_u32(w, full, (uint32_t)v);
}

static void put_f32(struct mk_gguf_writer *w, const char *key, double v)
{
    char full[80];
    snprintf(full, sizeof full, "deepseek2.%s", key);
    mk_gguf_put_f32(w, full, (float)v);
}

static void put_gguf_heads(const struct mk_deepseek *n, bool is_mla, struct mk_gguf_writer *w)
{
    put_u32(w, "attention.head_count", n->n_head);
    put_u32(w, "attention.head_count_kv", is_mla ? 1 : n->n_head);
    put_u32(w, "attention.key_length", is_mla ? n->kv_rank + n->d_rope : n->d_nope + n->d_rope);
    put_u32(w, "attention.value_length", is_mla ? n->kv_rank : n->d_v);
    if (is_mla) {
        put_u32(w, "attention.key_length_mla", n->d_nope + n->d_rope);
        put_u32(w, "attention.value_length_mla", n->d_v);
    }
    if (n->q_rank) put_u32(w, "attention.q_lora_rank", n->q_rank);
    put_u32(w, "attention.kv_lora_rank", n->kv_rank);
    put_u32(w, "rope.dimension_count", n->d_rope);
    put_f32(w, "rope.freq_base", n->theta);
    if (n->yarn.factor <= 0) return;
    mk_gguf_put_str(w, "deepseek2.rope.scaling.type", "yarn", 4);
    put_f32(w, "rope.scaling.factor", n->yarn.factor);
    put_u32(w, "rope.scaling.original_context_length", (size_t)n->yarn.n_ctx_orig);
    put_f32(w, "rope.scaling.yarn_log_multiplier", 0.1 * n->yarn.mscale_all_dim);
    put_f32(w, "rope.scaling.yarn_beta_fast", n->yarn.beta_fast);
    put_f32(w, "rope.scaling.yarn_beta_slow", n->yarn.beta_slow);
}

static void put_gguf(const struct mk_model *m, bool is_mla, struct mk_gguf_writer *w)
{
    const struct mk_deepseek *n = m->net;
    const struct mk_router *r = &n->router;
    mk_gguf_put_str(w, "general.architecture", "deepseek2", 9);
    put_u32(w, "block_count", m->n_layer + n->mtp.is_loaded);
    put_u32(w, "nextn_predict_layers", n->mtp.is_loaded);
    put_u32(w, "context_length", m->n_ctx);
    put_u32(w, "embedding_length", m->d_model);
    put_u32(w, "feed_forward_length", n->d_ff);
    put_u32(w, "vocab_size", m->n_vocab);
    put_f32(w, "attention.layer_norm_rms_epsilon", n->eps);
    put_gguf_heads(n, is_mla, w);
    if (!r->n_expert) return;
    put_u32(w, "leading_dense_block_count", n->n_dense);
    put_u32(w, "expert_count", r->n_expert);
    put_u32(w, "expert_used_count", r->n_active);
    put_u32(w, "expert_shared_count", n->n_shared);
    put_u32(w, "expert_feed_forward_length", n->d_ff_expert);
    put_f32(w, "expert_weights_scale", (double)r->scale);
    mk_gguf_put_bool(w, "deepseek2.expert_weights_norm", r->is_normed);
    put_u32(w, "expert_gating_func", r->score == MK_SCORE_SIGMOID ? 2 : 1);
    put_u32(w, "expert_group_count", r->n_group);
    put_u32(w, "expert_group_used_count", r->n_group_active);
}

static void put_int(json_t *o, const char *key, size_t v)
{
    json_object_set_new(o, key, json_integer((json_int_t)v));
}

static void put_hf_router(const struct mk_deepseek *n, json_t *o)
{
    const struct mk_router *r = &n->router;
    const bool is_sigmoid = r->score == MK_SCORE_SIGMOID;
    put_int(o, "n_routed_experts", r->n_expert);
    put_int(o, "num_experts_per_tok", r->n_active);
    put_int(o, "n_shared_experts", n->n_shared);
    put_int(o, "moe_intermediate_size", n->d_ff_expert);
    put_int(o, "first_k_dense_replace", n->n_dense);
    put_int(o, "moe_layer_freq", n->moe_every);
    put_int(o, "n_group", r->n_group);
    put_int(o, "topk_group", r->n_group_active);
    json_object_set_new(o, "scoring_func", json_string(is_sigmoid ? "sigmoid" : "softmax"));
    json_object_set_new(o, "topk_method",
                        json_string(r->group_rank == MK_GROUP_TOP2 && is_sigmoid ? "noaux_tc"
                                    : r->n_group > 1 ? "group_limited_greedy"
                                                     : "greedy"));
    json_object_set_new(o, "norm_topk_prob", json_boolean(r->is_normed));
    json_object_set_new(o, "routed_scaling_factor", json_real((double)r->scale));
}

static void put_hf(const struct mk_model *m, void *json)
{
    const struct mk_deepseek *n = m->net;
    json_t *o = json;
    const bool is_v3 = n->router.score == MK_SCORE_SIGMOID;
    json_object_set_new(
        o, "architectures",
        json_pack("[s]", is_v3 ? "DeepseekV3ForCausalLM" : "DeepseekV2ForCausalLM"));
    json_object_set_new(o, "model_type", json_string(is_v3 ? "deepseek_v3" : "deepseek_v2"));
    put_int(o, "hidden_size", m->d_model);
    put_int(o, "num_hidden_layers", m->n_layer);
    put_int(o, "num_nextn_predict_layers", n->mtp.is_loaded);
    put_int(o, "num_attention_heads", n->n_head);
    put_int(o, "num_key_value_heads", n->n_head);
    put_int(o, "vocab_size", m->n_vocab);
    put_int(o, "max_position_embeddings", m->n_ctx);
    put_int(o, "intermediate_size", n->d_ff);
    json_object_set_new(o, "q_lora_rank",
                        n->q_rank ? json_integer((json_int_t)n->q_rank) : json_null());
    put_int(o, "kv_lora_rank", n->kv_rank);
    put_int(o, "qk_nope_head_dim", n->d_nope);
    put_int(o, "qk_rope_head_dim", n->d_rope);
    put_int(o, "v_head_dim", n->d_v);
    json_object_set_new(o, "rms_norm_eps", json_real(n->eps));
    json_object_set_new(o, "rope_theta", json_real(n->theta));
    json_object_set_new(o, "hidden_act", json_string("silu"));
    json_object_set_new(o, "tie_word_embeddings", json_boolean(n->is_tied));
    if (n->yarn.factor > 0)
        json_object_set_new(o, "rope_scaling",
                            json_pack("{s:s, s:f, s:f, s:f, s:f, s:f, s:I}", "type", "yarn",
                                      "factor", n->yarn.factor, "beta_fast", n->yarn.beta_fast,
                                      "beta_slow", n->yarn.beta_slow, "mscale", n->yarn.mscale,
                                      "mscale_all_dim", n->yarn.mscale_all_dim,
                                      "original_max_position_embeddings",
                                      (json_int_t)n->yarn.n_ctx_orig));
    if (n->router.n_expert) put_hf_router(n, o);
}

const struct mk_family mk_family_deepseek_v3 = {
    .name = "deepseek_v3",
    .names = names,
    .load = load,
    .trains_gguf = true,
    .forward = mk_deepseek_forward,
    .has_mtp = has_mtp,
    .mtp = mk_deepseek_mtp,
    .experts = experts,
    .tables = tables,
    .heads = heads,
    .put_gguf = put_gguf,
    .put_hf = put_hf,
};
