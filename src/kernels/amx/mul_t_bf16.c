/* Columns of bf16 times rows of bf16 as they are stored: 32 rows at a time become the pairs of a
 * tile, and products take the order of mul_bf16.c. */
#include "int_amx.h"

#include <immintrin.h>
#include <string.h>

enum { TILE = 16 /* rows and columns */, TILE_K = 32 };

struct operands {
    float *y;
    const uint16_t *w, *x;
    size_t ldy, ldw, ldx, n_row, n_k;
};

static void configure(size_t n_col)
{
    const struct mk_tile_config c = {
        .palette = 1,
        .row_bytes = {64, 0, 0, 0, 64, 0, 64},
        .rows = {(uint8_t)n_col, 0, 0, 0, (uint8_t)n_col, 0, TILE_K / 2},
    };
    mk_tile_configure(&c);
}

INLINE __m512i values(const struct operands *o, size_t row, size_t j)
{
    if (row >= o->n_row) return _mm512_setzero_si512();
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(o->w + row * o->ldw + j)));
}

static void pair_rows(__m512i pairs[TILE_K / 2], const struct operands *o, size_t row, size_t j)
{
    for (size_t i = 0; i < TILE_K / 2; i++) {
        const __m512i high = _mm512_slli_epi32(values(o, row + 2 * i + 1, j), 16);
        pairs[i] = _mm512_or_si512(values(o, row + 2 * i, j), high);
    }
}

/* 16 values from j on of the n_col <= 16 columns at x. */
static void block(const struct operands *o, const uint16_t *x, float *y, size_t j, size_t n_col)
{
    __m512i pairs[TILE_K / 2];
    float sums[TILE][TILE] __attribute__((aligned(64)));
    for (size_t k = 0; k < o->n_k; k += TILE_K) {
        pair_rows(pairs, o, k, j);
        TILE_LOAD(4, x + k, o->ldx * sizeof *x);
        TILE_LOAD(6, pairs, sizeof *pairs);
        TILE_MUL(0, 4, 6);
    }
    TILE_STORE(0, sums, sizeof *sums);
    TILE_ZERO(0);
    for (size_t c = 0; c < n_col; c++, y += o->ldy)
        _mm512_storeu_ps(y + j, _mm512_add_ps(_mm512_loadu_ps(y + j), _mm512_load_ps(sums[c])));
}

void mk_amx_mul_t_bf16(float *y, size_t ldy, const uint16_t *w, size_t ldw, size_t n_row,
                       size_t n_j, const uint16_t *x, size_t ldx, size_t n_k, size_t n_col)
{
    const struct operands o = {y, w, x, ldy, ldw, ldx, n_row, n_k};
    for (size_t c = 0; c < n_col; c += TILE) {
        const size_t n = n_col - c < TILE ? n_col - c : TILE;
        configure(n);
        for (size_t j = 0; j < n_j; j += TILE) block(&o, x + c * ldx, y + c * ldy, j, n);
        mk_tile_release();
    }
}
