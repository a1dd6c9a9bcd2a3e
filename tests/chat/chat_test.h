#ifndef CHAT_TEST_H
#define CHAT_TEST_H
/* Shared by the tests of this folder: golden records, and small tokenizers in memory. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on
#include "base/file.h"
#include "base/mem.h"
#include "chat/int_chat.h"

#include <stdlib.h>
#include <string.h>

static inline json_t *read_json(const char *path)
{
    json_error_t e;
    json_t *v = json_load_file(path, 0, &e);
    if (!v) fail_msg("%s: line %d: %s", path, e.line, e.text);
    return v;
}
static inline const char *text_of(const json_t *v, const char *key)
{
    return json_string_value(json_object_get(v, key));
}

/* What parsing and rendering a golden record's messages gives. */
static inline void render_record(struct mk_prompt *out, const struct mk_template *t,
                                 const json_t *record)
{
    const json_t *o = json_object_get(record, "options");
    const struct mk_chat_options options = {
        .thinking = json_is_true(json_object_get(o, "thinking")),
        .no_generation_prompt = !json_is_true(json_object_get(o, "add_generation_prompt")),
    };
    char *text = json_dumps(json_object_get(record, "messages"), 0);
    struct mk_conversation c;
    struct mk_err err;
    if (!mk_conversation_parse(&c, text, strlen(text), &err)) fail_msg("%s", err.msg);
    if (!mk_chat_render(out, t, &c, &options, &err)) fail_msg("%s", err.msg);
    mk_conversation_release(&c);
    free(text);
}

static inline void parse(struct mk_conversation *c, const char *json)
{
    struct mk_err err;
    if (!mk_conversation_parse(c, json, strlen(json), &err)) fail_msg("%s: %s", json, err.msg);
}

/* The text that t renders for a conversation in JSON; free() it. */
static inline char *render_text(const char *name, const char *json, struct mk_chat_options o)
{
    struct mk_conversation c;
    struct mk_prompt p = {0};
    struct mk_err err;
    parse(&c, json);
    if (!mk_chat_render(&p, mk_template_find(name), &c, &o, &err)) fail_msg("%s", err.msg);
    char *text = mk_str_take(&p.text);
    mk_prompt_release(&p);
    mk_conversation_release(&c);
    return text;
}

/* A tokenizer of 256 bytes, without merges, and the special tokens given: ids from 256. */
static inline struct mk_tokenizer *tiny_tokenizer(const char *pre, const char *chat_template,
                                                  const char *const *special, size_t n_special)
{
    enum { MAX = 300 };
    char bytes[256][4];
    struct mk_gguf_str tokens[MAX];
    int32_t types[MAX];
    uint32_t stand_in = 0x100;
    for (int b = 0; b < 256; b++) {
        const bool is_plain = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        struct mk_str s = {0};
        mk_str_add_cp(&s, is_plain ? (uint32_t)b : stand_in++);
        memcpy(bytes[b], s.data, s.len);
        tokens[b] = (struct mk_gguf_str){bytes[b], s.len};
        types[b] = 1;
        mk_str_release(&s);
    }
    for (size_t i = 0; i < n_special; i++) {
        tokens[256 + i] = (struct mk_gguf_str){special[i], strlen(special[i])};
        types[256 + i] = 3;
    }
    const size_t n = 256 + n_special;
#define STR(k, v)                                                        \
    {                                                                    \
        .key = k, .type = MK_GGUF_STR, .str = { v, (v) ? strlen(v) : 0 } \
    }
    struct mk_gguf_kv kv[] = {
        STR("tokenizer.ggml.model", "gpt2"),
        STR("tokenizer.ggml.pre", pre),
        {.key = "tokenizer.ggml.tokens",
         .type = MK_GGUF_ARRAY,
         .array = {.type = MK_GGUF_STR, .n = n, .strs = tokens}},
        {.key = "tokenizer.ggml.token_type",
         .type = MK_GGUF_ARRAY,
         .array = {.type = MK_GGUF_I32, .n = n, .data = (const uint8_t *)types}},
        {.key = "tokenizer.ggml.merges",
         .type = MK_GGUF_ARRAY,
         .array = {.type = MK_GGUF_STR, .n = 0, .strs = tokens}},
        STR("tokenizer.chat_template", chat_template),
    };
#undef STR
    const struct mk_gguf g = {.version = 3,
                              .alignment = 32,
                              .kv = kv,
                              .n_kv = sizeof kv / sizeof kv[0] - (chat_template ? 0 : 1)};
    struct mk_tokenizer *t = NULL;
    struct mk_err err;
    if (!mk_tokenizer_open_gguf(&t, &g, "tiny", &err)) fail_msg("%s", err.msg);
    return t;
}
#endif
