#ifndef MK_CLI_TERM_H
#define MK_CLI_TERM_H
/* Terminals: which streams are one, whether colours are wanted, what may be sent to one. */
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

/* color: NULL or "auto", "always", "never".  By NO_COLOR, CLICOLOR_FORCE, TERM and whether
 * fd is a terminal. */
bool mk_term_wants_color(int fd, const char *color);
bool mk_term_is_tty(int fd);

/* Appends s[0..n) without what a terminal would obey: control characters of both sets but
 * newline and tab.  Malformed UTF-8 becomes U+FFFD. */
void mk_term_clean(struct mk_str *out, const char *s, size_t n);

/* "1.23 GB" for 1.23e9 and "B"; gives out. */
const char *mk_term_human(char out[32], double n, const char *unit);

/* Dims what is printed from now on (SGR 2), or ends that.  Signals that end or stop the
 * program end it too, and so does exit. */
void mk_term_dim(int fd, bool is_dim);

/* SIGINT only sets a flag from now on; the third that nobody asks about ends the program. */
void mk_term_catch_interrupts(void);
bool mk_term_interrupted(void); /* since the last call */

/* A line on stderr that is written over, at most ten times a second, when stderr is a
 * terminal.  done == total clears it. */
void mk_term_progress(const char *what, size_t done, size_t total);
void mk_term_progress_clear(void);
#endif
