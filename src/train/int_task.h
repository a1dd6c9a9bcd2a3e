#ifndef MK_TRAIN_INT_TASK_H
#define MK_TRAIN_INT_TASK_H
/* What the task files share: drawing, prompts from templates, traces made of steps, and the
 * reading of answers.
 *
 * A make function first draws everything that the prompt shows and writes it with mk_say_any;
 * only then comes mk_trace_begin: so the prompt never depends on the style.
 *
 * The pieces of a trace are separated by one space, which the mk_trace_ functions write; a piece
 * that begins with one of , ; : . gets none.  Digits and + - * / = ( ) ; : , are one token each
 * for the model that learns this, so a good step is a table lookup of one or two digits. */
#include "train/task.h"

#define T(name) extern const struct mk_task mk_task_##name;
#include "train/tasks.def"
#undef T

/* ---- drawing ---- */
int64_t mk_pick(struct mk_rng *r, int64_t lo, int64_t hi); /* uniform, both ends included */
bool mk_chance(struct mk_rng *r, double share);
void mk_shuffle(struct mk_rng *r, int64_t *v, int n);
/* A number of 1..max digits without leading zeros; long ones are drawn more often than short ones
 * (each length half as often as the next longer one). */
int64_t mk_pick_digits(struct mk_rng *r, int max);

/* ---- prompts ---- */
/* Empties the texts of p, which becomes a problem of this task and level. */
void mk_problem_begin(struct mk_problem *p, const struct mk_task *task, int level);
/* Appends a template in which {a}, {b}, ... stand for args[0], args[1], ... */
void mk_say(struct mk_str *out, const char *tmpl, const char *const *args);
/* One of n templates, all equally likely. */
void mk_say_any(struct mk_rng *r, struct mk_str *out, const char *const *tmpl, int n,
                const char *const *args);
#define MK_COUNT(array) ((int)(sizeof(array) / sizeof *(array)))
/* A number as text in one of a few rotating buffers (good for the next 15 calls on this thread). */
const char *mk_num(int64_t v);
/* Numbers with a separator between them and, when last is not NULL, last before the last one. */
void mk_str_list(struct mk_str *out, const int64_t *v, int n, const char *sep, const char *last);

/* ---- traces ---- */
enum { MK_TRACE_STEPS = 96, MK_TRACE_WRONG = 32 };
struct mk_trace { /* lives for one make call; the caller's stack */
    struct mk_str *out;
    struct mk_rng *rng;
    bool check; /* this trace is to end with a check of the result: the task writes it */
    bool slip, noise;
    int n_step;
    struct {
        size_t begin, value, end;   /* offsets in out: the step, its result, behind it */
        char wrong[MK_TRACE_WRONG]; /* a wrong result in words; empty: a number, one digit off */
    } step[MK_TRACE_STEPS];         /* where a slip may be put in; further steps have none */
};
void mk_trace_begin(struct mk_trace *t, struct mk_problem *p, struct mk_rng *r,
                    const struct mk_trace_style *style);
/* Text in which nothing can go wrong. */
void mk_trace_say(struct mk_trace *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A step: text that ends in "=" or the like, and its result.  A slip reads "7+5=13 wait 7+5=12". */
void mk_trace_num(struct mk_trace *t, int64_t result, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The same for a result in words, with a plausible wrong one; NULL: this step never slips. */
void mk_trace_word(struct mk_trace *t, const char *result, const char *wrong, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Puts in the slip and the noise.  Call it last. */
void mk_trace_end(struct mk_trace *t);

/* Arithmetic worked out; each returns the result and needs operands from 0 to 10^12.  What is one
 * lookup (7+5, 42+7, 15-8, 47-5, 6*8) is one step "7+5=12"; the rest is digit by digit and ends in
 * "so" and the result:
 *     47+25: 7+5=12 4+2+1=7 so 72             93-58: 13-8=5 9-1-5=3 so 35
 *     347*6: 7*6=42 4*6+4=24+4=28 3*6+2=18+2=20 so 2082
 *     75/3: 7=3*2+1 15=3*5+0 so 25 (remainder: so 25 r 2)
 * 347*26 is 347*6, 347*20 and their sum.  A difference below 0 is worked out the other way round
 * and negated. */
int64_t mk_trace_sum(struct mk_trace *t, int64_t a, int64_t b);
int64_t mk_trace_difference(struct mk_trace *t, int64_t a, int64_t b);
int64_t mk_trace_product(struct mk_trace *t, int64_t a, int64_t b);
int64_t mk_trace_quotient(struct mk_trace *t, int64_t a, int64_t b); /* b > 0; rounds down */

/* ---- answers ---- */
/* Answers come from a model: any bytes.  Accepted are printable ASCII texts of at most
 * MK_ANSWER_MAX bytes (after trimming) that do not contain the prompt.  buf gets the text without
 * spaces around it and without a final stop, runs of space as one, in lower case. */
enum { MK_ANSWER_MAX = 200 };
bool mk_answer_clean(const struct mk_problem *p, const char *answer, size_t n,
                     char buf[MK_ANSWER_MAX + 1]);
/* Reads the one whole number in a text.  Besides it there may be words, as in "x = 7",
 * "the answer is 5222"; "5,222" and "-7" are read; two numbers, a number that touches a letter,
 * a decimal point, brackets or operators are refused. */
bool mk_answer_number(const struct mk_problem *p, const char *answer, size_t n, int64_t *value);
/* Reads numbers separated by spaces or commas and nothing else; returns how many, at most max, or
 * -1. */
int mk_answer_list(const struct mk_problem *p, const char *answer, size_t n, int64_t *v, int max);

/* Verifiers that compare with p->answer: the same number; the same list in the same order; the
 * same text after cleaning. */
double mk_verify_number(const struct mk_problem *p, const char *answer, size_t n);
double mk_verify_list(const struct mk_problem *p, const char *answer, size_t n);
double mk_verify_text(const struct mk_problem *p, const char *answer, size_t n);
#endif
