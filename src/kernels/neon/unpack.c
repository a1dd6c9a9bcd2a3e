/* What kernels/lanes/ needs to unpack four rows at a time. */
#define LANES 4
#include "kernels/lanes/floats.h"
#include "kernels/lanes/s256.h"
#include "kernels/lanes/s32.h"
#include "kernels/neon/int_neon.h"

#include <arm_neon.h>

INLINE vu load1(const uint8_t *const row[LANES], size_t at)
{
    uint32_t w[LANES];
    UNROLL
    for (unsigned i = 0; i < LANES; i++) memcpy(&w[i], row[i] + at, sizeof w[i]);
    return (vu){w[0], w[1], w[2], w[3]};
}

/* A transposition of 4 x 4 words. */
INLINE void load4(vu o[4], const uint8_t *const row[LANES], size_t at)
{
    uint32x4_t v[LANES];
    UNROLL
    for (unsigned i = 0; i < LANES; i++) v[i] = vreinterpretq_u32_u8(vld1q_u8(row[i] + at));
    const uint32x4x2_t ab = vtrnq_u32(v[0], v[1]), cd = vtrnq_u32(v[2], v[3]);
    for (int i = 0; i < 2; i++) {
        const uint64x2_t p = vreinterpretq_u64_u32(ab.val[i]), q = vreinterpretq_u64_u32(cd.val[i]);
        o[i] = (vu)vtrn1q_u64(p, q);
        o[i + 2] = (vu)vtrn2q_u64(p, q);
    }
}

INLINE vf half_lo(vu v) { return (vf)vcvt_f32_f16(vreinterpret_f16_u16(vmovn_u32((uint32x4_t)v))); }

INLINE vu look_up(const uint8_t table[16], vu b)
{
    return (vu)vqtbl1q_u8(vld1q_u8(table), (uint8x16_t)(b & 0x8f8f8f8fu));
}

static void decode_f16(float *y, const uint8_t *x, size_t n)
{
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        vst1q_f32(y + i, vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(x + 2 * i))));
    mk_quants[MK_F16].decode(y + i, x + 2 * i, n - i);
}

static void decode_bf16(float *y, const uint8_t *x, size_t n)
{
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        const uint32x4_t v = vshll_n_u16(vreinterpret_u16_u8(vld1_u8(x + 2 * i)), 16);
        vst1q_f32(y + i, vreinterpretq_f32_u32(v));
    }
    mk_quants[MK_BF16].decode(y + i, x + 2 * i, n - i);
}

static void decode_f8_e4m3(float *y, const uint8_t *x, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const vu code = (vu)vmovl_u8(vld1_u8(x + i));
        const uint16x8_t b = (uint16x8_t)even_f8(code);
        vst1q_f32(y + i, vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(b), 16)));
        vst1q_f32(y + i + 4, vreinterpretq_f32_u32(vshll_n_u16(vget_high_u16(b), 16)));
    }
    mk_quants[MK_F8_E4M3].decode(y + i, x + i, n - i);
}

void mk_neon_unpack(struct mk_kernels *k)
{
    set_unpack_floats(k);
    set_unpack_s32(k);
    set_unpack_s256(k);
    k->decode[MK_F16] = decode_f16;
    k->decode[MK_BF16] = decode_bf16;
    k->decode[MK_F8_E4M3] = decode_f8_e4m3;
}
