#ifndef MK_HUB_INT_HTTP_H
#define MK_HUB_INT_HTTP_H
/* GET requests, with the rules of where they may go: https only (http on this machine, or when it
 * is allowed), at most ten redirects, never from https to http, and the token to the hub alone. */
#include "base/err.h"
#include "base/str.h"
#include "hub/hub.h"

#include <curl/curl.h>

#define MK_HTTP_UNKNOWN UINT64_MAX /* a size */

struct mk_http { /* owned by one thread */
    CURL *curl;
    const struct mk_hub_options *o; /* kept */
    char *origin;                   /* of the endpoint: "https://huggingface.co:443" */
};
bool mk_http_open(struct mk_http *h, const struct mk_hub_options *o, struct mk_err *err) MK_CHECKED;
void mk_http_close(struct mk_http *h);

/* Fails because the user wants to stop. */
bool mk_hub_fail_stopped(struct mk_err *err);

struct mk_http_get {
    const char *url;
    uint64_t from;        /* the first byte wanted */
    const char *if_range; /* from holds for this ETag only, else all bytes come; NULL: whatever */
    /* Called once, after the headers of an answer with a body, and then with the body. */
    bool (*begin)(void *arg, struct mk_err *err);
    bool (*take)(void *arg, const void *bytes, size_t n, struct mk_err *err);
    void *arg;

    /* The answer; valid from begin on. */
    long status;
    uint64_t start, size; /* where the bytes begin, and of how many in all */
    char etag[256];       /* "" for none and for a weak one */
    bool is_page;         /* HTML */
    /* After a failure. */
    bool may_retry;
    double retry_after_s; /* 0: the server did not say */
};
bool mk_http_get(struct mk_http *h, struct mk_http_get *g, struct mk_err *err) MK_CHECKED;

/* Attempts that brought nothing new. */
struct mk_retry {
    unsigned n;
};
/* After a failure that *err tells: waits and returns true if another attempt is worth it. */
bool mk_retry_wait(struct mk_retry *r, const struct mk_http *h, const struct mk_http_get *g,
                   const char *file, struct mk_err *err) MK_CHECKED;

/* A whole answer of at most max_bytes, with retries. */
bool mk_http_text(struct mk_http *h, const char *url, size_t max_bytes, struct mk_str *out,
                  struct mk_err *err) MK_CHECKED;
#endif
