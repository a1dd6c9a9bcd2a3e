/* Both ways from a teacher, who says 7, to a student; and adapters folded into their model. */
#include "small.h"

#include "train/adapter.h"
#include "train/eval.h"
#include "train/stage_distill.h"
#include "train/traces.h"

#include <math.h>

static struct small s;
static char teacher[96], path[96], other[96];

/* A teacher in a folder of its own. */
static int make_teacher(void **state)
{
    (void)set_up(state);
    struct mk_run r;
    struct mk_err err;
    small_open(&s);
    snprintf(teacher, sizeof teacher, "%s/teacher", s.dir);
    snprintf(path, sizeof path, "%s/out", s.dir);
    snprintf(other, sizeof other, "%s/other", s.dir);
    const struct mk_run_options o = small_run(path, 1);
    small_start(&s, &r, &o, NULL, 0);
    teach_seven(&r.learner, 40);
    if (!mk_model_save(teacher, &r.learner.model, r.tokenizer, MK_F32, &err))
        fail_msg("%s", err.msg);
    mk_run_close(&r);
    return 0;
}

static int end_teacher(void **state)
{
    small_close(&s);
    return tear_down(state);
}

static void forget(const char *what)
{
    struct mk_err err;
    if (!mk_folder_remove(what, &err)) fail_msg("%s", err.msg);
}

/* ---- on policy ---------------------------------------------------------------------------- */

struct student {
    struct mk_run run;
    struct mk_distill_stage *stage;
    struct mk_questions *questions;
};

static void student_open(struct student *t, const char *out, const char *from, uint64_t n_steps,
                         size_t n_teachers)
{
    static const struct mk_teacher none = {0};
    struct mk_teacher list[2] = {{teacher, 0.75}, {teacher, 0.25}};
    struct mk_err err;
    const struct mk_run_options o = small_run(out, n_steps);
    t->questions = say_seven(&s, 40, 0, false, NULL);
    small_start(&s, &t->run, &o, from, 0);
    if (n_teachers == 1) list[0].weight = 1;
    const struct mk_distill_options d = {.seed = 2,
                                         .questions = t->questions,
                                         .teachers = n_teachers ? list : &none,
                                         .n_teachers = n_teachers,
                                         .n_prompts = 8,
                                         .n_samples = 2,
                                         .max_new = 8,
                                         .temperature = 1,
                                         .opening = MK_OPEN_FREE};
    if (!mk_distill_stage_new(&t->stage, &d, &t->run, &err)) fail_msg("%s", err.msg);
}

static void student_close(struct student *t)
{
    mk_run_close(&t->run);
    mk_distill_stage_free(t->stage);
    mk_questions_close(t->questions);
}

static void go(struct student *t)
{
    struct mk_err err;
    if (!mk_run_go(&t->run, &mk_distill_stage_fns, t->stage, &err)) fail_msg("%s", err.msg);
}

/* The last value of a metric, and the first one. */
static double metric(const char *out, const char *name, bool is_first)
{
    struct mk_history h = {0};
    struct mk_err err;
    if (!mk_history_read(&h, out, &err)) fail_msg("%s", err.msg);
    const struct mk_series *v = mk_history_find(&h, name);
    assert_non_null(v);
    const double value = v->value[is_first ? 0 : v->n - 1];
    mk_history_release(&h);
    return value;
}

static void a_student_becomes_its_teacher(void **state)
{
    (void)state;
    struct student t;
    student_open(&t, path, NULL, 150, 1);
    go(&t);
    student_close(&t);
    const double first = metric(path, "kl", true), last = metric(path, "kl", false);
    printf("  kl %.3f -> %.3f, accuracy %.2f\n", first, last, metric(path, "accuracy", false));
    forget(path);
    assert_true(first > 1 && last < 0.1 * first);
}

static void who_is_the_teacher_learns_nothing(void **state)
{
    (void)state;
    struct student t;
    student_open(&t, path, teacher, 1, 1);
    go(&t);
    student_close(&t);
    const double kl = metric(path, "kl", false), norm = metric(path, "grad_norm", false);
    printf("  kl %.1e, norm %.1e\n", kl, norm);
    forget(path);
    assert_true(fabs(kl) < 1e-6 && norm < 1e-4);
}

/* Two teachers who are one, with weights that sum to 1, are that one. */
static void weights_of_teachers_add_up(void **state)
{
    (void)state;
    double kl[2], norm[2];
    for (size_t n = 1; n <= 2; n++) {
        struct student t;
        student_open(&t, path, NULL, 1, n);
        go(&t);
        student_close(&t);
        kl[n - 1] = metric(path, "kl", false);
        norm[n - 1] = metric(path, "grad_norm", false);
        forget(path);
    }
    assert_true(fabs(kl[0] - kl[1]) < 1e-5 * kl[0]);
    assert_true(fabs(norm[0] - norm[1]) < 1e-5 * norm[0]);
}

static float *weights_of(struct student *t)
{
    const size_t n_bytes = t->run.learner.params.n * sizeof(float);
    float *v = malloc(n_bytes);
    assert_non_null(v);
    memcpy(v, t->run.learner.params.v, n_bytes);
    return v;
}

static void stop_now(void *arg, const struct mk_progress *p)
{
    (void)p;
    atomic_store((atomic_bool *)arg, true);
}

static void stopped_and_continued_it_is_the_same(void **state)
{
    (void)state;
    struct student t;
    student_open(&t, path, NULL, 6, 1);
    go(&t);
    float *want = weights_of(&t);
    student_close(&t);
    forget(path);
    static atomic_bool stop;
    for (int i = 0; i < 6; i++) { /* one step at a time */
        student_open(&t, path, NULL, 6, 1);
        atomic_store(&stop, false);
        t.run.o.stop = &stop;
        t.run.progress = stop_now;
        t.run.progress_arg = &stop;
        go(&t);
        assert_int_equal(t.run.step, i + 1);
        if (i == 5)
            assert_memory_equal(want, t.run.learner.params.v,
                                t.run.learner.params.n * sizeof *want);
        student_close(&t);
    }
    free(want);
    forget(path);
}

static void teachers_of_another_kind_are_refused(void **state)
{
    (void)state;
    struct mk_run r;
    struct mk_err err = {0};
    struct mk_distill_stage *stage;
    struct mk_questions *q = say_seven(&s, 40, 0, false, NULL);
    const struct mk_run_options o = small_run(path, 1);
    small_start(&s, &r, &o, NULL, 0);
    const struct mk_teacher nobody = {"/nowhere", 1}, light = {teacher, 0};
    struct mk_distill_options d = {.questions = q, .n_prompts = 1, .n_samples = 1, .max_new = 8};
    assert_false(mk_distill_stage_new(&stage, &d, &r, &err));
    assert_non_null(strstr(err.msg, "no teacher"));
    d.n_teachers = 1;
    d.teachers = &nobody;
    assert_false(mk_distill_stage_new(&stage, &d, &r, &err));
    assert_non_null(strstr(err.msg, "/nowhere"));
    d.teachers = &light;
    assert_false(mk_distill_stage_new(&stage, &d, &r, &err));
    assert_non_null(strstr(err.msg, "weight is 0"));
    /* The same number of tokens, one of them another. */
    const char *specials[8] = {0};
    memcpy(specials, mk_deepseek_specials, 7 * sizeof *specials);
    specials[5] = mk_deepseek_specials[6], specials[6] = mk_deepseek_specials[5];
    struct mk_tokenizer *t = byte_tokenizer(specials, N_VOCAB);
    if (!mk_model_save(other, &r.learner.model, t, MK_F32, &err)) fail_msg("%s", err.msg);
    d.teachers = &(struct mk_teacher){other, 1};
    assert_false(mk_distill_stage_new(&stage, &d, &r, &err));
    assert_non_null(strstr(err.msg, "token 261 is another one"));
    mk_tokenizer_free(t);
    mk_run_close(&r);
    mk_questions_close(q);
    forget(other);
}

/* ---- traces ------------------------------------------------------------------------------- */

struct asked {
    struct mk_model model;
    struct mk_work wk;
    atomic_bool stop;
    int n_waves, stop_after;
};

static void asked_open(struct asked *a)
{
    struct mk_err err;
    *a = (struct asked){0};
    if (!mk_model_open(&a->model, teacher, &err)) fail_msg("%s", err.msg);
    mk_work_init(&a->wk, 1, mk_cpu_detect());
}

static void asked_close(struct asked *a)
{
    mk_model_close(&a->model);
    mk_work_release(&a->wk);
}

static void on_wave(void *arg, const struct mk_traces *t, const struct mk_traces_options *o)
{
    struct asked *a = arg;
    (void)t;
    (void)o;
    if (++a->n_waves == a->stop_after) atomic_store(&a->stop, true);
}

static struct mk_traces_options many(struct asked *a, struct mk_questions *q)
{
    return (struct mk_traces_options){.path = path,
                                      .identity = "{\"a\":1}",
                                      .questions = q,
                                      .seed = 3,
                                      .n_problems = 300,
                                      .n_samples = 8,
                                      .max_new = 8,
                                      .temperature = 1,
                                      .opening = MK_OPEN_FREE,
                                      .keep = MK_KEEP_ALL,
                                      .stop = &a->stop};
}

static bool make(struct asked *a, const struct mk_traces_options *o, struct mk_traces *t,
                 struct mk_err *err)
{
    a->n_waves = 0;
    atomic_store(&a->stop, false);
    return mk_traces_make(t, o, &a->model, &a->wk, bytes, on_wave, a, err);
}

static struct mk_str read_file(const char *name)
{
    struct mk_str text = {0};
    struct mk_err err;
    if (!mk_file_read(&text, name, 1 << 24, &err)) fail_msg("%s", err.msg);
    return text;
}

static size_t n_lines(const struct mk_str *text)
{
    size_t n = 0;
    for (size_t i = 0; i < text->len; i++) n += text->data[i] == '\n';
    return n;
}

static struct mk_str make_whole(struct asked *a, const struct mk_traces_options *o,
                                struct mk_traces *t)
{
    struct mk_err err;
    if (!make(a, o, t, &err)) fail_msg("%s", err.msg);
    struct mk_str text = read_file(o->path);
    assert_int_equal(t->n_done, o->n_problems);
    assert_int_equal(n_lines(&text), t->rows[0].n_kept);
    assert_false(mk_file_exists("out.part"));
    return text;
}

static void what_is_solved_is_written_once(void **state)
{
    (void)state;
    struct asked a;
    struct mk_traces t;
    struct mk_source source;
    struct mk_err err;
    struct mk_seqs seqs = {0};
    asked_open(&a);
    struct mk_questions *q = say_seven(&s, 40, 4, false, NULL);
    struct mk_traces_options o = many(&a, q);
    struct mk_str all = make_whole(&a, &o, &t);
    const size_t n_all = t.rows[0].n_kept, n_train = mk_questions_count(q, 0, MK_SPLIT_TRAIN);
    assert_int_equal(t.rows[0].n_answers, 300 * 8);
    assert_true(t.rows[0].n_right > 900 && t.rows[0].n_right < 300 * 8 * 0.85);
    assert_true(n_all >= n_train / 2 && n_all < 300); /* 37 questions, again and again */
    assert_null(strstr(all.data, "</think>8"));
    assert_non_null(
        strstr(all.data, "\"completion\":\"ok</think>7\",\"task\":\"say\",\"toks\":6}"));
    /* minke sft reads it: no line is there twice. */
    const struct mk_data_options d = {.tokenizer = bytes, .n_ctx = 128, .n_epochs = 1};
    if (!mk_source_open_file(&source, path, &d, &err)) fail_msg("%s", err.msg);
    while (mk_source_next(&source, &seqs, 128)) {}
    assert_int_equal(seqs.n, n_all);
    mk_source_close(&source);
    mk_seqs_release(&seqs);
    /* What is there stays; the shortest alone are fewer. */
    assert_false(make(&a, &o, &t, &err));
    assert_non_null(strstr(err.msg, "is there already"));
    o.path = other;
    o.keep = MK_KEEP_SHORTEST;
    struct mk_str least = make_whole(&a, &o, &t);
    assert_true(least.len > 0 && n_lines(&least) <= n_all);
    o.keep = MK_KEEP_HALF;
    forget(other);
    struct mk_str half = make_whole(&a, &o, &t);
    assert_true(n_lines(&half) >= n_lines(&least) && n_lines(&half) <= n_all);
    forget(path);
    forget(other);
    mk_str_release(&all);
    mk_str_release(&least);
    mk_str_release(&half);
    mk_questions_close(q);
    asked_close(&a);
}

/* Cuts the end off an unfinished file, as a kill in the middle of a write does. */
static void cut_off(const char *name, size_t n)
{
    struct mk_str text = read_file(name);
    assert_true(text.len > n);
    write_file(s.dir, "out.part", text.data, text.len - n);
    mk_str_release(&text);
}

static void a_stop_at_any_point_does_not_show(void **state)
{
    (void)state;
    struct asked a;
    struct mk_traces t;
    struct mk_err err;
    char part[112];
    snprintf(part, sizeof part, "%s.part", path);
    asked_open(&a);
    struct mk_questions *q = say_seven(&s, 40, 4, false, NULL);
    struct mk_traces_options o = many(&a, q);
    struct mk_str want = make_whole(&a, &o, &t);
    const uint64_t n_right = t.rows[0].n_right;
    forget(path);
    for (size_t cut = 0; cut < 400; cut += 57) {
        a.stop_after = 2;
        if (!make(&a, &o, &t, &err)) fail_msg("%s", err.msg);
        assert_int_equal(t.n_done, 2 * 64);
        assert_false(mk_file_exists(path));
        cut_off(part, cut);
        a.stop_after = 1;
        if (!make(&a, &o, &t, &err)) fail_msg("%s", err.msg);
        assert_int_equal(t.n_done, cut ? 2 * 64 : 3 * 64);
        a.stop_after = 0;
        if (!make(&a, &o, &t, &err)) fail_msg("%s", err.msg);
        struct mk_str got = read_file(path);
        assert_true(got.len == want.len && !memcmp(got.data, want.data, got.len));
        assert_true(t.is_resumed && t.rows[0].n_right == n_right);
        assert_false(mk_file_exists(part));
        mk_str_release(&got);
        forget(path);
    }
    a.stop_after = 1;
    assert_true(make(&a, &o, &t, &err));
    o.identity = "{\"a\":2}";
    assert_false(make(&a, &o, &t, &err));
    assert_non_null(strstr(err.msg, "was begun with other options"));
    o.identity = "{\"a\":1}";
    static const char strange[] = "{\"options\":{\"a\":1}}\n{\"done\":3,\"counts\":[[1,2]]}\n";
    write_file(s.dir, "out.part", strange, sizeof strange - 1);
    assert_false(make(&a, &o, &t, &err));
    assert_non_null(strstr(err.msg, "line 2 is not one of ours"));
    forget(part);
    mk_str_release(&want);
    mk_questions_close(q);
    asked_close(&a);
}

/* ---- adapters ----------------------------------------------------------------------------- */

static void score(const struct mk_learner *l, float *lp, size_t n)
{
    struct mk_seqs q = {0};
    parse(&q, "{B}{U}say a5{A}|{T}ok{X}7{E}");
    parse(&q, "{B}{U}a question{A}|{X}an answer{E}");
    assert_int_equal(q.n_tok, n);
    mk_learner_score((struct mk_learner *)(uintptr_t)l, &q, lp, NULL);
    mk_seqs_release(&q);
}

static void folded_adapters_are_the_same_model(void **state)
{
    (void)state;
    enum { N = 39 };
    struct mk_run r;
    struct mk_err err;
    float plain[N], adapted[N], merged[N];
    struct mk_params params = {0};
    struct mk_model m;
    const struct mk_trainable all = {.params = &params};
    const struct mk_run_options o = small_run(path, 1);
    small_start(&s, &r, &o, teacher, 4);
    score(&r.learner, plain, N);
    for (size_t i = 0; i < r.learner.params.n; i++) /* B too is no longer zero */
        r.learner.params.v[i] += 0.01f * (float)((int)(i * 7 % 13) - 6);
    score(&r.learner, adapted, N);
    if (!mk_model_save(other, &r.learner.model, NULL, MK_F32, &err)) fail_msg("%s", err.msg);
    mk_run_close(&r);
    if (!mk_model_open_trainable(&m, teacher, &all, &err) ||
        !mk_adapter_merge(&params, other, &err) || !mk_model_save(path, &m, bytes, MK_F32, &err))
        fail_msg("%s", err.msg);
    mk_model_close(&m);
    mk_params_release(&params);
    char out[112];
    snprintf(out, sizeof out, "%s/run", s.dir);
    const struct mk_run_options again = small_run(out, 1);
    small_start(&s, &r, &again, path, 0);
    score(&r.learner, merged, N);
    mk_run_close(&r);
    double change = 0, error = 0;
    for (size_t i = 0; i < N; i++) {
        change = fmax(change, fabs((double)(adapted[i] - plain[i])));
        error = fmax(error, fabs((double)(adapted[i] - merged[i])));
    }
    printf("  the adapters change log-probabilities by %.3f, folding them by %.1e\n", change,
           error);
    assert_true(change > 0.05 && error < 1e-5);
    forget(path);
    forget(other);
}

static void foreign_adapters_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *config, *why;
    } cases[] = {
        {"{}", "peft_type is missing"},
        {"{\"peft_type\":\"LOHA\"}", "peft_type is LOHA"},
        {"{\"peft_type\":\"LORA\",\"use_dora\":true,\"r\":4,\"lora_alpha\":8}", "use_dora"},
        {"{\"peft_type\":\"LORA\",\"bias\":\"all\",\"r\":4,\"lora_alpha\":8}", "biases"},
        {"{\"peft_type\":\"LORA\",\"r\":0,\"lora_alpha\":8}", "r is not a rank"},
        {"{\"peft_type\":\"LORA\",\"r\":4}", "lora_alpha is no number"},
        {"{\"peft_type\":\"LORA\",\"r\":2,\"lora_alpha\":8}", "is not [2, 32]"},
        {"[", "adapter_config.json: line 1"},
    };
    struct mk_run r;
    struct mk_err err;
    struct mk_params params = {0};
    struct mk_model m;
    const struct mk_trainable all = {.params = &params};
    const struct mk_run_options o = small_run(path, 1);
    small_start(&s, &r, &o, teacher, 4);
    if (!mk_model_save(other, &r.learner.model, NULL, MK_F32, &err)) fail_msg("%s", err.msg);
    mk_run_close(&r);
    if (!mk_model_open_trainable(&m, teacher, &all, &err)) fail_msg("%s", err.msg);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_file(other, "adapter_config.json", cases[i].config, strlen(cases[i].config));
        assert_false(mk_adapter_merge(&params, other, &err));
        if (!strstr(err.msg, cases[i].why))
            fail_msg("\"%s\" does not say \"%s\"", err.msg, cases[i].why);
    }
    assert_false(mk_adapter_merge(&params, teacher, &err));
    mk_model_close(&m);
    mk_params_release(&params);
    forget(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_student_becomes_its_teacher),
        cmocka_unit_test(who_is_the_teacher_learns_nothing),
        cmocka_unit_test(weights_of_teachers_add_up),
        cmocka_unit_test(stopped_and_continued_it_is_the_same),
        cmocka_unit_test(teachers_of_another_kind_are_refused),
        cmocka_unit_test(what_is_solved_is_written_once),
        cmocka_unit_test(a_stop_at_any_point_does_not_show),
        cmocka_unit_test(folded_adapters_are_the_same_model),
        cmocka_unit_test(foreign_adapters_are_refused),
    };
    return cmocka_run_group_tests_name("distillation", tests, make_teacher, end_teacher);
}
