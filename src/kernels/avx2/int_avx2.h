#ifndef MK_KERNELS_AVX2_INT_AVX2_H
#define MK_KERNELS_AVX2_INT_AVX2_H
/* Each file of the folder sets its own entries. */
struct mk_kernels;
void mk_avx2_gemv_s32(struct mk_kernels *k);
void mk_avx2_gemv_s256(struct mk_kernels *k);
void mk_avx2_unpack(struct mk_kernels *k);
void mk_avx2_mul(struct mk_kernels *k);
void mk_avx2_mul_float(struct mk_kernels *k);
void mk_avx2_pairs(struct mk_kernels *k);
void mk_avx2_vec(struct mk_kernels *k);
void mk_avx2_train(struct mk_kernels *k);
void mk_avx2_peak(struct mk_kernels *k);
#endif
