#ifndef MK_BASE_THREAD_H
#define MK_BASE_THREAD_H
/* A pool of n threads that run one job together; the caller is thread 0.
 * Workers spin a short while between jobs and then sleep, so that a chain of
 * small jobs costs a barrier and an idle program costs nothing. */
#include "base/err.h"

#include <stddef.h>

struct mk_pool;
/* n_threads >= 1.  mk_pool_new(1) starts no thread. */
struct mk_pool *mk_pool_new(unsigned n_threads);
void mk_pool_free(struct mk_pool *p);
unsigned mk_pool_size(const struct mk_pool *p);

/* Runs fn(arg, first, last, thread) over disjoint ranges that cover [0, n_units),
 * handed out in pieces of at most grain units as threads become free, and returns
 * when all are done.  A thread that has no CPU meanwhile takes no part.  What is computed must not
 * depend on who computes it. */
typedef void mk_job_fn(void *arg, size_t first, size_t last, unsigned thread);
void mk_pool_run(struct mk_pool *p, size_t n_units, size_t grain, mk_job_fn *fn, void *arg);

/* The number of CPUs this process may use, physical cores where that is known. */
unsigned mk_cpu_count(void);
#endif
