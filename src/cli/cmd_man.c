/* minke man: the manual page, made from the commands and their tables of options. */
#include "cli/cli.h"
#include "cli/repl.h"

#include <string.h>

/* Text with what roff would take for its own escaped. */
static void put(const char *s)
{
    if (*s == '.' || *s == '\'') fputs("\\&", stdout);
    for (; *s; s++) {
        if (*s == '-')
            fputs("\\-", stdout);
        else if (*s == '\\')
            fputs("\\e", stdout);
        else if (*s == '"')
            fputs("\\(dq", stdout);
        else
            putchar(*s);
    }
}

static void put_option(const struct mk_opt *o)
{
    fputs(".TP\n.B ", stdout);
    if (o->letter) printf("\\-%c, ", o->letter);
    fputs("\\-\\-", stdout);
    put(o->name);
    const char *value = o->kind == MK_OPT_CHOICE ? o->choices : o->value ? o->value : "VALUE";
    if (o->kind != MK_OPT_FLAG) {
        fputs(" \\fI", stdout);
        put(value);
        fputs("\\fR", stdout);
    }
    putchar('\n');
    put(o->help);
    if (o->kind == MK_OPT_LIST) fputs("; may be repeated", stdout);
    if (o->env) printf(" (environment: %s)", o->env);
    fputs(".\n", stdout);
}

static void put_command(void *arg, const struct mk_command *c, const struct mk_opt *opts)
{
    (void)arg;
    printf(".SS minke %s ", c->name);
    put(c->synopsis);
    putchar('\n');
    put(c->about);
    fputs(".\n", stdout);
    for (const struct mk_opt *o = opts; o->name; o++) put_option(o);
}

static void put_pair(const char *name, const char *args, const char *text)
{
    fputs(".TP\n.B ", stdout);
    put(name);
    if (*args) {
        fputs(" \\fI", stdout);
        put(args);
        fputs("\\fR", stdout);
    }
    putchar('\n');
    put(text);
    fputs(".\n", stdout);
}

static const char *const environment[][2] = {
    {"NO_COLOR", "not empty: no dimming"},
    {"CLICOLOR_FORCE", "not empty and not 0: dim also when the output is no terminal"},
    {"MINKE_NOHISTORY", "not empty and not 0: keep no history of chats"},
    {"VISUAL, EDITOR", "the editor of /edit and Ctrl-G"},
    {"XDG_DATA_HOME, XDG_STATE_HOME", "folders of models and of the history; ~/.local/share and "
                                      "~/.local/state"},
    {"HF_TOKEN", "for models that ask for one; sent to the hub and nowhere else"},
    {"HF_ENDPOINT", "another hub than https://huggingface.co"},
    {"HF_HOME", "where the Hugging Face tools keep downloads, for models named OWNER/NAME"},
};
static const char *const statuses[][2] = {
    {"0", "done"},
    {"1", "failed"},
    {"2", "wrong usage"},
    {"3", "a bad or unsupported model or other file"},
    {"4", "out of memory"},
    {"130, 143", "interrupted, terminated"},
    {"141", "the reader of the output went away"},
};

int mk_cmd_man(int argc, char **argv)
{
    const struct mk_opt opts[] = {{0}};
    mk_opts_parse("man", opts, argc, argv, NULL, 0);
    printf(".TH MINKE 1 \"\" \"minke %s\" \"User Commands\"\n"
           ".SH NAME\nminke \\- run DeepSeek models\n"
           ".SH SYNOPSIS\n.B minke\n.I command\n[\\fIoptions\\fR]\n"
           ".SH DESCRIPTION\n"
           "minke runs DeepSeek checkpoints, and the Qwen2 and Llama models distilled from R1, on "
           "this machine's processors. It reads Hugging Face folders with safetensors and GGUF "
           "files as they are.\n.PP\n"
           "A size may end in k, M or G (1024, 1024 squared, 1024 cubed). \\fB\\-\\-\\fR ends "
           "options; \\fB\\-\\fR as a file is standard input. Options win over the "
           "environment.\n.SH COMMANDS\n",
           MK_VERSION);
    for (const struct mk_command *c = mk_commands; c->name; c++)
        mk_opts_visit(c, put_command, NULL);
    puts(".SH CHAT\nA line is a message. Ctrl\\-C stops an answer, Ctrl\\-D leaves; commands are:");
    for (const struct mk_repl_command *c = mk_repl_commands; c->name; c++)
        put_pair(c->name, c->args, c->help);
    puts(".SH ENVIRONMENT\nBesides those named with the options:");
    for (size_t i = 0; i < sizeof environment / sizeof *environment; i++)
        put_pair(environment[i][0], "", environment[i][1]);
    puts(".SH FILES");
    put_pair("~/.local/share/minke/models", "",
             "what minke pull fetches, and models that -m finds by name; \"tiny\", if it is there, "
             "takes the place of the model "
             "inside the program, which is the default");
    put_pair("~/.local/state/minke/history", "", "what was typed in chats");
    puts(".SH EXIT STATUS");
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        put_pair(statuses[i][0], "", statuses[i][1]);
    return 0;
}
