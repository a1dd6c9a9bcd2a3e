/* POST /chat/completions, in DeepSeek's dialect of OpenAI's: thoughts travel in reasoning_content,
 * usage on the last chunk of a stream. */
#include "base/clock.h"
#include "base/mem.h"
#include "server/wire.h"

#include <stdlib.h>
#include <string.h>

struct chat {
    const struct mk_server *server;
    char id[64];
    json_int_t created;
    bool streams, wants_usage, thinks, has_logprobs, has_experts;
    size_t n_top, n_calls;
    bool has_role;
    /* Whole answers only. */
    struct mk_str content, reasoning, arguments;
    json_t *calls; /* without the last one's arguments */
    /* Log probabilities and experts of tokens: of the whole answer, or of the next chunk. */
    json_t *logprobs, *thought_logprobs;
    json_t *experts, *thought_experts;
    struct mk_info info; /* with experts */
};

static void free_chat(void *state)
{
    struct chat *c = state;
    mk_str_release(&c->content);
    mk_str_release(&c->reasoning);
    mk_str_release(&c->arguments);
    json_decref(c->calls);
    json_decref(c->logprobs);
    json_decref(c->thought_logprobs);
    json_decref(c->experts);
    json_decref(c->thought_experts);
    free(c);
}

static json_t *head(const struct chat *c, const char *object)
{
    return json_pack("{s:s, s:s, s:I, s:s, s:s}", "id", c->id, "object", object, "created",
                     c->created, "model", c->server->o.model_name, "system_fingerprint",
                     "minke-" MK_VERSION);
}

/* What was gathered of tokens. */
static json_t *take(const struct chat *c, json_t **answer, json_t **thought)
{
    json_t *v = json_pack("{s:o}", "content", *answer);
    if (c->thinks)
        json_object_set_new(v, "reasoning_content", *thought);
    else
        json_decref(*thought);
    *answer = json_array();
    *thought = json_array();
    return v;
}

static json_t *take_experts(struct chat *c)
{
    json_t *v = take(c, &c->experts, &c->thought_experts), *layers = json_array();
    for (size_t i = 0; i < c->info.n_routed; i++)
        json_array_append_new(layers, json_integer((json_int_t)c->info.routed[i]));
    json_object_set_new(v, "n_expert", json_integer((json_int_t)c->info.n_expert));
    json_object_set_new(v, "layers", layers);
    return v;
}

/* Takes value, the message or what is new of it. */
static json_t *choice_json(struct chat *c, const char *key, json_t *value, const char *finish)
{
    json_t *logprobs = c->has_logprobs ? take(c, &c->logprobs, &c->thought_logprobs) : json_null();
    json_t *v = json_pack("{s:i, s:o, s:o, s:s?}", "index", 0, key, value, "logprobs", logprobs,
                          "finish_reason", finish);
    if (c->has_experts) json_object_set_new(v, "experts", take_experts(c));
    return v;
}

/* ---- streams ----------------------------------------------------------------------- */

/* Takes delta and usage (NULL: none yet). */
static void add_chunk(struct mk_exchange *x, struct chat *c, json_t *delta, const char *finish,
                      json_t *usage)
{
    json_t *v = head(c, "chat.completion.chunk");
    json_object_set_new(v, "choices", json_pack("[o]", choice_json(c, "delta", delta, finish)));
    if (usage || c->wants_usage) json_object_set_new(v, "usage", usage ? usage : json_null());
    if (usage) json_object_set_new(v, "timings", mk_timings_json(&x->now));
    mk_out_event(&x->out, NULL, v);
}

static void add_role(struct mk_exchange *x, struct chat *c)
{
    if (c->has_role) return;
    c->has_role = true;
    add_chunk(x, c,
              c->thinks ? json_pack("{s:s, s:n, s:s}", "role", "assistant", "content",
                                    "reasoning_content", "")
                        : json_pack("{s:s, s:s}", "role", "assistant", "content", ""),
              NULL, NULL);
}

static json_t *text_delta(const struct chat *c, bool is_thought, const char *text, size_t n)
{
    if (is_thought) return json_pack("{s:n, s:s%}", "content", "reasoning_content", text, n);
    json_t *v = json_pack("{s:s%}", "content", text, n);
    if (c->thinks) json_object_set_new(v, "reasoning_content", json_null());
    return v;
}

static json_t *call_json(const struct mk_exchange *x, size_t index, const char *name, size_t n)
{
    char id[MK_CALL_ID];
    mk_call_id(id, x->id, index);
    return json_pack("{s:I, s:s, s:s, s:{s:s%, s:s}}", "index", (json_int_t)index, "id", id, "type",
                     "function", "function", "name", name, n, "arguments", "");
}

static json_t *arguments_json(size_t index, const char *text, size_t n)
{
    return json_pack("{s:I, s:{s:s%}}", "index", (json_int_t)index, "function", "arguments", text,
                     n);
}

static void stream_piece(struct mk_exchange *x, struct chat *c, const struct mk_piece *p,
                         const char *text)
{
    json_t *delta;
    switch (p->kind) {
    case MK_PIECE_CALL:
        delta = json_pack("{s:[o]}", "tool_calls", call_json(x, c->n_calls - 1, text, p->n));
        break;
    case MK_PIECE_ARGUMENTS:
        delta = json_pack("{s:[o]}", "tool_calls", arguments_json(c->n_calls - 1, text, p->n));
        break;
    default:
        delta = text_delta(c, p->kind == MK_PIECE_REASONING, text, p->n);
    }
    add_chunk(x, c, delta, NULL, NULL);
}

/* ---- whole answers ----------------------------------------------------------------- */

/* Puts the arguments into the last call. */
static void close_call(struct chat *c)
{
    json_t *call = json_array_get(c->calls, json_array_size(c->calls) - 1);
    if (!call) return;
    json_object_set_new(json_object_get(call, "function"), "arguments",
                        json_stringn(mk_str_c(&c->arguments), c->arguments.len));
    mk_str_clear(&c->arguments);
}

static void keep_piece(const struct mk_exchange *x, struct chat *c, const struct mk_piece *p,
                       const char *text)
{
    switch (p->kind) {
    case MK_PIECE_REASONING:
        mk_str_append(&c->reasoning, text, p->n);
        break;
    case MK_PIECE_ANSWER:
        mk_str_append(&c->content, text, p->n);
        break;
    case MK_PIECE_CALL:
        close_call(c);
        json_array_append_new(c->calls, call_json(x, c->n_calls - 1, text, p->n));
        break;
    case MK_PIECE_ARGUMENTS:
        mk_str_append(&c->arguments, text, p->n);
        break;
    }
}

static json_t *message_json(struct chat *c)
{
    json_t *v = json_pack("{s:s, s:s%}", "role", "assistant", "content", mk_str_c(&c->content),
                          c->content.len);
    if (c->thinks)
        json_object_set_new(v, "reasoning_content",
                            json_stringn(mk_str_c(&c->reasoning), c->reasoning.len));
    close_call(c);
    if (c->n_calls) json_object_set(v, "tool_calls", c->calls);
    return v;
}

/* ---- tokens ------------------------------------------------------------------------ */

/* [[expert]] by layer, or null for a token that was said. */
static json_t *chosen_json(const struct mk_info *i, const uint16_t *id)
{
    if (id[0] == MK_NO_EXPERT) return json_null();
    json_t *layers = json_array();
    for (size_t l = 0; l < i->n_routed; l++) {
        json_t *layer = json_array();
        for (size_t k = 0; k < i->n_active; k++) json_array_append_new(layer, json_integer(*id++));
        json_array_append_new(layers, layer);
    }
    return layers;
}

static void add_toks(struct mk_exchange *x, struct chat *c, const struct mk_piece *p,
                     const struct mk_sampled *toks)
{
    const bool is_thought = p->kind == MK_PIECE_REASONING;
    if (c->has_logprobs)
        mk_logprobs_add(is_thought ? c->thought_logprobs : c->logprobs, c->server->tokenizer, toks,
                        p->n_toks, c->n_top);
    const size_t n_choice = c->info.n_routed * c->info.n_active;
    for (size_t i = 0; c->has_experts && i < p->n_toks; i++)
        json_array_append_new(
            is_thought ? c->thought_experts : c->experts,
            chosen_json(&c->info, x->pieces.experts + (p->first_tok + i) * n_choice));
}

/* ---- the wire ---------------------------------------------------------------------- */

static void on_piece(struct mk_exchange *x, const struct mk_piece *p, const char *text,
                     const struct mk_sampled *toks)
{
    struct chat *c = x->state;
    if (c->streams) add_role(x, c);
    add_toks(x, c, p, toks);
    c->n_calls += p->kind == MK_PIECE_CALL;
    if (c->streams)
        stream_piece(x, c, p, text);
    else
        keep_piece(x, c, p, text);
}

static void on_end(struct mk_exchange *x, const struct mk_job_status *s)
{
    struct chat *c = x->state;
    const char *finish = mk_finish_reason(s, c->n_calls > 0);
    if (c->streams) {
        add_role(x, c);
        add_chunk(x, c, text_delta(c, false, "", 0), finish, mk_usage_json(s, c->thinks));
        mk_str_add(&x->out, "data: [DONE]\n\n");
        return;
    }
    json_t *v = head(c, "chat.completion");
    json_object_set_new(v, "choices",
                        json_pack("[o]", choice_json(c, "message", message_json(c), finish)));
    json_object_set_new(v, "usage", mk_usage_json(s, c->thinks));
    json_object_set_new(v, "timings", mk_timings_json(s));
    mk_out_json(&x->out, v);
}

/* llama-server's form. */
static void on_progress(struct mk_exchange *x, const struct mk_job_status *s)
{
    const struct chat *c = x->state;
    json_t *v = head(c, "chat.completion.chunk");
    json_object_set_new(v, "choices", json_array());
    json_object_set_new(v, "prompt_progress",
                        json_pack("{s:I, s:I, s:I, s:f}", "total", (json_int_t)s->n_prompt, "cache",
                                  (json_int_t)s->n_cached, "processed", (json_int_t)s->n_read,
                                  "time_ms", s->prompt_s * 1e3));
    mk_out_event(&x->out, NULL, v);
}

static const struct mk_wire wire = {
    .piece = on_piece, .end = on_end, .progress = on_progress, .free = free_chat};

/* ---- requests ---------------------------------------------------------------------- */

enum { LOW_EFFORT_TOKS = 1024 };

/* thinking.type, reasoning_effort, the old names of models, in this order; else as the server
 * does. */
static bool read_thinking(const struct mk_fields *f, struct mk_job *j, bool *out)
{
    static const char *const efforts[] = {"none", "minimal", "low",   "medium",
                                          "high", "xhigh",   "ultra", "max"};
    json_t *o;
    const char *effort = NULL, *model = NULL, *type = NULL;
    *out = f->x->server->o.default_thinking;
    if (!mk_field_object(f, "thinking", &o) || !mk_field_text(f, "reasoning_effort", &effort) ||
        !mk_field_text(f, "model", &model))
        return false;
    if (model && !strcmp(model, "deepseek-chat")) *out = false;
    if (model && !strcmp(model, "deepseek-reasoner")) *out = true;
    size_t i = 0;
    while (effort && i < 8 && strcmp(effort, efforts[i]) != 0) i++;
    if (i == 8) {
        mk_answer_error(f->x, 400, "reasoning_effort", NULL,
                        "reasoning_effort is %.40s, want none, minimal, low, medium, high, xhigh, "
                        "ultra or max",
                        effort);
        return false;
    }
    if (effort) *out = i > 0;
    const struct mk_fields thinking = {f->x, o};
    if (o && !mk_field_text(&thinking, "type", &type)) return false;
    if (type && strcmp(type, "enabled") != 0 && strcmp(type, "disabled") != 0) {
        mk_answer_error(f->x, 400, "thinking", NULL,
                        "thinking.type is %.40s, want enabled or disabled", type);
        return false;
    }
    if (type) *out = !strcmp(type, "enabled");
    if (effort && i > 0 && i < 3) j->think_toks = LOW_EFFORT_TOKS;
    return mk_fields_budget(f, o, j);
}

/* response_format: text, json_object (also with a schema), json_schema. */
static bool read_format(const struct mk_fields *f, struct mk_shape_want *w)
{
    json_t *format, *holder = NULL, *schema = NULL;
    const char *type = "text";
    if (!mk_field_object(f, "response_format", &format)) return false;
    if (!format) return true;
    const struct mk_fields of_format = {f->x, format};
    if (!mk_field_text(&of_format, "type", &type) ||
        !mk_field_object(&of_format, "json_schema", &holder))
        return false;
    const struct mk_fields of_holder = {f->x, holder ? holder : format};
    if (!mk_field_object(&of_holder, "schema", &schema)) return false;
    if (!strcmp(type, "text")) return true;
    if (!strcmp(type, "json_object") || (!strcmp(type, "json_schema") && schema)) {
        w->schema = schema;
        w->any_object = !schema;
        return true;
    }
    mk_answer_error(f->x, 400, "response_format", NULL,
                    "response_format.type is %.40s, want text, json_object, or json_schema with "
                    "json_schema.schema",
                    type);
    return false;
}

/* structured_outputs.regex, vLLM's way. */
static bool read_regex(const struct mk_fields *f, struct mk_shape_want *w)
{
    json_t *o;
    if (!mk_field_object(f, "structured_outputs", &o)) return false;
    const struct mk_fields outputs = {f->x, o};
    if (o && !mk_field_text(&outputs, "regex", &w->regex)) return false;
    if (!w->regex || (!w->schema && !w->any_object)) return true;
    mk_answer_error(f->x, 400, "structured_outputs", NULL,
                    "structured_outputs.regex does not go with a response_format");
    return false;
}

/* tool_choice: none, auto, required, or a tool. */
static bool read_choice(const struct mk_fields *f, struct mk_shape_want *w, bool *with_tools)
{
    const json_t *choice = json_object_get(f->v, "tool_choice");
    const char *word = json_string_value(choice);
    const char *name =
        json_string_value(json_object_get(json_object_get(choice, "function"), "name"));
    *with_tools = !word || strcmp(word, "none") != 0;
    w->is_parallel = true;
    w->tools = *with_tools ? json_object_get(f->v, "tools") : NULL;
    w->tool = name;
    w->must_call = name || (word && !strcmp(word, "required"));
    if (!mk_field_bool(f, "parallel_tool_calls", &w->is_parallel)) return false;
    if (name) w->is_parallel = false;
    if (!choice || json_is_null(choice) || !*with_tools || w->must_call ||
        (word && !strcmp(word, "auto")))
        return true;
    mk_answer_error(f->x, 400, "tool_choice", NULL,
                    "tool_choice wants none, auto, required or "
                    "{\"type\": \"function\", \"function\": {\"name\": ...}}");
    return false;
}

static bool read_prompt(const struct mk_fields *f, struct mk_job *j, bool thinks)
{
    struct mk_shape_want w = {0};
    struct mk_exchange *x = f->x;
    bool with_tools;
    int64_t n = 1;
    return mk_field_int(f, "n", 1, 1, &n) && read_format(f, &w) && read_regex(f, &w) &&
           read_choice(f, &w, &with_tools) &&
           mk_job_prompt(x, j, mk_str_c(&x->body), x->body.len, thinks, with_tools) &&
           mk_job_shape(x, j, &w, thinks,
                        w.regex                 ? "structured_outputs"
                        : mk_shape_has_form(&w) ? "response_format"
                                                : "tools");
}

static bool read_user(const struct mk_fields *f, struct mk_job *j)
{
    const char *user = NULL;
    if (!mk_field_text(f, "user_id", &user)) return false;
    j->owner = mk_user_hash(user);
    return true;
}

/* return_experts */
static bool read_experts(const struct mk_fields *f, struct mk_job *j, struct chat *c)
{
    if (!mk_field_bool(f, "return_experts", &j->wants_experts)) return false;
    c->has_experts = j->wants_experts;
    if (!c->has_experts) return true;
    c->info = mk_engine_info(c->server->engine);
    if (c->info.n_routed) return true;
    mk_answer_error(f->x, 400, "return_experts", NULL,
                    "return_experts is true, but the model has no experts");
    return false;
}

static void answer(const struct mk_fields *f, struct mk_job *j, struct chat *c)
{
    struct mk_exchange *x = f->x;
    bool tells_progress = false;
    if (mk_field_bool(f, "return_progress", &tells_progress) && read_thinking(f, j, &c->thinks) &&
        mk_fields_job(f, j) && mk_fields_logprobs(f, &j->sampling) && read_experts(f, j, c) &&
        mk_fields_stream(f, &c->streams, &c->wants_usage) && read_user(f, j) &&
        read_prompt(f, j, c->thinks)) {
        c->thinks = c->thinks || j->inside == MK_IN_THOUGHT;
        j->tells_progress = tells_progress && c->streams;
        c->has_logprobs = j->sampling.wants_logprobs;
        c->n_top = j->sampling.n_top;
        mk_answer_job(x, j, &wire, c, c->streams);
        return;
    }
    mk_job_drop(j);
    free_chat(c);
}

void mk_api_chat(struct mk_exchange *x)
{
    struct mk_fields f;
    if (!mk_fields_read(&f, x)) return;
    struct chat *c = mk_alloc(sizeof *c);
    c->server = x->server;
    c->created = (json_int_t)mk_wall_s();
    snprintf(c->id, sizeof c->id, "chatcmpl-%s", x->id);
    c->calls = json_array();
    c->logprobs = json_array();
    c->thought_logprobs = json_array();
    c->experts = json_array();
    c->thought_experts = json_array();
    answer(&f, mk_job_new(), c);
    mk_fields_release(&f);
}

/* {"id", "action": "reasoning_end"}: the running answer of that id closes its thought. */
void mk_api_control(struct mk_exchange *x)
{
    struct mk_fields f;
    const char *id = NULL, *action = NULL;
    if (!mk_fields_read(&f, x)) return;
    if (mk_field_text(&f, "id", &id) && mk_field_text(&f, "action", &action)) {
        if (!action || strcmp(action, "reasoning_end") != 0)
            mk_answer_error(x, 400, "action", NULL, "action is %.40s, want reasoning_end",
                            action ? action : "missing");
        else if (!id || !mk_watch_answer_now(x, id))
            mk_answer_error(x, 404, "id", NULL, "no answer %.80s is running", id ? id : "");
        else
            mk_answer_json(x, 200, json_pack("{s:b}", "success", 1));
    }
    mk_fields_release(&f);
}
