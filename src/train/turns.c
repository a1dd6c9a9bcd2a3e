/* A conversation as sequences: what the model reads before each of the assistant's turns, and
 * what it is to write there.
 *
 *     prompt    <BOS><User>2+2?<Assistant><think>                 weight 0
 *     turn      2+2 is 4.</think>4<EOS>                           weight 1
 *     prompt    <BOS><User>2+2?<Assistant></think>4<EOS><User>...
 *
 * A turn's text after the thought is cut out of the conversation rendered with it, so calls of
 * tools are written as the template writes them.  When the next prompt begins with all that was
 * so far it goes on in the same sequence; here it does not, because the thought is gone, and a
 * new sequence begins, in which the old turn is only read. */
#include "base/mem.h"
#include "train/int_data.h"

#include <stdlib.h>
#include <string.h>

/* ---- thoughts ---- */

static char *trimmed(const char *s, size_t n)
{
    while (n && *s == '\n') s++, n--;
    while (n && s[n - 1] == '\n') n--;
    return mk_strndup(s, n);
}

/* "<think>T</think>A" or "T</think>A" in content becomes reasoning T and content A; line breaks
 * around both are the template's. */
static void split_thought(struct mk_message *m, const struct mk_template *t)
{
    char *end = m->content && !m->reasoning ? strstr(m->content, t->think_close) : NULL;
    if (!end) return;
    const size_t n_open = strlen(t->think_open);
    const char *from =
        strncmp(m->content, t->think_open, n_open) ? m->content : m->content + n_open;
    const char *answer = end + strlen(t->think_close);
    while (*answer == '\n') answer++;
    char *content = mk_strdup(answer);
    m->reasoning = trimmed(from, (size_t)(end - from));
    free(m->content);
    m->content = content;
}

/* ---- one turn ---- */

struct turn {
    struct mk_prompt prompt, whole; /* before the turn, and with it */
    struct mk_prompt text;          /* what the model writes */
    struct mk_ids prompt_ids, ids;
};

static void turn_release(struct turn *t)
{
    mk_prompt_release(&t->prompt);
    mk_prompt_release(&t->whole);
    mk_prompt_release(&t->text);
    mk_ids_release(&t->prompt_ids);
    mk_ids_release(&t->ids);
}

/* How many bytes two prompts have in common; a special token is whole or not. */
static size_t common(const struct mk_prompt *a, const struct mk_prompt *b)
{
    size_t at = 0;
    for (size_t i = 0; i < a->n_spans && i < b->n_spans; i++) {
        const struct mk_prompt_span *p = &a->spans[i], *q = &b->spans[i];
        if (p->is_special != q->is_special) break;
        size_t k = at;
        while (k < p->end && k < q->end && a->text.data[k] == b->text.data[k]) k++;
        if (k == p->end && k == q->end) {
            at = k;
            continue;
        }
        return p->is_special ? at : k;
    }
    return at;
}

/* Besides what opens a turn, the conversation with the turn must begin with the prompt. */
static bool is_opening(const struct mk_prompt *p, size_t from)
{
    for (size_t i = 0, at = 0; i < p->n_spans; at = p->spans[i++].end)
        for (size_t k = at > from ? at : from; !p->spans[i].is_special && k < p->spans[i].end; k++)
            if (p->text.data[k] != '\n') return false;
    return true;
}

static void add_from(struct mk_prompt *out, const struct mk_prompt *p, size_t from,
                     const char *skip)
{
    for (size_t i = 0, at = 0; i < p->n_spans; at = p->spans[i++].end) {
        const size_t begin = at > from ? at : from, end = p->spans[i].end;
        if (end <= begin) continue;
        const bool skips = skip && begin == from && p->spans[i].is_special &&
                           strlen(skip) == end - begin &&
                           !memcmp(p->text.data + begin, skip, end - begin);
        if (!skips) mk_prompt_add(out, p->text.data + begin, end - begin, p->spans[i].is_special);
    }
}

/* A template that opens a thought with a line break (R1) closes it with one and leaves an empty
 * line before the answer, as its models do. */
static void add_thought(struct turn *t, const char *thought, const char *close)
{
    const struct mk_str *text = &t->prompt.text;
    const bool breaks = text->data[text->len - 1] == '\n';
    if (thought) mk_prompt_add(&t->text, thought, strlen(thought), false);
    if (breaks) mk_prompt_add(&t->text, "\n", 1, false);
    mk_prompt_add(&t->text, close, strlen(close), true);
    if (breaks) mk_prompt_add(&t->text, "\n\n", 2, false);
}

static bool render(struct turn *t, const struct mk_turns *o, const struct mk_conversation *c,
                   size_t i, bool thinks, struct mk_err *err)
{
    struct mk_conversation before = *c, with = *c; /* they share the messages */
    before.n = i;
    with.n = i + 1;
    before.continues = with.continues = false; /* an example is whole */
    const struct mk_chat_options open = {.thinking = thinks},
                                 closed = {.no_generation_prompt = true};
    return mk_chat_render(&t->prompt, o->template, &before, &open, err) &&
           mk_chat_render(&t->whole, o->template, &with, &closed, err);
}

/* Message i of the conversation. */
static bool make_turn(struct turn *t, const struct mk_turns *o, const struct mk_conversation *c,
                      size_t i, struct mk_err *err)
{
    const struct mk_message *m = &c->list[i];
    const bool thinks = m->reasoning && *m->reasoning;
    if (!thinks && !m->n_calls && !(m->content && *m->content))
        return mk_fail(err, MK_EFORMAT, "it is empty");
    if (!render(t, o, c, i, thinks, err)) return false;
    const size_t from = common(&t->prompt, &t->whole);
    if (!is_opening(&t->prompt, from))
        return mk_fail(err, MK_EUNSUPPORTED,
                       "template %s writes what is before it in another way afterwards",
                       o->template->name);
    const bool in_thought = t->prompt.inside == MK_IN_THOUGHT;
    if (in_thought)
        add_thought(t, m->reasoning, o->template->think_close);
    else if (thinks)
        return mk_fail(err, MK_EUNSUPPORTED, "it has a thought: template %s does not think there",
                       o->template->name);
    add_from(&t->text, &t->whole, from, in_thought ? o->template->think_close : NULL);
    mk_prompt_tokenize(&t->prompt, o->tokenizer, &t->prompt_ids);
    mk_prompt_tokenize(&t->text, o->tokenizer, &t->ids);
    const int32_t eos = mk_token_eos(o->tokenizer);
    if (eos >= 0 && (!t->ids.n || t->ids.v[t->ids.n - 1] != eos)) mk_ids_add(&t->ids, eos);
    return true;
}

/* ---- all turns ---- */

static bool continues(const struct mk_seqs *s, size_t from, const struct mk_ids *prompt)
{
    const size_t n = s->n_tok - from;
    return n <= prompt->n && (!n || !memcmp(s->tok + from, prompt->v, n * sizeof *prompt->v));
}

/* Puts a turn on the open sequence that starts at *from, or ends that and starts another.
 * False when no token of the turn fits. */
static bool put_turn(struct mk_seqs *out, size_t *from, const struct turn *t, size_t n_ctx)
{
    if (t->prompt_ids.n >= n_ctx) return false;
    if (!continues(out, *from, &t->prompt_ids)) {
        mk_seqs_end(out);
        *from = out->n_tok;
    }
    const size_t have = out->n_tok - *from, room = n_ctx - t->prompt_ids.n;
    mk_seqs_put(out, t->prompt_ids.v + have, t->prompt_ids.n - have, 0);
    mk_seqs_put(out, t->ids.v, t->ids.n < room ? t->ids.n : room, 1);
    return true;
}

static bool put_turns(struct mk_turns *o, struct mk_conversation *c, struct mk_seqs *out,
                      struct mk_err *err)
{
    size_t from = out->n_tok, n_turns = 0;
    bool fits = true;
    for (size_t i = 0; fits && i < c->n; i++) {
        if (c->list[i].role != MK_ASSISTANT) continue;
        if (o->template->think_close) split_thought(&c->list[i], o->template);
        struct turn t = {0};
        bool ok = make_turn(&t, o, c, i, err);
        fits = ok && put_turn(out, &from, &t, o->n_ctx);
        if (ok && !fits && !n_turns)
            ok = mk_fail(err, MK_ELIMIT,
                         "its prompt has %zu tokens: no room for an answer in a context of %zu",
                         t.prompt_ids.n, o->n_ctx);
        fits = fits && t.prompt_ids.n + t.ids.n <= o->n_ctx;
        turn_release(&t);
        n_turns++;
        if (!ok) return mk_fail_in(err, "answer %zu", n_turns);
    }
    if (!n_turns) return mk_fail(err, MK_EFORMAT, "no message of the assistant to learn from");
    mk_seqs_end(out);
    o->n_cut += !fits;
    return true;
}

bool mk_turns_put(struct mk_turns *o, struct mk_conversation *c, struct mk_seqs *out,
                  struct mk_err *err)
{
    const size_t n = out->n, n_tok = out->n_tok;
    if (put_turns(o, c, out, err)) return true;
    out->n = n;
    out->n_tok = n_tok;
    return false;
}
