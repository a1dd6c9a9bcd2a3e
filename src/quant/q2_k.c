/* q2_k: 256 weights in 84 bytes.  w = d * sc[j] * q - m * mn[j], j = i / 16
 *
 *   0             16                                     80   82   84
 *   | 16 bytes    | 2 groups of 32 bytes                  | d  | m  |     d, m: f16
 *     | mn[j] | sc[j] |   byte l = | q[l+96] | q[l+64] | q[l+32] | q[l] |
 *      7   4   3   0                7     6   5     4   3     2   1  0
 */
#include "quant/int_quant.h"

void mk_q2_k_codes(struct mk_codes *c, const void *block)
{
    const uint8_t *b = block;
    for (int j = 0; j < 16; j++) {
        c->sc[j] = b[j] & 15;
        c->mn[j] = b[j] >> 4;
    }
    memset(c->q, 0, 256);
    mk_fields_get(c->q, b + 16, 256, 32, 2, 0);
    c->d = mk_get_half(b + 80);
    c->m = mk_get_half(b + 82);
}

static void pack(uint8_t *b, const struct mk_codes *c)
{
    for (int j = 0; j < 16; j++) b[j] = (uint8_t)(c->sc[j] | c->mn[j] << 4);
    mk_fields_put(b + 16, c->q, 256, 32, 2, 0);
    mk_put_half(b + 80, c->d);
    mk_put_half(b + 82, c->m);
}

void mk_q2_k_decode(float *out, const void *blocks, size_t n)
{
    mk_decode_codes(MK_Q2_K, out, blocks, n);
}

static void fit(struct mk_codes *c, const float *x) { mk_fit_s256_min(c, x, 16, 3, 15); }

void mk_q2_k_encode(void *blocks, const float *x, size_t n)
{
    mk_encode_codes(MK_Q2_K, blocks, x, n, fit, pack);
}
