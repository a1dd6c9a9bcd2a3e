/* Rows of the types with one scale for each 32 values, times a few columns: a vector holds several
 * blocks of a row, and 16 blocks are summed to one number each. */
#include "int_gemv.h"

enum { BLOCKS = MK_GEMV_K / 32, EACH = 16 /* blocks at a time */ };

/* How a type differs.  ready: codes of 16 blocks of a column in the order in which block() wants
 * them.  block: of m (1..16) blocks of a row, the sums of codes times codes, still with the bias,
 * and the scales as halves; the sum of block i is number at(i). */
struct form {
    size_t bytes;
    int bias;
    void (*ready)(__m512i o[8], const int8_t *q, size_t m);
    void (*block)(__m512i sums[MK_GEMV_COLS], uint16_t d[EACH], const uint8_t *b, __m512i (*x)[8],
                  unsigned n, size_t m);
    size_t (*at)(size_t i);
};

struct space {
    __m512i x[BLOCKS / EACH][MK_GEMV_COLS][8];
    __m512i sums[MK_GEMV_COLS][BLOCKS / EACH][MK_PANEL_ROWS];
    uint16_t d[BLOCKS / EACH][MK_PANEL_ROWS][EACH] __attribute__((aligned(64)));
};

/* Bytes i..i+63 of those before end. */
INLINE __m512i load_to(const void *p, size_t i, size_t end)
{
    if (i + 64 <= end) return mk_load((const uint8_t *)p + i);
    const uint64_t mask = i < end ? ~0ull >> (64 - (end - i)) : 0;
    return _mm512_maskz_loadu_epi8(mask, (const uint8_t *)p + i);
}

INLINE void row(struct space *o, unsigned r, const uint8_t *b, size_t n_g, unsigned n,
                struct form t)
{
    size_t j = 0;
    __m512i sums[MK_GEMV_COLS];
    for (size_t g = 0; g < n_g; g += EACH, j++, b += EACH * t.bytes) {
        mk_ahead(b, EACH * t.bytes);
        if (n_g - g >= EACH)
            t.block(sums, o->d[j][r], b, o->x[j], n, EACH);
        else
            t.block(sums, o->d[j][r], b, o->x[j], n, n_g - g);
        UNROLL
        for (unsigned c = 0; c < n; c++) o->sums[c][j][r] = sums[c];
    }
}

/* y[16] of column c: m blocks from block EACH * j on. */
INLINE __m512 add(__m512 y, const struct space *o, unsigned c, size_t j, const struct mk_x8 *x,
                  size_t m, struct form t)
{
    __m512i sums[EACH], d[EACH / 2];
    int32_t bias[EACH] __attribute__((aligned(64)));
    const float *s = x->s + c * x->lds + EACH * j;
    const __m512i xs = load_to(x->sum + c * x->ldsum + 2 * EACH * j, 0, 4 * m);
    _mm512_store_si512(bias, _mm512_madd_epi16(xs, _mm512_set1_epi16((int16_t)-t.bias)));
    UNROLL
    for (int i = 0; i < 4; i++)
        mk_rows16(sums + 4 * i, (const uint8_t *)o->sums[c][j] + 16 * i, sizeof(__m512i));
    UNROLL
    for (int i = 0; i < 2; i++)
        mk_rows16(d + 4 * i, (const uint8_t *)(o->d[j][0] + 8 * i), 2 * EACH);
    UNROLL
    for (size_t i = 0; i < EACH; i++) {
        if (i >= m) break;
        const __m512i half = i % 2 ? _mm512_srli_epi32(d[i / 2], 16) : d[i / 2];
        const __m512i sum = _mm512_add_epi32(sums[t.at(i)], _mm512_set1_epi32(bias[i]));
        mk_add_block(&y, mk_half_ps(half), s[i], sum);
    }
    return y;
}

INLINE void part(float *y, const uint8_t *rows, size_t stride, const struct mk_x8 *x, size_t n_k,
                 unsigned n, struct form t)
{
    struct space o;
    const size_t n_g = n_k / 32;
    for (size_t g = 0; g < n_g; g += EACH)
        for (unsigned c = 0; c < n; c++)
            t.ready(o.x[g / EACH][c], x->q + c * x->ldq + 32 * g, n_g - g < EACH ? n_g - g : EACH);
    for (unsigned r = 0; r < MK_PANEL_ROWS; r++) row(&o, r, rows + r * stride, n_g, n, t);
    for (unsigned c = 0; c < n; c++) {
        __m512 f = _mm512_loadu_ps(y + c * MK_PANEL_ROWS);
        for (size_t g = 0; g < n_g; g += EACH)
            f = n_g - g >= EACH ? add(f, &o, c, g / EACH, x, EACH, t)
                                : add(f, &o, c, g / EACH, x, n_g - g, t);
        _mm512_storeu_ps(y + c * MK_PANEL_ROWS, f);
    }
}

/* ---- q8_0: 34 bytes, d and 32 signed codes: two blocks to a vector ----------------------- */

INLINE void ready8(__m512i o[8], const int8_t *q, size_t m)
{
    UNROLL
    for (size_t i = 0; i < 8; i++) o[i] = load_to(q, 64 * i, 32 * m);
}

/* Codes of blocks 0 and 1, with the bias. */
INLINE __m512i codes8(const uint8_t *b, bool has_second)
{
    __m512i v = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)(b + 2)));
    if (has_second) v = _mm512_inserti64x4(v, _mm256_loadu_si256((const __m256i *)(b + 36)), 1);
    return _mm512_xor_si512(v, _mm512_set1_epi8((char)0x80));
}

INLINE void block8(__m512i sums[MK_GEMV_COLS], uint16_t d[EACH], const uint8_t *b, __m512i (*x)[8],
                   unsigned n, size_t m)
{
    const __m512i zero = _mm512_setzero_si512();
    __m512i v[MK_GEMV_COLS][8];
    UNROLL
    for (size_t i = 0; i < 8; i++) {
        const __m512i code = 2 * i < m ? codes8(b + 68 * i, 2 * i + 1 < m) : zero;
        UNROLL
        for (unsigned c = 0; c < n; c++) v[c][i] = _mm512_dpbusd_epi32(zero, code, x[c][i]);
    }
    UNROLL
    for (size_t i = 0; i < EACH; i++)
        if (i < m) memcpy(&d[i], b + 34 * i, 2);
    UNROLL
    for (unsigned c = 0; c < n; c++) sums[c] = mk_sum_halves(mk_sum4(v[c]), mk_sum4(v[c] + 4));
}

INLINE size_t at8(size_t i) { return i / 8 * 8 + i % 2 * 4 + i / 2 % 4; }

INLINE void q8_0(float *y, const uint8_t *rows, size_t stride, const struct mk_x8 *x, size_t n_k,
                 unsigned n)
{
    part(y, rows, stride, x, n_k, n, (struct form){34, 128, ready8, block8, at8});
}

/* ---- q4_0: 18 bytes, d and 32 codes, 0..15 in low nibbles --------------------------------
 * ---- q5_0: 22 bytes, d, the codes' fifth bits, and the nibbles: four blocks to a vector --- */

/* Halves 0..15 and 16..31 of four blocks, a block to 128 bits. */
INLINE void ready4(__m512i o[8], const int8_t *q, size_t m)
{
    UNROLL
    for (size_t i = 0; i < 4; i++) {
        const __m512i a = load_to(q, 128 * i, 32 * m), b = load_to(q, 128 * i + 64, 32 * m);
        o[2 * i] = _mm512_shuffle_i32x4(a, b, 0x88);
        o[2 * i + 1] = _mm512_shuffle_i32x4(a, b, 0xdd);
    }
}

/* 16 bytes of each of m (1..4) blocks. */
INLINE __m512i lanes_of(const uint8_t *b, size_t bytes, size_t m)
{
    __m512i v = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)b));
    UNROLL
    for (size_t j = 1; j < 4; j++)
        if (j < m)
            v = _mm512_mask_broadcast_i32x4(v, (__mmask16)(15 << 4 * j),
                                            _mm_loadu_si128((const __m128i *)(b + j * bytes)));
    return v;
}

INLINE uint64_t half_at(const uint8_t *b)
{
    uint16_t v;
    memcpy(&v, b, sizeof v);
    return v;
}

/* sums += nibbles of four blocks times x[c][0..1]. */
INLINE void four4(__m512i v[MK_GEMV_COLS], __m512i low, __m512i high, const __m512i *x, unsigned n)
{
    UNROLL
    for (unsigned c = 0; c < n; c++)
        v[c] = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(_mm512_setzero_si512(), low, x[8 * c]), high,
                                   x[8 * c + 1]);
}

INLINE void nibbles(__m512i sums[MK_GEMV_COLS], uint16_t d[EACH], const uint8_t *b, __m512i (*x)[8],
                    unsigned n, size_t m, size_t bytes)
{
    const bool has_fifth = bytes == 22;
    __m512i v[4][MK_GEMV_COLS];
    UNROLL
    for (size_t i = 0; i < 4; i++, b += 4 * bytes) {
        const size_t left = m > 4 * i ? m - 4 * i : 0;
        __m512i low = _mm512_setzero_si512(), high = low;
        if (left) {
            const __m512i code = lanes_of(b + bytes - 16, bytes, left);
            low = mk_low4(code), high = mk_high4(code);
        }
        uint64_t l = 0, h = 0;
        UNROLL
        for (size_t j = 0; j < 4; j++) {
            if (j >= left) break;
            memcpy(&d[4 * i + j], b + j * bytes, 2);
            l |= half_at(b + j * bytes + 2) << 16 * j;
            h |= half_at(b + j * bytes + 4) << 16 * j;
        }
        if (has_fifth) {
            const __m512i fifth = _mm512_set1_epi8(16);
            low = _mm512_mask_add_epi8(low, l, low, fifth);
            high = _mm512_mask_add_epi8(high, h, high, fifth);
        }
        four4(v[i], low, high, &x[0][2 * i], n);
    }
    UNROLL
    for (unsigned c = 0; c < n; c++)
        sums[c] = mk_sum4((const __m512i[]){v[0][c], v[1][c], v[2][c], v[3][c]});
}

INLINE void block4(__m512i sums[MK_GEMV_COLS], uint16_t d[EACH], const uint8_t *b, __m512i (*x)[8],
                   unsigned n, size_t m)
{
    nibbles(sums, d, b, x, n, m, 18);
}

INLINE void block5(__m512i sums[MK_GEMV_COLS], uint16_t d[EACH], const uint8_t *b, __m512i (*x)[8],
                   unsigned n, size_t m)
{
    nibbles(sums, d, b, x, n, m, 22);
}

INLINE size_t at4(size_t i) { return i % 4 * 4 + i / 4; }

INLINE void q4_0(float *y, const uint8_t *rows, size_t stride, const struct mk_x8 *x, size_t n_k,
                 unsigned n)
{
    part(y, rows, stride, x, n_k, n, (struct form){18, 8, ready4, block4, at4});
}

INLINE void q5_0(float *y, const uint8_t *rows, size_t stride, const struct mk_x8 *x, size_t n_k,
                 unsigned n)
{
    part(y, rows, stride, x, n_k, n, (struct form){22, 16, ready4, block5, at4});
}

MK_GEMV(q8_0, MK_Q8_0)
MK_GEMV(q4_0, MK_Q4_0)
MK_GEMV(q5_0, MK_Q5_0)

void mk_avx512_gemv_s32(struct mk_kernels *k)
{
    k->gemv[MK_Q8_0] = gemv_q8_0;
    k->gemv[MK_Q4_0] = gemv_q4_0;
    k->gemv[MK_Q5_0] = gemv_q5_0;
}
