#include "train/rollout.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "engine/sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    PREFILL_TOKS = 1024, /* of prompts that are read together */
    MAX_LIVE = 256,      /* more share the reading of weights, fewer stay in the cache */
    START_SHARE = 8      /* of the places must be free before prompts are read */
};

void mk_rollouts_release(struct mk_rollouts *r)
{
    mk_seqs_release(&r->seqs);
    free(r->lp);
    free(r->n_prompt);
    free(r->is_ended);
    *r = (struct mk_rollouts){0};
}

/* A place where a sample is generated; its memory serves one after the other. */
struct slot {
    size_t prompt, number; /* which sample of which prompt */
    struct mk_kv kv;
    int32_t *tok; /* [max_new] */
    float *lp;
    size_t n;
    bool is_ended;
};

struct answer { /* of a sample that is done */
    int32_t *tok;
    float *lp;
    size_t n;
    bool is_ended;
};

struct job {
    const struct mk_model *m;
    struct mk_work *wk;
    const struct mk_seqs *prompts;
    const struct mk_rollout_options *o;
    struct mk_arena keep;   /* slots and answers */
    struct answer *answers; /* [prompts->n * n_samples] */
    struct slot *slots;     /* [n_slots], the first n_live at work */
    size_t n_slots, n_live;
    size_t next;    /* prompt to start */
    size_t fresh;   /* slots from this on take their next token */
    float *logits;  /* [n_slots][n_vocab] */
    float *scratch; /* per thread [n_vocab] */
    size_t n_forward, n_generated;
};

/* ---- one token -------------------------------------------------------------------------- */

/* A stream of its own for each token, so that nothing depends on the order of work. */
static double draw(const struct job *j, const struct slot *s)
{
    struct mk_rng rng = {j->o->seed};
    const uint64_t key[] = {s->prompt, s->number, s->n};
    for (size_t i = 0; i < 3; i++) rng.state = mk_rng_u64(&rng) ^ key[i] * 0x9e3779b97f4a7c15ull;
    return mk_rng_f64(&rng);
}

/* Sets to zero what is not among the most likely tokens that make up top_p of sum; returns the
 * new sum.  The threshold is found by halving: ties stay in. */
static float cut_top_p(float *p, size_t n, float sum, float top_p)
{
    float lo = 0.0f, hi = 1.0f, kept = 0.0f;
    for (size_t i = 0; i < n; i++) hi = p[i] > hi ? p[i] : hi;
    for (int step = 0; step < 40; step++) {
        const float mid = 0.5f * (lo + hi);
        double above = 0.0;
        for (size_t i = 0; i < n; i++) above += p[i] >= mid ? (double)p[i] : 0.0;
        if (above >= (double)(top_p * sum))
            lo = mid;
        else
            hi = mid;
    }
    for (size_t i = 0; i < n; i++) {
        if (p[i] < lo) p[i] = 0.0f;
        kept += p[i];
    }
    return kept;
}

static int32_t choose(const struct job *j, const struct slot *s, const float *z, float *p,
                      float *lp)
{
    const size_t n = j->m->n_vocab;
    const struct mk_kernels *k = &j->wk->k;
    const float max = k->max(z, n);
    memcpy(p, z, n * sizeof *p);
    float sum = k->exp_sum(p, n, max);
    const float lse = max + logf(sum);
    int32_t id = (int32_t)mk_likeliest(k, z, n);
    if (j->o->temperature > 0.0f) {
        if (j->o->temperature != 1.0f) {
            memcpy(p, z, n * sizeof *p);
            k->scale(p, 1.0f / j->o->temperature, n);
            sum = k->exp_sum(p, n, max / j->o->temperature);
        }
        if (j->o->top_p < 1.0f) sum = cut_top_p(p, n, sum, j->o->top_p);
        double left = draw(j, s) * (double)sum;
        for (size_t i = 0; i < n; i++) {
            if (p[i] <= 0.0f) continue;
            id = (int32_t)i;
            if ((left -= (double)p[i]) < 0.0) break;
        }
    }
    *lp = z[id] - lse;
    return id;
}

static void choose_rows(void *arg, size_t first, size_t last, unsigned thread)
{
    const struct job *j = arg;
    for (size_t i = j->fresh + first; i < j->fresh + last; i++) {
        struct slot *s = &j->slots[i];
        s->tok[s->n] = choose(j, s, j->logits + i * j->m->n_vocab,
                              j->scratch + thread * j->m->n_vocab, &s->lp[s->n]);
        s->is_ended = s->tok[s->n] == j->o->eos;
        s->n++;
    }
}

static void keep_answer(struct job *j, const struct slot *s)
{
    struct answer *a = &j->answers[s->prompt * j->o->n_samples + s->number];
    *a = (struct answer){.n = s->n, .is_ended = s->is_ended};
    a->tok = memcpy(mk_arena_take(&j->keep, s->n * sizeof *a->tok), s->tok, s->n * sizeof *a->tok);
    a->lp = memcpy(mk_arena_take(&j->keep, s->n * sizeof *a->lp), s->lp, s->n * sizeof *a->lp);
}

/* The next token of slots [fresh, n_live); those that are done make room. */
static void choose_all(struct job *j)
{
    const size_t n = j->n_live - j->fresh;
    mk_pool_run(j->wk->pool, n, mk_grain(j->wk, 8 * j->m->n_vocab), choose_rows, j);
    j->n_generated += n;
    for (size_t i = j->n_live; i-- > j->fresh;) {
        const struct slot s = j->slots[i];
        if (!s.is_ended && s.n < j->o->max_new) continue;
        keep_answer(j, &s);
        j->slots[i] = j->slots[--j->n_live];
        j->slots[j->n_live] = s;
    }
}

/* ---- many ------------------------------------------------------------------------------- */

/* The next prompts that there is room for, at least one. */
static size_t count_prompts(const struct job *j)
{
    const size_t room = (j->n_slots - j->n_live) / j->o->n_samples;
    const size_t *start = j->prompts->start + j->next;
    size_t n = 1;
    while (n < room && j->next + n < j->prompts->n && start[n + 1] - start[0] <= PREFILL_TOKS) n++;
    return n;
}

/* Reads the next n prompts in one forward pass into the caches of their first samples, which
 * stand n_samples apart; logits [n][n_vocab]. */
static void read_prompts(struct job *j, size_t n, struct slot *slots, float *logits)
{
    struct mk_arena *a = &j->wk->arena;
    const size_t from = j->prompts->start[j->next];
    const size_t n_tok = j->prompts->start[j->next + n] - from;
    struct mk_span *spans = mk_arena_zero(a, n * sizeof *spans);
    size_t *want = mk_arena_take(a, n * sizeof *want);
    for (size_t i = 0; i < n; i++) {
        spans[i].kv = &slots[i * j->o->n_samples].kv;
        spans[i].kv->n = 0;
        spans[i].first = j->prompts->start[j->next + i] - from;
        spans[i].n = mk_seqs_len(j->prompts, j->next + i);
        want[i] = spans[i].first + spans[i].n - 1;
    }
    mk_model_forward(j->m, j->wk,
                     &(struct mk_step){.tok = j->prompts->tok + from,
                                       .n_tok = n_tok,
                                       .spans = spans,
                                       .n_spans = n,
                                       .want = want,
                                       .n_want = n,
                                       .logits = logits,
                                       .form = j->o->form});
    j->n_forward += n_tok;
}

/* Gives the next prompts' samples their slots, caches and first tokens. */
static void start_prompts(struct job *j)
{
    struct mk_arena *a = &j->wk->arena;
    const struct mk_arena_mark mark = mk_arena_mark(a);
    const size_t n = count_prompts(j), g = j->o->n_samples, n_vocab = j->m->n_vocab;
    float *logits = mk_floats(j->wk, n * n_vocab);
    j->fresh = j->n_live;
    read_prompts(j, n, j->slots + j->fresh, logits);
    for (size_t i = 0; i < n * g; i++) {
        struct slot *s = &j->slots[j->fresh + i], *first = s - i % g;
        s->prompt = j->next + i / g;
        s->number = i % g;
        s->n = 0;
        if (s != first) mk_kv_copy(&s->kv, &first->kv, first->kv.n);
        memcpy(j->logits + (j->fresh + i) * n_vocab, logits + i / g * n_vocab,
               n_vocab * sizeof *logits);
    }
    mk_arena_reset(a, mark);
    j->n_live += n * g;
    j->next += n;
    choose_all(j);
}

static void decode_step(struct job *j)
{
    struct mk_arena *a = &j->wk->arena;
    const struct mk_arena_mark mark = mk_arena_mark(a);
    const size_t n = j->n_live;
    int32_t *tok = mk_arena_take(a, n * sizeof *tok);
    size_t *want = mk_arena_take(a, n * sizeof *want);
    struct mk_span *spans = mk_arena_take(a, n * sizeof *spans);
    for (size_t i = 0; i < n; i++) {
        struct slot *s = &j->slots[i];
        tok[i] = s->tok[s->n - 1];
        want[i] = i;
        spans[i] = (struct mk_span){.kv = &s->kv, .first = i, .n = 1, .pos = s->kv.n};
    }
    mk_model_forward(j->m, j->wk,
                     &(struct mk_step){.tok = tok,
                                       .n_tok = n,
                                       .spans = spans,
                                       .n_spans = n,
                                       .want = want,
                                       .n_want = n,
                                       .logits = j->logits,
                                       .form = j->o->form});
    mk_arena_reset(a, mark);
    j->n_forward += n;
    j->fresh = 0;
    choose_all(j);
}

/* Whether to start prompts: their samples fit, and they are enough to be worth a pass. */
static bool has_room(const struct job *j)
{
    const size_t n_free = j->n_slots - j->n_live;
    return j->next < j->prompts->n && n_free >= j->o->n_samples &&
           n_free >= j->n_slots / START_SHARE;
}

static void make_slots(struct job *j)
{
    struct mk_arena *a = &j->keep;
    const size_t n_answers = j->prompts->n * j->o->n_samples;
    const size_t most = j->o->max_live ? j->o->max_live : MAX_LIVE;
    const size_t room = most > j->o->n_samples ? most : j->o->n_samples;
    size_t n_prompt = 0;
    for (size_t p = 0; p < j->prompts->n; p++)
        if (mk_seqs_len(j->prompts, p) > n_prompt) n_prompt = mk_seqs_len(j->prompts, p);
    j->n_slots = n_answers < room ? n_answers : room;
    j->answers = mk_arena_take(a, n_answers * sizeof *j->answers);
    j->slots = mk_arena_zero(a, j->n_slots * sizeof *j->slots);
    j->logits = mk_arena_take(a, j->n_slots * j->m->n_vocab * sizeof *j->logits);
    j->scratch = mk_arena_take(a, mk_pool_size(j->wk->pool) * j->m->n_vocab * sizeof *j->scratch);
    for (size_t i = 0; i < j->n_slots; i++) {
        struct slot *s = &j->slots[i];
        s->tok = mk_arena_take(a, j->o->max_new * sizeof *s->tok);
        s->lp = mk_arena_take(a, j->o->max_new * sizeof *s->lp);
        mk_kv_init_arena(&s->kv, &j->m->kv, n_prompt + j->o->max_new, a);
    }
}

static void reserve(struct mk_rollouts *r, size_t n_tok, size_t n)
{
    if (n_tok > r->cap_tok) {
        r->cap_tok = n_tok + n_tok / 2;
        r->lp = mk_realloc(r->lp, r->cap_tok * sizeof *r->lp);
    }
    if (n > r->cap) {
        r->cap = n + n / 2;
        r->n_prompt = mk_realloc(r->n_prompt, r->cap * sizeof *r->n_prompt);
        r->is_ended = mk_realloc(r->is_ended, r->cap * sizeof *r->is_ended);
    }
}

static void collect(struct mk_rollouts *out, const struct job *j)
{
    const size_t n = j->prompts->n * j->o->n_samples;
    mk_seqs_clear(&out->seqs);
    for (size_t i = 0; i < n; i++) {
        const struct answer *a = &j->answers[i];
        const size_t p = i / j->o->n_samples, n_prompt = mk_seqs_len(j->prompts, p);
        const size_t at = out->seqs.n_tok;
        reserve(out, at + n_prompt + a->n, i + 1);
        out->n_prompt[i] = n_prompt;
        out->is_ended[i] = a->is_ended;
        memset(out->lp + at, 0, n_prompt * sizeof *out->lp);
        memcpy(out->lp + at + n_prompt, a->lp, a->n * sizeof *out->lp);
        mk_seqs_put(&out->seqs, j->prompts->tok + j->prompts->start[p], n_prompt, 0.0f);
        mk_seqs_put(&out->seqs, a->tok, a->n, 1.0f);
        mk_seqs_end(&out->seqs);
    }
}

void mk_rollout(struct mk_rollouts *out, const struct mk_model *m, struct mk_work *wk,
                const struct mk_seqs *prompts, const struct mk_rollout_options *o)
{
    struct job j = {.m = m, .wk = wk, .prompts = prompts, .o = o};
    const double start = mk_now_s();
    make_slots(&j);
    while (j.n_live || j.next < prompts->n) {
        while (has_room(&j)) start_prompts(&j);
        if (j.n_live) decode_step(&j);
    }
    collect(out, &j);
    mk_arena_release(&j.keep);
    out->n_forward = j.n_forward;
    out->n_generated = j.n_generated;
    out->seconds = mk_now_s() - start;
}
