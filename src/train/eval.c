#include "train/eval.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Wilson's interval of k successes in n trials, 95 %. */
static void wilson(double share, double n, double *lo, double *hi)
{
    const double z = 1.959964, d = 1 + z * z / n, mid = (share + z * z / (2 * n)) / d;
    const double half = z / d * sqrt(share * (1 - share) / n + z * z / (4 * n * n));
    *lo = fmax(mid - half, 0.0);
    *hi = fmin(mid + half, 1.0);
}

struct run {
    const struct mk_eval_options *o;
    const struct mk_model *m;
    struct mk_work *wk;
    struct mk_asking asking;
    size_t n_topics, n_each;     /* problems of each topic */
    struct mk_problem *problems; /* [n_topics][n_each] */
    struct mk_seqs prompts;
    struct mk_rollouts out;
};

static bool make_prompts(struct run *r, struct mk_err *err)
{
    for (size_t i = 0; i < r->n_topics * r->n_each; i++) {
        const size_t topic = i / r->n_each;
        const struct mk_topic *t = mk_questions_topic(r->o->questions, topic);
        const int level = r->o->level < t->lo ? t->lo : r->o->level > t->hi ? t->hi : r->o->level;
        mk_questions_draw(r->o->questions, topic, r->o->seed, i % r->n_each, level,
                          MK_SPLIT_HELDOUT, &r->problems[i]);
        if (!mk_asking_put(&r->asking, &r->problems[i], &r->prompts, err)) return false;
    }
    return true;
}

static void generate(struct run *r, struct mk_eval *e, size_t n_samples, float temperature)
{
    const struct mk_rollout_options o = {.n_samples = n_samples,
                                         .max_new = r->o->max_new,
                                         .temperature = temperature,
                                         .top_p = 1.0f,
                                         .seed = r->o->sample_seed,
                                         .eos = r->asking.marks.eos};
    mk_rollout(&r->out, r->m, r->wk, &r->prompts, &o);
    e->n_forward += r->out.n_forward;
    e->n_generated += r->out.n_generated;
    e->generating_s += r->out.seconds;
}

static bool grade(const struct run *r, size_t problem, size_t sample, struct mk_graded *g,
                  struct mk_err *err)
{
    return mk_questions_grade(r->o->questions, &r->asking, &r->problems[problem], &r->out, sample,
                              g, err);
}

static bool add_greedy(struct run *r, struct mk_eval *e, struct mk_err *err)
{
    generate(r, e, 1, 0.0f);
    for (size_t i = 0; i < r->n_topics * r->n_each; i++) {
        struct mk_graded g;
        struct mk_eval_row *rows[] = {&e->rows[i / r->n_each], &e->rows[r->n_topics]};
        if (!grade(r, i, i, &g, err)) return false;
        for (int k = 0; k < 2; k++) {
            rows[k]->n++;
            rows[k]->greedy += g.reward;
            rows[k]->thought_toks += (double)g.parts.n_thought;
            rows[k]->truncated += !g.parts.is_ended;
        }
    }
    return true;
}

static bool add_sampled(struct run *r, struct mk_eval *e, struct mk_err *err)
{
    const size_t n = r->o->n_samples;
    generate(r, e, n, r->o->temperature);
    for (size_t i = 0; i < r->n_topics * r->n_each; i++) {
        struct mk_eval_row *rows[] = {&e->rows[i / r->n_each], &e->rows[r->n_topics]};
        double sum = 0.0, best = 0.0;
        for (size_t s = 0; s < n; s++) {
            struct mk_graded g;
            if (!grade(r, i, i * n + s, &g, err)) return false;
            sum += g.reward;
            best = fmax(best, g.reward);
        }
        for (int k = 0; k < 2; k++) {
            rows[k]->sampled += sum / (double)n;
            rows[k]->pass_k += best;
        }
    }
    return true;
}

static void finish(struct mk_eval *e)
{
    for (size_t i = 0; i < e->n_rows; i++) {
        struct mk_eval_row *row = &e->rows[i];
        const double n = (double)row->n;
        row->greedy /= n, row->sampled /= n, row->pass_k /= n;
        row->thought_toks /= n, row->truncated /= n;
        wilson(row->greedy, n, &row->lo, &row->hi);
    }
}

static bool measure(struct run *r, struct mk_eval *e, struct mk_err *err)
{
    e->n_rows = r->n_topics + 1;
    e->rows = mk_calloc(e->n_rows, sizeof *e->rows);
    for (size_t i = 0; i < r->n_topics; i++)
        e->rows[i].name = mk_questions_topic(r->o->questions, i)->name;
    e->rows[r->n_topics].name = "all";
    if (!make_prompts(r, err) || !add_greedy(r, e, err) ||
        (r->o->n_samples && !add_sampled(r, e, err)))
        return false;
    finish(e);
    return true;
}

bool mk_eval_run(struct mk_eval *out, const struct mk_model *m, struct mk_work *wk,
                 const struct mk_tokenizer *t, const struct mk_eval_options *o, struct mk_err *err)
{
    struct run r = {.o = o, .m = m, .wk = wk};
    if (!o->n_problems) return mk_fail(err, MK_EUSAGE, "0 problems show nothing");
    if (!mk_questions_need(o->questions, MK_SPLIT_HELDOUT, err) ||
        !mk_asking_init(&r.asking, t, o->opening, o->max_new, m->n_ctx, err))
        return false;
    const size_t most = mk_questions_count(o->questions, 0, MK_SPLIT_HELDOUT);
    r.n_topics = mk_questions_n_topics(o->questions);
    r.n_each = o->n_problems < most ? o->n_problems : most;
    r.problems = mk_calloc(r.n_topics * r.n_each, sizeof *r.problems);
    struct mk_eval e = {0};
    const bool ok = measure(&r, &e, err);
    for (size_t i = 0; i < r.n_topics * r.n_each; i++) mk_problem_release(&r.problems[i]);
    free(r.problems);
    mk_seqs_release(&r.prompts);
    mk_rollouts_release(&r.out);
    if (!ok) {
        mk_eval_release(&e);
        return false;
    }
    *out = e;
    return true;
}

void mk_eval_release(struct mk_eval *e)
{
    free(e->rows);
    *e = (struct mk_eval){0};
}

bool mk_eval_stage(void *options, struct mk_run *r, struct mk_err *err)
{
    struct mk_eval e;
    if (!mk_eval_run(&e, &r->learner.model, &r->learner.wk, r->tokenizer, options, err))
        return false;
    for (size_t i = 0; i + 1 < e.n_rows; i++) {
        const struct mk_eval_row *row = &e.rows[i];
        char name[96];
        snprintf(name, sizeof name, "eval/greedy/%.64s", row->name);
        mk_metrics_put(r->metrics, name, row->greedy);
    }
    const struct mk_eval_row *all = &e.rows[e.n_rows - 1];
    mk_metrics_put(r->metrics, "eval/greedy", all->greedy);
    mk_metrics_put(r->metrics, "eval/thought_length", all->thought_toks);
    mk_metrics_put(r->metrics, "eval/truncated", all->truncated);
    mk_eval_release(&e);
    return true;
}
