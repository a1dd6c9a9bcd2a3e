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
 * A tile is 16 rows (two vectors) by at most three columns, see int_tile4.h for codes up to 15
 * and int_tile.h for others.  Of signed codes it is 8 rows by at most eight columns, int_signed.h.
 */
#include "kernels/avx2/int_avx2.h"
#include "kernels/avx2/int_signed.h"
#include "kernels/avx2/int_tile.h"
#include "kernels/avx2/int_tile4.h"
#include "kernels/avx2/int_vec.h"
#include "kernels/int_ahead.h"
#include "kernels/kernels.h"

enum { ASK = 4 /* groups of 32 values after which the next panel is asked for */ };

/* What makes a type; constant where the tiles are inlined. */
enum form { BITS4_MIN, BITS4_BIAS, BITS5_MIN, BITS5_BIAS, BITS2_MIN, BITS3_BIAS, BITS6_BIAS };

/* Values that share a scale. */
INLINE size_t sub_of(enum form f) { return f >= BITS2_MIN ? 16 : 32; }
INLINE bool has_min(enum form f) { return f == BITS4_MIN || f == BITS5_MIN || f == BITS2_MIN; }

/* Times a tile asks. */
INLINE size_t n_ask(const struct mk_panel *p) { return (p->n_k / 32 + ASK - 1) / ASK; }

/* x from column c on. */
INLINE struct mk_x8 columns_from(const struct mk_x8 *x, size_t c)
{
    struct mk_x8 v = *x;
    v.q += c * x->ldq, v.s += c * x->lds, v.sum += c * x->ldsum;
    return v;
}

/* Of 8 sub-blocks, or the n there are: sums of 16 codes in pairs of 16 bits, of which the second is
 * zero where a sub-block has one. */
INLINE __m256i sums_at(const void *sum, size_t n, size_t sub)
{
    if (sub == 16) return _mm256_cvtepu16_epi32(_mm_loadu_si128(sum)); /* there are 16 or more */
    return n < 8 ? _mm256_maskload_epi32(sum, mk_first8(n)) : _mm256_loadu_si256(sum);
}

INLINE void sum_columns(struct mk_sums *o, const struct mk_panel *p, const struct mk_x8 *x,
                        unsigned n, enum form f)
{
    const size_t sub = sub_of(f), n_sub = p->n_k / sub;
    const __m256i by = _mm256_set1_epi16((int16_t)(has_min(f) ? 1 : -p->quant->bias));
    for (size_t j = 0; j < n_sub; j += 8) {
        UNROLL
        for (unsigned c = 0; c < n; c++) {
            const int16_t *sum = x->sum + c * x->ldsum + sub / 16 * j;
            const __m256i v = _mm256_madd_epi16(sums_at(sum, n_sub - j, sub), by);
            if (has_min(f))
                _mm256_storeu_ps(&o->xs[c][j], _mm256_cvtepi32_ps(v));
            else
                _mm256_storeu_si256((void *)&o->bias[c][j], v);
        }
    }
}

#define IN p->q[8 * g], p->d[j], x->q + 32 * g, x->ldq, x->s + g, x->lds, &sums->xs[0][j], one
#define IN_32(FORM)                              \
    do {                                         \
        if (n == 1)                              \
            MK_TILE_32(1, FORM, y, scratch, IN); \
        else if (n == 2)                         \
            MK_TILE_32(2, FORM, y, scratch, IN); \
        else                                     \
            MK_TILE_32(3, FORM, y, scratch, IN); \
    } while (0)

/* y += values 32g..32g+31. */
INLINE void tile_32(float *y, const struct mk_panel *p, size_t g, const struct mk_x8 *x, unsigned n,
                    const struct mk_sums *sums, enum form f)
{
    const size_t j = 32 / sub_of(f) * g;
    const __m256i one = _mm256_set1_epi16(1);
    __m256 scratch[2 * MK_TILE];
    if (f == BITS5_MIN)
        IN_32(MK_5_BITS_MIN);
    else if (f == BITS5_BIAS)
        IN_32(MK_5_BITS_BIAS);
    else if (f == BITS2_MIN)
        IN_32(MK_2_BITS_MIN);
    else if (f == BITS3_BIAS)
        IN_32(MK_3_BITS_BIAS);
    else
        IN_32(MK_6_BITS_BIAS);
}

/* y = fma(s, v, y) */
INLINE void add_scaled(float *y, const float *s, __m256 v)
{
    _mm256_storeu_ps(y, _mm256_fmadd_ps(_mm256_broadcast_ss(s), v, _mm256_loadu_ps(y)));
}

/* ---- codes of 4 bits: groups in turns -------------------------------------------- */

/* y += what the sums of group g make. */
INLINE void add_sums(float *y, const __m256i a[2 * MK_TILE], const struct mk_panel *p, size_t g,
                     const struct mk_x8 *x, unsigned n, const struct mk_sums *sums, enum form f)
{
    UNROLL
    for (unsigned i = 0; i < 2 * n; i++) {
        const unsigned c = i / 2, r = i % 2 * 8;
        __m256i v = _mm256_madd_epi16(a[i], _mm256_set1_epi16(1));
        if (!has_min(f)) v = _mm256_add_epi32(v, _mm256_set1_epi32(sums->bias[c][g]));
        __m256 t = _mm256_mul_ps(_mm256_load_ps(p->d[g] + r), _mm256_cvtepi32_ps(v));
        if (has_min(f))
            t = _mm256_fmadd_ps(_mm256_load_ps(p->m[g] + r), _mm256_set1_ps(sums->xs[c][g]), t);
        add_scaled(y + 8 * i, x->s + c * x->lds + g, t);
    }
}

INLINE void first_sums(__m256i a[2 * MK_TILE], const struct mk_panel *p, const struct mk_x8 *x,
                       unsigned n)
{
    if (n == 1)
        MK_TILE4_FIRST(1, a, p->q, x->q, x->ldq);
    else if (n == 2)
        MK_TILE4_FIRST(2, a, p->q, x->q, x->ldq);
    else
        MK_TILE4_FIRST(3, a, p->q, x->q, x->ldq);
}

#define NEXT(N, FORM)                                                                              \
    MK_TILE4_NEXT(N, FORM, a, b, y, p->q[8 * g], x->q + 32 * g, x->ldq, p->d[g - 1], x->s + g - 1, \
                  x->lds, &sums->xs[0][g - 1], one)
/* a = sums of group g, and y += what those before make, b. */
INLINE void next_sums(__m256i a[2 * MK_TILE], __m256i b[2 * MK_TILE], float *y,
                      const struct mk_panel *p, size_t g, const struct mk_x8 *x, unsigned n,
                      const struct mk_sums *sums, enum form f)
{
    const __m256i one = _mm256_set1_epi16(1);
    if (n == 1 && has_min(f))
        NEXT(1, MK_4_NEXT_MIN);
    else if (n == 1)
        NEXT(1, MK_4_NEXT_BIAS);
    else if (n == 2 && has_min(f))
        NEXT(2, MK_4_NEXT_MIN);
    else if (n == 2)
        NEXT(2, MK_4_NEXT_BIAS);
    else if (has_min(f))
        NEXT(3, MK_4_NEXT_MIN);
    else
        NEXT(3, MK_4_NEXT_BIAS);
}

INLINE void tile_4(float *y, const struct mk_panel *p, const struct mk_x8 *x, unsigned n,
                   const struct mk_sums *sums, enum form f, struct mk_ahead *next)
{
    const size_t n_group = p->n_k / 32;
    __m256i a[2 * MK_TILE], b[2 * MK_TILE];
    size_t g = 1;
    first_sums(a, p, x, n);
    for (; g + 2 <= n_group; g += 2) {
        if (g % ASK == 1) mk_ask(next);
        next_sums(b, a, y, p, g, x, n, sums, f);
        next_sums(a, b, y, p, g + 1, x, n, sums, f);
    }
    if (g < n_group) {
        next_sums(b, a, y, p, g, x, n, sums, f);
        add_sums(y, b, p, g, x, n, sums, f);
    } else
        add_sums(y, a, p, g - 1, x, n, sums, f);
}

INLINE void tile(float *y, const struct mk_panel *p, const struct mk_x8 *x, unsigned n, enum form f,
                 struct mk_ahead *next)
{
    struct mk_sums sums;
    sum_columns(&sums, p, x, n, f);
    if (f == BITS4_MIN || f == BITS4_BIAS) {
        tile_4(y, p, x, n, &sums, f, next);
        return;
    }
    for (size_t g = 0; g < p->n_k / 32; g++) {
        if (g % ASK == 0) mk_ask(next);
        tile_32(y, p, g, x, n, &sums, f);
    }
}

/* No tile is of one column where two of two do. */
INLINE void columns(float *y, const struct mk_panel *p, const struct mk_x8 *x, size_t n_col,
                    enum form f)
{
    struct mk_ahead next = mk_ahead_of(p, (n_col + MK_TILE - 1) / MK_TILE * n_ask(p));
    for (size_t c = 0, n; c < n_col; c += n, y += n * MK_PANEL_ROWS) {
        const struct mk_x8 at = columns_from(x, c);
        const size_t left = n_col - c;
        n = left >= 3 && left != 4 ? 3 : left >= 2 ? 2 : 1;
        if (n == 3)
            tile(y, p, &at, 3, f, &next);
        else if (n == 2)
            tile(y, p, &at, 2, f, &next);
        else
            tile(y, p, &at, 1, f, &next);
    }
}

/* ---- signed codes -------------------------------------------------------------- */

/* a[c] = codes . x of rows 8h..8h+7, for 32 values. */
INLINE void dot_signed(__m256i a[MK_SIGNED_COLS], const struct mk_panel *p, unsigned h,
                       const struct mk_x8 *x, size_t k, unsigned n)
{
    const __m256i one = _mm256_set1_epi16(1);
    const void *lines = p->q[k / 4][8 * h];
    if (n == 1)
        MK_TILE_SIGNED(1, a, lines, x->q + k, x->ldq, one);
    else if (n == 2)
        MK_TILE_SIGNED(2, a, lines, x->q + k, x->ldq, one);
    else if (n == 4)
        MK_TILE_SIGNED(4, a, lines, x->q + k, x->ldq, one);
    else
        MK_TILE_SIGNED(8, a, lines, x->q + k, x->ldq, one);
}

INLINE void tile_signed(float *y, const struct mk_panel *p, unsigned h, const struct mk_x8 *x,
                        unsigned n, struct mk_ahead *next)
{
    __m256i a[MK_SIGNED_COLS];
    for (size_t g = 0; g < p->n_k / 32; g++) {
        if (g % ASK == 0) mk_ask(next);
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
    struct mk_ahead next = mk_ahead_of(p, (n_col + 7) / 8 * 2 * n_ask(p));
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
#define OF(form) columns(y, p, x, n_col, form)
    switch ((enum mk_type)(p->quant - mk_quants)) {
    case MK_Q4_0:
        OF(BITS4_BIAS);
        break;
    case MK_Q4_1:
    case MK_Q4_K:
        OF(BITS4_MIN);
        break;
    case MK_Q5_0:
    case MK_MXFP4:
        OF(BITS5_BIAS);
        break;
    case MK_Q5_1:
    case MK_Q5_K:
        OF(BITS5_MIN);
        break;
    case MK_Q2_K:
        OF(BITS2_MIN);
        break;
    case MK_Q3_K:
        OF(BITS3_BIAS);
        break;
    case MK_Q6_K:
        OF(BITS6_BIAS);
        break;
    default:
        columns_signed(y, p, x, n_col);
    }
#undef OF
}

MK_EACH_PANEL(mul_int)

void mk_avx2_mul(struct mk_kernels *k) { k->mul_int = mul_int; }
