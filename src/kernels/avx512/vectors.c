/* Norms, rotations, activation functions, softmax. */
#include "int_avx512.h"

/* Squares and exponentials are summed in double, as scalar does: long contexts have
 * a hundred thousand terms. */
struct sum64 {
    __m512d lo, hi;
};
INLINE __m512d low_pd(__m512 v) { return _mm512_cvtps_pd(_mm512_castps512_ps256(v)); }
INLINE __m512d high_pd(__m512 v) { return _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1)); }
INLINE double total(const struct sum64 *s)
{
    return _mm512_reduce_add_pd(_mm512_add_pd(s->lo, s->hi));
}

static void rmsnorm(float *y, const float *x, const float *w, size_t n, float eps)
{
    struct sum64 s = {_mm512_setzero_pd(), _mm512_setzero_pd()};
    for (size_t i = 0; i < n; i += 16) {
        const __m512 v = _mm512_maskz_loadu_ps(mk_tail(i, n), x + i);
        const __m512d lo = low_pd(v), hi = high_pd(v);
        s.lo = _mm512_fmadd_pd(lo, lo, s.lo);
        s.hi = _mm512_fmadd_pd(hi, hi, s.hi);
    }
    const __m512 r = _mm512_set1_ps(1.0f / sqrtf((float)(total(&s) / (double)n) + eps));
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 k = mk_tail(i, n);
        const __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(k, x + i), r);
        _mm512_mask_storeu_ps(y + i, k, _mm512_mul_ps(v, _mm512_maskz_loadu_ps(k, w + i)));
    }
}

/* (a, b) to (a c - b s, b c + a s) in place: with the pair swapped in v, even lanes
 * subtract and odd ones add. */
static void rope_pairs(float *x, const float *cs, size_t n_pair)
{
    for (size_t i = 0; i < 2 * n_pair; i += 16) {
        const __mmask16 k = mk_tail(i, 2 * n_pair);
        const __m512 u = _mm512_maskz_loadu_ps(k, x + i), t = _mm512_maskz_loadu_ps(k, cs + i);
        const __m512 v = _mm512_permute_ps(u, 0xb1);
        const __m512 uc = _mm512_mul_ps(u, _mm512_moveldup_ps(t));
        const __m512 vs = _mm512_mul_ps(v, _mm512_movehdup_ps(t));
        const __m512 r = _mm512_mask_sub_ps(_mm512_add_ps(vs, uc), 0x5555, uc, vs);
        _mm512_mask_storeu_ps(x + i, k, r);
    }
}

static void rope_halves(float *x, const float *cs, size_t n_pair)
{
    const __m512i even =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_or_si512(even, _mm512_set1_epi32(1));
    for (size_t i = 0; i < n_pair; i += 16) {
        const __mmask16 k = mk_tail(i, n_pair);
        const size_t two = 2 * n_pair;
        const __m512 t0 = _mm512_maskz_loadu_ps(mk_tail(2 * i, two), cs + 2 * i);
        const __m512 t1 = 2 * i + 16 < two
                              ? _mm512_maskz_loadu_ps(mk_tail(2 * i + 16, two), cs + 2 * i + 16)
                              : _mm512_setzero_ps();
        const __m512 c = _mm512_permutex2var_ps(t0, even, t1);
        const __m512 s = _mm512_permutex2var_ps(t0, odd, t1);
        const __m512 a = _mm512_maskz_loadu_ps(k, x + i);
        const __m512 b = _mm512_maskz_loadu_ps(k, x + n_pair + i);
        _mm512_mask_storeu_ps(x + i, k, _mm512_sub_ps(_mm512_mul_ps(a, c), _mm512_mul_ps(b, s)));
        _mm512_mask_storeu_ps(x + n_pair + i, k,
                              _mm512_add_ps(_mm512_mul_ps(a, s), _mm512_mul_ps(b, c)));
    }
}

static void silu_mul(float *y, const float *gate, const float *up, size_t n)
{
    const __m512 one = _mm512_set1_ps(1.0f), zero = _mm512_setzero_ps();
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 k = mk_tail(i, n);
        const __m512 g = _mm512_maskz_loadu_ps(k, gate + i);
        const __m512 e = mk_exp_ps(_mm512_sub_ps(zero, g));
        const __m512 v = _mm512_div_ps(g, _mm512_add_ps(one, e));
        _mm512_mask_storeu_ps(y + i, k, _mm512_mul_ps(v, _mm512_maskz_loadu_ps(k, up + i)));
    }
}

static float exp_sum(float *x, size_t n, float max)
{
    const __m512 m = _mm512_set1_ps(max);
    struct sum64 s = {_mm512_setzero_pd(), _mm512_setzero_pd()};
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 k = mk_tail(i, n);
        const __m512 e =
            _mm512_maskz_mov_ps(k, mk_exp_ps(_mm512_sub_ps(_mm512_maskz_loadu_ps(k, x + i), m)));
        _mm512_mask_storeu_ps(x + i, k, e);
        s.lo = _mm512_add_pd(s.lo, low_pd(e));
        s.hi = _mm512_add_pd(s.hi, high_pd(e));
    }
    return (float)total(&s);
}

static void soften(float *s, size_t ld, const uint32_t *seen, size_t n_row, float *m, float *l,
                   float *fade, size_t n_col)
{
    for (size_t c = 0; c < n_col; c += 16, s += 16) {
        const __mmask16 k = mk_tail(c, n_col);
        const __m512i n = _mm512_maskz_loadu_epi32(k, seen + c);
        const __m512 old = _mm512_maskz_loadu_ps(k, m + c);
        __m512 top = old, sum = _mm512_setzero_ps();
        for (size_t r = 0; r < n_row; r++) { /* the second operand stays where the first is NaN */
            const __mmask16 sees = _mm512_cmpgt_epu32_mask(n, _mm512_set1_epi32((int)r));
            top = _mm512_mask_max_ps(top, sees, _mm512_maskz_loadu_ps(sees, s + r * ld), top);
        }
        for (size_t r = 0; r < n_row; r++) {
            const __mmask16 sees = _mm512_cmpgt_epu32_mask(n, _mm512_set1_epi32((int)r));
            const __m512 v = _mm512_sub_ps(_mm512_maskz_loadu_ps(sees, s + r * ld), top);
            const __m512 e = _mm512_maskz_mov_ps(sees, mk_exp_ps(v));
            _mm512_mask_storeu_ps(s + r * ld, k, e);
            sum = _mm512_add_ps(sum, e);
        }
        const __m512 f = _mm512_mask_mov_ps(_mm512_set1_ps(1.0f), _mm512_test_epi32_mask(n, n),
                                            mk_exp_ps(_mm512_sub_ps(old, top)));
        _mm512_mask_storeu_ps(fade + c, k, f);
        _mm512_mask_storeu_ps(l + c, k, _mm512_fmadd_ps(_mm512_maskz_loadu_ps(k, l + c), f, sum));
        _mm512_mask_storeu_ps(m + c, k, top);
    }
}

static float max(const float *x, size_t n)
{
    const __m512 low = _mm512_set1_ps(-INFINITY);
    __m512 a = low, b = low;
    size_t i = 0;
    for (; i + 32 <= n; i += 32) { /* the second operand stays where the first is NaN */
        a = _mm512_max_ps(_mm512_loadu_ps(x + i), a);
        b = _mm512_max_ps(_mm512_loadu_ps(x + i + 16), b);
    }
    for (; i < n; i += 16) a = _mm512_max_ps(_mm512_mask_loadu_ps(low, mk_tail(i, n), x + i), a);
    return _mm512_reduce_max_ps(_mm512_max_ps(a, b));
}

static void axpy(float *y, float a, const float *x, size_t n)
{
    const __m512 v = _mm512_set1_ps(a);
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 k = mk_tail(i, n);
        const __m512 old = _mm512_maskz_loadu_ps(k, y + i);
        _mm512_mask_storeu_ps(y + i, k, _mm512_fmadd_ps(v, _mm512_maskz_loadu_ps(k, x + i), old));
    }
}

static void scale(float *x, float a, size_t n)
{
    const __m512 v = _mm512_set1_ps(a);
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 k = mk_tail(i, n);
        _mm512_mask_storeu_ps(x + i, k, _mm512_mul_ps(_mm512_maskz_loadu_ps(k, x + i), v));
    }
}

void mk_avx512_vectors(struct mk_kernels *k)
{
    k->rmsnorm = rmsnorm;
    k->rope_pairs = rope_pairs;
    k->rope_halves = rope_halves;
    k->silu_mul = silu_mul;
    k->exp_sum = exp_sum;
    k->soften = soften;
    k->max = max;
    k->axpy = axpy;
    k->scale = scale;
}
