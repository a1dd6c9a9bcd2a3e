/* type_error REFERENCE MODEL...: how far the next-token distribution of each MODEL is from
 * REFERENCE's over the same random tokens.  Prints a Markdown table: relative error of the
 * logits (root mean square), mean Kullback-Leibler divergence in nats, agreement of the most
 * likely token, and the ratio of perplexities on text that the reference itself would write,
 * which is e to the divergence. */
#include "base/rng.h"
#include "model/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_TOK = 256 };

static float *logits_of(const struct mk_model *m, const int32_t *tok, size_t *want)
{
    struct mk_err err;
    struct mk_work wk;
    struct mk_kv kv;
    float *out = mk_calloc(N_TOK * m->n_vocab, sizeof *out);
    if (!mk_kv_init(&kv, &m->kv, MK_F32, N_TOK, &err)) exit(fprintf(stderr, "%s\n", err.msg));
    mk_work_init(&wk, mk_cpu_count(), mk_cpu_detect());
    mk_model_forward(m, &wk,
                     &(struct mk_step){.tok = tok,
                                       .n_tok = N_TOK,
                                       .spans = &(struct mk_span){&kv, 0, N_TOK, 0},
                                       .n_spans = 1,
                                       .want = want,
                                       .n_want = N_TOK,
                                       .logits = out});
    mk_kv_release(&kv);
    mk_work_release(&wk);
    return out;
}

/* Turns a row of logits into log-probabilities; returns the most likely id. */
static size_t log_softmax(const float *v, size_t n, double *out)
{
    size_t best = 0;
    double sum = 0;
    for (size_t i = 1; i < n; i++)
        if (v[i] > v[best]) best = i;
    for (size_t i = 0; i < n; i++) sum += exp((double)(v[i] - v[best]));
    for (size_t i = 0; i < n; i++) out[i] = (double)(v[i] - v[best]) - log(sum);
    return best;
}

static void compare(const char *name, const float *ref, const float *got, size_t n_vocab)
{
    double *p = mk_calloc(2 * n_vocab, sizeof *p), *q = p + n_vocab;
    double err = 0, mag = 0, kl = 0;
    size_t same = 0;
    for (size_t t = 0; t < N_TOK; t++) {
        const float *a = ref + t * n_vocab, *b = got + t * n_vocab;
        same += log_softmax(a, n_vocab, p) == log_softmax(b, n_vocab, q);
        for (size_t i = 0; i < n_vocab; i++) {
            err += pow((double)a[i] - (double)b[i], 2);
            mag += (double)a[i] * (double)a[i];
            kl += exp(p[i]) * (p[i] - q[i]);
        }
    }
    printf("| %s | %.3f %% | %.2e | %.1f %% | %.5f |\n", name, 100 * sqrt(err / mag), kl / N_TOK,
           100.0 * (double)same / N_TOK, exp(kl / N_TOK));
    free(p);
}

int main(int argc, char **argv)
{
    struct mk_err err;
    struct mk_model m;
    int32_t tok[N_TOK];
    size_t want[N_TOK];
    if (argc < 3) return fprintf(stderr, "usage: type_error REFERENCE MODEL...\n"), 2;
    if (!mk_model_open(&m, argv[1], &err)) return fprintf(stderr, "%s\n", err.msg), 1;
    struct mk_rng rng = {1};
    for (size_t i = 0; i < N_TOK; i++) {
        tok[i] = (int32_t)(mk_rng_u64(&rng) % m.n_vocab);
        want[i] = i;
    }
    const size_t n_vocab = m.n_vocab;
    float *ref = logits_of(&m, tok, want);
    mk_model_close(&m);
    printf("| model | logit error | KL divergence | same top token | perplexity ratio |\n"
           "|---|---|---|---|---|\n");
    for (int i = 2; i < argc; i++) {
        if (!mk_model_open(&m, argv[i], &err)) return fprintf(stderr, "%s\n", err.msg), 1;
        float *got = logits_of(&m, tok, want);
        const char *slash = strrchr(argv[i], '/');
        compare(slash ? slash + 1 : argv[i], ref, got, n_vocab);
        free(got);
        mk_model_close(&m);
    }
    free(ref);
    return 0;
}
