/* Integer panels times columns of 8-bit codes.
 *
 * VPDPBUSD multiplies the unsigned codes of 4 values with the signed ones of a
 * column and adds the four products to 32 bits, without saturation, in all 16 rows. */
#include "int_tile.h"
#include "kernels/int_ahead.h"

/* A tile is n columns of one panel, or of two: accumulators a[WIDTH(both) * i + c]. */
#define WIDTH(both) ((both) ? MK_TILE_COLS / 2 : MK_TILE_COLS)

INLINE void dot4(__m512i *a, bool both, unsigned n, const void *lines, const int8_t *x, size_t ld)
{
    if (both)
        MK_TILES2(n, "vpdpbusd", a, lines, x, ld);
    else
        MK_TILES(n, MK_LINES4, "vpdpbusd", a, lines, x, ld);
}

/* What makes a group of a type; constant where the tiles are inlined. */
struct form {
    unsigned sub; /* values that share a scale: 16 or 32 */
    bool has_bias, has_min;
};

/* What a tile needs of the sums of its columns' codes, for each sub-block. */
struct sums {
    int32_t bias[MK_TILE_COLS][MK_PANEL_K / 16]; /* -bias * xs */
    float xs[MK_TILE_COLS][MK_PANEL_K / 16];
};

INLINE void sum_columns(struct sums *o, const struct mk_panel *p, const struct mk_x8 *x, unsigned n,
                        struct form t)
{
    const __m512i bias = _mm512_set1_epi32(-p->quant->bias);
    if (!t.has_bias && !t.has_min) return;
    for (unsigned c = 0; c < n; c++)
        for (size_t j = 0; j < p->n_k / t.sub; j += 16) {
            const struct mk_x8 at = mk_x8_at(x, c, j * t.sub);
            const __m512i xs = mk_sums_of(&at, p->n_k / t.sub - j, t.sub);
            if (t.has_bias) _mm512_storeu_si512(&o->bias[c][j], _mm512_mullo_epi32(xs, bias));
            if (t.has_min) _mm512_storeu_ps(&o->xs[c][j], _mm512_cvtepi32_ps(xs));
        }
}

/* a[c] = codes of sub-block j times the column's, less the bias. */
INLINE void dot_block(__m512i *a, bool both, unsigned n, const struct mk_panel *p, size_t j,
                      const struct mk_x8 *x, const struct sums *sums, struct form t)
{
    const unsigned w = WIDTH(both);
    UNROLL
    for (unsigned c = 0; c < w; c++) {
        a[c] = _mm512_set1_epi32(t.has_bias && c < n ? sums->bias[c][j] : 0);
        if (both) a[w + c] = a[c];
    }
    UNROLL
    for (size_t k = j * t.sub; k < (j + 1) * t.sub; k += 16)
        dot4(a, both, n, p->q[k / 4], x->q + k, x->ldq);
}

/* v[c] = d (float)a[c], or plus that, with the minimum: sub-block j. */
INLINE void scale_block(__m512 *v, unsigned n, const __m512i *a, const struct mk_panel *p, size_t j,
                        const struct sums *sums, bool is_first, struct form t)
{
    const __m512 d = _mm512_load_ps(p->d[j]), m = _mm512_load_ps(p->m[j]);
    UNROLL
    for (unsigned c = 0; c < n; c++) {
        const __m512 i = _mm512_cvtepi32_ps(a[c]);
        v[c] = is_first ? _mm512_mul_ps(d, i) : _mm512_fmadd_ps(d, i, v[c]);
        if (t.has_min) v[c] = _mm512_fmadd_ps(m, _mm512_set1_ps(sums->xs[c][j]), v[c]);
    }
}

/* sum[c] = fma(s, v[c], sum[c]) for values k..k+31. */
INLINE void add_32(__m512 *sum, unsigned n, const __m512 *v, const struct mk_x8 *x, size_t k)
{
    UNROLL
    for (unsigned c = 0; c < n; c++)
        sum[c] = _mm512_fmadd_ps(_mm512_set1_ps(x->s[c * x->lds + k / 32]), v[c], sum[c]);
}

/* The sums of a tile, of one panel after those of the other. */
INLINE void load_sums(__m512 *sum, const float *y, size_t ldy, bool both, unsigned n)
{
    UNROLL
    for (unsigned c = 0; c < n; c++) {
        sum[c] = _mm512_loadu_ps(y + c * MK_PANEL_ROWS);
        if (both) sum[WIDTH(both) + c] = _mm512_loadu_ps(y + ldy + c * MK_PANEL_ROWS);
    }
}

INLINE void store_sums(float *y, size_t ldy, bool both, unsigned n, const __m512 *sum)
{
    UNROLL
    for (unsigned c = 0; c < n; c++) {
        _mm512_storeu_ps(y + c * MK_PANEL_ROWS, sum[c]);
        if (both) _mm512_storeu_ps(y + ldy + c * MK_PANEL_ROWS, sum[WIDTH(both) + c]);
    }
}

INLINE void tile(float *y, size_t ldy, const struct mk_panel *p, bool both, const struct mk_x8 *x,
                 unsigned n, struct form t, struct mk_ahead *next)
{
    struct sums sums;
    const unsigned w = WIDTH(both);
    const bool stay = t.sub == 32; /* sums in registers; two sub-blocks leave too few of them */
    __m512 sum[MK_TILE_COLS];
    sum_columns(&sums, p, x, n, t);
    if (stay) load_sums(sum, y, ldy, both, n);
    for (size_t k = 0; k < p->n_k; k += 32) {
        __m512i a[MK_TILE_COLS];
        __m512 v[MK_TILE_COLS];
        mk_ask(next);
        if (both) mk_ask(next + 1);
        UNROLL
        for (size_t i = 0; i < 32 / t.sub; i++) {
            const size_t j = k / t.sub + i;
            const bool is_last = i + 1 == 32 / t.sub;
            dot_block(a, both, n, p, j, x, &sums, t);
            if (!stay && is_last) load_sums(sum, y, ldy, both, n);
            scale_block(v, n, a, p, j, &sums, i == 0, t);
            if (is_last) add_32(sum, n, v, x, k);
            if (both) scale_block(v + w, n, a + w, p + 1, j, &sums, i == 0, t);
            if (both && is_last) add_32(sum + w, n, v + w, x, k);
        }
        if (!stay) store_sums(y, ldy, both, n, sum);
    }
    if (stay) store_sums(y, ldy, both, n, sum);
}

INLINE void all(float *y, const struct mk_panel *p, bool both, const struct mk_x8 *x, size_t n_col,
                struct form t)
{
    const size_t ldy = n_col * MK_PANEL_ROWS;
    const size_t n_groups = (n_col + 5) / 6 * (p->n_k / 32);
    struct mk_ahead next[2] = {mk_ahead_of(p, n_groups), mk_ahead_of(p + both, n_groups)};
#define TILE(n) tile(y, ldy, p, both, &at, n, t, next)
    for (size_t c = 0, n; c < n_col; c += n, y += n * MK_PANEL_ROWS) {
        const struct mk_x8 at = mk_x8_at(x, c, 0);
        n = both ? mk_tile2_width(n_col - c) : mk_tile_width(n_col - c);
        if (n == 1)
            TILE(1);
        else if (n == 2)
            TILE(2);
        else if (n == 4)
            TILE(4);
        else if (both)
            TILE(6);
        else if (n == 8)
            TILE(8);
        else
            TILE(12);
    }
#undef TILE
}

/* One panel, or two. */
static void some(float *y, const struct mk_panel *p, bool both, const struct mk_x8 *x, size_t n_col)
{
    const struct mk_quant *q = p->quant;
#define FORM(...)                                                \
    both ? all(y, p, true, x, n_col, (struct form){__VA_ARGS__}) \
         : all(y, p, false, x, n_col, (struct form){__VA_ARGS__})
    if (q->sub == 16)
        q->has_min ? FORM(16, false, true) : FORM(16, true, false);
    else
        q->has_min ? FORM(32, false, true) : FORM(32, true, false);
#undef FORM
}

void mk_avx512_mul_int(float *y, const struct mk_panel *p, size_t n_panel, const struct mk_x8 *x,
                       size_t n_col)
{
    for (; n_panel > 1; p += 2, n_panel -= 2, y += 2 * n_col * MK_PANEL_ROWS)
        some(y, p, true, x, n_col);
    if (n_panel) some(y, p, false, x, n_col);
}
