/* f16: the IEEE 754 half.
 *
 *   15   14..10     9..0
 *   sign exponent   fraction        bias 15, little-endian; largest value 65504
 */
#include "quant/int_quant.h"

void mk_f16_decode(float *out, const void *blocks, size_t n)
{
    const uint8_t *b = blocks;
    for (size_t i = 0; i < n; i++) out[i] = mk_get_half(b + 2 * i);
}

void mk_f16_encode(void *blocks, const float *x, size_t n)
{
    uint8_t *b = blocks;
    for (size_t i = 0; i < n; i++) mk_put_half(b + 2 * i, mk_clean(x[i], 65504));
}
