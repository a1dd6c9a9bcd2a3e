/* Starting and stopping: sockets, keys, threads. */
#include "server/server.h"

#include "base/clock.h"
#include "base/mem.h"
#include "server/int_server.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 128 };
static const double LAST_WORDS_S = 5; /* to send what is finished */

/* ---- listening --------------------------------------------------------------------- */

static bool listen_unix(struct mk_listener *l, const char *path, int *out, struct mk_err *err)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct stat st;
    if (strlen(path) >= sizeof a.sun_path)
        return mk_fail(err, MK_EUSAGE, "the name of socket %s is too long", path);
    strcpy(a.sun_path, path);
    if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode)) unlink(path); /* of one that was killed */
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const mode_t mask = umask(0177);
    const bool ok =
        fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, BACKLOG) == 0;
    umask(mask);
    if (!ok) {
        mk_fail_errno(err, "cannot listen on %s", path);
        if (fd >= 0) close(fd);
        return false;
    }
    struct mk_str url = {0};
    mk_str_addf(&url, "unix:%s", path);
    l->url = mk_str_take(&url);
    l->socket_path = mk_strdup(path);
    l->is_local = true;
    *out = fd;
    return true;
}

static int listen_at(const struct addrinfo *a)
{
    const int one = 1;
    const int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (a->ai_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0) return fd;
    close(fd);
    return -1;
}

static bool is_loopback(const struct addrinfo *a)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    if (a->ai_family == AF_INET6) {
        memcpy(&v6, a->ai_addr, sizeof v6);
        return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
    }
    memcpy(&v4, a->ai_addr, sizeof v4);
    return ntohl(v4.sin_addr.s_addr) >> 24 == 127;
}

static unsigned port_of(int fd)
{
    struct sockaddr_storage a;
    socklen_t n = sizeof a;
    char port[16] = "0";
    if (getsockname(fd, (struct sockaddr *)&a, &n) == 0)
        getnameinfo((struct sockaddr *)&a, n, NULL, 0, port, sizeof port, NI_NUMERICSERV);
    return (unsigned)strtoul(port, NULL, 10);
}

static bool listen_tcp(struct mk_listener *l, const struct mk_server *s, const char *host, int *out,
                       struct mk_err *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICHOST};
    struct addrinfo *list;
    char port[16];
    snprintf(port, sizeof port, "%u", s->o.port);
    const int why = getaddrinfo(host, port, &hints, &list);
    if (why != 0)
        return mk_fail(err, MK_EUSAGE, "%s is not an address to listen on: %s", host,
                       gai_strerror(why));
    *out = listen_at(list);
    const bool is_v6 = list->ai_family == AF_INET6;
    l->is_local = is_loopback(list);
    freeaddrinfo(list);
    if (*out < 0) return mk_fail_errno(err, "cannot listen on %s port %s", host, port);
    struct mk_str url = {0};
    mk_str_addf(&url, "%s://%s%s%s:%u", s->o.tls_cert ? "https" : "http", is_v6 ? "[" : "", host,
                is_v6 ? "]" : "", port_of(*out));
    l->url = mk_str_take(&url);
    return true;
}

static bool add_listener(struct mk_server *s, const char *host, struct mk_err *err)
{
    if (!strcmp(host, "localhost")) { /* IPv6 where there is some */
        if (!add_listener(s, "127.0.0.1", err)) return false;
        (void)!add_listener(s, "::1", NULL);
        return true;
    }
    int fd;
    struct mk_listener *l = &s->listeners[s->n_listeners];
    const bool is_unix = !strncmp(host, "unix:", 5);
    if (!(is_unix ? listen_unix(l, host + 5, &fd, err) : listen_tcp(l, s, host, &fd, err)))
        return false;
    s->n_listeners++;
    if (mk_daemon_start(l, s, fd, err)) return true;
    close(fd);
    return false;
}

static void close_listeners(struct mk_server *s)
{
    for (size_t i = 0; i < s->n_listeners; i++) {
        struct mk_listener *l = &s->listeners[i];
        if (l->daemon) MHD_stop_daemon(l->daemon);
        if (l->fd >= 0) close(l->fd);
        if (l->socket_path) unlink(l->socket_path);
        free(l->socket_path);
        free(l->url);
    }
    free(s->listeners);
}

const char *mk_server_url(const struct mk_server *s, size_t i)
{
    return i < s->n_listeners ? s->listeners[i].url : NULL;
}

/* ---- starting and stopping --------------------------------------------------------- */

static bool start(struct mk_server *s, struct mk_err *err)
{
    const struct mk_server_options *o = &s->o;
    const struct mk_service_options so = {
        .n_places = o->n_places, .n_queue = o->n_queue, .n_ctx = o->n_ctx, .prefixes = o->prefixes};
    s->tokenizer = mk_engine_tokenizer(s->engine, err);
    if (!s->tokenizer || !mk_sampling_defaults(s->engine, &s->sampling, err) ||
        !mk_keys_read(&s->keys, o->keys, err) ||
        !mk_service_start(&s->service, s->engine, &so, err))
        return false;
    mk_watch_start(s);
    s->listeners = mk_calloc(2 * o->n_hosts, sizeof *s->listeners);
    for (size_t i = 0; i < o->n_hosts; i++)
        if (!add_listener(s, o->hosts[i], err)) return false;
    return true;
}

bool mk_server_set_keys(struct mk_server *s, const char *text, struct mk_err *err)
{
    struct mk_keys keys;
    if (!text) return mk_fail(err, MK_EUSAGE, "there is no key");
    if (!mk_keys_read(&keys, text, err)) return false;
    pthread_rwlock_wrlock(&s->keys_lock);
    const struct mk_keys old = s->keys;
    s->keys = keys;
    pthread_rwlock_unlock(&s->keys_lock);
    free(old.digests);
    return true;
}

bool mk_server_start(struct mk_server **out, struct mk_engine *e, const struct mk_server_options *o,
                     struct mk_err *err)
{
    struct mk_server *s = mk_alloc(sizeof *s);
    s->o = *o;
    s->engine = e;
    mk_shapes_init(&s->shapes);
    mk_replay_init(&s->replay);
    pthread_rwlock_init(&s->keys_lock, NULL);
    s->start_s = mk_now_s();
    s->created = (int64_t)mk_wall_s();
    if (start(s, err)) {
        *out = s;
        return true;
    }
    mk_server_stop(s, 0);
    return false;
}

/* New connections.  The daemon's thread may still look at the socket, so it is closed once that has
 * ended. */
static void refuse(struct mk_listener *l)
{
    l->fd = l->daemon ? MHD_quiesce_daemon(l->daemon) : -1;
    if (l->fd >= 0) shutdown(l->fd, SHUT_RDWR);
}

void mk_server_stop(struct mk_server *s, double drain_s)
{
    atomic_store(&s->is_stopping, true);
    for (size_t i = 0; i < s->n_listeners; i++) refuse(&s->listeners[i]);
    if (s->service) {
        mk_service_stop(s->service, drain_s);
        mk_watch_drain(s, LAST_WORDS_S);
    }
    close_listeners(s); /* nobody calls the other two from now on */
    if (s->service) {
        mk_watch_stop(s);
        mk_service_free(s->service);
    }
    mk_shapes_release(&s->shapes);
    mk_replay_release(&s->replay);
    pthread_rwlock_destroy(&s->keys_lock);
    free(s->keys.digests);
    free(s);
}
