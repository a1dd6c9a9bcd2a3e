#ifndef MK_TOKEN_TRAIN_H
#define MK_TOKEN_TRAIN_H
/* Learns a vocabulary: byte-level BPE (Sennrich, Haddow, Birch 2016; bytes as in GPT-2).
 *
 * The text is cut into words by the pre-tokenizer's regexes and words are counted.  Every word
 * begins as its bytes; the pair of neighbours that occurs most often becomes a token, again and
 * again, until the vocabulary is full.  Of pairs that occur equally often the one with the
 * lowest ids is taken: the same texts, in any order, give the same tokenizer.
 *
 *   id 0, 1, 2     BOS, EOS, padding
 *      3 .. 258    the bytes 0 .. 255
 *      259 ..      what merges make, in the order found
 *      the last    the other special tokens                                                   */
#include "token/token.h"

/* Characters for mk_bpe_options.single: what numbers and formulas are made of. */
#define MK_BPE_SINGLE "0123456789+-*/=<>():;,.?!"

/* BOS, EOS, padding, <｜User｜>, <｜Assistant｜>, <think>, </think>; NULL-terminated. */
extern const char *const mk_deepseek_specials[];
/* A Jinja text that renders DeepSeek-V3.1's format (chat/deepseek_v3_1.c does the same in C),
 * with the variable thinking; tools' descriptions are not part of it. */
extern const char mk_deepseek_jinja[];

struct mk_bpe_options { /* strings are borrowed for the trainer's life */
    size_t n_vocab;     /* all tokens */
    const char *pre;    /* a name of pre.def; NULL: "deepseek-v3" */
    /* ASCII characters that are part of no merge; NULL: none.  A rule of the choice of merges
     * alone, so any program that reads the file gives the same ids. */
    const char *single;
    const char *const *specials; /* the first three as above; NULL: mk_deepseek_specials */
    const char *chat_template;   /* NULL: mk_deepseek_jinja */
};

struct mk_bpe_trainer;
bool mk_bpe_trainer_new(struct mk_bpe_trainer **out, const struct mk_bpe_options *o,
                        struct mk_err *err) MK_CHECKED;
void mk_bpe_trainer_free(struct mk_bpe_trainer *t); /* NULL is fine */
/* Counts the words of a text: about 20 MB/s.  Words of more than 1 KB are left out; malformed
 * UTF-8 is read as U+FFFD.  Fails over 1 GB of different words. */
bool mk_bpe_trainer_add(struct mk_bpe_trainer *t, const char *text, size_t n,
                        struct mk_err *err) MK_CHECKED;
/* Finds the merges and makes the tokenizer.  Only pairs that occur twice or more are taken:
 * fails, saying how many there are, when those do not fill the vocabulary.  progress: NULL, or
 * called after each new token. */
typedef void mk_bpe_progress_fn(void *arg, size_t done, size_t total);
bool mk_bpe_trainer_run(const struct mk_bpe_trainer *t, mk_bpe_progress_fn *progress, void *arg,
                        struct mk_tokenizer **out, struct mk_err *err) MK_CHECKED;
#endif
