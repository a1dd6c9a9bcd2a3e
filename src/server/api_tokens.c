/* Text, tokens and templates: /tokenize, /detokenize, /apply-template. */
#include "base/str.h"
#include "server/int_server.h"

#include <stdlib.h>
#include <string.h>

/* A token's text, or its bytes where they are part of a character. */
static json_t *piece_json(const struct mk_tokenizer *t, int32_t id)
{
    size_t n;
    const char *bytes = mk_token_bytes(t, id, &n);
    if (!bytes) return json_string("");
    if (mk_utf8_valid(bytes, n) == n) return json_stringn(bytes, n);
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_integer((unsigned char)bytes[i]));
    return list;
}

static json_t *tokens_json(const struct mk_tokenizer *t, const struct mk_ids *ids, bool with_pieces)
{
    json_t *list = json_array();
    for (size_t i = 0; i < ids->n; i++)
        json_array_append_new(list, with_pieces ? json_pack("{s:i, s:o}", "id", (int)ids->v[i],
                                                            "piece", piece_json(t, ids->v[i]))
                                                : json_integer(ids->v[i]));
    return list;
}

void mk_api_tokenize(struct mk_exchange *x)
{
    struct mk_fields f;
    struct mk_ids ids = {0};
    const char *text = NULL;
    bool add_special = false, parse_special = true, with_pieces = false;
    if (!mk_fields_read(&f, x)) return;
    if (mk_field_text(&f, "content", &text) && mk_field_bool(&f, "add_special", &add_special) &&
        mk_field_bool(&f, "parse_special", &parse_special) &&
        mk_field_bool(&f, "with_pieces", &with_pieces)) {
        if (text) {
            mk_tokenize(x->server->tokenizer, text, strlen(text),
                        (add_special ? MK_TOK_BOS : 0u) | (parse_special ? MK_TOK_SPECIAL : 0u),
                        &ids);
            json_t *list = tokens_json(x->server->tokenizer, &ids, with_pieces);
            mk_answer_json(x, 200, json_pack("{s:o}", "tokens", list));
        } else {
            mk_answer_error(x, 400, "content", NULL, "content is missing");
        }
    }
    mk_ids_release(&ids);
    mk_fields_release(&f);
}

static bool read_ids(const struct mk_fields *f, struct mk_ids *out)
{
    const json_t *list = json_object_get(f->v, "tokens");
    if (!json_is_array(list)) mk_answer_error(f->x, 400, "tokens", NULL, "tokens is not a list");
    return json_is_array(list) && mk_json_ids(f->x, "tokens", list, out);
}

void mk_api_detokenize(struct mk_exchange *x)
{
    struct mk_fields f;
    struct mk_ids ids = {0};
    struct mk_str text = {0};
    if (!mk_fields_read(&f, x)) return;
    if (read_ids(&f, &ids)) {
        mk_detokenize(x->server->tokenizer, ids.v, ids.n, true, &text);
        mk_answer_json(x, 200, json_pack("{s:s%}", "content", mk_str_c(&text), text.len));
    }
    mk_str_release(&text);
    mk_ids_release(&ids);
    mk_fields_release(&f);
}

void mk_api_apply_template(struct mk_exchange *x)
{
    struct mk_conversation c = {0};
    struct mk_prompt prompt = {0};
    struct mk_err err;
    const struct mk_chat_options o = {.thinking = x->server->o.default_thinking};
    if (!x->server->o.template)
        mk_answer_error(x, 400, NULL, NULL, "the model has no chat template");
    else if (!mk_conversation_parse(&c, mk_str_c(&x->body), x->body.len, &err) ||
             !mk_chat_render(&prompt, x->server->o.template, &c, &o, &err))
        mk_answer_failure(x, &err, "messages");
    else
        mk_answer_json(x, 200,
                       json_pack("{s:s%}", "prompt", mk_str_c(&prompt.text), prompt.text.len));
    mk_prompt_release(&prompt);
    mk_conversation_release(&c);
}
