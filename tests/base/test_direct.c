/* Reading past the page cache, mappings that become memory, how much memory there is. */
#include "base/direct.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/resident.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { N = 3 * MK_DIRECT_PAGE + 777 };

static uint8_t byte_at(size_t i) { return (uint8_t)(i * 7 + i / 251); }

struct fixture {
    char path[64];
    uint8_t *buf;
    struct mk_direct d;
};

/* In a folder of a disk, or of memory: there direct reading may be refused. */
static void make(struct fixture *f, const char *folder)
{
    uint8_t bytes[N];
    struct mk_err err;
    for (size_t i = 0; i < N; i++) bytes[i] = byte_at(i);
    snprintf(f->path, sizeof f->path, "%s/mk-direct-XXXXXX", folder);
    const int fd = mkstemp(f->path);
    assert_true(fd >= 0 && write(fd, bytes, N) == N);
    close(fd);
    assert_int_equal(posix_memalign((void **)&f->buf, MK_DIRECT_PAGE, 2 * N), 0);
    if (!mk_direct_open(&f->d, f->path, &err)) fail_msg("%s", err.msg);
    assert_int_equal(f->d.size, N);
}

static void drop(struct fixture *f)
{
    mk_direct_close(&f->d);
    mk_direct_close(&f->d); /* closed is fine */
    unlink(f->path);
    free(f->buf);
}

static void check_reads(const char *folder)
{
    static const size_t places[][2] = {
        {0, 1},       {0, N}, {N - 1, 1}, {MK_DIRECT_PAGE - 1, 2}, {MK_DIRECT_PAGE, MK_DIRECT_PAGE},
        {5000, 6000}, {N, 0}};
    struct fixture f;
    struct mk_err err;
    make(&f, folder);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const size_t at = places[i][0], n = places[i][1];
        memset(f.buf, 0, 2 * N);
        if (!mk_direct_read(&f.d, f.buf, at, n, &err)) fail_msg("%s", err.msg);
        for (size_t j = 0; j < n; j++)
            assert_int_equal(f.buf[at % MK_DIRECT_PAGE + j], byte_at(at + j));
    }
    assert_false(mk_direct_read(&f.d, f.buf, N - 1, 2, &err));
    assert_int_equal(err.code, MK_EIO);
    assert_false(mk_direct_read(&f.d, f.buf, SIZE_MAX, 2, &err));
    drop(&f);
}

static void reads_any_place(void **state)
{
    (void)state;
    check_reads("/tmp");
    if (mk_is_dir("/dev/shm")) check_reads("/dev/shm");
}

static void sees_changes(void **state)
{
    (void)state;
    struct fixture f;
    struct mk_err err;
    make(&f, "/tmp");
    assert_int_equal(truncate(f.path, MK_DIRECT_PAGE), 0);
    assert_false(mk_direct_read(&f.d, f.buf, 2 * MK_DIRECT_PAGE, 10, &err));
    assert_int_equal(err.code, MK_EIO);
    assert_non_null(strstr(err.msg, "has changed since it was opened"));
    assert_non_null(strstr(err.msg, f.path));
    assert_false(mk_direct_read(&f.d, f.buf, 0, 10, &err)); /* what is still there, too */
    drop(&f);
    make(&f, "/tmp"); /* the same size, other bytes */
    usleep(20000);
    const int fd = open(f.path, O_WRONLY);
    assert_int_equal(pwrite(fd, "x", 1, 0), 1);
    close(fd);
    assert_false(mk_direct_read(&f.d, f.buf, 0, 10, &err));
    drop(&f);
    make(&f, "/tmp"); /* what the system refuses */
    close(f.d.fd);
    f.d.fd = open(f.path, O_WRONLY);
    assert_false(mk_direct_read(&f.d, f.buf, 0, 10, &err));
    assert_int_equal(err.code, MK_EIO);
    drop(&f);
}

static void refuses_what_is_no_file(void **state)
{
    (void)state;
    struct mk_direct d;
    struct mk_err err;
    assert_false(mk_direct_open(&d, "/tmp", &err));
    assert_int_equal(err.code, MK_EFORMAT);
    assert_false(mk_direct_open(&d, "/nowhere/at/all", &err));
    assert_int_equal(err.code, MK_EIO);
}

static void reads_parts_of_the_program(void **state)
{
    (void)state;
    static const struct mk_blob blob = {"inside", (const uint8_t *)"0123456789", 10};
    _Alignas(MK_DIRECT_PAGE) uint8_t buf[MK_DIRECT_PAGE];
    struct mk_direct d;
    struct mk_err err;
    mk_blobs_set(&blob, 1);
    assert_true(mk_direct_open(&d, "inside", &err));
    assert_true(mk_direct_read(&d, buf, 3, 4, &err));
    assert_memory_equal(buf + 3, "3456", 4);
    assert_false(mk_direct_read(&d, buf, 8, 4, &err));
    mk_direct_close(&d);
    mk_blobs_set(NULL, 0);
}

static void detaches(void **state)
{
    (void)state;
    struct fixture f;
    struct mk_map m;
    struct mk_err err;
    make(&f, "/tmp");
    assert_true(mk_map_open(&m, f.path, &err));
    assert_int_equal(m.data[5000], byte_at(5000));
    assert_true(mk_map_detach(&m, &err));
    assert_int_equal(truncate(f.path, 0), 0); /* nobody minds */
    assert_int_equal(m.data[5000], 0);
    ((uint8_t *)(uintptr_t)m.data)[5000] = 9;
    assert_int_equal(m.data[5000], 9);
    mk_map_close(&m);
    drop(&f);
}

static void knows_its_memory(void **state)
{
    (void)state;
    enum { MORE = 64 << 20 };
    struct mk_err err;
    void *p;
    const size_t before = mk_resident_bytes();
    assert_true(before > 0 && mk_memory_available() > 0);
    assert_true(mk_reserve(&p, MORE, &err));
    memset(p, 1, MORE);
    assert_true(mk_resident_bytes() > before + MORE / 2);
    mk_unreserve(p, MORE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_any_place),
        cmocka_unit_test(sees_changes),
        cmocka_unit_test(refuses_what_is_no_file),
        cmocka_unit_test(reads_parts_of_the_program),
        cmocka_unit_test(detaches),
        cmocka_unit_test(knows_its_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
