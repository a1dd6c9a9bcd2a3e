#include "base/mem.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ALIGN = 64, BLOCK_BYTES = 256 * 1024, HUGE_PAGE = 2 * 1024 * 1024 };

struct mk_arena_block {
    struct mk_arena_block *next;
    size_t size;     /* bytes after the header */
    size_t reserved; /* bytes of address space, header included; 0: from malloc */
    char pad[ALIGN - sizeof(void *) - 2 * sizeof(size_t)];
    char data[];
};

static _Noreturn void out_of_memory(size_t n)
{
    fprintf(stderr, "minke: out of memory (%zu bytes)\n", n);
    exit(mk_code_exit(MK_ENOMEM));
}

void *mk_alloc(size_t n_bytes) { return mk_calloc(1, n_bytes); }

void *mk_calloc(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size ? size : 1);
    if (!p) out_of_memory(n * size);
    return p;
}

void *mk_realloc(void *p, size_t n_bytes)
{
    p = realloc(p, n_bytes ? n_bytes : 1);
    if (!p) out_of_memory(n_bytes);
    return p;
}

char *mk_strdup(const char *s) { return mk_strndup(s, strlen(s)); }

char *mk_strndup(const char *s, size_t n)
{
    char *p = mk_alloc(n + 1);
    memcpy(p, s, n);
    return p;
}

static struct mk_arena_block *new_block(size_t n)
{
    const size_t size = n > BLOCK_BYTES ? n : BLOCK_BYTES;
    const size_t align = size < HUGE_PAGE ? ALIGN : HUGE_PAGE;
    void *p = NULL;
    if (size > SIZE_MAX - HUGE_PAGE ||
        posix_memalign(&p, align, sizeof(struct mk_arena_block) + size))
        out_of_memory(n);
    if (align == HUGE_PAGE) madvise(p, size / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE); /* a hint */
    struct mk_arena_block *b = p;
    *b = (struct mk_arena_block){.size = size};
    return b;
}

bool mk_arena_reserve(struct mk_arena *a, size_t n_bytes, void **base, struct mk_err *err)
{
    void *p = NULL;
    assert(!a->first);
    n_bytes = (n_bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (!mk_reserve_dense(&p, sizeof(struct mk_arena_block) + n_bytes, err)) return false;
    assert(p);
    struct mk_arena_block *b = p;
    *b = (struct mk_arena_block){.size = n_bytes, .reserved = sizeof *b + n_bytes};
    a->first = a->cur = b;
    a->used = 0;
    *base = b->data;
    return true;
}

void *mk_arena_take(struct mk_arena *a, size_t n_bytes)
{
    if (n_bytes > SIZE_MAX - ALIGN) out_of_memory(n_bytes);
    n_bytes = (n_bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    while (!a->cur || a->cur->size - a->used < n_bytes) {
        if (a->cur && a->cur->reserved) out_of_memory(n_bytes);
        struct mk_arena_block **link = a->cur ? &a->cur->next : &a->first;
        /* Nothing behind cur is in use.  What is too small there goes: kept, it would be joined by
         * others whenever the sizes of a step come in another order. */
        for (struct mk_arena_block *b; (b = *link) && b->size < n_bytes;) {
            *link = b->next;
            a->held_bytes -= b->size;
            free(b);
        }
        if (!*link) {
            *link = new_block(n_bytes);
            a->held_bytes += (*link)->size;
            if (a->held_bytes > a->peak_bytes) a->peak_bytes = a->held_bytes;
        }
        a->cur = *link;
        a->used = 0;
    }
    void *p = a->cur->data + a->used;
    a->used += n_bytes;
    return p;
}

void *mk_arena_zero(struct mk_arena *a, size_t n_bytes)
{
    return memset(mk_arena_take(a, n_bytes), 0, n_bytes);
}

char *mk_arena_strdup(struct mk_arena *a, const char *s)
{
    const size_t n = strlen(s) + 1;
    return memcpy(mk_arena_take(a, n), s, n);
}

char *mk_arena_printf(struct mk_arena *a, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    const int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    assert(n >= 0);
    char *s = mk_arena_take(a, (size_t)n + 1);
    vsnprintf(s, (size_t)n + 1, fmt, again);
    va_end(again);
    return s;
}

struct mk_arena_mark mk_arena_mark(const struct mk_arena *a)
{
    return (struct mk_arena_mark){a->cur, a->used};
}

void mk_arena_reset(struct mk_arena *a, struct mk_arena_mark mark)
{
    a->cur = mark.block;
    a->used = mark.used;
}

void mk_arena_release(struct mk_arena *a)
{
    for (struct mk_arena_block *b = a->first, *next; b; b = next) {
        next = b->next;
        if (b->reserved)
            mk_unreserve(b, b->reserved);
        else
            free(b);
    }
    *a = (struct mk_arena){0};
}

bool mk_reserve(void **out, size_t n_bytes, struct mk_err *err)
{
    void *p = mmap(NULL, n_bytes ? n_bytes : 1, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return mk_fail(err, MK_ENOMEM, "no address space for %zu bytes", n_bytes);
    *out = p;
    return true;
}

bool mk_reserve_dense(void **out, size_t n_bytes, struct mk_err *err)
{
    if (!mk_reserve(out, n_bytes, err)) return false;
    madvise(*out, n_bytes, MADV_HUGEPAGE); /* only a hint */
    return true;
}

void mk_unreserve(void *p, size_t n_bytes)
{
    if (p) munmap(p, n_bytes ? n_bytes : 1);
}
