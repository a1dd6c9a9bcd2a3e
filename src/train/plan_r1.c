/* What R1's published hours imply about rollouts.
 *
 *   speed of a GPU = answers x mean length / (GPU hours x 3600 x share of time in rollouts)
 *
 * Hours, steps and samples are published; length and share are not, so they are assumptions, and
 * the table shows how the result depends on the length. */
#include "train/int_plan.h"
#include "train/plan.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

/* R1 paper: steps, samples and GPUs from its supplement, hours from table 7 there. */
static const double zero_hours = 101e3, data_hours = 5e3, r1_hours = 41e3;
static const double n_gpus = 512, zero_wall_hours = 198;
static const double n_steps = 10400, n_per_step = 512, steps_per_rollout = 16;
static const double longest_len = 32768;
/* R1 paper, supplement, table 5: samples kept and their mean length. */
static const double kept_toks = 395285.0 * 6094 + 211129.0 * 7436;

struct mk_plan_r1 mk_plan_r1_defaults(void)
{
    return (struct mk_plan_r1){.mean_len = 7000, .share = 0.7};
}

static double zero_toks(const struct mk_plan_r1 *r) { return n_steps * n_per_step * r->mean_len; }

double mk_plan_r1_speed(const struct mk_plan_r1 *r)
{
    return zero_toks(r) / (zero_hours * 3600 * r->share);
}

static const struct mk_plan_hardware *h800(void)
{
    const struct mk_plan_hardware *h = mk_plan_hardware_find("h800");
    assert(h);
    return h;
}

static const struct mk_plan_arch *v3(void)
{
    const struct mk_plan_arch *a = mk_plan_arch_find("deepseek-v3");
    assert(a);
    return a;
}

static void report_published(struct mk_sheet *s)
{
    const double price = h800()->price;
    mk_sheet_section(s, "published", "GPU hours", "cost", NULL);
    const struct {
        const char *name;
        double hours;
    } rows[] = {{"R1-Zero", zero_hours},
                {"data for SFT", data_hours},
                {"R1", r1_hours},
                {"together", zero_hours + data_hours + r1_hours}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        mk_sheet_row(s, rows[i].name, i == 0 ? "R1 supplement, table 7, at %.2f USD an hour" : NULL,
                     price);
        mk_sheet_put(s, rows[i].hours, MK_UNIT_HOURS);
        mk_sheet_put(s, rows[i].hours * price, MK_UNIT_USD);
    }
}

static void report_assumptions(struct mk_sheet *s, const struct mk_plan_r1 *r)
{
    mk_sheet_section(s, "assumptions, R1-Zero", "value", NULL);
    mk_sheet_value(s, "steps", n_steps, MK_UNIT_PLAIN, "R1 supplement");
    mk_sheet_value(s, "samples of a step", n_per_step, MK_UNIT_PLAIN,
                   "32 questions x 16; R1 supplement");
    mk_sheet_value(s, "samples of a rollout", n_per_step * steps_per_rollout, MK_UNIT_PLAIN,
                   "16 steps each; R1 supplement");
    mk_sheet_value(s, "GPUs", n_gpus, MK_UNIT_PLAIN, "64 nodes of 8, about %.0f h; R1 supplement",
                   zero_wall_hours);
    mk_sheet_value(s, "mean length", r->mean_len, MK_UNIT_PLAIN,
                   "assumed: grows about evenly to 10K by step 8K (R1, figure 3), longer after");
    mk_sheet_value(s, "time in rollouts", r->share, MK_UNIT_SHARE,
                   "assumed: 70 to 80 %% is what users of RL frameworks report");
}

static void report_implied(struct mk_sheet *s, const struct mk_plan_r1 *r)
{
    mk_sheet_section(s, "implied, R1-Zero", "value", NULL);
    mk_sheet_value(s, "answers", n_steps * n_per_step, MK_UNIT_COUNT, "steps x samples");
    mk_sheet_value(s, "tokens", zero_toks(r), MK_UNIT_COUNT, "answers x mean length");
    mk_sheet_value(s, "rollout speed of a GPU", mk_plan_r1_speed(r), MK_UNIT_RATE,
                   "tokens / (hours x share)");
    mk_sheet_value(s, "of the cluster", mk_plan_r1_speed(r) * n_gpus, MK_UNIT_RATE, NULL);
    mk_sheet_value(s, "time of a step", zero_hours / n_gpus * 3600 / n_steps, MK_UNIT_SECONDS,
                   "hours / GPUs / steps");
    mk_sheet_value(s, "tokens for a dollar", zero_toks(r) / (zero_hours * h800()->price),
                   MK_UNIT_COUNT, "rollout and update");
    mk_sheet_section(s, "by mean length", "tokens", "speed of GPU", NULL);
    for (double len = 4000; len <= 16000; len *= 2) {
        const struct mk_plan_r1 other = {len, r->share};
        char label[32];
        snprintf(label, sizeof label, "%.0f", len);
        mk_sheet_row(s, label, NULL);
        mk_sheet_put(s, zero_toks(&other), MK_UNIT_COUNT);
        mk_sheet_put(s, mk_plan_r1_speed(&other), MK_UNIT_RATE);
    }
}

/* The updates' arithmetic: the policy forward and backward, old policy and reference forward. */
static double update_hours(const struct mk_plan_r1 *r)
{
    const struct mk_plan_hardware *h = h800();
    struct mk_plan_arch a = *v3();
    a.n_mtp = 0;
    const double flops =
        mk_plan_train_flops(&a, r->mean_len) + 2 * mk_plan_forward_flops(&a, r->mean_len);
    return zero_toks(r) * flops / (h->flops * h->mfu) / 3600;
}

static void report_checks(struct mk_sheet *s, const struct mk_plan_r1 *r)
{
    const struct mk_plan_hardware *h = h800();
    const struct mk_plan_arch *a = v3();
    const double n_engine = 8 * ceil(mk_plan_params(a) / (0.9 * h->memory) / 8);
    const double n_seq = n_per_step * steps_per_rollout / n_gpus * n_engine;
    const struct mk_plan_reads b = mk_plan_reads(a, n_seq, r->mean_len / 2, 1, 2);
    const double pass = (b.weights + b.kv) / (n_engine * h->bandwidth);
    const double most = n_seq / pass / n_engine;
    const double time = zero_hours / n_gpus * 3600 / (n_steps / steps_per_rollout) * r->share;
    mk_sheet_section(s, "is that plausible?", "value", NULL);
    mk_sheet_value(s, "GPUs of an engine", n_engine, MK_UNIT_PLAIN,
                   "assumed: the fewest nodes of 8 that hold the 8-bit weights in 90 %% of memory");
    mk_sheet_value(s, "answers at once in it", n_seq, MK_UNIT_PLAIN,
                   "the whole rollout of %.0f in flight", n_per_step * steps_per_rollout);
    mk_sheet_value(s, "memory allows", most, MK_UNIT_RATE,
                   "a GPU; reads all touched weights and half-grown contexts once a token");
    mk_sheet_value(s, "implied share of that", mk_plan_r1_speed(r) / most, MK_UNIT_SHARE, NULL);
    mk_sheet_value(s, "time of a rollout", time, MK_UNIT_SECONDS, "its share of 16 steps");
    mk_sheet_value(s, "longest answer takes", longest_len * pass, MK_UNIT_SECONDS,
                   "%.0f tokens in a row at that speed: answers of all lengths wait for these",
                   longest_len);
    mk_sheet_value(s, "updates, arithmetic", update_hours(r), MK_UNIT_HOURS,
                   "update, old policy, reference at %.1f %% of peak: %.0f %% of the hours",
                   100 * h->mfu, 100 * update_hours(r) / zero_hours);
    mk_sheet_value(s, "SFT data, at least", kept_toks / (data_hours * 3600), MK_UNIT_RATE,
                   "a GPU: kept math and code samples alone (table 5) in its %.0f hours",
                   data_hours);
    mk_sheet_value(s, "R1 at Zero's speed", floor(r1_hours / zero_hours * n_steps), MK_UNIT_PLAIN,
                   "steps of the same size in its hours");
}

void mk_plan_r1_report(struct mk_str *out, const struct mk_plan_r1 *r, bool is_json)
{
    struct mk_sheet s;
    mk_sheet_begin(&s, out, is_json);
    report_published(&s);
    report_assumptions(&s, r);
    report_implied(&s, r);
    report_checks(&s, r);
    mk_sheet_end(&s);
}
