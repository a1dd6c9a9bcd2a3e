/* Latent attention in training: the latents of all sequences are multiplied with kv_b in one
 * product, whose backward mk_matmul() records, and what is left is attention head by head.
 *
 *   rows [n_tok][latent | rotary key] --kv_b--> kv [n_tok][n_head][k | v] */
#include "tensor/int_attention.h"
#include "tensor/tape.h"

#include <assert.h>

void mk_mla_train(struct mk_work *wk, const struct mk_mla *a, const struct mk_span *spans,
                  size_t n_spans, const float *q, const float *rows, float *out)
{
    assert(a->kv_b);
    const size_t d_row = a->d_latent + a->d_rope, d_head = a->d_nope + a->d_v;
    size_t n_tok = 0;
    for (size_t s = 0; s < n_spans; s++)
        n_tok = spans[s].first + spans[s].n > n_tok ? spans[s].first + spans[s].n : n_tok;
    float *kv = mk_floats(wk, n_tok * a->n_head * d_head);
    struct mk_input latents = mk_input(rows, n_tok, a->d_latent, d_row);
    mk_matmul(wk, &latents, &(struct mk_product){a->kv_b, kv, a->n_head * d_head, NULL, false}, 1);
    struct mk_sequence *seq = mk_arena_take(&wk->arena, n_spans * sizeof *seq);
    for (size_t s = 0; s < n_spans; s++) {
        assert(!spans[s].pos);
        const float *first = kv + spans[s].first * a->n_head * d_head;
        seq[s] = (struct mk_sequence){
            .first = spans[s].first,
            .n = spans[s].n,
            .part = {first, rows + spans[s].first * d_row + a->d_latent, first + a->d_nope}};
    }
    const struct mk_heads h = {
        .n_head = a->n_head,
        .d_k = a->d_nope + a->d_rope,
        .d_v = a->d_v,
        .scale = a->scale,
        .part = {[MK_KEY] = {a->d_nope, a->n_head * d_head, d_head, 1},
                 [MK_ROPE] = {a->d_rope, d_row, 0, a->n_head},
                 [MK_VAL] = {a->d_v, a->n_head * d_head, d_head, 1}},
        .seq = seq,
        .n_seq = n_spans,
        .q = q,
        .out = out,
        .lse = mk_floats(wk, n_tok * a->n_head),
    };
    mk_heads_attend(wk, &h);
    mk_heads_record(wk, &h);
}
