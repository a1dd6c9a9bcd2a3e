/* What one core can do at most, in arithmetic and in reading: the bars for --bench. */
#include "kcheck.h"

#include <stdlib.h>
#include <string.h>

static volatile uint64_t sink;

/* 16 streams, as 16 rows of weights are. */
static void read_all(const uint64_t *a, size_t n)
{
    uint64_t s[8] = {0};
    const size_t rows = 16, row = 1024;
    for (size_t strip = 0; strip + rows * row <= n; strip += rows * row)
        for (size_t i = strip; i < strip + row; i += 8)
            for (size_t r = 0; r < rows; r++) {
                const uint64_t *p = a + i + r * row;
                __builtin_prefetch(p + rows * row);
                for (size_t j = 0; j < 8; j++) s[j] ^= p[j];
            }
    for (size_t j = 0; j < 8; j++) sink ^= s[j];
}

struct kc_peak kc_peak(const struct mk_kernels *k)
{
    struct kc_peak p = {0};
    double ns;
    const size_t rounds = 20000;
    KC_TIME(ns, k->peak_i8(rounds));
    p.int8_mac = (double)k->peak_i8(rounds) / ns;
    KC_TIME(ns, k->peak_f32(rounds));
    p.f32_mac = (double)k->peak_f32(rounds) / ns;
    KC_TIME(ns, k->peak_bf16(rounds));
    p.bf16_mac = (double)k->peak_bf16(rounds) / ns;
    const size_t bytes = 256u << 20;
    uint64_t *a = malloc(bytes);
    if (!a) return p;
    memset(a, 1, bytes);
    KC_TIME(ns, read_all(a, bytes / 8));
    p.read_bytes = (double)bytes / ns;
    free(a);
    return p;
}
