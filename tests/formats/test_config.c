/* Look-ups in config.json, generation_config.json and GGUF metadata. */
#include "helpers.h"

#include "formats/config.h"
#include "formats/safetensors.h"

#include <math.h>

static const char config_json[] =
    "{\"model_type\":\"deepseek_v3\",\"n\":61,\"real\":0.5,\"whole\":4096.0,\"yes\":true,"
    "\"no\":false,\"nothing\":null,\"text\":\"yarn\",\"list\":[1,2,3],\"mixed\":[1,\"x\"],"
    "\"big\":9007199254740993,\"deep\":{\"er\":{\"n\":7}},\"huge\":1e300,"
    "\"generation_config\":{\"n\":1}}";

static struct mk_config parse(const char *text)
{
    struct mk_config c;
    struct mk_err err;
    CHECK_OK(mk_config_parse(&c, text, strlen(text), "dir/config.json", &err), err);
    return c;
}

static void test_json(void **state)
{
    (void)state;
    struct mk_config c = parse(config_json);
    struct mk_err err;
    int64_t i = 0, list[4];
    double f = 0;
    bool b = false;
    char s[5];
    size_t n;
    assert_string_equal(c.arch, "deepseek_v3");
    assert_false(c.is_gguf);
    assert_true(mk_config_has(&c, "n", NULL) && mk_config_has(&c, "deep.er", NULL));
    assert_false(mk_config_has(&c, "nothing", NULL) || mk_config_has(&c, NULL, "n") ||
                 mk_config_has(&c, "n.n", NULL) || mk_config_has(&c, "", NULL) ||
                 mk_config_has(&c, "deep..n", NULL) ||
                 mk_config_has(&c, "generation_config.n", NULL));
    assert_true(mk_config_int(&c, "n", NULL, 61, 61, -1, &i, &err) && i == 61);
    assert_true(mk_config_int(&c, "big", NULL, 0, INT64_MAX, -1, &i, &err) &&
                i == 9007199254740993);
    assert_true(mk_config_int(&c, "whole", NULL, 0, 5000, -1, &i, &err) && i == 4096);
    assert_true(mk_config_int(&c, "deep.er.n", NULL, 0, 9, -1, &i, &err) && i == 7);
    assert_true(mk_config_int(&c, "nothing", NULL, 0, 9, -1, &i, &err) && i == -1);
    assert_true(mk_config_int(&c, NULL, "n", 0, 9, -2, &i, &err) && i == -2);
    assert_true(mk_config_need(&c, "n", NULL, 0, 99, &i, &err) && i == 61);
    assert_true(mk_config_float(&c, "real", NULL, 0, 1, -1, &f, &err) && f == 0.5);
    assert_true(mk_config_float(&c, "n", NULL, 0, 100, -1, &f, &err) && f == 61);
    assert_true(mk_config_float(&c, "x", NULL, 0, 1, -1, &f, &err) && f == -1);
    assert_true(mk_config_bool(&c, "yes", NULL, false, &b, &err) && b);
    assert_true(mk_config_bool(&c, "no", NULL, true, &b, &err) && !b);
    assert_true(mk_config_bool(&c, "x", NULL, true, &b, &err) && b);
    assert_true(mk_config_str(&c, "text", NULL, "", s, sizeof s, &err));
    assert_string_equal(s, "yarn");
    assert_true(mk_config_str(&c, "x", NULL, "dft", s, sizeof s, &err));
    assert_string_equal(s, "dft");
    assert_true(mk_config_ints(&c, "list", NULL, 0, 9, list, 4, &n, &err));
    assert_true(n == 3 && list[0] == 1 && list[2] == 3);
    assert_true(mk_config_ints(&c, "n", NULL, 0, 99, list, 4, &n, &err) && n == 1 && list[0] == 61);
    assert_true(mk_config_ints(&c, "x", NULL, 0, 99, list, 4, &n, &err) && n == 0);
    mk_config_close(&c);
    mk_config_close(&c); /* zeroed is valid */
}

static void test_json_wrong(void **state)
{
    (void)state;
    struct mk_config c = parse(config_json);
    struct mk_err err;
    int64_t i = 77, list[2] = {0};
    double f = 77;
    bool b = true;
    char s[4] = "old";
    size_t n = 77;
    assert_false(mk_config_int(&c, "n", NULL, 0, 60, 0, &i, &err));
    check_message(&err, MK_EFORMAT, "dir/config.json: key n is 61, want an integer in [0, 60]");
    assert_false(mk_config_int(&c, "n", NULL, 62, 99, 0, &i, &err));
    assert_false(mk_config_int(&c, "text", NULL, 0, 60, 0, &i, &err));
    check_message(&err, MK_EFORMAT, "key text is \"yarn\", want an integer");
    assert_false(mk_config_int(&c, "real", NULL, 0, 60, 0, &i, &err));
    check_message(&err, MK_EFORMAT, "key real is 0.5, want an integer");
    assert_false(mk_config_int(&c, "huge", NULL, 0, INT64_MAX, 0, &i, &err));
    assert_false(mk_config_int(&c, "yes", NULL, 0, 60, 0, &i, &err));
    check_message(&err, MK_EFORMAT, "key yes is true");
    assert_false(mk_config_int(&c, "deep", NULL, 0, 60, 0, &i, &err));
    check_message(&err, MK_EFORMAT, "key deep is an object");
    assert_false(mk_config_need(&c, "deep.x", NULL, 0, 60, &i, &err));
    check_message(&err, MK_EFORMAT, "dir/config.json: key deep.x is missing");
    assert_false(mk_config_need(&c, "nothing", NULL, 0, 60, &i, &err));
    assert_false(mk_config_float(&c, "huge", NULL, 0, 1e9, 0, &f, &err));
    check_message(&err, MK_EFORMAT, "key huge is 1e+300, want a number in [0, 1e+09]");
    assert_false(mk_config_float(&c, "no", NULL, 0, 1, 0, &f, &err));
    assert_false(mk_config_bool(&c, "n", NULL, false, &b, &err));
    check_message(&err, MK_EFORMAT, "key n is 61, want true or false");
    assert_false(mk_config_str(&c, "text", NULL, "", s, 4, &err));
    check_message(&err, MK_EFORMAT, "key text is \"yarn\", want at most 3 bytes");
    assert_false(mk_config_str(&c, "n", NULL, "", s, 4, &err));
    assert_false(mk_config_ints(&c, "list", NULL, 0, 9, list, 2, &n, &err));
    check_message(&err, MK_EFORMAT, "key list is an array, want at most 2 integers");
    assert_false(mk_config_ints(&c, "mixed", NULL, 0, 9, list, 2, &n, &err));
    check_message(&err, MK_EFORMAT, "element 1");
    assert_true(i == 77 && f == 77 && b && n == 77 && !strcmp(s, "old")); /* untouched */
    mk_config_close(&c);
}

static void test_bad_json(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *fragment;
    } cases[] = {
        {"", "f: line 1"},
        {"{\n\"a\":", "f: line 2"},
        {"[]", "f: not a JSON object"},
        {"{}", "f: model_type is missing"},
        {"{\"model_type\":7}", "f: model_type is not a string"},
        {"{\"model_type\":\"\"}", "f: model_type is empty"},
        {"{\"model_type\":\"a\",\"model_type\":\"b\"}", "duplicate object key"},
        {"{\"model_type\":\"a\\u0000\"}", "\\u0000 is not allowed"},
        {"{\"model_type\":\"a\"} x", "end of file expected"},
        {"{\"model_type\":\"\xff\"}", "unable to decode byte 0xff"},
    };
    struct mk_config c = {0};
    struct mk_err err;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_false(mk_config_parse(&c, cases[i].text, strlen(cases[i].text), "f", &err));
        check_message(&err, MK_EFORMAT, cases[i].fragment);
    }
    char *deep = malloc(10000);
    assert_non_null(deep);
    memset(deep, '[', 10000);
    assert_false(mk_config_parse(&c, deep, 10000, "f", &err));
    check_message(&err, MK_EFORMAT, "maximum parsing depth");
    assert_false(mk_config_parse(&c, deep, (4 << 20) + 1, "f", &err));
    check_message(&err, MK_ELIMIT, "limit 4194304");
    free(deep);
}

/* The same numbers from old and new spellings. */
static void test_rope(void **state)
{
    (void)state;
    static const char *const same[] = {
        "{\"model_type\":\"m\",\"rope_theta\":500,\"rope_scaling\":{\"type\":\"yarn\",\"factor\":"
        "40}}",
        "{\"model_type\":\"m\",\"rope_theta\":500,"
        "\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":40.0}}",
        "{\"model_type\":\"m\",\"rope_scaling\":null,"
        "\"rope_parameters\":{\"rope_type\":\"yarn\",\"factor\":40,\"rope_theta\":500}}",
        "{\"model_type\":\"m\",\"rope_parameters\":{\"type\":\"yarn\",\"factor\":40,"
        "\"rope_theta\":500}}",
    };
    struct mk_err err;
    double factor = 0, theta = 0;
    char type[8], rope_type[8];
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        struct mk_config c = parse(same[i]);
        CHECK_OK(mk_config_float(&c, "rope_scaling.factor", NULL, 0, 99, -1, &factor, &err), err);
        CHECK_OK(mk_config_float(&c, "rope_theta", NULL, 0, 999, -1, &theta, &err), err);
        CHECK_OK(mk_config_str(&c, "rope_scaling.type", NULL, "", type, 8, &err), err);
        CHECK_OK(mk_config_str(&c, "rope_scaling.rope_type", NULL, "", rope_type, 8, &err), err);
        assert_true(factor == 40 && theta == 500);
        assert_string_equal(type, "yarn");
        assert_string_equal(rope_type, "yarn");
        mk_config_close(&c);
    }
    struct mk_config c = parse("{\"model_type\":\"m\",\"rope_parameters\":"
                               "{\"rope_type\":\"default\",\"rope_theta\":500}}");
    assert_true(mk_config_float(&c, "rope_theta", NULL, 0, 999, -1, &theta, &err) && theta == 500);
    assert_false(mk_config_has(&c, "rope_scaling", NULL)); /* as null in older files */
    mk_config_close(&c);
    c = parse("{\"model_type\":\"m\",\"rope_scaling\":7}");
    assert_false(mk_config_has(&c, "rope_scaling.type", NULL));
    mk_config_close(&c);
}

static void put_text(void *const *state, const char *file, const char *text)
{
    char path[MAX_PATH];
    put_file(in_dir(path, state, file), text, strlen(text));
}

static void test_folder(void **state)
{
    const struct mk_tensor one = {.name = "a", .type = MK_U8, .n_dims = 1, .dims = {1}};
    struct mk_st_writer *w;
    struct mk_err err;
    struct mk_tensors t;
    struct mk_config c;
    char path[MAX_PATH];
    double f = 0;
    CHECK_OK(mk_st_writer_open(&w, in_dir(path, state, "model.safetensors"), &one, 1, NULL, &err),
             err);
    CHECK_OK(mk_st_writer_add(w, "x", 1, &err), err);
    CHECK_OK(mk_st_writer_close(w, &err), err);
    CHECK_OK(mk_tensors_open(&t, path, &err), err); /* the file: config.json lies beside it */
    assert_false(mk_config_open(&c, &t, &err));
    check_message(&err, MK_EFORMAT, "config.json: this part of the model is missing");
    put_text(state, "config.json", config_json);
    CHECK_OK(mk_config_open(&c, &t, &err), err);
    assert_false(mk_config_has(&c, "generation_config.n", NULL)); /* no such file */
    mk_config_close(&c);
    put_text(state, "generation_config.json", "{\"temperature\":0.6,\"top_p\":\"x\"}");
    CHECK_OK(mk_config_open(&c, &t, &err), err);
    CHECK_OK(mk_config_float(&c, "generation_config.temperature", NULL, 0, 9, -1, &f, &err), err);
    assert_true(f == 0.6);
    assert_false(mk_config_float(&c, "generation_config.top_p", NULL, 0, 1, -1, &f, &err));
    check_message(&err, MK_EFORMAT, "/generation_config.json: key top_p is \"x\"");
    mk_config_close(&c);
    /* The same without weights. */
    in_dir(path, state, "config.json");
    CHECK_OK(mk_config_open_json(&c, path, &err), err);
    assert_true(mk_config_has(&c, "generation_config.temperature", NULL));
    mk_config_close(&c);
    assert_false(mk_config_open_json(&c, in_dir(path, state, "absent.json"), &err));
    check_message(&err, MK_EIO, "absent.json");
    put_text(state, "generation_config.json", "[");
    assert_false(mk_config_open(&c, &t, &err));
    check_message(&err, MK_EFORMAT, "generation_config.json: line 1");
    mk_tensors_close(&t);
}

static void write_gguf(const char *path)
{
    static const int32_t ids[] = {1, 2};
    static const struct mk_gguf_str strs[] = {{"a", 1}};
    struct mk_gguf_writer *w;
    struct mk_err err;
    CHECK_OK(mk_gguf_writer_open(&w, path, &err), err);
    mk_gguf_put_str(w, "general.architecture", "deepseek2", 9);
    mk_gguf_put_u32(w, "deepseek2.n", 61);
    mk_gguf_put_u64(w, "deepseek2.big", UINT64_MAX);
    mk_gguf_put_kv(w, &(struct mk_gguf_kv){.key = "deepseek2.neg", .type = MK_GGUF_I8, .i = -3});
    mk_gguf_put_f32(w, "deepseek2.f", 0.5F);
    mk_gguf_put_f32(w, "deepseek2.nan", NAN);
    mk_gguf_put_bool(w, "deepseek2.yes", true);
    mk_gguf_put_str(w, "deepseek2.nul", "a\0b", 3);
    mk_gguf_put_i32s(w, "deepseek2.ids", ids, 2);
    mk_gguf_put_strs(w, "deepseek2.strs", strs, 1);
    mk_gguf_put_str(w, "tokenizer.ggml.model", "gpt2", 4);
    CHECK_OK(mk_gguf_writer_tensors(w, NULL, 0, &err), err);
    CHECK_OK(mk_gguf_writer_close(w, &err), err);
}

static void check_gguf_wrong(const struct mk_config *c)
{
    struct mk_err err;
    int64_t i, list[4];
    double f;
    bool b;
    char s[16];
    size_t n;
    assert_false(mk_config_int(c, NULL, "big", 0, INT64_MAX, 0, &i, &err));
    check_message(&err, MK_EFORMAT, "key deepseek2.big is 18446744073709551615, want");
    assert_false(mk_config_int(c, NULL, "neg", 0, 9, 0, &i, &err));
    check_message(&err, MK_EFORMAT, "key deepseek2.neg is -3");
    assert_false(mk_config_float(c, NULL, "nan", -1e300, 1e300, 0, &f, &err));
    check_message(&err, MK_EFORMAT, "key deepseek2.nan is nan");
    assert_false(mk_config_bool(c, NULL, "n", false, &b, &err));
    assert_false(mk_config_str(c, NULL, "nul", "", s, sizeof s, &err));
    check_message(&err, MK_EFORMAT, "is \"a\\x00b\", want at most 15 bytes without NUL");
    assert_false(mk_config_str(c, NULL, "ids", "", s, sizeof s, &err));
    check_message(&err, MK_EFORMAT, "is an array of 2, want a string");
    assert_false(mk_config_ints(c, NULL, "strs", 0, 9, list, 4, &n, &err));
    check_message(&err, MK_EFORMAT, "element 0");
    assert_false(mk_config_need(c, NULL, "absent", 0, 9, &i, &err));
    check_message(&err, MK_EFORMAT, "g.gguf: key deepseek2.absent is missing");
}

static void test_gguf(void **state)
{
    struct mk_tensors t;
    struct mk_config c;
    struct mk_err err;
    int64_t i = 0, list[4];
    double f = 0;
    bool b = false;
    char s[16], path[MAX_PATH];
    size_t n;
    write_gguf(in_dir(path, state, "g.gguf"));
    CHECK_OK(mk_tensors_open(&t, path, &err), err);
    CHECK_OK(mk_config_open(&c, &t, &err), err);
    assert_true(c.is_gguf);
    assert_string_equal(c.arch, "deepseek2");
    assert_true(mk_config_has(&c, NULL, "n") && mk_config_has(&c, NULL, ".tokenizer.ggml.model"));
    assert_false(mk_config_has(&c, "n", NULL) || mk_config_has(&c, NULL, "tokenizer.ggml.model"));
    assert_true(mk_config_int(&c, "x", "n", 0, 99, -1, &i, &err) && i == 61);
    assert_true(mk_config_int(&c, "x", "neg", -9, 99, -1, &i, &err) && i == -3);
    assert_true(mk_config_int(&c, "x", "absent", 0, 99, -1, &i, &err) && i == -1);
    assert_true(mk_config_float(&c, "x", "f", 0, 1, -1, &f, &err) && f == 0.5);
    assert_true(mk_config_float(&c, "x", "n", 0, 99, -1, &f, &err) && f == 61);
    assert_true(mk_config_bool(&c, "x", "yes", false, &b, &err) && b);
    assert_true(mk_config_str(&c, "x", ".tokenizer.ggml.model", "", s, sizeof s, &err));
    assert_string_equal(s, "gpt2");
    assert_true(mk_config_ints(&c, "x", "ids", 0, 9, list, 4, &n, &err));
    assert_true(n == 2 && list[1] == 2);
    assert_true(mk_config_ints(&c, "x", "n", 0, 99, list, 4, &n, &err) && n == 1 && list[0] == 61);
    check_gguf_wrong(&c);
    mk_config_close(&c);
    mk_tensors_close(&t);
}

static void test_gguf_no_arch(void **state)
{
    static const struct {
        const char *arch, *fragment;
    } cases[] = {
        {NULL, "general.architecture is missing"},
        {"", "empty general.architecture"},
        {"a\nb", "a\\x0ab has a control character"},
        {"0123456789012345678901234567890123456789012345678901234567890123", "is too long"},
    };
    struct mk_gguf_writer *w;
    struct mk_tensors t;
    struct mk_config c;
    struct mk_err err;
    char path[MAX_PATH];
    in_dir(path, state, "g.gguf");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *arch = cases[i].arch;
        CHECK_OK(mk_gguf_writer_open(&w, path, &err), err);
        if (arch) mk_gguf_put_str(w, "general.architecture", arch, strlen(arch));
        CHECK_OK(mk_gguf_writer_tensors(w, NULL, 0, &err), err);
        CHECK_OK(mk_gguf_writer_close(w, &err), err);
        CHECK_OK(mk_tensors_open(&t, path, &err), err);
        assert_false(mk_config_open(&c, &t, &err));
        check_message(&err, MK_EFORMAT, cases[i].fragment);
        mk_tensors_close(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_json_wrong),
        cmocka_unit_test(test_bad_json),
        cmocka_unit_test(test_rope),
        cmocka_unit_test_setup_teardown(test_folder, temp_setup, temp_teardown),
        cmocka_unit_test_setup_teardown(test_gguf, temp_setup, temp_teardown),
        cmocka_unit_test_setup_teardown(test_gguf_no_arch, temp_setup, temp_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
