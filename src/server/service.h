#ifndef MK_SERVER_SERVICE_H
#define MK_SERVER_SERVICE_H
/* The engine's thread: it owns the engine and all sessions, and computes the jobs that are
 * submitted, many in one step.
 *
 * A step holds one token of each running answer (and guesses of what follows, see
 * engine/speculate.h) and a piece of the prompts that are being read, so
 * that answers keep flowing while a long prompt is read: while there are answers the piece is as
 * large as is read in about a tenth of a second.  Places are given out in turn among the owners of
 * the waiting jobs, to each owner's oldest first.  A place keeps its session when a job ends, and a
 * job gets the free place whose session begins most like its prompt: what is the same is not read
 * again.  What a running job or the cache of prefixes has in common with it is copied.  A session
 * that another owner filled is emptied first. */
#include "engine/prefix.h"
#include "server/job.h"

struct mk_service_options {
    size_t n_places; /* jobs that run at a time */
    size_t n_queue;  /* jobs that wait for a place */
    size_t n_ctx;    /* tokens of a session, 0: see mk_session_new() */
    struct mk_prefix_options prefixes;
};
struct mk_service_stats { /* since the start; what is running now */
    uint64_t n_jobs, n_prompt_toks, n_cached_toks, n_answer_toks, n_passes;
    uint64_t n_guessed, n_right;      /* tokens that were guessed, and those that came */
    uint64_t n_finished[MK_N_FINISH]; /* by enum mk_finish */
    double prompt_s, answer_s;
    size_t n_running, n_waiting;
    struct mk_prefix_stats prefixes;
    bool is_streaming; /* experts are read when they are needed: */
    struct mk_streaming streaming;
};

struct mk_service;
/* Starts the thread.  Keeps the engine, which nobody else may use until _stop. */
bool mk_service_start(struct mk_service **out, struct mk_engine *e,
                      const struct mk_service_options *o, struct mk_err *err) MK_CHECKED;
/* Queues the job.  MK_EBUSY: the queue is full.  MK_ELIMIT: the prompt does not fit.
 * MK_ECANCELED: it is stopping.  Then the service holds no reference. */
bool mk_service_submit(struct mk_service *s, struct mk_job *j, struct mk_err *err) MK_CHECKED;
size_t mk_service_n_ctx(const struct mk_service *s);
struct mk_service_stats mk_service_stats(struct mk_service *s);
/* What a place was doing a moment ago; false past the last. */
struct mk_place_info {
    bool is_running;
    size_t n_toks;                   /* that its session holds */
    size_t n_prompt, n_read, n_made; /* of the job it runs */
};
bool mk_service_place(struct mk_service *s, size_t i, struct mk_place_info *out);
/* No new jobs from now on; those that have not ended within drain_s seconds are canceled.  Waits
 * for the end. */
void mk_service_stop(struct mk_service *s, double drain_s);
void mk_service_free(struct mk_service *s); /* once stopped */
#endif
