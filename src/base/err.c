#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* One table maps codes to their names and exit status. */
static const struct {
    const char *name;
    int exit_status;
} codes[MK_N_CODES] = {
    [MK_OK] = {"ok", 0},
    [MK_EIO] = {"input/output error", 1},
    [MK_EFORMAT] = {"bad format", 3},
    [MK_EUNSUPPORTED] = {"unsupported", 3},
    [MK_ELIMIT] = {"over a limit", 1},
    [MK_ENOMEM] = {"out of memory", 4},
    [MK_ECANCELED] = {"canceled", 130},
    [MK_EBUSY] = {"busy", 1},
    [MK_EUSAGE] = {"usage", 2},
};

bool mk_fail(struct mk_err *err, enum mk_code code, const char *fmt, ...)
{
    if (!err) return false;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->msg, sizeof err->msg, fmt, ap);
    va_end(ap);
    err->code = code;
    return false;
}

bool mk_fail_errno(struct mk_err *err, const char *fmt, ...)
{
    const int e = errno;
    if (!err) return false;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->msg, sizeof err->msg, fmt, ap);
    va_end(ap);
    const size_t n = strlen(err->msg);
    snprintf(err->msg + n, sizeof err->msg - n, ": %s", strerror(e));
    err->code = e == ENOMEM ? MK_ENOMEM : MK_EIO;
    return false;
}

bool mk_fail_in(struct mk_err *err, const char *fmt, ...)
{
    if (!err) return false;
    char old[sizeof err->msg];
    memcpy(old, err->msg, sizeof old);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->msg, sizeof err->msg, fmt, ap);
    va_end(ap);
    const size_t n = strlen(err->msg);
    snprintf(err->msg + n, sizeof err->msg - n, ": %s", old);
    return false;
}

const char *mk_code_name(enum mk_code code) { return codes[code].name; }
int mk_code_exit(enum mk_code code) { return codes[code].exit_status; }
