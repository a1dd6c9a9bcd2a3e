/* The tokenizer of a generated model: a given tokenizer.json, or one token for each byte. */
#include "mkmodel.h"

#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>

/* The pre-tokenizers' rules are those of src/token. */
struct pre {
    struct {
        const char *name;
        bool adds_bos;
    } names[4];
    bool nfc, ignore_merges;
    const char *rules[8];
};
#define NAMES(...)              .names = {__VA_ARGS__}
#define FLAGS(...)              __VA_ARGS__
#define NO_FLAGS                .nfc = false
#define RULES(...)              .rules = {__VA_ARGS__}
#define PRE(names, flags, list) {names, flags, list},
static const struct pre pres[] = {
#include "token/pre.def"
};
#undef PRE
#undef RULES

static const struct pre *find_pre(const char *name)
{
    for (size_t i = 0; i < sizeof pres / sizeof *pres; i++)
        for (size_t k = 0; k < 4 && pres[i].names[k].name; k++)
            if (!strcmp(pres[i].names[k].name, name)) return &pres[i];
    abort(); /* a shape names an unknown one */
}

/* The printable stand-in of a byte: itself, or the next free character from U+0100. */
static void byte_text(char out[8], unsigned byte)
{
    unsigned next = 0x100, cp = byte;
    for (unsigned b = 0; b <= byte; b++) {
        const bool prints = (b > 0x20 && b < 0x7f) || (b > 0xa0 && b != 0xad);
        cp = prints ? b : next++;
    }
    struct mk_str s = {0};
    mk_str_add_cp(&s, cp);
    memcpy(out, s.data, s.len + 1);
    mk_str_release(&s);
}

/* 256 bytes, then padding up to the first of the last run of special tokens: readers
 * number added tokens on from the vocabulary's size. */
static json_t *byte_vocab(const struct shape *s)
{
    json_t *vocab = json_object();
    char text[32];
    for (unsigned b = 0; b < 256; b++) {
        byte_text(text, b);
        json_object_set_new(vocab, text, json_integer(b));
    }
    const struct special *last = s->specials;
    while (last[1].text) last++;
    for (int id = 256; id < last->id; id++) {
        bool is_special = false;
        for (const struct special *p = s->specials; p->text; p++) is_special |= p->id == id;
        snprintf(text, sizeof text, "[PAD%d]", id);
        if (!is_special) json_object_set_new(vocab, text, json_integer(id));
    }
    return vocab;
}

static json_t *pre_tokenizer_json(const struct pre *pre)
{
    json_t *list = json_array();
    for (size_t i = 0; i < 8 && pre->rules[i]; i++)
        json_array_append_new(list,
                              json_pack("{ss s{ss} ss sb}", "type", "Split", "pattern", "Regex",
                                        pre->rules[i], "behavior", "Isolated", "invert", 0));
    json_array_append_new(list, json_pack("{ss sb sb sb}", "type", "ByteLevel", "add_prefix_space",
                                          0, "trim_offsets", 1, "use_regex", 0));
    return json_pack("{ss so}", "type", "Sequence", "pretokenizers", list);
}

static json_t *byte_tokenizer(const struct shape *s)
{
    const struct pre *pre = find_pre(s->pre);
    json_t *decoder = json_pack("{ss sb sb sb}", "type", "ByteLevel", "add_prefix_space", 1,
                                "trim_offsets", 1, "use_regex", 1);
    json_t *model =
        json_pack("{ss sn sn sn sn sb sb sb so s[]}", "type", "BPE", "dropout", "unk_token",
                  "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 0, "byte_fallback",
                  0, "ignore_merges", pre->ignore_merges, "vocab", byte_vocab(s), "merges");
    json_t *normalizer = pre->nfc ? json_pack("{ss}", "type", "NFC") : json_null();
    return json_pack("{ss sn sn s[] so so sO so so}", "version", "1.0", "truncation", "padding",
                     "added_tokens", "normalizer", normalizer, "pre_tokenizer",
                     pre_tokenizer_json(pre), "post_processor", decoder, "decoder", decoder,
                     "model", model);
}

/* The family's special tokens replace what the base tokenizer has at their ids. */
static void add_specials(json_t *doc, const struct shape *s)
{
    json_t *added = json_object_get(doc, "added_tokens");
    for (const struct special *p = s->specials; p->text; p++) {
        const bool is_special = strcmp(p->text, THINK) != 0 && strcmp(p->text, THINK_END) != 0;
        json_t *e =
            json_pack("{si ss sb sb sb sb sb}", "id", p->id, "content", p->text, "single_word", 0,
                      "lstrip", 0, "rstrip", 0, "normalized", 0, "special", is_special);
        size_t i = 0;
        while (i < json_array_size(added) &&
               json_integer_value(json_object_get(json_array_get(added, i), "id")) < p->id)
            i++;
        if (i < json_array_size(added) &&
            json_integer_value(json_object_get(json_array_get(added, i), "id")) == p->id)
            json_array_set_new(added, i, e);
        else
            json_array_insert_new(added, i, e);
    }
}

static json_t *load(const char *path, struct mk_err *err)
{
    json_error_t e;
    json_t *doc = json_load_file(path, 0, &e);
    if (!doc) {
        mk_fail(err, MK_EFORMAT, "%s: line %d: %s", path, e.line, e.text);
        return NULL;
    }
    const json_t *model = json_object_get(doc, "model");
    if (json_is_object(json_object_get(model, "vocab")) &&
        json_is_array(json_object_get(model, "merges")) &&
        json_is_array(json_object_get(doc, "added_tokens")))
        return doc;
    mk_fail(err, MK_EFORMAT, "%s: model.vocab, model.merges or added_tokens is missing", path);
    json_decref(doc);
    return NULL;
}

json_t *mkmodel_tokenizer(const struct shape *s, const char *path, struct mk_err *err)
{
    json_t *doc = path ? load(path, err) : byte_tokenizer(s);
    if (doc) add_specials(doc, s);
    return doc;
}

/* In the words of DeepSeek-V3.1's layout, which the tiny model follows. */
static const char tiny_template[] =
    "{%- set ns = namespace(system='', is_last_user=false) -%}"
    "{%- for m in messages if m.role == 'system' -%}"
    "{%- set ns.system = ns.system + ('\\n\\n' if ns.system else '') + m.content -%}"
    "{%- endfor -%}"
    "{{- bos_token + ns.system -}}"
    "{%- for m in messages -%}"
    "{%- if m.role == 'user' -%}"
    "{%- set ns.is_last_user = true -%}{{- '" USER "' + m.content -}}"
    "{%- elif m.role == 'tool' -%}"
    "{%- set ns.is_last_user = false -%}"
    "{{- '<｜tool▁output▁begin｜>' + m.content + '<｜tool▁output▁end｜>' -}}"
    "{%- elif m.role == 'assistant' -%}"
    "{%- if ns.is_last_user -%}{{- '" ASSISTANT THINK_END "' -}}{%- endif -%}"
    "{%- set ns.is_last_user = false -%}"
    "{{- (m.content or '').split('" THINK_END "', 1)[-1] -}}"
    "{%- if m.tool_calls -%}"
    "{{- '<｜tool▁calls▁begin｜>' -}}"
    "{%- for c in m.tool_calls -%}"
    "{{- '<｜tool▁call▁begin｜>' + c.function.name + '<｜tool▁sep｜>' + c.function.arguments"
    " + '<｜tool▁call▁end｜>' -}}"
    "{%- endfor -%}"
    "{{- '<｜tool▁calls▁end｜>' -}}"
    "{%- endif -%}"
    "{{- eos_token -}}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt and ns.is_last_user -%}"
    "{{- '" ASSISTANT "' + ('" THINK "' if thinking else '" THINK_END "') -}}"
    "{%- endif -%}";

const char *mkmodel_template(const struct shape *s)
{
    return !strcmp(s->name, "tiny-v3") ? tiny_template : NULL;
}

/* ---- as GGUF metadata ---------------------------------------------------------- */

enum { NORMAL = 1, CONTROL = 3, USER_DEFINED = 4, UNUSED = 5 };

struct token_list {
    struct mk_gguf_str *text;
    int32_t *type;
    size_t n;
};

static bool set_token(struct token_list *l, const json_t *id, const char *text, int32_t type,
                      struct mk_err *err)
{
    const json_int_t i = json_integer_value(id);
    if (!json_is_integer(id) || i < 0 || (size_t)i >= l->n || !text)
        return mk_fail(err, MK_EFORMAT, "tokenizer: token %lld, the shape has %zu rows",
                       (long long)i, l->n);
    l->text[i] = (struct mk_gguf_str){text, strlen(text)};
    l->type[i] = type;
    return true;
}

static void pad_tokens(struct token_list *l, struct mk_arena *arena)
{
    for (size_t i = 0; i < l->n; i++) {
        const char *pad = mk_arena_printf(arena, "[PAD%zu]", i);
        l->text[i] = (struct mk_gguf_str){pad, strlen(pad)};
        l->type[i] = UNUSED;
    }
}

/* Texts point into doc. */
static bool collect_tokens(struct token_list *l, json_t *doc, struct mk_err *err)
{
    json_t *vocab = json_object_get(json_object_get(doc, "model"), "vocab");
    for (void *i = json_object_iter(vocab); i; i = json_object_iter_next(vocab, i)) {
        const char *text = json_object_iter_key(i);
        const int32_t type = strncmp(text, "[PAD", 4) ? NORMAL : UNUSED;
        if (!set_token(l, json_object_iter_value(i), text, type, err)) return false;
    }
    const json_t *added = json_object_get(doc, "added_tokens");
    for (size_t i = 0; i < json_array_size(added); i++) {
        const json_t *e = json_array_get(added, i);
        const int32_t type = json_is_true(json_object_get(e, "special")) ? CONTROL : USER_DEFINED;
        if (!set_token(l, json_object_get(e, "id"),
                       json_string_value(json_object_get(e, "content")), type, err))
            return false;
    }
    return true;
}

/* "a b", or ["a", "b"] in newer files. */
static void put_merges(struct mk_gguf_writer *w, struct mk_arena *arena, const json_t *doc)
{
    const json_t *merges = json_object_get(json_object_get(doc, "model"), "merges");
    const size_t n = json_array_size(merges);
    struct mk_gguf_str *v = mk_calloc(n, sizeof *v);
    for (size_t i = 0; i < n; i++) {
        const json_t *e = json_array_get(merges, i);
        const char *a = json_string_value(json_array_get(e, 0));
        const char *b = json_string_value(json_array_get(e, 1));
        const char *s = a && b ? mk_arena_printf(arena, "%s %s", a, b) : json_string_value(e);
        v[i] = s ? (struct mk_gguf_str){s, strlen(s)} : (struct mk_gguf_str){"", 0};
    }
    mk_gguf_put_strs(w, "tokenizer.ggml.merges", v, n);
    free(v);
}

static void put_text(struct mk_gguf_writer *w, const char *key, const char *text)
{
    mk_gguf_put_str(w, key, text, strlen(text));
}

bool mkmodel_put_tokenizer(struct mk_gguf_writer *w, const struct shape *s, json_t *doc,
                           struct mk_err *err)
{
    struct mk_arena arena = {0};
    struct token_list l = {.text = mk_calloc(s->n_vocab, sizeof *l.text),
                           .type = mk_calloc(s->n_vocab, sizeof *l.type),
                           .n = s->n_vocab};
    pad_tokens(&l, &arena);
    const bool ok = collect_tokens(&l, doc, err);
    if (ok) {
        put_text(w, "tokenizer.ggml.model", "gpt2");
        put_text(w, "tokenizer.ggml.pre", s->pre);
        mk_gguf_put_strs(w, "tokenizer.ggml.tokens", l.text, l.n);
        mk_gguf_put_i32s(w, "tokenizer.ggml.token_type", l.type, l.n);
        put_merges(w, &arena, doc);
        mk_gguf_put_u32(w, "tokenizer.ggml.bos_token_id", (uint32_t)s->bos);
        mk_gguf_put_u32(w, "tokenizer.ggml.eos_token_id", (uint32_t)s->eos);
        mk_gguf_put_bool(w, "tokenizer.ggml.add_bos_token", true);
        if (mkmodel_template(s)) put_text(w, "tokenizer.chat_template", mkmodel_template(s));
    }
    free(l.text);
    free(l.type);
    mk_arena_release(&arena);
    return ok;
}
