#include "engine/prefix.h"

#include "base/mem.h"
#include "engine/int_engine.h"
#include "engine/int_prefix.h"

#include <stdlib.h>
#include <string.h>

enum {
    MIN_TOKS = 16,       /* fewer are read as quickly as they are found */
    MAX_BLOCKS = 1 << 16 /* in memory and in files */
};

struct block {
    struct block *parent, *child, *next; /* next: the parent's next child */
    struct mk_block_head head;
    struct mk_block_name name; /* with a folder */
    uint8_t *rows;             /* NULL: only in its file */
    bool has_file;
    bool is_written; /* or needs not be */
    uint64_t used;   /* a parent's is never less than its children's */
    size_t index;    /* in the list */
};

struct mk_prefixes {
    struct mk_prefix_options o;
    struct mk_block_folder folder;
    size_t tok_bytes;
    struct block root; /* its children are the first blocks of all owners */
    struct block **list;
    size_t n, cap;
    uint64_t clock;
    struct mk_prefix_stats stats;
};

/* ---- one block ----------------------------------------------------------------------- */

static size_t bytes_of(const struct mk_prefixes *p, const struct block *b)
{
    return b->head.n * p->tok_bytes;
}

static void drop_rows(struct mk_prefixes *p, struct block *b)
{
    if (!b->rows) return;
    free(b->rows);
    b->rows = NULL;
    p->stats.n_blocks--;
    p->stats.n_bytes -= bytes_of(p, b);
}

static void set_rows(struct mk_prefixes *p, struct block *b, uint8_t *rows)
{
    b->rows = rows;
    p->stats.n_blocks++;
    p->stats.n_bytes += bytes_of(p, b);
}

static void count_file(struct mk_prefixes *p, struct block *b)
{
    b->has_file = true;
    p->stats.n_files++;
    p->stats.n_file_bytes += mk_block_file_bytes(&p->folder, b->head.n);
}

static void drop_file(struct mk_prefixes *p, struct block *b)
{
    if (!b->has_file) return;
    mk_block_remove(&p->folder, &b->name);
    b->has_file = false;
    p->stats.n_files--;
    p->stats.n_file_bytes -= mk_block_file_bytes(&p->folder, b->head.n);
}

static void set_written(struct mk_prefixes *p, struct block *b)
{
    p->stats.n_unwritten -= !b->is_written;
    b->is_written = true;
}

static struct block *add_block(struct mk_prefixes *p, struct block *parent,
                               const struct mk_block_head *head)
{
    struct block *b = mk_alloc(sizeof *b);
    b->head = *head;
    b->parent = parent;
    b->next = parent->child;
    parent->child = b;
    b->is_written = !p->folder.path;
    p->stats.n_unwritten += !b->is_written;
    if (p->folder.path) b->name = mk_block_name_of(&p->folder, head);
    if (p->n == p->cap) {
        p->cap = p->cap ? 2 * p->cap : 64;
        p->list = mk_realloc(p->list, p->cap * sizeof *p->list);
    }
    b->index = p->n;
    p->list[p->n++] = b;
    return b;
}

/* With all that follow it. */
static void drop_block(struct mk_prefixes *p, struct block *b)
{
    while (b->child) drop_block(p, b->child);
    struct block **at = &b->parent->child;
    while (*at != b) at = &(*at)->next;
    *at = b->next;
    drop_rows(p, b);
    drop_file(p, b);
    set_written(p, b);
    p->list[b->index] = p->list[--p->n];
    p->list[b->index]->index = b->index;
    free(b);
}

static void touch(struct mk_prefixes *p, struct block *b)
{
    for (p->clock++; b != &p->root; b = b->parent) b->used = p->clock;
}

/* ---- limits ------------------------------------------------------------------------ */

enum what { ROWS, FILES, BLOCKS };

static bool has(const struct block *b, enum what what)
{
    return what == ROWS ? b->rows != NULL : what == FILES ? b->has_file : true;
}

/* The one unused for longest; of equals one without children. */
static struct block *oldest(const struct mk_prefixes *p, enum what what)
{
    struct block *best = NULL;
    for (size_t i = 0; i < p->n; i++) {
        struct block *b = p->list[i];
        if (!has(b, what)) continue;
        if (!best || b->used < best->used || (b->used == best->used && !b->child)) best = b;
    }
    return best;
}

/* What is neither in memory nor in a file is gone, and with it what follows it. */
static void forget(struct mk_prefixes *p, struct block *b, enum what what)
{
    if (what == ROWS) drop_rows(p, b);
    if (what == FILES) drop_file(p, b);
    if (what == BLOCKS || (!b->rows && !b->has_file)) drop_block(p, b);
}

static void make_room(struct mk_prefixes *p)
{
    while (p->stats.n_bytes > p->o.max_bytes) forget(p, oldest(p, ROWS), ROWS);
    while (p->stats.n_file_bytes > p->o.max_disk_bytes) forget(p, oldest(p, FILES), FILES);
    while (p->n > MAX_BLOCKS) forget(p, oldest(p, BLOCKS), BLOCKS);
}

/* ---- finding ----------------------------------------------------------------------- */

static size_t n_same(const struct block *b, const int32_t *ids, size_t n)
{
    size_t same = 0;
    while (same < n && same < b->head.n && b->head.ids[same] == ids[same]) same++;
    return same;
}

/* The child that begins most like ids; *same is how far. */
static struct block *best_child(const struct mk_prefixes *p, const struct block *parent,
                                uint64_t owner, const int32_t *ids, size_t n, size_t *same)
{
    struct block *best = NULL;
    *same = 0;
    for (struct block *b = parent->child; b && n; b = b->next) {
        if (b->head.ids[0] != ids[0] || (parent == &p->root && b->head.owner != owner)) continue;
        const size_t k = n_same(b, ids, n);
        if (k > *same) *same = k, best = b;
    }
    return best;
}

size_t mk_prefixes_find(const struct mk_prefixes *p, uint64_t owner, const int32_t *ids, size_t n)
{
    const struct block *b = &p->root;
    size_t found = 0, same;
    while ((b = best_child(p, b, owner, ids + found, n - found, &same))) {
        found += same;
        if (same < MK_BLOCK_TOKS) break;
    }
    return found;
}

/* ---- keeping ----------------------------------------------------------------------- */

static uint8_t *rows_of(const struct mk_prefixes *p, const struct mk_session *s, size_t first,
                        size_t n)
{
    uint8_t *rows = mk_alloc(n * p->tok_bytes);
    mk_kv_save(&s->kv, first, n, rows);
    return rows;
}

/* The block of the n tokens from first on, below parent: one that is there, or was and is shorter,
 * or a new one. */
static struct block *keep_block(struct mk_prefixes *p, struct block *parent, uint64_t owner,
                                const struct mk_session *s, size_t first, size_t n)
{
    struct mk_block_head head = {.owner = owner, .n = n, .parent = parent->name};
    size_t same;
    memcpy(head.ids, s->ids.v + first, n * sizeof *head.ids);
    struct block *b = best_child(p, parent, owner, head.ids, n, &same);
    if (b && same == n) return b;
    if (b && same == b->head.n) drop_block(p, b); /* it has grown */
    b = add_block(p, parent, &head);
    set_rows(p, b, rows_of(p, s, first, n));
    return b;
}

void mk_prefixes_keep(struct mk_prefixes *p, uint64_t owner, const struct mk_session *s)
{
    struct block *b = &p->root;
    const size_t most = p->o.max_bytes / p->tok_bytes, end = s->kv.n < most ? s->kv.n : most;
    if (end < MIN_TOKS) return;
    for (size_t first = 0; first < end && b->head.n % MK_BLOCK_TOKS == 0;) {
        const size_t left = end - first, n = left < MK_BLOCK_TOKS ? left : MK_BLOCK_TOKS;
        b = keep_block(p, b, owner, s, first, n);
        first += n;
    }
    touch(p, b);
    make_room(p);
}

/* ---- loading ----------------------------------------------------------------------- */

/* Appends b's tokens [first, last), which are at s->kv.n, to the session.  False: its file is not
 * what it should be. */
static bool load_block(struct mk_prefixes *p, struct block *b, struct mk_session *s, size_t first,
                       size_t last)
{
    uint8_t *rows = b->rows ? b->rows : mk_alloc(bytes_of(p, b));
    const bool ok = b->rows || mk_block_read(&p->folder, &b->head, rows, NULL);
    if (ok) {
        mk_ids_append(&s->ids, b->head.ids + first, last - first);
        mk_kv_load(&s->kv, rows, b->head.n, first, last);
        s->row = s->n_rows = s->guess.n = 0;
    }
    if (ok && !b->rows && p->stats.n_bytes + bytes_of(p, b) <= p->o.max_bytes)
        set_rows(p, b, rows);
    else if (!b->rows)
        free(rows);
    if (ok) return true;
    p->stats.n_bad++;
    drop_block(p, b);
    return false;
}

static size_t common(const struct mk_session *s, const int32_t *ids, size_t n)
{
    size_t same = 0;
    while (same < n && same < s->kv.n && s->ids.v[same] == ids[same]) same++;
    return same;
}

void mk_prefixes_load(struct mk_prefixes *p, uint64_t owner, struct mk_session *s,
                      const int32_t *ids, size_t n)
{
    struct block *b = &p->root, *next;
    size_t at = 0, same;
    if (n > s->kv.n_ctx) n = s->kv.n_ctx;
    mk_session_truncate(s, common(s, ids, n));
    while ((next = best_child(p, b, owner, ids + at, n - at, &same))) {
        const bool is_new = at + same > s->kv.n; /* more than the session has */
        if (is_new && !load_block(p, next, s, s->kv.n - at, same)) break;
        b = next;
        at += same;
        if (same < MK_BLOCK_TOKS) break;
    }
    touch(p, b);
}

/* ---- the folder -------------------------------------------------------------------- */

bool mk_prefixes_write(struct mk_prefixes *p)
{
    struct block *b = NULL;
    struct mk_err err;
    for (size_t i = 0; p->stats.n_unwritten && i < p->n && !b; i++)
        if (!p->list[i]->is_written) b = p->list[i];
    if (!b) return false;
    set_written(p, b);
    if (!mk_block_write(&p->folder, &b->head, b->rows, &err)) {
        p->stats.n_failed++;
        p->stats.write_err = err;
        return true;
    }
    count_file(p, b);
    make_room(p);
    return true;
}

static int by_name(const void *a, const void *b)
{
    const struct mk_block_file *x = a, *y = b;
    return memcmp(&x->name, &y->name, sizeof x->name);
}

/* The blocks of files v[0..n), sorted by name; made[i] is that of v[i]. */
struct adoption {
    struct mk_prefixes *p;
    const struct mk_block_file *v;
    struct block **made;
    size_t n;
};

/* NULL: what it follows is missing.  Names are hashes of what they follow, so there is no circle.
 */
static struct block *adopt(const struct adoption *a, const struct mk_block_name *name)
{
    static const struct mk_block_name none;
    const struct mk_block_file key = {.name = *name};
    if (!memcmp(name, &none, sizeof none)) return &a->p->root;
    const struct mk_block_file *f = bsearch(&key, a->v, a->n, sizeof *f, by_name);
    if (!f) return NULL;
    struct block **b = &a->made[f - a->v];
    if (*b) return *b;
    struct block *parent = adopt(a, &f->head.parent);
    if (!parent || parent->head.n % MK_BLOCK_TOKS != 0) return NULL;
    *b = add_block(a->p, parent, &f->head);
    set_written(a->p, *b);
    count_file(a->p, *b);
    return *b;
}

/* What the folder has becomes part of the tree; the newest files as what was used last. */
static bool adopt_all(struct mk_prefixes *p, struct mk_err *err)
{
    struct mk_block_file *by_age, *v;
    size_t n;
    if (!mk_block_folder_list(&p->folder, &by_age, &n, &p->stats.n_bad, err)) return false;
    struct adoption a = {.p = p, .n = n, .made = mk_calloc(n, sizeof *a.made)};
    a.v = v = mk_calloc(n, sizeof *v);
    if (n) memcpy(v, by_age, n * sizeof *v);
    if (n) qsort(v, n, sizeof *v, by_name);
    for (size_t i = 0; i < n; i++) {
        struct block *b = adopt(&a, &by_age[i].name);
        if (b)
            touch(p, b);
        else
            mk_block_remove(&p->folder, &by_age[i].name);
    }
    free(a.made);
    free(v);
    free(by_age);
    make_room(p);
    return true;
}

/* ---- opening ----------------------------------------------------------------------- */

static bool open_folder(struct mk_prefixes *p, const struct mk_engine *e, struct mk_err *err)
{
    uint8_t model[32];
    if (!p->o.dir) return true;
    mk_engine_fingerprint(e, model);
    return mk_block_folder_open(&p->folder, p->o.dir, model, p->tok_bytes, err) &&
           adopt_all(p, err);
}

bool mk_prefixes_open(struct mk_prefixes **out, struct mk_engine *e,
                      const struct mk_prefix_options *o, struct mk_err *err)
{
    struct mk_prefixes *p = mk_alloc(sizeof *p);
    p->o = *o;
    p->tok_bytes = mk_kv_pos_bytes(&e->model.kv, e->kv_type);
    if (open_folder(p, e, err)) {
        *out = p;
        return true;
    }
    mk_prefixes_close(p);
    return false;
}

void mk_prefixes_close(struct mk_prefixes *p)
{
    if (!p) return;
    while (mk_prefixes_write(p)) {}
    for (size_t i = 0; i < p->n; i++) {
        free(p->list[i]->rows);
        free(p->list[i]);
    }
    free(p->list);
    mk_block_folder_close(&p->folder);
    free(p);
}

struct mk_prefix_stats mk_prefixes_stats(const struct mk_prefixes *p) { return p->stats; }
