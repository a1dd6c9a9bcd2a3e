/* Optimizers against plain double arithmetic, and the guarantees around them. */
#include "base/rng.h"
#include "train/int_optim.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A set of parameters of every kind; the large one is more than a piece. */
static const struct {
    const char *name;
    enum mk_param_kind kind;
    size_t rows, cols;
} shapes[] = {{"embed", MK_PARAM_EMBED, 400, 200}, {"norm", MK_PARAM_VECTOR, 1, 33},
              {"wide", MK_PARAM_MATRIX, 20, 45},   {"bias", MK_PARAM_STATE, 1, 7},
              {"tall", MK_PARAM_MATRIX, 70, 24},   {"square", MK_PARAM_MATRIX, 32, 32}};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

struct fix {
    struct mk_params p;
    struct mk_work wk;
    struct mk_optim opt;
    struct mk_rng rng;
};

static void fill(struct mk_rng *rng, float *v, const struct mk_params *p, double size)
{
    for (size_t i = 0; i < p->n_list; i++)
        for (size_t j = 0; j < mk_param_values(&p->list[i]); j++)
            v[p->list[i].at + j] = (float)(size * mk_rng_normal(rng));
}

static void start(struct fix *f, const struct mk_optim_options *o, unsigned n_threads)
{
    struct mk_err err;
    *f = (struct fix){.rng = {42}};
    assert_true(mk_params_init(&f->p, 1 << 20, &err));
    for (size_t i = 0; i < N_SHAPES; i++)
        assert_true(mk_params_add(&f->p, shapes[i].name, shapes[i].kind, shapes[i].rows,
                                  shapes[i].cols, NULL, &err));
    fill(&f->rng, f->p.v, &f->p, 0.5);
    mk_work_init(&f->wk, n_threads, mk_cpu_detect());
    if (!mk_optim_init(&f->opt, o, &f->p, &err)) fail_msg("%s", err.msg);
}

static void end(struct fix *f)
{
    mk_optim_release(&f->opt);
    mk_params_release(&f->p);
    mk_work_release(&f->wk);
}

static double *doubles(const float *v, size_t n)
{
    double *d = calloc(n, sizeof *d);
    for (size_t i = 0; i < n; i++) d[i] = (double)v[i];
    return d;
}

static void near(double got, double want, double tolerance, const char *what, size_t i)
{
    if (!(fabs(got - want) <= tolerance)) fail_msg("%s %zu: %.9g, want %.9g", what, i, got, want);
}

static double norm_of(const struct fix *f)
{
    double sum = 0;
    for (size_t i = 0; i < f->p.n_list; i++) {
        const struct mk_param *q = &f->p.list[i];
        if (q->kind == MK_PARAM_STATE) continue;
        for (size_t j = 0; j < mk_param_values(q); j++)
            sum += (double)f->p.grad[q->at + j] * (double)f->p.grad[q->at + j];
    }
    return sqrt(sum);
}

/* ---- parameters ------------------------------------------------------------------------- */

static void parameters_have_their_places(void **state)
{
    (void)state;
    struct mk_params p = {0};
    struct mk_param *q;
    struct mk_err err;
    mk_params_release(&p); /* zeroed is valid */
    assert_true(mk_params_init(&p, 100, &err));
    assert_true(mk_params_add(&p, "a", MK_PARAM_VECTOR, 1, 17, &q, &err));
    assert_int_equal(q->at, 0);
    assert_true(mk_params_add(&p, "b", MK_PARAM_MATRIX, 4, 5, &q, &err));
    assert_int_equal(q->at, 32); /* on 64 bytes */
    assert_int_equal((uintptr_t)(p.v + q->at) % 64, 0);
    assert_int_equal(p.n, 52);
    assert_ptr_equal(mk_params_find(&p, "b"), &p.list[1]);
    assert_null(mk_params_find(&p, "c"));
    assert_false(mk_params_add(&p, "b", MK_PARAM_MATRIX, 1, 1, &q, &err));
    assert_string_equal(err.msg, "parameter b is there twice");
    assert_false(mk_params_add(&p, "c", MK_PARAM_MATRIX, 6, 7, &q, &err));
    assert_int_equal(err.code, MK_ELIMIT);
    assert_non_null(strstr(err.msg, "parameter c [6, 7]"));
    assert_false(mk_params_add(&p, "d", MK_PARAM_MATRIX, SIZE_MAX / 2, 3, &q, &err));
    assert_int_equal(p.n_list, 2);
    mk_params_release(&p);
    assert_false(mk_params_init(&p, SIZE_MAX / 2, &err));
}

static void gradients_become_zero(void **state)
{
    (void)state;
    struct fix f;
    const struct mk_optim_options o = mk_optim_defaults();
    start(&f, &o, 3);
    fill(&f.rng, f.p.grad, &f.p, 1);
    assert_true(norm_of(&f) > 0);
    mk_params_zero_grad(&f.wk, &f.p);
    for (size_t i = 0; i < f.p.n; i++) assert_true(f.p.grad[i] == 0.0f);
    end(&f);
}

/* ---- AdamW ------------------------------------------------------------------------------ */

/* torch.optim.AdamW (1.13, double): w = {0.5, -1, 2, 0.25}, gradient of step t and element i is
 * (i + 1) / 4 - t / 8 for t = 0..9; lr 0.01, betas 0.9, 0.95, eps 1e-8, weight decay 0.1. */
static const double torch_w[] = {0.500401262574513, -1.0363079723062, 1.90353870550546,
                                 0.158800175726296};

static void adamw_agrees_with_torch(void **state)
{
    (void)state;
    struct mk_params p;
    struct mk_optim opt;
    struct mk_work wk;
    struct mk_err err;
    struct mk_optim_options o = mk_optim_defaults();
    double norm;
    o.clip = 0;
    mk_work_init(&wk, 1, mk_cpu_detect());
    assert_true(mk_params_init(&p, 100, &err));
    assert_true(mk_params_add(&p, "w", MK_PARAM_MATRIX, 2, 2, NULL, &err));
    memcpy(p.v, (const float[]){0.5f, -1.0f, 2.0f, 0.25f}, 4 * sizeof(float));
    assert_true(mk_optim_init(&opt, &o, &p, &err));
    for (int t = 0; t < 10; t++) {
        for (int i = 0; i < 4; i++) p.grad[i] = (float)(i + 1) / 4 - (float)t / 8;
        assert_true(mk_optim_step(&opt, &wk, &p, 0.01, 1, &norm, &err));
    }
    for (size_t i = 0; i < 4; i++) near((double)p.v[i], torch_w[i], 1e-6, "w", i);
    mk_optim_release(&opt);
    mk_params_release(&p);
    mk_work_release(&wk);
}

/* Ten steps with clipping, decay and a scale, of every kind of parameter. */
static void adamw_agrees_with_doubles(void **state)
{
    (void)state;
    struct fix f;
    struct mk_err err;
    struct mk_optim_options o = mk_optim_defaults();
    o.clip = 30;
    start(&f, &o, 2);
    double *w = doubles(f.p.v, f.p.n), *m = calloc(f.p.n, sizeof *m), *v = calloc(f.p.n, sizeof *v);
    for (int t = 1; t <= 10; t++) {
        const double lr = 0.01 / t, scale = 0.25;
        double norm;
        fill(&f.rng, f.p.grad, &f.p, t < 5 ? 0.1 : 1); /* the second half is clipped */
        assert_true(mk_optim_step(&f.opt, &f.wk, &f.p, lr, scale, &norm, &err));
        near(norm, norm_of(&f) * scale, 1e-9 * norm, "norm", 0);
        assert_true((norm > o.clip) == (t >= 5));
        for (size_t i = 0; i < f.p.n_list; i++) {
            const struct mk_param *q = &f.p.list[i];
            if (q->kind == MK_PARAM_STATE) continue;
            const double decay = q->kind == MK_PARAM_VECTOR ? 0 : o.decay;
            for (size_t j = q->at; j < q->at + mk_param_values(q); j++) {
                const double g = (double)f.p.grad[j] * scale * (norm > o.clip ? o.clip / norm : 1);
                m[j] = 0.9 * m[j] + 0.1 * g;
                v[j] = 0.95 * v[j] + 0.05 * g * g;
                w[j] -= lr * decay * w[j];
                w[j] -= lr * (m[j] / (1 - pow(0.9, t))) / (sqrt(v[j] / (1 - pow(0.95, t))) + 1e-8);
            }
        }
        for (size_t j = 0; j < f.p.n; j++) near((double)f.p.v[j], w[j], 2e-6, "w", j);
    }
    assert_int_equal(f.opt.n_step, 10);
    free(w);
    free(m);
    free(v);
    end(&f);
}

/* ---- Muon ------------------------------------------------------------------------------- */

/* out [n][m] = Newton-Schulz of x in doubles, as the paper writes it. */
static void newton_schulz(double *x, size_t n, size_t m)
{
    double *a = calloc(n * n, sizeof *a), *b = calloc(n * n, sizeof *b);
    double *y = calloc(n * m, sizeof *y), norm = 0;
    for (size_t i = 0; i < n * m; i++) norm += x[i] * x[i];
    for (size_t i = 0; i < n * m; i++) x[i] /= sqrt(norm);
    for (int round = 0; round < 5; round++) {
        const double ca = 3.4445, cb = -4.7750, cc = 2.0315;
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < n; j++) {
                a[i * n + j] = 0;
                for (size_t k = 0; k < m; k++) a[i * n + j] += x[i * m + k] * x[j * m + k];
            }
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < n; j++) {
                b[i * n + j] = cb * a[i * n + j];
                for (size_t k = 0; k < n; k++) b[i * n + j] += cc * a[i * n + k] * a[k * n + j];
            }
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < m; j++) {
                y[i * m + j] = ca * x[i * m + j];
                for (size_t k = 0; k < n; k++) y[i * m + j] += b[i * n + k] * x[k * m + j];
            }
        memcpy(x, y, n * m * sizeof *x);
    }
    free(a);
    free(b);
    free(y);
}

/* Singular values of x [n][m], n <= m, by one-sided Jacobi: rows are rotated until they are
 * orthogonal; their lengths are the answer. */
static void singular_values(double *x, size_t n, size_t m, double *out)
{
    for (int sweep = 0; sweep < 30; sweep++)
        for (size_t i = 0; i + 1 < n; i++)
            for (size_t j = i + 1; j < n; j++) {
                double *p = x + i * m, *q = x + j * m, pp = 0, qq = 0, pq = 0;
                for (size_t k = 0; k < m; k++)
                    pp += p[k] * p[k], qq += q[k] * q[k], pq += p[k] * q[k];
                if (fabs(pq) < 1e-300) continue;
                const double z = (qq - pp) / (2 * pq);
                const double t = (z < 0 ? -1 : 1) / (fabs(z) + sqrt(1 + z * z));
                const double c = 1 / sqrt(1 + t * t), s = c * t;
                for (size_t k = 0; k < m; k++) {
                    const double old = p[k];
                    p[k] = c * old - s * q[k];
                    q[k] = s * old + c * q[k];
                }
            }
    for (size_t i = 0; i < n; i++) {
        out[i] = 0;
        for (size_t k = 0; k < m; k++) out[i] += x[i * m + k] * x[i * m + k];
        out[i] = sqrt(out[i]);
    }
}

/* Against doubles.  is_wide: no singular value of x is small, so all of them come near 1. */
static void check_direction(size_t n, size_t m, bool is_bf16, bool is_wide, double each)
{
    struct mk_kernels k;
    struct mk_rng rng = {7};
    mk_kernels_select(&k, mk_cpu_detect());
    const size_t n_scratch = mk_newton_schulz_floats(n, m);
    float *x = calloc(n * m, sizeof *x), *out = calloc(n * m, sizeof *out), *scratch;
    assert_int_equal(posix_memalign((void **)&scratch, 64, n_scratch * sizeof *scratch), 0);
    double sv[64];
    for (size_t i = 0; i < n * m; i++) x[i] = (float)(1e-3 * mk_rng_normal(&rng));
    double *want = doubles(x, n * m), *before = doubles(x, n * m);
    mk_newton_schulz(&k, is_bf16, out, x, n, m, scratch);
    newton_schulz(want, n, m);
    for (size_t i = 0; i < n * m; i++) near((double)out[i], want[i], each, "direction", i);
    double *got = doubles(out, n * m);
    singular_values(got, n, m, sv);
    for (size_t i = 0; i < n; i++) assert_true(sv[i] < 1.25 && (!is_wide || sv[i] > 0.66));
    double along = 0, all = 0; /* the true direction times x: the sum of x's singular values */
    for (size_t i = 0; i < n * m; i++) along += (double)out[i] * before[i];
    singular_values(before, n, m, sv);
    for (size_t i = 0; i < n; i++) all += sv[i];
    assert_true(along > 0.66 * all && along < 1.25 * all);
    free(x);
    free(out);
    free(scratch);
    free(want);
    free(before);
    free(got);
}

static void directions_are_orthogonal(void **state)
{
    (void)state;
    static const size_t sizes[][2] = {{1, 1}, {1, 50}, {7, 9}, {33, 70}, {64, 64}};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int is_bf16 = 0; is_bf16 < 2; is_bf16++) /* odd sizes are always in floats */
            if (!is_bf16 || sizes[s][0] < 64)
                check_direction(sizes[s][0], sizes[s][1], is_bf16, false, 2e-4);
    check_direction(32, 160, false, true, 2e-4);
    check_direction(32, 160, true, true, 0.03);
    check_direction(64, 320, true, true, 0.03);
}

/* A gradient of zeros has no direction: only decay moves the matrix. */
static void muon_of_nothing(void **state)
{
    (void)state;
    struct fix f;
    struct mk_err err;
    struct mk_optim_options o = mk_optim_defaults();
    double norm;
    o.kind = MK_MUON;
    start(&f, &o, 1);
    float *before = malloc(f.p.n * sizeof *before);
    memcpy(before, f.p.v, f.p.n * sizeof *before);
    assert_true(mk_optim_step(&f.opt, &f.wk, &f.p, 0.5, 1, &norm, &err));
    assert_true(norm == 0);
    for (size_t i = 0; i < f.p.n_list; i++) {
        const struct mk_param *q = &f.p.list[i];
        const bool decays = q->kind != MK_PARAM_VECTOR && q->kind != MK_PARAM_STATE;
        for (size_t j = q->at; j < q->at + mk_param_values(q); j++)
            near((double)f.p.v[j], (double)before[j] * (decays ? 0.95 : 1), 1e-6, q->name, j);
    }
    free(before);
    end(&f);
}

static void check_muon_matrix(const struct fix *f, const struct mk_param *q, double *w, double *m,
                              double lr, double scale)
{
    const size_t rows = q->rows, cols = q->cols, n = rows * cols;
    const bool is_tall = rows > cols;
    double *x = calloc(n, sizeof *x);
    for (size_t i = 0; i < n; i++) {
        const double g = (double)f->p.grad[q->at + i] * scale;
        m[i] = 0.95 * m[i] + g;
        x[is_tall ? i % cols * rows + i / cols : i] = 0.95 * m[i] + g;
    }
    newton_schulz(x, is_tall ? cols : rows, is_tall ? rows : cols);
    const double size = 0.18 * sqrt((double)(is_tall ? rows : cols));
    for (size_t i = 0; i < n; i++) {
        const double o = x[is_tall ? i % cols * rows + i / cols : i];
        w[i] = w[i] * (1 - lr * 0.1) - lr * size * o;
        near((double)f->p.v[q->at + i], w[i], 1e-4 * lr * size + 2e-6, q->name, i);
    }
    free(x);
}

/* Matrices by Muon, the rest exactly as AdamW does it. */
static void muon_agrees_with_doubles(void **state)
{
    (void)state;
    struct fix f, adam;
    struct mk_err err;
    struct mk_optim_options o = mk_optim_defaults();
    double norm;
    o.clip = 5, o.muon_lr = 2;
    start(&adam, &o, 1);
    o.kind = MK_MUON;
    start(&f, &o, 2);
    double *w = doubles(f.p.v, f.p.n), *m = calloc(f.p.n, sizeof *m);
    for (int t = 0; t < 3; t++) {
        fill(&f.rng, f.p.grad, &f.p, 1);
        memcpy(adam.p.grad, f.p.grad, f.p.n * sizeof *f.p.grad);
        assert_true(mk_optim_step(&f.opt, &f.wk, &f.p, 0.01, 1, &norm, &err));
        assert_true(mk_optim_step(&adam.opt, &adam.wk, &adam.p, 0.01, 1, &norm, &err));
        for (size_t i = 0; i < f.p.n_list; i++) {
            const struct mk_param *q = &f.p.list[i];
            if (q->kind == MK_PARAM_MATRIX)
                check_muon_matrix(&f, q, w + q->at, m + q->at, 0.02, 5 / norm);
            else
                assert_memory_equal(f.p.v + q->at, adam.p.v + q->at,
                                    mk_param_values(q) * sizeof *f.p.v);
        }
    }
    free(w);
    free(m);
    end(&f);
    end(&adam);
}

/* ---- guarantees ------------------------------------------------------------------------- */

static void threads_do_not_matter(void **state)
{
    (void)state;
    static const unsigned threads[] = {1, 2, 7};
    for (int kind = 0; kind < 2; kind++) {
        float *want = NULL;
        double want_norm = 0;
        for (size_t i = 0; i < 3; i++) {
            struct fix f;
            struct mk_err err;
            struct mk_optim_options o = mk_optim_defaults();
            double norm = 0;
            o.kind = kind ? MK_MUON : MK_ADAMW;
            start(&f, &o, threads[i]);
            for (int t = 0; t < 3; t++) {
                fill(&f.rng, f.p.grad, &f.p, 1);
                assert_true(mk_optim_step(&f.opt, &f.wk, &f.p, 0.01, 0.5, &norm, &err));
            }
            if (!want) {
                want = malloc(f.p.n * sizeof *want);
                memcpy(want, f.p.v, f.p.n * sizeof *want);
                want_norm = norm;
            }
            assert_memory_equal(f.p.v, want, f.p.n * sizeof *want);
            assert_memory_equal(&norm, &want_norm, sizeof norm);
            end(&f);
        }
        free(want);
    }
}

static void refuses_what_is_not_finite(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int kind = 0; kind < 2; kind++) {
        struct fix f, same;
        struct mk_err err;
        struct mk_optim_options o = mk_optim_defaults();
        double norm = -1;
        o.kind = kind ? MK_MUON : MK_ADAMW;
        start(&f, &o, 2);
        start(&same, &o, 2);
        for (size_t i = 0; i < 4; i++) {
            fill(&f.rng, f.p.grad, &f.p, 1);
            const struct mk_param *q = mk_params_find(&f.p, "tall");
            if (i < 3) f.p.grad[q->at + 24 * 3 + 5] = bad[i];
            assert_false(mk_optim_step(&f.opt, &f.wk, &f.p, 0.01, i < 3 ? 1 : (double)INFINITY,
                                       &norm, &err));
            assert_int_equal(err.code, MK_EFORMAT);
            assert_non_null(strstr(err.msg, i < 3 ? "gradient of tall at [3, 5] is" : "inf"));
        }
        assert_true(norm == -1); /* nothing changed */
        assert_int_equal(f.opt.n_step, 0);
        assert_memory_equal(f.p.v, same.p.v, f.p.n * sizeof *f.p.v);
        assert_memory_equal(f.opt.m, same.opt.m, f.p.n * sizeof *f.p.v);
        assert_memory_equal(f.opt.v, same.opt.v, f.p.n * sizeof *f.p.v);
        end(&f);
        end(&same);
    }
}

/* What is in a state's gradient is nobody's business. */
static void state_is_left_alone(void **state)
{
    (void)state;
    struct fix f;
    struct mk_err err;
    const struct mk_optim_options o = mk_optim_defaults();
    double norm;
    start(&f, &o, 1);
    const struct mk_param *q = mk_params_find(&f.p, "bias");
    float before[7];
    memcpy(before, f.p.v + q->at, sizeof before);
    fill(&f.rng, f.p.grad, &f.p, 1);
    f.p.grad[q->at] = NAN;
    assert_true(mk_optim_step(&f.opt, &f.wk, &f.p, 0.01, 1, &norm, &err));
    assert_memory_equal(f.p.v + q->at, before, sizeof before);
    assert_true(isfinite(norm));
    end(&f);
}

static void options_are_checked(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        double value;
        const char *name;
    } bad[] = {{offsetof(struct mk_optim_options, beta1), 1, "beta1"},
               {offsetof(struct mk_optim_options, beta2), -0.1, "beta2"},
               {offsetof(struct mk_optim_options, eps), 0, "eps"},
               {offsetof(struct mk_optim_options, decay), -1, "decay"},
               {offsetof(struct mk_optim_options, momentum), 1.5, "momentum"},
               {offsetof(struct mk_optim_options, muon_lr), (double)NAN, "muon_lr"},
               {offsetof(struct mk_optim_options, clip), (double)INFINITY, "clip"}};
    struct mk_params p;
    struct mk_err err;
    assert_true(mk_params_init(&p, 100, &err));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct mk_optim_options o = mk_optim_defaults();
        struct mk_optim opt;
        memcpy((char *)&o + bad[i].at, &bad[i].value, sizeof bad[i].value);
        assert_false(mk_optim_init(&opt, &o, &p, &err));
        assert_int_equal(err.code, MK_EUSAGE);
        assert_non_null(strstr(err.msg, bad[i].name));
    }
    struct mk_optim opt;
    struct mk_work wk;
    const struct mk_optim_options o = mk_optim_defaults();
    double norm;
    mk_work_init(&wk, 1, 0);
    assert_true(mk_optim_init(&opt, &o, &p, &err));
    assert_false(mk_optim_step(&opt, &wk, &p, (double)NAN, 1, &norm, &err));
    assert_non_null(strstr(err.msg, "learning rate nan"));
    mk_optim_release(&opt);
    mk_params_release(&p);
    mk_work_release(&wk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters_have_their_places), cmocka_unit_test(gradients_become_zero),
        cmocka_unit_test(adamw_agrees_with_torch),      cmocka_unit_test(adamw_agrees_with_doubles),
        cmocka_unit_test(directions_are_orthogonal),    cmocka_unit_test(muon_of_nothing),
        cmocka_unit_test(muon_agrees_with_doubles),     cmocka_unit_test(threads_do_not_matter),
        cmocka_unit_test(refuses_what_is_not_finite),   cmocka_unit_test(state_is_left_alone),
        cmocka_unit_test(options_are_checked),
    };
    return cmocka_run_group_tests_name("optim", tests, NULL, NULL);
}
