/* Finding a model's weights under either set of names. */
#include "model/int_model.h"
#include "tensor/params.h"

#include "base/rng.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { NAME_MAX_BYTES = 256 };

/* A tensor, or one expert's slice of a stacked one. */
struct slice {
    const struct mk_tensor *t;
    const uint8_t *data;
    unsigned n_dims;
    size_t dims[MK_MAX_DIMS];
};

static bool find(const struct mk_model *m, const char *hf, struct slice *out)
{
    char gguf[NAME_MAX_BYTES];
    long expert = -1;
    const char *name = hf;
    if (m->config.is_gguf) {
        if (!mk_name_to_gguf(m->family->names, hf, gguf, sizeof gguf, &expert)) return false;
        name = gguf;
    }
    const struct mk_tensor *t = mk_tensors_find(&m->tensors, name);
    if (!t) return false;
    *out = (struct slice){.t = t, .data = t->data, .n_dims = t->n_dims};
    memcpy(out->dims, t->dims, sizeof out->dims);
    if (expert < 0) return true;
    if (t->n_dims < 2 || (size_t)expert >= t->dims[0]) return false;
    out->data += t->n_bytes / t->dims[0] * (size_t)expert;
    out->n_dims--;
    memmove(out->dims, out->dims + 1, (MK_MAX_DIMS - 1) * sizeof *out->dims);
    return true;
}

static bool missing(const struct mk_model *m, struct mk_err *err, const char *hf)
{
    char gguf[NAME_MAX_BYTES] = "";
    long expert = -1;
    if (m->config.is_gguf) mk_name_to_gguf(m->family->names, hf, gguf, sizeof gguf, &expert);
    return mk_fail(err, MK_EFORMAT, "%s: tensor %s is missing", m->tensors.path,
                   gguf[0] ? gguf : hf);
}

static const char *shape_text(const struct slice *s, char *buf, size_t size)
{
    size_t n = 0;
    buf[0] = '\0';
    for (unsigned i = 0; i < s->n_dims && n < size; i++)
        n += (size_t)snprintf(buf + n, size - n, i ? ", %zu" : "%zu", s->dims[i]);
    return buf;
}

/* The block scales of an F8 weight. */
static bool load_scale(struct mk_model *m, struct mk_err *err, struct mk_weight *w, const char *hf)
{
    char name[NAME_MAX_BYTES + 16];
    snprintf(name, sizeof name, "%s_scale_inv", hf);
    const struct mk_tensor *s = mk_tensors_find(&m->tensors, name);
    if (!s)
        return mk_fail(err, MK_EUNSUPPORTED,
                       "%s: %s is F8 without %s; other ways to scale F8 are not supported",
                       m->tensors.path, hf, name);
    const size_t rows = (w->rows + 127) / 128, cols = (w->cols + 127) / 128;
    if (s->type != MK_F32 || s->n_dims != 2 || s->dims[0] != rows || s->dims[1] != cols)
        return mk_fail(err, MK_EFORMAT,
                       "%s: tensor %s is not [%zu, %zu] floats (blocks of 128 x 128)", s->file,
                       name, rows, cols);
    w->scale = (const float *)(const void *)s->data;
    w->ld_scale = cols;
    return true;
}

/* ---- trainable weights ------------------------------------------------------------------ */

static bool ends_with(const char *s, const char *end)
{
    const size_t n = strlen(s), m = strlen(end);
    return n >= m && !strcmp(s + n - m, end);
}

static enum mk_param_kind kind_of(const char *name, bool is_vector)
{
    if (ends_with(name, "e_score_correction_bias")) return MK_PARAM_STATE;
    if (is_vector) return MK_PARAM_VECTOR;
    const bool is_embed = ends_with(name, "embed_tokens.weight") ||
                          ends_with(name, "lm_head.weight") || ends_with(name, "head.weight");
    return is_embed ? MK_PARAM_EMBED : MK_PARAM_MATRIX;
}

/* Drawn from the seed and the name, so that it does not depend on what else there is. */
static void draw_normal(float *v, size_t n, double std, uint64_t seed, const char *name)
{
    struct mk_rng rng = {seed};
    for (const char *c = name; *c; c++) rng.state = (rng.state ^ (uint8_t)*c) * 0x100000001b3ull;
    mk_rng_u64(&rng);
    for (size_t i = 0; i < n; i++) v[i] = (float)(mk_rng_normal(&rng) * std);
}

static bool new_param(struct mk_model *m, struct mk_err *err, const char *name, size_t rows,
                      size_t cols, bool is_vector, struct mk_param **out)
{
    struct mk_params *p = m->params;
    if (!mk_params_add(p, name, kind_of(name, is_vector), rows, cols, out, err)) return false;
    if (!is_vector) (*out)->pairs = mk_arena_zero(&m->arena, sizeof *(*out)->pairs);
    return true;
}

/* y = W x + (alpha / rank) B A x: A is drawn, B is zero (Hu et al. 2021, section 4.1). */
static bool add_lora(struct mk_model *m, struct mk_err *err, struct mk_weight *w, const char *name)
{
    const struct mk_trainable *t = m->trainable;
    char base[NAME_MAX_BYTES], full[NAME_MAX_BYTES + 32];
    struct mk_param *p;
    snprintf(base, sizeof base, "%.*s", (int)(strlen(name) - strlen(".weight")), name);
    struct mk_lora *l = mk_arena_zero(&m->arena, sizeof *l);
    l->scale = (float)(t->lora_alpha / (double)t->lora_rank);
    m->params->lora_alpha = t->lora_alpha;
    snprintf(full, sizeof full, "base_model.model.%s.lora_A.weight", base);
    if (!new_param(m, err, full, t->lora_rank, w->cols, false, &p)) return false;
    draw_normal(m->params->v + p->at, mk_param_values(p), 1.0 / sqrt((double)w->cols), t->seed,
                full);
    l->a = mk_float_rows(m->params->v + p->at, p->rows, p->cols, p->cols);
    l->a.pairs = p->pairs;
    snprintf(full, sizeof full, "base_model.model.%s.lora_B.weight", base);
    if (!new_param(m, err, full, w->rows, t->lora_rank, false, &p)) return false;
    l->b = mk_float_rows(m->params->v + p->at, p->rows, p->cols, p->cols);
    l->b.pairs = p->pairs;
    w->lora = l;
    return true;
}

static bool drawn_weight(struct mk_model *m, struct mk_err *err, struct mk_weight *out,
                         const char *name, size_t rows, size_t cols)
{
    struct mk_param *p;
    if (!new_param(m, err, name, rows, cols, false, &p)) return false;
    float *v = m->params->v + p->at;
    draw_normal(v, rows * cols, 0.5 / sqrt((double)m->d_model), m->trainable->seed, name);
    *out = mk_float_rows(v, rows, cols, cols);
    out->pairs = p->pairs;
    m->n_params += rows * cols;
    return true;
}

/* Makes a mapped weight one that can change, or gives it an adapter. */
static bool make_trainable(struct mk_model *m, struct mk_err *err, struct mk_weight *w,
                           const char *name)
{
    struct mk_param *p;
    if (m->trainable->lora_rank) return !strstr(name, "_proj.weight") || add_lora(m, err, w, name);
    if (!new_param(m, err, name, w->rows, w->cols, false, &p)) return false;
    struct mk_kernels k;
    mk_kernels_select(&k, 0);
    mk_weight_decode(&k, w, 0, w->rows, m->params->v + p->at);
    *w = mk_float_rows(m->params->v + p->at, w->rows, w->cols, w->cols);
    w->pairs = p->pairs;
    return true;
}

static bool trainable_vector(struct mk_model *m, struct mk_err *err, const float **v, size_t n,
                             const char *name)
{
    struct mk_param *p;
    if (!new_param(m, err, name, 1, n, true, &p)) return false;
    float *to = m->params->v + p->at;
    for (size_t i = 0; i < n; i++) to[i] = *v ? (*v)[i] : ends_with(name, "norm.weight") ? 1.0f : 0;
    *v = to;
    return true;
}

/* ---- look-ups ----------------------------------------------------------------------------- */

static bool map_weight(struct mk_model *m, struct mk_err *err, struct mk_weight *out, size_t rows,
                       size_t cols, const char *name)
{
    char shape[96];
    struct slice s;
    if (!find(m, name, &s)) return missing(m, err, name);
    size_t n_rows = 1, row_bytes;
    for (unsigned i = 0; i + 1 < s.n_dims; i++) n_rows *= s.dims[i]; /* checked when opened */
    if (s.n_dims < 2 || n_rows != rows || s.dims[s.n_dims - 1] != cols)
        return mk_fail(err, MK_EFORMAT, "%s: tensor %s is [%s], want [%zu, %zu]", s.t->file,
                       s.t->name, shape_text(&s, shape, sizeof shape), rows, cols);
    if (mk_quants[s.t->type].kind == MK_PLAIN)
        return mk_fail(err, MK_EUNSUPPORTED, "%s: tensor %s holds %s, which is no weight type",
                       s.t->file, s.t->name, mk_quants[s.t->type].name);
    if (!mk_type_bytes(s.t->type, cols, &row_bytes))
        return mk_fail(err, MK_EFORMAT, "%s: tensor %s has rows of %zu values, not whole %s blocks",
                       s.t->file, s.t->name, cols, mk_quants[s.t->type].name);
    struct mk_weight w = {
        .type = s.t->type, .rows = rows, .cols = cols, .stride = row_bytes, .data = s.data};
    if (w.type == MK_F8_E4M3 && !load_scale(m, err, &w, name)) return false;
    *out = w;
    return true;
}

bool mk_load_weight(struct mk_model *m, struct mk_err *err, struct mk_weight *out, size_t rows,
                    size_t cols, const char *fmt, ...)
{
    char name[NAME_MAX_BYTES];
    struct mk_weight w;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(name, sizeof name, fmt, ap);
    va_end(ap);
    if (m->trainable && m->trainable->is_new) return drawn_weight(m, err, out, name, rows, cols);
    if (!map_weight(m, err, &w, rows, cols, name)) return false;
    m->n_params += rows * cols;
    if (m->trainable && !make_trainable(m, err, &w, name)) return false;
    *out = w;
    return true;
}

bool mk_load_values(struct mk_model *m, struct mk_err *err, float *out, size_t rows, size_t cols,
                    const char *fmt, ...)
{
    char name[NAME_MAX_BYTES];
    struct mk_weight w;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(name, sizeof name, fmt, ap);
    va_end(ap);
    if (!map_weight(m, err, &w, rows, cols, name)) return false;
    struct mk_kernels k;
    mk_kernels_select(&k, 0);
    mk_weight_decode(&k, &w, 0, rows, out);
    return true;
}

bool mk_load_made(struct mk_model *m, struct mk_err *err, struct mk_weight *out, const float *v,
                  size_t rows, size_t cols, const char *fmt, ...)
{
    char name[NAME_MAX_BYTES];
    struct mk_weight w = mk_float_rows(v, rows, cols, cols);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(name, sizeof name, fmt, ap);
    va_end(ap);
    m->n_params += rows * cols;
    if (!make_trainable(m, err, &w, name)) return false;
    *out = w;
    return true;
}

bool mk_load_vector(struct mk_model *m, struct mk_err *err, const float **out, size_t n,
                    const char *fmt, ...)
{
    char name[NAME_MAX_BYTES], shape[96];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(name, sizeof name, fmt, ap);
    va_end(ap);
    m->n_params += n;
    m->n_params_active += n;
    if (m->trainable && m->trainable->is_new) {
        *out = NULL;
        return trainable_vector(m, err, out, n, name);
    }
    struct slice s;
    if (!find(m, name, &s)) return missing(m, err, name);
    if (s.n_dims != 1 || s.dims[0] != n)
        return mk_fail(err, MK_EFORMAT, "%s: tensor %s is [%s], want [%zu]", s.t->file, s.t->name,
                       shape_text(&s, shape, sizeof shape), n);
    if (s.t->type != MK_F32 && s.t->type != MK_F16 && s.t->type != MK_BF16)
        return mk_fail(err, MK_EUNSUPPORTED, "%s: tensor %s holds %s, want f32, f16 or bf16",
                       s.t->file, s.t->name, mk_quants[s.t->type].name);
    if (s.t->type == MK_F32) {
        *out = (const float *)(const void *)s.data;
    } else {
        float *v = mk_arena_take(&m->arena, n * sizeof *v);
        mk_quants[s.t->type].decode(v, s.data, n);
        *out = v;
    }
    m->n_bytes_active += s.t->n_bytes;
    if (m->trainable && !m->trainable->lora_rank) return trainable_vector(m, err, out, n, name);
    return true;
}

/* Which of the tensors that a checkpoint may lack a new model has. */
static bool is_in_new(const struct mk_model *m, const char *name)
{
    char method[32] = "";
    struct mk_err ignored;
    if (ends_with(name, "e_score_correction_bias"))
        return mk_config_str(&m->config, "topk_method", NULL, "", method, sizeof method,
                             &ignored) &&
               !strcmp(method, "noaux_tc");
    return ends_with(name, "kv_b_proj.weight") || ends_with(name, "eh_proj.weight") ||
           !strcmp(name, "lm_head.weight");
}

bool mk_has_tensor(const struct mk_model *m, const char *fmt, ...)
{
    char name[NAME_MAX_BYTES];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(name, sizeof name, fmt, ap);
    va_end(ap);
    if (m->trainable && m->trainable->is_new) return is_in_new(m, name);
    struct slice s;
    return find(m, name, &s);
}

bool mk_load_plain(struct mk_model *m, struct mk_err *err)
{
    static const char *const flags[] = {"attention_bias", "mlp_bias", "use_sliding_window"};
    const struct mk_config *c = &m->config;
    char act[32];
    if (!mk_config_str(c, "hidden_act", NULL, "silu", act, sizeof act, err)) return false;
    if (strcmp(act, "silu"))
        return mk_fail(err, MK_EUNSUPPORTED, "%s: hidden_act \"%s\" is not supported; want silu",
                       c->file, act);
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        bool is_set;
        if (!mk_config_bool(c, flags[i], NULL, false, &is_set, err)) return false;
        if (is_set)
            return mk_fail(err, MK_EUNSUPPORTED, "%s: %s is not supported", c->file, flags[i]);
    }
    return true;
}

bool mk_load_vocab_size(struct mk_model *m, struct mk_err *err)
{
    int64_t n;
    const struct mk_tensor *t = mk_tensors_find(&m->tensors, "token_embd.weight");
    const bool is_shown = m->config.is_gguf && t && t->n_dims == 2;
    const int64_t missing = is_shown ? (int64_t)t->dims[0] : 0;
    if (!mk_config_int(&m->config, "vocab_size", "vocab_size", 1, 1 << 24, missing, &n, err))
        return false;
    if (n <= 0) return mk_fail(err, MK_EFORMAT, "%s: vocab_size is missing", m->config.file);
    m->n_vocab = (size_t)n;
    return true;
}

void mk_count_active(struct mk_model *m, const struct mk_weight *w, size_t rows)
{
    m->n_params_active += rows * w->cols;
    m->n_bytes_active += rows * w->stride;
}
