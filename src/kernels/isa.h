#ifndef MK_KERNELS_ISA_H
#define MK_KERNELS_ISA_H
/* Private to kernels/: each instruction-set folder exports one function, which
 * replaces the entries it is faster at. */
struct mk_kernels;
void mk_kernels_scalar(struct mk_kernels *k);
#define ISA(ID, name) void mk_kernels_##name(struct mk_kernels *k);
#include "kernels/isa.def"
#undef ISA
#endif
