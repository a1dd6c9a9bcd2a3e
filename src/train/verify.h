#ifndef MK_TRAIN_VERIFY_H
#define MK_TRAIN_VERIFY_H
/* Named verifiers for tasks of users, which consist of a prompt and an expected answer:
 *
 *   exact        the same text, white space around it aside
 *   number[:T]   the completion has exactly one number, and it is at most T away; T may be a part
 *                of the expected number ("1%"); without T: equal.  "1,234.5", "x = 7", "3.5 km" and
 *                "$5" are read; numbers that touch letters, and operators, are not
 *   set          the same items, separated by commas, semicolons or line ends, in any order
 *   regex        the expected answer is a PCRE2 pattern for the whole completion
 *   json         the same JSON value; the order of members and 1 or 1.0 make no difference
 *
 * Completions come from a model: any bytes.  What is not valid UTF-8, has a NUL or is longer than
 * MK_VERIFY_MAX scores 0, as does a pattern that would need too many steps. */
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

enum { MK_VERIFY_MAX = 64 << 10 };

struct mk_verifier { /* a value */
    enum { MK_VERIFY_EXACT, MK_VERIFY_NUMBER, MK_VERIFY_SET, MK_VERIFY_REGEX, MK_VERIFY_JSON } kind;
    double tolerance;
    bool is_relative; /* tolerance is a part of the expected number */
};
bool mk_verifier_parse(struct mk_verifier *out, const char *spec, struct mk_err *err) MK_CHECKED;
/* Can this verifier use this expected answer (is it a number, does the pattern compile, ...)? */
bool mk_verifier_check(const struct mk_verifier *v, const char *answer, size_t n,
                       struct mk_err *err) MK_CHECKED;
/* 1 or 0. */
double mk_verifier_score(const struct mk_verifier *v, const char *answer, size_t n_answer,
                         const char *completion, size_t n);
#endif
