#ifndef MK_KERNELS_AVX2_INT_TILE_H
#define MK_KERNELS_AVX2_INT_TILE_H
/* The innermost block of the products of codes above 15 or with sub-blocks of 16 values: 32 values
 * of a panel (16 rows, two vectors) times 1..3 columns, from codes to y.  Assembly, because gcc 12
 * spills such a tile to the stack.
 *
 * 0..5 are sums, two for each column, and what becomes of them: in 16 bits, in 32 bits, floats.
 * 6 and 7 are the codes of the rows, then their scales; 8 and 9 are of a column.  10..15 are second
 * sums, or the floats of the first of two sub-blocks. */
#include "kernels/inline.h"
#include "kernels/kernels.h"

#include <immintrin.h>

#pragma GCC diagnostic ignored "-Woverlength-strings" /* what ISO C promises is 4095 bytes */

enum { MK_TILE = 3 /* columns */ };

/* What a tile needs of the sums of its columns' codes, for each sub-block. */
struct mk_sums {
    union {
        int32_t bias[MK_TILE][MK_PANEL_K / 16]; /* -bias * xs */
        float xs[MK_TILE][MK_PANEL_K / 16];
    };
};

/* OP for each column: an offset o; the column's number, its codes at o, its scale; its registers.
 */
#define MK_COLS1(OP, o) OP(o, 0, o "(%[x])", "(%[s])", 0, 1, 10, 11)
#define MK_COLS2(OP, o) MK_COLS1(OP, o) OP(o, 1, o "(%[x],%[ld])", "(%[s],%[lds],4)", 2, 3, 12, 13)
#define MK_COLS3(OP, o) \
    MK_COLS2(OP, o) OP(o, 2, o "(%[x],%[ld],2)", "(%[s],%[lds],8)", 4, 5, 14, 15)

/* A column's codes times those of the rows are sums, or are added to them.  (Products side by side
 * and then their additions are a tenth faster than one after the other.) */
#define MK_FIRST(at, a, b)                       \
    "vpbroadcastd " at ", %%ymm8\n\t"            \
    "vpmaddubsw %%ymm8, %%ymm6, %%ymm" #a "\n\t" \
    "vpmaddubsw %%ymm8, %%ymm7, %%ymm" #b "\n\t"
#define MK_NEXT(at, a, b)                         \
    "vpbroadcastd " at ", %%ymm8\n\t"             \
    "vpmaddubsw %%ymm8, %%ymm6, %%ymm9\n\t"       \
    "vpmaddubsw %%ymm8, %%ymm7, %%ymm8\n\t"       \
    "vpaddw %%ymm9, %%ymm" #a ", %%ymm" #a "\n\t" \
    "vpaddw %%ymm8, %%ymm" #b ", %%ymm" #b "\n\t"
#define MK_SET(o, c, x, s, a, b, a2, b2)  MK_FIRST(x, a, b)
#define MK_SET2(o, c, x, s, a, b, a2, b2) MK_FIRST(x, a2, b2)
#define MK_ADD(o, c, x, s, a, b, a2, b2)  MK_NEXT(x, a, b)
#define MK_ADD2(o, c, x, s, a, b, a2, b2) MK_NEXT(x, a2, b2)

/* Lines of codes. */
#define MK_LINE(COLS, OP, i)              \
    "vmovdqa " #i "*64(%[p]), %%ymm6\n\t" \
    "vmovdqa " #i "*64+32(%[p]), %%ymm7\n\t" COLS(OP, #i "*4")
#define MK_RUN2(COLS, SET, ADD, i, j) MK_LINE(COLS, SET, i) MK_LINE(COLS, ADD, j)
#define MK_RUN4(COLS, SET, ADD, i, j, k, l) \
    MK_RUN2(COLS, SET, ADD, i, j) MK_LINE(COLS, ADD, k) MK_LINE(COLS, ADD, l)
/* 16 bits to 32: sums of pairs. */
#define MK_WIDEN(COLS)      "vmovdqa %[one], %%ymm9\n\t" COLS(MK_PAIRS, "")
#define MK_WIDEN_BOTH(COLS) MK_WIDEN(COLS) COLS(MK_PAIRS2, "") COLS(MK_JOIN, "")
#define MK_PAIRS_OF(a, b)                           \
    "vpmaddwd %%ymm9, %%ymm" #a ", %%ymm" #a "\n\t" \
    "vpmaddwd %%ymm9, %%ymm" #b ", %%ymm" #b "\n\t"
#define MK_PAIRS(o, c, x, s, a, b, a2, b2)  MK_PAIRS_OF(a, b)
#define MK_PAIRS2(o, c, x, s, a, b, a2, b2) MK_PAIRS_OF(a2, b2)
#define MK_JOIN(o, c, x, s, a, b, a2, b2)               \
    "vpaddd %%ymm" #a2 ", %%ymm" #a ", %%ymm" #a "\n\t" \
    "vpaddd %%ymm" #b2 ", %%ymm" #b ", %%ymm" #b "\n\t"

/* From here on o is where the scales and sums of a sub-block are: at o * 16 and o. */
#define MK_SUM(o, c) o "+" #c "*%c[ldt](%[t])"
#define MK_BIAS(o, c, x, s, a, b, a2, b2)                                      \
    "vpbroadcastd " MK_SUM(o, c) ", %%ymm8\n\t"                                \
                                 "vpaddd %%ymm8, %%ymm" #a ", %%ymm" #a "\n\t" \
                                 "vpaddd %%ymm8, %%ymm" #b ", %%ymm" #b "\n\t"
#define MK_ROWS(from)                    \
    "vmovaps " from "(%[d]), %%ymm6\n\t" \
    "vmovaps " from "+32(%[d]), %%ymm7\n\t"
#define MK_FLOATS(a, b)                      \
    "vcvtdq2ps %%ymm" #a ", %%ymm" #a "\n\t" \
    "vcvtdq2ps %%ymm" #b ", %%ymm" #b "\n\t"

/* t = d a, where a was; in second registers; in memory.  t = fma(d, a, t). */
#define MK_MUL_TO(a, b, to, to2)                   \
    MK_FLOATS(a, b)                                \
    "vmulps %%ymm6, %%ymm" #a ", %%ymm" #to "\n\t" \
    "vmulps %%ymm7, %%ymm" #b ", %%ymm" #to2 "\n\t"
#define MK_MUL(o, c, x, s, a, b, a2, b2)  MK_MUL_TO(a, b, a, b)
#define MK_MUL2(o, c, x, s, a, b, a2, b2) MK_MUL_TO(a, b, a2, b2)
#define MK_MUL_MEM(o, c, x, s, a, b, a2, b2)   \
    MK_MUL_TO(a, b, a, b)                      \
    "vmovaps %%ymm" #a ", " #a "*32(%[f])\n\t" \
    "vmovaps %%ymm" #b ", " #b "*32(%[f])\n\t"
#define MK_FMA_OF(a, b, t, t2)                   \
    MK_FLOATS(a, b)                              \
    "vfmadd213ps " t ", %%ymm6, %%ymm" #a "\n\t" \
    "vfmadd213ps " t2 ", %%ymm7, %%ymm" #b "\n\t"
#define MK_FMA2(o, c, x, s, a, b, a2, b2)    MK_FMA_OF(a, b, "%%ymm" #a2, "%%ymm" #b2)
#define MK_FMA_MEM(o, c, x, s, a, b, a2, b2) MK_FMA_OF(a, b, #a "*32(%[f])", #b "*32(%[f])")
/* t = fma(m, xs, t) */
#define MK_MIN_OF(o, c, a, b)                                                  \
    "vbroadcastss " MK_SUM(o, c) ", %%ymm8\n\t"                                \
                                 "vfmadd231ps %%ymm8, %%ymm6, %%ymm" #a "\n\t" \
                                 "vfmadd231ps %%ymm8, %%ymm7, %%ymm" #b "\n\t"
#define MK_MIN(o, c, x, s, a, b, a2, b2)  MK_MIN_OF(o, c, a, b)
#define MK_MIN2(o, c, x, s, a, b, a2, b2) MK_MIN_OF(o, c, a2, b2)
/* y = fma(s, t, y) */
#define MK_PUT(o, c, x, s, a, b, a2, b2)                   \
    "vbroadcastss " s ", %%ymm8\n\t"                       \
    "vfmadd213ps " #a "*32(%[y]), %%ymm8, %%ymm" #a "\n\t" \
    "vfmadd213ps " #b "*32(%[y]), %%ymm8, %%ymm" #b "\n\t" \
    "vmovups %%ymm" #a ", " #a "*32(%[y])\n\t"             \
    "vmovups %%ymm" #b ", " #b "*32(%[y])\n\t"

#define MK_ONE_MIN(COLS) \
    MK_ROWS("0") COLS(MK_MUL, "") MK_ROWS("%c[m]") COLS(MK_MIN, "0") COLS(MK_PUT, "")
#define MK_ONE_BIAS(COLS) COLS(MK_BIAS, "0") MK_ROWS("0") COLS(MK_MUL, "") COLS(MK_PUT, "")

/* Codes up to 31: two runs for 32 values. */
#define MK_4_AND_4(COLS)                        \
    MK_RUN4(COLS, MK_SET, MK_ADD, 0, 1, 2, 3)   \
    MK_RUN4(COLS, MK_SET2, MK_ADD2, 4, 5, 6, 7) \
    MK_WIDEN_BOTH(COLS)
#define MK_5_BITS_MIN(COLS)  MK_4_AND_4(COLS) MK_ONE_MIN(COLS)
#define MK_5_BITS_BIAS(COLS) MK_4_AND_4(COLS) MK_ONE_BIAS(COLS)
/* The same, but each is a sub-block. */
#define MK_2_BITS_MIN(COLS)                   \
    MK_RUN4(COLS, MK_SET, MK_ADD, 0, 1, 2, 3) \
    MK_WIDEN(COLS)                            \
    MK_ROWS("0")                              \
    COLS(MK_MUL2, "")                         \
    MK_ROWS("%c[m]")                          \
    COLS(MK_MIN2, "0")                        \
    MK_RUN4(COLS, MK_SET, MK_ADD, 4, 5, 6, 7) \
    MK_WIDEN(COLS)                            \
    MK_ROWS("64") COLS(MK_FMA2, "") MK_ROWS("%c[m]+64") COLS(MK_MIN, "4") COLS(MK_PUT, "")
#define MK_3_BITS_BIAS(COLS)                  \
    MK_RUN4(COLS, MK_SET, MK_ADD, 0, 1, 2, 3) \
    MK_WIDEN(COLS)                            \
    COLS(MK_BIAS, "0")                        \
    MK_ROWS("0")                              \
    COLS(MK_MUL2, "")                         \
    MK_RUN4(COLS, MK_SET, MK_ADD, 4, 5, 6, 7) \
    MK_WIDEN(COLS) COLS(MK_BIAS, "4") MK_ROWS("64") COLS(MK_FMA2, "") COLS(MK_PUT, "")
/* Up to 63: two runs for each sub-block. */
#define MK_2_AND_2(COLS, i, j, k, l)      \
    MK_RUN2(COLS, MK_SET, MK_ADD, i, j)   \
    MK_RUN2(COLS, MK_SET2, MK_ADD2, k, l) \
    MK_WIDEN_BOTH(COLS)
#define MK_6_BITS_BIAS(COLS)     \
    MK_2_AND_2(COLS, 0, 1, 2, 3) \
    COLS(MK_BIAS, "0")           \
    MK_ROWS("0")                 \
    COLS(MK_MUL_MEM, "")         \
    MK_2_AND_2(COLS, 4, 5, 6, 7) \
    COLS(MK_BIAS, "4") MK_ROWS("64") COLS(MK_FMA_MEM, "") COLS(MK_PUT, "")

/* What all take.  ones: 16 ones. */
#define MK_TILE_IN(codes, rows, xq, ldx, xs, ldxs, sums, ones)                               \
    [p] "r"(codes), [d] "r"(rows), [x] "r"(xq), [ld] "r"(ldx), [s] "r"(xs), [lds] "r"(ldxs), \
        [t] "r"(sums), [ldt] "i"(sizeof(float[MK_PANEL_K / 16])),                            \
        [m] "i"(offsetof(struct mk_panel, m) - offsetof(struct mk_panel, d)), [one] "m"(ones)
#define MK_TILE_USES \
    "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9"

/* One asm statement: out += 32 values of N columns; scratch: as many floats. */
#define MK_TILE_32(N, FORM, out, scratch, ...)                                 \
    __asm__ volatile(FORM(MK_COLS##N)                                          \
                     :                                                         \
                     : [y] "r"(out), [f] "r"(scratch), MK_TILE_IN(__VA_ARGS__) \
                     : MK_TILE_USES, "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15")
#endif
