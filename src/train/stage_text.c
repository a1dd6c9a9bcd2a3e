#include "train/stage_text.h"

#include <jansson.h>

static bool step(void *self, struct mk_run *r, struct mk_err *err)
{
    struct mk_text_stage *s = self;
    struct mk_pass pass;
    double weight = 0.0;
    mk_seqs_clear(&s->seqs);
    while (s->seqs.n_tok < s->batch_toks && mk_source_next(&s->source, &s->seqs, s->n_ctx)) {}
    if (!s->seqs.n) return mk_fail(err, MK_ELIMIT, "the data ended before the last step");
    for (size_t i = 0; i < s->seqs.n_tok; i++) weight += (double)s->seqs.weight[i];
    if (weight <= 0.0)
        return mk_fail(err, MK_EFORMAT, "no token of this step's %zu sequences counts", s->seqs.n);
    mk_learner_pass(&r->learner, &s->seqs, 1.0 / weight, NULL, NULL, NULL, NULL, &pass);
    r->n_tok = s->seqs.n_tok;
    r->flops = (double)r->n_tok * r->flops_per_tok;
    r->label = "loss";
    r->value = pass.loss / pass.weight;
    mk_metrics_put(r->metrics, "loss", r->value);
    if (pass.mtp_weight > 0)
        mk_metrics_put(r->metrics, "mtp_loss", pass.mtp_loss / pass.mtp_weight);
    return true;
}

static bool eval(void *self, struct mk_run *r, struct mk_err *err)
{
    const struct mk_text_stage *s = self;
    return !s->eval || s->eval(s->eval_arg, r, err);
}

static void save(void *self, void *json)
{
    const struct mk_text_stage *s = self;
    json_object_set_new(json, "cursor", json_integer((json_int_t)s->source.cursor));
}

static bool load(void *self, const void *json, struct mk_err *err)
{
    struct mk_text_stage *s = self;
    const json_t *cursor = json_object_get(json, "cursor");
    if (!json_is_integer(cursor) || json_integer_value(cursor) < 0)
        return mk_fail(err, MK_EFORMAT, "trainer.json: state.cursor is no count");
    mk_source_seek(&s->source, (uint64_t)json_integer_value(cursor));
    return true;
}

const struct mk_stage mk_text_stage = {.step = step, .eval = eval, .save = save, .load = load};

void mk_text_stage_release(struct mk_text_stage *s) { mk_seqs_release(&s->seqs); }
