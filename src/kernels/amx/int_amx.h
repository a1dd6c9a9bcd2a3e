#ifndef MK_KERNELS_AMX_INT_AMX_H
#define MK_KERNELS_AMX_INT_AMX_H
/* Private to amx/: the tile registers, by number.  A tile has up to 16 rows of up to 64
 * bytes; how many is set for all eight by a configuration.  Assembly, because gcc 12's
 * intrinsics do not say that a tile load reads memory. */
#include "kernels/inline.h"
#include "kernels/kernels.h"

struct mk_tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} __attribute__((aligned(64)));

/* Row i of the tile is at base + i * stride bytes. */
#define TILE_LOAD(tile, base, stride) \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #tile ::"r"(base), "r"(stride) : "memory")
#define TILE_STORE(tile, base, stride) \
    __asm__ volatile("tilestored %%tmm" #tile ", (%0,%1,1)" ::"r"(base), "r"(stride) : "memory")
#define TILE_ZERO(tile) __asm__ volatile("tilezero %%tmm" #tile ::)
/* c[i][j] += sum over k of a[i][2k] * b[k][2j] + a[i][2k+1] * b[k][2j+1] */
#define TILE_MUL(c, a, b) __asm__ volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #c ::)

/* Setting a configuration zeroes the tiles; a release makes switching threads cheap again. */
INLINE void mk_tile_configure(const struct mk_tile_config *c)
{
    __asm__ volatile("ldtilecfg %0" ::"m"(*c));
}
INLINE void mk_tile_release(void) { __asm__ volatile("tilerelease" ::); }

mk_mul_bf16_fn mk_amx_mul_bf16;
mk_mul_t_bf16_fn mk_amx_mul_t_bf16;
mk_peak_bf16_fn mk_amx_peak_bf16;
#endif
