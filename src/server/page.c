/* The chat page: files that are part of the program.  Its policy lets the browser load nothing from
 * elsewhere and run nothing but these scripts, whatever a model writes. */
#include "server/int_server.h"

#include <string.h>

#define F(symbol, path, type, file) extern const char mk_web_##symbol[], mk_web_##symbol##_end[];
#include "server/web.def"
#undef F

static const struct {
    const char *path, *type, *data, *end;
} files[] = {
#define F(symbol, path, type, file) {path, type, mk_web_##symbol, mk_web_##symbol##_end},
#include "server/web.def"
#undef F
};

static void answer(struct mk_exchange *x)
{
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        if (strcmp(files[i].path, x->path) != 0) continue;
        mk_str_append(&x->out, files[i].data, (size_t)(files[i].end - files[i].data));
        x->type = files[i].type;
        x->status = 200;
        x->is_page = true;
    }
}

const struct mk_route *mk_page_route(const char *path)
{
    static const struct mk_route route = {"GET", "page", answer, MK_PUBLIC};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (!strcmp(files[i].path, path)) return &route;
    return NULL;
}

void mk_page_headers(struct MHD_Response *r)
{
    static const char *const headers[][2] = {
        {"Content-Security-Policy",
         "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
         "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
        {"Referrer-Policy", "no-referrer"},
        {"X-Frame-Options", "DENY"},
        {"Cross-Origin-Opener-Policy", "same-origin"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"Permissions-Policy", "camera=(), microphone=(), geolocation=()"},
    };
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
        MHD_add_response_header(r, headers[i][0], headers[i][1]);
}
