/* As many multiply-adds as the registers allow: what products are measured against. */
#include "kernels/avx2/int_avx2.h"
#include "kernels/inline.h"
#include "kernels/kernels.h"

#include <immintrin.h>

enum { N_ACC = 12 }; /* 4 or 5 cycles of latency on 2 ports need 10 */

/* Nothing may be known of v, or the loop would be computed by the compiler. */
#define OPAQUE(v) __asm__ volatile("" : "+x"(v))

/* Without a dot product of bytes: pairs of products, summed in 16 bits for as long as they
 * fit, which is what an instruction more to widen them is shared by. */
static uint64_t peak_i8(size_t n_iter)
{
    __m256i a[N_ACC], x = _mm256_set1_epi8(1), y = x;
    UNROLL
    for (int j = 0; j < N_ACC; j++) a[j] = _mm256_setzero_si256();
    for (size_t i = 0; i < n_iter; i++) {
        UNROLL
        for (int j = 0; j < N_ACC; j++) {
            OPAQUE(x);
            a[j] = _mm256_add_epi16(a[j], _mm256_maddubs_epi16(x, y));
            OPAQUE(a[j]);
        }
    }
    return (uint64_t)n_iter * N_ACC * 32;
}

static uint64_t peak_f32(size_t n_iter)
{
    __m256 a[N_ACC], x = _mm256_set1_ps(0.5f), y = x;
    UNROLL
    for (int j = 0; j < N_ACC; j++) a[j] = _mm256_setzero_ps();
    OPAQUE(x);
    OPAQUE(y);
    for (size_t i = 0; i < n_iter; i++) {
        UNROLL
        for (int j = 0; j < N_ACC; j++) {
            a[j] = _mm256_fmadd_ps(x, y, a[j]);
            OPAQUE(a[j]);
        }
    }
    return (uint64_t)n_iter * N_ACC * 8;
}

void mk_avx2_peak(struct mk_kernels *k)
{
    k->peak_i8 = peak_i8;
    k->peak_f32 = peak_f32;
    k->peak_bf16 = peak_f32;
}
