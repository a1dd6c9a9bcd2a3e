/* What a name or an address stands for.  Names of files come from the network too: what is not
 * made of plain characters is refused here, so that nothing below has to quote or escape. */
#include "hub/int_hub.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

const struct mk_hub_entry mk_hub_catalogue[] = {
#define M(name, repo, file, size_mb) {name, repo, file, size_mb},
#include "hub/catalogue.def"
#undef M
    {NULL, NULL, NULL, 0}};

static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
static const char digits[] = "0123456789";
enum { MAX_PATH_BYTES = 512, MAX_NAME_BYTES = 200, SPLIT_SUFFIX = 20 /* -00001-of-00009.gguf */ };

const struct mk_hub_entry *mk_hub_catalogue_find(const char *name)
{
    const size_t n = strlen(name);
    const char next = strchr(name, ':') ? '-' : ':'; /* where a name may leave out the rest */
    for (const struct mk_hub_entry *e = mk_hub_catalogue; n && e->name; e++)
        if (!strncasecmp(e->name, name, n) && (!e->name[n] || e->name[n] == next)) return e;
    return NULL;
}

bool mk_hub_is_safe_path(const char *path)
{
    if (strlen(path) > MAX_PATH_BYTES) return false;
    for (const char *s = path;; s++) {
        const size_t n = strspn(s, plain);
        if (!n || n > MAX_NAME_BYTES || *s == '.') return false;
        s += n;
        if (!*s) return true;
        if (*s != '/') return false;
    }
}

bool mk_hub_ends_with(const char *s, const char *suffix)
{
    const size_t n = strlen(s), m = strlen(suffix);
    return n > m && !strcmp(s + n - m, suffix);
}

const char *mk_hub_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

char *mk_hub_join(const char *a, const char *b, const char *c)
{
    struct mk_str s = {0};
    mk_str_addf(&s, "%s%s%s", a, b, c);
    return mk_str_take(&s);
}

bool mk_hub_is_split(const char *file, size_t *n_stem, unsigned *n_parts)
{
    const size_t n = strlen(file);
    if (n <= SPLIT_SUFFIX || !mk_hub_ends_with(file, ".gguf")) return false;
    const char *s = file + n - SPLIT_SUFFIX;
    if (*s != '-' || strspn(s + 1, digits) != 5 || strncmp(s + 6, "-of-", 4) ||
        strspn(s + 10, digits) != 5)
        return false;
    *n_stem = n - SPLIT_SUFFIX;
    *n_parts = (unsigned)strtoul(s + 10, NULL, 10);
    return *n_parts > 0;
}

/* ---- parsing ----------------------------------------------------------------------------- */

/* prefix + the file's own name; a split set becomes a folder without the numbers. */
static void set_target(struct mk_hub_name *n, const char *prefix, const char *file)
{
    const char *base = mk_hub_base(file);
    struct mk_str s = {0};
    size_t n_stem = strlen(base);
    unsigned n_parts;
    n->is_folder = mk_hub_is_split(base, &n_stem, &n_parts);
    mk_str_addf(&s, "%s%.*s", prefix, (int)n_stem, base);
    n->target = mk_str_take(&s);
}

static void take_entry(struct mk_hub_name *n, const struct mk_hub_entry *e)
{
    size_t n_stem;
    unsigned n_parts;
    struct mk_str target = {0};
    n->is_folder = !*e->file || mk_hub_is_split(e->file, &n_stem, &n_parts);
    mk_str_addf(&target, "%s%s", e->name, n->is_folder ? "" : ".gguf");
    n->target = mk_str_take(&target);
    n->repo = mk_strdup(e->repo);
    n->revision = mk_strdup("main");
    n->file = *e->file ? mk_strdup(e->file) : NULL;
}

/* The end of OWNER/NAME at the start of s, NULL if it does not start so. */
static const char *after_repo(const char *s)
{
    const size_t owner = strcspn(s, "/");
    if (!s[owner]) return NULL;
    const size_t name = strcspn(s + owner + 1, ":/");
    return owner && name ? s + owner + 1 + name : NULL;
}

static bool take_file(struct mk_hub_name *n, const char *file, struct mk_err *err)
{
    struct mk_str prefix = {0};
    if (!mk_hub_is_safe_path(file) || !mk_hub_ends_with(file, ".gguf"))
        return mk_fail(err, MK_EUSAGE, "%s: only .gguf files are fetched by themselves", file);
    n->file = mk_strdup(file);
    mk_str_addf(&prefix, "%s:", n->repo);
    set_target(n, prefix.data, file);
    mk_str_release(&prefix);
    return true;
}

/* OWNER/NAME and then nothing, ":FILE" or "/FILE"; in an address /resolve/REVISION/FILE,
 * /blob/REVISION/FILE or /tree/REVISION. */
static bool parse_repo(struct mk_hub_name *n, const char *s, bool is_address, struct mk_err *err)
{
    const char *end = after_repo(s);
    n->repo = end ? mk_strndup(s, (size_t)(end - s)) : NULL;
    if (!n->repo || !mk_hub_is_safe_path(n->repo))
        return mk_fail(err, MK_EUSAGE, "%s: want OWNER/NAME or OWNER/NAME:FILE.gguf", s);
    const char *file = *end ? end + 1 : end;
    if (is_address && *end == '/' && *file) {
        const char *revision = strchr(file, '/');
        const size_t n_verb = strcspn(file, "/"), n_rest = revision ? strcspn(++revision, "/") : 0;
        const bool is_verb =
            (n_verb == 7 && !memcmp(file, "resolve", 7)) ||
            (n_verb == 4 && (!memcmp(file, "blob", 4) || !memcmp(file, "tree", 4)));
        if (!is_verb || !n_rest)
            return mk_fail(err, MK_EUSAGE, "%s: not the address of a repository or a file", s);
        n->revision = mk_strndup(revision, n_rest);
        file = revision[n_rest] ? revision + n_rest + 1 : "";
        if (!mk_hub_is_safe_path(n->revision))
            return mk_fail(err, MK_EUSAGE, "%s: a revision that is no plain name", n->revision);
    }
    if (!n->revision) n->revision = mk_strdup("main");
    if (*file) return take_file(n, file, err);
    n->target = mk_strdup(n->repo);
    n->is_folder = true;
    return true;
}

/* What follows the hub's host in an address, NULL for another host. */
static const char *after_hub_host(const char *s)
{
    static const char *const hosts[] = {"hf.co/", "huggingface.co/", "www.huggingface.co/"};
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++)
        if (!strncasecmp(s, hosts[i], strlen(hosts[i]))) return s + strlen(hosts[i]);
    return NULL;
}

static bool parse_url(struct mk_hub_name *n, const char *url, const char *path, struct mk_err *err)
{
    if (!mk_hub_is_safe_path(mk_hub_base(path)) || !mk_hub_ends_with(path, ".gguf"))
        return mk_fail(err, MK_EUSAGE, "%s: not the address of a .gguf file", url);
    n->url = mk_strndup(url, strcspn(url, "#"));
    set_target(n, "", path);
    return true;
}

static bool parse(struct mk_hub_name *n, const char *text, struct mk_err *err)
{
    const char *scheme = strstr(text, "://");
    const char *host = scheme ? scheme + 3 : text, *hub = after_hub_host(host);
    if (scheme && strncasecmp(text, "https://", 8) && strncasecmp(text, "http://", 7))
        return mk_fail(err, MK_EUSAGE, "%s: only https is fetched", text);
    if (scheme || hub) {
        const char *path = hub ? hub : host;
        char *bare = mk_strndup(path, strcspn(path, "?#"));
        const bool ok = hub ? parse_repo(n, bare, true, err) : parse_url(n, text, bare, err);
        free(bare);
        return ok;
    }
    const struct mk_hub_entry *e = mk_hub_catalogue_find(text);
    if (e) {
        take_entry(n, e);
        return true;
    }
    if (!strchr(text, '/'))
        return mk_fail(err, MK_EUSAGE, "no model \"%s\" in the catalogue", text);
    return parse_repo(n, text, false, err);
}

bool mk_hub_name_parse(struct mk_hub_name *out, const char *text, struct mk_err *err)
{
    struct mk_hub_name n = {0};
    const bool ok = parse(&n, text, err);
    if (ok)
        *out = n;
    else
        mk_hub_name_release(&n);
    return ok;
}

void mk_hub_name_release(struct mk_hub_name *n)
{
    free(n->target);
    free(n->repo);
    free(n->revision);
    free(n->file);
    free(n->url);
    *n = (struct mk_hub_name){0};
}
