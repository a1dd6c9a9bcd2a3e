/* Guesses of the model's own prediction layer (DeepSeek-V3, section 2.2): from the hidden state at
 * position i and the token at i + 1 it gives logits for the token at i + 2.
 *
 *   timeline    t0  t1  t2  t3         evaluated up to t2, t3 pending
 *   its rows    h0+t1  h1+t2  h2+t3 -> t4'    then h'+t4' -> t5' with its own hidden state h'
 *
 * It has keys and values of its own.  Hidden states are kept by the session and read in pieces, or
 * dropped while guesses do not pay; where some are missing, as in a prefix that came from
 * elsewhere, it begins behind them: rotary positions are relative. */
#include "engine/int_speculate.h"

#include <stdlib.h>
#include <string.h>

enum { PIECE = 128 }; /* states that may wait */

struct mtp {
    struct mk_engine *engine;
    struct mk_session *session;
    struct mk_kv kv;
    size_t first;  /* position of its first row */
    float *state;  /* [d_model] of its last row */
    float *logits; /* [n_vocab] behind it */
    bool is_usable;
};

static void *open_mtp(struct mk_speculator *s, struct mk_session *session)
{
    struct mk_err err;
    struct mtp *m = mk_alloc(sizeof *m);
    const struct mk_kv_shape shape = mk_model_mtp_kv(&s->engine->model);
    m->engine = s->engine;
    m->session = session;
    m->is_usable = mk_kv_init(&m->kv, &shape, s->engine->kv_type, mk_session_n_ctx(session), &err);
    m->state = mk_calloc(s->engine->model.d_model, sizeof *m->state);
    m->logits = mk_calloc(s->engine->model.n_vocab, sizeof *m->logits);
    session->notes_states = m->is_usable;
    session->n_states = 0;
    return m;
}

static void close_mtp(void *d)
{
    struct mtp *m = d;
    mk_kv_release(&m->kv);
    free(m->state);
    free(m->logits);
    free(m);
}

/* Rows of states and the tokens behind them; the last one's state and logits if they are wanted.
 * false: weights could not be read; it guesses no more, and the model's own step will say why. */
static bool run(struct mtp *m, const float *states, const int32_t *tok, size_t n, bool is_normed,
                bool is_last)
{
    struct mk_engine *e = m->engine;
    const size_t d = e->model.d_model, last = n - 1;
    struct mk_arena *a = &e->work.arena;
    const struct mk_arena_mark mark = mk_arena_mark(a);
    float *hidden = mk_arena_take(a, n * d * sizeof *hidden);
    m->is_usable = mk_model_mtp(
        &e->model, &e->work,
        &(struct mk_step){.tok = tok,
                          .n_tok = n,
                          .spans = &(struct mk_span){.kv = &m->kv, .n = n, .pos = m->kv.n},
                          .n_spans = 1,
                          .want = &last,
                          .n_want = is_last,
                          .logits = m->logits,
                          .hidden = hidden},
        states, is_normed);
    if (m->is_usable) memcpy(m->state, hidden + last * d, d * sizeof *hidden);
    mk_arena_reset(a, mark);
    return m->is_usable;
}

/* Reads the states that are there, all but those of guesses that were not appended. */
static void read_states(struct mtp *m, bool is_last)
{
    struct mk_session *s = m->session;
    const size_t d = m->engine->model.d_model, n_batch = m->engine->n_batch;
    if (s->n_states == 0 || s->states_pos >= s->kv.n) return;
    size_t n = s->kv.n - s->states_pos;
    if (n > s->n_states) n = s->n_states;
    if (s->states_pos != m->first + m->kv.n) {
        mk_kv_truncate(&m->kv, 0);
        m->first = s->states_pos;
    }
    for (size_t at = 0; at < n;) {
        const size_t piece = n - at < n_batch ? n - at : n_batch;
        if (!run(m, s->states + at * d, s->ids.v + s->states_pos + at + 1, piece, true,
                 is_last && at + piece == n))
            return;
        at += piece;
    }
    s->states_pos += n;
    s->n_states = 0;
}

static void follow(void *d, bool is_used)
{
    struct mtp *m = d;
    struct mk_session *s = m->session;
    if (!m->is_usable || s->n_states < PIECE) return;
    if (is_used)
        read_states(m, false);
    else
        s->n_states = 0, s->states_pos = s->kv.n;
}

/* Only behind a step whose last state waits. */
static int look(void *d)
{
    const struct mtp *m = d;
    const struct mk_session *s = m->session;
    return m->is_usable && s->states_pos < s->kv.n && s->states_pos + s->n_states >= s->kv.n ? 0
                                                                                             : -1;
}

static size_t guess(void *d, size_t n, int32_t *out)
{
    struct mtp *m = d;
    const size_t n_vocab = m->engine->model.n_vocab;
    read_states(m, true);
    if (!m->is_usable) return 0;
    const size_t n_rows = m->kv.n;
    for (size_t i = 0; i < n; i++) {
        if (i && m->kv.n == m->kv.n_ctx) return i;
        if (i && !run(m, m->state, &out[i - 1], 1, false, true)) return i;
        out[i] = (int32_t)mk_likeliest(&m->engine->work.k, m->logits, n_vocab);
    }
    m->kv.n = n_rows;
    return n;
}

const struct mk_drafter mk_drafter_mtp = {.name = "mtp",
                                          .first = {0.7f},
                                          .then = 0.4f,
                                          .open = open_mtp,
                                          .close = close_mtp,
                                          .follow = follow,
                                          .look = look,
                                          .guess = guess};
