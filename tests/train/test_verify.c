/* Verifiers and tasks of users: named verifiers against what people and models write, files with
 * faults, and verifier commands that hang, end, or say something else than a reward. */
#include "base/clock.h"
#include "train/own_task.h"
#include "train/verify.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- named verifiers ---- */

struct pair {
    const char *answer, *completion;
    int score;
};

static void try_pairs(const char *spec, const struct pair *c, size_t n)
{
    struct mk_verifier v;
    struct mk_err err = {0};
    assert_true(mk_verifier_parse(&v, spec, &err));
    for (size_t i = 0; i < n; i++) {
        if (!mk_verifier_check(&v, c[i].answer, strlen(c[i].answer), &err))
            fail_msg("%s \"%s\": %s", spec, c[i].answer, err.msg);
        const double got = mk_verifier_score(&v, c[i].answer, strlen(c[i].answer), c[i].completion,
                                             strlen(c[i].completion));
        if ((int)got != c[i].score)
            fail_msg("%s \"%s\" \"%s\" scores %g", spec, c[i].answer, c[i].completion, got);
    }
}
#define TRY(spec, ...)                                  \
    try_pairs(spec, (const struct pair[]){__VA_ARGS__}, \
              sizeof(const struct pair[]){__VA_ARGS__} / sizeof(struct pair))

static void exact(void **state)
{
    (void)state;
    TRY("exact", {"Paris", "Paris", 1}, {"Paris", "  Paris\n", 1}, {" Paris ", "Paris", 1},
        {"Paris", "paris", 0}, {"Paris", "Paris.", 0}, {"Paris", "", 0},
        {"Paris", "Paris Paris", 0}, {"a b", "a  b", 0},
        {"d\xc3\xa9j\xc3\xa0", "d\xc3\xa9j\xc3\xa0", 1}, {"d", "d\xff", 0});
}

static void number(void **state)
{
    (void)state;
    TRY("number", {"42", "42", 1}, {"42", "42.0", 1}, {"42", "The answer is 42.", 1},
        {"42", "x = 42", 1}, {"42", "$42", 1}, {"42", "42 %", 1}, {"42", "42%", 1},
        {"42", "+42", 1}, {"42", "4.2e1", 1}, {"1234.5", "1,234.5", 1}, {"0.3", "0.30", 1},
        {"-7", "-7", 1}, {"42", "", 0}, {"42", "41", 0}, {"42", "41 42", 0}, {"42", "42 42", 0},
        {"42", "6*7", 0}, {"42", "42a", 0}, {"42", "a42", 0}, {"42", "1e999", 0},
        {"42", "-1e999", 0}, {"42", "nan", 0}, {"42", "inf", 0}, {"42", "0x2a", 0},
        {"42", "4,2", 0}, {"42", "(42)", 0}, {"42", "42e", 0}, {"42", "42-", 0}, {"42", "4 2", 0},
        {"0", "0e0", 1}, {"7", "-", 0}, {"7", "7.", 1}, {"7", ".7", 0}, {"7", "7..", 1},
        {"7", "7.1.", 0});
    TRY("number:0.01", {"3.14", "3.1416", 1}, {"3.14", "3.16", 0}, {"3.14", "3.13", 1});
    TRY("number:1%", {"200", "201.9", 1}, {"200", "202.1", 0}, {"-200", "-198", 1});
    char digits[6000];
    memset(digits, '9', sizeof digits);
    struct mk_verifier v;
    assert_true(mk_verifier_parse(&v, "number:1e300", NULL));
    assert_true(mk_verifier_score(&v, "1", 1, digits, sizeof digits) == 0);
}

static void set(void **state)
{
    (void)state;
    TRY("set", {"a, b, c", "c,b,a", 1}, {"a, b, c", "a; b\nc.", 1}, {"a, b", "a, b, a", 1},
        {"red, dark blue", "dark blue, red", 1}, {"a, b", "a", 0}, {"a, b", "a, b, c", 0},
        {"a, b", "a b", 0}, {"a, b", "", 0}, {"a, b", "a,,b", 0}, {"a, b", "a, b,", 0},
        {"a", "A", 0}, {"a", ",", 0});
    char many[4000];
    for (size_t i = 0; i < sizeof many; i++) many[i] = i % 2 ? ',' : 'a';
    struct mk_verifier v;
    assert_true(mk_verifier_parse(&v, "set", NULL));
    assert_true(mk_verifier_score(&v, "a", 1, many, sizeof many - 1) == 0);
}

static void regex(void **state)
{
    (void)state;
    TRY("regex", {"colou?r", "color", 1}, {"colou?r", "colour", 1}, {"colou?r", "colours", 0},
        {"colou?r", "the colour", 0}, {"(?i)yes|ja", "JA", 1}, {"(?i)yes|ja", "yes, ja", 0},
        {"\\d{4}-\\d\\d", "2024-05", 1}, {".", "\xc3\xa9", 1}, {".", "\xff", 0}, {"a+", "", 0});
    /* Patterns that would take for ever, or all the memory. */
    char as[40000];
    memset(as, 'a', sizeof as);
    struct mk_verifier v;
    static const char *const evil[] = {"(a+)+b", "(a|aa)+$b", "(?:a*)*b", "(.*)*(.*)*(.*)*x"};
    assert_true(mk_verifier_parse(&v, "regex", NULL));
    const double from = mk_now_s();
    for (size_t i = 0; i < sizeof evil / sizeof *evil; i++)
        for (size_t n = 30; n <= sizeof as; n *= 30)
            assert_true(mk_verifier_score(&v, evil[i], strlen(evil[i]), as, n) == 0);
    assert_true(mk_now_s() - from < 5);
}

static void json(void **state)
{
    (void)state;
    TRY("json", {"{\"a\": 1, \"b\": [true, null]}", "{\"b\":[true,null],\"a\":1.0}", 1},
        {"[1, 2]", "[1,2]", 1}, {"[1, 2]", "[2,1]", 0}, {"[1, 2]", "[1,2", 0}, {"[1]", "[1] ]", 0},
        {"{\"a\":1}", "{\"a\":1,\"b\":2}", 0}, {"{\"a\":1}", "{\"b\":1}", 0}, {"{}", "", 0},
        {"{\"a\":1}", "{\"a\":1,\"a\":1}", 0}, {"\"x\"", "\"x\"", 1}, {"\"x\"", "x", 0},
        {"7", "7", 1}, {"7", "\"7\"", 0}, {"7", "7e0", 1}, {"7", "1e999", 0}, {"7", "NaN", 0},
        {"true", "true", 1}, {"true", "false", 0}, {"null", "null", 1});
    static char deep[60000];
    memset(deep, '[', sizeof deep);
    struct mk_verifier v;
    assert_true(mk_verifier_parse(&v, "json", NULL));
    assert_true(mk_verifier_score(&v, "[]", 2, deep, sizeof deep) == 0);
}

static void any_bytes(void **state)
{
    (void)state;
    static const char *const specs[] = {"exact", "number", "set", "regex", "json"};
    static char huge[MK_VERIFY_MAX + 1];
    memset(huge, '7', sizeof huge);
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        struct mk_verifier v;
        assert_true(mk_verifier_parse(&v, specs[i], NULL));
        assert_true(mk_verifier_score(&v, "7", 1, "7", 1) == 1);
        assert_true(mk_verifier_score(&v, "7", 1, "7\0", 2) == 0);
        assert_true(mk_verifier_score(&v, "7", 1, "\0007", 2) == 0);
        assert_true(mk_verifier_score(&v, "7", 1, "7\x80", 2) == 0);
        assert_true(mk_verifier_score(&v, "7", 1, NULL, 0) == 0);
        assert_true(mk_verifier_score(&v, "7", 1, huge, sizeof huge) == 0);
    }
}

static void expect_error(const struct mk_err *err, const char *part)
{
    if (!strstr(err->msg, part)) fail_msg("\"%s\" does not say \"%s\"", err->msg, part);
}

static void bad_verifiers(void **state)
{
    (void)state;
    static const struct {
        const char *spec, *says;
    } specs[] = {
        {"", "no verifier"},
        {"exactly", "no verifier \"exactly\""},
        {"num", "no verifier"},
        {"exact:1", "takes no option"},
        {"number:", "is no tolerance"},
        {"number:-1", "is no tolerance"},
        {"number:nan", "is no tolerance"},
        {"number:1e999", "is no tolerance"},
        {"number:1x", "\"1x\" is no tolerance"},
    };
    static const struct {
        const char *spec, *answer, *says;
    } answers[] = {
        {"exact", "  ", "empty"},
        {"number", "seven", "\"seven\" is not one number"},
        {"number", "1e999", "is not one number"},
        {"set", "a,,b", "is no list"},
        {"regex", "(", "pattern \"(\""},
        {"json", "{", "is not JSON"},
    };
    struct mk_verifier v;
    struct mk_err err = {0};
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        assert_false(mk_verifier_parse(&v, specs[i].spec, &err));
        assert_int_equal(err.code, MK_EUSAGE);
        expect_error(&err, specs[i].says);
    }
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        assert_true(mk_verifier_parse(&v, answers[i].spec, &err));
        assert_false(mk_verifier_check(&v, answers[i].answer, strlen(answers[i].answer), &err));
        expect_error(&err, answers[i].says);
    }
}

/* ---- files ---- */

static char path[64];

static int make_file(void **state)
{
    (void)state;
    strcpy(path, "/tmp/minke-own-XXXXXX");
    const int fd = mkstemp(path);
    return fd < 0 || close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static void write_file(const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static struct mk_own *open_with(const char *text, const char *verifier, const char *command,
                                double limit_s)
{
    struct mk_own *o = NULL;
    struct mk_err err = {0};
    write_file(text);
    if (!mk_own_open(&o, &(struct mk_own_options){path, verifier, command, limit_s}, &err))
        fail_msg("%s", err.msg);
    return o;
}

static void bad_files(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } files[] = {
        {"", "nothing in it"},
        {"\n  \n", "nothing in it"},
        {"{\"prompt\":\"a\",\"answer\":\"1\"}\n\n{\"prompt\":\"b\"}\n",
         "line 3: answer is missing"},
        {"{\"answer\":\"1\"}", "line 1: prompt is missing"},
        {"{\"prompt\":\"\",\"answer\":\"1\"}", "line 1: prompt is empty"},
        {"{\"prompt\":7,\"answer\":\"1\"}", "line 1: prompt is not text"},
        {"{\"prompt\":\"a\",\"answer\":\"\"}", "line 1: answer is empty"},
        {"{\"prompt\":\"a\",\"answer\":\"x\"}", "line 1: answer \"x\" is not one number"},
        {"{\"prompt\":\"a\",\"answer\":1,\"trace\":1}", "line 1: trace is not text"},
        {"{\"prompt\":\"a\",\"answer\":1}\n[1]", "line 2: not an object"},
        {"{\"prompt\":\"a\",\"answer\":1}\n{\"prompt\":", "line 2: not JSON"},
        {"{\"prompt\":\"a\\u0000b\",\"answer\":1}", "line 1: not JSON"},
        {"{\"prompt\":\"\xff\",\"answer\":1}", "line 1: not JSON"},
        {"{\"prompt\":\"a\",\"answer\":1}\n{\"prompt\":\"b\",\"answer\":1}\n"
         "{\"prompt\":\"a\",\"answer\":2}",
         "lines 1 and 3 have the same prompt"},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct mk_own *o = NULL;
        struct mk_err err = {0};
        write_file(files[i].text);
        assert_false(
            mk_own_open(&o, &(struct mk_own_options){.path = path, .verifier = "number"}, &err));
        expect_error(&err, path);
        expect_error(&err, files[i].says);
    }
}

static void bad_options(void **state)
{
    (void)state;
    struct mk_own *o = NULL;
    struct mk_err err = {0};
    write_file("{\"prompt\":\"a\",\"answer\":1}\n");
    assert_false(mk_own_open(&o, &(struct mk_own_options){.path = path}, &err));
    expect_error(&err, "want a verifier");
    assert_false(mk_own_open(&o, &(struct mk_own_options){path, "exact", "cat", 0}, &err));
    assert_false(mk_own_open(&o, &(struct mk_own_options){path, "huh", NULL, 0}, &err));
    expect_error(&err, "no verifier \"huh\"");
    assert_false(mk_own_open(
        &o, &(struct mk_own_options){.path = "/nonexistent", .verifier = "exact"}, &err));
    expect_error(&err, "/nonexistent");
}

/* Each line is in one split, in the order of the file, and scored by its own answer. */
static void problems(void **state)
{
    (void)state;
    struct mk_str text = {0};
    enum { N = 500 };
    for (int i = 0; i < N; i++)
        mk_str_addf(&text, "{\"prompt\":\"What is %d doubled?\",\"answer\":%d,\"trace\":\"t%d\"}\n",
                    i, 2 * i, i);
    struct mk_own *o = open_with(text.data, "number", NULL, 0);
    struct mk_problem p = {0};
    struct mk_err err = {0};
    bool seen[N] = {false};
    size_t n = 0;
    for (enum mk_split k = MK_SPLIT_TRAIN; k <= MK_SPLIT_HELDOUT; k++) {
        int last = -1;
        for (size_t i = 0; i < mk_own_count(o, k); i++, n++) {
            int v;
            double reward = -1;
            mk_own_get(o, k, i, &p);
            assert_int_equal(sscanf(p.prompt.data, "What is %d doubled?", &v), 1);
            assert_true(v > last && v < N && !seen[v]);
            last = v;
            seen[v] = true;
            assert_int_equal(mk_problem_split(&p), k);
            assert_int_equal(atoi(p.answer.data), 2 * v);
            assert_int_equal(atoi(p.trace.data + 1), v);
            assert_true(mk_own_score(o, &p, p.answer.data, p.answer.len, &reward, &err));
            assert_true(reward == 1);
            assert_true(mk_own_score(o, &p, p.prompt.data, p.prompt.len, &reward, &err));
            assert_true(reward == 0);
        }
    }
    assert_int_equal(n, N);
    const size_t n_held = mk_own_count(o, MK_SPLIT_HELDOUT);
    assert_true(n_held > N / 16 / 2 && n_held < N / 16 * 2);
    mk_own_close(o);
    mk_own_close(NULL);
    mk_problem_release(&p);
    mk_str_release(&text);
}

static void answers_of_any_type(void **state)
{
    (void)state;
    struct mk_own *o = open_with("{\"prompt\":\"a\",\"answer\":{\"x\":[1,true]},\"data\":\"d\"}\n",
                                 "json", NULL, 0);
    struct mk_problem p = {0};
    const enum mk_split k = mk_own_count(o, MK_SPLIT_TRAIN) ? MK_SPLIT_TRAIN : MK_SPLIT_HELDOUT;
    mk_own_get(o, k, 0, &p);
    assert_string_equal(p.answer.data, "{\"x\":[1,true]}");
    assert_string_equal(p.data.data, "d");
    mk_own_close(o);
    mk_problem_release(&p);
}

/* ---- commands ---- */

static const char one_line[] = "{\"prompt\":\"a\",\"answer\":\"1\"}\n";

/* Scores n completions with a command; false with *err at the first that fails. */
static bool score_with(const char *command, double limit_s, int n, const char *completion,
                       double *reward, size_t *n_restart, struct mk_err *err)
{
    struct mk_own *o = open_with(one_line, NULL, command, limit_s);
    struct mk_problem p = {0};
    const enum mk_split k = mk_own_count(o, MK_SPLIT_TRAIN) ? MK_SPLIT_TRAIN : MK_SPLIT_HELDOUT;
    mk_own_get(o, k, 0, &p);
    bool ok = true;
    for (int i = 0; ok && i < n; i++)
        ok = mk_own_score(o, &p, completion, strlen(completion), reward, err);
    if (n_restart) *n_restart = mk_own_restarts(o);
    mk_own_close(o);
    mk_problem_release(&p);
    return ok;
}

static void good_commands(void **state)
{
    (void)state;
    double reward = -1;
    size_t n_restart = 9;
    struct mk_err err = {0};
    assert_true(
        score_with("while read -r l; do echo 0.25; done", 10, 50, "x", &reward, &n_restart, &err));
    assert_true(reward == 0.25);
    assert_int_equal(n_restart, 0);
    /* It sees what it is to judge, whatever bytes the completion has. */
    assert_true(
        score_with("while read -r l; do case \"$l\" in "
                   "'{\"prompt\":\"a\",\"answer\":\"1\",\"completion\":\"x\\ny\"}') echo 1 ;;"
                   "*) echo 0 ;; esac; done",
                   10, 2, "x\ny", &reward, NULL, &err));
    assert_true(reward == 1);
    assert_true(score_with("while read -r l; do echo '  0.5 '; done", 10, 1, "\xff\xfe", &reward,
                           NULL, &err));
    assert_true(reward == 0.5);
    /* A question longer than a pipe holds. */
    char *big = malloc(300001);
    assert_non_null(big);
    memset(big, 'x', 300000);
    big[300000] = '\0';
    assert_true(score_with("while read -r l; do echo ${#l}; done | sed 's/^300.*/1/'", 10, 0, big,
                           &reward, NULL, &err));
    assert_true(score_with("while read -r l; do test ${#l} -gt 300000 && echo 1; done", 10, 2, big,
                           &reward, NULL, &err));
    assert_true(reward == 1);
    free(big);
}

static void bad_commands(void **state)
{
    (void)state;
    static const struct {
        const char *command, *says;
        enum mk_code code;
    } cases[] = {
        {"while read -r l; do echo good; done", "it said \"good\", want a number", MK_EFORMAT},
        {"while read -r l; do echo; done", "it said \"\", want a number", MK_EFORMAT},
        {"while read -r l; do echo 1.5; done", "it said \"1.5\"", MK_EFORMAT},
        {"while read -r l; do echo -1; done", "it said \"-1\"", MK_EFORMAT},
        {"while read -r l; do echo nan; done", "it said \"nan\"", MK_EFORMAT},
        {"while read -r l; do echo 1 1; done", "it said \"1 1\"", MK_EFORMAT},
        {"while read -r l; do printf '1\\n1\\n'; done", "it said more than", MK_EFORMAT},
        {"echo hello; sleep 0.2; cat", "it said", MK_EFORMAT},
        {"exit 3", "it ended without", MK_EIO},
        {"read -r l; printf 'oh no'; exit 1", "it said \"oh no\"", MK_EIO},
        {"exec no-such-program-2z 2>/dev/null", "it ended without", MK_EIO},
        {"exec yes 2>/dev/null", "it said more than", MK_EFORMAT},
        {"exec head -c 100000 /dev/zero", "it said more than", MK_EFORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double reward = -1;
        struct mk_err err = {0};
        assert_false(score_with(cases[i].command, 10, 3, "x", &reward, NULL, &err));
        expect_error(&err, cases[i].command);
        expect_error(&err, cases[i].says);
        assert_int_equal(err.code, cases[i].code);
        assert_true(reward == -1 || reward == 1); /* 1: an earlier completion was scored */
    }
}

static void hanging_commands(void **state)
{
    (void)state;
    double reward = -1;
    size_t n_restart = 0;
    struct mk_err err = {0};
    const double from = mk_now_s();
    assert_false(score_with("sleep 1000", 0.1, 1, "x", &reward, &n_restart, &err));
    assert_int_equal(err.code, MK_ECANCELED);
    expect_error(&err, "verifier command 'sleep 1000': no answer within 0.1 s");
    assert_false(score_with("trap '' TERM; while :; do sleep 1000; done", 0.1, 1, "x", &reward,
                            &n_restart, &err));
    assert_true(mk_now_s() - from < 5);
    /* It hangs once in a while: each time it is started again and asked again. */
    char command[200];
    snprintf(command, sizeof command,
             "n=0; while read -r l; do n=$((n+1)); test $n = 3 && sleep 1000; echo 1; done");
    assert_true(score_with(command, 0.3, 6, "x", &reward, &n_restart, &err));
    assert_true(reward == 1);
    assert_int_equal(n_restart, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact),
        cmocka_unit_test(number),
        cmocka_unit_test(set),
        cmocka_unit_test(regex),
        cmocka_unit_test(json),
        cmocka_unit_test(any_bytes),
        cmocka_unit_test(bad_verifiers),
        cmocka_unit_test(bad_files),
        cmocka_unit_test(bad_options),
        cmocka_unit_test(problems),
        cmocka_unit_test(answers_of_any_type),
        cmocka_unit_test(good_commands),
        cmocka_unit_test(bad_commands),
        cmocka_unit_test(hanging_commands),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
