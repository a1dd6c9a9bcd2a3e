/* Conversations: the data, and reading them from OpenAI-style JSON. */
#include "base/mem.h"
#include "chat/int_chat.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void mk_tool_call_release(struct mk_tool_call *call)
{
    free(call->id);
    free(call->name);
    free(call->arguments);
}

static void release_message(struct mk_message *m)
{
    for (size_t i = 0; i < m->n_calls; i++) mk_tool_call_release(&m->calls[i]);
    free(m->calls);
    free(m->content);
    free(m->reasoning);
}

void mk_conversation_release(struct mk_conversation *c)
{
    mk_conversation_truncate(c, 0);
    free(c->list);
    free(c->tools);
    *c = (struct mk_conversation){0};
}

void mk_conversation_truncate(struct mk_conversation *c, size_t n)
{
    if (c->n > n) c->continues = false;
    while (c->n > n) release_message(&c->list[--c->n]);
}

/* Room for one more in an array of n that doubles whenever n is a power of two. */
static void *grow(void *p, size_t n, size_t size)
{
    if (n & (n - 1)) return p;
    return mk_realloc(p, (n ? 2 * n : 1) * size);
}

static char *copy(const char *s) { return s ? mk_strdup(s) : NULL; }

void mk_conversation_add(struct mk_conversation *c, enum mk_role role, const char *content,
                         const char *reasoning)
{
    c->continues = false;
    c->list = grow(c->list, c->n, sizeof *c->list);
    c->list[c->n++] =
        (struct mk_message){.role = role, .content = copy(content), .reasoning = copy(reasoning)};
}

void mk_conversation_add_call(struct mk_conversation *c, const struct mk_tool_call *call)
{
    assert(c->n && c->list[c->n - 1].role == MK_ASSISTANT);
    struct mk_message *m = &c->list[c->n - 1];
    m->calls = grow(m->calls, m->n_calls, sizeof *m->calls);
    m->calls[m->n_calls++] =
        (struct mk_tool_call){copy(call->id), mk_strdup(call->name), mk_strdup(call->arguments)};
}

/* ---- parsing ---------------------------------------------------------------------- */

/* Where in the JSON we are, as a reader would write it: messages[2].content. */
struct place {
    char text[96];
};

static struct place at_index(const struct place *in, size_t i)
{
    struct place p;
    snprintf(p.text, sizeof p.text, "%.60s[%zu]", in->text, i);
    return p;
}

static struct place at_key(const struct place *in, const char *key)
{
    struct place p;
    snprintf(p.text, sizeof p.text, "%.60s%s%s", in->text, in->text[0] ? "." : "", key);
    return p;
}

/* Says what was found instead of what was wanted. */
static bool fail_kind(const struct place *where, const json_t *v, const char *want,
                      struct mk_err *err)
{
    static const char *const kinds[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "a list",  [JSON_STRING] = "a string",
        [JSON_INTEGER] = "a number", [JSON_REAL] = "a number", [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",      [JSON_NULL] = "null"};
    const char *name = where->text[0] ? where->text : "the conversation";
    struct mk_str seen = {0};
    if (json_is_string(v))
        mk_str_addc(&seen, '"'), mk_str_add_start(&seen, json_string_value(v), 40),
            mk_str_addc(&seen, '"');
    else
        mk_str_add(&seen, v ? kinds[json_typeof(v)] : "missing");
    mk_fail(err, MK_EFORMAT, "%s is %s, want %s", name, seen.data, want);
    mk_str_release(&seen);
    return false;
}

static bool parse_parts(struct mk_str *out, const struct place *at, const json_t *list,
                        struct mk_err *err)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const struct place part_at = at_index(at, i);
        const json_t *part = json_array_get(list, i);
        if (!json_is_object(part)) return fail_kind(&part_at, part, "an object", err);
        const struct place type_at = at_key(&part_at, "type"), text_at = at_key(&part_at, "text");
        const json_t *type = json_object_get(part, "type"), *text = json_object_get(part, "text");
        if (!json_is_string(type) || strcmp(json_string_value(type), "text") != 0)
            return fail_kind(&type_at, type, "\"text\": other parts are not supported", err);
        if (!json_is_string(text)) return fail_kind(&text_at, text, "a string", err);
        if (i) mk_str_addc(out, '\n');
        mk_str_add(out, json_string_value(text));
    }
    return true;
}

/* *out is NULL for null. */
static bool parse_content(char **out, const struct place *msg, const json_t *v, bool may_be_null,
                          struct mk_err *err)
{
    const struct place at = at_key(msg, "content");
    *out = NULL;
    if (may_be_null && (!v || json_is_null(v))) return true;
    struct mk_str text = {0};
    if (json_is_string(v))
        mk_str_add(&text, json_string_value(v));
    else if (!json_is_array(v))
        return fail_kind(
            &at, v, may_be_null ? "text, null or a list of parts" : "text or a list of parts", err);
    else if (!parse_parts(&text, &at, v, err)) {
        mk_str_release(&text);
        return false;
    }
    *out = mk_str_take(&text);
    return true;
}

static bool parse_call(struct mk_conversation *c, const struct place *at, const json_t *v,
                       struct mk_err *err)
{
    const json_t *id = json_object_get(v, "id"), *type = json_object_get(v, "type");
    const json_t *f = json_object_get(v, "function"), *name = json_object_get(f, "name");
    json_t *args = json_object_get(f, "arguments");
    const struct place id_at = at_key(at, "id"), type_at = at_key(at, "type");
    const struct place f_at = at_key(at, "function");
    const struct place name_at = at_key(&f_at, "name"), args_at = at_key(&f_at, "arguments");
    if (!json_is_object(v)) return fail_kind(at, v, "an object", err);
    if (id && !json_is_null(id) && !json_is_string(id))
        return fail_kind(&id_at, id, "a string", err);
    if (type && (!json_is_string(type) || strcmp(json_string_value(type), "function") != 0))
        return fail_kind(&type_at, type, "\"function\"", err);
    if (!json_is_object(f)) return fail_kind(&f_at, f, "an object", err);
    if (!json_is_string(name)) return fail_kind(&name_at, name, "a string", err);
    if (!json_is_string(args) && !json_is_object(args))
        return fail_kind(&args_at, args, "JSON text or an object", err);
    struct mk_str text = {0};
    if (json_is_string(args))
        mk_str_add(&text, json_string_value(args));
    else
        mk_json_text(&text, args, true);
    char *arguments = mk_str_take(&text), *name_text = mk_strdup(json_string_value(name));
    char *id_text = copy(json_string_value(id));
    mk_conversation_add_call(c, &(struct mk_tool_call){id_text, name_text, arguments});
    free(arguments), free(name_text), free(id_text);
    return true;
}

static bool parse_calls(struct mk_conversation *c, const struct place *msg, const json_t *v,
                        struct mk_err *err)
{
    const struct place at = at_key(msg, "tool_calls");
    if (!v || json_is_null(v)) return true;
    if (!json_is_array(v)) return fail_kind(&at, v, "a list", err);
    if (json_array_size(v) && c->list[c->n - 1].role != MK_ASSISTANT)
        return mk_fail(err, MK_EFORMAT, "%s: only an assistant calls tools", at.text);
    for (size_t i = 0; i < json_array_size(v); i++) {
        const struct place call_at = at_index(&at, i);
        if (!parse_call(c, &call_at, json_array_get(v, i), err)) return false;
    }
    return true;
}

static bool parse_role(enum mk_role *out, const struct place *msg, const json_t *v,
                       struct mk_err *err)
{
    static const struct {
        const char *name;
        enum mk_role role;
    } roles[] = {{"system", MK_SYSTEM},
                 {"developer", MK_SYSTEM},
                 {"user", MK_USER},
                 {"assistant", MK_ASSISTANT},
                 {"tool", MK_TOOL}};
    const char *name = json_string_value(v);
    for (size_t i = 0; name && i < sizeof roles / sizeof roles[0]; i++)
        if (strcmp(roles[i].name, name) == 0) return *out = roles[i].role, true;
    const struct place at = at_key(msg, "role");
    return fail_kind(&at, v, "system, developer, user, assistant or tool", err);
}

/* A truth value that may be missing or null. */
static bool parse_flag(bool *out, const struct place *at, const json_t *v, struct mk_err *err)
{
    if (v && !json_is_null(v) && !json_is_boolean(v)) return fail_kind(at, v, "true or false", err);
    *out = json_is_true(v);
    return true;
}

/* Whether the message that was just added is to be continued. */
static bool parse_prefix(struct mk_conversation *c, const struct place *msg, const json_t *v,
                         bool is_last, struct mk_err *err)
{
    const struct place at = at_key(msg, "prefix");
    if (!parse_flag(&c->continues, &at, v, err)) return false;
    if (!c->continues || (is_last && c->list[c->n - 1].role == MK_ASSISTANT)) return true;
    return fail_kind(&at, v, "it on the last message alone, an assistant's", err);
}

static bool parse_message(struct mk_conversation *c, const struct place *at, const json_t *v,
                          struct mk_err *err)
{
    enum mk_role role = MK_SYSTEM;
    char *content = NULL;
    if (!json_is_object(v)) return fail_kind(at, v, "an object", err);
    if (!parse_role(&role, at, json_object_get(v, "role"), err)) return false;
    const bool may_be_null = role == MK_ASSISTANT || role == MK_TOOL;
    const char *key = json_object_get(v, "reasoning_content") ? "reasoning_content" : "reasoning";
    const json_t *reasoning = json_object_get(v, key);
    const struct place reasoning_at = at_key(at, key);
    if (reasoning && !json_is_string(reasoning) && !json_is_null(reasoning))
        return fail_kind(&reasoning_at, reasoning, "a string or null", err);
    if (!parse_content(&content, at, json_object_get(v, "content"), may_be_null, err)) return false;
    mk_conversation_add(c, role, content,
                        role == MK_ASSISTANT ? json_string_value(reasoning) : NULL);
    free(content);
    return parse_calls(c, at, json_object_get(v, "tool_calls"), err);
}

bool mk_tools_check(const json_t *tools, struct mk_err *err)
{
    const struct place tools_at = {"tools"};
    if (!json_is_array(tools)) return fail_kind(&tools_at, tools, "a list", err);
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *tool = json_array_get(tools, i), *f = json_object_get(tool, "function");
        const json_t *name = json_object_get(f, "name");
        const json_t *about = json_object_get(f, "description");
        const json_t *parameters = json_object_get(f, "parameters");
        const struct place at = at_index(&tools_at, i), f_at = at_key(&at, "function");
        const struct place name_at = at_key(&f_at, "name");
        const struct place about_at = at_key(&f_at, "description");
        const struct place parameters_at = at_key(&f_at, "parameters");
        if (!json_is_object(tool)) return fail_kind(&at, tool, "an object", err);
        if (!json_is_object(f)) return fail_kind(&f_at, f, "an object", err);
        if (!json_is_string(name)) return fail_kind(&name_at, name, "a string", err);
        if (about && !json_is_null(about) && !json_is_string(about))
            return fail_kind(&about_at, about, "a string", err);
        if (parameters && !json_is_null(parameters) && !json_is_object(parameters))
            return fail_kind(&parameters_at, parameters, "an object", err);
    }
    return true;
}

/* vLLM's word for the same. */
static bool parse_continue(struct mk_conversation *c, const json_t *v, struct mk_err *err)
{
    const struct place at = {"continue_final_message"};
    bool continues = false;
    if (!parse_flag(&continues, &at, v, err)) return false;
    if (continues && (c->n == 0 || c->list[c->n - 1].role != MK_ASSISTANT))
        return fail_kind(&at, v, "it with a last message of the assistant", err);
    c->continues |= continues;
    return true;
}

static bool parse_root(struct mk_conversation *c, const json_t *root, struct mk_err *err)
{
    const bool is_bare = json_is_array(root);
    const struct place top = {""}, at = {"messages"};
    if (!is_bare && !json_is_object(root))
        return fail_kind(&top, root, "a list of messages or {\"messages\": [...]}", err);
    const json_t *list = is_bare ? root : json_object_get(root, "messages");
    if (!json_is_array(list)) return fail_kind(&at, list, "a list", err);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const struct place message_at = at_index(&at, i);
        const json_t *v = json_array_get(list, i);
        if (!parse_message(c, &message_at, v, err) ||
            !parse_prefix(c, &message_at, json_object_get(v, "prefix"),
                          i + 1 == json_array_size(list), err))
            return false;
    }
    if (is_bare) return true;
    if (!parse_continue(c, json_object_get(root, "continue_final_message"), err)) return false;
    json_t *tools = json_object_get(root, "tools");
    if (!tools || json_is_null(tools)) return true;
    if (!mk_tools_check(tools, err)) return false;
    struct mk_str text = {0};
    mk_json_text(&text, tools, true);
    c->tools = mk_str_take(&text);
    return true;
}

bool mk_conversation_parse(struct mk_conversation *out, const char *json, size_t n,
                           struct mk_err *err)
{
    json_error_t where;
    json_t *root = json_loadb(json ? json : "", n, 0, &where);
    if (!root) {
        struct mk_str why = {0};
        mk_str_add_start(&why, where.text, sizeof where.text);
        mk_fail(err, MK_EFORMAT, "conversation: line %d, column %d: %s", where.line, where.column,
                why.data);
        mk_str_release(&why);
        return false;
    }
    struct mk_conversation c = {0};
    const bool ok = parse_root(&c, root, err);
    json_decref(root);
    if (!ok) {
        mk_conversation_release(&c);
        return false;
    }
    *out = c;
    return true;
}
