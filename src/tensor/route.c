/* Routing, and its gradient with the choice of experts held constant.  Scores are kept for
 * backward; what is added to them only to choose (bias, groups) has no gradient. */
#include "tensor/experts.h"
#include "tensor/tape.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

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

static void choose(const struct mk_router *r, const float *p, int32_t *id)
{
    float choice[MK_MAX_EXPERTS], worth[MK_MAX_EXPERTS];
    bool picked[MK_MAX_EXPERTS], is_out[MK_MAX_EXPERTS];
    for (size_t e = 0; e < r->n_expert; e++)
        choice[e] = rankable(p[e] + (r->bias ? r->bias[e] : 0.0f));
    if (r->n_group > 1) {
        for (size_t g = 0; g < r->n_group; g++) worth[g] = group_worth(r, choice, g);
        pick(worth, NULL, r->n_group, r->n_group_active, picked);
        for (size_t e = 0; e < r->n_expert; e++)
            is_out[e] = !picked[e / (r->n_expert / r->n_group)];
    }
    pick(choice, r->n_group > 1 ? is_out : NULL, r->n_expert, r->n_active, picked);
    for (size_t e = 0, n = 0; e < r->n_expert; e++)
        if (picked[e]) id[n++] = (int32_t)e;
}

/* What the scores of the chosen are divided by. */
static float norm_of(const struct mk_router *r, const float *p, const int32_t *id)
{
    if (!r->is_normed) return 1.0f;
    float sum = 0.0f;
    for (size_t i = 0; i < r->n_active; i++) sum += p[id[i]];
    return sum + 1e-20f;
}

struct route_job {
    const struct mk_router *r;
    const float *logits;
    float *p; /* [n][n_expert], or NULL when nobody needs the scores later */
    int32_t *id;
    float *weight;
    bool is_fixed; /* id is given */
};

static void route_rows(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    const struct route_job *j = arg;
    const struct mk_router *r = j->r;
    float scores[MK_MAX_EXPERTS];
    for (size_t t = first; t < last; t++) {
        float *p = j->p ? j->p + t * r->n_expert : scores, *weight = j->weight + t * r->n_active;
        int32_t *id = j->id + t * r->n_active;
        score(r, j->logits + t * r->n_expert, p);
        if (!j->is_fixed) choose(r, p, id);
        const float norm = norm_of(r, p, id);
        for (size_t i = 0; i < r->n_active; i++) weight[i] = p[id[i]] / norm * r->scale;
    }
}

/* ---- fixed routes ------------------------------------------------------------------ */

static void take_routes(struct mk_routes *from, int32_t *id, size_t n)
{
    assert(from->n - from->next >= n);
    memcpy(id, from->id + from->next, n * sizeof *id);
    from->next += n;
}

static void append_routes(struct mk_routes *to, const int32_t *id, size_t n)
{
    if (to->cap - to->n < n) {
        to->cap = 2 * (to->n + n);
        to->id = mk_realloc(to->id, to->cap * sizeof *id);
    }
    memcpy(to->id + to->n, id, n * sizeof *id);
    to->n += n;
}

/* ---- backward ---------------------------------------------------------------------- */

struct route_back {
    struct mk_router r;
    size_t n;
    const float *logits, *weight; /* where their gradients are found */
    const float *p;
    const int32_t *id;
    const float **load; /* [n] of the token's sequence: f[e] / T; NULL: no balance loss */
    float *dlogits, *dweight;
    float balance;
};

/* L = sum_e f_e P_e for each sequence of T tokens (V3, equations 17-20), where
 *   f_e = n_expert / (n_active T) * (tokens of the sequence routed to e)
 *   P_e = 1/T sum_t p_te / sum_j p_tj
 * Kept as f / T: then L = sum_t sum_e load_e p_te / sum_j p_tj. */
static void balance_sequence(struct mk_tape *tape, const struct route_back *b,
                             const struct mk_span *s, float *load)
{
    const size_t n_expert = b->r.n_expert, n_active = b->r.n_active;
    const double n_tok = (double)s->n;
    const float unit = (float)((double)n_expert / ((double)n_active * n_tok * n_tok));
    for (size_t i = s->first * n_active; i < (s->first + s->n) * n_active; i++)
        load[b->id[i]] += unit;
    for (size_t t = s->first; t < s->first + s->n; t++) {
        double sum = 0.0, loss = 0.0;
        for (size_t e = 0; e < n_expert; e++) {
            const double p = (double)b->p[t * n_expert + e];
            sum += p;
            loss += (double)load[e] * p;
        }
        tape->balance_loss += loss / sum;
        b->load[t] = load;
    }
    tape->n_balance++;
}

/* dL/dp_e = (load_e - sum_j load_j p_j / S) / S with S = sum_j p_j. */
static void balance_back(const struct mk_router *r, const float *p, const float *load, float factor,
                         float *dp)
{
    double sum = 0.0, mean = 0.0;
    for (size_t e = 0; e < r->n_expert; e++) {
        sum += (double)p[e];
        mean += (double)load[e] * (double)p[e];
    }
    const float inv = (float)(1.0 / sum), m = (float)(mean / sum);
    for (size_t e = 0; e < r->n_expert; e++) dp[e] += factor * (load[e] - m) * inv;
}

/* With w_k = scale p_k / S, S the sum of the chosen p or 1 when not normed:
 *   dp_k = scale / S (dw_k - [normed] sum_j dw_j p_j / S)
 * then through the score:
 *   sigmoid  dlogit_e = dp_e p_e (1 - p_e)      softmax  dlogit_e = p_e (dp_e - sum_j dp_j p_j) */
static void route_back_rows(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    const struct route_back *b = arg;
    const struct mk_router *r = &b->r;
    float dp[MK_MAX_EXPERTS];
    for (size_t t = first; t < last; t++) {
        const float *p = b->p + t * r->n_expert;
        const int32_t *id = b->id + t * r->n_active;
        float *dw = b->dweight + t * r->n_active, *dlogits = b->dlogits + t * r->n_expert;
        const float norm = norm_of(r, p, id);
        float mean = 0.0f, dot = 0.0f;
        for (size_t i = 0; r->is_normed && i < r->n_active; i++) mean += dw[i] * (p[id[i]] / norm);
        memset(dp, 0, r->n_expert * sizeof *dp);
        for (size_t i = 0; i < r->n_active; i++) dp[id[i]] = r->scale / norm * (dw[i] - mean);
        if (b->load && b->load[t]) balance_back(r, p, b->load[t], b->balance, dp);
        const bool is_softmax = r->score == MK_SCORE_SOFTMAX;
        for (size_t e = 0; is_softmax && e < r->n_expert; e++) dot += dp[e] * p[e];
        for (size_t e = 0; e < r->n_expert; e++)
            dlogits[e] += is_softmax ? p[e] * (dp[e] - dot) : dp[e] * p[e] * (1.0f - p[e]);
        memset(dw, 0, r->n_active * sizeof *dw);
    }
}

static void back(struct mk_work *wk, void *saved)
{
    struct route_back *b = saved;
    b->dlogits = mk_grad(wk, b->logits);
    b->dweight = mk_grad(wk, b->weight);
    b->balance = (float)(wk->tape->balance * wk->tape->balance_scale);
    assert(b->dlogits && b->dweight);
    mk_pool_run(wk->pool, b->n, mk_grain(wk, 16 * b->r.n_expert), route_back_rows, b);
    float *count = mk_grad(wk, b->r.bias);
    for (size_t i = 0; count && i < b->n * b->r.n_active; i++) count[b->id[i]] += 1.0f;
}

static void record(struct mk_work *wk, const struct route_job *j, size_t n)
{
    const size_t n_expert = j->r->n_expert, n_id = n * j->r->n_active;
    struct mk_tape *tape = wk->tape;
    int32_t *id = mk_arena_take(&wk->arena, n_id * sizeof *id);
    memcpy(id, j->id, n_id * sizeof *id);
    struct route_back *b = mk_tape_push(wk, back, sizeof *b);
    *b = (struct route_back){
        .r = *j->r, .n = n, .logits = j->logits, .weight = j->weight, .p = j->p, .id = id};
    if (tape->balance <= 0.0) return;
    b->load = mk_arena_zero(&wk->arena, n * sizeof *b->load);
    float *load = mk_arena_zero(&wk->arena, tape->n_spans * n_expert * sizeof *load);
    for (size_t i = 0; i < tape->n_spans; i++) {
        assert(tape->spans[i].first + tape->spans[i].n <= n);
        if (tape->spans[i].n) balance_sequence(tape, b, &tape->spans[i], load + i * n_expert);
    }
}

void mk_route(struct mk_work *wk, const struct mk_router *r, const float *logits, size_t n,
              int32_t *id, float *weight)
{
    assert(r->n_expert > 0 && r->n_expert <= MK_MAX_EXPERTS);
    struct mk_routes *routes = wk->tape ? wk->tape->routes : NULL;
    struct route_job j = {.r = r, .logits = logits, .id = id, .weight = weight};
    j.is_fixed = routes && wk->tape->is_replaying;
    if (mk_is_recording(wk)) j.p = mk_floats(wk, n * r->n_expert);
    if (j.is_fixed) take_routes(routes, id, n * r->n_active);
    mk_pool_run(wk->pool, n, mk_grain(wk, 32 * r->n_expert), route_rows, &j);
    if (routes && !j.is_fixed) append_routes(routes, id, n * r->n_active);
    if (mk_is_recording(wk)) record(wk, &j, n);
}
