/* The tensors of the target: what the names tables say, in shapes and types that its format
 * has.  In GGUF vectors and routers are f32; in safetensors they have the type of the other
 * weights where that changes no value. */
#include "cli/convert.h"
#include "tensor/rope.h"

#include <stdio.h>
#include <string.h>

enum { NAME_BYTES = 256, BLOCK = 128 };

struct planner {
    struct mk_convert *c;
    enum mk_type narrow; /* safetensors: of vectors, if they fit */
    bool has_output;
    const struct mk_item *asked; /* see exact() */
    enum mk_type asked_type, answer;
    size_t cap;
    struct mk_err *err;
};

static const struct mk_name *entry(const struct mk_convert *c, enum mk_name_kind kind)
{
    const struct mk_name *n = mk_model_names(&c->model);
    while (n->hf && n->kind != kind) n++;
    return n->hf ? n : NULL;
}

static bool is_gguf_name(const struct mk_name *n, const char *gguf)
{
    return !strcmp(n->gguf, gguf);
}

/* ---- types ------------------------------------------------------------------------- */

static bool has_part_of(const struct mk_item *it, enum mk_type type, bool others)
{
    for (size_t i = 0; i < it->n_part; i++)
        if ((it->part[i].type == type) != others) return true;
    return false;
}

/* The narrowest float that holds every value: type if they fit, else f32.  The experts of
 * an item ask one after the other, so the last answer is kept. */
static enum mk_type exact(struct planner *p, const struct mk_target *t, enum mk_type type)
{
    if (type == MK_F32) return MK_F32;
    if (p->asked == t->from && p->asked_type == type) return p->answer;
    const bool fits =
        mk_item_fits(p->c, t->from, type) && (!t->from2 || mk_item_fits(p->c, t->from2, type));
    p->asked = t->from, p->asked_type = type;
    p->answer = fits ? type : MK_F32;
    return p->answer;
}

/* Whether rows move as they are: no value changes its place in a row. */
static bool is_by_rows(enum mk_make make) { return make != MK_MAKE_K_B && make != MK_MAKE_KV_B; }

static enum mk_type kept_type(struct planner *p, const struct mk_target *t)
{
    const struct mk_convert *c = p->c;
    const enum mk_type type = t->from->part[0].type;
    const bool is_mixed =
        has_part_of(t->from, type, true) || (t->from2 && has_part_of(t->from2, type, true));
    const bool is_float = type == MK_F32 || type == MK_F16 || type == MK_BF16;
    const bool is_known =
        c->to_gguf ? mk_quants[type].ggml >= 0 : mk_quants[type].safetensors != NULL;
    if (!is_mixed && is_known && (is_float || is_by_rows(t->make))) return type;
    return exact(p, t, MK_BF16);
}

static bool is_router(const struct mk_name *n) { return strstr(n->gguf, "ffn_gate_inp") != NULL; }

/* What DeepSeek's FP8 checkpoints leave in 16 bits. */
static bool is_f8(const struct mk_name *n)
{
    static const char *const not [] = {"embed", "output.weight", "shared_head", "eh_proj"};
    if (is_gguf_name(n, "blk.#.attn_output.weight")) return true;
    for (size_t i = 0; i < sizeof not / sizeof *not ; i++)
        if (strstr(n->gguf, not [i]) || strstr(n->hf, not [i])) return false;
    return !is_router(n);
}

static enum mk_type gguf_type(struct planner *p, struct mk_target *t, const struct mk_name *n)
{
    const struct mk_convert *c = p->c;
    if (t->from->is_vector || is_router(n)) return MK_F32;
    if (c->recipe.keeps) return kept_type(p, t);
    const struct mk_type_query q = {.gguf = t->t.name,
                                    .layer = t->from->layer,
                                    .n_layer = c->model.n_layer,
                                    .n_cols = t->n_cols,
                                    .has_output = p->has_output,
                                    .is_bf16 = has_part_of(t->from, MK_BF16, false) ||
                                               has_part_of(t->from, MK_F8_E4M3, false)};
    return mk_recipe_type(&c->recipe, &q, &t->wanted);
}

static enum mk_type folder_type(struct planner *p, const struct mk_target *t,
                                const struct mk_name *n)
{
    const struct mk_convert *c = p->c;
    /* GGUF made these f32, whatever they were. */
    const bool was_widened = c->model.config.is_gguf && has_part_of(t->from, MK_F32, false);
    if (is_gguf_name(n, "blk.#.exp_probs_b.bias")) return MK_F32;
    if (t->from->is_vector || is_router(n))
        return c->recipe.keeps && !was_widened ? kept_type(p, t) : exact(p, t, p->narrow);
    if (c->recipe.keeps || (c->recipe.type == MK_F8_E4M3 && !is_f8(n))) return kept_type(p, t);
    return c->recipe.type;
}

/* ---- targets ------------------------------------------------------------------------ */

static struct mk_target *push(struct planner *p)
{
    struct mk_convert *c = p->c;
    if (c->n == p->cap) {
        struct mk_target *v = mk_arena_take(&c->arena, 2 * p->cap * sizeof *v);
        memcpy(v, c->v, c->n * sizeof *v);
        c->v = v, p->cap *= 2;
    }
    c->v[c->n] = (struct mk_target){0};
    return &c->v[c->n++];
}

static bool measure(struct planner *p, struct mk_target *t)
{
    size_t row_bytes;
    struct mk_tensor *x = &t->t;
    if (!mk_mul(t->n_rows, t->n_cols, &x->n_values) ||
        !mk_type_bytes(x->type, t->n_cols, &row_bytes) ||
        !mk_mul(t->n_rows, row_bytes, &x->n_bytes) ||
        !mk_add(p->c->n_bytes, x->n_bytes, &p->c->n_bytes))
        return mk_fail(p->err, MK_ELIMIT, "tensor %s: [%zu, %zu] of %s is too large", x->name,
                       t->n_rows, t->n_cols, mk_quants[x->type].name);
    return true;
}

static void set_dims(struct mk_target *t, size_t n_outer)
{
    const bool is_vector = t->n_cols == 1 && (!t->from || t->from->is_vector);
    struct mk_tensor *x = &t->t;
    x->n_dims = 0;
    if (n_outer) x->dims[x->n_dims++] = n_outer;
    x->dims[x->n_dims++] = n_outer ? t->n_rows / n_outer : t->n_rows;
    if (!is_vector) x->dims[x->n_dims++] = t->n_cols;
}

/* The scales of the F8 tensor just pushed: those of the source, or to be made. */
static bool add_scales(struct planner *p, struct mk_target *w)
{
    struct mk_convert *c = p->c;
    const struct mk_weight *s = &w->from->part[w->part];
    const bool is_copy = s->type == MK_F8_E4M3;
    if (is_copy && !s->scale) return true;
    const size_t rows = (w->n_rows + BLOCK - 1) / BLOCK, cols = (w->n_cols + BLOCK - 1) / BLOCK;
    float *values = mk_arena_zero(&c->arena, rows * cols * sizeof *values);
    for (size_t i = 0; is_copy && i < rows; i++)
        memcpy(values + i * cols, s->scale + i * s->ld_scale, cols * sizeof *values);
    if (!is_copy) w->scales = values;
    const char *name = mk_arena_printf(&c->arena, "%s_scale_inv", w->t.name);
    struct mk_target *t = push(p); /* w may have moved */
    *t = (struct mk_target){.t = {.name = name, .type = MK_F32, .n_dims = 2, .dims = {rows, cols}},
                            .make = MK_MAKE_VALUES,
                            .n_rows = rows,
                            .n_cols = cols,
                            .values = values,
                            .wanted = MK_F32};
    return measure(p, t);
}

/* Adds *t, whose make, from and rows are set, under entry n. */
static bool add(struct planner *p, const struct mk_target *proto, const struct mk_name *n,
                long expert, size_t n_outer)
{
    struct mk_convert *c = p->c;
    char name[NAME_BYTES];
    mk_name_write(n, c->to_gguf, proto->from->layer, expert, name, sizeof name);
    struct mk_target *t = push(p);
    *t = *proto;
    t->t.name = mk_arena_strdup(&c->arena, name);
    const enum mk_type type = c->to_gguf ? gguf_type(p, t, n) : folder_type(p, t, n);
    if (!t->wanted || !c->to_gguf || c->recipe.keeps || type == MK_F32) t->wanted = type;
    t->t.type = type;
    set_dims(t, n_outer);
    return measure(p, t) && (type != MK_F8_E4M3 || add_scales(p, t));
}

static bool add_item(struct planner *p, const struct mk_item *it)
{
    struct mk_target t = {
        .from = it, .n_part = 1, .n_rows = it->part->rows, .n_cols = it->part->cols};
    if (it->name->kind != MK_NAME_STACKED) return add(p, &t, it->name, -1, 0);
    if (p->c->to_gguf) {
        t.n_part = it->n_part;
        t.n_rows *= it->n_part; /* bytes that are in the source: no overflow */
        return add(p, &t, it->name, -1, it->n_part);
    }
    for (; t.part < it->n_part; t.part++)
        if (!add(p, &t, it->name, (long)t.part, 0)) return false;
    return true;
}

static bool add_permuted(struct planner *p, const struct mk_item *it)
{
    const struct mk_convert *c = p->c;
    if (!c->heads.is_permuted || c->model.config.is_gguf == c->to_gguf) return add_item(p, it);
    const size_t n = it->name->kind == MK_NAME_PERMUTED_Q ? c->heads.n_head : c->heads.n_kv_head;
    struct mk_target t = {.make = c->to_gguf ? MK_MAKE_INTERLEAVE : MK_MAKE_SPLIT,
                          .from = it,
                          .n_part = 1,
                          .n_rows = it->part->rows,
                          .n_cols = it->part->cols,
                          .n_group = it->part->rows / n};
    if (t.n_group * n != t.n_rows || t.n_group % 2)
        return mk_fail(p->err, MK_EFORMAT, "%s: layer %ld: %zu rows of q or k are not %zu heads",
                       c->model.tensors.path, it->layer, t.n_rows, n);
    return add(p, &t, it->name, -1, 0);
}

/* ---- DeepSeek's kv_b in its two layouts ----------------------------------------------- */

static bool has_shape(struct planner *p, const struct mk_item *it, size_t rows, size_t cols)
{
    if (it && it->part->rows == rows && it->part->cols == cols) return true;
    return mk_fail(p->err, MK_EFORMAT,
                   "%s: one of attn_kv_b, attn_k_b and attn_v_b is missing or not [%zu, %zu]",
                   p->c->model.tensors.path, rows, cols);
}

static bool add_halves(struct planner *p, const struct mk_item *kv)
{
    const struct mk_heads *h = &p->c->heads;
    const size_t d = h->d_nope + h->d_v;
    const struct mk_target k = {.make = MK_MAKE_K_B,
                                .from = kv,
                                .n_part = 1,
                                .n_rows = h->n_head * h->d_latent,
                                .n_cols = h->d_nope,
                                .n_group = h->d_latent};
    const struct mk_target v = {.make = MK_MAKE_V_B,
                                .from = kv,
                                .n_part = 1,
                                .n_rows = h->n_head * h->d_v,
                                .n_cols = h->d_latent,
                                .n_group = h->d_v};
    return has_shape(p, kv, h->n_head * d, h->d_latent) &&
           add(p, &k, entry(p->c, MK_NAME_K_B), -1, h->n_head) &&
           add(p, &v, entry(p->c, MK_NAME_V_B), -1, h->n_head);
}

static bool add_joined(struct planner *p, const struct mk_item *k, const struct mk_item *v)
{
    const struct mk_heads *h = &p->c->heads;
    const size_t d = h->d_nope + h->d_v;
    const struct mk_target t = {.make = MK_MAKE_KV_B,
                                .from = k,
                                .from2 = v,
                                .n_part = 1,
                                .n_rows = h->n_head * d,
                                .n_cols = h->d_latent,
                                .n_group = d};
    return has_shape(p, k, h->n_head * h->d_latent, h->d_nope) &&
           has_shape(p, v, h->n_head * h->d_v, h->d_latent) &&
           add(p, &t, entry(p->c, MK_NAME_KV_B), -1, 0);
}

static bool add_half(struct planner *p, const struct mk_item *it)
{
    const struct mk_heads *h = &p->c->heads;
    const bool is_k = it->name->kind == MK_NAME_K_B;
    const struct mk_target t = {
        .from = it, .n_part = 1, .n_rows = it->part->rows, .n_cols = it->part->cols};
    return has_shape(p, it, h->n_head * (is_k ? h->d_latent : h->d_v),
                     is_k ? h->d_nope : h->d_latent) &&
           add(p, &t, it->name, -1, h->n_head);
}

/* Files may have both layouts: then the wanted one is copied. */
static bool add_latent(struct planner *p, const struct mk_item *it)
{
    const struct mk_items *all = &p->c->items;
    const struct mk_item *kv = mk_items_get(all, MK_NAME_KV_B, it->layer);
    const struct mk_item *k = mk_items_get(all, MK_NAME_K_B, it->layer);
    const struct mk_item *v = mk_items_get(all, MK_NAME_V_B, it->layer);
    const bool has_halves = k && v;
    if (p->c->is_mla) {
        if (it == kv) return has_halves || add_halves(p, kv);
        return kv && !has_halves ? true : add_half(p, it);
    }
    if (it == kv) return add_item(p, kv);
    return kv || it == v || add_joined(p, k, v);
}

/* ---- all ------------------------------------------------------------------------------ */

static bool add_any(struct planner *p, const struct mk_item *it)
{
    switch (it->name->kind) {
    case MK_NAME_PERMUTED_Q:
    case MK_NAME_PERMUTED_K:
        return add_permuted(p, it);
    case MK_NAME_KV_B:
    case MK_NAME_K_B:
    case MK_NAME_V_B:
        return add_latent(p, it);
    case MK_NAME_ROPE:
        return !p->c->to_gguf || add_item(p, it);
    default:
        return add_item(p, it);
    }
}

/* rope_freqs.weight, which safetensors have as numbers in config.json. */
static bool add_divisors(struct planner *p)
{
    struct mk_convert *c = p->c;
    const struct mk_name *n = entry(c, MK_NAME_ROPE);
    float div[MK_ROPE_MAX_PAIRS];
    if (!n || !c->to_gguf || c->model.config.is_gguf) return true;
    const size_t n_pair = mk_model_rope_divisors(&c->model, div, MK_ROPE_MAX_PAIRS);
    if (n_pair == 0) return true;
    struct mk_target *t = push(p);
    *t = (struct mk_target){.t = {.name = n->gguf, .type = MK_F32, .n_dims = 1, .dims = {n_pair}},
                            .make = MK_MAKE_VALUES,
                            .n_rows = n_pair,
                            .n_cols = 1,
                            .wanted = MK_F32,
                            .values = mk_arena_take(&c->arena, n_pair * sizeof *div)};
    memcpy(t->values, div, n_pair * sizeof *div);
    return measure(p, t);
}

static bool check_recipe(const struct mk_convert *c, struct mk_err *err)
{
    const struct mk_recipe *r = &c->recipe;
    if (r->keeps) return true;
    if (c->to_gguf && mk_quants[r->type].ggml < 0)
        return mk_fail(err, MK_EUSAGE, "--type %s: GGUF has no such type", r->name);
    if (!c->to_gguf && !mk_quants[r->type].safetensors)
        return mk_fail(err, MK_EUSAGE,
                       "--type %s: safetensors has no such type; f32, f16, bf16 and f8 go",
                       r->name);
    return true;
}

bool mk_convert_plan(struct mk_convert *c, int is_mla, struct mk_err *err)
{
    struct planner p = {.c = c, .cap = 64, .err = err, .narrow = MK_BF16};
    if (!check_recipe(c, err) || !mk_items_find(&c->items, &c->model, &c->arena, err)) return false;
    c->heads = mk_model_heads(&c->model);
    c->v = mk_arena_take(&c->arena, p.cap * sizeof *c->v);
    bool has_k_b = false;
    for (size_t i = 0; i < c->items.n; i++) {
        const struct mk_item *it = &c->items.v[i];
        has_k_b = has_k_b || it->name->kind == MK_NAME_K_B;
        p.has_output = p.has_output || is_gguf_name(it->name, "output.weight");
        if (!is_gguf_name(it->name, "token_embd.weight")) continue;
        const enum mk_type e = c->recipe.keeps ? it->part->type : c->recipe.type;
        if (e == MK_F32 || e == MK_F16) p.narrow = e;
    }
    c->is_mla = c->to_gguf && (is_mla < 0 ? has_k_b || !c->model.config.is_gguf : is_mla);
    /* The divisors come where GGUF sources have them: before the layers. */
    for (size_t i = 0; i < c->items.n; i++) {
        const bool is_first = c->items.v[i].layer >= 0 && (i == 0 || c->items.v[i - 1].layer < 0);
        if (is_first && !add_divisors(&p)) return false;
        if (!add_any(&p, &c->items.v[i])) return false;
    }
    return true;
}
