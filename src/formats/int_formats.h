#ifndef MK_FORMATS_INT_FORMATS_H
#define MK_FORMATS_INT_FORMATS_H
/* What the parsers of this folder share: names and sizes that come from files, and
 * large JSON objects read one entry at a time. */
#include "formats/gguf.h"
#include "formats/tensors.h"

#include <jansson.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "weights are used where they are mapped");

enum { MK_MAX_NAME = 255, MK_MAX_CONFIG_BYTES = 4 << 20 };

/* Text from a file made fit for a message: printable ASCII, the rest as \xNN, cut to
 * the buffer.  Use as mk_show(s, n).s. */
struct mk_shown {
    char s[72];
};
struct mk_shown mk_show(const char *s, size_t n);
struct mk_shown mk_show_str(const char *s);

/* A name of a tensor or a metadata key: 1 to MK_MAX_NAME bytes of UTF-8 without control
 * characters.  what: "tensor name", ... */
bool mk_name_check(const char *s, size_t n, const char *what, const char *file,
                   struct mk_err *err) MK_CHECKED;

/* Sets n_values and n_bytes from type and dims; t->name and t->file are for messages. */
bool mk_tensor_measure(struct mk_tensor *t, struct mk_err *err) MK_CHECKED;
/* Appends *t to an array in the arena that only this function grows. */
void mk_tensor_push(struct mk_arena *arena, struct mk_tensor **list, size_t *n,
                    const struct mk_tensor *t);
/* No two tensors of list[first..last), all of one file, share bytes. */
bool mk_tensors_apart(const struct mk_tensor *list, size_t first, size_t last,
                      struct mk_err *err) MK_CHECKED;

/* Where GGUF data may lie. */
enum {
    MK_GGUF_ALIGNMENT = 32, /* unless general.alignment says otherwise */
    MK_GGUF_MIN_ALIGNMENT = 8,
    MK_GGUF_MAX_ALIGNMENT = 64 << 10,
};
static inline bool mk_gguf_alignment_ok(uint64_t a)
{
    return a >= MK_GGUF_MIN_ALIGNMENT && a <= MK_GGUF_MAX_ALIGNMENT && !(a & (a - 1));
}

/* Bytes of one value of each GGUF type, 0 when it varies. */
extern const uint8_t mk_gguf_type_bytes[MK_GGUF_N_TYPES];
/* Sets the number of kv, whose type is set, from its bytes. */
void mk_gguf_load(struct mk_gguf_kv *kv, const uint8_t *p);

/* Walks the entries of a JSON object without holding all of it: a header of many
 * megabytes costs no more memory than its largest entry.
 *
 *     while (mk_json_next(&w, &more, err) && more)
 *         value = mk_json_value(&w, max_bytes, err) or mk_json_enter(&inner, &w, err) */
struct mk_json_walk {
    const char *text, *p, *end;
    const char *file; /* for messages */
    bool is_first;
    char key[MK_MAX_NAME + 1]; /* of the current entry */
};
bool mk_json_begin(struct mk_json_walk *w, const char *text, size_t n, const char *file,
                   struct mk_err *err) MK_CHECKED;
/* To the next entry; *more is false after the last. */
bool mk_json_next(struct mk_json_walk *w, bool *more, struct mk_err *err) MK_CHECKED;
/* The value of the current entry, at most max_bytes of text; NULL on failure. */
json_t *mk_json_value(struct mk_json_walk *w, size_t max_bytes, struct mk_err *err) MK_CHECKED;
/* The value is an object to be walked by inner; mk_json_leave continues after it. */
bool mk_json_enter(struct mk_json_walk *inner, const struct mk_json_walk *w,
                   struct mk_err *err) MK_CHECKED;
void mk_json_leave(struct mk_json_walk *w, const struct mk_json_walk *inner);
/* Only white space may follow. */
bool mk_json_end(struct mk_json_walk *w, struct mk_err *err) MK_CHECKED;
#endif
