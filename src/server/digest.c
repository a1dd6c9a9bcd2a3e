#include "server/digest.h"

#include <nettle/sha2.h>

void mk_digest(uint8_t out[32], const char *bytes, size_t n)
{
    struct sha256_ctx c;
    sha256_init(&c);
    sha256_update(&c, n, (const uint8_t *)bytes);
    sha256_digest(&c, SHA256_DIGEST_SIZE, out);
}
