#ifndef MK_TENSOR_EXPERT_CACHE_H
#define MK_TENSOR_EXPERT_CACHE_H
/* Routed experts that stay in files and are read when a token needs them, into a bounded memory.
 *
 *     begin    a step starts: so many bytes may be held
 *     want     pins experts and has the missing ones read      (returns at once)
 *     wait     until they are there; then their weights point to them
 *     release  they may go when room is needed
 *     guess    reads what the next layer will probably want
 *
 * Threads of the cache read, so that disk and arithmetic overlap.  Who goes first: the one that
 * was used least, uses of long ago counting less (Lee et al. 2001, LRFU), the current step not
 * counting yet; among equals the one used last, since a step walks through the layers and needs it
 * again latest.  All functions are for the one thread that computes. */
#include "base/direct.h"

#include <stdbool.h>
#include <stdint.h>

enum { MK_EXPERT_PARTS = 3 }; /* gate, up, down */

/* Where a matrix is, and the pointer of its weight: NULL while it is not in memory. */
struct mk_expert_part {
    size_t file, at, n_bytes;
    const uint8_t **data;
};
struct mk_expert_stats {     /* since the cache was made */
    uint64_t n_need;         /* experts that layers asked for */
    uint64_t n_hit, n_right; /* of these in memory; and read because they were guessed */
    uint64_t n_guess, n_read_bytes;
    double wait_s; /* that the computation stood still */
};

struct mk_expert_cache;
/* parts [n_layer][n_expert][MK_EXPERT_PARTS]; data NULL in layers without experts.  Borrows the
 * files, copies parts. */
bool mk_expert_cache_new(struct mk_expert_cache **out, const struct mk_direct *files,
                         const struct mk_expert_part *parts, size_t n_layer, size_t n_expert,
                         struct mk_err *err) MK_CHECKED;
void mk_expert_cache_free(struct mk_expert_cache *c); /* NULL is fine */
/* Memory that the expert takes. */
size_t mk_expert_room(const struct mk_expert_part parts[MK_EXPERT_PARTS]);

void mk_expert_cache_begin(struct mk_expert_cache *c, size_t max_bytes);
/* The first of the ids, as many as there is room for beside those that are pinned; at least one if
 * none is and max_bytes holds one. */
size_t mk_expert_cache_want(struct mk_expert_cache *c, size_t layer, const int32_t *id, size_t n);
/* false: one could not be read.  They stay pinned either way. */
bool mk_expert_cache_wait(struct mk_expert_cache *c, size_t layer, const int32_t *id, size_t n,
                          struct mk_err *err) MK_CHECKED;
void mk_expert_cache_release(struct mk_expert_cache *c, size_t layer, const int32_t *id, size_t n);
/* Takes room from what is used less, never from the pinned; ends with the next want in layer. */
void mk_expert_cache_guess(struct mk_expert_cache *c, size_t layer, const int32_t *id, size_t n);

size_t mk_expert_cache_held(struct mk_expert_cache *c); /* bytes of memory now */
struct mk_expert_stats mk_expert_cache_stats(struct mk_expert_cache *c);
#endif
