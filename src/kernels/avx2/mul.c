/* Integer products.  maddubs multiplies 32 unsigned codes of eight rows with four
 * codes of a column, repeated, into pairs of 16 bits; as long as the weights' codes are
 * small, several such quads add up in 16 bits before one madd widens them:
 *
 *   codes up to   15   31   63   127   |-128..127|
 *   quads ("run")  8    4    2     1      signed
 *
 * since 2 * run * code * 127 < 32768.  Codes of types with bias 128 are made signed;
 * their sign then moves to the column's codes, and maddubs takes the magnitude.
 *
 * A tile is 16 rows (two vectors) by at most three columns: 6 sums in 16 bits, 6 in
 * 32, two vectors of codes, one of a column and a scratch one fill the 16 registers.  Of
 * signed codes it is 8 rows by at most eight columns. */
#include "kernels/avx2/int_avx2.h"
#include "kernels/avx2/int_tile.h"
#include "kernels/avx2/int_vec.h"
#include "kernels/int_ahead.h"
#include "kernels/kernels.h"

/* What makes a type; constant where the tiles are inlined. */
struct form {
    int run;
    size_t sub; /* values that share a scale: 16 or 32 */
    bool has_min, has_bias;
};

/* x from column c on. */
INLINE struct mk_x8 columns_from(const struct mk_x8 *x, size_t c)
{
    struct mk_x8 v = *x;
    v.q += c * x->ldq, v.s += c * x->lds, v.sum += c * x->ldsum;
    return v;
}

#define RUN_OF(RUN)                                        \
    do {                                                   \
        if (n == 1)                                        \
            MK_TILE_RUN(1, RUN, a, lines, q, x->ldq, one); \
        else if (n == 2)                                   \
            MK_TILE_RUN(2, RUN, a, lines, q, x->ldq, one); \
        else                                               \
            MK_TILE_RUN(3, RUN, a, lines, q, x->ldq, one); \
    } while (0)

/* a += codes . x for values k..k+len-1. */
INLINE void dot(__m256i a[2 * MK_TILE], const struct mk_panel *p, const struct mk_x8 *x, size_t k,
                size_t len, unsigned n, int run)
{
    const __m256i one = _mm256_set1_epi16(1);
    UNROLL
    for (size_t i = k; i < k + len; i += 4 * (size_t)run) {
        const void *lines = p->q[i / 4];
        const int8_t *q = x->q + i;
        if (run == 8)
            RUN_OF(MK_RUN8);
        else if (run == 4)
            RUN_OF(MK_RUN4);
        else
            RUN_OF(MK_RUN2);
    }
}

/* What a tile needs of the sums of its columns' codes, for each sub-block. */
struct sums {
    int32_t bias[MK_TILE][MK_PANEL_K / 16]; /* -bias * xs */
    float xs[MK_TILE][MK_PANEL_K / 16];
};

/* Of 8 sub-blocks from j on, or those there are: sums of 16 codes in pairs of 16 bits, of which the
 * second is zero where a sub-block has one. */
INLINE __m256i sums_at(const struct mk_x8 *x, unsigned c, size_t j, size_t n_k, size_t sub)
{
    const int16_t *sum = x->sum + c * x->ldsum + sub / 16 * j;
    if (sub == 16) { /* n_k is a multiple of 256 */
        const __m128i v = _mm_loadu_si128((const __m128i *)(const void *)sum);
        return _mm256_cvtepu16_epi32(v);
    }
    const __m256i mask = mk_first8(n_k / 32 - j);
    return _mm256_maskload_epi32((const int *)(const void *)sum, mask);
}

INLINE void sum_columns(struct sums *o, const struct mk_panel *p, const struct mk_x8 *x, unsigned n,
                        struct form t)
{
    const __m256i one = _mm256_set1_epi16(1), bias = _mm256_set1_epi16((int16_t)-p->quant->bias);
    for (unsigned c = 0; c < n; c++)
        for (size_t j = 0; j < p->n_k / t.sub; j += 8) {
            const __m256i v = sums_at(x, c, j, p->n_k, t.sub);
            if (t.has_bias)
                _mm256_storeu_si256((__m256i *)&o->bias[c][j], _mm256_madd_epi16(v, bias));
            if (t.has_min)
                _mm256_storeu_ps(&o->xs[c][j], _mm256_cvtepi32_ps(_mm256_madd_epi16(v, one)));
        }
}

/* v = d (float)a, or plus that, with the minimum: sub-block j. */
INLINE void scale_block(__m256 v[2 * MK_TILE], unsigned n, const __m256i a[2 * MK_TILE],
                        const struct mk_panel *p, size_t j, const struct sums *sums, bool is_first,
                        struct form t)
{
    UNROLL
    for (unsigned i = 0; i < 2 * n; i++) {
        const __m256 d = _mm256_load_ps(p->d[j] + i % 2 * 8), f = _mm256_cvtepi32_ps(a[i]);
        v[i] = is_first ? _mm256_mul_ps(d, f) : _mm256_fmadd_ps(d, f, v[i]);
        if (t.has_min)
            v[i] = _mm256_fmadd_ps(_mm256_load_ps(p->m[j] + i % 2 * 8),
                                   _mm256_broadcast_ss(&sums->xs[i / 2][j]), v[i]);
    }
}

/* y = fma(s, v, y) */
INLINE void add_scaled(float *y, const float *s, __m256 v)
{
    _mm256_storeu_ps(y, _mm256_fmadd_ps(_mm256_broadcast_ss(s), v, _mm256_loadu_ps(y)));
}

INLINE void tile(float *y, const struct mk_panel *p, const struct mk_x8 *x, unsigned n,
                 struct form t, struct mk_ahead *next)
{
    struct sums sums;
    sum_columns(&sums, p, x, n, t);
    for (size_t g = 0; g < p->n_k / 32; g++) {
        __m256 v[2 * MK_TILE];
        mk_ask(next);
        UNROLL
        for (size_t o = 0; o < 32 / t.sub; o++) {
            const size_t j = 32 / t.sub * g + o;
            __m256i a[2 * MK_TILE];
            UNROLL
            for (unsigned i = 0; i < 2 * n; i++)
                a[i] = _mm256_set1_epi32(t.has_bias ? sums.bias[i / 2][j] : 0);
            dot(a, p, x, t.sub * j, t.sub, n, t.run);
            scale_block(v, n, a, p, j, &sums, o == 0, t);
        }
        UNROLL
        for (unsigned i = 0; i < 2 * n; i++) add_scaled(y + 8 * i, x->s + i / 2 * x->lds + g, v[i]);
    }
}

INLINE void columns(float *y, const struct mk_panel *p, const struct mk_x8 *x, size_t n_col,
                    struct form t)
{
    struct mk_ahead next = mk_ahead_of(p, (n_col + MK_TILE - 1) / MK_TILE * (p->n_k / 32));
    size_t c = 0;
    for (; c + MK_TILE <= n_col; c += MK_TILE) {
        const struct mk_x8 at = columns_from(x, c);
        tile(y + c * MK_PANEL_ROWS, p, &at, MK_TILE, t, &next);
    }
    const struct mk_x8 at = columns_from(x, c);
    if (n_col - c == 2)
        tile(y + c * MK_PANEL_ROWS, p, &at, 2, t, &next);
    else if (n_col > c)
        tile(y + c * MK_PANEL_ROWS, p, &at, 1, t, &next);
}

/* ---- signed codes -------------------------------------------------------------- */

/* a[c] += codes . x of rows 8h..8h+7, for 32 values. */
INLINE void dot_signed(__m256i a[MK_TILE_MAX], const struct mk_panel *p, unsigned h,
                       const struct mk_x8 *x, size_t k, unsigned n)
{
    const __m256i one = _mm256_set1_epi16(1);
    UNROLL
    for (size_t i = k; i < k + 32; i += 16) {
        const void *lines = p->q[i / 4][8 * h];
        const int8_t *q = x->q + i;
        if (n == 1)
            MK_TILE_SIGNED(1, a, lines, q, x->ldq, one);
        else if (n == 2)
            MK_TILE_SIGNED(2, a, lines, q, x->ldq, one);
        else if (n == 4)
            MK_TILE_SIGNED(4, a, lines, q, x->ldq, one);
        else
            MK_TILE_SIGNED(8, a, lines, q, x->ldq, one);
    }
}

INLINE void tile_signed(float *y, const struct mk_panel *p, unsigned h, const struct mk_x8 *x,
                        unsigned n, struct mk_ahead *next)
{
    __m256i a[MK_TILE_MAX];
    for (size_t g = 0; g < p->n_k / 32; g++) {
        mk_ask(next);
        UNROLL
        for (unsigned c = 0; c < n; c++) a[c] = _mm256_setzero_si256();
        dot_signed(a, p, h, x, 32 * g, n);
        const __m256 d = _mm256_load_ps(p->d[g] + 8 * h);
        UNROLL
        for (unsigned c = 0; c < n; c++)
            add_scaled(y + c * MK_PANEL_ROWS + 8 * h, x->s + c * x->lds + g,
                       _mm256_mul_ps(d, _mm256_cvtepi32_ps(a[c])));
    }
}

INLINE void columns_signed(float *y, const struct mk_panel *p, const struct mk_x8 *x, size_t n_col)
{
    struct mk_ahead next = mk_ahead_of(p, (n_col + 7) / 8 * 2 * (p->n_k / 32));
    for (size_t c = 0, n; c < n_col; c += n) {
        const struct mk_x8 at = columns_from(x, c);
        const size_t left = n_col - c;
        n = left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
        for (unsigned h = 0; h < 2; h++) {
            float *out = y + c * MK_PANEL_ROWS;
            if (n == 8)
                tile_signed(out, p, h, &at, 8, &next);
            else if (n == 4)
                tile_signed(out, p, h, &at, 4, &next);
            else if (n == 2)
                tile_signed(out, p, h, &at, 2, &next);
            else
                tile_signed(out, p, h, &at, 1, &next);
        }
    }
}

static void mul_int_panel(float *y, const struct mk_panel *p, const struct mk_x8 *x, size_t n_col)
{
#define FORM(...) columns(y, p, x, n_col, (struct form){__VA_ARGS__})
    switch ((enum mk_type)(p->quant - mk_quants)) {
    case MK_Q4_0:
        FORM(8, 32, false, true);
        break;
    case MK_Q4_1:
    case MK_Q4_K:
        FORM(8, 32, true, false);
        break;
    case MK_Q5_0:
    case MK_MXFP4:
        FORM(4, 32, false, true);
        break;
    case MK_Q5_1:
    case MK_Q5_K:
        FORM(4, 32, true, false);
        break;
    case MK_Q2_K:
        FORM(4, 16, true, false);
        break;
    case MK_Q3_K:
        FORM(4, 16, false, true);
        break;
    case MK_Q6_K:
        FORM(2, 16, false, true);
        break;
    default:
        columns_signed(y, p, x, n_col);
    }
#undef FORM
}

MK_EACH_PANEL(mul_int)

void mk_avx2_mul(struct mk_kernels *k) { k->mul_int = mul_int; }
