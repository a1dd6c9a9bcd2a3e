/* minke verify: runs a checkpoint over given tokens and compares what every layer computes
 * with expected values, in one pass (latent attention expanded) and as a prefill followed by
 * single tokens (absorbed); then the same with other numbers of threads and in a larger
 * batch, which must give the same bits.  All that is in floats; where the model has weights of BF16
 * or FP8, the logits of products with inputs rounded to bf16 are compared too, and their bits.
 *
 * golden.json has {"tokens": [...]}; golden.safetensors has some of
 *   hidden.N        [n_tok][d_model]  after N layers (0: the embeddings)
 *   final_norm      [n_tok][d_model]
 *   logits          [n_tok][n_vocab]
 *   route.L.experts [n_tok][n_active] sorted, route.L.weights alike
 *   mtp_logits_postnorm, mtp_logits_prenorm   [n_tok - 1][n_vocab]
 *   inv_freq or freqs_angle_pos1              rotary frequencies
 *
 * With --training the expected values come from the pass that trains the model instead
 * (verify_training.c). */
#include "base/file.h"
#include "cli/cli.h"
#include "cli/verify.h"
#include "model/model.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_SINGLE = 4, N_BATCH = 7, MAX_SEEN = 1024, MAX_TOKS = 65536 };

/* Values watched in a run, by their golden names. */
struct seen {
    char name[64];
    float *v;
    size_t n;
};
struct run {
    struct seen list[MAX_SEEN];
    size_t n;
};

struct verify {
    struct mk_model model;
    struct mk_tensors golden;
    int32_t *tok;
    size_t n_tok;
    unsigned cpu;
    bool rounds; /* inputs of products, see struct mk_work */
    bool failed;
};

/* ---- collecting --------------------------------------------------------------------- */

static struct seen *seen_at(struct run *r, const char *name)
{
    for (size_t i = 0; i < r->n; i++)
        if (!strcmp(r->list[i].name, name)) return &r->list[i];
    if (r->n == MAX_SEEN) return NULL;
    snprintf(r->list[r->n].name, sizeof r->list[0].name, "%s", name);
    return &r->list[r->n++];
}

static void see(struct run *r, const char *name, const float *v, size_t n)
{
    struct seen *s = seen_at(r, name);
    if (!s) return;
    s->v = mk_realloc(s->v, (s->n + n) * sizeof *v);
    memcpy(s->v + s->n, v, n * sizeof *v);
    s->n += n;
}

static void on_probe(void *arg, const char *name, int layer, const float *v, size_t n, size_t d)
{
    char full[64];
    const char *dot = strchr(name, '.');
    if (layer < 0)
        snprintf(full, sizeof full, "%s", name);
    else if (dot)
        snprintf(full, sizeof full, "%.*s.%d%s", (int)(dot - name), name, layer, dot);
    else
        snprintf(full, sizeof full, "%s.%d", name, layer);
    see(arg, full, v, n * d);
}

static void run_release(struct run *r)
{
    for (size_t i = 0; i < r->n; i++) free(r->list[i].v);
    *r = (struct run){0};
}

/* ---- running ------------------------------------------------------------------------- */

/* n copies of tokens [from, to) in one step, one in each cache; logits of the last copy. */
static void step(const struct verify *v, struct mk_work *wk, struct mk_kv *kv, size_t n,
                 size_t from, size_t to, enum mk_mla_form form, struct run *out, float *hidden)
{
    const size_t len = to - from, n_vocab = v->model.n_vocab;
    int32_t *tok = mk_calloc(n * len, sizeof *tok);
    size_t *want = mk_calloc(n * len, sizeof *want);
    struct mk_span *spans = mk_calloc(n, sizeof *spans);
    float *logits = mk_calloc(n * len * n_vocab, sizeof *logits);
    for (size_t i = 0; i < n * len; i++) tok[i] = v->tok[from + i % len], want[i] = i;
    for (size_t i = 0; i < n; i++)
        spans[i] = (struct mk_span){.kv = &kv[i], .first = i * len, .n = len, .pos = from};
    mk_model_forward(&v->model, wk,
                     &(struct mk_step){.tok = tok,
                                       .n_tok = n * len,
                                       .spans = spans,
                                       .n_spans = n,
                                       .want = want,
                                       .n_want = n * len,
                                       .logits = logits,
                                       .hidden = hidden,
                                       .form = form});
    see(out, "logits", logits + (n - 1) * len * n_vocab, len * n_vocab);
    free(tok);
    free(want);
    free(spans);
    free(logits);
}

static void run_mtp(const struct verify *v, struct mk_work *wk, const float *hidden, bool is_normed,
                    struct run *out)
{
    struct mk_err err;
    struct mk_kv kv;
    const struct mk_kv_shape shape = mk_model_mtp_kv(&v->model);
    const size_t n = v->n_tok - 1;
    if (!mk_kv_init(&kv, &shape, MK_F32, v->n_tok, &err)) mk_cli_die(&err);
    size_t *want = mk_calloc(n, sizeof *want);
    float *logits = mk_calloc(n * v->model.n_vocab, sizeof *logits);
    for (size_t i = 0; i < n; i++) want[i] = i;
    mk_model_mtp(&v->model, wk,
                 &(struct mk_step){.tok = v->tok + 1,
                                   .n_tok = n,
                                   .spans = &(struct mk_span){.kv = &kv, .n = n},
                                   .n_spans = 1,
                                   .want = want,
                                   .n_want = n,
                                   .logits = logits,
                                   .form = MK_MLA_EXPANDED},
                 hidden, is_normed);
    see(out, is_normed ? "mtp_logits_postnorm" : "mtp_logits_prenorm", logits,
        n * v->model.n_vocab);
    free(want);
    free(logits);
    mk_kv_release(&kv);
}

/* The whole text with n_prefill tokens in the first step and the others one by one. */
static void run(const struct verify *v, unsigned n_threads, size_t n_prefill, size_t n_copies,
                struct run *out)
{
    struct mk_err err;
    struct mk_work wk;
    struct mk_kv kv[N_BATCH];
    mk_work_init(&wk, n_threads, v->cpu);
    wk.worth_mac = 1; /* even the smallest work is split */
    wk.rounds = v->rounds;
    for (size_t i = 0; i < n_copies; i++)
        if (!mk_kv_init(&kv[i], &v->model.kv, MK_F32, v->n_tok, &err)) mk_cli_die(&err);
    if (n_copies == 1) wk.probe = on_probe, wk.probe_arg = out;
    float *hidden = mk_calloc(n_copies * v->n_tok * v->model.d_model, sizeof *hidden);
    step(v, &wk, kv, n_copies, 0, n_prefill, MK_MLA_EXPANDED, out, hidden);
    for (size_t i = n_prefill; i < v->n_tok; i++)
        step(v, &wk, kv, n_copies, i, i + 1, MK_MLA_ABSORBED, out, NULL);
    wk.probe = NULL;
    if (n_prefill == v->n_tok && n_copies == 1 && v->n_tok > 1 && mk_model_has_mtp(&v->model)) {
        run_mtp(v, &wk, hidden, true, out);
        run_mtp(v, &wk, hidden, false, out);
    }
    free(hidden);
    for (size_t i = 0; i < n_copies; i++) mk_kv_release(&kv[i]);
    mk_work_release(&wk);
}

/* ---- comparing ------------------------------------------------------------------------ */

/* Limits are relative to the largest expected magnitude; routes must be equal. */
static double limit_of(const char *name)
{
    if (strstr(name, ".experts")) return 0.0;
    if (!strncmp(name, "hidden", 6) || !strcmp(name, "final_norm")) return 2e-4;
    return strstr(name, "freq") ? 1e-6 : 1e-4;
}

static void compare(struct verify *v, const struct mk_tensor *t, const struct run *r,
                    const char *how)
{
    const char *name = strstr(t->name, "freq") ? "rope" : t->name;
    const struct seen *s = NULL;
    for (size_t i = 0; i < r->n && !s; i++)
        if (!strcmp(r->list[i].name, name)) s = &r->list[i];
    if (!s) {
        if (!strcmp(how, "one pass")) printf("skip %-9s %-22s not computed\n", how, t->name);
        return;
    }
    /* Frequencies are seen once for each step. */
    if (s->n != t->n_values && !(strstr(t->name, "freq") && s->n >= t->n_values)) {
        printf("FAIL %-9s %-22s %zu values, want %zu\n", how, t->name, s->n, t->n_values);
        v->failed = true;
        return;
    }
    double worst = 0.0, largest = 0.0;
    float *want = mk_calloc(t->n_values, sizeof *want);
    if (t->type == MK_I32)
        for (size_t i = 0; i < t->n_values; i++)
            want[i] = (float)((const int32_t *)(const void *)t->data)[i];
    else
        memcpy(want, t->data, t->n_values * sizeof *want);
    for (size_t i = 0; i < t->n_values; i++) {
        const double d = fabs((double)s->v[i] - (double)want[i]);
        worst = d <= worst ? worst : d; /* keeps a NaN */
        largest = fmax(largest, fabs((double)want[i]));
    }
    free(want);
    const double limit = limit_of(t->name) * largest;
    const bool ok = worst <= limit;
    v->failed |= !ok;
    printf("%s %-9s %-22s max|d| %.2e  limit %.2e\n", ok ? "ok  " : "FAIL", how, t->name, worst,
           limit);
}

/* Logits with rounded inputs: root mean squares, because a token that a rounded value sends to
 * another expert has logits of its own. */
static void compare_rounded(struct verify *v, struct run *r, const char *how)
{
    static const double limit = 0.03;
    const struct mk_tensor *t = mk_tensors_find(&v->golden, "logits");
    const struct seen *s = seen_at(r, "logits");
    if (!t || t->type != MK_F32 || !s || s->n != t->n_values) return;
    const float *want = (const float *)(const void *)t->data;
    double error = 0.0, mean = 0.0;
    for (size_t i = 0; i < s->n; i++) {
        error += pow((double)s->v[i] - (double)want[i], 2);
        mean += pow((double)want[i], 2);
    }
    error = sqrt(error / mean);
    const bool ok = error <= limit;
    v->failed |= !ok;
    printf("%s %-9s %-22s relative %.2e  limit %.2e\n", ok ? "ok  " : "FAIL", how,
           "logits, rounded", error, limit);
}

/* All golden values, or with rounded inputs the logits. */
static void compare_all(struct verify *v, struct run *r, const char *how)
{
    if (v->rounds) {
        compare_rounded(v, r, how);
        return;
    }
    for (size_t i = 0; i < v->golden.n; i++) compare(v, &v->golden.list[i], r, how);
}

static void same_bits(struct verify *v, const struct run *a, const struct run *b, const char *what)
{
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++)
        for (size_t j = 0; j < a->n; j++)
            if (!strcmp(a->list[j].name, b->list[i].name)) {
                const struct seen *x = &a->list[j], *y = &b->list[i];
                n += x->n != y->n || memcmp(x->v, y->v, x->n * sizeof *x->v);
            }
    v->failed |= n != 0;
    printf("%s %s: %s\n", n ? "FAIL" : "ok  ", what, n ? "other bits" : "same bits");
}

/* ---- the command ----------------------------------------------------------------------- */

static void load_tokens(struct verify *v, const char *path)
{
    json_error_t e;
    struct mk_err err;
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &e);
    const json_t *list = json_object_get(root, "tokens");
    const size_t n = json_array_size(list);
    if (!root || n == 0 || n > MAX_TOKS) {
        mk_fail(&err, MK_EFORMAT, "%s: %s", path, root ? "\"tokens\" is no list of ids" : e.text);
        mk_cli_die(&err);
    }
    v->tok = mk_calloc(n, sizeof *v->tok);
    v->n_tok = n;
    for (size_t i = 0; i < n; i++) {
        const json_t *id = json_array_get(list, i);
        const json_int_t x = json_integer_value(id);
        if (!json_is_integer(id) || x < 0 || (size_t)x >= v->model.n_vocab) {
            mk_fail(&err, MK_EFORMAT, "%s: tokens[%zu] is not an id in 0..%zu", path, i,
                    v->model.n_vocab - 1);
            mk_cli_die(&err);
        }
        v->tok[i] = (int32_t)x;
    }
    json_decref(root);
}

/* golden may be NULL (beside the model), a folder, or either of the two files. */
static void load_golden(struct verify *v, const char *golden)
{
    struct mk_err err;
    struct mk_str stem = {0}, path = {0};
    if (!golden) golden = mk_tensors_dir(&v->model.tensors);
    const char *ext = strrchr(golden, '.');
    if (mk_is_dir(golden))
        mk_str_addf(&stem, "%s/golden", golden);
    else
        mk_str_append(&stem, golden,
                      ext && !strchr(ext, '/') ? (size_t)(ext - golden) : strlen(golden));
    mk_str_addf(&path, "%s.json", stem.data);
    if (!mk_file_exists(path.data)) {
        mk_fail(&err, MK_EIO, "%s: not there; --golden FILE names another, --training needs none",
                path.data);
        mk_cli_die(&err);
    }
    load_tokens(v, path.data);
    mk_str_clear(&path);
    mk_str_addf(&path, "%s.safetensors", stem.data);
    if (!mk_tensors_open(&v->golden, path.data, &err)) mk_cli_die(&err);
    for (size_t i = 0; i < v->golden.n; i++)
        if (v->golden.list[i].type != MK_F32 && v->golden.list[i].type != MK_I32) {
            mk_fail(&err, MK_EFORMAT, "%s: tensor %s is %s, want f32 or i32", path.data,
                    v->golden.list[i].name, mk_quants[v->golden.list[i].type].name);
            mk_cli_die(&err);
        }
    mk_str_release(&stem);
    mk_str_release(&path);
}

static void check_bits(struct verify *v, const struct run *once, const struct run *steps,
                       size_t n_prefill)
{
    static const unsigned threads[] = {2, 7};
    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
        struct run *r = mk_alloc(sizeof *r);
        char what[64];
        run(v, threads[i], v->n_tok, 1, r);
        snprintf(what, sizeof what, "one pass, %u threads against 1", threads[i]);
        same_bits(v, once, r, what);
        run_release(r);
        run(v, threads[i], n_prefill, 1, r);
        snprintf(what, sizeof what, "stepwise, %u threads against 1", threads[i]);
        same_bits(v, steps, r, what);
        run_release(r);
        free(r);
    }
    struct run *r = mk_alloc(sizeof *r);
    run(v, 2, n_prefill, N_BATCH, r);
    same_bits(v, steps, r, "stepwise, batch of 7 against 1");
    run_release(r);
    free(r);
}

/* The text in one pass and as a prefill with single tokens, and both again for their bits. */
static void check_pass(struct verify *v)
{
    const size_t n_prefill = v->n_tok > N_SINGLE ? v->n_tok - N_SINGLE : 1;
    struct run *once = mk_alloc(sizeof *once), *steps = mk_alloc(sizeof *steps);
    run(v, 1, v->n_tok, 1, once);
    run(v, 1, n_prefill, 1, steps);
    compare_all(v, once, "one pass");
    compare_all(v, steps, "stepwise");
    check_bits(v, once, steps, n_prefill);
    run_release(once);
    run_release(steps);
    free(once);
    free(steps);
}

static bool has_rounding_types(const struct mk_model *m)
{
    for (size_t i = 0; i < m->tensors.n; i++)
        if (m->tensors.list[i].type == MK_BF16 || m->tensors.list[i].type == MK_F8_E4M3)
            return true;
    return false;
}

static void check_golden(struct verify *v, const char *path, const char *golden)
{
    load_golden(v, golden);
    printf("%s: %s; %zu tokens, %s\n", path, v->model.kind, v->n_tok, mk_cpu_name(v->cpu));
    check_pass(v);
    v->rounds = has_rounding_types(&v->model);
    if (v->rounds) check_pass(v);
    free(v->tok);
    mk_tensors_close(&v->golden);
}

static void check_training(struct verify *v, const char *path)
{
    printf("%s: %s; against training, %s\n", path, v->model.kind, mk_cpu_name(v->cpu));
    v->failed = !mk_verify_training(&v->model, path, v->cpu);
}

int mk_cmd_verify(int argc, char **argv)
{
    static const char *golden, *cpu;
    static bool training;
    static const struct mk_opt opts[] = {
        {"golden", 'g', MK_OPT_STR, &golden, "FILE",
         "golden.json or golden.safetensors, or their folder", 0, 0, NULL, NULL},
        {"training", 0, MK_OPT_FLAG, &training, NULL, "compare with the pass that trains it", 0, 0,
         NULL, NULL},
        {"cpu", 0, MK_OPT_STR, &cpu, "LEVEL", "highest instruction-set level", 0, 0, NULL,
         "MK_CPU"},
        {0},
    };
    struct mk_strs rest = {0};
    struct mk_err err;
    struct verify v = {.cpu = mk_cpu_detect()};
    mk_opts_parse("verify", opts, argc, argv, &rest, 1);
    if (rest.n != 1) mk_cli_usage("verify", "which model?");
    if (golden && training) mk_cli_usage("verify", "--golden or --training, not both");
    if (cpu && !mk_cpu_limit(&v.cpu, cpu)) mk_cli_usage("verify", "no level \"%s\" here", cpu);
    char *path = mk_cli_model_path(rest.v[0]);
    if (!mk_model_open(&v.model, path, &err)) mk_cli_die(&err);
    training ? check_training(&v, path) : check_golden(&v, path, golden);
    printf("%s\n", v.failed ? "FAILED" : "all hold");
    free(path);
    mk_model_close(&v.model);
    return v.failed ? mk_code_exit(MK_EIO) : 0;
}
