/* DeepSeek-V2 and V3 (R1, V3.1): multi-head latent attention and a mixture of experts.
 *
 *   h += Wo mla(rmsnorm(h))
 *   h += ffn(rmsnorm(h))       dense SwiGLU in the first layers, then
 *                              shared SwiGLU + routed experts
 *
 * Attention (V2, section 2.1):
 *   q = Wq x, or Wqb rmsnorm(Wqa x)          per head [d_nope | d_rope]
 *   [c | k] = Wkva x                         latent, one rotary key for all heads
 *   the cache keeps [rmsnorm(c) | rope(k)];  keys and values per head are Wkvb c
 *
 * V2 and V3 differ in numbers and routing only (tensor/experts.h).  Loading and metadata are
 * in deepseek_v3_load.c. */
#include "model/int_deepseek_v3.h"
#include "model/stream.h"
#include "tensor/tape.h"

/* Wanted by both the attention of a layer and the multi-token prediction block. */
struct pass {
    const struct mk_model *m;
    const struct mk_deepseek *n;
    struct mk_work *wk;
    const struct mk_step *s;
    const float *table; /* cos, sin for each row */
};

static float *queries(const struct pass *p, const struct mk_ds_layer *l, struct mk_input *x,
                      float *kv_row, size_t d_row)
{
    const struct mk_deepseek *n = p->n;
    struct mk_work *wk = p->wk;
    const size_t n_tok = p->s->n_tok, d_head = n->d_nope + n->d_rope, d_q = n->n_head * d_head;
    float *q = mk_floats(wk, n_tok * d_q);
    if (!n->q_rank) {
        mk_matmul(wk, x,
                  (const struct mk_product[]){{&l->q, q, d_q, NULL, false},
                                              {&l->kv_a, kv_row, d_row, NULL, false}},
                  2);
        return q;
    }
    float *low = mk_floats(wk, n_tok * n->q_rank);
    mk_matmul(wk, x,
              (const struct mk_product[]){{&l->q_a, low, n->q_rank, NULL, false},
                                          {&l->kv_a, kv_row, d_row, NULL, false}},
              2);
    mk_rmsnorm(wk, low, n->q_rank, low, n->q_rank, n_tok, n->q_rank, l->q_norm, (float)n->eps);
    struct mk_input in = mk_input(low, n_tok, n->q_rank, n->q_rank);
    mk_matmul(wk, &in, &(struct mk_product){&l->q_b, q, d_q, NULL, false}, 1);
    return q;
}

static void attention(const struct pass *p, const struct mk_ds_layer *l, size_t cache_layer,
                      float *h)
{
    const struct mk_deepseek *n = p->n;
    struct mk_work *wk = p->wk;
    const struct mk_step *s = p->s;
    const size_t d = p->m->d_model, n_tok = s->n_tok, d_row = n->kv_rank + n->d_rope;
    const size_t d_head = n->d_nope + n->d_rope, d_o = n->n_head * n->d_v;
    float *x = mk_floats(wk, n_tok * d), *row = mk_floats(wk, n_tok * d_row);
    float *o = mk_floats(wk, n_tok * d_o);
    mk_rmsnorm(wk, x, d, h, d, n_tok, d, l->norm1, (float)n->eps);
    struct mk_input in = mk_input(x, n_tok, d, d);
    float *q = queries(p, l, &in, row, d_row);
    /* The latent is normed, the rotary key is not. */
    mk_rmsnorm(wk, row, d_row, row, d_row, n_tok, n->kv_rank, l->kv_norm, (float)n->eps);
    mk_rope_apply(wk, &n->rope, p->table, row + n->kv_rank, n_tok, d_row, 1, n->d_rope);
    mk_rope_apply(wk, &n->rope, p->table, q + n->d_nope, n_tok, n->n_head * d_head, n->n_head,
                  d_head);
    struct mk_mla mla = n->mla;
    mla.kv_b = l->kv_b.data ? &l->kv_b : NULL;
    mla.form = s->form;
    mla.k_b = &l->k_b, mla.v_b = &l->v_b;
    mk_attention_mla(wk, &mla, cache_layer, s->spans, s->n_spans, q, row, o);
    struct mk_input out = mk_input(o, n_tok, d_o, d_o);
    mk_matmul(wk, &out, &(struct mk_product){&l->o, h, d, NULL, true}, 1);
}

static void note_experts(const struct pass *p, const struct mk_ds_layer *l, const int32_t *id)
{
    const struct mk_step *s = p->s;
    const size_t n_active = p->m->n_active, n_row = p->m->n_routed * n_active;
    for (size_t i = 0; i < s->n_want; i++)
        for (size_t k = 0; k < n_active; k++)
            s->experts[i * n_row + l->i_routed * n_active + k] =
                (uint16_t)id[s->want[i] * n_active + k];
}

/* The experts of a layer for each token. */
struct route {
    int32_t *id; /* [n_tok][n_active] */
    float *weight;
    struct mk_wanted wanted; /* of a model whose experts are read when they are needed */
};

static void choose(const struct pass *p, const struct mk_ds_layer *l, struct mk_input *x,
                   struct route *out)
{
    struct mk_work *wk = p->wk;
    struct mk_router r = p->n->router;
    r.bias = l->router_bias;
    float *logits = mk_floats(wk, x->n * r.n_expert);
    out->weight = mk_floats(wk, x->n * r.n_active);
    out->id = mk_arena_take(&wk->arena, x->n * r.n_active * sizeof *out->id);
    mk_matmul(wk, x, &(struct mk_product){&l->router, logits, r.n_expert, NULL, false}, 1);
    mk_route(wk, &r, logits, x->n, out->id, out->weight);
}

static void route(const struct pass *p, const struct mk_ds_layer *l, struct mk_input *x, int layer,
                  struct route *r)
{
    struct mk_work *wk = p->wk;
    const size_t n_active = p->m->n_active, n = x->n * n_active;
    choose(p, l, x, r);
    if (p->s->experts) note_experts(p, l, r->id);
    if (wk->probe) {
        float *ids = mk_floats(wk, n);
        for (size_t i = 0; i < n; i++) ids[i] = (float)r->id[i];
        mk_probe(wk, "route.experts", layer, ids, x->n, n_active);
        mk_probe(wk, "route.weights", layer, r->weight, x->n, n_active);
    }
    if (!p->m->stream) return;
    r->wanted = (struct mk_wanted){
        .cache = mk_stream_cache(p->m), .layer = (size_t)layer, .stop = p->s->stop};
    mk_experts_want(wk, &r->wanted, r->id, n);
}

static bool routed(const struct pass *p, const struct mk_ds_layer *l, struct mk_input *x,
                   struct route *r, float *y)
{
    const struct mk_deepseek *n = p->n;
    const size_t n_active = n->router.n_active;
    const struct mk_experts e = {n->router.n_expert, n->d_ff_expert, l->gate, l->up, l->down};
    if (p->m->stream)
        return mk_experts_add_wanted(p->wk, &r->wanted, &e, x, r->id, r->weight, n_active, y,
                                     p->s->err);
    mk_experts_add(p->wk, &e, x, r->id, r->weight, n_active, y);
    return true;
}

/* The residual stream changes little from layer to layer, so the next layer's router, asked now,
 * names most of the experts that it will name (Eliseev and Mazur 2023, section 3.2). */
static void look_ahead(const struct pass *p, size_t next, const float *h)
{
    enum { MAX_TOKS = 4 }; /* of more, the union is nearly all experts */
    const struct mk_ds_layer *l = &p->n->layers[next];
    struct mk_work *wk = p->wk;
    const size_t n = p->s->n_tok, d = p->m->d_model;
    if (!p->m->stream || next >= p->m->n_layer || !l->gate || n > MAX_TOKS) return;
    const struct mk_arena_mark mark = mk_arena_mark(&wk->arena);
    float *x = mk_floats(wk, n * d);
    struct route r;
    mk_rmsnorm(wk, x, d, h, d, n, d, l->norm2, (float)p->n->eps);
    struct mk_input in = mk_input(x, n, d, d);
    choose(p, l, &in, &r);
    mk_expert_cache_guess(mk_stream_cache(p->m), next, r.id, n * p->m->n_active);
    mk_arena_reset(&wk->arena, mark);
}

struct block {
    struct pass p;
    size_t layer, cache_layer;
    float *h;
    bool is_done;
};

static void run_block(void *arg)
{
    struct block *b = arg;
    const struct pass *p = &b->p;
    const size_t layer = b->layer;
    struct mk_work *wk = p->wk;
    float *h = b->h;
    const struct mk_arena_mark mark = mk_arena_mark(&wk->arena);
    const struct mk_ds_layer *l = &p->n->layers[layer];
    const size_t d = p->m->d_model, n_tok = p->s->n_tok;
    struct route r;
    attention(p, l, b->cache_layer, h);
    float *x = mk_floats(wk, n_tok * d);
    mk_rmsnorm(wk, x, d, h, d, n_tok, d, l->norm2, (float)p->n->eps);
    struct mk_input in = mk_input(x, n_tok, d, d);
    if (l->gate) route(p, l, &in, (int)layer, &r);
    if (l->mlp.gate.data) mk_feed_forward(wk, &in, &l->mlp.gate, &l->mlp.up, &l->mlp.down, h);
    look_ahead(p, layer + 1, h);
    b->is_done = !l->gate || routed(p, l, &in, &r, h);
    mk_scratch_end(wk, mark);
}

static bool block(const struct pass *p, size_t layer, size_t cache_layer, float *h)
{
    struct block *b = mk_arena_take(&p->wk->arena, sizeof *b);
    *b = (struct block){*p, layer, cache_layer, h, true};
    mk_tape_block(p->wk, h, p->s->n_tok * p->m->d_model, run_block, b);
    return b->is_done;
}

static bool embed(const struct pass *p, float *h, const struct mk_weight *w)
{
    if (p->m->stream) return mk_stream_embed(p->m, p->wk, h, w, p->s);
    mk_embed(p->wk, h, w, p->s->tok, p->s->n_tok);
    return true;
}

bool mk_deepseek_forward(const struct mk_model *m, struct mk_work *wk, const struct mk_step *s)
{
    const struct mk_deepseek *n = m->net;
    const struct pass p = {m, n, wk, s, mk_step_rope(wk, &n->rope, s)};
    float *h = mk_floats(wk, s->n_tok * m->d_model);
    if (!embed(&p, h, &n->embed)) return false;
    mk_probe(wk, "hidden", 0, h, s->n_tok, m->d_model);
    for (size_t i = 0; i < m->n_layer; i++) {
        if (mk_step_is_stopped(s) || !block(&p, i, i, h)) return false;
        mk_probe(wk, "hidden", (int)i + 1, h, s->n_tok, m->d_model);
    }
    mk_step_logits(wk, s, h, m->d_model, n->norm, (float)n->eps, &n->head);
    return true;
}

/* u = Weh [rmsnorm(embed(next token)); rmsnorm(hidden)], one block, logits by the shared
 * head (V3, section 2.2; the embedding half comes first in the published weights). */
bool mk_deepseek_mtp(const struct mk_model *m, struct mk_work *wk, const struct mk_step *s,
                     const float *hidden, bool is_normed)
{
    const struct mk_deepseek *n = m->net;
    const struct mk_ds_mtp *t = &n->mtp;
    const struct pass p = {m, n, wk, s, mk_step_rope(wk, &n->rope, s)};
    const size_t d = m->d_model, n_tok = s->n_tok;
    const float eps = (float)n->eps;
    float *u = mk_floats(wk, n_tok * d), *both = mk_floats(wk, n_tok * 2 * d);
    if (!embed(&p, u, &t->embed)) return false;
    mk_rmsnorm(wk, both, 2 * d, u, d, n_tok, d, t->enorm, eps);
    if (is_normed)
        mk_rmsnorm(wk, u, d, hidden, d, n_tok, d, n->norm, eps);
    else
        mk_gather_rows(wk, u, hidden, NULL, n_tok, d);
    mk_rmsnorm(wk, both + d, 2 * d, u, d, n_tok, d, t->hnorm, eps);
    struct mk_input in = mk_input(both, n_tok, 2 * d, 2 * d);
    mk_matmul(wk, &in, &(struct mk_product){&t->eh, u, d, NULL, false}, 1);
    if (!block(&p, m->n_layer, 0, u)) return false;
    mk_step_logits(wk, s, u, d, t->norm, eps, &t->head);
    return true;
}
