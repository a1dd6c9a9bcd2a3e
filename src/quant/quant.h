#ifndef MK_QUANT_QUANT_H
#define MK_QUANT_QUANT_H
/* Number formats of weights.  A type is a line in quant.def and a file NAME.c
 * that says in plain C what its bytes mean; that is all a type needs to load,
 * convert and run.  Instruction sets may add fast paths in kernels/. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mk_type {
#define Q(ID, name, ggml, st, len, bytes, kind, bias, sub, has_min) MK_##ID,
#include "quant/quant.def"
#undef Q
    MK_N_TYPES
};

/* How a weight w is made of an unsigned code q:
 *   PLAIN  numbers that are not weights (indices, doubles): no arithmetic here
 *   FLOAT  w is a float
 *   S32    w = d * (q - bias) + m                    float d, m for each 32 values
 *   S256   w = d * sc[j] * (q - bias) - m * mn[j]    float d, m for each 256 values,
 *          integer sc, mn for each `sub` of them, j = i / sub
 * m and mn are present when has_min is set, else zero. */
enum mk_kind { MK_PLAIN, MK_FLOAT, MK_S32, MK_S256 };

/* One S32 or S256 group taken apart. */
struct mk_codes {
    uint8_t q[256];         /* first 32 or all */
    float d, m;             /* of the formulas above */
    int16_t sc[16], mn[16]; /* S256: 256 / sub of them */
};

struct mk_quant {
    const char *name;
    int ggml;
    const char *safetensors;
    size_t block_len, block_bytes;
    enum mk_kind kind;
    int bias, sub;
    bool has_min;
    /* n values, a multiple of block_len.  decode and encode are NULL for PLAIN
     * types except F64.  encode never fails: NaN becomes 0, infinities the largest value. */
    void (*decode)(float *out, const void *blocks, size_t n);
    void (*encode)(void *blocks, const float *x, size_t n);
    /* S32, S256: one group (one block). */
    void (*codes)(struct mk_codes *out, const void *block);
};

extern const struct mk_quant mk_quants[MK_N_TYPES];

/* The 16 values of iq4_nl and iq4_xs; a code is one plus 128. */
extern const int8_t mk_iq4_values[16];

/* -1 when there is no such type. */
int mk_type_of_ggml(uint32_t ggml);
int mk_type_of_safetensors(const char *dtype);
int mk_type_of_name(const char *name); /* case-insensitive */

/* Bytes of n values; false when n is not a multiple of the block length or the
 * product overflows. */
bool mk_type_bytes(enum mk_type type, size_t n, size_t *bytes);
#endif
