#include "base/str.h"

#include "base/mem.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void grow(struct mk_str *s, size_t extra)
{
    const size_t need = s->len + extra + 1;
    if (need <= s->cap) return;
    s->cap = need < 2 * s->cap ? 2 * s->cap : need < 32 ? 32 : need;
    s->data = mk_realloc(s->data, s->cap);
}

void mk_str_append(struct mk_str *s, const char *bytes, size_t n)
{
    grow(s, n);
    if (n) memcpy(s->data + s->len, bytes, n);
    s->len += n;
    s->data[s->len] = '\0';
}

void mk_str_add(struct mk_str *s, const char *text) { mk_str_append(s, text, strlen(text)); }
void mk_str_addc(struct mk_str *s, char c) { mk_str_append(s, &c, 1); }

void mk_str_addf(struct mk_str *s, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    const int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    assert(n >= 0);
    grow(s, (size_t)n);
    vsnprintf(s->data + s->len, (size_t)n + 1, fmt, again);
    va_end(again);
    s->len += (size_t)n;
}

void mk_str_clear(struct mk_str *s)
{
    s->len = 0;
    if (s->data) s->data[0] = '\0';
}

void mk_str_release(struct mk_str *s)
{
    free(s->data);
    *s = (struct mk_str){0};
}

char *mk_str_take(struct mk_str *s)
{
    char *p = s->data ? s->data : mk_strdup("");
    *s = (struct mk_str){0};
    return p;
}

/* Well-formed sequences (Unicode 15, table 3-7): the second byte's range depends
 * on the first, which rules out overlong forms, surrogates and > U+10FFFF. */
int mk_utf8_len(const char *s, size_t n)
{
    const unsigned char *p = (const unsigned char *)s;
    if (n == 0) return -1;
    const unsigned c = p[0];
    if (c < 0x80) return 1;
    if (c < 0xc2 || c > 0xf4) return 0;
    const int len = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    const unsigned lo = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    const unsigned hi = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    for (int i = 1; i < len; i++) {
        if ((size_t)i >= n) return -1;
        if (p[i] < (i == 1 ? lo : 0x80) || p[i] > (i == 1 ? hi : 0xbf)) return 0;
    }
    return len;
}

size_t mk_utf8_valid(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n) {
        const int len = mk_utf8_len(s + i, n - i);
        if (len <= 0) break;
        i += (size_t)len;
    }
    return i;
}

void mk_str_add_utf8(struct mk_str *out, const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        const size_t ok = mk_utf8_valid(s + i, n - i);
        mk_str_append(out, s + i, ok);
        i += ok;
        if (i < n) mk_str_add(out, "\xef\xbf\xbd"), i++;
    }
}

void mk_str_add_cp(struct mk_str *out, uint32_t cp)
{
    char b[4];
    size_t n = 0;
    if (cp < 0x80) {
        b[n++] = (char)cp;
    } else if (cp < 0x800) {
        b[n++] = (char)(0xc0 | cp >> 6);
        b[n++] = (char)(0x80 | (cp & 63));
    } else if (cp < 0x10000) {
        b[n++] = (char)(0xe0 | cp >> 12);
        b[n++] = (char)(0x80 | (cp >> 6 & 63));
        b[n++] = (char)(0x80 | (cp & 63));
    } else {
        b[n++] = (char)(0xf0 | cp >> 18);
        b[n++] = (char)(0x80 | (cp >> 12 & 63));
        b[n++] = (char)(0x80 | (cp >> 6 & 63));
        b[n++] = (char)(0x80 | (cp & 63));
    }
    mk_str_append(out, b, n);
}

uint32_t mk_utf8_cp(const char *s, int len)
{
    static const unsigned char first_mask[5] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t cp = (unsigned char)s[0] & first_mask[len];
    for (int i = 1; i < len; i++) cp = cp << 6 | ((unsigned char)s[i] & 0x3f);
    return cp;
}
