/* Conversations from JSON: what is read, and errors that name the field. */
#include "chat_test.h"

static void reads_all_fields(void **state)
{
    (void)state;
    struct mk_conversation c;
    parse(&c,
          "{\"model\":\"m\",\"messages\":["
          "{\"role\":\"developer\",\"content\":\"S\"},"
          "{\"role\":\"user\",\"name\":\"u\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
          "{\"type\":\"text\",\"text\":\"b\"}]},"
          "{\"role\":\"assistant\",\"content\":null,\"reasoning_content\":\"r\",\"tool_calls\":["
          "{\"id\":\"i1\",\"type\":\"function\",\"function\":{\"name\":\"f\","
          "\"arguments\":\"{ \\\"x\\\" : 1 }\"}},"
          "{\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":"
          "{\"z\":[1,2.50,1e300,true,null],\"a\":\"\\u00e9\\n\\u001f\\\"\"}}}]},"
          "{\"role\":\"tool\",\"tool_call_id\":\"i1\",\"content\":\"R\"},"
          "{\"role\":\"assistant\",\"reasoning\":\"q\",\"content\":\"done\"}],"
          "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]}");
    assert_int_equal(c.n, 5);
    assert_int_equal(c.list[0].role, MK_SYSTEM);
    assert_string_equal(c.list[1].content, "a\nb");
    assert_int_equal(c.list[2].role, MK_ASSISTANT);
    assert_null(c.list[2].content);
    assert_string_equal(c.list[2].reasoning, "r");
    assert_int_equal(c.list[2].n_calls, 2);
    assert_string_equal(c.list[2].calls[0].id, "i1");
    assert_string_equal(c.list[2].calls[0].arguments, "{ \"x\" : 1 }");
    assert_null(c.list[2].calls[1].id);
    assert_string_equal(c.list[2].calls[1].name, "g");
    assert_string_equal(c.list[2].calls[1].arguments,
                        "{\"z\":[1,2.5,1e+300,true,null],\"a\":\"é\\n\\u001f\\\"\"}");
    assert_int_equal(c.list[3].role, MK_TOOL);
    assert_string_equal(c.list[4].reasoning, "q");
    assert_string_equal(c.tools, "[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]");
    mk_conversation_release(&c);
    assert_int_equal(c.n, 0);
    assert_null(c.list);
}

/* json.dumps of the same numbers. */
static void numbers(void **state)
{
    (void)state;
    static const struct {
        const char *in, *want;
    } cases[] = {
        {"0.1", "0.1"},
        {"-0.0", "-0.0"},
        {"1.0", "1.0"},
        {"100.0", "100.0"},
        {"1e15", "1000000000000000.0"},
        {"123456789.125", "123456789.125"},
        {"1e16", "1e+16"},
        {"1.5e16", "1.5e+16"},
        {"0.0001", "0.0001"},
        {"0.00001", "1e-05"},
        {"12e-9", "1.2e-08"},
        {"-2.5", "-2.5"},
        {"5e-324", "5e-324"},
        {"1.7976931348623157e308", "1.7976931348623157e+308"},
        {"0.30000000000000004", "0.30000000000000004"},
        {"-9223372036854775808", "-9223372036854775808"},
        {"[]", "[]"},
        {"{}", "{}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *v = json_loads(cases[i].in, JSON_DECODE_ANY, NULL);
        struct mk_str s = {0};
        mk_json_text(&s, v, true);
        assert_string_equal(s.data, cases[i].want);
        mk_str_release(&s);
        json_decref(v);
    }
}

static void builds_and_truncates(void **state)
{
    (void)state;
    struct mk_conversation c = {0};
    for (int i = 0; i < 9; i++) {
        mk_conversation_add(&c, MK_USER, "a", NULL);
        mk_conversation_add(&c, MK_ASSISTANT, NULL, "r");
        for (int k = 0; k < 3; k++) {
            char arguments[] = "{}", name[] = "f";
            mk_conversation_add_call(&c, &(struct mk_tool_call){NULL, name, arguments});
        }
    }
    assert_int_equal(c.n, 18);
    assert_int_equal(c.list[17].n_calls, 3);
    mk_conversation_truncate(&c, 5);
    assert_int_equal(c.n, 5);
    assert_string_equal(c.list[4].content, "a");
    mk_conversation_add(&c, MK_TOOL, "x", NULL);
    assert_int_equal(c.n, 6);
    mk_conversation_release(&c);
}

#define M(fields)    "[{" fields "}]"
#define U            "\"role\":\"user\""
#define A            "\"role\":\"assistant\",\"content\":\"\""
#define CALLS(list)  M(A ",\"tool_calls\":" list)
#define TOOLS(list)  "{\"messages\":[],\"tools\":" list "}"
#define FUNC(fields) CALLS("[{\"function\":{" fields "}}]")

#define CONTINUE(list, v) "{\"messages\":[" list "],\"continue_final_message\":" v "}"

static void continues(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        bool want;
    } cases[] = {
        {M(A), false},
        {M(A ",\"prefix\":null"), false},
        {M(A ",\"prefix\":false"), false},
        {M(A ",\"prefix\":true"), true},
        {CONTINUE("{" A "}", "null"), false},
        {CONTINUE("{" A "}", "true"), true},
        {CONTINUE("{" A ",\"prefix\":true}", "false"), true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mk_conversation c;
        parse(&c, cases[i].json);
        assert_int_equal(c.continues, cases[i].want);
        mk_conversation_add(&c, MK_USER, "and now?", NULL);
        assert_false(c.continues);
        mk_conversation_release(&c);
    }
}

static void errors_name_the_field(void **state)
{
    (void)state;
    static const struct {
        const char *json, *field, *value;
    } cases[] = {
        {"", "conversation", "line 1"},
        {"{\"messages\":[", "conversation", "line 1"},
        {"\"x\"", "conversation", ""},
        {"{}", "messages", "missing"},
        {"{\"messages\":{}}", "messages", "an object"},
        {"[1]", "messages[0]", "a number"},
        {M("\"content\":\"a\""), "messages[0].role", "missing"},
        {M("\"role\":\"function\",\"content\":\"a\""), "messages[0].role", "\"function\""},
        {M("\"role\":7,\"content\":\"a\""), "messages[0].role", "a number"},
        {M(U), "messages[0].content", "missing"},
        {M(U ",\"content\":null"), "messages[0].content", "null"},
        {M(U ",\"content\":{}"), "messages[0].content", "an object"},
        {M(U ",\"content\":[\"a\"]"), "messages[0].content[0]", "\"a\""},
        {M(U ",\"content\":[{\"type\":\"text\"}]"), "messages[0].content[0].text", "missing"},
        {M(U ",\"content\":[{\"type\":\"image_url\"}]"), "messages[0].content[0].type",
         "\"image_url\""},
        {M("\"role\":\"assistant\",\"content\":1"), "messages[0].content", "a number"},
        {M(A ",\"reasoning_content\":1"), "messages[0].reasoning_content", "a number"},
        {M(A ",\"reasoning\":[]"), "messages[0].reasoning", "a list"},
        {M(U ",\"content\":\"\",\"tool_calls\":[{}]"), "messages[0].tool_calls", "assistant"},
        {CALLS("1"), "messages[0].tool_calls", "a number"},
        {CALLS("[true]"), "messages[0].tool_calls[0]", "true"},
        {CALLS("[{}]"), "messages[0].tool_calls[0].function", "missing"},
        {CALLS("[{\"type\":\"custom\"}]"), "messages[0].tool_calls[0].type", "\"custom\""},
        {CALLS("[{\"id\":1}]"), "messages[0].tool_calls[0].id", "a number"},
        {FUNC("\"arguments\":\"\""), "messages[0].tool_calls[0].function.name", "missing"},
        {FUNC("\"name\":\"f\""), "messages[0].tool_calls[0].function.arguments", "missing"},
        {FUNC("\"name\":\"f\",\"arguments\":[]"), "messages[0].tool_calls[0].function.arguments",
         "a list"},
        {M(A ",\"prefix\":1"), "messages[0].prefix", "a number"},
        {M(U ",\"content\":\"\",\"prefix\":true"), "messages[0].prefix", "true"},
        {"[{" A ",\"prefix\":true},{" A "}]", "messages[0].prefix", "last message"},
        {CONTINUE("{" A "}", "\"yes\""), "continue_final_message", "\"yes\""},
        {CONTINUE("{" U ",\"content\":\"\"}", "true"), "continue_final_message", "true"},
        {CONTINUE("", "true"), "continue_final_message", "true"},
        {TOOLS("{}"), "tools", "an object"},
        {TOOLS("[0]"), "tools[0]", "a number"},
        {TOOLS("[{\"name\":\"f\"}]"), "tools[0].function", "missing"},
        {TOOLS("[{\"function\":{}}]"), "tools[0].function.name", "missing"},
        {TOOLS("[{\"function\":{\"name\":\"f\",\"description\":1}}]"),
         "tools[0].function.description", "a number"},
        {TOOLS("[{\"function\":{\"name\":\"f\",\"parameters\":\"x\"}}]"),
         "tools[0].function.parameters", "\"x\""},
        {"[\"\\u0000\"]", "conversation", "line 1"},
        {"[\"\xff\"]", "conversation", "line 1"},
        {"[\"\\ud800\"]", "conversation", "line 1"},
        {"[1e999]", "conversation", "line 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mk_conversation c = {.n = 77};
        struct mk_err err;
        if (mk_conversation_parse(&c, cases[i].json, strlen(cases[i].json), &err))
            fail_msg("taken: %s", cases[i].json);
        assert_int_equal(err.code, MK_EFORMAT);
        const size_t n = strlen(cases[i].field);
        if (strncmp(err.msg, cases[i].field, n) != 0 && !strstr(err.msg, " conversation"))
            fail_msg("%s: %s", cases[i].json, err.msg);
        if (!strstr(err.msg, cases[i].value)) fail_msg("%s: %s", cases[i].json, err.msg);
        assert_int_equal(c.n, 77); /* untouched */
    }
}

static void messages_are_harmless(void **state)
{
    (void)state;
    struct mk_conversation c;
    struct mk_err err;
    static const char json[] = "[{\"role\":\"\\u001b[2J\\n ééééééééééééééééééééééé\"}]";
    assert_false(mk_conversation_parse(&c, json, strlen(json), &err));
    assert_null(strchr(err.msg, '\033'));
    assert_null(strchr(err.msg, '\n'));
    assert_int_equal(mk_utf8_valid(err.msg, strlen(err.msg)), strlen(err.msg));
}

static void deep_nesting(void **state)
{
    (void)state;
    enum { DEPTH = 100000 };
    char *json = mk_alloc(DEPTH + 1);
    memset(json, '[', DEPTH);
    struct mk_conversation c;
    struct mk_err err;
    assert_false(mk_conversation_parse(&c, json, DEPTH, &err));
    free(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_all_fields),
        cmocka_unit_test(numbers),
        cmocka_unit_test(builds_and_truncates),
        cmocka_unit_test(errors_name_the_field),
        cmocka_unit_test(continues),
        cmocka_unit_test(messages_are_harmless),
        cmocka_unit_test(deep_nesting),
    };
    return cmocka_run_group_tests_name("chat/conversation", tests, NULL, NULL);
}
