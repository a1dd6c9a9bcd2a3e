/* Values of GGUF metadata: their sizes, how they are read, typed look-ups. */
#include "formats/gguf.h"

#include "formats/int_formats.h"

#include <string.h>

const uint8_t mk_gguf_type_bytes[MK_GGUF_N_TYPES] = {
    [MK_GGUF_U8] = 1,  [MK_GGUF_I8] = 1,  [MK_GGUF_U16] = 2, [MK_GGUF_I16] = 2,
    [MK_GGUF_U32] = 4, [MK_GGUF_I32] = 4, [MK_GGUF_F32] = 4, [MK_GGUF_BOOL] = 1,
    [MK_GGUF_U64] = 8, [MK_GGUF_I64] = 8, [MK_GGUF_F64] = 8,
};

void mk_gguf_load(struct mk_gguf_kv *kv, const uint8_t *p)
{
    union {
        int8_t i8;
        uint16_t u16;
        int16_t i16;
        uint32_t u32;
        int32_t i32;
        float f32;
        uint64_t u64;
        int64_t i64;
        double f64;
    } v = {0};
    memcpy(&v, p, mk_gguf_type_bytes[kv->type]);
    switch (kv->type) {
    case MK_GGUF_I8:
        kv->i = v.i8;
        break;
    case MK_GGUF_U16:
        kv->u = v.u16;
        break;
    case MK_GGUF_I16:
        kv->i = v.i16;
        break;
    case MK_GGUF_U32:
        kv->u = v.u32;
        break;
    case MK_GGUF_I32:
        kv->i = v.i32;
        break;
    case MK_GGUF_F32:
        kv->f = (double)v.f32;
        break;
    case MK_GGUF_U64:
        kv->u = v.u64;
        break;
    case MK_GGUF_I64:
        kv->i = v.i64;
        break;
    case MK_GGUF_F64:
        kv->f = v.f64;
        break;
    default:
        kv->u = *p;
        break; /* U8, BOOL */
    }
}

const struct mk_gguf_kv *mk_gguf_find(const struct mk_gguf *g, const char *key)
{
    for (size_t i = 0; i < g->n_kv; i++)
        if (!strcmp(g->kv[i].key, key)) return &g->kv[i];
    return NULL;
}

bool mk_gguf_u64(const struct mk_gguf *g, const char *key, uint64_t *out)
{
    const struct mk_gguf_kv *kv = mk_gguf_find(g, key);
    if (!kv) return false;
    switch (kv->type) {
    case MK_GGUF_U8:
    case MK_GGUF_U16:
    case MK_GGUF_U32:
    case MK_GGUF_U64:
        break;
    case MK_GGUF_I8:
    case MK_GGUF_I16:
    case MK_GGUF_I32:
    case MK_GGUF_I64:
        if (kv->i < 0) return false;
        break;
    default:
        return false;
    }
    *out = kv->u; /* the same bits when not negative */
    return true;
}

bool mk_gguf_f64(const struct mk_gguf *g, const char *key, double *out)
{
    const struct mk_gguf_kv *kv = mk_gguf_find(g, key);
    if (!kv || (kv->type != MK_GGUF_F32 && kv->type != MK_GGUF_F64)) return false;
    *out = kv->f;
    return true;
}

bool mk_gguf_bool(const struct mk_gguf *g, const char *key, bool *out)
{
    const struct mk_gguf_kv *kv = mk_gguf_find(g, key);
    if (!kv || kv->type != MK_GGUF_BOOL) return false;
    *out = kv->u != 0;
    return true;
}

bool mk_gguf_str(const struct mk_gguf *g, const char *key, struct mk_gguf_str *out)
{
    const struct mk_gguf_kv *kv = mk_gguf_find(g, key);
    if (!kv || kv->type != MK_GGUF_STR) return false;
    *out = kv->str;
    return true;
}

double mk_gguf_at(const struct mk_gguf_kv *kv, size_t i)
{
    struct mk_gguf_kv e = {.type = kv->array.type};
    mk_gguf_load(&e, kv->array.data + i * mk_gguf_type_bytes[e.type]);
    switch (e.type) {
    case MK_GGUF_F32:
    case MK_GGUF_F64:
        return e.f;
    case MK_GGUF_I8:
    case MK_GGUF_I16:
    case MK_GGUF_I32:
    case MK_GGUF_I64:
        return (double)e.i;
    default:
        return (double)e.u;
    }
}
