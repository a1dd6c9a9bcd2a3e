#ifndef MK_TRAIN_INT_OPTIM_H
#define MK_TRAIN_INT_OPTIM_H
/* Private to the optimizers. */
#include "train/optim.h"

/* At most MK_PIECE values of one parameter: what a thread takes at a time. */
enum { MK_PIECE = 1 << 16 };
struct mk_piece {
    size_t param, at, n;
    double sum; /* of the squares of its gradients */
};
struct mk_optim_plan {
    struct mk_piece *pieces; /* of all parameters but MK_PARAM_STATE, in their order */
    size_t n_pieces;
    size_t *muon; /* parameters that Muon moves, the most work first */
    size_t n_muon;
    size_t n_scratch; /* floats that the largest of them needs */
};

/* Fills plan->muon. */
void mk_muon_plan(struct mk_optim_plan *plan, const struct mk_params *p);
/* Moves the matrices; scale is what gradients are multiplied with, clipping included. */
void mk_muon_step(struct mk_optim *opt, struct mk_work *wk, struct mk_params *p, double lr,
                  double scale);
/* out [n][m] = the nearest matrix with orthogonal rows to x, n <= m, about: singular values
 * that were not tiny beside the largest end within [0.68, 1.21].  scratch:
 * mk_newton_schulz_floats(n, m) values on 64 bytes.  x is overwritten.  is_bf16: products in
 * bf16, where the sizes are multiples of 32. */
void mk_newton_schulz(const struct mk_kernels *k, bool is_bf16, float *out, float *x, size_t n,
                      size_t m, float *scratch);
size_t mk_newton_schulz_floats(size_t n, size_t m);
#endif
