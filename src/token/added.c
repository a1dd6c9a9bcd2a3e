/* Added tokens are found in the text before it is cut into pieces: at the leftmost place
 * where any of them matches, the longest one.  A trie with the children of a node in a
 * list: most nodes have one child, and only a few bytes begin a token. */
#include "token/int_token.h"

#include <stdlib.h>
#include <string.h>

static uint32_t new_node(struct mk_trie *t, uint8_t byte)
{
    if (t->n == t->cap) {
        t->cap = t->cap ? 2 * t->cap : 256;
        t->nodes = mk_realloc(t->nodes, t->cap * sizeof *t->nodes);
    }
    t->nodes[t->n] = (struct mk_trie_node){.added = -1, .byte = byte};
    return t->n++;
}

static uint32_t child_of(const struct mk_trie *t, uint32_t node, uint8_t byte)
{
    uint32_t c = t->nodes[node].child;
    while (c && t->nodes[c].byte != byte) c = t->nodes[c].next;
    return c;
}

/* Of two tokens with the same text the first is found. */
void mk_trie_add(struct mk_trie *t, const char *s, size_t n, int32_t added)
{
    if (!t->n) new_node(t, 0); /* the root */
    t->starts[(uint8_t)s[0]] = true;
    uint32_t at = 0;
    for (size_t i = 0; i < n; i++) {
        const uint8_t byte = (uint8_t)s[i];
        uint32_t c = child_of(t, at, byte);
        if (!c) {
            c = new_node(t, byte);
            t->nodes[c].next = t->nodes[at].child;
            t->nodes[at].child = c;
        }
        at = c;
    }
    if (t->nodes[at].added < 0) t->nodes[at].added = added;
}

static const struct mk_added *longest_at(const struct mk_trie *t, const struct mk_added *list,
                                         bool all, const char *s, size_t n, size_t *len)
{
    const struct mk_added *best = NULL;
    uint32_t at = 0;
    for (size_t i = 0; i < n; i++) {
        at = child_of(t, at, (uint8_t)s[i]);
        if (!at) break;
        const int32_t a = t->nodes[at].added;
        if (a < 0 || !(all || list[a].is_text)) continue;
        best = &list[a];
        *len = i + 1;
    }
    return best;
}

static size_t space_len(const char *s, size_t n) /* of one white space character, 0: other */
{
    const int len = mk_utf8_len(s, n);
    if (len <= 0) return 0;
    const uint32_t c = mk_utf8_cp(s, len);
    const bool is_space = (c >= 9 && c <= 13) || c == 32 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
                          (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
                          c == 0x202f || c == 0x205f || c == 0x3000;
    return is_space ? (size_t)len : 0;
}

/* Takes white space on the sides that ask for it into the match. */
static void strip(struct mk_match *m, const char *s, size_t n, size_t at)
{
    while (m->added->lstrip && m->from > at) {
        size_t from = m->from - 1;
        while (from > at && (s[from] & 0xc0) == 0x80) from--;
        if (!space_len(s + from, m->from - from)) break;
        m->from = from;
    }
    size_t len;
    while (m->added->rstrip && m->to < n && (len = space_len(s + m->to, n - m->to))) m->to += len;
}

bool mk_trie_find(const struct mk_trie *t, const struct mk_added *list, bool all, const char *s,
                  size_t n, size_t at, struct mk_match *out)
{
    if (!t->n) return false;
    for (size_t i = at; i < n; i++) {
        if (!t->starts[(uint8_t)s[i]]) continue;
        size_t len = 0;
        const struct mk_added *a = longest_at(t, list, all, s + i, n - i, &len);
        if (!a) continue;
        *out = (struct mk_match){i, i + len, a};
        strip(out, s, n, at);
        return true;
    }
    return false;
}

static bool is(const char *s, size_t n, const char *want)
{
    return n == strlen(want) && !memcmp(s, want, n);
}

static bool starts_with(const char *s, size_t n, const char *want)
{
    return n >= strlen(want) && !memcmp(s, want, strlen(want));
}

static bool ends_with(const char *s, size_t n, const char *want)
{
    const size_t k = strlen(want);
    return n >= k && !memcmp(s + n - k, want, k);
}

bool mk_looks_control(const char *s, size_t n)
{
    return (starts_with(s, n, "<|") || starts_with(s, n, "<｜")) &&
           (ends_with(s, n, "|>") || ends_with(s, n, "｜>"));
}

bool mk_is_think_tag(const char *s, size_t n)
{
    return is(s, n, "<think>") || is(s, n, "</think>");
}

bool mk_is_one_char(const char *s, size_t n)
{
    const int len = mk_utf8_len(s, n);
    return len > 0 && (size_t)len == n;
}
