/* Multi-head latent attention: which form a span takes. */
#include "tensor/int_attention.h"
#include "tensor/int_mla.h"
#include "tensor/tape.h"

#include <string.h>

bool mk_mla_is_expanded(const struct mk_mla *a, const struct mk_span *s)
{
    if (a->form == MK_MLA_BY_COUNT) return s->n >= MK_MLA_EXPAND;
    return a->form == MK_MLA_EXPANDED;
}

void mk_mul_transposed(const struct mk_kernels *k, const struct mk_weight *w, float *piece,
                       const float *x, size_t ldx, size_t n, float *y, size_t ldy)
{
    enum {
        FLOAT_ROWS = 64 /* that need not be decoded: so many that sums stay in registers long */
    };
    const bool is_float = w->type == MK_F32;
    const size_t most = is_float ? FLOAT_ROWS : MK_MLA_PIECE;
    const size_t ld = is_float ? w->stride / sizeof *piece : w->cols;
    for (size_t i = 0; i < n; i++) memset(y + i * ldy, 0, w->cols * sizeof *y);
    for (size_t r = 0; r < w->rows; r += most) {
        const size_t n_r = w->rows - r < most ? w->rows - r : most;
        const float *rows = is_float ? (const float *)(const void *)w->data + r * ld : piece;
        if (!is_float) mk_weight_decode(k, w, r, n_r, piece);
        k->mul_t(y, ldy, rows, ld, n_r, w->cols, x + r, ldx, n);
    }
}

static void attend(const struct mk_mla_call *c)
{
    const struct mk_arena_mark mark = mk_arena_mark(&c->wk->arena);
    size_t n_few = 0;
    for (size_t s = 0; s < c->n_spans; s++) {
        const struct mk_span *span = &c->spans[s];
        if (!mk_mla_is_expanded(c->a, span)) {
            n_few += span->n;
            continue;
        }
        (mk_mla_can_expand_bf16(c, span) ? mk_mla_expanded_bf16 : mk_mla_expanded)(c, span);
        mk_arena_reset(&c->wk->arena, mark);
    }
    if (n_few) mk_mla_absorbed(c, n_few);
    mk_arena_reset(&c->wk->arena, mark);
}

void mk_attention_mla(struct mk_work *wk, const struct mk_mla *a, size_t layer,
                      const struct mk_span *spans, size_t n_spans, const float *q,
                      const float *rows, float *out)
{
    const bool is_recording = mk_is_recording(wk);
    const size_t d_row = a->d_latent + a->d_rope;
    if (is_recording) mk_mla_train(wk, a, spans, n_spans, q, rows, out);
    if (is_recording && a->form != MK_MLA_ABSORBED) return;
    for (size_t i = 0; i < n_spans; i++) {
        const struct mk_span *s = &spans[i];
        mk_kv_store(wk, s->kv, layer, 0, s->pos, s->n, rows + s->first * d_row, d_row);
    }
    attend(&(struct mk_mla_call){wk, a, layer, spans, n_spans, q, out});
}
