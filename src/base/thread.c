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

/* The gate counts the workers inside the current job, says whether more may enter it, and numbers
 * it.  The caller closes it when no work is left and waits for those inside only: a worker that
 * had no CPU meanwhile missed the job, and nobody waits for it. */
enum { GATE_INSIDE = (1 << 16) - 1, GATE_OPEN = 1 << 16, GATE_NEXT = 1 << 17 };

struct mk_pool {
    unsigned n_threads;
    pthread_t *threads;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    atomic_uint_least64_t gate;
    atomic_uint n_asleep;
    atomic_bool is_stopping;
    /* The current job; written before the gate opens. */
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

/* Enters an open job that is not the one last done, whose number then is in *done. */
static bool enter(struct mk_pool *p, uint64_t *done)
{
    uint64_t gate = atomic_load(&p->gate);
    while ((gate & GATE_OPEN) && gate / GATE_NEXT != *done) {
        if (!atomic_compare_exchange_weak(&p->gate, &gate, gate + 1)) continue;
        *done = gate / GATE_NEXT;
        return true;
    }
    return false;
}

/* Enters the next job; false: there will be none. */
static bool wait_for_job(struct mk_pool *p, uint64_t *done)
{
    for (int i = 0; i < SPINS; i++) {
        if (enter(p, done)) return true;
        cpu_relax();
    }
    bool is_in = false;
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->n_asleep, 1);
    while (!(is_in = enter(p, done)) && !atomic_load(&p->is_stopping))
        pthread_cond_wait(&p->wake, &p->lock);
    atomic_fetch_sub(&p->n_asleep, 1);
    pthread_mutex_unlock(&p->lock);
    return is_in;
}

static void *worker_main(void *arg)
{
    const struct worker w = *(struct worker *)arg;
    free(arg);
    for (uint64_t done = 0; wait_for_job(w.pool, &done);) {
        work(w.pool, w.index);
        atomic_fetch_sub_explicit(&w.pool->gate, 1, memory_order_release);
    }
    return NULL;
}

static void wake_sleepers(struct mk_pool *p)
{
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
    wake_sleepers(p);
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
    atomic_fetch_add(&p->gate, GATE_NEXT | GATE_OPEN);
    wake_sleepers(p);
    work(p, 0);
    atomic_fetch_sub_explicit(&p->gate, GATE_OPEN, memory_order_relaxed);
    /* Those inside are shorter than one grain of work from the end unless one lost its CPU: then
     * let it have ours. */
    for (int i = 0; atomic_load_explicit(&p->gate, memory_order_acquire) & GATE_INSIDE; i++)
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
