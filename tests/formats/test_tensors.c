/* Opening folders, shards and split sets, and what can be wrong with them. */
#include "helpers.h"

#include "formats/gguf.h"
#include "formats/safetensors.h"
#include "formats/tensors.h"

#define INDEX "model.safetensors.index.json"

static void write_st(void *const *state, const char *file, const char *const *names, size_t n)
{
    struct mk_tensor list[8];
    char path[MAX_PATH];
    struct mk_st_writer *w;
    struct mk_err err;
    for (size_t i = 0; i < n; i++)
        list[i] = (struct mk_tensor){.name = names[i], .type = MK_U8, .n_dims = 1, .dims = {1}};
    CHECK_OK(mk_st_writer_open(&w, in_dir(path, state, file), list, n, NULL, &err), err);
    for (size_t i = 0; i < n; i++) CHECK_OK(mk_st_writer_add(w, names[i], 1, &err), err);
    CHECK_OK(mk_st_writer_close(w, &err), err);
}

/* One part of a split set with one tensor; count 0: no split keys. */
static void write_gguf(void *const *state, const char *file, const char *name, uint32_t no,
                       uint32_t count, uint32_t n_all)
{
    const struct mk_tensor t = {.name = name, .type = MK_I8, .n_dims = 1, .dims = {1}};
    char path[MAX_PATH];
    struct mk_gguf_writer *w;
    struct mk_err err;
    CHECK_OK(mk_gguf_writer_open(&w, in_dir(path, state, file), &err), err);
    mk_gguf_put_str(w, "general.architecture", name, strlen(name));
    if (count) {
        mk_gguf_put_kv(w, &(struct mk_gguf_kv){.key = "split.no", .type = MK_GGUF_U16, .u = no});
        mk_gguf_put_kv(w,
                       &(struct mk_gguf_kv){.key = "split.count", .type = MK_GGUF_U16, .u = count});
        mk_gguf_put_u32(w, "split.tensors.count", n_all);
    }
    CHECK_OK(mk_gguf_writer_tensors(w, &t, 1, &err), err);
    CHECK_OK(mk_gguf_writer_add(w, name, 1, &err), err);
    CHECK_OK(mk_gguf_writer_close(w, &err), err);
}

static void put_text(void *const *state, const char *file, const char *text)
{
    char path[MAX_PATH];
    put_file(in_dir(path, state, file), text, strlen(text));
}

static void check_found(const struct mk_tensors *t, const char *name)
{
    const struct mk_tensor *found = mk_tensors_find(t, name);
    assert_non_null(found);
    assert_string_equal(found->name, name);
    assert_int_equal(*found->data, name[0]);
}

static void check_fails(void *const *state, const char *file, enum mk_code code,
                        const char *fragment)
{
    struct mk_tensors t;
    struct mk_err err = {0};
    char path[MAX_PATH];
    if (mk_tensors_open(&t, file ? in_dir(path, state, file) : (const char *)*state, &err))
        fail_msg("opened, want %s", fragment);
    check_message(&err, code, fragment);
}

static void test_single(void **state)
{
    static const char *const names[] = {"b", "c", "a"};
    struct mk_tensors t;
    struct mk_err err;
    char path[MAX_PATH];
    check_fails(state, NULL, MK_EFORMAT, "no *.safetensors and no *.gguf");
    check_fails(state, "nothing", MK_EIO, "No such file");
    write_gguf(state, "x.gguf", "g", 0, 0, 0);
    CHECK_OK(mk_tensors_open(&t, *state, &err), err); /* a single GGUF */
    check_found(&t, "g");
    assert_non_null(t.gguf);
    mk_tensors_close(&t);
    write_st(state, "y.safetensors", names, 3);
    CHECK_OK(mk_tensors_open(&t, *state, &err), err); /* safetensors come first */
    assert_null(t.gguf);
    assert_int_equal(t.n, 3);
    assert_string_equal(t.list[0].name, "b"); /* in the order of the file */
    for (int i = 0; i < 3; i++) check_found(&t, names[i]);
    assert_null(mk_tensors_find(&t, "d"));
    assert_string_equal(mk_tensors_dir(&t), *state);
    mk_tensors_close(&t);
    mk_tensors_close(&t); /* zeroed is valid */
    CHECK_OK(mk_tensors_open(&t, in_dir(path, state, "x.gguf"), &err), err);
    assert_string_equal(mk_tensors_dir(&t), *state);
    assert_string_equal(t.path, path);
    mk_tensors_close(&t);
    write_st(state, "z.safetensors", names, 1);
    check_fails(state, NULL, MK_EUSAGE, "several models");
    write_st(state, "model.safetensors", names, 2);
    CHECK_OK(mk_tensors_open(&t, *state, &err), err); /* the usual name settles it */
    assert_int_equal(t.n, 2);
    mk_tensors_close(&t);
}

static void test_content_not_name(void **state)
{
    struct mk_tensors t;
    struct mk_err err;
    char path[MAX_PATH];
    write_gguf(state, "model.safetensors", "g", 0, 0, 0);
    CHECK_OK(mk_tensors_open(&t, in_dir(path, state, "model.safetensors"), &err), err);
    assert_non_null(t.gguf);
    mk_tensors_close(&t);
    put_text(state, "empty", "");
    check_fails(state, "empty", MK_EFORMAT, "neither safetensors nor GGUF");
    put_text(state, "noise", "\x1b[31m\nhello");
    check_fails(state, "noise", MK_EFORMAT, "begins with \"\\x1b[31m\\x0ahe\"");
    put_text(state, "lfs", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n");
    check_fails(state, "lfs", MK_EFORMAT, "a Git LFS pointer");
    put_text(state, "zip", "PK\3\4....");
    check_fails(state, "zip", MK_EUNSUPPORTED, "PyTorch or zip archive");
    check_fails(state, "lfs/x", MK_EIO, "Not a directory");
}

static void test_duplicates(void **state)
{
    static const char *const names[] = {"a", "twin", "twin"};
    write_st(state, "model.safetensors", names, 3);
    check_fails(state, NULL, MK_EFORMAT, "model.safetensors: tensor twin appears twice");
}

static void write_shards(void *const *state)
{
    static const char *const first[] = {"a", "b"}, *const second[] = {"c"};
    write_st(state, "s1.safetensors", first, 2);
    write_st(state, "s2.safetensors", second, 1);
}

static void test_shards(void **state)
{
    struct mk_tensors t;
    struct mk_err err;
    write_shards(state);
    put_text(state, INDEX,
             "{\"metadata\":{\"total_size\":3},\"weight_map\":{\"c\":\"s2.safetensors\","
             "\"a\":\"s1.safetensors\",\"b\":\"s1.safetensors\"}}\n");
    CHECK_OK(mk_tensors_open(&t, *state, &err), err);
    assert_int_equal(t.n, 3);
    check_found(&t, "a");
    check_found(&t, "b");
    check_found(&t, "c");
    assert_ptr_equal(mk_tensors_find(&t, "a")->file, mk_tensors_find(&t, "b")->file);
    assert_non_null(strstr(mk_tensors_find(&t, "c")->file, "/s2.safetensors"));
    mk_tensors_close(&t);
}

static void test_bad_index(void **state)
{
    static const struct {
        const char *text;
        enum mk_code code;
        const char *fragment;
    } cases[] = {
        {"", MK_EFORMAT, INDEX ": JSON byte 0: want {"},
        {"{}", MK_EFORMAT, "weight_map is missing or empty"},
        {"{\"weight_map\":{}}", MK_EFORMAT, "weight_map is missing or empty"},
        {"{\"weight_map\":[]}", MK_EFORMAT, "want {"},
        {"{\"weight_map\":{\"a\":1}}", MK_EFORMAT, "weight_map: a is not a string"},
        {"{\"weight_map\":{\"a\":\"\"}}", MK_EFORMAT, "empty weight_map file"},
        {"{\"weight_map\":{\"a\":\"../s1.safetensors\"}}", MK_EFORMAT, "not a plain file name"},
        {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", MK_EFORMAT, "not a plain file name"},
        {"{\"weight_map\":{\"a\":\"x/s1.safetensors\"}}", MK_EFORMAT, "not a plain file name"},
        {"{\"weight_map\":{\"a\":\"s9.safetensors\"}}", MK_EFORMAT, "s9.safetensors: this part"},
        {"{\"weight_map\":{\"z\":\"s1.safetensors\"}}", MK_EFORMAT,
         "tensor z is not in s1.safetensors"},
        {"{\"weight_map\":{\"c\":\"s1.safetensors\",\"a\":\"s2.safetensors\"}}", MK_EFORMAT,
         "tensor c is not in s1.safetensors"},
        {"{\"weight_map\":{\"a\":\"s1.safetensors\",\"a\":\"s1.safetensors\"}}", MK_EFORMAT,
         "weight_map: tensor a appears twice"},
        {"{\"weight_map\":{\"a\":\"s1.safetensors\"},\"weight_map\":{\"c\":\"s2.safetensors\"}}",
         MK_EFORMAT, "weight_map appears twice"},
        {"{\"weight_map\":{\"a\":\"" INDEX "\"}}", MK_EFORMAT, "header length"},
        {"{\"weight_map\":{\"a\":\"s1.safetensors\"}} x", MK_EFORMAT, "want the end"},
    };
    write_shards(state);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_text(state, INDEX, cases[i].text);
        check_fails(state, NULL, cases[i].code, cases[i].fragment);
    }
}

static void test_twin_shards(void **state)
{
    static const char *const names[] = {"a"};
    write_st(state, "s1.safetensors", names, 1);
    write_st(state, "s2.safetensors", names, 1);
    put_text(state, INDEX, "{\"weight_map\":{\"a\":\"s1.safetensors\",\"b\":\"s2.safetensors\"}}");
    check_fails(state, NULL, MK_EFORMAT, "tensor a appears twice, also in ");
}

static void test_split_set(void **state)
{
    struct mk_tensors t;
    struct mk_err err;
    char path[MAX_PATH];
    write_gguf(state, "m-00001-of-00003.gguf", "a", 0, 3, 3);
    write_gguf(state, "m-00002-of-00003.gguf", "b", 1, 3, 3);
    check_fails(state, NULL, MK_EFORMAT, "m-00003-of-00003.gguf: this part");
    write_gguf(state, "m-00003-of-00003.gguf", "c", 2, 3, 3);
    for (int as_folder = 0; as_folder < 2; as_folder++) {
        const char *p = as_folder ? *state : in_dir(path, state, "m-00001-of-00003.gguf");
        CHECK_OK(mk_tensors_open(&t, p, &err), err);
        assert_int_equal(t.n, 3);
        check_found(&t, "a");
        check_found(&t, "b");
        check_found(&t, "c");
        struct mk_gguf_str arch;
        assert_true(mk_gguf_str(t.gguf, "general.architecture", &arch) && arch.s[0] == 'a');
        mk_tensors_close(&t);
    }
    check_fails(state, "m-00002-of-00003.gguf", MK_EUSAGE, "part 2 of 3, open the first part");
}

static void test_bad_split_set(void **state)
{
    const char *first = "m-00001-of-00002.gguf", *second = "m-00002-of-00002.gguf";
    write_gguf(state, "other.gguf", "a", 0, 2, 2);
    check_fails(state, "other.gguf", MK_EFORMAT, "the name does not end in -00001-of-00002.gguf");
    write_gguf(state, first, "a", 0, 2, 2);
    write_gguf(state, second, "b", 0, 2, 2);
    check_fails(state, first, MK_EFORMAT, "is part 1 of 2, want part 2 of 2");
    write_gguf(state, second, "b", 1, 3, 2);
    check_fails(state, first, MK_EFORMAT, "is part 2 of 3, want part 2 of 2");
    write_gguf(state, second, "b", 0, 0, 0);
    check_fails(state, first, MK_EFORMAT, "split.no is missing");
    write_gguf(state, second, "a", 1, 2, 2);
    check_fails(state, first, MK_EFORMAT, "tensor a appears twice, also in ");
    write_gguf(state, first, "a", 0, 2, 5);
    write_gguf(state, second, "b", 1, 2, 5);
    check_fails(state, first, MK_EFORMAT, "split.tensors.count is 5, the parts have 2");
    write_gguf(state, first, "a", 0, 65535, 2);
    check_fails(state, first, MK_EFORMAT, "split.count is missing or not a number up to 10000");
}

/* Checkpoints that other programs wrote, where they are at hand. */
static void test_foreign(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        size_t n;
    } cases[] = {
        {"../shared/golden/models/deepseek-v3", 207},
        {"../shared/golden/models/deepseek-v3-fp8", 383},
        {"../shared/golden/models/qwen2/model.safetensors", 39},
        {"../shared/golden/models/llama3", 30},
        {"../shared/vocab/ggml-vocab-deepseek-llm.gguf", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (!mk_file_exists(cases[i].path)) {
            printf("skipped: no %s\n", cases[i].path);
            continue;
        }
        struct mk_tensors t;
        struct mk_err err;
        CHECK_OK(mk_tensors_open(&t, cases[i].path, &err), err);
        assert_int_equal(t.n, cases[i].n);
        mk_tensors_close(&t);
    }
}

/* A file that is part of the program, not of a folder. */
static void test_blob(void **state)
{
    char path[MAX_PATH];
    struct mk_tensors t;
    struct mk_err err;
    write_gguf(state, "x.gguf", "a", 0, 0, 0);
    struct mk_map file = load_exact(in_dir(path, state, "x.gguf"));
    const struct mk_blob blob = {"inside:x", file.data, file.size};
    mk_blobs_set(&blob, 1);
    CHECK_OK(mk_tensors_open(&t, "inside:x", &err), err);
    check_found(&t, "a");
    assert_true(t.list[0].data > file.data && t.list[0].data < file.data + file.size);
    assert_string_equal(t.path, "inside:x");
    mk_tensors_close(&t);
    mk_blobs_set(NULL, 0);
    free((void *)(uintptr_t)file.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_single, temp_setup, temp_teardown),
        cmocka_unit_test_setup_teardown(test_content_not_name, temp_setup, temp_teardown),
        cmocka_unit_test_setup_teardown(test_duplicates, temp_setup, temp_teardown),
        cmocka_unit_test_setup_teardown(test_shards, temp_setup, temp_teardown),
        cmocka_unit_test_setup_teardown(test_bad_index, temp_setup, temp_teardown),
        cmocka_unit_test_setup_teardown(test_twin_shards, temp_setup, temp_teardown),
        cmocka_unit_test_setup_teardown(test_split_set, temp_setup, temp_teardown),
        cmocka_unit_test_setup_teardown(test_bad_split_set, temp_setup, temp_teardown),
        cmocka_unit_test_setup_teardown(test_blob, temp_setup, temp_teardown),
        cmocka_unit_test(test_foreign),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
