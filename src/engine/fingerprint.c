#include "engine/int_engine.h"
#include "engine/int_prefix.h"

#include "base/file.h"
#include "model/stream.h"

#include <nettle/sha2.h>
#include <string.h>

enum { N_SAMPLES = 256, SAMPLE_BYTES = MK_DIRECT_PAGE };

static void add(struct sha256_ctx *c, const void *bytes, size_t n) { sha256_update(c, n, bytes); }

static void add_text(struct sha256_ctx *c, const char *s) { add(c, s, strlen(s) + 1); }

/* Size and time of a file: of one in its place that differs in a few weights. */
static void add_file(struct sha256_ctx *c, const char *path)
{
    struct mk_file_facts facts = {0};
    char byte;
    if (mk_file_peek(&byte, 1, path, &facts, NULL)) add(c, &facts, sizeof facts);
}

/* Weights that are not in memory are looked up in their file. */
static void add_sample(struct sha256_ctx *c, const struct mk_model *m, const uint8_t *data,
                       size_t n)
{
    _Alignas(MK_DIRECT_PAGE) uint8_t buf[2 * SAMPLE_BYTES];
    if (m->stream) data = mk_stream_read(m, data, n, buf, NULL);
    if (data) add(c, data, n);
}

static void add_tensors(struct sha256_ctx *c, const struct mk_model *m)
{
    const struct mk_tensors *t = &m->tensors;
    const size_t every = t->n / N_SAMPLES + 1;
    const char *file = NULL;
    for (size_t i = 0; i < t->n; i++) {
        const struct mk_tensor *x = &t->list[i];
        add_text(c, x->name);
        add_text(c, mk_quants[x->type].name);
        add(c, x->dims, sizeof x->dims);
        if (x->file != file) add_file(c, file = x->file);
        if (i % every) continue;
        const size_t n = x->n_bytes < SAMPLE_BYTES ? x->n_bytes : SAMPLE_BYTES;
        add_sample(c, m, x->data + (x->n_bytes - n) / 2, n);
    }
}

void mk_engine_fingerprint(const struct mk_engine *e, uint8_t out[32])
{
    struct sha256_ctx c;
    sha256_init(&c);
    add_text(&c, MK_VERSION);
    add_text(&c, mk_cpu_name(e->work.cpu));
    add_text(&c, mk_quants[e->kv_type].name);
    add_text(&c, e->work.rounds ? "rounds" : "floats");
    add(&c, &e->model.kv, sizeof e->model.kv);
    add_tensors(&c, &e->model);
    sha256_digest(&c, 32, out);
}
