#include "server/wire.h"

#include "server/digest.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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
    json_t *v =
        json_pack("{s:I, s:I, s:f, s:f, s:I, s:f, s:f}", "cache_n", (json_int_t)s->n_cached,
                  "prompt_n", (json_int_t)n, "prompt_ms", s->prompt_s * 1e3, "prompt_per_second",
                  s->prompt_s > 0 ? (double)n / s->prompt_s : 0.0, "predicted_n",
                  (json_int_t)s->n_made, "predicted_ms", s->answer_s * 1e3, "predicted_per_second",
                  s->answer_s > 0 ? (double)s->n_made / s->answer_s : 0.0);
    if (s->n_guessed) {
        json_object_set_new(v, "draft_n", json_integer((json_int_t)s->n_guessed));
        json_object_set_new(v, "draft_n_accepted", json_integer((json_int_t)s->n_right));
    }
    return v;
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

/* The arguments of calls as the model wrote them. */
static void restore_calls(struct mk_replay *r, uint64_t owner, const struct mk_conversation *c)
{
    for (size_t i = 0; i < c->n; i++)
        for (size_t k = 0; k < c->list[i].n_calls; k++) {
            struct mk_tool_call *call = &c->list[i].calls[k];
            char *as_written = call->id && call->arguments
                                   ? mk_replay_call(r, owner, call->id, call->arguments)
                                   : NULL;
            if (!as_written) continue;
            free(call->arguments);
            call->arguments = as_written;
        }
}

static bool render(struct mk_prompt *out, struct mk_server *s, uint64_t owner, const char *json,
                   size_t n, bool thinks, bool with_tools, struct mk_err *err)
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
    if (ok) restore_calls(&s->replay, owner, &c);
    ok = ok && mk_chat_render(out, s->o.template, &c, &o, err);
    mk_conversation_release(&c);
    return ok;
}

/* The field that an error of the conversation begins with. */
static const char *field_of(const struct mk_err *err)
{
    static const char *const fields[] = {"tools", "continue_final_message"};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (!strncmp(err->msg, fields[i], strlen(fields[i]))) return fields[i];
    return "messages";
}

bool mk_job_prompt(struct mk_exchange *x, struct mk_job *j, const char *json, size_t n, bool thinks,
                   bool with_tools)
{
    struct mk_server *s = x->server;
    struct mk_prompt prompt = {0};
    struct mk_err err;
    const uint64_t owner = x->owner ^ j->owner;
    const bool ok = render(&prompt, s, owner, json, n, thinks, with_tools, &err);
    if (ok) {
        mk_prompt_tokenize(&prompt, s->tokenizer, &j->prompt);
        if (!j->reads_anew) mk_replay_ids(&s->replay, owner, s->tokenizer, &j->prompt);
        add_stop_ids(s, j);
        j->template = s->o.template;
        j->tokenizer = s->tokenizer;
        j->inside = prompt.inside;
    } else {
        mk_answer_failure(x, &err, field_of(&err));
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

static bool check_shape(const struct mk_shape_want *w, const struct mk_job *j,
                        const struct mk_template *t, struct mk_err *err)
{
    if (!mk_shape_has_form(w)) return check_tools(w, t, err);
    return j->inside != MK_IN_ANSWER ||
           mk_fail(err, MK_EUNSUPPORTED,
                   "an answer that is continued cannot be held to a form: its beginning is given");
}

bool mk_job_shape(struct mk_exchange *x, struct mk_job *j, struct mk_shape_want *w, bool thinks,
                  const char *param)
{
    struct mk_server *s = x->server;
    struct mk_err err;
    w->in_reasoning = j->inside == MK_IN_THOUGHT;
    w->may_think = thinks && s->o.template->think_open && j->inside != MK_IN_ANSWER;
    if (mk_shape_is_free(w)) return true;
    if (check_shape(w, j, s->o.template, &err) &&
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
    const bool ok = mk_job_prompt(x, j, text, strlen(text), thinks, with_tools) &&
                    mk_job_shape(x, j, w, thinks, mk_shape_has_form(w) ? shape_param : "tools");
    free(text);
    json_decref(conversation);
    return ok;
}
