/* AVX-512 with BF16: Cooper Lake, Sapphire Rapids and Zen 4 onwards.
 *
 * VCVTNEPS2BF16 rounds and treats NaN as mk_f32_bf16 does but takes subnormal
 * numbers for zeros, so vectors that hold one go through integers. */
#include "kernels/isa.h"
#include "kernels/kernels.h"

#include "base/half.h"

#include <immintrin.h>

enum { CLASS_SUBNORMAL = 0x20 };

static void f32_bf16(uint16_t *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const __m512 f = _mm512_loadu_ps(x + i);
        if (__builtin_expect(_mm512_fpclass_ps_mask(f, CLASS_SUBNORMAL), 0))
            for (size_t j = i; j < i + 16; j++) y[j] = mk_f32_bf16(x[j]);
        else
            _mm256_storeu_si256((__m256i *)(y + i), (__m256i)_mm512_cvtneps_pbh(f));
    }
    for (; i < n; i++) y[i] = mk_f32_bf16(x[i]);
}

void mk_kernels_avx512bf16(struct mk_kernels *k) { k->f32_bf16 = f32_bf16; }
