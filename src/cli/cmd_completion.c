/* minke completion: scripts made from the commands and their tables of options. */
#include "cli/cli.h"

#include <string.h>

static bool is_file(const struct mk_opt *o)
{
    static const char *const values[] = {"FILE", "DIR", "FOLDER", "PATH", "MODEL"};
    for (size_t i = 0; o->value && i < sizeof values / sizeof *values; i++)
        if (!strcmp(o->value, values[i])) return true;
    return false;
}

/* Where the rest of the arguments are files (synopses name them in capitals). */
static bool takes_files(const struct mk_command *c)
{
    return !strncmp(c->synopsis, "DIR", 3) || !strncmp(c->synopsis, "SOURCE", 6);
}

/* Words for the rest: the commands for help, the shells for completion. */
static void put_words(FILE *to, const struct mk_command *c)
{
    if (!strcmp(c->name, "help"))
        for (const struct mk_command *k = mk_commands; k->name; k++) fprintf(to, "%s ", k->name);
    if (!strcmp(c->name, "completion")) fputs("bash zsh fish ", to);
}

/* Text inside single quotes of a shell; zsh also reads [ ] and : in descriptions. */
static void put_quoted(FILE *to, const char *s, const char *escaped)
{
    for (; *s; s++) {
        if (*s == '\'') {
            fputs("'\\''", to);
            continue;
        }
        if (strchr(escaped, *s)) fputc('\\', to);
        fputc(*s, to);
    }
}

static void put_choices(FILE *to, const char *choices)
{
    for (; *choices; choices++) fputc(*choices == '|' ? ' ' : *choices, to);
}

/* ---- bash ------------------------------------------------------------------------------ */

static void bash_option(FILE *to, const struct mk_opt *o)
{
    if (o->kind == MK_OPT_FLAG) return;
    fputs("        ", to);
    if (o->letter) fprintf(to, "-%c|", o->letter);
    fprintf(to, "--%s) ", o->name);
    if (o->kind == MK_OPT_CHOICE) {
        fputs("COMPREPLY=($(compgen -W '", to);
        put_choices(to, o->choices);
        fputs("' -- \"$cur\")); ", to);
    } else if (is_file(o)) {
        fputs("compopt -o filenames; COMPREPLY=($(compgen -f -- \"$cur\")); ", to);
    }
    fputs("return ;;\n", to);
}

static void bash_command(void *arg, const struct mk_command *c, const struct mk_opt *opts)
{
    FILE *to = arg;
    fprintf(to, "    %s)\n        case $prev in\n", c->name);
    for (const struct mk_opt *o = opts; o->name; o++) bash_option(to, o);
    fputs("        esac\n        words='", to);
    put_words(to, c);
    for (const struct mk_opt *o = opts; o->name; o++) fprintf(to, "--%s ", o->name);
    fprintf(to, "--help' files=%d ;;\n", takes_files(c));
}

static void print_bash(void)
{
    fputs(
        "# bash completion for minke\n"
        "_minke()\n{\n"
        "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} words files=0\n"
        "    if [ \"$COMP_CWORD\" = 1 ]; then\n"
        "        COMPREPLY=($(compgen -W '--help --version",
        stdout);
    for (const struct mk_command *c = mk_commands; c->name; c++) printf(" %s", c->name);
    fputs("' -- \"$cur\"))\n        return\n    fi\n    case ${COMP_WORDS[1]} in\n", stdout);
    for (const struct mk_command *c = mk_commands; c->name; c++)
        mk_opts_visit(c, bash_command, stdout);
    fputs("    *) return ;;\n    esac\n"
          "    case $files$cur in\n"
          "    1-*|0*) COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")) ;;\n"
          "    *) compopt -o filenames; COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n"
          "    esac\n}\ncomplete -F _minke minke\n",
          stdout);
}

/* ---- zsh --------------------------------------------------------------------------------- */

static void zsh_option(FILE *to, const struct mk_opt *o)
{
    fputs(" \\\n            ", to);
    const char *repeat = o->kind == MK_OPT_LIST ? "*" : "";
    const char *equals = o->kind == MK_OPT_FLAG ? "" : "=";
    if (o->letter)
        fprintf(to, "{%s-%c,%s--%s%s}", *repeat ? "\\*" : "", o->letter, *repeat ? "\\*" : "",
                o->name, equals);
    else
        fprintf(to, "'%s--%s%s'", repeat, o->name, equals);
    fputs("'[", to);
    put_quoted(to, o->help, "[]:\\");
    fputc(']', to);
    if (o->kind == MK_OPT_CHOICE) {
        fputs(":choice:(", to);
        put_choices(to, o->choices);
        fputc(')', to);
    } else if (o->kind != MK_OPT_FLAG) {
        fprintf(to, ":%s:%s", o->value ? o->value : "value", is_file(o) ? "_files" : " ");
    }
    fputc('\'', to);
}

static void zsh_command(void *arg, const struct mk_command *c, const struct mk_opt *opts)
{
    FILE *to = arg;
    fprintf(to, "    %s)\n        _arguments", c->name);
    for (const struct mk_opt *o = opts; o->name; o++) zsh_option(to, o);
    fputs(" \\\n            {-h,--help}'[print help]'", to);
    if (takes_files(c)) fputs(" \\\n            '*:file:_files'", to);
    if (!strcmp(c->name, "help") || !strcmp(c->name, "completion")) {
        fputs(" \\\n            '1:word:(", to);
        put_words(to, c);
        fputs(")'", to);
    }
    fputs(" ;;\n", to);
}

static void print_zsh(void)
{
    fputs("#compdef minke\n"
          "_minke()\n{\n    local -a commands\n    commands=(\n",
          stdout);
    for (const struct mk_command *c = mk_commands; c->name; c++) {
        printf("        '%s:", c->name);
        put_quoted(stdout, c->about, "");
        fputs("'\n", stdout);
    }
    fputs("    )\n"
          "    if (( CURRENT == 2 )); then\n"
          "        _describe command commands\n"
          "        return\n    fi\n"
          "    local name=$words[2]\n"
          "    shift words\n    (( CURRENT-- ))\n"
          "    case $name in\n",
          stdout);
    for (const struct mk_command *c = mk_commands; c->name; c++)
        mk_opts_visit(c, zsh_command, stdout);
    fputs("    esac\n}\n"
          "if [ \"$funcstack[1]\" = _minke ]; then _minke \"$@\"; else compdef _minke minke; fi\n",
          stdout);
}

/* ---- fish -------------------------------------------------------------------------------- */

static void fish_command(void *arg, const struct mk_command *c, const struct mk_opt *opts)
{
    FILE *to = arg;
    for (const struct mk_opt *o = opts; o->name; o++) {
        fprintf(to, "complete -c minke -n '__fish_seen_subcommand_from %s' -l %s", c->name,
                o->name);
        if (o->letter) fprintf(to, " -s %c", o->letter);
        if (o->kind != MK_OPT_FLAG) fputs(is_file(o) ? " -rF" : " -x", to);
        if (o->kind == MK_OPT_CHOICE) {
            fputs(" -a '", to);
            put_choices(to, o->choices);
            fputc('\'', to);
        }
        fputs(" -d '", to);
        for (const char *s = o->help; *s; s++) {
            if (*s == '\'' || *s == '\\') fputc('\\', to);
            fputc(*s, to);
        }
        fputs("'\n", to);
    }
    if (takes_files(c))
        fprintf(to, "complete -c minke -n '__fish_seen_subcommand_from %s' -F\n", c->name);
    if (!strcmp(c->name, "help") || !strcmp(c->name, "completion")) {
        fprintf(to, "complete -c minke -n '__fish_seen_subcommand_from %s' -a '", c->name);
        put_words(to, c);
        fputs("'\n", to);
    }
}

static void print_fish(void)
{
    fputs("# fish completion for minke\ncomplete -c minke -f\n", stdout);
    for (const struct mk_command *c = mk_commands; c->name; c++) {
        printf("complete -c minke -n __fish_use_subcommand -a %s -d '", c->name);
        put_quoted(stdout, c->about, "");
        fputs("'\n", stdout);
    }
    fputs("complete -c minke -n __fish_use_subcommand -l version -d 'what this is'\n"
          "complete -c minke -s h -l help -d 'print help'\n",
          stdout);
    for (const struct mk_command *c = mk_commands; c->name; c++)
        mk_opts_visit(c, fish_command, stdout);
}

int mk_cmd_completion(int argc, char **argv)
{
    const struct mk_opt opts[] = {{0}};
    struct mk_strs rest = {0};
    mk_opts_parse("completion", opts, argc, argv, &rest, 1);
    if (!rest.n) mk_cli_usage("completion", "which shell: bash, zsh or fish");
    if (!strcmp(rest.v[0], "bash"))
        print_bash();
    else if (!strcmp(rest.v[0], "zsh"))
        print_zsh();
    else if (!strcmp(rest.v[0], "fish"))
        print_fish();
    else
        mk_cli_usage("completion", "there is no script for \"%s\", but for bash, zsh and fish",
                     rest.v[0]);
    return 0;
}
