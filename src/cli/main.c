/* minke COMMAND [options]: finds the command and runs it.
 *
 * Exit status: 0 done, 1 failed, 2 wrong usage, 3 bad model or other file, 4 out of memory,
 * 130 and 143 interrupted and terminated, 141 the reader of the output went away. */
#include "cli/cli.h"
#include "kernels/kernels.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

const struct mk_command mk_commands[] = {
#define C(name, synopsis, about) {#name, synopsis, about, mk_cmd_##name},
#include "cli/commands.def"
#undef C
    {NULL, NULL, NULL, NULL}};

const struct mk_command *mk_command_find(const char *name)
{
    for (const struct mk_command *c = mk_commands; c->name; c++)
        if (!strcmp(c->name, name)) return c;
    return NULL;
}

void mk_cli_flush(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout)) return;
    const int why = errno;
    if (why != EPIPE) fprintf(stderr, "minke: cannot write the output: %s\n", strerror(why));
    _exit(why == EPIPE ? 128 + SIGPIPE : 1);
}

static void print_version(void)
{
    printf("minke %s\n", MK_VERSION);
#if defined(__clang__)
    printf("compiler  clang %s\n", __clang_version__);
#else
    printf("compiler  gcc %s\n", __VERSION__);
#endif
    printf("levels    scalar");
    static const char *const levels[] = {
#define ISA(ID, name) #name,
#include "kernels/isa.def"
#undef ISA
    };
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) printf(" %s", levels[i]);
    printf("\nthis CPU  %s\n", mk_cpu_name(mk_cpu_detect()));
}

static int no_such_command(const char *name)
{
    const char *names[64];
    size_t n = 0;
    for (const struct mk_command *c = mk_commands; c->name; c++) names[n++] = c->name;
    const char *near = mk_cli_nearest(name, names, n);
    if (near)
        fprintf(stderr, "minke: no command \"%s\"; did you mean \"%s\"?\n", name, near);
    else
        fprintf(stderr, "minke: no command \"%s\"; see minke --help\n", name);
    return mk_code_exit(MK_EUSAGE);
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        mk_help_all(stderr);
        return mk_code_exit(MK_EUSAGE);
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
        mk_help_all(stdout);
        return 0;
    }
    if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
        print_version();
        return 0;
    }
    const struct mk_command *c = mk_command_find(argv[1]);
    return c ? c->run(argc - 1, argv + 1) : no_such_command(argv[1]);
}

int main(int argc, char **argv)
{
    /* A reader that went away is an error of write(), seen by mk_cli_flush(). */
    signal(SIGPIPE, SIG_IGN);
    const int status = dispatch(argc, argv);
    mk_cli_flush();
    return status;
}
