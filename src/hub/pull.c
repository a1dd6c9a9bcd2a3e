/* A pull: what the name stands for, what of it is there, what is missing.  A set of files is
 * gathered in ENTRY.part/ and gets its name as a whole; ENTRY.part.json says of which revision it
 * is, so that files of two revisions never mix. */
#include "hub/int_hub.h"

#include "base/file.h"
#include "base/folder.h"
#include "base/mem.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- sizes ------------------------------------------------------------------------------- */

static uint64_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) || !S_ISREG(st.st_mode) ? 0 : (uint64_t)st.st_size;
}

/* Sums what is to be there and says so; fails when the disk has no room for the rest of it. */
static bool plan(struct mk_pull *p, const struct mk_repo *r, const char *folder, const char *file,
                 struct mk_err *err)
{
    uint64_t n_here = 0;
    p->total = 0;
    for (size_t i = 0; i < r->n; i++) {
        char *path = file ? mk_strdup(file) : mk_hub_join(folder, "/", mk_hub_base(r->v[i].name));
        char *part = mk_hub_join(path, ".part", "");
        const uint64_t n = size_of(path) + size_of(part);
        n_here += n < r->v[i].size ? n : r->v[i].size;
        if (r->v[i].size == MK_HTTP_UNKNOWN || p->total == MK_HTTP_UNKNOWN)
            p->total = MK_HTTP_UNKNOWN;
        else
            p->total += r->v[i].size;
        free(part);
        free(path);
    }
    if (p->total != MK_HTTP_UNKNOWN && !mk_has_room(folder, p->total - n_here, err)) return false;
    mk_pull_tell(p, MK_HUB_FOUND, NULL, 0);
    return true;
}

/* ---- a folder ---------------------------------------------------------------------------- */

static bool has_revision(const char *note, const char *revision)
{
    json_t *o = mk_note_read(note);
    const char *s = json_string_value(json_object_get(o, "revision"));
    const bool is_same = s && !strcmp(s, revision);
    json_decref(o);
    return is_same;
}

static bool write_revision(const char *note, const struct mk_pull *p, const char *revision,
                           struct mk_err *err)
{
    return mk_note_write(note, json_pack("{s:s}", "revision", revision), p->total, err);
}

static bool has_hash(const struct mk_pull *p, const char *path, const char *sha256)
{
    char got[MK_SHA256_CHARS + 1] = "";
    struct sha256_ctx hash;
    uint64_t n;
    const int fd = *sha256 ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    if (fd < 0) return false;
    sha256_init(&hash);
    if (mk_sha256_add_fd(&hash, fd, path, p->h->o, &n, NULL)) mk_sha256_hex(&hash, got);
    close(fd);
    return !strcmp(got, sha256);
}

/* Takes away finished files that are not what another revision, or other bytes, of them are now. */
static bool remove_changed(const struct mk_pull *p, const char *folder, const struct mk_repo *r,
                           struct mk_err *err)
{
    bool ok = true;
    for (size_t i = 0; ok && i < r->n; i++) {
        char *path = mk_hub_join(folder, "/", mk_hub_base(r->v[i].name));
        ok = has_hash(p, path, r->v[i].sha256) || mk_folder_remove(path, err);
        free(path);
    }
    return ok;
}

static bool pull_into(struct mk_pull *p, const struct mk_repo_file *f, const char *folder,
                      struct mk_err *err)
{
    struct stat st;
    char *path = mk_hub_join(folder, "/", mk_hub_base(f->name));
    bool ok = true;
    if (!lstat(path, &st) && S_ISREG(st.st_mode) &&
        (f->size == MK_HTTP_UNKNOWN || (uint64_t)st.st_size == f->size))
        p->done += (uint64_t)st.st_size;
    else
        ok = mk_folder_remove(path, err) && mk_download(p, f, path, err);
    free(path);
    return ok;
}

/* Whether name is a file of the set, or its part or note when with_parts. */
static bool is_of_set(const struct mk_repo *r, const char *name, bool with_parts)
{
    for (size_t i = 0; i < r->n; i++) {
        const char *base = mk_hub_base(r->v[i].name);
        const size_t n = strlen(base);
        if (strncmp(name, base, n) != 0) continue;
        if (!name[n] || (with_parts && !strncmp(name + n, ".part", 5))) return true;
    }
    return false;
}

/* What another revision or a killed process left. */
static bool remove_strangers(const char *folder, const struct mk_repo *r, bool with_parts,
                             struct mk_err *err)
{
    struct mk_folder_list l;
    if (!mk_folder_list(&l, folder, err)) return false;
    bool ok = true;
    for (size_t i = 0; ok && i < l.n; i++) {
        if (is_of_set(r, l.v[i], with_parts)) continue;
        char *path = mk_hub_join(folder, "/", l.v[i]);
        ok = mk_folder_remove(path, err);
        free(path);
    }
    mk_folder_list_release(&l);
    return ok;
}

/* No two files may end up with one name. */
static bool check_bases(const struct mk_repo *r, struct mk_err *err)
{
    for (size_t i = 0; i < r->n; i++)
        for (size_t k = 0; k < i; k++)
            if (!strcmp(mk_hub_base(r->v[i].name), mk_hub_base(r->v[k].name)))
                return mk_fail(err, MK_EFORMAT, "%s and %s would be one file", r->v[k].name,
                               r->v[i].name);
    return true;
}

static bool fill(struct mk_pull *p, const struct mk_repo *r, const char *folder, const char *note,
                 struct mk_err *err)
{
    bool ok = mk_mkdirs(folder, 0777, err) && remove_strangers(folder, r, true, err) &&
              (has_revision(note, r->revision) || remove_changed(p, folder, r, err)) &&
              plan(p, r, folder, NULL, err) && write_revision(note, p, r->revision, err);
    for (size_t i = 0; ok && i < r->n; i++) ok = pull_into(p, &r->v[i], folder, err);
    return ok && remove_strangers(folder, r, false, err);
}

static bool pull_folder(struct mk_pull *p, const struct mk_repo *r, const char *path,
                        struct mk_err *err)
{
    char *folder = mk_hub_join(path, ".part", ""), *note = mk_hub_join(path, ".part.json", "");
    bool ok = check_bases(r, err) && fill(p, r, folder, note, err);
    if (ok && rename(folder, path)) ok = mk_fail_errno(err, "%s", path);
    ok = ok && mk_sync_parent(path, err);
    if (ok || rmdir(folder) == 0) unlink(note); /* a folder with parts in it stays */
    free(folder);
    free(note);
    return ok;
}

static bool pull_file(struct mk_pull *p, const struct mk_repo *r, const char *path,
                      struct mk_err *err)
{
    char *folder = mk_strndup(path, (size_t)(mk_hub_base(path) - path));
    const bool ok = plan(p, r, folder, path, err) && mk_download(p, &r->v[0], path, err);
    free(folder);
    return ok;
}

/* ---- the whole --------------------------------------------------------------------------- */

static bool fetch(const struct mk_hub_options *o, const struct mk_hub_name *name, const char *path,
                  struct mk_err *err)
{
    struct mk_http h = {0};
    struct mk_repo r = {0};
    if (!mk_http_open(&h, o, err)) return false;
    struct mk_pull p = {.h = &h};
    const bool ok = mk_repo_list(&r, &h, name, err) &&
                    (name->is_folder ? pull_folder : pull_file)(&p, &r, path, err);
    mk_repo_release(&r);
    mk_http_close(&h);
    return ok;
}

static bool fetch_or_tell(const struct mk_hub_options *o, const struct mk_hub_name *name,
                          const char *path, struct mk_err *err)
{
    if (!mk_file_exists(path)) return fetch(o, name, path, err);
    if (o->tell) o->tell(o->arg, &(struct mk_hub_event){.kind = MK_HUB_HERE, .file = name->target});
    return true;
}

bool mk_hub_pull(const struct mk_hub_options *o, const char *text, char **path, struct mk_err *err)
{
    struct mk_hub_name name;
    struct mk_lock lock = {0};
    if (!mk_hub_name_parse(&name, text, err)) return false;
    char *to = mk_hub_join(o->models, "/", name.target);
    char *parent = mk_strndup(to, (size_t)(mk_hub_base(to) - 1 - to));
    const bool ok = mk_mkdirs(parent, 0777, err) &&
                    mk_hub_lock(&lock, o->models, name.target, err) &&
                    fetch_or_tell(o, &name, to, err);
    if (!ok) rmdir(parent); /* the owner, if nothing of it is there */
    mk_lock_release(&lock);
    mk_hub_name_release(&name);
    free(parent);
    if (ok)
        *path = to;
    else
        free(to);
    return ok;
}
