#ifndef MK_TENSOR_KV_H
#define MK_TENSOR_KV_H
/* Keys and values of one timeline: for each layer one or two arrays of rows, one row for
 * each position.  GQA stores k and v; MLA stores one row, the normed latent followed by
 * the rotated shared key.  Address space is reserved for n_ctx positions and takes real
 * memory only as rows are written. */
#include "tensor/tensor.h"

enum { MK_KV_ARRAYS = 2 };

struct mk_kv_shape {
    size_t n_layer;
    size_t d_row[MK_KV_ARRAYS]; /* values of a row; 0: no such array */
};
struct mk_kv {
    struct mk_kv_shape shape;
    enum mk_type type; /* MK_F32, MK_BF16 or MK_Q8_0; MK_F16: array 0 is bf16, array 1 f16 */
    size_t n_ctx;      /* positions it can hold */
    size_t n;          /* positions it holds */
    uint8_t *data;
    size_t n_bytes;
    bool is_in_arena; /* data is not its own */
};
bool mk_kv_init(struct mk_kv *kv, const struct mk_kv_shape *shape, enum mk_type type, size_t n_ctx,
                struct mk_err *err) MK_CHECKED;
/* A cache of floats in an arena: in a workbench's, its rows are values that have gradients. */
void mk_kv_init_arena(struct mk_kv *kv, const struct mk_kv_shape *shape, size_t n_ctx,
                      struct mk_arena *a);
void mk_kv_release(struct mk_kv *kv); /* zeroed is valid */
/* Bytes of one position over all layers. */
size_t mk_kv_pos_bytes(const struct mk_kv_shape *shape, enum mk_type type);
/* Forgets positions n and later; memory of whole pages goes back to the system. */
void mk_kv_truncate(struct mk_kv *kv, size_t n);
/* Makes dst hold the first n positions of src; same shape and type, dst->n_ctx >= n. */
void mk_kv_copy(struct mk_kv *dst, const struct mk_kv *src, size_t n);
/* Rows [pos, pos + n) of all arrays, one array after the other: n * mk_kv_pos_bytes() bytes. */
void mk_kv_save(const struct mk_kv *kv, size_t pos, size_t n, uint8_t *out);
/* Appends the positions [first, last) of n that were saved from a cache of the same shape and
 * type. */
void mk_kv_load(struct mk_kv *kv, const uint8_t *saved, size_t n, size_t first, size_t last);

/* Stores rows [pos, pos + n) of array a of a layer from floats ld apart.  kv->n is not
 * touched: the model counts a position once all layers have it.  mk_kv_put() has a backward. */
void mk_kv_store(struct mk_work *wk, struct mk_kv *kv, size_t layer, size_t a, size_t pos, size_t n,
                 const float *x, size_t ld);
void mk_kv_put(struct mk_work *wk, struct mk_kv *kv, size_t layer, size_t a, size_t pos, size_t n,
               const float *x, size_t ld);
/* Values [first, first + d) of rows [pos, pos + n) as a matrix: the cache itself when it holds
 * floats, else decoded into tile [n][d]. */
struct mk_weight mk_kv_rows(const struct mk_kernels *k, const struct mk_kv *kv, size_t layer,
                            size_t a, size_t pos, size_t n, size_t first, size_t d, float *tile);
/* Where row pos of an array starts; the cache holds floats. */
const float *mk_kv_floats(const struct mk_kv *kv, size_t layer, size_t a, size_t pos);
/* The same values as floats, rows ld_out apart. */
void mk_kv_get(const struct mk_kernels *k, const struct mk_kv *kv, size_t layer, size_t a,
               size_t pos, size_t n, size_t first, size_t d, float *out, size_t ld_out);
/* The same values as floats to read: the cache itself when it is F32, else decoded into tile
 * [n][ld_tile]; *ld is how far its rows are apart. */
const float *mk_kv_view(const struct mk_kernels *k, const struct mk_kv *kv, size_t layer, size_t a,
                        size_t pos, size_t n, size_t first, size_t d, float *tile, size_t ld_tile,
                        size_t *ld);
#endif
