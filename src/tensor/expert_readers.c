/* The threads that read experts: what is wanted first, then what is guessed.  A thread takes one
 * part at a time, so that the parts of an expert are read side by side. */
#include "tensor/int_expert_cache.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum { N_READERS = 4 };

void mk_read_later(struct mk_expert_cache *c, struct mk_read_queue *q, size_t entry)
{
    if (q->first == q->n) q->first = q->n = 0;
    if (q->n == q->cap) {
        q->cap = 2 * (q->cap + 32);
        q->v = mk_realloc(q->v, q->cap * sizeof *q->v);
    }
    q->v[q->n++] = entry;
    pthread_cond_broadcast(&c->has_work);
}

/* The next part to read of a queue.  Entries may be in both queues, or have gone. */
static struct mk_entry *next_of(struct mk_expert_cache *c, struct mk_read_queue *q)
{
    for (; q->first < q->n; q->first++) {
        struct mk_entry *e = &c->entries[q->v[q->first]];
        if (e->state == MK_ENTRY_READING && e->n_taken < MK_EXPERT_PARTS) return e;
    }
    return NULL;
}

/* The lock is held but for the read itself: nobody else touches the memory meanwhile. */
static void read_part(struct mk_expert_cache *c, struct mk_entry *e, size_t i)
{
    const struct mk_expert_part *part = &e->part[i];
    uint8_t *pages = mk_entry_pages(c, e, i);
    struct mk_err err;
    pthread_mutex_unlock(&c->lock);
    const bool ok = mk_direct_read(&c->files[part->file], pages, part->at, part->n_bytes, &err);
    pthread_mutex_lock(&c->lock);
    if (ok)
        c->stats.n_read_bytes += mk_direct_span(part->at, part->n_bytes);
    else
        c->err = err, e->is_failed = true;
    if (--e->n_left) return;
    e->state = e->is_failed ? MK_ENTRY_FAILED : MK_ENTRY_READY;
    c->n_reading--;
    pthread_cond_broadcast(&c->has_read);
}

static void *reader_main(void *arg)
{
    struct mk_expert_cache *c = arg;
    pthread_mutex_lock(&c->lock);
    while (!c->is_stopping) {
        struct mk_entry *e = next_of(c, &c->wanted);
        if (!e) e = next_of(c, &c->guessed);
        if (e)
            read_part(c, e, e->n_taken++);
        else
            pthread_cond_wait(&c->has_work, &c->lock);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

bool mk_readers_start(struct mk_expert_cache *c, struct mk_err *err)
{
    c->threads = mk_calloc(N_READERS, sizeof *c->threads);
    while (c->n_threads < N_READERS &&
           !pthread_create(&c->threads[c->n_threads], NULL, reader_main, c))
        c->n_threads++;
    return c->n_threads || mk_fail(err, MK_ENOMEM, "no thread that reads experts can be started");
}

void mk_readers_stop(struct mk_expert_cache *c)
{
    pthread_mutex_lock(&c->lock);
    c->is_stopping = true;
    pthread_cond_broadcast(&c->has_work);
    pthread_mutex_unlock(&c->lock);
    for (unsigned i = 0; i < c->n_threads; i++) pthread_join(c->threads[i], NULL);
    free(c->threads);
}
