/* Grouped-query attention. */
#include "tensor/attention.h"

#include "tensor/int_attention.h"
#include "tensor/int_tiles.h"
#include "tensor/tape.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { MAX_COLS = 128 }; /* columns of a unit: enough to pay for unpacking a tile of keys */

struct gqa_job {
    struct mk_work *wk;
    const struct mk_gqa *a;
    size_t layer;
    const struct mk_span *spans;
    const float *q;
    float *out;
    float *lse;           /* [n_tok][n_head], or NULL */
    size_t n_block;       /* query tokens of a unit */
    struct mk_cols *cols; /* [n_threads] */
    float *tiles;         /* [n_threads][2][MK_TILE][d_head] */
    const struct gqa_unit {
        uint32_t span, head, block;
    } * units;
};

static void load_queries(const struct gqa_job *j, struct mk_cols *c, const struct mk_span *s,
                         size_t from, size_t n_tok, size_t kv_head)
{
    const size_t d = j->a->d_head, group = j->a->n_head / j->a->n_kv_head;
    c->n = n_tok * group;
    for (size_t i = 0; i < n_tok; i++)
        for (size_t g = 0; g < group; g++) {
            const size_t col = i * group + g;
            const size_t head = kv_head * group + g;
            memcpy(c->q + col * d, j->q + ((s->first + from + i) * j->a->n_head + head) * d,
                   d * sizeof *c->q);
            c->pos[col] = s->pos + from + i;
        }
    j->wk->k.scale(c->q, j->a->scale, c->n * d);
}

static void gqa_unit(const struct gqa_job *j, const struct gqa_unit *u, unsigned thread)
{
    const struct mk_kernels *k = &j->wk->k;
    const struct mk_span *s = &j->spans[u->span];
    const size_t d = j->a->d_head, group = j->a->n_head / j->a->n_kv_head;
    const size_t from = u->block * j->n_block;
    const size_t n_tok = s->n - from < j->n_block ? s->n - from : j->n_block;
    struct mk_cols *c = &j->cols[thread];
    float *key = j->tiles + thread * 2 * MK_TILE * j->a->d_head,
          *val = key + MK_TILE * j->a->d_head;
    load_queries(j, c, s, from, n_tok, u->head);
    mk_cols_start(k, j->wk->panels[thread], c);
    const size_t n_keys = s->pos + from + n_tok;
    for (size_t t = 0; t < n_keys; t += MK_TILE) {
        const size_t n = n_keys - t < MK_TILE ? n_keys - t : MK_TILE;
        const struct mk_weight keys = mk_kv_rows(k, s->kv, j->layer, 0, t, n, u->head * d, d, key);
        if (c->is_bf16) {
            const struct mk_weight v = mk_kv_rows(k, s->kv, j->layer, 1, t, n, u->head * d, d, val);
            mk_cols_attend_bf16(k, c, &keys, &v, t);
            continue;
        }
        size_t ld;
        const float *v = mk_kv_view(k, s->kv, j->layer, 1, t, n, u->head * d, d, val, d, &ld);
        mk_cols_attend(k, j->wk->panels[thread], c, &keys, v, ld, t);
    }
    mk_cols_finish(k, c);
    for (size_t i = 0; i < n_tok; i++) {
        const size_t at = (s->first + from + i) * j->a->n_head + u->head * group;
        memcpy(j->out + at * d, c->o + i * group * d, group * d * sizeof *c->o);
        for (size_t g = 0; j->lse && g < group; g++) j->lse[at + g] = mk_cols_lse(c, i * group + g);
    }
}

static void gqa_units(void *arg, size_t first, size_t last, unsigned thread)
{
    const struct gqa_job *j = arg;
    for (size_t i = first; i < last; i++) gqa_unit(j, &j->units[i], thread);
}

/* Later blocks see more keys: they come first, so that the threads end together. */
static size_t list_units(struct gqa_unit *out, const struct mk_span *spans, size_t n_spans,
                         size_t n_kv_head, size_t n_block)
{
    size_t n = 0;
    for (size_t s = 0; s < n_spans; s++)
        for (size_t block = (spans[s].n + n_block - 1) / n_block; block-- > 0;)
            for (size_t h = 0; h < n_kv_head; h++)
                out[n++] = (struct gqa_unit){(uint32_t)s, (uint32_t)h, (uint32_t)block};
    return n;
}

static void attend(struct mk_work *wk, const struct mk_gqa *a, size_t layer,
                   const struct mk_span *spans, size_t n_spans, const float *q, float *out,
                   float *lse)
{
    const struct mk_arena_mark mark = mk_arena_mark(&wk->arena);
    const size_t group = a->n_head / a->n_kv_head, n_threads = mk_pool_size(wk->pool);
    struct gqa_job j = {.wk = wk, .a = a, .layer = layer, .spans = spans, .q = q, .out = out};
    j.lse = lse;
    j.n_block = group < MAX_COLS ? MAX_COLS / group : 1;
    j.tiles = mk_floats(wk, n_threads * 2 * MK_TILE * a->d_head);
    j.cols = mk_arena_take(&wk->arena, n_threads * sizeof *j.cols);
    /* All caches of a step are of one type. */
    const bool is_bf16 = mk_can_attend_bf16(wk, spans[0].kv, a->d_head, a->d_head);
    for (size_t t = 0; t < n_threads; t++)
        j.cols[t] = is_bf16 ? mk_cols_new_bf16(wk, j.n_block * group, a->d_head, a->d_head, NULL)
                            : mk_cols_new(wk, j.n_block * group, a->d_head, a->d_head);
    size_t n_units = 0;
    size_t n_mac = 0; /* of a unit with full blocks and all keys */
    for (size_t s = 0; s < n_spans; s++) {
        const size_t n_tok = spans[s].n < j.n_block ? spans[s].n : j.n_block;
        const size_t mac = 2 * n_tok * group * (spans[s].pos + spans[s].n) * a->d_head;
        n_mac = mac > n_mac ? mac : n_mac;
    }
    for (size_t s = 0; s < n_spans; s++)
        n_units += (spans[s].n + j.n_block - 1) / j.n_block * a->n_kv_head;
    struct gqa_unit *units = mk_arena_take(&wk->arena, n_units * sizeof *units);
    list_units(units, spans, n_spans, a->n_kv_head, j.n_block);
    j.units = units;
    mk_pool_run(wk->pool, n_units, mk_grain(wk, n_mac), gqa_units, &j);
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
