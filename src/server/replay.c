#include "server/replay.h"

#include "base/mem.h"
#include "server/digest.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BYTES = 8 << 20 };

void mk_replay_init(struct mk_replay *r) { pthread_mutex_init(&r->lock, NULL); }

/* ---- memos ------------------------------------------------------------------------- */

static void clear(struct mk_replay *r)
{
    for (size_t s = 0; s < MK_REPLAY_SETS; s++)
        for (size_t w = 0; w < MK_REPLAY_WAYS; w++) {
            free(r->memos[s][w].bytes);
            r->memos[s][w] = (struct mk_memo){0};
        }
    r->n_bytes = 0;
}

void mk_replay_release(struct mk_replay *r)
{
    clear(r);
    pthread_mutex_destroy(&r->lock);
}

static struct mk_memo *set_of(struct mk_replay *r, const uint8_t key[32])
{
    return r->memos[(key[0] | key[1] << 8) % MK_REPLAY_SETS];
}

static void keep(struct mk_replay *r, const uint8_t key[32], const void *bytes, size_t n)
{
    pthread_mutex_lock(&r->lock);
    if (r->n_bytes + n > MAX_BYTES) clear(r);
    struct mk_memo *set = set_of(r, key), *m = set;
    for (size_t w = 0; w < MK_REPLAY_WAYS; w++) {
        if (set[w].used < m->used) m = &set[w];
        if (set[w].bytes && !memcmp(set[w].key, key, sizeof set[w].key)) {
            m = &set[w];
            break;
        }
    }
    free(m->bytes);
    r->n_bytes += n - m->n;
    *m = (struct mk_memo){.bytes = mk_alloc(n + 1), .n = n, .used = ++r->clock};
    memcpy(m->key, key, sizeof m->key);
    memcpy(m->bytes, bytes, n);
    pthread_mutex_unlock(&r->lock);
}

/* A copy with a zero behind it, to free(), or NULL. */
static void *recall(struct mk_replay *r, const uint8_t key[32], size_t *n)
{
    void *copy = NULL;
    pthread_mutex_lock(&r->lock);
    struct mk_memo *set = set_of(r, key);
    for (size_t w = 0; w < MK_REPLAY_WAYS && !copy; w++) {
        if (!set[w].bytes || memcmp(set[w].key, key, sizeof set[w].key) != 0) continue;
        set[w].used = ++r->clock;
        *n = set[w].n;
        copy = mk_alloc(set[w].n + 1);
        memcpy(copy, set[w].bytes, set[w].n);
    }
    pthread_mutex_unlock(&r->lock);
    return copy;
}

/* ---- tokens ------------------------------------------------------------------------ */

/* A run is what stands between two tags.  Its key: whose, after which tag, its usual tokens. */
static void run_key(uint8_t key[32], uint64_t owner, int32_t tag, const int32_t *ids, size_t n)
{
    struct mk_str s = {0};
    mk_str_append(&s, (const char *)&owner, sizeof owner);
    mk_str_append(&s, (const char *)&tag, sizeof tag);
    mk_str_append(&s, (const char *)ids, n * sizeof *ids);
    mk_digest(key, s.data, s.len);
    mk_str_release(&s);
}

static size_t run_length(const struct mk_tokenizer *t, const int32_t *ids, size_t n)
{
    size_t k = 0;
    while (k < n && !mk_token_is_tag(t, ids[k])) k++;
    return k;
}

static void keep_run(struct mk_replay *r, uint64_t owner, const struct mk_tokenizer *t, int32_t tag,
                     const int32_t *ids, size_t n)
{
    uint8_t key[32];
    struct mk_str text = {0};
    struct mk_ids usual = {0};
    mk_detokenize(t, ids, n, false, &text);
    mk_tokenize(t, mk_str_c(&text), text.len, 0, &usual);
    if (usual.n != n || memcmp(usual.v, ids, n * sizeof *ids) != 0) {
        run_key(key, owner, tag, usual.v, usual.n);
        keep(r, key, ids, n * sizeof *ids);
    }
    mk_ids_release(&usual);
    mk_str_release(&text);
}

void mk_replay_keep(struct mk_replay *r, uint64_t owner, const struct mk_tokenizer *t,
                    const struct mk_ids *prompt, const struct mk_ids *answer)
{
    struct mk_ids all = {0};
    size_t first = prompt->n; /* of the run that the answer goes on with */
    while (first && !mk_token_is_tag(t, prompt->v[first - 1])) first--;
    int32_t tag = first ? prompt->v[first - 1] : -1;
    mk_ids_append(&all, prompt->v + first, prompt->n - first);
    mk_ids_append(&all, answer->v, answer->n);
    for (size_t i = 0; i < all.n; i++) {
        const size_t n = run_length(t, all.v + i, all.n - i);
        if (n) keep_run(r, owner, t, tag, all.v + i, n);
        i += n;
        if (i < all.n) tag = all.v[i];
    }
    mk_ids_release(&all);
}

void mk_replay_ids(struct mk_replay *r, uint64_t owner, const struct mk_tokenizer *t,
                   struct mk_ids *prompt)
{
    uint8_t key[32];
    struct mk_ids out = {0};
    int32_t tag = -1;
    for (size_t i = 0; i < prompt->n; i++) {
        const size_t n = run_length(t, prompt->v + i, prompt->n - i);
        size_t n_bytes;
        run_key(key, owner, tag, prompt->v + i, n);
        int32_t *as_written = n ? recall(r, key, &n_bytes) : NULL;
        if (as_written)
            mk_ids_append(&out, as_written, n_bytes / sizeof *as_written);
        else
            mk_ids_append(&out, prompt->v + i, n);
        free(as_written);
        i += n;
        if (i < prompt->n) mk_ids_add(&out, tag = prompt->v[i]);
    }
    mk_ids_release(prompt);
    *prompt = out;
}

/* ---- calls ------------------------------------------------------------------------- */

enum { N_LETTERS = 24 };

void mk_call_id(char out[MK_CALL_ID], const char *request, size_t n)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    struct mk_str s = {0};
    uint8_t d[32];
    mk_str_addf(&s, "%s %zu", request, n);
    mk_digest(d, s.data, s.len);
    mk_str_release(&s);
    int at = snprintf(out, MK_CALL_ID, "call_%02zu_", n % 100);
    for (size_t i = 0; i < N_LETTERS; i++) out[at++] = letters[d[i] % 36];
    out[at] = 0;
}

/* By the letters alone: APIs put different words before them.  False: it is none of ours. */
static bool call_key(uint8_t key[32], uint64_t owner, const char *id)
{
    struct mk_str s = {0};
    const size_t n = strlen(id);
    if (n < N_LETTERS) return false;
    mk_str_append(&s, (const char *)&owner, sizeof owner);
    mk_str_add(&s, id + n - N_LETTERS);
    mk_digest(key, s.data, s.len);
    mk_str_release(&s);
    return true;
}

void mk_replay_keep_call(struct mk_replay *r, uint64_t owner, const char *id, const char *arguments)
{
    uint8_t key[32];
    if (call_key(key, owner, id)) keep(r, key, arguments, strlen(arguments));
}

static bool is_same_json(const char *a, const char *b)
{
    json_t *x = json_loads(a, JSON_DECODE_ANY, NULL), *y = json_loads(b, JSON_DECODE_ANY, NULL);
    const bool is_same = x && y && json_equal(x, y);
    json_decref(x);
    json_decref(y);
    return is_same;
}

char *mk_replay_call(struct mk_replay *r, uint64_t owner, const char *id, const char *arguments)
{
    uint8_t key[32];
    size_t n;
    char *as_written = call_key(key, owner, id) ? recall(r, key, &n) : NULL;
    if (!as_written || is_same_json(as_written, arguments)) return as_written;
    free(as_written);
    return NULL;
}
