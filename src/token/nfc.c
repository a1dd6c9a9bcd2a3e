/* Normalisation form C (Unicode annex 15): decompose, put marks in canonical order,
 * compose.  The character data and the composition are utf8proc's; the ordering is ours,
 * because utf8proc's takes quadratic time for a long run of marks.
 *
 * Most text needs none of it: runs of characters that normalisation leaves alone, and
 * that combine with nothing before them, are copied. */
#include "token/int_token.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

struct cps {
    utf8proc_int32_t *v;
    size_t n, cap;
};

/* A part of the characters that are their own NFC, are not marks, and are never the
 * second half of a composition. */
static bool is_plain(uint32_t c)
{
    return c < 0x300 || (c >= 0x400 && c <= 0x482) || (c >= 0x2010 && c <= 0x2027) ||
           (c >= 0x3000 && c <= 0x3029) || (c >= 0x3041 && c <= 0x3096) ||
           (c >= 0x30a0 && c <= 0x30ff) || (c >= 0x3400 && c <= 0x9fff) ||
           (c >= 0xac00 && c <= 0xd7a3) || (c >= 0xff00 && c <= 0xffef) ||
           (c >= 0x1f300 && c <= 0x1faff);
}

bool mk_nfc_is_plain(const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        const int len = mk_utf8_len(s + i, n - i);
        if (len <= 0 || !is_plain(mk_utf8_cp(s + i, len))) return false;
        i += (size_t)len;
    }
    return true;
}

static void decompose(struct cps *b, uint32_t cp)
{
    enum { MOST = 32 }; /* a character decomposes into 4 at most */
    if (b->cap - b->n < MOST) {
        b->cap = 2 * b->cap + MOST;
        b->v = mk_realloc(b->v, b->cap * sizeof *b->v);
    }
    int boundary = 0;
    const utf8proc_ssize_t n = utf8proc_decompose_char(
        (utf8proc_int32_t)cp, b->v + b->n, MOST, UTF8PROC_STABLE | UTF8PROC_COMPOSE, &boundary);
    if (n > 0 && n <= MOST)
        b->n += (size_t)n;
    else
        b->v[b->n++] = (utf8proc_int32_t)cp;
}

static unsigned class_of(utf8proc_int32_t cp)
{
    return (unsigned)utf8proc_get_property(cp)->combining_class & 255;
}

/* A stable counting sort by combining class. */
static void sort_marks(utf8proc_int32_t *v, size_t n, utf8proc_int32_t *copy)
{
    size_t first[257] = {0};
    for (size_t i = 0; i < n; i++) first[class_of(v[i]) + 1]++;
    for (unsigned c = 0; c < 256; c++) first[c + 1] += first[c];
    memcpy(copy, v, n * sizeof *v);
    for (size_t i = 0; i < n; i++) v[first[class_of(copy[i])]++] = copy[i];
}

static void order_marks(struct cps *b)
{
    utf8proc_int32_t *copy = NULL;
    for (size_t i = 0; i < b->n;) {
        if (!class_of(b->v[i])) {
            i++;
            continue;
        }
        size_t end = i + 1;
        bool sorted = true;
        for (; end < b->n && class_of(b->v[end]); end++)
            sorted &= class_of(b->v[end - 1]) <= class_of(b->v[end]);
        if (!sorted) {
            if (!copy) copy = mk_calloc(b->n, sizeof *copy);
            sort_marks(b->v + i, end - i, copy);
        }
        i = end;
    }
    free(copy);
}

static void flush(struct mk_str *out, struct cps *b)
{
    if (!b->n) return;
    order_marks(b);
    const utf8proc_ssize_t n =
        utf8proc_normalize_utf32(b->v, (utf8proc_ssize_t)b->n, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    for (utf8proc_ssize_t i = 0; i < n; i++) mk_str_add_cp(out, (uint32_t)b->v[i]);
    b->n = 0;
}

/* What follows a plain character may change it, what precedes it may not: the work is
 * cut in front of each plain character, which waits in b until the next one is seen. */
void mk_nfc(struct mk_str *out, const char *s, size_t n)
{
    struct cps b = {0};
    for (size_t i = 0; i < n;) {
        const int len = mk_utf8_len(s + i, n - i);
        if (len <= 0) break; /* not valid UTF-8: the caller's bug */
        const uint32_t cp = mk_utf8_cp(s + i, len);
        i += (size_t)len;
        const bool plain = is_plain(cp);
        if (plain) flush(out, &b);
        if (plain && i < n && !(s[i] & 0x80))
            mk_str_add_cp(out, cp); /* nothing combines with what an ASCII character follows */
        else
            decompose(&b, cp);
    }
    flush(out, &b);
    free(b.v);
}
