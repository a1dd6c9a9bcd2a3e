/* The files of a Hugging Face folder beside its weights. */
#include "base/file.h"
#include "base/str.h"
#include "cli/convert.h"
#include "formats/gguf.h"
#include "token/token.h"

#include <jansson.h>
#include <stdio.h>

enum { MAX_FILE_BYTES = 256 << 20 };

static bool write_text(const char *dir, const char *name, const char *text, size_t n,
                       struct mk_err *err)
{
    struct mk_str path = {0};
    mk_str_addf(&path, "%s/%s", dir, name);
    const bool ok = mk_file_write(path.data, text, n, err);
    mk_str_release(&path);
    return ok;
}

/* ---- config.json ----------------------------------------------------------------------- */

static json_t *read_config(const struct mk_model *m, struct mk_err *err)
{
    struct mk_str text = {0};
    json_error_t e;
    json_t *o = NULL;
    if (mk_file_read_regular(&text, m->config.file, MAX_FILE_BYTES, err)) {
        o = json_loadb(mk_str_c(&text), text.len, 0, &e);
        if (!o) mk_fail(err, MK_EFORMAT, "%s: line %d: %s", m->config.file, e.line, e.text);
    }
    mk_str_release(&text);
    return o;
}

static json_t *config_from_gguf(const struct mk_convert *c, struct mk_err *err)
{
    json_t *o = json_object();
    mk_model_put_hf(&c->model, o);
    mk_model_put_ids(&c->model, o);
    if (!mk_items_get(&c->items, MK_NAME_ROPE, -1) || json_object_get(o, "rope_scaling")) return o;
    mk_fail(err, MK_EUNSUPPORTED,
            "%s: tensor rope_freqs.weight does not follow Llama 3's formula (factor, 1, 4, 8192), "
            "and config.json cannot hold it",
            c->model.tensors.path);
    json_decref(o);
    return NULL;
}

/* The types of the target as config.json tells them. */
static void set_types(const struct mk_convert *c, json_t *o)
{
    size_t n_bytes[MK_N_TYPES] = {0};
    bool has_scales = false;
    for (size_t i = 0; i < c->n; i++) {
        n_bytes[c->v[i].t.type] += c->v[i].t.n_bytes;
        has_scales =
            has_scales || (i && c->v[i].make == MK_MAKE_VALUES && c->v[i - 1].t.type == MK_F8_E4M3);
    }
    const bool is_f32 = n_bytes[MK_F32] > n_bytes[MK_F16] + n_bytes[MK_BF16] + n_bytes[MK_F8_E4M3];
    const bool is_f16 = n_bytes[MK_F16] > n_bytes[MK_BF16];
    json_object_set_new(o, "torch_dtype",
                        json_string(is_f32   ? "float32"
                                    : is_f16 ? "float16"
                                             : "bfloat16"));
    json_object_del(o, "dtype"); /* the newer name */
    if (!has_scales)
        json_object_del(o, "quantization_config");
    else if (!json_object_get(o, "quantization_config"))
        json_object_set_new(o, "quantization_config",
                            json_pack("{s:s, s:s, s:s, s:[i, i]}", "quant_method", "fp8", "fmt",
                                      "e4m3", "activation_scheme", "dynamic", "weight_block_size",
                                      128, 128));
}

json_t *mk_make_config(const struct mk_convert *c, struct mk_err *err)
{
    json_t *o = c->model.config.is_gguf ? config_from_gguf(c, err) : read_config(&c->model, err);
    if (o) set_types(c, o);
    return o;
}

/* ---- the other files -------------------------------------------------------------------- */

static bool copy_file(const struct mk_convert *c, const char *dir, const char *name,
                      struct mk_err *err)
{
    struct mk_str path = {0}, text = {0};
    mk_str_addf(&path, "%s/%s", mk_tensors_dir(&c->model.tensors), name);
    const bool ok = !mk_file_exists(path.data) ||
                    (mk_file_read_regular(&text, path.data, MAX_FILE_BYTES, err) &&
                     write_text(dir, name, mk_str_c(&text), text.len, err));
    mk_str_release(&path);
    mk_str_release(&text);
    return ok;
}

static bool copy_settings(const struct mk_convert *c, const char *dir, struct mk_err *err)
{
    static const char *const files[] = {"tokenizer.json",          "tokenizer_config.json",
                                        "special_tokens_map.json", "chat_template.jinja",
                                        "generation_config.json",  "LICENSE"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (!copy_file(c, dir, files[i], err)) return false;
    return true;
}

static bool write_generation(const struct mk_convert *c, const char *dir, struct mk_err *err)
{
    static const struct {
        const char *gguf, *hf;
    } keys[] = {{".general.sampling.temp", "temperature"},
                {".general.sampling.top_p", "top_p"},
                {".general.sampling.top_k", "top_k"},
                {".general.sampling.penalty_repeat", "repetition_penalty"}};
    json_t *o = json_object();
    bool ok = true;
    mk_model_put_ids(&c->model, o);
    for (size_t i = 0; ok && i < sizeof keys / sizeof *keys; i++) {
        double v;
        if (!mk_config_has(&c->model.config, NULL, keys[i].gguf)) continue;
        ok = mk_config_float(&c->model.config, NULL, keys[i].gguf, 0, 1 << 24, 0, &v, err);
        if (ok && i == 0) json_object_set_new(o, "do_sample", json_boolean(v > 0));
        if (ok && (i || v > 0))
            json_object_set_new(o, keys[i].hf, i == 2 ? json_integer((json_int_t)v) : json_real(v));
    }
    mk_json_shorten(o); /* GGUF keeps single floats */
    ok = ok && (json_object_size(o) == 0 || mk_json_write(dir, "generation_config.json", o, err));
    json_decref(o);
    return ok;
}

static bool write_tokenizer(const struct mk_convert *c, const char *dir, struct mk_err *err)
{
    struct mk_err why;
    struct mk_tokenizer *t;
    if (!mk_tokenizer_open(&t, &c->model.tensors, &why)) {
        fprintf(stderr, "minke: no tokenizer in the result (%s)\n", why.msg);
        return true;
    }
    struct mk_str json = {0}, config = {0};
    mk_tokenizer_put_json(t, &json);
    mk_tokenizer_put_config(t, &config);
    const bool ok = write_text(dir, "tokenizer.json", json.data, json.len, err) &&
                    write_text(dir, "tokenizer_config.json", config.data, config.len, err);
    mk_str_release(&json);
    mk_str_release(&config);
    mk_tokenizer_free(t);
    return ok;
}

bool mk_write_settings(const struct mk_convert *c, const char *dir, struct mk_err *err)
{
    if (!c->model.config.is_gguf) return copy_settings(c, dir, err);
    return write_generation(c, dir, err) && write_tokenizer(c, dir, err);
}
