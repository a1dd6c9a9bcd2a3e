/* base: the pieces that everything trusts. */
#include "base/file.h"
#include "base/half.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"
#include "base/thread.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void errors_nest(void **state)
{
    (void)state;
    struct mk_err e = {0};
    assert_false(mk_fail(&e, MK_EFORMAT, "field %s is %d", "n", 3));
    assert_false(mk_fail_in(&e, "file %s", "x"));
    assert_string_equal(e.msg, "file x: field n is 3");
    assert_int_equal(e.code, MK_EFORMAT);
    assert_int_equal(mk_code_exit(e.code), 3);
    assert_false(mk_fail(NULL, MK_EIO, "nobody listens"));
}

/* Steps that take other sizes in another order each time: it settles at what one may need. */
static void arena_settles(void **state)
{
    (void)state;
    enum { N = 6, MOST = 8 << 20 };
    struct mk_arena a = {0};
    struct mk_rng rng = {.state = 1};
    const struct mk_arena_mark mark = mk_arena_mark(&a);
    for (int step = 0; step < 2000; step++) {
        for (int i = 0; i < N; i++) memset(mk_arena_take(&a, mk_rng_u64(&rng) % MOST), 1, 64);
        mk_arena_reset(&a, mark);
    }
    assert_true(a.held_bytes <= (size_t)N * MOST);
    assert_true(a.peak_bytes <= (size_t)2 * N * MOST);
    mk_arena_release(&a);
}

static void arena_marks(void **state)
{
    (void)state;
    struct mk_arena a = {0};
    char *first = mk_arena_take(&a, 10);
    const struct mk_arena_mark mark = mk_arena_mark(&a);
    char *big = mk_arena_take(&a, 1 << 20);
    memset(big, 1, 1 << 20);
    mk_arena_reset(&a, mark);
    const size_t peak = a.peak_bytes;
    for (int i = 0; i < 100; i++) { /* a steady state takes no new blocks */
        mk_arena_take(&a, 1 << 20);
        mk_arena_reset(&a, mark);
    }
    assert_int_equal(a.peak_bytes, peak);
    assert_int_equal((uintptr_t)mk_arena_take(&a, 1) % 64, 0);
    assert_non_null(first);
    assert_string_equal(mk_arena_printf(&a, "%d %s", 7, "x"), "7 x");
    mk_arena_release(&a);
}

static void checked_arithmetic(void **state)
{
    (void)state;
    size_t n = 5;
    assert_false(mk_mul(SIZE_MAX, 2, &n));
    assert_false(mk_add(SIZE_MAX, 1, &n));
    assert_true(mk_mul(6, 7, &n));
    assert_int_equal(n, 42);
}

static void utf8(void **state)
{
    (void)state;
    static const struct {
        const char *s;
        size_t n;
        int len;
    } cases[] = {
        {"a", 1, 1},
        {"\xc3\xa9", 2, 2},
        {"\xe2\x82\xac", 3, 3},
        {"\xf0\x9f\x90\x8b", 4, 4},
        {"\xc3", 1, -1},
        {"\xf0\x9f\x90", 3, -1},
        {"", 0, -1},
        {"\x80", 1, 0},         /* continuation alone */
        {"\xc0\x80", 2, 0},     /* overlong */
        {"\xe0\x80\x80", 3, 0}, /* overlong */
        {"\xed\xa0\x80", 3, 0}, /* surrogate */
        {"\xf4\x90\x80\x80", 4, 0},
        {"\xe2\x28\xa1", 3, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(mk_utf8_len(cases[i].s, cases[i].n), cases[i].len);
    struct mk_str s = {0};
    mk_str_add_utf8(&s, "a\xff\xe2\x82z", 5);
    assert_string_equal(s.data, "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz");
    mk_str_clear(&s);
    for (uint32_t cp = 1; cp < 0x110000; cp += 17) {
        if (cp >= 0xd800 && cp < 0xe000) continue;
        mk_str_clear(&s);
        mk_str_add_cp(&s, cp);
        assert_int_equal(mk_utf8_len(s.data, s.len), (int)s.len);
        assert_int_equal(mk_utf8_cp(s.data, (int)s.len), cp);
    }
    mk_str_release(&s);
}

static void halves(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x10000; h++) {
        const float f = mk_f16_f32((uint16_t)h), b = mk_bf16_f32((uint16_t)h);
        if (isnan(f))
            assert_true(isnan(mk_f16_f32(mk_f32_f16(f))));
        else
            assert_int_equal(mk_f32_f16(f), h);
        if (isnan(b))
            assert_true(isnan(mk_bf16_f32(mk_f32_bf16(b))));
        else
            assert_int_equal(mk_f32_bf16(b), h);
    }
    assert_true(mk_f16_f32(0x0001) == 0x1p-24f);
    assert_true(mk_f16_f32(0x7bff) == 65504.0f);
    assert_int_equal(mk_f32_f16(65519.9f), 0x7bff);
    assert_int_equal(mk_f32_f16(65520.0f), 0x7c00); /* halfway to the next: infinity */
    assert_int_equal(mk_f32_f16(0x1p-25f), 0);      /* halfway, ties to even */
    assert_int_equal(mk_f32_f16(0x1.8p-25f), 1);
    assert_int_equal(mk_f32_f16(1.0f + 0x1p-11f), 0x3c00);
    assert_int_equal(mk_f32_f16(1.0f + 0x1.8p-10f), 0x3c02);
}

struct cover {
    unsigned char *hits;
    size_t n;
};
static void mark(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    const struct cover *c = arg;
    for (size_t i = first; i < last; i++) __atomic_add_fetch(&c->hits[i], 1, __ATOMIC_RELAXED);
}

static void pool_covers(void **state)
{
    (void)state;
    for (unsigned n_threads = 1; n_threads <= 7; n_threads += 2) {
        struct mk_pool *p = mk_pool_new(n_threads);
        for (size_t n = 0; n < 300; n = n * 2 + 1)
            for (size_t grain = 1; grain < 40; grain *= 3)
                for (int again = 0; again < 20; again++) {
                    struct cover c = {mk_calloc(n + 1, 1), n};
                    mk_pool_run(p, n, grain, mark, &c);
                    for (size_t i = 0; i < n; i++) assert_int_equal(c.hits[i], 1);
                    free(c.hits);
                }
        usleep(30000); /* workers fall asleep */
        struct cover c = {mk_calloc(64, 1), 64};
        mk_pool_run(p, 64, 1, mark, &c);
        for (size_t i = 0; i < 64; i++) assert_int_equal(c.hits[i], 1);
        free(c.hits);
        mk_pool_free(p);
    }
}

static void files_appear_whole(void **state)
{
    (void)state;
    struct mk_err err;
    char dir[] = "/tmp/mk-base-XXXXXX";
    assert_non_null(mkdtemp(dir));
    struct mk_str path = {0}, back = {0};
    mk_str_addf(&path, "%s/a/b", dir);
    assert_true(mk_mkdirs(path.data, 0700, &err));
    mk_str_add(&path, "/f");
    struct mk_out o;
    assert_true(mk_out_open(&o, path.data, &err));
    assert_true(mk_out_write(&o, "hello", 5, &err));
    assert_true(mk_out_pad(&o, 64, &err));
    assert_int_equal(o.pos, 64);
    assert_false(mk_file_exists(path.data));
    assert_true(mk_out_close(&o, &err));
    struct mk_map m;
    assert_true(mk_map_open(&m, path.data, &err));
    assert_int_equal(m.size, 64);
    assert_memory_equal(m.data, "hello\0\0", 7);
    mk_map_close(&m);
    assert_false(mk_file_read(&back, path.data, 63, &err));
    assert_int_equal(err.code, MK_ELIMIT);
    assert_true(mk_file_read(&back, path.data, 64, &err));
    mk_str_release(&back);
    assert_false(mk_map_open(&m, dir, &err)); /* a folder is no file */
    assert_true(mk_out_open(&o, path.data, &err));
    mk_out_abandon(&o);
    assert_true(mk_file_exists(path.data)); /* the old one is still there */
    unlink(path.data);
    for (int i = 0; i < 3; i++) {
        *strrchr(path.data, '/') = '\0';
        assert_int_equal(rmdir(path.data), 0);
    }
    mk_str_release(&path);
}

static void blobs_are_files(void **state)
{
    (void)state;
    static const struct mk_blob list[] = {{"inside:a", (const uint8_t *)"alpha", 5},
                                          {"inside:empty", (const uint8_t *)"", 0}};
    struct mk_err err;
    struct mk_map m;
    struct mk_str back = {0};
    assert_false(mk_file_exists("inside:a"));
    mk_blobs_set(list, 2);
    assert_true(mk_file_exists("inside:a"));
    assert_false(mk_file_exists("inside:b"));
    assert_false(mk_is_dir("inside:a"));
    for (int i = 0; i < 2; i++) { /* closing leaves the bytes where they are */
        assert_true(mk_map_open(&m, "inside:a", &err));
        assert_ptr_equal(m.data, list[0].data);
        assert_int_equal(m.size, 5);
        mk_map_close(&m);
        assert_null(m.data);
    }
    assert_true(mk_file_read(&back, "inside:a", 5, &err));
    assert_string_equal(mk_str_c(&back), "alpha");
    mk_str_release(&back);
    assert_false(mk_file_read_regular(&back, "inside:a", 4, &err));
    assert_int_equal(err.code, MK_ELIMIT);
    assert_true(mk_file_read_regular(&back, "inside:empty", 4, &err));
    assert_int_equal(back.len, 0);
    mk_str_release(&back);
    assert_false(mk_map_open(&m, "inside:b", &err));
    mk_blobs_set(NULL, 0);
    assert_false(mk_map_open(&m, "inside:a", &err));
}

/* Opening a pipe that nobody writes to would wait for ever; replacing one would destroy it. */
static void pipes_are_no_files(void **state)
{
    (void)state;
    struct mk_err err;
    struct mk_map m;
    struct mk_out o;
    struct mk_str path = {0}, back = {0};
    char dir[] = "/tmp/mk-base-XXXXXX";
    assert_non_null(mkdtemp(dir));
    mk_str_addf(&path, "%s/pipe", dir);
    assert_int_equal(mkfifo(path.data, 0600), 0);
    assert_false(mk_map_open(&m, path.data, &err));
    assert_int_equal(err.code, MK_EFORMAT);
    assert_non_null(strstr(err.msg, path.data));
    assert_false(mk_file_read_regular(&back, path.data, 100, &err));
    assert_int_equal(err.code, MK_EFORMAT);
    assert_false(mk_out_open(&o, path.data, &err));
    assert_int_equal(err.code, MK_EUSAGE);
    assert_int_equal(unlink(path.data), 0);
    assert_int_equal(rmdir(dir), 0); /* nothing else is left in it */
    mk_str_release(&path);
}

static void a_signal_removes_what_is_unfinished(void **state)
{
    (void)state;
    struct mk_err err;
    struct mk_out done, open;
    struct mk_str path = {0};
    char dir[] = "/tmp/mk-base-XXXXXX";
    assert_non_null(mkdtemp(dir));
    mk_str_addf(&path, "%s/done", dir);
    assert_true(mk_out_open(&done, path.data, &err));
    assert_true(mk_out_close(&done, &err));
    mk_str_add(&path, "2");
    assert_true(mk_out_open(&open, path.data, &err));
    char *temp = open.temp;
    assert_true(mk_file_exists(temp));
    mk_out_remove_all();
    assert_false(mk_file_exists(temp));
    mk_out_abandon(&open);
    free(temp); /* it was no longer the writer's */
    path.data[path.len - 1] = '\0';
    assert_int_equal(unlink(path.data), 0); /* the finished one is still there */
    assert_int_equal(rmdir(dir), 0);
    mk_str_release(&path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_nest),
        cmocka_unit_test(arena_marks),
        cmocka_unit_test(arena_settles),
        cmocka_unit_test(checked_arithmetic),
        cmocka_unit_test(utf8),
        cmocka_unit_test(halves),
        cmocka_unit_test(pool_covers),
        cmocka_unit_test(files_appear_whole),
        cmocka_unit_test(blobs_are_files),
        cmocka_unit_test(pipes_are_no_files),
        cmocka_unit_test(a_signal_removes_what_is_unfinished),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
