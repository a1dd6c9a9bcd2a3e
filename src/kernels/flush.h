#ifndef MK_KERNELS_FLUSH_H
#define MK_KERNELS_FLUSH_H
/* Private to kernels/: subnormal operands and results are zeros between the two calls, as products
 * of pairs want it.  Assembly, because the compilers know of no order between their intrinsics for
 * this and arithmetic: these keep loads and stores in their places. */
#include "kernels/inline.h"

#include <stdint.h>

#if defined(__x86_64__)
INLINE uint32_t mk_flush_begin(void)
{
    enum { ZEROS = 0x8040 }; /* FTZ, DAZ */
    uint32_t was, is;
    __asm__ volatile("stmxcsr %0" : "=m"(was)::"memory");
    is = was | ZEROS;
    __asm__ volatile("ldmxcsr %0" ::"m"(is) : "memory");
    return was;
}
INLINE void mk_flush_end(uint32_t was) { __asm__ volatile("ldmxcsr %0" ::"m"(was) : "memory"); }
#elif defined(__aarch64__)
INLINE uint32_t mk_flush_begin(void)
{
    enum { FZ = 1 << 24 };
    uint64_t was;
    __asm__ volatile("mrs %0, fpcr" : "=r"(was)::"memory");
    __asm__ volatile("msr fpcr, %0" ::"r"(was | FZ) : "memory");
    return (uint32_t)was;
}
INLINE void mk_flush_end(uint32_t was)
{
    __asm__ volatile("msr fpcr, %0" ::"r"((uint64_t)was) : "memory");
}
#endif
#endif
