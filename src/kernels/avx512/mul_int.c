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

/* A tile is n columns of one panel, or of two: accumulators a[WIDTH(both) * i + c]. */
#define WIDTH(both) ((both) ? MK_TILE_COLS / 2 : MK_TILE_COLS)

INLINE void dot4(__m512i *a, bool both, unsigned n, const void *lines, const int8_t *x, size_t ld)
{
    if (both)
        MK_TILES2(n, "vpdpbusd", a, lines, x, ld);
    else
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

/* f[c] = fma(d s, a[c], f[c]), with the minimum. */
INLINE void add_block(__m512 *f, unsigned n, const __m512i *a, const struct mk_panel *p, size_t g,
                      const struct mk_x8 *x, const struct sums32 *sums, bool has_min)
{
    const __m512 d = _mm512_load_ps(p->d[g]), m = _mm512_load_ps(p->m[g]);
    UNROLL
    for (unsigned c = 0; c < n; c++) {
        const __m512 s = _mm512_set1_ps(x->s[c * x->lds + g]);
        f[c] = _mm512_fmadd_ps(_mm512_mul_ps(d, s), _mm512_cvtepi32_ps(a[c]), f[c]);
        if (has_min)
            f[c] = _mm512_fmadd_ps(_mm512_mul_ps(m, s), _mm512_set1_ps(sums->xs[c][g]), f[c]);
    }
}

INLINE void tile_s32(float *y, size_t ldy, const struct mk_panel *p, bool both,
                     const struct mk_x8 *x, unsigned n, bool has_min)
{
    struct sums32 sums;
    const unsigned w = WIDTH(both);
    __m512 f[MK_TILE_COLS];
    sum_columns(&sums, p, x, n, has_min);
    UNROLL
    for (unsigned c = 0; c < n; c++) {
        f[c] = _mm512_loadu_ps(y + c * MK_PANEL_ROWS);
        if (both) f[w + c] = _mm512_loadu_ps(y + ldy + c * MK_PANEL_ROWS);
    }
    for (size_t g = 0; g < p->n_k / 32; g++) {
        __m512i a[MK_TILE_COLS];
        UNROLL
        for (unsigned c = 0; c < w; c++) {
            a[c] = _mm512_set1_epi32(c < n ? sums.bias[c][g] : 0);
            if (both) a[w + c] = a[c];
        }
        dot4(a, both, n, p->q[8 * g], x->q + 32 * g, x->ldq);
        dot4(a, both, n, p->q[8 * g + 4], x->q + 32 * g + 16, x->ldq);
        add_block(f, n, a, p, g, x, &sums, has_min);
        if (both) add_block(f + w, n, a + w, p + 1, g, x, &sums, has_min);
    }
    UNROLL
    for (unsigned c = 0; c < n; c++) {
        _mm512_storeu_ps(y + c * MK_PANEL_ROWS, f[c]);
        if (both) _mm512_storeu_ps(y + ldy + c * MK_PANEL_ROWS, f[w + c]);
    }
}

/* x from column c on. */
INLINE struct mk_x8 from_column(const struct mk_x8 *x, size_t c)
{
    struct mk_x8 t = *x;
    t.q += c * x->ldq, t.s += c * x->lds, t.sum += c * x->ldsum;
    return t;
}

/* Calls TILE(n) for tiles of n columns, n a constant, with x at the first and y its results. */
#define ALL_TILES(TILE, both, y, all, n_col)                                           \
    for (size_t first = 0, n; first < (n_col); first += n, (y) += n * MK_PANEL_ROWS) { \
        const struct mk_x8 x = from_column(all, first);                                \
        n = (both) ? mk_tile2_width((n_col)-first) : mk_tile_width((n_col)-first);     \
        if (n == 1)                                                                    \
            TILE(1);                                                                   \
        else if (n == 2)                                                               \
            TILE(2);                                                                   \
        else if (n == 4)                                                               \
            TILE(4);                                                                   \
        else if (both)                                                                 \
            TILE(6);                                                                   \
        else if (n == 8)                                                               \
            TILE(8);                                                                   \
        else                                                                           \
            TILE(12);                                                                  \
    }

INLINE void all_s32(float *y, const struct mk_panel *p, bool both, const struct mk_x8 *all,
                    size_t n_col, bool has_min)
{
    const size_t ldy = n_col * MK_PANEL_ROWS;
#define TILE(n) tile_s32(y, ldy, p, both, &x, n, has_min)
    ALL_TILES(TILE, both, y, all, n_col)
#undef TILE
}

/* One panel, or two. */
static void some_s32(float *y, const struct mk_panel *p, bool both, const struct mk_x8 *x,
                     size_t n_col)
{
    if (p->quant->has_min)
        both ? all_s32(y, p, true, x, n_col, true) : all_s32(y, p, false, x, n_col, true);
    else
        both ? all_s32(y, p, true, x, n_col, false) : all_s32(y, p, false, x, n_col, false);
}

void mk_avx512_mul_s32(float *y, const struct mk_panel *p, size_t n_panel, const struct mk_x8 *x,
                       size_t n_col)
{
    for (; n_panel > 1; p += 2, n_panel -= 2, y += 2 * n_col * MK_PANEL_ROWS)
        some_s32(y, p, true, x, n_col);
    if (n_panel) some_s32(y, p, false, x, n_col);
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

/* a += sum over group g's sub-blocks of sc * (codes . x) */
INLINE void dot_scaled(__m512i *a, const struct mk_panel *p, bool both, size_t g,
                       const struct mk_x8 *x, unsigned n, unsigned sub)
{
    const unsigned w = WIDTH(both);
    for (size_t j = 256 / sub * g; j < 256 / sub * (g + 1); j++) {
        __m512i t[MK_TILE_COLS];
        UNROLL
        for (unsigned c = 0; c < MK_TILE_COLS; c++) t[c] = _mm512_setzero_si512();
        dot4(t, both, n, p->q[j * sub / 4], x->q + j * sub, x->ldq);
        if (sub == 32) dot4(t, both, n, p->q[j * sub / 4 + 4], x->q + j * sub + 16, x->ldq);
        UNROLL
        for (unsigned c = 0; c < n; c++) {
            a[c] = _mm512_add_epi32(a[c], _mm512_mullo_epi32(t[c], _mm512_load_si512(p->sc[j])));
            if (both)
                a[w + c] = _mm512_add_epi32(
                    a[w + c], _mm512_mullo_epi32(t[w + c], _mm512_load_si512(p[1].sc[j])));
        }
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

/* What group g of a panel adds, of which a are the scaled sums. */
INLINE void finish_group(float *y, unsigned n, __m512i *a, const struct mk_panel *p,
                         const __m512i *less, int16_t (*xs)[MK_PANEL_K / 16], size_t g,
                         const struct mk_x8 *x, struct form t)
{
    const size_t j = 256 / t.sub * g;
    if (t.has_bias) dot_sums(a, n, less + j / 2, xs, j, t.sub);
    add_group(y, n, a, _mm512_load_ps(p->d[g]), x->s + g, x->lds, false);
    if (!t.has_min) return;
    dot_sums(a, n, less + j / 2, xs, j, t.sub);
    add_group(y, n, a, _mm512_load_ps(p->m[g]), x->s + g, x->lds, true);
}

INLINE void tile_s256(float *y, size_t ldy, const struct mk_panel *p, bool both,
                      __m512i (*less)[MK_PANEL_K / 32], const struct mk_x8 *x, unsigned n,
                      struct form t)
{
    const unsigned w = WIDTH(both);
    int16_t xs[MK_TILE_COLS][MK_PANEL_K / 16];
    for (unsigned c = 0; c < n; c++) sum_blocks(xs[c], x->sum + c * x->ldsum, p->n_k, t.sub);
    __m512i a[MK_TILE_COLS];
    UNROLL
    for (unsigned c = 0; c < MK_TILE_COLS; c++) a[c] = _mm512_setzero_si512();
    for (size_t g = 0; g < p->n_k / 256; g++) {
        dot_scaled(a, p, both, g, x, n, t.sub);
        finish_group(y, n, a, p, less[0], xs, g, x, t);
        if (both) finish_group(y + ldy, n, a + w, p + 1, less[1], xs, g, x, t);
    }
}

INLINE void all_s256(float *y, const struct mk_panel *p, bool both, const struct mk_x8 *all,
                     size_t n_col, struct form t)
{
    __m512i less[2][MK_PANEL_K / 32];
    const size_t ldy = n_col * MK_PANEL_ROWS;
    pair_factors(less[0], p, t);
    if (both) pair_factors(less[1], p + 1, t);
#define TILE(n) tile_s256(y, ldy, p, both, less, &x, n, t)
    ALL_TILES(TILE, both, y, all, n_col)
#undef TILE
}

/* One panel, or two. */
static void some_s256(float *y, const struct mk_panel *p, bool both, const struct mk_x8 *x,
                      size_t n_col)
{
#define FORM(...)                                                     \
    both ? all_s256(y, p, true, x, n_col, (struct form){__VA_ARGS__}) \
         : all_s256(y, p, false, x, n_col, (struct form){__VA_ARGS__})
    switch ((enum mk_type)(p->quant - mk_quants)) {
    case MK_Q2_K:
        FORM(16, false, true);
        break;
    case MK_Q3_K:
    case MK_Q6_K:
        FORM(16, true, false);
        break;
    case MK_IQ4_XS:
        FORM(32, true, false);
        break;
    default: /* q4_k, q5_k */
        FORM(32, false, true);
    }
#undef FORM
}

void mk_avx512_mul_s256(float *y, const struct mk_panel *p, size_t n_panel, const struct mk_x8 *x,
                        size_t n_col)
{
    for (; n_panel > 1; p += 2, n_panel -= 2, y += 2 * n_col * MK_PANEL_ROWS)
        some_s256(y, p, true, x, n_col);
    if (n_panel) some_s256(y, p, false, x, n_col);
}
