#ifndef MK_CHAT_CHAT_H
#define MK_CHAT_CHAT_H
/* A conversation to prompt text and ids, and a model's text back to reasoning, answer
 * and tool calls.  One file for each template family; chat.def lists them; docs/templates.md
 * has the exact strings. */
#include "base/err.h"
#include "base/str.h"
#include "token/token.h"

#include <stdbool.h>
#include <stddef.h>

enum mk_role { MK_SYSTEM, MK_USER, MK_ASSISTANT, MK_TOOL };

struct mk_tool_call {
    char *id, *name, *arguments; /* arguments: JSON text as the model wrote it */
};
struct mk_message {
    enum mk_role role;
    char *content; /* NULL is the same as "" */
    /* Assistant, may be NULL.  Not NULL (also ""): the thought was split off already, so
     * content is the answer alone and a "</think>" in it is text. */
    char *reasoning;
    struct mk_tool_call *calls;
    size_t n_calls;
};
struct mk_conversation { /* owns everything in it; zeroed is valid and empty */
    struct mk_message *list;
    size_t n;
    char *tools; /* JSON array in OpenAI's form, or NULL */
    /* The last message, an assistant's, is the beginning of the answer to come: the model goes on
     * with its content, or where that is empty with its reasoning.  Another message ends that. */
    bool continues;
};
void mk_conversation_release(struct mk_conversation *c);
/* Copies the texts. */
void mk_conversation_add(struct mk_conversation *c, enum mk_role role, const char *content,
                         const char *reasoning);
/* Adds a call to the last message, an assistant's.  id may be NULL. */
void mk_conversation_add_call(struct mk_conversation *c, const struct mk_tool_call *call);
void mk_conversation_truncate(struct mk_conversation *c, size_t n);
/* From JSON: an array of messages, or {"messages": [...], "tools": [...]} whose other keys
 * are ignored.  Roles: system (developer is the same), user, assistant, tool.  content is a
 * string, null (assistant and tool only), or a list of {"type":"text","text":...}, joined
 * by newlines.  reasoning_content (or reasoning) is optional.  A call's arguments are a
 * string, kept as it is, or an object, written compactly.  "prefix": true of the last message, or
 * "continue_final_message": true beside messages, says that it is to be continued.  Errors name
 * the field. */
bool mk_conversation_parse(struct mk_conversation *out, const char *json, size_t n,
                           struct mk_err *err) MK_CHECKED;

/* What a prompt is made of: special tokens that the template wrote, each a span of its own,
 * and between them plain text, ours and the users', in which no special token counts.
 * Plain text is one span however many pieces it was written in, because a tokenizer merges
 * across the pieces. */
enum mk_inside { MK_IN_TURN, MK_IN_THOUGHT, MK_IN_ANSWER };
struct mk_prompt {
    struct mk_str text;
    struct mk_prompt_span {
        size_t end;
        bool is_special;
    } * spans;
    size_t n_spans;
    enum mk_inside inside; /* what it ends in: MK_IN_ANSWER only when that has a beginning */
};
void mk_prompt_release(struct mk_prompt *p);
/* Appends a special token, or plain text. */
void mk_prompt_add(struct mk_prompt *p, const char *text, size_t n, bool is_special);

struct mk_chat_options {
    bool thinking;             /* a template that knows only one way takes that way */
    bool no_generation_prompt; /* do not open the assistant's turn, unless it is to be continued */
};

/* A list of calls is written, and read back by the splitter, as
 *     all_begin  { begin before_name NAME after_name ARGS after_args end }...  all_end */
struct mk_call_tags {
    const char *all_begin, *begin, *before_name, *after_name, *after_args, *end, *all_end;
};
struct mk_template_signs; /* int_chat.h: how the template is recognised */

struct mk_template {
    const char *name;              /* "deepseek-v3.1" */
    const char *about;             /* one line for help */
    bool can_think, can_not_think; /* which of thinking on, off it knows */
    bool lists_tools;              /* puts the tools array into the prompt; the others ignore it */
    bool leading_space; /* the model writes the space between its role's name and answer */
    bool (*render)(struct mk_prompt *out, const struct mk_conversation *c,
                   const struct mk_chat_options *o, struct mk_err *err);
    const char *think_open, *think_close; /* NULL when the family does not think */
    const char *const *stops;         /* texts of extra tokens that end a turn; NULL-terminated */
    const struct mk_call_tags *calls; /* NULL: neither calls nor results of tools */
    const struct mk_template_signs *signs;
};
extern const struct mk_template *const mk_templates[];        /* NULL-terminated */
const struct mk_template *mk_template_find(const char *name); /* NULL: none */
/* Chooses by the checkpoint's chat_template text and its special tokens, never by a
 * file's name.  Fails with the start of the unknown template and the names to choose from. */
bool mk_template_detect(const struct mk_template **out, const struct mk_tokenizer *t,
                        struct mk_err *err) MK_CHECKED;

/* Whether the model thinks when nobody says: it always does, or the checkpoint's chat_template
 * has "set thinking = true". */
bool mk_template_thinks(const struct mk_template *t, const struct mk_tokenizer *tokenizer);

/* *out: zeroed or rendered before.  A message to be continued may have nothing in it yet; calls of
 * tools in it, or only a thought where the template has none, are MK_EUNSUPPORTED. */
bool mk_chat_render(struct mk_prompt *out, const struct mk_template *t,
                    const struct mk_conversation *c, const struct mk_chat_options *o,
                    struct mk_err *err) MK_CHECKED;
/* Appends the prompt's ids.  The template wrote BOS: no other is added. */
void mk_prompt_tokenize(const struct mk_prompt *p, const struct mk_tokenizer *t,
                        struct mk_ids *out);

/* Splits a model's output as it streams.  Feed it text that keeps special tokens (all but
 * those that end the turn), in pieces of any size: what it says does not depend on the
 * pieces.  Bytes that may be the beginning of a tag are held back until it is known.
 *
 * Reasoning is exact.  Newlines between </think> and the answer belong to neither.  A call
 * begins with an empty MK_PART_CALL: from then on mk_splitter_calls has its id and name;
 * its arguments follow as they come.  What looks like a call without a proper head comes
 * out as the text it is.  When the stream ends inside the arguments, the call has what was
 * written; whoever ended the stream knows that it was cut. */
enum mk_part { MK_PART_REASONING, MK_PART_ANSWER, MK_PART_CALL };
typedef void mk_part_fn(void *arg, enum mk_part part, const char *bytes, size_t n);
struct mk_splitter;
/* inside: as the prompt says.  Keeps t, fn, arg. */
struct mk_splitter *mk_splitter_new(const struct mk_template *t, enum mk_inside inside,
                                    mk_part_fn *fn, void *arg);
void mk_splitter_add(struct mk_splitter *s, const char *bytes, size_t n);
void mk_splitter_end(struct mk_splitter *s); /* once, after the last add */
/* Tool calls seen so far; valid until the next add, end or free.  Ids are "call_0",
 * "call_1", ...: unique in this output only. */
const struct mk_tool_call *mk_splitter_calls(const struct mk_splitter *s, size_t *n);
void mk_splitter_free(struct mk_splitter *s);
#endif
