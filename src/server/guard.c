/* Who may ask.  A page in the user's browser can reach a server on the user's machine, so keys are
 * not enough: the Host must be a name of this machine (a page may have made its own name point
 * here), the Origin ours or an allowed one, and a POST's body must say it is JSON (which a page
 * cannot send elsewhere without asking first). */
#include "base/mem.h"
#include "server/digest.h"
#include "server/int_server.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- framing ----------------------------------------------------------------------- */

/* What libmicrohttpd lets pass although a proxy before us may read it in another way, and so take
 * two requests for one. */
struct framing {
    unsigned n_host, n_length, n_encoding;
    bool is_chunked, has_bad_name;
};

static enum MHD_Result on_header(void *arg, enum MHD_ValueKind kind, const char *name,
                                 const char *value)
{
    (void)kind;
    struct framing *f = arg;
    const bool is_encoding = !strcasecmp(name, "Transfer-Encoding");
    f->n_host += !strcasecmp(name, "Host");
    f->n_length += !strcasecmp(name, "Content-Length");
    f->n_encoding += is_encoding;
    f->is_chunked |= is_encoding && value && !strcasecmp(value, "chunked");
    f->has_bad_name |= strpbrk(name, " \t") != NULL;
    return MHD_YES;
}

static bool check_framing(struct mk_exchange *x)
{
    struct framing f = {0};
    MHD_get_connection_values(x->conn, MHD_HEADER_KIND, on_header, &f);
    x->closes = true; /* if it is wrong: nothing that follows is read */
    if (f.has_bad_name)
        mk_answer_error(x, 400, NULL, NULL, "a header's name has a blank in it");
    else if (f.n_host > 1)
        mk_answer_error(x, 400, NULL, NULL, "Host is given %u times", f.n_host);
    else if (f.n_length + f.n_encoding > 1)
        mk_answer_error(x, 400, NULL, NULL,
                        "Content-Length is given %u times, Transfer-Encoding %u: want one of them",
                        f.n_length, f.n_encoding);
    else if (f.n_encoding && !f.is_chunked)
        mk_answer_error(x, 501, NULL, NULL, "Transfer-Encoding is not chunked");
    else
        x->closes = false;
    return !x->closes;
}

/* ---- keys -------------------------------------------------------------------------- */

bool mk_keys_read(struct mk_keys *out, const char *text, struct mk_err *err)
{
    struct mk_keys keys = {0};
    for (const char *line = text; line && *line; line += line[0] == '\n') {
        const size_t n = strcspn(line, "\n");
        size_t first = strspn(line, " \t\r"), last = n;
        if (first > n) first = n;
        while (last > first && strchr(" \t\r", line[last - 1])) last--;
        if (last > first && line[first] != '#') {
            keys.digests = mk_realloc(keys.digests, (keys.n + 1) * sizeof *keys.digests);
            mk_digest(keys.digests[keys.n++], line + first, last - first);
        }
        line += n;
    }
    if (text && keys.n == 0) return mk_fail(err, MK_EUSAGE, "there is no key");
    *out = keys;
    return true;
}

/* The key that a request has: Authorization: Bearer KEY, x-api-key or api-key. */
static const char *key_of(struct MHD_Connection *c)
{
    const char *v = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Authorization");
    if (v && !strncasecmp(v, "Bearer ", 7)) return v + 7;
    v = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "x-api-key");
    return v ? v : MHD_lookup_connection_value(c, MHD_HEADER_KIND, "api-key");
}

/* Takes the same time whatever the key and wherever it differs. */
static bool check_key(struct mk_exchange *x)
{
    struct mk_server *s = x->server;
    const char *key = key_of(x->conn);
    uint8_t d[32];
    mk_digest(d, key ? key : "", key ? strlen(key) : 0);
    unsigned is_right = 0;
    pthread_rwlock_rdlock(&s->keys_lock);
    const struct mk_keys *keys = &s->keys;
    const bool none_is_asked = keys->n == 0;
    for (size_t i = 0; i < keys->n; i++) {
        unsigned differs = 0;
        for (size_t b = 0; b < sizeof d; b++) differs |= (unsigned)(d[b] ^ keys->digests[i][b]);
        is_right |= differs == 0;
    }
    pthread_rwlock_unlock(&s->keys_lock);
    if (is_right) memcpy(&x->owner, d, sizeof x->owner);
    if (is_right || none_is_asked || (x->route->flags & MK_PUBLIC)) return true;
    mk_answer_error(x, 401, NULL, "invalid_api_key", "this server needs a valid API key");
    return false;
}

/* ---- Host and Origin --------------------------------------------------------------- */

static bool ends_in(const char *s, size_t n, const char *end)
{
    const size_t n_end = strlen(end);
    return n >= n_end && !strncasecmp(s + n - n_end, end, n_end);
}

/* s[0..n): a name without port. */
static bool is_our_name(const struct mk_server *s, const char *name, size_t n)
{
    char text[256];
    struct in6_addr address;
    if (n >= sizeof text) return false;
    memcpy(text, name, n);
    text[n] = 0;
    if (n == 0 || !strcasecmp(text, "localhost") || ends_in(text, n, ".localhost")) return true;
    if (inet_pton(AF_INET, text, &address) == 1) return true;
    if (text[0] == '[' && text[n - 1] == ']') {
        text[n - 1] = 0;
        return inet_pton(AF_INET6, text + 1, &address) == 1;
    }
    for (size_t i = 0; i < s->o.n_names; i++)
        if (!strcasecmp(text, s->o.names[i])) return true;
    return false;
}

static size_t without_port(const char *host)
{
    const size_t n = strlen(host);
    if (host[0] == '[') return strcspn(host, "]") + (strchr(host, ']') != NULL);
    const char *colon = strchr(host, ':');
    return colon ? (size_t)(colon - host) : n;
}

static bool check_host(struct mk_exchange *x)
{
    const char *host = MHD_lookup_connection_value(x->conn, MHD_HEADER_KIND, "Host");
    if (!host || is_our_name(x->server, host, without_port(host))) return true;
    mk_answer_error(x, 403, NULL, "host_not_allowed",
                    "Host %.80s is not a name of this server (--name allows one)", host);
    return false;
}

static bool is_allowed_origin(const struct mk_server *s, const char *origin)
{
    for (size_t i = 0; i < s->o.n_origins; i++)
        if (!strcmp(origin, s->o.origins[i])) return true;
    return false;
}

static bool check_origin(struct mk_exchange *x)
{
    const char *origin = MHD_lookup_connection_value(x->conn, MHD_HEADER_KIND, "Origin");
    const char *host = MHD_lookup_connection_value(x->conn, MHD_HEADER_KIND, "Host");
    if (!origin || is_allowed_origin(x->server, origin)) return true;
    const char *name = strstr(origin, "://");
    if (name && host && !strcasecmp(name + 3, host)) return true;
    mk_answer_error(x, 403, NULL, "origin_not_allowed",
                    "Origin %.80s may not call this server (--cors-origin allows one)", origin);
    return false;
}

void mk_guard_headers(struct mk_exchange *x, struct MHD_Response *r)
{
    const char *origin = MHD_lookup_connection_value(x->conn, MHD_HEADER_KIND, "Origin");
    if (!origin || !is_allowed_origin(x->server, origin)) return;
    MHD_add_response_header(r, "Access-Control-Allow-Origin", origin);
    MHD_add_response_header(r, "Vary", "Origin");
    const char *wants =
        MHD_lookup_connection_value(x->conn, MHD_HEADER_KIND, "Access-Control-Request-Headers");
    if (!wants) return;
    MHD_add_response_header(r, "Access-Control-Allow-Methods", "GET, POST, OPTIONS");
    MHD_add_response_header(r, "Access-Control-Allow-Headers", wants);
    MHD_add_response_header(r, "Access-Control-Max-Age", "600");
}

static bool check_type(struct mk_exchange *x)
{
    if (strcmp(x->route->method, "POST") != 0) return true;
    const char *type = MHD_lookup_connection_value(x->conn, MHD_HEADER_KIND, "Content-Type");
    const size_t n = type ? strcspn(type, "; \t") : 0;
    if (n == 16 && !strncasecmp(type, "application/json", n)) return true;
    mk_answer_error(x, 415, NULL, NULL, "Content-Type is %.60s, want application/json",
                    type ? type : "missing");
    return false;
}

bool mk_guard(struct mk_exchange *x)
{
    return check_framing(x) && check_host(x) && check_origin(x) && check_key(x) && check_type(x);
}
