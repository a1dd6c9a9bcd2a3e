#include "tensor/experts.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* ---- routing ------------------------------------------------------------------ */

static void score(const struct mk_router *r, const float *logits, float *p)
{
    double sum = 0.0;
    float max = -INFINITY;
    for (size_t e = 0; e < r->n_expert; e++) max = logits[e] > max ? logits[e] : max;
    for (size_t e = 0; e < r->n_expert; e++)
        if (r->score == MK_SCORE_SIGMOID)
            p[e] = 1.0f / (1.0f + expf(-logits[e]));
        else
            sum += (double)(p[e] = expf(logits[e] - max));
    for (size_t e = 0; r->score == MK_SCORE_SOFTMAX && e < r->n_expert; e++)
        p[e] = (float)((double)p[e] / sum);
}

/* A NaN anywhere ranks below everything, so that a choice always exists. */
static float rankable(float v) { return v == v ? v : -INFINITY; }

static float group_worth(const struct mk_router *r, const float *choice, size_t g)
{
    const size_t n = r->n_expert / r->n_group;
    float best = -INFINITY, second = -INFINITY;
    for (size_t e = g * n; e < (g + 1) * n; e++) {
        const float v = choice[e];
        if (v > best)
            second = best, best = v;
        else if (v > second)
            second = v;
    }
    return r->group_rank == MK_GROUP_MAX || n == 1 ? best : best + second;
}

/* Marks the n_pick largest of v[0..n) that are not excluded; ties go to the lower index. */
static void pick(const float *v, const bool *excluded, size_t n, size_t n_pick, bool *picked)
{
    memset(picked, 0, n * sizeof *picked);
    for (size_t i = 0; i < n_pick; i++) {
        size_t best = n;
        for (size_t e = 0; e < n; e++)
            if (!picked[e] && !(excluded && excluded[e]) && (best == n || v[e] > v[best])) best = e;
        if (best < n) picked[best] = true;
    }
}

static void route_one(const struct mk_router *r, const float *logits, int32_t *id, float *weight)
{
    float p[MK_MAX_EXPERTS], choice[MK_MAX_EXPERTS], worth[MK_MAX_EXPERTS];
    bool picked[MK_MAX_EXPERTS], is_out[MK_MAX_EXPERTS] = {false};
    assert(r->n_expert > 0 && r->n_expert <= MK_MAX_EXPERTS);
    score(r, logits, p);
    for (size_t e = 0; e < r->n_expert; e++)
        choice[e] = rankable(p[e] + (r->bias ? r->bias[e] : 0.0f));
    if (r->n_group > 1) {
        for (size_t g = 0; g < r->n_group; g++) worth[g] = group_worth(r, choice, g);
        pick(worth, NULL, r->n_group, r->n_group_active, picked);
        for (size_t e = 0; e < r->n_expert; e++)
            is_out[e] = !picked[e / (r->n_expert / r->n_group)];
    }
    pick(choice, is_out, r->n_expert, r->n_active, picked);
    size_t n = 0;
    float sum = 0.0f;
    for (size_t e = 0; e < r->n_expert; e++)
        if (picked[e]) id[n] = (int32_t)e, weight[n] = p[e], sum += p[e], n++;
    for (size_t i = 0; i < n; i++)
        weight[i] = (r->is_normed ? weight[i] / (sum + 1e-20f) : weight[i]) * r->scale;
}

void mk_route(const struct mk_router *r, const float *logits, size_t n, int32_t *id, float *weight)
{
    for (size_t i = 0; i < n; i++)
        route_one(r, logits + i * r->n_expert, id + i * r->n_active, weight + i * r->n_active);
}

/* ---- the experts ---------------------------------------------------------------- */

/* A slot is one (token, expert) pair.  Slots are sorted by expert, tokens in order within
 * each, so that an expert's weights are read once for all its tokens. */
struct experts_job {
    struct mk_work *wk;
    const struct mk_experts *e;
    size_t n_slot, n_busy, d;
    size_t *busy;  /* [n_busy] experts that have slots */
    size_t *first; /* [n_expert + 1] first slot of each expert */
    size_t *token; /* [n_slot] */
    size_t *slot;  /* [n_tok * n_active] slot of each choice */
    const float *weight;
    size_t n_active;
    struct mk_input x, h; /* by slot */
    float *gate, *up, *out;
    float *acc; /* per thread [most slots of an expert][16] */
    size_t n_acc;
    float *y;
};

static void sort_slots(struct experts_job *j, const int32_t *id, size_t n_choice)
{
    struct mk_arena *a = &j->wk->arena;
    const size_t n_expert = j->e->n_expert;
    j->first = mk_arena_zero(a, (n_expert + 2) * sizeof *j->first);
    j->busy = mk_arena_take(a, n_expert * sizeof *j->busy);
    j->token = mk_arena_take(a, n_choice * sizeof *j->token);
    j->slot = mk_arena_take(a, n_choice * sizeof *j->slot);
    size_t *next = j->first + 1; /* after counting and summing: where the next slot goes */
    for (size_t i = 0; i < n_choice; i++) next[id[i] + 1]++;
    for (size_t e = 0; e < n_expert; e++) next[e + 1] += next[e];
    for (size_t i = 0; i < n_choice; i++) {
        j->slot[i] = next[id[i]]++;
        j->token[j->slot[i]] = i / j->n_active;
    }
    for (size_t e = 0; e < n_expert; e++) {
        const size_t n = j->first[e + 1] - j->first[e];
        if (n) j->busy[j->n_busy++] = e;
        if (n > j->n_acc) j->n_acc = n;
    }
}

/* The inputs of the slots, in whichever forms the weights want. */
static struct mk_input gather(struct experts_job *j, const struct mk_input *x)
{
    struct mk_arena *a = &j->wk->arena;
    struct mk_input g = {.n = j->n_slot, .d = x->d, .ld = x->d};
    if (mk_quants[j->e->gate[0].type].kind == MK_FLOAT ||
        mk_quants[j->e->up[0].type].kind == MK_FLOAT) {
        float *v = mk_arena_take(a, j->n_slot * x->d * sizeof *v);
        for (size_t s = 0; s < j->n_slot; s++)
            memcpy(v + s * x->d, x->v + j->token[s] * x->ld, x->d * sizeof *v);
        g.v = v;
    }
    for (int i = 0; i < 2; i++) {
        const struct mk_x8 *f = &x->x8[i];
        if (!f->q) continue;
        int8_t *q = mk_arena_take(a, j->n_slot * f->ldq);
        float *s = mk_arena_take(a, j->n_slot * f->lds * sizeof *s);
        int16_t *sum = mk_arena_take(a, j->n_slot * f->ldsum * sizeof *sum);
        for (size_t t = 0; t < j->n_slot; t++) {
            memcpy(q + t * f->ldq, f->q + j->token[t] * f->ldq, f->ldq);
            memcpy(s + t * f->lds, f->s + j->token[t] * f->lds, f->lds * sizeof *s);
            memcpy(sum + t * f->ldsum, f->sum + j->token[t] * f->ldsum, f->ldsum * sizeof *sum);
        }
        g.x8[i] = (struct mk_x8){q, s, sum, f->ldq, f->lds, f->ldsum};
    }
    return g;
}

/* gate = silu(gate) * up for the rows of a strip. */
static void activate(const struct mk_kernels *k, const struct mk_strip *s, float *gate,
                     const float *up)
{
    float g[MK_PANEL_ROWS], u[MK_PANEL_ROWS];
    for (size_t r = 0; r < s->n; r++) {
        g[r] = gate[s->first + r * s->step];
        u[r] = up[s->first + r * s->step];
    }
    k->silu_mul(g, g, u, s->n);
    for (size_t r = 0; r < s->n; r++) gate[s->first + r * s->step] = g[r];
}

static void gate_up_units(void *arg, size_t first, size_t last, unsigned thread)
{
    const struct experts_job *j = arg;
    const struct mk_kernels *k = &j->wk->k;
    const size_t per = mk_n_strips(&j->e->gate[0]), d_ff = j->e->d_ff;
    float *acc = j->acc + thread * j->n_acc * MK_PANEL_ROWS;
    for (size_t u = first; u < last; u++) {
        const size_t e = j->busy[u / per], i = u % per;
        const size_t slot0 = j->first[e], n = j->first[e + 1] - slot0;
        const struct mk_input x = mk_input_slice(&j->x, slot0, 1, n);
        float *g = j->gate + slot0 * d_ff, *up = j->up + slot0 * d_ff;
        mk_matmul_strips(k, &j->wk->panels[thread], acc, &j->e->gate[e], &x, g, d_ff, NULL, i,
                         i + 1);
        mk_matmul_strips(k, &j->wk->panels[thread], acc, &j->e->up[e], &x, up, d_ff, NULL, i,
                         i + 1);
        const struct mk_strip s = mk_strip_at(&j->e->gate[e], n, i);
        for (size_t c = 0; c < n; c++) activate(k, &s, g + c * d_ff, up + c * d_ff);
    }
}

static void down_units(void *arg, size_t first, size_t last, unsigned thread)
{
    const struct experts_job *j = arg;
    const size_t per = mk_n_strips(&j->e->down[0]);
    for (size_t u = first; u < last; u++) {
        const size_t e = j->busy[u / per], slot0 = j->first[e], n = j->first[e + 1] - slot0;
        const struct mk_input x = mk_input_slice(&j->h, slot0, 1, n);
        mk_matmul_strips(&j->wk->k, &j->wk->panels[thread],
                         j->acc + thread * j->n_acc * MK_PANEL_ROWS, &j->e->down[e], &x,
                         j->out + slot0 * j->d, j->d, NULL, u % per, u % per + 1);
    }
}

/* Sums a token's experts in ascending order of their numbers. */
static void combine_rows(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    const struct experts_job *j = arg;
    for (size_t t = first; t < last; t++)
        for (size_t i = t * j->n_active; i < (t + 1) * j->n_active; i++)
            j->wk->k.axpy(j->y + t * j->d, j->weight[i], j->out + j->slot[i] * j->d, j->d);
}

void mk_experts_add(struct mk_work *wk, const struct mk_experts *e, struct mk_input *x,
                    const int32_t *id, const float *weight, size_t n_active, float *y)
{
    mk_input_prepare(wk, x, e->gate[0].type);
    mk_input_prepare(wk, x, e->up[0].type);
    const struct mk_arena_mark mark = mk_arena_mark(&wk->arena);
    struct experts_job j = {.wk = wk, .e = e, .n_slot = x->n * n_active, .d = x->d, .y = y};
    j.weight = weight, j.n_active = n_active;
    sort_slots(&j, id, j.n_slot);
    j.x = gather(&j, x);
    j.gate = mk_floats(wk, j.n_slot * e->d_ff);
    j.up = mk_floats(wk, j.n_slot * e->d_ff);
    j.out = mk_floats(wk, j.n_slot * j.d);
    j.acc = mk_floats(wk, mk_pool_size(wk->pool) * j.n_acc * MK_PANEL_ROWS);
    const size_t unit =
        j.n_slot / j.n_busy * MK_PANEL_ROWS; /* multiply-adds for each input value */
    mk_pool_run(wk->pool, j.n_busy * mk_n_strips(&e->gate[0]), mk_grain(wk, 2 * unit * j.d),
                gate_up_units, &j);
    j.h = mk_input(j.gate, j.n_slot, e->d_ff, e->d_ff);
    mk_input_prepare(wk, &j.h, e->down[0].type);
    mk_pool_run(wk->pool, j.n_busy * mk_n_strips(&e->down[0]), mk_grain(wk, unit * e->d_ff),
                down_units, &j);
    mk_pool_run(wk->pool, x->n, mk_grain(wk, n_active * j.d), combine_rows, &j);
    mk_arena_reset(&wk->arena, mark);
}
