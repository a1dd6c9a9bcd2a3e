/* f8_e4m3: the 8-bit float of FP8 checkpoints ("e4m3fn": no infinity, one NaN).
 *
 *   7    6..3       2..0
 *   sign exponent   fraction        bias 7; 0x7f and 0xff are NaN; largest value 448
 *
 * Such a checkpoint also has a scale for each 128 x 128 weights in a tensor of its
 * own; it is applied by whoever multiplies, not here. */
#include "quant/int_quant.h"

/* Values below 2^-6 are multiples of 2^-9; for the others exponent and fraction are
 * shifted into place and the bias changed from 7 to 127. */
static float to_float(uint8_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x80u) << 24, mag = h & 0x7fu;
    const uint32_t small = mk_f32_bits((float)mag * 0x1p-9f), normal = (mag << 20) + (120u << 23);
    return mk_bits_f32(sign | (mag == 0x7f ? 0x7fc00000u : mag < 8 ? small : normal));
}

/* Adding 2^20 times the power of two below the value aligns the fraction so that
 * the FPU rounds it to 3 bits, ties to even. */
static uint8_t from_float(float f)
{
    const uint32_t u = mk_f32_bits(mk_clean(f, 448)), sign = u >> 24 & 0x80u, mag = u & 0x7fffffffu;
    const uint32_t least = 0x3c800000u; /* 2^-6, the smallest normal value */
    uint32_t e = mag & 0x7f800000u;
    if (e < least) e = least;
    const float base = mk_bits_f32(e + (20u << 23));
    const uint32_t r = mk_f32_bits(mk_bits_f32(mag) + base) - mk_f32_bits(base);
    return (uint8_t)(sign | (((e - least) >> 20) + r));
}

void mk_f8_e4m3_decode(float *out, const void *blocks, size_t n)
{
    const uint8_t *b = blocks;
    for (size_t i = 0; i < n; i++) out[i] = to_float(b[i]);
}

void mk_f8_e4m3_encode(void *blocks, const float *x, size_t n)
{
    uint8_t *b = blocks;
    for (size_t i = 0; i < n; i++) b[i] = from_float(x[i]);
}
