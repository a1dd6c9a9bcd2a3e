/* Guesses change nothing but the time: the model that is part of the program, with and without
 * them. */
#include "engine/int_speculate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MODEL "models/tiny/tiny.gguf"

static struct mk_engine *open_engine(enum mk_speculate mode, const char *draft, size_t max)
{
    struct mk_engine *e;
    struct mk_err err;
    const struct mk_engine_options o = {
        .n_threads = 2,
        .kv_type = MK_F16,
        .speculation = {.mode = mode, .max = max, .draft = draft, .is_eager = true}};
    if (!mk_engine_open(&e, MODEL, &o, &err)) fail_msg("%s", err.msg);
    return e;
}

/* Wrong as often as can be. */
static void *open_garbage(struct mk_speculator *s, struct mk_session *session)
{
    (void)session;
    return s;
}
static void close_garbage(void *d) { (void)d; }
static int look_garbage(void *d) { return d ? 0 : -1; }
static size_t guess_garbage(void *d, size_t n, int32_t *out)
{
    static uint32_t x = 1;
    const struct mk_speculator *s = d;
    for (size_t i = 0; i < n; i++)
        out[i] = (int32_t)((x = x * 1664525 + 1013904223) >> 8) % (int32_t)s->engine->model.n_vocab;
    return n;
}
static const struct mk_drafter garbage = {.name = "garbage",
                                          .first = {0.5f},
                                          .then = 0.5f,
                                          .open = open_garbage,
                                          .close = close_garbage,
                                          .look = look_garbage,
                                          .guess = guess_garbage};

enum { N_WAYS = 7 };
static struct mk_engine *plain, *ways[N_WAYS]; /* plain: without guesses */

static int open_all(void **state)
{
    (void)state;
    plain = open_engine(MK_SPECULATE_OFF, NULL, 0);
    ways[0] = open_engine(MK_SPECULATE_NGRAM, NULL, 4);
    ways[1] = open_engine(MK_SPECULATE_MTP, NULL, 3);
    ways[2] = open_engine(MK_SPECULATE_MTP, NULL, 1);
    ways[3] = open_engine(MK_SPECULATE_AUTO, NULL, 0);
    ways[4] = open_engine(MK_SPECULATE_DRAFT, MODEL, 5); /* greedily always right */
    ways[5] = open_engine(MK_SPECULATE_DRAFT, MODEL, 15);
    ways[6] = open_engine(MK_SPECULATE_NGRAM, NULL, 7);
    ways[6]->speculator->drafter = &garbage;
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    mk_engine_close(plain);
    for (size_t i = 0; i < N_WAYS; i++) mk_engine_close(ways[i]);
    return 0;
}

/* What is asked, and what must come out the same. */
struct ask {
    const char *text;
    struct mk_sampling sampling;
    const char *stop;
    const struct mk_grammar *grammar;
    size_t max_toks, n_ctx;
    bool wants_experts, ignores_eos;
};
struct answer {
    struct mk_generation g;
    struct mk_session *session;
};

static void begin(struct mk_engine *e, const struct ask *ask, struct answer *a)
{
    struct mk_err err;
    struct mk_ids prompt = {0};
    *a = (struct answer){0};
    if (!mk_session_new(&a->session, e, ask->n_ctx ? ask->n_ctx : 512, &err))
        fail_msg("%s", err.msg);
    mk_tokenize(e->tokenizer, ask->text, strlen(ask->text), MK_TOK_SPECIAL | MK_TOK_BOS, &prompt);
    a->g = (struct mk_generation){.session = a->session,
                                  .sampling = ask->sampling,
                                  .stops = &ask->stop,
                                  .n_stops = ask->stop != NULL,
                                  .grammar = ask->grammar,
                                  .max_toks = ask->max_toks,
                                  .wants_experts = ask->wants_experts,
                                  .ignores_eos = ask->ignores_eos};
    a->g.sampling.wants_logprobs = true;
    a->g.sampling.n_top = 3;
    if (!mk_generation_start(&a->g, prompt.v, prompt.n, &err)) fail_msg("%s", err.msg);
    mk_ids_release(&prompt);
}

static void step(struct mk_engine *e, struct answer *a)
{
    struct mk_generation *g = &a->g;
    struct mk_err err;
    if (!mk_generations_step(e, &g, 1, 0, &err)) fail_msg("%s", err.msg);
}

static void finish(struct mk_engine *e, struct answer *a)
{
    while (a->g.finish == MK_FINISH_NONE) step(e, a);
}

static void end(struct answer *a)
{
    mk_generation_release(&a->g);
    mk_session_free(a->session);
}

static void assert_same(const struct answer *a, const struct answer *b)
{
    const struct mk_generation *x = &a->g, *y = &b->g;
    size_t n, m;
    const int32_t *ids = mk_session_ids(a->session, &n), *more = mk_session_ids(b->session, &m);
    assert_int_equal(x->ids.n, y->ids.n);
    assert_memory_equal(x->ids.v, y->ids.v, x->ids.n * sizeof *x->ids.v);
    assert_string_equal(mk_str_c(&x->text), mk_str_c(&y->text));
    assert_int_equal(x->finish, y->finish);
    assert_int_equal(x->stop, y->stop);
    assert_true(x->sampler.rng.state == y->sampler.rng.state);
    assert_memory_equal(x->sampled, y->sampled, x->ids.n * sizeof *x->sampled);
    if (x->experts)
        assert_memory_equal(x->experts, y->experts, x->ids.n * x->n_choice * sizeof *x->experts);
    /* The next turn finds the same. */
    assert_int_equal(n, m);
    assert_memory_equal(ids, more, n * sizeof *ids);
    assert_int_equal(mk_session_pending(a->session), mk_session_pending(b->session));
}

/* The same in all ways. */
static void compare(const struct ask *ask)
{
    struct answer want, got;
    begin(plain, ask, &want);
    finish(plain, &want);
    assert_int_equal(want.g.n_guessed, 0);
    for (size_t i = 0; i < N_WAYS; i++) {
        begin(ways[i], ask, &got);
        finish(ways[i], &got);
        assert_same(&want, &got);
        end(&got);
    }
    end(&want);
}

#define ASK                                                                    \
    "<｜User｜>Ann has 17 apples. She buys 25 more. How many does she have " \
    "now?<｜Assistant｜><think>"
static const char *const questions[] = {
    ASK, "<｜User｜>Make 24 from 3, 4 and 2.<｜Assistant｜><think>",
    "<｜User｜>Multiply 23 by 47.<｜Assistant｜><think>",
    "<｜User｜>How many r are in strawberry?<｜Assistant｜><think>"};

static struct mk_sampling with(float temperature, uint64_t seed)
{
    return (struct mk_sampling){
        .temperature = temperature, .top_p = 1, .repetition_penalty = 1, .seed = seed};
}

static void greedy(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++)
        compare(&(struct ask){.text = questions[i], .sampling = with(0, 1)});
}

static void drawn(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 6; seed++) {
        struct ask ask = {.text = questions[seed % 4], .sampling = with(1, seed), .max_toks = 150};
        if (seed % 2) ask.sampling.top_p = 0.9f, ask.sampling.top_k = 20;
        if (seed % 3 == 1) ask.sampling.min_p = 0.05f;
        ask.ignores_eos = seed > 2;
        compare(&ask);
    }
}

/* What depends on the tokens before. */
static void penalties(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 4; seed++) {
        const struct mk_bias bias[] = {{20, 2.5f}, {30, -3.0f}};
        struct ask ask = {.text = questions[seed], .sampling = with(0.8f, seed), .max_toks = 120};
        ask.sampling.repetition_penalty = 1.2f;
        ask.sampling.presence_penalty = seed % 2 ? 0.3f : 0;
        ask.sampling.frequency_penalty = 0.2f;
        if (seed > 1) ask.sampling.bias = bias, ask.sampling.n_bias = 2;
        ask.ignores_eos = true;
        compare(&ask);
    }
}

static void grammars(void **state)
{
    (void)state;
    static const char *const schemas[] = {
        "{\"type\":\"array\",\"items\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":99},"
        "\"minItems\":20,\"maxItems\":30}",
        "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},\"kind\":{\"enum\":"
        "[\"x\",\"y\"]}},\"required\":[\"name\",\"kind\"]}"};
    for (size_t i = 0; i < 6; i++) {
        struct mk_grammar *g;
        struct mk_err err;
        if (!mk_grammar_from_schema(&g, schemas[i % 2], strlen(schemas[i % 2]), &err))
            fail_msg("%s", err.msg);
        /* With a limit that it is closed in time for. */
        compare(&(struct ask){.text = questions[i % 4],
                              .sampling = with(i < 2 ? 0 : 1, i),
                              .grammar = g,
                              .max_toks = i < 4 ? 150 : 40});
        mk_grammar_free(g);
    }
}

/* Any piece of the answer as a stop string, and any length. */
static void ends(void **state)
{
    (void)state;
    struct answer whole;
    const struct ask ask = {.text = questions[1], .sampling = with(0, 1)};
    begin(plain, &ask, &whole);
    finish(plain, &whole);
    assert_true(whole.g.text.len > 60);
    for (size_t from = 3; from < 60; from += 7) {
        char stop[6] = {0};
        struct ask cut = ask;
        memcpy(stop, whole.g.text.data + from, 2 + from % 3);
        cut.stop = stop;
        compare(&cut);
    }
    for (size_t n = 1; n < 12; n++) {
        struct ask cut = ask;
        cut.max_toks = n;
        compare(&cut);
    }
    end(&whole);
}

/* Up to the last place of the context, and over borders of the tiles of keys. */
static void full_context(void **state)
{
    (void)state;
    for (size_t n_ctx = 127; n_ctx < 131; n_ctx++)
        compare(&(struct ask){.text = ASK,
                              .sampling = with(n_ctx % 2 ? 0.0f : 1.0f, n_ctx),
                              .n_ctx = n_ctx,
                              .ignores_eos = true});
}

static void experts(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 3; seed++)
        compare(&(struct ask){.text = questions[seed],
                              .sampling = with(1, seed),
                              .max_toks = 60,
                              .wants_experts = true});
}

/* Several answers in one step, which begin and end at different times; one only reads. */
static void together(void **state)
{
    (void)state;
    enum { N = 5 };
    struct mk_err err;
    struct answer want[N], got[N];
    struct ask asks[N];
    for (size_t i = 0; i < N; i++) {
        asks[i] = (struct ask){.text = questions[i % 4], .sampling = with(i ? 1.0f : 0.0f, i)};
        asks[i].max_toks = 30 + 17 * i;
        begin(plain, &asks[i], &want[i]);
        finish(plain, &want[i]);
    }
    for (size_t w = 0; w < N_WAYS; w++) {
        struct mk_generation *list[N];
        size_t n = 0, n_left = N;
        for (size_t round = 0; n_left; round++) {
            if (n < N && round % 9 == 0) {
                begin(ways[w], &asks[n], &got[n]);
                list[n] = &got[n].g, n++;
            }
            assert_true(mk_generations_step(ways[w], list, n, 40, &err));
            n_left = N - n;
            for (size_t i = 0; i < n; i++) n_left += list[i]->finish == MK_FINISH_NONE;
        }
        for (size_t i = 0; i < N; i++) {
            assert_same(&want[i], &got[i]);
            end(&got[i]);
        }
    }
    for (size_t i = 0; i < N; i++) end(&want[i]);
}

/* Tokens that are said between steps, and an answer that is ended from outside: wherever that
 * falls, the session is left as without guesses. */
static void said_and_ended(void **state)
{
    (void)state;
    const struct ask ask = {
        .text = questions[2], .sampling = with(0, 1), .wants_experts = true, .ignores_eos = true};
    for (size_t when = 1; when < 14; when++) {
        struct answer list[1 + N_WAYS];
        for (size_t i = 0; i <= N_WAYS; i++) {
            struct mk_engine *e = i ? ways[i - 1] : plain;
            struct answer *a = &list[i];
            begin(e, &ask, a);
            while (a->g.ids.n < when) step(e, a);
            assert_true(mk_generation_say(&a->g, 77));
            assert_true(mk_generation_say(&a->g, 78));
            while (a->g.ids.n < 2 * when + 2) step(e, a);
            mk_generation_end(&a->g, MK_FINISH_LOOP);
            assert_int_equal(mk_session_pending(a->session), 1);
            if (i) assert_same(&list[0], a);
        }
        for (size_t i = 0; i <= N_WAYS; i++) end(&list[i]);
    }
}

/* What is said is what would have come: the guesses stay right. */
static void said_as_guessed(void **state)
{
    (void)state;
    const struct ask ask = {.text = questions[2], .sampling = with(0, 1)};
    struct answer want, a;
    begin(plain, &ask, &want);
    finish(plain, &want);
    begin(ways[4], &ask, &a);
    while (a.g.ids.n < 5) step(ways[4], &a);
    for (size_t i = 5; i < 8; i++) assert_true(mk_generation_say(&a.g, want.g.ids.v[i]));
    finish(ways[4], &a);
    assert_int_equal(a.g.ids.n, want.g.ids.n);
    assert_memory_equal(a.g.ids.v, want.g.ids.v, want.g.ids.n * sizeof *want.g.ids.v);
    end(&a), end(&want);
}

/* A second turn on the same session, whose prompt goes on as was guessed. */
static void next_turn(void **state)
{
    (void)state;
    struct answer first[1 + N_WAYS];
    struct mk_err err;
    const struct ask ask = {.text = questions[1], .sampling = with(0, 1), .max_toks = 20};
    struct ask longer = ask;
    struct answer whole;
    longer.max_toks = 70;
    begin(plain, &longer, &whole);
    finish(plain, &whole);
    size_t n;
    const int32_t *ids = mk_session_ids(whole.session, &n);
    for (size_t i = 0; i <= N_WAYS; i++) {
        struct mk_engine *e = i ? ways[i - 1] : plain;
        struct answer *a = &first[i];
        begin(e, &ask, a);
        finish(e, a);
        mk_generation_release(&a->g);
        a->g = (struct mk_generation){
            .session = a->session, .sampling = with(0, 1), .max_toks = 40, .ignores_eos = true};
        a->g.sampling.wants_logprobs = true;
        assert_true(mk_generation_start(&a->g, ids, n, &err));
        finish(e, a);
        if (i) assert_same(&first[0], a), assert_int_equal(a->g.n_kept, first[0].g.n_kept);
    }
    for (size_t i = 0; i <= N_WAYS; i++) end(&first[i]);
    end(&whole);
}

/* Rows of a step against single tokens, in all types of keys and values, before and behind borders
 * of tiles; forks; room. */
static void sessions(void **state)
{
    (void)state;
    static const enum mk_type types[] = {MK_F32, MK_F16, MK_BF16, MK_Q8_0};
    struct mk_err err;
    for (size_t t = 0; t < 4; t++) {
        struct mk_engine *e;
        const struct mk_engine_options o = {.n_threads = 1 + 2 * (unsigned)t, .kv_type = types[t]};
        assert_true(mk_engine_open(&e, MODEL, &o, &err));
        const size_t n_bytes = e->model.n_vocab * sizeof(float);
        int32_t ids[160];
        for (size_t i = 0; i < 160; i++) ids[i] = (int32_t)((i * 37 + i * i) % 250);
        for (size_t at = 33; at < 130; at += 19) {
            struct mk_session *one = NULL, *many = NULL, *fork;
            assert_true(mk_session_new(&one, e, 140, &err) && mk_session_new(&many, e, 140, &err));
            assert_true(mk_session_append(one, ids, at, &err));
            assert_true(mk_session_append(many, ids, at, &err));
            assert_int_equal(mk_session_guess(many, ids, 4), 0); /* beside a prompt */
            assert_true(mk_engine_step(e, (struct mk_session *[]){one, many}, 2, 0, &err));
            assert_int_equal(mk_session_guess(many, ids, 4), 0); /* nothing is pending */
            for (size_t i = at; i < at + 5; i++) {
                assert_true(mk_session_append(one, ids + i, 1, &err));
                assert_true(mk_session_append(many, ids + i, 1, &err));
                const size_t n = mk_session_guess(many, ids + i + 1, 30);
                if (i == at) assert_int_equal(n, 139 - at < 30 ? 139 - at : 30);
                if (i == at) assert_true(mk_engine_step(e, &many, 1, 0, &err));
                assert_true(mk_engine_step(e, &one, 1, 0, &err));
                assert_int_equal(mk_session_pending(many), 0);
                assert_memory_equal(mk_session_logits(one), mk_session_logits(many), n_bytes);
            }
            assert_true(mk_session_fork(&fork, many, SIZE_MAX, &err));
            assert_memory_equal(mk_session_logits(fork), mk_session_logits(many), n_bytes);
            assert_true(mk_session_append(many, &ids[0], 1, &err)); /* not what was guessed */
            assert_null(mk_session_logits(many));
            assert_true(mk_session_append(one, &ids[0], 1, &err));
            assert_true(mk_engine_step(e, (struct mk_session *[]){many, one}, 2, 0, &err));
            assert_memory_equal(mk_session_logits(one), mk_session_logits(many), n_bytes);
            mk_session_free(one), mk_session_free(many), mk_session_free(fork);
        }
        mk_engine_close(e);
    }
}

/* A stopped step leaves no guesses; a batch too small for them gets none. */
static void cut_steps(void **state)
{
    (void)state;
    struct mk_engine *e;
    struct mk_err err;
    const struct mk_engine_options o = {
        .n_threads = 1,
        .kv_type = MK_F16,
        .n_batch = 3,
        .speculation = {.mode = MK_SPECULATE_DRAFT, .draft = MODEL, .is_eager = true}};
    const struct ask ask = {.text = questions[3], .sampling = with(0, 1), .max_toks = 20};
    assert_true(mk_engine_open(&e, MODEL, &o, &err));
    struct answer a;
    begin(e, &ask, &a);
    finish(e, &a);
    assert_true(a.g.n_guessed > 0 && a.g.n_right > 0);
    end(&a);
    mk_engine_close(e);
    begin(ways[4], &ask, &a);
    while (a.g.ids.n < 4) step(ways[4], &a);
    while (mk_session_logits(a.session)) step(ways[4], &a);
    struct mk_generation *g = &a.g;
    mk_engine_cancel(ways[4]);
    assert_false(mk_generations_step(ways[4], &g, 1, 0, &err));
    assert_int_equal(err.code, MK_ECANCELED);
    assert_int_equal(g->finish, MK_FINISH_CANCEL);
    assert_int_equal(mk_session_pending(a.session), 1);
    end(&a);
}

/* The times of steps decide: nothing is guessed where rows cost what single steps do, most where
 * they cost nothing, and what is always wrong is given up. */
static void pays_or_not(void **state)
{
    (void)state;
    const struct ask ask = {.text = questions[1], .sampling = with(0, 1), .max_toks = 80};
    const double cost[] = {1.0, 0.0, 0.3};
    for (size_t round = 0; round < 3; round++) {
        struct mk_engine *e = open_engine(MK_SPECULATE_NGRAM, NULL, 4);
        struct mk_speculator *s = e->speculator;
        struct answer a;
        s->is_eager = false;
        if (round == 2) s->drafter = &garbage, s->odds[0].right[0] = 0.5f;
        begin(e, &ask, &a);
        while (a.g.finish == MK_FINISH_NONE) {
            for (size_t r = 1; r <= MK_TIMED_ROWS; r++) {
                s->timed[r].s = 1 + cost[round] * (double)(r - 1);
                s->timed[r].step = s->n_steps;
            }
            s->guess_s = 0;
            step(e, &a);
        }
        assert_int_equal(a.g.ids.n, 80);
        if (round == 0) assert_int_equal(a.g.n_guessed, 0);
        if (round == 1) assert_true(a.g.n_guessed > 80 && a.g.n_right > 10);
        if (round == 2) assert_in_range(a.g.n_guessed, 1, 12);
        end(&a);
        mk_engine_close(e);
    }
}

/* More answers than rows are timed for. */
static void crowd(void **state)
{
    (void)state;
    enum { N = MK_TIMED_ROWS + 9 };
    struct mk_err err;
    struct answer *a = mk_calloc(N, sizeof *a);
    struct mk_generation *list[N];
    for (size_t w = 0; w < 2; w++) {
        struct mk_engine *e = open_engine(MK_SPECULATE_NGRAM, NULL, 2);
        e->speculator->is_eager = w == 1;
        for (size_t i = 0; i < N; i++) {
            begin(e, &(struct ask){.text = ASK, .sampling = with(1, i % 3), .max_toks = 12}, &a[i]);
            list[i] = &a[i].g;
        }
        for (size_t n_left = 1; n_left;) {
            assert_true(mk_generations_step(e, list, N, 0, &err));
            n_left = 0;
            for (size_t i = 0; i < N; i++) n_left += list[i]->finish == MK_FINISH_NONE;
        }
        for (size_t i = 3; i < N; i++) assert_same(&a[i % 3], &a[i]);
        for (size_t i = 0; i < N; i++) end(&a[i]);
        mk_engine_close(e);
    }
    free(a);
}

/* What came before is found, the longest run first and the last of its kind, also when the tables
 * have grown; a copy of the end goes on. */
static void lookup(void **state)
{
    (void)state;
    enum { N = 5000 };
    struct mk_err err;
    struct mk_session *s;
    int32_t out[5];
    assert_true(mk_session_new(&s, plain, 2 * N, &err));
    void *d = mk_drafter_ngram.open(NULL, s);
    const int32_t text[] = {1, 2, 3, 4, 5, 6, 9, 3, 4, 7, 3, 4};
    for (size_t i = 0; i < 12; i++) {
        assert_true(mk_session_append(s, &text[i], 1, &err));
        const int kind = mk_drafter_ngram.look(d);
        assert_int_equal(kind, i < 7 ? -1 : i == 7 || i == 10 ? 0 : i == 9 ? -1 : 1);
    }
    assert_int_equal(mk_drafter_ngram.guess(d, 5, out), 5);
    assert_memory_equal(out, ((int32_t[]){7, 3, 4, 7, 3}), sizeof out);
    for (size_t i = 0; i < N; i++) {
        const int32_t id = 10 + (int32_t)(i * i % 701);
        assert_true(mk_session_append(s, &id, 1, &err));
    }
    const int32_t again[] = {3, 4, 5};
    assert_true(mk_session_append(s, again, 3, &err));
    assert_int_equal(mk_drafter_ngram.look(d), 2);
    mk_drafter_ngram.guess(d, 2, out);
    assert_memory_equal(out, ((int32_t[]){6, 9}), 2 * sizeof *out);
    mk_drafter_ngram.close(d);
    mk_session_free(s);
}

static void refuses(const char *path, struct mk_speculation how, const char *part)
{
    struct mk_engine *e;
    struct mk_err err;
    const struct mk_engine_options o = {.n_threads = 1, .kv_type = MK_F16, .speculation = how};
    assert_false(mk_engine_open(&e, path, &o, &err));
    if (!strstr(err.msg, part)) fail_msg("no \"%s\" in \"%s\"", part, err.msg);
}

static void refusals(void **state)
{
    (void)state;
    refuses(MODEL, (struct mk_speculation){.mode = MK_SPECULATE_DRAFT},
            "a draft model must be given");
    refuses(MODEL, (struct mk_speculation){.mode = MK_SPECULATE_NGRAM, .draft = MODEL},
            "is given, but is not to be used");
    refuses(MODEL, (struct mk_speculation){.draft = MODEL}, "is given, but is not to be used");
    refuses(MODEL, (struct mk_speculation){.mode = MK_SPECULATE_NGRAM, .max = 17}, "17 guesses");
    refuses(MODEL, (struct mk_speculation){.mode = MK_SPECULATE_AUTO, .draft = "tests/none"},
            "tests/none");
    refuses(MODEL, (struct mk_speculation){.mode = MK_SPECULATE_DRAFT, .draft = "build/tiny"},
            "draft model build/tiny has ");
    refuses(
        MODEL,
        (struct mk_speculation){.mode = MK_SPECULATE_DRAFT, .draft = "tests/golden/models/qwen2"},
        "has no tokenizer");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy),         cmocka_unit_test(drawn),
        cmocka_unit_test(penalties),      cmocka_unit_test(grammars),
        cmocka_unit_test(ends),           cmocka_unit_test(full_context),
        cmocka_unit_test(experts),        cmocka_unit_test(together),
        cmocka_unit_test(said_and_ended), cmocka_unit_test(said_as_guessed),
        cmocka_unit_test(next_turn),      cmocka_unit_test(sessions),
        cmocka_unit_test(cut_steps),      cmocka_unit_test(pays_or_not),
        cmocka_unit_test(crowd),          cmocka_unit_test(lookup),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests_name("speculate", tests, open_all, close_all);
}
