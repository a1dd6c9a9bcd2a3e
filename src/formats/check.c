/* Checks that every format needs: names, sizes, overlaps.  Counts and sizes from a file
 * are multiplied with overflow checks and believed only when the file is that large. */
#include "base/str.h"
#include "formats/int_formats.h"

#include <stdlib.h>
#include <string.h>

struct mk_shown mk_show(const char *s, size_t n)
{
    static const char hex[] = "0123456789abcdef";
    struct mk_shown out;
    const size_t room = sizeof out.s - sizeof "...";
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)s[i];
        const bool plain = c >= 0x20 && c < 0x7f;
        if (len + (plain ? 1 : 4) > room) {
            memcpy(out.s + len, "...", 3);
            len += 3;
            break;
        }
        if (plain) {
            out.s[len++] = (char)c;
        } else {
            const char escape[4] = {'\\', 'x', hex[c >> 4], hex[c & 15]};
            memcpy(out.s + len, escape, sizeof escape);
            len += sizeof escape;
        }
    }
    out.s[len] = '\0';
    return out;
}

struct mk_shown mk_show_str(const char *s) { return mk_show(s, strlen(s)); }

bool mk_name_check(const char *s, size_t n, const char *what, const char *file, struct mk_err *err)
{
    if (n == 0) return mk_fail(err, MK_EFORMAT, "%s: empty %s", file, what);
    if (n > MK_MAX_NAME)
        return mk_fail(err, MK_EFORMAT, "%s: %s %s has %zu bytes, limit %d", file, what,
                       mk_show(s, n).s, n, MK_MAX_NAME);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
            return mk_fail(err, MK_EFORMAT, "%s: %s %s has a control character", file, what,
                           mk_show(s, n).s);
    if (mk_utf8_valid(s, n) != n)
        return mk_fail(err, MK_EFORMAT, "%s: %s %s is not UTF-8", file, what, mk_show(s, n).s);
    return true;
}

bool mk_tensor_measure(struct mk_tensor *t, struct mk_err *err)
{
    const struct mk_shown name = mk_show_str(t->name);
    size_t n = 1, bytes;
    for (unsigned i = 0; i < t->n_dims; i++) {
        if (t->dims[i] == 0)
            return mk_fail(err, MK_EFORMAT, "%s: tensor %s: dim %u is 0", t->file, name.s, i);
        if (!mk_mul(n, t->dims[i], &n))
            return mk_fail(err, MK_EFORMAT, "%s: tensor %s: product of dims overflows at %zu",
                           t->file, name.s, t->dims[i]);
    }
    const struct mk_quant *q = &mk_quants[t->type];
    const size_t row = t->n_dims ? t->dims[t->n_dims - 1] : 1;
    if (row % q->block_len)
        return mk_fail(err, MK_EFORMAT,
                       "%s: tensor %s: rows of %zu values are not whole %s blocks of %zu", t->file,
                       name.s, row, q->name, q->block_len);
    if (!mk_type_bytes(t->type, n, &bytes))
        return mk_fail(err, MK_EFORMAT, "%s: tensor %s: bytes of %zu %s values overflow", t->file,
                       name.s, n, q->name);
    t->n_values = n;
    t->n_bytes = bytes;
    return true;
}

/* Capacities are powers of two from MIN_CAP, so that full arrays are recognised by
 * their length; what the arena keeps of the old ones is less than the final array. */
void mk_tensor_push(struct mk_arena *arena, struct mk_tensor **list, size_t *n,
                    const struct mk_tensor *t)
{
    enum { MIN_CAP = 64 };
    const bool is_full = *n == 0 || (*n >= MIN_CAP && (*n & (*n - 1)) == 0);
    if (is_full) {
        const size_t cap = *n ? 2 * *n : MIN_CAP;
        struct mk_tensor *grown = mk_arena_take(arena, cap * sizeof *grown);
        if (*n) memcpy(grown, *list, *n * sizeof *grown);
        *list = grown;
    }
    (*list)[(*n)++] = *t;
}

static int by_address(const void *a, const void *b)
{
    const struct mk_tensor *x = *(const struct mk_tensor *const *)a;
    const struct mk_tensor *y = *(const struct mk_tensor *const *)b;
    return x->data < y->data ? -1 : x->data > y->data;
}

bool mk_tensors_apart(const struct mk_tensor *list, size_t first, size_t last, struct mk_err *err)
{
    const size_t n = last - first;
    if (n == 0) return true;
    const struct mk_tensor **sorted = mk_calloc(n, sizeof *sorted);
    for (size_t i = 0; i < n; i++) sorted[i] = &list[first + i];
    qsort(sorted, n, sizeof *sorted, by_address);
    bool ok = true;
    for (size_t i = 1; ok && i < n; i++) {
        const struct mk_tensor *a = sorted[i - 1], *b = sorted[i];
        if ((size_t)(b->data - a->data) < a->n_bytes)
            ok = mk_fail(err, MK_EFORMAT, "%s: tensors %s and %s overlap", a->file,
                         mk_show_str(a->name).s, mk_show_str(b->name).s);
    }
    free(sorted);
    return ok;
}
