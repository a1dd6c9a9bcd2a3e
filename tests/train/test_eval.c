/* Evaluation counts what a model does whose answers are known: it was taught to say 7. */
#include "small.h"

#include "train/eval.h"

#include <math.h>

static struct small s;
static struct mk_run run;

static void start(void)
{
    small_open(&s);
    char out[96];
    snprintf(out, sizeof out, "%s/run", s.dir);
    const struct mk_run_options o = small_run(out, 1);
    small_start(&s, &run, &o, NULL, 0);
    teach_seven(&run.learner, 40);
}

static void end(void)
{
    mk_run_close(&run);
    small_close(&s);
}

static struct mk_eval eval(struct mk_questions *q, struct mk_eval_options o)
{
    struct mk_eval e;
    struct mk_err err;
    o.questions = q;
    if (!mk_eval_run(&e, &run.learner.model, &run.learner.wk, run.tokenizer, &o, &err))
        fail_msg("%s", err.msg);
    return e;
}

static const struct mk_eval_options usual = {
    .n_problems = 1000, .seed = 1, .max_new = 8, .opening = MK_OPEN_FREE};

static void shares_are_those_of_the_file(void **state)
{
    (void)state;
    start();
    struct mk_questions *q = say_seven(&s, 90, 3, true, NULL);
    struct mk_eval e = eval(q, usual);
    assert_int_equal(e.n_rows, 2);
    assert_string_equal(e.rows[0].name, "say");
    assert_string_equal(e.rows[1].name, "all");
    for (int i = 0; i < 2; i++) {
        const struct mk_eval_row *r = &e.rows[i];
        assert_int_equal(r->n, 90);
        assert_true(fabs(r->greedy - 60.0 / 90) < 1e-9);
        /* Wilson: (p + z^2/2n +- z sqrt(pq/n + z^2/4n^2)) / (1 + z^2/n) */
        assert_true(fabs(r->lo - 0.5641) < 1e-3 && fabs(r->hi - 0.7553) < 1e-3);
        assert_true(r->truncated == 0 && r->thought_toks >= 2 && r->thought_toks <= 3);
    }
    mk_eval_release(&e);
    struct mk_eval_options o = usual;
    o.n_problems = 30, o.n_samples = 5, o.temperature = 1, o.sample_seed = 3;
    e = eval(q, o);
    assert_int_equal(e.rows[0].n, 30);
    assert_true(e.rows[0].sampled <= e.rows[0].pass_k && e.rows[0].pass_k <= 1);
    printf("  sampled %.2f, pass@5 %.2f, %zu tokens\n", e.rows[0].sampled, e.rows[0].pass_k,
           e.n_forward);
    assert_true(e.rows[0].sampled > 0.3 && e.rows[0].pass_k > 0.5);
    mk_eval_release(&e);
    /* The answer may not end in time: then it is cut off and wrong. */
    o = usual;
    o.max_new = 2;
    e = eval(q, o);
    assert_true(e.rows[1].greedy == 0 && e.rows[1].truncated == 1);
    mk_eval_release(&e);
    mk_questions_close(q);
    end();
}

static void held_out_questions_alone_are_asked(void **state)
{
    (void)state;
    start();
    struct mk_questions *q = say_seven(&s, 99, 0, false, "while read l; do echo 0.25; done");
    struct mk_eval e = eval(q, usual);
    assert_int_equal(e.rows[0].n, mk_questions_count(q, 0, MK_SPLIT_HELDOUT));
    assert_true(fabs(e.rows[0].greedy - 0.25) < 1e-9); /* shares count as such */
    mk_eval_release(&e);
    mk_questions_close(q);
    end();
}

static void what_cannot_be_asked_is_said(void **state)
{
    (void)state;
    struct mk_eval e;
    struct mk_err err;
    start();
    struct mk_eval_options o = usual;
    o.questions = say_seven(&s, 3, 0, false, NULL);
    assert_false(mk_eval_run(&e, &run.learner.model, &run.learner.wk, run.tokenizer, &o, &err));
    assert_non_null(strstr(err.msg, "none is held out"));
    mk_questions_close(o.questions);
    o.questions = say_seven(&s, 9, 0, true, "sed -u s/.*/many/");
    assert_false(mk_eval_run(&e, &run.learner.model, &run.learner.wk, run.tokenizer, &o, &err));
    assert_non_null(strstr(err.msg, "it said \"many\""));
    o.max_new = 120;
    assert_false(mk_eval_run(&e, &run.learner.model, &run.learner.wk, run.tokenizer, &o, &err));
    assert_non_null(strstr(err.msg, "the model's context of 128"));
    o.n_problems = 0;
    assert_false(mk_eval_run(&e, &run.learner.model, &run.learner.wk, run.tokenizer, &o, &err));
    mk_questions_close(o.questions);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_are_those_of_the_file),
        cmocka_unit_test(held_out_questions_alone_are_asked),
        cmocka_unit_test(what_cannot_be_asked_is_said),
    };
    return cmocka_run_group_tests_name("evaluation", tests, set_up, tear_down);
}
