/* q3_k: 256 weights in 110 bytes.  w = d * (s[j] - 32) * (q - 4), j = i / 16
 *
 *   0                 32                     96                           108  110
 *   | 32 bytes        | 2 groups of 32 bytes | 8 bytes    | 4 bytes        | d  |   d: f16
 *     bit k of byte l   as q2_k:               | s[l+8] | s[l] |
 *     = bit 2 of        bits 0, 1 of q          7    4   3    0   low bits of s
 *     q[l+32k]                                             | s[l+12] | s[l+8] | s[l+4] | s[l] |
 *                                                           7     6   5    4   3    2   1   0
 */
#include "quant/int_quant.h"

void mk_q3_k_codes(struct mk_codes *c, const void *block)
{
    const uint8_t *b = block;
    memset(c->q, 0, 256);
    mk_fields_get(c->q, b, 256, 32, 1, 2);
    mk_fields_get(c->q, b + 32, 256, 32, 2, 0);
    uint8_t s[16] = {0};
    mk_fields_get(s, b + 96, 16, 8, 4, 0);
    mk_fields_get(s, b + 104, 16, 4, 2, 4);
    for (int j = 0; j < 16; j++) c->sc[j] = (int16_t)(s[j] - 32);
    c->d = mk_get_half(b + 108);
    c->m = 0;
    memset(c->mn, 0, sizeof c->mn);
}

static void pack(uint8_t *b, const struct mk_codes *c)
{
    uint8_t s[16];
    for (int j = 0; j < 16; j++) s[j] = (uint8_t)(c->sc[j] + 32);
    mk_fields_put(b, c->q, 256, 32, 1, 2);
    mk_fields_put(b + 32, c->q, 256, 32, 2, 0);
    mk_fields_put(b + 96, s, 16, 8, 4, 0);
    mk_fields_put(b + 104, s, 16, 4, 2, 4);
    mk_put_half(b + 108, c->d);
}

void mk_q3_k_decode(float *out, const void *blocks, size_t n)
{
    mk_decode_codes(MK_Q3_K, out, blocks, n);
}

static void fit(struct mk_codes *c, const float *x) { mk_fit_s256(c, x, 16, 4, 32); }

void mk_q3_k_encode(void *blocks, const float *x, size_t n)
{
    mk_encode_codes(MK_Q3_K, blocks, x, n, fit, pack);
}
