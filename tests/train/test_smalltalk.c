/* Smalltalk: reproducible, varied, split by hash, and answered from a small set. */
#include "base/mem.h"
#include "train/smalltalk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N = 5000, MAX_ANSWERS = 64 };

struct texts {
    struct mk_str prompt, thought, answer;
};
#define NO_TEXTS        \
    {                   \
        {0}, {0}, { 0 } \
    }

static void texts_release(struct texts *t)
{
    mk_str_release(&t->prompt);
    mk_str_release(&t->thought);
    mk_str_release(&t->answer);
}

static void draw(struct texts *t, uint64_t index, enum mk_split split)
{
    mk_smalltalk_draw(&t->prompt, &t->thought, &t->answer, 3, index, split);
}

static void same_again(void **state)
{
    (void)state;
    struct texts a = NO_TEXTS, b = NO_TEXTS;
    for (uint64_t i = 0; i < 200; i++) {
        struct mk_rng r = {i}, s = {i};
        mk_smalltalk_make(&a.prompt, &a.thought, &a.answer, &r);
        mk_smalltalk_make(&b.prompt, &b.thought, &b.answer, &s);
        assert_string_equal(a.prompt.data, b.prompt.data);
        assert_string_equal(a.thought.data, b.thought.data);
        assert_string_equal(a.answer.data, b.answer.data);
        assert_int_equal(r.state, s.state);
    }
    texts_release(&a);
    texts_release(&b);
}

/* Texts are printable and short, brackets of patterns never show, and no pattern is broken. */
static void texts_are_sound(void **state)
{
    (void)state;
    struct texts t = NO_TEXTS;
    for (uint64_t i = 0; i < 20000; i++) {
        draw(&t, i, i % 16 ? MK_SPLIT_TRAIN : MK_SPLIT_HELDOUT);
        assert_in_range(t.prompt.len, 1, 120);
        assert_in_range(t.thought.len, 1, 60);
        assert_in_range(t.answer.len, 1, 160);
        for (size_t k = 0; k < t.prompt.len; k++) {
            assert_in_range(t.prompt.data[k], ' ', '~');
            if (strchr("[]{}|<>", t.prompt.data[k])) fail_msg("%s", t.prompt.data);
        }
        if (strstr(t.prompt.data, "  ") || t.prompt.data[0] == ' ') fail_msg("%s", t.prompt.data);
    }
    texts_release(&t);
}

static int by_hash(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void many_questions_few_answers(void **state)
{
    (void)state;
    uint64_t *seen = mk_calloc(N, sizeof *seen), answer[MAX_ANSWERS];
    struct texts t = NO_TEXTS;
    size_t n_answer = 0, n = 1;
    for (uint64_t i = 0; i < N; i++) {
        draw(&t, i, MK_SPLIT_TRAIN);
        seen[i] = mk_text_hash(t.prompt.data, t.prompt.len);
        assert_int_equal(mk_hash_split(seen[i]), MK_SPLIT_TRAIN);
        const uint64_t h = mk_text_hash(t.answer.data, t.answer.len);
        size_t k = 0;
        while (k < n_answer && answer[k] != h) k++;
        if (k < n_answer) continue;
        assert_true(n_answer < MAX_ANSWERS);
        answer[n_answer++] = h;
    }
    qsort(seen, N, sizeof *seen, by_hash);
    for (size_t i = 1; i < N; i++) n += seen[i] != seen[i - 1];
    assert_true(n > N / 2);
    assert_in_range(n_answer, 20, 40);
    for (uint64_t i = 0; i < 300; i++) { /* held out: not in the training draws */
        draw(&t, i, MK_SPLIT_HELDOUT);
        const uint64_t h = mk_text_hash(t.prompt.data, t.prompt.len);
        assert_null(bsearch(&h, seen, N, sizeof *seen, by_hash));
    }
    texts_release(&t);
    free(seen);
}

static void answers_are_compared_by_kind(void **state)
{
    (void)state;
    struct texts t = NO_TEXTS;
    static const char thanks[] = "You are welcome!";
    size_t n_thanks = 0;
    for (uint64_t i = 0; i < N; i++) {
        draw(&t, i, MK_SPLIT_TRAIN);
        assert_true(mk_smalltalk_same(&t.answer, t.answer.data, t.answer.len));
        assert_false(mk_smalltalk_same(&t.answer, t.answer.data, t.answer.len - 1));
        assert_false(mk_smalltalk_same(&t.answer, "", 0));
        const bool is_thanks = strcmp(t.thought.data, "thanks") == 0;
        assert_int_equal(mk_smalltalk_same(&t.answer, thanks, strlen(thanks)), is_thanks);
        n_thanks += is_thanks;
    }
    assert_true(n_thanks > 0);
    mk_str_clear(&t.answer);
    mk_str_add(&t.answer, "Why do whales like salt water? Because pepper makes them sneeze.");
    static const char other[] = " What do whales chew? Blubber gum.\n";
    assert_true(mk_smalltalk_same(&t.answer, other, strlen(other)));
    assert_false(mk_smalltalk_same(&t.answer, "Blubber gum.", 12));
    texts_release(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_again),
        cmocka_unit_test(texts_are_sound),
        cmocka_unit_test(many_questions_few_answers),
        cmocka_unit_test(answers_are_compared_by_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
