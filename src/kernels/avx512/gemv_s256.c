/* Rows of the types with sub-scales in blocks of 256 values, times a few columns.
 *
 * VPDPBUSD leaves 16 sums of four products, which fit 16 bits; two such vectors are packed, and
 * VPDPWSSD multiplies them with the sub-scales and adds.  So a row's 256 products become 16 numbers
 * whose sum is exact, in any order. */
#include "int_gemv.h"

#include <string.h>

/* ---- q4_k -------------------------------------------------------------------------- */

/* 256 codes of a column as a row's nibbles want them: x[0..31] with x[64..95] for the low ones of
 * 64 bytes, x[32..63] with x[96..127] for the high ones. */
struct x4 {
    __m512i low[2], high[2];
};

INLINE void x4_get(struct x4 *o, const int8_t *q)
{
    UNROLL
    for (int i = 0; i < 2; i++) {
        const __m512i a = mk_load(q + 128 * i), b = mk_load(q + 128 * i + 64);
        o->low[i] = _mm512_shuffle_i64x2(a, b, 0x44);
        o->high[i] = _mm512_shuffle_i64x2(a, b, 0xee);
    }
}

/* Of one block of each of 16 rows: d and m, and minima, four to a dword (quant/pack.c). */
struct head4 {
    uint32_t dm[MK_PANEL_ROWS], mn[2][MK_PANEL_ROWS];
} __attribute__((aligned(64)));

INLINE uint32_t word(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE uint32_t six(uint32_t low4, uint32_t top2)
{
    return (low4 & 0x0f0f0f0f) | (top2 >> 2 & 0x30303030);
}

/* Four sub-scales as words: the first two four times each in 128-bit lanes 0 and 1, the others in
 * lanes 2 and 3. */
INLINE __m512i spread4(uint32_t sc)
{
    const __m512i where = _mm512_set_epi64(
        (long long)0x8003800380038003, (long long)0x8002800280028002, (long long)0x8003800380038003,
        (long long)0x8002800280028002, (long long)0x8001800180018001, (long long)0x8000800080008000,
        (long long)0x8001800180018001, (long long)0x8000800080008000);
    return _mm512_shuffle_epi8(_mm512_set1_epi32((int32_t)sc), where);
}

/* One block of row r. */
INLINE void row4(__m512i out[MK_GEMV_COLS], struct head4 *h, unsigned r, const uint8_t *b,
                 const struct x4 *x, unsigned n)
{
    const __m512i zero = _mm512_setzero_si512();
    const uint32_t w0 = word(b + 4), w1 = word(b + 8), w2 = word(b + 12);
    const __m512i s[2] = {spread4(w0 & 0x3f3f3f3f), spread4(six(w2, w0))};
    h->dm[r] = word(b);
    h->mn[0][r] = w1 & 0x3f3f3f3f;
    h->mn[1][r] = six(w2 >> 4, w1);
    UNROLL
    for (unsigned i = 0; i < 2; i++) {
        const __m512i v = mk_load(b + 16 + 64 * i), low = mk_low4(v), high = mk_high4(v);
        UNROLL
        for (unsigned c = 0; c < n; c++) {
            const __m512i w = _mm512_packs_epi32(_mm512_dpbusd_epi32(zero, low, x[c].low[i]),
                                                 _mm512_dpbusd_epi32(zero, high, x[c].high[i]));
            out[c] = _mm512_dpwssd_epi32(i ? out[c] : zero, w, s[i]);
        }
    }
}

/* Two sums of 32 codes, in every lane. */
INLINE __m512i sums_at(const int16_t *sum, int j, int k)
{
    const uint32_t low = (uint16_t)(sum[2 * j] + sum[2 * j + 1]);
    const uint32_t high = (uint16_t)(sum[2 * k] + sum[2 * k + 1]);
    return _mm512_set1_epi32((int32_t)(low | high << 16));
}

/* The sum of minima times sums of codes. */
INLINE __m512i minima(const struct head4 *h, const int16_t *sum)
{
    const __m512i even = _mm512_set1_epi32(0x00ff00ff);
    __m512i out = _mm512_setzero_si512();
    UNROLL
    for (int i = 0; i < 2; i++) {
        const __m512i mn = _mm512_load_si512(h->mn[i]);
        out = _mm512_dpwssd_epi32(out, _mm512_and_si512(mn, even), sums_at(sum, 4 * i, 4 * i + 2));
        out = _mm512_dpwssd_epi32(out, _mm512_and_si512(_mm512_srli_epi16(mn, 8), even),
                                  sums_at(sum, 4 * i + 1, 4 * i + 3));
    }
    return out;
}

INLINE void add4(__m512 *y, const struct head4 *h, __m512i sum, const struct mk_x8 *x, size_t g)
{
    const __m512i dm = _mm512_load_si512(h->dm);
    mk_add_block(y, mk_half_ps(dm), x->s[g], sum);
    const __m512 ms = _mm512_mul_ps(mk_half_ps(_mm512_srli_epi32(dm, 16)), _mm512_set1_ps(x->s[g]));
    *y = _mm512_fnmadd_ps(ms, _mm512_cvtepi32_ps(minima(h, x->sum + 16 * g)), *y);
}

INLINE void q4_k(float *y, const uint8_t *rows, size_t stride, const struct mk_x8 *x, size_t n_k,
                 unsigned n)
{
    struct head4 heads[MK_GEMV_BLOCKS];
    struct mk_gemv_sums sums;
    for (size_t g0 = 0; g0 < n_k / 256; g0 += MK_GEMV_BLOCKS) {
        const size_t m = mk_gemv_blocks(n_k / 256 - g0);
        for (unsigned i = 0; i < 4; i++)
            for (size_t g = 0; g < m; g++) {
                const uint8_t *b = rows + 4 * i * stride + 144 * (g0 + g);
                struct x4 xs[MK_GEMV_COLS];
                __m512i r[4][MK_GEMV_COLS];
                UNROLL
                for (unsigned c = 0; c < n; c++) x4_get(&xs[c], x->q + c * x->ldq + 256 * (g0 + g));
                UNROLL
                for (unsigned k = 0; k < 4; k++)
                    row4(r[k], &heads[g], 4 * i + k, b + k * stride, xs, n);
                mk_gemv_four(&sums, g, i, r, n);
            }
        for (unsigned c = 0; c < n; c++) {
            const struct mk_x8 xc = mk_from_column(x, c);
            __m512 f = _mm512_loadu_ps(y + c * MK_PANEL_ROWS);
            for (size_t g = 0; g < m; g++)
                add4(&f, &heads[g], mk_sum16(sums.four[c][g]), &xc, g0 + g);
            _mm512_storeu_ps(y + c * MK_PANEL_ROWS, f);
        }
    }
}

/* ---- q6_k -------------------------------------------------------------------------- */

/* The sums of 16 codes, times -8, where the sub-scales will be: four times each, so that with the
 * scale they subtract the bias of 32. */
INLINE void bias6(__m512i o[2], const int16_t *sum)
{
    const __m512i s = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)sum));
    const __m512i times = _mm512_sub_epi16(_mm512_setzero_si512(), _mm512_slli_epi16(s, 3));
    const __m512i first = _mm512_set_epi64(
        0x0007000700070007, 0x0003000300030003, 0x0006000600060006, 0x0002000200020002,
        0x0005000500050005, 0x0001000100010001, 0x0004000400040004, 0x0000000000000000);
    o[0] = _mm512_permutexvar_epi16(first, times);
    o[1] = _mm512_permutexvar_epi16(_mm512_add_epi16(first, _mm512_set1_epi16(8)), times);
}

/* Sub-scales 8i..8i+7 as words: lane l has 8i + l and 8i + 4 + l, four times each. */
INLINE __m512i spread6(__m512i sc, int i)
{
    const __m512i where = _mm512_set_epi64(
        0x0780078007800780, 0x0380038003800380, 0x0680068006800680, 0x0280028002800280,
        0x0580058005800580, 0x0180018001800180, 0x0480048004800480, 0x0080008000800080);
    const __m512i at = i ? _mm512_add_epi8(where, _mm512_set1_epi16(0x0800)) : where;
    return _mm512_srai_epi16(_mm512_shuffle_epi8(sc, at), 8);
}

struct x6 {
    __m512i x[4], bias[2];
};

INLINE void x6_get(struct x6 *o, const int8_t *q, const int16_t *sum)
{
    UNROLL
    for (int i = 0; i < 4; i++) o->x[i] = mk_load(q + 64 * i);
    bias6(o->bias, sum);
}

/* One block of a row. */
INLINE void row6(__m512i out[MK_GEMV_COLS], const uint8_t *b, const struct x6 *x, unsigned n)
{
    const __m512i zero = _mm512_setzero_si512(), two = _mm512_set1_epi8(0x30);
    const __m512i shifts = _mm512_set_epi64(2, 2, 2, 2, 0, 0, 0, 0);
    const __m512i sc = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(b + 192)));
    UNROLL
    for (int i = 0; i < 2; i++) {
        const __m512i v = mk_load(b + 64 * i), s = spread6(sc, i);
        const __m512i top = _mm512_srlv_epi64(
            _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)(b + 128 + 32 * i))),
            shifts);
        const __m512i low = mk_or_and(mk_low4(v), _mm512_slli_epi32(top, 4), two);
        const __m512i high = mk_or_and(mk_high4(v), top, two);
        UNROLL
        for (unsigned c = 0; c < n; c++) {
            const __m512i w =
                _mm512_packs_epi32(_mm512_dpbusd_epi32(zero, low, x[c].x[2 * i]),
                                   _mm512_dpbusd_epi32(zero, high, x[c].x[2 * i + 1]));
            out[c] = _mm512_dpwssd_epi32(i ? out[c] : zero, w, s);
            out[c] = _mm512_dpwssd_epi32(out[c], x[c].bias[i], s);
        }
    }
}

INLINE void q6_k(float *y, const uint8_t *rows, size_t stride, const struct mk_x8 *x, size_t n_k,
                 unsigned n)
{
    uint16_t d[MK_GEMV_BLOCKS][MK_PANEL_ROWS];
    struct mk_gemv_sums sums;
    for (size_t g0 = 0; g0 < n_k / 256; g0 += MK_GEMV_BLOCKS) {
        const size_t m = mk_gemv_blocks(n_k / 256 - g0);
        for (unsigned i = 0; i < 4; i++)
            for (size_t g = 0; g < m; g++) {
                const uint8_t *b = rows + 4 * i * stride + 210 * (g0 + g);
                struct x6 xs[MK_GEMV_COLS];
                __m512i r[4][MK_GEMV_COLS];
                UNROLL
                for (unsigned c = 0; c < n; c++)
                    x6_get(&xs[c], x->q + c * x->ldq + 256 * (g0 + g),
                           x->sum + c * x->ldsum + 16 * (g0 + g));
                UNROLL
                for (unsigned k = 0; k < 4; k++) {
                    row6(r[k], b + k * stride, xs, n);
                    d[g][4 * i + k] = mk_half_at(b + k * stride + 208);
                }
                mk_gemv_four(&sums, g, i, r, n);
            }
        for (unsigned c = 0; c < n; c++) {
            const float *s = x->s + c * x->lds + g0;
            __m512 f = _mm512_loadu_ps(y + c * MK_PANEL_ROWS);
            for (size_t g = 0; g < m; g++)
                mk_add_block(&f, mk_halves_at(d[g]), s[g], mk_sum16(sums.four[c][g]));
            _mm512_storeu_ps(y + c * MK_PANEL_ROWS, f);
        }
    }
}

MK_GEMV(q4_k)
MK_GEMV(q6_k)

void mk_avx512_gemv_s256(struct mk_kernels *k)
{
    k->gemv[MK_Q4_K] = gemv_q4_k;
    k->gemv[MK_Q6_K] = gemv_q6_k;
}
