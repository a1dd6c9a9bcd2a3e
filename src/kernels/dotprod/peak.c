#include "kernels/inline.h"
#include "kernels/kernels.h"
#include "kernels/neon/int_neon.h"

#include <arm_neon.h>

enum { N_ACC = 16 };
#define OPAQUE(v) __asm__ volatile("" : "+w"(v)) /* as in neon/peak.c */

static uint64_t peak_i8(size_t n_iter)
{
    int32x4_t a[N_ACC];
    int8x16_t x = vdupq_n_s8(1), y = x;
    UNROLL
    for (int j = 0; j < N_ACC; j++) a[j] = vdupq_n_s32(0);
    OPAQUE(x);
    OPAQUE(y);
    for (size_t i = 0; i < n_iter; i++) {
        UNROLL
        for (int j = 0; j < N_ACC; j++) {
            a[j] = vdotq_s32(a[j], x, y);
            OPAQUE(a[j]);
        }
    }
    return (uint64_t)n_iter * N_ACC * 16;
}

void mk_dotprod_peak(struct mk_kernels *k) { k->peak_i8 = peak_i8; }
