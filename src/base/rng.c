#include "base/rng.h"

#include <math.h>

double mk_rng_normal(struct mk_rng *r)
{
    const double u = 1.0 - mk_rng_f64(r), v = mk_rng_f64(r); /* u in (0, 1] */
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}
