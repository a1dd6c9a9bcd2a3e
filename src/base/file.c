#include "base/file.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct mk_blob *blobs;
static size_t n_blobs;

void mk_blobs_set(const struct mk_blob *list, size_t n)
{
    blobs = list;
    n_blobs = n;
}

static const struct mk_blob *find_blob(const char *path)
{
    for (size_t i = 0; i < n_blobs; i++)
        if (!strcmp(blobs[i].name, path)) return &blobs[i];
    return NULL;
}

static bool is_blob(const uint8_t *data)
{
    for (size_t i = 0; i < n_blobs; i++)
        if (blobs[i].data == data) return true;
    return false;
}

/* -1 on failure.  Not blocking: opening a pipe would wait for somebody to write to it. */
static int open_regular(const char *path, size_t *size, struct mk_err *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st)) {
        mk_fail_errno(err, "%s", path);
    } else if (!S_ISREG(st.st_mode)) {
        mk_fail(err, MK_EFORMAT, "%s: not a regular file", path);
    } else {
        *size = (size_t)st.st_size;
        return fd;
    }
    if (fd >= 0) close(fd);
    return -1;
}

bool mk_map_open(struct mk_map *out, const char *path, struct mk_err *err)
{
    const struct mk_blob *b = find_blob(path);
    if (b) {
        *out = (struct mk_map){b->data, b->size};
        return true;
    }
    struct mk_map m = {0};
    const int fd = open_regular(path, &m.size, err);
    if (fd < 0) return false;
    if (m.size) {
        void *p = mmap(NULL, m.size, PROT_READ, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED) {
            mk_fail_errno(err, "%s: cannot map %zu bytes", path, m.size);
            close(fd);
            return false;
        }
        m.data = p;
    }
    close(fd);
    *out = m;
    return true;
}

void mk_map_close(struct mk_map *m)
{
    if (m->data && !is_blob(m->data)) munmap((void *)(uintptr_t)m->data, m->size);
    *m = (struct mk_map){0};
}

bool mk_map_detach(const struct mk_map *m, struct mk_err *err)
{
    if (!m->size) return true;
    const void *p = mmap((void *)(uintptr_t)m->data, m->size, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    return p == m->data ||
           mk_fail(err, MK_ENOMEM, "no address space for %zu bytes of weights", m->size);
}

bool mk_blob_find(const char *path, struct mk_map *out)
{
    const struct mk_blob *b = find_blob(path);
    if (b) *out = (struct mk_map){b->data, b->size};
    return b != NULL;
}

static bool copy_blob(struct mk_str *out, const struct mk_blob *b, size_t max_bytes,
                      struct mk_err *err)
{
    if (b->size > max_bytes)
        return mk_fail(err, MK_ELIMIT, "%s: more than %zu bytes", b->name, max_bytes);
    struct mk_str s = {0};
    mk_str_append(&s, (const char *)b->data, b->size);
    *out = s;
    return true;
}

static bool read_all(struct mk_str *out, FILE *f, const char *path, size_t max_bytes,
                     struct mk_err *err)
{
    struct mk_str s = {0};
    char buf[65536];
    size_t n;
    bool ok = true;
    while (ok && (n = fread(buf, 1, sizeof buf, f)) > 0) {
        if (n > max_bytes - s.len)
            ok = mk_fail(err, MK_ELIMIT, "%s: more than %zu bytes", path, max_bytes);
        else
            mk_str_append(&s, buf, n);
    }
    if (ok && ferror(f)) ok = mk_fail_errno(err, "%s", path);
    if (ok)
        *out = s;
    else
        mk_str_release(&s);
    return ok;
}

bool mk_file_read(struct mk_str *out, const char *path, size_t max_bytes, struct mk_err *err)
{
    if (!strcmp(path, "-")) return read_all(out, stdin, "stdin", max_bytes, err);
    const struct mk_blob *b = find_blob(path);
    if (b) return copy_blob(out, b, max_bytes, err);
    FILE *f = fopen(path, "rbe");
    if (!f) return mk_fail_errno(err, "%s", path);
    const bool ok = read_all(out, f, path, max_bytes, err);
    fclose(f);
    return ok;
}

bool mk_file_read_regular(struct mk_str *out, const char *path, size_t max_bytes,
                          struct mk_err *err)
{
    const struct mk_blob *b = find_blob(path);
    if (b) return copy_blob(out, b, max_bytes, err);
    size_t size;
    const int fd = open_regular(path, &size, err);
    if (fd < 0) return false;
    FILE *f = fdopen(fd, "rb");
    if (!f) {
        mk_fail_errno(err, "%s", path);
        close(fd);
        return false;
    }
    const bool ok = read_all(out, f, path, max_bytes, err);
    fclose(f);
    return ok;
}

bool mk_file_peek(void *head, size_t n, const char *path, struct mk_file_facts *facts,
                  struct mk_err *err)
{
    struct stat st;
    size_t size;
    const int fd = open_regular(path, &size, err);
    if (fd < 0) return false;
    const ssize_t got = fstat(fd, &st) == 0 ? pread(fd, head, n, 0) : -1;
    close(fd);
    if (got < 0) return mk_fail_errno(err, "%s", path);
    if ((size_t)got < n) return mk_fail(err, MK_EFORMAT, "%s: only %zu bytes", path, size);
    facts->size = size;
    facts->changed_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    return true;
}

bool mk_is_own_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
           !(st.st_mode & 022);
}

bool mk_file_remove(const char *path, struct mk_err *err)
{
    return unlink(path) == 0 || errno == ENOENT || mk_fail_errno(err, "%s", path);
}

bool mk_random(void *out, size_t n, struct mk_err *err)
{
    return getrandom(out, n, 0) == (ssize_t)n || mk_fail_errno(err, "no random bytes");
}

bool mk_file_exists(const char *path) { return find_blob(path) || access(path, F_OK) == 0; }

bool mk_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool mk_mkdirs(const char *path, unsigned mode, struct mk_err *err)
{
    char *p = mk_strdup(path);
    bool ok = true;
    for (char *s = p + 1; ok && *p; s++) {
        const char c = *s;
        if (c != '/' && c != '\0') continue;
        *s = '\0';
        if (mkdir(p, (mode_t)mode) && errno != EEXIST) ok = mk_fail_errno(err, "%s", p);
        *s = c;
        if (!c) break;
    }
    free(p);
    return ok;
}

/* The temporary files that exist.  Who takes a name out of its slot owns it: the writer, or
 * mk_out_remove_all() in a signal handler. */
enum { MAX_TEMPS = 16 };
static _Atomic(char *) temps[MAX_TEMPS];

static void remember(char *temp)
{
    char *empty = NULL;
    for (size_t i = 0; i < MAX_TEMPS; i++, empty = NULL)
        if (atomic_compare_exchange_strong(&temps[i], &empty, temp)) return;
}

static void forget(char *temp)
{
    char *mine = temp;
    for (size_t i = 0; i < MAX_TEMPS; i++, mine = temp)
        if (atomic_compare_exchange_strong(&temps[i], &mine, NULL)) {
            free(temp);
            return;
        }
}

void mk_out_remove_all(void)
{
    for (size_t i = 0; i < MAX_TEMPS; i++) {
        const char *temp = atomic_exchange(&temps[i], NULL);
        if (temp) unlink(temp);
    }
}

/* A device or a pipe would be replaced by a file, not written to. */
static bool may_replace(const char *path, struct mk_err *err)
{
    struct stat st;
    if (stat(path, &st) || S_ISREG(st.st_mode)) return true;
    return mk_fail(err, MK_EUSAGE, "%s: there, and not a regular file", path);
}

bool mk_out_open(struct mk_out *o, const char *path, struct mk_err *err)
{
    struct mk_str temp = {0};
    if (!may_replace(path, err)) return false;
    mk_str_addf(&temp, "%s.%ld.tmp", path, (long)getpid());
    unlink(temp.data); /* of a killed process that had our number */
    FILE *f = fopen(temp.data, "wbxe");
    if (!f) {
        mk_fail_errno(err, "%s", temp.data);
        mk_str_release(&temp);
        return false;
    }
    *o = (struct mk_out){.f = f, .path = mk_strdup(path), .temp = mk_str_take(&temp)};
    remember(o->temp);
    return true;
}

bool mk_out_write(struct mk_out *o, const void *bytes, size_t n, struct mk_err *err)
{
    if (n && fwrite(bytes, 1, n, o->f) != n)
        return mk_fail_errno(err, "%s: writing %zu bytes", o->temp, n);
    o->pos += n;
    return true;
}

bool mk_out_pad(struct mk_out *o, size_t align, struct mk_err *err)
{
    static const char zeros[64];
    while (o->pos % align) {
        size_t n = align - (size_t)(o->pos % align);
        if (n > sizeof zeros) n = sizeof zeros;
        if (!mk_out_write(o, zeros, n, err)) return false;
    }
    return true;
}

bool mk_out_close(struct mk_out *o, struct mk_err *err)
{
    const bool bad = fflush(o->f) || (!o->is_hasty && fsync(fileno(o->f)));
    if (bad) mk_fail_errno(err, "%s", o->temp);
    fclose(o->f);
    o->f = NULL;
    if (!bad && rename(o->temp, o->path)) {
        mk_fail_errno(err, "%s", o->path);
        mk_out_abandon(o);
        return false;
    }
    if (bad) {
        mk_out_abandon(o);
        return false;
    }
    free(o->path);
    forget(o->temp);
    *o = (struct mk_out){0};
    return true;
}

void mk_out_abandon(struct mk_out *o)
{
    if (o->f) fclose(o->f);
    if (o->temp) unlink(o->temp);
    free(o->path);
    if (o->temp) forget(o->temp);
    *o = (struct mk_out){0};
}

static bool write_file(const char *path, const void *bytes, size_t n, bool is_hasty,
                       struct mk_err *err)
{
    struct mk_out o;
    if (!mk_out_open(&o, path, err)) return false;
    o.is_hasty = is_hasty;
    if (mk_out_write(&o, bytes, n, err) && mk_out_close(&o, err)) return true;
    mk_out_abandon(&o);
    return false;
}

bool mk_file_write(const char *path, const void *bytes, size_t n, struct mk_err *err)
{
    return write_file(path, bytes, n, false, err);
}

bool mk_file_write_hasty(const char *path, const void *bytes, size_t n, struct mk_err *err)
{
    return write_file(path, bytes, n, true, err);
}
