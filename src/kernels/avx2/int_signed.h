#ifndef MK_KERNELS_AVX2_INT_SIGNED_H
#define MK_KERNELS_AVX2_INT_SIGNED_H
/* The innermost block of products of signed codes, stored with 128 added: 32 values of half a
 * panel, 8 rows, times 1, 2, 4 or 8 columns.  Their sign moves to the column's, and maddubs takes
 * the magnitude.  Each product is widened at once, so there is room for more columns, and half the
 * rows do: what is made of their codes then serves all.  0 and 1 are codes and magnitudes, 2 and 3
 * of columns, two of them side by side. */
#include <immintrin.h>
#include <stdint.h>

#pragma GCC diagnostic ignored "-Woverlength-strings" /* what ISO C promises is 4095 bytes */

enum { MK_SIGNED_COLS = 8 };

#define MK_SIGNED1(ONE, TWO, o) ONE(o "(%[x])", 0)
#define MK_SIGNED2(ONE, TWO, o) TWO(o "(%[x])", 0, o "(%[x],%[ld])", 1)
#define MK_SIGNED4(ONE, TWO, o) \
    MK_SIGNED2(ONE, TWO, o) TWO(o "(%[x],%[ld],2)", 2, o "(%[x],%[ld3])", 3)
#define MK_SIGNED8(ONE, TWO, o)               \
    MK_SIGNED4(ONE, TWO, o)                   \
    TWO(o "(%[x4])", 4, o "(%[x4],%[ld])", 5) \
    TWO(o "(%[x4],%[ld],2)", 6, o "(%[x4],%[ld3])", 7)
#define MK_PRODUCTS(at)                  \
    "vpbroadcastd " at ", %%ymm2\n\t"    \
    "vpsignb %%ymm0, %%ymm2, %%ymm2\n\t" \
    "vpmaddubsw %%ymm2, %%ymm1, %%ymm2\n\t"
#define MK_PRODUCTS2(at, at2)               \
    "vpbroadcastd " at ", %%ymm2\n\t"       \
    "vpbroadcastd " at2 ", %%ymm3\n\t"      \
    "vpsignb %%ymm0, %%ymm2, %%ymm2\n\t"    \
    "vpsignb %%ymm0, %%ymm3, %%ymm3\n\t"    \
    "vpmaddubsw %%ymm2, %%ymm1, %%ymm2\n\t" \
    "vpmaddubsw %%ymm3, %%ymm1, %%ymm3\n\t"
#define MK_SET_SIGNED(at, a) MK_PRODUCTS(at) "vpmaddwd %[one], %%ymm2, %[a" #a "]\n\t"
#define MK_ADD_SIGNED(at, a)              \
    MK_PRODUCTS(at)                       \
    "vpmaddwd %[one], %%ymm2, %%ymm2\n\t" \
    "vpaddd %%ymm2, %[a" #a "], %[a" #a "]\n\t"
#define MK_SET_SIGNED2(at, a, at2, b)         \
    MK_PRODUCTS2(at, at2)                     \
    "vpmaddwd %[one], %%ymm2, %[a" #a "]\n\t" \
    "vpmaddwd %[one], %%ymm3, %[a" #b "]\n\t"
#define MK_ADD_SIGNED2(at, a, at2, b)           \
    MK_PRODUCTS2(at, at2)                       \
    "vpmaddwd %[one], %%ymm2, %%ymm2\n\t"       \
    "vpmaddwd %[one], %%ymm3, %%ymm3\n\t"       \
    "vpaddd %%ymm2, %[a" #a "], %[a" #a "]\n\t" \
    "vpaddd %%ymm3, %[a" #b "], %[a" #b "]\n\t"
#define MK_SIGNED_QUAD(COLS, ONE, TWO, i)       \
    "vpxor " #i "*64(%[p]), %[top], %%ymm0\n\t" \
    "vpabsb %%ymm0, %%ymm1\n\t" COLS(ONE, TWO, #i "*4")
#define MK_SIGNED_NEXT(COLS, i) MK_SIGNED_QUAD(COLS, MK_ADD_SIGNED, MK_ADD_SIGNED2, i)
#define MK_SIGNED_32(COLS)                                 \
    MK_SIGNED_QUAD(COLS, MK_SET_SIGNED, MK_SET_SIGNED2, 0) \
    MK_SIGNED_NEXT(COLS, 1)                                \
    MK_SIGNED_NEXT(COLS, 2)                                \
    MK_SIGNED_NEXT(COLS, 3)                                \
    MK_SIGNED_NEXT(COLS, 4) MK_SIGNED_NEXT(COLS, 5) MK_SIGNED_NEXT(COLS, 6) MK_SIGNED_NEXT(COLS, 7)

#define MK_SUM1(a) [a0] "=&x"(a[0])
#define MK_SUM2(a) MK_SUM1(a), [a1] "=&x"(a[1])
#define MK_SUM4(a) MK_SUM2(a), [a2] "=&x"(a[2]), [a3] "=&x"(a[3])
#define MK_SUM8(a) \
    MK_SUM4(a), [a4] "=&x"(a[4]), [a5] "=&x"(a[5]), [a6] "=&x"(a[6]), [a7] "=&x"(a[7])

/* a[c] = lines . x[c] for 32 values and N columns. */
#define MK_TILE_SIGNED(N, a, lines, xq, ldx, ones)                                               \
    __asm__(MK_SIGNED_32(MK_SIGNED##N)                                                           \
            : MK_SUM##N(a)                                                                       \
            : [p] "r"(lines), [x] "r"(xq), [x4] "r"((uintptr_t)(xq) + 4 * (ldx)), [ld] "r"(ldx), \
              [ld3] "r"(3 * (ldx)), [one] "x"(ones), [top] "x"(_mm256_set1_epi8(-128))           \
            : "memory", "xmm0", "xmm1", "xmm2", "xmm3")
#endif
