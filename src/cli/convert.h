#ifndef MK_CLI_CONVERT_H
#define MK_CLI_CONVERT_H
/* Private to convert and quantize: from one checkpoint to another of either format.
 *
 *   items    the source's tensors by family name and layer, experts together
 *   plan     the target's tensors: name, shape, type, and how to make each from items
 *   produce  their bytes, a window at a time on all threads
 *   write    the files, with metadata, tokenizer and settings
 *
 * Memory is bounded by a window of the output whatever the size of a tensor. */
#include "base/thread.h"
#include "model/names.h"
#include "tensor/tensor.h"

#include <jansson.h>

/* ---- items ------------------------------------------------------------------------ */

/* What GGUF calls one tensor: part[i] is expert i of a stacked one, else n_part is 1.  A
 * vector of n values is n rows of one. */
struct mk_item {
    const struct mk_name *name;
    long layer; /* -1: none */
    struct mk_weight *part;
    size_t n_part;
    bool is_vector;
};
struct mk_items {
    struct mk_item *v; /* ends, then layer by layer, each in the order of the names */
    size_t n;
    size_t n_skipped;    /* tensors that the family does not know or that no layer uses */
    const char *skipped; /* one of them */
};
/* Borrows m; memory from the arena. */
bool mk_items_find(struct mk_items *out, const struct mk_model *m, struct mk_arena *arena,
                   struct mk_err *err) MK_CHECKED;
/* NULL if there is none of that kind in that layer. */
const struct mk_item *mk_items_get(const struct mk_items *items, enum mk_name_kind kind,
                                   long layer);

/* ---- types ------------------------------------------------------------------------ */

/* What --type says: keep every value, one type for all matrices, or a named mixture. */
struct mk_recipe {
    const char *name;  /* as printed */
    bool keeps;        /* the type of each tensor */
    enum mk_type type; /* of the matrices */
    int mix;           /* index into the mixtures, -1: none */
    int file_type;     /* GGUF's general.file_type */
};
/* NULL names "keep".  has_mixes: Q4_K_M and the like are allowed. */
bool mk_recipe_find(struct mk_recipe *out, const char *name, bool has_mixes,
                    struct mk_err *err) MK_CHECKED;
/* Names that mk_recipe_find takes, for help: "Q4_K_M, ..." */
const char *mk_recipe_mixes(void);
/* GGUF's general.file_type for a file of this type, -1 if there is none. */
int mk_file_type(enum mk_type t);
/* The type of a matrix of n_cols columns called name in GGUF.  *wanted is what the recipe
 * asked for before the length of rows was considered. */
struct mk_type_query {
    const char *gguf;
    long layer;
    size_t n_layer, n_cols;
    bool has_output; /* else the embedding is also the output */
    bool is_bf16;    /* the source's own type, for rows that no block divides */
};
enum mk_type mk_recipe_type(const struct mk_recipe *r, const struct mk_type_query *q,
                            enum mk_type *wanted);

/* ---- plan ------------------------------------------------------------------------- */

enum mk_make {
    MK_MAKE_ROWS,       /* the parts' rows in order */
    MK_MAKE_INTERLEAVE, /* rows of a head of d: 0, d/2, 1, d/2 + 1, ... */
    MK_MAKE_SPLIT,      /* and back */
    MK_MAKE_K_B,        /* from kv_b */
    MK_MAKE_V_B,
    MK_MAKE_KV_B,  /* from k_b (from) and v_b (from2) */
    MK_MAKE_VALUES /* values; when they are the scales of an F8 tensor, that comes before */
};
struct mk_target {
    struct mk_tensor t; /* no data */
    enum mk_make make;
    const struct mk_item *from, *from2;
    size_t part, n_part; /* of from */
    size_t n_rows, n_cols;
    size_t n_group; /* rows of a head, for the makes that need it */
    float *values;
    float *scales;       /* F8 that is encoded: one for each 128 x 128, filled meanwhile */
    enum mk_type wanted; /* differs from t.type where rows are too short for it */
};
struct mk_convert {
    struct mk_model model; /* the source */
    struct mk_pool *pool;
    struct mk_arena arena;
    struct mk_items items;
    struct mk_heads heads;
    struct mk_recipe recipe;
    bool to_gguf, is_mla; /* is_mla: GGUF with attn_k_b and attn_v_b */
    struct mk_target *v;
    size_t n;
    size_t n_bytes; /* of all targets */
};
/* is_mla: 1, 0, or -1 for the source's own layout (the new one from safetensors). */
bool mk_convert_plan(struct mk_convert *c, int is_mla, struct mk_err *err) MK_CHECKED;

/* ---- produce ---------------------------------------------------------------------- */

/* Gives the bytes of a target in pieces. */
typedef bool mk_sink_fn(void *arg, const void *bytes, size_t n, struct mk_err *err);
bool mk_produce(struct mk_convert *c, struct mk_target *t, mk_sink_fn *sink, void *arg,
                struct mk_err *err) MK_CHECKED;
/* Whether every value of the item is a number of type (F16 or BF16). */
bool mk_item_fits(const struct mk_convert *c, const struct mk_item *item, enum mk_type type);

/* ---- write ------------------------------------------------------------------------ */

bool mk_write_gguf(struct mk_convert *c, const char *path, struct mk_err *err) MK_CHECKED;
bool mk_write_folder(struct mk_convert *c, const char *dir, size_t shard_bytes,
                     struct mk_err *err) MK_CHECKED;
/* GGUF's metadata, complete. */
bool mk_put_metadata(const struct mk_convert *c, struct mk_gguf_writer *w,
                     struct mk_err *err) MK_CHECKED;
/* config.json of the target as a new reference; NULL on failure. */
json_t *mk_make_config(const struct mk_convert *c, struct mk_err *err) MK_CHECKED;
/* generation_config.json and the tokenizer's files. */
bool mk_write_settings(const struct mk_convert *c, const char *dir, struct mk_err *err) MK_CHECKED;

/* All of it: plans, writes, opens what was written and compares the numbers of the two
 * models.  report: called between (may be NULL). */
struct mk_convert_options {
    const char *source, *target, *type, *mla; /* type, mla: NULL is the default */
    bool has_mixes;
    size_t shard_bytes; /* 0: 5 GB */
    unsigned n_threads; /* 0: all */
};
bool mk_convert_run(const struct mk_convert_options *o, void (*report)(const struct mk_convert *c),
                    struct mk_err *err) MK_CHECKED;
#endif
