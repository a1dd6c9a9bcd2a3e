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

/* What makes a group of a type; constant where the tiles are inlined. */
struct form {
    unsigned sub;
    bool has_bias, has_min;
};

/* What is multiplied with the sums of a column's sub-blocks, minima or -bias times scales, as pairs
 * of 16-bit numbers; made once for all columns. */
INLINE void pair_factors(__m512i less[MK_PANEL_K / 32], const struct mk_panel *p, struct form t)
{
    const int32_t(*v)[MK_PANEL_ROWS] = t.has_min ? p->mn : p->sc;
    const __m512i by = _mm512_set1_epi32(t.has_min ? 1 : -p->quant->bias);
    for (size_t j = 0; j < p->n_k / t.sub; j += 2) {
        const __m512i low = _mm512_mullo_epi32(_mm512_load_si512(v[j]), by);
        const __m512i high = _mm512_mullo_epi32(_mm512_load_si512(v[j + 1]), by);
        less[j / 2] = _mm512_mask_blend_epi16(0xaaaaaaaa, low, _mm512_slli_epi32(high, 16));
    }
}

/* The sums of a column's sub-blocks, for the whole panel. */
INLINE void sum_blocks(int16_t xs[MK_PANEL_K / 16], const int16_t *sum, size_t n_k, unsigned sub)
{
    const size_t n = n_k / 32; /* a multiple of 8 */
    for (size_t j = 0; j < n; j += 16) {
        const __m512i v = _mm512_maskz_loadu_epi32(mk_tail(j, n), sum + 2 * j);
        if (sub == 16)
            _mm512_storeu_si512(xs + 2 * j, v);
        else
            _mm256_storeu_si256((__m256i *)(xs + j),
                                _mm512_cvtepi32_epi16(_mm512_madd_epi16(v, _mm512_set1_epi16(1))));
    }
}

/* a[c] += sum over a group's sub-blocks of sc * (codes . x[c]) */
INLINE void dot_scaled(__m512i *a, unsigned n, const uint8_t (*line)[MK_PANEL_ROWS][4],
                       const int32_t (*sc)[MK_PANEL_ROWS], const int8_t *x, size_t ldx,
                       unsigned sub)
{
    for (size_t j = 0; j < 256 / sub; j++, line += sub / 4, x += sub) {
        __m512i t[MK_TILE_COLS];
        UNROLL
        for (unsigned c = 0; c < n; c++) t[c] = _mm512_setzero_si512();
        dot4(t, n, line, x, ldx);
        if (sub == 32) dot4(t, n, line + 4, x + 16, ldx);
        const __m512i s = _mm512_load_si512(sc[j]);
        UNROLL
        for (unsigned c = 0; c < n; c++) a[c] = _mm512_add_epi32(a[c], _mm512_mullo_epi32(t[c], s));
    }
}

/* a[c] += sum over a group of less * xs[c] */
INLINE void dot_sums(__m512i *a, unsigned n, const __m512i *less, int16_t (*xs)[MK_PANEL_K / 16],
                     size_t first, unsigned sub)
{
    for (size_t j = 0; j < 128 / sub; j++) {
        UNROLL
        for (unsigned c = 0; c < n; c++)
            a[c] = _mm512_dpwssd_epi32(a[c], less[j], pair_all(&xs[c][first + 2 * j]));
    }
}

/* y[c] = fma(f s[c], a[c], y[c]), or minus that product; a = 0. */
INLINE void add_group(float *y, unsigned n, __m512i *a, __m512 f, const float *s, size_t lds,
                      bool is_less)
{
    UNROLL
    for (unsigned c = 0; c < n; c++) {
        float *out = y + c * MK_PANEL_ROWS;
        const __m512 fs = _mm512_mul_ps(f, _mm512_set1_ps(s[c * lds]));
        const __m512 v = _mm512_cvtepi32_ps(a[c]), old = _mm512_loadu_ps(out);
        _mm512_storeu_ps(out, is_less ? _mm512_fnmadd_ps(fs, v, old) : _mm512_fmadd_ps(fs, v, old));
        a[c] = _mm512_setzero_si512();
    }
}

INLINE void tile_s256(float *y, const struct mk_panel *p, const __m512i *less,
                      const struct mk_x8 *x, unsigned n, struct form t)
{
    const size_t n_sub = 256 / t.sub;
    int16_t xs[MK_TILE_COLS][MK_PANEL_K / 16];
    for (unsigned c = 0; c < n; c++) sum_blocks(xs[c], x->sum + c * x->ldsum, p->n_k, t.sub);
    __m512i a[MK_TILE_COLS];
    UNROLL
    for (unsigned c = 0; c < n; c++) a[c] = _mm512_setzero_si512();
    for (size_t g = 0; g < p->n_k / 256; g++) {
        const size_t j = n_sub * g;
        dot_scaled(a, n, p->q + 64 * g, p->sc + j, x->q + 256 * g, x->ldq, t.sub);
        if (t.has_bias) dot_sums(a, n, less + j / 2, xs, j, t.sub);
        add_group(y, n, a, _mm512_load_ps(p->d[g]), x->s + g, x->lds, false);
        if (!t.has_min) continue;
        dot_sums(a, n, less + j / 2, xs, j, t.sub);
        add_group(y, n, a, _mm512_load_ps(p->m[g]), x->s + g, x->lds, true);
    }
}

INLINE void all_s256(float *y, const struct mk_panel *p, const struct mk_x8 *x, size_t n_col,
                     struct form t)
{
    __m512i less[MK_PANEL_K / 32];
    pair_factors(less, p, t);
    for (size_t c = 0, n; c < n_col; c += n) {
        const struct mk_x8 xc = from_column(x, c);
        float *out = y + c * MK_PANEL_ROWS;
        switch (n = mk_tile_width(n_col - c)) {
        case 1:
            tile_s256(out, p, less, &xc, 1, t);
            break;
        case 2:
            tile_s256(out, p, less, &xc, 2, t);
            break;
        case 4:
            tile_s256(out, p, less, &xc, 4, t);
            break;
        case 8:
            tile_s256(out, p, less, &xc, 8, t);
            break;
        default:
            tile_s256(out, p, less, &xc, 12, t);
        }
    }
}

void mk_avx512_mul_s256(float *y, const struct mk_panel *p, const struct mk_x8 *x, size_t n_col)
{
    switch ((enum mk_type)(p->quant - mk_quants)) {
    case MK_Q2_K:
        all_s256(y, p, x, n_col, (struct form){16, false, true});
        break;
    case MK_Q3_K:
    case MK_Q6_K:
        all_s256(y, p, x, n_col, (struct form){16, true, false});
        break;
    case MK_IQ4_XS:
        all_s256(y, p, x, n_col, (struct form){32, true, false});
        break;
    default: /* q4_k, q5_k */
        all_s256(y, p, x, n_col, (struct form){32, false, true});
    }
}
