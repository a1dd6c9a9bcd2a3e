#ifndef MK_BASE_STR_H
#define MK_BASE_STR_H
/* A growing byte string.  Zeroed means valid and empty; data is always followed
 * by a NUL once anything was appended.  Also UTF-8 checks. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mk_str {
    char *data; /* NULL while empty: use mk_str_c() to print */
    size_t len, cap;
};
void mk_str_append(struct mk_str *s, const char *bytes, size_t n);
void mk_str_add(struct mk_str *s, const char *text); /* NUL-terminated */
void mk_str_addc(struct mk_str *s, char c);
void mk_str_addf(struct mk_str *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void mk_str_clear(struct mk_str *s); /* keeps the memory */
void mk_str_release(struct mk_str *s);
char *mk_str_take(
    struct mk_str *s); /* transfers out a NUL-terminated string to free(); s is empty */
static inline const char *mk_str_c(const struct mk_str *s) { return s->data ? s->data : ""; }

/* The number of bytes of the longest prefix that is whole, valid UTF-8. */
size_t mk_utf8_valid(const char *s, size_t n);
/* The length of the character that starts at s (1-4), 0 if it is malformed, and
 * -1 if s[0..n) is the beginning of a character whose rest is missing. */
int mk_utf8_len(const char *s, size_t n);
/* Appends s[0..n) with every malformed byte replaced by U+FFFD. */
void mk_str_add_utf8(struct mk_str *out, const char *s, size_t n);
/* Appends the code point (0..0x10ffff) as UTF-8. */
void mk_str_add_cp(struct mk_str *out, uint32_t cp);
/* Decodes one well-formed character of len bytes. */
uint32_t mk_utf8_cp(const char *s, int len);
#endif
