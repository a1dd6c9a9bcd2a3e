#ifndef MK_TENSOR_INT_MLA_H
#define MK_TENSOR_INT_MLA_H
/* Private to tensor/: the two forms of latent attention. */
#include "tensor/attention.h"

struct mk_mla_call {
    struct mk_work *wk;
    const struct mk_mla *a;
    size_t layer;
    const struct mk_span *spans;
    size_t n_spans;
    const float *q;
    float *out;
};
bool mk_mla_is_expanded(const struct mk_mla *a, const struct mk_span *s);
/* The n_tok tokens of all spans that are not expanded. */
void mk_mla_absorbed(const struct mk_mla_call *c, size_t n_tok);
void mk_mla_expanded(const struct mk_mla_call *c, const struct mk_span *span);
/* The same in bf16, if the caches hold it and the sizes allow it. */
bool mk_mla_can_expand_bf16(const struct mk_mla_call *c, const struct mk_span *span);
void mk_mla_expanded_bf16(const struct mk_mla_call *c, const struct mk_span *span);

/* Weights of one head. */
static inline struct mk_weight mk_uk_rows(const struct mk_mla *a, size_t h) /* [d_nope][d_latent] */
{
    return mk_weight_rows(a->kv_b, h * (a->d_nope + a->d_v), a->d_nope);
}

static inline struct mk_weight mk_ukt_rows(const struct mk_mla *a,
                                           size_t h) /* [d_latent][d_nope] */
{
    return mk_weight_rows(a->k_b, h * a->d_latent, a->d_latent);
}

static inline struct mk_weight mk_uv_rows(const struct mk_mla *a, size_t h) /* [d_v][d_latent] */
{
    if (!a->kv_b) return mk_weight_rows(a->v_b, h * a->d_v, a->d_v);
    return mk_weight_rows(a->kv_b, h * (a->d_nope + a->d_v) + a->d_nope, a->d_v);
}

enum { MK_MLA_PIECE = 16 }; /* weight rows decoded at a time */
/* y[n][w->cols] = W^T x, x [n][w->rows].  piece is [MK_MLA_PIECE][w->cols] scratch. */
void mk_mul_transposed(const struct mk_kernels *k, const struct mk_weight *w, float *piece,
                       const float *x, size_t ldx, size_t n, float *y, size_t ldy);
#endif
