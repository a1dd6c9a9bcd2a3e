/* Questions of both kinds, how they are asked and graded. */
#include "small.h"

#include <jansson.h>

static void built_in_tasks_with_weights(void **state)
{
    (void)state;
    struct mk_questions *q;
    struct mk_err err;
    struct mk_problem a = {0}, b = {0};
    static const struct mk_trace_style plain;
    assert_true(mk_questions_open(&q, &(struct mk_questions_options){.tasks = "add,mul:3"}, &err));
    assert_int_equal(mk_questions_n_topics(q), 2);
    assert_string_equal(mk_questions_topic(q, 1)->name, "mul");
    assert_true(mk_questions_count(q, 0, MK_SPLIT_HELDOUT) == SIZE_MAX);
    assert_int_equal(mk_questions_pick(q, 0.2, NULL), 0);
    assert_int_equal(mk_questions_pick(q, 0.3, NULL), 1);
    assert_int_equal(mk_questions_pick(q, 0.999999, NULL), 1);
    assert_int_equal(mk_questions_pick(q, 0.3, (const double[]){3, 1}), 0);
    for (uint64_t i = 0; i < 20; i++) {
        mk_questions_draw(q, 1, 4, i, -1, MK_SPLIT_TRAIN, &a);
        mk_task_draw(&b, mk_task_find("mul"), 4, i, -1, MK_SPLIT_TRAIN, &plain);
        assert_string_equal(mk_str_c(&a.prompt), mk_str_c(&b.prompt));
    }
    mk_problem_release(&a);
    mk_problem_release(&b);
    mk_questions_close(q);
}

static void refused(const struct mk_questions_options *o, const char *why)
{
    struct mk_questions *q;
    struct mk_err err = {0};
    assert_false(mk_questions_open(&q, o, &err));
    if (!strstr(err.msg, why)) fail_msg("\"%s\" does not say \"%s\"", err.msg, why);
}

static void wrong_options_are_named(void **state)
{
    (void)state;
    refused(&(struct mk_questions_options){.tasks = "add,magic"},
            "no task \"magic\"; there are add");
    refused(&(struct mk_questions_options){.tasks = "add,add"}, "add is given twice");
    refused(&(struct mk_questions_options){.tasks = "add:0"}, "the weight of task add is \"0\"");
    refused(&(struct mk_questions_options){.tasks = ""}, "no task \"\"");
    refused(&(struct mk_questions_options){.own = {.verifier = "exact"}},
            "for a file of questions");
    refused(&(struct mk_questions_options){.is_whole = true}, "for a file of questions");
    refused(
        &(struct mk_questions_options){.tasks = "add", .own = {.path = "x", .verifier = "exact"}},
        "which is meant?");
    refused(&(struct mk_questions_options){.own = {.path = "/nowhere", .verifier = "exact"}},
            "/nowhere");
    refused(&(struct mk_questions_options){.own = {.path = "x"}}, "want a verifier");
}

/* How often each question comes among draws [from, to). */
static void count(struct mk_questions *q, enum mk_split split, size_t from, size_t to, int *seen)
{
    struct mk_problem p = {0};
    memset(seen, 0, 101 * sizeof *seen);
    for (size_t i = from; i < to; i++) {
        mk_questions_draw(q, 0, 9, i, 0, split, &p);
        seen[atoi(mk_str_c(&p.prompt) + 5)]++;
    }
    mk_problem_release(&p);
}

static void a_file_comes_whole_each_time_and_is_split(void **state)
{
    (void)state;
    struct small s;
    int train[101], held[101], again[101];
    struct mk_problem p = {0}, r = {0};
    small_open(&s);
    struct mk_questions *q = say_seven(&s, 100, 0, false, NULL);
    assert_string_equal(mk_questions_topic(q, 0)->name, "say");
    const size_t n = mk_questions_count(q, 0, MK_SPLIT_TRAIN);
    const size_t m = mk_questions_count(q, 0, MK_SPLIT_HELDOUT);
    assert_true(n + m == 100 && m > 0 && n > 80);
    count(q, MK_SPLIT_TRAIN, 0, n, train);
    count(q, MK_SPLIT_TRAIN, n, 2 * n, again);
    count(q, MK_SPLIT_HELDOUT, 0, m, held);
    for (int i = 1; i <= 100; i++) assert_true(train[i] + held[i] == 1 && again[i] == train[i]);
    /* Another order the second time, and number 3 does not depend on what was drawn before. */
    size_t n_moved = 0;
    for (size_t i = 0; i < n; i++) {
        mk_questions_draw(q, 0, 9, i, 0, MK_SPLIT_TRAIN, &p);
        mk_questions_draw(q, 0, 9, n + i, 0, MK_SPLIT_TRAIN, &r);
        n_moved += strcmp(mk_str_c(&p.prompt), mk_str_c(&r.prompt)) != 0;
    }
    assert_true(n_moved > n / 2);
    mk_questions_close(q);
    q = say_seven(&s, 100, 0, true, NULL);
    assert_int_equal(mk_questions_count(q, 0, MK_SPLIT_HELDOUT), 100);
    count(q, MK_SPLIT_HELDOUT, 100, 200, held);
    for (int i = 1; i <= 100; i++) assert_int_equal(held[i], 1);
    mk_questions_close(q);
    mk_problem_release(&p);
    mk_problem_release(&r);
    small_close(&s);
}

static void a_small_file_may_have_nothing_held_out(void **state)
{
    (void)state;
    struct small s;
    struct mk_err err = {0};
    small_open(&s);
    struct mk_questions *q = say_seven(&s, 2, 0, false, NULL);
    assert_true(mk_questions_need(q, MK_SPLIT_TRAIN, &err));
    assert_false(mk_questions_need(q, MK_SPLIT_HELDOUT, &err));
    assert_non_null(strstr(err.msg, "none is held out"));
    mk_questions_close(q);
    small_close(&s);
}

static void another_file_is_noticed(void **state)
{
    (void)state;
    struct small s;
    struct mk_err err = {0};
    json_t *saved = json_object();
    small_open(&s);
    struct mk_questions *q = say_seven(&s, 9, 0, false, NULL);
    mk_questions_save(q, saved);
    mk_questions_close(q);
    q = say_seven(&s, 9, 0, false, NULL);
    assert_true(mk_questions_check(q, saved, &err));
    mk_questions_close(q);
    q = say_seven(&s, 9, 4, false, NULL);
    assert_false(mk_questions_check(q, saved, &err));
    assert_non_null(strstr(err.msg, "say is not the file"));
    mk_questions_close(q);
    json_decref(saved);
    small_close(&s);
}

/* ---- asking and grading ------------------------------------------------------------------- */

static void prompts_end_as_asked_and_must_fit(void **state)
{
    (void)state;
    static const char *const want[] = {"{B}{U}say a1{A}", "{B}{U}say a1{A}{T}",
                                       "{B}{U}say a1{A}{X}"};
    struct mk_problem p = {0};
    struct mk_seqs out = {0};
    struct mk_asking a;
    struct mk_err err;
    mk_str_add(&p.prompt, "say a1");
    for (int k = MK_OPEN_FREE; k <= MK_OPEN_DIRECT; k++) {
        assert_true(mk_asking_init(&a, bytes, (enum mk_opening)k, 4, 20, &err));
        assert_true(mk_asking_put(&a, &p, &out, &err));
        check_seq(&out, (size_t)k, want[k]);
    }
    assert_true(mk_asking_init(&a, bytes, MK_OPEN_THINK, 4, 14, &err));
    assert_true(mk_asking_put(&a, &p, &out, &err)); /* 10 and 4 */
    a.max_new = 5;
    assert_false(mk_asking_put(&a, &p, &out, &err));
    assert_non_null(strstr(err.msg, "has 10 tokens: with 5 for the answer"));
    assert_int_equal(out.n, 4);
    mk_seqs_release(&out);
    mk_problem_release(&p);
}

static double grade(struct mk_questions *q, const char *answer, bool *ok, struct mk_err *err)
{
    struct mk_problem p = {0};
    struct mk_asking a;
    struct mk_rollouts r = {0};
    struct mk_graded g = {.reward = -1};
    size_t n_prompt = 2;
    mk_questions_draw(q, 0, 1, 0, 0, MK_SPLIT_TRAIN, &p);
    assert_true(mk_asking_init(&a, bytes, MK_OPEN_FREE, 8, 64, err));
    struct mk_str text = {0};
    mk_str_addf(&text, "{B}{A}%s", answer);
    parse(&r.seqs, text.data);
    r.n_prompt = &n_prompt;
    *ok = mk_questions_grade(q, &a, &p, &r, 0, &g, err);
    if (*ok) assert_int_equal(g.n, r.seqs.n_tok - 2);
    mk_str_release(&text);
    mk_seqs_release(&r.seqs);
    mk_problem_release(&p);
    return g.reward;
}

static void answers_are_graded(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        double want;
    } cases[] = {
        {"{T}x{X}7{E}", 1}, {"{X}7{E}", 1},       {"{X} 7\n{E}", 1}, {"{X}8{E}", 0},
        {"{X}7", 0},        {"7{E}", 0},          {"{T}7{E}", 0},    {"{T}x{U}y{X}7{E}", 0},
        {"{X}{E}", 0},      {"{T}{T}{X}7{E}", 0},
    };
    struct small s;
    struct mk_err err;
    bool ok;
    small_open(&s);
    struct mk_questions *q = say_seven(&s, 9, 0, true, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (grade(q, cases[i].answer, &ok, &err) != cases[i].want || !ok)
            fail_msg("%s is not worth %g", cases[i].answer, cases[i].want);
    mk_questions_close(q);
    small_close(&s);
}

static void a_verifier_command_may_fail(void **state)
{
    (void)state;
    static const struct {
        const char *command, *why;
    } cases[] = {
        {"while read l; do echo 0.5; done", NULL},
        {"while read l; do echo fine; done", "it said \"fine\", want a number from 0 to 1"},
        {"while read l; do echo 2; done", "it said \"2\""},
        {"exit 3", "verifier command 'exit 3'"},
    };
    struct small s;
    struct mk_err err;
    bool ok;
    small_open(&s);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mk_questions *q = say_seven(&s, 9, 0, true, cases[i].command);
        const double reward = grade(q, "{X}7{E}", &ok, &err);
        assert_true(ok == !cases[i].why);
        if (ok)
            assert_true(reward == 0.5);
        else if (!strstr(err.msg, cases[i].why))
            fail_msg("\"%s\" does not say \"%s\"", err.msg, cases[i].why);
        assert_true(grade(q, "{X}7", &ok, &err) == 0 && ok); /* not asked */
        mk_questions_close(q);
    }
    small_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(built_in_tasks_with_weights),
        cmocka_unit_test(wrong_options_are_named),
        cmocka_unit_test(a_file_comes_whole_each_time_and_is_split),
        cmocka_unit_test(a_small_file_may_have_nothing_held_out),
        cmocka_unit_test(another_file_is_noticed),
        cmocka_unit_test(prompts_end_as_asked_and_must_fit),
        cmocka_unit_test(answers_are_graded),
        cmocka_unit_test(a_verifier_command_may_fail),
    };
    return cmocka_run_group_tests_name("questions", tests, set_up, tear_down);
}
