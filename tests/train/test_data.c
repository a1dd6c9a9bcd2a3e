/* Files as sources: what counts, token by token; the same sequences after a seek; what is
 * refused, with which words. */
#include "seqs.h"

/* The sequences of one line; want ends with NULL. */
static void check_line(const char *line, const char *template, const char *const *want)
{
    struct mk_data_options o = in_order();
    o.chat_template = template;
    struct mk_seqs q = read_all(line, &o);
    size_t n = 0;
    for (; want[n]; n++) check_seq(&q, n, want[n]);
    assert_int_equal(q.n, n);
    mk_seqs_release(&q);
}
#define CHECK_LINE(line, template, ...) \
    check_line(line, template, (const char *const[]){__VA_ARGS__, NULL})

static void check_refused(const char *text, const struct mk_data_options *o, const char *want)
{
    struct mk_source s = {0};
    struct mk_err err = {0};
    if (mk_source_open_bytes(&s, text, strlen(text), "t.jsonl", o, &err))
        fail_msg("taken, want \"%s\": %s", want, text);
    if (!strstr(err.msg, want)) fail_msg("\"%s\" does not say \"%s\"", err.msg, want);
    assert_null(s.self);
}

/* ---- what counts ---- */

static void test_text(void **state)
{
    (void)state;
    CHECK_LINE("{\"text\": \"Hi\"}", NULL, "{B}|Hi{E}");
    CHECK_LINE("\n {\"text\": \"a\", \"from\": \"web\"} \r\n\n{\"text\": \"<think>\\u00e9\"}", NULL,
               "{B}|a{E}", "{B}|<think>\xc3\xa9{E}");
}

static void test_prompt(void **state)
{
    (void)state;
    CHECK_LINE("{\"prompt\": \"2+2?\", \"completion\": \"4\"}", NULL, "{B}{U}2+2?{A}{X}|4{E}");
    CHECK_LINE("{\"prompt\": \"2+2?\", \"completion\": \"<think>\\na\\nb\\n</think>\\n\\n4\"}",
               NULL, "{B}{U}2+2?{A}{T}|a\nb{X}4{E}");
    CHECK_LINE("{\"prompt\": \"2+2?\", \"completion\": \"a</think>4\"}", NULL,
               "{B}{U}2+2?{A}{T}|a{X}4{E}");
    /* nobody's text makes a special token */
    CHECK_LINE("{\"prompt\": \"</think>\", \"completion\": \"<｜User｜>\"}", NULL,
               "{B}{U}</think>{A}{X}|<｜User｜>{E}");
}

#define MSG(role, content) "{\"role\": \"" role "\", \"content\": \"" content "\"}"
#define THOUGHT(reasoning, content)                                                               \
    "{\"role\": \"assistant\", \"reasoning_content\": \"" reasoning "\", \"content\": \"" content \
    "\"}"
#define CALL                                                                                  \
    "{\"role\": \"assistant\", \"content\": \"t\", \"tool_calls\": [{\"type\": \"function\"," \
    "\"function\": {\"name\": \"f\", \"arguments\": \"{}\"}}]}"

static void test_messages(void **state)
{
    (void)state;
    CHECK_LINE("{\"messages\": [" MSG("system", "S") "," MSG("user", "a") "," MSG(
                   "assistant", "b") "," MSG("user", "c") "," MSG("assistant", "d") "]}",
               NULL, "{B}S{U}a{A}{X}|b{E}|{U}c{A}{X}|d{E}");
    CHECK_LINE("{\"messages\": [" MSG("user", "a") "," THOUGHT("t", "b") "]}", NULL,
               "{B}{U}a{A}{T}|t{X}b{E}");
    /* a thought is not in later prompts: another sequence, in which b is only read */
    CHECK_LINE(
        "{\"messages\": [" MSG("user", "a") "," THOUGHT("t", "b") "," MSG("user", "c") "," MSG(
            "assistant", "d") "," MSG("user", "e") "," MSG("assistant", "f") "]}",
        NULL, "{B}{U}a{A}{T}|t{X}b{E}", "{B}{U}a{A}{X}b{E}{U}c{A}{X}|d{E}|{U}e{A}{X}|f{E}");
    /* an empty thought is none; a "</think>" after a given thought is text */
    CHECK_LINE("{\"messages\": [" MSG("user", "a") "," THOUGHT("", "b</think>") "]}", NULL,
               "{B}{U}a{A}{X}|b</think>{E}");
    /* calls count as the template writes them; what the tool says is read */
    CHECK_LINE("{\"messages\": [" MSG("user", "a") "," CALL "," MSG("tool", "R") "," MSG(
                   "assistant", "d") "]}",
               NULL,
               "{B}{U}a{A}{X}|t<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{}"
               "<｜tool▁call▁end｜><｜tool▁calls▁end｜>{E}|<｜tool▁output▁begin｜>R"
               "<｜tool▁output▁end｜>|d{E}");
}

static void test_templates(void **state)
{
    (void)state;
    const char *thought = "{\"messages\": [" MSG("user", "a") "," THOUGHT("t", "b") "]}";
    const char *plain = "{\"messages\": [" MSG("user", "a") "," MSG("assistant", "b") "]}";
    CHECK_LINE(thought, "deepseek-r1", "{B}{U}a{A}{T}\n|t\n{X}\n\nb{E}");
    CHECK_LINE(plain, "deepseek-r1", "{B}{U}a{A}{T}\n|\n{X}\n\nb{E}");
    CHECK_LINE(plain, "deepseek-v3", "{B}{U}a{A}|b{E}");
    CHECK_LINE(plain, "deepseek-v2", "{B}User: a\n\nAssistant:| b{E}");
    struct mk_data_options o = in_order();
    o.chat_template = "deepseek-v3";
    check_refused(thought, &o,
                  "t.jsonl:1: answer 1: it has a thought: template deepseek-v3 does "
                  "not think there");
    o.chat_template = "deepseek-v9";
    check_refused(plain, &o, "t.jsonl:1: no chat template deepseek-v9");
    o.chat_template = NULL;
    static const char *const others[] = {"<b>", "<e>", "<p>", NULL};
    struct mk_tokenizer *t = byte_tokenizer(others, 259);
    o.tokenizer = t;
    o.chat_template = "deepseek-v3"; /* tokens that the tokenizer lacks are text */
    struct mk_seqs q = read_all(plain, &o);
    check_seq(&q, 0, "<｜begin▁of▁sentence｜><｜User｜>a<｜Assistant｜>|b<｜end▁of▁sentence｜>{E}");
    mk_seqs_release(&q);
    mk_tokenizer_free(t);
}

/* ---- length ---- */

static void test_cut(void **state)
{
    (void)state;
    struct mk_data_options o = in_order();
    o.n_ctx = 4;
    struct mk_seqs q =
        read_all("{\"text\": \"abcdefg\"}\n{\"text\": \"xy\"}\n{\"text\": \"xyz\"}", &o);
    check_seq(&q, 0, "{B}|abc"); /* each token but the first is predicted once */
    check_seq(&q, 1, "c|def");
    check_seq(&q, 2, "f|g{E}");
    check_seq(&q, 3, "{B}|xy{E}");
    check_seq(&q, 4, "{B}|xyz");
    check_seq(&q, 5, "z|{E}");
    assert_int_equal(q.n, 6);
    mk_seqs_release(&q);

    o.n_ctx = 7;
    const char *chat = "{\"prompt\": \"ab\", \"completion\": \"0123456\"}\n"
                       "{\"prompt\": \"c\", \"completion\": \"4\"}";
    struct mk_source s = open_text(chat, &o);
    q = take_all(&s);
    check_seq(&q, 0, "{B}{U}ab{A}{X}|0");
    check_seq(&q, 1, "{B}{U}c{A}{X}|4{E}");
    assert_string_equal(s.about, "t.jsonl: prompt and completion, 2 sequences, 14 tokens, 3 of "
                                 "them to learn, 1 cut at 7");
    mk_seqs_release(&q);
    mk_source_close(&s);

    o.n_ctx = 6;
    check_refused(chat, &o,
                  "t.jsonl:1: answer 1: its prompt has 6 tokens: no room for an answer "
                  "in a context of 6");
    o.n_ctx = 9; /* the first turn fits, the second does not */
    q = read_all("{\"messages\": [" MSG("user", "a") "," MSG("assistant", "b") "," MSG(
                     "user", "c") "," MSG("assistant", "d") "]}",
                 &o);
    check_seq(&q, 0, "{B}{U}a{A}{X}|b{E}");
    assert_int_equal(q.n, 1);
    mk_seqs_release(&q);
    o.n_ctx = 1;
    check_refused(chat, &o, "sequences of 1 tokens");
}

/* ---- order ---- */

static struct mk_str numbered(size_t n)
{
    struct mk_str s = {0};
    for (size_t i = 0; i < n; i++) mk_str_addf(&s, "{\"text\": \"%03zu\"}\n", i);
    return s;
}

static int number_of(const struct mk_seqs *q, size_t i)
{
    const int32_t *t = q->tok + q->start[i] + 1;
    return (t[0] - 3 - '0') * 100 + (t[1] - 3 - '0') * 10 + t[2] - 3 - '0';
}

static void test_epochs(void **state)
{
    (void)state;
    enum { N = 50, EPOCHS = 3 };
    struct mk_str text = numbered(N);
    struct mk_data_options o = in_order();
    o.in_order = false;
    o.n_epochs = EPOCHS;
    o.seed = 9;
    struct mk_source s = open_text(text.data, &o);
    assert_int_equal(s.n_epoch, N);
    struct mk_seqs q = take_all(&s);
    assert_int_equal(q.n, N * EPOCHS);
    assert_int_equal(s.cursor, N * EPOCHS);
    size_t n_same = 0, n_sorted = 0;
    for (size_t e = 0; e < EPOCHS; e++) {
        bool seen[N] = {false};
        for (size_t i = 0; i < N; i++) {
            const int k = number_of(&q, e * N + i);
            assert_false(seen[k]);
            seen[k] = true;
            n_same += e && k == number_of(&q, i);
            n_sorted += k == (int)i;
        }
    }
    assert_true(n_same < N / 2 && n_sorted < N / 2);
    /* any place again, in any order */
    for (size_t i = 0; i < N * EPOCHS; i++) {
        const size_t at = i * 67 % (N * EPOCHS);
        struct mk_seqs one = {0};
        mk_source_seek(&s, at);
        assert_true(mk_source_next(&s, &one, 1000));
        assert_int_equal(s.cursor, at + 1);
        assert_int_equal(number_of(&one, 0), number_of(&q, at));
        mk_seqs_release(&one);
    }
    mk_source_close(&s);

    o.seed = 10; /* another order; without end */
    o.n_epochs = 0;
    s = open_text(text.data, &o);
    struct mk_seqs r = {0};
    size_t n_equal = 0;
    for (size_t i = 0; i < N; i++) {
        assert_true(mk_source_next(&s, &r, 1000));
        n_equal += number_of(&r, i) == number_of(&q, i);
    }
    assert_true(n_equal < N / 2);
    mk_source_seek(&s, 1ull << 40);
    assert_true(mk_source_next(&s, &r, 1000));
    mk_source_close(&s);
    mk_seqs_release(&r);
    mk_seqs_release(&q);
    mk_str_release(&text);
}

/* ---- refused ---- */

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"", "t.jsonl: nothing in it"},
        {" \n\t\r\n", "t.jsonl: nothing in it"},
        {"{\"text\": \"a\"}\n\n{\"text\": ", "t.jsonl:3: not JSON at column"},
        {"{\"text\": \"a\"} x", "t.jsonl:1: not JSON at column"},
        {"{\"text\": \"a\", \"text\": \"b\"}", "t.jsonl:1: not JSON at column"},
        {"{\"text\": \"a\xff\"}", "t.jsonl:1: not JSON at column"},
        {"{\"text\": \"a\\u0000\"}", "t.jsonl:1: not JSON at column"},
        {"[1]", "t.jsonl:1: a list, want an object"},
        {"\"x\"", "t.jsonl:1: text, want an object"},
        {"{}", "t.jsonl:1: no text, no prompt and completion, no messages"},
        {"{\"Text\": \"a\"}", "t.jsonl:1: no text, no prompt and completion, no messages"},
        {"{\"text\": \"a\", \"prompt\": \"b\"}",
         "t.jsonl:1: both text and prompt and completion: which is meant?"},
        {"{\"completion\": \"a\", \"messages\": []}",
         "t.jsonl:1: both prompt and completion and messages"},
        {"{\"text\": 5}", "t.jsonl:1: text is a number, want text"},
        {"{\"text\": null}", "t.jsonl:1: text is null, want text"},
        {"{\"text\": [\"a\"]}", "t.jsonl:1: text is a list, want text"},
        {"{\"text\": {}}", "t.jsonl:1: text is an object, want text"},
        {"{\"text\": true}", "t.jsonl:1: text is true or false, want text"},
        {"{\"text\": \"\"}", "t.jsonl:1: text is empty"},
        {"{\"prompt\": \"a\"}", "t.jsonl:1: completion is missing"},
        {"{\"completion\": \"a\"}", "t.jsonl:1: prompt is missing"},
        {"{\"prompt\": \"\", \"completion\": \"a\"}", "t.jsonl:1: prompt is empty"},
        {"{\"prompt\": \"a\", \"completion\": \"\"}", "t.jsonl:1: completion is empty"},
        {"{\"prompt\": \"a\", \"completion\": \"</think>\"}", "t.jsonl:1: answer 1: it is empty"},
        {"{\"text\": \"a\"}\n{\"prompt\": \"a\", \"completion\": \"b\"}",
         "t.jsonl:2: a line of prompt and completion in a file of text"},
        {"{\"messages\": 1}", "t.jsonl:1: messages"},
        {"{\"messages\": [{\"role\": \"king\", \"content\": \"a\"}]}",
         "t.jsonl:1: messages[0].role"},
        {"{\"messages\": []}", "t.jsonl:1: no message of the assistant to learn from"},
        {"{\"messages\": [" MSG("user", "a") "]}",
         "t.jsonl:1: no message of the assistant to learn from"},
        {"{\"messages\": [" MSG("user", "a") "," MSG("assistant", "") "]}",
         "t.jsonl:1: answer 1: it is empty"},
        {"{\"messages\": [" MSG("user", "a") "," CALL
                                             "," MSG("tool", "R") "," THOUGHT("t", "b") "]}",
         "t.jsonl:1: answer 2: it has a thought: template deepseek-v3.1 does not think there"},
        {"{\"text\": \"a\"}\n{\"text\": \"b\"}\n{ \"text\":\"a\" }",
         "t.jsonl:3: the same as line 1"},
    };
    const struct mk_data_options o = in_order();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_refused(cases[i].text, &o, cases[i].want);
}

static void test_duplicates(void **state)
{
    (void)state;
    struct mk_data_options o = in_order();
    struct mk_str text = numbered(900); /* more than the first table holds */
    mk_str_add(&text, "{\"text\": \"777\"}\n");
    check_refused(text.data, &o, "t.jsonl:901: the same as line 778");
    o.allow_duplicates = true;
    struct mk_seqs q = read_all(text.data, &o);
    assert_int_equal(q.n, 901);
    mk_seqs_release(&q);
    mk_str_release(&text);
}

/* ---- files ---- */

static void test_file(void **state)
{
    (void)state;
    static const char text[] = "{\"text\": \"Hi\"}\n";
    struct file f = new_file(".jsonl", text, sizeof text - 1);
    struct mk_source s = {0};
    struct mk_err err;
    const struct mk_data_options o = in_order();
    if (!mk_source_open_file(&s, f.path, &o, &err)) fail_msg("%s", err.msg);
    struct mk_seqs q = take_all(&s);
    check_seq(&q, 0, "{B}|Hi{E}");
    mk_seqs_release(&q);
    mk_source_close(&s);
    unlink(f.path);
    assert_false(mk_source_open_file(&s, f.path, &o, &err));
    assert_int_equal(err.code, MK_EIO);
    assert_false(mk_source_open_file(&s, "/tmp", &o, &err));
}

static bool join(void *arg, const char *s, size_t n, struct mk_err *err)
{
    struct mk_str *out = arg;
    mk_str_append(out, s, n);
    mk_str_addc(out, '|');
    return out->len < 60 || mk_fail(err, MK_ELIMIT, "enough");
}

static void check_texts(const char *text, const char *want, const char *error)
{
    struct file f = new_file(".txt", text, strlen(text));
    struct mk_str got = {0};
    struct mk_err err;
    if (mk_file_texts(f.path, join, &got, &err) != !error) fail_msg("%s", text);
    if (error && !strstr(err.msg, error)) fail_msg("\"%s\" does not say \"%s\"", err.msg, error);
    if (!error) assert_string_equal(got.data, want);
    mk_str_release(&got);
    unlink(f.path);
}

static void test_texts(void **state)
{
    (void)state;
    check_texts("One.\nTwo {\n", "One.\nTwo {\n|", NULL);
    check_texts("{\"text\": \"a\"}\n{\"prompt\": \"b\", \"completion\": \"c\"}\n", "a|b|c|", NULL);
    check_texts("{\"messages\": [" MSG("user", "a") "," THOUGHT("t", "b") "]}", "a|b|t|", NULL);
    check_texts("\n", NULL, "nothing in it");
    check_texts("{\"text\": \"a\"}\n{", NULL, ".txt:2: not JSON");
    check_texts("{\"text\": \"a\"}\n{\"messages\": 1}", NULL, ".txt:2: messages");
    check_texts("{\"text\": \"0123456789012345678901234567890123456789\"}\n"
                "{\"text\": \"0123456789012345678901234567890123456789\"}\n",
                NULL, ".txt:2: enough");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),     cmocka_unit_test(test_prompt),
        cmocka_unit_test(test_messages), cmocka_unit_test(test_templates),
        cmocka_unit_test(test_cut),      cmocka_unit_test(test_epochs),
        cmocka_unit_test(test_refused),  cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_file),     cmocka_unit_test(test_texts),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
