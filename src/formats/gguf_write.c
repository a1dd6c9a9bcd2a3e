/* Writing GGUF version 3: metadata is collected in memory, the rest goes straight to the
 * file. */
#include "formats/gguf.h"

#include "base/str.h"
#include "formats/int_formats.h"
#include "formats/int_slots.h"

#include <stdlib.h>
#include <string.h>

enum { VERSION = 3 };

struct mk_gguf_writer {
    struct mk_slots slots;
    struct mk_str meta;
    uint64_t n_kv, alignment;
};

static void add_bytes(struct mk_str *s, const void *bytes, size_t n) { mk_str_append(s, bytes, n); }
static void add_u32(struct mk_str *s, uint32_t v) { add_bytes(s, &v, sizeof v); }
static void add_u64(struct mk_str *s, uint64_t v) { add_bytes(s, &v, sizeof v); }
static void add_str(struct mk_str *s, const char *text, size_t n)
{
    add_u64(s, n);
    add_bytes(s, text, n);
}

bool mk_gguf_writer_open(struct mk_gguf_writer **out, const char *path, struct mk_err *err)
{
    struct mk_gguf_writer *w = mk_alloc(sizeof *w);
    if (!mk_out_open(&w->slots.out, path, err)) {
        free(w);
        return false;
    }
    w->alignment = MK_GGUF_ALIGNMENT;
    *out = w;
    return true;
}

/* ---- metadata ------------------------------------------------------------------ */

static void add_array(struct mk_str *s, const struct mk_gguf_kv *kv)
{
    add_u32(s, kv->array.type);
    add_u64(s, kv->array.n);
    if (kv->array.type != MK_GGUF_STR)
        add_bytes(s, kv->array.data, kv->array.n * mk_gguf_type_bytes[kv->array.type]);
    else
        for (size_t i = 0; i < kv->array.n; i++)
            add_str(s, kv->array.strs[i].s, kv->array.strs[i].n);
}

void mk_gguf_put_kv(struct mk_gguf_writer *w, const struct mk_gguf_kv *kv)
{
    struct mk_str *s = &w->meta;
    add_str(s, kv->key, strlen(kv->key));
    add_u32(s, kv->type);
    const float f = kv->type == MK_GGUF_F32 ? (float)kv->f : 0;
    switch (kv->type) {
    case MK_GGUF_STR:
        add_str(s, kv->str.s, kv->str.n);
        break;
    case MK_GGUF_ARRAY:
        add_array(s, kv);
        break;
    case MK_GGUF_F32:
        add_bytes(s, &f, sizeof f);
        break;
    case MK_GGUF_F64:
        add_bytes(s, &kv->f, sizeof kv->f);
        break;
    default:
        add_bytes(s, &kv->u, mk_gguf_type_bytes[kv->type]);
        break; /* low bytes first */
    }
    w->n_kv++;
    if (!strcmp(kv->key, "general.alignment")) w->alignment = kv->u;
}

void mk_gguf_put_u32(struct mk_gguf_writer *w, const char *key, uint32_t v)
{
    mk_gguf_put_kv(w, &(struct mk_gguf_kv){.key = key, .type = MK_GGUF_U32, .u = v});
}

void mk_gguf_put_u64(struct mk_gguf_writer *w, const char *key, uint64_t v)
{
    mk_gguf_put_kv(w, &(struct mk_gguf_kv){.key = key, .type = MK_GGUF_U64, .u = v});
}

void mk_gguf_put_f32(struct mk_gguf_writer *w, const char *key, float v)
{
    mk_gguf_put_kv(w, &(struct mk_gguf_kv){.key = key, .type = MK_GGUF_F32, .f = (double)v});
}

void mk_gguf_put_bool(struct mk_gguf_writer *w, const char *key, bool v)
{
    mk_gguf_put_kv(w, &(struct mk_gguf_kv){.key = key, .type = MK_GGUF_BOOL, .u = v});
}

void mk_gguf_put_str(struct mk_gguf_writer *w, const char *key, const char *s, size_t n)
{
    mk_gguf_put_kv(w, &(struct mk_gguf_kv){.key = key, .type = MK_GGUF_STR, .str = {s, n}});
}

static void put_array(struct mk_gguf_writer *w, const char *key, enum mk_gguf_type type,
                      const void *data, const struct mk_gguf_str *strs, size_t n)
{
    const struct mk_gguf_kv kv = {.key = key,
                                  .type = MK_GGUF_ARRAY,
                                  .array = {.type = type, .n = n, .data = data, .strs = strs}};
    mk_gguf_put_kv(w, &kv);
}

void mk_gguf_put_strs(struct mk_gguf_writer *w, const char *key, const struct mk_gguf_str *s,
                      size_t n)
{
    put_array(w, key, MK_GGUF_STR, NULL, s, n);
}

void mk_gguf_put_i32s(struct mk_gguf_writer *w, const char *key, const int32_t *v, size_t n)
{
    put_array(w, key, MK_GGUF_I32, v, NULL, n);
}

void mk_gguf_put_f32s(struct mk_gguf_writer *w, const char *key, const float *v, size_t n)
{
    put_array(w, key, MK_GGUF_F32, v, NULL, n);
}

/* ---- directory and data -------------------------------------------------------- */

/* A scalar becomes one dim of 1. */
static void add_tensor(struct mk_str *s, const struct mk_tensor *t, uint64_t offset)
{
    const unsigned n = t->n_dims ? t->n_dims : 1;
    add_str(s, t->name, strlen(t->name));
    add_u32(s, n);
    for (unsigned i = 0; i < n; i++) add_u64(s, t->n_dims ? t->dims[n - 1 - i] : 1);
    add_u32(s, (uint32_t)mk_quants[t->type].ggml);
    add_u64(s, offset);
}

static bool write_head(struct mk_gguf_writer *w, const struct mk_tensor *list, struct mk_err *err)
{
    struct mk_str s = {0};
    struct mk_slots *slots = &w->slots;
    uint64_t at = 0;
    mk_str_add(&s, "GGUF");
    add_u32(&s, VERSION);
    add_u64(&s, slots->n);
    add_u64(&s, w->n_kv);
    add_bytes(&s, mk_str_c(&w->meta), w->meta.len);
    for (size_t i = 0; i < slots->n; i++) {
        add_tensor(&s, &list[i], at);
        slots->v[i].at = at;
        at = (at + slots->v[i].n_bytes + w->alignment - 1) & ~(w->alignment - 1);
    }
    const bool ok =
        mk_out_write(&slots->out, s.data, s.len, err) && mk_out_pad(&slots->out, w->alignment, err);
    for (size_t i = 0; i < slots->n; i++) slots->v[i].at += slots->out.pos;
    mk_str_release(&s);
    return ok;
}

bool mk_gguf_writer_tensors(struct mk_gguf_writer *w, const struct mk_tensor *list, size_t n,
                            struct mk_err *err)
{
    const char *file = w->slots.out.path;
    if (!mk_gguf_alignment_ok(w->alignment))
        return mk_fail(err, MK_EFORMAT, "%s: general.alignment %llu is not a power of two", file,
                       (unsigned long long)w->alignment);
    for (size_t i = 0; i < n; i++)
        if (mk_quants[list[i].type].ggml < 0)
            return mk_fail(err, MK_EUNSUPPORTED, "%s: tensor %s: GGUF has no type %s", file,
                           mk_show_str(list[i].name).s, mk_quants[list[i].type].name);
    return mk_slots_set(&w->slots, list, n, err) && write_head(w, list, err);
}

bool mk_gguf_writer_add(struct mk_gguf_writer *w, const void *bytes, size_t n, struct mk_err *err)
{
    return mk_slots_add(&w->slots, bytes, n, err);
}

bool mk_gguf_writer_close(struct mk_gguf_writer *w, struct mk_err *err)
{
    struct mk_slots *s = &w->slots;
    const bool ok = mk_slots_full(s, err) && mk_out_pad(&s->out, w->alignment, err) &&
                    mk_out_close(&s->out, err);
    mk_gguf_writer_abandon(w);
    return ok;
}

void mk_gguf_writer_abandon(struct mk_gguf_writer *w)
{
    if (!w) return;
    mk_slots_release(&w->slots);
    mk_str_release(&w->meta);
    free(w);
}
