#include "engine/generate.h"

#include "base/clock.h"
#include "engine/int_engine.h"
#include "engine/int_speculate.h"

#include <stdlib.h>
#include <string.h>

const char *mk_finish_name(enum mk_finish f)
{
    static const char *const names[] = {"none", "stop", "length", "cancel", "repetition"};
    return names[f];
}

bool mk_sampling_defaults(const struct mk_engine *e, struct mk_sampling *out, struct mk_err *err)
{
    const struct mk_config *c = &e->model.config;
    double temperature, top_p, repetition;
    int64_t top_k;
    bool do_sample;
    if (!mk_config_float(c, "generation_config.temperature", ".general.sampling.temp", 0, 100, 0.6,
                         &temperature, err) ||
        !mk_config_float(c, "generation_config.top_p", ".general.sampling.top_p", 0, 1, 0.95,
                         &top_p, err) ||
        !mk_config_int(c, "generation_config.top_k", ".general.sampling.top_k", 0, 1 << 24, 0,
                       &top_k, err) ||
        !mk_config_float(c, "generation_config.repetition_penalty",
                         ".general.sampling.penalty_repeat", 0.01, 100, 1, &repetition, err) ||
        !mk_config_bool(c, "generation_config.do_sample", NULL, true, &do_sample, err))
        return false;
    *out = (struct mk_sampling){.temperature = do_sample ? (float)temperature : 0.0f,
                                .top_p = (float)top_p,
                                .top_k = (int32_t)top_k,
                                .repetition_penalty = (float)repetition};
    return true;
}

/* Follows the grammar; a grammar for the empty text alone is at its end already. */
static bool constrain(struct mk_generation *g, struct mk_err *err)
{
    struct mk_engine *e = g->session->engine;
    struct mk_ids ends = {0};
    if (!g->grammar) return true;
    if (!e->lexicon) e->lexicon = mk_lexicon_new(e->tokenizer, e->model.n_vocab);
    if (!g->ignores_eos) mk_ids_append(&ends, e->model.eos, e->model.n_eos);
    mk_ids_append(&ends, g->stop_ids, g->n_stop_ids);
    const bool ok = mk_constraint_new(&g->constraint, g->grammar, e->lexicon, ends.v, ends.n, err);
    mk_ids_release(&ends);
    if (ok && mk_constraint_must_end(g->constraint)) g->finish = MK_FINISH_STOP;
    return ok;
}

bool mk_generation_start(struct mk_generation *g, const int32_t *prompt, size_t n,
                         struct mk_err *err)
{
    const struct mk_engine *e = g->session->engine;
    if (!e->tokenizer) {
        if (err) *err = e->no_tokenizer;
        return false;
    }
    if (n == 0) return mk_fail(err, MK_EUSAGE, "the prompt is empty");
    if (!mk_sampling_check(&g->sampling, e->model.n_vocab, err)) return false;
    if (!constrain(g, err) || !mk_session_set(g->session, prompt, n, &g->n_kept, err)) return false;
    mk_session_note_experts(g->session, g->wants_experts);
    mk_session_note_hidden(g->session, g->only_reads);
    g->n_choice = e->model.n_routed * e->model.n_active;
    g->n_prompt = n;
    g->stop = SIZE_MAX;
    mk_sampler_init(&g->sampler, &e->work.k, &g->sampling, e->has_text, e->model.n_vocab);
    for (size_t i = 0; i < n; i++) mk_sampler_note(&g->sampler, prompt[i], false);
    g->session->notes_states = false;
    if (e->speculator && !g->only_reads) g->guesser = mk_guesser_new(e->speculator, g->session);
    return true;
}

size_t mk_generation_read(const struct mk_generation *g)
{
    return g->session->kv.n < g->n_prompt ? g->session->kv.n : g->n_prompt;
}

void mk_generation_release(struct mk_generation *g)
{
    mk_str_release(&g->text);
    mk_str_release(&g->held);
    mk_ids_release(&g->ids);
    mk_sampler_release(&g->sampler);
    mk_constraint_free(g->constraint);
    mk_guesser_free(g->guesser);
    free(g->sampled);
    free(g->experts);
    *g = (struct mk_generation){0};
}

/* ---- text and stop strings --------------------------------------------------------- */

/* The earliest stop string in s, or SIZE_MAX. */
static size_t find_stop(struct mk_generation *g, const struct mk_str *s)
{
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < g->n_stops; i++) {
        const size_t n = strlen(g->stops[i]);
        const char *at = n && s->len ? memmem(s->data, s->len, g->stops[i], n) : NULL;
        if (!at || (size_t)(at - s->data) >= best) continue;
        best = (size_t)(at - s->data);
        g->stop = i;
    }
    return best;
}

/* How many bytes at the end of s could begin a stop string. */
static size_t may_stop(const struct mk_generation *g, const struct mk_str *s)
{
    size_t most = 0;
    for (size_t i = 0; i < g->n_stops; i++) {
        const size_t len = strlen(g->stops[i]);
        for (size_t n = len ? len - 1 : 0; n > most; n--)
            if (n <= s->len && !memcmp(s->data + s->len - n, g->stops[i], n)) most = n;
    }
    return most;
}

/* Releases held text that can no longer be part of a stop; true when a stop was found. */
static bool release_held(struct mk_generation *g, bool is_end)
{
    const size_t stop = find_stop(g, &g->held);
    const bool found = stop != SIZE_MAX;
    const size_t n = found ? stop : is_end ? g->held.len : g->held.len - may_stop(g, &g->held);
    if (n) mk_str_append(&g->text, g->held.data, n);
    if (found) {
        mk_str_clear(&g->held);
    } else if (n) {
        memmove(g->held.data, g->held.data + n, g->held.len - n + 1);
        g->held.len -= n;
    }
    return found;
}

static void finish(struct mk_generation *g, enum mk_finish why)
{
    if (g->finish != MK_FINISH_NONE) return;
    mk_session_unguess(g->session);
    mk_token_stream_end(&g->stream, &g->held);
    g->finish = release_held(g, true) ? MK_FINISH_STOP : why;
}

/* ---- one token ---------------------------------------------------------------------- */

static bool ends_turn(const struct mk_generation *g, int32_t id)
{
    const struct mk_model *m = &g->session->engine->model;
    for (size_t i = 0; !g->ignores_eos && i < m->n_eos; i++)
        if (m->eos[i] == id) return true;
    for (size_t i = 0; i < g->n_stop_ids; i++)
        if (g->stop_ids[i] == id) return true;
    return false;
}

/* Of the next token; from NULL: it was said. */
static void keep_experts(struct mk_generation *g, const uint16_t *from)
{
    uint16_t *to = g->experts + g->ids.n * g->n_choice;
    for (size_t i = 0; i < g->n_choice; i++) to[i] = from ? from[i] : MK_NO_EXPERT;
}

static void keep(struct mk_generation *g, const struct mk_sampled *t, const uint16_t *experts)
{
    if (g->ids.n == g->n_sampled_cap) {
        g->n_sampled_cap = g->n_sampled_cap ? 2 * g->n_sampled_cap : 64;
        g->sampled = mk_realloc(g->sampled, g->n_sampled_cap * sizeof *g->sampled);
        if (g->wants_experts)
            g->experts =
                mk_realloc(g->experts, g->n_sampled_cap * g->n_choice * sizeof *g->experts);
    }
    g->sampled[g->ids.n] = *t;
    if (g->wants_experts) keep_experts(g, experts);
    mk_ids_add(&g->ids, t->id);
    mk_sampler_note(&g->sampler, t->id, true);
    mk_token_stream_add(&g->stream, g->session->engine->tokenizer, t->id, true, &g->held);
}

/* A token that was chosen and does not end the turn.  experts: that computed it, or NULL. */
static void accept(struct mk_generation *g, const struct mk_sampled *t, const uint16_t *experts)
{
    struct mk_err full;
    keep(g, t, experts);
    if (release_held(g, false)) {
        mk_session_unguess(g->session);
        g->finish = MK_FINISH_STOP;
    } else if (g->constraint && mk_constraint_must_end(g->constraint)) {
        finish(g, MK_FINISH_STOP);
    } else if ((g->max_toks && g->ids.n >= g->max_toks) ||
               !mk_session_append(g->session, &t->id, 1, &full)) {
        finish(g, g->constraint && mk_constraint_may_end(g->constraint) ? MK_FINISH_STOP
                                                                        : MK_FINISH_LENGTH);
    }
}

/* Tokens that may still come, the next one included. */
static size_t room(const struct mk_generation *g)
{
    const size_t in_context = g->session->kv.n_ctx - g->session->ids.n + 1;
    const size_t wanted = g->max_toks ? g->max_toks - g->ids.n : SIZE_MAX;
    return wanted < in_context ? wanted : in_context;
}

/* Under a grammar one after which the answer can still become whole. */
static struct mk_sampled next_token(struct mk_generation *g)
{
    const float *logits = mk_session_logits(g->session);
    if (!g->constraint) return mk_sample(&g->sampler, logits);
    g->sampler.allowed = mk_constraint_allowed(g->constraint, room(g));
    for (;;) {
        const struct mk_sampled t = mk_sample(&g->sampler, logits);
        if (ends_turn(g, t.id) || mk_constraint_fits(g->constraint, t.id, room(g))) return t;
    }
}

static void take_token(struct mk_generation *g)
{
    const struct mk_sampled t = g->is_drawn ? g->drawn : next_token(g);
    g->is_drawn = false;
    if (g->guesser) mk_guesser_see(g->guesser, t.id, &g->n_right);
    if (ends_turn(g, t.id)) {
        finish(g, MK_FINISH_STOP);
        return;
    }
    if (g->constraint) mk_constraint_accept(g->constraint, t.id);
    accept(g, &t, mk_session_experts(g->session));
}

bool mk_generation_say(struct mk_generation *g, int32_t id)
{
    const struct mk_sampled t = {.id = id};
    if (g->finish != MK_FINISH_NONE || (g->constraint && !mk_constraint_accept(g->constraint, id)))
        return false;
    if (g->guesser) mk_guesser_forget(g->guesser);
    accept(g, &t, NULL);
    return true;
}

void mk_generation_end(struct mk_generation *g, enum mk_finish why)
{
    struct mk_session *s = g->session;
    /* A last token that was guessed is pending again, as it would be without guesses. */
    if (g->finish == MK_FINISH_NONE && s->row) s->kv.n--, s->row = s->n_rows = 0;
    finish(g, why);
}

bool mk_generation_loops(const struct mk_generation *g)
{
    enum { MAX_PERIOD = 64, MIN_TIMES = 16, MIN_TOKS = 256 };
    const int32_t *ids = g->ids.v;
    for (size_t period = 1; period <= MAX_PERIOD; period++) {
        const size_t times = period * MIN_TIMES, want = times > MIN_TOKS ? times : MIN_TOKS;
        size_t n = 0; /* tokens at the end that equal those a period before */
        while (n + period < g->ids.n && n < want &&
               ids[g->ids.n - 1 - n] == ids[g->ids.n - 1 - n - period])
            n++;
        if (n == want) return true;
    }
    return false;
}

static void advance(struct mk_generation *g)
{
    if (!mk_session_logits(g->session)) return;
    if (g->only_reads)
        finish(g, MK_FINISH_STOP);
    else
        take_token(g);
}

static bool is_ready(const struct mk_generation *g)
{
    return g->finish == MK_FINISH_NONE && mk_session_logits(g->session);
}

static void draw_some(void *arg, size_t first, size_t last, unsigned thread)
{
    struct mk_generation *const *g = arg;
    (void)thread;
    for (size_t i = first; i < last; i++) {
        if (!is_ready(g[i]) || g[i]->only_reads || g[i]->constraint) continue;
        g[i]->drawn = mk_sample(&g[i]->sampler, mk_session_logits(g[i]->session));
        g[i]->is_drawn = true;
    }
}

/* The next tokens of all that have logits.  No two draws have anything in common, so the threads
 * share them; but those under a grammar, which may be drawn more than once, share its lexicon. */
static void draw(struct mk_engine *e, struct mk_generation **g, size_t n)
{
    mk_pool_run(e->work.pool, n, 1, draw_some, g);
}

/* Those that have logits from a step before: where the session was evaluated already, or guesses
 * were right.  Without any (*are_ready false) all that are not finished. */
static size_t collect(struct mk_generation *const *g, size_t n, struct mk_generation **out,
                      bool *are_ready)
{
    size_t n_out = 0;
    for (size_t i = 0; i < n; i++)
        if (is_ready(g[i])) out[n_out++] = g[i];
    *are_ready = n_out > 0;
    for (size_t i = 0; i < n && !*are_ready; i++)
        if (g[i]->finish == MK_FINISH_NONE) out[n_out++] = g[i];
    return n_out;
}

static bool evaluate(struct mk_engine *e, struct mk_generation *const *g, size_t n, size_t n_most,
                     struct mk_err *err)
{
    struct mk_session **s = mk_arena_take(&e->work.arena, n * sizeof *s);
    if (e->speculator) mk_speculator_guess(e->speculator, g, n);
    for (size_t i = 0; i < n; i++) s[i] = g[i]->session;
    const double start = mk_now_s();
    if (!mk_engine_step(e, s, n, n_most, err)) return false;
    if (e->speculator) mk_speculator_time(e->speculator, mk_now_s() - start);
    return true;
}

bool mk_generations_step(struct mk_engine *e, struct mk_generation *const *g, size_t n,
                         size_t n_most, struct mk_err *err)
{
    const struct mk_arena_mark mark = mk_arena_mark(&e->work.arena);
    struct mk_generation **live = mk_arena_take(&e->work.arena, n * sizeof *live);
    const double start = mk_now_s();
    bool are_ready;
    const size_t n_live = collect(g, n, live, &are_ready);
    const bool ok = are_ready || n_live == 0 || evaluate(e, live, n_live, n_most, err);
    if (ok) draw(e, live, n_live);
    const double passed = mk_now_s() - start;
    for (size_t i = 0; i < n_live; i++) {
        *(live[i]->ids.n ? &live[i]->answer_s : &live[i]->prompt_s) += passed;
        if (ok)
            advance(live[i]);
        else
            finish(live[i], MK_FINISH_CANCEL);
    }
    mk_arena_reset(&e->work.arena, mark);
    return ok;
}
