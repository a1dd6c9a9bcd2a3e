/* mxfp4: 32 weights in 17 bytes, the OCP microscaling format.  w = 2^(e-127) * v,
 * v a 4-bit float.  The code is 2 v + 12, so that d = 2^(e-128).
 *
 *   0    1                     17
 *   | e  | 16 bytes             |     e = 255: all are NaN
 *          byte l = | v[l+16] | v[l] |
 *                    7     4   3   0
 *   v:  sign exponent(2) fraction(1): 0 0.5 1 1.5 2 3 4 6
 */
#include "quant/int_quant.h"

#include <float.h>
#include <math.h>

static const uint8_t code_of[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};

static float scale_of(unsigned e) { return e == 255 ? NAN : ldexpf(1, (int)e - 128); }

void mk_mxfp4_codes(struct mk_codes *c, const void *block)
{
    const uint8_t *b = block;
    uint8_t v[32] = {0};
    mk_fields_get(v, b + 1, 32, 16, 4, 0);
    for (int i = 0; i < 32; i++) c->q[i] = code_of[v[i]];
    c->d = scale_of(b[0]);
    c->m = 0;
}

void mk_mxfp4_decode(float *out, const void *blocks, size_t n)
{
    mk_decode_codes(MK_MXFP4, out, blocks, n);
}

/* The 4-bit float nearest to x, ties to the one with even fraction. */
static uint8_t nearest(float x)
{
    const float a = fabsf(x);
    const unsigned v = (a > 0.25f) + (a >= 0.75f) + (a > 1.25f) + (a >= 1.75f) + (a > 2.5f) +
                       (a >= 3.5f) + (a > 5);
    return (uint8_t)(x < 0 && v ? v | 8 : v);
}

/* Codes for the scale 2^(e-127) and the squared error in units of it. */
static float try_scale(uint8_t v[32], const float *x, int e)
{
    float err = 0;
    for (int i = 0; i < 32; i++) {
        const float y = ldexpf(x[i], 127 - e);
        v[i] = nearest(y);
        const float r = y - 0.5f * (float)(code_of[v[i]] - 12);
        err += r * r;
    }
    return err;
}

/* The scale that brings the largest weight into 4..8, or twice it if that errs less:
 * the smaller scale ends at 6.  252 is the last e whose 6 is a finite float. */
static void encode_block(uint8_t *b, const float *x)
{
    float most = 0;
    for (int i = 0; i < 32; i++) most = fmaxf(most, fabsf(x[i]));
    int e = most > 0 ? ilogbf(most) - 2 + 127 : 0;
    e = e < 0 ? 0 : e > 252 ? 252 : e;
    uint8_t v[32], v2[32];
    const float err = try_scale(v, x, e);
    const bool is_twice = e < 252 && 4 * try_scale(v2, x, e + 1) < err;
    b[0] = (uint8_t)(e + is_twice);
    mk_fields_put(b + 1, is_twice ? v2 : v, 32, 16, 4, 0);
}

void mk_mxfp4_encode(void *blocks, const float *x, size_t n)
{
    uint8_t *b = blocks;
    for (size_t i = 0; i < n; i += 32, b += 17) {
        float clean[32];
        for (int k = 0; k < 32; k++) clean[k] = mk_clean(x[i + (size_t)k], FLT_MAX);
        encode_block(b, clean);
    }
}
