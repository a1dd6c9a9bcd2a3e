#ifndef MK_FORMATS_SAFETENSORS_H
#define MK_FORMATS_SAFETENSORS_H
/* safetensors: 8 bytes little-endian header length, JSON header, data.
 *
 *   {"name": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}, ...}
 *
 * Format: the safetensors README (huggingface/safetensors). */
#include "base/file.h"
#include "formats/tensors.h"

/* Parses one mapped file and appends its tensors to *list (arena memory, *n counted
 * up).  file is used in messages and kept. */
bool mk_safetensors_parse(struct mk_arena *arena, struct mk_tensor **list, size_t *n,
                          const struct mk_map *map, const char *file,
                          struct mk_err *err) MK_CHECKED;

/* Writing: declare all tensors, then give their bytes in the same order. */
struct mk_st_writer;
/* list[i].data is not read here.  metadata: pairs key, value, NULL-terminated, or NULL. */
bool mk_st_writer_open(struct mk_st_writer **out, const char *path, const struct mk_tensor *list,
                       size_t n, const char *const *metadata, struct mk_err *err) MK_CHECKED;
/* Bytes of the next tensor, in one or more pieces that end exactly at its size. */
bool mk_st_writer_add(struct mk_st_writer *w, const void *bytes, size_t n,
                      struct mk_err *err) MK_CHECKED;
/* Fails unless every tensor is complete.  The file appears only on success; frees w
 * in any case. */
bool mk_st_writer_close(struct mk_st_writer *w, struct mk_err *err) MK_CHECKED;
void mk_st_writer_abandon(struct mk_st_writer *w);
#endif
