#include "server/wire.h"

#include "server/digest.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void mk_call_id(char out[40], size_t n)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    uint8_t random[24] = {0};
    (void)!getrandom(random, sizeof random, 0);
    int at = snprintf(out, 40, "call_%02zu_", n % 100);
    for (size_t i = 0; i < sizeof random; i++) out[at++] = letters[random[i] % 36];
    out[at] = 0;
}

const char *mk_finish_reason(const struct mk_job_status *s, bool has_calls)
{
    if (s->finish == MK_FINISH_LENGTH) return "length";
    if (s->finish == MK_FINISH_LOOP) return "repetition";
    if (s->finish == MK_FINISH_STOP) return has_calls ? "tool_calls" : "stop";
    return NULL;
}

json_t *mk_usage_json(const struct mk_job_status *s, bool thinks)
{
    const json_int_t prompt = (json_int_t)s->n_prompt, made = (json_int_t)s->n_made,
                     cached = (json_int_t)s->n_cached;
    json_t *v =
        json_pack("{s:I, s:I, s:I, s:{s:I}}", "prompt_tokens", prompt, "completion_tokens", made,
                  "total_tokens", prompt + made, "prompt_tokens_details", "cached_tokens", cached);
    if (thinks)
        json_object_set_new(v, "completion_tokens_details",
                            json_pack("{s:I}", "reasoning_tokens", (json_int_t)s->n_thought));
    json_object_set_new(v, "prompt_cache_hit_tokens", json_integer(cached));
    json_object_set_new(v, "prompt_cache_miss_tokens", json_integer(prompt - cached));
    return v;
}

json_t *mk_timings_json(const struct mk_job_status *s)
{
    const size_t n = s->n_prompt - s->n_cached;
    return json_pack("{s:I, s:I, s:f, s:f, s:I, s:f, s:f}", "cache_n", (json_int_t)s->n_cached,
                     "prompt_n", (json_int_t)n, "prompt_ms", s->prompt_s * 1e3, "prompt_per_second",
                     s->prompt_s > 0 ? (double)n / s->prompt_s : 0.0, "predicted_n",
                     (json_int_t)s->n_made, "predicted_ms", s->answer_s * 1e3,
                     "predicted_per_second",
                     s->answer_s > 0 ? (double)s->n_made / s->answer_s : 0.0);
}

json_t *mk_setting_json(float v) { return json_real(round((double)v * 1e6) / 1e6); }

static json_t *logprob_json(const struct mk_tokenizer *t, int32_t id, float logprob)
{
    size_t n;
    const char *bytes = mk_token_bytes(t, id, &n);
    struct mk_str text = {0};
    mk_str_add_utf8(&text, bytes ? bytes : "", n);
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_integer((unsigned char)bytes[i]));
    json_t *v = json_pack("{s:s%, s:f, s:o}", "token", mk_str_c(&text), text.len, "logprob",
                          isfinite(logprob) ? (double)logprob : -9999.0, "bytes", list);
    mk_str_release(&text);
    return v;
}

void mk_logprobs_add(json_t *list, const struct mk_tokenizer *t, const struct mk_sampled *toks,
                     size_t n, size_t n_top)
{
    for (size_t i = 0; i < n; i++) {
        json_t *v = logprob_json(t, toks[i].id, toks[i].logprob), *top = json_array();
        for (size_t k = 0; k < n_top; k++)
            json_array_append_new(top, logprob_json(t, toks[i].top[k].id, toks[i].top[k].logprob));
        json_object_set_new(v, "top_logprobs", top);
        json_array_append_new(list, v);
    }
}

bool mk_fields_logprobs(const struct mk_fields *f, struct mk_sampling *s)
{
    int64_t n_top = 0;
    if (!mk_field_bool(f, "logprobs", &s->wants_logprobs) ||
        !mk_field_int(f, "top_logprobs", 0, MK_MAX_TOP, &n_top))
        return false;
    if (n_top && !s->wants_logprobs) {
        mk_answer_error(f->x, 400, "top_logprobs", NULL, "top_logprobs goes with logprobs: true");
        return false;
    }
    s->n_top = (size_t)n_top;
    return true;
}

bool mk_fields_stream(const struct mk_fields *f, bool *streams, bool *wants_usage)
{
    json_t *o;
    if (!mk_field_bool(f, "stream", streams) || !mk_field_object(f, "stream_options", &o))
        return false;
    const struct mk_fields options = {f->x, o};
    return !o || mk_field_bool(&options, "include_usage", wants_usage);
}

/* ---- prompts ----------------------------------------------------------------------- */

/* What ends a turn besides the model's own end. */
static void add_stop_ids(const struct mk_server *s, struct mk_job *j)
{
    const size_t max = sizeof j->stop_ids / sizeof *j->stop_ids;
    for (const char *const *t = s->o.template->stops; t && *t && j->n_stop_ids < max; t++) {
        const int32_t id = mk_token_find(s->tokenizer, *t);
        if (id >= 0) j->stop_ids[j->n_stop_ids++] = id;
    }
}

static bool render(struct mk_prompt *out, const struct mk_server *s, const char *json, size_t n,
                   bool thinks, bool with_tools, struct mk_err *err)
{
    struct mk_conversation c = {0};
    const struct mk_chat_options o = {.thinking = thinks};
    bool ok = s->o.template ||
              mk_fail(err, MK_EUNSUPPORTED, "the model has no chat template; /completions works");
    ok = ok && mk_conversation_parse(&c, json, n, err);
    if (ok && c.n == 0) ok = mk_fail(err, MK_EFORMAT, "messages is empty");
    if (!with_tools) {
        free(c.tools);
        c.tools = NULL;
    }
    ok = ok && mk_chat_render(out, s->o.template, &c, &o, err);
    mk_conversation_release(&c);
    return ok;
}

bool mk_job_prompt(struct mk_exchange *x, struct mk_job *j, const char *json, size_t n, bool thinks,
                   bool with_tools)
{
    const struct mk_server *s = x->server;
    struct mk_prompt prompt = {0};
    struct mk_err err;
    const bool ok = render(&prompt, s, json, n, thinks, with_tools, &err);
    if (ok) {
        mk_prompt_tokenize(&prompt, s->tokenizer, &j->prompt);
        add_stop_ids(s, j);
        j->template = s->o.template;
        j->tokenizer = s->tokenizer;
        j->in_reasoning = prompt.in_reasoning;
    } else {
        mk_answer_failure(x, &err, "messages");
    }
    mk_prompt_release(&prompt);
    return ok;
}

bool mk_fields_budget(const struct mk_fields *f, json_t *o, struct mk_job *j)
{
    int64_t n = 0;
    const struct mk_fields thinking = {f->x, o};
    if (o && !mk_field_int(&thinking, "budget_tokens", 1, 1 << 28, &n)) return false;
    if (n) j->think_toks = (size_t)n;
    return true;
}

uint64_t mk_user_hash(const char *user)
{
    uint8_t d[32];
    uint64_t h = 0;
    if (!user) return 0;
    mk_digest(d, user, strlen(user));
    memcpy(&h, d, sizeof h);
    return h;
}

/* ---- shapes ------------------------------------------------------------------------ */

static bool has_tool(const json_t *tools, const char *name)
{
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *f = json_object_get(json_array_get(tools, i), "function");
        const char *have = json_string_value(json_object_get(f, "name"));
        if (have && !strcmp(have, name)) return true;
    }
    return false;
}

static bool check_tools(const struct mk_shape_want *w, const struct mk_template *t,
                        struct mk_err *err)
{
    if (!t->calls)
        return mk_fail(err, MK_EUNSUPPORTED, "the template %s has no calls of tools", t->name);
    if (w->must_call && json_array_size(w->tools) == 0)
        return mk_fail(err, MK_EUSAGE, "a call is asked for, but there are no tools");
    if (w->tool && !has_tool(w->tools, w->tool))
        return mk_fail(err, MK_EUSAGE, "there is no tool %.60s", w->tool);
    return true;
}

bool mk_job_shape(struct mk_exchange *x, struct mk_job *j, struct mk_shape_want *w, bool thinks,
                  const char *param)
{
    struct mk_server *s = x->server;
    struct mk_err err;
    w->in_reasoning = j->in_reasoning;
    w->may_think = thinks && s->o.template->think_open;
    if (mk_shape_is_free(w)) return true;
    if ((w->schema || w->any_object || check_tools(w, s->o.template, &err)) &&
        mk_shapes_get(&j->shape, &s->shapes, w, s->o.template, s->tokenizer, &err))
        return true;
    mk_answer_error(x, 400, param, NULL, "%s", err.msg);
    return false;
}

/* ---- conversations of other forms ------------------------------------------------------------ */

json_t *mk_tools_json(const json_t *tools, const char *schema)
{
    json_t *list = json_array();
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *t = json_array_get(tools, i);
        const char *type = json_string_value(json_object_get(t, "type"));
        if (type && strcmp(type, "function") != 0 && !json_object_get(t, schema)) continue;
        json_t *f = json_pack("{s:O?, s:O*, s:O*, s:O*}", "name", json_object_get(t, "name"),
                              "description", json_object_get(t, "description"), "parameters",
                              json_object_get(t, schema), "strict", json_object_get(t, "strict"));
        json_array_append_new(list, json_pack("{s:s, s:o}", "type", "function", "function", f));
    }
    return list;
}

bool mk_job_conversation(struct mk_exchange *x, struct mk_job *j, json_t *conversation,
                         struct mk_shape_want *w, bool thinks, bool with_tools,
                         const char *shape_param)
{
    char *text = json_dumps(conversation, JSON_COMPACT);
    if (with_tools) w->tools = json_object_get(conversation, "tools");
    const bool ok =
        mk_job_prompt(x, j, text, strlen(text), thinks, with_tools) &&
        mk_job_shape(x, j, w, thinks, w->schema || w->any_object ? shape_param : "tools");
    free(text);
    json_decref(conversation);
    return ok;
}
