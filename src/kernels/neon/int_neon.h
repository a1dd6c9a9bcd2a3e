#ifndef MK_KERNELS_NEON_INT_NEON_H
#define MK_KERNELS_NEON_INT_NEON_H
/* Each file of the folder sets its own entries. */
struct mk_kernels;
void mk_neon_unpack(struct mk_kernels *k);
void mk_neon_mul(struct mk_kernels *k);
void mk_neon_mul_float(struct mk_kernels *k);
void mk_neon_pairs(struct mk_kernels *k);
void mk_neon_vec(struct mk_kernels *k);
void mk_neon_train(struct mk_kernels *k);
void mk_neon_peak(struct mk_kernels *k);
void mk_dotprod_gemv(struct mk_kernels *k);
void mk_dotprod_peak(struct mk_kernels *k);
#endif
