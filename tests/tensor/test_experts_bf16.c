/* Experts in bf16 against the same in floats, forward and backward; the bits of either depend
 * neither on threads nor on what shares the batch. */
#include "helpers.h"
#include "tensor/experts.h"
#include "tensor/tape.h"

#include <stdio.h>

/* All tokens go to expert 0, more than a block of slots, and none to expert 5. */
enum { E = 6, D = 64, FF = 96, N_TOK = 100, ACTIVE = 3, N_W = 3 * E * D * FF };

struct run {
    unsigned n_threads, cpu;
    bool is_bf16;
    float y[N_TOK * D], dx[N_TOK * D], dweight[N_TOK * ACTIVE], dw[N_W];
    float inferred[N_TOK * D]; /* y without recording */
    float alone[D];            /* the last row by itself */
};

struct net {
    struct mk_work wk;
    struct mk_tape tape;
    struct mk_params params;
    struct mk_pairs pairs[3][E];
    struct mk_weight w[3][E]; /* gate, up, down */
};

static void open_net(struct net *n, const struct run *r)
{
    struct mk_err err;
    *n = (struct net){.params = {0}};
    mk_work_init(&n->wk, r->n_threads, r->cpu);
    n->wk.worth_mac = 1;
    assert_true(mk_params_init(&n->params, N_W, &err));
    for (size_t i = 0; i < 3 * E; i++) {
        const size_t m = i / E, e = i % E, rows = m == 2 ? D : FF, cols = m == 2 ? FF : D;
        char name[16];
        struct mk_param *p;
        snprintf(name, sizeof name, "w %zu %zu", m, e);
        assert_true(mk_params_add(&n->params, name, MK_PARAM_MATRIX, rows, cols, &p, &err));
        n->w[m][e] = mk_float_rows(n->params.v + p->at, rows, cols, cols);
        p->pairs = &n->pairs[m][e];
        n->w[m][e].pairs = p->pairs;
    }
    struct mk_rng rng = {1};
    for (size_t i = 0; i < N_W; i++) n->params.v[i] = 0.1f * (float)mk_rng_normal(&rng);
    if (r->is_bf16) assert_true(mk_params_pack(&n->wk, &n->params, &err));
    assert_true(mk_tape_attach(&n->tape, &n->wk, &n->params, (size_t)1 << 28, &err));
    const struct mk_arena_mark mark = mk_arena_mark(&n->wk.arena);
    memset(mk_arena_take(&n->wk.arena, 1 << 23), 0xff, 1 << 23); /* scratch is full of NaN */
    mk_arena_reset(&n->wk.arena, mark);
}

static void close_net(struct net *n)
{
    mk_tape_release(&n->tape, &n->wk);
    mk_params_release(&n->params);
    mk_work_release(&n->wk);
}

/* Random values in the step's arena. */
static float *values(struct mk_work *wk, size_t n, uint64_t seed)
{
    struct mk_rng rng = {seed};
    float *v = mk_floats(wk, n);
    for (size_t i = 0; i < n; i++) v[i] = (float)mk_rng_normal(&rng);
    return v;
}

static void go(struct run *r)
{
    struct net n;
    int32_t id[N_TOK * ACTIVE];
    for (size_t t = 0; t < N_TOK; t++) {
        id[t * ACTIVE] = 0;
        id[t * ACTIVE + 1] = (int32_t)(1 + t % 2);
        id[t * ACTIVE + 2] = (int32_t)(3 + t % 3 / 2);
    }
    open_net(&n, r);
    struct mk_work *wk = &n.wk;
    const struct mk_experts e = {E, FF, n.w[0], n.w[1], n.w[2]};
    float *x = values(wk, N_TOK * D, 2), *weight = values(wk, N_TOK * ACTIVE, 3);
    float *y = values(wk, N_TOK * D, 4), *dy = mk_grad(wk, y);
    memcpy(r->inferred, y, sizeof r->inferred);
    memcpy(r->alone, y + (N_TOK - 1) * D, sizeof r->alone);

    n.tape.is_recording = false;
    struct mk_input all = mk_input(x, N_TOK, D, D), last = mk_input(x + (N_TOK - 1) * D, 1, D, D);
    const size_t at = (N_TOK - 1) * ACTIVE;
    mk_experts_add(wk, &e, &all, id, weight, ACTIVE, r->inferred);
    mk_experts_add(wk, &e, &last, id + at, weight + at, ACTIVE, r->alone);
    n.tape.is_recording = true;

    struct mk_input in = mk_input(x, N_TOK, D, D);
    mk_experts_add(wk, &e, &in, id, weight, ACTIVE, y);
    struct mk_rng rng = {5};
    for (size_t i = 0; dy && i < N_TOK * D; i++) dy[i] = (float)mk_rng_normal(&rng);
    mk_tape_backward(wk);
    memcpy(r->y, y, sizeof r->y);
    memcpy(r->dx, mk_grad(wk, x), sizeof r->dx);
    memcpy(r->dweight, mk_grad(wk, weight), sizeof r->dweight);
    memcpy(r->dw, n.params.grad, sizeof r->dw);
    close_net(&n);
}

/* |a - b| / |b|. */
static double distance(const float *a, const float *b, size_t n)
{
    double diff = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        diff += pow((double)a[i] - (double)b[i], 2);
        size += (double)b[i] * (double)b[i];
    }
    return sqrt(diff / size);
}

static void assert_same(const struct run *a, const struct run *b)
{
    assert_memory_equal(a->y, b->y, sizeof a->y);
    assert_memory_equal(a->dx, b->dx, sizeof a->dx);
    assert_memory_equal(a->dweight, b->dweight, sizeof a->dweight);
    assert_memory_equal(a->dw, b->dw, sizeof a->dw);
}

static void check_cpu(unsigned cpu)
{
    static struct run in[2], other;
    static const unsigned n_threads[] = {2, 7};
    for (int is_bf16 = 0; is_bf16 < 2; is_bf16++) {
        struct run *r = &in[is_bf16];
        *r = (struct run){.n_threads = 1, .cpu = cpu, .is_bf16 = is_bf16};
        go(r);
        assert_memory_equal(r->y, r->inferred, sizeof r->y);
        assert_memory_equal(r->alone, r->y + (N_TOK - 1) * D, sizeof r->alone);
        for (size_t i = 0; i < 2; i++) {
            other = (struct run){.n_threads = n_threads[i], .cpu = cpu, .is_bf16 = is_bf16};
            go(&other);
            assert_same(&other, r);
        }
    }
    const double err[] = {
        distance(in[1].y, in[0].y, N_TOK * D), distance(in[1].dx, in[0].dx, N_TOK * D),
        distance(in[1].dweight, in[0].dweight, N_TOK * ACTIVE), distance(in[1].dw, in[0].dw, N_W)};
    for (size_t i = 0; i < 4; i++) assert_true(err[i] > 1e-5 && err[i] < 1e-2);
}

static void best_kernels(void **state)
{
    (void)state;
    check_cpu(mk_cpu_detect());
}

static void scalar_kernels(void **state)
{
    (void)state;
    check_cpu(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(best_kernels),
        cmocka_unit_test(scalar_kernels),
    };
    return cmocka_run_group_tests_name("experts in bf16", tests, NULL, NULL);
}
