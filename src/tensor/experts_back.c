/* Backward of mixture of experts.  For a slot of token t with weight w in expert e, where
 * mid = silu(gate) * up and y_t += w * Wd mid:
 *
 *   dmid = Wd^T dy                        without w
 *   dgate, dup = silu_mul's backward      without w
 *   dw = <dy, Wd mid> = <dmid, mid> = <dup, up>, since dup = dmid * silu(gate)
 *   dgate *= w, dup *= w;  dx = Wg^T dgate + Wu^T dup
 *   dWg += dgate x^T, dWu += dup x^T, dWd += dy (w mid)^T, each one sum over the expert's slots
 *
 * A few experts at a time, so that all is in the cache: blocks of slots first, which leave dx
 * and dw by slot and the left operands of weight gradients turned, slots in columns; then
 * weight gradients by rows.  At last dx by tokens. */
#include "tensor/int_experts.h"
#include "tensor/int_matmul.h"
#include "tensor/tape.h"

#include <assert.h>
#include <string.h>

enum {
    ROWS = 64,        /* rows of a weight's gradient in a unit */
    PIECE = 16,       /* weight rows decoded at a time */
    WAVE_SLOTS = 512, /* least slots for each thread of experts done together */
    GATE_UP = 0,
    DOWN,
    N_LEFT
};

struct scratch { /* of a thread, [MK_SLOT_BLOCK] rows of d or d_ff */
    float *dy, *dmid, *piece;
    float *dgu; /* of gate, then of up: [2 * d_ff] */
    uint16_t *b16;
};

/* Experts busy[first..first + n) and their slots and blocks. */
struct wave {
    size_t first, n, slot, n_slot, block, n_block;
};

struct back_job {
    struct mk_work *wk;
    struct wave wave;
    const struct mk_experts_job *j;
    float *dx, *dweight;
    const float *dy;
    float *slot_dx, *slot_dw; /* [slots][d], [slots] */
    /* Left operands of the wave: of expert e [rows][first[e + 1] - first[e]], where GATE_UP has
     * gate's d_ff rows before up's. */
    float *left[N_LEFT];
    uint16_t *left16[N_LEFT];
    struct scratch *scratch;
};

struct rows { /* of floats, and in bf16 where that is used */
    const float *x;
    const uint16_t *b16;
    size_t ldx, ld16;
};

static struct rows as_rows(const struct back_job *p, const struct scratch *s, const float *x,
                           size_t n, size_t d)
{
    const struct rows r = {.x = x, .b16 = s->b16, .ldx = d, .ld16 = mk_bf16_ld(d)};
    if (p->j->is_bf16) mk_round_rows(&p->wk->k, s->b16, r.ld16, x, n, d);
    return r;
}

/* y[n][w->cols] = W^T x, or added to y, for columns [at, at + w->rows) of x. */
static void mul_back(const struct back_job *p, const struct scratch *s, float *y,
                     const struct rows *x, size_t at, const struct mk_weight *w, size_t n,
                     bool is_sum)
{
    const struct mk_kernels *k = &p->wk->k;
    if (p->j->is_bf16) {
        k->mul_bf16(y, w->cols, x->b16 + at, x->ld16, w->pairs->back, w->pairs->ld_back, n, w->rows,
                    w->cols, is_sum);
        return;
    }
    if (!is_sum) memset(y, 0, n * w->cols * sizeof *y);
    for (size_t r = 0; r < w->rows; r += PIECE) {
        const size_t n_r = w->rows - r < PIECE ? w->rows - r : PIECE;
        mk_weight_decode(k, w, r, n_r, s->piece);
        k->mul_t(y, w->cols, s->piece, w->cols, n_r, w->cols, x->x + at + r, x->ldx, n);
    }
}

/* Turns x [n][rows], a left operand.  In bf16 there is room for rows up to a multiple of 32,
 * which are zeroed: the empty slots. */
static void turn(const struct back_job *p, int m, const struct mk_slot_block *b, float *x,
                 size_t rows)
{
    const size_t *first = p->j->s.first;
    const size_t slot0 = first[b->expert], ld = first[b->expert + 1] - slot0;
    const size_t at = (slot0 - p->wave.slot) * rows + b->first - slot0;
    if (p->j->is_bf16) {
        const size_t n = mk_pad(b->n, MK_BF16_K);
        memset(x + b->n * rows, 0, (n - b->n) * rows * sizeof *x);
        p->wk->k.trans_bf16(p->left16[m] + at, ld, x, rows, n, rows);
        return;
    }
    float *out = p->left[m] + at;
    for (size_t i = 0; i < b->n; i++)
        for (size_t r = 0; r < rows; r++) out[r * ld + i] = x[i * rows + r];
}

/* From dmid to those of gate and up, and of the slots' weights. */
static void activation_back(const struct back_job *p, const struct scratch *s,
                            const struct mk_slot_block *b)
{
    const struct mk_experts_job *j = p->j;
    const struct mk_kernels *k = &p->wk->k;
    const size_t d_ff = j->e.d_ff;
    memset(s->dgu, 0, b->n * 2 * d_ff * sizeof *s->dgu);
    for (size_t i = 0; i < b->n; i++) {
        const size_t slot = b->first + i;
        float *dgate = s->dgu + i * 2 * d_ff, *dup = dgate + d_ff;
        const float *gate = j->gate + slot * d_ff, *up = j->up + slot * d_ff;
        k->silu_mul_back(dgate, dup, s->dmid + i * d_ff, gate, up, d_ff);
        p->slot_dw[slot] = k->dot(dup, up, d_ff);
        k->scale(dgate, j->weight[j->s.choice[slot]], 2 * d_ff);
    }
}

static void block_units(void *arg, size_t first, size_t last, unsigned thread)
{
    const struct back_job *p = arg;
    const struct mk_experts_job *j = p->j;
    const struct scratch *s = &p->scratch[thread];
    const size_t d = j->d, d_ff = j->e.d_ff;
    for (size_t u = first; u < last; u++) {
        const struct mk_slot_block *b = &j->s.block[p->wave.block + u];
        const size_t *choice = j->s.choice + b->first;
        for (size_t i = 0; i < b->n; i++)
            memcpy(s->dy + i * d, p->dy + choice[i] / j->n_active * d, d * sizeof *s->dy);
        const struct rows dy = as_rows(p, s, s->dy, b->n, d);
        mul_back(p, s, s->dmid, &dy, 0, &j->e.down[b->expert], b->n, false);
        activation_back(p, s, b);
        if (p->dx) {
            const struct rows dgu = as_rows(p, s, s->dgu, b->n, 2 * d_ff);
            float *dx = p->slot_dx + b->first * d;
            mul_back(p, s, dx, &dgu, 0, &j->e.gate[b->expert], b->n, false);
            mul_back(p, s, dx, &dgu, d_ff, &j->e.up[b->expert], b->n, true);
        }
        if (!j->is_trained) continue;
        turn(p, GATE_UP, b, s->dgu, 2 * d_ff);
        turn(p, DOWN, b, s->dy, d);
    }
}

/* Rows [r0, r0 + n) of dW += left * right, where row is r0's among those of left. */
static void weight_grad(const struct back_job *p, int left, size_t row, const struct mk_weight *w,
                        size_t expert, size_t r0, size_t n)
{
    const struct mk_experts_job *j = p->j;
    float *dw = mk_grad(p->wk, (const float *)(const void *)w->data);
    if (!dw) return;
    const size_t slot0 = j->s.first[expert], ld = j->s.first[expert + 1] - slot0;
    const size_t n_slot = j->s.count[expert], n_left = left == DOWN ? j->d : 2 * j->e.d_ff;
    const size_t at = (slot0 - p->wave.slot) * n_left + row * ld;
    dw += r0 * w->cols;
    if (j->is_bf16) {
        const size_t ld_right = left == DOWN ? j->ld_mid : j->ld_x;
        const uint16_t *right = (left == DOWN ? j->mid_pairs : j->x_pairs) + slot0 * ld_right;
        p->wk->k.mul_bf16(dw, w->cols, p->left16[left] + at, ld, right, ld_right, n,
                          mk_pad(n_slot, MK_BF16_K), w->cols, true);
    } else {
        const float *right = (left == DOWN ? j->mid : j->x_rows) + slot0 * w->cols;
        p->wk->k.mul_t(dw, w->cols, right, w->cols, n_slot, w->cols, p->left[left] + at, ld, n);
    }
}

static size_t n_row_blocks(size_t rows) { return (rows + ROWS - 1) / ROWS; }

/* An expert's units: blocks of rows of gate, of up, of down. */
static void weight_units(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    const struct back_job *p = arg;
    const struct mk_experts *e = &p->j->e;
    const struct mk_weight *const matrix[] = {e->gate, e->up, e->down};
    const size_t n_ff = n_row_blocks(e->d_ff), per = 2 * n_ff + n_row_blocks(p->j->d);
    for (size_t u = first; u < last; u++) {
        const size_t i = u % per, expert = p->j->s.busy[p->wave.first + u / per];
        const size_t m = i < n_ff ? 0 : i < 2 * n_ff ? 1 : 2, r0 = (i - m * n_ff) * ROWS;
        const struct mk_weight *w = &matrix[m][expert];
        const size_t left = w->rows - r0, n = left < ROWS ? left : ROWS;
        weight_grad(p, m == 2 ? DOWN : GATE_UP, m == 1 ? e->d_ff + r0 : r0, w, expert, r0, n);
    }
}

/* Sums what a token's experts left, in ascending order of their numbers. */
static void token_units(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    const struct back_job *p = arg;
    const struct mk_experts_job *j = p->j;
    for (size_t i = first * j->n_active; i < last * j->n_active; i++) {
        const size_t slot = j->s.slot[i];
        if (p->dweight) p->dweight[i] += p->slot_dw[slot];
        if (p->dx)
            p->wk->k.axpy(p->dx + i / j->n_active * j->ldx, 1.0f, p->slot_dx + slot * j->d, j->d);
    }
}

static bool next_wave(const struct mk_slots *s, struct wave *w, size_t least)
{
    *w = (struct wave){.first = w->first + w->n, .block = w->block + w->n_block};
    if (w->first == s->n_busy) return false;
    w->slot = s->first[s->busy[w->first]];
    for (; w->first + w->n < s->n_busy && w->n_slot < least; w->n++) {
        const size_t e = s->busy[w->first + w->n];
        w->n_slot = s->first[e + 1] - w->slot;
        w->n_block += (s->count[e] + MK_SLOT_BLOCK - 1) / MK_SLOT_BLOCK;
    }
    return true;
}

static void take_left(struct back_job *p, size_t least)
{
    const struct mk_experts_job *j = p->j;
    size_t n_most = 0;
    for (struct wave w = {0}; next_wave(&j->s, &w, least);)
        n_most = w.n_slot > n_most ? w.n_slot : n_most;
    for (int m = 0; m < N_LEFT; m++) {
        const size_t n = n_most * (m == DOWN ? j->d : 2 * j->e.d_ff);
        if (j->is_bf16)
            p->left16[m] = mk_arena_take(&p->wk->arena, n * sizeof *p->left16[m]);
        else
            p->left[m] = mk_floats(p->wk, n);
    }
}

static void take_scratch(struct back_job *p)
{
    struct mk_work *wk = p->wk;
    const struct mk_experts_job *j = p->j;
    const size_t d_ff = j->e.d_ff, widest = j->d > 2 * d_ff ? j->d : 2 * d_ff;
    p->slot_dw = mk_floats(wk, j->s.n);
    if (p->dx) p->slot_dx = mk_floats(wk, j->s.n * j->d);
    p->scratch = mk_arena_take(&wk->arena, mk_pool_size(wk->pool) * sizeof *p->scratch);
    for (unsigned i = 0; i < mk_pool_size(wk->pool); i++) {
        struct scratch *s = &p->scratch[i];
        s->dy = mk_floats(wk, MK_SLOT_BLOCK * j->d);
        s->dmid = mk_floats(wk, MK_SLOT_BLOCK * d_ff);
        s->dgu = mk_floats(wk, MK_SLOT_BLOCK * 2 * d_ff);
        s->piece = mk_floats(wk, PIECE * widest);
        s->b16 = mk_arena_take(&wk->arena, MK_SLOT_BLOCK * mk_bf16_ld(widest) * sizeof *s->b16);
    }
}

void mk_experts_back(struct mk_work *wk, void *saved)
{
    const struct mk_experts_job *j = saved;
    struct back_job p = {.wk = wk, .j = j};
    p.dx = mk_grad(wk, j->x);
    p.dy = mk_grad(wk, j->y);
    p.dweight = mk_grad(wk, j->weight);
    assert(p.dy);
    take_scratch(&p);
    const size_t least = WAVE_SLOTS * mk_pool_size(wk->pool), n_slot = j->n_tok * j->n_active;
    const size_t n_mac = 3 * j->d * j->e.d_ff / (j->is_bf16 ? 8 : 1); /* fast ones */
    const size_t per = 2 * n_row_blocks(j->e.d_ff) + n_row_blocks(j->d);
    if (j->is_trained) take_left(&p, least);
    while (next_wave(&j->s, &p.wave, least)) {
        mk_pool_run(wk->pool, p.wave.n_block, mk_grain(wk, n_slot / j->s.n_block * n_mac),
                    block_units, &p);
        if (j->is_trained)
            mk_pool_run(wk->pool, p.wave.n * per, mk_grain(wk, n_slot / j->s.n_busy * n_mac / per),
                        weight_units, &p);
    }
    mk_pool_run(wk->pool, j->n_tok, mk_grain(wk, j->n_active * j->d), token_units, &p);
}
