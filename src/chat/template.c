/* The list of templates, and which of them a checkpoint wants.
 *
 * A template's text is matched by substrings that tell what it renders (each template's
 * signs), so that a reformatted copy is still known, and a changed one is not taken for
 * the original.  Nothing of a template is ever executed. */
#include "base/mem.h"
#include "chat/int_chat.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define TEMPLATE(x) &x,
const struct mk_template *const mk_templates[] = {
#include "chat/chat.def"
    NULL};
#undef TEMPLATE
enum { N_TEMPLATES = sizeof mk_templates / sizeof mk_templates[0] - 1 };

const struct mk_template *mk_template_find(const char *name)
{
    for (size_t i = 0; mk_templates[i]; i++)
        if (strcmp(mk_templates[i]->name, name) == 0) return mk_templates[i];
    return NULL;
}

static bool is_empty(const char *text) { return !text || !*text; }

/* Makes c end before a last message that is to be continued and has nothing in it yet: its turn is
 * opened like any other. */
static bool settle_beginning(struct mk_conversation *c, const struct mk_template *t,
                             struct mk_err *err)
{
    assert(c->n && c->list[c->n - 1].role == MK_ASSISTANT);
    const struct mk_message *m = &c->list[c->n - 1];
    if (m->n_calls)
        return mk_fail(err, MK_EUNSUPPORTED,
                       "messages[%zu] has calls of tools, it cannot be continued", c->n - 1);
    if (!is_empty(m->content)) return true;
    if (!is_empty(m->reasoning) && !t->think_open)
        return mk_fail(err, MK_EUNSUPPORTED,
                       "messages[%zu].reasoning_content cannot be continued: template %s has no "
                       "thoughts",
                       c->n - 1, t->name);
    c->continues = !is_empty(m->reasoning);
    c->n -= !c->continues;
    return true;
}

bool mk_chat_render(struct mk_prompt *out, const struct mk_template *t,
                    const struct mk_conversation *c, const struct mk_chat_options *o,
                    struct mk_err *err)
{
    struct mk_chat_options options = *o;
    struct mk_conversation settled = *c; /* borrows */
    if (!t->can_think) options.thinking = false;
    if (!t->can_not_think) options.thinking = true;
    if (c->continues && !settle_beginning(&settled, t, err)) return false;
    struct mk_prompt p = {0};
    if (!t->render(&p, &settled, &options, err)) {
        mk_prompt_release(&p);
        return false;
    }
    mk_prompt_release(out);
    *out = p;
    return true;
}

static bool has_pre(const struct mk_template_signs *s, const char *pre)
{
    for (size_t i = 0; pre && i < MK_MAX_SIGNS && s->pre[i]; i++)
        if (strcmp(s->pre[i], pre) == 0) return true;
    return false;
}

static bool fits_text(const struct mk_template_signs *s, const char *text)
{
    for (size_t i = 0; i < MK_MAX_SIGNS; i++) {
        if (s->has[i] && !strstr(text, s->has[i])) return false;
        if (s->lacks[i] && strstr(text, s->lacks[i])) return false;
    }
    return true;
}

static bool fits_tokens(const struct mk_template_signs *s, const struct mk_tokenizer *t)
{
    if (!has_pre(s, mk_tokenizer_pre(t))) return false;
    for (size_t i = 0; i < MK_MAX_SIGNS; i++) {
        if (s->tokens[i] && mk_token_find(t, s->tokens[i]) < 0) return false;
        if (s->no_tokens[i] && mk_token_find(t, s->no_tokens[i]) >= 0) return false;
    }
    return true;
}

struct choice {
    const struct mk_template *list[N_TEMPLATES];
    size_t n;
};

static void add_names(struct mk_str *s, const struct mk_template *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) mk_str_addf(s, "%s%s", i ? ", " : "", list[i]->name);
}

void mk_str_add_start(struct mk_str *out, const char *text, size_t n_max)
{
    const size_t n = mk_utf8_valid(text, strnlen(text, n_max));
    for (size_t i = 0; i < n; i++)
        mk_str_addc(out, (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? ' ' : text[i]);
    mk_str_add(out, text[n] ? "..." : "");
}

static bool fail_text(const char *text, struct mk_err *err)
{
    struct mk_str start = {0}, names = {0};
    mk_str_add_start(&start, text, 100);
    add_names(&names, mk_templates, N_TEMPLATES);
    mk_fail(err, MK_EUNSUPPORTED,
            "unknown chat_template \"%s\"; choose one that fits with --template: %s", start.data,
            names.data);
    mk_str_release(&start);
    mk_str_release(&names);
    return false;
}

static bool fail_tokens(const struct choice *fits, const char *pre, struct mk_err *err)
{
    struct mk_str names = {0};
    add_names(&names, fits->n ? fits->list : mk_templates, fits->n ? fits->n : N_TEMPLATES);
    mk_fail(err, MK_EUNSUPPORTED,
            "no chat_template, and special tokens with pre-tokenizer %s fit %s template; "
            "choose one with --template: %s",
            pre ? pre : "unknown", fits->n ? "more than one" : "no", names.data);
    mk_str_release(&names);
    return false;
}

/* A line break and the two characters \n are the same in a template's strings. */
static char *escape_lines(const char *text)
{
    struct mk_str s = {0};
    for (; *text; text++) *text == '\n' ? mk_str_add(&s, "\\n") : mk_str_addc(&s, *text);
    return mk_str_take(&s);
}

static bool detect_text(const struct mk_template **out, const char *text, const char *pre,
                        struct mk_err *err)
{
    struct choice fits = {0};
    char *flat = escape_lines(text);
    for (size_t i = 0; i < N_TEMPLATES; i++)
        if (fits_text(mk_templates[i]->signs, flat)) fits.list[fits.n++] = mk_templates[i];
    free(flat);
    if (fits.n == 0) return fail_text(text, err);
    size_t best = 0;
    for (size_t i = fits.n; i-- > 0;)
        if (has_pre(fits.list[i]->signs, pre)) best = i;
    *out = fits.list[best];
    return true;
}

bool mk_template_detect(const struct mk_template **out, const struct mk_tokenizer *t,
                        struct mk_err *err)
{
    const char *text = mk_tokenizer_template(t), *pre = mk_tokenizer_pre(t);
    if (text && *text) return detect_text(out, text, pre, err);
    struct choice fits = {0};
    for (size_t i = 0; i < N_TEMPLATES; i++)
        if (fits_tokens(mk_templates[i]->signs, t)) fits.list[fits.n++] = mk_templates[i];
    if (fits.n != 1) return fail_tokens(&fits, pre, err);
    *out = fits.list[0];
    return true;
}

bool mk_template_thinks(const struct mk_template *t, const struct mk_tokenizer *tokenizer)
{
    const char *text = mk_tokenizer_template(tokenizer);
    return !t->can_not_think || (t->can_think && text && strstr(text, "set thinking = true"));
}
