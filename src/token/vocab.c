/* Ids and their bytes in flat arrays, and two hash tables: bytes -> id, and a pair of
 * ids -> rank and id of what they merge to.  Nothing is allocated for a single token.
 *
 * Files write tokens in an alphabet of printable characters, one for each byte; here
 * they are bytes. */
#include "token/int_token.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

/* ---- the byte alphabet ---- */

static uint32_t byte_cp(unsigned b)
{
    if (b <= 32) return 256 + b;
    if (b >= 127 && b <= 160) return 256 + 33 + (b - 127);
    return b == 173 ? 256 + 67 : b;
}

static int cp_byte(uint32_t cp) /* -1: not in the alphabet */
{
    if ((cp >= 33 && cp <= 126) || (cp >= 161 && cp <= 255 && cp != 173)) return (int)cp;
    if (cp >= 256 && cp <= 288) return (int)cp - 256;
    if (cp >= 289 && cp <= 322) return (int)cp - 289 + 127;
    return cp == 323 ? 173 : -1;
}

void mk_alphabet_encode(struct mk_str *out, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) mk_str_add_cp(out, byte_cp((unsigned char)bytes[i]));
}

size_t mk_alphabet_decode(char *out, const char *s, size_t n)
{
    size_t len = 0;
    for (size_t i = 0; i < n;) {
        const unsigned c = (unsigned char)s[i];
        uint32_t cp = c;
        if (c >= 0x80) {
            if (c < 0xc2 || c > 0xc5 || i + 1 >= n || (s[i + 1] & 0xc0) != 0x80) return SIZE_MAX;
            cp = (c & 0x1f) << 6 | ((unsigned char)s[i + 1] & 0x3f);
        }
        const int byte = cp_byte(cp);
        if (byte < 0) return SIZE_MAX;
        out[len++] = (char)byte;
        i += c < 0x80 ? 1 : 2;
    }
    return len;
}

struct mk_token_shown mk_token_show(const char *s, size_t n)
{
    struct mk_token_shown r;
    const size_t room = sizeof r.s - sizeof "\\x00...";
    size_t at = 0;
    for (size_t i = 0; i < n;) {
        const int len = mk_utf8_len(s + i, n - i);
        if (at + (size_t)(len > 0 ? len : 1) > room) {
            memcpy(r.s + at, "...", 3);
            at += 3;
            break;
        }
        if (len > 1 || (len == 1 && (unsigned char)s[i] >= 32 && s[i] != 127)) {
            memcpy(r.s + at, s + i, (size_t)len);
            at += (size_t)len;
        } else {
            static const char hex[] = "0123456789abcdef";
            const unsigned char c = (unsigned char)s[i];
            r.s[at++] = '\\';
            if (c == '\n' || c == '\r') {
                r.s[at++] = c == '\n' ? 'n' : 'r';
            } else {
                r.s[at++] = 'x';
                r.s[at++] = hex[c >> 4];
                r.s[at++] = hex[c & 15];
            }
        }
        i += (size_t)(len > 0 ? len : 1);
    }
    r.s[at] = '\0';
    return r;
}

/* ---- ids ---- */

void mk_vocab_release(struct mk_vocab *v)
{
    free(v->span);
    free(v->kind);
    mk_str_release(&v->text);
    free(v->slots);
    free(v->merges);
    free(v->merge_slots);
    *v = (struct mk_vocab){0};
}

static void make_room(struct mk_vocab *v, int32_t id)
{
    if (id >= v->cap) {
        const int32_t cap = id < INT32_MAX / 2 ? 2 * id + 256 : INT32_MAX;
        v->span = mk_realloc(v->span, (size_t)cap * sizeof *v->span);
        v->kind = mk_realloc(v->kind, (size_t)cap);
        memset(v->kind + v->cap, MK_KIND_NONE, (size_t)(cap - v->cap));
        v->cap = cap;
    }
    if (id >= v->n) v->n = id + 1;
}

/* A vocabulary entry that is listed as an added token too: the same text, which from
 * here on counts as written, not as bytes. */
static bool make_added(struct mk_vocab *v, int32_t id, enum mk_token_kind kind, const char *text,
                       size_t n)
{
    struct mk_vocab_span *s = &v->span[id];
    struct mk_str old = {0};
    if (v->kind[id] == MK_KIND_BYTES)
        mk_alphabet_encode(&old, v->text.data + s->at, s->len);
    else
        mk_str_append(&old, v->text.data + s->at, s->len);
    const bool same = old.len == n && !memcmp(mk_str_c(&old), text, n);
    mk_str_release(&old);
    if (!same) return false;
    *s = (struct mk_vocab_span){(uint32_t)v->text.len, (uint32_t)n};
    mk_str_append(&v->text, text, n);
    v->kind[id] = (uint8_t)kind;
    return true;
}

bool mk_vocab_put(struct mk_vocab *v, int32_t id, enum mk_token_kind kind, const char *text,
                  size_t n)
{
    make_room(v, id);
    if (v->kind[id] != MK_KIND_NONE)
        return kind > MK_KIND_RAW && v->kind[id] <= MK_KIND_RAW && make_added(v, id, kind, text, n);
    const size_t at = v->text.len;
    mk_str_append(&v->text, text, n);
    if (kind == MK_KIND_BYTES) {
        const size_t len = mk_alphabet_decode(v->text.data + at, text, n);
        if (len == SIZE_MAX) {
            memcpy(v->text.data + at, text, n);
            kind = MK_KIND_RAW;
        } else {
            v->text.len = at + len;
        }
    }
    v->kind[id] = (uint8_t)kind;
    v->span[id] = (struct mk_vocab_span){(uint32_t)at, (uint32_t)(v->text.len - at)};
    return true;
}

/* ---- bytes -> id ---- */

static uint64_t mix(uint64_t h, uint64_t x)
{
    h = (h ^ x) * 0x9fb21c651e98df25ull;
    return h ^ h >> 32;
}

static uint32_t hash_bytes(const struct mk_vocab *v, const char *s, size_t n)
{
    uint64_t h = v->seed ^ n, x;
    for (; n >= 8; s += 8, n -= 8) {
        memcpy(&x, s, 8);
        h = mix(h, x);
    }
    x = 0;
    if (n >= 4) {
        uint32_t first, last; /* they overlap below 8 bytes */
        memcpy(&first, s, 4);
        memcpy(&last, s + n - 4, 4);
        x = (uint64_t)first << 32 | last;
    } else {
        for (size_t i = 0; i < n; i++) x = x << 8 | (unsigned char)s[i];
    }
    return (uint32_t)(mix(mix(h, x), v->seed) >> 8);
}

static size_t table_size(size_t n) /* a power of two, at least twice n */
{
    size_t size = 16;
    while (size < 2 * n) size *= 2;
    return size;
}

static bool slot_is(const struct mk_vocab *v, const struct mk_vocab_slot *slot, uint32_t hash,
                    const char *s, size_t n)
{
    if (slot->hash != hash) return false;
    const struct mk_vocab_span *at = &v->span[slot->id];
    return at->len == n && !memcmp(v->text.data + at->at, s, n);
}

int32_t mk_vocab_find(const struct mk_vocab *v, const char *bytes, size_t n)
{
    if (n > v->longest) return -1;
    const uint32_t hash = hash_bytes(v, bytes, n);
    for (size_t i = hash & v->slot_mask;; i = (i + 1) & v->slot_mask) {
        const struct mk_vocab_slot *slot = &v->slots[i];
        if (slot->id < 0) return -1;
        if (slot_is(v, slot, hash, bytes, n)) return slot->id;
    }
}

/* Of two ids with the same bytes the first is found. */
static void index_id(struct mk_vocab *v, int32_t id)
{
    const struct mk_vocab_span s = v->span[id];
    const uint32_t hash = hash_bytes(v, v->text.data + s.at, s.len);
    size_t i = hash & v->slot_mask;
    while (v->slots[i].id >= 0) {
        if (slot_is(v, &v->slots[i], hash, v->text.data + s.at, s.len)) return;
        i = (i + 1) & v->slot_mask;
    }
    v->slots[i] = (struct mk_vocab_slot){hash, id};
    if (s.len > v->longest) v->longest = s.len;
}

bool mk_vocab_index(struct mk_vocab *v, const char *file, struct mk_err *err)
{
    const double now = mk_now_s();
    memcpy(&v->seed, &now, sizeof v->seed);
    v->seed = mix((uintptr_t)v, v->seed);
    const size_t size = table_size((size_t)v->n);
    v->slots = mk_realloc(v->slots, size * sizeof *v->slots);
    memset(v->slots, 0xff, size * sizeof *v->slots);
    v->slot_mask = size - 1;
    for (int32_t id = 0; id < v->n; id++)
        if (v->kind[id] == MK_KIND_BYTES && v->span[id].len) index_id(v, id);
    for (unsigned b = 0; b < 256; b++) {
        const char c = (char)b;
        v->byte_id[b] = mk_vocab_find(v, &c, 1);
        const bool in_utf8 = b < 0xc0 || (b >= 0xc2 && b <= 0xf4);
        if (v->byte_id[b] < 0 && in_utf8)
            return mk_fail(err, MK_EFORMAT, "%s: no token for byte 0x%02x", file, b);
    }
    return true;
}

/* ---- merges ---- */

bool mk_vocab_add_merge(struct mk_vocab *v, const char *left, size_t n_left, const char *right,
                        size_t n_right, const char *file, struct mk_err *err)
{
    char small[256], *buf = n_left + n_right <= sizeof small ? small : mk_alloc(n_left + n_right);
    const size_t l = mk_alphabet_decode(buf, left, n_left);
    const size_t r = l == SIZE_MAX ? l : mk_alphabet_decode(buf + l, right, n_right);
    struct mk_merge m = {-1, -1, -1};
    if (r != SIZE_MAX) {
        m.left = mk_vocab_find(v, buf, l);
        m.right = mk_vocab_find(v, buf + l, r);
        m.id = mk_vocab_find(v, buf, l + r);
    }
    if (buf != small) free(buf);
    if (m.left < 0 || m.right < 0 || m.id < 0)
        return mk_fail(err, MK_EFORMAT, "%s: merge %zu (%s %s): %s is not in the vocabulary", file,
                       v->n_merges, mk_token_show(left, n_left).s, mk_token_show(right, n_right).s,
                       m.left < 0    ? "the first part"
                       : m.right < 0 ? "the second part"
                                     : "the result");
    if (v->n_merges == v->cap_merges) {
        v->cap_merges = v->cap_merges ? 2 * v->cap_merges : 1024;
        v->merges = mk_realloc(v->merges, v->cap_merges * sizeof *v->merges);
    }
    v->merges[v->n_merges++] = m;
    return true;
}

static size_t pair_slot(const struct mk_vocab *v, int32_t left, int32_t right)
{
    const uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    return (size_t)mix(v->seed, key) & v->merge_mask;
}

/* A pair that is listed twice has its last rank, as in the reference. */
void mk_vocab_index_merges(struct mk_vocab *v)
{
    const size_t size = table_size(v->n_merges);
    v->merge_slots = mk_realloc(v->merge_slots, size * sizeof *v->merge_slots);
    memset(v->merge_slots, 0xff, size * sizeof *v->merge_slots);
    v->merge_mask = size - 1;
    for (size_t rank = 0; rank < v->n_merges; rank++) {
        const struct mk_merge *m = &v->merges[rank];
        size_t i = pair_slot(v, m->left, m->right);
        struct mk_merge_slot *s = &v->merge_slots[i];
        while (s->left >= 0 && !(s->left == m->left && s->right == m->right)) {
            i = (i + 1) & v->merge_mask;
            s = &v->merge_slots[i];
        }
        *s = (struct mk_merge_slot){m->left, m->right, (uint32_t)rank, m->id};
    }
}

const struct mk_merge_slot *mk_vocab_merge(const struct mk_vocab *v, int32_t left, int32_t right)
{
    for (size_t i = pair_slot(v, left, right);; i = (i + 1) & v->merge_mask) {
        const struct mk_merge_slot *s = &v->merge_slots[i];
        if (s->left < 0) return NULL;
        if (s->left == left && s->right == right) return s;
    }
}
