/* Integer panels times columns of 8-bit codes.
 *
 * VPDPBUSD multiplies the unsigned codes of 4 values with the signed ones of a
 * column and adds the four products to 32 bits, without saturation, in all 16 rows.
 * What must be subtracted for the bias, and the sums for the minima, are dot
 * products too: of pairs of 16-bit numbers, the sums of a column's codes, by
 * VPDPWSSD. */
#include "int_tile.h"

#include <string.h>

/* Two 16-bit numbers of a column, in every lane. */
INLINE __m512i pair_all(const int16_t *sum)
{
    int32_t v;
    memcpy(&v, sum, sizeof v);
    return _mm512_set1_epi32(v);
}

INLINE void dot4(__m512i *a, unsigned n, const void *lines, const int8_t *x, size_t ld)
{
    MK_TILES(n, MK_LINES4, "vpdpbusd", a, lines, x, ld);
}

/* ---- one scale for each 32 values ------------------------------------------- */

/* What a tile needs of the sums of its columns, for each 32 values. */
struct sums32 {
    int32_t bias[MK_TILE_COLS][MK_PANEL_K / 32]; /* -bias * xs */
    float xs[MK_TILE_COLS][MK_PANEL_K / 32];
};

INLINE void sum_columns(struct sums32 *o, const struct mk_panel *p, const struct mk_x8 *x,
                        unsigned n, bool has_min)
{
    const __m512i zero = _mm512_setzero_si512(), one = _mm512_set1_epi16(1);
    const __m512i bias = _mm512_set1_epi16((int16_t)-p->quant->bias);
    const size_t n_g = p->n_k / 32;
    for (unsigned c = 0; c < n; c++)
        for (size_t g = 0; g < n_g; g += 16) {
            const int16_t *sum = x->sum + c * x->ldsum + 2 * g;
            const __m512i pairs = _mm512_maskz_loadu_epi32(mk_tail(g, n_g), sum);
            _mm512_storeu_si512(&o->bias[c][g], _mm512_dpwssd_epi32(zero, bias, pairs));
            if (!has_min) continue;
            _mm512_storeu_ps(&o->xs[c][g],
                             _mm512_cvtepi32_ps(_mm512_dpwssd_epi32(zero, one, pairs)));
        }
}

INLINE void tile_s32(float *y, const struct mk_panel *p, const struct mk_x8 *x, unsigned n,
                     bool has_min)
{
    struct sums32 sums;
    sum_columns(&sums, p, x, n, has_min);
    __m512 f[MK_TILE_COLS];
    UNROLL
    for (unsigned c = 0; c < n; c++) f[c] = _mm512_loadu_ps(y + c * MK_PANEL_ROWS);
    for (size_t g = 0; g < p->n_k / 32; g++) {
        __m512i a[MK_TILE_COLS];
        UNROLL
        for (unsigned c = 0; c < n; c++) a[c] = _mm512_set1_epi32(sums.bias[c][g]);
        dot4(a, n, p->q[8 * g], x->q + 32 * g, x->ldq);
        dot4(a, n, p->q[8 * g + 4], x->q + 32 * g + 16, x->ldq);
        const __m512 d = _mm512_load_ps(p->d[g]), m = _mm512_load_ps(p->m[g]);
        UNROLL
        for (unsigned c = 0; c < n; c++) {
            const __m512 s = _mm512_set1_ps(x->s[c * x->lds + g]);
            f[c] = _mm512_fmadd_ps(_mm512_mul_ps(d, s), _mm512_cvtepi32_ps(a[c]), f[c]);
            if (has_min)
                f[c] = _mm512_fmadd_ps(_mm512_mul_ps(m, s), _mm512_set1_ps(sums.xs[c][g]), f[c]);
        }
    }
    UNROLL
    for (unsigned c = 0; c < n; c++) _mm512_storeu_ps(y + c * MK_PANEL_ROWS, f[c]);
}

/* x from column c on. */
INLINE struct mk_x8 from_column(const struct mk_x8 *x, size_t c)
{
    struct mk_x8 t = *x;
    t.q += c * x->ldq, t.s += c * x->lds, t.sum += c * x->ldsum;
    return t;
}

INLINE void all_s32(float *y, const struct mk_panel *p, const struct mk_x8 *x, size_t n_col,
                    bool has_min)
{
    for (size_t c = 0, n; c < n_col; c += n) {
        const struct mk_x8 t = from_column(x, c);
        float *out = y + c * MK_PANEL_ROWS;
        switch (n = mk_tile_width(n_col - c)) {
        case 1:
            tile_s32(out, p, &t, 1, has_min);
            break;
        case 2:
            tile_s32(out, p, &t, 2, has_min);
            break;
        case 4:
            tile_s32(out, p, &t, 4, has_min);
            break;
        case 8:
            tile_s32(out, p, &t, 8, has_min);
            break;
        default:
            tile_s32(out, p, &t, 12, has_min);
        }
    }
}

void mk_avx512_mul_s32(float *y, const struct mk_panel *p, const struct mk_x8 *x, size_t n_col)
{
    if (p->quant->has_min)
        all_s32(y, p, x, n_col, true);
    else
        all_s32(y, p, x, n_col, false);
}

/* ---- one scale for each 256, integer scales for each 16 or 32 ---------------- */

/* Factors of the 16-bit sums 2j and 2j+1 of a group: by * v of the sub-blocks that
 * they belong to, v being the sub-scales or minima of the group. */
INLINE __m512i factors(const int32_t (*v)[MK_PANEL_ROWS], size_t j, unsigned sub, int by)
{
    const __m512i f = _mm512_set1_epi32(by);
    const __m512i lo = _mm512_mullo_epi32(_mm512_load_si512(v[sub == 16 ? 2 * j : j]), f);
    const __m512i hi = sub == 16 ? _mm512_mullo_epi32(_mm512_load_si512(v[2 * j + 1]), f) : lo;
    return _mm512_mask_blend_epi16(0xaaaaaaaa, lo, _mm512_slli_epi32(hi, 16));
}

/* a[c] += sum over j of by * v[j] * (sum of the codes of sub-block j) */
INLINE void dot_sums(__m512i *a, unsigned n, const int32_t (*v)[MK_PANEL_ROWS], unsigned sub,
                     int by, const int16_t *sum, size_t ldsum)
{
    for (size_t j = 0; j < 8; j++) {
        const __m512i w = factors(v, j, sub, by);
        UNROLL
        for (unsigned c = 0; c < n; c++)
            a[c] = _mm512_dpwssd_epi32(a[c], w, pair_all(sum + c * ldsum + 2 * j));
    }
}

/* a[c] += sum over the group's sub-blocks of sc * (codes . x[c]) */
INLINE void dot_scaled(__m512i *a, unsigned n, const struct mk_panel *p, size_t g, unsigned sub,
                       const int8_t *x, size_t ldx)
{
    for (size_t j = 0; j < 256 / sub; j++) {
        const uint8_t(*line)[MK_PANEL_ROWS][4] = &p->q[g * 64 + j * sub / 4];
        __m512i t[MK_TILE_COLS];
        UNROLL
        for (unsigned c = 0; c < n; c++) t[c] = _mm512_setzero_si512();
        dot4(t, n, line, x + j * sub, ldx);
        if (sub == 32) dot4(t, n, line + 4, x + j * sub + 16, ldx);
        const __m512i sc = _mm512_load_si512(p->sc[g * (256 / sub) + j]);
        UNROLL
        for (unsigned c = 0; c < n; c++)
            a[c] = _mm512_add_epi32(a[c], _mm512_mullo_epi32(t[c], sc));
    }
}

/* The same for codes below 16: a sum of 16 products (15 * 127 each at most) fits 16
 * bits, so one VPDPWSSD multiplies and adds where VPMULLD and VPADDD take three
 * steps.  The upper half of t is its sign and meets a zero in sc. */
INLINE void dot_scaled_small(__m512i *a, unsigned n, const struct mk_panel *p, size_t g,
                             unsigned sub, const int8_t *x, size_t ldx)
{
    for (size_t k = 0; k < 256; k += 16) {
        __m512i t[MK_TILE_COLS];
        UNROLL
        for (unsigned c = 0; c < n; c++) t[c] = _mm512_setzero_si512();
        dot4(t, n, p->q[g * 64 + k / 4], x + k, ldx);
        const __m512i sc = _mm512_and_si512(
            _mm512_load_si512(p->sc[(g * 256 + k) / 16 >> (sub == 32)]), _mm512_set1_epi32(0xffff));
        UNROLL
        for (unsigned c = 0; c < n; c++) a[c] = _mm512_dpwssd_epi32(a[c], t[c], sc);
    }
}

INLINE void tile_s256(float *y, const struct mk_panel *p, const struct mk_x8 *x, unsigned n,
                      bool small)
{
    const unsigned sub = (unsigned)p->quant->sub;
    const size_t n_sub = 256 / sub;
    const bool has_min = p->quant->has_min;
    const int bias = p->quant->bias;
    for (size_t g = 0; g < p->n_k / 256; g++) {
        const int16_t *sum = x->sum + 16 * g;
        __m512i a[MK_TILE_COLS];
        UNROLL
        for (unsigned c = 0; c < n; c++) a[c] = _mm512_setzero_si512();
        if (bias) dot_sums(a, n, p->sc + g * n_sub, sub, -bias, sum, x->ldsum);
        if (small)
            dot_scaled_small(a, n, p, g, sub, x->q + 256 * g, x->ldq);
        else
            dot_scaled(a, n, p, g, sub, x->q + 256 * g, x->ldq);
        const __m512 d = _mm512_load_ps(p->d[g]), m = _mm512_load_ps(p->m[g]);
        UNROLL
        for (unsigned c = 0; c < n; c++) {
            float *out = y + c * MK_PANEL_ROWS;
            const __m512 s = _mm512_set1_ps(x->s[c * x->lds + g]);
            _mm512_storeu_ps(out, _mm512_fmadd_ps(_mm512_mul_ps(d, s), _mm512_cvtepi32_ps(a[c]),
                                                  _mm512_loadu_ps(out)));
            a[c] = _mm512_setzero_si512();
        }
        if (!has_min) continue;
        dot_sums(a, n, p->mn + g * n_sub, sub, 1, sum, x->ldsum);
        UNROLL
        for (unsigned c = 0; c < n; c++) {
            float *out = y + c * MK_PANEL_ROWS;
            const __m512 s = _mm512_set1_ps(x->s[c * x->lds + g]);
            _mm512_storeu_ps(out, _mm512_fnmadd_ps(_mm512_mul_ps(m, s), _mm512_cvtepi32_ps(a[c]),
                                                   _mm512_loadu_ps(out)));
        }
    }
}

INLINE void all_s256(float *y, const struct mk_panel *p, const struct mk_x8 *x, size_t n_col,
                     bool small)
{
    for (size_t c = 0, n; c < n_col; c += n) {
        const struct mk_x8 t = from_column(x, c);
        float *out = y + c * MK_PANEL_ROWS;
        switch (n = mk_tile_width(n_col - c)) {
        case 1:
            tile_s256(out, p, &t, 1, small);
            break;
        case 2:
            tile_s256(out, p, &t, 2, small);
            break;
        case 4:
            tile_s256(out, p, &t, 4, small);
            break;
        case 8:
            tile_s256(out, p, &t, 8, small);
            break;
        default:
            tile_s256(out, p, &t, 12, small);
        }
    }
}

void mk_avx512_mul_s256(float *y, const struct mk_panel *p, const struct mk_x8 *x, size_t n_col)
{
    const struct mk_quant *q = p->quant;
    if (q == &mk_quants[MK_Q2_K] || q == &mk_quants[MK_Q3_K] || q == &mk_quants[MK_Q4_K])
        all_s256(y, p, x, n_col, true);
    else
        all_s256(y, p, x, n_col, false);
}
