#ifndef MK_TRAIN_QUESTIONS_H
#define MK_TRAIN_QUESTIONS_H
/* Where questions come from, how they are put to a model, and what its answers are worth: the
 * built-in tasks (task.h), or a file of one's own with a verifier (own_task.h).  Evaluation, RL
 * and distillation ask through this.
 *
 *   question -> <bos><User>prompt<Assistant> [<think>] -> model -> thought </think> answer <eos>
 *                                                                   parts -> verifier -> 0..1 */
#include "train/data.h"
#include "train/own_task.h"
#include "train/rollout.h"

struct mk_questions_options {
    const char *tasks;         /* built-in ones: "add,mul:2", see mk_task_list_parse() */
    struct mk_own_options own; /* instead of them when own.path is not NULL */
    bool is_whole;             /* of the file no line is held out: all are in both splits */
};
struct mk_questions; /* owned by one thread */
bool mk_questions_open(struct mk_questions **out, const struct mk_questions_options *o,
                       struct mk_err *err) MK_CHECKED;
void mk_questions_close(struct mk_questions *q); /* NULL is fine */

struct mk_topic {     /* a task */
    const char *name; /* of a file: its name without folder and .jsonl */
    int lo, hi;       /* levels */
    double weight;    /* how often it is asked, relative to the others */
};
size_t mk_questions_n_topics(const struct mk_questions *q); /* 1 or more */
const struct mk_topic *mk_questions_topic(const struct mk_questions *q, size_t topic);
/* How many different questions a split has; SIZE_MAX when they are generated. */
size_t mk_questions_count(const struct mk_questions *q, size_t topic, enum mk_split split);
/* Fails when a split has no question. */
bool mk_questions_need(const struct mk_questions *q, enum mk_split split,
                       struct mk_err *err) MK_CHECKED;
/* Into the state of a stage (json_t object), and whether a run that goes on has the same file. */
void mk_questions_save(const struct mk_questions *q, void *json);
bool mk_questions_check(const struct mk_questions *q, const void *json,
                        struct mk_err *err) MK_CHECKED;

/* A topic by weight times factor[topic] (NULL: 1), for a random number u in [0, 1). */
size_t mk_questions_pick(const struct mk_questions *q, double u, const double *factor);
/* Question number `index` of (seed, topic, level, split), without a trace.  Those of a file come
 * in an order drawn anew after each time through it. */
void mk_questions_draw(struct mk_questions *q, size_t topic, uint64_t seed, uint64_t index,
                       int level, enum mk_split split, struct mk_problem *p);

/* ---- asking ---------------------------------------------------------------------------- */

/* What a prompt ends with: nothing (the model opens its thought or not), <think>, </think>. */
enum mk_opening { MK_OPEN_FREE, MK_OPEN_THINK, MK_OPEN_DIRECT };

struct mk_asking {
    const struct mk_tokenizer *tokenizer; /* borrowed */
    struct mk_marks marks;
    enum mk_opening opening;
    size_t max_new, n_ctx; /* prompt and answer must fit n_ctx */
};
bool mk_asking_init(struct mk_asking *out, const struct mk_tokenizer *t, enum mk_opening opening,
                    size_t max_new, size_t n_ctx, struct mk_err *err) MK_CHECKED;
/* Appends the prompt as a sequence of weight 0. */
bool mk_asking_put(const struct mk_asking *a, const struct mk_problem *p, struct mk_seqs *out,
                   struct mk_err *err) MK_CHECKED;

/* Takes a generated answer apart: <think> thought </think> answer <eos>.  opening says which
 * mark the prompt ended with already. */
struct mk_parts {
    size_t thought, n_thought; /* tokens ids[thought]... */
    size_t answer, n_answer;
    bool is_ended;       /* by the end token */
    bool is_well_formed; /* all of the above in that order, and nothing else */
};
struct mk_parts mk_parts_of(const struct mk_marks *m, enum mk_opening opening, const int32_t *ids,
                            size_t n);

struct mk_graded {
    const int32_t *ids; /* what was generated, points into the rollouts */
    size_t n;
    struct mk_parts parts;
    double reward; /* what the verifier says of the answer; 0 unless it is well formed */
};
/* Sequence s of r, an answer to p.  Only a verifier command can fail. */
bool mk_questions_grade(struct mk_questions *q, const struct mk_asking *a,
                        const struct mk_problem *p, const struct mk_rollouts *r, size_t s,
                        struct mk_graded *out, struct mk_err *err) MK_CHECKED;
#endif
