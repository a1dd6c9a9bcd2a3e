#ifndef MK_TOKEN_INT_TOKEN_H
#define MK_TOKEN_INT_TOKEN_H
/* Private to token/.  The parts of a tokenizer, each with its file:
 *
 *   vocab.c   ids and their bytes, the table bytes -> id, the merges
 *   added.c   tries of added tokens, leftmost longest match
 *   nfc.c     Unicode normalisation form C
 *   pretok.c  the families of pre.def: text -> pieces
 *   bpe.c     piece -> ids
 *   token.c   all of it in order, and back
 *   json.c    finds the two large tables of a tokenizer.json without building a tree
 *   from_json.c, from_gguf.c, write.c   in and out
 *   train.c, learn.c   makes a vocabulary (int_train.h); deepseek.c what it speaks */
#include "base/mem.h"
#include "token/token.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* ---- vocab.c ---- */
enum mk_token_kind {
    MK_KIND_NONE,    /* an id without text */
    MK_KIND_BYTES,   /* made of bytes: what merges work on */
    MK_KIND_RAW,     /* in the vocabulary, but not in the byte alphabet: only decoded */
    MK_KIND_ADDED,   /* matched in the text, kept when decoding: "<think>", "ø" */
    MK_KIND_CONTROL, /* matched in the text, hidden when decoding: "<|User|>" */
};

struct mk_vocab_slot {
    uint32_t hash;
    int32_t id; /* -1: free */
};
struct mk_merge {
    int32_t left, right, id;
};
struct mk_merge_slot {
    int32_t left, right; /* left -1: free */
    uint32_t rank;
    int32_t id;
};
struct mk_vocab {
    int32_t n, cap; /* highest id with text + 1 */
    struct mk_vocab_span {
        uint32_t at, len;
    } * span;      /* [n], into text */
    uint8_t *kind; /* [n] enum mk_token_kind */
    struct mk_str text;
    uint64_t seed; /* of both tables: colliding keys cannot be prepared in a file */

    struct mk_vocab_slot *slots; /* open addressing, at most half full */
    size_t slot_mask;
    size_t longest; /* bytes of the longest MK_KIND_BYTES token */
    int32_t byte_id[256];

    struct mk_merge *merges; /* [n_merges] in order of rank */
    size_t n_merges, cap_merges;
    struct mk_merge_slot *merge_slots;
    size_t merge_mask;
};
void mk_vocab_release(struct mk_vocab *v);
/* Sets an id; text is in the byte alphabet for MK_KIND_BYTES (which becomes MK_KIND_RAW
 * if it is not) and plain otherwise.  A vocabulary entry may be turned into an added
 * token of the same text.  False: the id has another text. */
bool mk_vocab_put(struct mk_vocab *v, int32_t id, enum mk_token_kind kind, const char *text,
                  size_t n);
/* Builds the table bytes -> id; every byte that UTF-8 can hold must have a token. */
bool mk_vocab_index(struct mk_vocab *v, const char *file, struct mk_err *err) MK_CHECKED;
/* The next merge, in the byte alphabet; file: for messages. */
bool mk_vocab_add_merge(struct mk_vocab *v, const char *left, size_t n_left, const char *right,
                        size_t n_right, const char *file, struct mk_err *err) MK_CHECKED;
void mk_vocab_index_merges(struct mk_vocab *v);
int32_t mk_vocab_find(const struct mk_vocab *v, const char *bytes, size_t n); /* -1: none */
/* NULL if the pair does not merge. */
const struct mk_merge_slot *mk_vocab_merge(const struct mk_vocab *v, int32_t left, int32_t right);

/* The printable stand-ins of bytes (GPT-2): 33-126, 161-172 and 174-255 stand for
 * themselves, the other 68 bytes in order for U+0100... */
void mk_alphabet_encode(struct mk_str *out, const char *bytes, size_t n);
/* Writes at most n bytes; SIZE_MAX if a character is not in the alphabet. */
size_t mk_alphabet_decode(char *out, const char *s, size_t n);
/* A start of s fit for one line of a message. */
struct mk_token_shown {
    char s[128];
};
struct mk_token_shown mk_token_show(const char *s, size_t n);

/* ---- added.c ---- */
struct mk_added {
    int32_t id;
    bool is_special; /* the file's "special" */
    bool is_text;    /* ordinary text that happens to be an added token: always matched */
    bool normalized; /* matched after normalisation, else before */
    bool lstrip, rstrip;
};
struct mk_trie {
    struct mk_trie_node {
        uint32_t child, next; /* 0: none */
        int32_t added;        /* index into the list of added tokens, -1 */
        uint8_t byte;
    } * nodes;
    uint32_t n, cap;
    bool starts[256]; /* bytes that begin a token */
};
struct mk_match {
    size_t from, to;
    const struct mk_added *added;
};
enum { MK_ADDED_BYTES = 512 }; /* the longest added token: bounds the time of a match */
void mk_trie_add(struct mk_trie *t, const char *s, size_t n, int32_t added);
/* The first match at or after at, the longest there.  all: not only is_text ones. */
bool mk_trie_find(const struct mk_trie *t, const struct mk_added *list, bool all, const char *s,
                  size_t n, size_t at, struct mk_match *out);
bool mk_looks_control(const char *s, size_t n); /* "<|...|>", with either kind of bar */
bool mk_is_think_tag(const char *s, size_t n);
bool mk_is_one_char(const char *s, size_t n);

/* ---- nfc.c ---- */
bool mk_nfc_is_plain(const char *s, size_t n);            /* surely unchanged by mk_nfc */
void mk_nfc(struct mk_str *out, const char *s, size_t n); /* appends; s is valid UTF-8 */

/* ---- pretok.c ---- */
enum { MK_PRE_RULES = 8, MK_PRE_NAMES = 3 };
struct mk_pre {
    struct mk_pre_name {
        const char *name; /* value of tokenizer.ggml.pre */
        bool adds_bos;    /* what a GGUF file means that does not say it */
    } names[MK_PRE_NAMES];
    bool nfc, ignore_merges;         /* the same */
    const char *rules[MK_PRE_RULES]; /* as in tokenizer.json, applied in this order */
};
bool mk_pre_by_name(const struct mk_pre **pre, const struct mk_pre_name **name, const char *s,
                    size_t n);
/* rules: the texts of a tokenizer.json.  NULL: unknown. */
const struct mk_pre *mk_pre_by_rules(const char *const *rules, size_t n);
void mk_pre_list(struct mk_str *out); /* the names, for messages */

struct mk_pre_splitter {
    pcre2_code *rules[MK_PRE_RULES];
    unsigned n;
    pcre2_general_context *memory;
    pcre2_match_context *context;
};
void mk_splitter_init(struct mk_pre_splitter *s, const struct mk_pre *pre);
void mk_splitter_release(struct mk_pre_splitter *s);
typedef void mk_piece_fn(void *arg, const char *s, size_t n);
pcre2_match_data *mk_splitter_scratch(
    const struct mk_pre_splitter *s); /* pcre2_match_data_free() */
/* text must be valid UTF-8.  Threads may share s, each with its own scratch. */
void mk_split(const struct mk_pre_splitter *s, pcre2_match_data *scratch, const char *text,
              size_t n, mk_piece_fn *fn, void *arg);

/* ---- bpe.c ---- */
struct mk_bpe_work { /* zeroed is valid and empty; grows with the longest piece */
    uint64_t *heap;
    struct mk_bpe_sym *syms;
    size_t cap;
};
void mk_bpe_work_release(struct mk_bpe_work *w);
void mk_bpe(const struct mk_tokenizer *t, struct mk_bpe_work *w, const char *piece, size_t n,
            struct mk_ids *out);

/* ---- token.c ---- */
struct mk_tokenizer {
    struct mk_vocab vocab;
    struct mk_added *added; /* sorted by id: of equal texts the lowest is found */
    size_t n_added, cap_added;
    struct mk_trie raw, normalized; /* by mk_added.normalized */
    const struct mk_pre *pre;
    const char *pre_name; /* one of pre->names */
    struct mk_pre_splitter splitter;
    bool nfc, ignore_merges, adds_bos;
    int32_t bos, eos, pad; /* -1: none */
    char *chat_template;
    /* [n] what merging the bytes of a token gives: 0 not known yet, 1 the token, 2 other
     * tokens.  Filled in use; any thread computes the same. */
    _Atomic uint8_t *whole;
};
struct mk_tokenizer *mk_tokenizer_new(void);
/* Puts the token into the vocabulary and the list; fails if its text is empty, over
 * MK_ADDED_BYTES, or if the id has another text. */
bool mk_tokenizer_add(struct mk_tokenizer *t, const struct mk_added *a, const char *text, size_t n,
                      const char *file, struct mk_err *err) MK_CHECKED;
/* After the vocabulary and the merges: tries, pre-tokenizer. */
void mk_tokenizer_finish(struct mk_tokenizer *t);

/* ---- json.c ---- */
struct mk_scan {
    const char *text;
    size_t n, at;
    const char *file;
    struct mk_err *err;
};
struct mk_json_tables {
    struct mk_json_span {
        size_t from, to; /* from 0: missing */
    } vocab, merges;
};
/* Where the values of model.vocab and model.merges are.  Brackets are only counted: the
 * rest of the text is checked by whoever parses it. */
bool mk_json_find_tables(const struct mk_scan *file, struct mk_json_tables *out) MK_CHECKED;
/* Strict reading of small pieces; white space in front is skipped. */
bool mk_scan_fail(const struct mk_scan *s, const char *want);
bool mk_scan_is(struct mk_scan *s, char c); /* takes c if it is next */
bool mk_scan_expect(struct mk_scan *s, char c) MK_CHECKED;
bool mk_scan_string(struct mk_scan *s, struct mk_str *out) MK_CHECKED; /* replaces *out */
bool mk_scan_id(struct mk_scan *s, int32_t *out) MK_CHECKED;
void mk_json_quote(struct mk_str *out, const char *s, size_t n);
#endif
