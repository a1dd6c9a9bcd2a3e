#ifndef MK_FORMATS_CONFIG_H
#define MK_FORMATS_CONFIG_H
/* A model's numbers, from config.json beside safetensors or from GGUF metadata: one
 * look-up for both.  A Hugging Face key is a path ("rope_scaling.factor"); a GGUF key
 * is written without the architecture prefix ("rope.scaling.factor" finds
 * "deepseek2.rope.scaling.factor"), or with a leading '.' when it has none
 * (".tokenizer.ggml.model"). */
#include "formats/gguf.h"
#include "formats/tensors.h"

struct mk_config {
    char *arch; /* model_type of config.json, or general.architecture */
    bool is_gguf;
    const struct mk_gguf *gguf; /* keeps a borrowed pointer: close after */
    void *json;                 /* json_t *, NULL for GGUF */
    char *file;                 /* for messages */
};
bool mk_config_open(struct mk_config *out, const struct mk_tensors *t,
                    struct mk_err *err) MK_CHECKED;
/* From a config.json, and generation_config.json beside it, where there are no weights. */
bool mk_config_open_json(struct mk_config *out, const char *path, struct mk_err *err) MK_CHECKED;
/* From config.json text alone (fuzzing, tests). */
bool mk_config_parse(struct mk_config *out, const char *text, size_t n, const char *file,
                     struct mk_err *err) MK_CHECKED;
void mk_config_close(struct mk_config *c);

/* hf or gguf may be NULL: no such key in that world.  A key that is missing or null
 * gives `missing`; a value of the wrong kind or outside [lo, hi] fails and names file,
 * key and value. */
bool mk_config_has(const struct mk_config *c, const char *hf, const char *gguf);
bool mk_config_int(const struct mk_config *c, const char *hf, const char *gguf, int64_t lo,
                   int64_t hi, int64_t missing, int64_t *out, struct mk_err *err) MK_CHECKED;
/* The same, but a missing key fails. */
bool mk_config_need(const struct mk_config *c, const char *hf, const char *gguf, int64_t lo,
                    int64_t hi, int64_t *out, struct mk_err *err) MK_CHECKED;
bool mk_config_float(const struct mk_config *c, const char *hf, const char *gguf, double lo,
                     double hi, double missing, double *out, struct mk_err *err) MK_CHECKED;
bool mk_config_bool(const struct mk_config *c, const char *hf, const char *gguf, bool missing,
                    bool *out, struct mk_err *err) MK_CHECKED;
/* Copies at most size - 1 bytes; a longer value fails.  missing may be "". */
bool mk_config_str(const struct mk_config *c, const char *hf, const char *gguf, const char *missing,
                   char *out, size_t size, struct mk_err *err) MK_CHECKED;
/* An integer or a list of integers (eos_token_id); *n is 0 when missing, at most max. */
bool mk_config_ints(const struct mk_config *c, const char *hf, const char *gguf, int64_t lo,
                    int64_t hi, int64_t *out, size_t max, size_t *n, struct mk_err *err) MK_CHECKED;

/* Writes a json_t as DIR/NAME, indented, doubles with at most 15 digits. */
bool mk_json_write(const char *dir, const char *name, const void *json,
                   struct mk_err *err) MK_CHECKED;
/* Doubles that were 32-bit floats once become the shortest decimals that say the same: 1e-6 comes
 * back as 9.99999997e-07, ten times 0.0707 as 0.70699997.  json: an object; goes into objects. */
void mk_json_shorten(void *json);
#endif
