#ifndef MK_TRAIN_STAGE_DISTILL_H
#define MK_TRAIN_STAGE_DISTILL_H
/* On-policy distillation from one or more teachers (DeepSeek-V4, section on post-training): the
 * student answers questions, and at every token that it wrote its whole distribution moves
 * towards the teachers':
 *
 *   loss = 1/n sum_t sum_i w_i KL(student_t || teacher_i,t)       t over the n tokens written
 *
 * A student that makes a mistake sees what the teacher would do from there, which texts of the
 * teacher alone (traces.h) cannot show.  Costs a forward pass of each teacher for a pass of the
 * student. */
#include "train/questions.h"
#include "train/run.h"

struct mk_teacher {
    const char *path; /* any model that minke opens, with the student's vocabulary */
    double weight;    /* above 0 */
};
struct mk_distill_options {
    uint64_t seed;
    struct mk_questions *questions; /* borrowed; those of the training split are asked */
    const struct mk_teacher *teachers;
    size_t n_teachers;
    size_t n_prompts; /* questions of a step */
    size_t n_samples; /* answers to each */
    size_t max_new;
    double temperature;
    enum mk_opening opening;
    bool (*eval)(void *arg, struct mk_run *r, struct mk_err *err); /* or NULL */
    void *eval_arg;
};

struct mk_distill_stage;
/* The run is open; it ends before the stage is freed.  Fails when a teacher has another
 * vocabulary. */
bool mk_distill_stage_new(struct mk_distill_stage **out, const struct mk_distill_options *o,
                          const struct mk_run *r, struct mk_err *err) MK_CHECKED;
void mk_distill_stage_free(struct mk_distill_stage *s); /* NULL is fine */
extern const struct mk_stage mk_distill_stage_fns;      /* self: struct mk_distill_stage * */
#endif
