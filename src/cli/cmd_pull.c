/* minke pull: fetches a model into the models folder, and says how far it is: a line that is
 * written over on a terminal, a line now and then elsewhere, JSON for programs. */
#include "base/clock.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/models.h"
#include "cli/term.h"
#include "hub/hub.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BAR = 20, LINE_COLUMNS = 79, LINE_EVERY_S = 10 };

struct progress {
    bool is_json, is_tty, has_line; /* has_line: the terminal's cursor is on a progress line */
    double shown_s;                 /* when something was shown last; 0: never */
    uint64_t shown_done;
    double rate; /* bytes a second, the last few seconds weigh most; 0: not known */
};

static bool is_stopped(void)
{
    static bool was;
    was = was || mk_term_interrupted();
    return was;
}

/* ---- JSON -------------------------------------------------------------------------------- */

static void set_size(json_t *o, const char *key, uint64_t n)
{
    if (n != UINT64_MAX) json_object_set_new(o, key, json_integer((json_int_t)n));
}

static void print_line(json_t *o)
{
    json_dumpf(o, stdout, JSON_COMPACT);
    putchar('\n');
    mk_cli_flush();
    json_decref(o);
}

static json_t *new_event(const char *name)
{
    json_t *o = json_object();
    json_object_set_new(o, "event", json_string(name));
    return o;
}

static void print_json(const struct mk_hub_event *e)
{
    static const char *const names[] = {
        [MK_HUB_FOUND] = "found",       [MK_HUB_CHECK] = "check", [MK_HUB_BEGIN] = "begin",
        [MK_HUB_PROGRESS] = "progress", [MK_HUB_RETRY] = "retry", [MK_HUB_END] = "end"};
    json_t *o = new_event(names[e->kind]);
    if (e->file) json_object_set_new(o, "file", json_string(e->file));
    if (e->kind == MK_HUB_HERE) {
        print_line(o);
        return;
    }
    if (e->kind == MK_HUB_RETRY) {
        json_object_set_new(o, "message", json_string(e->text));
        json_object_set_new(o, "wait_s", json_real(e->wait_s));
    } else {
        if (e->file) set_size(o, "file_done", e->file_done);
        if (e->file) set_size(o, "file_total", e->file_total);
        set_size(o, "done", e->done);
        set_size(o, "total", e->total);
    }
    print_line(o);
}

/* ---- text -------------------------------------------------------------------------------- */

static void clear_line(struct progress *p)
{
    if (p->has_line) fprintf(stderr, "\r%*s\r", LINE_COLUMNS, "");
    p->has_line = false;
}

/* The names of files are plain characters; messages may hold anything. */
static void print_clean(const char *text)
{
    struct mk_str s = {0};
    mk_term_clean(&s, text, strlen(text));
    fputs(mk_str_c(&s), stderr);
    mk_str_release(&s);
}

/* "1.2 of 3.4 GB  56 MB/s  1:23" */
static void put_numbers(struct mk_str *s, const struct mk_hub_event *e, double rate)
{
    char done[32], total[32], per_s[32];
    mk_str_add(s, mk_term_human(done, (double)e->done, "B"));
    if (e->total != UINT64_MAX)
        mk_str_addf(s, " of %s", mk_term_human(total, (double)e->total, "B"));
    if (rate < 1) return;
    mk_str_addf(s, "  %s/s", mk_term_human(per_s, rate, "B"));
    if (e->total == UINT64_MAX) return;
    const unsigned long long left_s = (unsigned long long)((double)(e->total - e->done) / rate);
    if (left_s >= 3600)
        mk_str_addf(s, "  %llu:%02llu:%02llu", left_s / 3600, left_s / 60 % 60, left_s % 60);
    else
        mk_str_addf(s, "  %llu:%02llu", left_s / 60, left_s % 60);
}

static void put_bar(struct mk_str *s, const struct mk_hub_event *e)
{
    if (e->total == UINT64_MAX || !e->total) return;
    const size_t n = (size_t)((double)e->done / (double)e->total * BAR);
    mk_str_addc(s, '[');
    for (size_t i = 0; i < BAR; i++) mk_str_addc(s, i < n ? '#' : '-');
    mk_str_addf(s, "] %3.0f %%  ", 100.0 * (double)e->done / (double)e->total);
}

static void show_line(struct progress *p, const struct mk_hub_event *e)
{
    struct mk_str s = {0};
    if (p->is_tty)
        put_bar(&s, e);
    else
        mk_str_addf(&s, "%s: ", e->file);
    put_numbers(&s, e, p->rate);
    if (p->is_tty) {
        const size_t room = s.len + 2 < LINE_COLUMNS ? LINE_COLUMNS - s.len - 2 : 0;
        mk_str_addf(&s, "  %.*s", (int)room, e->file);
        fprintf(stderr, "\r%-*.*s", LINE_COLUMNS, LINE_COLUMNS, s.data);
    } else {
        fprintf(stderr, "%s\n", s.data);
    }
    p->has_line = p->is_tty;
    mk_str_release(&s);
}

static void measure(struct progress *p, const struct mk_hub_event *e, double now_s)
{
    const double dt = now_s - p->shown_s;
    if (p->shown_s > 0 && e->done >= p->shown_done) {
        const double rate = (double)(e->done - p->shown_done) / dt, weight = dt < 3 ? dt / 3 : 1;
        p->rate = p->rate > 0 ? p->rate + weight * (rate - p->rate) : rate;
    }
    p->shown_s = now_s;
    p->shown_done = e->done;
}

static void show(struct progress *p, const struct mk_hub_event *e)
{
    char size[32];
    switch (e->kind) {
    case MK_HUB_HERE:
        fprintf(stderr, "%s is here already\n", e->file);
        break;
    case MK_HUB_FOUND:
        if (e->total != UINT64_MAX)
            fprintf(stderr, "%s in all\n", mk_term_human(size, (double)e->total, "B"));
        break;
    case MK_HUB_CHECK:
        fprintf(stderr, "%s: %s are here\n", e->file,
                mk_term_human(size, (double)e->file_done, "B"));
        break;
    case MK_HUB_BEGIN:
        if (e->file_done)
            fprintf(stderr, "%s: goes on at %s\n", e->file,
                    mk_term_human(size, (double)e->file_done, "B"));
        break;
    case MK_HUB_PROGRESS:
        show_line(p, e);
        break;
    case MK_HUB_RETRY:
        clear_line(p);
        print_clean(e->text);
        fprintf(stderr, "; again in %.1f s\n", e->wait_s);
        break;
    case MK_HUB_END:
        clear_line(p);
        fprintf(stderr, "%s: %s\n", e->file, mk_term_human(size, (double)e->file_done, "B"));
        break;
    }
}

static void on_event(void *arg, const struct mk_hub_event *e)
{
    struct progress *p = arg;
    const double now_s = mk_now_s(), every_s = p->is_tty || p->is_json ? 0.1 : LINE_EVERY_S;
    if (e->kind == MK_HUB_BEGIN || e->kind == MK_HUB_PROGRESS) {
        if (e->kind == MK_HUB_PROGRESS && now_s - p->shown_s < every_s) return;
        measure(p, e, now_s);
    }
    if (p->is_json)
        print_json(e);
    else
        show(p, e);
}

/* ---- the command ------------------------------------------------------------------------- */

static _Noreturn void no_such_name(const char *name, const struct mk_err *err)
{
    const char *names[256];
    size_t n = 0;
    for (const struct mk_hub_entry *e = mk_hub_catalogue; e->name && n < 256; e++)
        names[n++] = e->name;
    const char *near = strpbrk(name, "/") ? NULL : mk_cli_nearest(name, names, n);
    if (near) mk_cli_usage("pull", "%s, did you mean %s?", err->msg, near);
    mk_cli_usage("pull", "%s", err->msg);
}

static void print_end(const char *path, bool is_json, bool is_quiet)
{
    if (is_json) {
        json_t *o = new_event("complete");
        json_object_set_new(o, "path", json_string(path));
        print_line(o);
    } else if (!is_quiet) {
        printf("%s\n", path);
    }
}

static _Noreturn void end_failed(const struct mk_err *err, struct progress *p)
{
    clear_line(p);
    if (p->is_json) {
        json_t *o = new_event("error");
        json_object_set_new(o, "message", json_string(err->msg));
        print_line(o);
    }
    mk_cli_die(err);
}

int mk_cmd_pull(int argc, char **argv)
{
    static bool is_json, is_quiet, allows_http;
    static size_t n_retries = 5;
    static const struct mk_opt opts[] = {
        {"quiet", 'q', MK_OPT_FLAG, &is_quiet, NULL, "no progress", 0, 0, NULL, NULL},
        {"json", 0, MK_OPT_FLAG, &is_json, NULL, "progress as one JSON object a line", 0, 0, NULL,
         NULL},
        {"retries", 0, MK_OPT_SIZE, &n_retries, "N",
         "attempts in a row that may bring nothing new (5)", 0, 1000, NULL, NULL},
        {"insecure-http", 0, MK_OPT_FLAG, &allows_http, NULL,
         "fetch over http, which others can read and change", 0, 0, NULL, NULL},
        {0},
    };
    struct mk_strs rest = {0};
    struct mk_hub_name name;
    struct mk_err err;
    struct progress p = {0};
    mk_opts_parse("pull", opts, argc, argv, &rest, 1);
    if (!rest.n) mk_cli_usage("pull", "which model? minke list --catalogue shows names");
    if (!mk_hub_name_parse(&name, rest.v[0], &err)) no_such_name(rest.v[0], &err);
    mk_hub_name_release(&name);

    p.is_json = is_json;
    p.is_tty = !is_json && mk_term_is_tty(STDERR_FILENO);
    char *models = mk_cli_models(), *endpoint = mk_cli_endpoint(), *path;
    const struct mk_hub_options o = {.models = models,
                                     .endpoint = endpoint,
                                     .token = getenv("HF_TOKEN"),
                                     .allows_http = allows_http,
                                     .n_retries = (unsigned)n_retries,
                                     .is_stopped = is_stopped,
                                     .tell = is_quiet ? NULL : on_event,
                                     .arg = &p};
    mk_term_catch_interrupts();
    if (!mk_hub_pull(&o, rest.v[0], &path, &err)) end_failed(&err, &p);
    print_end(path, is_json, is_quiet);
    free(path);
    free(endpoint);
    free(models);
    return 0;
}
