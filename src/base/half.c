#include "base/half.h"

#include <math.h>

/* Shift the half's exponent and mantissa into place; a multiplication by 2^112
 * repairs the bias, and for subnormals normalises at the same time. */
float mk_f16_f32(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16, mag = h & 0x7fffu;
    if (mag >= 0x7c00u) return mk_bits_f32(sign | 0x7f800000u | mag << 13);
    return mk_bits_f32(sign | mk_f32_bits(mk_bits_f32(mag << 13) * 0x1p112f));
}

/* Adding 2^(e+13) aligns the mantissa so that the FPU rounds it to 10 bits, with
 * the exponent clamped at the smallest normal half (subnormals then come out
 * with their leading zeros). */
uint16_t mk_f32_f16(float f)
{
    const uint32_t u = mk_f32_bits(f), sign = u >> 16 & 0x8000u, mag = u & 0x7fffffffu;
    if (mag > 0x7f800000u) return (uint16_t)(sign | 0x7e00u);
    if (mag >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* rounds to infinity */
    uint32_t e = mag & 0x7f800000u;
    if (e < 0x38800000u) e = 0x38800000u;
    const float base = mk_bits_f32(e + (13u << 23));
    const uint32_t r = mk_f32_bits(mk_bits_f32(mag) + base) - mk_f32_bits(base);
    return (uint16_t)(sign | (((e - 0x38800000u) >> 13) + r));
}
