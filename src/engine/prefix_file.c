#include "engine/int_prefix.h"

#include "base/file.h"
#include "base/mem.h"

#include <nettle/hmac.h>
#include <nettle/memops.h>
#include <stdlib.h>
#include <string.h>

static const char MAGIC[] = "minkekv1", SUFFIX[] = ".kv";
enum { NAME_CHARS = 32 };

static char *path_of(const struct mk_block_folder *f, const char *name, const char *suffix)
{
    struct mk_str s = {0};
    mk_str_addf(&s, "%s/%s%s", f->path, name, suffix);
    return mk_str_take(&s);
}

static char *block_path(const struct mk_block_folder *f, const struct mk_block_name *name)
{
    char hex[NAME_CHARS + 1];
    for (size_t i = 0; i < sizeof name->v; i++) snprintf(hex + 2 * i, 3, "%02x", name->v[i]);
    return path_of(f, hex, SUFFIX);
}

/* ---- heads ------------------------------------------------------------------------- */

static void put(uint8_t *p, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++) p[i] = (uint8_t)(v >> 8 * i);
}

static uint64_t get(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) v |= (uint64_t)p[i] << 8 * i;
    return v;
}

static void write_head(uint8_t out[MK_BLOCK_HEAD], const struct mk_block_folder *f,
                       const struct mk_block_head *h)
{
    memset(out, 0, MK_BLOCK_HEAD);
    memcpy(out, MAGIC, 8);
    memcpy(out + 8, f->model, 32);
    put(out + 40, h->owner, 8);
    memcpy(out + 48, h->parent.v, 16);
    put(out + 64, h->n, 4);
    for (size_t i = 0; i < h->n; i++) put(out + 68 + 4 * i, (uint32_t)h->ids[i], 4);
}

bool mk_block_head_parse(struct mk_block_head *out, const struct mk_block_folder *f,
                         const uint8_t *bytes)
{
    const size_t n = (size_t)get(bytes + 64, 4);
    if (memcmp(bytes, MAGIC, 8) != 0 || memcmp(bytes + 8, f->model, 32) != 0 || n == 0 ||
        n > MK_BLOCK_TOKS)
        return false;
    struct mk_block_head h = {.owner = get(bytes + 40, 8), .n = n};
    memcpy(h.parent.v, bytes + 48, 16);
    for (size_t i = 0; i < n; i++) h.ids[i] = (int32_t)get(bytes + 68 + 4 * i, 4);
    *out = h;
    return true;
}

static void mac(uint8_t *out, size_t n_out, const struct mk_block_folder *f, const uint8_t *bytes,
                size_t n)
{
    struct hmac_sha256_ctx c;
    hmac_sha256_set_key(&c, sizeof f->key, f->key);
    hmac_sha256_update(&c, n, bytes);
    hmac_sha256_digest(&c, n_out, out);
}

struct mk_block_name mk_block_name_of(const struct mk_block_folder *f,
                                      const struct mk_block_head *h)
{
    uint8_t head[MK_BLOCK_HEAD];
    struct mk_block_name name;
    write_head(head, f, h);
    mac(name.v, sizeof name.v, f, head, sizeof head);
    return name;
}

/* ---- blocks ------------------------------------------------------------------------ */

size_t mk_block_file_bytes(const struct mk_block_folder *f, size_t n_toks)
{
    return MK_BLOCK_HEAD + n_toks * f->tok_bytes + MK_BLOCK_MAC;
}

bool mk_block_write(const struct mk_block_folder *f, const struct mk_block_head *h,
                    const uint8_t *rows, struct mk_err *err)
{
    const struct mk_block_name name = mk_block_name_of(f, h);
    const size_t n = mk_block_file_bytes(f, h->n), n_data = n - MK_BLOCK_MAC;
    uint8_t *bytes = mk_alloc(n);
    char *path = block_path(f, &name);
    write_head(bytes, f, h);
    memcpy(bytes + MK_BLOCK_HEAD, rows, h->n * f->tok_bytes);
    mac(bytes + n_data, MK_BLOCK_MAC, f, bytes, n_data);
    const bool ok = mk_file_write_hasty(path, bytes, n, err);
    free(path);
    free(bytes);
    return ok;
}

static bool check_block(const struct mk_block_folder *f, const struct mk_block_head *h,
                        const struct mk_str *s, const char *path, struct mk_err *err)
{
    uint8_t want[MK_BLOCK_MAC], head[MK_BLOCK_HEAD];
    const uint8_t *bytes = (const uint8_t *)s->data;
    if (s->len != mk_block_file_bytes(f, h->n))
        return mk_fail(err, MK_EFORMAT, "%s: %zu bytes, want %zu", path, s->len,
                       mk_block_file_bytes(f, h->n));
    write_head(head, f, h);
    mac(want, sizeof want, f, bytes, s->len - MK_BLOCK_MAC);
    if (memcmp(bytes, head, sizeof head) != 0 ||
        !memeql_sec(bytes + s->len - MK_BLOCK_MAC, want, sizeof want))
        return mk_fail(err, MK_EFORMAT, "%s: damaged", path);
    return true;
}

bool mk_block_read(const struct mk_block_folder *f, const struct mk_block_head *h, uint8_t *rows,
                   struct mk_err *err)
{
    const struct mk_block_name name = mk_block_name_of(f, h);
    struct mk_str s = {0};
    char *path = block_path(f, &name);
    const bool ok = mk_file_read_regular(&s, path, mk_block_file_bytes(f, h->n), err) &&
                    check_block(f, h, &s, path, err);
    if (ok) memcpy(rows, s.data + MK_BLOCK_HEAD, h->n * f->tok_bytes);
    mk_str_release(&s);
    free(path);
    return ok;
}

void mk_block_remove(const struct mk_block_folder *f, const struct mk_block_name *name)
{
    char *path = block_path(f, name);
    (void)!mk_file_remove(path, NULL); /* what stays is found at the next start */
    free(path);
}

/* ---- the folder -------------------------------------------------------------------- */

/* The key that the folder has, or a new one: then what is there is of no use. */
static bool open_key(struct mk_block_folder *f, struct mk_err *err)
{
    char *path = path_of(f, "key", "");
    struct mk_str s = {0};
    bool ok = true;
    if (mk_file_read_regular(&s, path, sizeof f->key, NULL) && s.len == sizeof f->key) {
        memcpy(f->key, s.data, sizeof f->key);
    } else {
        ok = mk_random(f->key, sizeof f->key, err) &&
             mk_file_write(path, f->key, sizeof f->key, err);
    }
    mk_str_release(&s);
    free(path);
    return ok;
}

bool mk_block_folder_open(struct mk_block_folder *f, const char *path, const uint8_t model[32],
                          size_t tok_bytes, struct mk_err *err)
{
    struct mk_block_folder v = {.path = mk_strdup(path), .tok_bytes = tok_bytes};
    char *lock = path_of(&v, "lock", "");
    memcpy(v.model, model, sizeof v.model);
    const bool ok = mk_mkdirs(path, 0700, err) &&
                    (mk_is_own_dir(path) ||
                     mk_fail(err, MK_EUSAGE,
                             "%s: not a folder of this user, or others may write there", path)) &&
                    mk_lock_take(&v.lock, lock, path, err) && open_key(&v, err);
    free(lock);
    if (ok)
        *f = v;
    else
        mk_block_folder_close(&v);
    return ok;
}

void mk_block_folder_close(struct mk_block_folder *f)
{
    mk_lock_release(&f->lock);
    free(f->path);
    *f = (struct mk_block_folder){0};
}

/* "<32 hex digits>.kv", or what is left of one that was being written. */
static bool is_ours(const char *entry)
{
    const size_t n = strspn(entry, "0123456789abcdef");
    return n == NAME_CHARS && !strncmp(entry + n, SUFFIX, strlen(SUFFIX));
}

/* Whether it is a block by all that can be told without its rows. */
static bool look_at(struct mk_block_file *b, const struct mk_block_folder *f, const char *path)
{
    uint8_t head[MK_BLOCK_HEAD];
    struct mk_file_facts facts;
    if (!mk_file_peek(head, sizeof head, path, &facts, NULL) ||
        !mk_block_head_parse(&b->head, f, head) || facts.size != mk_block_file_bytes(f, b->head.n))
        return false;
    b->name = mk_block_name_of(f, &b->head);
    b->changed_ns = facts.changed_ns;
    char *want = block_path(f, &b->name);
    const bool ok = !strcmp(want, path);
    free(want);
    return ok;
}

static int by_age(const void *a, const void *b)
{
    const int64_t x = ((const struct mk_block_file *)a)->changed_ns,
                  y = ((const struct mk_block_file *)b)->changed_ns;
    return (x > y) - (x < y);
}

bool mk_block_folder_list(const struct mk_block_folder *f, struct mk_block_file **out, size_t *n,
                          size_t *n_removed, struct mk_err *err)
{
    struct mk_folder_list l = {0};
    if (!mk_folder_list(&l, f->path, err)) return false;
    struct mk_block_file *v = mk_calloc(l.n, sizeof *v);
    *n = *n_removed = 0;
    for (size_t i = 0; i < l.n; i++) {
        if (!is_ours(l.v[i])) continue;
        char *path = path_of(f, l.v[i], "");
        if (look_at(&v[*n], f, path))
            ++*n;
        else
            *n_removed += mk_file_remove(path, NULL);
        free(path);
    }
    mk_folder_list_release(&l);
    if (*n) qsort(v, *n, sizeof *v, by_age);
    *out = v;
    return true;
}
