/* q6_k: 256 weights in 210 bytes.  w = d * sc[j] * (q - 32), j = i / 16
 *
 *   0                        128                      192               208  210
 *   | 2 groups of 64 bytes   | 2 groups of 32 bytes   | 16 signed bytes  | d  |   d: f16
 *     byte l =                 as q2_k:                 sc[j]
 *     | q[l+64] | q[l] |       bits 4, 5 of q
 *      7     4   3   0
 *      low bits
 */
#include "quant/int_quant.h"

void mk_q6_k_codes(struct mk_codes *c, const void *block)
{
    const uint8_t *b = block;
    memset(c->q, 0, 256);
    mk_fields_get(c->q, b, 256, 64, 4, 0);
    mk_fields_get(c->q, b + 128, 256, 32, 2, 4);
    for (int j = 0; j < 16; j++) c->sc[j] = (int8_t)b[192 + j];
    c->d = mk_get_half(b + 208);
    c->m = 0;
    memset(c->mn, 0, sizeof c->mn);
}

static void pack(uint8_t *b, const struct mk_codes *c)
{
    mk_fields_put(b, c->q, 256, 64, 4, 0);
    mk_fields_put(b + 128, c->q, 256, 32, 2, 4);
    for (int j = 0; j < 16; j++) b[192 + j] = (uint8_t)c->sc[j];
    mk_put_half(b + 208, c->d);
}

void mk_q6_k_decode(float *out, const void *blocks, size_t n)
{
    mk_decode_codes(MK_Q6_K, out, blocks, n);
}

static void fit(struct mk_codes *c, const float *x) { mk_fit_s256(c, x, 16, 32, 128); }

void mk_q6_k_encode(void *blocks, const float *x, size_t n)
{
    mk_encode_codes(MK_Q6_K, blocks, x, n, fit, pack);
}
