/* POST /messages and /messages/count_tokens: Anthropic's dialect.  A request is put into OpenAI's
 * form and rendered as any other; the answer is a list of blocks, each with its events. */
#include "base/mem.h"
#include "server/wire.h"

#include <stdlib.h>
#include <string.h>

/* ---- requests: blocks to messages -------------------------------------------------- */

/* The text of a string, or of a list of text blocks; others are ignored. */
static void add_block_texts(struct mk_str *out, const json_t *v)
{
    if (json_is_string(v)) mk_str_add(out, json_string_value(v));
    for (size_t i = 0; i < json_array_size(v); i++) {
        const char *text = json_string_value(json_object_get(json_array_get(v, i), "text"));
        if (text && out->len) mk_str_addc(out, '\n');
        if (text) mk_str_add(out, text);
    }
}

static json_t *texts_json(const json_t *v)
{
    struct mk_str text = {0};
    add_block_texts(&text, v);
    json_t *json = json_stringn(mk_str_c(&text), text.len);
    mk_str_release(&text);
    return json;
}

struct turn { /* of one message in Anthropic's form: what becomes of its blocks */
    struct mk_str text, thought;
    json_t *calls;   /* tool_use */
    json_t *results; /* tool_result, each a message of its own, before the text */
    bool has_thought;
};

static bool add_block(struct turn *t, const json_t *b, struct mk_err *err)
{
    const char *type = json_string_value(json_object_get(b, "type"));
    const char *text = json_string_value(json_object_get(b, "text"));
    const char *thought = json_string_value(json_object_get(b, "thinking"));
    if (type && !strcmp(type, "text") && text) {
        if (t->text.len) mk_str_addc(&t->text, '\n');
        mk_str_add(&t->text, text);
    } else if (type && !strcmp(type, "thinking") && thought) {
        t->has_thought = true;
        mk_str_add(&t->thought, thought);
    } else if (type && !strcmp(type, "redacted_thinking")) {
        t->has_thought = true;
    } else if (type && !strcmp(type, "tool_use")) {
        json_array_append_new(t->calls, json_pack("{s:O?, s:s, s:{s:O?, s:O?}}", "id",
                                                  json_object_get(b, "id"), "type", "function",
                                                  "function", "name", json_object_get(b, "name"),
                                                  "arguments", json_object_get(b, "input")));
    } else if (type && !strcmp(type, "tool_result")) {
        json_array_append_new(t->results,
                              json_pack("{s:s, s:O?, s:o}", "role", "tool", "tool_call_id",
                                        json_object_get(b, "tool_use_id"), "content",
                                        texts_json(json_object_get(b, "content"))));
    } else {
        return mk_fail(err, MK_EUNSUPPORTED, "a content block of type %.40s is not supported",
                       type ? type : "that is missing");
    }
    return true;
}

static void add_turn(json_t *messages, const json_t *role, struct turn *t, bool has_blocks)
{
    json_array_extend(messages, t->results);
    if (has_blocks && json_array_size(t->results) && !t->text.len) return;
    json_t *m = json_pack("{s:O?, s:s%}", "role", role, "content", mk_str_c(&t->text), t->text.len);
    if (t->has_thought)
        json_object_set_new(m, "reasoning_content",
                            json_stringn(mk_str_c(&t->thought), t->thought.len));
    if (json_array_size(t->calls)) json_object_set(m, "tool_calls", t->calls);
    json_array_append_new(messages, m);
}

static bool add_message(json_t *messages, const json_t *v, struct mk_err *err)
{
    const json_t *content = json_object_get(v, "content");
    struct turn t = {.calls = json_array(), .results = json_array()};
    bool ok = json_is_string(content) || json_is_array(content) ||
              mk_fail(err, MK_EFORMAT, "messages has a member without content");
    if (json_is_string(content)) mk_str_add(&t.text, json_string_value(content));
    for (size_t i = 0; ok && i < json_array_size(content); i++)
        ok = add_block(&t, json_array_get(content, i), err);
    if (ok) add_turn(messages, json_object_get(v, "role"), &t, json_is_array(content));
    mk_str_release(&t.text);
    mk_str_release(&t.thought);
    json_decref(t.calls);
    json_decref(t.results);
    return ok;
}

/* A last message of the assistant's is the beginning of the answer. */
static void continue_last(json_t *messages)
{
    json_t *last = json_array_get(messages, json_array_size(messages) - 1);
    const char *role = json_string_value(json_object_get(last, "role"));
    if (role && !strcmp(role, "assistant")) json_object_set_new(last, "prefix", json_true());
}

/* The whole conversation in OpenAI's form; NULL: *err says why. */
static json_t *conversation_json(const json_t *body, struct mk_err *err)
{
    const json_t *system = json_object_get(body, "system"), *tools = json_object_get(body, "tools");
    const json_t *list = json_object_get(body, "messages");
    json_t *messages = json_array();
    bool ok = json_is_array(list) || mk_fail(err, MK_EFORMAT, "messages is not a list");
    if (system && !json_is_null(system))
        json_array_append_new(
            messages, json_pack("{s:s, s:o}", "role", "system", "content", texts_json(system)));
    for (size_t i = 0; ok && i < json_array_size(list); i++)
        ok = add_message(messages, json_array_get(list, i), err);
    continue_last(messages);
    json_t *all = json_pack("{s:o}", "messages", messages);
    if (json_array_size(tools))
        json_object_set_new(all, "tools", mk_tools_json(tools, "input_schema"));
    if (ok) return all;
    json_decref(all);
    return NULL;
}

/* ---- answers ----------------------------------------------------------------------- */

struct blocks {
    char id[64];
    const char *model;
    bool streams, has_begun, is_open;
    enum mk_piece_kind kind; /* of the open block */
    size_t index, n_calls;   /* of the block that is open or comes next */
    json_t *list;            /* of a whole answer */
    struct mk_str text;      /* of its open block */
};

static void free_blocks(void *state)
{
    struct blocks *b = state;
    json_decref(b->list);
    mk_str_release(&b->text);
    free(b);
}

static json_t *usage_json(const struct mk_job_status *s, size_t n_out)
{
    return json_pack("{s:I, s:i, s:I, s:I}", "input_tokens",
                     (json_int_t)(s->n_prompt - s->n_cached), "cache_creation_input_tokens", 0,
                     "cache_read_input_tokens", (json_int_t)s->n_cached, "output_tokens",
                     (json_int_t)n_out);
}

/* Takes content. */
static json_t *message_json(const struct blocks *b, json_t *content, const char *reason,
                            const char *stop, json_t *usage)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:s?, s:s?, s:o}", "id", b->id, "type", "message",
                     "role", "assistant", "model", b->model, "content", content, "stop_reason",
                     reason, "stop_sequence", stop, "usage", usage);
}

static void begin_message(struct mk_exchange *x, struct blocks *b)
{
    if (b->has_begun) return;
    b->has_begun = true;
    json_t *message = message_json(b, json_array(), NULL, NULL, usage_json(&x->now, 1));
    mk_out_event(&x->out, "message_start",
                 json_pack("{s:s, s:o}", "type", "message_start", "message", message));
}

/* What a block is before anything is in it; name[0..n) of a tool's. */
static json_t *empty_block(const struct mk_exchange *x, const struct blocks *b,
                           enum mk_piece_kind kind, const char *name, size_t n)
{
    char id[MK_CALL_ID];
    if (kind == MK_PIECE_REASONING)
        return json_pack("{s:s, s:s, s:s}", "type", "thinking", "thinking", "", "signature", "");
    if (kind == MK_PIECE_ANSWER) return json_pack("{s:s, s:s}", "type", "text", "text", "");
    mk_call_id(id, x->id, b->n_calls - 1);
    memcpy(id, "toolu_00", 8);
    return json_pack("{s:s, s:s, s:s%, s:{}}", "type", "tool_use", "id", id, "name", name, n,
                     "input");
}

static void add_delta(struct mk_exchange *x, const struct blocks *b, const char *type,
                      const char *key, const char *text, size_t n)
{
    mk_out_event(&x->out, "content_block_delta",
                 json_pack("{s:s, s:I, s:{s:s, s:s%}}", "type", "content_block_delta", "index",
                           (json_int_t)b->index, "delta", "type", type, key, text, n));
}

/* Nobody checks it, but clients want one. */
static const char signature[] = "minke";

/* Puts what was gathered into the last block of the list. */
static void fill_block(struct blocks *b)
{
    json_t *block = json_array_get(b->list, json_array_size(b->list) - 1);
    json_t *text = json_stringn(mk_str_c(&b->text), b->text.len);
    if (b->kind == MK_PIECE_REASONING) {
        json_object_set_new(block, "thinking", text);
        json_object_set_new(block, "signature", json_string(signature));
    } else if (b->kind == MK_PIECE_ANSWER) {
        json_object_set_new(block, "text", text);
    } else {
        json_t *input = json_loadb(mk_str_c(&b->text), b->text.len, 0, NULL);
        json_object_set_new(block, "input", json_is_object(input) ? input : json_object());
        if (!json_is_object(input)) json_decref(input);
        json_decref(text);
    }
    mk_str_clear(&b->text);
}

static void close_block(struct mk_exchange *x, struct blocks *b)
{
    if (!b->is_open) return;
    b->is_open = false;
    if (!b->streams) {
        fill_block(b);
        return;
    }
    if (b->kind == MK_PIECE_REASONING)
        add_delta(x, b, "signature_delta", "signature", signature, sizeof signature - 1);
    mk_out_event(
        &x->out, "content_block_stop",
        json_pack("{s:s, s:I}", "type", "content_block_stop", "index", (json_int_t)b->index));
    b->index++;
}

static void open_block(struct mk_exchange *x, struct blocks *b, enum mk_piece_kind kind,
                       const char *name, size_t n)
{
    close_block(x, b);
    b->is_open = true;
    b->kind = kind;
    json_t *block = empty_block(x, b, kind, name, n);
    if (!b->streams) {
        json_array_append_new(b->list, block);
        return;
    }
    mk_out_event(&x->out, "content_block_start",
                 json_pack("{s:s, s:I, s:o}", "type", "content_block_start", "index",
                           (json_int_t)b->index, "content_block", block));
}

static void on_piece(struct mk_exchange *x, const struct mk_piece *p, const char *text,
                     const struct mk_sampled *toks)
{
    (void)toks;
    struct blocks *b = x->state;
    const enum mk_piece_kind kind = p->kind == MK_PIECE_ARGUMENTS ? MK_PIECE_CALL : p->kind;
    if (b->streams) begin_message(x, b);
    if (p->kind == MK_PIECE_CALL) b->n_calls++;
    if (p->kind == MK_PIECE_CALL || !b->is_open || b->kind != kind)
        open_block(x, b, kind, text, p->n);
    if (p->kind == MK_PIECE_CALL || p->n == 0) return;
    if (!b->streams)
        mk_str_append(&b->text, text, p->n);
    else if (p->kind == MK_PIECE_REASONING)
        add_delta(x, b, "thinking_delta", "thinking", text, p->n);
    else if (p->kind == MK_PIECE_ANSWER)
        add_delta(x, b, "text_delta", "text", text, p->n);
    else
        add_delta(x, b, "input_json_delta", "partial_json", text, p->n);
}

static void on_end(struct mk_exchange *x, const struct mk_job_status *s)
{
    struct blocks *b = x->state;
    const char *stop = s->stop < x->job->n_stops ? x->job->stops[s->stop] : NULL;
    const bool is_cut = s->finish == MK_FINISH_LENGTH || s->finish == MK_FINISH_LOOP;
    const char *reason = is_cut       ? "max_tokens"
                         : b->n_calls ? "tool_use"
                         : stop       ? "stop_sequence"
                                      : "end_turn";
    close_block(x, b);
    if (!b->streams) {
        json_t *content = json_incref(b->list);
        mk_out_json(&x->out, message_json(b, content, reason, stop, usage_json(s, s->n_made)));
        return;
    }
    begin_message(x, b);
    mk_out_event(&x->out, "message_delta",
                 json_pack("{s:s, s:{s:s, s:s?}, s:o}", "type", "message_delta", "delta",
                           "stop_reason", reason, "stop_sequence", stop, "usage",
                           usage_json(s, s->n_made)));
    mk_out_event(&x->out, "message_stop", json_pack("{s:s}", "type", "message_stop"));
}

static const struct mk_wire wire = {.piece = on_piece, .end = on_end, .free = free_blocks};

/* ---- the handlers ------------------------------------------------------------------ */

/* thinking.type: enabled and adaptive think, disabled does not. */
static bool read_thinking(const struct mk_fields *f, struct mk_job *j, bool *out)
{
    json_t *o;
    const char *type = NULL;
    *out = f->x->server->o.default_thinking;
    if (!mk_field_object(f, "thinking", &o)) return false;
    const struct mk_fields thinking = {f->x, o};
    if (o && !mk_field_text(&thinking, "type", &type)) return false;
    if (!mk_fields_budget(f, o, j)) return false;
    if (!type) return true;
    *out = strcmp(type, "disabled") != 0;
    if (!*out || !strcmp(type, "enabled") || !strcmp(type, "adaptive")) return true;
    mk_answer_error(f->x, 400, "thinking", NULL,
                    "thinking.type is %.40s, want enabled, disabled or adaptive", type);
    return false;
}

static bool read_stops(const struct mk_fields *f, struct mk_job *j)
{
    const json_t *list = json_object_get(f->v, "stop_sequences");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (!text || !*text || i >= 16) {
            mk_answer_error(f->x, 400, "stop_sequences", NULL,
                            "stop_sequences wants at most 16 texts, none of them empty");
            return false;
        }
        mk_job_add_stop(j, text);
    }
    return true;
}

/* tool_choice: auto, none, any, or a tool. */
static bool read_choice(const struct mk_fields *f, struct mk_shape_want *w, bool *with_tools)
{
    json_t *o;
    const char *type = "auto";
    bool is_serial = false;
    if (!mk_field_object(f, "tool_choice", &o)) return false;
    const struct mk_fields choice = {f->x, o};
    if (o && (!mk_field_text(&choice, "type", &type) || !mk_field_text(&choice, "name", &w->tool) ||
              !mk_field_bool(&choice, "disable_parallel_tool_use", &is_serial)))
        return false;
    *with_tools = strcmp(type, "none") != 0;
    if (strcmp(type, "tool") != 0) w->tool = NULL;
    w->must_call = w->tool || !strcmp(type, "any");
    w->is_parallel = !is_serial && !w->tool;
    if (!*with_tools || w->must_call || !strcmp(type, "auto")) return true;
    mk_answer_error(f->x, 400, "tool_choice", NULL,
                    "tool_choice.type is %.40s, want auto, any, none, or tool with a name", type);
    return false;
}

/* output_config.format: a JSON schema. */
static bool read_format(const struct mk_fields *f, struct mk_shape_want *w)
{
    json_t *o, *format = NULL, *schema = NULL;
    if (!mk_field_object(f, "output_config", &o)) return false;
    const struct mk_fields config = {f->x, o};
    if (o && !mk_field_object(&config, "format", &format)) return false;
    const struct mk_fields of_format = {f->x, format};
    if (format && !mk_field_object(&of_format, "schema", &schema)) return false;
    w->schema = schema;
    return true;
}

static bool read_user(const struct mk_fields *f, struct mk_job *j)
{
    json_t *o;
    const char *user = NULL;
    if (!mk_field_object(f, "metadata", &o)) return false;
    const struct mk_fields metadata = {f->x, o};
    if (o && !mk_field_text(&metadata, "user_id", &user)) return false;
    j->owner = mk_user_hash(user);
    return true;
}

static bool read_prompt(const struct mk_fields *f, struct mk_job *j)
{
    struct mk_err err;
    struct mk_shape_want w = {0};
    bool thinks, with_tools;
    if (!read_thinking(f, j, &thinks) || !read_choice(f, &w, &with_tools) || !read_format(f, &w))
        return false;
    json_t *conversation = conversation_json(f->v, &err);
    if (conversation)
        return mk_job_conversation(f->x, j, conversation, &w, thinks, with_tools, "output_config");
    mk_answer_failure(f->x, &err, "messages");
    return false;
}

void mk_api_messages(struct mk_exchange *x)
{
    struct mk_fields f;
    if (!mk_fields_read(&f, x)) return;
    struct mk_job *j = mk_job_new();
    struct blocks *b = mk_alloc(sizeof *b);
    bool wants_usage;
    b->model = x->server->o.model_name;
    b->list = json_array();
    snprintf(b->id, sizeof b->id, "msg_%s", x->id);
    const bool ok = mk_fields_job(&f, j) && read_stops(&f, j) && read_user(&f, j) &&
                    mk_fields_stream(&f, &b->streams, &wants_usage) && read_prompt(&f, j);
    if (ok && !j->max_toks) mk_answer_error(x, 400, "max_tokens", NULL, "max_tokens is missing");
    if (ok && j->max_toks) {
        mk_answer_job(x, j, &wire, b, b->streams);
    } else {
        mk_job_drop(j);
        free_blocks(b);
    }
    mk_fields_release(&f);
}

void mk_api_count_tokens(struct mk_exchange *x)
{
    struct mk_fields f;
    if (!mk_fields_read(&f, x)) return;
    struct mk_job *j = mk_job_new();
    if (read_prompt(&f, j))
        mk_answer_json(x, 200, json_pack("{s:I}", "input_tokens", (json_int_t)j->prompt.n));
    mk_job_drop(j);
    mk_fields_release(&f);
}
