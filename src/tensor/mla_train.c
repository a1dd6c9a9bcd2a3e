/* Latent attention in training: the latents of all sequences are multiplied with kv_b in one
 * product, whose backward mk_matmul() records, and what is left is attention head by head.
 *
 *   caches --gather--> rows [n_tok][latent | rotary key] --kv_b--> kv [n_tok][n_head][k | v] */
#include "tensor/int_attention.h"
#include "tensor/tape.h"

#include <assert.h>
#include <string.h>

/* y[first...] = the caches' rows; their gradients go back. */
struct gather {
    struct mk_work *wk;
    float *y;
    size_t d, n_seq;
    struct from {
        const float *rows;
        size_t first, n;
    } * seq;
};

static void gather_sequences(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    const struct gather *g = arg;
    for (size_t s = first; s < last; s++)
        memcpy(g->y + g->seq[s].first * g->d, g->seq[s].rows, g->seq[s].n * g->d * sizeof *g->y);
}

static void gather_back_sequences(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    const struct gather *g = arg;
    for (size_t s = first; s < last; s++) {
        float *dx = mk_grad(g->wk, g->seq[s].rows);
        float *dy = mk_grad(g->wk, g->y) + g->seq[s].first * g->d;
        if (dx) g->wk->k.axpy(dx, 1.0f, dy, g->seq[s].n * g->d);
        memset(dy, 0, g->seq[s].n * g->d * sizeof *dy);
    }
}

static void gather_back(struct mk_work *wk, void *saved)
{
    struct gather *g = saved;
    mk_pool_run(wk->pool, g->n_seq, 1, gather_back_sequences, g);
}

static float *gather_rows(struct mk_work *wk, size_t layer, const struct mk_span *spans,
                          size_t n_spans, size_t n_tok, size_t d)
{
    struct gather *g = mk_tape_push(wk, gather_back, sizeof *g);
    *g = (struct gather){.wk = wk, .d = d, .n_seq = n_spans, .y = mk_floats(wk, n_tok * d)};
    g->seq = mk_arena_take(&wk->arena, n_spans * sizeof *g->seq);
    for (size_t s = 0; s < n_spans; s++) {
        assert(!spans[s].pos);
        g->seq[s] =
            (struct from){mk_kv_floats(spans[s].kv, layer, 0, 0), spans[s].first, spans[s].n};
    }
    mk_pool_run(wk->pool, n_spans, 1, gather_sequences, g);
    return g->y;
}

void mk_mla_train(struct mk_work *wk, const struct mk_mla *a, size_t layer,
                  const struct mk_span *spans, size_t n_spans, const float *q, float *out)
{
    assert(a->kv_b);
    const size_t d_row = a->d_latent + a->d_rope, d_head = a->d_nope + a->d_v;
    size_t n_tok = 0;
    for (size_t s = 0; s < n_spans; s++)
        n_tok = spans[s].first + spans[s].n > n_tok ? spans[s].first + spans[s].n : n_tok;
    const float *rows = gather_rows(wk, layer, spans, n_spans, n_tok, d_row);
    float *kv = mk_floats(wk, n_tok * a->n_head * d_head);
    struct mk_input latents = mk_input(rows, n_tok, a->d_latent, d_row);
    mk_matmul(wk, &latents, &(struct mk_product){a->kv_b, kv, a->n_head * d_head, NULL, false}, 1);
    struct mk_sequence *seq = mk_arena_take(&wk->arena, n_spans * sizeof *seq);
    for (size_t s = 0; s < n_spans; s++) {
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
