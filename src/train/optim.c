/* AdamW in pieces, and what every optimizer needs first: the norm of all gradients.
 *
 * Pieces are cut once, by the parameters' sizes.  The norm is the sum of the pieces' sums in
 * their order, so it has the same bits however many threads made them. */
#include "train/optim.h"

#include "train/int_optim.h"

#include <math.h>
#include <stdlib.h>

struct mk_optim_options mk_optim_defaults(void)
{
    return (struct mk_optim_options){.kind = MK_ADAMW,
                                     .beta1 = 0.9,
                                     .beta2 = 0.95,
                                     .eps = 1e-8,
                                     .decay = 0.1,
                                     .momentum = 0.95,
                                     .muon_lr = 1.0,
                                     .clip = 1.0};
}

const char *mk_optim_name(enum mk_optim_kind kind) { return kind == MK_MUON ? "muon" : "adamw"; }

/* Limits are those of 32-bit floats: 1 - beta and eps must not vanish in them. */
static bool check_options(const struct mk_optim_options *o, struct mk_err *err)
{
    const struct {
        const char *name;
        double value, lo, hi;
    } list[] = {{"beta1", o->beta1, 0, 0.99999},     {"beta2", o->beta2, 0, 0.99999},
                {"eps", o->eps, 1e-30, 1},           {"decay", o->decay, 0, 1000},
                {"momentum", o->momentum, 0, 0.999}, {"muon_lr", o->muon_lr, 0, 1e6},
                {"clip", o->clip, 0, 1e15}};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (!(list[i].value >= list[i].lo && list[i].value <= list[i].hi))
            return mk_fail(err, MK_EUSAGE, "optimizer: %s is %g, want %g to %g", list[i].name,
                           list[i].value, list[i].lo, list[i].hi);
    return true;
}

static struct mk_optim_plan *make_plan(enum mk_optim_kind kind, const struct mk_params *p)
{
    struct mk_optim_plan *plan = mk_alloc(sizeof *plan);
    size_t n = 0;
    for (size_t i = 0; i < p->n_list; i++) n += mk_param_values(&p->list[i]) / MK_PIECE + 1;
    plan->pieces = mk_calloc(n, sizeof *plan->pieces);
    for (size_t i = 0; i < p->n_list; i++) {
        const struct mk_param *q = &p->list[i];
        const size_t n_values = q->kind == MK_PARAM_STATE ? 0 : mk_param_values(q);
        for (size_t at = 0; at < n_values; at += MK_PIECE)
            plan->pieces[plan->n_pieces++] =
                (struct mk_piece){.param = i,
                                  .at = q->at + at,
                                  .n = n_values - at < MK_PIECE ? n_values - at : MK_PIECE};
    }
    if (kind == MK_MUON) mk_muon_plan(plan, p);
    return plan;
}

static bool reserve(float **out, size_t n, struct mk_err *err)
{
    void *p;
    if (!mk_reserve_dense(&p, n * sizeof **out, err)) return false;
    *out = p;
    return true;
}

bool mk_optim_init(struct mk_optim *opt, const struct mk_optim_options *o,
                   const struct mk_params *p, struct mk_err *err)
{
    struct mk_optim made = {.o = *o, .n = p->n};
    if (!check_options(o, err)) return false;
    if (!reserve(&made.m, p->n, err) || !reserve(&made.v, p->n, err)) {
        mk_optim_release(&made);
        return false;
    }
    made.plan = make_plan(o->kind, p);
    *opt = made;
    return true;
}

void mk_optim_release(struct mk_optim *opt)
{
    mk_unreserve(opt->m, opt->n * sizeof *opt->m);
    mk_unreserve(opt->v, opt->n * sizeof *opt->v);
    if (opt->plan) {
        free(opt->plan->pieces);
        free(opt->plan->muon);
        free(opt->plan);
    }
    *opt = (struct mk_optim){0};
}

/* ---- the norm --------------------------------------------------------------------------- */

struct job {
    struct mk_optim *opt;
    const struct mk_work *wk;
    struct mk_params *p;
    struct mk_adamw decays, spares; /* matrices; vectors */
};

static void sum_pieces(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    const struct job *j = arg;
    for (size_t i = first; i < last; i++) {
        struct mk_piece *piece = &j->opt->plan->pieces[i];
        piece->sum = j->wk->k.sum_sq(j->p->grad + piece->at, piece->n);
    }
}

static double gradient_norm(struct job *j)
{
    const struct mk_optim_plan *plan = j->opt->plan;
    double sum = 0;
    mk_pool_run(j->wk->pool, plan->n_pieces, 1, sum_pieces, j);
    for (size_t i = 0; i < plan->n_pieces; i++) sum += plan->pieces[i].sum;
    return sqrt(sum);
}

static bool refuse(const struct job *j, double scale, double norm, struct mk_err *err)
{
    const struct mk_optim_plan *plan = j->opt->plan;
    for (size_t i = 0; i < plan->n_pieces; i++) {
        const struct mk_piece *piece = &plan->pieces[i];
        if (isfinite(piece->sum)) continue;
        const struct mk_param *q = &j->p->list[piece->param];
        const float *g = j->p->grad + piece->at;
        size_t at = 0;
        while (at + 1 < piece->n && isfinite(g[at])) at++;
        const size_t n = piece->at - q->at + at;
        return mk_fail(err, MK_EFORMAT, "gradient of %s at [%zu, %zu] is %g", q->name, n / q->cols,
                       n % q->cols, (double)g[at]);
    }
    return mk_fail(err, MK_EFORMAT, "gradients have norm %g after scaling by %g", norm, scale);
}

/* ---- the step --------------------------------------------------------------------------- */

static void move_pieces(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    const struct job *j = arg;
    const struct mk_optim *opt = j->opt;
    for (size_t i = first; i < last; i++) {
        const struct mk_piece *piece = &opt->plan->pieces[i];
        const struct mk_param *q = &j->p->list[piece->param];
        if (!mk_optim_has_v(opt, q)) continue; /* Muon's */
        const size_t at = piece->at;
        j->wk->k.adamw(j->p->v + at, opt->m + at, opt->v + at, j->p->grad + at, piece->n,
                       q->kind == MK_PARAM_VECTOR ? &j->spares : &j->decays);
    }
}

bool mk_optim_step(struct mk_optim *opt, struct mk_work *wk, struct mk_params *p, double lr,
                   double scale, double *norm, struct mk_err *err)
{
    enum { MAX_NORM_LOG2 = 60 }; /* its square is still a 32-bit float */
    const struct mk_optim_options *o = &opt->o;
    struct job job = {.opt = opt, .wk = wk, .p = p};
    if (!(lr >= 0 && lr <= 1e6))
        return mk_fail(err, MK_EUSAGE, "learning rate %g, want 0 to 1e6", lr);
    const double n = gradient_norm(&job) * fabs(scale);
    const double clipped = o->clip > 0 && n > o->clip ? o->clip : n;
    if (!isfinite(n) || clipped > ldexp(1, MAX_NORM_LOG2)) return refuse(&job, scale, n, err);
    if (clipped < n) scale *= o->clip / n;

    const double t = (double)++opt->n_step;
    job.decays = (struct mk_adamw){.beta1 = (float)o->beta1,
                                   .beta2 = (float)o->beta2,
                                   .lr = (float)lr,
                                   .eps = (float)o->eps,
                                   .decay = (float)o->decay,
                                   .scale = (float)scale,
                                   .c1 = (float)(1 / (1 - pow(o->beta1, t))),
                                   .c2 = (float)(1 / (1 - pow(o->beta2, t)))};
    job.spares = job.decays;
    job.spares.decay = 0;
    mk_pool_run(wk->pool, opt->plan->n_pieces, 1, move_pieces, &job);
    if (o->kind == MK_MUON) mk_muon_step(opt, wk, p, lr, scale);
    *norm = n;
    return true;
}
