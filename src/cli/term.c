/* What minke sends to terminals.  A model can be made to write any character, and some
 * character sequences make terminals do things (OSC 52 writes the clipboard): those stay
 * out.  A dimmed terminal must not stay dimmed, however the program ends. */
#include "cli/term.h"

#include "base/clock.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool mk_term_is_tty(int fd) { return isatty(fd) == 1; }

static bool is_set(const char *variable)
{
    const char *v = getenv(variable);
    return v && *v;
}

static bool is_dumb(void)
{
    const char *term = getenv("TERM");
    return !term || !*term || !strcmp(term, "dumb");
}

bool mk_term_wants_color(int fd, const char *color)
{
    if (color && !strcmp(color, "always")) return true;
    if (color && !strcmp(color, "never")) return false;
    if (is_set("NO_COLOR")) return false;
    const char *force = getenv("CLICOLOR_FORCE");
    if (force && *force && strcmp(force, "0") != 0) return true;
    return mk_term_is_tty(fd) && !is_dumb();
}

void mk_term_clean(struct mk_str *out, const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        const int len = mk_utf8_len(s + i, n - i);
        if (len <= 0) {
            mk_str_add(out, "\xef\xbf\xbd");
            i++;
            continue;
        }
        const uint32_t c = mk_utf8_cp(s + i, len);
        const bool is_control = (c < 32 && c != '\n' && c != '\t') || (c >= 0x7f && c < 0xa0);
        if (!is_control) mk_str_append(out, s + i, (size_t)len);
        i += (size_t)len;
    }
}

const char *mk_term_human(char out[32], double n, const char *unit)
{
    static const char *const prefixes[] = {"", "k", "M", "G", "T"};
    size_t p = 0;
    for (; n >= 1000 && p < 4; p++) n /= 1000;
    snprintf(out, 32, p ? "%.3g %s%s" : "%.0f %s%s", n, prefixes[p], unit);
    return out;
}

/* ---- dimming, and leaving the terminal as it was ------------------------------------- */

static const char dim_on[] = "\033[2m", dim_off[] = "\033[0m";
static volatile sig_atomic_t dim_fd = -1; /* -1: not dimmed */

static void send(int fd, const char *s)
{
    while (*s) {
        const ssize_t n = write(fd, s, strlen(s));
        if (n <= 0) return;
        s += n;
    }
}

static void undim_for_good(int signal_number)
{
    if (dim_fd >= 0) send(dim_fd, dim_off);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static void undim_while_stopped(int signal_number)
{
    (void)signal_number;
    if (dim_fd >= 0) send(dim_fd, dim_off);
    raise(SIGSTOP);
    if (dim_fd >= 0) send(dim_fd, dim_on);
}

static void undim_at_exit(void)
{
    if (dim_fd >= 0) send(dim_fd, dim_off);
}

static void guard_once(void)
{
    static bool is_done;
    if (is_done) return;
    is_done = true;
    atexit(undim_at_exit);
    static const int ends[] = {SIGTERM, SIGHUP, SIGQUIT};
    struct sigaction action = {.sa_handler = undim_for_good};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) sigaction(ends[i], &action, NULL);
    action = (struct sigaction){.sa_handler = undim_while_stopped, .sa_flags = SA_RESTART};
    sigaction(SIGTSTP, &action, NULL);
}

void mk_term_dim(int fd, bool is_dim)
{
    guard_once();
    fflush(fd == STDERR_FILENO ? stderr : stdout);
    send(fd, is_dim ? dim_on : dim_off);
    dim_fd = is_dim ? fd : -1;
}

/* ---- Ctrl-C ---------------------------------------------------------------------------- */

static volatile sig_atomic_t interrupts;

/* Impatience: nobody looked at the first two. */
enum { MAX_INTERRUPTS = 3 };

static void on_interrupt(int signal_number)
{
    interrupts = interrupts + 1;
    if (interrupts == MAX_INTERRUPTS) undim_for_good(signal_number);
}

void mk_term_catch_interrupts(void)
{
    const struct sigaction action = {.sa_handler = on_interrupt};
    sigaction(SIGINT, &action, NULL);
}

bool mk_term_interrupted(void)
{
    return __atomic_exchange_n(&interrupts, 0, __ATOMIC_RELAXED) > 0; /* none is lost between */
}

/* ---- progress ---------------------------------------------------------------------------- */

static double shown_at; /* 0: nothing shown */

void mk_term_progress_clear(void)
{
    if (shown_at > 0) fprintf(stderr, "\r%60s\r", "");
    shown_at = 0;
}

void mk_term_progress(const char *what, size_t done, size_t total)
{
    if (!mk_term_is_tty(STDERR_FILENO) || is_dumb()) return;
    if (done >= total) {
        mk_term_progress_clear();
        return;
    }
    const double now = mk_now_s();
    if (shown_at > 0 && now - shown_at < 0.1) return;
    shown_at = now;
    fprintf(stderr, "\r%s %zu of %zu tokens (%zu %%) ", what, done, total, 100 * done / total);
}
