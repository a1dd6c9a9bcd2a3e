/* Normalisation against utf8proc's own, which is right but slow on long runs of marks. */
#include "helpers.h"

#include "base/rng.h"
#include "token/int_token.h"

#include <utf8proc.h>

static void check(const char *s, size_t n)
{
    struct mk_str got = {0};
    utf8proc_uint8_t *want = NULL;
    const utf8proc_ssize_t len = utf8proc_map((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)n,
                                              &want, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    assert_true(len >= 0);
    mk_nfc(&got, s, n);
    assert_int_equal(got.len, len);
    assert_memory_equal(mk_str_c(&got), want, got.len);
    if (mk_nfc_is_plain(s, n)) {
        assert_int_equal(got.len, n);
        assert_memory_equal(mk_str_c(&got), s, n);
    }
    free(want);
    mk_str_release(&got);
}

static uint32_t random_cp(struct mk_rng *r)
{
    static const struct {
        uint32_t from, n;
    } kinds[] = {{0x20, 0x60},    {0xc0, 0x140},   {0x300, 0x70},   {0x370, 0x90},
                 {0x400, 0x100},  {0x5b0, 0x20},   {0x930, 0x30},   {0x1100, 0x100},
                 {0x1e00, 0x200}, {0x2000, 0x40},  {0x2120, 0x10},  {0x3040, 0xc0},
                 {0xac00, 0x100}, {0xf900, 0x200}, {0x1d150, 0x80}, {0x1f300, 0x100}};
    const size_t k = mk_rng_u64(r) % (sizeof kinds / sizeof *kinds);
    return kinds[k].from + (uint32_t)(mk_rng_u64(r) % kinds[k].n);
}

static void test_random(void **state)
{
    (void)state;
    struct mk_rng r = {7};
    for (int i = 0; i < 20000; i++) {
        struct mk_str s = {0};
        for (uint64_t n = mk_rng_u64(&r) % 12 + 1; n; n--) mk_str_add_cp(&s, random_cp(&r));
        check(s.data, s.len);
        mk_str_release(&s);
    }
}

/* Every character, alone and between characters that it may combine with. */
static void test_each(void **state)
{
    (void)state;
    for (uint32_t cp = 1; cp < 0x30000; cp++) {
        if (cp >= 0xd800 && cp < 0xe000) continue;
        struct mk_str s = {0};
        mk_str_add_cp(&s, cp);
        check(s.data, s.len);
        mk_str_add(&s, "e");
        mk_str_add_cp(&s, cp);
        mk_str_add(&s, "\u0301\u1100");
        mk_str_add_cp(&s, cp);
        mk_str_add(&s, "\uac00");
        mk_str_add_cp(&s, cp);
        check(s.data, s.len);
        mk_str_release(&s);
    }
}

static void test_known(void **state)
{
    (void)state;
    struct mk_str s = {0};
    mk_nfc(&s, "e\u0301 \u212b \u1100\u1161\u11a8", 17);
    assert_string_equal(s.data, "\u00e9 \u00c5 \uac01");
    mk_str_release(&s);
    assert_true(mk_nfc_is_plain("plain \u00e9 \u4e2d", 12));
    assert_false(mk_nfc_is_plain("e\u0301", 3));
}

/* 200,000 marks: those below the letter come first. */
static void test_long_run(void **state)
{
    (void)state;
    enum { N = 100000 };
    struct mk_str s = {0}, want = {0}, got = {0};
    mk_str_add(&s, "x");
    mk_str_add(&want, "x");
    for (int i = 0; i < N; i++) mk_str_add(&s, "\u0301\u0323");
    for (int i = 0; i < N; i++) mk_str_add(&want, "\u0323");
    for (int i = 0; i < N; i++) mk_str_add(&want, "\u0301");
    mk_nfc(&got, s.data, s.len);
    assert_int_equal(got.len, want.len);
    assert_memory_equal(got.data, want.data, want.len);
    mk_str_release(&s);
    mk_str_release(&want);
    mk_str_release(&got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_each),
        cmocka_unit_test(test_long_run),
    };
    return cmocka_run_group_tests_name("token/nfc", tests, NULL, NULL);
}
