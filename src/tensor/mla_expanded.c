/* Latent attention for many tokens: see attention.h. */
#include "tensor/int_mla.h"
#include "tensor/int_tiles.h"

#include <string.h>

enum { KEYS_PER_BLOCK = 1024 /* latents made ready at a time */ };

struct expanded {
    struct mk_work *wk;
    const struct mk_mla *a;
    size_t layer;
    const struct mk_span *span;
    struct mk_cols *cols; /* [n_head], all queries of the span */
    size_t key0, n_key;   /* the current block */
    float *rows;          /* [n_key][ld]: latents and rotated keys */
    size_t ld;
    struct mk_input latent;
    float *scratch; /* per thread */
    size_t n_scratch;
};

static void load_rows(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    const struct expanded *j = arg;
    mk_kv_get(&j->wk->k, j->span->kv, j->layer, 0, j->key0 + first, last - first, 0,
              j->a->d_latent + j->a->d_rope, j->rows + first * j->ld, j->ld);
}

/* Keys [n][d_nope + d_rope] and values [n][d_v] of head h for rows [t, t + n) of the block; ukt are
 * the floats of k_b. */
static void expand_tile(const struct expanded *j, size_t h, size_t t, size_t n, unsigned thread,
                        const float *ukt, float *key, float *val, float *scratch)
{
    const struct mk_mla *a = j->a;
    const struct mk_kernels *k = &j->wk->k;
    const size_t d_k = a->d_nope + a->d_rope;
    const struct mk_input x = mk_input_slice(&j->latent, t, 1, n);
    const struct mk_weight v = mk_uv_rows(a, h);
    const struct mk_product values = {&v, val, a->d_v, NULL, false};
    mk_matmul_strips(k, j->wk->panels[thread], scratch, &values, &x, 0, mk_n_strips(&v));
    if (a->kv_b) {
        const struct mk_weight u = mk_uk_rows(a, h);
        const struct mk_product keys = {&u, key, d_k, NULL, false};
        mk_matmul_strips(k, j->wk->panels[thread], scratch, &keys, &x, 0, mk_n_strips(&u));
    } else {
        const struct mk_weight u = mk_float_rows(ukt, a->d_latent, a->d_nope, a->d_nope);
        mk_mul_transposed(k, &u, scratch, x.v, x.ld, n, key, d_k);
    }
    for (size_t i = 0; i < n; i++)
        memcpy(key + i * d_k + a->d_nope, j->rows + (t + i) * j->ld + a->d_latent,
               a->d_rope * sizeof *key);
}

static size_t n_ukt(const struct mk_mla *a) { return a->kv_b ? 0 : a->d_latent * a->d_nope; }

static void attend_heads(void *arg, size_t first, size_t last, unsigned thread)
{
    const struct expanded *j = arg;
    const struct mk_mla *a = j->a;
    const size_t d_k = a->d_nope + a->d_rope;
    float *key = j->scratch + thread * j->n_scratch;
    float *val = key + MK_TILE * d_k, *ukt = val + MK_TILE * a->d_v, *scratch = ukt + n_ukt(a);
    for (size_t h = first; h < last; h++) {
        if (!a->kv_b) {
            const struct mk_weight u = mk_ukt_rows(a, h);
            mk_weight_decode(&j->wk->k, &u, 0, u.rows, ukt);
        }
        for (size_t t = 0; t < j->n_key; t += MK_TILE) {
            const size_t n = j->n_key - t < MK_TILE ? j->n_key - t : MK_TILE;
            expand_tile(j, h, t, n, thread, ukt, key, val, scratch);
            const struct mk_weight keys = mk_float_rows(key, n, d_k, d_k);
            mk_cols_attend(&j->wk->k, j->wk->panels[thread], &j->cols[h], &keys, val, a->d_v,
                           j->key0 + t);
        }
    }
}

static void load_expanded(struct expanded *j, const float *q)
{
    const struct mk_mla *a = j->a;
    const size_t d_k = a->d_nope + a->d_rope, n = j->span->n;
    j->cols = mk_arena_take(&j->wk->arena, a->n_head * sizeof *j->cols);
    for (size_t h = 0; h < a->n_head; h++) {
        struct mk_cols *c = &j->cols[h];
        *c = mk_cols_new(j->wk, n, d_k, a->d_v);
        for (size_t i = 0; i < n; i++) {
            memcpy(c->q + i * d_k, q + ((j->span->first + i) * a->n_head + h) * d_k,
                   d_k * sizeof *q);
            c->pos[i] = j->span->pos + i;
        }
        j->wk->k.scale(c->q, a->scale, n * d_k);
        mk_cols_start(&j->wk->k, j->wk->panels[0], c);
    }
}

static void store_expanded(struct expanded *j, float *out)
{
    const struct mk_mla *a = j->a;
    for (size_t h = 0; h < a->n_head; h++) {
        mk_cols_finish(&j->wk->k, &j->cols[h]);
        for (size_t i = 0; i < j->span->n; i++)
            memcpy(out + ((j->span->first + i) * a->n_head + h) * a->d_v, j->cols[h].o + i * a->d_v,
                   a->d_v * sizeof *out);
    }
}

void mk_mla_expanded(const struct mk_mla_call *c, const struct mk_span *span)
{
    struct mk_work *wk = c->wk;
    const struct mk_mla *a = c->a;
    struct expanded job = {.wk = wk, .a = a, .layer = c->layer, .span = span}, *j = &job;
    const size_t n_all = j->span->pos + j->span->n;
    j->ld = a->d_latent + a->d_rope;
    j->rows = mk_floats(wk, KEYS_PER_BLOCK * j->ld);
    j->n_scratch =
        MK_TILE * (a->d_nope + a->d_rope + a->d_v) + n_ukt(a) + MK_STRIPS * MK_TILE * MK_PANEL_ROWS;
    j->scratch = mk_floats(wk, mk_pool_size(wk->pool) * j->n_scratch);
    load_expanded(j, c->q);
    for (j->key0 = 0; j->key0 < n_all; j->key0 += KEYS_PER_BLOCK) {
        const struct mk_arena_mark mark = mk_arena_mark(&wk->arena);
        j->n_key = n_all - j->key0 < KEYS_PER_BLOCK ? n_all - j->key0 : KEYS_PER_BLOCK;
        mk_pool_run(wk->pool, j->n_key, mk_grain(wk, 4 * j->ld), load_rows, j);
        j->latent = mk_input(j->rows, j->n_key, a->d_latent, j->ld);
        mk_input_prepare(wk, &j->latent, a->kv_b ? a->kv_b->type : a->v_b->type);
        const size_t mac = j->n_key * (j->span->n + a->d_latent) * (a->d_nope + a->d_v);
        mk_pool_run(wk->pool, a->n_head, mk_grain(wk, mac), attend_heads, j);
        mk_arena_reset(&wk->arena, mark);
    }
    store_expanded(j, c->out);
}
