/* minke serve: the API over HTTP until a signal ends it. */
#include "base/file.h"
#include "base/mem.h"
#include "cli/dialog.h"
#include "server/confine.h"
#include "server/notify.h"
#include "server/server.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct serve_opts {
    struct mk_model_opts model;
    struct mk_speculate_opts speculate;
    struct mk_strs hosts, origins, names;
    const char *template, *think, *key_file, *tls_cert, *tls_key, *alias, *cache_dir;
    size_t cache_bytes, cache_disk_bytes;
    size_t port, n_places, n_queue, max_body_bytes, max_connections, max_per_address, client_s;
    size_t drain_s;
    bool no_auth, no_sandbox, quiet;
};

/* ---- keys -------------------------------------------------------------------------- */

static void add_text(struct mk_str *all, const char *text)
{
    mk_str_add(all, text);
    mk_str_addc(all, '\n');
}

enum { MAX_KEY_BYTES = 1 << 20 }; /* of a file */

static bool add_file(struct mk_str *all, const char *path, struct mk_err *err)
{
    struct mk_str text = {0};
    if (!mk_file_read(&text, path, MAX_KEY_BYTES, err)) return false;
    add_text(all, mk_str_c(&text));
    mk_str_release(&text);
    return true;
}

static bool add_key_file(struct mk_str *all, const char *path, struct mk_err *err)
{
    struct stat st;
    if (stat(path, &st) == 0 && (st.st_mode & 077))
        return mk_fail(err, MK_EUSAGE, "others can read %s: chmod 600 it first", path);
    return add_file(all, path, err);
}

/* systemd's, or NULL. */
static char *credential_path(void)
{
    const char *dir = getenv("CREDENTIALS_DIRECTORY");
    struct mk_str path = {0};
    if (!dir) return NULL;
    mk_str_addf(&path, "%s/api-key", dir);
    if (mk_file_exists(path.data)) return mk_str_take(&path);
    mk_str_release(&path);
    return NULL;
}

/* From --api-key-file, $MINKE_API_KEY, and systemd's credential api-key.  *out NULL: none. */
static bool read_keys(char **out, const struct serve_opts *o, struct mk_err *err)
{
    struct mk_str all = {0};
    const char *env = getenv("MINKE_API_KEY");
    char *credential = credential_path();
    if (env && *env) add_text(&all, env);
    const bool ok = (!o->key_file || add_key_file(&all, o->key_file, err)) &&
                    (!credential || add_file(&all, credential, err));
    free(credential);
    if (ok)
        *out = all.len ? mk_str_take(&all) : NULL;
    else
        mk_str_release(&all);
    return ok;
}

/* SIGHUP: the files may have changed. */
static void read_keys_again(const struct serve_opts *o, struct mk_server *s)
{
    struct mk_err err;
    char *keys = NULL;
    if (read_keys(&keys, o, &err) && mk_server_set_keys(s, keys, &err))
        fprintf(stderr, "minke: the keys are read again\n");
    else
        fprintf(stderr, "minke: warning: the keys stay as they were: %s\n", err.msg);
    free(keys);
}

static bool is_loopback(const char *host)
{
    return !strcmp(host, "localhost") || !strncmp(host, "127.", 4) || !strcmp(host, "::1") ||
           !strncmp(host, "unix:", 5);
}

static void check_exposure(const struct serve_opts *o, const char *keys)
{
    for (size_t i = 0; i < o->hosts.n; i++) {
        if (is_loopback(o->hosts.v[i]) || keys) continue;
        if (!o->no_auth)
            mk_cli_usage("serve",
                         "--host %s lets others in: give --api-key-file, or say --insecure-no-auth",
                         o->hosts.v[i]);
        fprintf(stderr, "minke: warning: whoever reaches %s may use this server\n", o->hosts.v[i]);
    }
}

/* ---- the model --------------------------------------------------------------------- */

/* "tiny" for .../tiny.gguf and for the folder tiny/. */
static char *model_name(const struct serve_opts *o)
{
    if (o->alias) return mk_strdup(o->alias);
    const char *name = o->model.model ? o->model.model : "tiny";
    size_t n = strlen(name);
    while (n > 1 && name[n - 1] == '/') n--;
    size_t first = n;
    while (first && name[first - 1] != '/') first--;
    if (n - first > 5 && !strncmp(name + n - 5, ".gguf", 5)) n -= 5;
    return mk_strndup(name + first, n - first);
}

static const struct mk_template *choose_template(const struct serve_opts *o,
                                                 const struct mk_tokenizer *t)
{
    const struct mk_template *template;
    struct mk_err err;
    if (o->template) return mk_cli_template("serve", o->template);
    if (mk_template_detect(&template, t, &err)) return template;
    if (!mk_tokenizer_template(t)) return NULL;
    mk_cli_die(&err);
}

static bool chooses_thinking(const struct serve_opts *o, const struct mk_template *template,
                             const struct mk_tokenizer *t)
{
    if (!template) return false;
    if (!o->think) return mk_template_thinks(template, t);
    const bool is_on = !strcmp(o->think, "on");
    if (is_on ? !template->can_think : !template->can_not_think)
        mk_cli_usage("serve", "--think %s: the template %s knows only the other way", o->think,
                     template->name);
    return is_on;
}

/* ---- running ----------------------------------------------------------------------- */

static void log_to_stderr(const char *line) { fprintf(stderr, "%s\n", line); }

/* The folder of the socket that is listened on, to free(); NULL: there is none. */
static char *socket_folder(const struct serve_opts *o)
{
    for (size_t i = 0; i < o->hosts.n; i++) {
        const char *path = o->hosts.v[i] + 5, *slash = strrchr(path, '/');
        if (strncmp(o->hosts.v[i], "unix:", 5) != 0) continue;
        return slash ? mk_strndup(path, slash > path ? (size_t)(slash - path) : 1) : mk_strdup(".");
    }
    return NULL;
}

static void warn_open(const struct mk_err *err)
{
    fprintf(stderr, "minke: warning: not confined: %s (--no-sandbox says so on purpose)\n",
            err->msg);
}

/* Before there are threads. */
static void confine_files(const struct serve_opts *o)
{
    struct mk_err err;
    char *folder = socket_folder(o);
    if (o->cache_dir && !mk_mkdirs(o->cache_dir, 0700, &err)) mk_cli_die(&err);
    if (o->no_sandbox)
        fprintf(stderr,
                "minke: warning: --no-sandbox: this process may do whatever its user may\n");
    else if (!mk_confine_files(folder, o->cache_dir, &err))
        warn_open(&err);
    free(folder);
}

static void say_where(const struct mk_server *s, const char *name, const struct mk_info *info,
                      const char *keys)
{
    fprintf(stderr, "minke " MK_VERSION ": %s (%s), %u threads, %s\n", name, info->kind,
            info->n_threads, keys ? "keys are asked" : "no key is asked");
    for (size_t i = 0; mk_server_url(s, i); i++) printf("%s\n", mk_server_url(s, i));
    mk_cli_flush();
}

/* SIGHUP is left to end the program when its terminal goes, unless there are files to read again.
 */
static void choose_signals(sigset_t *set, const struct serve_opts *o)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    if (o->key_file || getenv("CREDENTIALS_DIRECTORY")) sigaddset(set, SIGHUP);
}

/* Until SIGTERM or SIGINT; a second one ends the program at once. */
static void wait_for_end(const sigset_t *set, const struct serve_opts *o, struct mk_server *s)
{
    int which;
    while (sigwait(set, &which) == 0 && which == SIGHUP) read_keys_again(o, s);
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, set, NULL);
}

static void serve(const struct serve_opts *o)
{
    struct mk_err err;
    struct mk_server *s;
    sigset_t set;
    char *keys, *name = model_name(o);
    if (!read_keys(&keys, o, &err)) mk_cli_die(&err);
    check_exposure(o, keys);
    choose_signals(&set, o);
    signal(SIGPIPE, SIG_IGN);
    umask(077); /* what it writes is for this user alone */
    struct mk_str cert = {0}, key = {0};
    if (o->tls_cert) cert = mk_cli_read(o->tls_cert);
    if (o->tls_key) key = mk_cli_read(o->tls_key);
    pthread_sigmask(SIG_BLOCK, &set, NULL); /* for all threads: this one waits for them */
    const int notify = mk_notify_open(getenv("NOTIFY_SOCKET"));
    confine_files(o);
    struct mk_engine *e = mk_cli_open(&o->model, &o->speculate);
    const struct mk_tokenizer *t = mk_engine_tokenizer(e, &err);
    if (!t) mk_cli_die(&err);
    const struct mk_template *template = choose_template(o, t);
    const struct mk_server_options so = {.hosts = o->hosts.v,
                                         .n_hosts = o->hosts.n,
                                         .port = (unsigned)o->port,
                                         .model_name = name,
                                         .keys = keys,
                                         .origins = o->origins.v,
                                         .n_origins = o->origins.n,
                                         .names = o->names.v,
                                         .n_names = o->names.n,
                                         .tls_cert = cert.data,
                                         .tls_key = key.data,
                                         .n_places = o->n_places,
                                         .n_queue = o->n_queue,
                                         .n_ctx = o->model.n_ctx,
                                         .prefixes = {.max_bytes = o->cache_bytes,
                                                      .dir = o->cache_dir,
                                                      .max_disk_bytes = o->cache_disk_bytes},
                                         .max_body_bytes = o->max_body_bytes,
                                         .max_connections = o->max_connections,
                                         .max_per_address = o->max_per_address,
                                         .client_s = (unsigned)o->client_s,
                                         .default_thinking = chooses_thinking(o, template, t),
                                         .template = template,
                                         .log = o->quiet ? NULL : log_to_stderr};
    const struct mk_info info = mk_engine_info(e);
    if (!mk_server_start(&s, e, &so, &err)) mk_cli_die(&err);
    if (!o->no_sandbox && !mk_confine_calls(&err)) warn_open(&err);
    say_where(s, name, &info, keys);
    mk_notify(notify, "READY=1");
    wait_for_end(&set, o, s);
    mk_notify(notify, "STOPPING=1");
    mk_server_stop(s, (double)o->drain_s);
    mk_engine_close(e);
    mk_str_release(&cert);
    mk_str_release(&key);
    free(keys);
    free(name);
}

int mk_cmd_serve(int argc, char **argv)
{
    static const char *localhost[] = {"localhost"};
    struct serve_opts o = {.port = 8080,
                           .n_places = 16,
                           .n_queue = 64,
                           .cache_bytes = 256 << 20,
                           .cache_disk_bytes = (size_t)4 << 30,
                           .max_body_bytes = 32 << 20,
                           .max_connections = 1024,
                           .max_per_address = 128,
                           .client_s = 30,
                           .drain_s = 30};
    const struct mk_opt opts[] = {
        MK_OPTS_MODEL(o.model),
        MK_OPT_RAM(o.model),
        MK_OPTS_SPECULATE(o.speculate),
        {"host", 0, MK_OPT_LIST, &o.hosts, "ADDRESS",
         "listen there: an address, unix:PATH (localhost)", 0, 0, NULL, NULL},
        {"port", 'p', MK_OPT_SIZE, &o.port, "N", "port; 0: any that is free (8080)", 0, 65535, NULL,
         "MINKE_PORT"},
        {"alias", 0, MK_OPT_STR, &o.alias, "NAME", "what clients call the model", 0, 0, NULL, NULL},
        {"think", 0, MK_OPT_CHOICE, &o.think, NULL, "think first when a client does not say", 0, 0,
         "on|off", NULL},
        {"template", 0, MK_OPT_STR, &o.template, "NAME", "chat template, not the model's own", 0, 0,
         NULL, NULL},
        {"parallel", 0, MK_OPT_SIZE, &o.n_places, "N", "answers computed at a time (16)", 1, 1024,
         NULL, NULL},
        {"queue", 0, MK_OPT_SIZE, &o.n_queue, "N", "requests that may wait besides (64)", 0, 65536,
         NULL, NULL},
        {"cache-ram", 0, MK_OPT_SIZE, &o.cache_bytes, "BYTES",
         "memory for what was read before (256M)", 0, 0x1p50, NULL, NULL},
        {"cache-dir", 0, MK_OPT_STR, &o.cache_dir, "DIR", "keep it there too, for the next start",
         0, 0, NULL, "MINKE_CACHE_DIR"},
        {"cache-size", 0, MK_OPT_SIZE, &o.cache_disk_bytes, "BYTES", "largest size of DIR (4G)", 0,
         0x1p60, NULL, NULL},
        {"api-key-file", 0, MK_OPT_STR, &o.key_file, "FILE",
         "ask for one of these keys, a line each (also $MINKE_API_KEY)", 0, 0, NULL, NULL},
        {"insecure-no-auth", 0, MK_OPT_FLAG, &o.no_auth, NULL, "let others in without a key", 0, 0,
         NULL, NULL},
        {"cors-origin", 0, MK_OPT_LIST, &o.origins, "ORIGIN", "pages from there may call", 0, 0,
         NULL, NULL},
        {"name", 0, MK_OPT_LIST, &o.names, "HOST", "a name this machine is reached by", 0, 0, NULL,
         NULL},
        {"tls-cert", 0, MK_OPT_STR, &o.tls_cert, "FILE", "serve HTTPS with this certificate (PEM)",
         0, 0, NULL, NULL},
        {"tls-key", 0, MK_OPT_STR, &o.tls_key, "FILE", "its key (PEM)", 0, 0, NULL, NULL},
        {"max-body", 0, MK_OPT_SIZE, &o.max_body_bytes, "BYTES", "largest request (32M)", 1024,
         0x1p40, NULL, NULL},
        {"max-connections", 0, MK_OPT_SIZE, &o.max_connections, "N", "at a time (1024)", 1, 65536,
         NULL, NULL},
        {"max-per-address", 0, MK_OPT_SIZE, &o.max_per_address, "N",
         "from one address, where others can reach us; 0: any (128)", 0, 65536, NULL, NULL},
        {"client-timeout", 0, MK_OPT_SIZE, &o.client_s, "SECONDS",
         "how long a client may keep us waiting (30)", 1, 3600, NULL, NULL},
        {"drain", 0, MK_OPT_SIZE, &o.drain_s, "SECONDS", "time to finish when stopped (30)", 0,
         3600, NULL, NULL},
        {"no-sandbox", 0, MK_OPT_FLAG, &o.no_sandbox, NULL, "keep all rights of the user", 0, 0,
         NULL, NULL},
        {"quiet", 'q', MK_OPT_FLAG, &o.quiet, NULL, "no line for each request", 0, 0, NULL, NULL},
        {0},
    };
    mk_opts_parse("serve", opts, argc, argv, NULL, 0);
    if (!o.tls_cert != !o.tls_key) mk_cli_usage("serve", "--tls-cert goes with --tls-key");
    if (!o.hosts.n) o.hosts = (struct mk_strs){localhost, 1};
    serve(&o);
    return 0;
}
