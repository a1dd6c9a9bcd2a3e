/* Which template a checkpoint wants. */
#include "chat_test.h"

/* Texts with what the official templates are known by; they render nothing here. */
#define V3_HEAD "{%set ns.is_first_sp=true%}{{'" MK_USER_TAG "'+x}}{{'" MK_ASSISTANT_TAG "'}}"
#define R1_HEAD "{{'" MK_USER_TAG "'}}{% set content = content.split('</think>')[-1] %}"
#define OUTPUTS "{{'\n' + '```json' + '" MK_OUTPUTS "'}}"
#define V31 \
    "is_last_user {{'" MK_USER_TAG "'}}{{'" MK_ASSISTANT_TAG MK_THINK_END "'}}{{'" MK_OUTPUT "'}}"
#define V2(n)                                                            \
    "{{ 'User: ' + message['content'] + '" n n "' }}{{ 'Assistant: ' + " \
    "message['content'] + eos_token }}{{ 'Assistant:' }}"

static const char *const tokens[] = {MK_BOS,           MK_EOS,   MK_USER_TAG,
                                     MK_ASSISTANT_TAG, MK_THINK, MK_THINK_END};
enum { NO_ROLES = 2, NO_THINK = 4, ALL = 6 }; /* how many of them a tokenizer has */

static const struct mk_template *detect(const char *pre, const char *text, size_t n_tokens,
                                        struct mk_err *err)
{
    struct mk_tokenizer *t = tiny_tokenizer(pre, text, tokens, n_tokens);
    const struct mk_template *found = NULL;
    const bool ok = mk_template_detect(&found, t, err);
    assert_int_equal(ok, found != NULL);
    mk_tokenizer_free(t);
    return found;
}

static void by_text(void **state)
{
    (void)state;
    static const struct {
        const char *pre, *text, *want;
    } cases[] = {
        {"deepseek-llm", V2("\\n"), "deepseek-v2"},
        {"deepseek-llm", V2("\n"), "deepseek-v2"},
        {"deepseek-llm", "{{'" MK_USER_TAG "'}}{{'" MK_ASSISTANT_TAG "'}}", "deepseek-v2.5"},
        {"deepseek-v3", V3_HEAD OUTPUTS, "deepseek-v3"},
        {"deepseek-v3", R1_HEAD OUTPUTS, "deepseek-r1"},
        {"qwen2", R1_HEAD OUTPUTS, "r1-distill-qwen"},
        {"deepseek-r1-qwen", R1_HEAD OUTPUTS, "r1-distill-qwen"},
        {"llama-bpe", R1_HEAD OUTPUTS, "r1-distill-llama"},
        {"deepseek-coder", R1_HEAD OUTPUTS, "deepseek-r1"}, /* none: the first */
        {"deepseek-v3", V31, "deepseek-v3.1"},
        {"qwen2", V31, "deepseek-v3.1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mk_err err = {0};
        const struct mk_template *t = detect(cases[i].pre, cases[i].text, ALL, &err);
        if (!t) fail_msg("case %zu: %s", i, err.msg);
        assert_string_equal(t->name, cases[i].want);
    }
}

static void thinks_by_default(void **state)
{
    (void)state;
    static const struct {
        const char *pre, *text;
        bool want;
    } cases[] = {
        {"deepseek-v3", V31, false},
        {"deepseek-v3", "{% if not thinking is defined %}{% set thinking = false %}" V31, false},
        {"deepseek-v3", "{% set thinking = true %}" V31, true},
        {"deepseek-v3", V3_HEAD OUTPUTS "{% set thinking = true %}", false}, /* knows no thoughts */
        {"deepseek-v3", R1_HEAD OUTPUTS, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mk_tokenizer *t = tiny_tokenizer(cases[i].pre, cases[i].text, tokens, ALL);
        const struct mk_template *found;
        struct mk_err err;
        if (!mk_template_detect(&found, t, &err)) fail_msg("case %zu: %s", i, err.msg);
        assert_int_equal(mk_template_thinks(found, t), cases[i].want);
        mk_tokenizer_free(t);
    }
}

static void unknown_text(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{%- for m in messages %}\n{{ '<|im_start|>' + m['role'] }}",
        "{{ 'User: ' + message['content'] + '\\n' }}", /* not V2's empty line */
        R1_HEAD OUTPUTS "is_first_sp is_last_user",    /* R1-0528 */
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct mk_err err = {0};
        assert_null(detect("deepseek-v3", texts[i], ALL, &err));
        assert_int_equal(err.code, MK_EUNSUPPORTED);
        assert_non_null(strstr(err.msg, "--template"));
        char start[16];
        snprintf(start, sizeof start, "\"%.10s", texts[i]);
        assert_non_null(strstr(err.msg, start));
        assert_null(strchr(err.msg, '\n'));
        for (size_t k = 0; mk_templates[k]; k++)
            assert_non_null(strstr(err.msg, mk_templates[k]->name));
    }
}

static void by_tokens(void **state)
{
    (void)state;
    static const struct {
        const char *pre;
        size_t n_tokens;
        const char *want;
    } cases[] = {
        {"deepseek-llm", NO_ROLES, "deepseek-v2"}, {"deepseek-llm", NO_THINK, "deepseek-v2.5"},
        {"deepseek-v3", NO_THINK, "deepseek-v3"},  {"qwen2", ALL, "r1-distill-qwen"},
        {"llama-bpe", ALL, "r1-distill-llama"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mk_err err = {0};
        const struct mk_template *t = detect(cases[i].pre, NULL, cases[i].n_tokens, &err);
        if (!t) fail_msg("case %zu: %s", i, err.msg);
        assert_string_equal(t->name, cases[i].want);
    }
}

static void tokens_do_not_say(void **state)
{
    (void)state;
    struct mk_err err = {0};
    assert_null(detect("deepseek-v3", NULL, ALL, &err)); /* R1 or V3.1 */
    assert_non_null(strstr(err.msg, "--template: deepseek-r1, deepseek-v3.1"));
    assert_null(detect("qwen2", NULL, NO_ROLES, &err)); /* a Qwen */
    assert_non_null(strstr(err.msg, "no template"));
    assert_non_null(strstr(err.msg, "deepseek-v2,"));
    assert_null(detect("deepseek-v3", NULL, NO_ROLES, &err));
}

/* The official files, where they are at hand. */
static void official_texts(void **state)
{
    (void)state;
    static const struct {
        const char *file, *pre, *want;
    } cases[] = {
        {"deepseek-v3.tokenizer_config.jinja", "deepseek-v3", "deepseek-v3"},
        {"deepseek-r1-distill.official.jinja", "deepseek-v3", "deepseek-r1"},
        {"deepseek-r1-distill.official.jinja", "qwen2", "r1-distill-qwen"},
        {"deepseek-r1-distill.official.jinja", "llama-bpe", "r1-distill-llama"},
        {"deepseek-v3.1.llamacpp-mainline.jinja", "deepseek-v3", "deepseek-v3.1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char path[128];
        snprintf(path, sizeof path, "../shared/golden/templates/%s", cases[i].file);
        if (!mk_file_exists(path)) {
            print_message("skipped: no %s\n", path);
            continue;
        }
        struct mk_str text = {0};
        struct mk_err err = {0};
        assert_true(mk_file_read(&text, path, 1 << 20, &err));
        const struct mk_template *t = detect(cases[i].pre, text.data, ALL, &err);
        if (!t) fail_msg("%s: %s", path, err.msg);
        assert_string_equal(t->name, cases[i].want);
        mk_str_release(&text);
    }
}

static void list(void **state)
{
    (void)state;
    for (size_t i = 0; mk_templates[i]; i++) {
        const struct mk_template *t = mk_templates[i];
        assert_ptr_equal(mk_template_find(t->name), t); /* names are unique */
        assert_true(t->can_think || t->can_not_think);
        assert_int_equal(t->can_think, t->think_close != NULL);
        assert_non_null(t->about);
        assert_non_null(t->stops);
    }
    assert_null(mk_template_find("deepseek"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_text),
        cmocka_unit_test(thinks_by_default),
        cmocka_unit_test(unknown_text),
        cmocka_unit_test(by_tokens),
        cmocka_unit_test(tokens_do_not_say),
        cmocka_unit_test(official_texts),
        cmocka_unit_test(list),
    };
    return cmocka_run_group_tests_name("chat/detect", tests, NULL, NULL);
}
