#ifndef MK_FORMATS_INT_SLOTS_H
#define MK_FORMATS_INT_SLOTS_H
/* What both writers share: a file whose tensors have fixed places and are filled in the
 * order of a list. */
#include "base/file.h"
#include "formats/tensors.h"

struct mk_slot {
    char *name;
    size_t n_bytes;
    uint64_t at; /* file position */
};
struct mk_slots {
    struct mk_out out;
    struct mk_slot *v;
    size_t n, cur; /* v[cur] is being filled, */
    size_t done;   /* this much of it */
};
/* Checks names, takes sizes from type and dims, leaves the places (at) open. */
bool mk_slots_set(struct mk_slots *s, const struct mk_tensor *list, size_t n,
                  struct mk_err *err) MK_CHECKED;
bool mk_slots_add(struct mk_slots *s, const void *bytes, size_t n, struct mk_err *err) MK_CHECKED;
/* Every slot is full. */
bool mk_slots_full(const struct mk_slots *s, struct mk_err *err) MK_CHECKED;
void mk_slots_release(struct mk_slots *s); /* removes an unfinished file */
#endif
