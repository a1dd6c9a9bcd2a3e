/* Learning rates.  Nothing here depends on anything but its arguments, so a run that is
 * resumed goes on with the same rates. */
#include "train/optim.h"

#include <math.h>

/* From 1 at x = 0 to 0 at x = 1 along half a cosine. */
static double half_cosine(double x) { return 0.5 * (1 + cos(M_PI * x)); }

/* How much of the way from end to lr is left. */
static double height(const struct mk_schedule *s, double done)
{
    switch (s->kind) {
    case MK_LR_COSINE:
        return half_cosine(done);
    case MK_LR_LINEAR:
        return 1 - done;
    case MK_LR_WSD:
        return done <= 1 - s->tail ? 1 : half_cosine(1 - (1 - done) / s->tail);
    case MK_LR_CONSTANT:
        break;
    }
    return 1;
}

double mk_schedule_lr(const struct mk_schedule *s, uint64_t step, double done)
{
    const double clamped = done > 0 ? done < 1 ? done : 1 : 0;
    const double lr = s->lr * (s->end + (1 - s->end) * height(s, clamped));
    return step < s->n_warmup ? lr * ((double)step + 1) / (double)s->n_warmup : lr;
}
