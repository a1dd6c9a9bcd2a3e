/* A finished reply in figures: for people, and as JSON. */
#include "cli/dialog.h"

static double rate(size_t n, double seconds) { return seconds > 0 ? (double)n / seconds : 0; }

double mk_reply_prompt_tps(const struct mk_reply *r)
{
    return rate(r->g.n_prompt - r->g.n_kept, r->g.prompt_s);
}

double mk_reply_answer_tps(const struct mk_reply *r) { return rate(r->n_steps, r->g.answer_s); }

void mk_reply_print_stats(const struct mk_reply *r)
{
    const struct mk_generation *g = &r->g;
    fprintf(stderr, "[prompt %zu tokens", g->n_prompt);
    if (g->n_kept) fprintf(stderr, ", %zu known", g->n_kept);
    fprintf(stderr, ", %.1f tokens/s; answer %zu tokens, %.1f tokens/s", mk_reply_prompt_tps(r),
            g->ids.n, mk_reply_answer_tps(r));
    if (g->n_guessed) fprintf(stderr, ", %zu of %zu guesses right", g->n_right, g->n_guessed);
    fputs("]\n", stderr);
}

void mk_reply_print_end(const struct mk_dialog *d, const struct mk_reply *r)
{
    if (r->is_full)
        fprintf(stderr,
                "[the context is full: prompt %zu and answer %zu of %zu tokens; a larger one is "
                "-c N]\n",
                r->g.n_prompt, r->g.ids.n, mk_session_n_ctx(d->session));
    else if (r->g.finish == MK_FINISH_LENGTH)
        fprintf(stderr, "[stopped after %zu tokens]\n", r->g.ids.n);
    else if (r->g.finish == MK_FINISH_CANCEL)
        fprintf(stderr, "[stopped]\n");
}

/* ---- JSON ------------------------------------------------------------------------- */

static json_t *json_text(const struct mk_str *s)
{
    struct mk_str clean = {0};
    mk_str_add_utf8(&clean, mk_str_c(s), s->len);
    json_t *v = json_stringn(mk_str_c(&clean), clean.len);
    mk_str_release(&clean);
    return v;
}

static json_t *json_number(double v) { return isfinite(v) ? json_real(v) : json_null(); }

static json_t *json_logprob(const struct mk_dialog *d, int32_t id, float logprob)
{
    size_t n;
    const char *bytes = mk_token_bytes(d->tokenizer, id, &n);
    struct mk_str token = {0};
    if (bytes) mk_str_append(&token, bytes, n);
    json_t *v = json_pack("{s:i, s:o, s:o}", "id", (int)id, "token", json_text(&token), "logprob",
                          json_number((double)logprob));
    mk_str_release(&token);
    return v;
}

static json_t *json_logprobs(const struct mk_dialog *d, const struct mk_reply *r)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->g.ids.n; i++) {
        const struct mk_sampled *s = &r->g.sampled[i];
        json_t *v = json_logprob(d, s->id, s->logprob), *top = json_array();
        for (size_t k = 0; k < r->g.sampling.n_top; k++)
            json_array_append_new(top, json_logprob(d, s->top[k].id, s->top[k].logprob));
        json_object_set_new(v, "top", top);
        json_array_append_new(list, v);
    }
    return list;
}

static json_t *json_calls(const struct mk_tool_call *calls, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_pack("{s:s?, s:s?, s:s?}", "id", calls[i].id, "name",
                                              calls[i].name, "arguments", calls[i].arguments));
    return list;
}

json_t *mk_reply_json(const struct mk_dialog *d, const struct mk_reply *r)
{
    const struct mk_generation *g = &r->g;
    json_t *ids = json_array();
    for (size_t i = 0; i < g->ids.n; i++) json_array_append_new(ids, json_integer(g->ids.v[i]));
    json_t *v = json_pack(
        "{s:o, s:o, s:o, s:s, s:{s:I, s:I, s:I, s:I}, s:{s:f, s:f, s:f, s:f}, s:I}", "text",
        json_text(&r->answer), "reasoning",
        r->has_reasoning ? json_text(&r->reasoning) : json_null(), "ids", ids, "finish_reason",
        mk_finish_name(g->finish), "usage", "prompt_tokens", (json_int_t)g->n_prompt,
        "reused_tokens", (json_int_t)g->n_kept, "completion_tokens", (json_int_t)g->ids.n,
        "total_tokens", (json_int_t)(g->n_prompt + g->ids.n), "timings", "prompt_s", g->prompt_s,
        "answer_s", g->answer_s, "prompt_tps", mk_reply_prompt_tps(r), "answer_tps",
        mk_reply_answer_tps(r), "seed", (json_int_t)g->sampling.seed);
    size_t n_calls;
    const struct mk_tool_call *calls = mk_reply_calls(r, &n_calls);
    if (n_calls) json_object_set_new(v, "tool_calls", json_calls(calls, n_calls));
    if (g->n_guessed) {
        json_t *timings = json_object_get(v, "timings");
        json_object_set_new(timings, "draft_n", json_integer((json_int_t)g->n_guessed));
        json_object_set_new(timings, "draft_n_accepted", json_integer((json_int_t)g->n_right));
    }
    if (g->sampling.n_top) json_object_set_new(v, "logprobs", json_logprobs(d, r));
    return v;
}

void mk_reply_print_json(const struct mk_dialog *d, const struct mk_reply *r)
{
    json_t *v = mk_reply_json(d, r);
    json_dumpf(v, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(v);
}
