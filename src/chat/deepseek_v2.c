/* DeepSeek-V2, V2-Lite, Coder-V2 and the V1 chat models: roles are plain words, only BOS
 * and EOS are tokens.  System texts stay where they are.
 *
 *     BOS {system}\n\nUser: {user}\n\nAssistant: {answer}EOS User: {user}\n\nAssistant:
 *
 * (without the spaces after BOS and EOS).  The prompt ends at the colon: the model writes
 * the space itself, and the splitter drops it, or it would be doubled in the next prompt.
 *
 * V2.5 has V3's role tokens; of V3's template it lacks the tools. */
#include "chat/int_chat.h"

static bool render_v2(struct mk_prompt *out, const struct mk_conversation *c,
                      const struct mk_chat_options *o, struct mk_err *err)
{
    if (!mk_refuse_tools(c, "deepseek-v2", err)) return false;
    mk_prompt_ours(out, MK_BOS);
    for (size_t i = 0; i < c->n; i++) {
        const struct mk_message *m = &c->list[i];
        const bool is_answer = m->role == MK_ASSISTANT;
        mk_prompt_ours(out, m->role == MK_USER ? "User: " : is_answer ? "Assistant: " : "");
        mk_prompt_theirs(out, m->content);
        if (c->continues && i + 1 == c->n) {
            out->inside = MK_IN_ANSWER;
            return true;
        }
        mk_prompt_ours(out, is_answer ? MK_EOS : "\n\n");
    }
    if (!o->no_generation_prompt) mk_prompt_ours(out, "Assistant:");
    return true;
}

static const char *const no_stops[] = {NULL};
static const struct mk_template_signs signs_v2 = {
    .has = {"'User: ' + message['content'] + '\\n\\n'",
            "'Assistant: ' + message['content'] + eos_token", "'Assistant:'"},
    .lacks = {MK_USER_TAG},
    .pre = {"deepseek-llm"},
    .tokens = {MK_BOS},
    .no_tokens = {MK_USER_TAG},
};
const struct mk_template mk_template_deepseek_v2 = {
    .name = "deepseek-v2",
    .about = "DeepSeek-V2, V2-Lite, Coder-V2: User: and Assistant: in plain words",
    .can_not_think = true,
    .leading_space = true,
    .render = render_v2,
    .stops = no_stops,
    .signs = &signs_v2,
};

static bool render_v2_5(struct mk_prompt *out, const struct mk_conversation *c,
                        const struct mk_chat_options *o, struct mk_err *err)
{
    static const struct mk_v3_style style = {.name = "deepseek-v2.5", .opening = MK_ASSISTANT_TAG};
    return mk_v3_render(out, c, o, &style, err);
}

static const char *const stops_v2_5[] = {MK_USER_TAG, NULL};
static const struct mk_template_signs signs_v2_5 = {
    .has = {MK_USER_TAG, MK_ASSISTANT_TAG},
    .lacks = {MK_THINK, MK_THINK_END, "is_first_sp", "is_last_user"},
    .pre = {"deepseek-llm"},
    .tokens = {MK_USER_TAG, MK_ASSISTANT_TAG},
};
const struct mk_template mk_template_deepseek_v2_5 = {
    .name = "deepseek-v2.5",
    .about = "DeepSeek-V2.5: V3's roles, no tools",
    .can_not_think = true,
    .render = render_v2_5,
    .stops = stops_v2_5,
    .signs = &signs_v2_5,
};
