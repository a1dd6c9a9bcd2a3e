#ifndef MK_CHAT_INT_CHAT_H
#define MK_CHAT_INT_CHAT_H
/* Shared by the files of this folder: what templates write with and are known by. */
#include "chat/chat.h"

#include <jansson.h>

/* The bar is U+FF5C and the low line U+2581.  Texts, never ids: ids differ between
 * checkpoints that share a template. */
#define MK_BOS           "<｜begin▁of▁sentence｜>"
#define MK_EOS           "<｜end▁of▁sentence｜>"
#define MK_USER_TAG      "<｜User｜>"
#define MK_ASSISTANT_TAG "<｜Assistant｜>"
#define MK_THINK         "<think>"
#define MK_THINK_END     "</think>"
#define MK_CALLS         "<｜tool▁calls▁begin｜>"
#define MK_CALLS_END     "<｜tool▁calls▁end｜>"
#define MK_CALL          "<｜tool▁call▁begin｜>"
#define MK_CALL_SEP      "<｜tool▁sep｜>"
#define MK_CALL_END      "<｜tool▁call▁end｜>"
#define MK_OUTPUTS       "<｜tool▁outputs▁begin｜>"
#define MK_OUTPUTS_END   "<｜tool▁outputs▁end｜>"
#define MK_OUTPUT        "<｜tool▁output▁begin｜>"
#define MK_OUTPUT_END    "<｜tool▁output▁end｜>"

/* One call, from begin to end. */
void mk_prompt_call(struct mk_prompt *p, const struct mk_call_tags *tags,
                    const struct mk_tool_call *call);

enum { MK_MAX_SIGNS = 4 };
/* By the chat_template: it contains all of has and none of lacks.  A line break in the
 * template counts as the two characters \n, its other spelling.
 * Without a chat_template: pre is the pre-tokenizer, all of tokens exist, none of no_tokens. */
struct mk_template_signs {
    const char *has[MK_MAX_SIGNS], *lacks[MK_MAX_SIGNS];
    const char *pre[MK_MAX_SIGNS];
    const char *tokens[MK_MAX_SIGNS], *no_tokens[MK_MAX_SIGNS];
};

/* Our own text: every <｜...｜>, <think> and </think> in it is a special token. */
void mk_prompt_ours(struct mk_prompt *p, const char *text);
/* Text from outside, NULL is "": nothing in it is a special token. */
void mk_prompt_theirs(struct mk_prompt *p, const char *text);

/* How a thought is written around an answer that is to be continued; none: what stands where there
 * is no thought. */
struct mk_thought_tags {
    const char *open, *close, *none;
};
/* The message that is to be continued, after what opens its turn.  text: its content, of which the
 * template may have cut a thought.  A thought before text is written if is_thinking. */
void mk_prompt_begun(struct mk_prompt *p, const struct mk_message *m, const char *text,
                     bool is_thinking, const struct mk_thought_tags *tags);

/* What V2.5, R1 and the distills share with V3 (deepseek_v3.c). */
struct mk_v3_style {
    const char *name;
    const char *opening;              /* of the assistant's turn to come */
    bool last_system_only;            /* else all, joined by an empty line */
    bool cuts_thoughts;               /* content up to the last </think> is dropped */
    const struct mk_call_tags *calls; /* NULL: fails on tools */
};
bool mk_v3_render(struct mk_prompt *out, const struct mk_conversation *c,
                  const struct mk_chat_options *o, const struct mk_v3_style *style,
                  struct mk_err *err);
extern const struct mk_call_tags mk_v3_calls;

/* All system texts, joined by an empty line. */
void mk_prompt_systems(struct mk_prompt *p, const struct mk_conversation *c);
/* Fails on the first message with tool calls or results. */
bool mk_refuse_tools(const struct mk_conversation *c, const char *template_name,
                     struct mk_err *err) MK_CHECKED;

#define TEMPLATE(x) extern const struct mk_template x;
#include "chat/chat.def"
#undef TEMPLATE

void mk_tool_call_release(struct mk_tool_call *call);
/* tools is an array of {"type":"function","function":{"name",...}}; description, if any, is
 * a string and parameters, if any, an object. */
bool mk_tools_check(const json_t *tools, struct mk_err *err) MK_CHECKED;

/* The first n_max bytes of text for a message: on one line, harmless to a terminal. */
void mk_str_add_start(struct mk_str *out, const char *text, size_t n_max);

/* JSON text as Python's json.dumps(ensure_ascii=False) writes it, which is what models saw
 * in training; compact: without spaces. */
void mk_json_text(struct mk_str *out, json_t *v, bool is_compact);
#endif
