#include "tensor/kv.h"

#include "tensor/tape.h"

#include <assert.h>
#include <string.h>
#include <sys/mman.h>

/* Keys of an F16 cache are bf16, of which there are products that read them where they are. */
static enum mk_type type_of(enum mk_type type, size_t a)
{
    return type == MK_F16 && a == 0 ? MK_BF16 : type;
}

/* Bytes of a row of array a; those of Q8_0 are padded to whole blocks. */
static size_t row_bytes(const struct mk_kv_shape *s, enum mk_type type, size_t a)
{
    const struct mk_quant *t = &mk_quants[type_of(type, a)];
    return (s->d_row[a] + t->block_len - 1) / t->block_len * t->block_bytes;
}

size_t mk_kv_pos_bytes(const struct mk_kv_shape *s, enum mk_type type)
{
    size_t n = 0;
    for (size_t a = 0; a < MK_KV_ARRAYS; a++) n += row_bytes(s, type, a);
    return n * s->n_layer;
}

bool mk_kv_init(struct mk_kv *kv, const struct mk_kv_shape *shape, enum mk_type type, size_t n_ctx,
                struct mk_err *err)
{
    struct mk_kv v = {.shape = *shape, .type = type, .n_ctx = n_ctx};
    if (!mk_mul(mk_kv_pos_bytes(shape, type), n_ctx, &v.n_bytes))
        return mk_fail(err, MK_ELIMIT, "a context of %zu tokens does not fit the address space",
                       n_ctx);
    void *data;
    if (!mk_reserve(&data, v.n_bytes, err))
        return mk_fail_in(err, "keys and values of %zu tokens", n_ctx);
    v.data = data;
    *kv = v;
    return true;
}

void mk_kv_init_arena(struct mk_kv *kv, const struct mk_kv_shape *shape, size_t n_ctx,
                      struct mk_arena *a)
{
    *kv = (struct mk_kv){.shape = *shape, .type = MK_F32, .n_ctx = n_ctx, .is_in_arena = true};
    kv->n_bytes = mk_kv_pos_bytes(shape, MK_F32) * n_ctx;
    kv->data = mk_arena_take(a, kv->n_bytes);
}

void mk_kv_release(struct mk_kv *kv)
{
    if (!kv->is_in_arena) mk_unreserve(kv->data, kv->n_bytes);
    *kv = (struct mk_kv){0};
}

/* Arrays lie layer by layer, k before v. */
static uint8_t *array_of(const struct mk_kv *kv, size_t layer, size_t a)
{
    const size_t k = row_bytes(&kv->shape, kv->type, 0), v = row_bytes(&kv->shape, kv->type, 1);
    return kv->data + kv->n_ctx * (layer * (k + v) + (a ? k : 0));
}

void mk_kv_truncate(struct mk_kv *kv, size_t n)
{
    if (n >= kv->n) return;
    for (size_t l = 0; l < kv->shape.n_layer; l++)
        for (size_t a = 0; a < MK_KV_ARRAYS; a++) {
            const size_t row = row_bytes(&kv->shape, kv->type, a);
            const uintptr_t page = 4096, base = (uintptr_t)array_of(kv, l, a);
            const uintptr_t from = (base + n * row + page - 1) / page * page;
            const uintptr_t to = (base + kv->n * row) / page * page;
            /* Only a hint: rows past n are never read before they are written. */
            if (to > from) madvise((void *)from, to - from, MADV_DONTNEED);
        }
    kv->n = n;
}

void mk_kv_copy(struct mk_kv *dst, const struct mk_kv *src, size_t n)
{
    assert(n <= src->n && n <= dst->n_ctx && dst->type == src->type);
    for (size_t l = 0; l < src->shape.n_layer; l++)
        for (size_t a = 0; a < MK_KV_ARRAYS; a++)
            if (src->shape.d_row[a])
                memcpy(array_of(dst, l, a), array_of(src, l, a),
                       n * row_bytes(&src->shape, src->type, a));
    dst->n = n;
}

void mk_kv_save(const struct mk_kv *kv, size_t pos, size_t n, uint8_t *out)
{
    assert(pos + n <= kv->n);
    for (size_t l = 0; l < kv->shape.n_layer; l++)
        for (size_t a = 0; a < MK_KV_ARRAYS; a++) {
            const size_t row = row_bytes(&kv->shape, kv->type, a);
            if (row) memcpy(out, array_of(kv, l, a) + pos * row, n * row);
            out += n * row;
        }
}

void mk_kv_load(struct mk_kv *kv, const uint8_t *saved, size_t n, size_t first, size_t last)
{
    assert(first <= last && last <= n && last - first <= kv->n_ctx - kv->n);
    for (size_t l = 0; l < kv->shape.n_layer; l++)
        for (size_t a = 0; a < MK_KV_ARRAYS; a++) {
            const size_t row = row_bytes(&kv->shape, kv->type, a);
            if (row)
                memcpy(array_of(kv, l, a) + kv->n * row, saved + first * row, (last - first) * row);
            saved += n * row;
        }
    kv->n += last - first;
}

/* The last block of a Q8_0 row may be partly padding. */
static void put_q8(uint8_t *out, const float *x, size_t d)
{
    const struct mk_quant *t = &mk_quants[MK_Q8_0];
    const size_t whole = d / t->block_len * t->block_len;
    t->encode(out, x, whole);
    if (whole == d) return;
    float last[32] = {0};
    memcpy(last, x + whole, (d - whole) * sizeof *x);
    t->encode(out + whole / t->block_len * t->block_bytes, last, t->block_len);
}

struct put_job {
    const struct mk_kernels *k;
    enum mk_type type;
    uint8_t *rows;
    const float *x;
    size_t ld, d, row;
};

static void put_rows(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    const struct put_job *j = arg;
    for (size_t i = first; i < last; i++) {
        uint8_t *out = j->rows + i * j->row;
        const float *x = j->x + i * j->ld;
        if (j->type == MK_F32)
            memcpy(out, x, j->d * sizeof *x);
        else if (j->type == MK_BF16)
            j->k->f32_bf16((uint16_t *)(void *)out, x, j->d);
        else if (j->type == MK_F16)
            j->k->f32_f16((uint16_t *)(void *)out, x, j->d);
        else
            put_q8(out, x, j->d);
    }
}

/* dx += gradient of the rows, which have no other use. */
struct put_saved {
    const struct mk_kernels *k;
    const float *x, *rows;
    float *dx, *drows;
    size_t n, ld, d;
};

static void put_back_rows(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    const struct put_saved *s = arg;
    for (size_t i = first; i < last; i++) {
        float *dy = s->drows + i * s->d;
        if (s->dx) s->k->axpy(s->dx + i * s->ld, 1.0f, dy, s->d);
        memset(dy, 0, s->d * sizeof *dy);
    }
}

static void put_back(struct mk_work *wk, void *saved)
{
    struct put_saved *s = saved;
    s->dx = mk_grad(wk, s->x);
    s->drows = mk_grad(wk, s->rows);
    mk_pool_run(wk->pool, s->n, mk_grain(wk, 4 * s->d), put_back_rows, s);
}

void mk_kv_store(struct mk_work *wk, struct mk_kv *kv, size_t layer, size_t a, size_t pos, size_t n,
                 const float *x, size_t ld)
{
    assert(pos + n <= kv->n_ctx);
    struct put_job j = {&wk->k, type_of(kv->type, a), NULL, x, ld, kv->shape.d_row[a], 0};
    j.row = row_bytes(&kv->shape, kv->type, a);
    j.rows = array_of(kv, layer, a) + pos * j.row;
    mk_pool_run(wk->pool, n, mk_grain(wk, 4 * j.d), put_rows, &j);
}

void mk_kv_put(struct mk_work *wk, struct mk_kv *kv, size_t layer, size_t a, size_t pos, size_t n,
               const float *x, size_t ld)
{
    mk_kv_store(wk, kv, layer, a, pos, n, x, ld);
    if (!mk_is_recording(wk) || kv->type != MK_F32) return;
    const float *rows = mk_kv_floats(kv, layer, a, pos);
    if (!mk_grad(wk, rows)) return;
    struct put_saved *s = mk_tape_push(wk, put_back, sizeof *s);
    *s = (struct put_saved){.k = &wk->k, .x = x, .rows = rows, .n = n, .ld = ld};
    s->d = kv->shape.d_row[a];
}

const float *mk_kv_floats(const struct mk_kv *kv, size_t layer, size_t a, size_t pos)
{
    assert(kv->type == MK_F32);
    return (const float *)(const void *)array_of(kv, layer, a) + pos * kv->shape.d_row[a];
}

/* Values [first, first + d) of one row when first is not a block's start. */
static void get_across(const struct mk_kernels *k, enum mk_type type, const uint8_t *row,
                       size_t first, size_t d, float *out)
{
    const struct mk_quant *t = &mk_quants[type];
    float block[32];
    for (size_t i = first; i < first + d;) {
        const size_t from = i % t->block_len, left = first + d - i;
        const size_t n = t->block_len - from < left ? t->block_len - from : left;
        k->decode[type](block, row + i / t->block_len * t->block_bytes, t->block_len);
        memcpy(out + (i - first), block + from, n * sizeof *out);
        i += n;
    }
}

void mk_kv_get(const struct mk_kernels *k, const struct mk_kv *kv, size_t layer, size_t a,
               size_t pos, size_t n, size_t first, size_t d, float *out, size_t ld_out)
{
    enum { AHEAD = 16 /* rows */ };
    const enum mk_type type = type_of(kv->type, a);
    const struct mk_quant *t = &mk_quants[type];
    const size_t row = row_bytes(&kv->shape, kv->type, a);
    const uint8_t *p = array_of(kv, layer, a) + pos * row;
    const size_t from = first / t->block_len * t->block_bytes;
    const size_t n_bytes = d / t->block_len * t->block_bytes;
    for (size_t i = 0; i < n; i++, p += row, out += ld_out) {
        /* Those of one head are pieces that a processor does not see far ahead. */
        for (size_t b = 0; b < n_bytes; b += 64) __builtin_prefetch(p + AHEAD * row + from + b);
        if (first % t->block_len || d % t->block_len)
            get_across(k, type, p, first, d, out);
        else
            k->decode[type](out, p + from, d);
    }
}

struct mk_weight mk_kv_rows(const struct mk_kernels *k, const struct mk_kv *kv, size_t layer,
                            size_t a, size_t pos, size_t n, size_t first, size_t d, float *tile)
{
    const enum mk_type type = type_of(kv->type, a);
    const struct mk_quant *t = &mk_quants[type];
    if (t->kind == MK_FLOAT) {
        const size_t row = row_bytes(&kv->shape, kv->type, a);
        return (struct mk_weight){.type = type,
                                  .rows = n,
                                  .cols = d,
                                  .stride = row,
                                  .data =
                                      array_of(kv, layer, a) + pos * row + first * t->block_bytes};
    }
    mk_kv_get(k, kv, layer, a, pos, n, first, d, tile, d);
    return mk_float_rows(tile, n, d, d);
}

const float *mk_kv_view(const struct mk_kernels *k, const struct mk_kv *kv, size_t layer, size_t a,
                        size_t pos, size_t n, size_t first, size_t d, float *tile, size_t ld_tile,
                        size_t *ld)
{
    if (kv->type == MK_F32) {
        *ld = kv->shape.d_row[a];
        return (const float *)(const void *)array_of(kv, layer, a) + pos * *ld + first;
    }
    *ld = ld_tile;
    mk_kv_get(k, kv, layer, a, pos, n, first, d, tile, ld_tile);
    return tile;
}
