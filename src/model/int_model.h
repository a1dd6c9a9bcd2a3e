#ifndef MK_MODEL_INT_MODEL_H
#define MK_MODEL_INT_MODEL_H
/* Private to model/: what a family file provides, and the helpers that load weights under
 * either set of names. */
#include "model/model.h"
#include "model/names.h"
#include "tensor/experts.h"
#include "tensor/rope.h"

struct mk_family {
    const char *name;
    const struct mk_name *names; /* ends with {NULL, NULL, 0} */
    bool (*load)(struct mk_model *m, struct mk_err *err);
    bool trains_gguf; /* load() gives trainable weights Hugging Face's form */
    bool (*forward)(const struct mk_model *m, struct mk_work *wk, const struct mk_step *s);
    /* NULL when the family has none. */
    bool (*has_mtp)(const struct mk_model *m);
    bool (*mtp)(const struct mk_model *m, struct mk_work *wk, const struct mk_step *s,
                const float *hidden, bool is_normed);
    /* For stream.h; NULL when the family has no experts.  The weights [n_expert] of a layer (the
     * prediction layer, n_layer, too); false: it has none. */
    bool (*experts)(const struct mk_model *m, size_t layer,
                    struct mk_weight *parts[MK_EXPERT_PARTS]);
    /* Weights of which rows are taken and nothing else. */
    size_t (*tables)(const struct mk_model *m, const struct mk_weight *out[2]);
    /* For names.h; rope_divisors is NULL when the family has no such scaling. */
    struct mk_heads (*heads)(const struct mk_model *m);
    size_t (*rope_divisors)(const struct mk_model *m, float *out, size_t max);
    void (*put_gguf)(const struct mk_model *m, bool is_mla, struct mk_gguf_writer *w);
    void (*put_hf)(const struct mk_model *m, void *json);
};

/* Writes the GGUF name of a Hugging Face name; *expert is -1 unless the tensor is a slice of
 * a stacked one.  false: the family knows no such tensor. */
bool mk_name_to_gguf(const struct mk_name *names, const char *hf, char *out, size_t size,
                     long *expert);

/* Look-ups by Hugging Face name (printf-style), in either world.  Weights are checked for
 * shape and for a type that can be multiplied; bytes are counted for the memory table. */
bool mk_load_weight(struct mk_model *m, struct mk_err *err, struct mk_weight *out, size_t rows,
                    size_t cols, const char *fmt, ...) MK_CHECKED
    __attribute__((format(printf, 6, 7)));
/* For trainable weights whose form in GGUF is another: the values of a stored weight, and a weight
 * made of such values (copied). */
bool mk_load_values(struct mk_model *m, struct mk_err *err, float *out, size_t rows, size_t cols,
                    const char *fmt, ...) MK_CHECKED __attribute__((format(printf, 6, 7)));
bool mk_load_made(struct mk_model *m, struct mk_err *err, struct mk_weight *out, const float *v,
                  size_t rows, size_t cols, const char *fmt, ...) MK_CHECKED
    __attribute__((format(printf, 7, 8)));
/* n floats: converted into the model's arena unless stored as F32. */
bool mk_load_vector(struct mk_model *m, struct mk_err *err, const float **out, size_t n,
                    const char *fmt, ...) MK_CHECKED __attribute__((format(printf, 5, 6)));
bool mk_has_tensor(const struct mk_model *m, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Refuses what no family here does: other activations, biases, sliding windows. */
bool mk_load_plain(struct mk_model *m, struct mk_err *err) MK_CHECKED;
/* m->n_vocab from the config, or in GGUF files without it from the embedding's shape. */
bool mk_load_vocab_size(struct mk_model *m, struct mk_err *err) MK_CHECKED;

/* Counts a loaded weight as read for each token: all of it, or rows of it. */
void mk_count_active(struct mk_model *m, const struct mk_weight *w, size_t rows);

static inline bool mk_step_is_stopped(const struct mk_step *s)
{
    return s->stop && atomic_load_explicit(s->stop, memory_order_relaxed) &&
           !mk_fail(s->err, MK_ECANCELED, "stopped");
}

/* Rotation of positions: table for the rows of a step. */
const float *mk_step_rope(struct mk_work *wk, const struct mk_rope *r, const struct mk_step *s);
/* The end of a forward pass: keeps h where the step asks for it, and computes
 * logits = head rmsnorm(h) for the wanted rows. */
void mk_step_logits(struct mk_work *wk, const struct mk_step *s, const float *h, size_t d_model,
                    const float *norm, float eps, const struct mk_weight *head);
#endif
