/* config.json and generation_config.json of a model. */
#include "model/int_model.h"

#include <jansson.h>

void mk_model_put_hf(const struct mk_model *m, void *json)
{
    m->family->put_hf(m, json);
    mk_json_shorten(json); /* the families keep some numbers as floats */
}

void mk_model_put_ids(const struct mk_model *m, void *json)
{
    json_t *o = json;
    if (m->bos >= 0) json_object_set_new(o, "bos_token_id", json_integer(m->bos));
    if (m->n_eos == 1) json_object_set_new(o, "eos_token_id", json_integer(m->eos[0]));
    if (m->n_eos < 2) return;
    json_t *list = json_array();
    for (size_t i = 0; i < m->n_eos; i++) json_array_append_new(list, json_integer(m->eos[i]));
    json_object_set_new(o, "eos_token_id", list);
}

/* What the model's own config.json says, where it has one: keys that minke does not know stay. */
static json_t *own(const struct mk_model *m, const char *key)
{
    json_t *o = m->config.is_gguf ? NULL : m->config.json;
    o = json_deep_copy(key ? json_object_get(o, key) : o);
    return o ? o : json_object();
}

/* Adds the numbers of `from`.  Where o has the same number already it keeps its own form, which may
 * have more digits than the family kept. */
static void merge(json_t *o, json_t *from)
{
    const char *key;
    json_t *v;
    json_object_foreach(from, key, v)
    {
        json_t *was = json_object_get(o, key);
        const bool is_same = json_is_number(v) && json_is_number(was) &&
                             (float)json_number_value(v) == (float)json_number_value(was);
        if (json_is_object(v) && json_is_object(was))
            merge(was, v);
        else if (!is_same)
            json_object_set(o, key, v);
    }
}

void *mk_model_make_config(const struct mk_model *m, enum mk_type type)
{
    static const char *const gone[] = {
        "generation_config",   /* a file of its own, read into the same object */
        "auto_map",            /* Python files that are not written along */
        "quantization_config", /* weights are plain now */
        "rope_parameters",     /* the newer names of rope_scaling and torch_dtype */
        "dtype"};
    json_t *o = own(m, NULL), *numbers = json_object();
    for (size_t i = 0; i < sizeof gone / sizeof *gone; i++) json_object_del(o, gone[i]);
    mk_model_put_hf(m, numbers);
    mk_model_put_ids(m, numbers);
    merge(o, numbers);
    json_decref(numbers);
    json_object_set_new(o, "torch_dtype",
                        json_string(type == MK_F32   ? "float32"
                                    : type == MK_F16 ? "float16"
                                                     : "bfloat16"));
    return o;
}

void *mk_model_make_generation(const struct mk_model *m)
{
    json_t *o = own(m, "generation_config");
    mk_model_put_ids(m, o);
    return o;
}
