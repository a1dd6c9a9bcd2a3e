#include "tensor/int_tiles.h"

#include <math.h>
#include <string.h>

enum { RUN = 16 /* keys by which columns that see different numbers are multiplied apart */ };

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
                            .w.s = mk_floats(wk, n * MK_TILE),
                            .w.acc = mk_floats(wk, (n > MK_TILE ? n : MK_TILE) * MK_PANEL_ROWS)};
}

/* Panels of 16 rows of d values. */
static size_t n_panels(size_t d) { return (d + MK_PANEL_K_F32 - 1) / MK_PANEL_K_F32; }

struct mk_cols mk_cols_new_panels(struct mk_work *wk, size_t n, size_t d_k, size_t d_v)
{
    struct mk_cols c = mk_cols_new(wk, n, d_k, d_v);
    const size_t n_group = (n + MK_PANEL_ROWS - 1) / MK_PANEL_ROWS;
    c.panels = mk_arena_take(&wk->arena, n_group * n_panels(d_k) * sizeof *c.panels);
    return c;
}

struct mk_cols mk_cols_again(struct mk_work *wk, const struct mk_cols *c)
{
    struct mk_cols again = *c;
    again.o = mk_floats(wk, c->n * c->d_v);
    again.m = mk_floats(wk, c->n + c->ld), again.l = mk_floats(wk, c->n + c->ld);
    return again;
}

void mk_cols_clear(struct mk_cols *c)
{
    memset(c->o, 0, c->n * c->d_v * sizeof *c->o);
    for (size_t i = 0; i < c->n; i++) c->m[i] = -INFINITY, c->l[i] = 0.0f;
    /* Lanes that are no column hold no slow numbers. */
    for (size_t i = c->n; i < c->ld; i++) c->m[i] = c->l[i] = 0.0f;
}

/* Rows of n_d floats, n or 16 of them, become a panel from value d on, as far as it goes. */
static void turn(const struct mk_kernels *k, struct mk_panel *p, const float *rows, size_t n,
                 size_t d, size_t n_d)
{
    const size_t n_k = n_d - d < MK_PANEL_K_F32 ? n_d - d : MK_PANEL_K_F32;
    k->unpack[MK_F32](p, (const uint8_t *)(rows + d), n_d * sizeof *rows,
                      (unsigned)(n < MK_PANEL_ROWS ? n : MK_PANEL_ROWS), n_k);
}

static void turn_queries(const struct mk_kernels *k, const struct mk_cols *c)
{
    struct mk_panel *p = c->panels;
    for (size_t i = 0; i < c->n; i += MK_PANEL_ROWS)
        for (size_t d = 0; d < c->d_k; d += p++->n_k)
            turn(k, p, c->q + i * c->d_k, c->n - i, d, c->d_k);
}

void mk_cols_start(const struct mk_kernels *k, struct mk_panel *panel, struct mk_cols *c)
{
    if (c->is_bf16) mk_cols_round(k, panel, c);
    if (c->panels) turn_queries(k, c);
    mk_cols_clear(c);
}

/* s[i][...] for columns from `first` on; those that see no key of a group of 16 skip it. */
static void scores(const struct mk_kernels *k, struct mk_panel *panel, struct mk_cols *c,
                   size_t first, const struct mk_weight *key, size_t key0)
{
    const size_t n_key = key->rows, value = mk_quants[key->type].block_bytes;
    for (size_t g = 0; g < n_key; g += MK_PANEL_ROWS) {
        while (first < c->n && c->pos[first] < key0 + g) first++;
        const size_t n = c->n - first;
        memset(c->w.acc, 0, n * MK_PANEL_ROWS * sizeof *c->w.acc);
        const size_t rows = n_key - g < MK_PANEL_ROWS ? n_key - g : MK_PANEL_ROWS;
        for (size_t d = 0; n && d < c->d_k; d += MK_PANEL_K_F32) {
            const size_t n_k = c->d_k - d < MK_PANEL_K_F32 ? c->d_k - d : MK_PANEL_K_F32;
            k->unpack[key->type](panel, key->data + g * key->stride + d * value, key->stride,
                                 (unsigned)rows, n_k);
            k->mul_f32(c->w.acc, panel, c->q + first * c->d_k + d, c->d_k, n);
        }
        for (size_t i = 0; i < n; i++)
            memcpy(c->w.s + (first + i) * MK_TILE + g, c->w.acc + i * MK_PANEL_ROWS,
                   MK_PANEL_ROWS * sizeof *c->w.s);
    }
}

/* The same where queries have panels: all keys for all columns. */
static void scores_of_floats(const struct mk_kernels *k, struct mk_panel *panel, struct mk_cols *c,
                             size_t first, const struct mk_weight *key)
{
    const size_t n_key = key->rows, ld = key->stride / sizeof *c->q, n_panel = n_panels(c->d_k);
    const float *rows = (const float *)(const void *)key->data;
    for (size_t i = first / MK_PANEL_ROWS * MK_PANEL_ROWS; i < c->n; i += MK_PANEL_ROWS) {
        const struct mk_panel *p = c->panels + i / MK_PANEL_ROWS * n_panel;
        memset(c->w.acc, 0, n_key * MK_PANEL_ROWS * sizeof *c->w.acc);
        for (size_t d = 0; d < n_panel; d++)
            k->mul_f32(c->w.acc, p + d, rows + d * MK_PANEL_K_F32, ld, n_key);
        for (size_t g = 0; g < n_key; g += MK_PANEL_ROWS) {
            turn(k, panel, c->w.acc + g * MK_PANEL_ROWS, n_key - g, 0, MK_PANEL_ROWS);
            for (size_t col = i; col < i + MK_PANEL_ROWS && col < c->n; col++)
                memcpy(c->w.s + col * MK_TILE + g, panel->f[col - i], sizeof panel->f[0]);
        }
    }
}

/* s becomes e^(s - m') for the keys that the column sees, and 0 for the others. */
static void soften(const struct mk_kernels *k, struct mk_cols *c, size_t i, size_t n_seen)
{
    float *s = c->w.s + i * MK_TILE;
    const float tile_max = k->max(s, n_seen);
    const float m = tile_max > c->m[i] ? tile_max : c->m[i];
    const float fade = expf(c->m[i] - m);
    c->l[i] = c->l[i] * fade + k->exp_sum(s, n_seen, m);
    memset(s + n_seen, 0, (MK_TILE - n_seen) * sizeof *s);
    if (fade != 1.0f) k->scale(c->o + i * c->d_v, fade, c->d_v);
    c->m[i] = m;
}

static size_t n_seen(const struct mk_cols *c, size_t i, size_t key0, size_t n_key)
{
    const size_t n = c->pos[i] - key0 + 1;
    return n < n_key ? n : n_key;
}

void mk_cols_attend(const struct mk_kernels *k, struct mk_panel *panel, struct mk_cols *c,
                    const struct mk_weight *key, const float *val, size_t ldv, size_t key0)
{
    const size_t n_key = key->rows;
    size_t first = 0;
    while (first < c->n && c->pos[first] < key0) first++;
    if (first == c->n) return;
    if (c->panels)
        scores_of_floats(k, panel, c, first, key);
    else
        scores(k, panel, c, first, key, key0);
    for (size_t i = first; i < c->n; i++) soften(k, c, i, n_seen(c, i, key0, n_key));
    /* A run of columns goes as far as its last one sees; zeros beyond add nothing. */
    for (size_t i = first, end; i < c->n; i = end) {
        const size_t to = (n_seen(c, i, key0, n_key) + RUN - 1) / RUN * RUN;
        for (end = i + 1; end < c->n && n_seen(c, end, key0, n_key) <= to;) end++;
        k->mul_t(c->o + i * c->d_v, c->d_v, val, ldv, to < n_key ? to : n_key, c->d_v,
                 c->w.s + i * MK_TILE, MK_TILE, end - i);
    }
}

void mk_cols_finish(const struct mk_kernels *k, struct mk_cols *c)
{
    for (size_t i = 0; i < c->n; i++) k->scale(c->o + i * c->d_v, 1.0f / c->l[i], c->d_v);
}
