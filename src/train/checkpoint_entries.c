/* Parameters and moments to safetensors and back. */
#include "formats/safetensors.h"
#include "train/int_checkpoint.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 1 << 16 };

/* ---- lists ------------------------------------------------------------------------------ */

static void add(struct mk_entries *e, const char *prefix, const struct mk_param *q, float *region,
                enum mk_type type)
{
    struct mk_str name = {0};
    mk_str_addf(&name, "%s%s", prefix, q->name);
    e->v[e->n++] = (struct mk_entry){mk_str_take(&name), q, region + q->at, type};
}

static bool is_matrix(const struct mk_param *q)
{
    return q->kind == MK_PARAM_MATRIX || q->kind == MK_PARAM_EMBED;
}

struct mk_entries mk_entries_of_values(const struct mk_params *p, float *v, enum mk_type type)
{
    struct mk_entries e = {.v = mk_calloc(p->n_list, sizeof *e.v)};
    for (size_t i = 0; i < p->n_list; i++)
        add(&e, "", &p->list[i], v, is_matrix(&p->list[i]) ? type : MK_F32);
    return e;
}

struct mk_entries mk_entries_of_params(const struct mk_params *p, enum mk_type type)
{
    return mk_entries_of_values(p, p->v, type);
}

struct mk_entries mk_entries_of_moments(const struct mk_params *p, const struct mk_optim *opt)
{
    struct mk_entries e = {.v = mk_calloc(p->n_list, 2 * sizeof *e.v)};
    for (size_t i = 0; i < p->n_list; i++) {
        const struct mk_param *q = &p->list[i];
        if (mk_optim_has_m(q)) add(&e, "exp_avg/", q, opt->m, MK_F32);
        if (mk_optim_has_v(opt, q)) add(&e, "exp_avg_sq/", q, opt->v, MK_F32);
    }
    return e;
}

void mk_entries_release(struct mk_entries *e)
{
    for (size_t i = 0; i < e->n; i++) free(e->v[i].name);
    free(e->v);
    *e = (struct mk_entries){0};
}

static struct mk_tensor tensor_of(const struct mk_entry *e)
{
    struct mk_tensor t = {.name = e->name, .type = e->type, .n_dims = 1, .dims = {e->param->cols}};
    if (is_matrix(e->param)) {
        t.n_dims = 2;
        t.dims[0] = e->param->rows;
        t.dims[1] = e->param->cols;
    }
    return t;
}

/* ---- writing ---------------------------------------------------------------------------- */

static bool check_finite(const struct mk_entry *e, const char *path, struct mk_err *err)
{
    const size_t n = mk_param_values(e->param), cols = e->param->cols;
    for (size_t i = 0; i < n; i++)
        if (!isfinite(e->v[i]))
            return mk_fail(err, MK_EFORMAT, "%s: %s is %g at [%zu, %zu]; not saved", path, e->name,
                           (double)e->v[i], i / cols, i % cols);
    return true;
}

static bool write_entry(struct mk_st_writer *w, const struct mk_entry *e, struct mk_err *err)
{
    const size_t n = mk_param_values(e->param);
    if (e->type == MK_F32) return mk_st_writer_add(w, e->v, n * sizeof *e->v, err);
    const size_t size = mk_quants[e->type].block_bytes; /* a value is a block */
    uint8_t *bytes = mk_alloc(PIECE * size);
    bool ok = true;
    for (size_t i = 0, m; ok && i < n; i += m) {
        m = n - i < PIECE ? n - i : PIECE;
        mk_quants[e->type].encode(bytes, e->v + i, m);
        ok = mk_st_writer_add(w, bytes, m * size, err);
    }
    free(bytes);
    return ok;
}

bool mk_entries_write(const struct mk_entries *e, const char *dir, const char *name,
                      struct mk_err *err)
{
    static const char *const metadata[] = {"format", "pt", NULL};
    struct mk_st_writer *w;
    struct mk_str path = {0};
    struct mk_tensor *list = mk_calloc(e->n, sizeof *list);
    for (size_t i = 0; i < e->n; i++) list[i] = tensor_of(&e->v[i]);
    mk_str_addf(&path, "%s/%s", dir, name);
    const bool is_open = mk_st_writer_open(&w, path.data, list, e->n, metadata, err);
    bool ok = is_open;
    for (size_t i = 0; ok && i < e->n; i++)
        ok = check_finite(&e->v[i], path.data, err) && write_entry(w, &e->v[i], err);
    if (ok)
        ok = mk_st_writer_close(w, err);
    else if (is_open)
        mk_st_writer_abandon(w);
    mk_str_release(&path);
    free(list);
    return ok;
}

/* ---- reading ---------------------------------------------------------------------------- */

static bool check_tensor(const struct mk_tensors *file, const struct mk_entry *e,
                         struct mk_err *err)
{
    const struct mk_tensor *t = mk_tensors_find(file, e->name), want = tensor_of(e);
    if (!t) return mk_fail(err, MK_EFORMAT, "%s: tensor %s is missing", file->path, e->name);
    if (t->type != want.type)
        return mk_fail(err, MK_EFORMAT, "%s: tensor %s holds %s, want %s", file->path, e->name,
                       mk_quants[t->type].name, mk_quants[want.type].name);
    bool is_same = t->n_dims == want.n_dims;
    for (unsigned i = 0; is_same && i < want.n_dims; i++) is_same = t->dims[i] == want.dims[i];
    return is_same ||
           mk_fail(err, MK_EFORMAT,
                   "%s: tensor %s has %zu values in %u dims, want "
                   "[%zu, %zu]",
                   file->path, e->name, t->n_values, t->n_dims, e->param->rows, e->param->cols);
}

bool mk_entries_open(struct mk_entries_file *out, const struct mk_entries *e, const char *dir,
                     const char *name, struct mk_err *err)
{
    struct mk_entries_file f = {.entries = e};
    struct mk_str path = {0};
    mk_str_addf(&path, "%s/%s", dir, name);
    bool ok = mk_tensors_open(&f.tensors, path.data, err);
    mk_str_release(&path);
    if (!ok) return false;
    for (size_t i = 0; ok && i < e->n; i++) ok = check_tensor(&f.tensors, &e->v[i], err);
    if (ok && f.tensors.n != e->n)
        ok = mk_fail(err, MK_EFORMAT, "%s: %zu tensors, want %zu: it belongs to another model",
                     f.tensors.path, f.tensors.n, e->n);
    if (ok)
        *out = f;
    else
        mk_entries_close(&f);
    return ok;
}

void mk_entries_read(const struct mk_entries_file *f)
{
    for (size_t i = 0; i < f->entries->n; i++) {
        const struct mk_entry *e = &f->entries->v[i];
        memcpy(e->v, mk_tensors_find(&f->tensors, e->name)->data,
               mk_param_values(e->param) * sizeof *e->v);
    }
}

void mk_entries_close(struct mk_entries_file *f)
{
    mk_tensors_close(&f->tensors);
    *f = (struct mk_entries_file){0};
}
