#ifndef MK_TESTS_FORMATS_HELPERS_H
#define MK_TESTS_FORMATS_HELPERS_H
/* A folder that lives as long as one test, and checks that print what they saw. */
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { MAX_PATH = 512 };

static inline int temp_setup(void **state)
{
    const char *base = getenv("TMPDIR");
    struct mk_str s = {0};
    mk_str_addf(&s, "%s/mk-formats-XXXXXX", base && *base ? base : "/tmp");
    *state = mk_str_take(&s);
    return mkdtemp(*state) ? 0 : -1;
}

static inline int temp_teardown(void **state)
{
    char *dir = *state;
    DIR *d = opendir(dir);
    if (!d) return -1;
    for (const struct dirent *e; (e = readdir(d));) {
        char path[MAX_PATH];
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (e->d_name[0] != '.') unlink(path);
    }
    closedir(d);
    const int rc = rmdir(dir);
    free(dir);
    return rc;
}

static inline const char *in_dir(char *buf, void *const *state, const char *name)
{
    snprintf(buf, MAX_PATH, "%s/%s", (const char *)*state, name);
    return buf;
}

static inline void put_file(const char *path, const void *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* A copy in memory of exactly its size, so that a sanitizer sees one byte too many. */
static inline struct mk_map load_exact(const char *path)
{
    struct mk_map m;
    struct mk_err err;
    if (!mk_map_open(&m, path, &err)) fail_msg("%s", err.msg);
    uint8_t *copy = malloc(m.size ? m.size : 1);
    assert_non_null(copy);
    memcpy(copy, m.data, m.size);
    const struct mk_map out = {copy, m.size};
    mk_map_close(&m);
    return out;
}

static inline void check_message(const struct mk_err *err, enum mk_code code, const char *fragment)
{
    if (err->code != code || !strstr(err->msg, fragment))
        fail_msg("want %d \"%s\", got %d \"%s\"", code, fragment, err->code, err->msg);
    for (const char *p = err->msg; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            fail_msg("control character in \"%s\"", err->msg);
}

#define CHECK_OK(call, err)                                \
    do {                                                   \
        if (!(call)) fail_msg("%s: %s", #call, (err).msg); \
    } while (0)
#endif
