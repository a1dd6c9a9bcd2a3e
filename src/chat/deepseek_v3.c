/* DeepSeek-V3 and V3-0324.  System texts move to the front; nothing stands between the
 * parts but what is shown (line breaks below are for reading):
 *
 *     BOS {systems, joined by \n\n} <User>{user} <Assistant>{answer}EOS <User>... <Assistant>
 *
 *     calls    <Assistant><calls> <call>function<sep>NAME\n```json\nARGS\n```</call>
 *              {\n <call>...</call> </calls>EOS}...
 *     results  <outputs> <output>R</output> {\n<output>R</output>}... </outputs>
 *              then the answer, without <Assistant>
 *
 * The official template has slips, and this file has them too, because a prompt should be
 * the same here as wherever else the checkpoint's own template is run:
 *   - </calls>EOS is written after each call but the first: never for one, twice for three;
 *   - what opens the first list of calls, and of results, is written once in a
 *     conversation: later lists begin with the "\n" that joins calls;
 *   - results that a user's message follows are not closed.
 * One case is ours: the official template loses the calls of a message that also has text.
 * Here they follow the text, opened and closed as the model was trained to. */
#include "chat/int_chat.h"

#include <string.h>

const struct mk_call_tags mk_v3_calls = {
    .all_begin = MK_CALLS,
    .begin = MK_CALL,
    .before_name = "function" MK_CALL_SEP,
    .after_name = "\n```json\n",
    .after_args = "\n```",
    .end = MK_CALL_END,
    .all_end = MK_CALLS_END,
};

struct turns {
    const struct mk_v3_style *style;
    bool seen_call, seen_output; /* in the whole conversation */
    bool in_outputs;
};

static void add_calls(struct mk_prompt *out, struct turns *t, const struct mk_message *m)
{
    const struct mk_call_tags *tags = t->style->calls;
    const bool has_text = m->content && m->content[0];
    t->in_outputs = false;
    for (size_t i = 0; i < m->n_calls; i++) {
        const bool opens = has_text ? i == 0 : !t->seen_call;
        if (opens) {
            mk_prompt_ours(out, MK_ASSISTANT_TAG);
            mk_prompt_theirs(out, m->content);
        }
        mk_prompt_ours(out, opens ? tags->all_begin : "\n");
        mk_prompt_call(out, tags, &m->calls[i]);
        if (has_text ? i + 1 == m->n_calls : !opens) {
            mk_prompt_ours(out, tags->all_end);
            mk_prompt_ours(out, MK_EOS);
        }
        t->seen_call = true;
    }
}

/* content after the last </think>; all of it when the thought was split off before. */
static const char *without_thought(const struct mk_message *m)
{
    const char *text = m->content;
    if (!text || m->reasoning) return text;
    for (const char *p; (p = strstr(text, MK_THINK_END));) text = p + strlen(MK_THINK_END);
    return text;
}

static void add_answer(struct mk_prompt *out, struct turns *t, const struct mk_message *m)
{
    mk_prompt_ours(out, t->in_outputs ? MK_OUTPUTS_END : MK_ASSISTANT_TAG);
    mk_prompt_theirs(out,
                     t->style->cuts_thoughts && !t->in_outputs ? without_thought(m) : m->content);
    mk_prompt_ours(out, MK_EOS);
    t->in_outputs = false;
}

/* The answer to come, as far as it is given. */
static void add_beginning(struct mk_prompt *out, const struct turns *t, const struct mk_message *m,
                          bool is_thinking)
{
    const struct mk_v3_style *s = t->style;
    const struct mk_thought_tags tags = {MK_THINK "\n", MK_THINK_END "\n\n", ""};
    mk_prompt_ours(out, t->in_outputs ? MK_OUTPUTS_END : MK_ASSISTANT_TAG);
    mk_prompt_begun(out, m, s->cuts_thoughts ? without_thought(m) : m->content, is_thinking, &tags);
}

static void add_output(struct mk_prompt *out, struct turns *t, const struct mk_message *m)
{
    mk_prompt_ours(out, t->seen_output ? "\n" MK_OUTPUT : MK_OUTPUTS MK_OUTPUT);
    mk_prompt_theirs(out, m->content);
    mk_prompt_ours(out, MK_OUTPUT_END);
    t->seen_output = t->in_outputs = true;
}

static void add_last_system(struct mk_prompt *out, const struct mk_conversation *c)
{
    const char *text = NULL;
    for (size_t i = 0; i < c->n; i++)
        if (c->list[i].role == MK_SYSTEM) text = c->list[i].content;
    mk_prompt_theirs(out, text);
}

bool mk_v3_render(struct mk_prompt *out, const struct mk_conversation *c,
                  const struct mk_chat_options *o, const struct mk_v3_style *style,
                  struct mk_err *err)
{
    if (!style->calls && !mk_refuse_tools(c, style->name, err)) return false;
    struct turns t = {.style = style};
    mk_prompt_ours(out, MK_BOS);
    if (style->last_system_only)
        add_last_system(out, c);
    else
        mk_prompt_systems(out, c);
    for (size_t i = 0; i < c->n; i++) {
        const struct mk_message *m = &c->list[i];
        switch (m->role) {
        case MK_SYSTEM:
            break; /* at the front */
        case MK_USER:
            t.in_outputs = false;
            mk_prompt_ours(out, MK_USER_TAG);
            mk_prompt_theirs(out, m->content);
            break;
        case MK_ASSISTANT:
            if (c->continues && i + 1 == c->n) {
                add_beginning(out, &t, m, o->thinking);
                return true;
            }
            if (m->n_calls)
                add_calls(out, &t, m);
            else
                add_answer(out, &t, m);
            break;
        case MK_TOOL:
            add_output(out, &t, m);
            break;
        }
    }
    if (t.in_outputs)
        mk_prompt_ours(out, MK_OUTPUTS_END);
    else if (!o->no_generation_prompt) {
        mk_prompt_ours(out, style->opening);
        if (strstr(style->opening, MK_THINK)) out->inside = MK_IN_THOUGHT;
    }
    return true;
}

static bool render(struct mk_prompt *out, const struct mk_conversation *c,
                   const struct mk_chat_options *o, struct mk_err *err)
{
    static const struct mk_v3_style style = {
        .name = "deepseek-v3", .opening = MK_ASSISTANT_TAG, .calls = &mk_v3_calls};
    return mk_v3_render(out, c, o, &style, err);
}

/* <outputs>: a model that goes on after its calls would invent the results. */
static const char *const stops[] = {MK_USER_TAG, MK_OUTPUTS, NULL};
static const struct mk_template_signs signs = {
    .has = {MK_USER_TAG, MK_OUTPUTS, "is_first_sp", "```json"},
    .lacks = {MK_THINK, MK_THINK_END, "is_last_user"},
    .pre = {"deepseek-v3"},
    .tokens = {MK_USER_TAG, MK_ASSISTANT_TAG},
    .no_tokens = {MK_THINK},
};
const struct mk_template mk_template_deepseek_v3 = {
    .name = "deepseek-v3",
    .about = "DeepSeek-V3 and V3-0324",
    .can_not_think = true,
    .render = render,
    .stops = stops,
    .calls = &mk_v3_calls,
    .signs = &signs,
};
