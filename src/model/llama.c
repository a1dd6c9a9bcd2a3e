/* Llama and Qwen2: the dense families of the R1 distills.
 *
 *   h += Wo attention(rope(Wq x + bq), rope(Wk x + bk), Wv x + bv),  x = rmsnorm(h)
 *   h += Wdown (silu(Wgate x) * Wup x),                             x = rmsnorm(h)
 *
 * Qwen2 has biases on q, k, v and plain rotation; Llama 3 has none and stretched
 * frequencies.  GGUF files of Llama hold q and k with the rows of each head interleaved,
 * which turns half-split rotation into rotation of neighbours. */
#include "model/int_model.h"
#include "tensor/tape.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

static const struct mk_name names[] = {
    {"model.embed_tokens.weight", "token_embd.weight", MK_NAME_SAME},
    {"model.norm.weight", "output_norm.weight", MK_NAME_SAME},
    {"lm_head.weight", "output.weight", MK_NAME_SAME},
    {"model.layers.#.input_layernorm.weight", "blk.#.attn_norm.weight", MK_NAME_SAME},
    {"model.layers.#.self_attn.q_proj.weight", "blk.#.attn_q.weight", MK_NAME_PERMUTED_Q},
    {"model.layers.#.self_attn.k_proj.weight", "blk.#.attn_k.weight", MK_NAME_PERMUTED_K},
    {"model.layers.#.self_attn.v_proj.weight", "blk.#.attn_v.weight", MK_NAME_SAME},
    {"model.layers.#.self_attn.q_proj.bias", "blk.#.attn_q.bias", MK_NAME_PERMUTED_Q},
    {"model.layers.#.self_attn.k_proj.bias", "blk.#.attn_k.bias", MK_NAME_PERMUTED_K},
    {"model.layers.#.self_attn.v_proj.bias", "blk.#.attn_v.bias", MK_NAME_SAME},
    {"model.layers.#.self_attn.o_proj.weight", "blk.#.attn_output.weight", MK_NAME_SAME},
    {"model.layers.#.post_attention_layernorm.weight", "blk.#.ffn_norm.weight", MK_NAME_SAME},
    {"model.layers.#.mlp.gate_proj.weight", "blk.#.ffn_gate.weight", MK_NAME_SAME},
    {"model.layers.#.mlp.up_proj.weight", "blk.#.ffn_up.weight", MK_NAME_SAME},
    {"model.layers.#.mlp.down_proj.weight", "blk.#.ffn_down.weight", MK_NAME_SAME},
    {"rope_freqs.weight", "rope_freqs.weight", MK_NAME_ROPE},
    {NULL, NULL, MK_NAME_SAME},
};

struct layer {
    const float *norm1, *norm2;
    struct mk_weight q, k, v, o, gate, up, down;
    const float *q_bias, *k_bias, *v_bias; /* NULL for Llama */
};

struct net {
    bool is_qwen2, is_tied;
    size_t n_head, n_kv_head, d_head, d_ff;
    double theta, eps;
    struct { /* Llama 3's stretching; factor 0: none */
        double factor, low, high, n_ctx_orig;
    } scaling;
    struct mk_rope rope;
    struct mk_weight embed, head;
    const float *norm;
    struct layer *layers;
};

/* ---- loading --------------------------------------------------------------------- */

static bool load_scaling(struct mk_model *m, struct net *n, struct mk_err *err)
{
    const struct mk_config *c = &m->config;
    char type[32];
    if (!mk_config_str(c, "rope_scaling.type", "rope.scaling.type", "", type, sizeof type, err) ||
        (!type[0] && !mk_config_str(c, "rope_scaling.rope_type", NULL, "", type, sizeof type, err)))
        return false;
    if (!type[0] || !strcmp(type, "default") || !strcmp(type, "none")) return true;
    if (strcmp(type, "llama3"))
        return mk_fail(err, MK_EUNSUPPORTED,
                       "%s: rope_scaling type \"%s\" is not supported for %s; supported: llama3",
                       c->file, type, c->arch);
    return mk_config_float(c, "rope_scaling.factor", NULL, 1, 1e6, 8, &n->scaling.factor, err) &&
           mk_config_float(c, "rope_scaling.low_freq_factor", NULL, 1e-3, 1e6, 1, &n->scaling.low,
                           err) &&
           mk_config_float(c, "rope_scaling.high_freq_factor", NULL, 1e-3, 1e6, 4, &n->scaling.high,
                           err) &&
           mk_config_float(c, "rope_scaling.original_max_position_embeddings", NULL, 1, 1e9, 8192,
                           &n->scaling.n_ctx_orig, err);
}

static bool load_config(struct mk_model *m, struct net *n, struct mk_err *err)
{
    const struct mk_config *c = &m->config;
    int64_t d_model, n_layer, n_head, n_kv, d_head, d_ff, n_ctx;
    if (!mk_config_need(c, "hidden_size", "embedding_length", 1, 1 << 20, &d_model, err) ||
        !mk_config_need(c, "num_hidden_layers", "block_count", 1, 4096, &n_layer, err) ||
        !mk_config_need(c, "num_attention_heads", "attention.head_count", 1, 4096, &n_head, err) ||
        !mk_config_int(c, "num_key_value_heads", "attention.head_count_kv", 1, n_head, n_head,
                       &n_kv, err) ||
        !mk_config_int(c, "head_dim", "attention.key_length", 2, 2 * MK_ROPE_MAX_PAIRS,
                       d_model / n_head, &d_head, err) ||
        !mk_config_need(c, "intermediate_size", "feed_forward_length", 1, 1 << 24, &d_ff, err) ||
        !mk_config_int(c, "max_position_embeddings", "context_length", 1, 1 << 28, 4096, &n_ctx,
                       err) ||
        !mk_config_float(c, "rms_norm_eps", "attention.layer_norm_rms_epsilon", 0, 1, 1e-6, &n->eps,
                         err) ||
        !mk_config_float(c, "rope_theta", "rope.freq_base", 1, 1e12, 10000, &n->theta, err) ||
        !mk_config_bool(c, "tie_word_embeddings", NULL, false, &n->is_tied, err))
        return false;
    if (n_head % n_kv)
        return mk_fail(err, MK_EFORMAT, "%s: %lld heads are not a multiple of %lld key/value heads",
                       c->file, (long long)n_head, (long long)n_kv);
    if (d_head % 2 || d_head < 2 || d_head > 2 * MK_ROPE_MAX_PAIRS)
        return mk_fail(err, MK_EUNSUPPORTED, "%s: head_dim %lld, want an even number in 2..%d",
                       c->file, (long long)d_head, 2 * MK_ROPE_MAX_PAIRS);
    m->d_model = (size_t)d_model, m->n_layer = (size_t)n_layer, m->n_ctx = (size_t)n_ctx;
    n->n_head = (size_t)n_head, n->n_kv_head = (size_t)n_kv;
    n->d_head = (size_t)d_head, n->d_ff = (size_t)d_ff;
    return load_scaling(m, n, err);
}

/* What Llama 3's formula divides each plain frequency by. */
static void divisors(const struct net *n, float *div)
{
    struct mk_rope plain, scaled;
    mk_rope_init(&plain, n->d_head / 2, n->rope.is_halves, n->theta);
    scaled = plain;
    mk_rope_llama3(&scaled, n->scaling.factor, n->scaling.low, n->scaling.high,
                   n->scaling.n_ctx_orig);
    for (size_t i = 0; i < plain.n_pair; i++)
        div[i] = (float)((double)plain.freq[i] / (double)scaled.freq[i]);
}

/* GGUF files hold only the divisors.  Every released model has the numbers 1, 4 and 8192;
 * the factor is the largest divisor, that of the slowest pair. */
static void recognise_scaling(struct net *n, const float *div)
{
    const size_t n_pair = n->d_head / 2;
    float want[MK_ROPE_MAX_PAIRS];
    n->scaling.factor = (double)div[n_pair - 1];
    n->scaling.low = 1, n->scaling.high = 4, n->scaling.n_ctx_orig = 8192;
    bool same = n->scaling.factor > 1;
    if (same) divisors(n, want);
    for (size_t i = 0; i < n_pair && same; i++) same = fabsf(div[i] - want[i]) <= 1e-5f * want[i];
    if (!same) n->scaling.factor = 0;
}

static bool load_rope(struct mk_model *m, struct net *n, struct mk_err *err)
{
    const bool is_halves = !(m->config.is_gguf && !n->is_qwen2);
    mk_rope_init(&n->rope, n->d_head / 2, is_halves, n->theta);
    if (n->scaling.factor > 0)
        mk_rope_llama3(&n->rope, n->scaling.factor, n->scaling.low, n->scaling.high,
                       n->scaling.n_ctx_orig);
    if (!m->config.is_gguf || !mk_has_tensor(m, "rope_freqs.weight")) return true;
    const float *div; /* GGUF: each frequency is divided by its factor */
    if (!mk_load_vector(m, err, &div, n->rope.n_pair, "rope_freqs.weight")) return false;
    for (size_t i = 0; i < n->rope.n_pair; i++) n->rope.freq[i] /= div[i];
    if (n->scaling.factor <= 0) recognise_scaling(n, div);
    return true;
}

static bool load_layer(struct mk_model *m, const struct net *n, struct layer *l, size_t i,
                       struct mk_err *err)
{
    const size_t d = m->d_model, d_q = n->n_head * n->d_head, d_kv = n->n_kv_head * n->d_head;
#define AT "model.layers.%zu."
    if (!mk_load_vector(m, err, &l->norm1, d, AT "input_layernorm.weight", i) ||
        !mk_load_vector(m, err, &l->norm2, d, AT "post_attention_layernorm.weight", i) ||
        !mk_load_weight(m, err, &l->q, d_q, d, AT "self_attn.q_proj.weight", i) ||
        !mk_load_weight(m, err, &l->k, d_kv, d, AT "self_attn.k_proj.weight", i) ||
        !mk_load_weight(m, err, &l->v, d_kv, d, AT "self_attn.v_proj.weight", i) ||
        !mk_load_weight(m, err, &l->o, d, d_q, AT "self_attn.o_proj.weight", i) ||
        !mk_load_weight(m, err, &l->gate, n->d_ff, d, AT "mlp.gate_proj.weight", i) ||
        !mk_load_weight(m, err, &l->up, n->d_ff, d, AT "mlp.up_proj.weight", i) ||
        !mk_load_weight(m, err, &l->down, d, n->d_ff, AT "mlp.down_proj.weight", i))
        return false;
    if (n->is_qwen2 && (!mk_load_vector(m, err, &l->q_bias, d_q, AT "self_attn.q_proj.bias", i) ||
                        !mk_load_vector(m, err, &l->k_bias, d_kv, AT "self_attn.k_proj.bias", i) ||
                        !mk_load_vector(m, err, &l->v_bias, d_kv, AT "self_attn.v_proj.bias", i)))
        return false;
#undef AT
    const struct mk_weight *all[] = {&l->q, &l->k, &l->v, &l->o, &l->gate, &l->up, &l->down};
    for (size_t j = 0; j < sizeof all / sizeof *all; j++) mk_count_active(m, all[j], all[j]->rows);
    return true;
}

static bool load_ends(struct mk_model *m, struct net *n, struct mk_err *err)
{
    if (!mk_load_weight(m, err, &n->embed, m->n_vocab, m->d_model, "model.embed_tokens.weight") ||
        !mk_load_vector(m, err, &n->norm, m->d_model, "model.norm.weight"))
        return false;
    n->head = n->embed;
    const bool has_head = mk_has_tensor(m, "lm_head.weight");
    if (m->config.is_gguf) n->is_tied = !has_head;
    if (!n->is_tied && !mk_load_weight(m, err, &n->head, m->n_vocab, m->d_model, "lm_head.weight"))
        return false;
    mk_count_active(m, &n->embed, 1);
    mk_count_active(m, &n->head, n->head.rows);
    return true;
}

static bool load(struct mk_model *m, struct mk_err *err)
{
    struct net *n = mk_arena_zero(&m->arena, sizeof *n);
    m->net = n;
    n->is_qwen2 = !strcmp(m->config.arch, "qwen2");
    if (!load_config(m, n, err)) return false;
    if (!mk_load_plain(m, err) || !mk_load_vocab_size(m, err) || !load_rope(m, n, err) ||
        !load_ends(m, n, err))
        return false;
    n->layers = mk_arena_zero(&m->arena, m->n_layer * sizeof *n->layers);
    for (size_t i = 0; i < m->n_layer; i++)
        if (!load_layer(m, n, &n->layers[i], i, err)) return false;
    const size_t d_kv = n->n_kv_head * n->d_head;
    m->kv = (struct mk_kv_shape){.n_layer = m->n_layer, .d_row = {d_kv, d_kv}};
    /* h, x, y of both halves of a layer, then what stands between their products. */
    m->n_scratch =
        sizeof(float) * (5 * m->d_model + 2 * n->n_head * n->d_head + 2 * d_kv + 2 * n->d_ff) +
        m->d_model + n->n_head * n->d_head + n->d_ff;
    m->kind = mk_arena_printf(&m->arena, "%s, %zu layers, %zu heads (%zu for keys)", m->config.arch,
                              m->n_layer, n->n_head, n->n_kv_head);
    return true;
}

/* ---- forward ----------------------------------------------------------------------- */

static void attention(const struct mk_model *m, struct mk_work *wk, const struct mk_step *s,
                      size_t i, const float *table, float *h)
{
    const struct net *n = m->net;
    const struct layer *l = &n->layers[i];
    const size_t d = m->d_model, d_q = n->n_head * n->d_head, d_kv = n->n_kv_head * n->d_head;
    float *x = mk_floats(wk, s->n_tok * d);
    float *q = mk_floats(wk, s->n_tok * d_q), *o = mk_floats(wk, s->n_tok * d_q);
    float *k = mk_floats(wk, s->n_tok * d_kv), *v = mk_floats(wk, s->n_tok * d_kv);
    mk_rmsnorm(wk, x, d, h, d, s->n_tok, d, l->norm1, (float)n->eps);
    struct mk_input in = mk_input(x, s->n_tok, d, d);
    const struct mk_product qkv[] = {{&l->q, q, d_q, l->q_bias, false},
                                     {&l->k, k, d_kv, l->k_bias, false},
                                     {&l->v, v, d_kv, l->v_bias, false}};
    mk_matmul(wk, &in, qkv, 3);
    mk_rope_apply(wk, &n->rope, table, q, s->n_tok, d_q, n->n_head, n->d_head);
    mk_rope_apply(wk, &n->rope, table, k, s->n_tok, d_kv, n->n_kv_head, n->d_head);
    for (size_t j = 0; j < s->n_spans; j++) {
        const struct mk_span *p = &s->spans[j];
        mk_kv_put(wk, p->kv, i, 0, p->pos, p->n, k + p->first * d_kv, d_kv);
        mk_kv_put(wk, p->kv, i, 1, p->pos, p->n, v + p->first * d_kv, d_kv);
    }
    const struct mk_gqa gqa = {n->n_head, n->n_kv_head, n->d_head, 1.0f / sqrtf((float)n->d_head)};
    mk_attention_gqa(wk, &gqa, i, s->spans, s->n_spans, q, o);
    struct mk_input out = mk_input(o, s->n_tok, d_q, d_q);
    mk_matmul(wk, &out, &(struct mk_product){&l->o, h, d, NULL, true}, 1);
}

static void feed_forward(const struct mk_model *m, struct mk_work *wk, size_t n_tok,
                         const struct layer *l, float *h)
{
    const struct net *n = m->net;
    const size_t d = m->d_model;
    float *x = mk_floats(wk, n_tok * d);
    mk_rmsnorm(wk, x, d, h, d, n_tok, d, l->norm2, (float)n->eps);
    struct mk_input in = mk_input(x, n_tok, d, d);
    mk_feed_forward(wk, &in, &l->gate, &l->up, &l->down, h);
}

struct block {
    const struct mk_model *m;
    struct mk_work *wk;
    const struct mk_step *s;
    size_t layer;
    const float *table;
    float *h;
};

static void run_block(void *arg)
{
    const struct block *b = arg;
    const struct net *n = b->m->net;
    const struct mk_arena_mark mark = mk_arena_mark(&b->wk->arena);
    attention(b->m, b->wk, b->s, b->layer, b->table, b->h);
    feed_forward(b->m, b->wk, b->s->n_tok, &n->layers[b->layer], b->h);
    mk_scratch_end(b->wk, mark);
}

static bool forward(const struct mk_model *m, struct mk_work *wk, const struct mk_step *s)
{
    const struct net *n = m->net;
    const size_t d = m->d_model;
    float *h = mk_floats(wk, s->n_tok * d);
    const float *table = mk_step_rope(wk, &n->rope, s);
    mk_embed(wk, h, &n->embed, s->tok, s->n_tok);
    mk_probe(wk, "hidden", 0, h, s->n_tok, d);
    for (size_t i = 0; i < m->n_layer; i++) {
        if (mk_step_is_stopped(s)) return false;
        struct block *b = mk_arena_take(&wk->arena, sizeof *b);
        *b = (struct block){m, wk, s, i, table, h};
        mk_tape_block(wk, h, s->n_tok * d, run_block, b);
        mk_probe(wk, "hidden", (int)i + 1, h, s->n_tok, d);
    }
    mk_step_logits(wk, s, h, d, n->norm, (float)n->eps, &n->head);
    return true;
}

/* ---- metadata for convert ------------------------------------------------------------ */

static struct mk_heads heads(const struct mk_model *m)
{
    const struct net *n = m->net;
    return (struct mk_heads){
        .n_head = n->n_head, .n_kv_head = n->n_kv_head, .is_permuted = !n->is_qwen2};
}

static size_t rope_divisors(const struct mk_model *m, float *out, size_t max)
{
    const struct net *n = m->net;
    if (n->scaling.factor <= 0 || n->d_head / 2 > max) return 0;
    divisors(n, out);
    return n->d_head / 2;
}

static void put_gguf(const struct mk_model *m, bool is_mla, struct mk_gguf_writer *w)
{
    (void)is_mla;
    const struct net *n = m->net;
    char key[64];
    const struct {
        const char *key;
        size_t v;
    } ints[] = {{"block_count", m->n_layer},         {"context_length", m->n_ctx},
                {"embedding_length", m->d_model},    {"feed_forward_length", n->d_ff},
                {"attention.head_count", n->n_head}, {"attention.head_count_kv", n->n_kv_head},
                {"attention.key_length", n->d_head}, {"attention.value_length", n->d_head},
                {"rope.dimension_count", n->d_head}, {"vocab_size", m->n_vocab}};
    const char *arch = m->config.arch;
    mk_gguf_put_str(w, "general.architecture", arch, strlen(arch));
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++) {
        snprintf(key, sizeof key, "%s.%s", arch, ints[i].key);
        mk_gguf_put_u32(w, key, (uint32_t)ints[i].v);
    }
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", arch);
    mk_gguf_put_f32(w, key, (float)n->eps);
    snprintf(key, sizeof key, "%s.rope.freq_base", arch);
    mk_gguf_put_f32(w, key, (float)n->theta);
}

static void put_hf(const struct mk_model *m, void *json)
{
    const struct net *n = m->net;
    json_t *o = json;
    json_object_set_new(o, "architectures",
                        json_pack("[s]", n->is_qwen2 ? "Qwen2ForCausalLM" : "LlamaForCausalLM"));
    json_object_set_new(o, "model_type", json_string(n->is_qwen2 ? "qwen2" : "llama"));
    json_object_set_new(o, "hidden_size", json_integer((json_int_t)m->d_model));
    json_object_set_new(o, "num_hidden_layers", json_integer((json_int_t)m->n_layer));
    json_object_set_new(o, "num_attention_heads", json_integer((json_int_t)n->n_head));
    json_object_set_new(o, "num_key_value_heads", json_integer((json_int_t)n->n_kv_head));
    json_object_set_new(o, "head_dim", json_integer((json_int_t)n->d_head));
    json_object_set_new(o, "intermediate_size", json_integer((json_int_t)n->d_ff));
    json_object_set_new(o, "vocab_size", json_integer((json_int_t)m->n_vocab));
    json_object_set_new(o, "max_position_embeddings", json_integer((json_int_t)m->n_ctx));
    json_object_set_new(o, "rms_norm_eps", json_real(n->eps));
    json_object_set_new(o, "rope_theta", json_real(n->theta));
    json_object_set_new(o, "hidden_act", json_string("silu"));
    json_object_set_new(o, "tie_word_embeddings", json_boolean(n->is_tied));
    if (n->scaling.factor > 0)
        json_object_set_new(o, "rope_scaling",
                            json_pack("{s:s, s:f, s:f, s:f, s:I}", "rope_type", "llama3", "factor",
                                      n->scaling.factor, "low_freq_factor", n->scaling.low,
                                      "high_freq_factor", n->scaling.high,
                                      "original_max_position_embeddings",
                                      (json_int_t)n->scaling.n_ctx_orig));
}

const struct mk_family mk_family_llama = {
    .name = "llama",
    .names = names,
    .load = load,
    .forward = forward,
    .heads = heads,
    .rope_divisors = rope_divisors,
    .put_gguf = put_gguf,
    .put_hf = put_hf,
};
