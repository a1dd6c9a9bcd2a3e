/* POST /completions: plain continuation of a text, or of token ids. */
#include "base/clock.h"
#include "base/mem.h"
#include "server/wire.h"

#include <stdlib.h>
#include <string.h>

struct completion {
    const struct mk_server *server;
    char id[64];
    json_int_t created;
    bool streams, wants_usage, has_logprobs;
    size_t n_top;
    struct mk_str text; /* of a whole answer; of a stream its first chunk's echo */
    json_t *tokens, *token_logprobs, *top_logprobs, *text_offset; /* arrays */
    size_t offset;
};

static void new_logprobs(struct completion *c)
{
    c->tokens = json_array();
    c->token_logprobs = json_array();
    c->top_logprobs = json_array();
    c->text_offset = json_array();
}

static void free_completion(void *state)
{
    struct completion *c = state;
    mk_str_release(&c->text);
    json_decref(c->tokens);
    json_decref(c->token_logprobs);
    json_decref(c->top_logprobs);
    json_decref(c->text_offset);
    free(c);
}

static json_t *token_text(const struct completion *c, int32_t id, size_t *n)
{
    struct mk_str text = {0};
    const char *bytes = mk_token_bytes(c->server->tokenizer, id, n);
    mk_str_add_utf8(&text, bytes ? bytes : "", *n);
    json_t *v = json_stringn(mk_str_c(&text), text.len);
    mk_str_release(&text);
    return v;
}

static void add_logprobs(struct completion *c, const struct mk_sampled *toks, size_t n_toks)
{
    size_t n;
    for (size_t i = 0; i < n_toks; i++) {
        json_t *top = json_object();
        for (size_t k = 0; k < c->n_top; k++) {
            json_t *name = token_text(c, toks[i].top[k].id, &n);
            json_object_set_new(top, json_string_value(name),
                                json_real((double)toks[i].top[k].logprob));
            json_decref(name);
        }
        json_array_append_new(c->top_logprobs, top);
        json_array_append_new(c->token_logprobs, json_real((double)toks[i].logprob));
        json_array_append_new(c->text_offset, json_integer((json_int_t)c->offset));
        json_array_append_new(c->tokens, token_text(c, toks[i].id, &n));
        c->offset += n;
    }
}

/* What was gathered, or null. */
static json_t *take_logprobs(struct completion *c)
{
    if (!c->has_logprobs) return json_null();
    json_t *v =
        json_pack("{s:o, s:o, s:o, s:o}", "tokens", c->tokens, "token_logprobs", c->token_logprobs,
                  "top_logprobs", c->top_logprobs, "text_offset", c->text_offset);
    new_logprobs(c);
    return v;
}

/* One choice with text, and usage (takes it; NULL: none yet). */
static json_t *choice_json(struct completion *c, const char *text, size_t n, const char *finish,
                           json_t *usage)
{
    json_t *choice = json_pack("{s:s%, s:i, s:o, s:s?}", "text", text, n, "index", 0, "logprobs",
                               take_logprobs(c), "finish_reason", finish);
    json_t *v =
        json_pack("{s:s, s:s, s:I, s:s, s:[o]}", "id", c->id, "object", "text_completion",
                  "created", c->created, "model", c->server->o.model_name, "choices", choice);
    if (usage || (c->streams && c->wants_usage))
        json_object_set_new(v, "usage", usage ? usage : json_null());
    return v;
}

static void on_piece(struct mk_exchange *x, const struct mk_piece *p, const char *text,
                     const struct mk_sampled *toks)
{
    struct completion *c = x->state;
    add_logprobs(c, toks, p->n_toks);
    mk_str_append(&c->text, text, p->n);
    if (!c->streams) return;
    mk_out_event(&x->out, NULL, choice_json(c, mk_str_c(&c->text), c->text.len, NULL, NULL));
    mk_str_clear(&c->text);
}

static void on_end(struct mk_exchange *x, const struct mk_job_status *s)
{
    struct completion *c = x->state;
    json_t *v = choice_json(c, mk_str_c(&c->text), c->text.len, mk_finish_reason(s, false),
                            mk_usage_json(s, false));
    if (!c->streams) {
        mk_out_json(&x->out, v);
        return;
    }
    mk_out_event(&x->out, NULL, v);
    mk_str_add(&x->out, "data: [DONE]\n\n");
}

static const struct mk_wire wire = {.piece = on_piece, .end = on_end, .free = free_completion};

/* ---- requests ---------------------------------------------------------------------- */

/* What stands before the text, between it and the suffix, and after that; by family. */
static const char *const fills[][3] = {
    {"<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"}, /* DeepSeek */
    {"<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"}, /* Qwen */
};

/* The prompt of a text to be filled in between prefix and suffix. */
static bool fill_prompt(const struct mk_fields *f, struct mk_job *j, const char *prefix,
                        const char *suffix)
{
    const struct mk_tokenizer *t = f->x->server->tokenizer;
    for (size_t i = 0; i < sizeof fills / sizeof *fills; i++) {
        int32_t ids[3];
        for (int k = 0; k < 3; k++) ids[k] = mk_token_find(t, fills[i][k]);
        if (ids[0] < 0 || ids[1] < 0 || ids[2] < 0) continue;
        if (mk_token_adds_bos(t)) mk_ids_add(&j->prompt, mk_token_bos(t));
        mk_ids_add(&j->prompt, ids[0]);
        mk_tokenize(t, prefix, strlen(prefix), 0, &j->prompt);
        mk_ids_add(&j->prompt, ids[1]);
        mk_tokenize(t, suffix, strlen(suffix), 0, &j->prompt);
        mk_ids_add(&j->prompt, ids[2]);
        return true;
    }
    mk_answer_error(f->x, 400, "suffix", NULL,
                    "this model has not learned to fill in before a suffix");
    return false;
}

/* A string, or a list with one; or a list of ids, or a list with one such list. */
static bool read_prompt(const struct mk_fields *f, struct mk_job *j, const char *suffix,
                        const char **text)
{
    const json_t *v = json_object_get(f->v, "prompt");
    const json_t *first = json_array_get(v, 0);
    if (json_array_size(v) == 1 && !json_is_integer(first)) v = first;
    if (json_is_string(v)) {
        *text = json_string_value(v);
        if (suffix && *suffix) return fill_prompt(f, j, *text, suffix);
        mk_tokenize(f->x->server->tokenizer, *text, strlen(*text), MK_TOK_BOS | MK_TOK_SPECIAL,
                    &j->prompt);
    } else if (json_is_array(v) &&
               (json_array_size(v) == 0 || json_is_integer(json_array_get(v, 0)))) {
        if (!mk_json_ids(f->x, "prompt", v, &j->prompt)) return false;
    } else {
        mk_answer_error(f->x, 400, "prompt", NULL,
                        "prompt is not a string or a list of token ids (one prompt a request)");
        return false;
    }
    if (j->prompt.n) return true;
    mk_answer_error(f->x, 400, "prompt", NULL, "prompt is empty");
    return false;
}

static bool read_options(const struct mk_fields *f, struct mk_job *j, struct completion *c,
                         bool *echo)
{
    int64_t n = 1, n_top = -1;
    if (!mk_field_int(f, "n", 1, 1, &n) || !mk_field_int(f, "best_of", 1, 1, &n) ||
        !mk_field_int(f, "logprobs", 0, MK_MAX_TOP, &n_top) || !mk_field_bool(f, "echo", echo) ||
        !mk_fields_stream(f, &c->streams, &c->wants_usage))
        return false;
    if (*echo && n_top >= 0) {
        mk_answer_error(f->x, 400, "echo", NULL, "echo does not go with logprobs");
        return false;
    }
    c->has_logprobs = j->sampling.wants_logprobs = n_top >= 0;
    c->n_top = j->sampling.n_top = n_top > 0 ? (size_t)n_top : 0;
    return true;
}

void mk_api_completions(struct mk_exchange *x)
{
    struct mk_fields f;
    if (!mk_fields_read(&f, x)) return;
    struct mk_job *j = mk_job_new();
    struct completion *c = mk_alloc(sizeof *c);
    const char *text = NULL, *suffix = NULL;
    bool echo = false;
    c->server = x->server;
    c->created = (json_int_t)mk_wall_s();
    snprintf(c->id, sizeof c->id, "cmpl-%s", x->id);
    new_logprobs(c);
    if (mk_fields_job(&f, j) && read_options(&f, j, c, &echo) &&
        mk_field_text(&f, "suffix", &suffix) && read_prompt(&f, j, suffix, &text)) {
        if (echo && text) mk_str_add(&c->text, text);
        mk_answer_job(x, j, &wire, c, c->streams);
    } else {
        mk_job_drop(j);
        free_completion(c);
    }
    mk_fields_release(&f);
}
