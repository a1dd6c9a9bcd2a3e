/* Guesses of a small model with the same vocabulary: its likeliest tokens, one after the other, in
 * a session of its own that follows the timeline. */
#include "engine/int_speculate.h"

#include <stdlib.h>

struct follower {
    struct mk_engine *main, *draft;
    const struct mk_session *session;
    struct mk_session *own; /* NULL: no memory for it */
};

static void *open_follower(struct mk_speculator *s, struct mk_session *session)
{
    struct mk_err err;
    struct follower *f = mk_alloc(sizeof *f);
    f->main = s->engine, f->draft = s->draft, f->session = session;
    if (!mk_session_new(&f->own, s->draft, mk_session_n_ctx(session), &err)) f->own = NULL;
    return f;
}

static void close_follower(void *d)
{
    struct follower *f = d;
    mk_session_free(f->own);
    free(f);
}

static int look(void *d) { return ((struct follower *)d)->own ? 0 : -1; }

/* Reads what is pending.  False: the answer is to be stopped. */
static bool read_pending(const struct follower *f)
{
    struct mk_err err;
    struct mk_session *own = f->own;
    while (mk_session_pending(own))
        if (atomic_load(&f->main->is_canceled) || !mk_engine_step(f->draft, &own, 1, 0, &err))
            return false;
    return true;
}

static size_t guess(void *d, size_t n, int32_t *out)
{
    struct follower *f = d;
    struct mk_err err;
    const size_t n_vocab = f->draft->model.n_vocab;
    size_t n_ids, made = 0;
    const int32_t *ids = mk_session_ids(f->session, &n_ids);
    bool ok = mk_session_set(f->own, ids, n_ids, NULL, &err);
    while (ok && made < n && read_pending(f)) {
        const int32_t id =
            (int32_t)mk_likeliest(&f->draft->work.k, mk_session_logits(f->own), n_vocab);
        if ((size_t)id >= f->main->model.n_vocab) break; /* a row without a token */
        out[made++] = id;
        ok = mk_session_append(f->own, &id, 1, &err);
    }
    return made;
}

const struct mk_drafter mk_drafter_model = {.name = "draft",
                                            .first = {0.7f},
                                            .then = 0.7f,
                                            .open = open_follower,
                                            .close = close_follower,
                                            .look = look,
                                            .guess = guess};
