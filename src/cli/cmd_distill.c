/* minke distill: from a teacher to a student, by its solved problems (--traces) or by its
 * distributions (--teacher). */
#include "base/clock.h"
#include "base/mem.h"
#include "cli/loaded.h"
#include "cli/question_opts.h"
#include "cli/stage.h"
#include "cli/term.h"
#include "train/stage_distill.h"
#include "train/traces.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct distill_opts {
    struct mk_strs teachers;
    const char *weights, *opening, *traces, *keep;
    size_t n_prompts, n_samples, max_new, n_problems;
    double temperature;
};

#define KEEPS "shortest|shortest-half|all"

/* ---- solved problems ------------------------------------------------------------------------ */

static void on_wave(void *arg, const struct mk_traces *t, const struct mk_traces_options *o)
{
    char rate[32];
    uint64_t n_kept = 0;
    const double s = mk_now_s() - *(const double *)arg;
    const bool is_tty = mk_term_is_tty(STDERR_FILENO), is_last = t->n_done == o->n_problems;
    for (size_t i = 0; i < mk_questions_n_topics(o->questions); i++) n_kept += t->rows[i].n_kept;
    fprintf(stderr, "%s%llu of %zu questions  %llu traces  %s%s", is_tty ? "\r" : "",
            (unsigned long long)t->n_done, o->n_problems, (unsigned long long)n_kept,
            mk_term_human(rate, (double)t->n_forward / s, "tok/s"), is_tty ? "\033[K" : "\n");
    if (is_tty && is_last) fputc('\n', stderr);
}

static double share(uint64_t a, uint64_t b) { return b ? (double)a / (double)b : 0.0; }

static void print_row(const char *name, const struct mk_traces_row *r)
{
    printf("%-10s %9llu %7.1f%% %7.1f%% %8llu %11.1f\n", name, (unsigned long long)r->n_problems,
           100 * share(r->n_solved, r->n_problems), 100 * share(r->n_right, r->n_answers),
           (unsigned long long)r->n_kept, share(r->n_kept_toks, r->n_kept));
}

static void print_traces(const struct mk_traces *t, const struct mk_questions *q)
{
    struct mk_traces_row all = {0};
    printf("%-10s %9s %8s %8s %8s %11s\n", "task", "questions", "solved", "right", "traces",
           "mean tokens");
    for (size_t i = 0; i < mk_questions_n_topics(q); i++) {
        const struct mk_traces_row *r = &t->rows[i];
        print_row(mk_questions_topic(q, i)->name, r);
        all.n_problems += r->n_problems, all.n_solved += r->n_solved;
        all.n_answers += r->n_answers, all.n_right += r->n_right;
        all.n_kept += r->n_kept, all.n_kept_toks += r->n_kept_toks;
    }
    print_row("all", &all);
}

static int make_traces(const struct mk_stage_opts *o, const struct distill_opts *d,
                       struct mk_questions *questions, const struct mk_opt *opts)
{
    struct mk_err err;
    struct mk_loaded l;
    struct mk_traces made;
    double start = mk_now_s();
    char *identity = mk_opts_json(opts, " config traces threads cpu verifier-limit ");
    const struct mk_traces_options to = {.path = d->traces,
                                         .identity = identity,
                                         .questions = questions,
                                         .seed = o->seed,
                                         .n_problems = d->n_problems,
                                         .n_samples = d->n_samples ? d->n_samples : 8,
                                         .max_new = d->max_new,
                                         .temperature = (float)d->temperature,
                                         .opening = mk_opening_cli(d->opening),
                                         .keep = (enum mk_keep)mk_choice(d->keep, KEEPS),
                                         .stop = mk_stage_stop()};
    char *from = mk_cli_model_path(o->from);
    mk_loaded_open(&l, from, !strcmp(o->compute, "bf16"), o->n_threads, o->cpu);
    if (!mk_traces_make(&made, &to, &l.model, &l.wk, l.tokenizer, on_wave, &start, &err))
        mk_cli_die(&err);
    const bool is_done = made.n_done == d->n_problems;
    print_traces(&made, questions);
    if (!is_done) fprintf(stderr, "stopped, to be continued: %s.part\n", d->traces);
    mk_loaded_close(&l);
    free(from);
    free(identity);
    return is_done ? 0 : mk_code_exit(MK_ECANCELED);
}

/* ---- distributions -------------------------------------------------------------------------- */

/* Where they are, and "1,0.5"; NULL: all alike. */
static struct mk_teacher *teachers_of(const struct distill_opts *d, char **paths)
{
    struct mk_teacher *t = mk_calloc(d->teachers.n, sizeof *t);
    const char *at = d->weights;
    for (size_t i = 0; i < d->teachers.n; i++) {
        paths[i] = mk_cli_model_path(d->teachers.v[i]);
        t[i] = (struct mk_teacher){paths[i], 1.0 / (double)d->teachers.n};
        if (!d->weights) continue;
        char *end;
        t[i].weight = strtod(at, &end);
        if (end == at || !(t[i].weight > 0) || *end != (i + 1 < d->teachers.n ? ',' : '\0'))
            mk_cli_usage("distill", "--teacher-weights %s: want %zu numbers over 0", d->weights,
                         d->teachers.n);
        at = end + 1;
    }
    return t;
}

static int learn(const struct mk_stage_opts *o, const struct distill_opts *d,
                 struct mk_questions *questions, const struct mk_opt *opts)
{
    struct mk_run run;
    struct mk_distill_stage *stage;
    struct mk_err err;
    char **paths = mk_calloc(d->teachers.n, sizeof *paths);
    struct mk_teacher *teachers = teachers_of(d, paths);
    const enum mk_opening opening = mk_opening_cli(d->opening);
    struct mk_eval_options eo = mk_stage_eval(o, questions, d->max_new, opening);
    mk_stage_open(&run, "distill", o, opts);
    const struct mk_distill_options so = {.seed = o->seed,
                                          .questions = questions,
                                          .teachers = teachers,
                                          .n_teachers = d->teachers.n,
                                          .n_prompts = d->n_prompts,
                                          .n_samples = d->n_samples ? d->n_samples : 4,
                                          .max_new = d->max_new,
                                          .temperature = d->temperature,
                                          .opening = opening,
                                          .eval = mk_eval_stage,
                                          .eval_arg = &eo};
    if (!mk_distill_stage_new(&stage, &so, &run, &err)) mk_cli_die(&err);
    const int status = mk_stage_go(&run, &mk_distill_stage_fns, stage);
    mk_distill_stage_free(stage);
    for (size_t i = 0; i < d->teachers.n; i++) free(paths[i]);
    free(paths);
    free(teachers);
    return status;
}

/* ---- both ------------------------------------------------------------------------------------ */

static void check(const struct mk_stage_opts *o, const struct distill_opts *d)
{
    if (!d->traces == !d->teachers.n)
        mk_cli_usage("distill", "want --traces FILE, which --from writes, or --teacher MODEL, from "
                                "which --from learns");
    if (d->weights && !d->teachers.n)
        mk_cli_usage("distill", "--teacher-weights without --teacher");
    if (d->traces && o->out)
        mk_cli_usage("distill", "--traces makes a file; --out is for learning from --teacher");
    if (d->traces && !o->from) mk_cli_usage("distill", "--from MODEL is missing");
}

int mk_cmd_distill(int argc, char **argv)
{
    static struct mk_stage_opts o;
    static struct distill_opts d;
    static struct mk_question_opts q;
    o = mk_stage_defaults();
    o.lr = 1e-4, o.n_warmup = 5, o.schedule = "linear", o.decay = 0, o.mtp = 0, o.bias_rate = 0;
    o.balance = 0, o.n_steps = 200, o.save_every = 50;
    d = (struct distill_opts){.opening = "think",
                              .keep = "shortest-half",
                              .n_prompts = 32,
                              .max_new = 256,
                              .n_problems = 1000,
                              .temperature = 1};
    const struct mk_opt opts[] = {
        MK_OPTS_STAGE(o),
        MK_OPTS_QUESTIONS(q),
        {"traces", 0, MK_OPT_STR, &d.traces, "FILE",
         "write what --from solves as JSONL for minke sft --data", 0, 0, NULL, NULL},
        {"problems", 'n', MK_OPT_SIZE, &d.n_problems, "N", "--traces: questions in all (1000)", 1,
         1e12, NULL, NULL},
        {"keep", 0, MK_OPT_CHOICE, &d.keep, "KIND",
         "--traces: which right answers to a question (shortest-half)", 0, 0, KEEPS, NULL},
        {"teacher", 0, MK_OPT_LIST, &d.teachers, "MODEL",
         "--from learns from it, at its own answers; may be given several times", 0, 0, NULL, NULL},
        {"teacher-weights", 0, MK_OPT_STR, &d.weights, "LIST", "\"1,0.5\" (all alike, sum 1)", 0, 0,
         NULL, NULL},
        {"prompts", 0, MK_OPT_SIZE, &d.n_prompts, "N", "--teacher: questions of a step (32)", 1,
         1e6, NULL, NULL},
        {"samples", 'k', MK_OPT_SIZE, &d.n_samples, "N",
         "answers to each (8 for --traces, 4 for --teacher)", 1, 4096, NULL, NULL},
        {"max-new", 0, MK_OPT_SIZE, &d.max_new, "N", "most tokens of an answer (256)", 1, 1e6, NULL,
         NULL},
        {"temp", 0, MK_OPT_FLOAT, &d.temperature, "T", "of the answers (1)", 0.01, 10, NULL, NULL},
        {"opening", 0, MK_OPT_CHOICE, &d.opening, "KIND",
         "whether answers think: always (think), never (direct), as the model likes (free)", 0, 0,
         MK_OPENINGS, NULL},
        {0}};
    mk_opts_parse("distill", opts, argc, argv, NULL, 0);
    check(&o, &d);
    struct mk_questions *questions = mk_questions_cli(&q);
    const int status =
        d.traces ? make_traces(&o, &d, questions, opts) : learn(&o, &d, questions, opts);
    mk_questions_close(questions);
    return status;
}
