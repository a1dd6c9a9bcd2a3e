#ifndef MK_ENGINE_ENGINE_H
#define MK_ENGINE_ENGINE_H
/* The wall between models and everything that talks: an engine runs one model for many
 * sessions.
 *
 *   engine   a model, its tokenizer, threads
 *   session  one timeline of tokens with its keys and values
 *   step     one forward pass over pending tokens of any number of sessions
 *   generation (generate.h)  sampling, stop strings and limits on top of a session
 *
 * One thread owns an engine and all its sessions; mk_engine_cancel() may be called from
 * any thread or a signal handler.  A session's results depend on neither the number of
 * threads nor the sessions that share its steps. */
#include "base/err.h"
#include "engine/speculate.h"
#include "quant/quant.h"
#include "token/token.h"

#include <stddef.h>
#include <stdint.h>

struct mk_engine;
struct mk_session;

struct mk_engine_options {
    unsigned n_threads;                /* 0: one for each CPU */
    const char *cpu;                   /* highest instruction-set level, NULL: all the CPU has */
    enum mk_type kv_type;              /* MK_F32, MK_F16, MK_BF16, MK_Q8_0: see struct mk_kv */
    enum mk_type input_type;           /* of products with BF16 and F8_E4M3: MK_F32, MK_BF16 */
    size_t n_batch;                    /* most tokens of a step, see mk_model_step_toks() */
    struct mk_speculation speculation; /* of all generations; zeroed: off */
    size_t ram_bytes; /* most memory of the process, see struct mk_ram; 0: weights are mapped */
    bool ram_is_auto;
    size_t expert_bytes; /* of it for experts; 0: what is left */
};
/* path: see mk_tensors_open(). */
bool mk_engine_open(struct mk_engine **out, const char *path, const struct mk_engine_options *o,
                    struct mk_err *err) MK_CHECKED;
void mk_engine_close(struct mk_engine *e); /* after its sessions; NULL is fine */
/* Makes the current (or next) step stop before its next layer and return MK_ECANCELED: its
 * tokens stay pending.  The flag is cleared when it does. */
void mk_engine_cancel(struct mk_engine *e);

/* NULL when the checkpoint has no tokenizer: then *why (may be NULL) says what is missing. */
const struct mk_tokenizer *mk_engine_tokenizer(const struct mk_engine *e, struct mk_err *why);

struct mk_info {
    const char *path, *arch, *kind, *cpu; /* kind: a line for people; cpu: level in use */
    size_t n_layer, d_model, n_vocab, n_ctx;
    size_t n_params, n_params_active;
    size_t n_bytes, n_bytes_active; /* of weights: stored, read for one token */
    size_t kv_bytes_per_token;
    size_t n_expert, n_active;
    const size_t *routed; /* [n_routed] the layers that have experts; none in dense models */
    size_t n_routed;
    unsigned n_threads;
    bool has_mtp;
    int32_t bos;
    const int32_t *eos;
    size_t n_eos;
};
struct mk_info mk_engine_info(const struct mk_engine *e);

/* A model whose experts are read when they are needed: what its budget means, and what happened
 * since it was opened. */
struct mk_streaming {
    size_t ram_bytes, n_file_bytes, n_dense_bytes, n_cache_bytes;
    size_t n_experts, n_fit; /* over all layers; those that the cache holds */
    double disk_bytes_per_s; /* while loading; 0: too little was read to say */
    double tps;              /* that the disk allows if all experts are used evenly */
    uint64_t n_need, n_hit, n_right, n_guess, n_read_bytes; /* see struct mk_expert_stats */
    double wait_s;
};
/* false: all weights are mapped. */
bool mk_engine_streaming(const struct mk_engine *e, struct mk_streaming *out);
struct mk_model;
bool mk_model_streaming(const struct mk_model *m, struct mk_streaming *out);

/* n_ctx 0 means the model's own, or 32,768 if that is less (memory is taken as it is
 * used). */
bool mk_session_new(struct mk_session **out, struct mk_engine *e, size_t n_ctx,
                    struct mk_err *err) MK_CHECKED;
void mk_session_free(struct mk_session *s); /* NULL is fine */
size_t mk_session_n_ctx(const struct mk_session *s);
/* All tokens of the timeline, evaluated or pending. */
const int32_t *mk_session_ids(const struct mk_session *s, size_t *n);
size_t mk_session_pending(const struct mk_session *s);
/* Appends tokens to be evaluated.  Fails on ids out of range and past n_ctx. */
bool mk_session_append(struct mk_session *s, const int32_t *ids, size_t n,
                       struct mk_err *err) MK_CHECKED;
/* Keeps the first n tokens. */
void mk_session_truncate(struct mk_session *s, size_t n);
/* Makes the timeline equal ids: keeps the common prefix that is already evaluated, forgets
 * the rest, appends what is new; at least the last token is evaluated again.  *n_kept may
 * be NULL. */
bool mk_session_set(struct mk_session *s, const int32_t *ids, size_t n, size_t *n_kept,
                    struct mk_err *err) MK_CHECKED;
/* Guesses of what follows the pending tokens, for the next step alone: it evaluates them too.  If
 * the guessed tokens are then appended the session has logits at once, those that it would have
 * had anyway, bit for bit; another token makes it forget the rest.  Gives how many of the n it
 * takes: none without pending tokens, and so few that latent attention keeps its form. */
size_t mk_session_guess(struct mk_session *s, const int32_t *ids, size_t n);
/* Forgets those that were not appended. */
void mk_session_unguess(struct mk_session *s);
/* A copy of the first n tokens of s, evaluated ones with their keys and values. */
bool mk_session_fork(struct mk_session **out, const struct mk_session *s, size_t n,
                     struct mk_err *err) MK_CHECKED;

/* One forward pass: pending tokens of the sessions, at most n_batch and about n_most in all (n_most
 * 0: n_batch; a few more where a short rest would be left; guesses are not counted), shared out in
 * the order given.  A session whose last pending token was evaluated has logits.  Where
 * weights cannot be read it fails and leaves the sessions as they were. */
bool mk_engine_step(struct mk_engine *e, struct mk_session *const *s, size_t n_sessions,
                    size_t n_most, struct mk_err *err) MK_CHECKED;
/* [n_vocab] for the token after the last one; NULL while tokens are pending. */
const float *mk_session_logits(const struct mk_session *s);
/* Whether steps note which experts compute the logits: off until it is asked for. */
void mk_session_note_experts(struct mk_session *s, bool notes);
/* Whether steps add up the hidden states of this session's tokens, after the final norm.  Starts
 * from nothing each time it is switched on. */
void mk_session_note_hidden(struct mk_session *s, bool notes);
/* out [d_model]: the mean of those that were noted.  False: there are none. */
bool mk_session_mean_hidden(const struct mk_session *s, float *out) MK_CHECKED;
/* [n_routed][n_active], ascending; NULL while there are no logits or nothing is noted. */
const uint16_t *mk_session_experts(const struct mk_session *s);
#endif
