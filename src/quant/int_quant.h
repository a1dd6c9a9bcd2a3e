#ifndef MK_QUANT_INT_QUANT_H
#define MK_QUANT_INT_QUANT_H
/* What the files of the formats share.  Blocks are read byte by byte: a file may
 * put them at any address, and their numbers are little-endian. */
#include "base/half.h"
#include "quant/quant.h"

/* Of every type its kind gives them to: see quant.c. */
#define Q(ID, name, ggml, st, len, bytes, kind, bias, sub, has_min)    \
    void mk_##name##_decode(float *out, const void *blocks, size_t n); \
    void mk_##name##_encode(void *blocks, const float *x, size_t n);   \
    void mk_##name##_codes(struct mk_codes *out, const void *block);
#include "quant/quant.def"
#undef Q

static inline unsigned mk_get16(const uint8_t *p) { return p[0] | (unsigned)p[1] << 8; }
static inline void mk_put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}
static inline float mk_get_half(const uint8_t *p) { return mk_f16_f32((uint16_t)mk_get16(p)); }
static inline void mk_put_half(uint8_t *p, float x) { mk_put16(p, mk_f32_f16(x)); }

/* Codes are cut into fields of 1, 2 or 4 bits and laid out in rows.  All fields at
 * one shift of a row's bytes are neighbours; the next ones follow a shift higher:
 *
 *   byte l, 0 <= l < row:   | value l + row | value l |      (bits = 4)
 *
 * n values, in rows of row * 8 / bits.  _get ors the fields into q at bit `at`;
 * _put takes them from there. */
static inline void mk_fields_get(uint8_t *q, const uint8_t *b, unsigned n, unsigned row,
                                 unsigned bits, unsigned at)
{
    for (unsigned i = 0; i < n; b += row)
        for (unsigned s = 0; s < 8; s += bits)
            for (unsigned l = 0; l < row; l++, i++)
                q[i] |= (uint8_t)((b[l] >> s & ((1u << bits) - 1)) << at);
}
static inline void mk_fields_put(uint8_t *b, const uint8_t *q, unsigned n, unsigned row,
                                 unsigned bits, unsigned at)
{
    for (unsigned i = 0; i < n; b += row) {
        memset(b, 0, row);
        for (unsigned s = 0; s < 8; s += bits)
            for (unsigned l = 0; l < row; l++, i++)
                b[l] |= (uint8_t)((q[i] >> at & ((1u << bits) - 1)) << s);
    }
}

/* The 12 bytes in which q4_k and q5_k keep eight 6-bit scales and minima. */
void mk_scales6_get(int16_t sc[8], int16_t mn[8], const uint8_t b[12]);
void mk_scales6_put(uint8_t b[12], const int16_t sc[8], const int16_t mn[8]);

/* decode of a type with codes: the formula of quant.h. */
void mk_decode_codes(enum mk_type type, float *out, const void *blocks, size_t n);

/* encode of a type with codes: `fit` chooses codes and scales for one block of
 * cleaned values, `pack` writes them: the inverse of the type's _codes. */
typedef void mk_fit_fn(struct mk_codes *out, const float *x);
typedef void mk_pack_fn(uint8_t *block, const struct mk_codes *c);
void mk_encode_codes(enum mk_type type, void *blocks, const float *x, size_t n, mk_fit_fn *fit,
                     mk_pack_fn *pack);

/* ---- what encoders are made of (fit.c) --------------------------------------- */

/* NaN becomes 0, what is beyond +-most becomes +-most. */
static inline float mk_clean(float x, float most)
{
    if (x > -most) return x < most ? x : most;
    return x <= -most ? -most : 0;
}
/* x rounded to a half; kept finite, and rounded up below the smallest normal one. */
float mk_round_half(float x);

/* How much each of x[0..n) counts in the error. */
void mk_fit_weights(float *w, const float *x, unsigned n);

/* Codes 0..top of x[0..n) on the line  x = scale * (q - bias) + min. */
void mk_fit_round(uint8_t *q, const float *x, unsigned n, float scale, float min, int bias,
                  int top);

/* Whole fits.  S32: codes 0..2*bias-1 without m, or 0..top with. */
void mk_fit_s32(struct mk_codes *c, const float *x, int bias);
void mk_fit_s32_min(struct mk_codes *c, const float *x, int top);
/* S256: the same; sub-scales lie in -sc_bias..sc_bias-1, or with minima 0..sc_top. */
void mk_fit_s256(struct mk_codes *c, const float *x, unsigned sub, int bias, int sc_bias);
void mk_fit_s256_min(struct mk_codes *c, const float *x, unsigned sub, int top, int sc_top);

/* Returns d, and sets integers -limit..limit-1 such that d * sc[j] is near scale[j]. */
float mk_fit_share(int16_t *sc, const float *scale, unsigned n, int limit);

/* Sums of a search run in 16 lanes, which divide every group, so that compilers may
 * use vectors without reordering. */
enum { MK_LANES = 16 };
static inline float mk_lanes_sum(float a[MK_LANES])
{
    for (unsigned l = 0; l < 8; l++) a[l] += a[l + 8];
    for (unsigned l = 0; l < 4; l++) a[l] += a[l + 4];
    return (a[0] + a[2]) + (a[1] + a[3]);
}

/* <x q> and <q q> for the codes of one candidate, see fit.c. */
struct mk_ratio {
    float xq, qq;
};
/* By how much the best scale for these codes lessens the error; no overflow. */
static inline float mk_ratio_gain(struct mk_ratio r) { return r.qq > 0 ? r.xq * (r.xq / r.qq) : 0; }

/* ---- the table of iq4_nl and iq4_xs (iq4.c) ----------------------------------- */

/* The i of codes 128 + mk_iq4_values[i]. */
void mk_iq4_indices(uint8_t *i, const uint8_t *q, unsigned n);
void mk_iq4_fit_s32(struct mk_codes *c, const float *x);
void mk_iq4_fit_s256(struct mk_codes *c, const float *x);
#endif
