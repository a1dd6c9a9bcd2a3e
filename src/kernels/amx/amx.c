/* AMX with BF16: Sapphire Rapids and Granite Rapids. */
#include "int_amx.h"

#include "base/rng.h"
#include "kernels/isa.h"

/* Four sums from four operands: the block of mul_bf16.c without its loads.  The operands
 * are numbers between 1 and 2 of either sign, as zeros would let the clock run faster than
 * products ever see it. */
uint64_t mk_amx_peak_bf16(size_t n_iter)
{
    struct mk_tile_config c = {.palette = 1};
    uint16_t x[16][32];
    struct mk_rng rng = {.state = 1};
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 32; j++) x[i][j] = 0x3f80 | (mk_rng_u64(&rng) & 0x807f);
    for (int i = 0; i < 8; i++) c.rows[i] = 16, c.row_bytes[i] = 64;
    mk_tile_configure(&c);
    TILE_LOAD(4, x, sizeof x[0]);
    TILE_LOAD(5, x, sizeof x[0]);
    TILE_LOAD(6, x, sizeof x[0]);
    TILE_LOAD(7, x, sizeof x[0]);
    for (size_t i = 0; i < n_iter; i++) {
        TILE_MUL(0, 4, 6);
        TILE_MUL(1, 4, 7);
        TILE_MUL(2, 5, 6);
        TILE_MUL(3, 5, 7);
    }
    mk_tile_release();
    return (uint64_t)n_iter * 4 * 16 * 16 * 32;
}

void mk_kernels_amx(struct mk_kernels *k)
{
    k->mul_bf16 = mk_amx_mul_bf16;
    k->mul_t_bf16 = mk_amx_mul_t_bf16;
    k->peak_bf16 = mk_amx_peak_bf16;
}
