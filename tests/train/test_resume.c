/* A run that is stopped and continued, or killed at any moment, ends as one that was left alone:
 * the same bytes in its last checkpoint, the same numbers in its metrics. */
#include "base/clock.h"
#include "base/file.h"
#include "base/folder.h"
#include "base/rng.h"
#include "token/train.h"
#include "train/eval.h"
#include "train/stage_rl.h"
#include "train/stage_text.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { VOCAB = 304, N_CTX = 96, N_BASE = 60 /* steps */ };

/* ---- what is run ------------------------------------------------------------------------ */

enum kind { MIX, JSONL, RL };

struct scenario {
    enum kind kind;
    const char *from; /* "v3", "dense": a config; with "-base": the model made from it */
    struct mk_learner_options learner;
    size_t lora_rank;
    uint64_t n_steps;
    double lr;
    struct mk_rl_options rl;
};

static struct mk_learner_options learner_options(enum mk_optim_kind kind)
{
    struct mk_learner_options o = {.n_threads = 1,
                                   .cpu = mk_cpu_detect(),
                                   .step_toks = 300,
                                   .mtp_weight = 0.3,
                                   .balance = 1e-3,
                                   .bias_rate = 1e-3,
                                   .optim = mk_optim_defaults()};
    o.optim.kind = kind;
    return o;
}

static struct mk_rl_options rl_options(void)
{
    return (struct mk_rl_options){.seed = 4,
                                  .n_prompts = 6,
                                  .n_samples = 4,
                                  .max_new = 12,
                                  .temperature = 1,
                                  .opening = MK_OPEN_DIRECT,
                                  .norm = MK_RL_DAPO,
                                  .clip_lo = 0.2,
                                  .clip_hi = 0.28,
                                  .n_rounds = 1,
                                  .overlong_toks = 4,
                                  .format_reward = 0.3,
                                  .n_updates = 1};
}

/* ---- the folder of the tests ------------------------------------------------------------ */

static char root[] = "/tmp/mk-resume-XXXXXX";

static char whole[64], parts[64]; /* a run that was left alone, and one that was not */

/* Until the next call. */
static char *under_root(const char *name)
{
    static char path[64];
    snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

static void write_text(const char *name, const char *text, size_t n)
{
    struct mk_err err;
    if (!mk_file_write(under_root(name), text, n, &err)) fail_msg("%s", err.msg);
}

static const struct mk_mix mix = {
    .seed = 2, .n_ctx = N_CTX, .direct = 1, .tasks = "add,compare", .easy = 0.5};

static void learn_words(struct mk_bpe_trainer *b)
{
    struct mk_mixer *m;
    struct mk_problem p = {0};
    struct mk_err err;
    enum mk_form form;
    assert_true(mk_mixer_new(&m, &mix, &err));
    for (uint64_t i = 0; i < 300; i++) {
        mk_mixer_draw(m, i, &p, &form);
        assert_true(mk_bpe_trainer_add(b, mk_str_c(&p.prompt), p.prompt.len, &err));
        assert_true(mk_bpe_trainer_add(b, mk_str_c(&p.trace), p.trace.len, &err));
    }
    mk_problem_release(&p);
    mk_mixer_free(m);
}

static void write_tokenizer(void)
{
    struct mk_bpe_trainer *b;
    struct mk_tokenizer *t;
    struct mk_err err;
    struct mk_str json = {0}, config = {0};
    const struct mk_bpe_options o = {.n_vocab = VOCAB, .single = MK_BPE_SINGLE};
    assert_true(mk_bpe_trainer_new(&b, &o, &err));
    learn_words(b);
    if (!mk_bpe_trainer_run(b, NULL, NULL, &t, &err)) fail_msg("%s", err.msg);
    mk_tokenizer_put_json(t, &json);
    mk_tokenizer_put_config(t, &config);
    write_text("tokenizer.json", json.data, json.len);
    write_text("tokenizer_config.json", config.data, config.len);
    mk_str_release(&json);
    mk_str_release(&config);
    mk_tokenizer_free(t);
    mk_bpe_trainer_free(b);
}

/* The tiny configuration of a family with the vocabulary of these tests. */
static void write_config(const char *family, const char *name)
{
    char path[64];
    struct mk_err err;
    struct mk_str text = {0}, out = {0};
    static const char key[] = "\"vocab_size\": ";
    snprintf(path, sizeof path, "tests/golden/train/%s.json", family);
    if (!mk_file_read_regular(&text, path, 1 << 16, &err)) fail_msg("%s", err.msg);
    const char *at = strstr(mk_str_c(&text), key);
    assert_non_null(at);
    mk_str_addf(&out, "%.*s%s%d%s", (int)(at - text.data), text.data, key, VOCAB, strchr(at, ','));
    write_text(name, out.data, out.len);
    mk_str_release(&text);
    mk_str_release(&out);
}

static void write_examples(void)
{
    struct mk_str s = {0};
    for (int i = 0; i < 40; i++)
        mk_str_addf(&s,
                    "{\"prompt\": \"What follows %d?\", \"completion\": \"<think>one more"
                    "</think>%d\"}\n",
                    i, i + 1);
    write_text("examples.jsonl", s.data, s.len);
    mk_str_release(&s);
}

/* ---- one process's share of a run ------------------------------------------------------- */

struct share {
    uint64_t until; /* stops after so many steps in all */
    atomic_bool stop;
};

static void on_progress(void *arg, const struct mk_progress *p)
{
    struct share *s = arg;
    if (p->step >= s->until) atomic_store(&s->stop, true);
}

static void open_run(struct mk_run *r, const struct scenario *s, const char *out,
                     struct mk_trainable *t, struct share *share)
{
    struct mk_err err;
    char path[64];
    const struct mk_run_options o = {
        .out = out,
        .command = "test",
        .json = "{}",
        .identity = "one",
        .n_steps = s->n_steps,
        .save_every = 1,
        .eval_every = 2,
        .keep = 2,
        .schedule = {.kind = MK_LR_COSINE, .lr = s->lr, .end = 0.1, .n_warmup = 2},
        .stop = &share->stop};
    const bool is_base = strstr(s->from, "-base");
    snprintf(path, sizeof path, "%s/%s%s", root, s->from, is_base ? "" : ".json");
    char *from = mk_run_model(path);
    *t = (struct mk_trainable){.seed = 5, .lora_rank = s->lora_rank, .lora_alpha = 8};
    if (!mk_run_open(r, &o, from, t, &s->learner, &err)) fail_msg("%s", err.msg);
    free(from);
    r->progress = on_progress;
    r->progress_arg = share;
}

static void go_text(struct mk_run *r, const struct scenario *s)
{
    struct mk_err err;
    struct mk_str bytes = {0};
    struct mk_text_stage stage = {.batch_toks = 200, .n_ctx = N_CTX};
    if (s->kind == MIX) {
        assert_true(mk_source_open_mix(&stage.source, &mix, r->tokenizer, &err));
    } else {
        const struct mk_data_options o = {.tokenizer = r->tokenizer, .n_ctx = N_CTX, .seed = 3};
        assert_true(mk_file_read_regular(&bytes, under_root("examples.jsonl"), 1 << 16, &err));
        if (!mk_source_open_bytes(&stage.source, bytes.data, bytes.len, "examples", &o, &err))
            fail_msg("%s", err.msg);
    }
    if (!mk_run_go(r, &mk_text_stage, &stage, &err)) fail_msg("%s", err.msg);
    mk_source_close(&stage.source);
    mk_text_stage_release(&stage);
    mk_str_release(&bytes);
}

static void go_rl(struct mk_run *r, const struct scenario *s)
{
    struct mk_err err;
    struct mk_rl_stage *stage;
    struct mk_rl_options o = s->rl;
    const struct mk_questions_options q = {.tasks = "add,compare"};
    if (!mk_questions_open(&o.questions, &q, &err)) fail_msg("%s", err.msg);
    struct mk_eval_options eval = {
        .questions = o.questions, .n_problems = 3, .max_new = 8, .opening = o.opening};
    o.eval = mk_eval_stage, o.eval_arg = &eval;
    if (!mk_rl_stage_new(&stage, &o, r, &err)) fail_msg("%s", err.msg);
    if (!mk_run_go(r, &mk_rl_stage_fns, stage, &err)) fail_msg("%s", err.msg);
    mk_rl_stage_free(stage);
    mk_questions_close(o.questions);
}

static void go(const struct scenario *s, const char *out, uint64_t until)
{
    struct mk_run r;
    struct mk_trainable t;
    struct share share = {.until = until};
    open_run(&r, s, out, &t, &share);
    (s->kind == RL ? go_rl : go_text)(&r, s);
    assert_true(r.step == (until < s->n_steps ? until : s->n_steps));
    mk_run_close(&r);
}

/* ---- comparing -------------------------------------------------------------------------- */

static void same_file(const char *a, const char *b, const char *name)
{
    struct mk_err err;
    struct mk_str x = {0}, y = {0}, path = {0};
    mk_str_addf(&path, "%s/%s", a, name);
    assert_true(mk_file_read_regular(&x, path.data, 1 << 26, &err));
    mk_str_clear(&path);
    mk_str_addf(&path, "%s/%s", b, name);
    if (!mk_file_read_regular(&y, path.data, 1 << 26, &err)) fail_msg("%s", err.msg);
    if (x.len != y.len || memcmp(x.data, y.data, x.len) != 0) fail_msg("%s differs", path.data);
    mk_str_release(&x);
    mk_str_release(&y);
    mk_str_release(&path);
}

static void same_checkpoints(const char *a, const char *b)
{
    struct mk_err err;
    struct mk_folder_list la, lb;
    char *pa = mk_checkpoint_latest(a, &err), *pb = mk_checkpoint_latest(b, &err);
    assert_non_null(pa);
    assert_non_null(pb);
    assert_string_equal(strrchr(pa, '/'), strrchr(pb, '/'));
    assert_true(mk_folder_list(&la, pa, &err) && mk_folder_list(&lb, pb, &err));
    assert_int_equal(la.n, lb.n);
    for (size_t i = 0; i < la.n; i++) same_file(pa, pb, la.v[i]);
    mk_folder_list_release(&la);
    mk_folder_list_release(&lb);
    free(pa);
    free(pb);
}

static bool is_of_time(const char *name)
{
    static const char *const names[] = {"time",       "seconds",           "cpu_seconds",
                                        "toks_per_s", "flops_per_s",       "peak_share",
                                        "joules",     "rollout_toks_per_s"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(name, names[i])) return true;
    return false;
}

static void same_metrics(const char *a, const char *b)
{
    struct mk_err err;
    struct mk_history ha = {0}, hb = {0};
    assert_true(mk_history_read(&ha, a, &err) && mk_history_read(&hb, b, &err));
    assert_true(ha.n > 5);
    for (size_t i = 0; i < ha.n; i++) {
        const struct mk_series *x = &ha.list[i], *y = mk_history_find(&hb, x->name);
        if (is_of_time(x->name)) continue;
        if (!y || y->n != x->n || memcmp(x->step, y->step, x->n * sizeof *x->step) != 0 ||
            memcmp(x->value, y->value, x->n * sizeof *x->value) != 0)
            fail_msg("metric %s differs", x->name);
    }
    mk_history_release(&ha);
    mk_history_release(&hb);
}

static double sum_of(const char *run, const char *metric)
{
    struct mk_err err;
    struct mk_history h = {0};
    double sum = 0;
    assert_true(mk_history_read(&h, run, &err));
    const struct mk_series *s = mk_history_find(&h, metric);
    for (size_t i = 0; s && i < s->n; i++) sum += s->value[i];
    mk_history_release(&h);
    return sum;
}

/* ---- interrupting ----------------------------------------------------------------------- */

static int remove_runs(void **state)
{
    (void)state;
    return mk_folder_remove(whole, NULL) && mk_folder_remove(parts, NULL) ? 0 : -1;
}

/* The parts run on other numbers of threads, too. */
static void check_stopped(const struct scenario *s)
{
    struct scenario part = *s;
    assert_int_equal(remove_runs(NULL), 0);
    go(s, whole, s->n_steps);
    for (uint64_t done = 1; done < s->n_steps; done += 2) {
        part.learner.n_threads = 1 + (unsigned)done / 2 % 2;
        go(&part, parts, done);
    }
    go(s, parts, s->n_steps);
    same_checkpoints(whole, parts);
    same_metrics(whole, parts);
}

static void wait_s(double s)
{
    const struct timespec t = {(time_t)s, (long)(1e9 * (s - (double)(time_t)s))};
    nanosleep(&t, NULL);
}

/* Runs of which each is killed a while after its start; the last is left to end. */
static void check_killed(const struct scenario *s, struct mk_rng *rng)
{
    int n_killed = 0, status = 0;
    assert_int_equal(remove_runs(NULL), 0);
    const double start = mk_now_s();
    go(s, whole, s->n_steps);
    const double seconds = mk_now_s() - start;
    for (int i = 0; i < 12; i++) {
        const pid_t child = fork();
        assert_true(child >= 0);
        if (!child) {
            go(s, parts, s->n_steps);
            _exit(0);
        }
        wait_s(0.4 * seconds * mk_rng_f64(rng));
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &status, 0), child);
        n_killed += WIFSIGNALED(status);
    }
    assert_true(n_killed > 0);
    go(s, parts, s->n_steps);
    same_checkpoints(whole, parts);
    same_metrics(whole, parts);
}

/* ---- the tests -------------------------------------------------------------------------- */

static void pretraining_goes_on(void **state)
{
    (void)state;
    struct scenario s = {.kind = MIX, .from = "v3", .n_steps = 6, .lr = 3e-3};
    for (int kind = MK_ADAMW; kind <= MK_MUON; kind++) {
        s.learner = learner_options((enum mk_optim_kind)kind);
        s.learner.recomputes = kind == MK_MUON;
        check_stopped(&s);
        assert_true(sum_of(whole, "mtp_loss") > 0);
    }
}

/* Through three shuffles of its file. */
static void fine_tuning_goes_on(void **state)
{
    (void)state;
    struct scenario s = {.kind = JSONL, .from = "dense-base", .n_steps = 12, .lr = 1e-3};
    s.learner = learner_options(MK_ADAMW);
    check_stopped(&s);
    s.lora_rank = 4;
    check_stopped(&s);
}

static void check_rl(struct scenario *s)
{
    check_stopped(s);
    assert_true(sum_of(whole, "reward_std") > 0); /* there is something to learn */
    if (s->rl.kl > 0) assert_true(sum_of(whole, "kl") > 0);
}

static void rl_goes_on(void **state)
{
    (void)state;
    struct scenario s = {
        .kind = RL, .from = "v3-base", .n_steps = 5, .lr = 3e-3, .rl = rl_options()};
    s.learner = learner_options(MK_ADAMW);
    check_rl(&s);
    s.rl.kl = 0.05, s.rl.kl_kind = MK_KL_K3;
    s.rl.n_rounds = 3;
    s.rl.adapts = true;
    s.rl.n_updates = 2;
    s.rl.overlong = MK_OVERLONG_SOFT;
    check_rl(&s);
    s.rl.ref_every = 2;
    s.learner.optim.kind = MK_MUON;
    check_rl(&s);
}

static void rl_of_adapters_goes_on(void **state)
{
    (void)state;
    struct scenario s = {.kind = RL,
                         .from = "dense-base",
                         .n_steps = 5,
                         .lr = 1e-2,
                         .lora_rank = 4,
                         .rl = rl_options()};
    s.learner = learner_options(MK_ADAMW);
    s.rl.kl = 0.1;
    check_rl(&s);
}

static void kills_do_not_show(void **state)
{
    (void)state;
    struct mk_rng rng = {(uint64_t)getpid()};
    struct scenario s = {.kind = MIX, .from = "v3", .n_steps = 8, .lr = 3e-3};
    s.learner = learner_options(MK_ADAMW);
    check_killed(&s, &rng);
    s.kind = JSONL, s.from = "dense-base";
    check_killed(&s, &rng);
    s.kind = RL, s.from = "v3-base", s.rl = rl_options();
    s.rl.kl = 0.05, s.rl.n_updates = 2;
    check_killed(&s, &rng);
}

/* Models that end their answers, so that rewards differ. */
static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(root)) return -1;
    strcpy(whole, under_root("whole"));
    strcpy(parts, under_root("parts"));
    write_tokenizer();
    write_config("deepseek_v3", "v3.json");
    write_config("qwen2", "dense.json");
    write_examples();
    struct scenario s = {.kind = MIX, .n_steps = N_BASE, .lr = 1e-2};
    s.learner = learner_options(MK_ADAMW);
    for (int i = 0; i < 2; i++) {
        char out[64];
        s.from = i ? "dense" : "v3";
        snprintf(out, sizeof out, "%s/%s-base", root, s.from);
        go(&s, out, N_BASE);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return mk_folder_remove(root, NULL) ? 0 : -1;
}

int main(void)
{
#define TEST(f) cmocka_unit_test_teardown(f, remove_runs)
    const struct CMUnitTest tests[] = {
        TEST(pretraining_goes_on),    TEST(fine_tuning_goes_on), TEST(rl_goes_on),
        TEST(rl_of_adapters_goes_on), TEST(kills_do_not_show),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
