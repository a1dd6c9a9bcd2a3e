/* Which experts are in memory, and who goes for whom. */
#include "tensor/expert_cache.h"

#include "base/clock.h"
#include "base/mem.h"
#include "tensor/int_expert_cache.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { HALF_LIFE = 32 }; /* steps after which a use counts half */
static const size_t NO_SLOT = SIZE_MAX;

/* ---- memory ------------------------------------------------------------------------------- */

uint8_t *mk_entry_pages(const struct mk_expert_cache *c, const struct mk_entry *e, size_t i)
{
    uint8_t *p = c->memory + e->slot * c->stride;
    for (size_t j = 0; j < i; j++) p += mk_direct_span(e->part[j].at, e->part[j].n_bytes);
    return p;
}

const uint8_t *mk_entry_data(const struct mk_expert_cache *c, const struct mk_entry *e, size_t i)
{
    return mk_entry_pages(c, e, i) + e->part[i].at % MK_DIRECT_PAGE;
}

/* Whole pages, whatever their size here. */
size_t mk_expert_room(const struct mk_expert_part parts[MK_EXPERT_PARTS])
{
    const size_t page = 1 << 16;
    size_t n = 0;
    for (size_t i = 0; i < MK_EXPERT_PARTS; i++) n += mk_direct_span(parts[i].at, parts[i].n_bytes);
    return (n + page - 1) / page * page;
}

/* Gives all of a slot's memory but the first n_kept bytes back to the system. */
static void shrink(struct mk_expert_cache *c, size_t slot, size_t n_kept)
{
    struct mk_slot_memory *s = &c->slots[slot];
    if (s->n_touched <= n_kept) return;
    madvise(c->memory + slot * c->stride + n_kept, s->n_touched - n_kept, MADV_DONTNEED);
    c->held_bytes -= s->n_touched - n_kept;
    s->n_touched = n_kept;
}

static struct mk_slot_memory *last_free(const struct mk_expert_cache *c)
{
    return &c->slots[c->free_slots[c->n_free - 1]];
}

/* Gives the memory of the free slot with this place in the list back. */
static void cool(struct mk_expert_cache *c, size_t place)
{
    const size_t slot = c->free_slots[place];
    shrink(c, slot, 0);
    memmove(c->free_slots + 1, c->free_slots, place * sizeof slot);
    c->free_slots[0] = slot;
}

/* Touched slots come last. */
static void free_slot(struct mk_expert_cache *c, struct mk_entry *e)
{
    e->state = MK_ENTRY_ABSENT;
    e->is_guess_read = e->is_guarded = false;
    for (size_t i = 0; i < MK_EXPERT_PARTS; i++) *e->part[i].data = NULL;
    c->free_slots[c->n_free++] = e->slot;
}

/* ---- who goes -------------------------------------------------------------------------------- */

static bool is_colder(const struct mk_entry *a, const struct mk_entry *b)
{
    return a->heat < b->heat || (a->heat == b->heat && a->used_at > b->used_at);
}

static bool drop_coldest(struct mk_expert_cache *c)
{
    struct mk_entry *best = NULL;
    for (size_t i = 0; i < c->n_entries; i++) {
        struct mk_entry *e = &c->entries[i];
        if (e->state != MK_ENTRY_READY || e->is_pinned || e->is_guarded) continue;
        if (!best || is_colder(e, best)) best = e;
    }
    if (best) free_slot(c, best);
    return best != NULL;
}

/* A use in step t adds 2^(t / HALF_LIFE), when the step is over. */
static void warm(struct mk_expert_cache *c, struct mk_entry *e)
{
    if (e->used_at == c->step) return;
    const double last = (double)e->used_at / HALF_LIFE;
    if (e->used_at) e->heat = isinf(e->heat) ? last : last + log2(1 + exp2(e->heat - last));
    e->used_at = c->step;
}

/* A slot that holds size bytes, within the limit; NO_SLOT if too little may go. */
static size_t take_slot(struct mk_expert_cache *c, size_t size)
{
    for (;;) {
        struct mk_slot_memory *s = last_free(c);
        const size_t grown = size > s->n_touched ? size - s->n_touched : 0;
        if (c->held_bytes + grown <= c->max_bytes) break;
        if (c->n_free > 1 && c->slots[c->free_slots[c->n_free - 2]].n_touched)
            cool(c, c->n_free - 2);
        else if (!drop_coldest(c))
            return NO_SLOT;
    }
    const size_t slot = c->free_slots[--c->n_free];
    shrink(c, slot, size);
    c->held_bytes += size - c->slots[slot].n_touched;
    c->slots[slot].n_touched = size;
    return slot;
}

void mk_expert_cache_begin(struct mk_expert_cache *c, size_t max_bytes)
{
    pthread_mutex_lock(&c->lock);
    c->step++;
    c->max_bytes = max_bytes;
    while (c->held_bytes > c->max_bytes) {
        if ((!c->n_free || !last_free(c)->n_touched) && !drop_coldest(c)) break;
        cool(c, c->n_free - 1);
    }
    pthread_mutex_unlock(&c->lock);
}

/* ---- reading -------------------------------------------------------------------------------- */

static struct mk_entry *entry_of(struct mk_expert_cache *c, size_t layer, int32_t id)
{
    return &c->entries[layer * c->n_expert + (size_t)id];
}

static bool begin_reading(struct mk_expert_cache *c, struct mk_entry *e, struct mk_read_queue *q)
{
    const size_t slot = take_slot(c, e->room);
    if (slot == NO_SLOT) return false;
    e->slot = slot;
    e->state = MK_ENTRY_READING;
    e->is_failed = false;
    e->n_taken = 0;
    e->n_left = MK_EXPERT_PARTS;
    c->n_reading++;
    mk_read_later(c, q, (size_t)(e - c->entries));
    return true;
}

static void pin(struct mk_expert_cache *c, struct mk_entry *e)
{
    c->n_pinned += !e->is_pinned;
    e->is_pinned = true;
}

static void unpin(struct mk_expert_cache *c, struct mk_entry *e)
{
    c->n_pinned -= e->is_pinned;
    e->is_pinned = false;
    if (e->state == MK_ENTRY_FAILED) free_slot(c, e);
}

/* Guesses protect nothing any more, and those that nobody began to read are forgotten. */
static void end_guesses(struct mk_expert_cache *c)
{
    for (size_t i = 0; i < c->n_guesses; i++) {
        struct mk_entry *e = &c->entries[c->guesses[i]];
        e->is_guarded = false;
        if (e->is_pinned) continue;
        const bool is_unread = e->state == MK_ENTRY_READING && !e->n_taken;
        c->n_reading -= is_unread;
        c->stats.n_guess -= is_unread && e->is_guess_read;
        e->is_guess_read = false;
        if (is_unread || e->state == MK_ENTRY_FAILED) free_slot(c, e);
    }
    c->n_guesses = 0;
}

/* Room for one that is missing, if need be at the cost of guesses, of pins of this call that come
 * later, and in the end by waiting for what is being read for nobody. */
static bool fetch(struct mk_expert_cache *c, struct mk_entry *e, size_t layer, const int32_t *id,
                  size_t n_before, size_t *n)
{
    for (;;) {
        if (begin_reading(c, e, &c->wanted)) return true;
        if (c->n_guesses) {
            end_guesses(c);
        } else if (*n > n_before + 1) {
            unpin(c, entry_of(c, layer, id[--*n]));
        } else if (n_before == 0 && c->n_pinned == 0 && c->n_reading) {
            pthread_cond_wait(&c->has_read, &c->lock);
        } else {
            *n = n_before;
            return false;
        }
    }
}

static void count_need(struct mk_expert_cache *c, struct mk_entry *e)
{
    c->stats.n_need++;
    if (e->is_guess_read)
        c->stats.n_right++;
    else
        c->stats.n_hit += e->state == MK_ENTRY_READY;
    e->is_guess_read = false;
}

/* What is there or on its way goes no more; what was only guessed is read before other guesses. */
static void pin_present(struct mk_expert_cache *c, struct mk_entry *e)
{
    if (e->state == MK_ENTRY_FAILED) free_slot(c, e);
    if (e->state == MK_ENTRY_ABSENT) return;
    if (e->state == MK_ENTRY_READING) mk_read_later(c, &c->wanted, (size_t)(e - c->entries));
    pin(c, e);
}

size_t mk_expert_cache_want(struct mk_expert_cache *c, size_t layer, const int32_t *id, size_t n)
{
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < n; i++) pin_present(c, entry_of(c, layer, id[i]));
    if (layer == c->guess_layer) end_guesses(c);
    for (size_t i = 0; i < n; i++) {
        struct mk_entry *e = entry_of(c, layer, id[i]);
        if (e->state == MK_ENTRY_ABSENT && !fetch(c, e, layer, id, i, &n)) break;
        pin(c, e);
    }
    for (size_t i = 0; i < n; i++) count_need(c, entry_of(c, layer, id[i]));
    pthread_mutex_unlock(&c->lock);
    return n;
}

bool mk_expert_cache_wait(struct mk_expert_cache *c, size_t layer, const int32_t *id, size_t n,
                          struct mk_err *err)
{
    bool ok = true;
    const double start = mk_now_s();
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < n; i++) {
        struct mk_entry *e = entry_of(c, layer, id[i]);
        while (e->state == MK_ENTRY_READING) pthread_cond_wait(&c->has_read, &c->lock);
        ok = ok && e->state == MK_ENTRY_READY;
        warm(c, e);
        for (size_t p = 0; p < MK_EXPERT_PARTS; p++) *e->part[p].data = mk_entry_data(c, e, p);
    }
    if (!ok && err) *err = c->err;
    c->stats.wait_s += mk_now_s() - start;
    pthread_mutex_unlock(&c->lock);
    return ok;
}

void mk_expert_cache_release(struct mk_expert_cache *c, size_t layer, const int32_t *id, size_t n)
{
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < n; i++) unpin(c, entry_of(c, layer, id[i]));
    pthread_mutex_unlock(&c->lock);
}

void mk_expert_cache_guess(struct mk_expert_cache *c, size_t layer, const int32_t *id, size_t n)
{
    pthread_mutex_lock(&c->lock);
    end_guesses(c);
    c->guess_layer = layer;
    for (size_t i = 0; i < n; i++) {
        struct mk_entry *e = entry_of(c, layer, id[i]);
        if (e->is_guarded || e->state == MK_ENTRY_FAILED) continue;
        e->is_guarded = true;
        c->guesses[c->n_guesses++] = (size_t)(e - c->entries);
    }
    for (size_t i = 0; i < c->n_guesses; i++) {
        struct mk_entry *e = &c->entries[c->guesses[i]];
        if (e->state != MK_ENTRY_ABSENT) continue;
        if (!begin_reading(c, e, &c->guessed)) break;
        e->is_guess_read = true;
        c->stats.n_guess++;
    }
    pthread_mutex_unlock(&c->lock);
}

/* ---- life ----------------------------------------------------------------------------------- */

static void set_entries(struct mk_expert_cache *c)
{
    for (size_t i = 0; i < c->n_entries; i++) {
        struct mk_entry *e = &c->entries[i];
        e->part = c->parts + i * MK_EXPERT_PARTS;
        e->heat = -(double)INFINITY;
        if (!e->part->data) continue;
        e->room = mk_expert_room(e->part);
        if (e->room > c->stride) c->stride = e->room;
        for (size_t p = 0; p < MK_EXPERT_PARTS; p++) *e->part[p].data = NULL;
    }
}

bool mk_expert_cache_new(struct mk_expert_cache **out, const struct mk_direct *files,
                         const struct mk_expert_part *parts, size_t n_layer, size_t n_expert,
                         struct mk_err *err)
{
    struct mk_expert_cache *c = mk_alloc(sizeof *c);
    const size_t n = n_layer * n_expert, n_parts = n * MK_EXPERT_PARTS;
    c->files = files;
    c->n_layer = n_layer, c->n_expert = n_expert, c->n_entries = n;
    c->parts = mk_calloc(n_parts, sizeof *c->parts);
    memcpy(c->parts, parts, n_parts * sizeof *parts);
    c->entries = mk_calloc(n, sizeof *c->entries);
    c->slots = mk_calloc(n, sizeof *c->slots);
    c->guesses = mk_calloc(n, sizeof *c->guesses);
    c->free_slots = mk_calloc(n, sizeof *c->free_slots);
    for (size_t i = 0; i < n; i++) c->free_slots[c->n_free++] = n - 1 - i;
    set_entries(c);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->has_work, NULL);
    pthread_cond_init(&c->has_read, NULL);
    void *memory = NULL;
    bool ok = mk_mul(n, c->stride, &c->n_memory_bytes)
                  ? mk_reserve(&memory, c->n_memory_bytes, err)
                  : mk_fail(err, MK_ELIMIT, "%zu experts are too many", n);
    c->memory = memory;
    if (ok && mk_readers_start(c, err)) {
        *out = c;
        return true;
    }
    mk_expert_cache_free(c);
    return false;
}

void mk_expert_cache_free(struct mk_expert_cache *c)
{
    if (!c) return;
    mk_readers_stop(c);
    mk_unreserve(c->memory, c->n_memory_bytes);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->has_work);
    pthread_cond_destroy(&c->has_read);
    free(c->wanted.v);
    free(c->guessed.v);
    free(c->free_slots);
    free(c->guesses);
    free(c->slots);
    free(c->entries);
    free(c->parts);
    free(c);
}

size_t mk_expert_cache_held(struct mk_expert_cache *c)
{
    pthread_mutex_lock(&c->lock);
    const size_t n = c->held_bytes;
    pthread_mutex_unlock(&c->lock);
    return n;
}

struct mk_expert_stats mk_expert_cache_stats(struct mk_expert_cache *c)
{
    pthread_mutex_lock(&c->lock);
    const struct mk_expert_stats s = c->stats;
    pthread_mutex_unlock(&c->lock);
    return s;
}
