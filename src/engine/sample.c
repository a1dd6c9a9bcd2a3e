#include "engine/sample.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool in_range(const char *name, float v, float lo, float hi, struct mk_err *err)
{
    if (v >= lo && v <= hi) return true;
    return mk_fail(err, MK_EUSAGE, "%s is %g, want %g to %g", name, (double)v, (double)lo,
                   (double)hi);
}

bool mk_sampling_check(const struct mk_sampling *s, size_t n_vocab, struct mk_err *err)
{
    if (!in_range("temperature", s->temperature, 0, 100, err) ||
        !in_range("top_p", s->top_p, 0, 1, err) || !in_range("min_p", s->min_p, 0, 1, err) ||
        !in_range("repetition_penalty", s->repetition_penalty, 0.01f, 100, err) ||
        !in_range("presence_penalty", s->presence_penalty, -100, 100, err) ||
        !in_range("frequency_penalty", s->frequency_penalty, -100, 100, err))
        return false;
    if (s->top_k < 0) return mk_fail(err, MK_EUSAGE, "top_k is %d, want 0 or more", (int)s->top_k);
    if (s->n_top > MK_MAX_TOP)
        return mk_fail(err, MK_EUSAGE, "%zu alternatives asked for, at most %d are reported",
                       s->n_top, MK_MAX_TOP);
    for (size_t i = 0; i < s->n_bias; i++)
        if (s->bias[i].id < 0 || (size_t)s->bias[i].id >= n_vocab || isnan(s->bias[i].add))
            return mk_fail(err, MK_EUSAGE, "logit bias %g for token id %d; ids are 0..%zu",
                           (double)s->bias[i].add, (int)s->bias[i].id, n_vocab - 1);
    return true;
}

void mk_sampler_init(struct mk_sampler *s, const struct mk_kernels *k,
                     const struct mk_sampling *set, const bool *allowed, size_t n_vocab)
{
    *s = (struct mk_sampler){0};
    s->k = k, s->set = set, s->allowed = allowed, s->n_vocab = n_vocab;
    s->rng.state = set->seed;
    s->work = mk_calloc(n_vocab, sizeof *s->work);
    s->pool = mk_calloc(n_vocab, sizeof *s->pool);
    s->n_made = mk_calloc(n_vocab, sizeof *s->n_made);
    s->is_seen = mk_calloc(n_vocab, sizeof *s->is_seen);
}

void mk_sampler_release(struct mk_sampler *s)
{
    free(s->work);
    free(s->pool);
    free(s->n_made);
    free(s->is_seen);
    mk_ids_release(&s->seen);
    *s = (struct mk_sampler){0};
}

void mk_sampler_note(struct mk_sampler *s, int32_t id, bool is_made)
{
    assert(id >= 0 && (size_t)id < s->n_vocab);
    if (!s->is_seen[id]) mk_ids_add(&s->seen, id);
    s->is_seen[id] = true;
    s->n_made[id] += is_made;
}

/* More likely first; equal logits by lower id. */
static bool before(const struct mk_logprob *a, const struct mk_logprob *b)
{
    return a->logprob > b->logprob || (a->logprob == b->logprob && a->id < b->id);
}
static int compare(const void *a, const void *b)
{
    return before(a, b) ? -1 : before(b, a) ? 1 : 0;
}

static void penalize(struct mk_sampler *s)
{
    const struct mk_sampling *t = s->set;
    for (size_t i = 0; i < s->seen.n; i++) {
        const int32_t id = s->seen.v[i];
        float v = s->work[id];
        if (t->repetition_penalty != 1.0f)
            v = v > 0 ? v / t->repetition_penalty : v * t->repetition_penalty;
        if (s->n_made[id]) v -= t->presence_penalty + t->frequency_penalty * (float)s->n_made[id];
        s->work[id] = v;
    }
}

/* What is forbidden and NaN out of the way, then the settings that change logits. */
static void adjust(struct mk_sampler *s, const float *logits)
{
    const struct mk_sampling *t = s->set;
    const bool *allowed = s->allowed;
    for (size_t i = 0; i < s->n_vocab; i++)
        s->work[i] = (allowed && !allowed[i]) || isnan(logits[i]) ? -INFINITY : logits[i];
    penalize(s);
    for (size_t i = 0; i < t->n_bias; i++) s->work[t->bias[i].id] += t->bias[i].add;
}

/* Block by block: only the one with the largest is looked through. */
size_t mk_likeliest(const struct mk_kernels *k, const float *v, size_t n)
{
    enum { BLOCK = 4096 };
    float max = -INFINITY;
    size_t at = 0;
    for (size_t i = 0; i < n; i += BLOCK) {
        const float m = k->max(v + i, n - i < BLOCK ? n - i : BLOCK);
        if (m > max) max = m, at = i;
    }
    const size_t first = at;
    while (at < n && v[at] != max) at++;
    return at < n ? at : first;
}

/* From here on work holds e = exp((logit - largest) / temperature): 1 for the best id. */

/* The ids with the largest e, sorted: at least the n_want most likely, and at least the mass
 * p of the total. */
static size_t candidates(struct mk_sampler *s, double total, size_t n_want, double p)
{
    for (float least = 1.0f / 64;; least /= 64) {
        size_t n = 0;
        double mass = 0.0;
        for (size_t i = 0; i < s->n_vocab; i++)
            if (s->work[i] >= least && s->work[i] > 0.0f) {
                s->pool[n++] = (struct mk_logprob){(int32_t)i, s->work[i]};
                mass += (double)s->work[i];
            }
        if (least > 0.0f && n < s->n_vocab && (n < n_want || mass < p * total)) continue;
        qsort(s->pool, n, sizeof *s->pool, compare);
        return n;
    }
}

/* No cut that needs an order: draws from all ids that min-p leaves. */
static int32_t draw_any(struct mk_sampler *s, size_t best)
{
    const float min_p = s->set->min_p;
    double kept = 0.0;
    for (size_t i = 0; i < s->n_vocab; i++)
        if (s->work[i] >= min_p) kept += (double)s->work[i];
    double u = mk_rng_f64(&s->rng) * kept;
    size_t last = best;
    for (size_t i = 0; i < s->n_vocab; i++) {
        if (s->work[i] < min_p || s->work[i] <= 0.0f) continue;
        last = i;
        if ((u -= (double)s->work[i]) < 0.0) break;
    }
    return (int32_t)last;
}

/* Cuts the sorted pool, then draws from what is left. */
static int32_t draw(struct mk_sampler *s, size_t best, double total)
{
    const struct mk_sampling *t = s->set;
    const size_t k = (size_t)t->top_k < s->n_vocab ? (size_t)t->top_k : 0;
    if (!k && t->top_p >= 1.0f) return draw_any(s, best);
    size_t n = candidates(s, total, k ? k : 1, k ? 0.0 : (double)t->top_p);
    double mass = total;
    if (k) { /* top-p counts against what top-k left */
        n = k < n ? k : n;
        mass = 0.0;
        for (size_t i = 0; i < n; i++) mass += (double)s->pool[i].logprob;
    }
    double kept = 0.0;
    size_t m = 0;
    while (m < n) {
        const float e = s->pool[m].logprob;
        if (m && (kept >= (double)t->top_p * mass || e < t->min_p)) break;
        kept += (double)e;
        m++;
    }
    double u = mk_rng_f64(&s->rng) * kept;
    for (size_t i = 0; i < m; i++)
        if ((u -= (double)s->pool[i].logprob) < 0.0) return s->pool[i].id;
    return s->pool[m - 1].id;
}

/* Logarithm of the sum of exponentials; work is free by now. */
static double log_sum(struct mk_sampler *s, const float *logits, float max)
{
    for (size_t i = 0; i < s->n_vocab; i++)
        s->work[i] = logits[i] == logits[i] ? logits[i] : -INFINITY;
    return (double)max + log((double)s->k->exp_sum(s->work, s->n_vocab, max));
}

static void report(struct mk_sampler *s, const float *logits, struct mk_sampled *out)
{
    const double base = log_sum(s, logits, s->k->max(logits, s->n_vocab));
    out->logprob = (float)((double)logits[out->id] - base);
    struct mk_logprob *top = out->top;
    size_t n = 0;
    for (size_t i = 0; s->set->n_top && i < s->n_vocab; i++) {
        const struct mk_logprob c = {(int32_t)i, (float)((double)logits[i] - base)};
        if (n == s->set->n_top && !before(&c, &top[n - 1])) continue;
        size_t at = n < s->set->n_top ? n++ : n - 1;
        for (; at > 0 && before(&c, &top[at - 1]); at--) top[at] = top[at - 1];
        top[at] = c;
    }
}

/* The best id; where settings forbid all, the first that is allowed. */
static size_t choose_best(const struct mk_sampler *s)
{
    size_t best = mk_likeliest(s->k, s->work, s->n_vocab);
    if (s->work[best] > -INFINITY || !s->allowed) return best;
    for (best = 0; best + 1 < s->n_vocab && !s->allowed[best];) best++;
    return best;
}

struct mk_sampled mk_sample(struct mk_sampler *s, const float *logits)
{
    struct mk_sampled out = {0};
    adjust(s, logits);
    const size_t best = choose_best(s);
    const float t = s->set->temperature, max = s->work[best];
    out.id = (int32_t)best;
    if (t > 0.0f && max > -INFINITY) {
        const float by = 1.0f / fmaxf(t, FLT_MIN); /* a division takes five times as long */
        for (size_t i = 0; i < s->n_vocab; i++) s->work[i] = (s->work[i] - max) * by;
        const double total = (double)s->k->exp_sum(s->work, s->n_vocab, 0.0f);
        out.id = draw(s, best, total);
    }
    if (s->set->wants_logprobs) report(s, logits, &out);
    return out;
}
