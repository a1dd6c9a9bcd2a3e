/* Shapes: the published ones by name, others from config.json or GGUF metadata. */
#include "train/plan.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static const struct mk_plan_arch archs[] = {
#define MLA(NAME, LAYERS, D, VOCAB, CTX, HEADS, Q, LATENT, NOPE, ROPE, V, FF, DENSE, EXPERTS, \
            ACTIVE, SHARED, FF_E, MTP, SIGMOID, F8)                                           \
    {.name = NAME,                                                                            \
     .n_layer = LAYERS,                                                                       \
     .d_model = D,                                                                            \
     .n_vocab = VOCAB,                                                                        \
     .n_ctx = CTX,                                                                            \
     .n_head = HEADS,                                                                         \
     .n_kv_head = HEADS,                                                                      \
     .q_rank = Q,                                                                             \
     .d_latent = LATENT,                                                                      \
     .d_nope = NOPE,                                                                          \
     .d_rope = ROPE,                                                                          \
     .d_v = V,                                                                                \
     .d_ff = FF,                                                                              \
     .n_dense = DENSE,                                                                        \
     .moe_every = 1,                                                                          \
     .n_expert = EXPERTS,                                                                     \
     .n_active = ACTIVE,                                                                      \
     .n_shared = SHARED,                                                                      \
     .d_ff_expert = FF_E,                                                                     \
     .n_mtp = MTP,                                                                            \
     .has_router_bias = SIGMOID,                                                              \
     .is_f8 = F8},
#define GQA(NAME, LAYERS, D, VOCAB, CTX, HEADS, KV, D_HEAD, FF, TIED, BIAS) \
    {.name = NAME,                                                          \
     .n_layer = LAYERS,                                                     \
     .d_model = D,                                                          \
     .n_vocab = VOCAB,                                                      \
     .n_ctx = CTX,                                                          \
     .n_head = HEADS,                                                       \
     .n_kv_head = KV,                                                       \
     .d_head = D_HEAD,                                                      \
     .d_ff = FF,                                                            \
     .is_tied = TIED,                                                       \
     .has_qkv_bias = BIAS},
#include "train/plan_archs.def"
#undef MLA
#undef GQA
};
enum { N_ARCHS = sizeof archs / sizeof *archs };

const struct mk_plan_arch *mk_plan_arch_at(size_t i) { return i < N_ARCHS ? &archs[i] : NULL; }

const struct mk_plan_arch *mk_plan_arch_find(const char *name)
{
    for (size_t i = 0; i < N_ARCHS; i++)
        if (!strcasecmp(archs[i].name, name)) return &archs[i];
    return NULL;
}

/* ---- from a model's own numbers ------------------------------------------------------------ */

struct key {
    const char *hf, *gguf;
    int64_t lo, hi, missing; /* missing < lo: the key is needed */
    size_t *out;
};

static bool read_keys(const struct mk_config *c, const struct key *k, size_t n, struct mk_err *err)
{
    for (; n--; k++) {
        int64_t v;
        if (k->missing < k->lo
                ? !mk_config_need(c, k->hf, k->gguf, k->lo, k->hi, &v, err)
                : !mk_config_int(c, k->hf, k->gguf, k->lo, k->hi, k->missing, &v, err))
            return false;
        *k->out = (size_t)v;
    }
    return true;
}
#define N_KEYS(list) (sizeof(list) / sizeof *(list))

/* GGUF files may leave the vocabulary's size to the list of tokens. */
static int64_t count_tokens(const struct mk_config *c)
{
    const struct mk_gguf_kv *kv =
        c->is_gguf ? mk_gguf_find(c->gguf, "tokenizer.ggml.tokens") : NULL;
    return kv && kv->type == MK_GGUF_ARRAY && kv->array.n < 1 << 24 ? (int64_t)kv->array.n : 0;
}

static bool read_common(struct mk_plan_arch *a, const struct mk_config *c, struct mk_err *err)
{
    char quant[32];
    const struct key keys[] = {
        {"hidden_size", "embedding_length", 1, 1 << 20, 0, &a->d_model},
        {"num_hidden_layers", "block_count", 1, 4096, 0, &a->n_layer},
        {"num_attention_heads", "attention.head_count", 1, 4096, 0, &a->n_head},
        {"intermediate_size", "feed_forward_length", 1, 1 << 24, 0, &a->d_ff},
        {"max_position_embeddings", "context_length", 1, 1 << 28, 4096, &a->n_ctx},
        {"vocab_size", "vocab_size", 1, 1 << 24, count_tokens(c), &a->n_vocab},
    };
    if (!read_keys(c, keys, N_KEYS(keys), err) ||
        !mk_config_bool(c, "tie_word_embeddings", NULL, false, &a->is_tied, err) ||
        !mk_config_str(c, "quantization_config.quant_method", NULL, "", quant, sizeof quant, err))
        return false;
    a->is_f8 = !strcmp(quant, "fp8");
    snprintf(a->name, sizeof a->name, "%.60s", c->arch);
    return true;
}

static bool read_latent(struct mk_plan_arch *a, const struct mk_config *c, struct mk_err *err)
{
    const bool is_mla = mk_config_has(c, NULL, "attention.key_length_mla");
    size_t d_key = 0;
    const struct key keys[] = {
        {"q_lora_rank", "attention.q_lora_rank", 0, 1 << 20, 0, &a->q_rank},
        {"kv_lora_rank", "attention.kv_lora_rank", 1, 1 << 20, 0, &a->d_latent},
        {"qk_rope_head_dim", "rope.dimension_count", 1, 4096, 0, &a->d_rope},
        {"v_head_dim", is_mla ? "attention.value_length_mla" : "attention.value_length", 1, 4096, 0,
         &a->d_v},
        {"moe_intermediate_size", "expert_feed_forward_length", 0, 1 << 24, 0, &a->d_ff_expert},
        {"first_k_dense_replace", "leading_dense_block_count", 0, 4096, 0, &a->n_dense},
        {"moe_layer_freq", NULL, 1, 4096, 1, &a->moe_every},
        {"n_routed_experts", "expert_count", 0, 1 << 16, 0, &a->n_expert},
        {"num_experts_per_tok", "expert_used_count", 0, 1 << 16, 0, &a->n_active},
        {"n_shared_experts", "expert_shared_count", 0, 64, 0, &a->n_shared},
        {"num_nextn_predict_layers", "nextn_predict_layers", 0, 1, 0, &a->n_mtp},
    };
    const struct key nope = {"qk_nope_head_dim", NULL, 1, 4096, 0, &a->d_nope};
    if (!read_keys(c, keys, N_KEYS(keys), err)) return false;
    const struct key both = {NULL,
                             is_mla ? "attention.key_length_mla" : "attention.key_length",
                             (int64_t)a->d_rope + 1,
                             16384,
                             0,
                             &d_key};
    if (!read_keys(c, c->is_gguf ? &both : &nope, 1, err)) return false;
    if (c->is_gguf) a->d_nope = d_key - a->d_rope;
    if (c->is_gguf && a->n_mtp && a->n_layer > 1) a->n_layer--; /* counted as a block there */
    if (a->n_active > a->n_expert)
        return mk_fail(err, MK_EFORMAT, "%s: num_experts_per_tok is %zu of %zu experts", c->file,
                       a->n_active, a->n_expert);
    char score[32];
    if (!mk_config_str(c, "scoring_func", NULL,
                       strcmp(c->arch, "deepseek_v3") ? "softmax" : "sigmoid", score, sizeof score,
                       err))
        return false;
    int64_t gating;
    if (!mk_config_int(c, NULL, "expert_gating_func", 0, 100, 1, &gating, err)) return false;
    a->has_router_bias = c->is_gguf ? gating == 2 : !strcmp(score, "sigmoid");
    return true;
}

static bool read_grouped(struct mk_plan_arch *a, const struct mk_config *c, struct mk_err *err)
{
    const int64_t n = (int64_t)a->n_head;
    const int64_t d_head = a->d_model >= a->n_head ? (int64_t)(a->d_model / a->n_head) : 1;
    const struct key keys[] = {
        {"num_key_value_heads", "attention.head_count_kv", 1, n, n, &a->n_kv_head},
        {"head_dim", "attention.key_length", 1, 16384, d_head, &a->d_head},
    };
    a->has_qkv_bias = !strcmp(c->arch, "qwen2");
    return read_keys(c, keys, N_KEYS(keys), err);
}

bool mk_plan_arch_from_config(struct mk_plan_arch *out, const struct mk_config *c,
                              struct mk_err *err)
{
    static const char *const known[] = {"deepseek_v3", "deepseek_v2", "deepseek2", "qwen2",
                                        "llama"};
    struct mk_plan_arch a = {0};
    size_t i = 0;
    while (i < 5 && strcmp(known[i], c->arch)) i++;
    if (i == 5)
        return mk_fail(
            err, MK_EUNSUPPORTED,
            "%s: architecture \"%s\" cannot be planned; known: deepseek_v3, deepseek_v2, "
            "qwen2, llama",
            c->file, c->arch);
    if (!read_common(&a, c, err) || !(i < 3 ? read_latent(&a, c, err) : read_grouped(&a, c, err)))
        return false;
    *out = a;
    return true;
}
