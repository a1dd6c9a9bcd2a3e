/* What answers must be what was trained: the logits of inference (expanded, absorbed, and token
 * by token) against those of the recording pass that gradients come from, then greedy answers
 * of the engine against the rollouts that RL learns from.
 *
 * Training works on floats.  Weights that are floats too must give the same numbers but for the
 * order of sums; inputs of quantised weights are rounded to 8 bits, so there the distributions
 * need only be close, on text that the model itself writes (far from any text a trained model is
 * sharp, and rounding tips the choice of experts), and greedy answers may part where two tokens are
 * equally likely. */
#include "cli/verify.h"

#include "base/rng.h"
#include "chat/chat.h"
#include "cli/cli.h"
#include "train/learner.h"
#include "train/rollout.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NEW = 64 };
static const double max_rel = 1e-4, max_kl = 1e-2;

struct check {
    const struct mk_model *model;
    struct mk_learner learner;
    struct mk_work wk;
    struct mk_rollouts answers; /* of the training weights to a few questions */
    struct mk_seqs seqs;
    float *want, *got; /* [seqs.n_tok][n_vocab]; row i predicts token i */
    bool is_float, failed;
};

static bool has_float_weights(const struct mk_model *m)
{
    for (size_t i = 0; i < m->tensors.n; i++) {
        const struct mk_tensor *t = &m->tensors.list[i];
        if (t->n_dims >= 2 && mk_quants[t->type].kind != MK_FLOAT) return false;
    }
    return true;
}

/* ---- logits --------------------------------------------------------------------------- */

static void draw_ids(struct mk_rng *rng, int32_t *ids, size_t n, size_t n_vocab)
{
    for (size_t i = 0; i < n; i++) ids[i] = (int32_t)(mk_rng_u64(rng) % n_vocab);
}

static void draw_seqs(struct check *c)
{
    for (size_t i = 0; !c->is_float && i < c->answers.seqs.n; i++)
        mk_seqs_add(&c->seqs, c->answers.seqs.tok + c->answers.seqs.start[i], NULL,
                    mk_seqs_len(&c->answers.seqs, i));
    if (!c->is_float) return;
    enum { LONGEST = 100 };
    static const size_t lens[] = {2, 9, 33, LONGEST};
    struct mk_rng rng = {1};
    int32_t ids[LONGEST];
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        const size_t n = lens[i] < c->model->n_ctx ? lens[i] : c->model->n_ctx;
        draw_ids(&rng, ids, n, c->model->n_vocab);
        mk_seqs_add(&c->seqs, ids, NULL, n);
    }
}

static void keep_logits(void *arg, struct mk_learner *l, const struct mk_step *step,
                        const size_t *at, const float *lse)
{
    struct check *c = arg;
    const size_t n_vocab = l->model.n_vocab;
    (void)lse;
    for (size_t i = 0; i < step->n_want; i++)
        memcpy(c->want + at[i] * n_vocab, step->logits + i * n_vocab, n_vocab * sizeof *c->want);
}

/* Rows [from, to) of sequence i in one step. */
static void infer_rows(struct check *c, struct mk_kv *kv, size_t i, size_t from, size_t to,
                       enum mk_mla_form form)
{
    const size_t at = c->seqs.start[i] + from, n = to - from;
    size_t *want = mk_calloc(n, sizeof *want);
    for (size_t t = 0; t < n; t++) want[t] = t;
    mk_model_forward(c->model, &c->wk,
                     &(struct mk_step){.tok = c->seqs.tok + at,
                                       .n_tok = n,
                                       .spans = &(struct mk_span){.kv = kv, .n = n, .pos = from},
                                       .n_spans = 1,
                                       .want = want,
                                       .n_want = n,
                                       .logits = c->got + (at + 1) * c->model->n_vocab,
                                       .form = form});
    free(want);
}

/* The first n_once rows of each sequence together, the others one by one. */
static void infer(struct check *c, size_t n_once, enum mk_mla_form form)
{
    struct mk_err err;
    for (size_t i = 0; i < c->seqs.n; i++) {
        const size_t n = mk_seqs_len(&c->seqs, i) - 1, once = n < n_once ? n : n_once;
        struct mk_kv kv;
        if (!mk_kv_init(&kv, &c->model->kv, MK_F32, n, &err)) mk_cli_die(&err);
        infer_rows(c, &kv, i, 0, once, form);
        for (size_t t = once; t < n; t++) infer_rows(c, &kv, i, t, t + 1, form);
        mk_kv_release(&kv);
    }
}

/* KL(want || got) of one row, in nats. */
static double divergence(const float *want, const float *got, size_t n)
{
    double max_w = -HUGE_VAL, max_g = -HUGE_VAL, sum_w = 0, sum_g = 0, kl = 0;
    for (size_t i = 0; i < n; i++)
        max_w = fmax(max_w, (double)want[i]), max_g = fmax(max_g, (double)got[i]);
    for (size_t i = 0; i < n; i++) {
        sum_w += exp((double)want[i] - max_w);
        sum_g += exp((double)got[i] - max_g);
    }
    const double shift = max_g + log(sum_g) - max_w - log(sum_w);
    for (size_t i = 0; i < n; i++)
        kl += exp((double)want[i] - max_w) / sum_w * ((double)want[i] - (double)got[i] + shift);
    return kl;
}

static void compare(struct check *c, const char *how)
{
    const size_t n_vocab = c->model->n_vocab;
    double worst = 0, largest = 0, kl = 0;
    size_t n = 0;
    for (size_t i = 0; i < c->seqs.n_tok; i++) {
        if (c->seqs.weight[i] == 0.0f) continue; /* the first: nothing predicts it */
        const float *want = c->want + i * n_vocab, *got = c->got + i * n_vocab;
        for (size_t k = 0; k < n_vocab; k++) {
            const double d = fabs((double)got[k] - (double)want[k]);
            worst = d <= worst ? worst : d; /* keeps a NaN */
            largest = fmax(largest, fabs((double)want[k]));
        }
        kl += divergence(want, got, n_vocab);
        n++;
    }
    kl /= (double)n;
    const double seen = c->is_float ? worst : kl, limit = c->is_float ? max_rel * largest : max_kl;
    c->failed |= !(seen <= limit);
    printf("%s %-22s %s %.2e  limit %.2e\n", seen <= limit ? "ok  " : "FAIL", how,
           c->is_float ? "max|d|" : "divergence", seen, limit);
}

static void check_logits(struct check *c)
{
    struct mk_pass pass;
    const size_t n = c->seqs.n_tok * c->model->n_vocab;
    c->want = mk_calloc(n, sizeof *c->want);
    c->got = mk_calloc(n, sizeof *c->got);
    mk_learner_pass_logits(&c->learner, &c->seqs, keep_logits, c, NULL, NULL, &pass);
    infer(c, SIZE_MAX, MK_MLA_EXPANDED);
    compare(c, "one pass, expanded");
    infer(c, SIZE_MAX, MK_MLA_ABSORBED);
    compare(c, "one pass, absorbed");
    infer(c, 4, MK_MLA_ABSORBED);
    compare(c, "token by token");
    free(c->want);
    free(c->got);
}

/* ---- greedy answers ---------------------------------------------------------------------- */

/* A question as the model's template puts it; tokens drawn at random when it has none. */
static void put_prompt(const struct check *c, const struct mk_tokenizer *t, const char *question,
                       uint64_t seed, struct mk_ids *out)
{
    enum { N_DRAWN = 12 };
    const struct mk_template *template;
    struct mk_conversation talk = {0};
    struct mk_prompt prompt = {0};
    struct mk_err err;
    mk_conversation_add(&talk, MK_USER, question, NULL);
    if (t && mk_template_detect(&template, t, &err) &&
        mk_chat_render(&prompt, template, &talk,
                       &(struct mk_chat_options){.thinking = mk_template_thinks(template, t)},
                       &err)) {
        mk_prompt_tokenize(&prompt, t, out);
    } else {
        struct mk_rng rng = {seed};
        int32_t ids[N_DRAWN];
        draw_ids(&rng, ids, N_DRAWN, c->model->n_vocab);
        for (size_t i = 0; i < N_DRAWN; i++) mk_ids_add(out, ids[i]);
    }
    mk_prompt_release(&prompt);
    mk_conversation_release(&talk);
}

/* What the engine finds most likely after each token, for as long as it agrees with want. */
static size_t agree(struct mk_engine *e, const int32_t *prompt, size_t n_prompt,
                    const int32_t *want, size_t n)
{
    struct mk_err err;
    struct mk_session *s;
    const size_t n_vocab = mk_engine_info(e).n_vocab;
    size_t same = 0;
    if (!mk_session_new(&s, e, n_prompt + n, &err) || !mk_session_append(s, prompt, n_prompt, &err))
        mk_cli_die(&err);
    while (same < n) {
        while (mk_session_pending(s))
            if (!mk_engine_step(e, &s, 1, 0, &err)) mk_cli_die(&err);
        const float *logits = mk_session_logits(s);
        size_t best = 0;
        for (size_t i = 1; i < n_vocab; i++)
            if (logits[i] > logits[best]) best = i;
        if ((int32_t)best != want[same]) break;
        if (++same < n && !mk_session_append(s, &want[same - 1], 1, &err)) mk_cli_die(&err);
    }
    mk_session_free(s);
    return same;
}

static void answer(struct check *c, const struct mk_tokenizer *t)
{
    static const char *const questions[] = {"What is 17 + 25?", "Sort these numbers: 31 7 19 4",
                                            "Which is larger, 812 or 790?", "Hello!"};
    enum { N_QUESTIONS = sizeof questions / sizeof *questions };
    struct mk_seqs prompts = {0};
    size_t longest = 0;
    for (size_t i = 0; i < N_QUESTIONS; i++) {
        struct mk_ids ids = {0};
        put_prompt(c, t, questions[i], i, &ids);
        mk_seqs_add(&prompts, ids.v, NULL, ids.n);
        longest = ids.n > longest ? ids.n : longest;
        mk_ids_release(&ids);
    }
    const size_t n_ctx = c->model->n_ctx, room = longest < n_ctx ? n_ctx - longest : 1;
    mk_rollout(&c->answers, &c->learner.model, &c->learner.wk, &prompts,
               &(struct mk_rollout_options){.n_samples = 1,
                                            .max_new = room < MAX_NEW ? room : MAX_NEW,
                                            .top_p = 1,
                                            .eos = c->model->n_eos ? c->model->eos[0] : -1,
                                            .form = MK_MLA_ABSORBED});
    mk_seqs_release(&prompts);
}

static void check_answers(struct check *c, struct mk_engine *e)
{
    const struct mk_rollouts *r = &c->answers;
    size_t same = 0, all = 0;
    for (size_t i = 0; i < r->seqs.n; i++) {
        const int32_t *seq = r->seqs.tok + r->seqs.start[i];
        const size_t n = mk_seqs_len(&r->seqs, i) - r->n_prompt[i];
        same += agree(e, seq, r->n_prompt[i], seq + r->n_prompt[i], n);
        all += n;
    }
    const bool ok = !c->is_float || same == all;
    c->failed |= !ok;
    printf("%s greedy answers         %zu of %zu tokens of %zu answers as in training\n",
           ok ? "ok  " : "FAIL", same, all, r->seqs.n);
}

bool mk_verify_training(const struct mk_model *m, const char *path, unsigned cpu)
{
    enum { STEP_TOKS = 512 };
    struct check c = {.model = m, .is_float = has_float_weights(m)};
    struct mk_trainable t = {0};
    struct mk_engine *e;
    struct mk_err err;
    const struct mk_learner_options o = {.cpu = cpu,
                                         .step_toks = STEP_TOKS,
                                         .compute = MK_COMPUTE_F32,
                                         .form = MK_MLA_EXPANDED,
                                         .optim = mk_optim_defaults()};
    if (!mk_learner_open(&c.learner, path, &t, &o, &err) ||
        !mk_engine_open(&e, path,
                        &(struct mk_engine_options){.cpu = mk_cpu_name(cpu), .kv_type = MK_F32},
                        &err))
        mk_cli_die(&err);
    mk_work_init(&c.wk, mk_cpu_count(), cpu);
    answer(&c, mk_engine_tokenizer(e, NULL));
    draw_seqs(&c);
    check_logits(&c);
    check_answers(&c, e);
    mk_rollouts_release(&c.answers);
    mk_seqs_release(&c.seqs);
    mk_work_release(&c.wk);
    mk_engine_close(e);
    mk_learner_close(&c.learner);
    return !c.failed;
}
