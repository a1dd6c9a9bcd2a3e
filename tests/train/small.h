#ifndef MK_TESTS_TRAIN_SMALL_H
#define MK_TESTS_TRAIN_SMALL_H
/* For tests that ask a model: a run of a very small model on a tokenizer of bytes, in a folder
 * that goes away, and questions from a text. */
#include "seqs.h"

#include "base/folder.h"
#include "train/questions.h"
#include "train/run.h"

static const char small_config[] =
    "{\"model_type\":\"qwen2\",\"vocab_size\":264,\"hidden_size\":32,\"intermediate_size\":48,"
    "\"num_hidden_layers\":2,\"num_attention_heads\":2,\"num_key_value_heads\":1,"
    "\"hidden_act\":\"silu\",\"max_position_embeddings\":128,\"rms_norm_eps\":1e-6,"
    "\"rope_theta\":10000.0,\"bos_token_id\":0,\"eos_token_id\":1,\"tie_word_embeddings\":true}";

struct small { /* a folder with cfg/config.json and cfg/tokenizer.json */
    char dir[64], config[96];
    struct mk_trainable how;
};

static inline void write_file(const char *dir, const char *name, const char *text, size_t n)
{
    struct mk_str path = {0};
    struct mk_err err;
    mk_str_addf(&path, "%s/%s", dir, name);
    if (!mk_file_write(path.data, text, n, &err)) fail_msg("%s", err.msg);
    mk_str_release(&path);
}

static inline void small_open(struct small *s)
{
    struct mk_str json = {0}, config = {0};
    *s = (struct small){.dir = "/tmp/mk-small-XXXXXX"};
    assert_non_null(mkdtemp(s->dir));
    mk_tokenizer_put_json(bytes, &json);
    mk_tokenizer_put_config(bytes, &config);
    write_file(s->dir, "tokenizer.json", json.data, json.len);
    write_file(s->dir, "tokenizer_config.json", config.data, config.len);
    write_file(s->dir, "config.json", small_config, strlen(small_config));
    snprintf(s->config, sizeof s->config, "%s/config.json", s->dir);
    mk_str_release(&json);
    mk_str_release(&config);
}

static inline void small_close(struct small *s)
{
    struct mk_err err;
    if (!mk_folder_remove(s->dir, &err)) fail_msg("%s", err.msg);
}

static inline struct mk_run_options small_run(const char *out, uint64_t n_steps)
{
    return (struct mk_run_options){.out = out,
                                   .command = "test",
                                   .json = "{}",
                                   .identity = "{}",
                                   .n_steps = n_steps,
                                   .schedule = {.kind = MK_LR_CONSTANT, .lr = 3e-3, .end = 1}};
}

static inline struct mk_learner_options small_learner(void)
{
    struct mk_learner_options o = {.n_threads = 1,
                                   .cpu = mk_cpu_detect(),
                                   .step_toks = 512,
                                   .compute = MK_COMPUTE_F32,
                                   .optim = mk_optim_defaults()};
    o.optim.decay = 0;
    return o;
}

/* from NULL: the new model. */
static inline void small_start(struct small *s, struct mk_run *r, const struct mk_run_options *o,
                               const char *from, size_t lora_rank)
{
    struct mk_err err;
    const struct mk_learner_options lo = small_learner();
    s->how = (struct mk_trainable){.seed = 5, .lora_rank = lora_rank, .lora_alpha = 16};
    if (!mk_run_open(r, o, from ? from : s->config, &s->how, &lo, &err)) fail_msg("%s", err.msg);
}

/* Questions "say a1" ... whose answer is "7" unless wrong divides their number. */
static inline struct mk_questions *say_seven(const struct small *s, int n, int wrong, bool is_whole,
                                             const char *command)
{
    struct mk_str text = {0}, path = {0};
    struct mk_questions *q;
    struct mk_err err;
    for (int i = 1; i <= n; i++)
        mk_str_addf(&text, "{\"prompt\":\"say a%d\",\"answer\":\"%d\"}\n", i,
                    wrong && i % wrong == 0 ? 8 : 7);
    write_file(s->dir, "say.jsonl", text.data, text.len);
    mk_str_addf(&path, "%s/say.jsonl", s->dir);
    const struct mk_questions_options o = {.own = {path.data, command ? NULL : "exact", command, 1},
                                           .is_whole = is_whole};
    if (!mk_questions_open(&q, &o, &err)) fail_msg("%s", err.msg);
    mk_str_release(&text);
    mk_str_release(&path);
    return q;
}

/* Steps towards thinking "ok" and answering "7" to everything; leaves gradients at 0. */
static inline void teach_seven(struct mk_learner *l, int n_steps)
{
    struct mk_seqs q = {0};
    struct mk_err err;
    struct mk_update u;
    for (int step = 0; step < n_steps; step++) {
        mk_seqs_clear(&q);
        size_t n = 0;
        for (int i = 0; i < 16; i++) {
            char text[64];
            snprintf(text, sizeof text, "{B}{U}say a%d{A}|{T}%s{X}7{E}", 1 + (37 * i + step) % 99,
                     i % 2 ? "ok" : "yes");
            parse(&q, text);
        }
        for (size_t i = 0; i < q.n_tok; i++) n += q.weight[i] > 0;
        mk_learner_pass(l, &q, 1.0 / (double)n, NULL, NULL, NULL, NULL, NULL);
        if (!mk_learner_update(l, 5e-3, &u, &err)) fail_msg("%s", err.msg);
    }
    mk_seqs_release(&q);
}
#endif
