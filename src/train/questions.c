#include "train/questions.h"

#include "base/mem.h"
#include "base/rng.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct order { /* of a file's questions in one time through a split */
    size_t *v;
    size_t n;
    uint64_t seed, epoch;
    bool is_drawn;
};

struct mk_questions {
    struct mk_task_list tasks; /* n 0: a file */
    struct mk_topic topics[MK_MAX_TASKS];
    size_t n_topics;
    struct mk_own *own;
    char *name; /* of the file */
    bool is_whole;
    struct order order[2]; /* by split */
};

/* ---- opening ---------------------------------------------------------------------------- */

static char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/'), *from = slash ? slash + 1 : path;
    const char *dot = strrchr(from, '.');
    return mk_strndup(from, dot > from ? (size_t)(dot - from) : strlen(from));
}

static bool open_own(struct mk_questions *q, const struct mk_questions_options *o,
                     struct mk_err *err)
{
    if (o->tasks)
        return mk_fail(err, MK_EUSAGE, "built-in tasks and a file of questions: which is meant?");
    if (!mk_own_open(&q->own, &o->own, err)) return false;
    q->name = base_name(o->own.path);
    q->is_whole = o->is_whole;
    q->topics[q->n_topics++] = (struct mk_topic){.name = q->name, .weight = 1};
    return true;
}

static bool open_tasks(struct mk_questions *q, const struct mk_questions_options *o,
                       struct mk_err *err)
{
    if (o->own.verifier || o->own.command || o->is_whole)
        return mk_fail(err, MK_EUSAGE, "a verifier and the like are for a file of questions");
    if (!mk_task_list_parse(&q->tasks, o->tasks, err)) return false;
    for (size_t i = 0; i < q->tasks.n; i++) {
        const struct mk_task *t = q->tasks.task[i];
        q->topics[q->n_topics++] = (struct mk_topic){t->name, t->lo, t->hi, q->tasks.weight[i]};
    }
    return true;
}

bool mk_questions_open(struct mk_questions **out, const struct mk_questions_options *o,
                       struct mk_err *err)
{
    struct mk_questions *q = mk_alloc(sizeof *q);
    if (!(o->own.path ? open_own(q, o, err) : open_tasks(q, o, err))) {
        mk_questions_close(q);
        return false;
    }
    *out = q;
    return true;
}

void mk_questions_close(struct mk_questions *q)
{
    if (!q) return;
    mk_own_close(q->own);
    free(q->name);
    for (size_t i = 0; i < 2; i++) free(q->order[i].v);
    free(q);
}

/* ---- what there is ------------------------------------------------------------------------ */

size_t mk_questions_n_topics(const struct mk_questions *q) { return q->n_topics; }

const struct mk_topic *mk_questions_topic(const struct mk_questions *q, size_t topic)
{
    return &q->topics[topic];
}

size_t mk_questions_count(const struct mk_questions *q, size_t topic, enum mk_split split)
{
    (void)topic; /* generated tasks never end; a file is one topic */
    if (!q->own) return SIZE_MAX;
    const size_t n = mk_own_count(q->own, split);
    return q->is_whole ? n + mk_own_count(q->own, (enum mk_split) !split) : n;
}

bool mk_questions_need(const struct mk_questions *q, enum mk_split split, struct mk_err *err)
{
    if (mk_questions_count(q, 0, split)) return true;
    const char *what = split == MK_SPLIT_TRAIN ? "to train on" : "held out";
    return mk_fail(err, MK_EUSAGE,
                   "%s: one question in 16 is held out, by its hash, and here none is %s; use more "
                   "questions, or the whole file",
                   q->name, what);
}

void mk_questions_save(const struct mk_questions *q, void *json)
{
    char text[17];
    if (!q->own) return;
    snprintf(text, sizeof text, "%016" PRIx64, mk_own_hash(q->own));
    json_object_set_new(json, "file", json_string(text));
}

bool mk_questions_check(const struct mk_questions *q, const void *json, struct mk_err *err)
{
    json_t *now = json_object();
    mk_questions_save(q, now);
    const json_t *is = json_object_get(now, "file"), *was = json_object_get(json, "file");
    const bool ok = json_equal(is, was) || (!is && !was);
    json_decref(now);
    return ok || mk_fail(err, MK_EUSAGE, "%s is not the file that the run began with", q->name);
}

/* ---- drawing ------------------------------------------------------------------------------ */

size_t mk_questions_pick(const struct mk_questions *q, double u, const double *factor)
{
    double sum = 0.0;
    for (size_t i = 0; i < q->n_topics; i++) sum += q->topics[i].weight * (factor ? factor[i] : 1);
    double left = u * sum;
    for (size_t i = 0; i < q->n_topics; i++)
        if ((left -= q->topics[i].weight * (factor ? factor[i] : 1)) < 0.0) return i;
    return q->n_topics - 1;
}

static void draw_order(struct order *o, size_t n, uint64_t seed, uint64_t epoch)
{
    if (o->is_drawn && o->seed == seed && o->epoch == epoch) return;
    struct mk_rng r = {seed};
    r.state = mk_rng_u64(&r) ^ epoch;
    if (!o->v) o->v = mk_calloc(n, sizeof *o->v);
    *o = (struct order){o->v, n, seed, epoch, true};
    for (size_t i = 0; i < n; i++) o->v[i] = i;
    for (size_t i = n; i > 1; i--) {
        const size_t k = (size_t)(mk_rng_u64(&r) % i), x = o->v[i - 1];
        o->v[i - 1] = o->v[k], o->v[k] = x;
    }
}

void mk_questions_draw(struct mk_questions *q, size_t topic, uint64_t seed, uint64_t index,
                       int level, enum mk_split split, struct mk_problem *p)
{
    static const struct mk_trace_style plain;
    if (!q->own) {
        mk_task_draw(p, q->tasks.task[topic], seed, index, level, split, &plain);
        return;
    }
    struct order *o = &q->order[split];
    const size_t n = mk_questions_count(q, topic, split), n_split = mk_own_count(q->own, split);
    draw_order(o, n, seed, index / n);
    const size_t at = o->v[index % n];
    const bool is_other = at >= n_split; /* the whole file: one split after the other */
    mk_own_get(q->own, is_other ? (enum mk_split) !split : split, is_other ? at - n_split : at, p);
}

/* ---- asking ------------------------------------------------------------------------------- */

bool mk_asking_init(struct mk_asking *out, const struct mk_tokenizer *t, enum mk_opening opening,
                    size_t max_new, size_t n_ctx, struct mk_err *err)
{
    struct mk_asking a = {.tokenizer = t, .opening = opening, .max_new = max_new, .n_ctx = n_ctx};
    if (!mk_marks_find(&a.marks, t, err)) return false;
    *out = a;
    return true;
}

bool mk_asking_put(const struct mk_asking *a, const struct mk_problem *p, struct mk_seqs *out,
                   struct mk_err *err)
{
    struct mk_ids ids = {0};
    mk_prompt_put(&ids, a->tokenizer, &a->marks, mk_str_c(&p->prompt), p->prompt.len);
    if (a->opening == MK_OPEN_THINK) mk_ids_add(&ids, a->marks.think);
    if (a->opening == MK_OPEN_DIRECT) mk_ids_add(&ids, a->marks.end_think);
    const bool fits = ids.n < a->n_ctx && a->max_new <= a->n_ctx - ids.n;
    if (fits) {
        mk_seqs_put(out, ids.v, ids.n, 0.0f);
        mk_seqs_end(out);
    } else {
        mk_fail(err, MK_ELIMIT,
                "the question \"%.40s...\" has %zu tokens: with %zu for the answer that is more "
                "than the model's context of %zu",
                mk_str_c(&p->prompt), ids.n, a->max_new, a->n_ctx);
    }
    mk_ids_release(&ids);
    return fits;
}

static bool has_mark(const struct mk_marks *m, const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] == m->think || ids[i] == m->end_think || ids[i] == m->user ||
            ids[i] == m->assistant || ids[i] == m->bos || ids[i] == m->eos)
            return true;
    return false;
}

struct mk_parts mk_parts_of(const struct mk_marks *m, enum mk_opening opening, const int32_t *ids,
                            size_t n)
{
    struct mk_parts p = {0};
    size_t i = 0;
    p.is_ended = n && ids[n - 1] == m->eos;
    if (p.is_ended) n--;
    bool is_open = opening == MK_OPEN_THINK;
    if (opening == MK_OPEN_FREE) {
        if (!n || (ids[0] != m->think && ids[0] != m->end_think)) return p;
        is_open = ids[0] == m->think;
        i = 1;
    }
    p.thought = i;
    while (is_open && i < n && ids[i] != m->end_think) i++;
    p.n_thought = i - p.thought;
    if (is_open && i == n) return p; /* the thought does not end */
    p.answer = i + is_open;
    p.n_answer = n - p.answer;
    p.is_well_formed = p.is_ended && p.n_answer > 0 && !has_mark(m, ids + p.thought, p.n_thought) &&
                       !has_mark(m, ids + p.answer, p.n_answer);
    return p;
}

static bool score(struct mk_questions *q, const struct mk_problem *p, const struct mk_str *text,
                  double *reward, struct mk_err *err)
{
    if (q->own) return mk_own_score(q->own, p, mk_str_c(text), text->len, reward, err);
    *reward = p->task->verify(p, mk_str_c(text), text->len);
    return true;
}

bool mk_questions_grade(struct mk_questions *q, const struct mk_asking *a,
                        const struct mk_problem *p, const struct mk_rollouts *r, size_t s,
                        struct mk_graded *out, struct mk_err *err)
{
    const size_t from = r->seqs.start[s] + r->n_prompt[s];
    struct mk_graded g = {.ids = r->seqs.tok + from, .n = r->seqs.start[s + 1] - from};
    g.parts = mk_parts_of(&a->marks, a->opening, g.ids, g.n);
    bool ok = true;
    if (g.parts.is_well_formed) {
        struct mk_str text = {0};
        mk_detokenize(a->tokenizer, g.ids + g.parts.answer, g.parts.n_answer, true, &text);
        ok = score(q, p, &text, &g.reward, err);
        mk_str_release(&text);
    }
    if (ok) *out = g;
    return ok;
}
