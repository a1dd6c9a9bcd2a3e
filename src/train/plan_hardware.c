/* Machines: published figures of accelerators, and a CPU core by what it can issue in a cycle. */
#include "train/plan.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static const struct mk_plan_hardware list[] = {
#define H(NAME, TFLOPS, BANDWIDTH, MEMORY, PRICE, MFU, SOURCE, PRICE_SOURCE, MFU_SOURCE) \
    {.name = NAME,                                                                       \
     .unit = "GPU",                                                                      \
     .flops = TFLOPS * 1e12,                                                             \
     .bandwidth = BANDWIDTH * 1e9,                                                       \
     .memory = MEMORY * 1e9,                                                             \
     .price = PRICE,                                                                     \
     .mfu = MFU,                                                                         \
     .source = SOURCE,                                                                   \
     .price_source = PRICE_SOURCE,                                                       \
     .mfu_source = MFU_SOURCE},
#include "train/plan_hardware.def"
#undef H
};
enum { N_LIST = sizeof list / sizeof *list };

const struct mk_plan_hardware *mk_plan_hardware_at(size_t i)
{
    return i < N_LIST ? &list[i] : NULL;
}

const struct mk_plan_hardware *mk_plan_hardware_find(const char *name)
{
    for (size_t i = 0; i < N_LIST; i++)
        if (!strcasecmp(list[i].name, name)) return &list[i];
    return NULL;
}

/* FLOP in a cycle of one core: 2 for a multiply-add, times lanes, times units.  bf16: the dot
 * product of pairs (VDPBF16PS), 16 lanes of 2. */
static const struct {
    const char *level;
    double per_cycle;
    const char *source;
} levels[] = {
    {"scalar", 8, "assumed: 4 lanes, one multiply and one add a cycle"},
    {"avx2", 32, "assumed: two 8-lane f32 multiply-adds a cycle"},
    {"avx512", 64, "assumed: two 16-lane f32 multiply-adds a cycle"},
    {"avx512bf16", 128, "assumed: two 16-lane dot products of bf16 pairs a cycle"},
    {"neon", 16, "assumed: two 4-lane f32 multiply-adds a cycle"},
    {"dotprod", 16, "assumed: two 4-lane f32 multiply-adds a cycle"},
};

struct mk_plan_hardware mk_plan_cpu_core(const char *level, double ghz)
{
    size_t i = sizeof levels / sizeof *levels - 1;
    while (i && strcmp(levels[i].level, level)) i--;
    struct mk_plan_hardware h = {
        .unit = "core",
        .flops = levels[i].per_cycle * ghz * 1e9,
        .bandwidth = 10e9, /* a server core's usual share of its socket */
        .mfu = 0.25,
        .source = levels[i].source,
        .mfu_source = "assumption; a run prints its own as peak_share",
        .is_cpu = true,
    };
    snprintf(h.name, sizeof h.name, "%.16s at %.3g GHz", level, ghz);
    return h;
}
