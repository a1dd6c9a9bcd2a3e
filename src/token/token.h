#ifndef MK_TOKEN_TOKEN_H
#define MK_TOKEN_TOKEN_H
/* Byte-level BPE: text to token ids and back.
 *
 *   text -> cut at special tokens -> NFC (qwen2) -> pre-split by the family's regexes
 *        -> bytes -> merges by rank, leftmost first -> ids
 *
 * A tokenizer is read-only after opening and may be shared by threads, each with its
 * own mk_token_stream. */
#include "base/err.h"
#include "base/str.h"
#include "formats/gguf.h"
#include "formats/tensors.h"

#include <stddef.h>
#include <stdint.h>

struct mk_tokenizer;

struct mk_ids {
    int32_t *v;
    size_t n, cap;
};
void mk_ids_add(struct mk_ids *ids, int32_t id);
void mk_ids_append(struct mk_ids *ids, const int32_t *v, size_t n);
void mk_ids_release(struct mk_ids *ids); /* zeroed is valid and empty */

/* From tokenizer.json, or from the tokenizer.ggml.* keys of a GGUF file.  The
 * pre-tokenizer is recognised by its regexes (or tokenizer.ggml.pre); an unknown one is
 * named in the error.  A tokenizer_config.json beside tokenizer.json (NULL: none) gives
 * bos, eos, add_bos and the chat template; chat_template.jinja beside it serves too. */
bool mk_tokenizer_open_json(struct mk_tokenizer **out, const char *tokenizer_json,
                            const char *tokenizer_config_json, struct mk_err *err) MK_CHECKED;
bool mk_tokenizer_open_gguf(struct mk_tokenizer **out, const struct mk_gguf *g, const char *file,
                            struct mk_err *err) MK_CHECKED;
/* The tokenizer of a checkpoint: from its GGUF metadata, or tokenizer.json beside it. */
bool mk_tokenizer_open(struct mk_tokenizer **out, const struct mk_tensors *t,
                       struct mk_err *err) MK_CHECKED;
/* From the text of a tokenizer.json (fuzzing, embedded model).  file: for messages. */
bool mk_tokenizer_parse(struct mk_tokenizer **out, const char *json, size_t n, const char *file,
                        struct mk_err *err) MK_CHECKED;
void mk_tokenizer_free(struct mk_tokenizer *t);

enum {
    MK_TOK_SPECIAL = 1, /* text may produce special tokens: only for text that we wrote */
    MK_TOK_BOS = 2,     /* put the BOS token in front if the tokenizer says so */
};
/* Appends the ids of text[0..n).  Without MK_TOK_SPECIAL, "<|User|>" and the like in the
 * text become ordinary tokens.  Invalid UTF-8 bytes are read as U+FFFD. */
void mk_tokenize(const struct mk_tokenizer *t, const char *text, size_t n, unsigned flags,
                 struct mk_ids *out);

/* Bytes of one token (may be part of a character).  Special tokens give their text.
 * NULL and *n = 0 for ids without text. */
const char *mk_token_bytes(const struct mk_tokenizer *t, int32_t id, size_t *n);
/* Appends the text of ids; malformed bytes become U+FFFD.  with_special: keep the text of
 * special tokens. */
void mk_detokenize(const struct mk_tokenizer *t, const int32_t *ids, size_t n, bool with_special,
                   struct mk_str *out);

/* Streaming: appends to out the text that is complete, holds back the beginning of a
 * character.  Zeroed is a fresh stream.  _end flushes what is left as U+FFFD. */
struct mk_token_stream {
    char held[4];
    unsigned n_held;
};
void mk_token_stream_add(struct mk_token_stream *s, const struct mk_tokenizer *t, int32_t id,
                         bool with_special, struct mk_str *out);
void mk_token_stream_end(struct mk_token_stream *s, struct mk_str *out);

/* What it knows. */
int32_t mk_token_count(const struct mk_tokenizer *t); /* highest id + 1 */
int32_t mk_token_find(const struct mk_tokenizer *t,
                      const char *text); /* special or whole token, -1 */
bool mk_token_is_special(const struct mk_tokenizer *t, int32_t id);
/* Special, or like "<think>" shown as text: tokenizing gives it with MK_TOK_SPECIAL only. */
bool mk_token_is_tag(const struct mk_tokenizer *t, int32_t id);
int32_t mk_token_bos(const struct mk_tokenizer *t); /* -1: none */
int32_t mk_token_eos(const struct mk_tokenizer *t);
bool mk_token_adds_bos(const struct mk_tokenizer *t);
const char *mk_tokenizer_pre(const struct mk_tokenizer *t);      /* "deepseek-v3", "qwen2", ... */
const char *mk_tokenizer_template(const struct mk_tokenizer *t); /* chat_template text or NULL */

/* For convert: the same tokenizer as GGUF metadata, and as tokenizer.json text. */
void mk_tokenizer_put_gguf(const struct mk_tokenizer *t, int32_t n_vocab, struct mk_gguf_writer *w);
void mk_tokenizer_put_json(const struct mk_tokenizer *t, struct mk_str *out);
/* tokenizer_config.json: bos, eos, padding, add_bos and the template. */
void mk_tokenizer_put_config(const struct mk_tokenizer *t, struct mk_str *out);
#endif
