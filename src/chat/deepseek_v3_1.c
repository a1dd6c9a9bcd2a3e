/* DeepSeek-V3.1 and V3.1-Terminus: thinks or not as asked, and the same for minke's own
 * small model.
 *
 *     BOS {systems, joined by \n\n}{tools} <User>{user} <Assistant></think>{answer}EOS ...
 *     turn to come: <Assistant><think> to think, <Assistant></think> not to; only after
 *                   a user's message
 *     calls    <Assistant></think>{text}<calls> {<call>NAME<sep>ARGS</call>}... </calls>EOS
 *     results  {<output>R</output>}..., then the answer or further calls at once
 *
 * Earlier answers never have a thought: they are cut to what follows their first </think>,
 * and in both modes are opened by a bare </think>.  <Assistant></think> is written only
 * after a user's message, so that text after results of tools directly follows them.
 *
 * The tools array is not in the template; the model's card gives the text to append to
 * the system text.  Tools are described for non-thinking mode; nothing forbids the other. */
#include "chat/int_chat.h"

#include <string.h>

static const struct mk_call_tags call_tags = {
    .all_begin = MK_CALLS,
    .begin = MK_CALL,
    .before_name = "",
    .after_name = MK_CALL_SEP,
    .after_args = "",
    .end = MK_CALL_END,
    .all_end = MK_CALLS_END,
};

static const char tools_head[] = "\n\n## Tools\nYou have access to the following tools:\n";
static const char tools_rules[] =
    "\nIMPORTANT: ALWAYS adhere to this exact format for tool use:\n" MK_CALLS MK_CALL
    "tool_call_name" MK_CALL_SEP "tool_call_arguments" MK_CALL_END
    "{{additional_tool_calls}}" MK_CALLS_END "\n\nWhere:\n\n"
    "- `tool_call_name` must be an exact match to one of the available tools\n"
    "- `tool_call_arguments` must be valid JSON that strictly follows the tool's Parameters "
    "Schema\n"
    "- For multiple tool calls, chain them directly without separators or spaces\n";

static void add_tool(struct mk_prompt *out, const json_t *tool)
{
    const json_t *f = json_object_get(tool, "function");
    json_t *parameters = json_object_get(f, "parameters");
    mk_prompt_ours(out, "\n### ");
    mk_prompt_theirs(out, json_string_value(json_object_get(f, "name")));
    mk_prompt_ours(out, "\nDescription: ");
    mk_prompt_theirs(out, json_string_value(json_object_get(f, "description")));
    mk_prompt_ours(out, "\n\nParameters: ");
    struct mk_str text = {0};
    if (json_is_object(parameters))
        mk_json_text(&text, parameters, false);
    else
        mk_str_add(&text, "{}");
    mk_prompt_theirs(out, text.data);
    mk_prompt_ours(out, "\n");
    mk_str_release(&text);
}

static bool add_tools(struct mk_prompt *out, const char *tools, struct mk_err *err)
{
    json_error_t where;
    json_t *list = json_loads(tools, 0, &where);
    if (!list) return mk_fail(err, MK_EFORMAT, "tools: line %d: %s", where.line, where.text);
    const bool ok = mk_tools_check(list, err);
    if (ok && json_array_size(list)) {
        mk_prompt_ours(out, tools_head);
        for (size_t i = 0; i < json_array_size(list); i++) add_tool(out, json_array_get(list, i));
        mk_prompt_ours(out, tools_rules);
    }
    json_decref(list);
    return ok;
}

static const char *without_thought(const struct mk_message *m)
{
    const char *end = m->content && !m->reasoning ? strstr(m->content, MK_THINK_END) : NULL;
    return end ? end + strlen(MK_THINK_END) : m->content;
}

static void add_answer(struct mk_prompt *out, const struct mk_message *m, bool is_whole)
{
    mk_prompt_theirs(out, is_whole ? m->content : without_thought(m));
    if (m->n_calls) mk_prompt_ours(out, call_tags.all_begin);
    for (size_t k = 0; k < m->n_calls; k++) mk_prompt_call(out, &call_tags, &m->calls[k]);
    if (m->n_calls) mk_prompt_ours(out, call_tags.all_end);
    mk_prompt_ours(out, MK_EOS);
}

static bool render(struct mk_prompt *out, const struct mk_conversation *c,
                   const struct mk_chat_options *o, struct mk_err *err)
{
    bool after_user = false, after_output = false;
    mk_prompt_ours(out, MK_BOS);
    mk_prompt_systems(out, c);
    if (c->tools && !add_tools(out, c->tools, err)) return false;
    for (size_t i = 0; i < c->n; i++) {
        const struct mk_message *m = &c->list[i];
        if (m->role == MK_SYSTEM) continue;
        if (m->role == MK_USER) {
            mk_prompt_ours(out, MK_USER_TAG);
            mk_prompt_theirs(out, m->content);
        } else if (m->role == MK_TOOL) {
            mk_prompt_ours(out, MK_OUTPUT);
            mk_prompt_theirs(out, m->content);
            mk_prompt_ours(out, MK_OUTPUT_END);
        } else if (c->continues && i + 1 == c->n) {
            const char *none = after_user ? MK_THINK_END : "";
            if (after_user) mk_prompt_ours(out, MK_ASSISTANT_TAG);
            mk_prompt_begun(out, m, without_thought(m), o->thinking,
                            &(struct mk_thought_tags){MK_THINK, MK_THINK_END, none});
            return true;
        } else {
            if (after_user) mk_prompt_ours(out, MK_ASSISTANT_TAG MK_THINK_END);
            add_answer(out, m, after_output || m->n_calls);
        }
        after_user = m->role == MK_USER;
        after_output = m->role == MK_TOOL;
    }
    if (after_user && !o->no_generation_prompt) {
        mk_prompt_ours(out, MK_ASSISTANT_TAG);
        mk_prompt_ours(out, o->thinking ? MK_THINK : MK_THINK_END);
        out->inside = o->thinking ? MK_IN_THOUGHT : MK_IN_TURN;
    }
    return true;
}

static const char *const stops[] = {MK_USER_TAG, MK_OUTPUT, NULL};
static const struct mk_template_signs signs = {
    .has = {MK_USER_TAG, MK_ASSISTANT_TAG MK_THINK_END, MK_OUTPUT, "is_last_user"},
    .lacks = {MK_THINK MK_THINK_END, "```json"},
    .pre = {"deepseek-v3"},
    .tokens = {MK_USER_TAG, MK_ASSISTANT_TAG, MK_THINK},
};
const struct mk_template mk_template_deepseek_v3_1 = {
    .name = "deepseek-v3.1",
    .about = "DeepSeek-V3.1: thinks or not, lists tools",
    .can_think = true,
    .can_not_think = true,
    .lists_tools = true,
    .render = render,
    .think_open = MK_THINK,
    .think_close = MK_THINK_END,
    .stops = stops,
    .calls = &call_tags,
    .signs = &signs,
};
