#ifndef MK_KERNELS_KERNELS_H
#define MK_KERNELS_KERNELS_H
/* The inner loops: one struct of function pointers, filled once for the CPU.
 *
 * A matrix product is made of two steps.  `unpack` turns a strip of 16 weight
 * rows, in whatever type they are stored, into a panel: the lanes of a vector are
 * rows, so no product ever needs a sum across lanes.  `mul_*` multiplies a panel
 * with any number of columns.  One column (generation) and five hundred (a prompt)
 * take the same path and give the same bits; only the panel's reuse differs.
 *
 *            16 rows
 *   k 0..3   q q q q | q q q q | ...      one 64-byte line: row r holds the four
 *   k 4..7   q q q q | q q q q | ...      codes k..k+3 in bytes 4r..4r+3
 *
 * Order of arithmetic, the same in every version of mul_*, which is why scalar,
 * AVX2 and AVX-512 agree bit for bit (X are the column's codes, s their scale, xs the sum
 * of codes; d and m as in quant/quant.h, where those of S256 types are products of a float of
 * 11 bits and an integer of at most 8, and so exact):
 *   int    for each 32:   for its one or two sub-blocks j
 *                           t = fma(d[j], (float)(sum q*X - bias*xs), t), the first a product
 *                           if has_min  t = fma(m[j], (float)xs, t)
 *                         y = fma(s, t, y)
 *   f32    for each 128:  t = 0; for k: t = fma(f, x, t);  y = fma(d, t, y)
 *   pairs  for each 128:  t = 0; for k = 0, 2, 4..:  t = fma(w[k+1], x[k+1], t)
 *                                                    t = fma(w[k], x[k], t)
 *                         y = fma(d, t, y)     subnormal operands and results are zeros
 * Everything inside the (float) casts is exact 32-bit integer arithmetic.  `pairs` is what
 * VDPBF16PS does: weights of 8 and 16 bits that bf16 can hold and columns rounded to it. */
#include "quant/quant.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MK_PANEL_ROWS = 16,
    MK_PANEL_K = 1024,     /* most values of a row in an integer panel */
    MK_PANEL_K_F32 = 256,  /* the same for a float panel */
    MK_PANEL_K_PAIRS = 512 /* and for one of pairs */
};

struct mk_panel {
    size_t n_k; /* multiple of the block's length, of 32 for pairs; any number for FLOAT */
    const struct mk_quant *quant;
    union {
        uint8_t q[MK_PANEL_K / 4][MK_PANEL_ROWS][4];
        float f[MK_PANEL_K_F32][MK_PANEL_ROWS];
        uint16_t w[MK_PANEL_K_PAIRS / 2][MK_PANEL_ROWS][2]; /* bf16 */
    } __attribute__((aligned(64)));
    /* Of each `sub` values, 16 or 32 by type: w = d * (q - bias) + m.  FLOAT: of each 128 (d only;
     * unpack writes ones, the owner of a block scale overwrites them).  Rows that do not
     * exist have d = m = 0 and any code. */
    float d[MK_PANEL_K / 16][MK_PANEL_ROWS] __attribute__((aligned(64)));
    float m[MK_PANEL_K / 16][MK_PANEL_ROWS] __attribute__((aligned(64)));
    /* n_next bytes that will be needed next, a hint to those who multiply the panel.  Not written
     * by unpack. */
    const uint8_t *next;
    size_t n_next;
};

/* Columns in 8 bits: value k of column c is s[c*lds + k/32] * q[c*ldq + k]; codes lie in
 * -127..127; sum[c*ldsum + k/16] is the sum of 16 codes.  q is 4-byte aligned, ldq a multiple of 4.
 */
struct mk_x8 {
    const int8_t *q;
    const float *s;
    const int16_t *sum;
    size_t ldq, lds, ldsum;
};

/* mul_bf16, made for training: weights, activations and gradients in bf16, two layouts.
 *   rows    element (r, k) at x[r * ldx + k], k contiguous: the left operand
 *   pairs   element (k, j) at w[(k / 2 * ldw + j) * 2 + k % 2]: the right operand.  A
 *           multiply-add instruction takes two neighbours in k from each 32-bit lane.
 *
 *            j 0   j 1   j 2           ldw >= n_col
 *   k 0, 1   a b | a b | a b | ...     one 64-byte line is 16 columns of two k
 *   k 2, 3   a b | a b | a b | ...
 *
 * Any alignment is right; w on 64 bytes with ldw a multiple of 16 and rows of x on 64
 * bytes are fast, and an ldy that is not a power of two is up to a tenth faster than one.
 * Every result is a sum from zero over all k, in an order that depends on n_k alone, and
 * with is_sum one addition to y: its bits depend neither on where its row and column
 * stand nor on how rows and columns are split into calls, but they do on the level.
 * Subnormal operands and results may count as zeros. */

/* One step, every operation in float and rounded once:
 *   g' = g * scale             m = fma(1 - beta1, g', beta1 * m)
 *   v = fma((1 - beta2) * g', g', beta2 * v)
 *   w = fma(w, 1 - lr * decay, -(lr * (m * c1) / (sqrt(v * c2) + eps)))
 * where c1 = 1 / (1 - beta1^t), c2 = 1 / (1 - beta2^t) at step t = 1, 2, ... */
struct mk_adamw {
    float beta1, beta2, lr, eps, decay, scale, c1, c2;
};

/* Instruction-set levels, lowest first, as bits. */
enum mk_cpu {
#define ISA(ID, name) MK_CPU_BIT_##ID,
#include "kernels/isa.def"
#undef ISA
    MK_N_CPU
};
#define MK_CPU(ID) (1u << MK_CPU_BIT_##ID)

#define K(name, ret, params) typedef ret mk_##name##_fn params;
#define T(name, ret, params) typedef ret mk_##name##_fn params;
#include "kernels/kernels.def"
#undef K
#undef T

struct mk_kernels {
#define K(name, ret, params) mk_##name##_fn *name;
#define T(name, ret, params) mk_##name##_fn *name[MK_N_TYPES];
#include "kernels/kernels.def"
#undef K
#undef T
    /* Of gemv and gemv_pairs: they take a little of each of the 16 rows in turn, and leave it to
     * the processor to see sixteen runs of memory and to read ahead in each.  So rows had better
     * lie far apart, with those that are wanted next behind them. */
    bool reads_in_turn[MK_N_TYPES];
};

/* What this CPU and its operating system allow, as a mask of MK_CPU(...).  Asks Linux for
 * the use of AMX, which then holds for all threads. */
unsigned mk_cpu_detect(void);
/* Limits a mask to the level called name and those below it ("scalar", "avx2", ...);
 * false when there is no such level on this architecture. */
bool mk_cpu_limit(unsigned *cpu, const char *name);
/* The highest level in the mask, "scalar" if none. */
const char *mk_cpu_name(unsigned cpu);
/* Reads one byte of each line of n bytes, in order, so that the processor fetches ahead of loops
 * that take theirs from several rows in turn, which it does not see through.  (Measured on Zen 5:
 * generation 1.4 times as fast.) */
static inline void mk_touch(const uint8_t *p, size_t n)
{
    for (const volatile uint8_t *v = p; n > 0; v += 64, n -= n < 64 ? n : 64) (void)*v;
}
/* Fills *k with the best kernel for each operation that the mask allows. */
void mk_kernels_select(struct mk_kernels *k, unsigned cpu);
#endif
