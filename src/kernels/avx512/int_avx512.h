#ifndef MK_KERNELS_INT_AVX512_H
#define MK_KERNELS_INT_AVX512_H
/* Private to avx512/: the entries of the table, and how 16 rows become lanes. */
#include "kernels/inline.h"
#include "kernels/kernels.h"

#include <immintrin.h>
#include <math.h>

mk_mul_int_fn mk_avx512_mul_int;
mk_mul_f32_fn mk_avx512_mul_f32;
mk_mul_t_fn mk_avx512_mul_t;
mk_mul_t_f16_fn mk_avx512_mul_t_f16;
void mk_avx512_unpack_float(struct mk_kernels *k);
void mk_avx512_unpack_s32(struct mk_kernels *k);
void mk_avx512_unpack_s256(struct mk_kernels *k);
void mk_avx512_gemv_s32(struct mk_kernels *k);
void mk_avx512_gemv_s256(struct mk_kernels *k);
void mk_avx512_gemv_float(struct mk_kernels *k);
void mk_avx512_pairs(struct mk_kernels *k);
void mk_avx512_decode(struct mk_kernels *k);
void mk_avx512_activations(struct mk_kernels *k);
void mk_avx512_vectors(struct mk_kernels *k);
void mk_avx512_train(struct mk_kernels *k);
void mk_avx512_peak(struct mk_kernels *k);

/* Fewer than 16 rows: fn unpacks a copy that zero rows complete. */
void mk_avx512_unpack_few(mk_unpack_fn *fn, struct mk_panel *p, enum mk_type type,
                          const uint8_t *rows, size_t stride, unsigned n_rows, size_t n_k);

/* The values of iq4_nl and iq4_xs (quant/iq4_nl.c), plus 128. */
static const uint8_t mk_iq4_codes[16] = {1,   24,  45,  63,  79,  93,  106, 118,
                                         129, 141, 153, 166, 181, 197, 217, 241};

/* 16 bytes of each of rows r, r+4, r+8, r+12 into the four 128-bit lanes. */
INLINE __m512i mk_lanes(const uint8_t *b, size_t stride)
{
    __m512i v = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)b));
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(b + 4 * stride)), 1);
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(b + 8 * stride)), 2);
    return _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(b + 12 * stride)), 3);
}

/* Turns 4 x 4 dwords inside each 128 bits. */
INLINE void mk_turn4(__m512i t[4], const __m512i r[4])
{
    const __m512i lo01 = _mm512_unpacklo_epi32(r[0], r[1]),
                  hi01 = _mm512_unpackhi_epi32(r[0], r[1]);
    const __m512i lo23 = _mm512_unpacklo_epi32(r[2], r[3]),
                  hi23 = _mm512_unpackhi_epi32(r[2], r[3]);
    t[0] = _mm512_unpacklo_epi64(lo01, lo23);
    t[1] = _mm512_unpackhi_epi64(lo01, lo23);
    t[2] = _mm512_unpacklo_epi64(hi01, hi23);
    t[3] = _mm512_unpackhi_epi64(hi01, hi23);
}

/* 16 bytes of each of 16 rows, as four vectors of dwords: t[i] holds bytes
 * 4i..4i+3, lane r those of row r. */
INLINE void mk_rows16(__m512i t[4], const uint8_t *b, size_t stride)
{
    const __m512i r[4] = {mk_lanes(b, stride), mk_lanes(b + stride, stride),
                          mk_lanes(b + 2 * stride, stride), mk_lanes(b + 3 * stride, stride)};
    mk_turn4(t, r);
}

/* x from column c and value k on. */
INLINE struct mk_x8 mk_x8_at(const struct mk_x8 *x, size_t c, size_t k)
{
    struct mk_x8 v = *x;
    v.q += c * x->ldq + k, v.s += c * x->lds + k / 32, v.sum += c * x->ldsum + k / 16;
    return v;
}

/* The lanes of i..i+15 that are below n. */
INLINE __mmask16 mk_tail(size_t i, size_t n)
{
    return n - i >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << (n - i)) - 1);
}
/* The sums of codes of a column's first sub-blocks, 16 or all n, of 16 or 32 values. */
INLINE __m512i mk_sums_of(const struct mk_x8 *x, size_t n, unsigned sub)
{
    const __mmask16 k = mk_tail(0, n);
    return sub == 32 ? _mm512_madd_epi16(_mm512_maskz_loadu_epi32(k, x->sum), _mm512_set1_epi16(1))
                     : _mm512_cvtepi16_epi32(_mm256_maskz_loadu_epi16(k, x->sum));
}

/* The floats of the low halves of dwords. */
INLINE __m512 mk_half_ps(__m512i v) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(v)); }

/* The two 16-bit floats of each dword. */
INLINE void mk_widen_bf16(__m512 f[2], __m512i v)
{
    f[0] = _mm512_castsi512_ps(_mm512_slli_epi32(v, 16));
    f[1] = _mm512_castsi512_ps(_mm512_and_si512(v, _mm512_set1_epi32((int)0xffff0000u)));
}
INLINE void mk_widen_f16(__m512 f[2], __m512i v)
{
    f[0] = mk_half_ps(v);
    f[1] = mk_half_ps(_mm512_srli_epi32(v, 16));
}

/* Byte i (0..3) of each dword, as a float; the same of signed bytes. */
INLINE __m512 mk_byte_ps(__m512i v, unsigned i)
{
    return _mm512_cvtepi32_ps(
        _mm512_and_si512(_mm512_srli_epi32(v, 8 * i), _mm512_set1_epi32(255)));
}
INLINE __m512 mk_signed_byte_ps(__m512i v, unsigned i)
{
    return _mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_slli_epi32(v, 24 - 8 * i), 24));
}
INLINE __m512 mk_minus_ps(__m512 v) { return _mm512_xor_ps(v, _mm512_set1_ps(-0.0f)); }

/* a | (b & mask) */
INLINE __m512i mk_or_and(__m512i a, __m512i b, __m512i mask)
{
    return _mm512_ternarylogic_epi32(a, b, mask, 0xf8);
}

/* Scales and minima of the eight sub-blocks of q4_k and q5_k, whose first 16 bytes h[0..3] are
 * (quant/q4_k.c, pack.c). */
INLINE void mk_scales6(__m512 d[8], __m512 m[8], const __m512i h[4])
{
    const __m512i six = _mm512_set1_epi8(63), four = _mm512_set1_epi8(15);
    const __m512i top = _mm512_set1_epi8(0x30), high = _mm512_srli_epi32(h[3], 4);
    const __m512i sc[2] = {_mm512_and_si512(h[1], six), mk_or_and(_mm512_and_si512(h[3], four),
                                                                  _mm512_srli_epi32(h[1], 2), top)};
    const __m512i mn[2] = {_mm512_and_si512(h[2], six), mk_or_and(_mm512_and_si512(high, four),
                                                                  _mm512_srli_epi32(h[2], 2), top)};
    const __m512 all_d = mk_half_ps(h[0]);
    const __m512 all_m = mk_minus_ps(mk_half_ps(_mm512_srli_epi32(h[0], 16)));
    UNROLL
    for (unsigned j = 0; j < 8; j++) {
        d[j] = _mm512_mul_ps(all_d, mk_byte_ps(sc[j / 4], j % 4));
        m[j] = _mm512_mul_ps(all_m, mk_byte_ps(mn[j / 4], j % 4));
    }
}

/* e4m3 in the top byte, the others anything.  Adding 120 to the exponent is right for
 * normal numbers; those with exponent 0 then read 2^-7 (1 + f/8) where 2^-6 f/8 is
 * meant, and 2 v - 2^-6 repairs them.  (A multiplication by 2^120, as in
 * quant/f8_e4m3.c, would trap to microcode for each subnormal operand.) */
INLINE __m512 mk_f8_ps(__m512i v)
{
    const __m512i mag = _mm512_and_si512(_mm512_srli_epi32(v, 4), _mm512_set1_epi32(0x07f00000));
    const __mmask16 tiny = _mm512_testn_epi32_mask(v, _mm512_set1_epi32(0x78000000));
    const __mmask16 nan = _mm512_cmpeq_epi32_mask(mag, _mm512_set1_epi32(0x07f00000));
    __m512 f = _mm512_castsi512_ps(_mm512_add_epi32(mag, _mm512_set1_epi32(120 << 23)));
    f = _mm512_mask_fmadd_ps(f, tiny, _mm512_set1_ps(2.0f), _mm512_set1_ps(-0x1p-6f));
    f = _mm512_mask_mov_ps(f, nan, _mm512_set1_ps(NAN));
    return _mm512_castsi512_ps(
        mk_or_and(_mm512_castps_si512(f), v, _mm512_set1_epi32((int)0x80000000u)));
}

/* Codes of line l of a panel: values 4l..4l+3. */
INLINE void mk_store_line(struct mk_panel *p, size_t l, __m512i q)
{
    _mm512_store_si512(p->q[l], q);
}

/* exp(x), within 2 ulp; 0 at -infinity, infinity from 88.73, NaN at NaN.
 * x = n ln 2 + r, |r| <= ln 2 / 2, exp(r) by its Taylor series of degree 7 in
 * Horner's form, ln 2 in two parts so that r is exact. */
INLINE __m512 mk_exp_ps(__m512 x)
{
    x = _mm512_max_ps(_mm512_set1_ps(-105.0f), x); /* second operand: NaN stays */
    x = _mm512_min_ps(_mm512_set1_ps(90.0f), x);
    const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(0x1.715476p0f)), 8);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0x1.62e4p-1f), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0x1.7f7d1cp-20f), r);
    __m512 e = _mm512_set1_ps(0x1.a01a02p-13f); /* 1/7! */
    e = _mm512_fmadd_ps(e, r, _mm512_set1_ps(0x1.6c16c2p-10f));
    e = _mm512_fmadd_ps(e, r, _mm512_set1_ps(0x1.111112p-7f));
    e = _mm512_fmadd_ps(e, r, _mm512_set1_ps(0x1.555556p-5f));
    e = _mm512_fmadd_ps(e, r, _mm512_set1_ps(0x1.555556p-3f));
    e = _mm512_fmadd_ps(e, r, _mm512_set1_ps(0.5f));
    e = _mm512_fmadd_ps(e, r, _mm512_set1_ps(1.0f));
    e = _mm512_fmadd_ps(e, r, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(e, n);
}

#endif
