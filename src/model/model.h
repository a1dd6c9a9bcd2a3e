#ifndef MK_MODEL_MODEL_H
#define MK_MODEL_MODEL_H
/* A checkpoint that can compute: its numbers, its weights where they are mapped, and one
 * forward pass.  Which family it is comes from config.json or the GGUF metadata, never
 * from a file's name.  Read-only once open: sessions share it. */
#include "formats/config.h"
#include "formats/tensors.h"
#include "tensor/attention.h"
#include "tensor/tensor.h"

#include <stdatomic.h>

struct mk_family;
struct mk_params;
struct mk_stream;

/* How a model is opened to be trained (see tensor/params.h). */
struct mk_trainable {
    struct mk_params *params; /* zeroed; gets every weight, or the adapters' alone; outlives m */
    bool is_new;              /* the path is a config.json: weights are drawn, from seed */
    uint64_t seed;
    size_t lora_rank; /* 0: all weights; else adapters beside the mapped weights of all layers */
    double lora_alpha;
};

enum { MK_MAX_EOS = 8 };

struct mk_model {
    const struct mk_family *family;
    struct mk_tensors tensors;
    struct mk_config config;
    struct mk_arena arena; /* what the family keeps */
    size_t n_layer, d_model, n_vocab;
    size_t n_ctx;                     /* the longest context it was made for */
    size_t n_params, n_params_active; /* active: those one token uses */
    size_t n_bytes_active; /* stored bytes that one token reads, embedding row included */
    size_t n_scratch;      /* bytes of scratch that each token of a step takes, about */
    size_t n_expert, n_active;
    size_t *routed, n_routed; /* the layers that have experts; none in dense models */
    struct mk_kv_shape kv;
    const char *kind;             /* "deepseek_v3, 256 experts", for people */
    int32_t bos, eos[MK_MAX_EOS]; /* -1: none */
    size_t n_eos;
    void *net;                            /* the family's own */
    struct mk_params *params;             /* of a trainable model; NULL otherwise */
    const struct mk_trainable *trainable; /* while it is being opened */
    struct mk_stream *stream;             /* NULL: all weights are mapped */
};
/* path: see mk_tensors_open().  Fails with the reason, naming file, field and value; an
 * unknown architecture with the list of known ones. */
bool mk_model_open(struct mk_model *m, const char *path, struct mk_err *err) MK_CHECKED;
/* The same within a bounded memory: routed experts stay in the files and are read when a token
 * needs them (tensor/expert_cache.h), what every token reads is read at once, rows of the embedding
 * when they are asked for, and nothing stays mapped.  Results are the same to the bit.  One forward
 * pass at a time. */
struct mk_ram {
    size_t n_bytes;     /* for the whole process, keys, values and scratch included; 0: as mapped */
    bool is_auto;       /* n_bytes is what there is: only if the model does not fit */
    size_t cache_bytes; /* for experts, whatever the rest takes; 0: what n_bytes leaves */
};
bool mk_model_open_within(struct mk_model *m, const char *path, const struct mk_ram *ram,
                          struct mk_err *err) MK_CHECKED;
void mk_model_close(struct mk_model *m); /* zeroed is valid */
/* The same with weights as 32-bit floats that can change.  New matrices are normal with standard
 * deviation 0.5 / sqrt(d_model) (V3, section 4.2: 0.006 at 7168), gains 1, biases 0; adapters
 * start as Hu et al. do.  GGUF serves for DeepSeek's families and all weights only: elsewhere it
 * holds rearranged ones. */
bool mk_model_open_trainable(struct mk_model *m, const char *path, const struct mk_trainable *t,
                             struct mk_err *err) MK_CHECKED;
const char *mk_model_families(void); /* "deepseek_v3, deepseek_v2, ..." */

/* The most tokens that a step should have: as many as asked for (0: 512), or as fit 224 MB
 * of scratch memory. */
size_t mk_model_step_toks(const struct mk_model *m, size_t asked);

/* One forward pass over the tokens of several sessions. */
struct mk_step {
    const int32_t *tok; /* [n_tok], each in 0..n_vocab-1 */
    size_t n_tok;
    const struct mk_span *spans; /* cover the rows 0..n_tok-1 in order */
    size_t n_spans;
    const size_t *want; /* [n_want] rows whose logits are computed */
    size_t n_want;
    float *logits;         /* [n_want][n_vocab] */
    enum mk_mla_form form; /* of latent attention; zero: chosen by count */
    float *hidden; /* [n_tok][d_model] after the last layer, before the final norm; or NULL */
    float *normed; /* [n_tok][d_model] the same after it; or NULL */
    /* [n_want][n_routed][n_active] the experts that the wanted rows chose, ascending; or NULL.  Not
     * of the prediction layer. */
    uint16_t *experts;
    const atomic_bool *stop; /* looked at before every layer; NULL: never stops */
    struct mk_err *err;      /* why it was not done; or NULL */
};
/* Appends the rows to the caches (span.pos must equal span.kv->n) and fills logits.  false
 * when *stop became true (MK_ECANCELED) or weights could not be read: then it did neither, and may
 * be tried again. */
bool mk_model_forward(const struct mk_model *m, struct mk_work *wk, const struct mk_step *s);

/* DeepSeek-V3's multi-token prediction layer (V3, section 2.2): from the main model's hidden
 * row i and the token at i + 1 it gives logits for the token at i + 2.  spans belong to a
 * cache of shape mk_model_mtp_kv(); hidden rows are as in mk_step.  is_normed: pass them
 * through the main model's final norm first, as serving engines do; the paper's figure does
 * not. */
bool mk_model_has_mtp(const struct mk_model *m);
struct mk_kv_shape mk_model_mtp_kv(const struct mk_model *m);
bool mk_model_mtp(const struct mk_model *m, struct mk_work *wk, const struct mk_step *s,
                  const float *hidden, bool is_normed);
#endif
