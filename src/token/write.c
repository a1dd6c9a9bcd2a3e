/* The tokenizer as GGUF metadata and as tokenizer.json, for convert. */
#include "token/int_token.h"

#include <stdlib.h>
#include <string.h>

/* A token as files write it. */
static void add_text(const struct mk_vocab *v, int32_t id, struct mk_str *out)
{
    const char *s = v->text.data + v->span[id].at;
    if (v->kind[id] == MK_KIND_BYTES)
        mk_alphabet_encode(out, s, v->span[id].len);
    else
        mk_str_append(out, s, v->span[id].len);
}

static void add_merge(const struct mk_vocab *v, const struct mk_merge *m, struct mk_str *out)
{
    add_text(v, m->left, out);
    mk_str_addc(out, ' ');
    add_text(v, m->right, out);
}

/* ---- GGUF ---- */

/* Many strings in one text: s[i] is its offset until it is finished. */
struct strings {
    struct mk_str text;
    struct mk_gguf_str *list;
    size_t *from, n;
};

static struct strings strings_new(size_t n)
{
    return (struct strings){.list = mk_calloc(n, sizeof(struct mk_gguf_str)),
                            .from = mk_calloc(n + 1, sizeof(size_t)),
                            .n = n};
}

static void strings_put(struct strings *s, struct mk_gguf_writer *w, const char *key)
{
    s->from[s->n] = s->text.len;
    for (size_t i = 0; i < s->n; i++)
        s->list[i] =
            (struct mk_gguf_str){mk_str_c(&s->text) + s->from[i], s->from[i + 1] - s->from[i]};
    mk_gguf_put_strs(w, key, s->list, s->n);
    mk_str_release(&s->text);
    free(s->list);
    free(s->from);
}

static void put_tokens(const struct mk_vocab *v, int32_t n_vocab, struct mk_gguf_writer *w)
{
    static const int32_t type_of[] = {[MK_KIND_NONE] = 5,
                                      [MK_KIND_BYTES] = 1,
                                      [MK_KIND_RAW] = 1,
                                      [MK_KIND_ADDED] = 4,
                                      [MK_KIND_CONTROL] = 3};
    const int32_t n = n_vocab > v->n ? n_vocab : v->n;
    struct strings s = strings_new((size_t)n);
    int32_t *types = mk_calloc((size_t)n, sizeof *types);
    for (int32_t id = 0; id < n; id++) {
        const enum mk_token_kind kind = id < v->n ? v->kind[id] : MK_KIND_NONE;
        s.from[id] = s.text.len;
        types[id] = type_of[kind];
        if (kind == MK_KIND_NONE)
            mk_str_addf(&s.text, "[PAD%d]", (int)id);
        else
            add_text(v, id, &s.text);
    }
    strings_put(&s, w, "tokenizer.ggml.tokens");
    mk_gguf_put_i32s(w, "tokenizer.ggml.token_type", types, (size_t)n);
    free(types);
}

void mk_tokenizer_put_gguf(const struct mk_tokenizer *t, int32_t n_vocab, struct mk_gguf_writer *w)
{
    const struct mk_vocab *v = &t->vocab;
    mk_gguf_put_str(w, "tokenizer.ggml.model", "gpt2", 4);
    mk_gguf_put_str(w, "tokenizer.ggml.pre", t->pre_name, strlen(t->pre_name));
    put_tokens(v, n_vocab, w);
    struct strings s = strings_new(v->n_merges);
    for (size_t i = 0; i < v->n_merges; i++) {
        s.from[i] = s.text.len;
        add_merge(v, &v->merges[i], &s.text);
    }
    strings_put(&s, w, "tokenizer.ggml.merges");
    if (t->bos >= 0) mk_gguf_put_u32(w, "tokenizer.ggml.bos_token_id", (uint32_t)t->bos);
    if (t->eos >= 0) mk_gguf_put_u32(w, "tokenizer.ggml.eos_token_id", (uint32_t)t->eos);
    if (t->pad >= 0) mk_gguf_put_u32(w, "tokenizer.ggml.padding_token_id", (uint32_t)t->pad);
    mk_gguf_put_bool(w, "tokenizer.ggml.add_bos_token", mk_token_adds_bos(t));
    if (t->chat_template)
        mk_gguf_put_str(w, "tokenizer.chat_template", t->chat_template, strlen(t->chat_template));
}

/* ---- JSON ---- */

static void quote_id(const struct mk_vocab *v, int32_t id, struct mk_str *scratch,
                     struct mk_str *out)
{
    mk_str_clear(scratch);
    add_text(v, id, scratch);
    mk_json_quote(out, mk_str_c(scratch), scratch->len);
}

static void quote(struct mk_str *out, const char *s) { mk_json_quote(out, s, strlen(s)); }

static const char *truth(bool b) { return b ? "true" : "false"; }

static bool is_added(const struct mk_vocab *v, int32_t id)
{
    return v->kind[id] == MK_KIND_ADDED || v->kind[id] == MK_KIND_CONTROL;
}

/* Readers number added tokens that the vocabulary does not hold on from its size, in the
 * order of the list.  So it has to hold those below the last run of added tokens, and all
 * if there are gaps that make its size differ from its highest id + 1. */
static int32_t vocab_end(const struct mk_vocab *v)
{
    int32_t end = v->n;
    while (end > 0 && is_added(v, end - 1)) end--;
    for (int32_t id = 0; id < end; id++)
        if (v->kind[id] == MK_KIND_NONE) return v->n;
    return end;
}

static void put_added(const struct mk_tokenizer *t, struct mk_str *out)
{
    mk_str_add(out, " \"added_tokens\": [");
    for (size_t i = 0; i < t->n_added; i++) {
        const struct mk_added *a = &t->added[i];
        size_t n;
        const char *s = mk_token_bytes(t, a->id, &n);
        mk_str_addf(out, "%s\n  {\"id\": %d, \"content\": ", i ? "," : "", (int)a->id);
        mk_json_quote(out, s, n);
        mk_str_addf(out,
                    ", \"single_word\": false, \"lstrip\": %s, \"rstrip\": %s, "
                    "\"normalized\": %s, \"special\": %s}",
                    truth(a->lstrip), truth(a->rstrip), truth(a->normalized), truth(a->is_special));
    }
    mk_str_add(out, "\n ],\n");
}

static void put_pre_tokenizer(const struct mk_pre *pre, struct mk_str *out)
{
    mk_str_add(out, " \"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [\n");
    for (size_t i = 0; i < MK_PRE_RULES && pre->rules[i]; i++) {
        mk_str_add(out, "  {\"type\": \"Split\", \"pattern\": {\"Regex\": ");
        quote(out, pre->rules[i]);
        mk_str_add(out, "}, \"behavior\": \"Isolated\", \"invert\": false},\n");
    }
    mk_str_add(out, "  {\"type\": \"ByteLevel\", \"add_prefix_space\": false, "
                    "\"trim_offsets\": true, \"use_regex\": false}\n ]},\n");
}

static const char byte_level[] = "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, "
                                 "\"trim_offsets\": false, \"use_regex\": false}";

static void put_post_processor(const struct mk_tokenizer *t, struct mk_str *out)
{
    mk_str_add(out, " \"post_processor\": ");
    if (!mk_token_adds_bos(t)) {
        mk_str_addf(out, "%s,\n", byte_level);
        return;
    }
    struct mk_str bos = {0};
    size_t n;
    const char *s = mk_token_bytes(t, t->bos, &n);
    mk_json_quote(&bos, s, n);
    const char *b = bos.data;
    mk_str_addf(out,
                "{\"type\": \"Sequence\", \"processors\": [\n  %s,\n"
                "  {\"type\": \"TemplateProcessing\",\n"
                "   \"single\": [{\"SpecialToken\": {\"id\": %s, \"type_id\": 0}}, "
                "{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}],\n"
                "   \"pair\": [{\"SpecialToken\": {\"id\": %s, \"type_id\": 0}}, "
                "{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}, "
                "{\"SpecialToken\": {\"id\": %s, \"type_id\": 1}}, "
                "{\"Sequence\": {\"id\": \"B\", \"type_id\": 1}}],\n"
                "   \"special_tokens\": {%s: {\"id\": %s, \"ids\": [%d], \"tokens\": [%s]}}}\n"
                " ]},\n",
                byte_level, b, b, b, b, b, (int)t->bos, b);
    mk_str_release(&bos);
}

static void put_model(const struct mk_tokenizer *t, struct mk_str *out)
{
    const struct mk_vocab *v = &t->vocab;
    struct mk_str scratch = {0};
    bool first = true;
    mk_str_addf(out,
                " \"model\": {\"type\": \"BPE\", \"dropout\": null, \"unk_token\": null,\n"
                "  \"continuing_subword_prefix\": null, \"end_of_word_suffix\": null,\n"
                "  \"fuse_unk\": false, \"byte_fallback\": false, \"ignore_merges\": %s,\n"
                "  \"vocab\": {",
                truth(t->ignore_merges));
    const int32_t end = vocab_end(v);
    for (int32_t id = 0; id < end; id++) {
        if (v->kind[id] == MK_KIND_NONE) continue;
        mk_str_add(out, first ? "\n   " : ",\n   ");
        quote_id(v, id, &scratch, out);
        mk_str_addf(out, ": %d", (int)id);
        first = false;
    }
    mk_str_add(out, "\n  },\n  \"merges\": [");
    for (size_t i = 0; i < v->n_merges; i++) {
        mk_str_clear(&scratch);
        add_merge(v, &v->merges[i], &scratch);
        mk_str_add(out, i ? ",\n   " : "\n   ");
        mk_json_quote(out, mk_str_c(&scratch), scratch.len);
    }
    mk_str_add(out, "\n  ]}\n");
    mk_str_release(&scratch);
}

void mk_tokenizer_put_json(const struct mk_tokenizer *t, struct mk_str *out)
{
    mk_str_add(out, "{\n \"version\": \"1.0\", \"truncation\": null, \"padding\": null,\n");
    put_added(t, out);
    mk_str_addf(out, " \"normalizer\": %s,\n", t->nfc ? "{\"type\": \"NFC\"}" : "null");
    put_pre_tokenizer(t->pre, out);
    put_post_processor(t, out);
    mk_str_addf(out, " \"decoder\": %s,\n", byte_level);
    put_model(t, out);
    mk_str_add(out, "}\n");
}

void mk_tokenizer_put_config(const struct mk_tokenizer *t, struct mk_str *out)
{
    const struct {
        const char *name;
        int32_t id;
    } tokens[] = {{"bos_token", t->bos}, {"eos_token", t->eos}, {"pad_token", t->pad}};
    mk_str_addf(out, "{\n \"add_bos_token\": %s,\n", truth(mk_token_adds_bos(t)));
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
        size_t n;
        const char *s = mk_token_bytes(t, tokens[i].id, &n);
        if (!s) continue;
        mk_str_addf(out, " \"%s\": ", tokens[i].name);
        mk_json_quote(out, s, n);
        mk_str_add(out, ",\n");
    }
    if (t->chat_template) {
        mk_str_add(out, " \"chat_template\": ");
        quote(out, t->chat_template);
        mk_str_add(out, ",\n");
    }
    mk_str_add(out, " \"tokenizer_class\": \"PreTrainedTokenizerFast\"\n}\n");
}
