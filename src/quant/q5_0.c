/* q5_0: 32 weights in 22 bytes.  w = d * (q - 16)
 *
 *   0    2           6                     22
 *   | d  | 4 bytes   | 16 bytes             |     d: f16
 *          bit i of    byte l = | q[l+16] | q[l] |  low four bits
 *          the word              7     4   3   0
 *          = bit 4 of q[i]
 */
#include "quant/int_quant.h"

void mk_q5_0_codes(struct mk_codes *c, const void *block)
{
    const uint8_t *b = block;
    memset(c->q, 0, 32);
    mk_fields_get(c->q, b + 6, 32, 16, 4, 0);
    mk_fields_get(c->q, b + 2, 32, 1, 1, 4);
    c->d = mk_get_half(b);
    c->m = 0;
}

static void pack(uint8_t *b, const struct mk_codes *c)
{
    mk_put_half(b, c->d);
    mk_fields_put(b + 2, c->q, 32, 1, 1, 4);
    mk_fields_put(b + 6, c->q, 32, 16, 4, 0);
}

void mk_q5_0_decode(float *out, const void *blocks, size_t n)
{
    mk_decode_codes(MK_Q5_0, out, blocks, n);
}

static void fit(struct mk_codes *c, const float *x) { mk_fit_s32(c, x, 16); }

void mk_q5_0_encode(void *blocks, const float *x, size_t n)
{
    mk_encode_codes(MK_Q5_0, blocks, x, n, fit, pack);
}
