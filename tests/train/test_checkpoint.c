/* Checkpoints of the tiny model that the build makes: they come back bit for bit, survive kill -9
 * and a full disk, and refuse what does not belong to them. */
#include "base/clock.h"
#include "base/file.h"
#include "base/folder.h"
#include "base/rng.h"
#include "train/checkpoint.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define MODEL "build/tiny"
#define STATE "{\"rng\":\"18446744073709551615\",\"x\":0.1}"
#define STATE_BACK \
    "{\"rng\":\"18446744073709551615\",\"x\":0.10000000000000001}" /* the same double */

struct fix {
    char dir[40];
    struct mk_model model;
    struct mk_params params;
    struct mk_optim optim;
    struct mk_tokenizer *tokenizer;
};

static void open_model(struct fix *f, const char *path, size_t lora_rank, enum mk_optim_kind kind)
{
    struct mk_err err;
    struct mk_optim_options o = mk_optim_defaults();
    const struct mk_trainable t = {
        .params = &f->params, .lora_rank = lora_rank, .lora_alpha = 16, .seed = 1};
    o.kind = kind;
    f->params = (struct mk_params){0};
    if (!mk_model_open_trainable(&f->model, path, &t, &err)) fail_msg("%s", err.msg);
    assert_true(mk_optim_init(&f->optim, &o, &f->params, &err));
}

static void close_model(struct fix *f)
{
    mk_optim_release(&f->optim);
    mk_model_close(&f->model);
    mk_params_release(&f->params);
}

static int set_up_rank(void **state, size_t lora_rank)
{
    static struct fix f;
    struct mk_err err;
    f = (struct fix){.dir = "/tmp/mk-checkpoint-XXXXXX"};
    *state = &f;
    if (!mkdtemp(f.dir)) return -1;
    open_model(&f, MODEL, lora_rank, MK_ADAMW);
    return mk_tokenizer_open(&f.tokenizer, &f.model.tensors, &err) ? 0 : -1;
}

static int set_up(void **state) { return set_up_rank(state, 0); }
/* Adapters alone make small files: for what does not depend on what is in them. */
static int set_up_small(void **state) { return set_up_rank(state, 1); }

static int tear_down(void **state)
{
    struct fix *f = *state;
    close_model(f);
    mk_tokenizer_free(f->tokenizer);
    return mk_folder_remove(f->dir, NULL) ? 0 : -1;
}

/* Other values everywhere, the same for the same seed. */
static void shake(struct fix *f, uint64_t seed)
{
    struct mk_rng rng = {seed};
    for (size_t i = 0; i < f->params.n_list; i++) {
        const struct mk_param *q = &f->params.list[i];
        for (size_t j = q->at; j < q->at + mk_param_values(q); j++) {
            f->params.v[j] = (float)mk_rng_normal(&rng) * 0.1f;
            if (mk_optim_has_m(q)) f->optim.m[j] = (float)mk_rng_normal(&rng);
            if (mk_optim_has_v(&f->optim, q)) f->optim.v[j] = (float)mk_rng_f64(&rng);
        }
    }
    f->optim.n_step = seed + 7;
}

static struct mk_checkpoint at_step(const struct fix *f, uint64_t step)
{
    return (struct mk_checkpoint){.model = &f->model,
                                  .tokenizer = f->tokenizer,
                                  .optim = &f->optim,
                                  .step = step,
                                  .state = STATE,
                                  .run_hash = "abc123"};
}

static void save(const struct fix *f, uint64_t step, size_t keep)
{
    struct mk_err err;
    const struct mk_checkpoint c = at_step(f, step);
    if (!mk_checkpoint_save(f->dir, &c, keep, &err)) fail_msg("%s", err.msg);
}

static char *latest(const struct fix *f)
{
    struct mk_err err;
    char *path = mk_checkpoint_latest(f->dir, &err);
    if (!path) fail_msg("no checkpoint: %s", err.msg);
    return path;
}

static bool load(struct fix *f, const char *path, uint64_t *step, struct mk_err *err)
{
    struct mk_str text = {0};
    const bool ok = mk_checkpoint_load(path, &f->params, &f->optim, "abc123", step, &text, err);
    if (ok) assert_string_equal(text.data, STATE_BACK);
    mk_str_release(&text);
    return ok;
}

/* That f holds what shake(seed) makes of another. */
static void check_shaken(struct fix *f, uint64_t seed)
{
    const size_t n_bytes = f->params.n * sizeof(float);
    float *copy = malloc(3 * n_bytes);
    memcpy(copy, f->params.v, n_bytes);
    memcpy(copy + f->params.n, f->optim.m, n_bytes);
    memcpy(copy + 2 * f->params.n, f->optim.v, n_bytes);
    assert_int_equal(f->optim.n_step, seed + 7);
    shake(f, seed);
    assert_memory_equal(copy, f->params.v, n_bytes);
    assert_memory_equal(copy + f->params.n, f->optim.m, n_bytes);
    assert_memory_equal(copy + 2 * f->params.n, f->optim.v, n_bytes);
    free(copy);
}

/* The names in a folder, with spaces between. */
static struct mk_str names(const char *dir)
{
    struct mk_folder_list l;
    struct mk_str s = {0};
    assert_true(mk_folder_list(&l, dir, NULL));
    for (size_t i = 0; i < l.n; i++) mk_str_addf(&s, "%s%s", i ? " " : "", l.v[i]);
    mk_folder_list_release(&l);
    return s;
}

static void check_names(const char *dir, const char *want)
{
    struct mk_str s = names(dir);
    assert_string_equal(mk_str_c(&s), want);
    mk_str_release(&s);
}

/* ---- there and back --------------------------------------------------------------------- */

static void comes_back_bit_for_bit(void **state)
{
    struct fix *f = *state;
    static const enum mk_optim_kind kinds[] = {MK_ADAMW, MK_MUON};
    for (size_t i = 0; i < 2; i++) {
        struct mk_err err;
        uint64_t step = 0;
        close_model(f);
        open_model(f, MODEL, 0, kinds[i]);
        shake(f, 5);
        save(f, 400 + i, 0);
        char *path = latest(f);
        assert_string_equal(path + strlen(f->dir), i ? "/step-00000401" : "/step-00000400");
        check_names(path,
                    "config.json generation_config.json model.safetensors "
                    "optimizer.safetensors tokenizer.json tokenizer_config.json trainer.json");
        /* Into the model as it began, and into one opened from the checkpoint. */
        for (int again = 0; again < 2; again++) {
            close_model(f);
            open_model(f, again ? path : MODEL, 0, kinds[i]);
            if (!load(f, path, &step, &err)) fail_msg("%s", err.msg);
            assert_int_equal(step, 400 + i);
            check_shaken(f, 5);
        }
        free(path);
    }
}

/* The folder is a model like any other: the same numbers, tokens and values. */
static void is_a_model_folder(void **state)
{
    struct fix *f = *state;
    struct mk_model m;
    struct mk_tokenizer *t;
    struct mk_err err;
    save(f, 1, 0);
    char *path = latest(f);
    if (!mk_model_open(&m, path, &err)) fail_msg("%s", err.msg);
    assert_int_equal(m.n_layer, f->model.n_layer);
    assert_int_equal(m.n_vocab, f->model.n_vocab);
    assert_int_equal(m.n_params, f->model.n_params);
    assert_string_equal(m.kind, f->model.kind);
    assert_int_equal(m.bos, f->model.bos);
    assert_int_equal(m.n_eos, f->model.n_eos);
    assert_int_equal(m.tensors.n, f->params.n_list);
    for (size_t i = 0; i < m.tensors.n; i++) {
        const struct mk_tensor *now = &m.tensors.list[i];
        const struct mk_tensor *was = mk_tensors_find(&f->model.tensors, now->name);
        assert_non_null(was);
        assert_int_equal(now->n_dims, was->n_dims);
        assert_memory_equal(now->dims, was->dims, now->n_dims * sizeof *now->dims);
    }
    assert_true(mk_tokenizer_open(&t, &m.tensors, &err));
    assert_int_equal(mk_token_count(t), mk_token_count(f->tokenizer));
    mk_tokenizer_free(t);
    mk_model_close(&m);
    free(path);
}

static void saves_in_other_types(void **state)
{
    struct fix *f = *state;
    struct mk_model m;
    struct mk_err err;
    struct mk_str dir = {0};
    mk_str_addf(&dir, "%s/out/model", f->dir);
    if (!mk_model_save(dir.data, &f->model, f->tokenizer, MK_BF16, &err)) fail_msg("%s", err.msg);
    if (!mk_model_open(&m, dir.data, &err)) fail_msg("%s", err.msg);
    for (size_t i = 0; i < f->params.n_list; i++) {
        const struct mk_param *q = &f->params.list[i];
        const struct mk_tensor *t = mk_tensors_find(&m.tensors, q->name);
        const bool is_matrix = q->kind == MK_PARAM_MATRIX || q->kind == MK_PARAM_EMBED;
        float *v = calloc(mk_param_values(q), sizeof *v);
        assert_int_equal(t->type, is_matrix ? MK_BF16 : MK_F32);
        mk_quants[t->type].decode(v, t->data, t->n_values);
        /* The tiny model's own values are bf16. */
        assert_memory_equal(v, f->params.v + q->at, mk_param_values(q) * sizeof *v);
        free(v);
    }
    mk_model_close(&m);
    assert_false(mk_model_save(dir.data, &f->model, NULL, MK_Q4_K, &err));
    assert_int_equal(err.code, MK_EUNSUPPORTED);
    mk_str_add(&dir, "/model.safetensors.index.json");
    assert_true(mk_file_write(dir.data, "{}", 2, &err));
    *strrchr(dir.data, '/') = '\0';
    assert_false(mk_model_save(dir.data, &f->model, NULL, MK_F32, &err));
    assert_non_null(strstr(err.msg, "a model in several files"));
    mk_str_release(&dir);
}

/* Keys that minke does not know stay; those that are no longer true go. */
static void keeps_other_keys_of_the_config(void **state)
{
    struct fix *f = *state;
    struct mk_err err;
    struct mk_model m;
    struct mk_str path = {0}, text = {0};
    save(f, 1, 0);
    mk_str_addf(&path, "%s/step-00000001/config.json", f->dir);
    assert_true(mk_file_read(&text, path.data, 1 << 20, &err));
    text.len = (size_t)(strrchr(text.data, '}') - text.data);
    mk_str_add(&text, ", \"mine\": {\"x\": 0.12345678901}, \"auto_map\": {}, "
                      "\"quantization_config\": {}}");
    assert_true(mk_file_write(path.data, text.data, text.len, &err));
    close_model(f);
    *strrchr(path.data, '/') = '\0';
    open_model(f, path.data, 0, MK_ADAMW);
    save(f, 2, 0);
    path.data[strlen(path.data) - 1] = '2';
    assert_true(mk_model_open(&m, path.data, &err));
    double x;
    assert_true(mk_config_float(&m.config, "mine.x", NULL, 0, 1, 0, &x, &err));
    assert_true(x == 0.12345678901);
    assert_false(mk_config_has(&m.config, "auto_map", NULL));
    assert_false(mk_config_has(&m.config, "quantization_config", NULL));
    mk_model_close(&m);
    mk_str_release(&path);
    mk_str_release(&text);
}

/* Adapters are small files of their own, as PEFT has them. */
static void adapters_come_back(void **state)
{
    struct fix *f = *state;
    struct mk_err err;
    uint64_t step;
    close_model(f);
    open_model(f, MODEL, 4, MK_ADAMW);
    assert_true(f->params.n_list > 0);
    shake(f, 9);
    save(f, 3, 0);
    char *path = latest(f);
    check_names(path, "adapter_config.json adapter_model.safetensors optimizer.safetensors "
                      "tokenizer.json tokenizer_config.json trainer.json");
    struct mk_str file = {0}, text = {0};
    mk_str_addf(&file, "%s/adapter_config.json", path);
    assert_true(mk_file_read(&text, file.data, 1 << 20, &err));
    assert_non_null(strstr(text.data, "\"r\": 4"));
    assert_non_null(strstr(text.data, "\"lora_alpha\": 16.0"));
    assert_non_null(strstr(text.data, "\"base_model_name_or_path\": \"" MODEL "\""));
    assert_non_null(strstr(text.data, "\"o_proj\""));
    close_model(f);
    open_model(f, MODEL, 4, MK_ADAMW);
    if (!load(f, path, &step, &err)) fail_msg("%s", err.msg);
    check_shaken(f, 9);
    mk_str_release(&file);
    mk_str_release(&text);
    free(path);
}

/* ---- finding and keeping ---------------------------------------------------------------- */

static void old_ones_go(void **state)
{
    struct fix *f = *state;
    struct mk_err err;
    struct mk_str path = {0};
    assert_null(mk_checkpoint_latest(f->dir, &err));
    assert_int_equal(err.code, MK_OK);
    assert_null(mk_checkpoint_latest("/tmp/mk-there-is-no-such-run", &err));
    assert_int_equal(err.code, MK_OK);
    /* What killed processes left, and what is none of our business. */
    mk_str_addf(&path, "%s/.step-00000009.tmp/deep", f->dir);
    assert_true(mk_mkdirs(path.data, 0777, &err));
    mk_str_clear(&path);
    mk_str_addf(&path, "%s/latest.123.tmp", f->dir);
    assert_true(mk_file_write(path.data, "x", 1, &err));
    mk_str_clear(&path);
    mk_str_addf(&path, "%s/step-by-step", f->dir);
    assert_true(mk_mkdirs(path.data, 0777, &err));
    save(f, 99999999, 0); /* a run that was longer once */
    for (uint64_t i = 1; i <= 3; i++) save(f, i * 100, 2);
    check_names(f->dir, "latest step-00000200 step-00000300 step-99999999 step-by-step");
    save(f, 100000000, 2); /* more digits */
    check_names(f->dir, "latest step-100000000 step-99999999 step-by-step");
    char *newest = latest(f);
    assert_string_equal(newest + strlen(f->dir), "/step-100000000");
    free(newest);
    mk_str_release(&path);
}

/* The same step again takes the place of the first. */
static void a_step_is_replaced(void **state)
{
    struct fix *f = *state;
    struct mk_err err;
    uint64_t step;
    shake(f, 1);
    save(f, 10, 3);
    shake(f, 2);
    save(f, 10, 3);
    check_names(f->dir, "latest step-00000010");
    char *path = latest(f);
    if (!load(f, path, &step, &err)) fail_msg("%s", err.msg);
    check_shaken(f, 2);
    /* Killed between the two renames of a replacement. */
    struct mk_str old = {0};
    mk_str_addf(&old, "%s/.step-00000010.old", f->dir);
    assert_int_equal(rename(path, old.data), 0);
    free(path);
    path = latest(f);
    assert_true(load(f, path, &step, &err));
    check_names(f->dir, "latest step-00000010");
    /* Killed after them: the next save removes the old one. */
    assert_true(mk_mkdirs(old.data, 0777, &err));
    save(f, 11, 3);
    check_names(f->dir, "latest step-00000010 step-00000011");
    mk_str_release(&old);
    free(path);
}

static void latest_is_checked(void **state)
{
    struct fix *f = *state;
    static const char *const bad[] = {"",   "step-1\n",           "../../etc\n", "step-00000001x",
                                      "\n", "step-00000001/../.."};
    struct mk_err err;
    struct mk_str path = {0};
    mk_str_addf(&path, "%s/latest", f->dir);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_true(mk_file_write(path.data, bad[i], strlen(bad[i]), &err));
        assert_null(mk_checkpoint_latest(f->dir, &err));
        assert_int_equal(err.code, MK_EFORMAT);
        assert_non_null(strstr(err.msg, "latest: is not the name of a checkpoint"));
    }
    assert_true(mk_file_write(path.data, "step-00000001", 13, &err));
    assert_null(mk_checkpoint_latest(f->dir, &err));
    assert_non_null(strstr(err.msg, "names step-00000001, which is not there"));
    save(f, 1, 0);
    save(f, 2, 0);
    unlink(path.data); /* a kill before the first `latest` */
    char *newest = latest(f);
    assert_string_equal(newest + strlen(f->dir), "/step-00000002");
    free(newest);
    mk_str_release(&path);
}

static void one_process_writes_a_run(void **state)
{
    struct fix *f = *state;
    struct mk_lock a = {0}, b = {0};
    struct mk_err err;
    char want[100];
    if (!mk_run_lock(&a, f->dir, &err)) fail_msg("%s", err.msg);
    const pid_t pid = fork();
    if (pid == 0) _exit(mk_run_lock(&b, f->dir, &err) || err.code != MK_EBUSY);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_false(mk_run_lock(&b, f->dir, &err));
    snprintf(want, sizeof want, "%s is in use by process %ld", f->dir, (long)getpid());
    assert_string_equal(err.msg, want);
    mk_lock_release(&a);
    assert_true(mk_run_lock(&b, f->dir, &err));
    mk_lock_release(&b);
}

/* ---- what does not belong ---------------------------------------------------------------- */

/* Loading fails with this text and changes nothing. */
static void refuse(struct fix *f, const char *path, const char *want)
{
    struct mk_err err;
    struct mk_str text = {0};
    uint64_t step = 77;
    shake(f, 21);
    assert_false(mk_checkpoint_load(path, &f->params, &f->optim, "abc123", &step, &text, &err));
    if (!strstr(err.msg, want) || !strstr(err.msg, path)) fail_msg("%s, want %s", err.msg, want);
    assert_int_equal(step, 77);
    check_shaken(f, 21);
    mk_str_release(&text);
}

static void refuses_other_runs(void **state)
{
    struct fix *f = *state;
    static const struct {
        const char *text, *want;
    } bad[] = {
        {"", "trainer.json: line 1: not JSON"},
        {"[]", "trainer.json: Expected object"},
        {"{\"format\":1}", "trainer.json: Object item not found: step"},
        {"{\"format\":2,\"step\":1,\"updates\":1,\"optimizer\":\"adamw\",\"run_hash\":\"abc123\","
         "\"state\":{}}",
         "format 2, want 1"},
        {"{\"format\":1,\"step\":-1,\"updates\":1,\"optimizer\":\"adamw\",\"run_hash\":\"abc123\","
         "\"state\":{}}",
         "step is negative"},
        {"{\"format\":1,\"step\":1,\"updates\":1,\"optimizer\":\"adamw\",\"run_hash\":\"abc123\","
         "\"state\":[]}",
         "state is not an object"},
        {"{\"format\":1,\"step\":1,\"updates\":1,\"optimizer\":\"adamw\",\"run_hash\":\"fff\","
         "\"state\":{}}",
         "the run was started with another configuration (run_hash fff, now abc123)"},
        {"{\"format\":1,\"step\":1,\"updates\":1,\"optimizer\":\"muon\",\"run_hash\":\"abc123\","
         "\"state\":{}}",
         "optimizer is not adamw"}};
    struct mk_err err;
    struct mk_str file = {0};
    save(f, 1, 0);
    char *path = latest(f);
    mk_str_addf(&file, "%s/trainer.json", path);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_true(mk_file_write(file.data, bad[i].text, strlen(bad[i].text), &err));
        refuse(f, path, bad[i].want);
    }
    mk_str_release(&file);
    free(path);
}

static void refuses_other_tensors(void **state)
{
    struct fix *f = *state;
    struct mk_str file = {0};
    save(f, 1, 0);
    char *path = latest(f);
    struct mk_param *q = &f->params.list[0];
    const size_t rows = q->rows;
    q->rows -= 1;
    refuse(f, path, "model.safetensors: tensor ");
    q->rows = rows;
    char *name = q->name;
    q->name = (char[]){"other.weight"};
    refuse(f, path, "tensor other.weight is missing");
    q->name = name;
    f->params.n_list--;
    refuse(f, path, "it belongs to another model");
    f->params.n_list++;
    /* Half a file: what a file system may make of one that was not synced. */
    mk_str_addf(&file, "%s/optimizer.safetensors", path);
    assert_int_equal(truncate(file.data, 1000), 0);
    refuse(f, path, "optimizer.safetensors");
    unlink(file.data);
    refuse(f, path, "optimizer.safetensors");
    mk_str_release(&file);
    free(path);
}

/* ---- accidents -------------------------------------------------------------------------- */

static void what_is_not_finite_is_not_saved(void **state)
{
    struct fix *f = *state;
    struct mk_err err;
    uint64_t step;
    shake(f, 1);
    save(f, 1, 1);
    const struct mk_param *q = &f->params.list[2];
    f->params.v[q->at + 1] = NAN;
    const struct mk_checkpoint c = at_step(f, 2);
    assert_false(mk_checkpoint_save(f->dir, &c, 1, &err));
    assert_int_equal(err.code, MK_EFORMAT);
    assert_non_null(strstr(err.msg, "checkpoint of step 2: "));
    assert_non_null(strstr(err.msg, q->name));
    check_names(f->dir, "latest step-00000001");
    char *path = latest(f);
    assert_true(load(f, path, &step, &err));
    check_shaken(f, 1);
    free(path);
}

static void the_state_is_json(void **state)
{
    struct fix *f = *state;
    struct mk_err err;
    struct mk_checkpoint c = at_step(f, 1);
    c.state = "{\"x\": nan}";
    assert_false(mk_checkpoint_save(f->dir, &c, 1, &err));
    assert_non_null(strstr(err.msg, "the state is no JSON object"));
    check_names(f->dir, "");
}

static void set_file_limit(rlim_t n)
{
    struct rlimit l;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &l), 0);
    l.rlim_cur = n;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &l), 0);
}

/* Writing fails at any size: the last checkpoint stays, nothing else does. */
static void a_full_disk_loses_nothing(void **state)
{
    struct fix *f = *state;
    static const rlim_t room[] = {0, 100, 3000, 100000, 1000000};
    signal(SIGXFSZ, SIG_IGN);
    shake(f, 1);
    save(f, 1, 1);
    for (size_t i = 0; i < sizeof room / sizeof *room; i++) {
        struct mk_err err;
        uint64_t step;
        shake(f, 2);
        const struct mk_checkpoint c = at_step(f, 2);
        set_file_limit(room[i]);
        const bool ok = mk_checkpoint_save(f->dir, &c, 1, &err);
        set_file_limit(RLIM_INFINITY);
        assert_false(ok);
        assert_int_equal(err.code, MK_EIO);
        assert_non_null(strstr(err.msg, "checkpoint of step 2: "));
        check_names(f->dir, "latest step-00000001");
        char *path = latest(f);
        assert_true(load(f, path, &step, &err));
        assert_int_equal(step, 1);
        check_shaken(f, 1);
        free(path);
    }
    save(f, 2, 1); /* when there is room again */
    check_names(f->dir, "latest step-00000002");
}

/* Saves until it is killed: other values in each step, and every third again over itself.  Says so
 * after each step. */
static void save_for_ever(struct fix *f, uint64_t step, int out)
{
    for (;; step++) {
        struct mk_err err;
        shake(f, step);
        const struct mk_checkpoint c = at_step(f, step);
        if (!mk_checkpoint_save(f->dir, &c, 2, &err)) _exit(1);
        if (step % 3 == 0 && !mk_checkpoint_save(f->dir, &c, 2, &err)) _exit(1);
        if (write(out, "x", 1) != 1) _exit(1);
    }
}

/* Kills a saver after a random time; in every second round only after its first step. */
static void save_and_kill(struct fix *f, uint64_t step, double seconds, bool waits)
{
    int p[2], status;
    char c;
    assert_int_equal(pipe(p), 0);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) save_for_ever(f, step, p[1]);
    if (waits) assert_int_equal(read(p[0], &c, 1), 1);
    const time_t whole = (time_t)seconds;
    nanosleep(&(struct timespec){whole, (long)((seconds - (double)whole) * 1e9)}, NULL);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status)); /* it had not failed */
    close(p[0]);
    close(p[1]);
}

static void survives_kills(void **state)
{
    enum { N_KILLS = 30 };
    struct fix *f = *state;
    struct mk_rng rng = {(uint64_t)time(NULL)};
    uint64_t step = 1;
    print_message("seed %llu\n", (unsigned long long)rng.state);
    const double start = mk_now_s();
    shake(f, step);
    save(f, step, 2);
    const double save_s = mk_now_s() - start;
    for (int i = 0; i < N_KILLS; i++) {
        struct mk_err err;
        uint64_t now = 0;
        save_and_kill(f, step + 1, mk_rng_f64(&rng) * 2 * save_s, i % 2);
        char *path = latest(f);
        if (!load(f, path, &now, &err)) fail_msg("%s", err.msg);
        assert_true(now >= step + i % 2);
        check_shaken(f, now);
        step = now;
        free(path);
    }
    save(f, step + 1, 1); /* clears up what they left */
    char want[60];
    snprintf(want, sizeof want, "latest step-%08llu", (unsigned long long)step + 1);
    check_names(f->dir, want);
}

#define TEST(f)  cmocka_unit_test_setup_teardown(f, set_up, tear_down)
#define SMALL(f) cmocka_unit_test_setup_teardown(f, set_up_small, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(comes_back_bit_for_bit),    TEST(is_a_model_folder),
        TEST(saves_in_other_types),      TEST(keeps_other_keys_of_the_config),
        TEST(adapters_come_back),        SMALL(old_ones_go),
        SMALL(a_step_is_replaced),       SMALL(latest_is_checked),
        SMALL(one_process_writes_a_run), SMALL(refuses_other_runs),
        TEST(refuses_other_tensors),     SMALL(what_is_not_finite_is_not_saved),
        SMALL(the_state_is_json),        TEST(a_full_disk_loses_nothing),
        SMALL(survives_kills),
    };
    return cmocka_run_group_tests_name("checkpoint", tests, NULL, NULL);
}
