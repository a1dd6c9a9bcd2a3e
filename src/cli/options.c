/* Reading options by a table.  The environment comes first, so that the command line wins.
 *
 * A command's table is a local variable of the command (it points at the command's other
 * locals), and yet help, completions and the man page want it without running anything.
 * mk_opts_visit() therefore calls the command, and mk_opts_parse(), which comes first in
 * every command, hands out the table and jumps back. */
#include "cli/cli.h"

#include "base/mem.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static struct {
    mk_opts_fn *fn; /* NULL: not visiting */
    void *arg;
    const struct mk_command *command;
    jmp_buf back;
} visit;

static struct mk_arena kept; /* lists, until the end */

void mk_opts_visit(const struct mk_command *c, mk_opts_fn *fn, void *arg)
{
    char *name = mk_strdup(c->name);
    char *argv[] = {name, NULL};
    visit.fn = fn;
    visit.arg = arg;
    visit.command = c;
    if (!setjmp(visit.back)) c->run(1, argv);
    visit.fn = NULL;
    free(name);
}

/* ---- wrong usage ------------------------------------------------------------------ */

void mk_cli_usage(const char *command, const char *fmt, ...)
{
    struct mk_err err = {.code = MK_EUSAGE};
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err.msg, sizeof err.msg, fmt, ap);
    va_end(ap);
    mk_fail_in(&err, "%s", command);
    const size_t n = strlen(err.msg);
    snprintf(err.msg + n, sizeof err.msg - n, " (minke %s --help tells more)", command);
    mk_cli_die(&err);
}

/* How many characters to insert, leave out, replace or swap with their neighbour; at most
 * MAX_NAME characters of each count. */
enum { MAX_NAME = 32 };

static size_t min3(size_t a, size_t b, size_t c)
{
    const size_t m = a < b ? a : b;
    return m < c ? m : c;
}

static size_t distance(const char *a, const char *b)
{
    const size_t n = strnlen(a, MAX_NAME), m = strnlen(b, MAX_NAME);
    size_t d[MAX_NAME + 1][MAX_NAME + 1]; /* of the first i and the first j characters */
    for (size_t i = 0; i <= n; i++) d[i][0] = i;
    for (size_t j = 0; j <= m; j++) d[0][j] = j;
    for (size_t i = 1; i <= n; i++)
        for (size_t j = 1; j <= m; j++) {
            d[i][j] =
                min3(d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
            const bool swaps = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swaps && d[i - 2][j - 2] + 1 < d[i][j]) d[i][j] = d[i - 2][j - 2] + 1;
        }
    return d[n][m];
}

const char *mk_cli_nearest(const char *s, const char *const *names, size_t n)
{
    const char *best = NULL;
    size_t best_distance = strlen(s) / 2 + 1; /* half of it wrong: not the same word */
    for (size_t i = 0; i < n; i++) {
        const size_t d = distance(s, names[i]);
        if (d >= best_distance) continue;
        best = names[i];
        best_distance = d;
    }
    return best;
}

static _Noreturn void no_such_option(const char *command, const struct mk_opt *opts,
                                     const char *name)
{
    const char *names[128];
    size_t n = 0;
    for (const struct mk_opt *o = opts; o->name && n < 127; o++) names[n++] = o->name;
    names[n++] = "help";
    const char *near = mk_cli_nearest(name, names, n);
    if (near) mk_cli_usage(command, "no option --%s, did you mean --%s?", name, near);
    mk_cli_usage(command, "no option --%s", name);
}

/* ---- values ------------------------------------------------------------------------- */

/* from: how the user gave the value: "--temp" or "$MINKE_THREADS". */
static void check_range(const char *command, const struct mk_opt *o, const char *from,
                        const char *value, double v)
{
    if ((o->lo == 0 && o->hi == 0) || (v >= o->lo && v <= o->hi)) return;
    mk_cli_usage(command, "%s %s is not in %.10g..%.10g", from, value, o->lo, o->hi);
}

static bool parse_size(const char *s, size_t *out)
{
    if (*s < '0' || *s > '9') return false;
    char *end;
    errno = 0;
    const unsigned long long v = strtoull(s, &end, 10);
    if (errno) return false;
    unsigned shift = 0;
    if (*end == 'k' || *end == 'K') shift = 10;
    if (*end == 'm' || *end == 'M') shift = 20;
    if (*end == 'g' || *end == 'G') shift = 30;
    if (end[shift != 0]) return false;
    return mk_mul((size_t)v, (size_t)1 << shift, out);
}

static bool parse_int(const char *s, int64_t *out)
{
    char *end;
    errno = 0;
    const long long v = strtoll(s, &end, 10);
    *out = v;
    return !errno && end != s && !*end;
}

static bool parse_float(const char *s, double *out)
{
    char *end;
    *out = strtod(s, &end);
    return end != s && !*end && isfinite(*out);
}

static void set_choice(const char *command, const struct mk_opt *o, const char *from,
                       const char *value)
{
    const size_t n = strlen(value);
    for (const char *c = o->choices; c; c = strchr(c, '|') ? strchr(c, '|') + 1 : NULL)
        if (n && strcspn(c, "|") == n && !memcmp(c, value, n)) {
            *(const char **)o->out = value;
            return;
        }
    mk_cli_usage(command, "%s %s is not one of %s", from, value, o->choices);
}

static void add_to_list(struct mk_strs *list, const char *value)
{
    const char **old = list->v;
    if (!(list->n & (list->n - 1))) { /* room for 1, 2, 4, ... is used up */
        list->v = mk_arena_take(&kept, (list->n ? 2 * list->n : 1) * sizeof *list->v);
        for (size_t i = 0; i < list->n; i++) list->v[i] = old[i];
    }
    list->v[list->n++] = value;
}

static void set_value(const char *command, const struct mk_opt *o, const char *from,
                      const char *value)
{
    size_t size;
    int64_t integer;
    double number;
    switch (o->kind) {
    case MK_OPT_FLAG:
        *(bool *)o->out = true;
        break;
    case MK_OPT_STR:
        *(const char **)o->out = value;
        break;
    case MK_OPT_SIZE:
        if (!parse_size(value, &size))
            mk_cli_usage(command, "%s %s is not a size like 512 or 4k", from, value);
        check_range(command, o, from, value, (double)size);
        *(size_t *)o->out = size;
        break;
    case MK_OPT_INT:
        if (!parse_int(value, &integer))
            mk_cli_usage(command, "%s %s is not an integer", from, value);
        check_range(command, o, from, value, (double)integer);
        *(int64_t *)o->out = integer;
        break;
    case MK_OPT_FLOAT:
        if (!parse_float(value, &number))
            mk_cli_usage(command, "%s %s is not a number", from, value);
        check_range(command, o, from, value, number);
        *(double *)o->out = number;
        break;
    case MK_OPT_LIST:
        add_to_list(o->out, value);
        break;
    case MK_OPT_CHOICE:
        set_choice(command, o, from, value);
        break;
    }
}

static void read_environment(const char *command, const struct mk_opt *opts)
{
    for (const struct mk_opt *o = opts; o->name; o++) {
        const char *value = o->env ? getenv(o->env) : NULL;
        if (!value || !*value) continue;
        char from[64];
        snprintf(from, sizeof from, "$%s", o->env);
        set_value(command, o, from, value);
    }
}

/* ---- files of options ------------------------------------------------------------------ */

static void set_from_json(const char *command, const struct mk_opt *opts, const char *file,
                          const char *key, const json_t *value)
{
    const struct mk_opt *o = opts;
    while (o->name && strcmp(o->name, key)) o++;
    if (!o->name) mk_cli_usage(command, "%s: no option \"%s\"", file, key);
    char from[MAX_NAME * 2 + 64];
    snprintf(from, sizeof from, "%.60s: %s", file, key);
    if (o->kind == MK_OPT_FLAG) {
        if (!json_is_boolean(value)) mk_cli_usage(command, "%s is not true or false", from);
        *(bool *)o->out = json_is_true(value);
        return;
    }
    if (o->kind == MK_OPT_LIST) {
        if (!json_is_array(value)) mk_cli_usage(command, "%s is not a list", from);
        for (size_t i = 0; i < json_array_size(value); i++) {
            const char *item = json_string_value(json_array_get(value, i));
            if (!item) mk_cli_usage(command, "%s has a member that is not text", from);
            set_value(command, o, from, mk_arena_strdup(&kept, item));
        }
        return;
    }
    char *text = json_is_string(value)
                     ? mk_strdup(json_string_value(value))
                     : json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
    if (!json_is_string(value) && !json_is_number(value))
        mk_cli_usage(command, "%s is neither text nor a number", from);
    set_value(command, o, from, mk_arena_strdup(&kept, text));
    free(text);
}

static void read_file(const char *command, const struct mk_opt *opts, const char *file)
{
    json_error_t e;
    struct mk_str text = mk_cli_read(file);
    json_t *all = json_loadb(mk_str_c(&text), text.len, JSON_REJECT_DUPLICATES, &e);
    if (!json_is_object(all))
        mk_cli_usage(command, "%s: %s", file, all ? "not a JSON object" : e.text);
    const char *key;
    json_t *value;
    json_object_foreach(all, key, value) set_from_json(command, opts, file, key, value);
    json_decref(all);
    mk_str_release(&text);
}

static bool is_in_range(const struct mk_opt *o, double v)
{
    return (o->lo == 0 && o->hi == 0) || (v >= o->lo && v <= o->hi);
}

/* A list of texts; nothing when it is empty. */
static json_t *list_json(const struct mk_strs *l)
{
    json_t *list = l->n ? json_array() : NULL;
    for (size_t i = 0; i < l->n; i++) json_array_append_new(list, json_string(l->v[i]));
    return list;
}

/* NULL for what was not given and could not be: a number out of range says "not set". */
static json_t *value_json(const struct mk_opt *o)
{
    switch (o->kind) {
    case MK_OPT_FLAG:
        return json_boolean(*(bool *)o->out);
    case MK_OPT_SIZE:
        return is_in_range(o, (double)*(size_t *)o->out)
                   ? json_integer((json_int_t) * (size_t *)o->out)
                   : NULL;
    case MK_OPT_INT:
        return json_integer(*(int64_t *)o->out);
    case MK_OPT_FLOAT:
        return is_in_range(o, *(double *)o->out) ? json_real(*(double *)o->out) : NULL;
    case MK_OPT_LIST:
        return list_json(o->out);
    case MK_OPT_STR:
    case MK_OPT_CHOICE:
        return *(const char **)o->out ? json_string(*(const char **)o->out) : NULL;
    }
    return NULL;
}

char *mk_opts_json(const struct mk_opt *opts, const char *without)
{
    json_t *all = json_object();
    char word[MAX_NAME + 3];
    for (const struct mk_opt *o = opts; o->name; o++) {
        snprintf(word, sizeof word, " %s ", o->name);
        if (strstr(without, word)) continue;
        json_t *v = value_json(o);
        if (v) json_object_set_new(all, o->name, v);
    }
    char *text = json_dumps(all, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    json_decref(all);
    return text;
}

/* ---- the command line ---------------------------------------------------------------- */

struct args {
    const char *command;
    const struct mk_opt *opts;
    int argc, at; /* at: the argument being read */
    char **argv;
};

static _Noreturn void print_help(const struct args *a)
{
    mk_help_command(stdout, mk_command_find(a->command), a->opts);
    mk_cli_flush();
    exit(0);
}

static const char *next_value(struct args *a, const char *from)
{
    if (a->at + 1 >= a->argc) mk_cli_usage(a->command, "%s needs a value", from);
    return a->argv[++a->at];
}

static void read_long(struct args *a, const char *arg)
{
    const size_t n = strcspn(arg, "=");
    char name[MAX_NAME * 2];
    snprintf(name, sizeof name, "%.*s", (int)(n < sizeof name ? n : sizeof name - 1), arg);
    if (!strcmp(name, "help")) print_help(a);
    const struct mk_opt *o = a->opts;
    while (o->name && strcmp(o->name, name)) o++;
    if (!o->name) no_such_option(a->command, a->opts, name);
    char from[MAX_NAME * 2 + 2];
    snprintf(from, sizeof from, "--%s", name);
    const char *value = arg[n] ? arg + n + 1 : NULL;
    if (o->kind == MK_OPT_FLAG && value) mk_cli_usage(a->command, "%s takes no value", from);
    if (o->kind != MK_OPT_FLAG && !value) value = next_value(a, from);
    set_value(a->command, o, from, value);
}

/* "-n 64", "-n64", and flags together: "-qv". */
static void read_letters(struct args *a, const char *arg)
{
    for (; *arg; arg++) {
        if (*arg == 'h') print_help(a);
        const struct mk_opt *o = a->opts;
        while (o->name && o->letter != *arg) o++;
        if (!o->name) mk_cli_usage(a->command, "no option -%c", *arg);
        const char from[] = {'-', *arg, 0};
        if (o->kind == MK_OPT_FLAG) {
            set_value(a->command, o, from, NULL);
            continue;
        }
        set_value(a->command, o, from, arg[1] ? arg + 1 : next_value(a, from));
        return;
    }
}

/* The file of --config, if the command has that option and it was given. */
static const char *config_of(const struct mk_opt *opts, int argc, char **argv)
{
    while (opts->name && strcmp(opts->name, "config")) opts++;
    for (int i = 1; opts->name && i < argc && strcmp(argv[i], "--"); i++) {
        if (!strncmp(argv[i], "--config=", 9)) return argv[i] + 9;
        if (!strcmp(argv[i], "--config") && i + 1 < argc) return argv[i + 1];
    }
    return NULL;
}

void mk_opts_parse(const char *command, const struct mk_opt *opts, int argc, char **argv,
                   struct mk_strs *rest, size_t max_rest)
{
    if (visit.fn) {
        visit.fn(visit.arg, visit.command, opts);
        longjmp(visit.back, 1);
    }
    read_environment(command, opts);
    const char *file = config_of(opts, argc, argv);
    if (file) read_file(command, opts, file);
    struct args a = {.command = command, .opts = opts, .argc = argc, .at = 1, .argv = argv};
    bool is_rest = false;
    for (; a.at < argc; a.at++) {
        const char *arg = argv[a.at];
        if (is_rest || arg[0] != '-' || !arg[1]) {
            if (!rest || rest->n == max_rest)
                mk_cli_usage(command, "unexpected argument \"%s\"", arg);
            add_to_list(rest, arg);
        } else if (!strcmp(arg, "--")) {
            is_rest = true;
        } else if (arg[1] == '-') {
            read_long(&a, arg + 2);
        } else {
            read_letters(&a, arg + 1);
        }
    }
}
