/* Folders that appear whole or not at all, and locks. */
#include "base/file.h"
#include "base/folder.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static int set_up(void **state)
{
    static char dir[40];
    strcpy(dir, "/tmp/mk-folder-XXXXXX");
    *state = dir;
    return mkdtemp(dir) && chdir(dir) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    return chdir("/") == 0 && mk_folder_remove(*state, NULL) && !mk_is_dir(*state) ? 0 : -1;
}

static void write_text(const char *path, const char *text)
{
    struct mk_err err;
    if (!mk_file_write(path, text, strlen(text), &err)) fail_msg("%s", err.msg);
}

static void check_text(const char *path, const char *want)
{
    struct mk_str s = {0};
    struct mk_err err;
    if (!mk_file_read(&s, path, 100, &err)) fail_msg("%s", err.msg);
    assert_string_equal(s.data, want);
    mk_str_release(&s);
}

static size_t count(const char *path)
{
    struct mk_folder_list l;
    assert_true(mk_folder_list(&l, path, NULL));
    const size_t n = l.n;
    mk_folder_list_release(&l);
    return n;
}

static void lists_in_order(void **state)
{
    (void)state;
    struct mk_folder_list l = {0};
    struct mk_err err;
    mk_folder_list_release(&l);
    for (char name[] = "z"; *name >= 'a'; --*name) write_text(name, "x");
    assert_int_equal(mkdir(".hidden", 0777), 0);
    assert_true(mk_folder_list(&l, ".", &err));
    assert_int_equal(l.n, 27);
    assert_string_equal(l.v[0], ".hidden");
    assert_string_equal(l.v[1], "a");
    assert_string_equal(l.v[26], "z");
    mk_folder_list_release(&l);
    assert_false(mk_folder_list(&l, "nowhere", &err));
    assert_int_equal(err.code, MK_EIO);
}

static void removes_links_not_what_they_name(void **state)
{
    (void)state;
    struct mk_err err;
    assert_true(mk_mkdirs("a/b/c", 0777, &err));
    assert_true(mk_mkdirs("kept", 0777, &err));
    write_text("kept/file", "x");
    write_text("a/b/file", "x");
    assert_int_equal(symlink("../../kept", "a/b/link"), 0);
    assert_true(mk_folder_remove("a", &err));
    assert_false(mk_is_dir("a"));
    check_text("kept/file", "x");
    assert_true(mk_folder_remove("nowhere", &err));
}

static void appears_whole(void **state)
{
    (void)state;
    struct mk_folder_out o;
    struct mk_err err;
    assert_true(mk_mkdirs("p/.name.tmp/left/over", 0777, &err)); /* by a process that was killed */
    if (!mk_folder_out_open(&o, "p/name", &err)) fail_msg("%s", err.msg);
    assert_int_equal(count(o.temp), 0);
    write_text("p/.name.tmp/f", "one");
    assert_false(mk_folder_exists("p/name"));
    assert_true(mk_folder_out_close(&o, &err));
    check_text("p/name/f", "one");
    assert_int_equal(count("p"), 1);
    assert_true(mk_folder_out_open(&o, "p/name", &err));
    write_text("p/.name.tmp/f", "two");
    mk_folder_out_abandon(&o);
    mk_folder_out_abandon(&o);
    check_text("p/name/f", "one");
    assert_int_equal(count("p"), 1);
    assert_true(mk_folder_out_open(&o, "p/name", &err)); /* replaces */
    write_text("p/.name.tmp/g", "three");
    assert_true(mk_folder_out_close(&o, &err));
    check_text("p/name/g", "three");
    assert_int_equal(count("p/name"), 1);
    assert_int_equal(count("p"), 1);
    assert_false(mk_folder_out_open(&o, "nowhere/name", &err));
    assert_non_null(strstr(err.msg, "nowhere/.name.tmp"));
}

/* A kill between the two renames of a replacement, seen by the next reader or writer. */
static void comes_back_after_half_a_replacement(void **state)
{
    (void)state;
    struct mk_folder_out o;
    struct mk_err err;
    for (int writer = 0; writer < 2; writer++) {
        assert_true(mk_mkdirs(".name.old", 0777, &err));
        write_text(".name.old/f", "old");
        assert_true(mk_mkdirs(".name.tmp", 0777, &err));
        if (writer) {
            assert_true(mk_folder_out_open(&o, "name", &err));
            mk_folder_out_abandon(&o);
        } else {
            assert_true(mk_folder_exists("name"));
        }
        check_text("name/f", "old");
        assert_true(mk_folder_remove("name", &err));
        assert_true(mk_folder_remove(".name.tmp", &err));
        assert_int_equal(count("."), 0);
    }
    /* A file has the name: it is not replaced. */
    write_text("name", "file");
    assert_true(mk_folder_out_open(&o, "name", &err));
    assert_false(mk_folder_out_close(&o, &err));
    assert_int_equal(err.code, MK_EIO);
    check_text("name", "file");
    assert_int_equal(count("."), 1);
}

static void one_process_holds_a_lock(void **state)
{
    (void)state;
    struct mk_lock a = {0}, b = {0};
    struct mk_err err;
    char want[80];
    mk_lock_release(&a);
    if (!mk_lock_take(&a, "lock", "it", &err)) fail_msg("%s", err.msg);
    const pid_t pid = fork();
    if (pid == 0) _exit(mk_lock_take(&b, "lock", "it", &err) || err.code != MK_EBUSY);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_false(mk_lock_take(&b, "lock", "it", &err));
    assert_int_equal(err.code, MK_EBUSY);
    snprintf(want, sizeof want, "it is in use by process %ld", (long)getpid());
    assert_string_equal(err.msg, want);
    mk_lock_release(&a);
    /* Whoever dies gives it back. */
    int p[2];
    char c;
    assert_int_equal(pipe(p), 0);
    const pid_t holder = fork();
    if (holder == 0) {
        if (!mk_lock_take(&b, "lock", "it", &err) || write(p[1], "x", 1) != 1) _exit(1);
        for (;;) pause();
    }
    assert_int_equal(read(p[0], &c, 1), 1);
    assert_false(mk_lock_take(&a, "lock", "it", &err));
    snprintf(want, sizeof want, "it is in use by process %ld", (long)holder);
    assert_string_equal(err.msg, want);
    kill(holder, SIGKILL);
    assert_int_equal(waitpid(holder, &status, 0), holder);
    assert_true(mk_lock_take(&a, "lock", "it", &err));
    mk_lock_release(&a);
    close(p[0]);
    close(p[1]);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lists_in_order),
        TEST(removes_links_not_what_they_name),
        TEST(appears_whole),
        TEST(comes_back_after_half_a_replacement),
        TEST(one_process_holds_a_lock),
    };
    return cmocka_run_group_tests_name("folder", tests, NULL, NULL);
}
