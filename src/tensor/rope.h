#ifndef MK_TENSOR_ROPE_H
#define MK_TENSOR_ROPE_H
/* Rotary position embedding (Su et al., 2021): pair i of a vector is turned by the angle
 * pos * freq[i].  Frequencies may be stretched for long contexts. */
#include "tensor/tensor.h"

enum { MK_ROPE_MAX_PAIRS = 256 };

struct mk_rope {
    size_t n_pair;   /* half the rotated dimensions */
    float magnitude; /* multiplies cos and sin; 1 unless set */
    bool is_halves;  /* pairs (i, i + n_pair); else (2i, 2i + 1) */
    float freq[MK_ROPE_MAX_PAIRS];
};
/* freq[i] = base^(-i / n_pair). */
void mk_rope_init(struct mk_rope *r, size_t n_pair, bool is_halves, double base);
/* YaRN (Peng et al., 2023, "NTK by parts"): high frequencies stay, low ones are divided by
 * factor, with a ramp between the pairs that turn beta_fast and beta_slow times over the
 * original context. */
void mk_rope_yarn(struct mk_rope *r, double base, double factor, double n_ctx_orig,
                  double beta_fast, double beta_slow);
/* YaRN's attention temperature: 1 if factor <= 1 else 0.1 * m * ln(factor) + 1. */
double mk_yarn_mscale(double factor, double m);
/* Llama 3's scaling: wavelengths over n_ctx_orig / low are divided by factor, those under
 * n_ctx_orig / high stay, between them a blend. */
void mk_rope_llama3(struct mk_rope *r, double factor, double low, double high, double n_ctx_orig);

/* cos, sin for each position: [n][2 * n_pair], in the step's arena. */
const float *mk_rope_table(struct mk_work *wk, const struct mk_rope *r, const size_t *pos,
                           size_t n);
/* Turns, in each of n rows (ld apart), n_head vectors (d_head apart) in place.  While recording,
 * table must live on until backward. */
void mk_rope_apply(struct mk_work *wk, const struct mk_rope *r, const float *table, float *x,
                   size_t n, size_t ld, size_t n_head, size_t d_head);
#endif
