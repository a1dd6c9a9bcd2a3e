#ifndef MK_CLI_DIALOG_H
#define MK_CLI_DIALOG_H
/* What `chat` and `run` share: options, a model with its template and a session, and one
 * reply that is shown as it comes. */
#include "chat/chat.h"
#include "cli/cli.h"
#include "cli/show.h"

#include <jansson.h>
#include <math.h>

struct mk_dialog_opts {
    struct mk_model_opts model;
    struct mk_speculate_opts speculate;
    const char *template, *think, *system, *color;
    bool hides_thoughts, json;
    size_t max_toks, n_top;
    double temperature, top_p, min_p, repetition, presence, frequency; /* NAN: the model's own */
    int64_t top_k, seed; /* -1: the model's own; a random one */
    struct mk_strs stops, biases;
};
#define MK_DIALOG_OPTS                                                                             \
    {                                                                                              \
        .temperature = (double)NAN, .top_p = (double)NAN, .min_p = (double)NAN,                    \
        .repetition = (double)NAN, .presence = (double)NAN, .frequency = (double)NAN, .top_k = -1, \
        .seed = -1                                                                                 \
    }
#define MK_OPTS_DIALOG(o)                                                                          \
    MK_OPTS_MODEL((o).model), MK_OPT_RAM((o).model), MK_OPTS_SPECULATE((o).speculate),             \
        {"system", 's', MK_OPT_STR, &(o).system, "TEXT", "what the model is told first",           \
         0,        0,   NULL,       NULL},                                                         \
        {"think",    0,    MK_OPT_CHOICE,                                                          \
         &(o).think, NULL, "think first, where it can be chosen (as the template says)",           \
         0,          0,    "on|off",                                                               \
         NULL},                                                                                    \
        {"hide-think", 0,   MK_OPT_FLAG, &(o).hides_thoughts, NULL, "do not show thoughts", 0, 0,  \
         NULL,         NULL},                                                                      \
        {"template", 0, MK_OPT_STR, &(o).template, "NAME", "chat template, not the model's own",   \
         0,          0, NULL,       NULL},                                                         \
        {"max-tokens",                                                                             \
         'n',                                                                                      \
         MK_OPT_SIZE,                                                                              \
         &(o).max_toks,                                                                            \
         "N",                                                                                      \
         "longest answer in tokens, thoughts included (what fits)",                                \
         1,                                                                                        \
         1 << 28,                                                                                  \
         NULL,                                                                                     \
         NULL},                                                                                    \
        {"stop", 0, MK_OPT_LIST, &(o).stops, "TEXT", "end the answer before this text",            \
         0,      0, NULL,        NULL},                                                            \
        {"temp",                                                                                   \
         0,                                                                                        \
         MK_OPT_FLOAT,                                                                             \
         &(o).temperature,                                                                         \
         "T",                                                                                      \
         "temperature; 0: always the likeliest",                                                   \
         0,                                                                                        \
         100,                                                                                      \
         NULL,                                                                                     \
         NULL},                                                                                    \
        {"top-k", 0,       MK_OPT_INT, &(o).top_k, "N", "choose among the N likeliest; 0: all",    \
         0,       1 << 24, NULL,       NULL},                                                      \
        {"top-p", 0, MK_OPT_FLOAT, &(o).top_p, "P", "choose among the likeliest with sum P",       \
         0,       1, NULL,         NULL},                                                          \
        {"min-p", 0, MK_OPT_FLOAT, &(o).min_p, "P", "none less likely than P times the likeliest", \
         0,       1, NULL,         NULL},                                                          \
        {"repeat-penalty",                                                                         \
         0,                                                                                        \
         MK_OPT_FLOAT,                                                                             \
         &(o).repetition,                                                                          \
         "X",                                                                                      \
         "scale down seen tokens; 1: off",                                                         \
         0.01,                                                                                     \
         100,                                                                                      \
         NULL,                                                                                     \
         NULL},                                                                                    \
        {"presence-penalty",                                                                       \
         0,                                                                                        \
         MK_OPT_FLOAT,                                                                             \
         &(o).presence,                                                                            \
         "X",                                                                                      \
         "less of tokens in the answer",                                                           \
         -100,                                                                                     \
         100,                                                                                      \
         NULL,                                                                                     \
         NULL},                                                                                    \
        {"frequency-penalty",                                                                      \
         0,                                                                                        \
         MK_OPT_FLOAT,                                                                             \
         &(o).frequency,                                                                           \
         "X",                                                                                      \
         "less of them each time they occur",                                                      \
         -100,                                                                                     \
         100,                                                                                      \
         NULL,                                                                                     \
         NULL},                                                                                    \
        {"logit-bias",                                                                             \
         0,                                                                                        \
         MK_OPT_LIST,                                                                              \
         &(o).biases,                                                                              \
         "ID=X",                                                                                   \
         "add X to a token's logit; -inf: never",                                                  \
         0,                                                                                        \
         0,                                                                                        \
         NULL,                                                                                     \
         NULL},                                                                                    \
        {"seed", 0,      MK_OPT_INT, &(o).seed, "N", "same seed, same answer (random)",            \
         0,      0x1p62, NULL,       NULL},                                                        \
        {"color", 0, MK_OPT_CHOICE,       &(o).color, NULL, "dim thoughts (auto)",                 \
         0,       0, "auto|always|never", NULL},                                                   \
    {                                                                                              \
        "json", 0, MK_OPT_FLAG, &(o).json, NULL, "print one JSON object", 0, 0, NULL, NULL         \
    }

enum { MK_MAX_STOP_IDS = 8 };
struct mk_dialog {
    const struct mk_dialog_opts *o; /* keeps */
    struct mk_engine *engine;
    const struct mk_tokenizer *tokenizer;
    const struct mk_template *template; /* NULL: plain continuation */
    struct mk_session *session;
    struct mk_sampling sampling; /* its bias is owned */
    struct mk_bias *bias;
    int32_t stop_ids[MK_MAX_STOP_IDS];
    size_t n_stop_ids, max_toks;
    bool is_thinking;
    struct mk_show show;
};
/* Exits with a message on failure.  may_be_plain: a checkpoint without a template is fine;
 * is_plain: ignore the one it has. */
void mk_dialog_open(struct mk_dialog *d, const char *command, const struct mk_dialog_opts *o,
                    bool may_be_plain, bool is_plain);
void mk_dialog_close(struct mk_dialog *d);
/* Turns thinking on or off; fails when the template knows only the other way. */
bool mk_dialog_think(struct mk_dialog *d, bool is_on, struct mk_err *err) MK_CHECKED;

struct mk_reply {
    struct mk_generation g; /* do not move: it points into itself */
    struct mk_str reasoning, answer;
    bool has_reasoning;
    struct mk_splitter *splitter; /* owns the calls */
    struct mk_show *show;
    size_t n_steps; /* tokens after the first, one that ended it included */
    bool is_full;   /* ended because the context is */
};
/* Answers the conversation; zero *r before and release it after, also on failure.  Ctrl-C
 * ends the reply with MK_FINISH_CANCEL and what there is. */
bool mk_dialog_reply(struct mk_dialog *d, const struct mk_conversation *c, struct mk_reply *r,
                     struct mk_err *err) MK_CHECKED;
/* Continues a text as it is. */
bool mk_dialog_continue(struct mk_dialog *d, const char *text, size_t n, struct mk_reply *r,
                        struct mk_err *err) MK_CHECKED;
void mk_reply_release(struct mk_reply *r);
/* Calls the model made; valid until the reply is released. */
const struct mk_tool_call *mk_reply_calls(const struct mk_reply *r, size_t *n);

double mk_reply_prompt_tps(const struct mk_reply *r); /* of what was not reused */
double mk_reply_answer_tps(const struct mk_reply *r);
/* Lines for people on stderr: speed; why it ended early (nothing if it did not). */
void mk_reply_print_stats(const struct mk_reply *r);
void mk_reply_print_end(const struct mk_dialog *d, const struct mk_reply *r);
/* {"text", "reasoning", "ids", "finish_reason", "usage", "timings", "seed", ...} */
json_t *mk_reply_json(const struct mk_dialog *d, const struct mk_reply *r);
void mk_reply_print_json(const struct mk_dialog *d, const struct mk_reply *r);

/* -p and stdin: text (may be NULL; "-" is stdin), and below it what stdin has when it is not
 * a terminal.  A usage error when there is neither. */
struct mk_str mk_dialog_input(const char *command, const char *text);
/* Answers the input and prints as `run` does; gives the exit status. */
int mk_dialog_once(struct mk_dialog *d, const struct mk_str *input, bool stats);
/* The template of that name; a usage error names the nearest. */
const struct mk_template *mk_cli_template(const char *command, const char *name);
#endif
