/* Token files: a header, where each document starts, and the tokens (layout in data.h). */
#include "train/data.h"

#include <stdint.h>
#include <string.h>

static const char magic[8] = {'m', 'k', 't', 'o', 'k', 0, 0, 1};
enum { HEADER = 32, CHUNK = 4096 };

struct header {
    char magic[8];
    uint64_t n_tok, n_doc;
    uint32_t n_vocab, tok_bytes;
};
_Static_assert(sizeof(struct header) == HEADER, "no padding");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are read and written as they lie");

/* ---- writing ---- */

static bool write_tokens(struct mk_out *o, const struct mk_seqs *s, unsigned tok_bytes,
                         struct mk_err *err)
{
    uint16_t small[CHUNK];
    if (tok_bytes == 4) return mk_out_write(o, s->tok, s->n_tok * 4, err);
    for (size_t i = 0; i < s->n_tok; i += CHUNK) {
        const size_t n = s->n_tok - i < CHUNK ? s->n_tok - i : CHUNK;
        for (size_t k = 0; k < n; k++) small[k] = (uint16_t)s->tok[i + k];
        if (!mk_out_write(o, small, 2 * n, err)) return false;
    }
    return true;
}

static bool check_tokens(const struct mk_seqs *docs, size_t n_vocab, const char *path,
                         struct mk_err *err)
{
    if (!docs->n) return mk_fail(err, MK_EUSAGE, "%s: no documents to write", path);
    for (size_t i = 0; i < docs->n; i++)
        if (!mk_seqs_len(docs, i))
            return mk_fail(err, MK_EUSAGE, "%s: document %zu has no token", path, i);
    for (size_t i = 0; i < docs->n_tok; i++)
        if (docs->tok[i] < 0 || (size_t)docs->tok[i] >= n_vocab)
            return mk_fail(err, MK_EUSAGE, "%s: token %d in a vocabulary of %zu", path,
                           (int)docs->tok[i], n_vocab);
    return true;
}

bool mk_bin_write(const char *path, const struct mk_seqs *docs, size_t n_vocab, struct mk_err *err)
{
    struct mk_out o = {0};
    if (!check_tokens(docs, n_vocab, path, err)) return false;
    struct header h = {.n_tok = docs->n_tok,
                       .n_doc = docs->n,
                       .n_vocab = (uint32_t)n_vocab,
                       .tok_bytes = n_vocab <= 1 << 16 ? 2 : 4};
    memcpy(h.magic, magic, sizeof magic);
    if (!mk_out_open(&o, path, err)) return false;
    bool ok = mk_out_write(&o, &h, sizeof h, err);
    for (size_t i = 0; ok && i < docs->n; i++) {
        const uint64_t start = docs->start[i];
        ok = mk_out_write(&o, &start, sizeof start, err);
    }
    ok = ok && write_tokens(&o, docs, h.tok_bytes, err) && mk_out_close(&o, err);
    if (!ok) mk_out_abandon(&o);
    return ok;
}

/* ---- reading ---- */

size_t mk_bin_start(const struct mk_bin *b, size_t doc)
{
    uint64_t start = b->n_tok;
    if (doc < b->n_doc) memcpy(&start, b->start + 8 * doc, sizeof start);
    return (size_t)start;
}

int32_t mk_bin_tok(const struct mk_bin *b, size_t i)
{
    uint32_t tok = 0;
    memcpy(&tok, b->tok + b->tok_bytes * i, b->tok_bytes);
    return (int32_t)tok;
}

static bool check_header(const struct header *h, size_t n, const char *name, struct mk_err *err)
{
    size_t starts, toks, all;
    if (memcmp(h->magic, magic, sizeof magic))
        return mk_fail(err, MK_EFORMAT, "%s: not a token file", name);
    if (h->tok_bytes != 2 && h->tok_bytes != 4)
        return mk_fail(err, MK_EFORMAT, "%s: %u bytes per token, want 2 or 4", name, h->tok_bytes);
    if (!h->n_vocab || h->n_vocab > INT32_MAX)
        return mk_fail(err, MK_EFORMAT, "%s: a vocabulary of %u", name, h->n_vocab);
    if (!h->n_doc || !h->n_tok)
        return mk_fail(err, MK_EFORMAT, "%s: %llu documents, %llu tokens", name,
                       (unsigned long long)h->n_doc, (unsigned long long)h->n_tok);
    if (!mk_mul(h->n_doc, 8, &starts) || !mk_mul(h->n_tok, h->tok_bytes, &toks) ||
        !mk_add(starts, toks, &all) || !mk_add(all, HEADER, &all) || all != n)
        return mk_fail(err, MK_EFORMAT,
                       "%s: %zu bytes do not hold %llu documents and %llu tokens of %u bytes", name,
                       n, (unsigned long long)h->n_doc, (unsigned long long)h->n_tok, h->tok_bytes);
    return true;
}

bool mk_bin_parse(struct mk_bin *out, const void *bytes, size_t n, const char *name,
                  struct mk_err *err)
{
    struct header h;
    if (n < HEADER) return mk_fail(err, MK_EFORMAT, "%s: %zu bytes are no token file", name, n);
    memcpy(&h, bytes, sizeof h);
    if (!check_header(&h, n, name, err)) return false;
    const uint8_t *start = (const uint8_t *)bytes + HEADER;
    const struct mk_bin b = {start, start + 8 * h.n_doc, h.n_tok, h.n_doc, h.n_vocab, h.tok_bytes};
    for (size_t i = 0; i < b.n_doc; i++) {
        const size_t from = mk_bin_start(&b, i), to = mk_bin_start(&b, i + 1);
        if ((i == 0 && from) || from >= to || to > b.n_tok)
            return mk_fail(err, MK_EFORMAT, "%s: document %zu goes from token %zu to %zu of %zu",
                           name, i, from, to, b.n_tok);
    }
    for (size_t i = 0; i < b.n_tok; i++)
        if ((uint32_t)mk_bin_tok(&b, i) >= h.n_vocab)
            return mk_fail(err, MK_EFORMAT, "%s: token %zu is %u in a vocabulary of %u", name, i,
                           (unsigned)mk_bin_tok(&b, i), h.n_vocab);
    *out = b;
    return true;
}
