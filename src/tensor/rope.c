#include "tensor/rope.h"

#include "tensor/tape.h"

#include <assert.h>
#include <math.h>

static const double pi = 3.14159265358979323846;

void mk_rope_init(struct mk_rope *r, size_t n_pair, bool is_halves, double base)
{
    assert(n_pair <= MK_ROPE_MAX_PAIRS);
    *r = (struct mk_rope){.n_pair = n_pair, .magnitude = 1.0f, .is_halves = is_halves};
    for (size_t i = 0; i < n_pair; i++) r->freq[i] = (float)pow(base, -(double)i / (double)n_pair);
}

/* The (fractional) pair that turns `turns` times over n_ctx positions. */
static double yarn_pair(double dim, double base, double n_ctx, double turns)
{
    return dim * log(n_ctx / (turns * 2.0 * pi)) / (2.0 * log(base));
}

void mk_rope_yarn(struct mk_rope *r, double base, double factor, double n_ctx_orig,
                  double beta_fast, double beta_slow)
{
    const double dim = 2.0 * (double)r->n_pair;
    const double low = fmax(floor(yarn_pair(dim, base, n_ctx_orig, beta_fast)), 0.0);
    double high = fmin(ceil(yarn_pair(dim, base, n_ctx_orig, beta_slow)), dim - 1.0);
    if (low == high) high += 0.001;
    for (size_t i = 0; i < r->n_pair; i++) {
        const double f = pow(base, -(double)i / (double)r->n_pair);
        const double ramp = fmin(fmax(((double)i - low) / (high - low), 0.0), 1.0);
        r->freq[i] = (float)(f / factor * ramp + f * (1.0 - ramp));
    }
}

double mk_yarn_mscale(double factor, double m)
{
    return factor <= 1.0 ? 1.0 : 0.1 * m * log(factor) + 1.0;
}

void mk_rope_llama3(struct mk_rope *r, double factor, double low, double high, double n_ctx_orig)
{
    for (size_t i = 0; i < r->n_pair; i++) {
        const double f = (double)r->freq[i], wavelength = 2.0 * pi / f;
        if (wavelength < n_ctx_orig / high) continue;
        if (wavelength > n_ctx_orig / low) {
            r->freq[i] = (float)(f / factor);
        } else {
            const double s = (n_ctx_orig / wavelength - low) / (high - low);
            r->freq[i] = (float)((1.0 - s) * f / factor + s * f);
        }
    }
}

struct table_job {
    const struct mk_rope *r;
    const size_t *pos;
    float *table;
};

/* The angle is rounded to float before its sine is taken, as the reference does: at
 * position 100,000 that is worth 0.008 rad. */
static void table_rows(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    const struct table_job *j = arg;
    const struct mk_rope *r = j->r;
    for (size_t row = first; row < last; row++)
        for (size_t i = 0; i < r->n_pair; i++) {
            const float angle = (float)j->pos[row] * r->freq[i];
            float *cs = j->table + 2 * (row * r->n_pair + i);
            cs[0] = (float)cos((double)angle) * r->magnitude;
            cs[1] = (float)sin((double)angle) * r->magnitude;
        }
}

const float *mk_rope_table(struct mk_work *wk, const struct mk_rope *r, const size_t *pos, size_t n)
{
    struct table_job j = {r, pos, mk_floats(wk, n * 2 * r->n_pair)};
    mk_pool_run(wk->pool, n, mk_grain(wk, 64 * r->n_pair), table_rows, &j);
    return j.table;
}

struct rope_job {
    mk_rope_pairs_fn *turn;
    const float *table;
    float *x;
    size_t n_pair, ld, n_head, d_head;
};

static void rope_rows(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    const struct rope_job *j = arg;
    for (size_t i = first; i < last; i++)
        for (size_t h = 0; h < j->n_head; h++)
            j->turn(j->x + i * j->ld + h * j->d_head, j->table + i * 2 * j->n_pair, j->n_pair);
}

/* The transposed matrix turns by the opposite angle, with the same magnitude. */
static void rope_rows_back(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    const struct rope_job *j = arg;
    float back[2 * MK_ROPE_MAX_PAIRS];
    for (size_t i = first; i < last; i++) {
        const float *cs = j->table + i * 2 * j->n_pair;
        for (size_t p = 0; p < j->n_pair; p++) {
            back[2 * p] = cs[2 * p];
            back[2 * p + 1] = -cs[2 * p + 1];
        }
        for (size_t h = 0; h < j->n_head; h++)
            j->turn(j->x + i * j->ld + h * j->d_head, back, j->n_pair);
    }
}

struct rope_saved {
    struct rope_job job;
    size_t n;
};

static void run(struct mk_work *wk, mk_job_fn *fn, struct rope_job *j, size_t n)
{
    mk_pool_run(wk->pool, n, mk_grain(wk, 4 * j->n_head * j->n_pair), fn, j);
}

static void rope_back(struct mk_work *wk, void *saved)
{
    const struct rope_saved *s = saved;
    struct rope_job j = s->job;
    j.x = mk_grad(wk, j.x);
    run(wk, rope_rows_back, &j, s->n);
}

void mk_rope_apply(struct mk_work *wk, const struct mk_rope *r, const float *table, float *x,
                   size_t n, size_t ld, size_t n_head, size_t d_head)
{
    struct rope_job j = {.turn = r->is_halves ? wk->k.rope_halves : wk->k.rope_pairs,
                         .table = table,
                         .x = x,
                         .n_pair = r->n_pair,
                         .ld = ld,
                         .n_head = n_head,
                         .d_head = d_head};
    run(wk, rope_rows, &j, n);
    if (!mk_is_recording(wk) || !mk_grad(wk, x)) return;
    struct rope_saved *s = mk_tape_push(wk, rope_back, sizeof *s);
    *s = (struct rope_saved){j, n};
}
