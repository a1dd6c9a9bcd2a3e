#include "tensor/int_tiles.h"

#include <math.h>
#include <string.h>

struct mk_cols mk_cols_new(struct mk_work *wk, size_t n, size_t d_k, size_t d_v)
{
    return (struct mk_cols){.n = n,
                            .d_k = d_k,
                            .d_v = d_v,
                            .q = mk_floats(wk, n * d_k),
                            .pos = mk_arena_take(&wk->arena, n * sizeof(size_t)),
                            .o = mk_floats(wk, n * d_v),
                            .m = mk_floats(wk, n),
                            .l = mk_floats(wk, n),
                            .s = mk_floats(wk, n * MK_TILE),
                            .acc = mk_floats(wk, n * MK_PANEL_ROWS)};
}

void mk_cols_start(struct mk_cols *c)
{
    memset(c->o, 0, c->n * c->d_v * sizeof *c->o);
    for (size_t i = 0; i < c->n; i++) c->m[i] = -INFINITY, c->l[i] = 0.0f;
}

/* s[i][0..MK_TILE) for columns from `first` on; keys that do not exist score -infinity. */
static void scores(const struct mk_kernels *k, struct mk_panel *panel, struct mk_cols *c,
                   size_t first, const struct mk_weight *key)
{
    const size_t n = c->n - first, n_key = key->rows, value = mk_quants[key->type].block_bytes;
    for (size_t g = 0; g < MK_TILE; g += MK_PANEL_ROWS) {
        memset(c->acc, 0, n * MK_PANEL_ROWS * sizeof *c->acc);
        const size_t rows = n_key <= g ? 0 : n_key - g < MK_PANEL_ROWS ? n_key - g : MK_PANEL_ROWS;
        for (size_t d = 0; rows && d < c->d_k; d += MK_PANEL_K_F32) {
            const size_t n_k = c->d_k - d < MK_PANEL_K_F32 ? c->d_k - d : MK_PANEL_K_F32;
            k->unpack[key->type](panel, key->data + g * key->stride + d * value, key->stride,
                                 (unsigned)rows, n_k);
            k->mul_f32(c->acc, panel, c->q + first * c->d_k + d, c->d_k, n);
        }
        for (size_t i = 0; i < n; i++)
            memcpy(c->s + (first + i) * MK_TILE + g, c->acc + i * MK_PANEL_ROWS,
                   MK_PANEL_ROWS * sizeof *c->s);
    }
}

/* s becomes e^(s - m'), with zeros for keys that the column may not see. */
static void soften(const struct mk_kernels *k, struct mk_cols *c, size_t i, size_t n_seen)
{
    float *s = c->s + i * MK_TILE;
    for (size_t t = n_seen; t < MK_TILE; t++) s[t] = -INFINITY;
    const float tile_max = k->max(s, MK_TILE);
    const float m = tile_max > c->m[i] ? tile_max : c->m[i];
    const float fade = expf(c->m[i] - m);
    c->l[i] = c->l[i] * fade + k->exp_sum(s, MK_TILE, m);
    if (fade != 1.0f) k->scale(c->o + i * c->d_v, fade, c->d_v);
    c->m[i] = m;
}

void mk_cols_attend(const struct mk_kernels *k, struct mk_panel *panel, struct mk_cols *c,
                    const struct mk_weight *key, const float *val, size_t ldv, size_t key0)
{
    size_t first = 0;
    while (first < c->n && c->pos[first] < key0) first++;
    if (first == c->n) return;
    const size_t n_key = key->rows;
    scores(k, panel, c, first, key);
    for (size_t i = first; i < c->n; i++) {
        const size_t seen = c->pos[i] - key0 + 1;
        soften(k, c, i, seen < n_key ? seen : n_key);
    }
    k->mul_t(c->o + first * c->d_v, c->d_v, val, ldv, n_key, c->d_v, c->s + first * MK_TILE,
             MK_TILE, c->n - first);
}

void mk_cols_finish(const struct mk_kernels *k, struct mk_cols *c)
{
    for (size_t i = 0; i < c->n; i++) k->scale(c->o + i * c->d_v, 1.0f / c->l[i], c->d_v);
}
