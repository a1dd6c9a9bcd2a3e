/* From texts to a tokenizer: words are counted here, learn.c finds the merges. */
#include "token/train.h"

#include "token/int_train.h"

#include <stdlib.h>
#include <string.h>

enum { N_BYTES = 256, N_FRONT = 3, MAX_WORD = 1024, MAX_VOCAB = 1 << 20 };
static const size_t MAX_WORDS_BYTES = (size_t)1 << 30;

struct mk_bpe_trainer {
    struct mk_bpe_options o;
    const struct mk_pre *pre;
    const struct mk_pre_name *pre_name;
    struct mk_pre_splitter splitter;
    pcre2_match_data *scratch;
    bool is_single[N_BYTES];
    size_t n_specials;
    bool has_text;
    struct mk_texts words;
};

/* ---- options ---- */

static bool check_special(const char *const *list, size_t i, struct mk_err *err)
{
    const size_t n = strlen(list[i]);
    if (!n) return mk_fail(err, MK_EUSAGE, "special token %zu is empty", i);
    if (n > MK_ADDED_BYTES)
        return mk_fail(err, MK_ELIMIT, "special token %s has %zu bytes, at most %d go",
                       mk_token_show(list[i], n).s, n, MK_ADDED_BYTES);
    if (mk_utf8_valid(list[i], n) != n)
        return mk_fail(err, MK_EUSAGE, "special token %s is not UTF-8",
                       mk_token_show(list[i], n).s);
    char byte;
    if (mk_is_one_char(list[i], n) && mk_alphabet_decode(&byte, list[i], n) == 1)
        return mk_fail(err, MK_EUSAGE, "special token %s is how a byte is written", list[i]);
    for (size_t k = 0; k < i; k++)
        if (!strcmp(list[k], list[i]))
            return mk_fail(err, MK_EUSAGE, "special token %s is given twice",
                           mk_token_show(list[i], n).s);
    return true;
}

static bool check_options(struct mk_bpe_trainer *t, struct mk_err *err)
{
    const struct mk_bpe_options *o = &t->o;
    if (!mk_pre_by_name(&t->pre, &t->pre_name, o->pre, strlen(o->pre))) {
        struct mk_str names = {0};
        mk_pre_list(&names);
        mk_fail(err, MK_EUSAGE, "no pre-tokenizer %s; there are %s",
                mk_token_show(o->pre, strlen(o->pre)).s, names.data);
        mk_str_release(&names);
        return false;
    }
    for (; o->specials[t->n_specials]; t->n_specials++)
        if (!check_special(o->specials, t->n_specials, err)) return false;
    if (t->n_specials < N_FRONT)
        return mk_fail(err, MK_EUSAGE, "%zu special tokens, want begin, end and padding at least",
                       t->n_specials);
    if (o->n_vocab < N_BYTES + t->n_specials || o->n_vocab > MAX_VOCAB)
        return mk_fail(err, MK_EUSAGE,
                       "a vocabulary of %zu: 256 bytes and %zu special tokens need %zu, and %d "
                       "is the most",
                       o->n_vocab, t->n_specials, N_BYTES + t->n_specials, MAX_VOCAB);
    for (const char *s = o->single ? o->single : ""; *s; s++) {
        if ((unsigned char)*s >= 0x80)
            return mk_fail(err, MK_EUSAGE, "characters that never merge must be ASCII: %s",
                           mk_token_show(o->single, strlen(o->single)).s);
        t->is_single[(unsigned char)*s] = true;
    }
    return true;
}

bool mk_bpe_trainer_new(struct mk_bpe_trainer **out, const struct mk_bpe_options *o,
                        struct mk_err *err)
{
    struct mk_bpe_trainer *t = mk_alloc(sizeof *t);
    t->o = *o;
    if (!t->o.pre) t->o.pre = "deepseek-v3";
    if (!t->o.specials) t->o.specials = mk_deepseek_specials;
    if (!t->o.chat_template) t->o.chat_template = mk_deepseek_jinja;
    if (!check_options(t, err)) {
        free(t);
        return false;
    }
    mk_splitter_init(&t->splitter, t->pre);
    t->scratch = mk_splitter_scratch(&t->splitter);
    *out = t;
    return true;
}

void mk_bpe_trainer_free(struct mk_bpe_trainer *t)
{
    if (!t) return;
    pcre2_match_data_free(t->scratch);
    mk_splitter_release(&t->splitter);
    mk_texts_release(&t->words);
    free(t);
}

/* ---- counting ---- */

/* Between bytes that never merge, merges see a piece as words of its own: counting those gives
 * no merge that has such a byte, and the others as often as they occur. */
static void on_piece(void *arg, const char *s, size_t n)
{
    struct mk_bpe_trainer *t = arg;
    for (size_t from = 0, i = 0; i <= n; i++) {
        if (i < n && !t->is_single[(unsigned char)s[i]]) continue;
        if (i - from > 1 && i - from <= MAX_WORD) mk_texts_put(&t->words, s + from, i - from);
        from = i + 1;
    }
}

bool mk_bpe_trainer_add(struct mk_bpe_trainer *t, const char *text, size_t n, struct mk_err *err)
{
    struct mk_str clean = {0}, nfc = {0};
    if (n) t->has_text = true;
    if (mk_utf8_valid(text, n) != n) {
        mk_str_add_utf8(&clean, text, n);
        text = clean.data;
        n = clean.len;
    }
    if (t->pre->nfc && !mk_nfc_is_plain(text, n)) {
        mk_nfc(&nfc, text, n);
        text = nfc.data;
        n = nfc.len;
    }
    mk_split(&t->splitter, t->scratch, text, n, on_piece, t);
    mk_str_release(&clean);
    mk_str_release(&nfc);
    return t->words.bytes.len <= MAX_WORDS_BYTES ||
           mk_fail(err, MK_ELIMIT, "the texts have more than %zu bytes of different words",
                   MAX_WORDS_BYTES);
}

/* ---- the tokenizer ---- */

/* Bytes, and what the file would spell like a special token. */
static void give_tokens(const struct mk_bpe_trainer *t, struct mk_learned *l)
{
    for (unsigned b = 0; b < N_BYTES; b++) {
        const char c = (char)b;
        mk_texts_put(&l->tokens, &c, 1);
    }
    char bytes[MK_ADDED_BYTES];
    for (size_t i = 0; i < t->n_specials; i++) {
        const char *s = t->o.specials[i];
        const size_t n = mk_alphabet_decode(bytes, s, strlen(s));
        if (n != SIZE_MAX) mk_texts_put(&l->tokens, bytes, n);
    }
    l->n_given = l->tokens.n;
}

struct builder {
    const struct mk_bpe_trainer *t;
    const struct mk_learned *l;
    struct mk_tokenizer *tok;
    struct mk_err *err;
};

/* The id of a learned token: bytes and new ones follow the first three special tokens. */
static int32_t final_id(const struct mk_learned *l, size_t token)
{
    return (int32_t)(N_FRONT + (token < N_BYTES ? token : token - l->n_given + N_BYTES));
}

static bool put_special(const struct builder *b, size_t i, int32_t id)
{
    const char *text = b->t->o.specials[i];
    const size_t n = strlen(text);
    const struct mk_added a = {.id = id, .is_special = !mk_is_think_tag(text, n)};
    return mk_tokenizer_add(b->tok, &a, text, n, "tokenizer", b->err);
}

static bool put_token(const struct builder *b, size_t token)
{
    const struct mk_texts *list = &b->l->tokens;
    struct mk_str text = {0};
    mk_alphabet_encode(&text, mk_texts_at(list, token), list->list[token].len);
    const bool ok =
        mk_vocab_put(&b->tok->vocab, final_id(b->l, token), MK_KIND_BYTES, text.data, text.len);
    mk_str_release(&text);
    return ok || mk_fail(b->err, MK_EFORMAT, "token %zu has two texts", token);
}

static bool put_merge(const struct builder *b, const struct mk_merge *m)
{
    const struct mk_texts *list = &b->l->tokens;
    struct mk_str left = {0}, right = {0};
    mk_alphabet_encode(&left, mk_texts_at(list, (size_t)m->left), list->list[m->left].len);
    mk_alphabet_encode(&right, mk_texts_at(list, (size_t)m->right), list->list[m->right].len);
    const bool ok = mk_vocab_add_merge(&b->tok->vocab, left.data, left.len, right.data, right.len,
                                       "tokenizer", b->err);
    mk_str_release(&left);
    mk_str_release(&right);
    return ok;
}

static bool build(const struct builder *b)
{
    const struct mk_learned *l = b->l;
    const size_t n_back = b->t->n_specials - N_FRONT;
    for (size_t i = 0; i < b->t->n_specials; i++)
        if (!put_special(b, i, (int32_t)(i < N_FRONT ? i : b->t->o.n_vocab - n_back + i - N_FRONT)))
            return false;
    for (size_t i = 0; i < l->tokens.n; i++)
        if ((i < N_BYTES || i >= l->n_given) && !put_token(b, i)) return false;
    if (!mk_vocab_index(&b->tok->vocab, "tokenizer", b->err)) return false;
    for (size_t i = 0; i < l->n_merges; i++)
        if (!put_merge(b, &l->merges[i])) return false;
    return true;
}

static struct mk_tokenizer *new_tokenizer(const struct mk_bpe_trainer *t)
{
    struct mk_tokenizer *tok = mk_tokenizer_new();
    tok->pre = t->pre;
    tok->pre_name = t->pre->names[0].name;
    tok->nfc = t->pre->nfc;
    tok->ignore_merges = t->pre->ignore_merges;
    tok->adds_bos = true;
    tok->bos = 0;
    tok->eos = 1;
    tok->pad = 2;
    tok->chat_template = mk_strdup(t->o.chat_template);
    return tok;
}

bool mk_bpe_trainer_run(const struct mk_bpe_trainer *t, mk_bpe_progress_fn *progress, void *arg,
                        struct mk_tokenizer **out, struct mk_err *err)
{
    const size_t n_base = N_BYTES + t->n_specials, n_new = t->o.n_vocab - n_base;
    if (n_new && !t->has_text) return mk_fail(err, MK_EFORMAT, "no text to learn from");
    struct mk_learned l = {0};
    give_tokens(t, &l);
    mk_bpe_learn(&l, &t->words, n_new, progress, arg);
    const size_t found = l.tokens.n - l.n_given;
    const struct builder b = {t, &l, new_tokenizer(t), err};
    const bool ok =
        found == n_new
            ? build(&b)
            : mk_fail(err, MK_EFORMAT,
                      "the text ends before the vocabulary is full: %zu of %zu tokens found that "
                      "occur twice or more; it is enough for a vocabulary of %zu",
                      found, n_new, n_base + found);
    mk_learned_release(&l);
    if (!ok) {
        mk_tokenizer_free(b.tok);
        return false;
    }
    mk_tokenizer_finish(b.tok);
    *out = b.tok;
    return true;
}
