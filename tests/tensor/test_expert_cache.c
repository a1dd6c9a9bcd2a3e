/* The cache of experts: what is in memory, who goes, what fails, and its threads. */
#include "base/mem.h"
#include "base/rng.h"
#include "tensor/expert_cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Every byte of expert e of layer l is its number; parts begin at odd places. */
enum { N_LAYER = 3, N_EXPERT = 12, PART = 5000, N_ENTRIES = N_LAYER * N_EXPERT };

struct fixture {
    char path[40];
    struct mk_direct file;
    struct mk_expert_part parts[N_ENTRIES * MK_EXPERT_PARTS];
    const uint8_t *data[N_ENTRIES * MK_EXPERT_PARTS];
    struct mk_expert_cache *c;
    size_t room;
};

static void make(struct fixture *f, size_t n_fit)
{
    uint8_t bytes[PART];
    struct mk_err err;
    strcpy(f->path, "/tmp/mk-experts-XXXXXX");
    const int fd = mkstemp(f->path);
    assert_true(fd >= 0);
    for (size_t i = 0; i < N_ENTRIES * MK_EXPERT_PARTS; i++) {
        f->parts[i] = (struct mk_expert_part){0, i * PART, PART, &f->data[i]};
        memset(bytes, (int)(i / MK_EXPERT_PARTS), PART);
        assert_int_equal(write(fd, bytes, PART), PART);
    }
    close(fd);
    assert_true(mk_direct_open(&f->file, f->path, &err));
    assert_true(mk_expert_cache_new(&f->c, &f->file, f->parts, N_LAYER, N_EXPERT, &err));
    f->room = mk_expert_room(f->parts);
    mk_expert_cache_begin(f->c, n_fit * f->room);
}

static void drop(struct fixture *f)
{
    mk_expert_cache_free(f->c);
    mk_direct_close(&f->file);
    unlink(f->path);
}

static bool is_in(const struct fixture *f, size_t layer, size_t e)
{
    return f->data[(layer * N_EXPERT + e) * MK_EXPERT_PARTS] != NULL;
}

static void check_bytes(const struct fixture *f, size_t layer, int32_t e)
{
    const size_t at = layer * N_EXPERT + (size_t)e;
    for (size_t k = 0; k < MK_EXPERT_PARTS; k++) {
        const uint8_t *p = f->data[at * MK_EXPERT_PARTS + k];
        assert_non_null(p);
        assert_int_equal(p[0], at);
        assert_int_equal(p[PART - 1], at);
    }
}

/* One layer's turn: all of the ids, in as many groups as it takes; how many. */
static size_t use(struct fixture *f, size_t layer, const int32_t *id, size_t n)
{
    struct mk_err err;
    size_t groups = 0;
    for (size_t at = 0, got; at < n; at += got, groups++) {
        got = mk_expert_cache_want(f->c, layer, id + at, n - at);
        assert_true(got > 0);
        if (!mk_expert_cache_wait(f->c, layer, id + at, got, &err)) fail_msg("%s", err.msg);
        for (size_t i = 0; i < got; i++) check_bytes(f, layer, id[at + i]);
        mk_expert_cache_release(f->c, layer, id + at, got);
    }
    return groups;
}

static void reads_in_groups(void **state)
{
    (void)state;
    static const int32_t all[N_EXPERT] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    for (size_t n_fit = 1; n_fit <= 2 * N_EXPERT; n_fit += 3) {
        struct fixture f;
        make(&f, n_fit);
        for (size_t layer = 0; layer < N_LAYER; layer++) {
            const size_t groups = use(&f, layer, all, N_EXPERT);
            if (layer == 0) assert_int_equal(groups, (N_EXPERT + n_fit - 1) / n_fit);
            assert_true(mk_expert_cache_held(f.c) <= n_fit * f.room);
        }
        const struct mk_expert_stats s = mk_expert_cache_stats(f.c);
        assert_int_equal(s.n_need, N_ENTRIES);
        assert_int_equal(s.n_hit, 0);
        drop(&f);
    }
}

static void keeps_what_is_used(void **state)
{
    (void)state;
    struct fixture f;
    make(&f, 3);
    for (size_t step = 0; step < 4; step++) { /* 1 and 2 often, then others once each */
        mk_expert_cache_begin(f.c, 3 * f.room);
        use(&f, 0, (const int32_t[]){1, 2}, 2);
    }
    for (int32_t e = 5; e < 9; e++) {
        mk_expert_cache_begin(f.c, 3 * f.room);
        use(&f, 0, &e, 1);
        assert_true(is_in(&f, 0, 1) && is_in(&f, 0, 2));
    }
    assert_int_equal(mk_expert_cache_stats(f.c).n_hit, 6);
    /* A use of long ago counts less than a few new ones. */
    for (size_t step = 0; step < 300; step++) {
        mk_expert_cache_begin(f.c, 3 * f.room);
        use(&f, 1, (const int32_t[]){3, 4}, 2);
    }
    mk_expert_cache_begin(f.c, 3 * f.room);
    use(&f, 2, (const int32_t[]){0}, 1);
    assert_true(is_in(&f, 1, 3) && is_in(&f, 1, 4) && !is_in(&f, 0, 1));
    drop(&f);
}

static void never_drops_the_pinned(void **state)
{
    (void)state;
    static const int32_t mine[] = {1, 2}, more[] = {3, 4, 5};
    struct fixture f;
    struct mk_err err;
    make(&f, 3);
    assert_int_equal(mk_expert_cache_want(f.c, 0, mine, 2), 2);
    assert_int_equal(mk_expert_cache_want(f.c, 0, more, 3), 1); /* one place is left */
    assert_true(mk_expert_cache_wait(f.c, 0, mine, 2, &err));
    mk_expert_cache_guess(f.c, 1, more, 3);
    mk_expert_cache_begin(f.c, f.room); /* less than what is in use */
    check_bytes(&f, 0, 1);
    check_bytes(&f, 0, 2);
    assert_int_equal(mk_expert_cache_want(f.c, 2, more, 3), 0);
    mk_expert_cache_release(f.c, 0, mine, 2);
    mk_expert_cache_release(f.c, 0, more, 1);
    mk_expert_cache_begin(f.c, f.room - 1); /* room for none */
    assert_int_equal(mk_expert_cache_want(f.c, 2, more, 3), 0);
    assert_true(mk_expert_cache_held(f.c) <= f.room);
    drop(&f);
}

static void guesses(void **state)
{
    (void)state;
    static const int32_t now[] = {0}, next[] = {2, 5}, other[] = {5, 7};
    struct fixture f;
    make(&f, 6);
    use(&f, 0, now, 1);
    mk_expert_cache_guess(f.c, 1, next, 2);
    for (int i = 0; i < 1000 && mk_expert_cache_stats(f.c).n_read_bytes < 3 * f.room / 2; i++)
        usleep(1000);
    use(&f, 1, other, 2);
    const struct mk_expert_stats s = mk_expert_cache_stats(f.c);
    assert_int_equal(s.n_need, 3);
    assert_int_equal(s.n_right, 1);
    assert_int_equal(s.n_hit, 0);
    assert_in_range(s.n_guess, 1, 2); /* one may have been forgotten before it was read */
    drop(&f);
}

static void fails_where_it_cannot_read(void **state)
{
    (void)state;
    static const int32_t id[] = {1, 11};
    struct fixture f;
    struct mk_err err;
    make(&f, 6);
    use(&f, 0, id, 2);
    assert_int_equal(truncate(f.path, PART), 0);
    mk_expert_cache_guess(f.c, 1, id, 2); /* fails in silence */
    assert_int_equal(mk_expert_cache_want(f.c, 2, id, 2), 2);
    assert_false(mk_expert_cache_wait(f.c, 2, id, 2, &err));
    assert_int_equal(err.code, MK_EIO);
    assert_non_null(strstr(err.msg, "has changed"));
    mk_expert_cache_release(f.c, 2, id, 2);
    assert_false(is_in(&f, 2, 1) || is_in(&f, 2, 11));
    use(&f, 0, id, 2); /* these are in memory */
    assert_int_equal(mk_expert_cache_want(f.c, 1, id, 2), 2);
    assert_false(mk_expert_cache_wait(f.c, 1, id, 2, &err));
    mk_expert_cache_release(f.c, 1, id, 2);
    drop(&f);
}

static size_t some(struct mk_rng *rng, int32_t id[N_EXPERT])
{
    size_t n = 0;
    for (int32_t e = 0; e < N_EXPERT; e++)
        if (mk_rng_u64(rng) % 3 == 0) id[n++] = e;
    return n;
}

/* All calls in any order that is allowed, with budgets that come and go. */
static void stands_a_storm(void **state)
{
    (void)state;
    struct fixture f;
    struct mk_rng rng = {4};
    int32_t id[N_EXPERT], next[N_EXPERT];
    make(&f, 5);
    for (size_t step = 0; step < 300; step++) {
        const size_t n_fit = 1 + mk_rng_u64(&rng) % 9;
        mk_expert_cache_begin(f.c, n_fit * f.room);
        for (size_t layer = 0; layer < N_LAYER; layer++) {
            const size_t n = some(&rng, id), n_next = some(&rng, next);
            if (n_next && layer + 1 < N_LAYER) mk_expert_cache_guess(f.c, layer + 1, next, n_next);
            use(&f, layer, id, n);
            assert_true(mk_expert_cache_held(f.c) <= n_fit * f.room);
        }
    }
    const struct mk_expert_stats s = mk_expert_cache_stats(f.c);
    assert_true(s.n_hit > 0 && s.n_right > 0 && s.n_hit + s.n_right < s.n_need);
    drop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_in_groups),
        cmocka_unit_test(keeps_what_is_used),
        cmocka_unit_test(never_drops_the_pinned),
        cmocka_unit_test(guesses),
        cmocka_unit_test(fails_where_it_cannot_read),
        cmocka_unit_test(stands_a_storm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
