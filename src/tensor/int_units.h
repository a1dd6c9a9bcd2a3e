#ifndef MK_TENSOR_INT_UNITS_H
#define MK_TENSOR_INT_UNITS_H
/* Private to tensor/: attention of many units, each over all of its keys.  A unit is a set of
 * queries that share keys and values: those of some tokens, of the heads that read one key/value
 * head, or latents.
 *
 * The softmax starts anew with every chunk of 256 or 1024 keys, and the chunks' results are joined
 * in order, whoever computed them: where units are few, threads share their chunks. */
#include "tensor/int_tiles.h"

struct mk_unit {
    const struct mk_kv *kv;
    size_t at;           /* where its keys and values begin in rows of the cache */
    size_t row, n_tok;   /* of the step's matrices */
    size_t pos;          /* of the first token */
    size_t head, n_head; /* of the queries */
};
struct mk_units {
    struct mk_work *wk;
    size_t layer, d_k, d_v;
    bool is_latent; /* values are the first d_v of a key; else they are rows of array 1 */
    const struct mk_unit *list;
    size_t n;
    const void *arg;
    /* Column i * n_head + h is head + h of token i.  load() sets q; when store() is called o is
     * attention's result. */
    void (*load)(const void *arg, const struct mk_unit *u, struct mk_cols *c);
    void (*store)(const void *arg, const struct mk_unit *u, const struct mk_cols *c);
};
void mk_attend_units(const struct mk_units *u);
#endif
