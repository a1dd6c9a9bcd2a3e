#ifndef MK_SERVER_DIGEST_H
#define MK_SERVER_DIGEST_H
#include <stddef.h>
#include <stdint.h>

/* SHA-256 of bytes[0..n): for keys, users and shapes that must not be mistaken for each other. */
void mk_digest(uint8_t out[32], const char *bytes, size_t n);
#endif
