/* Lists of sequences, and what all sources share. */
#include "base/mem.h"
#include "train/data.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void mk_seqs_release(struct mk_seqs *s)
{
    free(s->tok);
    free(s->weight);
    free(s->start);
    *s = (struct mk_seqs){0};
}

void mk_seqs_clear(struct mk_seqs *s)
{
    s->n = 0;
    s->n_tok = 0;
}

static void make_room(struct mk_seqs *s, size_t n)
{
    if (s->cap_tok - s->n_tok >= n) return;
    s->cap_tok = s->n_tok + n > 2 * s->cap_tok ? s->n_tok + n + 64 : 2 * s->cap_tok;
    s->tok = mk_realloc(s->tok, s->cap_tok * sizeof *s->tok);
    s->weight = mk_realloc(s->weight, s->cap_tok * sizeof *s->weight);
}

void mk_seqs_put(struct mk_seqs *s, const int32_t *tok, size_t n, float weight)
{
    if (!n) return;
    make_room(s, n);
    memcpy(s->tok + s->n_tok, tok, n * sizeof *tok);
    for (size_t i = 0; i < n; i++) s->weight[s->n_tok + i] = weight;
    s->n_tok += n;
}

void mk_seqs_end(struct mk_seqs *s)
{
    if (s->n + 2 > s->cap) {
        s->cap = s->cap ? 2 * s->cap : 64;
        s->start = mk_realloc(s->start, s->cap * sizeof *s->start);
        s->start[0] = 0;
    }
    if (s->start[s->n] < s->n_tok) s->weight[s->start[s->n]] = 0;
    s->start[++s->n] = s->n_tok;
}

void mk_seqs_add(struct mk_seqs *s, const int32_t *tok, const float *weight, size_t n)
{
    mk_seqs_put(s, tok, n, 1);
    if (weight && n) memcpy(s->weight + s->n_tok - n, weight, n * sizeof *weight);
    mk_seqs_end(s);
}

void mk_seqs_drop(struct mk_seqs *s) { s->n_tok = s->start[--s->n]; }

/* ---- sources ---- */

bool mk_source_next(struct mk_source *s, struct mk_seqs *out, size_t n_ctx)
{
    if (!s->fns->get(s->self, s->cursor, out)) return false;
    assert(mk_seqs_len(out, out->n - 1) <= n_ctx);
    s->cursor++;
    return true;
}

void mk_source_seek(struct mk_source *s, uint64_t cursor) { s->cursor = cursor; }

void mk_source_close(struct mk_source *s)
{
    if (s->fns) s->fns->close(s->self);
    free(s->about);
    *s = (struct mk_source){0};
}
