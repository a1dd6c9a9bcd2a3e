/* GGUF's metadata: the architecture's numbers, the tokenizer, sampling defaults. */
#include "base/file.h"
#include "base/str.h"
#include "cli/convert.h"
#include "formats/gguf.h"
#include "token/token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { QUANTIZATION_VERSION = 2 };

/* The type that holds most of the matrices' bytes. */
static enum mk_type main_type(const struct mk_convert *c)
{
    size_t n_bytes[MK_N_TYPES] = {0};
    enum mk_type best = MK_F32;
    for (size_t i = 0; i < c->n; i++)
        if (c->v[i].t.n_dims > 1) n_bytes[c->v[i].t.type] += c->v[i].t.n_bytes;
    for (int t = 0; t < MK_N_TYPES; t++)
        if (n_bytes[t] > n_bytes[best]) best = (enum mk_type)t;
    return best;
}

static void put_types(const struct mk_convert *c, struct mk_gguf_writer *w)
{
    const int file_type = c->recipe.keeps ? mk_file_type(main_type(c)) : c->recipe.file_type;
    if (file_type >= 0) mk_gguf_put_u32(w, "general.file_type", (uint32_t)file_type);
    for (size_t i = 0; i < c->n; i++)
        if (mk_quants[c->v[i].t.type].block_len > 1) {
            mk_gguf_put_u32(w, "general.quantization_version", QUANTIZATION_VERSION);
            return;
        }
}

/* ---- from GGUF ---------------------------------------------------------------------------- */

static bool starts(const char *s, const char *head) { return !strncmp(s, head, strlen(head)); }

/* All other keys stay; the architecture's too unless the layout of kv_b changes. */
static void copy_metadata(const struct mk_convert *c, struct mk_gguf_writer *w)
{
    static const char *const not [] = {"general.file_type", "general.quantization_version",
                                       "general.alignment", "split."};
    const struct mk_config *config = &c->model.config;
    char arch[80];
    snprintf(arch, sizeof arch, "%s.", config->arch);
    const bool same =
        !c->heads.d_latent || mk_config_has(config, NULL, "attention.key_length_mla") == c->is_mla;
    if (!same) mk_model_put_gguf(&c->model, c->is_mla, w);
    for (size_t i = 0; i < config->gguf->n_kv; i++) {
        const struct mk_gguf_kv *kv = &config->gguf->kv[i];
        bool is_kept = same || (!starts(kv->key, arch) && strcmp(kv->key, "general.architecture"));
        for (size_t j = 0; j < sizeof not / sizeof *not ; j++)
            is_kept = is_kept && !starts(kv->key, not [j]);
        if (is_kept) mk_gguf_put_kv(w, kv);
    }
}

/* ---- from a folder ------------------------------------------------------------------------ */

static void put_name(const struct mk_convert *c, struct mk_gguf_writer *w)
{
    char *path = realpath(mk_tensors_dir(&c->model.tensors), NULL);
    const char *slash = path ? strrchr(path, '/') : NULL;
    if (slash && slash[1]) mk_gguf_put_str(w, "general.name", slash + 1, strlen(slash + 1));
    free(path);
}

static bool put_sampling(const struct mk_convert *c, struct mk_gguf_writer *w, struct mk_err *err)
{
    static const struct {
        const char *hf, *gguf;
    } keys[] = {{"generation_config.temperature", "general.sampling.temp"},
                {"generation_config.top_p", "general.sampling.top_p"},
                {"generation_config.top_k", "general.sampling.top_k"},
                {"generation_config.repetition_penalty", "general.sampling.penalty_repeat"}};
    const struct mk_config *config = &c->model.config;
    bool do_sample;
    if (!mk_config_bool(config, "generation_config.do_sample", NULL, true, &do_sample, err))
        return false;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        double v;
        if (!mk_config_float(config, keys[i].hf, NULL, 0, 1 << 24, 0, &v, err)) return false;
        const bool is_int = !strcmp(keys[i].gguf, "general.sampling.top_k");
        if (i == 0 && !do_sample)
            mk_gguf_put_f32(w, keys[i].gguf, 0);
        else if (is_int && mk_config_has(config, keys[i].hf, NULL))
            mk_gguf_put_u32(w, keys[i].gguf, (uint32_t)v);
        else if (mk_config_has(config, keys[i].hf, NULL))
            mk_gguf_put_f32(w, keys[i].gguf, (float)v);
    }
    return true;
}

/* The tokenizer has one end of text; ends that only the settings name become those of a turn
 * and of a message. */
static void put_ends(const struct mk_model *m, int32_t bos, int32_t eos, struct mk_gguf_writer *w)
{
    static const char *const keys[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    size_t k = eos >= 0;
    if (bos < 0 && m->bos >= 0) mk_gguf_put_u32(w, "tokenizer.ggml.bos_token_id", (uint32_t)m->bos);
    for (size_t i = 0; i < m->n_eos && k < sizeof keys / sizeof *keys; i++)
        if (m->eos[i] != eos) mk_gguf_put_u32(w, keys[k++], (uint32_t)m->eos[i]);
}

static void put_tokenizer(const struct mk_convert *c, struct mk_gguf_writer *w)
{
    struct mk_err why;
    struct mk_tokenizer *t;
    const struct mk_model *m = &c->model;
    if (!mk_tokenizer_open(&t, &m->tensors, &why)) {
        fprintf(stderr, "minke: no tokenizer in the result (%s)\n", why.msg);
        put_ends(m, -1, -1, w);
        return;
    }
    mk_tokenizer_put_gguf(t, (int32_t)m->n_vocab, w);
    put_ends(m, mk_token_bos(t), mk_token_eos(t), w);
    mk_tokenizer_free(t);
}

bool mk_put_metadata(const struct mk_convert *c, struct mk_gguf_writer *w, struct mk_err *err)
{
    if (c->model.config.is_gguf) {
        copy_metadata(c, w);
    } else {
        mk_model_put_gguf(&c->model, c->is_mla, w);
        put_name(c, w);
        if (!put_sampling(c, w, err)) return false;
        put_tokenizer(c, w);
    }
    put_types(c, w);
    return true;
}
