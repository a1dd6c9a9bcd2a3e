#include "train/learner.h"

#include <math.h>
#include <string.h>

static const size_t values_bytes = (size_t)1 << 36; /* address space of a step's values */

/* Experts, and latent attention in its absorbed form, use their matrices in ways that have no
 * place for an adapter. */
static bool check_adapters(const struct mk_learner *l, const char *path, struct mk_err *err)
{
    for (size_t i = 0; l->params.lora_alpha > 0 && i < l->params.n_list; i++) {
        const char *name = l->params.list[i].name;
        if (strstr(name, ".experts.") || strstr(name, ".kv_b_proj."))
            return mk_fail(err, MK_EUNSUPPORTED,
                           "%s: adapters are for dense models (llama, qwen2), this is %s", path,
                           l->model.kind);
    }
    return true;
}

static bool open_parts(struct mk_learner *l, const char *path, const struct mk_trainable *t,
                       struct mk_err *err)
{
    if (!mk_model_open_trainable(&l->model, path, t, err)) return false;
    if (!l->params.n_list)
        return mk_fail(err, MK_EUNSUPPORTED, "%s: there is nothing to train in this model", path);
    if (!check_adapters(l, path, err)) return false;
    mk_work_init(&l->wk, l->o.n_threads ? l->o.n_threads : mk_cpu_count(), l->o.cpu);
    if (!mk_tape_attach(&l->tape, &l->wk, &l->params, values_bytes, err)) return false;
    l->tape.is_recording = false;
    l->tape.recomputes = l->o.recomputes;
    l->is_bf16 = l->o.compute == MK_COMPUTE_BF16 ||
                 (l->o.compute == MK_COMPUTE_AUTO && mk_bf16_is_fast(&l->wk));
    l->o.optim.is_bf16 = l->is_bf16;
    return mk_optim_init(&l->optim, &l->o.optim, &l->params, err) && mk_learner_refresh(l, err);
}

bool mk_learner_open(struct mk_learner *l, const char *path, struct mk_trainable *t,
                     const struct mk_learner_options *o, struct mk_err *err)
{
    *l = (struct mk_learner){.o = *o};
    t->params = &l->params;
    if (open_parts(l, path, t, err)) return true;
    mk_learner_close(l);
    return false;
}

void mk_learner_close(struct mk_learner *l)
{
    mk_optim_release(&l->optim);
    if (l->wk.tape) mk_tape_release(&l->tape, &l->wk);
    if (l->wk.pool) mk_work_release(&l->wk);
    mk_model_close(&l->model);
    mk_params_release(&l->params);
    *l = (struct mk_learner){0};
}

bool mk_learner_refresh(struct mk_learner *l, struct mk_err *err)
{
    return !l->is_bf16 || mk_params_pack(&l->wk, &l->params, err);
}

/* ---- one step --------------------------------------------------------------------------- */

/* Sequences [first, last) of s as rows of one forward pass. */
struct rows {
    const struct mk_seqs *s;
    size_t first, last, at, n_tok; /* at: of the first token */
    struct mk_kv *kv;
    struct mk_span *spans;
    size_t n_want;
    size_t *want, *target_at; /* rows that predict a token that counts, and which */
    int32_t *target;
};

/* `ahead` 1: row i reads token i and predicts i + 1.  2 (the prediction layer): row i reads
 * token i + 1 and predicts i + 2; a sequence of n has n - 1 such rows. */
static void lay_out(struct mk_learner *l, struct rows *r, const struct mk_kv_shape *shape,
                    size_t ahead)
{
    struct mk_arena *a = &l->wk.arena;
    const size_t n_spans = r->last - r->first, n_max = r->s->start[r->last] - r->at;
    r->kv = mk_arena_zero(a, n_spans * sizeof *r->kv);
    r->spans = mk_arena_zero(a, n_spans * sizeof *r->spans);
    r->want = mk_arena_take(a, n_max * sizeof *r->want);
    r->target_at = mk_arena_take(a, n_max * sizeof *r->target_at);
    r->target = mk_arena_take(a, n_max * sizeof *r->target);
    r->n_tok = r->n_want = 0;
    for (size_t i = 0; i < n_spans; i++) {
        const size_t from = r->s->start[r->first + i], to = r->s->start[r->first + i + 1];
        const size_t n = to - from + 1 - ahead;
        mk_kv_init_arena(&r->kv[i], shape, n, a);
        r->spans[i] = (struct mk_span){.kv = &r->kv[i], .first = r->n_tok, .n = n};
        for (size_t t = 0; t < n; t++) {
            const size_t at = from + t + ahead;
            if (at >= to || r->s->weight[at] == 0.0f) continue;
            r->want[r->n_want] = r->n_tok + t;
            r->target_at[r->n_want] = at;
            r->target[r->n_want++] = r->s->tok[at];
        }
        r->n_tok += n;
    }
}

struct scored {
    float *logits, *lp, *lse, *entropy, *coef;
};

static struct scored score_memory(struct mk_learner *l, size_t n)
{
    struct scored v;
    v.logits = mk_floats(&l->wk, n * l->model.n_vocab);
    v.lp = mk_floats(&l->wk, n), v.lse = mk_floats(&l->wk, n);
    v.entropy = mk_floats(&l->wk, n), v.coef = mk_floats(&l->wk, n);
    return v;
}

struct pass {
    struct mk_learner *l;
    const struct mk_seqs *s;
    double scale;
    mk_coef_fn *fn;
    mk_logits_fn *logits_fn; /* instead of scale and fn, or NULL */
    void *arg;
    float *lp, *entropy;
    struct mk_pass *out;
};

/* The main model: *hidden is set when the prediction layer needs it. */
static void main_pass(const struct pass *p, struct rows *r, struct mk_step *step, bool with_grad)
{
    struct mk_learner *l = p->l;
    lay_out(l, r, &l->model.kv, 1);
    struct scored v = score_memory(l, r->n_want);
    *step = (struct mk_step){.tok = p->s->tok + r->at,
                             .n_tok = r->n_tok,
                             .spans = r->spans,
                             .n_spans = r->last - r->first,
                             .want = r->want,
                             .n_want = r->n_want,
                             .logits = v.logits,
                             .form = l->o.form};
    if (with_grad && !p->logits_fn && l->o.mtp_weight > 0 && mk_model_has_mtp(&l->model))
        step->hidden = mk_floats(&l->wk, r->n_tok * l->model.d_model);
    l->tape.spans = r->spans, l->tape.n_spans = step->n_spans;
    mk_model_forward(&l->model, &l->wk, step);
    mk_logprobs(&l->wk, v.logits, r->target, r->n_want, l->model.n_vocab, v.lp, v.lse, v.entropy);
    for (size_t i = 0; i < r->n_want; i++) {
        const size_t at = r->target_at[i];
        v.coef[i] = (float)((double)p->s->weight[at] * p->scale);
        if (p->lp) p->lp[at] = v.lp[i];
        if (p->entropy) p->entropy[at] = v.entropy[i];
        if (!p->out) continue;
        p->out->loss -= (double)(p->s->weight[at] * v.lp[i]);
        p->out->weight += (double)p->s->weight[at];
    }
    if (!with_grad) return;
    if (p->logits_fn) {
        l->tape.is_recording = false;
        p->logits_fn(p->arg, l, step, r->target_at, v.lse);
        l->tape.is_recording = true;
        return;
    }
    if (p->fn) p->fn(p->arg, r->target_at, v.lp, r->n_want, v.coef);
    mk_logprobs_back(&l->wk, v.logits, r->target, v.coef, v.lse, r->n_want, l->model.n_vocab);
}

/* Multi-token prediction (V3, section 2.2): from the hidden state of row i and token i + 1. */
static void mtp_pass(const struct pass *p, const struct rows *main, const float *hidden,
                     struct mk_step *step)
{
    struct mk_learner *l = p->l;
    const struct mk_kv_shape shape = mk_model_mtp_kv(&l->model);
    struct rows r = {.s = main->s, .first = main->first, .last = main->last, .at = main->at};
    lay_out(l, &r, &shape, 2);
    if (!r.n_want) return;
    struct scored v = score_memory(l, r.n_want);
    int32_t *tok = mk_arena_take(&l->wk.arena, r.n_tok * sizeof *tok);
    size_t *row = mk_arena_take(&l->wk.arena, r.n_tok * sizeof *row);
    for (size_t i = 0; i < r.last - r.first; i++)
        for (size_t t = 0; t < r.spans[i].n; t++) {
            tok[r.spans[i].first + t] = p->s->tok[p->s->start[r.first + i] + t + 1];
            row[r.spans[i].first + t] = main->spans[i].first + t;
        }
    float *h = mk_floats(&l->wk, r.n_tok * l->model.d_model);
    mk_gather_rows(&l->wk, h, hidden, row, r.n_tok, l->model.d_model);
    *step = (struct mk_step){.tok = tok,
                             .n_tok = r.n_tok,
                             .spans = r.spans,
                             .n_spans = r.last - r.first,
                             .want = r.want,
                             .n_want = r.n_want,
                             .logits = v.logits,
                             .form = l->o.form};
    l->tape.spans = r.spans;
    mk_model_mtp(&l->model, &l->wk, step, h, true);
    mk_logprobs(&l->wk, v.logits, r.target, r.n_want, l->model.n_vocab, v.lp, v.lse, NULL);
    for (size_t i = 0; i < r.n_want; i++) {
        const double w = (double)p->s->weight[r.target_at[i]];
        v.coef[i] = (float)(w * p->scale * l->o.mtp_weight);
        p->out->mtp_loss -= w * (double)v.lp[i];
        p->out->mtp_weight += w;
    }
    mk_logprobs_back(&l->wk, v.logits, r.target, v.coef, v.lse, r.n_want, l->model.n_vocab);
}

static void step_pass(const struct pass *p, size_t first, size_t last, bool with_grad)
{
    struct mk_learner *l = p->l;
    const struct mk_arena_mark mark = mk_arena_mark(&l->wk.arena);
    struct rows r = {.s = p->s, .first = first, .last = last, .at = p->s->start[first]};
    struct mk_step step, mtp; /* records point at them until backward */
    l->tape.is_recording = with_grad;
    main_pass(p, &r, &step, with_grad);
    if (step.hidden) mtp_pass(p, &r, step.hidden, &mtp);
    if (with_grad) mk_tape_backward(&l->wk);
    l->tape.is_recording = false;
    mk_arena_reset(&l->wk.arena, mark);
}

/* Whole sequences, as many as fit step_toks. */
static void all_steps(const struct pass *p, bool with_grad)
{
    for (size_t first = 0, last; first < p->s->n; first = last) {
        for (last = first + 1; last < p->s->n; last++)
            if (p->s->start[last + 1] - p->s->start[first] > p->l->o.step_toks) break;
        step_pass(p, first, last, with_grad);
    }
}

static void whole_pass(struct pass *p)
{
    struct mk_learner *l = p->l;
    struct mk_pass unused;
    if (!p->out) p->out = &unused;
    *p->out = (struct mk_pass){.n_tok = p->s->n_tok};
    if (p->lp) memset(p->lp, 0, p->s->n_tok * sizeof *p->lp);
    if (p->entropy) memset(p->entropy, 0, p->s->n_tok * sizeof *p->entropy);
    l->tape.balance = l->o.balance;
    l->tape.balance_scale = p->s->n ? 1.0 / (double)p->s->n : 0.0;
    all_steps(p, true);
}

void mk_learner_pass(struct mk_learner *l, const struct mk_seqs *s, double scale, mk_coef_fn *fn,
                     void *arg, float *lp, float *entropy, struct mk_pass *out)
{
    whole_pass(&(struct pass){.l = l,
                              .s = s,
                              .scale = scale,
                              .fn = fn,
                              .arg = arg,
                              .lp = lp,
                              .entropy = entropy,
                              .out = out});
}

void mk_learner_pass_logits(struct mk_learner *l, const struct mk_seqs *s, mk_logits_fn *fn,
                            void *arg, float *lp, float *entropy, struct mk_pass *out)
{
    whole_pass(&(struct pass){
        .l = l, .s = s, .logits_fn = fn, .arg = arg, .lp = lp, .entropy = entropy, .out = out});
}

void mk_learner_score(struct mk_learner *l, const struct mk_seqs *s, float *lp, float *entropy)
{
    if (lp) memset(lp, 0, s->n_tok * sizeof *lp);
    if (entropy) memset(entropy, 0, s->n_tok * sizeof *entropy);
    all_steps(&(struct pass){.l = l, .s = s, .lp = lp, .entropy = entropy}, false);
}

/* ---- the update ----------------------------------------------------------------------------- */

/* b_i += gamma sign(mean(load) - load_i); returns max(load) / mean(load) - 1. */
static double balance_router(const struct mk_learner *l, const struct mk_param *p)
{
    float *bias = l->params.v + p->at;
    const float *load = l->params.grad + p->at;
    double sum = 0.0, max = 0.0;
    for (size_t i = 0; i < p->cols; i++) {
        sum += (double)load[i];
        max = fmax(max, (double)load[i]);
    }
    const double mean = sum / (double)p->cols;
    if (mean <= 0.0) return 0.0;
    for (size_t i = 0; i < p->cols; i++) {
        const double d = mean - (double)load[i];
        bias[i] += (float)(l->o.bias_rate * (d > 0.0 ? 1.0 : d < 0.0 ? -1.0 : 0.0));
    }
    return max / mean - 1.0;
}

bool mk_learner_update(struct mk_learner *l, double lr, struct mk_update *out, struct mk_err *err)
{
    struct mk_update u = {0};
    const bool ok = mk_optim_step(&l->optim, &l->wk, &l->params, lr, 1.0, &u.norm, err);
    for (size_t i = 0; ok && i < l->params.n_list; i++)
        if (l->params.list[i].kind == MK_PARAM_STATE)
            u.max_vio = fmax(u.max_vio, balance_router(l, &l->params.list[i]));
    if (l->tape.n_balance) u.balance = l->tape.balance_loss / (double)l->tape.n_balance;
    l->tape.balance_loss = 0.0;
    l->tape.n_balance = 0;
    mk_params_zero_grad(&l->wk, &l->params);
    if (!ok) return false;
    *out = u;
    return mk_learner_refresh(l, err);
}
