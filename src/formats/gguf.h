#ifndef MK_FORMATS_GGUF_H
#define MK_FORMATS_GGUF_H
/* GGUF versions 2 and 3, little-endian: metadata (typed key-value pairs), tensor
 * directory, aligned data.  Format: ggml/docs/gguf.md. */
#include "base/file.h"
#include "formats/tensors.h"

enum mk_gguf_type {
    MK_GGUF_U8,
    MK_GGUF_I8,
    MK_GGUF_U16,
    MK_GGUF_I16,
    MK_GGUF_U32,
    MK_GGUF_I32,
    MK_GGUF_F32,
    MK_GGUF_BOOL,
    MK_GGUF_STR,
    MK_GGUF_ARRAY,
    MK_GGUF_U64,
    MK_GGUF_I64,
    MK_GGUF_F64,
    MK_GGUF_N_TYPES
};

struct mk_gguf_str {
    const char *s; /* not NUL-terminated, may hold any bytes */
    size_t n;
};

struct mk_gguf_kv {
    const char *key; /* NUL-terminated copy */
    enum mk_gguf_type type;
    union {
        uint64_t u; /* unsigned, bool */
        int64_t i;
        double f;
        struct mk_gguf_str str;
        struct {
            enum mk_gguf_type type; /* not ARRAY */
            size_t n;
            const uint8_t *data;            /* n packed numbers, NULL for strings */
            const struct mk_gguf_str *strs; /* n strings when type is STR */
        } array;
    };
};

struct mk_gguf {
    uint32_t version;
    size_t alignment;
    struct mk_gguf_kv *kv;
    size_t n_kv;
};

bool mk_gguf_parse(struct mk_arena *arena, struct mk_gguf *meta, struct mk_tensor **list, size_t *n,
                   const struct mk_map *map, const char *file, struct mk_err *err) MK_CHECKED;
const struct mk_gguf_kv *mk_gguf_find(const struct mk_gguf *g, const char *key);
/* Typed look-ups: false when the key is missing, has another type or does not fit.
 * Any integer type serves for integers, F32 and F64 for floats. */
bool mk_gguf_u64(const struct mk_gguf *g, const char *key, uint64_t *out);
bool mk_gguf_f64(const struct mk_gguf *g, const char *key, double *out);
bool mk_gguf_bool(const struct mk_gguf *g, const char *key, bool *out);
bool mk_gguf_str(const struct mk_gguf *g, const char *key, struct mk_gguf_str *out);
/* Element i of a numeric array as a number. */
double mk_gguf_at(const struct mk_gguf_kv *kv, size_t i);

/* Writing: metadata, then the directory, then data in the same order. */
struct mk_gguf_writer;
bool mk_gguf_writer_open(struct mk_gguf_writer **out, const char *path,
                         struct mk_err *err) MK_CHECKED;
void mk_gguf_put_u32(struct mk_gguf_writer *w, const char *key, uint32_t v);
void mk_gguf_put_u64(struct mk_gguf_writer *w, const char *key, uint64_t v);
void mk_gguf_put_f32(struct mk_gguf_writer *w, const char *key, float v);
void mk_gguf_put_bool(struct mk_gguf_writer *w, const char *key, bool v);
void mk_gguf_put_str(struct mk_gguf_writer *w, const char *key, const char *s, size_t n);
void mk_gguf_put_strs(struct mk_gguf_writer *w, const char *key, const struct mk_gguf_str *s,
                      size_t n);
void mk_gguf_put_i32s(struct mk_gguf_writer *w, const char *key, const int32_t *v, size_t n);
void mk_gguf_put_f32s(struct mk_gguf_writer *w, const char *key, const float *v, size_t n);
void mk_gguf_put_kv(struct mk_gguf_writer *w, const struct mk_gguf_kv *kv); /* copies any pair */
/* Ends the metadata and writes the directory; list[i].data is not read. */
bool mk_gguf_writer_tensors(struct mk_gguf_writer *w, const struct mk_tensor *list, size_t n,
                            struct mk_err *err) MK_CHECKED;
bool mk_gguf_writer_add(struct mk_gguf_writer *w, const void *bytes, size_t n,
                        struct mk_err *err) MK_CHECKED;
bool mk_gguf_writer_close(struct mk_gguf_writer *w, struct mk_err *err) MK_CHECKED; /* frees w */
void mk_gguf_writer_abandon(struct mk_gguf_writer *w);
#endif
