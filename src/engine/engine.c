#include "engine/int_engine.h"
#include "engine/int_speculate.h"
#include "model/stream.h"

#include <stdlib.h>
#include <string.h>

/* ---- opening -------------------------------------------------------------------- */

/* Embeddings often have more rows than the tokenizer has tokens: those are never sampled. */
static void note_texts(struct mk_engine *e)
{
    e->has_text = mk_calloc(e->model.n_vocab, sizeof *e->has_text);
    for (size_t i = 0; i < e->model.n_vocab; i++) {
        size_t n;
        e->has_text[i] = mk_token_bytes(e->tokenizer, (int32_t)i, &n) != NULL;
    }
}

static bool check_options(const struct mk_engine_options *o, unsigned *cpu, struct mk_err *err)
{
    *cpu = mk_cpu_detect();
    if (o->cpu && !mk_cpu_limit(cpu, o->cpu))
        return mk_fail(err, MK_EUSAGE, "no instruction-set level \"%s\" on this machine", o->cpu);
    if (o->kv_type != MK_F32 && o->kv_type != MK_F16 && o->kv_type != MK_BF16 &&
        o->kv_type != MK_Q8_0)
        return mk_fail(err, MK_EUSAGE,
                       "keys and values cannot be kept as %s; f32, f16, bf16 or q8_0 can",
                       mk_quants[o->kv_type].name);
    if (o->input_type != MK_F32 && o->input_type != MK_BF16)
        return mk_fail(err, MK_EUSAGE, "inputs of products cannot be %s; f32 or bf16 can",
                       mk_quants[o->input_type].name);
    return true;
}

bool mk_engine_open(struct mk_engine **out, const char *path, const struct mk_engine_options *o,
                    struct mk_err *err)
{
    unsigned cpu;
    if (!check_options(o, &cpu, err)) return false;
    struct mk_engine *e = mk_alloc(sizeof *e);
    const struct mk_ram ram = {o->ram_bytes, o->ram_is_auto, o->expert_bytes};
    if (!mk_model_open_within(&e->model, path, &ram, err)) {
        free(e);
        return false;
    }
    if (mk_tokenizer_open(&e->tokenizer, &e->model.tensors, &e->no_tokenizer)) note_texts(e);
    mk_work_init(&e->work, o->n_threads ? o->n_threads : mk_cpu_count(), cpu);
    e->work.rounds = o->input_type == MK_BF16;
    e->kv_type = o->kv_type;
    e->n_batch = mk_model_step_toks(&e->model, o->n_batch);
    const bool guesses = o->speculation.mode != MK_SPECULATE_OFF || o->speculation.draft;
    if (guesses && e->tokenizer && !mk_speculator_new(&e->speculator, e, o, err)) {
        mk_engine_close(e);
        return false;
    }
    *out = e;
    return true;
}

void mk_engine_close(struct mk_engine *e)
{
    if (!e) return;
    mk_speculator_free(e->speculator);
    mk_work_release(&e->work);
    mk_lexicon_free(e->lexicon);
    mk_tokenizer_free(e->tokenizer);
    mk_model_close(&e->model);
    free(e->has_text);
    free(e);
}

void mk_engine_cancel(struct mk_engine *e) { atomic_store(&e->is_canceled, true); }

const struct mk_tokenizer *mk_engine_tokenizer(const struct mk_engine *e, struct mk_err *why)
{
    if (!e->tokenizer && why) *why = e->no_tokenizer;
    return e->tokenizer;
}

struct mk_info mk_engine_info(const struct mk_engine *e)
{
    const struct mk_model *m = &e->model;
    struct mk_info i = {.path = m->tensors.path,
                        .arch = m->config.arch,
                        .kind = m->kind,
                        .cpu = mk_cpu_name(e->work.cpu),
                        .n_layer = m->n_layer,
                        .d_model = m->d_model,
                        .n_vocab = m->n_vocab,
                        .n_ctx = m->n_ctx,
                        .n_params = m->n_params,
                        .n_params_active = m->n_params_active,
                        .n_bytes_active = m->n_bytes_active,
                        .kv_bytes_per_token = mk_kv_pos_bytes(&m->kv, e->kv_type),
                        .n_expert = m->n_expert,
                        .n_active = m->n_active,
                        .routed = m->routed,
                        .n_routed = m->n_routed,
                        .n_threads = mk_pool_size(e->work.pool),
                        .has_mtp = mk_model_has_mtp(m),
                        .bos = m->bos,
                        .eos = m->eos,
                        .n_eos = m->n_eos};
    for (size_t t = 0; t < m->tensors.n; t++) i.n_bytes += m->tensors.list[t].n_bytes;
    return i;
}

bool mk_model_streaming(const struct mk_model *m, struct mk_streaming *out)
{
    if (!m->stream) return false;
    const struct mk_stream_info i = mk_stream_info(m);
    const struct mk_expert_stats *s = &i.stats;
    *out = (struct mk_streaming){.ram_bytes = i.ram_bytes,
                                 .n_file_bytes = i.plan.n_file_bytes,
                                 .n_dense_bytes = i.plan.n_dense_bytes,
                                 .n_cache_bytes = i.plan.n_cache_bytes,
                                 .n_experts = i.plan.n_experts,
                                 .n_fit = (size_t)i.plan.n_fit,
                                 .disk_bytes_per_s = i.disk_bytes_per_s,
                                 .tps = mk_stream_tps(&i.plan, i.disk_bytes_per_s),
                                 .n_need = s->n_need,
                                 .n_hit = s->n_hit,
                                 .n_right = s->n_right,
                                 .n_guess = s->n_guess,
                                 .n_read_bytes = s->n_read_bytes,
                                 .wait_s = s->wait_s};
    return true;
}

bool mk_engine_streaming(const struct mk_engine *e, struct mk_streaming *out)
{
    return mk_model_streaming(&e->model, out);
}

/* ---- sessions -------------------------------------------------------------------- */

enum { N_CTX_DEFAULT = 32768 };

bool mk_session_new(struct mk_session **out, struct mk_engine *e, size_t n_ctx, struct mk_err *err)
{
    if (n_ctx == 0) n_ctx = e->model.n_ctx < N_CTX_DEFAULT ? e->model.n_ctx : N_CTX_DEFAULT;
    struct mk_kv kv;
    if (!mk_kv_init(&kv, &e->model.kv, e->kv_type, n_ctx, err)) return false;
    struct mk_session *s = mk_alloc(sizeof *s);
    s->engine = e;
    s->kv = kv;
    s->logits = mk_calloc(e->model.n_vocab, sizeof *s->logits);
    s->cap_rows = 1;
    *out = s;
    return true;
}

void mk_session_free(struct mk_session *s)
{
    if (!s) return;
    mk_kv_release(&s->kv);
    mk_ids_release(&s->ids);
    mk_ids_release(&s->guess);
    free(s->logits);
    free(s->states);
    free(s->experts);
    free(s->hidden);
    free(s);
}

size_t mk_session_n_ctx(const struct mk_session *s) { return s->kv.n_ctx; }

const int32_t *mk_session_ids(const struct mk_session *s, size_t *n)
{
    *n = s->ids.n;
    return s->ids.v;
}

size_t mk_session_pending(const struct mk_session *s) { return s->ids.n - s->kv.n; }

static void forget_rows(struct mk_session *s) { s->row = s->n_rows = s->guess.n = 0; }

/* A token that was guessed is evaluated already: the next row has the logits behind it. */
static void append(struct mk_session *s, int32_t id)
{
    mk_ids_add(&s->ids, id);
    if (s->n_rows && s->row + 1 < s->n_rows && s->guess.v[s->row] == id)
        s->row++, s->kv.n++;
    else
        forget_rows(s);
}

bool mk_session_append(struct mk_session *s, const int32_t *ids, size_t n, struct mk_err *err)
{
    if (n > s->kv.n_ctx - s->ids.n)
        return mk_fail(err, MK_ELIMIT, "%zu tokens do not fit: the context holds %zu, %zu are used",
                       n, s->kv.n_ctx, s->ids.n);
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || (size_t)ids[i] >= s->engine->model.n_vocab)
            return mk_fail(err, MK_EUSAGE, "token id %d is not in 0..%zu", (int)ids[i],
                           s->engine->model.n_vocab - 1);
    for (size_t i = 0; i < n; i++) append(s, ids[i]);
    return true;
}

size_t mk_session_guess(struct mk_session *s, const int32_t *ids, size_t n)
{
    const size_t pending = mk_session_pending(s), free_toks = s->kv.n_ctx - s->ids.n;
    const size_t most = pending && pending < MK_MLA_EXPAND ? MK_MLA_EXPAND - 1 - pending : 0;
    if (n > most) n = most;
    if (n > free_toks) n = free_toks;
    s->guess.n = 0;
    mk_ids_append(&s->guess, ids, n);
    return n;
}

void mk_session_unguess(struct mk_session *s)
{
    if (s->n_rows) s->n_rows = s->row + 1;
    s->guess.n = 0;
}

void mk_session_truncate(struct mk_session *s, size_t n)
{
    if (n >= s->ids.n) return;
    s->ids.n = n;
    forget_rows(s);
    mk_kv_truncate(&s->kv, n);
}

bool mk_session_set(struct mk_session *s, const int32_t *ids, size_t n, size_t *n_kept,
                    struct mk_err *err)
{
    if (n > s->kv.n_ctx)
        return mk_fail(err, MK_ELIMIT, "a prompt of %zu tokens does not fit a context of %zu", n,
                       s->kv.n_ctx);
    size_t same = 0;
    while (same < n && same < s->kv.n && ids[same] == s->ids.v[same]) same++;
    if (same == n && n) same--; /* its logits are wanted */
    mk_session_truncate(s, same);
    if (n_kept) *n_kept = same;
    return mk_session_append(s, ids + same, n - same, err);
}

bool mk_session_fork(struct mk_session **out, const struct mk_session *s, size_t n,
                     struct mk_err *err)
{
    struct mk_session *f;
    if (!mk_session_new(&f, s->engine, s->kv.n_ctx, err)) return false;
    if (n > s->ids.n) n = s->ids.n;
    mk_kv_copy(&f->kv, &s->kv, n < s->kv.n ? n : s->kv.n);
    mk_ids_append(&f->ids, s->ids.v, n);
    if (n == s->ids.n && s->n_rows) {
        memcpy(f->logits, mk_session_logits(s), s->engine->model.n_vocab * sizeof *f->logits);
        f->n_rows = 1;
    }
    *out = f;
    return true;
}

const float *mk_session_logits(const struct mk_session *s)
{
    return s->n_rows ? s->logits + s->row * s->engine->model.n_vocab : NULL;
}

static size_t n_choice(const struct mk_engine *e) { return e->model.n_routed * e->model.n_active; }

void mk_session_note_experts(struct mk_session *s, bool notes)
{
    if (notes == (s->experts != NULL)) return;
    free(s->experts);
    s->experts =
        notes ? mk_calloc(s->cap_rows * n_choice(s->engine) + 1, sizeof *s->experts) : NULL;
    s->has_experts = false;
}

const uint16_t *mk_session_experts(const struct mk_session *s)
{
    return s->n_rows && s->has_experts ? s->experts + s->row * n_choice(s->engine) : NULL;
}

void mk_session_note_hidden(struct mk_session *s, bool notes)
{
    free(s->hidden);
    s->hidden = notes ? mk_calloc(s->engine->model.d_model, sizeof *s->hidden) : NULL;
    s->n_hidden = 0;
}

bool mk_session_mean_hidden(const struct mk_session *s, float *out)
{
    if (s->n_hidden == 0) return false;
    for (size_t i = 0; i < s->engine->model.d_model; i++)
        out[i] = (float)(s->hidden[i] / (double)s->n_hidden);
    return true;
}

static void add_hidden(struct mk_session *s, const float *rows, size_t n)
{
    const size_t d = s->engine->model.d_model;
    for (size_t t = 0; t < n; t++, rows += d)
        for (size_t i = 0; i < d; i++) s->hidden[i] += (double)rows[i];
    s->n_hidden += n;
}

/* ---- the step -------------------------------------------------------------------- */

struct plan {
    int32_t *tok;
    struct mk_span *spans;
    struct mk_session **of; /* whose spans */
    size_t *n_rows;         /* of each, at its end, whose logits are wanted */
    size_t *want;
    size_t n_tok, n_guess, n_spans, n_want;
};

/* How many of the pending tokens to take where there is room for so many, at the very most for
 * `most`.  Long prompts are cut into pieces that are long: latent attention takes another form for
 * short ones, and the bits must not depend on the cuts. */
static size_t piece(size_t pending, size_t room, size_t most)
{
    if (pending <= room) return pending;
    if (room == 0 || (room < MK_MLA_EXPAND && room < most)) return 0;
    if (pending - room >= MK_MLA_EXPAND) return room;
    if (pending <= most) return pending;
    return pending > 2 * MK_MLA_EXPAND ? pending - MK_MLA_EXPAND : room;
}

static void plan_session(struct plan *p, struct mk_session *s, size_t n_batch)
{
    const size_t pending = mk_session_pending(s), most = s->engine->n_batch - p->n_tok;
    const size_t n_read = p->n_tok - p->n_guess; /* guesses do not count */
    const size_t room = n_batch > n_read ? n_batch - n_read : 0;
    const size_t n = piece(pending, room < most ? room : most, most);
    if (n == 0) return;
    const size_t n_guess = n == pending && s->guess.n <= most - n ? s->guess.n : 0;
    memcpy(p->tok + p->n_tok, s->ids.v + s->kv.n, n * sizeof *p->tok);
    if (n_guess) memcpy(p->tok + p->n_tok + n, s->guess.v, n_guess * sizeof *p->tok);
    p->of[p->n_spans] = s;
    p->n_rows[p->n_spans] = n == pending ? 1 + n_guess : 0;
    p->spans[p->n_spans++] =
        (struct mk_span){.kv = &s->kv, .first = p->n_tok, .n = n + n_guess, .pos = s->kv.n};
    for (size_t i = n - 1; n == pending && i < n + n_guess; i++)
        p->want[p->n_want++] = p->n_tok + i;
    p->n_tok += n + n_guess;
    p->n_guess += n_guess;
}

/* Room for the experts of all wanted rows if somebody notes them. */
static uint16_t *take_experts(struct mk_engine *e, const struct plan *p)
{
    bool notes = false;
    for (size_t i = 0; i < p->n_spans; i++) notes |= p->of[i]->experts != NULL;
    return notes ? mk_arena_take(&e->work.arena, p->n_want * n_choice(e) * sizeof(uint16_t)) : NULL;
}

/* Room for the hidden states of all rows if somebody notes them. */
static float *take_normed(struct mk_engine *e, const struct plan *p)
{
    bool notes = false;
    for (size_t i = 0; i < p->n_spans; i++) notes |= p->of[i]->hidden != NULL;
    return notes ? mk_arena_take(&e->work.arena, p->n_tok * e->model.d_model * sizeof(float))
                 : NULL;
}

/* Room for the states before it. */
static float *take_states(struct mk_engine *e, const struct plan *p)
{
    bool notes = false;
    for (size_t i = 0; i < p->n_spans; i++) notes |= p->of[i]->notes_states;
    return notes ? mk_arena_take(&e->work.arena, p->n_tok * e->model.d_model * sizeof(float))
                 : NULL;
}

static void keep_states(struct mk_session *s, const struct mk_span *span, const float *rows)
{
    const size_t d = s->engine->model.d_model;
    if (span->pos < s->states_pos || span->pos > s->states_pos + s->n_states)
        s->states_pos = span->pos; /* what was between is not known */
    s->n_states = span->pos - s->states_pos + span->n;
    if (s->n_states > s->cap_states) {
        s->cap_states = 2 * s->n_states;
        s->states = mk_realloc(s->states, s->cap_states * d * sizeof *s->states);
    }
    memcpy(s->states + (span->pos - s->states_pos) * d, rows, span->n * d * sizeof *rows);
}

static void keep_rows(struct mk_session *s, size_t n, const float *logits, const uint16_t *experts)
{
    const size_t n_vocab = s->engine->model.n_vocab, n_experts = n_choice(s->engine);
    if (n > s->cap_rows) {
        s->cap_rows = n;
        s->logits = mk_realloc(s->logits, n * n_vocab * sizeof *s->logits);
        if (s->experts)
            s->experts = mk_realloc(s->experts, (n * n_experts + 1) * sizeof *s->experts);
    }
    memcpy(s->logits, logits, n * n_vocab * sizeof *logits);
    if (s->experts) memcpy(s->experts, experts, n * n_experts * sizeof *experts);
    s->n_rows = n;
    s->row = 0;
    s->has_experts = s->experts != NULL;
    s->kv.n = s->ids.n; /* what was guessed counts once it is appended */
}

static bool run_plan(struct mk_engine *e, const struct plan *p, struct mk_err *err)
{
    const size_t n_vocab = e->model.n_vocab, d = e->model.d_model;
    float *logits = mk_arena_take(&e->work.arena, p->n_want * n_vocab * sizeof *logits);
    uint16_t *experts = take_experts(e, p);
    float *normed = take_normed(e, p), *states = take_states(e, p);
    if (!mk_model_forward(&e->model, &e->work,
                          &(struct mk_step){.tok = p->tok,
                                            .n_tok = p->n_tok,
                                            .spans = p->spans,
                                            .n_spans = p->n_spans,
                                            .want = p->want,
                                            .n_want = p->n_want,
                                            .logits = logits,
                                            .hidden = states,
                                            .normed = normed,
                                            .experts = experts,
                                            .stop = &e->is_canceled,
                                            .err = err}))
        return false;
    for (size_t i = 0, row = 0; i < p->n_spans; row += p->n_rows[i++]) {
        struct mk_session *s = p->of[i];
        const struct mk_span *span = &p->spans[i];
        if (s->hidden) add_hidden(s, normed + span->first * d, span->n);
        if (s->notes_states) keep_states(s, span, states + span->first * d);
        if (p->n_rows[i])
            keep_rows(s, p->n_rows[i], logits + row * n_vocab,
                      experts ? experts + row * n_choice(e) : NULL);
    }
    return true;
}

bool mk_engine_step(struct mk_engine *e, struct mk_session *const *s, size_t n_sessions,
                    size_t n_most, struct mk_err *err)
{
    const size_t n_batch = n_most && n_most < e->n_batch ? n_most : e->n_batch;
    struct mk_arena *a = &e->work.arena;
    const struct mk_arena_mark mark = mk_arena_mark(a);
    struct plan p = {.tok = mk_arena_take(a, e->n_batch * sizeof *p.tok),
                     .spans = mk_arena_take(a, n_sessions * sizeof *p.spans),
                     .of = mk_arena_take(a, n_sessions * sizeof *p.of),
                     .n_rows = mk_arena_take(a, n_sessions * sizeof *p.n_rows),
                     .want = mk_arena_take(a, e->n_batch * sizeof *p.want)};
    for (size_t i = 0; i < n_sessions; i++) plan_session(&p, s[i], n_batch);
    const bool is_done = p.n_tok == 0 || run_plan(e, &p, err);
    mk_arena_reset(a, mark);
    for (size_t i = 0; i < n_sessions; i++)
        if (!s[i]->n_rows) s[i]->guess.n = 0; /* for this step only */
    return atomic_exchange(&e->is_canceled, false) ? mk_fail(err, MK_ECANCELED, "stopped")
                                                   : is_done;
}
