/* Panels of the types with sub-scales in blocks of 256 values.  As in unpack_s32.c
 * bytes are transposed first; here their fields are then masked out of whole lines,
 * 32 or 64 values apart.  Layouts: quant/NAME.c. */
#include "int_avx512.h"

/* Reads the block at b (of row 0) and writes lines 64g..64g+63 and the scales of all its
 * sub-blocks. */
typedef void block_fn(struct mk_panel *p, size_t g, const uint8_t *b, size_t stride);

INLINE void unpack(mk_unpack_fn *self, struct mk_panel *p, enum mk_type type, const uint8_t *rows,
                   size_t stride, unsigned n_rows, size_t n_k, size_t block_bytes, block_fn *block)
{
    if (n_rows < MK_PANEL_ROWS) {
        mk_avx512_unpack_few(self, p, type, rows, stride, n_rows, n_k);
        return;
    }
    p->n_k = n_k;
    p->quant = &mk_quants[type];
    const size_t n = n_k / 256;
    for (size_t g = 0; g < n; g++) {
        block(p, g, rows + g * block_bytes, stride);
    }
}

INLINE __m512i and8(__m512i v, int mask)
{
    return _mm512_and_si512(v, _mm512_set1_epi8((char)mask));
}

/* Bits of v, moved up by n (down if negative), where mask has them. */
INLINE __m512i field(__m512i low, __m512i v, int up, int mask)
{
    const __m512i s =
        up < 0 ? _mm512_srli_epi32(v, (unsigned)-up) : _mm512_slli_epi32(v, (unsigned)up);
    return mk_or_and(low, s, _mm512_set1_epi8((char)mask));
}

INLINE void put_d(struct mk_panel *p, size_t j, __m512 d) { _mm512_store_ps(p->d[j], d); }
INLINE void put_m(struct mk_panel *p, size_t j, __m512 m) { _mm512_store_ps(p->m[j], m); }

/* ---- q4_k, q5_k ----------------------------------------------------------------- */

/* The first 16 bytes of a block of q4_k and q5_k. */
INLINE void head_k(struct mk_panel *p, size_t g, const uint8_t *b, size_t stride)
{
    __m512i h[4];
    __m512 d[8], m[8];
    mk_rows16(h, b, stride);
    mk_scales6(d, m, h);
    UNROLL
    for (size_t j = 0; j < 8; j++) put_d(p, 8 * g + j, d[j]), put_m(p, 8 * g + j, m[j]);
}

INLINE void q4_k(struct mk_panel *p, size_t g, const uint8_t *b, size_t stride)
{
    head_k(p, g, b, stride);
    for (size_t n = 0; n < 8; n++) { /* 16 bytes: lines of 64 values, 32 apart */
        const size_t l = 64 * g + n / 2 * 16 + n % 2 * 4;
        __m512i t[4];
        mk_rows16(t, b + 16 + 16 * n, stride);
        UNROLL
        for (size_t i = 0; i < 4; i++) {
            mk_store_line(p, l + i, and8(t[i], 15));
            mk_store_line(p, l + 8 + i, and8(_mm512_srli_epi32(t[i], 4), 15));
        }
    }
}

INLINE void q5_k(struct mk_panel *p, size_t g, const uint8_t *b, size_t stride)
{
    head_k(p, g, b, stride);
    for (size_t half = 0; half < 2; half++) { /* of 32 values: 16 bytes of fifth bits */
        __m512i h[4], t[4];
        mk_rows16(h, b + 16 + 16 * half, stride);
        UNROLL
        for (size_t n = 0; n < 4; n++) {
            const size_t l = 64 * g + 16 * n + 4 * half;
            mk_rows16(t, b + 48 + 32 * n + 16 * half, stride);
            UNROLL
            for (size_t i = 0; i < 4; i++) {
                const int k = 2 * (int)n;
                mk_store_line(p, l + i, field(and8(t[i], 15), h[i], 4 - k, 16));
                mk_store_line(p, l + 8 + i,
                              field(and8(_mm512_srli_epi32(t[i], 4), 15), h[i], 3 - k, 16));
            }
        }
    }
}

/* ---- q6_k ----------------------------------------------------------------------- */

INLINE void q6_k(struct mk_panel *p, size_t g, const uint8_t *b, size_t stride)
{
    __m512i t[4], u[4], h[4];
    mk_rows16(t, b + 194, stride); /* the last 16 bytes end with d */
    const __m512 d = mk_half_ps(_mm512_srli_epi32(t[3], 16));
    mk_rows16(t, b + 192, stride);
    UNROLL
    for (unsigned j = 0; j < 16; j++)
        put_d(p, 16 * g + j, _mm512_mul_ps(d, mk_signed_byte_ps(t[j / 4], j % 4)));
    for (size_t n = 0; n < 4; n++) { /* half n % 2 of 32 values, in 128 values n / 2 */
        const size_t l = 64 * g + n / 2 * 32 + n % 2 * 4;
        const uint8_t *low = b + n / 2 * 64 + n % 2 * 16;
        mk_rows16(t, low, stride);
        mk_rows16(u, low + 32, stride);
        mk_rows16(h, b + 128 + n / 2 * 32 + n % 2 * 16, stride);
        UNROLL
        for (size_t i = 0; i < 4; i++) {
            mk_store_line(p, l + i, field(and8(t[i], 15), h[i], 4, 0x30));
            mk_store_line(p, l + 8 + i, field(and8(u[i], 15), h[i], 2, 0x30));
            mk_store_line(p, l + 16 + i,
                          field(and8(_mm512_srli_epi32(t[i], 4), 15), h[i], 0, 0x30));
            mk_store_line(p, l + 24 + i,
                          field(and8(_mm512_srli_epi32(u[i], 4), 15), h[i], -2, 0x30));
        }
    }
}

/* ---- q2_k, q3_k ----------------------------------------------------------------- */

INLINE void q2_k(struct mk_panel *p, size_t g, const uint8_t *b, size_t stride)
{
    __m512i t[4];
    mk_rows16(t, b + 68, stride); /* the last 16 bytes end with d, m */
    const __m512 d = mk_half_ps(t[3]), m = mk_minus_ps(mk_half_ps(_mm512_srli_epi32(t[3], 16)));
    mk_rows16(t, b, stride);
    UNROLL
    for (unsigned j = 0; j < 16; j++) {
        const __m512i high = _mm512_srli_epi32(t[j / 4], 4);
        put_d(p, 16 * g + j, _mm512_mul_ps(d, mk_byte_ps(and8(t[j / 4], 15), j % 4)));
        put_m(p, 16 * g + j, _mm512_mul_ps(m, mk_byte_ps(and8(high, 15), j % 4)));
    }
    for (size_t n = 0; n < 4; n++) { /* as in q6_k */
        const size_t l = 64 * g + n / 2 * 32 + n % 2 * 4;
        mk_rows16(t, b + 16 + 16 * n, stride);
        UNROLL
        for (size_t i = 0; i < 4; i++) UNROLL
        for (unsigned s = 0; s < 4; s++)
            mk_store_line(p, l + 8 * s + i, and8(_mm512_srli_epi32(t[i], 2 * s), 3));
    }
}

/* Dwords lie 2 bytes off in the 16 bytes that end the block, so that d is the last. */
INLINE void scales_q3(struct mk_panel *p, size_t g, const uint8_t *b, size_t stride)
{
    __m512i t[4], s[4];
    mk_rows16(t, b + 94, stride);
    const __m512 d = mk_half_ps(_mm512_srli_epi32(t[3], 16));
    UNROLL
    for (int i = 0; i < 3; i++)
        t[i] = _mm512_or_si512(_mm512_srli_epi32(t[i], 16), _mm512_slli_epi32(t[i + 1], 16));
    s[0] = field(and8(t[0], 15), t[2], 4, 0x30);
    s[1] = field(and8(t[1], 15), t[2], 2, 0x30);
    s[2] = field(and8(_mm512_srli_epi32(t[0], 4), 15), t[2], 0, 0x30);
    s[3] = field(and8(_mm512_srli_epi32(t[1], 4), 15), t[2], -2, 0x30);
    UNROLL
    for (unsigned j = 0; j < 16; j++) {
        const __m512 sc = _mm512_sub_ps(mk_byte_ps(s[j / 4], j % 4), _mm512_set1_ps(32.0f));
        put_d(p, 16 * g + j, _mm512_mul_ps(d, sc));
    }
}

INLINE void q3_k(struct mk_panel *p, size_t g, const uint8_t *b, size_t stride)
{
    scales_q3(p, g, b, stride);
    for (size_t half = 0; half < 2; half++) {
        __m512i h[4], t[4];
        mk_rows16(h, b + 16 * half, stride);
        UNROLL
        for (size_t n = 0; n < 2; n++) {
            mk_rows16(t, b + 32 + 32 * n + 16 * half, stride);
            UNROLL
            for (size_t i = 0; i < 4; i++) UNROLL
            for (unsigned s = 0; s < 4; s++)
                mk_store_line(
                    p, 64 * g + 32 * n + 8 * s + 4 * half + i,
                    field(and8(_mm512_srli_epi32(t[i], 2 * s), 3), h[i], 2 - (int)(4 * n + s), 4));
        }
    }
}

/* ---- iq4_xs --------------------------------------------------------------------- */

INLINE void iq4_xs(struct mk_panel *p, size_t g, const uint8_t *b, size_t stride)
{
    const __m512i table = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)mk_iq4_codes));
    __m512i t[4];
    mk_rows16(t, b, stride);
    const __m512 d = mk_half_ps(t[0]);
    UNROLL
    for (unsigned j = 0; j < 8; j++) {
        const __m512i lo = _mm512_and_si512(_mm512_srli_epi32(t[1], 4 * j), _mm512_set1_epi32(15));
        const __m512i hi = _mm512_slli_epi32(_mm512_srli_epi32(t[0], 16 + 2 * j), 4);
        const __m512i sc =
            _mm512_sub_epi32(mk_or_and(lo, hi, _mm512_set1_epi32(0x30)), _mm512_set1_epi32(32));
        put_d(p, 8 * g + j, _mm512_mul_ps(d, _mm512_cvtepi32_ps(sc)));
    }
    for (size_t n = 0; n < 8; n++) {
        mk_rows16(t, b + 8 + 16 * n, stride);
        UNROLL
        for (size_t i = 0; i < 4; i++) {
            const __m512i hi = and8(_mm512_srli_epi32(t[i], 4), 15);
            mk_store_line(p, 64 * g + 8 * n + i, _mm512_shuffle_epi8(table, and8(t[i], 15)));
            mk_store_line(p, 64 * g + 8 * n + 4 + i, _mm512_shuffle_epi8(table, hi));
        }
    }
}

#define UNPACK(name, TYPE, bytes)                                                     \
    static void unpack_##name(struct mk_panel *p, const uint8_t *rows, size_t stride, \
                              unsigned n_rows, size_t n_k)                            \
    {                                                                                 \
        unpack(unpack_##name, p, TYPE, rows, stride, n_rows, n_k, bytes, name);       \
    }
UNPACK(q2_k, MK_Q2_K, 84)
UNPACK(q3_k, MK_Q3_K, 110)
UNPACK(q4_k, MK_Q4_K, 144)
UNPACK(q5_k, MK_Q5_K, 176)
UNPACK(q6_k, MK_Q6_K, 210)
UNPACK(iq4_xs, MK_IQ4_XS, 136)

void mk_avx512_unpack_s256(struct mk_kernels *k)
{
    k->unpack[MK_Q2_K] = unpack_q2_k;
    k->unpack[MK_Q3_K] = unpack_q3_k;
    k->unpack[MK_Q4_K] = unpack_q4_k;
    k->unpack[MK_Q5_K] = unpack_q5_k;
    k->unpack[MK_Q6_K] = unpack_q6_k;
    k->unpack[MK_IQ4_XS] = unpack_iq4_xs;
}
