/* What encoders owe: near the best error a format allows, the same bytes every time,
 * and finite numbers whatever they are given. */
#include "base/half.h"
#include "base/rng.h"
#include "quant/quant.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { MOST_BYTES = 8 * 256 }; /* of 256 values of any type */

/* Encodes and decodes 256 values. */
static void round_trip(float y[256], const float x[256], const struct mk_quant *t)
{
    uint8_t b[MOST_BYTES];
    t->encode(b, x, 256);
    t->decode(y, b, 256);
}

/* Root mean square of the error relative to that of the values, in percent, on normal
 * random values.  The limits are what was measured, and 1 % more. */
static const struct {
    enum mk_type type;
    double percent;
} expected[] = {
    {MK_F64, 0},       {MK_F32, 0},      {MK_F16, 0.0208}, {MK_BF16, 0.1660},  {MK_F8_E4M3, 2.660},
    {MK_Q8_0, 0.534},  {MK_Q6_K, 1.733}, {MK_Q5_K, 3.490}, {MK_Q5_1, 3.389},   {MK_Q5_0, 4.036},
    {MK_Q4_K, 7.071},  {MK_Q4_1, 7.021}, {MK_Q4_0, 8.149}, {MK_IQ4_NL, 7.390}, {MK_IQ4_XS, 7.461},
    {MK_MXFP4, 11.14}, {MK_Q3_K, 14.50}, {MK_Q2_K, 26.88},
};

static double measure(const struct mk_quant *t)
{
    enum { N = 256 * 1024 };
    float *x = malloc(N * sizeof *x), *y = malloc(N * sizeof *y);
    void *b = malloc(N / 256 * MOST_BYTES);
    struct mk_rng r = {1};
    for (size_t i = 0; i < N; i++) x[i] = (float)mk_rng_normal(&r);
    t->encode(b, x, N);
    t->decode(y, b, N);
    double error = 0, size = 0;
    for (size_t i = 0; i < N; i++) {
        error += pow((double)x[i] - (double)y[i], 2);
        size += pow((double)x[i], 2);
    }
    free(x);
    free(y);
    free(b);
    return 100 * sqrt(error / size);
}

static void test_error_on_normal_values(void **state)
{
    (void)state;
    size_t n_types = 0;
    for (int t = 0; t < MK_N_TYPES; t++) n_types += mk_quants[t].encode != NULL;
    assert_int_equal(n_types, sizeof expected / sizeof *expected);
    printf("type      bits per weight   relative RMSE %%\n");
    for (size_t i = 0; i < n_types; i++) {
        const struct mk_quant *t = &mk_quants[expected[i].type];
        const double got = measure(t), want = expected[i].percent;
        printf("%-9s %15.4f   %15.4f\n", t->name, 8 * (double)t->block_bytes / (double)t->block_len,
               got);
        if (got > 1.01 * want) fail_msg("%s: %.4f %%, expected %.4f %%", t->name, got, want);
    }
}

static void test_zeros_stay_zeros(void **state)
{
    (void)state;
    const float x[256] = {0};
    float y[256];
    for (int t = 0; t < MK_N_TYPES; t++) {
        if (!mk_quants[t].encode) continue;
        round_trip(y, x, &mk_quants[t]);
        for (int i = 0; i < 256; i++) assert_true(y[i] == 0);
    }
}

/* Values that a block can hold exactly come back: a ramp over all codes with a scale
 * that is a power of two. */
static void test_exact_values_come_back(void **state)
{
    (void)state;
    static const struct {
        enum mk_type type;
        int first, n;
    } ramps[] = {{MK_Q8_0, -127, 255}, {MK_Q4_0, -8, 16},  {MK_Q5_0, -16, 32}, {MK_Q4_1, 3, 16},
                 {MK_Q5_1, -40, 32},   {MK_Q4_K, -15, 16}, {MK_Q5_K, -31, 32}};
    for (size_t k = 0; k < sizeof ramps / sizeof *ramps; k++) {
        float x[256], y[256];
        for (int i = 0; i < 256; i++) x[i] = 0.25f * (float)(ramps[k].first + i * 7 % ramps[k].n);
        for (int i = 0; i < 256; i += 32) /* q8_0 needs its largest value in each block */
            if (ramps[k].type == MK_Q8_0) x[i] = 0.25f * 127;
        round_trip(y, x, &mk_quants[ramps[k].type]);
        for (int i = 0; i < 256; i++)
            if (fabsf(x[i] - y[i]) > 0.01f)
                fail_msg("%s: %g became %g", mk_quants[ramps[k].type].name, (double)x[i],
                         (double)y[i]);
    }
}

/* One large value must survive, whatever it does to the others. */
static void test_one_large_value(void **state)
{
    (void)state;
    struct mk_rng r = {3};
    for (int t = 0; t < MK_N_TYPES; t++) {
        if (!mk_quants[t].encode) continue;
        for (int sign = -1; sign <= 1; sign += 2) {
            float x[256], y[256];
            for (int i = 0; i < 256; i++) x[i] = 0.01f * (float)mk_rng_normal(&r);
            x[77] = 100 * (float)sign;
            round_trip(y, x, &mk_quants[t]);
            if (fabsf(y[77] - x[77]) > 5)
                fail_msg("%s: %g became %g", mk_quants[t].name, (double)x[77], (double)y[77]);
            for (int i = 0; i < 256; i++)
                if (i != 77) assert_true(fabsf(y[i]) < 5);
        }
    }
}

static void test_nan_becomes_zero(void **state)
{
    (void)state;
    struct mk_rng r = {4};
    for (int t = 0; t < MK_N_TYPES; t++) {
        if (!mk_quants[t].encode) continue;
        float x[256], zeroed[256];
        uint8_t b[MOST_BYTES], b0[MOST_BYTES];
        size_t n_bytes;
        assert_true(mk_type_bytes((enum mk_type)t, 256, &n_bytes));
        for (int i = 0; i < 256; i++) {
            x[i] = zeroed[i] = (float)mk_rng_normal(&r);
            if (i % 5 == 0) {
                x[i] = i % 2 ? NAN : -NAN;
                zeroed[i] = 0;
            }
        }
        mk_quants[t].encode(b, x, 256);
        mk_quants[t].encode(b0, zeroed, 256);
        assert_memory_equal(b, b0, n_bytes);
    }
}

static void test_infinity_becomes_the_largest(void **state)
{
    (void)state;
    static const struct {
        enum mk_type type;
        float most;
    } floats[] = {
        {MK_F32, FLT_MAX},         {MK_F64, FLT_MAX},      {MK_F16, 65504},
        {MK_F8_E4M3, 448},         {MK_BF16, 0x1.fep127f}, {MK_MXFP4, 0x1.8p126f},
        {MK_Q8_0, 65504 * 127.0f}, {MK_Q4_0, 65504 * 7},   {MK_Q6_K, 65504 * 127 * 31.0f}};
    for (size_t k = 0; k < sizeof floats / sizeof *floats; k++) {
        float x[256], y[256];
        for (int i = 0; i < 256; i++) x[i] = i % 2 ? -INFINITY : INFINITY;
        round_trip(y, x, &mk_quants[floats[k].type]);
        for (int i = 0; i < 256; i++) {
            assert_true(isfinite(y[i]));
            if (!(fabsf(y[i]) >= floats[k].most && (y[i] > 0) == (x[i] > 0)))
                fail_msg("%s: %g", mk_quants[floats[k].type].name, (double)y[i]);
        }
    }
}

/* Any bits at all: finite values out, the same bytes twice, nothing written beside. */
static void test_any_input(void **state)
{
    (void)state;
    struct mk_rng r = {5};
    for (int t = 0; t < MK_N_TYPES; t++) {
        const struct mk_quant *q = &mk_quants[t];
        size_t n_bytes = 0;
        assert_true(mk_type_bytes((enum mk_type)t, 256, &n_bytes));
        for (int round = 0; q->encode && round < 200; round++) {
            float x[256], y[256];
            uint8_t b[MOST_BYTES + 2], b2[MOST_BYTES];
            /* Exponents from a window of random width, then from all. */
            const uint32_t mask = round % 4 ? ~(0x3f800000u >> round % 4) : ~0u;
            for (int i = 0; i < 256; i++)
                x[i] = mk_bits_f32((uint32_t)mk_rng_u64(&r) & (round % 3 ? mask : 0x81ffffffu));
            b[0] = b[n_bytes + 1] = 0xa5;
            q->encode(b + 1, x, 256);
            q->encode(b2, x, 256);
            assert_memory_equal(b + 1, b2, n_bytes);
            assert_true(b[0] == 0xa5 && b[n_bytes + 1] == 0xa5);
            q->decode(y, b2, 256);
            for (int i = 0; i < 256; i++)
                if (!isfinite(y[i]))
                    fail_msg("%s: %g became %g", q->name, (double)x[i], (double)y[i]);
        }
    }
}

static double relative_error(const float x[256], const float y[256])
{
    double error = 0, size = 0;
    for (int i = 0; i < 256; i++) {
        error += pow((double)x[i] - (double)y[i], 2);
        size += pow((double)x[i], 2);
    }
    return sqrt(error / size);
}

/* Halves end at 2^-24, the other floats' own steps aside: values near it are still
 * seen, and those far below become small or 0, not large. */
static void test_small_values(void **state)
{
    (void)state;
    struct mk_rng r = {6};
    for (int t = 0; t < MK_N_TYPES; t++) {
        if (!mk_quants[t].encode) continue;
        const float step = t == MK_F8_E4M3 ? 0x1p-9f : 0x1p-24f;
        for (int power = -3; power >= -44; power--) {
            float x[256], y[256], most = 0;
            for (int i = 0; i < 256; i++) {
                x[i] = (float)(pow(10, power) * mk_rng_normal(&r));
                most = fmaxf(most, fabsf(x[i]));
            }
            round_trip(y, x, &mk_quants[t]);
            for (int i = 0; i < 256; i++)
                if (fabsf(y[i]) > 1.5f * most + step)
                    fail_msg("%s: %g became %g", mk_quants[t].name, (double)x[i], (double)y[i]);
            if (power >= -6 && t != MK_F8_E4M3 && relative_error(x, y) > 0.35)
                fail_msg("%s: error %g at 1e%d", mk_quants[t].name, relative_error(x, y), power);
        }
    }
}

/* 32 weights 150 times smaller than the rest of their block keep a scale of their own. */
static void test_faint_group(void **state)
{
    (void)state;
    static const enum mk_type types[] = {MK_Q4_K, MK_Q5_K, MK_Q6_K, MK_IQ4_XS};
    struct mk_rng r = {7};
    for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
        float x[256], y[256];
        for (int i = 0; i < 256; i++)
            x[i] = (float)mk_rng_normal(&r) * (i / 32 == 5 ? 0.02f : 3.0f);
        round_trip(y, x, &mk_quants[types[k]]);
        double error = 0, size = 0;
        for (int i = 160; i < 192; i++) {
            error += pow((double)x[i] - (double)y[i], 2);
            size += pow((double)x[i], 2);
        }
        if (error > 0.25 * size)
            fail_msg("%s: error %g", mk_quants[types[k]].name, sqrt(error / size));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_on_normal_values),
        cmocka_unit_test(test_zeros_stay_zeros),
        cmocka_unit_test(test_exact_values_come_back),
        cmocka_unit_test(test_one_large_value),
        cmocka_unit_test(test_nan_becomes_zero),
        cmocka_unit_test(test_infinity_becomes_the_largest),
        cmocka_unit_test(test_any_input),
        cmocka_unit_test(test_small_values),
        cmocka_unit_test(test_faint_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
