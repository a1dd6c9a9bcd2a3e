/* POST /responses: OpenAI's Responses, without state.  The input's items are put into the form of
 * chat messages; the answer is a list of items (reasoning, message, function_call), and its stream
 * a list of events that open, fill and close them. */
#include "base/clock.h"
#include "base/mem.h"
#include "server/wire.h"

#include <stdlib.h>
#include <string.h>

/* ---- requests: items to messages --------------------------------------------------- */

/* The texts of a string or of a list of parts (input_text, output_text, reasoning_text), joined;
 * NULL: a part has no text. */
static json_t *texts_json(const json_t *v, struct mk_err *err)
{
    struct mk_str text = {0};
    bool ok = true;
    if (json_is_string(v)) mk_str_add(&text, json_string_value(v));
    for (size_t i = 0; ok && i < json_array_size(v); i++) {
        const json_t *part = json_array_get(v, i);
        const char *t = json_string_value(json_object_get(part, "text"));
        const char *type = json_string_value(json_object_get(part, "type"));
        if (i) mk_str_addc(&text, '\n');
        if (t)
            mk_str_add(&text, t);
        else
            ok = mk_fail(err, MK_EUNSUPPORTED, "input has a part of type %.40s, only texts work",
                         type ? type : "that is missing");
    }
    json_t *json = ok ? json_stringn(mk_str_c(&text), text.len) : NULL;
    mk_str_release(&text);
    return json;
}

/* The assistant's message that calls and thoughts belong to: the last one, or a new one. */
static json_t *assistant_of(json_t *messages)
{
    json_t *last = json_array_get(messages, json_array_size(messages) - 1);
    const char *role = json_string_value(json_object_get(last, "role"));
    if (role && !strcmp(role, "assistant")) return last;
    last = json_pack("{s:s, s:s}", "role", "assistant", "content", "");
    json_array_append_new(messages, last);
    return last;
}

static void add_call(json_t *messages, const json_t *item)
{
    json_t *m = assistant_of(messages), *calls = json_object_get(m, "tool_calls");
    if (!calls) json_object_set_new(m, "tool_calls", calls = json_array());
    json_array_append_new(calls, json_pack("{s:O?, s:s, s:{s:O?, s:O?}}", "id",
                                           json_object_get(item, "call_id"), "type", "function",
                                           "function", "name", json_object_get(item, "name"),
                                           "arguments", json_object_get(item, "arguments")));
}

/* Items of other types are ignored, as DeepSeek does. */
static bool add_item(json_t *messages, const json_t *item, struct mk_err *err)
{
    const char *type = json_string_value(json_object_get(item, "type"));
    json_t *text = NULL;
    if (!type || !strcmp(type, "message")) {
        if (!(text = texts_json(json_object_get(item, "content"), err))) return false;
        json_array_append_new(messages, json_pack("{s:O?, s:o}", "role",
                                                  json_object_get(item, "role"), "content", text));
    } else if (!strcmp(type, "function_call")) {
        add_call(messages, item);
    } else if (!strcmp(type, "function_call_output")) {
        if (!(text = texts_json(json_object_get(item, "output"), err))) return false;
        json_array_append_new(messages,
                              json_pack("{s:s, s:O?, s:o}", "role", "tool", "tool_call_id",
                                        json_object_get(item, "call_id"), "content", text));
    } else if (!strcmp(type, "reasoning")) {
        if (!(text = texts_json(json_object_get(item, "content"), err))) return false;
        json_array_append_new(messages, json_pack("{s:s, s:s, s:o}", "role", "assistant", "content",
                                                  "", "reasoning_content", text));
    }
    return true;
}

/* An assistant's thought, text and calls come as items of their own: neighbours become one. */
static json_t *joined(const json_t *messages)
{
    json_t *list = json_array();
    for (size_t i = 0; i < json_array_size(messages); i++) {
        json_t *m = json_array_get(messages, i);
        json_t *last = json_array_get(list, json_array_size(list) - 1);
        const char *role = json_string_value(json_object_get(m, "role"));
        const char *last_role = json_string_value(json_object_get(last, "role"));
        const char *text = json_string_value(json_object_get(last, "content"));
        if (role && last_role && !strcmp(role, "assistant") && !strcmp(last_role, "assistant") &&
            text && !*text)
            json_object_update(last, m);
        else
            json_array_append(list, m);
    }
    return list;
}

/* The conversation in the form of chat; NULL: *err says why. */
static json_t *conversation_json(const json_t *body, struct mk_err *err)
{
    const json_t *input = json_object_get(body, "input"), *tools = json_object_get(body, "tools");
    json_t *instructions = json_object_get(body, "instructions");
    json_t *messages = json_array();
    bool ok = json_is_string(input) || json_is_array(input) ||
              mk_fail(err, MK_EFORMAT, "input is neither text nor a list of items");
    if (json_is_string(instructions))
        json_array_append_new(messages,
                              json_pack("{s:s, s:O}", "role", "system", "content", instructions));
    if (json_is_string(input))
        json_array_append_new(
            messages, json_pack("{s:s, s:s}", "role", "user", "content", json_string_value(input)));
    for (size_t i = 0; ok && i < json_array_size(input); i++)
        ok = add_item(messages, json_array_get(input, i), err);
    json_t *all = json_pack("{s:o}", "messages", joined(messages));
    json_decref(messages);
    if (json_array_size(tools))
        json_object_set_new(all, "tools", mk_tools_json(tools, "parameters"));
    if (ok) return all;
    json_decref(all);
    return NULL;
}

/* ---- answers ----------------------------------------------------------------------- */

struct response {
    struct mk_exchange *x;
    char id[64];
    json_int_t created;
    bool streams, has_begun, is_open;
    enum mk_piece_kind kind; /* of the open item */
    char item_id[64];
    size_t n_events, n_items, n_calls;
    json_t *output;              /* the items */
    json_t *item;                /* the open one, owned by output */
    struct mk_str text;          /* of it */
    json_t *tools, *tool_choice; /* the request's, or NULL */
    float temperature, top_p;
};

static void free_response(void *state)
{
    struct response *r = state;
    json_decref(r->output);
    json_decref(r->tools);
    json_decref(r->tool_choice);
    mk_str_release(&r->text);
    free(r);
}

/* Takes v, an object without type and sequence number. */
static void add_event(struct response *r, const char *type, json_t *v)
{
    json_t *event =
        json_pack("{s:s, s:I}", "type", type, "sequence_number", (json_int_t)r->n_events++);
    json_object_update(event, v);
    json_decref(v);
    mk_out_event(&r->x->out, type, event);
}

static json_t *usage_json(const struct mk_job_status *s)
{
    return json_pack("{s:I, s:{s:I}, s:I, s:{s:I}, s:I}", "input_tokens", (json_int_t)s->n_prompt,
                     "input_tokens_details", "cached_tokens", (json_int_t)s->n_cached,
                     "output_tokens", (json_int_t)s->n_made, "output_tokens_details",
                     "reasoning_tokens", (json_int_t)s->n_thought, "total_tokens",
                     (json_int_t)(s->n_prompt + s->n_made));
}

static bool is_incomplete(const struct mk_job_status *s)
{
    return s->finish == MK_FINISH_LENGTH || s->finish == MK_FINISH_LOOP;
}

/* s NULL: in progress; else *s says how it went. */
static json_t *response_json(const struct response *r, const struct mk_job_status *s)
{
    const bool is_cut = s && is_incomplete(s);
    json_t *v = json_pack("{s:s, s:s, s:I, s:s, s:n, s:n, s:n, s:{}, s:s, s:O}", "id", r->id,
                          "object", "response", "created_at", r->created, "status",
                          !s       ? "in_progress"
                          : is_cut ? "incomplete"
                                   : "completed",
                          "error", "incomplete_details", "instructions", "metadata", "model",
                          r->x->server->o.model_name, "output", r->output);
    json_object_set_new(v, "parallel_tool_calls", json_true());
    json_object_set_new(v, "temperature", mk_setting_json(r->temperature));
    json_object_set_new(v, "top_p", mk_setting_json(r->top_p));
    if (r->tool_choice && !json_is_null(r->tool_choice))
        json_object_set(v, "tool_choice", r->tool_choice);
    else
        json_object_set_new(v, "tool_choice", json_string("auto"));
    if (r->tools)
        json_object_set(v, "tools", r->tools);
    else
        json_object_set_new(v, "tools", json_array());
    json_object_set_new(v, "store", json_false());
    json_object_set_new(v, "previous_response_id", json_null());
    json_object_set_new(v, "usage", s ? usage_json(s) : json_null());
    if (is_cut)
        json_object_set_new(
            v, "incomplete_details",
            json_pack("{s:s}", "reason",
                      s->finish == MK_FINISH_LOOP ? "repetition" : "max_output_tokens"));
    return v;
}

static void begin_response(struct response *r)
{
    if (!r->streams || r->has_begun) return;
    r->has_begun = true;
    add_event(r, "response.created", json_pack("{s:o}", "response", response_json(r, NULL)));
    add_event(r, "response.in_progress", json_pack("{s:o}", "response", response_json(r, NULL)));
}

/* Where an event belongs. */
static json_t *place_json(const struct response *r)
{
    json_t *v =
        json_pack("{s:s, s:I}", "item_id", r->item_id, "output_index", (json_int_t)r->n_items - 1);
    if (r->kind != MK_PIECE_CALL) json_object_set_new(v, "content_index", json_integer(0));
    return v;
}

static json_t *part_json(const struct response *r)
{
    const char *text = mk_str_c(&r->text);
    if (r->kind == MK_PIECE_REASONING)
        return json_pack("{s:s, s:s%}", "type", "reasoning_text", "text", text, r->text.len);
    return json_pack("{s:s, s:s%, s:[], s:[]}", "type", "output_text", "text", text, r->text.len,
                     "annotations", "logprobs");
}

static json_t *empty_item(struct response *r, const char *name, size_t n)
{
    char call_id[MK_CALL_ID];
    static const char *const prefixes[] = {
        [MK_PIECE_REASONING] = "rs", [MK_PIECE_ANSWER] = "msg", [MK_PIECE_CALL] = "fc"};
    snprintf(r->item_id, sizeof r->item_id, "%s_%s%02zu", prefixes[r->kind], r->x->id, r->n_items);
    if (r->kind == MK_PIECE_REASONING)
        return json_pack("{s:s, s:s, s:[], s:[], s:s}", "type", "reasoning", "id", r->item_id,
                         "summary", "content", "status", "in_progress");
    if (r->kind == MK_PIECE_ANSWER)
        return json_pack("{s:s, s:s, s:s, s:s, s:[]}", "type", "message", "id", r->item_id,
                         "status", "in_progress", "role", "assistant", "content");
    mk_call_id(call_id, r->x->id, r->n_calls++);
    return json_pack("{s:s, s:s, s:s, s:s%, s:s, s:s}", "type", "function_call", "id", r->item_id,
                     "call_id", call_id, "name", name, n, "arguments", "", "status", "in_progress");
}

/* The events that say what an item holds in the end. */
static void add_done_events(struct response *r)
{
    json_t *v = place_json(r);
    json_object_set_new(v, r->kind == MK_PIECE_CALL ? "arguments" : "text",
                        json_stringn(mk_str_c(&r->text), r->text.len));
    if (r->kind == MK_PIECE_CALL) {
        json_object_set(v, "name", json_object_get(r->item, "name"));
        add_event(r, "response.function_call_arguments.done", v);
    } else {
        if (r->kind == MK_PIECE_ANSWER) json_object_set_new(v, "logprobs", json_array());
        add_event(r,
                  r->kind == MK_PIECE_REASONING ? "response.reasoning_text.done"
                                                : "response.output_text.done",
                  v);
        v = place_json(r);
        json_object_set_new(v, "part", part_json(r));
        add_event(r, "response.content_part.done", v);
    }
    add_event(r, "response.output_item.done",
              json_pack("{s:I, s:O}", "output_index", (json_int_t)r->n_items - 1, "item", r->item));
}

static void close_item(struct response *r)
{
    if (!r->is_open) return;
    r->is_open = false;
    json_object_set_new(r->item, "status", json_string("completed"));
    if (r->kind == MK_PIECE_CALL)
        json_object_set_new(r->item, "arguments", json_stringn(mk_str_c(&r->text), r->text.len));
    else
        json_object_set_new(r->item, "content", json_pack("[o]", part_json(r)));
    if (r->streams) add_done_events(r);
    mk_str_clear(&r->text);
}

static void open_item(struct response *r, enum mk_piece_kind kind, const char *name, size_t n)
{
    close_item(r);
    r->is_open = true;
    r->kind = kind;
    r->item = empty_item(r, name, n);
    json_array_append_new(r->output, r->item);
    r->n_items++;
    if (!r->streams) return;
    add_event(r, "response.output_item.added",
              json_pack("{s:I, s:O}", "output_index", (json_int_t)r->n_items - 1, "item", r->item));
    if (kind == MK_PIECE_CALL) return;
    json_t *v = place_json(r);
    json_object_set_new(v, "part", part_json(r));
    add_event(r, "response.content_part.added", v);
}

static void add_delta(struct response *r, const char *text, size_t n)
{
    json_t *v = place_json(r);
    json_object_set_new(v, "delta", json_stringn(text, n));
    if (r->kind == MK_PIECE_ANSWER) json_object_set_new(v, "logprobs", json_array());
    add_event(r,
              r->kind == MK_PIECE_REASONING ? "response.reasoning_text.delta"
              : r->kind == MK_PIECE_ANSWER  ? "response.output_text.delta"
                                            : "response.function_call_arguments.delta",
              v);
}

static void on_piece(struct mk_exchange *x, const struct mk_piece *p, const char *text,
                     const struct mk_sampled *toks)
{
    (void)toks;
    struct response *r = x->state;
    const enum mk_piece_kind kind = p->kind == MK_PIECE_ARGUMENTS ? MK_PIECE_CALL : p->kind;
    begin_response(r);
    if (p->kind == MK_PIECE_CALL || !r->is_open || r->kind != kind) open_item(r, kind, text, p->n);
    if (p->kind == MK_PIECE_CALL || p->n == 0) return;
    mk_str_append(&r->text, text, p->n);
    if (r->streams) add_delta(r, text, p->n);
}

static void on_end(struct mk_exchange *x, const struct mk_job_status *s)
{
    struct response *r = x->state;
    begin_response(r);
    close_item(r);
    json_t *v = response_json(r, s);
    if (!r->streams)
        mk_out_json(&x->out, v);
    else
        add_event(r, is_incomplete(s) ? "response.incomplete" : "response.completed",
                  json_pack("{s:o}", "response", v));
}

static const struct mk_wire wire = {.piece = on_piece, .end = on_end, .free = free_response};

/* ---- the handler ------------------------------------------------------------------- */

/* reasoning.effort: none does not think, all others do. */
static bool read_thinking(const struct mk_fields *f, bool *out)
{
    json_t *o;
    const char *effort = NULL;
    *out = f->x->server->o.default_thinking;
    if (!mk_field_object(f, "reasoning", &o)) return false;
    const struct mk_fields reasoning = {f->x, o};
    if (o && !mk_field_text(&reasoning, "effort", &effort)) return false;
    if (effort) *out = strcmp(effort, "none") != 0;
    return true;
}

/* text.format: text, json_object, or json_schema with its schema beside the type. */
static bool read_format(const struct mk_fields *f, struct mk_shape_want *w)
{
    json_t *text, *format = NULL, *schema = NULL;
    const char *type = "text";
    if (!mk_field_object(f, "text", &text)) return false;
    const struct mk_fields of_text = {f->x, text};
    if (text && !mk_field_object(&of_text, "format", &format)) return false;
    const struct mk_fields of_format = {f->x, format};
    if (format && (!mk_field_text(&of_format, "type", &type) ||
                   !mk_field_object(&of_format, "schema", &schema)))
        return false;
    w->any_object = !strcmp(type, "json_object");
    w->schema = !strcmp(type, "json_schema") ? schema : NULL;
    if (w->any_object || w->schema || !strcmp(type, "text")) return true;
    mk_answer_error(
        f->x, 400, "text.format", NULL,
        "text.format.type is %.40s, want text, json_object, or json_schema with a schema", type);
    return false;
}

/* tool_choice: none, auto, required, or {"type": "function", "name"}. */
static bool read_choice(const struct mk_fields *f, struct mk_shape_want *w, bool *with_tools)
{
    const json_t *choice = json_object_get(f->v, "tool_choice");
    const char *word = json_string_value(choice);
    *with_tools = !word || strcmp(word, "none") != 0;
    w->is_parallel = true;
    w->tool = json_string_value(json_object_get(choice, "name"));
    w->must_call = w->tool || (word && !strcmp(word, "required"));
    if (!mk_field_bool(f, "parallel_tool_calls", &w->is_parallel)) return false;
    if (w->tool) w->is_parallel = false;
    return true;
}

static bool read_prompt(const struct mk_fields *f, struct mk_job *j)
{
    struct mk_err err;
    struct mk_shape_want w = {0};
    bool thinks, with_tools;
    if (!read_thinking(f, &thinks) || !read_format(f, &w) || !read_choice(f, &w, &with_tools))
        return false;
    json_t *conversation = conversation_json(f->v, &err);
    if (conversation)
        return mk_job_conversation(f->x, j, conversation, &w, thinks, with_tools, "text.format");
    mk_answer_failure(f->x, &err, "input");
    return false;
}

void mk_api_responses(struct mk_exchange *x)
{
    struct mk_fields f;
    if (!mk_fields_read(&f, x)) return;
    struct mk_job *j = mk_job_new();
    struct response *r = mk_alloc(sizeof *r);
    int64_t max_toks = 0;
    r->x = x;
    r->created = (json_int_t)mk_wall_s();
    r->output = json_array();
    r->tools = json_incref(json_object_get(f.v, "tools"));
    r->tool_choice = json_incref(json_object_get(f.v, "tool_choice"));
    snprintf(r->id, sizeof r->id, "resp_%s", x->id);
    if (mk_fields_job(&f, j) && mk_field_int(&f, "max_output_tokens", 1, 1 << 28, &max_toks) &&
        mk_field_bool(&f, "stream", &r->streams) && read_prompt(&f, j)) {
        if (max_toks) j->max_toks = (size_t)max_toks;
        r->temperature = j->sampling.temperature;
        r->top_p = j->sampling.top_p;
        mk_answer_job(x, j, &wire, r, r->streams);
    } else {
        mk_job_drop(j);
        free_response(r);
    }
    mk_fields_release(&f);
}
