#ifndef MK_MODEL_STREAM_H
#define MK_MODEL_STREAM_H
/* Models larger than memory.  What every token reads lies in memory at the addresses where it was
 * mapped, so that loading knows nothing of this; only the pointers of routed experts change, which
 * a cache reads from the files (tensor/expert_cache.h).
 *
 *     mapped     | header | attention, shared | experts of layer 3 ............ | attention ...
 *     streamed   |  read  |       read        | empty addresses; slices in cache |    read ...
 */
#include "model/model.h"
#include "tensor/expert_cache.h"

/* What a budget means, before anything is read and after. */
struct mk_stream_plan {
    size_t n_file_bytes;         /* all weights */
    size_t n_dense_bytes;        /* what every token reads, kept in memory */
    size_t n_table_bytes;        /* of the embedding, read by row */
    size_t n_experts;            /* over all layers */
    size_t n_largest;            /* bytes of the largest, in memory */
    size_t n_expert_bytes;       /* of all of them */
    size_t n_used, n_used_bytes; /* the experts that a token uses, and their bytes */
    size_t n_cache_bytes;        /* what the budget leaves for experts */
    double n_fit;                /* experts that fit, at most n_experts */
};
/* false: the model has no routed experts. */
bool mk_stream_plan(const struct mk_model *m, size_t ram_bytes, struct mk_stream_plan *out);
/* Tokens per second when nothing but the disk takes time and every expert is as likely as any
 * other: misses are 1 - n_fit / n_experts of the experts that a token uses.  Infinite without
 * misses. */
double mk_stream_tps(const struct mk_stream_plan *p, double disk_bytes_per_s);
/* Bytes per second of reading experts here and there for about this long. */
double mk_stream_measure(const struct mk_model *m, double seconds, struct mk_err *err);

/* An opened model gives up its mappings if ram asks for it.  Fails when the budget is too small,
 * with what is needed. */
bool mk_stream_open(struct mk_model *m, const struct mk_ram *ram, struct mk_err *err) MK_CHECKED;
void mk_stream_close(struct mk_stream *s); /* NULL is fine */

/* Of a model that streams: */
struct mk_expert_cache *mk_stream_cache(const struct mk_model *m);
/* A step begins: the cache gets what everything else leaves. */
void mk_stream_step(const struct mk_model *m, const struct mk_work *wk, const struct mk_step *s);
/* h[n_tok][d_model] = rows of a table. */
bool mk_stream_embed(const struct mk_model *m, struct mk_work *wk, float *h,
                     const struct mk_weight *w, const struct mk_step *s) MK_CHECKED;
/* n bytes that were mapped at data, from the file, somewhere in buf, which is aligned to
 * MK_DIRECT_PAGE and holds mk_direct_span(MK_DIRECT_PAGE - 1, n) bytes.  NULL: they cannot be
 * read. */
const uint8_t *mk_stream_read(const struct mk_model *m, const uint8_t *data, size_t n, uint8_t *buf,
                              struct mk_err *err) MK_CHECKED;
struct mk_stream_info {
    struct mk_stream_plan plan;
    struct mk_expert_stats stats;
    size_t ram_bytes, held_bytes;
    double disk_bytes_per_s; /* measured while loading */
};
struct mk_stream_info mk_stream_info(const struct mk_model *m);
#endif
