/* Expanded latent attention in bf16.  A thread takes one head: its weights are decoded once for the
 * span and turned into pairs, latents are read where they are stored.  For some keys at a time,
 * keys and values of the head are made and attended by all queries, in blocks that fit the cache
 * together with them. */
#include "tensor/int_matmul.h"
#include "tensor/int_mla.h"
#include "tensor/int_tiles.h"

#include <string.h>

enum {
    KEYS = 4 * MK_TILE, /* made at a time */
    BLOCK = 128         /* queries */
};

/* What a thread needs for a head. */
struct head {
    uint16_t *uk, *uv;     /* pairs [d_latent / 2][d_nope] and [d_latent / 2][d_v] */
    uint16_t *rows;        /* [MK_MLA_PIECE][d_latent] */
    float *piece;          /* [MK_MLA_PIECE][most values of a weight's row] */
    float *tmp;            /* [MK_TILE][most of d_nope and d_v] */
    uint16_t *key, *val;   /* [KEYS][d_nope + d_rope], [KEYS][d_v] */
    struct mk_cols *block; /* [n_block] */
};
struct job {
    const struct mk_mla_call *c;
    const struct mk_span *span;
    size_t n_block;
    struct head *heads; /* per thread */
};

bool mk_mla_can_expand_bf16(const struct mk_mla_call *c, const struct mk_span *span)
{
    const struct mk_mla *a = c->a;
    return mk_can_attend_bf16(c->wk, span->kv, a->d_nope + a->d_rope, a->d_v) &&
           a->d_latent % MK_BF16_K == 0 && a->d_nope % MK_BF16_COLS == 0;
}

static size_t max2(size_t a, size_t b) { return a > b ? a : b; }

static void head_memory(struct job *j, struct head *h)
{
    struct mk_work *wk = j->c->wk;
    struct mk_arena *arena = &wk->arena;
    const struct mk_mla *a = j->c->a;
    const size_t d_k = a->d_nope + a->d_rope, two = sizeof(uint16_t);
    h->uk = mk_arena_take(arena, a->d_latent * a->d_nope * two);
    h->uv = mk_arena_take(arena, a->d_latent * a->d_v * two);
    h->rows = mk_arena_take(arena, MK_MLA_PIECE * a->d_latent * two);
    h->piece = mk_floats(wk, MK_MLA_PIECE * max2(a->d_latent, a->d_nope));
    h->tmp = mk_floats(wk, MK_TILE * max2(a->d_nope, a->d_v));
    h->key = mk_arena_take(arena, KEYS * d_k * two);
    h->val = mk_arena_take(arena, KEYS * a->d_v * two);
    h->block = mk_arena_take(arena, j->n_block * sizeof *h->block);
    for (size_t b = 0; b < j->n_block; b++)
        h->block[b] = mk_cols_new_bf16(wk, BLOCK, d_k, a->d_v, b ? h->block : NULL);
}

/* out = pairs [w->cols / 2][w->rows] of W^T. */
static void turn(const struct job *j, const struct head *h, unsigned thread,
                 const struct mk_weight *w, uint16_t *out)
{
    const struct mk_kernels *k = &j->c->wk->k;
    for (size_t r = 0; r < w->rows; r += MK_MLA_PIECE) {
        mk_weight_decode(k, w, r, MK_MLA_PIECE, h->piece);
        k->f32_bf16(h->rows, h->piece, MK_MLA_PIECE * w->cols);
        mk_pair_columns(k, j->c->wk->panels[thread], out + 2 * r, w->rows, h->rows, MK_MLA_PIECE,
                        w->cols);
    }
}

/* out = pairs [w->rows / 2][w->cols] of W. */
static void pair_rows(const struct job *j, const struct head *h, const struct mk_weight *w,
                      uint16_t *out)
{
    const struct mk_kernels *k = &j->c->wk->k;
    for (size_t r = 0; r < w->rows; r += MK_MLA_PIECE) {
        mk_weight_decode(k, w, r, MK_MLA_PIECE, h->piece);
        for (size_t i = 0; i < MK_MLA_PIECE; i += 2)
            k->pairs_bf16(out + (r + i) * w->cols, h->piece + i * w->cols,
                          h->piece + (i + 1) * w->cols, w->cols);
    }
}

static void load_weights(const struct job *j, const struct head *h, size_t head, unsigned thread)
{
    const struct mk_mla *a = j->c->a;
    const struct mk_weight v = mk_uv_rows(a, head);
    const struct mk_weight u = a->kv_b ? mk_uk_rows(a, head) : mk_ukt_rows(a, head);
    turn(j, h, thread, &v, h->uv);
    if (a->kv_b)
        turn(j, h, thread, &u, h->uk);
    else
        pair_rows(j, h, &u, h->uk);
}

static void load_queries(const struct job *j, const struct head *h, size_t head, unsigned thread)
{
    const struct mk_mla *a = j->c->a;
    const struct mk_span *s = j->span;
    const struct mk_kernels *k = &j->c->wk->k;
    const size_t d_k = a->d_nope + a->d_rope;
    for (size_t b = 0; b < j->n_block; b++) {
        struct mk_cols *c = &h->block[b];
        c->n = s->n - b * BLOCK < BLOCK ? s->n - b * BLOCK : BLOCK;
        for (size_t i = 0; i < c->n; i++) {
            const size_t tok = b * BLOCK + i;
            memcpy(c->q + i * d_k, j->c->q + ((s->first + tok) * a->n_head + head) * d_k,
                   d_k * sizeof *c->q);
            c->pos[i] = s->pos + tok;
        }
        k->scale(c->q, a->scale, c->n * d_k);
        mk_cols_start(k, j->c->wk->panels[thread], c);
    }
}

static struct mk_weight rows_of(uint16_t *v, size_t n, size_t d)
{
    return (struct mk_weight){
        .type = MK_BF16, .rows = n, .cols = d, .stride = d * sizeof *v, .data = (const uint8_t *)v};
}

/* Keys and values of n <= MK_TILE positions from t on. */
static void expand(const struct job *j, const struct head *h, size_t t, size_t n, uint16_t *key,
                   uint16_t *val)
{
    const struct mk_mla *a = j->c->a;
    const struct mk_kernels *k = &j->c->wk->k;
    const size_t d_k = a->d_nope + a->d_rope;
    const struct mk_weight w =
        mk_kv_rows(k, j->span->kv, j->c->layer, 0, t, n, 0, a->d_latent + a->d_rope, NULL);
    const uint16_t *row = (const uint16_t *)(const void *)w.data;
    const size_t ld = w.stride / sizeof *row;
    k->mul_bf16(h->tmp, a->d_v, row, ld, h->uv, a->d_v, n, a->d_latent, a->d_v, false);
    k->f32_bf16(val, h->tmp, n * a->d_v);
    k->mul_bf16(h->tmp, a->d_nope, row, ld, h->uk, a->d_nope, n, a->d_latent, a->d_nope, false);
    for (size_t i = 0; i < n; i++, row += ld, key += d_k) {
        k->f32_bf16(key, h->tmp + i * a->d_nope, a->d_nope);
        memcpy(key + a->d_nope, row + a->d_latent, a->d_rope * sizeof *row);
    }
}

static void attend_keys(const struct job *j, const struct head *h, size_t key0, size_t n_key)
{
    const struct mk_mla *a = j->c->a;
    const size_t d_k = a->d_nope + a->d_rope;
    for (size_t b = 0; b < j->n_block; b++)
        for (size_t t = 0; t < n_key; t += MK_TILE) {
            const size_t n = n_key - t < MK_TILE ? n_key - t : MK_TILE;
            const struct mk_weight key = rows_of(h->key + t * d_k, n, d_k);
            const struct mk_weight val = rows_of(h->val + t * a->d_v, n, a->d_v);
            mk_cols_attend_bf16(&j->c->wk->k, &h->block[b], &key, &val, key0 + t);
        }
}

static void store(const struct job *j, const struct head *h, size_t head)
{
    const struct mk_mla *a = j->c->a;
    for (size_t b = 0; b < j->n_block; b++) {
        struct mk_cols *c = &h->block[b];
        mk_cols_finish(&j->c->wk->k, c);
        for (size_t i = 0; i < c->n; i++)
            memcpy(j->c->out + ((j->span->first + b * BLOCK + i) * a->n_head + head) * a->d_v,
                   c->o + i * a->d_v, a->d_v * sizeof *c->o);
    }
}

static void attend_heads(void *arg, size_t first, size_t last, unsigned thread)
{
    const struct job *j = arg;
    const struct mk_mla *a = j->c->a;
    const struct head *h = &j->heads[thread];
    const size_t n_all = j->span->pos + j->span->n;
    for (size_t head = first; head < last; head++) {
        load_weights(j, h, head, thread);
        load_queries(j, h, head, thread);
        for (size_t t = 0; t < n_all; t += KEYS) {
            const size_t n_key = n_all - t < KEYS ? n_all - t : KEYS;
            for (size_t i = 0; i < n_key; i += MK_TILE)
                expand(j, h, t + i, n_key - i < MK_TILE ? n_key - i : MK_TILE,
                       h->key + i * (a->d_nope + a->d_rope), h->val + i * a->d_v);
            attend_keys(j, h, t, n_key);
        }
        store(j, h, head);
    }
}

void mk_mla_expanded_bf16(const struct mk_mla_call *c, const struct mk_span *span)
{
    struct mk_work *wk = c->wk;
    const struct mk_mla *a = c->a;
    struct job j = {.c = c, .span = span, .n_block = (span->n + BLOCK - 1) / BLOCK};
    const size_t n_threads = mk_pool_size(wk->pool);
    j.heads = mk_arena_take(&wk->arena, n_threads * sizeof *j.heads);
    for (size_t t = 0; t < n_threads; t++) head_memory(&j, &j.heads[t]);
    const size_t n_mac = (span->pos + span->n) * (span->n + a->d_latent) * (a->d_nope + a->d_v);
    mk_pool_run(wk->pool, a->n_head, mk_grain(wk, n_mac), attend_heads, &j);
}
