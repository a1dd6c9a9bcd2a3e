/* Mixture of experts: slots, the products with panels, and the weighted sum. */
#include "tensor/experts.h"

#include "tensor/int_experts.h"
#include "tensor/int_matmul.h"
#include "tensor/tape.h"

#include <assert.h>
#include <string.h>

/* ---- slots ---------------------------------------------------------------------- */

static void cut_blocks(struct mk_slots *s, struct mk_arena *a, size_t n_choice)
{
    s->block = mk_arena_take(a, (s->n_busy + n_choice / MK_SLOT_BLOCK) * sizeof *s->block);
    for (size_t i = 0; i < s->n_busy; i++) {
        const size_t e = s->busy[i];
        for (size_t at = 0; at < s->count[e]; at += MK_SLOT_BLOCK) {
            const size_t left = s->count[e] - at;
            s->block[s->n_block++] = (struct mk_slot_block){
                e, s->first[e] + at, left < MK_SLOT_BLOCK ? left : MK_SLOT_BLOCK};
        }
    }
}

/* In bf16 the distance to the next expert is also that of rows in matrices turned to have
 * slots as columns. */
static size_t room(bool is_bf16, size_t count)
{
    return is_bf16 && count ? mk_bf16_ld(count) : count;
}

static void sort_slots(struct mk_experts_job *j, const int32_t *id)
{
    struct mk_slots *s = &j->s;
    struct mk_arena *a = &j->wk->arena;
    const size_t n_expert = j->e.n_expert, n_choice = j->n_tok * j->n_active;
    s->first = mk_arena_take(a, (n_expert + 1) * sizeof *s->first);
    s->count = mk_arena_zero(a, n_expert * sizeof *s->count);
    s->busy = mk_arena_take(a, n_expert * sizeof *s->busy);
    s->slot = mk_arena_take(a, n_choice * sizeof *s->slot);
    for (size_t i = 0; i < n_choice; i++)
        if (id[i] >= 0) s->count[id[i]]++;
    s->first[0] = 0;
    for (size_t e = 0; e < n_expert; e++) {
        const size_t n = s->count[e];
        s->first[e + 1] = s->first[e] + room(j->is_bf16, n);
        if (n) s->busy[s->n_busy++] = e;
        if (n > s->n_most) s->n_most = n;
    }
    s->n = s->first[n_expert];
    s->choice = mk_arena_take(a, s->n * sizeof *s->choice);
    memset(s->count, 0, n_expert * sizeof *s->count);
    for (size_t i = 0; i < n_choice; i++) {
        s->slot[i] = MK_NO_SLOT;
        if (id[i] < 0) continue;
        s->slot[i] = s->first[id[i]] + s->count[id[i]]++;
        s->choice[s->slot[i]] = i;
    }
    cut_blocks(s, a, n_choice);
}

/* ---- panels ------------------------------------------------------------------------ */

struct panel_job {
    const struct mk_experts_job *j;
    struct mk_input x, h; /* by slot */
    float *acc;           /* per thread [MK_STRIPS][most slots of an expert][16] */
};

static float *gather_floats(const struct mk_experts_job *j)
{
    float *v = mk_floats(j->wk, j->s.n * j->d);
    for (size_t s = 0; s < j->s.n; s++)
        memcpy(v + s * j->d, j->x + j->s.choice[s] / j->n_active * j->ldx, j->d * sizeof *v);
    return v;
}

static const uint16_t *gather_bf16(const struct mk_experts_job *j, const struct mk_input *x)
{
    uint16_t *v = mk_arena_take(&j->wk->arena, j->s.n * x->ld16 * sizeof *v);
    for (size_t i = 0; i < j->s.n; i++)
        memcpy(v + i * x->ld16, x->b16 + j->s.choice[i] / j->n_active * x->ld16,
               x->ld16 * sizeof *v);
    return v;
}

static struct mk_x8 gather_x8(const struct mk_experts_job *j, const struct mk_x8 *f)
{
    struct mk_arena *a = &j->wk->arena;
    const size_t n = j->s.n;
    int8_t *q = mk_arena_take(a, n * f->ldq);
    float *s = mk_arena_take(a, n * f->lds * sizeof *s);
    int16_t *sum = mk_arena_take(a, n * f->ldsum * sizeof *sum);
    for (size_t i = 0; i < n; i++) {
        const size_t t = j->s.choice[i] / j->n_active;
        memcpy(q + i * f->ldq, f->q + t * f->ldq, f->ldq);
        memcpy(s + i * f->lds, f->s + t * f->lds, f->lds * sizeof *s);
        memcpy(sum + i * f->ldsum, f->sum + t * f->ldsum, f->ldsum * sizeof *sum);
    }
    return (struct mk_x8){q, s, sum, f->ldq, f->lds, f->ldsum};
}

/* Strips [first, last) of one expert: gate, then up, then what becomes of the two, so that each
 * thread reads long runs of memory. */
static void gate_up_run(const struct panel_job *p, size_t e, size_t first, size_t last,
                        unsigned thread)
{
    const struct mk_experts_job *j = p->j;
    const struct mk_kernels *k = &j->wk->k;
    struct mk_panel *panel = j->wk->panels[thread];
    const size_t d_ff = j->e.d_ff, slot0 = j->s.first[e];
    float *acc = p->acc + thread * MK_STRIPS * j->s.n_most * MK_PANEL_ROWS;
    const struct mk_input x = mk_input_slice(&p->x, slot0, 1, j->s.count[e]);
    float *mid = j->mid + slot0 * d_ff;
    if (!j->up) {
        const struct mk_product gated = {&j->e.up[e], mid, d_ff, NULL, false};
        mk_gated_strips(k, panel, acc, &j->e.gate[e], &gated, &x, first, last);
        return;
    }
    float *gate = j->gate + slot0 * d_ff, *up = j->up + slot0 * d_ff;
    const struct mk_product p_gate = {&j->e.gate[e], gate, d_ff, NULL, false};
    const struct mk_product p_up = {&j->e.up[e], up, d_ff, NULL, false};
    mk_matmul_strips(k, panel, acc, &p_gate, &x, first, last);
    mk_matmul_strips(k, panel, acc, &p_up, &x, first, last);
    const size_t row = first * MK_PANEL_ROWS, end = last * MK_PANEL_ROWS;
    const size_t n = (end < d_ff ? end : d_ff) - row;
    for (size_t at = row; at < x.n * d_ff; at += d_ff) k->silu_mul(mid + at, gate + at, up + at, n);
}

static void down_run(const struct panel_job *p, size_t e, size_t first, size_t last,
                     unsigned thread)
{
    const struct mk_experts_job *j = p->j;
    const size_t slot0 = j->s.first[e];
    float *acc = p->acc + thread * MK_STRIPS * j->s.n_most * MK_PANEL_ROWS;
    const struct mk_input x = mk_input_slice(&p->h, slot0, 1, j->s.count[e]);
    const struct mk_product down = {&j->e.down[e], j->out + slot0 * j->d, j->d, NULL, false};
    mk_matmul_strips(&j->wk->k, j->wk->panels[thread], acc, &down, &x, first, last);
}

typedef void run_fn(const struct panel_job *p, size_t e, size_t first, size_t last,
                    unsigned thread);

/* Units are strips, `per` of each busy expert in turn. */
static void runs(const struct panel_job *p, size_t per, size_t first, size_t last, run_fn *fn,
                 unsigned thread)
{
    while (first < last) {
        const size_t i = first % per, left = last - first, n = per - i < left ? per - i : left;
        fn(p, p->j->s.busy[first / per], i, i + n, thread);
        first += n;
    }
}

static void gate_up_units(void *arg, size_t first, size_t last, unsigned thread)
{
    const struct panel_job *p = arg;
    runs(p, mk_n_strips(&p->j->e.gate[0]), first, last, gate_up_run, thread);
}

static void down_units(void *arg, size_t first, size_t last, unsigned thread)
{
    const struct panel_job *p = arg;
    runs(p, mk_n_strips(&p->j->e.down[0]), first, last, down_run, thread);
}

/* Strips that a thread takes at a time: long runs, but enough that all threads end together. */
static size_t run_length(const struct mk_work *wk, size_t n, size_t n_mac)
{
    enum { EACH = 8 }; /* for each thread */
    const size_t least = mk_grain(wk, n_mac), even = n / (EACH * mk_pool_size(wk->pool));
    return least > even ? least : even;
}

static void forward_panels(struct mk_experts_job *j, struct mk_input *x)
{
    struct mk_work *wk = j->wk;
    const size_t d_ff = j->e.d_ff;
    struct panel_job p = {.j = j, .x = {.v = j->x_rows, .n = j->s.n, .d = j->d, .ld = j->d}};
    if (x->x8.q) p.x.x8 = gather_x8(j, &x->x8);
    if (x->is_rounded) p.x.is_rounded = true, p.x.b16 = gather_bf16(j, x), p.x.ld16 = x->ld16;
    p.acc = mk_floats(wk, mk_pool_size(wk->pool) * MK_STRIPS * j->s.n_most * MK_PANEL_ROWS);
    /* multiply-adds for each input value */
    const size_t unit = j->s.n / j->s.n_busy * MK_PANEL_ROWS;
    const size_t n_up = j->s.n_busy * mk_n_strips(&j->e.gate[0]);
    mk_pool_run(wk->pool, n_up, run_length(wk, n_up, 2 * unit * j->d), gate_up_units, &p);
    p.h = mk_input(j->mid, j->s.n, d_ff, d_ff);
    mk_input_prepare(wk, &p.h, j->e.down[0].type);
    const size_t n_down = j->s.n_busy * mk_n_strips(&j->e.down[0]);
    mk_pool_run(wk->pool, n_down, run_length(wk, n_down, unit * d_ff), down_units, &p);
    for (size_t s = 0; j->is_trained && s < j->s.n; s++)
        wk->k.scale(j->mid + s * d_ff, j->weight[j->s.choice[s]], d_ff);
}

static bool takes_floats(const struct mk_experts_job *j, enum mk_type type)
{
    return mk_quants[type].kind == MK_FLOAT && !mk_rounds(j->wk, type, j->d);
}

/* What lives as long as the record. */
static void take_panels(struct mk_experts_job *j)
{
    const size_t n_ff = j->s.n * j->e.d_ff;
    if (takes_floats(j, j->e.gate[0].type) || takes_floats(j, j->e.up[0].type))
        j->x_rows = gather_floats(j);
    j->mid = mk_floats(j->wk, n_ff);
    if (mk_can_gate(j->wk, &j->e.gate[0], &j->e.up[0])) return;
    j->gate = mk_floats(j->wk, n_ff);
    j->up = mk_floats(j->wk, n_ff);
}

/* ---- together ------------------------------------------------------------------------ */

static bool all_have_pairs(const struct mk_experts *e)
{
    for (size_t i = 0; i < e->n_expert; i++)
        if (!mk_has_pairs(&e->gate[i]) || !mk_has_pairs(&e->up[i]) || !mk_has_pairs(&e->down[i]))
            return false;
    return true;
}

static bool has_grad(const struct mk_work *wk, const struct mk_weight *w)
{
    return mk_grad(wk, (const float *)(const void *)w->data);
}

static bool is_trained(const struct mk_work *wk, const struct mk_experts *e)
{
    for (size_t i = 0; i < e->n_expert; i++)
        if (has_grad(wk, &e->gate[i]) || has_grad(wk, &e->up[i]) || has_grad(wk, &e->down[i]))
            return true;
    return false;
}

/* Sums a token's experts in ascending order of their numbers. */
static void combine_rows(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    const struct mk_experts_job *j = arg;
    for (size_t t = first; t < last; t++)
        for (size_t i = t * j->n_active; i < (t + 1) * j->n_active; i++)
            if (j->s.slot[i] != MK_NO_SLOT)
                j->wk->k.axpy(j->y + t * j->d, j->weight[i], j->out + j->s.slot[i] * j->d, j->d);
}

void mk_experts_add(struct mk_work *wk, const struct mk_experts *e, struct mk_input *x,
                    const int32_t *id, const float *weight, size_t n_active, float *y)
{
    assert(!e->gate[0].lora && !e->up[0].lora && !e->down[0].lora);
    if (!x->n) return;
    struct mk_experts_job job = {.wk = wk, .e = *e, .x = x->v, .weight = weight, .y = y};
    job.n_tok = x->n, job.n_active = n_active, job.d = x->d, job.ldx = x->ld;
    job.is_bf16 = all_have_pairs(e);
    job.is_recorded = mk_is_recording(wk);
    job.is_trained = job.is_recorded && is_trained(wk, e);
    if (job.is_bf16) {
        mk_input_bf16(wk, x);
    } else {
        mk_input_prepare(wk, x, e->gate[0].type);
        mk_input_prepare(wk, x, e->up[0].type);
    }
    struct mk_arena_mark mark = mk_arena_mark(&wk->arena);
    struct mk_experts_job *j =
        job.is_recorded ? mk_tape_push(wk, mk_experts_back, sizeof job) : &job;
    *j = job;
    sort_slots(j, id);
    (j->is_bf16 ? mk_experts_take_bf16 : take_panels)(j);
    if (j->is_recorded) mark = mk_arena_mark(&wk->arena);
    j->out = mk_floats(wk, j->s.n * j->d);
    (j->is_bf16 ? mk_experts_forward_bf16 : forward_panels)(j, x);
    mk_pool_run(wk->pool, x->n, mk_grain(wk, n_active * j->d), combine_rows, j);
    mk_arena_reset(&wk->arena, mark);
}
