/* tokenizer.json and tokenizer_config.json.  What we do not do as the file asks is an
 * error that names it; what has no effect on ids is ignored. */
#include "base/file.h"
#include "token/int_token.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIG_BYTES = 16 << 20, FILE_BYTES = 1 << 30, TEMPLATE_BYTES = 1 << 20 };

struct reader {
    struct mk_tokenizer *t;
    struct mk_scan file;
    json_t *root; /* the file without its two tables */
};

static bool bad(const struct reader *r, enum mk_code code, const char *what, const json_t *value)
{
    char *text = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    mk_fail(r->file.err, code, "%s: %s%s%s", r->file.file, what, text ? ": " : "",
            text ? mk_token_show(text, strlen(text)).s : "");
    free(text);
    return false;
}

static const char *type_of(const json_t *o)
{
    const char *type = json_string_value(json_object_get(o, "type"));
    return type ? type : "";
}

static bool is_type(const json_t *o, const char *type) { return !strcmp(type_of(o), type); }

/* ---- the two tables ---- */

static bool read_entry(struct reader *r, struct mk_scan *s, struct mk_str *text)
{
    int32_t id;
    if (!mk_scan_string(s, text) || !mk_scan_expect(s, ':') || !mk_scan_id(s, &id)) return false;
    const char *c = mk_str_c(text);
    if (mk_utf8_valid(c, text->len) != text->len)
        return mk_fail(s->err, MK_EFORMAT, "%s: token %d is not UTF-8: %s", s->file, (int)id,
                       mk_token_show(c, text->len).s);
    return mk_vocab_put(&r->t->vocab, id, MK_KIND_BYTES, c, text->len) ||
           mk_fail(s->err, MK_EFORMAT, "%s: id %d has two tokens, the second is %s", s->file,
                   (int)id, mk_token_show(c, text->len).s);
}

static bool read_vocab(struct reader *r, const struct mk_json_span *span)
{
    struct mk_scan s = r->file;
    s.at = span->from;
    struct mk_str text = {0};
    bool ok = mk_scan_expect(&s, '{');
    if (ok && !mk_scan_is(&s, '}')) {
        do ok = read_entry(r, &s, &text);
        while (ok && mk_scan_is(&s, ','));
        ok = ok && mk_scan_expect(&s, '}');
    }
    mk_str_release(&text);
    return ok;
}

/* "a b" or ["a", "b"]. */
static bool read_merge(struct reader *r, struct mk_scan *s, struct mk_str *a, struct mk_str *b)
{
    struct mk_vocab *v = &r->t->vocab;
    if (mk_scan_is(s, '['))
        return mk_scan_string(s, a) && mk_scan_expect(s, ',') && mk_scan_string(s, b) &&
               mk_scan_expect(s, ']') &&
               mk_vocab_add_merge(v, mk_str_c(a), a->len, mk_str_c(b), b->len, s->file, s->err);
    if (!mk_scan_string(s, a)) return false;
    const char *space = memchr(mk_str_c(a), ' ', a->len);
    if (!space)
        return mk_fail(s->err, MK_EFORMAT, "%s: merge %zu: %s is not two tokens", s->file,
                       v->n_merges, mk_token_show(mk_str_c(a), a->len).s);
    const size_t left = (size_t)(space - a->data);
    return mk_vocab_add_merge(v, a->data, left, space + 1, a->len - left - 1, s->file, s->err);
}

static bool read_merges(struct reader *r, const struct mk_json_span *span)
{
    struct mk_scan s = r->file;
    s.at = span->from;
    struct mk_str a = {0}, b = {0};
    bool ok = mk_scan_expect(&s, '[');
    if (ok && !mk_scan_is(&s, ']')) {
        do ok = read_merge(r, &s, &a, &b);
        while (ok && mk_scan_is(&s, ','));
        ok = ok && mk_scan_expect(&s, ']');
    }
    mk_str_release(&a);
    mk_str_release(&b);
    return ok;
}

/* ---- the rest ---- */

static bool read_added(struct reader *r)
{
    const json_t *list = json_object_get(r->root, "added_tokens");
    if (list && !json_is_array(list) && !json_is_null(list))
        return bad(r, MK_EFORMAT, "added_tokens is not a list", list);
    size_t i;
    json_t *e;
    json_array_foreach(list, i, e)
    {
        const json_t *content = json_object_get(e, "content"), *id = json_object_get(e, "id");
        if (!json_is_string(content) || !json_is_integer(id))
            return bad(r, MK_EFORMAT, "added token without content or id", e);
        const json_int_t n = json_integer_value(id);
        if (n < 0 || n >= INT32_MAX || (size_t)n > r->file.n)
            return bad(r, MK_EFORMAT, "id of an added token is over the size of the file", e);
        if (json_is_true(json_object_get(e, "single_word")))
            return bad(r, MK_EUNSUPPORTED, "added token with single_word", e);
        const struct mk_added a = {
            .id = (int32_t)n,
            .is_special = json_is_true(json_object_get(e, "special")),
            .normalized = json_is_true(json_object_get(e, "normalized")),
            .lstrip = json_is_true(json_object_get(e, "lstrip")),
            .rstrip = json_is_true(json_object_get(e, "rstrip")),
        };
        if (!mk_tokenizer_add(r->t, &a, json_string_value(content), json_string_length(content),
                              r->file.file, r->file.err))
            return false;
    }
    return true;
}

/* Nothing, NFC, or a sequence of those. */
static bool read_normalizer(struct reader *r, const json_t *n)
{
    if (!n || json_is_null(n)) return true;
    if (is_type(n, "NFC")) {
        r->t->nfc = true;
        return true;
    }
    const json_t *list = json_object_get(n, "normalizers");
    if (!is_type(n, "Sequence") || !json_is_array(list))
        return bad(r, MK_EUNSUPPORTED, "unknown normalizer", n);
    size_t i;
    json_t *e;
    json_array_foreach(list, i, e)
    {
        if (!is_type(e, "NFC")) return bad(r, MK_EUNSUPPORTED, "unknown normalizer", e);
        r->t->nfc = true;
    }
    return true;
}

/* One step of the pre-tokenizer as a regex; *rule stays NULL for the step to bytes. */
static bool read_step(struct reader *r, const json_t *e, const char **rule)
{
    if (is_type(e, "Split")) {
        const json_t *regex = json_object_get(json_object_get(e, "pattern"), "Regex");
        const char *behavior = json_string_value(json_object_get(e, "behavior"));
        if (!regex || !behavior || strcmp(behavior, "Isolated") ||
            json_is_true(json_object_get(e, "invert")))
            return bad(r, MK_EUNSUPPORTED, "pre-tokenizer with a split that is not isolated", e);
        *rule = json_string_value(regex);
        return *rule || bad(r, MK_EFORMAT, "pre-tokenizer with a bad regex", e);
    }
    if (is_type(e, "Digits")) {
        *rule = json_is_true(json_object_get(e, "individual_digits")) ? "\\p{N}" : "\\p{N}+";
        return true;
    }
    if (!is_type(e, "ByteLevel") || json_is_true(json_object_get(e, "add_prefix_space")) ||
        !json_is_false(json_object_get(e, "use_regex")))
        return bad(r, MK_EUNSUPPORTED, "unknown pre-tokenizer", e);
    return true;
}

static bool read_pre_tokenizer(struct reader *r)
{
    const json_t *p = json_object_get(r->root, "pre_tokenizer");
    if (!p) return bad(r, MK_EFORMAT, "pre_tokenizer is missing", NULL);
    const bool is_list = is_type(p, "Sequence");
    const json_t *list = is_list ? json_object_get(p, "pretokenizers") : NULL;
    const size_t n = is_list ? json_array_size(list) : 1;
    const char *rules[MK_PRE_RULES + 1];
    size_t n_rules = 0;
    bool to_bytes = false;
    for (size_t i = 0; i < n; i++) {
        const json_t *e = is_list ? json_array_get(list, i) : p;
        const char *rule = NULL;
        if (!read_step(r, e, &rule)) return false;
        if (to_bytes) return bad(r, MK_EUNSUPPORTED, "pre-tokenizer after ByteLevel", e);
        to_bytes = !rule;
        if (rule && n_rules <= MK_PRE_RULES) rules[n_rules++] = rule;
    }
    if (!to_bytes) return bad(r, MK_EUNSUPPORTED, "pre-tokenizer is not byte-level", p);
    if (!n_rules) return bad(r, MK_EUNSUPPORTED, "pre-tokenizer has no regex", p);
    r->t->pre = mk_pre_by_rules(rules, n_rules);
    if (!r->t->pre)
        return mk_fail(r->file.err, MK_EUNSUPPORTED,
                       "%s: unknown pre-tokenizer of %zu regexes, the first is %s", r->file.file,
                       n_rules, mk_token_show(rules[0], strlen(rules[0])).s);
    r->t->pre_name = r->t->pre->names[0].name;
    return true;
}

static bool read_model(struct reader *r)
{
    const json_t *m = json_object_get(r->root, "model");
    if (!json_is_object(m)) return bad(r, MK_EFORMAT, "model is missing", NULL);
    if (json_object_get(m, "type") && !is_type(m, "BPE"))
        return bad(r, MK_EUNSUPPORTED, "model is not BPE", json_object_get(m, "type"));
    static const char *const unset[] = {"continuing_subword_prefix", "end_of_word_suffix",
                                        "dropout", "byte_fallback"};
    for (size_t i = 0; i < sizeof unset / sizeof *unset; i++) {
        const json_t *v = json_object_get(m, unset[i]);
        if (!v || json_is_null(v) || json_is_false(v)) continue;
        if (json_is_string(v) && !json_string_length(v)) continue;
        if (json_is_number(v) && !(json_number_value(v) > 0)) continue;
        char what[64];
        snprintf(what, sizeof what, "unknown model.%s", unset[i]);
        return bad(r, MK_EUNSUPPORTED, what, v);
    }
    r->t->ignore_merges = json_is_true(json_object_get(m, "ignore_merges"));
    return true;
}

/* A template that puts a token in front says what BOS is, and that it is added. */
static void read_post_processor(struct reader *r, const json_t *p)
{
    size_t i;
    json_t *e;
    const json_t *list = json_object_get(p, "processors");
    if (is_type(p, "Sequence")) {
        json_array_foreach(list, i, e) if (!is_type(e, "Sequence")) read_post_processor(r, e);
        return;
    }
    if (!is_type(p, "TemplateProcessing")) return;
    const json_t *first = json_array_get(json_object_get(p, "single"), 0);
    const char *name =
        json_string_value(json_object_get(json_object_get(first, "SpecialToken"), "id"));
    const int32_t id = name ? mk_token_find(r->t, name) : -1;
    if (id < 0) return;
    r->t->bos = id;
    r->t->adds_bos = true;
}

/* The text without the two tables. */
static bool read_root(struct reader *r, const struct mk_json_tables *tables)
{
    const struct mk_json_span *a = &tables->vocab, *b = &tables->merges;
    if (a->from > b->from) {
        a = &tables->merges;
        b = &tables->vocab;
    }
    const char *text = r->file.text;
    struct mk_str rest = {0};
    mk_str_append(&rest, text, a->from);
    mk_str_add(&rest, "null");
    mk_str_append(&rest, text + a->to, b->from - a->to);
    mk_str_add(&rest, "null");
    mk_str_append(&rest, text + b->to, r->file.n - b->to);
    json_error_t e;
    r->root = json_loadb(rest.data, rest.len, JSON_ALLOW_NUL, &e);
    mk_str_release(&rest);
    return r->root || mk_fail(r->file.err, MK_EFORMAT, "%s: not JSON: %s", r->file.file, e.text);
}

static bool read_all(struct reader *r)
{
    struct mk_json_tables tables;
    if (!mk_json_find_tables(&r->file, &tables)) return false;
    if (!tables.vocab.from) return bad(r, MK_EFORMAT, "model.vocab is missing", NULL);
    if (!tables.merges.from) return bad(r, MK_EFORMAT, "model.merges is missing", NULL);
    if (!read_root(r, &tables)) return false;
    if (!read_model(r) || !read_normalizer(r, json_object_get(r->root, "normalizer")) ||
        !read_pre_tokenizer(r) || !read_vocab(r, &tables.vocab) || !read_added(r) ||
        !mk_vocab_index(&r->t->vocab, r->file.file, r->file.err) || !read_merges(r, &tables.merges))
        return false;
    read_post_processor(r, json_object_get(r->root, "post_processor"));
    mk_tokenizer_finish(r->t);
    return true;
}

bool mk_tokenizer_parse(struct mk_tokenizer **out, const char *json, size_t n, const char *file,
                        struct mk_err *err)
{
    if (n > FILE_BYTES)
        return mk_fail(err, MK_ELIMIT, "%s: %zu bytes, at most %d go", file, n, FILE_BYTES);
    struct reader r = {mk_tokenizer_new(), {json, n, 0, file, err}, NULL};
    const bool ok = read_all(&r);
    json_decref(r.root);
    if (ok)
        *out = r.t;
    else
        mk_tokenizer_free(r.t);
    return ok;
}

/* ---- tokenizer_config.json ---- */

/* null, a text, or {"content": text}. */
static bool config_token(struct reader *r, const char *name, int32_t *id)
{
    const json_t *v = json_object_get(r->root, name);
    if (!v || json_is_null(v)) return true;
    const char *text = json_string_value(json_is_object(v) ? json_object_get(v, "content") : v);
    const int32_t found = text ? mk_token_find(r->t, text) : -1;
    if (found >= 0) {
        *id = found;
        return true;
    }
    char what[64];
    snprintf(what, sizeof what, "%s is not a token of the vocabulary", name);
    return bad(r, MK_EFORMAT, what, v);
}

/* A text, or a list of {"name", "template"}. */
static void config_template(struct reader *r)
{
    const json_t *v = json_object_get(r->root, "chat_template");
    size_t i;
    json_t *e;
    json_array_foreach(v, i, e)
    {
        const char *name = json_string_value(json_object_get(e, "name"));
        if (name && !strcmp(name, "default")) {
            v = json_object_get(e, "template");
            break;
        }
    }
    if (json_is_string(v)) r->t->chat_template = mk_strdup(json_string_value(v));
}

static bool read_config(struct mk_tokenizer *t, const char *path, struct mk_err *err)
{
    struct mk_str text = {0};
    if (!mk_file_read_regular(&text, path, CONFIG_BYTES, err)) return false;
    json_error_t e = {.text = "not an object"};
    struct reader r = {t, {.file = path, .err = err}, NULL};
    /* Files give model_max_length as 10^30: no integer of ours, and not needed. */
    r.root = json_loadb(mk_str_c(&text), text.len, JSON_DECODE_INT_AS_REAL, &e);
    mk_str_release(&text);
    bool ok = json_is_object(r.root) || mk_fail(err, MK_EFORMAT, "%s: not JSON: %s", path, e.text);
    ok = ok && config_token(&r, "bos_token", &t->bos) && config_token(&r, "eos_token", &t->eos);
    if (ok && !config_token(&r, "pad_token", &t->pad)) t->pad = -1; /* nothing here needs it */
    const json_t *add = json_object_get(r.root, "add_bos_token");
    if (json_is_boolean(add)) t->adds_bos = json_is_true(add);
    config_template(&r);
    json_decref(r.root);
    return ok;
}

/* Newer checkpoints keep the template in a file of its own, chat_template.jinja. */
static bool read_jinja(struct mk_tokenizer *t, const char *tokenizer_json, struct mk_err *err)
{
    const char *slash = strrchr(tokenizer_json, '/');
    struct mk_str path = {0}, text = {0};
    mk_str_append(&path, tokenizer_json, slash ? (size_t)(slash - tokenizer_json) + 1 : 0);
    mk_str_add(&path, "chat_template.jinja");
    bool ok = true;
    if (!t->chat_template && mk_file_exists(path.data)) {
        ok = mk_file_read_regular(&text, path.data, TEMPLATE_BYTES, err);
        if (ok) t->chat_template = mk_str_take(&text);
    }
    mk_str_release(&path);
    return ok;
}

bool mk_tokenizer_open_json(struct mk_tokenizer **out, const char *tokenizer_json,
                            const char *tokenizer_config_json, struct mk_err *err)
{
    struct mk_map map;
    struct mk_tokenizer *t;
    if (!mk_map_open(&map, tokenizer_json, err)) return false;
    const bool ok = mk_tokenizer_parse(&t, (const char *)map.data, map.size, tokenizer_json, err);
    mk_map_close(&map);
    if (!ok) return false;
    if ((tokenizer_config_json && !read_config(t, tokenizer_config_json, err)) ||
        !read_jinja(t, tokenizer_json, err)) {
        mk_tokenizer_free(t);
        return false;
    }
    *out = t;
    return true;
}
