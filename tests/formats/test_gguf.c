/* GGUF: every type through writer and reader; a table of edits that spoil a file. */
#include "helpers.h"

#include "formats/gguf.h"

#include <math.h>

enum { MAX_BYTES = 2 * 256 * 8 };

struct parsed {
    struct mk_arena arena;
    struct mk_gguf g;
    struct mk_tensor *list;
    size_t n;
};

static bool parse(struct parsed *p, const struct mk_map *map, struct mk_err *err)
{
    *p = (struct parsed){0};
    return mk_gguf_parse(&p->arena, &p->g, &p->list, &p->n, map, "f", err);
}

static void fill(uint8_t *bytes, size_t n, unsigned seed)
{
    for (size_t i = 0; i < n; i++) bytes[i] = (uint8_t)(i * 5 + seed * 17 + 1);
}

static const int32_t some_i32[] = {-1, 0, INT32_MAX};
static const float some_f32[] = {0.5F, -2};
static const struct mk_gguf_str some_strs[] = {{"one", 3}, {"", 0}, {"nul\0in", 6}};

static void put_metadata(struct mk_gguf_writer *w)
{
    mk_gguf_put_str(w, "general.architecture", "llama", 5);
    mk_gguf_put_u32(w, "a.u32", 7);
    mk_gguf_put_u64(w, "a.u64", UINT64_MAX);
    mk_gguf_put_f32(w, "a.f32", 0.25F);
    mk_gguf_put_bool(w, "a.bool", true);
    mk_gguf_put_strs(w, "a.strs", some_strs, 3);
    mk_gguf_put_i32s(w, "a.i32s", some_i32, 3);
    mk_gguf_put_f32s(w, "a.f32s", some_f32, 2);
}

static void check_metadata(const struct mk_gguf *g)
{
    uint64_t u;
    double f;
    bool b;
    struct mk_gguf_str s;
    assert_true(mk_gguf_str(g, "general.architecture", &s));
    assert_int_equal(s.n, 5);
    assert_memory_equal(s.s, "llama", 5);
    assert_true(mk_gguf_u64(g, "a.u32", &u) && u == 7);
    assert_true(mk_gguf_u64(g, "a.u64", &u) && u == UINT64_MAX);
    assert_true(mk_gguf_f64(g, "a.f32", &f) && f == 0.25);
    assert_true(mk_gguf_bool(g, "a.bool", &b) && b);
    const struct mk_gguf_kv *kv = mk_gguf_find(g, "a.strs");
    assert_true(kv && kv->type == MK_GGUF_ARRAY && kv->array.type == MK_GGUF_STR);
    assert_true(kv->array.n == 3 && !kv->array.data && kv->array.strs[2].n == 6);
    assert_memory_equal(kv->array.strs[2].s, "nul\0in", 6);
    kv = mk_gguf_find(g, "a.i32s");
    assert_true(kv && kv->array.n == 3 && kv->array.data && !kv->array.strs);
    for (size_t i = 0; i < 3; i++) assert_true(mk_gguf_at(kv, i) == some_i32[i]);
    kv = mk_gguf_find(g, "a.f32s");
    assert_true(kv && kv->array.n == 2 && mk_gguf_at(kv, 1) == -2);
    /* Wrong kinds and absent keys. */
    assert_null(mk_gguf_find(g, "a"));
    assert_false(mk_gguf_u64(g, "a.f32", &u) || mk_gguf_u64(g, "a.bool", &u));
    assert_false(mk_gguf_f64(g, "a.u32", &f) || mk_gguf_bool(g, "a.u32", &b));
    assert_false(mk_gguf_str(g, "a.strs", &s) || mk_gguf_str(g, "nothing", &s));
}

/* Two rows of one block of each type, and the shapes that need care. */
static size_t each_type(struct mk_tensor *list, char names[][32])
{
    size_t n = 0;
    for (int type = 0; type < MK_N_TYPES; type++) {
        if (mk_quants[type].ggml < 0) continue;
        snprintf(names[n], 32, "t.%s", mk_quants[type].name);
        list[n] = (struct mk_tensor){.name = names[n],
                                     .type = (enum mk_type)type,
                                     .n_dims = 2,
                                     .dims = {2, mk_quants[type].block_len}};
        n++;
    }
    list[n++] = (struct mk_tensor){.name = "scalar", .type = MK_F32};
    list[n++] = (struct mk_tensor){.name = "4d", .type = MK_I8, .n_dims = 4, .dims = {2, 3, 4, 5}};
    list[n++] = (struct mk_tensor){.name = "slow1", .type = MK_F16, .n_dims = 3, .dims = {1, 1, 3}};
    return n;
}

static void write_file(const char *path, const struct mk_tensor *list, size_t n, uint32_t alignment)
{
    struct mk_gguf_writer *w;
    struct mk_err err;
    uint8_t bytes[MAX_BYTES];
    CHECK_OK(mk_gguf_writer_open(&w, path, &err), err);
    put_metadata(w);
    if (alignment) mk_gguf_put_u32(w, "general.alignment", alignment);
    CHECK_OK(mk_gguf_writer_tensors(w, list, n, &err), err);
    for (size_t i = 0; i < n; i++) {
        size_t n_values = 1, size;
        for (unsigned d = 0; d < list[i].n_dims; d++) n_values *= list[i].dims[d];
        assert_true(mk_type_bytes(list[i].type, n_values, &size) && size <= sizeof bytes);
        fill(bytes, size, (unsigned)i);
        CHECK_OK(mk_gguf_writer_add(w, bytes, size / 2, &err), err);
        CHECK_OK(mk_gguf_writer_add(w, bytes + size / 2, size - size / 2, &err), err);
    }
    CHECK_OK(mk_gguf_writer_close(w, &err), err);
}

static void check_round_trip(void *const *state, uint32_t alignment)
{
    struct mk_tensor list[MK_N_TYPES + 3];
    char names[MK_N_TYPES][32], path[MAX_PATH];
    uint8_t bytes[MAX_BYTES];
    const size_t n = each_type(list, names);
    in_dir(path, state, "a.gguf");
    write_file(path, list, n, alignment);
    const struct mk_map map = load_exact(path);
    struct parsed p;
    struct mk_err err;
    CHECK_OK(parse(&p, &map, &err), err);
    assert_int_equal(p.g.version, 3);
    assert_int_equal(p.g.alignment, alignment ? alignment : 32);
    assert_int_equal(map.size % p.g.alignment, 0);
    check_metadata(&p.g);
    assert_int_equal(p.n, n);
    for (size_t i = 0; i < n; i++) {
        const struct mk_tensor *t = &p.list[i];
        assert_string_equal(t->name, list[i].name);
        assert_int_equal(t->type, list[i].type);
        assert_int_equal((size_t)(t->data - map.data) % p.g.alignment, 0);
        fill(bytes, t->n_bytes, (unsigned)i);
        assert_memory_equal(t->data, bytes, t->n_bytes);
        if (i + 3 < n || !strcmp(t->name, "4d")) {
            assert_int_equal(t->n_dims, list[i].n_dims);
            assert_memory_equal(t->dims, list[i].dims, t->n_dims * sizeof *t->dims);
        }
    }
    /* A scalar comes back as [1]; slow dims of 1 are dropped. */
    assert_true(p.list[n - 3].n_dims == 1 && p.list[n - 3].dims[0] == 1);
    assert_true(p.list[n - 1].n_dims == 1 && p.list[n - 1].dims[0] == 3);
    mk_arena_release(&p.arena);
    free((void *)(uintptr_t)map.data);
}

static void test_round_trip(void **state)
{
    check_round_trip(state, 0);
    check_round_trip(state, 8);
    check_round_trip(state, 4096);
}

/* Numbers of every type, alone and in arrays, copied from one file to the next. */
static void test_numbers(void **state)
{
    static const struct {
        enum mk_gguf_type type;
        int64_t low;
        uint64_t high;
    } cases[] = {
        {MK_GGUF_U8, 0, UINT8_MAX},   {MK_GGUF_I8, INT8_MIN, INT8_MAX},
        {MK_GGUF_U16, 0, UINT16_MAX}, {MK_GGUF_I16, INT16_MIN, INT16_MAX},
        {MK_GGUF_U32, 0, UINT32_MAX}, {MK_GGUF_I32, INT32_MIN, INT32_MAX},
        {MK_GGUF_U64, 0, UINT64_MAX}, {MK_GGUF_I64, INT64_MIN, INT64_MAX},
    };
    enum { N = sizeof cases / sizeof *cases };
    char path[MAX_PATH], key[32];
    struct mk_gguf_writer *w;
    struct mk_err err;
    in_dir(path, state, "n.gguf");
    CHECK_OK(mk_gguf_writer_open(&w, path, &err), err);
    for (int i = 0; i < N; i++) {
        snprintf(key, sizeof key, "low%d", i);
        mk_gguf_put_kv(w,
                       &(struct mk_gguf_kv){.key = key, .type = cases[i].type, .i = cases[i].low});
        snprintf(key, sizeof key, "high%d", i);
        mk_gguf_put_kv(w,
                       &(struct mk_gguf_kv){.key = key, .type = cases[i].type, .u = cases[i].high});
    }
    mk_gguf_put_kv(w, &(struct mk_gguf_kv){.key = "f64", .type = MK_GGUF_F64, .f = 0.1});
    static const double f64s[] = {0.1, -1e300};
    const struct mk_gguf_kv array = {
        .key = "f64s",
        .type = MK_GGUF_ARRAY,
        .array = {.type = MK_GGUF_F64, .n = 2, .data = (const uint8_t *)f64s}};
    mk_gguf_put_kv(w, &array);
    CHECK_OK(mk_gguf_writer_tensors(w, NULL, 0, &err), err);
    CHECK_OK(mk_gguf_writer_close(w, &err), err);

    const struct mk_map map = load_exact(path);
    struct parsed p;
    CHECK_OK(parse(&p, &map, &err), err);
    for (int i = 0; i < N; i++) {
        uint64_t u;
        const struct mk_gguf_kv *low = &p.g.kv[2 * i], *high = &p.g.kv[2 * i + 1];
        assert_true(low->type == cases[i].type && low->i == cases[i].low);
        assert_true(high->u == cases[i].high);
        assert_true(mk_gguf_u64(&p.g, high->key, &u) && u == cases[i].high);
        assert_true(mk_gguf_u64(&p.g, low->key, &u) == (cases[i].low == 0));
    }
    double f;
    assert_true(mk_gguf_f64(&p.g, "f64", &f) && f == 0.1);
    assert_true(mk_gguf_at(mk_gguf_find(&p.g, "f64s"), 1) == -1e300);
    mk_arena_release(&p.arena);
    free((void *)(uintptr_t)map.data);
}

/* Each edit overwrites n bytes that begin `at` bytes after the end of an anchor text. */
#define B(s)  s, sizeof(s) - 1
#define HUGE8 "\xff\xff\xff\xff\xff\xff\xff\x7f"
static const struct {
    const char *anchor;
    int at;
    const char *bytes;
    size_t n;
    enum mk_code code;
    const char *fragment;
} edits[] = {
    {"GGUF", -4, B("ggml"), MK_EFORMAT, "begins with ggml, want GGUF"},
    {"GGUF", -4, B("\x1b[2J"), MK_EFORMAT, "begins with \\x1b[2J"},
    {"GGUF", 0, B("\1"), MK_EUNSUPPORTED, "version 1, want 2 or 3"},
    {"GGUF", 0, B("\4"), MK_EUNSUPPORTED, "version 4"},
    {"GGUF", 0, B("\0\0\0\3"), MK_EUNSUPPORTED, "big-endian GGUF"},
    {"GGUF", 4, B(HUGE8), MK_EFORMAT, "9223372036854775807 tensors in"},
    {"GGUF", 4, B("\x20"), MK_EFORMAT, "f: "},
    {"GGUF", 12, B(HUGE8), MK_EFORMAT, "9223372036854775807 keys in"},
    {"a.u32", -13, B(HUGE8), MK_EFORMAT, "key has length 9223372036854775807"},
    {"a.u32", -13, B("\xff\xff\xff\xff\xff\xff\xff\xff"), MK_EFORMAT, "key has length"},
    {"a.u32", -13, B("\0\0\0\0\0\0\0\0"), MK_EFORMAT, "empty key"},
    {"a.u32", -1, B("\0"), MK_EFORMAT, "key a.u3\\x00 has a control character"},
    {"a.u32", -1, B("\xff"), MK_EFORMAT, "key a.u3\\xff is not UTF-8"},
    {"a.u32", -2, B("64"), MK_EFORMAT, "key a.u64 appears twice"},
    {"a.u32", 0, B("\xd"), MK_EFORMAT, "key a.u32: unknown value type 13"},
    {"a.u32", 0, B(HUGE8), MK_EFORMAT, "unknown value type 4294967295"},
    {"a.bool", 4, B("\2"), MK_EFORMAT, "key a.bool: boolean is 2"},
    {"general.architecture", 4, B(HUGE8), MK_EFORMAT, "a string has length"},
    {"a.i32s", 4, B("\x9"), MK_EUNSUPPORTED, "key a.i32s: array of arrays"},
    {"a.i32s", 4, B("\x55"), MK_EFORMAT, "key a.i32s: unknown array type 85"},
    {"a.i32s", 4, B("\x7"), MK_EFORMAT, "key a.i32s: boolean is 255"},
    {"a.i32s", 8, B(HUGE8), MK_EFORMAT, "key a.i32s: array of 9223372036854775807"},
    {"a.i32s", 8, B("\1\0\0\0\0\0\0\x40"), MK_EFORMAT, "array of 4611686018427387905"},
    {"a.strs", 8, B(HUGE8), MK_EFORMAT, "key a.strs: 9223372036854775807 strings"},
    {"a.strs", 16, B(HUGE8), MK_EFORMAT, "string in an array has length"},
    {"general.alignment", 4, B("\0\0\0\0"), MK_EFORMAT, "general.alignment 0 is not a power"},
    {"general.alignment", 4, B("\4\0\0\0"), MK_EFORMAT, "general.alignment 4"},
    {"general.alignment", 4, B("\x30\0\0\0"), MK_EFORMAT, "general.alignment 48"},
    {"general.alignment", 4, B("\0\0\2\0"), MK_EFORMAT, "general.alignment 131072"},
    {"general.alignment", 0, B("\6"), MK_EFORMAT, "general.alignment is not an unsigned"},
    {"general.alignment", 0, B("\5\0\0\0\xe0\xff\xff\xff"), MK_EFORMAT, "is not an unsigned"},
    {"t.one", 0, B("\5"), MK_EFORMAT, "tensor t.one: 5 dims, at most 4"},
    {"t.one", 4, B("\0"), MK_EFORMAT, "tensor t.one: dim 1 is 0"},
    {"t.one", 4, B("\0\0\0\0\1\0\0\0"), MK_EFORMAT, "tensor t.one: 34359738368 bytes at offset 0"},
    {"t.one", 4, B("\0\0\0\0\0\0\0\x80"), MK_EFORMAT, "tensor t.one: product of dims overflows"},
    {"t.one", 4, B("\0\0\0\0\0\0\0\x40"), MK_EFORMAT, "overflow"},
    {"t.one", 20, B("\x10"), MK_EUNSUPPORTED, "tensor t.one: type 16 (iq2_xxs) is not supported"},
    {"t.one", 20, B("\4"), MK_EFORMAT, "tensor t.one: unknown type 4"},
    {"t.one", 20, B("\0\1\0\0"), MK_EFORMAT, "tensor t.one: unknown type 256"},
    {"t.one", 20, B("\2"), MK_EFORMAT, "rows of 4 values are not whole q4_0 blocks of 32"},
    {"t.one", 24, B("\1"), MK_EFORMAT, "tensor t.one: offset 1 is not a multiple of 32"},
    {"t.one", 24, B("\xe0\xff\xff\xff\xff\xff\xff\xff"), MK_EFORMAT,
     "at offset 18446744073709551584"},
    {"t.one", 24, B("\x20"), MK_EFORMAT, "tensors t.one and t.two overlap"},
    {"t.one", -13, B("\x50"), MK_EFORMAT, "f: "},
    {"t.one", -5, B("\r\n\x1b[m"), MK_EFORMAT, "tensor name \\x0d\\x0a\\x1b[m has a control"},
    {"t.two", 20, B("\0"), MK_EFORMAT, "bytes at offset 32"},
};

static uint8_t *find_anchor(const struct mk_map *m, const char *anchor)
{
    uint8_t *p = memmem(m->data, m->size, anchor, strlen(anchor));
    if (!p) fail_msg("no %s in the file", anchor);
    return p + strlen(anchor);
}

static struct mk_map small_file(void *const *state)
{
    static const struct mk_tensor list[] = {
        {.name = "t.one", .type = MK_F32, .n_dims = 2, .dims = {2, 4}},
        {.name = "t.two", .type = MK_Q4_0, .n_dims = 2, .dims = {2, 32}}};
    char path[MAX_PATH];
    in_dir(path, state, "small.gguf");
    write_file(path, list, 2, 32);
    return load_exact(path);
}

static void test_edits(void **state)
{
    const struct mk_map good = small_file(state);
    uint8_t *copy = malloc(good.size);
    assert_non_null(copy);
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        const struct mk_map m = {copy, good.size};
        memcpy(copy, good.data, good.size);
        memcpy(find_anchor(&m, edits[i].anchor) + edits[i].at, edits[i].bytes, edits[i].n);
        struct parsed p;
        struct mk_err err = {0};
        if (parse(&p, &m, &err)) fail_msg("accepted edit %zu (%s)", i, edits[i].fragment);
        check_message(&err, edits[i].code, edits[i].fragment);
        assert_true(p.list == NULL && p.n == 0 && p.g.kv == NULL);
        mk_arena_release(&p.arena);
    }
    free(copy);
    free((void *)(uintptr_t)good.data);
}

static void test_version_2(void **state)
{
    const struct mk_map m = small_file(state);
    struct parsed p;
    struct mk_err err;
    *find_anchor(&m, "GGUF") = 2; /* the same layout */
    CHECK_OK(parse(&p, &m, &err), err);
    assert_int_equal(p.g.version, 2);
    check_metadata(&p.g);
    mk_arena_release(&p.arena);
    free((void *)(uintptr_t)m.data);
}

/* Every shorter file is refused, down to the last byte that a tensor needs. */
static void test_truncated(void **state)
{
    const struct mk_map good = small_file(state);
    struct parsed p;
    struct mk_err err;
    CHECK_OK(parse(&p, &good, &err), err);
    const size_t end = (size_t)(p.list[1].data + p.list[1].n_bytes - good.data);
    mk_arena_release(&p.arena);
    for (size_t n = 0; n < end; n++) {
        uint8_t *copy = malloc(n ? n : 1);
        assert_non_null(copy);
        memcpy(copy, good.data, n);
        const struct mk_map m = {copy, n};
        if (parse(&p, &m, &err)) fail_msg("accepted %zu bytes of %zu", n, end);
        assert_int_equal(err.code, MK_EFORMAT);
        mk_arena_release(&p.arena);
        free(copy);
    }
    free((void *)(uintptr_t)good.data);
}

static void test_writer_refuses(void **state)
{
    char path[MAX_PATH];
    struct mk_err err;
    struct mk_gguf_writer *w;
    struct mk_tensor t = {.name = "a", .type = MK_F8_E4M3, .n_dims = 1, .dims = {1}};
    in_dir(path, state, "x");
    CHECK_OK(mk_gguf_writer_open(&w, path, &err), err);
    assert_false(mk_gguf_writer_tensors(w, &t, 1, &err));
    check_message(&err, MK_EUNSUPPORTED, "GGUF has no type f8_e4m3");
    t.type = MK_Q8_0;
    assert_false(mk_gguf_writer_tensors(w, &t, 1, &err));
    check_message(&err, MK_EFORMAT, "rows of 1 values");
    mk_gguf_put_u32(w, "general.alignment", 24);
    assert_false(mk_gguf_writer_tensors(w, &t, 1, &err));
    check_message(&err, MK_EFORMAT, "general.alignment 24");
    mk_gguf_writer_abandon(w);
    t.type = MK_F32;
    CHECK_OK(mk_gguf_writer_open(&w, path, &err), err);
    CHECK_OK(mk_gguf_writer_tensors(w, &t, 1, &err), err);
    assert_false(mk_gguf_writer_close(w, &err));
    check_message(&err, MK_EUSAGE, "tensor a: 0 of 4 bytes written");
    assert_false(mk_file_exists(path));
    in_dir(path, state, "no/such/folder");
    assert_false(mk_gguf_writer_open(&w, path, &err));
    check_message(&err, MK_EIO, "No such file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, temp_setup, temp_teardown),
        cmocka_unit_test_setup_teardown(test_numbers, temp_setup, temp_teardown),
        cmocka_unit_test_setup_teardown(test_edits, temp_setup, temp_teardown),
        cmocka_unit_test_setup_teardown(test_version_2, temp_setup, temp_teardown),
        cmocka_unit_test_setup_teardown(test_truncated, temp_setup, temp_teardown),
        cmocka_unit_test_setup_teardown(test_writer_refuses, temp_setup, temp_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
