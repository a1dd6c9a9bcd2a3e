#ifndef MK_KERNELS_LANES_UNPACK_H
#define MK_KERNELS_LANES_UNPACK_H
/* Unpacking.  A lane is a row, and its four bytes are four neighbours of the row, which
 * is just how a panel stores codes.  So codes are cut out with shifts and masks on whole
 * vectors, and a type needs the same lines for 4 lanes as for 8. */
#include "kernels/lanes/lanes.h"

/* 4 bytes of each row, and 16 bytes of each row: o[i] holds bytes 4i..4i+3 of all. */
static vu load1(const uint8_t *const row[LANES], size_t at);
static void load4(vu o[4], const uint8_t *const row[LANES], size_t at);
/* The half in the low 16 bits. */
static vf half_lo(vu v);
/* Each byte b becomes table[b & 15], or 0 if its top bit is set. */
static vu look_up(const uint8_t table[16], vu b);

#define NIBBLES 0x0f0f0f0fu

INLINE void put_q(struct mk_panel *p, size_t quad, unsigned r, vu v)
{
    memcpy(p->q[quad][r], &v, sizeof v);
}
INLINE vu byte_of(vu v, unsigned i) { return v >> 8 * i & 0xffu; }

/* Group g of LANES rows from r on; the block starts at byte `at` of each row. */
typedef void block_fn(struct mk_panel *p, const uint8_t *const row[LANES], size_t at, size_t g,
                      unsigned r);

/* Rows that do not exist are read as the last one that does, so that no load needs a
 * condition; then they are told apart by zeros. */
INLINE void row_pointers(const uint8_t *row[MK_PANEL_ROWS], const uint8_t *rows, size_t stride,
                         unsigned n_rows)
{
    for (unsigned r = 0; r < MK_PANEL_ROWS; r++) {
        row[r] = rows;
        if (r + 1 < n_rows) rows += stride;
    }
}

INLINE void unpack_blocks(enum mk_type type, block_fn *block, struct mk_panel *p,
                          const uint8_t *rows, size_t stride, unsigned n_rows, size_t n_k)
{
    const struct mk_quant *t = &mk_quants[type];
    const uint8_t *row[MK_PANEL_ROWS];
    const size_t n = n_k / t->block_len, sub = (size_t)t->sub;
    p->n_k = n_k;
    p->quant = t;
    row_pointers(row, rows, stride, n_rows);
    for (unsigned r = 0; r < MK_PANEL_ROWS; r += LANES)
        for (size_t g = 0; g < n; g++) block(p, row + r, g * t->block_bytes, g, r);
    for (unsigned r = n_rows; r < MK_PANEL_ROWS; r++)
        for (size_t j = 0; j * sub < n_k; j++) p->d[j][r] = p->m[j][r] = 0.0f;
}

/* UNPACK(ID, name): unpack_name, which takes blocks apart with block_name. */
#define UNPACK(ID, name)                                                              \
    static void unpack_##name(struct mk_panel *p, const uint8_t *rows, size_t stride, \
                              unsigned n_rows, size_t n_k)                            \
    {                                                                                 \
        unpack_blocks(MK_##ID, block_##name, p, rows, stride, n_rows, n_k);           \
    }
#endif
