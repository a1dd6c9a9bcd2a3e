/* The files of a conversion: one GGUF, or a folder with one or more safetensors. */
#include "base/file.h"
#include "base/str.h"
#include "cli/convert.h"
#include "cli/term.h"
#include "formats/gguf.h"
#include "formats/safetensors.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* Where pieces go, and how far we are. */
struct sink {
    struct mk_gguf_writer *gguf;
    struct mk_st_writer *st;
    size_t done, total;
};

static bool sink_add(void *arg, const void *bytes, size_t n, struct mk_err *err)
{
    struct sink *s = arg;
    if (!(s->gguf ? mk_gguf_writer_add(s->gguf, bytes, n, err)
                  : mk_st_writer_add(s->st, bytes, n, err)))
        return false;
    s->done += n;
    mk_term_progress("writing", s->done, s->total);
    return true;
}

static bool add_targets(struct mk_convert *c, struct sink *s, size_t first, size_t last,
                        struct mk_err *err)
{
    bool ok = true;
    for (size_t i = first; ok && i < last; i++) ok = mk_produce(c, &c->v[i], sink_add, s, err);
    if (!ok) mk_term_progress_clear();
    return ok;
}

static struct mk_tensor *list_of(const struct mk_convert *c, size_t first, size_t last)
{
    struct mk_tensor *list = mk_calloc(last - first + 1, sizeof *list);
    for (size_t i = first; i < last; i++) list[i - first] = c->v[i].t;
    return list;
}

bool mk_write_gguf(struct mk_convert *c, const char *path, struct mk_err *err)
{
    struct sink s = {.total = c->n_bytes};
    if (!mk_gguf_writer_open(&s.gguf, path, err)) return false;
    struct mk_tensor *list = list_of(c, 0, c->n);
    const bool ok = mk_put_metadata(c, s.gguf, err) &&
                    mk_gguf_writer_tensors(s.gguf, list, c->n, err) &&
                    add_targets(c, &s, 0, c->n, err);
    free(list);
    if (ok) return mk_gguf_writer_close(s.gguf, err);
    mk_gguf_writer_abandon(s.gguf);
    return false;
}

/* ---- safetensors ------------------------------------------------------------------------ */

/* The end of the shard that begins at target `first`: a tensor larger than a shard gets one
 * of its own. */
static size_t shard_end(const struct mk_convert *c, size_t first, size_t shard_bytes)
{
    size_t i = first, n = 0;
    while (i < c->n && (i == first || n + c->v[i].t.n_bytes <= shard_bytes))
        n += c->v[i++].t.n_bytes;
    return i;
}

static bool write_shard(struct mk_convert *c, const char *path, struct sink *s, size_t first,
                        size_t last, struct mk_err *err)
{
    static const char *const metadata[] = {"format", "pt", NULL};
    struct mk_tensor *list = list_of(c, first, last);
    bool ok = mk_st_writer_open(&s->st, path, list, last - first, metadata, err);
    free(list);
    if (!ok) return false;
    if (add_targets(c, s, first, last, err)) return mk_st_writer_close(s->st, err);
    mk_st_writer_abandon(s->st);
    return false;
}

static bool write_index(const struct mk_convert *c, const char *dir, json_t *map,
                        struct mk_err *err)
{
    json_t *root = json_pack("{s:{s:I}, s:O}", "metadata", "total_size", (json_int_t)c->n_bytes,
                             "weight_map", map);
    const bool ok = mk_json_write(dir, "model.safetensors.index.json", root, err);
    json_decref(root);
    return ok;
}

static bool write_shards(struct mk_convert *c, const char *dir, size_t shard_bytes,
                         struct mk_err *err)
{
    struct sink s = {.total = c->n_bytes};
    struct mk_str path = {0};
    size_t n_shards = 0;
    for (size_t i = 0; i < c->n; n_shards++) i = shard_end(c, i, shard_bytes);
    json_t *map = json_object();
    bool ok = true;
    for (size_t i = 0, k = 1, end; ok && i < c->n; i = end, k++) {
        end = shard_end(c, i, shard_bytes);
        mk_str_clear(&path);
        mk_str_addf(&path, "%s/", dir);
        if (n_shards == 1)
            mk_str_add(&path, "model.safetensors");
        else
            mk_str_addf(&path, "model-%05zu-of-%05zu.safetensors", k, n_shards);
        for (size_t j = i; j < end; j++)
            json_object_set_new(map, c->v[j].t.name, json_string(path.data + strlen(dir) + 1));
        ok = write_shard(c, path.data, &s, i, end, err);
    }
    if (ok && n_shards > 1) ok = write_index(c, dir, map, err);
    json_decref(map);
    mk_str_release(&path);
    return ok;
}

/* A shard or an index that is already there would be read together with ours. */
static bool check_empty(const char *dir, struct mk_err *err)
{
    struct mk_tensors t;
    struct mk_str config = {0};
    mk_str_addf(&config, "%s/config.json", dir);
    const bool has_config = mk_file_exists(config.data);
    mk_str_release(&config);
    if (!has_config && !mk_tensors_open(&t, dir, NULL)) return true;
    if (!has_config) mk_tensors_close(&t);
    return mk_fail(err, MK_EUSAGE, "%s: there is a model in this folder already", dir);
}

bool mk_write_folder(struct mk_convert *c, const char *dir, size_t shard_bytes, struct mk_err *err)
{
    json_t *config = mk_make_config(c, err); /* fails before anything is written */
    const bool ok = config && check_empty(dir, err) && mk_mkdirs(dir, 0777, err) &&
                    write_shards(c, dir, shard_bytes, err) && mk_write_settings(c, dir, err) &&
                    mk_json_write(dir, "config.json", config, err);
    json_decref(config);
    return ok;
}
