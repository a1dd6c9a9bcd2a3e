#ifndef MK_ENGINE_INT_PREFIX_H
#define MK_ENGINE_INT_PREFIX_H
/* Blocks of keys and values as files (prefix_file.c), for the tree of prefix.c.
 *
 * Whoever can write in the folder could make the model answer what he likes, so nothing in it is
 * believed: a file's name is a keyed hash of its head, the parent's name among it, and its last 32
 * bytes are a keyed hash of all before them.  The key is a file too, which only the user can
 * read.  Names tell nobody who lacks it which prompts there are.
 *
 *   0  "minkekv1" | 8 model [32] | 40 owner u64 | 48 parent [16] | 64 n u32 | 68 ids i32 [64]
 *   324 rows [n * bytes of a token] | HMAC-SHA256 [32]                       little-endian */
#include "base/folder.h"
#include "engine/engine.h"

enum { MK_BLOCK_TOKS = 64, MK_BLOCK_HEAD = 324, MK_BLOCK_MAC = 32 };

struct mk_block_name {
    uint8_t v[16]; /* all zero: none */
};
struct mk_block_head {
    uint64_t owner;
    struct mk_block_name parent;
    size_t n; /* 1..MK_BLOCK_TOKS */
    int32_t ids[MK_BLOCK_TOKS];
};
struct mk_block_folder {
    char *path;
    struct mk_lock lock;
    uint8_t key[32], model[32];
    size_t tok_bytes; /* of the rows of one token */
};
/* model: what tells it from all others.  path is made if need be. */
bool mk_block_folder_open(struct mk_block_folder *f, const char *path, const uint8_t model[32],
                          size_t tok_bytes, struct mk_err *err) MK_CHECKED;
void mk_block_folder_close(struct mk_block_folder *f); /* zeroed is valid */

struct mk_block_file {
    struct mk_block_name name;
    struct mk_block_head head;
    int64_t changed_ns;
};
/* All blocks that are there, oldest first, to free(); others are removed and counted. */
bool mk_block_folder_list(const struct mk_block_folder *f, struct mk_block_file **out, size_t *n,
                          size_t *n_removed, struct mk_err *err) MK_CHECKED;
struct mk_block_name mk_block_name_of(const struct mk_block_folder *f,
                                      const struct mk_block_head *h);
size_t mk_block_file_bytes(const struct mk_block_folder *f, size_t n_toks);
bool mk_block_write(const struct mk_block_folder *f, const struct mk_block_head *h,
                    const uint8_t *rows, struct mk_err *err) MK_CHECKED;
/* rows [h->n * tok_bytes]; fails unless the file holds that block and is undamaged. */
bool mk_block_read(const struct mk_block_folder *f, const struct mk_block_head *h, uint8_t *rows,
                   struct mk_err *err) MK_CHECKED;
void mk_block_remove(const struct mk_block_folder *f, const struct mk_block_name *name);
/* The head in bytes[0..MK_BLOCK_HEAD).  False: it is none, or of another model. */
bool mk_block_head_parse(struct mk_block_head *out, const struct mk_block_folder *f,
                         const uint8_t *bytes);

/* What tells a model and its arithmetic from all others: names, types, shapes and samples of its
 * weights, sizes and times of its files, instruction set, type of keys and values, version. */
void mk_engine_fingerprint(const struct mk_engine *e, uint8_t out[32]);
#endif
