#ifndef MK_KERNELS_LANES_S256_H
#define MK_KERNELS_LANES_S256_H
/* Types of kind S256: 256 values, 64 quads, to a block; a panel has their sub-scales times their
 * scale.  Byte offsets are those of the formats' blocks, drawn in quant/NAME.c. */
#include "kernels/lanes/s32.h"

/* Scales f times the four bytes of each lane, less `less`. */
INLINE void put_bytes(float (*to)[MK_PANEL_ROWS], unsigned r, vf f, vu v, int less)
{
    UNROLL
    for (unsigned i = 0; i < 4; i++)
        put_f(&to[i][r], f * __builtin_convertvector((vi)byte_of(v, i) - less, vf));
}

static void block_q2_k(struct mk_panel *p, const uint8_t *const row[LANES], size_t at, size_t g,
                       unsigned r)
{
    vu b[4];
    const vu dm = load1(row, at + 80);
    const vf d = half_lo(dm), m = -half_lo(dm >> 16);
    load4(b, row, at);
    UNROLL
    for (size_t i = 0; i < 4; i++) {
        put_bytes(&p->d[16 * g + 4 * i], r, d, b[i] & NIBBLES, 0);
        put_bytes(&p->m[16 * g + 4 * i], r, m, b[i] >> 4 & NIBBLES, 0);
    }
    UNROLL
    for (size_t j = 0; j < 4; j++) { /* 16 bytes: 16 values of each of 4 shifts */
        load4(b, row, at + 16 + 16 * j);
        const size_t quad = 64 * g + 32 * (j / 2) + 4 * (j % 2);
        UNROLL
        for (size_t s = 0; s < 4; s++) {
            UNROLL
            for (size_t i = 0; i < 4; i++)
                put_q(p, quad + 8 * s + i, r, b[i] >> 2 * s & 0x03030303u);
        }
    }
}

/* Sixteen 6-bit scales: low nibbles in two words, as bytes 0..7 and, shifted, 8..15;
 * then four fields of high bits in the third, and their scale. */
INLINE void scales_q3_k(struct mk_panel *p, const uint8_t *const row[LANES], size_t at, size_t g,
                        unsigned r)
{
    const vu a = load1(row, at), b = load1(row, at + 4), c = load1(row, at + 8);
    const vf f = half_lo(load1(row, at + 10) >> 16);
    float(*d)[MK_PANEL_ROWS] = &p->d[16 * g];
    put_bytes(d, r, f, (a & NIBBLES) | (c << 4 & 0x30303030u), 32);
    put_bytes(d + 4, r, f, (b & NIBBLES) | (c << 2 & 0x30303030u), 32);
    put_bytes(d + 8, r, f, (a >> 4 & NIBBLES) | (c & 0x30303030u), 32);
    put_bytes(d + 12, r, f, (b >> 4 & NIBBLES) | (c >> 2 & 0x30303030u), 32);
}

static void block_q3_k(struct mk_panel *p, const uint8_t *const row[LANES], size_t at, size_t g,
                       unsigned r)
{
    vu high[2][4], b[4];
    scales_q3_k(p, row, at + 96, g, r);
    load4(high[0], row, at);
    load4(high[1], row, at + 16);
    UNROLL
    for (size_t j = 0; j < 4; j++) {
        load4(b, row, at + 32 + 16 * j);
        const size_t quad = 64 * g + 32 * (j / 2) + 4 * (j % 2);
        UNROLL
        for (size_t s = 0; s < 4; s++) {
            UNROLL
            for (size_t i = 0; i < 4; i++) {
                const vu bit = high[j % 2][i] >> (4 * (j / 2) + s) & 0x01010101u;
                put_q(p, quad + 8 * s + i, r, (b[i] >> 2 * s & 0x03030303u) | bit << 2);
            }
        }
    }
}

/* The first 16 bytes of q4_k and q5_k: d and dmin, then eight 6-bit scales and eight
 * 6-bit minima: the first four of each whole, the others as nibbles whose two high
 * bits lie above the first four. */
INLINE void scales_6_bit(struct mk_panel *p, const uint8_t *const row[LANES], size_t at, size_t g,
                         unsigned r)
{
    vu b[4];
    load4(b, row, at);
    const vf d = half_lo(b[0]), m = -half_lo(b[0] >> 16);
    put_bytes(&p->d[8 * g], r, d, b[1] & 0x3f3f3f3fu, 0);
    put_bytes(&p->m[8 * g], r, m, b[2] & 0x3f3f3f3fu, 0);
    put_bytes(&p->d[8 * g + 4], r, d, (b[3] & NIBBLES) | (b[1] >> 2 & 0x30303030u), 0);
    put_bytes(&p->m[8 * g + 4], r, m, (b[3] >> 4 & NIBBLES) | (b[2] >> 2 & 0x30303030u), 0);
}

static void block_q4_k(struct mk_panel *p, const uint8_t *const row[LANES], size_t at, size_t g,
                       unsigned r)
{
    scales_6_bit(p, row, at, g, r);
    UNROLL
    for (size_t j = 0; j < 8; j++) { /* 32 bytes: 32 low, then 32 high nibbles */
        vu b[4];
        load4(b, row, at + 16 + 16 * j);
        const size_t quad = 64 * g + 16 * (j / 2) + 4 * (j % 2);
        UNROLL
        for (size_t i = 0; i < 4; i++) {
            put_q(p, quad + i, r, b[i] & NIBBLES);
            put_q(p, quad + 8 + i, r, b[i] >> 4 & NIBBLES);
        }
    }
}

static void block_q5_k(struct mk_panel *p, const uint8_t *const row[LANES], size_t at, size_t g,
                       unsigned r)
{
    scales_6_bit(p, row, at, g, r);
    UNROLL
    for (size_t half = 0; half < 2; half++) {
        vu high[4], b[4]; /* bit j of a byte of high: the fifth of the j-th 32 values */
        load4(high, row, at + 16 + 16 * half);
        UNROLL
        for (size_t j = 0; j < 4; j++) {
            load4(b, row, at + 48 + 32 * j + 16 * half);
            const size_t quad = 64 * g + 16 * j + 4 * half;
            UNROLL
            for (size_t i = 0; i < 4; i++) {
                const vu h = high[i] >> 2 * j;
                put_q(p, quad + i, r, (b[i] & NIBBLES) | (h & 0x01010101u) << 4);
                put_q(p, quad + 8 + i, r, (b[i] >> 4 & NIBBLES) | (h & 0x02020202u) << 3);
            }
        }
    }
}

static void block_q6_k(struct mk_panel *p, const uint8_t *const row[LANES], size_t at, size_t g,
                       unsigned r)
{
    const vu high_bits = (vu){0} + 0x30303030u;
    vu a[4], b[4], h[4];
    const vf d = half_lo(load1(row, at + 206) >> 16);
    load4(a, row, at + 192);
    UNROLL
    for (size_t i = 0; i < 4; i++) /* signed bytes */
        put_bytes(&p->d[16 * g + 4 * i], r, d, a[i] ^ 0x80808080u, 128);
    UNROLL
    for (size_t j = 0; j < 4; j++) { /* halves of 128 values, and halves of their rows of 32 */
        const size_t n = j / 2, half = 16 * (j % 2), quad = 64 * g + 32 * n + 4 * (j % 2);
        load4(a, row, at + 64 * n + half);
        load4(b, row, at + 64 * n + 32 + half);
        load4(h, row, at + 128 + 32 * n + half);
        UNROLL
        for (size_t i = 0; i < 4; i++) {
            put_q(p, quad + i, r, (a[i] & NIBBLES) | (h[i] << 4 & high_bits));
            put_q(p, quad + 8 + i, r, (b[i] & NIBBLES) | (h[i] << 2 & high_bits));
            put_q(p, quad + 16 + i, r, (a[i] >> 4 & NIBBLES) | (h[i] & high_bits));
            put_q(p, quad + 24 + i, r, (b[i] >> 4 & NIBBLES) | (h[i] >> 2 & high_bits));
        }
    }
}

static void block_iq4_xs(struct mk_panel *p, const uint8_t *const row[LANES], size_t at, size_t g,
                         unsigned r)
{
    const vu dh = load1(row, at), low = load1(row, at + 4);
    const vf d = half_lo(dh);
    UNROLL
    for (size_t j = 0; j < 8; j++) {
        vu b[4];
        const vu sc = (low >> 4 * j & 0xfu) | (dh >> (16 + 2 * j) & 3u) << 4;
        put_f(&p->d[8 * g + j][r], d * __builtin_convertvector((vi)sc - 32, vf));
        load4(b, row, at + 8 + 16 * j);
        put_table(p, 64 * g + 8 * j, r, b, iq4_codes);
    }
}

UNPACK(Q2_K, q2_k)
UNPACK(Q3_K, q3_k)
UNPACK(Q4_K, q4_k)
UNPACK(Q5_K, q5_k)
UNPACK(Q6_K, q6_k)
UNPACK(IQ4_XS, iq4_xs)

static void set_unpack_s256(struct mk_kernels *k)
{
    k->unpack[MK_Q2_K] = unpack_q2_k;
    k->unpack[MK_Q3_K] = unpack_q3_k;
    k->unpack[MK_Q4_K] = unpack_q4_k;
    k->unpack[MK_Q5_K] = unpack_q5_k;
    k->unpack[MK_Q6_K] = unpack_q6_k;
    k->unpack[MK_IQ4_XS] = unpack_iq4_xs;
}
#endif
