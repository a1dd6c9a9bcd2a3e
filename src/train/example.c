/* A problem as a sequence of tokens. */
#include "train/data.h"

#include <string.h>

static bool find(int32_t *out, const struct mk_tokenizer *t, const char *text, struct mk_err *err)
{
    const int32_t id = mk_token_find(t, text);
    if (id < 0) return mk_fail(err, MK_EUNSUPPORTED, "the tokenizer has no token %s", text);
    *out = id;
    return true;
}

bool mk_marks_find(struct mk_marks *out, const struct mk_tokenizer *t, struct mk_err *err)
{
    struct mk_marks m = {.bos = mk_token_bos(t), .eos = mk_token_eos(t)};
    if (m.bos < 0 || m.eos < 0)
        return mk_fail(err, MK_EUNSUPPORTED, "the tokenizer does not say which token %s a text",
                       m.bos < 0 ? "begins" : "ends");
    if (!find(&m.user, t, "<｜User｜>", err) || !find(&m.assistant, t, "<｜Assistant｜>", err) ||
        !find(&m.think, t, "<think>", err) || !find(&m.end_think, t, "</think>", err))
        return false;
    *out = m;
    return true;
}

void mk_prompt_put(struct mk_ids *out, const struct mk_tokenizer *t, const struct mk_marks *m,
                   const char *prompt, size_t n)
{
    mk_ids_add(out, m->bos);
    mk_ids_add(out, m->user);
    mk_tokenize(t, prompt, n, 0, out);
    mk_ids_add(out, m->assistant);
}

void mk_example_put(struct mk_seqs *out, const struct mk_tokenizer *t, const struct mk_marks *m,
                    const struct mk_str *prompt, const struct mk_str *trace,
                    const struct mk_str *answer, enum mk_form form)
{
    struct mk_ids ids = {0};
    mk_prompt_put(&ids, t, m, mk_str_c(prompt), prompt->len);
    mk_seqs_put(out, ids.v, ids.n, 0);
    ids.n = 0;
    if (form == MK_FORM_THINK) {
        mk_ids_add(&ids, m->think);
        mk_tokenize(t, mk_str_c(trace), trace->len, 0, &ids);
    }
    mk_ids_add(&ids, m->end_think);
    mk_tokenize(t, mk_str_c(answer), answer->len, 0, &ids);
    mk_ids_add(&ids, m->eos);
    mk_seqs_put(out, ids.v, ids.n, 1);
    mk_seqs_end(out);
    mk_ids_release(&ids);
}
