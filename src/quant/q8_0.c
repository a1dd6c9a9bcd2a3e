/* q8_0: 32 weights in 34 bytes.  w = d * (q - 128)
 *
 *   0    2                     34
 *   | d  | 32 signed bytes      |     d: f16, byte i = q[i] - 128
 */
#include "quant/int_quant.h"

#include <math.h>

void mk_q8_0_codes(struct mk_codes *c, const void *block)
{
    const uint8_t *b = block;
    for (int i = 0; i < 32; i++) c->q[i] = b[2 + i] ^ 128;
    c->d = mk_get_half(b);
    c->m = 0;
}

static void pack(uint8_t *b, const struct mk_codes *c)
{
    mk_put_half(b, c->d);
    for (int i = 0; i < 32; i++) b[2 + i] = c->q[i] ^ 128;
}

void mk_q8_0_decode(float *out, const void *blocks, size_t n)
{
    mk_decode_codes(MK_Q8_0, out, blocks, n);
}

/* Nothing to search: with 255 steps the largest weight sets the scale. */
static void fit(struct mk_codes *c, const float *x)
{
    float most = 0;
    for (int i = 0; i < 32; i++) most = fmaxf(most, fabsf(x[i]));
    c->d = mk_round_half(most / 127);
    c->m = 0;
    mk_fit_round(c->q, x, 32, c->d, 0, 128, 255);
}

void mk_q8_0_encode(void *blocks, const float *x, size_t n)
{
    mk_encode_codes(MK_Q8_0, blocks, x, n, fit, pack);
}
