/* Grouped-query attention. */
#include "tensor/attention.h"

#include "tensor/int_attention.h"
#include "tensor/int_units.h"
#include "tensor/tape.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { MAX_COLS = 128 }; /* columns of a unit: enough to pay for unpacking a tile of keys */

struct gqa_call {
    const struct mk_gqa *a;
    const struct mk_kernels *k;
    const float *q;
    float *out;
    float *lse; /* [n_tok][n_head], or NULL */
};

static size_t n_blocks(const struct mk_span *s, size_t n_block)
{
    return (s->n + n_block - 1) / n_block;
}

static size_t at_head(const struct gqa_call *g, const struct mk_unit *u, size_t tok)
{
    return (u->row + tok) * g->a->n_head + u->head;
}

static void load_queries(const void *arg, const struct mk_unit *u, struct mk_cols *c)
{
    const struct gqa_call *g = arg;
    const size_t d = g->a->d_head, n = u->n_head * d;
    for (size_t i = 0; i < u->n_tok; i++)
        memcpy(c->q + i * n, g->q + at_head(g, u, i) * d, n * sizeof *c->q);
    g->k->scale(c->q, g->a->scale, u->n_tok * n);
}

static void store_results(const void *arg, const struct mk_unit *u, const struct mk_cols *c)
{
    const struct gqa_call *g = arg;
    const size_t d = g->a->d_head, n = u->n_head * d;
    for (size_t i = 0; i < u->n_tok; i++) {
        memcpy(g->out + at_head(g, u, i) * d, c->o + i * n, n * sizeof *c->o);
        for (size_t h = 0; g->lse && h < u->n_head; h++)
            g->lse[at_head(g, u, i) + h] = mk_cols_lse(c, i * u->n_head + h);
    }
}

/* Later blocks see more keys: they come first, so that the threads end together. */
static size_t list_units(struct mk_unit *out, const struct mk_gqa *a, const struct mk_span *spans,
                         size_t n_spans, size_t n_block)
{
    const size_t group = a->n_head / a->n_kv_head;
    size_t n = 0;
    for (size_t i = 0; i < n_spans; i++)
        for (size_t block = n_blocks(&spans[i], n_block); block-- > 0;)
            for (size_t h = 0; h < a->n_kv_head; h++) {
                const struct mk_span *s = &spans[i];
                const size_t from = block * n_block;
                out[n++] = (struct mk_unit){.kv = s->kv,
                                            .at = h * a->d_head,
                                            .row = s->first + from,
                                            .n_tok = s->n - from < n_block ? s->n - from : n_block,
                                            .pos = s->pos + from,
                                            .head = h * group,
                                            .n_head = group};
            }
    return n;
}

static void attend(struct mk_work *wk, const struct mk_gqa *a, size_t layer,
                   const struct mk_span *spans, size_t n_spans, const float *q, float *out,
                   float *lse)
{
    const struct mk_arena_mark mark = mk_arena_mark(&wk->arena);
    const size_t group = a->n_head / a->n_kv_head;
    const size_t n_block = group < MAX_COLS ? MAX_COLS / group : 1;
    size_t n_units = 0;
    for (size_t i = 0; i < n_spans; i++) n_units += n_blocks(&spans[i], n_block) * a->n_kv_head;
    struct mk_unit *units = mk_arena_take(&wk->arena, n_units * sizeof *units);
    const struct gqa_call call = {a, &wk->k, q, out, lse};
    const struct mk_units u = {.wk = wk,
                               .layer = layer,
                               .d_k = a->d_head,
                               .d_v = a->d_head,
                               .list = units,
                               .n = list_units(units, a, spans, n_spans, n_block),
                               .arg = &call,
                               .load = load_queries,
                               .store = store_results};
    mk_attend_units(&u);
    mk_arena_reset(&wk->arena, mark);
}

static void record(struct mk_work *wk, const struct mk_gqa *a, size_t layer,
                   const struct mk_span *spans, size_t n_spans, const float *q, float *out,
                   float *lse)
{
    const size_t d = a->d_head, group = a->n_head / a->n_kv_head;
    const struct mk_part part = {.d = d, .ld = a->n_kv_head * d, .step = d, .n_share = group};
    struct mk_sequence *seq = mk_arena_zero(&wk->arena, n_spans * sizeof *seq);
    for (size_t s = 0; s < n_spans; s++) {
        assert(!spans[s].pos);
        seq[s].first = spans[s].first, seq[s].n = spans[s].n;
        seq[s].part[MK_KEY] = mk_kv_floats(spans[s].kv, layer, 0, 0);
        seq[s].part[MK_VAL] = mk_kv_floats(spans[s].kv, layer, 1, 0);
    }
    const struct mk_heads h = {.n_head = a->n_head,
                               .d_k = d,
                               .d_v = d,
                               .scale = a->scale,
                               .part = {[MK_KEY] = part, [MK_VAL] = part},
                               .seq = seq,
                               .n_seq = n_spans,
                               .q = q,
                               .out = out,
                               .lse = lse};
    mk_heads_record(wk, &h);
}

void mk_attention_gqa(struct mk_work *wk, const struct mk_gqa *a, size_t layer,
                      const struct mk_span *spans, size_t n_spans, const float *q, float *out)
{
    const bool is_recording = mk_is_recording(wk);
    size_t n_tok = 0;
    for (size_t s = 0; s < n_spans; s++)
        n_tok = spans[s].first + spans[s].n > n_tok ? spans[s].first + spans[s].n : n_tok;
    float *lse = is_recording ? mk_floats(wk, n_tok * a->n_head) : NULL;
    attend(wk, a, layer, spans, n_spans, q, out, lse);
    if (is_recording) record(wk, a, layer, spans, n_spans, q, out, lse);
}
