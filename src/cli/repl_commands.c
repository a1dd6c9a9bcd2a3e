/* The slash commands of the chat, one function each. */
#include "base/file.h"
#include "base/mem.h"
#include "cli/line.h"
#include "cli/repl.h"
#include "cli/term.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_READ_BYTES = 16 << 20 };

/* Text of the conversation to a terminal. */
static void print_clean(const char *s)
{
    struct mk_str clean = {0};
    mk_term_clean(&clean, s, strlen(s));
    puts(mk_str_c(&clean));
    mk_str_release(&clean);
}

static bool has_system(const struct mk_repl *r) { return r->c.n && r->c.list[0].role == MK_SYSTEM; }

/* The last message of that role, or NULL. */
static struct mk_message *last_of(const struct mk_repl *r, enum mk_role role)
{
    for (size_t i = r->c.n; i-- > 0;)
        if (r->c.list[i].role == role) return &r->c.list[i];
    return NULL;
}

static bool need_last(const struct mk_repl *r, enum mk_role role, struct mk_message **out,
                      struct mk_err *err)
{
    *out = last_of(r, role);
    return *out ||
           mk_fail(err, MK_EUSAGE, "nothing was %s yet", role == MK_USER ? "asked" : "answered");
}

static bool need_arg(const char *arg, const char *what, struct mk_err *err)
{
    return *arg || mk_fail(err, MK_EUSAGE, "%s is missing", what);
}

/* ---- the conversation ------------------------------------------------------------------ */

static bool cmd_exit(struct mk_repl *r, char *arg, struct mk_err *err)
{
    (void)arg, (void)err;
    r->wants_exit = true;
    return true;
}

static bool cmd_new(struct mk_repl *r, char *arg, struct mk_err *err)
{
    (void)arg, (void)err;
    mk_conversation_truncate(&r->c, has_system(r));
    mk_str_clear(&r->attached);
    puts("A new conversation.");
    return true;
}

static void copy_messages(struct mk_conversation *to, const struct mk_conversation *from,
                          size_t first)
{
    for (size_t i = first; i < from->n; i++) {
        const struct mk_message *m = &from->list[i];
        mk_conversation_add(to, m->role, m->content, m->reasoning);
        for (size_t k = 0; k < m->n_calls; k++) mk_conversation_add_call(to, &m->calls[k]);
    }
}

static bool cmd_system(struct mk_repl *r, char *arg, struct mk_err *err)
{
    (void)err;
    if (!*arg) {
        print_clean(has_system(r) ? r->c.list[0].content : "There is no system message.");
        return true;
    }
    struct mk_conversation c = {0};
    mk_conversation_add(&c, MK_SYSTEM, arg, NULL);
    copy_messages(&c, &r->c, has_system(r));
    mk_conversation_release(&r->c);
    r->c = c;
    return true;
}

static bool cmd_regen(struct mk_repl *r, char *arg, struct mk_err *err)
{
    (void)arg;
    struct mk_message *m;
    if (!need_last(r, MK_USER, &m, err)) return false;
    mk_conversation_truncate(&r->c, (size_t)(m - r->c.list) + 1);
    r->d->sampling.seed++; /* the same would give the same answer */
    mk_repl_turn(r);
    return true;
}

static bool cmd_undo(struct mk_repl *r, char *arg, struct mk_err *err)
{
    (void)arg;
    struct mk_message *m;
    if (!need_last(r, MK_USER, &m, err)) return false;
    struct mk_str first = {0};
    const size_t n = strcspn(m->content, "\n");
    mk_str_addf(&first, "Forgotten: %.*s%s", (int)(n < 70 ? n : 70), m->content,
                m->content[n < 70 ? n : 70] ? " ..." : "");
    print_clean(first.data);
    mk_str_release(&first);
    mk_conversation_truncate(&r->c, (size_t)(m - r->c.list));
    return true;
}

static bool cmd_edit(struct mk_repl *r, char *arg, struct mk_err *err)
{
    (void)arg;
    struct mk_str text = {0};
    struct mk_message *m = last_of(r, MK_USER);
    if (m) mk_str_add(&text, m->content);
    bool ok = mk_edit_text(&text, err);
    if (ok && !text.len) ok = mk_fail(err, MK_EUSAGE, "the text is empty; nothing was sent");
    if (ok) {
        if (m) mk_conversation_truncate(&r->c, (size_t)(m - r->c.list));
        print_clean(text.data);
        mk_repl_send(r, text.data);
    }
    mk_str_release(&text);
    return ok;
}

static bool cmd_read(struct mk_repl *r, char *arg, struct mk_err *err)
{
    struct mk_str file = {0}, text = {0};
    if (!need_arg(arg, "the file", err) || !mk_file_read(&file, arg, MAX_READ_BYTES, err))
        return false;
    bool ok = !memchr(mk_str_c(&file), 0, file.len) ||
              mk_fail(err, MK_EFORMAT, "%s holds zero bytes: it is no text", arg);
    if (ok) {
        mk_str_add_utf8(&text, mk_str_c(&file), file.len);
        struct mk_ids ids = {0};
        mk_tokenize(r->d->tokenizer, mk_str_c(&text), text.len, 0, &ids);
        printf("%zu bytes, %zu tokens: they go before your next message.\n", file.len, ids.n);
        mk_ids_release(&ids);
        if (r->attached.len) mk_str_add(&r->attached, "\n\n");
        mk_str_add(&r->attached, mk_str_c(&text));
    }
    mk_str_release(&file);
    mk_str_release(&text);
    return ok;
}

/* ---- files ------------------------------------------------------------------------------- */

static json_t *json_message(const struct mk_message *m)
{
    static const char *const roles[] = {"system", "user", "assistant", "tool"};
    json_t *v = json_pack("{s:s, s:s?}", "role", roles[m->role], "content", m->content);
    if (m->reasoning) json_object_set_new(v, "reasoning_content", json_string(m->reasoning));
    json_t *calls = json_array();
    for (size_t i = 0; i < m->n_calls; i++)
        json_array_append_new(calls, json_pack("{s:s?, s:s, s:{s:s, s:s}}", "id", m->calls[i].id,
                                               "type", "function", "function", "name",
                                               m->calls[i].name, "arguments",
                                               m->calls[i].arguments ? m->calls[i].arguments : ""));
    if (m->n_calls) json_object_set(v, "tool_calls", calls);
    json_decref(calls);
    return v;
}

static bool cmd_save(struct mk_repl *r, char *arg, struct mk_err *err)
{
    if (!need_arg(arg, "the file", err)) return false;
    json_t *list = json_array();
    for (size_t i = 0; i < r->c.n; i++) json_array_append_new(list, json_message(&r->c.list[i]));
    json_t *v = json_pack("{s:o}", "messages", list);
    char *text = json_dumps(v, JSON_INDENT(1));
    json_decref(v);
    if (!text) return mk_fail(err, MK_EFORMAT, "a message is not valid UTF-8");
    struct mk_out out;
    bool ok = mk_out_open(&out, arg, err);
    if (ok) {
        ok = mk_out_write(&out, text, strlen(text), err) && mk_out_write(&out, "\n", 1, err) &&
             mk_out_close(&out, err);
        if (!ok) mk_out_abandon(&out);
    }
    free(text);
    if (ok) printf("%zu messages saved.\n", r->c.n);
    return ok;
}

static bool cmd_load(struct mk_repl *r, char *arg, struct mk_err *err)
{
    struct mk_str text = {0};
    struct mk_conversation c;
    if (!need_arg(arg, "the file", err) || !mk_file_read(&text, arg, MAX_READ_BYTES, err))
        return false;
    const bool ok = mk_conversation_parse(&c, mk_str_c(&text), text.len, err);
    mk_str_release(&text);
    if (!ok) return mk_fail_in(err, "%s", arg);
    mk_conversation_release(&r->c);
    r->c = c;
    printf("%zu messages loaded.\n", r->c.n);
    return true;
}

/* Asks the terminal to put the text on the clipboard: OSC 52 and base64. */
static bool cmd_copy(struct mk_repl *r, char *arg, struct mk_err *err)
{
    (void)arg;
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct mk_message *m;
    if (!need_last(r, MK_ASSISTANT, &m, err)) return false;
    if (!mk_term_is_tty(STDOUT_FILENO)) return mk_fail(err, MK_EUSAGE, "stdout is no terminal");
    const char *s = m->content ? m->content : "";
    const size_t n = strlen(s);
    struct mk_str out = {0};
    mk_str_add(&out, "\033]52;c;");
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = 0;
        for (size_t k = 0; k < 3; k++) v = v << 8 | (i + k < n ? (unsigned char)s[i + k] : 0u);
        for (size_t k = 0; k < 4; k++)
            mk_str_addc(&out, i + k > n ? '=' : digits[v >> (18 - 6 * k) & 63]);
    }
    mk_str_add(&out, "\a");
    fputs(out.data, stdout);
    mk_str_release(&out);
    puts("Copied, if the terminal allows it.");
    return true;
}

/* ---- settings ------------------------------------------------------------------------------ */

static bool cmd_think(struct mk_repl *r, char *arg, struct mk_err *err)
{
    if (!strcmp(arg, "on") || !strcmp(arg, "off")) {
        if (!mk_dialog_think(r->d, arg[1] == 'n', err)) return false;
    } else if (*arg) {
        return mk_fail(err, MK_EUSAGE, "the template %s knows \"on\" and \"off\", not \"%s\"",
                       r->d->template->name, arg);
    }
    printf("Thinking is %s.\n", r->d->is_thinking ? "on" : "off");
    return true;
}

static const struct {
    const char *name;
    size_t offset;
} floats[] = {
    {"temp", offsetof(struct mk_sampling, temperature)},
    {"top-p", offsetof(struct mk_sampling, top_p)},
    {"min-p", offsetof(struct mk_sampling, min_p)},
    {"repeat-penalty", offsetof(struct mk_sampling, repetition_penalty)},
    {"presence-penalty", offsetof(struct mk_sampling, presence_penalty)},
    {"frequency-penalty", offsetof(struct mk_sampling, frequency_penalty)},
};
enum { N_FLOATS = sizeof floats / sizeof *floats };

static float *float_at(struct mk_sampling *s, size_t i)
{
    return (float *)(void *)((char *)s + floats[i].offset);
}

static bool set_float(struct mk_sampling *s, const char *key, const char *value, struct mk_err *err)
{
    char *end;
    const float v = strtof(value, &end);
    if (end == value || *end) return mk_fail(err, MK_EUSAGE, "\"%s\" is not a number", value);
    for (size_t i = 0; i < N_FLOATS; i++)
        if (!strcmp(floats[i].name, key)) *float_at(s, i) = v;
    return true;
}

static bool set_integer(struct mk_repl *r, struct mk_sampling *s, const char *key,
                        const char *value, struct mk_err *err)
{
    char *end;
    const long long v = strtoll(value, &end, 10);
    if (end == value || *end || v < 0 || (strcmp(key, "seed") != 0 && v > INT32_MAX))
        return mk_fail(err, MK_EUSAGE, "\"%s\" is not a number of 0 or more", value);
    if (!strcmp(key, "top-k")) s->top_k = (int32_t)v;
    if (!strcmp(key, "seed")) s->seed = (uint64_t)v;
    if (!strcmp(key, "max-tokens")) r->d->max_toks = (size_t)v;
    return true;
}

static void print_params(struct mk_repl *r)
{
    struct mk_sampling *s = &r->d->sampling;
    for (size_t i = 0; i < N_FLOATS; i++)
        printf("  %-18s%g\n", floats[i].name, (double)*float_at(s, i));
    printf("  %-18s%d\n  %-18s%llu\n  %-18s%zu\n", "top-k", (int)s->top_k, "seed",
           (unsigned long long)s->seed, "max-tokens", r->d->max_toks);
}

static bool cmd_set(struct mk_repl *r, char *arg, struct mk_err *err)
{
    static const char *const names[] = {
        "temp",  "top-p", "min-p",     "repeat-penalty", "presence-penalty", "frequency-penalty",
        "top-k", "seed",  "max-tokens"};
    enum { N_NAMES = sizeof names / sizeof *names };
    char *value = arg + strcspn(arg, " ");
    if (!*arg) {
        print_params(r);
        return true;
    }
    if (!*value) return mk_fail(err, MK_EUSAGE, "/set NAME VALUE; /set alone lists the names");
    *value++ = 0;
    size_t i = 0;
    while (i < N_NAMES && strcmp(names[i], arg) != 0) i++;
    if (i == N_NAMES) {
        const char *near = mk_cli_nearest(arg, names, N_NAMES);
        return mk_fail(err, MK_EUSAGE, "there is no setting \"%s\"%s%s", arg,
                       near ? "; did you mean " : "", near ? near : "");
    }
    struct mk_sampling s = r->d->sampling;
    if (!(i < N_FLOATS ? set_float(&s, arg, value, err) : set_integer(r, &s, arg, value, err)) ||
        !mk_sampling_check(&s, mk_engine_info(r->d->engine).n_vocab, err))
        return false;
    r->d->sampling = s;
    return true;
}

/* ---- looking ------------------------------------------------------------------------------- */

static void print_stats(const char *what, const struct mk_repl_stats *s)
{
    const double prompt = s->prompt_s > 0 ? (double)(s->n_prompt - s->n_kept) / s->prompt_s : 0;
    const double answer = s->answer_s > 0 ? (double)s->n_steps / s->answer_s : 0;
    printf("%-6s prompt %zu tokens, %zu known, %.1f tokens/s; answer %zu tokens, %.1f tokens/s\n",
           what, s->n_prompt, s->n_kept, prompt, s->n_answer, answer);
}

static bool cmd_stats(struct mk_repl *r, char *arg, struct mk_err *err)
{
    (void)arg, (void)err;
    size_t n;
    mk_session_ids(r->d->session, &n);
    print_stats("last", &r->last);
    print_stats("all", &r->total);
    printf("%zu answers; the context holds %zu of %zu tokens\n", r->total.n_turns, n,
           mk_session_n_ctx(r->d->session));
    return true;
}

static bool cmd_show(struct mk_repl *r, char *arg, struct mk_err *err)
{
    if (!*arg || !strcmp(arg, "params"))
        print_params(r);
    else if (!strcmp(arg, "model"))
        mk_repl_print_model(r);
    else if (!strcmp(arg, "stats"))
        return cmd_stats(r, arg, err);
    else
        return mk_fail(err, MK_EUSAGE, "/show knows params, model and stats, not \"%s\"", arg);
    return true;
}

static bool cmd_tokens(struct mk_repl *r, char *arg, struct mk_err *err)
{
    if (!need_arg(arg, "the text", err)) return false;
    const struct mk_tokenizer *t = r->d->tokenizer;
    struct mk_ids ids = {0};
    mk_tokenize(t, arg, strlen(arg), 0, &ids);
    for (size_t i = 0; i < ids.n; i++) {
        size_t n;
        const char *bytes = mk_token_bytes(t, ids.v[i], &n);
        struct mk_str clean = {0};
        mk_term_clean(&clean, bytes ? bytes : "", n);
        printf("%8d  \"%s\"\n", (int)ids.v[i], mk_str_c(&clean));
        mk_str_release(&clean);
    }
    printf("%zu tokens\n", ids.n);
    mk_ids_release(&ids);
    return true;
}

static bool cmd_help(struct mk_repl *r, char *arg, struct mk_err *err)
{
    (void)r, (void)arg, (void)err;
    for (const struct mk_repl_command *c = mk_repl_commands; c->name; c++) {
        const int n = (int)(strlen(c->name) + strlen(c->args) + 1);
        printf("  %s %s%*s%s\n", c->name, c->args, n < 24 ? 24 - n : 1, "", c->help);
    }
    puts("  //text                  a message that begins with a slash\n"
         "  \"\"\" ... \"\"\"             a message of several lines; so does \\ at a line's end\n"
         "  Alt-Enter newline, Ctrl-G editor, Ctrl-R search, Tab completes commands and files");
    return true;
}

/* ---- the list ------------------------------------------------------------------------------ */

const struct mk_repl_command mk_repl_commands[] = {
    {"/help", "", "this list", cmd_help},
    {"/exit /quit /bye", "", "leave", cmd_exit},
    {"/new /clear", "", "a new conversation", cmd_new},
    {"/think", "[on|off]", "whether the model thinks first", cmd_think},
    {"/system", "[TEXT]", "show or set what the model is told first", cmd_system},
    {"/set", "[NAME VALUE]", "show or change sampling", cmd_set},
    {"/show", "[params|model|stats]", "settings, the model, speed", cmd_show},
    {"/read", "FILE", "put a file before the next message", cmd_read},
    {"/regen", "", "another answer", cmd_regen},
    {"/undo", "", "forget the last message and its answer", cmd_undo},
    {"/edit", "", "change the last message in your editor", cmd_edit},
    {"/save", "FILE", "write the conversation as JSON", cmd_save},
    {"/load", "FILE", "read one", cmd_load},
    {"/copy", "", "the last answer to the clipboard", cmd_copy},
    {"/stats", "", "speed and size so far", cmd_stats},
    {"/tokens", "TEXT", "how a text is cut into tokens", cmd_tokens},
    {NULL, NULL, NULL, NULL},
};

/* Is word[0..n) one of the names separated by spaces? */
static bool has_name(const char *names, const char *word, size_t n)
{
    for (const char *s = names; *s; s += strcspn(s, " "), s += *s == ' ')
        if (strcspn(s, " ") == n && !memcmp(s, word, n)) return true;
    return false;
}

const char **mk_repl_names(void)
{
    /* Names are cut from one text that stands behind the list. */
    size_t n = 0, n_bytes = 0;
    for (const struct mk_repl_command *c = mk_repl_commands; c->name; c++) {
        n_bytes += strlen(c->name) + 1;
        for (const char *s = c->name; *s; s++) n += *s == '/';
    }
    const char **list = mk_alloc((n + 1) * sizeof *list + n_bytes);
    char *text = (char *)(list + n + 1);
    size_t i = 0;
    for (const struct mk_repl_command *c = mk_repl_commands; c->name; c++) {
        memcpy(text, c->name, strlen(c->name) + 1);
        for (char *word = strtok(text, " "); word; word = strtok(NULL, " ")) list[i++] = word;
        text += strlen(c->name) + 1;
    }
    return list;
}

bool mk_repl_run(struct mk_repl *r, char *line, struct mk_err *err)
{
    const size_t n = strcspn(line, " \n");
    char *arg = line + n;
    arg += strspn(arg, " \n");
    for (size_t len = strlen(arg); len && arg[len - 1] == ' ';) arg[--len] = 0;
    for (const struct mk_repl_command *c = mk_repl_commands; c->name; c++)
        if (has_name(c->name, line, n)) return c->run(r, arg, err);
    line[n] = 0;
    const char **names = mk_repl_names();
    size_t n_names = 0;
    while (names[n_names]) n_names++;
    const char *near = mk_cli_nearest(line, names, n_names);
    mk_fail(err, MK_EUSAGE, "no command %s%s%s; /help lists them, //... sends a slash", line,
            near ? "; did you mean " : "", near ? near : "");
    free(names);
    return false;
}
