/* Rows of the types with sub-scales in blocks of 256 values, four in turn.  What comes of a block,
 * a number for each 32 values, is kept as a vector; when sixteen rows are done these are turned, so
 * that lanes are rows, and added in the order of kernels.h.
 *
 * Scales multiply integers, in the madd that adds the last pairs of a sum: products of at most 23
 * bits are exact floats, and d (float)(sc sum) rounds as (d sc) (float)sum does.  (A zero may have
 * the other sign, which nothing shows but a y of -0.) */
#include "kernels/avx2/int_gemv.h"

enum {
    STEP = 256,    /* values of a row at a time, eight groups of 32 */
    MAX_K = 10240, /* most values of a row at a time: their column fits the L1 cache */
    TURN = 4       /* rows */
};

/* STEP values of a column: codes in the order in which a type wants them, and their sums or what it
 * makes of them. */
struct column {
    __m256i q[8], sums[2];
};

/* Four floats of each of eight rows: o[i] holds number i of all. */
INLINE void turn(__m256 o[4], const float *t, size_t ld)
{
    __m256i v[4], w[4];
    UNROLL
    for (size_t i = 0; i < 4; i++) v[i] = mk_load_two(t + i * ld, t + (i + 4) * ld);
    mk_turn_words(w, v);
    UNROLL
    for (size_t i = 0; i < 4; i++) o[i] = _mm256_castsi256_ps(w[i]);
}

/* Halves of groups i and i + 4 side by side: the first ones, then the second ones. */
INLINE void ready_halves(__m256i o[8], const int8_t *x)
{
    UNROLL
    for (size_t i = 0; i < 4; i++) {
        const __m256i a = load(x + 32 * i), b = load(x + 128 + 32 * i);
        o[2 * i] = _mm256_permute2x128_si256(a, b, 0x20);
        o[2 * i + 1] = _mm256_permute2x128_si256(a, b, 0x31);
    }
}

/* ---- q4_k, q5_k --------------------------------------------------------------------- */

INLINE void ready4(struct column *o, const int8_t *x, const int16_t *sum)
{
    ready_halves(o->q, x);
    o->sums[0] = load(sum);
}

/* Bytes first + a, b, c, d, and those 8 behind them, as two equal numbers of 16 bits each. */
INLINE __m256i scales(__m256i v, int first, int a, int b, int c, int d)
{
    const int at = (int)0x80008000 | first * 0x10001, by = 0x10001, hi = at + 8 * by;
    return _mm256_shuffle_epi8(v, _mm256_setr_epi32(at + a * by, at + b * by, at + c * by,
                                                    at + d * by, hi + a * by, hi + b * by,
                                                    hi + c * by, hi + d * by));
}

/* The 6-bit numbers of the 12 bytes behind d and m (quant/pack.c), in each lane: four scales, four
 * minima, then the other four of each. */
INLINE __m256i six(__m256i h)
{
    const __m256i by = _mm256_setr_epi32(0, 0, 2, 2, 0, 0, 2, 2);
    const __m256i rest_by = _mm256_setr_epi32(0, 0, 0, 4, 0, 0, 0, 4);
    const __m256i mask = _mm256_set_epi64x(0x3030303030303030, 0x3f3f3f3f3f3f3f3f,
                                           0x3030303030303030, 0x3f3f3f3f3f3f3f3f);
    const __m256i rest_mask = _mm256_set_epi64x(0x0f0f0f0f0f0f0f0f, 0, 0x0f0f0f0f0f0f0f0f, 0);
    const __m256i low = _mm256_shuffle_epi32(h, 0x99), rest = _mm256_shuffle_epi32(h, 0xff);
    return _mm256_or_si256(_mm256_and_si256(_mm256_srlv_epi32(low, by), mask),
                           _mm256_and_si256(_mm256_srlv_epi32(rest, rest_by), rest_mask));
}

/* Bit j of each byte as bit 4. */
INLINE __m256i bit4(__m256i v, int j)
{
    const __m256i at4 = j == 4  ? v
                        : j < 4 ? _mm256_slli_epi16(v, 4 - j)
                                : _mm256_srli_epi16(v, j - 4);
    return _mm256_and_si256(at4, _mm256_set1_epi8(16));
}

/* Codes with bits j of those given, if any. */
INLINE __m256i with_fifth(__m256i codes, const __m256i *bits, int j)
{
    return bits ? _mm256_or_si256(codes, bit4(*bits, j)) : codes;
}

/* v[j]: of sub-blocks j and j + 4 the products with the column. */
INLINE void nibbles(__m256i v[4], const uint8_t *q, const uint8_t *fifths, const __m256i x[8])
{
    const __m256i by = _mm256_setr_epi64x(0, 0, 4, 4);
    __m256i bits[2], *f = NULL, *g = NULL;
    if (fifths) {
        f = bits, g = bits + 1;
        *f = _mm256_srlv_epi64(both(fifths), by);
        *g = _mm256_srlv_epi64(both(fifths + 16), by);
    }
    UNROLL
    for (int j = 0; j < 4; j += 2, x += 4) {
        const __m256i c = two_of(q + 16 * j, 16), e = two_of(q + 16 * j + 16, 16);
        v[j] = dot2(with_fifth(low4(c), f, j), x[0], with_fifth(low4(e), g, j), x[1]);
        v[j + 1] = dot2(with_fifth(high4(c), f, j + 1), x[2], with_fifth(high4(e), g, j + 1), x[3]);
    }
}

/* Their sums, times scales.  Those of five bits do not fit 16 bits in the end. */
INLINE __m256 scaled(const __m256i v[4], __m256i numbers, bool has_fifth)
{
    if (!has_fifth)
        return _mm256_cvtepi32_ps(_mm256_madd_epi16(sum4(v), scales(numbers, 0, 0, 1, 2, 3)));
    const __m256i a = _mm256_madd_epi16(add16_32(v[0], v[1]), scales(numbers, 0, 0, 1, 0, 1));
    const __m256i b = _mm256_madd_epi16(add16_32(v[2], v[3]), scales(numbers, 0, 2, 3, 2, 3));
    return _mm256_cvtepi32_ps(add64(a, b));
}

INLINE __m256 block_nibbles(const uint8_t *b, const struct column *x, bool has_fifth)
{
    __m256i v[4];
    nibbles(v, b + (has_fifth ? 48 : 16), has_fifth ? b + 16 : NULL, x->q);
    const __m256i h = both(b), numbers = six(h), mn = scales(numbers, 4, 0, 1, 2, 3);
    const __m128 dm = _mm_cvtph_ps(_mm256_castsi256_si128(h));
    const __m256 d = _mm256_broadcastss_ps(dm), m = _mm256_broadcastss_ps(_mm_movehdup_ps(dm));
    const __m256 min = _mm256_cvtepi32_ps(_mm256_madd_epi16(mn, x->sums[0]));
    return _mm256_fnmadd_ps(m, min, _mm256_mul_ps(d, scaled(v, numbers, has_fifth)));
}

INLINE __m256 block4(const uint8_t *b, const struct column *x)
{
    return block_nibbles(b, x, false);
}
INLINE __m256 block5(const uint8_t *b, const struct column *x) { return block_nibbles(b, x, true); }

/* ---- sub-blocks of 16 values: q6_k, q3_k, q2_k ---------------------------------------- */

/* by times the sums of codes, as sum4 leaves products with the codes: for each 128 values first
 * halves of four groups, then second ones. */
INLINE void ready16(struct column *o, const int8_t *x, int8_t by)
{
    UNROLL
    for (size_t n = 0; n < 2; n++) {
        __m256i v[4];
        UNROLL
        for (size_t i = 0; i < 4; i++) {
            o->q[4 * n + i] = load(x + 128 * n + 32 * i);
            v[i] = _mm256_maddubs_epi16(_mm256_set1_epi8(by), o->q[4 * n + i]);
        }
        o->sums[n] = sum4(v);
    }
}

/* The same as floats: of each group the first half, and the second. */
struct halves {
    __m256 first, second;
};
INLINE struct halves halves_of(const __m256i v[2])
{
    const __m256 a = _mm256_cvtepi32_ps(v[0]), b = _mm256_cvtepi32_ps(v[1]);
    return (struct halves){_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31)};
}

INLINE __m256 half_at(const uint8_t *b)
{
    uint16_t v;
    memcpy(&v, b, sizeof v);
    return _mm256_cvtph_ps(_mm_set1_epi16((short)v));
}

/* Bits 2g and 2g + 1 of each byte as bits 4 and 5. */
INLINE __m256i top2(__m256i h, int g)
{
    const __m256i v = g == 2  ? h
                      : g < 2 ? _mm256_slli_epi16(h, 4 - 2 * g)
                              : _mm256_srli_epi16(h, 2 * g - 4);
    return _mm256_and_si256(v, _mm256_set1_epi8(0x30));
}

INLINE void ready6(struct column *o, const int8_t *x, const int16_t *sum)
{
    (void)sum;
    ready16(o, x, 32);
}

/* Bytes first + 0, 2, 4, 6 and first + 1, 3, 5, 7 as two equal numbers of 16 bits each. */
INLINE __m256i signed16(__m256i v, int first)
{
    const int at = 0x00800080 | first * 0x1000100, by = 0x2000200, odd = 0x1000100;
    const __m256i e = _mm256_setr_epi32(at, at + by, at + 2 * by, at + 3 * by, at + odd,
                                        at + odd + by, at + odd + 2 * by, at + odd + 3 * by);
    return _mm256_srai_epi16(_mm256_shuffle_epi8(v, e), 8);
}

/* The products less the bias fit 16 bits again, whatever was lost before. */
INLINE __m256 block6(const uint8_t *b, const struct column *x)
{
    const __m256i sc = both(b + 192);
    __m256i f[2];
    UNROLL
    for (int n = 0; n < 2; n++) {
        const __m256i p = load(b + 64 * n), q = load(b + 64 * n + 32), h = load(b + 128 + 32 * n);
        const __m256i *y = x->q + 4 * n;
        const __m256i v[4] = {
            _mm256_maddubs_epi16(_mm256_or_si256(low4(p), top2(h, 0)), y[0]),
            _mm256_maddubs_epi16(_mm256_or_si256(low4(q), top2(h, 1)), y[1]),
            _mm256_maddubs_epi16(_mm256_or_si256(high4(p), top2(h, 2)), y[2]),
            _mm256_maddubs_epi16(_mm256_or_si256(high4(q), top2(h, 3)), y[3]),
        };
        const __m256i w = _mm256_sub_epi16(sum4(v), x->sums[n]);
        f[n] = _mm256_madd_epi16(w, signed16(sc, 8 * n));
    }
    const struct halves t = halves_of(f);
    const __m256 d = half_at(b + 208);
    return _mm256_fmadd_ps(d, t.second, _mm256_mul_ps(d, t.first));
}

/* Bits 2i and 2i + 1 of each byte. */
INLINE __m256i low2(__m256i v, int i)
{
    return _mm256_and_si256(_mm256_srli_epi16(v, 2 * i), _mm256_set1_epi8(3));
}

/* The bytes whose numbers a and b hold; in the second lane those behind them. */
INLINE __m256i pick(__m256i v, int64_t a, int64_t b)
{
    const int64_t one = 0x0101010101010101;
    return _mm256_shuffle_epi8(v, _mm256_setr_epi64x(a, b, a + one, b + one));
}

/* Bytes of half n of each lane as numbers of 16 bits. */
INLINE __m256i wide(__m256i bytes, int n)
{
    const __m256i zero = _mm256_setzero_si256();
    return n ? _mm256_unpackhi_epi8(bytes, zero) : _mm256_unpacklo_epi8(bytes, zero);
}

INLINE void ready3(struct column *o, const int8_t *x, const int16_t *sum)
{
    (void)sum;
    ready16(o, x, 4);
}

/* Sub-scales plus 32, as sum4 leaves sums, each twice: the low bits, then those above. */
INLINE __m256i scales3(const uint8_t *b)
{
    const __m256i v = both(b - 2); /* the 12 bytes are in the middle */
    const __m256i low = pick(v, 0x0808060604040202, 0x0808060604040202);
    const __m256i high = pick(v, 0x0c0c0a0a0c0c0a0a, 0x0c0c0a0a0c0c0a0a);
    const __m256i by = _mm256_setr_epi64x(0, 4, 0, 4);
    const __m256i high_by = _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6);
    const __m256i top = low2(_mm256_srlv_epi32(high, high_by), 0);
    return _mm256_or_si256(low4(_mm256_srlv_epi64(low, by)), _mm256_slli_epi16(top, 4));
}

/* Codes of group i of 128: two bits, and bit k of h. */
INLINE __m256i codes3(__m256i v, int i, __m256i h, int k)
{
    const __m256i bit = k < 2 ? _mm256_slli_epi16(h, 2 - k) : _mm256_srli_epi16(h, k - 2);
    return _mm256_or_si256(low2(v, i), _mm256_and_si256(bit, _mm256_set1_epi8(4)));
}

INLINE __m256 block3(const uint8_t *b, const struct column *x)
{
    const __m256i sc = scales3(b + 96), h = load(b);
    __m256i f[2];
    UNROLL
    for (int n = 0; n < 2; n++) {
        const __m256i p = load(b + 32 + 32 * n);
        __m256i v[4];
        UNROLL
        for (int i = 0; i < 4; i++)
            v[i] = _mm256_maddubs_epi16(codes3(p, i, h, 4 * n + i), x->q[4 * n + i]);
        const __m256i w = _mm256_sub_epi16(sum4(v), x->sums[n]);
        f[n] = _mm256_madd_epi16(w, _mm256_sub_epi16(wide(sc, n), _mm256_set1_epi16(32)));
    }
    const struct halves t = halves_of(f);
    const __m256 d = half_at(b + 108);
    return _mm256_fmadd_ps(d, t.second, _mm256_mul_ps(d, t.first));
}

INLINE void ready2(struct column *o, const int8_t *x, const int16_t *sum)
{
    (void)sum;
    ready16(o, x, 1);
}

INLINE __m256 block2(const uint8_t *b, const struct column *x)
{
    const __m256i numbers = pick(both(b), 0x0606040402020000, 0x0e0e0c0c0a0a0808);
    const __m256i sc = low4(numbers), mn = high4(numbers);
    __m256i f[2], g[2];
    UNROLL
    for (int n = 0; n < 2; n++) {
        const __m256i p = load(b + 16 + 32 * n);
        __m256i v[4];
        UNROLL
        for (int i = 0; i < 4; i++) v[i] = _mm256_maddubs_epi16(low2(p, i), x->q[4 * n + i]);
        f[n] = _mm256_madd_epi16(sum4(v), wide(sc, n));
        g[n] = _mm256_madd_epi16(x->sums[n], wide(mn, n));
    }
    const struct halves q = halves_of(f), min = halves_of(g);
    const __m256 d = half_at(b + 80), m = half_at(b + 82);
    const __m256 t = _mm256_fnmadd_ps(m, min.first, _mm256_mul_ps(d, q.first));
    return _mm256_fnmadd_ps(m, min.second, _mm256_fmadd_ps(d, q.second, t));
}

/* ---- iq4_xs -------------------------------------------------------------------------- */

/* Sub-scales: four low bits of each, and two above. */
INLINE __m256i scales_iq4(__m256i h)
{
    const __m256i i = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), i2 = _mm256_slli_epi32(i, 1);
    const __m256i top = _mm256_srlv_epi32(_mm256_shuffle_epi32(h, 0x00),
                                          _mm256_add_epi32(i2, _mm256_set1_epi32(16)));
    const __m256i low = _mm256_srlv_epi32(_mm256_shuffle_epi32(h, 0x55), _mm256_slli_epi32(i2, 1));
    const __m256i v =
        _mm256_or_si256(_mm256_and_si256(low, _mm256_set1_epi32(15)),
                        _mm256_slli_epi32(_mm256_and_si256(top, _mm256_set1_epi32(3)), 4));
    return _mm256_sub_epi32(v, _mm256_set1_epi32(32));
}

/* Sums up to 32 * 127 * 127 times scales up to 32 are exact floats. */
INLINE __m256 block_iq4(const uint8_t *b, const struct column *x)
{
    const __m256i values = both(mk_iq4_values), h = both(b);
    __m256i v[4];
    UNROLL
    for (size_t j = 0; j < 4; j++) {
        const __m256i q = two_of(b + 8 + 16 * j, 16);
        v[j] = _mm256_add_epi32(dot_signed(_mm256_shuffle_epi8(values, low4(q)), x->q[2 * j]),
                                dot_signed(_mm256_shuffle_epi8(values, high4(q)), x->q[2 * j + 1]));
    }
    const __m256 sum = _mm256_cvtepi32_ps(add64(add32(v[0], v[1]), add32(v[2], v[3])));
    return _mm256_mul_ps(half_at(b), _mm256_mul_ps(sum, _mm256_cvtepi32_ps(scales_iq4(h))));
}

/* ---- entries ----------------------------------------------------------------------- */

/* How a type differs.  bytes: of STEP values.  ready: the column from x on.  block: of STEP values
 * of a row the eight numbers t of kernels.h. */
struct form {
    size_t bytes;
    void (*ready)(struct column *o, const int8_t *x, const int16_t *sum);
    __m256 (*block)(const uint8_t *b, const struct column *x);
};

enum { LD = MAX_K / 32 + 8 }; /* rows do not lie a power of two apart */
struct space {
    struct column x[MAX_K / STEP];
    float t[MK_PANEL_ROWS][LD] __attribute__((aligned(32)));
};

/* Between blocks, as many lines asked for at once would wait for each other. */
INLINE void ask(const uint8_t *p, size_t n)
{
    UNROLL
    for (size_t i = 0; i < n; i += 64) _mm_prefetch((const char *)p + i, _MM_HINT_T0);
}

/* t of n blocks of a few rows, a block of each in turn, as all take the same of the column.  Lines
 * are asked for in the order in which they lie, these rows before they are used.  Only the first
 * column finds them in memory. */
INLINE void rows_in_turn(float *t, const uint8_t *b, size_t stride, const struct column *x,
                         size_t n, bool is_first, struct form f)
{
    const uint8_t *soon = b + TURN * stride;
    for (size_t g = 0; g < n; g++, b += f.bytes)
        for (size_t r = 0; r < TURN; r++, soon += f.bytes) {
            if (is_first) ask(soon, f.bytes);
            _mm256_store_ps(t + r * LD + 8 * g, f.block(b + r * stride, x + g));
        }
}

/* y = fma(s, t, y) of n groups.  Each sum waits for the one before, so there are two. */
INLINE void add_rows(float *out, const float *t, const float *s, size_t n)
{
    __m256 y[2] = {_mm256_loadu_ps(out), _mm256_loadu_ps(out + 8)}, a[4], b[4];
    for (size_t g = 0; g < n; g += 4) {
        turn(a, t + g, LD), turn(b, t + g + 8 * LD, LD);
        UNROLL
        for (size_t i = 0; i < 4; i++) {
            y[0] = _mm256_fmadd_ps(_mm256_set1_ps(s[g + i]), a[i], y[0]);
            y[1] = _mm256_fmadd_ps(_mm256_set1_ps(s[g + i]), b[i], y[1]);
        }
    }
    _mm256_storeu_ps(out, y[0]);
    _mm256_storeu_ps(out + 8, y[1]);
}

INLINE void gemv(float *y, const uint8_t *rows, size_t stride, const struct mk_x8 *x, size_t n_k,
                 size_t n_col, struct form f)
{
    struct space o;
    for (size_t k = 0; k < n_k; k += MAX_K, rows += MAX_K / STEP * f.bytes)
        for (size_t c = 0; c < n_col; c++) {
            const size_t n = (n_k - k < MAX_K ? n_k - k : MAX_K) / STEP;
            const int8_t *q = x->q + c * x->ldq + k;
            const int16_t *sum = x->sum + c * x->ldsum + k / 16;
            for (size_t g = 0; g < n; g++) f.ready(o.x + g, q + STEP * g, sum + STEP / 16 * g);
            for (size_t r = 0; r < MK_PANEL_ROWS; r += TURN)
                rows_in_turn(o.t[r], rows + r * stride, stride, o.x, n, c == 0, f);
            add_rows(y + c * MK_PANEL_ROWS, o.t[0], x->s + c * x->lds + k / 32, 8 * n);
        }
}

#define GEMV(ID, bytes, ready, block)                                                          \
    static void gemv_##ID(float *y, const uint8_t *rows, size_t stride, const struct mk_x8 *x, \
                          size_t n_k, size_t n_col)                                            \
    {                                                                                          \
        gemv(y, rows, stride, x, n_k, n_col, (struct form){bytes, ready, block});              \
    }
GEMV(Q2_K, 84, ready2, block2)
GEMV(Q3_K, 110, ready3, block3)
GEMV(Q4_K, 144, ready4, block4)
GEMV(Q5_K, 176, ready4, block5)
GEMV(Q6_K, 210, ready6, block6)
GEMV(IQ4_XS, 136, ready4, block_iq4)

void mk_avx2_gemv_s256(struct mk_kernels *k)
{
    k->gemv[MK_Q2_K] = gemv_Q2_K;
    k->gemv[MK_Q3_K] = gemv_Q3_K;
    k->gemv[MK_Q4_K] = gemv_Q4_K;
    k->gemv[MK_Q5_K] = gemv_Q5_K;
    k->gemv[MK_Q6_K] = gemv_Q6_K;
    k->gemv[MK_IQ4_XS] = gemv_IQ4_XS;
}
