#ifndef MK_KERNELS_LANES_FLOATS_H
#define MK_KERNELS_LANES_FLOATS_H
/* Types of kind FLOAT: 16 bytes of each row at a time, then what is left of the rows
 * from a copy that zeros fill up. */
#include "kernels/lanes/unpack.h"

/* 16 bytes of LANES rows to values k.. of the panel. */
typedef void floats_fn(struct mk_panel *p, size_t k, unsigned r, const vu b[4]);

static void floats_f32(struct mk_panel *p, size_t k, unsigned r, const vu b[4])
{
    UNROLL
    for (size_t i = 0; i < 4; i++) put_f(&p->f[k + i][r], (vf)b[i]);
}

static void floats_f16(struct mk_panel *p, size_t k, unsigned r, const vu b[4])
{
    UNROLL
    for (size_t i = 0; i < 4; i++) {
        put_f(&p->f[k + 2 * i][r], half_lo(b[i]));
        put_f(&p->f[k + 2 * i + 1][r], half_lo(b[i] >> 16));
    }
}

INLINE void put_bf16(struct mk_panel *p, size_t k_low, size_t k_high, unsigned r, vu pair)
{
    put_f(&p->f[k_low][r], (vf)(pair << 16));
    put_f(&p->f[k_high][r], (vf)(pair & 0xffff0000u));
}

static void floats_bf16(struct mk_panel *p, size_t k, unsigned r, const vu b[4])
{
    UNROLL
    for (size_t i = 0; i < 4; i++) put_bf16(p, k + 2 * i, k + 2 * i + 1, r, b[i]);
}

/* e4m3 in 16-bit lanes to bf16, which holds all of it: the exponent is moved from bias 7
 * to 127.  For the subnormals, m * 2^-9 with m < 8, a table of high and low bytes has
 * what must then be added; it is looked up for every m + 0x78, as look_up gives 0 where
 * that has its top bit set. */
INLINE vu e4m3_bf16(vu m, vu sign)
{
    static const uint8_t subnormal[16] = {0xc4, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                          0x00, 0xf0, 0x60, 0x90, 0xc0, 0xd0, 0xe0, 0xf0};
    const vu index = (vu)((vh)(m + 0x00780078u) * 0x0101u) ^ 0x08000800u;
    const vu normal = (m << 4) + 0x3c003c00u, is_nan = (vu)((vh)m == 0x7f);
    const vu sum = (vu)((vh)normal + (vh)look_up(subnormal, index));
    return sum | is_nan | sign;
}

/* Bytes 0 and 2, and 1 and 3, of each dword. */
INLINE vu even_f8(vu b) { return e4m3_bf16(b & 0x007f007fu, (b & 0x00800080u) << 8); }
INLINE vu odd_f8(vu b) { return e4m3_bf16(b >> 8 & 0x007f007fu, b & 0x80008000u); }

static void floats_f8_e4m3(struct mk_panel *p, size_t k, unsigned r, const vu b[4])
{
    UNROLL
    for (size_t i = 0; i < 4; i++, k += 4) {
        const vu even = even_f8(b[i]), odd = odd_f8(b[i]);
        put_bf16(p, k, k + 2, r, even);
        put_bf16(p, k + 1, k + 3, r, odd);
    }
}

INLINE void floats_tail(floats_fn *floats, struct mk_panel *p, const uint8_t *const row[LANES],
                        size_t at, size_t n_bytes, size_t k, unsigned r)
{
    uint8_t copy[LANES][16] = {{0}};
    const uint8_t *to[LANES];
    vu b[4];
    UNROLL
    for (unsigned i = 0; i < LANES; i++) to[i] = memcpy(copy[i], row[i] + at, n_bytes);
    load4(b, to, 0);
    floats(p, k, r, b);
}

INLINE void unpack_floats(enum mk_type type, floats_fn *floats, struct mk_panel *p,
                          const uint8_t *rows, size_t stride, unsigned n_rows, size_t n_k)
{
    const uint8_t *row[MK_PANEL_ROWS];
    const size_t size = mk_quants[type].block_bytes, n = n_k * size;
    p->n_k = n_k;
    p->quant = &mk_quants[type];
    row_pointers(row, rows, stride, n_rows);
    for (unsigned r = 0; r < MK_PANEL_ROWS; r += LANES) {
        size_t at = 0;
        for (; at + 16 <= n; at += 16) {
            vu b[4];
            load4(b, row + r, at);
            floats(p, at / size, r, b);
        }
        if (at < n) floats_tail(floats, p, row + r, at, n - at, at / size, r);
    }
    for (unsigned r = 0; r < MK_PANEL_ROWS; r++) {
        for (size_t g = 0; g * 128 < n_k; g++) p->d[g][r] = r < n_rows ? 1.0f : 0.0f;
        for (size_t k = 0; r >= n_rows && k < n_k; k++) p->f[k][r] = 0.0f;
    }
}

#define UNPACK_FLOATS(ID, name)                                                       \
    static void unpack_##name(struct mk_panel *p, const uint8_t *rows, size_t stride, \
                              unsigned n_rows, size_t n_k)                            \
    {                                                                                 \
        unpack_floats(MK_##ID, floats_##name, p, rows, stride, n_rows, n_k);          \
    }

UNPACK_FLOATS(F32, f32)
UNPACK_FLOATS(F16, f16)
UNPACK_FLOATS(BF16, bf16)
UNPACK_FLOATS(F8_E4M3, f8_e4m3)

/* ---- panels of pairs -------------------------------------------------------------- */

static void pairs_bf16(struct mk_panel *p, size_t k, unsigned r, const vu b[4])
{
    UNROLL
    for (size_t i = 0; i < 4; i++) memcpy(p->w[k / 2 + i][r], &b[i], sizeof b[i]);
}

static void pairs_f8_e4m3(struct mk_panel *p, size_t k, unsigned r, const vu b[4])
{
    UNROLL
    for (size_t i = 0; i < 4; i++) {
        const vu even = even_f8(b[i]), odd = odd_f8(b[i]);
        const vu pair[2] = {(even & 0xffffu) | odd << 16, even >> 16 | (odd & 0xffff0000u)};
        memcpy(p->w[k / 2 + 2 * i][r], &pair[0], sizeof pair[0]);
        memcpy(p->w[k / 2 + 2 * i + 1][r], &pair[1], sizeof pair[1]);
    }
}

INLINE void unpack_pairs(enum mk_type type, floats_fn *pairs, struct mk_panel *p,
                         const uint8_t *rows, size_t stride, unsigned n_rows, size_t n_k)
{
    const uint8_t *row[MK_PANEL_ROWS];
    const size_t size = mk_quants[type].block_bytes;
    p->n_k = n_k;
    p->quant = &mk_quants[type];
    row_pointers(row, rows, stride, n_rows);
    for (unsigned r = 0; r < MK_PANEL_ROWS; r += LANES)
        for (size_t at = 0; at < n_k * size; at += 16) {
            vu b[4];
            load4(b, row + r, at);
            pairs(p, at / size, r, b);
        }
    for (unsigned r = 0; r < MK_PANEL_ROWS; r++) {
        for (size_t g = 0; g * 128 < n_k; g++) p->d[g][r] = r < n_rows ? 1.0f : 0.0f;
        for (size_t k = 0; r >= n_rows && k < n_k; k += 2)
            p->w[k / 2][r][0] = p->w[k / 2][r][1] = 0;
    }
}

#define UNPACK_PAIRS(ID, name)                                                              \
    static void unpack_pairs_##name(struct mk_panel *p, const uint8_t *rows, size_t stride, \
                                    unsigned n_rows, size_t n_k)                            \
    {                                                                                       \
        unpack_pairs(MK_##ID, pairs_##name, p, rows, stride, n_rows, n_k);                  \
    }

UNPACK_PAIRS(BF16, bf16)
UNPACK_PAIRS(F8_E4M3, f8_e4m3)

static void set_unpack_floats(struct mk_kernels *k)
{
    k->unpack_pairs[MK_BF16] = unpack_pairs_bf16;
    k->unpack_pairs[MK_F8_E4M3] = unpack_pairs_f8_e4m3;
    k->unpack[MK_F32] = unpack_f32;
    k->unpack[MK_F16] = unpack_f16;
    k->unpack[MK_BF16] = unpack_bf16;
    k->unpack[MK_F8_E4M3] = unpack_f8_e4m3;
}
#endif
