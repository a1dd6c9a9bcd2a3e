#ifndef MK_KERNELS_AVX2_INT_TILE4_H
#define MK_KERNELS_AVX2_INT_TILE4_H
/* The innermost block of the products of codes up to 15, whose sums over 32 values fit in 16 bits:
 * those of a panel (16 rows, two vectors) times 1..3 columns, while the sums of the 32 values
 * before become floats and are added to y.  So instructions of both kinds stand side by side, and
 * the processor finds work for all of its pipes.
 *
 * a are the sums at hand, two for each column, and b those before; 0 and 1 are the codes of the
 * rows, 2 and 3 are scratch. */
#include "kernels/kernels.h"

#include <immintrin.h>

#pragma GCC diagnostic ignored "-Woverlength-strings" /* what ISO C promises is 4095 bytes */

/* For each column OP: its codes at o and its sums; and WITH: its number, scale and sums. */
#define MK_4_COLS1(OP, WITH, o) OP(o "(%[x])", 0, 1) WITH(0, "(%[s])", 0, 1)
#define MK_4_COLS2(OP, WITH, o) \
    MK_4_COLS1(OP, WITH, o) OP(o "(%[x],%[ld])", 2, 3) WITH(1, "(%[s],%[lds],4)", 2, 3)
#define MK_4_COLS3(OP, WITH, o) \
    MK_4_COLS2(OP, WITH, o) OP(o "(%[x],%[ld],2)", 4, 5) WITH(2, "(%[s],%[lds],8)", 4, 5)

#define MK_4_SET(at, a, b)                      \
    "vpbroadcastd " at ", %%ymm2\n\t"           \
    "vpmaddubsw %%ymm2, %%ymm0, %[a" #a "]\n\t" \
    "vpmaddubsw %%ymm2, %%ymm1, %[a" #b "]\n\t"
#define MK_4_ADD(at, a, b)                      \
    "vpbroadcastd " at ", %%ymm2\n\t"           \
    "vpmaddubsw %%ymm2, %%ymm0, %%ymm3\n\t"     \
    "vpmaddubsw %%ymm2, %%ymm1, %%ymm2\n\t"     \
    "vpaddw %%ymm3, %[a" #a "], %[a" #a "]\n\t" \
    "vpaddw %%ymm2, %[a" #b "], %[a" #b "]\n\t"

#define MK_4_NOTHING(c, s, a, b) ""
/* Sums of pairs in 32 bits: of the first vector, and of the second. */
#define MK_4_PAIRS(c, s, a, b)  "vpmaddwd %[one], %[b" #a "], %[b" #a "]\n\t"
#define MK_4_PAIRS2(c, s, a, b) MK_4_PAIRS(c, s, b, a)
#define MK_4_BIAS(c, s, a, b)                       \
    "vpbroadcastd " #c "*%c[ldt](%[t]), %%ymm3\n\t" \
    "vpaddd %%ymm3, %[b" #a "], %[b" #a "]\n\t"     \
    "vpaddd %%ymm3, %[b" #b "], %[b" #b "]\n\t"
#define MK_4_FLOATS(c, s, a, b)  "vcvtdq2ps %[b" #a "], %[b" #a "]\n\t"
#define MK_4_FLOATS2(c, s, a, b) MK_4_FLOATS(c, s, b, a)
/* t = d b */
#define MK_4_MUL(c, s, a, b)  "vmulps (%[d]), %[b" #a "], %[b" #a "]\n\t"
#define MK_4_MUL2(c, s, a, b) "vmulps 32(%[d]), %[b" #b "], %[b" #b "]\n\t"
/* t = fma(m, xs, t) */
#define MK_4_MIN(c, s, a, b)                          \
    "vbroadcastss " #c "*%c[ldt](%[t]), %%ymm3\n\t"   \
    "vfmadd231ps %c[m](%[d]), %%ymm3, %[b" #a "]\n\t" \
    "vfmadd231ps %c[m]+32(%[d]), %%ymm3, %[b" #b "]\n\t"
/* y = fma(s, t, y) */
#define MK_4_PUT(c, s, a, b)                              \
    "vbroadcastss " s ", %%ymm3\n\t"                      \
    "vfmadd213ps " #a "*32(%[y]), %%ymm3, %[b" #a "]\n\t" \
    "vfmadd213ps " #b "*32(%[y]), %%ymm3, %[b" #b "]\n\t" \
    "vmovups %[b" #a "], " #a "*32(%[y])\n\t"             \
    "vmovups %[b" #b "], " #b "*32(%[y])\n\t"

#define MK_4_LINE(COLS, OP, WITH, i)      \
    "vmovdqa " #i "*64(%[p]), %%ymm0\n\t" \
    "vmovdqa " #i "*64+32(%[p]), %%ymm1\n\t" COLS(OP, WITH, #i "*4")
#define MK_4_RUN(COLS, A, B, C, D, E, F, G, H) \
    MK_4_LINE(COLS, MK_4_SET, A, 0)            \
    MK_4_LINE(COLS, MK_4_ADD, B, 1)            \
    MK_4_LINE(COLS, MK_4_ADD, C, 2)            \
    MK_4_LINE(COLS, MK_4_ADD, D, 3)            \
    MK_4_LINE(COLS, MK_4_ADD, E, 4)            \
    MK_4_LINE(COLS, MK_4_ADD, F, 5)            \
    MK_4_LINE(COLS, MK_4_ADD, G, 6)            \
    MK_4_LINE(COLS, MK_4_ADD, H, 7)
#define MK_4_FIRST(COLS)                                                                 \
    MK_4_RUN(COLS, MK_4_NOTHING, MK_4_NOTHING, MK_4_NOTHING, MK_4_NOTHING, MK_4_NOTHING, \
             MK_4_NOTHING, MK_4_NOTHING, MK_4_NOTHING)
#define MK_4_NEXT_MIN(COLS)                                                                 \
    MK_4_RUN(COLS, MK_4_PAIRS, MK_4_PAIRS2, MK_4_FLOATS, MK_4_FLOATS2, MK_4_MUL, MK_4_MUL2, \
             MK_4_MIN, MK_4_PUT)
#define MK_4_NEXT_BIAS(COLS)                                                                \
    MK_4_RUN(COLS, MK_4_PAIRS, MK_4_PAIRS2, MK_4_BIAS, MK_4_FLOATS, MK_4_FLOATS2, MK_4_MUL, \
             MK_4_MUL2, MK_4_PUT)

#define MK_4_OUT1(a)     [a0] "=&x"(a[0]), [a1] "=&x"(a[1])
#define MK_4_OUT2(a)     MK_4_OUT1(a), [a2] "=&x"(a[2]), [a3] "=&x"(a[3])
#define MK_4_OUT3(a)     MK_4_OUT2(a), [a4] "=&x"(a[4]), [a5] "=&x"(a[5])
#define MK_4_BOTH1(a, b) MK_4_OUT1(a), [b0] "+x"(b[0]), [b1] "+x"(b[1])
#define MK_4_BOTH2(a, b) \
    MK_4_OUT2(a), [b0] "+x"(b[0]), [b1] "+x"(b[1]), [b2] "+x"(b[2]), [b3] "+x"(b[3])
#define MK_4_BOTH3(a, b)                                                              \
    MK_4_OUT3(a), [b0] "+x"(b[0]), [b1] "+x"(b[1]), [b2] "+x"(b[2]), [b3] "+x"(b[3]), \
        [b4] "+x"(b[4]), [b5] "+x"(b[5])

/* One asm statement: a = sums of 32 values of N columns. */
#define MK_TILE4_FIRST(N, a, codes, xq, ldx)                      \
    __asm__ volatile(MK_4_FIRST(MK_4_COLS##N)                     \
                     : MK_4_OUT##N(a)                             \
                     : [p] "r"(codes), [x] "r"(xq), [ld] "r"(ldx) \
                     : "memory", "xmm0", "xmm1", "xmm2", "xmm3")
/* The same, and y += what the sums b before make, which are used up.  rows, xs and sums are theirs;
 * ones: 16 ones. */
#define MK_TILE4_NEXT(N, FORM, a, b, out, codes, xq, ldx, rows, xs, ldxs, sums, ones)           \
    __asm__ volatile(                                                                           \
        FORM(MK_4_COLS##N)                                                                      \
        : MK_4_BOTH##N(a, b)                                                                    \
        : [y] "r"(out), [p] "r"(codes), [x] "r"(xq), [ld] "r"(ldx), [d] "r"(rows), [s] "r"(xs), \
          [lds] "r"(ldxs), [t] "r"(sums), [ldt] "i"(sizeof(float[MK_PANEL_K / 16])),            \
          [m] "i"(offsetof(struct mk_panel, m) - offsetof(struct mk_panel, d)), [one] "m"(ones) \
        : "memory", "xmm0", "xmm1", "xmm2", "xmm3")
#endif
