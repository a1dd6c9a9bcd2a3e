/* Reading safetensors.
 *
 *   | header length n, 8 bytes | JSON, n bytes | data ... |
 *                                              ^ data_offsets count from here
 *
 * The header is walked entry by entry; each entry is checked against the data that is
 * really there before it is kept. */
#include "formats/safetensors.h"

#include "formats/int_formats.h"

#include <string.h>

enum { MAX_HEADER = 100000000, MAX_ENTRY = 64 << 10, MAX_METADATA = 4 << 20 };

struct source {
    const char *file;
    const uint8_t *base, *data; /* of the file, of the data part */
    size_t n_data;
};

/* Element types that the format knows and minke does not. */
static bool is_foreign(const char *dtype)
{
    static const char *const names[] = {"BOOL", "U16",     "U32",     "U64",     "F8_E5M2",
                                        "C64",  "F8_E8M0", "F6_E2M3", "F6_E3M2", "F4"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(dtype, names[i])) return true;
    return false;
}

static bool read_dtype(struct mk_tensor *t, const json_t *v, struct mk_err *err)
{
    const struct mk_shown name = mk_show_str(t->name);
    if (!json_is_string(v))
        return mk_fail(err, MK_EFORMAT, "%s: tensor %s: dtype is not a string", t->file, name.s);
    const char *dtype = json_string_value(v);
    const int type = mk_type_of_safetensors(dtype);
    if (type < 0)
        return mk_fail(err, is_foreign(dtype) ? MK_EUNSUPPORTED : MK_EFORMAT,
                       "%s: tensor %s: dtype %s is %s", t->file, name.s, mk_show_str(dtype).s,
                       is_foreign(dtype) ? "not supported" : "unknown");
    t->type = (enum mk_type)type;
    return true;
}

static bool read_sizes(struct mk_tensor *t, const char *field, const json_t *v, size_t max,
                       size_t *out, size_t *n, struct mk_err *err)
{
    const struct mk_shown name = mk_show_str(t->name);
    if (!json_is_array(v))
        return mk_fail(err, MK_EFORMAT, "%s: tensor %s: %s is not an array", t->file, name.s,
                       field);
    *n = json_array_size(v);
    if (*n > max)
        return mk_fail(err, MK_EUNSUPPORTED, "%s: tensor %s: %s has %zu numbers, at most %zu",
                       t->file, name.s, field, *n, max);
    for (size_t i = 0; i < *n; i++) {
        const json_t *e = json_array_get(v, i);
        if (!json_is_integer(e))
            return mk_fail(err, MK_EFORMAT, "%s: tensor %s: %s[%zu] is not an integer", t->file,
                           name.s, field, i);
        if (json_integer_value(e) < 0)
            return mk_fail(err, MK_EFORMAT, "%s: tensor %s: %s[%zu] is %lld", t->file, name.s,
                           field, i, (long long)json_integer_value(e));
        out[i] = (size_t)json_integer_value(e);
    }
    return true;
}

static bool place(struct mk_tensor *t, const struct source *s, size_t begin, size_t end,
                  struct mk_err *err)
{
    const struct mk_shown name = mk_show_str(t->name);
    if (begin > end || end > s->n_data)
        return mk_fail(err, MK_EFORMAT,
                       "%s: tensor %s: data_offsets [%zu, %zu], the file has %zu bytes of data",
                       t->file, name.s, begin, end, s->n_data);
    if (end - begin != t->n_bytes)
        return mk_fail(err, MK_EFORMAT,
                       "%s: tensor %s: data_offsets [%zu, %zu] hold %zu bytes, its shape needs %zu",
                       t->file, name.s, begin, end, end - begin, t->n_bytes);
    t->data = s->data + begin;
    const size_t at = (size_t)(t->data - s->base), unit = mk_quants[t->type].block_bytes;
    if (at % unit)
        return mk_fail(err, MK_EFORMAT, "%s: tensor %s: file position %zu is not a multiple of %zu",
                       t->file, name.s, at, unit);
    return true;
}

static bool read_tensor(struct mk_tensor *t, const struct source *s, const json_t *entry,
                        struct mk_err *err)
{
    if (!json_is_object(entry))
        return mk_fail(err, MK_EFORMAT, "%s: tensor %s: not an object", t->file,
                       mk_show_str(t->name).s);
    size_t n_dims, n_ends, ends[2];
    if (!read_dtype(t, json_object_get(entry, "dtype"), err) ||
        !read_sizes(t, "shape", json_object_get(entry, "shape"), MK_MAX_DIMS, t->dims, &n_dims,
                    err) ||
        !read_sizes(t, "data_offsets", json_object_get(entry, "data_offsets"), 2, ends, &n_ends,
                    err))
        return false;
    if (n_ends != 2)
        return mk_fail(err, MK_EFORMAT, "%s: tensor %s: data_offsets has %zu numbers, want 2",
                       t->file, mk_show_str(t->name).s, n_ends);
    t->n_dims = (unsigned)n_dims;
    return mk_tensor_measure(t, err) && place(t, s, ends[0], ends[1], err);
}

static bool check_metadata(json_t *v, const char *file, struct mk_err *err)
{
    if (!json_is_object(v))
        return mk_fail(err, MK_EFORMAT, "%s: __metadata__ is not an object", file);
    for (void *i = json_object_iter(v); i; i = json_object_iter_next(v, i))
        if (!json_is_string(json_object_iter_value(i)))
            return mk_fail(err, MK_EFORMAT, "%s: __metadata__: %s is not a string", file,
                           mk_show_str(json_object_iter_key(i)).s);
    return true;
}

static bool read_entry(struct mk_arena *arena, struct mk_json_walk *w, const struct source *s,
                       struct mk_tensor **list, size_t *n, struct mk_err *err)
{
    const bool is_metadata = !strcmp(w->key, "__metadata__");
    json_t *v = mk_json_value(w, is_metadata ? MAX_METADATA : MAX_ENTRY, err);
    if (!v) return false;
    struct mk_tensor t = {.name = w->key, .file = s->file};
    const bool ok = is_metadata ? check_metadata(v, s->file, err) : read_tensor(&t, s, v, err);
    json_decref(v);
    if (!ok || is_metadata) return ok;
    t.name = mk_arena_strdup(arena, w->key);
    mk_tensor_push(arena, list, n, &t);
    return true;
}

static bool find_parts(struct source *s, const struct mk_map *map, const char *file,
                       struct mk_err *err)
{
    if (map->size < 8)
        return mk_fail(err, MK_EFORMAT, "%s: %zu bytes are too few for safetensors", file,
                       map->size);
    uint64_t n;
    memcpy(&n, map->data, 8);
    if (n > MAX_HEADER || n > map->size - 8)
        return mk_fail(
            err, MK_EFORMAT, "%s: header length %llu, at most %zu (file size, limit 100 MB)", file,
            (unsigned long long)n, map->size - 8 < MAX_HEADER ? map->size - 8 : (size_t)MAX_HEADER);
    *s = (struct source){.file = file,
                         .base = map->data,
                         .data = map->data + 8 + n,
                         .n_data = map->size - 8 - (size_t)n};
    return true;
}

bool mk_safetensors_parse(struct mk_arena *arena, struct mk_tensor **list, size_t *n,
                          const struct mk_map *map, const char *file, struct mk_err *err)
{
    struct source s = {0};
    struct mk_json_walk w;
    if (!find_parts(&s, map, file, err)) return false;
    const char *text = (const char *)map->data + 8;
    if (!mk_json_begin(&w, text, (size_t)(s.data - map->data) - 8, file, err)) return false;
    struct mk_tensor *grown = *list;
    size_t n_all = *n;
    for (;;) {
        bool more;
        if (!mk_json_next(&w, &more, err)) return false;
        if (!more) break;
        if (!read_entry(arena, &w, &s, &grown, &n_all, err)) return false;
    }
    if (!mk_json_end(&w, err) || !mk_tensors_apart(grown, *n, n_all, err)) return false;
    *list = grown;
    *n = n_all;
    return true;
}
