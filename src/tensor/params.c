/* The region of trainable values and its twin of gradients.  Both are address space from the
 * start, so parameters never move while a model that points at them is being built. */
#include "tensor/params.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGN_VALUES = 64 / sizeof(float), ZERO_VALUES = 1 << 16 };

static bool reserve(float **out, size_t n, struct mk_err *err)
{
    void *p;
    size_t n_bytes;
    if (!mk_mul(n, sizeof **out, &n_bytes))
        return mk_fail(err, MK_ELIMIT, "%zu parameter values are too many", n);
    if (!mk_reserve_dense(&p, n_bytes, err)) return false;
    *out = p;
    return true;
}

bool mk_params_init(struct mk_params *p, size_t cap, struct mk_err *err)
{
    struct mk_params made = {.cap = cap};
    if (!reserve(&made.v, cap, err)) return false;
    if (!reserve(&made.grad, cap, err)) {
        mk_params_release(&made);
        return false;
    }
    *p = made;
    return true;
}

void mk_params_release(struct mk_params *p)
{
    for (size_t i = 0; i < p->n_list; i++) free(p->list[i].name);
    free(p->list);
    mk_unreserve(p->v, p->cap * sizeof *p->v);
    mk_unreserve(p->grad, p->cap * sizeof *p->grad);
    mk_unreserve(p->bf16, p->n_bf16 * sizeof *p->bf16);
    *p = (struct mk_params){0};
}

bool mk_params_add(struct mk_params *p, const char *name, enum mk_param_kind kind, size_t rows,
                   size_t cols, struct mk_param **out, struct mk_err *err)
{
    size_t n, end;
    const size_t at = (p->n + ALIGN_VALUES - 1) / ALIGN_VALUES * ALIGN_VALUES;
    if (mk_params_find(p, name))
        return mk_fail(err, MK_EFORMAT, "parameter %s is there twice", name);
    if (!mk_mul(rows, cols, &n) || !mk_add(at, n, &end) || end > p->cap)
        return mk_fail(err, MK_ELIMIT, "parameter %s [%zu, %zu] after %zu values: room is for %zu",
                       name, rows, cols, p->n, p->cap);
    if (p->n_list == p->cap_list) {
        p->cap_list = p->cap_list ? 2 * p->cap_list : 64;
        p->list = mk_realloc(p->list, p->cap_list * sizeof *p->list);
    }
    struct mk_param *q = &p->list[p->n_list++];
    *q = (struct mk_param){
        .name = mk_strdup(name), .kind = kind, .rows = rows, .cols = cols, .at = at};
    p->n = end;
    if (out) *out = q;
    return true;
}

const struct mk_param *mk_params_find(const struct mk_params *p, const char *name)
{
    for (size_t i = 0; i < p->n_list; i++)
        if (!strcmp(p->list[i].name, name)) return &p->list[i];
    return NULL;
}

static void zero_values(void *arg, size_t first, size_t last, unsigned thread)
{
    (void)thread;
    memset((float *)arg + first, 0, (last - first) * sizeof(float));
}

void mk_params_zero_grad(struct mk_work *wk, struct mk_params *p)
{
    mk_pool_run(wk->pool, p->n, ZERO_VALUES, zero_values, p->grad);
}
