#ifndef MK_BASE_HALF_H
#define MK_BASE_HALF_H
/* The 16-bit floats.  Rounding is to nearest, ties to even; NaN stays NaN. */
#include <stdint.h>
#include <string.h>

static inline float mk_bits_f32(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof u);
    return f;
}
static inline uint32_t mk_f32_bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}
static inline float mk_bf16_f32(uint16_t h) { return mk_bits_f32((uint32_t)h << 16); }
static inline uint16_t mk_f32_bf16(float f)
{
    const uint32_t u = mk_f32_bits(f);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1)) >> 16);
}
float mk_f16_f32(uint16_t h);
uint16_t mk_f32_f16(float f);
/* The same, but what is too large becomes 65504 of its sign. */
static inline uint16_t mk_f32_f16_finite(float f)
{
    return mk_f32_f16(f > 65504.0f ? 65504.0f : f < -65504.0f ? -65504.0f : f);
}
#endif
