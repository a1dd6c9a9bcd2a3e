/* Help for people: the overview, and a command's options from its table. */
#include "cli/cli.h"

#include <string.h>

void mk_help_all(FILE *to)
{
    fprintf(to, "minke runs DeepSeek models.\n\n"
                "usage: minke COMMAND [options]\n\ncommands:\n");
    for (const struct mk_command *c = mk_commands; c->name; c++)
        fprintf(to, "  %-12s%s\n", c->name, c->about);
    fprintf(to, "\nminke help COMMAND tells more; minke --version says what this is.\n");
}

/* "-m, --model MODEL" */
static void put_option(struct mk_str *out, const struct mk_opt *o)
{
    if (o->letter) mk_str_addf(out, "-%c, ", o->letter);
    mk_str_addf(out, "%s--%s", o->letter ? "" : "    ", o->name);
    if (o->kind == MK_OPT_CHOICE)
        mk_str_addf(out, " %s", o->choices);
    else if (o->kind != MK_OPT_FLAG)
        mk_str_addf(out, " %s", o->value ? o->value : "VALUE");
}

enum { HELP_COLUMN = 30 };

static void print_option(FILE *to, const struct mk_opt *o)
{
    struct mk_str left = {0};
    put_option(&left, o);
    if (left.len + 4 > HELP_COLUMN)
        fprintf(to, "  %s\n%*s", mk_str_c(&left), HELP_COLUMN, "");
    else
        fprintf(to, "  %-*s", HELP_COLUMN - 2, mk_str_c(&left));
    fputs(o->help, to);
    if (o->kind == MK_OPT_LIST) fputs("; may be repeated", to);
    if (o->env) fprintf(to, " [$%s]", o->env);
    fputc('\n', to);
    mk_str_release(&left);
}

void mk_help_command(FILE *to, const struct mk_command *c, const struct mk_opt *opts)
{
    fprintf(to, "usage: minke %s%s%s\n%s\n\noptions:\n", c->name, *c->synopsis ? " " : "",
            c->synopsis, c->about);
    for (const struct mk_opt *o = opts; o->name; o++) print_option(to, o);
    fprintf(to, "  %-*s%s\n", HELP_COLUMN - 2, "-h, --help", "print this");
}

static void print_table(void *arg, const struct mk_command *c, const struct mk_opt *opts)
{
    mk_help_command(arg, c, opts);
}

int mk_cmd_help(int argc, char **argv)
{
    const struct mk_opt opts[] = {{0}};
    struct mk_strs rest = {0};
    mk_opts_parse("help", opts, argc, argv, &rest, 1);
    if (!rest.n) {
        mk_help_all(stdout);
        return 0;
    }
    const struct mk_command *c = mk_command_find(rest.v[0]);
    if (!c) {
        const char *names[64];
        size_t n = 0;
        for (const struct mk_command *k = mk_commands; k->name; k++) names[n++] = k->name;
        const char *near = mk_cli_nearest(rest.v[0], names, n);
        mk_cli_usage("help", "no command \"%s\"%s%s%s", rest.v[0], near ? "; did you mean \"" : "",
                     near ? near : "", near ? "\"?" : "");
    }
    mk_opts_visit(c, print_table, stdout);
    return 0;
}
