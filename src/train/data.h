#ifndef MK_TRAIN_DATA_H
#define MK_TRAIN_DATA_H
/* Sequences to learn from.  A sequence is a list of tokens and for each a weight: how much the
 * loss of predicting it counts (0: only read).  Sources give sequences by number, so the whole
 * state of a source is a counter that fits a checkpoint. */
#include "base/err.h"
#include "base/file.h"
#include "base/str.h"
#include "token/token.h"
#include "train/task.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Sequences one after the other; sequence i is tok[start[i]] .. tok[start[i + 1] - 1]. */
struct mk_seqs { /* zeroed is valid and empty */
    int32_t *tok;
    float *weight; /* of predicting tok[i]; the first of a sequence has 0 */
    size_t n_tok, cap_tok;
    size_t *start; /* [n + 1]; NULL while nothing was added */
    size_t n, cap;
};
void mk_seqs_release(struct mk_seqs *s);
void mk_seqs_clear(struct mk_seqs *s);
/* weight NULL: every token counts.  The first token's weight becomes 0. */
void mk_seqs_add(struct mk_seqs *s, const int32_t *tok, const float *weight, size_t n);
/* A sequence in parts: _put appends tokens of one weight, _end closes the sequence. */
void mk_seqs_put(struct mk_seqs *s, const int32_t *tok, size_t n, float weight);
void mk_seqs_end(struct mk_seqs *s);
void mk_seqs_drop(struct mk_seqs *s); /* takes the last whole sequence away again */
static inline size_t mk_seqs_len(const struct mk_seqs *s, size_t i)
{
    return s->start[i + 1] - s->start[i];
}

/* A source gives the same sequences for the same options: number i depends on nothing else. */
struct mk_source_fns {
    /* Appends sequence i, of two tokens or more; false after the last. */
    bool (*get)(void *self, uint64_t i, struct mk_seqs *out);
    void (*close)(void *self);
};
struct mk_source { /* by value; zeroed is "none" */
    const struct mk_source_fns *fns;
    void *self;
    uint64_t cursor; /* number of the next sequence */
    size_t n_epoch;  /* sequences of an epoch; 0: endless */
    char *about;     /* for the log: what it is, how much */
};
/* The source must have been opened for sequences of at most n_ctx tokens. */
bool mk_source_next(struct mk_source *s, struct mk_seqs *out, size_t n_ctx);
void mk_source_seek(struct mk_source *s, uint64_t cursor); /* costs nothing */
void mk_source_close(struct mk_source *s);

/* ---- files -------------------------------------------------------------------------------
 * JSONL, one object a line, in one of three forms (all lines of a file the same):
 *   {"text": "..."}                          every token counts; end token added
 *   {"prompt": "...", "completion": "..."}   the completion counts; chat template around both
 *   {"messages": [...]}                      the assistant's turns count (thoughts included)
 * or a token file .bin (see below): every token counts.
 *
 * A thought is given as reasoning_content, or stands in the text before "</think>".  A
 * conversation is one sequence as long as each turn's prompt continues the one before; a
 * template that leaves old thoughts out of prompts makes a sequence for each such turn.
 *
 * Documents longer than n_ctx are cut into pieces that share one token, so that each token but
 * the first is predicted once.  A conversation that is too long loses its end; one whose first
 * prompt leaves no room is an error. */
struct mk_data_options {
    const struct mk_tokenizer *tokenizer; /* borrowed for the call */
    const char *chat_template;            /* name, NULL: as the tokenizer says */
    size_t n_ctx;                         /* longest sequence, at least 2 */
    uint64_t seed;                        /* of the order: a new shuffle each epoch */
    size_t n_epochs;                      /* 0: without end */
    bool in_order;                        /* no shuffle */
    bool allow_duplicates;
};
/* Reads and checks all of the file; errors name file, line and field.  Empty files, empty
 * examples and lines that say the same as an earlier one fail.  Keeps a JSONL file as tokens,
 * 8 bytes each, and a token file mapped. */
bool mk_source_open_file(struct mk_source *out, const char *path, const struct mk_data_options *o,
                         struct mk_err *err) MK_CHECKED;
/* The same for bytes in memory, which stay the caller's and must outlive the source. */
bool mk_source_open_bytes(struct mk_source *out, const void *bytes, size_t n, const char *name,
                          const struct mk_data_options *o, struct mk_err *err) MK_CHECKED;

/* Calls fn with every text of a file: the strings text, prompt, completion and those of messages
 * of a JSONL file, or a plain text file as a whole.  false from fn ends it. */
typedef bool mk_text_fn(void *arg, const char *s, size_t n, struct mk_err *err);
bool mk_file_texts(const char *path, mk_text_fn *fn, void *arg, struct mk_err *err) MK_CHECKED;

/* ---- problems ----------------------------------------------------------------------------
 * The text of one example in tokens:
 *   <bos><User>prompt<Assistant>  then  <think>trace</think>answer<eos>   MK_FORM_THINK
 *                                 or    </think>answer<eos>               MK_FORM_DIRECT
 * as DeepSeek-V3.1's template writes them.  Only what follows <Assistant> counts. */
enum mk_form { MK_FORM_THINK, MK_FORM_DIRECT };
struct mk_marks { /* ids of the template's special tokens */
    int32_t bos, eos, user, assistant, think, end_think;
};
bool mk_marks_find(struct mk_marks *out, const struct mk_tokenizer *t,
                   struct mk_err *err) MK_CHECKED;
/* Prompt alone, up to and including <Assistant>. */
void mk_prompt_put(struct mk_ids *out, const struct mk_tokenizer *t, const struct mk_marks *m,
                   const char *prompt, size_t n);
void mk_example_put(struct mk_seqs *out, const struct mk_tokenizer *t, const struct mk_marks *m,
                    const struct mk_str *prompt, const struct mk_str *trace,
                    const struct mk_str *answer, enum mk_form form);

/* Endless generated problems and small talk, of the training split.  What comes at number i
 * depends on (seed, i) only; an example that is longer than n_ctx is replaced by another. */
struct mk_mix {
    uint64_t seed;
    size_t n_ctx;
    double direct, talk;       /* shares of sequences: direct answers, small talk; rest: traces */
    double check, slip, noise; /* of traces, see struct mk_trace_style */
    double easy, hard;         /* shares of problems a level below, above the standard (0 for hard:
                                  the harder levels stay out of distribution) */
    const char *tasks;         /* "add,mul:2,word" with weights, or NULL: all */
    const char *demos; /* "countdown:1000": thoughts of so many problems of a task are known,
                          and come again and again; NULL: of any number */
};
/* Keeps t. */
bool mk_source_open_mix(struct mk_source *out, const struct mk_mix *mix,
                        const struct mk_tokenizer *t, struct mk_err *err) MK_CHECKED;
/* The same as text (n_ctx does not matter).  task of small talk is NULL. */
struct mk_mixer;
bool mk_mixer_new(struct mk_mixer **out, const struct mk_mix *mix, struct mk_err *err) MK_CHECKED;
void mk_mixer_draw(const struct mk_mixer *m, uint64_t i, struct mk_problem *p, enum mk_form *form);
void mk_mixer_free(struct mk_mixer *m);

/* ---- token files ---------------------------------------------------------------------------
 *   magic "mktok\0\0\1" | u64 n_tok | u64 n_doc | u32 n_vocab | u32 bytes per token (2 or 4)
 *   | u64 start[n_doc] | tokens                                     little-endian
 * start[0] is 0 and each document has a token. */
bool mk_bin_write(const char *path, const struct mk_seqs *docs, size_t n_vocab,
                  struct mk_err *err) MK_CHECKED;
struct mk_bin { /* points into the file's bytes */
    const uint8_t *start, *tok;
    size_t n_tok, n_doc, n_vocab;
    unsigned tok_bytes;
};
/* Checks everything, each token included.  name: for messages. */
bool mk_bin_parse(struct mk_bin *out, const void *bytes, size_t n, const char *name,
                  struct mk_err *err) MK_CHECKED;
size_t mk_bin_start(const struct mk_bin *b, size_t doc); /* doc n_doc: the end */
int32_t mk_bin_tok(const struct mk_bin *b, size_t i);
#endif
