/* Prompts: text with marks on the special tokens.
 *
 *   <BOS>You are brief.<User>What does <User> mean?<Assistant>
 *   -----              ------                     -----------     special: from the template
 *        --------------      ---------------------                plain: whatever it says
 *
 * Only what a template wrote as special is looked up as a special token, so no text of a
 * user can open or close a turn. */
#include "base/mem.h"
#include "chat/int_chat.h"

#include <stdlib.h>
#include <string.h>

void mk_prompt_release(struct mk_prompt *p)
{
    mk_str_release(&p->text);
    free(p->spans);
    *p = (struct mk_prompt){0};
}

void mk_prompt_add(struct mk_prompt *p, const char *text, size_t n, bool is_special)
{
    if (n == 0) return;
    mk_str_append(&p->text, text, n);
    if (!is_special && p->n_spans && !p->spans[p->n_spans - 1].is_special) {
        p->spans[p->n_spans - 1].end = p->text.len;
        return;
    }
    if ((p->n_spans & (p->n_spans - 1)) == 0) /* full at every power of two */
        p->spans = mk_realloc(p->spans, (p->n_spans ? 2 * p->n_spans : 1) * sizeof *p->spans);
    p->spans[p->n_spans++] = (struct mk_prompt_span){p->text.len, is_special};
}

/* The length of the special token that our text begins with, 0 if none. */
static size_t special_len(const char *s)
{
    static const char bar[] = "｜>";
    if (strncmp(s, MK_THINK, strlen(MK_THINK)) == 0) return strlen(MK_THINK);
    if (strncmp(s, MK_THINK_END, strlen(MK_THINK_END)) == 0) return strlen(MK_THINK_END);
    if (strncmp(s, "<｜", strlen("<｜")) != 0) return 0;
    const char *end = strstr(s, bar);
    return end ? (size_t)(end - s) + strlen(bar) : 0;
}

void mk_prompt_ours(struct mk_prompt *p, const char *text)
{
    while (*text) {
        const size_t n = special_len(text);
        if (n) {
            mk_prompt_add(p, text, n, true);
            text += n;
            continue;
        }
        const char *next = strchr(text + 1, '<');
        const size_t plain = next ? (size_t)(next - text) : strlen(text);
        mk_prompt_add(p, text, plain, false);
        text += plain;
    }
}

void mk_prompt_theirs(struct mk_prompt *p, const char *text)
{
    if (text) mk_prompt_add(p, text, strlen(text), false);
}

void mk_prompt_systems(struct mk_prompt *p, const struct mk_conversation *c)
{
    const char *sep = "";
    for (size_t i = 0; i < c->n; i++) {
        if (c->list[i].role != MK_SYSTEM) continue;
        mk_prompt_ours(p, sep);
        mk_prompt_theirs(p, c->list[i].content);
        sep = "\n\n";
    }
}

void mk_prompt_call(struct mk_prompt *p, const struct mk_call_tags *tags,
                    const struct mk_tool_call *call)
{
    mk_prompt_ours(p, tags->begin);
    mk_prompt_ours(p, tags->before_name);
    mk_prompt_theirs(p, call->name);
    mk_prompt_ours(p, tags->after_name);
    mk_prompt_theirs(p, call->arguments);
    mk_prompt_ours(p, tags->after_args);
    mk_prompt_ours(p, tags->end);
}

void mk_prompt_begun(struct mk_prompt *p, const struct mk_message *m, const char *text,
                     bool is_thinking, const struct mk_thought_tags *tags)
{
    const bool has_text = text && *text;
    const bool has_thought = m->reasoning && *m->reasoning && (is_thinking || !has_text);
    mk_prompt_ours(p, has_thought ? tags->open : tags->none);
    if (has_thought) mk_prompt_theirs(p, m->reasoning);
    if (has_thought && has_text) mk_prompt_ours(p, tags->close);
    mk_prompt_theirs(p, text);
    p->inside = has_thought && !has_text ? MK_IN_THOUGHT : MK_IN_ANSWER;
}

bool mk_refuse_tools(const struct mk_conversation *c, const char *template_name, struct mk_err *err)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->list[i].role == MK_TOOL || c->list[i].n_calls)
            return mk_fail(err, MK_EUNSUPPORTED,
                           "messages[%zu] has a tool's %s: template %s knows no tools", i,
                           c->list[i].role == MK_TOOL ? "result" : "call", template_name);
    return true;
}

/* A special token that this tokenizer does not have is text to it, and merges with the
 * text around it, as it does in the reference tokenizers. */
void mk_prompt_tokenize(const struct mk_prompt *p, const struct mk_tokenizer *t, struct mk_ids *out)
{
    struct mk_str tag = {0};
    size_t begin = 0, plain = 0; /* plain: where text that is not yet tokenized starts */
    for (size_t i = 0; i < p->n_spans; begin = p->spans[i++].end) {
        if (!p->spans[i].is_special) continue;
        mk_str_clear(&tag);
        mk_str_append(&tag, p->text.data + begin, p->spans[i].end - begin);
        const int32_t id = mk_token_find(t, tag.data);
        if (id < 0) continue;
        mk_tokenize(t, p->text.data + plain, begin - plain, 0, out);
        mk_ids_add(out, id);
        plain = p->spans[i].end;
    }
    if (p->text.len > plain) mk_tokenize(t, p->text.data + plain, p->text.len - plain, 0, out);
    mk_str_release(&tag);
}
