#include "model/model.h"

#include "model/int_model.h"
#include "model/stream.h"
#include "tensor/tape.h"

#include <assert.h>
#include <string.h>

#define M(fam, hf, gguf) extern const struct mk_family mk_family_##fam;
#include "model/models.def"
#undef M

static const struct {
    const struct mk_family *family;
    const char *hf, *gguf;
} families[] = {
#define M(fam, hf, gguf) {&mk_family_##fam, hf, gguf},
#include "model/models.def"
#undef M
};
enum { N_FAMILIES = sizeof families / sizeof *families };

const char *mk_model_families(void)
{
    static const char list[] = ""
#define M(fam, hf, gguf) hf ", "
#include "model/models.def"
#undef M
        ;
    static char text[sizeof list];
    memcpy(text, list, sizeof list);
    text[sizeof list - 3] = '\0'; /* the last comma */
    return text;
}

static const struct mk_family *find_family(const struct mk_config *c)
{
    for (size_t i = 0; i < N_FAMILIES; i++) {
        const char *name = c->is_gguf ? families[i].gguf : families[i].hf;
        if (name && !strcmp(name, c->arch)) return families[i].family;
    }
    return NULL;
}

/* GGUF has one end of text, and keys of their own for the ends of a turn and a message. */
static bool load_turn_ids(struct mk_model *m, struct mk_err *err)
{
    static const char *const keys[] = {".tokenizer.ggml.eot_token_id",
                                       ".tokenizer.ggml.eom_token_id"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        int64_t id;
        if (!mk_config_int(&m->config, NULL, keys[i], -1, INT32_MAX, -1, &id, err)) return false;
        bool is_known = id < 0 || m->n_eos == MK_MAX_EOS;
        for (size_t j = 0; j < m->n_eos; j++) is_known = is_known || m->eos[j] == (int32_t)id;
        if (!is_known) m->eos[m->n_eos++] = (int32_t)id;
    }
    return true;
}

static bool load_special_ids(struct mk_model *m, struct mk_err *err)
{
    int64_t bos, eos[MK_MAX_EOS];
    const int64_t max = (int64_t)INT32_MAX;
    if (!mk_config_int(&m->config, "bos_token_id", ".tokenizer.ggml.bos_token_id", -1, max, -1,
                       &bos, err))
        return false;
    /* generation_config.json may list more ends than config.json. */
    const char *key = mk_config_has(&m->config, "generation_config.eos_token_id", NULL)
                          ? "generation_config.eos_token_id"
                          : "eos_token_id";
    if (!mk_config_ints(&m->config, key, ".tokenizer.ggml.eos_token_id", 0, max, eos, MK_MAX_EOS,
                        &m->n_eos, err))
        return false;
    m->bos = (int32_t)bos;
    for (size_t i = 0; i < m->n_eos; i++) m->eos[i] = (int32_t)eos[i];
    return load_turn_ids(m, err);
}

static bool open_parts(struct mk_model *m, const char *path, struct mk_err *err)
{
    if (m->trainable && m->trainable->is_new) {
        if (!mk_config_open_json(&m->config, path, err)) return false;
    } else if (!mk_tensors_open(&m->tensors, path, err) ||
               !mk_config_open(&m->config, &m->tensors, err)) {
        return false;
    }
    m->family = find_family(&m->config);
    if (!m->family)
        return mk_fail(err, MK_EUNSUPPORTED,
                       "%s: architecture \"%.64s\" is not supported; supported are %s",
                       m->config.file, m->config.arch, mk_model_families());
    if (m->trainable && m->config.is_gguf && (!m->family->trains_gguf || m->trainable->lora_rank))
        return mk_fail(err, MK_EUNSUPPORTED,
                       "%s: %s start from safetensors; minke convert makes such a folder", path,
                       m->trainable->lora_rank ? "adapters" : "this family's runs");
    return load_special_ids(m, err) && m->family->load(m, err);
}

bool mk_model_open(struct mk_model *out, const char *path, struct mk_err *err)
{
    return mk_model_open_within(out, path, &(struct mk_ram){0}, err);
}

bool mk_model_open_within(struct mk_model *out, const char *path, const struct mk_ram *ram,
                          struct mk_err *err)
{
    *out = (struct mk_model){0}; /* the family keeps pointers into *out: built in place */
    if (open_parts(out, path, err) && mk_stream_open(out, ram, err)) return true;
    mk_model_close(out);
    return false;
}

bool mk_model_open_trainable(struct mk_model *out, const char *path, const struct mk_trainable *t,
                             struct mk_err *err)
{
    enum { MAX_VALUES_LOG2 = 34 };
    if (!mk_params_init(t->params, (size_t)1 << MAX_VALUES_LOG2, err)) return false;
    *out = (struct mk_model){.params = t->params, .trainable = t};
    const bool ok = open_parts(out, path, err);
    out->trainable = NULL;
    if (ok) return true;
    mk_model_close(out);
    mk_params_release(t->params);
    return false;
}

void mk_model_close(struct mk_model *m)
{
    mk_stream_close(m->stream);
    mk_config_close(&m->config);
    mk_tensors_close(&m->tensors);
    mk_arena_release(&m->arena);
    *m = (struct mk_model){0};
}

size_t mk_model_step_toks(const struct mk_model *m, size_t asked)
{
    enum { DEFAULT_TOKS = 512, MAX_SCRATCH_BYTES = 224 << 20 };
    const size_t fit = MAX_SCRATCH_BYTES / (m->n_scratch + 1) + 1, n = asked ? asked : DEFAULT_TOKS;
    return n < fit ? n : fit;
}

/* What was computed counts once all layers have it. */
static bool end_step(struct mk_work *wk, const struct mk_step *s, struct mk_arena_mark mark,
                     bool is_done)
{
    for (size_t i = 0; is_done && i < s->n_spans; i++) s->spans[i].kv->n += s->spans[i].n;
    mk_scratch_end(wk, mark);
    return is_done;
}

bool mk_model_forward(const struct mk_model *m, struct mk_work *wk, const struct mk_step *s)
{
    const struct mk_arena_mark mark = mk_arena_mark(&wk->arena);
    for (size_t i = 0; i < s->n_spans; i++) assert(s->spans[i].pos == s->spans[i].kv->n);
    if (m->stream) mk_stream_step(m, wk, s);
    return end_step(wk, s, mark, m->family->forward(m, wk, s));
}

bool mk_model_has_mtp(const struct mk_model *m)
{
    return m->family->has_mtp && m->family->has_mtp(m);
}

struct mk_kv_shape mk_model_mtp_kv(const struct mk_model *m)
{
    struct mk_kv_shape s = m->kv;
    s.n_layer = 1;
    return s;
}

bool mk_model_mtp(const struct mk_model *m, struct mk_work *wk, const struct mk_step *s,
                  const float *hidden, bool is_normed)
{
    const struct mk_arena_mark mark = mk_arena_mark(&wk->arena);
    if (m->stream) mk_stream_step(m, wk, s);
    return end_step(wk, s, mark, m->family->mtp(m, wk, s, hidden, is_normed));
}

const float *mk_step_rope(struct mk_work *wk, const struct mk_rope *r, const struct mk_step *s)
{
    size_t *pos = mk_arena_take(&wk->arena, s->n_tok * sizeof *pos);
    for (size_t i = 0; i < s->n_spans; i++)
        for (size_t t = 0; t < s->spans[i].n; t++) pos[s->spans[i].first + t] = s->spans[i].pos + t;
    mk_probe(wk, "rope", -1, r->freq, 1, r->n_pair);
    return mk_rope_table(wk, r, pos, s->n_tok);
}

void mk_step_logits(struct mk_work *wk, const struct mk_step *s, const float *h, size_t d_model,
                    const float *norm, float eps, const struct mk_weight *head)
{
    if (s->hidden) mk_gather_rows(wk, s->hidden, h, NULL, s->n_tok, d_model);
    if (s->normed) mk_rmsnorm(wk, s->normed, d_model, h, d_model, s->n_tok, d_model, norm, eps);
    if (s->n_want == 0) return;
    float *x = mk_floats(wk, s->n_want * d_model);
    mk_gather_rows(wk, x, h, s->want, s->n_want, d_model);
    mk_rmsnorm(wk, x, d_model, x, d_model, s->n_want, d_model, norm, eps);
    mk_probe(wk, "final_norm", -1, x, s->n_want, d_model);
    struct mk_input in = mk_input(x, s->n_want, d_model, d_model);
    in.is_fine = true; /* of what rounded inputs cost in exactness these alone are 5 % */
    mk_matmul(wk, &in, &(struct mk_product){head, s->logits, head->rows, NULL, false}, 1);
}

/* ---- for converters -------------------------------------------------------------- */

const struct mk_name *mk_model_names(const struct mk_model *m) { return m->family->names; }
struct mk_heads mk_model_heads(const struct mk_model *m) { return m->family->heads(m); }

size_t mk_model_rope_divisors(const struct mk_model *m, float *out, size_t max)
{
    return m->family->rope_divisors ? m->family->rope_divisors(m, out, max) : 0;
}

void mk_model_put_gguf(const struct mk_model *m, bool is_mla, struct mk_gguf_writer *w)
{
    m->family->put_gguf(m, is_mla, w);
}
