/* Rows of the types with blocks of 32 values, eight at a time, times up to four columns at once.
 * A vector holds 16 bytes of a row and 16 of the fourth row after it, so that sums of four such
 * vectors are those of eight rows, and all that follows is done for these together, as in a panel.
 *
 * Eight rows in turn are eight places of memory.  Lines of Q8_0 are left to the processor, which
 * reads ahead in each where rows lie far apart (kernels.h, reads_in_turn).  Of the others lines are
 * asked for in the order in which they lie, eight rows before they are used: measured with Q4_0,
 * whose rows are half as long, that is as fast or faster. */
#include "kernels/avx2/int_gemv.h"

enum { ROWS = 8, COLS = 4 /* at once */, AHEAD = 2 * 4096 /* bytes, at least */ };

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

/* Number r of the result is the dword at b + r * stride; the same is loaded around it. */
INLINE __m256i dwords(const uint8_t *b, size_t stride)
{
    __m256i v = two_of(b, stride);
    v = _mm256_blend_epi32(v, two_of(b + stride - 4, stride), 0x22);
    v = _mm256_blend_epi32(v, two_of(b + 2 * stride - 8, stride), 0x44);
    return _mm256_blend_epi32(v, two_of(b + 3 * stride - 12, stride), 0x88);
}

/* The sums of eight vectors of eight, in order. */
INLINE __m256i sum8(const __m256i v[ROWS])
{
    const __m256i a = add64(add32(v[0], v[1]), add32(v[2], v[3]));
    const __m256i b = add64(add32(v[4], v[5]), add32(v[6], v[7]));
    return _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20),
                            _mm256_permute2x128_si256(a, b, 0x31));
}

/* 32 values of a few columns, their y, and the sums of their products with a block. */
struct group {
    const int8_t *q[COLS];
    const float *s[COLS];
    const int16_t *sum[COLS];
    __m256 y[COLS];
    __m256i v[COLS];
    unsigned n; /* columns */
};

#define EACH(c, x) \
    UNROLL         \
    for (unsigned c = 0; c < (x)->n; c++)

/* by times the sum of a column's codes */
INLINE __m256i sums(const struct group *x, unsigned c, int16_t by)
{
    int32_t v;
    memcpy(&v, x->sum[c], sizeof v);
    return _mm256_madd_epi16(_mm256_set1_epi32(v), _mm256_set1_epi16(by));
}

/* y = fma(s, t, y) */
INLINE void add_scaled(struct group *x, unsigned c, __m256 t)
{
    x->y[c] = _mm256_fmadd_ps(_mm256_set1_ps(*x->s[c]), t, x->y[c]);
}

/* y = fma(s, d (float)(v - bias xs), y) */
INLINE void add_block(struct group *x, __m256 d, int16_t bias)
{
    EACH(c, x)
    {
        const __m256i v = bias ? _mm256_add_epi32(x->v[c], sums(x, c, (int16_t)-bias)) : x->v[c];
        add_scaled(x, c, _mm256_mul_ps(d, _mm256_cvtepi32_ps(v)));
    }
}

/* The low halves of eight dwords, then the high ones. */
INLINE __m256i part(__m256i v)
{
    const __m256i by = both((const char[]){0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15});
    return _mm256_permute4x64_epi64(_mm256_shuffle_epi8(v, by), 0xd8);
}

/* y = fma(s, fma(m, (float)xs, d (float)v), y), m in the high halves and d in the low. */
INLINE void add_block_min(struct group *x, __m256i dm)
{
    const __m256i h = part(dm);
    const __m256 d = _mm256_cvtph_ps(_mm256_castsi256_si128(h));
    const __m256 m = _mm256_cvtph_ps(_mm256_extracti128_si256(h, 1));
    EACH(c, x)
    {
        const __m256 t = _mm256_mul_ps(d, _mm256_cvtepi32_ps(x->v[c]));
        add_scaled(x, c, _mm256_fmadd_ps(m, _mm256_cvtepi32_ps(sums(x, c, 1)), t));
    }
}

/* A column's products with codes: the first 16 of each block, and the others. */
INLINE __m256i products(const struct group *x, unsigned c, __m256i low, __m256i high)
{
    __m256i v = dot2(low, both(x->q[c]), high, both(x->q[c] + 16));
    __asm__("" : "+x"(v)); /* gcc would add later, and spill */
    return v;
}

/* ---- q4_0, q4_1: all 32 products of such codes fit 16 bits ------------------------------- */

INLINE void dot4(struct group *x, const uint8_t *q, size_t stride)
{
    __m256i t[COLS][4];
    UNROLL
    for (size_t i = 0; i < 4; i++) {
        const __m256i v = two_of(q + i * stride, stride), low = low4(v), high = high4(v);
        EACH(c, x) t[c][i] = products(x, c, low, high);
    }
    EACH(c, x) x->v[c] = _mm256_madd_epi16(sum4(t[c]), _mm256_set1_epi16(1));
}

INLINE void block4_0(struct group *x, const uint8_t *b, size_t stride)
{
    dot4(x, b + 2, stride);
    add_block(x, halves(b, stride), 8);
}

INLINE void block4_1(struct group *x, const uint8_t *b, size_t stride)
{
    dot4(x, b + 4, stride);
    add_block_min(x, dwords(b, stride));
}

/* ---- q5_0, q5_1, mxfp4: half of the products of codes up to 31 do ------------------------ */

/* The sums of four vectors in pairs of 16 bits. */
INLINE __m256i sum4_wide(const __m256i v[4])
{
    const __m256i one = _mm256_set1_epi16(1);
    return add64(_mm256_madd_epi16(add16_32(v[0], v[1]), one),
                 _mm256_madd_epi16(add16_32(v[2], v[3]), one));
}

/* Bit i of bytes first and first + 1 of each lane as bit 4 of byte i. */
INLINE __m256i fifths(__m256i v, int first)
{
    const __m256i mask = _mm256_set1_epi64x((int64_t)0x8040201008040201);
    const int64_t by = first * 0x0101010101010101, next = by + 0x0101010101010101;
    const __m256i bits = _mm256_shuffle_epi8(v, _mm256_setr_epi64x(by, next, by, next));
    const __m256i is_set = _mm256_cmpeq_epi8(_mm256_and_si256(bits, mask), mask);
    return _mm256_and_si256(is_set, _mm256_set1_epi8(16));
}

/* Rows have four bytes of fifth bits `at` bytes behind b, then nibbles.  Returns the dwords at b,
 * which are loaded with these bits. */
INLINE __m256i dot5(struct group *x, const uint8_t *b, size_t stride, int at)
{
    __m256i t[COLS][4], f[4];
    UNROLL
    for (size_t i = 0; i < 4; i++, b += stride) {
        f[i] = two_of(b, stride);
        const __m256i v = two_of(b + at + 4, stride);
        const __m256i low = _mm256_or_si256(low4(v), fifths(f[i], at));
        const __m256i high = _mm256_or_si256(high4(v), fifths(f[i], at + 2));
        EACH(c, x) t[c][i] = products(x, c, low, high);
    }
    EACH(c, x) x->v[c] = sum4_wide(t[c]);
    return _mm256_unpacklo_epi64(_mm256_unpacklo_epi32(f[0], f[1]),
                                 _mm256_unpacklo_epi32(f[2], f[3]));
}

INLINE void block5_0(struct group *x, const uint8_t *b, size_t stride)
{
    const __m256i d = part(dot5(x, b, stride, 2));
    add_block(x, _mm256_cvtph_ps(_mm256_castsi256_si128(d)), 16);
}

INLINE void block5_1(struct group *x, const uint8_t *b, size_t stride)
{
    add_block_min(x, dot5(x, b, stride, 4));
}

/* 2^(e - 128), see quant/mxfp4.c: the two lowest exponents give subnormal floats, the highest means
 * NaN. */
INLINE __m256 powers(__m256i e)
{
    const __m256i one = _mm256_set1_epi32(1);
    const __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(e, one), 23);
    const __m256i sub = _mm256_slli_epi32(_mm256_add_epi32(e, one), 21);
    const __m256i is_nan = _mm256_cmpeq_epi32(e, _mm256_set1_epi32(255));
    return _mm256_castsi256_ps(_mm256_or_si256(_mm256_max_epi32(normal, sub), is_nan));
}

INLINE void block_mxfp4(struct group *x, const uint8_t *b, size_t stride)
{
    static const uint8_t code_of[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};
    const __m256i codes = both(code_of);
    __m256i t[COLS][4];
    UNROLL
    for (size_t i = 0; i < 4; i++) {
        const __m256i v = two_of(b + 1 + i * stride, stride);
        const __m256i low = _mm256_shuffle_epi8(codes, low4(v));
        const __m256i high = _mm256_shuffle_epi8(codes, high4(v));
        EACH(c, x) t[c][i] = products(x, c, low, high);
    }
    EACH(c, x) x->v[c] = sum4_wide(t[c]);
    add_block(x, powers(_mm256_and_si256(dwords(b, stride), _mm256_set1_epi32(255))), 12);
}

/* ---- iq4_nl, q8_0 ------------------------------------------------------------------------ */

INLINE void block_iq4(struct group *x, const uint8_t *b, size_t stride)
{
    const __m256i values = both(mk_iq4_values);
    __m256i t[COLS][4];
    UNROLL
    for (size_t i = 0; i < 4; i++) {
        const __m256i v = two_of(b + 2 + i * stride, stride);
        const __m256i low = _mm256_shuffle_epi8(values, low4(v));
        const __m256i high = _mm256_shuffle_epi8(values, high4(v));
        EACH(c, x)
        t[c][i] =
            _mm256_add_epi32(dot_signed(both(x->q[c]), low), dot_signed(both(x->q[c] + 16), high));
    }
    EACH(c, x) x->v[c] = add64(add32(t[c][0], t[c][1]), add32(t[c][2], t[c][3]));
    add_block(x, halves(b, stride), 0);
}

/* Rows are summed at the end, as there is no sign or magnitude to be shared. */
INLINE void block8_0(struct group *x, const uint8_t *b, size_t stride)
{
    EACH(c, x)
    {
        const __m256i xs = load(x->q[c]);
        __m256i v[ROWS];
        UNROLL
        for (size_t r = 0; r < ROWS; r++) v[r] = dot_signed(load(b + r * stride + 2), xs);
        x->v[c] = sum8(v);
    }
    add_block(x, halves(b, stride), 0);
}

/* ---- entries ----------------------------------------------------------------------------- */

/* How a type differs: the bytes of a block, a constant, unlike mk_quants; y += a block; and whether
 * lines are asked for. */
struct form {
    size_t bytes;
    void (*block)(struct group *x, const uint8_t *b, size_t stride);
    bool asks;
};

/* Between blocks, by one instruction: scattered among other loads these lines would come later. */
INLINE void ahead(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i += 64) {
        _mm_prefetch((const char *)p + i, _MM_HINT_T0);
        __asm__ volatile("");
    }
}

/* y[8] of n columns from c on; by: how far ahead rows are asked for, or 0. */
INLINE void eight(float *y, const uint8_t *b, size_t stride, const struct mk_x8 *x, size_t n_k,
                  struct form f, size_t by, size_t c, unsigned n)
{
    const uint8_t *soon = b + by;
    struct group at = {.n = n};
    y += c * MK_PANEL_ROWS;
    EACH(i, &at)
    {
        at.q[i] = x->q + (c + i) * x->ldq;
        at.s[i] = x->s + (c + i) * x->lds;
        at.sum[i] = x->sum + (c + i) * x->ldsum;
        at.y[i] = _mm256_loadu_ps(y + i * MK_PANEL_ROWS);
    }
    for (size_t g = 0; g < n_k / 32; g++) {
        if (by) ahead(soon + ROWS * g * f.bytes, ROWS * f.bytes);
        f.block(&at, b, stride);
        b += f.bytes;
        EACH(i, &at) at.q[i] += 32, at.s[i]++, at.sum[i] += 2;
    }
    EACH(i, &at) _mm256_storeu_ps(y + i * MK_PANEL_ROWS, at.y[i]);
}

INLINE void gemv(float *y, const uint8_t *rows, size_t stride, const struct mk_x8 *x, size_t n_k,
                 size_t n_col, struct form f)
{
    const size_t group = ROWS * stride;
    const size_t by = group < AHEAD ? (AHEAD + group - 1) / group * group : group;
    for (size_t i = 0; i < MK_PANEL_ROWS; i += ROWS, y += ROWS, rows += group)
        for (size_t c = 0; c < n_col; c += COLS) {
            const size_t left = n_col - c, soon = f.asks && !c ? by : 0;
            if (left == 1)
                eight(y, rows, stride, x, n_k, f, soon, c, 1);
            else if (left == 2)
                eight(y, rows, stride, x, n_k, f, soon, c, 2);
            else if (left == 3)
                eight(y, rows, stride, x, n_k, f, soon, c, 3);
            else
                eight(y, rows, stride, x, n_k, f, soon, c, 4);
        }
}

#define GEMV(ID, block, bytes, asks)                                                           \
    static void gemv_##ID(float *y, const uint8_t *rows, size_t stride, const struct mk_x8 *x, \
                          size_t n_k, size_t n_col)                                            \
    {                                                                                          \
        gemv(y, rows, stride, x, n_k, n_col, (struct form){bytes, block, asks});               \
    }
GEMV(Q4_0, block4_0, 18, true)
GEMV(Q4_1, block4_1, 20, true)
GEMV(Q5_0, block5_0, 22, true)
GEMV(Q5_1, block5_1, 24, true)
GEMV(Q8_0, block8_0, 34, false)
GEMV(IQ4_NL, block_iq4, 18, true)
GEMV(MXFP4, block_mxfp4, 17, true)

void mk_avx2_gemv_s32(struct mk_kernels *k)
{
    k->gemv[MK_Q4_0] = gemv_Q4_0;
    k->gemv[MK_Q4_1] = gemv_Q4_1;
    k->gemv[MK_Q5_0] = gemv_Q5_0;
    k->gemv[MK_Q5_1] = gemv_Q5_1;
    k->gemv[MK_Q8_0] = gemv_Q8_0;
    k->gemv[MK_IQ4_NL] = gemv_IQ4_NL;
    k->gemv[MK_MXFP4] = gemv_MXFP4;
    k->reads_in_turn[MK_Q8_0] = true;
}
