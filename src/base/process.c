/* Two pipes and poll: writing and reading are both waited for, so that neither side can block the
 * other for ever. */
#include "base/process.h"

#include "base/clock.h"
#include "base/mem.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

/* The child's ends become its standard input and output; all other ends close by themselves. */
static int spawn(pid_t *pid, const char *command, int in, int out)
{
    char sh[] = "sh", c[] = "-c";
    char *text = mk_strdup(command);
    char *const argv[] = {sh, c, text, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t pipe_only, none;
    sigemptyset(&none);
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigdefault(&attr, &pipe_only); /* we may ignore it; it should not */
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF |
                                        POSIX_SPAWN_SETSIGMASK);
    const int rc = posix_spawn(pid, "/bin/sh", &actions, &attr, argv, environ);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    free(text);
    return rc;
}

bool mk_process_start(struct mk_process *p, const char *command, struct mk_err *err)
{
    assert(p->pid == 0);
    int in[2], out[2]; /* [0] is read from, [1] written to */
    if (pipe2(in, O_CLOEXEC)) return mk_fail_errno(err, "cannot start '%s'", command);
    if (pipe2(out, O_CLOEXEC)) {
        close(in[0]), close(in[1]);
        return mk_fail_errno(err, "cannot start '%s'", command);
    }
    pid_t pid = 0;
    const int rc = spawn(&pid, command, in[0], out[1]);
    close(in[0]), close(out[1]);
    if (rc) {
        close(in[1]), close(out[0]);
        errno = rc;
        return mk_fail_errno(err, "cannot start '%s'", command);
    }
    fcntl(in[1], F_SETFL, O_NONBLOCK);
    fcntl(out[0], F_SETFL, O_NONBLOCK);
    p->pid = pid, p->to = in[1], p->from = out[0];
    mk_str_clear(&p->said);
    return true;
}

void mk_process_stop(struct mk_process *p)
{
    if (p->pid) {
        close(p->to);
        close(p->from);
        kill(-p->pid, SIGKILL);
        while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR) {}
    }
    mk_str_release(&p->said);
    *p = (struct mk_process){0};
}

/* write() that never raises SIGPIPE: the signal is blocked for this thread and, if the write made
 * one, taken away before it is let through. */
static ssize_t write_quietly(int fd, const char *s, size_t n)
{
    sigset_t pipe_only, old, pending;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    sigpending(&pending);
    const bool was_pending = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_only, &old);
    const ssize_t k = write(fd, s, n);
    const int e = errno;
    if (k < 0 && e == EPIPE && !was_pending)
        while (sigtimedwait(&pipe_only, NULL, &(struct timespec){0}) < 0 && errno == EINTR) {}
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    errno = e;
    return k;
}

static bool is_later(ssize_t k) { return k < 0 && (errno == EAGAIN || errno == EINTR); }

/* Reads what is there.  Sets *ended at the end of its output. */
static void read_some(struct mk_process *p, bool *ended)
{
    char buf[4096];
    const ssize_t k = read(p->from, buf, sizeof buf);
    if (k > 0)
        mk_str_append(&p->said, buf, (size_t)k);
    else if (!is_later(k))
        *ended = true;
}

/* One round of writing and reading.  *n_sent counts the bytes of line + newline. */
static void exchange(struct mk_process *p, const char *line, size_t n, size_t *n_sent, int wait_ms,
                     bool *ended)
{
    struct pollfd fd[2] = {{.fd = p->from, .events = POLLIN}, {.fd = p->to, .events = POLLOUT}};
    if (poll(fd, *n_sent <= n ? 2 : 1, wait_ms) <= 0) return;
    if (*n_sent <= n && fd[1].revents) {
        const ssize_t k = *n_sent < n ? write_quietly(p->to, line + *n_sent, n - *n_sent)
                                      : write_quietly(p->to, "\n", 1);
        if (k > 0)
            *n_sent += (size_t)k;
        else if (!is_later(k))
            *n_sent = n + 1; /* it does not listen any more; what it says decides */
    }
    if (fd[0].revents) read_some(p, ended);
}

/* What it said so far, for a message of one line. */
static const char *quoted(const struct mk_process *p, char buf[80])
{
    size_t n = 0;
    for (; n < p->said.len && n < 79; n++)
        buf[n] = (char)(p->said.data[n] < ' ' || p->said.data[n] > '~' ? ' ' : p->said.data[n]);
    buf[n] = '\0';
    return buf;
}

static bool fail_stopped(struct mk_process *p)
{
    mk_process_stop(p);
    return false;
}

bool mk_process_ask(struct mk_process *p, const char *line, size_t n, double limit_s,
                    size_t max_bytes, struct mk_str *reply, struct mk_err *err)
{
    assert(p->pid);
    const double end_s = mk_now_s() + limit_s;
    size_t n_sent = 0;
    bool ended = false;
    char buf[80];
    read_some(p, &ended);
    if (p->said.len) {
        mk_fail(err, MK_EFORMAT, "it said more than it was asked: \"%s\"", quoted(p, buf));
        return fail_stopped(p);
    }
    for (;;) {
        const char *eol = p->said.len ? memchr(p->said.data, '\n', p->said.len) : NULL;
        const size_t n_line = eol ? (size_t)(eol - p->said.data) : p->said.len;
        if (n_line > max_bytes || (eol && n_line + 1 < p->said.len)) {
            mk_fail(err, MK_EFORMAT, "it said more than one line of %zu bytes: \"%s\"", max_bytes,
                    quoted(p, buf));
            return fail_stopped(p);
        }
        if (eol) {
            mk_str_clear(reply);
            mk_str_append(reply, p->said.data, n_line);
            mk_str_clear(&p->said);
            return true;
        }
        if (ended) {
            mk_fail(err, MK_EIO, "it ended without a whole line; it said \"%s\"", quoted(p, buf));
            return fail_stopped(p);
        }
        const double left_s = end_s - mk_now_s();
        if (left_s <= 0) {
            mk_fail(err, MK_ECANCELED, "no answer within %g s", limit_s);
            return fail_stopped(p);
        }
        exchange(p, line, n, &n_sent, left_s < 1 ? (int)(left_s * 1000) + 1 : 1000, &ended);
    }
}
