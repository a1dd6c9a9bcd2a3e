#ifndef MK_TENSOR_INT_TILES_H
#define MK_TENSOR_INT_TILES_H
/* Private to tensor/: attention of a set of queries ("columns") over tiles of keys, with
 * the softmax kept as a running maximum m and sum l:
 *
 *     m' = max(m, max s),  l = l e^(m-m') + sum e^(s-m'),  o = o e^(m-m') + sum e^(s-m') v
 *
 * Products are in floats, or in bf16 where the cache holds keys in bf16 and the processor
 * multiplies it: then queries are rounded too, and keys are read where they are stored.  Where
 * values are bf16 e^(s-m') is as well; where they are f16 it stays float. */
#include "tensor/attention.h"

#include <math.h>

struct mk_cols {
    size_t n, d_k, d_v;
    float *q;    /* [n][d_k], already times the softmax scale */
    size_t *pos; /* [n], ascending: a column sees keys 0..pos */
    float *o;    /* [n][d_v] */
    float *m, *l;
    bool is_bf16;
    struct mk_panel *panels; /* of queries [n / 16][d_k / MK_PANEL_K_F32]; NULL: keys become some */
    size_t ld;               /* columns with room for whole vectors */
    uint16_t *q16;           /* pairs [d_k / 2][ld][2] */
    struct mk_cols_scratch {
        float *s;                /* [n][MK_TILE]; in bf16 [MK_TILE][ld] */
        float *acc;              /* [n or MK_TILE][16] */
        uint16_t *rows, *p, *v2; /* [16][d_k], [ld][MK_TILE], pairs [MK_TILE / 2][d_v][2] */
        uint32_t *seen;          /* [ld] */
        float *fade;             /* [ld] */
    } w;
};
/* Memory for up to n columns from the step's arena. */
struct mk_cols mk_cols_new(struct mk_work *wk, size_t n, size_t d_k, size_t d_v);
/* The same for keys that come as floats: queries become panels, once, and keys are their columns.
 */
struct mk_cols mk_cols_new_panels(struct mk_work *wk, size_t n, size_t d_k, size_t d_v);
/* The same for products in bf16, which mk_can_attend_bf16() must allow.  Columns that share the
 * scratch and q of `like`, which is at least as large, are used in turn. */
struct mk_cols mk_cols_new_bf16(struct mk_work *wk, size_t n, size_t d_k, size_t d_v,
                                const struct mk_cols *like);
/* Columns with the queries and the scratch of c, and o, m and l of their own. */
struct mk_cols mk_cols_again(struct mk_work *wk, const struct mk_cols *c);
bool mk_can_attend_bf16(const struct mk_work *wk, const struct mk_kv *kv, size_t d_k, size_t d_v);
/* Empties the softmax of c->n columns. */
void mk_cols_clear(struct mk_cols *c);
/* The same, and makes what products need of q. */
void mk_cols_start(const struct mk_kernels *k, struct mk_panel *panel, struct mk_cols *c);
/* n <= 16 rows of n_k bf16 values, side by side, become n columns of pairs (kernels.h), ld columns
 * to a line; 16 columns are written. */
void mk_pair_columns(const struct mk_kernels *k, struct mk_panel *panel, uint16_t *out, size_t ld,
                     const uint16_t *rows, size_t n, size_t n_k);
/* Makes q16 of q. */
void mk_cols_round(const struct mk_kernels *k, struct mk_panel *panel, struct mk_cols *c);
/* Takes in key->rows keys, at most MK_TILE, of a float type, and as many values [ldv] apart,
 * at positions key0...; key0 is a multiple of MK_TILE. */
void mk_cols_attend(const struct mk_kernels *k, struct mk_panel *panel, struct mk_cols *c,
                    const struct mk_weight *key, const float *val, size_t ldv, size_t key0);
/* The same for keys in bf16 and values in bf16 or f16. */
void mk_cols_attend_bf16(const struct mk_kernels *k, struct mk_cols *c, const struct mk_weight *key,
                         const struct mk_weight *val, size_t key0);
/* o /= l. */
void mk_cols_finish(const struct mk_kernels *k, struct mk_cols *c);
/* Logarithm of the sum of e^s of column i. */
static inline float mk_cols_lse(const struct mk_cols *c, size_t i)
{
    return c->m[i] + logf(c->l[i]);
}
#endif
