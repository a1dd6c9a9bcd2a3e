/* minke list: the models folder, or the names that minke pull knows. */
#include "cli/cli.h"
#include "cli/models.h"
#include "cli/term.h"
#include "hub/hub.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void print_line(json_t *o)
{
    json_dumpf(o, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(o);
}

static const char *date(char out[24], int64_t time_s)
{
    const time_t t = (time_t)time_s;
    struct tm tm;
    if (!gmtime_r(&t, &tm) || !strftime(out, 24, "%Y-%m-%dT%H:%M:%SZ", &tm)) *out = '\0';
    return out;
}

/* ---- the folder -------------------------------------------------------------------------- */

static void print_json(const struct mk_hub_models *all)
{
    char when[24];
    for (size_t i = 0; i < all->n; i++) {
        const struct mk_hub_model *m = &all->v[i];
        json_t *o = json_object();
        json_object_set_new(o, "name", json_string(m->name));
        json_object_set_new(o, "path", json_string(m->path));
        json_object_set_new(o, "kind", json_string(m->kind));
        json_object_set_new(o, "bytes", json_integer((json_int_t)m->n_bytes));
        if (m->n_total) json_object_set_new(o, "total", json_integer((json_int_t)m->n_total));
        json_object_set_new(o, "date", json_string(date(when, m->time_s)));
        json_object_set_new(o, "complete", json_boolean(!m->is_part));
        print_line(o);
    }
}

/* Names of files that people put there may hold anything. */
static void print_name(const char *name, int width)
{
    struct mk_str s = {0};
    mk_term_clean(&s, name, strlen(name));
    printf("%-*s", width, mk_str_c(&s));
    mk_str_release(&s);
}

static void print_text(const struct mk_hub_models *all)
{
    int width = 4;
    char size[32], when[24];
    for (size_t i = 0; i < all->n; i++)
        if ((int)strlen(all->v[i].name) > width) width = (int)strlen(all->v[i].name);
    if (all->n) printf("%-*s  %8s  %-11s  %s\n", width, "name", "size", "kind", "date");
    for (size_t i = 0; i < all->n; i++) {
        const struct mk_hub_model *m = &all->v[i];
        print_name(m->name, width);
        printf("  %8s  %-11s  %.10s", mk_term_human(size, (double)m->n_bytes, "B"), m->kind,
               date(when, m->time_s));
        if (m->is_part && m->n_total)
            printf("  unfinished, %.0f %% of %s", 100.0 * (double)m->n_bytes / (double)m->n_total,
                   mk_term_human(size, (double)m->n_total, "B"));
        else if (m->is_part)
            printf("  unfinished");
        putchar('\n');
    }
}

static void list_folder(bool is_json)
{
    char *models = mk_cli_models();
    struct mk_hub_models all;
    struct mk_err err;
    if (!mk_hub_list(&all, models, &err)) mk_cli_die(&err);
    (is_json ? print_json : print_text)(&all);
    if (!all.n && !is_json)
        fprintf(stderr, "nothing in %s yet; minke list --catalogue shows what minke pull knows\n",
                models);
    mk_hub_models_release(&all);
    free(models);
}

/* ---- the catalogue ----------------------------------------------------------------------- */

static void list_catalogue(bool is_json)
{
    char size[32];
    for (const struct mk_hub_entry *e = mk_hub_catalogue; e->name; e++) {
        const double n_bytes = (double)e->size_mb * 1e6;
        if (!is_json) {
            printf("%-34s  %8s  %s\n", e->name, mk_term_human(size, n_bytes, "B"), e->repo);
            continue;
        }
        json_t *o = json_object();
        json_object_set_new(o, "name", json_string(e->name));
        json_object_set_new(o, "repository", json_string(e->repo));
        if (*e->file) json_object_set_new(o, "file", json_string(e->file));
        json_object_set_new(o, "bytes", json_integer((json_int_t)n_bytes));
        print_line(o);
    }
}

int mk_cmd_list(int argc, char **argv)
{
    static bool is_json, is_catalogue;
    static const struct mk_opt opts[] = {
        {"catalogue", 0, MK_OPT_FLAG, &is_catalogue, NULL, "the names that minke pull knows", 0, 0,
         NULL, NULL},
        {"json", 0, MK_OPT_FLAG, &is_json, NULL, "one JSON object a line", 0, 0, NULL, NULL},
        {0},
    };
    mk_opts_parse("list", opts, argc, argv, NULL, 0);
    (is_catalogue ? list_catalogue : list_folder)(is_json);
    return 0;
}
