/* minke rm: removes a model from the models folder. */
#include "cli/cli.h"
#include "cli/models.h"
#include "cli/term.h"
#include "hub/hub.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_wanted(const struct mk_hub_model *m)
{
    char answer[16] = "", size[32];
    struct mk_str path = {0};
    if (!mk_term_is_tty(STDIN_FILENO) || !mk_term_is_tty(STDERR_FILENO))
        mk_cli_usage("rm", "nobody to ask; --yes removes %s", m->name);
    mk_term_clean(&path, m->path, strlen(m->path));
    fprintf(stderr, "remove %s, %s? [y/N] ", mk_str_c(&path),
            mk_term_human(size, (double)m->n_bytes, "B"));
    mk_str_release(&path);
    return fgets(answer, sizeof answer, stdin) && (*answer == 'y' || *answer == 'Y');
}

int mk_cmd_rm(int argc, char **argv)
{
    static bool is_sure;
    static const struct mk_opt opts[] = {
        {"yes", 'y', MK_OPT_FLAG, &is_sure, NULL, "do not ask", 0, 0, NULL, NULL},
        {0},
    };
    struct mk_strs rest = {0};
    struct mk_hub_models all;
    struct mk_err err;
    mk_opts_parse("rm", opts, argc, argv, &rest, 1);
    if (!rest.n) mk_cli_usage("rm", "which model? minke list shows them");
    char *models = mk_cli_models();
    if (!mk_hub_list(&all, models, &err)) mk_cli_die(&err);
    const struct mk_hub_model *m = mk_hub_models_find(&all, rest.v[0]);
    if (!m) {
        mk_fail(&err, MK_EIO, "%s: not in %s", rest.v[0], models);
        mk_cli_die(&err);
    }
    const bool is_done = is_sure || is_wanted(m);
    if (is_done && !mk_hub_remove(models, m, &err)) mk_cli_die(&err);
    mk_hub_models_release(&all);
    free(models);
    return is_done ? 0 : 1;
}
