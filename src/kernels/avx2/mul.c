/* Integer products.  maddubs multiplies 32 unsigned codes of eight rows with four
 * codes of a column, repeated, into pairs of 16 bits; as long as the weights' codes are
 * small, several such quads add up in 16 bits before one madd widens them:
 *
 *   codes up to   15   31   63   127   |-128..127|
 *   quads ("run")  8    4    2     1      signed
 *
 * since 2 * run * code * 127 < 32768.  Codes of types with bias 128 are made signed;
 * their sign then moves to the column's codes, and maddubs takes the magnitude.
 * The factor of the widening madd is 1, or the sub-scale of a group of 256, for free.
 *
 * A tile is 16 rows (two vectors) by at most three columns: 6 sums in 16 bits, 6 in
 * 32, two vectors of codes, one of a column and a scratch one fill the 16 registers.  Of
 * signed codes it is 8 rows by at most eight columns. */
#include "kernels/avx2/int_avx2.h"
#include "kernels/avx2/int_tile.h"
#include "kernels/kernels.h"

#include <string.h>

/* What makes a type; constant where the tiles are inlined.  sub is 0 for S32. */
struct form {
    int run;
    size_t sub;
    bool has_min;
};

INLINE __m256i load(const void *p) { return _mm256_load_si256(p); }

/* Two 16-bit numbers of a column, in every lane. */
INLINE __m256i pair_all(const int16_t *p)
{
    int32_t v;
    memcpy(&v, p, sizeof v);
    return _mm256_set1_epi32(v);
}

/* x from column c on. */
INLINE struct mk_x8 columns_from(const struct mk_x8 *x, size_t c)
{
    struct mk_x8 v = *x;
    v.q += c * x->ldq, v.s += c * x->lds, v.sum += c * x->ldsum;
    return v;
}

#define RUN_OF(RUN)                                      \
    do {                                                 \
        if (n == 1)                                      \
            MK_TILE_RUN(1, RUN, a, lines, q, x->ldq, f); \
        else if (n == 2)                                 \
            MK_TILE_RUN(2, RUN, a, lines, q, x->ldq, f); \
        else                                             \
            MK_TILE_RUN(3, RUN, a, lines, q, x->ldq, f); \
    } while (0)

/* a += f * (codes . x) for values k..k+len-1, a multiple of 16. */
INLINE void dot(__m256i a[2 * MK_TILE], const struct mk_panel *p, const struct mk_x8 *x, size_t k,
                size_t len, unsigned n, int run, const __m256i f[2])
{
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

/* The same of signed codes and rows 8h..8h+7, for 32 values: a[c]. */
INLINE void dot_signed(__m256i a[MK_TILE_MAX], const struct mk_panel *p, unsigned h,
                       const struct mk_x8 *x, size_t k, unsigned n, __m256i f)
{
    UNROLL
    for (size_t i = k; i < k + 32; i += 16) {
        const void *lines = p->q[i / 4][8 * h];
        const int8_t *q = x->q + i;
        if (n == 1)
            MK_TILE_SIGNED(1, a, lines, q, x->ldq, f);
        else if (n == 2)
            MK_TILE_SIGNED(2, a, lines, q, x->ldq, f);
        else if (n == 4)
            MK_TILE_SIGNED(4, a, lines, q, x->ldq, f);
        else
            MK_TILE_SIGNED(8, a, lines, q, x->ldq, f);
    }
}

/* y = fma(a * s, (float)i, y), or minus that product */
INLINE void add_scaled(float *y, const float *a, __m256 s, __m256i i, bool is_less)
{
    const __m256 as = _mm256_mul_ps(_mm256_load_ps(a), s), v = _mm256_cvtepi32_ps(i);
    const __m256 old = _mm256_loadu_ps(y);
    _mm256_storeu_ps(y, is_less ? _mm256_fnmadd_ps(as, v, old) : _mm256_fmadd_ps(as, v, old));
}

/* ---- one scale for each 32 values ------------------------------------------- */

/* What a tile needs of the sums of its columns, for each 32 values. */
struct sums32 {
    int32_t bias[MK_TILE][MK_PANEL_K / 32]; /* -bias * xs */
    float xs[MK_TILE][MK_PANEL_K / 32];
};

INLINE void sum_columns(struct sums32 *o, const struct mk_panel *p, const struct mk_x8 *x,
                        unsigned n, bool has_min)
{
    const __m256i one = _mm256_set1_epi16(1), bias = _mm256_set1_epi16((int16_t)-p->quant->bias);
    const __m256i count = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const size_t n_g = p->n_k / 32;
    for (unsigned c = 0; c < n; c++)
        for (size_t g = 0; g < n_g; g += 8) {
            const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(n_g - g)), count);
            const int16_t *sum = x->sum + c * x->ldsum + 2 * g;
            const __m256i v = _mm256_maskload_epi32((const int *)(const void *)sum, mask);
            _mm256_storeu_si256((__m256i *)&o->bias[c][g], _mm256_madd_epi16(v, bias));
            if (has_min)
                _mm256_storeu_ps(&o->xs[c][g], _mm256_cvtepi32_ps(_mm256_madd_epi16(v, one)));
        }
}

INLINE void tile_s32(float *y, const struct mk_panel *p, const struct mk_x8 *x, unsigned n,
                     struct form t)
{
    const __m256i one[2] = {_mm256_set1_epi16(1), _mm256_set1_epi16(1)};
    struct sums32 sums;
    sum_columns(&sums, p, x, n, t.has_min);
    for (size_t g = 0; g < p->n_k / 32; g++) {
        __m256i a[2 * MK_TILE];
        UNROLL
        for (unsigned c = 0; c < n; c++)
            a[2 * c] = a[2 * c + 1] = _mm256_set1_epi32(sums.bias[c][g]);
        dot(a, p, x, 32 * g, 32, n, t.run, one);
        UNROLL
        for (unsigned i = 0; i < 2 * n; i++) {
            const __m256 s = _mm256_broadcast_ss(x->s + i / 2 * x->lds + g);
            float *out = y + 8 * i;
            add_scaled(out, p->d[g] + i % 2 * 8, s, a[i], false);
            if (!t.has_min) continue;
            const __m256 ms = _mm256_mul_ps(_mm256_load_ps(p->m[g] + i % 2 * 8), s);
            const __m256 xs = _mm256_broadcast_ss(&sums.xs[i / 2][g]);
            _mm256_storeu_ps(out, _mm256_fmadd_ps(ms, xs, _mm256_loadu_ps(out)));
        }
    }
}

/* ---- one scale for each 256, integer scales for each 16 or 32 ---------------- */

/* What a panel's sums are multiplied with, in pairs of 16 bits; made once for all columns. */
struct factors {
    __m256i sc[MK_PANEL_K / 16][2];   /* sub-scales, each twice */
    __m256i less[MK_PANEL_K / 32][2]; /* minima, or -bias * sub-scales, of two sub-blocks */
};

INLINE __m256i pair(__m256i low, __m256i high)
{
    return _mm256_blend_epi16(low, _mm256_slli_epi32(high, 16), 0xaa);
}

INLINE void make_factors(struct factors *o, const struct mk_panel *p, struct form t)
{
    const int32_t(*v)[MK_PANEL_ROWS] = t.has_min ? p->mn : p->sc;
    const __m256i by = _mm256_set1_epi32(t.has_min ? 1 : -p->quant->bias);
    for (size_t j = 0; j < p->n_k / t.sub; j++) {
        for (int h = 0; h < 2; h++) {
            const __m256i sc = load(p->sc[j] + 8 * h);
            o->sc[j][h] = pair(sc, sc);
            if (j % 2)
                o->less[j / 2][h] = pair(_mm256_mullo_epi32(load(v[j - 1] + 8 * h), by),
                                         _mm256_mullo_epi32(load(v[j] + 8 * h), by));
        }
    }
}

/* The sums of a column's sub-blocks, for the whole panel. */
INLINE void sum_blocks(int16_t xs[MK_PANEL_K / 16], const int16_t *sum, size_t n_k, size_t sub)
{
    for (size_t j = 0; j < n_k / 16; j += 16) { /* n_k is a multiple of 256 */
        const __m256i v = _mm256_loadu_si256((const __m256i *)(sum + j));
        if (sub == 16) {
            _mm256_storeu_si256((__m256i *)(xs + j), v);
            continue;
        }
        const __m256i two = _mm256_madd_epi16(v, _mm256_set1_epi16(1));
        _mm_storeu_si128(
            (__m128i *)(xs + j / 2),
            _mm_packs_epi32(_mm256_castsi256_si128(two), _mm256_extracti128_si256(two, 1)));
    }
}

/* a += sum over a group of less * xs */
INLINE void dot_sums(__m256i a[2 * MK_TILE], unsigned n, const __m256i (*less)[2],
                     int16_t (*xs)[MK_PANEL_K / 16], size_t first, size_t sub)
{
    for (size_t j = 0; j < 128 / sub; j++) {
        UNROLL
        for (unsigned i = 0; i < 2 * n; i++)
            a[i] = _mm256_add_epi32(
                a[i], _mm256_madd_epi16(less[j][i % 2], pair_all(&xs[i / 2][first + 2 * j])));
    }
}

/* y += f s a, or minus that; a = 0. */
INLINE void add_group(float *y, unsigned n, __m256i a[2 * MK_TILE], const float *f, const float *s,
                      size_t lds, bool is_less)
{
    UNROLL
    for (unsigned i = 0; i < 2 * n; i++) {
        add_scaled(y + 8 * i, f + i % 2 * 8, _mm256_broadcast_ss(s + i / 2 * lds), a[i], is_less);
        a[i] = _mm256_setzero_si256();
    }
}

INLINE void tile_s256(float *y, const struct mk_panel *p, const struct factors *f,
                      const struct mk_x8 *x, unsigned n, struct form t)
{
    int16_t xs[MK_TILE][MK_PANEL_K / 16];
    __m256i a[2 * MK_TILE];
    UNROLL
    for (unsigned c = 0; c < n; c++) {
        sum_blocks(xs[c], x->sum + c * x->ldsum, p->n_k, t.sub);
        a[2 * c] = a[2 * c + 1] = _mm256_setzero_si256();
    }
    for (size_t g = 0; g < p->n_k / 256; g++) {
        const size_t first = 256 / t.sub * g;
        for (size_t j = first; j < 256 / t.sub * (g + 1); j++)
            dot(a, p, x, j * t.sub, t.sub, n, t.run, f->sc[j]);
        if (!t.has_min) dot_sums(a, n, f->less + first / 2, xs, first, t.sub);
        add_group(y, n, a, p->d[g], x->s + g, x->lds, false);
        if (!t.has_min) continue;
        dot_sums(a, n, f->less + first / 2, xs, first, t.sub);
        add_group(y, n, a, p->m[g], x->s + g, x->lds, true);
    }
}

/* ---- all columns --------------------------------------------------------------- */

INLINE void tile(float *y, const struct mk_panel *p, const struct factors *f, const struct mk_x8 *x,
                 unsigned n, struct form t)
{
    if (t.sub)
        tile_s256(y, p, f, x, n, t);
    else
        tile_s32(y, p, x, n, t);
}

INLINE void columns(float *y, const struct mk_panel *p, const struct mk_x8 *x, size_t n_col,
                    struct form t)
{
    struct factors f;
    size_t c = 0;
    if (t.sub) make_factors(&f, p, t);
    for (; c + MK_TILE <= n_col; c += MK_TILE) {
        const struct mk_x8 at = columns_from(x, c);
        tile(y + c * MK_PANEL_ROWS, p, &f, &at, MK_TILE, t);
    }
    const struct mk_x8 at = columns_from(x, c);
    if (n_col - c == 2)
        tile(y + c * MK_PANEL_ROWS, p, &f, &at, 2, t);
    else if (n_col > c)
        tile(y + c * MK_PANEL_ROWS, p, &f, &at, 1, t);
}

/* ---- signed codes -------------------------------------------------------------- */

/* Rows 8h..8h+7 of n columns: a scale for each 32 values, and of S256 one for each 256. */
INLINE void tile_signed(float *y, const struct mk_panel *p, const struct factors *f, unsigned h,
                        const struct mk_x8 *x, unsigned n, size_t len)
{
    __m256i a[MK_TILE_MAX];
    for (size_t g = 0; g < p->n_k / len; g++) {
        UNROLL
        for (unsigned c = 0; c < n; c++) a[c] = _mm256_setzero_si256();
        for (size_t k = len * g; k < len * (g + 1); k += 32)
            dot_signed(a, p, h, x, k, n,
                       len == 32 ? _mm256_set1_epi16(1) : load(&f->sc[k / 32][h]));
        UNROLL
        for (unsigned c = 0; c < n; c++)
            add_scaled(y + c * MK_PANEL_ROWS + 8 * h, p->d[g] + 8 * h,
                       _mm256_broadcast_ss(x->s + c * x->lds + g), a[c], false);
    }
}

INLINE void columns_signed(float *y, const struct mk_panel *p, const struct mk_x8 *x, size_t n_col,
                           size_t len)
{
    struct factors f;
    if (len == 256) make_factors(&f, p, (struct form){0, 32, false});
    for (size_t c = 0, n; c < n_col; c += n) {
        const struct mk_x8 at = columns_from(x, c);
        const size_t left = n_col - c;
        n = left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
        for (unsigned h = 0; h < 2; h++) {
            float *out = y + c * MK_PANEL_ROWS;
            if (n == 8)
                tile_signed(out, p, &f, h, &at, 8, len);
            else if (n == 4)
                tile_signed(out, p, &f, h, &at, 4, len);
            else if (n == 2)
                tile_signed(out, p, &f, h, &at, 2, len);
            else
                tile_signed(out, p, &f, h, &at, 1, len);
        }
    }
}

static void mul_s32_panel(float *y, const struct mk_panel *p, const struct mk_x8 *x, size_t n_col)
{
    switch ((enum mk_type)(p->quant - mk_quants)) {
    case MK_Q4_0:
        columns(y, p, x, n_col, (struct form){8, 0, false});
        break;
    case MK_Q4_1:
        columns(y, p, x, n_col, (struct form){8, 0, true});
        break;
    case MK_Q5_0:
    case MK_MXFP4:
        columns(y, p, x, n_col, (struct form){4, 0, false});
        break;
    case MK_Q5_1:
        columns(y, p, x, n_col, (struct form){4, 0, true});
        break;
    default:
        columns_signed(y, p, x, n_col, 32);
    }
}

static void mul_s256_panel(float *y, const struct mk_panel *p, const struct mk_x8 *x, size_t n_col)
{
    switch ((enum mk_type)(p->quant - mk_quants)) {
    case MK_Q2_K:
        columns(y, p, x, n_col, (struct form){4, 16, true});
        break;
    case MK_Q3_K:
        columns(y, p, x, n_col, (struct form){4, 16, false});
        break;
    case MK_Q4_K:
        columns(y, p, x, n_col, (struct form){8, 32, true});
        break;
    case MK_Q5_K:
        columns(y, p, x, n_col, (struct form){4, 32, true});
        break;
    case MK_Q6_K:
        columns(y, p, x, n_col, (struct form){2, 16, false});
        break;
    default:
        columns_signed(y, p, x, n_col, 256);
    }
}

MK_EACH_PANEL(mul_s32)
MK_EACH_PANEL(mul_s256)

void mk_avx2_mul(struct mk_kernels *k)
{
    k->mul_s32 = mul_s32;
    k->mul_s256 = mul_s256;
}
