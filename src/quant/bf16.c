/* bf16: the upper half of a single.
 *
 *   15   14..7      6..0
 *   sign exponent   fraction        bias 127, little-endian
 */
#include "quant/int_quant.h"

void mk_bf16_decode(float *out, const void *blocks, size_t n)
{
    const uint8_t *b = blocks;
    for (size_t i = 0; i < n; i++) out[i] = mk_bf16_f32((uint16_t)mk_get16(b + 2 * i));
}

void mk_bf16_encode(void *blocks, const float *x, size_t n)
{
    const float most = mk_bf16_f32(0x7f7f);
    uint8_t *b = blocks;
    for (size_t i = 0; i < n; i++) mk_put16(b + 2 * i, mk_f32_bf16(mk_clean(x[i], most)));
}
