/* Opening checkpoints: which files belong together, and finding tensors by name.
 * Names are kept sorted: looking one up is rare, and unlike a hash table the order
 * cannot be made slow by a hostile choice of names. */
#include "formats/tensors.h"

#include "base/file.h"
#include "base/str.h"
#include "formats/gguf.h"
#include "formats/int_formats.h"
#include "formats/safetensors.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FILES = 10000, SPLIT_SUFFIX = 20 /* -00001-of-00003.gguf */ };

struct mk_tensors_priv {
    struct mk_tensor_file *files;
    size_t n_files;
    const struct mk_tensor **by_name;
    char *dir;
};

/* ---- files --------------------------------------------------------------------- */

static bool map_file(struct mk_tensors *t, const char *path, struct mk_map *out, const char **file,
                     struct mk_err *err)
{
    struct mk_tensors_priv *p = t->priv;
    if (!mk_map_open(out, path, err)) return false;
    *file = mk_arena_strdup(&t->arena, path);
    p->files = mk_realloc(p->files, (p->n_files + 1) * sizeof *p->files);
    p->files[p->n_files++] = (struct mk_tensor_file){*file, *out};
    return true;
}

/* The same for a file that another one speaks of: without it the model is broken. */
static bool map_part(struct mk_tensors *t, const char *path, struct mk_map *out, const char **file,
                     struct mk_err *err)
{
    if (!mk_file_exists(path))
        return mk_fail(err, MK_EFORMAT, "%s: this part of the model is missing", path);
    return map_file(t, path, out, file, err);
}

/* Names what people open by mistake. */
static bool fail_unknown(const struct mk_map *m, const char *file, struct mk_err *err)
{
    static const char lfs[] = "version https://git-lfs";
    if (m->size >= sizeof lfs - 1 && !memcmp(m->data, lfs, sizeof lfs - 1))
        return mk_fail(err, MK_EFORMAT, "%s: a Git LFS pointer, not the file itself", file);
    if (m->size >= 4 && !memcmp(m->data, "PK\3\4", 4))
        return mk_fail(err, MK_EUNSUPPORTED, "%s: a PyTorch or zip archive, want safetensors",
                       file);
    return mk_fail(err, MK_EFORMAT, "%s: neither safetensors nor GGUF, begins with \"%s\"", file,
                   mk_show((const char *)m->data, m->size < 8 ? m->size : 8).s);
}

/* ---- GGUF ---------------------------------------------------------------------- */

static bool split_number(const struct mk_gguf *g, const char *key, uint64_t *out, const char *file,
                         struct mk_err *err)
{
    if (mk_gguf_u64(g, key, out) && *out <= MAX_FILES) return true;
    return mk_fail(err, MK_EFORMAT, "%s: %s is missing or not a number up to %d", file, key,
                   MAX_FILES);
}

static bool add_gguf_part(struct mk_tensors *t, const char *path, uint64_t no, uint64_t count,
                          struct mk_err *err)
{
    struct mk_map map;
    struct mk_gguf g;
    const char *file;
    uint64_t got_no, got_count;
    if (!map_part(t, path, &map, &file, err) ||
        !mk_gguf_parse(&t->arena, &g, &t->list, &t->n, &map, file, err) ||
        !split_number(&g, "split.no", &got_no, file, err) ||
        !split_number(&g, "split.count", &got_count, file, err))
        return false;
    if (got_no == no && got_count == count) return true;
    return mk_fail(err, MK_EFORMAT, "%s: is part %llu of %llu, want part %llu of %llu", file,
                   (unsigned long long)got_no + 1, (unsigned long long)got_count,
                   (unsigned long long)no + 1, (unsigned long long)count);
}

/* The first part is read; NAME-00001-of-00003.gguf names the others. */
static bool add_gguf_rest(struct mk_tensors *t, const char *first, uint64_t count,
                          struct mk_err *err)
{
    char suffix[40];
    snprintf(suffix, sizeof suffix, "-00001-of-%05llu.gguf", (unsigned long long)count);
    const size_t n = strlen(first), n_suffix = strlen(suffix);
    if (n < n_suffix || strcmp(first + n - n_suffix, suffix))
        return mk_fail(err, MK_EFORMAT, "%s: split.count is %llu, the name does not end in %s",
                       first, (unsigned long long)count, suffix);
    bool ok = true;
    for (uint64_t no = 1; ok && no < count; no++) {
        struct mk_str path = {0};
        mk_str_append(&path, first, n - n_suffix);
        mk_str_addf(&path, "-%05llu-of-%05llu.gguf", (unsigned long long)no + 1,
                    (unsigned long long)count);
        ok = add_gguf_part(t, path.data, no, count, err);
        mk_str_release(&path);
    }
    return ok;
}

static bool open_gguf(struct mk_tensors *t, const struct mk_map *map, const char *file,
                      struct mk_err *err)
{
    struct mk_gguf g;
    uint64_t no = 0, count, n_tensors;
    if (!mk_gguf_parse(&t->arena, &g, &t->list, &t->n, map, file, err)) return false;
    t->gguf = mk_arena_take(&t->arena, sizeof g);
    *t->gguf = g;
    if (!mk_gguf_find(&g, "split.count")) return true;
    if (!split_number(&g, "split.count", &count, file, err)) return false;
    if (count < 2) return true;
    if (!split_number(&g, "split.no", &no, file, err)) return false;
    if (no != 0)
        return mk_fail(err, MK_EUSAGE, "%s: part %llu of %llu, open the first part", file,
                       (unsigned long long)no + 1, (unsigned long long)count);
    if (!add_gguf_rest(t, file, count, err)) return false;
    if (mk_gguf_u64(&g, "split.tensors.count", &n_tensors) && n_tensors != t->n)
        return mk_fail(err, MK_EFORMAT, "%s: split.tensors.count is %llu, the parts have %zu", file,
                       (unsigned long long)n_tensors, t->n);
    return true;
}

static bool open_file(struct mk_tensors *t, const char *path, struct mk_err *err)
{
    struct mk_map map;
    const char *file;
    if (!map_file(t, path, &map, &file, err)) return false;
    if (map.size >= 4 && !memcmp(map.data, "GGUF", 4)) return open_gguf(t, &map, file, err);
    if (map.size > 8 && map.data[8] == '{')
        return mk_safetensors_parse(&t->arena, &t->list, &t->n, &map, file, err);
    return fail_unknown(&map, file, err);
}

/* ---- sharded safetensors ------------------------------------------------------- */

/* One line of weight_map. */
struct where {
    const char *tensor, *shard;
};

static int by_shard(const void *a, const void *b)
{
    const struct where *x = a, *y = b;
    const int c = strcmp(x->shard, y->shard);
    return c ? c : strcmp(x->tensor, y->tensor);
}

/* A shard lies beside its index: the name must not lead elsewhere. */
static bool check_shard_name(const char *name, const char *file, struct mk_err *err)
{
    if (!mk_name_check(name, strlen(name), "weight_map file", file, err)) return false;
    if (name[0] == '.' || strchr(name, '/'))
        return mk_fail(err, MK_EFORMAT, "%s: weight_map: %s is not a plain file name", file,
                       mk_show_str(name).s);
    return true;
}

struct weight_map {
    struct where *v;
    size_t n, cap;
};

static bool read_where(struct mk_tensors *t, struct mk_json_walk *w, struct weight_map *m,
                       struct mk_err *err)
{
    json_t *v = mk_json_value(w, 6 * MK_MAX_NAME + 16, err);
    if (!v) return false;
    bool ok = json_is_string(v) ? check_shard_name(json_string_value(v), w->file, err)
                                : mk_fail(err, MK_EFORMAT, "%s: weight_map: %s is not a string",
                                          w->file, mk_show_str(w->key).s);
    if (ok) {
        if (m->n == m->cap) {
            m->cap = m->cap ? 2 * m->cap : 256;
            m->v = mk_realloc(m->v, m->cap * sizeof *m->v);
        }
        m->v[m->n++] = (struct where){mk_arena_strdup(&t->arena, w->key),
                                      mk_arena_strdup(&t->arena, json_string_value(v))};
    }
    json_decref(v);
    return ok;
}

static bool read_weight_map(struct mk_tensors *t, struct mk_json_walk *outer, struct weight_map *m,
                            struct mk_err *err)
{
    struct mk_json_walk w;
    if (m->n) return mk_fail(err, MK_EFORMAT, "%s: weight_map appears twice", outer->file);
    if (!mk_json_enter(&w, outer, err)) return false;
    for (;;) {
        bool more;
        if (!mk_json_next(&w, &more, err)) return false;
        if (!more) break;
        if (!read_where(t, &w, m, err)) return false;
    }
    mk_json_leave(outer, &w);
    return true;
}

static bool read_index(struct mk_tensors *t, const struct mk_map *map, const char *file,
                       struct weight_map *m, struct mk_err *err)
{
    struct mk_json_walk w;
    if (!mk_json_begin(&w, (const char *)map->data, map->size, file, err)) return false;
    for (;;) {
        bool more;
        if (!mk_json_next(&w, &more, err)) return false;
        if (!more) break;
        if (!strcmp(w.key, "weight_map")) {
            if (!read_weight_map(t, &w, m, err)) return false;
        } else {
            json_t *v = mk_json_value(&w, MK_MAX_CONFIG_BYTES, err);
            if (!v) return false;
            json_decref(v);
        }
    }
    if (!mk_json_end(&w, err)) return false;
    return m->n || mk_fail(err, MK_EFORMAT, "%s: weight_map is missing or empty", file);
}

static bool open_shard(struct mk_tensors *t, const char *dir, const char *shard, struct mk_err *err)
{
    struct mk_str path = {0};
    struct mk_map map;
    const char *file;
    mk_str_addf(&path, "%s/%s", dir, shard);
    const bool ok = map_part(t, path.data, &map, &file, err) &&
                    mk_safetensors_parse(&t->arena, &t->list, &t->n, &map, file, err);
    mk_str_release(&path);
    return ok;
}

static bool open_shards(struct mk_tensors *t, const char *dir, const struct weight_map *m,
                        const char *file, struct mk_err *err)
{
    size_t n_shards = 0;
    for (size_t i = 0; i < m->n; i++) {
        if (i && !strcmp(m->v[i].shard, m->v[i - 1].shard)) continue;
        if (++n_shards > MAX_FILES)
            return mk_fail(err, MK_ELIMIT, "%s: more than %d files", file, MAX_FILES);
        if (!open_shard(t, dir, m->v[i].shard, err)) return false;
    }
    return true;
}

/* ---- names --------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct mk_tensor *const *)a)->name,
                  (*(const struct mk_tensor *const *)b)->name);
}

static bool sort_names(struct mk_tensors *t, struct mk_err *err)
{
    const struct mk_tensor **v = mk_calloc(t->n, sizeof *v);
    t->priv->by_name = v;
    for (size_t i = 0; i < t->n; i++) v[i] = &t->list[i];
    if (t->n) qsort(v, t->n, sizeof *v, by_name);
    for (size_t i = 1; i < t->n; i++)
        if (!strcmp(v[i - 1]->name, v[i]->name))
            return mk_fail(err, MK_EFORMAT, "%s: tensor %s appears twice%s%s", v[i]->file,
                           mk_show_str(v[i]->name).s,
                           v[i]->file == v[i - 1]->file ? "" : ", also in ",
                           v[i]->file == v[i - 1]->file ? "" : v[i - 1]->file);
    return true;
}

const struct mk_tensor *mk_tensors_find(const struct mk_tensors *t, const char *name)
{
    if (!t->n) return NULL;
    const struct mk_tensor wanted = {.name = name}, *key = &wanted;
    const struct mk_tensor **found =
        bsearch(&key, t->priv->by_name, t->n, sizeof *t->priv->by_name, by_name);
    return found ? *found : NULL;
}

const struct mk_tensor_file *mk_tensors_files(const struct mk_tensors *t, size_t *n)
{
    *n = t->priv->n_files;
    return t->priv->files;
}

size_t mk_tensors_file_of(const struct mk_tensors *t, const uint8_t *data)
{
    const struct mk_tensor_file *f = t->priv->files;
    size_t i = 0;
    while (data < f[i].map.data || data >= f[i].map.data + f[i].map.size) i++;
    return i;
}

/* Every tensor of the index is where it says. */
static bool check_index(const struct mk_tensors *t, const struct weight_map *m, const char *file,
                        struct mk_err *err)
{
    for (size_t i = 0; i < m->n; i++) {
        const struct where *w = &m->v[i];
        if (i && !strcmp(w->tensor, m->v[i - 1].tensor))
            return mk_fail(err, MK_EFORMAT, "%s: weight_map: tensor %s appears twice", file,
                           mk_show_str(w->tensor).s);
        const struct mk_tensor *found = mk_tensors_find(t, w->tensor);
        const char *slash = found ? strrchr(found->file, '/') : NULL;
        if (!found || strcmp(slash ? slash + 1 : found->file, w->shard))
            return mk_fail(err, MK_EFORMAT, "%s: weight_map: tensor %s is not in %s", file,
                           mk_show_str(w->tensor).s, mk_show_str(w->shard).s);
    }
    return true;
}

static bool open_index(struct mk_tensors *t, const char *dir, const char *path, struct mk_err *err)
{
    struct mk_map map;
    struct weight_map m = {0};
    if (!mk_map_open(&map, path, err)) return false;
    bool ok = read_index(t, &map, path, &m, err);
    if (ok) {
        qsort(m.v, m.n, sizeof *m.v, by_shard);
        ok = open_shards(t, dir, &m, path, err) && sort_names(t, err) &&
             check_index(t, &m, path, err);
    }
    free(m.v);
    mk_map_close(&map);
    return ok;
}

/* ---- folders ------------------------------------------------------------------- */

static bool ends_with(const char *s, const char *suffix)
{
    const size_t n = strlen(s), m = strlen(suffix);
    return n >= m && !strcmp(s + n - m, suffix);
}

/* NAME-00002-of-00003.gguf: found through the first part. */
static bool is_later_part(const char *name)
{
    const size_t n = strlen(name);
    unsigned no, count;
    return n > SPLIT_SUFFIX &&
           sscanf(name + n - SPLIT_SUFFIX, "-%5u-of-%5u.gguf", &no, &count) == 2 && no > 1;
}

/* The only *.suffix of a folder, in *found (free it); NULL when there is none. */
static bool find_single(const char *dir, const char *suffix, char **found, struct mk_err *err)
{
    DIR *d = opendir(dir);
    if (!d) return mk_fail_errno(err, "%s", dir);
    bool ok = true;
    *found = NULL;
    for (const struct dirent *e; ok && (e = readdir(d));) {
        if (e->d_name[0] == '.' || !ends_with(e->d_name, suffix) || is_later_part(e->d_name))
            continue;
        if (*found)
            ok = mk_fail(err, MK_EUSAGE, "%s: several models (%s, %s): name one", dir,
                         mk_show_str(*found).s, mk_show_str(e->d_name).s);
        else
            *found = mk_strdup(e->d_name);
    }
    closedir(d);
    if (!ok) free(*found);
    return ok;
}

static bool open_single(struct mk_tensors *t, const char *dir, struct mk_err *err)
{
    static const char *const suffixes[] = {".safetensors", ".gguf"};
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        char *name = NULL;
        if (!find_single(dir, suffixes[i], &name, err)) return false;
        if (!name) continue;
        struct mk_str path = {0};
        mk_str_addf(&path, "%s/%s", dir, name);
        const bool ok = open_file(t, path.data, err);
        mk_str_release(&path);
        free(name);
        return ok;
    }
    return mk_fail(err, MK_EFORMAT, "%s: no *.safetensors and no *.gguf in this folder", dir);
}

static bool open_dir(struct mk_tensors *t, const char *dir, struct mk_err *err)
{
    struct mk_str index = {0}, model = {0};
    mk_str_addf(&index, "%s/model.safetensors.index.json", dir);
    mk_str_addf(&model, "%s/model.safetensors", dir);
    bool ok;
    if (mk_file_exists(index.data))
        ok = open_index(t, dir, index.data, err);
    else if (mk_file_exists(model.data))
        ok = open_file(t, model.data, err);
    else
        ok = open_single(t, dir, err);
    mk_str_release(&index);
    mk_str_release(&model);
    return ok;
}

static char *dir_of(const char *path)
{
    if (mk_is_dir(path)) return mk_strdup(path);
    const char *slash = strrchr(path, '/');
    if (!slash) return mk_strdup(".");
    return slash == path ? mk_strdup("/") : mk_strndup(path, (size_t)(slash - path));
}

bool mk_tensors_open(struct mk_tensors *out, const char *path, struct mk_err *err)
{
    struct mk_tensors t = {.path = mk_strdup(path), .priv = mk_alloc(sizeof *t.priv)};
    t.priv->dir = dir_of(path);
    bool ok = mk_is_dir(path) ? open_dir(&t, t.priv->dir, err) : open_file(&t, path, err);
    if (ok && !t.priv->by_name) ok = sort_names(&t, err);
    if (!ok) {
        mk_tensors_close(&t);
        return false;
    }
    *out = t;
    return true;
}

void mk_tensors_close(struct mk_tensors *t)
{
    struct mk_tensors_priv *p = t->priv;
    if (p) {
        for (size_t i = 0; i < p->n_files; i++) mk_map_close(&p->files[i].map);
        free(p->files);
        free(p->by_name);
        free(p->dir);
        free(p);
    }
    free(t->path);
    mk_arena_release(&t->arena);
    *t = (struct mk_tensors){0};
}

const char *mk_tensors_dir(const struct mk_tensors *t) { return t->priv->dir; }
