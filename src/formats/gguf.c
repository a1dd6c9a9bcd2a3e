/* Reading GGUF.
 *
 *   "GGUF" | version u32 | n_tensors u64 | n_kv u64
 *   n_kv      x  key string | type u32 | value
 *   n_tensors x  name string | n_dims u32 | ne u64[n_dims] | type u32 | offset u64
 *   zeros up to the alignment
 *   data, offsets count from here
 *
 * A string is a u64 length and its bytes; an array is an element type u32, a count u64
 * and the packed elements.  Every count is compared with the bytes that are left before
 * anything is allocated for it. */
#include "formats/gguf.h"

#include "formats/int_formats.h"

#include <stdlib.h>
#include <string.h>

enum {
    MIN_KV_BYTES = 8 + 1 + 4 + 1,
    MIN_TENSOR_BYTES = 8 + 1 + 4 + 4 + 8,
};

struct reader {
    const uint8_t *data;
    size_t size, pos;
    const char *file;
    struct mk_arena *arena;
    struct mk_err *err;
};

static size_t left(const struct reader *r) { return r->size - r->pos; }

/* The next n bytes; NULL when the file ends before. */
static const uint8_t *take(struct reader *r, size_t n, const char *what)
{
    if (n > left(r)) {
        mk_fail(r->err, MK_EFORMAT, "%s: byte %zu: %s needs %zu bytes, the file has %zu", r->file,
                r->pos, what, n, left(r));
        return NULL;
    }
    r->pos += n;
    return r->data + r->pos - n;
}

static bool take_u32(struct reader *r, uint32_t *out, const char *what)
{
    const uint8_t *p = take(r, sizeof *out, what);
    if (p) memcpy(out, p, sizeof *out);
    return p;
}

static bool take_u64(struct reader *r, uint64_t *out, const char *what)
{
    const uint8_t *p = take(r, sizeof *out, what);
    if (p) memcpy(out, p, sizeof *out);
    return p;
}

static bool take_str(struct reader *r, struct mk_gguf_str *out, const char *what)
{
    uint64_t n;
    if (!take_u64(r, &n, what)) return false;
    if (n > left(r))
        return mk_fail(r->err, MK_EFORMAT, "%s: byte %zu: %s has length %llu, the file has %zu",
                       r->file, r->pos, what, (unsigned long long)n, left(r));
    *out = (struct mk_gguf_str){(const char *)r->data + r->pos, (size_t)n};
    r->pos += (size_t)n;
    return true;
}

/* A key or tensor name, copied to the arena with a NUL. */
static bool take_name(struct reader *r, const char **out, const char *what)
{
    struct mk_gguf_str s;
    if (!take_str(r, &s, what) || !mk_name_check(s.s, s.n, what, r->file, r->err)) return false;
    char *copy = mk_arena_take(r->arena, s.n + 1);
    memcpy(copy, s.s, s.n);
    copy[s.n] = '\0';
    *out = copy;
    return true;
}

/* ---- metadata ------------------------------------------------------------------ */

static bool check_bools(struct reader *r, const char *key, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] > 1)
            return mk_fail(r->err, MK_EFORMAT, "%s: key %s: boolean is %u", r->file,
                           mk_show_str(key).s, p[i]);
    return true;
}

static bool take_number(struct reader *r, struct mk_gguf_kv *kv)
{
    const uint8_t *p = take(r, mk_gguf_type_bytes[kv->type], "a value");
    if (!p) return false;
    if (kv->type == MK_GGUF_BOOL && !check_bools(r, kv->key, p, 1)) return false;
    mk_gguf_load(kv, p);
    return true;
}

static bool take_strs(struct reader *r, struct mk_gguf_kv *kv, size_t n)
{
    if (n > left(r) / 8)
        return mk_fail(r->err, MK_EFORMAT, "%s: key %s: %zu strings in %zu bytes", r->file,
                       mk_show_str(kv->key).s, n, left(r));
    struct mk_gguf_str *strs = mk_arena_take(r->arena, n * sizeof *strs);
    for (size_t i = 0; i < n; i++)
        if (!take_str(r, &strs[i], "string in an array")) return false;
    kv->array.strs = strs;
    return true;
}

static bool take_array(struct reader *r, struct mk_gguf_kv *kv)
{
    uint32_t type;
    uint64_t n;
    if (!take_u32(r, &type, "array type") || !take_u64(r, &n, "array length")) return false;
    const struct mk_shown key = mk_show_str(kv->key);
    if (type == MK_GGUF_ARRAY)
        return mk_fail(r->err, MK_EUNSUPPORTED, "%s: key %s: array of arrays", r->file, key.s);
    if (type >= MK_GGUF_N_TYPES)
        return mk_fail(r->err, MK_EFORMAT, "%s: key %s: unknown array type %u", r->file, key.s,
                       type);
    kv->array.type = (enum mk_gguf_type)type;
    kv->array.n = (size_t)n;
    kv->array.data = NULL;
    kv->array.strs = NULL;
    if (type == MK_GGUF_STR) return take_strs(r, kv, (size_t)n);
    if (n > left(r) / mk_gguf_type_bytes[type])
        return mk_fail(r->err, MK_EFORMAT, "%s: key %s: array of %llu in %zu bytes", r->file, key.s,
                       (unsigned long long)n, left(r));
    kv->array.data = take(r, (size_t)n * mk_gguf_type_bytes[type], "an array");
    if (!kv->array.data) return false;
    return type != MK_GGUF_BOOL || check_bools(r, kv->key, kv->array.data, (size_t)n);
}

static bool take_kv(struct reader *r, struct mk_gguf_kv *kv)
{
    uint32_t type;
    if (!take_name(r, &kv->key, "key") || !take_u32(r, &type, "value type")) return false;
    if (type >= MK_GGUF_N_TYPES)
        return mk_fail(r->err, MK_EFORMAT, "%s: key %s: unknown value type %u", r->file,
                       mk_show_str(kv->key).s, type);
    kv->type = (enum mk_gguf_type)type;
    if (type == MK_GGUF_STR) return take_str(r, &kv->str, "a string");
    if (type == MK_GGUF_ARRAY) return take_array(r, kv);
    return take_number(r, kv);
}

static int by_key(const void *a, const void *b)
{
    return strcmp((*(const struct mk_gguf_kv *const *)a)->key,
                  (*(const struct mk_gguf_kv *const *)b)->key);
}

static bool keys_differ(const struct reader *r, const struct mk_gguf *g)
{
    const struct mk_gguf_kv **sorted = mk_calloc(g->n_kv, sizeof *sorted);
    for (size_t i = 0; i < g->n_kv; i++) sorted[i] = &g->kv[i];
    if (g->n_kv) qsort(sorted, g->n_kv, sizeof *sorted, by_key);
    bool ok = true;
    for (size_t i = 1; ok && i < g->n_kv; i++)
        if (!strcmp(sorted[i - 1]->key, sorted[i]->key))
            ok = mk_fail(r->err, MK_EFORMAT, "%s: key %s appears twice", r->file,
                         mk_show_str(sorted[i]->key).s);
    free(sorted);
    return ok;
}

static bool read_alignment(const struct reader *r, struct mk_gguf *g)
{
    uint64_t a = MK_GGUF_ALIGNMENT;
    const struct mk_gguf_kv *kv = mk_gguf_find(g, "general.alignment");
    if (kv && !mk_gguf_u64(g, kv->key, &a))
        return mk_fail(r->err, MK_EFORMAT, "%s: general.alignment is not an unsigned integer",
                       r->file);
    if (!mk_gguf_alignment_ok(a))
        return mk_fail(r->err, MK_EFORMAT,
                       "%s: general.alignment %llu is not a power of two in [%d, %d]", r->file,
                       (unsigned long long)a, MK_GGUF_MIN_ALIGNMENT, MK_GGUF_MAX_ALIGNMENT);
    g->alignment = (size_t)a;
    return true;
}

static bool read_metadata(struct reader *r, struct mk_gguf *g, uint64_t n)
{
    if (n > left(r) / MIN_KV_BYTES)
        return mk_fail(r->err, MK_EFORMAT, "%s: %llu keys in %zu bytes", r->file,
                       (unsigned long long)n, left(r));
    g->n_kv = (size_t)n;
    g->kv = mk_arena_zero(r->arena, g->n_kv * sizeof *g->kv);
    for (size_t i = 0; i < g->n_kv; i++)
        if (!take_kv(r, &g->kv[i])) return false;
    return keys_differ(r, g) && read_alignment(r, g);
}

/* ---- directory ----------------------------------------------------------------- */

/* Types that ggml has and minke does not; NULL: unknown or withdrawn. */
static const char *foreign_type(uint32_t type)
{
    static const char *const names[] = {
        [9] = "q8_1",     [15] = "q8_k",  [16] = "iq2_xxs", [17] = "iq2_xs",
        [18] = "iq3_xxs", [19] = "iq1_s", [21] = "iq3_s",   [22] = "iq2_s",
        [29] = "iq1_m",   [34] = "tq1_0", [35] = "tq2_0",
    };
    return type < sizeof names / sizeof *names ? names[type] : NULL;
}

static bool take_type(struct reader *r, struct mk_tensor *t)
{
    uint32_t number;
    if (!take_u32(r, &number, "tensor type")) return false;
    const int type = mk_type_of_ggml(number);
    if (type >= 0) {
        t->type = (enum mk_type)type;
        return true;
    }
    const char *name = foreign_type(number);
    if (name)
        return mk_fail(r->err, MK_EUNSUPPORTED, "%s: tensor %s: type %u (%s) is not supported",
                       r->file, mk_show_str(t->name).s, number, name);
    return mk_fail(r->err, MK_EFORMAT, "%s: tensor %s: unknown type %u", r->file,
                   mk_show_str(t->name).s, number);
}

/* ne is fastest first.  Slow dims of 1 are dropped: some writers pad ne to four. */
static bool take_dims(struct reader *r, struct mk_tensor *t)
{
    uint32_t n;
    uint64_t ne[MK_MAX_DIMS];
    if (!take_u32(r, &n, "number of dims")) return false;
    if (n > MK_MAX_DIMS)
        return mk_fail(r->err, MK_EFORMAT, "%s: tensor %s: %u dims, at most %d", r->file,
                       mk_show_str(t->name).s, n, MK_MAX_DIMS);
    for (uint32_t i = 0; i < n; i++)
        if (!take_u64(r, &ne[i], "a dim")) return false;
    while (n > 1 && ne[n - 1] == 1) n--;
    t->n_dims = n;
    for (uint32_t i = 0; i < n; i++) t->dims[i] = (size_t)ne[n - 1 - i];
    return true;
}

static bool take_tensor(struct reader *r, struct mk_tensor *t, uint64_t *offset)
{
    *t = (struct mk_tensor){.file = r->file};
    return take_name(r, &t->name, "tensor name") && take_dims(r, t) && take_type(r, t) &&
           take_u64(r, offset, "tensor offset") && mk_tensor_measure(t, r->err);
}

/* Gives the tensor its bytes: data_at is the file position of the data part. */
static bool place(const struct reader *r, struct mk_tensor *t, uint64_t offset, size_t data_at,
                  size_t alignment)
{
    const struct mk_shown name = mk_show_str(t->name);
    if (offset % alignment)
        return mk_fail(r->err, MK_EFORMAT, "%s: tensor %s: offset %llu is not a multiple of %zu",
                       r->file, name.s, (unsigned long long)offset, alignment);
    const size_t n_data = r->size > data_at ? r->size - data_at : 0;
    if (offset > n_data || t->n_bytes > n_data - (size_t)offset)
        return mk_fail(r->err, MK_EFORMAT,
                       "%s: tensor %s: %zu bytes at offset %llu, the file has %zu bytes of data",
                       r->file, name.s, t->n_bytes, (unsigned long long)offset, n_data);
    t->data = r->data + data_at + offset;
    return true;
}

static bool read_directory(struct reader *r, size_t alignment, uint64_t n, struct mk_tensor **list,
                           size_t *n_list)
{
    if (n > left(r) / MIN_TENSOR_BYTES)
        return mk_fail(r->err, MK_EFORMAT, "%s: %llu tensors in %zu bytes", r->file,
                       (unsigned long long)n, left(r));
    const size_t first = *n_list;
    uint64_t *offsets = mk_calloc((size_t)n, sizeof *offsets);
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) {
        struct mk_tensor t;
        ok = take_tensor(r, &t, &offsets[i]);
        if (ok) mk_tensor_push(r->arena, list, n_list, &t);
    }
    const size_t data_at = (r->pos + alignment - 1) & ~(alignment - 1);
    for (size_t i = 0; ok && i < n; i++)
        ok = place(r, &(*list)[first + i], offsets[i], data_at, alignment);
    free(offsets);
    return ok && mk_tensors_apart(*list, first, *n_list, r->err);
}

static bool read_version(struct reader *r, struct mk_gguf *g)
{
    const uint8_t *magic = take(r, 4, "magic");
    if (!magic) return false;
    if (memcmp(magic, "GGUF", 4))
        return mk_fail(r->err, MK_EFORMAT, "%s: begins with %s, want GGUF", r->file,
                       mk_show((const char *)magic, 4).s);
    if (!take_u32(r, &g->version, "version")) return false;
    if (g->version && !(g->version & 0xffff))
        return mk_fail(r->err, MK_EUNSUPPORTED, "%s: big-endian GGUF (version bytes %08x)", r->file,
                       g->version);
    if (g->version < 2 || g->version > 3)
        return mk_fail(r->err, MK_EUNSUPPORTED, "%s: GGUF version %u, want 2 or 3", r->file,
                       g->version);
    return true;
}

bool mk_gguf_parse(struct mk_arena *arena, struct mk_gguf *meta, struct mk_tensor **list, size_t *n,
                   const struct mk_map *map, const char *file, struct mk_err *err)
{
    struct reader r = {
        .data = map->data, .size = map->size, .file = file, .arena = arena, .err = err};
    struct mk_gguf g = {0};
    struct mk_tensor *grown = *list;
    size_t n_all = *n;
    uint64_t n_tensors, n_kv;
    if (!read_version(&r, &g) || !take_u64(&r, &n_tensors, "tensor count") ||
        !take_u64(&r, &n_kv, "key count") || !read_metadata(&r, &g, n_kv) ||
        !read_directory(&r, g.alignment, n_tensors, &grown, &n_all))
        return false;
    *meta = g;
    *list = grown;
    *n = n_all;
    return true;
}
