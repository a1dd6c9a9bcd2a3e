/* Shapes of published models, and the tensors that follow from them under both sets of
 * names. */
#include "mkmodel.h"

#include <stdio.h>
#include <stdlib.h>

static const struct special tiny_specials[] = {
    {256, BOS},
    {257, EOS},
    {258, PAD},
    {259, THINK},
    {260, THINK_END},
    {261, USER},
    {262, ASSISTANT},
    {263, "<|EOT|>"},
    {264, "<｜tool▁calls▁begin｜>"},
    {265, "<｜tool▁calls▁end｜>"},
    {266, "<｜tool▁call▁begin｜>"},
    {267, "<｜tool▁call▁end｜>"},
    {268, "<｜tool▁outputs▁begin｜>"},
    {269, "<｜tool▁outputs▁end｜>"},
    {270, "<｜tool▁output▁begin｜>"},
    {271, "<｜tool▁output▁end｜>"},
    {272, "<｜tool▁sep｜>"},
    {0, NULL},
};
static const struct special qwen_specials[] = {
    {151643, EOS},       {151644, USER},  {151645, ASSISTANT}, {151646, BOS},
    {151647, "<|EOT|>"}, {151648, THINK}, {151649, THINK_END}, {0, NULL},
};
static const struct special small_specials[] = {{4000, BOS}, {4001, EOS}, {0, NULL}};
static const struct special llama_specials[] = {
    {128000, BOS},   {128001, EOS},       {128011, USER}, {128012, ASSISTANT},
    {128013, THINK}, {128014, THINK_END}, {128015, PAD},  {0, NULL},
};
static const struct special v2_specials[] = {{100000, BOS}, {100001, EOS}, {0, NULL}};

const struct shape mkmodel_shapes[] = {
    {
        .name = "tiny-v3",
        .model_type = "deepseek_v3",
        .architecture = "DeepseekV3ForCausalLM",
        .gguf_arch = "deepseek2",
        .pre = "deepseek-v3",
        .specials = tiny_specials,
        .bos = 256,
        .eos = 257,
        .d_model = 128,
        .d_ff = 256,
        .n_layer = 3,
        .n_head = 4,
        .n_kv = 4,
        .n_vocab = 288,
        .n_ctx = 8192,
        .theta = 10000,
        .eps = 1e-6,
        .q_lora = 64,
        .d_latent = 32,
        .d_nope = 32,
        .d_rope = 16,
        .d_v = 32,
        .n_expert = 8,
        .n_active = 2,
        .n_shared = 1,
        .d_ff_expert = 32,
        .n_dense = 1,
        .n_group = 4,
        .n_group_active = 2,
        .n_mtp = 1,
        .routed_scale = 2.5,
        .mscale = 1,
    },
    {
        .name = "v2-lite",
        .model_type = "deepseek_v2",
        .architecture = "DeepseekV2ForCausalLM",
        .gguf_arch = "deepseek2",
        .pre = "deepseek-llm",
        .specials = v2_specials,
        .bos = 100000,
        .eos = 100001,
        .d_model = 2048,
        .d_ff = 10944,
        .n_layer = 27,
        .n_head = 16,
        .n_kv = 16,
        .n_vocab = 102400,
        .n_ctx = 163840,
        .theta = 10000,
        .eps = 1e-6,
        .d_latent = 512,
        .d_nope = 128,
        .d_rope = 64,
        .d_v = 128,
        .n_expert = 64,
        .n_active = 6,
        .n_shared = 2,
        .d_ff_expert = 1408,
        .n_dense = 1,
        .n_group = 1,
        .n_group_active = 1,
        .routed_scale = 1,
        .mscale = 0.707,
    },
    {
        /* DeepSeek-V3's width, attention and experts in 7 of its 61 layers: 4 with experts. */
        .name = "v3-7",
        .model_type = "deepseek_v3",
        .architecture = "DeepseekV3ForCausalLM",
        .gguf_arch = "deepseek2",
        .pre = "deepseek-v3",
        .specials = tiny_specials,
        .bos = 256,
        .eos = 257,
        .d_model = 7168,
        .d_ff = 18432,
        .n_layer = 7,
        .n_head = 128,
        .n_kv = 128,
        .n_vocab = 129280,
        .n_ctx = 163840,
        .theta = 10000,
        .eps = 1e-6,
        .q_lora = 1536,
        .d_latent = 512,
        .d_nope = 128,
        .d_rope = 64,
        .d_v = 128,
        .n_expert = 256,
        .n_active = 8,
        .n_shared = 1,
        .d_ff_expert = 2048,
        .n_dense = 3,
        .n_group = 8,
        .n_group_active = 4,
        .routed_scale = 2.5,
        .mscale = 1,
    },
    {
        .name = "qwen-1.5b",
        .model_type = "qwen2",
        .architecture = "Qwen2ForCausalLM",
        .gguf_arch = "qwen2",
        .pre = "deepseek-r1-qwen",
        .specials = qwen_specials,
        .bos = 151646,
        .eos = 151643,
        .d_model = 1536,
        .d_ff = 8960,
        .n_layer = 28,
        .n_head = 12,
        .n_kv = 2,
        .d_head = 128,
        .n_vocab = 151936,
        .n_ctx = 131072,
        .theta = 10000,
        .eps = 1e-6,
    },
    {
        /* Rows of whole 256-blocks, small enough to quantise in every type in seconds. */
        .name = "small-qwen2",
        .model_type = "qwen2",
        .architecture = "Qwen2ForCausalLM",
        .gguf_arch = "qwen2",
        .pre = "deepseek-r1-qwen",
        .specials = small_specials,
        .bos = 4000,
        .eos = 4001,
        .d_model = 512,
        .d_ff = 1536,
        .n_layer = 6,
        .n_head = 8,
        .n_kv = 2,
        .d_head = 64,
        .n_vocab = 4096,
        .n_ctx = 8192,
        .theta = 10000,
        .eps = 1e-6,
    },
    {
        /* DeepSeek-V2-Lite's depth, heads and routing in a narrow model, for the same use. */
        .name = "small-v2",
        .model_type = "deepseek_v2",
        .architecture = "DeepseekV2ForCausalLM",
        .gguf_arch = "deepseek2",
        .pre = "deepseek-llm",
        .specials = small_specials,
        .bos = 4000,
        .eos = 4001,
        .d_model = 512,
        .d_ff = 2816,
        .n_layer = 27,
        .n_head = 8,
        .n_kv = 8,
        .n_vocab = 4096,
        .n_ctx = 163840,
        .theta = 10000,
        .eps = 1e-6,
        .d_latent = 512,
        .d_nope = 128,
        .d_rope = 64,
        .d_v = 128,
        .n_expert = 64,
        .n_active = 6,
        .n_shared = 2,
        .d_ff_expert = 256,
        .n_dense = 1,
        .n_group = 1,
        .n_group_active = 1,
        .routed_scale = 1,
        .mscale = 0.707,
    },
    {
        .name = "llama-8b",
        .model_type = "llama",
        .architecture = "LlamaForCausalLM",
        .gguf_arch = "llama",
        .pre = "llama-bpe",
        .specials = llama_specials,
        .bos = 128000,
        .eos = 128001,
        .d_model = 4096,
        .d_ff = 14336,
        .n_layer = 32,
        .n_head = 32,
        .n_kv = 8,
        .d_head = 128,
        .n_vocab = 128256,
        .n_ctx = 131072,
        .theta = 500000,
        .eps = 1e-5,
    },
};
const size_t mkmodel_n_shapes = sizeof mkmodel_shapes / sizeof *mkmodel_shapes;

static bool has_expert_layer(const struct shape *s, size_t layer)
{
    return s->n_expert && layer >= s->n_dense;
}

/* Of what the K-quant mixtures do, the part that matters for size and speed: the middle
 * layers alternate, the outer eighths have more bits. */
static bool has_more_bits(size_t layer, size_t n_layer)
{
    return layer < n_layer / 8 || layer >= 7 * n_layer / 8 || (layer - n_layer / 8) % 3 == 2;
}

static enum mk_type matrix_type(const struct model *m, const char *name, size_t layer, size_t cols)
{
    enum mk_type type = m->type;
    const bool is_output = !strcmp(name, "output.weight");
    if (type == MK_F8_E4M3 && (!strncmp(name, "lm_head", 7) || strstr(name, "embed_tokens") ||
                               strstr(name, "shared_head") || strstr(name, "eh_proj")))
        return MK_BF16;
    if (type == MK_Q4_0 && is_output) type = MK_Q6_K;
    if (type == MK_Q4_K && (is_output || ((strstr(name, "attn_v.") || strstr(name, "ffn_down")) &&
                                          has_more_bits(layer, m->shape->n_layer))))
        type = MK_Q6_K;
    /* Rows that are not whole blocks take the next type that fits. */
    if (cols % mk_quants[type].block_len) type = type == MK_Q6_K ? MK_Q8_0 : MK_Q5_0;
    if (cols % mk_quants[type].block_len) type = MK_BF16;
    return type;
}

static void add_item(struct model *m, enum fill fill, enum mk_type type, const char *name,
                     const size_t *dims, unsigned n_dims, size_t n_cols)
{
    if (m->n == m->cap) {
        m->cap = m->cap ? 2 * m->cap : 256;
        m->items = mk_realloc(m->items, m->cap * sizeof *m->items);
    }
    struct item it = {.fill = fill, .n_cols = n_cols};
    it.t = (struct mk_tensor){.name = mk_arena_strdup(&m->arena, name), .type = type};
    it.t.n_dims = n_dims;
    memcpy(it.t.dims, dims, n_dims * sizeof *dims);
    m->items[m->n++] = it;
}

/* A name without a layer has layer GLOBAL. */
enum { GLOBAL = -1 };

static char *full_name(struct model *m, const char *hf, const char *gguf, int layer)
{
    const char *name = m->is_gguf ? gguf : hf;
    if (!name) return NULL;
    if (layer == GLOBAL) return mk_arena_strdup(&m->arena, name);
    return mk_arena_printf(&m->arena, m->is_gguf ? "blk.%d.%s" : "model.layers.%d.%s", layer, name);
}

/* A matrix, or a stack of n of them (n = 0: no stack), in whichever world has a name. */
static void add_matrix(struct model *m, const char *hf, const char *gguf, int layer, size_t n,
                       size_t rows, size_t cols)
{
    enum { FP8_BLOCK = 128 };
    const char *name = full_name(m, hf, gguf, layer);
    if (!name) return;
    const enum mk_type type =
        matrix_type(m, m->is_gguf ? gguf : hf, layer < 0 ? 0 : (size_t)layer, cols);
    const size_t dims[] = {n, rows, cols};
    add_item(m, MATRIX, type, name, n ? dims : dims + 1, n ? 3 : 2, cols);
    if (type != MK_F8_E4M3) return;
    const size_t blocks[] = {(rows + FP8_BLOCK - 1) / FP8_BLOCK,
                             (cols + FP8_BLOCK - 1) / FP8_BLOCK};
    add_item(m, FP8_SCALE, MK_F32, mk_arena_printf(&m->arena, "%s_scale_inv", name), blocks, 2,
             cols);
}

/* Routers are not quantised. */
static void add_router(struct model *m, int layer)
{
    const struct shape *s = m->shape;
    const enum mk_type type = m->is_gguf ? MK_F32 : MK_BF16;
    const size_t dims[] = {s->n_expert, s->d_model};
    add_item(m, MATRIX, type, full_name(m, "mlp.gate.weight", "ffn_gate_inp.weight", layer), dims,
             2, s->d_model);
    if (is(s, "deepseek_v3"))
        add_item(m, SMALL, MK_F32,
                 full_name(m, "mlp.gate.e_score_correction_bias", "exp_probs_b.bias", layer), dims,
                 1, 0);
}

static void add_vector(struct model *m, enum fill fill, const char *hf, const char *gguf, int layer,
                       size_t n)
{
    const char *name = full_name(m, hf, gguf, layer);
    if (name) add_item(m, fill, m->is_gguf ? MK_F32 : MK_BF16, name, &n, 1, 0);
}

static void add_gqa(struct model *m, int l)
{
    const struct shape *s = m->shape;
    const size_t d = s->d_model, q = s->n_head * s->d_head, kv = s->n_kv * s->d_head;
    add_matrix(m, "self_attn.q_proj.weight", "attn_q.weight", l, 0, q, d);
    add_matrix(m, "self_attn.k_proj.weight", "attn_k.weight", l, 0, kv, d);
    add_matrix(m, "self_attn.v_proj.weight", "attn_v.weight", l, 0, kv, d);
    if (is(s, "qwen2")) {
        add_vector(m, SMALL, "self_attn.q_proj.bias", "attn_q.bias", l, q);
        add_vector(m, SMALL, "self_attn.k_proj.bias", "attn_k.bias", l, kv);
        add_vector(m, SMALL, "self_attn.v_proj.bias", "attn_v.bias", l, kv);
    }
    add_matrix(m, "self_attn.o_proj.weight", "attn_output.weight", l, 0, d, q);
}

static void add_mla(struct model *m, int l)
{
    const struct shape *s = m->shape;
    const size_t d = s->d_model, h = s->n_head, q = h * (s->d_nope + s->d_rope);
    if (s->q_lora) {
        add_matrix(m, "self_attn.q_a_proj.weight", "attn_q_a.weight", l, 0, s->q_lora, d);
        add_vector(m, NORM, "self_attn.q_a_layernorm.weight", "attn_q_a_norm.weight", l, s->q_lora);
        add_matrix(m, "self_attn.q_b_proj.weight", "attn_q_b.weight", l, 0, q, s->q_lora);
    } else {
        add_matrix(m, "self_attn.q_proj.weight", "attn_q.weight", l, 0, q, d);
    }
    add_matrix(m, "self_attn.kv_a_proj_with_mqa.weight", "attn_kv_a_mqa.weight", l, 0,
               s->d_latent + s->d_rope, d);
    add_vector(m, NORM, "self_attn.kv_a_layernorm.weight", "attn_kv_a_norm.weight", l, s->d_latent);
    const bool is_split = m->is_gguf && !m->is_old_mla;
    add_matrix(m, "self_attn.kv_b_proj.weight", is_split ? NULL : "attn_kv_b.weight", l, 0,
               h * (s->d_nope + s->d_v), s->d_latent);
    if (is_split) {
        add_matrix(m, NULL, "attn_k_b.weight", l, h, s->d_latent, s->d_nope);
        add_matrix(m, NULL, "attn_v_b.weight", l, h, s->d_v, s->d_latent);
    }
    add_matrix(m, "self_attn.o_proj.weight", "attn_output.weight", l, 0, d, h * s->d_v);
}

static void add_experts(struct model *m, int l)
{
    const struct shape *s = m->shape;
    const size_t d = s->d_model, f = s->d_ff_expert, n = s->n_expert, shared = f * s->n_shared;
    add_router(m, l);
    for (size_t e = 0; !m->is_gguf && e < n; e++) {
        char name[64];
        snprintf(name, sizeof name, "mlp.experts.%zu.gate_proj.weight", e);
        add_matrix(m, name, NULL, l, 0, f, d);
        snprintf(name, sizeof name, "mlp.experts.%zu.up_proj.weight", e);
        add_matrix(m, name, NULL, l, 0, f, d);
        snprintf(name, sizeof name, "mlp.experts.%zu.down_proj.weight", e);
        add_matrix(m, name, NULL, l, 0, d, f);
    }
    add_matrix(m, NULL, "ffn_gate_exps.weight", l, n, f, d);
    add_matrix(m, NULL, "ffn_up_exps.weight", l, n, f, d);
    add_matrix(m, NULL, "ffn_down_exps.weight", l, n, d, f);
    add_matrix(m, "mlp.shared_experts.gate_proj.weight", "ffn_gate_shexp.weight", l, 0, shared, d);
    add_matrix(m, "mlp.shared_experts.up_proj.weight", "ffn_up_shexp.weight", l, 0, shared, d);
    add_matrix(m, "mlp.shared_experts.down_proj.weight", "ffn_down_shexp.weight", l, 0, d, shared);
}

static void add_layer(struct model *m, size_t layer)
{
    const struct shape *s = m->shape;
    const int l = (int)layer;
    add_vector(m, NORM, "input_layernorm.weight", "attn_norm.weight", l, s->d_model);
    if (is_mla(s))
        add_mla(m, l);
    else
        add_gqa(m, l);
    add_vector(m, NORM, "post_attention_layernorm.weight", "ffn_norm.weight", l, s->d_model);
    if (has_expert_layer(s, layer)) {
        add_experts(m, l);
        return;
    }
    add_matrix(m, "mlp.gate_proj.weight", "ffn_gate.weight", l, 0, s->d_ff, s->d_model);
    add_matrix(m, "mlp.up_proj.weight", "ffn_up.weight", l, 0, s->d_ff, s->d_model);
    add_matrix(m, "mlp.down_proj.weight", "ffn_down.weight", l, 0, s->d_model, s->d_ff);
}

/* The layer that predicts a second token; GGUF files of this family leave it out. */
static void add_mtp(struct model *m, size_t layer)
{
    const struct shape *s = m->shape;
    const int l = (int)layer;
    const size_t d = s->d_model;
    add_layer(m, layer);
    add_matrix(m, "embed_tokens.weight", NULL, l, 0, s->n_vocab, d);
    add_vector(m, NORM, "enorm.weight", NULL, l, d);
    add_vector(m, NORM, "hnorm.weight", NULL, l, d);
    add_matrix(m, "eh_proj.weight", NULL, l, 0, d, 2 * d);
    add_vector(m, NORM, "shared_head.norm.weight", NULL, l, d);
    add_matrix(m, "shared_head.head.weight", NULL, l, 0, s->n_vocab, d);
}

void mkmodel_add_tensors(struct model *m)
{
    const struct shape *s = m->shape;
    const size_t n_freqs = s->d_head / 2;
    add_matrix(m, "model.embed_tokens.weight", "token_embd.weight", GLOBAL, 0, s->n_vocab,
               s->d_model);
    if (is(s, "llama")) add_vector(m, ROPE_FREQS, NULL, "rope_freqs.weight", GLOBAL, n_freqs);
    for (size_t l = 0; l < s->n_layer; l++) add_layer(m, l);
    for (size_t i = 0; !m->is_gguf && i < s->n_mtp; i++) add_mtp(m, s->n_layer + i);
    add_vector(m, NORM, "model.norm.weight", "output_norm.weight", GLOBAL, s->d_model);
    add_matrix(m, "lm_head.weight", "output.weight", GLOBAL, 0, s->n_vocab, s->d_model);
}
