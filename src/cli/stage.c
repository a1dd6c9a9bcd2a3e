#include "cli/stage.h"

#include "base/file.h"
#include "base/mem.h"
#include "cli/measure.h"
#include "cli/term.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct mk_stage_opts mk_stage_defaults(void)
{
    return (struct mk_stage_opts){.n_steps = 1000,
                                  .batch_toks = 8192,
                                  .step_toks = 2048,
                                  .save_every = 500,
                                  .keep = 2,
                                  .n_eval = 20,
                                  .seed = 1,
                                  .n_warmup = 100,
                                  .lr = 2e-3,
                                  .lr_end = 0.05,
                                  .lr_tail = 0.3,
                                  .decay = 0.1,
                                  .clip = 1,
                                  .mtp = 0.3,
                                  .balance = 1e-4,
                                  .bias_rate = 1e-3,
                                  .lora_alpha = 32,
                                  .optim = "adamw",
                                  .schedule = "wsd",
                                  .compute = "auto"};
}

/* ---- stopping ------------------------------------------------------------------------------ */

static atomic_bool stop;

/* The first asks for a checkpoint and an end; the second ends at once. */
static void on_signal(int number)
{
    if (atomic_exchange(&stop, true)) _exit(128 + number);
}

const atomic_bool *mk_stage_stop(void)
{
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        sigaction(ends[i], &(struct sigaction){.sa_handler = on_signal}, NULL);
    return &stop;
}

/* ---- the live line --------------------------------------------------------------------------- */

static void put_duration(char out[32], double s)
{
    const unsigned long t = s > 0 && s < 1e9 ? (unsigned long)s : 0;
    if (t >= 3600)
        snprintf(out, 32, "%lu:%02lu:%02lu", t / 3600, t / 60 % 60, t % 60);
    else
        snprintf(out, 32, "%lu:%02lu", t / 60, t % 60);
}

/* On a terminal one line that is written over, elsewhere a line for each twentieth of the run. */
static void on_progress(void *arg, const struct mk_progress *p)
{
    (void)arg;
    char eta[32], rate[32];
    const bool is_tty = mk_term_is_tty(STDERR_FILENO);
    const uint64_t every = p->n_steps / 20 ? p->n_steps / 20 : 1;
    if (p->warning) fprintf(stderr, "%swarning: %s\n", is_tty ? "\r\033[K" : "", p->warning);
    if (!is_tty && p->step % every && p->step != p->n_steps) return;
    put_duration(eta, p->eta_s);
    fprintf(stderr, "%sstep %llu/%llu  %s %.4f  norm %.2f  lr %.2e  %s", is_tty ? "\r" : "",
            (unsigned long long)p->step, (unsigned long long)p->n_steps, p->label, p->value,
            p->norm, p->lr, mk_term_human(rate, p->toks_per_s, "tok/s"));
    if (p->peak_share > 0) fprintf(stderr, "  %.0f %% of peak", 100 * p->peak_share);
    fprintf(stderr, "  %s left%s", eta, is_tty ? "\033[K" : "\n");
    if (is_tty && p->step == p->n_steps) fputc('\n', stderr);
}

/* ---- opening -------------------------------------------------------------------------------- */

static enum mk_schedule_kind schedule_of(const char *name)
{
    static const char *const names[] = {"constant", "cosine", "linear", "wsd"};
    size_t i = 0;
    while (strcmp(names[i], name)) i++;
    return (enum mk_schedule_kind)i;
}

static struct mk_learner_options learner_options(const struct mk_stage_opts *o)
{
    struct mk_learner_options l = {.n_threads = (unsigned)o->n_threads,
                                   .cpu = mk_cpu_detect(),
                                   .step_toks = o->step_toks,
                                   .recomputes = o->recomputes,
                                   .mtp_weight = o->mtp,
                                   .balance = o->balance,
                                   .bias_rate = o->bias_rate,
                                   .form = o->is_own_policy ? MK_MLA_ABSORBED : MK_MLA_BY_COUNT,
                                   .optim = mk_optim_defaults()};
    struct mk_err err;
    if (o->cpu && !mk_cpu_limit(&l.cpu, o->cpu)) {
        mk_fail(&err, MK_EUSAGE, "--cpu %s: no such level here", o->cpu);
        mk_cli_die(&err);
    }
    l.compute = !strcmp(o->compute, "f32")    ? MK_COMPUTE_F32
                : !strcmp(o->compute, "bf16") ? MK_COMPUTE_BF16
                                              : MK_COMPUTE_AUTO;
    l.optim.kind = !strcmp(o->optim, "muon") ? MK_MUON : MK_ADAMW;
    l.optim.decay = o->decay;
    l.optim.clip = o->clip;
    return l;
}

/* Memory before the first step, so that a run that cannot fit is not begun in vain. */
static void print_plan(const struct mk_run *r)
{
    const struct mk_learner *l = &r->learner;
    char a[32], b[32];
    const double params = (double)l->params.n * sizeof(float);
    const double fixed = 4 * params + (double)l->params.n_bf16 * sizeof(uint16_t);
    fprintf(stderr, "%s  %s: %s, %s of it trained\n", r->o.command, r->o.out,
            mk_term_human(a, (double)l->model.n_params, "parameters"),
            mk_term_human(b, (double)l->params.n, ""));
    fprintf(stderr, "memory  %s for weights, gradients and moments (%s products)\n",
            mk_term_human(a, fixed, "B"), l->is_bf16 ? "bf16" : "float");
    if (r->resumed_from) fprintf(stderr, "goes on from %s\n", r->resumed_from);
}

void mk_stage_open(struct mk_run *r, const char *command, const struct mk_stage_opts *o,
                   const struct mk_opt *opts)
{
    struct mk_err err;
    if (!o->out) mk_cli_usage(command, "--out RUN is missing");
    /* What may change when a run goes on does not take part in its identity. */
    const struct mk_run_options ro = {
        .out = o->out,
        .command = command,
        .json = mk_opts_json(opts, " config "),
        .identity = mk_opts_json(
            opts, " config out minutes save-every eval-every eval-problems keep-last threads cpu "
                  "verifier-limit "),
        .n_steps = o->n_steps,
        .minutes = o->minutes,
        .save_every = o->save_every,
        .eval_every = o->eval_every,
        .keep = o->keep,
        .schedule = {.kind = schedule_of(o->schedule),
                     .lr = o->lr,
                     .end = o->lr_end,
                     .tail = o->lr_tail,
                     .n_warmup = o->n_warmup}};
    static struct mk_trainable t; /* the model keeps it while it is open */
    t = (struct mk_trainable){
        .seed = o->seed, .lora_rank = o->lora_rank, .lora_alpha = o->lora_alpha};
    const struct mk_learner_options lo = learner_options(o);
    char *from =
        o->from ? mk_cli_find_model(o->from) : NULL; /* a run that goes on may do without */
    if (!mk_run_open(r, &ro, from ? from : o->from, &t, &lo, &err)) mk_cli_die(&err);
    free(from);
    r->progress = on_progress;
    const struct mk_kernels *k = &r->learner.wk.k;
    r->peak_flops =
        2 * mk_measure_peak(r->learner.wk.pool, r->learner.is_bf16 ? k->peak_bf16 : k->peak_f32);
    print_plan(r);
}

int mk_stage_go(struct mk_run *r, const struct mk_stage *stage, void *self)
{
    struct mk_err err;
    r->o.stop = mk_stage_stop();
    if (!mk_run_go(r, stage, self, &err)) mk_cli_die(&err);
    const bool is_done = r->step >= r->o.n_steps;
    char *path = mk_checkpoint_latest(r->o.out, &err);
    fprintf(stderr, "%s after step %llu: %s\n", is_done ? "done" : "stopped, to be continued",
            (unsigned long long)r->step, path ? path : r->o.out);
    free(path);
    mk_run_close(r);
    return is_done || r->o.minutes > 0 ? 0 : mk_code_exit(MK_ECANCELED);
}

struct mk_eval_options mk_stage_eval(const struct mk_stage_opts *o, struct mk_questions *questions,
                                     size_t max_new, enum mk_opening opening)
{
    struct mk_err err;
    if (o->eval_every && !mk_questions_need(questions, MK_SPLIT_HELDOUT, &err)) mk_cli_die(&err);
    return (struct mk_eval_options){.questions = questions,
                                    .n_problems = o->n_eval,
                                    .seed = o->seed,
                                    .sample_seed = o->seed,
                                    .max_new = max_new,
                                    .opening = opening};
}

size_t mk_stage_n_ctx(const struct mk_run *r, const struct mk_stage_opts *o)
{
    const size_t most = r->learner.model.n_ctx;
    return o->n_ctx && o->n_ctx < most ? o->n_ctx : most;
}
