/* The user's editor on a temporary file. */
#include "base/file.h"
#include "cli/line.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_EDIT_BYTES = 16 << 20 };

static bool write_all(int fd, const struct mk_str *s)
{
    for (size_t at = 0; at < s->len;) {
        const ssize_t n = write(fd, s->data + at, s->len - at);
        if (n < 0) return false;
        at += (size_t)n;
    }
    return true;
}

/* The variable may hold options ("code --wait"), so a shell takes it apart. */
static bool run_editor(const char *path, struct mk_err *err)
{
    static const char script[] = "${VISUAL:-${EDITOR:-vi}} \"$1\"";
    struct sigaction ignore = {.sa_handler = SIG_IGN}, old;
    sigaction(SIGINT, &ignore, &old); /* Ctrl-C there is the editor's */
    const pid_t pid = fork();
    if (pid == 0) {
        signal(SIGINT, SIG_DFL);
        signal(SIGPIPE, SIG_DFL);
        signal(SIGXFSZ, SIG_DFL);
        execl("/bin/sh", "sh", "-c", script, "sh", path, (char *)NULL);
        _exit(127);
    }
    int status = -1;
    if (pid > 0) waitpid(pid, &status, 0);
    sigaction(SIGINT, &old, NULL);
    if (pid < 0) return mk_fail_errno(err, "the editor did not start");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return mk_fail(err, MK_EIO, "the editor failed; set VISUAL or EDITOR");
    return true;
}

bool mk_edit_text(struct mk_str *text, struct mk_err *err)
{
    const char *dir = getenv("TMPDIR");
    struct mk_str path = {0}, changed = {0};
    mk_str_addf(&path, "%s/minke-XXXXXX", dir && *dir ? dir : "/tmp");
    const int fd = mkstemp(path.data); /* mode 0600 */
    bool ok = fd >= 0 && write_all(fd, text);
    if (!ok) mk_fail_errno(err, "%s", path.data);
    if (fd >= 0) close(fd);
    ok = ok && run_editor(path.data, err) && mk_file_read(&changed, path.data, MAX_EDIT_BYTES, err);
    if (fd >= 0) unlink(path.data);
    if (ok) {
        while (changed.len && changed.data[changed.len - 1] == '\n')
            changed.data[--changed.len] = 0;
        mk_str_clear(text);
        mk_str_append(text, mk_str_c(&changed), changed.len);
    }
    mk_str_release(&changed);
    mk_str_release(&path);
    return ok;
}
