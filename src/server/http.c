/* Exchanges over libmicrohttpd.  A request is guarded as soon as its head is there, read to its end
 * and handed to its route.  What needs no engine is answered at once.  Otherwise the connection is
 * suspended until its job has news:
 *
 *   stream   the head goes out with the first news, and pieces as they come
 *   whole    the answer goes out with its length when the job has ended; one that takes long is
 *            begun before, and kept alive with blanks, which JSON allows in front */
#include "base/clock.h"
#include "base/mem.h"
#include "server/int_server.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/socket.h>

const struct mk_route mk_routes[] = {
#define R(method, path, handler, flags) {method, path, handler, flags},
#include "server/routes.def"
#undef R
    {NULL, NULL, NULL, 0}};

/* ---- answers ----------------------------------------------------------------------- */

static int dump(const char *bytes, size_t n, void *out)
{
    mk_str_append(out, bytes, n);
    return 0;
}

void mk_out_json(struct mk_str *out, json_t *v)
{
    json_dump_callback(v, dump, out, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(v);
}

void mk_out_event(struct mk_str *out, const char *name, json_t *v)
{
    if (name) mk_str_addf(out, "event: %s\n", name);
    mk_str_add(out, "data: ");
    mk_out_json(out, v);
    mk_str_add(out, "\n\n");
}

void mk_answer_json(struct mk_exchange *x, unsigned status, json_t *v)
{
    x->status = status;
    mk_str_clear(&x->out);
    mk_out_json(&x->out, v);
}

/* Both makers' names, which differ in two places. */
static const char *error_type(unsigned status, bool is_anthropic)
{
    switch (status) {
    case 401:
        return "authentication_error";
    case 403:
        return "permission_error";
    case 404:
        return "not_found_error";
    case 429:
        return "rate_limit_error";
    case 413:
        return is_anthropic ? "request_too_large" : "invalid_request_error";
    case 503:
        return is_anthropic ? "overloaded_error" : "unavailable_error";
    default:
        return status < 500 ? "invalid_request_error" : is_anthropic ? "api_error" : "server_error";
    }
}

static json_t *error_json(const struct mk_exchange *x, unsigned status, const char *message,
                          const char *param, const char *code)
{
    const bool is_anthropic = x->route->flags & MK_ANTHROPIC;
    const char *type = error_type(status, is_anthropic);
    struct mk_str text = {0}; /* a message may quote what was sent */
    mk_str_add_utf8(&text, message, strlen(message));
    json_t *v = is_anthropic
                    ? json_pack("{s:s, s:{s:s, s:s}, s:s}", "type", "error", "error", "type", type,
                                "message", mk_str_c(&text), "request_id", x->id)
                    : json_pack("{s:{s:s, s:s, s:s?, s:s?}}", "error", "message", mk_str_c(&text),
                                "type", type, "param", param, "code", code);
    mk_str_release(&text);
    return v;
}

void mk_answer_error(struct mk_exchange *x, unsigned status, const char *param, const char *code,
                     const char *fmt, ...)
{
    char message[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    mk_answer_json(x, status, error_json(x, status, message, param, code));
}

unsigned mk_code_status(enum mk_code code)
{
    switch (code) {
    case MK_EBUSY:
        return 429;
    case MK_ECANCELED:
        return 503;
    case MK_ENOMEM:
    case MK_EIO:
        return 500;
    default:
        return 400;
    }
}

void mk_answer_failure(struct mk_exchange *x, const struct mk_err *err, const char *param)
{
    const char *code = err->code == MK_ELIMIT  ? "context_length_exceeded"
                       : err->code == MK_EBUSY ? "rate_limit_exceeded"
                                               : NULL;
    if (err->code == MK_EBUSY || err->code == MK_ECANCELED) x->retry_s = 1;
    mk_answer_error(x, mk_code_status(err->code), param, code, "%s", err->msg);
}

/* Under the job's lock. */
static void wake(void *arg)
{
    struct mk_exchange *x = arg;
    if (!x->is_waiting) return;
    x->is_waiting = false;
    MHD_resume_connection(x->conn);
}

void mk_answer_job(struct mk_exchange *x, struct mk_job *j, const struct mk_wire *wire, void *state,
                   bool streams)
{
    struct mk_err err;
    x->job = j;
    x->wire = wire;
    x->state = state;
    x->streams = streams;
    j->owner ^= x->owner;
    j->replay = &x->server->replay;
    snprintf(j->request, sizeof j->request, "%s", x->id);
    mk_job_listen(j, wake, x);
    if (mk_service_submit(x->server->service, j, &err)) {
        mk_watch_add(x);
        return;
    }
    mk_job_release(j); /* the service's reference */
    mk_answer_failure(x, &err, err.code == MK_ELIMIT ? "messages" : NULL);
}

/* ---- exchanges --------------------------------------------------------------------- */

static void name_request(struct mk_exchange *x)
{
    uint64_t v[2] = {0};
    (void)!getrandom(v, sizeof v, 0);
    snprintf(x->id, sizeof x->id, "%016llx%016llx", (unsigned long long)v[0],
             (unsigned long long)v[1]);
}

/* /anthropic, /v1, /beta in this order are as nothing, and /v1 after /beta. */
static const char *without_prefix(const char *path)
{
    static const char *const prefixes[] = {"/anthropic", "/v1", "/beta", "/v1"};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        const size_t n = strlen(prefixes[i]);
        if (!strncmp(path, prefixes[i], n) && path[n] == '/') path += n;
    }
    return path;
}

/* http://HOST/PATH, as proxies are asked and servers must understand, is /PATH. */
static const char *without_host(const char *url)
{
    const bool is_whole = !strncasecmp(url, "http://", 7) || !strncasecmp(url, "https://", 8);
    if (!is_whole) return url;
    const char *path = strchr(strstr(url, "//") + 2, '/');
    return path ? path : "/";
}

static bool matches(const struct mk_route *r, const char *path)
{
    const size_t n = strlen(r->path);
    return r->path[n - 1] == '/' ? !strncmp(path, r->path, n) && path[n] : !strcmp(path, r->path);
}

/* HEAD is GET whose body is not sent. */
static bool is_method(const struct mk_route *r, const char *method)
{
    return !strcmp(r->method, method) || (!strcmp(method, "HEAD") && !strcmp(r->method, "GET"));
}

static void find_route(struct mk_exchange *x, const char *method, const char *url)
{
    static const struct mk_route none = {"GET", "/", NULL, MK_PUBLIC};
    const char *path = without_prefix(url);
    x->route = &none;
    for (const struct mk_route *r = mk_routes; r->method; r++) {
        if (!matches(r, path)) continue;
        x->path = path;
        x->route = r;
        if (is_method(r, method)) return;
    }
    const struct mk_route *page = mk_page_route(url);
    if (page && is_method(page, method)) {
        x->path = url;
        x->route = page;
        return;
    }
    if (!strcmp(method, "OPTIONS")) {
        x->status = MHD_HTTP_NO_CONTENT;
        x->route = &none;
    } else if (x->route == &none) {
        mk_answer_error(x, 404, NULL, NULL, "there is no %.200s here", url);
    } else {
        mk_answer_error(x, 405, NULL, NULL, "%.200s wants %s", url, x->route->method);
    }
}

static bool is_body_allowed(struct mk_exchange *x)
{
    const char *v = MHD_lookup_connection_value(x->conn, MHD_HEADER_KIND, "Content-Length");
    if (!v || strtoull(v, NULL, 10) <= x->server->o.max_body_bytes) return true;
    mk_answer_error(x, 413, NULL, NULL, "the body has %.20s bytes, at most %zu are read", v,
                    x->server->o.max_body_bytes);
    return false;
}

/* ---- sending ----------------------------------------------------------------------- */

static void add_headers(struct mk_exchange *x, struct MHD_Response *r, const char *type)
{
    char retry[16];
    MHD_add_response_header(r, "Content-Type", type);
    MHD_add_response_header(r, "Cache-Control", "no-store");
    MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(r, "X-Request-Id", x->id);
    MHD_add_response_header(r, "Request-Id", x->id);
    MHD_add_response_header(r, "X-Accel-Buffering", "no"); /* proxies pass streams on at once */
    if (x->status == 405) MHD_add_response_header(r, "Allow", x->route->method);
    if (x->retry_s) {
        snprintf(retry, sizeof retry, "%u", x->retry_s);
        MHD_add_response_header(r, "Retry-After", retry);
    }
    if (x->closes) MHD_add_response_header(r, "Connection", "close");
    if (x->is_page) mk_page_headers(r);
    mk_guard_headers(x, r);
}

static enum MHD_Result send_response(struct mk_exchange *x, struct MHD_Response *r,
                                     const char *type)
{
    add_headers(x, r, type);
    x->has_begun = true;
    const enum MHD_Result ok = MHD_queue_response(x->conn, x->status, r);
    MHD_destroy_response(r);
    return ok;
}

/* All of it, which is there. */
static enum MHD_Result send_whole(struct mk_exchange *x)
{
    return send_response(
        x, MHD_create_response_from_buffer(x->out.len, x->out.data, MHD_RESPMEM_PERSISTENT),
        x->type ? x->type : "application/json");
}

/* Takes what is new and puts it into words. */
static void take_news(struct mk_exchange *x)
{
    if (x->has_ended) return;
    const struct mk_job_status s = x->now = mk_job_take(x->job, &x->pieces);
    const char *text = mk_str_c(&x->pieces.text);
    for (size_t i = 0; i < x->pieces.n; i++) {
        const struct mk_piece *p = &x->pieces.list[i];
        x->wire->piece(x, p, text, p->n_toks ? x->pieces.toks + p->first_tok : NULL);
        text += p->n;
    }
    if (s.state == MK_JOB_READING && x->job->tells_progress) x->wire->progress(x, &s);
    if (s.state != MK_JOB_ENDED) return;
    x->has_ended = true;
    if (s.err.code == MK_OK) {
        x->wire->end(x, &s);
        return;
    }
    if (!x->has_begun) {
        mk_answer_failure(x, &s.err, NULL);
        return;
    }
    json_t *error = error_json(x, mk_code_status(s.err.code), s.err.msg, NULL, NULL);
    if (x->streams)
        mk_out_event(&x->out, x->route->flags & MK_ANTHROPIC ? "error" : NULL, error);
    else
        mk_out_json(&x->out, error);
}

static void sleep_now(void *arg)
{
    struct mk_exchange *x = arg;
    x->is_waiting = true;
    MHD_suspend_connection(x->conn);
}

/* libmicrohttpd asks for more of an answer that has begun. */
static ssize_t read_more(void *arg, uint64_t pos, char *to, size_t max)
{
    (void)pos;
    struct mk_exchange *x = arg;
    for (;;) {
        if (x->n_sent == x->out.len) {
            mk_str_clear(&x->out);
            x->n_sent = 0;
            take_news(x);
            if (atomic_exchange(&x->is_due, false) && x->out.len == 0)
                mk_str_add(&x->out, x->streams ? ": keep-alive\n\n" : "\n");
        }
        const size_t left = x->out.len - x->n_sent, n = left < max ? left : max;
        if (n) {
            memcpy(to, x->out.data + x->n_sent, n);
            x->n_sent += n;
            atomic_store(&x->has_sent, true);
            return (ssize_t)n;
        }
        if (x->has_ended) return MHD_CONTENT_READER_END_OF_STREAM;
        if (mk_job_sleep(x->job, sleep_now, x)) return 0;
    }
}

enum { CHUNK_BYTES = 16 << 10 };

static enum MHD_Result begin_answer(struct mk_exchange *x)
{
    x->status = MHD_HTTP_OK;
    return send_response(
        x, MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, CHUNK_BYTES, read_more, x, NULL),
        x->streams ? "text/event-stream" : "application/json");
}

/* A job runs, and nothing of its answer was sent yet. */
static enum MHD_Result wait_for_job(struct mk_exchange *x)
{
    for (;;) {
        take_news(x);
        if (x->has_ended && x->status >= 400) return send_whole(x);
        if (x->streams && (x->has_ended || x->out.len || atomic_load(&x->is_due)))
            return begin_answer(x);
        if (!x->streams && x->has_ended) {
            x->status = MHD_HTTP_OK;
            return send_whole(x);
        }
        if (!x->streams && atomic_load(&x->is_due)) return begin_answer(x);
        if (mk_job_sleep(x->job, sleep_now, x)) return MHD_YES;
    }
}

/* ---- libmicrohttpd's calls --------------------------------------------------------- */

/* How long a body, and the next request on a connection, may take: so many times as long as the
 * first head. */
enum { BODY_TIMES = 4, NEXT_TIMES = 2 };

static struct mk_exchange *begin(struct mk_server *s, struct MHD_Connection *c, const char *method,
                                 const char *url)
{
    struct mk_exchange *x = mk_alloc(sizeof *x);
    x->server = s;
    x->conn = c;
    x->start_s = mk_now_s();
    name_request(x);
    find_route(x, method, without_host(url));
    if (atomic_load(&s->is_stopping)) {
        x->retry_s = 1;
        mk_answer_error(x, 503, NULL, NULL, "the server is stopping");
    }
    if (mk_guard(x) && x->status == 0) (void)is_body_allowed(x);
    return x;
}

static struct mk_peer *peer_of(struct MHD_Connection *c)
{
    return MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

static void on_connection(void *arg, struct MHD_Connection *c, void **context,
                          enum MHD_ConnectionNotificationCode what)
{
    struct mk_server *s = arg;
    if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
        mk_peer_remove(s, *context);
        return;
    }
    struct mk_peer *p = *context =
        mk_peer_add(s, MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd);
    mk_peer_expect(s, p, s->o.client_s);
}

/* Once for the head, for each part of the body, at its end, and after a sleep. */
static enum MHD_Result on_request(void *arg, struct MHD_Connection *c, const char *url,
                                  const char *method, const char *version, const char *body,
                                  size_t *n_body, void **state)
{
    (void)version;
    struct mk_exchange *x = *state;
    if (!x) {
        x = *state = begin(arg, c, method, url);
        mk_peer_expect(arg, peer_of(c), BODY_TIMES * x->server->o.client_s);
        return x->status ? send_whole(x) : MHD_YES;
    }
    if (*n_body) {
        if (x->body.len + *n_body <= x->server->o.max_body_bytes)
            mk_str_append(&x->body, body, *n_body);
        else if (!x->status)
            mk_answer_error(x, 413, NULL, NULL, "the body has more than %zu bytes",
                            x->server->o.max_body_bytes);
        *n_body = 0;
        return MHD_YES;
    }
    if (x->job && !x->status) return wait_for_job(x);
    mk_peer_expect(arg, peer_of(c), 0);
    if (!x->status) x->route->handler(x);
    if (x->status) return send_whole(x);
    /* Not asleep yet: libmicrohttpd would still want to read from a connection that sleeps now, and
     * on waking close it if the client has closed its sending half.  It calls again at once. */
    return MHD_YES;
}

static void log_line(const struct mk_exchange *x, enum MHD_RequestTerminationCode how)
{
    if (!x->server->o.log) return;
    char line[256];
    const struct mk_job_status *s = &x->now;
    snprintf(line, sizeof line, "%s %s %s %u %.3fs prompt=%zu cached=%zu answer=%zu%s", x->id,
             x->route->method, x->path ? x->route->path : "-", x->status, mk_now_s() - x->start_s,
             s->n_prompt, s->n_cached, s->n_made,
             how == MHD_REQUEST_TERMINATED_COMPLETED_OK ? "" : " client gone");
    x->server->o.log(line);
}

/* libmicrohttpd sometimes overlooks the end of a client's sending half that came during an answer,
 * and would wait for a next request.  One that it has read already begins before this. */
static const double ENDED_S = 0.5;

static bool has_ended_sending(struct MHD_Connection *c)
{
    char byte;
    const int fd = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static void on_end(void *arg, struct MHD_Connection *c, void **state,
                   enum MHD_RequestTerminationCode how)
{
    struct mk_exchange *x = *state;
    if (!x) return;
    mk_peer_expect(arg, peer_of(c),
                   has_ended_sending(c) ? ENDED_S : NEXT_TIMES * x->server->o.client_s);
    if (x->job) {
        mk_watch_remove(x);
        mk_job_listen(x->job, NULL, NULL);
        mk_job_cancel(x->job);
    }
    log_line(x, how);
    if (x->job) mk_job_release(x->job);
    if (x->wire && x->wire->free) x->wire->free(x->state);
    mk_pieces_release(&x->pieces);
    mk_str_release(&x->body);
    mk_str_release(&x->out);
    free(x);
    *state = NULL;
}

enum { CONNECTION_BYTES = 64 << 10 };

bool mk_daemon_start(struct mk_listener *l, struct mk_server *s, int fd, struct mk_err *err)
{
    const struct mk_server_options *o = &s->o;
    struct MHD_OptionItem more[] = {
        {MHD_OPTION_END, 0, NULL}, {MHD_OPTION_END, 0, NULL}, {MHD_OPTION_END, 0, NULL}};
    const unsigned per_address = l->is_local ? 0 : (unsigned)o->max_per_address;
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC;
    if (o->tls_cert) {
        flags |= MHD_USE_TLS;
        more[0] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, o->tls_cert};
        more[1] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, o->tls_key};
    }
    l->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, s, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_NOTIFY_COMPLETED, on_end, s, MHD_OPTION_CONNECTION_TIMEOUT, o->client_s,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        per_address, MHD_OPTION_CONNECTION_LIMIT, (unsigned)o->max_connections,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES, MHD_OPTION_STRICT_FOR_CLIENT,
        1, MHD_OPTION_ARRAY, more, MHD_OPTION_END);
    if (l->daemon) return true;
    return mk_fail(err, MK_EIO, "the HTTP server does not start%s",
                   o->tls_cert ? ": the TLS certificate or key may be wrong" : "");
}
