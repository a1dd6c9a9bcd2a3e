/* Stands in for the instruction-set folders, which know real floats only. */
#include "kernels/isa.h"

#define ISA(ID, name) \
    void mk_kernels_##name(struct mk_kernels *k) { (void)k; }
#include "kernels/isa.def"
