#ifndef MK_BASE_PROCESS_H
#define MK_BASE_PROCESS_H
/* A helper program that is asked one line at a time: it reads a line from its standard input and
 * prints one line.  Its standard error is ours.  Owned by one thread. */
#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct mk_process { /* zeroed is valid: not running */
    pid_t pid;      /* 0: not running; also the id of its process group */
    int to, from;   /* our ends of the two pipes */
    struct mk_str said;
};
/* Starts `sh -c command` in a process group of its own. */
bool mk_process_start(struct mk_process *p, const char *command, struct mk_err *err) MK_CHECKED;
/* Writes line[0..n) and a newline, and reads the answer into *reply (without its newline), which
 * has at most max_bytes.  MK_ECANCELED: no whole answer within limit_s.  MK_EFORMAT: more than one
 * line or too long a line.  MK_EIO: it ended or closed its output.  After a failure it is stopped.
 */
bool mk_process_ask(struct mk_process *p, const char *line, size_t n, double limit_s,
                    size_t max_bytes, struct mk_str *reply, struct mk_err *err) MK_CHECKED;
/* Kills it and all it started that is still in its group.  Harmless when it is not running. */
void mk_process_stop(struct mk_process *p);
#endif
