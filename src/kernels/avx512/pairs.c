/* Pairs without an instruction for them: two multiply-adds.  And their panels, for every level
 * above too. */
#include "int_pairs.h"

/* Normal numbers: 16 m + 0x3c00 moves the exponent from bias 7 to 127.  The first 8 codes are
 * multiples of 2^-9, the last is NaN. */
#define LOWS       0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, LOWS_8
#define LOWS_8     0x80, 0x90, 0xa0, 0xb0, 0xc0, 0xd0, 0xe0, 0xf0
#define SIXTEEN(h) EIGHT(h), EIGHT(h)
#define EIGHT(h)   h, h, h, h, h, h, h, h
const uint8_t mk_f8_low[128] = {0x00, 0x00, 0x80, 0xc0, 0x00, 0x20, 0x40, 0x60, LOWS_8, LOWS, LOWS,
                                LOWS, LOWS, LOWS, LOWS, 0x00, 0x10, 0x20, 0x30, 0x40,   0x50, 0x60,
                                0x70, 0x80, 0x90, 0xa0, 0xb0, 0xc0, 0xd0, 0xe0, 0xc0};
const uint8_t mk_f8_high[128] = {
    0x00,          0x3b,          0x3b,          0x3b,          0x3c,          0x3c,
    0x3c,          0x3c,          EIGHT(0x3c),   SIXTEEN(0x3d), SIXTEEN(0x3e), SIXTEEN(0x3f),
    SIXTEEN(0x40), SIXTEEN(0x41), SIXTEEN(0x42), EIGHT(0x43),   0x43,          0x43,
    0x43,          0x43,          0x43,          0x43,          0x43,          0x7f};

INLINE __m512 dot(__m512 sum, __m512i a, __m512i b)
{
    __m512 fa[2], fb[2];
    mk_widen_bf16(fa, a);
    mk_widen_bf16(fb, b);
    sum = _mm512_fmadd_ps(fa[1], fb[1], sum);
    return _mm512_fmadd_ps(fa[0], fb[0], sum);
}

MK_PAIRS(dot)

INLINE void unpack(mk_unpack_pairs_fn *self, struct mk_panel *p, enum mk_type type,
                   const uint8_t *rows, size_t stride, unsigned n_rows, size_t n_k, unsigned size,
                   mk_load_pairs_fn *load)
{
    if (n_rows < MK_PANEL_ROWS) {
        mk_avx512_unpack_few(self, p, type, rows, stride, n_rows, n_k);
        return;
    }
    p->n_k = n_k;
    p->quant = &mk_quants[type];
    for (size_t k = 0; k < n_k; k += 16 / size) {
        __m512i t[8];
        load(t, rows + k * size, stride);
        UNROLL
        for (size_t i = 0; i < 8 / size; i++) _mm512_store_si512(p->w[k / 2 + i], t[i]);
    }
    for (size_t g = 0; g * 128 < n_k; g++) _mm512_store_ps(p->d[g], _mm512_set1_ps(1.0f));
}

static void unpack_bf16(struct mk_panel *p, const uint8_t *rows, size_t stride, unsigned n_rows,
                        size_t n_k)
{
    unpack(unpack_bf16, p, MK_BF16, rows, stride, n_rows, n_k, 2, mk_load_bf16);
}

static void unpack_f8(struct mk_panel *p, const uint8_t *rows, size_t stride, unsigned n_rows,
                      size_t n_k)
{
    unpack(unpack_f8, p, MK_F8_E4M3, rows, stride, n_rows, n_k, 1, mk_load_f8);
}

void mk_avx512_pairs(struct mk_kernels *k)
{
    k->unpack_pairs[MK_BF16] = unpack_bf16;
    k->unpack_pairs[MK_F8_E4M3] = unpack_f8;
    k->mul_pairs = mul_pairs;
    k->gemv_pairs[MK_BF16] = gemv_bf16;
    k->gemv_pairs[MK_F8_E4M3] = gemv_f8;
}
