#ifndef MK_BASE_FILE_H
#define MK_BASE_FILE_H
/* Files: whole reads, read-only mappings, and writes that appear whole or not at
 * all (written beside, synced, renamed). */
#include "base/err.h"
#include "base/str.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Files that are part of the program.  From then on a path that equals one of the names means
 * those bytes, for everything below that reads.  Keeps the list; call it before files are used. */
struct mk_blob {
    const char *name;
    const uint8_t *data; /* aligned to 64 bytes */
    size_t size;
};
void mk_blobs_set(const struct mk_blob *list, size_t n);

struct mk_map {
    const uint8_t *data; /* NULL when size is 0 */
    size_t size;
};
/* Maps a regular file read-only.  Close it after everything that points into it. */
bool mk_map_open(struct mk_map *out, const char *path, struct mk_err *err) MK_CHECKED;
void mk_map_close(struct mk_map *m);
/* Ends the mapping of the file: the same addresses become empty memory that can be written.
 * Pointers into it stay what they are.  Not for a file that is part of the program. */
bool mk_map_detach(const struct mk_map *m, struct mk_err *err) MK_CHECKED;
/* Whether path is part of the program, and where. */
bool mk_blob_find(const char *path, struct mk_map *out);

/* Reads a whole file (or "-" for stdin) of at most max_bytes. */
bool mk_file_read(struct mk_str *out, const char *path, size_t max_bytes,
                  struct mk_err *err) MK_CHECKED;
/* The same for a part of a checkpoint: a pipe or a device in its place is an error. */
bool mk_file_read_regular(struct mk_str *out, const char *path, size_t max_bytes,
                          struct mk_err *err) MK_CHECKED;
/* The first n bytes of a regular file, with its size and the time of its last change. */
struct mk_file_facts {
    uint64_t size;
    int64_t changed_ns; /* since 1970 */
};
bool mk_file_peek(void *head, size_t n, const char *path, struct mk_file_facts *facts,
                  struct mk_err *err) MK_CHECKED;
bool mk_file_exists(const char *path);
/* Whether nobody but the user may change what is in the folder. */
bool mk_is_own_dir(const char *path);
bool mk_is_dir(const char *path);
/* mkdir -p, new folders get the mode given. */
bool mk_mkdirs(const char *path, unsigned mode, struct mk_err *err) MK_CHECKED;

/* A file written beside its final name.  _close makes it appear; _abandon (also
 * after a failed _close: harmless) removes what was written.  What is at the final
 * name must be a regular file or nothing. */
struct mk_out {
    FILE *f;
    char *path, *temp;
    uint64_t pos;
    bool is_hasty; /* set it to have _close not wait for the disk */
};
bool mk_out_open(struct mk_out *o, const char *path, struct mk_err *err) MK_CHECKED;
bool mk_out_write(struct mk_out *o, const void *bytes, size_t n, struct mk_err *err) MK_CHECKED;
bool mk_out_pad(struct mk_out *o, size_t align, struct mk_err *err) MK_CHECKED; /* zeros */
bool mk_out_close(struct mk_out *o, struct mk_err *err) MK_CHECKED;
void mk_out_abandon(struct mk_out *o);
/* All of it in one call. */
bool mk_file_write(const char *path, const void *bytes, size_t n, struct mk_err *err) MK_CHECKED;
/* The same without waiting for the disk: after a loss of power the file may hold anything. */
bool mk_file_write_hasty(const char *path, const void *bytes, size_t n,
                         struct mk_err *err) MK_CHECKED;
/* Removes what is being written, as the last thing before the program ends.  May be
 * called in a signal handler. */
void mk_out_remove_all(void);
/* Removes a file; that there is none is fine. */
bool mk_file_remove(const char *path, struct mk_err *err) MK_CHECKED;
/* Bytes that nobody can guess. */
bool mk_random(void *out, size_t n, struct mk_err *err) MK_CHECKED;
#endif
