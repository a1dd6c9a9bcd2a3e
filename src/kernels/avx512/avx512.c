/* AVX-512 with VNNI and VBMI: Ice Lake and Zen 4 onwards. */
#include "int_avx512.h"

#include "kernels/isa.h"

#include <assert.h>
#include <string.h>

void mk_avx512_unpack_few(mk_unpack_fn *fn, struct mk_panel *p, enum mk_type type,
                          const uint8_t *rows, size_t stride, unsigned n_rows, size_t n_k)
{
    const struct mk_quant *t = &mk_quants[type];
    uint8_t copy[MK_PANEL_ROWS * 34 * MK_PANEL_K / 32]; /* q8_0 has the longest rows */
    const size_t bytes = n_k / t->block_len * t->block_bytes;
    assert(n_rows <= MK_PANEL_ROWS && bytes <= sizeof copy / MK_PANEL_ROWS);
    for (unsigned r = 0; r < n_rows; r++) memcpy(copy + r * bytes, rows + r * stride, bytes);
    memset(copy + n_rows * bytes, 0, (MK_PANEL_ROWS - n_rows) * bytes);
    fn(p, copy, bytes, MK_PANEL_ROWS, n_k);
    const size_t len = t->kind == MK_FLOAT ? 128 : (size_t)t->sub;
    for (size_t g = 0; g * len < n_k; g++)
        for (unsigned r = n_rows; r < MK_PANEL_ROWS; r++) p->d[g][r] = p->m[g][r] = 0.0f;
}

void mk_kernels_avx512(struct mk_kernels *k)
{
    memset(k->reads_in_turn, 0, sizeof k->reads_in_turn);
    k->mul_int = mk_avx512_mul_int;
    k->mul_f32 = mk_avx512_mul_f32;
    k->mul_t = mk_avx512_mul_t;
    k->mul_t_f16 = mk_avx512_mul_t_f16;
    mk_avx512_unpack_float(k);
    mk_avx512_unpack_s32(k);
    mk_avx512_unpack_s256(k);
    mk_avx512_gemv_s32(k);
    mk_avx512_gemv_s256(k);
    mk_avx512_gemv_float(k);
    mk_avx512_pairs(k);
    mk_avx512_decode(k);
    mk_avx512_activations(k);
    mk_avx512_vectors(k);
    mk_avx512_train(k);
    mk_avx512_peak(k);
}
