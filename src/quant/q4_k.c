/* q4_k: 256 weights in 144 bytes.  w = d * sc[j] * q - m * mn[j], j = i / 32
 *
 *   0    2    4                    16                      144
 *   | d  | m  | sc, mn: see pack.c | 4 groups of 32 bytes   |     d, m: f16
 *                                    byte l = | q[l+32] | q[l] |
 *                                              7     4   3   0
 */
#include "quant/int_quant.h"

void mk_q4_k_codes(struct mk_codes *c, const void *block)
{
    const uint8_t *b = block;
    c->d = mk_get_half(b);
    c->m = mk_get_half(b + 2);
    mk_scales6_get(c->sc, c->mn, b + 4);
    memset(c->q, 0, 256);
    mk_fields_get(c->q, b + 16, 256, 32, 4, 0);
}

static void pack(uint8_t *b, const struct mk_codes *c)
{
    mk_put_half(b, c->d);
    mk_put_half(b + 2, c->m);
    mk_scales6_put(b + 4, c->sc, c->mn);
    mk_fields_put(b + 16, c->q, 256, 32, 4, 0);
}

void mk_q4_k_decode(float *out, const void *blocks, size_t n)
{
    mk_decode_codes(MK_Q4_K, out, blocks, n);
}

static void fit(struct mk_codes *c, const float *x) { mk_fit_s256_min(c, x, 32, 15, 63); }

void mk_q4_k_encode(void *blocks, const float *x, size_t n)
{
    mk_encode_codes(MK_Q4_K, blocks, x, n, fit, pack);
}
