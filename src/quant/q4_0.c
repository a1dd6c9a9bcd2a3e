/* q4_0: 32 weights in 18 bytes.  w = d * (q - 8)
 *
 *   0    2                     18
 *   | d  | 16 bytes             |     d: f16
 *          byte l = | q[l+16] | q[l] |
 *                    7     4   3   0
 */
#include "quant/int_quant.h"

void mk_q4_0_codes(struct mk_codes *c, const void *block)
{
    const uint8_t *b = block;
    memset(c->q, 0, 32);
    mk_fields_get(c->q, b + 2, 32, 16, 4, 0);
    c->d = mk_get_half(b);
    c->m = 0;
}

static void pack(uint8_t *b, const struct mk_codes *c)
{
    mk_put_half(b, c->d);
    mk_fields_put(b + 2, c->q, 32, 16, 4, 0);
}

void mk_q4_0_decode(float *out, const void *blocks, size_t n)
{
    mk_decode_codes(MK_Q4_0, out, blocks, n);
}

static void fit(struct mk_codes *c, const float *x) { mk_fit_s32(c, x, 8); }

void mk_q4_0_encode(void *blocks, const float *x, size_t n)
{
    mk_encode_codes(MK_Q4_0, blocks, x, n, fit, pack);
}
