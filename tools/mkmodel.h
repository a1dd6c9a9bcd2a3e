#ifndef MK_TOOLS_MKMODEL_H
#define MK_TOOLS_MKMODEL_H
/* The parts of mkmodel: shapes and their tensors (mkmodel_tensors.c), random weights
 * (mkmodel_weights.c), the tokenizer (mkmodel_tokenizer.c), files and main (mkmodel.c). */
#include "base/mem.h"
#include "base/rng.h"
#include "formats/gguf.h"
#include "formats/safetensors.h"

#include <jansson.h>
#include <string.h>

#define BOS       "<｜begin▁of▁sentence｜>"
#define EOS       "<｜end▁of▁sentence｜>"
#define USER      "<｜User｜>"
#define ASSISTANT "<｜Assistant｜>"
#define PAD       "<｜▁pad▁｜>"
#define THINK     "<think>"
#define THINK_END "</think>"

struct special {
    int id;
    const char *text;
};
struct shape {
    const char *name, *model_type, *architecture, *gguf_arch, *pre;
    const struct special *specials;
    int bos, eos;
    size_t d_model, d_ff, n_layer, n_head, n_kv, d_head, n_vocab, n_ctx;
    double theta, eps;
    /* MLA and experts; zero without them. */
    size_t q_lora, d_latent, d_nope, d_rope, d_v;
    size_t n_expert, n_active, n_shared, d_ff_expert, n_dense, n_group, n_group_active, n_mtp;
    double routed_scale, mscale;
};
extern const struct shape mkmodel_shapes[];
extern const size_t mkmodel_n_shapes;

static inline bool is(const struct shape *s, const char *model_type)
{
    return !strcmp(s->model_type, model_type);
}
static inline bool is_mla(const struct shape *s) { return s->d_latent > 0; }

/* How a tensor is filled. */
enum fill { MATRIX, NORM, SMALL, FP8_SCALE, ROPE_FREQS };

struct item {
    struct mk_tensor t;
    enum fill fill;
    size_t n_cols; /* FP8_SCALE: of its matrix */
};

struct model {
    const struct shape *shape;
    enum mk_type type; /* of the matrices */
    bool is_gguf, is_old_mla;
    struct item *items;
    size_t n, cap;
    struct mk_arena arena;
    struct mk_rng rng;
};
/* Lists the tensors of m->shape under the names of the format. */
void mkmodel_add_tensors(struct model *m);

/* Where bytes go: one of the two writers. */
struct sink {
    struct mk_st_writer *st;
    struct mk_gguf_writer *gguf;
};
/* Writes the bytes of all tensors in order. */
bool mkmodel_put_weights(struct model *m, struct sink *out, struct mk_err *err) MK_CHECKED;

/* The document of a tokenizer.json: from a file, or one token for each byte (path NULL),
 * with the special tokens of the shape put in.  NULL on failure. */
json_t *mkmodel_tokenizer(const struct shape *s, const char *path, struct mk_err *err);
/* chat_template, or NULL. */
const char *mkmodel_template(const struct shape *s);
bool mkmodel_put_tokenizer(struct mk_gguf_writer *w, const struct shape *s, json_t *doc,
                           struct mk_err *err) MK_CHECKED;
#endif
