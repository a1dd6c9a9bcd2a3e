#ifndef MK_CLI_LINE_H
#define MK_CLI_LINE_H
/* Reading lines from a terminal with editing, history, completion and pastes. */
#include "base/err.h"
#include "base/str.h"

#include <stddef.h>

enum mk_line_end {
    MK_LINE_DONE,
    MK_LINE_EOF,      /* Ctrl-D on an empty line */
    MK_LINE_CLEARED,  /* Ctrl-C on a line with text */
    MK_LINE_INTERRUPT /* Ctrl-C on an empty line */
};
struct mk_line;
/* commands: NULL-terminated words that Tab completes at the start of a line; after a space
 * it completes file names.  keeps them. */
struct mk_line *mk_line_new(const char *const *commands);
void mk_line_free(struct mk_line *l); /* NULL is fine */
/* Replaces *out by the line without its end, which may have newlines inside (Alt-Enter,
 * pastes, Ctrl-G for the editor). */
enum mk_line_end mk_line_read(struct mk_line *l, const char *prompt, struct mk_str *out);
/* Adds to the history and its file. */
void mk_line_remember(struct mk_line *l, const char *text);

/* Lets people change *text in $VISUAL or $EDITOR. */
bool mk_edit_text(struct mk_str *text, struct mk_err *err) MK_CHECKED;
#endif
