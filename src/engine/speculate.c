#include "engine/speculate.h"

#include "base/clock.h"
#include "engine/int_speculate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEFAULT_MAX = 8,
    CATCH_UP = 16,     /* after so many its time is no measure: it reads what it has missed */
    STALE_STEPS = 512, /* after so many a time is not believed any more */
    IDLE_TOKS = 64,    /* after so many without its guesses a drafter need not follow */
    RETRY_TOKS = 256   /* after so many without its guesses a drafter is tried again */
};
static const double NEW_TIME = 0.25, NEW_GUESS = 0.125; /* weights of what is new */
static const double UNKNOWN_ROW = 0.15; /* what a row is thought to cost while nobody knows */
static const double WORTH = 1.03;       /* what guesses must promise: times are not exact */
static const float LEAST_RIGHT = 0.02f;
static const double LEAST_CHANCE = 0.02; /* of a guess that another is made behind */

struct mk_guesser {
    struct mk_speculator *s;
    struct mk_session *session;
    void *drafter;
    struct mk_odds odds[MK_GUESS_KINDS];
    size_t n_idle; /* tokens since it guessed for a step */
    /* The guesses that are being seen, the first n_given of them evaluated. */
    int32_t ids[MK_GUESS_MAX];
    size_t n, n_given, at;
    int kind;
};

/* ---- opening ----------------------------------------------------------------------- */

static bool same_vocabulary(const struct mk_engine *e, const struct mk_engine *draft,
                            struct mk_err *err)
{
    const char *name = draft->model.tensors.path;
    if (!draft->tokenizer) return mk_fail(err, MK_EUSAGE, "draft model %s has no tokenizer", name);
    const int32_t n = mk_token_count(e->tokenizer), m = mk_token_count(draft->tokenizer);
    if (n != m)
        return mk_fail(err, MK_EUSAGE, "draft model %s has %d tokens, the model has %d", name,
                       (int)m, (int)n);
    for (int32_t id = 0; id < n; id++) {
        size_t a, b;
        const char *x = mk_token_bytes(e->tokenizer, id, &a);
        const char *y = mk_token_bytes(draft->tokenizer, id, &b);
        if (a != b || (a && memcmp(x, y, a) != 0))
            return mk_fail(err, MK_EUSAGE,
                           "draft model %s: token %d is \"%.*s\", the model's is \"%.*s\"", name,
                           (int)id, (int)(b < 40 ? b : 40), y ? y : "", (int)(a < 40 ? a : 40),
                           x ? x : "");
    }
    return true;
}

static bool open_draft(struct mk_speculator *s, const struct mk_engine_options *o,
                       struct mk_err *err)
{
    struct mk_engine_options d = *o;
    d.speculation = (struct mk_speculation){.mode = MK_SPECULATE_OFF};
    d.ram_bytes = 0; /* small: mapped */
    return mk_engine_open(&s->draft, o->speculation.draft, &d, err) &&
           same_vocabulary(s->engine, s->draft, err);
}

static bool check_mode(const struct mk_engine *e, const struct mk_speculation *o,
                       struct mk_err *err)
{
    if (o->max > MK_GUESS_MAX)
        return mk_fail(err, MK_EUSAGE, "%zu guesses at a time, want 1 to %d", o->max, MK_GUESS_MAX);
    if (o->mode == MK_SPECULATE_DRAFT && !o->draft)
        return mk_fail(err, MK_EUSAGE, "a draft model must be given to speculate with one");
    if (o->draft && o->mode != MK_SPECULATE_DRAFT && o->mode != MK_SPECULATE_AUTO)
        return mk_fail(err, MK_EUSAGE, "draft model %s is given, but is not to be used", o->draft);
    if (o->mode == MK_SPECULATE_MTP && !mk_model_has_mtp(&e->model))
        return mk_fail(err, MK_EUSAGE, "%s has no layer for multi-token prediction",
                       e->model.tensors.path);
    return true;
}

/* At least those of a drafter that nobody has tried. */
static void hope(struct mk_odds *o, const struct mk_drafter *d)
{
    for (size_t k = 0; k < MK_GUESS_KINDS; k++)
        for (size_t i = 0; i < MK_GUESS_MAX; i++) {
            const float prior = i ? d->then : d->first[k];
            if (o[k].right[i] < prior) o[k].right[i] = prior;
        }
}

bool mk_speculator_new(struct mk_speculator **out, struct mk_engine *e,
                       const struct mk_engine_options *o, struct mk_err *err)
{
    const struct mk_speculation *w = &o->speculation;
    if (!check_mode(e, w, err)) return false;
    struct mk_speculator *s = mk_alloc(sizeof *s);
    s->engine = e;
    s->max = w->max ? w->max : DEFAULT_MAX;
    s->is_eager = w->is_eager;
    if (w->draft && !open_draft(s, o, err)) {
        mk_speculator_free(s);
        return false;
    }
    s->drafter = s->draft                      ? &mk_drafter_model
                 : w->mode == MK_SPECULATE_MTP ? &mk_drafter_mtp
                                               : &mk_drafter_ngram;
    hope(s->odds, s->drafter);
    *out = s;
    return true;
}

void mk_speculator_free(struct mk_speculator *s)
{
    if (!s) return;
    mk_engine_close(s->draft);
    free(s);
}

struct mk_guesser *mk_guesser_new(struct mk_speculator *s, struct mk_session *session)
{
    struct mk_guesser *g = mk_alloc(sizeof *g);
    g->s = s;
    g->session = session;
    g->n_idle = CATCH_UP;
    memcpy(g->odds, s->odds, sizeof g->odds);
    g->drafter = s->drafter->open(s, session);
    return g;
}

void mk_guesser_free(struct mk_guesser *g)
{
    if (!g) return;
    g->s->drafter->close(g->drafter);
    free(g);
}

/* ---- measuring --------------------------------------------------------------------- */

static void smooth(double *v, double x, double weight)
{
    if (*v > 0 && x > 3 * *v) x = 3 * *v; /* somebody else had the processor */
    *v = *v > 0 ? *v + weight * (x - *v) : x;
}

void mk_speculator_time(struct mk_speculator *s, double seconds)
{
    s->n_steps++;
    if (s->n_rows == 0 || s->n_rows > MK_TIMED_ROWS) return;
    smooth(&s->timed[s->n_rows].s, seconds, NEW_TIME);
    s->timed[s->n_rows].step = s->n_steps;
}

static bool is_known(const struct mk_speculator *s, size_t rows)
{
    return s->timed[rows].s > 0 && s->n_steps - s->timed[rows].step <= STALE_STEPS;
}

/* Seconds of a step with so many rows, between what is known; 0: nobody knows. */
static double step_time(const struct mk_speculator *s, size_t rows)
{
    size_t lo = rows, hi = rows;
    while (lo && !is_known(s, lo)) lo--;
    while (hi <= MK_TIMED_ROWS && !is_known(s, hi)) hi++;
    if (lo == 0) return 0;
    const double from = s->timed[lo].s;
    if (hi > MK_TIMED_ROWS) return from * (1 + UNKNOWN_ROW * (double)(rows - lo));
    if (hi == lo) return from;
    return from + (s->timed[hi].s - from) * (double)(rows - lo) / (double)(hi - lo);
}

static void note_guess(float *right, bool is_right)
{
    *right += (float)NEW_GUESS * ((is_right ? 1.0f : 0.0f) - *right);
    if (*right < LEAST_RIGHT) *right = LEAST_RIGHT;
}

void mk_guesser_see(struct mk_guesser *g, int32_t id, size_t *n_right)
{
    g->n_idle++;
    g->s->n_idle++;
    if (g->at == g->n) return;
    const bool is_right = g->ids[g->at] == id;
    note_guess(&g->odds[g->kind].right[g->at], is_right);
    note_guess(&g->s->odds[g->kind].right[g->at], is_right);
    *n_right += is_right && g->at < g->n_given;
    g->at++;
    if (!is_right) mk_guesser_forget(g);
}

void mk_guesser_forget(struct mk_guesser *g) { g->n = g->n_given = g->at = 0; }

/* ---- deciding ---------------------------------------------------------------------- */

/* How many guesses of this kind promise most tokens a second, in a step that has so many rows and
 * is expected to give so many tokens without them: 0..most. */
static size_t weigh(const struct mk_guesser *g, int kind, size_t rows, double toks, size_t most)
{
    const struct mk_speculator *s = g->s;
    if (most == 0 || s->is_eager) return most;
    const double time = step_time(s, rows);
    if (time <= 0) return 0;
    double best = WORTH * toks / time, chance = 1;
    size_t best_n = 0;
    for (size_t n = 1; n <= most && chance > LEAST_CHANCE; n++) {
        chance *= (double)g->odds[kind].right[n - 1];
        toks += chance;
        const double rate = toks / (step_time(s, rows + n) + s->guess_s * (double)n);
        if (rate > best) best = rate, best_n = n;
    }
    return best_n;
}

/* How many guesses the session may get at most. */
static size_t most_guesses(const struct mk_generation *g, size_t rows)
{
    const struct mk_speculator *s = g->guesser->s;
    const size_t n_batch = s->engine->n_batch;
    const size_t limit = n_batch < MK_TIMED_ROWS ? n_batch : MK_TIMED_ROWS;
    const size_t left = g->max_toks ? g->max_toks - g->ids.n - 1 : SIZE_MAX;
    size_t most = s->max < left ? s->max : left;
    if (rows + most > limit) most = limit > rows ? limit - rows : 0;
    return most;
}

/* A drafter that did not pay for a while gets another chance, as if nobody had tried it.  One that
 * is free needs none: it is watched all the time. */
static void hope_again(struct mk_guesser *g)
{
    struct mk_speculator *s = g->s;
    if (s->drafter->is_free || s->n_idle < RETRY_TOKS) return;
    hope(s->odds, s->drafter);
    hope(g->odds, s->drafter);
    s->guess_s = 0;
    s->n_idle = 0;
}

/* Guesses for one session: how many rows they add; *toks grows by the tokens expected of them.  A
 * drafter that is free guesses one token where none is worth a row: to see if it is right. */
static size_t guess(struct mk_generation *gen, size_t rows, double *toks)
{
    struct mk_guesser *g = gen->guesser;
    struct mk_speculator *s = g->s;
    mk_guesser_forget(g);
    hope_again(g);
    g->kind = s->drafter->look(g->drafter);
    if (g->kind < 0) return 0;
    const size_t n = weigh(g, g->kind, rows, *toks, most_guesses(gen, rows));
    if (n == 0 && !s->drafter->is_free) return 0;
    const double start = mk_now_s();
    g->n = s->drafter->guess(g->drafter, n ? n : 1, g->ids);
    if (n == 0) return 0;
    if (g->n && g->n_idle < CATCH_UP)
        smooth(&s->guess_s, (mk_now_s() - start) / (double)g->n, NEW_TIME);
    s->n_idle = g->n_idle = 0;
    g->n_given = mk_session_guess(g->session, g->ids, g->n);
    gen->n_guessed += g->n_given;
    double chance = 1;
    for (size_t i = 0; i < g->n_given; i++) *toks += chance *= (double)g->odds[g->kind].right[i];
    return g->n_given;
}

void mk_speculator_guess(struct mk_speculator *s, struct mk_generation *const *g, size_t n)
{
    size_t rows = 0;
    bool is_reading = false;
    for (size_t i = 0; i < n; i++) {
        if (g[i]->finish != MK_FINISH_NONE) continue;
        const struct mk_guesser *u = g[i]->guesser;
        rows++;
        is_reading |= !u || mk_session_pending(g[i]->session) != 1 || !g[i]->ids.n;
        if (u && s->drafter->follow)
            s->drafter->follow(u->drafter, s->is_eager || s->n_idle < IDLE_TOKS);
    }
    double toks = (double)rows;
    for (size_t i = 0; i < n && !is_reading; i++)
        if (g[i]->finish == MK_FINISH_NONE) rows += guess(g[i], rows, &toks);
    s->n_rows = is_reading ? 0 : rows;
}
