/* Muon: the momentum of a matrix, with all its singular values made 1, is the direction to go.
 *
 * Newton-Schulz does that with products alone.  An odd polynomial p(x) = a x + b x^3 + c x^5 of a
 * matrix acts on its singular values and leaves its singular vectors; repeated, p moves
 * them towards 1.  The first coefficients are steep at zero (small values grow 3.4 times an
 * iteration) and end within [0.7, 1.2]; the last two iterations have p(1) = 1 and p'(1) = 0.
 * (Jordan 2024; iterations as in DeepSeek-V4, algorithm 1.) */
#include "train/int_optim.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N_ROUGH = 8, N_FINE = 2, TILE = 64, BLOCK = 16 };
static const float rough[3] = {3.4445f, -4.7750f, 2.0315f};
static const float fine[3] = {2.0f, -1.5f, 0.5f};

static size_t padded(size_t n) { return (n + 15) / 16 * 16; }
static size_t shorter(const struct mk_param *q) { return q->rows < q->cols ? q->rows : q->cols; }
static size_t longer(const struct mk_param *q) { return q->rows < q->cols ? q->cols : q->rows; }

/* y[n_row][n_col] += x[n_row][n_k] w[n_k][n_col].  In stripes of columns, so that what is read
 * again for each row stays in the fast cache. */
static void product(const struct mk_kernels *k, float *y, const float *x, const float *w,
                    size_t n_row, size_t n_k, size_t n_col)
{
    for (size_t j = 0; j < n_col; j += TILE)
        k->mul_t(y + j, n_col, w + j, n_col, n_k, n_col - j < TILE ? n_col - j : TILE, x, n_k,
                 n_row);
}

/* y[m][n] = x[n][m] turned, in blocks that fit a few lines each. */
static void transpose(float *y, const float *x, size_t n, size_t m)
{
    for (size_t r0 = 0; r0 < n; r0 += BLOCK)
        for (size_t c0 = 0; c0 < m; c0 += BLOCK) {
            const size_t r1 = r0 + BLOCK < n ? r0 + BLOCK : n;
            const size_t c1 = c0 + BLOCK < m ? c0 + BLOCK : m;
            for (size_t c = c0; c < c1; c++)
                for (size_t r = r0; r < r1; r++) y[c * n + r] = x[r * m + c];
        }
}

size_t mk_newton_schulz_floats(size_t n, size_t m) { return padded(n * m) + 2 * padded(n * n); }

void mk_newton_schulz(const struct mk_kernels *k, float *out, float *x, size_t n, size_t m,
                      float *scratch)
{
    float *turned = scratch, *a = turned + padded(n * m), *b = a + padded(n * n);
    const double norm = sqrt(k->sum_sq(x, n * m));
    /* A zero matrix has no direction; one of tiny values would overflow 1 / norm. */
    if (norm > 1e-30)
        k->scale(x, (float)(1 / norm), n * m);
    else
        memset(x, 0, n * m * sizeof *x);
    for (int i = 0; i < N_ROUGH + N_FINE; i++) {
        const float *p = i < N_ROUGH ? rough : fine;
        transpose(turned, x, n, m);
        memset(a, 0, n * n * sizeof *a);
        product(k, a, x, turned, n, m, n); /* A = X X' */
        memset(b, 0, n * n * sizeof *b);
        product(k, b, a, a, n, n, n);
        k->scale(b, p[2], n * n);
        k->axpy(b, p[1], a, n * n); /* B = b A + c A A */
        memcpy(out, x, n * m * sizeof *x);
        k->scale(out, p[0], n * m);
        product(k, out, b, x, n, n, m); /* X = a X + B X */
        memcpy(x, out, n * m * sizeof *x);
    }
}

/* ---- steps ------------------------------------------------------------------------------ */

struct cost {
    double flops;
    size_t param;
};

static int by_cost(const void *a, const void *b)
{
    const struct cost *x = a, *y = b;
    if (x->flops != y->flops) return x->flops > y->flops ? -1 : 1;
    return x->param < y->param ? -1 : x->param > y->param;
}

/* What one matrix needs: momentum plus gradient, its direction, and Newton-Schulz. */
static size_t matrix_floats(const struct mk_param *q)
{
    return 2 * padded(mk_param_values(q)) + mk_newton_schulz_floats(shorter(q), longer(q));
}

void mk_muon_plan(struct mk_optim_plan *plan, const struct mk_params *p)
{
    struct cost *list = mk_calloc(p->n_list, sizeof *list);
    for (size_t i = 0; i < p->n_list; i++) {
        const struct mk_param *q = &p->list[i];
        if (q->kind != MK_PARAM_MATRIX) continue;
        const double n = (double)shorter(q), m = (double)longer(q);
        list[plan->n_muon++] = (struct cost){n * n * (2 * m + n), i};
        const size_t n_floats = matrix_floats(q);
        if (n_floats > plan->n_scratch) plan->n_scratch = n_floats;
    }
    if (plan->n_muon) qsort(list, plan->n_muon, sizeof *list, by_cost);
    plan->muon = mk_calloc(plan->n_muon, sizeof *plan->muon);
    for (size_t i = 0; i < plan->n_muon; i++) plan->muon[i] = list[i].param;
    free(list);
}

struct job {
    const struct mk_optim *opt;
    const struct mk_kernels *k;
    struct mk_params *p;
    float *scratch; /* [thread][plan->n_scratch] */
    double lr, scale;
};

static void move_matrix(const struct job *j, const struct mk_param *q, float *scratch)
{
    const struct mk_optim_options *o = &j->opt->o;
    const size_t n_values = mk_param_values(q), n = shorter(q), m = longer(q);
    const float *g = j->p->grad + q->at;
    float *x = scratch, *dir = x + padded(n_values), *rest = dir + padded(n_values);
    float *w = j->p->v + q->at, *momentum = j->opt->m + q->at;
    const bool is_tall = q->rows > q->cols;

    j->k->scale(momentum, (float)o->momentum, n_values);
    j->k->axpy(momentum, (float)j->scale, g, n_values);
    float *look = is_tall ? dir : x; /* one momentum ahead (Nesterov) */
    memcpy(look, momentum, n_values * sizeof *look);
    j->k->scale(look, (float)o->momentum, n_values);
    j->k->axpy(look, (float)j->scale, g, n_values);
    if (is_tall) transpose(x, dir, q->rows, q->cols);
    mk_newton_schulz(j->k, dir, x, n, m, rest);
    if (is_tall) transpose(x, dir, n, m);

    const double lr = j->lr * o->muon_lr;
    j->k->scale(w, (float)(1 - lr * o->decay), n_values);
    j->k->axpy(w, (float)(-lr * 0.18 * sqrt((double)m)), is_tall ? x : dir, n_values);
}

static void move_matrices(void *arg, size_t first, size_t last, unsigned thread)
{
    const struct job *j = arg;
    const struct mk_optim_plan *plan = j->opt->plan;
    for (size_t i = first; i < last; i++)
        move_matrix(j, &j->p->list[plan->muon[i]], j->scratch + thread * plan->n_scratch);
}

void mk_muon_step(struct mk_optim *opt, struct mk_work *wk, struct mk_params *p, double lr,
                  double scale)
{
    const struct mk_arena_mark mark = mk_arena_mark(&wk->arena);
    struct job job = {.opt = opt, .k = &wk->k, .p = p, .lr = lr, .scale = scale};
    job.scratch = mk_floats(wk, mk_pool_size(wk->pool) * opt->plan->n_scratch);
    mk_pool_run(wk->pool, opt->plan->n_muon, 1, move_matrices, &job);
    mk_arena_reset(&wk->arena, mark);
}
