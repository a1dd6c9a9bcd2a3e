/* The tokenizer.ggml.* keys of a GGUF file.
 *
 * token_type: 1 normal, in the byte alphabet; 3 control and 4 user defined, as written;
 * 5 unused.  Files fill the list up to the rows of the embedding with "[PAD123]" at id 123,
 * of type 4 or 5: ids without text. */
#include "token/int_token.h"

#include <stdlib.h>
#include <string.h>

enum { NORMAL = 1, CONTROL = 3, UNUSED = 5, TEXT_BYTES = 1 << 30 };

struct reader {
    struct mk_tokenizer *t;
    const struct mk_gguf *g;
    const char *file;
    struct mk_err *err;
};

static const struct mk_gguf_kv *find_strings(const struct reader *r, const char *key)
{
    const struct mk_gguf_kv *kv = mk_gguf_find(r->g, key);
    if (kv && kv->type == MK_GGUF_ARRAY && kv->array.type == MK_GGUF_STR) return kv;
    mk_fail(r->err, MK_EFORMAT, "%s: %s %s", r->file, key,
            kv ? "is not a list of strings" : "is missing");
    return NULL;
}

static bool read_pre(struct reader *r)
{
    struct mk_gguf_str s;
    if (!mk_gguf_str(r->g, "tokenizer.ggml.model", &s))
        return mk_fail(r->err, MK_EFORMAT, "%s: tokenizer.ggml.model is missing", r->file);
    if (s.n != 4 || memcmp(s.s, "gpt2", 4))
        return mk_fail(r->err, MK_EUNSUPPORTED, "%s: tokenizer.ggml.model is %s, only gpt2 goes",
                       r->file, mk_token_show(s.s, s.n).s);
    const struct mk_pre_name *name;
    const bool has = mk_gguf_str(r->g, "tokenizer.ggml.pre", &s);
    if (!has || !mk_pre_by_name(&r->t->pre, &name, s.s, s.n)) {
        struct mk_str known = {0};
        mk_pre_list(&known);
        mk_fail(r->err, MK_EUNSUPPORTED, "%s: tokenizer.ggml.pre is %s; known are %s", r->file,
                has ? mk_token_show(s.s, s.n).s : "missing", mk_str_c(&known));
        mk_str_release(&known);
        return false;
    }
    r->t->pre_name = name->name;
    r->t->nfc = r->t->pre->nfc;
    r->t->ignore_merges = r->t->pre->ignore_merges;
    r->t->adds_bos = name->adds_bos;
    return true;
}

static bool is_padding(struct mk_gguf_str s, size_t id)
{
    char text[32];
    const int n = snprintf(text, sizeof text, "[PAD%zu]", id);
    return s.n == (size_t)n && !memcmp(s.s, text, s.n);
}

static bool read_token(struct reader *r, size_t i, struct mk_gguf_str s, int type)
{
    if (!s.n || type == UNUSED || (type != NORMAL && is_padding(s, i))) return true;
    if (type == CONTROL || type == 4) {
        const struct mk_added a = {.id = (int32_t)i, .is_special = type == CONTROL};
        return mk_tokenizer_add(r->t, &a, s.s, s.n, r->file, r->err);
    }
    mk_vocab_put(&r->t->vocab, (int32_t)i, MK_KIND_BYTES, s.s, s.n); /* each id comes once */
    return true;
}

static bool read_tokens(struct reader *r)
{
    const struct mk_gguf_kv *list = find_strings(r, "tokenizer.ggml.tokens");
    if (!list) return false;
    const size_t n = list->array.n;
    const struct mk_gguf_kv *types = mk_gguf_find(r->g, "tokenizer.ggml.token_type");
    if (types &&
        (types->type != MK_GGUF_ARRAY || types->array.type == MK_GGUF_STR || types->array.n != n))
        return mk_fail(r->err, MK_EFORMAT,
                       "%s: tokenizer.ggml.token_type is not a list of %zu numbers", r->file, n);
    size_t bytes = n;
    for (size_t i = 0; i < n; i++)
        if (!mk_add(bytes, list->array.strs[i].n, &bytes)) bytes = SIZE_MAX;
    if (bytes > TEXT_BYTES)
        return mk_fail(r->err, MK_ELIMIT, "%s: tokenizer.ggml.tokens has over %d bytes", r->file,
                       TEXT_BYTES);
    for (size_t i = 0; i < n; i++) {
        const double type = types ? mk_gguf_at(types, i) : NORMAL;
        const int known = type >= 0 && type <= 6 ? (int)type : 0;
        if (!read_token(r, i, list->array.strs[i], known)) return false;
    }
    return mk_vocab_index(&r->t->vocab, r->file, r->err);
}

static bool read_merges(struct reader *r)
{
    const struct mk_gguf_kv *list = find_strings(r, "tokenizer.ggml.merges");
    if (!list) return false;
    if (list->array.n > TEXT_BYTES)
        return mk_fail(r->err, MK_ELIMIT, "%s: %zu merges", r->file, list->array.n);
    for (size_t i = 0; i < list->array.n; i++) {
        const struct mk_gguf_str s = list->array.strs[i];
        const char *space = s.n ? memchr(s.s, ' ', s.n) : NULL;
        if (!space)
            return mk_fail(r->err, MK_EFORMAT, "%s: merge %zu: %s is not two tokens", r->file, i,
                           mk_token_show(s.s, s.n).s);
        const size_t left = (size_t)(space - s.s);
        if (!mk_vocab_add_merge(&r->t->vocab, s.s, left, space + 1, s.n - left - 1, r->file,
                                r->err))
            return false;
    }
    return true;
}

static bool read_id(struct reader *r, const char *key, int32_t *out)
{
    uint64_t id;
    if (!mk_gguf_find(r->g, key)) return true;
    if (!mk_gguf_u64(r->g, key, &id))
        return mk_fail(r->err, MK_EFORMAT, "%s: %s is not a token id", r->file, key);
    size_t n;
    if (id > INT32_MAX || !mk_token_bytes(r->t, (int32_t)id, &n))
        return mk_fail(r->err, MK_EFORMAT, "%s: %s is %llu, which is not a token", r->file, key,
                       (unsigned long long)id);
    *out = (int32_t)id;
    return true;
}

static bool read_all(struct reader *r)
{
    if (!read_pre(r) || !read_tokens(r) || !read_merges(r)) return false;
    if (!read_id(r, "tokenizer.ggml.bos_token_id", &r->t->bos)) return false;
    if (!read_id(r, "tokenizer.ggml.eos_token_id", &r->t->eos)) return false;
    if (!read_id(r, "tokenizer.ggml.padding_token_id", &r->t->pad)) r->t->pad = -1;
    bool add;
    if (mk_gguf_bool(r->g, "tokenizer.ggml.add_bos_token", &add)) r->t->adds_bos = add;
    struct mk_gguf_str s;
    if (mk_gguf_str(r->g, "tokenizer.chat_template", &s))
        r->t->chat_template = mk_strndup(s.s, s.n);
    mk_tokenizer_finish(r->t);
    return true;
}

bool mk_tokenizer_open_gguf(struct mk_tokenizer **out, const struct mk_gguf *g, const char *file,
                            struct mk_err *err)
{
    struct reader r = {mk_tokenizer_new(), g, file, err};
    if (!read_all(&r)) {
        mk_tokenizer_free(r.t);
        return false;
    }
    *out = r.t;
    return true;
}
