/* Rows of the types with sub-scales in blocks of 256 values, times a few columns.
 *
 * VPDPBUSD leaves 16 sums of four products, which fit 16 bits; two such vectors are packed, and
 * VPDPWSSD multiplies them with the sub-scales and adds.  So a row's 256 products become 16 numbers
 * whose sum is exact, in any order. */
#include "int_gemv.h"

enum { BLOCKS = MK_GEMV_K / 256 };

/* How a type differs.  ready: what a block of a column is turned into, once for 16 rows.  block:
 * the 16 numbers of a row's block.  add: the block of 16 rows, of which h[i] are bytes 4i..4i+3 of
 * the 16 that lie head bytes behind its beginning. */
struct form {
    size_t bytes, head;
    void (*ready)(__m512i o[4], const int8_t *q, const int16_t *sum);
    __m512i (*block)(const uint8_t *b, const __m512i x[4], const int8_t *q);
    void (*add)(__m512 *y, const __m512i h[4], __m512i sum, float s, const int16_t *xs);
};

struct space {
    __m512i x[MK_GEMV_COLS][BLOCKS][4];
    __m512i sums[MK_GEMV_COLS][BLOCKS / 4][MK_PANEL_ROWS]; /* mk_sum4() of four blocks */
    uint8_t heads[BLOCKS][MK_PANEL_ROWS][16] __attribute__((aligned(64)));
};

/* Row r. */
INLINE void row(struct space *o, unsigned r, const uint8_t *b, const struct mk_x8 *x, size_t m,
                unsigned n, struct form t)
{
    for (size_t g = 0; g < m; g += 4) {
        __m512i v[MK_GEMV_COLS][4];
        mk_ahead(b, 4 * t.bytes);
        UNROLL
        for (size_t k = 0; k < 4; k++, b += t.bytes) {
            const bool is_there = g + k < m;
            UNROLL
            for (unsigned c = 0; c < n; c++)
                v[c][k] = is_there ? t.block(b, o->x[c][g + k], x->q + c * x->ldq + 256 * (g + k))
                                   : _mm512_setzero_si512();
            if (is_there) memcpy(o->heads[g + k][r], b + t.head, 16);
        }
        UNROLL
        for (unsigned c = 0; c < n; c++) o->sums[c][g / 4][r] = mk_sum4(v[c]);
    }
}

/* t[k], lane r: the sum of block k of row r. */
INLINE void sums_of_rows(__m512i t[4], const __m512i u[MK_PANEL_ROWS])
{
    __m512i a[4];
    UNROLL
    for (int j = 0; j < 4; j++)
        a[j] = mk_sum_halves(mk_sum_halves(u[j], u[4 + j]), mk_sum_halves(u[8 + j], u[12 + j]));
    const __m512i lo01 = _mm512_unpacklo_epi32(a[0], a[1]),
                  hi01 = _mm512_unpackhi_epi32(a[0], a[1]);
    const __m512i lo23 = _mm512_unpacklo_epi32(a[2], a[3]),
                  hi23 = _mm512_unpackhi_epi32(a[2], a[3]);
    t[0] = _mm512_unpacklo_epi64(lo01, lo23);
    t[1] = _mm512_unpackhi_epi64(lo01, lo23);
    t[2] = _mm512_unpacklo_epi64(hi01, hi23);
    t[3] = _mm512_unpackhi_epi64(hi01, hi23);
}

/* y[16] of column c. */
INLINE void finish(float *y, const struct space *o, unsigned c, const struct mk_x8 *x, size_t m,
                   struct form t)
{
    __m512 f = _mm512_loadu_ps(y);
    for (size_t g = 0; g < m; g += 4) {
        __m512i sums[4];
        sums_of_rows(sums, o->sums[c][g / 4]);
        UNROLL
        for (size_t k = 0; k < 4; k++) {
            if (g + k == m) break;
            __m512i h[4];
            mk_rows16(h, o->heads[g + k][0], 16);
            t.add(&f, h, sums[k], x->s[c * x->lds + g + k], x->sum + c * x->ldsum + 16 * (g + k));
        }
    }
    _mm512_storeu_ps(y, f);
}

INLINE void part(float *y, const uint8_t *rows, size_t stride, const struct mk_x8 *x, size_t n_k,
                 unsigned n, struct form t)
{
    struct space o;
    const size_t m = n_k / 256;
    for (unsigned c = 0; c < n; c++)
        for (size_t g = 0; g < m; g++)
            t.ready(o.x[c][g], x->q + c * x->ldq + 256 * g, x->sum + c * x->ldsum + 16 * g);
    for (unsigned r = 0; r < MK_PANEL_ROWS; r++) row(&o, r, rows + r * stride, x, m, n, t);
    for (unsigned c = 0; c < n; c++) finish(y + c * MK_PANEL_ROWS, &o, c, x, m, t);
}

/* ---- q4_k -------------------------------------------------------------------------- */

/* Codes as a row's nibbles want them: x[0..31] with x[64..95] for the low ones of 64 bytes,
 * x[32..63] with x[96..127] for the high ones. */
INLINE void ready4(__m512i o[4], const int8_t *q, const int16_t *sum)
{
    (void)sum;
    UNROLL
    for (int i = 0; i < 2; i++) {
        const __m512i a = mk_load(q + 128 * i), b = mk_load(q + 128 * i + 64);
        o[2 * i] = _mm512_shuffle_i64x2(a, b, 0x44);
        o[2 * i + 1] = _mm512_shuffle_i64x2(a, b, 0xee);
    }
}

/* Sub-scales 0..3 and 4..7 (quant/pack.c) as words, four times each: the first two of four in
 * 128-bit lanes 0 and 1, the others in lanes 2 and 3. */
INLINE void scales4(__m512i s[2], const uint8_t *b)
{
    const __m512i at = _mm512_set_epi64(
        (long long)0x8007800780078007, (long long)0x8006800680068006, (long long)0x8007800780078007,
        (long long)0x8006800680068006, (long long)0x8005800580058005, (long long)0x8004800480048004,
        (long long)0x8005800580058005, (long long)0x8004800480048004);
    const __m512i head = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)b));
    const __m512i b0 = _mm512_shuffle_epi8(head, at);
    const __m512i b2 = _mm512_shuffle_epi8(head, _mm512_add_epi8(at, _mm512_set1_epi16(8)));
    s[0] = _mm512_and_si512(b0, _mm512_set1_epi16(63));
    s[1] = mk_or_and(_mm512_and_si512(b2, _mm512_set1_epi16(15)), _mm512_srli_epi16(b0, 2),
                     _mm512_set1_epi16(0x30));
}

INLINE __m512i block4(const uint8_t *b, const __m512i x[4], const int8_t *q)
{
    (void)q;
    const __m512i zero = _mm512_setzero_si512();
    __m512i s[2], out = zero;
    scales4(s, b);
    UNROLL
    for (unsigned i = 0; i < 2; i++) {
        const __m512i v = mk_load(b + 16 + 64 * i);
        const __m512i low = _mm512_dpbusd_epi32(zero, mk_low4(v), x[2 * i]);
        const __m512i high = _mm512_dpbusd_epi32(zero, mk_high4(v), x[2 * i + 1]);
        out = _mm512_dpwssd_epi32(out, _mm512_packs_epi32(low, high), s[i]);
    }
    return out;
}

/* Two sums of 32 codes, in every lane. */
INLINE __m512i sums_at(const int16_t *xs, int j, int k)
{
    const uint32_t low = (uint16_t)(xs[2 * j] + xs[2 * j + 1]);
    const uint32_t high = (uint16_t)(xs[2 * k] + xs[2 * k + 1]);
    return _mm512_set1_epi32((int32_t)(low | high << 16));
}

/* The sum of minima times sums of codes. */
INLINE __m512i minima(const __m512i h[4], const int16_t *xs)
{
    const __m512i even = _mm512_set1_epi32(0x00ff00ff), top = _mm512_set1_epi8(0x30);
    const __m512i mn[2] = {_mm512_and_si512(h[2], _mm512_set1_epi8(63)),
                           mk_or_and(mk_high4(h[3]), _mm512_srli_epi32(h[2], 2), top)};
    __m512i out = _mm512_setzero_si512();
    UNROLL
    for (int i = 0; i < 2; i++) {
        const __m512i odd = _mm512_and_si512(_mm512_srli_epi16(mn[i], 8), even);
        out =
            _mm512_dpwssd_epi32(out, _mm512_and_si512(mn[i], even), sums_at(xs, 4 * i, 4 * i + 2));
        out = _mm512_dpwssd_epi32(out, odd, sums_at(xs, 4 * i + 1, 4 * i + 3));
    }
    return out;
}

INLINE void add4(__m512 *y, const __m512i h[4], __m512i sum, float s, const int16_t *xs)
{
    const __m512 m = mk_half_ps(_mm512_srli_epi32(h[0], 16));
    mk_add_block(y, mk_half_ps(h[0]), s, sum);
    *y = _mm512_fnmadd_ps(_mm512_mul_ps(m, _mm512_set1_ps(s)), _mm512_cvtepi32_ps(minima(h, xs)),
                          *y);
}

INLINE void q4_k(float *y, const uint8_t *rows, size_t stride, const struct mk_x8 *x, size_t n_k,
                 unsigned n)
{
    part(y, rows, stride, x, n_k, n, (struct form){144, 0, ready4, block4, add4});
}

/* ---- q6_k -------------------------------------------------------------------------- */

/* The sums of 16 codes, times -8, where the sub-scales will be: four times each, so that with the
 * scale they subtract the bias of 32. */
INLINE void ready6(__m512i o[4], const int8_t *q, const int16_t *sum)
{
    (void)q;
    const __m512i s = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)sum));
    const __m512i times = _mm512_sub_epi16(_mm512_setzero_si512(), _mm512_slli_epi16(s, 3));
    const __m512i first = _mm512_set_epi64(
        0x0007000700070007, 0x0003000300030003, 0x0006000600060006, 0x0002000200020002,
        0x0005000500050005, 0x0001000100010001, 0x0004000400040004, 0x0000000000000000);
    o[0] = _mm512_permutexvar_epi16(first, times);
    o[1] = _mm512_permutexvar_epi16(_mm512_add_epi16(first, _mm512_set1_epi16(8)), times);
}

/* Sub-scales 8i..8i+7 as words: lane l has 8i + l and 8i + 4 + l, four times each. */
INLINE __m512i scales6(const uint8_t *b, int i)
{
    const __m512i sc = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(b + 192)));
    const __m512i where = _mm512_set_epi64(
        0x0780078007800780, 0x0380038003800380, 0x0680068006800680, 0x0280028002800280,
        0x0580058005800580, 0x0180018001800180, 0x0480048004800480, 0x0080008000800080);
    const __m512i at = i ? _mm512_add_epi8(where, _mm512_set1_epi16(0x0800)) : where;
    return _mm512_srai_epi16(_mm512_shuffle_epi8(sc, at), 8);
}

INLINE __m512i block6(const uint8_t *b, const __m512i bias[4], const int8_t *q)
{
    const __m512i zero = _mm512_setzero_si512(), two = _mm512_set1_epi8(0x30);
    const __m512i shifts = _mm512_set_epi64(2, 2, 2, 2, 0, 0, 0, 0);
    __m512i out = zero;
    UNROLL
    for (int i = 0; i < 2; i++) {
        const __m512i v = mk_load(b + 64 * i), s = scales6(b, i);
        const __m512i top = _mm512_srlv_epi64(
            _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)(b + 128 + 32 * i))),
            shifts);
        const __m512i low = mk_or_and(mk_low4(v), _mm512_slli_epi32(top, 4), two);
        const __m512i high = mk_or_and(mk_high4(v), top, two);
        const __m512i w =
            _mm512_packs_epi32(_mm512_dpbusd_epi32(zero, low, mk_load(q + 128 * i)),
                               _mm512_dpbusd_epi32(zero, high, mk_load(q + 128 * i + 64)));
        out = _mm512_dpwssd_epi32(_mm512_dpwssd_epi32(out, w, s), bias[i], s);
    }
    return out;
}

INLINE void add6(__m512 *y, const __m512i h[4], __m512i sum, float s, const int16_t *xs)
{
    (void)xs;
    mk_add_block(y, mk_half_ps(_mm512_srli_epi32(h[3], 16)), s, sum);
}

INLINE void q6_k(float *y, const uint8_t *rows, size_t stride, const struct mk_x8 *x, size_t n_k,
                 unsigned n)
{
    part(y, rows, stride, x, n_k, n, (struct form){210, 194, ready6, block6, add6});
}

MK_GEMV(q4_k, MK_Q4_K)
MK_GEMV(q6_k, MK_Q6_K)

void mk_avx512_gemv_s256(struct mk_kernels *k)
{
    k->gemv[MK_Q4_K] = gemv_q4_k;
    k->gemv[MK_Q6_K] = gemv_q6_k;
}
