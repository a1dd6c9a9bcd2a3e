/* Attention over tiles of keys in bf16.
 *
 *   s[key][column] = keys q^T     rows of the cache times pairs of q, made once
 *   s = e^(s - m)
 *
 * Values in f16:
 *   o[column][...] += s^T v       in floats (mul_t_f16)
 * Values in bf16:
 *   p[column][key] = s, turned
 *   o[column][...] += p v         rows of p times pairs of v, made for each tile, or for few
 *                                 columns, with the same bits, in registers (mul_t_bf16)
 *
 * The sum of bf16 products always takes MK_TILE keys, with zeros for those that are not there, so
 * that a column's bits do not depend on how many keys follow its own. */
#include "tensor/int_matmul.h"
#include "tensor/int_tiles.h"
#include "tensor/params.h"

#include <math.h>
#include <string.h>

enum { FEW = 16 /* columns: values are read where they are stored */ };

bool mk_can_attend_bf16(const struct mk_work *wk, const struct mk_kv *kv, size_t d_k, size_t d_v)
{
    const bool is_16_bits = kv->type == MK_BF16 || kv->type == MK_F16;
    return is_16_bits && mk_bf16_is_fast(wk) && d_k % MK_BF16_K == 0 && d_v % MK_BF16_COLS == 0;
}

static void take_scratch(struct mk_work *wk, struct mk_cols *c)
{
    struct mk_arena *a = &wk->arena;
    c->q = mk_floats(wk, c->n * c->d_k);
    c->w.s = mk_floats(wk, MK_TILE * c->ld);
    c->w.rows = mk_arena_take(a, MK_BF16_COLS * c->d_k * sizeof *c->w.rows);
    c->w.p = mk_arena_take(a, c->ld * MK_TILE * sizeof *c->w.p);
    c->w.v2 = mk_arena_take(a, MK_TILE * c->d_v * sizeof *c->w.v2);
    c->w.seen = mk_arena_take(a, c->ld * sizeof *c->w.seen);
    c->w.fade = mk_floats(wk, c->ld);
}

struct mk_cols mk_cols_new_bf16(struct mk_work *wk, size_t n, size_t d_k, size_t d_v,
                                const struct mk_cols *like)
{
    struct mk_cols c = {.is_bf16 = true};
    if (like) c = *like;
    c.n = n, c.d_k = d_k, c.d_v = d_v, c.ld = mk_pad(n, MK_BF16_COLS);
    if (!like) take_scratch(wk, &c);
    c.pos = mk_arena_take(&wk->arena, n * sizeof *c.pos);
    c.o = mk_floats(wk, n * d_v);
    c.m = mk_floats(wk, c.ld), c.l = mk_floats(wk, c.ld);
    c.q16 = mk_arena_take(&wk->arena, d_k * c.ld * sizeof *c.q16);
    return c;
}

/* Dwords are turned as if they were floats. */
void mk_pair_columns(const struct mk_kernels *k, struct mk_panel *panel, uint16_t *out, size_t ld,
                     const uint16_t *rows, size_t n, size_t n_k)
{
    const size_t n_pair = n_k / 2;
    for (size_t d = 0; d < n_pair; d += MK_PANEL_K_F32) {
        const size_t n_d = n_pair - d < MK_PANEL_K_F32 ? n_pair - d : MK_PANEL_K_F32;
        k->unpack[MK_F32](panel, (const uint8_t *)(rows + 2 * d), n_k * sizeof *rows, (unsigned)n,
                          n_d);
        for (size_t i = 0; i < n_d; i++)
            memcpy(out + 2 * (d + i) * ld, panel->f[i], sizeof panel->f[i]);
    }
}

void mk_cols_round(const struct mk_kernels *k, struct mk_panel *panel, struct mk_cols *c)
{
    for (size_t i = 0; i < c->n; i += MK_PANEL_ROWS) {
        const size_t n = c->n - i < MK_PANEL_ROWS ? c->n - i : MK_PANEL_ROWS;
        k->f32_bf16(c->w.rows, c->q + i * c->d_k, n * c->d_k);
        mk_pair_columns(k, panel, c->q16 + 2 * i, c->ld, c->w.rows, n, c->d_k);
    }
}

static const uint16_t *row_of(const struct mk_weight *w, size_t i)
{
    return i < w->rows ? (const uint16_t *)(const void *)(w->data + i * w->stride) : NULL;
}

static void pair_values(const struct mk_kernels *k, const struct mk_cols *c,
                        const struct mk_weight *val)
{
    for (size_t i = 0; i < MK_TILE; i += 2) {
        uint16_t *out = c->w.v2 + i * c->d_v;
        if (i < val->rows)
            k->zip_bf16(out, row_of(val, i), row_of(val, i + 1), c->d_v);
        else
            memset(out, 0, 2 * c->d_v * sizeof *out);
    }
}

static void touch_rows(const struct mk_weight *w)
{
    for (size_t i = 0; i < w->rows; i++) mk_touch(w->data + i * w->stride, 2 * w->cols);
}

/* o += e^(s - m) v for the columns from `first` on, the softmax from `at` on. */
static void add_values(const struct mk_kernels *k, const struct mk_cols *c, size_t first, size_t at,
                       const struct mk_weight *val)
{
    const size_t n = c->n - first, ldv = val->stride / sizeof *c->w.p;
    float *o = c->o + first * c->d_v;
    const uint16_t *v = row_of(val, 0), *p = c->w.p + first * MK_TILE;
    if (val->type == MK_F16) {
        k->mul_t_f16(o, c->d_v, v, ldv, val->rows, c->d_v, c->w.s + first, c->ld, n);
        return;
    }
    k->trans_bf16(c->w.p + at * MK_TILE, MK_TILE, c->w.s + at, c->ld, MK_TILE,
                  mk_pad(c->n, MK_BF16_COLS) - at);
    if (n <= FEW) {
        k->mul_t_bf16(o, c->d_v, v, ldv, val->rows, c->d_v, p, MK_TILE, MK_TILE, n);
        return;
    }
    pair_values(k, c, val);
    k->mul_bf16(o, c->d_v, p, MK_TILE, c->w.v2, c->d_v, n, MK_TILE, c->d_v, true);
}

void mk_cols_attend_bf16(const struct mk_kernels *k, struct mk_cols *c, const struct mk_weight *key,
                         const struct mk_weight *val, size_t key0)
{
    const size_t n_key = key->rows;
    size_t first = 0;
    while (first < c->n && c->pos[first] < key0) first++;
    if (first == c->n) return;
    const bool is_few = c->n - first <= FEW;
    if (!is_few) touch_rows(key);
    if (!is_few && val->data != key->data) touch_rows(val);
    const size_t at = first / MK_BF16_COLS * MK_BF16_COLS, n = mk_pad(c->n, MK_BF16_COLS) - at;
    k->mul_bf16(c->w.s + at, c->ld, row_of(key, 0), key->stride / sizeof *c->q16, c->q16 + 2 * at,
                c->ld, n_key, c->d_k, n, false);
    for (size_t i = at; i < at + n; i++) {
        const bool sees = i >= first && i < c->n;
        const size_t n_seen = sees ? c->pos[i] - key0 + 1 : 0;
        c->w.seen[i] = (uint32_t)(n_seen < n_key ? n_seen : n_key);
    }
    k->soften(c->w.s + at, c->ld, c->w.seen + at, MK_TILE, c->m + at, c->l + at, c->w.fade + at, n);
    for (size_t i = first; i < c->n; i++)
        if (c->w.fade[i] != 1.0f) k->scale(c->o + i * c->d_v, c->w.fade[i], c->d_v);
    add_values(k, c, first, at, val);
}
