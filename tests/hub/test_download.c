/* What happens to a part when a download stops before the network is reached. */
#include "hub/int_hub.h"

#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define HASH "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" /* of "abc" */

static int set_up(void **state)
{
    static char dir[40];
    strcpy(dir, "/tmp/mk-download-XXXXXX");
    *state = dir;
    return mkdtemp(dir) && chdir(dir) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    return chdir("/") == 0 && mk_folder_remove(*state, NULL) ? 0 : -1;
}

static bool stop(void) { return true; }

/* Nothing listens at the address. */
static bool download(bool (*is_stopped)(void), struct mk_err *err)
{
    static char name[] = "x.gguf", url[] = "http://127.0.0.1:1/x.gguf";
    const struct mk_hub_options o = {.endpoint = "http://127.0.0.1:1", .is_stopped = is_stopped};
    const struct mk_repo_file f = {.name = name, .url = url, .size = 3, .sha256 = HASH};
    struct mk_http h;
    if (!mk_http_open(&h, &o, err)) fail_msg("%s", err->msg);
    struct mk_pull p = {.h = &h, .total = 3};
    const bool ok = mk_download(&p, &f, "x.gguf", err);
    mk_http_close(&h);
    return ok;
}

static void leave(const char *bytes, const char *hash)
{
    struct mk_str note = {0};
    mk_str_addf(&note, "{\"url\":\"u\",\"etag\":\"\",\"sha256\":\"%s\"}", hash);
    assert_true(mk_file_write("x.gguf.part", bytes, strlen(bytes), NULL));
    assert_true(mk_file_write("x.gguf.part.json", note.data, note.len, NULL));
    mk_str_release(&note);
}

static bool is_left(const char *bytes)
{
    struct mk_str s = {0};
    const bool is_same = mk_file_read_regular(&s, "x.gguf.part", 100, NULL) &&
                         !strcmp(mk_str_c(&s), bytes) && mk_file_exists("x.gguf.part.json");
    mk_str_release(&s);
    return is_same;
}

static void a_stop_keeps_the_part(void **state)
{
    struct mk_err err;
    (void)state;
    leave("ab", HASH);
    assert_false(download(stop, &err)); /* while the part is hashed */
    assert_int_equal(err.code, MK_ECANCELED);
    assert_true(is_left("ab"));
    assert_false(download(NULL, &err));
    assert_int_equal(err.code, MK_EIO);
    assert_true(is_left("ab"));
}

static void a_whole_part_needs_no_network(void **state)
{
    struct mk_err err;
    (void)state;
    leave("abc", HASH);
    if (!download(NULL, &err)) fail_msg("%s", err.msg);
    assert_true(mk_file_exists("x.gguf"));
    assert_false(mk_file_exists("x.gguf.part"));
    assert_false(mk_file_exists("x.gguf.part.json"));
}

static void bad_parts_go(void **state)
{
    struct mk_err err;
    (void)state;
    leave("abd", HASH);
    assert_false(download(NULL, &err));
    assert_int_equal(err.code, MK_EFORMAT);
    assert_non_null(strstr(err.msg, "pull again"));
    assert_false(mk_file_exists("x.gguf") || mk_file_exists("x.gguf.part") ||
                 mk_file_exists("x.gguf.part.json"));
    leave("abc", "of another file");
    assert_false(download(NULL, &err));
    assert_int_equal(err.code, MK_EIO); /* it asked for all of it */
    assert_false(mk_file_exists("x.gguf") || mk_file_exists("x.gguf.part"));
}

static void links_are_not_written_to(void **state)
{
    struct mk_err err;
    (void)state;
    assert_true(mk_file_write("other", "x", 1, NULL));
    assert_int_equal(symlink("other", "x.gguf.part"), 0);
    assert_false(download(NULL, &err));
    struct mk_str s = {0};
    assert_true(mk_file_read_regular(&s, "other", 100, NULL));
    assert_string_equal(mk_str_c(&s), "x");
    mk_str_release(&s);
}

static void room(void **state)
{
    struct mk_err err;
    (void)state;
    assert_true(mk_has_room(".", 0, &err));
    assert_false(mk_has_room(".", (uint64_t)1 << 62, &err));
    assert_non_null(strstr(err.msg, "are needed"));
}

static void bad_endpoints(void **state)
{
    static const char *const bad[] = {"", "huggingface", "ftp://example.org", "http://example.org",
                                      "https://me:secret@example.org"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const struct mk_hub_options o = {.endpoint = bad[i]};
        struct mk_http h;
        struct mk_err err;
        if (mk_http_open(&h, &o, &err)) fail_msg("\"%s\" is taken", bad[i]);
        assert_int_equal(err.code, MK_EUSAGE);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_stop_keeps_the_part),
        TEST(a_whole_part_needs_no_network),
        TEST(bad_parts_go),
        TEST(links_are_not_written_to),
        TEST(room),
        TEST(bad_endpoints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
