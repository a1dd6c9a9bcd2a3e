#ifndef MK_TENSOR_INT_TILES_H
#define MK_TENSOR_INT_TILES_H
/* Private to tensor/: attention of a set of queries ("columns") over tiles of keys, with
 * the softmax kept as a running maximum m and sum l:
 *
 *     m' = max(m, max s),  l = l e^(m-m') + sum e^(s-m'),  o = o e^(m-m') + sum e^(s-m') v
 */
#include "tensor/attention.h"

#include <math.h>

struct mk_cols {
    size_t n, d_k, d_v;
    float *q;    /* [n][d_k], already times the softmax scale */
    size_t *pos; /* [n], ascending: a column sees keys 0..pos */
    float *o;    /* [n][d_v] */
    float *m, *l;
    float *s;   /* [n][MK_TILE] scratch */
    float *acc; /* [n][16] scratch */
};
/* Memory for up to n columns from the step's arena. */
struct mk_cols mk_cols_new(struct mk_work *wk, size_t n, size_t d_k, size_t d_v);
/* Empties the softmax of c->n columns. */
void mk_cols_start(struct mk_cols *c);
/* Takes in key->rows keys, at most MK_TILE, of a float type, and as many values [ldv] apart,
 * at positions key0...; key0 is a multiple of MK_TILE. */
void mk_cols_attend(const struct mk_kernels *k, struct mk_panel *panel, struct mk_cols *c,
                    const struct mk_weight *key, const float *val, size_t ldv, size_t key0);
/* o /= l. */
void mk_cols_finish(const struct mk_kernels *k, struct mk_cols *c);
/* Logarithm of the sum of e^s of column i. */
static inline float mk_cols_lse(const struct mk_cols *c, size_t i)
{
    return c->m[i] + logf(c->l[i]);
}
#endif
