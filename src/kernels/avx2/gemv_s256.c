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
    MAX_K = 10240, /* most values of columns at a time: they fit the L1 cache */
    COLS = 4,      /* most columns at a time */
    TURN = 4       /* rows */
};

/* STEP values of a column: codes in the order in which a type wants them, and their sums or what it
 * makes of them. */
struct column {
    __m256i q[8], sums[2];
};

/* STEP values of a row: codes in the same order, sub-scales and minima as integers, and what these
 * are multiplied by.  Which of them there are depends on the type. */
struct block {
    __m256i q[8], scales[2], mins[2];
    __m256 d, m;
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

INLINE void decode_nibbles(struct block *o, const uint8_t *q, const uint8_t *fifths)
{
    const __m256i by = _mm256_setr_epi64x(0, 0, 4, 4);
    __m256i bits[2], *f = NULL, *g = NULL;
    if (fifths) {
        f = bits, g = bits + 1;
        *f = _mm256_srlv_epi64(both(fifths), by);
        *g = _mm256_srlv_epi64(both(fifths + 16), by);
    }
    UNROLL
    for (int j = 0; j < 4; j += 2) {
        const __m256i c = two_of(q + 16 * j, 16), e = two_of(q + 16 * j + 16, 16);
        o->q[2 * j] = with_fifth(low4(c), f, j);
        o->q[2 * j + 1] = with_fifth(low4(e), g, j);
        o->q[2 * j + 2] = with_fifth(high4(c), f, j + 1);
        o->q[2 * j + 3] = with_fifth(high4(e), g, j + 1);
    }
}

INLINE void decode_six(struct block *o, const uint8_t *b, bool has_fifth)
{
    const __m256i h = both(b), numbers = six(h);
    const __m128 dm = _mm_cvtph_ps(_mm256_castsi256_si128(h));
    o->mins[0] = scales(numbers, 4, 0, 1, 2, 3);
    o->d = _mm256_broadcastss_ps(dm), o->m = _mm256_broadcastss_ps(_mm_movehdup_ps(dm));
    if (has_fifth) {
        o->scales[0] = scales(numbers, 0, 0, 1, 0, 1);
        o->scales[1] = scales(numbers, 0, 2, 3, 2, 3);
    } else
        o->scales[0] = scales(numbers, 0, 0, 1, 2, 3);
}

INLINE void decode4(struct block *o, const uint8_t *b)
{
    decode_nibbles(o, b + 16, NULL);
    decode_six(o, b, false);
}
INLINE void decode5(struct block *o, const uint8_t *b)
{
    decode_nibbles(o, b + 48, b + 16);
    decode_six(o, b, true);
}

/* Products of sub-blocks j and j + 4 side by side, times scales.  Those of five bits do not fit 16
 * bits in the end. */
INLINE __m256i scaled(const struct block *o, const struct column *x, bool has_fifth)
{
    __m256i v[4];
    UNROLL
    for (int j = 0; j < 4; j++)
        v[j] = dot2(o->q[2 * j], x->q[2 * j], o->q[2 * j + 1], x->q[2 * j + 1]);
    if (!has_fifth) return _mm256_madd_epi16(sum4(v), o->scales[0]);
    return add64(_mm256_madd_epi16(add16_32(v[0], v[1]), o->scales[0]),
                 _mm256_madd_epi16(add16_32(v[2], v[3]), o->scales[1]));
}

INLINE __m256 multiply_nibbles(const struct block *o, const struct column *x, bool has_fifth)
{
    const __m256 min = _mm256_cvtepi32_ps(_mm256_madd_epi16(o->mins[0], x->sums[0]));
    const __m256 t = _mm256_cvtepi32_ps(scaled(o, x, has_fifth));
    return _mm256_fnmadd_ps(o->m, min, _mm256_mul_ps(o->d, t));
}

INLINE __m256 multiply4(const struct block *o, const struct column *x)
{
    return multiply_nibbles(o, x, false);
}
INLINE __m256 multiply5(const struct block *o, const struct column *x)
{
    return multiply_nibbles(o, x, true);
}

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

INLINE void decode6(struct block *o, const uint8_t *b)
{
    const __m256i sc = both(b + 192);
    UNROLL
    for (int n = 0; n < 2; n++) {
        const __m256i p = load(b + 64 * n), q = load(b + 64 * n + 32), h = load(b + 128 + 32 * n);
        o->q[4 * n] = _mm256_or_si256(low4(p), top2(h, 0));
        o->q[4 * n + 1] = _mm256_or_si256(low4(q), top2(h, 1));
        o->q[4 * n + 2] = _mm256_or_si256(high4(p), top2(h, 2));
        o->q[4 * n + 3] = _mm256_or_si256(high4(q), top2(h, 3));
        o->scales[n] = signed16(sc, 8 * n);
    }
    o->d = half_at(b + 208);
}

/* Sums of the codes' products, as sum4 leaves them, for each 128 values. */
INLINE __m256i sums16(const struct block *o, const struct column *x, int n)
{
    __m256i v[4];
    UNROLL
    for (int i = 0; i < 4; i++) v[i] = _mm256_maddubs_epi16(o->q[4 * n + i], x->q[4 * n + i]);
    return sum4(v);
}

/* The products less the bias fit 16 bits again, whatever was lost before. */
INLINE __m256 multiply16(const struct block *o, const struct column *x)
{
    __m256i f[2];
    UNROLL
    for (int n = 0; n < 2; n++)
        f[n] = _mm256_madd_epi16(_mm256_sub_epi16(sums16(o, x, n), x->sums[n]), o->scales[n]);
    const struct halves t = halves_of(f);
    return _mm256_fmadd_ps(o->d, t.second, _mm256_mul_ps(o->d, t.first));
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

INLINE void decode3(struct block *o, const uint8_t *b)
{
    const __m256i sc = scales3(b + 96), h = load(b);
    UNROLL
    for (int n = 0; n < 2; n++) {
        const __m256i p = load(b + 32 + 32 * n);
        UNROLL
        for (int i = 0; i < 4; i++) o->q[4 * n + i] = codes3(p, i, h, 4 * n + i);
        o->scales[n] = _mm256_sub_epi16(wide(sc, n), _mm256_set1_epi16(32));
    }
    o->d = half_at(b + 108);
}

INLINE void ready2(struct column *o, const int8_t *x, const int16_t *sum)
{
    (void)sum;
    ready16(o, x, 1);
}

INLINE void decode2(struct block *o, const uint8_t *b)
{
    const __m256i numbers = pick(both(b), 0x0606040402020000, 0x0e0e0c0c0a0a0808);
    const __m256i sc = low4(numbers), mn = high4(numbers);
    UNROLL
    for (int n = 0; n < 2; n++) {
        const __m256i p = load(b + 16 + 32 * n);
        UNROLL
        for (int i = 0; i < 4; i++) o->q[4 * n + i] = low2(p, i);
        o->scales[n] = wide(sc, n), o->mins[n] = wide(mn, n);
    }
    o->d = half_at(b + 80), o->m = half_at(b + 82);
}

INLINE __m256 multiply2(const struct block *o, const struct column *x)
{
    __m256i f[2], g[2];
    UNROLL
    for (int n = 0; n < 2; n++) {
        f[n] = _mm256_madd_epi16(sums16(o, x, n), o->scales[n]);
        g[n] = _mm256_madd_epi16(x->sums[n], o->mins[n]);
    }
    const struct halves q = halves_of(f), min = halves_of(g);
    const __m256 t = _mm256_fnmadd_ps(o->m, min.first, _mm256_mul_ps(o->d, q.first));
    return _mm256_fnmadd_ps(o->m, min.second, _mm256_fmadd_ps(o->d, q.second, t));
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

INLINE void decode_iq4(struct block *o, const uint8_t *b)
{
    const __m256i values = both(mk_iq4_values);
    UNROLL
    for (size_t j = 0; j < 4; j++) {
        const __m256i q = two_of(b + 8 + 16 * j, 16);
        o->q[2 * j] = _mm256_shuffle_epi8(values, low4(q));
        o->q[2 * j + 1] = _mm256_shuffle_epi8(values, high4(q));
    }
    o->m = _mm256_cvtepi32_ps(scales_iq4(both(b)));
    o->d = half_at(b);
}

/* Sums up to 32 * 127 * 127 times scales up to 32 are exact floats. */
INLINE __m256 multiply_iq4(const struct block *o, const struct column *x)
{
    __m256i v[4];
    UNROLL
    for (size_t j = 0; j < 4; j++)
        v[j] = _mm256_add_epi32(dot_signed(o->q[2 * j], x->q[2 * j]),
                                dot_signed(o->q[2 * j + 1], x->q[2 * j + 1]));
    const __m256 sum = _mm256_cvtepi32_ps(add64(add32(v[0], v[1]), add32(v[2], v[3])));
    return _mm256_mul_ps(o->d, _mm256_mul_ps(sum, o->m));
}

/* ---- entries ----------------------------------------------------------------------- */

/* How a type differs.  bytes: of STEP values.  ready: the column from x on.  multiply: of STEP
 * values of a row the eight numbers t of kernels.h. */
struct form {
    size_t bytes;
    void (*ready)(struct column *o, const int8_t *x, const int16_t *sum);
    void (*decode)(struct block *o, const uint8_t *b);
    __m256 (*multiply)(const struct block *o, const struct column *x);
};

/* Rows of t do not lie a power of two apart. */
enum { PAD = 8, MAX_T = MK_PANEL_ROWS * (MAX_K / 32 + COLS * PAD) };
struct space {
    struct column x[MAX_K / STEP];               /* [block][column] */
    float t[MAX_T] __attribute__((aligned(32))); /* [column][row][ld] */
};

/* Between blocks, as many lines asked for at once would wait for each other. */
INLINE void ask(const uint8_t *p, size_t n)
{
    UNROLL
    for (size_t i = 0; i < n; i += 64) _mm_prefetch((const char *)p + i, _MM_HINT_T0);
}

/* t of n blocks of a few rows from r on, a block of each in turn, as all take the same of the
 * columns.  Lines are asked for in the order in which they lie, these rows before they are used. */
INLINE void rows_in_turn(struct space *o, size_t r, const uint8_t *rows, size_t stride, size_t n,
                         unsigned n_col, struct form f)
{
    const uint8_t *b = rows + r * stride, *soon = b + TURN * stride;
    const size_t ld = 8 * n + PAD;
    for (size_t g = 0; g < n; g++, b += f.bytes)
        for (size_t i = 0; i < TURN; i++, soon += f.bytes) {
            struct block v;
            ask(soon, f.bytes);
            f.decode(&v, b + i * stride);
            UNROLL
            for (unsigned c = 0; c < n_col; c++)
                _mm256_store_ps(o->t + (c * MK_PANEL_ROWS + r + i) * ld + 8 * g,
                                f.multiply(&v, o->x + g * n_col + c));
        }
}

/* y = fma(s, t, y) of n groups.  Each sum waits for the one before, so there are two. */
INLINE void add_rows(float *out, const float *t, const float *s, size_t n)
{
    const size_t ld = n + PAD;
    __m256 y[2] = {_mm256_loadu_ps(out), _mm256_loadu_ps(out + 8)}, a[4], b[4];
    for (size_t g = 0; g < n; g += 4) {
        turn(a, t + g, ld), turn(b, t + g + 8 * ld, ld);
        UNROLL
        for (size_t i = 0; i < 4; i++) {
            y[0] = _mm256_fmadd_ps(_mm256_set1_ps(s[g + i]), a[i], y[0]);
            y[1] = _mm256_fmadd_ps(_mm256_set1_ps(s[g + i]), b[i], y[1]);
        }
    }
    _mm256_storeu_ps(out, y[0]);
    _mm256_storeu_ps(out + 8, y[1]);
}

/* n_col columns from the first of x on. */
INLINE void few_columns(float *y, const uint8_t *rows, size_t stride, const struct mk_x8 *x,
                        size_t n_k, unsigned n_col, struct form f)
{
    struct space o;
    const size_t most = MAX_K / n_col / STEP * STEP;
    for (size_t k = 0; k < n_k; k += most, rows += most / STEP * f.bytes) {
        const size_t n = (n_k - k < most ? n_k - k : most) / STEP;
        for (size_t g = 0; g < n; g++)
            for (unsigned c = 0; c < n_col; c++)
                f.ready(o.x + g * n_col + c, x->q + c * x->ldq + k + STEP * g,
                        x->sum + c * x->ldsum + (k + STEP * g) / 16);
        for (size_t r = 0; r < MK_PANEL_ROWS; r += TURN)
            rows_in_turn(&o, r, rows, stride, n, n_col, f);
        for (unsigned c = 0; c < n_col; c++)
            add_rows(y + c * MK_PANEL_ROWS, o.t + c * MK_PANEL_ROWS * (8 * n + PAD),
                     x->s + c * x->lds + k / 32, 8 * n);
    }
}

INLINE void gemv(float *y, const uint8_t *rows, size_t stride, const struct mk_x8 *x, size_t n_k,
                 size_t n_col, struct form f)
{
    for (size_t c = 0; c < n_col; c += COLS, y += COLS * MK_PANEL_ROWS) {
        const struct mk_x8 at = {
            x->q + c * x->ldq, x->s + c * x->lds, x->sum + c * x->ldsum, x->ldq, x->lds, x->ldsum};
        if (n_col - c == 1)
            few_columns(y, rows, stride, &at, n_k, 1, f);
        else if (n_col - c == 2)
            few_columns(y, rows, stride, &at, n_k, 2, f);
        else if (n_col - c == 3)
            few_columns(y, rows, stride, &at, n_k, 3, f);
        else
            few_columns(y, rows, stride, &at, n_k, 4, f);
    }
}

#define GEMV(ID, bytes, ready, decode, multiply)                                               \
    static void gemv_##ID(float *y, const uint8_t *rows, size_t stride, const struct mk_x8 *x, \
                          size_t n_k, size_t n_col)                                            \
    {                                                                                          \
        gemv(y, rows, stride, x, n_k, n_col, (struct form){bytes, ready, decode, multiply});   \
    }
GEMV(Q2_K, 84, ready2, decode2, multiply2)
GEMV(Q3_K, 110, ready3, decode3, multiply16)
GEMV(Q4_K, 144, ready4, decode4, multiply4)
GEMV(Q5_K, 176, ready4, decode5, multiply5)
GEMV(Q6_K, 210, ready6, decode6, multiply16)
GEMV(IQ4_XS, 136, ready4, decode_iq4, multiply_iq4)

void mk_avx2_gemv_s256(struct mk_kernels *k)
{
    k->gemv[MK_Q2_K] = gemv_Q2_K;
    k->gemv[MK_Q3_K] = gemv_Q3_K;
    k->gemv[MK_Q4_K] = gemv_Q4_K;
    k->gemv[MK_Q5_K] = gemv_Q5_K;
    k->gemv[MK_Q6_K] = gemv_Q6_K;
    k->gemv[MK_IQ4_XS] = gemv_IQ4_XS;
}
