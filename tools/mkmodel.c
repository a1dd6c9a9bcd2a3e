/* mkmodel - writes checkpoints of real shapes with random weights.
 *
 *   mkmodel --shape NAME --type TYPE --out PATH [--format safetensors|gguf]
 *           [--mla new|old] [--tokenizer tokenizer.json] [--seed N]
 *
 * They say nothing sensible but load, run and take memory and time like the real ones.
 * Matrices have a standard deviation of 1 / sqrt(columns) and norms are near 1, so that
 * activations stay of order 1.  Random blocks are encoded once into a pool of some MB for
 * each type and scale, and tensors are filled with pieces of it: a 16 GB file is written
 * at the speed of the disk.
 *
 * safetensors: PATH becomes a folder with model.safetensors, config.json,
 * generation_config.json, tokenizer.json and tokenizer_config.json.  gguf: PATH is a file. */
#include "mkmodel.h"

#include "base/file.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static struct mk_tensor *tensor_list(const struct model *m)
{
    struct mk_tensor *list = mk_calloc(m->n, sizeof *list);
    for (size_t i = 0; i < m->n; i++) list[i] = m->items[i].t;
    return list;
}

/* ---- safetensors folder -------------------------------------------------------- */

static bool write_json(const char *dir, const char *name, json_t *v, size_t flags,
                       struct mk_err *err)
{
    struct mk_str path = {0};
    struct mk_out o;
    mk_str_addf(&path, "%s/%s", dir, name);
    char *text = json_dumps(v, flags);
    bool ok = mk_out_open(&o, path.data, err);
    if (ok) {
        ok = mk_out_write(&o, text, strlen(text), err) && mk_out_write(&o, "\n", 1, err) &&
             mk_out_close(&o, err);
        if (!ok) mk_out_abandon(&o);
    }
    free(text);
    mk_str_release(&path);
    return ok;
}

static void set_int(json_t *o, const char *key, size_t v)
{
    json_object_set_new(o, key, json_integer((json_int_t)v));
}
static void set_real(json_t *o, const char *key, double v)
{
    json_object_set_new(o, key, json_real(v));
}
static void set_str(json_t *o, const char *key, const char *v)
{
    json_object_set_new(o, key, json_string(v));
}

static void set_mla(json_t *o, const struct shape *s)
{
    const bool is_v3 = is(s, "deepseek_v3");
    json_object_set_new(o, "q_lora_rank",
                        s->q_lora ? json_integer((json_int_t)s->q_lora) : json_null());
    set_int(o, "kv_lora_rank", s->d_latent);
    set_int(o, "qk_nope_head_dim", s->d_nope);
    set_int(o, "qk_rope_head_dim", s->d_rope);
    set_int(o, "v_head_dim", s->d_v);
    set_int(o, "n_routed_experts", s->n_expert);
    set_int(o, "n_shared_experts", s->n_shared);
    set_int(o, "num_experts_per_tok", s->n_active);
    set_int(o, "moe_intermediate_size", s->d_ff_expert);
    set_int(o, "first_k_dense_replace", s->n_dense);
    set_int(o, "moe_layer_freq", 1);
    set_int(o, "n_group", s->n_group);
    set_int(o, "topk_group", s->n_group_active);
    set_int(o, "num_nextn_predict_layers", s->n_mtp);
    set_str(o, "topk_method", is_v3 ? "noaux_tc" : "greedy");
    set_str(o, "scoring_func", is_v3 ? "sigmoid" : "softmax");
    json_object_set_new(o, "norm_topk_prob", json_boolean(is_v3));
    set_real(o, "routed_scaling_factor", s->routed_scale);
    json_object_set_new(o, "rope_scaling",
                        json_pack("{ss si si si sf sf si}", "type", "yarn", "factor", 40,
                                  "beta_fast", 32, "beta_slow", 1, "mscale", s->mscale,
                                  "mscale_all_dim", s->mscale, "original_max_position_embeddings",
                                  4096));
}

static json_t *config_json(const struct model *m)
{
    const struct shape *s = m->shape;
    json_t *o = json_pack("{s[s] ss ss sb sb ss}", "architectures", s->architecture, "model_type",
                          s->model_type, "hidden_act", "silu", "tie_word_embeddings", 0,
                          "attention_bias", 0, "torch_dtype", "bfloat16");
    set_int(o, "vocab_size", s->n_vocab);
    set_int(o, "hidden_size", s->d_model);
    set_int(o, "intermediate_size", s->d_ff);
    set_int(o, "num_hidden_layers", s->n_layer);
    set_int(o, "num_attention_heads", s->n_head);
    set_int(o, "num_key_value_heads", s->n_kv);
    set_int(o, "max_position_embeddings", s->n_ctx);
    set_real(o, "rms_norm_eps", s->eps);
    set_real(o, "rope_theta", s->theta);
    /* The published Qwen distills say the end token here; the tokenizer knows better. */
    set_int(o, "bos_token_id", (size_t)(is(s, "qwen2") ? s->eos : s->bos));
    set_int(o, "eos_token_id", (size_t)s->eos);
    if (is_mla(s)) set_mla(o, s);
    if (is(s, "llama"))
        json_object_set_new(o, "rope_scaling",
                            json_pack("{ss sf sf sf si}", "rope_type", "llama3", "factor", 8.0,
                                      "low_freq_factor", 1.0, "high_freq_factor", 4.0,
                                      "original_max_position_embeddings", 8192));
    if (m->type == MK_F8_E4M3)
        json_object_set_new(o, "quantization_config",
                            json_pack("{ss ss ss s[ii]}", "quant_method", "fp8", "fmt", "e4m3",
                                      "activation_scheme", "dynamic", "weight_block_size", 128,
                                      128));
    return o;
}

static bool write_side_files(const struct model *m, json_t *tokenizer, const char *dir,
                             struct mk_err *err)
{
    const struct shape *s = m->shape;
    json_t *config = config_json(m);
    json_t *generation = json_pack("{sb sf sf si si}", "do_sample", 1, "temperature", 0.6, "top_p",
                                   0.95, "bos_token_id", s->bos, "eos_token_id", s->eos);
    json_t *tok = json_pack("{sb sb ss ss sI}", "add_bos_token", 1, "add_eos_token", 0, "bos_token",
                            BOS, "eos_token", EOS, "model_max_length", (json_int_t)s->n_ctx);
    if (mkmodel_template(s)) set_str(tok, "chat_template", mkmodel_template(s));
    const bool ok =
        write_json(dir, "config.json", config, JSON_INDENT(2) | JSON_REAL_PRECISION(15), err) &&
        write_json(dir, "generation_config.json", generation,
                   JSON_INDENT(2) | JSON_REAL_PRECISION(15), err) &&
        write_json(dir, "tokenizer_config.json", tok, JSON_INDENT(2) | JSON_REAL_PRECISION(15),
                   err) &&
        write_json(dir, "tokenizer.json", tokenizer, JSON_INDENT(1), err);
    json_decref(config);
    json_decref(generation);
    json_decref(tok);
    return ok;
}

static bool write_safetensors(struct model *m, json_t *tokenizer, const char *dir,
                              struct mk_err *err)
{
    static const char *const metadata[] = {"format", "pt", NULL};
    if (!mk_mkdirs(dir, 0755, err) || !write_side_files(m, tokenizer, dir, err)) return false;
    struct mk_str path = {0};
    mk_str_addf(&path, "%s/model.safetensors", dir);
    struct mk_tensor *list = tensor_list(m);
    struct sink out = {0};
    bool ok = mk_st_writer_open(&out.st, path.data, list, m->n, metadata, err);
    if (ok && !mkmodel_put_weights(m, &out, err)) {
        mk_st_writer_abandon(out.st);
        ok = false;
    } else if (ok) {
        ok = mk_st_writer_close(out.st, err);
    }
    free(list);
    mk_str_release(&path);
    return ok;
}

/* ---- GGUF ---------------------------------------------------------------------- */

struct meta {
    struct mk_gguf_writer *w;
    const char *arch;
};

static const char *arch_key(const struct meta *g, char buf[128], const char *key)
{
    snprintf(buf, 128, "%s.%s", g->arch, key);
    return buf;
}
static void put_int(const struct meta *g, const char *key, size_t v)
{
    char buf[128];
    mk_gguf_put_u32(g->w, arch_key(g, buf, key), (uint32_t)v);
}
static void put_float(const struct meta *g, const char *key, double v)
{
    char buf[128];
    mk_gguf_put_f32(g->w, arch_key(g, buf, key), (float)v);
}
static void put_text(struct mk_gguf_writer *w, const char *key, const char *text)
{
    mk_gguf_put_str(w, key, text, strlen(text));
}

static void put_mla_meta(const struct meta *g, const struct model *m)
{
    const struct shape *s = m->shape;
    const bool is_v3 = is(s, "deepseek_v3"), is_old = m->is_old_mla;
    const size_t d_k = s->d_nope + s->d_rope;
    char buf[128];
    if (s->q_lora) put_int(g, "attention.q_lora_rank", s->q_lora);
    put_int(g, "attention.kv_lora_rank", s->d_latent);
    put_int(g, "attention.key_length", is_old ? d_k : s->d_latent + s->d_rope);
    put_int(g, "attention.value_length", is_old ? s->d_v : s->d_latent);
    if (!is_old) {
        put_int(g, "attention.key_length_mla", d_k);
        put_int(g, "attention.value_length_mla", s->d_v);
    }
    put_int(g, "rope.dimension_count", s->d_rope);
    put_text(g->w, arch_key(g, buf, "rope.scaling.type"), "yarn");
    put_float(g, "rope.scaling.factor", 40);
    put_int(g, "rope.scaling.original_context_length", 4096);
    put_float(g, "rope.scaling.yarn_log_multiplier", 0.1 * s->mscale);
    put_int(g, "leading_dense_block_count", s->n_dense);
    put_int(g, "expert_count", s->n_expert);
    put_int(g, "expert_used_count", s->n_active);
    put_int(g, "expert_shared_count", s->n_shared);
    put_int(g, "expert_feed_forward_length", s->d_ff_expert);
    put_float(g, "expert_weights_scale", s->routed_scale);
    mk_gguf_put_bool(g->w, arch_key(g, buf, "expert_weights_norm"), is_v3);
    put_int(g, "expert_gating_func", is_v3 ? 2 : 1);
    put_int(g, "expert_group_count", s->n_group);
    put_int(g, "expert_group_used_count", s->n_group_active);
}

static uint32_t file_type(enum mk_type type)
{
    switch (type) {
    case MK_Q4_0:
        return 2;
    case MK_Q8_0:
        return 7;
    case MK_Q4_K:
        return 15; /* Q4_K_M */
    default:
        return 32; /* BF16 */
    }
}

static void put_model_meta(struct mk_gguf_writer *w, const struct model *m)
{
    const struct shape *s = m->shape;
    const struct meta g = {w, s->gguf_arch};
    put_text(w, "general.architecture", s->gguf_arch);
    put_text(w, "general.name", s->name);
    mk_gguf_put_u32(w, "general.file_type", file_type(m->type));
    mk_gguf_put_u32(w, "general.quantization_version", 2);
    put_int(&g, "block_count", s->n_layer);
    put_int(&g, "context_length", s->n_ctx);
    put_int(&g, "embedding_length", s->d_model);
    put_int(&g, "feed_forward_length", s->d_ff);
    put_int(&g, "attention.head_count", s->n_head);
    put_int(&g, "attention.head_count_kv", is_mla(s) && !m->is_old_mla ? 1 : s->n_kv);
    put_float(&g, "attention.layer_norm_rms_epsilon", s->eps);
    put_float(&g, "rope.freq_base", s->theta);
    put_int(&g, "vocab_size", s->n_vocab);
    if (is(s, "llama")) put_int(&g, "rope.dimension_count", s->d_head);
    if (is_mla(s)) put_mla_meta(&g, m);
}

static bool write_all_gguf(struct model *m, json_t *tokenizer, struct sink *out,
                           const struct mk_tensor *list, struct mk_err *err)
{
    put_model_meta(out->gguf, m);
    return mkmodel_put_tokenizer(out->gguf, m->shape, tokenizer, err) &&
           mk_gguf_writer_tensors(out->gguf, list, m->n, err) && mkmodel_put_weights(m, out, err);
}

static bool write_gguf(struct model *m, json_t *tokenizer, const char *path, struct mk_err *err)
{
    struct sink out = {0};
    if (!mk_gguf_writer_open(&out.gguf, path, err)) return false;
    struct mk_tensor *list = tensor_list(m);
    bool ok = write_all_gguf(m, tokenizer, &out, list, err);
    if (ok)
        ok = mk_gguf_writer_close(out.gguf, err);
    else
        mk_gguf_writer_abandon(out.gguf);
    free(list);
    return ok;
}

/* ---- main ---------------------------------------------------------------------- */

static const char usage[] =
    "usage: mkmodel --shape NAME --type TYPE --out PATH [--format safetensors|gguf]\n"
    "               [--mla new|old] [--tokenizer tokenizer.json] [--seed N]\n"
    "  shapes  tiny-v3 small-qwen2 small-v2 v2-lite v3-7 qwen-1.5b llama-8b\n"
    "  types   bf16; gguf: q4_0 q8_0 q4_k (mixed with q6_k); safetensors: f8\n"
    "  default format: gguf for q types, else safetensors\n";

struct args {
    const char *shape, *type, *out, *format, *mla, *tokenizer, *seed;
};

static bool choose_type(struct model *m, const struct args *a, struct mk_err *err)
{
    static const struct {
        const char *name;
        enum mk_type type;
        bool st, gguf;
    } types[] = {
        {"bf16", MK_BF16, true, true},  {"f8", MK_F8_E4M3, true, false},
        {"q4_0", MK_Q4_0, false, true}, {"q8_0", MK_Q8_0, false, true},
        {"q4_k", MK_Q4_K, false, true},
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strcmp(types[i].name, a->type) != 0) continue;
        m->type = types[i].type;
        m->is_gguf = a->format ? !strcmp(a->format, "gguf") : !types[i].st;
        if (a->format && !m->is_gguf && strcmp(a->format, "safetensors") != 0)
            return mk_fail(err, MK_EUSAGE, "--format %s: safetensors or gguf", a->format);
        if (m->is_gguf ? types[i].gguf : types[i].st) return true;
        return mk_fail(err, MK_EUSAGE, "--type %s does not go into this format", a->type);
    }
    return mk_fail(err, MK_EUSAGE, "--type %s: unknown", a->type);
}

static bool set_up(struct model *m, const struct args *a, struct mk_err *err)
{
    if (!a->shape || !a->type || !a->out)
        return mk_fail(err, MK_EUSAGE, "--shape, --type and --out are needed; see --help");
    for (size_t i = 0; i < mkmodel_n_shapes; i++)
        if (!strcmp(mkmodel_shapes[i].name, a->shape)) m->shape = &mkmodel_shapes[i];
    if (!m->shape) return mk_fail(err, MK_EUSAGE, "--shape %s: unknown", a->shape);
    if (a->mla && strcmp(a->mla, "old") != 0 && strcmp(a->mla, "new") != 0)
        return mk_fail(err, MK_EUSAGE, "--mla %s: new or old", a->mla);
    m->is_old_mla = a->mla && !strcmp(a->mla, "old");
    m->rng.state = a->seed ? strtoull(a->seed, NULL, 0) : 1;
    return choose_type(m, a, err);
}

static bool run(struct model *m, const struct args *a, struct mk_err *err)
{
    if (!set_up(m, a, err)) return false;
    json_t *tokenizer = mkmodel_tokenizer(m->shape, a->tokenizer, err);
    if (!tokenizer) return false;
    mkmodel_add_tensors(m);
    const bool ok = m->is_gguf ? write_gguf(m, tokenizer, a->out, err)
                               : write_safetensors(m, tokenizer, a->out, err);
    json_decref(tokenizer);
    return ok;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"shape", required_argument, NULL, 's'},
        {"type", required_argument, NULL, 't'},
        {"out", required_argument, NULL, 'o'},
        {"format", required_argument, NULL, 'f'},
        {"mla", required_argument, NULL, 'm'},
        {"tokenizer", required_argument, NULL, 'k'},
        {"seed", required_argument, NULL, 'r'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct args a = {0};
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 's':
            a.shape = optarg;
            break;
        case 't':
            a.type = optarg;
            break;
        case 'o':
            a.out = optarg;
            break;
        case 'f':
            a.format = optarg;
            break;
        case 'm':
            a.mla = optarg;
            break;
        case 'k':
            a.tokenizer = optarg;
            break;
        case 'r':
            a.seed = optarg;
            break;
        case 'h':
            fputs(usage, stdout);
            return 0;
        default:
            fputs(usage, stderr);
            return mk_code_exit(MK_EUSAGE);
        }
    }
    struct model m = {0};
    struct mk_err err = {0};
    const bool ok = run(&m, &a, &err);
    if (!ok) fprintf(stderr, "mkmodel: %s\n", err.msg);
    free(m.items);
    mk_arena_release(&m.arena);
    return ok ? 0 : mk_code_exit(err.code);
}
