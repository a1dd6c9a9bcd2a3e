/* A model's text, as it streams, to reasoning, answer and tool calls.
 *
 *            <think>             </think>             <calls> or <call>
 *     START ---------> REASONING ---------> ANSWER ---------------------> CALLS
 *       |  \_________________________________^  ^                         |   ^
 *       |          (not in a thought)           |        </calls>         |   |
 *       |                                       +-------------------------+   |
 *       |                                                           <call>|   | </call>
 *       |                                                                 v   |
 *                                                                       NAME->ARGS
 *
 * Undecided bytes wait in `held`, tags of a call that is not proven yet in `open`.  If it
 * turns out to be none, `open` is text and what followed is read again as text, so nothing
 * is lost.  Every decision depends only on the bytes before it, never on how they were cut
 * into pieces. */
#include "base/mem.h"
#include "chat/int_chat.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAX_NAME = 128,      /* bytes of a tool's name */
    MAX_START_SPACE = 16 /* line breaks before an opening <think> */
};

enum state { START, TEXT, CALLS, NAME, ARGS };

struct mk_splitter {
    const struct mk_template *t;
    mk_part_fn *fn;
    void *arg;
    enum state state;
    enum mk_part part; /* of TEXT, now or after a call that is none */
    bool skips_lines;  /* right after a thought */
    bool is_list_empty;
    struct mk_str held, open;
    size_t at;   /* held[0..at) is done with */
    char *close; /* after_args and end in one */
    struct mk_tool_call *calls;
    size_t n_calls;
    struct mk_str args; /* of the call being written */
};

/* In the middle of an answer nothing is layout: a space or a line break belongs to it. */
struct mk_splitter *mk_splitter_new(const struct mk_template *t, enum mk_inside inside,
                                    mk_part_fn *fn, void *arg)
{
    struct mk_splitter *s = mk_alloc(sizeof *s);
    *s = (struct mk_splitter){.t = t, .fn = fn, .arg = arg};
    const bool thinks = t->think_close != NULL;
    s->part = inside == MK_IN_THOUGHT && thinks ? MK_PART_REASONING : MK_PART_ANSWER;
    s->skips_lines = thinks && inside == MK_IN_TURN;
    if (inside == MK_IN_ANSWER) s->state = TEXT;
    if (t->calls) {
        struct mk_str close = {0};
        mk_str_add(&close, t->calls->after_args);
        mk_str_add(&close, t->calls->end);
        s->close = mk_str_take(&close);
    }
    return s;
}

void mk_splitter_free(struct mk_splitter *s)
{
    if (!s) return;
    if (s->state == ARGS) s->calls[s->n_calls - 1].arguments = NULL; /* belongs to args */
    for (size_t i = 0; i < s->n_calls; i++) mk_tool_call_release(&s->calls[i]);
    free(s->calls);
    free(s->close);
    mk_str_release(&s->held);
    mk_str_release(&s->open);
    mk_str_release(&s->args);
    free(s);
}

const struct mk_tool_call *mk_splitter_calls(const struct mk_splitter *s, size_t *n)
{
    *n = s->n_calls;
    return s->calls;
}

static const char *rest(const struct mk_splitter *s) { return mk_str_c(&s->held) + s->at; }
static size_t n_rest(const struct mk_splitter *s) { return s->held.len - s->at; }

/* How b[0..n) begins: with all of tag, with something else, or it is too short to tell. */
enum begins { NO, YES, PERHAPS };
static enum begins begins(const char *b, size_t n, const char *tag)
{
    const size_t len = strlen(tag);
    if (memcmp(b, tag, n < len ? n : len) != 0) return NO;
    return n < len ? PERHAPS : YES;
}

/* The number of bytes before the first tag, or before what may become one; *which is the
 * tag's index, -1 while it is not known.  tags may hold NULLs. */
static size_t find_tag(const char *b, size_t n, const char *const *tags, int n_tags, int *which)
{
    *which = -1;
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < n_tags; k++) {
            if (!tags[k] || tags[k][0] != b[i]) continue;
            const enum begins r = begins(b + i, n - i, tags[k]);
            if (r == NO) continue;
            if (r == YES) *which = k;
            return i;
        }
    return n;
}

static void emit(struct mk_splitter *s, const char *b, size_t n)
{
    if (s->part == MK_PART_ANSWER && s->skips_lines) {
        while (n && *b == '\n') b++, n--;
        if (n) s->skips_lines = false;
    }
    if (n) s->fn(s->arg, s->part, b, n);
}

/* The next n bytes may belong to a call. */
static void keep_open(struct mk_splitter *s, size_t n)
{
    mk_str_append(&s->open, rest(s), n);
    s->at += n;
}

/* It was no call: what looked like one is text, and so is what follows. */
static bool give_up(struct mk_splitter *s)
{
    emit(s, mk_str_c(&s->open), s->open.len);
    mk_str_clear(&s->open);
    s->state = TEXT;
    return true;
}

/* Each step takes what it can from the held bytes; false: it needs more. */
static bool step_start(struct mk_splitter *s)
{
    const char *b = rest(s);
    const size_t n = n_rest(s);
    if (n == 0) return false;
    size_t i = 0;
    if (s->t->leading_space) {
        s->at += *b == ' ';
    } else if (s->t->think_open) {
        while (i < n && i < MAX_START_SPACE && b[i] == '\n') i++;
        const enum begins r = begins(b + i, n - i, s->t->think_open);
        if (r == PERHAPS) return false;
        if (r == YES) {
            s->at += i + strlen(s->t->think_open);
            s->part = MK_PART_REASONING;
        }
    }
    s->state = TEXT;
    return true;
}

static bool step_text(struct mk_splitter *s)
{
    const struct mk_call_tags *c = s->t->calls;
    const char *const tags[] = {s->part == MK_PART_REASONING ? s->t->think_close : NULL,
                                c ? c->all_begin : NULL, c ? c->begin : NULL};
    int which;
    const size_t n = find_tag(rest(s), n_rest(s), tags, 3, &which);
    emit(s, rest(s), n);
    s->at += n;
    if (which < 0) return false;
    if (which == 0) {
        s->at += strlen(tags[0]);
        s->part = MK_PART_ANSWER;
        s->skips_lines = true;
        return true;
    }
    keep_open(s, strlen(tags[which]));
    s->is_list_empty = true;
    s->state = which == 1 ? CALLS : NAME;
    return true;
}

static bool step_calls(struct mk_splitter *s)
{
    const struct mk_call_tags *c = s->t->calls;
    while (n_rest(s) && strchr(" \t\r\n", *rest(s)) && *rest(s)) keep_open(s, 1);
    const enum begins call = begins(rest(s), n_rest(s), c->begin);
    const enum begins end = begins(rest(s), n_rest(s), c->all_end);
    if (call == YES) {
        keep_open(s, strlen(c->begin));
        s->state = NAME;
        return true;
    }
    if (end == YES && !s->is_list_empty) {
        s->at += strlen(c->all_end);
        mk_str_clear(&s->open);
        s->state = TEXT;
        return true;
    }
    return call == PERHAPS || end == PERHAPS ? false : give_up(s);
}

static void open_call(struct mk_splitter *s, const char *name, size_t n)
{
    if ((s->n_calls & (s->n_calls - 1)) == 0)
        s->calls = mk_realloc(s->calls, (s->n_calls ? 2 * s->n_calls : 1) * sizeof *s->calls);
    struct mk_str id = {0};
    mk_str_addf(&id, "call_%zu", s->n_calls);
    mk_str_append(&s->args, "", 0);
    s->calls[s->n_calls++] =
        (struct mk_tool_call){mk_str_take(&id), mk_strndup(name, n), s->args.data};
    mk_str_clear(&s->open);
    s->state = ARGS;
    s->part = MK_PART_ANSWER;
    s->skips_lines = false;
    s->is_list_empty = false;
    s->fn(s->arg, MK_PART_CALL, "", 0);
}

/* before_name NAME after_name; NAME has no spaces, controls or "<". */
static bool step_name(struct mk_splitter *s)
{
    const struct mk_call_tags *c = s->t->calls;
    const char *b = rest(s);
    const size_t n = n_rest(s), skip = strlen(c->before_name);
    const enum begins head = begins(b, n, c->before_name);
    if (head != YES) return head == PERHAPS ? false : give_up(s);
    for (size_t i = skip; i < n; i++) {
        const enum begins r = begins(b + i, n - i, c->after_name);
        if (r == PERHAPS) return false;
        if (r == YES && i > skip) {
            open_call(s, b + skip, i - skip);
            s->at += i + strlen(c->after_name);
            return true;
        }
        if (r == YES || (unsigned char)b[i] <= ' ' || b[i] == 0x7f || b[i] == '<' ||
            i == skip + MAX_NAME)
            return give_up(s);
    }
    return false;
}

static void add_args(struct mk_splitter *s, size_t n)
{
    if (n == 0) return;
    mk_str_append(&s->args, rest(s), n);
    s->calls[s->n_calls - 1].arguments = s->args.data;
    s->fn(s->arg, MK_PART_CALL, rest(s), n);
    s->at += n;
}

static bool step_args(struct mk_splitter *s)
{
    const char *const tags[] = {s->close, s->t->calls->end};
    int which;
    add_args(s, find_tag(rest(s), n_rest(s), tags, 2, &which));
    if (which < 0) return false;
    s->at += strlen(tags[which]);
    s->calls[s->n_calls - 1].arguments = mk_str_take(&s->args);
    s->state = CALLS;
    return true;
}

static bool step(struct mk_splitter *s)
{
    switch (s->state) {
    case START:
        return step_start(s);
    case TEXT:
        return step_text(s);
    case CALLS:
        return step_calls(s);
    case NAME:
        return step_name(s);
    case ARGS:
        return step_args(s);
    }
    return false;
}

void mk_splitter_add(struct mk_splitter *s, const char *bytes, size_t n)
{
    if (n == 0) return;
    mk_str_append(&s->held, bytes, n);
    while (step(s)) {}
    s->held.len -= s->at;
    memmove(s->held.data, s->held.data + s->at, s->held.len);
    s->held.data[s->held.len] = '\0';
    s->at = 0;
}

void mk_splitter_end(struct mk_splitter *s)
{
    const size_t n = s->held.len;
    if (s->state == ARGS) {
        const char *fence = s->t->calls->after_args;
        if (!*fence || begins(rest(s), n, fence) != YES) add_args(s, n);
        s->calls[s->n_calls - 1].arguments = mk_str_take(&s->args);
        s->state = TEXT;
    } else {
        /* After a whole call, </calls> may be missing and white space may follow. */
        const bool is_layout = s->state == CALLS && !s->is_list_empty && n == 0;
        if (!is_layout) emit(s, mk_str_c(&s->open), s->open.len);
        emit(s, mk_str_c(&s->held), n);
    }
    mk_str_clear(&s->open);
    mk_str_clear(&s->held);
    s->at = 0;
}
