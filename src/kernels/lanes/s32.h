#ifndef MK_KERNELS_LANES_S32_H
#define MK_KERNELS_LANES_S32_H
/* Types of kind S32: 32 values, 8 quads, to a block.  Their nibbles are all stored
 * alike: the low ones of 16 bytes are values 0..15, the high ones 16..31. */
#include "kernels/lanes/unpack.h"

static void block_q4_0(struct mk_panel *p, const uint8_t *const row[LANES], size_t at, size_t g,
                       unsigned r)
{
    vu b[4];
    put_f(&p->d[g][r], half_lo(load1(row, at)));
    load4(b, row, at + 2);
    UNROLL
    for (size_t i = 0; i < 4; i++) {
        put_q(p, 8 * g + i, r, b[i] & NIBBLES);
        put_q(p, 8 * g + 4 + i, r, b[i] >> 4 & NIBBLES);
    }
}

static void block_q4_1(struct mk_panel *p, const uint8_t *const row[LANES], size_t at, size_t g,
                       unsigned r)
{
    vu b[4];
    const vu dm = load1(row, at);
    put_f(&p->d[g][r], half_lo(dm));
    put_f(&p->m[g][r], half_lo(dm >> 16));
    load4(b, row, at + 4);
    UNROLL
    for (size_t i = 0; i < 4; i++) {
        put_q(p, 8 * g + i, r, b[i] & NIBBLES);
        put_q(p, 8 * g + 4 + i, r, b[i] >> 4 & NIBBLES);
    }
}

/* Bits 0..3 become bit 4 of bytes 0..3: the product holds four copies, 7 bits apart. */
INLINE vu fifth_bits(vu bits) { return (bits & 0xfu) * 0x02040810u & 0x10101010u; }

INLINE void put_5_bits(struct mk_panel *p, const uint8_t *const row[LANES], size_t at, size_t g,
                       unsigned r)
{
    vu b[4];
    const vu high = load1(row, at); /* bit i is the fifth of value i */
    load4(b, row, at + 4);
    UNROLL
    for (size_t i = 0; i < 4; i++) {
        put_q(p, 8 * g + i, r, (b[i] & NIBBLES) | fifth_bits(high >> 4 * i));
        put_q(p, 8 * g + 4 + i, r, (b[i] >> 4 & NIBBLES) | fifth_bits(high >> (16 + 4 * i)));
    }
}

static void block_q5_0(struct mk_panel *p, const uint8_t *const row[LANES], size_t at, size_t g,
                       unsigned r)
{
    put_f(&p->d[g][r], half_lo(load1(row, at)));
    put_5_bits(p, row, at + 2, g, r);
}

static void block_q5_1(struct mk_panel *p, const uint8_t *const row[LANES], size_t at, size_t g,
                       unsigned r)
{
    const vu dm = load1(row, at);
    put_f(&p->d[g][r], half_lo(dm));
    put_f(&p->m[g][r], half_lo(dm >> 16));
    put_5_bits(p, row, at + 4, g, r);
}

static void block_q8_0(struct mk_panel *p, const uint8_t *const row[LANES], size_t at, size_t g,
                       unsigned r)
{
    put_f(&p->d[g][r], half_lo(load1(row, at)));
    UNROLL
    for (size_t half = 0; half < 2; half++) {
        vu b[4];
        load4(b, row, at + 2 + 16 * half);
        UNROLL
        for (size_t i = 0; i < 4; i++) put_q(p, 8 * g + 4 * half + i, r, b[i] ^ 0x80808080u);
    }
}

INLINE void put_table(struct mk_panel *p, size_t quad, unsigned r, const vu b[4],
                      const uint8_t table[16])
{
    UNROLL
    for (size_t i = 0; i < 4; i++) {
        put_q(p, quad + i, r, look_up(table, b[i] & NIBBLES));
        put_q(p, quad + 4 + i, r, look_up(table, b[i] >> 4 & NIBBLES));
    }
}

/* The sixteen values of the format, plus 128. */
static const uint8_t iq4_codes[16] = {1,   24,  45,  63,  79,  93,  106, 118,
                                      129, 141, 153, 166, 181, 197, 217, 241};

static void block_iq4_nl(struct mk_panel *p, const uint8_t *const row[LANES], size_t at, size_t g,
                         unsigned r)
{
    vu b[4];
    put_f(&p->d[g][r], half_lo(load1(row, at)));
    load4(b, row, at + 2);
    put_table(p, 8 * g, r, b, iq4_codes);
}

/* 2^(e - 128): half the block's scale, as the codes are twice the values.  The two
 * lowest exponents give subnormal floats, the highest means NaN. */
INLINE vf e8m0_half(vu e)
{
    const vu is_sub = (vu)(e < 2u), is_nan = (vu)(e == 255u);
    const vu normal = (e - 1u) << 23, sub = (e + 1u) << 21;
    return (vf)((normal & ~is_sub) | (sub & is_sub) | is_nan);
}

static void block_mxfp4(struct mk_panel *p, const uint8_t *const row[LANES], size_t at, size_t g,
                        unsigned r)
{
    /* Twice 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives, plus 12. */
    static const uint8_t codes[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};
    vu b[4];
    put_f(&p->d[g][r], e8m0_half(load1(row, at) & 0xffu));
    load4(b, row, at + 1);
    put_table(p, 8 * g, r, b, codes);
}

UNPACK(Q4_0, q4_0)
UNPACK(Q4_1, q4_1)
UNPACK(Q5_0, q5_0)
UNPACK(Q5_1, q5_1)
UNPACK(Q8_0, q8_0)
UNPACK(IQ4_NL, iq4_nl)
UNPACK(MXFP4, mxfp4)

static void set_unpack_s32(struct mk_kernels *k)
{
    k->unpack[MK_Q4_0] = unpack_q4_0;
    k->unpack[MK_Q4_1] = unpack_q4_1;
    k->unpack[MK_Q5_0] = unpack_q5_0;
    k->unpack[MK_Q5_1] = unpack_q5_1;
    k->unpack[MK_Q8_0] = unpack_q8_0;
    k->unpack[MK_IQ4_NL] = unpack_iq4_nl;
    k->unpack[MK_MXFP4] = unpack_mxfp4;
}
#endif
