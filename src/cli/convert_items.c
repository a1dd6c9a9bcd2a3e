/* The source's tensors, whatever they are called there, as items that both worlds share. */
#include "cli/convert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One tensor, or one expert of a stacked one, before it is sorted into an item. */
struct found {
    const struct mk_name *name;
    const struct mk_tensor *t;
    long layer, expert;
};

struct finder {
    const struct mk_model *m;
    struct mk_arena *arena;
    const struct mk_name *names;
    struct found *v;
    size_t n;
    struct mk_items *out;
};

static int order(const void *pa, const void *pb)
{
    const struct found *a = pa, *b = pb;
    if (a->layer != b->layer) return a->layer < b->layer ? -1 : 1;
    if (a->name != b->name) return a->name < b->name ? -1 : 1;
    return (a->expert > b->expert) - (a->expert < b->expert);
}

/* "NAME_scale_inv" beside an F8 weight NAME belongs to that. */
static const struct mk_tensor *scale_of(const struct mk_model *m, const struct mk_tensor *t)
{
    char name[512];
    snprintf(name, sizeof name, "%s_scale_inv", t->name);
    return t->type == MK_F8_E4M3 ? mk_tensors_find(&m->tensors, name) : NULL;
}

static bool is_scale(const struct mk_model *m, const struct mk_tensor *t)
{
    static const char tail[] = "_scale_inv";
    const size_t n = strlen(t->name), n_tail = sizeof tail - 1;
    if (n <= n_tail || strcmp(t->name + n - n_tail, tail)) return false;
    char name[512];
    snprintf(name, sizeof name, "%.*s", (int)(n - n_tail), t->name);
    const struct mk_tensor *w = mk_tensors_find(&m->tensors, name);
    return w && w->type == MK_F8_E4M3;
}

/* A copy of the embedding that the config says is not used, and layers after the last. */
static bool is_unused(const struct mk_model *m, const struct found *f)
{
    bool is_tied = false;
    if (f->layer >= (long)(m->n_layer + mk_model_has_mtp(m))) return true;
    if (m->config.is_gguf || strcmp(f->name->hf, "lm_head.weight")) return false;
    return mk_config_bool(&m->config, "tie_word_embeddings", NULL, false, &is_tied, NULL) &&
           is_tied;
}

static void collect(struct finder *f)
{
    const struct mk_tensors *list = &f->m->tensors;
    f->v = mk_arena_take(f->arena, (list->n + 1) * sizeof *f->v);
    for (size_t i = 0; i < list->n; i++) {
        const struct mk_tensor *t = &list->list[i];
        struct found e = {.t = t};
        if (is_scale(f->m, t)) continue;
        e.name = mk_name_find(f->names, f->m->config.is_gguf, t->name, &e.layer, &e.expert);
        if (e.name && !is_unused(f->m, &e)) {
            f->v[f->n++] = e;
        } else {
            f->out->n_skipped++;
            f->out->skipped = t->name;
        }
    }
    qsort(f->v, f->n, sizeof *f->v, order);
}

static bool set_scale(const struct finder *f, const struct mk_tensor *t, struct mk_weight *w,
                      struct mk_err *err)
{
    const struct mk_tensor *s = scale_of(f->m, t);
    if (!s) return true;
    const size_t rows = (w->rows + 127) / 128, cols = (w->cols + 127) / 128;
    if (s->type != MK_F32 || s->n_dims != 2 || s->dims[0] != rows || s->dims[1] != cols)
        return mk_fail(err, MK_EFORMAT, "%s: tensor %s is not [%zu, %zu] floats", s->file, s->name,
                       rows, cols);
    w->scale = (const float *)(const void *)s->data;
    w->ld_scale = cols;
    return true;
}

/* The whole tensor as one matrix, or as n_part of them. */
static bool set_parts(const struct finder *f, const struct mk_tensor *t, struct mk_weight *part,
                      size_t n_part, struct mk_err *err)
{
    if (mk_quants[t->type].kind == MK_PLAIN)
        return mk_fail(err, MK_EUNSUPPORTED, "%s: tensor %s holds %s, which is no weight type",
                       t->file, t->name, mk_quants[t->type].name);
    const size_t cols = t->n_dims > 1 ? t->dims[t->n_dims - 1] : 1;
    struct mk_weight w = {.type = t->type, .rows = t->n_values / cols / n_part, .cols = cols};
    if (!mk_type_bytes(t->type, cols, &w.stride))
        return mk_fail(err, MK_EFORMAT, "%s: tensor %s has rows of %zu values, not whole %s blocks",
                       t->file, t->name, cols, mk_quants[t->type].name);
    for (size_t i = 0; i < n_part; i++) {
        part[i] = w;
        part[i].data = t->data + i * w.rows * w.stride;
        if (!set_scale(f, t, &part[i], err)) return false;
    }
    return true;
}

static bool add_tensor(const struct finder *f, const struct found *e, struct mk_err *err)
{
    struct mk_item *item = &f->out->v[f->out->n++];
    const struct mk_tensor *t = e->t;
    const bool is_stacked = e->name->kind == MK_NAME_STACKED;
    const bool is_k_v_b = e->name->kind == MK_NAME_K_B || e->name->kind == MK_NAME_V_B;
    const unsigned most = is_stacked || is_k_v_b ? 3 : 2;
    if (t->n_dims < 1 || t->n_dims > most || (is_stacked && t->n_dims != 3))
        return mk_fail(err, MK_EFORMAT, "%s: tensor %s has %u dims", t->file, t->name, t->n_dims);
    *item = (struct mk_item){.name = e->name, .layer = e->layer, .is_vector = t->n_dims == 1};
    item->n_part = is_stacked ? t->dims[0] : 1;
    item->part = mk_arena_zero(f->arena, item->n_part * sizeof *item->part);
    return set_parts(f, t, item->part, item->n_part, err);
}

/* e[0..n): the experts of one layer, by number. */
static bool add_experts(const struct finder *f, const struct found *e, size_t n, struct mk_err *err)
{
    struct mk_item *item = &f->out->v[f->out->n++];
    *item = (struct mk_item){.name = e->name, .layer = e->layer, .n_part = n};
    item->part = mk_arena_zero(f->arena, n * sizeof *item->part);
    for (size_t i = 0; i < n; i++) {
        const struct mk_tensor *t = e[i].t;
        if (e[i].expert != (long)i)
            return mk_fail(err, MK_EFORMAT, "%s: tensor %s: expert %zu is missing or there twice",
                           t->file, t->name, i);
        if (t->n_dims != 2 || t->dims[0] != e->t->dims[0] || t->dims[1] != e->t->dims[1])
            return mk_fail(err, MK_EFORMAT, "%s: tensor %s has another shape than expert 0",
                           t->file, t->name);
        if (!set_parts(f, t, &item->part[i], 1, err)) return false;
    }
    return true;
}

bool mk_items_find(struct mk_items *out, const struct mk_model *m, struct mk_arena *arena,
                   struct mk_err *err)
{
    struct finder f = {.m = m, .arena = arena, .names = mk_model_names(m), .out = out};
    *out = (struct mk_items){0};
    collect(&f);
    out->v = mk_arena_zero(arena, (f.n + 1) * sizeof *out->v);
    for (size_t i = 0, n; i < f.n; i += n) {
        const struct found *e = &f.v[i];
        for (n = 1; i + n < f.n && e[n].layer == e->layer && e[n].name == e->name;) n++;
        if (e->expert >= 0 ? !add_experts(&f, e, n, err) : !add_tensor(&f, e, err)) return false;
        if (e->expert < 0 && n > 1)
            return mk_fail(err, MK_EFORMAT, "%s: tensors %s and %s are the same", e->t->file,
                           e->t->name, e[1].t->name);
    }
    return true;
}

const struct mk_item *mk_items_get(const struct mk_items *items, enum mk_name_kind kind, long layer)
{
    for (size_t i = 0; i < items->n; i++)
        if (items->v[i].name->kind == kind && items->v[i].layer == layer) return &items->v[i];
    return NULL;
}
