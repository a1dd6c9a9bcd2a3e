/* Rounding to bf16 and the layouts of products.
 *
 * VCVTNE(2)PS2BF16 rounds and treats NaN as mk_f32_bf16 does but takes subnormal numbers
 * for zeros.  Operands of products may lose them, as products do not see them either. */
#include "int_avx512bf16.h"

#include "base/half.h"
#include "kernels/avx512/int_avx512.h"

#include <string.h>

enum { CLASS_SUBNORMAL = 0x20 };

static void f32_bf16(uint16_t *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const __m512 f = _mm512_loadu_ps(x + i);
        if (__builtin_expect(_mm512_fpclass_ps_mask(f, CLASS_SUBNORMAL), 0))
            for (size_t j = i; j < i + 16; j++) y[j] = mk_f32_bf16(x[j]);
        else
            _mm256_storeu_si256((__m256i *)(y + i), (__m256i)_mm512_cvtneps_pbh(f));
    }
    for (; i < n; i++) y[i] = mk_f32_bf16(x[i]);
}

/* Values of even and odd, in turn. */
INLINE __m512i round_pairs(__m512 even, __m512 odd)
{
    const __m512i low = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i high = _mm512_add_epi32(_mm512_slli_epi32(low, 16), _mm512_set1_epi32(16 << 16));
    const __m512i order = _mm512_or_si512(low, high);
    return _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(odd, even));
}

static void pairs_bf16(uint16_t *y, const float *even, const float *odd, size_t n)
{
    const __m512 none = _mm512_setzero_ps();
    size_t j = 0;
    for (; odd && j + 16 <= n; j += 16) {
        const __m512 a = _mm512_loadu_ps(even + j), b = _mm512_loadu_ps(odd + j);
        _mm512_storeu_si512(y + 2 * j, round_pairs(a, b));
    }
    for (; j < n; j += 16) {
        const __mmask16 k = mk_tail(j, n);
        const __m512 b = odd ? _mm512_maskz_loadu_ps(k, odd + j) : none;
        const __m512i v = round_pairs(_mm512_maskz_loadu_ps(k, even + j), b);
        _mm512_mask_storeu_epi32(y + 2 * j, k, v);
    }
}

static void zip_bf16(uint16_t *y, const uint16_t *even, const uint16_t *odd, size_t n)
{
    for (size_t j = 0; j < n; j += 16) {
        const __mmask16 k = mk_tail(j, n);
        const __m512i a = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(k, even + j));
        const __m256i b = odd ? _mm256_maskz_loadu_epi16(k, odd + j) : _mm256_setzero_si256();
        const __m512i high = _mm512_slli_epi32(_mm512_cvtepu16_epi32(b), 16);
        _mm512_mask_storeu_epi32(y + 2 * j, k, _mm512_or_si512(a, high));
    }
}

enum { BLOCK_ROWS = 32, BLOCK_COLS = 16 };

/* Rows 2i and 2i + 1 become a row of pairs, whose dwords are then transposed. */
static void trans_block(uint16_t *y, size_t ldy, const float *x, size_t ldx)
{
    __m512i in[BLOCK_ROWS / 2], out[4];
    for (size_t i = 0; i < BLOCK_ROWS / 2; i++, x += 2 * ldx)
        in[i] = round_pairs(_mm512_loadu_ps(x), _mm512_loadu_ps(x + ldx));
    for (size_t c = 0; c < BLOCK_COLS; c += 4, y += 4 * ldy) {
        mk_rows16(out, (const uint8_t *)in + 4 * c, sizeof *in);
        UNROLL
        for (size_t i = 0; i < 4; i++) _mm512_storeu_si512(y + i * ldy, out[i]);
    }
}

/* A block that the border cuts, by way of a whole one. */
static void trans_edge(uint16_t *y, size_t ldy, const float *x, size_t ldx, size_t n_row,
                       size_t n_col)
{
    float in[BLOCK_ROWS][BLOCK_COLS] = {{0}};
    uint16_t out[BLOCK_COLS][BLOCK_ROWS];
    for (size_t r = 0; r < n_row; r++) memcpy(in[r], x + r * ldx, n_col * sizeof *x);
    trans_block(out[0], BLOCK_ROWS, in[0], BLOCK_COLS);
    for (size_t c = 0; c < n_col; c++) memcpy(y + c * ldy, out[c], n_row * sizeof *y);
}

static void trans_bf16(uint16_t *y, size_t ldy, const float *x, size_t ldx, size_t n_row,
                       size_t n_col)
{
    for (size_t c = 0; c < n_col; c += BLOCK_COLS)
        for (size_t r = 0; r < n_row; r += BLOCK_ROWS) {
            const size_t rows = n_row - r < BLOCK_ROWS ? n_row - r : BLOCK_ROWS;
            const size_t cols = n_col - c < BLOCK_COLS ? n_col - c : BLOCK_COLS;
            if (rows == BLOCK_ROWS && cols == BLOCK_COLS)
                trans_block(y + c * ldy + r, ldy, x + r * ldx + c, ldx);
            else
                trans_edge(y + c * ldy + r, ldy, x + r * ldx + c, ldx, rows, cols);
        }
}

void mk_avx512bf16_pack(struct mk_kernels *k)
{
    k->f32_bf16 = f32_bf16;
    k->pairs_bf16 = pairs_bf16;
    k->zip_bf16 = zip_bf16;
    k->trans_bf16 = trans_bf16;
}
