/* minke rl: a model improves by trying: GRPO with verifiable rewards. */
#include "cli/question_opts.h"
#include "cli/stage.h"
#include "train/eval.h"
#include "train/stage_rl.h"

struct rl_opts {
    size_t n_prompts, n_samples, max_new, ref_every, n_rounds, overlong_toks, n_updates;
    double temperature, clip_lo, clip_hi, kl, format_reward;
    const char *opening, *norm, *kl_kind, *overlong;
    bool keeps_scale, adapts;
};

#define NORMS     "grpo|dapo|drgrpo"
#define KLS       "k1|k2|k3|k3-weighted"
#define OVERLONGS "none|mask|soft"

static struct mk_rl_options rl_options(const struct rl_opts *o, struct mk_questions *questions,
                                       size_t seed)
{
    return (struct mk_rl_options){.seed = seed,
                                  .questions = questions,
                                  .n_prompts = o->n_prompts,
                                  .n_samples = o->n_samples,
                                  .max_new = o->max_new,
                                  .temperature = o->temperature,
                                  .opening = mk_opening_cli(o->opening),
                                  .norm = (enum mk_rl_norm)mk_choice(o->norm, NORMS),
                                  .keeps_scale = o->keeps_scale,
                                  .clip_lo = o->clip_lo,
                                  .clip_hi = o->clip_hi,
                                  .kl = o->kl,
                                  .kl_kind = (enum mk_rl_kl)mk_choice(o->kl_kind, KLS),
                                  .ref_every = o->ref_every,
                                  .n_rounds = o->n_rounds,
                                  .overlong =
                                      (enum mk_rl_overlong)mk_choice(o->overlong, OVERLONGS),
                                  .overlong_toks = o->overlong_toks,
                                  .format_reward = o->format_reward,
                                  .n_updates = o->n_updates,
                                  .adapts = o->adapts};
}

int mk_cmd_rl(int argc, char **argv)
{
    static struct mk_stage_opts o;
    static struct rl_opts r;
    static struct mk_question_opts q;
    o = mk_stage_defaults();
    o.lr = 1e-4, o.n_warmup = 5, o.schedule = "linear", o.decay = 0, o.mtp = 0, o.bias_rate = 0;
    o.is_own_policy = true, o.balance = 0, o.n_steps = 200, o.save_every = 50;
    r = (struct rl_opts){.n_prompts = 32,
                         .n_samples = 16,
                         .max_new = 256,
                         .n_rounds = 1,
                         .overlong_toks = 64,
                         .n_updates = 1,
                         .temperature = 1,
                         .clip_lo = 0.2,
                         .clip_hi = 0.28,
                         .opening = "free",
                         .norm = "dapo",
                         .kl_kind = "k3",
                         .overlong = "none"};
    const struct mk_opt opts[] = {
        MK_OPTS_STAGE(o),
        MK_OPTS_QUESTIONS(q),
        {"prompts", 0, MK_OPT_SIZE, &r.n_prompts, "N", "questions of a step (32)", 1, 1e6, NULL,
         NULL},
        {"samples", 0, MK_OPT_SIZE, &r.n_samples, "G", "answers to each (16)", 2, 4096, NULL, NULL},
        {"max-new", 0, MK_OPT_SIZE, &r.max_new, "N", "most tokens of an answer (256)", 1, 1e6, NULL,
         NULL},
        {"temp", 0, MK_OPT_FLOAT, &r.temperature, "T", "of the answers (1)", 0.01, 10, NULL, NULL},
        {"opening", 0, MK_OPT_CHOICE, &r.opening, "KIND",
         "whether answers think: the model chooses (free), always, never", 0, 0, MK_OPENINGS, NULL},
        {"norm", 0, MK_OPT_CHOICE, &r.norm, "KIND",
         "what counts alike: answers (grpo), tokens (dapo), or a constant (drgrpo)", 0, 0, NORMS,
         NULL},
        {"keep-scale", 0, MK_OPT_FLAG, &r.keeps_scale, NULL,
         "advantages are not divided by the group's deviation", 0, 0, NULL, NULL},
        {"clip-low", 0, MK_OPT_FLOAT, &r.clip_lo, "E", "lower clip of the ratio (0.2)", 0, 1, NULL,
         NULL},
        {"clip-high", 0, MK_OPT_FLOAT, &r.clip_hi, "E", "upper clip (0.28; R1: 10)", 0, 1e6, NULL,
         NULL},
        {"kl", 0, MK_OPT_FLOAT, &r.kl, "BETA", "weight of the divergence from the reference (0)", 0,
         1e3, NULL, NULL},
        {"kl-kind", 0, MK_OPT_CHOICE, &r.kl_kind, "KIND", "its estimator (k3)", 0, 0, KLS, NULL},
        {"ref-every", 0, MK_OPT_SIZE, &r.ref_every, "N",
         "the reference becomes the policy every N steps (0: never)", 0, 1e12, NULL, NULL},
        {"rounds", 0, MK_OPT_SIZE, &r.n_rounds, "N",
         "dynamic sampling: draw up to N times until enough groups differ (1: off)", 1, 100, NULL,
         NULL},
        {"overlong", 0, MK_OPT_CHOICE, &r.overlong, "KIND",
         "answers that are cut off: wrong (none), ignored (mask), long ones pay (soft)", 0, 0,
         OVERLONGS, NULL},
        {"overlong-toks", 0, MK_OPT_SIZE, &r.overlong_toks, "N", "tokens that pay (64)", 1, 1e6,
         NULL, NULL},
        {"format-reward", 0, MK_OPT_FLOAT, &r.format_reward, "R", "for a well-formed answer (0)", 0,
         10, NULL, NULL},
        {"updates", 0, MK_OPT_SIZE, &r.n_updates, "N", "of the policy for each step's answers (1)",
         1, 1e4, NULL, NULL},
        {"adapt", 0, MK_OPT_FLAG, &r.adapts, NULL,
         "more of the tasks that still teach, at a level that fits", 0, 0, NULL, NULL},
        {0}};
    mk_opts_parse("rl", opts, argc, argv, NULL, 0);
    struct mk_run run;
    struct mk_rl_stage *stage;
    struct mk_err err;
    struct mk_questions *questions = mk_questions_cli(&q);
    mk_stage_open(&run, "rl", &o, opts);
    struct mk_rl_options ro = rl_options(&r, questions, o.seed);
    struct mk_eval_options eo = mk_stage_eval(&o, questions, r.max_new, ro.opening);
    ro.eval = mk_eval_stage, ro.eval_arg = &eo;
    if (!mk_rl_stage_new(&stage, &ro, &run, &err)) mk_cli_die(&err);
    const int status = mk_stage_go(&run, &mk_rl_stage_fns, stage);
    mk_rl_stage_free(stage);
    mk_questions_close(questions);
    return status;
}
