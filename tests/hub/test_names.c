/* What names mean, which file names are taken, and that the catalogue holds together. */
#include "hub/hub.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void check(const char *text, const char *target, const char *repo, const char *file,
                  bool is_folder)
{
    struct mk_hub_name n;
    struct mk_err err;
    if (!mk_hub_name_parse(&n, text, &err)) fail_msg("%s", err.msg);
    assert_string_equal(n.target, target);
    assert_string_equal(n.repo ? n.repo : "", repo);
    assert_string_equal(n.file ? n.file : "", file);
    assert_int_equal(n.is_folder, is_folder);
    mk_hub_name_release(&n);
}

static void names(void **state)
{
    static const char r1[] = "DeepSeek-R1-Q4_K_M/DeepSeek-R1-Q4_K_M-00001-of-00009.gguf";
    static const char gguf[] = "bartowski/DeepSeek-R1-Distill-Qwen-1.5B-GGUF";
    (void)state;
    check("deepseek-r1:1.5b-q8_0", "deepseek-r1:1.5b-q8_0.gguf", gguf,
          "DeepSeek-R1-Distill-Qwen-1.5B-Q8_0.gguf", false);
    check("deepseek-r1:1.5b", "deepseek-r1:1.5b-q4_k_m.gguf", gguf,
          "DeepSeek-R1-Distill-Qwen-1.5B-Q4_K_M.gguf", false);
    check("DeepSeek-R1:1.5B-Q4_K_M", "deepseek-r1:1.5b-q4_k_m.gguf", gguf,
          "DeepSeek-R1-Distill-Qwen-1.5B-Q4_K_M.gguf", false);
    check("deepseek-r1:671b", "deepseek-r1:671b-q4_k_m", "unsloth/DeepSeek-R1-GGUF", r1, true);
    check("deepseek-r1:7b-hf", "deepseek-r1:7b-hf", "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B", "",
          true);
    check("a/b", "a/b", "a/b", "", true);
    check("a/b:c.gguf", "a/b:c.gguf", "a/b", "c.gguf", false);
    check("a/b/c.gguf", "a/b:c.gguf", "a/b", "c.gguf", false);
    check("a/b:d/c-00003-of-00004.gguf", "a/b:c", "a/b", "d/c-00003-of-00004.gguf", true);
    check("hf.co/a/b", "a/b", "a/b", "", true);
    check("https://huggingface.co/a/b", "a/b", "a/b", "", true);
    check("https://huggingface.co/a/b/tree/main", "a/b", "a/b", "", true);
    check("https://hf.co/a/b/resolve/main/d/c.gguf?download=true", "a/b:c.gguf", "a/b", "d/c.gguf",
          false);
    check("https://example.org/x/y.gguf?key=1#top", "y.gguf", "", "", false);
    check("https://example.org/y-00001-of-00002.gguf", "y", "", "", true);
}

static void revisions_and_addresses(void **state)
{
    struct mk_hub_name n;
    (void)state;
    assert_true(mk_hub_name_parse(&n, "https://hf.co/a/b/blob/v1.0/c.gguf", NULL));
    assert_string_equal(n.revision, "v1.0");
    mk_hub_name_release(&n);
    assert_true(mk_hub_name_parse(&n, "a/b", NULL));
    assert_string_equal(n.revision, "main");
    mk_hub_name_release(&n);
    assert_true(mk_hub_name_parse(&n, "http://localhost:1/y.gguf?key=1#top", NULL));
    assert_string_equal(n.url, "http://localhost:1/y.gguf?key=1");
    mk_hub_name_release(&n);
}

static void refused_names(void **state)
{
    static const char *const bad[] = {"",
                                      "deepseek",
                                      "deepseek-r1:2b",
                                      "deepseek-r1:1.5",
                                      "/a/b",
                                      "a/",
                                      "/b",
                                      "../b",
                                      "a/..",
                                      "a/b:c.bin",
                                      "a/b:../c.gguf",
                                      "a/b:/c.gguf",
                                      "a/b:d//c.gguf",
                                      "a/b:.c.gguf",
                                      "a/b/resolve/main/c.txt",
                                      "a b/c",
                                      "a/b:c%2e.gguf",
                                      "ftp://example.org/x.gguf",
                                      "https://example.org/x.bin",
                                      "https://example.org/.gguf",
                                      "https://example.org/a%2fb.gguf",
                                      "https://hf.co/a",
                                      "https://hf.co/a/b/raw/main/c.gguf",
                                      "https://hf.co/a/b/resolve",
                                      "https://hf.co/a/b/resolve/../c.gguf"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct mk_hub_name n;
        struct mk_err err = {0};
        if (mk_hub_name_parse(&n, bad[i], &err)) fail_msg("\"%s\" is taken", bad[i]);
        assert_int_equal(err.code, MK_EUSAGE);
        assert_true(err.msg[0]);
    }
}

static void file_names(void **state)
{
    static const char *const good[] = {"a", "a/b", "A-1_2.x", "a/b.c/d", "a..b"};
    static const char *const bad[] = {"",    "/a",   "a/",    "a//b", ".",      "..",     ".a",
                                      "a/.", "a/..", "../a",  "a/.b", "a\\b",   "a b",    "a\nb",
                                      "a:b", "~",    "a\x80", "%2e",  "a/../b", "a\x1b[m"};
    char long_name[700];
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!mk_hub_is_safe_path(good[i])) fail_msg("\"%s\" is refused", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (mk_hub_is_safe_path(bad[i])) fail_msg("\"%s\" is taken", bad[i]);
    memset(long_name, 'a', sizeof long_name);
    long_name[201] = '\0';
    assert_false(mk_hub_is_safe_path(long_name));
    long_name[200] = '\0';
    assert_true(mk_hub_is_safe_path(long_name));
}

static void split_sets(void **state)
{
    size_t n_stem;
    unsigned n_parts;
    (void)state;
    assert_true(mk_hub_is_split("x-00001-of-00009.gguf", &n_stem, &n_parts));
    assert_int_equal(n_stem, 1);
    assert_int_equal(n_parts, 9);
    assert_false(mk_hub_is_split("-00001-of-00009.gguf", &n_stem, &n_parts));
    assert_false(mk_hub_is_split("x-00001-of-00000.gguf", &n_stem, &n_parts));
    assert_false(mk_hub_is_split("x-00001-of-0009.gguf", &n_stem, &n_parts));
    assert_false(mk_hub_is_split("x-0000a-of-00009.gguf", &n_stem, &n_parts));
    assert_false(mk_hub_is_split("x-00001-of-00009.bin", &n_stem, &n_parts));
}

/* Every name is found as itself and nowhere before, and fits below the models folder. */
static void catalogue(void **state)
{
    (void)state;
    for (const struct mk_hub_entry *e = mk_hub_catalogue; e->name; e++) {
        struct mk_hub_name n, repo;
        struct mk_err err;
        assert_ptr_equal(mk_hub_catalogue_find(e->name), e);
        if (!mk_hub_name_parse(&n, e->name, &err)) fail_msg("%s: %s", e->name, err.msg);
        if (!mk_hub_name_parse(&repo, e->repo, &err)) fail_msg("%s: %s", e->name, err.msg);
        assert_string_equal(n.repo, repo.target);
        assert_true(!*e->file || mk_hub_is_safe_path(e->file));
        assert_null(strchr(n.target, '/'));
        assert_true(e->size_mb > 0);
        mk_hub_name_release(&n);
        mk_hub_name_release(&repo);
    }
    static const char *const known[] = {"deepseek-r1:1.5b", "deepseek-r1:7b",   "deepseek-r1:8b",
                                        "deepseek-r1:14b",  "deepseek-r1:32b",  "deepseek-r1:70b",
                                        "deepseek-r1:671b", "deepseek-v2-lite", "deepseek-v3.1"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_non_null(strstr(mk_hub_catalogue_find(known[i])->name, "q4_k_m"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),         cmocka_unit_test(revisions_and_addresses),
        cmocka_unit_test(refused_names), cmocka_unit_test(file_names),
        cmocka_unit_test(split_sets),    cmocka_unit_test(catalogue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
