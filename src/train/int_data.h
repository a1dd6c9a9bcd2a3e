#ifndef MK_TRAIN_INT_DATA_H
#define MK_TRAIN_INT_DATA_H
/* Private to the data files of train/: lines of JSONL, and conversations as sequences. */
#include "chat/chat.h"
#include "train/data.h"

#include <jansson.h>

/* ---- jsonl.c ---- */
struct mk_lines { /* of a text in memory */
    const char *text;
    size_t n, at;
    size_t line; /* number of the last one given, from 1 */
};
/* The next line that is not blank, without its end; false after the last. */
bool mk_lines_next(struct mk_lines *l, const char **s, size_t *n);

enum mk_line_form { MK_LINE_TEXT, MK_LINE_PROMPT, MK_LINE_MESSAGES };
extern const char *const mk_line_forms[]; /* names for messages */
/* One object: which form it has, its fields checked as far as they are ours (messages are left
 * to mk_conversation_parse).  *out: json_decref() it. */
bool mk_line_parse(json_t **out, enum mk_line_form *form, const char *s, size_t n,
                   struct mk_err *err) MK_CHECKED;

/* ---- turns.c ---- */
struct mk_turns {
    const struct mk_tokenizer *tokenizer;
    const struct mk_template *template;
    size_t n_ctx;
    size_t n_cut; /* conversations that lost their end */
};
/* Appends the sequences of a conversation, in which the assistant's turns count.  Splits
 * thoughts off its messages' content.  Fails when there is nothing to learn, when the first
 * prompt has no room, and when the template cannot say what a message says. */
bool mk_turns_put(struct mk_turns *t, struct mk_conversation *c, struct mk_seqs *out,
                  struct mk_err *err) MK_CHECKED;
#endif
