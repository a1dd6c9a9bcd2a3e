/* The splitter: what it makes of whole outputs, and that it makes the same of them however
 * they are cut into pieces. */
#include "base/rng.h"
#include "chat_test.h"

/* All that came out: the two texts, and calls as "[id name|arguments]" in between, as the
 * pieces said it. */
struct result {
    struct mk_str reasoning, answer, calls;
};
struct run {
    struct mk_splitter *s;
    struct result r;
    bool in_call;
};

static void take(void *arg, enum mk_part part, const char *b, size_t n)
{
    struct run *run = arg;
    if (part == MK_PART_CALL && n == 0) {
        size_t n_calls;
        const struct mk_tool_call *call = mk_splitter_calls(run->s, &n_calls);
        call += n_calls - 1;
        assert_string_equal(call->arguments, "");
        mk_str_addf(&run->r.calls, "[%s %s|", call->id, call->name);
    } else {
        assert_true(n > 0);
        mk_str_append(part == MK_PART_REASONING ? &run->r.reasoning
                      : part == MK_PART_ANSWER  ? &run->r.answer
                                                : &run->r.calls,
                      b, n);
    }
}

static void run_begin(struct run *r, const char *name, enum mk_inside inside)
{
    *r = (struct run){0};
    r->s = mk_splitter_new(mk_template_find(name), inside, take, r);
}

/* The finished calls say the same as the pieces did. */
static void run_end(struct run *r)
{
    mk_splitter_end(r->s);
    size_t n;
    const struct mk_tool_call *calls = mk_splitter_calls(r->s, &n);
    struct mk_str want = {0};
    for (size_t i = 0; i < n; i++)
        mk_str_addf(&want, "[%s %s|%s", calls[i].id, calls[i].name, calls[i].arguments);
    assert_string_equal(mk_str_c(&r->r.calls), mk_str_c(&want));
    mk_str_release(&want);
    mk_splitter_free(r->s);
}

static void run_release(struct run *r)
{
    mk_str_release(&r->r.reasoning);
    mk_str_release(&r->r.answer);
    mk_str_release(&r->r.calls);
}

#define C0        MK_CALLS MK_CALL
#define V3(n, a)  "function" MK_CALL_SEP n "\n```json\n" a "\n```" MK_CALL_END
#define V31(n, a) n MK_CALL_SEP a MK_CALL_END
#define NAME_128                                                       \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static const struct sample {
    const char *template_name;
    enum mk_inside inside;
    const char *text, *reasoning, *answer, *calls;
} samples[] = {
    /* Thought and answer. */
    {"deepseek-r1", MK_IN_THOUGHT, "I see.\n</think>\n\nHi <b>!", "I see.\n", "Hi <b>!", ""},
    {"deepseek-r1", MK_IN_THOUGHT, "no end </thin", "no end </thin", "", ""},
    {"deepseek-r1", MK_IN_THOUGHT, "a</think", "a</think", "", ""},
    {"deepseek-r1", MK_IN_THOUGHT, "</think>", "", "", ""},
    {"deepseek-r1", MK_IN_THOUGHT, "a < b </thinks> </think>c</think>d", "a < b </thinks> ",
     "c</think>d", ""},
    {"deepseek-r1", MK_IN_THOUGHT, "<think>\nagain</think>x", "\nagain", "x", ""},
    {"deepseek-r1", MK_IN_TURN, "\n<think>\nthought</think>\n\n\nx\n\ny", "\nthought", "x\n\ny",
     ""},
    {"deepseek-r1", MK_IN_TURN, "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n<think>a", "", "<think>a", ""},
    {"deepseek-r1", MK_IN_TURN, "no thought", "", "no thought", ""},
    {"deepseek-v3.1", MK_IN_TURN, "\n\nAnswer <think> in text", "", "Answer <think> in text", ""},
    {"deepseek-v3.1", MK_IN_TURN, "\n\n", "", "", ""},
    {"deepseek-v3.1", MK_IN_THOUGHT, "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\nlate</think>x",
     "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\nlate", "x", ""},
    {"r1-distill-qwen", MK_IN_THOUGHT, "\xe4\xbd\xa0</think>\xe5\xa5\xbd", "\xe4\xbd\xa0",
     "\xe5\xa5\xbd", ""},
    {"deepseek-v3.1", MK_IN_THOUGHT, "<thin</think>\n<｜tool", "<thin", "<｜tool", ""},
    /* Families that do not think, or write a space. */
    {"deepseek-v3", MK_IN_TURN, "\n<think>a</think>", "", "\n<think>a</think>", ""},
    {"deepseek-v2", MK_IN_TURN, " Hello", "", "Hello", ""},
    {"deepseek-v2", MK_IN_TURN, "  Hello" C0, "", " Hello" C0, ""},
    {"deepseek-v2", MK_IN_THOUGHT, "Hello", "", "Hello", ""},
    /* Going on in an answer: nothing is layout. */
    {"deepseek-v2", MK_IN_ANSWER, " Hello", "", " Hello", ""},
    {"deepseek-r1", MK_IN_ANSWER, "\n\nx", "", "\n\nx", ""},
    {"deepseek-v3.1", MK_IN_ANSWER, "\n<think>a</think>", "", "\n<think>a</think>", ""},
    {"deepseek-v3.1", MK_IN_ANSWER, C0 V31("f", "{}") MK_CALLS_END, "", "", "[call_0 f|{}"},
    /* Calls of V3 and R1. */
    {"deepseek-v3", MK_IN_TURN, C0 V3("f", "{\"a\": 1}") MK_CALLS_END, "", "",
     "[call_0 f|{\"a\": 1}"},
    {"deepseek-v3", MK_IN_TURN,
     "Wait." C0 V3("f", "{}") "\n" MK_CALL V3("g.h", "{\"x\":\"\\n```\"}") MK_CALLS_END " after",
     "", "Wait. after", "[call_0 f|{}[call_1 g.h|{\"x\":\"\\n```\"}"},
    {"deepseek-v3", MK_IN_TURN, C0 V3("f", "{\n```\n}"), "", "", "[call_0 f|{\n```\n}"},
    {"deepseek-v3", MK_IN_TURN, C0 V3("f", "{}") "\n\n", "", "", "[call_0 f|{}"},
    {"deepseek-v3", MK_IN_TURN, C0 V3("f", ""), "", "", "[call_0 f|"},
    {"deepseek-v3", MK_IN_TURN, MK_CALL V3("f", "{}") "text", "", "text", "[call_0 f|{}"},
    {"deepseek-r1", MK_IN_THOUGHT, "Call it.</think>\n\n" C0 V3("f", "{}") MK_CALLS_END, "Call it.",
     "", "[call_0 f|{}"},
    {"deepseek-r1", MK_IN_THOUGHT, "Call it." C0 V3("f", "{}") MK_CALLS_END "x", "Call it.", "x",
     "[call_0 f|{}"},
    {"deepseek-v3", MK_IN_TURN, C0 "function" MK_CALL_SEP "f\n```json\n{}" MK_CALL_END, "", "",
     "[call_0 f|{}"},
    /* Calls of V3.1. */
    {"deepseek-v3.1", MK_IN_TURN,
     "a" C0 V31("f", "{\"x\":\"<b>\"}") MK_CALL V31("g", "{}") MK_CALLS_END, "", "a",
     "[call_0 f|{\"x\":\"<b>\"}[call_1 g|{}"},
    {"deepseek-v3.1", MK_IN_TURN, C0 V31(NAME_128, "{}") MK_CALLS_END, "", "",
     "[call_0 " NAME_128 "|{}"},
    /* Cut off: the call is what was written. */
    {"deepseek-v3.1", MK_IN_TURN, C0 "f" MK_CALL_SEP "{\"x\": \"lo", "", "",
     "[call_0 f|{\"x\": \"lo"},
    {"deepseek-v3.1", MK_IN_TURN, C0 "f" MK_CALL_SEP, "", "", "[call_0 f|"},
    {"deepseek-v3", MK_IN_TURN, C0 "function" MK_CALL_SEP "f\n```json\n{}\n``", "", "",
     "[call_0 f|{}\n``"},
    {"deepseek-v3", MK_IN_TURN, C0 "function" MK_CALL_SEP "f\n```json\n{}\n```<｜tool", "", "",
     "[call_0 f|{}"},
    /* Not calls: nothing is lost. */
    {"deepseek-v3.1", MK_IN_TURN, C0 "f", "", C0 "f", ""},
    {"deepseek-v3.1", MK_IN_TURN, MK_CALLS, "", MK_CALLS, ""},
    {"deepseek-v3.1", MK_IN_TURN, MK_CALLS MK_CALLS_END, "", MK_CALLS MK_CALLS_END, ""},
    {"deepseek-v3.1", MK_IN_TURN, MK_CALLS " text", "", MK_CALLS " text", ""},
    {"deepseek-v3.1", MK_IN_TURN, C0 MK_CALL_SEP "{}" MK_CALL_END, "",
     C0 MK_CALL_SEP "{}" MK_CALL_END, ""},
    {"deepseek-v3.1", MK_IN_TURN, C0 "two words" MK_CALL_SEP "{}", "",
     C0 "two words" MK_CALL_SEP "{}", ""},
    {"deepseek-v3.1", MK_IN_TURN, C0 NAME_128 "x" MK_CALL_SEP "{}", "",
     C0 NAME_128 "x" MK_CALL_SEP "{}", ""},
    {"deepseek-v3.1", MK_IN_TURN, MK_CALLS C0 V31("f", "{}") MK_CALLS_END, "", MK_CALLS,
     "[call_0 f|{}"},
    {"deepseek-v3.1", MK_IN_TURN, C0 V31("f", "{}") "\n" MK_CALL "x y" MK_CALLS_END, "",
     "\n" MK_CALL "x y" MK_CALLS_END, "[call_0 f|{}"},
    {"deepseek-v3.1", MK_IN_TURN, C0 V31("f", "{}") "\nwords", "", "\nwords", "[call_0 f|{}"},
    {"deepseek-v3.1", MK_IN_TURN, C0 V31("f", "{}") "\n<｜tool", "", "\n<｜tool", "[call_0 f|{}"},
    {"deepseek-r1", MK_IN_THOUGHT, "t" C0 "nothing</think>a", "t" C0 "nothing", "a", ""},
    {"deepseek-v3", MK_IN_TURN, C0 V31("f", "{}"), "", C0 V31("f", "{}"), ""},
    {"deepseek-v3", MK_IN_TURN, C0 "function" MK_CALL_SEP "\n```json\n{}", "",
     C0 "function" MK_CALL_SEP "\n```json\n{}", ""},
};
enum { N_SAMPLES = sizeof samples / sizeof samples[0] };

static void check_run(const struct sample *s, struct run *r)
{
    run_end(r);
    assert_string_equal(mk_str_c(&r->r.reasoning), s->reasoning);
    assert_string_equal(mk_str_c(&r->r.answer), s->answer);
    assert_string_equal(mk_str_c(&r->r.calls), s->calls);
    run_release(r);
}

static void whole(void **state)
{
    (void)state;
    for (int i = 0; i < N_SAMPLES; i++) {
        struct run r;
        run_begin(&r, samples[i].template_name, samples[i].inside);
        mk_splitter_add(r.s, samples[i].text, strlen(samples[i].text));
        check_run(&samples[i], &r);
    }
}

static void byte_by_byte(void **state)
{
    (void)state;
    for (int i = 0; i < N_SAMPLES; i++) {
        struct run r;
        run_begin(&r, samples[i].template_name, samples[i].inside);
        for (const char *p = samples[i].text; *p; p++) mk_splitter_add(r.s, p, 1);
        check_run(&samples[i], &r);
    }
}

static void every_cut(void **state)
{
    (void)state;
    for (int i = 0; i < N_SAMPLES; i++) {
        const char *text = samples[i].text;
        const size_t n = strlen(text);
        for (size_t cut = 0; cut <= n; cut++) {
            struct run r;
            run_begin(&r, samples[i].template_name, samples[i].inside);
            mk_splitter_add(r.s, text, cut);
            mk_splitter_add(r.s, text + cut, n - cut);
            check_run(&samples[i], &r);
        }
    }
}

/* Random rows of tags, parts of tags and words, in random pieces: the same result as in one
 * piece. */
static void random_texts(void **state)
{
    (void)state;
    static const char *const words[] = {
        MK_CALLS,   MK_CALL,   MK_CALLS_END, MK_CALL_END, MK_CALL_SEP,
        "function", "f",       " ",          "\n",        "\n```json\n",
        "\n```",    "{}",      "<",          "<｜",       "<｜tool▁call",
        "</think>", "<think>", "</",         "word"};
    enum { N_WORDS = sizeof words / sizeof words[0] };
    struct mk_rng rng = {20250821};
    for (int round = 0; round < 20000; round++) {
        size_t n_templates = 0;
        while (mk_templates[n_templates]) n_templates++;
        const char *name = mk_templates[mk_rng_u64(&rng) % n_templates]->name;
        const enum mk_inside inside = (enum mk_inside)(mk_rng_u64(&rng) % 3);
        struct mk_str text = {0};
        for (size_t k = mk_rng_u64(&rng) % 16; k-- > 0;)
            mk_str_add(&text, words[mk_rng_u64(&rng) % N_WORDS]);
        struct run one, many;
        run_begin(&one, name, inside);
        mk_splitter_add(one.s, mk_str_c(&text), text.len);
        run_end(&one);
        run_begin(&many, name, inside);
        for (size_t at = 0; at < text.len;) {
            size_t n = 1 + mk_rng_u64(&rng) % 12;
            if (n > text.len - at) n = text.len - at;
            mk_splitter_add(many.s, text.data + at, n);
            at += n;
        }
        run_end(&many);
        if (strcmp(mk_str_c(&one.r.reasoning), mk_str_c(&many.r.reasoning)) != 0 ||
            strcmp(mk_str_c(&one.r.answer), mk_str_c(&many.r.answer)) != 0 ||
            strcmp(mk_str_c(&one.r.calls), mk_str_c(&many.r.calls)) != 0)
            fail_msg("%s, in pieces not the same: %s", name, text.data);
        run_release(&one);
        run_release(&many);
        mk_str_release(&text);
    }
}

/* What cannot be the beginning of a tag does not wait. */
static void holds_back_no_more_than_needed(void **state)
{
    (void)state;
    struct run r;
    run_begin(&r, "deepseek-r1", MK_IN_THOUGHT);
    mk_splitter_add(r.s, "a <", 3);
    assert_string_equal(mk_str_c(&r.r.reasoning), "a ");
    mk_splitter_add(r.s, "b", 1);
    assert_string_equal(mk_str_c(&r.r.reasoning), "a <b");
    mk_splitter_add(r.s, "</think>", 8);
    mk_splitter_add(r.s, "\n\nHi", 4);
    assert_string_equal(mk_str_c(&r.r.answer), "Hi");
    run_end(&r);
    run_release(&r);
}

static void calls_stream(void **state)
{
    (void)state;
    struct run r;
    size_t n;
    run_begin(&r, "deepseek-v3.1", MK_IN_TURN);
    static const char head[] = C0 "get" MK_CALL_SEP, args[] = "{\"x\":";
    mk_splitter_add(r.s, head, sizeof head - 1);
    const struct mk_tool_call *call = mk_splitter_calls(r.s, &n);
    assert_int_equal(n, 1);
    assert_string_equal(call->name, "get");
    mk_splitter_add(r.s, args, sizeof args - 1);
    assert_string_equal(mk_splitter_calls(r.s, &n)->arguments, args);
    mk_splitter_free(r.s); /* without an end: nothing leaks */
    run_release(&r);
}

/* Time grows with the length, not with its square: floods of what may begin a tag. */
static void floods(void **state)
{
    (void)state;
    static const char *const floods[] = {"\n", "<", "<｜", MK_CALLS "\n", C0, "```", "\n```"};
    for (size_t i = 0; i < sizeof floods / sizeof floods[0]; i++) {
        struct run r;
        run_begin(&r, "deepseek-r1", MK_IN_THOUGHT);
        for (int k = 0; k < 100000; k++) mk_splitter_add(r.s, floods[i], strlen(floods[i]));
        run_end(&r);
        assert_int_equal(r.r.reasoning.len, 100000 * strlen(floods[i]));
        run_release(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole),        cmocka_unit_test(byte_by_byte),
        cmocka_unit_test(every_cut),    cmocka_unit_test(random_texts),
        cmocka_unit_test(calls_stream), cmocka_unit_test(holds_back_no_more_than_needed),
        cmocka_unit_test(floods),
    };
    return cmocka_run_group_tests_name("chat/splitter", tests, NULL, NULL);
}
