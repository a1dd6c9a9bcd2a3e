/* Panels of floats: the stored bits of 16 rows become lanes first, then floats. */
#include "int_avx512.h"

INLINE void ones(struct mk_panel *p)
{
    for (size_t g = 0; g * 128 < p->n_k; g++) _mm512_store_ps(p->d[g], _mm512_set1_ps(1.0f));
}

/* One dword of each row from the last, incomplete 16 bytes of n. */
static __m512i rest_of_rows(const uint8_t *b, size_t stride, size_t n)
{
    uint32_t w[MK_PANEL_ROWS] = {0};
    for (size_t r = 0; r < MK_PANEL_ROWS; r++)
        for (size_t i = 0; i < n && i < 4; i++) w[r] |= (uint32_t)b[r * stride + i] << 8 * i;
    return _mm512_loadu_si512(w);
}

/* ---- conversion of one dword per row, which holds 1, 2 or 4 values -------------- */

typedef void widen_fn(__m512 *f, __m512i t);

INLINE void widen_f32(__m512 *f, __m512i t) { f[0] = _mm512_castsi512_ps(t); }
INLINE void widen_bf16(__m512 *f, __m512i t) { mk_widen_bf16(f, t); }
INLINE void widen_f16(__m512 *f, __m512i t) { mk_widen_f16(f, t); }

/* Normal e4m3 numbers only; else as mk_f8_ps. */
INLINE bool all_normal(__m512i t)
{
    const __m512i mag = _mm512_and_si512(t, _mm512_set1_epi8(0x7f));
    const __m512i from8 = _mm512_sub_epi8(mag, _mm512_set1_epi8(8));
    return !_mm512_cmpge_epu8_mask(from8, _mm512_set1_epi8(0x7f - 8));
}
INLINE __m512 normal_f8_ps(__m512i v)
{
    const __m512i u =
        _mm512_and_si512(_mm512_srai_epi32(v, 4), _mm512_set1_epi32((int)0x87f00000u));
    return _mm512_castsi512_ps(_mm512_add_epi32(u, _mm512_set1_epi32(120 << 23)));
}
INLINE void widen_f8(__m512 *f, __m512i t)
{
    if (__builtin_expect(all_normal(t), 1)) {
        UNROLL
        for (unsigned i = 0; i < 4; i++) f[i] = normal_f8_ps(_mm512_slli_epi32(t, 24 - 8 * i));
    } else {
        UNROLL
        for (unsigned i = 0; i < 4; i++) f[i] = mk_f8_ps(_mm512_slli_epi32(t, 24 - 8 * i));
    }
}

INLINE void unpack(mk_unpack_fn *self, struct mk_panel *p, enum mk_type type, const uint8_t *rows,
                   size_t stride, unsigned n_rows, size_t n_k, unsigned per_dword, widen_fn *widen)
{
    if (n_rows < MK_PANEL_ROWS) {
        mk_avx512_unpack_few(self, p, type, rows, stride, n_rows, n_k);
        return;
    }
    p->n_k = n_k;
    p->quant = &mk_quants[type];
    const size_t bytes = n_k * 4 / per_dword;
    size_t k = 0, b = 0;
    __m512 f[4];
    for (; b + 16 <= bytes; b += 16) {
        __m512i t[4];
        mk_rows16(t, rows + b, stride);
        UNROLL
        for (unsigned i = 0; i < 4; i++) {
            widen(f, t[i]);
            UNROLL
            for (unsigned j = 0; j < per_dword; j++) _mm512_store_ps(p->f[k++], f[j]);
        }
    }
    for (; b < bytes; b += 4) {
        widen(f, rest_of_rows(rows + b, stride, bytes - b));
        for (unsigned j = 0; j < per_dword && k < n_k; j++) _mm512_store_ps(p->f[k++], f[j]);
    }
    ones(p);
}

#define UNPACK(name, TYPE, per_dword)                                                       \
    static void unpack_##name(struct mk_panel *p, const uint8_t *rows, size_t stride,       \
                              unsigned n_rows, size_t n_k)                                  \
    {                                                                                       \
        unpack(unpack_##name, p, TYPE, rows, stride, n_rows, n_k, per_dword, widen_##name); \
    }
UNPACK(f32, MK_F32, 1)
UNPACK(f16, MK_F16, 2)
UNPACK(bf16, MK_BF16, 2)
UNPACK(f8, MK_F8_E4M3, 4)

void mk_avx512_unpack_float(struct mk_kernels *k)
{
    k->unpack[MK_F32] = unpack_f32;
    k->unpack[MK_F16] = unpack_f16;
    k->unpack[MK_BF16] = unpack_bf16;
    k->unpack[MK_F8_E4M3] = unpack_f8;
}
