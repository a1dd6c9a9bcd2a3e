/* POST /embeddings: the mean of a text's hidden states after the final norm, of length 1.  A model
 * that was made to chat was not made for this: texts that are alike in words come out alike. */
#include "base/mem.h"
#include "server/wire.h"

#include <math.h>
#include <nettle/base64.h>
#include <stdlib.h>
#include <string.h>

struct embeddings {
    const struct mk_server *server;
    size_t n_values; /* of each, at most d_model */
    size_t n_toks;
    bool is_base64;
};

/* ---- answers ----------------------------------------------------------------------- */

static json_t *base64_json(const float *v, size_t n)
{
    const size_t n_bytes = n * sizeof *v;
    char *text = mk_alloc(BASE64_ENCODE_RAW_LENGTH(n_bytes));
    base64_encode_raw(text, n_bytes, (const uint8_t *)v);
    json_t *json = json_stringn(text, BASE64_ENCODE_RAW_LENGTH(n_bytes));
    free(text);
    return json;
}

static json_t *vector_json(const struct embeddings *e, float *v)
{
    double sum = 0;
    for (size_t i = 0; i < e->n_values; i++) sum += (double)v[i] * (double)v[i];
    const float scale = sum > 0 ? (float)(1 / sqrt(sum)) : 0;
    for (size_t i = 0; i < e->n_values; i++) v[i] *= scale;
    if (e->is_base64) return base64_json(v, e->n_values);
    json_t *list = json_array();
    for (size_t i = 0; i < e->n_values; i++) json_array_append_new(list, json_real((double)v[i]));
    return list;
}

static void on_piece(struct mk_exchange *x, const struct mk_piece *p, const char *text,
                     const struct mk_sampled *toks)
{
    (void)x, (void)p, (void)text, (void)toks; /* nothing is said */
}

static void on_end(struct mk_exchange *x, const struct mk_job_status *s)
{
    (void)s;
    const struct embeddings *e = x->state;
    const struct mk_job *j = x->job;
    json_t *data = json_array();
    for (size_t i = 0; i <= j->n_rest; i++)
        json_array_append_new(data, json_pack("{s:s, s:I, s:o}", "object", "embedding", "index",
                                              (json_int_t)i, "embedding",
                                              vector_json(e, j->vectors + i * j->d_model)));
    const json_int_t n = (json_int_t)e->n_toks;
    mk_out_json(&x->out,
                json_pack("{s:s, s:o, s:s, s:{s:I, s:I}}", "object", "list", "data", data, "model",
                          e->server->o.model_name, "usage", "prompt_tokens", n, "total_tokens", n));
}

static const struct mk_wire wire = {.piece = on_piece, .end = on_end, .free = free};

/* ---- requests ---------------------------------------------------------------------- */

static bool add_input(struct mk_exchange *x, const json_t *v, struct mk_ids *out)
{
    const size_t n_ctx = mk_service_n_ctx(x->server->service);
    if (json_is_string(v))
        mk_tokenize(x->server->tokenizer, json_string_value(v), json_string_length(v), MK_TOK_BOS,
                    out);
    else if (!mk_json_ids(x, "input", v, out))
        return false;
    if (json_is_string(v) ? json_string_length(v) : out->n) {
        if (out->n < n_ctx) return true;
        mk_answer_error(x, 400, "input", "context_length_exceeded",
                        "input has a member of %zu tokens, the context holds %zu", out->n,
                        n_ctx - 1);
        return false;
    }
    mk_answer_error(x, 400, "input", NULL,
                    "input wants a text, a list of token ids, or a list of those; none empty");
    return false;
}

enum { MAX_INPUTS = 2048 };

/* One text or list of ids, or a list of them. */
static bool read_inputs(const struct mk_fields *f, struct mk_job *j)
{
    const json_t *v = json_object_get(f->v, "input");
    const size_t n = json_array_size(v);
    if (json_is_string(v) || n == 0 || json_is_integer(json_array_get(v, 0)))
        return add_input(f->x, v, &j->prompt);
    if (n > MAX_INPUTS) {
        mk_answer_error(f->x, 400, "input", NULL, "input has %zu members, at most %d are read", n,
                        MAX_INPUTS);
        return false;
    }
    j->rest = mk_calloc(n, sizeof *j->rest);
    if (!add_input(f->x, json_array_get(v, 0), &j->prompt)) return false;
    while (j->n_rest + 1 < n) {
        struct mk_ids *next = &j->rest[j->n_rest++];
        if (!add_input(f->x, json_array_get(v, j->n_rest), next)) return false;
    }
    return true;
}

static bool read_request(const struct mk_fields *f, struct mk_job *j, struct embeddings *e)
{
    const char *format = "float";
    int64_t n = (int64_t)j->d_model;
    if (!mk_field_text(f, "encoding_format", &format) ||
        !mk_field_int(f, "dimensions", 1, (int64_t)j->d_model, &n) || !read_inputs(f, j))
        return false;
    e->n_values = (size_t)n;
    e->is_base64 = !strcmp(format, "base64");
    if (e->is_base64 || !strcmp(format, "float")) return true;
    mk_answer_error(f->x, 400, "encoding_format", NULL,
                    "encoding_format is %.40s, want float or base64", format);
    return false;
}

void mk_api_embeddings(struct mk_exchange *x)
{
    struct mk_fields f;
    if (!mk_fields_read(&f, x)) return;
    struct mk_job *j = mk_job_new();
    struct embeddings *e = mk_alloc(sizeof *e);
    e->server = x->server;
    j->d_model = mk_engine_info(x->server->engine).d_model;
    j->sampling = x->server->sampling;
    j->reads_anew = true;
    if (read_request(&f, j, e)) {
        e->n_toks = j->prompt.n;
        for (size_t i = 0; i < j->n_rest; i++) e->n_toks += j->rest[i].n;
        j->vectors = mk_calloc((1 + j->n_rest) * j->d_model, sizeof *j->vectors);
        mk_answer_job(x, j, &wire, e, false);
    } else {
        mk_job_drop(j);
        free(e);
    }
    mk_fields_release(&f);
}
