#ifndef MK_TRAIN_INT_WORDS_H
#define MK_TRAIN_INT_WORDS_H
/* What the tasks in English share: sentences from a small pattern language, people, and answers
 * that are lists of words. */
#include "train/int_task.h"

#define T(name) extern const struct mk_task mk_task_##name;
#include "train/tasks.def"
#undef T

/* Appends a pattern.  [x|y|z] stands for one of its alternatives, all equally likely; they nest,
 * and one may be empty.  {a}, {b}, ... stand for args[0], args[1], ... */
void mk_phrase(struct mk_str *out, struct mk_rng *r, const char *pattern, const char *const *args);
/* The same as a sentence: a space before it unless out is empty, its first letter a capital. */
void mk_sentence(struct mk_str *out, struct mk_rng *r, const char *pattern,
                 const char *const *args);
#define MK_ANY(rng, array) ((array)[mk_pick(rng, 0, MK_COUNT(array) - 1)])

struct mk_person {
    const char *name;
    bool is_female;
};
/* n different people, at most MK_PEOPLE_MAX. */
enum { MK_PEOPLE_MAX = 16 };
void mk_pick_people(struct mk_rng *r, const struct mk_person **out, int n);
/* n different numbers of 0..n_all-1 in random order; n_all at most 256. */
void mk_pick_distinct(struct mk_rng *r, int n_all, int *out, int n);

/* 1 when the answer has the same words as p->answer: in the same order, or as a set.  Words are
 * separated by spaces, commas or "and". */
double mk_verify_words(const struct mk_problem *p, const char *answer, size_t n, bool is_ordered);
#endif
