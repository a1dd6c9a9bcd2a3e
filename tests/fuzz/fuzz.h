#ifndef MK_TESTS_FUZZ_H
#define MK_TESTS_FUZZ_H
/* What the targets share.  A target is a libFuzzer entry point; replay.c runs it over
 * files. */
#include "base/file.h"
#include "formats/config.h"
#include "formats/tensors.h"

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads the ends of every tensor: they must lie in the input. */
static inline void fuzz_touch(const struct mk_tensor *list, size_t n)
{
    volatile unsigned sink = 0;
    for (size_t i = 0; i < n; i++) sink += list[i].data[0] + list[i].data[list[i].n_bytes - 1];
    (void)sink;
}

/* Asks for every kind of value under a few keys. */
static inline void fuzz_config(const struct mk_config *c)
{
    static const char *const keys[] = {"a", "b.c", "rope_scaling.type", "rope_theta", ".a"};
    struct mk_err err;
    int64_t i, list[4];
    double f;
    bool b;
    char s[8];
    size_t n;
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
        const char *key = keys[k];
        bool ok = mk_config_int(c, key, key, -5, 1000, 0, &i, &err);
        ok &= mk_config_float(c, key, key, -5, 1000, 0, &f, &err);
        ok &= mk_config_bool(c, key, key, false, &b, &err);
        ok &= mk_config_str(c, key, key, "", s, sizeof s, &err);
        ok &= mk_config_ints(c, key, key, -5, 1000, list, 4, &n, &err);
        if (ok && mk_config_has(c, key, key)) __builtin_trap(); /* one value of five kinds */
    }
}
#endif
