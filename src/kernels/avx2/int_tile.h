#ifndef MK_KERNELS_AVX2_INT_TILE_H
#define MK_KERNELS_AVX2_INT_TILE_H
/* The innermost block of the integer products: some quads of a panel (16 rows, two vectors) times
 * 1..3 columns.  Assembly, because gcc 12 spills such a tile to the stack.
 *
 * 0..5 are the tile's sums in 16 bits, two for each column; 6 and 7 the codes of the rows, 8 those
 * of a column, 9 is scratch.  The sums in 32 bits are operands and take the other six registers. */
#include "kernels/inline.h"

#include <immintrin.h>
#include <stdint.h>

#pragma GCC diagnostic ignored "-Woverlength-strings" /* what ISO C promises is 4095 bytes */

enum { MK_TILE = 3 /* columns */, MK_TILE_MAX = 8 /* of signed codes */ };

#define MK_COLS1(OP, o) OP(o "(%[x])", 0, 1)
#define MK_COLS2(OP, o) MK_COLS1(OP, o) OP(o "(%[x],%[ld])", 2, 3)
#define MK_COLS3(OP, o) MK_COLS2(OP, o) OP(o "(%[x],%[ld],2)", 4, 5)

/* The first quad of a run, and the others. */
#define MK_SET(at, a, b)                         \
    "vpbroadcastd " at ", %%ymm8\n\t"            \
    "vpmaddubsw %%ymm8, %%ymm6, %%ymm" #a "\n\t" \
    "vpmaddubsw %%ymm8, %%ymm7, %%ymm" #b "\n\t"
#define MK_ADD(at, a, b)                          \
    "vpbroadcastd " at ", %%ymm8\n\t"             \
    "vpmaddubsw %%ymm8, %%ymm6, %%ymm9\n\t"       \
    "vpaddw %%ymm9, %%ymm" #a ", %%ymm" #a "\n\t" \
    "vpmaddubsw %%ymm8, %%ymm7, %%ymm9\n\t"       \
    "vpaddw %%ymm9, %%ymm" #b ", %%ymm" #b "\n\t"
#define MK_QUAD(COLS, OP, i)              \
    "vmovdqa " #i "*64(%[p]), %%ymm6\n\t" \
    "vmovdqa " #i "*64+32(%[p]), %%ymm7\n\t" COLS(OP, #i "*4")
#define MK_RUN2(COLS) MK_QUAD(COLS, MK_SET, 0) MK_QUAD(COLS, MK_ADD, 1)
#define MK_RUN4(COLS) MK_RUN2(COLS) MK_QUAD(COLS, MK_ADD, 2) MK_QUAD(COLS, MK_ADD, 3)
#define MK_RUN8(COLS)        \
    MK_RUN4(COLS)            \
    MK_QUAD(COLS, MK_ADD, 4) \
    MK_QUAD(COLS, MK_ADD, 5) MK_QUAD(COLS, MK_ADD, 6) MK_QUAD(COLS, MK_ADD, 7)

/* a += the sums of pairs */
#define MK_WIDEN(a) \
    "vpmaddwd %[one], %%ymm" #a ", %%ymm9\n\tvpaddd %%ymm9, %[a" #a "], %[a" #a "]\n\t"
#define MK_WIDEN1 MK_WIDEN(0) MK_WIDEN(1)
#define MK_WIDEN2 MK_WIDEN1 MK_WIDEN(2) MK_WIDEN(3)
#define MK_WIDEN3 MK_WIDEN2 MK_WIDEN(4) MK_WIDEN(5)

#define MK_ACC1(a) [a0] "+x"(a[0]), [a1] "+x"(a[1])
#define MK_ACC2(a) MK_ACC1(a), [a2] "+x"(a[2]), [a3] "+x"(a[3])
#define MK_ACC3(a) MK_ACC2(a), [a4] "+x"(a[4]), [a5] "+x"(a[5])

/* One asm statement: a[2c + h] += lines . x[c] for N columns; h: half of the rows; one: 16 ones. */
#define MK_TILE_RUN(N, RUN, a, lines, xq, ldx, ones)                                            \
    __asm__(RUN(MK_COLS##N) MK_WIDEN##N                                                         \
            : MK_ACC##N(a)                                                                      \
            : [p] "r"(lines), [x] "r"(xq), [ld] "r"(ldx), [one] "m"(ones)                       \
            : "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", \
              "xmm9")

/* Signed codes, stored with 128 added: their sign moves to the column's, and maddubs takes the
 * magnitude.  Each product is widened at once, so there is room for more columns, and half the rows
 * do: what is made of their codes then serves all.  0 and 1 are codes and magnitudes, 2 a column's,
 * 3 scratch. */
#define MK_SIGNED1(OP, o) OP(o "(%[x])", 0)
#define MK_SIGNED2(OP, o) MK_SIGNED1(OP, o) OP(o "(%[x],%[ld])", 1)
#define MK_SIGNED4(OP, o) MK_SIGNED2(OP, o) OP(o "(%[x],%[ld],2)", 2) OP(o "(%[x],%[ld3])", 3)
#define MK_SIGNED8(OP, o)    \
    MK_SIGNED4(OP, o)        \
    OP(o "(%[x4])", 4)       \
    OP(o "(%[x4],%[ld])", 5) \
    OP(o "(%[x4],%[ld],2)", 6) OP(o "(%[x4],%[ld3])", 7)
#define MK_SIGNED_COL(at, a)                \
    "vpbroadcastd " at ", %%ymm2\n\t"       \
    "vpsignb %%ymm0, %%ymm2, %%ymm3\n\t"    \
    "vpmaddubsw %%ymm3, %%ymm1, %%ymm3\n\t" \
    "vpmaddwd %[one], %%ymm3, %%ymm3\n\t"   \
    "vpaddd %%ymm3, %[a" #a "], %[a" #a "]\n\t"
#define MK_SIGNED_QUAD(COLS, i) \
    "vpxor " #i                 \
    "*64(%[p]), %[top], %%ymm0\n\tvpabsb %%ymm0, %%ymm1\n\t" COLS(MK_SIGNED_COL, #i "*4")

#define MK_SUM1(a) [a0] "+x"(a[0])
#define MK_SUM2(a) MK_SUM1(a), [a1] "+x"(a[1])
#define MK_SUM4(a) MK_SUM2(a), [a2] "+x"(a[2]), [a3] "+x"(a[3])
#define MK_SUM8(a) MK_SUM4(a), [a4] "+x"(a[4]), [a5] "+x"(a[5]), [a6] "+x"(a[6]), [a7] "+x"(a[7])

/* a[c] += lines . x[c] for 16 values and N columns. */
#define MK_TILE_SIGNED(N, a, lines, xq, ldx, ones)                                               \
    __asm__(MK_SIGNED_QUAD(MK_SIGNED##N, 0) MK_SIGNED_QUAD(MK_SIGNED##N, 1)                      \
                MK_SIGNED_QUAD(MK_SIGNED##N, 2) MK_SIGNED_QUAD(MK_SIGNED##N, 3)                  \
            : MK_SUM##N(a)                                                                       \
            : [p] "r"(lines), [x] "r"(xq), [x4] "r"((uintptr_t)(xq) + 4 * (ldx)), [ld] "r"(ldx), \
              [ld3] "r"(3 * (ldx)), [one] "x"(ones), [top] "x"(_mm256_set1_epi8(-128))           \
            : "memory", "xmm0", "xmm1", "xmm2", "xmm3")
#endif
