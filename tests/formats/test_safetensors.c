/* safetensors: every type through writer and reader; every way a header can lie. */
#include "helpers.h"

#include "formats/safetensors.h"

enum { N_ROWS = 3, N_COLS = 5, MAX_BYTES = N_ROWS * N_COLS * 8 };

static void fill(uint8_t *bytes, size_t n, unsigned seed)
{
    for (size_t i = 0; i < n; i++) bytes[i] = (uint8_t)(i * 7 + seed * 31 + 1);
}

/* One odd-sized tensor of each type, so that only a careful layout aligns them all. */
static size_t each_type(struct mk_tensor *list, char names[][32])
{
    size_t n = 0;
    for (int type = 0; type < MK_N_TYPES; type++) {
        if (!mk_quants[type].safetensors) continue;
        snprintf(names[n], 32, "t.%s", mk_quants[type].name);
        list[n] = (struct mk_tensor){
            .name = names[n], .type = (enum mk_type)type, .n_dims = 2, .dims = {N_ROWS, N_COLS}};
        n++;
    }
    return n;
}

static void test_round_trip(void **state)
{
    static const char *const metadata[] = {"format", "pt", "quote\"d", "line\nbreak", NULL};
    struct mk_tensor list[MK_N_TYPES + 1], *got = NULL;
    char names[MK_N_TYPES][32], path[MAX_PATH];
    uint8_t bytes[MAX_BYTES];
    struct mk_st_writer *w;
    struct mk_err err;
    size_t n = each_type(list, names), n_got = 0;
    list[n++] = (struct mk_tensor){.name = "scalar \xc3\xa9", .type = MK_F32};
    in_dir(path, state, "a.safetensors");
    CHECK_OK(mk_st_writer_open(&w, path, list, n, metadata, &err), err);
    for (size_t i = 0; i < n; i++) {
        const size_t size =
            (list[i].n_dims ? N_ROWS * N_COLS : 1) * mk_quants[list[i].type].block_bytes;
        fill(bytes, size, (unsigned)i);
        CHECK_OK(mk_st_writer_add(w, bytes, 1, &err), err); /* two pieces */
        if (size > 1) CHECK_OK(mk_st_writer_add(w, bytes + 1, size - 1, &err), err);
    }
    assert_false(mk_file_exists(path)); /* appears whole or not at all */
    CHECK_OK(mk_st_writer_close(w, &err), err);

    struct mk_arena arena = {0};
    const struct mk_map map = load_exact(path);
    CHECK_OK(mk_safetensors_parse(&arena, &got, &n_got, &map, path, &err), err);
    assert_int_equal(n_got, n);
    size_t n_data = 0;
    for (size_t i = 0; i < n; i++) {
        size_t at = 0;
        while (at < n_got && strcmp(got[at].name, list[i].name)) at++;
        assert_true(at < n_got);
        const struct mk_tensor *t = &got[at];
        assert_int_equal(t->type, list[i].type);
        assert_int_equal(t->n_dims, list[i].n_dims);
        assert_memory_equal(t->dims, list[i].dims, t->n_dims * sizeof *t->dims);
        assert_int_equal(t->n_values, t->n_dims ? N_ROWS * N_COLS : 1);
        assert_int_equal(t->n_bytes, t->n_values * mk_quants[t->type].block_bytes);
        assert_int_equal((size_t)(t->data - map.data) % mk_quants[t->type].block_bytes, 0);
        fill(bytes, t->n_bytes, (unsigned)i);
        assert_memory_equal(t->data, bytes, t->n_bytes);
        n_data += t->n_bytes;
    }
    uint64_t n_header;
    memcpy(&n_header, map.data, 8);
    assert_int_equal(8 + n_header + n_data, map.size); /* no gaps: the official reader wants none */
    mk_arena_release(&arena);
    free((void *)(uintptr_t)map.data);
}

static void test_many(void **state)
{
    enum { N = 300 }; /* the list grows several times, across two files */
    static struct mk_tensor list[N];
    static char names[N][16];
    char path[MAX_PATH];
    struct mk_st_writer *w;
    struct mk_err err;
    for (int i = 0; i < N; i++) {
        snprintf(names[i], sizeof names[i], "%d", i);
        list[i] = (struct mk_tensor){.name = names[i], .type = MK_U8, .n_dims = 1, .dims = {1}};
    }
    in_dir(path, state, "many");
    CHECK_OK(mk_st_writer_open(&w, path, list, N, NULL, &err), err);
    for (int i = 0; i < N; i++) CHECK_OK(mk_st_writer_add(w, &(uint8_t){(uint8_t)i}, 1, &err), err);
    CHECK_OK(mk_st_writer_close(w, &err), err);
    struct mk_arena arena = {0};
    const struct mk_map map = load_exact(path);
    struct mk_tensor *got = NULL;
    size_t n = 0;
    CHECK_OK(mk_safetensors_parse(&arena, &got, &n, &map, "one", &err), err);
    CHECK_OK(mk_safetensors_parse(&arena, &got, &n, &map, "two", &err), err);
    assert_int_equal(n, 2 * N);
    for (int i = 0; i < 2 * N; i++) {
        assert_string_equal(got[i].name, names[i % N]);
        assert_string_equal(got[i].file, i < N ? "one" : "two");
        assert_int_equal(*got[i].data, (uint8_t)(i % N));
    }
    mk_arena_release(&arena);
    free((void *)(uintptr_t)map.data);
}

#define ENTRY(type, shape, ends) \
    "{\"dtype\":\"" type "\",\"shape\":" shape ",\"data_offsets\":" ends "}"
#define ONE(type, shape, ends) "{\"a\":" ENTRY(type, shape, ends) "}"

static const struct {
    const char *header;
    size_t n_data;
    enum mk_code code;
    const char *fragment;
} bad_headers[] = {
    {"", 0, MK_EFORMAT, "want {"},
    {"[]", 0, MK_EFORMAT, "want {"},
    {"{", 0, MK_EFORMAT, "want a name, found the end"},
    {"{} x", 0, MK_EFORMAT, "want the end, found x"},
    {"{\"a\"", 0, MK_EFORMAT, "want :"},
    {"{\"a\":", 0, MK_EFORMAT, "JSON byte 5"},
    {"{a:1}", 0, MK_EFORMAT, "want a name"},
    {"{\"\":1}", 0, MK_EFORMAT, "empty JSON name"},
    {"{\"a\\u0000b\":1}", 0, MK_EFORMAT, "JSON byte 1"},
    {"{\"a\\nb\":1}", 0, MK_EFORMAT, "JSON name a\\x0ab has a control character"},
    {"{\"a\xff\":1}", 0, MK_EFORMAT, "unable to decode byte 0xff"},
    {"{\"a\":1}", 0, MK_EFORMAT, "tensor a: not an object"},
    {"{\"a\":{}}", 0, MK_EFORMAT, "tensor a: dtype is not a string"},
    {ONE("F99", "[1]", "[0,4]"), 4, MK_EFORMAT, "tensor a: dtype F99 is unknown"},
    {ONE("F8_E5M2", "[4]", "[0,4]"), 4, MK_EUNSUPPORTED,
     "tensor a: dtype F8_E5M2 is not supported"},
    {ONE("F8_E8M0", "[4]", "[0,4]"), 4, MK_EUNSUPPORTED, "dtype F8_E8M0 is not supported"},
    {ONE("BOOL", "[4]", "[0,4]"), 4, MK_EUNSUPPORTED, "dtype BOOL is not supported"},
    {ONE("U16", "[2]", "[0,4]"), 4, MK_EUNSUPPORTED, "dtype U16"},
    {ONE("F32", "3", "[0,4]"), 4, MK_EFORMAT, "shape is not an array"},
    {ONE("F32", "[1.5]", "[0,4]"), 4, MK_EFORMAT, "shape[0] is not an integer"},
    {ONE("F32", "[2,-1]", "[0,4]"), 4, MK_EFORMAT, "shape[1] is -1"},
    {ONE("F32", "[0]", "[0,0]"), 4, MK_EFORMAT, "dim 0 is 0"},
    {ONE("F32", "[1,1,1,1,1]", "[0,4]"), 4, MK_EUNSUPPORTED, "shape has 5 numbers, at most 4"},
    {ONE("F32", "[99999999999999999999]", "[0,4]"), 4, MK_EFORMAT, "too big integer"},
    {ONE("F32", "[4294967296,4294967296]", "[0,4]"), 4, MK_EFORMAT, "product of dims overflows"},
    {ONE("F32", "[9223372036854775807]", "[0,4]"), 4, MK_EFORMAT, "overflow"},
    {ONE("F32", "[1]", "[0]"), 4, MK_EFORMAT, "data_offsets has 1 numbers, want 2"},
    {ONE("F32", "[1]", "[0,4,8]"), 4, MK_EUNSUPPORTED, "data_offsets has 3 numbers"},
    {ONE("F32", "[1]", "[-4,0]"), 4, MK_EFORMAT, "data_offsets[0] is -4"},
    {ONE("F32", "[1]", "[4,0]"), 8, MK_EFORMAT, "data_offsets [4, 0]"},
    {ONE("F32", "[1]", "[0,4]"), 3, MK_EFORMAT, "the file has 3 bytes of data"},
    {ONE("F32", "[2]", "[0,4]"), 8, MK_EFORMAT, "hold 4 bytes, its shape needs 8"},
    {ONE("F32", "[1]", "[1,5]"), 8, MK_EFORMAT, "is not a multiple of 4"},
    {"{\"a\":" ENTRY("U8", "[2]", "[0,2]") ",\"b\":" ENTRY("U8", "[2]", "[1,3]") "}", 4, MK_EFORMAT,
     "tensors a and b overlap"},
    {"{\"a\":" ENTRY("U8", "[2]", "[0,2]") ",\"b\":" ENTRY("U8", "[2]", "[0,2]") "}", 4, MK_EFORMAT,
     "overlap"},
    {"{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\"}}", 0, MK_EFORMAT, "duplicate object key"},
    {"{\"a\":" ENTRY("U8", "[2]", "[0,2]") ",}", 4, MK_EFORMAT, "want a name"},
    {"{\"a\":" ENTRY("U8", "[2]", "[0,2]") "\"b\"", 4, MK_EFORMAT, "want , or }"},
    {"{\"__metadata__\":7}", 0, MK_EFORMAT, "__metadata__ is not an object"},
    {"{\"__metadata__\":{\"k\":7}}", 0, MK_EFORMAT, "__metadata__: k is not a string"},
};

static bool parse_header(const char *header, size_t n_header, size_t n_data, struct mk_err *err)
{
    const uint64_t n = n_header;
    uint8_t *bytes = calloc(8 + n_header + n_data, 1);
    assert_non_null(bytes);
    memcpy(bytes, &n, 8);
    memcpy(bytes + 8, header, n_header);
    struct mk_arena arena = {0};
    struct mk_tensor *list = NULL;
    size_t n_list = 0;
    const struct mk_map map = {bytes, 8 + n_header + n_data};
    const bool ok = mk_safetensors_parse(&arena, &list, &n_list, &map, "f", err);
    if (!ok) assert_true(list == NULL && n_list == 0);
    mk_arena_release(&arena);
    free(bytes);
    return ok;
}

static void test_bad_headers(void **state)
{
    (void)state;
    struct mk_err err;
    CHECK_OK(parse_header("{}", 2, 0, &err), err);
    CHECK_OK(parse_header("{}   \n", 6, 3, &err), err);
    for (size_t i = 0; i < sizeof bad_headers / sizeof *bad_headers; i++) {
        const char *h = bad_headers[i].header;
        err = (struct mk_err){0};
        if (parse_header(h, strlen(h), bad_headers[i].n_data, &err)) fail_msg("accepted %s", h);
        check_message(&err, bad_headers[i].code, bad_headers[i].fragment);
        assert_non_null(strstr(err.msg, "f: "));
    }
}

static void test_bad_length(void **state)
{
    (void)state;
    static const uint64_t lengths[] = {3, 100, 100000001, INT64_MAX, UINT64_MAX, UINT64_MAX - 7};
    struct mk_arena arena = {0};
    struct mk_tensor *list = NULL;
    size_t n = 0;
    struct mk_err err;
    uint8_t bytes[10] = {[8] = '{', '}'};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        memcpy(bytes, &lengths[i], 8);
        const struct mk_map map = {bytes, sizeof bytes};
        assert_false(mk_safetensors_parse(&arena, &list, &n, &map, "f", &err));
        check_message(&err, MK_EFORMAT, "header length");
    }
    for (size_t size = 0; size < 8; size++) {
        const struct mk_map map = {size ? bytes : NULL, size};
        assert_false(mk_safetensors_parse(&arena, &list, &n, &map, "f", &err));
        check_message(&err, MK_EFORMAT, "too few");
    }
    mk_arena_release(&arena);
}

/* Nesting and length: refused by a limit, not by running out of stack or memory. */
static void test_bombs(void **state)
{
    (void)state;
    enum { N = 200000 };
    struct mk_err err;
    struct mk_str s = {0};
    mk_str_add(&s, "{\"a\":");
    for (int i = 0; i < 5000; i++) mk_str_addc(&s, '[');
    assert_false(parse_header(s.data, s.len, 0, &err));
    check_message(&err, MK_EFORMAT, "maximum parsing depth");
    mk_str_clear(&s);
    mk_str_add(&s, "{\"a\":[");
    for (int i = 0; i < N; i++) mk_str_add(&s, "0,");
    mk_str_add(&s, "0]}");
    assert_false(parse_header(s.data, s.len, 0, &err));
    check_message(&err, MK_ELIMIT, "value longer than 65536 bytes");
    mk_str_clear(&s);
    mk_str_add(&s, "{\"");
    for (int i = 0; i < 300; i++) mk_str_addc(&s, 'n');
    mk_str_add(&s, "\":0}");
    assert_false(parse_header(s.data, s.len, 0, &err));
    check_message(&err, MK_EFORMAT, "has 300 bytes, limit 255");
    mk_str_release(&s);
}

static void test_writer_refuses(void **state)
{
    char path[MAX_PATH];
    struct mk_err err;
    struct mk_st_writer *w;
    const uint8_t bytes[8] = {0};
    struct mk_tensor t = {.name = "a", .type = MK_Q4_0, .n_dims = 1, .dims = {32}};
    in_dir(path, state, "x");
    assert_false(mk_st_writer_open(&w, path, &t, 1, NULL, &err));
    check_message(&err, MK_EUNSUPPORTED, "safetensors has no type q4_0");
    t = (struct mk_tensor){.name = "a\n", .type = MK_F32, .n_dims = 1, .dims = {1}};
    assert_false(mk_st_writer_open(&w, path, &t, 1, NULL, &err));
    check_message(&err, MK_EFORMAT, "control character");
    t.name = "a";
    static const char *const latin1[] = {"k", "\xe9", NULL};
    assert_false(mk_st_writer_open(&w, path, &t, 1, latin1, &err));
    check_message(&err, MK_EFORMAT, "\\xe9 is not UTF-8");
    CHECK_OK(mk_st_writer_open(&w, path, &t, 1, NULL, &err), err);
    assert_false(mk_st_writer_add(w, bytes, 8, &err));
    check_message(&err, MK_EUSAGE, "tensor a: 8 bytes, 4 are left of 4");
    CHECK_OK(mk_st_writer_add(w, bytes, 3, &err), err);
    assert_false(mk_st_writer_close(w, &err));
    check_message(&err, MK_EUSAGE, "tensor a: 3 of 4 bytes written");
    CHECK_OK(mk_st_writer_open(&w, path, &t, 1, NULL, &err), err);
    CHECK_OK(mk_st_writer_add(w, bytes, 4, &err), err);
    assert_false(mk_st_writer_add(w, bytes, 1, &err));
    check_message(&err, MK_EUSAGE, "after the last tensor");
    mk_st_writer_abandon(w);
    assert_false(mk_file_exists(path));
    in_dir(path, state, "no/such/folder");
    assert_false(mk_st_writer_open(&w, path, &t, 1, NULL, &err));
    check_message(&err, MK_EIO, "No such file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, temp_setup, temp_teardown),
        cmocka_unit_test_setup_teardown(test_many, temp_setup, temp_teardown),
        cmocka_unit_test(test_bad_headers),
        cmocka_unit_test(test_bad_length),
        cmocka_unit_test(test_bombs),
        cmocka_unit_test_setup_teardown(test_writer_refuses, temp_setup, temp_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
