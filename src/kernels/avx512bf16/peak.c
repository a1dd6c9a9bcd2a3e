/* As many multiply-adds as the registers allow: what products are measured against. */
#include "int_avx512bf16.h"

#include <immintrin.h>

enum { N_ACC = 24 }; /* the tile of mul_bf16.c */

/* Nothing may be known of v, or the loop would be computed by the compiler. */
#define OPAQUE(v) __asm__ volatile("" : "+v"(v))

uint64_t mk_avx512bf16_peak_bf16(size_t n_iter)
{
    __m512 a[N_ACC];
    __m512i x = _mm512_set1_epi16(0x3f00), y = x;
    UNROLL
    for (int j = 0; j < N_ACC; j++) a[j] = _mm512_setzero_ps();
    OPAQUE(x);
    OPAQUE(y);
    for (size_t i = 0; i < n_iter; i++) {
        UNROLL
        for (int j = 0; j < N_ACC; j++) {
            a[j] = _mm512_dpbf16_ps(a[j], (__m512bh)x, (__m512bh)y);
            OPAQUE(a[j]);
        }
    }
    return (uint64_t)n_iter * N_ACC * 32;
}
