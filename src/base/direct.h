#ifndef MK_BASE_DIRECT_H
#define MK_BASE_DIRECT_H
/* Parts of files read past the system's page cache, so that what was read lies in memory once.
 * Where the file system has no direct reading (tmpfs), ordinary reads whose cached pages are given
 * back at once. */
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum { MK_DIRECT_PAGE = 4096 }; /* reads start and end at multiples of it */

struct mk_direct {
    const char *path;    /* borrowed */
    const uint8_t *blob; /* a file that is part of the program; else NULL */
    int fd;
    bool is_direct;
    size_t size; /* when it was opened, as the time of its last change */
    int64_t changed_ns;
};
bool mk_direct_open(struct mk_direct *d, const char *path, struct mk_err *err) MK_CHECKED;
void mk_direct_close(struct mk_direct *d);

/* Bytes of the pages that hold [at, at + n). */
static inline size_t mk_direct_span(size_t at, size_t n)
{
    const size_t page = MK_DIRECT_PAGE, skip = at % page;
    return (skip + n + page - 1) / page * page;
}
/* Reads those pages into buf, which starts at a multiple of MK_DIRECT_PAGE: byte at of the file
 * comes to buf + at % MK_DIRECT_PAGE.  What would lie behind the file's end is left as it is.
 * Fails when the file is not what it was when it was opened.  Any thread. */
bool mk_direct_read(const struct mk_direct *d, uint8_t *buf, size_t at, size_t n,
                    struct mk_err *err) MK_CHECKED;
#endif
