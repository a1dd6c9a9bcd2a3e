/* Endless generated problems and small talk.  Everything about number i is drawn from a
 * generator whose state is a hash of (seed, i). */
#include "base/mem.h"
#include "train/data.h"
#include "train/smalltalk.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TRIES = 64 };

struct mk_mixer {
    struct mk_mix mix;
    const struct mk_task *task[MK_MAX_TASKS];
    double upto[MK_MAX_TASKS];    /* sum of the weights of this task and those before it */
    uint64_t demos[MK_MAX_TASKS]; /* problems whose thoughts are known; 0: all */
    size_t n;
};

/* ---- options ---- */

static bool check_share(const char *what, double share, struct mk_err *err)
{
    return (share >= 0 && share <= 1) ||
           mk_fail(err, MK_EUSAGE, "the share of %s is %g, want 0 to 1", what, share);
}

static bool check_shares(const struct mk_mix *m, struct mk_err *err)
{
    if (!check_share("direct answers", m->direct, err) ||
        !check_share("small talk", m->talk, err) || !check_share("checked traces", m->check, err) ||
        !check_share("traces with slips", m->slip, err) ||
        !check_share("traces with noise", m->noise, err) ||
        !check_share("easier problems", m->easy, err) ||
        !check_share("harder problems", m->hard, err))
        return false;
    if (m->direct + m->talk > 1)
        return mk_fail(err, MK_EUSAGE, "direct answers %g and small talk %g are more than all",
                       m->direct, m->talk);
    if (m->easy + m->hard > 1)
        return mk_fail(err, MK_EUSAGE, "easier %g and harder problems %g are more than all",
                       m->easy, m->hard);
    return true;
}

static bool parse_tasks(struct mk_mixer *m, struct mk_err *err)
{
    struct mk_task_list l;
    if (!mk_task_list_parse(&l, m->mix.tasks, err)) return false;
    for (; m->n < l.n; m->n++) {
        m->task[m->n] = l.task[m->n];
        m->upto[m->n] = (m->n ? m->upto[m->n - 1] : 0) + l.weight[m->n];
    }
    return true;
}

static bool set_demos(struct mk_mixer *m, const struct mk_task *task, double n, struct mk_err *err)
{
    if (n < 1 || n > 1e15 || n != floor(n))
        return mk_fail(err, MK_EUSAGE, "demos: %s:%g is no number of thoughts", task->name, n);
    for (size_t i = 0; i < m->n; i++) {
        if (m->task[i] != task) continue;
        m->demos[i] = (uint64_t)n;
        return true;
    }
    return mk_fail(err, MK_EUSAGE, "demos: %s is not one of the tasks", task->name);
}

static bool parse_demos(struct mk_mixer *m, struct mk_err *err)
{
    struct mk_task_list l;
    if (!m->mix.demos) return true;
    if (!mk_task_list_parse(&l, m->mix.demos, err)) return false;
    for (size_t i = 0; i < l.n; i++)
        if (!set_demos(m, l.task[i], l.weight[i], err)) return false;
    return true;
}

bool mk_mixer_new(struct mk_mixer **out, const struct mk_mix *mix, struct mk_err *err)
{
    struct mk_mixer *m = mk_alloc(sizeof *m);
    m->mix = *mix;
    if (!check_shares(mix, err) || !parse_tasks(m, err) || !parse_demos(m, err)) {
        free(m);
        return false;
    }
    m->mix.tasks = m->mix.demos = NULL; /* not ours */
    *out = m;
    return true;
}

void mk_mixer_free(struct mk_mixer *m) { free(m); }

/* ---- drawing ---- */

/* Small talk has no difficulty and no verifier. */
static void draw_talk(struct mk_problem *p, uint64_t seed, struct mk_rng *r)
{
    p->task = NULL;
    p->level = 0;
    mk_smalltalk_draw(&p->prompt, &p->trace, &p->answer, seed, mk_rng_u64(r), MK_SPLIT_TRAIN);
}

static void draw_task(const struct mk_mixer *m, struct mk_problem *p, struct mk_rng *r,
                      bool with_thought)
{
    const struct mk_mix *mix = &m->mix;
    const struct mk_trace_style style = {mix->check, mix->slip, mix->noise};
    const double which = mk_rng_f64(r) * m->upto[m->n - 1];
    double level = mk_rng_f64(r);
    uint64_t index = mk_rng_u64(r);
    size_t i = 0;
    while (i + 1 < m->n && which >= m->upto[i]) i++;
    if (with_thought && m->demos[i]) {
        index %= m->demos[i];
        level = ((double)index + 0.5) / (double)m->demos[i];
    }
    mk_task_draw(p, m->task[i], mix->seed, index,
                 level < mix->easy               ? -1
                 : level < mix->easy + mix->hard ? 1
                                                 : MK_LEVEL_STANDARD,
                 MK_SPLIT_TRAIN, &style);
}

static void draw(const struct mk_mixer *m, struct mk_rng *r, struct mk_problem *p,
                 enum mk_form *form)
{
    const double kind = mk_rng_f64(r);
    *form = kind < m->mix.direct ? MK_FORM_DIRECT : MK_FORM_THINK;
    if (kind >= m->mix.direct && kind < m->mix.direct + m->mix.talk)
        draw_talk(p, m->mix.seed, r);
    else
        draw_task(m, p, r, *form == MK_FORM_THINK);
    if (!p->trace.len) *form = MK_FORM_DIRECT;
}

static struct mk_rng rng_of(uint64_t seed, uint64_t i)
{
    struct mk_rng r = {seed};
    r.state = mk_rng_u64(&r) ^ i;
    r.state = mk_rng_u64(&r);
    return r;
}

void mk_mixer_draw(const struct mk_mixer *m, uint64_t i, struct mk_problem *p, enum mk_form *form)
{
    struct mk_rng r = rng_of(m->mix.seed, i);
    draw(m, &r, p, form);
}

/* ---- as a source ---- */

struct mix_source {
    struct mk_mixer *mixer;
    const struct mk_tokenizer *tokenizer;
    struct mk_marks marks;
    struct mk_problem p; /* made again and again */
};

static bool put(struct mix_source *s, struct mk_rng *r, struct mk_seqs *out)
{
    enum mk_form form;
    draw(s->mixer, r, &s->p, &form);
    mk_example_put(out, s->tokenizer, &s->marks, &s->p.prompt, &s->p.trace, &s->p.answer, form);
    if (mk_seqs_len(out, out->n - 1) <= s->mixer->mix.n_ctx) return true;
    mk_seqs_drop(out);
    return false;
}

static bool get(void *self, uint64_t i, struct mk_seqs *out)
{
    struct mix_source *s = self;
    struct mk_rng r = rng_of(s->mixer->mix.seed, i);
    for (int k = 0; k < MAX_TRIES; k++)
        if (put(s, &r, out)) return true;
    return false;
}

static void close_mix(void *self)
{
    struct mix_source *s = self;
    mk_mixer_free(s->mixer);
    mk_problem_release(&s->p);
    free(s);
}

static const struct mk_source_fns fns = {get, close_mix};

static char *describe(const struct mk_mixer *m)
{
    struct mk_str s = {0};
    mk_str_addf(&s, "problems of %zu tasks (", m->n);
    for (size_t i = 0; i < m->n; i++) mk_str_addf(&s, "%s%s", i ? " " : "", m->task[i]->name);
    mk_str_addf(&s, "), %g %% answered directly, %g %% small talk, seed %llu", 100 * m->mix.direct,
                100 * m->mix.talk, (unsigned long long)m->mix.seed);
    return mk_str_take(&s);
}

/* Number 0 to N_PROBES - 1 must fit often enough that MAX_TRIES in a row never fail. */
static bool check_ctx(struct mix_source *s, struct mk_err *err)
{
    enum { N_PROBES = 256 };
    struct mk_seqs probe = {0};
    int n_fit = 0;
    for (uint64_t i = 0; i < N_PROBES; i++) {
        struct mk_rng r = rng_of(s->mixer->mix.seed, i);
        n_fit += put(s, &r, &probe);
        mk_seqs_clear(&probe);
    }
    mk_seqs_release(&probe);
    return 2 * n_fit >= N_PROBES ||
           mk_fail(err, MK_EUSAGE, "%d of %d examples fit a context of %zu tokens, want half",
                   n_fit, N_PROBES, s->mixer->mix.n_ctx);
}

bool mk_source_open_mix(struct mk_source *out, const struct mk_mix *mix,
                        const struct mk_tokenizer *t, struct mk_err *err)
{
    struct mix_source *s = mk_alloc(sizeof *s);
    s->tokenizer = t;
    const bool ok =
        mk_marks_find(&s->marks, t, err) && mk_mixer_new(&s->mixer, mix, err) && check_ctx(s, err);
    if (!ok) {
        close_mix(s);
        return false;
    }
    *out = (struct mk_source){.fns = &fns, .self = s, .about = describe(s->mixer)};
    return true;
}
