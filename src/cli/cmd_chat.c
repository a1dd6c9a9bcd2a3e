/* minke chat: talking with a model.  Every turn renders the whole conversation again; the
 * session keeps what it shares with the turn before, so only what is new is read. */
#include "base/clock.h"
#include "cli/line.h"
#include "cli/repl.h"
#include "cli/term.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- turns ------------------------------------------------------------------------ */

void mk_repl_add_stats(struct mk_repl_stats *to, const struct mk_reply *reply)
{
    to->n_turns++;
    to->n_prompt += reply->g.n_prompt;
    to->n_kept += reply->g.n_kept;
    to->n_answer += reply->g.ids.n;
    to->n_steps += reply->n_steps;
    to->prompt_s += reply->g.prompt_s;
    to->answer_s += reply->g.answer_s;
}

static void keep_reply(struct mk_repl *r, const struct mk_reply *reply)
{
    mk_conversation_add(&r->c, MK_ASSISTANT, mk_str_c(&reply->answer),
                        reply->has_reasoning ? mk_str_c(&reply->reasoning) : NULL);
    size_t n;
    const struct mk_tool_call *calls = mk_reply_calls(reply, &n);
    for (size_t i = 0; i < n; i++) mk_conversation_add_call(&r->c, &calls[i]);
    r->last = (struct mk_repl_stats){0};
    mk_repl_add_stats(&r->last, reply);
    mk_repl_add_stats(&r->total, reply);
}

bool mk_repl_turn(struct mk_repl *r)
{
    struct mk_reply reply = {0};
    struct mk_err err;
    mk_term_interrupted(); /* forget one from before */
    const bool ok = mk_dialog_reply(r->d, &r->c, &reply, &err);
    const bool is_empty = !ok || (reply.g.finish == MK_FINISH_CANCEL && !reply.g.ids.n);
    if (!ok) fprintf(stderr, "minke: %s\n", err.msg);
    if (is_empty) {
        if (ok) fputc('\n', stderr);
        mk_conversation_truncate(&r->c, r->c.n - 1);
        fputs("[no answer; your message was taken back]\n", stderr);
    } else {
        keep_reply(r, &reply);
        mk_reply_print_end(r->d, &reply);
        mk_reply_print_stats(&reply);
    }
    mk_reply_release(&reply);
    return !is_empty;
}

void mk_repl_send(struct mk_repl *r, const char *text)
{
    const size_t n = r->attached.len;
    if (n && *text) mk_str_add(&r->attached, "\n\n");
    mk_str_add(&r->attached, text);
    mk_conversation_add(&r->c, MK_USER, mk_str_c(&r->attached), NULL);
    /* A message that is taken back leaves its attachment for the next. */
    r->attached.len = mk_repl_turn(r) ? 0 : n;
    r->attached.data[r->attached.len] = 0;
}

void mk_repl_print_model(const struct mk_repl *r)
{
    const struct mk_info i = mk_engine_info(r->d->engine);
    struct mk_str line = {0}, clean = {0};
    char n_params[32];
    mk_str_addf(&line, "%s: %s, %s parameters", i.path, i.kind,
                mk_term_human(n_params, (double)i.n_params, ""));
    mk_str_addf(&line, "\n%u threads, %s, context %zu tokens, template %s, thinking %s\n",
                i.n_threads, i.cpu, mk_session_n_ctx(r->d->session), r->d->template->name,
                r->d->is_thinking ? "on" : "off");
    mk_term_clean(&clean, line.data, line.len);
    fputs(mk_str_c(&clean), stdout);
    mk_str_release(&line);
    mk_str_release(&clean);
}

/* ---- messages --------------------------------------------------------------------- */

static const char quotes[] = "\"\"\"";

static bool ends_with(const struct mk_str *s, const char *end)
{
    const size_t n = strlen(end);
    return s->len >= n && !memcmp(s->data + s->len - n, end, n);
}

/* After the first line of a """ block: the lines up to the closing quotes. */
static enum mk_line_end read_block(struct mk_line *line, struct mk_str *text)
{
    struct mk_str more = {0};
    enum mk_line_end end = MK_LINE_DONE;
    while (end == MK_LINE_DONE && !ends_with(text, quotes)) {
        end = mk_line_read(line, "... ", &more);
        if (end != MK_LINE_DONE) break;
        if (text->len) mk_str_addc(text, '\n');
        mk_str_append(text, mk_str_c(&more), more.len);
    }
    if (end == MK_LINE_DONE) text->data[text->len -= strlen(quotes)] = 0;
    if (end == MK_LINE_DONE && ends_with(text, "\n")) text->data[--text->len] = 0;
    mk_str_release(&more);
    return end;
}

/* After a line that ends in a backslash: the lines up to one that does not. */
static enum mk_line_end read_continued(struct mk_line *line, struct mk_str *text)
{
    struct mk_str more = {0};
    enum mk_line_end end = MK_LINE_DONE;
    while (end == MK_LINE_DONE && ends_with(text, "\\")) {
        text->data[text->len - 1] = '\n';
        end = mk_line_read(line, "... ", &more);
        if (end == MK_LINE_DONE) mk_str_append(text, mk_str_c(&more), more.len);
    }
    mk_str_release(&more);
    return end;
}

static enum mk_line_end read_message(struct mk_line *line, struct mk_str *text)
{
    const enum mk_line_end end = mk_line_read(line, ">>> ", text);
    if (end != MK_LINE_DONE) return end;
    if (!strncmp(mk_str_c(text), quotes, strlen(quotes))) {
        memmove(text->data, text->data + 3, text->len - 2);
        text->len -= 3;
        return read_block(line, text);
    }
    return read_continued(line, text);
}

/* ---- the loop --------------------------------------------------------------------- */

static void obey(struct mk_repl *r, struct mk_line *line, struct mk_str *text)
{
    const char *s = mk_str_c(text);
    if (!*s && !r->attached.len) return;
    if (*s) mk_line_remember(line, s);
    struct mk_err err;
    if (s[0] != '/')
        mk_repl_send(r, s);
    else if (s[1] == '/')
        mk_repl_send(r, s + 1);
    else if (!mk_repl_run(r, text->data, &err))
        fprintf(stderr, "%s\n", err.msg);
}

static int loop(struct mk_repl *r, struct mk_line *line)
{
    struct mk_str text = {0};
    double interrupted_at = -1; /* never: the clock starts at 0 or later */
    int status = 0;
    while (!r->wants_exit) {
        const enum mk_line_end end = read_message(line, &text);
        if (end == MK_LINE_DONE) obey(r, line, &text);
        if (end == MK_LINE_EOF) {
            putchar('\n');
            break;
        }
        if (end != MK_LINE_INTERRUPT) continue;
        const double now = mk_now_s();
        if (now - interrupted_at < 1) {
            status = mk_code_exit(MK_ECANCELED);
            break;
        }
        interrupted_at = now;
        puts("Ctrl-C again or Ctrl-D leaves.");
    }
    mk_str_release(&text);
    return status;
}

static int converse(struct mk_dialog *d)
{
    struct mk_repl r = {.d = d};
    const char **names = mk_repl_names();
    struct mk_line *line = mk_line_new(names);
    if (d->o->system) mk_conversation_add(&r.c, MK_SYSTEM, d->o->system, NULL);
    printf("minke %s\n", MK_VERSION);
    mk_repl_print_model(&r);
    puts("/help lists commands, Ctrl-C stops an answer, Ctrl-D leaves.");
    const int status = loop(&r, line);
    mk_line_free(line);
    free(names);
    mk_conversation_release(&r.c);
    mk_str_release(&r.attached);
    return status;
}

int mk_cmd_chat(int argc, char **argv)
{
    struct mk_dialog_opts o = MK_DIALOG_OPTS;
    const char *text = NULL;
    const struct mk_opt opts[] = {
        MK_OPTS_DIALOG(o),
        {"prompt", 'p', MK_OPT_STR, &text, "TEXT", "answer this (and text on stdin) and exit", 0, 0,
         NULL, NULL},
        {0},
    };
    mk_opts_parse("chat", opts, argc, argv, NULL, 0);
    const bool is_once = text || !mk_term_is_tty(STDIN_FILENO);
    if (o.json && !is_once) mk_cli_usage("chat", "--json goes with -p or text on stdin");
    struct mk_dialog d;
    struct mk_str input = {0};
    if (is_once) input = mk_dialog_input("chat", text);
    mk_dialog_open(&d, "chat", &o, false, false);
    const int status = is_once ? mk_dialog_once(&d, &input, false) : converse(&d);
    mk_dialog_close(&d);
    mk_str_release(&input);
    return status;
}
