/* Panels of the types with one scale for each 32 values.  Payloads of 16 bytes are
 * transposed while their codes are still packed; then each dword of nibbles gives
 * the lines l (low) and l + 4 (high).  Layouts: quant/NAME.c. */
#include "int_avx512.h"

/* Reads the block at b (of row 0) and writes lines 8g..8g+7 and scale g. */
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
    const size_t n = n_k / 32;
    for (size_t g = 0; g < n; g++) {
        block(p, g, rows + g * block_bytes, stride);
    }
}

/* Nibbles of 16 bytes per row; values l and l + 16 share a byte. */
INLINE void nibbles(__m512i q[8], const uint8_t *b, size_t stride)
{
    const __m512i low = _mm512_set1_epi8(15);
    __m512i t[4];
    mk_rows16(t, b, stride);
    UNROLL
    for (int i = 0; i < 4; i++) {
        q[i] = _mm512_and_si512(t[i], low);
        q[i + 4] = _mm512_and_si512(_mm512_srli_epi32(t[i], 4), low);
    }
}

INLINE void store8(struct mk_panel *p, size_t g, const __m512i q[8])
{
    UNROLL
    for (size_t i = 0; i < 8; i++) mk_store_line(p, 8 * g + i, q[i]);
}

/* Codes from a table of 16 bytes. */
INLINE void look_up(__m512i q[8], const uint8_t table[16])
{
    const __m512i t = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)table));
    UNROLL
    for (int i = 0; i < 8; i++) q[i] = _mm512_shuffle_epi8(t, q[i]);
}

/* Bit i of each dword of v is bit 4 of value i: VPMULTISHIFTQB takes, for byte j of
 * line l, the 8 bits of v from bit 4l+j-4 on, whose bit 4 is the wanted one. */
INLINE void add_bit4(__m512i q[8], __m512i v)
{
    const __m512i bit = _mm512_set1_epi8(16), step = _mm512_set1_epi8(4);
    __m512i at = _mm512_set1_epi64(0x1f1e1d1c3f3e3d3c); /* l = 0: -4.., 28.. */
    UNROLL
    for (int i = 0; i < 8; i++) {
        q[i] = mk_or_and(q[i], _mm512_multishift_epi64_epi8(at, v), bit);
        at = _mm512_add_epi8(at, step);
    }
}

INLINE void scale_and_min(struct mk_panel *p, size_t g, __m512i halves)
{
    _mm512_store_ps(p->d[g], mk_half_ps(halves));
    _mm512_store_ps(p->m[g], mk_half_ps(_mm512_srli_epi32(halves, 16)));
}

INLINE void q4_0(struct mk_panel *p, size_t g, const uint8_t *b, size_t stride)
{
    __m512i head[4], q[8];
    mk_rows16(head, b, stride);
    nibbles(q, b + 2, stride);
    store8(p, g, q);
    _mm512_store_ps(p->d[g], mk_half_ps(head[0]));
}

INLINE void q4_1(struct mk_panel *p, size_t g, const uint8_t *b, size_t stride)
{
    __m512i head[4], q[8];
    mk_rows16(head, b, stride);
    nibbles(q, b + 4, stride);
    store8(p, g, q);
    scale_and_min(p, g, head[0]);
}

INLINE void q5_0(struct mk_panel *p, size_t g, const uint8_t *b, size_t stride)
{
    __m512i head[4], q[8];
    mk_rows16(head, b, stride);
    nibbles(q, b + 6, stride);
    add_bit4(q, _mm512_or_si512(_mm512_srli_epi32(head[0], 16), _mm512_slli_epi32(head[1], 16)));
    store8(p, g, q);
    _mm512_store_ps(p->d[g], mk_half_ps(head[0]));
}

INLINE void q5_1(struct mk_panel *p, size_t g, const uint8_t *b, size_t stride)
{
    __m512i head[4], q[8];
    mk_rows16(head, b, stride);
    nibbles(q, b + 8, stride);
    add_bit4(q, head[1]);
    store8(p, g, q);
    scale_and_min(p, g, head[0]);
}

/* Signed codes become unsigned by their top bit. */
INLINE void q8_0(struct mk_panel *p, size_t g, const uint8_t *b, size_t stride)
{
    const __m512i top = _mm512_set1_epi8(-128);
    __m512i head[4], q[8];
    mk_rows16(head, b, stride);
    mk_rows16(q, b + 2, stride);
    mk_rows16(q + 4, b + 18, stride);
    UNROLL
    for (int i = 0; i < 8; i++) q[i] = _mm512_xor_si512(q[i], top);
    store8(p, g, q);
    _mm512_store_ps(p->d[g], mk_half_ps(head[0]));
}

INLINE void iq4_nl(struct mk_panel *p, size_t g, const uint8_t *b, size_t stride)
{
    __m512i head[4], q[8];
    mk_rows16(head, b, stride);
    nibbles(q, b + 2, stride);
    look_up(q, mk_iq4_codes);
    store8(p, g, q);
    _mm512_store_ps(p->d[g], mk_half_ps(head[0]));
}

/* The scale is 2^(e-128), subnormal for e < 2. */
INLINE __m512 power_scale(__m512i e)
{
    const __m512i one = _mm512_set1_epi32(1), all = _mm512_set1_epi32(255);
    const __mmask16 tiny = _mm512_cmple_epi32_mask(e, one), nan = _mm512_cmpeq_epi32_mask(e, all);
    __m512i v = _mm512_slli_epi32(_mm512_sub_epi32(e, one), 23);
    v = _mm512_mask_sllv_epi32(v, tiny, _mm512_set1_epi32(0x00200000), e);
    return _mm512_mask_mov_ps(_mm512_castsi512_ps(v), nan, _mm512_set1_ps(NAN));
}

/* Codes are twice the 4-bit float, plus 12. */
INLINE void mxfp4(struct mk_panel *p, size_t g, const uint8_t *b, size_t stride)
{
    static const uint8_t twice[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};
    __m512i head[4], q[8];
    mk_rows16(head, b, stride);
    nibbles(q, b + 1, stride);
    look_up(q, twice);
    store8(p, g, q);
    _mm512_store_ps(p->d[g], power_scale(_mm512_and_si512(head[0], _mm512_set1_epi32(255))));
}

#define UNPACK(name, TYPE, bytes)                                                     \
    static void unpack_##name(struct mk_panel *p, const uint8_t *rows, size_t stride, \
                              unsigned n_rows, size_t n_k)                            \
    {                                                                                 \
        unpack(unpack_##name, p, TYPE, rows, stride, n_rows, n_k, bytes, name);       \
    }
UNPACK(q4_0, MK_Q4_0, 18)
UNPACK(q4_1, MK_Q4_1, 20)
UNPACK(q5_0, MK_Q5_0, 22)
UNPACK(q5_1, MK_Q5_1, 24)
UNPACK(q8_0, MK_Q8_0, 34)
UNPACK(iq4_nl, MK_IQ4_NL, 18)
UNPACK(mxfp4, MK_MXFP4, 17)

void mk_avx512_unpack_s32(struct mk_kernels *k)
{
    k->unpack[MK_Q4_0] = unpack_q4_0;
    k->unpack[MK_Q4_1] = unpack_q4_1;
    k->unpack[MK_Q5_0] = unpack_q5_0;
    k->unpack[MK_Q5_1] = unpack_q5_1;
    k->unpack[MK_Q8_0] = unpack_q8_0;
    k->unpack[MK_IQ4_NL] = unpack_iq4_nl;
    k->unpack[MK_MXFP4] = unpack_mxfp4;
}
