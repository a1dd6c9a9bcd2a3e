/* iq4_nl: 32 weights in 18 bytes.  w = d * v[i], v a fixed table of 16 values that
 * are denser around zero, as weights are.  The code is v[i] + 128.
 *
 *   0    2                     18
 *   | d  | 16 bytes             |     d: f16
 *          byte l = | i[l+16] | i[l] |
 *                    7     4   3   0
 */
#include "quant/int_quant.h"

void mk_iq4_nl_codes(struct mk_codes *c, const void *block)
{
    const uint8_t *b = block;
    uint8_t i[32] = {0};
    mk_fields_get(i, b + 2, 32, 16, 4, 0);
    for (int k = 0; k < 32; k++) c->q[k] = (uint8_t)(mk_iq4_values[i[k]] + 128);
    c->d = mk_get_half(b);
    c->m = 0;
}

static void pack(uint8_t *b, const struct mk_codes *c)
{
    uint8_t i[32];
    mk_iq4_indices(i, c->q, 32);
    mk_put_half(b, c->d);
    mk_fields_put(b + 2, i, 32, 16, 4, 0);
}

void mk_iq4_nl_decode(float *out, const void *blocks, size_t n)
{
    mk_decode_codes(MK_IQ4_NL, out, blocks, n);
}

void mk_iq4_nl_encode(void *blocks, const float *x, size_t n)
{
    mk_encode_codes(MK_IQ4_NL, blocks, x, n, mk_iq4_fit_s32, pack);
}
