/* iq4_xs: 256 weights in 136 bytes.  w = d * (s[j] - 32) * v[i], j = k / 32 for
 * weight k, v the table of iq4_nl.  The code is v[i] + 128.
 *
 *   0    2           4            8                          136
 *   | d  | high bits | 4 bytes    | 8 groups of 16 bytes      |     d: f16
 *          bits 2j,    | s[2j+1] | s[2j] |   byte l = | i[l+16] | i[l] |
 *          2j+1 of      7     4   3     0              7     4   3    0
 *          the word     low bits of s
 *          = bits 4, 5 of s[j]
 */
#include "quant/int_quant.h"

void mk_iq4_xs_codes(struct mk_codes *c, const void *block)
{
    const uint8_t *b = block;
    uint8_t i[256] = {0};
    mk_fields_get(i, b + 8, 256, 16, 4, 0);
    for (int k = 0; k < 256; k++) c->q[k] = (uint8_t)(mk_iq4_values[i[k]] + 128);
    uint8_t s[8] = {0};
    mk_fields_get(s, b + 4, 8, 1, 4, 0);
    mk_fields_get(s, b + 2, 8, 1, 2, 4);
    for (int j = 0; j < 8; j++) c->sc[j] = (int16_t)(s[j] - 32);
    c->d = mk_get_half(b);
    c->m = 0;
    memset(c->mn, 0, sizeof c->mn);
}

static void pack(uint8_t *b, const struct mk_codes *c)
{
    uint8_t i[256], s[8];
    mk_iq4_indices(i, c->q, 256);
    for (int j = 0; j < 8; j++) s[j] = (uint8_t)(c->sc[j] + 32);
    mk_put_half(b, c->d);
    mk_fields_put(b + 2, s, 8, 1, 2, 4);
    mk_fields_put(b + 4, s, 8, 1, 4, 0);
    mk_fields_put(b + 8, i, 256, 16, 4, 0);
}

void mk_iq4_xs_decode(float *out, const void *blocks, size_t n)
{
    mk_decode_codes(MK_IQ4_XS, out, blocks, n);
}

void mk_iq4_xs_encode(void *blocks, const float *x, size_t n)
{
    mk_encode_codes(MK_IQ4_XS, blocks, x, n, mk_iq4_fit_s256, pack);
}
