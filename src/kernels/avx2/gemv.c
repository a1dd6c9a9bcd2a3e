/* Rows as they are stored, times one column after another: maddubs makes 16 sums of two products of
 * 32 codes, which madd multiplies with the sub-scales, or with ones, and adds in pairs.  What eight
 * rows come to is then turned into lanes.
 *
 * Eight rows in turn are eight places of memory, and a processor reads ahead in few and not past
 * the end of a page.  So lines are asked for in the order in which they lie, eight rows before they
 * are used. */
#include "kernels/avx2/int_avx2.h"
#include "kernels/inline.h"
#include "kernels/kernels.h"

#include <immintrin.h>
#include <string.h>

enum { ROWS = 8, AHEAD = 2 * 4096 /* bytes, at least */ };

INLINE __m256i load(const void *p) { return _mm256_loadu_si256(p); }
INLINE __m128i load16(const void *p) { return _mm_loadu_si128(p); }
INLINE __m256i low4(__m256i v) { return _mm256_and_si256(v, _mm256_set1_epi8(15)); }
INLINE __m256i high4(__m256i v) { return low4(_mm256_srli_epi16(v, 4)); }

/* The 16-bit float at the beginning, or the end, of 16 bytes of each of eight rows. */
INLINE __m256 halves(const uint8_t *b, size_t stride, bool at_end)
{
    __m128i v[ROWS];
    UNROLL
    for (size_t r = 0; r < ROWS; r++) v[r] = load16(b + r * stride);
    UNROLL
    for (int i = 0; i < 4; i++)
        v[i] = at_end ? _mm_unpackhi_epi16(v[2 * i], v[2 * i + 1])
                      : _mm_unpacklo_epi16(v[2 * i], v[2 * i + 1]);
    UNROLL
    for (int i = 0; i < 2; i++)
        v[i] = at_end ? _mm_unpackhi_epi32(v[2 * i], v[2 * i + 1])
                      : _mm_unpacklo_epi32(v[2 * i], v[2 * i + 1]);
    return _mm256_cvtph_ps(at_end ? _mm_unpackhi_epi64(v[0], v[1])
                                  : _mm_unpacklo_epi64(v[0], v[1]));
}

/* The sums of pairs of a and of b: shuffles and an addition, as phaddd is slow. */
INLINE __m256i add32(__m256i a, __m256i b)
{
    return _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
}
INLINE __m256i add64(__m256i a, __m256i b)
{
    return _mm256_add_epi32(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
}

/* The sums of eight vectors of eight, in order. */
INLINE __m256i sum8(const __m256i v[ROWS])
{
    const __m256i a = add64(add32(v[0], v[1]), add32(v[2], v[3]));
    const __m256i b = add64(add32(v[4], v[5]), add32(v[6], v[7]));
    return _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20),
                            _mm256_permute2x128_si256(a, b, 0x31));
}

/* y = fma(d s, sum, y) */
INLINE __m256 add_block(__m256 y, __m256 d, float s, __m256i sum)
{
    return _mm256_fmadd_ps(_mm256_mul_ps(d, _mm256_set1_ps(s)), _mm256_cvtepi32_ps(sum), y);
}

/* sum + f * (codes . x) for 32 codes below 64 */
INLINE __m256i dot32(__m256i sum, __m256i codes, __m256i x, __m256i f)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(codes, x), f));
}

/* ---- q4_k -------------------------------------------------------------------------- */

/* 16 bytes of each of eight rows: o[i] holds bytes 4i..4i+3 of all. */
INLINE void rows16(__m256i o[4], const uint8_t *b, size_t stride)
{
    __m256i v[4];
    UNROLL
    for (size_t i = 0; i < 4; i++)
        v[i] = _mm256_inserti128_si256(_mm256_castsi128_si256(load16(b + i * stride)),
                                       load16(b + (i + 4) * stride), 1);
    const __m256i a = _mm256_unpacklo_epi32(v[0], v[1]), c = _mm256_unpackhi_epi32(v[0], v[1]);
    const __m256i d = _mm256_unpacklo_epi32(v[2], v[3]), e = _mm256_unpackhi_epi32(v[2], v[3]);
    o[0] = _mm256_unpacklo_epi64(a, d), o[1] = _mm256_unpackhi_epi64(a, d);
    o[2] = _mm256_unpacklo_epi64(c, e), o[3] = _mm256_unpackhi_epi64(c, e);
}

/* The floats of 16 bits in the low half of each dword. */
INLINE __m256 low_halves(__m256i v)
{
    const __m256i h = _mm256_and_si256(v, _mm256_set1_epi32(0xffff));
    return _mm256_cvtph_ps(
        _mm_packus_epi32(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1)));
}

/* Bytes a and b of each dword as words. */
INLINE __m256i words(__m256i v, int a, int b)
{
    const int at = (int)(0x80008000u | (unsigned)b << 16 | (unsigned)a);
    return _mm256_shuffle_epi8(
        v, _mm256_add_epi32(_mm256_set1_epi32(at), _mm256_broadcastsi128_si256(_mm_setr_epi32(
                                                       0, 0x00040004, 0x00080008, 0x000c000c))));
}

/* The first four, and the other four, 6-bit numbers of a row (quant/pack.c). */
INLINE void six(__m256i o[2], __m256i low, __m256i rest4)
{
    const __m256i top = _mm256_and_si256(_mm256_srli_epi32(low, 2), _mm256_set1_epi8(0x30));
    o[0] = _mm256_and_si256(low, _mm256_set1_epi8(0x3f));
    o[1] = _mm256_or_si256(low4(rest4), top);
}

/* The sums of 32 codes each. */
INLINE __m128i sums32(const int16_t *sum)
{
    const __m256i v = _mm256_madd_epi16(load(sum), _mm256_set1_epi16(1));
    return _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
}

/* The sum of minima times sums of codes. */
INLINE __m256i minima(const __m256i h[4], const int16_t *sum)
{
    int32_t xs[4];
    __m256i mn[2], m = _mm256_setzero_si256();
    _mm_storeu_si128((void *)xs, sums32(sum));
    six(mn, h[2], _mm256_srli_epi32(h[3], 4));
    UNROLL
    for (int i = 0; i < 4; i++)
        m = _mm256_add_epi32(m, _mm256_madd_epi16(words(mn[i / 2], i % 2 * 2, i % 2 * 2 + 1),
                                                  _mm256_set1_epi32(xs[i])));
    return m;
}

/* Four rows' codes times sub-scales; sc[j] is twice that of sub-block j. */
INLINE void rows4(__m256i v[4], const uint8_t *b, size_t stride, const int8_t *x,
                  int32_t (*sc)[ROWS], int r)
{
    UNROLL
    for (int i = 0; i < 4; i++) v[i] = _mm256_setzero_si256();
    UNROLL
    for (int j = 0; j < 4; j++) {
        const __m256i x0 = load(x + 64 * j), x1 = load(x + 64 * j + 32);
        UNROLL
        for (int i = 0; i < 4; i++) {
            __m256i q = load(b + (size_t)i * stride + 16 + 32 * j);
            __asm__("" : "+x"(q)); /* one load for both halves */
            v[i] = dot32(v[i], low4(q), x0, _mm256_set1_epi32(sc[2 * j][r + i]));
            v[i] = dot32(v[i], high4(q), x1, _mm256_set1_epi32(sc[2 * j + 1][r + i]));
        }
    }
}

INLINE __m256 block4(__m256 y, const uint8_t *b, size_t stride, const int8_t *x, float s,
                     const int16_t *sum)
{
    __m256i h[4], v[ROWS], sc[2];
    int32_t scales[8][ROWS];
    rows16(h, b, stride);
    six(sc, h[1], h[3]);
    UNROLL
    for (int j = 0; j < 8; j++)
        _mm256_storeu_si256((void *)scales[j], words(sc[j / 4], j % 4, j % 4));
    __asm__("" : "+m"(scales)); /* broadcasts from memory are free, others are not */
    for (int r = 0; r < ROWS; r += 4) rows4(v + r, b + (size_t)r * stride, stride, x, scales, r);
    y = add_block(y, low_halves(h[0]), s, sum8(v));
    const __m256 ms = _mm256_mul_ps(low_halves(_mm256_srli_epi32(h[0], 16)), _mm256_set1_ps(s));
    return _mm256_fnmadd_ps(ms, _mm256_cvtepi32_ps(minima(h, sum)), y);
}

/* ---- q6_k -------------------------------------------------------------------------- */

INLINE __m256i top2(__m256i h, int shift)
{
    const __m256i v = shift < 0 ? _mm256_srli_epi16(h, -shift) : _mm256_slli_epi16(h, shift);
    return _mm256_and_si256(v, _mm256_set1_epi8(0x30));
}

/* Sub-scale 2j in the low half, 2j + 1 in the high one, twice each: dword j % 4 of o[j / 4]. */
INLINE void scales6(__m256i o[2], __m128i sc)
{
    const __m128i halves_first =
        _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
    const __m256i w = _mm256_cvtepi8_epi16(_mm_shuffle_epi8(sc, halves_first));
    o[0] = _mm256_unpacklo_epi16(w, w), o[1] = _mm256_unpackhi_epi16(w, w);
}

/* One row; bias is the sums of the column times -16, half of what is due, which fits 16 bits. */
INLINE __m256i row6(const uint8_t *b, const int8_t *x, __m256i bias)
{
    const __m128i scales = load16(b + 192);
    __m256i sc[2], sum = _mm256_madd_epi16(_mm256_cvtepi8_epi16(scales), bias);
    sum = _mm256_slli_epi32(sum, 1);
    scales6(sc, scales);
    UNROLL
    for (int i = 0; i < 2; i++) {
        const __m256i l0 = load(b + 64 * i), l1 = load(b + 64 * i + 32), h = load(b + 128 + 32 * i);
        const int8_t *at = x + 128 * i;
        sum = dot32(sum, _mm256_or_si256(low4(l0), top2(h, 4)), load(at),
                    _mm256_shuffle_epi32(sc[i], 0x00));
        sum = dot32(sum, _mm256_or_si256(low4(l1), top2(h, 2)), load(at + 32),
                    _mm256_shuffle_epi32(sc[i], 0x55));
        sum = dot32(sum, _mm256_or_si256(high4(l0), top2(h, 0)), load(at + 64),
                    _mm256_shuffle_epi32(sc[i], 0xaa));
        sum = dot32(sum, _mm256_or_si256(high4(l1), top2(h, -2)), load(at + 96),
                    _mm256_shuffle_epi32(sc[i], 0xff));
    }
    return sum;
}

INLINE __m256 block6(__m256 y, const uint8_t *b, size_t stride, const int8_t *x, float s,
                     const int16_t *sum)
{
    __m256i v[ROWS];
    const __m256i bias = _mm256_sub_epi16(_mm256_setzero_si256(), _mm256_slli_epi16(load(sum), 4));
    for (size_t r = 0; r < ROWS; r++) v[r] = row6(b + r * stride, x, bias);
    return add_block(y, halves(b + 194, stride, true), s, sum8(v));
}

/* ---- q4_0, q8_0 -------------------------------------------------------------------- */

INLINE __m256i splat4(const void *p)
{
    int32_t v;
    memcpy(&v, p, sizeof v);
    return _mm256_set1_epi32(v);
}

/* So few codes that they are turned into lanes first, as in a panel: all 32 products fit 16 bits.
 */
INLINE __m256 block4_0(__m256 y, const uint8_t *b, size_t stride, const int8_t *x, float s,
                       const int16_t *sum)
{
    const __m256i bias = _mm256_madd_epi16(splat4(sum), _mm256_set1_epi16(-8));
    __m256i q[4], t = _mm256_setzero_si256();
    rows16(q, b + 2, stride);
    UNROLL
    for (int i = 0; i < 4; i++) {
        t = _mm256_add_epi16(t, _mm256_maddubs_epi16(low4(q[i]), splat4(x + 4 * i)));
        t = _mm256_add_epi16(t, _mm256_maddubs_epi16(high4(q[i]), splat4(x + 16 + 4 * i)));
    }
    const __m256i v = _mm256_madd_epi16(t, _mm256_set1_epi16(1));
    return add_block(y, halves(b, stride, false), s, _mm256_add_epi32(v, bias));
}

/* maddubs wants one side without signs: they move to the column. */
INLINE __m256 block8_0(__m256 y, const uint8_t *b, size_t stride, const int8_t *x, float s,
                       const int16_t *sum)
{
    const __m256i xs = load(x);
    __m256i v[ROWS];
    (void)sum;
    UNROLL
    for (size_t r = 0; r < ROWS; r++) {
        const __m256i q = load(b + r * stride + 2);
        const __m256i t = _mm256_maddubs_epi16(_mm256_abs_epi8(q), _mm256_sign_epi8(xs, q));
        v[r] = _mm256_madd_epi16(t, _mm256_set1_epi16(1));
    }
    return add_block(y, halves(b, stride, false), s, sum8(v));
}

/* ---- entries ----------------------------------------------------------------------- */

typedef __m256 block_fn(__m256 y, const uint8_t *b, size_t stride, const int8_t *x, float s,
                        const int16_t *sum);

INLINE void ahead(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i += 64) _mm_prefetch((const char *)p + i, _MM_HINT_T0);
}

/* y[8] of one column. */
INLINE __m256 eight(__m256 y, const uint8_t *b, size_t stride, const int8_t *q, const float *s,
                    const int16_t *sum, size_t n, enum mk_type type, block_fn *block, size_t by)
{
    const size_t len = mk_quants[type].block_len, bytes = mk_quants[type].block_bytes;
    const uint8_t *soon = b + by;
    for (size_t g = 0; g < n; g++, b += bytes, q += len, sum += len / 16) {
        if (by) ahead(soon + ROWS * g * bytes, ROWS * bytes);
        y = block(y, b, stride, q, s[g], sum);
    }
    return y;
}

INLINE void gemv(enum mk_type type, float *y, const uint8_t *rows, size_t stride,
                 const struct mk_x8 *x, size_t n_k, size_t n_col, block_fn *block)
{
    const size_t n = n_k / mk_quants[type].block_len, group = ROWS * stride;
    const size_t by = group < AHEAD ? (AHEAD + group - 1) / group * group : group;
    for (size_t i = 0; i < MK_PANEL_ROWS; i += ROWS)
        for (size_t c = 0; c < n_col; c++) {
            float *out = y + c * MK_PANEL_ROWS + i;
            const __m256 f =
                eight(_mm256_loadu_ps(out), rows + i * stride, stride, x->q + c * x->ldq,
                      x->s + c * x->lds, x->sum + c * x->ldsum, n, type, block, c ? 0 : by);
            _mm256_storeu_ps(out, f);
        }
}

#define GEMV(ID, block)                                                                        \
    static void gemv_##ID(float *y, const uint8_t *rows, size_t stride, const struct mk_x8 *x, \
                          size_t n_k, size_t n_col)                                            \
    {                                                                                          \
        gemv(MK_##ID, y, rows, stride, x, n_k, n_col, block);                                  \
    }
GEMV(Q4_0, block4_0)
GEMV(Q8_0, block8_0)
GEMV(Q4_K, block4)
GEMV(Q6_K, block6)

void mk_avx2_gemv(struct mk_kernels *k)
{
    memset(k->gemv_f32, 0, sizeof k->gemv_f32);
    memset(k->gemv, 0, sizeof k->gemv); /* the other types' scalar code is slower than panels */
    k->gemv[MK_Q4_0] = gemv_Q4_0;
    k->gemv[MK_Q8_0] = gemv_Q8_0;
    k->gemv[MK_Q4_K] = gemv_Q4_K;
    k->gemv[MK_Q6_K] = gemv_Q6_K;
}
