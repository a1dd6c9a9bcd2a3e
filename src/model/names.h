#ifndef MK_MODEL_NAMES_H
#define MK_MODEL_NAMES_H
/* What a converter has to know of a family: how each tensor is called in the two worlds,
 * how its values are arranged there, and the family's numbers in either form. */
#include "formats/gguf.h"
#include "model/model.h"

/* '#' stands for the layer, '@' for the expert. */
enum mk_name_kind {
    MK_NAME_SAME,
    MK_NAME_STACKED, /* GGUF holds all experts of a layer in one 3-D tensor */
    MK_NAME_PERMUTED_Q,
    MK_NAME_PERMUTED_K, /* Llama in GGUF: rows of a head interleaved */
    MK_NAME_KV_B,       /* DeepSeek: also stored as the next two */
    MK_NAME_K_B,        /* GGUF only: [n_head][d_latent][d_nope], kv_b's key half transposed */
    MK_NAME_V_B,        /* GGUF only: [n_head][d_v][d_latent], kv_b's value half */
    MK_NAME_ROPE,       /* GGUF only: Llama 3's divisors of the rotary frequencies */
};
struct mk_name {
    const char *hf, *gguf;
    enum mk_name_kind kind;
};

/* The entry that a tensor's name matches, NULL if the family knows no such tensor.  *layer
 * and *expert are -1 unless the name has them. */
const struct mk_name *mk_name_find(const struct mk_name *names, bool is_gguf, const char *name,
                                   long *layer, long *expert);
/* The name of an entry in one of the worlds. */
void mk_name_write(const struct mk_name *n, bool is_gguf, long layer, long expert, char *out,
                   size_t size);

/* How the rows of attention weights divide into heads; unused ones are 0. */
struct mk_heads {
    size_t n_head, n_kv_head, d_nope, d_v, d_latent;
    bool is_permuted; /* GGUF has the PERMUTED rows of this model interleaved */
};

const struct mk_name *mk_model_names(const struct mk_model *m); /* ends with {NULL, NULL, 0} */
struct mk_heads mk_model_heads(const struct mk_model *m);
/* The divisors for rope_freqs.weight, at most max; 0 when rotation is not stretched that
 * way. */
size_t mk_model_rope_divisors(const struct mk_model *m, float *out, size_t max);
/* The architecture's numbers as GGUF metadata (is_mla: the layout with attn_k_b), and as
 * members of config.json (a json_t object).  A GGUF file whose rope_freqs.weight is not of
 * Llama 3's form gives no rope_scaling. */
void mk_model_put_gguf(const struct mk_model *m, bool is_mla, struct mk_gguf_writer *w);
void mk_model_put_hf(const struct mk_model *m, void *json);
/* bos_token_id and eos_token_id, where the model has them. */
void mk_model_put_ids(const struct mk_model *m, void *json);
/* config.json and generation_config.json as new json_t objects, for a folder whose matrices are
 * stored as type (F32, F16, BF16).  Keys of the model's own files that minke does not know are
 * kept. */
void *mk_model_make_config(const struct mk_model *m, enum mk_type type);
void *mk_model_make_generation(const struct mk_model *m);
#endif
