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

/* t = d (float)i, or plus that: sub-block j of columns c. */
INLINE void scale_block(__m256 t[TILE][2], __m256i i[TILE][2], const struct mk_panel *p,
                        const struct mk_x8 *x, size_t j, int n_col, int bias, int sub,
                        bool is_first)
{
    UNROLL
    for (int c = 0; c < n_col; c++) {
        const int16_t *sum = x->sum + (size_t)c * x->ldsum + j * (size_t)sub / 16;
        const int32_t xs = sub == 16 ? sum[0] : sum[0] + sum[1];
        UNROLL
        for (int h = 0; h < 2; h++) {
            const __m256 d = _mm256_load_ps(p->d[j] + 8 * h), m = _mm256_load_ps(p->m[j] + 8 * h);
            const __m256 v =
                _mm256_cvtepi32_ps(_mm256_sub_epi32(i[c][h], _mm256_set1_epi32(bias * xs)));
            t[c][h] = is_first ? _mm256_mul_ps(d, v) : _mm256_fmadd_ps(d, v, t[c][h]);
            if (p->quant->has_min) t[c][h] = _mm256_fmadd_ps(m, _mm256_set1_ps((float)xs), t[c][h]);
        }
    }
}

INLINE void tile(float *y, const struct mk_panel *p, const struct mk_x8 *x, int n_col, int run,
                 int sub)
{
    const __m256i one[2] = {_mm256_set1_epi16(1), _mm256_set1_epi16(1)};
    const int bias = run == SIGNED ? 0 : p->quant->bias;
    for (size_t k = 0; k < p->n_k; k += 32) {
        __m256 t[TILE][2];
        UNROLL
        for (int j = 0; j < 32 / sub; j++) {
            const size_t at = k + (size_t)(j * sub);
            __m256i i[TILE][2];
            UNROLL
            for (int c = 0; c < n_col; c++) i[c][0] = i[c][1] = _mm256_setzero_si256();
            dot(i, p, x, at, (size_t)sub, n_col, run, one);
            scale_block(t, i, p, x, at / (size_t)sub, n_col, bias, sub, j == 0);
        }
        UNROLL
        for (int c = 0; c < n_col; c++) {
            const __m256 s = _mm256_broadcast_ss(x->s + (size_t)c * x->lds + k / 32);
            UNROLL
            for (int h = 0; h < 2; h++) {
                float *out = y + c * MK_PANEL_ROWS + 8 * h;
                _mm256_storeu_ps(out, _mm256_fmadd_ps(s, t[c][h], _mm256_loadu_ps(out)));
            }
        }
    }
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

static void mul_int_panel(float *y, const struct mk_panel *p, const struct mk_x8 *x, size_t n_col)
{
    switch ((enum mk_type)(p->quant - mk_quants)) {
    case MK_Q4_0:
    case MK_Q4_1:
    case MK_Q4_K:
        columns(y, p, x, n_col, 8, 32);
        break;
    case MK_Q5_0:
    case MK_Q5_1:
    case MK_Q5_K:
    case MK_MXFP4:
        columns(y, p, x, n_col, 4, 32);
        break;
    case MK_Q2_K:
    case MK_Q3_K:
        columns(y, p, x, n_col, 4, 16);
        break;
    case MK_Q6_K:
        columns(y, p, x, n_col, 2, 16);
        break;
    default:
        columns(y, p, x, n_col, SIGNED, 32);
    }
}

MK_EACH_PANEL(mul_int)

void mk_avx2_mul(struct mk_kernels *k) { k->mul_int = mul_int; }
