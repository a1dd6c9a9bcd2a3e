/* Attention of whole sequences, forward: see int_attention.h. */
#include "tensor/int_attention.h"
#include "tensor/int_tiles.h"

#include <string.h>

enum { BLOCK = 128 /* queries of a unit */ };

struct job {
    struct mk_work *wk;
    const struct mk_heads *h;
    struct mk_cols *cols; /* [n_threads] */
    float *keys;          /* [n_threads][MK_TILE][d_k] */
    const struct unit {
        uint32_t seq, head, block;
    } * units;
};

static void load_queries(const struct job *j, struct mk_cols *c, const struct unit *u)
{
    const struct mk_heads *h = j->h;
    const struct mk_sequence *s = &h->seq[u->seq];
    const size_t from = (size_t)u->block * BLOCK;
    c->n = s->n - from < BLOCK ? s->n - from : BLOCK;
    for (size_t i = 0; i < c->n; i++) {
        const size_t row = s->first + from + i;
        memcpy(c->q + i * h->d_k, h->q + (row * h->n_head + u->head) * h->d_k,
               h->d_k * sizeof *c->q);
        c->pos[i] = from + i;
    }
    j->wk->k.scale(c->q, h->scale, c->n * h->d_k);
}

static void load_keys(const struct mk_heads *h, const struct unit *u, size_t t, size_t n,
                      float *key)
{
    const size_t d0 = h->part[MK_KEY].d, d1 = h->part[MK_ROPE].d;
    const struct mk_sequence *s = &h->seq[u->seq];
    for (size_t i = 0; i < n; i++, key += h->d_k) {
        memcpy(key, mk_heads_row(h, s, u->head, MK_KEY, t + i), d0 * sizeof *key);
        if (d1) memcpy(key + d0, mk_heads_row(h, s, u->head, MK_ROPE, t + i), d1 * sizeof *key);
    }
}

static void attend(const struct job *j, const struct unit *u, unsigned thread)
{
    const struct mk_heads *h = j->h;
    const struct mk_kernels *k = &j->wk->k;
    const struct mk_sequence *s = &h->seq[u->seq];
    struct mk_cols *c = &j->cols[thread];
    float *key = j->keys + thread * MK_TILE * h->d_k;
    load_queries(j, c, u);
    mk_cols_start(k, j->wk->panels[thread], c);
    const size_t n_keys = c->pos[c->n - 1] + 1;
    for (size_t t = 0; t < n_keys; t += MK_TILE) {
        const size_t n = n_keys - t < MK_TILE ? n_keys - t : MK_TILE;
        load_keys(h, u, t, n, key);
        const struct mk_weight keys = mk_float_rows(key, n, h->d_k, h->d_k);
        mk_cols_attend(k, j->wk->panels[thread], c, &keys, mk_heads_row(h, s, u->head, MK_VAL, t),
                       h->part[MK_VAL].ld, t);
    }
    mk_cols_finish(k, c);
    for (size_t i = 0; i < c->n; i++) {
        const size_t at = (s->first + c->pos[i]) * h->n_head + u->head;
        memcpy(h->out + at * h->d_v, c->o + i * h->d_v, h->d_v * sizeof *c->o);
        h->lse[at] = mk_cols_lse(c, i);
    }
}

static void attend_units(void *arg, size_t first, size_t last, unsigned thread)
{
    const struct job *j = arg;
    for (size_t i = first; i < last; i++) attend(j, &j->units[i], thread);
}

void mk_heads_attend(struct mk_work *wk, const struct mk_heads *h)
{
    const struct mk_arena_mark mark = mk_arena_mark(&wk->arena);
    const size_t n_threads = mk_pool_size(wk->pool);
    struct job j = {.wk = wk, .h = h};
    j.keys = mk_floats(wk, n_threads * MK_TILE * h->d_k);
    j.cols = mk_arena_take(&wk->arena, n_threads * sizeof *j.cols);
    for (size_t t = 0; t < n_threads; t++) j.cols[t] = mk_cols_new(wk, BLOCK, h->d_k, h->d_v);
    size_t n_units = 0, n_tok = 0, n_max = 0;
    for (size_t s = 0; s < h->n_seq; s++) {
        n_units += (h->seq[s].n + BLOCK - 1) / BLOCK * h->n_head;
        n_tok += h->seq[s].n;
        n_max = h->seq[s].n > n_max ? h->seq[s].n : n_max;
    }
    struct unit *units = mk_arena_take(&wk->arena, n_units * sizeof *units), *u = units;
    for (size_t s = 0; s < h->n_seq; s++) /* later blocks see more keys and come first */
        for (size_t b = (h->seq[s].n + BLOCK - 1) / BLOCK; b-- > 0;)
            for (size_t head = 0; head < h->n_head; head++)
                *u++ = (struct unit){(uint32_t)s, (uint32_t)head, (uint32_t)b};
    j.units = units;
    const size_t n_mac = n_tok * h->n_head / n_units * n_max * (h->d_k + h->d_v) / 2;
    mk_pool_run(wk->pool, n_units, mk_grain(wk, n_mac), attend_units, &j);
    mk_arena_reset(&wk->arena, mark);
}
