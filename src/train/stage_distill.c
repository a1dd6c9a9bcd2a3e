#include "train/stage_distill.h"

#include "base/mem.h"
#include "base/rng.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct teacher {
    struct mk_model model;
    double weight;
};

struct sums { /* of a step */
    double kl, reward, n_thought, n_cut, topic_reward[MK_MAX_TASKS];
    size_t n_answers, n_topic[MK_MAX_TASKS];
};

struct mk_distill_stage {
    struct mk_distill_options o;
    struct mk_asking asking;
    struct teacher *teachers;
    uint64_t cursor;             /* questions drawn so far */
    struct mk_problem *problems; /* [n_prompts] of a step */
    size_t *topic;               /* [n_prompts] */
    struct mk_seqs prompts;
    struct mk_rollouts out;
    float *entropy;
    size_t cap_tok;
    double scale; /* 1 / tokens of the step */
    struct sums sum;
};

/* ---- opening ------------------------------------------------------------------------------ */

/* The same ids for the same bytes. */
static bool check_vocabulary(const struct mk_run *r, const struct mk_model *m, const char *path,
                             struct mk_err *err)
{
    struct mk_tokenizer *t;
    if (m->n_vocab != r->learner.model.n_vocab)
        return mk_fail(err, MK_EUSAGE, "%s: the teacher has a vocabulary of %zu, the student %zu",
                       path, m->n_vocab, r->learner.model.n_vocab);
    if (!mk_tokenizer_open(&t, &m->tensors, err)) return false;
    const int32_t n = mk_token_count(r->tokenizer);
    bool ok = mk_token_count(t) == n ||
              mk_fail(err, MK_EUSAGE, "%s: the teacher's tokenizer has %d tokens, the student's %d",
                      path, mk_token_count(t), n);
    for (int32_t id = 0; ok && id < n; id++) {
        size_t n_a, n_b;
        const char *a = mk_token_bytes(t, id, &n_a), *b = mk_token_bytes(r->tokenizer, id, &n_b);
        if (n_a != n_b || (n_a && memcmp(a, b, n_a) != 0))
            ok = mk_fail(err, MK_EUSAGE,
                         "%s: token %d is another one in the teacher's tokenizer than in the "
                         "student's",
                         path, id);
    }
    mk_tokenizer_free(t);
    return ok;
}

static bool open_teacher(struct teacher *t, const struct mk_teacher *o, const struct mk_run *r,
                         struct mk_err *err)
{
    if (!(o->weight > 0))
        return mk_fail(err, MK_EUSAGE, "%s: a teacher's weight is %g, want a number over 0",
                       o->path, o->weight);
    t->weight = o->weight;
    return mk_model_open(&t->model, o->path, err) && check_vocabulary(r, &t->model, o->path, err);
}

static bool open_parts(struct mk_distill_stage *s, const struct mk_run *r, struct mk_err *err)
{
    const struct mk_distill_options *o = &s->o;
    if (!o->n_teachers) return mk_fail(err, MK_EUSAGE, "no teacher to learn from");
    if (!mk_questions_need(o->questions, MK_SPLIT_TRAIN, err) ||
        !mk_asking_init(&s->asking, r->tokenizer, o->opening, o->max_new, r->learner.model.n_ctx,
                        err))
        return false;
    s->teachers = mk_calloc(o->n_teachers, sizeof *s->teachers);
    for (size_t i = 0; i < o->n_teachers; i++)
        if (!open_teacher(&s->teachers[i], &o->teachers[i], r, err)) return false;
    s->problems = mk_calloc(o->n_prompts, sizeof *s->problems);
    s->topic = mk_calloc(o->n_prompts, sizeof *s->topic);
    return true;
}

bool mk_distill_stage_new(struct mk_distill_stage **out, const struct mk_distill_options *o,
                          const struct mk_run *r, struct mk_err *err)
{
    struct mk_distill_stage *s = mk_alloc(sizeof *s);
    s->o = *o;
    if (!open_parts(s, r, err)) {
        mk_distill_stage_free(s);
        return false;
    }
    *out = s;
    return true;
}

void mk_distill_stage_free(struct mk_distill_stage *s)
{
    if (!s) return;
    for (size_t i = 0; s->teachers && i < s->o.n_teachers; i++)
        mk_model_close(&s->teachers[i].model);
    for (size_t i = 0; s->problems && i < s->o.n_prompts; i++) mk_problem_release(&s->problems[i]);
    free(s->teachers);
    free(s->problems);
    free(s->topic);
    free(s->entropy);
    mk_seqs_release(&s->prompts);
    mk_rollouts_release(&s->out);
    free(s);
}

/* ---- the student answers ------------------------------------------------------------------ */

static bool draw_questions(struct mk_distill_stage *s, struct mk_err *err)
{
    mk_seqs_clear(&s->prompts);
    for (size_t i = 0; i < s->o.n_prompts; i++, s->cursor++) {
        struct mk_rng rng = {s->o.seed ^ 0x647374ull};
        rng.state = mk_rng_u64(&rng) ^ s->cursor;
        s->topic[i] = mk_questions_pick(s->o.questions, mk_rng_f64(&rng), NULL);
        mk_questions_draw(s->o.questions, s->topic[i], s->o.seed ^ 0x6f70ull, s->cursor,
                          MK_LEVEL_STANDARD, MK_SPLIT_TRAIN, &s->problems[i]);
        if (!mk_asking_put(&s->asking, &s->problems[i], &s->prompts, err)) return false;
    }
    return true;
}

/* How right the answers are: shown, not learned from. */
static bool grade(struct mk_distill_stage *s, struct mk_err *err)
{
    for (size_t q = 0; q < s->out.seqs.n; q++) {
        const size_t i = q / s->o.n_samples;
        struct mk_graded g;
        if (!mk_questions_grade(s->o.questions, &s->asking, &s->problems[i], &s->out, q, &g, err))
            return false;
        s->sum.reward += g.reward;
        s->sum.topic_reward[s->topic[i]] += g.reward;
        s->sum.n_topic[s->topic[i]]++;
        s->sum.n_thought += (double)g.parts.n_thought;
        s->sum.n_cut += !g.parts.is_ended;
        s->sum.n_answers++;
    }
    return true;
}

static bool collect(struct mk_distill_stage *s, struct mk_run *r, struct mk_err *err)
{
    const uint64_t before = s->cursor;
    bool ok = draw_questions(s, err);
    const struct mk_rollout_options o = {.n_samples = s->o.n_samples,
                                         .max_new = s->o.max_new,
                                         .temperature = (float)s->o.temperature,
                                         .top_p = 1.0f,
                                         .seed = s->o.seed ^ s->cursor,
                                         .eos = s->asking.marks.eos,
                                         .form = r->learner.o.form};
    if (ok) mk_rollout(&s->out, &r->learner.model, &r->learner.wk, &s->prompts, &o);
    ok = ok && grade(s, err);
    if (ok) return true;
    s->cursor = before;
    r->is_intact = true;
    return false;
}

/* ---- the teachers speak ------------------------------------------------------------------- */

/* Logits of the rows that the student's step wants, for the same tokens. */
static const float *teacher_logits(const struct mk_model *m, struct mk_work *wk,
                                   const struct mk_step *step)
{
    struct mk_arena *a = &wk->arena;
    struct mk_kv *kv = mk_arena_zero(a, step->n_spans * sizeof *kv);
    struct mk_span *spans = mk_arena_zero(a, step->n_spans * sizeof *spans);
    float *logits = mk_floats(wk, step->n_want * m->n_vocab);
    for (size_t i = 0; i < step->n_spans; i++) {
        mk_kv_init_arena(&kv[i], &m->kv, step->spans[i].n, a);
        spans[i] =
            (struct mk_span){.kv = &kv[i], .first = step->spans[i].first, .n = step->spans[i].n};
    }
    mk_model_forward(m, wk,
                     &(struct mk_step){.tok = step->tok,
                                       .n_tok = step->n_tok,
                                       .spans = spans,
                                       .n_spans = step->n_spans,
                                       .want = step->want,
                                       .n_want = step->n_want,
                                       .logits = logits});
    return logits;
}

static void learn_from(struct mk_distill_stage *s, const struct teacher *t, struct mk_learner *l,
                       const struct mk_step *step, const int32_t *target, const float *lse)
{
    struct mk_work *wk = &l->wk;
    const struct mk_arena_mark mark = mk_arena_mark(&wk->arena);
    const size_t n = step->n_want, n_vocab = l->model.n_vocab;
    const float *logits = teacher_logits(&t->model, wk, step);
    float *lp = mk_floats(wk, n), *teacher_lse = mk_floats(wk, n), *kl = mk_floats(wk, n);
    float *coef = mk_floats(wk, n);
    for (size_t i = 0; i < n; i++) coef[i] = (float)(t->weight * s->scale);
    mk_logprobs(wk, logits, target, n, n_vocab, lp, teacher_lse, NULL);
    mk_kl_back(wk, step->logits, lse, logits, teacher_lse, coef, n, n_vocab, kl);
    for (size_t i = 0; i < n; i++) s->sum.kl += t->weight * s->scale * (double)kl[i];
    mk_arena_reset(&wk->arena, mark);
}

static void learn_step(void *arg, struct mk_learner *l, const struct mk_step *step,
                       const size_t *at, const float *lse)
{
    struct mk_distill_stage *s = arg;
    const struct mk_arena_mark mark = mk_arena_mark(&l->wk.arena);
    int32_t *target = mk_arena_take(&l->wk.arena, step->n_want * sizeof *target);
    for (size_t i = 0; i < step->n_want; i++) target[i] = s->out.seqs.tok[at[i]];
    for (size_t i = 0; i < s->o.n_teachers; i++)
        learn_from(s, &s->teachers[i], l, step, target, lse);
    mk_arena_reset(&l->wk.arena, mark);
}

/* ---- a step ------------------------------------------------------------------------------- */

static void put_metrics(const struct mk_distill_stage *s, struct mk_run *r, size_t n_written)
{
    struct mk_metrics *m = r->metrics;
    const double n = (double)s->sum.n_answers;
    double entropy = 0.0;
    char name[96];
    for (size_t i = 0; i < s->out.seqs.n_tok; i++)
        if (s->out.seqs.weight[i] > 0) entropy += (double)s->entropy[i];
    mk_metrics_put(m, "loss", s->sum.kl);
    mk_metrics_put(m, "kl", s->sum.kl);
    mk_metrics_put(m, "entropy", entropy / (double)n_written);
    mk_metrics_put(m, "accuracy", s->sum.reward / n);
    mk_metrics_put(m, "completions/mean_length", (double)n_written / n);
    mk_metrics_put(m, "completions/clipped_ratio", s->sum.n_cut / n);
    mk_metrics_put(m, "thought_length", s->sum.n_thought / n);
    for (size_t i = 0; i < mk_questions_n_topics(s->o.questions); i++) {
        snprintf(name, sizeof name, "accuracy/%.64s", mk_questions_topic(s->o.questions, i)->name);
        if (s->sum.n_topic[i])
            mk_metrics_put(m, name, s->sum.topic_reward[i] / (double)s->sum.n_topic[i]);
    }
}

static bool step(void *self, struct mk_run *r, struct mk_err *err)
{
    struct mk_distill_stage *s = self;
    size_t n_written = 0;
    s->sum = (struct sums){0};
    if (!collect(s, r, err)) return false;
    const struct mk_seqs *q = &s->out.seqs;
    for (size_t i = 0; i < q->n_tok; i++) n_written += q->weight[i] > 0;
    if (q->n_tok > s->cap_tok) {
        s->cap_tok = q->n_tok + q->n_tok / 2;
        s->entropy = mk_realloc(s->entropy, s->cap_tok * sizeof *s->entropy);
    }
    s->scale = 1.0 / (double)n_written;
    mk_learner_pass_logits(&r->learner, q, learn_step, s, NULL, s->entropy, NULL);
    r->label = "kl";
    r->value = s->sum.kl;
    r->n_tok = s->out.n_forward + q->n_tok;
    r->flops = r->flops_per_tok * ((double)q->n_tok + (double)s->out.n_forward / 3.0);
    put_metrics(s, r, n_written);
    return true;
}

static bool eval(void *self, struct mk_run *r, struct mk_err *err)
{
    const struct mk_distill_stage *s = self;
    return !s->o.eval || s->o.eval(s->o.eval_arg, r, err);
}

static void save(void *self, void *json)
{
    const struct mk_distill_stage *s = self;
    json_object_set_new(json, "cursor", json_integer((json_int_t)s->cursor));
    mk_questions_save(s->o.questions, json);
}

static bool load(void *self, const void *json, struct mk_err *err)
{
    struct mk_distill_stage *s = self;
    const json_t *cursor = json_object_get(json, "cursor");
    if (!json_is_integer(cursor) || json_integer_value(cursor) < 0)
        return mk_fail(err, MK_EFORMAT, "trainer.json: state.cursor is no count");
    s->cursor = (uint64_t)json_integer_value(cursor);
    return mk_questions_check(s->o.questions, json, err);
}

const struct mk_stage mk_distill_stage_fns = {
    .step = step, .eval = eval, .save = save, .load = load};
