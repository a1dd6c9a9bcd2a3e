#ifndef MK_ENGINE_PREFIX_H
#define MK_ENGINE_PREFIX_H
/* What sessions have computed, kept for those that begin the same way: keys and values in blocks
 * of 64 tokens, in memory and in a folder.
 *
 *   owner 7   [You are helpful. ...]--[What is 2+2? ...]
 *                                  \--[Translate this ...]--[... and this]
 *   owner 9   [You are helpful. ...]
 *
 * A tree: a block is what follows its parent.  The last of a timeline may be shorter and grows
 * with it.  Owners share nothing, so that nobody can learn from a quick answer what another has
 * asked.  Over its limit the cache forgets what was unused for longest, ends before beginnings.
 *
 * Of the thread that owns the engine. */
#include "engine/engine.h"

struct mk_prefixes;
struct mk_prefix_options {
    size_t max_bytes; /* of keys and values in memory; 0: nothing is kept */
    const char *dir;  /* NULL: in memory only */
    uint64_t max_disk_bytes;
};
/* Takes what the folder has from earlier runs of the same model; what another model left there, or
 * is damaged, is removed.  MK_EBUSY: another process uses the folder. */
bool mk_prefixes_open(struct mk_prefixes **out, struct mk_engine *e,
                      const struct mk_prefix_options *o, struct mk_err *err) MK_CHECKED;
void mk_prefixes_close(struct mk_prefixes *p); /* writes what is left to write; NULL is fine */

/* Keeps what the session has evaluated, as much as fits the memory. */
void mk_prefixes_keep(struct mk_prefixes *p, uint64_t owner, const struct mk_session *s);
/* How many of the first tokens of ids[0..n) it knows. */
size_t mk_prefixes_find(const struct mk_prefixes *p, uint64_t owner, const int32_t *ids, size_t n);
/* Makes the session hold those tokens, evaluated, and no others.  May read files: a gigabyte or so
 * a second. */
void mk_prefixes_load(struct mk_prefixes *p, uint64_t owner, struct mk_session *s,
                      const int32_t *ids, size_t n);
/* Writes one block that is not in the folder yet: false when there is none.  Failures are in the
 * stats. */
bool mk_prefixes_write(struct mk_prefixes *p);

struct mk_prefix_stats {
    size_t n_blocks, n_bytes; /* in memory */
    size_t n_files;
    uint64_t n_file_bytes;
    size_t n_bad;            /* files that were removed: damaged, or of another model */
    size_t n_unwritten;      /* blocks that are to be written */
    size_t n_failed;         /* blocks that could not be written */
    struct mk_err write_err; /* why the last of them could not */
};
struct mk_prefix_stats mk_prefixes_stats(const struct mk_prefixes *p);
#endif
