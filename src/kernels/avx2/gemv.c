/* Rows as they are stored, eight at a time, times one column after another.  A vector holds 16
 * bytes of a row and 16 of the fourth row after it; maddubs multiplies pairs of codes with pairs of
 * the column.  What four such vectors come to is added by unpacking: dword i of each lane is left
 * with the sum of row i, and all that follows is done for eight rows together, as in a panel.  Sums
 * of codes of few bits fit 16 bits up to there, so that a pair of them is one step of madd.
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

/* Number r of the result is the 16-bit float at b + r * stride.  Each is loaded to where it belongs
 * and with it what lies around it, up to 14 bytes before it in all rows but the first, or behind it
 * in all but the last. */
INLINE __m256 halves(const uint8_t *b, size_t stride)
{
    const uint8_t *e = b + 4 * stride - 8;
    __m128i v = load16(b), w = load16(e);
    stride -= 2;
    v = _mm_blend_epi16(v, load16(b + stride), 1 << 1);
    w = _mm_blend_epi16(w, load16(e + stride), 1 << 5);
    v = _mm_blend_epi16(v, load16(b + 2 * stride), 1 << 2);
    w = _mm_blend_epi16(w, load16(e + 2 * stride), 1 << 6);
    v = _mm_blend_epi16(v, load16(b + 3 * stride), 1 << 3);
    w = _mm_blend_epi16(w, load16(e + 3 * stride), 1 << 7);
    return _mm256_cvtph_ps(_mm_blend_epi16(v, w, 0xf0));
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

/* The same of pairs of 16 bits; what does not fit is lost without harm where the sum does. */
INLINE __m256i add16_32(__m256i a, __m256i b)
{
    return _mm256_add_epi16(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
}
INLINE __m256i add16_64(__m256i a, __m256i b)
{
    return _mm256_add_epi16(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
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

/* 16 bytes, twice. */
INLINE __m256i both(const void *p) { return _mm256_broadcastsi128_si256(load16(p)); }

/* 16 bytes of a row and those of the fourth row after it.  A blend, which may read 16 bytes before
 * the latter: vinserti128 from memory goes through one pipe. */
INLINE __m256i two_rows(const uint8_t *b, size_t stride)
{
    return _mm256_blend_epi32(_mm256_castsi128_si256(load16(b)), load(b + 4 * stride - 16), 0xf0);
}

/* 16 bytes of each of eight rows: o[i] holds bytes 4i..4i+3 of all. */
INLINE void rows16(__m256i o[4], const uint8_t *b, size_t stride)
{
    __m256i v[4];
    UNROLL
    for (size_t i = 0; i < 4; i++) v[i] = two_rows(b + i * stride, stride);
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

/* ---- q4_k, q5_k ---------------------------------------------------------------------
 *
 * Scales of sub-blocks multiply sums while both are integers, in madd: products of at most 23 bits
 * are exact floats, and d (float)(sc sum) rounds as (d sc) (float)sum does.  (A zero may have the
 * other sign, which nothing shows but a y of -0.) */

/* The first four, and the other four, 6-bit numbers of a row (quant/pack.c). */
INLINE void six(__m256i o[2], __m256i low, __m256i rest4)
{
    const __m256i top = _mm256_and_si256(_mm256_srli_epi32(low, 2), _mm256_set1_epi8(0x30));
    o[0] = _mm256_and_si256(low, _mm256_set1_epi8(0x3f));
    o[1] = _mm256_or_si256(low4(rest4), top);
}

/* Byte i of rows a..d (and those of the fourth after each) as two numbers of 16 bits. */
INLINE __m256i scales16(__m256i v, int i, int a, int b, int c, int d)
{
    const int at = (int)0x80008000 | i * 0x10001, by = 0x40004;
    return _mm256_shuffle_epi8(v, _mm256_setr_epi32(at + a * by, at + b * by, at + c * by,
                                                    at + d * by, at + a * by, at + b * by,
                                                    at + c * by, at + d * by));
}

/* Bit j of each byte as bit 4. */
INLINE __m256i bit4(__m256i v, int j)
{
    const __m256i at4 = j < 4 ? _mm256_slli_epi16(v, 4 - j) : _mm256_srli_epi16(v, j - 4);
    return _mm256_and_si256(at4, _mm256_set1_epi8(16));
}

/* Codes with fifth bits, if any. */
INLINE __m256i fifth(__m256i codes, const __m256i *bits, int j)
{
    return bits ? _mm256_or_si256(codes, bit4(*bits, j)) : codes;
}

/* a . x + b . y in pairs of 16 bits */
INLINE __m256i dot2(__m256i a, __m256i x, __m256i b, __m256i y)
{
    return _mm256_add_epi16(_mm256_maddubs_epi16(a, x), _mm256_maddubs_epi16(b, y));
}

/* What 32 bytes of nibbles come to: low[i] with x[0..31] and high[i] with the next 32, of rows 2i
 * and 2i + 1 by turns.  fifths[r]: those of rows r and r + 4, bits j and j + 1. */
INLINE void nibbles(__m256i low[2], __m256i high[2], const uint8_t *b, size_t stride,
                    const int8_t *x, __m256i (*fifths)[2], int j)
{
    const __m256i x0 = both(x), x1 = both(x + 16), x2 = both(x + 32), x3 = both(x + 48);
    UNROLL
    for (size_t i = 0; i < 2; i++) {
        __m256i l[2], h[2];
        UNROLL
        for (size_t k = 0; k < 2; k++) {
            const size_t r = 2 * i + k;
            const __m256i p = two_rows(b + r * stride, stride);
            const __m256i q = two_rows(b + r * stride + 16, stride);
            const __m256i *f = fifths ? fifths[r] : NULL, *g = fifths ? f + 1 : NULL;
            l[k] = dot2(fifth(low4(p), f, j), x0, fifth(low4(q), g, j), x1);
            h[k] = dot2(fifth(high4(p), f, j + 1), x2, fifth(high4(q), g, j + 1), x3);
        }
        low[i] = add16_32(l[0], l[1]), high[i] = add16_32(h[0], h[1]);
    }
}

/* Scale i times what nibbles gave.  All that follows of four bits fits 16 bits. */
INLINE __m256 scaled(const __m256i v[2], __m256i sc, int i, bool has_fifth)
{
    if (!has_fifth)
        return _mm256_cvtepi32_ps(
            _mm256_madd_epi16(add16_64(v[0], v[1]), scales16(sc, i, 0, 1, 2, 3)));
    return _mm256_cvtepi32_ps(add64(_mm256_madd_epi16(v[0], scales16(sc, i, 0, 1, 0, 1)),
                                    _mm256_madd_epi16(v[1], scales16(sc, i, 2, 3, 2, 3))));
}

INLINE __m256 block_nibbles(__m256 y, const uint8_t *b, size_t stride, const int8_t *x,
                            const float *s, const int16_t *sum, bool has_fifth)
{
    __m256i h[4], sc[2], mn[2], fifths[4][2];
    rows16(h, b, stride);
    six(sc, h[1], h[3]);
    six(mn, h[2], _mm256_srli_epi32(h[3], 4));
    const __m256 d = low_halves(h[0]), m = low_halves(_mm256_srli_epi32(h[0], 16));
    UNROLL
    for (size_t r = 0; has_fifth && r < 4; r++) {
        fifths[r][0] = two_rows(b + r * stride + 16, stride);
        fifths[r][1] = two_rows(b + r * stride + 32, stride);
    }
    const uint8_t *q = b + (has_fifth ? 48 : 16);
    UNROLL
    for (int j = 0; j < 8; j += 2) {
        __m256i v[2][2];
        nibbles(v[0], v[1], q + 16 * j, stride, x + 32 * j, has_fifth ? fifths : NULL, j);
        UNROLL
        for (int i = j; i < j + 2; i++) {
            const __m256 t = _mm256_mul_ps(d, scaled(v[i - j], sc[i / 4], i % 4, has_fifth));
            const __m256i mins = scales16(mn[i / 4], i % 4, 0, 1, 2, 3);
            const __m256 min = _mm256_cvtepi32_ps(_mm256_madd_epi16(mins, splat4(sum + 2 * i)));
            y = add_scaled(y, s[i], _mm256_fnmadd_ps(m, min, t));
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

/* Byte i of each dword as two numbers of 16 bits. */
INLINE __m256i signed16(__m256i v, int i)
{
    const int at = 0x00800080 | i * 0x1000100, by = 0x4000400;
    const __m256i e = _mm256_setr_epi32(at, at + by, at + 2 * by, at + 3 * by, at, at + by,
                                        at + 2 * by, at + 3 * by);
    return _mm256_srai_epi16(_mm256_shuffle_epi8(v, e), 8);
}

/* Bits 2g and 2g + 1 of each byte as bits 4 and 5. */
INLINE __m256i top2(__m256i h, int g)
{
    const __m256i v = g == 2  ? h
                      : g < 2 ? _mm256_slli_epi16(h, 4 - 2 * g)
                              : _mm256_srli_epi16(h, 2 * g - 4);
    return _mm256_and_si256(v, _mm256_set1_epi8(0x30));
}

/* 32 times the sums of codes 0, 1, 4, 5, .. and of codes 2, 3, 6, 7, .. of 16 sub-blocks, of those
 * of 128 values the even ones first. */
INLINE void bias6(int32_t o[16], const int8_t *x)
{
    const __m256i bias = _mm256_set1_epi8(32);
    UNROLL
    for (size_t n = 0; n < 2; n++) {
        __m256i v[4];
        UNROLL
        for (size_t g = 0; g < 4; g++)
            v[g] = _mm256_maddubs_epi16(bias, load(x + 128 * n + 32 * g));
        _mm256_storeu_si256((__m256i *)(o + 8 * n),
                            add16_64(add16_32(v[0], v[1]), add16_32(v[2], v[3])));
    }
}

/* Groups g and g + 2 of four: what 16 bytes of low bits, with those of high, of each row come to
 * with x[0..15] and x[64..79]. */
INLINE void pair6(__m256i o[2], const uint8_t *low, size_t stride, const __m256i high[4], int g,
                  const int8_t *x)
{
    const __m256i x0 = both(x), x1 = both(x + 64);
    __m256i v[2][2];
    UNROLL
    for (size_t i = 0; i < 2; i++) {
        __m256i t[2][2];
        UNROLL
        for (size_t k = 0; k < 2; k++) {
            const size_t r = 2 * i + k;
            const __m256i q = two_rows(low + r * stride, stride);
            t[0][k] = _mm256_maddubs_epi16(_mm256_or_si256(low4(q), top2(high[r], g)), x0);
            t[1][k] = _mm256_maddubs_epi16(_mm256_or_si256(high4(q), top2(high[r], g + 2)), x1);
        }
        v[0][i] = add16_32(t[0][0], t[0][1]), v[1][i] = add16_32(t[1][0], t[1][1]);
    }
    o[0] = add16_64(v[0][0], v[0][1]), o[1] = add16_64(v[1][0], v[1][1]);
}

/* Sub-blocks 2g + i of 128 values: t = d (float)sum, or plus that. */
INLINE void half6(__m256 t[4], const uint8_t *low, const uint8_t *high, size_t stride,
                  const int8_t *x, __m256 d, const __m256i sc[2], const int32_t *bias, int i)
{
    __m256i h[4], w[4];
    UNROLL
    for (size_t r = 0; r < 4; r++) h[r] = two_rows(high + r * stride, stride);
    UNROLL
    for (int g = 0; g < 2; g++) {
        __m256i v[2];
        pair6(v, low + 32 * g, stride, h, g, x + 32 * g);
        w[g] = v[0], w[g + 2] = v[1];
    }
    UNROLL
    for (int g = 0; g < 4; g++) {
        const int j = 2 * g + i;
        const __m256i v = _mm256_sub_epi16(w[g], _mm256_set1_epi32(bias[4 * i + g]));
        const __m256 f = _mm256_cvtepi32_ps(_mm256_madd_epi16(v, signed16(sc[j / 4], j % 4)));
        t[g] = i ? _mm256_fmadd_ps(d, f, t[g]) : _mm256_mul_ps(d, f);
    }
}

INLINE __m256 block6(__m256 y, const uint8_t *b, size_t stride, const int8_t *x, const float *s,
                     const int16_t *sum)
{
    int32_t bias[16];
    __m256i sc[4];
    (void)sum;
    bias6(bias, x);
    rows16(sc, b + 192, stride);
    const __m256 d = halves(b + 208, stride);
    UNROLL
    for (int n = 0; n < 2; n++) {
        __m256 t[4];
        UNROLL
        for (int i = 0; i < 2; i++)
            half6(t, b + 64 * n + 16 * i, b + 128 + 32 * n + 16 * i, stride, x + 128 * n + 16 * i,
                  d, sc + 2 * n, bias + 8 * n, i);
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
    const __m256i low = both(x), high = both(x + 16);
    __m256i t[4];
    UNROLL
    for (size_t i = 0; i < 4; i++) {
        const __m256i q = two_rows(b + 2 + i * stride, stride);
        t[i] = dot2(low4(q), low, high4(q), high);
    }
    const __m256i w = add16_64(add16_32(t[0], t[1]), add16_32(t[2], t[3]));
    const __m256i v = _mm256_madd_epi16(w, _mm256_set1_epi16(1));
    return add_block(y, halves(b, stride), *s, _mm256_add_epi32(v, bias));
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
    return add_block(y, halves(b, stride), *s, sum8(v));
}

/* ---- entries ----------------------------------------------------------------------- */

typedef __m256 block_fn(__m256 y, const uint8_t *b, size_t stride, const int8_t *x, const float *s,
                        const int16_t *sum);

struct form {
    size_t len, bytes; /* of a block; constants, unlike mk_quants */
    block_fn *block;
};

/* Between blocks, by one instruction: scattered among other loads these lines would come later. */
INLINE void ahead(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i += 64) {
        _mm_prefetch((const char *)p + i, _MM_HINT_T0);
        __asm__ volatile("");
    }
}

/* y[8] of one column. */
INLINE __m256 eight(__m256 y, const uint8_t *b, size_t stride, const int8_t *q, const float *s,
                    const int16_t *sum, size_t n, struct form f, size_t by)
{
    const uint8_t *soon = b + by;
    for (size_t g = 0; g < n; g++) {
        if (by) ahead(soon + ROWS * g * f.bytes, ROWS * f.bytes);
        y = f.block(y, b, stride, q, s, sum);
        b += f.bytes, q += f.len, s += f.len / 32, sum += f.len / 16;
    }
    return y;
}

INLINE void gemv(float *y, const uint8_t *rows, size_t stride, const struct mk_x8 *x, size_t n_k,
                 size_t n_col, struct form form)
{
    const size_t n = n_k / form.len, group = ROWS * stride;
    const size_t by = group < AHEAD ? (AHEAD + group - 1) / group * group : group;
    for (size_t i = 0; i < MK_PANEL_ROWS; i += ROWS)
        for (size_t c = 0; c < n_col; c++) {
            float *out = y + c * MK_PANEL_ROWS + i;
            const __m256 f =
                eight(_mm256_loadu_ps(out), rows + i * stride, stride, x->q + c * x->ldq,
                      x->s + c * x->lds, x->sum + c * x->ldsum, n, form, c ? 0 : by);
            _mm256_storeu_ps(out, f);
        }
}

#define GEMV(ID, block, len, bytes)                                                            \
    static void gemv_##ID(float *y, const uint8_t *rows, size_t stride, const struct mk_x8 *x, \
                          size_t n_k, size_t n_col)                                            \
    {                                                                                          \
        gemv(y, rows, stride, x, n_k, n_col, (struct form){len, bytes, block});                \
    }
GEMV(Q4_0, block4_0, 32, 18)
GEMV(Q8_0, block8_0, 32, 34)
GEMV(Q4_K, block4, 256, 144)
GEMV(Q5_K, block5, 256, 176)
GEMV(Q6_K, block6, 256, 210)

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
