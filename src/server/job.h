#ifndef MK_SERVER_JOB_H
#define MK_SERVER_JOB_H
/* A job is one answer to be generated.  A connection fills it in and gives it to the service
 * (service.h); the engine's thread computes it and puts pieces of the answer into its queue; the
 * connection takes them out and puts them into the words of its API.
 *
 *   connection thread               engine thread
 *   mk_job_new, fill, submit  --->  mk_job_begin, mk_job_feed ...
 *   mk_job_take  <--- pieces <---   mk_job_end
 *
 * Both sides hold a reference: whoever is last frees it. */
#include "base/err.h"
#include "base/str.h"
#include "chat/chat.h"
#include "engine/generate.h"
#include "server/replay.h"
#include "server/shape.h"

#include <pthread.h>
#include <stdatomic.h>

enum mk_piece_kind {
    MK_PIECE_REASONING,
    MK_PIECE_ANSWER,
    MK_PIECE_CALL,     /* a call of a tool begins: its name */
    MK_PIECE_ARGUMENTS /* of the call that began last */
};
struct mk_piece {
    enum mk_piece_kind kind;
    size_t n;                 /* bytes of text */
    size_t first_tok, n_toks; /* tokens that belong to it, if they are told */
};
/* What was generated since the last look.  Zeroed is valid and empty. */
struct mk_pieces {
    struct mk_piece *list;
    size_t n, cap;
    struct mk_str text; /* of all pieces, one after the other */
    struct mk_sampled *toks;
    uint16_t *experts; /* [n_toks][n_routed][n_active], see mk_generation; NULL unless wanted */
    size_t n_toks, toks_cap;
};
void mk_pieces_release(struct mk_pieces *p);

enum mk_job_state { MK_JOB_QUEUED, MK_JOB_READING, MK_JOB_ANSWERING, MK_JOB_ENDED };
/* A snapshot for the connection. */
struct mk_job_status {
    enum mk_job_state state;
    enum mk_finish finish;     /* when it has ended */
    size_t n_prompt, n_cached; /* tokens */
    size_t n_read;             /* of the prompt, so far */
    size_t n_made, n_thought;  /* tokens of the answer, and those of them that are thoughts */
    size_t stop;               /* which stop string ended it; SIZE_MAX: none did */
    size_t n_guessed, n_right; /* tokens that were guessed, and those that came */
    double queue_s, prompt_s, answer_s;
    struct mk_err err; /* code MK_OK unless it failed */
};

typedef void mk_wake_fn(void *arg);

struct mk_job {
    /* Filled in before it is submitted, constant from then on. */
    struct mk_ids prompt;
    struct mk_sampling sampling;
    struct mk_bias *bias; /* what sampling.bias points to; owned */
    char **stops;         /* owned */
    size_t n_stops;
    int32_t stop_ids[8]; /* besides the model's own */
    size_t n_stop_ids;
    size_t max_toks;   /* 0: until the context is full */
    size_t think_toks; /* a thought is closed after so many; 0: never */
    bool ignores_eos;
    bool reads_anew;                      /* the whole prompt, whatever is known of it */
    const struct mk_template *template;   /* NULL: text is not split */
    const struct mk_tokenizer *tokenizer; /* with a template */
    enum mk_inside inside;                /* what the prompt ends in */
    bool tells_progress;                  /* reading the prompt is news too */
    bool wants_experts;
    /* Embeddings instead of an answer: of the prompt and then of the rest, [1 + n_rest][d_model],
     * owned, complete when it has ended.  NULL: an answer. */
    float *vectors;
    size_t d_model;
    struct mk_ids *rest; /* more prompts, owned */
    size_t n_rest;
    struct mk_shape *shape;   /* what the answer must look like, owned, or NULL */
    uint64_t owner;           /* whose it is: keeps caches apart, shares time fairly */
    struct mk_replay *replay; /* remembers what it says; NULL: nothing does */
    char request[MK_CALL_ID]; /* its name, after which calls are named */

    atomic_bool is_canceled;
    atomic_bool answers_now; /* the thought is to be closed */

    /* Of the engine's thread. */
    struct mk_generation g;
    struct mk_splitter *splitter;
    size_t n_fed, n_toks_fed;
    size_t n_vectors;          /* that are done */
    bool is_thinking, was_cut; /* was_cut: its thought was closed for it */
    struct mk_job *next;       /* in the service's queue */
    double submit_s;

    /* Shared, under lock. */
    pthread_mutex_t lock;
    unsigned n_refs;
    mk_wake_fn *wake;
    void *wake_arg;
    struct mk_pieces news;
    bool has_progress;
    struct mk_job_status status;
};
struct mk_job *mk_job_new(void);
void mk_job_release(struct mk_job *j); /* gives back one of its two references */
void mk_job_drop(struct mk_job *j);    /* both: it was never submitted */
void mk_job_add_stop(struct mk_job *j, const char *text);

/* ---- the connection's side --------------------------------------------------------- */

/* From now on fn is called when there is news, by the engine's thread and with the job locked: it
 * must not call back.  fn NULL: no more calls once this returns. */
void mk_job_listen(struct mk_job *j, mk_wake_fn *fn, void *arg);
/* Moves what is new to *out, which is emptied first, and says how it stands. */
struct mk_job_status mk_job_take(struct mk_job *j, struct mk_pieces *out);
/* Calls fn, with the job locked, if there is no news: what comes later wakes the listener.  False:
 * there is some already. */
bool mk_job_sleep(struct mk_job *j, mk_wake_fn *fn, void *arg);
/* Wakes the listener although there is no news. */
void mk_job_nudge(struct mk_job *j);
/* It ends at its next step; harmless when it has ended. */
static inline void mk_job_cancel(struct mk_job *j) { atomic_store(&j->is_canceled, true); }

/* ---- the engine thread's side ------------------------------------------------------ */

/* Gives it a session; on failure it has ended with the error. */
bool mk_job_begin(struct mk_job *j, struct mk_session *s);
/* Tells of what the generation has made since the last time, and of its end.  err: why it ended, if
 * that was a failure, or NULL. */
void mk_job_feed(struct mk_job *j, const struct mk_err *err);
/* Between feeds: closes a thought that is over its budget, unwanted, or runs in circles, and ends
 * an answer that does. */
void mk_job_govern(struct mk_job *j);
/* Whether it was one of several prompts to be embedded and now reads the next. */
bool mk_job_next(struct mk_job *j);
/* Ends one that has not begun.  err NULL: its client went away. */
void mk_job_fail(struct mk_job *j, const struct mk_err *err);
#endif
