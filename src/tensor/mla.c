/* Multi-head latent attention in its two forms. */
#include "tensor/int_attention.h"
#include "tensor/int_tiles.h"
#include "tensor/tape.h"

#include <assert.h>
#include <string.h>

enum {
    HEADS_PER_UNIT = 16,   /* absorbed: heads that share a decoded tile of latents */
    KEYS_PER_BLOCK = 1024, /* expanded: latents made ready at a time */
    PIECE = 16             /* weight rows decoded at a time for transposed products */
};

static bool is_expanded(const struct mk_mla *a, const struct mk_span *s)
{
    if (a->form == MK_MLA_BY_COUNT) return s->n >= MK_MLA_EXPAND;
    return a->form == MK_MLA_EXPANDED;
}

static struct mk_weight uk_rows(const struct mk_mla *a, size_t h) /* [d_nope][d_latent] */
{
    return mk_weight_rows(a->kv_b, h * (a->d_nope + a->d_v), a->d_nope);
}
static struct mk_weight ukt_rows(const struct mk_mla *a, size_t h) /* [d_latent][d_nope] */
{
    return mk_weight_rows(a->k_b, h * a->d_latent, a->d_latent);
}
static struct mk_weight uv_rows(const struct mk_mla *a, size_t h) /* [d_v][d_latent] */
{
    if (!a->kv_b) return mk_weight_rows(a->v_b, h * a->d_v, a->d_v);
    return mk_weight_rows(a->kv_b, h * (a->d_nope + a->d_v) + a->d_nope, a->d_v);
}

/* y[n][w->cols] = W^T x, x [n][w->rows].  piece is [PIECE][w->cols] scratch. */
static void mul_transposed(const struct mk_kernels *k, const struct mk_weight *w, float *piece,
                           const float *x, size_t ldx, size_t n, float *y, size_t ldy)
{
    for (size_t i = 0; i < n; i++) memset(y + i * ldy, 0, w->cols * sizeof *y);
    for (size_t r = 0; r < w->rows; r += PIECE) {
        const size_t n_r = w->rows - r < PIECE ? w->rows - r : PIECE;
        mk_weight_decode(k, w, r, n_r, piece);
        k->mul_t(y, ldy, piece, w->cols, n_r, w->cols, x + r, ldx, n);
    }
}

/* ---- absorbed ---------------------------------------------------------------- */

struct absorbed {
    struct mk_work *wk;
    const struct mk_mla *a;
    size_t layer, n_tok, n_group;
    const struct mk_span *spans;
    size_t *span_of, *row_of, *pos_of; /* [n_tok] */
    float *q;                          /* [n_tok][n_head][d_nope + d_rope], gathered */
    float *qa;                         /* [n_tok][n_head][d_latent] */
    float *z;                          /* [n_tok][n_head][d_latent] */
    float *o;                          /* [n_tok][n_head][d_v] */
    struct mk_input q_in, z_in;        /* rows of a head n_head apart */
    float *scratch;                    /* per thread */
    size_t n_scratch;
    struct mk_cols *cols;
};

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
            const struct mk_weight w = uk_rows(a, h);
            mul_transposed(k, &w, scratch, j->q + h * (a->d_nope + a->d_rope), ldq, j->n_tok, y,
                           ldy);
        } else {
            const struct mk_weight w = ukt_rows(a, h);
            const struct mk_input x = mk_input_slice(&j->q_in, h, a->n_head, j->n_tok);
            const struct mk_product p = {&w, y, ldy, NULL, false};
            mk_matmul_strips(k, j->wk->panels[thread], scratch, &p, &x, 0, mk_n_strips(&w));
        }
    }
}

static void load_absorbed(const struct absorbed *j, struct mk_cols *c, size_t tok, size_t h0,
                          size_t n)
{
    const struct mk_mla *a = j->a;
    const size_t d_q = a->d_nope + a->d_rope;
    c->n = n;
    for (size_t h = 0; h < n; h++) {
        const size_t head = tok * a->n_head + h0 + h;
        memcpy(c->q + h * c->d_k, j->qa + head * a->d_latent, a->d_latent * sizeof(float));
        memcpy(c->q + h * c->d_k + a->d_latent, j->q + head * d_q + a->d_nope,
               a->d_rope * sizeof(float));
        c->pos[h] = j->pos_of[tok];
    }
    j->wk->k.scale(c->q, a->scale, n * c->d_k);
}

/* One token, HEADS_PER_UNIT heads: all of them read the same latents. */
static void attend_latents(void *arg, size_t first, size_t last, unsigned thread)
{
    const struct absorbed *j = arg;
    const struct mk_mla *a = j->a;
    const struct mk_kernels *k = &j->wk->k;
    struct mk_cols *c = &j->cols[thread];
    float *tile = j->scratch + thread * j->n_scratch;
    const size_t d_row = a->d_latent + a->d_rope;
    for (size_t u = first; u < last; u++) {
        const size_t tok = u / j->n_group, h0 = u % j->n_group * HEADS_PER_UNIT;
        const size_t n = a->n_head - h0 < HEADS_PER_UNIT ? a->n_head - h0 : HEADS_PER_UNIT;
        load_absorbed(j, c, tok, h0, n);
        mk_cols_start(c);
        for (size_t t = 0; t <= j->pos_of[tok]; t += MK_TILE) {
            const size_t left = j->pos_of[tok] + 1 - t, n_key = left < MK_TILE ? left : MK_TILE;
            const struct mk_kv *kv = j->spans[j->span_of[tok]].kv;
            const struct mk_weight keys = mk_kv_rows(k, kv, j->layer, 0, t, n_key, 0, d_row, tile);
            const float *val = tile; /* where keys were decoded values are too */
            size_t ld = d_row;
            if (keys.data != (const uint8_t *)tile)
                val = mk_kv_view(k, kv, j->layer, 0, t, n_key, 0, a->d_latent, tile, d_row, &ld);
            mk_cols_attend(k, j->wk->panels[thread], c, &keys, val, ld, t);
        }
        mk_cols_finish(k, c);
        memcpy(j->z + (tok * a->n_head + h0) * a->d_latent, c->o, n * a->d_latent * sizeof(float));
    }
}

static void values_of_latents(void *arg, size_t first, size_t last, unsigned thread)
{
    const struct absorbed *j = arg;
    const struct mk_mla *a = j->a;
    for (size_t h = first; h < last; h++) {
        const struct mk_weight w = uv_rows(a, h);
        const struct mk_input x = mk_input_slice(&j->z_in, h, a->n_head, j->n_tok);
        const struct mk_product p = {&w, j->o + h * a->d_v, a->n_head * a->d_v, NULL, false};
        mk_matmul_strips(&j->wk->k, j->wk->panels[thread], j->scratch + thread * j->n_scratch, &p,
                         &x, 0, mk_n_strips(&w));
    }
}

static size_t max3(size_t a, size_t b, size_t c) { return a > b ? (a > c ? a : c) : b > c ? b : c; }

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
    j->n_scratch = max3(PIECE * max3(a->d_latent, a->d_nope, 0), MK_TILE * d_row,
                        MK_STRIPS * j->n_tok * MK_PANEL_ROWS);
    j->scratch = mk_floats(wk, n_threads * j->n_scratch);
    j->cols = mk_arena_take(&wk->arena, n_threads * sizeof *j->cols);
    for (size_t t = 0; t < n_threads; t++)
        j->cols[t] = mk_cols_new(wk, HEADS_PER_UNIT, d_row, a->d_latent);
}

/* Tokens of the short spans, one after the other. */
static void gather_absorbed(struct absorbed *j, size_t n_spans, const float *q)
{
    const size_t d = j->a->n_head * (j->a->d_nope + j->a->d_rope);
    size_t i = 0;
    for (size_t s = 0; s < n_spans; s++)
        for (size_t t = 0; !is_expanded(j->a, &j->spans[s]) && t < j->spans[s].n; t++, i++) {
            j->span_of[i] = s;
            j->row_of[i] = j->spans[s].first + t;
            j->pos_of[i] = j->spans[s].pos + t;
            memcpy(j->q + i * d, q + j->row_of[i] * d, d * sizeof *q);
        }
}

/* Multiply-adds of a unit of attend_latents that sees all keys. */
static size_t latent_mac(const struct absorbed *j)
{
    const size_t last = j->pos_of[j->n_tok - 1] + 1, heads = HEADS_PER_UNIT;
    return 2 * (j->a->n_head < heads ? j->a->n_head : heads) * last * j->a->d_latent;
}

static void run_absorbed(struct absorbed *j, size_t n_spans, const float *q, float *out)
{
    struct mk_work *wk = j->wk;
    const struct mk_mla *a = j->a;
    const size_t n = j->n_tok * a->n_head;
    j->span_of = mk_arena_take(&wk->arena, 3 * j->n_tok * sizeof *j->span_of);
    j->row_of = j->span_of + j->n_tok;
    j->pos_of = j->row_of + j->n_tok;
    absorbed_memory(j);
    gather_absorbed(j, n_spans, q);
    j->q_in = mk_input(j->q, n, a->d_nope, a->d_nope + a->d_rope);
    if (!a->kv_b) mk_input_prepare(wk, &j->q_in, a->k_b->type);
    const size_t mac = j->n_tok * a->d_latent; /* of a head, for each value of it */
    mk_pool_run(wk->pool, a->n_head, mk_grain(wk, mac * a->d_nope), absorb_queries, j);
    j->n_group = (a->n_head + HEADS_PER_UNIT - 1) / HEADS_PER_UNIT;
    mk_pool_run(wk->pool, j->n_tok * j->n_group, mk_grain(wk, latent_mac(j)), attend_latents, j);
    j->z_in = mk_input(j->z, n, a->d_latent, a->d_latent);
    mk_input_prepare(wk, &j->z_in, a->kv_b ? a->kv_b->type : a->v_b->type);
    mk_pool_run(wk->pool, a->n_head, mk_grain(wk, mac * a->d_v), values_of_latents, j);
    const size_t d = a->n_head * a->d_v;
    for (size_t i = 0; i < j->n_tok; i++)
        memcpy(out + j->row_of[i] * d, j->o + i * d, d * sizeof *out);
}

/* ---- expanded ---------------------------------------------------------------- */

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

/* Keys [n][d_nope + d_rope] and values [n][d_v] of head h for rows [t, t + n) of the block. */
static void expand_tile(const struct expanded *j, size_t h, size_t t, size_t n, unsigned thread,
                        float *key, float *val, float *scratch)
{
    const struct mk_mla *a = j->a;
    const struct mk_kernels *k = &j->wk->k;
    const size_t d_k = a->d_nope + a->d_rope;
    const struct mk_input x = mk_input_slice(&j->latent, t, 1, n);
    const struct mk_weight v = uv_rows(a, h);
    const struct mk_product values = {&v, val, a->d_v, NULL, false};
    mk_matmul_strips(k, j->wk->panels[thread], scratch, &values, &x, 0, mk_n_strips(&v));
    if (a->kv_b) {
        const struct mk_weight u = uk_rows(a, h);
        const struct mk_product keys = {&u, key, d_k, NULL, false};
        mk_matmul_strips(k, j->wk->panels[thread], scratch, &keys, &x, 0, mk_n_strips(&u));
    } else {
        const struct mk_weight u = ukt_rows(a, h);
        mul_transposed(k, &u, scratch, x.v, x.ld, n, key, d_k);
    }
    for (size_t i = 0; i < n; i++)
        memcpy(key + i * d_k + a->d_nope, j->rows + (t + i) * j->ld + a->d_latent,
               a->d_rope * sizeof *key);
}

static void attend_heads(void *arg, size_t first, size_t last, unsigned thread)
{
    const struct expanded *j = arg;
    const struct mk_mla *a = j->a;
    const size_t d_k = a->d_nope + a->d_rope;
    float *key = j->scratch + thread * j->n_scratch;
    float *val = key + MK_TILE * d_k, *scratch = val + MK_TILE * a->d_v;
    for (size_t h = first; h < last; h++)
        for (size_t t = 0; t < j->n_key; t += MK_TILE) {
            const size_t n = j->n_key - t < MK_TILE ? j->n_key - t : MK_TILE;
            expand_tile(j, h, t, n, thread, key, val, scratch);
            const struct mk_weight keys = mk_float_rows(key, n, d_k, d_k);
            mk_cols_attend(&j->wk->k, j->wk->panels[thread], &j->cols[h], &keys, val, a->d_v,
                           j->key0 + t);
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
        mk_cols_start(c);
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

static void run_expanded(struct expanded *j, const float *q, float *out)
{
    struct mk_work *wk = j->wk;
    const struct mk_mla *a = j->a;
    const size_t n_all = j->span->pos + j->span->n;
    j->ld = a->d_latent + a->d_rope;
    j->rows = mk_floats(wk, KEYS_PER_BLOCK * j->ld);
    j->n_scratch = MK_TILE * (a->d_nope + a->d_rope + a->d_v) +
                   max3(MK_STRIPS * MK_TILE * MK_PANEL_ROWS, PIECE * a->d_nope, 0);
    j->scratch = mk_floats(wk, mk_pool_size(wk->pool) * j->n_scratch);
    load_expanded(j, q);
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
    store_expanded(j, out);
}

static void attend(struct mk_work *wk, const struct mk_mla *a, size_t layer,
                   const struct mk_span *spans, size_t n_spans, const float *q, float *out)
{
    const struct mk_arena_mark mark = mk_arena_mark(&wk->arena);
    struct absorbed few = {.wk = wk, .a = a, .layer = layer, .spans = spans};
    for (size_t s = 0; s < n_spans; s++) {
        if (!is_expanded(a, &spans[s])) {
            few.n_tok += spans[s].n;
            continue;
        }
        struct expanded many = {.wk = wk, .a = a, .layer = layer, .span = &spans[s]};
        run_expanded(&many, q, out);
        mk_arena_reset(&wk->arena, mark);
    }
    if (few.n_tok) run_absorbed(&few, n_spans, q, out);
    mk_arena_reset(&wk->arena, mark);
}

void mk_attention_mla(struct mk_work *wk, const struct mk_mla *a, size_t layer,
                      const struct mk_span *spans, size_t n_spans, const float *q,
                      const float *rows, float *out)
{
    const bool is_recording = mk_is_recording(wk);
    const size_t d_row = a->d_latent + a->d_rope;
    if (is_recording) mk_mla_train(wk, a, spans, n_spans, q, rows, out);
    if (is_recording && a->form != MK_MLA_ABSORBED) return;
    for (size_t i = 0; i < n_spans; i++) {
        const struct mk_span *s = &spans[i];
        mk_kv_store(wk, s->kv, layer, 0, s->pos, s->n, rows + s->first * d_row, d_row);
    }
    attend(wk, a, layer, spans, n_spans, q, out);
}
