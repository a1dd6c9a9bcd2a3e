#ifndef TESTS_GRAD_GRAD_H
#define TESTS_GRAD_GRAD_H
/* Gradients against central differences.  With random numbers c the loss of a forward pass with
 * outputs y is L = sum c y; every input's gradient g must agree with
 *
 *   d = (L(x + H) - L(x - H)) / 2H        |g - d| / (|g| + |d|) < 1e-6, norms over the input
 *
 * and afterwards all gradients of values but the inputs' must be zero again (tensor/tape.h).
 * These tests run in the double build only (double.h).
 *
 *   struct grad t;
 *   grad_open(&t, 1);
 *   struct part p = {.x = grad_value(&t, "x", n), .w = grad_param(&t, "w", 1, n)};
 *   grad_check(&t, forward, &p);
 *   grad_close(&t); */
#include "base/rng.h"
#include "tensor/tape.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { GRAD_INPUTS = 24, GRAD_SAMPLE = 40 /* values of an input that are tried */ };

struct grad_input {
    const char *name;
    float *v;
    size_t n;
    double *g; /* the gradient by backward */
};
struct grad {
    struct mk_work wk;
    struct mk_tape tape;
    struct mk_params params;
    struct mk_rng rng;
    struct grad_input in[GRAD_INPUTS];
    size_t n_in;
};

static inline void grad_open(struct grad *t, unsigned n_threads)
{
    struct mk_err err;
    *t = (struct grad){.rng = {0x67726164}};
    mk_work_init(&t->wk, n_threads, 0);
    t->wk.worth_mac = 1;
    assert_true(mk_params_init(&t->params, 1 << 20, &err));
    assert_true(mk_tape_attach(&t->tape, &t->wk, &t->params, (size_t)1 << 30, &err));
}

static inline void grad_close(struct grad *t)
{
    for (size_t i = 0; i < t->n_in; i++) free(t->in[i].g);
    mk_tape_release(&t->tape, &t->wk);
    mk_params_release(&t->params);
    mk_work_release(&t->wk);
}

static inline float *grad_add(struct grad *t, const char *name, float *v, size_t n)
{
    assert_true(t->n_in < GRAD_INPUTS);
    for (size_t i = 0; i < n; i++) v[i] = mk_rng_normal(&t->rng);
    t->in[t->n_in++] = (struct grad_input){name, v, n, mk_calloc(n, sizeof(double))};
    return v;
}
/* An input of n random values in the step's arena. */
static inline float *grad_value(struct grad *t, const char *name, size_t n)
{
    return grad_add(t, name, mk_floats(&t->wk, n), n);
}
/* The same among the parameters. */
static inline float *grad_param(struct grad *t, const char *name, size_t rows, size_t cols)
{
    struct mk_param *p;
    struct mk_err err;
    assert_true(mk_params_add(&t->params, name, rows == 1 ? MK_PARAM_VECTOR : MK_PARAM_MATRIX, rows,
                              cols, &p, &err));
    return grad_add(t, name, t->params.v + p->at, rows * cols);
}
/* A copy that operations may overwrite; recorded. */
static inline float *grad_copy(struct mk_work *wk, const float *v, size_t n, size_t d)
{
    float *y = mk_floats(wk, n * d);
    mk_gather_rows(wk, y, v, NULL, n, d);
    return y;
}

/* Runs forward passes of a test: returns the outputs [*n], values in the step's arena. */
typedef float *grad_forward_fn(struct mk_work *wk, void *arg, size_t *n);

struct grad_run {
    struct grad *t;
    grad_forward_fn *forward;
    void *arg;
    struct mk_arena_mark mark;
    double *c; /* [n] */
    size_t n;
};

static inline double grad_loss(struct grad_run *r)
{
    struct grad *t = r->t;
    double sum = 0;
    t->tape.balance_loss = 0;
    if (t->tape.routes) t->tape.routes->next = 0;
    const float *y = r->forward(&t->wk, r->arg, &r->n);
    for (size_t i = 0; i < r->n; i++) sum += r->c[i] * y[i];
    t->tape.last = NULL;
    mk_arena_reset(&t->wk.arena, r->mark);
    return sum + t->tape.balance * t->tape.balance_scale * t->tape.balance_loss;
}

static inline bool grad_is_input(const struct grad *t, const float *v)
{
    for (size_t i = 0; i < t->n_in; i++)
        if (v >= t->in[i].v && v < t->in[i].v + t->in[i].n) return true;
    return false;
}

/* Forward and backward; the inputs' gradients move to .g. */
static inline void grad_backward(struct grad_run *r)
{
    struct grad *t = r->t;
    const float *y = r->forward(&t->wk, r->arg, &r->n);
    r->c = mk_calloc(r->n, sizeof *r->c);
    for (size_t i = 0; i < r->n; i++) mk_grad(&t->wk, y)[i] = r->c[i] = mk_rng_normal(&t->rng);
    const size_t used = t->wk.arena.used / sizeof *y;
    mk_tape_backward(&t->wk);
    for (size_t i = 0; i < used; i++)
        if (t->tape.grads[i] != 0 && !grad_is_input(t, t->tape.values + i))
            fail_msg("value %zu has a gradient left: %g", i, t->tape.grads[i]);
    for (size_t i = 0; i < t->n_in; i++) {
        float *g = mk_grad(&t->wk, t->in[i].v);
        memcpy(t->in[i].g, g, t->in[i].n * sizeof *g);
        memset(g, 0, t->in[i].n * sizeof *g);
    }
    mk_arena_reset(&t->wk.arena, r->mark);
}

/* |g - d| / (|g| + |d|) over all values of an input, or a sample of them. */
static inline double grad_error(struct grad_run *r, const struct grad_input *in)
{
    static const double step = 1e-5;
    const size_t n = in->n < GRAD_SAMPLE ? in->n : GRAD_SAMPLE;
    double diff = 0, gg = 0, dd = 0;
    for (size_t i = 0; i < n; i++) {
        const size_t at = n == in->n ? i : mk_rng_u64(&r->t->rng) % in->n;
        const double x = in->v[at];
        in->v[at] = x + step;
        const double up = grad_loss(r);
        in->v[at] = x - step;
        const double d = (up - grad_loss(r)) / (2 * step), g = in->g[at];
        in->v[at] = x;
        diff += (g - d) * (g - d), gg += g * g, dd += d * d;
    }
    if (dd == 0) fail_msg("%s: the outputs do not depend on it", in->name);
    return sqrt(diff) / (sqrt(gg) + sqrt(dd));
}

static inline void grad_check(struct grad *t, grad_forward_fn *forward, void *arg)
{
    struct grad_run r = {.t = t, .forward = forward, .arg = arg};
    r.mark = mk_arena_mark(&t->wk.arena);
    grad_backward(&r);
    t->tape.is_replaying = t->tape.routes; /* a step must not change the choice of experts */
    for (size_t i = 0; i < t->n_in; i++) {
        const double error = grad_error(&r, &t->in[i]);
        printf("  %-12s %.1e\n", t->in[i].name, error);
        if (!(error < 1e-6)) fail_msg("%s: relative error %g", t->in[i].name, error);
    }
    t->tape.is_replaying = false;
    free(r.c);
}
#endif
