/* Random weights.  Each pair of type and deviation has a pool of encoded values, made once;
 * matrices are pieces of it. */
#include "mkmodel.h"

#include <math.h>
#include <stdlib.h>

enum { POOL_VALUES = 1 << 20, MAX_POOLS = 64 };
/* FP8 codes have this deviation; the scale beside them does the rest. */
static const float fp8_deviation = 32;

/* POOL_VALUES encoded values of one deviation. */
struct pool {
    enum mk_type type;
    size_t n_cols;
    uint8_t *blocks;
};
struct weights {
    struct mk_rng *rng;
    float *normals; /* POOL_VALUES of deviation 1 */
    struct pool pools[MAX_POOLS];
    size_t n_pools;
};

static float deviation(size_t n_cols) { return 1 / sqrtf((float)n_cols); }

static const struct pool *find_pool(struct weights *w, enum mk_type type, size_t n_cols)
{
    for (size_t i = 0; i < w->n_pools; i++)
        if (w->pools[i].type == type && w->pools[i].n_cols == n_cols) return &w->pools[i];
    if (w->n_pools == MAX_POOLS) abort();
    if (!w->normals) {
        w->normals = mk_calloc(POOL_VALUES, sizeof *w->normals);
        for (size_t i = 0; i < POOL_VALUES; i++) w->normals[i] = (float)mk_rng_normal(w->rng);
    }
    const struct mk_quant *q = &mk_quants[type];
    const float scale = type == MK_F8_E4M3 ? fp8_deviation : deviation(n_cols);
    float *values = mk_calloc(POOL_VALUES, sizeof *values);
    for (size_t i = 0; i < POOL_VALUES; i++) values[i] = w->normals[i] * scale;
    struct pool *p = &w->pools[w->n_pools++];
    *p = (struct pool){type, n_cols, mk_alloc(POOL_VALUES / q->block_len * q->block_bytes)};
    q->encode(p->blocks, values, POOL_VALUES);
    free(values);
    return p;
}

static void weights_release(struct weights *w)
{
    for (size_t i = 0; i < w->n_pools; i++) free(w->pools[i].blocks);
    free(w->normals);
}

static bool put(struct sink *s, const void *bytes, size_t n, struct mk_err *err)
{
    return s->st ? mk_st_writer_add(s->st, bytes, n, err)
                 : mk_gguf_writer_add(s->gguf, bytes, n, err);
}

/* Pieces of the pool, each from a random block of its first half. */
static bool put_matrix(struct weights *w, struct sink *out, const struct item *it, size_t n_bytes,
                       struct mk_err *err)
{
    const struct mk_quant *q = &mk_quants[it->t.type];
    const struct pool *p = find_pool(w, it->t.type, it->n_cols);
    const size_t n_blocks = POOL_VALUES / q->block_len;
    for (size_t left = n_bytes; left;) {
        const size_t first = mk_rng_u64(w->rng) % (n_blocks / 2);
        size_t n = (n_blocks - first) * q->block_bytes;
        if (n > left) n = left;
        if (!put(out, p->blocks + first * q->block_bytes, n, err)) return false;
        left -= n;
    }
    return true;
}

/* What a frequency is divided by (llama3 scaling: factor 8, wave lengths above 8192 are
 * slowed down in full, below 2048 not at all). */
static float rope_divisor(const struct shape *s, size_t i)
{
    const double pi = 3.14159265358979323846, factor = 8, low = 1, high = 4, context = 8192;
    const double wave = 2 * pi * pow(s->theta, 2.0 * (double)i / (double)s->d_head);
    if (wave < context / high) return 1;
    if (wave > context / low) return (float)factor;
    const double smooth = (context / wave - low) / (high - low);
    return (float)(1 / ((1 - smooth) / factor + smooth));
}

static float vector_value(struct weights *w, const struct model *m, const struct item *it, size_t i)
{
    switch (it->fill) {
    case NORM:
        return (float)(1 + 0.05 * mk_rng_normal(w->rng));
    case FP8_SCALE:
        return deviation(it->n_cols) / fp8_deviation * (float)(0.75 + 0.5 * mk_rng_f64(w->rng));
    case ROPE_FREQS:
        return rope_divisor(m->shape, i);
    default:
        return (float)(0.02 * mk_rng_normal(w->rng));
    }
}

static bool put_vector(struct weights *w, const struct model *m, struct sink *out,
                       const struct item *it, size_t n_values, size_t n_bytes, struct mk_err *err)
{
    float *values = mk_calloc(n_values, sizeof *values);
    void *bytes = mk_alloc(n_bytes);
    for (size_t i = 0; i < n_values; i++) values[i] = vector_value(w, m, it, i);
    mk_quants[it->t.type].encode(bytes, values, n_values);
    const bool ok = put(out, bytes, n_bytes, err);
    free(values);
    free(bytes);
    return ok;
}

bool mkmodel_put_weights(struct model *m, struct sink *out, struct mk_err *err)
{
    struct weights w = {.rng = &m->rng};
    bool ok = true;
    for (size_t i = 0; ok && i < m->n; i++) {
        const struct item *it = &m->items[i];
        size_t n_values = 1, n_bytes = 0;
        for (unsigned d = 0; d < it->t.n_dims; d++) n_values *= it->t.dims[d];
        ok = mk_type_bytes(it->t.type, n_values, &n_bytes);
        if (ok && it->fill == MATRIX)
            ok = put_matrix(&w, out, it, n_bytes, err);
        else if (ok)
            ok = put_vector(&w, m, out, it, n_values, n_bytes, err);
    }
    weights_release(&w);
    return ok;
}
