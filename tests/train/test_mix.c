/* Problems as sequences, and the endless source of them. */
#include "seqs.h"

static void test_example(void **state)
{
    (void)state;
    struct mk_marks m;
    struct mk_err err;
    struct mk_seqs q = {0};
    struct mk_ids ids = {0};
    struct mk_str p = {0}, t = {0}, a = {0};
    mk_str_add(&p, "1+1?");
    mk_str_add(&t, "so 2");
    mk_str_add(&a, "2");
    assert_true(mk_marks_find(&m, bytes, &err));
    mk_example_put(&q, bytes, &m, &p, &t, &a, MK_FORM_THINK);
    mk_example_put(&q, bytes, &m, &p, &t, &a, MK_FORM_DIRECT);
    check_seq(&q, 0, "{B}{U}1+1?{A}|{T}so 2{X}2{E}");
    check_seq(&q, 1, "{B}{U}1+1?{A}|{X}2{E}");
    mk_prompt_put(&ids, bytes, &m, "1+1?", 4);
    assert_int_equal(ids.n, 7);
    assert_memory_equal(ids.v, q.tok, 7 * sizeof *ids.v);
    mk_ids_release(&ids);
    mk_seqs_release(&q);
    mk_str_release(&p);
    mk_str_release(&t);
    mk_str_release(&a);
    static const char *const others[] = {"<b>", "<e>", "<p>", "<｜User｜>", "<｜Assistant｜>",
                                         NULL};
    struct mk_tokenizer *tok = byte_tokenizer(others, 261);
    assert_false(mk_marks_find(&m, tok, &err));
    assert_string_equal(err.msg, "the tokenizer has no token <think>");
    mk_tokenizer_free(tok);
}

static const struct mk_mix some = {
    .seed = 3, .n_ctx = 4000, .direct = 0.25, .talk = 0.25, .check = 0.2, .slip = 0.2, .easy = 0.2};

static struct mk_source open_mix(const struct mk_mix *mix)
{
    struct mk_source s = {0};
    struct mk_err err;
    if (!mk_source_open_mix(&s, mix, bytes, &err)) fail_msg("%s", err.msg);
    return s;
}

static void test_mix(void **state)
{
    (void)state;
    enum { N = 400 };
    struct mk_source s = open_mix(&some);
    struct mk_seqs all = {0};
    size_t n_direct = 0;
    for (size_t i = 0; i < N; i++) {
        assert_true(mk_source_next(&s, &all, some.n_ctx));
        const int32_t *t = all.tok + all.start[i];
        const float *w = all.weight + all.start[i];
        const size_t n = mk_seqs_len(&all, i);
        size_t k = 0;
        while (t[k] != ASSISTANT) k++;
        assert_true(t[0] == BOS && t[1] == USER && t[n - 1] == EOS);
        for (size_t j = 0; j < n; j++) assert_true(w[j] == (j > k ? 1.0f : 0.0f));
        assert_true(t[k + 1] == THINK || t[k + 1] == END_THINK);
        n_direct += t[k + 1] == END_THINK;
    }
    assert_true(n_direct > N / 8 && n_direct < N / 2);
    for (size_t i = 0; i < N; i++) { /* a number gives its sequence, whatever came before */
        const size_t at = i * 7 % N;
        struct mk_seqs one = {0};
        mk_source_seek(&s, at);
        assert_true(mk_source_next(&s, &one, some.n_ctx));
        assert_int_equal(one.n_tok, mk_seqs_len(&all, at));
        assert_memory_equal(one.tok, all.tok + all.start[at], one.n_tok * sizeof *one.tok);
        mk_seqs_release(&one);
    }
    mk_source_close(&s);
    mk_seqs_release(&all);
}

static void test_mix_draw(void **state)
{
    (void)state;
    enum { N = 2000 };
    struct mk_mix mix = some;
    mix.tasks = "add:3,mul";
    struct mk_mixer *m;
    struct mk_err err;
    struct mk_problem p = {0};
    enum mk_form form;
    size_t n_talk = 0, n_add = 0, n_mul = 0, n_direct = 0, n_easy = 0;
    assert_true(mk_mixer_new(&m, &mix, &err));
    for (size_t i = 0; i < N; i++) {
        mk_mixer_draw(m, i, &p, &form);
        assert_int_equal(mk_problem_split(&p), MK_SPLIT_TRAIN);
        n_talk += !p.task;
        n_add += p.task == mk_task_find("add");
        n_mul += p.task == mk_task_find("mul");
        n_direct += p.task && form == MK_FORM_DIRECT;
        n_easy += p.task && p.level == -1;
        assert_true(!p.task || p.level == 0 || p.level == -1);
    }
    /* expected 500, 1125, 375, 500, 300; the bounds are over 5 standard deviations wide */
    assert_in_range(n_talk, 400, 600);
    assert_in_range(n_add, 1000, 1250);
    assert_in_range(n_mul, 280, 470);
    assert_in_range(n_direct, 400, 600);
    assert_in_range(n_easy, 210, 390);
    mk_problem_release(&p);
    mk_mixer_free(m);
}

/* The prompts of N draws of a task whose thoughts are few: how many differ, thinking and direct. */
static void test_mix_demos(void **state)
{
    (void)state;
    enum { N = 2000, N_DEMOS = 50 };
    const struct mk_mix mix = {
        .seed = 3, .direct = 0.5, .easy = 0.2, .tasks = "countdown,mul", .demos = "countdown:50"};
    struct mk_mixer *m;
    struct mk_err err;
    struct mk_problem p = {0};
    enum mk_form form;
    uint64_t seen[2][N];
    size_t n[2] = {0}, n_drawn = 0, n_easy = 0;
    assert_true(mk_mixer_new(&m, &mix, &err));
    for (size_t i = 0; i < N; i++) {
        mk_mixer_draw(m, i, &p, &form);
        if (p.task != mk_task_find("countdown")) continue;
        const int thinks = form == MK_FORM_THINK;
        const uint64_t hash = mk_problem_hash(&p);
        size_t k = 0;
        n_drawn += (size_t)thinks;
        while (k < n[thinks] && seen[thinks][k] != hash) k++;
        if (k < n[thinks]) continue;
        seen[thinks][n[thinks]++] = hash;
        n_easy += thinks && p.level == -1;
    }
    assert_in_range(n_drawn, 400, 600);
    assert_int_equal(n[1], N_DEMOS); /* each comes ten times: odds of 0.2 % that one does not */
    assert_int_equal(n_easy, N_DEMOS / 5);
    assert_in_range(n[0], 400, 600);
    mk_problem_release(&p);
    mk_mixer_free(m);
}

/* Longer examples are replaced, and those that fit stay what they were. */
static void test_mix_short(void **state)
{
    (void)state;
    struct mk_mix mix = some;
    mix.tasks = "add";
    mix.talk = 0;
    struct mk_source wide = open_mix(&mix);
    mix.n_ctx = 96;
    struct mk_source narrow = open_mix(&mix);
    size_t n_same = 0, n_long = 0;
    for (size_t i = 0; i < 300; i++) {
        struct mk_seqs a = {0}, b = {0};
        assert_true(mk_source_next(&wide, &a, 4000));
        assert_true(mk_source_next(&narrow, &b, 96));
        if (a.n_tok <= 96) {
            assert_int_equal(a.n_tok, b.n_tok);
            assert_memory_equal(a.tok, b.tok, a.n_tok * sizeof *a.tok);
            n_same++;
        } else {
            n_long++;
        }
        mk_seqs_release(&a);
        mk_seqs_release(&b);
    }
    assert_true(n_same > 0 && n_long > 0);
    mk_source_close(&wide);
    mk_source_close(&narrow);
}

static void check_mix_refused(struct mk_mix mix, const char *want)
{
    struct mk_source s = {0};
    struct mk_err err;
    if (!mix.n_ctx) mix.n_ctx = 4000;
    if (mk_source_open_mix(&s, &mix, bytes, &err)) fail_msg("taken, want \"%s\"", want);
    if (!strstr(err.msg, want)) fail_msg("\"%s\" does not say \"%s\"", err.msg, want);
}

static void test_mix_refused(void **state)
{
    (void)state;
#define REFUSED(want, ...) check_mix_refused((struct mk_mix){__VA_ARGS__}, want)
    REFUSED("the share of direct answers is 1.5, want 0 to 1", .direct = 1.5);
    REFUSED("the share of small talk is -1", .talk = -1);
    REFUSED("the share of checked traces is nan", .check = (double)__builtin_nanf(""));
    REFUSED("the share of traces with slips is 2", .slip = 2);
    REFUSED("the share of traces with noise is 2", .noise = 2);
    REFUSED("the share of easier problems is 2", .easy = 2);
    REFUSED("the share of harder problems is 2", .hard = 2);
    REFUSED("direct answers 0.6 and small talk 0.5 are more than all", .direct = 0.6, .talk = 0.5);
    REFUSED("easier 0.6 and harder problems 0.5 are more than all", .easy = 0.6, .hard = 0.5);
    REFUSED("no task \"chess\"; there are add, mul", .tasks = "add,chess");
    REFUSED("no task \"\"", .tasks = "add,");
    REFUSED("task add is given twice", .tasks = "add,mul,add:2");
    REFUSED("the weight of task add is \"0\"", .tasks = "add:0");
    REFUSED("the weight of task add is \"\"", .tasks = "add:");
    REFUSED("the weight of task add is \"2x\"", .tasks = "add:2x");
    REFUSED("demos: mul:0.5 is no number of thoughts", .demos = "mul:0.5");
    REFUSED("demos: mul is not one of the tasks", .tasks = "add", .demos = "mul:2");
    REFUSED("no task \"chess\"", .demos = "chess:2");
    REFUSED("of 256 examples fit a context of 8 tokens", .n_ctx = 8);
#undef REFUSED
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_example),   cmocka_unit_test(test_mix),
        cmocka_unit_test(test_mix_draw),  cmocka_unit_test(test_mix_demos),
        cmocka_unit_test(test_mix_short), cmocka_unit_test(test_mix_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
