#ifndef MK_TENSOR_TENSOR_H
#define MK_TENSOR_TENSOR_H
/* Operations made of kernels: they split the work over threads and take scratch from
 * the workbench.  Matrices are row-major floats [n_tok][d].  Whatever an operation
 * computes for one row depends on neither the other rows nor the number of threads.
 *
 * A workbench is used by one thread at a time (the engine's). */
#include "base/mem.h"
#include "base/thread.h"
#include "kernels/kernels.h"

struct mk_tape;

enum { MK_STRIPS = 8 }; /* of 16 rows: most that are multiplied together, with many columns */

struct mk_work {
    struct mk_pool *pool;
    struct mk_kernels k;
    unsigned cpu;                         /* mask that k was chosen for */
    struct mk_arena arena;                /* scratch of the current step */
    struct mk_panel (*panels)[MK_STRIPS]; /* for each thread */
    /* Least multiply-adds of a piece of work: small models run on one thread rather than wait
     * for others.  Tests set 1 to split everything. */
    size_t worth_mac;
    /* Weights of BF16 and F8_E4M3 are multiplied with inputs that are rounded to bf16; otherwise,
     * and while training, with floats. */
    bool rounds;
    /* Watches values by name ("hidden", layer), for verification; may be NULL. */
    void (*probe)(void *arg, const char *name, int layer, const float *v, size_t n, size_t d);
    void *probe_arg;
    struct mk_tape *tape; /* records for backward, see tape.h; NULL in inference */
};
void mk_work_init(struct mk_work *wk, unsigned n_threads, unsigned cpu);
void mk_work_release(struct mk_work *wk);
static inline void mk_probe(struct mk_work *wk, const char *name, int layer, const float *v,
                            size_t n, size_t d)
{
    if (wk->probe) wk->probe(wk->probe_arg, name, layer, v, n, d);
}

/* A weight matrix [rows][cols] used where it is mapped; y = W x maps cols to rows.
 * F8 weights may have a float for each 128 x 128 block (DeepSeek's weight_scale_inv):
 * element (i, j) is data(i, j) * scale[(row0 + i) / 128 * ld_scale + j / 128]. */
struct mk_pairs;
struct mk_lora;

struct mk_weight {
    enum mk_type type;
    size_t rows, cols;
    size_t stride; /* bytes from row to row */
    const uint8_t *data;
    const float *scale;
    size_t ld_scale, row0;
    const struct mk_pairs *pairs; /* bf16 forms to multiply with instead, or NULL */
    const struct mk_lora *lora;   /* y += scale B A x, or NULL */
};

/* A matrix in bf16, ready for products with bf16 inputs (kernel mul_bf16).  fwd takes columns
 * to rows (y = W x), back rows to columns (dx = W^T dy).  Empty until mk_params_pack(). */
struct mk_pairs {
    uint16_t *fwd, *back;
    size_t ld_fwd, ld_back;   /* rows and cols padded to 16: width of a line of pairs */
    size_t n_k_fwd, n_k_back; /* cols and rows padded to 32 */
};
/* Low-rank adapter (Hu et al. 2021): a [rank][cols], b [rows][rank]. */
struct mk_lora {
    struct mk_weight a, b;
    float scale;
};
/* A matrix of floats in memory, rows ld values apart. */
struct mk_weight mk_float_rows(const float *v, size_t rows, size_t cols, size_t ld);
/* Rows [first, first + n) of w. */
struct mk_weight mk_weight_rows(const struct mk_weight *w, size_t first, size_t n);
/* n rows as floats [n][cols] into out. */
void mk_weight_decode(const struct mk_kernels *k, const struct mk_weight *w, size_t first, size_t n,
                      float *out);

/* Inputs of matrix products: floats, and forms of fewer bits that are made when the first
 * weight asks for them and shared by the others.  Borrows v. */
struct mk_input {
    const float *v;
    size_t n, d, ld;     /* n rows of d values, ld apart */
    struct mk_x8 x8;     /* q is NULL until made */
    const uint16_t *b16; /* [n][ld16] bf16, ld16 = d padded to 32 with zeros; NULL until made */
    size_t ld16;
    bool is_rounded; /* products with weights of BF16 and F8_E4M3 take b16 */
    /* Set for a single product that is to be as exact as with floats: each row becomes two, the
     * rounded values and what they leave of it, whose products are added. */
    bool is_fine;
    bool is_halves; /* n is of both: the rounded ones, then what they leave */
};
struct mk_input mk_input(const float *v, size_t n, size_t d, size_t ld);

/* y[n][rows] = W x + bias, or y += with is_sum.  Several products that share the input run as
 * one job.  When it is recorded, x must not change before backward. */
struct mk_product {
    const struct mk_weight *w;
    float *y;
    size_t ldy;
    const float *bias; /* [rows] or NULL */
    bool is_sum;
};
void mk_matmul(struct mk_work *wk, struct mk_input *x, const struct mk_product *p,
               size_t n_products);
/* y[n][rows] = silu(gate x) * (up x) (SwiGLU, Shazeer 2020, arXiv:2002.05202) where the two are
 * alike in all but their values.  Cannot be recorded. */
void mk_matmul_gated(struct mk_work *wk, struct mk_input *x, const struct mk_weight *gate,
                     const struct mk_weight *up, float *y);
bool mk_can_gate(const struct mk_work *wk, const struct mk_weight *gate,
                 const struct mk_weight *up);
/* The single-threaded core, for use inside jobs: strips [first, last) of 16 rows each; panels are
 * MK_STRIPS, acc is [MK_STRIPS][n][16] scratch.  x must be prepared for w's type. */
void mk_matmul_strips(const struct mk_kernels *k, struct mk_panel *panels, float *acc,
                      const struct mk_product *p, const struct mk_input *x, size_t first,
                      size_t last);
/* The same of silu(gate x) * p. */
void mk_gated_strips(const struct mk_kernels *k, struct mk_panel *panels, float *acc,
                     const struct mk_weight *gate, const struct mk_product *p,
                     const struct mk_input *x, size_t first, size_t last);
size_t mk_n_strips(const struct mk_weight *w);
/* Which rows strip i is: n of them, 16 but for the last, `by` rows from each to the next. */
struct mk_strip {
    const struct mk_weight *w;
    size_t first, n, by;
};
struct mk_strip mk_strip_at(const struct mk_weight *w, size_t i);
/* Makes the form that a weight of this type needs, if it needs one. */
void mk_input_prepare(struct mk_work *wk, struct mk_input *x, enum mk_type type);
/* Makes the bf16 form, which weights with pairs need too. */
void mk_input_bf16(struct mk_work *wk, struct mk_input *x);
static inline bool mk_has_pairs(const struct mk_weight *w) { return w->pairs && w->pairs->fwd; }
/* Rows first, first + step, ... (n of them) of a prepared input. */
struct mk_input mk_input_slice(const struct mk_input *x, size_t first, size_t step, size_t n);

/* out[n][d_model] = rows tok[i] of the embedding. */
void mk_embed(struct mk_work *wk, float *out, const struct mk_weight *w, const int32_t *tok,
              size_t n);
void mk_rmsnorm(struct mk_work *wk, float *y, size_t ldy, const float *x, size_t ldx, size_t n,
                size_t d, const float *w, float eps);
/* y += scale x, rows of y ldy apart. */
void mk_add_rows(struct mk_work *wk, float *y, size_t ldy, float scale, const float *x, size_t n,
                 size_t d);
/* y[i] = x[row[i]], rows of d values; row NULL: y[i] = x[i]. */
void mk_gather_rows(struct mk_work *wk, float *y, const float *x, const size_t *row, size_t n,
                    size_t d);
/* y[n][down.rows] += down(silu(gate x) * (up x)). */
void mk_feed_forward(struct mk_work *wk, struct mk_input *x, const struct mk_weight *gate,
                     const struct mk_weight *up, const struct mk_weight *down, float *y);
/* y = silu(gate) * up, all [n][d]; y may be gate.  up must not change before backward. */
void mk_swiglu(struct mk_work *wk, float *y, const float *gate, const float *up, size_t n,
               size_t d);

/* How many units of a job make a piece worth handing to another thread, when one takes this
 * many multiply-adds. */
static inline size_t mk_grain(const struct mk_work *wk, size_t n_mac)
{
    return n_mac ? (wk->worth_mac + n_mac - 1) / n_mac : wk->worth_mac;
}

/* Floats in the step's arena. */
float *mk_floats(struct mk_work *wk, size_t n);
#endif
