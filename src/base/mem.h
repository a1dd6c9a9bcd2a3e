#ifndef MK_BASE_MEM_H
#define MK_BASE_MEM_H
/* Memory.  Small things never fail: the process ends with a message if the
 * system has nothing left.  Large things (weights, caches) go through
 * mk_reserve(), which can fail.  Lifetimes are arenas: one per model, one per
 * request, one per forward pass. */
#include "base/err.h"

#include <stddef.h>

void *mk_alloc(size_t n_bytes);         /* zeroed; free() it */
void *mk_calloc(size_t n, size_t size); /* zeroed; n * size must not overflow */
void *mk_realloc(void *p, size_t n_bytes);
char *mk_strdup(const char *s);
char *mk_strndup(const char *s, size_t n);

/* A growing region released as a whole.  Zeroed means valid and empty.  A mark
 * gives back what was taken since: the forward pass reuses the same blocks every
 * step, so a steady state allocates nothing.  Owned by one thread. */
struct mk_arena_block;
struct mk_arena {
    struct mk_arena_block *first, *cur;
    size_t used;                   /* bytes taken from cur */
    size_t held_bytes, peak_bytes; /* in blocks: now, and the most ever */
};
struct mk_arena_mark {
    struct mk_arena_block *block;
    size_t used;
};
/* 64-byte aligned, NOT zeroed. */
void *mk_arena_take(struct mk_arena *a, size_t n_bytes);
void *mk_arena_zero(struct mk_arena *a, size_t n_bytes); /* the same, zeroed */
char *mk_arena_strdup(struct mk_arena *a, const char *s);
char *mk_arena_printf(struct mk_arena *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
struct mk_arena_mark mk_arena_mark(const struct mk_arena *a);
void mk_arena_reset(struct mk_arena *a, struct mk_arena_mark mark);
void mk_arena_release(struct mk_arena *a);
/* Makes an empty arena one region of address space: what it gives out is contiguous, and it
 * ends the program rather than grow past n_bytes.  *base is where it starts. */
bool mk_arena_reserve(struct mk_arena *a, size_t n_bytes, void **base,
                      struct mk_err *err) MK_CHECKED;

/* Zeroed address space that takes real memory only where it is touched. */
bool mk_reserve(void **out, size_t n_bytes, struct mk_err *err) MK_CHECKED;
/* The same for memory that is used densely: in large pages where the system has them. */
bool mk_reserve_dense(void **out, size_t n_bytes, struct mk_err *err) MK_CHECKED;
void mk_unreserve(void *p, size_t n_bytes);

/* Overflow-checked arithmetic for sizes that come from files: false on overflow. */
static inline bool mk_mul(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool mk_add(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}
#endif
