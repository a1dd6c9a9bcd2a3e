/* The tables of `minke plan` for a shape on a machine. */
#include "train/int_plan.h"
#include "train/plan.h"

#include <math.h>
#include <stdio.h>

/* ---- what it is ----------------------------------------------------------------------------- */

static const char *part_note(int part, const struct mk_plan_arch *a)
{
    if (part == MK_PLAN_CONTEXT) return "causal, the mean of a sequence";
    if (part == MK_PLAN_HEAD && a->is_tied) return "the embedding again";
    if (part == MK_PLAN_MTP) return "a block; embedding and head are the model's";
    return "";
}

static void report_parts(struct mk_sheet *s, const struct mk_plan_job *j)
{
    struct mk_plan_count p[MK_PLAN_N_PARTS], sum = {0};
    const struct mk_plan_arch *a = &j->arch;
    mk_plan_parts(a, j->n_ctx, p);
    mk_sheet_section(s, "parts", "parameters", "active", "forward", NULL);
    for (int i = 0; i < MK_PLAN_N_PARTS; i++) {
        if (p[i].params <= 0 && p[i].flops <= 0) continue;
        if (i == MK_PLAN_MTP) {
            mk_sheet_row(s, "main model", NULL);
            mk_sheet_put(s, sum.params, MK_UNIT_COUNT);
            mk_sheet_put(s, sum.active, MK_UNIT_COUNT);
            mk_sheet_put(s, sum.flops, MK_UNIT_FLOP);
        }
        mk_sheet_row(s, mk_plan_part_names[i], "%s", part_note(i, a));
        mk_sheet_put(s, p[i].params, MK_UNIT_COUNT);
        mk_sheet_put(s, p[i].active, MK_UNIT_COUNT);
        mk_sheet_put(s, p[i].flops, MK_UNIT_FLOP);
        sum.params += p[i].params;
        sum.active += p[i].active;
        sum.flops += p[i].flops;
    }
    mk_sheet_row(s, "total", "forward: FLOP of a token in a sequence of %.0f, a multiply-add is 2",
                 j->n_ctx);
    mk_sheet_put(s, sum.params, MK_UNIT_COUNT);
    mk_sheet_put(s, sum.active, MK_UNIT_COUNT);
    mk_sheet_put(s, sum.flops, MK_UNIT_FLOP);
}

static void report_machine(struct mk_sheet *s, const struct mk_plan_job *j)
{
    const struct mk_plan_hardware *h = &j->hardware;
    mk_sheet_section(s, "assumptions", "value", NULL);
    mk_sheet_row(s, "hardware", "%s", h->name);
    mk_sheet_word(s, h->unit);
    mk_sheet_value(s, "peak", h->flops, MK_UNIT_FLOPS, "%s", h->source);
    mk_sheet_value(s, "bandwidth", h->bandwidth, MK_UNIT_BYTES_S, "%s",
                   h->is_cpu ? "assumed; minke cpu --measure tells" : h->source);
    mk_sheet_value(s, "memory", h->memory, MK_UNIT_BYTES, "%s",
                   h->is_cpu ? "its share of this machine's" : h->source);
    mk_sheet_value(s, "share of peak", h->mfu, MK_UNIT_SHARE, "in training; %s", h->mfu_source);
    if (h->price > 0)
        mk_sheet_value(s, "price of an hour", h->price, MK_UNIT_USD, "%s", h->price_source);
}

/* ---- training ------------------------------------------------------------------------------- */

struct state {
    double copy, master, gradient, moments, sum;
};

static struct state state_bytes(const struct mk_plan_job *j)
{
    const double n = mk_plan_params(&j->arch) + mk_plan_mtp_params(&j->arch);
    struct state b = {2 * n, 4 * n, 4 * n, 2 * j->moment_bytes * n, 0};
    b.sum = b.copy + b.master + b.gradient + b.moments;
    return b;
}

/* A value and, in minke's trainer, the float gradient beside it. */
static double act_bytes(const struct mk_plan_job *j)
{
    const double each = j->hardware.is_cpu ? 8 : 2;
    return each * j->n_micro * j->n_ctx * mk_plan_act_values(&j->arch, j->recomputes);
}

static void report_memory(struct mk_sheet *s, const struct mk_plan_job *j)
{
    const struct state b = state_bytes(j);
    const double act = act_bytes(j);
    mk_sheet_section(s, "training memory", "value", NULL);
    mk_sheet_value(s, "weights for products", b.copy, MK_UNIT_BYTES, "bf16");
    mk_sheet_value(s, "master weights", b.master, MK_UNIT_BYTES, "f32");
    mk_sheet_value(s, "gradients", b.gradient, MK_UNIT_BYTES, "f32");
    mk_sheet_value(s, "moments", b.moments, MK_UNIT_BYTES, "two, %s",
                   j->moment_bytes < 3 ? "bf16 as in DeepSeek-V3" : "f32");
    mk_sheet_value(s, "activations", act, MK_UNIT_BYTES, "%.0f sequences of %.0f in %s%s",
                   j->n_micro, j->n_ctx, j->hardware.is_cpu ? "f32 with gradients" : "bf16",
                   j->recomputes ? ", layers recomputed" : "");
    mk_sheet_value(s, "together", b.sum + act, MK_UNIT_BYTES, NULL);
    mk_sheet_value(s, "devices to hold it", ceil((b.sum + act) / j->hardware.memory), MK_UNIT_PLAIN,
                   "state and one micro-batch over memory; each more holds its own micro-batch");
}

static double job_devices(const struct mk_plan_job *j)
{
    if (j->n_devices > 0) return j->n_devices;
    return ceil((state_bytes(j).sum + act_bytes(j)) / j->hardware.memory);
}

static void report_training(struct mk_sheet *s, const struct mk_plan_job *j)
{
    const struct mk_plan_hardware *h = &j->hardware;
    const double flops = mk_plan_train_flops(&j->arch, j->n_ctx), speed = h->flops * h->mfu;
    mk_sheet_section(s, "training", "value", NULL);
    mk_sheet_value(s, "a token", flops, MK_UNIT_FLOP, "3 times forward");
    mk_sheet_value(s, "speed", speed / flops, MK_UNIT_RATE, "of one %s", h->unit);
    if (j->n_toks <= 0) return;
    const double hours = j->n_toks * flops / speed / 3600, n = job_devices(j);
    const double n_steps = ceil(j->n_toks / (j->n_batch * j->n_ctx));
    mk_sheet_value(s, "tokens", j->n_toks, MK_UNIT_COUNT, "%.3g for each active parameter",
                   j->n_toks / mk_plan_active(&j->arch));
    mk_sheet_value(s, "steps", n_steps, MK_UNIT_COUNT, "of %.0f sequences of %.0f tokens",
                   j->n_batch, j->n_ctx);
    mk_sheet_value(s, "all tokens", j->n_toks * flops, MK_UNIT_FLOP,
                   "useful, without recomputation");
    mk_sheet_row(s, h->unit[0] == 'G' ? "GPU hours" : "core hours", "FLOP / (peak x share)");
    mk_sheet_put(s, hours, MK_UNIT_HOURS);
    mk_sheet_value(s, "time", hours / n / 24, MK_UNIT_DAYS, "on %.0f %s%s%s", n, h->unit,
                   n == 1 ? "" : "s", j->n_devices > 0 ? "" : ", as many as memory needs");
    mk_sheet_value(s, "time of a step", hours / n * 3600 / n_steps, MK_UNIT_SECONDS, NULL);
    if (h->price > 0) mk_sheet_value(s, "cost", hours * h->price, MK_UNIT_USD, "hours x price");
}

/* ---- serving -------------------------------------------------------------------------------- */

static void report_batch(struct mk_sheet *s, const struct mk_plan_job *j, double n_devices,
                         double n_seq)
{
    const struct mk_plan_reads r =
        mk_plan_reads(&j->arch, n_seq, j->n_ctx, j->weight_bytes, j->kv_bytes);
    const double by_bytes = n_seq * n_devices * j->hardware.bandwidth / (r.weights + r.kv);
    const double by_flops =
        n_devices * j->hardware.flops / mk_plan_decode_flops(&j->arch, j->n_ctx);
    char label[32];
    snprintf(label, sizeof label, "%.0f together", n_seq);
    mk_sheet_row(s, label, NULL);
    mk_sheet_put(s, r.weights / n_seq, MK_UNIT_BYTES);
    mk_sheet_put(s, r.kv / n_seq, MK_UNIT_BYTES);
    mk_sheet_put(s, by_bytes, MK_UNIT_RATE);
    mk_sheet_put(s, by_flops, MK_UNIT_RATE);
    mk_sheet_word(s, by_bytes < by_flops ? "memory" : "arithmetic");
}

static void report_serving(struct mk_sheet *s, const struct mk_plan_job *j)
{
    const struct mk_plan_arch *a = &j->arch;
    const double n = mk_plan_params(a), kv = mk_plan_kv_values(a) * j->kv_bytes;
    const double bytes = n * j->weight_bytes + kv * j->n_ctx;
    /* A cluster given to train on is not one machine that answers. */
    const bool is_given = j->n_devices > 0 && (j->n_toks <= 0 || j->hardware.is_cpu);
    const double n_devices = is_given ? j->n_devices : ceil(bytes / j->hardware.memory);
    mk_sheet_section(s, "serving memory", "value", NULL);
    mk_sheet_value(s, "weights", n * j->weight_bytes, MK_UNIT_BYTES, "%s", j->weight_type);
    mk_sheet_value(s, "keys and values of a token", kv, MK_UNIT_BYTES, "%.0f values, %s",
                   mk_plan_kv_values(a), j->kv_type);
    mk_sheet_value(s, "of a whole context", kv * j->n_ctx, MK_UNIT_BYTES, "%.0f tokens", j->n_ctx);
    mk_sheet_value(s, "devices", n_devices, MK_UNIT_PLAIN, "%s",
                   is_given ? "as given" : "weights and one context over memory");
    mk_sheet_section(s, "generation, at most", "weights/tok", "kv/tok", "by memory", "by FLOP",
                     "bound", NULL);
    for (double n_seq = 1; n_seq <= 256; n_seq *= 16) report_batch(s, j, n_devices, n_seq);
}

void mk_plan_report(struct mk_str *out, const struct mk_plan_job *job, bool is_json)
{
    struct mk_sheet s;
    mk_sheet_begin(&s, out, is_json);
    report_parts(&s, job);
    report_machine(&s, job);
    report_memory(&s, job);
    report_training(&s, job);
    report_serving(&s, job);
    mk_sheet_end(&s);
}
