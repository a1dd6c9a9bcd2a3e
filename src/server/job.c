#include "server/job.h"

#include "base/clock.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The most text that waits for a connection to take it: one that does not read for so long is
 * given up. */
enum { MAX_WAITING_BYTES = 1 << 20 };

struct mk_job *mk_job_new(void)
{
    struct mk_job *j = mk_alloc(sizeof *j);
    pthread_mutex_init(&j->lock, NULL);
    j->n_refs = 2;
    j->status.stop = SIZE_MAX;
    return j;
}

void mk_pieces_release(struct mk_pieces *p)
{
    free(p->list);
    free(p->toks);
    free(p->experts);
    mk_str_release(&p->text);
    *p = (struct mk_pieces){0};
}

void mk_job_release(struct mk_job *j)
{
    pthread_mutex_lock(&j->lock);
    const bool is_last = --j->n_refs == 0;
    pthread_mutex_unlock(&j->lock);
    if (!is_last) return;
    mk_generation_release(&j->g);
    if (j->splitter) mk_splitter_free(j->splitter);
    mk_pieces_release(&j->news);
    mk_ids_release(&j->prompt);
    for (size_t i = 0; i < j->n_stops; i++) free(j->stops[i]);
    free(j->stops);
    free(j->bias);
    free(j->vectors);
    for (size_t i = 0; i < j->n_rest; i++) mk_ids_release(&j->rest[i]);
    free(j->rest);
    mk_shape_release(j->shape);
    pthread_mutex_destroy(&j->lock);
    free(j);
}

void mk_job_drop(struct mk_job *j)
{
    mk_job_release(j);
    mk_job_release(j);
}

void mk_job_add_stop(struct mk_job *j, const char *text)
{
    j->stops = mk_realloc(j->stops, (j->n_stops + 1) * sizeof *j->stops);
    j->stops[j->n_stops++] = mk_strdup(text);
}

void mk_job_listen(struct mk_job *j, mk_wake_fn *fn, void *arg)
{
    pthread_mutex_lock(&j->lock);
    j->wake = fn;
    j->wake_arg = arg;
    pthread_mutex_unlock(&j->lock);
}

struct mk_job_status mk_job_take(struct mk_job *j, struct mk_pieces *out)
{
    out->n = out->n_toks = 0;
    mk_str_clear(&out->text);
    pthread_mutex_lock(&j->lock);
    const struct mk_pieces empty = *out;
    *out = j->news;
    j->news = empty;
    j->has_progress = false;
    const struct mk_job_status status = j->status;
    pthread_mutex_unlock(&j->lock);
    return status;
}

bool mk_job_sleep(struct mk_job *j, mk_wake_fn *fn, void *arg)
{
    pthread_mutex_lock(&j->lock);
    const bool has_news = j->news.n || j->has_progress || j->status.state == MK_JOB_ENDED;
    if (!has_news) fn(arg);
    pthread_mutex_unlock(&j->lock);
    return !has_news;
}

void mk_job_nudge(struct mk_job *j)
{
    pthread_mutex_lock(&j->lock);
    if (j->wake) j->wake(j->wake_arg);
    pthread_mutex_unlock(&j->lock);
}

/* ---- pieces ------------------------------------------------------------------------ */

static struct mk_piece *last_piece(struct mk_pieces *p, enum mk_piece_kind kind)
{
    if (p->n && p->list[p->n - 1].kind == kind && kind != MK_PIECE_CALL) return &p->list[p->n - 1];
    if (p->n == p->cap) {
        p->cap = p->cap ? 2 * p->cap : 8;
        p->list = mk_realloc(p->list, p->cap * sizeof *p->list);
    }
    p->list[p->n] = (struct mk_piece){.kind = kind, .first_tok = p->n_toks};
    return &p->list[p->n++];
}

static void add_text(struct mk_job *j, enum mk_piece_kind kind, const char *bytes, size_t n)
{
    last_piece(&j->news, kind)->n += n;
    mk_str_append(&j->news.text, bytes, n);
    if (j->news.text.len > MAX_WAITING_BYTES) mk_job_cancel(j);
}

/* Under lock. */
static void on_part(void *arg, enum mk_part part, const char *bytes, size_t n)
{
    struct mk_job *j = arg;
    size_t n_calls;
    j->is_thinking = part == MK_PART_REASONING;
    if (part == MK_PART_REASONING) {
        add_text(j, MK_PIECE_REASONING, bytes, n);
    } else if (part == MK_PART_ANSWER) {
        add_text(j, MK_PIECE_ANSWER, bytes, n);
    } else if (n == 0) {
        const struct mk_tool_call *calls = mk_splitter_calls(j->splitter, &n_calls);
        const char *name = calls[n_calls - 1].name;
        add_text(j, MK_PIECE_CALL, name, strlen(name));
    } else {
        add_text(j, MK_PIECE_ARGUMENTS, bytes, n);
    }
}

static void add_tok(struct mk_job *j)
{
    struct mk_pieces *p = &j->news;
    const size_t n_choice = j->g.n_choice, at = j->n_toks_fed++;
    if (p->n_toks == p->toks_cap) {
        p->toks_cap = p->toks_cap ? 2 * p->toks_cap : 8;
        p->toks = mk_realloc(p->toks, p->toks_cap * sizeof *p->toks);
        if (j->wants_experts)
            p->experts = mk_realloc(p->experts, p->toks_cap * n_choice * sizeof *p->experts);
    }
    p->toks[p->n_toks] = j->g.sampled[at];
    if (j->wants_experts)
        memcpy(p->experts + p->n_toks * n_choice, j->g.experts + at * n_choice,
               n_choice * sizeof *p->experts);
    p->n_toks++;
}

/* Tokens that were made since.  Where they go depends on what they are, and not on how much is
 * waiting: a piece without text is made for them if need be. */
static void add_toks(struct mk_job *j)
{
    struct mk_pieces *p = &j->news;
    const bool is_call = p->n && p->list[p->n - 1].kind >= MK_PIECE_CALL;
    struct mk_piece *piece =
        is_call && !j->is_thinking
            ? &p->list[p->n - 1]
            : last_piece(p, j->is_thinking ? MK_PIECE_REASONING : MK_PIECE_ANSWER);
    for (; j->n_toks_fed < j->g.ids.n; piece->n_toks++) add_tok(j);
}

/* ---- the engine thread's side ------------------------------------------------------ */

/* Under lock. */
static void wake(const struct mk_job *j)
{
    if (j->wake) j->wake(j->wake_arg);
}

void mk_job_fail(struct mk_job *j, const struct mk_err *err)
{
    pthread_mutex_lock(&j->lock);
    j->status.state = MK_JOB_ENDED;
    j->status.finish = MK_FINISH_CANCEL;
    if (err) j->status.err = *err;
    wake(j);
    pthread_mutex_unlock(&j->lock);
}

bool mk_job_begin(struct mk_job *j, struct mk_session *s)
{
    struct mk_err err;
    j->g = (struct mk_generation){.session = s,
                                  .sampling = j->sampling,
                                  .stops = (const char *const *)j->stops,
                                  .n_stops = j->n_stops,
                                  .stop_ids = j->stop_ids,
                                  .n_stop_ids = j->n_stop_ids,
                                  .ignores_eos = j->ignores_eos,
                                  .only_reads = j->vectors != NULL,
                                  .grammar = j->shape ? j->shape->grammar : NULL,
                                  .max_toks = j->max_toks,
                                  .wants_experts = j->wants_experts};
    if (!mk_generation_start(&j->g, j->prompt.v, j->prompt.n, &err)) {
        mk_job_fail(j, &err);
        return false;
    }
    if (j->template) j->splitter = mk_splitter_new(j->template, j->inside, on_part, j);
    j->is_thinking = j->inside == MK_IN_THOUGHT;
    pthread_mutex_lock(&j->lock);
    j->status.state = MK_JOB_READING;
    j->status.n_prompt = j->g.n_prompt;
    j->status.n_cached = j->g.n_kept;
    j->status.queue_s = mk_now_s() - j->submit_s;
    pthread_mutex_unlock(&j->lock);
    return true;
}

/* Whether it may run in circles: only what a template reads, since a plain continuation may have
 * been asked to. */
static bool loops(const struct mk_job *j)
{
    enum { EVERY = 32 };
    return j->template && !j->ignores_eos && j->g.ids.n % EVERY == 0 && mk_generation_loops(&j->g);
}

/* A model whose thought was cut would still close it, or open another, within its answer. */
static void forbid(struct mk_job *j, const char *tag)
{
    struct mk_sampling *s = &j->g.sampling;
    const int32_t id = mk_token_find(j->tokenizer, tag);
    if (id < 0) return;
    j->bias = mk_realloc(j->bias, (s->n_bias + 1) * sizeof *j->bias);
    j->bias[s->n_bias++] = (struct mk_bias){id, -INFINITY};
    s->bias = j->bias;
}

void mk_job_govern(struct mk_job *j)
{
    struct mk_generation *g = &j->g;
    if (g->finish != MK_FINISH_NONE || !g->ids.n) return;
    const bool is_over = j->think_toks && g->ids.n >= j->think_toks;
    const bool has_loop = loops(j);
    if (j->is_thinking && !j->was_cut) {
        if (!is_over && !has_loop && !atomic_load(&j->answers_now)) return;
        struct mk_ids close = {0};
        mk_tokenize(j->tokenizer, j->template->think_close, strlen(j->template->think_close),
                    MK_TOK_SPECIAL, &close);
        for (size_t i = 0; i < close.n; i++) (void)mk_generation_say(g, close.v[i]);
        mk_ids_release(&close);
        forbid(j, j->template->think_open);
        forbid(j, j->template->think_close);
        j->was_cut = true;
    } else if (has_loop) {
        mk_generation_end(g, MK_FINISH_LOOP);
    }
}

/* For the conversation's next turn, which may come as soon as its client knows of the end. */
static void remember(const struct mk_job *j)
{
    size_t n = 0;
    if (!j->replay) return;
    const struct mk_tool_call *calls = mk_splitter_calls(j->splitter, &n);
    mk_replay_keep(j->replay, j->owner, j->tokenizer, &j->prompt, &j->g.ids);
    for (size_t i = 0; i < n; i++) {
        char id[MK_CALL_ID];
        mk_call_id(id, j->request, i);
        mk_replay_keep_call(j->replay, j->owner, id, calls[i].arguments);
    }
}

void mk_job_feed(struct mk_job *j, const struct mk_err *err)
{
    struct mk_generation *g = &j->g;
    const size_t n = g->text.len - j->n_fed;
    const bool has_ended = g->finish != MK_FINISH_NONE;
    pthread_mutex_lock(&j->lock);
    if (n && j->splitter) mk_splitter_add(j->splitter, g->text.data + j->n_fed, n);
    if (n && !j->splitter) add_text(j, MK_PIECE_ANSWER, g->text.data + j->n_fed, n);
    j->n_fed += n;
    if (has_ended && j->splitter) {
        mk_splitter_end(j->splitter);
        remember(j);
    }
    const bool tells_toks = g->sampling.wants_logprobs || j->wants_experts;
    if (tells_toks && j->n_toks_fed < g->ids.n) add_toks(j);
    struct mk_job_status *s = &j->status;
    s->n_read = mk_generation_read(g);
    s->n_made = g->ids.n;
    if (j->is_thinking) s->n_thought = g->ids.n;
    s->n_guessed = g->n_guessed;
    s->n_right = g->n_right;
    s->prompt_s = g->prompt_s;
    s->answer_s = g->answer_s;
    s->stop = g->stop;
    s->finish = g->finish;
    if (err) s->err = *err;
    s->state = has_ended ? MK_JOB_ENDED : g->ids.n ? MK_JOB_ANSWERING : MK_JOB_READING;
    j->has_progress |= j->tells_progress && s->state == MK_JOB_READING;
    if (has_ended || j->news.n || j->has_progress) wake(j);
    pthread_mutex_unlock(&j->lock);
}

bool mk_job_next(struct mk_job *j)
{
    struct mk_generation *g = &j->g;
    if (!j->vectors || g->finish != MK_FINISH_STOP) return false;
    (void)!mk_session_mean_hidden(g->session, j->vectors + j->n_vectors * j->d_model);
    if (j->n_vectors++ == j->n_rest) return false;
    struct mk_session *s = g->session;
    const struct mk_ids *p = &j->rest[j->n_vectors - 1];
    struct mk_err err;
    mk_session_truncate(s, 0);
    mk_generation_release(g);
    *g = (struct mk_generation){.session = s, .sampling = j->sampling, .only_reads = true};
    if (!mk_generation_start(g, p->v, p->n, &err)) {
        g->finish = MK_FINISH_CANCEL;
        mk_job_feed(j, &err);
    }
    return true;
}
