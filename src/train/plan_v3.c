/* DeepSeek-V3's training bill, derived.
 *
 *   hours = tokens x FLOP per token / (peak x share of peak) / 3600
 *
 * The share comes from a table that its authors measured on the same cluster (ISCA 2025, table 4),
 * so this checks the count of FLOP against the bill; it is no independent forecast of the speed.
 * That table's FLOP are those of the main model: its 385 TFLOP/s at 272.8 G tokens a day on 2048
 * GPUs are 249.7 GFLOP a token, the shape gives 250.5 without the prediction layer and 260.7 with
 * it.  The prediction layer is therefore left out here, as there. */
#include "train/int_plan.h"
#include "train/plan.h"

#include <assert.h>

enum { PRETRAIN, CONTEXT_32K, CONTEXT_128K, N_STAGES };

static const struct {
    const char *name, *source;
    double n_toks, n_ctx;
} stages[N_STAGES] = {
    {"pre-training", "14.8 T tokens of 4K sequences (V3 report, 4.2)", 14.8e12, 4096},
    {"context to 32K", "1000 steps of 1920 sequences (V3 report, 4.3)", 1000.0 * 1920 * 32768,
     32768},
    {"context to 128K", "1000 steps of 480 sequences (V3 report, 4.3)", 1000.0 * 480 * 131072,
     131072},
};

static const double post_hours = 5e3; /* published, taken over */
static const double published_pretrain = 2664e3, published_context = 119e3;
static const double published_total = 2788e3, published_cost = 5.576e6;
static const double table_toks_day = 272.80e9, table_gpus = 2048, table_flops = 385e12;

static struct mk_plan_arch main_model(void)
{
    const struct mk_plan_arch *v3 = mk_plan_arch_find("deepseek-v3");
    assert(v3);
    struct mk_plan_arch a = *v3;
    a.n_mtp = 0;
    return a;
}

static struct mk_plan_hardware h800(double mfu)
{
    const struct mk_plan_hardware *h = mk_plan_hardware_find("h800");
    assert(h);
    struct mk_plan_hardware out = *h;
    if (mfu > 0) {
        out.mfu = mfu;
        out.mfu_source = "as given";
    }
    return out;
}

static double stage_hours(const struct mk_plan_arch *a, const struct mk_plan_hardware *h, int stage)
{
    return stages[stage].n_toks * mk_plan_train_flops(a, stages[stage].n_ctx) /
           (h->flops * h->mfu) / 3600;
}

struct mk_plan_v3 mk_plan_v3(double mfu)
{
    const struct mk_plan_arch a = main_model();
    const struct mk_plan_hardware h = h800(mfu);
    struct mk_plan_v3 v = {
        .pretrain = stage_hours(&a, &h, PRETRAIN),
        .context = stage_hours(&a, &h, CONTEXT_32K) + stage_hours(&a, &h, CONTEXT_128K),
        .post = post_hours,
        .published_total = published_total,
        .published_cost = published_cost,
    };
    v.total = v.pretrain + v.context + v.post;
    v.cost = v.total * h.price;
    return v;
}

/* ---- shown ---------------------------------------------------------------------------------- */

static void report_assumptions(struct mk_sheet *s, const struct mk_plan_hardware *h)
{
    mk_sheet_section(s, "assumptions", "value", NULL);
    mk_sheet_value(s, "peak of an H800", h->flops, MK_UNIT_FLOPS, "dense BF16; %s", h->source);
    mk_sheet_value(s, "share of peak", h->mfu, MK_UNIT_SHARE, "%s", h->mfu_source);
    mk_sheet_value(s, "price of an hour", h->price, MK_UNIT_USD, "%s", h->price_source);
    for (int i = 0; i < N_STAGES; i++)
        mk_sheet_value(s, stages[i].name, stages[i].n_toks, MK_UNIT_COUNT, "%s", stages[i].source);
    mk_sheet_value(s, "post-training", post_hours, MK_UNIT_HOURS,
                   "as published, not derived (V3 report, table 1)");
}

static void report_flops(struct mk_sheet *s, const struct mk_plan_arch *a)
{
    const double once = mk_plan_forward_flops(a, 0) * 3;
    const struct mk_plan_arch *with_mtp = mk_plan_arch_find("deepseek-v3");
    mk_sheet_section(s, "FLOP of a token, training", "matrices", "attention", "sum", NULL);
    for (int i = 0; i < N_STAGES; i++) {
        const double sum = mk_plan_train_flops(a, stages[i].n_ctx);
        mk_sheet_row(s, stages[i].name, "causal, sequences of %.0f", stages[i].n_ctx);
        mk_sheet_put(s, once, MK_UNIT_FLOP);
        mk_sheet_put(s, sum - once, MK_UNIT_FLOP);
        mk_sheet_put(s, sum, MK_UNIT_FLOP);
    }
    mk_sheet_section(s, "what the share counts", "value", NULL);
    mk_sheet_value(s, "main model", mk_plan_train_flops(a, 4096), MK_UNIT_FLOP,
                   "%.4g G active parameters", mk_plan_active(a) / 1e9);
    mk_sheet_value(s, "with the prediction layer", mk_plan_train_flops(with_mtp, 4096),
                   MK_UNIT_FLOP, "not counted below");
    mk_sheet_value(s, "in ISCA 2025, table 4", table_flops * table_gpus * 86400 / table_toks_day,
                   MK_UNIT_FLOP, "385 TFLOP/s x 2048 GPUs x 1 day / 272.8 G tokens");
}

static void put_stage(struct mk_sheet *s, const char *label, double derived, double published)
{
    mk_sheet_row(s, label, NULL);
    mk_sheet_put(s, derived, MK_UNIT_HOURS);
    mk_sheet_put(s, published, MK_UNIT_HOURS);
    mk_sheet_put(s, derived / published - 1, MK_UNIT_SHARE);
}

void mk_plan_v3_report(struct mk_str *out, double mfu, bool is_json)
{
    const struct mk_plan_v3 v = mk_plan_v3(mfu);
    const struct mk_plan_arch a = main_model();
    const struct mk_plan_hardware h = h800(mfu);
    struct mk_sheet s;
    mk_sheet_begin(&s, out, is_json);
    report_assumptions(&s, &h);
    report_flops(&s, &a);
    mk_sheet_section(&s, "GPU hours", "derived", "published", "difference", NULL);
    put_stage(&s, "pre-training", v.pretrain, published_pretrain);
    put_stage(&s, "context extension", v.context, published_context);
    put_stage(&s, "post-training", v.post, post_hours);
    put_stage(&s, "total", v.total, v.published_total);
    mk_sheet_row(&s, "cost", NULL);
    mk_sheet_put(&s, v.cost, MK_UNIT_USD);
    mk_sheet_put(&s, v.published_cost, MK_UNIT_USD);
    mk_sheet_put(&s, v.cost / v.published_cost - 1, MK_UNIT_SHARE);
    mk_sheet_section(&s, "what follows", "value", NULL);
    mk_sheet_value(&s, "speed of a GPU", h.flops * h.mfu / mk_plan_train_flops(&a, 4096),
                   MK_UNIT_RATE, "pre-training; ISCA 2025: %.0f",
                   table_toks_day / table_gpus / 86400);
    mk_sheet_value(&s, "pre-training on 2048", v.pretrain / table_gpus / 24, MK_UNIT_DAYS, NULL);
    mk_sheet_value(&s, "share in context extension", h.mfu * v.context / published_context,
                   MK_UNIT_SHARE, "if all of its published hours were these steps");
    mk_sheet_end(&s);
}
