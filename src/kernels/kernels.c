#include "kernels/kernels.h"

#include "kernels/isa.h"

#include <string.h>

static const struct {
    const char *name;
    void (*fill)(struct mk_kernels *k);
} levels[MK_N_CPU + 1] = {
#define ISA(ID, name) {#name, mk_kernels_##name},
#include "kernels/isa.def"
#undef ISA
    {NULL, NULL},
};

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The OS must save the wide registers too: a CPU bit alone is not permission. */
static unsigned xcr0(void)
{
    unsigned lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return lo;
}

/* Linux saves tiles, 8 KB a thread, only for a process that has asked. */
static bool may_use_tiles(void)
{
    enum { REQUEST = 0x1023, TILE_DATA = 18 }; /* ARCH_REQ_XCOMP_PERM, XFEATURE_XTILE_DATA */
    return !syscall(SYS_arch_prctl, REQUEST, TILE_DATA);
}

unsigned mk_cpu_detect(void)
{
    unsigned a, b, c, d, cpu = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
    const unsigned need1 = 1u << 12 | 1u << 27 | 1u << 28 | 1u << 29; /* FMA OSXSAVE AVX F16C */
    if ((c & need1) != need1) return 0;
    const unsigned os = xcr0();
    if ((os & 0x06) != 0x06 || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    if (b & 1u << 5) cpu |= MK_CPU(AVX2);
    const unsigned need7b = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; /* F DQ BW VL */
    const unsigned need7c = 1u << 1 | 1u << 11;                        /* VBMI VNNI */
    if (cpu && (os & 0xe6) == 0xe6 && (b & need7b) == need7b && (c & need7c) == need7c) {
        const unsigned need7d = 1u << 22 | 1u << 24; /* AMX-BF16 AMX-TILE */
        const bool has_tiles = (os & 0x60000) == 0x60000 && (d & need7d) == need7d;
        cpu |= MK_CPU(AVX512);
        if (__get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 5)) {
            cpu |= MK_CPU(AVX512BF16);
            if (has_tiles && may_use_tiles()) cpu |= MK_CPU(AMX);
        }
    }
    return cpu;
}
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>

unsigned mk_cpu_detect(void)
{
    return MK_CPU(NEON) | (getauxval(AT_HWCAP) & HWCAP_ASIMDDP ? MK_CPU(DOTPROD) : 0);
}
#else
unsigned mk_cpu_detect(void) { return 0; }
#endif

bool mk_cpu_limit(unsigned *cpu, const char *name)
{
    if (!strcmp(name, "scalar")) {
        *cpu = 0;
        return true;
    }
    for (unsigned i = 0; i < MK_N_CPU; i++)
        if (!strcmp(name, levels[i].name)) {
            *cpu &= (2u << i) - 1;
            return true;
        }
    return false;
}

const char *mk_cpu_name(unsigned cpu)
{
    for (unsigned i = MK_N_CPU; i-- > 0;)
        if (cpu >> i & 1) return levels[i].name;
    return "scalar";
}

void mk_kernels_select(struct mk_kernels *k, unsigned cpu)
{
    mk_kernels_scalar(k);
    for (unsigned i = 0; i < MK_N_CPU; i++)
        if (cpu >> i & 1) levels[i].fill(k);
}
