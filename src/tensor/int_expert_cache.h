#ifndef MK_TENSOR_INT_EXPERT_CACHE_H
#define MK_TENSOR_INT_EXPERT_CACHE_H
/* Private to tensor/: the cache of experts, and its threads that read. */
#include "tensor/expert_cache.h"

#include <pthread.h>

enum mk_entry_state { MK_ENTRY_ABSENT, MK_ENTRY_READING, MK_ENTRY_READY, MK_ENTRY_FAILED };

/* One expert of one layer. */
struct mk_entry {
    const struct mk_expert_part *part; /* [MK_EXPERT_PARTS] */
    size_t room;                       /* bytes of its pages; 0: there is no such expert */
    size_t slot;                       /* unless it is absent */
    enum mk_entry_state state;
    unsigned n_taken, n_left; /* parts that threads took (in order), that are not read yet */
    bool is_failed;           /* a part could not be read */
    bool is_pinned;
    bool is_guarded;    /* guessed for the layer that comes next */
    bool is_guess_read; /* read because it was guessed, not wanted since */
    /* log2 of the sum over the steps that used it before used_at of 2^(step / half-life). */
    double heat;
    uint64_t used_at; /* the last step that used it; 0: none */
};
/* Memory of an expert.  All are equally far apart; what was touched of it takes real memory. */
struct mk_slot_memory {
    size_t n_touched;
};
/* Entries whose parts wait to be read; one whose parts are all taken is passed over. */
struct mk_read_queue {
    size_t *v, first, n, cap;
};

struct mk_expert_cache {
    const struct mk_direct *files;
    struct mk_expert_part *parts;
    struct mk_entry *entries; /* [n_layer][n_expert] */
    size_t n_layer, n_expert, n_entries;
    uint8_t *memory; /* [n_entries][stride] of address space */
    size_t stride, n_memory_bytes;
    struct mk_slot_memory *slots;
    size_t *free_slots, n_free; /* the touched ones last */
    size_t held_bytes, max_bytes;
    uint64_t step;
    size_t n_pinned, n_reading; /* entries */
    size_t *guesses, n_guesses, guess_layer;
    struct mk_expert_stats stats;
    struct mk_read_queue wanted, guessed;
    struct mk_err err; /* of the last read that failed */
    pthread_mutex_t lock;
    pthread_cond_t has_work, has_read;
    pthread_t *threads;
    unsigned n_threads;
    bool is_stopping;
};

/* Where part i of an entry lies in memory, its first page; and its first byte. */
uint8_t *mk_entry_pages(const struct mk_expert_cache *c, const struct mk_entry *e, size_t i);
const uint8_t *mk_entry_data(const struct mk_expert_cache *c, const struct mk_entry *e, size_t i);

bool mk_readers_start(struct mk_expert_cache *c, struct mk_err *err) MK_CHECKED;
void mk_readers_stop(struct mk_expert_cache *c);
/* Under lock, for an entry in state READING. */
void mk_read_later(struct mk_expert_cache *c, struct mk_read_queue *q, size_t entry);
#endif
