#include "server/service.h"

#include "base/clock.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

enum {
    MIN_PIECE = 32, /* tokens of prompts in a step, whatever they cost */
    QUEUE_LIMIT_S = 600
};
static const double PIECE_S = 0.1; /* what reading may add to a step with answers */

struct place {
    struct mk_session *session; /* NULL: none yet */
    struct mk_job *job;         /* NULL: free */
    uint64_t owner;             /* who filled the session */
    uint64_t used;              /* when, in steps */
    bool is_stepped;            /* its job takes part in this step */
};

struct mk_service {
    struct mk_engine *engine;
    struct mk_service_options o;
    pthread_t thread;

    /* Of the engine's thread. */
    struct mk_prefixes *prefixes;
    struct place *places;
    struct mk_generation **live; /* [n_places] */
    double toks_per_s;           /* of reading, the last that was measured; 0: none yet */
    uint64_t n_steps, n_passes;

    /* Shared, under lock. */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct mk_job *first, **last; /* waiting */
    struct mk_service_stats stats;
    struct mk_place_info *infos; /* [n_places] */
    bool is_stopping;
    double stop_s; /* when jobs that still run are canceled */
};

/* ---- giving out places ------------------------------------------------------------- */

static size_t running_of(const struct mk_service *s, uint64_t owner)
{
    size_t n = 0;
    for (size_t i = 0; i < s->o.n_places; i++) n += s->places[i].job && s->places[i].owner == owner;
    return n;
}

/* The oldest job of the owner who has the fewest running; NULL: none waits.  Under lock. */
static struct mk_job *next_job(struct mk_service *s)
{
    struct mk_job **best = NULL;
    size_t fewest = SIZE_MAX;
    for (struct mk_job **j = &s->first; *j; j = &(*j)->next) {
        const size_t n = running_of(s, (*j)->owner);
        if (n < fewest) fewest = n, best = j;
    }
    if (!best) return NULL;
    struct mk_job *j = *best;
    *best = j->next;
    if (!j->next) s->last = best;
    s->stats.n_waiting--;
    return j;
}

static size_t common_prefix(const struct place *p, const struct mk_job *j)
{
    if (!p->session || p->owner != j->owner || j->reads_anew) return 0;
    size_t n, same = 0;
    const int32_t *ids = mk_session_ids(p->session, &n);
    n -= mk_session_pending(p->session);
    while (same < n && same < j->prompt.n && ids[same] == j->prompt.v[same]) same++;
    return same;
}

/* The free place that begins most like the prompt; of equals the one unused for longest.  NULL:
 * all are taken. */
static struct place *best_place(struct mk_service *s, const struct mk_job *j)
{
    struct place *best = NULL;
    size_t most = 0;
    for (size_t i = 0; i < s->o.n_places; i++) {
        struct place *p = &s->places[i];
        if (p->job) continue;
        const size_t n = common_prefix(p, j);
        if (!best || n > most || (n == most && p->used < best->used)) best = p, most = n;
    }
    return best;
}

enum { WORTH_COPYING = 32 }; /* tokens */

/* What a running job's session has in common with the prompt, and p's has not, is copied. */
static void copy_prefix(struct mk_service *s, struct place *p, const struct mk_job *j)
{
    const struct place *best = NULL;
    struct mk_session *copy;
    size_t most = common_prefix(p, j) + WORTH_COPYING;
    for (size_t i = 0; i < s->o.n_places; i++) {
        const size_t n = s->places[i].job ? common_prefix(&s->places[i], j) : 0;
        if (n >= most) best = &s->places[i], most = n;
    }
    if (!best || !mk_session_fork(&copy, best->session, most, NULL)) return;
    mk_session_free(p->session);
    p->session = copy;
}

static void load_prefix(struct mk_service *s, struct place *p, const struct mk_job *j)
{
    if (j->reads_anew) return;
    const size_t n = mk_prefixes_find(s->prefixes, j->owner, j->prompt.v, j->prompt.n);
    if (n >= common_prefix(p, j) + WORTH_COPYING)
        mk_prefixes_load(s->prefixes, j->owner, p->session, j->prompt.v, n);
}

static void give_place(struct mk_service *s, struct place *p, struct mk_job *j)
{
    struct mk_err err;
    if (p->session && (p->owner != j->owner || j->reads_anew)) mk_session_truncate(p->session, 0);
    p->owner = j->owner;
    copy_prefix(s, p, j);
    if (!p->session && !mk_session_new(&p->session, s->engine, s->o.n_ctx, &err)) {
        mk_job_fail(j, &err);
        mk_job_release(j);
        return;
    }
    load_prefix(s, p, j);
    if (mk_job_begin(j, p->session))
        p->job = j;
    else
        mk_job_release(j);
}

static bool has_free_place(const struct mk_service *s)
{
    for (size_t i = 0; i < s->o.n_places; i++)
        if (!s->places[i].job) return true;
    return false;
}

static bool fail_stopping(struct mk_err *err)
{
    return mk_fail(err, MK_ECANCELED, "the server is stopping");
}

/* Ends those that are canceled while they wait, or have waited too long.  Under lock. */
static void drop_waiting(struct mk_service *s)
{
    struct mk_err late, stopping;
    mk_fail(&late, MK_EBUSY, "no place became free in %d seconds", QUEUE_LIMIT_S);
    fail_stopping(&stopping);
    const double now = mk_now_s();
    s->last = &s->first;
    while (*s->last) {
        struct mk_job *j = *s->last;
        const bool is_late = now - j->submit_s > QUEUE_LIMIT_S;
        if (!is_late && !s->is_stopping && !atomic_load(&j->is_canceled)) {
            s->last = &j->next;
            continue;
        }
        *s->last = j->next;
        s->stats.n_waiting--;
        mk_job_fail(j, s->is_stopping ? &stopping : is_late ? &late : NULL);
        mk_job_release(j);
    }
}

/* Under lock, which it gives up while it works. */
static void fill_places(struct mk_service *s)
{
    drop_waiting(s);
    while (s->first && has_free_place(s)) {
        struct mk_job *j = next_job(s);
        pthread_mutex_unlock(&s->lock);
        give_place(s, best_place(s, j), j);
        pthread_mutex_lock(&s->lock);
    }
}

/* ---- steps ------------------------------------------------------------------------- */

static bool is_ready(const struct place *p)
{
    return p->job && mk_session_pending(p->job->g.session) == 0;
}

/* Where guesses were right: the jobs that need no forward pass for their next token, and no others.
 * Else all.  Whether it is the former. */
static bool choose_jobs(struct mk_service *s)
{
    bool has_ready = false;
    for (size_t i = 0; i < s->o.n_places; i++) has_ready |= is_ready(&s->places[i]);
    for (size_t i = 0; i < s->o.n_places; i++) {
        struct place *p = &s->places[i];
        p->is_stepped = p->job && (!has_ready || is_ready(p));
    }
    return has_ready;
}

/* Those that answer first, then those that are being read; *n_answers of the former. */
static size_t collect(struct mk_service *s, size_t *n_answers)
{
    size_t n = 0;
    for (int reading = 0; reading < 2; reading++) {
        for (size_t i = 0; i < s->o.n_places; i++) {
            struct place *p = &s->places[i];
            if (!p->is_stepped) continue;
            if ((mk_session_pending(p->job->g.session) > 1) == (reading == 1))
                s->live[n++] = &p->job->g;
        }
        if (!reading) *n_answers = n;
    }
    return n;
}

static size_t pending_toks(const struct mk_service *s, size_t n)
{
    size_t n_toks = 0;
    for (size_t i = 0; i < n; i++) n_toks += mk_session_pending(s->live[i]->session);
    return n_toks;
}

/* Most tokens of a step with so many answers; 0: no limit but the engine's. */
static size_t most_toks(const struct mk_service *s, size_t n_answers)
{
    if (n_answers == 0) return 0;
    const double n = s->toks_per_s * PIECE_S;
    const size_t piece = n > MIN_PIECE ? (size_t)n / MIN_PIECE * MIN_PIECE : MIN_PIECE;
    return n_answers + piece;
}

static void end_job(struct mk_service *s, struct place *p)
{
    struct mk_job *j = p->job;
    if (!j->vectors) mk_prefixes_keep(s->prefixes, p->owner, p->session);
    p->job = NULL;
    p->used = s->n_steps;
    pthread_mutex_lock(&s->lock);
    struct mk_service_stats *t = &s->stats;
    t->n_jobs++;
    t->n_finished[j->g.finish]++;
    t->n_prompt_toks += j->g.n_prompt - j->g.n_kept;
    t->n_cached_toks += j->g.n_kept;
    t->n_answer_toks += j->g.ids.n;
    t->n_guessed += j->g.n_guessed;
    t->n_right += j->g.n_right;
    t->prompt_s += j->g.prompt_s;
    t->answer_s += j->g.answer_s;
    pthread_mutex_unlock(&s->lock);
    mk_job_release(j);
}

static void end_canceled(struct mk_service *s, bool all)
{
    struct mk_err stopping;
    fail_stopping(&stopping);
    for (size_t i = 0; i < s->o.n_places; i++) {
        struct mk_job *j = s->places[i].job;
        if (!j || !(all || atomic_load(&j->is_canceled))) continue;
        j->g.finish = MK_FINISH_CANCEL;
        mk_job_feed(j, all ? &stopping : NULL);
        end_job(s, &s->places[i]);
    }
}

static void step(struct mk_service *s)
{
    size_t n_answers;
    struct mk_err err;
    const bool is_pass = !choose_jobs(s);
    const size_t n = collect(s, &n_answers);
    if (n == 0) return;
    const size_t before = pending_toks(s, n);
    const double start = mk_now_s();
    const bool ok = mk_generations_step(s->engine, s->live, n, most_toks(s, n_answers), &err);
    const size_t left = pending_toks(s, n);
    if (n_answers == 0 && before > left + MIN_PIECE)
        s->toks_per_s = (double)(before - left) / (mk_now_s() - start);
    for (size_t i = 0; i < s->o.n_places; i++) {
        struct mk_job *j = s->places[i].job;
        if (!s->places[i].is_stepped || mk_job_next(j)) continue;
        mk_job_feed(j, ok ? NULL : &err);
        mk_job_govern(j);
        if (j->g.finish == MK_FINISH_LOOP) mk_job_feed(j, NULL);
        if (j->g.finish != MK_FINISH_NONE) end_job(s, &s->places[i]);
    }
    s->n_steps++;
    s->n_passes += is_pass;
}

/* What others may see of the places.  Under lock. */
static void tell(struct mk_service *s)
{
    s->stats.n_running = 0;
    for (size_t i = 0; i < s->o.n_places; i++) {
        const struct place *p = &s->places[i];
        struct mk_place_info *t = &s->infos[i];
        *t = (struct mk_place_info){.is_running = p->job != NULL};
        s->stats.n_running += t->is_running;
        if (p->session) mk_session_ids(p->session, &t->n_toks);
        if (!p->job) continue;
        t->n_prompt = p->job->g.n_prompt;
        t->n_read = mk_generation_read(&p->job->g);
        t->n_made = p->job->g.ids.n;
    }
    s->stats.n_passes = s->n_passes;
    s->stats.prefixes = mk_prefixes_stats(s->prefixes);
    s->stats.is_streaming = mk_engine_streaming(s->engine, &s->stats.streaming);
}

static void *run(void *arg)
{
    struct mk_service *s = arg;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        fill_places(s);
        tell(s);
        const bool is_idle = s->stats.n_running == 0;
        if (is_idle && s->is_stopping) break;
        const bool is_over = s->is_stopping && mk_now_s() >= s->stop_s;
        pthread_mutex_unlock(&s->lock);
        end_canceled(s, is_over);
        step(s);
        const bool has_written = mk_prefixes_write(s->prefixes);
        pthread_mutex_lock(&s->lock);
        if (is_idle && !has_written && !s->first && !s->is_stopping)
            pthread_cond_wait(&s->changed, &s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- outside ----------------------------------------------------------------------- */

void mk_service_free(struct mk_service *s)
{
    for (size_t i = 0; i < s->o.n_places; i++) mk_session_free(s->places[i].session);
    mk_prefixes_close(s->prefixes);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->changed);
    free(s->places);
    free(s->live);
    free(s->infos);
    free(s);
}

bool mk_service_start(struct mk_service **out, struct mk_engine *e,
                      const struct mk_service_options *o, struct mk_err *err)
{
    struct mk_service *s = mk_alloc(sizeof *s);
    s->engine = e;
    s->o = *o;
    s->places = mk_calloc(o->n_places, sizeof *s->places);
    s->live = mk_calloc(o->n_places, sizeof *s->live);
    s->infos = mk_calloc(o->n_places, sizeof *s->infos);
    s->last = &s->first;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    /* The first place's session tells at once whether there is memory for a context. */
    if (!mk_session_new(&s->places[0].session, e, o->n_ctx, err) ||
        !mk_prefixes_open(&s->prefixes, e, &o->prefixes, err)) {
        mk_service_free(s);
        return false;
    }
    s->o.n_ctx = mk_session_n_ctx(s->places[0].session);
    tell(s);
    if (pthread_create(&s->thread, NULL, run, s) != 0) abort();
    *out = s;
    return true;
}

size_t mk_service_n_ctx(const struct mk_service *s) { return s->o.n_ctx; }

bool mk_service_submit(struct mk_service *s, struct mk_job *j, struct mk_err *err)
{
    if (j->prompt.n >= s->o.n_ctx)
        return mk_fail(err, MK_ELIMIT,
                       "the prompt has %zu tokens, the context holds %zu with an answer",
                       j->prompt.n, s->o.n_ctx);
    pthread_mutex_lock(&s->lock);
    bool ok = true;
    if (s->is_stopping)
        ok = fail_stopping(err);
    else if (s->stats.n_waiting >= s->o.n_queue)
        ok = mk_fail(err, MK_EBUSY, "%zu requests are waiting already", s->stats.n_waiting);
    if (ok) {
        j->submit_s = mk_now_s();
        j->next = NULL;
        *s->last = j;
        s->last = &j->next;
        s->stats.n_waiting++;
        pthread_cond_signal(&s->changed);
    }
    pthread_mutex_unlock(&s->lock);
    return ok;
}

struct mk_service_stats mk_service_stats(struct mk_service *s)
{
    pthread_mutex_lock(&s->lock);
    const struct mk_service_stats t = s->stats;
    pthread_mutex_unlock(&s->lock);
    return t;
}

bool mk_service_place(struct mk_service *s, size_t i, struct mk_place_info *out)
{
    if (i >= s->o.n_places) return false;
    pthread_mutex_lock(&s->lock);
    *out = s->infos[i];
    pthread_mutex_unlock(&s->lock);
    return true;
}

/* Waiting jobs end; running ones have until stop_s. */
void mk_service_stop(struct mk_service *s, double drain_s)
{
    pthread_mutex_lock(&s->lock);
    s->is_stopping = true;
    s->stop_s = mk_now_s() + drain_s;
    pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
}
