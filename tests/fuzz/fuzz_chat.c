/* Conversations from outside: JSON -> every template; and the same bytes as a model's
 * output, which the splitter must read alike in one piece and in many. */
#include "fuzz.h"

#include "chat/chat.h"

#include <stdlib.h>
#include <string.h>

static void must(bool fact)
{
    if (!fact) abort();
}

static void render_all(const struct mk_conversation *c)
{
    for (size_t i = 0; mk_templates[i]; i++)
        for (int k = 0; k < 4; k++) {
            const struct mk_chat_options o = {.thinking = k & 1, .no_generation_prompt = k & 2};
            struct mk_prompt p = {0};
            struct mk_err err;
            if (!mk_chat_render(&p, mk_templates[i], c, &o, &err)) {
                must(err.msg[0] && p.spans == NULL);
                continue;
            }
            must(p.n_spans > 0 && p.spans[0].is_special);
            size_t at = 0;
            for (size_t s = 0; s < p.n_spans; at = p.spans[s++].end)
                must(p.spans[s].end > at &&
                     (s == 0 || p.spans[s].is_special || p.spans[s - 1].is_special));
            must(at == p.text.len);
            mk_prompt_release(&p);
        }
}

struct parts {
    struct mk_str text[3];
};
static void take(void *arg, enum mk_part part, const char *b, size_t n)
{
    struct parts *p = arg;
    if (part == MK_PART_CALL && n == 0) mk_str_addc(&p->text[part], '|');
    mk_str_append(&p->text[part], b, n);
}

/* Pieces of 1 to step bytes; 0: in one piece. */
static void split(struct parts *out, const struct mk_template *t, enum mk_inside inside,
                  const char *text, size_t size, size_t step)
{
    struct mk_splitter *s = mk_splitter_new(t, inside, take, out);
    for (size_t at = 0, n; at < size; at += n) {
        n = step ? 1 + at * 7 % step : size;
        if (n > size - at) n = size - at;
        mk_splitter_add(s, text + at, n);
    }
    mk_splitter_end(s);
    size_t n_calls, n_bars = 0;
    const struct mk_tool_call *calls = mk_splitter_calls(s, &n_calls);
    for (size_t i = 0; i < n_calls; i++)
        must(calls[i].id && calls[i].name[0] && calls[i].arguments);
    for (size_t i = 0; i < out->text[MK_PART_CALL].len; i++)
        n_bars += out->text[MK_PART_CALL].data[i] == '|';
    must(n_bars >= n_calls);
    mk_splitter_free(s);
}

static void split_all(const char *text, size_t size)
{
    static const size_t steps[] = {1, 5, 40};
    for (size_t i = 0; mk_templates[i]; i++)
        for (enum mk_inside in = MK_IN_TURN; in <= MK_IN_ANSWER; in++) {
            struct parts whole = {0};
            split(&whole, mk_templates[i], in, text, size, 0);
            for (size_t k = 0; k < sizeof steps / sizeof steps[0]; k++) {
                struct parts cut = {0};
                split(&cut, mk_templates[i], in, text, size, steps[k]);
                for (int p = 0; p < 3; p++) {
                    must(cut.text[p].len == whole.text[p].len);
                    must(memcmp(mk_str_c(&cut.text[p]), mk_str_c(&whole.text[p]),
                                cut.text[p].len) == 0);
                    mk_str_release(&cut.text[p]);
                }
            }
            for (int p = 0; p < 3; p++) mk_str_release(&whole.text[p]);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct mk_conversation c;
    struct mk_err err;
    if (mk_conversation_parse(&c, text, size, &err)) {
        render_all(&c);
        mk_conversation_release(&c);
    }
    split_all(text, size);
    return 0;
}
