#include "train/adapter.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "formats/tensors.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CONFIG_BYTES = 1 << 20, MAX_RANK = 1 << 16 };
static const char prefix[] = "base_model.model.";

struct pair { /* of one weight */
    const struct mk_param *w;
    const struct mk_tensor *a, *b;
};

struct adapter {
    struct mk_tensors tensors;
    size_t rank;
    double alpha;
    struct pair *pairs;
    size_t n;
};

/* ---- adapter_config.json ---------------------------------------------------------------- */

/* Members that would mean another formula, and the values that do not. */
static bool check_kind(const json_t *o, const char *file, struct mk_err *err)
{
    static const char *const off[] = {"use_dora",     "use_rslora",    "fan_in_fan_out",
                                      "rank_pattern", "alpha_pattern", "modules_to_save"};
    const char *kind = json_string_value(json_object_get(o, "peft_type"));
    const json_t *bias = json_object_get(o, "bias");
    if (!kind || strcmp(kind, "LORA"))
        return mk_fail(err, MK_EUNSUPPORTED, "%s: peft_type is %.32s, want LORA", file,
                       kind ? kind : "missing");
    if (bias && (!json_is_string(bias) || strcmp(json_string_value(bias), "none")))
        return mk_fail(err, MK_EUNSUPPORTED, "%s: trained biases are not supported", file);
    for (size_t i = 0; i < sizeof off / sizeof *off; i++) {
        const json_t *v = json_object_get(o, off[i]);
        const bool is_off = !v || json_is_null(v) || json_is_false(v) ||
                            (json_is_object(v) && !json_object_size(v)) ||
                            (json_is_array(v) && !json_array_size(v));
        if (!is_off) return mk_fail(err, MK_EUNSUPPORTED, "%s: %s is not supported", file, off[i]);
    }
    return true;
}

static bool parse_config(struct adapter *a, const json_t *o, const char *file, struct mk_err *err)
{
    const json_t *rank = json_object_get(o, "r"), *alpha = json_object_get(o, "lora_alpha");
    if (!check_kind(o, file, err)) return false;
    if (!json_is_integer(rank) || json_integer_value(rank) < 1 ||
        json_integer_value(rank) > MAX_RANK)
        return mk_fail(err, MK_EFORMAT, "%s: r is not a rank from 1 to %d", file, MAX_RANK);
    if (!json_is_number(alpha))
        return mk_fail(err, MK_EFORMAT, "%s: lora_alpha is no number", file);
    a->rank = (size_t)json_integer_value(rank);
    a->alpha = json_number_value(alpha);
    return true;
}

static bool read_config(struct adapter *a, const char *dir, struct mk_err *err)
{
    struct mk_str path = {0}, text = {0};
    json_error_t e;
    mk_str_addf(&path, "%s/adapter_config.json", dir);
    bool ok = mk_file_read_regular(&text, path.data, MAX_CONFIG_BYTES, err);
    if (ok) {
        json_t *o = json_loadb(mk_str_c(&text), text.len, JSON_REJECT_DUPLICATES, &e);
        ok = o ? parse_config(a, o, path.data, err)
               : mk_fail(err, MK_EFORMAT, "%s: line %d: %s", path.data, e.line, e.text);
        json_decref(o);
    }
    mk_str_release(&path);
    mk_str_release(&text);
    return ok;
}

/* ---- adapter_model.safetensors ---------------------------------------------------------- */

/* base_model.model.NAME.lora_A.weight -> the weight NAME.weight; NULL: none. */
static const struct mk_param *find_weight(const struct mk_params *p, const char *name,
                                          const char *middle)
{
    const size_t n = sizeof prefix - 1;
    const char *end = strstr(name, middle);
    if (strncmp(name, prefix, n) || !end || end < name + n ||
        strcmp(end + strlen(middle), "weight"))
        return NULL;
    struct mk_str full = {0};
    mk_str_addf(&full, "%.*s.weight", (int)(end - name - (ptrdiff_t)n), name + n);
    const struct mk_param *w = mk_params_find(p, full.data);
    mk_str_release(&full);
    return w && w->kind == MK_PARAM_MATRIX ? w : NULL;
}

static bool check_tensor(const struct mk_tensor *t, size_t rows, size_t cols, struct mk_err *err)
{
    if (t->type != MK_F32 && t->type != MK_F16 && t->type != MK_BF16)
        return mk_fail(err, MK_EUNSUPPORTED, "%s: tensor %s holds %s, want f32, f16 or bf16",
                       t->file, t->name, mk_quants[t->type].name);
    if (t->n_dims != 2 || t->dims[0] != rows || t->dims[1] != cols)
        return mk_fail(err, MK_EFORMAT, "%s: tensor %s is not [%zu, %zu]", t->file, t->name, rows,
                       cols);
    return true;
}

static bool find_pairs(struct adapter *a, const struct mk_params *p, struct mk_err *err)
{
    size_t n_b = 0;
    a->pairs = mk_calloc(a->tensors.n ? a->tensors.n : 1, sizeof *a->pairs);
    for (size_t i = 0; i < a->tensors.n; i++) {
        const struct mk_tensor *t = &a->tensors.list[i];
        const struct mk_param *w = find_weight(p, t->name, ".lora_A.");
        if (find_weight(p, t->name, ".lora_B.")) {
            n_b++;
            continue;
        }
        if (!w)
            return mk_fail(err, MK_EFORMAT, "%s: tensor %s belongs to no weight of this model",
                           a->tensors.path, t->name);
        struct mk_str b = {0};
        mk_str_addf(&b, "%s%.*s.lora_B.weight", prefix, (int)(strlen(w->name) - strlen(".weight")),
                    w->name);
        const struct mk_tensor *other = mk_tensors_find(&a->tensors, b.data);
        if (!other) mk_fail(err, MK_EFORMAT, "%s: tensor %s is missing", a->tensors.path, b.data);
        mk_str_release(&b);
        if (!other || !check_tensor(t, a->rank, w->cols, err) ||
            !check_tensor(other, w->rows, a->rank, err))
            return false;
        a->pairs[a->n++] = (struct pair){w, t, other};
    }
    if (a->n && a->n == n_b) return true;
    return mk_fail(err, MK_EFORMAT, "%s: %zu adapters with %zu second halves", a->tensors.path,
                   a->n, n_b);
}

/* ---- adding ----------------------------------------------------------------------------- */

static float *values_of(const struct mk_tensor *t)
{
    float *v = mk_calloc(t->n_values, sizeof *v);
    if (t->type == MK_F32)
        memcpy(v, t->data, t->n_values * sizeof *v);
    else
        mk_quants[t->type].decode(v, t->data, t->n_values);
    return v;
}

static void add_pair(const struct mk_params *p, const struct pair *q, size_t rank, double scale)
{
    float *a = values_of(q->a), *b = values_of(q->b);
    double *row = mk_calloc(q->w->cols, sizeof *row);
    for (size_t i = 0; i < q->w->rows; i++) {
        float *w = p->v + q->w->at + i * q->w->cols;
        memset(row, 0, q->w->cols * sizeof *row);
        for (size_t r = 0; r < rank; r++)
            for (size_t j = 0; j < q->w->cols; j++)
                row[j] += (double)b[i * rank + r] * (double)a[r * q->w->cols + j];
        for (size_t j = 0; j < q->w->cols; j++) w[j] = (float)((double)w[j] + scale * row[j]);
    }
    free(row);
    free(a);
    free(b);
}

bool mk_adapter_merge(const struct mk_params *p, const char *dir, struct mk_err *err)
{
    struct adapter a = {0};
    struct mk_str path = {0};
    mk_str_addf(&path, "%s/adapter_model.safetensors", dir);
    const bool ok = read_config(&a, dir, err) && mk_tensors_open(&a.tensors, path.data, err) &&
                    find_pairs(&a, p, err);
    for (size_t i = 0; ok && i < a.n; i++)
        add_pair(p, &a.pairs[i], a.rank, a.alpha / (double)a.rank);
    mk_tensors_close(&a.tensors);
    mk_str_release(&path);
    free(a.pairs);
    return ok;
}
