#ifndef MK_TRAIN_OWN_TASK_H
#define MK_TRAIN_OWN_TASK_H
/* Tasks of users: a JSONL file of {"prompt": "...", "answer": ...} and a verifier.
 *
 * answer is text, or any other JSON value, which then stands for its own text.  A line may also
 * have "trace" (a worked solution, for supervised training) and "data" (for the verifier command);
 * other members are ignored.  The verifier is a name (verify.h) or a command:
 *
 * A verifier command is started once with `sh -c` and gets one line of JSON for each completion,
 *     {"prompt": "...", "answer": "...", "completion": "..."}      and "data" where there is one
 * for which it must print (and flush) one line with a number from 0 to 1.  When it does not answer
 * in time it is killed, started again and asked again; the second time is an error, and so is
 * everything else that is not one such number. */
#include "train/task.h"

struct mk_own_options {
    const char *path;
    const char *verifier; /* a name, or NULL when there is a command */
    const char *command;
    double limit_s; /* for each answer of the command; 0: 10 seconds */
};
struct mk_own; /* owned by one thread */
/* Fails on the first bad line, with its number; on a prompt that is there twice; on no line. */
bool mk_own_open(struct mk_own **out, const struct mk_own_options *o,
                 struct mk_err *err) MK_CHECKED;
void mk_own_close(struct mk_own *o); /* NULL is fine */

/* Problems in the order of the file.  The split is by the hash of the prompt, as for the built-in
 * tasks: a small file may have nothing held out. */
size_t mk_own_count(const struct mk_own *o, enum mk_split split);
/* Of all prompts, answers and data: another file, another hash. */
uint64_t mk_own_hash(const struct mk_own *o);
/* p->task is NULL. */
void mk_own_get(const struct mk_own *o, enum mk_split split, size_t index, struct mk_problem *p);
/* Reward of a completion, 0..1.  Only a command can fail. */
bool mk_own_score(struct mk_own *o, const struct mk_problem *p, const char *completion, size_t n,
                  double *reward, struct mk_err *err) MK_CHECKED;
/* How often the command was killed because it did not answer in time. */
size_t mk_own_restarts(const struct mk_own *o);
#endif
