#ifndef MK_KERNELS_INLINE_H
#define MK_KERNELS_INLINE_H
/* Private to kernels/: a kernel for n columns is one function with n as a parameter,
 * inlined where n is a constant and its loops then unrolled, so that arrays of vectors
 * become registers.  INLINE and UNROLL make sure of both. */
#define INLINE static inline __attribute__((always_inline))
#ifdef __clang__
#pragma clang diagnostic ignored "-Wpass-failed" /* sanitizers keep some loops */
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 64")
#endif
#endif
