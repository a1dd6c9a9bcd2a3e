/* The table of types, made from quant.def, and its look-ups. */
#include "quant/quant.h"

#include "base/mem.h"
#include "quant/int_quant.h"

#include <string.h>
#include <strings.h>

/* The functions of a type follow from its kind; F64 is the one PLAIN type with any. */
#define ONLY_F64(ID, fn)      (MK_##ID == MK_F64 ? mk_f64_##fn : NULL)
#define FUNCS_PLAIN(ID, name) .decode = ONLY_F64(ID, decode), .encode = ONLY_F64(ID, encode)
#define FUNCS_FLOAT(ID, name) .decode = mk_##name##_decode, .encode = mk_##name##_encode
#define FUNCS_S32(ID, name)   FUNCS_FLOAT(ID, name), .codes = mk_##name##_codes
#define FUNCS_S256(ID, name)  FUNCS_S32(ID, name)

const struct mk_quant mk_quants[MK_N_TYPES] = {
#define Q(ID, id, type, st, len, bytes, k, offset, n_sub, min) \
    [MK_##ID] = {.name = #id,                                  \
                 .ggml = type,                                 \
                 .safetensors = st,                            \
                 .block_len = len,                             \
                 .block_bytes = bytes,                         \
                 .kind = MK_##k,                               \
                 .bias = offset,                               \
                 .sub = n_sub,                                 \
                 .has_min = min,                               \
                 FUNCS_##k(ID, id)},
#include "quant/quant.def"
#undef Q
};

int mk_type_of_ggml(uint32_t ggml)
{
    for (int t = 0; t < MK_N_TYPES; t++)
        if (mk_quants[t].ggml >= 0 && (uint32_t)mk_quants[t].ggml == ggml) return t;
    return -1;
}

int mk_type_of_safetensors(const char *dtype)
{
    for (int t = 0; t < MK_N_TYPES; t++)
        if (mk_quants[t].safetensors && !strcmp(mk_quants[t].safetensors, dtype)) return t;
    return -1;
}

int mk_type_of_name(const char *name)
{
    for (int t = 0; t < MK_N_TYPES; t++)
        if (!strcasecmp(mk_quants[t].name, name)) return t;
    return -1;
}

bool mk_type_bytes(enum mk_type type, size_t n, size_t *bytes)
{
    const struct mk_quant *t = &mk_quants[type];
    size_t size;
    if (n % t->block_len != 0 || !mk_mul(n / t->block_len, t->block_bytes, &size)) return false;
    *bytes = size;
    return true;
}
