#ifndef MK_TESTS_TOKEN_HELPERS_H
#define MK_TESTS_TOKEN_HELPERS_H
/* Files of the golden folder, and checks that print what they saw. */
#include "base/file.h"
#include "base/mem.h"
#include "token/token.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define GOLDEN "tests/golden/tokenizer/"
#define VOCAB  "../shared/vocab/"
#define TINY   GOLDEN "tiny.tokenizer.json"

static inline struct mk_str read_text(const char *path)
{
    struct mk_str s = {0};
    struct mk_err err;
    if (!mk_file_read(&s, path, (size_t)64 << 20, &err)) fail_msg("%s", err.msg);
    return s;
}

/* False, with a line that says so, when the file is not there. */
static inline bool have(const char *path)
{
    if (mk_file_exists(path)) return true;
    printf("skipped: no %s\n", path);
    return false;
}

static inline json_t *read_json(const char *path)
{
    json_error_t e;
    json_t *j = json_load_file(path, JSON_ALLOW_NUL, &e);
    if (!j) fail_msg("%s: line %d: %s", path, e.line, e.text);
    return j;
}

static inline struct mk_tokenizer *open_json(const char *path, const char *config)
{
    struct mk_tokenizer *t = NULL;
    struct mk_err err;
    if (!mk_tokenizer_open_json(&t, path, config, &err)) fail_msg("%s", err.msg);
    return t;
}

static inline struct mk_tokenizer *parse(const char *text, size_t n)
{
    struct mk_tokenizer *t = NULL;
    struct mk_err err;
    if (!mk_tokenizer_parse(&t, text, n, "test.json", &err)) fail_msg("%s", err.msg);
    return t;
}

static inline struct mk_tokenizer *parse_tree(const json_t *tree)
{
    char *text = json_dumps(tree, 0);
    struct mk_tokenizer *t = parse(text, strlen(text));
    free(text);
    return t;
}

static inline struct mk_tokenizer *open_gguf(const char *path)
{
    struct mk_map map;
    struct mk_arena arena = {0};
    struct mk_gguf g;
    struct mk_tensor *list;
    size_t n;
    struct mk_err err;
    struct mk_tokenizer *t = NULL;
    if (!mk_map_open(&map, path, &err) || !mk_gguf_parse(&arena, &g, &list, &n, &map, path, &err) ||
        !mk_tokenizer_open_gguf(&t, &g, path, &err))
        fail_msg("%s", err.msg);
    mk_arena_release(&arena); /* nothing of the file may be needed any more */
    mk_map_close(&map);
    return t;
}

static inline void print_ids(const char *what, const int32_t *v, size_t n)
{
    fprintf(stderr, "%s:", what);
    for (size_t i = 0; i < n && i < 64; i++) fprintf(stderr, " %d", (int)v[i]);
    fprintf(stderr, "%s\n", n > 64 ? " ..." : "");
}

static inline void check_ids(const struct mk_tokenizer *t, const char *text, size_t n,
                             unsigned flags, const int32_t *want, size_t n_want)
{
    struct mk_ids got = {0};
    mk_tokenize(t, text, n, flags, &got);
    if (got.n != n_want || (got.n && memcmp(got.v, want, got.n * sizeof *want))) {
        print_ids("want", want, n_want);
        print_ids("got ", got.v, got.n);
        fail_msg("wrong ids for \"%.*s\"", (int)(n < 300 ? n : 300), text);
    }
    mk_ids_release(&got);
}

static inline void check_text(const struct mk_tokenizer *t, const char *text, unsigned flags,
                              const int32_t *want, size_t n_want)
{
    check_ids(t, text, strlen(text), flags, want, n_want);
}

static inline struct mk_ids ids_of(const json_t *list)
{
    struct mk_ids ids = {0};
    for (size_t i = 0; i < json_array_size(list); i++)
        mk_ids_add(&ids, (int32_t)json_integer_value(json_array_get(list, i)));
    return ids;
}

/* What detokenizing the ids of a text gives; free() it. */
static inline char *there_and_back(const struct mk_tokenizer *t, const char *text, size_t n,
                                   unsigned flags, size_t *n_out)
{
    struct mk_ids ids = {0};
    struct mk_str s = {0};
    mk_tokenize(t, text, n, flags, &ids);
    mk_detokenize(t, ids.v, ids.n, true, &s);
    mk_ids_release(&ids);
    *n_out = s.len;
    return mk_str_take(&s);
}

/* Texts in path.inp, separated by a line; ids in path.out, a line for each.  Returns the
 * number of texts. */
static inline size_t check_pairs(const struct mk_tokenizer *t, const char *inp, const char *out,
                                 unsigned flags)
{
    static const char line[] = "\n__ggml_vocab_test__\n";
    struct mk_str texts = read_text(inp), ids = read_text(out);
    const char *s = texts.data, *next;
    char *p = ids.data;
    size_t n = 0;
    for (bool last = false; !last; n++) {
        next = strstr(s, line);
        last = !next;
        const size_t len = next ? (size_t)(next - s) : strlen(s);
        struct mk_ids want = {0};
        while (*p && *p != '\n') mk_ids_add(&want, (int32_t)strtol(p + (*p == ' '), &p, 10));
        assert_true(last || *p == '\n');
        p++;
        check_ids(t, s, len, flags, want.v, want.n);
        mk_ids_release(&want);
        s += len + sizeof line - 1;
    }
    mk_str_release(&texts);
    mk_str_release(&ids);
    return n;
}
#endif
