/* Muon: the momentum of a matrix, with all its singular values made 1, is the direction to go.
 *
 * Newton-Schulz does that with products alone.  An odd polynomial p(x) = a x + b x^3 + c x^5 of a
 * matrix acts on its singular values and leaves its singular vectors; repeated, p moves
 * them towards 1.  Its coefficients are steep at zero (small values grow 3.4 times an iteration)
 * and end within [0.68, 1.21], which is near enough (Jordan 2024).  DeepSeek-V4 (algorithm 1)
 * iterates eight times so and twice with (2, -1.5, 0.5), which ends at 1: the same loss after 640
 * steps of a small model, 12 % more time.
 * bf16 is precise enough for a direction: rounding errors do not add up, since each iteration
 * begins anew from its X. */
#include "train/int_optim.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N_ITERATION = 5, TILE = 64, BLOCK = 16 };
static const float poly[3] = {3.4445f, -4.7750f, 2.0315f}; /* a, b, c */

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

/* One matrix on its way.  In bf16, rows and pairs are the forms of mul_bf16's operands. */
struct iteration {
    const struct mk_kernels *k;
    size_t n, m;
    float *x, *out; /* [n][m] */
    float *a, *b;   /* [n][n] */
    float *turned;  /* [m][n]; in bf16 */
    uint16_t *turned16, *rows, *pairs;
};

size_t mk_newton_schulz_floats(size_t n, size_t m) { return 2 * padded(n * m) + 2 * padded(n * n); }

/* pairs = v [n_row][n_col] as a right operand. */
static void make_pairs(const struct iteration *s, const float *v, size_t n_row, size_t n_col)
{
    for (size_t i = 0; i < n_row; i += 2)
        s->k->pairs_bf16(s->pairs + i * n_col, v + i * n_col, v + (i + 1) * n_col, n_col);
}

/* A = X X', AA = A A, out += B X: the three products of an iteration. */
static void square16(const struct iteration *s)
{
    s->k->f32_bf16(s->rows, s->x, s->n * s->m);
    s->k->trans_bf16(s->turned16, s->n, s->x, s->m, s->n, s->m);
    for (size_t i = 0; i < s->m; i += 2)
        s->k->zip_bf16(s->pairs + i * s->n, s->turned16 + i * s->n, s->turned16 + (i + 1) * s->n,
                       s->n);
    s->k->mul_bf16(s->a, s->n, s->rows, s->m, s->pairs, s->n, s->n, s->m, s->n, false);
    s->k->f32_bf16(s->rows, s->a, s->n * s->n);
    make_pairs(s, s->a, s->n, s->n);
    s->k->mul_bf16(s->b, s->n, s->rows, s->n, s->pairs, s->n, s->n, s->n, s->n, false);
}

static void apply16(const struct iteration *s)
{
    s->k->f32_bf16(s->rows, s->b, s->n * s->n);
    make_pairs(s, s->x, s->n, s->m);
    s->k->mul_bf16(s->out, s->m, s->rows, s->n, s->pairs, s->m, s->n, s->n, s->m, true);
}

static void square(const struct iteration *s)
{
    transpose(s->turned, s->x, s->n, s->m);
    memset(s->a, 0, s->n * s->n * sizeof *s->a);
    product(s->k, s->a, s->x, s->turned, s->n, s->m, s->n);
    memset(s->b, 0, s->n * s->n * sizeof *s->b);
    product(s->k, s->b, s->a, s->a, s->n, s->n, s->n);
}

/* X = a X + B X, B = b A + c A A. */
static void iterate(const struct iteration *s, bool is_bf16)
{
    const size_t n = s->n, m = s->m;
    (is_bf16 ? square16 : square)(s);
    s->k->scale(s->b, poly[2], n * n);
    s->k->axpy(s->b, poly[1], s->a, n * n);
    memcpy(s->out, s->x, n * m * sizeof *s->out);
    s->k->scale(s->out, poly[0], n * m);
    if (is_bf16)
        apply16(s);
    else
        product(s->k, s->out, s->b, s->x, n, n, m);
    memcpy(s->x, s->out, n * m * sizeof *s->x);
}

void mk_newton_schulz(const struct mk_kernels *k, bool is_bf16, float *out, float *x, size_t n,
                      size_t m, float *scratch)
{
    struct iteration s = {.k = k, .n = n, .m = m, .x = x, .out = out, .turned = scratch};
    s.a = scratch + 2 * padded(n * m), s.b = s.a + padded(n * n);
    s.turned16 = (uint16_t *)(void *)scratch;
    s.rows = s.turned16 + padded(n * m), s.pairs = s.rows + padded(n * m);
    const double norm = sqrt(k->sum_sq(x, n * m));
    /* A zero matrix has no direction; one of tiny values would overflow 1 / norm. */
    if (norm <= 1e-30) {
        memset(out, 0, n * m * sizeof *out);
        return;
    }
    k->scale(x, (float)(1 / norm), n * m);
    for (int i = 0; i < N_ITERATION; i++) iterate(&s, is_bf16 && n % 32 == 0 && m % 32 == 0);
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
    mk_newton_schulz(j->k, o->is_bf16, dir, x, n, m, rest);
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
