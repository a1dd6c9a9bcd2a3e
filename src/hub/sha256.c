#include "hub/int_hub.h"

#include <unistd.h>

void mk_sha256_hex(struct sha256_ctx *ctx, char hex[MK_SHA256_CHARS + 1])
{
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_digest(ctx, sizeof digest, digest);
    for (size_t i = 0; i < sizeof digest; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

bool mk_sha256_add_fd(struct sha256_ctx *ctx, int fd, const char *path,
                      const struct mk_hub_options *o, uint64_t *n_bytes, struct mk_err *err)
{
    uint8_t buf[65536];
    uint64_t sum = 0;
    ssize_t n;
    while ((n = read(fd, buf, sizeof buf)) > 0) {
        sha256_update(ctx, (size_t)n, buf);
        sum += (uint64_t)n;
        if (o->is_stopped && o->is_stopped()) return mk_hub_fail_stopped(err);
    }
    if (n < 0) return mk_fail_errno(err, "%s", path);
    *n_bytes = sum;
    return true;
}
