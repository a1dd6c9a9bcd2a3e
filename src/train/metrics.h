#ifndef MK_TRAIN_METRICS_H
#define MK_TRAIN_METRICS_H
/* What a run measures, for people and programs: metrics.jsonl, one object a step, and
 * TensorBoard's event file (TFRecord frames with CRC-32C around protocol buffers).
 *
 *   {"step":12,"time":1790000000.25,"loss":2.5,"lr":0.001}     keys in the order of putting;
 *                                                              null: no number (NaN, infinity)
 *
 * The JSONL is what counts; the event file is made again from it when a run is continued.
 *
 * Names (TRL's where it has one): loss, mtp_loss, balance_loss, grad_norm, lr, toks, toks_per_s,
 * flops_per_s, peak_share, max_vio, seconds, cpu_seconds, joules; rl: reward, reward_std,
 * frac_reward_zero_std, completions/mean_length, completions/clipped_ratio, completions/no_eos,
 * thought_length, rollout_toks_per_s (generated tokens), entropy, kl, clip_ratio,
 * sampling_logp_difference, accuracy/TASK; eval/greedy, eval/sampled, eval/greedy/TASK, ... */
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mk_metrics;
/* Opens or continues the files of a run: what was written for step `from` and later (steps done
 * again after a resume) is cut off, and so is a last line that a kill left unfinished. */
bool mk_metrics_open(struct mk_metrics **out, const char *run, uint64_t from,
                     struct mk_err *err) MK_CHECKED;
/* A value of the coming step; the same name again replaces it. */
void mk_metrics_put(struct mk_metrics *m, const char *name, double value);
/* Writes what was put as step `step` and flushes.  When it fails (a full disk) that step is not
 * in the file and later ones may succeed. */
bool mk_metrics_step(struct mk_metrics *m, uint64_t step, struct mk_err *err) MK_CHECKED;
void mk_metrics_close(struct mk_metrics *m); /* NULL is fine */

/* Warnings of a run that goes wrong, from the values of the last steps:
 *   reward_std 0 for 5 steps              no sample ends (completions/no_eos is 1)
 *   completions/clipped_ratio over 1/2    a loss that is no number
 *   the mean loss of 20 steps is twice the lowest such mean (not in RL, whose loss is about 0)
 *   max_vio over 4                        grad_norm ten times its median of 64 steps
 * Returns the text of a warning that is new, else NULL: call it until then.  One that was given is
 * given again only after its cause was gone for a step.  Valid until the next step. */
const char *mk_metrics_warning(struct mk_metrics *m);

/* ---- reading back (plot, tests) ------------------------------------------------------------- */
struct mk_series { /* one name's values in order of steps; NaN where the file has null */
    char *name;
    double *step, *value;
    size_t n, cap;
};
struct mk_history {         /* zeroed is valid and empty */
    struct mk_series *list; /* all names but "step", in order of appearance */
    size_t n, cap;
};
/* A damaged last line (of a run that is being written) is left out; another is an error. */
bool mk_history_read(struct mk_history *out, const char *run, struct mk_err *err) MK_CHECKED;
void mk_history_release(struct mk_history *h);
const struct mk_series *mk_history_find(const struct mk_history *h, const char *name);
#endif
