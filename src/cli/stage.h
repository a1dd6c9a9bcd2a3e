#ifndef MK_CLI_STAGE_H
#define MK_CLI_STAGE_H
/* What the training commands share: options, the live line, stopping. */
#include "cli/cli.h"
#include "train/eval.h"
#include "train/run.h"

struct mk_stage_opts {
    const char *from, *out, *config;
    size_t n_steps, batch_toks, step_toks, n_ctx, save_every, eval_every, keep, seed, n_threads,
        n_warmup;
    size_t lora_rank, n_eval;
    double minutes, lr, lr_end, lr_tail, decay, clip, mtp, balance, bias_rate, lora_alpha;
    const char *optim, *schedule, *compute, *cpu;
    bool recomputes;
    /* Not an option: the stage learns from answers it generated, so attention takes the form that
     * generation takes and the first ratio is exactly one. */
    bool is_own_policy;
};
struct mk_stage_opts mk_stage_defaults(void);
#define MK_OPTS_STAGE(o)                                                                             \
    {"config", 0, MK_OPT_STR, &(o).config, "FILE", "JSON with options of this command",              \
     0,        0, NULL,       NULL},                                                                 \
        {"from",    0,       MK_OPT_STR,                                                             \
         &(o).from, "MODEL", "model folder, or the config.json of a new model",                      \
         0,         0,       NULL,                                                                   \
         NULL},                                                                                      \
        {"out", 'o', MK_OPT_STR, &(o).out, "RUN", "folder of the run; one that exists is continued", \
         0,     0,   NULL,       NULL},                                                              \
        {"steps",     0,                                                                             \
         MK_OPT_SIZE, &(o).n_steps,                                                                  \
         "N",         "steps of the optimizer (of a file: its epochs)",                              \
         1,           1e12,                                                                          \
         NULL,        NULL},                                                                         \
        {"minutes", 0,   MK_OPT_FLOAT, &(o).minutes, "M", "stop after M minutes, to be continued",   \
         0,         1e9, NULL,         NULL},                                                        \
        {"batch-toks", 0,    MK_OPT_SIZE, &(o).batch_toks, "N", "tokens of a step (8192)", 1,        \
         1e9,          NULL, NULL},                                                                  \
        {"step-toks", 0,                                                                             \
         MK_OPT_SIZE, &(o).step_toks,                                                                \
         "N",         "most tokens of one forward pass (2048)",                                      \
         1,           1e9,                                                                           \
         NULL,        NULL},                                                                         \
        {"ctx", 'c', MK_OPT_SIZE, &(o).n_ctx, "N", "longest sequence (the model's context)",         \
         2,     1e9, NULL,        NULL},                                                             \
        {"lr", 0, MK_OPT_FLOAT, &(o).lr, "RATE", "highest learning rate", 0, 10, NULL, NULL},        \
        {"schedule",                                                                                 \
         0,                                                                                          \
         MK_OPT_CHOICE,                                                                              \
         &(o).schedule,                                                                              \
         "KIND",                                                                                     \
         "of the learning rate (wsd)",                                                               \
         0,                                                                                          \
         0,                                                                                          \
         "constant|cosine|linear|wsd",                                                               \
         NULL},                                                                                      \
        {"warmup", 0,   MK_OPT_SIZE, &(o).n_warmup, "N", "steps of linear warm-up",                  \
         0,        1e9, NULL,        NULL},                                                          \
        {"lr-end", 0, MK_OPT_FLOAT, &(o).lr_end, "SHARE", "last learning rate (0.05)",               \
         0,        1, NULL,         NULL},                                                           \
        {"lr-tail", 0, MK_OPT_FLOAT, &(o).lr_tail, "SHARE", "of the steps in which wsd falls (0.3)", \
         0,         1, NULL,         NULL},                                                          \
        {"optim", 0, MK_OPT_CHOICE, &(o).optim, "KIND", "adamw, or muon for matrices",               \
         0,       0, "adamw|muon",  NULL},                                                           \
        {"decay", 0, MK_OPT_FLOAT, &(o).decay, "W", "weight decay", 0, 10, NULL, NULL},              \
        {"clip", 0,   MK_OPT_FLOAT, &(o).clip, "NORM", "largest gradient norm (1; 0: any)",          \
         0,      1e9, NULL,         NULL},                                                           \
        {"mtp", 0,  MK_OPT_FLOAT, &(o).mtp, "W", "weight of multi-token prediction (0.3)",           \
         0,     10, NULL,         NULL},                                                             \
        {"balance", 0,  MK_OPT_FLOAT, &(o).balance, "A", "weight of the balance loss (1e-4)",        \
         0,         10, NULL,         NULL},                                                         \
        {"bias-rate",                                                                                \
         0,                                                                                          \
         MK_OPT_FLOAT,                                                                               \
         &(o).bias_rate,                                                                             \
         "G",                                                                                        \
         "step of the routers' bias (1e-3)",                                                         \
         0,                                                                                          \
         1,                                                                                          \
         NULL,                                                                                       \
         NULL},                                                                                      \
        {"lora", 0,    MK_OPT_SIZE, &(o).lora_rank, "RANK", "train adapters of this rank alone", 0,  \
         4096,   NULL, NULL},                                                                        \
        {"lora-alpha", 0,    MK_OPT_FLOAT, &(o).lora_alpha, "A", "their scale times rank (32)", 0,   \
         1e4,          NULL, NULL},                                                                  \
        {"seed", 0, MK_OPT_SIZE, &(o).seed, "N", "of everything that is drawn (1)",                  \
         0,      0, NULL,        NULL},                                                              \
        {"save-every",                                                                               \
         0,                                                                                          \
         MK_OPT_SIZE,                                                                                \
         &(o).save_every,                                                                            \
         "N",                                                                                        \
         "steps between checkpoints (500)",                                                          \
         0,                                                                                          \
         1e12,                                                                                       \
         NULL,                                                                                       \
         NULL},                                                                                      \
        {"keep-last", 0,   MK_OPT_SIZE, &(o).keep, "N", "checkpoints kept (2; 0: all)",              \
         0,           1e6, NULL,        NULL},                                                       \
        {"eval-every", 0,    MK_OPT_SIZE, &(o).eval_every, "N", "steps between evaluations (0)", 0,  \
         1e12,         NULL, NULL},                                                                  \
        {"eval-problems",                                                                            \
         0,                                                                                          \
         MK_OPT_SIZE,                                                                                \
         &(o).n_eval,                                                                                \
         "N",                                                                                        \
         "held-out problems of each task (20)",                                                      \
         1,                                                                                          \
         1e6,                                                                                        \
         NULL,                                                                                       \
         NULL},                                                                                      \
        {"compute",                                                                                  \
         0,                                                                                          \
         MK_OPT_CHOICE,                                                                              \
         &(o).compute,                                                                               \
         "TYPE",                                                                                     \
         "of products (auto: bf16 where the processor has it)",                                      \
         0,                                                                                          \
         0,                                                                                          \
         "auto|f32|bf16",                                                                            \
         NULL},                                                                                      \
        {"recompute", 0,                                                                             \
         MK_OPT_FLAG, &(o).recomputes,                                                               \
         NULL,        "save memory: compute layers twice",                                           \
         0,           0,                                                                             \
         NULL,        NULL},                                                                         \
        {"threads", 't',  MK_OPT_SIZE, &(o).n_threads, "N", "threads (all CPUs)",                    \
         1,         1024, NULL,        "MINKE_THREADS"},                                             \
    {                                                                                                \
        "cpu", 0, MK_OPT_STR, &(o).cpu, "LEVEL", "highest instruction-set level", 0, 0, NULL,        \
            "MK_CPU"                                                                                 \
    }

/* Opens the run that the options describe, or ends the program with a message.  json and
 * identity are made from opts and live as long as the program. */
void mk_stage_open(struct mk_run *r, const char *command, const struct mk_stage_opts *o,
                   const struct mk_opt *opts);
/* Runs it, shows the live line, closes it; the command's exit status. */
int mk_stage_go(struct mk_run *r, const struct mk_stage *stage, void *self);
/* From now on the first signal to end only asks for it, here; the second ends the program. */
const atomic_bool *mk_stage_stop(void);
/* Evaluations during the run, --eval-every: greedy answers to held-out questions. */
struct mk_eval_options mk_stage_eval(const struct mk_stage_opts *o, struct mk_questions *questions,
                                     size_t max_new, enum mk_opening opening);
size_t mk_stage_n_ctx(const struct mk_run *r, const struct mk_stage_opts *o);
#endif
