/* Rows of the types with blocks of 32 values, eight at a time, times one column after another.  A
 * vector holds 16 bytes of a row and 16 of the fourth row after it, so that sums of four such
 * vectors are those of eight rows, and all that follows is done for these together, as in a panel.
 *
 * Eight rows in turn are eight places of memory, and a processor reads ahead in few and not past
 * the end of a page.  So lines are asked for in the order in which they lie, eight rows before they
 * are used. */
#include "kernels/avx2/int_gemv.h"

enum { ROWS = 8, AHEAD = 2 * 4096 /* bytes, at least */ };

/* Number r of the result is the 16-bit float at b + r * stride.  Each is loaded to where it belongs
 * and with it what lies around it, up to 14 bytes before it in all rows but the first, or behind it
 * in all but the last. */
INLINE __m256 halves(const uint8_t *b, size_t stride)
{
    const uint8_t *e = b + 4 * stride - 8;
    __m128i v = load16(b), w = load16(e);
    stride -= 2;
    v = _mm_blend_epi16(v, load16(b + stride), 1 << 1);
    w = _mm_blend_epi16(w, load16(e + stride), 1 << 5);
    v = _mm_blend_epi16(v, load16(b + 2 * stride), 1 << 2);
    w = _mm_blend_epi16(w, load16(e + 2 * stride), 1 << 6);
    v = _mm_blend_epi16(v, load16(b + 3 * stride), 1 << 3);
    w = _mm_blend_epi16(w, load16(e + 3 * stride), 1 << 7);
    return _mm256_cvtph_ps(_mm_blend_epi16(v, w, 0xf0));
}

/* The sums of eight vectors of eight, in order. */
INLINE __m256i sum8(const __m256i v[ROWS])
{
    const __m256i a = add64(add32(v[0], v[1]), add32(v[2], v[3]));
    const __m256i b = add64(add32(v[4], v[5]), add32(v[6], v[7]));
    return _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20),
                            _mm256_permute2x128_si256(a, b, 0x31));
}

/* y = fma(s, t, y) */
INLINE __m256 add_scaled(__m256 y, float s, __m256 t)
{
    return _mm256_fmadd_ps(_mm256_set1_ps(s), t, y);
}

/* y = fma(s, d (float)sum, y) */
INLINE __m256 add_block(__m256 y, __m256 d, float s, __m256i sum)
{
    return add_scaled(y, s, _mm256_mul_ps(d, _mm256_cvtepi32_ps(sum)));
}

INLINE __m256i splat4(const void *p)
{
    int32_t v;
    memcpy(&v, p, sizeof v);
    return _mm256_set1_epi32(v);
}

/* All 32 products of such codes fit 16 bits. */
INLINE __m256 block4_0(__m256 y, const uint8_t *b, size_t stride, const int8_t *x, const float *s,
                       const int16_t *sum)
{
    const __m256i bias = _mm256_madd_epi16(splat4(sum), _mm256_set1_epi16(-8));
    const __m256i low = both(x), high = both(x + 16);
    __m256i t[4];
    UNROLL
    for (size_t i = 0; i < 4; i++) {
        const __m256i q = two_of(b + 2 + i * stride, stride);
        t[i] = dot2(low4(q), low, high4(q), high);
    }
    const __m256i v = _mm256_madd_epi16(sum4(t), _mm256_set1_epi16(1));
    return add_block(y, halves(b, stride), *s, _mm256_add_epi32(v, bias));
}

/* maddubs wants one side without signs: they move to the column.  Rows are summed at the end, as
 * there is no sign or magnitude to be shared. */
INLINE __m256 block8_0(__m256 y, const uint8_t *b, size_t stride, const int8_t *x, const float *s,
                       const int16_t *sum)
{
    const __m256i xs = load(x);
    __m256i v[ROWS];
    (void)sum;
    UNROLL
    for (size_t r = 0; r < ROWS; r++) {
        const __m256i q = load(b + r * stride + 2);
        const __m256i t = _mm256_maddubs_epi16(_mm256_abs_epi8(q), _mm256_sign_epi8(xs, q));
        v[r] = _mm256_madd_epi16(t, _mm256_set1_epi16(1));
    }
    return add_block(y, halves(b, stride), *s, sum8(v));
}

typedef __m256 block_fn(__m256 y, const uint8_t *b, size_t stride, const int8_t *x, const float *s,
                        const int16_t *sum);

struct form {
    size_t len, bytes; /* of a block; constants, unlike mk_quants */
    block_fn *block;
};

/* Between blocks, by one instruction: scattered among other loads these lines would come later. */
INLINE void ahead(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i += 64) {
        _mm_prefetch((const char *)p + i, _MM_HINT_T0);
        __asm__ volatile("");
    }
}

/* y[8] of one column. */
INLINE __m256 eight(__m256 y, const uint8_t *b, size_t stride, const int8_t *q, const float *s,
                    const int16_t *sum, size_t n, struct form f, size_t by)
{
    const uint8_t *soon = b + by;
    for (size_t g = 0; g < n; g++) {
        if (by) ahead(soon + ROWS * g * f.bytes, ROWS * f.bytes);
        y = f.block(y, b, stride, q, s, sum);
        b += f.bytes, q += f.len, s += f.len / 32, sum += f.len / 16;
    }
    return y;
}

INLINE void gemv(float *y, const uint8_t *rows, size_t stride, const struct mk_x8 *x, size_t n_k,
                 size_t n_col, struct form form)
{
    const size_t n = n_k / form.len, group = ROWS * stride;
    const size_t by = group < AHEAD ? (AHEAD + group - 1) / group * group : group;
    for (size_t i = 0; i < MK_PANEL_ROWS; i += ROWS)
        for (size_t c = 0; c < n_col; c++) {
            float *out = y + c * MK_PANEL_ROWS + i;
            const __m256 f =
                eight(_mm256_loadu_ps(out), rows + i * stride, stride, x->q + c * x->ldq,
                      x->s + c * x->lds, x->sum + c * x->ldsum, n, form, c ? 0 : by);
            _mm256_storeu_ps(out, f);
        }
}

#define GEMV(ID, block, len, bytes)                                                            \
    static void gemv_##ID(float *y, const uint8_t *rows, size_t stride, const struct mk_x8 *x, \
                          size_t n_k, size_t n_col)                                            \
    {                                                                                          \
        gemv(y, rows, stride, x, n_k, n_col, (struct form){len, bytes, block});                \
    }
GEMV(Q4_0, block4_0, 32, 18)
GEMV(Q8_0, block8_0, 32, 34)

void mk_avx2_gemv_s32(struct mk_kernels *k)
{
    k->gemv[MK_Q4_0] = gemv_Q4_0;
    k->gemv[MK_Q8_0] = gemv_Q8_0;
}
