/* Latent attention for few tokens: see attention.h.  All heads of a token read the same latents, so
 * a tile of them serves a group of heads, and several tokens where heads are few. */
#include "tensor/int_mla.h"
#include "tensor/int_units.h"

#include <string.h>

enum { GROUP = 64 /* heads, or tokens times heads */ };

struct absorbed {
    struct mk_work *wk;
    const struct mk_mla *a;
    const struct mk_mla_call *call;
    size_t n_tok;
    size_t *row_of;             /* [n_tok] */
    float *q;                   /* [n_tok][n_head][d_nope + d_rope], gathered */
    float *qa;                  /* [n_tok][n_head][d_latent] */
    float *z;                   /* [n_tok][n_head][d_latent]: sums of latents */
    float *o;                   /* [n_tok][n_head][d_v] */
    struct mk_input q_in, z_in; /* rows of a head n_head apart */
    float *scratch;             /* per thread */
    size_t n_scratch;
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

static void load_absorbed(const void *arg, const struct mk_unit *u, struct mk_cols *c)
{
    const struct absorbed *j = arg;
    const struct mk_mla *a = j->a;
    const size_t d_q = a->d_nope + a->d_rope;
    for (size_t i = 0; i < c->n; i++) {
        const size_t at = (u->row + i / u->n_head) * a->n_head + u->head + i % u->n_head;
        memcpy(c->q + i * c->d_k, j->qa + at * a->d_latent, a->d_latent * sizeof *c->q);
        memcpy(c->q + i * c->d_k + a->d_latent, j->q + at * d_q + a->d_nope,
               a->d_rope * sizeof *c->q);
    }
    j->wk->k.scale(c->q, a->scale, c->n * c->d_k);
}

static void store_latents(const void *arg, const struct mk_unit *u, const struct mk_cols *c)
{
    const struct absorbed *j = arg;
    const size_t d = j->a->d_latent, n = u->n_head * d;
    for (size_t i = 0; i < u->n_tok; i++)
        memcpy(j->z + ((u->row + i) * j->a->n_head + u->head) * d, c->o + i * n, n * sizeof *c->o);
}

/* Tokens and heads of GROUP columns at most.  Units count rows among the gathered ones. */
static size_t list_units(const struct absorbed *j, struct mk_unit *out)
{
    const size_t n_head = j->a->n_head < GROUP ? j->a->n_head : GROUP, n_tok = GROUP / n_head;
    size_t n = 0, row = 0;
    for (size_t i = 0; i < j->call->n_spans; i++) {
        const struct mk_span *s = &j->call->spans[i];
        if (mk_mla_is_expanded(j->a, s)) continue;
        for (size_t t = 0; t < s->n; t += n_tok)
            for (size_t h = 0; h < j->a->n_head; h += n_head)
                out[n++] = (struct mk_unit){.kv = s->kv,
                                            .row = row + t,
                                            .n_tok = s->n - t < n_tok ? s->n - t : n_tok,
                                            .pos = s->pos + t,
                                            .head = h,
                                            .n_head = j->a->n_head - h < n_head ? j->a->n_head - h
                                                                                : n_head};
        row += s->n;
    }
    return n;
}

static void attend_latents(struct absorbed *j)
{
    const struct mk_mla *a = j->a;
    struct mk_unit *units =
        mk_arena_take(&j->wk->arena, j->n_tok * ((a->n_head + GROUP - 1) / GROUP) * sizeof *units);
    const struct mk_units u = {.wk = j->wk,
                               .layer = j->call->layer,
                               .d_k = a->d_latent + a->d_rope,
                               .d_v = a->d_latent,
                               .is_latent = true,
                               .list = units,
                               .n = list_units(j, units),
                               .arg = j,
                               .load = load_absorbed,
                               .store = store_latents};
    mk_attend_units(&u);
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
    j->q = mk_floats(wk, n * (a->d_nope + a->d_rope));
    j->qa = mk_floats(wk, n * a->d_latent);
    j->z = mk_floats(wk, n * a->d_latent);
    j->o = mk_floats(wk, n * a->d_v);
    j->n_scratch = mk_max2(MK_MLA_PIECE * mk_max2(a->d_latent, a->d_nope),
                           MK_STRIPS * j->n_tok * MK_PANEL_ROWS);
    j->scratch = mk_floats(wk, n_threads * j->n_scratch);
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
            j->row_of[i] = spans[s].first + t;
            memcpy(j->q + i * d, q + j->row_of[i] * d, d * sizeof *q);
        }
}

void mk_mla_absorbed(const struct mk_mla_call *c, size_t n_tok)
{
    struct mk_work *wk = c->wk;
    const struct mk_mla *a = c->a;
    struct absorbed job = {.wk = wk, .a = a, .call = c, .n_tok = n_tok}, *j = &job;
    const size_t n = n_tok * a->n_head;
    j->row_of = mk_arena_take(&wk->arena, n_tok * sizeof *j->row_of);
    absorbed_memory(j);
    gather_absorbed(j);
    j->q_in = mk_input(j->q, n, a->d_nope, a->d_nope + a->d_rope);
    if (!a->kv_b) mk_input_prepare(wk, &j->q_in, a->k_b->type);
    const size_t mac = n_tok * a->d_latent; /* of a head, for each value of it */
    mk_pool_run(wk->pool, a->n_head, mk_grain(wk, mac * a->d_nope), absorb_queries, j);
    attend_latents(j);
    j->z_in = mk_input(j->z, n, a->d_latent, a->d_latent);
    mk_input_prepare(wk, &j->z_in, a->kv_b ? a->kv_b->type : a->v_b->type);
    mk_pool_run(wk->pool, a->n_head, mk_grain(wk, mac * a->d_v), values_of_latents, j);
    const size_t d = a->n_head * a->d_v;
    for (size_t i = 0; i < n_tok; i++)
        memcpy(c->out + j->row_of[i] * d, j->o + i * d, d * sizeof *c->out);
}
