/* DeepSeek-R1 and its distills.  As V3 (deepseek_v3.c) except that
 *   - the turn to come is opened with <Assistant><think>\n: it starts inside a thought;
 *   - earlier answers are cut to what follows their last </think>, line breaks included;
 *   - only the last system text counts.
 * After results of tools nothing is opened: the model may think or not, and says so.
 *
 * The first published template (January 2025) ended at <Assistant>, and models sometimes
 * skipped the thought; it is recognised and rendered as the present one.  The distills have
 * R1's text with other tokenizers, which is how they are told apart. */
#include "chat/int_chat.h"

static bool render(struct mk_prompt *out, const struct mk_conversation *c,
                   const struct mk_chat_options *o, struct mk_err *err)
{
    static const struct mk_v3_style style = {
        .name = "deepseek-r1",
        .opening = MK_ASSISTANT_TAG MK_THINK "\n",
        .last_system_only = true,
        .cuts_thoughts = true,
        .calls = &mk_v3_calls,
    };
    return mk_v3_render(out, c, o, &style, err);
}

#define R1_TEXT                                                        \
    .has = {MK_USER_TAG, MK_OUTPUTS, "split('" MK_THINK_END "')[-1]"}, \
    .lacks = {"is_first_sp", "is_last_user"}

static const char *const stops[] = {MK_USER_TAG, MK_OUTPUTS, NULL};

static const struct mk_template_signs signs_r1 = {
    R1_TEXT,
    .pre = {"deepseek-v3"},
    .tokens = {MK_USER_TAG, MK_ASSISTANT_TAG, MK_THINK},
};
const struct mk_template mk_template_deepseek_r1 = {
    .name = "deepseek-r1",
    .about = "DeepSeek-R1: always thinks",
    .can_think = true,
    .render = render,
    .think_open = MK_THINK,
    .think_close = MK_THINK_END,
    .stops = stops,
    .calls = &mk_v3_calls,
    .signs = &signs_r1,
};

static const struct mk_template_signs signs_qwen = {
    R1_TEXT,
    .pre = {"qwen2", "deepseek-r1-qwen"},
    .tokens = {MK_USER_TAG, MK_ASSISTANT_TAG, MK_THINK},
};
const struct mk_template mk_template_r1_distill_qwen = {
    .name = "r1-distill-qwen",
    .about = "DeepSeek-R1-Distill-Qwen: as R1",
    .can_think = true,
    .render = render,
    .think_open = MK_THINK,
    .think_close = MK_THINK_END,
    .stops = stops,
    .calls = &mk_v3_calls,
    .signs = &signs_qwen,
};

static const struct mk_template_signs signs_llama = {
    R1_TEXT,
    .pre = {"llama3", "llama-bpe"},
    .tokens = {MK_USER_TAG, MK_ASSISTANT_TAG, MK_THINK},
};
const struct mk_template mk_template_r1_distill_llama = {
    .name = "r1-distill-llama",
    .about = "DeepSeek-R1-Distill-Llama: as R1",
    .can_think = true,
    .render = render,
    .think_open = MK_THINK,
    .think_close = MK_THINK_END,
    .stops = stops,
    .calls = &mk_v3_calls,
    .signs = &signs_llama,
};
