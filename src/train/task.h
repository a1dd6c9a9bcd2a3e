#ifndef MK_TRAIN_TASK_H
#define MK_TRAIN_TASK_H
/* Tasks with verifiable answers: a generator of problems, a worked trace for each, and a
 * verifier.  tasks.def lists them; each is src/train/task_NAME.c.
 *
 * A trace is what a model is taught to think: every token of it can be derived from those
 * before it by a small step (no jump that only someone who knows the answer could make). */
#include "base/err.h"
#include "base/rng.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mk_task;

struct mk_problem { /* owned by the caller; zeroed is valid; made again and again */
    const struct mk_task *task;
    int level;
    struct mk_str prompt, trace, answer; /* trace may be empty */
    struct mk_str data;                  /* what the verifier needs beyond prompt and answer */
};
void mk_problem_release(struct mk_problem *p);

/* Shares of traces (0..1) that contain ... */
struct mk_trace_style {
    double check; /* a check of the result */
    double slip;  /* a wrong step that is noticed ("wait") and corrected */
    double noise; /* a wrong digit that nobody notices: for base models only */
};

enum { MK_LEVEL_EASIEST = -2, MK_LEVEL_STANDARD = 0, MK_LEVEL_HARDEST = 2 };

struct mk_task {
    const char *name, *about;
    int lo,
        hi; /* its levels: lo <= 0 <= hi; 0 is the standard, hi lies out of the training range */
    /* Fills prompt, trace, answer, data.  The same rng gives the same problem. */
    void (*make)(struct mk_problem *p, struct mk_rng *rng, int level,
                 const struct mk_trace_style *style);
    /* Reward of an answer (the text after the thought, untrimmed) in 0..1.  Never fails: what it
     * cannot read scores 0. */
    double (*verify)(const struct mk_problem *p, const char *answer, size_t n);
};
extern const struct mk_task *const mk_tasks[]; /* NULL-terminated */
const struct mk_task *mk_task_find(const char *name);

enum { MK_MAX_TASKS = 64 };
struct mk_task_list { /* a value */
    const struct mk_task *task[MK_MAX_TASKS];
    double weight[MK_MAX_TASKS]; /* above 0 */
    size_t n;
};
/* "add,mul:2,word": names, with weights other than 1 behind a colon.  NULL: all tasks, alike. */
bool mk_task_list_parse(struct mk_task_list *out, const char *text, struct mk_err *err) MK_CHECKED;

/* Which problems may be trained on: a problem is held out when the hash of its prompt says so,
 * one in 16. */
enum mk_split { MK_SPLIT_TRAIN, MK_SPLIT_HELDOUT };
uint64_t mk_text_hash(const char *text, size_t n);    /* FNV-1a, 64 bits */
uint64_t mk_problem_hash(const struct mk_problem *p); /* of the prompt */
enum mk_split mk_hash_split(uint64_t hash);
enum mk_split mk_problem_split(const struct mk_problem *p);
/* Problem number `index` of (seed, task, level, split): draws until the split fits.  A level
 * outside the task's range becomes the nearest one.  The prompt does not depend on the style. */
void mk_task_draw(struct mk_problem *p, const struct mk_task *t, uint64_t seed, uint64_t index,
                  int level, enum mk_split split, const struct mk_trace_style *style);
#endif
