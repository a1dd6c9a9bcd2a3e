/* Whole models: the gradient of
 *
 *   L = -sum_i c_i log p(next token)  -  sum_i c'_i log p(the one after, by the prediction layer)
 *       + balance loss
 *
 * over two packed sequences, against central differences with the choice of experts fixed.  Each
 * parameter is moved along random directions, all of its values at a time:
 *
 *   d_k = (L(x + H u_k) - L(x - H u_k)) / 2H     g_k = <gradient, u_k>     |g - d| / (|g| + |d|)
 *
 * All ways to compute the same gradient must agree with the differences of one: both forms of
 * latent attention, layers kept and computed again. */
#include "base/file.h"
#include "base/folder.h"
#include "base/rng.h"
#include "base/str.h"
#include "formats/safetensors.h"
#include "model/model.h"
#include "tensor/tape.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { N_SEQ = 2, N_TOK = 24, N_DIR = 2 };
static const size_t len[N_SEQ] = {5, N_TOK - 5};
static const double step_size = 3e-4; /* of a direction of norm 1 */

struct whole {
    struct mk_trainable trainable;
    struct mk_model model;
    struct mk_params params;
    struct mk_work wk;
    struct mk_tape tape;
    struct mk_routes routes;
    enum mk_mla_form form;
    int32_t tok[N_TOK];
    float coef[2][N_TOK];
    double (*slope)[N_DIR]; /* [params.n_list] */
};

/* ---- the loss --------------------------------------------------------------------------- */

/* `ahead` 1: row i reads token i and predicts i + 1; 2: reads i + 1 and predicts i + 2, and a
 * sequence has one row less. */
struct rows {
    struct mk_kv kv[N_SEQ];
    struct mk_span spans[N_SEQ];
    size_t n_tok, main[N_TOK], want[N_TOK];
    int32_t tok[N_TOK], target[N_TOK];
    struct mk_step step;
    float *logits;
};

static void lay_out(struct whole *t, struct rows *r, const struct mk_kv_shape *shape, size_t ahead)
{
    size_t from = 0, n = 0;
    for (size_t i = 0; i < N_SEQ; from += len[i++]) {
        const size_t n_row = len[i] + 1 - ahead;
        mk_kv_init_arena(&r->kv[i], shape, n_row, &t->wk.arena);
        r->spans[i] = (struct mk_span){.kv = &r->kv[i], .first = n, .n = n_row};
        for (size_t k = 0; k < n_row; k++, n++) {
            r->main[n] = from + k;
            r->want[n] = n;
            r->tok[n] = t->tok[from + k + ahead - 1];
            r->target[n] = k + ahead < len[i] ? t->tok[from + k + ahead] : -1;
        }
    }
    r->n_tok = n;
    r->logits = mk_floats(&t->wk, n * t->model.n_vocab);
    r->step = (struct mk_step){.tok = r->tok,
                               .n_tok = n,
                               .spans = r->spans,
                               .n_spans = N_SEQ,
                               .want = r->want,
                               .n_want = n,
                               .logits = r->logits,
                               .form = t->form};
    t->tape.spans = r->spans, t->tape.n_spans = N_SEQ;
}

static double score(struct whole *t, const struct rows *r, const float *coef, bool with_grad)
{
    float lp[N_TOK], lse[N_TOK];
    double sum = 0;
    mk_logprobs(&t->wk, r->logits, r->target, r->n_tok, t->model.n_vocab, lp, lse, NULL);
    for (size_t i = 0; i < r->n_tok; i++) sum -= coef[i] * lp[i];
    if (with_grad)
        mk_logprobs_back(&t->wk, r->logits, r->target, coef, lse, r->n_tok, t->model.n_vocab);
    return sum;
}

static double loss(struct whole *t, bool with_grad)
{
    struct rows main, mtp;
    const bool has_mtp = mk_model_has_mtp(&t->model);
    const size_t d = t->model.d_model;
    const struct mk_arena_mark mark = mk_arena_mark(&t->wk.arena);
    t->tape.balance_loss = 0;
    t->routes.next = 0;
    lay_out(t, &main, &t->model.kv, 1);
    if (has_mtp) main.step.hidden = mk_floats(&t->wk, main.n_tok * d);
    assert_true(mk_model_forward(&t->model, &t->wk, &main.step));
    double sum = score(t, &main, t->coef[0], with_grad);
    if (has_mtp) {
        const struct mk_kv_shape shape = mk_model_mtp_kv(&t->model);
        lay_out(t, &mtp, &shape, 2);
        float *h = mk_floats(&t->wk, mtp.n_tok * d);
        mk_gather_rows(&t->wk, h, main.step.hidden, mtp.main, mtp.n_tok, d);
        mk_model_mtp(&t->model, &t->wk, &mtp.step, h, true);
        sum += score(t, &mtp, t->coef[1], with_grad);
    }
    sum += t->tape.balance * t->tape.balance_scale * t->tape.balance_loss;
    if (with_grad) mk_tape_backward(&t->wk);
    t->tape.last = NULL;
    mk_arena_reset(&t->wk.arena, mark);
    return sum;
}

/* ---- differences ------------------------------------------------------------------------ */

static double direction(struct mk_rng *rng, size_t n)
{
    return mk_rng_normal(rng) / sqrt((double)n);
}
static struct mk_rng rng_of(size_t param, size_t k) { return (struct mk_rng){param * N_DIR + k}; }

static double slope(struct whole *t, size_t param, size_t k)
{
    const struct mk_param *p = &t->params.list[param];
    const size_t n = mk_param_values(p);
    float *v = t->params.v + p->at, *old = mk_calloc(n, sizeof *old);
    double l[2];
    memcpy(old, v, n * sizeof *v);
    for (int side = 0; side < 2; side++) {
        struct mk_rng rng = rng_of(param, k);
        for (size_t i = 0; i < n; i++)
            v[i] = old[i] + (side ? -step_size : step_size) * direction(&rng, n);
        l[side] = loss(t, false);
    }
    memcpy(v, old, n * sizeof *v);
    free(old);
    return (l[0] - l[1]) / (2 * step_size);
}

/* The same by the gradient. */
static double along(const struct whole *t, size_t param, size_t k)
{
    const struct mk_param *p = &t->params.list[param];
    const size_t n = mk_param_values(p);
    struct mk_rng rng = rng_of(param, k);
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += t->params.grad[p->at + i] * direction(&rng, n);
    return sum;
}

/* ---- comparing -------------------------------------------------------------------------- */

static double error_of(const struct whole *t, size_t param)
{
    double diff = 0, gg = 0, dd = 0;
    for (size_t k = 0; k < N_DIR; k++) {
        const double g = along(t, param, k), d = t->slope[param][k];
        diff += (g - d) * (g - d), gg += g * g, dd += d * d;
    }
    if (diff == 0) return 0;
    return sqrt(diff) / (sqrt(gg) + sqrt(dd));
}

static void check_values_are_clear(const struct whole *t)
{
    const size_t n = t->tape.peak_bytes / sizeof(float);
    assert_true(n > 1000);
    for (size_t i = 0; i < n; i++)
        if (t->tape.grads[i] != 0)
            fail_msg("value %zu has a gradient left: %g", i, t->tape.grads[i]);
}

/* In place of a gradient a router's bias has the numbers of tokens that its experts got. */
static void check_load(const struct whole *t, const struct mk_param *p)
{
    double sum = 0;
    for (size_t i = 0; i < p->cols; i++) sum += t->params.grad[p->at + i];
    const bool is_mtp = strstr(p->name, "layers.2.");
    assert_true(sum == 2 * (is_mtp ? N_TOK - N_SEQ : N_TOK));
}

/* One backward pass against the differences. */
static void check_gradient(struct whole *t, const char *name, double want_loss)
{
    double worst = 0;
    size_t at = 0, n_idle = 0;
    mk_params_zero_grad(&t->wk, &t->params);
    const double l = loss(t, true);
    if (!(fabs(l - want_loss) < 1e-11 * fabs(l)))
        fail_msg("%s: loss %.15g, %.15g", name, l, want_loss);
    check_values_are_clear(t);
    for (size_t i = 0; i < t->params.n_list; i++) {
        const struct mk_param *p = &t->params.list[i];
        if (p->kind == MK_PARAM_STATE) {
            check_load(t, p);
            continue;
        }
        if (t->slope[i][0] == 0) { /* an expert that no token chose */
            if (!strstr(p->name, ".experts.")) fail_msg("%s: %s does nothing", name, p->name);
            n_idle++;
        }
        const double error = error_of(t, i);
        if (!(error < 1e-6)) fail_msg("%s: %s: relative error %g", name, p->name, error);
        if (error > worst) worst = error, at = i;
    }
    assert_true(n_idle < t->params.n_list / 4);
    printf("  %-34s %zu parameters, worst %.1e (%s)\n", name, t->params.n_list, worst,
           t->params.list[at].name);
}

/* ---- models ----------------------------------------------------------------------------- */

static void open_whole(struct whole *t, const char *path, const struct mk_trainable *how)
{
    struct mk_err err;
    struct mk_rng rng = {7};
    *t = (struct whole){.trainable = *how};
    t->trainable.params = &t->params;
    if (!mk_model_open_trainable(&t->model, path, &t->trainable, &err)) fail_msg("%s", err.msg);
    mk_work_init(&t->wk, 1, 0);
    assert_true(mk_tape_attach(&t->tape, &t->wk, &t->params, (size_t)1 << 32, &err));
    t->tape.balance = 0.3, t->tape.balance_scale = 0.5;
    t->tape.routes = &t->routes;
    /* Zeros (biases, half of an adapter) and ones (gains) would hide much. */
    for (size_t i = 0; i < t->params.n; i++) t->params.v[i] += 0.1 * mk_rng_normal(&rng);
    for (size_t i = 0; i < N_TOK; i++) {
        t->tok[i] = (int32_t)(mk_rng_u64(&rng) % t->model.n_vocab);
        t->coef[0][i] = mk_rng_normal(&rng), t->coef[1][i] = 0.3 * mk_rng_normal(&rng);
    }
    t->tok[3] = t->tok[9] = t->tok[0]; /* some token comes more than once */
}

static void close_whole(struct whole *t)
{
    free(t->slope);
    free(t->routes.id);
    mk_tape_release(&t->tape, &t->wk);
    mk_work_release(&t->wk);
    mk_model_close(&t->model);
    mk_params_release(&t->params);
}

static void check_whole(struct whole *t, const char *name)
{
    const double l = loss(t, false); /* records the routes */
    t->tape.is_replaying = true;
    t->slope = mk_calloc(t->params.n_list, sizeof *t->slope);
    for (size_t i = 0; i < t->params.n_list; i++)
        for (size_t k = 0; k < N_DIR && t->params.list[i].kind != MK_PARAM_STATE; k++)
            t->slope[i][k] = slope(t, i, k);
    for (int way = 0; way < 4; way++) {
        char title[64];
        const bool is_absorbed = way & 1, is_latent = !t->model.kv.d_row[1];
        if (is_absorbed && !is_latent) continue;
        t->form = is_absorbed ? MK_MLA_ABSORBED : MK_MLA_EXPANDED;
        t->tape.recomputes = way & 2;
        snprintf(title, sizeof title, "%s%s%s", name, is_absorbed ? ", absorbed" : "",
                 t->tape.recomputes ? ", recomputed" : "");
        check_gradient(t, title, l);
    }
}

static void check_family(const char *family)
{
    struct whole t;
    char path[64];
    snprintf(path, sizeof path, "tests/golden/train/%s.json", family);
    open_whole(&t, path, &(struct mk_trainable){.is_new = true, .seed = 3});
    check_whole(&t, family);
    close_whole(&t);
}

static void deepseek_v3_is_right(void **state)
{
    (void)state;
    check_family("deepseek_v3");
}
static void deepseek_v2_is_right(void **state)
{
    (void)state;
    check_family("deepseek_v2");
}
static void qwen2_is_right(void **state)
{
    (void)state;
    check_family("qwen2");
}
static void llama_is_right(void **state)
{
    (void)state;
    check_family("llama");
}

/* ---- adapters --------------------------------------------------------------------------- */

/* The values of a model as bf16, which is what bytes of files can be in this build. */
static void write_weights(const struct mk_params *p, const char *path)
{
    struct mk_err err;
    struct mk_st_writer *w;
    struct mk_tensor *list = mk_calloc(p->n_list, sizeof *list);
    for (size_t i = 0; i < p->n_list; i++) {
        const struct mk_param *q = &p->list[i];
        list[i] = (struct mk_tensor){.name = q->name, .type = MK_BF16, .n_dims = 1};
        list[i].dims[0] = q->cols;
        if (q->kind == MK_PARAM_VECTOR) continue;
        list[i].n_dims = 2, list[i].dims[0] = q->rows, list[i].dims[1] = q->cols;
    }
    assert_true(mk_st_writer_open(&w, path, list, p->n_list, NULL, &err));
    for (size_t i = 0; i < p->n_list; i++) {
        const size_t n = mk_param_values(&p->list[i]);
        uint16_t *half = mk_calloc(n, sizeof *half);
        mk_quants[MK_BF16].encode(half, p->v + p->list[i].at, n);
        assert_true(mk_st_writer_add(w, half, n * sizeof *half, &err));
        free(half);
    }
    assert_true(mk_st_writer_close(w, &err));
    free(list);
}

static void write_model(const char *dir)
{
    struct mk_err err;
    struct whole t;
    struct mk_str config = {0}, path = {0};
    const char *json = "tests/golden/train/qwen2.json";
    open_whole(&t, json, &(struct mk_trainable){.is_new = true, .seed = 3});
    mk_str_addf(&path, "%s/model.safetensors", dir);
    write_weights(&t.params, path.data);
    assert_true(mk_file_read_regular(&config, json, 1 << 16, &err));
    mk_str_clear(&path);
    mk_str_addf(&path, "%s/config.json", dir);
    assert_true(mk_file_write(path.data, config.data, config.len, &err));
    mk_str_release(&config);
    mk_str_release(&path);
    close_whole(&t);
}

static void adapters_are_right(void **state)
{
    (void)state;
    char dir[] = "/tmp/mk-grad-XXXXXX";
    struct whole t;
    assert_non_null(mkdtemp(dir));
    write_model(dir);
    open_whole(&t, dir, &(struct mk_trainable){.lora_rank = 4, .lora_alpha = 8, .seed = 5});
    assert_int_equal(t.params.n_list, 2 * 7 * 2); /* layers, matrices, A and B */
    check_whole(&t, "qwen2 adapters");
    close_whole(&t);
    assert_true(mk_folder_remove(dir, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deepseek_v3_is_right), cmocka_unit_test(deepseek_v2_is_right),
        cmocka_unit_test(qwen2_is_right),       cmocka_unit_test(llama_is_right),
        cmocka_unit_test(adapters_are_right),
    };
    return cmocka_run_group_tests_name("gradients of models", tests, NULL, NULL);
}
