/* f64: the IEEE 754 double.  No weight is kept in it; files may bring it and the
 * converter turns it into something else.
 *
 *   63   62..52     51..0
 *   sign exponent   fraction        little-endian
 */
#include "quant/int_quant.h"

#include <float.h>

void mk_f64_decode(float *out, const void *blocks, size_t n)
{
    const uint8_t *b = blocks;
    for (size_t i = 0; i < n; i++, b += sizeof(double)) {
        double v;
        memcpy(&v, b, sizeof v);
        out[i] = (float)v;
    }
}

/* The largest value is the largest float: what was written reads back. */
void mk_f64_encode(void *blocks, const float *x, size_t n)
{
    uint8_t *b = blocks;
    for (size_t i = 0; i < n; i++, b += sizeof(double)) {
        const double v = (double)mk_clean(x[i], FLT_MAX);
        memcpy(b, &v, sizeof v);
    }
}
