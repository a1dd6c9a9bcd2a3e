#ifndef MK_SERVER_INT_SERVER_H
#define MK_SERVER_INT_SERVER_H
/* Private to server/: a request with its answer, and who works on it.
 *
 *   http.c      bytes to exchanges and back (libmicrohttpd)
 *   guard.c     who may ask: keys, Host, Origin
 *   routes.def  paths to handlers, api_*.c
 *   fields.c    reading JSON, with errors that name the field
 *   watch.c     clients that went away or wait for long */
#include "server/replay.h"
#include "server/server.h"
#include "server/service.h"

#include <jansson.h>
#include <microhttpd.h>
#include <stdatomic.h>

/* What an API makes of a job: called by the connection's thread. */
struct mk_exchange;
struct mk_wire {
    /* Adds to x->out what the client is to see of one piece; text[0..n) is valid UTF-8. */
    void (*piece)(struct mk_exchange *x, const struct mk_piece *p, const char *text,
                  const struct mk_sampled *toks);
    void (*end)(struct mk_exchange *x, const struct mk_job_status *s); /* and of the end */
    /* How far the prompt is read; NULL: nobody is told. */
    void (*progress)(struct mk_exchange *x, const struct mk_job_status *s);
    void (*free)(void *state);
};

struct mk_exchange {
    struct mk_server *server;
    struct MHD_Connection *conn;
    const struct mk_route *route;
    const char *path; /* without prefixes */
    char id[40];      /* of the request */
    uint64_t owner;
    double start_s;
    struct mk_str body; /* of the request */

    /* The answer.  status 0: none yet. */
    unsigned status;
    const char *type; /* NULL: JSON */
    bool is_page;
    unsigned retry_s; /* Retry-After; 0: none */
    bool closes;      /* the connection ends with it */
    struct mk_str out;
    size_t n_sent; /* of out */

    /* What is generated for it, or NULL. */
    struct mk_job *job;
    const struct mk_wire *wire;
    void *state;                        /* the wire's */
    bool streams, has_begun, has_ended; /* has_begun: its head is sent */
    struct mk_pieces pieces;
    struct mk_job_status now;        /* when the pieces were taken */
    bool is_waiting;                 /* suspended; under the job's lock */
    atomic_bool is_due;              /* for a sign of life */
    atomic_bool has_sent;            /* bytes, since the watch looked */
    struct mk_exchange *prev, *next; /* the watch's, under its lock, like the following */
    double sent_s;
    bool is_gone, is_half_gone;
    size_t in_list; /* its place among what is polled; 0: it came later */
};

typedef void mk_handler(struct mk_exchange *x);
struct mk_route {
    const char *method, *path; /* a path that ends in '/' stands for all that begin with it */
    mk_handler *handler;
    unsigned flags;
};
enum { MK_PUBLIC = 1, MK_ANTHROPIC = 2 };
extern const struct mk_route mk_routes[]; /* a NULL method ends them */
#define R(method, path, handler, flags) mk_handler handler;
#include "server/routes.def"
#undef R

struct mk_keys { /* zeroed: none is asked */
    uint8_t (*digests)[32];
    size_t n;
};

struct mk_listener {
    struct MHD_Daemon *daemon;
    int fd; /* of the socket that listened, while the server stops */
    char *url;
    char *socket_path; /* of a unix socket, removed at the end */
    bool is_local;     /* only this machine reaches it */
};

struct mk_server {
    struct mk_server_options o;
    struct mk_engine *engine;
    const struct mk_tokenizer *tokenizer;
    struct mk_sampling sampling; /* the model's own */
    struct mk_service *service;
    struct mk_keys keys; /* under keys_lock */
    pthread_rwlock_t keys_lock;
    struct mk_shapes shapes;
    struct mk_replay replay;
    struct mk_listener *listeners;
    size_t n_listeners;
    atomic_bool is_stopping;
    double start_s;
    int64_t created; /* seconds since 1970 */

    /* watch.c */
    pthread_t watch;
    pthread_mutex_t watch_lock;
    int watch_event; /* an eventfd */
    struct mk_exchange *watched;
    size_t n_watched;
    struct mk_peer *peers;        /* all connections */
    bool watch_ends, watch_rests; /* watch_rests: until something happens */
};

/* ---- answers ----------------------------------------------------------------------- */

/* Takes v. */
void mk_answer_json(struct mk_exchange *x, unsigned status, json_t *v);
/* {"error": {"message", "type", "param", "code"}}; param and code may be NULL. */
void mk_answer_error(struct mk_exchange *x, unsigned status, const char *param, const char *code,
                     const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* The same for an error of ours. */
void mk_answer_failure(struct mk_exchange *x, const struct mk_err *err, const char *param);
unsigned mk_code_status(enum mk_code code);
/* Appends v, which it takes, in compact form. */
void mk_out_json(struct mk_str *out, json_t *v);
/* Appends "data: v\n\n", and "event: name\n" before it unless name is NULL. */
void mk_out_event(struct mk_str *out, const char *name, json_t *v);
/* Submits the job, whose answer wire puts into words; on failure the exchange has the error. */
void mk_answer_job(struct mk_exchange *x, struct mk_job *j, const struct mk_wire *wire, void *state,
                   bool streams);

/* Serves what comes in at fd, a socket that listens, which it takes on success. */
bool mk_daemon_start(struct mk_listener *l, struct mk_server *s, int fd,
                     struct mk_err *err) MK_CHECKED;

/* ---- page.c ------------------------------------------------------------------------ */

const struct mk_route *mk_page_route(const char *path); /* NULL: no file of the page */
void mk_page_headers(struct MHD_Response *r);

/* ---- guard.c ----------------------------------------------------------------------- */

bool mk_keys_read(struct mk_keys *out, const char *text, struct mk_err *err) MK_CHECKED;
/* False: the exchange has the error. */
bool mk_guard(struct mk_exchange *x);
/* Adds what a page of an allowed origin needs to see the answer. */
void mk_guard_headers(struct mk_exchange *x, struct MHD_Response *r);

/* ---- watch.c ----------------------------------------------------------------------- */

void mk_watch_start(struct mk_server *s);
/* Until no connection is watched any more, but no longer than limit_s. */
void mk_watch_drain(struct mk_server *s, double limit_s);
void mk_watch_stop(struct mk_server *s);
void mk_watch_add(struct mk_exchange *x);
/* Makes the answer whose id ends in that of its request close its thought.  False: no such answer
 * of asker's key runs. */
bool mk_watch_answer_now(const struct mk_exchange *asker, const char *id);
void mk_watch_remove(struct mk_exchange *x); /* also one that is not watched */

/* A connection, from its begin to its end. */
struct mk_peer *mk_peer_add(struct mk_server *s, int fd);
/* A request, or its body, must be there in so many seconds; 0: nothing is awaited. */
void mk_peer_expect(struct mk_server *s, struct mk_peer *p, double seconds);
void mk_peer_remove(struct mk_server *s, struct mk_peer *p);

/* ---- fields.c ---------------------------------------------------------------------- */

/* Fields of a JSON object.  Each reader leaves *out alone where the field is absent or null, and
 * answers 400 and gives false where it is of the wrong kind or out of range. */
struct mk_fields {
    struct mk_exchange *x;
    json_t *v; /* an object */
};
bool mk_fields_read(struct mk_fields *f, struct mk_exchange *x); /* of the body */
void mk_fields_release(struct mk_fields *f);
bool mk_field_float(const struct mk_fields *f, const char *name, double lo, double hi, float *out);
bool mk_field_int(const struct mk_fields *f, const char *name, int64_t lo, int64_t hi,
                  int64_t *out);
bool mk_field_bool(const struct mk_fields *f, const char *name, bool *out);
bool mk_field_text(const struct mk_fields *f, const char *name, const char **out);
/* An object or NULL. */
bool mk_field_object(const struct mk_fields *f, const char *name, json_t **out);

/* Appends the token ids of a JSON list.  False: it has something else, and the exchange the error,
 * which names the field. */
bool mk_json_ids(struct mk_exchange *x, const char *name, const json_t *list, struct mk_ids *out);

/* What all generating APIs share: temperature, top_p, top_k, min_p, penalties, seed, logit_bias,
 * stop, max_tokens (also max_completion_tokens), ignore_eos, cache_prompt. */
bool mk_fields_job(const struct mk_fields *f, struct mk_job *j);
#endif
