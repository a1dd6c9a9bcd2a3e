#ifndef TESTS_TENSOR_HELPERS_H
#define TESTS_TENSOR_HELPERS_H
/* Random weights and inputs for the tests of tensor/. */
#include "base/rng.h"
#include "tensor/tensor.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct mk_rng test_rng = {0x6d696e6b65};

static inline float *random_floats(size_t n)
{
    float *v = mk_calloc(n, sizeof *v);
    for (size_t i = 0; i < n; i++) v[i] = (float)mk_rng_normal(&test_rng);
    return v;
}

/* A weight of random values in a type; *plain gets what it decodes to. */
static inline struct mk_weight random_weight(enum mk_type type, size_t rows, size_t cols,
                                             float **plain)
{
    struct mk_weight w = {.type = type, .rows = rows, .cols = cols};
    if (!mk_type_bytes(type, cols, &w.stride)) abort();
    float *v = random_floats(rows * cols);
    uint8_t *data = mk_calloc(rows, w.stride);
    for (size_t i = 0; i < rows; i++) {
        mk_quants[type].encode(data + i * w.stride, v + i * cols, cols);
        mk_quants[type].decode(v + i * cols, data + i * w.stride, cols);
    }
    w.data = data;
    *plain = v;
    return w;
}

static inline void weight_free(struct mk_weight *w, float *plain)
{
    free((void *)(uintptr_t)w->data);
    free(plain);
}
#endif
