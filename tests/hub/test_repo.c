/* The hub's list of a repository, and the hash. */
#include "hub/int_hub.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define COMMIT "0123456789abcdef0123456789abcdef01234567"
#define HASH   "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static bool parse(struct mk_repo *r, const char *name, const char *json, struct mk_err *err)
{
    struct mk_hub_name n;
    assert_true(mk_hub_name_parse(&n, name, NULL));
    const bool ok = mk_repo_parse(r, json, strlen(json), &n, err);
    mk_hub_name_release(&n);
    return ok;
}

#define LIST(files) "{\"sha\":\"" COMMIT "\",\"siblings\":[" files "]}"

static void takes_what_is_needed(void **state)
{
    static const char json[] =
        LIST("{\"rfilename\":\".gitattributes\",\"size\":1},"
             "{\"rfilename\":\"model.safetensors\",\"size\":3,"
             "\"lfs\":{\"sha256\":\"" HASH "\",\"size\":3,\"pointerSize\":130}},"
             "{\"rfilename\":\"config.json\",\"size\":7},{\"rfilename\":\"README.md\"},"
             "{\"rfilename\":\"pytorch_model.bin\",\"size\":9},"
             "{\"rfilename\":\"consolidated.safetensors\",\"size\":9},"
             "{\"rfilename\":\"onnx/model.safetensors\",\"size\":9},"
             "{\"rfilename\":\"../../evil.txt\"}");
    struct mk_repo r;
    struct mk_err err;
    (void)state;
    if (!parse(&r, "a/b", json, &err)) fail_msg("%s", err.msg);
    assert_string_equal(r.revision, COMMIT);
    assert_int_equal(r.n, 2);
    assert_string_equal(r.v[0].name, "config.json");
    assert_int_equal(r.v[0].size, 7);
    assert_string_equal(r.v[0].sha256, "");
    assert_string_equal(r.v[1].name, "model.safetensors");
    assert_string_equal(r.v[1].sha256, HASH);
    mk_repo_release(&r);
}

static void takes_all_parts(void **state)
{
    static const char two[] = LIST("{\"rfilename\":\"q/x-00002-of-00002.gguf\",\"size\":2},"
                                   "{\"rfilename\":\"q/x-00001-of-00002.gguf\",\"size\":1},"
                                   "{\"rfilename\":\"y-00001-of-00002.gguf\",\"size\":1}");
    struct mk_repo r;
    struct mk_err err;
    (void)state;
    if (!parse(&r, "a/b:q/x-00001-of-00002.gguf", two, &err)) fail_msg("%s", err.msg);
    assert_int_equal(r.n, 2);
    assert_string_equal(r.v[1].name, "q/x-00002-of-00002.gguf");
    mk_repo_release(&r);
    assert_false(parse(&r, "a/b:y-00001-of-00002.gguf", two, &err));
    assert_non_null(strstr(err.msg, "1 of the 2 parts"));
}

static void refuses(void **state)
{
    static const struct {
        const char *name, *json, *why;
    } bad[] = {
        {"a/b", "{", "not JSON"},
        {"a/b", "[]", "no commit"},
        {"a/b", "{\"sha\":\"../../x\",\"siblings\":[]}", "no commit"},
        {"a/b", "{\"sha\":\"" COMMIT "\",\"siblings\":{}}", "no list"},
        {"a/b", LIST("{\"rfilename\":3}"), "no name"},
        {"a/b", LIST("{\"rfilename\":\"config.json\"}"), "neither"},
        {"a/b", LIST("{\"rfilename\":\"x.gguf\"}"), "a/b:FILE: x.gguf"},
        {"a/b", LIST("{\"rfilename\":\".x.safetensors\"}"), "with the name"},
        {"a/b", LIST("{\"rfilename\":\"x y.safetensors\"}"), "with the name"},
        {"a/b", LIST("{\"rfilename\":\"x.safetensors\",\"size\":-1}"), "no size"},
        {"a/b", LIST("{\"rfilename\":\"x.safetensors\",\"size\":9e300}"), "no size"},
        {"a/b", LIST("{\"rfilename\":\"x.safetensors\",\"size\":999999999999999999}"), "no size"},
        {"a/b", LIST("{\"rfilename\":\"x.safetensors\",\"lfs\":{\"sha256\":\"12\"}}"), "SHA-256"},
        {"a/b", LIST("{\"rfilename\":\"x.safetensors\"},{\"rfilename\":\"x.safetensors\"}"),
         "twice"},
        {"a/b:y.gguf", LIST("{\"rfilename\":\"x.gguf\"}"), "no file y.gguf"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct mk_repo r;
        struct mk_err err = {0};
        assert_false(parse(&r, bad[i].name, bad[i].json, &err));
        if (!strstr(err.msg, bad[i].why)) fail_msg("%s: %s", bad[i].json, err.msg);
    }
}

static void deep_json(void **state)
{
    enum { DEPTH = 100000 };
    char *json = malloc(DEPTH + 1);
    struct mk_repo r;
    struct mk_err err;
    (void)state;
    memset(json, '[', DEPTH);
    json[DEPTH] = '\0';
    assert_false(parse(&r, "a/b", json, &err));
    assert_non_null(strstr(err.msg, "depth"));
    free(json);
}

static void hashes(void **state)
{
    char path[] = "/tmp/mk-hash-XXXXXX", hex[MK_SHA256_CHARS + 1];
    const struct mk_hub_options o = {0};
    struct sha256_ctx hash;
    uint64_t n;
    (void)state;
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "bc", 2), 2);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    sha256_init(&hash);
    sha256_update(&hash, 1, (const uint8_t *)"a");
    assert_true(mk_sha256_add_fd(&hash, fd, path, &o, &n, NULL));
    assert_int_equal(n, 2);
    mk_sha256_hex(&hash, hex);
    assert_string_equal(hex, HASH);
    mk_sha256_hex(&hash, hex); /* of nothing */
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    close(fd);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_what_is_needed),
        cmocka_unit_test(takes_all_parts),
        cmocka_unit_test(refuses),
        cmocka_unit_test(deep_json),
        cmocka_unit_test(hashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
