#include "base/direct.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int64_t change_time(const struct stat *st)
{
    return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

/* Some file systems take the flag and refuse the reads. */
static bool reads_directly(int fd, size_t size)
{
    const int flags = fcntl(fd, F_GETFL);
    void *page;
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_DIRECT)) return false;
    if (posix_memalign(&page, MK_DIRECT_PAGE, MK_DIRECT_PAGE)) return false;
    const bool ok = size == 0 || pread(fd, page, MK_DIRECT_PAGE, 0) > 0;
    free(page);
    return ok || fcntl(fd, F_SETFL, flags) != 0;
}

bool mk_direct_open(struct mk_direct *out, const char *path, struct mk_err *err)
{
    struct mk_direct d = {.path = path, .fd = -1};
    struct mk_map blob;
    struct stat st;
    if (mk_blob_find(path, &blob)) {
        d.blob = blob.data, d.size = blob.size;
        *out = d;
        return true;
    }
    d.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (d.fd < 0) return mk_fail_errno(err, "%s", path);
    if (fstat(d.fd, &st) || !S_ISREG(st.st_mode)) {
        close(d.fd);
        return mk_fail(err, MK_EFORMAT, "%s: not a regular file", path);
    }
    d.size = (size_t)st.st_size;
    d.changed_ns = change_time(&st);
    d.is_direct = reads_directly(d.fd, d.size);
    *out = d;
    return true;
}

void mk_direct_close(struct mk_direct *d)
{
    if (d->fd > 0) close(d->fd);
    *d = (struct mk_direct){0};
}

/* Asked after a read: what was changed before it is seen. */
static bool is_unchanged(const struct mk_direct *d, struct mk_err *err)
{
    struct stat st;
    if (fstat(d->fd, &st)) return mk_fail_errno(err, "%s", d->path);
    if ((size_t)st.st_size == d->size && change_time(&st) == d->changed_ns) return true;
    return mk_fail(err, MK_EIO, "%s: has changed since it was opened: %zu bytes, now %zu", d->path,
                   d->size, (size_t)st.st_size);
}

/* At least n_least of the n bytes at `at`. */
static bool read_pages(const struct mk_direct *d, uint8_t *buf, size_t at, size_t n, size_t n_least,
                       struct mk_err *err)
{
    size_t done = 0;
    while (done < n_least) {
        const ssize_t got = pread(d->fd, buf + done, n - done, (off_t)(at + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return mk_fail_errno(err, "%s: reading %zu bytes at %zu", d->path, n, at);
        if (got == 0)
            return is_unchanged(d, err) && mk_fail(err, MK_EIO, "%s: ends at %zu, want %zu",
                                                   d->path, at + done, at + n_least);
        done += (size_t)got;
    }
    if (!d->is_direct) (void)!posix_fadvise(d->fd, (off_t)at, (off_t)n, POSIX_FADV_DONTNEED);
    return is_unchanged(d, err);
}

bool mk_direct_read(const struct mk_direct *d, uint8_t *buf, size_t at, size_t n,
                    struct mk_err *err)
{
    const size_t skip = at % MK_DIRECT_PAGE;
    if (at > d->size || n > d->size - at)
        return mk_fail(err, MK_EIO, "%s: %zu bytes at %zu are past its end, %zu", d->path, n, at,
                       d->size);
    if (!d->blob) return read_pages(d, buf, at - skip, mk_direct_span(at, n), skip + n, err);
    memcpy(buf + skip, d->blob + at, n);
    return true;
}
