#ifndef MK_TENSOR_INT_ATTENTION_H
#define MK_TENSOR_INT_ATTENTION_H
/* Private to tensor/: causal attention of whole sequences, head by head, and its backward.
 * Latent and grouped-query attention are both this, once keys and values are rows of floats:
 *
 *   s = scale q . [key | rope]       p = e^(s - lse)       out = sum p val
 *
 * A key is made of one part for its head and one that all heads share (latent attention's
 * rotary key; d 0 where there is none). */
#include "tensor/attention.h"

enum { MK_KEY, MK_ROPE, MK_VAL, MK_N_PARTS };

struct mk_part {
    size_t d;       /* values of a row */
    size_t ld;      /* from row to row */
    size_t step;    /* from head to head of these rows ... */
    size_t n_share; /* ... each read by so many query heads */
};
struct mk_sequence {
    size_t first, n;               /* rows of q and out, at positions 0... */
    const float *part[MK_N_PARTS]; /* row 0 of head 0 */
};
struct mk_heads {
    size_t n_head, d_k, d_v; /* d_k: both parts of a key */
    float scale;
    struct mk_part part[MK_N_PARTS];
    const struct mk_sequence *seq; /* [n_seq] */
    size_t n_seq;
    const float *q; /* [n_tok][n_head * d_k] */
    float *out;     /* [n_tok][n_head * d_v] */
    float *lse;     /* [n_tok][n_head]: log of the sum of e^s, for backward */
};
/* Computes out and lse. */
void mk_heads_attend(struct mk_work *wk, const struct mk_heads *h);
/* Records the backward of an attention whose out and lse are there. */
void mk_heads_record(struct mk_work *wk, const struct mk_heads *h);

/* Latent attention of whole sequences, recorded. */
void mk_mla_train(struct mk_work *wk, const struct mk_mla *a, const struct mk_span *spans,
                  size_t n_spans, const float *q, const float *rows, float *out);

static inline const float *mk_heads_row(const struct mk_heads *h, const struct mk_sequence *s,
                                        size_t head, int part, size_t row)
{
    const struct mk_part *p = &h->part[part];
    return s->part[part] + row * p->ld + head / p->n_share * p->step;
}
#endif
