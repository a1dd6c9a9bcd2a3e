/* Rows of the types with one scale for each 32 values, times a few columns: several blocks of a row
 * fill a vector, a block a half or a quarter of it. */
#include "int_gemv.h"

/* -bias times the sum of 32 codes */
INLINE __m512i minus_bias(const int16_t *sum, int bias)
{
    return _mm512_set1_epi32(-bias * (sum[0] + sum[1]));
}

/* ---- q8_0: 34 bytes, d and 32 signed codes ----------------------------------------- */

/* m (1, 2) blocks of a row, as codes with a bias of 128. */
INLINE __m512i codes8(const uint8_t *b, unsigned m)
{
    __m512i v = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)(b + 2)));
    if (m == 2) v = _mm512_inserti64x4(v, _mm256_loadu_si256((const __m256i *)(b + 36)), 1);
    return _mm512_xor_si512(v, _mm512_set1_epi8((char)0x80));
}

INLINE void blocks8(__m512 f[MK_GEMV_COLS], const uint8_t *b, size_t stride, const struct mk_x8 *x,
                    size_t g, unsigned m, unsigned n)
{
    uint32_t d[MK_PANEL_ROWS] __attribute__((aligned(64)));
    __m512i xs[MK_GEMV_COLS], u[MK_GEMV_COLS][4];
    UNROLL
    for (unsigned c = 0; c < n; c++) {
        const int8_t *q = x->q + c * x->ldq + 32 * g;
        xs[c] =
            m == 2 ? mk_load(q) : _mm512_zextsi256_si512(_mm256_loadu_si256((const __m256i *)q));
    }
    for (unsigned i = 0; i < 4; i++) {
        __m512i r[MK_GEMV_COLS][4];
        UNROLL
        for (unsigned k = 0; k < 4; k++) {
            const uint8_t *row = b + (4 * i + k) * stride;
            const __m512i v = codes8(row, m);
            d[4 * i + k] = mk_half_at(row) | (m == 2 ? (uint32_t)mk_half_at(row + 34) << 16 : 0);
            UNROLL
            for (unsigned c = 0; c < n; c++)
                r[c][k] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), v, xs[c]);
        }
        UNROLL
        for (unsigned c = 0; c < n; c++) u[c][i] = mk_sum4(r[c]);
    }
    const __m512i ds = _mm512_load_si512(d);
    UNROLL
    for (unsigned c = 0; c < n; c++) {
        const __m512i low = mk_sum_halves(u[c][0], u[c][1]), high = mk_sum_halves(u[c][2], u[c][3]);
        UNROLL
        for (unsigned k = 0; k < m; k++) {
            const __m512i sum =
                k ? _mm512_shuffle_i32x4(low, high, 0xdd) : _mm512_shuffle_i32x4(low, high, 0x88);
            const __m512i bias = minus_bias(x->sum + c * x->ldsum + 2 * (g + k), 128);
            mk_add_block(&f[c], mk_half_ps(_mm512_srli_epi32(ds, 16 * k)), x->s[c * x->lds + g + k],
                         _mm512_add_epi32(sum, bias));
        }
    }
}

INLINE void q8_0(float *y, const uint8_t *rows, size_t stride, const struct mk_x8 *x, size_t n_k,
                 unsigned n)
{
    __m512 f[MK_GEMV_COLS];
    const size_t n_g = n_k / 32;
    size_t g = 0;
    UNROLL
    for (unsigned c = 0; c < n; c++) f[c] = _mm512_loadu_ps(y + c * MK_PANEL_ROWS);
    for (; g + 2 <= n_g; g += 2) blocks8(f, rows + 34 * g, stride, x, g, 2, n);
    if (g < n_g) blocks8(f, rows + 34 * g, stride, x, g, 1, n);
    UNROLL
    for (unsigned c = 0; c < n; c++) _mm512_storeu_ps(y + c * MK_PANEL_ROWS, f[c]);
}

/* ---- q4_0: 18 bytes, d and 32 codes, 0..15 in low nibbles ---------------------------
 * ---- q5_0: 22 bytes, d, the codes' fifth bits, and the nibbles ---------------------- */

struct form {
    size_t bytes, nibbles; /* of a block, and where in it */
    bool has_fifth;        /* bits, after d */
    int bias;
};

/* Halves 0..15 and 16..31 of up to four blocks of a column, a block to 128 bits. */
struct x4 {
    __m512i low, high;
};

INLINE void x4_get(struct x4 *o, const int8_t *q, unsigned m)
{
    const __m512i a =
        m == 1 ? _mm512_zextsi256_si512(_mm256_loadu_si256((const __m256i *)q)) : mk_load(q);
    const __m512i b = m == 4 ? mk_load(q + 64)
                      : m == 3
                          ? _mm512_zextsi256_si512(_mm256_loadu_si256((const __m256i *)(q + 64)))
                          : _mm512_setzero_si512();
    o->low = _mm512_shuffle_i32x4(a, b, 0x88);
    o->high = _mm512_shuffle_i32x4(a, b, 0xdd);
}

INLINE __m128i load16(const uint8_t *b) { return _mm_loadu_si128((const __m128i *)b); }

/* Codes 0..15 and 16..31 of m (1..4) blocks of a row. */
INLINE void codes4(__m512i *low, __m512i *high, const uint8_t *b, struct form t, unsigned m)
{
    const uint8_t *q = b + t.nibbles;
    __m512i v = _mm512_zextsi128_si512(load16(q));
    if (m > 1) v = _mm512_inserti32x4(v, load16(q + t.bytes), 1);
    if (m > 2) v = _mm512_inserti32x4(v, load16(q + 2 * t.bytes), 2);
    if (m > 3) v = _mm512_inserti32x4(v, load16(q + 3 * t.bytes), 3);
    *low = mk_low4(v);
    *high = mk_high4(v);
    if (!t.has_fifth) return;
    uint64_t l = 0, h = 0;
    UNROLL
    for (unsigned j = 0; j < m; j++) {
        l |= (uint64_t)mk_half_at(b + j * t.bytes + 2) << (16 * j);
        h |= (uint64_t)mk_half_at(b + j * t.bytes + 4) << (16 * j);
    }
    const __m512i fifth = _mm512_set1_epi8(16);
    *low = _mm512_mask_add_epi8(*low, l, *low, fifth);
    *high = _mm512_mask_add_epi8(*high, h, *high, fifth);
}

/* Lane k of each of four. */
INLINE __m512i lanes_of(const __m512i u[4], unsigned k)
{
    const __m512i a =
        k < 2 ? _mm512_shuffle_i32x4(u[0], u[1], 0x44) : _mm512_shuffle_i32x4(u[0], u[1], 0xee);
    const __m512i b =
        k < 2 ? _mm512_shuffle_i32x4(u[2], u[3], 0x44) : _mm512_shuffle_i32x4(u[2], u[3], 0xee);
    return k % 2 ? _mm512_shuffle_i32x4(a, b, 0xdd) : _mm512_shuffle_i32x4(a, b, 0x88);
}

/* Half k of each row's four. */
INLINE __m512 scales4(const uint64_t d[MK_PANEL_ROWS], unsigned k)
{
    const __m512i every4 =
        _mm512_set_epi16(124, 120, 116, 112, 108, 104, 100, 96, 92, 88, 84, 80, 76, 72, 68, 64, 60,
                         56, 52, 48, 44, 40, 36, 32, 28, 24, 20, 16, 12, 8, 4, 0);
    const __m512i at = _mm512_add_epi16(every4, _mm512_set1_epi16((int16_t)k));
    const __m512i v = _mm512_permutex2var_epi16(_mm512_load_si512(d), at, _mm512_load_si512(d + 8));
    return _mm512_cvtph_ps(_mm512_castsi512_si256(v));
}

INLINE void blocks4(__m512 f[MK_GEMV_COLS], const uint8_t *b, size_t stride, const struct mk_x8 *x,
                    size_t g, struct form t, unsigned m, unsigned n)
{
    uint64_t d[MK_PANEL_ROWS] __attribute__((aligned(64)));
    struct x4 xs[MK_GEMV_COLS];
    __m512i u[MK_GEMV_COLS][4];
    UNROLL
    for (unsigned c = 0; c < n; c++) x4_get(&xs[c], x->q + c * x->ldq + 32 * g, m);
    for (unsigned i = 0; i < 4; i++) {
        __m512i r[MK_GEMV_COLS][4];
        UNROLL
        for (unsigned k = 0; k < 4; k++) {
            const uint8_t *row = b + (4 * i + k) * stride;
            __m512i low, high;
            uint64_t ds = 0;
            codes4(&low, &high, row, t, m);
            UNROLL
            for (unsigned j = 0; j < m; j++)
                ds |= (uint64_t)mk_half_at(row + t.bytes * j) << (16 * j);
            d[4 * i + k] = ds;
            UNROLL
            for (unsigned c = 0; c < n; c++)
                r[c][k] = _mm512_dpbusd_epi32(
                    _mm512_dpbusd_epi32(_mm512_setzero_si512(), low, xs[c].low), high, xs[c].high);
        }
        UNROLL
        for (unsigned c = 0; c < n; c++) u[c][i] = mk_sum4(r[c]);
    }
    UNROLL
    for (unsigned k = 0; k < m; k++) {
        const __m512 dk = scales4(d, k);
        UNROLL
        for (unsigned c = 0; c < n; c++) {
            const __m512i bias = minus_bias(x->sum + c * x->ldsum + 2 * (g + k), t.bias);
            mk_add_block(&f[c], dk, x->s[c * x->lds + g + k],
                         _mm512_add_epi32(lanes_of(u[c], k), bias));
        }
    }
}

INLINE void nibbles(float *y, const uint8_t *rows, size_t stride, const struct mk_x8 *x, size_t n_k,
                    unsigned n, struct form t)
{
    __m512 f[MK_GEMV_COLS];
    const size_t n_g = n_k / 32;
    size_t g = 0;
    UNROLL
    for (unsigned c = 0; c < n; c++) f[c] = _mm512_loadu_ps(y + c * MK_PANEL_ROWS);
    for (; g + 4 <= n_g; g += 4) blocks4(f, rows + t.bytes * g, stride, x, g, t, 4, n);
    rows += t.bytes * g;
    if (n_g - g == 3) blocks4(f, rows, stride, x, g, t, 3, n);
    if (n_g - g == 2) blocks4(f, rows, stride, x, g, t, 2, n);
    if (n_g - g == 1) blocks4(f, rows, stride, x, g, t, 1, n);
    UNROLL
    for (unsigned c = 0; c < n; c++) _mm512_storeu_ps(y + c * MK_PANEL_ROWS, f[c]);
}

INLINE void q4_0(float *y, const uint8_t *rows, size_t stride, const struct mk_x8 *x, size_t n_k,
                 unsigned n)
{
    nibbles(y, rows, stride, x, n_k, n, (struct form){18, 2, false, 8});
}

INLINE void q5_0(float *y, const uint8_t *rows, size_t stride, const struct mk_x8 *x, size_t n_k,
                 unsigned n)
{
    nibbles(y, rows, stride, x, n_k, n, (struct form){22, 6, true, 16});
}

MK_GEMV(q8_0)
MK_GEMV(q4_0)
MK_GEMV(q5_0)

void mk_avx512_gemv_s32(struct mk_kernels *k)
{
    k->gemv[MK_Q8_0] = gemv_q8_0;
    k->gemv[MK_Q4_0] = gemv_q4_0;
    k->gemv[MK_Q5_0] = gemv_q5_0;
}
