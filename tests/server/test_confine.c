/* Each check is made in a child process, which cannot get out again. */
#include "server/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { UNSUPPORTED = 255 }; /* others are lines of this file */

static char folder[] = "/tmp/minke-confine-XXXXXX";

static void in_child(int (*work)(void))
{
    fflush(NULL);
    const pid_t pid = fork();
    if (pid == 0) _exit(work());
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == UNSUPPORTED) {
        print_message("skip: this kernel cannot\n");
        return;
    }
    if (WEXITSTATUS(status)) fail_msg("line %d", WEXITSTATUS(status));
}
#define CHECK(x)                   \
    do                             \
        if (!(x)) return __LINE__; \
    while (0)

static int bind_at(const char *name)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "%s/%s", folder, name);
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    const int rc = bind(fd, (struct sockaddr *)&a, sizeof a);
    close(fd);
    return rc;
}

static int files(void)
{
    struct mk_err err;
    char path[64];
    if (!mk_confine_files(NULL, NULL, &err)) return err.code == MK_EUNSUPPORTED ? UNSUPPORTED : 1;
    snprintf(path, sizeof path, "%s/old", folder);
    CHECK(open(path, O_RDONLY) >= 0);
    CHECK(open(path, O_WRONLY) < 0 && errno == EACCES);
    CHECK(unlink(path) < 0 && errno == EACCES);
    snprintf(path, sizeof path, "%s/new", folder);
    CHECK(open(path, O_WRONLY | O_CREAT, 0600) < 0 && errno == EACCES);
    CHECK(mkdir(path, 0700) < 0 && errno == EACCES);
    CHECK(bind_at("socket") < 0 && errno == EACCES);
    char *const argv[] = {NULL};
    CHECK(execve("/bin/true", argv, argv) < 0 && errno == EACCES);
    return 0;
}

static int sockets(void)
{
    struct mk_err err;
    char path[64];
    if (!mk_confine_files(folder, NULL, &err)) return err.code == MK_EUNSUPPORTED ? UNSUPPORTED : 1;
    CHECK(bind_at("socket") == 0);
    snprintf(path, sizeof path, "%s/socket", folder);
    CHECK(unlink(path) == 0);
    snprintf(path, sizeof path, "%s/new", folder);
    CHECK(open(path, O_WRONLY | O_CREAT, 0600) < 0 && errno == EACCES);
    return 0;
}

static int cache(void)
{
    struct mk_err err;
    char path[64], other[64];
    if (!mk_confine_files(NULL, folder, &err)) return err.code == MK_EUNSUPPORTED ? UNSUPPORTED : 1;
    snprintf(path, sizeof path, "%s/new", folder);
    snprintf(other, sizeof other, "%s/newer", folder);
    CHECK(open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600) >= 0);
    CHECK(rename(path, other) == 0);
    CHECK(unlink(other) == 0);
    CHECK(bind_at("socket") < 0 && errno == EACCES);
    CHECK(open("/tmp/mk-new", O_WRONLY | O_CREAT, 0600) < 0 && errno == EACCES);
    return 0;
}

static void *open_socket(void *arg)
{
    int *go = arg;
    while (!__atomic_load_n(go, __ATOMIC_ACQUIRE)) usleep(1000);
    const bool is_denied = socket(AF_INET, SOCK_STREAM, 0) < 0 && errno == EPERM;
    return is_denied ? arg : NULL;
}

/* Also in threads that run already. */
static int calls(void)
{
    struct mk_err err;
    pthread_t thread;
    void *was_denied = NULL;
    int go = 0;
    char *const argv[] = {NULL};
    CHECK(pthread_create(&thread, NULL, open_socket, &go) == 0);
    if (!mk_confine_calls(&err)) return UNSUPPORTED;
    __atomic_store_n(&go, 1, __ATOMIC_RELEASE);
    pthread_join(thread, &was_denied);
    CHECK(was_denied);
    CHECK(execve("/bin/true", argv, argv) < 0 && errno == EPERM);
    CHECK(socket(AF_UNIX, SOCK_STREAM, 0) < 0 && errno == EPERM);
    CHECK(getpid() > 0 && malloc(1 << 20));
    return 0;
}

static void test_files(void **state)
{
    (void)state;
    in_child(files);
}
static void test_sockets(void **state)
{
    (void)state;
    in_child(sockets);
}
static void test_cache(void **state)
{
    (void)state;
    in_child(cache);
}
static void test_calls(void **state)
{
    (void)state;
    in_child(calls);
}

static int setup(void **state)
{
    (void)state;
    char path[64];
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/old", folder);
    FILE *f = fopen(path, "w");
    return f ? fclose(f) : -1;
}
static int teardown(void **state)
{
    (void)state;
    char path[64];
    snprintf(path, sizeof path, "%s/old", folder);
    unlink(path);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_sockets),
        cmocka_unit_test(test_cache),
        cmocka_unit_test(test_calls),
    };
    return cmocka_run_group_tests_name("confine", tests, setup, teardown);
}
