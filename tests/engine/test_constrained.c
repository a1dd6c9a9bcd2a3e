/* Generations under a grammar, on the tiny random model that the build makes: whatever it would
 * rather say, the answer fits. */
#include "engine/generate.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct mk_engine *engine;
static struct mk_session *session;

static struct mk_grammar *schema(const char *json)
{
    struct mk_grammar *g;
    struct mk_err err;
    if (!mk_grammar_from_schema(&g, json, strlen(json), &err)) fail_msg("%s", err.msg);
    return g;
}

static struct mk_generation answer(const struct mk_grammar *g, const struct mk_sampling *set,
                                   size_t max_toks)
{
    static const int32_t prompt[] = {5, 20, 33, 47};
    struct mk_generation gen = {
        .session = session, .sampling = *set, .max_toks = max_toks, .grammar = g};
    struct mk_generation *list = &gen;
    struct mk_err err;
    mk_session_truncate(session, 0);
    if (!mk_generation_start(&gen, prompt, 4, &err)) fail_msg("%s", err.msg);
    while (gen.finish == MK_FINISH_NONE)
        assert_true(mk_generations_step(engine, &list, 1, 0, &err));
    return gen;
}

static const struct mk_sampling plain = {
    .temperature = 1, .top_p = 1, .repetition_penalty = 1, .seed = 1};

static void fits_the_schema(void **state)
{
    (void)state;
    struct mk_grammar *g = schema(
        "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"maxLength\":9},"
        "\"n\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":31},\"kind\":{\"enum\":[\"x\","
        "\"y\"]}},\"required\":[\"name\",\"n\",\"kind\"]}");
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct mk_sampling set = plain;
        set.seed = seed;
        set.temperature = seed ? 1.0f : 0.0f;
        set.top_k = seed % 3 ? 0 : 5;
        set.top_p = seed % 2 ? 1.0f : 0.5f;
        struct mk_generation a = answer(g, &set, 0);
        assert_int_equal(a.finish, MK_FINISH_STOP);
        json_t *v = json_loadb(mk_str_c(&a.text), a.text.len, 0, NULL);
        if (!v) fail_msg("%s", mk_str_c(&a.text));
        const json_int_t n = json_integer_value(json_object_get(v, "n"));
        assert_int_equal(json_object_size(v), 3);
        assert_true(n >= 1 && n <= 31);
        json_decref(v);
        mk_generation_release(&a);
    }
    mk_grammar_free(g);
}

/* The end comes by itself with the last token, without a pass that would only say so. */
static void ends_by_itself(void **state)
{
    (void)state;
    struct mk_grammar *g = schema("{\"const\":\"abc\"}");
    struct mk_generation a = answer(g, &plain, 0);
    assert_int_equal(a.finish, MK_FINISH_STOP);
    assert_string_equal(mk_str_c(&a.text), "\"abc\"");
    assert_int_equal(mk_session_pending(session), 0); /* the last token was not even appended */
    mk_generation_release(&a);
    a = answer(g, &plain, 2);
    assert_int_equal(a.finish, a.text.len == 5 ? MK_FINISH_STOP : MK_FINISH_LENGTH);
    mk_generation_release(&a);
    mk_grammar_free(g);
    struct mk_grammar_builder *b = mk_grammar_begin();
    struct mk_err err;
    assert_true(mk_grammar_finish(&g, b, mk_grammar_text(b, "", 0), &err));
    a = answer(g, &plain, 0);
    assert_int_equal(a.ids.n, 0);
    assert_int_equal(a.finish, MK_FINISH_STOP);
    mk_generation_release(&a);
    mk_grammar_free(g);
}

/* Where room runs out the answer is brought to its end: free strings, lists and nested values that
 * random weights would never close. */
static void closes_in_time(void **state)
{
    (void)state;
    static const struct {
        const char *schema;
        size_t least; /* bytes of the shortest answer */
    } cases[] = {
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}},\"required\":[\"a\"]}",
         8},
        {"{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"minItems\":2}", 7},
        {"{\"$defs\":{\"t\":{\"type\":\"object\",\"properties\":{\"v\":{\"type\":\"string\"},"
         "\"next\":"
         "{\"anyOf\":[{\"$ref\":\"#/$defs/"
         "t\"},{\"type\":\"null\"}]}},\"required\":[\"v\",\"next\"]}},"
         "\"$ref\":\"#/$defs/t\"}",
         22},
        {"true", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mk_grammar *g = schema(cases[i].schema);
        for (size_t max = cases[i].least; max < cases[i].least + 90; max += 1 + max / 8)
            for (uint64_t seed = 0; seed < 3; seed++) {
                struct mk_sampling set = plain;
                set.seed = seed;
                struct mk_generation a = answer(g, &set, max);
                json_t *v = json_loadb(mk_str_c(&a.text), a.text.len, JSON_DECODE_ANY, NULL);
                if (!v || a.finish != MK_FINISH_STOP)
                    fail_msg("%zu tokens: %s", max, mk_str_c(&a.text));
                json_decref(v);
                mk_generation_release(&a);
            }
        struct mk_generation a = answer(g, &plain, 1); /* what cannot be done is not tried */
        assert_int_equal(a.finish, cases[i].least > 1 ? MK_FINISH_LENGTH : MK_FINISH_STOP);
        mk_generation_release(&a);
        mk_grammar_free(g);
    }
}

/* A bias may forbid what the grammar demands; the grammar wins.  Probabilities are the model's. */
static void bias_and_logprobs(void **state)
{
    (void)state;
    struct mk_grammar *g = schema("{\"enum\":[\"a\",\"b\"]}");
    const size_t n_vocab = mk_engine_info(engine).n_vocab;
    struct mk_bias *bias = calloc(n_vocab, sizeof *bias);
    for (size_t i = 0; i < n_vocab; i++) bias[i] = (struct mk_bias){(int32_t)i, -INFINITY};
    struct mk_sampling set = plain;
    set.wants_logprobs = true, set.n_top = 3;
    struct mk_generation a = answer(g, &set, 0);
    assert_true(a.ids.n > 0 && a.sampled[0].logprob < 0);
    assert_true(a.sampled[0].top[0].logprob >= a.sampled[0].logprob);
    double sum = 0;
    for (size_t i = 0; i < 3; i++) sum += exp((double)a.sampled[0].top[i].logprob);
    assert_true(sum < 1);
    mk_generation_release(&a);
    set.bias = bias, set.n_bias = n_vocab;
    a = answer(g, &set, 0);
    assert_int_equal(a.finish, MK_FINISH_STOP);
    assert_int_equal(a.text.len, 3);
    mk_generation_release(&a);
    free(bias);
    mk_grammar_free(g);
}

/* A grammar that allows everything changes nothing. */
static void same_without(void **state)
{
    (void)state;
    const struct mk_tokenizer *t = mk_engine_tokenizer(engine, NULL);
    struct mk_grammar_builder *b = mk_grammar_begin();
    struct mk_grammar *g;
    struct mk_err err;
    assert_true(mk_grammar_finish(&g, b, mk_grammar_without(b, t, "no such text"), &err));
    struct mk_sampling set = plain;
    set.top_p = 0.9f;
    struct mk_generation x = answer(NULL, &set, 30), y = answer(g, &set, 30);
    assert_int_equal(x.ids.n, y.ids.n);
    assert_memory_equal(x.ids.v, y.ids.v, x.ids.n * sizeof *x.ids.v);
    mk_generation_release(&x);
    mk_generation_release(&y);
    mk_grammar_free(g);
}

static int setup(void **state)
{
    (void)state;
    const struct mk_engine_options o = {.n_threads = 1, .kv_type = MK_F16};
    struct mk_err err;
    if (!mk_engine_open(&engine, "build/tiny", &o, &err) ||
        !mk_session_new(&session, engine, 400, &err))
        fail_msg("%s", err.msg);
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    mk_session_free(session);
    mk_engine_close(engine);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fits_the_schema), cmocka_unit_test(ends_by_itself),
        cmocka_unit_test(closes_in_time),  cmocka_unit_test(bias_and_logprobs),
        cmocka_unit_test(same_without),
    };
    return cmocka_run_group_tests_name("constrained", tests, setup, teardown);
}
