/* Text to ids and back: the parts in order. */
#include "token/int_token.h"

#include <stdlib.h>
#include <string.h>

/* ---- lists of ids ---- */

static void ids_room(struct mk_ids *ids, size_t extra)
{
    if (ids->cap - ids->n >= extra) return;
    ids->cap = ids->n + extra > 2 * ids->cap ? ids->n + extra + 16 : 2 * ids->cap;
    ids->v = mk_realloc(ids->v, ids->cap * sizeof *ids->v);
}

void mk_ids_add(struct mk_ids *ids, int32_t id)
{
    ids_room(ids, 1);
    ids->v[ids->n++] = id;
}

void mk_ids_append(struct mk_ids *ids, const int32_t *v, size_t n)
{
    if (!n) return;
    ids_room(ids, n);
    memcpy(ids->v + ids->n, v, n * sizeof *v);
    ids->n += n;
}

void mk_ids_release(struct mk_ids *ids)
{
    free(ids->v);
    *ids = (struct mk_ids){0};
}

/* ---- life ---- */

struct mk_tokenizer *mk_tokenizer_new(void)
{
    struct mk_tokenizer *t = mk_alloc(sizeof *t);
    t->bos = t->eos = t->pad = -1;
    return t;
}

bool mk_tokenizer_add(struct mk_tokenizer *t, const struct mk_added *a, const char *text, size_t n,
                      const char *file, struct mk_err *err)
{
    if (!n) return mk_fail(err, MK_EFORMAT, "%s: added token %d has no text", file, (int)a->id);
    if (n > MK_ADDED_BYTES)
        return mk_fail(err, MK_EUNSUPPORTED, "%s: added token %d has %zu bytes, at most %d go",
                       file, (int)a->id, n, MK_ADDED_BYTES);
    struct mk_added one = *a;
    const bool control = mk_looks_control(text, n) || (a->is_special && !mk_is_think_tag(text, n));
    one.is_text = !a->is_special && mk_is_one_char(text, n);
    if (!mk_vocab_put(&t->vocab, a->id, control ? MK_KIND_CONTROL : MK_KIND_ADDED, text, n))
        return mk_fail(err, MK_EFORMAT, "%s: added token %s: id %d has another text", file,
                       mk_token_show(text, n).s, (int)a->id);
    if (t->n_added == t->cap_added) {
        t->cap_added = t->cap_added ? 2 * t->cap_added : 64;
        t->added = mk_realloc(t->added, t->cap_added * sizeof *t->added);
    }
    t->added[t->n_added++] = one;
    return true;
}

/* Tokens that are matched after normalisation are normalised themselves. */
static void add_to_trie(struct mk_tokenizer *t, size_t i)
{
    const struct mk_added *a = &t->added[i];
    size_t n;
    const char *s = mk_token_bytes(t, a->id, &n);
    struct mk_str nfc = {0};
    if (a->normalized && t->nfc && mk_utf8_valid(s, n) == n) {
        mk_nfc(&nfc, s, n);
        s = nfc.data;
        n = nfc.len;
    }
    mk_trie_add(a->normalized ? &t->normalized : &t->raw, s, n, (int32_t)i);
    mk_str_release(&nfc);
}

static int by_id(const void *a, const void *b)
{
    const int32_t x = ((const struct mk_added *)a)->id, y = ((const struct mk_added *)b)->id;
    return (x > y) - (x < y);
}

void mk_tokenizer_finish(struct mk_tokenizer *t)
{
    if (t->n_added) qsort(t->added, t->n_added, sizeof *t->added, by_id);
    for (size_t i = 0; i < t->n_added; i++) add_to_trie(t, i);
    mk_vocab_index_merges(&t->vocab);
    mk_splitter_init(&t->splitter, t->pre);
    t->whole = mk_calloc((size_t)t->vocab.n, sizeof *t->whole);
}

void mk_tokenizer_free(struct mk_tokenizer *t)
{
    if (!t) return;
    mk_vocab_release(&t->vocab);
    free(t->added);
    free(t->raw.nodes);
    free(t->normalized.nodes);
    mk_splitter_release(&t->splitter);
    free(t->chat_template);
    free(t->whole);
    free(t);
}

/* ---- text to ids ---- */

struct job {
    const struct mk_tokenizer *t;
    bool all_added;
    pcre2_match_data *scratch;
    struct mk_bpe_work work;
    struct mk_ids *out;
};

static void on_piece(void *arg, const char *s, size_t n)
{
    struct job *j = arg;
    mk_bpe(j->t, &j->work, s, n, j->out);
}

typedef void text_fn(struct job *j, const char *s, size_t n);

/* Cuts s at the added tokens of one trie; fn gets the text between them. */
static void cut(struct job *j, const struct mk_trie *trie, const char *s, size_t n, text_fn *fn)
{
    struct mk_match m;
    size_t at = 0;
    while (mk_trie_find(trie, j->t->added, j->all_added, s, n, at, &m)) {
        if (m.from > at) fn(j, s + at, m.from - at);
        mk_ids_add(j->out, m.added->id);
        at = m.to;
    }
    if (at < n) fn(j, s + at, n - at);
}

static void plain_text(struct job *j, const char *s, size_t n)
{
    mk_split(&j->t->splitter, j->scratch, s, n, on_piece, j);
}

static void raw_text(struct job *j, const char *s, size_t n)
{
    struct mk_str nfc = {0};
    if (j->t->nfc && !mk_nfc_is_plain(s, n)) {
        mk_nfc(&nfc, s, n);
        s = nfc.data;
        n = nfc.len;
    }
    cut(j, &j->t->normalized, s, n, plain_text);
    mk_str_release(&nfc);
}

void mk_tokenize(const struct mk_tokenizer *t, const char *text, size_t n, unsigned flags,
                 struct mk_ids *out)
{
    if (flags & MK_TOK_BOS && t->adds_bos && t->bos >= 0) mk_ids_add(out, t->bos);
    struct mk_str clean = {0};
    if (mk_utf8_valid(text, n) != n) {
        mk_str_add_utf8(&clean, text, n);
        text = clean.data;
        n = clean.len;
    }
    struct job j = {.t = t,
                    .all_added = flags & MK_TOK_SPECIAL,
                    .scratch = mk_splitter_scratch(&t->splitter),
                    .out = out};
    cut(&j, &t->raw, text, n, raw_text);
    pcre2_match_data_free(j.scratch);
    mk_bpe_work_release(&j.work);
    mk_str_release(&clean);
}

/* ---- ids to text ---- */

const char *mk_token_bytes(const struct mk_tokenizer *t, int32_t id, size_t *n)
{
    const struct mk_vocab *v = &t->vocab;
    *n = 0;
    if (id < 0 || id >= v->n || v->kind[id] == MK_KIND_NONE) return NULL;
    *n = v->span[id].len;
    return mk_str_c(&v->text) + v->span[id].at;
}

/* Appends what is complete of held + s; the beginning of a character at the end stays. */
static void stream_bytes(struct mk_token_stream *st, const char *s, size_t n, struct mk_str *out)
{
    while (st->n_held && n) {
        st->held[st->n_held++] = *s++;
        n--;
        int len;
        while (st->n_held && (len = mk_utf8_len(st->held, st->n_held)) >= 0) {
            const unsigned used = len ? (unsigned)len : 1;
            mk_str_add_utf8(out, st->held, used);
            memmove(st->held, st->held + used, st->n_held -= used);
        }
    }
    size_t whole = n;
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        if ((s[n - back] & 0xc0) == 0x80) continue;
        if (mk_utf8_len(s + n - back, back) < 0) whole = n - back;
        break;
    }
    mk_str_add_utf8(out, s, whole);
    for (size_t i = whole; i < n; i++) st->held[st->n_held++] = s[i];
}

void mk_token_stream_add(struct mk_token_stream *s, const struct mk_tokenizer *t, int32_t id,
                         bool with_special, struct mk_str *out)
{
    if (!with_special && mk_token_is_special(t, id)) return;
    size_t n;
    const char *bytes = mk_token_bytes(t, id, &n);
    if (bytes) stream_bytes(s, bytes, n, out);
}

void mk_token_stream_end(struct mk_token_stream *s, struct mk_str *out)
{
    mk_str_add_utf8(out, s->held, s->n_held);
    s->n_held = 0;
}

void mk_detokenize(const struct mk_tokenizer *t, const int32_t *ids, size_t n, bool with_special,
                   struct mk_str *out)
{
    struct mk_token_stream s = {0};
    for (size_t i = 0; i < n; i++) mk_token_stream_add(&s, t, ids[i], with_special, out);
    mk_token_stream_end(&s, out);
}

/* ---- facts ---- */

int32_t mk_token_count(const struct mk_tokenizer *t) { return t->vocab.n; }

int32_t mk_token_find(const struct mk_tokenizer *t, const char *text)
{
    const size_t n = strlen(text);
    for (size_t i = 0; i < t->n_added; i++) {
        size_t len;
        const char *s = mk_token_bytes(t, t->added[i].id, &len);
        if (len == n && !memcmp(s, text, n)) return t->added[i].id;
    }
    return mk_vocab_find(&t->vocab, text, n);
}

bool mk_token_is_special(const struct mk_tokenizer *t, int32_t id)
{
    return id >= 0 && id < t->vocab.n && t->vocab.kind[id] == MK_KIND_CONTROL;
}

bool mk_token_is_tag(const struct mk_tokenizer *t, int32_t id)
{
    if (id < 0 || id >= t->vocab.n) return false;
    if (t->vocab.kind[id] != MK_KIND_ADDED) return t->vocab.kind[id] == MK_KIND_CONTROL;
    for (size_t i = 0; i < t->n_added; i++)
        if (t->added[i].id == id) return !t->added[i].is_text;
    return false;
}

int32_t mk_token_bos(const struct mk_tokenizer *t) { return t->bos; }
int32_t mk_token_eos(const struct mk_tokenizer *t) { return t->eos; }
bool mk_token_adds_bos(const struct mk_tokenizer *t) { return t->adds_bos && t->bos >= 0; }
const char *mk_tokenizer_pre(const struct mk_tokenizer *t) { return t->pre_name; }
const char *mk_tokenizer_template(const struct mk_tokenizer *t) { return t->chat_template; }
