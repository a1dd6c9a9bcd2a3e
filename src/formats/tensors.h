#ifndef MK_FORMATS_TENSORS_H
#define MK_FORMATS_TENSORS_H
/* Named tensors on disk, without meaning: what safetensors and GGUF have in common.
 * Everything points into read-only mappings and lives until mk_tensors_close(). */
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "quant/quant.h"

#include <stddef.h>
#include <stdint.h>

enum { MK_MAX_DIMS = 4 };

struct mk_tensor {
    const char *name;
    enum mk_type type;
    unsigned n_dims;
    /* Slowest first, as safetensors and PyTorch write them: a matrix is [rows][cols]
     * and dims[n_dims-1] is contiguous.  (GGUF's ne is the reverse.)  A scalar has
     * n_dims 0. */
    size_t dims[MK_MAX_DIMS];
    size_t n_values, n_bytes;
    const uint8_t *data;
    const char *file; /* for messages */
};

struct mk_gguf;
struct mk_tensors {
    struct mk_tensor *list; /* in the order of the file(s) */
    size_t n;
    struct mk_gguf *gguf; /* metadata, NULL for safetensors */
    char *path;           /* as opened */
    struct mk_arena arena;
    struct mk_tensors_priv *priv; /* mappings and the name index */
};

/* Opens, by content and not by name:
 *   a folder      model.safetensors.index.json and its shards, or model.safetensors,
 *                 or a single *.safetensors, or a single *.gguf (or first of a split set)
 *   a file        .safetensors or .gguf; the first of a split GGUF set
 *                 (NAME-00001-of-00003.gguf) opens them all
 * Checks every count, size and offset against the files before use: names unique,
 * data aligned, inside the file and not overlapping, dims non-zero with a product
 * that fits, blocks whole. */
bool mk_tensors_open(struct mk_tensors *out, const char *path, struct mk_err *err) MK_CHECKED;
void mk_tensors_close(struct mk_tensors *t); /* zeroed is valid */
/* NULL when there is no such tensor. */
const struct mk_tensor *mk_tensors_find(const struct mk_tensors *t, const char *name);
/* The files that the tensors lie in, as they are mapped. */
struct mk_tensor_file {
    const char *path;
    struct mk_map map;
};
const struct mk_tensor_file *mk_tensors_files(const struct mk_tensors *t, size_t *n);
/* Which of them holds this address. */
size_t mk_tensors_file_of(const struct mk_tensors *t, const uint8_t *data);
/* The folder that holds path (or path itself if it is one), where config.json,
 * tokenizer.json and the like are looked for.  Valid as long as t. */
const char *mk_tensors_dir(const struct mk_tensors *t);
#endif
