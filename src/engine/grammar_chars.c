/* Sets of characters and how they are written, in bytes.
 *
 * A range of code points becomes the UTF-8 sequences whose bytes each run over a range of their
 * own: U+0800..U+0FFF is E0 A0..BF 80..BF.  Ranges are cut where the length changes and where
 * the last bytes would not run over all of 80..BF. */
#include "engine/int_grammar.h"

#include <stdlib.h>
#include <string.h>

enum { LAST = 0x10ffff, FIRST_HALF = 0xd800, LAST_HALF = 0xdfff };

void mk_chars_add(struct mk_chars *c, uint32_t lo, uint32_t hi)
{
    if (lo > hi) return;
    if (c->n == c->cap) {
        c->cap = c->cap ? 2 * c->cap : 16;
        c->v = mk_realloc(c->v, c->cap * sizeof *c->v);
    }
    c->v[c->n++] = (struct mk_char_range){lo, hi};
}

void mk_chars_release(struct mk_chars *c)
{
    free(c->v);
    *c = (struct mk_chars){0};
}

static int compare(const void *x, const void *y)
{
    const struct mk_char_range *a = x, *b = y;
    return a->lo < b->lo ? -1 : a->lo > b->lo;
}

/* In order and disjoint; neighbours are joined. */
static void sort(struct mk_chars *c)
{
    size_t n = 0;
    if (c->n) qsort(c->v, c->n, sizeof *c->v, compare);
    for (size_t i = 0; i < c->n; i++) {
        if (n && c->v[i].lo <= c->v[n - 1].hi + 1) {
            if (c->v[i].hi > c->v[n - 1].hi) c->v[n - 1].hi = c->v[i].hi;
        } else {
            c->v[n++] = c->v[i];
        }
    }
    c->n = n;
}

static void invert(struct mk_chars *c)
{
    struct mk_chars out = {0};
    uint32_t from = 0;
    sort(c);
    for (size_t i = 0; i < c->n; i++) {
        if (c->v[i].lo > from) mk_chars_add(&out, from, c->v[i].lo - 1);
        from = c->v[i].hi + 1;
    }
    mk_chars_add(&out, from, LAST);
    mk_chars_release(c);
    *c = out;
}

void mk_chars_invert(struct mk_chars *c)
{
    mk_chars_add(c, FIRST_HALF, LAST_HALF);
    invert(c);
}

void mk_chars_sort(struct mk_chars *c)
{
    mk_chars_invert(c);
    mk_chars_invert(c);
}

/* ---- spelling ------------------------------------------------------------------------ */

void mk_str_add_spelled(struct mk_str *out, uint32_t cp, enum mk_spelling s)
{
    static const char plain[] = "\"\\\b\f\n\r\t", letter[] = "\"\\bfnrt";
    const char *p = s == MK_SPELL_JSON && cp && cp < 128 ? strchr(plain, (int)cp) : NULL;
    if (p)
        mk_str_addc(out, '\\'), mk_str_addc(out, letter[p - plain]);
    else if (s == MK_SPELL_JSON && cp < 0x20)
        mk_str_addf(out, "\\u%04x", (unsigned)cp);
    else
        mk_str_add_cp(out, cp);
}

static bool needs_escape(uint32_t cp, enum mk_spelling s)
{
    return s == MK_SPELL_JSON && (cp < 0x20 || cp == '"' || cp == '\\');
}

struct ways { /* alternatives being collected */
    struct mk_grammar_builder *b;
    uint32_t *v;
    size_t n, cap;
};
static void add_way(struct ways *w, uint32_t x)
{
    if (w->n == w->cap) {
        w->cap = w->cap ? 2 * w->cap : 16;
        w->v = mk_realloc(w->v, w->cap * sizeof *w->v);
    }
    w->v[w->n++] = x;
}

/* lo and hi have the same length and differ in a way that a sequence of byte ranges can say. */
static void add_sequence(struct ways *w, uint32_t lo, uint32_t hi)
{
    struct mk_str a = {0}, z = {0};
    uint32_t list[4];
    mk_str_add_cp(&a, lo);
    mk_str_add_cp(&z, hi);
    for (size_t i = 0; i < a.len; i++) {
        uint64_t set[4] = {0};
        for (unsigned c = (unsigned char)a.data[i]; c <= (unsigned char)z.data[i]; c++)
            mk_set_add(set, c);
        list[i] = mk_grammar_bytes(w->b, set);
    }
    add_way(w, mk_grammar_seq(w->b, list, a.len));
    mk_str_release(&a);
    mk_str_release(&z);
}

/* Cuts a range above ASCII into sequences, lowest first. */
static void add_range(struct ways *w, uint32_t lo, uint32_t hi)
{
    while (lo <= hi) {
        uint32_t to = lo < 0x800 ? 0x7ff : lo < 0x10000 ? 0xffff : LAST;
        if (to > hi) to = hi;
        /* From the last byte up: where lo is not at a border, go up to the next one; where hi is
         * not, stop at the one before. */
        for (unsigned bits = 6; bits <= 18; bits += 6) {
            const uint32_t low = ((uint32_t)1 << bits) - 1;
            if ((lo | low) == (to | low)) break;
            if (lo & low) {
                to = lo | low;
                break;
            }
            if ((to & low) != low) to = (to & ~low) - 1;
        }
        add_sequence(w, lo, to);
        lo = to + 1;
    }
}

uint32_t mk_grammar_chars(struct mk_grammar_builder *b, struct mk_chars *c, enum mk_spelling s)
{
    struct ways w = {.b = b};
    struct mk_str text = {0};
    uint64_t ascii[4] = {0};
    mk_chars_sort(c);
    for (size_t i = 0; i < c->n; i++) {
        const struct mk_char_range r = c->v[i];
        for (uint32_t cp = r.lo; cp <= r.hi && cp < 128; cp++) {
            if (!needs_escape(cp, s)) {
                mk_set_add(ascii, cp);
                continue;
            }
            if (cp == 0) continue; /* JSON's readers do not take it */
            mk_str_clear(&text);
            mk_str_add_spelled(&text, cp, s);
            add_way(&w, mk_grammar_text(b, text.data, text.len));
        }
        if (r.hi >= 128) add_range(&w, r.lo < 128 ? 128 : r.lo, r.hi);
    }
    if (ascii[0] | ascii[1]) add_way(&w, mk_grammar_bytes(b, ascii));
    const uint32_t x = mk_grammar_choice(b, w.v, w.n);
    mk_str_release(&text);
    free(w.v);
    return x;
}
