#ifndef MK_TRAIN_OPTIM_H
#define MK_TRAIN_OPTIM_H
/* From gradients to new parameters.
 *
 * AdamW (Loshchilov and Hutter 2019) for everything, or Muon (Jordan 2024; DeepSeek-V4,
 * algorithm 1) for matrices and AdamW for embeddings, head and vectors:
 *   M = mu M + G;  O = NS(mu M + G) sqrt(max(rows, cols)) 0.18;  W = W (1 - lr wd) - lr O
 * NS: five Newton-Schulz iterations on M / |M|_F.  Weight decay spares vectors.
 * Everything is deterministic and independent of the number of threads. */
#include "tensor/params.h"

enum mk_optim_kind { MK_ADAMW, MK_MUON };

struct mk_optim_options {
    enum mk_optim_kind kind;
    double beta1, beta2, eps, decay; /* AdamW; decay also for Muon */
    double momentum;                 /* Muon's mu */
    double muon_lr;                  /* Muon's rate as a multiple of lr (1 with the 0.18 scaling) */
    double clip;                     /* largest norm of all gradients together; 0: none */
    bool is_bf16;                    /* Muon's products in bf16 */
};
/* beta 0.9, 0.95, eps 1e-8, decay 0.1, mu 0.95, muon_lr 1, clip 1 (DeepSeek-V3 section 4.2). */
struct mk_optim_options mk_optim_defaults(void);
const char *mk_optim_name(enum mk_optim_kind kind); /* "adamw", "muon" */

struct mk_optim { /* zeroed is valid and empty */
    struct mk_optim_options o;
    float *m, *v; /* [n] first and second moment, placed like the parameters */
    size_t n;
    uint64_t n_step;
    struct mk_optim_plan *plan; /* how the work is cut into pieces */
};
/* p is complete: a parameter that is added later has no moments.  Options that make no sense fail
 * (MK_EUSAGE), naming the option. */
bool mk_optim_init(struct mk_optim *opt, const struct mk_optim_options *o,
                   const struct mk_params *p, struct mk_err *err) MK_CHECKED;
void mk_optim_release(struct mk_optim *opt);
/* Which moments a parameter has. */
static inline bool mk_optim_has_m(const struct mk_param *p) { return p->kind != MK_PARAM_STATE; }
static inline bool mk_optim_has_v(const struct mk_optim *opt, const struct mk_param *p)
{
    return mk_optim_has_m(p) && (opt->o.kind == MK_ADAMW || p->kind != MK_PARAM_MATRIX);
}
/* One step with the gradients times scale, clipped; *norm is their norm after scale and before
 * clipping.  When it is not finite nothing changes and it fails (MK_EFORMAT), naming the first
 * parameter with such a gradient.  MK_PARAM_STATE is left alone.  The bf16 forms of matrices
 * are the caller's to remake (mk_params_pack). */
bool mk_optim_step(struct mk_optim *opt, struct mk_work *wk, struct mk_params *p, double lr,
                   double scale, double *norm, struct mk_err *err) MK_CHECKED;

/* The learning rate over steps.  done is how much of the run is over, 0..1, by steps or by
 * time; what it gives is multiplied by (step + 1) / n_warmup in the first n_warmup steps.
 *   constant   lr
 *   cosine     half a cosine from lr to end * lr
 *   linear     straight from lr to end * lr
 *   wsd        lr, then half a cosine to end * lr over the last `tail` share (V3 section 4.2) */
enum mk_schedule_kind { MK_LR_CONSTANT, MK_LR_COSINE, MK_LR_LINEAR, MK_LR_WSD };
struct mk_schedule {
    enum mk_schedule_kind kind;
    double lr, end, tail;
    uint64_t n_warmup;
};
/* step counts from 0. */
double mk_schedule_lr(const struct mk_schedule *s, uint64_t step, double done);
#endif
