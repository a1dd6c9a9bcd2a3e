/* minke COMMAND [options]: finds the command and runs it.
 *
 * Exit status: 0 done, 1 failed, 2 wrong usage, 3 bad model or other file, 4 out of memory,
 * 130 and 143 interrupted and terminated, 141 the reader of the output went away. */
#include "base/file.h"
#include "cli/cli.h"
#include "cli/embedded.h"
#include "kernels/kernels.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* A file opened as 0, 1 or 2 would get what is printed.  Not for writing: output that was
 * closed stays an error. */
static void fill_standard_fds(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDONLY) < 0) _exit(1);
}

static void end_by_signal(int signal_number)
{
    mk_out_remove_all();
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

/* What a read of a mapping raises when the disk fails or the file became shorter. */
static void end_by_lost_file(int signal_number)
{
    static const char text[] = "minke: a file in use became shorter or cannot be read any more\n";
    mk_out_remove_all();
    const bool is_told = write(STDERR_FILENO, text, sizeof text - 1) > 0;
    _exit(is_told ? mk_code_exit(MK_EIO) : 128 + signal_number);
}

static void set_signals(void)
{
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    struct sigaction old;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        const struct sigaction action = {.sa_handler = end_by_signal};
        /* What nohup or a shell told us to ignore stays ignored. */
        if (sigaction(ends[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(ends[i], &action, NULL);
    }
    /* A reader that went away is an error of write(), seen by mk_cli_flush(); so is a file
     * that may not grow. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGBUS, end_by_lost_file);
}

int main(int argc, char **argv)
{
    fill_standard_fds();
    set_signals();
    mk_embedded_init();
    atexit(mk_out_remove_all);
    const int status = dispatch(argc, argv);
    mk_cli_flush();
    return status;
}
