/* A trained model as a folder of Hugging Face's form. */
#include "base/file.h"
#include "model/names.h"
#include "train/int_checkpoint.h"

#include <jansson.h>
#include <string.h>

/* Whoever opens the folder would read these instead of model.safetensors. */
static bool check_folder(const char *dir, struct mk_err *err)
{
    struct mk_str path = {0};
    mk_str_addf(&path, "%s/model.safetensors.index.json", dir);
    const bool ok = !mk_file_exists(path.data) ||
                    mk_fail(err, MK_EUSAGE, "%s: a model in several files is in this folder", dir);
    mk_str_release(&path);
    return ok;
}

static bool write_text(const char *dir, const char *name, struct mk_str *text, struct mk_err *err)
{
    struct mk_str path = {0};
    mk_str_addf(&path, "%s/%s", dir, name);
    const bool ok = mk_file_write(path.data, mk_str_c(text), text->len, err);
    mk_str_release(&path);
    mk_str_release(text);
    return ok;
}

static bool write_tokenizer(const char *dir, const struct mk_tokenizer *t, struct mk_err *err)
{
    struct mk_str json = {0}, config = {0};
    mk_tokenizer_put_json(t, &json);
    if (!write_text(dir, "tokenizer.json", &json, err)) return false;
    mk_tokenizer_put_config(t, &config);
    return write_text(dir, "tokenizer_config.json", &config, err);
}

/* Takes the reference. */
static bool write_json(const char *dir, const char *name, json_t *v, struct mk_err *err)
{
    const bool ok = mk_json_write(dir, name, v, err);
    json_decref(v);
    return ok;
}

/* ---- adapters --------------------------------------------------------------------------- */

/* The modules that have an adapter, each once: the part of a name before ".lora_A.weight". */
static json_t *target_modules(const struct mk_params *p)
{
    json_t *list = json_array(), *seen = json_object();
    for (size_t i = 0; i < p->n_list; i++) {
        const char *name = p->list[i].name, *end = strstr(name, ".lora_A."), *start = end;
        if (!end) continue;
        while (start > name && start[-1] != '.') start--;
        json_t *module = json_stringn(start, (size_t)(end - start));
        if (!json_object_get(seen, json_string_value(module))) json_array_append(list, module);
        json_object_set_new(seen, json_string_value(module), json_true());
        json_decref(module);
    }
    json_decref(seen);
    return list;
}

static json_t *adapter_config(const struct mk_model *m)
{
    const struct mk_params *p = m->params;
    return json_pack("{s:s, s:s, s:s, s:I, s:f, s:f, s:s, s:o}", "peft_type", "LORA", "task_type",
                     "CAUSAL_LM", "base_model_name_or_path", m->tensors.path, "r",
                     (json_int_t)p->list[0].rows, "lora_alpha", p->lora_alpha, "lora_dropout", 0.0,
                     "bias", "none", "target_modules", target_modules(p));
}

/* ---- all of it -------------------------------------------------------------------------- */

static bool write_configs(const char *dir, const struct mk_model *m, enum mk_type type,
                          struct mk_err *err)
{
    if (m->params->lora_alpha > 0)
        return write_json(dir, "adapter_config.json", adapter_config(m), err);
    return write_json(dir, "generation_config.json", mk_model_make_generation(m), err) &&
           write_json(dir, "config.json", mk_model_make_config(m, type), err);
}

bool mk_model_save(const char *dir, const struct mk_model *m, const struct mk_tokenizer *t,
                   enum mk_type type, struct mk_err *err)
{
    if (type != MK_F32 && type != MK_F16 && type != MK_BF16)
        return mk_fail(err, MK_EUNSUPPORTED,
                       "%s: a trained model is saved as f32, f16 or bf16, not %s", dir,
                       mk_quants[type].name);
    if (!mk_mkdirs(dir, 0777, err) || !check_folder(dir, err)) return false;
    struct mk_entries e = mk_entries_of_params(m->params, type);
    const bool ok = mk_entries_write(&e, dir, mk_params_file(m->params), err);
    mk_entries_release(&e);
    return ok && (!t || write_tokenizer(dir, t, err)) && write_configs(dir, m, type, err);
}
