/* What stays in memory, what is read when it is needed, and what a budget allows. */
#include "model/stream.h"

#include "base/clock.h"
#include "base/resident.h"
#include "base/rng.h"
#include "model/int_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    MARGIN_BYTES = 32 << 20, /* what grows between two looks at the memory in use */
    CHUNK_BYTES = 8 << 20,   /* of a read while loading */
    N_LOADERS = 4,
};

struct mk_stream {
    struct mk_direct *files;
    size_t n_files;
    struct mk_expert_cache *cache;
    struct mk_ram ram;
    struct mk_stream_plan plan;
    double disk_bytes_per_s;
};

/* ---- what there is -------------------------------------------------------------------------- */

struct range {
    size_t file, at, n;
};
struct survey {
    struct mk_expert_part *parts; /* [n_layer + 1][n_expert][MK_EXPERT_PARTS] */
    const uint8_t **experts;      /* [n_data] where they are mapped, ascending */
    size_t n_data;
    struct range *dense; /* [n_dense] whole pages, ascending and apart */
    size_t n_dense;
    struct mk_stream_plan plan;
};

static void release_survey(struct survey *s)
{
    free(s->parts);
    free(s->experts);
    free(s->dense);
}

static struct range range_of(const struct mk_model *m, const uint8_t *data, size_t n)
{
    size_t n_files;
    const struct mk_tensor_file *f = mk_tensors_files(&m->tensors, &n_files);
    const size_t i = mk_tensors_file_of(&m->tensors, data);
    return (struct range){i, (size_t)(data - f[i].map.data), n};
}

static int by_address(const void *a, const void *b)
{
    const uint8_t *x = *(const uint8_t *const *)a, *y = *(const uint8_t *const *)b;
    return (x > y) - (x < y);
}

static void add_expert(const struct mk_model *m, struct survey *s, struct mk_weight *parts[],
                       size_t layer, size_t e)
{
    struct mk_expert_part *to = s->parts + (layer * m->n_expert + e) * MK_EXPERT_PARTS;
    struct mk_stream_plan *p = &s->plan;
    for (size_t k = 0; k < MK_EXPERT_PARTS; k++) {
        struct mk_weight *w = &parts[k][e];
        const struct range r = range_of(m, w->data, w->rows * w->stride);
        to[k] = (struct mk_expert_part){r.file, r.at, r.n, &w->data};
        s->experts[s->n_data++] = w->data;
    }
    const size_t room = mk_expert_room(to);
    if (room > p->n_largest) p->n_largest = room;
    if (layer == m->n_layer) return; /* the prediction layer is not part of every token */
    p->n_experts++;
    p->n_expert_bytes += room;
    if (e == 0) p->n_used += m->n_active, p->n_used_bytes += m->n_active * room;
}

static void find_experts(const struct mk_model *m, struct survey *s)
{
    const size_t n = (m->n_layer + 1) * m->n_expert * MK_EXPERT_PARTS;
    struct mk_weight *parts[MK_EXPERT_PARTS];
    s->parts = mk_calloc(n, sizeof *s->parts);
    s->experts = mk_calloc(n, sizeof *s->experts);
    for (size_t i = 0; i <= m->n_layer; i++)
        for (size_t e = 0; e < m->n_expert && m->family->experts(m, i, parts); e++)
            add_expert(m, s, parts, i, e);
    qsort(s->experts, s->n_data, sizeof *s->experts, by_address);
}

/* Whether an expert begins within a tensor. */
static bool holds_experts(const struct survey *s, const struct mk_tensor *t)
{
    size_t lo = 0, hi = s->n_data;
    while (lo < hi) {
        const size_t mid = (lo + hi) / 2;
        if (s->experts[mid] < t->data)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < s->n_data && s->experts[lo] < t->data + t->n_bytes;
}

static bool is_table(const struct mk_model *m, const uint8_t *data)
{
    const struct mk_weight *w[2];
    const size_t n = m->family->tables(m, w);
    for (size_t i = 0; i < n; i++)
        if (w[i]->data == data && !w[i]->scale) return true;
    return false;
}

static int by_place(const void *a, const void *b)
{
    const struct range *x = a, *y = b;
    if (x->file != y->file) return x->file < y->file ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

static void add_dense(struct survey *s, struct range r, size_t file_bytes)
{
    const size_t first = r.at - r.at % MK_DIRECT_PAGE;
    size_t end = first + mk_direct_span(r.at, r.n);
    if (end > file_bytes) end = file_bytes;
    s->dense[s->n_dense++] = (struct range){r.file, first, end - first};
}

/* Ranges that touch become one. */
static void merge(struct survey *s)
{
    size_t n = 0;
    qsort(s->dense, s->n_dense, sizeof *s->dense, by_place);
    for (size_t i = 0; i < s->n_dense; i++) {
        const struct range r = s->dense[i];
        struct range *last = n ? &s->dense[n - 1] : NULL;
        if (!last || last->file != r.file || r.at > last->at + last->n)
            s->dense[n++] = r;
        else if (r.at + r.n > last->at + last->n)
            last->n = r.at + r.n - last->at;
    }
    s->n_dense = n;
    for (size_t i = 0; i < n; i++) s->plan.n_dense_bytes += s->dense[i].n;
}

/* Everything but experts and tables: the other tensors, and what is before the first of a file. */
static void find_dense(const struct mk_model *m, struct survey *s)
{
    const struct mk_tensors *t = &m->tensors;
    size_t n_files;
    const struct mk_tensor_file *f = mk_tensors_files(t, &n_files);
    size_t *head = mk_calloc(n_files, sizeof *head);
    s->dense = mk_calloc(t->n + n_files, sizeof *s->dense);
    for (size_t i = 0; i < n_files; i++) head[i] = f[i].map.size;
    for (size_t i = 0; i < t->n; i++) {
        const struct mk_tensor *x = &t->list[i];
        const struct range r = range_of(m, x->data, x->n_bytes);
        if (r.at < head[r.file]) head[r.file] = r.at;
        s->plan.n_file_bytes += x->n_bytes;
        if (is_table(m, x->data))
            s->plan.n_table_bytes += x->n_bytes;
        else if (!holds_experts(s, x))
            add_dense(s, r, f[r.file].map.size);
    }
    for (size_t i = 0; i < n_files; i++) add_dense(s, (struct range){i, 0, head[i]}, f[i].map.size);
    free(head);
    merge(s);
}

/* ---- budgets -------------------------------------------------------------------------------- */

/* What the program takes beside weights and the cache. */
static size_t other_bytes(const struct mk_model *m)
{
    return mk_resident_bytes() + mk_model_step_toks(m, 0) * m->n_scratch + MARGIN_BYTES;
}

static void set_cache(const struct mk_model *m, const struct mk_ram *ram, struct mk_stream_plan *p)
{
    const size_t rest = p->n_dense_bytes + other_bytes(m);
    p->n_cache_bytes = ram->cache_bytes      ? ram->cache_bytes
                       : ram->n_bytes > rest ? ram->n_bytes - rest
                                             : 0;
    const double n = (double)p->n_cache_bytes / ((double)p->n_expert_bytes / (double)p->n_experts);
    p->n_fit = n < (double)p->n_experts ? n : (double)p->n_experts;
}

static bool survey(const struct mk_model *m, const struct mk_ram *ram, struct survey *s)
{
    *s = (struct survey){0};
    if (!m->family->experts || !m->n_routed) return false;
    find_experts(m, s);
    find_dense(m, s);
    set_cache(m, ram, &s->plan);
    return true;
}

bool mk_stream_plan(const struct mk_model *m, size_t ram_bytes, struct mk_stream_plan *out)
{
    struct survey s;
    if (!survey(m, &(struct mk_ram){.n_bytes = ram_bytes}, &s)) return false;
    *out = s.plan;
    release_survey(&s);
    return true;
}

double mk_stream_tps(const struct mk_stream_plan *p, double disk_bytes_per_s)
{
    const double miss = 1 - p->n_fit / (double)p->n_experts;
    return miss > 0 ? disk_bytes_per_s / (miss * (double)p->n_used_bytes) : (double)INFINITY;
}

/* The least that a token needs at a time: the experts of one layer. */
static bool check_budget(const struct mk_model *m, const struct survey *s, const struct mk_ram *ram,
                         struct mk_err *err)
{
    const struct mk_stream_plan *p = &s->plan;
    const size_t least = m->n_active * p->n_largest, other = other_bytes(m);
    if (ram->cache_bytes && ram->cache_bytes < p->n_largest)
        return mk_fail(err, MK_ELIMIT, "%s: an expert takes %zu bytes, %zu are allowed for all",
                       m->tensors.path, p->n_largest, ram->cache_bytes);
    if (ram->cache_bytes || p->n_cache_bytes >= least) return true;
    return mk_fail(err, MK_ELIMIT,
                   "%s: needs %.2f GB (%.2f of weights that every token reads, %.2f for the %zu "
                   "experts of a layer, %.2f to compute), --ram allows %.2f GB",
                   m->tensors.path, (double)(p->n_dense_bytes + least + other) / 1e9,
                   (double)p->n_dense_bytes / 1e9, (double)least / 1e9, m->n_active,
                   (double)other / 1e9, (double)ram->n_bytes / 1e9);
}

static size_t file_bytes(const struct mk_model *m, bool *is_inside)
{
    size_t n_files, n = 0;
    struct mk_map ignored;
    const struct mk_tensor_file *f = mk_tensors_files(&m->tensors, &n_files);
    *is_inside = false;
    for (size_t i = 0; i < n_files; i++) {
        n += f[i].map.size;
        *is_inside |= mk_blob_find(f[i].path, &ignored);
    }
    return n;
}

/* ---- loading -------------------------------------------------------------------------------- */

struct loading {
    const struct mk_stream *s;
    const struct mk_tensor_file *files;
    const struct range *chunks;
    atomic_bool has_failed;
    struct mk_err *errs; /* [N_LOADERS] */
    bool *bad;
};

static void load_chunks(void *arg, size_t first, size_t last, unsigned thread)
{
    struct loading *l = arg;
    for (size_t i = first; i < last && !atomic_load(&l->has_failed); i++) {
        const struct range *r = &l->chunks[i];
        uint8_t *to = (uint8_t *)(uintptr_t)l->files[r->file].map.data + r->at;
        if (mk_direct_read(&l->s->files[r->file], to, r->at, r->n, &l->errs[thread])) continue;
        l->bad[thread] = true;
        atomic_store(&l->has_failed, true);
    }
}

static struct range *cut_chunks(const struct survey *v, size_t *n)
{
    size_t n_most = v->n_dense + v->plan.n_dense_bytes / CHUNK_BYTES;
    struct range *c = mk_calloc(n_most, sizeof *c);
    *n = 0;
    for (size_t i = 0; i < v->n_dense; i++)
        for (size_t at = 0; at < v->dense[i].n; at += CHUNK_BYTES) {
            const size_t left = v->dense[i].n - at;
            c[(*n)++] = (struct range){v->dense[i].file, v->dense[i].at + at,
                                       left < CHUNK_BYTES ? left : CHUNK_BYTES};
        }
    return c;
}

/* The mappings become memory, filled with what stays. */
static bool load_dense(struct mk_model *m, const struct survey *v, struct mk_err *err)
{
    enum { MEASURABLE = 32 << 20 };
    struct mk_stream *s = m->stream;
    struct mk_err errs[N_LOADERS];
    bool bad[N_LOADERS] = {false};
    struct loading l = {.s = s, .errs = errs, .bad = bad};
    l.files = mk_tensors_files(&m->tensors, &s->n_files);
    for (size_t i = 0; i < s->n_files; i++)
        if (!mk_map_detach(&l.files[i].map, err)) return false;
    size_t n;
    struct range *chunks = cut_chunks(v, &n);
    l.chunks = chunks;
    struct mk_pool *pool = mk_pool_new(N_LOADERS);
    const double start = mk_now_s();
    mk_pool_run(pool, n, 1, load_chunks, &l);
    if (v->plan.n_dense_bytes >= MEASURABLE)
        s->disk_bytes_per_s = (double)v->plan.n_dense_bytes / (mk_now_s() - start);
    mk_pool_free(pool);
    free(chunks);
    for (unsigned i = 0; i < N_LOADERS; i++)
        if (bad[i]) *err = errs[i];
    return !atomic_load(&l.has_failed);
}

static bool open_files(struct mk_model *m, struct mk_err *err)
{
    struct mk_stream *s = m->stream;
    size_t n;
    const struct mk_tensor_file *f = mk_tensors_files(&m->tensors, &n);
    s->files = mk_calloc(n, sizeof *s->files);
    for (; s->n_files < n; s->n_files++) {
        struct mk_direct *d = &s->files[s->n_files];
        if (!mk_direct_open(d, f[s->n_files].path, err)) return false;
        if (d->size == f[s->n_files].map.size) continue;
        s->n_files++;
        return mk_fail(err, MK_EIO, "%s: has changed while it was opened", d->path);
    }
    return true;
}

static bool begin_streaming(struct mk_model *m, const struct survey *v, const struct mk_ram *ram,
                            struct mk_err *err)
{
    m->stream = mk_alloc(sizeof *m->stream);
    m->stream->ram = *ram;
    m->stream->plan = v->plan;
    return open_files(m, err) && load_dense(m, v, err) &&
           mk_expert_cache_new(&m->stream->cache, m->stream->files, v->parts, m->n_layer + 1,
                               m->n_expert, err);
}

/* All of it as it is mapped. */
static bool fits_whole(const struct mk_model *m, const struct mk_ram *ram, size_t n_bytes,
                       struct mk_err *err)
{
    const size_t other = other_bytes(m);
    if (ram->is_auto || ram->cache_bytes || n_bytes + other <= ram->n_bytes) return true;
    return mk_fail(err, MK_ELIMIT,
                   "%s: needs %.2f GB (%.2f of weights, all of which every token reads, %.2f to "
                   "compute), --ram allows %.2f GB",
                   m->tensors.path, (double)(n_bytes + other) / 1e9, (double)n_bytes / 1e9,
                   (double)other / 1e9, (double)ram->n_bytes / 1e9);
}

bool mk_stream_open(struct mk_model *m, const struct mk_ram *asked, struct mk_err *err)
{
    struct mk_ram ram = *asked;
    struct survey v;
    bool is_inside;
    if (!ram.n_bytes && !ram.cache_bytes) return true;
    const size_t n_bytes = file_bytes(m, &is_inside);
    if (is_inside || (ram.is_auto && n_bytes + other_bytes(m) <= ram.n_bytes)) return true;
    if (ram.is_auto) ram.n_bytes -= ram.n_bytes / 10; /* others may want some, too */
    if (!survey(m, &ram, &v)) return fits_whole(m, &ram, n_bytes, err);
    bool ok = check_budget(m, &v, &ram, ram.is_auto ? NULL : err);
    if (ok)
        ok = begin_streaming(m, &v, &ram, err);
    else
        ok = ram.is_auto; /* as good as it goes: mapped */
    release_survey(&v);
    return ok;
}

void mk_stream_close(struct mk_stream *s)
{
    if (!s) return;
    mk_expert_cache_free(s->cache);
    for (size_t i = 0; s->files && i < s->n_files; i++) mk_direct_close(&s->files[i]);
    free(s->files);
    free(s);
}

/* ---- measuring ------------------------------------------------------------------------------ */

struct measuring {
    const struct mk_model *m;
    const struct survey *v;
    struct mk_direct *files;
    double end;
    atomic_size_t n_bytes;
};

/* Reads random experts until time is up. */
static void measure_thread(void *arg, size_t first, size_t last, unsigned thread)
{
    struct measuring *j = arg;
    const size_t n = (j->m->n_layer + 1) * j->m->n_expert * MK_EXPERT_PARTS;
    struct mk_rng rng = {first + 1};
    void *buf = NULL;
    (void)last, (void)thread;
    if (posix_memalign(&buf, MK_DIRECT_PAGE, j->v->plan.n_largest)) return;
    while (mk_now_s() < j->end) {
        const struct mk_expert_part *p = &j->v->parts[mk_rng_u64(&rng) % n];
        if (!p->data) continue;
        if (!mk_direct_read(&j->files[p->file], buf, p->at, p->n_bytes, NULL)) break;
        atomic_fetch_add(&j->n_bytes, p->n_bytes);
    }
    free(buf);
}

double mk_stream_measure(const struct mk_model *m, double seconds, struct mk_err *err)
{
    struct mk_model copy = *m; /* for its own open files */
    struct survey v;
    double rate = 0;
    if (!survey(m, &(struct mk_ram){0}, &v)) return 0;
    copy.stream = mk_alloc(sizeof *copy.stream);
    if (open_files(&copy, err)) {
        struct mk_pool *pool = mk_pool_new(N_LOADERS);
        const double start = mk_now_s();
        struct measuring j = {.m = m, .v = &v, .files = copy.stream->files, .end = start + seconds};
        mk_pool_run(pool, N_LOADERS, 1, measure_thread, &j);
        rate = (double)atomic_load(&j.n_bytes) / (mk_now_s() - start);
        mk_pool_free(pool);
    }
    mk_stream_close(copy.stream);
    release_survey(&v);
    return rate;
}

/* ---- steps ---------------------------------------------------------------------------------- */

struct mk_expert_cache *mk_stream_cache(const struct mk_model *m) { return m->stream->cache; }

static size_t minus(size_t a, size_t b) { return a > b ? a - b : 0; }

void mk_stream_step(const struct mk_model *m, const struct mk_work *wk, const struct mk_step *s)
{
    const struct mk_stream *t = m->stream;
    size_t max = t->ram.cache_bytes;
    if (!max) {
        const size_t others = minus(mk_resident_bytes(), mk_expert_cache_held(t->cache));
        const size_t scratch = minus(s->n_tok * m->n_scratch, wk->arena.held_bytes);
        const size_t kv = s->n_tok * mk_kv_pos_bytes(&m->kv, s->spans[0].kv->type);
        max = minus(t->ram.n_bytes, others + scratch + kv + MARGIN_BYTES);
    }
    mk_expert_cache_begin(t->cache, max);
}

const uint8_t *mk_stream_read(const struct mk_model *m, const uint8_t *data, size_t n, uint8_t *buf,
                              struct mk_err *err)
{
    const struct range r = range_of(m, data, n);
    if (!mk_direct_read(&m->stream->files[r.file], buf, r.at, n, err)) return NULL;
    return buf + r.at % MK_DIRECT_PAGE;
}

bool mk_stream_embed(const struct mk_model *m, struct mk_work *wk, float *h,
                     const struct mk_weight *w, const struct mk_step *s)
{
    const size_t n_row = w->stride, room = mk_direct_span(MK_DIRECT_PAGE - 1, n_row);
    if (!is_table(m, w->data)) {
        mk_embed(wk, h, w, s->tok, s->n_tok);
        return true;
    }
    uint8_t *rows = mk_arena_take(&wk->arena, s->n_tok * n_row);
    uint8_t *buf = mk_arena_take(&wk->arena, room + MK_DIRECT_PAGE);
    buf += -(uintptr_t)buf % MK_DIRECT_PAGE;
    int32_t *tok = mk_arena_take(&wk->arena, s->n_tok * sizeof *tok);
    for (size_t i = 0; i < s->n_tok; i++) {
        const uint8_t *row =
            mk_stream_read(m, w->data + (size_t)s->tok[i] * n_row, n_row, buf, s->err);
        if (!row) return false;
        memcpy(rows + i * n_row, row, n_row);
        tok[i] = (int32_t)i;
    }
    struct mk_weight read = *w;
    read.data = rows, read.rows = s->n_tok;
    mk_embed(wk, h, &read, tok, s->n_tok);
    return true;
}

struct mk_stream_info mk_stream_info(const struct mk_model *m)
{
    const struct mk_stream *s = m->stream;
    return (struct mk_stream_info){.plan = s->plan,
                                   .stats = mk_expert_cache_stats(s->cache),
                                   .ram_bytes = s->ram.n_bytes,
                                   .held_bytes = mk_expert_cache_held(s->cache),
                                   .disk_bytes_per_s = s->disk_bytes_per_s};
}
