/* As many multiply-adds as the registers allow: what products are measured against. */
#include "kernels/inline.h"
#include "kernels/kernels.h"
#include "kernels/neon/int_neon.h"

#include <arm_neon.h>

enum { N_ACC = 16 }; /* 4 cycles of latency on up to 4 ports */

/* Nothing may be known of v, or the loop would be computed by the compiler. */
#define OPAQUE(v) __asm__ volatile("" : "+w"(v))

/* Without a dot product of bytes: 8 products, summed in 16 bits for as long as they fit. */
static uint64_t peak_i8(size_t n_iter)
{
    int16x8_t a[N_ACC];
    int8x8_t x = vdup_n_s8(1), y = x;
    UNROLL
    for (int j = 0; j < N_ACC; j++) a[j] = vdupq_n_s16(0);
    OPAQUE(x);
    OPAQUE(y);
    for (size_t i = 0; i < n_iter; i++) {
        UNROLL
        for (int j = 0; j < N_ACC; j++) {
            a[j] = vmlal_s8(a[j], x, y);
            OPAQUE(a[j]);
        }
    }
    return (uint64_t)n_iter * N_ACC * 8;
}

static uint64_t peak_f32(size_t n_iter)
{
    float32x4_t a[N_ACC], x = vdupq_n_f32(0.5f), y = x;
    UNROLL
    for (int j = 0; j < N_ACC; j++) a[j] = vdupq_n_f32(0);
    OPAQUE(x);
    OPAQUE(y);
    for (size_t i = 0; i < n_iter; i++) {
        UNROLL
        for (int j = 0; j < N_ACC; j++) {
            a[j] = vfmaq_f32(a[j], x, y);
            OPAQUE(a[j]);
        }
    }
    return (uint64_t)n_iter * N_ACC * 4;
}

void mk_neon_peak(struct mk_kernels *k)
{
    k->peak_i8 = peak_i8;
    k->peak_f32 = peak_f32;
    k->peak_bf16 = peak_f32;
}
