#ifndef MK_HUB_INT_HUB_H
#define MK_HUB_INT_HUB_H
/* What a pull is made of: the list of a repository's files, and the download of one file. */
#include "base/folder.h"
#include "hub/hub.h"
#include "hub/int_http.h"

#include <jansson.h>
#include <nettle/sha2.h>

/* ---- names and notes --------------------------------------------------------------------- */

bool mk_hub_ends_with(const char *s, const char *suffix);       /* and is longer */
const char *mk_hub_base(const char *path);                      /* what follows the last slash */
char *mk_hub_join(const char *a, const char *b, const char *c); /* free() it */

/* The object in a note, NULL if there is none; json_decref() it. */
json_t *mk_note_read(const char *path);
/* Takes o; NULL is an error.  size: MK_HTTP_UNKNOWN: not known. */
bool mk_note_write(const char *path, json_t *o, uint64_t size, struct mk_err *err) MK_CHECKED;

/* ---- SHA-256 ----------------------------------------------------------------------------- */

enum { MK_SHA256_CHARS = 2 * SHA256_DIGEST_SIZE };

/* 64 hexadecimal digits of what was put into ctx, which is as new afterwards. */
void mk_sha256_hex(struct sha256_ctx *ctx, char hex[MK_SHA256_CHARS + 1]);
/* Adds what fd has from where it stands to its end; *n_bytes is how much that was. */
bool mk_sha256_add_fd(struct sha256_ctx *ctx, int fd, const char *path,
                      const struct mk_hub_options *o, uint64_t *n_bytes,
                      struct mk_err *err) MK_CHECKED;

/* ---- repositories ------------------------------------------------------------------------ */

struct mk_repo_file {
    char *name, *url;
    uint64_t size;                    /* MK_HTTP_UNKNOWN: the server will say */
    char sha256[MK_SHA256_CHARS + 1]; /* "": not known */
};
struct mk_repo { /* zeroed is valid and empty */
    char *revision;
    struct mk_repo_file *v;
    size_t n;
};
/* The files that a name stands for, with their addresses.  A repository's are of one revision. */
bool mk_repo_list(struct mk_repo *out, struct mk_http *h, const struct mk_hub_name *name,
                  struct mk_err *err) MK_CHECKED;
/* The same from the hub's answer; without addresses. */
bool mk_repo_parse(struct mk_repo *out, const char *json, size_t n, const struct mk_hub_name *name,
                   struct mk_err *err) MK_CHECKED;
void mk_repo_release(struct mk_repo *r);

/* ---- one file ---------------------------------------------------------------------------- */

/* Counts over all files of a pull. */
struct mk_pull {
    struct mk_http *h;
    uint64_t done, total; /* total: MK_HTTP_UNKNOWN if a size is not known */
};
/* Fetches a file into path + ".part" and renames it when it is whole and has the right hash; the
 * caller has the lock. */
bool mk_download(struct mk_pull *p, const struct mk_repo_file *f, const char *path,
                 struct mk_err *err) MK_CHECKED;
void mk_pull_tell(const struct mk_pull *p, enum mk_hub_event_kind kind,
                  const struct mk_repo_file *f, uint64_t file_done);
/* Keeps other processes from the entry of that name below the models folder. */
bool mk_hub_lock(struct mk_lock *out, const char *models, const char *target,
                 struct mk_err *err) MK_CHECKED;
/* Fails if the disk of path has no room for n_bytes more. */
bool mk_has_room(const char *path, uint64_t n_bytes, struct mk_err *err) MK_CHECKED;
#endif
