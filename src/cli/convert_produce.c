/* The bytes of a target: rows are decoded, put in their new places and encoded, or copied
 * when type and order within a row stay.  A window of the output is made on all threads,
 * then handed on.  What is decoded is decoded by the plain C version of each type, so that
 * a file does not depend on the machine that made it. */
#include "base/half.h"
#include "cli/convert.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    WINDOW_BYTES = 64 << 20,
    UNIT_VALUES = 1 << 18, /* about what one thread makes at a time */
    F8_BLOCK = 128
};
static const float f8_most = 448.0f;

/* A head of a transposed half, decoded once for the rows made of it. */
struct head {
    const struct mk_item *of;
    size_t index, cap;
    float *v;
};
struct maker {
    struct head head;
    float *rows; /* a unit's values */
};

struct job {
    const struct mk_target *t;
    struct mk_heads heads;
    struct mk_kernels k;
    struct maker *makers; /* [n_threads] */
    uint8_t *out;         /* of row `first` */
    size_t first, end, unit, row_bytes;
    bool is_copy;
};

/* ---- where a row comes from ------------------------------------------------------------ */

struct place {
    const struct mk_weight *w;
    size_t row;
};

static struct place place_of(const struct job *j, size_t r)
{
    const struct mk_target *t = j->t;
    const struct mk_weight *w = &t->from->part[t->part];
    const size_t d = t->n_group, head = d ? r / d : 0, i = d ? r % d : 0;
    switch (t->make) {
    case MK_MAKE_INTERLEAVE:
        return (struct place){w, head * d + i / 2 + i % 2 * (d / 2)};
    case MK_MAKE_SPLIT:
        return (struct place){w, head * d + i % (d / 2) * 2 + i / (d / 2)};
    case MK_MAKE_V_B:
        return (struct place){w, head * (j->heads.d_nope + d) + j->heads.d_nope + i};
    case MK_MAKE_KV_B: /* the value half; the other is transposed */
        return (struct place){t->from2->part, head * j->heads.d_v + i - j->heads.d_nope};
    default:
        return (struct place){w + r / w->rows, r % w->rows};
    }
}

/* Row i of the transpose of n rows of w from `first`: the values at i of each. */
static void transposed_row(const struct job *j, struct head *h, const struct mk_item *of,
                           size_t index, size_t n, size_t i, float *out)
{
    const struct mk_weight *w = of->part;
    const size_t stride = j->t->make == MK_MAKE_K_B ? j->heads.d_nope + j->heads.d_v : n;
    if (h->of != of || h->index != index) {
        if (h->cap < n * w->cols) {
            h->cap = n * w->cols;
            h->v = mk_realloc(h->v, h->cap * sizeof *h->v);
        }
        mk_weight_decode(&j->k, w, index * stride, n, h->v);
        h->of = of, h->index = index;
    }
    for (size_t r = 0; r < n; r++) out[r] = h->v[r * w->cols + i];
}

static void make_row(const struct job *j, struct maker *m, size_t r, float *out)
{
    const struct mk_target *t = j->t;
    const size_t d = t->n_group;
    if (t->make == MK_MAKE_K_B) {
        transposed_row(j, &m->head, t->from, r / d, j->heads.d_nope, r % d, out);
    } else if (t->make == MK_MAKE_KV_B && r % d < j->heads.d_nope) {
        transposed_row(j, &m->head, t->from, r / d, j->heads.d_latent, r % d, out);
    } else {
        const struct place p = place_of(j, r);
        mk_weight_decode(&j->k, p.w, p.row, 1, out);
    }
}

/* ---- encoding -------------------------------------------------------------------------- */

/* n rows from a multiple of 128 on: in each block the largest value becomes 448. */
static void encode_f8(const struct mk_target *t, size_t first, size_t n, float *v, uint8_t *out)
{
    const size_t ld = (t->n_cols + F8_BLOCK - 1) / F8_BLOCK;
    for (size_t i0 = 0; i0 < n; i0 += F8_BLOCK)
        for (size_t j0 = 0; j0 < t->n_cols; j0 += F8_BLOCK) {
            const size_t i1 = n - i0 < F8_BLOCK ? n : i0 + F8_BLOCK;
            const size_t j1 = t->n_cols - j0 < F8_BLOCK ? t->n_cols : j0 + F8_BLOCK;
            float most = 0;
            for (size_t i = i0; i < i1; i++)
                for (size_t k = j0; k < j1; k++) most = fmaxf(most, fabsf(v[i * t->n_cols + k]));
            const float scale = most > 0 && most < INFINITY ? most / f8_most : 1.0f;
            for (size_t i = i0; i < i1; i++)
                for (size_t k = j0; k < j1; k++) v[i * t->n_cols + k] /= scale;
            t->scales[(first + i0) / F8_BLOCK * ld + j0 / F8_BLOCK] = scale;
        }
    mk_quants[MK_F8_E4M3].encode(out, v, n * t->n_cols);
}

static void encode(const struct mk_target *t, size_t first, size_t n, float *v, uint8_t *out)
{
    if (t->scales)
        encode_f8(t, first, n, v, out);
    else if (t->t.type == MK_F32)
        memcpy(out, v, n * t->n_cols * sizeof *v); /* NaN too */
    else
        mk_quants[t->t.type].encode(out, v, n * t->n_cols);
}

static void make_units(void *arg, size_t first, size_t last, unsigned thread)
{
    const struct job *j = arg;
    const struct mk_target *t = j->t;
    struct maker *m = &j->makers[thread];
    for (size_t u = first; u < last; u++) {
        const size_t r0 = j->first + u * j->unit;
        const size_t n = j->end - r0 < j->unit ? j->end - r0 : j->unit;
        uint8_t *out = j->out + (r0 - j->first) * j->row_bytes;
        for (size_t i = 0; i < n; i++) {
            if (!j->is_copy) {
                make_row(j, m, r0 + i, m->rows + i * t->n_cols);
                continue;
            }
            const struct place p = place_of(j, r0 + i);
            memcpy(out + i * j->row_bytes, p.w->data + p.row * p.w->stride, j->row_bytes);
        }
        if (!j->is_copy) encode(t, r0, n, m->rows, out);
    }
}

/* ---- a whole target ---------------------------------------------------------------------- */

static bool is_copy(const struct mk_target *t)
{
    if (t->make == MK_MAKE_K_B || t->make == MK_MAKE_KV_B || t->scales) return false;
    for (size_t i = 0; i < t->n_part; i++) {
        const struct mk_weight *w = &t->from->part[t->part + i];
        if (w->type != t->t.type || (w->scale && t->t.type != MK_F8_E4M3)) return false;
    }
    return true;
}

static bool run(struct mk_convert *c, struct job *j, mk_sink_fn *sink, void *arg,
                struct mk_err *err)
{
    const size_t n_rows = j->t->n_rows;
    size_t window = WINDOW_BYTES / (j->row_bytes * j->unit) * j->unit;
    if (window == 0) window = j->unit;
    if (window > n_rows) window = n_rows;
    j->out = mk_realloc(NULL, window * j->row_bytes);
    bool ok = true;
    for (j->first = 0; ok && j->first < n_rows; j->first = j->end) {
        j->end = n_rows - j->first < window ? n_rows : j->first + window;
        mk_pool_run(c->pool, (j->end - j->first + j->unit - 1) / j->unit, 1, make_units, j);
        ok = sink(arg, j->out, (j->end - j->first) * j->row_bytes, err);
    }
    free(j->out);
    return ok;
}

bool mk_produce(struct mk_convert *c, struct mk_target *t, mk_sink_fn *sink, void *arg,
                struct mk_err *err)
{
    if (t->make == MK_MAKE_VALUES) return sink(arg, t->values, t->t.n_bytes, err);
    const unsigned n = mk_pool_size(c->pool);
    struct job j = {.t = t,
                    .heads = c->heads,
                    .makers = mk_calloc(n, sizeof *j.makers),
                    .is_copy = is_copy(t),
                    .row_bytes = t->t.n_bytes / t->n_rows,
                    .unit = UNIT_VALUES / t->n_cols};
    mk_kernels_select(&j.k, 0);
    j.unit = (j.unit + F8_BLOCK - 1) / F8_BLOCK * F8_BLOCK;
    if (j.unit == 0) j.unit = F8_BLOCK;
    for (unsigned i = 0; !j.is_copy && i < n; i++)
        j.makers[i].rows = mk_realloc(NULL, j.unit * t->n_cols * sizeof(float));
    const bool ok = run(c, &j, sink, arg, err);
    for (unsigned i = 0; i < n; i++) {
        free(j.makers[i].rows);
        free(j.makers[i].head.v);
    }
    free(j.makers);
    return ok;
}

/* ---- exactness ---------------------------------------------------------------------------- */

struct fit {
    const struct mk_item *item;
    const struct mk_quant *type;
    struct mk_kernels k;
    float *rows; /* [n_threads][cols] */
    uint16_t *half;
    atomic_bool fails;
};

static bool same_bits(const struct fit *f, float *v, uint16_t *half, size_t n)
{
    enum { PIECE = 64 };
    float back[PIECE];
    f->type->encode(half, v, n);
    for (size_t i = 0; i < n; i += PIECE) {
        const size_t m = n - i < PIECE ? n - i : PIECE;
        f->type->decode(back, half + i, m);
        if (memcmp(back, v + i, m * sizeof *v)) return false;
    }
    return true;
}

static void fit_rows(void *arg, size_t first, size_t last, unsigned thread)
{
    struct fit *f = arg;
    const struct mk_weight *part = f->item->part;
    float *v = f->rows + thread * part->cols;
    for (size_t r = first; r < last; r++) {
        if (atomic_load_explicit(&f->fails, memory_order_relaxed)) return;
        mk_weight_decode(&f->k, part + r / part->rows, r % part->rows, 1, v);
        if (!same_bits(f, v, f->half + thread * part->cols, part->cols))
            atomic_store(&f->fails, true);
    }
}

/* The product of a code's four bits and a scale of at most eight is exact in a float; a
 * longer scale cannot give values of eight bits. */
static bool are_scales_short(const struct mk_weight *w)
{
    for (size_t i = 0; w->scale && i < (w->rows + F8_BLOCK - 1) / F8_BLOCK * w->ld_scale; i++)
        if (mk_f32_bits(w->scale[i]) & 0xffffu) return false;
    return true;
}

bool mk_item_fits(const struct mk_convert *c, const struct mk_item *item, enum mk_type type)
{
    const unsigned n = mk_pool_size(c->pool);
    for (size_t i = 0; i < item->n_part; i++)
        if (!are_scales_short(&item->part[i])) return false;
    struct fit f = {.item = item, .type = &mk_quants[type]};
    f.rows = mk_calloc(n, item->part->cols * sizeof *f.rows);
    f.half = mk_calloc(n, item->part->cols * sizeof *f.half);
    mk_kernels_select(&f.k, 0);
    atomic_init(&f.fails, false);
    mk_pool_run(c->pool, item->n_part * item->part->rows, 16, fit_rows, &f);
    free(f.rows);
    free(f.half);
    return !f.fails;
}
