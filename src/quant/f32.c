/* f32: the IEEE 754 single.
 *
 *   31   30..23     22..0
 *   sign exponent   fraction        little-endian
 */
#include "quant/int_quant.h"

#include <float.h>

void mk_f32_decode(float *out, const void *blocks, size_t n)
{
    memcpy(out, blocks, n * sizeof *out);
}

void mk_f32_encode(void *blocks, const float *x, size_t n)
{
    uint8_t *b = blocks;
    for (size_t i = 0; i < n; i++, b += sizeof *x) {
        const float v = mk_clean(x[i], FLT_MAX);
        memcpy(b, &v, sizeof v);
    }
}
