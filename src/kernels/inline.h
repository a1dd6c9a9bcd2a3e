#ifndef MK_KERNELS_INLINE_H
#define MK_KERNELS_INLINE_H
/* Private to kernels/: a kernel for n columns is one function with n as a parameter,
 * inlined where n is a constant and its loops then unrolled, so that arrays of vectors
 * become registers.  INLINE and UNROLL make sure of both. */
#define INLINE static inline __attribute__((always_inline))
#ifdef __clang__
#pragma clang diagnostic ignored "-Wpass-failed" /* sanitizers keep some loops */
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 64")
#endif

/* The kernel NAME of kernels.def for any number of panels, one after the other, made of NAME_panel
 * for one. */
#define MK_EACH_PANEL(name)                                                                     \
    static void name(float *y, const struct mk_panel *p, size_t n_panel, const struct mk_x8 *x, \
                     size_t n_col)                                                              \
    {                                                                                           \
        for (size_t i = 0; i < n_panel; i++)                                                    \
            name##_panel(y + i * n_col * MK_PANEL_ROWS, p + i, x, n_col);                       \
    }
#endif
