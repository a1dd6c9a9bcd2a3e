#ifndef MK_TENSOR_INT_MATMUL_H
#define MK_TENSOR_INT_MATMUL_H
/* Private to tensor/: products in bf16, and the backward of products. */
#include "tensor/tensor.h"

enum {
    MK_BF16_K = 32, /* kernel mul_bf16: sums are over multiples of this */
    MK_BF16_COLS = 16
};
static inline size_t mk_pad(size_t n, size_t to) { return (n + to - 1) / to * to; }
/* A row of n bf16 values padded to whole sums; rows a multiple of 4096 bytes apart would
 * fight for the same lines of the cache. */
static inline size_t mk_bf16_ld(size_t n)
{
    const size_t ld = mk_pad(n, MK_BF16_K);
    return ld % 2048 ? ld : ld + MK_BF16_K;
}
/* The same for a line of pairs. */
static inline size_t mk_pairs_ld(size_t n)
{
    const size_t ld = mk_pad(n, MK_BF16_COLS);
    return ld % 1024 ? ld : ld + MK_BF16_COLS;
}

/* Whether inputs of d values are rounded to bf16 for weights of a type. */
bool mk_rounds(const struct mk_work *wk, enum mk_type type, size_t d);
/* All weights have pairs. */
void mk_matmul_bf16(struct mk_work *wk, struct mk_input *x, const struct mk_product *p,
                    size_t n_products);
void mk_matmul_record(struct mk_work *wk, struct mk_input *x, const struct mk_product *p,
                      size_t n_products);
#endif
