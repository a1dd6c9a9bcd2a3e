/* Latent attention for few tokens: see attention.h.
 *
 * All heads of a token read the same latents, so a tile of them serves a group of heads.  The
 * softmax runs over CHUNK keys at a time, and the chunks' results are joined in order, whoever
 * computed them: threads share one token's keys where there are too few tokens for all. */
#include "tensor/int_mla.h"
#include "tensor/int_tiles.h"

#include <string.h>

enum {
    GROUP = 64,          /* heads */
    CHUNK = 4 * MK_TILE, /* keys */
    PARTS = 8            /* chunks for each thread that wait to be joined */
};

/* The result of a chunk: [GROUP][d_latent], [GROUP], [GROUP]. */
struct part {
    float *o, *m, *l;
};

struct absorbed {
    struct mk_work *wk;
    const struct mk_mla *a;
    const struct mk_mla_call *call;
    size_t n_tok, n_group, n_unit;     /* a unit is a token and a group of heads */
    size_t *span_of, *row_of, *pos_of; /* [n_tok] */
    float *q;                          /* [n_tok][n_head][d_nope + d_rope], gathered */
    float *qa;                         /* [n_tok][n_head][d_latent] */
    float *z;                          /* [n_tok][n_head][d_latent]: sums of latents */
    float *m, *l;                      /* [n_tok][n_head] of their softmax */
    float *o;                          /* [n_tok][n_head][d_v] */
    struct mk_input q_in, z_in;        /* rows of a head n_head apart */
    float *scratch;                    /* per thread */
    size_t n_scratch;
    struct mk_cols *cols;   /* per thread */
    struct part *parts;     /* [n_unit][n_chunk] */
    size_t chunk0, n_chunk; /* those at hand */
};

static size_t max2(size_t a, size_t b) { return a > b ? a : b; }

static void absorb_queries(void *arg, size_t first, size_t last, unsigned thread)
{
    const struct absorbed *j = arg;
    const struct mk_mla *a = j->a;
    const struct mk_kernels *k = &j->wk->k;
    const size_t ldq = a->n_head * (a->d_nope + a->d_rope), ldy = a->n_head * a->d_latent;
    float *scratch = j->scratch + thread * j->n_scratch;
    for (size_t h = first; h < last; h++) {
        float *y = j->qa + h * a->d_latent;
        if (a->kv_b) {
            const struct mk_weight w = mk_uk_rows(a, h);
            mk_mul_transposed(k, &w, scratch, j->q + h * (a->d_nope + a->d_rope), ldq, j->n_tok, y,
                              ldy);
        } else {
            const struct mk_weight w = mk_ukt_rows(a, h);
            const struct mk_input x = mk_input_slice(&j->q_in, h, a->n_head, j->n_tok);
            const struct mk_product p = {&w, y, ldy, NULL, false};
            mk_matmul_strips(k, j->wk->panels[thread], scratch, &p, &x, 0, mk_n_strips(&w));
        }
    }
}

static size_t first_head(const struct absorbed *j, size_t u) { return u % j->n_group * GROUP; }
static size_t n_heads(const struct absorbed *j, size_t u)
{
    const size_t left = j->a->n_head - first_head(j, u);
    return left < GROUP ? left : GROUP;
}

static void load_absorbed(const struct absorbed *j, struct mk_cols *c, size_t u)
{
    const struct mk_mla *a = j->a;
    const size_t d_q = a->d_nope + a->d_rope, tok = u / j->n_group;
    c->n = n_heads(j, u);
    for (size_t h = 0; h < c->n; h++) {
        const size_t head = tok * a->n_head + first_head(j, u) + h;
        memcpy(c->q + h * c->d_k, j->qa + head * a->d_latent, a->d_latent * sizeof(float));
        memcpy(c->q + h * c->d_k + a->d_latent, j->q + head * d_q + a->d_nope,
               a->d_rope * sizeof(float));
        c->pos[h] = j->pos_of[tok];
    }
    j->wk->k.scale(c->q, a->scale, c->n * c->d_k);
}

static void attend_tile(const struct absorbed *j, struct mk_cols *c, size_t tok, size_t t, size_t n,
                        unsigned thread)
{
    const struct mk_kernels *k = &j->wk->k;
    const size_t layer = j->call->layer, d_latent = j->a->d_latent;
    const struct mk_kv *kv = j->call->spans[j->span_of[tok]].kv;
    float *tile = j->scratch + thread * j->n_scratch;
    const struct mk_weight keys = mk_kv_rows(k, kv, layer, 0, t, n, 0, c->d_k, tile);
    if (c->is_bf16) {
        struct mk_weight val = keys; /* a row begins with its latent */
        val.cols = d_latent;
        mk_cols_attend_bf16(k, c, &keys, &val, t);
        return;
    }
    const float *val = tile; /* where keys were decoded values are too */
    size_t ld = c->d_k;
    if (keys.data != (const uint8_t *)tile)
        val = mk_kv_view(k, kv, layer, 0, t, n, 0, d_latent, tile, c->d_k, &ld);
    mk_cols_attend(k, j->wk->panels[thread], c, &keys, val, ld, t);
}

/* Leaves a unit's result for one chunk in the thread's columns. */
static struct mk_cols *attend_chunk(const struct absorbed *j, size_t u, size_t chunk,
                                    unsigned thread)
{
    struct mk_cols *c = &j->cols[thread];
    const size_t tok = u / j->n_group, n_key = j->pos_of[tok] + 1;
    const size_t end = (chunk + 1) * CHUNK < n_key ? (chunk + 1) * CHUNK : n_key;
    load_absorbed(j, c, u);
    mk_cols_start(&j->wk->k, j->wk->panels[thread], c);
    for (size_t t = chunk * CHUNK; t < end; t += MK_TILE)
        attend_tile(j, c, tok, t, end - t < MK_TILE ? end - t : MK_TILE, thread);
    return c;
}

static size_t n_chunks(const struct absorbed *j, size_t u)
{
    return j->pos_of[u / j->n_group] / CHUNK + 1;
}

static void join(const struct absorbed *j, size_t u, const struct part *p)
{
    const struct mk_kernels *k = &j->wk->k;
    const size_t d = j->a->d_latent, first = u / j->n_group * j->a->n_head + first_head(j, u);
    for (size_t h = 0; h < n_heads(j, u); h++) {
        float *m = &j->m[first + h], *l = &j->l[first + h], *z = j->z + (first + h) * d;
        const float top = p->m[h] > *m ? p->m[h] : *m;
        const float old = expf(*m - top), new = expf(p->m[h] - top);
        if (old != 1.0f) k->scale(z, old, d);
        k->axpy(z, new, p->o + h * d, d);
        *l = *l * old + p->l[h] * new;
        *m = top;
    }
}

static void attend_units(void *arg, size_t first, size_t last, unsigned thread)
{
    const struct absorbed *j = arg;
    for (size_t u = first; u < last; u++)
        for (size_t i = 0; i < n_chunks(j, u); i++) {
            const struct mk_cols *c = attend_chunk(j, u, i, thread);
            join(j, u, &(struct part){c->o, c->m, c->l});
        }
}

static void attend_parts(void *arg, size_t first, size_t last, unsigned thread)
{
    const struct absorbed *j = arg;
    for (size_t i = first; i < last; i++) {
        const size_t u = i / j->n_chunk, chunk = j->chunk0 + i % j->n_chunk;
        if (chunk >= n_chunks(j, u)) continue;
        const struct mk_cols *c = attend_chunk(j, u, chunk, thread);
        memcpy(j->parts[i].o, c->o, c->n * c->d_v * sizeof *c->o);
        memcpy(j->parts[i].m, c->m, c->n * sizeof *c->m);
        memcpy(j->parts[i].l, c->l, c->n * sizeof *c->l);
    }
}

/* Units are fewer than threads: these share the chunks, some of all at a time. */
static void share_chunks(struct absorbed *j, size_t n_all, size_t n_mac)
{
    struct mk_work *wk = j->wk;
    const size_t most = PARTS * mk_pool_size(wk->pool);
    j->n_chunk = n_all < most / j->n_unit ? n_all : most / j->n_unit;
    const size_t n_part = j->n_unit * j->n_chunk;
    j->parts = mk_arena_take(&wk->arena, n_part * sizeof *j->parts);
    for (size_t i = 0; i < n_part; i++)
        j->parts[i] = (struct part){mk_floats(wk, GROUP * j->a->d_latent), mk_floats(wk, GROUP),
                                    mk_floats(wk, GROUP)};
    for (j->chunk0 = 0; j->chunk0 < n_all; j->chunk0 += j->n_chunk) {
        mk_pool_run(wk->pool, n_part, mk_grain(wk, n_mac), attend_parts, j);
        for (size_t i = 0; i < n_part; i++)
            if (j->chunk0 + i % j->n_chunk < n_chunks(j, i / j->n_chunk))
                join(j, i / j->n_chunk, &j->parts[i]);
    }
}

static void attend_latents(struct absorbed *j)
{
    struct mk_work *wk = j->wk;
    const size_t n = j->n_tok * j->a->n_head, d = j->a->d_latent;
    memset(j->z, 0, n * d * sizeof *j->z);
    for (size_t i = 0; i < n; i++) j->m[i] = -INFINITY, j->l[i] = 0.0f;
    size_t n_all = 0; /* chunks of the token that has most */
    for (size_t u = 0; u < j->n_unit; u++) n_all = max2(n_all, n_chunks(j, u));
    const size_t n_mac = 2 * n_heads(j, 0) * d * CHUNK; /* of a chunk */
    if (j->n_unit < mk_pool_size(wk->pool) && n_all > 1)
        share_chunks(j, n_all, n_mac);
    else
        mk_pool_run(wk->pool, j->n_unit, mk_grain(wk, n_mac * n_all), attend_units, j);
    for (size_t i = 0; i < n; i++) wk->k.scale(j->z + i * d, 1.0f / j->l[i], d);
}

static void values_of_latents(void *arg, size_t first, size_t last, unsigned thread)
{
    const struct absorbed *j = arg;
    const struct mk_mla *a = j->a;
    for (size_t h = first; h < last; h++) {
        const struct mk_weight w = mk_uv_rows(a, h);
        const struct mk_input x = mk_input_slice(&j->z_in, h, a->n_head, j->n_tok);
        const struct mk_product p = {&w, j->o + h * a->d_v, a->n_head * a->d_v, NULL, false};
        mk_matmul_strips(&j->wk->k, j->wk->panels[thread], j->scratch + thread * j->n_scratch, &p,
                         &x, 0, mk_n_strips(&w));
    }
}

static void absorbed_memory(struct absorbed *j)
{
    struct mk_work *wk = j->wk;
    const struct mk_mla *a = j->a;
    const size_t n_threads = mk_pool_size(wk->pool), n = j->n_tok * a->n_head;
    const size_t d_row = a->d_latent + a->d_rope;
    j->q = mk_floats(wk, n * (a->d_nope + a->d_rope));
    j->qa = mk_floats(wk, n * a->d_latent);
    j->z = mk_floats(wk, n * a->d_latent);
    j->o = mk_floats(wk, n * a->d_v);
    j->m = mk_floats(wk, n), j->l = mk_floats(wk, n);
    j->n_scratch = max2(MK_MLA_PIECE * max2(a->d_latent, a->d_nope),
                        max2(MK_TILE * d_row, MK_STRIPS * j->n_tok * MK_PANEL_ROWS));
    j->scratch = mk_floats(wk, n_threads * j->n_scratch);
    j->cols = mk_arena_take(&wk->arena, n_threads * sizeof *j->cols);
    /* All caches of a step are of one type. */
    const bool is_bf16 = mk_can_attend_bf16(wk, j->call->spans[0].kv, d_row, a->d_latent);
    const size_t group = a->n_head < GROUP ? a->n_head : GROUP;
    for (size_t t = 0; t < n_threads; t++)
        j->cols[t] = is_bf16 ? mk_cols_new_bf16(wk, group, d_row, a->d_latent, NULL)
                             : mk_cols_new(wk, group, d_row, a->d_latent);
}

/* Tokens of the short spans, one after the other. */
static void gather_absorbed(struct absorbed *j)
{
    const struct mk_span *spans = j->call->spans;
    const float *q = j->call->q;
    const size_t d = j->a->n_head * (j->a->d_nope + j->a->d_rope);
    size_t i = 0;
    for (size_t s = 0; s < j->call->n_spans; s++)
        for (size_t t = 0; !mk_mla_is_expanded(j->a, &spans[s]) && t < spans[s].n; t++, i++) {
            j->span_of[i] = s;
            j->row_of[i] = spans[s].first + t;
            j->pos_of[i] = spans[s].pos + t;
            memcpy(j->q + i * d, q + j->row_of[i] * d, d * sizeof *q);
        }
}

void mk_mla_absorbed(const struct mk_mla_call *c, size_t n_tok)
{
    struct mk_work *wk = c->wk;
    const struct mk_mla *a = c->a;
    struct absorbed job = {.wk = wk, .a = a, .call = c, .n_tok = n_tok}, *j = &job;
    const size_t n = n_tok * a->n_head;
    j->span_of = mk_arena_take(&wk->arena, 3 * n_tok * sizeof *j->span_of);
    j->row_of = j->span_of + n_tok;
    j->pos_of = j->row_of + n_tok;
    absorbed_memory(j);
    gather_absorbed(j);
    j->q_in = mk_input(j->q, n, a->d_nope, a->d_nope + a->d_rope);
    if (!a->kv_b) mk_input_prepare(wk, &j->q_in, a->k_b->type);
    const size_t mac = n_tok * a->d_latent; /* of a head, for each value of it */
    mk_pool_run(wk->pool, a->n_head, mk_grain(wk, mac * a->d_nope), absorb_queries, j);
    j->n_group = (a->n_head + GROUP - 1) / GROUP;
    j->n_unit = n_tok * j->n_group;
    attend_latents(j);
    j->z_in = mk_input(j->z, n, a->d_latent, a->d_latent);
    mk_input_prepare(wk, &j->z_in, a->kv_b ? a->kv_b->type : a->v_b->type);
    mk_pool_run(wk->pool, a->n_head, mk_grain(wk, mac * a->d_v), values_of_latents, j);
    const size_t d = a->n_head * a->d_v;
    for (size_t i = 0; i < n_tok; i++)
        memcpy(c->out + j->row_of[i] * d, j->o + i * d, d * sizeof *c->out);
}
