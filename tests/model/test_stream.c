/* Models whose experts are read when they are needed: the bits of the mapped ones within any
 * budget, and errors instead of wrong results. */
#include "base/file.h"
#include "model/int_model.h"
#include "model/stream.h"

#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define GOLDEN "tests/golden/models/"
/* Safetensors with FP8 and a prediction layer; GGUF with stacked experts. */
static const char *const models[] = {GOLDEN "deepseek-v3-fp8", "models/tiny/tiny.gguf"};
enum { N_MODELS = 2, N_TOK = 48, MAX_VOCAB = 1024, MAX_D = 1024 };

/* What a model says to one prompt. */
struct said {
    float logits[N_TOK * MAX_VOCAB], hidden[N_TOK * MAX_D], mtp[N_TOK * MAX_VOCAB];
};

static int32_t token(const struct mk_model *m, size_t i)
{
    return (int32_t)((i * i * 31 + 7) % m->n_vocab);
}

static void predict(const struct mk_model *m, struct mk_work *wk, const struct mk_step *step,
                    struct said *out)
{
    const struct mk_kv_shape shape = mk_model_mtp_kv(m);
    struct mk_err err;
    struct mk_kv kv;
    struct mk_span span = step->spans[0];
    struct mk_step s = *step;
    if (!mk_model_has_mtp(m)) return;
    assert_true(mk_kv_init(&kv, &shape, MK_F32, N_TOK, &err));
    span.kv = &kv, span.pos = 0;
    s.spans = &span, s.logits = out->mtp, s.hidden = NULL, s.err = &err;
    if (!mk_model_mtp(m, wk, &s, out->hidden, true)) fail_msg("%s", err.msg);
    mk_kv_release(&kv);
}

/* The prompt in steps of n_batch tokens. */
static bool say(const struct mk_model *m, unsigned n_threads, size_t n_batch, struct said *out,
                struct mk_err *err)
{
    struct mk_work wk;
    struct mk_kv kv;
    int32_t tok[N_TOK];
    size_t want[N_TOK];
    bool ok = true;
    assert_true(m->n_vocab <= MAX_VOCAB && m->d_model <= MAX_D);
    mk_work_init(&wk, n_threads, mk_cpu_detect());
    wk.worth_mac = 1; /* split everything */
    assert_true(mk_kv_init(&kv, &m->kv, MK_F32, N_TOK, err));
    for (size_t i = 0; i < N_TOK; i++) tok[i] = token(m, i), want[i] = i;
    for (size_t at = 0; ok && at < N_TOK; at += n_batch) {
        const size_t n = N_TOK - at < n_batch ? N_TOK - at : n_batch;
        const struct mk_span span = {&kv, 0, n, at};
        const struct mk_step s = {.tok = tok + at,
                                  .n_tok = n,
                                  .spans = &span,
                                  .n_spans = 1,
                                  .want = want,
                                  .n_want = n,
                                  .form = MK_MLA_ABSORBED,
                                  .logits = out->logits + at * m->n_vocab,
                                  .hidden = out->hidden + at * m->d_model,
                                  .err = err};
        ok = mk_model_forward(m, &wk, &s);
        assert_int_equal(kv.n, ok ? at + n : at);
        if (ok && n == N_TOK) predict(m, &wk, &s, out);
    }
    mk_kv_release(&kv);
    mk_work_release(&wk);
    return ok;
}

static void open_with(struct mk_model *m, const char *path, size_t cache_bytes)
{
    struct mk_err err;
    const struct mk_ram ram = {.cache_bytes = cache_bytes};
    if (!mk_model_open_within(m, path, &ram, &err)) fail_msg("%s", err.msg);
    assert_true((m->stream != NULL) == (cache_bytes > 0));
}

static struct said *new_said(void) { return mk_alloc(sizeof(struct said)); }

/* Budgets: one expert, those of one token, some, all; prompts that need more than fit. */
static void same_bits(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_MODELS; i++) {
        struct mk_model mapped, m;
        struct mk_stream_plan p;
        struct mk_err err;
        struct said *want = new_said(), *got = new_said();
        open_with(&mapped, models[i], 0);
        assert_true(mk_stream_plan(&mapped, 0, &p));
        assert_true(say(&mapped, 1, N_TOK, want, &err));
        const size_t fits[] = {1, mapped.n_active, mapped.n_active + 3, p.n_experts};
        for (size_t b = 0; b < sizeof fits / sizeof *fits; b++) {
            open_with(&m, models[i], fits[b] * p.n_largest);
            for (unsigned run = 0; run < 4; run++) {
                memset(got, 0, sizeof *got);
                if (!say(&m, 1 + run % 2, run < 2 ? N_TOK : 1, got, &err)) fail_msg("%s", err.msg);
                if (run >= 2) memcpy(got->mtp, want->mtp, sizeof got->mtp);
                assert_memory_equal(got, want, sizeof *got);
                assert_true(mk_stream_info(&m).held_bytes <= fits[b] * p.n_largest);
            }
            const struct mk_expert_stats s = mk_stream_info(&m).stats;
            assert_true(s.n_need > 0 && s.n_hit + s.n_right <= s.n_need);
            if (fits[b] == p.n_experts) assert_true(s.n_hit > s.n_need / 2);
            mk_model_close(&m);
        }
        mk_model_close(&mapped);
        free(want);
        free(got);
    }
}

/* ---- files that change --------------------------------------------------------------------- */

static void copy_file(const char *from, const char *to)
{
    struct mk_str s = {0};
    struct mk_err err;
    assert_true(mk_file_read(&s, from, 64 << 20, &err));
    if (!mk_file_write(to, s.data, s.len, &err)) fail_msg("%s", err.msg);
    mk_str_release(&s);
}

enum change { TRUNCATED, OVERWRITTEN, REPLACED, N_CHANGES };

static void change(const char *path, enum change how)
{
    if (how == TRUNCATED) assert_int_equal(truncate(path, 1000), 0);
    if (how == REPLACED) {
        unlink(path);
        copy_file(GOLDEN "deepseek-v3-fp8/model.safetensors", path);
    }
    if (how != OVERWRITTEN) return;
    usleep(20000); /* longer than file times are coarse */
    const int fd = open(path, O_WRONLY);
    assert_true(fd >= 0 && pwrite(fd, "xxxx", 4, 5000000) == 4);
    close(fd);
}

/* Cut or overwritten it is an error of the step, which may be tried again; another file under its
 * name is not ours. */
static void changed_files_fail(void **state)
{
    (void)state;
    char dir[] = "/tmp/mk-stream-XXXXXX", path[64];
    struct said *got = new_said(), *want = new_said();
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/m.gguf", dir);
    for (enum change how = 0; how < N_CHANGES; how++) {
        struct mk_model m;
        struct mk_err err = {0};
        copy_file(models[1], path);
        open_with(&m, path, 1 << 20);
        assert_true(say(&m, 2, N_TOK, want, &err));
        change(path, how);
        for (int again = 0; again < 2; again++) {
            assert_int_equal(say(&m, 2, N_TOK, got, &err), how == REPLACED);
            if (how != REPLACED) assert_non_null(strstr(err.msg, "has changed since"));
            if (how != REPLACED) assert_int_equal(err.code, MK_EIO);
        }
        if (how == REPLACED) assert_memory_equal(got, want, sizeof *got);
        mk_model_close(&m);
    }
    unlink(path);
    rmdir(dir);
    free(got);
    free(want);
}

static void stops(void **state)
{
    (void)state;
    struct mk_model m;
    struct mk_work wk;
    struct mk_kv kv;
    struct mk_err err;
    const int32_t tok = 1;
    atomic_bool stop = true;
    open_with(&m, models[1], 1 << 20);
    mk_work_init(&wk, 1, 0);
    assert_true(mk_kv_init(&kv, &m.kv, MK_F32, 4, &err));
    const struct mk_step s = {.tok = &tok,
                              .n_tok = 1,
                              .spans = &(struct mk_span){&kv, 0, 1, 0},
                              .n_spans = 1,
                              .stop = &stop,
                              .err = &err};
    assert_false(mk_model_forward(&m, &wk, &s));
    assert_int_equal(err.code, MK_ECANCELED);
    stop = false;
    assert_true(mk_model_forward(&m, &wk, &s));
    mk_kv_release(&kv);
    mk_work_release(&wk);
    mk_model_close(&m);
}

/* ---- budgets -------------------------------------------------------------------------------- */

static void refuse(const char *path, struct mk_ram ram, const char *text, const char *more)
{
    struct mk_model m;
    struct mk_err err;
    assert_false(mk_model_open_within(&m, path, &ram, &err));
    assert_int_equal(err.code, MK_ELIMIT);
    if (!strstr(err.msg, text) || !strstr(err.msg, more)) fail_msg("%s", err.msg);
}

static void budgets(void **state)
{
    (void)state;
    struct mk_model m;
    struct mk_err err;
    refuse(models[0], (struct mk_ram){.n_bytes = 10 << 20}, "--ram allows 0.01 GB", "needs 0.");
    refuse(models[0], (struct mk_ram){.cache_bytes = 4096}, "an expert takes", "4096");
    refuse(GOLDEN "llama3", (struct mk_ram){.n_bytes = 1 << 20}, "all of which every token",
           "needs 0.");
    /* What fits is mapped, and so is what has no experts. */
    const struct mk_ram plenty = {.n_bytes = (size_t)1 << 40, .is_auto = true};
    assert_true(mk_model_open_within(&m, models[0], &plenty, &err));
    assert_null(m.stream);
    mk_model_close(&m);
    const struct mk_ram little = {.n_bytes = 1 << 20, .is_auto = true};
    assert_true(mk_model_open_within(&m, GOLDEN "llama3", &little, &err));
    assert_null(m.stream);
    mk_model_close(&m);
    const struct mk_ram enough = {.n_bytes = (size_t)1 << 40};
    assert_true(mk_model_open_within(&m, models[1], &enough, &err));
    assert_non_null(m.stream);
    mk_model_close(&m);
}

static void forecasts(void **state)
{
    (void)state;
    struct mk_model m;
    struct mk_stream_plan p;
    struct mk_err err;
    open_with(&m, models[1], 0);
    assert_true(mk_stream_plan(&m, (size_t)1 << 40, &p));
    assert_int_equal(p.n_experts, m.n_routed * m.n_expert);
    assert_true(p.n_fit == (double)p.n_experts && isinf(mk_stream_tps(&p, 1e9)));
    assert_true(p.n_dense_bytes < p.n_file_bytes && p.n_largest * 2 < p.n_expert_bytes);
    assert_int_equal(p.n_used, m.n_routed * m.n_active);
    p.n_fit = (double)p.n_experts / 4; /* three of four are missing */
    assert_true(fabs(mk_stream_tps(&p, 3.0 * (double)p.n_used_bytes) - 4) < 1e-9);
    assert_true(mk_stream_measure(&m, 0.01, &err) > 0);
    mk_model_close(&m);
    open_with(&m, GOLDEN "llama3", 0);
    assert_false(mk_stream_plan(&m, 1 << 20, &p));
    mk_model_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bits), cmocka_unit_test(changed_files_fail), cmocka_unit_test(stops),
        cmocka_unit_test(budgets),   cmocka_unit_test(forecasts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
