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
 * 32, two vectors of codes, one of a column and a scratch one fill the 16 registers. */
#include "kernels/avx2/int_avx2.h"
#include "kernels/inline.h"
#include "kernels/kernels.h"

#include <immintrin.h>
#include <string.h>

enum { TILE = 3, SIGNED = 0 };

INLINE __m256i load(const void *p) { return _mm256_load_si256(p); }

INLINE __m256i splat4(const void *p)
{
    int32_t v;
    memcpy(&v, p, sizeof v);
    return _mm256_set1_epi32(v);
}

/* Adds in this order: compilers make trees of sums, which take more registers than
 * there are. */
INLINE __m256i chain16(__m256i sum, __m256i v)
{
    sum = _mm256_add_epi16(sum, v);
    __asm__("" : "+x"(sum));
    return sum;
}

/* i[c][h] += f[h] * sum over `quads` quads from k on of q * x: rows 8h..8h+7, column c. */
INLINE void dot_run(__m256i i[TILE][2], const struct mk_panel *p, const struct mk_x8 *x, size_t k,
                    int n_col, int quads, const __m256i f[2])
{
    __m256i t[TILE][2];
    UNROLL
    for (size_t j = 0; j < (size_t)quads; j++) {
        const __m256i w0 = load(p->q[k / 4 + j][0]), w1 = load(p->q[k / 4 + j][8]);
        UNROLL
        for (int c = 0; c < n_col; c++) {
            const __m256i v = splat4(x->q + (size_t)c * x->ldq + k + 4 * j);
            const __m256i t0 = _mm256_maddubs_epi16(w0, v), t1 = _mm256_maddubs_epi16(w1, v);
            t[c][0] = j ? chain16(t[c][0], t0) : t0;
            t[c][1] = j ? chain16(t[c][1], t1) : t1;
        }
    }
    UNROLL
    for (int c = 0; c < n_col; c++) {
        UNROLL
        for (int h = 0; h < 2; h++)
            i[c][h] = _mm256_add_epi32(i[c][h], _mm256_madd_epi16(t[c][h], f[h]));
    }
}

/* The same for one quad of signed codes, stored with 128 added. */
INLINE void dot_signed(__m256i i[TILE][2], const struct mk_panel *p, const struct mk_x8 *x,
                       size_t k, int n_col, const __m256i f[2])
{
    UNROLL
    for (int h = 0; h < 2; h++) {
        const __m256i w = _mm256_xor_si256(load(p->q[k / 4][8 * h]), _mm256_set1_epi8(-128));
        const __m256i a = _mm256_abs_epi8(w);
        UNROLL
        for (int c = 0; c < n_col; c++) {
            const __m256i v = splat4(x->q + (size_t)c * x->ldq + k);
            const __m256i t = _mm256_maddubs_epi16(a, _mm256_sign_epi8(v, w));
            i[c][h] = _mm256_add_epi32(i[c][h], _mm256_madd_epi16(t, f[h]));
        }
    }
}

/* The same for n values, a multiple of 4 * run. */
INLINE void dot(__m256i i[TILE][2], const struct mk_panel *p, const struct mk_x8 *x, size_t k,
                size_t n, int n_col, int run, const __m256i f[2])
{
    if (run == SIGNED) {
        UNROLL
        for (size_t j = 0; j < n; j += 4) dot_signed(i, p, x, k + j, n_col, f);
        return;
    }
    UNROLL
    for (size_t j = 0; j < n; j += 4 * (size_t)run) dot_run(i, p, x, k + j, n_col, run, f);
}

/* y = fma(a * s, (float)i, y) */
INLINE void add_scaled(float *y, const float *a, __m256 s, __m256i i)
{
    const __m256 as = _mm256_mul_ps(_mm256_load_ps(a), s);
    _mm256_storeu_ps(y, _mm256_fmadd_ps(as, _mm256_cvtepi32_ps(i), _mm256_loadu_ps(y)));
}

INLINE void tile_s32(float *y, const struct mk_panel *p, const struct mk_x8 *x, int n_col, int run)
{
    const __m256i one[2] = {_mm256_set1_epi16(1), _mm256_set1_epi16(1)};
    const __m256i bias = _mm256_set1_epi16((int16_t)-p->quant->bias);
    for (size_t g = 0; g < p->n_k / 32; g++) {
        __m256i i[TILE][2];
        UNROLL
        for (int c = 0; c < n_col; c++) i[c][0] = i[c][1] = _mm256_setzero_si256();
        dot(i, p, x, 32 * g, 32, n_col, run, one);
        UNROLL
        for (int c = 0; c < n_col; c++) {
            const __m256i xs = splat4(x->sum + (size_t)c * x->ldsum + 2 * g);
            const __m256i less =
                run == SIGNED ? _mm256_setzero_si256() : _mm256_madd_epi16(xs, bias);
            const __m256 s = _mm256_broadcast_ss(x->s + (size_t)c * x->lds + g);
            float *yc = y + c * MK_PANEL_ROWS;
            add_scaled(yc, p->d[g], s, _mm256_add_epi32(i[c][0], less));
            add_scaled(yc + 8, p->d[g] + 8, s, _mm256_add_epi32(i[c][1], less));
            if (!p->quant->has_min) continue;
            add_scaled(yc, p->m[g], s, _mm256_madd_epi16(xs, one[0]));
            add_scaled(yc + 8, p->m[g] + 8, s, _mm256_madd_epi16(xs, one[0]));
        }
    }
}

/* Two rows of 32-bit numbers as the low and high 16 bits. */
INLINE __m256i pair(const int32_t *low, const int32_t *high)
{
    return _mm256_blend_epi16(load(low), _mm256_slli_epi32(load(high), 16), 0xaa);
}

/* i = sum over a group of 256 of factor * sum of the column's codes. */
INLINE void dot_sums(__m256i i[TILE][2], const int32_t (*factor)[MK_PANEL_ROWS],
                     const struct mk_x8 *x, size_t g, int n_col, int sub)
{
    UNROLL
    for (int c = 0; c < n_col; c++) i[c][0] = i[c][1] = _mm256_setzero_si256();
    for (size_t j = 0; j < 8; j++) {
        const size_t a = sub == 16 ? 2 * j : j, b = sub == 16 ? a + 1 : a;
        const __m256i f0 = pair(factor[a], factor[b]), f1 = pair(factor[a] + 8, factor[b] + 8);
        UNROLL
        for (int c = 0; c < n_col; c++) {
            const __m256i xs = splat4(x->sum + (size_t)c * x->ldsum + 16 * g + 2 * j);
            i[c][0] = _mm256_add_epi32(i[c][0], _mm256_madd_epi16(xs, f0));
            i[c][1] = _mm256_add_epi32(i[c][1], _mm256_madd_epi16(xs, f1));
        }
    }
}

/* y = fma(-(m * s), (float)im, y) */
INLINE void sub_mins(float *y, const struct mk_panel *p, const struct mk_x8 *x, size_t g, int n_col,
                     int sub)
{
    __m256i im[TILE][2];
    dot_sums(im, p->mn + 256 / (size_t)sub * g, x, g, n_col, sub);
    UNROLL
    for (int c = 0; c < n_col; c++) {
        UNROLL
        for (int h = 0; h < 2; h++) {
            float *yc = y + c * MK_PANEL_ROWS + 8 * h;
            const __m256 s = _mm256_broadcast_ss(x->s + (size_t)c * x->lds + g);
            const __m256 ms = _mm256_mul_ps(_mm256_load_ps(p->m[g] + 8 * h), s);
            const __m256 v = _mm256_cvtepi32_ps(im[c][h]);
            _mm256_storeu_ps(yc, _mm256_fnmadd_ps(ms, v, _mm256_loadu_ps(yc)));
        }
    }
}

INLINE void tile_s256(float *y, const struct mk_panel *p, const struct mk_x8 *x, int n_col, int run,
                      int sub)
{
    const __m256i bias = _mm256_set1_epi32(-p->quant->bias);
    const size_t n_sub = 256 / (size_t)sub;
    for (size_t g = 0; g < p->n_k / 256; g++) {
        __m256i i[TILE][2];
        if (run != SIGNED && p->quant->bias) dot_sums(i, p->sc + n_sub * g, x, g, n_col, sub);
        UNROLL
        for (int c = 0; c < n_col; c++) {
            UNROLL
            for (int h = 0; h < 2; h++)
                i[c][h] = run != SIGNED && p->quant->bias ? _mm256_mullo_epi32(i[c][h], bias)
                                                          : _mm256_setzero_si256();
        }
        for (size_t j = n_sub * g; j < n_sub * (g + 1); j++) {
            const __m256i f[2] = {pair(p->sc[j], p->sc[j]), pair(p->sc[j] + 8, p->sc[j] + 8)};
            dot(i, p, x, (size_t)sub * j, (size_t)sub, n_col, run, f);
        }
        UNROLL
        for (int c = 0; c < n_col; c++) {
            UNROLL
            for (int h = 0; h < 2; h++)
                add_scaled(y + c * MK_PANEL_ROWS + 8 * h, p->d[g] + 8 * h,
                           _mm256_broadcast_ss(x->s + (size_t)c * x->lds + g), i[c][h]);
        }
        if (p->quant->has_min) sub_mins(y, p, x, g, n_col, sub);
    }
}

/* sub is 0 for S32. */
INLINE void tile(float *y, const struct mk_panel *p, const struct mk_x8 *x, int n_col, int run,
                 int sub)
{
    if (sub)
        tile_s256(y, p, x, n_col, run, sub);
    else
        tile_s32(y, p, x, n_col, run);
}

INLINE void columns(float *y, const struct mk_panel *p, const struct mk_x8 *x, size_t n_col,
                    int run, int sub)
{
    struct mk_x8 at = *x;
    for (; n_col >= TILE; n_col -= TILE, y += TILE * MK_PANEL_ROWS) {
        tile(y, p, &at, TILE, run, sub);
        at.q += TILE * at.ldq;
        at.s += TILE * at.lds;
        at.sum += TILE * at.ldsum;
    }
    if (n_col == 2)
        tile(y, p, &at, 2, run, sub);
    else if (n_col)
        tile(y, p, &at, 1, run, sub);
}

static void mul_s32_panel(float *y, const struct mk_panel *p, const struct mk_x8 *x, size_t n_col)
{
    switch ((enum mk_type)(p->quant - mk_quants)) {
    case MK_Q4_0:
    case MK_Q4_1:
        columns(y, p, x, n_col, 8, 0);
        break;
    case MK_Q5_0:
    case MK_Q5_1:
    case MK_MXFP4:
        columns(y, p, x, n_col, 4, 0);
        break;
    default:
        columns(y, p, x, n_col, SIGNED, 0);
    }
}

static void mul_s256_panel(float *y, const struct mk_panel *p, const struct mk_x8 *x, size_t n_col)
{
    switch ((enum mk_type)(p->quant - mk_quants)) {
    case MK_Q2_K:
    case MK_Q3_K:
        columns(y, p, x, n_col, 4, 16);
        break;
    case MK_Q4_K:
        columns(y, p, x, n_col, 8, 32);
        break;
    case MK_Q5_K:
        columns(y, p, x, n_col, 4, 32);
        break;
    case MK_Q6_K:
        columns(y, p, x, n_col, 2, 16);
        break;
    default:
        columns(y, p, x, n_col, SIGNED, 32);
    }
}

/* Panels one after the other. */
#define EACH_PANEL(name)                                                                        \
    static void name(float *y, const struct mk_panel *p, size_t n_panel, const struct mk_x8 *x, \
                     size_t n_col)                                                              \
    {                                                                                           \
        for (size_t i = 0; i < n_panel; i++)                                                    \
            name##_panel(y + i * n_col * MK_PANEL_ROWS, p + i, x, n_col);                       \
    }
EACH_PANEL(mul_s32)
EACH_PANEL(mul_s256)
#undef EACH_PANEL

void mk_avx2_mul(struct mk_kernels *k)
{
    k->mul_s32 = mul_s32;
    k->mul_s256 = mul_s256;
}
