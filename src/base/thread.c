#include "base/thread.h"

#include "base/mem.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SPINS = 20000 };

struct mk_pool {
    unsigned n_threads;
    pthread_t *threads;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    atomic_uint job; /* counts jobs; workers wait for it to change */
    atomic_uint n_asleep;
    atomic_uint n_running; /* workers that have not finished the current job */
    atomic_bool is_stopping;
    /* The current job; written before `job` is raised. */
    mk_job_fn *fn;
    void *arg;
    size_t n_units, grain;
    atomic_size_t next;
};

struct worker {
    struct mk_pool *pool;
    unsigned index;
};

static inline void cpu_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void work(struct mk_pool *p, unsigned thread)
{
    for (;;) {
        const size_t first = atomic_fetch_add_explicit(&p->next, p->grain, memory_order_relaxed);
        if (first >= p->n_units) return;
        const size_t left = p->n_units - first;
        p->fn(p->arg, first, first + (left < p->grain ? left : p->grain), thread);
    }
}

static unsigned wait_for_job(struct mk_pool *p, unsigned seen)
{
    for (int i = 0; i < SPINS; i++) {
        const unsigned job = atomic_load_explicit(&p->job, memory_order_acquire);
        if (job != seen) return job;
        cpu_relax();
    }
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->n_asleep, 1);
    unsigned job;
    while ((job = atomic_load(&p->job)) == seen) pthread_cond_wait(&p->wake, &p->lock);
    atomic_fetch_sub(&p->n_asleep, 1);
    pthread_mutex_unlock(&p->lock);
    return job;
}

static void *worker_main(void *arg)
{
    const struct worker w = *(struct worker *)arg;
    free(arg);
    struct mk_pool *p = w.pool;
    for (unsigned seen = 0;;) {
        seen = wait_for_job(p, seen);
        if (atomic_load(&p->is_stopping)) return NULL;
        work(p, w.index);
        atomic_fetch_sub_explicit(&p->n_running, 1, memory_order_release);
    }
}

static void start_job(struct mk_pool *p)
{
    atomic_store(&p->n_running, p->n_threads - 1);
    atomic_fetch_add(&p->job, 1);
    if (atomic_load(&p->n_asleep) == 0) return;
    pthread_mutex_lock(&p->lock);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

struct mk_pool *mk_pool_new(unsigned n_threads)
{
    struct mk_pool *p = mk_alloc(sizeof *p);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    p->threads = mk_calloc(n_threads, sizeof *p->threads);
    p->n_threads = 1;
    for (unsigned i = 1; i < n_threads; i++) {
        struct worker *w = mk_alloc(sizeof *w);
        *w = (struct worker){p, i};
        if (pthread_create(&p->threads[i], NULL, worker_main, w)) {
            free(w); /* fewer threads than asked for: slower, not wrong */
            break;
        }
        p->n_threads++;
    }
    return p;
}

void mk_pool_free(struct mk_pool *p)
{
    if (!p) return;
    atomic_store(&p->is_stopping, true);
    start_job(p);
    for (unsigned i = 1; i < p->n_threads; i++) pthread_join(p->threads[i], NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p->threads);
    free(p);
}

unsigned mk_pool_size(const struct mk_pool *p) { return p->n_threads; }

void mk_pool_run(struct mk_pool *p, size_t n_units, size_t grain, mk_job_fn *fn, void *arg)
{
    if (n_units == 0) return;
    if (grain == 0) grain = 1;
    if (p->n_threads == 1 || n_units <= grain) {
        fn(arg, 0, n_units, 0);
        return;
    }
    p->fn = fn, p->arg = arg, p->n_units = n_units, p->grain = grain;
    atomic_store_explicit(&p->next, 0, memory_order_relaxed);
    start_job(p);
    work(p, 0);
    /* The tail is shorter than one grain of work unless a worker lost its CPU:
     * then let it have ours. */
    for (int i = 0; atomic_load_explicit(&p->n_running, memory_order_acquire); i++)
        if (i < SPINS)
            cpu_relax();
        else
            sched_yield();
}

unsigned mk_cpu_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return (unsigned)CPU_COUNT(&set);
    const long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (unsigned)n : 1;
}
