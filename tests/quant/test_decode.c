/* What bytes mean: blocks that the reference package read (tools/gen_quant_golden.py),
 * the table of e4m3, and the formulas of quant.h applied to codes. */
#include "base/file.h"
#include "base/half.h"
#include "base/rng.h"
#include "quant/quant.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* tests/golden/quant/NAME.bin: blocks, then their values as floats.  Decoding has to
 * give the same bits. */
static void check_golden(const char *name)
{
    const struct mk_quant *t = &mk_quants[mk_type_of_name(name)];
    char path[64];
    snprintf(path, sizeof path, "tests/golden/quant/%s.bin", name);
    struct mk_str file = {0};
    struct mk_err err;
    if (!mk_file_read(&file, path, 1 << 20, &err)) fail_msg("%s", err.msg);
    const size_t per_block = t->block_bytes + 4 * t->block_len, n_blocks = file.len / per_block;
    assert_int_equal(file.len % per_block, 0);
    assert_true(n_blocks >= 3);

    const size_t n = n_blocks * t->block_len;
    float *got = malloc(n * sizeof *got);
    t->decode(got, file.data, n);
    for (size_t i = 0; i < n; i++) {
        float want;
        memcpy(&want, file.data + n_blocks * t->block_bytes + 4 * i, sizeof want);
        if (mk_f32_bits(got[i]) != mk_f32_bits(want))
            fail_msg("%s[%zu] = %.9g, want %.9g", name, i, (double)got[i], (double)want);
    }
    free(got);
    mk_str_release(&file);
}

static void test_golden_blocks(void **state)
{
    (void)state;
    static const char *const names[] = {"f16",  "bf16", "q4_0",   "q4_1",   "q5_0",
                                        "q5_1", "q8_0", "q2_k",   "q3_k",   "q4_k",
                                        "q5_k", "q6_k", "iq4_nl", "iq4_xs", "mxfp4"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) check_golden(names[i]);
}

/* 0x00..0x7e; the upper half is the same with a minus sign, 0x7f and 0xff are NaN. */
static const float e4m3[127] = {0,           0.001953125f,
                                0.00390625f, 0.005859375f,
                                0.0078125f,  0.009765625f,
                                0.01171875f, 0.013671875f,
                                0.015625f,   0.017578125f,
                                0.01953125f, 0.021484375f,
                                0.0234375f,  0.025390625f,
                                0.02734375f, 0.029296875f,
                                0.03125f,    0.03515625f,
                                0.0390625f,  0.04296875f,
                                0.046875f,   0.05078125f,
                                0.0546875f,  0.05859375f,
                                0.0625f,     0.0703125f,
                                0.078125f,   0.0859375f,
                                0.09375f,    0.1015625f,
                                0.109375f,   0.1171875f,
                                0.125f,      0.140625f,
                                0.15625f,    0.171875f,
                                0.1875f,     0.203125f,
                                0.21875f,    0.234375f,
                                0.25f,       0.28125f,
                                0.3125f,     0.34375f,
                                0.375f,      0.40625f,
                                0.4375f,     0.46875f,
                                0.5f,        0.5625f,
                                0.625f,      0.6875f,
                                0.75f,       0.8125f,
                                0.875f,      0.9375f,
                                1,           1.125f,
                                1.25f,       1.375f,
                                1.5f,        1.625f,
                                1.75f,       1.875f,
                                2,           2.25f,
                                2.5f,        2.75f,
                                3,           3.25f,
                                3.5f,        3.75f,
                                4,           4.5f,
                                5,           5.5f,
                                6,           6.5f,
                                7,           7.5f,
                                8,           9,
                                10,          11,
                                12,          13,
                                14,          15,
                                16,          18,
                                20,          22,
                                24,          26,
                                28,          30,
                                32,          36,
                                40,          44,
                                48,          52,
                                56,          60,
                                64,          72,
                                80,          88,
                                96,          104,
                                112,         120,
                                128,         144,
                                160,         176,
                                192,         208,
                                224,         240,
                                256,         288,
                                320,         352,
                                384,         416,
                                448};

static void test_e4m3_table(void **state)
{
    (void)state;
    const struct mk_quant *t = &mk_quants[MK_F8_E4M3];
    for (int i = 0; i < 256; i++) {
        const uint8_t b = (uint8_t)i;
        float x;
        t->decode(&x, &b, 1);
        if (i % 128 == 127) {
            assert_true(isnan(x));
            continue;
        }
        const float want = i < 128 ? e4m3[i] : -e4m3[i - 128];
        assert_int_equal(mk_f32_bits(x), mk_f32_bits(want));
        uint8_t back;
        t->encode(&back, &x, 1);
        assert_int_equal(back, b);
    }
}

/* Between neighbours: nearest, and half way to the one with the even code. */
static void test_e4m3_rounds_to_nearest_even(void **state)
{
    (void)state;
    const struct mk_quant *t = &mk_quants[MK_F8_E4M3];
    for (int i = 0; i < 126; i++) {
        const float half = 0.5f * (e4m3[i] + e4m3[i + 1]);
        const float x[3] = {nextafterf(half, 0), half, nextafterf(half, 448)};
        uint8_t b[3];
        t->encode(b, x, 3);
        assert_int_equal(b[0], i);
        assert_int_equal(b[1], i + i % 2);
        assert_int_equal(b[2], i + 1);
    }
}

static void test_mxfp4_scale_255_is_nan(void **state)
{
    (void)state;
    uint8_t b[17] = {255};
    float x[32];
    mk_quants[MK_MXFP4].decode(x, b, 32);
    for (int i = 0; i < 32; i++) assert_true(isnan(x[i]));
}

/* One weight by the formulas of quant.h, in double. */
static double by_formula(const struct mk_quant *t, const struct mk_codes *c, size_t i)
{
    const double d = (double)c->d, m = (double)c->m;
    const int q = c->q[i] - t->bias;
    if (t->kind == MK_S32) return d * q + m;
    const size_t j = i / (size_t)t->sub;
    return d * c->sc[j] * q - m * c->mn[j];
}

/* Random blocks, their halves made finite: a half is where 0x7c00 is not all set. */
static void random_block(uint8_t *b, const struct mk_quant *t, struct mk_rng *r)
{
    static const size_t ends[] = {0, 2, 80, 82, 108, 208};
    for (size_t i = 0; i < t->block_bytes; i++) b[i] = (uint8_t)mk_rng_u64(r);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (ends[i] + 1 < t->block_bytes) b[ends[i] + 1] &= 0xbf;
    if (t->block_bytes == 17) b[0] &= 0x7f;
}

static void test_decode_is_the_formula_of_the_codes(void **state)
{
    (void)state;
    struct mk_rng r = {11};
    for (int type = 0; type < MK_N_TYPES; type++) {
        const struct mk_quant *t = &mk_quants[type];
        for (int round = 0; t->codes && round < 100; round++) {
            uint8_t b[256];
            float x[256];
            struct mk_codes c;
            random_block(b, t, &r);
            t->codes(&c, b);
            t->decode(x, b, t->block_len);
            for (size_t i = 0; i < t->block_len; i++) {
                const double want = by_formula(t, &c, i), m = fabs((double)c.m) * 63;
                const double slack = 3e-7 * (fabs(want) + 2 * m);
                if (!(fabs((double)x[i] - want) <= slack))
                    fail_msg("%s[%zu] = %.9g, formula %.9g", t->name, i, (double)x[i], want);
            }
            for (size_t j = 0; t->kind == MK_S256 && !t->has_min && j < 16; j++)
                assert_int_equal(c.mn[j], 0);
            if (!t->has_min) assert_true(c.m == 0);
        }
    }
}

/* Blocks may lie at any address. */
static void test_decode_unaligned(void **state)
{
    (void)state;
    struct mk_rng r = {12};
    for (int type = 0; type < MK_N_TYPES; type++) {
        const struct mk_quant *t = &mk_quants[type];
        if (!t->decode) continue;
        uint8_t b[256], moved[257];
        float x[256], y[256];
        random_block(b, t, &r);
        memcpy(moved + 1, b, t->block_bytes);
        t->decode(x, b, t->block_len);
        t->decode(y, moved + 1, t->block_len);
        assert_memory_equal(x, y, t->block_len * sizeof *x);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_blocks),
        cmocka_unit_test(test_e4m3_table),
        cmocka_unit_test(test_e4m3_rounds_to_nearest_even),
        cmocka_unit_test(test_mxfp4_scale_255_is_nan),
        cmocka_unit_test(test_decode_is_the_formula_of_the_codes),
        cmocka_unit_test(test_decode_unaligned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
