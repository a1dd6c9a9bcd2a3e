/* Attention of units: see int_units.h. */
#include "tensor/int_units.h"

#include <stdint.h>
#include <string.h>

enum {
    SHARE = 4, /* threads share chunks where fewer units for each do not come out even */
    PARTS = 16 /* chunks for each thread that wait to be joined */
};

/* Keys of a chunk.  Latents are more work for each key, and units of them fewer, so their chunks
 * are short enough for many threads to share. */
static size_t chunk_keys(const struct mk_units *u) { return (u->is_latent ? 4 : 16) * MK_TILE; }

struct job {
    const struct mk_units *u;
    const struct mk_kernels *k;
    size_t n_col;           /* of a unit at most */
    float *tiles;           /* [n_threads][MK_TILE][d_k + d_v] */
    struct mk_cols *cols;   /* [n_threads] */
    struct mk_cols *sums;   /* [n_threads], or [n] where chunks are shared: what is joined so far */
    struct mk_cols *parts;  /* [n][n_chunk]: results of shared chunks ... */
    size_t chunk0, n_chunk; /* ... those at hand */
};

static size_t n_keys(const struct mk_unit *u) { return u->pos + u->n_tok; }
static size_t n_chunks(const struct mk_units *u, const struct mk_unit *unit)
{
    return (n_keys(unit) - 1) / chunk_keys(u) + 1;
}

static void load(const struct job *j, size_t i, struct mk_cols *c, unsigned thread)
{
    const struct mk_unit *unit = &j->u->list[i];
    c->n = unit->n_tok * unit->n_head;
    for (size_t col = 0; col < c->n; col++) c->pos[col] = unit->pos + col / unit->n_head;
    j->u->load(j->u->arg, unit, c);
    mk_cols_start(j->k, j->u->wk->panels[thread], c);
}

/* Latents are decoded once for both products. */
static void attend_latents(const struct job *j, const struct mk_unit *unit, struct mk_cols *c,
                           size_t t, size_t n, float *tile, struct mk_panel *panel)
{
    const struct mk_units *u = j->u;
    size_t ld;
    const float *rows =
        mk_kv_view(j->k, unit->kv, u->layer, 0, t, n, unit->at, u->d_k, tile, u->d_k, &ld);
    const struct mk_weight key = mk_float_rows(rows, n, u->d_k, ld);
    mk_cols_attend(j->k, panel, c, &key, rows, ld, t);
}

static void attend_tile(const struct job *j, const struct mk_unit *unit, struct mk_cols *c,
                        size_t t, size_t n, unsigned thread)
{
    const struct mk_units *u = j->u;
    struct mk_panel *panel = u->wk->panels[thread];
    float *tile = j->tiles + thread * MK_TILE * (u->d_k + u->d_v), *tile2 = tile + MK_TILE * u->d_k;
    if (u->is_latent && !c->is_bf16) {
        attend_latents(j, unit, c, t, n, tile, panel);
        return;
    }
    const struct mk_weight key =
        mk_kv_rows(j->k, unit->kv, u->layer, 0, t, n, unit->at, u->d_k, tile);
    if (c->is_bf16) {
        const struct mk_weight val = mk_kv_rows(j->k, unit->kv, u->layer, u->is_latent ? 0 : 1, t,
                                                n, unit->at, u->d_v, NULL);
        mk_cols_attend_bf16(j->k, c, &key, &val, t);
        return;
    }
    size_t ld;
    const float *val =
        mk_kv_view(j->k, unit->kv, u->layer, 1, t, n, unit->at, u->d_v, tile2, u->d_v, &ld);
    mk_cols_attend(j->k, panel, c, &key, val, ld, t);
}

static void attend_chunk(const struct job *j, const struct mk_unit *unit, struct mk_cols *c,
                         size_t chunk, unsigned thread)
{
    const size_t most = chunk_keys(j->u), from = chunk * most, left = n_keys(unit) - from;
    const size_t to = from + (left < most ? left : most);
    mk_cols_clear(c);
    for (size_t t = from; t < to; t += MK_TILE)
        attend_tile(j, unit, c, t, to - t < MK_TILE ? to - t : MK_TILE, thread);
}

/* Column i of a chunk's result to what those before it gave. */
static void join(const struct mk_kernels *k, struct mk_cols *sum, const struct mk_cols *c, size_t i)
{
    if (c->l[i] == 0.0f) return; /* it sees none of the chunk */
    float *o = sum->o + i * sum->d_v;
    const float top = c->m[i] > sum->m[i] ? c->m[i] : sum->m[i];
    const float old = expf(sum->m[i] - top), new = expf(c->m[i] - top);
    if (old != 1.0f) k->scale(o, old, sum->d_v);
    k->axpy(o, new, c->o + i * c->d_v, sum->d_v);
    sum->l[i] = sum->l[i] * old + c->l[i] * new;
    sum->m[i] = top;
}

/* Each unit by one thread. */
static void attend_units(void *arg, size_t first, size_t last, unsigned thread)
{
    const struct job *j = arg;
    const struct mk_units *u = j->u;
    struct mk_cols *c = &j->cols[thread], *sum = &j->sums[thread];
    for (size_t i = first; i < last; i++) {
        load(j, i, c, thread);
        sum->n = c->n;
        mk_cols_clear(sum);
        for (size_t chunk = 0; chunk < n_chunks(u, &u->list[i]); chunk++) {
            attend_chunk(j, &u->list[i], c, chunk, thread);
            for (size_t col = 0; col < c->n; col++) join(j->k, sum, c, col);
        }
        mk_cols_finish(j->k, sum);
        u->store(u->arg, &u->list[i], sum);
    }
}

static void attend_alone(struct job *j, size_t grain)
{
    struct mk_work *wk = j->u->wk;
    const size_t n_threads = mk_pool_size(wk->pool);
    j->sums = mk_arena_take(&wk->arena, n_threads * sizeof *j->sums);
    for (size_t t = 0; t < n_threads; t++) j->sums[t] = mk_cols_again(wk, &j->cols[t]);
    mk_pool_run(wk->pool, j->u->n, grain, attend_units, j);
}

/* ---- threads share the chunks --------------------------------------------------------- */

static void load_units(void *arg, size_t first, size_t last, unsigned thread)
{
    const struct job *j = arg;
    for (size_t i = first; i < last; i++) {
        j->sums[i].w = j->cols[thread].w;
        if (j->sums[i].is_bf16) j->sums[i].q = j->cols[thread].q; /* until it is q16 */
        load(j, i, &j->sums[i], thread);
        for (size_t c = 0; c < j->n_chunk; c++) j->parts[i * j->n_chunk + c].n = j->sums[i].n;
    }
}

static void attend_parts(void *arg, size_t first, size_t last, unsigned thread)
{
    const struct job *j = arg;
    for (size_t i = first; i < last; i++) {
        const struct mk_unit *unit = &j->u->list[i / j->n_chunk];
        const size_t chunk = j->chunk0 + i % j->n_chunk;
        struct mk_cols c = j->parts[i];
        c.w = j->cols[thread].w;
        if (chunk < n_chunks(j->u, unit)) attend_chunk(j, unit, &c, chunk, thread);
    }
}

/* Columns of all units. */
static void join_parts(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    const struct job *j = arg;
    for (size_t i = first; i < last; i++) {
        const size_t at = i / j->n_col, col = i % j->n_col;
        for (size_t c = 0; col < j->sums[at].n && c < j->n_chunk; c++)
            if (j->chunk0 + c < n_chunks(j->u, &j->u->list[at]))
                join(j->k, &j->sums[at], &j->parts[at * j->n_chunk + c], col);
    }
}

static void finish_units(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    const struct job *j = arg;
    for (size_t i = first; i < last; i++) {
        mk_cols_finish(j->k, &j->sums[i]);
        j->u->store(j->u->arg, &j->u->list[i], &j->sums[i]);
    }
}

static struct mk_cols new_cols(const struct job *j, const struct mk_cols *like)
{
    const struct mk_units *u = j->u;
    if (!mk_can_attend_bf16(u->wk, u->list[0].kv, u->d_k, u->d_v))
        return (u->is_latent ? mk_cols_new_panels : mk_cols_new)(u->wk, j->n_col, u->d_k, u->d_v);
    return mk_cols_new_bf16(u->wk, j->n_col, u->d_k, u->d_v, like);
}

static void share_chunks(struct job *j, size_t n_all, size_t n_mac)
{
    struct mk_work *wk = j->u->wk;
    const size_t n = j->u->n, most = (PARTS * mk_pool_size(wk->pool) + n - 1) / n;
    const size_t n_round = (n_all + most - 1) / most;
    j->n_chunk = (n_all + n_round - 1) / n_round; /* rounds of about the same size */
    /* One run for each thread, as memory is quickest where it is read in order.  In floats latents
     * are more work than reading: their last chunk, which may be short, is for the thread that has
     * time. */
    const size_t n_part = n * j->n_chunk, n_least = mk_grain(wk, n_mac);
    const size_t n_fair = (n_part + mk_pool_size(wk->pool) - 1) / mk_pool_size(wk->pool);
    const bool is_busy = j->u->is_latent && !j->cols[0].is_bf16;
    const size_t n_run = is_busy || n_fair < n_least ? n_least : n_fair;
    j->sums = mk_arena_take(&wk->arena, n * sizeof *j->sums);
    j->parts = mk_arena_take(&wk->arena, n_part * sizeof *j->parts);
    for (size_t i = 0; i < n; i++) j->sums[i] = new_cols(j, &j->cols[0]);
    for (size_t i = 0; i < n_part; i++) j->parts[i] = mk_cols_again(wk, &j->sums[i / j->n_chunk]);
    const size_t n_load = mk_grain(wk, j->n_col * j->u->d_k), n_join = j->n_chunk * j->u->d_v;
    mk_pool_run(wk->pool, n, n_load, load_units, j);
    for (j->chunk0 = 0; j->chunk0 < n_all; j->chunk0 += j->n_chunk) {
        mk_pool_run(wk->pool, n_part, n_run, attend_parts, j);
        mk_pool_run(wk->pool, n * j->n_col, mk_grain(wk, n_join), join_parts, j);
    }
    mk_pool_run(wk->pool, n, n_load, finish_units, j);
}

void mk_attend_units(const struct mk_units *u)
{
    struct mk_work *wk = u->wk;
    const struct mk_arena_mark mark = mk_arena_mark(&wk->arena);
    const size_t n_threads = mk_pool_size(wk->pool);
    struct job j = {.u = u, .k = &wk->k};
    size_t n_all = 0, n_least = SIZE_MAX; /* chunks of the units that have most and least */
    for (size_t i = 0; i < u->n; i++) {
        const struct mk_unit *unit = &u->list[i];
        if (n_all < n_chunks(u, unit)) n_all = n_chunks(u, unit);
        if (n_least > n_chunks(u, unit)) n_least = n_chunks(u, unit);
        if (j.n_col < unit->n_tok * unit->n_head) j.n_col = unit->n_tok * unit->n_head;
    }
    j.tiles = mk_floats(wk, n_threads * MK_TILE * (u->d_k + u->d_v));
    j.cols = mk_arena_take(&wk->arena, n_threads * sizeof *j.cols);
    for (size_t t = 0; t < n_threads; t++) j.cols[t] = new_cols(&j, NULL);
    const size_t n_mac = j.n_col * chunk_keys(u) * (u->d_k + u->d_v); /* of a chunk */
    const bool is_even = n_threads == 1 || (u->n % n_threads == 0 && n_all == n_least);
    if (u->n < SHARE * n_threads && n_all > 1 && !is_even)
        share_chunks(&j, n_all, n_mac);
    else
        attend_alone(&j, mk_grain(wk, n_mac * n_all));
    mk_arena_reset(&wk->arena, mark);
}
