/* POSIX can exchange a file for another in one step, but not a folder that has something in it.
 * Replacing takes two renames, NAME to .NAME.old and .NAME.tmp to NAME; a process killed between
 * them leaves no NAME, and mk_folder_exists() undoes the first. */
#include "base/folder.h"

#include "base/file.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

bool mk_folder_list(struct mk_folder_list *out, const char *path, struct mk_err *err)
{
    struct mk_folder_list l = {0};
    DIR *d = opendir(path);
    if (!d) return mk_fail_errno(err, "%s", path);
    for (const struct dirent *e; (e = readdir(d));) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        if (l.n == l.cap) {
            l.cap = l.cap ? 2 * l.cap : 16;
            l.v = mk_realloc(l.v, l.cap * sizeof *l.v);
        }
        l.v[l.n++] = mk_strdup(e->d_name);
    }
    closedir(d);
    if (l.n) qsort(l.v, l.n, sizeof *l.v, by_name);
    *out = l;
    return true;
}

void mk_folder_list_release(struct mk_folder_list *l)
{
    for (size_t i = 0; i < l->n; i++) free(l->v[i]);
    free(l->v);
    *l = (struct mk_folder_list){0};
}

/* ---- removing ------------------------------------------------------------------------- */

static bool remove_contents(const char *path, struct mk_err *err)
{
    struct mk_folder_list l;
    if (!mk_folder_list(&l, path, err)) return false;
    struct mk_str name = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < l.n; i++) {
        mk_str_clear(&name);
        mk_str_addf(&name, "%s/%s", path, l.v[i]);
        ok = mk_folder_remove(name.data, err);
    }
    mk_str_release(&name);
    mk_folder_list_release(&l);
    return ok;
}

bool mk_folder_remove(const char *path, struct mk_err *err)
{
    struct stat st;
    if (lstat(path, &st)) return errno == ENOENT || mk_fail_errno(err, "%s", path);
    if (S_ISDIR(st.st_mode) && !remove_contents(path, err)) return false;
    if (S_ISDIR(st.st_mode) ? rmdir(path) : unlink(path))
        return mk_fail_errno(err, "%s: cannot be removed", path);
    return true;
}

/* ---- whole or not at all ---------------------------------------------------------------- */

/* PARENT/NAME to PARENT/.NAME<suffix>. */
static char *beside(const char *path, const char *suffix)
{
    struct mk_str s = {0};
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    mk_str_append(&s, path, (size_t)(name - path));
    mk_str_addf(&s, ".%s%s", name, suffix);
    return mk_str_take(&s);
}

/* What a folder lists survives a loss of power only when the folder itself is synced. */
static bool sync_folder(const char *path, struct mk_err *err)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return mk_fail_errno(err, "%s", path);
    const bool ok = fsync(fd) == 0 || errno == EINVAL; /* not every file system can */
    if (!ok) mk_fail_errno(err, "%s", path);
    close(fd);
    return ok;
}

bool mk_sync_parent(const char *path, struct mk_err *err)
{
    const char *slash = strrchr(path, '/');
    if (!slash) return sync_folder(".", err);
    char *parent = mk_strndup(path, slash == path ? 1 : (size_t)(slash - path));
    const bool ok = sync_folder(parent, err);
    free(parent);
    return ok;
}

static void folder_out_release(struct mk_folder_out *o)
{
    free(o->path);
    free(o->temp);
    free(o->old);
    *o = (struct mk_folder_out){0};
}

bool mk_folder_out_open(struct mk_folder_out *out, const char *path, struct mk_err *err)
{
    struct mk_folder_out o = {
        .path = mk_strdup(path), .temp = beside(path, ".tmp"), .old = beside(path, ".old")};
    /* What is there is from a process that was killed. */
    bool ok = mk_folder_remove(o.temp, err);
    if (ok && mk_folder_exists(path)) ok = mk_folder_remove(o.old, err);
    if (ok && mkdir(o.temp, 0777)) ok = mk_fail_errno(err, "%s", o.temp);
    if (ok)
        *out = o;
    else
        folder_out_release(&o);
    return ok;
}

bool mk_folder_out_close(struct mk_folder_out *o, struct mk_err *err)
{
    const bool replaces = mk_is_dir(o->path);
    bool ok = sync_folder(o->temp, err);
    if (ok && replaces && rename(o->path, o->old)) ok = mk_fail_errno(err, "%s", o->path);
    if (ok && rename(o->temp, o->path)) {
        ok = mk_fail_errno(err, "%s", o->path);
        mk_folder_exists(o->path);
    }
    ok = ok && mk_sync_parent(o->path, err) && (!replaces || mk_folder_remove(o->old, err));
    if (ok)
        folder_out_release(o);
    else
        mk_folder_out_abandon(o);
    return ok;
}

void mk_folder_out_abandon(struct mk_folder_out *o)
{
    /* What cannot be removed now is removed when the name is written again. */
    const bool is_gone = o->temp && mk_folder_remove(o->temp, NULL);
    (void)is_gone;
    folder_out_release(o);
}

bool mk_folder_exists(const char *path)
{
    if (mk_is_dir(path)) return true;
    char *old = beside(path, ".old");
    const bool is_back = mk_is_dir(old) && rename(old, path) == 0;
    free(old);
    return is_back;
}

/* ---- locks ------------------------------------------------------------------------------ */

bool mk_lock_take(struct mk_lock *out, const char *path, const char *what, struct mk_err *err)
{
    FILE *f = fopen(path, "a+e");
    if (!f) return mk_fail_errno(err, "%s", path);
    if (flock(fileno(f), LOCK_EX | LOCK_NB)) {
        long pid = 0;
        if (errno != EWOULDBLOCK)
            mk_fail_errno(err, "%s: cannot be locked", path);
        else if (fscanf(f, "%20ld", &pid) == 1 && pid > 0)
            mk_fail(err, MK_EBUSY, "%s is in use by process %ld", what, pid);
        else
            mk_fail(err, MK_EBUSY, "%s is in use by another process", what);
        fclose(f);
        return false;
    }
    /* The number is for the message only: a full disk does not matter. */
    if (ftruncate(fileno(f), 0) == 0) fprintf(f, "%ld\n", (long)getpid());
    fflush(f);
    *out = (struct mk_lock){f};
    return true;
}

void mk_lock_release(struct mk_lock *l)
{
    if (l->f) fclose(l->f);
    *l = (struct mk_lock){0};
}
