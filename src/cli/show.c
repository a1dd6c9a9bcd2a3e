/* Parts of an answer follow each other: thought, answer, calls.  Each ends its line. */
#include "cli/show.h"

#include "cli/cli.h"
#include "cli/term.h"

#include <string.h>
#include <unistd.h>

void mk_show_init(struct mk_show *s, const char *color, bool is_silent, bool hides_thoughts)
{
    const bool is_tty = mk_term_is_tty(STDOUT_FILENO);
    *s = (struct mk_show){
        .is_silent = is_silent,
        .hides_thoughts = hides_thoughts,
        .is_tty = is_tty,
        .dims = mk_term_wants_color(is_tty ? STDOUT_FILENO : STDERR_FILENO, color),
        .part = -1,
    };
}

static int thought_fd(const struct mk_show *s) { return s->is_tty ? STDOUT_FILENO : STDERR_FILENO; }

static FILE *stream_of(const struct mk_show *s, int part)
{
    return part == MK_PART_REASONING && !s->is_tty ? stderr : stdout;
}

static bool is_shown(const struct mk_show *s, int part)
{
    return part >= 0 && !s->is_silent && !(part == MK_PART_REASONING && s->hides_thoughts);
}

static void put(struct mk_show *s, const char *bytes, size_t n)
{
    FILE *f = stream_of(s, s->part);
    /* A file gets what the model wrote; a terminal must not obey it. */
    if (mk_term_is_tty(fileno(f))) {
        struct mk_str clean = {0};
        mk_term_clean(&clean, bytes, n);
        fwrite(mk_str_c(&clean), 1, clean.len, f);
        mk_str_release(&clean);
    } else {
        fwrite(bytes, 1, n, f);
    }
    fflush(stderr);
    mk_cli_flush();
}

static void end_part(struct mk_show *s)
{
    if (!is_shown(s, s->part)) return;
    FILE *f = stream_of(s, s->part);
    if (s->has_text && !s->ends_line) fputc('\n', f);
    if (s->part == MK_PART_REASONING) {
        if (s->dims)
            mk_term_dim(thought_fd(s), false);
        else
            fputs("[end of thought]\n", f);
    }
    mk_cli_flush();
}

static void begin_part(struct mk_show *s, enum mk_part part, const char *call)
{
    end_part(s);
    if (s->is_tty && s->dims && s->part == MK_PART_REASONING && is_shown(s, s->part) && s->has_text)
        putchar('\n');
    s->part = (int)part;
    s->has_text = s->ends_line = false;
    if (!is_shown(s, s->part)) return;
    if (part == MK_PART_REASONING && s->dims) mk_term_dim(thought_fd(s), true);
    if (part == MK_PART_REASONING && !s->dims) fputs("[thought]\n", stream_of(s, s->part));
    if (part != MK_PART_CALL) return;
    put(s, "[call ", 6);
    put(s, call, strlen(call));
    put(s, "] ", 2);
    s->has_text = true;
}

void mk_show_begin(struct mk_show *s) { s->part = -1; }

void mk_show_part(struct mk_show *s, enum mk_part part, const char *bytes, size_t n,
                  const char *call)
{
    if (s->part != (int)part || (part == MK_PART_CALL && n == 0)) begin_part(s, part, call);
    if (n == 0 || !is_shown(s, s->part)) return;
    if (!s->has_text && part == MK_PART_REASONING) /* thoughts often begin with newlines */
        while (n && *bytes == '\n') bytes++, n--;
    if (n == 0) return;
    put(s, bytes, n);
    s->has_text = true;
    s->ends_line = bytes[n - 1] == '\n';
}

void mk_show_end(struct mk_show *s)
{
    end_part(s);
    s->part = -1;
}
