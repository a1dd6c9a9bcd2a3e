/* Sessions and generations on the tiny random model that the build makes. */
#include "engine/generate.h"
#include "engine/int_engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MODEL "build/tiny"

static struct mk_engine *open_engine(unsigned n_threads, size_t n_batch, enum mk_type kv)
{
    struct mk_engine *e;
    struct mk_err err;
    const struct mk_engine_options o = {.n_threads = n_threads, .kv_type = kv, .n_batch = n_batch};
    if (!mk_engine_open(&e, MODEL, &o, &err)) fail_msg("%s", err.msg);
    return e;
}

static struct mk_session *new_session(struct mk_engine *e, size_t n_ctx)
{
    struct mk_session *s;
    struct mk_err err;
    assert_true(mk_session_new(&s, e, n_ctx, &err));
    return s;
}

static void step_all(struct mk_engine *e, struct mk_session *const *s, size_t n)
{
    struct mk_err err;
    size_t left;
    do {
        assert_true(mk_engine_step(e, s, n, 0, &err));
        left = 0;
        for (size_t i = 0; i < n; i++) left += mk_session_pending(s[i]);
    } while (left);
}

static void fill(int32_t *ids, size_t n, unsigned seed)
{
    for (size_t i = 0; i < n; i++) ids[i] = (int32_t)((i * 37 + seed * 101 + i * i) % 250);
}

/* Alone or with six others, with 1 or 7 threads: the same bits. */
static void same_bits(void **state)
{
    (void)state;
    enum { N = 7 };
    float *want[N];
    size_t n_vocab = 0;
    for (int round = 0; round < 2; round++) {
        struct mk_engine *e = open_engine(round ? 7 : 1, 0, MK_F16);
        struct mk_session *s[N];
        struct mk_err err;
        int32_t ids[40];
        n_vocab = mk_engine_info(e).n_vocab;
        for (size_t i = 0; i < N; i++) {
            s[i] = new_session(e, 100);
            fill(ids, 5 + i * 5, (unsigned)i);
            assert_true(mk_session_append(s[i], ids, 5 + i * 5, &err));
            if (!round) step_all(e, &s[i], 1);
        }
        if (round) step_all(e, s, N);
        for (size_t i = 0; i < N; i++) {
            const float *l = mk_session_logits(s[i]);
            assert_non_null(l);
            if (round) {
                assert_memory_equal(l, want[i], n_vocab * sizeof *l);
                free(want[i]);
            } else {
                want[i] = malloc(n_vocab * sizeof *l);
                memcpy(want[i], l, n_vocab * sizeof *l);
            }
            mk_session_free(s[i]);
        }
        mk_engine_close(e);
    }
}

/* However long prompts are cut into pieces, and whatever is read beside them: the same bits. */
static void same_bits_in_pieces(void **state)
{
    (void)state;
    enum { N = 150 };
    struct mk_engine *e = open_engine(2, 0, MK_F16);
    const size_t n_vocab = mk_engine_info(e).n_vocab;
    struct mk_err err;
    int32_t ids[N], other[200];
    fill(ids, N, 1);
    fill(other, 200, 2);
    for (size_t n = 30; n <= N; n += n < 70 ? 1 : 17) {
        struct mk_session *whole = new_session(e, 256);
        assert_true(mk_session_append(whole, ids, n, &err));
        step_all(e, &whole, 1);
        for (size_t most = 32; most <= 64; most += 16) {
            struct mk_session *s[2] = {new_session(e, 256), new_session(e, 256)};
            assert_true(mk_session_append(s[0], other, 200, &err));
            assert_true(mk_session_append(s[1], ids, n, &err));
            while (mk_session_pending(s[1])) assert_true(mk_engine_step(e, s, 2, most, &err));
            assert_memory_equal(mk_session_logits(s[1]), mk_session_logits(whole),
                                n_vocab * sizeof(float));
            mk_session_free(s[0]), mk_session_free(s[1]);
        }
        mk_session_free(whole);
    }
    mk_engine_close(e);
}

/* Truncating and forking lead to the same state as having gone there directly. */
static void timelines(void **state)
{
    (void)state;
    struct mk_engine *e = open_engine(2, 0, MK_Q8_0);
    struct mk_session *a = new_session(e, 64), *b = new_session(e, 64), *c;
    const size_t n_vocab = mk_engine_info(e).n_vocab;
    struct mk_err err;
    int32_t ids[30], other[30];
    size_t kept, n;
    fill(ids, 30, 1);
    fill(other, 30, 1);
    other[12] = 7;
    assert_true(mk_session_set(a, ids, 30, &kept, &err));
    assert_int_equal(kept, 0);
    assert_null(mk_session_logits(a));
    step_all(e, &a, 1);
    float *want = malloc(n_vocab * sizeof *want);
    memcpy(want, mk_session_logits(a), n_vocab * sizeof *want);
    assert_true(mk_session_set(a, other, 20, &kept, &err));
    assert_int_equal(kept, 12);
    step_all(e, &a, 1);
    assert_true(mk_session_set(a, ids, 30, &kept, &err));
    assert_int_equal(kept, 12);
    step_all(e, &a, 1);
    /* The tail was read in another chunk, so latent attention took its other form: close,
     * not equal bits. */
    const float *l = mk_session_logits(a);
    for (size_t i = 0; i < n_vocab; i++)
        assert_true(l[i] - want[i] < 0.05f && want[i] - l[i] < 0.05f);
    assert_true(mk_session_fork(&c, a, 30, &err));
    assert_memory_equal(mk_session_logits(c), l, n_vocab * sizeof *l);
    assert_true(mk_session_append(a, other, 3, &err));
    assert_true(mk_session_append(c, other, 3, &err));
    step_all(e, &a, 1);
    step_all(e, &c, 1);
    assert_memory_equal(mk_session_logits(a), mk_session_logits(c), n_vocab * sizeof *l);
    assert_int_equal(mk_session_ids(c, &n)[32], other[2]);
    assert_int_equal(n, 33);
    free(want);
    mk_session_free(a), mk_session_free(b), mk_session_free(c);
    mk_engine_close(e);
}

static void limits(void **state)
{
    (void)state;
    struct mk_engine *e = open_engine(1, 4, MK_F32);
    struct mk_session *s = new_session(e, 10);
    struct mk_err err;
    int32_t ids[11] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    assert_false(mk_session_append(s, ids, 11, &err));
    assert_int_equal(err.code, MK_ELIMIT);
    assert_string_equal(err.msg, "11 tokens do not fit: the context holds 10, 0 are used");
    const int32_t bad[] = {5, -1}, big[] = {1 << 20};
    assert_false(mk_session_append(s, bad, 2, &err));
    assert_false(mk_session_append(s, big, 1, &err));
    assert_true(mk_session_append(s, ids, 10, &err));
    assert_true(mk_engine_step(e, &s, 1, 0, &err)); /* 4 at a time */
    assert_int_equal(mk_session_pending(s), 6);
    mk_engine_cancel(e);
    assert_false(mk_engine_step(e, &s, 1, 0, &err));
    assert_int_equal(err.code, MK_ECANCELED);
    step_all(e, &s, 1);
    mk_session_free(s);
    mk_engine_close(e);
}

static struct mk_generation generation(struct mk_session *s, size_t max_toks)
{
    return (struct mk_generation){
        .session = s,
        .sampling = {.temperature = 0.8f, .top_p = 0.95f, .repetition_penalty = 1, .seed = 5},
        .max_toks = max_toks,
        .ignores_eos = true};
}

static void finish(struct mk_engine *e, struct mk_generation *g)
{
    struct mk_err err;
    while (g->finish == MK_FINISH_NONE) assert_true(mk_generations_step(e, &g, 1, 0, &err));
}

/* The same seed gives the same answer, alone and beside others; a full context ends with
 * "length". */
static void generations(void **state)
{
    (void)state;
    struct mk_engine *e = open_engine(2, 0, MK_F16);
    struct mk_err err;
    int32_t prompt[6];
    fill(prompt, 6, 3);
    struct mk_session *s[3];
    struct mk_generation g[3], *list[3];
    for (size_t i = 0; i < 3; i++) s[i] = new_session(e, 60);
    g[0] = generation(s[0], 20);
    assert_true(mk_generation_start(&g[0], prompt, 6, &err));
    finish(e, &g[0]);
    assert_int_equal(g[0].ids.n, 20);
    assert_int_equal(g[0].finish, MK_FINISH_LENGTH);
    struct mk_ids first = {0};
    mk_ids_append(&first, g[0].ids.v, 20);
    mk_generation_release(&g[0]);
    for (size_t i = 0; i < 3; i++) {
        g[i] = generation(s[i], 20);
        g[i].sampling.seed = i == 1 ? 5 : 6;
        list[i] = &g[i];
        mk_session_truncate(s[i], 0);
        assert_true(mk_generation_start(&g[i], prompt, 6, &err));
    }
    while (g[1].finish == MK_FINISH_NONE) assert_true(mk_generations_step(e, list, 3, 0, &err));
    assert_memory_equal(g[1].ids.v, first.v, 20 * sizeof *first.v);
    for (size_t i = 0; i < 3; i++) mk_generation_release(&g[i]);
    g[0] = generation(s[0], 0);
    assert_true(mk_generation_start(&g[0], prompt, 6, &err));
    finish(e, &g[0]);
    assert_int_equal(g[0].finish, MK_FINISH_LENGTH);
    assert_int_equal(g[0].ids.n, 60 - 6 + 1);
    mk_generation_release(&g[0]);
    mk_ids_release(&first);
    for (size_t i = 0; i < 3; i++) mk_session_free(s[i]);
    mk_engine_close(e);
}

/* The last row of each layer's routing, as the router's own probe says it. */
struct routes {
    size_t layers[8], n;
    uint16_t last[8][8];
};
static void watch_routes(void *arg, const char *name, int layer, const float *v, size_t n, size_t d)
{
    struct routes *r = arg;
    if (strcmp(name, "route.experts") != 0) return;
    assert_true(r->n < 8 && d <= 8);
    for (size_t i = 0; i < d; i++) r->last[r->n][i] = (uint16_t)v[(n - 1) * d + i];
    r->layers[r->n++] = (size_t)layer;
}

/* What is noted is what the router chose for the last token: alone, in a batch whose others note
 * nothing, and with any number of threads. */
static void experts(void **state)
{
    (void)state;
    enum { N = 5, N_TOK = 23 };
    struct mk_err err;
    int32_t ids[N_TOK + N];
    struct routes want = {0};
    for (int round = 0; round < 2; round++) {
        struct mk_engine *e = open_engine(round ? 7 : 1, 0, MK_F16);
        const struct mk_info info = mk_engine_info(e);
        struct mk_session *s[N];
        for (size_t i = 0; i < N; i++) {
            s[i] = new_session(e, 100);
            fill(ids, N_TOK + i, 3 + (unsigned)i);
            assert_true(mk_session_append(s[i], ids, N_TOK - i, &err));
        }
        mk_session_note_experts(s[2], true);
        assert_null(mk_session_experts(s[2]));
        if (!round) e->work.probe = watch_routes, e->work.probe_arg = &want;
        step_all(e, round ? s : &s[2], round ? N : 1);
        const uint16_t *got = mk_session_experts(s[2]);
        assert_non_null(got);
        assert_null(mk_session_experts(s[1]));
        assert_int_equal(info.n_routed, want.n);
        assert_int_equal(info.n_expert, 8);
        assert_true(want.n < info.n_layer); /* the first layer is dense */
        for (size_t l = 0; l < want.n; l++) {
            assert_int_equal(info.routed[l], want.layers[l]);
            for (size_t k = 0; k < info.n_active; k++)
                assert_int_equal(got[l * info.n_active + k], want.last[l][k]);
        }
        assert_true(mk_session_append(s[2], ids, 1, &err));
        assert_null(mk_session_experts(s[2]));
        for (size_t i = 0; i < N; i++) mk_session_free(s[i]);
        mk_engine_close(e);
    }
}

/* Each token has those that computed it, and one that was said has none. */
static void experts_of_an_answer(void **state)
{
    (void)state;
    enum { N = 12 };
    struct mk_engine *e = open_engine(2, 0, MK_F16);
    struct mk_err err;
    int32_t prompt[6];
    fill(prompt, 6, 3);
    struct mk_session *s[2] = {new_session(e, 60), new_session(e, 60)};
    struct mk_generation g[2] = {generation(s[0], N), generation(s[1], N)}, *list[2] = {g, g + 1};
    g[1].wants_experts = true;
    for (size_t i = 0; i < 2; i++) assert_true(mk_generation_start(list[i], prompt, 6, &err));
    while (g[1].finish == MK_FINISH_NONE) {
        assert_true(mk_generations_step(e, list, 2, 0, &err));
        if (g[1].ids.n == 4) assert_true(mk_generation_say(&g[1], 7));
    }
    assert_null(g[0].experts);
    assert_int_equal(g[1].ids.n, N);
    assert_int_equal(g[1].n_choice, mk_engine_info(e).n_routed * mk_engine_info(e).n_active);
    for (size_t t = 0; t < N; t++) {
        const uint16_t *got = g[1].experts + t * g[1].n_choice;
        /* The same timeline, step by step. */
        struct mk_session *again = new_session(e, 60);
        mk_session_note_experts(again, true);
        assert_true(mk_session_append(again, prompt, 6, &err));
        step_all(e, &again, 1);
        for (size_t i = 0; i < t; i++) {
            assert_true(mk_session_append(again, &g[1].ids.v[i], 1, &err));
            if (i != 3) step_all(e, &again, 1); /* then 7 was said: they share a step */
        }
        if (t == 4)
            for (size_t i = 0; i < g[1].n_choice; i++) assert_int_equal(got[i], MK_NO_EXPERT);
        else
            assert_memory_equal(got, mk_session_experts(again), g[1].n_choice * sizeof *got);
        mk_session_free(again);
    }
    for (size_t i = 0; i < 2; i++) mk_generation_release(&g[i]), mk_session_free(s[i]);
    mk_engine_close(e);
}

/* A dense model has none to note. */
static void no_experts(void **state)
{
    (void)state;
    struct mk_engine *e;
    struct mk_err err;
    const struct mk_engine_options o = {.kv_type = MK_F16};
    assert_true(mk_engine_open(&e, "tests/golden/models/qwen2", &o, &err));
    assert_int_equal(mk_engine_info(e).n_routed, 0);
    struct mk_session *s = new_session(e, 10);
    mk_session_note_experts(s, true);
    assert_true(mk_session_append(s, (const int32_t[]){1, 2}, 2, &err));
    step_all(e, &s, 1);
    assert_non_null(mk_session_logits(s));
    mk_session_free(s);
    mk_engine_close(e);
}

/* Any piece of the answer serves as a stop string, wherever token borders fall. */
static void stop_strings(void **state)
{
    (void)state;
    struct mk_engine *e = open_engine(2, 0, MK_F16);
    struct mk_session *s = new_session(e, 200);
    struct mk_err err;
    int32_t prompt[6];
    fill(prompt, 6, 9);
    struct mk_generation g = generation(s, 60);
    assert_true(mk_generation_start(&g, prompt, 6, &err));
    finish(e, &g);
    struct mk_str text = {0};
    mk_str_append(&text, g.text.data, g.text.len);
    mk_generation_release(&g);
    assert_true(text.len > 30);
    for (size_t from = 1; from + 6 < text.len; from += 5)
        for (size_t len = 1; len <= 5; len += 2) {
            char stop[8] = {0};
            memcpy(stop, text.data + from, len);
            if (memchr(stop, 0, len)) continue;
            const char *const stops[] = {"never there", stop};
            const char *at = memmem(text.data, text.len, stop, len);
            g = generation(s, 60);
            g.stops = stops, g.n_stops = 2;
            assert_true(mk_generation_start(&g, prompt, 6, &err));
            finish(e, &g);
            assert_int_equal(g.finish, MK_FINISH_STOP);
            assert_int_equal(g.text.len, (size_t)(at - text.data));
            assert_memory_equal(mk_str_c(&g.text), text.data, g.text.len);
            mk_generation_release(&g);
        }
    mk_str_release(&text);
    mk_session_free(s);
    mk_engine_close(e);
}

static void refusals(void **state)
{
    (void)state;
    struct mk_engine *e;
    struct mk_err err;
    struct mk_engine_options o = {.kv_type = MK_Q4_0};
    assert_false(mk_engine_open(&e, MODEL, &o, &err));
    assert_int_equal(err.code, MK_EUSAGE);
    o.kv_type = MK_F16, o.cpu = "sse9";
    assert_false(mk_engine_open(&e, MODEL, &o, &err));
    o.cpu = NULL, o.input_type = MK_Q8_0;
    assert_false(mk_engine_open(&e, MODEL, &o, &err));
    assert_string_equal(err.msg, "inputs of products cannot be q8_0; f32 or bf16 can");
    o.input_type = MK_F32;
    assert_false(mk_engine_open(&e, "tests/golden/none", &o, &err));
    assert_int_equal(err.code, MK_EIO);
    /* A checkpoint without a tokenizer opens, but cannot generate. */
    assert_true(mk_engine_open(&e, "tests/golden/models/qwen2", &o, &err));
    assert_null(mk_engine_tokenizer(e, &err));
    struct mk_session *s = new_session(e, 10);
    struct mk_generation g = generation(s, 3);
    assert_false(mk_generation_start(&g, (const int32_t[]){1}, 1, &err));
    mk_session_free(s);
    mk_engine_close(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(experts),
        cmocka_unit_test(experts_of_an_answer),
        cmocka_unit_test(no_experts),
        cmocka_unit_test(same_bits),
        cmocka_unit_test(same_bits_in_pieces),
        cmocka_unit_test(timelines),
        cmocka_unit_test(limits),
        cmocka_unit_test(generations),
        cmocka_unit_test(stop_strings),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}
