#include "cli/data_opts.h"

#include "cli/question_opts.h"
#include "train/stage_text.h"

struct mk_data_opts mk_data_defaults(void)
{
    return (struct mk_data_opts){.talk = 0.08, .check = 0.2, .slip = 0.2, .easy = 0.2};
}

static void open_source(struct mk_source *out, const struct mk_data_opts *d, const struct mk_run *r,
                        size_t seed, size_t n_ctx)
{
    struct mk_err err;
    const struct mk_data_options file = {.tokenizer = r->tokenizer,
                                         .chat_template = d->chat_template,
                                         .n_ctx = n_ctx,
                                         .seed = seed,
                                         .n_epochs = d->n_epochs,
                                         .allow_duplicates = d->allow_duplicates};
    const struct mk_mix mix = {.seed = seed,
                               .n_ctx = n_ctx,
                               .direct = d->direct,
                               .talk = d->talk,
                               .check = d->check,
                               .slip = d->slip,
                               .noise = d->noise,
                               .easy = d->easy,
                               .tasks = d->tasks,
                               .demos = d->demos};
    const bool ok = d->file ? mk_source_open_file(out, d->file, &file, &err)
                            : mk_source_open_mix(out, &mix, r->tokenizer, &err);
    if (!ok) mk_cli_die(&err);
    fprintf(stderr, "data  %s\n", out->about);
}

/* How many steps the epochs of a file make; 0: without end. */
static uint64_t count_steps(struct mk_source *source, const struct mk_data_opts *d,
                            size_t batch_toks, size_t n_ctx)
{
    struct mk_seqs s = {0};
    uint64_t n = 0;
    if (!d->file || !d->n_epochs) return 0;
    for (;;) {
        mk_seqs_clear(&s);
        while (s.n_tok < batch_toks && mk_source_next(source, &s, n_ctx)) {}
        if (!s.n) break;
        n++;
    }
    mk_seqs_release(&s);
    mk_source_seek(source, 0);
    return n;
}

/* Steps that were not given are as many as the data has, or 1000. */
static void set_steps(const char *command, struct mk_run *r, const struct mk_stage_opts *o,
                      uint64_t n_data)
{
    enum { DEFAULT_STEPS = 1000 };
    if (n_data && o->n_steps > n_data)
        mk_cli_usage(command, "--steps %zu: the data has %llu; raise --epochs (0: any number)",
                     o->n_steps, (unsigned long long)n_data);
    r->o.n_steps = o->n_steps ? o->n_steps : n_data ? n_data : DEFAULT_STEPS;
}

int mk_data_run(const char *command, const struct mk_stage_opts *o, const struct mk_data_opts *d,
                const struct mk_opt *opts)
{
    enum { EVAL_MAX_NEW = 256 };
    struct mk_run run;
    struct mk_eval_options eo;
    struct mk_questions *questions = NULL;
    if (o->eval_every && d->file)
        mk_cli_usage(command, "--eval-every asks the built-in tasks; with --data use minke eval");
    mk_stage_open(&run, command, o, opts);
    const size_t n_ctx = mk_stage_n_ctx(&run, o);
    struct mk_text_stage stage = {.batch_toks = o->batch_toks, .n_ctx = n_ctx};
    open_source(&stage.source, d, &run, o->seed, n_ctx);
    set_steps(command, &run, o, count_steps(&stage.source, d, o->batch_toks, n_ctx));
    if (o->eval_every) {
        questions = mk_questions_cli(&(struct mk_question_opts){.tasks = d->tasks});
        eo = mk_stage_eval(o, questions, EVAL_MAX_NEW, MK_OPEN_THINK);
        stage.eval = mk_eval_stage, stage.eval_arg = &eo;
    }
    const int status = mk_stage_go(&run, &mk_text_stage, &stage);
    mk_source_close(&stage.source);
    mk_text_stage_release(&stage);
    mk_questions_close(questions);
    return status;
}
