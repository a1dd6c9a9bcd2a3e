/* minke run: one prompt, one answer, and nothing else on stdout. */
#include "cli/dialog.h"
#include "cli/term.h"

static void add_prompt(struct mk_conversation *c, const char *system, const struct mk_str *text)
{
    if (system) mk_conversation_add(c, MK_SYSTEM, system, NULL);
    mk_conversation_add(c, MK_USER, mk_str_c(text), NULL);
}

int mk_dialog_once(struct mk_dialog *d, const struct mk_str *input, bool stats)
{
    struct mk_conversation c = {0};
    struct mk_reply r = {0};
    struct mk_err err;
    add_prompt(&c, d->o->system, input);
    if (!(d->template ? mk_dialog_reply(d, &c, &r, &err)
                      : mk_dialog_continue(d, input->data, input->len, &r, &err)))
        mk_cli_die(&err);
    if (d->o->json) mk_reply_print_json(d, &r);
    mk_cli_flush();
    if (stats || r.is_full) mk_reply_print_end(d, &r);
    if (stats) mk_reply_print_stats(&r);
    if (stats) mk_cli_say_experts(d->engine);
    const int status = mk_code_exit(r.g.finish == MK_FINISH_CANCEL ? MK_ECANCELED : MK_OK);
    mk_reply_release(&r);
    mk_conversation_release(&c);
    return status;
}

int mk_cmd_run(int argc, char **argv)
{
    struct mk_dialog_opts o = MK_DIALOG_OPTS;
    const char *text = NULL;
    bool raw = false, stats = false;
    const struct mk_opt opts[] = {
        MK_OPTS_DIALOG(o),
        {"prompt", 'p', MK_OPT_STR, &text, "TEXT", "the prompt; text on stdin is put below it", 0,
         0, NULL, NULL},
        {"raw", 0, MK_OPT_FLAG, &raw, NULL, "continue the text as it is, without a template", 0, 0,
         NULL, NULL},
        {"logprobs", 0, MK_OPT_SIZE, &o.n_top, "N",
         "with --json: log probabilities, and the N likeliest", 0, MK_MAX_TOP, NULL, NULL},
        {"stats", 0, MK_OPT_FLAG, &stats, NULL, "print the speed to stderr", 0, 0, NULL, NULL},
        {0},
    };
    mk_opts_parse("run", opts, argc, argv, NULL, 0);
    if (raw && (o.system || o.think || o.template))
        mk_cli_usage("run", "--raw goes with none of --system, --think, --template");
    if (o.n_top && !o.json) mk_cli_usage("run", "--logprobs goes with --json");
    struct mk_dialog d;
    struct mk_str input = mk_dialog_input("run", text);
    mk_dialog_open(&d, "run", &o, true, raw);
    const int status = mk_dialog_once(&d, &input, stats);
    mk_dialog_close(&d);
    mk_str_release(&input);
    return status;
}
