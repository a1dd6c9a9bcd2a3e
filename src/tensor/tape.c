#include "tensor/tape.h"

#include <math.h>
#include <string.h>

/* ---- the record ----------------------------------------------------------------- */

struct mk_node {
    struct mk_node *prev;
    mk_back_fn *back;
    void *saved;
};

bool mk_tape_attach(struct mk_tape *t, struct mk_work *wk, struct mk_params *params, size_t n_bytes,
                    struct mk_err *err)
{
    void *values, *grads;
    *t = (struct mk_tape){.params = params, .n = n_bytes / sizeof *t->values, .is_recording = true};
    mk_arena_release(&wk->arena);
    if (!mk_arena_reserve(&wk->arena, n_bytes, &values, err)) return false;
    if (!mk_reserve_dense(&grads, n_bytes, err)) {
        mk_arena_release(&wk->arena);
        return false;
    }
    t->values = values;
    t->grads = grads;
    wk->tape = t;
    return true;
}

void mk_tape_release(struct mk_tape *t, struct mk_work *wk)
{
    if (wk->tape != t) return;
    mk_arena_release(&wk->arena);
    mk_unreserve(t->grads, t->n * sizeof *t->grads);
    wk->tape = NULL;
    *t = (struct mk_tape){0};
}

void *mk_tape_push(struct mk_work *wk, mk_back_fn *back, size_t n_bytes)
{
    struct mk_node *node = mk_arena_take(&wk->arena, sizeof *node);
    *node = (struct mk_node){wk->tape->last, back, mk_arena_zero(&wk->arena, n_bytes)};
    wk->tape->last = node;
    return node->saved;
}

float *mk_saved(struct mk_work *wk, const float *v, size_t n)
{
    return memcpy(mk_floats(wk, n), v, n * sizeof *v);
}

void mk_scratch_end(struct mk_work *wk, struct mk_arena_mark mark)
{
    if (!mk_is_recording(wk)) mk_arena_reset(&wk->arena, mark);
}

/* Runs the records back to `until`, which stays. */
static void run_back(struct mk_work *wk, const struct mk_node *until)
{
    struct mk_tape *t = wk->tape;
    const bool was_recording = t->is_recording;
    if (t->peak_bytes < wk->arena.used) t->peak_bytes = wk->arena.used;
    t->is_recording = false;
    while (t->last != until) {
        const struct mk_node *node = t->last;
        t->last = node->prev;
        const struct mk_arena_mark mark = mk_arena_mark(&wk->arena);
        node->back(wk, node->saved);
        mk_arena_reset(&wk->arena, mark);
    }
    t->is_recording = was_recording;
}

void mk_tape_backward(struct mk_work *wk) { run_back(wk, NULL); }

struct block {
    float *h, *before;
    size_t n;
    mk_block_fn *fn;
    void *arg;
    const struct mk_span *spans; /* as the tape had them */
    size_t n_spans, route;       /* route: where the block's own choices begin */
};

/* The second run sees what the first saw: its sequences, and its routes; what the first counted
 * is counted. */
static void run_again(struct mk_tape *t, const struct block *b)
{
    const struct mk_tape now = *t;
    const size_t next = t->routes ? t->routes->next : 0;
    t->spans = b->spans, t->n_spans = b->n_spans;
    t->is_recording = true;
    if (t->routes) t->is_replaying = true, t->routes->next = b->route;
    b->fn(b->arg);
    t->spans = now.spans, t->n_spans = now.n_spans;
    t->balance_loss = now.balance_loss, t->n_balance = now.n_balance;
    t->is_replaying = now.is_replaying;
    t->is_recording = false;
    if (t->routes) t->routes->next = next;
}

static void block_back(struct mk_work *wk, void *saved)
{
    const struct block *b = saved;
    const struct mk_node *until = wk->tape->last;
    memcpy(b->h, b->before, b->n * sizeof *b->h);
    run_again(wk->tape, b);
    run_back(wk, until);
}

/* The first run records too, though for nothing: an operation may compute in another way when
 * it records, and both runs must give the same bits. */
void mk_tape_block(struct mk_work *wk, float *h, size_t n, mk_block_fn *fn, void *arg)
{
    struct mk_tape *t = wk->tape;
    if (!mk_is_recording(wk) || !t->recomputes) {
        fn(arg);
        return;
    }
    struct block *b = mk_tape_push(wk, block_back, sizeof *b);
    struct mk_node *node = t->last;
    *b = (struct block){.h = h, .before = mk_saved(wk, h, n), .n = n, .fn = fn, .arg = arg};
    b->spans = t->spans, b->n_spans = t->n_spans;
    if (t->routes) b->route = t->is_replaying ? t->routes->next : t->routes->n;
    const struct mk_arena_mark mark = mk_arena_mark(&wk->arena);
    fn(arg);
    if (t->peak_bytes < wk->arena.used) t->peak_bytes = wk->arena.used;
    mk_arena_reset(&wk->arena, mark);
    t->last = node;
}

/* ---- cross-entropy ---------------------------------------------------------------- */

struct logprob_job {
    struct mk_work *wk;
    const float *logits, *coef, *back_lse;
    const int32_t *target;
    float *lp, *lse, *entropy, *grad, *scratch;
    size_t n_vocab;
};

/* lse = m + log sum e^(z - m);  lp = z[target] - lse;  entropy = lse - sum p z */
static void logprob_rows(void *arg, size_t first, size_t last, unsigned thread)
{
    const struct logprob_job *j = arg;
    const struct mk_kernels *k = &j->wk->k;
    float *p = j->scratch + thread * j->n_vocab;
    for (size_t i = first; i < last; i++) {
        const float *z = j->logits + i * j->n_vocab;
        if (j->target[i] < 0) {
            j->lp[i] = j->lse[i] = 0.0f;
            if (j->entropy) j->entropy[i] = 0.0f;
            continue;
        }
        const float max = k->max(z, j->n_vocab);
        memcpy(p, z, j->n_vocab * sizeof *p);
        const float sum = k->exp_sum(p, j->n_vocab, max);
        j->lse[i] = max + logf(sum);
        j->lp[i] = z[j->target[i]] - j->lse[i];
        if (j->entropy) j->entropy[i] = j->lse[i] - k->dot(p, z, j->n_vocab) / sum;
    }
}

void mk_logprobs(struct mk_work *wk, const float *logits, const int32_t *target, size_t n,
                 size_t n_vocab, float *lp, float *lse, float *entropy)
{
    const struct mk_arena_mark mark = mk_arena_mark(&wk->arena);
    struct logprob_job j = {.wk = wk, .logits = logits, .target = target, .n_vocab = n_vocab};
    j.lp = lp, j.lse = lse, j.entropy = entropy;
    j.scratch = mk_floats(wk, mk_pool_size(wk->pool) * n_vocab);
    mk_pool_run(wk->pool, n, mk_grain(wk, 8 * n_vocab), logprob_rows, &j);
    mk_arena_reset(&wk->arena, mark);
}

static void logprob_back_rows(void *arg, size_t first, size_t last, unsigned thread)
{
    const struct logprob_job *j = arg;
    const struct mk_kernels *k = &j->wk->k;
    float *p = j->scratch + thread * j->n_vocab;
    for (size_t i = first; i < last; i++) {
        if (j->target[i] < 0 || j->coef[i] == 0.0f) continue;
        float *g = j->grad + i * j->n_vocab;
        memcpy(p, j->logits + i * j->n_vocab, j->n_vocab * sizeof *p);
        k->exp_sum(p, j->n_vocab, j->back_lse[i]);
        k->axpy(g, j->coef[i], p, j->n_vocab);
        g[j->target[i]] -= j->coef[i];
    }
}

void mk_logprobs_back(struct mk_work *wk, const float *logits, const int32_t *target,
                      const float *coef, const float *lse, size_t n, size_t n_vocab)
{
    const struct mk_arena_mark mark = mk_arena_mark(&wk->arena);
    struct logprob_job j = {.wk = wk, .logits = logits, .target = target, .coef = coef};
    j.n_vocab = n_vocab;
    j.back_lse = lse;
    j.grad = mk_grad(wk, logits);
    j.scratch = mk_floats(wk, mk_pool_size(wk->pool) * n_vocab);
    mk_pool_run(wk->pool, n, mk_grain(wk, 8 * n_vocab), logprob_back_rows, &j);
    mk_arena_reset(&wk->arena, mark);
}

/* ---- distillation ----------------------------------------------------------------- */

struct kl_job {
    struct mk_work *wk;
    const float *logits, *lse, *teacher, *teacher_lse, *coef;
    float *kl, *grad, *scratch;
    size_t n_vocab;
};

static void kl_rows(void *arg, size_t first, size_t last, unsigned thread)
{
    const struct kl_job *j = arg;
    const struct mk_kernels *k = &j->wk->k;
    const size_t n = j->n_vocab;
    float *p = j->scratch + 2 * thread * n, *diff = p + n; /* diff = log p - log q */
    for (size_t i = first; i < last; i++) {
        const float *z = j->logits + i * n, *t = j->teacher + i * n;
        const float shift = j->teacher_lse[i] - j->lse[i];
        memcpy(p, z, n * sizeof *p);
        k->exp_sum(p, n, j->lse[i]);
        for (size_t v = 0; v < n; v++) diff[v] = z[v] - t[v] + shift;
        j->kl[i] = k->dot(p, diff, n);
        float *g = j->grad + i * n;
        for (size_t v = 0; v < n; v++) g[v] += j->coef[i] * p[v] * (diff[v] - j->kl[i]);
    }
}

void mk_kl_back(struct mk_work *wk, const float *logits, const float *lse, const float *teacher,
                const float *teacher_lse, const float *coef, size_t n, size_t n_vocab, float *kl)
{
    const struct mk_arena_mark mark = mk_arena_mark(&wk->arena);
    struct kl_job j = {.wk = wk, .logits = logits, .lse = lse, .teacher = teacher, .coef = coef};
    j.teacher_lse = teacher_lse;
    j.kl = kl;
    j.n_vocab = n_vocab;
    j.grad = mk_grad(wk, logits);
    j.scratch = mk_floats(wk, 2 * mk_pool_size(wk->pool) * n_vocab);
    mk_pool_run(wk->pool, n, mk_grain(wk, 16 * n_vocab), kl_rows, &j);
    mk_arena_reset(&wk->arena, mark);
}
