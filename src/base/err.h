#ifndef MK_BASE_ERR_H
#define MK_BASE_ERR_H
/* Failures of the world (files, requests, peers): a bool and a struct mk_err.
 *
 *     if (n_dims != 4)
 *         return mk_fail(err, MK_EFORMAT, "tensor %s has %zu dims, want 4", name, n_dims);
 *
 * Messages name the file, tensor or field and the value seen.  Out-parameters
 * are untouched on failure.  A bug is an assert; running out of memory for small
 * things ends the program in one place (base/mem.h). */
#include <stdbool.h>

enum mk_code {
    MK_OK,
    MK_EIO,          /* the system said no: open, read, write, map */
    MK_EFORMAT,      /* bytes that are not what they claim to be */
    MK_EUNSUPPORTED, /* understood, but not something minke does */
    MK_ELIMIT,       /* over a stated limit */
    MK_ENOMEM,       /* no memory for something large */
    MK_ECANCELED,
    MK_EBUSY,
    MK_EUSAGE, /* wrong argument from the user */
    MK_N_CODES
};

struct mk_err {
    enum mk_code code;
    char msg[512]; /* one line, no newline at the end */
};

#define MK_CHECKED __attribute__((warn_unused_result))

/* Fills *err (may be NULL) and returns false. */
bool mk_fail(struct mk_err *err, enum mk_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* mk_fail(MK_EIO) with ": " and the text of errno at the end. */
bool mk_fail_errno(struct mk_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Puts "prefix: " before the message already in *err; returns false. */
bool mk_fail_in(struct mk_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

const char *mk_code_name(enum mk_code code);
/* The exit status of a program that ends with this code: 0 ok, 1 run time
 * failure, 2 usage, 3 bad or unsupported file, 4 out of memory, 130 canceled. */
int mk_code_exit(enum mk_code code);
#endif
