/* Connections that wait for the engine: libmicrohttpd does not look at them meanwhile, so this
 * thread does.  It cancels the job of a client that went away, and wakes those that have heard
 * nothing for a while, so that they are told that we are alive.
 *
 * It also ends connections whose request takes too long to arrive.  libmicrohttpd ends those that
 * are silent; one that sends a byte from time to time would stay. */
#include "base/clock.h"
#include "base/mem.h"
#include "server/int_server.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const double SILENCE_S = 5.0;
enum { TICK_MS = 250 };

static int socket_of(const struct mk_exchange *x)
{
    return MHD_get_connection_info(x->conn, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
}

/* A client that closed its side of a stream is gone.  One that waits for a whole answer may have
 * closed only its sending half, which is legal: it is sent a sign of life, and if it is gone after
 * all, its system answers that with a reset. */
static void look_at(struct mk_exchange *x, short events, double now)
{
    const bool is_half_gone = (events & POLLRDHUP) != 0;
    const bool is_gone = (events & (POLLHUP | POLLERR)) || (x->streams && is_half_gone);
    if (is_gone) mk_job_cancel(x->job);
    x->is_gone |= is_gone;
    x->is_half_gone |= is_half_gone;
    if (atomic_exchange(&x->has_sent, false)) x->sent_s = now;
    if (is_gone || is_half_gone || now - x->sent_s > SILENCE_S) {
        x->sent_s = now;
        atomic_store(&x->is_due, true);
        mk_job_nudge(x->job);
    }
}

/* All that are watched, and the event; *list has room for *cap.  What is known of one is not asked
 * again.  Each remembers its place, because a socket's number does not tell whose an event is: it
 * may be closed while poll waits, and the next connection gets its number.  Under lock. */
static size_t poll_list(struct mk_server *s, struct pollfd **list, size_t *cap)
{
    if (*cap < s->n_watched + 1) {
        *cap = 2 * (s->n_watched + 1);
        *list = mk_realloc(*list, *cap * sizeof **list);
    }
    size_t n = 0;
    (*list)[n++] = (struct pollfd){.fd = s->watch_event, .events = POLLIN};
    for (struct mk_exchange *x = s->watched; x; x = x->next) {
        x->in_list = n;
        (*list)[n++] = (struct pollfd){.fd = x->is_gone ? -1 : socket_of(x),
                                       .events = x->is_half_gone ? 0 : POLLRDHUP};
    }
    return n;
}

static void interrupt(struct mk_server *s)
{
    const uint64_t one = 1;
    (void)!write(s->watch_event, &one, sizeof one);
}

/* ---- requests that do not arrive --------------------------------------------------- */

struct mk_peer {
    struct mk_peer *prev, *next;
    int fd;
    double due_s; /* when a request must be there; 0: none is being read */
};

struct mk_peer *mk_peer_add(struct mk_server *s, int fd)
{
    struct mk_peer *p = mk_alloc(sizeof *p);
    p->fd = fd;
    pthread_mutex_lock(&s->watch_lock);
    p->next = s->peers;
    if (p->next) p->next->prev = p;
    s->peers = p;
    pthread_mutex_unlock(&s->watch_lock);
    return p;
}

void mk_peer_expect(struct mk_server *s, struct mk_peer *p, double seconds)
{
    pthread_mutex_lock(&s->watch_lock);
    p->due_s = seconds > 0 ? mk_now_s() + seconds : 0;
    if (seconds > 0 && s->watch_rests) interrupt(s);
    pthread_mutex_unlock(&s->watch_lock);
}

void mk_peer_remove(struct mk_server *s, struct mk_peer *p)
{
    pthread_mutex_lock(&s->watch_lock);
    if (p->prev)
        p->prev->next = p->next;
    else
        s->peers = p->next;
    if (p->next) p->next->prev = p->prev;
    pthread_mutex_unlock(&s->watch_lock);
    free(p);
}

/* Shuts those that are due, which makes libmicrohttpd end them, and says whether others will
 * be.  Under lock, so that their sockets are open. */
static bool shut_late(struct mk_server *s, double now)
{
    bool is_awaited = false;
    for (struct mk_peer *p = s->peers; p; p = p->next) {
        if (p->due_s > 0 && now > p->due_s) {
            shutdown(p->fd, SHUT_RDWR);
            p->due_s = 0;
        }
        is_awaited |= p->due_s > 0;
    }
    return is_awaited;
}

/* ---- the thread -------------------------------------------------------------------- */

static void *run(void *arg)
{
    struct mk_server *s = arg;
    struct pollfd *list = NULL;
    size_t cap = 0;
    pthread_mutex_lock(&s->watch_lock);
    while (!s->watch_ends) {
        const bool is_awaited = shut_late(s, mk_now_s());
        const size_t n = poll_list(s, &list, &cap);
        const bool rests = s->watch_rests = n == 1 && !is_awaited;
        pthread_mutex_unlock(&s->watch_lock);
        uint64_t count;
        if (poll(list, n, rests ? -1 : TICK_MS) > 0 && (list[0].revents & POLLIN))
            (void)!read(s->watch_event, &count, sizeof count);
        pthread_mutex_lock(&s->watch_lock);
        const double now = mk_now_s();
        for (struct mk_exchange *x = s->watched; x; x = x->next)
            look_at(x, x->in_list ? list[x->in_list].revents : 0, now);
    }
    pthread_mutex_unlock(&s->watch_lock);
    free(list);
    return NULL;
}

void mk_watch_start(struct mk_server *s)
{
    pthread_mutex_init(&s->watch_lock, NULL);
    s->watch_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->watch_event < 0 || pthread_create(&s->watch, NULL, run, s) != 0) abort();
}

void mk_watch_drain(struct mk_server *s, double limit_s)
{
    const double end = mk_now_s() + limit_s;
    const struct timespec pause = {.tv_nsec = 5000000};
    for (;;) {
        pthread_mutex_lock(&s->watch_lock);
        const size_t n = s->n_watched;
        pthread_mutex_unlock(&s->watch_lock);
        if (n == 0 || mk_now_s() > end) return;
        nanosleep(&pause, NULL);
    }
}

void mk_watch_stop(struct mk_server *s)
{
    pthread_mutex_lock(&s->watch_lock);
    s->watch_ends = true;
    pthread_mutex_unlock(&s->watch_lock);
    interrupt(s);
    pthread_join(s->watch, NULL);
    close(s->watch_event);
    pthread_mutex_destroy(&s->watch_lock);
}

void mk_watch_add(struct mk_exchange *x)
{
    struct mk_server *s = x->server;
    x->sent_s = mk_now_s();
    x->in_list = 0;
    pthread_mutex_lock(&s->watch_lock);
    x->next = s->watched;
    if (x->next) x->next->prev = x;
    s->watched = x;
    s->n_watched++;
    pthread_mutex_unlock(&s->watch_lock);
    interrupt(s);
}

bool mk_watch_answer_now(const struct mk_exchange *asker, const char *id)
{
    struct mk_server *s = asker->server;
    const size_t n = strlen(id);
    bool found = false;
    pthread_mutex_lock(&s->watch_lock);
    for (struct mk_exchange *x = s->watched; x && !found; x = x->next) {
        const size_t n_id = strlen(x->id);
        found = x->owner == asker->owner && n >= n_id && !strcmp(id + n - n_id, x->id);
        if (found) atomic_store(&x->job->answers_now, true);
    }
    pthread_mutex_unlock(&s->watch_lock);
    return found;
}

void mk_watch_remove(struct mk_exchange *x)
{
    struct mk_server *s = x->server;
    pthread_mutex_lock(&s->watch_lock);
    if (x->prev || s->watched == x) {
        if (x->prev)
            x->prev->next = x->next;
        else
            s->watched = x->next;
        if (x->next) x->next->prev = x->prev;
        x->prev = x->next = NULL;
        s->n_watched--;
    }
    pthread_mutex_unlock(&s->watch_lock);
}
