/* Routing and mixture of experts, with the choice of experts fixed. */
#include "grad.h"
#include "tensor/experts.h"

enum { N_TOK = 7, N_EXPERT = 6, ACTIVE = 2 };

struct routing {
    struct mk_router router;
    float *logits;
};

static float *route(struct mk_work *wk, void *arg, size_t *n)
{
    const struct routing *r = arg;
    const size_t n_weight = N_TOK * r->router.n_active;
    float *weight = mk_floats(wk, n_weight);
    int32_t *id = mk_arena_take(&wk->arena, n_weight * sizeof *id);
    mk_route(wk, &r->router, r->logits, N_TOK, id, weight);
    *n = n_weight;
    return weight;
}

static void check_route(enum mk_score score, bool is_normed, bool has_groups, double balance)
{
    static const float bias[N_EXPERT] = {0.1, -0.1, 0.2, 0.0, 0.3, -0.2};
    const struct mk_span spans[] = {
        {.first = 0, .n = 4}, {.first = 4, .n = 0}, {.first = 4, .n = 3}};
    struct grad t;
    struct mk_routes routes = {0};
    struct routing r = {.router = {.n_expert = N_EXPERT,
                                   .n_active = ACTIVE,
                                   .n_group = has_groups ? 3 : 1,
                                   .n_group_active = has_groups ? 2 : 1,
                                   .score = score,
                                   .group_rank = MK_GROUP_TOP2,
                                   .is_normed = is_normed,
                                   .scale = 2.5,
                                   .bias = has_groups ? bias : NULL}};
    grad_open(&t, 3);
    t.tape.routes = &routes;
    t.tape.balance = balance, t.tape.balance_scale = 0.5;
    t.tape.spans = spans, t.tape.n_spans = 3;
    r.logits = grad_value(&t, "logits", N_TOK * N_EXPERT);
    grad_check(&t, route, &r);
    grad_close(&t);
    free(routes.id);
}

static void routes_of_all_kinds(void **state)
{
    (void)state;
    for (int i = 0; i < 16; i++)
        check_route(i & 1 ? MK_SCORE_SIGMOID : MK_SCORE_SOFTMAX, i & 2, i & 4, i & 8 ? 0.7 : 0);
}

/* By hand, one expert of two chosen, so f = (2, 0) for both sequences.  Two tokens with equal
 * scores: P = (1/2, 1/2), L = 1.  One token with s(1) and s(-1) = 1 - s(1): L = 2 s(1). */
static void balance_loss_is_right(void **state)
{
    (void)state;
    const struct mk_span spans[] = {{.first = 0, .n = 2}, {.first = 2, .n = 1}};
    const struct mk_router router = {
        .n_expert = 2, .n_active = 1, .n_group = 1, .score = MK_SCORE_SIGMOID, .scale = 1};
    struct grad t;
    grad_open(&t, 1);
    t.tape.balance = 1, t.tape.spans = spans, t.tape.n_spans = 2;
    float *logits = mk_floats(&t.wk, 6), weight[3];
    int32_t id[3];
    for (size_t i = 0; i < 6; i++) logits[i] = 0;
    logits[4] = 1, logits[5] = -1;
    mk_route(&t.wk, &router, logits, 3, id, weight);
    assert_true(fabs(t.tape.balance_loss - (1 + 2 / (1 + exp(-1)))) < 1e-12);
    assert_int_equal(t.tape.n_balance, 2);
    grad_close(&t);
}

/* In place of a gradient the bias has the experts' tokens, of all that was learned from. */
static void loads_are_counted(void **state)
{
    (void)state;
    struct grad t;
    grad_open(&t, 1);
    float *bias = grad_param(&t, "bias", 1, 4);
    memset(bias, 0, 4 * sizeof *bias);
    const struct mk_router router = {
        .n_expert = 4, .n_active = 2, .n_group = 1, .scale = 1, .bias = bias};
    const float logits[] = {0, 9, 0, 18, 18, 9, 0, 0}, *load = t.params.grad;
    int32_t id[4];
    float *z = mk_floats(&t.wk, 8), *weight = mk_floats(&t.wk, 4);
    memcpy(z, logits, sizeof logits);
    for (int i = 0; i < 2; i++) mk_route(&t.wk, &router, z, 2, id, weight);
    mk_tape_backward(&t.wk);
    assert_true(load[0] == 2 && load[1] == 4 && load[2] == 0 && load[3] == 2);
    t.tape.is_recording = false;
    mk_route(&t.wk, &router, z, 2, id, weight);
    mk_tape_backward(&t.wk);
    assert_true(load[1] == 4);
    grad_close(&t);
}

/* Routes that were kept come back in order, whatever the logits say. */
static void routes_are_replayed(void **state)
{
    (void)state;
    const struct mk_router router = {.n_expert = 4, .n_active = 2, .n_group = 1, .scale = 1};
    const float logits[] = {0, 1, 2, 3, 3, 2, 1, 0}, other[8] = {0};
    struct grad t;
    struct mk_routes routes = {0};
    grad_open(&t, 1);
    t.tape.is_recording = false;
    t.tape.routes = &routes;
    float weight[4];
    int32_t id[4], again[4];
    mk_route(&t.wk, &router, logits, 1, id, weight);
    mk_route(&t.wk, &router, logits + 4, 1, id + 2, weight);
    t.tape.is_replaying = true;
    mk_route(&t.wk, &router, other, 2, again, weight);
    assert_memory_equal(id, again, sizeof id);
    assert_true(weight[0] == 0.25 && weight[3] == 0.25);
    grad_close(&t);
    free(routes.id);
}

/* ---- experts ------------------------------------------------------------------------- */

enum { D = 10, FF = 7 };

struct mixture {
    struct mk_weight gate[N_EXPERT], up[N_EXPERT], down[N_EXPERT];
    float *x, *weight, *y;
};

/* Token t goes to experts t mod 5 and t mod 5 + 1 except that 1 stands for 0: expert 1 has no
 * token, expert 0 has some twice as often. */
static void choose(int32_t *id)
{
    for (size_t t = 0; t < N_TOK; t++) {
        id[t * ACTIVE] = (int32_t)(t % 5 == 1 ? 0 : t % 5);
        id[t * ACTIVE + 1] = (int32_t)(t % 5 == 0 ? 5 : t % 5 + 1);
    }
}

static float *mix(struct mk_work *wk, void *arg, size_t *n)
{
    const struct mixture *m = arg;
    const struct mk_experts e = {N_EXPERT, FF, m->gate, m->up, m->down};
    int32_t id[N_TOK * ACTIVE];
    choose(id);
    float *y = grad_copy(wk, m->y, N_TOK, D);
    struct mk_input in = mk_input(m->x, N_TOK, D, D + 3);
    mk_experts_add(wk, &e, &in, id, m->weight, ACTIVE, y);
    *n = N_TOK * D;
    return y;
}

static struct mk_weight matrix(struct grad *t, char *name, const char *kind, size_t e, size_t rows,
                               size_t cols)
{
    snprintf(name, 16, "%s %zu", kind, e);
    return mk_float_rows(grad_param(t, name, rows, cols), rows, cols, cols);
}

static void experts_are_right(void **state)
{
    (void)state;
    static const unsigned n_threads[] = {1, 3};
    for (size_t i = 0; i < 2; i++) {
        struct grad t;
        struct mixture m;
        char name[N_EXPERT][3][16];
        grad_open(&t, n_threads[i]);
        m.x = grad_value(&t, "x", N_TOK * (D + 3) - 3);
        m.weight = grad_value(&t, "weight", N_TOK * ACTIVE);
        m.y = grad_value(&t, "y", N_TOK * D);
        for (size_t e = 0; e < N_EXPERT; e++) {
            if (e == 1) { /* never chosen */
                m.gate[e] = m.gate[0], m.up[e] = m.up[0], m.down[e] = m.down[0];
                continue;
            }
            m.gate[e] = matrix(&t, name[e][0], "gate", e, FF, D);
            m.up[e] = matrix(&t, name[e][1], "up", e, FF, D);
            m.down[e] = matrix(&t, name[e][2], "down", e, D, FF);
        }
        grad_check(&t, mix, &m);
        grad_close(&t);
    }
}

/* Frozen weights have no gradients; the inputs still do. */
static void frozen_experts(void **state)
{
    (void)state;
    struct grad t;
    struct mixture m;
    float w[D * FF];
    grad_open(&t, 2);
    for (size_t i = 0; i < D * FF; i++) w[i] = mk_rng_normal(&t.rng);
    m.x = grad_value(&t, "x", N_TOK * (D + 3) - 3);
    m.weight = grad_value(&t, "weight", N_TOK * ACTIVE);
    m.y = grad_value(&t, "y", N_TOK * D);
    for (size_t e = 0; e < N_EXPERT; e++) {
        m.gate[e] = m.up[e] = mk_float_rows(w, FF, D, D);
        m.down[e] = mk_float_rows(w, D, FF, FF);
    }
    grad_check(&t, mix, &m);
    grad_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(routes_of_all_kinds), cmocka_unit_test(balance_loss_is_right),
        cmocka_unit_test(loads_are_counted),   cmocka_unit_test(routes_are_replayed),
        cmocka_unit_test(experts_are_right),   cmocka_unit_test(frozen_experts),
    };
    return cmocka_run_group_tests_name("gradients of experts", tests, NULL, NULL);
}
