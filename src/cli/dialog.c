/* One reply: the prompt goes to a session as ids, text comes back in pieces, is split into
 * thought, answer and calls, and each piece is shown at once. */
#include "cli/dialog.h"

#include "base/mem.h"
#include "cli/term.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* ---- opening ---------------------------------------------------------------------- */

/* "ID=VALUE" */
static struct mk_bias parse_bias(const char *command, const char *s)
{
    char *end;
    const long id = strtol(s, &end, 10);
    if (end == s || *end != '=' || id < 0 || id > INT32_MAX)
        mk_cli_usage(command, "--logit-bias %s is not ID=VALUE", s);
    const char *number = end + 1;
    const double add = strtod(number, &end);
    if (end == number || *end || isnan(add) || add == (double)INFINITY)
        mk_cli_usage(command, "--logit-bias %s: no number after '='", s);
    return (struct mk_bias){.id = (int32_t)id, .add = (float)add};
}

static int64_t random_seed(void)
{
    uint32_t seed = 0;
    /* Short, so that people can write it down. */
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed) seed = (uint32_t)getpid();
    return seed;
}

static void set_float(float *to, double given)
{
    if (!isnan(given)) *to = (float)given;
}

static void set_sampling(struct mk_dialog *d, const char *command)
{
    const struct mk_dialog_opts *o = d->o;
    struct mk_sampling *s = &d->sampling;
    struct mk_err err;
    if (!mk_sampling_defaults(d->engine, s, &err)) mk_cli_die(&err);
    set_float(&s->temperature, o->temperature);
    set_float(&s->top_p, o->top_p);
    set_float(&s->min_p, o->min_p);
    set_float(&s->repetition_penalty, o->repetition);
    set_float(&s->presence_penalty, o->presence);
    set_float(&s->frequency_penalty, o->frequency);
    if (o->top_k >= 0) s->top_k = (int32_t)o->top_k;
    s->seed = (uint64_t)(o->seed >= 0 ? o->seed : random_seed());
    s->n_top = o->n_top;
    s->wants_logprobs = o->n_top > 0;
    d->bias = mk_calloc(o->biases.n + 1, sizeof *d->bias);
    for (size_t i = 0; i < o->biases.n; i++) d->bias[i] = parse_bias(command, o->biases.v[i]);
    s->bias = d->bias;
    s->n_bias = o->biases.n;
    if (!mk_sampling_check(s, mk_engine_info(d->engine).n_vocab, &err)) mk_cli_die(&err);
}

static const struct mk_template *choose_template(const struct mk_dialog *d, const char *command,
                                                 bool may_be_plain)
{
    const struct mk_template *t;
    struct mk_err err;
    if (d->o->template) return mk_cli_template(command, d->o->template);
    if (mk_template_detect(&t, d->tokenizer, &err)) return t;
    if (may_be_plain && !mk_tokenizer_template(d->tokenizer)) return NULL;
    mk_cli_die(&err);
}

static void set_template(struct mk_dialog *d, const char *command)
{
    for (const char *const *s = d->template->stops; s && *s; s++) {
        const int32_t id = mk_token_find(d->tokenizer, *s);
        if (id >= 0 && d->n_stop_ids < MK_MAX_STOP_IDS) d->stop_ids[d->n_stop_ids++] = id;
    }
    d->is_thinking = mk_template_thinks(d->template, d->tokenizer);
    struct mk_err err;
    if (d->o->think && !mk_dialog_think(d, !strcmp(d->o->think, "on"), &err))
        mk_cli_usage(command, "%s", err.msg);
}

bool mk_dialog_think(struct mk_dialog *d, bool is_on, struct mk_err *err)
{
    const struct mk_template *t = d->template;
    if (is_on ? !t->can_think : !t->can_not_think)
        return mk_fail(err, MK_EUSAGE, "the template %s %s", t->name,
                       is_on ? "does not think" : "always thinks");
    d->is_thinking = is_on;
    return true;
}

void mk_dialog_open(struct mk_dialog *d, const char *command, const struct mk_dialog_opts *o,
                    bool may_be_plain, bool is_plain)
{
    struct mk_err err;
    *d = (struct mk_dialog){.o = o, .max_toks = o->max_toks};
    d->engine = mk_cli_open(&o->model, &o->speculate);
    d->tokenizer = mk_engine_tokenizer(d->engine, &err);
    if (!d->tokenizer) mk_cli_die(&err);
    if (!is_plain) d->template = choose_template(d, command, may_be_plain);
    if (d->template)
        set_template(d, command);
    else if (o->system || o->think)
        mk_cli_usage(command, "%s has no chat template, which --system and --think need",
                     mk_engine_info(d->engine).path);
    set_sampling(d, command);
    if (!mk_session_new(&d->session, d->engine, o->model.n_ctx, &err)) mk_cli_die(&err);
    mk_show_init(&d->show, o->color, o->json, o->hides_thoughts);
    mk_term_catch_interrupts();
}

void mk_dialog_close(struct mk_dialog *d)
{
    mk_session_free(d->session);
    mk_engine_close(d->engine);
    free(d->bias);
    *d = (struct mk_dialog){0};
}

struct mk_str mk_dialog_input(const char *command, const char *text)
{
    struct mk_str s = {0}, more = {0};
    const bool wants_stdin = text && !strcmp(text, "-");
    if (text && !wants_stdin) mk_str_add(&s, text);
    if (wants_stdin || !mk_term_is_tty(STDIN_FILENO)) more = mk_cli_read("-");
    if (s.len && more.len) mk_str_add(&s, "\n\n");
    /* Messages are C strings of valid UTF-8. */
    for (char *c = more.data; more.len && (c = memchr(c, 0, (size_t)(more.data + more.len - c)));)
        *c = '\xff';
    mk_str_add_utf8(&s, mk_str_c(&more), more.len);
    mk_str_release(&more);
    if (!s.len) mk_cli_usage(command, "no prompt: give -p TEXT or text on stdin");
    return s;
}

/* ---- a reply ---------------------------------------------------------------------- */

const struct mk_tool_call *mk_reply_calls(const struct mk_reply *r, size_t *n)
{
    *n = 0;
    return r->splitter ? mk_splitter_calls(r->splitter, n) : NULL;
}

static void on_part(void *arg, enum mk_part part, const char *bytes, size_t n)
{
    struct mk_reply *r = arg;
    const char *call = "";
    if (part == MK_PART_REASONING) {
        r->has_reasoning = true;
        mk_str_append(&r->reasoning, bytes, n);
    } else if (part == MK_PART_ANSWER) {
        mk_str_append(&r->answer, bytes, n);
    } else {
        size_t n_calls;
        const struct mk_tool_call *calls = mk_reply_calls(r, &n_calls);
        if (n_calls && calls[n_calls - 1].name) call = calls[n_calls - 1].name;
    }
    mk_show_part(r->show, part, bytes, n, call);
}

static void feed(struct mk_reply *r, size_t *n_fed)
{
    const size_t n = r->g.text.len - *n_fed;
    if (n == 0) return;
    const char *bytes = r->g.text.data + *n_fed;
    if (r->splitter)
        mk_splitter_add(r->splitter, bytes, n);
    else
        on_part(r, MK_PART_ANSWER, bytes, n);
    *n_fed += n;
}

/* From how many tokens on reading a prompt may take a while. */
enum { LONG_PROMPT = 64 };

static void show_progress(const struct mk_dialog *d, const struct mk_generation *g)
{
    const size_t read = mk_generation_read(g), n = g->n_prompt - g->n_kept;
    if (d->show.is_silent || n < LONG_PROMPT) return;
    if (g->ids.n || g->finish != MK_FINISH_NONE)
        mk_term_progress_clear();
    else
        mk_term_progress("reading", read - g->n_kept, n);
}

static bool generate(struct mk_dialog *d, struct mk_reply *r, struct mk_err *err)
{
    struct mk_generation *g = &r->g;
    size_t n_fed = 0;
    show_progress(d, g);
    while (g->finish == MK_FINISH_NONE) {
        /* Between steps, so that a late Ctrl-C cannot stop the next reply. */
        if (mk_term_interrupted()) mk_engine_cancel(d->engine);
        r->n_steps += g->ids.n > 0;
        if (!mk_generations_step(d->engine, &g, 1, 0, err) && err->code != MK_ECANCELED)
            return false;
        show_progress(d, g);
        feed(r, &n_fed);
    }
    return true;
}

static bool reply(struct mk_dialog *d, const struct mk_ids *prompt, enum mk_inside inside,
                  struct mk_reply *r, struct mk_err *err)
{
    r->g = (struct mk_generation){.session = d->session,
                                  .sampling = d->sampling,
                                  .stops = d->o->stops.v,
                                  .n_stops = d->o->stops.n,
                                  .stop_ids = d->stop_ids,
                                  .n_stop_ids = d->n_stop_ids,
                                  .max_toks = d->max_toks};
    r->show = &d->show;
    if (d->template) r->splitter = mk_splitter_new(d->template, inside, on_part, r);
    if (!mk_generation_start(&r->g, prompt->v, prompt->n, err)) return false;
    mk_show_begin(&d->show);
    const bool ok = generate(d, r, err);
    if (r->splitter) mk_splitter_end(r->splitter);
    mk_show_end(&d->show);
    r->is_full = r->g.finish == MK_FINISH_LENGTH && r->g.ids.n != d->max_toks;
    return ok;
}

bool mk_dialog_reply(struct mk_dialog *d, const struct mk_conversation *c, struct mk_reply *r,
                     struct mk_err *err)
{
    struct mk_prompt prompt = {0};
    struct mk_ids ids = {0};
    const struct mk_chat_options o = {.thinking = d->is_thinking};
    bool ok = mk_chat_render(&prompt, d->template, c, &o, err);
    if (ok) {
        mk_prompt_tokenize(&prompt, d->tokenizer, &ids);
        ok = reply(d, &ids, prompt.inside, r, err);
    }
    mk_ids_release(&ids);
    mk_prompt_release(&prompt);
    return ok;
}

bool mk_dialog_continue(struct mk_dialog *d, const char *text, size_t n, struct mk_reply *r,
                        struct mk_err *err)
{
    struct mk_ids ids = {0};
    mk_tokenize(d->tokenizer, text, n, MK_TOK_BOS, &ids);
    const bool ok = reply(d, &ids, MK_IN_TURN, r, err);
    mk_ids_release(&ids);
    return ok;
}

void mk_reply_release(struct mk_reply *r)
{
    mk_generation_release(&r->g);
    mk_str_release(&r->reasoning);
    mk_str_release(&r->answer);
    if (r->splitter) mk_splitter_free(r->splitter);
    *r = (struct mk_reply){0};
}
