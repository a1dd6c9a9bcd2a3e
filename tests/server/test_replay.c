/* The memory of what models wrote: their tokens and the spacing of arguments come back, to their
 * owner only, and nothing else changes. */
#include "server/replay.h"

#include "formats/tensors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MODEL "models/tiny/tiny.gguf"

static struct mk_tensors tensors;
static struct mk_tokenizer *t;
static struct mk_replay r;

static int set_up(void **state)
{
    (void)state;
    struct mk_err err;
    mk_replay_init(&r);
    return mk_tensors_open(&tensors, MODEL, &err) && mk_tokenizer_open(&t, &tensors, &err) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    mk_replay_release(&r);
    mk_tokenizer_free(t);
    mk_tensors_close(&tensors);
    return 0;
}

static int32_t a_tag(void)
{
    for (int32_t i = 0; i < mk_token_count(t); i++)
        if (mk_token_is_tag(t, i)) return i;
    fail_msg("the tokenizer has no tag");
    return -1;
}

/* The text byte by byte, which is not how it is usually cut. */
static void add_bytes(struct mk_ids *out, const char *text)
{
    for (; *text; text++) mk_tokenize(t, text, 1, 0, out);
}

static void add_text(struct mk_ids *out, const char *text)
{
    mk_tokenize(t, text, strlen(text), 0, out);
}

static void check(uint64_t owner, const struct mk_ids *usual, const struct mk_ids *want)
{
    struct mk_ids ids = {0};
    mk_ids_append(&ids, usual->v, usual->n);
    mk_replay_ids(&r, owner, t, &ids);
    assert_int_equal(ids.n, want->n);
    assert_memory_equal(ids.v, want->v, want->n * sizeof *want->v);
    mk_ids_release(&ids);
}

static const char SAID[] = "the the there, and other words";

static void tokens(void **state)
{
    (void)state;
    const int32_t tag = a_tag();
    struct mk_ids prompt = {0}, answer = {0}, usual = {0}, written = {0};
    add_text(&prompt, "asked");
    mk_ids_add(&prompt, tag);
    add_bytes(&answer, SAID);
    mk_replay_keep(&r, 7, t, &prompt, &answer);
    struct mk_ids *both[] = {&usual, &written};
    for (size_t i = 0; i < 2; i++) {
        add_text(both[i], "asked");
        mk_ids_add(both[i], tag);
        (i ? add_bytes : add_text)(both[i], SAID);
        mk_ids_add(both[i], tag);
        add_text(both[i], "more");
    }
    assert_true(written.n > usual.n);
    check(7, &usual, &written);
    check(8, &usual, &usual);
    usual.v[usual.n - 1] ^= 1; /* what follows is another matter */
    written.v[written.n - 1] = usual.v[usual.n - 1];
    check(7, &usual, &written);
    struct mk_ids first = {0}; /* not after the tag */
    add_text(&first, SAID);
    check(7, &first, &first);
    mk_ids_release(&prompt), mk_ids_release(&answer), mk_ids_release(&usual);
    mk_ids_release(&written), mk_ids_release(&first);
}

/* An answer that goes on with text of the prompt, as without a generation prompt. */
static void inside_a_run(void **state)
{
    (void)state;
    struct mk_ids prompt = {0}, answer = {0}, whole = {0}, written = {0};
    mk_ids_add(&prompt, a_tag());
    add_text(&prompt, "It says: ");
    add_bytes(&answer, SAID);
    mk_replay_keep(&r, 7, t, &prompt, &answer);
    mk_ids_add(&whole, a_tag());
    char text[80];
    snprintf(text, sizeof text, "It says: %s", SAID);
    add_text(&whole, text);
    mk_ids_append(&written, prompt.v, prompt.n);
    mk_ids_append(&written, answer.v, answer.n);
    check(7, &whole, &written);
    mk_ids_release(&prompt), mk_ids_release(&answer), mk_ids_release(&whole);
    mk_ids_release(&written);
}

static void calls(void **state)
{
    (void)state;
    char id[MK_CALL_ID], other[MK_CALL_ID], again[MK_CALL_ID];
    mk_call_id(id, "request", 0);
    mk_call_id(again, "request", 0);
    mk_call_id(other, "request", 1);
    assert_string_equal(id, again);
    assert_string_not_equal(id + 8, other + 8);
    assert_int_equal(strlen(id), 32);
    mk_replay_keep_call(&r, 7, id, "{ \"a\":  [1, 2] }");
    char *got = mk_replay_call(&r, 7, id, "{\"a\":[1,2]}");
    assert_string_equal(got, "{ \"a\":  [1, 2] }");
    free(got);
    memcpy(id, "toolu_00", 8);
    got = mk_replay_call(&r, 7, id, "{\"a\":[1,2]}");
    assert_non_null(got);
    free(got);
    assert_null(mk_replay_call(&r, 7, id, "{\"a\":[1,3]}"));
    assert_null(mk_replay_call(&r, 7, id, "no JSON"));
    assert_null(mk_replay_call(&r, 8, id, "{\"a\":[1,2]}"));
    assert_null(mk_replay_call(&r, 7, other, "{\"a\":[1,2]}"));
    assert_null(mk_replay_call(&r, 7, "call_0", "{\"a\":[1,2]}"));
}

/* However much is said, the memory stays bounded, and the newest is known. */
static void bounds(void **state)
{
    (void)state;
    char *big = malloc((2 << 20) + 1), id[MK_CALL_ID];
    memset(big, '1', 2 << 20);
    big[2 << 20] = 0;
    for (size_t i = 0; i < 20; i++) {
        mk_call_id(id, "big", i);
        mk_replay_keep_call(&r, 7, id, big);
        assert_true(r.n_bytes <= 8 << 20);
    }
    for (size_t i = 0; i < 20000; i++) {
        mk_call_id(id, "small", i);
        mk_replay_keep_call(&r, 7, id, "{}");
    }
    char *got = mk_replay_call(&r, 7, id, "{ }");
    assert_string_equal(got, "{}");
    free(got);
    free(big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(tokens, set_up, tear_down),
        cmocka_unit_test_setup_teardown(inside_a_run, set_up, tear_down),
        cmocka_unit_test_setup_teardown(calls, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bounds, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
