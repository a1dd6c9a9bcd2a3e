/* Lines with libedit.
 *
 * A terminal in bracketed-paste mode sends ESC[200~ text ESC[201~: without it every line of
 * a paste would be a message of its own.  Long pastes stand in the line as "[paste 1: 40
 * lines]" and are put back when the line is read. */
#include "cli/line.h"

#include "base/file.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/term.h"

#include <errno.h>
#include <glob.h>
#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

enum { N_HISTORY = 1000, PASTE_LINES = 4, PASTE_BYTES = 400, MAX_LISTED = 100 };

struct mk_line {
    EditLine *el;
    History *history;
    char *file; /* NULL: history is not kept */
    const char *prompt;
    const char *const *commands;
    struct mk_str *pastes; /* [n_pastes] of the line being edited */
    size_t n_pastes;
    bool wants_editor, was_cleared, was_interrupted;
};

static struct mk_line *line_of(EditLine *el)
{
    struct mk_line *l = NULL;
    el_get(el, EL_CLIENTDATA, &l);
    return l;
}

static char *prompt_of(EditLine *el)
{
    /* The interface wants char *; libedit does not write to it. */
    union {
        const char *from;
        char *to;
    } text = {.from = line_of(el)->prompt};
    return text.to;
}

/* ---- pastes ------------------------------------------------------------------------ */

static const wchar_t paste_end[] = L"\033[201~";

/* Reads up to the end mark. */
static void read_paste(EditLine *el, struct mk_str *out)
{
    size_t n_matched = 0;
    wchar_t c;
    while (n_matched < 6 && el_wgetc(el, &c) == 1) {
        if (c == paste_end[n_matched]) {
            n_matched++;
            continue;
        }
        for (size_t i = 0; i < n_matched; i++) mk_str_add_cp(out, (uint32_t)paste_end[i]);
        n_matched = c == paste_end[0];
        if (!n_matched) mk_str_add_cp(out, c == L'\r' ? '\n' : (uint32_t)c);
    }
}

static size_t count_lines(const struct mk_str *s)
{
    size_t n = 1;
    for (size_t i = 0; i < s->len; i++) n += s->data[i] == '\n';
    return n;
}

static void paste_label(struct mk_str *out, size_t i, const struct mk_str *paste)
{
    mk_str_addf(out, "[paste %zu: %zu lines]", i + 1, count_lines(paste));
}

static unsigned char on_paste(EditLine *el, int c)
{
    (void)c;
    struct mk_line *l = line_of(el);
    struct mk_str raw = {0}, text = {0};
    read_paste(el, &raw);
    while (raw.len && raw.data[raw.len - 1] == '\n') raw.data[--raw.len] = 0;
    mk_term_clean(&text, mk_str_c(&raw), raw.len);
    mk_str_release(&raw);
    if (count_lines(&text) > PASTE_LINES || text.len > PASTE_BYTES) {
        l->pastes = mk_realloc(l->pastes, (l->n_pastes + 1) * sizeof *l->pastes);
        l->pastes[l->n_pastes++] = text;
        struct mk_str label = {0};
        paste_label(&label, l->n_pastes - 1, &text);
        el_insertstr(el, label.data);
        mk_str_release(&label);
    } else {
        if (text.len) el_insertstr(el, text.data);
        mk_str_release(&text);
    }
    return CC_REFRESH;
}

/* Puts long pastes back where their labels stand. */
static void expand_pastes(struct mk_line *l, struct mk_str *text)
{
    for (size_t i = 0; i < l->n_pastes; i++) {
        struct mk_str label = {0}, with = {0};
        paste_label(&label, i, &l->pastes[i]);
        const char *at = strstr(mk_str_c(text), label.data);
        if (at) {
            mk_str_append(&with, text->data, (size_t)(at - text->data));
            mk_str_append(&with, l->pastes[i].data, l->pastes[i].len);
            mk_str_add(&with, at + label.len);
            mk_str_release(text);
            *text = with;
        }
        mk_str_release(&label);
        mk_str_release(&l->pastes[i]);
    }
    l->n_pastes = 0;
}

/* ---- other keys ---------------------------------------------------------------------- */

static unsigned char on_newline(EditLine *el, int c)
{
    (void)c;
    return el_insertstr(el, "\n") ? CC_ERROR : CC_REFRESH;
}

static unsigned char on_editor(EditLine *el, int c)
{
    (void)c;
    line_of(el)->wants_editor = true;
    return CC_NEWLINE;
}

/* Ctrl-C arrives as a key while a line is edited: after the signal libedit would have
 * forgotten whether the line had text. */
static unsigned char on_interrupt_key(EditLine *el, int c)
{
    (void)c;
    struct mk_line *l = line_of(el);
    const LineInfo *info = el_line(el);
    l->was_cleared = info->lastchar > info->buffer;
    l->was_interrupted = !l->was_cleared;
    return CC_EOF;
}

/* libedit's handler restores the terminal, and redraws the line afterwards. */
static unsigned char on_suspend_key(EditLine *el, int c)
{
    (void)el, (void)c;
    raise(SIGTSTP);
    return CC_REDISPLAY;
}

/* What may be written at the end of the word: commands, or file names after a command. */
static void candidates(const struct mk_line *l, const char *word, bool is_first,
                       struct mk_str **out, size_t *n)
{
    if (is_first) {
        for (const char *const *c = l->commands; *c; c++) {
            if (strncmp(*c, word, strlen(word)) != 0) continue;
            *out = mk_realloc(*out, (*n + 1) * sizeof **out);
            (*out)[*n] = (struct mk_str){0};
            mk_str_addf(&(*out)[(*n)++], "%s ", *c);
        }
        return;
    }
    struct mk_str pattern = {0};
    glob_t found = {0};
    for (const char *p = word; *p; p++) {
        if (strchr("*?[\\", *p)) mk_str_addc(&pattern, '\\');
        mk_str_addc(&pattern, *p);
    }
    mk_str_addc(&pattern, '*');
    if (glob(pattern.data, GLOB_MARK | GLOB_TILDE, NULL, &found) == 0) {
        *out = mk_calloc(found.gl_pathc, sizeof **out);
        for (; *n < found.gl_pathc; ++*n) mk_str_add(&(*out)[*n], found.gl_pathv[*n]);
    }
    globfree(&found);
    mk_str_release(&pattern);
}

static size_t common_prefix(const struct mk_str *list, size_t n)
{
    size_t len = list[0].len;
    for (size_t i = 1; i < n; i++) {
        size_t k = 0;
        while (k < len && list[i].len > k && list[i].data[k] == list[0].data[k]) k++;
        len = k;
    }
    return mk_utf8_valid(list[0].data, len);
}

/* Completes as far as it is clear; what else it may be is listed below the line. */
static unsigned char complete(EditLine *el, const char *word, const struct mk_str *list, size_t n)
{
    const size_t len = strlen(word), common = n ? common_prefix(list, n) : 0;
    if (common > len) {
        struct mk_str more = {0};
        mk_str_append(&more, list[0].data + len, common - len);
        el_insertstr(el, more.data);
        mk_str_release(&more);
        return CC_REFRESH;
    }
    if (n < 2) return CC_REFRESH_BEEP;
    putchar('\n');
    struct mk_str shown = {0};
    for (size_t i = 0; i < n && i < MAX_LISTED; i++) {
        mk_term_clean(&shown, list[i].data, list[i].len);
        mk_str_add(&shown, "  ");
    }
    fputs(mk_str_c(&shown), stdout);
    mk_str_release(&shown);
    putchar('\n');
    return CC_REDISPLAY;
}

static unsigned char on_tab(EditLine *el, int c)
{
    (void)c;
    const LineInfo *info = el_line(el);
    struct mk_str before = {0};
    mk_str_append(&before, info->buffer, (size_t)(info->cursor - info->buffer));
    if (mk_str_c(&before)[0] != '/') {
        mk_str_release(&before);
        return CC_REFRESH_BEEP;
    }
    const char *space = strchr(before.data, ' ');
    const char *word = space ? space + 1 : before.data;
    struct mk_str *list = NULL;
    size_t n = 0;
    candidates(line_of(el), word, !space, &list, &n);
    const unsigned char result = complete(el, word, list, n);
    for (size_t i = 0; i < n; i++) mk_str_release(&list[i]);
    free(list);
    mk_str_release(&before);
    return result;
}

/* ---- history ---------------------------------------------------------------------------- */

static char *history_file(void)
{
    const char *no = getenv("MINKE_NOHISTORY");
    if (no && *no && strcmp(no, "0") != 0) return NULL;
    char *dir = mk_cli_xdg("XDG_STATE_HOME", ".local/state", "");
    if (!dir || !mk_mkdirs(dir, 0700, NULL)) {
        free(dir);
        return NULL;
    }
    struct mk_str file = {0};
    mk_str_addf(&file, "%shistory", dir);
    free(dir);
    return mk_str_take(&file);
}

void mk_line_remember(struct mk_line *l, const char *text)
{
    HistEvent event;
    history(l->history, &event, H_ENTER, text);
    if (!l->file) return;
    const mode_t old = umask(0077); /* what people write is theirs */
    history(l->history, &event, H_SAVE, l->file);
    umask(old);
}

/* ---- lines --------------------------------------------------------------------------------- */

static void bind(EditLine *el, const char *key, const char *function)
{
    el_set(el, EL_BIND, key, function, NULL);
}

static void set_keys(EditLine *el)
{
    el_set(el, EL_EDITOR, "emacs");
    el_wset(el, EL_ADDFN, L"mk-paste", L"insert a paste", on_paste);
    el_wset(el, EL_ADDFN, L"mk-newline", L"insert a newline", on_newline);
    el_wset(el, EL_ADDFN, L"mk-editor", L"open the editor", on_editor);
    el_wset(el, EL_ADDFN, L"mk-complete", L"complete the word", on_tab);
    el_wset(el, EL_ADDFN, L"mk-interrupt", L"clear the line or leave", on_interrupt_key);
    el_wset(el, EL_ADDFN, L"mk-suspend", L"stop for a while", on_suspend_key);
    el_set(el, EL_SETTY, "-d", "-isig", NULL);
    bind(el, "^C", "mk-interrupt");
    bind(el, "^Z", "mk-suspend");
    bind(el, "\033[200~", "mk-paste");
    bind(el, "\033\n", "mk-newline");
    bind(el, "\033\r", "mk-newline");
    bind(el, "^G", "mk-editor");
    bind(el, "^I", "mk-complete");
    bind(el, "^R", "em-inc-search-prev");
    bind(el, "\033[3~", "ed-delete-next-char");
    bind(el, "\033[H", "ed-move-to-beg");
    bind(el, "\033[F", "ed-move-to-end");
    bind(el, "\033[1;5C", "em-next-word");
    bind(el, "\033[1;5D", "ed-prev-word");
}

/* libedit reads characters by the locale; one without UTF-8 would garble them. */
static void set_locale(void)
{
    setlocale(LC_CTYPE, "");
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0) setlocale(LC_CTYPE, "C.UTF-8");
}

struct mk_line *mk_line_new(const char *const *commands)
{
    set_locale();
    struct mk_line *l = mk_alloc(sizeof *l);
    HistEvent event;
    l->commands = commands;
    l->file = history_file();
    l->history = history_init();
    history(l->history, &event, H_SETSIZE, N_HISTORY);
    history(l->history, &event, H_SETUNIQUE, 1);
    if (l->file) history(l->history, &event, H_LOAD, l->file);
    l->el = el_init("minke", stdin, mk_term_is_tty(STDOUT_FILENO) ? stdout : stderr, stderr);
    el_set(l->el, EL_CLIENTDATA, l);
    el_set(l->el, EL_PROMPT, prompt_of);
    el_set(l->el, EL_SIGNAL, 1);
    el_set(l->el, EL_HIST, history, l->history);
    set_keys(l->el);
    return l;
}

void mk_line_free(struct mk_line *l)
{
    if (!l) return;
    el_end(l->el);
    history_end(l->history);
    free(l->pastes);
    free(l->file);
    free(l);
}

static void ask_for_marked_pastes(bool is_on)
{
    const char *term = getenv("TERM");
    if (!mk_term_is_tty(STDOUT_FILENO) || !term || !strcmp(term, "dumb")) return;
    fputs(is_on ? "\033[?2004h" : "\033[?2004l", stdout);
    fflush(stdout);
}

/* After el_gets() gave nothing. */
static enum mk_line_end why_no_line(const struct mk_line *l, int n, int error)
{
    const bool was_signal = mk_term_interrupted() || (n == -1 && error == EINTR);
    if (!l->was_cleared && !l->was_interrupted && !was_signal) return MK_LINE_EOF;
    putchar('\n');
    return l->was_cleared ? MK_LINE_CLEARED : MK_LINE_INTERRUPT;
}

static void edit_line(const struct mk_line *l, struct mk_str *text)
{
    struct mk_err err;
    putchar('\n');
    if (mk_edit_text(text, &err)) {
        struct mk_str clean = {0};
        mk_term_clean(&clean, mk_str_c(text), text->len);
        printf("%s%s\n", l->prompt, mk_str_c(&clean));
        mk_str_release(&clean);
    } else {
        fprintf(stderr, "minke: %s\n", err.msg);
        mk_str_clear(text);
    }
}

enum mk_line_end mk_line_read(struct mk_line *l, const char *prompt, struct mk_str *out)
{
    mk_str_clear(out);
    l->prompt = prompt;
    l->wants_editor = l->was_cleared = l->was_interrupted = false;
    ask_for_marked_pastes(true);
    el_set(l->el, EL_PREP_TERM, 1); /* before the prompt: keys that answer it are ours */
    int n = 0;
    errno = 0;
    const char *text = el_gets(l->el, &n);
    const int error = errno;
    ask_for_marked_pastes(false);
    if (!text || n <= 0) {
        expand_pastes(l, out);
        return why_no_line(l, n, error);
    }
    mk_str_append(out, text, (size_t)n);
    if (out->len && out->data[out->len - 1] == '\n') out->data[--out->len] = 0;
    expand_pastes(l, out);
    if (l->wants_editor) edit_line(l, out);
    return MK_LINE_DONE;
}
