/* The table of types and its look-ups. */
#include "quant/quant.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void test_lookups_find_every_type(void **state)
{
    (void)state;
    for (int t = 0; t < MK_N_TYPES; t++) {
        const struct mk_quant *q = &mk_quants[t];
        assert_int_equal(mk_type_of_name(q->name), t);
        if (q->ggml >= 0) assert_int_equal(mk_type_of_ggml((uint32_t)q->ggml), t);
        if (q->safetensors) assert_int_equal(mk_type_of_safetensors(q->safetensors), t);
    }
    assert_int_equal(mk_type_of_name("Q4_K"), MK_Q4_K);
    assert_int_equal(mk_type_of_name("f8_E4m3"), MK_F8_E4M3);
}

static void test_lookups_refuse_the_rest(void **state)
{
    (void)state;
    assert_int_equal(mk_type_of_name(""), -1);
    assert_int_equal(mk_type_of_name("q4_"), -1);
    assert_int_equal(mk_type_of_name("q4_kk"), -1);
    assert_int_equal(mk_type_of_ggml(4), -1); /* a type that ggml dropped */
    assert_int_equal(mk_type_of_ggml(UINT32_MAX), -1);
    assert_int_equal(mk_type_of_safetensors("f32"), -1);
    assert_int_equal(mk_type_of_safetensors("BOOL"), -1);
}

static void test_the_kind_says_which_functions_exist(void **state)
{
    (void)state;
    for (int t = 0; t < MK_N_TYPES; t++) {
        const struct mk_quant *q = &mk_quants[t];
        const bool has_floats = q->kind != MK_PLAIN || t == MK_F64;
        assert_int_equal(q->decode != NULL, has_floats);
        assert_int_equal(q->encode != NULL, has_floats);
        assert_int_equal(q->codes != NULL, q->kind == MK_S32 || q->kind == MK_S256);
        assert_int_equal(q->block_len, q->kind == MK_S32 ? 32 : q->kind == MK_S256 ? 256 : 1);
        assert_int_equal(q->sub != 0, q->kind == MK_S32 || q->kind == MK_S256);
    }
}

static void test_bytes(void **state)
{
    (void)state;
    size_t n = 7;
    assert_true(mk_type_bytes(MK_Q4_K, 512, &n));
    assert_int_equal(n, 288);
    assert_true(mk_type_bytes(MK_MXFP4, 0, &n));
    assert_int_equal(n, 0);
    assert_true(mk_type_bytes(MK_U8, SIZE_MAX, &n));
    assert_true(n == SIZE_MAX);
}

static void test_bytes_refuses_parts_of_blocks_and_overflow(void **state)
{
    (void)state;
    size_t n = 7;
    assert_false(mk_type_bytes(MK_Q4_K, 300, &n));
    assert_false(mk_type_bytes(MK_Q8_0, 31, &n));
    assert_false(mk_type_bytes(MK_F32, SIZE_MAX / 4 + 1, &n));
    assert_false(mk_type_bytes(MK_F64, SIZE_MAX, &n));
    assert_false(mk_type_bytes(MK_Q8_0, SIZE_MAX - 31, &n));
    assert_int_equal(n, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lookups_find_every_type),
        cmocka_unit_test(test_lookups_refuse_the_rest),
        cmocka_unit_test(test_the_kind_says_which_functions_exist),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_bytes_refuses_parts_of_blocks_and_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
