/* Rows as they are stored, eight at a time, times one column after another.  16 bytes of each are
 * turned, so that the lanes of a vector are rows, as in a panel: maddubs multiplies four codes of
 * each with four of the column, repeated, and all that follows is done for eight rows together.
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

/* y = fma(s, t, y) */
INLINE __m256 add_scaled(__m256 y, float s, __m256 t)
{
    return _mm256_fmadd_ps(_mm256_set1_ps(s), t, y);
}

INLINE __m256i splat4(const void *p)
{
    int32_t v;
    memcpy(&v, p, sizeof v);
    return _mm256_set1_epi32(v);
}

/* t + codes . x of four codes of each row, in pairs of 16 bits */
INLINE __m256i add_quad(__m256i t, __m256i codes, const int8_t *x)
{
    return _mm256_add_epi16(t, _mm256_maddubs_epi16(codes, splat4(x)));
}

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

/* f times byte i of each dword, with or without a sign. */
INLINE __m256 times_byte(__m256 f, __m256i v, int i, bool is_signed)
{
    const __m256i top = _mm256_slli_epi32(v, 24 - 8 * i);
    const __m256i byte = is_signed ? _mm256_srai_epi32(top, 24) : _mm256_srli_epi32(top, 24);
    return _mm256_mul_ps(f, _mm256_cvtepi32_ps(byte));
}

/* ---- q4_k, q5_k --------------------------------------------------------------------- */

/* The first four, and the other four, 6-bit numbers of a row (quant/pack.c). */
INLINE void six(__m256i o[2], __m256i low, __m256i rest4)
{
    const __m256i top = _mm256_and_si256(_mm256_srli_epi32(low, 2), _mm256_set1_epi8(0x30));
    o[0] = _mm256_and_si256(low, _mm256_set1_epi8(0x3f));
    o[1] = _mm256_or_si256(low4(rest4), top);
}

/* Bit j of each byte as bit 4. */
INLINE __m256i bit4(__m256i v, int j)
{
    const __m256i at4 = j < 4 ? _mm256_slli_epi16(v, 4 - j) : _mm256_srli_epi16(v, j - 4);
    return _mm256_and_si256(at4, _mm256_set1_epi8(16));
}

/* What 32 bytes of nibbles come to: o[0] the low ones with x[0..31], o[1] the high ones with the
 * next 32.  Bits j and j + 1 of the fifths, if any, are theirs. */
INLINE void nibbles(__m256i o[2], const uint8_t *b, size_t stride, const __m256i *fifths, int j,
                    const int8_t *x)
{
    const __m256i one = _mm256_set1_epi16(1);
    o[0] = o[1] = _mm256_setzero_si256();
    UNROLL
    for (size_t k = 0; k < 32; k += 16) {
        __m256i q[4], t[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
        rows16(q, b + k, stride);
        UNROLL
        for (size_t i = 0; i < 4; i++) {
            __m256i low = low4(q[i]), high = high4(q[i]);
            if (fifths) {
                low = _mm256_or_si256(low, bit4(fifths[k / 4 + i], j));
                high = _mm256_or_si256(high, bit4(fifths[k / 4 + i], j + 1));
            }
            t[0] = add_quad(t[0], low, x + k + 4 * i);
            t[1] = add_quad(t[1], high, x + 32 + k + 4 * i);
        }
        UNROLL
        for (int i = 0; i < 2; i++) o[i] = _mm256_add_epi32(o[i], _mm256_madd_epi16(t[i], one));
    }
}

INLINE __m256 block_nibbles(__m256 y, const uint8_t *b, size_t stride, const int8_t *x,
                            const float *s, const int16_t *sum, bool has_fifth)
{
    float xs[8];
    __m256i h[4], sc[2], mn[2], fifths[8];
    rows16(h, b, stride);
    six(sc, h[1], h[3]);
    six(mn, h[2], _mm256_srli_epi32(h[3], 4));
    _mm256_storeu_ps(xs, _mm256_cvtepi32_ps(_mm256_madd_epi16(load(sum), _mm256_set1_epi16(1))));
    const __m256 d = low_halves(h[0]), m = low_halves(_mm256_srli_epi32(h[0], 16));
    if (has_fifth) rows16(fifths, b + 16, stride), rows16(fifths + 4, b + 32, stride);
    const uint8_t *q = b + (has_fifth ? 48 : 16);
    UNROLL
    for (int j = 0; j < 8; j += 2) {
        __m256i v[2];
        nibbles(v, q + 16 * j, stride, has_fifth ? fifths : NULL, j, x + 32 * j);
        UNROLL
        for (int i = j; i < j + 2; i++) {
            const __m256 f = _mm256_cvtepi32_ps(v[i - j]);
            const __m256 t = _mm256_mul_ps(times_byte(d, sc[i / 4], i % 4, false), f);
            const __m256 min = times_byte(m, mn[i / 4], i % 4, false);
            y = add_scaled(y, s[i], _mm256_fnmadd_ps(min, _mm256_set1_ps(xs[i]), t));
        }
    }
    return y;
}

INLINE __m256 block4(__m256 y, const uint8_t *b, size_t stride, const int8_t *x, const float *s,
                     const int16_t *sum)
{
    return block_nibbles(y, b, stride, x, s, sum, false);
}

INLINE __m256 block5(__m256 y, const uint8_t *b, size_t stride, const int8_t *x, const float *s,
                     const int16_t *sum)
{
    return block_nibbles(y, b, stride, x, s, sum, true);
}

/* ---- q6_k -------------------------------------------------------------------------- */

/* Bits 2g and 2g + 1 of each byte as bits 4 and 5. */
INLINE __m256i top2(__m256i h, int g)
{
    const __m256i v = g < 2 ? _mm256_slli_epi16(h, 4 - 2 * g) : _mm256_srli_epi16(h, 2 * g - 4);
    return _mm256_and_si256(v, _mm256_set1_epi8(0x30));
}

/* i + codes . x for 16 codes: groups 0 and 2 of low, or 1 and 3, with bits of high. */
INLINE __m256i dot6(__m256i i, const __m256i low[4], const __m256i high[4], int g, const int8_t *x)
{
    UNROLL
    for (size_t k = 0; k < 4; k += 2) {
        __m256i t = _mm256_setzero_si256();
        UNROLL
        for (size_t j = k; j < k + 2; j++) {
            const __m256i q = g < 2 ? low4(low[j]) : high4(low[j]);
            t = add_quad(t, _mm256_or_si256(q, top2(high[j], g)), x + 4 * j);
        }
        i = _mm256_add_epi32(i, _mm256_madd_epi16(t, _mm256_set1_epi16(1)));
    }
    return i;
}

/* Sub-blocks `at`, at + 2, .. of the 128 values at x, which are the first or second halves of four
 * groups of 32: t = d (float)i, or plus that. */
INLINE void half6(__m256 t[4], const uint8_t *low, const uint8_t *high, size_t stride,
                  const int8_t *x, __m256 d, const __m256i sc[4], const int32_t *bias, int at)
{
    __m256i l[2][4], h[4];
    rows16(l[0], low, stride), rows16(l[1], low + 32, stride), rows16(h, high, stride);
    UNROLL
    for (int g = 0; g < 4; g++) {
        const int j = at + 2 * g;
        const __m256i i = dot6(_mm256_set1_epi32(bias[j]), l[g % 2], h, g, x + 32 * g);
        const __m256 dj = times_byte(d, sc[j / 4], j % 4, true), f = _mm256_cvtepi32_ps(i);
        t[g] = at % 2 ? _mm256_fmadd_ps(dj, f, t[g]) : _mm256_mul_ps(dj, f);
    }
}

INLINE __m256 block6(__m256 y, const uint8_t *b, size_t stride, const int8_t *x, const float *s,
                     const int16_t *sum)
{
    int32_t bias[16];
    __m256i sc[4];
    for (size_t j = 0; j < 16; j++) bias[j] = -32 * sum[j];
    __asm__("" : "+m"(bias)); /* broadcasts from memory are free, others are not */
    rows16(sc, b + 192, stride);
    const __m256 d = halves(b + 194, stride, true);
    UNROLL
    for (int n = 0; n < 2; n++) {
        __m256 t[4];
        UNROLL
        for (int i = 0; i < 2; i++)
            half6(t, b + 64 * n + 16 * i, b + 128 + 32 * n + 16 * i, stride, x + 128 * n + 16 * i,
                  d, sc, bias, 8 * n + i);
        UNROLL
        for (int g = 0; g < 4; g++) y = add_scaled(y, s[4 * n + g], t[g]);
    }
    return y;
}

/* ---- q4_0, q8_0 -------------------------------------------------------------------- */

/* y = fma(s, d (float)sum, y) */
INLINE __m256 add_block(__m256 y, __m256 d, float s, __m256i sum)
{
    return add_scaled(y, s, _mm256_mul_ps(d, _mm256_cvtepi32_ps(sum)));
}

/* All 32 products of such codes fit 16 bits. */
INLINE __m256 block4_0(__m256 y, const uint8_t *b, size_t stride, const int8_t *x, const float *s,
                       const int16_t *sum)
{
    const __m256i bias = _mm256_madd_epi16(splat4(sum), _mm256_set1_epi16(-8));
    __m256i q[4], t = _mm256_setzero_si256();
    rows16(q, b + 2, stride);
    UNROLL
    for (int i = 0; i < 4; i++) {
        t = add_quad(t, low4(q[i]), x + 4 * i);
        t = add_quad(t, high4(q[i]), x + 16 + 4 * i);
    }
    const __m256i v = _mm256_madd_epi16(t, _mm256_set1_epi16(1));
    return add_block(y, halves(b, stride, false), *s, _mm256_add_epi32(v, bias));
}

/* maddubs wants one side without signs: they move to the column.  Rows are summed at the end, as
 * there is no sign or magnitude to be shared. */
INLINE __m256 block8_0(__m256 y, const uint8_t *b, size_t stride, const int8_t *x, const float *s,
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
    return add_block(y, halves(b, stride, false), *s, sum8(v));
}

/* ---- entries ----------------------------------------------------------------------- */

typedef __m256 block_fn(__m256 y, const uint8_t *b, size_t stride, const int8_t *x, const float *s,
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
    for (size_t g = 0; g < n; g++, b += bytes, q += len, s += len / 32, sum += len / 16) {
        if (by) ahead(soon + ROWS * g * bytes, ROWS * bytes);
        y = block(y, b, stride, q, s, sum);
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
GEMV(Q5_K, block5)
GEMV(Q6_K, block6)

void mk_avx2_gemv(struct mk_kernels *k)
{
    memset(k->gemv_f32, 0, sizeof k->gemv_f32);
    memset(k->gemv, 0, sizeof k->gemv); /* the other types' scalar code is slower than panels */
    k->gemv[MK_Q4_0] = gemv_Q4_0;
    k->gemv[MK_Q8_0] = gemv_Q8_0;
    k->gemv[MK_Q4_K] = gemv_Q4_K;
    k->gemv[MK_Q5_K] = gemv_Q5_K;
    k->gemv[MK_Q6_K] = gemv_Q6_K;
}
