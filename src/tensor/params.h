#ifndef MK_TENSOR_PARAMS_H
#define MK_TENSOR_PARAMS_H
/* The trainable numbers of a model: every parameter as 32-bit floats in one region, and
 * its gradient at the same place of a second region.  Weights of the model point into the
 * region, so whoever changes it (an optimizer, a checkpoint) changes the model. */
#include "tensor/tensor.h"

enum mk_param_kind {
    MK_PARAM_MATRIX,
    MK_PARAM_EMBED, /* a matrix that is looked up by row: embedding, and the head */
    MK_PARAM_VECTOR,
    /* Moved by a rule of its own and not by gradients: the bias of a router.  In place of a
     * gradient the backward of mk_route() counts there how many tokens each expert got. */
    MK_PARAM_STATE
};

struct mk_param {
    char *name; /* Hugging Face's */
    enum mk_param_kind kind;
    size_t rows, cols;      /* a vector has rows 1 */
    size_t at;              /* its first value: v + at, grad + at, rows * cols of them */
    struct mk_pairs *pairs; /* matrices: shared with the model's weights; NULL: none */
};

struct mk_params {
    float *v, *grad; /* [n] */
    size_t n, cap;   /* values; cap is address space, real memory only where touched */
    struct mk_param *list;
    size_t n_list, cap_list;
    double lora_alpha; /* the parameters are adapters, scaled by alpha / rank; 0: weights */
    uint16_t *bf16;    /* storage of the matrices' bf16 forms; NULL: products take floats */
    size_t n_bf16;
};

/* cap values of address space. */
bool mk_params_init(struct mk_params *p, size_t cap, struct mk_err *err) MK_CHECKED;
void mk_params_release(struct mk_params *p); /* zeroed is valid */
/* A new parameter of zeros, which start on 64 bytes; keeps a copy of name. */
bool mk_params_add(struct mk_params *p, const char *name, enum mk_param_kind kind, size_t rows,
                   size_t cols, struct mk_param **out, struct mk_err *err) MK_CHECKED;
const struct mk_param *mk_params_find(const struct mk_params *p, const char *name);
static inline size_t mk_param_values(const struct mk_param *p) { return p->rows * p->cols; }

/* Remakes the bf16 forms (struct mk_pairs, tensor.h) of all matrices after values changed; the
 * first call makes them. Products with these weights then round their inputs to bf16 and sum in
 * 32-bit floats. */
bool mk_params_pack(struct mk_work *wk, struct mk_params *p, struct mk_err *err) MK_CHECKED;
/* Whether products in bf16 are worth it: the level has instructions for them. */
bool mk_bf16_is_fast(const struct mk_work *wk);
void mk_params_zero_grad(struct mk_work *wk, struct mk_params *p);
#endif
