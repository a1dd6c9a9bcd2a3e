/* Rows as they are stored, times one column after another: maddubs makes 16 sums of two products of
 * 32 codes, which madd multiplies with the sub-scales, or with ones, and adds in pairs.  What eight
 * rows come to is then turned into lanes. */
#include "kernels/avx2/int_avx2.h"
#include "kernels/inline.h"
#include "kernels/kernels.h"

#include <immintrin.h>
#include <string.h>

enum { ROWS = 8 };

INLINE __m256i load(const void *p) { return _mm256_loadu_si256(p); }
INLINE __m128i load16(const void *p) { return _mm_loadu_si128(p); }
INLINE __m256i low4(__m256i v) { return _mm256_and_si256(v, _mm256_set1_epi8(15)); }

/* The sums of eight vectors of eight, in order. */
INLINE __m256i sum8(const __m256i v[ROWS])
{
    const __m256i a =
        _mm256_hadd_epi32(_mm256_hadd_epi32(v[0], v[1]), _mm256_hadd_epi32(v[2], v[3]));
    const __m256i b =
        _mm256_hadd_epi32(_mm256_hadd_epi32(v[4], v[5]), _mm256_hadd_epi32(v[6], v[7]));
    return _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20),
                            _mm256_permute2x128_si256(a, b, 0x31));
}

/* The floats of 16 bits in the low half of each dword. */
INLINE __m256 halves(__m256i v)
{
    const __m256i h = _mm256_and_si256(v, _mm256_set1_epi32(0xffff));
    return _mm256_cvtph_ps(
        _mm_packus_epi32(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1)));
}

/* y = fma(s, d sum, y) */
INLINE __m256 add_block(__m256 y, __m256 d, float s, __m256i sum)
{
    return _mm256_fmadd_ps(_mm256_set1_ps(s), _mm256_mul_ps(d, _mm256_cvtepi32_ps(sum)), y);
}

/* sum + f * (codes . x) for 32 codes below 64 */
INLINE __m256i dot32(__m256i sum, __m256i codes, const int8_t *x, __m256i f)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(codes, load(x)), f));
}

/* ---- q4_0, q8_0 -------------------------------------------------------------------- */

INLINE uint16_t half_at(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE __m256i minus_bias(const int16_t *sum, int bias)
{
    return _mm256_set1_epi32(-bias * (sum[0] + sum[1]));
}

static __m256 block4_0(__m256 y, const uint8_t *b, size_t stride, const int8_t *x, float s,
                       const int16_t *sum)
{
    __m256i v[ROWS];
    uint32_t d[ROWS];
    UNROLL
    for (int r = 0; r < ROWS; r++, b += stride) {
        const __m128i q = load16(b + 2);
        const __m256i codes = low4(_mm256_set_m128i(_mm_srli_epi16(q, 4), q));
        v[r] = dot32(_mm256_setzero_si256(), codes, x, _mm256_set1_epi16(1));
        d[r] = half_at(b);
    }
    return add_block(y, halves(load(d)), s, _mm256_add_epi32(sum8(v), minus_bias(sum, 8)));
}

/* maddubs wants one side without signs: they move to the column. */
static __m256 block8_0(__m256 y, const uint8_t *b, size_t stride, const int8_t *x, float s,
                       const int16_t *sum)
{
    __m256i v[ROWS];
    uint32_t d[ROWS];
    (void)sum;
    UNROLL
    for (int r = 0; r < ROWS; r++, b += stride) {
        const __m256i q = load(b + 2);
        const __m256i t = _mm256_maddubs_epi16(_mm256_abs_epi8(q), _mm256_sign_epi8(load(x), q));
        v[r] = _mm256_madd_epi16(t, _mm256_set1_epi16(1));
        d[r] = half_at(b);
    }
    return add_block(y, halves(load(d)), s, sum8(v));
}

/* ---- entries ----------------------------------------------------------------------- */

typedef __m256 block_fn(__m256 y, const uint8_t *b, size_t stride, const int8_t *x, float s,
                        const int16_t *sum);

INLINE void gemv(enum mk_type type, float *y, const uint8_t *rows, size_t stride,
                 const struct mk_x8 *x, size_t n_k, size_t n_col, block_fn *block)
{
    const size_t len = mk_quants[type].block_len, bytes = mk_quants[type].block_bytes;
    for (size_t c = 0; c < n_col; c++)
        for (size_t first = 0; first < MK_PANEL_ROWS; first += ROWS) {
            float *out = y + c * MK_PANEL_ROWS + first;
            if (c == 0) mk_touch(rows + first * stride, (ROWS - 1) * stride + n_k / len * bytes);
            __m256 f = _mm256_loadu_ps(out);
            for (size_t g = 0; g < n_k / len; g++)
                f = block(f, rows + first * stride + g * bytes, stride, x->q + c * x->ldq + g * len,
                          x->s[c * x->lds + g], x->sum + c * x->ldsum + g * len / 16);
            _mm256_storeu_ps(out, f);
        }
}

#define GEMV(ID, block)                                                                        \
    static void gemv_##ID(float *y, const uint8_t *rows, size_t stride, const struct mk_x8 *x, \
                          size_t n_k, size_t n_col)                                            \
    {                                                                                          \
        gemv(MK_##ID, y, rows, stride, x, n_k, n_col, block);                                  \
    }
GEMV(Q4_0, block4_0)
GEMV(Q8_0, block8_0)

void mk_avx2_gemv(struct mk_kernels *k)
{
    memset(k->gemv_f32, 0, sizeof k->gemv_f32);
    memset(k->gemv, 0, sizeof k->gemv); /* the other types' scalar code is slower than panels */
    k->gemv[MK_Q4_0] = gemv_Q4_0;
    k->gemv[MK_Q8_0] = gemv_Q8_0;
}
