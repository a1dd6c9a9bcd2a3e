#ifndef MK_SERVER_SERVER_H
#define MK_SERVER_SERVER_H
/* The HTTP server: the APIs of DeepSeek, OpenAI and Anthropic over one engine.
 *
 * Threads: libmicrohttpd's, one for each address that is listened on, reads requests and writes
 * answers; the service's (service.h) computes; one more looks after connections that wait
 * (watch.c).  None of them waits for a client. */
#include "chat/chat.h"
#include "engine/prefix.h"

struct mk_server_options {
    /* Addresses to listen on: "127.0.0.1", "::1", "0.0.0.0", "unix:PATH"; "localhost" is the first
     * two. */
    const char *const *hosts;
    size_t n_hosts;
    unsigned port;              /* 0: any that is free */
    const char *model_name;     /* what /v1/models calls the model */
    const char *keys;           /* text with a key on each line, # comments; NULL: none is asked */
    const char *const *origins; /* web pages of these origins may call, beside our own */
    size_t n_origins;
    const char *const *names; /* names this machine is called by, besides localhost and addresses */
    size_t n_names;
    char *tls_cert, *tls_key;        /* PEM texts; both or none */
    size_t n_places, n_queue, n_ctx; /* see service.h */
    struct mk_prefix_options prefixes;
    size_t max_body_bytes, max_connections;
    size_t max_per_address; /* connections of one address, but for this machine's; 0: no limit */
    unsigned client_s;      /* how long a client may keep us waiting: see docs/serve.md */
    bool default_thinking;
    const struct mk_template *template; /* NULL: no chat, completions only */
    void (*log)(const char *line);      /* one line for each request; from any thread */
};

struct mk_server;
/* Listens and answers from now on.  Keeps the engine and what the options point to. */
bool mk_server_start(struct mk_server **out, struct mk_engine *e, const struct mk_server_options *o,
                     struct mk_err *err) MK_CHECKED;
/* From now on one of these keys is asked; on failure the ones before.  At any time. */
bool mk_server_set_keys(struct mk_server *s, const char *keys, struct mk_err *err) MK_CHECKED;
/* The address of the i-th host as a URL, "http://127.0.0.1:8080"; NULL past the last. */
const char *mk_server_url(const struct mk_server *s, size_t i);
/* Refuses new requests; those running have drain_s seconds to end. */
void mk_server_stop(struct mk_server *s, double drain_s);
#endif
