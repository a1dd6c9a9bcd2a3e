/* The feed-forward part of a block. */
#include "tensor/tensor.h"

void mk_feed_forward(struct mk_work *wk, struct mk_input *x, const struct mk_weight *gate,
                     const struct mk_weight *up, const struct mk_weight *down, float *y)
{
    const size_t d = gate->rows;
    float *mid = mk_floats(wk, x->n * d);
    if (mk_can_gate(wk, gate, up)) {
        mk_matmul_gated(wk, x, gate, up, mid);
    } else {
        float *v = mk_floats(wk, x->n * d);
        mk_matmul(wk, x,
                  (const struct mk_product[]){{gate, mid, d, NULL, false}, {up, v, d, NULL, false}},
                  2);
        mk_swiglu(wk, mid, mid, v, x->n, d);
    }
    struct mk_input in = mk_input(mid, x->n, d, d);
    mk_matmul(wk, &in, &(struct mk_product){down, y, down->rows, NULL, true}, 1);
}
