#ifndef MK_KERNELS_INT_AHEAD_H
#define MK_KERNELS_INT_AHEAD_H
/* Asks for the bytes from which the next panel is made while this one is multiplied: a line or two
 * after each group, because a processor that is asked for many at once waits for them.  (Inlined
 * always: gcc takes a function that only asks for one without effect.) */
#include "kernels/inline.h"
#include "kernels/kernels.h"

struct mk_ahead {
    const uint8_t *p;
    size_t n, each; /* lines left, and asked for at a time */
};

/* For n_times calls of mk_ask(), the last third of them without a line: these have time to come. */
INLINE struct mk_ahead mk_ahead_of(const struct mk_panel *p, size_t n_times)
{
    const size_t n = (p->n_next + 63) / 64, n_asking = 2 * n_times / 3 + 1;
    return (struct mk_ahead){p->next, n, (n + n_asking - 1) / n_asking};
}

INLINE void mk_ask(struct mk_ahead *a)
{
    const size_t n = a->each < a->n ? a->each : a->n;
    for (size_t i = 0; i < n; i++) __builtin_prefetch(a->p + 64 * i, 0, 2);
    a->p += 64 * n;
    a->n -= n;
}
#endif
