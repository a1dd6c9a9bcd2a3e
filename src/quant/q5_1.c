/* q5_1: 32 weights in 24 bytes.  w = d * q + m
 *
 *   0    2    4           8                     24
 *   | d  | m  | 4 bytes   | 16 bytes             |     d, m: f16
 *               bit i of    byte l = | q[l+16] | q[l] |  low four bits
 *               the word              7     4   3   0
 *               = bit 4 of q[i]
 */
#include "quant/int_quant.h"

void mk_q5_1_codes(struct mk_codes *c, const void *block)
{
    const uint8_t *b = block;
    memset(c->q, 0, 32);
    mk_fields_get(c->q, b + 8, 32, 16, 4, 0);
    mk_fields_get(c->q, b + 4, 32, 1, 1, 4);
    c->d = mk_get_half(b);
    c->m = mk_get_half(b + 2);
}

static void pack(uint8_t *b, const struct mk_codes *c)
{
    mk_put_half(b, c->d);
    mk_put_half(b + 2, c->m);
    mk_fields_put(b + 4, c->q, 32, 1, 1, 4);
    mk_fields_put(b + 8, c->q, 32, 16, 4, 0);
}

void mk_q5_1_decode(float *out, const void *blocks, size_t n)
{
    mk_decode_codes(MK_Q5_1, out, blocks, n);
}

static void fit(struct mk_codes *c, const float *x) { mk_fit_s32_min(c, x, 31); }

void mk_q5_1_encode(void *blocks, const float *x, size_t n)
{
    mk_encode_codes(MK_Q5_1, blocks, x, n, fit, pack);
}
