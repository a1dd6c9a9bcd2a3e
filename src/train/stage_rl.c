#include "train/stage_rl.h"

#include "base/mem.h"
#include "base/rng.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct standing { /* of a task */
    struct mk_rl_standing at;
    double reward; /* of this step: sum over n answers */
    size_t n;
};

struct group { /* a question and its answers, kept for learning */
    size_t task;
    struct mk_problem problem;
};

struct token { /* what coef_of needs of a token, by its index in seqs */
    float adv, norm, lp_old, lp_ref;
};

struct mk_rl_stage {
    struct mk_rl_options o;
    struct mk_asking asking;
    struct standing tasks[MK_MAX_TASKS];
    size_t n_tasks;
    uint64_t cursor;      /* questions drawn so far */
    struct group *groups; /* [n_prompts] of a round */
    struct mk_seqs prompts;
    struct mk_rollouts out;
    /* The step's batch: answers of the groups that are kept. */
    struct mk_seqs seqs;
    float *lp_made; /* [seqs.n_tok] as they were generated */
    struct token *tok;
    float *lp, *entropy, *scratch;
    size_t cap_tok;
    size_t n_kept;        /* groups */
    double *reward, *adv; /* [n_samples] of a group */
    float *reference;     /* [params.n] or NULL */
    /* sums of the step */
    double sum_reward, sum_std, n_flat, n_groups, n_answers, n_toks, n_thought, n_cut, n_generated;
    double n_forward, rollout_s;
    double kl, n_clipped, n_terms, logp_gap;
};

/* ---- opening -------------------------------------------------------------------------- */

static bool check(const struct mk_rl_options *o, struct mk_err *err)
{
    if (o->n_samples < 2)
        return mk_fail(err, MK_EUSAGE,
                       "a group of %zu answers has nothing to compare; want 2 or more",
                       o->n_samples);
    if (!o->n_prompts) return mk_fail(err, MK_EUSAGE, "0 questions a step");
    if (o->n_updates > o->n_prompts || o->n_prompts % o->n_updates)
        return mk_fail(err, MK_EUSAGE, "%zu questions do not divide into %zu updates", o->n_prompts,
                       o->n_updates);
    if (o->overlong == MK_OVERLONG_SOFT && o->overlong_toks >= o->max_new)
        return mk_fail(err, MK_EUSAGE, "the last %zu tokens of %zu cannot cost", o->overlong_toks,
                       o->max_new);
    return true;
}

bool mk_rl_stage_new(struct mk_rl_stage **out, const struct mk_rl_options *o, struct mk_run *r,
                     struct mk_err *err)
{
    struct mk_rl_stage *s = mk_alloc(sizeof *s);
    s->o = *o;
    if (!check(o, err) || !mk_questions_need(o->questions, MK_SPLIT_TRAIN, err) ||
        !mk_asking_init(&s->asking, r->tokenizer, o->opening, o->max_new, r->learner.model.n_ctx,
                        err)) {
        free(s);
        return false;
    }
    s->n_tasks = mk_questions_n_topics(o->questions);
    for (size_t i = 0; i < s->n_tasks; i++)
        s->tasks[i].at = (struct mk_rl_standing){.mixed = 0.5, .solved = 0.5};
    s->groups = mk_calloc(o->n_prompts, sizeof *s->groups);
    s->reward = mk_calloc(2 * o->n_samples, sizeof *s->reward);
    s->adv = s->reward + o->n_samples;
    if (o->kl > 0) {
        s->reference = mk_calloc(r->learner.params.n, sizeof *s->reference);
        memcpy(s->reference, r->learner.params.v, r->learner.params.n * sizeof *s->reference);
        r->reference = s->reference;
    }
    *out = s;
    return true;
}

void mk_rl_stage_free(struct mk_rl_stage *s)
{
    if (!s) return;
    for (size_t i = 0; i < s->o.n_prompts; i++) mk_problem_release(&s->groups[i].problem);
    free(s->groups);
    free(s->reward);
    free(s->reference);
    free(s->lp_made);
    free(s->tok);
    free(s->lp);
    mk_seqs_release(&s->prompts);
    mk_seqs_release(&s->seqs);
    mk_rollouts_release(&s->out);
    free(s);
}

/* ---- questions --------------------------------------------------------------------------- */

static struct mk_rng rng_of(const struct mk_rl_stage *s, uint64_t index)
{
    struct mk_rng rng = {s->o.seed ^ 0x524cull};
    rng.state = mk_rng_u64(&rng) ^ index * 0x9e3779b97f4a7c15ull;
    mk_rng_u64(&rng);
    return rng;
}

/* A task by weight; adapting, also by its share of groups that teach something. */
static size_t draw_task(const struct mk_rl_stage *s, struct mk_rng *rng)
{
    double factor[MK_MAX_TASKS];
    for (size_t i = 0; i < s->n_tasks; i++) factor[i] = 0.1 + s->tasks[i].at.mixed;
    return mk_questions_pick(s->o.questions, mk_rng_f64(rng), s->o.adapts ? factor : NULL);
}

static bool draw_questions(struct mk_rl_stage *s, struct mk_err *err)
{
    mk_seqs_clear(&s->prompts);
    for (size_t i = 0; i < s->o.n_prompts; i++) {
        struct mk_rng rng = rng_of(s, s->cursor++);
        struct group *g = &s->groups[i];
        g->task = draw_task(s, &rng);
        mk_questions_draw(s->o.questions, g->task, s->o.seed ^ 0x726cull, s->cursor,
                          s->tasks[g->task].at.level, MK_SPLIT_TRAIN, &g->problem);
        if (!mk_asking_put(&s->asking, &g->problem, &s->prompts, err)) return false;
    }
    return true;
}

/* ---- rewards ------------------------------------------------------------------------------- */

static bool reward_of(struct mk_rl_stage *s, const struct group *g, size_t q, double *reward,
                      struct mk_err *err)
{
    struct mk_graded a;
    struct standing *t = &s->tasks[g->task];
    if (!mk_questions_grade(s->o.questions, &s->asking, &g->problem, &s->out, q, &a, err))
        return false;
    t->reward += a.reward;
    t->n++;
    s->sum_reward += a.reward;
    s->n_answers++;
    s->n_toks += (double)a.n;
    s->n_thought += (double)a.parts.n_thought;
    s->n_cut += !a.parts.is_ended;
    *reward = a.reward + (a.parts.is_well_formed ? s->o.format_reward : 0.0);
    const size_t free_toks = s->o.max_new - s->o.overlong_toks;
    if (s->o.overlong == MK_OVERLONG_SOFT && a.n > free_toks)
        *reward -= (double)(a.n - free_toks) / (double)s->o.overlong_toks;
    return true;
}

static void reserve(struct mk_rl_stage *s, size_t n)
{
    if (n <= s->cap_tok) return;
    s->cap_tok = n + n / 2;
    s->lp_made = mk_realloc(s->lp_made, s->cap_tok * sizeof *s->lp_made);
    s->tok = mk_realloc(s->tok, s->cap_tok * sizeof *s->tok);
    s->lp = mk_realloc(s->lp, 3 * s->cap_tok * sizeof *s->lp);
    s->entropy = s->lp + s->cap_tok;
    s->scratch = s->entropy + s->cap_tok;
}

/* Takes group g of the round into the step's batch. */
static void keep(struct mk_rl_stage *s, size_t g)
{
    for (size_t i = 0; i < s->o.n_samples; i++) {
        const size_t q = g * s->o.n_samples + i, from = s->out.seqs.start[q];
        const size_t n = s->out.seqs.start[q + 1] - from, at = s->seqs.n_tok;
        const bool is_masked = s->o.overlong == MK_OVERLONG_MASK && !s->out.is_ended[q];
        reserve(s, at + n);
        mk_seqs_put(&s->seqs, s->out.seqs.tok + from, s->out.n_prompt[q], 0.0f);
        mk_seqs_put(&s->seqs, s->out.seqs.tok + from + s->out.n_prompt[q], n - s->out.n_prompt[q],
                    is_masked ? 0.0f : 1.0f);
        mk_seqs_end(&s->seqs);
        memcpy(s->lp_made + at, s->out.lp + from, n * sizeof *s->lp_made);
        for (size_t t = 0; t < n; t++) s->tok[at + t] = (struct token){.adv = (float)s->adv[i]};
    }
    s->n_kept++;
}

/* Group g of the round. */
static bool judge(struct mk_rl_stage *s, size_t g, struct mk_err *err)
{
    double mean = 0.0, var = 0.0;
    const double sum = s->sum_reward; /* without what form earns or length costs */
    const size_t k = s->o.n_samples, task = s->groups[g].task;
    for (size_t i = 0; i < k; i++) {
        if (!reward_of(s, &s->groups[g], g * k + i, &s->reward[i], err)) return false;
        mean += s->reward[i] / (double)k;
    }
    for (size_t i = 0; i < k; i++) var += (s->reward[i] - mean) * (s->reward[i] - mean);
    const bool is_flat = var < 1e-12;
    s->sum_std += sqrt(var / (double)(k - 1));
    s->n_flat += is_flat;
    s->n_groups++;
    if (s->o.adapts)
        mk_rl_standing_learn(&s->tasks[task].at, mk_questions_topic(s->o.questions, task)->lo,
                             (s->sum_reward - sum) / (double)k, !is_flat);
    if (s->n_kept == s->o.n_prompts || (is_flat && s->o.n_rounds > 1)) return true;
    mk_rl_advantages(s->reward, k, !s->o.keeps_scale && s->o.norm != MK_RL_DRGRPO, s->adv);
    keep(s, g);
    return true;
}

static bool collect(struct mk_rl_stage *s, struct mk_run *r, struct mk_err *err)
{
    struct mk_learner *l = &r->learner;
    s->n_kept = 0;
    mk_seqs_clear(&s->seqs);
    for (size_t round = 0; round < s->o.n_rounds && s->n_kept < s->o.n_prompts; round++) {
        if (!draw_questions(s, err)) return false;
        const struct mk_rollout_options o = {.n_samples = s->o.n_samples,
                                             .max_new = s->o.max_new,
                                             .temperature = (float)s->o.temperature,
                                             .top_p = 1.0f,
                                             .seed = s->o.seed ^ s->cursor,
                                             .eos = s->asking.marks.eos,
                                             .form = l->o.form};
        mk_rollout(&s->out, &l->model, &l->wk, &s->prompts, &o);
        s->n_forward += (double)s->out.n_forward;
        s->n_generated += (double)s->out.n_generated;
        s->rollout_s += s->out.seconds;
        for (size_t g = 0; g < s->o.n_prompts; g++)
            if (!judge(s, g, err)) return false;
    }
    return true;
}

/* A step that cannot be made (a verifier command fails) leaves the stage as it was before. */
static bool collect_or_restore(struct mk_rl_stage *s, struct mk_run *r, struct mk_err *err)
{
    struct standing before[MK_MAX_TASKS];
    const uint64_t cursor = s->cursor;
    memcpy(before, s->tasks, sizeof before);
    if (collect(s, r, err)) return true;
    memcpy(s->tasks, before, sizeof before);
    s->cursor = cursor;
    r->is_intact = true;
    return false;
}

/* ---- learning ------------------------------------------------------------------------------- */

static void set_norms(struct mk_rl_stage *s, const struct mk_seqs *q, size_t at)
{
    double n_all = 0.0;
    for (size_t i = 0; i < q->n_tok; i++) n_all += (double)q->weight[i];
    for (size_t i = 0; i < q->n; i++) {
        double n = 0.0;
        for (size_t t = q->start[i]; t < q->start[i + 1]; t++) n += (double)q->weight[t];
        const double share = s->o.norm == MK_RL_DAPO   ? n_all
                             : s->o.norm == MK_RL_GRPO ? n * (double)q->n
                                                       : (double)s->o.max_new * (double)q->n;
        for (size_t t = q->start[i]; t < q->start[i + 1]; t++)
            s->tok[at + t].norm = share > 0 ? (float)(1.0 / share) : 0.0f;
    }
}

struct learning { /* of one update: sequences [.., ..) of the batch start at token `at` */
    struct mk_rl_stage *s;
    size_t at;
    bool is_first; /* lp_old is what this very pass computes */
};

static void coef_of(void *arg, const size_t *at, const float *lp, size_t n, float *coef)
{
    const struct learning *v = arg;
    struct mk_rl_stage *s = v->s;
    for (size_t i = 0; i < n; i++) {
        struct token *t = &s->tok[v->at + at[i]];
        if (v->is_first) t->lp_old = lp[i];
        s->logp_gap = fmax(s->logp_gap, fabs((double)(lp[i] - s->lp_made[v->at + at[i]])));
        const struct mk_rl_term term =
            mk_rl_term(&s->o, &(struct mk_rl_token){(double)t->adv, (double)t->norm, (double)lp[i],
                                                    (double)t->lp_old, (double)t->lp_ref});
        coef[i] = (float)term.coef;
        s->kl += term.kl;
        s->n_clipped += term.is_clipped;
        s->n_terms++;
    }
}

/* Log-probabilities under the reference: its weights take the place of the policy's meanwhile. */
static bool score_reference(struct mk_rl_stage *s, struct mk_learner *l, struct mk_err *err)
{
    const size_t n = l->params.n;
    float *policy = mk_calloc(n, sizeof *policy);
    memcpy(policy, l->params.v, n * sizeof *policy);
    memcpy(l->params.v, s->reference, n * sizeof *policy);
    bool ok = mk_learner_refresh(l, err);
    if (ok) mk_learner_score(l, &s->seqs, s->scratch, NULL);
    for (size_t i = 0; ok && i < s->seqs.n_tok; i++) s->tok[i].lp_ref = s->scratch[i];
    memcpy(l->params.v, policy, n * sizeof *policy);
    free(policy);
    return mk_learner_refresh(l, err) && ok;
}

/* Sequences of update u out of n: whole groups. */
static struct mk_seqs part_of(const struct mk_rl_stage *s, size_t u, size_t n, size_t **start,
                              size_t *at)
{
    const size_t g0 = s->n_kept * u / n, g1 = s->n_kept * (u + 1) / n, k = s->o.n_samples;
    const size_t first = g0 * k, count = (g1 - g0) * k;
    *at = s->seqs.start[first];
    *start = mk_calloc(count + 1, sizeof **start);
    for (size_t i = 0; i <= count; i++) (*start)[i] = s->seqs.start[first + i] - *at;
    return (struct mk_seqs){.tok = s->seqs.tok + *at,
                            .weight = s->seqs.weight + *at,
                            .n_tok = (*start)[count],
                            .start = *start,
                            .n = count};
}

static bool learn(struct mk_rl_stage *s, struct mk_run *r, struct mk_err *err)
{
    struct mk_learner *l = &r->learner;
    const size_t n = s->o.n_updates;
    if (s->reference && !score_reference(s, l, err)) return false;
    if (n > 1) {
        mk_learner_score(l, &s->seqs, s->scratch, NULL);
        for (size_t i = 0; i < s->seqs.n_tok; i++) s->tok[i].lp_old = s->scratch[i];
    }
    for (size_t u = 0; u < n; u++) {
        size_t *start, at;
        struct mk_update done;
        const struct mk_seqs q = part_of(s, u, n, &start, &at);
        struct learning v = {.s = s, .at = at, .is_first = n == 1};
        set_norms(s, &q, at);
        mk_learner_pass(l, &q, 1.0, coef_of, &v, s->lp + at, s->entropy + at, NULL);
        free(start);
        /* The run does the last one. */
        if (u + 1 < n && !mk_learner_update(l, r->lr, &done, err)) return false;
    }
    return true;
}

/* ---- a step --------------------------------------------------------------------------------- */

static void put_metrics(struct mk_rl_stage *s, struct mk_run *r)
{
    struct mk_metrics *m = r->metrics;
    double entropy = 0.0, n_weight = 0.0;
    char name[96];
    for (size_t i = 0; i < s->seqs.n_tok; i++)
        if (s->seqs.weight[i] > 0) entropy += (double)s->entropy[i], n_weight++;
    mk_metrics_put(m, "reward", s->sum_reward / s->n_answers);
    mk_metrics_put(m, "reward_std", s->sum_std / s->n_groups);
    mk_metrics_put(m, "frac_reward_zero_std", s->n_flat / s->n_groups);
    mk_metrics_put(m, "groups", (double)s->n_kept);
    mk_metrics_put(m, "completions/mean_length", s->n_toks / s->n_answers);
    mk_metrics_put(m, "completions/clipped_ratio", s->n_cut / s->n_answers);
    mk_metrics_put(m, "thought_length", s->n_thought / s->n_answers);
    mk_metrics_put(m, "rollout_toks_per_s", s->n_generated / s->rollout_s);
    if (n_weight > 0) mk_metrics_put(m, "entropy", entropy / n_weight);
    if (s->n_terms > 0) mk_metrics_put(m, "clip_ratio", s->n_clipped / s->n_terms);
    if (s->reference && s->n_terms > 0) mk_metrics_put(m, "kl", s->kl / s->n_terms);
    mk_metrics_put(m, "sampling_logp_difference", s->logp_gap);
    for (size_t i = 0; i < s->n_tasks; i++) {
        struct standing *t = &s->tasks[i];
        snprintf(name, sizeof name, "accuracy/%.64s", mk_questions_topic(s->o.questions, i)->name);
        if (t->n) mk_metrics_put(m, name, t->reward / (double)t->n);
        t->reward = 0.0;
        t->n = 0;
    }
}

static bool step(void *self, struct mk_run *r, struct mk_err *err)
{
    struct mk_rl_stage *s = self;
    s->sum_reward = s->sum_std = s->n_flat = s->n_groups = s->n_answers = s->n_toks = 0.0;
    s->n_forward = s->rollout_s = 0.0;
    s->n_thought = s->n_cut = s->n_generated = s->kl = s->n_clipped = s->n_terms = s->logp_gap =
        0.0;
    if (s->reference && s->o.ref_every && r->step % s->o.ref_every == 0)
        memcpy(s->reference, r->learner.params.v, r->learner.params.n * sizeof *s->reference);
    if (!collect_or_restore(s, r, err)) return false;
    if (s->n_kept && !learn(s, r, err)) return false;
    r->label = "reward";
    r->value = s->sum_reward / s->n_answers;
    r->n_tok = (size_t)s->n_forward + s->seqs.n_tok;
    r->flops = r->flops_per_tok * ((double)s->seqs.n_tok + s->n_forward / 3.0);
    put_metrics(s, r);
    return true;
}

static bool eval(void *self, struct mk_run *r, struct mk_err *err)
{
    const struct mk_rl_stage *s = self;
    return !s->o.eval || s->o.eval(s->o.eval_arg, r, err);
}

static void save(void *self, void *json)
{
    const struct mk_rl_stage *s = self;
    json_t *tasks = json_array();
    for (size_t i = 0; i < s->n_tasks; i++)
        json_array_append_new(tasks, json_pack("{s:s, s:i, s:f, s:f}", "name",
                                               mk_questions_topic(s->o.questions, i)->name, "level",
                                               s->tasks[i].at.level, "mixed", s->tasks[i].at.mixed,
                                               "solved", s->tasks[i].at.solved));
    json_object_set_new(json, "cursor", json_integer((json_int_t)s->cursor));
    json_object_set_new(json, "tasks", tasks);
    mk_questions_save(s->o.questions, json);
}

static bool load_task(struct mk_rl_standing *to, const struct mk_topic *topic, const json_t *t,
                      struct mk_err *err)
{
    const char *name = json_string_value(json_object_get(t, "name"));
    const json_int_t level = json_integer_value(json_object_get(t, "level"));
    if (!name || strcmp(name, topic->name))
        return mk_fail(err, MK_EFORMAT, "trainer.json: state of task %.64s, want %s",
                       name ? name : "?", topic->name);
    if (level < topic->lo || level > topic->hi)
        return mk_fail(err, MK_EFORMAT, "trainer.json: level %lld of task %s", (long long)level,
                       topic->name);
    to->level = (int)level;
    to->mixed = json_number_value(json_object_get(t, "mixed"));
    to->solved = json_number_value(json_object_get(t, "solved"));
    return true;
}

static bool load(void *self, const void *json, struct mk_err *err)
{
    struct mk_rl_stage *s = self;
    const json_t *tasks = json_object_get(json, "tasks"), *cursor = json_object_get(json, "cursor");
    if (!json_is_integer(cursor) || json_integer_value(cursor) < 0)
        return mk_fail(err, MK_EFORMAT, "trainer.json: state.cursor is no count");
    if (json_array_size(tasks) != s->n_tasks)
        return mk_fail(err, MK_EFORMAT, "trainer.json: state.tasks has %zu members, want %zu",
                       json_array_size(tasks), s->n_tasks);
    for (size_t i = 0; i < s->n_tasks; i++)
        if (!load_task(&s->tasks[i].at, mk_questions_topic(s->o.questions, i),
                       json_array_get(tasks, i), err))
            return false;
    s->cursor = (uint64_t)json_integer_value(cursor);
    return mk_questions_check(s->o.questions, json, err);
}

const struct mk_stage mk_rl_stage_fns = {.step = step, .eval = eval, .save = save, .load = load};
