#ifndef MK_TENSOR_INT_EXPERTS_H
#define MK_TENSOR_INT_EXPERTS_H
/* Private to tensor/: what the parts of mixture of experts share. */
#include "tensor/experts.h"

/* A slot is one (token, expert) pair.  Slots are sorted by expert, tokens in order within
 * each, so that an expert's weights are read once for all its tokens.  In bf16, sums over an
 * expert's slots take 32 at a time: there each expert starts at a multiple of 32, and empty
 * slots follow its last.
 *
 *   expert   0 0 0 0 0 . . . | 2 2 2 . . . . . | 3 ...
 *   slot     first[0]          first[2]          first[3]        count[0] = 5 */
struct mk_slots {
    size_t n;              /* empty ones included */
    size_t n_busy, n_most; /* experts that have slots; most slots of one */
    size_t *busy;          /* [n_busy] */
    size_t *first, *count; /* [n_expert + 1], [n_expert] */
    size_t *choice;        /* [n] the slot's place in id and weight; token choice / n_active */
    size_t *slot;          /* [n_tok * n_active] the slot of each choice, or MK_NO_SLOT */
    /* At most MK_SLOT_BLOCK slots of one expert: a unit of work. */
    struct mk_slot_block {
        size_t expert, first, n;
    } * block;
    size_t n_block;
};
enum { MK_SLOT_BLOCK = 64 };
#define MK_NO_SLOT SIZE_MAX

/* A call of mk_experts_add(); recorded, it is what backward gets. */
struct mk_experts_job {
    struct mk_work *wk;
    struct mk_experts e;
    struct mk_slots s;
    const float *x, *weight; /* [n_tok][ldx], [n_tok][n_active] */
    float *y;                /* [n_tok][d] */
    size_t n_tok, n_active, d, ldx;
    bool is_bf16;
    bool is_recorded, is_trained; /* gate and up are kept; and what weight gradients need */
    /* By slot; not recorded, bf16 has a block of gate and up for each thread, and others have none
     * where the two are one product.  mid is silu(gate) * up, after the forward pass times the
     * slot's weight if is_trained. */
    float *gate, *up, *mid;
    float *out;                    /* [n][d] */
    float *x_rows;                 /* [n][d] */
    uint16_t *x_pairs, *mid_pairs; /* in bf16 instead of x_rows and mid, [n / 2][ld][2] */
    size_t ld_x, ld_mid;
};

/* What lives as long as the record; then the outputs of all slots. */
void mk_experts_take_bf16(struct mk_experts_job *j);
void mk_experts_forward_bf16(struct mk_experts_job *j, struct mk_input *x);
/* Rows of x [n][d] to bf16. */
void mk_round_rows(const struct mk_kernels *k, uint16_t *y, size_t ldy, const float *x, size_t n,
                   size_t d);
void mk_experts_back(struct mk_work *wk, void *saved);
#endif
