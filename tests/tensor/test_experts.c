/* Routing against hand-made cases, experts against double arithmetic. */
#include "helpers.h"
#include "tensor/experts.h"

static struct mk_work bench;

static int set_up(void **state)
{
    (void)state;
    mk_work_init(&bench, 2, mk_cpu_detect());
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mk_work_release(&bench);
    return 0;
}

static void greedy_softmax(void **state)
{
    (void)state;
    const struct mk_router r = {.n_expert = 4, .n_active = 2, .n_group = 1, .scale = 1.0f};
    const float logits[] = {0.0f, 2.0f, 1.0f, 2.0f};
    int32_t id[2];
    float w[2];
    mk_route(&bench, &r, logits, 1, id, w);
    assert_int_equal(id[0], 1);
    assert_int_equal(id[1], 3);
    const double sum = 1 + 2 * exp(2) + exp(1);
    assert_true(fabs((double)w[0] - exp(2) / sum) < 1e-6);
}

/* The bias chooses, but does not weigh; groups are ranked by their best two. */
static void sigmoid_groups(void **state)
{
    (void)state;
    const float bias[] = {0, 0, 0, 0, 0.9f, 0.9f, 0, 0};
    const struct mk_router r = {.n_expert = 8,
                                .n_active = 2,
                                .n_group = 4,
                                .n_group_active = 1,
                                .score = MK_SCORE_SIGMOID,
                                .group_rank = MK_GROUP_TOP2,
                                .is_normed = true,
                                .scale = 2.5f,
                                .bias = bias};
    const float logits[] = {3, -3, 1, 1, -1, 0, 0, 0};
    int32_t id[2];
    float w[2];
    mk_route(&bench, &r, logits, 1, id, w);
    assert_int_equal(id[0], 4);
    assert_int_equal(id[1], 5);
    const double a = 1 / (1 + exp(1)), b = 0.5;
    assert_true(fabs((double)w[0] - 2.5 * a / (a + b)) < 1e-6);
    assert_true(fabs((double)w[1] - 2.5 * b / (a + b)) < 1e-6);
}

/* Ranked by the best one instead, another group wins. */
static void max_groups(void **state)
{
    (void)state;
    struct mk_router r = {
        .n_expert = 4, .n_active = 2, .n_group = 2, .n_group_active = 1, .scale = 16.0f};
    const float logits[] = {3, -9, 2.5f, 2.6f};
    int32_t id[2];
    float w[2];
    mk_route(&bench, &r, logits, 1, id, w);
    assert_int_equal(id[0], 0);
    assert_int_equal(id[1], 1);
    r.group_rank = MK_GROUP_TOP2;
    mk_route(&bench, &r, logits, 1, id, w);
    assert_int_equal(id[0], 2);
    assert_int_equal(id[1], 3);
}

/* Ties go to the lower index; NaN never wins and never hangs. */
static void ties_and_nan(void **state)
{
    (void)state;
    const struct mk_router r = {
        .n_expert = 4, .n_active = 2, .n_group = 1, .score = MK_SCORE_SIGMOID, .scale = 1.0f};
    int32_t id[2];
    float w[2];
    mk_route(&bench, &r, (const float[]){1, 1, 1, 1}, 1, id, w);
    assert_int_equal(id[0], 0);
    assert_int_equal(id[1], 1);
    mk_route(&bench, &r, (const float[]){NAN, 0, NAN, 0}, 1, id, w);
    assert_int_equal(id[0], 1);
    assert_int_equal(id[1], 3);
    mk_route(&bench, &r, (const float[]){NAN, NAN, NAN, NAN}, 1, id, w);
    assert_int_equal(id[0], 0);
    assert_int_equal(id[1], 1);
}

enum { E = 6, D = 64, FF = 96, N_TOK = 9, ACTIVE = 3 };

static void check_experts(enum mk_type type, bool rounds, double tolerance)
{
    struct mk_work wk, one;
    struct mk_weight gate[E], up[E], down[E];
    float *pg[E], *pu[E], *pd[E];
    mk_work_init(&wk, 3, mk_cpu_detect());
    wk.worth_mac = 1;
    mk_work_init(&one, 1, mk_cpu_detect());
    wk.rounds = one.rounds = rounds;
    for (size_t e = 0; e < E; e++) {
        gate[e] = random_weight(type, FF, D, &pg[e]);
        up[e] = random_weight(type, FF, D, &pu[e]);
        down[e] = random_weight(type, D, FF, &pd[e]);
    }
    float *x = random_floats(N_TOK * D), y[N_TOK * D] = {0}, z[D];
    int32_t id[N_TOK * ACTIVE];
    float weight[N_TOK * ACTIVE];
    for (size_t i = 0; i < N_TOK * ACTIVE; i++) {
        id[i] = (int32_t)((i / ACTIVE + i % ACTIVE * 2) % E);
        weight[i] = 0.1f * (float)(i % 7 + 1);
    }
    const struct mk_experts ex = {E, FF, gate, up, down};
    struct mk_input in = mk_input(x, N_TOK, D, D);
    mk_experts_add(&wk, &ex, &in, id, weight, ACTIVE, y);
    for (size_t t = 0; t < N_TOK; t++) {
        double want[D] = {0};
        for (size_t a = t * ACTIVE; a < (t + 1) * ACTIVE; a++)
            for (size_t f = 0; f < FF; f++) {
                double g = 0, u = 0;
                for (size_t k = 0; k < D; k++) {
                    g += (double)pg[id[a]][f * D + k] * (double)x[t * D + k];
                    u += (double)pu[id[a]][f * D + k] * (double)x[t * D + k];
                }
                const double h = g / (1 + exp(-g)) * u * (double)weight[a];
                for (size_t k = 0; k < D; k++) want[k] += h * (double)pd[id[a]][k * FF + f];
            }
        double err = 0, mag = 0;
        for (size_t k = 0; k < D; k++) {
            err += pow(want[k] - (double)y[t * D + k], 2);
            mag += want[k] * want[k];
        }
        assert_true(sqrt(err / mag) < tolerance);
        memset(z, 0, sizeof z); /* alone and with one thread: the same bits */
        struct mk_input row = mk_input(x + t * D, 1, D, D);
        mk_experts_add(&one, &ex, &row, id + t * ACTIVE, weight + t * ACTIVE, ACTIVE, z);
        assert_memory_equal(z, y + t * D, sizeof z);
    }
    for (size_t e = 0; e < E; e++)
        weight_free(&gate[e], pg[e]), weight_free(&up[e], pu[e]), weight_free(&down[e], pd[e]);
    free(x);
    mk_work_release(&wk);
    mk_work_release(&one);
}

static void experts_are_right(void **state)
{
    (void)state;
    check_experts(MK_F32, false, 1e-5);
    check_experts(MK_BF16, false, 1e-5);
    check_experts(MK_BF16, true, 0.005);
    check_experts(MK_F8_E4M3, true, 0.005);
    check_experts(MK_Q8_0, true, 0.02);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_softmax),    cmocka_unit_test(sigmoid_groups),
        cmocka_unit_test(max_groups),        cmocka_unit_test(ties_and_nan),
        cmocka_unit_test(experts_are_right),
    };
    return cmocka_run_group_tests_name("experts", tests, set_up, tear_down);
}
