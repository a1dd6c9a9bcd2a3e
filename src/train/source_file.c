/* Files as sources: all of a file is read, checked and cut into pieces when it is opened, so
 * that number i of an epoch is a look-up, and nothing can fail afterwards.
 *
 *   cursor  ->  epoch = cursor / n, place = cursor % n  ->  order[place]  ->  piece  ->  tokens
 *
 * The order is drawn anew for each epoch from (seed, epoch). */
#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "train/int_data.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct piece {
    size_t at; /* of its first token */
    uint32_t n;
};
struct file_source {
    struct mk_map map; /* of a token file that we opened */
    struct mk_bin bin; /* n_doc 0: not a token file */
    struct mk_seqs seqs;
    struct piece *pieces;
    size_t n, cap;
    uint32_t *order; /* NULL: as in the file */
    uint64_t seed, epoch, n_epochs;
};

/* ---- giving ---- */

/* Fisher and Yates: every order is equally likely, but for the bias of % (n / 2^64). */
static void shuffle(struct file_source *f, uint64_t epoch)
{
    struct mk_rng r = {f->seed};
    r.state = mk_rng_u64(&r) ^ epoch;
    for (size_t i = 0; i < f->n; i++) f->order[i] = (uint32_t)i;
    for (size_t i = f->n; i > 1; i--) {
        const size_t k = (size_t)(mk_rng_u64(&r) % i);
        const uint32_t x = f->order[i - 1];
        f->order[i - 1] = f->order[k];
        f->order[k] = x;
    }
    f->epoch = epoch;
}

static bool get(void *self, uint64_t i, struct mk_seqs *out)
{
    struct file_source *f = self;
    const uint64_t epoch = i / f->n;
    size_t at = (size_t)(i % f->n);
    if (f->n_epochs && epoch >= f->n_epochs) return false;
    if (f->order && epoch != f->epoch) shuffle(f, epoch);
    if (f->order) at = f->order[at];
    const struct piece *p = &f->pieces[at];
    if (!f->bin.n_doc) {
        mk_seqs_add(out, f->seqs.tok + p->at, f->seqs.weight + p->at, p->n);
        return true;
    }
    for (uint32_t k = 0; k < p->n; k++) {
        const int32_t tok = mk_bin_tok(&f->bin, p->at + k);
        mk_seqs_put(out, &tok, 1, 1);
    }
    mk_seqs_end(out);
    return true;
}

static void close_file(void *self)
{
    struct file_source *f = self;
    mk_map_close(&f->map);
    mk_seqs_release(&f->seqs);
    free(f->pieces);
    free(f->order);
    free(f);
}

static const struct mk_source_fns fns = {get, close_file};

/* ---- reading ---- */

static void add_piece(struct file_source *f, size_t at, size_t n)
{
    if (f->n == f->cap) {
        f->cap = f->cap ? 2 * f->cap : 256;
        f->pieces = mk_realloc(f->pieces, f->cap * sizeof *f->pieces);
    }
    f->pieces[f->n++] = (struct piece){at, (uint32_t)n};
}

/* Pieces share a token: the first of a piece is only read, so it is the last of the one before. */
static void cut(struct file_source *f, size_t at, size_t end, size_t n_ctx)
{
    for (; at + 1 < end; at += n_ctx - 1) add_piece(f, at, end - at < n_ctx ? end - at : n_ctx);
}

/* Lines by what they say. */
struct seen {
    struct said {
        size_t from, n; /* tokens */
        uint64_t hash;
        size_t line;
    } * list;
    size_t n, cap;
    uint32_t *slots; /* index + 1, at most half full */
    size_t n_slots;
};

struct loader {
    const struct mk_data_options *o;
    const char *name;
    struct file_source *f;
    struct mk_turns turns;
    enum mk_line_form form;
    struct seen seen;
    struct mk_ids ids; /* scratch */
    size_t line;
    struct mk_err *err;
};

static uint64_t hash_tokens(const int32_t *tok, size_t n)
{
    struct mk_rng r = {n};
    for (size_t i = 0; i < n; i++) r.state = mk_rng_u64(&r) ^ (uint32_t)tok[i];
    return mk_rng_u64(&r);
}

static void seen_grow(struct seen *s)
{
    s->n_slots = s->n_slots ? 2 * s->n_slots : 1024;
    free(s->slots);
    s->slots = mk_calloc(s->n_slots, sizeof *s->slots);
    for (size_t i = 0; i < s->n; i++) {
        size_t k = s->list[i].hash & (s->n_slots - 1);
        while (s->slots[k]) k = (k + 1) & (s->n_slots - 1);
        s->slots[k] = (uint32_t)i + 1;
    }
}

/* The current line's tokens begin at from. */
static bool check_new(struct loader *l, size_t from)
{
    struct seen *s = &l->seen;
    const struct mk_seqs *q = &l->f->seqs;
    const size_t n = q->n_tok - from;
    const uint64_t hash = hash_tokens(q->tok + from, n);
    if (2 * s->n >= s->n_slots) seen_grow(s);
    size_t k = hash & (s->n_slots - 1);
    for (; s->slots[k]; k = (k + 1) & (s->n_slots - 1)) {
        const struct said *e = &s->list[s->slots[k] - 1];
        if (e->hash == hash && e->n == n && !memcmp(q->tok + e->from, q->tok + from, n * 4))
            return mk_fail(l->err, MK_EFORMAT, "the same as line %zu", e->line);
    }
    if (s->n == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 256;
        s->list = mk_realloc(s->list, s->cap * sizeof *s->list);
    }
    s->list[s->n] = (struct said){from, n, hash, l->line};
    s->slots[k] = (uint32_t)++s->n;
    return true;
}

static bool load_text(struct loader *l, const json_t *line)
{
    const json_t *text = json_object_get(line, "text");
    const int32_t eos = mk_token_eos(l->o->tokenizer);
    struct mk_seqs *q = &l->f->seqs;
    const size_t from = q->n_tok;
    l->ids.n = 0;
    mk_tokenize(l->o->tokenizer, json_string_value(text), json_string_length(text), MK_TOK_BOS,
                &l->ids);
    if (eos >= 0) mk_ids_add(&l->ids, eos);
    mk_seqs_add(q, l->ids.v, NULL, l->ids.n);
    for (size_t i = from + 1; i < q->n_tok; i++) q->weight[i] = 1;
    cut(l->f, from, q->n_tok, l->o->n_ctx);
    return true;
}

static bool find_template(struct loader *l)
{
    struct mk_turns *t = &l->turns;
    if (t->template) return true;
    if (!l->o->chat_template) return mk_template_detect(&t->template, t->tokenizer, l->err);
    t->template = mk_template_find(l->o->chat_template);
    return t->template || mk_fail(l->err, MK_EUSAGE, "no chat template %s", l->o->chat_template);
}

static bool load_turns(struct loader *l, struct mk_conversation *c)
{
    struct mk_seqs *q = &l->f->seqs;
    const size_t first = q->n;
    if (!find_template(l) || !mk_turns_put(&l->turns, c, q, l->err)) return false;
    for (size_t i = first; i < q->n; i++) add_piece(l->f, q->start[i], mk_seqs_len(q, i));
    return true;
}

static bool load_chat(struct loader *l, const json_t *line, const char *s, size_t n)
{
    struct mk_conversation c = {0};
    if (l->form == MK_LINE_MESSAGES) {
        if (!mk_conversation_parse(&c, s, n, l->err)) return false;
    } else {
        mk_conversation_add(&c, MK_USER, json_string_value(json_object_get(line, "prompt")), NULL);
        mk_conversation_add(&c, MK_ASSISTANT,
                            json_string_value(json_object_get(line, "completion")), NULL);
    }
    const bool ok = load_turns(l, &c);
    mk_conversation_release(&c);
    return ok;
}

static bool load_line(struct loader *l, const char *s, size_t n)
{
    json_t *line;
    enum mk_line_form form;
    const size_t from = l->f->seqs.n_tok;
    if (!mk_line_parse(&line, &form, s, n, l->err)) return false;
    bool ok = true;
    if (l->f->seqs.n && form != l->form)
        ok = mk_fail(l->err, MK_EFORMAT, "a line of %s in a file of %s", mk_line_forms[form],
                     mk_line_forms[l->form]);
    l->form = form;
    if (ok) ok = form == MK_LINE_TEXT ? load_text(l, line) : load_chat(l, line, s, n);
    json_decref(line);
    return ok && (l->o->allow_duplicates || check_new(l, from));
}

static bool load_jsonl(struct loader *l, const char *bytes, size_t n)
{
    struct mk_lines lines = {bytes, n, 0, 0};
    const char *s;
    size_t len;
    bool ok = true;
    while (ok && mk_lines_next(&lines, &s, &len)) {
        l->line = lines.line;
        ok = load_line(l, s, len);
        if (!ok) mk_fail_in(l->err, "%s:%zu", l->name, l->line);
    }
    free(l->seen.list);
    free(l->seen.slots);
    mk_ids_release(&l->ids);
    if (ok && !l->line) ok = mk_fail(l->err, MK_EFORMAT, "%s: nothing in it", l->name);
    return ok;
}

static bool load_bin(struct loader *l, const void *bytes, size_t n)
{
    struct mk_bin b;
    const size_t n_vocab = (size_t)mk_token_count(l->o->tokenizer);
    if (!mk_bin_parse(&b, bytes, n, l->name, l->err)) return false;
    if (b.n_vocab != n_vocab)
        return mk_fail(l->err, MK_EFORMAT,
                       "%s: tokens of a vocabulary of %zu, the tokenizer has %zu", l->name,
                       b.n_vocab, n_vocab);
    l->f->bin = b;
    for (size_t i = 0; i < b.n_doc; i++)
        cut(l->f, mk_bin_start(&b, i), mk_bin_start(&b, i + 1), l->o->n_ctx);
    return true;
}

/* ---- opening ---- */

static char *describe(const struct loader *l)
{
    const struct file_source *f = l->f;
    struct mk_str s = {0};
    size_t n_tok = 0, n_read = 0;
    for (size_t i = 0; i < f->n; i++) n_tok += f->pieces[i].n;
    for (size_t i = 0; i < f->seqs.n_tok; i++) n_read += f->seqs.weight[i] <= 0;
    mk_str_addf(&s, "%s: %s, %zu sequences, %zu tokens", l->name,
                f->bin.n_doc ? "tokens" : mk_line_forms[l->form], f->n, n_tok);
    if (!f->bin.n_doc && l->form != MK_LINE_TEXT)
        mk_str_addf(&s, ", %zu of them to learn", n_tok - n_read);
    if (l->turns.n_cut) mk_str_addf(&s, ", %zu cut at %zu", l->turns.n_cut, l->o->n_ctx);
    return mk_str_take(&s);
}

static bool is_token_file(const char *bytes, size_t n, const char *name)
{
    const size_t len = strlen(name);
    return (n >= 5 && !memcmp(bytes, "mktok", 5)) || (len > 4 && !strcmp(name + len - 4, ".bin"));
}

static bool load(struct loader *l, const void *bytes, size_t n)
{
    if (!(is_token_file(bytes, n, l->name) ? load_bin(l, bytes, n) : load_jsonl(l, bytes, n)))
        return false;
    if (!l->f->n)
        return mk_fail(l->err, MK_EFORMAT, "%s: no document of two tokens or more", l->name);
    return l->f->n <= UINT32_MAX ||
           mk_fail(l->err, MK_ELIMIT, "%s: %zu sequences, at most %" PRIu32 " go", l->name, l->f->n,
                   UINT32_MAX);
}

bool mk_source_open_bytes(struct mk_source *out, const void *bytes, size_t n, const char *name,
                          const struct mk_data_options *o, struct mk_err *err)
{
    if (o->n_ctx < 2 || o->n_ctx > UINT32_MAX)
        return mk_fail(err, MK_EUSAGE, "%s: sequences of %zu tokens", name, o->n_ctx);
    struct file_source *f = mk_alloc(sizeof *f);
    f->seed = o->seed;
    f->n_epochs = o->n_epochs;
    struct loader l = {.o = o, .name = name, .f = f, .err = err};
    l.turns.tokenizer = o->tokenizer;
    l.turns.n_ctx = o->n_ctx;
    if (!load(&l, bytes, n)) {
        close_file(f);
        return false;
    }
    if (!o->in_order) {
        f->order = mk_calloc(f->n, sizeof *f->order);
        shuffle(f, 0);
    }
    *out = (struct mk_source){.fns = &fns, .self = f, .n_epoch = f->n, .about = describe(&l)};
    return true;
}

bool mk_source_open_file(struct mk_source *out, const char *path, const struct mk_data_options *o,
                         struct mk_err *err)
{
    struct mk_map map;
    struct mk_source s;
    if (!mk_map_open(&map, path, err)) return false;
    if (!mk_source_open_bytes(&s, map.data, map.size, path, o, err)) {
        mk_map_close(&map);
        return false;
    }
    struct file_source *f = s.self;
    if (f->bin.n_doc)
        f->map = map;
    else
        mk_map_close(&map);
    *out = s;
    return true;
}
