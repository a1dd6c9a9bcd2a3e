#ifndef MK_CLI_SHOW_H
#define MK_CLI_SHOW_H
/* An answer as it comes.  On a terminal the thought is dimmed and the answer follows; when
 * stdout goes elsewhere it gets the answer alone and the thought goes to stderr. */
#include "chat/chat.h"

struct mk_show {
    bool is_silent, hides_thoughts, is_tty, dims; /* set by mk_show_init */
    int part;                                     /* enum mk_part being shown, -1: none yet */
    bool has_text, ends_line;                     /* of this part */
};
void mk_show_init(struct mk_show *s, const char *color, bool is_silent, bool hides_thoughts);
void mk_show_begin(struct mk_show *s); /* before each answer */
/* An empty MK_PART_CALL begins a call of that name. */
void mk_show_part(struct mk_show *s, enum mk_part part, const char *bytes, size_t n,
                  const char *call);
void mk_show_end(struct mk_show *s);
#endif
