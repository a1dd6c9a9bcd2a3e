/* A helper program asked line by line: what it says comes back, and none of the ways it can fail
 * hangs us, kills us or leaves it running. */
#include "base/process.h"

#include "base/clock.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static bool ask(struct mk_process *p, const char *line, struct mk_str *reply, struct mk_err *err)
{
    return mk_process_ask(p, line, strlen(line), 5, 100, reply, err);
}

static void echoes_lines(void **state)
{
    (void)state;
    struct mk_process p = {0};
    struct mk_str reply = {0};
    struct mk_err err = {0};
    assert_true(mk_process_start(&p, "while read -r l; do echo \"<$l>\"; done", &err));
    assert_true(ask(&p, "one", &reply, &err));
    assert_string_equal(reply.data, "<one>");
    assert_true(ask(&p, "", &reply, &err));
    assert_string_equal(reply.data, "<>");
    const pid_t pid = p.pid;
    mk_process_stop(&p);
    assert_int_equal(p.pid, 0);
    assert_int_equal(kill(pid, 0), -1); /* gone, and not left as a zombie */
    mk_process_stop(&p);
    mk_str_release(&reply);
}

/* It closes its input: writing fails, but neither SIGPIPE nor what it says is lost. */
static void survives_a_closed_pipe(void **state)
{
    (void)state;
    struct mk_process p = {0};
    struct mk_str reply = {0};
    struct mk_err err = {0};
    for (int i = 0; i < 3; i++) {
        assert_true(mk_process_start(&p, "exec 0<&-; sleep 0.1; echo done", &err));
        usleep(50000);
        assert_true(ask(&p, "x", &reply, &err));
        assert_string_equal(reply.data, "done");
        mk_process_stop(&p);
    }
    sigset_t pending;
    assert_int_equal(sigpending(&pending), 0);
    assert_false(sigismember(&pending, SIGPIPE));
    mk_str_release(&reply);
}

/* It and its children: all of them hold the writing end of a pipe, which ends with the last. */
static void kills_what_hangs(void **state)
{
    (void)state;
    struct mk_process p = {0};
    struct mk_str reply = {0};
    struct mk_err err = {0};
    int alive[2];
    char c;
    assert_int_equal(pipe(alive), 0);
    const double from = mk_now_s();
    assert_true(mk_process_start(&p, "sleep 1000 & sleep 1000", &err));
    close(alive[1]);
    assert_false(mk_process_ask(&p, "x", 1, 0.05, 100, &reply, &err));
    assert_int_equal(err.code, MK_ECANCELED);
    assert_int_equal(p.pid, 0);
    struct pollfd fd = {.fd = alive[0], .events = POLLIN};
    assert_int_equal(poll(&fd, 1, 5000), 1);
    assert_int_equal(read(alive[0], &c, 1), 0);
    assert_true(mk_now_s() - from < 5);
    close(alive[0]);
    mk_str_release(&reply);
}

static void long_output(void **state)
{
    (void)state;
    struct mk_process p = {0};
    struct mk_str reply = {0};
    struct mk_err err = {0};
    assert_true(mk_process_start(&p, "read -r l; head -c 1000 /dev/zero; sleep 1000", &err));
    assert_false(ask(&p, "x", &reply, &err));
    assert_int_equal(err.code, MK_EFORMAT);
    assert_int_equal(p.pid, 0);
    assert_true(mk_process_start(&p, "read -r l; head -c 100 /dev/zero | tr '\\0' a; echo", &err));
    assert_true(ask(&p, "x", &reply, &err));
    assert_int_equal(reply.len, 100);
    mk_process_stop(&p);
    mk_str_release(&reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(echoes_lines),
        cmocka_unit_test(survives_a_closed_pipe),
        cmocka_unit_test(kills_what_hangs),
        cmocka_unit_test(long_output),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
