/* Activations and vectors.  What scalar defines exactly (quant_x8, f32_bf16, f32_f16, rope) has
 * the same operations in the same order here; sums are kept in double. */
#include "base/half.h"
#include "kernels/avx2/int_avx2.h"
#include "kernels/avx2/int_vec.h"
#include "kernels/kernels.h"

#include <math.h>

/* ---- activations ---------------------------------------------------------- */

static float hmax(__m256 v)
{
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

/* Of 32 values.  max gives its second operand when one is a NaN, so a NaN counts as nothing. */
INLINE float abs_max(const float *x)
{
    const __m256 abs = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
    __m256 a = _mm256_setzero_ps();
    UNROLL
    for (int i = 0; i < 32; i += 8)
        a = _mm256_max_ps(_mm256_and_ps(_mm256_loadu_ps(x + i), abs), a);
    return hmax(a);
}

/* Eight values to -127..127; a NaN becomes -127, again by the rule of max. */
INLINE __m256i round8(const float *x, __m256 inv)
{
    const __m256 lim = _mm256_set1_ps(127.0f);
    __m256 v = _mm256_round_ps(_mm256_mul_ps(_mm256_loadu_ps(x), inv), MK_NEAREST);
    v = _mm256_min_ps(_mm256_max_ps(v, _mm256_set1_ps(-127.0f)), lim);
    return _mm256_cvtps_epi32(v);
}

/* 32 values; the packs work in 128-bit halves, the permutation puts groups of 4 back. */
INLINE void quant32(int8_t *q, int16_t *sum, const float *x, __m256 inv)
{
    const __m256i a = _mm256_packs_epi32(round8(x, inv), round8(x + 8, inv));
    const __m256i b = _mm256_packs_epi32(round8(x + 16, inv), round8(x + 24, inv));
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    const __m256i v = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(a, b), order);
    _mm256_storeu_si256((void *)q, v);
    __m256i t = _mm256_maddubs_epi16(_mm256_set1_epi8(1), v);
    t = _mm256_madd_epi16(t, _mm256_set1_epi16(1)); /* four numbers for each 16 */
    t = _mm256_add_epi32(t, _mm256_shuffle_epi32(t, 0x4e));
    t = _mm256_add_epi32(t, _mm256_shuffle_epi32(t, 0xb1));
    sum[0] = (int16_t)_mm256_extract_epi16(t, 0);
    sum[1] = (int16_t)_mm256_extract_epi16(t, 8);
}

static void quant_x8(int8_t *q, float *s, int16_t *sum, const float *x, size_t n)
{
    for (size_t g = 0; g < n; g += 32) {
        const float amax = abs_max(x + g);
        const __m256 inv = _mm256_set1_ps(amax > 0.0f ? 127.0f / amax : 0.0f);
        s[g / 32] = amax / 127.0f;
        quant32(q + g, sum + g / 16, x + g, inv);
    }
}

INLINE __m256i bf16_of(const float *x)
{
    const __m256i u = _mm256_loadu_si256((const void *)x), one = _mm256_set1_epi32(1);
    const __m256i high = _mm256_srli_epi32(u, 16);
    const __m256i mag = _mm256_and_si256(u, _mm256_set1_epi32(0x7fffffff));
    const __m256i is_nan = _mm256_cmpgt_epi32(mag, _mm256_set1_epi32(0x7f800000));
    const __m256i half = _mm256_add_epi32(_mm256_set1_epi32(0x7fff), _mm256_and_si256(high, one));
    const __m256i number = _mm256_srli_epi32(_mm256_add_epi32(u, half), 16);
    const __m256i quiet = _mm256_or_si256(high, _mm256_set1_epi32(0x40));
    return _mm256_blendv_epi8(number, quiet, is_nan);
}

static void f32_bf16(uint16_t *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const __m256i v = _mm256_packus_epi32(bf16_of(x + i), bf16_of(x + i + 8));
        _mm256_storeu_si256((void *)(y + i), _mm256_permute4x64_epi64(v, 0xd8));
    }
    for (; i < n; i++) y[i] = mk_f32_bf16(x[i]);
}

/* NaN, the second operand of both comparisons, stays. */
static void f32_f16(uint16_t *y, const float *x, size_t n)
{
    const __m256 low = _mm256_set1_ps(-65504.0f), high = _mm256_set1_ps(65504.0f);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256 f = _mm256_max_ps(low, _mm256_min_ps(high, _mm256_loadu_ps(x + i)));
        _mm_storeu_si128((void *)(y + i), _mm256_cvtps_ph(f, 0));
    }
    for (; i < n; i++) y[i] = mk_f32_f16_finite(x[i]);
}

/* ---- exp ------------------------------------------------------------------ */

INLINE __m256d add_halves(__m256d sum, __m256 v)
{
    sum = _mm256_add_pd(sum, _mm256_cvtps_pd(_mm256_castps256_ps128(v)));
    return _mm256_add_pd(sum, _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1)));
}

static float exp_sum(float *x, size_t n, float max)
{
    const __m256 m = _mm256_set1_ps(max);
    __m256d sum = _mm256_setzero_pd();
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256 e = mk_exp8(_mm256_sub_ps(_mm256_loadu_ps(x + i), m));
        _mm256_storeu_ps(x + i, e);
        sum = add_halves(sum, e);
    }
    if (i < n) {
        const __m256i mask = mk_first8(n - i);
        const __m256 e = mk_exp8(_mm256_sub_ps(_mm256_maskload_ps(x + i, mask), m));
        _mm256_maskstore_ps(x + i, mask, e);
        sum = add_halves(sum, _mm256_and_ps(e, _mm256_castsi256_ps(mask)));
    }
    return (float)mk_sum4(sum);
}

INLINE __m256 silu8(__m256 g, __m256 u)
{
    const __m256 e = mk_exp8(_mm256_xor_ps(g, _mm256_set1_ps(-0.0f)));
    return _mm256_mul_ps(_mm256_div_ps(g, _mm256_add_ps(_mm256_set1_ps(1.0f), e)), u);
}

static void silu_mul(float *y, const float *gate, const float *up, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, silu8(_mm256_loadu_ps(gate + i), _mm256_loadu_ps(up + i)));
    if (i == n) return;
    const __m256i mask = mk_first8(n - i);
    const __m256 g = _mm256_maskload_ps(gate + i, mask), u = _mm256_maskload_ps(up + i, mask);
    _mm256_maskstore_ps(y + i, mask, silu8(g, u));
}

/* ---- vectors -------------------------------------------------------------- */

INLINE __m256d add_squares(__m256d sum, __m128 v)
{
    const __m256d d = _mm256_cvtps_pd(v);
    return _mm256_fmadd_pd(d, d, sum);
}

static void rmsnorm(float *y, const float *x, const float *w, size_t n, float eps)
{
    __m256d a = _mm256_setzero_pd(), b = a, c = a, d = a;
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        a = add_squares(a, _mm_loadu_ps(x + i));
        b = add_squares(b, _mm_loadu_ps(x + i + 4));
        c = add_squares(c, _mm_loadu_ps(x + i + 8));
        d = add_squares(d, _mm_loadu_ps(x + i + 12));
    }
    double ss = mk_sum4(_mm256_add_pd(_mm256_add_pd(a, b), _mm256_add_pd(c, d)));
    for (; i < n; i++) ss += (double)x[i] * (double)x[i];
    const float r = 1.0f / sqrtf((float)(ss / (double)n) + eps);
    const __m256 rv = _mm256_set1_ps(r);
    for (i = 0; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, _mm256_mul_ps(_mm256_mul_ps(_mm256_loadu_ps(x + i), rv),
                                              _mm256_loadu_ps(w + i)));
    for (; i < n; i++) y[i] = x[i] * r * w[i];
}

/* Four pairs: even lanes a c - b s, odd lanes b c + a s. */
static void rope_pairs(float *x, const float *cs, size_t n_pair)
{
    size_t i = 0;
    for (; i + 4 <= n_pair; i += 4) {
        const __m256 v = _mm256_loadu_ps(x + 2 * i), t = _mm256_loadu_ps(cs + 2 * i);
        const __m256 vc = _mm256_mul_ps(v, _mm256_moveldup_ps(t));
        const __m256 vs = _mm256_mul_ps(_mm256_permute_ps(v, 0xb1), _mm256_movehdup_ps(t));
        _mm256_storeu_ps(x + 2 * i, _mm256_addsub_ps(vc, vs));
    }
    for (; i < n_pair; i++) {
        const float a = x[2 * i], b = x[2 * i + 1], c = cs[2 * i], s = cs[2 * i + 1];
        x[2 * i] = a * c - b * s;
        x[2 * i + 1] = a * s + b * c;
    }
}

static void rope_halves(float *x, const float *cs, size_t n_pair)
{
    float *x2 = x + n_pair;
    size_t i = 0;
    for (; i + 8 <= n_pair; i += 8) {
        const __m256 t = _mm256_loadu_ps(cs + 2 * i), u = _mm256_loadu_ps(cs + 2 * i + 8);
        const __m256 lo = _mm256_permute2f128_ps(t, u, 0x20),
                     hi = _mm256_permute2f128_ps(t, u, 0x31);
        const __m256 c = _mm256_shuffle_ps(lo, hi, 0x88), s = _mm256_shuffle_ps(lo, hi, 0xdd);
        const __m256 a = _mm256_loadu_ps(x + i), b = _mm256_loadu_ps(x2 + i);
        _mm256_storeu_ps(x + i, _mm256_sub_ps(_mm256_mul_ps(a, c), _mm256_mul_ps(b, s)));
        _mm256_storeu_ps(x2 + i, _mm256_add_ps(_mm256_mul_ps(a, s), _mm256_mul_ps(b, c)));
    }
    for (; i < n_pair; i++) {
        const float a = x[i], b = x2[i], c = cs[2 * i], s = cs[2 * i + 1];
        x[i] = a * c - b * s;
        x2[i] = a * s + b * c;
    }
}

static float max(const float *x, size_t n)
{
    __m256 a = _mm256_set1_ps(-INFINITY), b = a, c = a, d = a;
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        a = _mm256_max_ps(_mm256_loadu_ps(x + i), a);
        b = _mm256_max_ps(_mm256_loadu_ps(x + i + 8), b);
        c = _mm256_max_ps(_mm256_loadu_ps(x + i + 16), c);
        d = _mm256_max_ps(_mm256_loadu_ps(x + i + 24), d);
    }
    float m = hmax(_mm256_max_ps(_mm256_max_ps(a, b), _mm256_max_ps(c, d)));
    for (; i < n; i++) m = x[i] > m ? x[i] : m;
    return m;
}

static void axpy(float *y, float a, const float *x, size_t n)
{
    const __m256 va = _mm256_set1_ps(a);
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i,
                         _mm256_fmadd_ps(va, _mm256_loadu_ps(x + i), _mm256_loadu_ps(y + i)));
    for (; i < n; i++) y[i] = fmaf(a, x[i], y[i]);
}

static void scale(float *x, float a, size_t n)
{
    const __m256 va = _mm256_set1_ps(a);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) _mm256_storeu_ps(x + i, _mm256_mul_ps(_mm256_loadu_ps(x + i), va));
    for (; i < n; i++) x[i] *= a;
}

void mk_avx2_vec(struct mk_kernels *k)
{
    k->quant_x8 = quant_x8;
    k->f32_bf16 = f32_bf16;
    k->f32_f16 = f32_f16;
    k->rmsnorm = rmsnorm;
    k->rope_pairs = rope_pairs;
    k->rope_halves = rope_halves;
    k->silu_mul = silu_mul;
    k->exp_sum = exp_sum;
    k->max = max;
    k->axpy = axpy;
    k->scale = scale;
}
