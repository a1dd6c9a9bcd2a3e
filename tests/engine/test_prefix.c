/* The prefix cache: what comes out is what was put in, nobody gets another's, limits hold, and a
 * folder may hold anything. */
#include "engine/prefix.h"

#include "base/file.h"
#include "base/folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { N = 200, N_CTX = 256 }; /* three blocks and a shorter one */

static char dir[40], cache[64];

static int set_up(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/mk-prefix-XXXXXX");
    if (!mkdtemp(dir)) return -1;
    snprintf(cache, sizeof cache, "%s/cache", dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return mk_folder_remove(dir, NULL) ? 0 : -1;
}

static struct mk_engine *open_engine(enum mk_type kv)
{
    struct mk_engine *e;
    struct mk_err err;
    const struct mk_engine_options o = {.n_threads = 2, .kv_type = kv};
    if (!mk_engine_open(&e, "build/tiny", &o, &err)) fail_msg("%s", err.msg);
    return e;
}

static struct mk_prefixes *open_limited(struct mk_engine *e, size_t max_bytes, const char *folder,
                                        uint64_t max_disk_bytes)
{
    struct mk_prefixes *p;
    struct mk_err err;
    const struct mk_prefix_options o = {max_bytes, folder, max_disk_bytes};
    if (!mk_prefixes_open(&p, e, &o, &err)) fail_msg("%s", err.msg);
    return p;
}

static struct mk_prefixes *open_prefixes(struct mk_engine *e, const char *folder)
{
    return open_limited(e, 1 << 30, folder, 1 << 30);
}

static void fill(int32_t *ids, size_t n, unsigned seed)
{
    for (size_t i = 0; i < n; i++) ids[i] = (int32_t)((i * 37 + seed * 101 + i * i) % 250);
}

static void step_all(struct mk_engine *e, struct mk_session *s)
{
    struct mk_err err;
    while (mk_session_pending(s)) assert_true(mk_engine_step(e, &s, 1, 0, &err));
}

/* A session that has read them. */
static struct mk_session *reader(struct mk_engine *e, const int32_t *ids, size_t n)
{
    struct mk_session *s;
    struct mk_err err;
    assert_true(mk_session_new(&s, e, N_CTX, &err));
    assert_true(mk_session_append(s, ids, n, &err));
    step_all(e, s);
    return s;
}

/* Puts n tokens of a seed into the cache. */
static void keep(struct mk_prefixes *p, struct mk_engine *e, uint64_t owner, unsigned seed,
                 size_t n)
{
    int32_t ids[N_CTX];
    fill(ids, n, seed);
    struct mk_session *s = reader(e, ids, n);
    mk_prefixes_keep(p, owner, s);
    mk_session_free(s);
}

static size_t find(const struct mk_prefixes *p, uint64_t owner, unsigned seed, size_t n)
{
    int32_t ids[N_CTX];
    fill(ids, n, seed);
    return mk_prefixes_find(p, owner, ids, n);
}

/* The next token's logits after seven more, from what is loaded and from the session itself. */
static void check_load(struct mk_prefixes *p, struct mk_engine *e, uint64_t owner, unsigned seed,
                       size_t n, size_t want, size_t n_has)
{
    const size_t n_vocab = mk_engine_info(e).n_vocab;
    struct mk_err err;
    struct mk_session *s, *same;
    int32_t ids[N_CTX], more[7];
    size_t n_ids;
    fill(ids, n, seed);
    fill(more, 7, 99);
    assert_true(mk_session_new(&s, e, N_CTX, &err));
    if (n_has) assert_true(mk_session_append(s, ids, n_has, &err));
    step_all(e, s);
    mk_prefixes_load(p, owner, s, ids, n);
    assert_memory_equal(mk_session_ids(s, &n_ids), ids, want * sizeof *ids);
    assert_int_equal(n_ids, want);
    assert_int_equal(mk_session_pending(s), 0);
    struct mk_session *whole = reader(e, ids, n);
    assert_true(mk_session_fork(&same, whole, want, &err));
    assert_true(mk_session_append(s, more, 7, &err) && mk_session_append(same, more, 7, &err));
    step_all(e, s);
    step_all(e, same);
    assert_memory_equal(mk_session_logits(s), mk_session_logits(same), n_vocab * sizeof(float));
    mk_session_free(s), mk_session_free(same), mk_session_free(whole);
}

static void same_bits(void **state)
{
    (void)state;
    for (int kv = 0; kv < 4; kv++) {
        struct mk_engine *e = open_engine((enum mk_type[]){MK_F32, MK_F16, MK_BF16, MK_Q8_0}[kv]);
        struct mk_prefixes *p = open_prefixes(e, NULL);
        keep(p, e, 1, 5, N);
        for (size_t n = 0; n <= N + 20; n += 11) assert_int_equal(find(p, 1, 5, n), n < N ? n : N);
        check_load(p, e, 1, 5, N, N, 0);
        check_load(p, e, 1, 5, N, N, 70);
        assert_int_equal(find(p, 2, 5, N), 0);
        assert_int_equal(find(p, 1, 6, N), 0);
        mk_prefixes_close(p);
        mk_engine_close(e);
    }
}

/* Timelines that part in a block, at its border, and one that grows. */
static void branches(void **state)
{
    (void)state;
    struct mk_engine *e = open_engine(MK_F16);
    struct mk_prefixes *p = open_prefixes(e, NULL);
    int32_t a[N], b[N];
    fill(a, N, 1);
    for (size_t parts = 50; parts <= 128; parts += 78) {
        memcpy(b, a, sizeof a);
        for (size_t i = parts; i < N; i++) b[i] = (a[i] + 1) % 250;
        struct mk_session *sa = reader(e, a, N), *sb = reader(e, b, N);
        mk_prefixes_keep(p, 1, sa);
        const size_t before = mk_prefixes_stats(p).n_blocks;
        assert_int_equal(mk_prefixes_find(p, 1, b, N), parts);
        mk_prefixes_keep(p, 1, sb);
        assert_int_equal(mk_prefixes_find(p, 1, a, N), N);
        assert_int_equal(mk_prefixes_find(p, 1, b, N), N);
        assert_int_equal(mk_prefixes_stats(p).n_blocks - before, 4 - parts / 64);
        mk_session_free(sa), mk_session_free(sb);
    }
    const size_t before = mk_prefixes_stats(p).n_blocks;
    for (size_t n = 70; n < 128; n += 19) keep(p, e, 1, 2, n);
    assert_int_equal(find(p, 1, 2, N), 127);
    assert_int_equal(mk_prefixes_stats(p).n_blocks, before + 2);
    mk_prefixes_close(p);
    mk_engine_close(e);
}

/* The oldest goes, its end first. */
static void memory_limit(void **state)
{
    (void)state;
    struct mk_engine *e = open_engine(MK_F16);
    const size_t tok = mk_engine_info(e).kv_bytes_per_token;
    struct mk_prefixes *p = open_limited(e, (size_t)N * tok * 2 + 1, NULL, 0);
    for (unsigned seed = 0; seed < 2; seed++) keep(p, e, 1, seed, N);
    assert_int_equal(mk_prefixes_stats(p).n_bytes, 2 * N * tok);
    check_load(p, e, 1, 0, N, N, 0); /* now 1 is the oldest */
    keep(p, e, 1, 2, 100);
    assert_true(mk_prefixes_stats(p).n_bytes <= 2 * N * tok);
    assert_int_equal(find(p, 1, 0, N), N);
    assert_int_equal(find(p, 1, 1, N), 64);
    assert_int_equal(find(p, 1, 2, 100), 100);
    mk_prefixes_close(p);
    p = open_limited(e, 100 * tok, NULL, 0); /* less than one timeline */
    keep(p, e, 1, 2, N);
    assert_int_equal(find(p, 1, 2, N), 100);
    mk_prefixes_close(p);
    p = open_limited(e, 0, NULL, 0);
    keep(p, e, 1, 2, N);
    assert_int_equal(find(p, 1, 2, N), 0);
    mk_prefixes_close(p);
    mk_engine_close(e);
}

/* What was written is there for the next process; memory or not. */
static void folder(void **state)
{
    (void)state;
    struct mk_engine *e = open_engine(MK_F16);
    struct mk_prefixes *p = open_prefixes(e, cache);
    struct mk_err err;
    struct mk_prefixes *other;
    const struct mk_prefix_options o = {1 << 20, cache, 1 << 20};
    assert_false(mk_prefixes_open(&other, e, &o, &err));
    assert_int_equal(err.code, MK_EBUSY);
    keep(p, e, 7, 3, N);
    keep(p, e, 8, 4, 64);
    assert_true(mk_prefixes_write(p));
    assert_int_equal(mk_prefixes_stats(p).n_files, 1);
    mk_prefixes_close(p); /* the rest too */
    p = open_limited(e, 1, cache, 1 << 30);
    assert_int_equal(mk_prefixes_stats(p).n_files, 5);
    assert_int_equal(mk_prefixes_stats(p).n_bytes, 0);
    assert_int_equal(find(p, 7, 3, N), N);
    assert_int_equal(find(p, 8, 3, N), 0);
    check_load(p, e, 7, 3, N, N, 0);
    check_load(p, e, 8, 4, 64, 64, 3);
    assert_int_equal(mk_prefixes_stats(p).n_bytes, 0);
    mk_prefixes_close(p);
    const uint64_t most = 3 * 64 * mk_engine_info(e).kv_bytes_per_token;
    p = open_limited(e, 1 << 30, cache, most);
    assert_true(mk_prefixes_stats(p).n_file_bytes <= most);
    assert_true(mk_prefixes_stats(p).n_files > 0);
    for (unsigned seed = 0; seed < 5; seed++) keep(p, e, 7, seed, N);
    while (mk_prefixes_write(p)) assert_true(mk_prefixes_stats(p).n_file_bytes <= most);
    assert_int_equal(find(p, 7, 0, N), N); /* in memory still */
    mk_prefixes_close(p);
    mk_engine_close(e);
}

static size_t count_files(void)
{
    struct mk_folder_list l = {0};
    struct mk_err err;
    assert_true(mk_folder_list(&l, cache, &err));
    const size_t n = l.n;
    mk_folder_list_release(&l);
    return n;
}

/* Another type of keys and values, be it as large, or key: nothing fits. */
static void other_model(void **state)
{
    (void)state;
    struct mk_engine *e = open_engine(MK_F16), *q = open_engine(MK_BF16);
    struct mk_prefixes *p = open_prefixes(e, cache);
    keep(p, e, 7, 3, N);
    mk_prefixes_close(p);
    assert_int_equal(count_files(), 4 + 2); /* key, lock */
    p = open_prefixes(q, cache);
    assert_int_equal(mk_prefixes_stats(p).n_bad, 4);
    assert_int_equal(find(p, 7, 3, N), 0);
    keep(p, q, 7, 3, N);
    mk_prefixes_close(p);
    char path[80];
    snprintf(path, sizeof path, "%s/key", cache);
    struct mk_err err;
    assert_true(mk_file_write(path, "short", 5, &err));
    p = open_prefixes(q, cache);
    assert_int_equal(mk_prefixes_stats(p).n_bad, 4);
    mk_prefixes_close(p);
    mk_engine_close(e), mk_engine_close(q);
}

/* Calls fn for each of the four blocks of a fresh folder in turn. */
static void damage(void (*fn)(const char *path, const struct mk_str *bytes, size_t i),
                   struct mk_engine *e, size_t i)
{
    struct mk_err err;
    struct mk_folder_list l = {0};
    assert_true(mk_folder_remove(cache, &err));
    struct mk_prefixes *p = open_prefixes(e, cache);
    keep(p, e, 7, 3, N);
    mk_prefixes_close(p);
    assert_true(mk_folder_list(&l, cache, &err));
    struct mk_str path = {0}, bytes = {0};
    mk_str_addf(&path, "%s/%s", cache, l.v[i % 4]); /* digits come before "key" and "lock" */
    assert_true(mk_file_read(&bytes, path.data, 1 << 24, &err));
    fn(path.data, &bytes, i);
    p = open_prefixes(e, cache);
    struct mk_session *s;
    int32_t ids[N];
    size_t n;
    fill(ids, N, 3);
    assert_true(mk_session_new(&s, e, N_CTX, &err));
    mk_prefixes_load(p, 7, s, ids, N);
    mk_session_ids(s, &n);
    assert_true(n < N && n % 64 == 0); /* what comes before the damaged one */
    assert_int_equal(find(p, 7, 3, N), n);
    mk_session_free(s);
    check_load(p, e, 7, 3, N, n, 0);
    keep(p, e, 7, 3, N);
    check_load(p, e, 7, 3, N, N, 0);
    mk_prefixes_close(p);
    mk_str_release(&path);
    mk_str_release(&bytes);
    mk_folder_list_release(&l);
}

static void flip(const char *path, const struct mk_str *bytes, size_t i)
{
    struct mk_err err;
    const size_t at = i * 7919 * 31 % bytes->len;
    bytes->data[i < 100 ? i * 4 : at] ^= (char)(1 << i % 8);
    assert_true(mk_file_write(path, bytes->data, bytes->len, &err));
}

static void cut(const char *path, const struct mk_str *bytes, size_t i)
{
    struct mk_err err;
    assert_true(mk_file_write(path, bytes->data, bytes->len * i / 8, &err));
}

static void lengthen(const char *path, const struct mk_str *bytes, size_t i)
{
    struct mk_err err;
    struct mk_str longer = {0};
    mk_str_append(&longer, bytes->data, bytes->len);
    for (size_t k = 0; k <= i; k++) mk_str_addc(&longer, 'x');
    assert_true(mk_file_write(path, longer.data, longer.len, &err));
    mk_str_release(&longer);
}

static void replace_by_folder(const char *path, const struct mk_str *bytes, size_t i)
{
    (void)bytes, (void)i;
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
}

/* One block under the name of another. */
static void swap(const char *path, const struct mk_str *bytes, size_t i)
{
    struct mk_err err;
    struct mk_folder_list l = {0};
    struct mk_str other = {0};
    assert_true(mk_folder_list(&l, cache, &err));
    mk_str_addf(&other, "%s/%s", cache, l.v[(i + 1) % 4]);
    assert_true(mk_file_write(other.data, bytes->data, bytes->len, &err));
    assert_true(mk_file_exists(path));
    mk_str_release(&other);
    mk_folder_list_release(&l);
}

static void hostile(void **state)
{
    (void)state;
    struct mk_engine *e = open_engine(MK_F16);
    for (size_t i = 0; i < 120; i += 3) damage(flip, e, i);
    for (size_t i = 0; i < 8; i++) damage(cut, e, i);
    for (size_t i = 0; i < 4; i++) {
        damage(lengthen, e, i);
        damage(replace_by_folder, e, i);
        damage(swap, e, i);
    }
    mk_engine_close(e);
}

/* A folder that went away, and ones that cannot be used. */
static void failures(void **state)
{
    (void)state;
    struct mk_engine *e = open_engine(MK_F16);
    struct mk_prefixes *p = open_prefixes(e, cache);
    struct mk_err err;
    keep(p, e, 7, 3, N);
    assert_true(mk_folder_remove(cache, &err));
    while (mk_prefixes_write(p)) {}
    assert_int_equal(mk_prefixes_stats(p).n_failed, 4);
    assert_int_equal(mk_prefixes_stats(p).write_err.code, MK_EIO);
    check_load(p, e, 7, 3, N, N, 0);
    mk_prefixes_close(p);
    const struct mk_prefix_options in_file = {1, "/dev/null/x", 1}, open_to_all = {1, cache, 1};
    assert_false(mk_prefixes_open(&p, e, &in_file, &err));
    assert_int_equal(mkdir(cache, 0700), 0);
    assert_int_equal(chmod(cache, 0777), 0);
    assert_false(mk_prefixes_open(&p, e, &open_to_all, &err));
    assert_int_equal(err.code, MK_EUSAGE);
    mk_engine_close(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bits),
        cmocka_unit_test(branches),
        cmocka_unit_test(memory_limit),
        cmocka_unit_test_setup_teardown(folder, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_model, set_up, tear_down),
        cmocka_unit_test_setup_teardown(hostile, set_up, tear_down),
        cmocka_unit_test_setup_teardown(failures, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
