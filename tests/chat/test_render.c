/* Prompt text: equal to what the official templates render, and our own cases. */
#include "chat_test.h"

/* Both files hold {model, case, messages, options, text, ids?}, rendered by running the
 * official template of each model. */
static void check_file(const char *path)
{
    json_t *records = read_json(path);
    assert_true(json_array_size(records) > 0);
    for (size_t i = 0; i < json_array_size(records); i++) {
        const json_t *r = json_array_get(records, i);
        const struct mk_template *t = mk_template_find(text_of(r, "model"));
        assert_non_null(t);
        struct mk_prompt p = {0};
        render_record(&p, t, r);
        if (strcmp(mk_str_c(&p.text), text_of(r, "text")) != 0)
            fail_msg("%s %s:\n got %s\nwant %s", t->name, text_of(r, "case"), mk_str_c(&p.text),
                     text_of(r, "text"));
        assert_int_equal(p.spans[p.n_spans - 1].end, p.text.len);
        mk_prompt_release(&p);
    }
    json_decref(records);
}
static void anchors(void **state) { (void)state, check_file("tests/golden/chat/anchors.json"); }
static void more(void **state) { (void)state, check_file("tests/golden/chat/more.json"); }

static void check(const char *name, const char *json, struct mk_chat_options o, const char *want)
{
    char *text = render_text(name, json, o);
    assert_string_equal(text, want);
    free(text);
}

#define TALK                                                                          \
    "[{\"role\":\"system\",\"content\":\"S\"},{\"role\":\"user\",\"content\":\"a\"}," \
    "{\"role\":\"assistant\",\"content\":\"b\"},{\"role\":\"user\",\"content\":\"c\"}]"

static void plain_words(void **state)
{
    (void)state;
    check("deepseek-v2", TALK, (struct mk_chat_options){0},
          MK_BOS "S\n\nUser: a\n\nAssistant: b" MK_EOS "User: c\n\nAssistant:");
    check("deepseek-v2", TALK, (struct mk_chat_options){.no_generation_prompt = true},
          MK_BOS "S\n\nUser: a\n\nAssistant: b" MK_EOS "User: c\n\n");
    check("deepseek-v2.5", TALK, (struct mk_chat_options){0},
          MK_BOS "S" MK_USER_TAG "a" MK_ASSISTANT_TAG "b" MK_EOS MK_USER_TAG "c" MK_ASSISTANT_TAG);
}

#define CALL(name) "{\"function\":{\"name\":\"" name "\",\"arguments\":{\"x\":[1,2.5]}}}"
#define V3_CALL(name) \
    MK_CALL "function" MK_CALL_SEP name "\n```json\n{\"x\":[1,2.5]}\n```" MK_CALL_END
static const char two_with_text[] = "[{\"role\":\"user\",\"content\":\"a\"},"
                                    "{\"role\":\"assistant\",\"content\":\"Wait.\","
                                    "\"tool_calls\":[" CALL("f") "," CALL("g") "]}]";

static const char one_with_text[] = "[{\"role\":\"assistant\",\"content\":\"Wait.\","
                                    "\"tool_calls\":[" CALL("f") "]}]";

static void text_and_calls(void **state)
{
    (void)state;
    const struct mk_chat_options o = {.no_generation_prompt = true};
    check("deepseek-v3", one_with_text, o,
          MK_BOS MK_ASSISTANT_TAG "Wait." MK_CALLS V3_CALL("f") MK_CALLS_END MK_EOS);
    check("deepseek-v3", two_with_text, o,
          MK_BOS MK_USER_TAG "a" MK_ASSISTANT_TAG "Wait." MK_CALLS V3_CALL("f") "\n" V3_CALL("g")
              MK_CALLS_END MK_EOS);
}

static void empty_text_is_no_text(void **state)
{
    (void)state;
    static const char json[] =
        "[{\"role\":\"assistant\",\"content\":%s,\"tool_calls\":[" CALL("f") "]}]";
    char with_null[256], with_empty[256];
    snprintf(with_null, sizeof with_null, json, "null");
    snprintf(with_empty, sizeof with_empty, json, "\"\"");
    for (size_t i = 0; mk_templates[i]; i++) {
        if (!mk_templates[i]->calls) continue;
        char *text = render_text(mk_templates[i]->name, with_null, (struct mk_chat_options){0});
        check(mk_templates[i]->name, with_empty, (struct mk_chat_options){0}, text);
        free(text);
    }
}

/* The thought was split off: a "</think>" that the answer talks about stays. */
static void separate_reasoning(void **state)
{
    (void)state;
    static const char json[] = "[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\","
                               "\"reasoning_content\":\"r\",\"content\":\"b</think>c\"}]";
    const struct mk_chat_options o = {.no_generation_prompt = true};
    check("deepseek-r1", json, o, MK_BOS MK_USER_TAG "a" MK_ASSISTANT_TAG "b</think>c" MK_EOS);
    check("deepseek-v3.1", json, o,
          MK_BOS MK_USER_TAG "a" MK_ASSISTANT_TAG "</think>b</think>c" MK_EOS);
}

static void inside(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool thinking, no_prompt, want;
    } cases[] = {
        {"deepseek-v3", true, false, false},   {"deepseek-r1", false, false, true},
        {"deepseek-r1", true, true, false},    {"r1-distill-qwen", true, false, true},
        {"deepseek-v3.1", true, false, true},  {"deepseek-v3.1", false, false, false},
        {"deepseek-v2.5", true, false, false}, {"deepseek-v2", true, false, false},
    };
    struct mk_conversation c;
    parse(&c, TALK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mk_prompt p = {0};
        struct mk_err err;
        assert_true(mk_chat_render(&p, mk_template_find(cases[i].name), &c,
                                   &(struct mk_chat_options){cases[i].thinking, cases[i].no_prompt},
                                   &err));
        assert_int_equal(p.inside, cases[i].want ? MK_IN_THOUGHT : MK_IN_TURN);
        mk_prompt_release(&p);
    }
    mk_conversation_release(&c);
}

#define BEGUN(fields) \
    "[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\"," fields ",\"prefix\":true}]"
#define AFTER_TOOL                                                                               \
    "[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"tool_calls\":[" CALL(      \
        "f") "]},{\"role\":\"tool\",\"content\":\"r\"},"                                         \
             "{\"role\":\"assistant\",\"reasoning_content\":\"t\",\"content\":\"b\",\"prefix\":" \
             "true}]"
#define TEXT     "\"content\":\"b\\n\""
#define THOUGHT  "\"content\":\"\",\"reasoning_content\":\"t\""
#define BOTH     "\"content\":\"b\",\"reasoning_content\":\"t\""
#define V31_CALL MK_CALLS MK_CALL "f" MK_CALL_SEP "{\"x\":[1,2.5]}" MK_CALL_END MK_CALLS_END MK_EOS

/* A beginning stays open, with its thought if that is wanted. */
static void continued(void **state)
{
    (void)state;
    static const struct {
        const char *name, *json;
        bool thinking;
        enum mk_inside inside;
        const char *want; /* after the user's message */
    } cases[] = {
        {"deepseek-v2", BEGUN(TEXT), false, MK_IN_ANSWER, "Assistant: b\n"},
        {"deepseek-v2", BEGUN(BOTH), true, MK_IN_ANSWER, "Assistant: b"},
        {"deepseek-v2.5", BEGUN(TEXT), false, MK_IN_ANSWER, MK_ASSISTANT_TAG "b\n"},
        {"deepseek-v3", BEGUN(BOTH), true, MK_IN_ANSWER, MK_ASSISTANT_TAG "b"},
        {"deepseek-v3", BEGUN("\"content\":null"), true, MK_IN_TURN, MK_ASSISTANT_TAG},
        {"deepseek-r1", BEGUN(TEXT), false, MK_IN_ANSWER, MK_ASSISTANT_TAG "b\n"},
        {"deepseek-r1", BEGUN(THOUGHT), false, MK_IN_THOUGHT, MK_ASSISTANT_TAG MK_THINK "\nt"},
        {"deepseek-r1", BEGUN(BOTH), false, MK_IN_ANSWER,
         MK_ASSISTANT_TAG MK_THINK "\nt" MK_THINK_END "\n\nb"},
        {"deepseek-r1", BEGUN("\"content\":\"t</think>b\""), false, MK_IN_ANSWER,
         MK_ASSISTANT_TAG "b"},
        {"deepseek-r1", BEGUN("\"content\":\"\""), false, MK_IN_THOUGHT,
         MK_ASSISTANT_TAG MK_THINK "\n"},
        {"deepseek-v3.1", BEGUN(TEXT), true, MK_IN_ANSWER, MK_ASSISTANT_TAG MK_THINK_END "b\n"},
        {"deepseek-v3.1", BEGUN(BOTH), false, MK_IN_ANSWER, MK_ASSISTANT_TAG MK_THINK_END "b"},
        {"deepseek-v3.1", BEGUN(BOTH), true, MK_IN_ANSWER,
         MK_ASSISTANT_TAG MK_THINK "t" MK_THINK_END "b"},
        {"deepseek-v3.1", BEGUN(THOUGHT), true, MK_IN_THOUGHT, MK_ASSISTANT_TAG MK_THINK "t"},
        {"deepseek-v3.1", BEGUN(THOUGHT), false, MK_IN_THOUGHT, MK_ASSISTANT_TAG MK_THINK "t"},
        {"deepseek-v3.1", BEGUN("\"content\":\"\""), false, MK_IN_TURN,
         MK_ASSISTANT_TAG MK_THINK_END},
        {"deepseek-r1", AFTER_TOOL, true, MK_IN_ANSWER,
         MK_ASSISTANT_TAG MK_CALLS V3_CALL("f") MK_OUTPUTS MK_OUTPUT
         "r" MK_OUTPUT_END MK_OUTPUTS_END MK_THINK "\nt" MK_THINK_END "\n\nb"},
        {"deepseek-v3.1", AFTER_TOOL, true, MK_IN_ANSWER,
         MK_ASSISTANT_TAG MK_THINK_END V31_CALL MK_OUTPUT "r" MK_OUTPUT_END MK_THINK
                                                          "t" MK_THINK_END "b"},
        {"deepseek-v3.1", AFTER_TOOL, false, MK_IN_ANSWER,
         MK_ASSISTANT_TAG MK_THINK_END V31_CALL MK_OUTPUT "r" MK_OUTPUT_END "b"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mk_conversation c;
        struct mk_prompt p = {0};
        struct mk_err err;
        const struct mk_chat_options o = {.thinking = cases[i].thinking};
        parse(&c, cases[i].json);
        assert_true(c.continues);
        if (!mk_chat_render(&p, mk_template_find(cases[i].name), &c, &o, &err))
            fail_msg("%s: %s", cases[i].json, err.msg);
        const char *user = strstr(p.text.data, MK_USER_TAG "a");
        const char *rest = user ? user + strlen(MK_USER_TAG "a") : strstr(p.text.data, "Assistant");
        assert_string_equal(rest, cases[i].want);
        assert_int_equal(p.inside, cases[i].inside);
        mk_prompt_release(&p);
        mk_conversation_release(&c);
    }
}

static void not_continued(void **state)
{
    (void)state;
    static const struct {
        const char *name, *json, *why;
    } cases[] = {
        {"deepseek-v3.1", BEGUN("\"tool_calls\":[" CALL("f") "]"), "messages[1] has calls"},
        {"deepseek-v3", BEGUN(THOUGHT), "messages[1].reasoning_content"},
        {"deepseek-v2", BEGUN(THOUGHT), "deepseek-v2 has no thoughts"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mk_conversation c;
        struct mk_prompt p = {0};
        struct mk_err err;
        parse(&c, cases[i].json);
        assert_false(mk_chat_render(&p, mk_template_find(cases[i].name), &c,
                                    &(struct mk_chat_options){.thinking = true}, &err));
        assert_int_equal(err.code, MK_EUNSUPPORTED);
        assert_non_null(strstr(err.msg, cases[i].why));
        mk_conversation_release(&c);
    }
}

static void tools_listed(void **state)
{
    (void)state;
    static const char json[] =
        "{\"messages\":[{\"role\":\"system\",\"content\":\"S\"},"
        "{\"role\":\"user\",\"content\":\"a\"}],\"tools\":["
        "{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"Does \\u00e9.\","
        "\"parameters\":{\"type\":\"object\",\"properties\":{\"x\":{\"minimum\":0.1}}}}},"
        "{\"type\":\"function\",\"function\":{\"name\":\"<｜User｜>\"}}]}";
    static const char want[] =
        MK_BOS "S\n\n## Tools\nYou have access to the following tools:\n"
               "\n### f\nDescription: Does é.\n\nParameters: {\"type\": \"object\", "
               "\"properties\": {\"x\": {\"minimum\": 0.1}}}\n"
               "\n### <｜User｜>\nDescription: \n\nParameters: {}\n"
               "\nIMPORTANT: ALWAYS adhere to this exact format for tool use:\n"
               "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>tool_call_name<｜tool▁sep｜>"
               "tool_call_arguments<｜tool▁call▁end｜>{{additional_tool_calls}}"
               "<｜tool▁calls▁end｜>\n\nWhere:\n\n"
               "- `tool_call_name` must be an exact match to one of the available tools\n"
               "- `tool_call_arguments` must be valid JSON that strictly follows the tool's "
               "Parameters Schema\n"
               "- For multiple tool calls, chain them directly without separators or spaces\n"
               "<｜User｜>a<｜Assistant｜></think>";
    check("deepseek-v3.1", json, (struct mk_chat_options){0}, want);
    /* The others have no place for it. */
    check("deepseek-v3", json, (struct mk_chat_options){0},
          MK_BOS "S" MK_USER_TAG "a" MK_ASSISTANT_TAG);
    check("deepseek-v3.1", "{\"messages\":[],\"tools\":[]}", (struct mk_chat_options){0}, MK_BOS);
}

static void no_tools_in_v2(void **state)
{
    (void)state;
    struct mk_conversation c;
    struct mk_err err;
    struct mk_prompt p = {0};
    parse(&c, two_with_text);
    const char *const names[] = {"deepseek-v2", "deepseek-v2.5"};
    for (int i = 0; i < 2; i++) {
        assert_false(
            mk_chat_render(&p, mk_template_find(names[i]), &c, &(struct mk_chat_options){0}, &err));
        assert_int_equal(err.code, MK_EUNSUPPORTED);
        assert_non_null(strstr(err.msg, "messages[1]"));
        assert_non_null(strstr(err.msg, names[i]));
        assert_null(p.text.data);
    }
    mk_conversation_release(&c);
}

static void bad_tools_text(void **state)
{
    (void)state;
    struct mk_conversation c = {.tools = mk_strdup("[{]")};
    struct mk_err err;
    struct mk_prompt p = {0};
    const struct mk_template *t = mk_template_find("deepseek-v3.1");
    assert_false(mk_chat_render(&p, t, &c, &(struct mk_chat_options){0}, &err));
    assert_non_null(strstr(err.msg, "tools"));
    mk_conversation_release(&c);
}

/* Special tokens are spans of their own; everything else, whoever wrote it, is merged. */
static void spans(void **state)
{
    (void)state;
    struct mk_conversation c = {0};
    struct mk_prompt p = {0};
    struct mk_err err;
    mk_conversation_add(&c, MK_USER, MK_EOS, NULL);
    assert_true(mk_chat_render(&p, mk_template_find("deepseek-r1"), &c,
                               &(struct mk_chat_options){0}, &err));
    const char *const want[] = {MK_BOS, MK_USER_TAG, MK_EOS, MK_ASSISTANT_TAG, MK_THINK, "\n"};
    const bool special[] = {true, true, false, true, true, false};
    assert_int_equal(p.n_spans, 6);
    size_t at = 0;
    for (size_t i = 0; i < p.n_spans; at = p.spans[i++].end) {
        assert_int_equal(p.spans[i].is_special, special[i]);
        assert_int_equal(p.spans[i].end - at, strlen(want[i]));
        assert_memory_equal(p.text.data + at, want[i], strlen(want[i]));
    }
    mk_prompt_release(&p);

    mk_conversation_truncate(&c, 0);
    mk_conversation_add(&c, MK_USER, "a", NULL);
    assert_true(mk_chat_render(&p, mk_template_find("deepseek-v2"), &c,
                               &(struct mk_chat_options){0}, &err));
    assert_int_equal(p.n_spans, 2);
    mk_prompt_release(&p);
    mk_conversation_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(anchors),
        cmocka_unit_test(more),
        cmocka_unit_test(plain_words),
        cmocka_unit_test(text_and_calls),
        cmocka_unit_test(separate_reasoning),
        cmocka_unit_test(empty_text_is_no_text),
        cmocka_unit_test(inside),
        cmocka_unit_test(continued),
        cmocka_unit_test(not_continued),
        cmocka_unit_test(tools_listed),
        cmocka_unit_test(no_tools_in_v2),
        cmocka_unit_test(bad_tools_text),
        cmocka_unit_test(spans),
    };
    return cmocka_run_group_tests_name("chat/render", tests, NULL, NULL);
}
