#include "tensor/tensor.h"

#include <stdlib.h>
#include <string.h>

enum { WORTH_MAC = 1 << 16 }; /* some microseconds */

void mk_work_init(struct mk_work *wk, unsigned n_threads, unsigned cpu)
{
    *wk = (struct mk_work){
        .cpu = cpu, .worth_mac = WORTH_MAC, .pool = mk_pool_new(n_threads ? n_threads : 1)};
    mk_kernels_select(&wk->k, cpu);
    const size_t n = sizeof *wk->panels * mk_pool_size(wk->pool);
    if (posix_memalign((void **)&wk->panels, 64, n)) abort();
    memset(wk->panels, 0, n);
}

void mk_work_release(struct mk_work *wk)
{
    mk_pool_free(wk->pool);
    mk_arena_release(&wk->arena);
    free(wk->panels);
    *wk = (struct mk_work){0};
}

float *mk_floats(struct mk_work *wk, size_t n)
{
    return mk_arena_take(&wk->arena, n * sizeof(float));
}
