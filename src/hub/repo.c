/* The hub's answer to "what is in this repository": an object with the commit ("sha") and one entry
 * for each file ("siblings") with its name, its size and, for large ones, its SHA-256. */
#include "hub/int_hub.h"

#include "base/mem.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_JSON_BYTES = 16 << 20, MAX_FILES = 20000, MAX_PARTS = 1000 };
static const uint64_t max_file_bytes = (uint64_t)1 << 44;

void mk_repo_release(struct mk_repo *r)
{
    for (size_t i = 0; i < r->n; i++) {
        free(r->v[i].name);
        free(r->v[i].url);
    }
    free(r->v);
    free(r->revision);
    *r = (struct mk_repo){0};
}

static struct mk_repo_file *add_file(struct mk_repo *r, const char *name)
{
    r->v = mk_realloc(r->v, (r->n + 1) * sizeof *r->v);
    r->v[r->n] = (struct mk_repo_file){.name = mk_strdup(name), .size = MK_HTTP_UNKNOWN};
    return &r->v[r->n++];
}

/* What a folder of safetensors needs.  The same weights in other formats stay where they are. */
static bool is_needed(const char *file)
{
    static const char *const names[] = {
        "config.json",         "generation_config.json",  "tokenizer.json", "tokenizer_config.json",
        "chat_template.jinja", "special_tokens_map.json", "LICENSE",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(file, names[i])) return true;
    return strncmp(file, "consolidated", 12) != 0 &&
           (mk_hub_ends_with(file, ".safetensors") ||
            mk_hub_ends_with(file, ".safetensors.index.json"));
}

static bool is_hex(const char *s, size_t n)
{
    return strlen(s) == n && strspn(s, "0123456789abcdef") == n;
}

/* Whether the name asks for this file. */
static bool is_asked_for(const char *file, const struct mk_hub_name *name)
{
    size_t n_stem, n_other;
    unsigned n_parts, n_others;
    if (!name->file) return is_needed(file);
    if (!mk_hub_is_split(name->file, &n_stem, &n_parts)) return !strcmp(file, name->file);
    return mk_hub_is_split(file, &n_other, &n_others) && n_other == n_stem && n_others == n_parts &&
           !memcmp(file, name->file, n_stem);
}

static bool read_file(struct mk_repo *r, const json_t *item, const char *file,
                      const struct mk_hub_name *name, struct mk_err *err)
{
    const json_t *lfs = json_object_get(item, "lfs");
    const char *sha256 = json_string_value(json_object_get(lfs, "sha256"));
    const json_t *size = json_object_get(lfs, "size");
    if (!size) size = json_object_get(item, "size");
    if (!mk_hub_is_safe_path(file))
        return mk_fail(err, MK_EFORMAT, "the list has a file with the name \"%.200s\"", file);
    if (!name->file && strchr(file, '/')) return true; /* a variant in a subfolder */
    struct mk_repo_file *f = add_file(r, file);
    if (size && (!json_is_integer(size) || json_integer_value(size) < 0 ||
                 (uint64_t)json_integer_value(size) > max_file_bytes))
        return mk_fail(err, MK_EFORMAT, "%s: its size in the list is no size", file);
    if (size) f->size = (uint64_t)json_integer_value(size);
    if (sha256 && !is_hex(sha256, MK_SHA256_CHARS))
        return mk_fail(err, MK_EFORMAT, "%s: its SHA-256 in the list is none", file);
    if (sha256) memcpy(f->sha256, sha256, sizeof f->sha256);
    return true;
}

static bool read_files(struct mk_repo *r, const json_t *list, const struct mk_hub_name *name,
                       struct mk_err *err)
{
    size_t i;
    const json_t *item;
    if (!json_is_array(list) || json_array_size(list) > MAX_FILES)
        return mk_fail(err, MK_EFORMAT, "no list of at most %d files", MAX_FILES);
    json_array_foreach(list, i, item)
    {
        const char *file = json_string_value(json_object_get(item, "rfilename"));
        if (!file) return mk_fail(err, MK_EFORMAT, "file %zu of the list has no name", i);
        if (is_asked_for(file, name) && !read_file(r, item, file, name, err)) return false;
    }
    return true;
}

static int by_name(const void *a, const void *b)
{
    const struct mk_repo_file *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* GGUF files for the message about a repository without safetensors. */
static void name_gguf_files(struct mk_str *out, const json_t *list)
{
    size_t i;
    const json_t *item;
    json_array_foreach(list, i, item)
    {
        const char *file = json_string_value(json_object_get(item, "rfilename"));
        if (!file || !mk_hub_ends_with(file, ".gguf") || out->len + strlen(file) > 300) continue;
        mk_str_addf(out, "%s%s", out->len ? ", " : "", file);
    }
}

static bool fail_without(const json_t *list, const struct mk_hub_name *name, struct mk_err *err)
{
    struct mk_str files = {0};
    if (name->file) return mk_fail(err, MK_EIO, "there is no file %s", name->file);
    name_gguf_files(&files, list);
    if (files.len)
        mk_fail(err, MK_EUNSUPPORTED, "no safetensors; name one of its files, as in %s:FILE: %s",
                name->repo, files.data);
    else
        mk_fail(err, MK_EUNSUPPORTED, "neither safetensors nor GGUF files");
    mk_str_release(&files);
    return false;
}

static bool has_weights(const struct mk_repo *r)
{
    for (size_t i = 0; i < r->n; i++)
        if (mk_hub_ends_with(r->v[i].name, ".safetensors") ||
            mk_hub_ends_with(r->v[i].name, ".gguf"))
            return true;
    return false;
}

/* All files once, and of a split set all parts. */
static bool check_set(const struct mk_repo *r, const struct mk_hub_name *name, struct mk_err *err)
{
    size_t n_stem;
    unsigned n_parts;
    for (size_t i = 1; i < r->n; i++)
        if (!strcmp(r->v[i - 1].name, r->v[i].name))
            return mk_fail(err, MK_EFORMAT, "the list has %s twice", r->v[i].name);
    if (name->file && mk_hub_is_split(name->file, &n_stem, &n_parts) && r->n != n_parts)
        return mk_fail(err, MK_EFORMAT, "the list has %zu of the %u parts of %s", r->n, n_parts,
                       name->file);
    return true;
}

static bool read_answer(struct mk_repo *r, const json_t *o, const struct mk_hub_name *name,
                        struct mk_err *err)
{
    const char *revision = json_string_value(json_object_get(o, "sha"));
    const json_t *list = json_object_get(o, "siblings");
    if (!revision || !is_hex(revision, 40)) return mk_fail(err, MK_EFORMAT, "no commit");
    r->revision = mk_strdup(revision);
    if (!read_files(r, list, name, err)) return false;
    if (!has_weights(r)) return fail_without(list, name, err);
    qsort(r->v, r->n, sizeof *r->v, by_name);
    return check_set(r, name, err);
}

bool mk_repo_parse(struct mk_repo *out, const char *json, size_t n, const struct mk_hub_name *name,
                   struct mk_err *err)
{
    struct mk_repo r = {0};
    json_error_t why;
    json_t *o = json_loadb(json, n, 0, &why); /* jansson limits the depth */
    const bool ok = o ? read_answer(&r, o, name, err)
                      : mk_fail(err, MK_EFORMAT, "the answer is not JSON: %s", why.text);
    json_decref(o);
    if (ok)
        *out = r;
    else
        mk_repo_release(&r);
    return ok;
}

static bool list_hub(struct mk_repo *out, struct mk_http *h, const struct mk_hub_name *name,
                     struct mk_err *err)
{
    struct mk_str url = {0}, json = {0};
    mk_str_addf(&url, "%s/api/models/%s/revision/%s?blobs=true", h->o->endpoint, name->repo,
                name->revision);
    bool ok = mk_http_text(h, url.data, MAX_JSON_BYTES, &json, err);
    if (ok && !mk_repo_parse(out, mk_str_c(&json), json.len, name, err))
        ok = mk_fail_in(err, "%s", name->repo);
    for (size_t i = 0; ok && i < out->n; i++) {
        mk_str_clear(&url);
        mk_str_addf(&url, "%s/%s/resolve/%s/%s", h->o->endpoint, name->repo, out->revision,
                    out->v[i].name);
        out->v[i].url = mk_strdup(url.data);
    }
    mk_str_release(&url);
    mk_str_release(&json);
    return ok;
}

/* An address, or those of all parts. */
static bool list_url(struct mk_repo *r, const struct mk_hub_name *name, struct mk_err *err)
{
    const size_t n_path = strcspn(name->url, "?");
    char *path = mk_strndup(name->url, n_path);
    size_t n_stem = 0;
    unsigned n_parts = 1;
    const bool is_split = mk_hub_is_split(path, &n_stem, &n_parts);
    r->revision = mk_strdup(name->url);
    for (unsigned i = 1; i <= n_parts && n_parts <= MAX_PARTS; i++) {
        struct mk_str url = {0};
        if (is_split)
            mk_str_addf(&url, "%.*s-%05u-of-%05u.gguf", (int)n_stem, path, i, n_parts);
        else
            mk_str_add(&url, path);
        struct mk_repo_file *f = add_file(r, mk_hub_base(url.data));
        mk_str_add(&url, name->url + n_path);
        f->url = mk_str_take(&url);
    }
    free(path);
    return n_parts <= MAX_PARTS ||
           mk_fail(err, MK_ELIMIT, "%s: more than %d parts", name->url, MAX_PARTS);
}

bool mk_repo_list(struct mk_repo *out, struct mk_http *h, const struct mk_hub_name *name,
                  struct mk_err *err)
{
    struct mk_repo r = {0};
    const bool ok = name->url ? list_url(&r, name, err) : list_hub(&r, h, name, err);
    if (ok)
        *out = r;
    else
        mk_repo_release(&r);
    return ok;
}
