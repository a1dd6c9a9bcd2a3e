/* q4_1: 32 weights in 20 bytes.  w = d * q + m
 *
 *   0    2    4                     20
 *   | d  | m  | 16 bytes             |     d, m: f16
 *               byte l = | q[l+16] | q[l] |
 *                         7     4   3   0
 */
#include "quant/int_quant.h"

void mk_q4_1_codes(struct mk_codes *c, const void *block)
{
    const uint8_t *b = block;
    memset(c->q, 0, 32);
    mk_fields_get(c->q, b + 4, 32, 16, 4, 0);
    c->d = mk_get_half(b);
    c->m = mk_get_half(b + 2);
}

static void pack(uint8_t *b, const struct mk_codes *c)
{
    mk_put_half(b, c->d);
    mk_put_half(b + 2, c->m);
    mk_fields_put(b + 4, c->q, 32, 16, 4, 0);
}

void mk_q4_1_decode(float *out, const void *blocks, size_t n)
{
    mk_decode_codes(MK_Q4_1, out, blocks, n);
}

static void fit(struct mk_codes *c, const float *x) { mk_fit_s32_min(c, x, 15); }

void mk_q4_1_encode(void *blocks, const float *x, size_t n)
{
    mk_encode_codes(MK_Q4_1, blocks, x, n, fit, pack);
}
