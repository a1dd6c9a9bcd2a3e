#ifndef MK_KERNELS_LANES_LANES_H
#define MK_KERNELS_LANES_LANES_H
/* The headers of this folder are kernels written once for every instruction set whose
 * vectors hold a few 32-bit lanes.  A file of an instruction set defines LANES, includes
 * one of them, and defines the few functions it declares; the rest is said with GCC's
 * vector operators. */
#include "kernels/inline.h"
#include "kernels/kernels.h"

#include <string.h>

typedef uint32_t vu __attribute__((vector_size(4 * LANES)));
typedef int32_t vi __attribute__((vector_size(4 * LANES)));
typedef uint16_t vh __attribute__((vector_size(4 * LANES)));
typedef float vf __attribute__((vector_size(4 * LANES)));

INLINE vf get_f(const float *from)
{
    vf v;
    memcpy(&v, from, sizeof v);
    return v;
}
INLINE void put_f(float *to, vf v) { memcpy(to, &v, sizeof v); }
#endif
