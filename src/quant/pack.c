/* Packing shared by several formats, and decoding by the formula of quant.h. */
#include "quant/int_quant.h"

/*        bits 7 6   5 .. 0               bits 7..4    3..0
 *   b[j]   sc[j+4]  sc[j]      b[8+j]     mn[j+4]   sc[j+4]     0 <= j < 4
 *   b[4+j] mn[j+4]  mn[j]                 low bits  low bits
 *          high bits
 */
void mk_scales6_get(int16_t sc[8], int16_t mn[8], const uint8_t b[12])
{
    for (int j = 0; j < 4; j++) {
        sc[j] = b[j] & 63;
        mn[j] = b[4 + j] & 63;
        sc[4 + j] = (int16_t)((b[8 + j] & 15) | b[j] >> 6 << 4);
        mn[4 + j] = (int16_t)(b[8 + j] >> 4 | b[4 + j] >> 6 << 4);
    }
}

void mk_scales6_put(uint8_t b[12], const int16_t sc[8], const int16_t mn[8])
{
    for (int j = 0; j < 4; j++) {
        b[j] = (uint8_t)(sc[j] | sc[4 + j] >> 4 << 6);
        b[4 + j] = (uint8_t)(mn[j] | mn[4 + j] >> 4 << 6);
        b[8 + j] = (uint8_t)((sc[4 + j] & 15) | (mn[4 + j] & 15) << 4);
    }
}

static void decode_group(const struct mk_quant *t, float *out, const struct mk_codes *c)
{
    const size_t sub = t->kind == MK_S256 ? (size_t)t->sub : t->block_len;
    for (size_t j = 0; j * sub < t->block_len; j++) {
        const float d = t->kind == MK_S256 ? c->d * (float)c->sc[j] : c->d;
        const float m = t->kind == MK_S256 ? -(c->m * (float)c->mn[j]) : c->m;
        const uint8_t *q = c->q + j * sub;
        float *y = out + j * sub;
        if (t->has_min)
            for (size_t i = 0; i < sub; i++) y[i] = d * (float)(q[i] - t->bias) + m;
        else
            for (size_t i = 0; i < sub; i++) y[i] = d * (float)(q[i] - t->bias);
    }
}

void mk_decode_codes(enum mk_type type, float *out, const void *blocks, size_t n)
{
    const struct mk_quant *t = &mk_quants[type];
    const uint8_t *b = blocks;
    for (size_t i = 0; i < n; i += t->block_len, b += t->block_bytes) {
        struct mk_codes c;
        t->codes(&c, b);
        decode_group(t, out + i, &c);
    }
}

void mk_encode_codes(enum mk_type type, void *blocks, const float *x, size_t n, mk_fit_fn *fit,
                     mk_pack_fn *pack)
{
    const float most = 0x1p30f; /* more than any block can hold, and harmless to square */
    const struct mk_quant *t = &mk_quants[type];
    uint8_t *b = blocks;
    for (size_t i = 0; i < n; i += t->block_len, b += t->block_bytes) {
        float clean[256];
        for (size_t k = 0; k < t->block_len; k++) clean[k] = mk_clean(x[i + k], most);
        struct mk_codes c;
        fit(&c, clean);
        pack(b, &c);
    }
}
