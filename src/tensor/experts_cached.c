/* Mixture of experts whose weights a cache reads: in groups, one computing while the next is read.
 *
 *     experts   1 4 7 9 | 12 15 20 21 | 30 ...       ascending
 *     computes            [   group   ]
 *     reads                             [   group */
#include "tensor/experts.h"

#include <stdlib.h>
#include <string.h>

enum { GROUP = 16 }; /* experts: enough for all threads to have work */

static int ascending(const void *a, const void *b)
{
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static size_t pin_group(const struct mk_wanted *w, size_t first)
{
    const size_t left = w->n - first;
    return left ? mk_expert_cache_want(w->cache, w->layer, w->id + first,
                                       left < GROUP ? left : GROUP)
                : 0;
}

void mk_experts_want(struct mk_work *wk, struct mk_wanted *w, const int32_t *id, size_t n_choice)
{
    w->id = mk_arena_take(&wk->arena, n_choice * sizeof *id);
    memcpy(w->id, id, n_choice * sizeof *id);
    qsort(w->id, n_choice, sizeof *id, ascending);
    w->n = 0;
    for (size_t i = 0; i < n_choice; i++)
        if (i == 0 || w->id[i] != w->id[w->n - 1]) w->id[w->n++] = w->id[i];
    w->n_pinned = pin_group(w, 0);
}

/* The choices that fall into a group, -1 for the others. */
static const int32_t *choices_in(struct mk_work *wk, const struct mk_wanted *w, size_t first,
                                 size_t n, const int32_t *id, size_t n_choice)
{
    if (n == w->n) return id;
    int32_t *in = mk_arena_take(&wk->arena, n_choice * sizeof *in);
    for (size_t i = 0; i < n_choice; i++)
        in[i] = id[i] >= w->id[first] && id[i] <= w->id[first + n - 1] ? id[i] : -1;
    return in;
}

static bool wait_for(const struct mk_wanted *w, size_t first, size_t n, struct mk_err *err)
{
    if (n == 0)
        return mk_fail(err, MK_ELIMIT,
                       "expert %d of layer %zu does not fit the memory that --ram leaves",
                       (int)w->id[first], w->layer);
    if (w->stop && atomic_load_explicit(w->stop, memory_order_relaxed))
        return mk_fail(err, MK_ECANCELED, "stopped");
    return mk_expert_cache_wait(w->cache, w->layer, w->id + first, n, err);
}

bool mk_experts_add_wanted(struct mk_work *wk, struct mk_wanted *w, const struct mk_experts *e,
                           struct mk_input *x, const int32_t *id, const float *weight,
                           size_t n_active, float *y, struct mk_err *err)
{
    bool ok = true;
    size_t n = w->n_pinned, n_next = 0;
    mk_input_prepare(wk, x, e->gate[0].type); /* once for all groups */
    mk_input_prepare(wk, x, e->up[0].type);
    for (size_t first = 0; ok && first < w->n; first += n, n = n_next) {
        if (n == 0) n = pin_group(w, first);
        n_next = n ? pin_group(w, first + n) : 0;
        const struct mk_arena_mark mark = mk_arena_mark(&wk->arena);
        ok = wait_for(w, first, n, err);
        if (ok)
            mk_experts_add(wk, e, x, choices_in(wk, w, first, n, id, x->n * n_active), weight,
                           n_active, y);
        mk_arena_reset(&wk->arena, mark);
        mk_expert_cache_release(w->cache, w->layer, w->id + first, ok ? n : n + n_next);
    }
    return ok;
}
