#ifndef MK_KERNELS_INT_TILE_H
#define MK_KERNELS_INT_TILE_H
/* The innermost block of the products: 4 lines of a panel times 1..12 columns, all
 * accumulators in registers.  Assembly, because gcc 12 spills such a tile to the
 * stack and halves its speed.
 *
 * A column's dword is broadcast by the instruction itself.  The addresses of 12
 * columns need only five registers: x0, x4, x8 are every fourth column, and the
 * columns between are at ld, 2 ld and ld3 = 3 ld bytes. */
#include "int_avx512.h"

#define MK_COL(INS, a, addr) INS " " addr "%{1to16%}, %%zmm31, %[" #a "]\n\t"
#define MK_COLS1(INS, o)     MK_COL(INS, a0, o "(%[x0])")
#define MK_COLS2(INS, o)     MK_COLS1(INS, o) MK_COL(INS, a1, o "(%[x0],%[ld])")
#define MK_COLS4(INS, o) \
    MK_COLS2(INS, o) MK_COL(INS, a2, o "(%[x0],%[ld],2)") MK_COL(INS, a3, o "(%[x0],%[ld3])")
#define MK_COLS8(INS, o)               \
    MK_COLS4(INS, o)                   \
    MK_COL(INS, a4, o "(%[x4])")       \
    MK_COL(INS, a5, o "(%[x4],%[ld])") \
    MK_COL(INS, a6, o "(%[x4],%[ld],2)") MK_COL(INS, a7, o "(%[x4],%[ld3])")
#define MK_COLS12(INS, o)              \
    MK_COLS8(INS, o)                   \
    MK_COL(INS, a8, o "(%[x8])")       \
    MK_COL(INS, a9, o "(%[x8],%[ld])") \
    MK_COL(INS, a10, o "(%[x8],%[ld],2)") MK_COL(INS, a11, o "(%[x8],%[ld3])")

#define MK_LINE(INS, COLS, i) "vmovdqa64 " #i "*64(%[p]), %%zmm31\n\t" COLS(INS, #i "*4")
#define MK_LINES1(INS, COLS)  MK_LINE(INS, COLS, 0)
#define MK_LINES4(INS, COLS) \
    MK_LINE(INS, COLS, 0) MK_LINE(INS, COLS, 1) MK_LINE(INS, COLS, 2) MK_LINE(INS, COLS, 3)

#define MK_ACC1(a) [a0] "+v"(a[0])
#define MK_ACC2(a) MK_ACC1(a), [a1] "+v"(a[1])
#define MK_ACC4(a) MK_ACC2(a), [a2] "+v"(a[2]), [a3] "+v"(a[3])
#define MK_ACC8(a) MK_ACC4(a), [a4] "+v"(a[4]), [a5] "+v"(a[5]), [a6] "+v"(a[6]), [a7] "+v"(a[7])
#define MK_ACC12(a) \
    MK_ACC8(a), [a8] "+v"(a[8]), [a9] "+v"(a[9]), [a10] "+v"(a[10]), [a11] "+v"(a[11])

/* One asm statement: a[c] += lines . x[c] for N columns.  (31 is the line, because
 * gcc counts 30 operands at most.) */
#define MK_TILE(N, LINES, INS, a, lines, x, ldx)                                        \
    __asm__(LINES(INS, MK_COLS##N)                                                      \
            : MK_ACC##N(a)                                                              \
            : [p] "r"(lines), [x0] "r"(x), [x4] "r"((uintptr_t)(x) + 4 * (ldx)),        \
              [x8] "r"((uintptr_t)(x) + 8 * (ldx)), [ld] "r"(ldx), [ld3] "r"(3 * (ldx)) \
            : "memory", "xmm31")

/* The same for a number of columns that is constant after inlining. */
#define MK_TILES(n, LINES, INS, a, lines, x, ldx)      \
    do {                                               \
        switch (n) {                                   \
        case 1:                                        \
            MK_TILE(1, LINES, INS, a, lines, x, ldx);  \
            break;                                     \
        case 2:                                        \
            MK_TILE(2, LINES, INS, a, lines, x, ldx);  \
            break;                                     \
        case 4:                                        \
            MK_TILE(4, LINES, INS, a, lines, x, ldx);  \
            break;                                     \
        case 8:                                        \
            MK_TILE(8, LINES, INS, a, lines, x, ldx);  \
            break;                                     \
        default:                                       \
            MK_TILE(12, LINES, INS, a, lines, x, ldx); \
        }                                              \
    } while (0)

/* The same for two panels, 1..6 columns: a column's dword is broadcast to a register (30) that both
 * lines (31, 29) are multiplied with, because the processor can begin no more loads than products.
 * Accumulators 0..5 are of the first panel, 6..11 of the second. */
#define MK_BOTH(INS, a, b, addr)                                                    \
    "vpbroadcastd " addr ", %%zmm30\n\t" INS " %%zmm30, %%zmm31, %[" #a "]\n\t" INS \
    " %%zmm30, %%zmm29, %[" #b "]\n\t"
#define MK_BOTH1(INS, o) MK_BOTH(INS, a0, a6, o "(%[x0])")
#define MK_BOTH2(INS, o) MK_BOTH1(INS, o) MK_BOTH(INS, a1, a7, o "(%[x0],%[ld])")
#define MK_BOTH4(INS, o)                      \
    MK_BOTH2(INS, o)                          \
    MK_BOTH(INS, a2, a8, o "(%[x0],%[ld],2)") \
    MK_BOTH(INS, a3, a9, o "(%[x0],%[ld3])")
#define MK_BOTH6(INS, o)               \
    MK_BOTH4(INS, o)                   \
    MK_BOTH(INS, a4, a10, o "(%[x4])") \
    MK_BOTH(INS, a5, a11, o "(%[x4],%[ld])")
#define MK_PAIR(INS, COLS, i)                \
    "vmovdqa64 " #i "*64(%[p]), %%zmm31\n\t" \
    "vmovdqa64 %c[gap]+" #i "*64(%[p]), %%zmm29\n\t" COLS(INS, #i "*4")
#define MK_PAIRS4(INS, COLS) \
    MK_PAIR(INS, COLS, 0) MK_PAIR(INS, COLS, 1) MK_PAIR(INS, COLS, 2) MK_PAIR(INS, COLS, 3)
#define MK_TILE2(N, INS, a, lines, x, ldx)                                                      \
    __asm__(MK_PAIRS4(INS, MK_BOTH##N)                                                          \
            : MK_ACC12(a)                                                                       \
            : [p] "r"(lines), [x0] "r"(x), [x4] "r"((uintptr_t)(x) + 4 * (ldx)), [ld] "r"(ldx), \
              [ld3] "r"(3 * (ldx)), [gap] "i"(sizeof(struct mk_panel))                          \
            : "memory", "xmm29", "xmm30", "xmm31")
#define MK_TILES2(n, INS, a, lines, x, ldx)     \
    do {                                        \
        switch (n) {                            \
        case 1:                                 \
            MK_TILE2(1, INS, a, lines, x, ldx); \
            break;                              \
        case 2:                                 \
            MK_TILE2(2, INS, a, lines, x, ldx); \
            break;                              \
        case 4:                                 \
            MK_TILE2(4, INS, a, lines, x, ldx); \
            break;                              \
        default:                                \
            MK_TILE2(6, INS, a, lines, x, ldx); \
        }                                       \
    } while (0)

enum { MK_TILE_COLS = 12 }; /* of one panel; half as many of two */

/* The widest tile for n columns, but none that would leave a narrow one. */
INLINE unsigned mk_tile_width(size_t n)
{
    return n >= 12 && n != 16 && n != 20 ? 12 : n >= 8 ? 8 : n >= 4 ? 4 : n >= 2 ? 2 : 1;
}
INLINE unsigned mk_tile2_width(size_t n)
{
    return n >= 6 && n != 8 ? 6 : n >= 4 ? 4 : n >= 2 ? 2 : 1;
}
#endif
