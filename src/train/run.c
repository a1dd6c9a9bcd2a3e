#include "train/run.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "train/plan.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_REFUSED = 5 /* steps in a row without usable gradients */ };

/* ---- opening ------------------------------------------------------------------------------ */

/* Where the weights say; a new model's is beside its config.json. */
static bool open_tokenizer(struct mk_run *r, const char *path, struct mk_err *err)
{
    if (r->learner.model.tensors.path)
        return mk_tokenizer_open(&r->tokenizer, &r->learner.model.tensors, err);
    const char *slash = strrchr(path, '/');
    const size_t n_dir = slash ? (size_t)(slash + 1 - path) : 0;
    struct mk_str json = {0}, config = {0};
    mk_str_addf(&json, "%.*stokenizer.json", (int)n_dir, path);
    mk_str_addf(&config, "%.*stokenizer_config.json", (int)n_dir, path);
    const bool has_config = mk_file_exists(mk_str_c(&config));
    const bool ok = mk_tokenizer_open_json(&r->tokenizer, mk_str_c(&json),
                                           has_config ? mk_str_c(&config) : NULL, err);
    mk_str_release(&json);
    mk_str_release(&config);
    return ok;
}

static bool check_sizes(const struct mk_run *r, const char *from, struct mk_err *err)
{
    const size_t n_tok = (size_t)mk_token_count(r->tokenizer);
    if (n_tok <= r->learner.model.n_vocab) return true;
    return mk_fail(err, MK_EFORMAT, "%s: the tokenizer has %zu tokens, vocab_size is %zu", from,
                   n_tok, r->learner.model.n_vocab);
}

/* Useful work of a token, and what the machine could do at best. */
static bool count_flops(struct mk_run *r, struct mk_err *err)
{
    struct mk_plan_arch arch;
    if (!mk_plan_arch_from_config(&arch, &r->learner.model.config, err)) return false;
    r->flops_per_tok = mk_plan_train_flops(&arch, 128);
    return true;
}

static bool write_run_json(const struct mk_run *r, struct mk_err *err)
{
    struct mk_str path = {0};
    struct mk_out out = {0};
    mk_str_addf(&path, "%s/run.json", r->o.out);
    const bool ok = mk_out_open(&out, mk_str_c(&path), err) &&
                    mk_out_write(&out, r->o.json, strlen(r->o.json), err) &&
                    mk_out_close(&out, err);
    if (!ok) mk_out_abandon(&out);
    mk_str_release(&path);
    return ok;
}

/* The newest checkpoint of a run that is there already. */
static bool find_checkpoint(struct mk_run *r, struct mk_err *err)
{
    if (!mk_file_exists(r->o.out)) return true;
    if (!mk_run_lock(&r->lock, r->o.out, err)) return false;
    err->code = MK_OK;
    r->resumed_from = mk_checkpoint_latest(r->o.out, err);
    return r->resumed_from || err->code == MK_OK;
}

static bool check_from(const struct mk_run *r, const char *from, const struct mk_trainable *t,
                       struct mk_err *err)
{
    if (!from && !r->resumed_from)
        return mk_fail(err, MK_EUSAGE, "%s holds no checkpoint: say what to start --from",
                       r->o.out);
    if (!from && t->lora_rank)
        return mk_fail(err, MK_EUSAGE, "%s holds adapters: say which model they are --from",
                       r->o.out);
    if (t->is_new && t->lora_rank)
        return mk_fail(err, MK_EUSAGE, "%s: adapters need a model that is trained already", from);
    return true;
}

static bool is_json(const char *path)
{
    const size_t n = path ? strlen(path) : 0;
    return n > 5 && !strcmp(path + n - 5, ".json");
}

static bool open_parts(struct mk_run *r, const char *from, struct mk_trainable *t,
                       const struct mk_learner_options *lo, struct mk_err *err)
{
    if (!find_checkpoint(r, err)) return false;
    t->is_new = is_json(from) && (!r->resumed_from || t->lora_rank);
    if (!check_from(r, from, t, err)) return false;
    const char *path = r->resumed_from && !t->lora_rank ? r->resumed_from : from;
    return mk_learner_open(&r->learner, path, t, lo, err) && open_tokenizer(r, path, err) &&
           check_sizes(r, path, err) && count_flops(r, err);
}

bool mk_run_open(struct mk_run *r, const struct mk_run_options *o, const char *from,
                 struct mk_trainable *t, const struct mk_learner_options *lo, struct mk_err *err)
{
    struct mk_err mine;
    if (!err) err = &mine;
    *r = (struct mk_run){.o = *o};
    if (open_parts(r, from, t, lo, err)) return true;
    mk_run_close(r);
    return false;
}

void mk_run_close(struct mk_run *r)
{
    mk_metrics_close(r->metrics);
    mk_tokenizer_free(r->tokenizer);
    mk_learner_close(&r->learner);
    free(r->resumed_from);
    mk_lock_release(&r->lock);
    *r = (struct mk_run){0};
}

/* ---- checkpoints ---------------------------------------------------------------------------- */

/* A new run's folder, once there is something to put into it. */
static bool take_folder(struct mk_run *r, struct mk_err *err)
{
    if (!r->lock.f) {
        if (!mk_run_lock(&r->lock, r->o.out, err)) return false;
        char *other = mk_checkpoint_latest(r->o.out, err);
        if (other) {
            free(other);
            return mk_fail(err, MK_EBUSY, "%s was begun by another process meanwhile", r->o.out);
        }
    }
    return r->resumed_from || write_run_json(r, err);
}

static bool save(struct mk_run *r, const struct mk_stage *stage, void *self, struct mk_err *err)
{
    json_t *o = json_object();
    stage->save(self, o);
    char *state = json_dumps(o, JSON_COMPACT);
    const struct mk_checkpoint c = {.model = &r->learner.model,
                                    .tokenizer = r->tokenizer,
                                    .optim = &r->learner.optim,
                                    .step = r->step,
                                    .state = state,
                                    .run_hash = r->o.identity,
                                    .reference = r->reference};
    const bool ok = mk_checkpoint_save(r->o.out, &c, r->o.keep, err);
    free(state);
    json_decref(o);
    return ok;
}

static bool resume(struct mk_run *r, const struct mk_stage *stage, void *self, struct mk_err *err)
{
    struct mk_str state = {0};
    if (!mk_checkpoint_load(r->resumed_from, &r->learner.params, &r->learner.optim, r->o.identity,
                            &r->step, &state, err) ||
        (r->reference &&
         !mk_checkpoint_load_reference(r->resumed_from, &r->learner.params, r->reference, err)))
        return false;
    json_t *o = json_loadb(mk_str_c(&state), state.len, 0, NULL);
    const bool ok =
        o ? stage->load(self, o, err)
          : mk_fail(err, MK_EFORMAT, "%s/trainer.json: state is no JSON object", r->resumed_from);
    json_decref(o);
    mk_str_release(&state);
    return ok && mk_learner_refresh(&r->learner, err);
}

/* ---- the loop ------------------------------------------------------------------------------- */

struct pace { /* for speed and the time left */
    double start, cpu, joules;
    uint64_t first;
};

static void report(struct mk_run *r, const struct pace *began, const struct pace *step, double lr,
                   double norm)
{
    const double seconds = mk_now_s() - step->start, joules = mk_joules();
    mk_metrics_put(r->metrics, "lr", lr);
    mk_metrics_put(r->metrics, "grad_norm", norm);
    mk_metrics_put(r->metrics, "toks", (double)r->n_tok);
    mk_metrics_put(r->metrics, "toks_per_s", (double)r->n_tok / seconds);
    mk_metrics_put(r->metrics, "flops", r->flops);
    mk_metrics_put(r->metrics, "flops_per_s", r->flops / seconds);
    if (r->peak_flops > 0)
        mk_metrics_put(r->metrics, "peak_share", r->flops / seconds / r->peak_flops);
    mk_metrics_put(r->metrics, "seconds", seconds);
    mk_metrics_put(r->metrics, "cpu_seconds", mk_cpu_s() - step->cpu);
    if (joules > 0) mk_metrics_put(r->metrics, "joules", joules - step->joules);
    if (!r->progress) return;
    const double per_step = (mk_now_s() - began->start) / (double)(r->step + 1 - began->first);
    const struct mk_progress p = {.step = r->step + 1,
                                  .n_steps = r->o.n_steps,
                                  .label = r->label,
                                  .value = r->value,
                                  .lr = lr,
                                  .norm = norm,
                                  .toks_per_s = (double)r->n_tok / seconds,
                                  .peak_share =
                                      r->peak_flops > 0 ? r->flops / seconds / r->peak_flops : 0,
                                  .eta_s = per_step * (double)(r->o.n_steps - r->step - 1),
                                  .warning = mk_metrics_warning(r->metrics)};
    r->progress(r->progress_arg, &p);
}

/* A step whose gradients are no numbers is left out; when they stay so, the run ends before it
 * spoils anything. */
static bool update(struct mk_run *r, double lr, struct mk_update *u, struct mk_err *err)
{
    if (mk_learner_update(&r->learner, lr, u, err)) {
        r->n_refused = 0;
        return true;
    }
    if (err->code != MK_EFORMAT || ++r->n_refused >= MAX_REFUSED)
        return mk_fail_in(err, "step %llu", (unsigned long long)r->step);
    *u = (struct mk_update){.norm = (double)NAN};
    return true;
}

static bool one_step(struct mk_run *r, const struct mk_stage *stage, void *self,
                     const struct pace *began, struct mk_err *err)
{
    const struct pace step = {mk_now_s(), mk_cpu_s(), mk_joules(), r->step};
    const double lr =
        mk_schedule_lr(&r->o.schedule, r->step, (double)r->step / (double)r->o.n_steps);
    struct mk_update u;
    r->lr = lr;
    r->n_tok = 0;
    r->flops = 0;
    if (!stage->step(self, r, err) || !update(r, lr, &u, err)) return false;
    if (u.max_vio > 0) mk_metrics_put(r->metrics, "max_vio", u.max_vio);
    if (u.balance > 0) mk_metrics_put(r->metrics, "balance_loss", u.balance);
    if (r->n_refused) mk_metrics_put(r->metrics, "refused", (double)r->n_refused);
    const bool evals = stage->eval && r->o.eval_every &&
                       ((r->step + 1) % r->o.eval_every == 0 || r->step + 1 == r->o.n_steps);
    struct mk_err why = {0};
    const bool is_measured = !evals || stage->eval(self, r, &why);
    report(r, began, &step, lr, u.norm);
    if (!mk_metrics_step(r->metrics, r->step, err)) return false;
    r->step++;
    if (is_measured) return true;
    r->is_intact = true; /* the step itself is done */
    return mk_fail(err, why.code, "%s", why.msg);
}

static bool is_over(const struct mk_run *r, const struct pace *began)
{
    if (r->step >= r->o.n_steps) return true;
    if (r->o.stop && atomic_load(r->o.stop)) return true;
    return r->o.minutes > 0 && mk_now_s() - began->start > 60 * r->o.minutes;
}

static bool go(struct mk_run *r, const struct mk_stage *stage, void *self, uint64_t *saved,
               struct mk_err *err)
{
    const struct pace began = {mk_now_s(), mk_cpu_s(), mk_joules(), r->step};
    while (!is_over(r, &began)) {
        r->is_intact = false;
        if (!one_step(r, stage, self, &began, err)) return false;
        if (r->o.save_every && r->step % r->o.save_every == 0) {
            if (!save(r, stage, self, err)) return false;
            *saved = r->step;
        }
    }
    return *saved == r->step || save(r, stage, self, err);
}

bool mk_run_go(struct mk_run *r, const struct mk_stage *stage, void *self, struct mk_err *err)
{
    if (r->resumed_from && !resume(r, stage, self, err)) return false;
    if (!take_folder(r, err) || !mk_checkpoint_prune(r->o.out, r->step, r->o.keep, err) ||
        !mk_metrics_open(&r->metrics, r->o.out, r->step, err))
        return false;
    uint64_t saved = r->resumed_from ? r->step : UINT64_MAX;
    if (go(r, stage, self, &saved, err)) return true;
    struct mk_err second;
    if (r->is_intact && r->step && saved != r->step && !save(r, stage, self, &second))
        return mk_fail_in(err, "%s; and", second.msg);
    return false;
}
