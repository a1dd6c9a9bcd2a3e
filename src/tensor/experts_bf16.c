/* Experts in bf16, in training and its rollouts: a block of slots goes through its expert
 * while its rows are in the cache. */
#include "tensor/int_experts.h"
#include "tensor/int_matmul.h"
#include "tensor/tape.h"

#include <string.h>

void mk_round_rows(const struct mk_kernels *k, uint16_t *y, size_t ldy, const float *x, size_t n,
                   size_t d)
{
    if (ldy == d)
        k->f32_bf16(y, x, n * d);
    else
        for (size_t i = 0; i < n; i++) k->f32_bf16(y + i * ldy, x + i * d, d);
}

void mk_experts_take_bf16(struct mk_experts_job *j)
{
    struct mk_work *wk = j->wk;
    const size_t n_row = j->is_recorded ? j->s.n : mk_pool_size(wk->pool) * MK_SLOT_BLOCK;
    j->gate = mk_floats(wk, n_row * j->e.d_ff);
    j->up = mk_floats(wk, n_row * j->e.d_ff);
    if (!j->is_trained) return;
    j->ld_x = mk_pairs_ld(j->d), j->ld_mid = mk_pairs_ld(j->e.d_ff);
    j->x_pairs = mk_arena_take(&wk->arena, j->s.n * j->ld_x * sizeof *j->x_pairs);
    j->mid_pairs = mk_arena_take(&wk->arena, j->s.n * j->ld_mid * sizeof *j->mid_pairs);
}

struct bf16_job {
    const struct mk_experts_job *j;
    const struct mk_input *x;
    uint16_t *x16, *mid16; /* per thread [MK_SLOT_BLOCK][ld] */
    float *mid;            /* the same, [d_ff] */
    size_t ld_x16, ld_mid16;
};

static void gather(const struct bf16_job *p, const struct mk_slot_block *b, uint16_t *x16)
{
    for (size_t i = 0; i < b->n; i++)
        memcpy(x16 + i * p->ld_x16,
               p->x->b16 + p->j->s.choice[b->first + i] / p->j->n_active * p->x->ld16,
               p->j->d * sizeof *x16);
}

/* The block as right operands of weight gradients; zeros in the empty slots. */
static void keep(const struct bf16_job *p, const struct mk_slot_block *b, const uint16_t *x16,
                 float *mid)
{
    const struct mk_experts_job *j = p->j;
    const struct mk_kernels *k = &j->wk->k;
    const size_t d_ff = j->e.d_ff;
    for (size_t i = 0; i < b->n; i++)
        k->scale(mid + i * d_ff, j->weight[j->s.choice[b->first + i]], d_ff);
    for (size_t i = 0; i < mk_pad(b->n, MK_BF16_K); i += 2) {
        uint16_t *xp = j->x_pairs + (b->first + i) * j->ld_x;
        uint16_t *mp = j->mid_pairs + (b->first + i) * j->ld_mid;
        if (i >= b->n) {
            memset(xp, 0, 2 * j->d * sizeof *xp);
            memset(mp, 0, 2 * d_ff * sizeof *mp);
            continue;
        }
        const bool has_odd = i + 1 < b->n;
        k->zip_bf16(xp, x16 + i * p->ld_x16, has_odd ? x16 + (i + 1) * p->ld_x16 : NULL, j->d);
        k->pairs_bf16(mp, mid + i * d_ff, has_odd ? mid + (i + 1) * d_ff : NULL, d_ff);
    }
}

static void block_units(void *arg, size_t first, size_t last, unsigned thread)
{
    const struct bf16_job *p = arg;
    const struct mk_experts_job *j = p->j;
    const struct mk_kernels *k = &j->wk->k;
    const size_t d_ff = j->e.d_ff, row0 = thread * MK_SLOT_BLOCK;
    uint16_t *x16 = p->x16 + row0 * p->ld_x16, *mid16 = p->mid16 + row0 * p->ld_mid16;
    float *mid = p->mid + row0 * d_ff;
    for (size_t u = first; u < last; u++) {
        const struct mk_slot_block *b = &j->s.block[u];
        const struct mk_pairs *wg = j->e.gate[b->expert].pairs, *wu = j->e.up[b->expert].pairs;
        const struct mk_pairs *wd = j->e.down[b->expert].pairs;
        const size_t at = (j->is_recorded ? b->first : row0) * d_ff;
        float *gate = j->gate + at, *up = j->up + at;
        gather(p, b, x16);
        k->mul_bf16(gate, d_ff, x16, p->ld_x16, wg->fwd, wg->ld_fwd, b->n, j->d, d_ff, false);
        k->mul_bf16(up, d_ff, x16, p->ld_x16, wu->fwd, wu->ld_fwd, b->n, j->d, d_ff, false);
        for (size_t i = 0; i < b->n; i++)
            k->silu_mul(mid + i * d_ff, gate + i * d_ff, up + i * d_ff, d_ff);
        mk_round_rows(k, mid16, p->ld_mid16, mid, b->n, d_ff);
        k->mul_bf16(j->out + b->first * j->d, j->d, mid16, p->ld_mid16, wd->fwd, wd->ld_fwd, b->n,
                    d_ff, j->d, false);
        if (j->is_trained) keep(p, b, x16, mid);
    }
}

void mk_experts_forward_bf16(struct mk_experts_job *j, struct mk_input *x)
{
    struct mk_work *wk = j->wk;
    const size_t d_ff = j->e.d_ff, n_row = mk_pool_size(wk->pool) * MK_SLOT_BLOCK;
    struct bf16_job p = {.j = j, .x = x, .ld_x16 = mk_bf16_ld(j->d), .ld_mid16 = mk_bf16_ld(d_ff)};
    p.x16 = mk_arena_take(&wk->arena, n_row * p.ld_x16 * sizeof *p.x16);
    p.mid16 = mk_arena_take(&wk->arena, n_row * p.ld_mid16 * sizeof *p.mid16);
    p.mid = mk_floats(wk, n_row * d_ff);
    const size_t n_mac = j->n_tok * j->n_active * 3 * j->d * d_ff / 8; /* fast ones */
    mk_pool_run(wk->pool, j->s.n_block, mk_grain(wk, n_mac / j->s.n_block), block_units, &p);
}
