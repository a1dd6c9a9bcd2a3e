#ifndef MK_KERNELS_AVX2_INT_TILE_H
#define MK_KERNELS_AVX2_INT_TILE_H
/* The innermost block of the integer products: some quads of a panel (16 rows, two vectors) times
 * 1..3 columns.  Assembly, because gcc 12 spills such a tile to the stack.
 *
 * 0..5 are the tile's sums in 16 bits, two for each column; 6 and 7 the codes of the rows, 8 those
 * of a column, 9 is scratch.  The sums in 32 bits are operands and take the other six registers. */
#include "kernels/inline.h"

#include <immintrin.h>

enum { MK_TILE = 3 /* columns */, MK_SIGNED = 0 };

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

/* a += f * sums */
#define MK_WIDEN(a, f) \
    "vpmaddwd %[" #f "], %%ymm" #a ", %%ymm9\n\tvpaddd %%ymm9, %[a" #a "], %[a" #a "]\n\t"
#define MK_WIDEN1 MK_WIDEN(0, f0) MK_WIDEN(1, f1)
#define MK_WIDEN2 MK_WIDEN1 MK_WIDEN(2, f0) MK_WIDEN(3, f1)
#define MK_WIDEN3 MK_WIDEN2 MK_WIDEN(4, f0) MK_WIDEN(5, f1)

#define MK_ACC1(a) [a0] "+x"(a[0]), [a1] "+x"(a[1])
#define MK_ACC2(a) MK_ACC1(a), [a2] "+x"(a[2]), [a3] "+x"(a[3])
#define MK_ACC3(a) MK_ACC2(a), [a4] "+x"(a[4]), [a5] "+x"(a[5])

/* One asm statement: a[2c + h] += f[h] * (lines . x[c]) for N columns; h: half of the rows. */
#define MK_TILE_RUN(N, RUN, a, lines, xq, ldx, f)                                               \
    __asm__(RUN(MK_COLS##N) MK_WIDEN##N                                                         \
            : MK_ACC##N(a)                                                                      \
            : [p] "r"(lines), [x] "r"(xq), [ld] "r"(ldx), [f0] "m"((f)[0]), [f1] "m"((f)[1])    \
            : "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", \
              "xmm9")

/* Signed codes, stored with 128 added: their sign moves to the column's, and maddubs takes the
 * magnitude.  0, 1 and 2, 3 are codes and magnitudes, 4 a column's, 5 and 6 scratch. */
#define MK_SIGNED_COL(at, a, b)                                                  \
    "vpbroadcastd " at ", %%ymm4\n\t"                                            \
    "vpsignb %%ymm0, %%ymm4, %%ymm5\n\tvpsignb %%ymm2, %%ymm4, %%ymm6\n\t"       \
    "vpmaddubsw %%ymm5, %%ymm1, %%ymm5\n\tvpmaddubsw %%ymm6, %%ymm3, %%ymm6\n\t" \
    "vpmaddwd %[f0], %%ymm5, %%ymm5\n\tvpmaddwd %[f1], %%ymm6, %%ymm6\n\t"       \
    "vpaddd %%ymm5, %[a" #a "], %[a" #a "]\n\tvpaddd %%ymm6, %[a" #b "], %[a" #b "]\n\t"
#define MK_SIGNED_QUAD(COLS, i)                                                             \
    "vpxor " #i "*64(%[p]), %[top], %%ymm0\n\tvpxor " #i "*64+32(%[p]), %[top], %%ymm2\n\t" \
    "vpabsb %%ymm0, %%ymm1\n\tvpabsb %%ymm2, %%ymm3\n\t" COLS(MK_SIGNED_COL, #i "*4")
#define MK_TILE_SIGNED(N, a, lines, xq, ldx, f)                                               \
    __asm__(MK_SIGNED_QUAD(MK_COLS##N, 0) MK_SIGNED_QUAD(MK_COLS##N, 1)                       \
                MK_SIGNED_QUAD(MK_COLS##N, 2) MK_SIGNED_QUAD(MK_COLS##N, 3)                   \
            : MK_ACC##N(a)                                                                    \
            : [p] "r"(lines), [x] "r"(xq), [ld] "r"(ldx), [f0] "x"((f)[0]), [f1] "x"((f)[1]), \
              [top] "x"(_mm256_set1_epi8(-128))                                               \
            : "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6")
#endif
