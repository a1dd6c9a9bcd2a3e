/* libcurl does the transfer.  Redirects are followed here, because the rules about schemes and
 * about the token are easier to see than to configure. */
#include "hub/int_http.h"

#include "base/clock.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { MAX_REDIRECTS = 10, CONNECT_S = 30, SILENCE_S = 60 };

/* ---- where a request may go -------------------------------------------------------------- */

struct place {
    char *scheme, *host, *origin; /* origin: scheme://host:port */
};

static void place_release(struct place *p)
{
    free(p->scheme);
    free(p->host);
    free(p->origin);
    *p = (struct place){0};
}

static char *url_part(CURLU *u, CURLUPart part)
{
    char *s = NULL, *copy;
    if (curl_url_get(u, part, &s, CURLU_DEFAULT_PORT)) return NULL;
    copy = mk_strdup(s);
    curl_free(s);
    for (char *c = copy; *c; c++)
        if (*c >= 'A' && *c <= 'Z') *c = (char)(*c + 32);
    return copy;
}

static bool place_of(struct place *out, const char *url, struct mk_err *err)
{
    CURLU *u = curl_url();
    if (!u) return mk_fail(err, MK_ENOMEM, "no memory for an address");
    struct place p = {0};
    struct mk_str origin = {0};
    char *port = NULL;
    if (!curl_url_set(u, CURLUPART_URL, url, CURLU_DISALLOW_USER)) {
        p.scheme = url_part(u, CURLUPART_SCHEME);
        p.host = url_part(u, CURLUPART_HOST);
        port = url_part(u, CURLUPART_PORT);
    }
    const bool ok = p.scheme && p.host && port;
    if (ok) {
        mk_str_addf(&origin, "%s://%s:%s", p.scheme, p.host, port);
        p.origin = mk_str_take(&origin);
        *out = p;
    } else {
        mk_fail(err, MK_EUSAGE, "%s: not an address that can be fetched", url);
        place_release(&p);
    }
    free(port);
    curl_url_cleanup(u);
    return ok;
}

static bool is_this_machine(const struct place *p)
{
    return !strcmp(p->host, "localhost") || !strcmp(p->host, "127.0.0.1") ||
           !strcmp(p->host, "[::1]");
}

static bool is_allowed(const struct mk_hub_options *o, const struct place *p, const char *url,
                       struct mk_err *err)
{
    if (!strcmp(p->scheme, "https")) return true;
    if (strcmp(p->scheme, "http"))
        return mk_fail(err, MK_EUSAGE, "%s: %s is not fetched, only https", url, p->scheme);
    if (is_this_machine(p) || o->allows_http) return true;
    return mk_fail(err, MK_EUSAGE, "%s: http can be read and changed on its way; want https", url);
}

static bool gets_token(const struct mk_http *h, const struct place *p)
{
    const bool is_private = !strcmp(p->scheme, "https") || is_this_machine(p);
    return h->o->token && *h->o->token && is_private && !strcmp(p->origin, h->origin);
}

/* It becomes a line of the request. */
static bool check_token(const char *token, struct mk_err *err)
{
    for (const char *s = token; s && *s; s++)
        if (*s <= ' ' || *s > '~')
            return mk_fail(err, MK_EUSAGE, "the token for the hub holds a character no token has");
    return true;
}

bool mk_http_open(struct mk_http *out, const struct mk_hub_options *o, struct mk_err *err)
{
    static bool is_ready;
    struct place p;
    if (!is_ready && curl_global_init(CURL_GLOBAL_DEFAULT))
        return mk_fail(err, MK_EIO, "libcurl does not start");
    is_ready = true;
    if (!check_token(o->token, err)) return false;
    if (!place_of(&p, o->endpoint, err)) return mk_fail_in(err, "the endpoint");
    struct mk_http h = {.curl = curl_easy_init(), .o = o, .origin = mk_strdup(p.origin)};
    const bool ok = is_allowed(o, &p, o->endpoint, err);
    place_release(&p);
    if (ok && h.curl) {
        *out = h;
        return true;
    }
    mk_http_close(&h);
    return ok ? mk_fail(err, MK_ENOMEM, "no memory for a connection") : false;
}

void mk_http_close(struct mk_http *h)
{
    if (h->curl) curl_easy_cleanup(h->curl);
    free(h->origin);
    *h = (struct mk_http){0};
}

bool mk_hub_fail_stopped(struct mk_err *err)
{
    return mk_fail(err, MK_ECANCELED, "stopped; the same command goes on from here");
}

/* ---- one request ------------------------------------------------------------------------- */

struct transfer {
    struct mk_http *h;
    struct mk_http_get *g;
    struct mk_err *err; /* of begin and take */
    bool has_begun, has_failed;
};

static const char *header(CURL *c, const char *name)
{
    struct curl_header *h;
    return curl_easy_header(c, name, 0, CURLH_HEADER, -1, &h) ? "" : h->value;
}

/* "bytes 100-199/500" */
static bool read_content_range(const char *s, uint64_t *start, uint64_t *size)
{
    unsigned long long a, b, n;
    if (sscanf(s, "bytes %20llu-%20llu/%20llu", &a, &b, &n) != 3 || a > b || b >= n) return false;
    *start = a;
    *size = n;
    return true;
}

static void read_headers(CURL *c, struct mk_http_get *g)
{
    curl_off_t length = -1;
    const char *etag = header(c, "ETag"), *type = header(c, "Content-Type");
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &g->status);
    curl_easy_getinfo(c, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    g->start = 0;
    g->size = length < 0 ? MK_HTTP_UNKNOWN : (uint64_t)length;
    g->is_page = !strncasecmp(type, "text/html", 9);
    const bool is_strong = *etag == '"' && strlen(etag) < sizeof g->etag;
    snprintf(g->etag, sizeof g->etag, "%s", is_strong ? etag : "");
    const long wait_s = strtol(header(c, "Retry-After"), NULL, 10); /* a date reads as 0 */
    g->retry_after_s = wait_s > 0 && wait_s <= 300 ? (double)wait_s : 0;
}

static bool begin(struct transfer *t)
{
    struct mk_http_get *g = t->g;
    CURL *c = t->h->curl;
    t->has_begun = true;
    read_headers(c, g);
    if (g->status != 200 && g->status != 206) return true;
    if (g->status == 206 && !read_content_range(header(c, "Content-Range"), &g->start, &g->size))
        t->has_failed = !mk_fail(t->err, MK_EFORMAT,
                                 "%s: the server sends a part of the file and "
                                 "does not say which",
                                 g->url);
    else
        t->has_failed = !g->begin(g->arg, t->err);
    return !t->has_failed;
}

static size_t on_bytes(char *bytes, size_t size, size_t n, void *arg)
{
    struct transfer *t = arg;
    n *= size;
    if (!t->has_begun && !begin(t)) return 0;
    if (t->g->status != 200 && t->g->status != 206) return n; /* the page of an error */
    t->has_failed = !t->g->take(t->g->arg, bytes, n, t->err);
    return t->has_failed ? 0 : n;
}

static int on_progress(void *arg, curl_off_t total, curl_off_t now, curl_off_t up_total,
                       curl_off_t up_now)
{
    const struct mk_http *h = arg;
    (void)total, (void)now, (void)up_total, (void)up_now;
    return h->o->is_stopped && h->o->is_stopped();
}

static struct curl_slist *add_header(struct curl_slist *list, const char *name, const char *value)
{
    struct mk_str s = {0};
    mk_str_addf(&s, "%s: %s", name, value);
    struct curl_slist *longer = curl_slist_append(list, s.data);
    mk_str_release(&s);
    return longer ? longer : list;
}

static void set_options(struct transfer *t, const char *url, struct curl_slist *headers,
                        const char *range)
{
    CURL *c = t->h->curl;
    curl_easy_reset(c); /* keeps the connection */
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_USERAGENT, "minke/" MK_VERSION);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c, CURLOPT_RANGE, range);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)SILENCE_S);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, t->h);
}

static bool is_passing(CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_PARTIAL_FILE:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return true;
    default:
        return false;
    }
}

static bool fail_transfer(struct transfer *t, CURLcode code, const char *text)
{
    if (t->has_failed) return false; /* *err says how */
    if (code == CURLE_ABORTED_BY_CALLBACK) return mk_hub_fail_stopped(t->err);
    t->g->may_retry = is_passing(code);
    return mk_fail(t->err, MK_EIO, "%s: %s", t->g->url, *text ? text : curl_easy_strerror(code));
}

static bool fetch_once(struct transfer *t, const char *url, bool with_token)
{
    char text[CURL_ERROR_SIZE] = "", range[32];
    struct curl_slist *headers = NULL;
    struct mk_str bearer = {0};
    if (with_token) {
        mk_str_addf(&bearer, "Bearer %s", t->h->o->token);
        headers = add_header(headers, "Authorization", bearer.data);
    }
    if (t->g->from && t->g->if_range) headers = add_header(headers, "If-Range", t->g->if_range);
    snprintf(range, sizeof range, "%llu-", (unsigned long long)t->g->from);
    set_options(t, url, headers, t->g->from ? range : NULL);
    curl_easy_setopt(t->h->curl, CURLOPT_ERRORBUFFER, text);
    t->has_begun = false;
    const CURLcode code = curl_easy_perform(t->h->curl);
    curl_easy_setopt(t->h->curl, CURLOPT_ERRORBUFFER, NULL);
    curl_slist_free_all(headers);
    mk_str_release(&bearer);
    if (code) return fail_transfer(t, code, text);
    return t->has_begun || begin(t); /* without a body nothing has begun */
}

static bool is_redirect(long status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static bool fail_status(const struct mk_http *h, struct mk_http_get *g, struct mk_err *err)
{
    g->may_retry = g->status == 408 || g->status == 429 || g->status >= 500;
    if (g->status == 404 || g->status == 410)
        return mk_fail(err, MK_EIO, "%s: not there (%ld)", g->url, g->status);
    if ((g->status == 401 || g->status == 403) && h->o->token && *h->o->token)
        return mk_fail(err, MK_EIO,
                       "%s: not there, or the token in HF_TOKEN may not read it; ask "
                       "for access on the model's page (%ld)",
                       g->url, g->status);
    if (g->status == 401 || g->status == 403)
        return mk_fail(err, MK_EIO,
                       "%s: not there, or gated or private; set HF_TOKEN to a token "
                       "that may read it (%ld)",
                       g->url, g->status);
    return mk_fail(err, MK_EIO, "%s: the server answers %ld", g->url, g->status);
}

/* Where the answer sends us; free it. */
static char *next_place(CURL *c, const struct place *now, struct mk_err *err)
{
    char *next = NULL;
    curl_easy_getinfo(c, CURLINFO_REDIRECT_URL, &next);
    if (!next) {
        mk_fail(err, MK_EFORMAT, "a redirect that does not say where to");
    } else if (!strcmp(now->scheme, "https") && strncasecmp(next, "https:", 6)) {
        mk_fail(err, MK_EUSAGE, "a redirect from https to \"%.200s\" is not followed", next);
    } else {
        return mk_strdup(next);
    }
    return NULL;
}

bool mk_http_get(struct mk_http *h, struct mk_http_get *g, struct mk_err *err)
{
    struct transfer t = {.h = h, .g = g, .err = err};
    char *url = mk_strdup(g->url);
    bool ok = true, is_done = false;
    g->may_retry = false;
    g->retry_after_s = 0;
    for (int hop = 0; ok && !is_done; hop++) {
        struct place p = {0};
        ok = place_of(&p, url, err) && is_allowed(h->o, &p, url, err) &&
             fetch_once(&t, url, gets_token(h, &p));
        is_done = ok && !is_redirect(g->status);
        if (ok && !is_done && hop == MAX_REDIRECTS)
            ok = mk_fail(err, MK_EIO, "%s: more than %d redirects", g->url, MAX_REDIRECTS);
        if (ok && !is_done) {
            free(url);
            url = next_place(h->curl, &p, err);
            ok = url || mk_fail_in(err, "%s", g->url);
        }
        place_release(&p);
    }
    free(url);
    if (ok && g->status != 200 && g->status != 206) ok = fail_status(h, g, err);
    return ok;
}

/* ---- again ------------------------------------------------------------------------------- */

static bool sleep_or_stop(const struct mk_http *h, double wait_s, struct mk_err *err)
{
    const double end_s = mk_now_s() + wait_s;
    while (mk_now_s() < end_s) {
        if (h->o->is_stopped && h->o->is_stopped()) return mk_hub_fail_stopped(err);
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
    return true;
}

/* 0.5, 1, 2, ... 32 seconds, or what the server asks for. */
bool mk_retry_wait(struct mk_retry *r, const struct mk_http *h, const struct mk_http_get *g,
                   const char *file, struct mk_err *err)
{
    if (!g->may_retry || r->n >= h->o->n_retries) return false;
    double wait_s = 0.5 * (double)(1u << (r->n < 6 ? r->n : 6));
    if (g->retry_after_s > wait_s) wait_s = g->retry_after_s;
    r->n++;
    if (h->o->tell)
        h->o->tell(h->o->arg,
                   &(struct mk_hub_event){
                       .kind = MK_HUB_RETRY, .file = file, .text = err->msg, .wait_s = wait_s});
    return sleep_or_stop(h, wait_s, err);
}

struct text {
    struct mk_str *out;
    size_t max_bytes;
    const char *url;
};

static bool text_begin(void *arg, struct mk_err *err)
{
    struct text *t = arg;
    (void)err;
    mk_str_clear(t->out);
    return true;
}

static bool text_take(void *arg, const void *bytes, size_t n, struct mk_err *err)
{
    struct text *t = arg;
    if (n > t->max_bytes - t->out->len)
        return mk_fail(err, MK_ELIMIT, "%s: more than %zu bytes", t->url, t->max_bytes);
    mk_str_append(t->out, bytes, n);
    return true;
}

bool mk_http_text(struct mk_http *h, const char *url, size_t max_bytes, struct mk_str *out,
                  struct mk_err *err)
{
    struct text t = {out, max_bytes, url};
    struct mk_http_get g = {.url = url, .begin = text_begin, .take = text_take, .arg = &t};
    struct mk_retry retry = {0};
    while (!mk_http_get(h, &g, err))
        if (!mk_retry_wait(&retry, h, &g, NULL, err)) return false;
    return true;
}
