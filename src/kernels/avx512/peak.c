/* As many multiply-adds as the registers allow: what products are measured against. */
#include "int_avx512.h"

enum { N_ACC = 16 }; /* 4 cycles of latency on 2 ports need 8 */

/* Nothing may be known of v, or the loop would be computed by the compiler. */
#define OPAQUE(v) __asm__ volatile("" : "+v"(v))

static uint64_t peak_i8(size_t n_iter)
{
    __m512i a[N_ACC], x = _mm512_set1_epi8(1), y = x;
    UNROLL
    for (int j = 0; j < N_ACC; j++) a[j] = _mm512_setzero_si512();
    OPAQUE(x);
    OPAQUE(y);
    for (size_t i = 0; i < n_iter; i++) {
        UNROLL
        for (int j = 0; j < N_ACC; j++) {
            a[j] = _mm512_dpbusd_epi32(a[j], x, y);
            OPAQUE(a[j]);
        }
    }
    return (uint64_t)n_iter * N_ACC * 64;
}

static uint64_t peak_f32(size_t n_iter)
{
    __m512 a[N_ACC], x = _mm512_set1_ps(0.5f), y = x;
    UNROLL
    for (int j = 0; j < N_ACC; j++) a[j] = _mm512_setzero_ps();
    OPAQUE(x);
    OPAQUE(y);
    for (size_t i = 0; i < n_iter; i++) {
        UNROLL
        for (int j = 0; j < N_ACC; j++) {
            a[j] = _mm512_fmadd_ps(x, y, a[j]);
            OPAQUE(a[j]);
        }
    }
    return (uint64_t)n_iter * N_ACC * 16;
}

void mk_avx512_peak(struct mk_kernels *k)
{
    k->peak_i8 = peak_i8;
    k->peak_f32 = peak_f32;
    k->peak_bf16 = peak_f32;
}
