#include "train/rollout.h"

#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PREFILL_TOKS = 1024 /* of prompts that are read together */ };

void mk_rollouts_release(struct mk_rollouts *r)
{
    mk_seqs_release(&r->seqs);
    free(r->lp);
    free(r->n_prompt);
    free(r->is_ended);
    *r = (struct mk_rollouts){0};
}

struct sample {
    size_t prompt, number; /* which sample of which prompt */
    struct mk_kv kv;
    int32_t *tok; /* [max_new] */
    float *lp;
    size_t n;
    bool is_ended;
};

struct job {
    const struct mk_model *m;
    struct mk_work *wk;
    const struct mk_seqs *prompts;
    const struct mk_rollout_options *o;
    struct mk_arena keep;   /* caches and tokens of a wave */
    struct sample *samples; /* of the wave */
    size_t n_samples;
    size_t *live; /* [n_live] indices into samples */
    size_t n_live;
    float *logits;  /* [n_live][n_vocab] */
    float *scratch; /* per thread [n_vocab] */
    size_t n_forward;
};

/* ---- one token -------------------------------------------------------------------------- */

/* A stream of its own for each token, so that nothing depends on the order of work. */
static double draw(const struct job *j, const struct sample *s)
{
    struct mk_rng rng = {j->o->seed};
    const uint64_t key[] = {s->prompt, s->number, s->n};
    for (size_t i = 0; i < 3; i++) rng.state = mk_rng_u64(&rng) ^ key[i] * 0x9e3779b97f4a7c15ull;
    return mk_rng_f64(&rng);
}

static int32_t argmax(const float *v, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (v[i] > v[best]) best = i;
    return (int32_t)best;
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

static int32_t choose(const struct job *j, const struct sample *s, const float *z, float *p,
                      float *lp)
{
    const size_t n = j->m->n_vocab;
    const struct mk_kernels *k = &j->wk->k;
    const float max = k->max(z, n);
    memcpy(p, z, n * sizeof *p);
    float sum = k->exp_sum(p, n, max);
    const float lse = max + logf(sum);
    int32_t id = argmax(z, n);
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
    for (size_t i = first; i < last; i++) {
        struct sample *s = &j->samples[j->live[i]];
        s->tok[s->n] = choose(j, s, j->logits + i * j->m->n_vocab,
                              j->scratch + thread * j->m->n_vocab, &s->lp[s->n]);
        s->is_ended = s->tok[s->n] == j->o->eos;
        s->n++;
    }
}

static void choose_all(struct job *j)
{
    mk_pool_run(j->wk->pool, j->n_live, mk_grain(j->wk, 8 * j->m->n_vocab), choose_rows, j);
    size_t n = 0;
    for (size_t i = 0; i < j->n_live; i++) {
        const struct sample *s = &j->samples[j->live[i]];
        if (!s->is_ended && s->n < j->o->max_new) j->live[n++] = j->live[i];
    }
    j->n_live = n;
}

/* ---- a wave ------------------------------------------------------------------------------- */

/* Reads prompts [p, end), whose first samples are g apart, and gives every sample its cache and
 * first logits. */
static void read_prompts(struct job *j, size_t p, size_t end, struct sample *samples, float *logits)
{
    struct mk_arena *a = &j->wk->arena;
    const struct mk_arena_mark mark = mk_arena_mark(a);
    const size_t n = end - p, g = j->o->n_samples, n_vocab = j->m->n_vocab;
    const size_t from = j->prompts->start[p], n_tok = j->prompts->start[end] - from;
    struct mk_span *spans = mk_arena_zero(a, n * sizeof *spans);
    size_t *want = mk_arena_take(a, n * sizeof *want);
    float *first = mk_floats(j->wk, n * n_vocab);
    for (size_t i = 0; i < n; i++) {
        spans[i].kv = &samples[i * g].kv;
        spans[i].first = j->prompts->start[p + i] - from;
        spans[i].n = mk_seqs_len(j->prompts, p + i);
        want[i] = spans[i].first + spans[i].n - 1;
    }
    mk_model_forward(j->m, j->wk,
                     &(struct mk_step){.tok = j->prompts->tok + from,
                                       .n_tok = n_tok,
                                       .spans = spans,
                                       .n_spans = n,
                                       .want = want,
                                       .n_want = n,
                                       .logits = first,
                                       .form = j->o->form});
    for (size_t i = 0; i < n; i++)
        for (size_t s = i * g; s < (i + 1) * g; s++) {
            if (s > i * g) mk_kv_copy(&samples[s].kv, &samples[i * g].kv, spans[i].n);
            memcpy(logits + s * n_vocab, first + i * n_vocab, n_vocab * sizeof *logits);
        }
    j->n_forward += n_tok;
    mk_arena_reset(a, mark);
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
        struct sample *s = &j->samples[j->live[i]];
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
    choose_all(j);
}

static void start_wave(struct job *j, size_t first, size_t last)
{
    struct mk_arena *a = &j->keep;
    const size_t g = j->o->n_samples, n_vocab = j->m->n_vocab;
    j->n_samples = j->n_live = (last - first) * g;
    j->samples = mk_arena_zero(a, j->n_samples * sizeof *j->samples);
    j->live = mk_arena_take(a, j->n_samples * sizeof *j->live);
    j->logits = mk_arena_take(a, j->n_samples * n_vocab * sizeof *j->logits);
    for (size_t i = 0; i < j->n_samples; i++) {
        struct sample *s = &j->samples[i];
        s->prompt = first + i / g;
        s->number = i % g;
        s->tok = mk_arena_take(a, j->o->max_new * sizeof *s->tok);
        s->lp = mk_arena_take(a, j->o->max_new * sizeof *s->lp);
        mk_kv_init_arena(&s->kv, &j->m->kv, mk_seqs_len(j->prompts, s->prompt) + j->o->max_new, a);
        j->live[i] = i;
    }
    for (size_t p = first, end; p < last; p = end) {
        for (end = p + 1; end < last; end++)
            if (j->prompts->start[end + 1] - j->prompts->start[p] > PREFILL_TOKS) break;
        read_prompts(j, p, end, j->samples + (p - first) * g,
                     j->logits + (p - first) * g * n_vocab);
    }
    choose_all(j);
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
    for (size_t i = 0; i < j->n_samples; i++) {
        const struct sample *s = &j->samples[i];
        const size_t n_prompt = mk_seqs_len(j->prompts, s->prompt), at = out->seqs.n_tok;
        reserve(out, at + n_prompt + s->n, out->seqs.n + 1);
        out->n_prompt[out->seqs.n] = n_prompt;
        out->is_ended[out->seqs.n] = s->is_ended;
        memset(out->lp + at, 0, n_prompt * sizeof *out->lp);
        memcpy(out->lp + at + n_prompt, s->lp, s->n * sizeof *out->lp);
        mk_seqs_put(&out->seqs, j->prompts->tok + j->prompts->start[s->prompt], n_prompt, 0.0f);
        mk_seqs_put(&out->seqs, s->tok, s->n, 1.0f);
        mk_seqs_end(&out->seqs);
    }
}

void mk_rollout(struct mk_rollouts *out, const struct mk_model *m, struct mk_work *wk,
                const struct mk_seqs *prompts, const struct mk_rollout_options *o)
{
    enum { MAX_LIVE = 512 };
    struct job j = {.m = m, .wk = wk, .prompts = prompts, .o = o};
    const size_t max_live = o->max_live ? o->max_live : MAX_LIVE;
    const size_t per_wave = max_live > o->n_samples ? max_live / o->n_samples : 1;
    float *scratch = mk_calloc(mk_pool_size(wk->pool) * m->n_vocab, sizeof *scratch);
    j.scratch = scratch;
    mk_seqs_clear(&out->seqs);
    for (size_t first = 0; first < prompts->n; first += per_wave) {
        const size_t last = first + per_wave < prompts->n ? first + per_wave : prompts->n;
        const struct mk_arena_mark mark = mk_arena_mark(&j.keep);
        start_wave(&j, first, last);
        while (j.n_live) decode_step(&j);
        collect(out, &j);
        mk_arena_reset(&j.keep, mark);
    }
    out->n_forward = j.n_forward;
    mk_arena_release(&j.keep);
    free(scratch);
}
