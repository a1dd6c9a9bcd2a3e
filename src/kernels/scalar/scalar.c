/* The definition of every kernel, in plain C.  Slow is fine here, wrong is not. */
#include "int_scalar.h"

#include "base/half.h"
#include "kernels/inline.h"
#include "kernels/isa.h"

#include <math.h>
#include <string.h>

/* ---- weights -------------------------------------------------------------- */

static void unpack_group(struct mk_panel *p, const struct mk_quant *t, const struct mk_codes *c,
                         size_t k, unsigned r)
{
    for (size_t i = 0; i < t->block_len; i++) p->q[(k + i) / 4][r][(k + i) % 4] = c->q[i];
    const size_t n_sub = t->block_len / (size_t)t->sub, first = k / (size_t)t->sub;
    for (size_t j = 0; j < n_sub; j++) {
        p->d[first + j][r] = t->kind == MK_S256 ? c->d * (float)c->sc[j] : c->d;
        p->m[first + j][r] = t->kind == MK_S256 ? -(c->m * (float)c->mn[j]) : c->m;
    }
}

static void unpack_float(struct mk_panel *p, const struct mk_quant *t, const uint8_t *row,
                         unsigned r, size_t n_k)
{
    float w[MK_PANEL_K_F32];
    t->decode(w, row, n_k);
    for (size_t k = 0; k < n_k; k++) p->f[k][r] = w[k];
    for (size_t g = 0; g * 128 < n_k; g++) p->d[g][r] = 1.0f;
}

static void unpack(enum mk_type type, struct mk_panel *p, const uint8_t *rows, size_t stride,
                   unsigned n_rows, size_t n_k)
{
    const struct mk_quant *t = &mk_quants[type];
    memset(p, 0, sizeof *p);
    p->n_k = n_k;
    p->quant = t;
    for (unsigned r = 0; r < n_rows; r++, rows += stride)
        if (t->kind == MK_FLOAT) {
            unpack_float(p, t, rows, r, n_k);
        } else {
            for (size_t k = 0; k < n_k; k += t->block_len) {
                struct mk_codes c;
                t->codes(&c, rows + k / t->block_len * t->block_bytes);
                unpack_group(p, t, &c, k, r);
            }
        }
}

#define Q(ID, name, ggml, st, len, bytes, kind, bias, sub, has_min)                 \
    static void unpack_##ID(struct mk_panel *p, const uint8_t *rows, size_t stride, \
                            unsigned n_rows, size_t n_k)                            \
    {                                                                               \
        unpack(MK_##ID, p, rows, stride, n_rows, n_k);                              \
    }                                                                               \
    static void decode_##ID(float *y, const uint8_t *blocks, size_t n)              \
    {                                                                               \
        mk_quants[MK_##ID].decode(y, blocks, n);                                    \
    }
#include "quant/quant.def"
#undef Q

/* ---- products ------------------------------------------------------------- */

static int32_t dot_codes(const struct mk_panel *p, const int8_t *x, size_t k, size_t n, unsigned r)
{
    int32_t s = 0;
    for (size_t i = k; i < k + n; i++) s += p->q[i / 4][r][i % 4] * x[i];
    return s;
}

/* Values k..k+31 of row r times column c, without the column's scale. */
static float dot_32(const struct mk_panel *p, const struct mk_x8 *x, size_t c, size_t k, unsigned r)
{
    const struct mk_quant *q = p->quant;
    const size_t sub = (size_t)q->sub, first = k / sub, n = 32 / sub;
    float t = 0.0f;
    for (size_t j = 0; j < n; j++) {
        const int16_t *sum = x->sum + c * x->ldsum + (k + j * sub) / 16;
        const int32_t xs = n == 2 ? sum[0] : sum[0] + sum[1];
        const int32_t i = dot_codes(p, x->q + c * x->ldq, k + j * sub, sub, r) - q->bias * xs;
        t = j ? fmaf(p->d[first + j][r], (float)i, t) : p->d[first][r] * (float)i;
        if (q->has_min) t = fmaf(p->m[first + j][r], (float)xs, t);
    }
    return t;
}

static void mul_int_panel(float *y, const struct mk_panel *p, const struct mk_x8 *x, size_t n_col)
{
    for (size_t c = 0; c < n_col; c++)
        for (unsigned r = 0; r < MK_PANEL_ROWS; r++) {
            float *out = &y[c * MK_PANEL_ROWS + r];
            for (size_t k = 0; k < p->n_k; k += 32)
                *out = fmaf(x->s[c * x->lds + k / 32], dot_32(p, x, c, k, r), *out);
        }
}

MK_EACH_PANEL(mul_int)

static void gemv(enum mk_type type, float *y, const uint8_t *rows, size_t stride,
                 const struct mk_x8 *x, size_t n_k, size_t n_col)
{
    const struct mk_quant *t = &mk_quants[type];
    const size_t len = t->block_len;
    struct mk_x8 at = *x;
    struct mk_panel p;
    for (size_t k = 0; k < n_k; k += len, rows += t->block_bytes) {
        unpack(type, &p, rows, stride, MK_PANEL_ROWS, len);
        mul_int(y, &p, 1, &at, n_col);
        at.q += len, at.s += len / 32, at.sum += len / 16;
    }
}

#define Q(ID, name, ggml, st, len, bytes, kind, bias, sub, has_min)                            \
    static void gemv_##ID(float *y, const uint8_t *rows, size_t stride, const struct mk_x8 *x, \
                          size_t n_k, size_t n_col)                                            \
    {                                                                                          \
        gemv(MK_##ID, y, rows, stride, x, n_k, n_col);                                         \
    }
#include "quant/quant.def"
#undef Q

static void mul_f32(float *y, const struct mk_panel *p, const float *x, size_t ldx, size_t n_col)
{
    for (size_t c = 0; c < n_col; c++)
        for (unsigned r = 0; r < MK_PANEL_ROWS; r++)
            for (size_t g = 0; g < p->n_k; g += 128) {
                const size_t end = g + 128 < p->n_k ? g + 128 : p->n_k;
                float t = 0.0f;
                for (size_t k = g; k < end; k++) t = fmaf(p->f[k][r], x[c * ldx + k], t);
                float *out = &y[c * MK_PANEL_ROWS + r];
                *out = fmaf(p->d[g / 128][r], t, *out);
            }
}

static void gemv_f32(enum mk_type type, float *y, const uint8_t *rows, size_t stride,
                     const float *x, size_t ldx, size_t n_k, size_t n_col)
{
    struct mk_panel p;
    for (size_t k = 0; k < n_k; k += MK_PANEL_K_F32) {
        const size_t n = n_k - k < MK_PANEL_K_F32 ? n_k - k : MK_PANEL_K_F32;
        unpack(type, &p, rows + k * mk_quants[type].block_bytes, stride, MK_PANEL_ROWS, n);
        mul_f32(y, &p, x + k, ldx, n_col);
    }
}

#define Q(ID, name, ggml, st, len, bytes, kind, bias, sub, has_min)                         \
    static void gemv_f32_##ID(float *y, const uint8_t *rows, size_t stride, const float *x, \
                              size_t ldx, size_t n_k, size_t n_col)                         \
    {                                                                                       \
        gemv_f32(MK_##ID, y, rows, stride, x, ldx, n_k, n_col);                             \
    }
#include "quant/quant.def"
#undef Q

static void mul_t(float *y, size_t ldy, const float *w, size_t ldw, size_t n_r, size_t n_j,
                  const float *x, size_t ldx, size_t n_col)
{
    for (size_t c = 0; c < n_col; c++)
        for (size_t r = 0; r < n_r; r++)
            for (size_t j = 0; j < n_j; j++)
                y[c * ldy + j] = fmaf(x[c * ldx + r], w[r * ldw + j], y[c * ldy + j]);
}

static void mul_t_f16(float *y, size_t ldy, const uint16_t *w, size_t ldw, size_t n_row, size_t n_j,
                      const float *x, size_t ldx, size_t n_col)
{
    for (size_t r = 0; r < n_row; r++)
        for (size_t j = 0; j < n_j; j++) {
            const float v = mk_f16_f32(w[r * ldw + j]);
            for (size_t c = 0; c < n_col; c++)
                y[c * ldy + j] = fmaf(x[r * ldx + c], v, y[c * ldy + j]);
        }
}

static void mul_bf16(float *y, size_t ldy, const uint16_t *x, size_t ldx, const uint16_t *w,
                     size_t ldw, size_t n_row, size_t n_k, size_t n_col, bool is_sum)
{
    for (size_t r = 0; r < n_row; r++)
        for (size_t j = 0; j < n_col; j++) {
            float t = 0.0f;
            for (size_t k = 0; k < n_k; k++)
                t = fmaf(mk_bf16_f32(x[r * ldx + k]), mk_bf16_f32(w[(k / 2 * ldw + j) * 2 + k % 2]),
                         t);
            y[r * ldy + j] = is_sum ? y[r * ldy + j] + t : t;
        }
}

/* ---- activations ---------------------------------------------------------- */

/* s = max|x| / 127, q = x / s to the nearest, ties to even. */
static void quant_x8(int8_t *q, float *s, int16_t *sum, const float *x, size_t n)
{
    for (size_t g = 0; g < n; g += 32) {
        float amax = 0.0f;
        for (size_t i = g; i < g + 32; i++) amax = fabsf(x[i]) > amax ? fabsf(x[i]) : amax;
        const float inv = amax > 0.0f ? 127.0f / amax : 0.0f;
        s[g / 32] = amax / 127.0f;
        for (size_t i = g; i < g + 32; i += 16) {
            int t = 0;
            for (size_t j = i; j < i + 16; j++) {
                float v = nearbyintf(x[j] * inv);
                v = v > -127.0f ? v : -127.0f; /* a NaN becomes -127 */
                v = v < 127.0f ? v : 127.0f;
                q[j] = (int8_t)v;
                t += q[j];
            }
            sum[i / 16] = (int16_t)t;
        }
    }
}

static void f32_bf16(uint16_t *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = mk_f32_bf16(x[i]);
}

static void f32_f16(uint16_t *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = mk_f32_f16_finite(x[i]);
}

static void pairs_bf16(uint16_t *y, const float *even, const float *odd, size_t n)
{
    for (size_t j = 0; j < n; j++) {
        y[2 * j] = mk_f32_bf16(even[j]);
        y[2 * j + 1] = odd ? mk_f32_bf16(odd[j]) : 0;
    }
}

static void zip_bf16(uint16_t *y, const uint16_t *even, const uint16_t *odd, size_t n)
{
    for (size_t j = 0; j < n; j++) {
        y[2 * j] = even[j];
        y[2 * j + 1] = odd ? odd[j] : 0;
    }
}

static void mul_t_bf16(float *y, size_t ldy, const uint16_t *w, size_t ldw, size_t n_row,
                       size_t n_j, const uint16_t *x, size_t ldx, size_t n_k, size_t n_col)
{
    for (size_t c = 0; c < n_col; c++)
        for (size_t j = 0; j < n_j; j++) {
            float t = 0.0f;
            for (size_t r = 0; r < n_k; r++)
                t = fmaf(mk_bf16_f32(x[c * ldx + r]),
                         r < n_row ? mk_bf16_f32(w[r * ldw + j]) : 0.0f, t);
            y[c * ldy + j] += t;
        }
}

static void trans_bf16(uint16_t *y, size_t ldy, const float *x, size_t ldx, size_t n_row,
                       size_t n_col)
{
    for (size_t r = 0; r < n_row; r++)
        for (size_t c = 0; c < n_col; c++) y[c * ldy + r] = mk_f32_bf16(x[r * ldx + c]);
}

/* ---- vectors -------------------------------------------------------------- */

static void rmsnorm(float *y, const float *x, const float *w, size_t n, float eps)
{
    double ss = 0.0;
    for (size_t i = 0; i < n; i++) ss += (double)x[i] * (double)x[i];
    const float r = 1.0f / sqrtf((float)(ss / (double)n) + eps);
    for (size_t i = 0; i < n; i++) y[i] = x[i] * r * w[i];
}

static void rope_pairs(float *x, const float *cs, size_t n_pair)
{
    for (size_t i = 0; i < n_pair; i++) {
        const float a = x[2 * i], b = x[2 * i + 1], c = cs[2 * i], s = cs[2 * i + 1];
        x[2 * i] = a * c - b * s;
        x[2 * i + 1] = a * s + b * c;
    }
}

static void rope_halves(float *x, const float *cs, size_t n_pair)
{
    for (size_t i = 0; i < n_pair; i++) {
        const float a = x[i], b = x[i + n_pair], c = cs[2 * i], s = cs[2 * i + 1];
        x[i] = a * c - b * s;
        x[i + n_pair] = a * s + b * c;
    }
}

static void silu_mul(float *y, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = gate[i] / (1.0f + expf(-gate[i])) * up[i];
}

static float exp_sum(float *x, size_t n, float max)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) sum += (double)(x[i] = expf(x[i] - max));
    return (float)sum;
}

static void soften(float *s, size_t ld, const uint32_t *seen, size_t n_row, float *m, float *l,
                   float *fade, size_t n_col)
{
    for (size_t c = 0; c < n_col; c++) {
        float top = m[c], sum = 0.0f;
        for (size_t r = 0; r < seen[c]; r++) top = s[r * ld + c] > top ? s[r * ld + c] : top;
        for (size_t r = 0; r < n_row; r++) {
            float *v = &s[r * ld + c];
            *v = r < seen[c] ? expf(*v - top) : 0.0f;
            sum += *v;
        }
        fade[c] = seen[c] ? expf(m[c] - top) : 1.0f;
        l[c] = fmaf(l[c], fade[c], sum);
        m[c] = top;
    }
}

static float max(const float *x, size_t n)
{
    float m = -INFINITY;
    for (size_t i = 0; i < n; i++) m = x[i] > m ? x[i] : m;
    return m;
}

static void axpy(float *y, float a, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = fmaf(a, x[i], y[i]);
}

static void scale(float *x, float a, size_t n)
{
    for (size_t i = 0; i < n; i++) x[i] *= a;
}

static float dot(const float *a, const float *b, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return (float)sum;
}

static double sum_sq(const float *x, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    return sum;
}

/* ---- training ------------------------------------------------------------- */

static void rmsnorm_back(float *dx, float *dw, const float *dy, const float *x, const float *w,
                         size_t n, float eps)
{
    double ss = 0.0, sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        ss += (double)x[i] * (double)x[i];
        sum += (double)dy[i] * (double)w[i] * (double)x[i];
    }
    const float r = 1.0f / sqrtf((float)(ss / (double)n) + eps);
    const double r3 = (double)r * (double)r * (double)r;
    const float c = (float)(r3 / (double)n * sum);
    for (size_t i = 0; i < n; i++) dx[i] += r * w[i] * dy[i] - x[i] * c;
    for (size_t i = 0; dw && i < n; i++) dw[i] += dy[i] * x[i] * r;
}

static void silu_mul_back(float *dgate, float *dup, const float *dy, const float *gate,
                          const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float s = 1.0f / (1.0f + expf(-gate[i]));
        dup[i] += dy[i] * (gate[i] * s);
        dgate[i] += dy[i] * up[i] * (s * (1.0f + gate[i] * (1.0f - s)));
    }
}

static void softmax_back(float *ds, const float *p, const float *dp, size_t n, float dot_p_dp)
{
    for (size_t i = 0; i < n; i++) ds[i] = p[i] * (dp[i] - dot_p_dp);
}

static void adamw(float *w, float *m, float *v, const float *g, size_t n, const struct mk_adamw *a)
{
    const float keep = 1.0f - a->lr * a->decay;
    for (size_t i = 0; i < n; i++) {
        const float gi = g[i] * a->scale;
        m[i] = fmaf(1.0f - a->beta1, gi, a->beta1 * m[i]);
        v[i] = fmaf((1.0f - a->beta2) * gi, gi, a->beta2 * v[i]);
        w[i] = fmaf(w[i], keep, -(a->lr * (m[i] * a->c1) / (sqrtf(v[i] * a->c2) + a->eps)));
    }
}

/* ---- peaks ---------------------------------------------------------------- */

enum { N_PEAK = 8 }; /* independent sums */

static uint64_t peak_i8(size_t n_iter)
{
    int32_t a[N_PEAK] = {0}, x = 1;
    for (size_t i = 0; i < n_iter; i++)
        for (int j = 0; j < N_PEAK; j++) {
            a[j] += x * x;
            __asm__ volatile("" : "+r"(a[j]), "+r"(x)); /* or the compiler does the sum */
        }
    return (uint64_t)n_iter * N_PEAK;
}

static uint64_t peak_f32(size_t n_iter)
{
    float a[N_PEAK] = {0}, x = 0.5f;
    for (size_t i = 0; i < n_iter; i++)
        for (int j = 0; j < N_PEAK; j++) {
            a[j] += x * x;
            __asm__ volatile("" : "+m"(a[j]), "+m"(x));
        }
    return (uint64_t)n_iter * N_PEAK;
}

static uint64_t peak_bf16(size_t n_iter) { return peak_f32(n_iter); }

static mk_mul_pairs_fn *const mul_pairs = mk_scalar_mul_pairs;

void mk_kernels_scalar(struct mk_kernels *k)
{
    /* Naming every entry here is what makes a missing one an error. */
    *k = (struct mk_kernels){
        .unpack =
            {
#define Q(ID, name, ggml, st, len, bytes, kind, bias, sub, has_min) [MK_##ID] = unpack_##ID,
#include "quant/quant.def"
#undef Q
            },
        .gemv =
            {
#define Q(ID, name, ggml, st, len, bytes, kind, bias, sub, has_min) [MK_##ID] = gemv_##ID,
#include "quant/quant.def"
#undef Q
            },
        .gemv_f32 =
            {
#define Q(ID, name, ggml, st, len, bytes, kind, bias, sub, has_min) [MK_##ID] = gemv_f32_##ID,
#include "quant/quant.def"
#undef Q
            },
        .decode =
            {
#define Q(ID, name, ggml, st, len, bytes, kind, bias, sub, has_min) [MK_##ID] = decode_##ID,
#include "quant/quant.def"
#undef Q
            },
        .unpack_pairs = {[MK_BF16] = mk_scalar_unpack_bf16, [MK_F8_E4M3] = mk_scalar_unpack_f8},
        .gemv_pairs = {[MK_BF16] = mk_scalar_gemv_bf16, [MK_F8_E4M3] = mk_scalar_gemv_f8},
#define K(name, ret, params) .name = name,
#define T(name, ret, params)
#include "kernels/kernels.def"
#undef K
#undef T
    };
    for (int i = 0; i < MK_N_TYPES; i++) {
        if (mk_quants[i].kind != MK_S32 && mk_quants[i].kind != MK_S256) k->gemv[i] = NULL;
        if (mk_quants[i].kind != MK_FLOAT) k->gemv_f32[i] = NULL;
    }
}
