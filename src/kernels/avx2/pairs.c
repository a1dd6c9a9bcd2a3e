/* What kernels/lanes/ needs for products of pairs; and rows as they are stored, times few columns.
 */
#define LANES 8
#include "kernels/lanes/pairs.h"
#include "kernels/avx2/int_avx2.h"
#include "kernels/avx2/int_vec.h"

INLINE vf fma_lanes(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
INLINE vf splat(const float *x) { return _mm256_broadcast_ss(x); }

static void widen_bf16(float *y, const uint16_t *x, size_t n)
{
    for (size_t i = 0; i < n; i += 8) /* n is a multiple of 32 */
        _mm256_storeu_ps(y + i, mk_load_bf16(x + i));
}

/* ---- rows as they are stored ------------------------------------------------------------- */

/* Eight rows, of which two groups of values are multiplied at once, because each sum waits for the
 * one before it. */
enum { N_GROUP = 2, FEW = 4 /* columns */ };

struct eight {
    const uint16_t *rows;
    size_t stride;  /* of rows, in values */
    const float *d; /* a scale for each group, or NULL */
    const uint16_t *x;
    size_t ldx;
    const char *soon; /* the next rows, asked for in the order in which they lie */
};

/* sum[c] += 8 values of the rows from value k on times x[c]. */
INLINE void add_values(vf *sum, const struct eight *e, size_t k, const float *x, int n_col)
{
    const uint16_t *rows = e->rows + k;
    __m256i v[4], w[4];
    UNROLL
    for (size_t i = 0; i < 4; i++)
        v[i] = mk_load_two(rows + i * e->stride, rows + (i + 4) * e->stride);
    mk_turn_words(w, v);
    UNROLL
    for (size_t i = 0; i < 4; i++) UNROLL
    for (int odd = 1; odd >= 0; odd--) {
        const vf half = odd ? high_half((vu)w[i]) : low_half((vu)w[i]);
        UNROLL
        for (int c = 0; c < n_col; c++)
            sum[c] = fma_lanes(half, splat(x + c * N_GROUP * GROUP + 2 * i + odd), sum[c]);
    }
}

/* n_group groups of n values each, from value k on. */
INLINE void add_groups(float *y, struct eight *e, size_t k, size_t n, int n_col, int n_group)
{
    float x[FEW][N_GROUP * GROUP];
    vf sum[N_GROUP][FEW];
    for (int c = 0; c < n_col; c++)
        widen_bf16(x[c], e->x + (size_t)c * e->ldx + k, (size_t)n_group * n);
    UNROLL
    for (int i = 0; i < n_group * n_col; i++) sum[i / n_col][i % n_col] = (vf){0};
    for (size_t i = 0; i < n; i += 8) UNROLL
    for (int g = 0; g < n_group; g++, e->soon += 128) {
        const size_t at = (size_t)g * GROUP + i;
        _mm_prefetch(e->soon, _MM_HINT_T1);
        _mm_prefetch(e->soon + 64, _MM_HINT_T1);
        add_values(sum[g], e, k + at, &x[0][at], n_col);
    }
    UNROLL
    for (int g = 0; g < n_group; g++) {
        const float d = e->d ? e->d[k / GROUP + (size_t)g] : 1.0f;
        UNROLL
        for (int c = 0; c < n_col; c++) {
            float *out = y + c * MK_PANEL_ROWS;
            put_f(out, fma_lanes(splat(&d), sum[g][c], get_f(out)));
        }
    }
}

INLINE void eight_rows(float *y, struct eight e, size_t n_k, int n_col)
{
    size_t k = 0;
    for (; k + N_GROUP * GROUP <= n_k; k += N_GROUP * GROUP)
        add_groups(y, &e, k, GROUP, n_col, N_GROUP);
    for (; k < n_k; k += GROUP) add_groups(y, &e, k, n_k - k < GROUP ? n_k - k : GROUP, n_col, 1);
}

static void gemv_bf16(float *y, const uint8_t *rows, size_t stride, const float *d,
                      const uint16_t *x, size_t ldx, size_t n_k, size_t n_col)
{
    const uint32_t was = mk_flush_begin();
    for (size_t r = 0; r < MK_PANEL_ROWS; r += LANES)
        for (size_t c = 0, n; c < n_col; c += n) {
            const uint8_t *from = rows + r * stride;
            const struct eight e = {.rows = (const void *)from,
                                    .stride = stride / 2,
                                    .d = d,
                                    .x = x + c * ldx,
                                    .ldx = ldx,
                                    .soon = (const char *)from + LANES * stride};
            float *out = y + c * MK_PANEL_ROWS + r;
            n = n_col - c >= 4 ? 4 : n_col - c >= 2 ? 2 : 1;
            if (n == 4)
                eight_rows(out, e, n_k, 4);
            else if (n == 2)
                eight_rows(out, e, n_k, 2);
            else
                eight_rows(out, e, n_k, 1);
        }
    mk_flush_end(was);
}

void mk_avx2_pairs(struct mk_kernels *k)
{
    memset(k->gemv_pairs, 0, sizeof k->gemv_pairs); /* panels are quicker than scalar code */
    k->mul_pairs = mul_pairs;
    k->gemv_pairs[MK_BF16] = gemv_bf16;
}
