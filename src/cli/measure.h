#ifndef MK_CLI_MEASURE_H
#define MK_CLI_MEASURE_H
/* What this machine can do at most, with a given number of threads. */
#include "base/str.h"
#include "base/thread.h"
#include "kernels/kernels.h"

/* Per second, all threads together. */
struct mk_ceiling {
    double read_bytes;
    double i8_mac, f32_mac, bf16_mac; /* multiply-adds on registers alone */
    double mul_i8, mul_f32; /* of the real product kernels on operands in the first cache */
};
/* Takes about a second; the best of several runs. */
struct mk_ceiling mk_measure(struct mk_pool *pool, const struct mk_kernels *k);
/* One of peak_i8, peak_f32 and peak_bf16, which count multiply-adds. */
double mk_measure_peak(struct mk_pool *pool, uint64_t (*fn)(size_t n_iter));
/* read_bytes alone: in order, or in eight streams side by side in each thread where that is faster.
 */
double mk_measure_read(struct mk_pool *pool);
/* The processor's name for people, "" if unknown. */
void mk_cpu_model(struct mk_str *out);
#endif
