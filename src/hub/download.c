/* One file.  The part grows in place, so a cut at any moment, the end of the process included,
 * loses nothing; what is needed to go on (from where the bytes are, their ETag, size and hash) lies
 * beside it.  Going on hashes the part again, so that the hash covers the bytes on the disk. */
#include "hub/int_hub.h"

#include "base/file.h"
#include "base/folder.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

struct download {
    struct mk_pull *p;
    const struct mk_repo_file *f;
    char *part, *note; /* the part, and what is known about it */
    int fd;
    uint64_t pos, size; /* bytes in the part and in the file */
    uint64_t best;      /* the largest pos so far */
    struct sha256_ctx hash;
    char etag[sizeof((struct mk_http_get *)0)->etag];
    const struct mk_http_get *get;
    bool is_other; /* the server has another file now, and did not say so by itself */
};

void mk_pull_tell(const struct mk_pull *p, enum mk_hub_event_kind kind,
                  const struct mk_repo_file *f, uint64_t file_done)
{
    const struct mk_hub_options *o = p->h->o;
    if (!o->tell) return;
    o->tell(o->arg, &(struct mk_hub_event){.kind = kind,
                                           .file = f ? f->name : NULL,
                                           .file_done = file_done,
                                           .file_total = f ? f->size : MK_HTTP_UNKNOWN,
                                           .done = p->done,
                                           .total = p->total});
}

bool mk_has_room(const char *path, uint64_t n_bytes, struct mk_err *err)
{
    struct statvfs disk;
    if (statvfs(path, &disk)) return mk_fail_errno(err, "%s", path);
    const uint64_t n_free = (uint64_t)disk.f_bavail * disk.f_frsize;
    if (n_free >= n_bytes) return true;
    return mk_fail(err, MK_EIO, "%s: %llu MB are needed and %llu MB are free on this disk", path,
                   (unsigned long long)(n_bytes / 1000000) + 1,
                   (unsigned long long)(n_free / 1000000));
}

/* ---- what is known about the part -------------------------------------------------------- */

static bool write_note(const struct download *d, struct mk_err *err)
{
    return mk_note_write(
        d->note,
        json_pack("{s:s, s:s, s:s}", "url", d->f->url, "etag", d->etag, "sha256", d->f->sha256),
        d->size, err);
}

/* Whether the part is of this file: by the hash, or by the address with an ETag to ask by. */
static bool read_note(struct download *d)
{
    json_t *o = mk_note_read(d->note);
    const char *url = json_string_value(json_object_get(o, "url"));
    const char *etag = json_string_value(json_object_get(o, "etag"));
    const char *sha256 = json_string_value(json_object_get(o, "sha256"));
    const bool is_header = etag && *etag == '"' && !strpbrk(etag, "\r\n");
    snprintf(d->etag, sizeof d->etag, "%s", is_header ? etag : "");
    const bool is_same_hash = *d->f->sha256 && sha256 && !strcmp(sha256, d->f->sha256);
    const bool is_same_url = !*d->f->sha256 && url && !strcmp(url, d->f->url) && *d->etag;
    json_decref(o);
    return is_same_hash || is_same_url;
}

/* ---- the part ---------------------------------------------------------------------------- */

static void set_pos(struct download *d, uint64_t pos)
{
    d->p->done += pos - d->pos; /* modulo 2^64: down, too */
    d->pos = pos;
}

static bool start_over(struct download *d, struct mk_err *err)
{
    set_pos(d, 0);
    d->etag[0] = '\0';
    sha256_init(&d->hash);
    if (ftruncate(d->fd, 0) || lseek(d->fd, 0, SEEK_SET)) return mk_fail_errno(err, "%s", d->part);
    return true;
}

static bool open_part(struct download *d, struct mk_err *err)
{
    struct stat st;
    uint64_t n;
    sha256_init(&d->hash);
    d->fd = open(d->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (d->fd < 0) return mk_fail_errno(err, "%s", d->part);
    if (fstat(d->fd, &st)) return mk_fail_errno(err, "%s", d->part);
    if (!S_ISREG(st.st_mode)) return mk_fail(err, MK_EFORMAT, "%s: not a regular file", d->part);
    if ((uint64_t)st.st_size > d->size || !read_note(d)) return start_over(d, err);
    if (st.st_size) mk_pull_tell(d->p, MK_HUB_CHECK, d->f, (uint64_t)st.st_size);
    if (!mk_sha256_add_fd(&d->hash, d->fd, d->part, d->p->h->o, &n, err)) return false;
    set_pos(d, n);
    d->best = n;
    return true;
}

/* The headers are here: is it the file, and does it begin where the part ends? */
static bool on_begin(void *arg, struct mk_err *err)
{
    struct download *d = arg;
    const struct mk_http_get *g = d->get;
    if (g->is_page)
        return mk_fail(err, MK_EFORMAT, "%s: the server sends a web page, not a file", d->f->url);
    if (d->f->size != MK_HTTP_UNKNOWN && g->size != MK_HTTP_UNKNOWN && g->size != d->f->size)
        return mk_fail(err, MK_EFORMAT, "%s: %llu bytes in the list, %llu from the server",
                       d->f->url, (unsigned long long)d->f->size, (unsigned long long)g->size);
    if (d->f->size == MK_HTTP_UNKNOWN) d->size = g->size;
    if (g->start != d->pos && g->start != 0)
        return mk_fail(err, MK_EFORMAT, "%s: byte %llu was asked for, %llu comes", d->f->url,
                       (unsigned long long)d->pos, (unsigned long long)g->start);
    d->is_other = g->start > 0 && *d->etag && *g->etag && strcmp(d->etag, g->etag) != 0;
    if (d->is_other) return mk_fail(err, MK_EIO, "%s: the file has changed", d->f->url);
    if (g->start != d->pos && !start_over(d, err)) return false;
    if (d->size != MK_HTTP_UNKNOWN && !mk_has_room(d->part, d->size - d->pos, err)) return false;
    memcpy(d->etag, g->etag, sizeof d->etag);
    return write_note(d, err);
}

static bool on_take(void *arg, const void *bytes, size_t n, struct mk_err *err)
{
    struct download *d = arg;
    if (n > d->size - d->pos)
        return mk_fail(err, MK_EFORMAT, "%s: the server sends more than %llu bytes", d->f->url,
                       (unsigned long long)d->size);
    for (size_t done = 0; done < n;) {
        const ssize_t k = write(d->fd, (const char *)bytes + done, n - done);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return mk_fail_errno(err, "%s: cannot be written", d->part);
        sha256_update(&d->hash, (size_t)k, (const uint8_t *)bytes + done);
        set_pos(d, d->pos + (uint64_t)k);
        done += (size_t)k;
    }
    mk_pull_tell(d->p, MK_HUB_PROGRESS, d->f, d->pos);
    return true;
}

/* ---- all of it --------------------------------------------------------------------------- */

/* One request.  *is_whole: the file is there. */
static bool attempt(struct download *d, struct mk_http_get *g, bool *is_whole, struct mk_err *err)
{
    *g = (struct mk_http_get){.url = d->f->url,
                              .from = d->pos,
                              .if_range = *d->etag ? d->etag : NULL,
                              .begin = on_begin,
                              .take = on_take,
                              .arg = d};
    d->get = g;
    const bool ok = mk_http_get(d->p->h, g, err);
    d->get = NULL;
    if (ok) {
        *is_whole = d->size == MK_HTTP_UNKNOWN || d->pos == d->size;
        g->may_retry = true;
        return *is_whole ||
               mk_fail(err, MK_EIO, "%s: the server ends at byte %llu of %llu", d->f->url,
                       (unsigned long long)d->pos, (unsigned long long)d->size);
    }
    /* 416: shorter than the part, so another file. */
    if (d->is_other || (g->status == 416 && d->pos)) g->may_retry = start_over(d, err);
    d->is_other = false;
    return false;
}

static bool fetch(struct download *d, struct mk_err *err)
{
    struct mk_retry retry = {0};
    struct mk_http_get g;
    bool is_whole = d->pos > 0 && d->pos == d->size;
    while (!is_whole) {
        if (attempt(d, &g, &is_whole, err)) continue;
        if (d->pos > d->best) retry.n = 0;
        if (d->pos > d->best) d->best = d->pos;
        if (!mk_retry_wait(&retry, d->p->h, &g, d->f->name, err)) return false;
    }
    return true;
}

static bool check_hash(struct download *d, struct mk_err *err)
{
    char got[MK_SHA256_CHARS + 1];
    mk_sha256_hex(&d->hash, got);
    if (!*d->f->sha256 || !strcmp(got, d->f->sha256)) return true;
    unlink(d->part);
    unlink(d->note);
    set_pos(d, 0);
    return mk_fail(err, MK_EFORMAT,
                   "%s: SHA-256 is %s, the hub says %s; the bad part was removed, pull again",
                   d->f->name, got, d->f->sha256);
}

static bool finish(struct download *d, const char *path, struct mk_err *err)
{
    if (fsync(d->fd)) return mk_fail_errno(err, "%s", d->part);
    if (rename(d->part, path)) return mk_fail_errno(err, "%s", path);
    unlink(d->note);
    return mk_sync_parent(path, err);
}

/* Nothing came: there is nothing to go on with. */
static void remove_if_empty(const struct download *d)
{
    struct stat st;
    if (d->fd < 0 || fstat(d->fd, &st) || !S_ISREG(st.st_mode) || st.st_size) return;
    unlink(d->part);
    unlink(d->note);
}

bool mk_download(struct mk_pull *p, const struct mk_repo_file *f, const char *path,
                 struct mk_err *err)
{
    struct mk_str part = {0}, note = {0};
    mk_str_addf(&part, "%s.part", path);
    mk_str_addf(&note, "%s.part.json", path);
    struct download d = {
        .p = p, .f = f, .part = part.data, .note = note.data, .fd = -1, .size = f->size};
    bool ok = open_part(&d, err);
    if (ok) mk_pull_tell(p, MK_HUB_BEGIN, f, d.pos);
    ok = ok && fetch(&d, err) && check_hash(&d, err) && finish(&d, path, err);
    if (ok)
        mk_pull_tell(p, MK_HUB_END, f, d.pos);
    else
        remove_if_empty(&d);
    if (d.fd >= 0) close(d.fd);
    mk_str_release(&part);
    mk_str_release(&note);
    return ok;
}
